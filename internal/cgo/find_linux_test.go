package cgo

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/goferry/goferry/internal/gocmd"
)

// A machine is one with nothing but what a test puts on it.
type machine struct {
	t   *testing.T
	bin string
	env map[string]string
	f   *Finder
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, bin: t.TempDir(), env: map[string]string{}}
	// No go command, no home: only what is in bin.
	m.f = &Finder{Runner: &gocmd.Runner{Env: []string{"PATH=" + m.bin}}, Env: func(key string) string { return m.env[key] }, Home: filepath.Join(t.TempDir(), "cc")}
	return m
}

// cc puts a compiler there that says that it is for os/arch, with a C library, as libc.version.
func (m *machine) cc(name, platform, libc string) {
	goos, arch, _ := strings.Cut(platform, "/")
	text := "goferry os \"" + goos + "\"\ngoferry arch \"" + arch + "\"\ngoferry gcc 12 2 0\n"
	libc, version, _ := strings.Cut(libc, " ")
	text += "goferry libc \"" + libc + "\"\n"
	if version != "" {
		text += "goferry glibc " + version + "\n"
	}
	m.script(name, "echo '"+text+"'")
}

func (m *machine) script(name, body string) {
	m.t.Helper()
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(m.bin, name)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o777); err != nil {
		m.t.Fatal(err)
	}
}

// find returns the lines of the compilers that are found.
func (m *machine) find(target string) []string {
	m.t.Helper()
	found, err := m.f.Find(m.t.Context(), parsed(m.t, target))
	missing := (*MissingError)(nil)
	if err != nil && !errors.As(err, &missing) {
		m.t.Fatal(err)
	}
	var lines []string
	for _, c := range found {
		lines = append(lines, strings.ReplaceAll(quoteWords(c.CC), m.bin+"/", ""))
	}
	return lines
}

// runtime/cgo is compiled with -Werror, so clang must not warn of the linker that it is told.
func TestClangCompiles(t *testing.T) {
	clang, err := exec.LookPath("clang")
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine(t)
	m.script("clang", "exec "+clang+` "$@"`)
	target := "linux/arm64"
	if runtime.GOARCH == "arm64" {
		target = "linux/riscv64"
	}
	found, err := m.f.Find(t.Context(), parsed(t, target))
	if err != nil || len(found) != 1 || !slices.Contains(found[0].CC, "-fuse-ld=lld") {
		t.Fatalf("found %+v, %v", found, err)
	}
	args := append(slices.Clone(found[0].CC[1:]), "-Wall", "-Werror", "-x", "c", "-c", "-o", filepath.Join(t.TempDir(), "a.o"), "-")
	cmd := exec.Command(clang, args...)
	cmd.Stdin = strings.NewReader("#include <stdio.h>\nint three(void) { return 3; }\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// Compilers are found by the names that systems give them, and told apart by what they say.
func TestFindNames(t *testing.T) {
	for _, c := range []struct {
		name, says, libc, target, family string
	}{
		{"aarch64-linux-gnu-gcc", "linux/arm64", "gnu 2 36", "linux/arm64", "gcc"},                  // Debian, Fedora, Arch
		{"aarch64-linux-gnu-gcc-12", "linux/arm64", "gnu 2 36", "linux/arm64", "gcc"},               // Debian's gcc-12-aarch64-linux-gnu alone
		{"aarch64-suse-linux-gcc", "linux/arm64", "gnu 2 38", "linux/arm64", "gcc"},                 // openSUSE
		{"aarch64-unknown-linux-gnu-gcc", "linux/arm64", "gnu 2 17", "linux/arm64/gnu.2.28", "gcc"}, // crosstool-NG, Homebrew; older than the floor
		{"aarch64-linux-musl-gcc", "linux/arm64", "musl", "linux/arm64/musl", "musl-cross"},         // musl.cc, Void, Homebrew
		{"armv7l-linux-musleabihf-gcc", "linux/arm", "musl", "linux/arm/v7/musl", "musl-cross"},
		{"armv6-linux-musleabihf-gcc", "linux/arm", "musl", "linux/arm/v6/musl", "musl-cross"},
		{"arm-linux-gnueabi-gcc", "linux/arm", "gnu 2 36", "linux/arm/v5", "gcc"},
		{"mips64el-linux-gnuabi64-gcc", "linux/mips64le", "gnu 2 36", "linux/mips64le", "gcc"},
		{"x86_64-w64-mingw32-gcc", "windows/amd64", "msvcrt", "windows/amd64", "mingw-w64"},
		{"x86_64-w64-mingw32ucrt-gcc", "windows/amd64", "ucrt", "windows/amd64/ucrt", "mingw-w64"}, // Debian 13, Fedora
		{"aarch64-w64-mingw32-clang", "windows/arm64", "ucrt", "windows/arm64", "llvm-mingw"},
		{"oa64-clang", "darwin/arm64", "", "darwin/arm64", "osxcross"},
		{"x86_64-apple-darwin23-clang", "darwin/amd64", "", "darwin/amd64", "osxcross"},
		{"x86_64-unknown-freebsd14-gcc", "freebsd/amd64", "", "freebsd/amd64", "gcc"},
		{"aarch64-linux-android24-clang", "android/arm64", "bionic", "android/arm64", "gcc"},
	} {
		m := newMachine(t)
		m.cc(c.name, c.says, c.libc)
		if strings.HasSuffix(c.name, "mingw32-clang") {
			m.script(c.name, "echo 'goferry os \"windows\"\ngoferry arch \"arm64\"\ngoferry libc \"ucrt\"\ngoferry clang 18 1 0'")
		}
		found, err := m.f.Find(t.Context(), parsed(t, c.target))
		if err != nil || len(found) != 1 || found[0].CC[0] != c.name || string(found[0].Family) != c.family || len(found[0].CXX) > 0 {
			t.Errorf("%s for %s: %+v, %v", c.name, c.target, found, err)
		}
	}
}

// What is called as it should be and compiles for something else is not taken.
func TestFindRefuses(t *testing.T) {
	for _, c := range []struct{ name, says, libc, target, reason string }{
		{"aarch64-linux-gnu-gcc", "linux/amd64", "gnu 2 36", "linux/arm64", ""},
		{"aarch64-linux-gnu-gcc", "linux/arm64", "gnu 2 36", "linux/arm64/musl", ""},
		{"aarch64-linux-gnu-gcc", "linux/arm64", "gnu 2 36", "linux/arm64/gnu.2.17", MissingZig},
		{"x86_64-w64-mingw32-gcc", "windows/amd64", "msvcrt", "windows/amd64/ucrt", ""},
		{"clang", "linux/amd64", "gnu 2 36", "darwin/arm64", MissingSDK},
		{"gcc", "linux/amd64", "gnu 2 36", "plan9/amd64", MissingNoCgo},
	} {
		m := newMachine(t)
		m.cc(c.name, c.says, c.libc)
		_, err := m.f.Find(t.Context(), parsed(t, c.target))
		missing := (*MissingError)(nil)
		if !errors.As(err, &missing) || missing.Reason != c.reason {
			t.Errorf("%s that says %s for %s: %v, %+v", c.name, c.says, c.target, err, missing)
		}
	}
	// A compiler without its C library: it knows the macros, and no stdio.h.
	m := newMachine(t)
	m.script("aarch64-linux-gnu-gcc", "while read -r line; do case $line in *stdio.h*) echo no stdio.h >&2; exit 1;; esac; done; echo 'goferry gcc 12 2 0'")
	_, err := m.f.Find(t.Context(), parsed(t, "linux/arm64"))
	missing := (*MissingError)(nil)
	if !errors.As(err, &missing) || missing.Reason != MissingHeaders || !slices.Contains(missing.Tried, "aarch64-linux-gnu-gcc") {
		t.Errorf("%v, %+v", err, missing)
	}
}

// The user's own wins; then native, goferry's folder, PATH.
func TestFindOrder(t *testing.T) {
	m := newMachine(t)
	m.cc("my cc", "linux/arm64", "gnu 2 36")
	m.cc("aarch64-linux-gnu-gcc", "linux/arm64", "gnu 2 36")
	m.cc(filepath.Join(m.f.Home, "linux-arm64", "bin", "aarch64-linux-gnu-gcc"), "linux/arm64", "gnu 2 36")
	home := filepath.Join(m.f.Home, "linux-arm64", "bin", "aarch64-linux-gnu-gcc")
	check := func(want ...string) {
		t.Helper()
		if got := m.find("linux/arm64"); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	check(home, "aarch64-linux-gnu-gcc")
	m.env["CC"] = "gcc" // not there, and for this machine
	check(home, "aarch64-linux-gnu-gcc")
	m.env["CC"] = "aarch64-linux-gnu-gcc -O1" // it does compile for it
	check("aarch64-linux-gnu-gcc -O1", home, "aarch64-linux-gnu-gcc")
	m.env["CC_FOR_TARGET"] = "aarch64-linux-gnu-gcc -O2"
	check("aarch64-linux-gnu-gcc -O2", home, "aarch64-linux-gnu-gcc")
	m.env["CC_FOR_linux_arm64"] = "'" + filepath.Join(m.bin, "my cc") + "' -O3"
	check("'my cc' -O3", home, "aarch64-linux-gnu-gcc")
	m.env["SYSROOT_FOR_linux_arm64"] = "/srv/pi"
	check("'my cc' -O3 --sysroot=/srv/pi", home+" --sysroot=/srv/pi", "aarch64-linux-gnu-gcc --sysroot=/srv/pi")

	found, err := m.f.Find(t.Context(), parsed(t, "linux/arm64"))
	if err != nil || found[0].Family != User || found[0].From != "CC_FOR_linux_arm64" || !slices.Contains(found[0].Env, "PKG_CONFIG_SYSROOT_DIR=/srv/pi") {
		t.Errorf("%+v, %v", found, err)
	}
	m.env["CC_FOR_linux_arm64"] = "nowhere-gcc"
	_, err = m.f.Find(t.Context(), parsed(t, "linux/arm64"))
	missing := (*MissingError)(nil)
	if !errors.As(err, &missing) || missing.Reason != MissingUser || !slices.Equal(missing.Tried, []string{"nowhere-gcc --sysroot=/srv/pi"}) {
		t.Errorf("%v, %+v", err, missing)
	}
}

// The compilers that scripts/test-deps.sh installs, by their own names; each builds, links and runs here.
func TestFindReal(t *testing.T) {
	f := &Finder{Env: func(string) string { return "" }}
	for target, want := range map[string]struct{ cc, ran string }{
		"linux/" + runtime.GOARCH: {"gcc", "native"},
		"windows/amd64":           {"x86_64-w64-mingw32-gcc-posix", ""}, // wine takes long to start
		"linux/arm/v7":            {"arm-linux-gnueabihf-gcc", "qemu-arm"},
	} {
		found, err := f.Find(t.Context(), parsed(t, target))
		if err != nil {
			t.Errorf("%s: %v", target, err)
			continue
		}
		if found[0].CC[0] != want.cc || len(found[0].CXX) == 0 {
			t.Errorf("%s: %+v", target, found[0])
		}
		if want.ran == "" {
			continue
		}
		p, err := f.Try(t.Context(), found[0])
		if err != nil || !p.C || !p.CXX || p.Ran != want.ran {
			t.Errorf("%s: %+v, %v", target, p, err)
		}
	}
	p, err := f.Try(t.Context(), Compiler{Target: parsed(t, "linux/arm64"), CC: []string{"gcc", "-nostdinc"}})
	if err != nil || p.C || p.Ran != "" || !strings.Contains(p.Said, "stdio.h") {
		t.Errorf("without headers: %+v, %v", p, err)
	}
}

func TestEmulator(t *testing.T) {
	m := newMachine(t)
	for _, name := range []string{"qemu-aarch64-static", "qemu-ppc64le", "wine64"} {
		m.script(name, "")
	}
	m.script("gcc", "")
	root := filepath.Join(m.f.Home, "linux-arm64", "usr", "aarch64-linux-gnu")
	m.script(filepath.Join(root, "lib", "ld-linux-aarch64.so.1"), "")
	for target, want := range map[string]string{
		"linux/" + runtime.GOARCH: "native", "linux/arm64": "qemu-aarch64 " + filepath.Join(m.bin, "qemu-aarch64-static") + " -L " + root,
		"linux/ppc64le": "qemu-ppc64le " + filepath.Join(m.bin, "qemu-ppc64le"), "linux/s390x": "", "darwin/arm64": "", "windows/" + runtime.GOARCH: "wine " + filepath.Join(m.bin, "wine64"),
		"freebsd/amd64": "",
	} {
		if target == "linux/arm64" && runtime.GOARCH == "arm64" {
			continue
		}
		e, ok := m.f.Emulator(t.Context(), parsed(t, target))
		got := strings.Join(append([]string{e.Name}, e.Argv...), " ")
		if ok != (want != "") || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q %v, want %q", target, got, ok, want)
		}
	}
}

// zig is asked what it has, is started by goferry, and is the only one with a floor.
func TestFindZig(t *testing.T) {
	m := newMachine(t)
	m.script("zig", `case $1 in version) echo 0.13.0;; env) echo '{ "zig_exe": "'$0'" }';; targets) echo '{"libc": ["x86_64-linux-gnu", "x86_64-linux-musl", "x86_64-windows-gnu"]}';; esac`)
	m.f.Self = []string{"/usr/bin/goferry", "cgo", "cc"}
	zig := filepath.Join(m.bin, "zig")
	found, err := m.f.Find(t.Context(), parsed(t, "linux/amd64/gnu.2.17"))
	if err != nil || len(found) != 1 || found[0].Family != Zig || found[0].Version != "0.13.0" {
		t.Fatalf("%+v, %v", found, err)
	}
	want := []string{"/usr/bin/goferry", "cgo", "cc", "--zig=" + zig, "--zig-version=0.13.0", "cc", "-target", "x86_64-linux-gnu.2.17"}
	if !slices.Equal(found[0].CC, want) {
		t.Errorf("got %q, want %q", found[0].CC, want)
	}
	if _, err := m.f.Find(t.Context(), parsed(t, "freebsd/amd64")); err == nil {
		t.Error("this zig has nothing for freebsd")
	}
	if got := m.find("darwin/arm64"); len(got) != 1 || !strings.HasSuffix(got[0], "-target aarch64-macos") {
		t.Errorf("%q", got)
	}
	m.env["SDKROOT"] = "/sdk"
	if got := m.find("darwin/arm64"); len(got) != 1 || !strings.Contains(got[0], "-isysroot /sdk") {
		t.Errorf("%q", got)
	}
}

// To look what there is, zig is not made to compile the C library of each target.
func TestTryLean(t *testing.T) {
	m := newMachine(t)
	m.script("zig", `last=; for a; do if [ "$o" = -o ]; then : >"$a"; fi; o=$a; last=$a; done; case $last in -c) ;; *) echo linked >&2; exit 1;; esac`)
	c := Compiler{Target: parsed(t, "linux/s390x/musl"), Family: Zig, CC: []string{"zig", "cc"}, CXX: []string{"zig", "c++"}}
	if p, err := m.f.TryLean(t.Context(), c); err != nil || !p.C || !p.CXX || p.Ran != "" {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := m.f.Try(t.Context(), c); err != nil || p.C || p.Said != "linked" {
		t.Errorf("%+v, %v", p, err)
	}
}
