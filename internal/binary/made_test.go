package binary_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/goferry/goferry/internal/binary"
)

// What the tests read is made by real compilers, once for all tests.
const (
	programC = `#include <stdio.h>
#include <string.h>
#include <stdlib.h>
int main(int argc, char **argv) {
	char b[64];
	strncpy(b, argv[0], sizeof b - 1);
	b[63] = 0;
	printf("hello %s %d\n", b, atoi(b));
	return 0;
}
`
	programCC = `#include <iostream>
#include <stdexcept>
#include <thread>
int main() {
	try { throw std::runtime_error("x"); } catch (std::exception &e) { std::cout << e.what() << std::endl; }
	std::thread t([] { std::cout << "thread" << std::endl; });
	t.join();
}
`
	libraryC  = "int answer(void) { return 42; }\n"
	programGo = "package main\n\nfunc main() { println(\"hello\") }\n"
	laterC    = "int byname(void); int bynumber(void);\nvoid *__delayLoadHelper2(void *a, void *b) { return 0; }\nint start(void) { return byname() + bynumber(); }\n"
	laterDLL  = "int byname(void) { return 1; }\nint bynumber(void) { return 2; }\n"
	laterDef  = "LIBRARY later.dll\nEXPORTS\n  byname\n  bynumber @7 NONAME\n"
	appleC    = "int puts(const char *);\nint main(void) { return puts(\"hello\"); }\n"
	appleStub = `--- !tapi-tbd
tbd-version: 4
targets: [ x86_64-macos, arm64-macos ]
install-name: '/usr/lib/libSystem.B.dylib'
current-version: 1311
exports:
  - targets: [ x86_64-macos, arm64-macos ]
    symbols: [ _puts, dyld_stub_binder ]
...
`
	programCg = "package main\n\n// static int answer(void) { return 42; }\nimport \"C\"\n\nfunc main() { println(C.answer()) }\n"
)

// run runs a tool and returns what it writes.
func run(t testing.TB, env []string, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), append(env, "LC_ALL=C", "GOFLAGS=", "GOWORK=off", "GOTOOLCHAIN=local")...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out.String()
}

// made is the folder of what has been made, kept for all tests of one run.
var made struct {
	sync.Mutex
	dir  string
	done map[string]bool
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "goferry-binary-")
	if err != nil {
		panic(err)
	}
	for name, text := range map[string]string{
		"p.c": programC, "p.cc": programCC, "l.c": libraryC, "later.c": laterC, "laterdll.c": laterDLL, "later.def": laterDef, "apple.c": appleC, "libSystem.tbd": appleStub,
		"go/main.go": programGo, "go/go.mod": "module example.com/tiny\n\ngo 1.26\n",
		"cgo/main.go": programCg, "cgo/go.mod": "module example.com/with-c\n\ngo 1.26\n",
		"escaped/go.mod": "module example.com/yaml.v3\n\ngo 1.26\n", "escaped/main.go": "package main\n\nimport \"example.com/yaml.v3/a.b\"\n\nfunc main() { b.Say() }\n",
		"escaped/a.b/b.go": "package b\n\n//go:noinline\nfunc Say() { println(\"hello\") }\n",
	} {
		_ = os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			panic(err)
		}
	}
	made.dir, made.done = dir, map[string]bool{}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// compile makes name with a compiler, if it has not been made: "{}" in args is the file.
func compile(t testing.TB, name string, args ...string) string {
	t.Helper()
	made.Lock()
	defer made.Unlock()
	file := filepath.Join(made.dir, name)
	if !made.done[name] {
		run(t, nil, made.dir, append(args, "-o", file)...)
		made.done[name] = true
	}
	return file
}

// goBuild builds one of the Go programs for os/arch.
func goBuild(t testing.TB, name, program, target string, env []string, args ...string) string {
	t.Helper()
	made.Lock()
	defer made.Unlock()
	file := filepath.Join(made.dir, name)
	if !made.done[name] {
		system, arch, _ := strings.Cut(target, "/")
		env = append([]string{"GOOS=" + system, "GOARCH=" + arch, "CGO_ENABLED=0"}, env...)
		run(t, env, filepath.Join(made.dir, program), append(append([]string{"go", "build", "-trimpath", "-o", file}, args...), ".")...)
		made.done[name] = true
	}
	return file
}

// read reads a program that must be readable.
func read(t testing.TB, file string) *binary.Info {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	i, err := binary.Read(f, s.Size())
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return i
}

// goroot is where the go command's own test data are: programs by compilers that are not here.
func goroot(t testing.TB, name string) string {
	t.Helper()
	return filepath.Join(strings.TrimSpace(run(t, nil, "", "go", "env", "GOROOT")), "src", filepath.FromSlash(name))
}
