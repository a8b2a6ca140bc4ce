package cgo

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// An Emulator starts programs of another system or architecture.
type Emulator struct {
	Name string   `json:"name"` // native, qemu-aarch64, wine
	Argv []string `json:"argv"` // before the program; empty for native
	Env  []string `json:"env,omitempty"`
}

// Emulator finds what starts programs of t here: nothing needed (native), qemu-user, wine; false if there is none.
//
// A program with musl that is not static starts only where musl is; that is for the caller to see.
func (f *Finder) Emulator(ctx context.Context, t Target) (Emulator, bool) {
	switch {
	case f.runsHere(t):
		return Emulator{Name: "native", Argv: []string{}}, true
	case t.OS == "linux" && runtime.GOOS == "linux":
		return f.qemu(t)
	case t.OS == "windows" && runtime.GOOS != "windows":
		return f.wine(t)
	}
	return Emulator{}, false
}

// runsHere says whether this system starts programs of t by itself.
func (f *Finder) runsHere(t Target) bool {
	if t.OS != runtime.GOOS {
		return false
	}
	switch {
	case t.Arch == runtime.GOARCH:
		return true
	case t.Arch == "386" && runtime.GOARCH == "amd64":
		return t.OS == "linux" || t.OS == "windows" || t.OS == "freebsd"
	case t.OS == "windows" && runtime.GOARCH == "arm64": // Windows 11 emulates both
		return t.Arch == "386" || t.Arch == "amd64"
	case t.OS == "darwin" && runtime.GOARCH == "arm64": // Rosetta
		_, err := os.Stat("/Library/Apple/usr/libexec/oah/libRosettaRuntime")
		return err == nil
	}
	return false
}

// qemu finds qemu-user, with the root in which a dynamic program finds its libraries.
func (f *Finder) qemu(t Target) (Emulator, bool) {
	cpu := cpuName(t)
	switch t.Arch {
	case "386":
		cpu = "i386"
	case "ppc64le", "ppc64":
		cpu = strings.Replace(cpu, "powerpc", "ppc", 1)
	}
	for _, name := range []string{"qemu-" + cpu, "qemu-" + cpu + "-static"} {
		path := f.program(nil, name)
		if path == "" {
			continue
		}
		e := Emulator{Name: "qemu-" + cpu, Argv: []string{path}}
		if root := f.libraries(t); root != "" && f.env("QEMU_LD_PREFIX") == "" {
			e.Argv = append(e.Argv, "-L", root)
		}
		return e, true
	}
	return Emulator{}, false
}

// libraries is a root in which the interpreter of t's programs lies: /lib/ld-linux-aarch64.so.1 in /usr/aarch64-linux-gnu.
func (f *Finder) libraries(t Target) string {
	triples, interpreter := gnuTriples(t), "ld-linux*.so*"
	if t.Libc == Musl {
		triples, interpreter = muslTriples(t), "ld-musl-*.so*"
	}
	if t.Arch == "ppc64le" || t.Arch == "s390x" || strings.HasPrefix(t.Arch, "mips") {
		interpreter = "ld*.so*"
	}
	roots := []string{}
	if root := f.sysroot(t); root != "" {
		roots = append(roots, root)
	}
	homes, _ := filepath.Glob(filepath.Join(f.Home, "*", "usr")) // none, if its name is no pattern
	for _, triple := range triples {
		for _, at := range append(homes, "/usr") {
			roots = append(roots, filepath.Join(at, triple), filepath.Join(at, triple, "sys-root"))
		}
	}
	for _, root := range roots {
		for _, lib := range []string{"lib", "lib64"} {
			if found, _ := filepath.Glob(filepath.Join(root, lib, interpreter)); len(found) > 0 {
				return root
			}
		}
	}
	return ""
}

// wine finds wine: of 64 bit for amd64, and with the DLLs of 32 bit for 386. It has no arm64 on machines of other kinds.
func (f *Finder) wine(t Target) (Emulator, bool) {
	if t.Arch != runtime.GOARCH && !(t.Arch == "386" && runtime.GOARCH == "amd64") {
		return Emulator{}, false
	}
	names := []string{"wine", "wine64", "wine-stable", "wine-development"}
	if t.Arch == "amd64" {
		names = []string{"wine64", "wine", "wine64-stable", "wine-stable", "wine-development"}
	}
	for _, name := range names {
		path := f.program(nil, name)
		if path == "" || t.Arch == "386" && !wine32(path) {
			continue
		}
		e := Emulator{Name: "wine", Argv: []string{path}}
		if f.env("WINEDEBUG") == "" { // it talks much to itself
			e.Env = append(e.Env, "WINEDEBUG=-all")
		}
		if f.env("WINEDLLOVERRIDES") == "" { // asks on the screen whether to fetch Mono and Gecko
			e.Env = append(e.Env, "WINEDLLOVERRIDES=mscoree,mshtml=")
		}
		return e, true
	}
	return Emulator{}, false
}

// wine32 says whether a wine of 64 bit has DLLs of 32 bit: as a second wine, or as WoW64.
func wine32(path string) bool {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	prefix := filepath.Dir(filepath.Dir(path))
	for _, glob := range []string{"/usr/lib/i386-linux-gnu/wine*", "/usr/lib/*/wine/i386-windows", "/usr/lib/wine/i386-windows", "/usr/lib64/wine/i386-windows", "/usr/lib32/wine", prefix + "/lib*/wine/i386-windows", prefix + "/lib/*/wine/i386-windows"} {
		if found, _ := filepath.Glob(glob); len(found) > 0 {
			return true
		}
	}
	return false
}
