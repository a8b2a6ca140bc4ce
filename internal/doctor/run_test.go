package doctor

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// outcome is a check that finds o.
func outcome(id string, g Group, o Outcome) Check {
	return Check{ID: id, Group: g, Run: func(context.Context, *Exam) Outcome { return o }}
}

func TestExamineSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(id string) Check {
			return Check{ID: id, Group: Network, Run: func(context.Context, *Exam) Outcome {
				time.Sleep(3 * time.Second)
				return Outcome{}
			}}
		}
		var begun, done []string
		rep := Examine(t.Context(), &Exam{}, []Check{slow("a"), slow("b"), slow("c"), outcome("d", Settings, Outcome{})}, Options{
			Begun: func(c Check) { begun = append(begun, c.ID) },
			Done:  func(r Result) { done = append(done, r.Check) },
		})
		if rep.Took != 3*time.Second || !rep.Healthy || !rep.Complete {
			t.Errorf("took %s, healthy %t, complete %t", rep.Took, rep.Healthy, rep.Complete)
		}
		if len(rep.Results) != 4 || rep.Results[0].Check != "d" || rep.Results[1].Check != "a" {
			t.Errorf("results are not in the order of the groups, then of the checks: %v", rep.Results)
		}
		if !slices.Equal(begun, []string{"a", "b", "c", "d"}) || len(done) != 4 || done[0] != "d" {
			t.Errorf("begun %v, done %v", begun, done)
		}
	})
}

// TestExamineEnds holds the deadline against checks that obey it, and against those that do not.
func TestExamineEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		checks := []Check{
			{ID: "deaf", Group: ModCache, Run: func(context.Context, *Exam) Outcome { <-release; return Outcome{} }},
			{ID: "obeys", Group: Network, Run: func(ctx context.Context, _ *Exam) Outcome {
				<-ctx.Done()
				return Outcome{Findings: []Finding{{Code: "tcp-timeout", Severity: Fault, Subject: "a.test"}}}
			}},
			{ID: "silent", Group: Network, Run: func(ctx context.Context, _ *Exam) Outcome { <-ctx.Done(); return Outcome{} }},
			{ID: "panics", Group: SDK, Run: func(context.Context, *Exam) Outcome { panic(errors.New("out of luck")) }},
			outcome("fine", SumDB, Outcome{}),
		}
		rep := Examine(t.Context(), &Exam{}, checks, Options{})
		if rep.Took > checkWait+checkGrace || rep.Took < checkWait {
			t.Errorf("took %s", rep.Took)
		}
		type row struct {
			State  State
			Reason Reason
		}
		got := map[string]row{}
		for _, r := range rep.Results {
			got[r.Check] = row{r.State, r.Reason}
		}
		want := map[string]row{"deaf": {NotSure, OutOfTime}, "obeys": {Faulty, OutOfTime}, "silent": {NotSure, OutOfTime}, "panics": {NotSure, Broken}, "fine": {Healthy, ""}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if rep.Healthy || rep.Complete || len(rep.Causes) != 1 || rep.Causes[0].Code != "tcp-timeout" {
			t.Errorf("healthy %t, complete %t, causes %v", rep.Healthy, rep.Complete, rep.Causes)
		}
	})
}

func TestExamineCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		release := make(chan struct{})
		defer close(release)
		rep := Examine(ctx, &Exam{}, []Check{{ID: "deaf", Group: Network, Run: func(context.Context, *Exam) Outcome { <-release; return Outcome{} }}}, Options{})
		if rep.Took != time.Second+checkGrace || rep.Complete {
			t.Errorf("took %s, complete %t", rep.Took, rep.Complete)
		}
	})
}

// TestGroups holds what could not be looked at apart from what is well.
func TestGroups(t *testing.T) {
	fault := Outcome{Findings: []Finding{{Code: "a", Severity: Fault}}}
	warning := Outcome{Findings: []Finding{{Code: "b", Severity: Warning}}}
	note := Outcome{Findings: []Finding{{Code: "c", Severity: Note}}}
	not := func(r Reason) Outcome { return Outcome{NotRun: r} }
	tests := []struct {
		name              string
		outcomes          []Outcome
		state             State
		why               Reason
		healthy, complete bool
	}{
		{"all well", []Outcome{{}, {}}, Healthy, "", true, true},
		{"a note", []Outcome{note, {}}, Healthy, "", true, true},
		{"a warning", []Outcome{warning, {}}, Warned, "", false, true},
		{"the worst counts", []Outcome{warning, fault, {}}, Faulty, "", false, true},
		{"one not needed", []Outcome{not(NotNeeded), {}}, Healthy, NotNeeded, true, true},
		{"none needed", []Outcome{not(NotNeeded), not(NotNeeded)}, NotSure, NotNeeded, true, true},
		{"one without its tool, and nothing says what that leads to", []Outcome{not(NoTool), {}}, Healthy, NoTool, true, false},
		{"a fault, and what has no tool for it", []Outcome{fault, not(NoTool)}, Faulty, NoTool, false, true},
		{"one out of time", []Outcome{{}, not(OutOfTime)}, NotSure, OutOfTime, true, false},
		{"not needed, and no rights", []Outcome{not(NotNeeded), not(NoRights)}, NotSure, NoRights, true, false},
		{"a warning, and no time", []Outcome{warning, not(OutOfTime)}, Warned, OutOfTime, false, false},
		{"broken", []Outcome{not(Broken)}, NotSure, Broken, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var checks []Check
			for i, o := range tt.outcomes {
				checks = append(checks, outcome(string(rune('a'+i)), CC, o))
			}
			rep := Examine(t.Context(), &Exam{}, checks, Options{})
			state, why, ok := rep.Of(CC)
			if state != tt.state || why != tt.why || !ok || rep.Healthy != tt.healthy || rep.Complete != tt.complete {
				t.Errorf("%s, %q, %t, healthy %t, complete %t", state, why, ok, rep.Healthy, rep.Complete)
			}
			if _, _, ok := rep.Of(SDK); ok {
				t.Error("a group without checks was looked at")
			}
		})
	}
}

func TestSelect(t *testing.T) {
	all := []Check{{ID: "goproxy", Group: Settings}, {ID: "git", Group: Settings}, {ID: "network", Group: Network}, {ID: "sumdb", Group: SumDB}}
	tests := []struct{ names, want, unknown string }{
		{"", "goproxy git network sumdb", ""},
		{"git", "git", ""},
		{"network", "network sumdb", ""},
		{"sumdb settings git", "goproxy git sumdb", ""},
		{"git nonsense", "", "nonsense"},
	}
	for _, tt := range tests {
		list, unknown := Select(all, fields(tt.names))
		var ids []string
		for _, c := range list {
			ids = append(ids, c.ID)
		}
		if !slices.Equal(ids, fields(tt.want)) || unknown != tt.unknown {
			t.Errorf("%q: %v, unknown %q", tt.names, ids, unknown)
		}
	}
}

// TestSpareLate wants a host that nobody needs not to make the report incomplete.
func TestSpareLate(t *testing.T) {
	x := &Exam{Targets: []Target{{Role: Upstream, URL: mustURL("https://up.test")}, {Role: Database, URL: mustURL("https://sum.test")}}}
	for detail, complete := range map[string]bool{"sum.test": true, "up.test": false, "up.test sum.test": false, "": false, "some error": false} {
		checks := []Check{outcome("network", Network, Outcome{NotRun: OutOfTime, Detail: detail}), outcome("sumdb", SumDB, Outcome{})}
		if rep := Examine(t.Context(), x, checks, Options{}); rep.Complete != complete || !rep.Healthy {
			t.Errorf("%q: complete %t, healthy %t", detail, rep.Complete, rep.Healthy)
		}
	}
}
