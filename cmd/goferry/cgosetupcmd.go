package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/cgo"
	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/gocmd"
)

// cgoSetupFlags are the flags of goferry cgo setup.
type cgoSetupFlags struct {
	user, yes bool
	save      string
	from      []string
}

func (a *app) cgoSetupCmd() *cobra.Command {
	var flags cgoSetupFlags
	some := func(cmd *cobra.Command, args []string) error { return a.argCount(cmd, args, 1, 1000) }
	cmd := a.command("setup TARGET…", "cgosetup", some, a.loaded(func(cmd *cobra.Command, cfg *config.Config, args []string) error {
		if asJSON(cmd) && !flags.yes && flags.save == "" {
			return misuse(cmd, "", "cgosetup.error.json")
		}
		if flags.save != "" && len(flags.from) > 0 {
			return misuse(cmd, "", "cgosetup.error.save-from")
		}
		return a.cgoSetup(cmd, cfg, args, flags)
	}))
	a.settingFlag(cmd.Flags(), "sdk.dir")
	a.settingFlag(cmd.Flags(), "bundle.trust")
	a.jsonFlag(cmd)
	fs := cmd.Flags()
	fs.BoolVar(&flags.user, "user", false, a.p.T("cgosetup.flag-user"))
	fs.BoolVarP(&flags.yes, "yes", "y", false, a.p.T("cgosetup.flag-yes"))
	fs.StringVar(&flags.save, "save", "", a.p.T("cgosetup.flag-save"))
	fs.StringSliceVar(&flags.from, "from", nil, a.p.T("cgosetup.flag-from"))
	return cmd
}

// A ccReady is what became of one target, as cgo setup --json prints it.
type ccReady struct {
	Target   string        `json:"target"`
	State    string        `json:"state"` // ready, installed, unpacked, saved, declined, failed
	Compiler *cgo.Compiler `json:"compiler,omitempty"`
	Probe    *cgo.Probe    `json:"probe,omitempty"`
	Line     string        `json:"line,omitempty"`     // that was run, or would have been
	Dir      string        `json:"dir,omitempty"`      // that it was unpacked into
	Packages int           `json:"packages,omitempty"` // how many
	Bytes    int64         `json:"bytes,omitempty"`    // of them
	Error    string        `json:"error,omitempty"`
}

// A ccSetup is one run of goferry cgo setup.
type ccSetup struct {
	*app
	ctx    context.Context
	flags  cgoSetupFlags
	from   ccSources
	setup  *cgo.Setup
	finder func() *cgo.Finder // a new one, which has not seen what was there before
	asks   *bufio.Reader
	packs  []*cgo.Pack // to be saved
	dirs   []string    // of their packages
}

// cgoSetup gets a compiler for each target. What fails for one does not stop the others.
func (a *app) cgoSetup(cmd *cobra.Command, cfg *config.Config, args []string, flags cgoSetupFlags) (err error) {
	if _, err := homeOf(cfg); err != nil {
		return err
	}
	targets, err := a.cgoSetupTargets(args, "goferry cgo setup")
	if err != nil {
		return err
	}
	from, err := a.ccSources(cfg, flags.from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeBundles(from.bundles)) }()
	r := &ccSetup{app: a, from: from, ctx: cmd.Context(), flags: flags, asks: bufio.NewReader(a.stdin),
		setup:  &cgo.Setup{Runner: a.runner, Home: ccHome(cfg), Release: osRelease()},
		finder: func() *cgo.Finder { return a.ccFinder(cfg) },
	}
	var all []ccReady
	var faults []error
	for _, t := range targets {
		got, err := r.one(t)
		got.Target = t.String()
		if err != nil {
			if r.ctx.Err() != nil {
				return context.Cause(r.ctx)
			}
			err = r.fault(t, err)
			got.State, got.Error = "failed", a.faultLine(err)
			faults = append(faults, err)
		}
		all = append(all, got)
		if !asJSON(cmd) {
			if err := r.show(got); err != nil {
				return err
			}
		}
	}
	if err := r.save(); err != nil {
		return r.fault(cgo.Target{}, err)
	}
	return r.end(cmd, all, faults)
}

// end reports, and sets the exit code: 3 where something is missing.
func (r *ccSetup) end(cmd *cobra.Command, all []ccReady, faults []error) error {
	for _, got := range all {
		if got.State == "declined" || got.State == "failed" && len(faults) < len(all) {
			r.exit = 3
		}
	}
	if asJSON(cmd) {
		if err := r.json(all); err != nil {
			return err
		}
	}
	if len(faults) == len(all) {
		return errors.Join(faults...)
	}
	for _, err := range faults {
		r.report(err)
	}
	return nil
}

// faultLine is an error in one line.
func (a *app) faultLine(err error) string {
	var f *fault
	if errors.As(err, &f) {
		return a.p.T(f.code, f.args...)
	}
	return errLine(err)
}

// one gets the compiler for one target.
func (r *ccSetup) one(t cgo.Target) (ccReady, error) {
	switch {
	case r.flags.save != "":
		return r.forSave(t)
	case len(r.flags.from) > 0:
		return r.fromFiles(t)
	}
	if !r.flags.user {
		if got, ok := r.ready(t, false); ok {
			got.State = "ready"
			return got, nil
		}
		if got, ok, err := r.bySystem(t); ok || err != nil {
			return got, err
		}
	}
	got, err := r.byUser(t)
	var se *cgo.SetupError
	if errors.As(err, &se) && (se.Code == cgo.SetupNoApt || se.Code == cgo.SetupNoPackage || se.Code == cgo.SetupUnknown) {
		if line, ok := r.setup.ZigLine(t); ok {
			return r.byZig(t, line)
		}
	}
	return got, err
}

// ready finds a compiler that works; own ones are those of goferry's folder.
func (r *ccSetup) ready(t cgo.Target, own bool) (ccReady, bool) {
	finder := r.finder()
	list, err := finder.Find(r.ctx, t)
	if err != nil {
		return ccReady{}, false
	}
	for _, c := range list {
		if own && !r.owns(c) {
			continue
		}
		probe, err := finder.Try(r.ctx, c)
		if err == nil && probe.C {
			return ccReady{Compiler: &c, Probe: &probe}, true
		}
	}
	return ccReady{}, false
}

// owns reports whether a compiler lies in goferry's folder.
func (r *ccSetup) owns(c cgo.Compiler) bool {
	return strings.HasPrefix(c.Where, r.setup.Home+string(filepath.Separator))
}

// tried is what a compiler that was just set up does.
func (r *ccSetup) tried(t cgo.Target, got ccReady, own bool) (ccReady, error) {
	now, ok := r.ready(t, own)
	if ok {
		got.Compiler, got.Probe = now.Compiler, now.Probe
		return got, nil
	}
	said, finder := "", r.finder()
	if list, err := finder.Find(r.ctx, t); err == nil {
		for _, c := range list {
			if probe, err := finder.Try(r.ctx, c); err == nil && said == "" && (!own || r.owns(c)) {
				said = oneLine(probe.Said, 300)
			}
		}
	} else {
		said = errLine(err)
	}
	return got, &fault{code: "cgosetup.error.try", args: []any{"Target", t.String(), "Said", said}, hint: "cgosetup.hint.try", exit: 1}
}

// bySystem runs the line of the system's package manager after a yes; false where there is none that this user may run.
func (r *ccSetup) bySystem(t cgo.Target) (ccReady, bool, error) {
	for _, line := range cgo.InstallLines(t, runtime.GOOS, r.setup.Release, r.setup.Has) {
		if len(line.Argv) == 0 || !r.setup.Has(line.Argv[0]) || line.System == "npm" || line.System == "pip" {
			continue
		}
		if line.Root && os.Geteuid() != 0 {
			r.tell(r.p.T("cgosetup.root", "Target", t.String(), "Line", "sudo "+line.Shell()))
			continue
		}
		argv := line.Argv
		if line.System == "apt" && !r.setup.Known(r.ctx, line.Packages) { // images have no lists of packages until they are fetched
			argv = []string{"sh", "-c", "apt-get update && " + line.Shell()}
		}
		shown := cgo.Line{Argv: argv}.Shell()
		if argv[0] == "sh" {
			shown = argv[2]
		}
		got := ccReady{State: "installed", Line: shown}
		r.tell(r.p.T("cgosetup.line", "Target", t.String(), "Line", shown))
		if !r.agreed() {
			got.State = "declined"
			return got, true, nil
		}
		code, err := r.runner.Exec(r.ctx, gocmd.ExecCmd{Argv: argv, Stdout: r.stderr, Stderr: r.stderr, Env: []string{"DEBIAN_FRONTEND=noninteractive"}})
		if err == nil && code != 0 {
			err = &fault{code: "cgosetup.error.line", args: []any{"Line", shown, "Code", code}, hint: "cgosetup.hint.line", exit: 1}
		}
		if err != nil {
			return got, true, err
		}
		got, err = r.tried(t, got, false)
		return got, true, err
	}
	return ccReady{}, false, nil
}

// byUser unpacks Debian packages into the folder of the user.
func (r *ccSetup) byUser(t cgo.Target) (ccReady, error) {
	show := r.showCCSetup(r.setup)
	defer show.end()
	p, err := r.setup.Plan(r.ctx, t, false)
	show.end()
	if err != nil {
		return ccReady{}, err
	}
	dir := r.setup.Dir(p)
	got := ccReady{State: "unpacked", Dir: dir, Packages: len(p.Debs), Bytes: p.Bytes()}
	if r.setup.Installed(p) {
		if now, ok := r.ready(t, true); ok {
			now.State, now.Dir = "ready", dir
			return now, nil
		}
	}
	r.tell(r.p.T("cgosetup.unpack", "Target", t.String(), "Dir", dir, "Bytes", human(p.Bytes()), "Count", len(p.Debs)))
	if !r.agreed() {
		got.State = "declined"
		return got, nil
	}
	show = r.showCCSetup(r.setup)
	defer show.end()
	debs, err := r.setup.Fetch(r.ctx, t, p)
	if err == nil {
		err = r.setup.Install(r.ctx, p, debs)
	}
	show.end()
	if err != nil {
		return got, err
	}
	return r.kept(t, p, got)
}

// kept tries what was installed, and takes it away again where it does not work.
func (r *ccSetup) kept(t cgo.Target, p *cgo.Pack, got ccReady) (ccReady, error) {
	got, err := r.tried(t, got, true)
	if err != nil && r.ctx.Err() == nil {
		return got, errors.Join(err, r.setup.Remove(t))
	}
	if err != nil {
		return got, err
	}
	return got, r.setup.DropFetched(p)
}

// byZig puts zig into the folder of the user.
func (r *ccSetup) byZig(t cgo.Target, line cgo.Line) (ccReady, error) {
	got := ccReady{State: "installed", Line: line.Shell(), Dir: r.setup.ZigDir()}
	if now, ok := r.ready(t, true); ok {
		now.State = "ready"
		return now, nil
	}
	r.tell(r.p.T("cgosetup.zig", "Target", t.String(), "Line", line.Shell()))
	if !r.agreed() {
		got.State = "declined"
		return got, nil
	}
	show := r.showCCSetup(r.setup)
	defer show.end()
	err := r.setup.InstallZig(r.ctx, t, line)
	show.end()
	if err != nil {
		return got, err
	}
	return r.tried(t, got, true)
}

// forSave fetches what a file for other machines needs.
func (r *ccSetup) forSave(t cgo.Target) (ccReady, error) {
	show := r.showCCSetup(r.setup)
	defer show.end()
	p, err := r.setup.Plan(r.ctx, t, true)
	if err != nil {
		return ccReady{}, err
	}
	dir, err := r.setup.Fetch(r.ctx, t, p)
	if err != nil {
		return ccReady{}, err
	}
	r.packs, r.dirs = append(r.packs, p), append(r.dirs, dir)
	return ccReady{State: "saved", Packages: len(p.Debs), Bytes: p.Bytes()}, nil
}

// save writes the file, beside its place first.
func (r *ccSetup) save() (err error) {
	if len(r.packs) == 0 {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(r.flags.save), ".goferry-cc-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	err = cgo.SavePacks(f, r.packs, r.dirs)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	for _, p := range r.packs {
		if err := r.setup.DropFetched(p); err != nil {
			return err
		}
	}
	return os.Rename(f.Name(), r.flags.save)
}

// tell says what is about to be done, to whoever is asked.
func (r *ccSetup) tell(line string) { fmt.Fprintln(r.stderr, line) }

// agreed asks whether to do what was told. An end without an answer is a no.
func (r *ccSetup) agreed() bool {
	if r.flags.yes {
		return true
	}
	fmt.Fprint(r.stderr, r.p.T("cgosetup.ask")+" ")
	line, err := r.asks.ReadString('\n')
	if err != nil {
		fmt.Fprintln(r.stderr)
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes", "是", "好":
		return true
	}
	return false
}
