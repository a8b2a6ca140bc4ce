package modgraph

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/mod/modfile"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/goproxytest"
)

// client is a Source over the test upstream.
func client(t *testing.T, s *goproxytest.Server) goproxy.Source {
	t.Helper()
	c, err := goproxy.NewClient(s.URL, s.Client())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// project writes the files of a txtar archive into a folder. Files named mod/NAME@VERSION
// are go.mod files that the upstream serves.
func project(t *testing.T, s *goproxytest.Server, archive string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, f := range txtar.Parse([]byte(archive)).Files {
		if name, ok := strings.CutPrefix(f.Name, "mod/"); ok {
			path, version, _ := strings.Cut(name, "@")
			s.AddModule(path, version, map[string]string{"go.mod": string(f.Data), "a.go": "package a\n"})
			continue
		}
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

// mainsOf reads the main modules of the project in dir.
func mainsOf(t *testing.T, dir string) ([]Main, Options) {
	t.Helper()
	read := func(dir string) Main {
		name := filepath.Join(dir, "go.mod")
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := modfile.Parse(name, data, nil)
		if err != nil {
			t.Fatal(err)
		}
		return Main{File: f, Dir: dir}
	}
	data, err := os.ReadFile(filepath.Join(dir, "go.work"))
	if err != nil {
		return []Main{read(dir)}, Options{}
	}
	work, err := modfile.ParseWork("go.work", data, nil)
	if err != nil {
		t.Fatal(err)
	}
	var mains []Main
	for _, u := range work.Use {
		mains = append(mains, read(filepath.Join(dir, filepath.FromSlash(u.Path))))
	}
	return mains, Options{Work: work, WorkDir: dir}
}

// list formats a build list as "go list -m all" prints it.
func list(g *Graph) string {
	var b strings.Builder
	for _, m := range g.BuildList() {
		fmt.Fprintln(&b, strings.TrimSpace(m.Path+" "+m.Version))
	}
	return b.String()
}
