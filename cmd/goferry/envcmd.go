package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/shellenv"
)

// An envRun is one run of goferry env.
type envRun struct {
	names                             []string // of shells
	write, remove, system, yes, asked bool
	json                              bool

	m        *shellenv.Machine
	shells   []shellenv.Shell
	entries  []shellenv.Entry
	programs string // where go install puts programs
}

func (a *app) envCmd() *cobra.Command {
	r := &envRun{}
	cmd := a.command("env", "env", a.noArgs, func(cmd *cobra.Command, _ []string) error { return a.runEnv(cmd, r) })
	fs := cmd.Flags()
	fs.StringSliceVar(&r.names, "shell", nil, a.p.T("env.flag-shell"))
	fs.BoolVar(&r.write, "write", false, a.p.T("env.flag-write"))
	fs.BoolVar(&r.remove, "remove", false, a.p.T("env.flag-remove"))
	fs.BoolVar(&r.system, "system", false, a.p.T("env.flag-system"))
	fs.BoolVarP(&r.yes, "yes", "y", false, a.p.T("env.flag-yes"))
	fs.String("sdk-dir", "", a.p.T("config.sdk.dir"))
	a.jsonFlag(cmd)
	_ = cmd.RegisterFlagCompletionFunc("shell", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return envShellNames(), cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

func envShellNames() []string {
	var names []string
	for _, sh := range (&shellenv.Machine{OS: runtime.GOOS}).Known() {
		names = append(names, string(sh))
	}
	return names
}

func (a *app) runEnv(cmd *cobra.Command, r *envRun) error {
	// The go command may be what is broken here: it is not asked for settings that nobody needs.
	cfg, err := a.loadWith(cmd, func(name string) (string, error) { return a.env(name), nil })
	if err != nil {
		return err
	}
	r.json, r.asked = asJSON(cmd), cmd.Flags().Changed("shell")
	switch {
	case r.write && r.remove:
		return misuse(cmd, "", "env.error.both")
	case r.system && !r.write && !r.remove:
		return misuse(cmd, "", "env.error.system-alone")
	case r.system && r.asked:
		return misuse(cmd, "", "env.error.system-shell")
	}
	if err := a.envSetUp(cmd.Context(), cfg, r); err != nil {
		return err
	}
	if r.write || r.remove {
		return a.changeEnv(cfg, r)
	}
	return a.printEnv(r)
}

// envSetUp finds out about the machine, and what belongs on its PATH.
func (a *app) envSetUp(ctx context.Context, cfg *config.Config, r *envRun) error {
	home, err := os.UserHomeDir()
	if err != nil || !filepath.IsAbs(home) {
		return &fault{code: "env.error.no-home", hint: "env.hint.no-home", exit: 1, err: err}
	}
	r.m = &shellenv.Machine{OS: runtime.GOOS, Home: home, Env: a.env}
	shellenv.System(r.m)
	sdk, err := homeOf(cfg)
	if err != nil {
		return err
	}
	r.programs = a.envPrograms(ctx, home)
	r.entries = []shellenv.Entry{{Dir: filepath.Join(sdk.Default(), "bin")}, {Dir: sdk.Bin()}}
	if r.programs != "" && !r.system { // it is another folder for each user
		r.entries = append(r.entries, shellenv.Entry{Dir: r.programs, Last: true, Optional: true})
	}
	for _, name := range r.names {
		sh, err := shellenv.ParseShell(name)
		if err != nil {
			return &fault{code: "env.error.shell", args: []any{"Name", name, "Names", strings.Join(envShellNames(), ", ")}, hint: "env.hint.shell", exit: 2, err: err}
		}
		if !slices.Contains(r.shells, sh) {
			r.shells = append(r.shells, sh)
		}
	}
	if len(r.shells) == 0 {
		r.shells = r.m.InUse()
	}
	return nil
}

// envPrograms is where go install puts programs: GOBIN, else bin in the first folder of GOPATH. Without a
// go command, which may be what the user is about to get, it is what that would say.
func (a *app) envPrograms(ctx context.Context, home string) string {
	// An exported GOROOT would only keep it from starting.
	env := slices.DeleteFunc(a.runner.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "GOROOT=") })
	set, err := (&gocmd.Runner{Go: a.runner.Go, Env: env}).GoEnv(ctx, "GOBIN", "GOPATH")
	if err != nil {
		set = map[string]string{"GOBIN": a.env("GOBIN"), "GOPATH": a.env("GOPATH")}
	}
	if dir := set["GOBIN"]; filepath.IsAbs(dir) {
		return filepath.Clean(dir)
	}
	for _, dir := range filepath.SplitList(set["GOPATH"]) {
		if filepath.IsAbs(dir) {
			return filepath.Join(dir, "bin")
		}
	}
	return filepath.Join(home, "go", "bin")
}

// envReport is what goferry env --json prints.
type envReport struct {
	Shells  []shellenv.Shell `json:"shells"`
	Entries []string         `json:"entries"` // in the order of the PATH
	Lines   string           `json:"lines,omitempty"`
	Changes []*envChange     `json:"changes,omitempty"`
	Failed  []envFailure     `json:"failed,omitempty"`
	Notes   []envNote        `json:"notes"`
}

type envChange struct {
	File    string           `json:"file"`
	Shells  []shellenv.Shell `json:"shells"`
	Action  string           `json:"action"` // none, create, change, delete
	Diff    string           `json:"diff,omitempty"`
	Written bool             `json:"written"`
}

type envFailure struct {
	File  string `json:"file"`
	Line  int    `json:"line,omitempty"`
	Error string `json:"error"`
}

type envNote struct {
	Code  string         `json:"code"`
	Shell shellenv.Shell `json:"shell,omitempty"`
	Dir   string         `json:"dir,omitempty"`
	File  string         `json:"file,omitempty"`
	Line  int            `json:"line,omitempty"`
	Other string         `json:"other,omitempty"`
	Text  string         `json:"text"`

	kind shellenv.Kind
}

// printEnv prints the lines for one shell.
func (a *app) printEnv(r *envRun) error {
	sh := r.shells[0]
	entries := r.m.Wanted(r.shells, r.entries)
	lines, err := r.m.Lines(sh, entries)
	if err != nil {
		return envFolderFault(err)
	}
	// What the lines are about to mend is no news.
	notes := slices.DeleteFunc(a.envNotes(r), func(n envNote) bool {
		return n.kind == shellenv.KindPending || n.kind == shellenv.KindMissing
	})
	if r.json {
		return a.json(envReport{Shells: r.shells[:1], Entries: envDirs(entries), Lines: lines, Notes: notes})
	}
	if _, err := fmt.Fprint(a.stdout, lines); err != nil {
		return err
	}
	if isTerminal(a.stdout) { // else a shell reads it, perhaps at each start
		a.sayNotes(notes)
	}
	return nil
}

func envDirs(entries []shellenv.Entry) []string {
	dirs := []string{}
	for _, e := range entries {
		dirs = append(dirs, e.Dir)
	}
	return dirs
}

func envFolderFault(err error) error {
	if errors.Is(err, shellenv.ErrFolder) {
		return &fault{code: "env.error.folder", args: []any{"Err", err}, hint: "env.hint.folder", exit: 2, err: err}
	}
	return err
}

// changeEnv plans, shows, asks, and writes.
func (a *app) changeEnv(cfg *config.Config, r *envRun) error {
	plan, err := r.plan()
	if fe := (*shellenv.FileError)(nil); errors.As(err, &fe) && errors.Is(err, shellenv.ErrShell) {
		return &fault{code: "env.error.no-file", args: []any{"Name", fe.File, "Names", strings.Join(envShellNames(), ", ")}, hint: "env.hint.shell", exit: 2, err: err}
	} else if err != nil {
		return envFolderFault(err)
	}
	report := envReport{Shells: r.shells, Entries: envDirs(r.m.Wanted(r.shells, r.entries))}
	if r.remove || r.system {
		report.Shells = []shellenv.Shell{}
	}
	for _, c := range plan.Changes {
		report.Changes = append(report.Changes, &envChange{File: c.File, Shells: c.Shells, Action: envAction(c), Diff: c.Diff()})
		if !r.json {
			fmt.Fprint(a.stdout, c.Diff())
		}
	}
	for _, fe := range plan.Failed {
		report.Failed = append(report.Failed, a.envFailed(r, fe))
	}
	var refused error
	if !plan.Same() {
		var agreed bool
		if agreed, refused = a.envAgreed(r); agreed {
			a.applyEnv(r, plan, &report)
		}
	}
	report.Notes = a.envNotes(r)
	if r.system && r.write {
		if dir := r.m.Private(cfg.SDKDir); dir != "" {
			report.Notes = append(report.Notes, a.envNote(shellenv.Note{Kind: "private", Dir: dir}))
		}
	}
	if len(report.Failed) > 0 {
		a.exit = 3
	}
	if r.json {
		err = a.json(report)
	} else {
		err = a.showEnv(r, plan, report)
	}
	return errors.Join(err, refused)
}

func (r *envRun) plan() (*shellenv.Plan, error) {
	own := envDirs(slices.DeleteFunc(slices.Clone(r.entries), func(e shellenv.Entry) bool { return e.Optional }))
	switch {
	case r.write && r.system:
		return r.m.WriteSystem(r.entries)
	case r.write:
		return r.m.Write(r.shells, r.entries)
	case r.system:
		return r.m.RemoveSystem(own), nil
	case r.asked:
		return r.m.Remove(r.shells, own), nil
	}
	return r.m.Remove(r.m.Known(), own), nil
}

func envAction(c *shellenv.Change) string {
	switch {
	case c.Same():
		return "none"
	case !c.Exists:
		return "create"
	case !c.Remains:
		return "delete"
	}
	return "change"
}

// envAgreed reports whether the user wants the changes that were shown. Where nobody can be asked, only
// --yes does it; the error says so.
func (a *app) envAgreed(r *envRun) (bool, error) {
	if r.yes {
		return true, nil
	}
	if r.json || !isTerminal(a.stdin) || !isTerminal(a.stderr) {
		return false, &fault{code: "env.error.not-agreed", hint: "env.hint.not-agreed", exit: 2}
	}
	fmt.Fprint(a.stderr, a.p.T("env.ask")+" ")
	line, _ := bufio.NewReader(a.stdin).ReadString('\n') // an end without an answer is none
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes", "是", "好":
		return true, nil
	}
	return false, nil
}

func (a *app) applyEnv(r *envRun, plan *shellenv.Plan, report *envReport) {
	for i, c := range plan.Changes {
		if err := r.m.Apply(c); err != nil {
			var fe *shellenv.FileError
			if !errors.As(err, &fe) {
				fe = &shellenv.FileError{File: c.File, Err: err}
			}
			report.Failed = append(report.Failed, a.envFailed(r, fe))
		} else if !c.Same() {
			report.Changes[i].Written = true
		}
	}
}

// envFailed says why a file was left as it is.
func (a *app) envFailed(r *envRun, fe *shellenv.FileError) envFailure {
	f := envFailure{File: fe.File, Line: fe.Line, Error: fe.Error()}
	a.say(a.p.T("env.error.file", "Err", fe.Error()))
	switch {
	case errors.Is(fe, shellenv.ErrBroken):
		a.hint(a.p.T("env.hint.broken"))
	case errors.Is(fe, shellenv.ErrChanged):
		a.hint(a.p.T("env.hint.changed"))
	case errors.Is(fe, fs.ErrPermission) && r.system:
		a.hint(a.p.T("env.hint.rights"))
	default:
		a.hint(a.p.T("env.hint.by-hand"))
	}
	return f
}

// showEnv says what was done, and what it takes to have it.
func (a *app) showEnv(r *envRun, plan *shellenv.Plan, report envReport) error {
	written := false
	for _, c := range report.Changes {
		if !c.Written {
			continue
		}
		written = true
		if _, err := fmt.Fprintln(a.stdout, a.p.T("env.did-"+c.Action, "File", c.File, "Shells", envWords(c.Shells))); err != nil {
			return err
		}
	}
	switch {
	case plan.Same() && len(report.Failed) == 0 && r.remove:
		fmt.Fprintln(a.stdout, a.p.T("env.nothing-removed"))
	case plan.Same() && len(report.Failed) == 0:
		fmt.Fprintln(a.stdout, a.p.T("env.nothing-written"))
	case !plan.Same() && !written:
		fmt.Fprintln(a.stdout, a.p.T("env.unchanged"))
	}
	a.sayNotes(report.Notes)
	return nil
}

func envWords(shells []shellenv.Shell) string {
	var words []string
	for _, sh := range shells {
		words = append(words, string(sh))
	}
	return strings.Join(words, ", ")
}

// envNotes is what the user should know beside.
func (a *app) envNotes(r *envRun) []envNote {
	notes := []envNote{}
	for _, n := range r.m.Look(r.shells, r.entries[0].Dir, r.programs) {
		if r.remove && n.Kind != shellenv.KindGoroot {
			continue
		}
		if r.system && (n.Kind == shellenv.KindLoginShell || n.Kind == shellenv.KindMissing) {
			continue
		}
		notes = append(notes, a.envNote(n))
	}
	return notes
}

func (a *app) envNote(n shellenv.Note) envNote {
	code := "env.note-" + string(n.Kind)
	if n.File != "" && a.p.Has(code+"-at") {
		code += "-at"
	}
	now := `eval "$(goferry env)"`
	switch {
	case runtime.GOOS == "windows":
		now = "goferry env | Out-String | Invoke-Expression"
	case strings.HasSuffix(a.env("SHELL"), "/fish"):
		now = "goferry env | source"
	}
	return envNote{
		kind: n.Kind, Code: code, Shell: n.Shell, Dir: n.Dir, File: n.File, Line: n.Line, Other: n.Other,
		Text: a.p.T(code, "Shell", n.Shell, "Dir", n.Dir, "File", n.File, "Line", n.Line, "Other", n.Other, "Now", now),
	}
}

func (a *app) sayNotes(notes []envNote) {
	for _, n := range notes {
		a.say(n.Text)
	}
}
