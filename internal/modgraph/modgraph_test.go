package modgraph

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/goproxytest"
)

// deps is the upstream of most cases: a and b prune, old does not, deep is behind them.
const deps = `
-- mod/example.com/a@v1.0.0 --
module example.com/a

go 1.17

require example.com/b v1.1.0
-- mod/example.com/a@v1.1.0 --
module example.com/a

go 1.17

require example.com/b v1.2.0
-- mod/example.com/b@v1.0.0 --
module example.com/b

go 1.17

require example.com/deep v1.0.0
-- mod/example.com/b@v1.1.0 --
module example.com/b

go 1.17

require example.com/deep v1.1.0
-- mod/example.com/b@v1.2.0 --
module example.com/b

go 1.17

require example.com/deep v1.2.0
-- mod/example.com/old@v1.0.0 --
module example.com/old

require example.com/b v1.0.0
-- mod/example.com/deep@v1.0.0 --
module example.com/deep

go 1.17

require example.com/deeper v1.0.0
-- mod/example.com/deep@v1.1.0 --
module example.com/deep

require example.com/deeper v1.1.0
-- mod/example.com/deep@v1.2.0 --
module example.com/deep

require example.com/deeper v1.2.0
-- mod/example.com/deeper@v1.0.0 --
module example.com/deeper
-- mod/example.com/deeper@v1.1.0 --
module example.com/deeper
-- mod/example.com/deeper@v1.2.0 --
module example.com/deeper
-- mod/example.com/fork@v1.0.0 --
module example.com/fork

require example.com/deeper v1.2.0
-- mod/example.com/unnamed@v1.0.0 --
module example.com/b

require example.com/fork v1.0.0
-- mod/example.com/cycle@v1.0.0 --
module example.com/cycle

require example.com/main v1.0.0
-- mod/example.com/main@v1.0.0 --
module example.com/main

require example.com/fork v1.0.0
`

// TestGoCommand holds the build list to that of the go command.
func TestGoCommand(t *testing.T) {
	for _, tt := range []struct{ name, files string }{
		{"pruned", "-- go.mod --\nmodule example.com/main\ngo 1.21\nrequire example.com/a v1.0.0\n"},
		{"not pruned", "-- go.mod --\nmodule example.com/main\ngo 1.16\nrequire example.com/a v1.0.0\n"},
		{"no go line", "-- go.mod --\nmodule example.com/main\nrequire example.com/a v1.1.0\n"},
		{"behind one that does not prune", "-- go.mod --\nmodule example.com/main\ngo 1.21\nrequire (\nexample.com/old v1.0.0\nexample.com/a v1.0.0\n)\n"},
		{"highest wins", "-- go.mod --\nmodule example.com/main\ngo 1.21\nrequire (\nexample.com/old v1.0.0\nexample.com/a v1.1.0\nexample.com/b v1.2.0\n)\n"},
		{"exclude", "-- go.mod --\nmodule example.com/main\ngo 1.21\nrequire example.com/a v1.0.0\nexclude example.com/b v1.1.0\n"},
		{"exclude at the root", "-- go.mod --\nmodule example.com/main\ngo 1.16\nrequire example.com/a v1.1.0\nexclude example.com/deeper v1.2.0\n"},
		{"replace a version", "-- go.mod --\nmodule example.com/main\ngo 1.16\nrequire example.com/a v1.0.0\nreplace example.com/b v1.1.0 => example.com/b v1.0.0\n"},
		{"replace another version", "-- go.mod --\nmodule example.com/main\ngo 1.16\nrequire example.com/a v1.0.0\nreplace example.com/b v1.0.0 => example.com/b v1.2.0\n"},
		{"replace all", "-- go.mod --\nmodule example.com/main\ngo 1.16\nrequire example.com/a v1.0.0\nreplace example.com/b => example.com/fork v1.0.0\n"},
		{"version before all", "-- go.mod --\nmodule example.com/main\ngo 1.16\nrequire example.com/a v1.0.0\nreplace (\nexample.com/b => example.com/fork v1.0.0\nexample.com/b v1.1.0 => example.com/unnamed v1.0.0\n)\n"},
		{"replace by a folder", "-- go.mod --\nmodule example.com/main\ngo 1.21\nrequire example.com/a v1.0.0\nreplace example.com/a => ./local\n" +
			"-- local/go.mod --\nmodule example.com/whatever\nrequire example.com/deep v1.2.0\n"},
		{"cycle", "-- go.mod --\nmodule example.com/main\ngo 1.21\nrequire example.com/cycle v1.0.0\n"},
		{"workspace", "-- go.work --\ngo 1.21\nuse (\n./y\n./x\n)\n" +
			"-- x/go.mod --\nmodule example.com/x\ngo 1.21\nrequire example.com/a v1.0.0\n" +
			"-- y/go.mod --\nmodule example.com/y\ngo 1.21\nrequire example.com/b v1.2.0\n"},
		{"workspace, selected higher", "-- go.work --\ngo 1.21\nuse (\n./x\n./y\n)\n" +
			"-- x/go.mod --\nmodule example.com/x\ngo 1.21\nrequire (\nexample.com/a v1.0.0\nexample.com/b v1.1.0\n)\n" +
			"-- y/go.mod --\nmodule example.com/y\ngo 1.21\nrequire example.com/a v1.1.0\n"},
		{"workspace of old modules", "-- go.work --\ngo 1.18\nuse (\n./x\n./y\n)\n" +
			"-- x/go.mod --\nmodule example.com/x\nrequire example.com/a v1.0.0\n" +
			"-- y/go.mod --\nmodule example.com/y\ngo 1.16\nrequire example.com/old v1.0.0\n"},
		{"workspace replaces", "-- go.work --\ngo 1.21\nuse (\n./x\n./y\n)\nreplace example.com/b => example.com/fork v1.0.0\n" +
			"-- x/go.mod --\nmodule example.com/x\ngo 1.16\nrequire example.com/a v1.0.0\nreplace example.com/b => example.com/b v1.0.0\n" +
			"-- y/go.mod --\nmodule example.com/y\ngo 1.16\nrequire example.com/b v1.2.0\nexclude example.com/deeper v1.0.0\n"},
		{"module replaces in a workspace", "-- go.work --\ngo 1.21\nuse (\n./x\n./y\n)\n" +
			"-- x/go.mod --\nmodule example.com/x\ngo 1.16\nrequire example.com/a v1.0.0\nreplace example.com/a => ../local\n" +
			"-- y/go.mod --\nmodule example.com/y\ngo 1.16\nrequire example.com/a v1.1.0\n" +
			"-- local/go.mod --\nmodule example.com/a\ngo 1.16\nrequire example.com/deep v1.0.0\n"},
		{"modules of a workspace need each other", "-- go.work --\ngo 1.21\nuse (\n./x\n./y\n)\nreplace example.com/y v0.0.0 => ./y\n" +
			"-- x/go.mod --\nmodule example.com/x\ngo 1.21\nrequire example.com/y v0.0.0\n" +
			"-- y/go.mod --\nmodule example.com/y\ngo 1.21\nrequire example.com/a v1.1.0\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := goproxytest.New(t)
			sameAsGo(t, s, project(t, s, deps+tt.files))
		})
	}
}

// sameAsGo compares what Load and the go command say of the project in dir.
func sameAsGo(t *testing.T, s *goproxytest.Server, dir string) {
	t.Helper()
	j := &judge{dir: dir, proxy: s.URL, cache: t.TempDir()}
	_, want, err := j.settle()
	if err != nil {
		t.Fatal(err)
	}
	if g := j.same(t, s, want); len(g.Loaded()) == 0 {
		t.Error("nothing was loaded")
	}
}

func load(t *testing.T, src goproxy.Source, gomod string) *Graph {
	t.Helper()
	g, err := Load(t.Context(), src, []Main{mainFile(t, gomod)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func mainFile(t *testing.T, gomod string) Main {
	t.Helper()
	f, err := modfile.Parse("go.mod", []byte(gomod), nil)
	if err != nil {
		t.Fatal(err)
	}
	return Main{File: f, Dir: t.TempDir()}
}

// TestPartial wants the rest of the graph where a go.mod is missing, and to be told which and why.
func TestPartial(t *testing.T) {
	s := goproxytest.New(t)
	project(t, s, deps)
	s.AddModule("example.com/bad", "v1.0.0", map[string]string{"go.mod": "module example.com/bad\n", ".mod": "require (\n"})
	g := load(t, client(t, s), `module example.com/main
go 1.16
require (
	example.com/a v1.0.0
	example.com/bad v1.0.0
	example.com/gone v1.0.0
	example.com/stranger v1.0.0
	example.com/folder v1.0.0
)
replace example.com/stranger => example.com/unnamed v1.0.0
replace example.com/folder => ./nowhere
`)
	want := map[string]error{
		"example.com/bad@v1.0.0": ErrBadMod, "example.com/gone@v1.0.0": goproxy.ErrNotExist,
		"example.com/stranger@v1.0.0": ErrBadMod, "example.com/folder@v1.0.0": nil,
	}
	for _, f := range g.Failures() {
		kind, ok := want[f.Module.String()]
		if !ok || f.Err == nil || kind != nil && !errors.Is(f, kind) {
			t.Errorf("failure %v", f)
		}
		delete(want, f.Module.String())
		if _, ok := g.Requirements(f.Module); ok {
			t.Errorf("%s has requirements", f.Module)
		}
	}
	if len(want) > 0 {
		t.Errorf("no failures of %v", want)
	}
	if v := g.Selected("example.com/deeper"); v != "v1.1.0" {
		t.Errorf("deeper is %s", v)
	}
	if v := g.Selected("example.com/gone"); v != "v1.0.0" {
		t.Errorf("gone is %s", v)
	}
}

func TestGraph(t *testing.T) {
	s := goproxytest.New(t)
	project(t, s, deps)
	g := load(t, client(t, s), "module example.com/main\ngo 1.21\nrequire example.com/a v1.0.0\nreplace example.com/b => example.com/fork v1.0.0\n")
	mod := func(p, v string) module.Version { return module.Version{Path: "example.com/" + p, Version: v} }
	if diff := cmp.Diff([]module.Version{mod("a", "v1.0.0")}, g.Loaded()); diff != "" {
		t.Errorf("loaded (-want +got):\n%s", diff) // b is pruned out: what replaces it is not read
	}
	reqs, ok := g.Requirements(mod("a", "v1.0.0"))
	if diff := cmp.Diff([]module.Version{mod("b", "v1.1.0")}, reqs); diff != "" || !ok {
		t.Errorf("requirements %v (-want +got):\n%s", ok, diff)
	}
	if _, ok := g.Requirements(mod("b", "v1.1.0")); ok {
		t.Error("b is not pruned out")
	}
	if got := g.Actual(mod("b", "v1.1.0")); got != mod("fork", "v1.0.0") {
		t.Errorf("b is replaced by %s", got)
	}
	if got := g.Selected("example.com/none"); got != "none" {
		t.Errorf("what is not in the graph is %q", got)
	}
	if got := g.GoVersion(mod("a", "v1.0.0")) + g.GoVersion(mod("main", "")); got != "1.171.21" {
		t.Errorf("go versions %q", got)
	}
}

func TestBadMains(t *testing.T) {
	x, y := mainFile(t, "module example.com/x\n"), mainFile(t, "module example.com/x\n")
	for name, tt := range map[string]struct {
		mains []Main
		o     Options
	}{
		"several without go.work": {[]Main{x, y}, Options{}},
		"one twice":               {[]Main{x, y}, Options{Work: &modfile.WorkFile{}}},
		"no module line":          {[]Main{mainFile(t, "go 1.21\n")}, Options{}},
		"conflict":                {[]Main{mainFile(t, "module m\nreplace example.com/a => ./b\nreplace example.com/a => ./c\n")}, Options{}},
	} {
		if g, err := Load(t.Context(), nil, tt.mains, tt.o); err == nil || g != nil {
			t.Errorf("%s: %v, %v", name, g, err)
		}
	}
}

func TestConflictInWorkspace(t *testing.T) {
	x := mainFile(t, "module example.com/x\ngo 1.21\nrequire example.com/a v1.0.0\nreplace example.com/a => ./b\n")
	y := mainFile(t, "module example.com/y\ngo 1.21\nreplace example.com/a => ./c\n")
	g, err := Load(t.Context(), nil, []Main{x, y}, Options{Work: &modfile.WorkFile{}})
	if err != nil {
		t.Fatal(err)
	}
	if f := g.Failures(); len(f) != 1 || !errors.Is(f[0], errConflict) {
		t.Errorf("failures %v", f)
	}
}

func TestCanceled(t *testing.T) {
	s := goproxytest.New(t)
	project(t, s, deps)
	release := s.Hold("/a/@v/")
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		g, err := Load(ctx, client(t, s), []Main{mainFile(t, "module m\nrequire example.com/a v1.0.0\n")}, Options{})
		if g != nil {
			err = fmt.Errorf("a graph came: %v", g.BuildList())
		}
		done <- err
	}()
	s.Wait(t.Context(), "/a/@v/", 1)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestParallel wants as many files asked for at once as there are, and no more than allowed.
func TestParallel(t *testing.T) {
	s := goproxytest.New(t)
	var b strings.Builder
	b.WriteString("module example.com/main\ngo 1.21\n")
	for i := range 20 {
		path := fmt.Sprintf("example.com/m%d", i)
		s.AddModule(path, "v1.0.0", map[string]string{"go.mod": "module " + path + "\n"})
		fmt.Fprintf(&b, "require %s v1.0.0\n", path)
	}
	release := s.Hold(".mod")
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := Load(t.Context(), client(t, s), []Main{mainFile(t, b.String())}, Options{Parallel: 5}); err != nil {
			t.Error(err)
		}
	}()
	s.Wait(t.Context(), ".mod", 5)
	release()
	<-done
	if n := s.MaxInFlight(); n != 5 {
		t.Errorf("%d requests at once", n)
	}
}
