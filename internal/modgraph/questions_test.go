package modgraph

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/goproxytest"
)

// parse reads "path@version path …", with example.com/ in front where there is no dot.
func parse(s string) []module.Version {
	var list []module.Version
	for f := range strings.FieldsSeq(s) {
		path, v, _ := strings.Cut(f, "@")
		if !strings.Contains(path, ".") {
			path = "example.com/" + path
		}
		list = append(list, module.Version{Path: path, Version: v})
	}
	return list
}

// words is the inverse of parse.
func words(list []module.Version) string {
	var w []string
	for _, m := range list {
		w = append(w, strings.TrimPrefix(m.String(), "example.com/"))
	}
	return strings.Join(w, " ")
}

// graphOf loads the graph of a project in an archive, with deps as upstream.
func graphOf(t *testing.T, archive string) (*Graph, *goproxytest.Server) {
	t.Helper()
	s := goproxytest.New(t)
	mains, o := mainsOf(t, project(t, s, deps+archive))
	g, err := Load(t.Context(), client(t, s), mains, o)
	if err != nil {
		t.Fatal(err)
	}
	return g, s
}

const twoWays = "-- go.mod --\nmodule example.com/main\ngo 1.16\nrequire (\nexample.com/old v1.0.0\nexample.com/a v1.0.0\nexample.com/deep v1.1.0 // indirect\n)\n"

const twoMains = "-- go.work --\ngo 1.21\nuse (\n./x\n./y\n)\n" +
	"-- x/go.mod --\nmodule example.com/x\ngo 1.21\nrequire example.com/a v1.0.0\n" +
	"-- y/go.mod --\nmodule example.com/y\ngo 1.21\nrequire (\nexample.com/a v1.0.0\nexample.com/b v1.1.0 // indirect\n)\n"

func TestRequirers(t *testing.T) {
	for _, tt := range []struct{ name, files, path, want string }{
		{
			"main modules and others", twoWays, "deep",
			"main:v1.1.0:decides:indirect b@v1.1.0:v1.1.0:decides b@v1.0.0:v1.0.0:superseded",
		},
		{"of a superseded one", twoWays, "b", "a@v1.0.0:v1.1.0:decides old@v1.0.0:v1.0.0"},
		{"of a main module", "-- go.mod --\nmodule example.com/main\nrequire example.com/cycle v1.0.0\n", "main", "cycle@v1.0.0:v1.0.0"},
		{"excluded", twoWays + "exclude example.com/deep v1.0.0\n", "deep", "main:v1.1.0:decides:indirect b@v1.1.0:v1.1.0:decides"},
		{ // the fork stands for b, and does not appear itself
			"replaced", twoWays + "replace example.com/b v1.1.0 => example.com/fork v1.0.0\n", "deeper",
			"b@v1.1.0:v1.2.0:decides deep@v1.1.0:v1.1.0 deep@v1.0.0:v1.0.0:superseded",
		},
		{"pruned", "-- go.mod --\nmodule example.com/main\ngo 1.21\nrequire example.com/a v1.0.0\n", "deep", ""},
		{"workspace", twoMains, "b", "y:v1.1.0:decides:indirect a@v1.0.0:v1.1.0:decides"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g, _ := graphOf(t, tt.files)
			var got []string
			for _, r := range g.Requirers("example.com/" + tt.path) {
				w := words([]module.Version{r.By}) + ":" + r.Version
				if r.Decides {
					w += ":decides"
				}
				if r.Superseded {
					w += ":superseded"
				}
				if r.Indirect {
					w += ":indirect"
				}
				got = append(got, w)
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("requirers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhy(t *testing.T) {
	const diamond = "-- go.mod --\nmodule example.com/main\ngo 1.16\nrequire (\nexample.com/a v1.0.0\nexample.com/fork v1.0.0\nexample.com/deep v1.2.0\n)\n"
	for _, tt := range []struct {
		name, files, path string
		limit             int
		want              []string
	}{
		{"one", twoWays, "deeper", 0, []string{"main deep@v1.1.0 deeper@v1.1.0"}},
		{"several", diamond, "deeper", 0, []string{"main deep@v1.2.0 deeper@v1.2.0", "main fork@v1.0.0 deeper@v1.2.0"}},
		{"not so many", diamond, "deeper", 1, []string{"main deep@v1.2.0 deeper@v1.2.0"}},
		{"through what was not selected", "-- go.mod --\nmodule example.com/main\ngo 1.16\nrequire example.com/p v1.0.0\n" +
			"-- mod/example.com/p@v1.0.0 --\nmodule example.com/p\nrequire example.com/q v1.0.0\n" +
			"-- mod/example.com/p@v1.1.0 --\nmodule example.com/p\n" +
			"-- mod/example.com/q@v1.0.0 --\nmodule example.com/q\nrequire example.com/p v1.1.0\n", "p", 0, []string{"main p@v1.0.0 q@v1.0.0 p@v1.1.0"}},
		{"a main module", twoWays, "main", 0, []string{"main"}},
		{"pruned", "-- go.mod --\nmodule example.com/main\ngo 1.21\nrequire example.com/a v1.0.0\n", "b", 0, []string{"main a@v1.0.0 b@v1.1.0"}},
		{"not behind what is pruned", "-- go.mod --\nmodule example.com/main\ngo 1.21\nrequire (\nexample.com/a v1.0.0\nexample.com/far v1.0.0\n)\n" +
			"-- mod/example.com/far@v1.0.0 --\nmodule example.com/far\nrequire example.com/nearer v1.0.0\n" +
			"-- mod/example.com/nearer@v1.0.0 --\nmodule example.com/nearer\nrequire example.com/b v1.1.0\n", "deep", 0,
			[]string{"main far@v1.0.0 nearer@v1.0.0 b@v1.1.0 deep@v1.1.0"}},
		{"not there", twoWays, "cycle", 0, nil},
		{"cycle", "-- go.mod --\nmodule example.com/main\nrequire example.com/cycle v1.0.0\n", "fork", 0,
			[]string{"main cycle@v1.0.0 main@v1.0.0 fork@v1.0.0"}},
		{"workspace", twoMains, "b", 0, []string{"y b@v1.1.0", "x a@v1.0.0 b@v1.1.0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g, _ := graphOf(t, tt.files)
			var got []string
			for _, c := range g.Why("example.com/"+tt.path, tt.limit) {
				got = append(got, words(c))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("chains (-want +got):\n%s", diff)
			}
			want := len(strings.Fields(strings.Join(tt.want[:min(1, len(tt.want))], ""))) - 1
			if tt.path == "p" {
				want = 1 // the nearest version of it
			}
			if got := g.Depth("example.com/" + tt.path); got != want {
				t.Errorf("depth %d, want %d", got, want)
			}
		})
	}
}

func TestModules(t *testing.T) {
	g, _ := graphOf(t, "-- go.mod --\nmodule example.com/main\ngo 1.21\nrequire (\nexample.com/a v1.0.0\nexample.com/gone v1.0.0 // indirect\n)\n"+
		"replace example.com/b => ./b\n")
	got := map[string]Module{}
	for _, m := range g.Modules() {
		m.Requirers = nil
		got[strings.TrimPrefix(m.Mod.Path, "example.com/")] = m
	}
	gone := got["gone"].Failure
	if gone == nil || !errors.Is(gone.Err, goproxy.ErrNotExist) {
		t.Errorf("failure of gone: %v", gone)
	}
	dir := g.rules.mains[0].Dir
	mod := func(s string) module.Version { return parse(s)[0] }
	want := map[string]Module{
		"main": {Mod: mod("main"), Main: true, Actual: mod("main"), GoVersion: "1.21"},
		"a":    {Mod: mod("a@v1.0.0"), Direct: true, Actual: mod("a@v1.0.0"), GoVersion: "1.17", Depth: 1},
		"b":    {Mod: mod("b@v1.1.0"), Actual: module.Version{Path: dir + "/b"}, Depth: 2, Pruned: true},
		"gone": {Mod: mod("gone@v1.0.0"), Indirect: true, Actual: mod("gone@v1.0.0"), Depth: 1, Failure: gone},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b *Failure) bool { return a == b })); diff != "" {
		t.Errorf("modules (-want +got):\n%s", diff)
	}
	if !got["b"].Replaced() || got["a"].Replaced() {
		t.Error("b alone is replaced")
	}
	if p := words(g.Pruned()); p != "b@v1.1.0" {
		t.Errorf("pruned: %s", p)
	}
}

func TestDuplicates(t *testing.T) {
	s := goproxytest.New(t)
	lines := []string{"module example.com/main"}
	for _, m := range parse("x@v1.0.0 x/v2@v2.1.0 x/v10@v10.0.0 gopkg.in/y.v1@v1.0.0 gopkg.in/y.v3@v3.0.0 z@v3.0.0+incompatible y@v1.0.0 xx@v1.0.0 gopkg.in/u.v2-unstable@v2.0.0 gopkg.in/u.v1@v1.0.0") {
		project(t, s, "-- mod/"+m.String()+" --\nmodule "+m.Path+"\n")
		lines = append(lines, "require "+m.Path+" "+m.Version)
	}
	g := load(t, client(t, s), strings.Join(lines, "\n"))
	got := map[string]string{}
	var names []string
	for _, f := range g.Duplicates() {
		names = append(names, f.Name)
		got[f.Name] = words(f.Members)
	}
	want := map[string]string{
		"example.com/x": "x/v10@v10.0.0 x/v2@v2.1.0 x@v1.0.0", "gopkg.in/y": "gopkg.in/y.v3@v3.0.0 gopkg.in/y.v1@v1.0.0",
		"gopkg.in/u": "gopkg.in/u.v2-unstable@v2.0.0 gopkg.in/u.v1@v1.0.0",
	}
	if diff := cmp.Diff(want, got); diff != "" || !slices.IsSorted(names) {
		t.Errorf("families %v (-want +got):\n%s", names, diff)
	}
}

func TestGoLines(t *testing.T) {
	g, _ := graphOf(t, "-- go.mod --\nmodule example.com/main\nrequire (\nexample.com/n v1.0.0\nexample.com/n2 v1.0.0\nexample.com/a v1.0.0\n)\n"+
		"-- mod/example.com/n@v1.0.0 --\nmodule example.com/n\ngo 1.24rc1\n-- mod/example.com/n2@v1.0.0 --\nmodule example.com/n2\ngo 1.24.0\n")
	var got []string
	for _, r := range g.GoLines() {
		w := words([]module.Version{r.By}) + ":" + r.Version
		if r.Decides {
			w += ":decides"
		}
		got = append(got, w)
	}
	if want := "n2@v1.0.0:1.24.0:decides n@v1.0.0:1.24rc1 main:1.16"; strings.Join(got, " ") != want {
		t.Errorf("go lines %s, want %s", got, want)
	}
}

// told formats the changes of an outcome.
func told(out *Outcome) string {
	var w []string
	for _, c := range out.Changes {
		w = append(w, strings.TrimPrefix(c.Path, "example.com/")+":"+c.From+":"+c.To+":"+string(c.Kind()))
	}
	return strings.Join(w, " ")
}

func TestWhatIf(t *testing.T) {
	const newer = "-- mod/example.com/n@v1.0.0 --\nmodule example.com/n\ngo 1.24.0\nrequire example.com/b v1.0.0\n"
	const pruning = "-- go.mod --\nmodule example.com/main\ngo 1.21\nrequire (\nexample.com/a v1.0.0\nexample.com/b v1.1.0 // indirect\n)\n"
	const old = "-- go.mod --\nmodule example.com/main\ngo 1.16\nrequire example.com/a v1.0.0\n"
	for _, tt := range []struct{ name, files, want, changes, goTo, held, asked string }{
		{"raises what it asks for", pruning, "a@v1.1.0", "a:v1.0.0:v1.1.0:raised b:v1.1.0:v1.2.0:raised deep:v1.1.0:v1.2.0:raised", "1.21", "", "a@v1.1.0 b@v1.2.0"},
		{"adds", pruning, "fork@v1.0.0", "deeper:none:v1.2.0:added fork:none:v1.0.0:added", "1.21", "", "deeper@v1.2.0 fork@v1.0.0"},
		{"needs a newer Go", newer + pruning, "n@v1.0.0", "n:none:v1.0.0:added", "1.24.0", "", "n@v1.0.0"},
		{"begins to prune", newer + old, "n@v1.0.0", "n:none:v1.0.0:added", "1.24.0", "", "b@v1.0.0 deep@v1.0.0 deeper@v1.0.0 n@v1.0.0"},
		{"nothing new", pruning, "b@v1.1.0", "", "1.21", "", ""},
		{"held", pruning, "b@v1.0.0", "", "1.21", "b@v1.0.0 at v1.1.0 by a@v1.0.0", "b@v1.0.0"},
		{"none, held, and pruned out", pruning, "b@none", "deep:v1.1.0:none:removed", "1.21", "b@none at v1.1.0 by a@v1.0.0", ""},
		{"none", "-- go.mod --\nmodule example.com/main\ngo 1.21\nrequire (\nexample.com/a v1.0.0\nexample.com/cycle v1.0.0\n)\n", "cycle@none",
			"cycle:v1.0.0:none:removed deeper:v1.2.0:none:removed fork:v1.0.0:none:removed", "1.21", "", ""},
		{"none, kept", old, "a@none", "a:v1.0.0:none:removed", "1.16", "", ""},
		{"lower", "-- go.mod --\nmodule example.com/main\ngo 1.21\nrequire example.com/a v1.1.0\n", "a@v1.0.0", "a:v1.1.0:v1.0.0:lowered b:v1.2.0:v1.1.0:lowered", "1.21", "", "a@v1.0.0"},
		{"lower, once others are raised", "-- go.mod --\nmodule example.com/main\ngo 1.21\nrequire (\nexample.com/p v1.0.0\nexample.com/m v1.1.0\n)\n" +
			"-- mod/example.com/p@v1.0.0 --\nmodule example.com/p\ngo 1.17\nrequire example.com/m v1.1.0\n" +
			"-- mod/example.com/p@v1.1.0 --\nmodule example.com/p\ngo 1.17\n-- mod/example.com/m@v1.1.0 --\nmodule example.com/m\ngo 1.17\n" +
			"-- mod/example.com/m@v1.0.0 --\nmodule example.com/m\ngo 1.17\nrequire example.com/p v1.1.0\n", "m@v1.0.0",
			"m:v1.1.0:v1.0.0:lowered p:v1.0.0:v1.1.0:raised", "1.21", "", "m@v1.0.0 p@v1.1.0"},
		{"go.mod is put in order first", newer + "-- go.mod --\nmodule example.com/main\ngo 1.21\nrequire (\nexample.com/n v1.0.0\nexample.com/fork v1.0.0\n)\n", "n@none",
			"b:v1.0.0:none:removed n:v1.0.0:none:removed", "1.24.0", "", ""},
		{"put in order, it begins to prune", newer + "-- go.mod --\nmodule example.com/main\ngo 1.16\nrequire example.com/n v1.0.0\n", "fork@none",
			"deep:v1.0.0:none:removed deeper:v1.0.0:none:removed", "1.24.0", "", ""},
		{"several", pruning, "a@v1.1.0 fork@v1.0.0", "a:v1.0.0:v1.1.0:raised b:v1.1.0:v1.2.0:raised deep:v1.1.0:v1.2.0:raised deeper:none:v1.2.0:added fork:none:v1.0.0:added", "1.21", "",
			"a@v1.1.0 b@v1.2.0 deeper@v1.2.0 fork@v1.0.0"},
		{"workspace", twoMains, "a@v1.1.0", "a:v1.0.0:v1.1.0:raised b:v1.1.0:v1.2.0:raised deep:v1.1.0:v1.2.0:raised", "1.21", "", "a@v1.1.0 b@v1.2.0"},
		{"new in a workspace", twoMains, "fork@v1.0.0", "deeper:none:v1.2.0:added fork:none:v1.0.0:added", "1.21", "", "deeper@v1.2.0 fork@v1.0.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g, s := graphOf(t, tt.files)
			s.Reset()
			out, err := g.WhatIf(t.Context(), client(t, s), parse(tt.want)...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.changes, told(out)); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			if out.GoTo != tt.goTo || out.GoFrom != g.goLine() {
				t.Errorf("go line from %s to %s", out.GoFrom, out.GoTo)
			}
			var held []string
			for _, h := range out.Held {
				w := words([]module.Version{h.Want}) + " at " + h.Selected + " by"
				for _, r := range h.By {
					w += " " + words([]module.Version{r.By})
				}
				held = append(held, w)
			}
			if got := strings.Join(held, "; "); got != tt.held {
				t.Errorf("held %q, want %q", got, tt.held)
			}
			var asked []module.Version
			for _, name := range s.Requests() {
				req, err := goproxy.ParseRequest(strings.TrimPrefix(name, "/"))
				if err != nil {
					t.Fatal(err)
				}
				asked = append(asked, module.Version{Path: req.Path, Version: req.Version})
			}
			module.Sort(asked)
			if diff := cmp.Diff(tt.asked, words(asked)); diff != "" {
				t.Errorf("asked for (-want +got):\n%s", diff)
			}
			checkChanges(t, g, out)
		})
	}
}

func TestWhatIfErrors(t *testing.T) {
	g, s := graphOf(t, twoWays+"exclude example.com/b v1.2.0\n")
	for name, want := range map[string]string{
		"main module": "main@v1.0.0", "query": "a@latest", "not canonical": "a@v1.1", "wrong major": "a@v2.0.0", "wrong major in gopkg.in": "gopkg.in/y.v2@v1.0.0",
		"excluded": "b@v1.2.0", "twice": "a@v1.0.0 a@v1.1.0",
	} {
		if _, err := g.WhatIf(t.Context(), client(t, s), parse(want)...); !errors.Is(err, ErrWant) || !strings.Contains(err.Error(), "example.com/") && !strings.Contains(err.Error(), "gopkg.in/") {
			t.Errorf("%s: %v", name, err)
		}
	}
	out, err := g.WhatIf(t.Context(), client(t, s), parse("gone@v1.0.0")...)
	if err != nil || len(out.Graph.Failures()) != 1 || told(out) != "gone:none:v1.0.0:added" {
		t.Errorf("what does not exist: %v, %+v", err, out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.WhatIf(ctx, client(t, s), parse("a@v1.1.0")...); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if _, err := g.Cut(ctx, client(t, s), "example.com/a"); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestCut(t *testing.T) {
	const listed = "-- go.mod --\nmodule example.com/main\ngo 1.21\nrequire (\nexample.com/a v1.0.0\nexample.com/fork v1.0.0\n)\n" +
		"require (\nexample.com/b v1.1.0 // indirect\nexample.com/deep v1.1.0 // indirect\nexample.com/deeper v1.2.0 // indirect\nexample.com/cycle v1.0.0 // indirect\n)\n"
	for _, tt := range []struct{ name, files, cut, changes string }{
		{"all that only it brings", twoWays, "a", "a:v1.0.0:none:removed b:v1.1.0:v1.0.0:lowered"},
		{"indirect requirements go with what explains them", listed, "a", "a:v1.0.0:none:removed b:v1.1.0:none:removed deep:v1.1.0:none:removed"},
		{"what others bring stays as it is", listed, "fork", "fork:v1.0.0:none:removed"},
		{"in the middle", listed, "b", "b:v1.1.0:none:removed deep:v1.1.0:none:removed"},
		{"put there on purpose", listed, "cycle", "cycle:v1.0.0:none:removed"},
		{"versions fall", "-- go.mod --\nmodule example.com/main\ngo 1.16\nrequire (\nexample.com/a v1.0.0\nexample.com/fork v1.0.0\n)\n", "fork", "deeper:v1.2.0:v1.1.0:lowered fork:v1.0.0:none:removed"},
		{"workspace", twoMains, "a", "a:v1.0.0:none:removed b:v1.1.0:none:removed deep:v1.1.0:none:removed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g, s := graphOf(t, tt.files)
			s.Reset()
			out, err := g.Cut(t.Context(), client(t, s), "example.com/"+tt.cut)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.changes, told(out)); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			if len(s.Requests()) > 0 {
				t.Errorf("asked for %q", s.Requests())
			}
			checkChanges(t, g, out)
		})
	}
	g, _ := graphOf(t, twoMains)
	for _, path := range []string{"example.com/x", "example.com/cycle"} {
		if _, err := g.Cut(t.Context(), nil, path); !errors.Is(err, ErrCut) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
