package modgraph

import (
	"slices"
	"testing"

	"golang.org/x/mod/module"
)

// FuzzSplitMajor holds the names of families: a path is made of its name and of something that says its major version.
func FuzzSplitMajor(f *testing.F) {
	for _, path := range []string{"example.com/m", "example.com/m/v2", "example.com/m/v0", "gopkg.in/m.v1", "gopkg.in/m.v2-unstable", "example.com/v2/m", "/v", "gopkg.in/.v99999999999999999999"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		name, major := splitMajor(path)
		if len(name) > len(path) || path[:len(name)] != name {
			t.Fatalf("%q has name %q", path, name)
		}
		_, suffix, ok := module.SplitPathVersion(path)
		if (name == path) != (suffix == "" || !ok) {
			t.Fatalf("%q has name %q", path, name)
		}
		if slices.Contains([]string{"/v2", ".v2"}, suffix) && ok && major != 2 {
			t.Fatalf("%q is of major version %d", path, major)
		}
	})
}
