package cgo

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
)

// differences finds the packages that differ without cgo, and those that do not build.
func (l *checkLoader) differences(ctx context.Context, g *checkLoad) error {
	g.states = map[string]State{}
	for _, p := range g.on {
		if p.Standard {
			continue
		}
		if off := g.offBy[p.ImportPath]; g.differs(p) && off != nil && len(off.GoFiles) > 0 {
			g.states[p.ImportPath] = l.compare(p, off).State
		} else if g.differs(p) {
			g.states[p.ImportPath] = StateGone
		}
		if p.excluded() {
			g.failures = append(g.failures, CgoFailure{Package: p.ImportPath, Reason: "excluded", By: importer(g.on, p.ImportPath), Anyway: true})
		} else if p.Error != nil {
			g.failures = append(g.failures, CgoFailure{Package: p.ImportPath, Reason: "load", Said: p.Error.Err, Anyway: true})
		}
	}
	g.excludedWithout()
	if len(g.states) == 0 {
		return nil
	}
	found, err := l.compileWithout(ctx, g)
	g.failures = append(g.failures, found...)
	for _, f := range g.failures {
		if !f.Anyway {
			g.states[f.Package] = StateFails
		}
	}
	return err
}

// differs reports whether a package with cgo is not the same without.
func (g *checkLoad) differs(p *listed) bool {
	off := g.offBy[p.ImportPath]
	return p.usesCgo() || off != nil && len(off.GoFiles) > 0 && !sameFiles(p.sources(), off.GoFiles)
}

// excludedWithout finds the packages none of whose files are for a build without cgo, and that are imported then, or
// that are of the project and imported by nobody: who names them is told that build constraints exclude all Go files.
func (g *checkLoad) excludedWithout() {
	for _, p := range g.on {
		if g.states[p.ImportPath] != StateGone {
			continue
		}
		by := importer(g.off, p.ImportPath)
		if by != "" || !p.DepOnly && importer(g.on, p.ImportPath) == "" {
			g.failures = append(g.failures, CgoFailure{Package: p.ImportPath, Reason: "excluded", By: by})
		}
	}
	for _, p := range g.off { // nobody needs it with cgo, or its files differ
		on := g.onBy[p.ImportPath]
		if !p.Standard && p.Error != nil && (on == nil || on.Error == nil && len(p.GoFiles) > 0) {
			f := CgoFailure{Package: p.ImportPath, Reason: "load", By: importer(g.off, p.ImportPath), Said: p.Error.Err}
			if g.states[p.ImportPath] = StateFails; p.excluded() {
				f.Reason, f.Said = "excluded", ""
			}
			g.failures = append(g.failures, f)
		}
	}
}

// importer is a package that imports path; empty if there is none.
func importer(list []*listed, path string) string {
	for _, p := range list {
		if slices.Contains(p.Imports, path) {
			return p.ImportPath
		}
	}
	return ""
}

func sameFiles(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// compare says how a package differs that has Go files with cgo and without.
func (l *checkLoader) compare(on, off *listed) CgoWithout {
	w := CgoWithout{State: StateOther}
	for _, name := range on.sources() {
		if !slices.Contains(off.GoFiles, name) {
			w.Went = append(w.Went, name)
		}
	}
	for _, name := range off.GoFiles {
		if !slices.Contains(on.GoFiles, name) {
			w.Came = append(w.Came, name)
		}
	}
	went, came := l.contents(on.Dir, w.Went), l.contents(on.Dir, w.Came)
	for name := range went.names {
		if !came.names[name] {
			w.Lost = append(w.Lost, name)
		}
	}
	slices.Sort(w.Lost)
	w.Says = came.says
	switch {
	case came.functions > 0 && came.functions == came.trivial && went.functions > went.trivial:
		w.State = StateStub
	case len(w.Lost) > 0:
		w.State = StateLess
	}
	return w
}

// report puts together what the loads have found.
func (l *checkLoader) report(rep *CheckReport, loads []*checkLoad, targets []Target) {
	of := map[Target]*checkLoad{}
	uses, tagged := map[string]*CgoUse{}, map[string]*CgoTagged{}
	for _, g := range loads {
		for _, t := range g.targets {
			of[t] = g
		}
		for _, p := range g.on {
			if !p.DepOnly && g == loads[0] {
				rep.Packages++
			}
			if p.Standard || g.unasked {
				continue
			}
			if p.Error == nil && g.differs(p) {
				l.use(uses, g, p)
			}
			l.taggedFiles(tagged, g, p)
		}
	}
	for _, u := range uses {
		u.AvoidTags = l.avoidTags(*u)
	}
	rep.Uses, rep.ByTags, rep.Targets = []CgoUse{}, []CgoTagged{}, []CheckTarget{}
	for _, path := range slices.Sorted(maps.Keys(uses)) {
		rep.Uses = append(rep.Uses, *uses[path])
	}
	for _, key := range slices.Sorted(maps.Keys(tagged)) {
		rep.ByTags = append(rep.ByTags, *tagged[key])
	}
	slices.SortStableFunc(rep.Uses, func(a, b CgoUse) int { return cmp.Compare(len(a.Via), len(b.Via)) })
	for _, t := range targets {
		rep.Targets = append(rep.Targets, of[t].target(t))
	}
}

// target is what is known of one before compilers are looked for.
func (g *checkLoad) target(t Target) CheckTarget {
	ct := CheckTarget{Target: t.String(), State: StateSame, Failures: g.failures}
	for _, s := range g.states {
		ct.State = Worse(ct.State, s)
	}
	for _, p := range g.on {
		switch off := g.offBy[p.ImportPath]; {
		case !p.Standard && p.usesCgo():
			ct.Uses++
		case p.Standard && off != nil && len(off.GoFiles) > 0 && !sameFiles(p.sources(), off.GoFiles):
			ct.Standard = append(ct.Standard, p.ImportPath)
		}
	}
	return ct
}

// use adds what a package is on the targets of g.
func (l *checkLoader) use(uses map[string]*CgoUse, g *checkLoad, p *listed) {
	u := uses[p.ImportPath]
	if u == nil {
		u = &CgoUse{Package: p.ImportPath, Via: g.chain(p.ImportPath), Files: []CgoFile{}, Without: []CgoWithout{}}
		if m := p.Module; m != nil {
			u.Module, u.Version, u.Own = m.Path, m.Version, m.Main
		}
		uses[p.ImportPath] = u
	}
	for _, name := range p.CgoFiles {
		if !slices.ContainsFunc(u.Files, func(f CgoFile) bool { return f.Name == name }) {
			u.Files = append(u.Files, CgoFile{Name: name, Constraint: l.header(p.Dir, name).text()})
		}
	}
	slices.SortFunc(u.Files, func(a, b CgoFile) int { return cmp.Compare(a.Name, b.Name) })
	for language, files := range map[string][]string{"C++": append(slices.Clone(p.CXXFiles), p.SwigCXXFiles...), "Objective-C": p.MFiles, "Fortran": p.FFiles, "SWIG": append(slices.Clone(p.SwigFiles), p.SwigCXXFiles...)} {
		if len(files) > 0 {
			u.Languages = addTo(u.Languages, language)
		}
	}
	for _, pc := range p.CgoPkgConfig {
		if !strings.HasPrefix(pc, "-") {
			u.PkgConfig = addTo(u.PkgConfig, pc)
		}
	}
	for _, flag := range p.CgoLDFLAGS {
		if lib, ok := strings.CutPrefix(flag, "-l"); ok && !strings.Contains(ofLibc, " "+lib+" ") {
			u.Libraries = addTo(u.Libraries, lib)
		}
	}
	for _, t := range g.targets {
		u.Targets = append(u.Targets, t.String())
		u.without(t.String(), l.without(g, p))
	}
}

// ofLibc are libraries that come with a C compiler.
const ofLibc = " c m dl rt pthread util resolv gcc gcc_s stdc++ c++ c++abi atomic "

// addTo adds s to a sorted list that has it at most once.
func addTo(list []string, s string) []string {
	if i, ok := slices.BinarySearch(list, s); !ok {
		return slices.Insert(list, i, s)
	}
	return list
}

// without says what comes of a package of g that uses cgo.
func (l *checkLoader) without(g *checkLoad, p *listed) CgoWithout {
	w := CgoWithout{Went: p.sources()}
	if off := g.offBy[p.ImportPath]; off != nil && len(off.GoFiles) > 0 {
		w = l.compare(p, off)
	}
	w.State = g.states[p.ImportPath]
	return w
}

// without adds a target to what is the same for others.
func (u *CgoUse) without(target string, w CgoWithout) {
	for i := range u.Without {
		o := &u.Without[i]
		if o.State == w.State && o.Says == w.Says && slices.Equal(o.Went, w.Went) && slices.Equal(o.Came, w.Came) {
			o.Targets = append(o.Targets, target)
			return
		}
	}
	w.Targets = []string{target}
	u.Without = append(u.Without, w)
}

// chain is a shortest way of imports from a package of the project to path, from a program if there is one.
func (g *checkLoad) chain(path string) []string {
	var mains, roots []string
	for _, p := range g.on {
		if !p.DepOnly && p.Name == "main" {
			mains = append(mains, p.ImportPath)
		}
		if !p.DepOnly {
			roots = append(roots, p.ImportPath)
		}
	}
	for _, from := range [][]string{mains, roots} {
		slices.Sort(from)
		if way := g.way(from, path); way != nil {
			return way
		}
	}
	return []string{path}
}

// way searches breadth first.
func (g *checkLoad) way(from []string, to string) []string {
	by := map[string]string{}
	for _, f := range from {
		by[f] = ""
	}
	for queue := slices.Clone(from); len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if at == to {
			var way []string
			for p := to; p != ""; p = by[p] {
				way = append(way, p)
			}
			slices.Reverse(way)
			return way
		}
		if p := g.onBy[at]; p != nil && !p.Standard {
			for _, next := range p.Imports {
				if _, seen := by[next]; !seen {
					by[next] = at
					queue = append(queue, next)
				}
			}
		}
	}
	return nil
}
