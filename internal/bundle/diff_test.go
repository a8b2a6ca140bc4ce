package bundle_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/bundle"
	"github.com/goferry/goferry/internal/goproxy"
)

// TestDiff: what is new, gone and other, of files and of module versions; the SBOM does not count.
func TestDiff(t *testing.T) {
	e := func(name, hash string) bundle.Entry { return bundle.Entry{Name: name, Size: 1, SHA256: hash} }
	m := func(path, version, sum, mod string) bundle.Module {
		return bundle.Module{Path: path, Version: version, Sum: sum, ModSum: mod}
	}
	a := bundle.Manifest{
		Entries: []bundle.Entry{e(bundle.SBOMName, "1"), e("a", "1"), e("b", "1"), e("c", "1")},
		Modules: []bundle.Module{m("x", "v1.0.0", "s", "m"), m("x", "v1.9.0", "s", "m"), m("y", "v1.0.0", "", "m"), m("z", "v1.0.0", "s", "m")},
	}
	b := bundle.Manifest{
		Entries: []bundle.Entry{e(bundle.SBOMName, "2"), e("b", "2"), e("c", "1"), e("d", "1")},
		Modules: []bundle.Module{m("x", "v1.10.0", "s", "m"), m("x", "v1.9.0", "s2", "m"), m("y", "v1.0.0", "s", "m"), m("z", "v1.0.0", "s", "m")},
	}
	want := bundle.Difference{
		Added: []bundle.Entry{e("d", "1")}, Removed: []bundle.Entry{e("a", "1")}, Changed: []bundle.Change{{From: e("b", "1"), To: e("b", "2")}},
		AddedModules:   []bundle.Module{m("x", "v1.10.0", "s", "m")},
		RemovedModules: []bundle.Module{m("x", "v1.0.0", "s", "m")},
		ChangedModules: []bundle.ModuleChange{{From: m("x", "v1.9.0", "s", "m"), To: m("x", "v1.9.0", "s2", "m")}},
	}
	got := bundle.Diff(a, b)
	if diff := cmp.Diff(want, got); diff != "" || got.Same() {
		t.Error(diff)
	}
	if d := bundle.Diff(a, a); !d.Same() || d.Added == nil {
		t.Errorf("%+v", d)
	}
}

// TestNeedBase: a delta says which bundle it adds to.
func TestNeedBase(t *testing.T) {
	if err := bundle.NeedBase(bundle.Manifest{}, nil); err != nil {
		t.Error(err)
	}
	m := bundle.Manifest{Base: &bundle.Base{ID: "abc"}}
	if err := bundle.NeedBase(m, func(id string) bool { return id == "abc" }); err != nil {
		t.Error(err)
	}
	for _, known := range []func(string) bool{nil, func(string) bool { return false }} {
		err := bundle.NeedBase(m, known)
		if e := wantCode(t, err, bundle.CodeBase); e.Detail != "abc" || !errors.Is(err, goproxy.ErrNotExist) {
			t.Error(err)
		}
	}
}
