package cgo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goferry/goferry/internal/gocmd"
)

// A Probe is what trying a compiler gave.
type Probe struct {
	C, CXX bool   // compiles and links a program
	Ran    string // the program was started: native, qemu-aarch64, wine …; "" if nothing here can
	Said   string // what the compiler said where something fails
}

// The programs of a Probe. They use what cgo programs do: a thread, and in C++ the library and an exception.
const (
	probeC = `#include <stdio.h>
#ifndef _WIN32
#include <pthread.h>
static void *thread(void *arg) { *(int *)arg = 3; return 0; }
#endif
int main(void) {
	int n = 3;
#ifndef _WIN32
	pthread_t t;
	n = 0;
	if (pthread_create(&t, 0, thread, &n) || pthread_join(t, 0)) return 2;
#endif
	printf("goferry probe %d\n", n);
	return 0;
}
`
	probeCXX = `#include <cstdio>
#include <stdexcept>
#include <string>
int main(int argc, char **) {
	try {
		throw std::runtime_error(std::string("goferry"));
	} catch (const std::exception &e) {
		std::printf("%s probe %d\n", e.what(), argc + 2);
	}
	return 0;
}
`
	probeSays = "goferry probe 3"
)

// Try compiles, links and, where possible, starts a program in C and one in C++. A compiler that fails is no error: Said has why.
//
// The program in C is started; if it is dynamic and its libraries are not on this machine, a static one is. With zig nothing is
// linked in C++, whose library it has always, and would compile for minutes.
func (f *Finder) Try(ctx context.Context, c Compiler) (Probe, error) { return f.try(ctx, c, true) }

// TryLean is Try, but for zig: that compiles only, and starts nothing. To link, zig first compiles the C library of the target, which takes a
// minute for each, and which it has if it says so.
func (f *Finder) TryLean(ctx context.Context, c Compiler) (Probe, error) {
	return f.try(ctx, c, c.Family != Zig)
}

func (f *Finder) try(ctx context.Context, c Compiler, link bool) (p Probe, err error) {
	dir, err := os.MkdirTemp("", "goferry-cc-")
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	out := "probe.exe"
	if !link {
		out = "probe.o"
	}
	ok, said, err := f.compile(ctx, c, c.CC, dir, "probe.c", probeC, out)
	if err != nil || !ok {
		p.Said = said
		return p, err
	}
	p.C = true
	if len(c.CXX) > 0 {
		out := "probexx.exe"
		if c.Family == Zig {
			out = "probexx.o"
		}
		ok, said, err := f.compile(ctx, c, c.CXX, dir, "probe.cc", probeCXX, out)
		if err != nil {
			return p, err
		}
		if p.CXX = ok; !ok {
			p.Said = said
		}
	}
	if link {
		p.Ran, err = f.start(ctx, c, dir)
	}
	return p, err
}

// compile makes out of source in dir; said is what the compiler wrote if it could not.
func (f *Finder) compile(ctx context.Context, c Compiler, words []string, dir, name, source, out string, flags ...string) (ok bool, said string, err error) {
	if err := os.WriteFile(filepath.Join(dir, name), []byte(source), 0o600); err != nil {
		return false, "", err
	}
	args := slices.Concat(words[1:], archFlags(c.Target), []string{"-o", out, name}, flags)
	if strings.HasSuffix(out, ".o") {
		args = append(args, "-c")
	} else if c.Target.OS != "windows" && c.Target.OS != "darwin" {
		args = append(args, "-pthread")
	}
	res, err := f.runner().Run(ctx, gocmd.Cmd{Name: words[0], Args: args, Dir: dir, Env: []string{"LC_ALL=C"}})
	switch {
	case ctx.Err() != nil:
		return false, "", context.Cause(ctx)
	case err != nil:
		return false, err.Error(), nil
	case res.ExitCode != 0:
		said = firstLines(string(res.Stderr), 5)
		if said == "" {
			said = fmt.Sprintf("exit code %d", res.ExitCode)
		}
		return false, said, nil
	}
	if _, err := os.Stat(filepath.Join(dir, out)); err != nil {
		return false, filepath.Base(words[0]) + " wrote no " + out, nil
	}
	return true, "", nil
}

// start starts the program in C, and names what it was started with.
func (f *Finder) start(ctx context.Context, c Compiler, dir string) (string, error) {
	e, ok := f.Emulator(ctx, c.Target)
	if !ok {
		return "", nil
	}
	if ok, err := f.startOne(ctx, e, filepath.Join(dir, "probe.exe")); ok || err != nil || c.Target.OS != "linux" {
		if !ok {
			return "", err
		}
		return e.Name, nil
	}
	ok, _, err := f.compile(ctx, c, c.CC, dir, "probe.c", probeC, "static.exe", "-static")
	if err != nil || !ok {
		return "", err
	}
	if ok, err = f.startOne(ctx, e, filepath.Join(dir, "static.exe")); !ok {
		return "", err
	}
	return e.Name, nil
}

// byCPU puts compilers whose C library is made for newer processors than t behind the others: Debian's compiler for
// armhf takes -march=armv6, and what it links is for v7 nevertheless. What it links is what tells.
func (f *Finder) byCPU(ctx context.Context, t Target, found []Compiler) ([]Compiler, error) {
	if level := cpuLevel(t); t.Arch != "arm" || level == "" || level == "v7" || len(found) < 2 {
		return found, nil
	}
	var good, newer []Compiler
	for _, c := range found {
		cpu, err := f.linkedCPU(ctx, c)
		switch {
		case err != nil:
			return nil, err
		case newerCPU(t, cpu):
			newer = append(newer, c)
		default:
			good = append(good, c)
		}
	}
	return append(good, newer...), nil
}

// linkedCPU is the processor that a program of c asks for; "" if it does not say, or is not to be asked: the user's own stays
// where it is, and zig would compile its C library first.
func (f *Finder) linkedCPU(ctx context.Context, c Compiler) (cpu string, err error) {
	if c.Family == User || c.Family == Zig {
		return "", nil
	}
	dir, err := os.MkdirTemp("", "goferry-cc-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if ok, _, err := f.compile(ctx, c, c.CC, dir, "probe.c", probeC, "probe.exe"); err != nil || !ok {
		return "", err
	}
	out, failure := look(filepath.Join(dir, "probe.exe"), c.Target, nil)
	if failure != nil || out.Info == nil { // it links something else
		return "", nil
	}
	return out.Info.CPU, nil
}

func (f *Finder) startOne(ctx context.Context, e Emulator, program string) (bool, error) {
	argv := append(slices.Clone(e.Argv), program)
	res, err := f.runner().Run(ctx, gocmd.Cmd{Name: argv[0], Args: argv[1:], Dir: filepath.Dir(program), Env: e.Env})
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	return err == nil && res.ExitCode == 0 && strings.TrimSpace(string(res.Stdout)) == probeSays, nil
}

// firstLines are the first n lines of text that say something.
func firstLines(text string, n int) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && len(lines) < n {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}
