package main

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/prefetch"
)

// A projectAhead fetches what the project around a command needs, from the first of its files on that the
// command asks for: before that it may have all it wants, or be about something else. Small files come first; zips
// when the command is one that takes them all, or has asked for one.
type projectAhead struct {
	f        *ferry
	goCmd    goCommand
	small    []goproxy.Request
	zips     []goproxy.Request
	gate     prefetch.Gate
	asked    chan struct{} // closed when a file of the project was asked for
	askedZip chan struct{} // closed when a zip was
}

// aheadOf returns the part that fetches ahead of argv, or nil where there is nothing to fetch.
//
// A vendor folder is no reason to fetch nothing: a build that takes all from there asks for no file
// of the project, and go mod download in the same folder does.
func (a *app) aheadOf(f *ferry, argv []string) *projectAhead {
	cmd := parseGoCommand(argv)
	if !f.prefetches() || cmd.namesModules() || cmd.otherModFile(a.env("GOFLAGS")) {
		return nil
	}
	p, err := prefetch.ReadProject(cmd.dir, a.env("GOWORK"))
	if err != nil {
		return nil // no project, or one of which the go command will say what is wrong
	}
	pa := &projectAhead{f: f, goCmd: cmd, asked: make(chan struct{}), askedZip: make(chan struct{})}
	files := map[goproxy.Request]bool{}
	for _, req := range p.Files() {
		switch {
		case !f.mayPrefetch(req):
			continue
		case req.Kind != goproxy.Zip:
			pa.small = append(pa.small, req)
		case cmd.downloads() || p.Sums(req):
			pa.zips = append(pa.zips, req)
		}
		files[req] = true
	}
	if len(files) == 0 {
		return nil
	}
	pa.watch(files)
	return pa
}

// watch learns from what clients are served when to begin.
func (pa *projectAhead) watch(files map[goproxy.Request]bool) {
	served := pa.gate.Watch(pa.f.handler.Source)
	one, zip := sync.OnceFunc(func() { close(pa.asked) }), sync.OnceFunc(func() { close(pa.askedZip) })
	pa.f.handler.Source = goproxy.SourceFunc(func(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
		if files[req] {
			if one(); req.Kind == goproxy.Zip {
				zip()
			}
		}
		return served.Open(ctx, req)
	})
}

// runAhead fetches until all is there or ctx ends. What is wrong with a file, the command will be told when
// it asks for it.
func (a *app) runAhead(ctx context.Context, pa *projectAhead) {
	if !happens(ctx, pa.asked) {
		return
	}
	env, err := a.runner.GoEnv(ctx, "GOMODCACHE")
	if err != nil {
		return // the go command will say it
	}
	has := prefetch.InModCache(env["GOMODCACHE"])
	small, zips := slices.DeleteFunc(pa.small, has), slices.DeleteFunc(pa.zips, has)
	pa.f.log.Debug("fetching ahead what the project needs", "files", len(small), "zips", len(zips))
	opts := prefetch.Options{Gate: &pa.gate}
	if pa.goCmd.takesAll() {
		_, _ = prefetch.Run(ctx, pa.f.cache, append(small, zips...), opts)
		return
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { _, _ = prefetch.Run(ctx, pa.f.cache, small, opts) })
	if happens(ctx, pa.askedZip) {
		_, _ = prefetch.Run(ctx, pa.f.cache, zips, opts)
	}
}

// happens waits until what is closed, and reports whether that was before ctx ended.
func happens(ctx context.Context, what <-chan struct{}) bool {
	select {
	case <-what:
		return true
	case <-ctx.Done():
		return false
	}
}

// A goCommand is what a command line says about a go command. That of any other program says nothing: it may
// run go commands, in this folder or elsewhere.
type goCommand struct {
	dir  string   // of -C; else "."
	verb string   // such as "build" or "mod download"; empty for another program
	args []string // behind the verb, without -C
}

// parseGoCommand reads a command line. -C is the first flag, before or behind the verb
// (go help build).
func parseGoCommand(argv []string) goCommand {
	name := strings.TrimSuffix(strings.ToLower(filepath.Base(argv[0])), ".exe")
	if name != "go" && !strings.HasPrefix(name, "go1.") { // as golang.org/dl names them
		return goCommand{dir: "."}
	}
	dir, args := cutChdir(argv[1:])
	verb := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		verb, args = args[0], args[1:]
	}
	if (verb == "mod" || verb == "work") && len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		verb, args = verb+" "+args[0], args[1:]
	}
	if dir == "" {
		dir, args = cutChdir(args)
	}
	if dir == "" {
		dir = "."
	}
	return goCommand{dir: dir, verb: verb, args: args}
}

// cutChdir takes -C from the front of args; dir is empty if it is not there.
func cutChdir(args []string) (dir string, rest []string) {
	if len(args) == 0 {
		return "", args
	}
	flag, value, joined := strings.Cut(args[0], "=")
	switch {
	case flag != "-C" && flag != "--C":
		return "", args
	case joined:
		return value, args[1:]
	case len(args) > 1:
		return args[1], args[2:]
	}
	return "", args
}

// namesModules reports whether the command is about module versions that it names, and not about the project
// it is run in.
func (c goCommand) namesModules() bool {
	if !slices.Contains([]string{"get", "install", "run", "list", "mod download"}, c.verb) {
		return false
	}
	return slices.ContainsFunc(c.args, func(arg string) bool {
		path, version, ok := strings.Cut(arg, "@")
		return ok && version != "" && goproxy.CheckPath(path) == nil
	})
}

// otherModFile reports whether the command reads another file than go.mod.
func (c goCommand) otherModFile(goflags string) bool {
	return slices.ContainsFunc(append(strings.Fields(goflags), c.args...), func(arg string) bool {
		flag, _, _ := strings.Cut(arg, "=")
		return flag == "-modfile" || flag == "--modfile"
	})
}

// downloads reports whether the command takes the zips of all modules that go.mod requires.
func (c goCommand) downloads() bool {
	return c.verb == "mod download" && !slices.ContainsFunc(c.args, func(arg string) bool {
		return !strings.HasPrefix(arg, "-") && arg != "all" // a module without a version
	})
}

// takesAll reports whether the command is sure to take all that go.sum names.
func (c goCommand) takesAll() bool {
	return c.downloads() || c.verb == "mod vendor" || c.verb == "work vendor"
}
