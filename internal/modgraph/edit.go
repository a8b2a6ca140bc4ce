package modgraph

import (
	"context"
	"maps"
	"slices"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
)

// An editor changes the requirements of a main module as "go get" does. It follows editRequirements
// of cmd/go (internal/modload/edit.go), but downgrades nobody.
type editor struct {
	src   goproxy.Source
	o     Options
	main  Main
	want  map[string]string           // wanted versions, by path
	known map[module.Version]*modFile // what is read is put into it
	g     *Graph                      // with what is required so far
	roots map[string]string           // the requirements so far, by path
	held  map[string][]Requirer       // who asks for more of a wanted module, by its path
}

// edit returns main with the wanted requirements. Every requirement has the version that is selected then.
func (e *editor) edit(ctx context.Context) (Main, error) {
	if err := e.load(ctx, e.main); err != nil {
		return e.main, err
	}
	e.roots, e.held = rootsOf(e.g, e.main), map[string][]Requirer{}
	// A go.mod that is not in order is put in order first, with what it requires until now.
	for e.raise(everything) {
		if err := e.load(ctx, requiring(e.main, e.roots)); err != nil {
			return e.main, err
		}
	}
	goes, before := e.g.GoLines()[0].Version, maps.Clone(e.roots)
	if err := e.apply(ctx); err != nil {
		return e.main, err
	}
	if v := e.g.GoLines()[0].Version; compareGo(v, goes) > 0 {
		goes = v
	}
	switch {
	case digest(e.main.File).prunes():
	case compareGo(goes, pruningGo) >= 0 && !e.idle(before):
		// From now on it prunes: all that packages may come from is to be required. "go get" does
		// not see to that where it only puts go.mod in order.
		e.roots = rest(e.g)
	default:
		e.roots = e.needed()
	}
	edited := requiring(e.main, e.roots)
	if compareGo(goes, goLineOf(e.main)) > 0 {
		edited.File.Go = &modfile.Go{Version: goes}
	}
	return edited, nil
}

// apply makes the wanted versions requirements, and raises what they raise.
func (e *editor) apply(ctx context.Context) error {
	maps.Copy(e.roots, e.want)
	for changed := len(e.want) > 0; changed; {
		if err := e.load(ctx, requiring(e.main, e.roots)); err != nil {
			return err
		}
		// A wanted version gives way last: what asks for more of it may be left behind by then.
		if changed = e.raise(unwanted); !changed {
			for path, v := range e.want {
				if len(e.held[path]) == 0 {
					e.held[path] = above(e.g, module.Version{Path: path, Version: v})
				}
			}
			changed = e.raise(everything)
		}
	}
	maps.DeleteFunc(e.roots, func(_, v string) bool { return v == "none" })
	return nil
}

// idle reports whether all that is wanted is to be rid of what is not there.
func (e *editor) idle(before map[string]string) bool {
	for path, v := range e.want {
		if _, ok := before[path]; ok || v != "none" {
			return false
		}
	}
	return len(e.want) > 0
}

func (e *editor) load(ctx context.Context, m Main) error {
	rules, err := newRules([]Main{m}, e.o)
	if err != nil {
		return err
	}
	if e.g, err = loadWith(ctx, e.src, rules, e.o, e.known); err != nil {
		return err
	}
	maps.Copy(e.known, e.g.files)
	return nil
}

// rootsOf are the modules whose versions "go get" keeps: with pruning those that main requires, without it
// all of the build list, since packages may come from all of it.
func rootsOf(g *Graph, main Main) map[string]string {
	if !digest(main.File).prunes() {
		return rest(g)
	}
	roots := map[string]string{}
	for _, r := range g.required[g.mains[0]] {
		if v, ok := roots[r.Path]; !ok || compare(r.Version, v) > 0 {
			roots[r.Path] = r.Version
		}
	}
	return roots
}

// What raise raises.
const (
	unwanted   = false // the requirements of what is not wanted at some version
	everything = true
)

// raise raises requirements to what is selected.
func (e *editor) raise(all bool) (changed bool) {
	for path, v := range e.roots {
		_, wanted := e.want[path]
		if s := e.g.Selected(path); (all || !wanted) && v != "none" && s != v && s != "" {
			e.roots[path], changed = s, true
		}
	}
	return changed
}

// above lists the modules that ask for more than wanted.
func above(g *Graph, want module.Version) []Requirer {
	// Main modules have been told otherwise, and only follow the others.
	return slices.DeleteFunc(g.Requirers(want.Path), func(r Requirer) bool {
		return r.By.Version == "" || compare(r.Version, want.Version) <= 0
	})
}

// rest is the build list without the main modules.
func rest(g *Graph) map[string]string {
	m := map[string]string{}
	for _, v := range g.BuildList()[len(g.mains):] {
		m[v.Path] = v.Version
	}
	return m
}

// requiring returns main with other requirements. Those that it has not had are indirect.
func requiring(main Main, roots map[string]string) Main {
	direct := map[string]bool{}
	for _, r := range main.File.Require {
		if !r.Indirect {
			direct[r.Mod.Path] = true
		}
	}
	f := *main.File
	f.Require = nil
	for _, path := range slices.Sorted(maps.Keys(roots)) {
		if v := roots[path]; v != "none" {
			f.Require = append(f.Require, &modfile.Require{Mod: module.Version{Path: path, Version: v}, Indirect: !direct[path]})
		}
	}
	return Main{File: &f, Dir: main.Dir}
}

// needed picks from the build list what a go.mod that does not prune has to require so that
// the build list is what it is: what it required before, what is wanted, and what these do
// not bring with them.
func (e *editor) needed() map[string]string {
	roots, have := map[string]string{}, map[module.Version]bool{}
	var add func(m module.Version)
	add = func(m module.Version) {
		if have[m] {
			return
		}
		have[m] = true
		for _, r := range e.g.required[m] {
			add(r)
		}
	}
	require := func(path string) {
		if v, ok := e.roots[path]; ok {
			roots[path] = v
			add(module.Version{Path: path, Version: v})
		}
	}
	for _, r := range e.main.File.Require {
		require(r.Mod.Path)
	}
	for path := range e.want {
		require(path)
	}
	// What stands nearer to the main modules comes first: it may bring the others.
	for _, edge := range e.g.indexed().edges {
		if m := edge.To; e.roots[m.Path] == m.Version && !have[m] {
			require(m.Path)
		}
	}
	return roots
}

// goLineOf is the go line of a main module, as the go command has it.
func goLineOf(m Main) string {
	if m.File.Go == nil {
		return impliedGo
	}
	return m.File.Go.Version
}

// mentions reports whether the go.mod of m requires some version of path.
func mentions(m Main, path string) bool {
	return slices.ContainsFunc(m.File.Require, func(r *modfile.Require) bool { return r.Mod.Path == path })
}
