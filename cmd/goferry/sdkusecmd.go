package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/toolchain"
)

func (a *app) sdkUseCmd() *cobra.Command {
	var project, none bool
	cmd := a.sdkSub("use VERSION", "use", false, func(cmd *cobra.Command, args []string) error {
		if none {
			return a.noArgs(cmd, args)
		}
		return a.oneArg(cmd, args)
	}, func(r *sdkRun, args []string) error {
		switch {
		case project && none:
			return r.useInProject("")
		case none:
			return r.useNone()
		case project:
			return r.useInProject(args[0])
		}
		return r.use(args[0])
	})
	a.jsonFlag(cmd)
	cmd.ValidArgsFunction = a.completeSDKs
	cmd.Flags().BoolVar(&project, "project", false, a.p.T("sdk.flag-project"))
	cmd.Flags().BoolVar(&none, "none", false, a.p.T("sdk.flag-none"))
	return cmd
}

// sdkUseReport is what `sdk use --json` prints.
type sdkUseReport struct {
	Version string `json:"version"` // empty after --none
	Link    string `json:"link,omitempty"`
	File    string `json:"file,omitempty"` // the go.mod or go.work with --project
	Changed bool   `json:"changed"`
}

// use makes a toolchain the default of the user.
func (r *sdkRun) use(query string) error {
	t, err := r.pick(query)
	if err != nil {
		return err
	}
	before, had := r.home.InUse()
	switch err := r.home.Use(t); {
	case errors.Is(err, toolchain.ErrForeign):
		return &fault{code: "sdk.error.foreign", args: []any{"Name", t.String()}, hint: "sdk.hint.foreign", exit: 2, err: err}
	case err != nil:
		return sdkHomeFault(r.home, err)
	}
	if err := r.link(); err != nil {
		return err
	}
	rep := sdkUseReport{Version: string(t.Version), Link: r.home.Default(), Changed: !had || before != t}
	if asJSON(r.cmd) {
		return r.json(rep)
	}
	fmt.Fprintln(r.stdout, r.p.T("sdk.use.done", "Name", sdkName(t), "Link", rep.Link))
	g := r.askGo()
	r.warnGoroot(g)
	r.onPath()
	if cur, err := r.current(g); err == nil && cur.Name != string(t.Version) && cur.Why != toolchain.WhyPath {
		r.say(r.p.T("sdk.use.overruled", "Why", r.whyLine(&cur)))
	}
	return nil
}

// useNone takes the link to the default away.
func (r *sdkRun) useNone() error {
	_, had := r.home.InUse()
	if err := r.home.Unuse(); err != nil {
		return sdkHomeFault(r.home, err)
	}
	if asJSON(r.cmd) {
		return r.json(sdkUseReport{Link: r.home.Default(), Changed: had})
	}
	_, err := fmt.Fprintln(r.stdout, r.p.T("sdk.use.none"))
	return err
}

// useInProject writes the toolchain line of the project in this folder; an empty query takes it away.
func (r *sdkRun) useInProject(query string) error {
	lines, err := r.projectLines()
	if err != nil {
		return err
	}
	var v toolchain.Version
	missing := false
	if query != "" {
		if v, missing, err = r.projectVersion(query, lines); err != nil {
			return err
		}
	}
	data, changed, err := lines.WithToolchain(v)
	switch {
	case errors.Is(err, toolchain.ErrTooOld):
		return &fault{code: "sdk.error.too-old", args: []any{"File", lines.File, "Go", lines.Go, "Version", v.Number()}, hint: "sdk.hint.too-old", exit: 2, err: err}
	case err != nil:
		return &fault{code: "sdk.error.project", args: []any{"Err", errLine(err)}, hint: "fetch.hint.project", exit: 2, err: err}
	}
	if changed {
		if err := sdkReplace(lines.File, data); err != nil {
			return &fault{code: "sdk.error.write", args: []any{"File", lines.File, "Err", plain(err)}, hint: "sdk.hint.write", exit: 1, err: err}
		}
	}
	if asJSON(r.cmd) {
		return r.json(sdkUseReport{Version: string(v), File: lines.File, Changed: changed})
	}
	switch {
	case v == "":
		fmt.Fprintln(r.stdout, r.p.T("sdk.use.project-none", "File", lines.File))
	case v.Number() == lines.Go:
		fmt.Fprintln(r.stdout, r.p.T("sdk.use.project-go", "File", lines.File, "Version", v.Number()))
	default:
		fmt.Fprintln(r.stdout, r.p.T("sdk.use.project", "File", lines.File, "Version", v.Number()))
	}
	if missing {
		r.hint(r.p.T("sdk.hint.project-install", "Version", v.Number()))
	}
	g := r.askGo()
	r.warnGoroot(g)
	if cur, err := r.current(g); v != "" && err == nil && cur.Name != string(v) {
		r.say(r.p.T("sdk.use.overruled", "Why", r.whyLine(&cur)))
		if cur.Why == toolchain.WhyPath && cur.Version.Compare(v) > 0 {
			r.hint(r.p.T("sdk.hint.project-least", "Version", v.Number()))
		}
	}
	return nil
}

// projectVersion is what a query means for a project: an installed toolchain, or a release by its whole name, which
// the go command fetches where it is not here.
func (r *sdkRun) projectVersion(query string, lines toolchain.ProjectLines) (v toolchain.Version, missing bool, err error) {
	t, err := r.pick(query)
	if err == nil {
		return t.Version, false, nil
	}
	v, choiceErr := toolchain.Choose(query, nil, lines.Data)
	if choiceErr == nil && errors.Is(err, toolchain.ErrNotInstalled) {
		return v, true, nil
	}
	return "", false, err
}

// sdkReplace writes a file anew in one step, with the rights it had.
func sdkReplace(file string, data []byte) error {
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	return replaceFile(file, func(f *os.File) error {
		_, err := f.Write(data)
		return errors.Join(err, f.Chmod(info.Mode().Perm()), f.Sync())
	})
}

func (a *app) sdkWhichCmd() *cobra.Command {
	cmd := a.sdkSub("which [VERSION]", "which", false, a.perhapsOneArg, func(r *sdkRun, args []string) error {
		if len(args) == 1 {
			return r.whichInstalled(args[0])
		}
		return r.which()
	})
	a.jsonFlag(cmd)
	cmd.ValidArgsFunction = a.completeSDKs
	return cmd
}

// whichInstalled prints the path of an installed go command.
func (r *sdkRun) whichInstalled(query string) error {
	t, err := r.pick(query)
	if err != nil {
		return err
	}
	root := r.home.Root(t)
	program := toolchain.Program(root)
	if t.OS == "windows" && !strings.HasSuffix(program, ".exe") {
		program += ".exe"
	}
	if asJSON(r.cmd) {
		return r.json(map[string]string{"name": string(t.Version), "program": program, "root": root})
	}
	_, err = fmt.Fprintln(r.stdout, program)
	return err
}

// which prints what go means in this folder, and says why on standard error.
func (r *sdkRun) which() error {
	g := r.askGo()
	cur, err := r.current(g)
	switch {
	case errors.Is(err, toolchain.ErrNoGo):
		return &fault{code: "sdk.error.no-go", hint: "sdk.hint.no-go", exit: 10, err: err}
	case errors.Is(err, toolchain.ErrVersion):
		return &fault{code: "sdk.error.choice", args: []any{"Err", errLine(err)}, hint: "sdk.hint.choice", exit: 2, err: err}
	case err != nil:
		return &fault{code: "sdk.error.project", args: []any{"Err", errLine(err)}, hint: "fetch.hint.project", exit: 2, err: err}
	}
	if cur.Program == "" {
		r.exit = 10
	}
	if asJSON(r.cmd) {
		return r.json(cur)
	}
	if cur.Program != "" {
		fmt.Fprintln(r.stdout, cur.Program)
	}
	r.say(r.whyLine(&cur))
	r.warnGoroot(g)
	if cur.Program == "" {
		r.hint(r.p.T("sdk.hint.project-install", "Version", strings.TrimPrefix(cur.Name, "go")))
	}
	return nil
}

func (a *app) sdkExecCmd() *cobra.Command {
	cmd := a.sdkSub("exec VERSION -- CMD [ARGS…]", "exec", false, func(cmd *cobra.Command, args []string) error {
		if len(sdkArgv(args)) == 0 {
			return misuse(cmd, "", "sdk.error.exec-no-command")
		}
		return nil
	}, func(r *sdkRun, args []string) (err error) {
		r.exit, err = r.execute(args[0], sdkArgv(args))
		return err
	})
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// sdkArgv is the command behind the version, with "--" between them or without.
func sdkArgv(args []string) []string {
	if len(args) == 0 {
		return nil
	}
	argv := args[1:]
	if len(argv) > 0 && argv[0] == "--" {
		argv = argv[1:]
	}
	return argv
}

// execute runs argv with one toolchain: its programs first in PATH, no switching to another one, no GOROOT.
func (r *sdkRun) execute(query string, argv []string) (int, error) {
	t, err := r.pick(query)
	if err != nil {
		return 0, err
	}
	if !t.RunsHere() {
		return 0, &fault{code: "sdk.error.foreign", args: []any{"Name", t.String()}, hint: "sdk.hint.foreign", exit: 2, err: toolchain.ErrForeign}
	}
	r.warnGoroot(sdkGo{})
	runner := r.plainRunner()
	runner.Env = append(runner.Env, "GOTOOLCHAIN=local",
		"PATH="+filepath.Join(r.home.Root(t), "bin")+string(filepath.ListSeparator)+r.env("PATH"))
	code, err := runner.Exec(context.WithoutCancel(r.ctx()), gocmd.ExecCmd{Argv: argv, Stdin: r.stdin, Stdout: r.stdout, Stderr: r.stderr})
	if missing := noCommand(err); missing != nil {
		return 0, missing
	}
	return code, err
}

func (a *app) sdkRemoveCmd() *cobra.Command {
	var force bool
	cmd := a.sdkSub("remove VERSION…", "remove", false, a.someArgs, func(r *sdkRun, args []string) error {
		return r.remove(args, force)
	})
	a.jsonFlag(cmd)
	cmd.ValidArgsFunction = a.completeSDKs
	cmd.Flags().BoolVar(&force, "force", false, a.p.T("sdk.flag-force-remove"))
	return cmd
}

// sdkRemoved is what `sdk remove --json` prints of each toolchain.
type sdkRemoved struct {
	toolchain.Target
	Root  string `json:"root"`
	Bytes int64  `json:"bytes"` // of the record; 0 where there was none
}

// remove removes toolchains; the one in use only if that is forced.
func (r *sdkRun) remove(args []string, force bool) error {
	var targets []toolchain.Target
	for _, arg := range args {
		t, err := r.pickExact(arg)
		if err != nil {
			return err
		}
		targets = append(targets, t)
	}
	def, isDef := r.home.InUse()
	list := []sdkRemoved{}
	for _, t := range targets {
		inUse := isDef && t == def
		if inUse && !force {
			return &fault{code: "sdk.error.in-use", args: []any{"Name", sdkName(t)}, hint: "sdk.hint.in-use", exit: 1}
		}
		rec, _ := r.home.Record(t) // without one nothing is known but that it goes
		if err := toolchain.Remove(r.ctx(), r.home, t); err != nil {
			return r.sdkFault(t, err)
		}
		if inUse {
			if err := r.home.Unuse(); err != nil {
				return sdkHomeFault(r.home, err)
			}
		}
		list = append(list, sdkRemoved{t, r.home.Root(t), rec.Bytes})
	}
	if err := r.link(); err != nil {
		return err
	}
	if asJSON(r.cmd) {
		return r.json(list)
	}
	for _, gone := range list {
		fmt.Fprintln(r.stdout, r.p.T("sdk.remove.done", "Name", sdkName(gone.Target), "Bytes", human(gone.Bytes)))
	}
	return nil
}

// pickExact is pick for what cannot be undone: the query must name a release.
func (r *sdkRun) pickExact(query string) (toolchain.Target, error) {
	t, err := r.pick(query)
	if err != nil {
		return t, err
	}
	if v, err := toolchain.ParseVersion(query); query != t.String() && (err != nil || toolchain.ReleaseName(v) != t.Version) {
		return t, &fault{code: "sdk.error.inexact", args: []any{"Query", query, "Version", t.Version.Number()}, hint: "sdk.hint.inexact", exit: 2}
	}
	return t, nil
}
