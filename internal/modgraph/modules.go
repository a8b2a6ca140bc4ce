package modgraph

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/module"
)

// A Module is what the graph says of one module of the build list.
type Module struct {
	Mod module.Version // as it was selected; a main module has no version

	Main      bool           // a main module
	Direct    bool           // a main module requires it, and not as "// indirect"
	Indirect  bool           // main modules require it, all of them as "// indirect"
	Actual    module.Version // what stands for it, see Graph.Actual; Mod where nothing does
	GoVersion string         // of its go.mod, see Graph.GoVersion
	Depth     int            // see Graph.Depth
	Pruned    bool           // its go.mod was not read, see Graph.Pruned
	Failure   *Failure       // why its requirements are unknown; nil if they could be loaded
	Requirers []Requirer     // who asks for it, see Graph.Requirers
}

// Replaced reports whether something else stands for m.
func (m Module) Replaced() bool { return m.Actual != m.Mod }

// Modules is the build list with all that the graph says of each module, in the order of
// BuildList.
func (g *Graph) Modules() []Module {
	ix := g.indexed()
	direct, indirect := g.roots()
	var mods []Module
	for _, v := range g.BuildList() {
		m := Module{
			Mod: v, Main: v.Version == "", Actual: g.Actual(v), GoVersion: g.versions[v],
			Direct: direct[v.Path], Indirect: indirect[v.Path] && !direct[v.Path],
			Depth: ix.depth[v.Path], Pruned: g.isPruned(v), Requirers: g.Requirers(v.Path),
		}
		if f, ok := g.failures[v]; ok {
			m.Failure = &f
		}
		mods = append(mods, m)
	}
	return mods
}

// roots tells the paths that main modules require directly from those that they require
// as "// indirect"; a path can be both in a workspace.
func (g *Graph) roots() (direct, indirect map[string]bool) {
	direct, indirect = map[string]bool{}, map[string]bool{}
	for _, m := range g.rules.mains {
		for _, r := range m.File.Require {
			switch {
			case g.rules.exclude[r.Mod]:
			case r.Indirect:
				indirect[r.Mod.Path] = true
			default:
				direct[r.Mod.Path] = true
			}
		}
	}
	return direct, indirect
}

// Pruned lists those modules of the build list that are pruned out: a module that prunes (Go 1.17 or
// newer) requires them, so that the go command reads no go.mod of theirs, and what they
// require themselves is unknown (https://go.dev/ref/mod#graph-pruning).
func (g *Graph) Pruned() []module.Version {
	return slices.DeleteFunc(g.BuildList(), func(m module.Version) bool { return !g.isPruned(m) })
}

func (g *Graph) isPruned(m module.Version) bool {
	_, loaded := g.required[m]
	_, failed := g.failures[m]
	return !loaded && !failed
}

// A Family is a module of which the build has several major versions at once. To the go
// command they are different modules; in a binary they are the same code several times.
type Family struct {
	Name    string           // the module path without its major version
	Members []module.Version // of the build list, the newest major version first
}

// Duplicates lists the modules that are in the build list by several major versions, such as
// example.com/m and example.com/m/v3, or gopkg.in/m.v1 and gopkg.in/m.v2; by name.
func (g *Graph) Duplicates() []Family {
	families := map[string]*Family{}
	for _, m := range g.BuildList() {
		name, _ := splitMajor(m.Path)
		if families[name] == nil {
			families[name] = &Family{Name: name}
		}
		families[name].Members = append(families[name].Members, m)
	}
	var list []Family
	for _, f := range families {
		if len(f.Members) < 2 {
			continue
		}
		slices.SortFunc(f.Members, func(a, b module.Version) int {
			_, v := splitMajor(a.Path)
			_, w := splitMajor(b.Path)
			return cmp.Or(cmp.Compare(w, v), cmp.Compare(a.Path, b.Path))
		})
		list = append(list, *f)
	}
	slices.SortFunc(list, func(a, b Family) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// splitMajor takes the major version off a module path; paths without one are those of v0 and v1.
func splitMajor(path string) (name string, major int) {
	name, suffix, ok := module.SplitPathVersion(path)
	if !ok {
		return path, 1
	}
	// It is "/v2", ".v2", or ".v2-unstable" in gopkg.in.
	digits, _, _ := strings.Cut(strings.TrimLeft(suffix, "/.v"), "-")
	if major, err := strconv.Atoi(digits); err == nil {
		return name, major
	}
	return name, 1
}
