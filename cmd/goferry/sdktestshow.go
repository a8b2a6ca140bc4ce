package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/goferry/goferry/internal/text"
	"github.com/goferry/goferry/internal/toolchain"
)

// An sdkTestShow shows on standard error how a test of an SDK goes on: a bar on a terminal, a line
// now and then elsewhere; what fails is told at once.
type sdkTestShow struct {
	a    *app
	bars *mpb.Progress // nil without a terminal
	bar  *mpb.Bar
	stop chan struct{}
	done sync.WaitGroup
	once sync.Once

	mu    sync.Mutex
	start time.Time
	at    toolchain.SelfProgress
}

// showSDKTest begins to show. end must be called.
func (a *app) showSDKTest() *sdkTestShow {
	s := &sdkTestShow{a: a, stop: make(chan struct{}), start: time.Now()}
	if !a.onTerminal() {
		s.done.Go(s.lines)
		return s
	}
	s.bars = mpb.New(mpb.WithOutput(a.stderr), mpb.WithRefreshRate(200*time.Millisecond))
	s.bar = s.bars.MustAdd(0, mpb.BarFillerFunc(s.fill), mpb.BarFillerTrim())
	return s
}

// end takes the bar away.
func (s *sdkTestShow) end() {
	s.once.Do(func() {
		close(s.stop)
		s.done.Wait()
		if s.bars != nil {
			s.bar.Abort(true)
			s.bars.Wait()
			if runtime.GOOS != "windows" {
				fmt.Fprint(s.a.stderr, "\r\x1b[J") // what is left where ^C stood
			}
		}
	})
}

// progress is SelfTest's Progress.
func (s *sdkTestShow) progress(p toolchain.SelfProgress) {
	s.mu.Lock()
	s.at = p
	s.mu.Unlock()
	if p.Failure == "" {
		return
	}
	line := "goferry: " + s.a.p.T("sdktest.failing", "Test", p.Failure)
	if s.bars != nil {
		if _, err := fmt.Fprintln(s.bars, line); err == nil {
			return
		}
	}
	fmt.Fprintln(s.a.stderr, line)
}

// lines says how far it is, for those who would take silence for a fault.
func (s *sdkTestShow) lines() {
	tick := time.NewTicker(sayEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case now := <-tick.C:
			s.mu.Lock()
			line := sdkTestStatus(s.a.p, s.at, now.Sub(s.start))
			s.mu.Unlock()
			s.a.say(line)
		}
	}
}

func (s *sdkTestShow) fill(w io.Writer, stat decor.Statistics) error {
	s.mu.Lock()
	line := sdkTestLine(s.a.p, s.at, time.Since(s.start), stat.AvailableWidth)
	s.mu.Unlock()
	_, err := io.WriteString(w, "\r"+line) // a terminal that shows ^C has moved the cursor
	return err
}

// sdkTestStatus says how far a test is.
func sdkTestStatus(p *text.Printer, at toolchain.SelfProgress, took time.Duration) string {
	step := at.Step
	if step == "" {
		step = toolchain.StepMachine
	}
	line := p.T("sdktest.step-"+step) + "  " + clock(took)
	if at.Total > 0 {
		line = p.T("sdktest.status", "Done", at.Done, "Count", at.Total, "Time", clock(took))
	}
	if at.Failed > 0 {
		line += "  " + p.T("sdktest.status-failed", "Count", at.Failed)
	}
	if at.Again != "" {
		line += "  " + p.T("sdktest.status-again", "Package", at.Again)
	}
	return line
}

// sdkTestLine is the status with a bar before and what runs behind, as far as there is room.
func sdkTestLine(p *text.Printer, at toolchain.SelfProgress, took time.Duration, width int) string {
	line := sdkTestStatus(p, at, took)
	if room := min(width-text.Columns(line)-5, 30); room >= 8 && at.Total > 0 {
		filled := min(at.Done*room/at.Total, room)
		line = "[" + strings.Repeat("#", filled) + strings.Repeat("-", room-filled) + "]  " + line
	}
	if len(at.Running) > 0 {
		line += "  " + strings.Join(at.Running, " ")
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
