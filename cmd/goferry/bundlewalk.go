package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/goferry/goferry/internal/bundle"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/prefetch"
	"github.com/goferry/goferry/internal/toolchain"
)

// parseSystems reads what go tool dist list -json prints.
func parseSystems(data []byte) ([]target, error) {
	var list []struct {
		GOOS, GOARCH string
		CgoSupported bool
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("go tool dist list: %w", err)
	}
	var out []target
	for _, s := range list {
		out = append(out, target{s.GOOS, s.GOARCH, s.CgoSupported})
	}
	return out, nil
}

// A copied project is a project whose go.mod or go.work, and sums, are copies: the go command may write to these.
type copied struct {
	*prefetch.Project
	r     *recording
	cache modCache
	count int
}

// has reports whether the level of the bundle is at least l.
func (r *recording) has(l bundle.Level) bool {
	order := []bundle.Level{bundle.Build, bundle.Tidy, bundle.Editor, bundle.All}
	return slices.Index(order, r.level) >= slices.Index(order, l)
}

// project asks for all that the far side does with p.
func (r *recording) project(ctx context.Context, p *prefetch.Project) (err error) {
	cache, err := r.modCache()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cache.remove()) }()
	c := &copied{Project: p, r: r, cache: cache}
	if err := c.absolute(); err != nil {
		return err
	}
	if err := c.builds(ctx, nil); err != nil {
		return err
	}
	if p.Work != nil {
		return c.workspace(ctx)
	}
	return c.module(ctx)
}

// absolute makes folders absolute: the go command is run in some of them, and a copy of go.work lies elsewhere.
func (c *copied) absolute() (err error) {
	p := *c.Project
	if p.Dir, err = filepath.Abs(p.Dir); err != nil {
		return err
	}
	p.Mains = slices.Clone(p.Mains)
	for i := range p.Mains {
		if p.Mains[i].Dir, err = filepath.Abs(p.Mains[i].Dir); err != nil {
			return err
		}
	}
	c.Project = &p
	return nil
}

// module asks for what is not a build of a module.
func (c *copied) module(ctx context.Context) error {
	main := c.Mains[0]
	if c.r.has(bundle.Tidy) {
		tidied, err := c.tidy(ctx, main.Dir)
		if err != nil {
			return err
		}
		if err := c.tools(ctx, main.File); err != nil {
			return err
		}
		if tidied != nil { // the far side may do everything before and after
			if err := c.builds(ctx, tidied); err != nil {
				return err
			}
			if err := c.vendor(ctx); err != nil {
				return err
			}
			if err := c.queries(ctx, tidied); err != nil {
				return err
			}
		}
	}
	return c.queries(ctx, nil)
}

// workspace asks for what is not a build of a workspace: go mod tidy works on its modules one by one.
func (c *copied) workspace(ctx context.Context) error {
	if c.r.has(bundle.Tidy) {
		for _, main := range c.Mains {
			if _, err := c.tidy(ctx, main.Dir); err != nil {
				return err
			}
			if err := c.tools(ctx, main.File); err != nil {
				return err
			}
		}
		if err := c.vendor(ctx); err != nil {
			return err
		}
	}
	return c.queries(ctx, nil)
}

// fresh makes a copy for one run: the flags and variables that make the go command work on it. Gomod replaces
// what the go.mod of a module says, unless it is nil.
func (c *copied) fresh(dir string, gomod []byte) (flags, env []string, file string, err error) {
	c.count++
	into := filepath.Join(c.cache.dir, fmt.Sprint("copy", c.count))
	if err := os.Mkdir(into, 0o777); err != nil {
		return nil, nil, "", err
	}
	if c.Work != nil && dir == "" {
		file, err := c.copyWork(into)
		return nil, append(slices.Clone(c.cache.env), "GOWORK="+file), file, err
	}
	if dir == "" {
		dir = c.Mains[0].Dir
	}
	file = filepath.Join(into, "go.mod")
	if gomod == nil {
		if gomod, err = os.ReadFile(filepath.Join(dir, "go.mod")); err != nil {
			return nil, nil, "", err
		}
	}
	if err := os.WriteFile(file, gomod, 0o666); err != nil {
		return nil, nil, "", err
	}
	return []string{"-modfile=" + file}, slices.Clone(c.cache.env), file, copyIfThere(filepath.Join(dir, "go.sum"), filepath.Join(into, "go.sum"))
}

// copyWork copies go.work and go.work.sum. Folders in it become absolute.
func (c *copied) copyWork(into string) (string, error) {
	file := filepath.Join(into, "go.work")
	data, err := os.ReadFile(filepath.Join(c.Dir, "go.work"))
	if name := c.r.a.env("GOWORK"); err != nil && name != "" {
		data, err = os.ReadFile(name) // it may have another name
	}
	if err != nil {
		return "", err
	}
	work, err := modfile.ParseWork("go.work", data, nil)
	if err != nil {
		return "", err
	}
	for _, use := range slices.Clone(work.Use) {
		if dir := use.Path; !filepath.IsAbs(dir) { // DropUse empties it
			if err := work.DropUse(dir); err != nil {
				return "", err
			}
			if err := work.AddUse(filepath.ToSlash(filepath.Join(c.Dir, filepath.FromSlash(dir))), ""); err != nil {
				return "", err
			}
		}
	}
	for _, rep := range slices.Clone(work.Replace) {
		if rep.New.Version == "" && !filepath.IsAbs(rep.New.Path) {
			dir := filepath.ToSlash(filepath.Join(c.Dir, filepath.FromSlash(rep.New.Path)))
			if err := work.AddReplace(rep.Old.Path, rep.Old.Version, dir, ""); err != nil {
				return "", err
			}
		}
	}
	work.Cleanup()
	if err := os.WriteFile(file, modfile.Format(work.Syntax), 0o666); err != nil {
		return "", err
	}
	return file, copyIfThere(filepath.Join(c.Dir, "go.work.sum"), filepath.Join(into, "go.work.sum"))
}

func copyIfThere(from, to string) error {
	data, err := os.ReadFile(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o666)
}

// mod is the value of -mod: all that is missing is asked for. In a workspace the go command allows no other.
func (c *copied) mod() string {
	if c.Work != nil {
		return "-mod=readonly"
	}
	return "-mod=mod"
}

// patterns name the packages of all main modules.
func (c *copied) patterns() []string {
	if c.Work == nil {
		return []string{"./..."}
	}
	var list []string
	for _, m := range c.Mains {
		list = append(list, filepath.Join(m.Dir, "..."))
	}
	return list
}

// workDir is where the go command is run.
func (c *copied) workDir() string {
	if c.Work != nil {
		return c.Dir
	}
	return c.Mains[0].Dir
}

// errorsOf is a template of go list: packages that cannot be loaded, one a line.
const errorsOf = "{{with .Error}}{{.ImportStack}} {{.Err}}{{end}}"

// builds asks for what build, vet and test need for each system, with cgo and without: build constraints
// differ. A package that is only wrong without cgo is not worth a note, most projects with cgo have some.
func (c *copied) builds(ctx context.Context, gomod []byte) error {
	for i, s := range c.r.systems {
		for _, cgo := range []string{"1", "0"} {
			if cgo == "1" && !s.cgo {
				continue
			}
			c.r.tell(s.String())
			var said bytes.Buffer
			env := []string{"GOOS=" + s.os, "GOARCH=" + s.arch, "CGO_ENABLED=" + cgo}
			args := append([]string{"list", "-mod=readonly", "-deps", "-test", "-e", "-f", errorsOf}, c.patterns()...)
			if i == 0 && c.Work == nil { // as a build does it: with go.sum, and less of the graph
				if err := c.r.tolerateQuietly(c.run(ctx, gomod, env, nil, args...)); err != nil {
					return err
				}
			}
			args[1] = c.mod()
			if err := c.run(ctx, gomod, env, &said, args...); err != nil {
				return err
			}
			if cgo == "1" || !s.cgo {
				c.r.noteLines(s, said.Bytes())
			}
		}
	}
	return nil
}

// run runs the go command on a copy of its own.
func (c *copied) run(ctx context.Context, gomod []byte, env []string, out io.Writer, args ...string) error {
	flags, vars, _, err := c.fresh("", gomod)
	if err != nil {
		return err
	}
	verbs := 1
	if args[0] == "mod" {
		verbs = 2
	}
	args = slices.Insert(slices.Clone(args), verbs, flags...)
	return c.r.golang(ctx, c.workDir(), append(vars, env...), out, args...)
}

// noteLines takes note of what go list says of packages.
func (r *recording) noteLines(s target, out []byte) {
	for line := range bytes.Lines(out) {
		note := s.String() + ": " + string(bytes.TrimSpace(line))
		if len(bytes.TrimSpace(line)) > 0 && !slices.Contains(r.notes, note) {
			r.notes = append(r.notes, note)
		}
	}
}

// tolerateQuietly drops an error of the go command that another run has met as well.
func (r *recording) tolerateQuietly(err error) error {
	var ge *goError
	if errors.As(err, &ge) {
		return nil
	}
	return err
}

// tidy asks for what go mod tidy needs, which looks at all systems and at the tests of dependencies. It returns the
// go.mod that came out, or nil if that is the one there is.
func (c *copied) tidy(ctx context.Context, dir string) ([]byte, error) {
	c.r.tell("go mod tidy")
	flags, env, file, err := c.fresh(dir, nil)
	if err != nil {
		return nil, err
	}
	before, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	run := func() error {
		return c.r.golang(ctx, dir, env, nil, append([]string{"mod", "tidy", "-e"}, flags...)...)
	}
	if c.Work != nil {
		err = c.r.forgiving(run) // it knows nothing of go.work, whose other modules may be published nowhere
	} else {
		err = run()
	}
	if err != nil {
		return nil, c.r.tolerate(err)
	}
	after, err := os.ReadFile(file)
	if err != nil || bytes.Equal(before, after) {
		return nil, err
	}
	return after, nil
}

// tools asks for what go tool NAME builds, for the systems that somebody may sit at.
func (c *copied) tools(ctx context.Context, f *modfile.File) error {
	if f == nil || len(f.Tool) == 0 {
		return nil
	}
	for _, s := range c.r.systems {
		env := []string{"GOOS=" + s.os, "GOARCH=" + s.arch}
		if err := c.run(ctx, nil, env, nil, "list", c.mod(), "-deps", "-e", "tool"); err != nil {
			return err
		}
	}
	return nil
}

// vendor asks for what a vendor folder is made of. Of a tidy module that is less than what go mod tidy has asked for.
func (c *copied) vendor(ctx context.Context) error {
	c.r.tell("go mod vendor")
	flags, env, _, err := c.fresh("", nil)
	if err != nil {
		return err
	}
	verb := "mod"
	if c.Work != nil {
		verb = "work"
	}
	into := filepath.Join(c.cache.dir, "vendor")
	err = c.r.golang(ctx, c.workDir(), env, nil, append([]string{verb, "vendor", "-e", "-o", into}, flags...)...)
	return errors.Join(c.r.tolerate(err), os.RemoveAll(into))
}

// queries asks for what editors and people ask: all modules, the graph, updates.
func (c *copied) queries(ctx context.Context, gomod []byte) error {
	if !c.r.has(bundle.Editor) {
		return nil
	}
	c.r.tell("go list -m all")
	if err := c.run(ctx, gomod, nil, nil, "list", c.mod(), "-m", "-e", "-json", "all"); err != nil {
		return err
	}
	if err := c.r.warm(ctx, c.r.rec.paths()); err != nil { // the go command asks for one after the other
		return err
	}
	if err := c.run(ctx, gomod, nil, nil, "list", c.mod(), "-m", "-u", "-retracted", "-e", "-json", "all"); err != nil {
		if err = c.r.tolerateQuietly(err); err != nil {
			return err
		}
	}
	var graph bytes.Buffer
	if err := c.run(ctx, gomod, nil, &graph, "mod", "graph"); err != nil {
		return err
	}
	c.r.edges = append(c.r.edges, parseGraph(graph.Bytes())...)
	all := c.r.has(bundle.All)
	if main := c.Mains[0].File; !all && c.Work == nil && main.Go != nil && semver.Compare("v"+main.Go.Version, "v1.17") >= 0 {
		return c.run(ctx, gomod, nil, nil, "mod", "download") // what go.mod names; of older ones it is all
	}
	if !all {
		return nil
	}
	c.r.tell("go mod download all")
	return c.run(ctx, gomod, nil, nil, "mod", "download", "all")
}

// parseGraph reads what go mod graph prints. Lines about the go command are left out.
func parseGraph(data []byte) []bundle.Edge {
	var edges []bundle.Edge
	sc := bufio.NewScanner(bytes.NewReader(data))
	for sc.Scan() {
		from, to, ok := strings.Cut(sc.Text(), " ")
		f, t := parseVersion(from), parseVersion(to)
		if ok && !gotoolchain(f.Path) && !gotoolchain(t.Path) {
			edges = append(edges, bundle.Edge{From: f, To: t})
		}
	}
	return edges
}

func gotoolchain(path string) bool { return path == "go" || path == "toolchain" }

func parseVersion(s string) module.Version {
	path, version, _ := strings.Cut(s, "@")
	return module.Version{Path: path, Version: version}
}

// tool asks for what go install path@version needs, and remembers which version that is. What is no command is taken
// for a module or package that somebody wants to import.
func (r *recording) tool(ctx context.Context, m module.Version) (err error) {
	cache, err := r.modCache()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cache.remove()) }()
	r.rec.mark()
	for i, s := range r.systems {
		r.tell(m.Path + " " + s.String())
		env := append(slices.Clone(cache.env), "GOOS="+s.os, "GOARCH="+s.arch)
		err := r.golang(ctx, cache.dir, env, nil, "install", "-n", m.Path+"@"+m.Version)
		var ge *goError
		if i == 0 && errors.As(err, &ge) && len(r.rec.missing(false)) == 0 {
			return r.library(ctx, cache, m, ge)
		}
		if err := r.tolerate(err); err != nil {
			return err
		}
	}
	if v, ok := r.rec.versionOf(m.Path); ok {
		r.tools = append(r.tools, module.Version{Path: m.Path, Version: v})
	}
	return nil
}

// library asks for what a project needs that imports m, with refused as the reason why m is no tool.
func (r *recording) library(ctx context.Context, cache modCache, m module.Version, refused error) error {
	dir := filepath.Join(cache.dir, "project")
	if err := os.Mkdir(dir, 0o777); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module goferry.invalid/bundle\n"), 0o666); err != nil {
		return err
	}
	var ge *goError
	err := r.golang(ctx, dir, cache.env, nil, "get", m.Path+"@"+m.Version)
	if errors.As(err, &ge) && len(r.rec.missing(false)) == 0 {
		if r.rec.anyZip() {
			return refused
		}
		req := goproxy.Request{Path: m.Path, Version: m.Version, Kind: goproxy.Info}
		r.lost = append(r.lost, bundle.Missing{Request: req, Err: fmt.Errorf("%w: no module has this package in this version", goproxy.ErrNotExist)})
		return r.halt()
	} else if err := r.tolerateQuietly(err); err != nil {
		return err
	}
	for _, s := range r.systems {
		env := append(slices.Clone(cache.env), "GOOS="+s.os, "GOARCH="+s.arch)
		if err := r.tolerateQuietly(r.golang(ctx, dir, env, nil, "list", "-mod=mod", "-deps", "-e", m.Path+"/...")); err != nil {
			return err
		}
	}
	args := []string{"mod", "download"}
	if r.has(bundle.All) {
		args = append(args, "all")
	}
	err = r.tolerateQuietly(r.golang(ctx, dir, cache.env, nil, args...))
	if err == nil && r.has(bundle.Editor) {
		err = r.tolerateQuietly(r.golang(ctx, dir, cache.env, nil, "list", "-mod=mod", "-m", "-e", "-json", "all"))
	}
	return err
}

// versionOf is the version of the module that has the package path: the longest path that begins path, of those whose
// zip was asked for since mark, with an empty module cache.
func (r *recorder) versionOf(path string) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var best goproxy.Request
	for req := range r.since {
		inside := req.Path == path || strings.HasPrefix(path, req.Path+"/")
		if req.Kind == goproxy.Zip && inside && len(req.Path) > len(best.Path) {
			best = req
		}
	}
	return best.Version, best.Path != ""
}

// anyZip reports whether a zip was given since mark.
func (r *recorder) anyZip() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for req := range r.since {
		if req.Kind == goproxy.Zip && req.Path != goproxy.ToolchainPath {
			return true
		}
	}
	return false
}

// sdksOf are the toolchains that p demands beside those that the go command asked for: of its toolchain line, for each
// system that somebody may sit at.
func sdksOf(p *prefetch.Project) []toolchain.Version {
	var names []string
	if p.Work != nil && p.Work.Toolchain != nil {
		names = append(names, p.Work.Toolchain.Name)
	}
	for _, m := range p.Mains {
		if m.File != nil && m.File.Toolchain != nil {
			names = append(names, m.File.Toolchain.Name)
		}
	}
	var list []toolchain.Version
	for _, name := range names {
		if v, err := toolchain.ParseVersion(name); err == nil { // "default", or one that somebody has built
			list = append(list, v)
		}
	}
	return list
}

// sdkRequests are the files of toolchains, for each system: those of versions, and those that the go command has
// switched to on this one.
func (r *recording) sdkRequests(versions []toolchain.Version) []goproxy.Request {
	for _, req := range r.rec.requests() {
		if t, err := toolchain.ParseModuleVersion(req.Version); err == nil && req.Path == toolchain.ModulePath && req.Kind == goproxy.Zip {
			versions = append(versions, t.Version)
		}
	}
	var list []goproxy.Request
	for _, v := range versions {
		for _, s := range r.systems {
			if slices.Contains([]string{"js", "wasip1", "ios", "android"}, s.os) {
				continue // nobody sits at these
			}
			m := toolchain.Target{Version: v, OS: s.os, Arch: s.arch}.Module()
			list = append(list, goproxy.Request{Path: m.Path, Version: m.Version, Kind: goproxy.Zip})
		}
	}
	return list
}
