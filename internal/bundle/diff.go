package bundle

import (
	"cmp"
	"context"
	"slices"

	"golang.org/x/mod/module"
)

// A Difference says what b has and a has not, and so on.
type Difference struct {
	Added   []Entry  `json:"added"`   // of b, sorted by name
	Removed []Entry  `json:"removed"` // of a
	Changed []Change `json:"changed"`
	// Modules whose zip or go.mod is new, gone, or other than before.
	AddedModules   []Module       `json:"added_modules"`
	RemovedModules []Module       `json:"removed_modules"`
	ChangedModules []ModuleChange `json:"changed_modules"` // the same version with other hashes: somebody has moved a tag
}

// A Change is an entry that both have with other bytes.
type Change struct {
	From Entry `json:"from"`
	To   Entry `json:"to"`
}

// A ModuleChange is a module version that both have with other hashes.
type ModuleChange struct {
	From Module `json:"from"`
	To   Module `json:"to"`
}

// Same reports whether there is no difference.
func (d Difference) Same() bool {
	return len(d.Added)+len(d.Removed)+len(d.Changed)+len(d.AddedModules)+len(d.RemovedModules)+len(d.ChangedModules) == 0
}

// Diff compares two bundles by their manifests.
func Diff(a, b Manifest) Difference {
	d := Difference{
		Added: []Entry{}, Removed: []Entry{}, Changed: []Change{},
		AddedModules: []Module{}, RemovedModules: []Module{}, ChangedModules: []ModuleChange{},
	}
	merge(contents(a), contents(b), func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) },
		func(e Entry) { d.Removed = append(d.Removed, e) },
		func(e Entry) { d.Added = append(d.Added, e) },
		func(from, to Entry) {
			if from != to {
				d.Changed = append(d.Changed, Change{from, to})
			}
		})
	merge(modules(a), modules(b), func(a, b Module) int {
		return compareVersions(module.Version{Path: a.Path, Version: a.Version}, module.Version{Path: b.Path, Version: b.Version})
	},
		func(m Module) { d.RemovedModules = append(d.RemovedModules, m) },
		func(m Module) { d.AddedModules = append(d.AddedModules, m) },
		func(from, to Module) {
			if differ(from.Sum, to.Sum) || differ(from.ModSum, to.ModSum) {
				d.ChangedModules = append(d.ChangedModules, ModuleChange{from, to})
			}
		})
	return d
}

// differ reports whether two hashes of one thing contradict each other; a bundle need not have both.
func differ(a, b string) bool { return a != "" && b != "" && a != b }

// contents returns the entries without the SBOM, which is about them and not one of them.
func contents(m Manifest) []Entry {
	return slices.DeleteFunc(slices.Clone(m.Entries), func(e Entry) bool { return e.Name == SBOMName })
}

func modules(m Manifest) []Module {
	ms := slices.Clone(m.Modules)
	slices.SortStableFunc(ms, compareModules)
	return ms
}

// merge walks two sorted slices.
func merge[T any](a, b []T, compare func(a, b T) int, onlyA, onlyB func(T), both func(a, b T)) {
	for len(a) > 0 || len(b) > 0 {
		c := 0
		switch {
		case len(b) == 0:
			c = -1
		case len(a) == 0:
			c = 1
		default:
			c = compare(a[0], b[0])
		}
		switch {
		case c < 0:
			onlyA(a[0])
			a = a[1:]
		case c > 0:
			onlyB(b[0])
			b = b[1:]
		default:
			both(a[0], b[0])
			a, b = a[1:], b[1:]
		}
	}
}

// Lacking returns the files that base does not have: of another name, or with other bytes (a list
// that has grown). It reads those of the same name and size, to hash them.
func Lacking(ctx context.Context, files []File, base Manifest) ([]File, error) {
	known := make(map[string]Entry, len(base.Entries))
	for _, e := range base.Entries {
		known[e.Name] = e
	}
	var lacking, ask []File
	for _, f := range files {
		if e, ok := known[f.Name]; ok && e.Size == f.Size {
			ask = append(ask, f)
		} else {
			lacking = append(lacking, f)
		}
	}
	hashes, err := hashFiles(ctx, ask, nil)
	if err != nil {
		return nil, err
	}
	for i, f := range ask {
		if hashes[i].sha256 != known[f.Name].SHA256 {
			lacking = append(lacking, f)
		}
	}
	return lacking, nil
}

// NeedBase returns an error with CodeBase if m adds to a bundle that known does not know.
// Known gets an ID; nil knows none.
func NeedBase(m Manifest, known func(id string) bool) error {
	if m.Base == nil || known != nil && known(m.Base.ID) {
		return nil
	}
	return &Error{Code: CodeBase, Detail: m.Base.ID}
}
