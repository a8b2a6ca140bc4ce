package modgraph

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
)

// ErrCut is the error of a module path that cannot be cut out of a graph.
var ErrCut = errors.New("cannot be cut")

// Cut says what the build would be if nothing required the module path any more, neither a main module nor any
// other: which modules it brings, and which versions it forces.
//
// The "// indirect" requirements of a main module go as well where only what is cut explains them, as after
// "go mod tidy": a go.mod of Go 1.17 or newer lists all modules that packages come from, so
// nothing would ever fall away otherwise. Those that no other module asks for today stay: somebody
// put them there on purpose. Whether a package needs a module is not known here; "go mod tidy" may leave out more.
//
// In a workspace, versions can be selected that were not before; their go.mod files are asked for through src,
// else nothing is. The error is that of ctx, or matches ErrCut.
func (g *Graph) Cut(ctx context.Context, src goproxy.Source, path string) (*Outcome, error) {
	switch g.Selected(path) {
	case "":
		return nil, fmt.Errorf("%s %w: it is a main module", path, ErrCut)
	case "none":
		return nil, fmt.Errorf("%s %w: it is not in the build list", path, ErrCut)
	}
	mains, known := slices.Clone(g.rules.mains), maps.Clone(g.files)
	for i, main := range mains {
		var err error
		if mains[i], err = g.without(ctx, src, main, path, known); err != nil {
			return nil, err
		}
	}
	return g.outcome(ctx, src, mains, path, known)
}

// without returns main without its indirect requirements that only path explains.
func (g *Graph) without(ctx context.Context, src goproxy.Source, main Main, path string, known map[module.Version]*modFile) (Main, error) {
	direct := func(r *modfile.Require) bool { return !r.Indirect }
	before, err := g.explained(ctx, src, main, "", direct, known)
	if err != nil {
		return main, err
	}
	// Nobody else asks for these.
	kept := func(r *modfile.Require) bool { return direct(r) || !before[r.Mod.Path] }
	after, err := g.explained(ctx, src, main, path, kept, known)
	if err != nil {
		return main, err
	}
	return filtered(main, func(r *modfile.Require) bool { return kept(r) || after[r.Mod.Path] }), nil
}

// explained finds the paths that are in the graph of main because of those requirements that start keeps,
// and because of further ones of main that these lead to.
func (g *Graph) explained(ctx context.Context, src goproxy.Source, main Main, cut string, start func(*modfile.Require) bool, known map[module.Version]*modFile) (map[string]bool, error) {
	paths := map[string]bool{}
	keep := func(r *modfile.Require) bool { return start(r) || paths[r.Mod.Path] }
	for {
		rules, err := newRules([]Main{filtered(main, keep)}, g.alone())
		if err != nil {
			return nil, err
		}
		rules.cut = cut
		now, err := loadWith(ctx, src, rules, g.alone(), known)
		if err != nil {
			return nil, err
		}
		maps.Copy(known, now.files)
		found := false
		for _, r := range main.File.Require {
			if p := r.Mod.Path; !keep(r) && now.Selected(p) != "none" {
				found = true
			}
		}
		for p := range now.selected {
			paths[p] = true
		}
		if !found {
			return paths, nil
		}
	}
}

// filtered returns main with some of its requirements.
func filtered(main Main, keep func(*modfile.Require) bool) Main {
	f := *main.File
	f.Require = slices.DeleteFunc(slices.Clone(f.Require), func(r *modfile.Require) bool { return !keep(r) })
	return Main{File: &f, Dir: main.Dir}
}
