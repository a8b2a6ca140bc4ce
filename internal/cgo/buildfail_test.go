package cgo

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/goferry/goferry/internal/gocmd"
)

// explained are texts of Go 1.26, gcc 12, clang 14 and GNU ld 2.40, and of lld and Apple's ld as their sources have them.
var explained = []struct {
	name, said             string
	cc, off                bool // a C compiler was at work; cgo was off and wanted
	code, file, what, line string
}{
	{name: "gcc for windows", cc: true, code: FailWrongCompiler,
		said: "# runtime/cgo\ngcc: error: unrecognized command-line option '-mthreads'; did you mean '-pthread'?\n"},
	{name: "gcc for arm64", cc: true, code: FailWrongCompiler,
		said: "# runtime/cgo\ngcc_arm64.S: Assembler messages:\ngcc_arm64.S:30: Error: no such instruction: `stp x29,x30,[sp,'\n"},
	{name: "gcc for riscv64", cc: true, code: FailWrongCompiler,
		said: "# runtime/cgo\ngcc_riscv64.S: Assembler messages:\ngcc_riscv64.S:18: Error: no such instruction: `addi sp,sp,-200'\n"},
	{name: "gcc for arm", cc: true, code: FailWrongCompiler,
		said: "# runtime/cgo\ngcc: error: unrecognized command-line option '-marm'; did you mean '-mabm'?\n"},
	{name: "gcc for darwin", cc: true, code: FailWrongCompiler,
		said: "# runtime/cgo\ngcc: error: unrecognized command-line option '-arch'\n"},
	{name: "clang for arm64", cc: true, code: FailWrongCompiler, file: "gcc_arm64.S:30:19",
		said: "# runtime/cgo\ngcc_arm64.S:30:19: error: expected ']' in brackets expression\n stp x29, x30, [sp, #-96]!\n"},
	{name: "arm64 for amd64", cc: true, code: FailWrongCompiler,
		said: "# runtime/cgo\naarch64-linux-gnu-gcc: error: unrecognized command-line option '-m64'\n"},
	{name: "no libc of 32 bits", cc: true, code: FailNoLibc, what: "bits/libc-header-start.h",
		said: "# runtime/cgo\nIn file included from _cgo_export.c:3:\n/usr/include/stdlib.h:26:10: fatal error: bits/libc-header-start.h: No such file or directory\n"},
	{name: "clang without windows", cc: true, code: FailNoLibc, what: "windows.h",
		said: "# runtime/cgo\ngcc_libinit_windows.c:10:10: fatal error: 'windows.h' file not found\n"},
	{name: "no crt1", cc: true, code: FailNoLibc, what: "Scrt1.o", said: "# x\n/usr/bin/ld: cannot find Scrt1.o: No such file or directory\n"},
	{name: "no compiler", cc: true, code: FailNoCompiler, what: "nothing-gcc",
		said: "# runtime/cgo\ncgo: C compiler \"nothing-gcc\" not found: exec: \"nothing-gcc\": executable file not found in $PATH\n"},
	{name: "header, gcc", cc: true, code: FailHeader, file: "main.go:3:11", what: "nowhere/odd.h",
		said: "# example.com/app\n./main.go:3:11: fatal error: nowhere/odd.h: No such file or directory\n    3 | // #include <nowhere/odd.h>\n"},
	{name: "header, clang", cc: true, code: FailHeader, file: "main.go:3:11", what: "nowhere/odd.h",
		said: "# example.com/app\n./main.go:3:11: fatal error: 'nowhere/odd.h' file not found\n"},
	{name: "library, GNU ld", cc: true, code: FailLibrary, what: "-lnowhere",
		said: "# example.com/app\nlink: running gcc failed: exit status 1\n/usr/bin/gcc -m64 -lnowhere\n/usr/bin/ld: cannot find -lnowhere: No such file or directory\n"},
	{name: "library, lld", cc: true, code: FailLibrary, what: "-lnowhere", said: "ld.lld: error: unable to find library -lnowhere\n"},
	{name: "library, Apple", cc: true, code: FailLibrary, what: "nowhere", said: "ld: library 'nowhere' not found\n"},
	{name: "library, zig", cc: true, code: FailLibrary, what: "nowhere", said: "error: unable to find dynamic system library 'nowhere' using strategy 'paths_first'\n"},
	{name: "pkg-config", cc: true, code: FailPkgConfig, what: "nowhere",
		said: "# example.com/app\n# [pkg-config --cflags  -- nowhere]\nPackage nowhere was not found in the pkg-config search path.\n"},
	{name: "no pkg-config", cc: true, code: FailPkgConfig, what: "pkg-config",
		said: "# example.com/app\n# [pkg-config --cflags  -- zlib]\npkg-config: exec: \"pkg-config\": executable file not found in $PATH\n"},
	{name: "framework, zig", cc: true, code: FailFramework, what: "Security", said: "# example.com/app\nlink: running zig failed: exit status 1\nerror: unable to find framework 'Security'. searched paths:  none\n"},
	{name: "libresolv, zig", cc: true, code: FailFramework, what: "_res_9_nclose", said: "# example.com/app\nlink: running zig failed: exit status 1\nerror: undefined symbol: _res_9_nclose\n    note: referenced by go.o:__TEXT$__text\n"},
	{name: "framework, Apple", cc: true, code: FailFramework, what: "Odd", said: "ld: framework 'Odd' not found\n"},
	{name: "framework, old ld, lld", cc: true, code: FailFramework, what: "Odd", said: "ld64.lld: error: framework not found for -framework Odd\nld: framework not found Odd\n"},
	{name: "static glibc by zig", cc: true, code: FailStaticGlibc, said: "# example.com/app\nlink: running zig failed: exit status 1\nerror: libc of the specified target requires dynamic linking\n"},
	{name: "symbol, GNU ld", cc: true, code: FailSymbol, what: "one",
		said: "# example.com/app\n/usr/bin/ld: /tmp/000001.o: in function `_cgo_4ca1db4b00de_Cfunc_one':\nmain.cgo2.c:54: undefined reference to `one'\n"},
	{name: "symbol, lld", cc: true, code: FailSymbol, what: "one", said: "ld.lld: error: undefined symbol: one\n"},
	{name: "symbol, Apple", cc: true, code: FailSymbol, what: "_one", said: "Undefined symbols for architecture arm64:\n  \"_one\", referenced from:\n"},
	{name: "C, gcc", cc: true, code: FailC, file: "b.c:3:16", line: "b.c:3:16: error: 'nonsense' undeclared (first use in this function)",
		said: "# example.com/app\nb.c: In function 'one':\nb.c:3:16: error: 'nonsense' undeclared (first use in this function)\n    3 |         return nonsense;\n"},
	{name: "C name", cc: true, code: FailC, file: "main.go:6:32", what: "two", said: "# example.com/app\n./main.go:6:32: could not determine what C.two refers to\n"},
	{name: "Go", code: FailGo, file: "main.go:3:23", said: "# example.com/app\n./main.go:3:23: undefined: nonsense\n"},
	{name: "Go without cgo", off: true, code: FailCgoOff, what: "value", said: "# example.com/app\n./main.go:3:23: undefined: value\n"},
	{name: "all files need cgo", off: true, code: FailCgoOff, what: "/src/app",
		said: "package example.com/app: build constraints exclude all Go files in /src/app\n"},
	{name: "no file for the target", code: FailConstraints, what: "/src/app", said: "package example.com/app\n\timports example.com/b: build constraints exclude all Go files in /src/app\n"},
	{name: "module", code: FailModules, said: "main.go:3:8: no required module provides package example.com/nowhere; to add it:\n\tgo get example.com/nowhere\n"},
	{name: "go.sum", code: FailModules, said: "main.go:3:8: missing go.sum entry for module providing package example.com/a (imported by example.com/app); to add:\n"},
	{name: "no program", code: FailNoMain, said: "go: no main packages to build\n"},
	{name: "no folder", code: FailPackages, said: "stat /src/app/nowhere: directory not found\n"},
	{name: "not in std", code: FailPackages, said: "package fmtx is not in std (/usr/local/go/src/fmtx)\n"},
	{name: "no project", code: FailNoProject, said: "go: go.mod file not found in current directory or any parent directory; see 'go help modules'\n"},
	{name: "disk, after other errors", cc: true, code: FailDisk,
		said: "# runtime\ngo: downloading x v1\nb.c:3:16: error: odd\nfatal error: error writing to -: No space left on device\n"},
	{name: "disk of Windows", code: FailDisk, said: "go: writing C:\\x: There is not enough space on the disk.\n"},
	{name: "something else", code: FailOther, line: "go: this is new", said: "go: downloading x v1\ngo: this is new\n"},
	{name: "nothing", code: FailOther, said: ""},
}

func TestExplainGo(t *testing.T) {
	for _, test := range explained {
		t.Run(test.name, func(t *testing.T) {
			var c *Compiler
			if test.cc {
				c = &Compiler{CC: []string{"gcc"}, Family: User, From: "CC"}
			}
			f := explainGo(test.said, c, test.off)
			if f.Code != test.code || f.Name != test.what || test.file != "" && f.File != test.file {
				t.Errorf("code %q, file %q, name %q, want %q, %q, %q", f.Code, f.File, f.Name, test.code, test.file, test.what)
			}
			if len(f.Lines) == 0 || test.line != "" && f.Lines[0] != test.line {
				t.Errorf("lines %q, want %q first", f.Lines, test.line)
			}
			if test.cc && f.Compiler != "gcc" {
				t.Errorf("compiler %q", f.Compiler)
			}
		})
	}
}

// TestStaticLibrary tells a C library that is not there from one that is there without its static half.
func TestStaticLibrary(t *testing.T) {
	for _, c := range []struct{ said, code, what string }{
		{"/usr/bin/ld: cannot find -lc\ncollect2: error: ld returned 1 exit status\n", FailNoStaticLibc, "-lc"},
		{"/usr/bin/ld: cannot find -lm: No such file or directory\n", FailNoStaticLibc, "-lm"},
		{"/usr/bin/ld: cannot find -lstdc++\n", FailNoStaticLibc, "-lstdc++"},
		{"/usr/bin/ld: cannot find -lnowhere\n", FailLibrary, "-lnowhere"},
		{"/usr/bin/ld: cannot find Scrt1.o: No such file or directory\n", FailNoLibc, "Scrt1.o"},
	} {
		f := explainGo("# example.com/app\n"+c.said, &Compiler{CC: []string{"gcc"}}, false)
		if f.ofStatic(); f.Code != c.code || f.Name != c.what {
			t.Errorf("%s: %s, %s, want %s, %s", c.said, f.Code, f.Name, c.code, c.what)
		}
	}
}

// TestOutOfRoom tells a machine that is full from a compiler that is not there.
func TestOutOfRoom(t *testing.T) {
	for _, c := range []struct {
		err  error
		code string
	}{
		{&gocmd.ToolError{Name: "gcc", Err: fs.ErrNotExist}, FailNoCompiler},
		{&gocmd.ToolError{Name: "gcc", Err: &fs.PathError{Op: "fork/exec", Path: "/usr/bin/gcc", Err: syscall.ENOENT}}, FailNoCompiler},
		{&gocmd.ToolError{Name: "gcc", Err: &fs.PathError{Op: "fork/exec", Path: "/usr/bin/gcc", Err: syscall.EAGAIN}}, FailOther},
		{fmt.Errorf("probe: %w", &gocmd.ToolError{Name: "gcc", Err: os.NewSyscallError("pipe2", syscall.EMFILE)}), FailOther},
	} {
		if f := missing(c.err, nil); f.Code != c.code || f.Code == FailOther && !strings.Contains(f.Lines[0], "gcc") {
			t.Errorf("%v: %s, %q, want %s", c.err, f.Code, f.Lines, c.code)
		}
	}
}

// FuzzExplainGo wants a code and a few lines for whatever a tool says.
func FuzzExplainGo(f *testing.F) {
	for _, test := range explained {
		f.Add(test.said, test.cc, test.off)
	}
	f.Fuzz(func(t *testing.T, said string, cc, off bool) {
		var c *Compiler
		if cc {
			c = &Compiler{CC: []string{"gcc"}}
		}
		failure := explainGo(said, c, off)
		if failure.Code == "" || len(failure.Lines) == 0 || len(failure.Lines) > shownLines || failure.Error() == "" {
			t.Errorf("%q: %+v", said, failure)
		}
		if failure.Code == FailCgoOff && !off || failure.Code == FailWrongCompiler && !cc {
			t.Errorf("%q: %s", said, failure.Code)
		}
		for _, line := range failure.Lines {
			if !strings.Contains(said, strings.TrimSpace(line)) {
				t.Errorf("%q: nobody said %q", said, line)
			}
		}
	})
}
