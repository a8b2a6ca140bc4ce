package main

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/binary"
	"github.com/goferry/goferry/internal/cgo"
	"github.com/goferry/goferry/internal/text"
)

// A buildShow shows how a build goes on; each target that is done is told at once.
type buildShow struct {
	*display
	state buildState
}

// buildState is how far a build is.
type buildState struct {
	start time.Time
	at    cgo.BuildProgress
}

// showBuild begins to show. end must be called.
func (a *app) showBuild(total int) *buildShow {
	s := &buildShow{state: buildState{start: time.Now(), at: cgo.BuildProgress{Total: total}}}
	s.display = a.show(&s.state, nil)
	return s
}

// progress is a Builder's Progress. Of one target alone nothing is told: the report follows.
func (s *buildShow) progress(p cgo.BuildProgress) {
	s.mu.Lock()
	s.state.at = p
	s.mu.Unlock()
	if p.Finished == nil || p.Total == 1 {
		return
	}
	took := fmt.Sprintf("%.1f s", p.Finished.Seconds)
	line := s.a.p.T("build.done", "Target", p.Finished.Target, "Time", took, "Done", p.Done, "Total", p.Total)
	if p.Finished.Status == cgo.BuildFailed {
		line = s.a.p.T("build.failed", "Target", p.Finished.Target, "Time", took, "Done", p.Done, "Total", p.Total)
	}
	// An error means that nobody can be told.
	_, _ = fmt.Fprintln(s, "goferry: "+line)
}

func (s *buildState) status(p *text.Printer, now time.Time) string {
	line := p.T("build.status", "Done", s.at.Done, "Total", s.at.Total, "Time", clock(now.Sub(s.start)))
	if len(s.at.Running) > 0 {
		line += "  " + strings.Join(s.at.Running, " ")
	}
	return line
}

func (s *buildState) total(p *text.Printer, width int, now time.Time) string {
	line := s.status(p, now)
	if s.at.Total > 1 {
		line = withBar(line, float64(s.at.Done)/float64(s.at.Total), width, 30)
	}
	return clip(line, width-1)
}

// showBuilt prints what was built; nothing where that is nothing.
func (a *app) showBuilt(rep cgo.BuildReport) error {
	if rep.Count(cgo.BuildFailed) == len(rep.Targets) {
		return nil
	}
	var b strings.Builder
	rows := [][]string{{a.p.T("build.col-target"), a.p.T("build.col-compiler"), a.p.T("build.col-output"), a.p.T("build.col-size"), a.p.T("build.col-needs"), a.p.T("build.col-ran")}}
	var below []string // a line under each row
	for _, t := range rep.Targets {
		if t.Status == cgo.BuildFailed {
			rows = append(rows, []string{t.Target, a.compilerCell(t), a.p.T("build.not-built"), nothing, nothing, nothing})
			below = append(below, "")
		}
		for _, o := range t.Outputs {
			file := filepath.Join(rep.Out, filepath.FromSlash(o.File))
			rows = append(rows, []string{t.Target, a.compilerCell(t), file, human(o.Size), a.needsCell(o), a.ranCell(o.Run)})
			below = append(below, a.runsOnLine(o))
		}
	}
	var table strings.Builder
	printColumns(&table, rows, 3)
	lines := strings.Split(strings.TrimRight(table.String(), "\n"), "\n")
	fmt.Fprintln(&b, lines[0])
	for i, line := range lines[1:] {
		fmt.Fprintln(&b, line)
		if below[i] != "" {
			a.lines(&b, "    ", below[i])
		}
	}
	b.WriteString("\n")
	for _, t := range rep.Targets {
		if t.Archive != nil {
			fmt.Fprintln(&b, a.p.T("build.archive", "File", filepath.Join(rep.Out, t.Archive.File), "Bytes", human(t.Archive.Size)))
		}
	}
	n := rep.Count(cgo.BuildOK) + rep.Count(cgo.BuildBroken)
	fmt.Fprintln(&b, a.p.T("build.report", "Count", n, "Total", len(rep.Targets), "Time", fmt.Sprintf("%.1f s", rep.Seconds), "Dir", rep.Out, "Go", rep.Go))
	_, err := io.WriteString(a.stdout, b.String())
	return err
}

// compilerCell names the C compiler of a target.
func (a *app) compilerCell(t *cgo.BuildResult) string {
	if !t.Cgo {
		return a.p.T("build.no-cgo")
	}
	if t.Compiler == nil || len(t.Compiler.CC) == 0 {
		return nothing
	}
	name := filepath.Base(t.Compiler.CC[0])
	if t.Compiler.Family == cgo.Zig {
		name = "zig cc"
	}
	return strings.TrimSpace(name + " " + t.Compiler.Version)
}

// needsCell says what a program asks of its system in a word.
func (a *app) needsCell(o cgo.BuildOutput) string {
	i := o.Info
	if i == nil {
		return nothing
	}
	if o.Static {
		return a.p.T("build.needs-static")
	}
	if i.OS == "windows" { // the C library that a program asks for is a part of it
		if dlls := missingDLLs(o); dlls != "" {
			return dlls
		}
		return a.p.T("build.needs-windows")
	}
	for _, name := range []string{"glibc", "macos"} {
		if f := i.Floor(name); f.Version != "" {
			return name + " " + f.Version
		}
	}
	if o.Libc != "" {
		return map[string]string{"gnu": "glibc"}[o.Libc] + strings.TrimPrefix(o.Libc, "gnu")
	}
	out := (binary.Requirement{Name: "static"}).Check(i)
	if out.Met == binary.MetYes {
		return a.p.T("build.needs-plain")
	}
	return cmp.Or(someNames(strings.Split(out.Detail, ", ")), a.p.T("build.needs-libraries"))
}

// missingDLLs are those that a plain Windows does not have, with commas between.
func missingDLLs(o cgo.BuildOutput) string {
	if out := (binary.Requirement{Name: "windows-plain"}).Check(o.Info); out.Met == binary.MetNo {
		return out.Detail
	}
	return ""
}

// ranCell says what starting a program gave.
func (a *app) ranCell(r *cgo.BuildRun) string {
	switch {
	case r == nil:
		return nothing
	case r.By == "":
		return a.p.T("build.ran-not")
	case r.OK:
		return a.p.T("build.ran-ok", "By", a.runnerName(r.By))
	}
	return a.p.T("build.ran-failed", "By", a.runnerName(r.By), "Code", r.ExitCode)
}

func (a *app) runnerName(by string) string {
	if by == "native" {
		return a.p.T("build.ran-native")
	}
	return by
}

// runsOnLine says on which systems a program runs, or why on none.
func (a *app) runsOnLine(o cgo.BuildOutput) string {
	systems := a.runsOnText(o.Verdicts)
	if systems == "" {
		return ""
	}
	not := slices.DeleteFunc(slices.Clone(o.Verdicts), func(v binary.Verdict) bool { return v.Runs != binary.RunsNot || v.Reason == binary.NoSuchArch })
	if len(o.RunsOn) == 0 && len(not) > 0 {
		why := not[0]
		if o.Info.OS == "windows" { // the newest comes last; that it runs on no older one is another matter
			why = not[len(not)-1]
		}
		systems += a.p.T("build.because", "Why", a.p.T("inspect.reason-"+why.Reason, "Detail", why.Detail))
	}
	return a.p.T("build.runs-on", "Systems", systems)
}

// buildNotes says what the user should know of what was built, each once.
func (a *app) buildNotes(rep cgo.BuildReport) {
	var order []string
	targets, packages := map[string][]string{}, map[string][]string{}
	for _, t := range rep.Targets {
		for _, note := range t.Notes {
			if t.Status == cgo.BuildFailed {
				continue
			}
			if targets[note] == nil {
				order = append(order, note)
			}
			targets[note] = append(targets[note], t.Target)
			for _, p := range t.CgoUses {
				if !slices.Contains(packages[note], p) {
					packages[note] = append(packages[note], p)
				}
			}
		}
	}
	for _, note := range order {
		a.say(a.p.T("build.note."+note, "Targets", strings.Join(targets[note], ", "), "Packages", someNames(packages[note])))
	}
	a.buildDLLs(rep)
	a.notStarted(rep)
}

// buildDLLs says what has to go with programs for Windows, where nobody was promised that it is nothing.
func (a *app) buildDLLs(rep cgo.BuildReport) {
	for _, t := range rep.Targets {
		for _, o := range t.Outputs {
			if o.Info == nil || o.Info.OS != "windows" || len(o.Unmet()) > 0 {
				continue
			}
			if dlls := missingDLLs(o); dlls != "" {
				a.say(a.p.T("build.dlls", "File", o.File, "Names", dlls))
				a.hint(a.p.T("build.hint.dlls", "Names", dlls))
			}
		}
	}
}

// notStarted says why nothing here could start what was to be started, one and the same of several targets once.
func (a *app) notStarted(rep cgo.BuildReport) {
	type reason struct{ why, needs string }
	var order []reason
	targets := map[reason][]string{}
	for _, t := range rep.Targets {
		for _, o := range t.Outputs {
			if o.Run == nil || o.Run.By != "" {
				continue
			}
			r := reason{o.Run.Why, o.Run.Needs}
			if targets[r] == nil {
				order = append(order, r)
			}
			if !slices.Contains(targets[r], t.Target) {
				targets[r] = append(targets[r], t.Target)
			}
		}
	}
	for _, r := range order {
		a.say(a.p.T("build.not-run."+r.why, "Targets", strings.Join(targets[r], ", "), "Needs", r.needs))
		a.hint(a.p.T("build.not-run-way." + r.why))
	}
}

// buildProblems says what went wrong, one and the same of several targets once.
func (a *app) buildProblems(job *buildJob, rep cgo.BuildReport) {
	type problem struct {
		failure *cgo.BuildFailure
		targets []string
	}
	var problems []*problem
	for _, t := range rep.Targets {
		if t.Failure == nil {
			continue
		}
		i := slices.IndexFunc(problems, func(p *problem) bool { return sameFailure(p.failure, t.Failure) })
		if i < 0 {
			problems = append(problems, &problem{t.Failure, []string{t.Target}})
		} else {
			problems[i].targets = append(problems[i].targets, t.Target)
		}
	}
	for _, p := range problems {
		f := a.buildFailure(job, p.failure, p.targets[0])
		a.say(buildWhere(p.targets) + a.p.T(f.code, f.args...))
		if f.lines {
			for _, line := range p.failure.Lines {
				fmt.Fprintln(a.stderr, "  | "+strings.ReplaceAll(line, "\t", "    "))
			}
		}
		if a.p.Has(f.hint) {
			a.hint(a.p.T(f.hint, f.args...))
		}
	}
	a.brokenPromises(rep)
}

// sameFailure reports whether what is wrong with two targets has nothing to do with the targets.
func sameFailure(x, y *cgo.BuildFailure) bool {
	switch x.Code {
	case cgo.FailGo, cgo.FailNoProject, cgo.FailNoMain, cgo.FailPackages, cgo.FailModules, cgo.FailDisk, cgo.FailOut, cgo.FailSameName:
		return x.Code == y.Code && x.File == y.File && slices.Equal(x.Lines, y.Lines)
	case cgo.FailC, cgo.FailHeader, cgo.FailCgoOff:
		return x.Code == y.Code && x.File == y.File && x.Name == y.Name
	}
	return false
}

// brokenPromises says which outputs are not what they were to be.
func (a *app) brokenPromises(rep cgo.BuildReport) {
	for _, t := range rep.Targets {
		for _, o := range t.Outputs {
			for _, u := range o.Unmet() {
				if u.Code == cgo.UnmetCPU {
					a.say(a.p.T("build.unmet-cpu", "File", o.File, "Target", t.Target, "CPU", u.Detail, "CC", a.compilerCell(t)))
					a.hint(a.p.T("build.hint.cpu", "Target", t.Target, "Setting", settingOf(t.Target)))
				} else {
					a.say(a.p.T("build.unmet", "File", o.File, "What", a.outcomeText(u)))
				}
			}
			if r := o.Run; r != nil && r.By != "" && !r.OK {
				a.say(a.p.T("build.run-failed", "File", o.File, "By", a.runnerName(r.By), "Code", r.ExitCode, "Said", r.Said))
			}
		}
	}
	if rep.Count(cgo.BuildBroken) > 0 {
		a.hint(a.p.T("build.hint.broken", "Dir", rep.Out))
	}
}
