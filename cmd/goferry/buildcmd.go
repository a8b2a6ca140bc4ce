package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/binary"
	"github.com/goferry/goferry/internal/cgo"
	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/gocmd"
)

// A buildJob is what one run of build is asked for.
type buildJob struct {
	o       cgo.BuildOptions
	targets []string
	static  string
	cgo     string
	tags    []string
	require []string
	run     string // --run-test, with arguments for the program
}

// noRun is the value of --run-test that is not given, and runBare that of one without arguments.
const (
	noRun   = "\x00"
	runBare = " "
)

func (a *app) buildCmd() *cobra.Command {
	job := &buildJob{}
	cmd := a.command("build [PACKAGES]", "build", cobra.ArbitraryArgs, a.loaded(func(cmd *cobra.Command, cfg *config.Config, args []string) error {
		job.o.Packages = args
		if err := a.buildArgs(cmd, job); err != nil {
			return err
		}
		return a.build(cmd, cfg, job)
	}))
	a.settingFlags(cmd.Flags(), false)
	a.jsonFlag(cmd)
	fs := cmd.Flags()
	fs.StringSliceVar(&job.targets, "target", nil, a.p.T("build.flag-target"))
	fs.StringVar(&job.static, "static", "", a.p.T("build.flag-static"))
	fs.Lookup("static").NoOptDefVal = string(cgo.Static)
	fs.StringVar(&job.cgo, "cgo", "", a.p.T("build.flag-cgo"))
	fs.StringVarP(&job.o.Out, "out", "o", "dist", a.p.T("build.flag-out"))
	fs.BoolVar(&job.o.Archive, "archive", false, a.p.T("build.flag-archive"))
	fs.StringVar(&job.run, "run-test", noRun, a.p.T("build.flag-run-test"))
	fs.Lookup("run-test").NoOptDefVal = runBare
	fs.StringArrayVar(&job.require, "require", nil, a.p.T("build.flag-require"))
	fs.StringSliceVar(&job.tags, "tags", nil, a.p.T("build.flag-tags"))
	fs.StringVar(&job.o.LDFlags, "ldflags", "", a.p.T("build.flag-ldflags"))
	return cmd
}

// buildArgs checks what can be checked before anything is built.
func (a *app) buildArgs(cmd *cobra.Command, job *buildJob) (err error) {
	o := &job.o
	if o.Targets, err = a.buildTargets(job.targets); err != nil {
		return err
	}
	switch job.static {
	case "", string(cgo.Static), string(cgo.StaticPIE):
		o.Static = cgo.StaticMode(job.static)
	default:
		return misuse(cmd, "--static=pie", "build.error.static", "Value", job.static)
	}
	if o.Cgo, err = a.cgoMode(cmd, job.cgo); err != nil {
		return err
	}
	if o.Cgo == cgo.CgoOff && o.Static == cgo.StaticPIE {
		return misuse(cmd, "", "build.error.pie-off")
	}
	if o.Require, err = parseRequirements(job.require); err != nil {
		return err
	}
	if cmd.Flags().Changed("tags") {
		o.Tags = append([]string{}, job.tags...)
	}
	if job.run != noRun {
		o.Run, o.RunArgs = true, strings.Fields(job.run)
	}
	if o.Out == "" {
		return misuse(cmd, "", "build.error.out")
	}
	o.Time, err = sourceDate(a.env("SOURCE_DATE_EPOCH"))
	return err
}

// cgoMode is the mode that --cgo says, or else CGO_ENABLED, as for the go command.
func (a *app) cgoMode(cmd *cobra.Command, flag string) (cgo.CgoMode, error) {
	switch cgo.CgoMode(flag) {
	case cgo.CgoAuto, cgo.CgoOn, cgo.CgoOff:
		return cgo.CgoMode(flag), nil
	case "":
	default:
		return "", misuse(cmd, "", "build.error.cgo-mode", "Value", flag)
	}
	switch a.env("CGO_ENABLED") {
	case "0":
		return cgo.CgoOff, nil
	case "1":
		return cgo.CgoOn, nil
	}
	return cgo.CgoAuto, nil
}

// buildTargets reads the names of targets; without any, the one that the go command would build for.
func (a *app) buildTargets(names []string) ([]cgo.Target, error) {
	if len(names) == 0 {
		names = []string{cmp.Or(a.env("GOOS"), runtime.GOOS) + "/" + cmp.Or(a.env("GOARCH"), runtime.GOARCH)}
	}
	var targets []cgo.Target
	for _, name := range names {
		t, err := cgo.ParseTarget(strings.TrimSpace(name))
		if err != nil {
			return nil, targetFault(err)
		}
		if !slices.Contains(targets, t) {
			targets = append(targets, t)
		}
	}
	return targets, nil
}

// targetFault says what is wrong with the name of a target, and what is near.
func targetFault(err error) error {
	var te *cgo.TargetError
	if !errors.As(err, &te) {
		return err
	}
	code := "build.error.target-" + te.Kind
	if len(te.Near) > 0 {
		return &fault{code: code, args: []any{"Target", te.Text, "Part", te.Part, "Near", strings.Join(te.Near, ", ")}, hint: "hint.did-you-mean", exit: 2, err: err}
	}
	return &fault{code: code, args: []any{"Target", te.Text, "Part", te.Part, "Cmd", "goferry build"}, hint: "build.hint.target", exit: 2, err: err}
}

// build builds, with a module proxy of its own for what is to be fetched, and says what came of it.
func (a *app) build(cmd *cobra.Command, cfg *config.Config, job *buildJob) error {
	ctx := cmd.Context()
	finder := a.ccFinder(cfg)
	var rep cgo.BuildReport
	show := a.showBuild(len(job.o.Targets))
	defer show.end()
	err := a.proxied(ctx, cfg, newLogger(show, cfg, quietLevel(cfg)), nil, nil, func(_ context.Context, _ *ferry, url string) (err error) {
		b := &cgo.Builder{Runner: a.runner, Finder: finder, Env: []string{"GOPROXY=" + url}, Progress: show.progress}
		rep, err = b.Build(ctx, job.o)
		return err
	})
	show.end()
	if err != nil {
		return a.buildError(job, err)
	}
	idle := idleRequirements(job.o.Require, rep)
	a.exit = buildExit(rep, idle)
	if asJSON(cmd) {
		err = a.json(rep)
	} else {
		err = a.showBuilt(rep)
	}
	a.buildNotes(rep)
	a.buildProblems(job, rep)
	for _, r := range idle {
		a.say(a.p.T("inspect.idle", "Requirement", r))
	}
	return err
}

// buildExit is 0 where all is well, 1 where nothing was built, and 3 where something is missing or not as promised.
func buildExit(rep cgo.BuildReport, idle []string) int {
	switch {
	case rep.Count(cgo.BuildFailed) == len(rep.Targets):
		return 1
	case rep.Count(cgo.BuildOK) < len(rep.Targets) || len(idle) > 0:
		return 3
	}
	return 0
}

// idleRequirements are those that say nothing of any output: who asked for them believes that something was checked.
func idleRequirements(asked []binary.Requirement, rep cgo.BuildReport) (idle []string) {
	about, outputs := map[string]bool{}, 0
	for _, t := range rep.Targets {
		for _, o := range t.Outputs {
			outputs++
			for _, p := range o.Promises {
				about[p.Requirement] = about[p.Requirement] || p.Met != binary.MetNone
			}
		}
	}
	for _, r := range asked {
		if outputs > 0 && !about[r.String()] {
			idle = append(idle, r.String())
		}
	}
	return idle
}

// buildError is the fault of what ended the whole build.
func (a *app) buildError(job *buildJob, err error) error {
	var bf *cgo.BuildFailure
	var te *gocmd.ToolError
	switch {
	case errors.As(err, &bf):
		f := a.buildFailure(job, bf, "")
		return &fault{code: f.code, args: f.args, hint: f.hint, exit: max(f.exit, 1), err: err}
	case errors.As(err, &te):
		return noCommand(err)
	}
	return err
}

// A buildFault is a failure in words.
type buildFault struct {
	code, hint string
	args       []any
	exit       int
	lines      bool // what the tools wrote says more
}

// buildFailure puts a failure in words. target is empty where it has to do with none.
func (a *app) buildFailure(job *buildJob, f *cgo.BuildFailure, target string) buildFault {
	t, _ := cgo.ParseTarget(target)    // the zero target for none
	if f.Code == cgo.FailStaticGlibc { // what is static has no floor, and a compiler without one will do
		t.Floor = ""
		target = t.String()
	}
	line := ""
	if len(f.Lines) > 0 {
		line = strings.TrimSpace(f.Lines[0])
	}
	args := []any{
		"Target", target, "File", f.File, "Name", f.Name, "CC", f.Compiler, "From", f.From, "Machine", cmp.Or(f.Machine, a.p.T("build.machine-other")),
		"Tried", strings.Join(f.Tried, ", "), "Packages", someNames(f.Packages), "Err", line, "Why", a.buildWhy(job, f),
		"Setting", settingOf(target), "Floor", t.Floor, "Install", a.installLine(t), "Out", job.o.Out,
		"Musl", muslOf(t),
	}
	b := buildFault{code: "build.fail." + f.Code, hint: "build.hint." + f.Code, args: args}
	if f.Code == cgo.FailNoCompiler && f.Reason != "" && a.p.Has("build.fail."+f.Reason) {
		b.code, b.hint = "build.fail."+f.Reason, "build.hint."+f.Reason
	}
	if f.Code == cgo.FailWrongCompiler && f.From != "" && f.Machine == "" {
		b.lines = true
	}
	switch f.Code {
	case cgo.FailC, cgo.FailGo, cgo.FailSymbol, cgo.FailPackages, cgo.FailModules, cgo.FailOther:
		b.lines = len(f.Lines) > 1
	case cgo.FailNoProject, cgo.FailNoMain, cgo.FailSameName:
		b.exit = 2
	}
	return b
}

// settingOf names the setting for a compiler for a target.
func settingOf(target string) string {
	t, _ := cgo.ParseTarget(target) // the zero target for none
	return "CC_FOR_" + t.OS + "_" + t.Arch
}

// muslOf is t with musl in place of glibc.
func muslOf(t cgo.Target) string {
	t.Libc, t.Floor = cgo.Musl, ""
	return t.String()
}

// buildWhere begins a line about targets.
func buildWhere(targets []string) string {
	if len(targets) == 1 && targets[0] == "" {
		return ""
	}
	return strings.Join(targets, ", ") + ": "
}

// buildWhy says why cgo is on.
func (a *app) buildWhy(job *buildJob, f *cgo.BuildFailure) string {
	switch {
	case len(f.Packages) > 0:
		return a.p.T("build.why-packages", "Packages", someNames(f.Packages))
	case job.o.Static == cgo.StaticPIE && job.o.Cgo != cgo.CgoOn:
		return a.p.T("build.why-pie")
	}
	return a.p.T("build.why-flag")
}

// someNames are at most three names, and how many more there are.
func someNames(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + fmt.Sprintf(" (+%d)", len(names)-most)
}

// installLine is the line that installs a compiler for t here; empty if there is none.
func (a *app) installLine(t cgo.Target) string {
	if t.OS == "" {
		return ""
	}
	has := func(program string) bool { _, err := a.runner.FindTool(program); return err == nil }
	for _, l := range cgo.InstallLines(t, runtime.GOOS, osRelease(), has) {
		if len(l.Argv) > 0 {
			line := l.Shell()
			if l.Root && os.Geteuid() > 0 && has("sudo") {
				line = "sudo " + line
			}
			return line
		}
	}
	return ""
}
