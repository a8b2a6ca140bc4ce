package modgraph

import (
	"cmp"
	"slices"

	"go/version"

	"golang.org/x/mod/module"
)

// An Edge is a requirement: the go.mod of From requires To.
type Edge struct {
	From, To module.Version
}

// Edges lists the requirements of the graph breadth-first from the main modules: what "go mod
// graph" prints, without its lines about go and toolchain; see GoLines for these.
func (g *Graph) Edges() []Edge {
	return slices.Clone(g.indexed().edges)
}

// A Requirer is a module version of the graph whose go.mod asks for a module.
type Requirer struct {
	By      module.Version // a main module, or a module version as it is required
	Version string         // asked for

	// Decides says that this is the version that was selected: the build has it because of this
	// requirement and its equals. What is asked of a main module decides nothing.
	Decides bool
	// Superseded says that the build has another version of By. Its requirements count
	// all the same, by the rules of MVS.
	Superseded bool
	// Indirect says that By is a main module, and marks the requirement as "// indirect".
	Indirect bool
}

// Requirers lists who asks for the module path: the deciding ones first, then by
// falling version. Requirements that are pruned out or excluded are not in it.
func (g *Graph) Requirers(path string) []Requirer {
	selected := g.Selected(path)
	var list []Requirer
	for _, e := range g.indexed().by[path] {
		list = append(list, Requirer{
			By: e.From, Version: e.To.Version, Decides: e.To.Version == selected,
			Superseded: g.Selected(e.From.Path) != e.From.Version,
			Indirect:   e.From.Version == "" && g.indexed().indirect[e],
		})
	}
	sortRequirers(list, func(v, w string) int { return compare(v, w) })
	return list
}

// sortRequirers sorts by falling version, then main modules first, then those in the build list,
// then by name.
func sortRequirers(list []Requirer, versions func(v, w string) int) {
	slices.SortFunc(list, func(a, b Requirer) int {
		return cmp.Or(versions(b.Version, a.Version), before(a.By.Version == "", b.By.Version == ""),
			before(!a.Superseded, !b.Superseded), compareModules(a.By, b.By))
	})
}

// before orders what is true before what is not.
func before(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// compareModules orders by path, then by rising version.
func compareModules(a, b module.Version) int {
	return cmp.Or(cmp.Compare(a.Path, b.Path), compare(a.Version, b.Version), cmp.Compare(a.Version, b.Version))
}

// Why lists shortest chains of requirements that explain the selected version of the module path. Each
// begins with a main module, ends with the selected version, and requires its next member
// by its go.mod; no two have the same last but one. The shortest come first, and of equals those whose
// members are in the build list themselves. No more than limit are returned; 0 is all.
//
// The chain of a main module is itself. There is none for what is not in the graph.
//
// Unlike "go mod why" it is about modules, not about packages: a module may be required
// though no package of it is used.
func (g *Graph) Why(path string, limit int) [][]module.Version {
	target := module.Version{Path: path, Version: g.Selected(path)}
	switch target.Version {
	case "none":
		return nil
	case "":
		return [][]module.Version{{target}}
	}
	ix := g.indexed()
	var chains [][]module.Version
	for _, e := range ix.by[path] {
		if e.To != target {
			continue
		}
		chain := ix.chain(e.From)
		// A way to the module that leads through itself explains nothing: what another version of it
		// requires is why there is a higher one, so only the same version is left out.
		if slices.Contains(chain, target) {
			continue
		}
		chains = append(chains, append(chain, target))
	}
	slices.SortFunc(chains, func(a, b []module.Version) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(g.superseded(a), g.superseded(b)),
			slices.CompareFunc(a, b, compareModules))
	})
	if limit > 0 && len(chains) > limit {
		chains = chains[:limit]
	}
	return chains
}

// superseded counts the members of a chain that are not in the build list.
func (g *Graph) superseded(chain []module.Version) int {
	n := 0
	for _, m := range chain {
		if g.Selected(m.Path) != m.Version {
			n++
		}
	}
	return n
}

// Depth is the length of the shortest chain of requirements from a main module to any version of the
// module path: 0 for a main module, 1 for what a main module requires, -1 for what is not in
// the graph.
func (g *Graph) Depth(path string) int {
	if d, ok := g.indexed().depth[path]; ok {
		return d
	}
	return -1
}

// GoLines lists the go lines of the go.mod files of the graph as requirements of Go itself, the
// highest first. The highest decides which Go the build needs: where a module asks for more than the main
// module does, "go get" raises the go line of the main module, and a build asks for that. As the go command has
// it, a main module without a go line asks for 1.16, and go lines of other modules count from 1.21 on.
// That of go.work is not among them.
func (g *Graph) GoLines() []Requirer {
	var list []Requirer
	highest := ""
	for m, v := range g.versions {
		switch {
		case v == "" && m.Version == "":
			v = impliedGo
		case m.Version != "" && compareGo(v, strictGo) < 0:
			continue
		}
		if compareGo(v, highest) > 0 {
			highest = v
		}
		list = append(list, Requirer{By: m, Version: v, Superseded: g.Selected(m.Path) != m.Version})
	}
	for i := range list {
		list[i].Decides = compareGo(list[i].Version, highest) == 0
	}
	sortRequirers(list, compareGo)
	return list
}

// Go versions that the go command gives a meaning of their own.
const (
	impliedGo = "1.16" // where a main module has no go line
	pruningGo = "1.17" // from here on a go.mod lists all that its packages need
	strictGo  = "1.21" // from here on a go line is a requirement
)

// compareGo orders the versions of go lines; none is the lowest.
func compareGo(v, w string) int {
	lang := func(v string) string {
		if v == "" {
			return ""
		}
		return "go" + v
	}
	return version.Compare(lang(v), lang(w))
}

// index is the graph read backwards, and its shape. It is made once, when first asked for.
type index struct {
	edges    []Edge
	indirect map[Edge]bool     // of main modules
	by       map[string][]Edge // by path of To
	depth    map[string]int    // by path

	// A breadth-first walk over the ways in which modules are loaded: what has been pruned out behind one
	// module is in the graph because of another one.
	parent map[visit]visit          // of a main module itself
	first  map[module.Version]visit // the nearest one in which a module was loaded
}

func (g *Graph) indexed() *index {
	g.indexOnce.Do(func() { g.index = g.makeIndex() })
	return g.index
}

func (g *Graph) makeIndex() *index {
	ix := &index{
		indirect: map[Edge]bool{}, by: map[string][]Edge{}, depth: map[string]int{},
		parent: map[visit]visit{}, first: map[module.Version]visit{},
	}
	for _, main := range g.rules.mains {
		for _, r := range main.File.Require {
			if r.Indirect {
				ix.indirect[Edge{module.Version{Path: main.Path()}, r.Mod}] = true
			}
		}
	}
	var level []visit
	for _, m := range g.mains {
		// Whether it prunes is said of what it requires: both ways lead on from a main module.
		v := visit{m, workspace}
		ix.parent[v] = v
		level = append(level, v)
	}
	for depth := 0; len(level) > 0; depth++ {
		level = ix.walk(g, level, depth)
	}
	return ix
}

// walk indexes one level of the graph and returns the next one: those modules
// first that are in the build list, so that chains lead through these.
func (ix *index) walk(g *Graph, level []visit, depth int) (next []visit) {
	slices.SortStableFunc(level, func(a, b visit) int {
		return before(g.Selected(a.m.Path) == a.m.Version, g.Selected(b.m.Path) == b.m.Version)
	})
	for _, v := range level {
		if _, ok := ix.depth[v.m.Path]; !ok {
			ix.depth[v.m.Path] = depth
		}
		if v.how == named {
			continue
		}
		_, again := ix.first[v.m]
		if !again {
			ix.first[v.m] = v
		}
		for _, r := range g.required[v.m] {
			if e := (Edge{v.m, r}); !again {
				ix.edges = append(ix.edges, e)
				ix.by[r.Path] = append(ix.by[r.Path], e)
			}
			for _, to := range g.leads(v, r) {
				if _, ok := ix.parent[to]; !ok {
					ix.parent[to] = v
					next = append(next, to)
				}
			}
		}
	}
	return next
}

// leads lists the ways in which r is loaded because v requires it.
func (g *Graph) leads(v visit, r module.Version) []visit {
	prunes := compareGo(g.versions[v.m], pruningGo) >= 0
	ways := []visit{{r, unpruned}}
	switch {
	case v.how == pruned && prunes:
		ways[0].how = named
	case v.how != unpruned && prunes:
		ways[0].how = pruned
	}
	if g.deep[r] {
		ways = append(ways, visit{r, workspace})
	}
	return ways
}

// chain is a shortest chain from a main module to m, both included, along which m was loaded.
func (ix *index) chain(m module.Version) []module.Version {
	v := ix.first[m]
	chain := []module.Version{m}
	for ix.parent[v] != v {
		v = ix.parent[v]
		chain = append(chain, v.m)
	}
	slices.Reverse(chain)
	return chain
}
