package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/goferry/goferry/internal/bundle"
	"github.com/goferry/goferry/internal/cgo"
	"github.com/goferry/goferry/internal/text"
)

// A ccSetupShow shows how far a compiler is that is fetched and unpacked.
type ccSetupShow struct {
	*display
	state ccSetupState
}

// showCCSetup begins to show what setup does. end must be called.
func (a *app) showCCSetup(setup *cgo.Setup) *ccSetupShow {
	s := &ccSetupShow{}
	s.display = a.show(&s.state, nil)
	setup.Progress = func(at cgo.SetupState) {
		s.mu.Lock()
		s.state.at = at
		s.mu.Unlock()
	}
	return s
}

// ccSetupState is what is known about it.
type ccSetupState struct{ at cgo.SetupState }

func (s *ccSetupState) status(p *text.Printer, _ time.Time) string {
	done := ""
	if s.at.Total > 0 {
		done = fmt.Sprintf("  %s / %s", human(s.at.Done), human(s.at.Total))
	}
	switch s.at.Step {
	case cgo.SetupUpdate:
		return p.T("cgosetup.step-update")
	case cgo.SetupResolve:
		return p.T("cgosetup.step-resolve")
	case cgo.SetupFetch:
		return p.T("cgosetup.step-fetch") + done
	case cgo.SetupUnpack:
		return p.T("cgosetup.step-unpack") + done
	}
	return ""
}

func (s *ccSetupState) total(p *text.Printer, width int, now time.Time) string {
	line := s.status(p, now)
	if s.at.Total > 0 {
		line = withBar(line, float64(s.at.Done)/float64(s.at.Total), width, 30)
	}
	return clip(line, width-1)
}

// show prints what became of a target.
func (r *ccSetup) show(got ccReady) error {
	line := ""
	switch got.State {
	case "failed": // told at the end, with a way out
		return nil
	case "declined":
		line = r.p.T("cgosetup.declined", "Target", got.Target)
	case "saved":
		line = r.p.T("cgosetup.saved", "Target", got.Target, "Bytes", human(got.Bytes), "File", r.flags.save, "Count", got.Packages)
	default:
		line = r.p.T("cgosetup.ready", "Target", got.Target, "Compiler", r.compilerName(got), "What", r.probed(got.Probe))
	}
	_, err := fmt.Fprintln(r.stdout, line)
	return err
}

// compilerName is what a compiler is called, its version, and where it lies if that is goferry's folder.
func (r *ccSetup) compilerName(got ccReady) string {
	if got.Compiler == nil {
		return ""
	}
	c := got.Compiler
	name := filepath.Base(strings.Join(c.CC[:min(1, len(c.CC))], ""))
	switch {
	case got.Dir != "":
		name = c.Where
	case c.Family == cgo.Zig: // which goferry starts
		name = "zig"
	}
	return strings.TrimSpace(name + " " + c.Version)
}

// probed says what a compiler was seen to do.
func (r *ccSetup) probed(p *cgo.Probe) string {
	switch {
	case p == nil:
		return ""
	case p.CXX && p.Ran == "native":
		return r.p.T("cgosetup.probe-cxx-native")
	case p.Ran == "native":
		return r.p.T("cgosetup.probe-c-native")
	case p.CXX && p.Ran != "":
		return r.p.T("cgosetup.probe-cxx-ran", "Name", p.Ran)
	case p.Ran != "":
		return r.p.T("cgosetup.probe-c-ran", "Name", p.Ran)
	case p.CXX:
		return r.p.T("cgosetup.probe-cxx")
	}
	return r.p.T("cgosetup.probe-c")
}

// cgoSetupTargets reads the targets that a command was given, several in one word with commas.
func (a *app) cgoSetupTargets(args []string, command string) (targets []cgo.Target, err error) {
	for _, arg := range args {
		for name := range strings.SplitSeq(arg, ",") {
			t, err := cgo.ParseTarget(strings.TrimSpace(name))
			if err != nil {
				return nil, a.cgoSetupTarget(err, command)
			}
			targets = append(targets, t)
		}
	}
	return targets, nil
}

// cgoSetupTarget says what is wrong with the name of a target.
func (a *app) cgoSetupTarget(err error, command string) error {
	var te *cgo.TargetError
	if !errors.As(err, &te) {
		return err
	}
	if len(te.Near) > 0 {
		return &fault{code: "cgosetup.error.target", args: []any{"Target", te.Text, "Near", strings.Join(te.Near, ", ")}, hint: "hint.did-you-mean", exit: 2, err: err}
	}
	return &fault{code: "cgosetup.error.target", args: []any{"Target", te.Text, "Cmd", command}, hint: "hint.usage", exit: 2, err: err}
}

// fault puts an error of a set-up into words.
func (r *ccSetup) fault(t cgo.Target, err error) error {
	var se *cgo.SetupError
	if errors.Is(err, syscall.ENOSPC) {
		return &fault{code: "cgosetup.error.disk", args: []any{"Dir", r.setup.Home}, hint: "cgosetup.hint.disk", exit: 1, err: err}
	}
	var f *fault
	if errors.As(err, &f) || errors.Is(err, context.Canceled) {
		return err
	}
	var be *bundle.Error
	if errors.As(err, &be) {
		return r.bundleFault(err)
	}
	if !errors.As(err, &se) {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			return &fault{code: "cgosetup.error.file", args: []any{"Err", errLine(err)}, hint: "cgosetup.hint.file", exit: 1, err: err}
		}
		return err
	}
	target, said := t.String(), strings.ReplaceAll(se.Said, "\n", "; ")
	switch se.Code {
	case cgo.SetupOffline:
		return &fault{code: "cgosetup.error.fetch", args: []any{"Target", target, "What", se.What, "Said", said}, hint: "cgosetup.hint.fetch", exit: 12, err: err}
	case cgo.SetupDamaged, cgo.SetupLacking:
		return &fault{code: "cgosetup.error.damaged", args: []any{"Target", target, "File", se.What}, hint: "cgosetup.hint.damaged", exit: 13, err: err}
	case cgo.SetupNoUnpack:
		return &fault{code: "cgosetup.error.no-unpack", args: []any{"Program", se.What}, hint: "cgosetup.hint.no-unpack", exit: 1, err: err}
	case cgo.SetupOtherHost:
		return &fault{code: "cgosetup.error.other-host", args: []any{"Target", target, "Host", se.What, "Here", runtime.GOOS + "/" + runtime.GOARCH}, hint: "cgosetup.hint.other-host", exit: 2, err: err}
	case cgo.SetupNotPack:
		return &fault{code: "cgosetup.error.not-pack", args: []any{"File", strings.Join(r.flags.from, ", ")}, hint: "cgosetup.hint.not-pack", exit: 2, err: err}
	case cgo.SetupNotIn:
		if se.What == "" {
			return &fault{code: "cgosetup.error.no-cc", args: []any{"File", strings.Join(r.flags.from, ", "), "Target", target}, hint: "cgosetup.hint.not-in", exit: 10, err: err}
		}
		return &fault{code: "cgosetup.error.not-in", args: []any{"Target", target, "Have", strings.ReplaceAll(se.What, " ", ", "), "File", strings.Join(r.flags.from, ", ")}, hint: "cgosetup.hint.not-in", exit: 10, err: err}
	case cgo.SetupSpace:
		return &fault{code: "cgosetup.error.space", args: []any{"Dir", se.What}, hint: "cgosetup.hint.space", exit: 2, err: err}
	}
	return r.noWay(t, err)
}

// noWay is the fault of a target that nothing here has a compiler for; the hint has the lines that install one.
func (r *ccSetup) noWay(t cgo.Target, err error) error {
	var lines []string
	for _, l := range cgo.InstallLines(t, runtime.GOOS, r.setup.Release, r.setup.Has) {
		if len(l.Argv) > 0 {
			lines = append(lines, l.Shell())
		}
	}
	switch {
	case t.OS == "darwin":
		return &fault{code: "cgosetup.error.darwin", args: []any{"Target", t.String()}, hint: "cgosetup.hint.darwin", exit: 10, err: err}
	case len(lines) > 0:
		return &fault{code: "cgosetup.error.none", args: []any{"Target", t.String(), "Lines", strings.Join(lines, "   |   ")}, hint: "cgosetup.hint.lines", exit: 10, err: err}
	}
	return &fault{code: "cgosetup.error.none", args: []any{"Target", t.String()}, hint: "cgosetup.hint.none", exit: 10, err: err}
}
