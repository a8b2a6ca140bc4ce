package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/text"
	"github.com/goferry/goferry/internal/toolchain"
)

// An sdkTestShow shows how a test of an SDK goes on; what fails is told at once.
type sdkTestShow struct {
	*display
	state sdkTestState
}

// showSDKTest begins to show. end must be called.
func (a *app) showSDKTest() *sdkTestShow {
	s := &sdkTestShow{state: sdkTestState{start: time.Now()}}
	s.display = a.show(&s.state, nil)
	return s
}

// progress is SelfTest's Progress.
func (s *sdkTestShow) progress(p toolchain.SelfProgress) {
	s.mu.Lock()
	s.state.at = p
	s.mu.Unlock()
	if p.Failure != "" {
		// An error means that nobody can be told.
		_, _ = fmt.Fprintln(s, "goferry: "+s.a.p.T("sdktest.failing", "Test", p.Failure))
	}
}

// sdkTestState is what is known about a test.
type sdkTestState struct {
	start time.Time
	at    toolchain.SelfProgress
}

// status says how far a test is.
func (s *sdkTestState) status(p *text.Printer, now time.Time) string {
	step, took := cmp.Or(s.at.Step, toolchain.StepMachine), clock(now.Sub(s.start))
	line := p.T("sdktest.step-"+step) + "  " + took
	if s.at.Total > 0 {
		line = p.T("sdktest.status", "Done", s.at.Done, "Count", s.at.Total, "Time", took)
	}
	if s.at.Failed > 0 {
		line += "  " + p.T("sdktest.status-failed", "Count", s.at.Failed)
	}
	if s.at.Again != "" {
		line += "  " + p.T("sdktest.status-again", "Package", s.at.Again)
	}
	return line
}

// total is the status with a bar before and what runs behind, as far as there is room.
func (s *sdkTestState) total(p *text.Printer, width int, now time.Time) string {
	line := s.status(p, now)
	if s.at.Total > 0 {
		line = withBar(line, float64(s.at.Done)/float64(s.at.Total), width, 30)
	}
	if len(s.at.Running) > 0 {
		line += "  " + strings.Join(s.at.Running, " ")
	}
	return clip(line, width-1)
}

// sdkTestShown is how many lines of an output a report for people repeats.
const sdkTestShown = 12

// sdkTestOutputs is how many tests of a package it does so for; JSON has all of them.
const sdkTestOutputs = 3

// showSelfReport prints a report for people.
func (a *app) showSelfReport(r toolchain.SelfReport) error {
	var b strings.Builder
	name := string(r.Version)
	if name == "" {
		name = "go"
	}
	fmt.Fprintf(&b, "%s %s/%s  %s\n\n", name, r.OS, r.Arch, r.Root)
	left, mid := 0, 0
	for _, s := range r.Steps {
		left = max(left, text.Columns(a.p.T("sdktest.step-"+s.Name)))
		mid = max(mid, text.Columns(a.p.T("sdktest.state-"+string(s.State))))
	}
	for _, s := range r.Steps {
		what, state := a.p.T("sdktest.step-"+s.Name), a.p.T("sdktest.state-"+string(s.State))
		line := what + strings.Repeat(" ", left-text.Columns(what)+2) + state
		if s.Seconds >= 0.1 {
			line += strings.Repeat(" ", mid-text.Columns(state)+2) + fmt.Sprintf("%.1f s", s.Seconds)
		}
		fmt.Fprintln(&b, line)
		for _, f := range s.Findings {
			a.selfFinding(&b, f)
		}
		if s.Name == toolchain.StepTests && r.Counts.Total > 0 {
			a.selfPackages(&b, r)
		}
	}
	fmt.Fprintf(&b, "\n%s\n", a.p.T("sdktest.result-"+string(r.State), "Time", clock(time.Duration(r.Seconds*float64(time.Second)))))
	_, err := io.WriteString(a.stdout, b.String())
	return err
}

// selfFinding prints a finding, what a program said, and the way out.
func (a *app) selfFinding(b *strings.Builder, f toolchain.SelfFinding) {
	args := []any{"Value", f.Value, "Want", f.Want}
	a.selfLine(b, "  - ", a.p.T("sdktest.finding."+f.Code, args...))
	a.selfOutput(b, f.Detail)
	if code := "sdktest.fix." + f.Code; a.p.Has(code) {
		a.selfLine(b, "    ", a.p.T("sdktest.line-fix", "Fix", a.p.T(code, args...)))
	}
	if strings.HasPrefix(f.Code, "program-") && f.Value != "" {
		a.selfCause(b, f.Value, "")
	}
}

// selfLine prints text, wrapped, with head before the first line and as many spaces before the others.
func (a *app) selfLine(b *strings.Builder, head, s string) {
	var lines strings.Builder
	a.lines(&lines, strings.Repeat(" ", len(head)), s)
	b.WriteString(head + lines.String()[len(head):])
}

// selfOutput prints what a program said, without the middle of much.
func (a *app) selfOutput(b *strings.Builder, output string) {
	if output == "" {
		return
	}
	lines := strings.Split(output, "\n")
	if over := len(lines) - sdkTestShown; over > 0 {
		lines = slices.Concat(lines[:sdkTestShown/2], []string{"…"}, lines[sdkTestShown/2+over:])
	}
	for _, line := range lines {
		fmt.Fprintln(b, strings.TrimRight("      | "+strings.ReplaceAll(line, "\t", "    "), " "))
	}
}

// selfCause prints what is likely behind a failure, and the way out.
func (a *app) selfCause(b *strings.Builder, cause, tests string) {
	if cause == "" {
		cause = "unknown"
	}
	a.selfLine(b, "    ", a.p.T("sdktest.line-cause", "Cause", a.p.T("sdktest.cause."+cause))+tests)
	if code := "sdktest.cause-fix." + cause; a.p.Has(code) {
		a.selfLine(b, "    ", a.p.T("sdktest.line-fix", "Fix", a.p.T(code)))
	}
}

// selfPackages prints the packages that did not simply pass.
func (a *app) selfPackages(b *strings.Builder, r toolchain.SelfReport) {
	c := r.Counts
	a.selfLine(b, "  ", a.p.T("sdktest.counts", "Count", c.Total, "Passed", c.Passed, "NoTests", c.NoTests))
	if c.Resumed > 0 {
		a.selfLine(b, "  ", a.p.T("sdktest.resumed", "Count", c.Resumed))
	}
	for _, p := range r.Packages {
		if p.Verdict == toolchain.SelfPassed {
			continue
		}
		a.selfLine(b, "  ", a.p.T("sdktest.package", "Package", p.Name, "Verdict", a.p.T("sdktest.verdict-"+string(p.Verdict))))
		byCause, order, shown := map[string][]string{}, []string{}, 0
		for _, f := range p.Failures {
			if _, ok := byCause[f.Cause]; !ok {
				order = append(order, f.Cause)
			}
			if byCause[f.Cause] = append(byCause[f.Cause], f.Test); !f.Machine && shown < sdkTestOutputs {
				shown++
				a.selfOutput(b, f.Output)
			}
		}
		for _, cause := range order {
			tests := strings.Trim(strings.Join(byCause[cause], ", "), ", ")
			if tests != "" {
				tests = "  [" + tests + "]"
			}
			if p.Verdict != toolchain.SelfFlaky || cause != "" {
				a.selfCause(b, cause, tests)
			} else if tests != "" {
				a.selfLine(b, "    ", strings.TrimSpace(tests))
			}
		}
	}
}
