package modgraph

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxytest"
)

// whatIf compares what WhatIf says with what "go get" does in a copy of the project.
func (j *judge) whatIf(t *testing.T, w *world, s *goproxytest.Server, g *Graph) {
	t.Helper()
	want := w.pick(0)
	if all := g.BuildList()[len(g.mains):]; len(all) > 0 && w.rnd.IntN(3) > 0 {
		want.Path = all[w.rnd.IntN(len(all))].Path
		want.Version = w.of[want.Path][w.rnd.IntN(len(w.of[want.Path]))]
	}
	if w.rnd.IntN(6) == 0 {
		want.Version = "none"
	}
	for i, m := range g.rules.mains {
		if g.edits(m, i, want.Path) && m.File.Go == nil {
			return // go get invents a go line, the newest one
		}
	}
	out, err := g.WhatIf(t.Context(), client(t, s), want)
	if err != nil && !errors.Is(err, ErrWant) {
		t.Fatal(err)
	}
	there := j.copy(t)
	goErr := there.get(g, want)
	switch {
	case err != nil:
		if goErr == nil {
			t.Errorf("go get %s works, but WhatIf says %v", want, err)
		}
		return
	case len(out.Held) > 0:
		there.held(t, out, goErr)
		return
	case goErr != nil && strings.Contains(goErr.Error(), "used for two different module paths"):
		return // nothing that a module graph knows
	case goErr != nil:
		t.Errorf("what if %s: %v", want, goErr)
		return
	}
	got, err := there.list()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, list(out.Graph)); diff != "" {
		t.Errorf("what if %s: build list (-go get +modgraph):\n%s", want, diff)
	}
	checkChanges(t, g, out)
	mains, _ := mainsOf(t, there.dir)
	if after := (&Graph{rules: &rules{mains: mains}}).goLine(); after != out.GoTo {
		t.Errorf("what if %s: go line %s, go get writes %s", want, out.GoTo, after)
	}
}

// get runs "go get" in each main module that the change is for.
func (j *judge) get(g *Graph, want module.Version) error {
	for i, m := range g.rules.mains {
		if !g.edits(m, i, want.Path) {
			continue
		}
		rel := "."
		if g.options.Work != nil {
			rel = filepath.Base(m.Dir)
		}
		if _, err := j.runIn(filepath.Join(j.dir, rel), "get", want.String()); err != nil {
			return err
		}
	}
	return nil
}

// held holds against the go command that the wanted version could not be had as things are: it fails, or it has
// downgraded one of those that are said to be in the way.
func (j *judge) held(t *testing.T, out *Outcome, goErr error) {
	t.Helper()
	h := out.Held[0]
	if len(h.By) == 0 {
		t.Errorf("%s is held at %s by nobody", h.Want, h.Selected)
	}
	if goErr != nil {
		return
	}
	now, err := j.list()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(now, "\n")
	for _, r := range h.By {
		// Without one of those that bring it in, what it requires can be pruned out.
		for _, m := range out.Graph.indexed().chain(r.By) {
			if !slices.Contains(lines, strings.TrimSpace(m.Path+" "+m.Version)) {
				return
			}
		}
	}
	if v := out.Graph.Selected(h.Want.Path); slices.Contains(lines, h.Want.Path+" "+v) {
		return // go get leaves it as it is, too
	}
	t.Errorf("%s is said to be held at %s by %v, but go get has it:\n%s", h.Want, h.Selected, h.By, now)
}

// checkChanges holds the list of changes against the two build lists.
func checkChanges(t *testing.T, before *Graph, out *Outcome) {
	t.Helper()
	have := map[string]string{}
	for _, m := range before.BuildList() {
		have[m.Path] = m.Version
	}
	for _, c := range out.Changes {
		if v, ok := have[c.Path]; ok != (c.From != "none") || ok && v != c.From {
			t.Errorf("%s is %s, not %s", c.Path, v, c.From)
		}
		switch d := compare(c.From, c.To); c.Kind() {
		case Added:
			d++
			fallthrough
		case Raised:
			if d > 0 {
				t.Errorf("%+v is %s", c, c.Kind())
			}
		case Removed, Lowered:
			if d <= 0 {
				t.Errorf("%+v is %s", c, c.Kind())
			}
		}
		have[c.Path] = c.To
		if c.To == "none" {
			delete(have, c.Path)
		}
	}
	after := map[string]string{}
	for _, m := range out.Graph.BuildList() {
		after[m.Path] = m.Version
	}
	if diff := cmp.Diff(after, have); diff != "" {
		t.Errorf("build list with the changes (-want +got):\n%s", diff)
	}
}

// cut compares what Cut says with what the go command says of a world in which no go.mod requires the module.
func (j *judge) cut(t *testing.T, w *world, s *goproxytest.Server, g *Graph) {
	t.Helper()
	all := g.BuildList()[len(g.mains):]
	if len(all) == 0 {
		return
	}
	path := all[w.rnd.IntN(len(all))].Path
	out, err := g.Cut(t.Context(), client(t, s), path)
	if err != nil {
		t.Fatal(err)
	}
	checkChanges(t, g, out)
	without := &world{mods: map[module.Version][]string{}, rnd: w.rnd}
	for m, lines := range w.mods {
		without.mods[m] = slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return strings.HasPrefix(l, "require "+path+" ") })
	}
	upstream, _ := without.serve(t)
	there := j.copy(t)
	there.proxy, there.cache = upstream.URL, t.TempDir()
	dropped := there.rewrite(t, path, out)
	os.Remove(filepath.Join(there.dir, "go.sum")) // these modules have other contents
	os.Remove(filepath.Join(there.dir, "go.work.sum"))
	got, err := there.list()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, list(out.Graph)); diff != "" {
		t.Errorf("without %s: build list (-go +modgraph):\n%s", path, diff)
	}
	for _, p := range dropped {
		// In a workspace another main module may have reasons of its own.
		if len(g.mains) == 1 && strings.Contains("\n"+got, "\n"+p+" ") {
			t.Errorf("without %s: the requirement of %s was dropped, but others require it:\n%s", path, p, got)
		}
	}
}

// rewrite takes the requirements of path from all go.mod files of the project, and the indirect ones that
// the outcome has dropped from those of the main modules. It returns these.
func (j *judge) rewrite(t *testing.T, path string, out *Outcome) (dropped []string) {
	t.Helper()
	kept := map[string]Main{}
	for _, m := range out.Graph.rules.mains {
		kept[m.Path()] = m
	}
	err := filepath.WalkDir(j.dir, func(name string, _ os.DirEntry, err error) error {
		if err != nil || filepath.Base(name) != "go.mod" {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		f, err := modfile.Parse(name, data, nil)
		if err != nil {
			return err
		}
		for _, r := range slices.Clone(f.Require) {
			main, ok := kept[f.Module.Mod.Path]
			gone := ok && !mentions(main, r.Mod.Path)
			if gone && r.Mod.Path != path {
				if dropped = append(dropped, r.Mod.Path); !r.Indirect {
					t.Errorf("without %s: a direct requirement of %s was dropped", path, r.Mod.Path)
				}
			}
			if gone || r.Mod.Path == path {
				f.DropRequire(r.Mod.Path)
			}
		}
		f.Cleanup()
		data, err = f.Format()
		if err != nil {
			return err
		}
		return os.WriteFile(name, data, 0o666)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dropped
}

// copy is a judge in a copy of the folder.
func (j *judge) copy(t *testing.T) *judge {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(j.dir)); err != nil {
		t.Fatal(fmt.Errorf("copy: %w", err))
	}
	return &judge{dir: dir, proxy: j.proxy, cache: j.cache}
}
