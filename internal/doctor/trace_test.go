package doctor

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A simTrace is a kernel that saw the same at every address, and remembers which it was asked for.
type simTrace struct {
	events TCPEvents
	known  bool

	mu    sync.Mutex
	asked []string
}

func (s *simTrace) trace() *Trace {
	return &Trace{Events: func(addr netip.AddrPort) (TCPEvents, bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !slices.Contains(s.asked, addr.String()) {
			s.asked = append(s.asked, addr.String())
		}
		return s.events, s.known
	}}
}

// split takes the facts of a trace out of facts, and of the rest what has nothing to do with time.
func split(facts []Fact) (traced []Fact, rest []string) {
	for _, f := range facts {
		if slices.Contains(traceFacts(), f.Name) {
			traced = append(traced, f)
		} else {
			rest = append(rest, f.Name+" "+string(f.Answer))
		}
	}
	return traced, rest
}

// TestTrace wants the kernel's view among the evidence, and nothing else to change by it.
func TestTrace(t *testing.T) {
	const proxy = "http://45.77.9.9:3128"
	for _, w := range []struct {
		name  string
		proxy string
		build func(n *internet)
		at    []string // the addresses that were dialed
	}{
		{"all is well", "", func(*internet) {}, []string{"45.77.1.10:443"}},
		{"reset by name", "", func(n *internet) {
			n.rule(func(h simHello, _ int) simDeed { return map[bool]simDeed{true: reset}[h.name == simHost] })
		},
			[]string{"45.77.1.10:443"}},
		{"one of two addresses is dropped", "", func(n *internet) {
			n.truth[simHost] = addrs("45.77.1.9", "45.77.1.10")
			n.drop("45.77.1.9:443")
		}, []string{"45.77.1.9:443", "45.77.1.10:443"}},
		{"the proxy refuses", proxy, func(n *internet) {
			n.serve("45.77.9.9:3128", n.connectProxy("", http.StatusForbidden, nil))
		}, []string{"45.77.9.9:3128"}},
	} {
		for _, k := range []struct {
			name  string
			trace func() (*Trace, *simTrace)
			want  func(at []string) []Fact
		}{
			{"the kernel saw nothing", func() (*Trace, *simTrace) {
				s := &simTrace{known: true}
				return s.trace(), s
			}, func([]string) []Fact {
				return []Fact{{Name: factRetransmits, Answer: No}, {Name: factResetsReceived, Answer: No}, {Name: factResetsSent, Answer: No}}
			}},
			{"the kernel saw a lot", func() (*Trace, *simTrace) {
				s := &simTrace{known: true, events: TCPEvents{Retransmits: 3, ResetsReceived: 12, ResetsSent: 1}}
				return s.trace(), s
			}, func(at []string) []Fact {
				return []Fact{{Name: factRetransmits, Answer: Yes, Value: strings.Join(at, " 3, ") + " 3"},
					{Name: factResetsReceived, Answer: Yes, Value: strings.Join(at, " 12, ") + " 12"},
					{Name: factResetsSent, Answer: Yes, Value: strings.Join(at, " 1, ") + " 1"}}
			}},
			{"the kernel does not know the address", func() (*Trace, *simTrace) {
				s := &simTrace{}
				return s.trace(), s
			}, func([]string) []Fact {
				return []Fact{{Name: factRetransmits, Answer: Unmeasured, Reason: NotReadable}, {Name: factResetsReceived, Answer: Unmeasured, Reason: NotReadable},
					{Name: factResetsSent, Answer: Unmeasured, Reason: NotReadable}}
			}},
			{"no rights", func() (*Trace, *simTrace) { return &Trace{NotRun: NoRights}, nil }, func([]string) []Fact {
				return []Fact{{Name: factRetransmits, Answer: Unmeasured, Reason: NoRights}, {Name: factResetsReceived, Answer: Unmeasured, Reason: NoRights},
					{Name: factResetsSent, Answer: Unmeasured, Reason: NoRights}}
			}},
		} {
			t.Run(w.name+"/"+k.name, func(t *testing.T) {
				t.Parallel()
				n := newInternet(t)
				w.build(n)
				x, target := n.exam("https://"+simHost, w.proxy)
				plain := x.Reach(t.Context(), target)
				plainOutcome := networkCheck(t.Context(), x)
				trace, sim := k.trace()
				x = x.Sharing()
				x.Trace = trace
				traced := x.Reach(t.Context(), target)
				outcome := networkCheck(t.Context(), x)
				if traced.Verdict != plain.Verdict || traced.Op != plain.Op || traced.Failure != plain.Failure {
					t.Errorf("with a trace %s at %q, without %s at %q", traced.Verdict, traced.Op, plain.Verdict, plain.Op)
				}
				none, without := split(plain.Facts)
				got, with := split(traced.Facts)
				if diff := cmp.Diff(without, with); diff != "" || none != nil {
					t.Errorf("a trace changes other facts (-without +with), or without one there is %v:\n%s", none, diff)
				}
				if diff := cmp.Diff(k.want(w.at), got); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
				if diff := cmp.Diff(codesOf(plainOutcome), codesOf(outcome)); diff != "" {
					t.Errorf("a trace changes what is found (-without +with)\n%s", diff)
				}
				for _, f := range outcome.Findings {
					if got, _ := split(f.Facts); !cmp.Equal(got, k.want(w.at)) {
						t.Errorf("the evidence of %s has %v", f.Code, got)
					}
				}
				if sim != nil && !slices.Equal(sim.asked, w.at) {
					t.Errorf("the kernel was asked for %v, want %v", sim.asked, w.at)
				}
				well, _ := split(outcome.Facts)
				if told := len(well); traced.Works() && told != map[bool]int{true: 2}[sim != nil && sim.events.Retransmits > 0] {
					t.Errorf("of a host that was reached it is told: %v", well)
				}
			})
		}
	}
}

func codesOf(o Outcome) []string {
	list := []string{string(o.NotRun)}
	for _, f := range o.Findings {
		list = append(list, f.Code+" "+string(f.Severity)+" "+string(f.Op))
		for _, fix := range f.Fixes {
			list = append(list, "  "+fix.Code)
		}
	}
	return list
}

// TestTraceInReport wants one line of the report to say whether there was a trace, in every kind of report, and nothing
// of it to count for health.
func TestTraceInReport(t *testing.T) {
	for _, tt := range []struct {
		trace *Trace
		want  *Fact
	}{
		{nil, nil},
		{&Trace{}, &Fact{Name: factTrace, Answer: Yes}},
		{&Trace{NotRun: NoRights}, &Fact{Name: factTrace, Answer: Unmeasured, Reason: NoRights}},
		{&Trace{NotRun: NotHere, Detail: "https://jane:s3cretw0rd@x.test"}, &Fact{Name: factTrace, Answer: Unmeasured, Reason: NotHere, Value: "https://***@x.test"}},
		{&Trace{NotRun: Broken, Detail: "altered"}, &Fact{Name: factTrace, Answer: Unmeasured, Reason: Broken, Value: "altered"}},
	} {
		x := &Exam{Trace: tt.trace, GoEnv: GoEnv{Values: map[string]string{"GOPROXY": "off"}}}
		rep := Examine(t.Context(), x, []Check{outcome("a", Settings, Outcome{})}, Options{})
		if diff := cmp.Diff(tt.want, rep.Trace); diff != "" || !rep.Healthy || !rep.Complete {
			t.Errorf("healthy %t, complete %t (-want +got)\n%s", rep.Healthy, rep.Complete, diff)
		}
		if diff := cmp.Diff(tt.want, x.Walk(t.Context(), "example.com/hello", "v1.0.0").Trace); diff != "" {
			t.Errorf("a walk (-want +got)\n%s", diff)
		}
	}
}

// TestTraceOfAnswers wants the kernel's view with what is found about answers.
func TestTraceOfAnswers(t *testing.T) {
	x := &Exam{Trace: (&simTrace{known: true, events: TCPEvents{Retransmits: 2}}).trace()}
	l := &httpLook{first: httpAnswer{addr: "192.0.2.1:443"}, body: httpAnswer{addr: "192.0.2.1:443"}, findings: []Finding{{Code: codeHTTPSlow}}}
	l.trace(x)
	got, _ := split(l.findings[0].Facts)
	if want := (Fact{Name: factRetransmits, Answer: Yes, Value: "192.0.2.1:443 2"}); len(got) != 3 || got[0] != want {
		t.Errorf("got %v", got)
	}
	unreached := &httpLook{findings: []Finding{{Code: codeHTTPSlow}}}
	if unreached.trace(x); len(unreached.findings[0].Facts) != 0 {
		t.Errorf("nothing was dialed, and yet: %v", unreached.findings[0].Facts)
	}
}
