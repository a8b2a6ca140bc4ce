package toolchain

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFind(t *testing.T) {
	user := t.TempDir()
	home := Home{Dir: filepath.Join(user, ".goferry")}
	other := t.TempDir()
	here := func(dir, version string) string { return useTree(t, dir, version, runtime.GOOS, runtime.GOARCH) }
	in := func(names ...string) string { return filepath.Join(append([]string{user}, names...)...) }
	want := map[string]Owner{
		here(home.Root(Here("go1.26.1")), "go1.26.1"):                                            ByGoferry,
		here(in(".gvm", "gos", "go1.21.1"), "go1.21.1"):                                          ByGVM,
		here(in(".g", "versions", "1.21.2"), "go1.21.2"):                                         ByG,
		here(in(".go", ".versions", "1.21.3"), "go1.21.3"):                                       ByG,
		here(in(".goenv", "versions", "1.21.4"), "go1.21.4"):                                     ByGoenv,
		here(filepath.Join(other, "mise", "installs", "go", "1.21.5"), "go1.21.5"):               ByMise,
		here(in(".asdf", "installs", "golang", "1.21.6", "go"), "go1.21.6"):                      ByAsdf,
		here(in(".gobrew", "versions", "1.21.7", "go"), "go1.21.7"):                              ByGobrew,
		here(in(".go", "go1.21.8"), "go1.21.8"):                                                  ByGoup,
		here(in("sdk", "go1.21.9"), "go1.21.9"):                                                  ByDL,
		here(in("mod", "golang.org", "toolchain@v0.0.1-go1.21.10.linux-amd64"), "go1.21.10"):     ByModCache,
		here(filepath.Join(other, "usr", "local", "go"), "go1.20.1"):                             BySystem,
		here(filepath.Join(other, "brew", "Cellar", "go@1.22", "1.22.1", "libexec"), "go1.22.1"): ByHomebrew,
		here(filepath.Join(other, "by[hand]"), "go1.24-acme"):                                    ByPath,
	}
	for _, name := range []string{in(".gvm", "gos", "go-broken"), in("sdk", "gone"), in(".g", "versions", "x", "bin")} {
		if err := os.MkdirAll(name, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if runtime.GOOS != "windows" { // mise has names for the newest ones
		if err := os.Symlink("1.21.5", filepath.Join(other, "mise", "installs", "go", "latest")); err != nil {
			t.Fatal(err)
		}
	}
	f := Finder{
		Home: home, User: user, ModCache: in("mod"), Path: []string{"relative", other, filepath.Join(other, "by[hand]", "bin")},
		Dirs:   map[string]string{"MISE_DATA_DIR": filepath.Join(other, "mise"), "HOMEBREW_PREFIX": filepath.Join(other, "brew")},
		system: []string{filepath.Join(other, "usr", "local", "g*")},
	}
	got := map[string]Owner{}
	list := f.Find()
	for i, found := range list {
		got[found.Root] = found.Owner
		if i > 0 && list[i-1].Version.Compare(found.Version) < 0 {
			t.Errorf("%s stands before %s", list[i-1].Version, found.Version)
		}
		if found.InPath != (found.Owner == ByPath) {
			t.Errorf("%s: in PATH is %v", found.Root, found.InPath)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if last := list[len(list)-1]; last.Name != "go1.24-acme" || last.Version != "" {
		t.Errorf("the last is %+v, want the one that nobody released", last)
	}
}

func TestIdentify(t *testing.T) {
	dir := t.TempDir()
	foreign := useTree(t, filepath.Join(dir, "foreign"), "go1.25.7", "plan9", "arm")
	both := useTree(t, filepath.Join(dir, "both"), "go1.25.7", "aix", "ppc64")
	useTree(t, both, "go1.25.7", runtime.GOOS, runtime.GOARCH)
	devel := useTree(t, filepath.Join(dir, "devel"), "", runtime.GOOS, runtime.GOARCH)
	if err := os.Remove(filepath.Join(devel, "VERSION")); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		root string
		want Found
	}{
		{foreign, Found{Target: Target{"go1.25.7", "plan9", "arm"}, Root: foreign, Name: "go1.25.7"}},
		{both, Found{Target: Here("go1.25.7"), Root: both, Name: "go1.25.7"}},
		{devel, Found{Target: Here(""), Root: devel, Name: "devel"}},
	}
	for _, tt := range tests {
		got, err := Identify(tt.root)
		if err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v", tt.root, got, err)
		}
	}
	if _, err := Identify(dir); !errors.Is(err, ErrTree) {
		t.Errorf("an ordinary folder: %v", err)
	}
	if _, err := Identify(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

func TestRootOf(t *testing.T) {
	h := useHome(t, "go1.25.7")
	if err := errors.Join(h.Use(Here("go1.25.7")), h.LinkVersions()); err != nil {
		t.Fatal(err)
	}
	want, err := filepath.EvalSymlinks(h.Root(Here("go1.25.7")))
	if err != nil {
		t.Fatal(err)
	}
	link := Finder{Path: []string{h.Bin()}}.Program("go1.25.7")
	for _, program := range []string{Program(h.Root(Here("go1.25.7"))), Program(h.Default()), link} {
		if got, err := RootOf(program); err != nil || got != want {
			t.Errorf("%s: %s, %v", program, got, err)
		}
	}
	wrapper := filepath.Join(t.TempDir(), "go")
	if err := os.WriteFile(wrapper, []byte("#!/bin/sh\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := RootOf(wrapper); !errors.Is(err, ErrTree) {
		t.Errorf("a wrapper: %v", err)
	}
}
