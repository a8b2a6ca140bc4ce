package cgo

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/binary"
	"github.com/goferry/goferry/internal/gocmd"
)

// TestStart starts programs for Windows by a wine that is a script: what it lacks itself is no fault of theirs.
func TestStart(t *testing.T) {
	for _, c := range []struct {
		name, wine string
		want       BuildRun
	}{
		{"runs", `test "$1" = app.exe && test "$2" = --version && test "$WINEDEBUG" = -all`, BuildRun{By: "wine", OK: true}},
		{"old wine", "echo 'fatal error: bcryptprimitives.dll not found' >&2\necho 'runtime: panic before malloc heap initialized' >&2\nexit 2", BuildRun{Why: RunOldWine}},
		{"fails", "echo 'panic: odd' >&2\nexit 2", BuildRun{By: "wine", ExitCode: 2, Said: "panic: odd"}},
		{"names the DLL", "echo 'no bcryptprimitives.dll in here' >&2\nexit 1", BuildRun{By: "wine", ExitCode: 1, Said: "no bcryptprimitives.dll in here"}},
	} {
		m := newMachine(t)
		m.script("wine64", c.wine)
		r := &buildRun{Builder: &Builder{Runner: m.f.Runner, Finder: m.f}, o: BuildOptions{RunArgs: []string{"--version"}}}
		got := r.start(t.Context(), Target{OS: "windows", Arch: runtime.GOARCH}, &BuildOutput{path: "app.exe"})
		if diff := cmp.Diff(c.want, *got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	r := &buildRun{Builder: &Builder{Runner: &gocmd.Runner{}, Finder: newMachine(t).f}}
	for name, want := range map[string]BuildRun{
		"darwin/arm64":            {Why: RunNoEmulator},
		"windows/arm64":           {Why: RunNoEmulator},
		"linux/" + runtime.GOARCH: {Why: RunNoInterpreter, Needs: "/lib/ld-nowhere.so.1"},
	} {
		out := &BuildOutput{path: "app", Info: &binary.Info{Format: binary.ELF, Interpreter: "/lib/ld-nowhere.so.1"}}
		if diff := cmp.Diff(want, *r.start(t.Context(), parsed(t, name), out)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestInterpreterHere looks below the root that qemu is told, and of what has no interpreter nowhere.
func TestInterpreterHere(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "lib"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "lib", "ld-x.so.1"), nil, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		argv        string
		interpreter string
		want        bool
	}{
		{"qemu-x -L " + root, "/lib/ld-x.so.1", true},
		{"qemu-x -L " + root, "/lib/ld-y.so.1", false},
		{"qemu-x", "/lib/ld-x.so.1", false},
		{"", root + "/lib/ld-x.so.1", true},
		{"", "", true},
	} {
		if got := interpreterHere(Emulator{Argv: strings.Fields(c.argv)}, &binary.Info{Format: binary.ELF, Interpreter: c.interpreter}); got != c.want {
			t.Errorf("%q, %q: %v", c.argv, c.interpreter, got)
		}
	}
}

// armhf is how Debian's compiler for armhf is told of a Raspberry Pi 1: its own code is for it, its C library is not.
const armhf = "arm-linux-gnueabihf-gcc -march=armv6 -mfpu=vfp -mfloat-abi=hard"

// TestNewerCPU wants a broken promise of a program for ARM v6 with a C library for v7.
func TestNewerCPU(t *testing.T) {
	f := &Finder{Env: func(string) string { return "" }}
	c := Compiler{Target: parsed(t, "linux/arm/v6"), Family: GCC, CC: strings.Fields(armhf)}
	dir := t.TempDir()
	if ok, said, err := f.compile(t.Context(), c, c.CC, dir, "probe.c", probeC, "app"); !ok || err != nil {
		t.Fatal(said, err)
	}
	for target, want := range map[string]string{"linux/arm/v5": "v7", "linux/arm/v6": "v7", "linux/arm/v6+softfloat": "v7", "linux/arm/v7": "", "linux/arm": "", "linux/amd64/v1": ""} {
		out, failure := look(filepath.Join(dir, "app"), parsed(t, target), nil)
		if failure != nil {
			t.Fatal(failure)
		}
		got := ""
		for _, p := range out.Unmet() {
			got += p.Detail
			if p.Code != UnmetCPU || p.Requirement != "cpu<="+target[len("linux/arm/"):][:2] {
				t.Errorf("%+v", p)
			}
		}
		if got != want {
			t.Errorf("%s: asks for %q, want %q", target, got, want)
		}
	}
}

// TestFindByCPU takes zig for ARM v6 where the other compiler has a C library for v7; for v7 that comes first, and what the user names always.
func TestFindByCPU(t *testing.T) {
	m := newMachine(t)
	m.script("zig", `case $1 in version) echo 0.16.0;; env) ;; targets) echo '"arm-linux-gnueabihf"';; esac`)
	m.f.Runner = &gocmd.Runner{Env: []string{"PATH=" + m.bin + string(os.PathListSeparator) + os.Getenv("PATH")}}
	first := func(target string) string {
		t.Helper()
		found, err := m.f.Find(t.Context(), parsed(t, target))
		if err != nil || len(found) < 2 {
			t.Fatalf("%s: %+v, %v", target, found, err)
		}
		return strings.Join(found[0].Shown(), " ")
	}
	if got := first("linux/arm/v6"); !strings.HasPrefix(got, "zig cc -target arm-linux-gnueabihf") {
		t.Errorf("v6: %s", got)
	}
	if got := first("linux/arm/v7"); got != "arm-linux-gnueabihf-gcc" {
		t.Errorf("v7: %s", got)
	}
	m.env["CC_FOR_linux_arm"] = "arm-linux-gnueabihf-gcc -O1"
	if got := first("linux/arm/v6"); got != "arm-linux-gnueabihf-gcc -O1" {
		t.Errorf("the user's: %s", got)
	}
}
