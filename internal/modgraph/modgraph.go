// Package modgraph loads the module graph of a build and selects versions (MVS).
//
// It follows the go command to the letter: replace, exclude, workspaces, and
// module graph pruning, so that its build list is what "go list -m all" prints
// (https://go.dev/ref/mod#graph-pruning, https://go.dev/ref/mod#minimal-version-selection).
// Unlike the go command it does not give up when a go.mod is missing: the rest is loaded, and
// the failure is kept with the module.
//
// A graph says who asks for a module (Requirers, Why), and what the build would be if others
// were required (WhatIf) or one was not (Cut).
//
// It never runs go, looks at no package, and writes nothing.
package modgraph

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/goferry/goferry/internal/goproxy"
)

// A Main is a main module of a build: the module that go.mod stands for, or one of those
// that go.work uses.
type Main struct {
	File *modfile.File // its go.mod, as modfile.Parse gives it
	Dir  string        // its folder, from which its replacements by folders are found
}

// Path is the module path.
func (m Main) Path() string {
	if m.File.Module == nil {
		return ""
	}
	return m.File.Module.Mod.Path
}

// Options are what a build has beside its main modules. The zero value is a build without
// a workspace.
type Options struct {
	Work     *modfile.WorkFile // the go.work; nil outside a workspace
	WorkDir  string            // its folder
	Parallel int               // go.mod files asked for at once; 0 is 64

	// ReadDir returns the go.mod in the folder dir, which replaces a module; nil reads the disk.
	ReadDir func(dir string) ([]byte, error)
}

// defaultParallel is wide because go.mod files are small: what costs is the round trip.
const defaultParallel = 64

// ErrBadMod is the error of a go.mod that came, but cannot be used: it does not parse, or is that of
// another module.
var ErrBadMod = errors.New("unusable go.mod")

// A Failure is a module version whose requirements could not be loaded.
type Failure struct {
	Module module.Version // as it is required
	Actual module.Version // as it was asked for: its replacement, if it has one
	Err    error          // matches a sentinel of goproxy where the source knew which
}

// Load loads the module graph of mains through src. Each go.mod is asked for once. What could not be
// loaded is a Failure of the graph, and the module then has no requirements. The
// error is about the main modules themselves, or that of ctx; the graph is nil then.
func Load(ctx context.Context, src goproxy.Source, mains []Main, o Options) (*Graph, error) {
	if o.Work == nil && len(mains) > 1 {
		return nil, errors.New("several main modules need a go.work")
	}
	rules, err := newRules(mains, o)
	if err != nil {
		return nil, err
	}
	return loadWith(ctx, src, rules, o, nil)
}

// loadWith loads a graph, and reads nothing again that is known already.
func loadWith(ctx context.Context, src goproxy.Source, r *rules, o Options, known map[module.Version]*modFile) (*Graph, error) {
	l := newLoader(src, r, o, known)
	if err := l.load(ctx); err != nil {
		return nil, err
	}
	return l.g, nil
}

// A Graph is a module graph. Its modules are the main modules, whose version is empty,
// and module versions as they are required, before replacements.
type Graph struct {
	mains    []module.Version
	rules    *rules
	required map[module.Version][]module.Version
	selected map[string]string
	versions map[module.Version]string // go versions
	loaded   map[module.Version]bool   // actual
	deep     map[module.Version]bool   // loaded as if they were main modules of the workspace
	failures map[module.Version]Failure

	options Options
	files   map[module.Version]*modFile // what was read, by actual

	indexOnce sync.Once
	index     *index
}

func newGraph(r *rules, o Options) *Graph {
	g := &Graph{
		options:  o,
		rules:    r,
		required: map[module.Version][]module.Version{},
		selected: map[string]string{},
		versions: map[module.Version]string{},
		loaded:   map[module.Version]bool{},
		deep:     map[module.Version]bool{},
		failures: map[module.Version]Failure{},
		files:    map[module.Version]*modFile{},
	}
	for _, m := range r.mains {
		v := module.Version{Path: m.Path()}
		g.mains = append(g.mains, v)
		g.selected[v.Path] = ""
	}
	module.Sort(g.mains)
	return g
}

// require adds the requirements of m, and lets them take part in the selection.
func (g *Graph) require(m module.Version, reqs []module.Version) {
	g.required[m] = reqs
	for _, r := range reqs {
		if have, ok := g.selected[r.Path]; !ok || compare(r.Version, have) > 0 {
			g.selected[r.Path] = r.Version
		}
	}
}

// compare orders the versions of one module: "none" is the lowest, that of a main module,
// which is empty, the highest.
func compare(v, w string) int {
	rank := func(v string) int {
		switch v {
		case "none":
			return -1
		case "":
			return 1
		}
		return 0
	}
	if d := rank(v) - rank(w); d != 0 || rank(v) != 0 {
		return d
	}
	return semver.Compare(v, w)
}

// Mains lists the main modules, sorted.
func (g *Graph) Mains() []module.Version { return slices.Clone(g.mains) }

// BuildList is the selected version of every module in the graph: the main modules, then
// the others by path. It is what "go list -m all" prints, before the replacements that
// are printed behind an arrow.
func (g *Graph) BuildList() []module.Version {
	var rest []module.Version
	for path, v := range g.selected {
		if v != "" && v != "none" {
			rest = append(rest, module.Version{Path: path, Version: v})
		}
	}
	module.Sort(rest)
	return append(g.Mains(), rest...)
}

// Selected is the selected version of the module path: empty for a main module, "none" for a module
// that is not in the graph.
func (g *Graph) Selected(path string) string {
	if v, ok := g.selected[path]; ok {
		return v
	}
	return "none"
}

// Requirements lists what the go.mod of m requires, without what is excluded. ok is false where it
// was not loaded: pruned out, or a Failure.
func (g *Graph) Requirements(m module.Version) (reqs []module.Version, ok bool) {
	reqs, ok = g.required[m]
	return slices.Clone(reqs), ok
}

// GoVersion is the go line of m's go.mod, such as "1.21"; empty where it has none or was not loaded.
func (g *Graph) GoVersion(m module.Version) string { return g.versions[m] }

// Actual is the module version whose files stand for m: m itself or its replacement. The
// replacement by a folder has the folder as its path, and no version.
func (g *Graph) Actual(m module.Version) module.Version {
	to, _ := g.rules.actual(m)
	return to
}

// Loaded lists the module versions whose go.mod was read through the source, replacements
// followed, sorted: the .mod files that loading this graph takes.
func (g *Graph) Loaded() []module.Version {
	list := make([]module.Version, 0, len(g.loaded))
	for m := range g.loaded {
		list = append(list, m)
	}
	module.Sort(list)
	return list
}

// Failures lists the modules whose requirements could not be loaded, sorted. The graph
// is that of the go command only where there are none.
func (g *Graph) Failures() []Failure {
	list := make([]Failure, 0, len(g.failures))
	for _, f := range g.failures {
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b Failure) int { return compareModules(a.Module, b.Module) })
	return list
}

// Error says which module it is about first.
func (f Failure) Error() string {
	if f.Actual != f.Module {
		return fmt.Sprintf("%s (replaced by %s): %v", f.Module, f.Actual, f.Err)
	}
	return fmt.Sprintf("%s: %v", f.Module, f.Err)
}

// Unwrap returns f.Err.
func (f Failure) Unwrap() error { return f.Err }
