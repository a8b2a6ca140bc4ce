package modgraph

import (
	"bytes"
	"compress/gzip"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/mod/modfile"

	"github.com/goferry/goferry/internal/goproxy"
)

var record = flag.String("record", "", "make testdata/projects of what testdata/record.sh has put into this folder")

// TestProjects compares the graphs of well-known projects with what the go command said of them
// when they were recorded. Each archive has the go.mod of the project, all go.mod files
// of its graph, and the output of "go list -m all" and "go mod graph".
func TestProjects(t *testing.T) {
	if *record != "" {
		recordProjects(t, *record)
	}
	archives, err := filepath.Glob("testdata/projects/*.txtar.gz")
	if err != nil || len(archives) < 30 {
		t.Fatalf("%d projects: %v", len(archives), err)
	}
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar.gz"), func(t *testing.T) {
			t.Parallel()
			p := readProject(t, name)
			g, err := Load(t.Context(), p, []Main{mainFile(t, p.files["go.mod"])}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if f := g.Failures(); len(f) > 0 {
				t.Errorf("failures: %v", f)
			}
			if diff := cmp.Diff(p.files["list"], list(g)); diff != "" {
				t.Errorf("build list (-go +modgraph):\n%s", diff)
			}
			if diff := cmp.Diff(goEdges(p.files["graph"]), ourEdges(g, false)); diff != "" {
				t.Errorf("edges (-go +modgraph):\n%s", diff)
			}
			if want := len(p.files) - 3; len(p.asked) != want || len(g.Loaded()) != want {
				t.Errorf("asked for %d of %d go.mod files, and loaded %d", len(p.asked), want, len(g.Loaded()))
			}
			consistent(t, g)
			if !testing.Short() {
				cutAll(t, p, g)
			}
		})
	}
}

// cutAll holds for each of some modules that Cut takes away the module, needs nothing but what is known,
// and only takes away and lowers.
func cutAll(t *testing.T, p *recorded, g *Graph) {
	t.Helper()
	mods := g.Modules()
	for i := 1; i < len(mods); i += 1 + len(mods)/5 {
		before := len(p.asked)
		out, err := g.Cut(t.Context(), p, mods[i].Mod.Path)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.asked) != before {
			t.Errorf("without %s: asked for %v", mods[i].Mod.Path, p.asked)
		}
		if out.Graph.Selected(mods[i].Mod.Path) != "none" {
			t.Errorf("%s is still there", mods[i].Mod.Path)
		}
		for _, c := range out.Changes {
			if k := c.Kind(); k != Removed && k != Lowered {
				t.Errorf("without %s: %+v", mods[i].Mod.Path, c)
			}
		}
		checkChanges(t, g, out)
	}
}

// recorded is a Source of the go.mod files of an archive.
type recorded struct {
	files map[string]string

	mu    sync.Mutex
	asked map[string]bool
}

func readProject(tb testing.TB, name string) *recorded {
	tb.Helper()
	f, err := os.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		tb.Fatal(err)
	}
	r := &recorded{files: map[string]string{}, asked: map[string]bool{}}
	for _, f := range txtar.Parse(data).Files {
		r.files[f.Name] = string(f.Data)
	}
	return r
}

// Open answers requests for go.mod files.
func (r *recorded) Open(_ context.Context, req goproxy.Request) (goproxy.File, error) {
	name := "mod/" + req.Path + "@" + req.Version
	r.mu.Lock()
	r.asked[name] = true
	r.mu.Unlock()
	data, ok := r.files[name]
	if !ok || req.Kind != goproxy.Mod {
		return nil, fmt.Errorf("%s: %w", req, goproxy.ErrNotExist)
	}
	return goproxy.NewFile(req, []byte(data), time.Time{}, nil), nil
}

// recordProjects writes the archives. The files of a graph are those that Load asks for: what the go command
// asks for beyond them would show as a difference.
func recordProjects(t *testing.T, from string) {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(from, "p", "*", "done"))
	if err != nil {
		t.Fatal(err)
	}
	for _, done := range dirs {
		dir := filepath.Dir(done)
		ar := &txtar.Archive{Comment: read(t, dir, "version")}
		for _, name := range []string{"go.mod", "list", "graph"} {
			ar.Files = append(ar.Files, txtar.File{Name: name, Data: read(t, dir, name)})
		}
		f, err := modfile.Parse("go.mod", read(t, dir, "go.mod"), nil)
		if err != nil {
			t.Fatal(err)
		}
		src := goproxy.Tree(os.DirFS(filepath.Join(from, "cache", "cache", "download")), "cache")
		g, err := Load(t.Context(), src, []Main{{File: f, Dir: dir}}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range g.Loaded() {
			data, err := goproxy.ReadFile(t.Context(), src, goproxy.Request{Path: m.Path, Version: m.Version, Kind: goproxy.Mod})
			if err != nil {
				t.Fatal(err)
			}
			ar.Files = append(ar.Files, txtar.File{Name: "mod/" + m.Path + "@" + m.Version, Data: data})
		}
		pack(t, filepath.Join("testdata", "projects", filepath.Base(dir)+".txtar.gz"), ar)
	}
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func pack(t *testing.T, name string, ar *txtar.Archive) {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(txtar.Format(ar)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, slices.Clip(b.Bytes()), 0o666); err != nil {
		t.Fatal(err)
	}
}
