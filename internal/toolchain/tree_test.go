package toolchain

import (
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/dirhash"
)

// The hash of a tree is that of its module zip, however the tree came to be there.
func TestHashTree(t *testing.T) {
	files := verFiles()
	layouts := map[string]func(root string){
		"installed": func(string) {},
		"archive": func(root string) {
			for _, dir := range []string{"api", "doc", "misc", "test"} {
				verWrite(t, filepath.Join(root, dir, "go.mod"), "module x\n", 0o644)
			}
		},
		"clone": func(root string) { verWrite(t, filepath.Join(root, ".git", "config"), "x", 0o644) },
		"module cache, never run": func(root string) {
			for name := range files {
				if name != rootName(name) {
					verMust(t, os.Rename(filepath.Join(root, filepath.FromSlash(rootName(name))), filepath.Join(root, filepath.FromSlash(name))))
				}
			}
		},
		"module cache": func(root string) {
			for name, data := range files {
				if name != rootName(name) {
					verWrite(t, filepath.Join(root, filepath.FromSlash(name)), data, 0o444)
				}
			}
		},
	}
	if runtime.GOOS != "windows" { // where making links needs a privilege
		layouts["links"] = func(root string) {
			share := t.TempDir()
			for _, dir := range []string{"src", "lib", "pkg/include"} {
				to := filepath.Join(share, filepath.Base(dir))
				verMust(t, os.Rename(filepath.Join(root, dir), to), os.Symlink(to, filepath.Join(root, dir)))
			}
			verMust(t, os.Rename(filepath.Join(root, "bin", "go"), filepath.Join(share, "go")), os.Symlink(filepath.Join(share, "go"), filepath.Join(root, "bin", "go")))
		}
	}
	names := slices.Sorted(maps.Keys(files))
	prefix := verTarget.Module().String() + "/"
	for i := range names {
		names[i] = prefix + names[i]
	}
	want, err := dirhash.Hash1(names, func(name string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(files[strings.TrimPrefix(name, prefix)])), nil
	})
	verMust(t, err)
	for name, change := range layouts {
		t.Run(name, func(t *testing.T) {
			root := verTree(t, t.TempDir(), files)
			change(root)
			for _, parallel := range []int{0, 1, 7} {
				sums, _, err := HashTree(t.Context(), root, parallel)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(verSums(files), sums); diff != "" {
					t.Errorf("%d at a time (-want +got):\n%s", parallel, diff)
				}
				if got := sums.H1(verTarget); got != want {
					t.Errorf("%d at a time: %s, the module zip has %s", parallel, got, want)
				}
			}
		})
	}
}

func TestHashTreeExtras(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // making links needs a privilege there
	}
	real := verTree(t, t.TempDir(), verFiles())
	root := filepath.Join(t.TempDir(), "go")
	verMust(t, os.Symlink(real, root))
	link := func(to, name string) { verMust(t, os.Symlink(to, filepath.Join(root, filepath.FromSlash(name)))) }
	other := t.TempDir()
	verWrite(t, filepath.Join(other, "x.h"), "x", 0o644)
	link(other, "pkg/other")
	link(other, "src/fmt/deep")
	link("..", "src/circle")
	link("/", "disk")
	link("nowhere", "src/fmt/broken")
	link(filepath.Join(other, "x.h"), "src/fmt/x.h")
	verWrite(t, filepath.Join(root, "misc", "x"), "x", 0o644)
	verWrite(t, filepath.Join(root, ".git"), "gitdir: x\n", 0o644)
	verWrite(t, filepath.Join(root, repairPrefix+"1", "1"), "x", 0o644)
	verWrite(t, filepath.Join(root, "src", "two\nlines"), "x", 0o644)
	sums, extras, err := HashTree(t.Context(), root, 0)
	verMust(t, err)
	want := []Extra{
		{".git", ExtraVCS, ""}, {repairPrefix + "1", ExtraLeftover, ""}, {"disk", ExtraLink, "/"}, {"misc", ExtraNotCovered, ""},
		{"pkg/other", ExtraLinked, other}, {"src/circle", ExtraLink, real}, {"src/fmt/broken", ExtraLink, ""},
		{"src/fmt/deep", ExtraLink, other}, {"src/fmt/x.h", ExtraLinked, filepath.Join(other, "x.h")}, {"src/two\nlines", ExtraSpecial, ""},
	}
	slices.SortFunc(extras, func(a, b Extra) int { return strings.Compare(a.Name, b.Name) })
	if diff := cmp.Diff(want, extras); diff != "" {
		t.Errorf("extras (-want +got):\n%s", diff)
	}
	files := verFiles()
	files["pkg/other/x.h"], files["src/fmt/x.h"] = "x", "x"
	if diff := cmp.Diff(verSums(files), sums); diff != "" {
		t.Errorf("sums (-want +got):\n%s", diff)
	}
}

func TestTreeTargets(t *testing.T) {
	here := Here("go1.99.1")
	other := Target{"go1.99.1", "plan9", "arm"}
	for _, test := range []struct {
		dir, version string
		tools        []string
		want         []Target
	}{
		{"go", "go1.99.1\ntime x\n", []string{"plan9_arm"}, []Target{other}},
		{"go", "go1.99.1", []string{"plan9_arm", here.OS + "_" + here.Arch, "api"}, []Target{here, other}},
		{"go", "go1.99.1 (Red Hat 1.99.1-1.el9)\n", nil, []Target{here}},
		{"go1.98.0", "go1.99.1\n", []string{"plan9_arm"}, []Target{Here("go1.98.0"), other}},
		{"toolchain@v0.0.1-go1.99.1.plan9-arm", "", nil, []Target{other}},
		{"toolchain@v0.0.1-go1.99.1.plan9-arm", "go1.99.1\n", []string{"plan9_arm"}, []Target{other}},
		{"go", "", nil, nil},
		{"go", "devel go1.28-1234\n", nil, nil},
	} {
		root := filepath.Join(t.TempDir(), test.dir)
		verMust(t, os.Mkdir(root, 0o755))
		if test.version != "" {
			verWrite(t, filepath.Join(root, "VERSION"), test.version, 0o644)
		}
		for _, tool := range test.tools {
			verWrite(t, filepath.Join(root, "pkg", "tool", tool, "asm"), "", 0o755)
		}
		got, err := treeTargets(root)
		if diff := cmp.Diff(test.want, got); diff != "" || (err != nil) != (test.want == nil) {
			t.Errorf("%s with %q: %v (-want +got):\n%s", test.dir, test.version, err, diff)
		}
	}
}
