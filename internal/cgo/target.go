package cgo

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// A Target is what a program is built for. The zero Variant, Libc and Floor mean: as the compiler has it.
//
// It is written OS/ARCH[/VARIANT][/LIBC], as in linux/amd64, linux/arm/v7, linux/arm64/musl, linux/amd64/gnu.2.17, windows/386.
type Target struct {
	OS, Arch string // as GOOS and GOARCH
	Variant  string // of arm: v5 v6 v7, v7+softfloat (GOARM); amd64: v1…v4 (GOAMD64); 386: sse2, softfloat; mips: hardfloat, softfloat; ppc64: power8…; riscv64: rva20u64…; arm64: v8.0…, v8.0+lse
	Libc     string // linux: gnu or musl; windows: msvcrt or ucrt; else ""
	Floor    string // of gnu: the lowest version of glibc that the program must run with, as 2.17: it asks for no newer one
}

// The C libraries of targets.
const (
	GNU    = "gnu"  // glibc
	Musl   = "musl" // as on Alpine
	MSVCRT = "msvcrt"
	UCRT   = "ucrt" // a part of Windows since 10
)

// A TargetError says what is wrong with the name of a target.
type TargetError struct {
	Text string   // as it was given
	Part string   // of Text, that is not known; "" if it is the whole
	Kind string   // what Part should be: form, os, arch (of this os), variant, libc, floor
	Near []string // targets that may be meant, the nearest first; may be empty
}

// Error names the target, and what is near.
func (e *TargetError) Error() string {
	var b strings.Builder
	b.WriteString("target " + strconv.Quote(e.Text))
	switch e.Kind {
	case "form":
		b.WriteString(" is not written OS/ARCH[/VARIANT][/LIBC]")
	case "arch":
		b.WriteString(": the go command knows no architecture " + strconv.Quote(e.Part) + " of this system")
	case "floor":
		b.WriteString(": " + strconv.Quote(e.Part) + " is no version of glibc")
	default:
		b.WriteString(": unknown " + e.Kind + " " + strconv.Quote(e.Part))
	}
	if len(e.Near) > 0 {
		b.WriteString(" (near: " + strings.Join(e.Near, ", ") + ")")
	}
	return b.String()
}

// A platform is a pair of GOOS and GOARCH.
type platform struct {
	goos, goarch string
	cgo          bool // the go command can build cgo for it
}

// platforms are those of the go command. Source: go tool dist list -json of Go 1.26.
func platforms() []platform {
	list := []struct{ goos, with, without string }{
		{"aix", "ppc64", ""},
		{"android", "386 amd64 arm arm64", ""},
		{"darwin", "amd64 arm64", ""},
		{"dragonfly", "amd64", ""},
		{"freebsd", "386 amd64 arm arm64", ""},
		{"illumos", "amd64", ""},
		{"ios", "amd64 arm64", ""},
		{"js", "", "wasm"},
		{"linux", "386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64le riscv64 s390x", "ppc64"},
		{"netbsd", "386 amd64 arm arm64", ""},
		{"openbsd", "386 amd64 arm arm64 riscv64", "ppc64"},
		{"plan9", "", "386 amd64 arm"},
		{"solaris", "amd64", ""},
		{"wasip1", "", "wasm"},
		{"windows", "386 amd64 arm64", ""},
	}
	var all []platform
	for _, l := range list {
		for _, arch := range strings.Fields(l.with) {
			all = append(all, platform{l.goos, arch, true})
		}
		for _, arch := range strings.Fields(l.without) {
			all = append(all, platform{l.goos, arch, false})
		}
	}
	return all
}

// variants are the values of Variant for an architecture, and the variable of the go command that takes them.
// Source: internal/buildcfg of Go 1.26.
func variants(arch string) (key string, values []string) {
	float := []string{"hardfloat", "softfloat"}
	switch arch {
	case "386":
		return "GO386", []string{"sse2", "softfloat"}
	case "amd64":
		return "GOAMD64", []string{"v1", "v2", "v3", "v4"}
	case "arm":
		return "GOARM", []string{"v5", "v6", "v7", "v5+softfloat", "v6+softfloat", "v7+softfloat", "v5+hardfloat", "v6+hardfloat", "v7+hardfloat"}
	case "arm64":
		var v []string
		for _, minor := range []string{"v8.0", "v8.1", "v8.2", "v8.3", "v8.4", "v8.5", "v8.6", "v8.7", "v8.8", "v8.9", "v9.0", "v9.1", "v9.2", "v9.3", "v9.4", "v9.5"} {
			v = append(v, minor, minor+"+lse", minor+"+crypto", minor+"+lse+crypto")
		}
		return "GOARM64", v
	case "mips", "mipsle":
		return "GOMIPS", float
	case "mips64", "mips64le":
		return "GOMIPS64", float
	case "ppc64", "ppc64le":
		return "GOPPC64", []string{"power8", "power9", "power10"}
	case "riscv64":
		return "GORISCV64", []string{"rva20u64", "rva22u64", "rva23u64"}
	}
	return "", nil
}

// libcs are the values of Libc for a system.
func libcs(goos string) []string {
	switch goos {
	case "linux":
		return []string{GNU, Musl}
	case "windows":
		return []string{MSVCRT, UCRT}
	}
	return nil
}

// ParseTarget reads a target. The error is a *TargetError: it names what is not known and the targets that are near.
func ParseTarget(text string) (Target, error) {
	t, kind, part := parseTarget(text)
	if kind != "" {
		return Target{}, &TargetError{Text: text, Kind: kind, Part: part, Near: near(text)}
	}
	return t, nil
}

// parseTarget returns the kind and the part of a TargetError, or "".
func parseTarget(text string) (t Target, kind, part string) {
	parts := strings.Split(text, "/")
	if len(parts) < 2 || len(parts) > 4 || slices.Contains(parts, "") {
		return t, "form", ""
	}
	t = Target{OS: parts[0], Arch: parts[1]}
	all := platforms()
	if !slices.ContainsFunc(all, func(p platform) bool { return p.goos == t.OS }) {
		return t, "os", t.OS
	}
	if !slices.ContainsFunc(all, func(p platform) bool { return p.goos == t.OS && p.goarch == t.Arch }) {
		return t, "arch", t.Arch
	}
	rest := parts[2:]
	if _, values := variants(t.Arch); len(rest) > 0 && slices.Contains(values, rest[0]) {
		t.Variant, rest = rest[0], rest[1:]
	}
	if len(rest) == 0 {
		return t, "", ""
	}
	libc, floor, floored := strings.Cut(rest[0], ".")
	switch {
	case len(rest) > 1, t.Variant == "" && len(libcs(t.OS)) == 0:
		return t, "variant", rest[0]
	case !slices.Contains(libcs(t.OS), libc), floored && libc != GNU:
		return t, "libc", rest[0]
	case floored && !isFloor(floor):
		return t, "floor", floor
	}
	t.Libc, t.Floor = libc, floor
	return t, "", ""
}

// isFloor says whether s is a version of glibc: 2.17, 2.2.5.
func isFloor(s string) bool {
	parts := strings.Split(s, ".")
	if len(parts) < 2 || len(parts) > 3 || parts[0] != "2" {
		return false
	}
	for _, p := range parts {
		if n, err := strconv.ParseUint(p, 10, 8); err != nil || strconv.FormatUint(n, 10) != p {
			return false
		}
	}
	return true
}

// String writes t as ParseTarget reads it.
func (t Target) String() string {
	s := t.OS + "/" + t.Arch
	if t.Variant != "" {
		s += "/" + t.Variant
	}
	if t.Libc != "" {
		s += "/" + t.Libc
		if t.Floor != "" {
			s += "." + t.Floor
		}
	}
	return s
}

// MarshalText writes t as String does.
func (t Target) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads t as ParseTarget does.
func (t *Target) UnmarshalText(text []byte) (err error) {
	*t, err = ParseTarget(string(text))
	return err
}

// Env is what the go command is told of t: GOOS, GOARCH, and GOARM and its kin where there is a variant.
func (t Target) Env() []string {
	env := []string{"GOOS=" + t.OS, "GOARCH=" + t.Arch}
	if key, _ := variants(t.Arch); key != "" && t.Variant != "" {
		value := strings.ReplaceAll(t.Variant, "+", ",")
		if key == "GOARM" {
			value = strings.TrimPrefix(value, "v")
		}
		env = append(env, key+"="+value)
	}
	return env
}

// Cgo says whether the go command can build cgo for t at all.
func (t Target) Cgo() bool {
	return slices.ContainsFunc(platforms(), func(p platform) bool { return p.goos == t.OS && p.goarch == t.Arch && p.cgo })
}

// Base is t without variant, libc and floor: OS/ARCH alone.
func (t Target) Base() Target { return Target{OS: t.OS, Arch: t.Arch} }

// Compare orders targets by system, architecture, variant, libc and floor.
func (t Target) Compare(u Target) int {
	return cmp.Or(strings.Compare(t.OS, u.OS), strings.Compare(t.Arch, u.Arch), strings.Compare(t.Variant, u.Variant),
		strings.Compare(t.Libc, u.Libc), compareVersions(t.Floor, u.Floor))
}

// Targets are all that goferry knows, sorted: those of the go command, each linux once more with musl where musl
// has its architecture, and the variants of arm, which are three kinds of machine. There are more variants and the
// floors of glibc, which ParseTarget reads.
func Targets() []Target {
	var all []Target
	for _, p := range platforms() {
		t := Target{OS: p.goos, Arch: p.goarch}
		forms := []Target{t}
		if t.OS == "linux" && t.Arch == "arm" {
			for _, v := range []string{"v5", "v6", "v7"} {
				forms = append(forms, Target{OS: t.OS, Arch: t.Arch, Variant: v})
			}
		}
		for _, f := range forms {
			all = append(all, f)
			if f.OS == "linux" && p.cgo {
				f.Libc = Musl
				all = append(all, f)
			}
		}
	}
	slices.SortFunc(all, Target.Compare)
	return all
}

// compareVersions compares versions number by number; "" is below all.
func compareVersions(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(x), len(y)) {
		var m, n int
		if i < len(x) {
			m, _ = strconv.Atoi(x[i])
		}
		if i < len(y) {
			n, _ = strconv.Atoi(y[i])
		}
		if m != n {
			return cmp.Compare(m, n)
		}
	}
	return 0
}
