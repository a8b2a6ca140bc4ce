package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/goferry/goferry/internal/binary"
	"github.com/goferry/goferry/internal/text"
)

// codesIn are the words that match in the source of room binary, where they are codes for the texts.
func codesIn(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob("../../internal/binary/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(src, -1) {
			codes = append(codes, string(m[1]))
		}
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

// TestInspectCodes wants a message for every reason, every broken promise, everything that a file looks like, and every advice.
func TestInspectCodes(t *testing.T) {
	p := text.New(text.English)
	for prefix, want := range map[string]struct {
		codes []string
		least int
	}{
		"inspect.reason-":        {codesIn(t, `(?m)^\t[A-Z]\w+\s+= "([a-z-]+-[a-z]+)"\s+// `), 12},
		"inspect.unmet-":         {codesIn(t, `(?:code, detail = |return |code = )"([a-z]+-[a-z-]*[a-z])"`), 15},
		"inspect.error.looks-":   {codesIn(t, `Looks: "([a-z0-9-]+)"`), 5},
		"inspect.advice-":        {strings.Fields("pure-go static old-glibc static-c other-libc library dylib interpreter msvc static-dll static-dll-c old-go sign"), 13},
		"inspect.error.require-": {strings.Fields("unknown value platform"), 3},
	} {
		if len(want.codes) < want.least {
			t.Errorf("%s: only %v", prefix, want.codes)
		}
		for _, c := range want.codes {
			if !p.Has(prefix + c) {
				t.Errorf("no message %s%s", prefix, c)
			}
		}
	}
	for _, name := range []string{"pie", "nx", "relro", "stripped"} {
		if !p.Has("inspect.unmet-no-" + name) {
			t.Errorf("no message for a broken promise %s", name)
		}
	}
}

// blockOf is what people read of i.
func blockOf(lang, file string, i *binary.Info, verbose bool, promises ...string) string {
	var out bytes.Buffer
	a := &app{world: world{stdout: &out, stderr: &out, env: func(string) string { return "" }}, p: text.New(lang)}
	list, err := parseRequirements(promises)
	if err != nil {
		return err.Error()
	}
	f := inspectFile{File: file, Info: i, Verdicts: binary.Judge(i), Requirements: checkAll(list, i)}
	if err := a.showPrograms([]inspectFile{f}, verbose); err != nil {
		return err.Error()
	}
	return out.String()
}

// TestInspectHostile: a file names its libraries, symbols and settings itself, and a terminal must not obey it.
func TestInspectHostile(t *testing.T) {
	const evil = "x\x1b]0;owned\x07\x1b[2J\n\u202ey\x9b"
	yes := true
	i := &binary.Info{
		Format: binary.ELF, Kind: binary.Executable, OS: "linux", Arch: evil, Detail: evil, Interpreter: "/lib/" + evil, Libc: "gnu", RunPath: []string{evil},
		Libraries: []binary.Library{{Name: evil, Symbols: []string{evil}}}, Floors: []binary.Floor{{Name: "glibc", Version: "9" + evil, Symbols: []string{evil}}},
		Go:       &binary.GoInfo{Version: evil, Path: evil, Cgo: &yes, Tags: []string{evil}, LDFlags: evil, VCS: map[string]string{"vcs": evil, "revision": evil, "modified": "true"}, Settings: map[string]string{evil: evil}},
		Packages: []binary.Package{{Path: evil, Bytes: 1}},
	}
	for _, lang := range []string{text.English, text.Chinese} {
		for _, arch := range []string{evil, "amd64"} {
			for _, verbose := range []bool{false, true} {
				i.Arch = arch
				got := blockOf(lang, evil, i, verbose, "static", "glibc<=2.17", "runs-on=debian-8", "go>=1.26", "arch=arm64")
				if strings.ContainsAny(got, "\x1b\x07\u202e\u009b") || !utf8.ValidString(got) || strings.Contains(got, "\ny") {
					t.Errorf("a terminal would obey this:\n%q", got)
				}
				if !strings.Contains(got, "?]0;owned") {
					t.Errorf("the name is not shown:\n%s", got)
				}
			}
		}
	}
}

// TestInspectBlock: what people read of programs that are not made on the machine of the tests.
func TestInspectBlock(t *testing.T) {
	no, yes := false, true
	exe := &binary.Info{
		Format: binary.PE, Kind: binary.Executable, OS: "windows", Arch: "amd64", Size: 2_500_000,
		Libraries: []binary.Library{{Name: "KERNEL32.dll"}, {Name: "libwinpthread-1.dll"}, {Name: "d3d9.dll", Delayed: true}},
		Floors:    []binary.Floor{{Name: "windows", Version: "6.1"}}, Hardening: binary.Hardening{NX: &yes, ASLR: &yes, CFG: &no},
	}
	mac := &binary.Info{
		Format: binary.MachO, Kind: binary.Executable, OS: "darwin", Arch: "arm64", Floors: []binary.Floor{{Name: "macos", Version: "11.0"}},
		Libraries: []binary.Library{{Name: "/usr/lib/libSystem.B.dylib"}, {Name: "@rpath/libfoo.dylib"}}, Hardening: binary.Hardening{Signed: &no},
	}
	both := &binary.Info{Format: binary.Universal, Kind: binary.Executable, OS: "darwin", Members: []*binary.Info{mac, {Format: binary.MachO, Kind: binary.Executable, OS: "darwin", Arch: "amd64"}}}
	cpp := &binary.Info{
		Format: binary.ELF, Kind: binary.Executable, OS: "linux", Arch: "arm", Detail: "v7", Libc: "gnu", Interpreter: "/lib/ld-linux-armhf.so.3",
		Libraries: []binary.Library{{Name: "libstdc++.so.6"}, {Name: "libc.so.6"}, {Name: "libz.so.1"}},
		Floors:    []binary.Floor{{Name: "libstdc++", Version: "3.4.30", Symbols: []string{"a", "b", "c", "d"}}}, Go: &binary.GoInfo{Version: "go1.26.8"},
	}
	for _, tt := range []struct {
		i    *binary.Info
		want []string
	}{
		{exe, []string{"x: Windows program for amd64, 2.5 MB\n", "runs on          nowhere as it is\n", "does not run on  Windows, Windows Server: Windows does not bring libwinpthread-1.dll\n",
			"needs            KERNEL32.dll, libwinpthread-1.dll, d3d9.dll (on first use)\n", "protections      NX, ASLR; without CFG\n", "what helps       link them in (-static)"}},
		{mac, []string{"macOS 11–27: it has no signature", "codesign -s - x\n"}},
		{both, []string{"macOS program for arm64, amd64, 0 B\n", "runs on     macOS 10.13–26\n", "contains  "}[:2]},
		{cpp, []string{"Linux program for arm/v7, dynamic with glibc", "may run on       Debian 12+, Ubuntu 22.04+", ": it also needs libz.so.1\n", "it asks for GLIBCXX_3.4.30 (a, b, c, …)", "--target linux/arm/v7/musl --static"}},
	} {
		got := blockOf(text.English, "x", tt.i, false)
		flat := strings.Join(strings.Fields(got), " ")
		for _, want := range tt.want {
			if !strings.Contains(got, want) && !strings.Contains(flat, strings.Join(strings.Fields(want), " ")) {
				t.Errorf("no %q in\n%s", want, got)
			}
		}
		for line := range strings.Lines(got) {
			if n := text.Columns(strings.TrimSuffix(line, "\n")); n > helpColumns {
				t.Errorf("%d columns: %s", n, line)
			}
		}
	}
}

// TestAdvice: what helps depends on what is missing, and on what a file is.
func TestAdvice(t *testing.T) {
	pe := func(dlls ...string) *binary.Info {
		i := &binary.Info{Format: binary.PE, Kind: binary.Executable, OS: "windows", Arch: "amd64"}
		for _, d := range dlls {
			i.Libraries = append(i.Libraries, binary.Library{Name: d})
		}
		return i
	}
	library := &binary.Info{Format: binary.ELF, Kind: binary.Shared, OS: "linux", Arch: "amd64", Libc: "gnu", Libraries: []binary.Library{{Name: "libc.so.6"}},
		Floors: []binary.Floor{{Name: "glibc", Version: "2.34"}}, Go: &binary.GoInfo{Version: "go1.26.8", Cgo: new(true)}}
	for want, i := range map[string]*binary.Info{
		"msvc": pe("MSVCR90.dll", "msvcrt.dll"), "static-dll-c": pe("libwinpthread-1.dll", "msvcrt.dll"), "old-glibc other-libc": library,
	} {
		if got := strings.Join(adviceFor(i, binary.Judge(i)), " "); got != want {
			t.Errorf("%v: %q, want %q", i.Libraries, got, want)
		}
	}
}

// TestInspectFault: a file that changes is told from a damaged one, and its name is no order to a terminal.
func TestInspectFault(t *testing.T) {
	for _, tt := range []struct {
		err  error
		code string
	}{
		{fmt.Errorf("reading at byte 1: %w", io.ErrUnexpectedEOF), "inspect.error.changed"},
		{&binary.NotBinaryError{Looks: "debug"}, "inspect.error.looks-debug"},
		{errIrregular, "inspect.error.irregular"},
	} {
		var f *fault
		if err := binaryFault("x\x1b[2J", tt.err); !errors.As(err, &f) || f.code != tt.code || strings.Contains(fmt.Sprint(f.args...), "\x1b") {
			t.Errorf("%v: %#v", tt.err, f)
		}
	}
}

// TestRunsOnText: the short answer of a table.
func TestRunsOnText(t *testing.T) {
	a := &app{p: text.New(text.English)}
	program := func(os, libc, arch string, libs ...string) *binary.Info {
		i := &binary.Info{Format: binary.ELF, Kind: binary.Executable, OS: os, Arch: arch, Libc: libc, Static: len(libs) == 0}
		if libc != "" {
			i.Interpreter = map[string]string{"gnu": "/lib64/ld-linux-x86-64.so.2", "musl": "/lib/ld-musl-x86_64.so.1"}[libc]
		}
		for _, l := range libs {
			i.Libraries = append(i.Libraries, binary.Library{Name: l})
		}
		return i
	}
	for _, tt := range []struct {
		i    *binary.Info
		want string
	}{
		{program("linux", "", "amd64"), "every Linux"},
		{program("linux", "", "riscv64"), "every Linux"},
		{program("linux", "gnu", "amd64", "libc.so.6"), "Debian 8+, Ubuntu 14.04+, RHEL 7+"},
		{program("linux", "musl", "amd64", "libc.so"), "Alpine 3.12+"},
		{program("linux", "gnu", "amd64", "libc.so.6", "libfoo.so.1"), "nowhere as it is: it also needs libfoo.so.1"},
		{program("windows", "", "amd64", "kernel32.dll"), "Windows 7+"},
		{program("windows", "", "amd64", "foo.dll"), "nowhere as it is"},
		{program("windows", "", "arm64", "kernel32.dll"), "Windows 10+"},
		{program("darwin", "", "amd64", "/usr/lib/libSystem.B.dylib"), "macOS 10.13–26"}, {program("darwin", "", "arm64", "/usr/lib/libSystem.B.dylib"), "macOS 11+"},
		{program("linux", "", "vax"), ""}, {program("plan9", "", "amd64"), ""},
	} {
		if got := a.runsOnText(binary.Judge(tt.i)); got != tt.want {
			t.Errorf("%s %s: %q, want %q", tt.i.OS, tt.i.Libc, got, tt.want)
		}
	}
}
