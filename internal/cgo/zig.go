package cgo

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goferry/goferry/internal/gocmd"
)

// A zigInfo is what a zig says of itself.
type zigInfo struct {
	exe     string   // the program itself, not what npm or snap start it with
	version string   // 0.16.0
	targets []string // that it has a C library for: x86_64-linux-musl
}

var (
	zigExe     = regexp.MustCompile(`"?\.?zig_exe"?\s*[:=]\s*"((?:[^"\\]|\\.)*)"`)
	zigVersion = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+[-+.0-9A-Za-z]*$`)
	zigTarget  = regexp.MustCompile(`"([a-z0-9_]+-[a-z0-9]+-[a-z0-9]+)"`)
)

// zig asks a zig what it is and has; nil if it is none.
func (f *Finder) zig(ctx context.Context, path string) (*zigInfo, error) {
	f.mu.Lock()
	z, ok := f.zigs[path]
	f.mu.Unlock()
	if ok {
		return z, nil
	}
	ask := func(name string, args ...string) string {
		res, err := f.runner().Run(ctx, gocmd.Cmd{Name: name, Args: args})
		if err != nil || res.ExitCode != 0 {
			return ""
		}
		return string(res.Stdout)
	}
	z = &zigInfo{exe: path, version: strings.TrimSpace(ask(path, "version"))}
	if m := zigExe.FindStringSubmatch(ask(path, "env")); m != nil {
		exe := strings.ReplaceAll(m[1], `\\`, `\`)
		if info, err := os.Stat(exe); err == nil && info.Mode().IsRegular() {
			z.exe = exe
		}
	}
	// Releases before 0.14 write JSON, later ones ZON; the names are strings in both.
	for _, m := range zigTarget.FindAllStringSubmatch(ask(z.exe, "targets"), -1) {
		z.targets = append(z.targets, m[1])
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if !zigVersion.MatchString(z.version) || len(z.targets) == 0 {
		z = nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.zigs == nil {
		f.zigs = map[string]*zigInfo{}
	}
	f.zigs[path] = z
	return z, nil
}

// ofZig is zig for t, where there is one that has its C library.
func (f *Finder) ofZig(ctx context.Context, t Target) ([]Compiler, error) {
	from, path := "PATH", f.program(nil, "zig")
	if path == "" {
		globs := []string{filepath.Join(f.Home, "zig*"), filepath.Join(f.Home, "*", "bin")}
		for _, at := range []string{"/opt", "/usr/local", f.env("HOME"), f.env("USERPROFILE"), "/opt/homebrew/bin"} {
			globs = append(globs, filepath.Join(at, "zig*"))
		}
		for _, glob := range globs {
			if !filepath.IsAbs(glob) {
				continue
			}
			dirs, _ := filepath.Glob(glob) // none, if a folder's name is no pattern
			if path = f.program(append(dirs, "/opt/homebrew/bin"), "zig"); path != "" {
				from = filepath.Dir(path)
				break
			}
		}
	}
	if path == "" {
		return nil, nil
	}
	z, err := f.zig(ctx, path)
	if z == nil || err != nil {
		return nil, err
	}
	triple, libc := zigTriple(t)
	if triple == "" || !z.has(triple) {
		return nil, nil
	}
	if t.Floor != "" {
		triple += "." + t.Floor
	}
	c := Compiler{Target: t, Family: Zig, Version: z.version, Where: z.exe, From: from, Libc: libc, Glibc: t.Floor}
	flags := append([]string{"-target", triple}, zigCPU(t)...)
	flags = append(flags, f.zigSDK(t)...)
	line := func(sub string) []string {
		if len(f.Self) == 0 {
			return slices.Concat([]string{z.exe, sub}, flags)
		}
		return slices.Concat(f.Self, []string{"--zig=" + z.exe, "--zig-version=" + z.version, sub}, flags)
	}
	c.CC, c.CXX, c.AR = line("cc"), line("c++"), []string{z.exe, "ar"}
	if t.OS != "darwin" { // nothing of this machine
		c.Env = f.pkgConfig(t, candidate{triple: cpuName(t) + "-zig"}, c)
	}
	return []Compiler{c}, nil
}

// has says whether there is a C library for a triple. What is called none there has only one.
func (z *zigInfo) has(triple string) bool {
	bare := triple
	if strings.Count(triple, "-") == 1 {
		bare += "-none"
	}
	if slices.Contains(z.targets, triple) || slices.Contains(z.targets, bare) {
		return true
	}
	// macOS was called x86_64-macos-gnu or -none, and is always there.
	return strings.Contains(triple, "-macos")
}

// zigTriple is the target for zig, and the C library in it. "" if it has none.
func zigTriple(t Target) (triple, libc string) {
	cpu := cpuName(t)
	if t.Arch == "386" {
		cpu = "x86"
	}
	libc = t.Libc
	switch t.OS {
	case "linux":
		if libc == "" {
			libc = GNU
		}
		abi := libc
		switch {
		case armSoft(t):
			abi += "eabi"
		case t.Arch == "arm":
			abi += "eabihf"
		case t.Arch == "mips64" || t.Arch == "mips64le":
			abi += "abi64"
		case (t.Arch == "mips" || t.Arch == "mipsle") && t.Variant == "softfloat":
			abi += "eabi"
		case t.Arch == "mips" || t.Arch == "mipsle":
			abi += "eabihf"
		}
		return cpu + "-linux-" + abi, libc
	case "windows":
		if libc == MSVCRT { // zig has UCRT alone since 0.12
			return "", ""
		}
		return cpu + "-windows-gnu", UCRT
	case "darwin":
		return cpu + "-macos", ""
	case "freebsd", "netbsd", "openbsd":
		if t.Arch == "arm" {
			return cpu + "-" + t.OS + map[string]string{"openbsd": "-eabi"}[t.OS] + map[string]string{"freebsd": "-eabihf", "netbsd": "-eabihf"}[t.OS], ""
		}
		return cpu + "-" + t.OS, ""
	}
	return "", ""
}

// zigCPU is the processor of a variant: without it zig takes the one that the triple has by default.
func zigCPU(t Target) []string {
	switch {
	case t.Arch == "arm" && t.Variant == "v5":
		return []string{"-mcpu=arm926ej_s"}
	case t.Arch == "arm" && strings.HasPrefix(t.Variant, "v6"):
		return []string{"-mcpu=arm1176jzf_s"}
	case t.Arch == "amd64" && len(t.Variant) == 2 && t.Variant != "v1":
		return []string{"-mcpu=x86_64_" + t.Variant}
	}
	return nil
}

// zigSDK is how zig is told of an SDK of Apple. Without one it has libSystem, and no framework.
func (f *Finder) zigSDK(t Target) []string {
	if t.OS != "darwin" {
		return nil
	}
	sdk := f.sysroot(t)
	if sdk == "" {
		sdk = f.env("SDKROOT")
	}
	if sdk == "" {
		return nil
	}
	return []string{"-isysroot", sdk, "-iwithsysroot", "/usr/include", "-iframeworkwithsysroot", "/System/Library/Frameworks", "-F" + filepath.Join(sdk, "System", "Library", "Frameworks"), "-L" + filepath.Join(sdk, "usr", "lib")}
}

// forStatic is c for static programs. zig links glibc dynamically alone, so where the target leaves the C library open it is musl.
func (c Compiler) forStatic() Compiler {
	if c.Family != Zig || c.Libc != GNU || c.Target.Libc != "" {
		return c
	}
	musl := c.Target
	musl.Libc = Musl
	from, _ := zigTriple(c.Target)
	to, _ := zigTriple(musl)
	c.Libc, c.CC, c.CXX = Musl, slices.Clone(c.CC), slices.Clone(c.CXX)
	for _, words := range [][]string{c.CC, c.CXX} {
		if i := slices.Index(words, from); i >= 0 {
			words[i] = to
		}
	}
	return c
}

// noStatic says whether c cannot link statically: zig makes glibc itself, as a shared library alone. It would say so when all
// is compiled: "libc of the specified target requires dynamic linking".
func (c Compiler) noStatic() bool { return c.Family == Zig && c.Target.OS == "linux" && c.Libc == GNU }

// A ZigCall is a line that starts zig for the go command: what WrapZig reads.
type ZigCall struct {
	Zig     string // path
	Version string
	Args    []string // cc or c++, -target …, and what the go command gives
}

// ErrNotZig says that a line is none that starts zig.
var ErrNotZig = errors.New("want --zig=PATH --zig-version=VERSION cc|c++ ARGS…")

// ParseZigCall reads what Finder.Find puts behind Finder.Self.
func ParseZigCall(args []string) (ZigCall, error) {
	if len(args) < 3 {
		return ZigCall{}, ErrNotZig
	}
	zig, ok1 := strings.CutPrefix(args[0], "--zig=")
	version, ok2 := strings.CutPrefix(args[1], "--zig-version=")
	if !ok1 || !ok2 || args[2] != "cc" && args[2] != "c++" {
		return ZigCall{}, ErrNotZig
	}
	return ZigCall{Zig: zig, Version: version, Args: args[2:]}, nil
}

// Argv is the line that zig is started with: the call without what this zig does not know.
func (c ZigCall) Argv() []string { return append([]string{c.Zig}, zigFilter(c.Version, c.Args)...) }
