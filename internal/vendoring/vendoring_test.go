package vendoring

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/goproxytest"
)

// The module has its C in folders without Go files, as h3-go, pg_query_go and go-tpm-tools have.
const cModule = `
-- go.mod --
module example.com/clib
go 1.21
-- clib.go --
package clib

/*
#cgo CFLAGS: -I${SRCDIR}/include -I ${SRCDIR}/third/inc
#include "clib.h"
#include <third.h>
*/
import "C"

// Answer asks C.
func Answer() int { return int(C.answer() + C.third()) }
-- clib.c --
#include "clib.h"
#include "impl/one.inc"
#define ANSWER_H "deep/answer.h"
#include ANSWER_H
int answer(void) { return ONE + ANSWER; }
-- include/clib.h --
#include "../shared/types.h"
number answer(void);
-- include/deep/answer.h --
#define ANSWER 38
-- shared/types.h --
typedef int number;
-- impl/one.inc --
#define ONE 1
-- impl/unused.h --
#define UNUSED 1
-- third/inc/third.h --
static int third(void) { return 3; }
-- third/inc/README.md --
Not for the compiler.
-- goes/with/package.go --
package with
-- goes/with/package.h --
#define ITS_OWN 1
-- testdata/case.h --
#define CASE 1
-- nested/go.mod --
module example.com/clib/nested
-- nested/nested.h --
#define NESTED 1
`

const pureModule = `
-- go.mod --
module example.com/pure
go 1.21
-- pure.go --
package pure

// Two is 2.
const Two = 2
-- native/helper.h --
#define NOBODY 1
`

func files(t *testing.T, archive string) map[string]string {
	t.Helper()
	m := map[string]string{}
	for _, f := range txtar.Parse([]byte(archive)).Files {
		m[f.Name] = string(f.Data)
	}
	return m
}

// setUp writes a project, in a world in which two modules exist.
func setUp(t *testing.T, project string) (Vendor, string) {
	t.Helper()
	s := goproxytest.New(t)
	for path, archive := range map[string]string{"example.com/clib": cModule, "example.com/pure": pureModule} {
		s.AddModule(path, "v1.0.0", files(t, archive))
	}
	dir := t.TempDir()
	write(t, dir, project)
	env := append(os.Environ(), "GOPROXY="+s.URL, "GOSUMDB=off", "GOFLAGS=-mod=mod -modcacherw", "GOMODCACHE="+t.TempDir(), "GOWORK=", "CGO_ENABLED=1")
	run := &gocmd.Runner{Env: env}
	if exists(filepath.Join(dir, "go.mod")) {
		res, err := run.Run(t.Context(), gocmd.Cmd{Name: "go", Args: []string{"mod", "tidy"}, Dir: dir})
		if err != nil || res.ExitCode != 0 {
			t.Fatalf("%v %s", err, res.Stderr)
		}
	}
	run.Env = append(env, "GOFLAGS=")
	return Vendor{Runner: run, Dir: dir, Check: true}, dir
}

func write(t *testing.T, dir, archive string) {
	t.Helper()
	for name, data := range files(t, archive) {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(data), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

const app = `
-- go.mod --
module example.com/app
go 1.21
-- main.go --
package main

import (
	"fmt"

	"example.com/clib"
	"example.com/pure"
)

func main() { fmt.Println(clib.Answer() * pure.Two / 2) }
`

// TestVendor wants the build of a project whose dependency is lost to go mod vendor.
func TestVendor(t *testing.T) {
	v, dir := setUp(t, app)
	plain := v.plain(t, dir)
	if plain == nil {
		t.Fatal("go build works from what go mod vendor makes: this test has lost its reason")
	}
	res, err := v.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Result{
		Dir: filepath.Join(dir, "vendor"), Modules: 2, Packages: 2, Checked: true, CGO: true,
		Added: []Added{
			{Module: "example.com/clib", Version: "v1.0.0", Dir: "impl", Files: []string{"one.inc", "unused.h"}, For: "example.com/clib"},
			{Module: "example.com/clib", Version: "v1.0.0", Dir: "include", Files: []string{"clib.h"}, For: "example.com/clib"},
			{Module: "example.com/clib", Version: "v1.0.0", Dir: "include/deep", Files: []string{"answer.h"}, For: "example.com/clib"},
			{Module: "example.com/clib", Version: "v1.0.0", Dir: "shared", Files: []string{"types.h"}, For: "example.com/clib"},
			{Module: "example.com/clib", Version: "v1.0.0", Dir: "third/inc", Files: []string{"third.h"}, For: "example.com/clib"},
		},
	}
	for i := range want.Added {
		for _, f := range want.Added[i].Files {
			want.Added[i].Bytes += int64(len(files(t, cModule)[want.Added[i].Dir+"/"+f]))
		}
	}
	if d := cmp.Diff(want, res); d != "" {
		t.Errorf("result (-want +got):\n%s", d)
	}
	if out := v.goRun(t, dir); out != "42\n" {
		t.Errorf("the program says %q", out)
	}
	var names []string
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"go.mod", "go.sum", "main.go", "vendor"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("in the project: %q %v, want %q", names, err, want)
	}
	// Again: the same folder.
	before := snapshot(t, res.Dir)
	if _, err := v.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, snapshot(t, res.Dir)); d != "" {
		t.Errorf("the second run (-first +second):\n%s", d)
	}
}

// plain is the error of go build from the folder of go mod vendor.
func (v Vendor) plain(t *testing.T, dir string) error {
	t.Helper()
	for _, args := range [][]string{{"mod", "vendor"}, {"build", "-mod=vendor", "-o", os.DevNull, "."}} {
		if _, err := v.golang(t.Context(), project{root: dir}, nil, args...); err != nil {
			return err
		}
	}
	return nil
}

func (v Vendor) goRun(t *testing.T, dir string) string {
	t.Helper()
	out, err := v.golang(t.Context(), project{root: dir}, []string{"GOPROXY=off", "GOMODCACHE=" + t.TempDir()}, "run", "-mod=vendor", ".")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// snapshot is every file below dir.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		m[p] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestKeeps wants the old folder, byte for byte, where the new one does not build, and where go mod vendor fails.
func TestKeeps(t *testing.T) {
	for name, spoil := range map[string]struct {
		file, data, says string
	}{
		"does not build":  {"main.go", "package main\n\nimport _ \"example.com/clib\"\n\nfunc main() { nonsense() }\n", "undefined: nonsense"},
		"no such package": {"main.go", "package main\n\nimport _ \"example.com/clib/absent\"\n\nfunc main() {}\n", "example.com/clib/absent"},
	} {
		t.Run(name, func(t *testing.T) {
			v, dir := setUp(t, app)
			write(t, dir, "-- vendor/old.txt --\nold\n")
			write(t, dir, "-- "+spoil.file+" --\n"+spoil.data)
			before := snapshot(t, dir)
			_, err := v.Run(t.Context())
			var ge *GoError
			if !errors.As(err, &ge) || !strings.Contains(ge.Stderr, spoil.says) {
				t.Errorf("error %v, want a *GoError about %s", err, spoil.says)
			}
			if d := cmp.Diff(before, snapshot(t, dir)); d != "" {
				t.Errorf("the project has changed (-before +after):\n%s", d)
			}
		})
	}
}

// TestKilled wants what a killed run has laid aside in its place again, whether the next run makes a new one or not.
func TestKilled(t *testing.T) {
	for name, unproved := range map[string]string{"between the renames": "", "while proving": "-- vendor/unproved.txt --\nnew\n"} {
		t.Run(name, func(t *testing.T) {
			v, dir := setUp(t, app)
			write(t, dir, "-- vendor/old.txt --\nold\n-- go.mod.keep --\n")
			before := snapshot(t, dir)
			if err := os.Mkdir(filepath.Join(dir, scratchName), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(dir, "vendor"), filepath.Join(dir, scratchName, "old")); err != nil {
				t.Fatal(err)
			}
			write(t, dir, unproved)
			write(t, dir, "-- "+scratchName+"/lock --\n-- "+scratchName+"/vendor/half.txt --\nhalf\n")
			fails := v
			fails.Env = []string{"GOPROXY=off", "GOMODCACHE=" + t.TempDir()}
			if _, err := fails.Run(t.Context()); err == nil {
				t.Fatal("go mod vendor works with nothing to take modules from")
			}
			if d := cmp.Diff(before, snapshot(t, dir)); d != "" {
				t.Errorf("the project has changed (-before +after):\n%s", d)
			}
			if _, err := v.Run(t.Context()); err != nil || exists(filepath.Join(dir, "vendor", "old.txt")) {
				t.Errorf("the run after it: %v", err)
			}
		})
	}
}

// TestBusy wants two runs not to take each other's folders away.
func TestBusy(t *testing.T) {
	v, dir := setUp(t, app)
	s, err := newScratch(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Run(t.Context()); !errors.Is(err, ErrBusy) {
		t.Errorf("error %v, want ErrBusy", err)
	}
	if err := s.remove(); err != nil || exists(s.dir) {
		t.Errorf("leftovers, %v", err)
	}
}

// TestOtherSystem vendors for a system whose programs have another ending.
func TestOtherSystem(t *testing.T) {
	v, _ := setUp(t, strings.ReplaceAll(app, "clib", "pure"))
	write(t, v.Dir, "-- main.go --\npackage main\n\nimport \"example.com/pure\"\n\nfunc main() { println(pure.Two) }\n")
	other := "windows"
	if runtime.GOOS == other {
		other = "linux"
	}
	v.Runner.Env = append(v.Runner.Env, "GOOS="+other, "CGO_ENABLED=0")
	if res, err := v.Run(t.Context()); err != nil || !res.Checked || res.CGO {
		t.Errorf("%+v, %v", res, err)
	}
}

// TestWorkspace vendors two modules that use the same one.
func TestWorkspace(t *testing.T) {
	v, dir := setUp(t, "-- none.txt --\n")
	write(t, dir, "-- go.work --\ngo 1.22\n\nuse (\n\t./a\n\t./b\n)\n")
	for _, m := range []string{"a", "b"} {
		write(t, dir, strings.NewReplacer("-- go.mod", "-- "+m+"/go.mod", "example.com/app", "example.com/"+m, "-- main.go", "-- "+m+"/main.go", "go 1.21", "go 1.22\nrequire (\n\texample.com/clib v1.0.0\n\texample.com/pure v1.0.0\n)").Replace(app))
	}
	if _, err := v.golang(t.Context(), project{root: dir}, nil, "work", "sync"); err != nil {
		t.Fatal(err)
	}
	v.Dir = filepath.Join(dir, "a") // from below
	res, err := v.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if res.Dir != filepath.Join(dir, "vendor") || res.Modules != 2 || len(res.Added) != 5 || !res.Checked {
		t.Errorf("%+v", res)
	}
}

// TestNothing has nothing to vendor, and no module.
func TestNothing(t *testing.T) {
	v, dir := setUp(t, "-- go.mod --\nmodule example.com/app\ngo 1.21\n-- main.go --\npackage main\n\nfunc main() {}\n")
	res, err := v.Run(t.Context())
	if err != nil || res.Packages != 0 || exists(filepath.Join(dir, "vendor")) {
		t.Errorf("%+v, %v", res, err)
	}
	v.Dir = t.TempDir()
	if _, err := v.Run(t.Context()); !errors.Is(err, gocmd.ErrNoModule) {
		t.Errorf("error %v, want gocmd.ErrNoModule", err)
	}
}

// TestParseModules reads what cmd/go writes.
func TestParseModules(t *testing.T) {
	got := parseModules([]byte("# a.b/c v1.0.0\n## explicit; go 1.21\na.b/c\na.b/c/d\n# a.b/e v1.2.0 => a.b/f v1.3.0\na.b/e\n# a.b/g v1.0.0 => ./my folder\na.b/g\n# a.b/h => ../h\n## workspace\n# a.b/g => ./my folder\n"))
	var lines []string
	for _, m := range got {
		lines = append(lines, strings.Join([]string{m.path, m.version, m.actual.Path, m.actual.Version, strings.Join(m.packages, " ")}, "|"))
	}
	want := []string{"a.b/c|v1.0.0|||a.b/c a.b/c/d", "a.b/e|v1.2.0|a.b/f|v1.3.0|a.b/e", "a.b/g|v1.0.0|./my folder||a.b/g", "a.b/h||../h||", "a.b/g||./my folder||"}
	if !slices.Equal(lines, want) {
		t.Errorf("got %q\nwant %q", lines, want)
	}
}

// FuzzComplete copies for whatever a module contains: never anything from outside of it.
func FuzzComplete(f *testing.F) {
	f.Add("/*\n#cgo CFLAGS: -I${SRCDIR}/../..\n#include \"../../outside.h\"\n*/\nimport \"C\"\n", "#include \"/etc/passwd\"\n")
	f.Add("// #cgo LDFLAGS: -L../lib /etc/hosts ${SRCDIR}/x.a\nimport \"C\"\n", "#include <sub/a.h>\n.incbin \"../../../../outside.h\"\n")
	f.Fuzz(func(t *testing.T, goText, cText string) {
		dir := t.TempDir()
		src, dst := filepath.Join(dir, "in", "src"), filepath.Join(dir, "dst")
		write(t, dir, "-- outside.h --\nsecret\n-- in/src/sub/a.h --\nmine\n-- in/src/x.a --\nmine\n")
		for name, data := range map[string]string{"p.go": "package p\n" + goText, "p.c": cText} {
			if err := os.WriteFile(filepath.Join(src, name), []byte(data), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(dst, 0o777); err != nil {
			t.Fatal(err)
		}
		if _, err := complete(t.Context(), vendored{path: "m", version: "v1.0.0", packages: []string{"m"}}, src, dst); err != nil {
			t.Fatal(err)
		}
		for name, data := range snapshot(t, dir) {
			if rel, err := filepath.Rel(dst, name); err == nil && !strings.HasPrefix(rel, "..") && data == "secret\n" {
				t.Errorf("%s comes from outside", name)
			}
		}
	})
}
