package cgo

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/goferry/goferry/internal/gocmd"
)

// A sight is what a compiler says of itself when it is let loose on lookSource.
type sight struct {
	os, arch string // as GOOS and GOARCH; "" if it did not say
	libc     string
	glibc    string // version
	clang    bool
	version  string
	headers  bool // it works, and finds no stdio.h
}

// lookSource has one line for each thing that a compiler's macros tell. The headers of the C library come first: they say which it is.
// Words are strings: linux is a macro itself.
const lookSource = `#include <stdio.h>
#include <stddef.h>
` + lookMacros

const lookMacros = `
#if defined(__ANDROID__)
goferry os "android"
goferry libc "bionic"
#elif defined(__linux__)
goferry os "linux"
# if defined(__UCLIBC__)
goferry libc "uclibc"
# elif defined(__GLIBC__)
goferry libc "gnu"
goferry glibc __GLIBC__ __GLIBC_MINOR__
# else
goferry libc "musl"
# endif
#elif defined(_WIN32)
goferry os "windows"
# if defined(_UCRT)
goferry libc "ucrt"
# else
goferry libc "msvcrt"
# endif
#elif defined(__APPLE__)
goferry os "darwin"
#elif defined(__FreeBSD__)
goferry os "freebsd"
#elif defined(__NetBSD__)
goferry os "netbsd"
#elif defined(__OpenBSD__)
goferry os "openbsd"
#elif defined(__DragonFly__)
goferry os "dragonfly"
#elif defined(__sun)
goferry os "solaris"
#elif defined(_AIX)
goferry os "aix"
#endif
#if defined(__x86_64__)
goferry arch "amd64"
#elif defined(__i386__)
goferry arch "386"
#elif defined(__aarch64__)
goferry arch "arm64"
#elif defined(__arm__)
goferry arch "arm"
#elif defined(__riscv) && __riscv_xlen == 64
goferry arch "riscv64"
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
goferry arch "ppc64le"
#elif defined(__powerpc64__)
goferry arch "ppc64"
#elif defined(__s390x__)
goferry arch "s390x"
#elif defined(__loongarch64)
goferry arch "loong64"
#elif defined(__mips64) && defined(__MIPSEL__)
goferry arch "mips64le"
#elif defined(__mips64)
goferry arch "mips64"
#elif defined(__mips__) && defined(__MIPSEL__)
goferry arch "mipsle"
#elif defined(__mips__)
goferry arch "mips"
#endif
#if defined(__clang__)
goferry clang __clang_major__ __clang_minor__ __clang_patchlevel__
#elif defined(__GNUC__)
goferry gcc __GNUC__ __GNUC_MINOR__ __GNUC_PATCHLEVEL__
#endif
`

// archFlags are what the go command gives a C compiler for t. Source: gccArchArgs in cmd/go/internal/work.
func archFlags(t Target) []string {
	switch t.Arch {
	case "386":
		return []string{"-m32"}
	case "amd64":
		if t.OS == "darwin" {
			return []string{"-arch", "x86_64", "-m64"}
		}
		return []string{"-m64"}
	case "arm64":
		if t.OS == "darwin" {
			return []string{"-arch", "arm64"}
		}
	case "arm":
		return []string{"-marm"}
	case "s390x":
		return []string{"-m64", "-march=z13"}
	case "mips64", "mips64le":
		return []string{"-mabi=64", floatFlag(t)}
	case "mips", "mipsle":
		return []string{"-mabi=32", "-march=mips32", floatFlag(t)}
	case "loong64":
		return []string{"-mabi=lp64d"}
	}
	return nil
}

func floatFlag(t Target) string {
	if t.Variant == "softfloat" {
		return "-msoft-float"
	}
	return "-mhard-float"
}

// look asks a compiler what it compiles for, as the go command would start it for t. One that cannot say is a zero sight.
func (f *Finder) look(ctx context.Context, cc []string, t Target) (*sight, error) {
	args := slices.Concat(cc[1:], archFlags(t), []string{"-E", "-P", "-x", "c", "-"})
	key := strings.Join(append([]string{cc[0]}, args...), "\x00")
	f.mu.Lock()
	if f.once == nil {
		f.once, f.seen = map[string]*sync.Mutex{}, map[string]*sight{}
	}
	one := f.once[key]
	if one == nil {
		one = new(sync.Mutex)
		f.once[key] = one
	}
	f.mu.Unlock()
	one.Lock()
	defer one.Unlock()
	f.mu.Lock()
	s := f.seen[key]
	f.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := f.lookAt(ctx, cc[0], args)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.seen[key] = s
	f.mu.Unlock()
	return s, nil
}

func (f *Finder) lookAt(ctx context.Context, cc string, args []string) (*sight, error) {
	for _, source := range []string{lookSource, lookMacros} {
		res, err := f.runner().Run(ctx, gocmd.Cmd{Name: cc, Args: args, Stdin: strings.NewReader(source), Env: []string{"LC_ALL=C"}})
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if outOfRoom(err) {
			return nil, err // says nothing of the compiler
		}
		if err != nil {
			return &sight{}, nil // it cannot be started: no compiler
		}
		if res.ExitCode != 0 {
			continue
		}
		s := readSight(res.Stdout)
		if source == lookMacros {
			s = &sight{clang: s.clang, version: s.version, headers: true}
		}
		return s, nil
	}
	return &sight{}, nil
}

// readSight reads the lines of lookMacros.
func readSight(out []byte) *sight {
	var s sight
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 3 || words[0] != "goferry" {
			continue
		}
		value := strings.Trim(strings.Join(words[2:], "."), `"`)
		switch words[1] {
		case "os":
			s.os = value
		case "arch":
			s.arch = value
		case "libc":
			s.libc = value
		case "glibc":
			s.glibc = value
		case "clang", "gcc":
			s.clang, s.version = words[1] == "clang", value
		}
	}
	return &s
}

// pkgConfig is what keeps the libraries of this machine out of a build for another: pkg-config of the target where there is
// one, else the folders where its libraries would be. What the user says of pkg-config is left alone.
func (f *Finder) pkgConfig(t Target, c candidate, got Compiler) []string {
	if own := f.env("PKG_CONFIG_FOR_" + t.OS + "_" + t.Arch); own != "" {
		return []string{"PKG_CONFIG=" + own}
	}
	native := t.OS == runtime.GOOS && t.Arch == runtime.GOARCH && c.triple == "" && c.root == ""
	if native || f.env("PKG_CONFIG") != "" || f.env("PKG_CONFIG_LIBDIR") != "" {
		return nil
	}
	if c.root != "" {
		var dirs []string
		for _, dir := range []string{"usr/lib/" + c.triple, "usr/lib64", "usr/lib", "usr/share", "usr/local/lib", "lib"} {
			dirs = append(dirs, filepath.Join(c.root, filepath.FromSlash(dir), "pkgconfig"))
		}
		return []string{"PKG_CONFIG_SYSROOT_DIR=" + c.root, "PKG_CONFIG_LIBDIR=" + strings.Join(dirs, string(filepath.ListSeparator))}
	}
	triple := cmp.Or(c.triple, strings.TrimSuffix(strings.TrimSuffix(filepath.Base(got.Where), "-gcc"), "-clang"))
	if t.OS == "linux" && t.Arch == "386" && c.triple == "" {
		triple = "i386-linux-gnu"
	}
	if p := f.program(nil, triple+"-pkg-config"); p != "" {
		return []string{"PKG_CONFIG=" + triple + "-pkg-config"}
	}
	dirs := []string{"/usr/lib/" + triple + "/pkgconfig", "/usr/" + triple + "/lib/pkgconfig"}
	if t.OS == "windows" { // Fedora
		dirs = append(dirs, "/usr/"+triple+"/sys-root/mingw/lib/pkgconfig")
	}
	if where := filepath.Dir(filepath.Dir(got.Where)); where != "/usr" {
		dirs = append(dirs, filepath.Join(where, triple, "lib", "pkgconfig"))
	}
	return []string{"PKG_CONFIG_LIBDIR=" + strings.Join(dirs, string(filepath.ListSeparator))}
}
