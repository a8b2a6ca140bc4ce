package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/module"
	"golang.org/x/term"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/draw"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/modgraph"
	"github.com/goferry/goferry/internal/prefetch"
)

// graphFlags are the flags of graph.
type graphFlags struct {
	why, cut  string
	whatIf    []string
	routes    bool
	with      []string
	format    string
	output    string
	sizes     bool
	packages  bool
	quick     bool
	questions int // how many of why, cut, whatIf and routes were asked
}

func (a *app) graphCmd() *cobra.Command {
	var fl graphFlags
	cmd := &cobra.Command{
		Use:     "graph [DIR]",
		Short:   a.p.T("graph.short"),
		Long:    a.p.T("graph.long"),
		Example: a.example("graph.example"),
		Args:    a.perhapsOneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := fl.check(cmd); err != nil {
				return err
			}
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			return a.graph(cmd, fl, dir)
		},
	}
	a.settingFlags(cmd.Flags(), false)
	a.jsonFlag(cmd)
	fs := cmd.Flags()
	fs.StringVar(&fl.why, "why", "", a.p.T("graph.flag-why"))
	fs.StringArrayVar(&fl.whatIf, "what-if", nil, a.p.T("graph.flag-what-if"))
	fs.StringVar(&fl.cut, "cut", "", a.p.T("graph.flag-cut"))
	fs.BoolVar(&fl.routes, "routes", false, a.p.T("graph.flag-routes"))
	fs.StringArrayVar(&fl.with, "with", nil, a.p.T("graph.flag-with"))
	fs.StringVar(&fl.format, "format", "text", a.p.T("graph.flag-format"))
	fs.StringVarP(&fl.output, "output", "o", "", a.p.T("graph.flag-output"))
	fs.BoolVar(&fl.sizes, "sizes", false, a.p.T("graph.flag-sizes"))
	fs.BoolVar(&fl.packages, "packages", false, a.p.T("graph.flag-packages"))
	fs.BoolVar(&fl.quick, "quick", false, a.p.T("graph.flag-quick"))
	return cmd
}

// check refuses flags that make no sense together.
func (fl *graphFlags) check(cmd *cobra.Command) error {
	if asJSON(cmd) {
		if cmd.Flags().Changed("format") && fl.format != "json" {
			return misuse(cmd, "", "graph.error.together", "One", "--json", "Other", "--format "+fl.format)
		}
		fl.format = "json"
	}
	formats := []string{"text", "dot", "svg", "html", "json"}
	if !slices.Contains(formats, fl.format) {
		near := ""
		if n := config.Near(fl.format, formats); n != "" {
			near = "goferry graph --format " + n
		}
		return misuse(cmd, near, "graph.error.format", "Name", fl.format)
	}
	var asked []string
	for _, q := range []struct {
		on   bool
		name string
	}{{fl.why != "", "--why"}, {len(fl.whatIf) > 0, "--what-if"}, {fl.cut != "", "--cut"}, {fl.routes, "--routes"}} {
		if q.on {
			asked = append(asked, q.name)
		}
	}
	fl.questions = len(asked)
	switch {
	case len(asked) > 1:
		return misuse(cmd, "", "graph.error.together", "One", asked[0], "Other", asked[1])
	case len(fl.with) > 0 && !fl.routes:
		return misuse(cmd, "", "graph.error.with", "Flag", "--with")
	case len(asked) == 1 && fl.why == "" && fl.drawn():
		return misuse(cmd, "", "graph.error.together", "One", asked[0], "Other", "--format "+fl.format)
	}
	return nil
}

// drawn reports whether the result is a picture.
func (fl *graphFlags) drawn() bool { return fl.format != "text" && fl.format != "json" }

// A graphRun is one run of graph, over a loaded graph.
type graphRun struct {
	*app
	cmd     *cobra.Command
	fl      graphFlags
	cfg     *config.Config
	vars    map[string]string // what "go env" says
	dir     string
	project *prefetch.Project
	f       *ferry
	url     string         // of goferry as a module proxy; with --packages
	src     goproxy.Source // the cache, and what the go command's own cache has
	g       *modgraph.Graph
	look    *graphLook // shows how far it is
	silent  bool       // upstreams stopped to answer what is new
	out     bytes.Buffer
}

// goVars are the variables of the go command that graph wants to know.
func goVars() []string {
	return []string{"GOPROXY", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOSUMDB", "GOINSECURE", "GOAUTH", "GOMODCACHE"}
}

// graph loads the module graph of the project in dir and answers what is asked of it.
func (a *app) graph(cmd *cobra.Command, fl graphFlags, dir string) error {
	ctx := cmd.Context()
	if (fl.format == "html" || fl.format == "svg") && fl.output == "" && isTerminal(a.stdout) {
		return &fault{code: "graph.error.terminal", args: []any{"Format", fl.format, "Cmd", "goferry graph --format " + fl.format + " -o graph." + fl.format}, hint: "graph.hint.terminal", exit: 2}
	}
	r := &graphRun{app: a, cmd: cmd, fl: fl, dir: dir}
	var err error
	if r.project, err = a.graphProject(dir); err != nil {
		return err
	}
	if err := r.settings(ctx); err != nil {
		return err
	}
	if err := r.loaded(ctx); err != nil {
		return err
	}
	if r.silent {
		r.say(r.p.T("graph.silent"))
		r.hint(r.p.T("graph.hint.silent"))
	}
	return r.write()
}

func (a *app) graphProject(dir string) (*prefetch.Project, error) {
	if !isDir(dir) {
		return nil, &fault{code: "error.no-dir", args: []any{"Dir", dir}, hint: "graph.hint.no-dir", exit: 2}
	}
	p, err := prefetch.ReadProject(dir, a.env("GOWORK"))
	switch {
	case errors.Is(err, prefetch.ErrNoProject):
		return nil, &fault{code: "fetch.error.no-project", args: []any{"Dir", dir}, hint: "graph.hint.no-project", exit: 2, err: err}
	case err != nil:
		return nil, &fault{code: "fetch.error.project", args: []any{"Err", errLine(err)}, hint: "fetch.hint.project", exit: 2, err: err}
	}
	return p, nil
}

// settings reads those of goferry and of the go command.
func (r *graphRun) settings(ctx context.Context) (err error) {
	if r.vars, err = r.goVariables(ctx); err != nil {
		return err
	}
	if _, err := r.tried(); err != nil { // before anybody is asked
		return err
	}
	r.cfg, err = r.loadWith(r.cmd, func(name string) (string, error) { return r.vars[name], nil })
	return err
}

// loaded answers while the cache is open.
func (r *graphRun) loaded(ctx context.Context) (err error) {
	r.look = r.showLook()
	defer r.look.end()
	log := newLogger(r.look, r.cfg, quietLevel(r.cfg))
	if r.fl.packages { // the go command asks for zips
		return r.proxied(ctx, r.cfg, log, nil, nil, func(_ context.Context, f *ferry, url string) error {
			r.f, r.url = f, url
			return r.answer(ctx)
		})
	}
	if r.f, err = r.wire(r.cfg, log, nil, nil); err != nil {
		return err
	}
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	kept := make(chan error, 1)
	go func() { kept <- r.f.store.Run(keeping) }()
	defer func() {
		stop()
		err = errors.Join(err, <-kept, r.f.Close())
	}()
	return r.answer(ctx)
}

// answer loads the graph and says what is asked of it.
func (r *graphRun) answer(ctx context.Context) (err error) {
	r.src = r.source()
	if r.g, err = r.project.Graph(ctx, r.look.watch(r.src)); err != nil {
		return err
	}
	if len(r.g.Failures()) > 0 {
		r.exit = 3
	}
	switch {
	case r.fl.why != "":
		return r.why(ctx)
	case len(r.fl.whatIf) > 0:
		return r.whatIf(ctx)
	case r.fl.cut != "":
		return r.cut(ctx)
	case r.fl.routes:
		return r.routes(ctx)
	}
	return r.overview(ctx)
}

// source is goferry's cache. Immutable files that it lacks and that the go command's own cache has are
// taken from there: who has just built the project can look at its graph with no network at all. They
// are shown, and not kept.
func (r *graphRun) source() goproxy.Source {
	cached := goproxy.Enforce(r.f.cache, r.f.policy)
	dir := r.vars["GOMODCACHE"]
	if dir == "" {
		return cached
	}
	local := goproxy.Tree(os.DirFS(filepath.Join(dir, "cache", "download")), "GOMODCACHE")
	return goproxy.SourceFunc(func(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
		if !req.Immutable() {
			return cached.Open(ctx, req)
		}
		f, err := cached.Open(goproxy.WithCachedOnly(ctx), req)
		if err == nil || !goproxy.Absent(err) {
			return f, err
		}
		if f, err := local.Open(ctx, req); err == nil {
			return f, nil
		}
		return cached.Open(ctx, req)
	})
}

// drawing writes a graph in the format that is asked for.
func (r *graphRun) drawing(g draw.Graph) error {
	switch r.fl.format {
	case "dot":
		return draw.DOT(&r.out, g)
	case "svg":
		return draw.SVG(&r.out, g)
	}
	return draw.HTML(&r.out, g)
}

// write hands the result over when it is whole.
func (r *graphRun) write() error {
	if r.fl.output != "" && r.fl.output != "-" {
		if err := os.WriteFile(r.fl.output, r.out.Bytes(), 0o666); err != nil {
			return &fault{code: "graph.error.output", args: []any{"File", r.fl.output, "Err", plain(err)}, hint: "graph.hint.output", exit: 1, err: err}
		}
		return nil
	}
	_, err := r.stdout.Write(r.out.Bytes())
	return err
}

// printJSON is the result of a run with --format json.
func (r *graphRun) printJSON(v any) error { return (&app{world: world{stdout: &r.out}}).json(v) }

func (r *graphRun) line(s string) { fmt.Fprintln(&r.out, strings.TrimRight(s, " ")) }

// toFile reports whether the result goes to a file of its own.
func (r *graphRun) toFile() bool { return r.fl.output != "" && r.fl.output != "-" }

// width is how many columns lines may have: those of the terminal, else 0 for any number.
func (r *graphRun) width() int {
	if f, ok := r.stdout.(*os.File); ok && !r.toFile() {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			return w
		}
	}
	return 0
}

// paint colours s with an SGR code on a terminal that has colours.
func (r *graphRun) paint(code, s string) string {
	if code == "" || s == "" || r.toFile() || !colours(r.stdout, r.env) {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// find is the module of the build list that name means: its path, or that of a package in it.
func (r *graphRun) find(flag, name string) (module.Version, error) {
	path, _, at := strings.Cut(name, "@")
	if at {
		return module.Version{}, misuse(r.cmd, "goferry graph "+flag+" "+path, "graph.error.versioned", "Flag", flag, "Name", name)
	}
	for p := path; p != "." && p != "/" && p != ""; p = parentPath(p) {
		if v := r.g.Selected(p); v != "none" {
			return module.Version{Path: p, Version: v}, nil
		}
	}
	near := r.near(path)
	if near != "" {
		near = "goferry graph " + flag + " " + near
	}
	var f *fault
	errors.As(misuse(r.cmd, near, "graph.error.absent", "Name", path), &f)
	if f.exit = 10; near == "" {
		f.hint = "graph.hint.absent"
	}
	return module.Version{}, f
}

func parentPath(p string) string {
	i := strings.LastIndexByte(p, '/')
	if i < 0 {
		return ""
	}
	return p[:i]
}

// near is the module that somebody probably meant: the only one whose path holds the word, or one that is spelled like it.
func (r *graphRun) near(name string) string {
	var paths, holding []string
	for _, m := range r.g.BuildList() {
		paths = append(paths, m.Path)
		if strings.Contains(strings.ToLower(m.Path), strings.ToLower(name)) {
			holding = append(holding, m.Path)
		}
	}
	if len(holding) > 0 {
		return slices.MinFunc(holding, func(x, y string) int { return len(x) - len(y) })
	}
	return config.Near(name, paths)
}

// colours reports whether w is a terminal that shows them.
func colours(w io.Writer, env func(string) string) bool {
	return isTerminal(w) && env("NO_COLOR") == "" && env("TERM") != "dumb" && runtime.GOOS != "windows"
}
