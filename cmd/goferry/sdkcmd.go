package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/toolchain"
)

func (a *app) sdkCmd() *cobra.Command {
	return a.group("sdk COMMAND", "sdk", a.sdkListCmd(), a.sdkInstallCmd(), a.sdkUseCmd(), a.sdkWhichCmd(), a.sdkExecCmd(), a.sdkVerifyCmd(), a.sdkRepairCmd(),
		a.sdkRemoveCmd(), a.sdkImportCmd(), a.sdkTestCmd(), a.sdkTraceCmd())
}

// An sdkRun is one run of a command about SDKs.
type sdkRun struct {
	*app
	cmd  *cobra.Command
	cfg  *config.Config
	home toolchain.Home
}

func (r *sdkRun) ctx() context.Context { return r.cmd.Context() }

// sdkSub makes a command about SDKs. network says that it may ask somebody.
func (a *app) sdkSub(use, name string, network bool, args cobra.PositionalArgs, run func(r *sdkRun, args []string) error) *cobra.Command {
	cmd := a.command(use, "sdk."+name, args, a.loaded(func(cmd *cobra.Command, cfg *config.Config, got []string) error {
		home, err := homeOf(cfg)
		if err != nil {
			return err
		}
		return run(&sdkRun{a, cmd, cfg, home}, got)
	}))
	a.settingFlags(cmd.Flags(), false)
	cmd.Flags().SetNormalizeFunc(sdkFlagName)
	shown := " sdk-dir "
	if network {
		shown = " sdk-dir sdk-sources sdk-keyring upstream cache offline sumdb "
	}
	for _, s := range config.Table() {
		if f := cmd.Flags().Lookup(s.Flag); f != nil {
			f.Hidden = !strings.Contains(shown, " "+s.Flag+" ")
		}
	}
	return cmd
}

// sdkFlagName lets --keyring stand for --sdk-keyring.
func sdkFlagName(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	if name == "keyring" {
		name = "sdk-keyring"
	}
	return pflag.NormalizedName(name)
}

// finder looks for toolchains on this machine.
func (r *sdkRun) finder(modCache string) toolchain.Finder {
	f := r.sdkFinder(r.home)
	f.ModCache = modCache
	return f
}

// sdkFinder looks in home, in PATH and in the folders of the user.
func (a *app) sdkFinder(home toolchain.Home) toolchain.Finder {
	f := toolchain.Finder{Home: home, Path: filepath.SplitList(a.env("PATH")), Dirs: map[string]string{}}
	if user, err := os.UserHomeDir(); err == nil {
		f.User = user
	}
	for _, name := range toolchain.FinderVariables() {
		f.Dirs[name] = a.env(name)
	}
	return f
}

// sdkGo is what the go command in PATH says of its settings.
type sdkGo struct {
	env map[string]string // empty where there is no go command
	dir string            // of the user
}

// askGo asks the go command. That there is none, or that it does not work, is no error here: an SDK manager is
// what helps then.
func (r *sdkRun) askGo() sdkGo {
	dir, err := os.Getwd()
	if err != nil {
		dir = "." // gone, perhaps; then it lies in no module
	}
	env, err := r.askGoEnv(r.ctx(), "GOTOOLCHAIN", "GOMODCACHE", "GOVERSION", "GO111MODULE", "GOENV")
	if err != nil {
		env = map[string]string{}
	}
	return sdkGo{env: env, dir: dir}
}

// current is what go means in the current folder. The error matches toolchain.ErrNoGo where it means nothing.
func (r *sdkRun) current(g sdkGo) (toolchain.Current, error) {
	return toolchain.Selector{
		Finder: r.finder(g.env["GOMODCACHE"]), Dir: g.dir, Setting: g.env["GOTOOLCHAIN"], GOWORK: r.env("GOWORK"),
		Local: g.env["GOVERSION"], GOMOD: g.env["GO111MODULE"] != "off",
	}.Current()
}

// gorootOf is the GOROOT that somebody set, and where; empty where nobody did.
func (r *sdkRun) gorootOf(g sdkGo) (value, where string) {
	if v := r.env("GOROOT"); v != "" {
		return v, "environment"
	}
	data, err := os.ReadFile(g.env["GOENV"])
	if err != nil {
		return "", ""
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "GOROOT="); ok && v != "" {
			return v, "goenv"
		}
	}
	return "", ""
}

// warnGoroot tells of a GOROOT that somebody set: every go command but the one of that folder then runs compilers
// of another version.
func (r *sdkRun) warnGoroot(g sdkGo) {
	value, where := r.gorootOf(g)
	switch where {
	case "environment":
		r.say(r.p.T("sdk.warn.goroot", "Value", value))
		r.hint(r.p.T("sdk.hint.goroot"))
	case "goenv":
		r.say(r.p.T("sdk.warn.goroot-goenv", "Value", value))
		r.hint(r.p.T("sdk.hint.goroot-goenv"))
	}
}

// completeSDKs offers the versions that are installed.
func (a *app) completeSDKs(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	cfg, err := a.load(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	home, err := homeOf(cfg)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	recs, err := home.Installed()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, rec := range recs {
		names = append(names, strings.TrimPrefix(sdkName(rec.Target), "go"))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// installed lists the versions of the toolchains in home that are for this system, newest first.
func (r *sdkRun) installed() ([]toolchain.Version, error) {
	recs, err := r.home.Installed()
	if err != nil {
		return nil, sdkHomeFault(r.home, err)
	}
	var list []toolchain.Version
	for _, rec := range recs {
		if rec.Target == toolchain.Here(rec.Version) && r.home.Has(rec.Target) {
			list = append(list, rec.Version)
		}
	}
	return list, nil
}

// pick says which installed toolchain a query means: a version, a minor, latest, go.mod; or the whole name of
// one for another system.
func (r *sdkRun) pick(query string) (toolchain.Target, error) {
	if t, err := toolchain.ParseModuleVersion("v0.0.1-" + query); err == nil && r.home.Has(t) {
		return t, nil
	}
	known, err := r.installed()
	if err != nil {
		return toolchain.Target{}, err
	}
	goMod, err := r.goMod(query)
	if err != nil {
		return toolchain.Target{}, err
	}
	v, err := toolchain.Choose(query, known, goMod)
	if err == nil && !r.home.Has(toolchain.Here(v)) {
		err = toolchain.ErrNotInstalled // nothing is, and the query names a release
	}
	if err == nil {
		return toolchain.Here(v), nil
	}
	var ce *toolchain.ChoiceError
	if errors.As(err, &ce) && !errors.Is(err, toolchain.ErrNotListed) && !errors.Is(err, toolchain.ErrNoCandidate) {
		return toolchain.Target{}, sdkChoiceFault(ce)
	}
	want := query
	if ce != nil && ce.Want != "" {
		want = ce.Want.Number()
	}
	return toolchain.Target{}, sdkNotInstalled(want, known)
}

// goMod is the text of the go.work or go.mod that counts in the current folder, if the query wants to know.
func (r *sdkRun) goMod(query string) ([]byte, error) {
	if query != "go.mod" && query != "go.work" {
		return nil, nil
	}
	lines, err := r.projectLines()
	return lines.Data, err
}

func (r *sdkRun) projectLines() (toolchain.ProjectLines, error) {
	dir, err := os.Getwd()
	if err != nil {
		return toolchain.ProjectLines{}, err
	}
	lines, err := toolchain.ReadProjectLines(dir, r.env("GOWORK"))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return lines, &fault{code: "sdk.error.no-project", args: []any{"Dir", dir}, hint: "sdk.hint.no-project", exit: 2, err: err}
	case err != nil:
		return lines, &fault{code: "sdk.error.project", args: []any{"Err", errLine(err)}, hint: "fetch.hint.project", exit: 2, err: err}
	}
	return lines, nil
}

func sdkNotInstalled(query string, known []toolchain.Version) error {
	args := []any{"Version", query, "Known", sdkVersions(known)}
	if len(known) == 0 {
		return &fault{code: "sdk.error.none-installed", args: args, hint: "sdk.hint.install", exit: 10, err: toolchain.ErrNotInstalled}
	}
	return &fault{code: "sdk.error.not-installed", args: args, hint: "sdk.hint.install", exit: 10, err: toolchain.ErrNotInstalled}
}

// sdkVersions writes versions for people, at most a handful.
func sdkVersions(list []toolchain.Version) string {
	const most = 6
	list = slices.Compact(slices.Clone(list)) // several managers may have the same one
	var words []string
	for _, v := range list[:min(len(list), most)] {
		words = append(words, v.Number())
	}
	if len(list) > most {
		words = append(words, "…")
	}
	return strings.Join(words, ", ")
}

// sdkChoiceFault says why a query names no version.
func sdkChoiceFault(ce *toolchain.ChoiceError) error {
	args := []any{"Query", ce.Query, "Near", sdkVersions(ce.Near), "Want", ce.Want.Number(), "Err", errLine(ce.Err)}
	switch {
	case errors.Is(ce, toolchain.ErrVersion):
		return &fault{code: "sdk.error.version", args: args, hint: "sdk.hint.version", exit: 2, err: ce}
	case errors.Is(ce, toolchain.ErrNoGoLine):
		return &fault{code: "sdk.error.no-go-line", args: args, hint: "sdk.hint.no-go-line", exit: 2, err: ce}
	case errors.Is(ce, toolchain.ErrGoMod):
		return &fault{code: "sdk.error.project", args: args, hint: "fetch.hint.project", exit: 2, err: ce}
	case errors.Is(ce, toolchain.ErrCustom):
		return &fault{code: "sdk.error.custom", args: args, hint: "sdk.hint.version", exit: 2, err: ce}
	case errors.Is(ce, toolchain.ErrNoCandidate):
		return &fault{code: "sdk.error.no-candidate", args: args, hint: "sdk.hint.no-candidate", exit: 10, err: ce}
	case len(ce.Near) > 0:
		return &fault{code: "sdk.error.not-listed", args: args, hint: "sdk.hint.near", exit: 10, err: ce}
	}
	return &fault{code: "sdk.error.not-listed", args: args, hint: "sdk.hint.list", exit: 10, err: ce}
}

// sdkHomeFault says that the folder of the SDKs cannot be used.
func sdkHomeFault(home toolchain.Home, err error) error {
	code, hint := "sdk.error.home", "sdk.hint.home"
	if errors.Is(err, toolchain.ErrDiskFull) {
		hint = "sdk.hint.disk-full"
	}
	if errors.Is(err, toolchain.ErrInTheWay) {
		hint = "sdk.hint.in-the-way"
	}
	return &fault{code: code, args: []any{"Dir", home.Dir, "Err", errLine(err)}, hint: hint, exit: 1, err: err}
}

// sdkName names t without its system where that is this one.
func sdkName(t toolchain.Target) string {
	if t == toolchain.Here(t.Version) {
		return string(t.Version)
	}
	return t.String()
}

// link brings the links in line with what is installed. A name that is taken is told of; the rest works without.
func (r *sdkRun) link() error {
	err := r.home.LinkVersions()
	if errors.Is(err, toolchain.ErrInTheWay) {
		r.say(r.p.T("sdk.warn.link", "Err", errLine(err)))
		return nil
	}
	if err != nil {
		return sdkHomeFault(r.home, err)
	}
	return nil
}

// onPath says what keeps the go of home from being what go means in a shell; nothing if it is.
func (r *sdkRun) onPath() {
	f := r.finder("")
	first := f.Program("go")
	if first != "" && sdkSamePath(first, toolchain.Program(r.home.Default())) {
		return
	}
	if slices.ContainsFunc(f.Path, func(dir string) bool { return sdkSamePath(dir, filepath.Join(r.home.Default(), "bin")) }) {
		r.say(r.p.T("sdk.warn.path-behind", "First", first))
		r.hint(r.p.T("sdk.hint.path"))
		return
	}
	r.hint(r.p.T("sdk.hint.path"))
}

func sdkSamePath(a, b string) bool { return filepath.Clean(a) == filepath.Clean(b) }

// sdkHint is the code of the hint that belongs to what the places said.
func sdkHint(err error) string {
	var fe *toolchain.FetchError
	if errors.As(err, &fe) {
		code, _ := fe.Hint()
		return cmp.Or(code, "sdk.hint.places")
	}
	return "sdk.hint.places"
}
