package image

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/goferry/goferry/internal/gocmd"
)

func load(t *testing.T, archive, dir string, env ...string) (Project, error) {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range txtar.Parse([]byte(archive)).Files {
		file := filepath.Join(root, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, f.Data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	env = append(append(os.Environ(), "GOPROXY=off", "GOSUMDB=off", "GOFLAGS=", "GOWORK="), env...)
	return Loader{Runner: &gocmd.Runner{Env: env}}.Load(t.Context(), filepath.Join(root, dir), nil)
}

// The program works without cgo by the build tags alone, as go-sqlite3 builds: nobody can tell from outside.
const mayBeCGO = `
-- app/go.mod --
module example.com/app

go 1.21

require example.com/lib v0.0.0

replace example.com/lib => ../lib
-- app/main.go --
package main

import (
	_ "embed"

	"example.com/lib"
)

//go:embed certs/root.pem
var root string

func main() { println(lib.Value(), root) }
-- app/main_extra.go --
//go:build extra

package main

import "net/http"

func init() { http.ListenAndServe(":8080", nil) }
-- app/certs/root.pem --
-- lib/go.mod --
module example.com/lib

go 1.21
-- lib/with.go --
package lib

// static int value(void) { return 1; }
import "C"

// Value asks C.
func Value() int { return int(C.value()) }
-- lib/without.go --
//go:build !cgo

package lib

// Value has nobody to ask.
func Value() int { panic("a stub") }
`

// TestLoad wants what a Dockerfile needs to know, whatever system this is.
func TestLoad(t *testing.T) {
	for _, goos := range []string{"linux", "windows"} {
		p, err := load(t, mayBeCGO, "app", "GOOS="+goos, "GOFLAGS=-tags=extra", "CGO_ENABLED=0")
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(p.MayCGO, []string{"example.com/lib"}) || p.CGO != nil || !p.CGOOff || p.Tags != "extra" || !slices.Equal(p.Ports, []int{8080}) {
			t.Errorf("%s: %+v", goos, p)
		}
		if !slices.Equal(p.Files, []string{"main.go", "main_extra.go", "certs/root.pem"}) {
			t.Errorf("%s: files %q", goos, p.Files)
		}
		if len(p.Outside) != 1 || p.Outside[0].Use || filepath.Base(p.Outside[0].Dir) != "lib" {
			t.Errorf("%s: outside %+v", goos, p.Outside)
		}
	}
}

// TestLoadWork takes the rules of go.work for what they are, and the folders of its modules.
func TestLoadWork(t *testing.T) {
	p, err := load(t, mayBeCGO+`
-- work/go.work --
go 1.21

use (
	../app
	./inside
)

replace example.com/lib => ./lib2
-- work/inside/go.mod --
module example.com/inside

go 1.21
-- work/lib2/go.mod --
module example.com/lib

go 1.21
-- work/lib2/lib.go --
package lib

// Value is one.
func Value() int { return 1 }
-- work/inside/main.go --
package main

func main() {}
`, "work")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(p.ModFiles, "lib2/go.mod") || !slices.ContainsFunc(p.Outside, func(o Outside) bool { return o.Use && filepath.Base(o.Dir) == "app" }) {
		t.Errorf("%+v", p)
	}
}

// TestLoadTwins refuses two programs that would overwrite each other.
func TestLoadTwins(t *testing.T) {
	const main = "package main\n\nfunc main() {}\n"
	_, err := load(t, "-- go.mod --\nmodule example.com/app\n\ngo 1.21\n-- a/tool/main.go --\n"+main+"-- b/tool/main.go --\n"+main, ".")
	if !errors.Is(err, ErrOption) {
		t.Errorf("error %v, want ErrOption", err)
	}
}

// TestBrokenC wants a mistake in the C told as such: that the build fails without cgo, too, says nothing about it.
func TestBrokenC(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":  "module example.com/app\n\ngo 1.21\n",
		"main.go": "package main\n\n// int one(void) { return nonsense; }\nimport \"C\"\n\nfunc main() { println(C.one()) }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	l := Loader{Runner: &gocmd.Runner{Env: append(os.Environ(), "GOFLAGS=", "GOWORK=off")}}
	p, err := l.Load(t.Context(), dir, nil)
	var ge *gocmd.GoError
	if !errors.As(err, &ge) || !strings.Contains(ge.Stderr, "nonsense") {
		t.Errorf("%+v, %v", p.CGO, err)
	}
}
