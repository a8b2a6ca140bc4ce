package prefetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/goproxytest"
)

// onDisk writes the files of a txtar archive into a folder.
func onDisk(t *testing.T, archive string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, f := range txtar.Parse([]byte(archive)).Files {
		name := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func readProject(t *testing.T, dir, gowork string) *Project {
	t.Helper()
	p, err := ReadProject(dir, gowork)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const anyHash = " h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"

// TestFiles names the files that a project says it needs, in their order.
func TestFiles(t *testing.T) {
	sums := func(lines ...string) string { return "-- go.sum --\n" + strings.Join(lines, anyHash) + anyHash }
	for _, tt := range []struct {
		name, files, want string
		complete          bool
	}{
		{"order", "-- go.mod --\nmodule m\ngo 1.21\nrequire (\nexample.com/b v1.0.0\nexample.com/a v1.0.0 // indirect\n)\n" +
			sums("example.com/a v1.0.0", "example.com/a v1.0.0/go.mod", "example.com/b v1.0.0", "example.com/b v1.0.0/go.mod", "example.com/c v1.0.0/go.mod"),
			"b.mod a.mod c.mod b.info a.info b.zip a.zip", true},
		{"no go.sum", "-- go.mod --\nmodule m\ngo 1.21\nrequire example.com/a v1.0.0\n", "a.mod a.info a.zip", false},
		{"a line for no package", "-- go.mod --\nmodule m\ngo 1.21\nrequire example.com/a v1.0.0\n" + sums("example.com/c v1.0.0", "example.com/c v1.0.0/go.mod"),
			"a.mod c.mod a.info a.zip", false},
		{"no pruning", "-- go.mod --\nmodule m\ngo 1.16\nrequire example.com/b v1.0.0\n" +
			sums("example.com/a v1.0.0", "example.com/a v1.1.0", "example.com/a v1.0.0/go.mod", "example.com/b v1.0.0", "example.com/c v1.0.0/go.mod"),
			"b.mod a.mod c.mod b.info a@v1.1.0.info b.zip a@v1.1.0.zip", false},
		{"no go line, no go.sum", "-- go.mod --\nmodule m\nrequire example.com/b v1.0.0\n", "b.mod", false},
		{"replaced", "-- go.mod --\nmodule m\ngo 1.21\nrequire (\nexample.com/a v1.0.0\nexample.com/b v1.0.0\nexample.com/c v1.0.0\nexample.com/d v1.0.0\n)\n" +
			"replace (\nexample.com/a => ./a\nexample.com/b => example.com/x v1.0.0\nexample.com/c v1.0.0 => example.com/y v1.0.0\nexample.com/c => example.com/z v1.0.0\nexample.com/d v1.1.0 => ./d\n)\n",
			"x.mod y.mod d.mod x.info y.info d.info x.zip y.zip d.zip", false},
		{"excluded", "-- go.mod --\nmodule m\ngo 1.21\nrequire (\nexample.com/a v1.0.0\nexample.com/b v1.0.0\n)\nexclude example.com/a v1.0.0\n", "b.mod b.info b.zip", false},
		{"a branch", "-- go.mod --\nmodule m\ngo 1.21\nrequire (\nexample.com/a master\nexample.com/a/v2 dev\nexample.com/b v1.0.0\ngopkg.in/c.v1 main\n)\n", "b.mod b.info b.zip", false},
		{"workspace", "-- go.work --\ngo 1.21\nuse ./x\nuse ./y\nreplace example.com/r => ./r\n-- go.work.sum --\nexample.com/c v1.2.0" + anyHash +
			"-- x/go.mod --\nmodule example.com/main\ngo 1.21\nrequire (\nexample.com/a v1.0.0\nexample.com/r v1.0.0\n)\n-- x/go.sum --\nexample.com/a v1.0.0" + anyHash +
			"-- y/go.mod --\nmodule y\ngo 1.21\nrequire example.com/main v1.0.0\n-- y/go.sum --\nexample.com/c v1.0.0" + anyHash + "example.com/c v1.0.0/go.mod" + anyHash,
			"a.mod c.mod a.info c@v1.2.0.info a.zip c@v1.2.0.zip", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := readProject(t, onDisk(t, tt.files), "")
			if diff := cmp.Diff(tt.want, shorten(p.Files())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got := p.Complete(); got != tt.complete {
				t.Errorf("complete: %v", got)
			}
		})
	}
}

// shorten writes example.com/a@v1.0.0.mod as a.mod.
func shorten(reqs []goproxy.Request) string {
	var list []string
	for _, req := range reqs {
		s := strings.TrimPrefix(req.String(), "example.com/")
		list = append(list, strings.Replace(s, "@v1.0.0.", ".", 1))
	}
	return strings.Join(list, " ")
}

// TestReadProject finds what the go command would work on.
func TestReadProject(t *testing.T) {
	dir := onDisk(t, "-- go.work --\ngo 1.21\nuse ./x\n-- x/go.mod --\nmodule x\ngo 1.21\n-- x/sub/a.go --\npackage a\n"+
		"-- v/go.mod --\nmodule v\ngo 1.21\n-- v/vendor/modules.txt --\n-- old/go.mod --\nmodule old\ngo 1.13\n-- old/vendor/modules.txt --\n"+
		"-- bad/go.mod --\nmodule bad\nrequire (\n-- badwork/go.work --\nuse ./none\n-- abs/go.work --\ngo 1.22\nuse ABS\n-- abs/vendor/modules.txt --\n")
	abs := filepath.Join(dir, "abs", "go.work")
	if err := os.WriteFile(abs, fmt.Appendf(nil, "go 1.22\nuse %q\n", filepath.ToSlash(filepath.Join(dir, "x"))), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		dir, gowork, want string
		mains             int
		vendored          bool
	}{
		{"x/sub", "", ".", 1, false},
		{"x/sub", "off", "x", 1, false},
		{"x/sub", abs, "abs", 1, true},
		{"v", "off", "v", 1, true},
		{"old", "off", "old", 1, false},
	} {
		p := readProject(t, filepath.Join(dir, filepath.FromSlash(tt.dir)), tt.gowork)
		if got := filepath.Join(dir, tt.want); p.Dir != got || len(p.Mains) != tt.mains || p.Vendored != tt.vendored {
			t.Errorf("%s with GOWORK=%s: %s, %d main modules, vendored %v", tt.dir, tt.gowork, p.Dir, len(p.Mains), p.Vendored)
		}
	}
	for _, tt := range []struct{ dir, gowork, want string }{
		{"bad", "off", "go.mod"},
		{"badwork", "", "go.mod"},
		{"x", "relative/go.work", "GOWORK=relative"},
		{"x", filepath.Join(dir, "none", "go.work"), "none"},
	} {
		p, err := ReadProject(filepath.Join(dir, tt.dir), tt.gowork)
		if p != nil || err == nil || errors.Is(err, ErrNoProject) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s with GOWORK=%s: %v", tt.dir, tt.gowork, err)
		}
	}
	if _, err := ReadProject(t.TempDir(), "off"); !errors.Is(err, ErrNoProject) {
		t.Errorf("an empty folder: %v", err)
	}
}

// realProject is a project that imports a package of its dependency, which imports one of another; two more are
// in the graph.
const realProject = `
-- app/go.mod --
module example.org/app

go 1.20

require example.com/a v1.0.0

require example.com/b v1.1.0 // indirect
-- app/main.go --
package main

import "example.com/a"

func main() { a.A() }
-- old/go.mod --
module example.org/old

go 1.16

require example.com/a v1.0.0
-- old/main.go --
package main

import "example.com/a"

func main() { a.A() }
-- work/go.work --
go 1.20

use (
	../app
	../old
)
`

func realUpstream(t *testing.T) *goproxytest.Server {
	s := goproxytest.New(t)
	s.AddModule("example.com/a", "v1.0.0", map[string]string{
		"go.mod": "module example.com/a\n\ngo 1.20\n\nrequire example.com/b v1.1.0\nrequire example.com/unused v1.0.0\n",
		"a.go":   "package a\n\nimport \"example.com/b\"\n\nfunc A() { b.B() }\n",
	})
	for _, v := range []string{"v1.0.0", "v1.1.0"} {
		s.AddModule("example.com/b", v, map[string]string{"go.mod": "module example.com/b\n\ngo 1.20\n\nrequire example.com/deep v1.0.0\n", "b.go": "package b\n\nfunc B() {}\n"})
	}
	s.AddModule("example.com/unused", "v1.0.0", map[string]string{"go.mod": "module example.com/unused\n\ngo 1.20\n\nrequire example.com/b v1.0.0\n", "u.go": "package unused\n"})
	s.AddModule("example.com/deep", "v1.0.0", map[string]string{"go.mod": "module example.com/deep\n", "d.go": "package deep\n"})
	return s
}

// A goDir is a folder in which the go command runs, with a module cache of its own.
type goDir struct{ dir, cache, proxy string }

func (g goDir) run(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = g.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "SYSTEMROOT=" + os.Getenv("SYSTEMROOT"), "GOPATH=" + g.cache, "GOENV=off", "GOTOOLCHAIN=local",
		"GOFLAGS=-modcacherw", "GOMODCACHE=" + g.cache, "GOCACHE=" + buildCache(t), "GOPROXY=" + g.proxy, "GOSUMDB=off", "NO_PROXY=*"}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out.String())
	}
}

// buildCache is the build cache of whoever runs the test: the standard library is compiled there.
func buildCache(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// asked are the immutable files that the upstream was asked for.
func asked(t *testing.T, s *goproxytest.Server) []goproxy.Request {
	t.Helper()
	var list []goproxy.Request
	for _, name := range s.Requests() {
		req, err := goproxy.ParseRequest(strings.TrimPrefix(name, "/"))
		if err != nil {
			t.Fatal(err)
		}
		if req.Immutable() {
			list = append(list, req)
		}
	}
	return list
}

// TestGoCommandAsks wants every file that the go command asks for to be one that was foreseen, and the
// zips to be those and no others.
func TestGoCommandAsks(t *testing.T) {
	for _, tt := range []struct {
		dir, args string
		zips      bool // the same zips
	}{
		{"app", "mod download", true},
		{"app", "build -o " + os.DevNull + " .", true},
		{"old", "build -o " + os.DevNull + " .", true},
		{"old", "mod vendor", true},
		{"work", "build -o " + os.DevNull + " ../app", true},
	} {
		t.Run(tt.dir+" "+tt.args, func(t *testing.T) {
			s := realUpstream(t)
			root := onDisk(t, realProject)
			dir := filepath.Join(root, tt.dir)
			for _, d := range []string{"app", "old"} { // makes the go.sum files
				goDir{filepath.Join(root, d), t.TempDir(), s.URL}.run(t, "mod", "tidy")
			}
			s.Reset()
			goDir{dir, t.TempDir(), s.URL}.run(t, strings.Fields(tt.args)...)
			files := readProject(t, dir, "").Files()
			got := asked(t, s)
			var zips, foreseen []string
			for _, req := range got {
				if !slices.Contains(files, req) {
					t.Errorf("not foreseen: %s", req)
				}
				if req.Kind == goproxy.Zip {
					zips = append(zips, req.String())
				}
			}
			for _, req := range files {
				if req.Kind == goproxy.Zip {
					foreseen = append(foreseen, req.String())
				}
			}
			slices.Sort(zips)
			slices.Sort(foreseen)
			if diff := cmp.Diff(zips, foreseen); tt.zips && diff != "" || len(zips) == 0 {
				t.Errorf("zips (-asked +foreseen):\n%s", diff)
			}
		})
	}
}

// TestGraphTellsTheRest fetches what the graph says of a project without go.sum; then the go command needs no
// network for anything, and with all, for every module of the graph.
func TestGraphTellsTheRest(t *testing.T) {
	for _, tt := range []struct {
		dir, args string
		all       bool
	}{
		{"app", "mod tidy -e", true},
		{"app", "list -mod=mod -m -json all", false},
		{"app", "build -mod=mod -o " + os.DevNull + " .", false},
		{"old", "build -mod=mod -o " + os.DevNull + " .", false},
		{"old", "mod download all", true},
		{"work", "mod download", true},
		{"work", "list -m -json all", false},
	} {
		t.Run(fmt.Sprint(tt.dir, " ", tt.args, " ", tt.all), func(t *testing.T) {
			s := realUpstream(t)
			dir := filepath.Join(onDisk(t, realProject), tt.dir)
			c, err := goproxy.NewClient(s.URL, s.Client())
			if err != nil {
				t.Fatal(err)
			}
			p := readProject(t, dir, "")
			keep := &keeper{dir: t.TempDir(), src: c}
			res, err := Run(t.Context(), keep, p.Files(), Options{More: func(ctx context.Context, src goproxy.Source, add func(...goproxy.Request)) {
				g, err := p.Graph(ctx, src)
				if err != nil {
					t.Error(err)
					return
				}
				add(p.FilesOf(g, tt.all)...)
			}})
			if err != nil || len(res.Missing) > 0 {
				t.Fatalf("%+v, %v", res, err)
			}
			s.Down()
			goDir{dir, t.TempDir(), "file://" + filepath.ToSlash(keep.dir)}.run(t, strings.Fields(tt.args)...)
		})
	}
}

// A keeper puts what is opened into a folder.
type keeper struct {
	dir string
	src goproxy.Source
}

func (k *keeper) Open(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
	data, err := goproxy.ReadFile(ctx, k.src, req)
	if err != nil {
		return nil, err
	}
	name, err := req.Name()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(k.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return nil, err
	}
	tmp, err := os.CreateTemp(k.dir, "") // another asker of the same file must not read half of it
	if err != nil {
		return nil, err
	}
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Close()); err != nil {
		return nil, err
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return nil, err
	}
	return os.Open(file)
}

// TestInModCache looks into a module cache that the go command has made.
func TestInModCache(t *testing.T) {
	s := realUpstream(t)
	root := onDisk(t, realProject)
	cache := t.TempDir()
	goDir{filepath.Join(root, "app"), cache, s.URL}.run(t, "mod", "download")
	there := InModCache(cache)
	check := func(req goproxy.Request, want bool) {
		t.Helper()
		if got := there(req); got != want {
			t.Errorf("%s: %v", req, got)
		}
	}
	a, deep := mod("example.com/a", "v1.0.0"), mod("example.com/deep", "v1.0.0")
	for _, kind := range []goproxy.Kind{goproxy.Info, goproxy.Mod, goproxy.Zip} {
		check(request(a, kind), true)
		check(request(mod("example.com/none", "v1.0.0"), kind), false)
	}
	check(request(deep, goproxy.Zip), false)
	check(goproxy.Request{Path: a.Path, Kind: goproxy.List}, false)
	check(goproxy.Request{Path: a.Path, Version: "not a version", Kind: goproxy.Mod}, false)
	zip := filepath.Join(cache, "cache", "download", "example.com", "a", "@v", "v1.0.0.zip")
	if err := os.Remove(zip); err != nil {
		t.Fatal(err)
	}
	check(request(a, goproxy.Zip), true) // unpacked
	if err := os.WriteFile(strings.TrimSuffix(zip, "zip")+"partial", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	check(request(a, goproxy.Zip), false)
}

// FuzzParseSums wants lines that can be asked for, each from a line of the file.
func FuzzParseSums(f *testing.F) {
	f.Add([]byte("example.com/a v1.0.0 h1:x=\nexample.com/a v1.0.0/go.mod h1:x=\n"))
	f.Add([]byte("<<<<<<< HEAD\nexample.com/a v1.0.0 h1:x=\n=======\n"))
	f.Add([]byte("example.com/a/v2 v1.0.0 h1:x=\nexample.com/A v2.0.0+incompatible h1:x=\r\n"))
	f.Add([]byte("x v0.0.0-20240102030405-aaaaaaaaaaaa/go.mod/go.mod h1:\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var again strings.Builder
		list := parseSums(data)
		for _, s := range list {
			if _, err := (goproxy.Request{Path: s.Path, Version: s.Version.Version, Kind: goproxy.Zip}).Name(); err != nil {
				t.Errorf("%v: %v", s, err)
			}
			suffix := ""
			if s.mod {
				suffix = "/go.mod"
			}
			line := s.Path + " " + s.Version.Version + suffix + " h1:x"
			if !strings.Contains(strings.Join(strings.Fields(string(data)), " "), strings.TrimSuffix(line, "h1:x")) {
				t.Errorf("%q is not in the file", line)
			}
			again.WriteString(line + "\n")
		}
		if diff := cmp.Diff(list, parseSums([]byte(again.String())), cmp.AllowUnexported(sum{}), cmp.Comparer(func(a, b module.Version) bool { return a == b })); diff != "" {
			t.Errorf("written and read again (-want +got):\n%s", diff)
		}
	})
}
