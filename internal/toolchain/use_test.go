package toolchain

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// useTree makes a tree that looks like a toolchain: its go command says its version and its GOROOT.
func useTree(t *testing.T, root, version, goos, goarch string) string {
	t.Helper()
	script := "#!/bin/sh\necho \"" + version + " $*\"\n"
	for name, text := range map[string]string{
		"VERSION": version + "\ntime 2026-01-02T03:04:05Z\n", "bin/go" + exeSuffix(goos): script, "bin/gofmt" + exeSuffix(goos): script,
		"pkg/tool/" + goos + "_" + goarch + "/compile" + exeSuffix(goos): script, "go.env": "GOTOOLCHAIN=auto\n",
	} {
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		t.Fatal(err)
	}
	return real
}

// useHome makes a Home with those versions installed for this system.
func useHome(t *testing.T, versions ...string) Home {
	t.Helper()
	h := Home{Dir: t.TempDir()}
	for _, v := range versions {
		useTree(t, h.Root(Here(Version(v))), v, runtime.GOOS, runtime.GOARCH)
	}
	return h
}

func runsAs(t *testing.T, program string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		return ""
	}
	out, err := exec.Command(program, "version").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestUse(t *testing.T) {
	h := useHome(t, "go1.25.7", "go1.26.1")
	if got, ok := h.InUse(); ok {
		t.Errorf("%v is in use before anything was chosen", got)
	}
	for _, v := range []Version{"go1.25.7", "go1.26.1", "go1.26.1", "go1.25.7"} {
		if err := h.Use(Here(v)); err != nil {
			t.Fatal(err)
		}
		if got, ok := h.InUse(); !ok || got != Here(v) {
			t.Errorf("in use is %v, %v; want %v", got, ok, v)
		}
		if got, want := runsAs(t, Program(h.Default())), string(v)+" version"; runtime.GOOS != "windows" && got != want {
			t.Errorf("the default runs as %q, want %q", got, want)
		}
	}
	entries, err := os.ReadDir(h.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Errorf("%v lie in the folder, want go and sdk", entries)
	}
	if err := h.Unuse(); err != nil {
		t.Fatal(err)
	}
	if _, ok := h.InUse(); ok || !h.Has(Here("go1.25.7")) {
		t.Error("the default is still there, or took its toolchain with it")
	}
	if err := h.Unuse(); err != nil {
		t.Errorf("without a default: %v", err)
	}
}

// TestUseMoved holds that a folder that was moved as a whole still works.
func TestUseMoved(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // junctions are absolute
	}
	h := useHome(t, "go1.25.7")
	if err := errors.Join(h.Use(Here("go1.25.7")), h.LinkVersions()); err != nil {
		t.Fatal(err)
	}
	moved := Home{Dir: filepath.Join(t.TempDir(), "elsewhere")}
	if err := os.Rename(h.Dir, moved.Dir); err != nil {
		t.Fatal(err)
	}
	if got, ok := moved.InUse(); !ok || got != Here("go1.25.7") {
		t.Errorf("in use is %v, %v", got, ok)
	}
	if got := runsAs(t, filepath.Join(moved.Bin(), "go1.25.7")); got != "go1.25.7 version" {
		t.Errorf("the link runs as %q", got)
	}
}

func TestUseRefuses(t *testing.T) {
	h := useHome(t, "go1.25.7")
	if err := h.Use(Here("go1.26.1")); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("not installed: %v", err)
	}
	foreign := Target{Version: "go1.25.7", OS: "plan9", Arch: "arm"}
	useTree(t, h.Root(foreign), "go1.25.7", "plan9", "arm")
	if err := h.Use(foreign); !errors.Is(err, ErrForeign) {
		t.Errorf("for another system: %v", err)
	}
	mine := filepath.Join(h.Default(), "mine")
	if err := os.MkdirAll(mine, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"Use": h.Use(Here("go1.25.7")), "Unuse": h.Unuse()} {
		if !errors.Is(err, ErrInTheWay) {
			t.Errorf("%s with a folder in the way: %v", name, err)
		}
	}
	if _, err := os.Stat(mine); err != nil {
		t.Errorf("the folder in the way: %v", err)
	}
}

func TestInUseElsewhere(t *testing.T) {
	if runtime.GOOS == "windows" {
		return
	}
	h := useHome(t, "go1.25.7")
	other := useTree(t, filepath.Join(t.TempDir(), "go1.25.7"), "go1.25.7", runtime.GOOS, runtime.GOARCH)
	for _, to := range []string{other, filepath.Join("sdk", "go1.26.1"), "sdk", "nowhere"} {
		if err := os.Symlink(to, h.Default()); err != nil {
			t.Fatal(err)
		}
		if got, ok := h.InUse(); ok {
			t.Errorf("a link to %s: %v is in use", to, got)
		}
		if err := os.Remove(h.Default()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLinkVersions(t *testing.T) {
	h := useHome(t, "go1.25.7", "go1.26rc1", "go1.20")
	useTree(t, h.Root(Target{"go1.25.7", "plan9", "arm"}), "go1.25.7", "plan9", "arm")
	names := func() (list []string) {
		entries, err := os.ReadDir(h.Bin())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			list = append(list, strings.TrimSuffix(e.Name(), programLinkSuffix(e.Name())))
		}
		return list
	}
	for range 2 {
		if err := h.LinkVersions(); err != nil {
			t.Fatal(err)
		}
		if got := names(); !slices.Equal(got, []string{"go1.20", "go1.25.7", "go1.26rc1"}) {
			t.Errorf("links %v", got)
		}
	}
	if got := runsAs(t, filepath.Join(h.Bin(), "go1.26rc1")); runtime.GOOS != "windows" && got != "go1.26rc1 version" {
		t.Errorf("the link runs as %q", got)
	}
	mine := filepath.Join(h.Bin(), "go1.19.1")
	if err := os.WriteFile(mine, []byte("mine"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(h.Root(Here("go1.20"))); err != nil {
		t.Fatal(err)
	}
	if err := h.LinkVersions(); err != nil {
		t.Fatal(err)
	}
	if got := names(); !slices.Equal(got, []string{"go1.19.1", "go1.25.7", "go1.26rc1"}) {
		t.Errorf("links %v after a toolchain went", got)
	}
	if runtime.GOOS == "windows" {
		return // go1.19.1.exe has room beside it
	}
	useTree(t, h.Root(Here("go1.19.1")), "go1.19.1", runtime.GOOS, runtime.GOARCH)
	if err := h.LinkVersions(); !errors.Is(err, ErrInTheWay) || !strings.Contains(err.Error(), mine) {
		t.Errorf("a file in the way: %v", err)
	}
	if data, err := os.ReadFile(mine); err != nil || string(data) != "mine" {
		t.Errorf("the file in the way: %q, %v", data, err)
	}
}

func TestRunsOn(t *testing.T) {
	tests := []struct {
		goos, goarch, host, arch string
		want                     bool
	}{
		{"linux", "amd64", "linux", "amd64", true},
		{"linux", "386", "linux", "amd64", true},
		{"linux", "arm64", "linux", "amd64", false},
		{"linux", "amd64", "linux", "arm64", false},
		{"darwin", "amd64", "darwin", "arm64", true},
		{"windows", "amd64", "windows", "arm64", true},
		{"windows", "386", "windows", "amd64", true},
		{"windows", "amd64", "linux", "amd64", false},
	}
	for _, tt := range tests {
		target := Target{"go1.25.7", tt.goos, tt.goarch}
		if got := target.runsOn(tt.host, tt.arch); got != tt.want {
			t.Errorf("%s on %s-%s: %v", target, tt.host, tt.arch, got)
		}
	}
}
