package modgraph

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// rules are what the main modules and go.work say about all others.
type rules struct {
	mains   []Main
	isMain  map[string]bool
	work    map[module.Version]target   // replacements of go.work; they win
	replace []map[module.Version]target // of each main module
	exclude map[module.Version]bool
	cut     string // a module path that counts nowhere, if any
}

// A target is what stands for a replaced module.
type target struct {
	to  module.Version // as written; without a version it is a folder
	dir string         // that folder
}

func newRules(mains []Main, o Options) (*rules, error) {
	r := &rules{mains: mains, isMain: map[string]bool{}, exclude: map[module.Version]bool{}}
	for _, m := range mains {
		switch path := m.Path(); {
		case path == "":
			return nil, fmt.Errorf("%s: no module line", filepath.Join(m.Dir, "go.mod"))
		case r.isMain[path]:
			return nil, fmt.Errorf("module %s appears several times in the workspace", path)
		default:
			r.isMain[path] = true
		}
		replace, err := targets(m.File.Replace, m.Dir)
		if err != nil {
			return nil, err
		}
		r.replace = append(r.replace, replace)
		for _, x := range m.File.Exclude {
			r.exclude[x.Mod] = true
		}
	}
	if o.Work == nil {
		return r, nil
	}
	var err error
	r.work, err = targets(o.Work.Replace, o.WorkDir)
	return r, err
}

func targets(list []*modfile.Replace, dir string) (map[module.Version]target, error) {
	m := map[module.Version]target{}
	for _, r := range list {
		t := target{to: r.New}
		if r.New.Version == "" {
			t.dir = filepath.FromSlash(r.New.Path)
			if !filepath.IsAbs(t.dir) {
				t.dir = filepath.Join(dir, t.dir)
			}
		}
		if have, ok := m[r.Old]; ok && have.to != t.to {
			return nil, fmt.Errorf("conflicting replacements of %s: %s and %s", r.Old, have.to, t.to)
		}
		m[r.Old] = t
	}
	return m, nil
}

var errConflict = errors.New("conflicting replacements in the modules of the workspace")

// target is the replacement of m. The error says that main modules disagree.
func (r *rules) target(m module.Version) (t target, ok bool, err error) {
	if m.Version == "" && r.isMain[m.Path] {
		return target{}, false, nil
	}
	find := func(in map[module.Version]target) (target, bool) {
		if t, ok := in[m]; ok {
			return t, true
		}
		t, ok := in[module.Version{Path: m.Path}]
		return t, ok
	}
	if t, ok := find(r.work); ok {
		return t, true, nil
	}
	for _, replace := range r.replace {
		t2, ok2 := find(replace)
		switch {
		case !ok2:
		case !ok:
			t, ok = t2, true
		case t2.dir != t.dir || t.dir == "" && t2.to != t.to:
			return t, true, fmt.Errorf("%w: %s and %s", errConflict, t.to, t2.to)
		}
	}
	return t, ok, nil
}

// actual is what stands for m: a module version, or a folder as its path.
func (r *rules) actual(m module.Version) (module.Version, error) {
	t, ok, err := r.target(m)
	switch {
	case !ok || err != nil:
		return m, err
	case t.dir != "":
		return module.Version{Path: t.dir}, nil
	}
	return t.to, nil
}

// A modFile is what a go.mod says that the graph is made of.
type modFile struct {
	path      string // of the module line
	goVersion string
	require   []module.Version
}

// digest keeps of a go.mod what counts here; the whole file is much larger.
func digest(f *modfile.File) *modFile {
	s := &modFile{require: make([]module.Version, 0, len(f.Require))}
	if f.Module != nil {
		s.path = f.Module.Mod.Path
	}
	if f.Go != nil {
		s.goVersion = f.Go.Version
	}
	for _, req := range f.Require {
		s.require = append(s.require, req.Mod)
	}
	return s
}

// summary is f without the requirements that do not count in this build.
func (r *rules) summary(f *modFile) *modFile {
	skip := func(m module.Version) bool { return r.exclude[m] || r.cut != "" && m.Path == r.cut }
	if !slices.ContainsFunc(f.require, skip) {
		return f
	}
	s := *f
	s.require = slices.DeleteFunc(slices.Clone(f.require), skip)
	return &s
}

// prunes reports whether the go.mod lists everything that is needed to build its packages, so
// that what its requirements require can be left out where it is itself a requirement.
// A go.mod without a go line counts as one of Go 1.16.
func (s *modFile) prunes() bool {
	return compareGo(s.goVersion, pruningGo) >= 0
}
