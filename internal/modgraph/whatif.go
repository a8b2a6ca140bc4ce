package modgraph

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/goferry/goferry/internal/goproxy"
)

// An Outcome is a graph as it would be after a change of requirements.
type Outcome struct {
	Graph   *Graph   // as it would be
	Changes []Change // of the build list, by path

	// GoFrom and GoTo are the go line of the main module before and after: a new requirement can
	// raise it. In a workspace they are the highest ones of its modules.
	GoFrom, GoTo string

	// Held are those of the wanted versions that the build would not have, because others ask for
	// more. "go get" would downgrade or remove these others.
	Held []Held
}

// A Change is a module of which the build would have another version.
type Change struct {
	Path     string
	From, To string // "none" where it is not in the build list
}

// A Kind says which way a module would change.
type Kind string

// The kinds of a Change.
const (
	Added   Kind = "added"
	Removed Kind = "removed"
	Raised  Kind = "raised"
	Lowered Kind = "lowered"
)

// Kind says which way the module would change.
func (c Change) Kind() Kind {
	switch {
	case c.From == "none":
		return Added
	case c.To == "none":
		return Removed
	case compare(c.From, c.To) < 0:
		return Raised
	}
	return Lowered
}

// A Held is a wanted version that others keep the build from having.
type Held struct {
	Want     module.Version // its version may be "none"
	Selected string         // the version that the build would have
	By       []Requirer     // the modules that ask for more than wanted
}

// ErrWant is the error of a wanted version that no go.mod of the build could require.
var ErrWant = errors.New("cannot be required")

// WhatIf says what the build would be if the main module required these versions, as after "go get
// m@v …": a version raises whatever its go.mod asks for more of, and of what there is today nothing
// becomes lower than it is but the wanted modules themselves. The version "none" takes the requirement away.
//
// A version lower than what other modules ask for, or "none", cannot be had by requiring it. "go get" then
// looks for lower versions of those others; WhatIf does not guess: it says in Held who they are, and
// the outcome is with them.
//
// In a workspace the change is made in each main module that requires the path, and where none does in the
// first one of go.work.
//
// The go.mod files of g are not asked for again, those of new versions are, through src.
// What could not be loaded is a Failure of the outcome's graph. The error is that of ctx, or matches
// ErrWant.
func (g *Graph) WhatIf(ctx context.Context, src goproxy.Source, want ...module.Version) (*Outcome, error) {
	if err := g.checkWant(want); err != nil {
		return nil, err
	}
	mains, known, before := slices.Clone(g.rules.mains), maps.Clone(g.files), map[string][]Requirer{}
	for i, main := range mains {
		e := editor{src: src, o: g.alone(), main: main, want: map[string]string{}, known: known}
		for _, w := range want {
			if g.edits(main, i, w.Path) {
				e.want[w.Path] = w.Version
			}
		}
		if len(e.want) == 0 {
			continue
		}
		var err error
		if mains[i], err = e.edit(ctx); err != nil {
			return nil, err
		}
		maps.Copy(before, e.held)
	}
	out, err := g.outcome(ctx, src, mains, "", known)
	if err != nil {
		return nil, err
	}
	for _, w := range want {
		selected := out.Graph.Selected(w.Path)
		if compare(selected, w.Version) <= 0 {
			continue
		}
		h := Held{Want: w, Selected: selected, By: above(out.Graph, w)}
		if len(h.By) == 0 {
			// They have been raised themselves by what they asked for.
			h.By = before[w.Path]
		}
		out.Held = append(out.Held, h)
	}
	return out, nil
}

func (g *Graph) checkWant(want []module.Version) error {
	seen := map[string]string{}
	for _, w := range want {
		bad := func(why string) error { return fmt.Errorf("%s %w: %s", w, ErrWant, why) }
		_, major, ok := module.SplitPathVersion(w.Path)
		switch v, twice := seen[w.Path]; {
		case g.rules.isMain[w.Path]:
			return bad("it is a main module")
		case twice && v != w.Version:
			return bad("so is " + v)
		case w.Version == "none":
		case module.CanonicalVersion(w.Version) != w.Version || !semver.IsValid(w.Version):
			return bad("not a canonical version")
		case !ok || module.CheckPathMajor(w.Version, major) != nil:
			return bad("the version does not fit the path")
		case g.rules.exclude[w]:
			return bad("excluded by go.mod")
		}
		seen[w.Path] = w.Version
	}
	return nil
}

// edits reports whether a wanted version of path is written into the go.mod of main, which
// is the i-th one.
func (g *Graph) edits(main Main, i int, path string) bool {
	asks := func(m Main) bool { return mentions(m, path) }
	return asks(main) || i == 0 && !slices.ContainsFunc(g.rules.mains, asks)
}

// alone are the options for a main module that is looked at without its workspace, as "go get" does.
func (g *Graph) alone() Options {
	return Options{Parallel: g.options.Parallel, ReadDir: g.options.ReadDir}
}

// outcome loads the graph of mains, without what is cut, and compares it with g.
func (g *Graph) outcome(ctx context.Context, src goproxy.Source, mains []Main, cut string, known map[module.Version]*modFile) (*Outcome, error) {
	rules, err := newRules(mains, g.options)
	if err != nil {
		return nil, err
	}
	rules.cut = cut
	after, err := loadWith(ctx, src, rules, g.options, known)
	if err != nil {
		return nil, err
	}
	return &Outcome{Graph: after, Changes: changes(g, after), GoFrom: g.goLine(), GoTo: after.goLine()}, nil
}

// goLine is the highest go line of the main modules.
func (g *Graph) goLine() string {
	highest := ""
	for _, m := range g.rules.mains {
		if v := goLineOf(m); compareGo(v, highest) > 0 {
			highest = v
		}
	}
	return highest
}

// changes compares two build lists.
func changes(from, to *Graph) []Change {
	paths := map[string]bool{}
	for _, m := range append(from.BuildList(), to.BuildList()...) {
		paths[m.Path] = true
	}
	var list []Change
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		if c := (Change{path, from.Selected(path), to.Selected(path)}); c.From != c.To {
			list = append(list, c)
		}
	}
	return list
}
