package modgraph

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxytest"
)

var (
	graphs = flag.Int("graphs", 80, "random module graphs to compare with the go command")
	seed   = flag.Uint64("seed", 0, "the first of them")
)

// TestRandom compares graphs that nobody thought of with what the go command makes of them: the build list,
// all requirements, every third time an upgrade by "go get", and every third time the world without one of the
// modules. More of them: go test ./internal/modgraph -run TestRandom -graphs 1000 -timeout 60m
func TestRandom(t *testing.T) {
	n := *graphs
	if testing.Short() {
		n = min(n, 15)
	}
	for i := range uint64(n) {
		t.Run(fmt.Sprint(*seed+i), func(t *testing.T) {
			t.Parallel()
			w := newWorld(*seed + i)
			s, dir := w.serve(t)
			j := &judge{dir: dir, proxy: s.URL, cache: t.TempDir()}
			raised := raisedBuildList(t, s, dir)
			first, want, err := j.settle()
			if err != nil {
				t.Fatal(err)
			}
			if raised != "" {
				if diff := cmp.Diff(first, raised); diff != "" {
					t.Errorf("build list that edit predicts (-go +modgraph):\n%s", diff)
				}
			}
			g := j.same(t, s, want)
			switch i % 3 {
			case 0:
				j.whatIf(t, w, s, g)
			case 1:
				j.cut(t, w, s, g)
			}
		})
	}
}

// raisedBuildList is the build list once the requirements of the main module are raised to what is selected, as the go
// command does with -mod=mod. A workspace has no such step; a missing go line gets a value there that is none of
// ours.
func raisedBuildList(t *testing.T, s *goproxytest.Server, dir string) string {
	t.Helper()
	mains, o := mainsOf(t, dir)
	if o.Work != nil || mains[0].File.Go == nil {
		return ""
	}
	e := editor{src: client(t, s), main: mains[0], known: map[module.Version]*modFile{}}
	main, err := e.edit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g, err := Load(t.Context(), client(t, s), []Main{main}, o)
	if err != nil {
		t.Fatal(err)
	}
	return list(g)
}

// A judge is the go command in a folder.
type judge struct {
	dir, proxy, cache string
}

func (j *judge) run(args ...string) (string, error) {
	return j.runIn(j.dir, args...)
}

func (j *judge) runIn(dir string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "SYSTEMROOT=" + os.Getenv("SYSTEMROOT"), "GOPATH=" + j.cache, "GOENV=off",
		"GOTOOLCHAIN=local", "GOMODCACHE=" + j.cache, "GOCACHE=" + filepath.Join(j.cache, "build"), "GOPROXY=" + j.proxy,
		"GOSUMDB=off", "NO_PROXY=*", "GOVCS=*:off"}
	if _, err := os.Stat(filepath.Join(j.dir, "go.work")); err != nil {
		cmd.Env = append(cmd.Env, "GOWORK=off", "GOFLAGS=-modcacherw -mod=mod")
	} else {
		cmd.Env = append(cmd.Env, "GOFLAGS=-modcacherw")
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}

func (j *judge) list() (string, error) {
	return j.run("list", "-m", "-f", "{{.Path}}{{with .Version}} {{.}}{{end}}", "all")
}

// settle is the build list of the go command: what it says first, and what it says in the end, when it does not
// want to write go.mod anew any more. They differ where a go line is raised to one that prunes: then it leaves
// out what it had just said.
func (j *judge) settle() (first, last string, err error) {
	name := filepath.Join(j.dir, "go.mod")
	for {
		before, _ := os.ReadFile(name)
		if last, err = j.list(); err != nil {
			return "", "", err
		}
		if first == "" {
			first = last
		}
		if after, _ := os.ReadFile(name); bytes.Equal(before, after) {
			return first, last, nil
		}
	}
}

// same compares the build list and the whole graph, and that each go.mod was asked for once.
func (j *judge) same(t *testing.T, s *goproxytest.Server, want string) *Graph {
	t.Helper()
	mains, o := mainsOf(t, j.dir)
	s.Reset()
	g, err := Load(t.Context(), client(t, s), mains, o)
	if err != nil {
		t.Fatal(err)
	}
	if f := g.Failures(); len(f) > 0 {
		t.Fatalf("failures: %v", f)
	}
	if n := len(g.Loaded()); n != len(s.Requests()) {
		t.Errorf("%d go.mod files loaded by %d requests: %q", n, len(s.Requests()), s.Requests())
	}
	if diff := cmp.Diff(want, list(g)); diff != "" {
		t.Errorf("build list (-go +modgraph):\n%s", diff)
	}
	out, err := j.run("mod", "graph")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(goEdges(out), ourEdges(g, o.Work != nil)); diff != "" {
		t.Errorf("edges (-go +modgraph):\n%s", diff)
	}
	consistent(t, g)
	return g
}

// goEdges sorts the lines of "go mod graph", without those about toolchains, which are no requirements of modules.
func goEdges(out string) []string {
	lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(out), "\n"), func(l string) bool {
		return l == "" || strings.HasPrefix(l, "go@") || strings.Contains(l, " toolchain@")
	})
	slices.Sort(lines)
	return lines
}

// ourEdges are the edges of g as "go mod graph" prints them.
func ourEdges(g *Graph, work bool) []string {
	lines := []string{}
	for _, e := range g.Edges() {
		lines = append(lines, e.From.String()+" "+e.To.String())
	}
	for _, r := range g.GoLines() {
		// In a workspace main modules are modules like others in this, and go.work has a go line of its own.
		if !work || compareGo(r.Version, strictGo) >= 0 {
			lines = append(lines, r.By.String()+" go@"+r.Version)
		}
	}
	slices.Sort(lines)
	return lines
}

// consistent holds what the questions answer against each other.
func consistent(t *testing.T, g *Graph) {
	t.Helper()
	pruned := map[module.Version]bool{}
	for _, m := range g.Pruned() {
		pruned[m] = true
	}
	for _, m := range g.Modules() {
		if _, ok := g.Requirements(m.Mod); ok == m.Pruned || pruned[m.Mod] != m.Pruned {
			t.Errorf("%s: requirements %v, pruned %v", m.Mod, ok, m.Pruned)
		}
		chains := g.Why(m.Mod.Path, 0)
		if m.Main {
			if len(chains) != 1 || len(chains[0]) != 1 || m.Depth != 0 {
				t.Errorf("%s: depth %d, chains %v", m.Mod.Path, m.Depth, chains)
			}
			continue
		}
		if len(chains) == 0 || len(m.Requirers) == 0 || !m.Requirers[0].Decides || m.Depth < 1 {
			t.Errorf("%s: requirers %v, chains %v, depth %d", m.Mod, m.Requirers, chains, m.Depth)
			continue
		}
		deciders := 0
		for _, r := range m.Requirers {
			if r.Decides {
				deciders++
			}
			if compare(r.Version, m.Mod.Version) > 0 {
				t.Errorf("%s: %s asks for %s", m.Mod, r.By, r.Version)
			}
		}
		if len(chains) > deciders || len(chains[0])-1 < m.Depth {
			t.Errorf("%s at depth %d has %d deciding requirers, and chains %v", m.Mod, m.Depth, deciders, chains)
		}
		for _, c := range chains {
			checkChain(t, g, c, m.Mod)
		}
	}
}

func checkChain(t *testing.T, g *Graph, c []module.Version, end module.Version) {
	t.Helper()
	if c[0].Version != "" || g.Selected(c[0].Path) != "" || c[len(c)-1] != end {
		t.Errorf("%s: chain %v", end, c)
	}
	for i, m := range c[1:] {
		if reqs, _ := g.Requirements(c[i]); !slices.Contains(reqs, m) {
			t.Errorf("%s: %s does not require %s in chain %v", end, c[i], m, c)
		}
	}
	for i := 1; i+2 < len(c) && prunes(g, c[i-1]) && prunes(g, c[i]); i++ {
		if !g.deep[c[i]] && !g.deep[c[i+1]] { // these count as main modules
			t.Errorf("%s: %s is pruned out behind %s in chain %v", end, c[i+1], c[i], c)
		}
	}
}

func prunes(g *Graph, m module.Version) bool { return compareGo(g.GoVersion(m), "1.17") >= 0 }
