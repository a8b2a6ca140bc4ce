package binary

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Requirement is a promise that a program can be held to: static, glibc<=2.28, windows-plain and so on. Any has
// several, one of which is enough ("static|glibc<=2.28").
type Requirement struct {
	Name, Op, Version string
	Any               []Requirement
}

// A RequirementKind is one of the promises that there are.
type RequirementKind struct {
	Name    string // as it is written
	Op      string // <=, >=, = or "" for one without a value
	Example string
}

// Requirements lists the promises that there are.
func Requirements() []RequirementKind {
	return []RequirementKind{
		{"static", "", "static"}, {"dynamic", "", "dynamic"}, {"pie", "", "pie"}, {"nx", "", "nx"}, {"relro", "", "relro"}, {"stripped", "", "stripped"},
		{"musl", "", "musl"}, {"cgo", "", "cgo"}, {"no-cgo", "", "no-cgo"}, {"windows-plain", "", "windows-plain"},
		{"glibc", "<=", "glibc<=2.28"}, {"glibcxx", "<=", "glibcxx<=3.4.25"}, {"kernel", "<=", "kernel<=4.18"},
		{"windows", "<=", "windows<=10"}, {"macos", "<=", "macos<=12"}, {"go", ">=", "go>=1.26"}, {"size", "<=", "size<=20MB"},
		{"os", "=", "os=linux"}, {"arch", "=", "arch=arm64"}, {"runs-on", "=", "runs-on=debian-11"},
	}
}

// A RequirementError says what is wrong with a requirement.
type RequirementError struct {
	Text string // as it was given
	Near string // what may be meant; "" for nothing
	Kind string // unknown, value (it takes one, or another one), platform (there is no such system)
}

// Error names the requirement.
func (e *RequirementError) Error() string {
	return fmt.Sprintf("requirement %q: %s", e.Text, map[string]string{"unknown": "there is no such", "value": "its value is missing or wrong", "platform": "no such system is known"}[e.Kind])
}

var requirementForm = regexp.MustCompile(`^([a-z][a-z-]*?)\s*(?:([<>=!~]+)\s*(.*))?$`)

// ParseRequirement reads one; see Requirements for all. The error is a *RequirementError.
func ParseRequirement(text string) (Requirement, error) {
	if parts := strings.Split(text, "|"); len(parts) > 1 {
		r := Requirement{Name: "any"}
		for _, part := range parts {
			one, err := ParseRequirement(part)
			if err != nil {
				return Requirement{}, err
			}
			r.Any = append(r.Any, one)
		}
		return r, nil
	}
	m := requirementForm.FindStringSubmatch(strings.ToLower(strings.TrimSpace(text)))
	if m == nil {
		return Requirement{}, &RequirementError{Text: text, Kind: "unknown"}
	}
	r := Requirement{Name: m[1], Op: m[2], Version: strings.TrimSpace(m[3])}
	kinds := Requirements()
	k := slices.IndexFunc(kinds, func(k RequirementKind) bool { return k.Name == r.Name })
	if k < 0 {
		near := ""
		for _, kind := range kinds {
			if near != "" {
				break
			}
			if strings.HasPrefix(kind.Name, r.Name) || strings.HasPrefix(r.Name, kind.Name) || plainName(r.Name) == plainName(kind.Name) {
				near = kind.Example
			}
		}
		return Requirement{}, &RequirementError{Text: text, Near: near, Kind: "unknown"}
	}
	if kind := r.wrong(kinds[k]); kind != "" {
		return Requirement{}, &RequirementError{Text: text, Near: kinds[k].Example, Kind: kind}
	}
	return r, nil
}

var versionForm = regexp.MustCompile(`^\d{1,6}(\.\d{1,6}){0,3}$`)

// wrong says what is wrong with the value of r, which is of kind k.
func (r Requirement) wrong(k RequirementKind) string {
	switch {
	case r.Op != k.Op || r.Op != "" && r.Version == "":
		return "value"
	case k.Op == "":
		return ""
	case r.Name == "runs-on":
		if len(r.platforms()) == 0 {
			return "platform"
		}
	case r.Name == "windows":
		if ntVersion(r.Version) == "" {
			return "value"
		}
	case r.Name == "size":
		if _, ok := bytesOf(r.Version); !ok {
			return "value"
		}
	case r.Name == "os" || r.Name == "arch":
	case !versionForm.MatchString(r.Version):
		return "value"
	}
	return ""
}

// String is r as ParseRequirement reads it.
func (r Requirement) String() string {
	if len(r.Any) > 0 {
		var parts []string
		for _, one := range r.Any {
			parts = append(parts, one.String())
		}
		return strings.Join(parts, "|")
	}
	return r.Name + r.Op + r.Version
}

// An Outcome says whether a program keeps a promise.
type Outcome struct {
	Requirement string `json:"requirement"`
	Met         string `json:"met"`              // yes, no, or none: the promise says nothing of such a program
	Code        string `json:"code,omitempty"`   // why not, a code for the texts
	Detail      string `json:"detail,omitempty"` // what the code is about

	Verdict *Verdict `json:"verdict,omitempty"` // of runs-on, the first that is no plain yes
}

// Met, as an Outcome says it.
const (
	MetYes  = "yes"
	MetNo   = "no"
	MetNone = "none"
)

// Check holds i to the promise.
func (r Requirement) Check(i *Info) Outcome {
	out := Outcome{Requirement: r.String(), Met: MetYes}
	if len(r.Any) > 0 {
		return r.checkAny(i, out)
	}
	if i.Format == Universal {
		met := MetNone
		for _, m := range i.Members {
			one := r.Check(m)
			if one.Met == MetNo && r.Name != "runs-on" && r.Name != "arch" || m.Format == Universal {
				return one
			}
			if one.Met != MetNone && met != MetYes {
				met, out.Code, out.Detail, out.Verdict = one.Met, one.Code, one.Detail, one.Verdict
			}
		}
		out.Met = met
		return out
	}
	code, detail, about := r.unmet(i)
	switch {
	case !about:
		out.Met = MetNone
	case code != "":
		out.Met, out.Code, out.Detail = MetNo, code, detail
		if r.Name == "runs-on" {
			out.Verdict = r.firstNot(i)
		}
	}
	return out
}

func (r Requirement) checkAny(i *Info, out Outcome) Outcome {
	out.Met = MetNone
	for _, one := range r.Any {
		switch o := one.Check(i); {
		case o.Met == MetYes:
			return Outcome{Requirement: out.Requirement, Met: MetYes}
		case o.Met == MetNo: // the last one is the least that would do
			out.Met, out.Code, out.Detail, out.Verdict = MetNo, o.Code, o.Detail, o.Verdict
		}
	}
	return out
}

// Unmet says why i does not keep the promise; "" if it does, or if the promise says nothing of such a program. It is for
// logs: Check has it as a code.
func (r Requirement) Unmet(i *Info) string {
	out := r.Check(i)
	if out.Met != MetNo {
		return ""
	}
	return strings.TrimSpace(out.Requirement + ": " + out.Code + " " + out.Detail)
}

// unmet returns a code and a detail where i does not keep the promise, and whether the promise is about such a program.
func (r Requirement) unmet(i *Info) (code, detail string, about bool) {
	system := i.system()
	if i.Kind != Executable && i.Kind != Shared && !slices.Contains([]string{"os", "arch", "size"}, r.Name) {
		return "", "", false
	}
	switch r.Name {
	case "static":
		code, detail = needsOf(i)
		return code, detail, true
	case "dynamic":
		if code, _ := needsOf(i); code == "" {
			return "is-static", "", true
		}
		return "", "", true
	case "pie", "nx", "relro", "stripped":
		return r.hardening(i)
	case "musl":
		switch {
		case i.Static || i.Libc == "musl" || i.Libc == "" && i.Interpreter == "":
		case i.Libc == "gnu":
			code, detail = "needs-glibc", cLibrary(i)
		default:
			code, detail = "other-libc", cmp.Or(i.Libc, i.Interpreter)
		}
		return code, detail, system == "linux"
	case "cgo", "no-cgo", "go":
		return r.madeByGo(i)
	case "windows-plain":
		if missing := missingDLLs(i, "10.0"); len(missing) > 0 {
			code, detail = "dll-missing", strings.Join(missing, ", ")
		} else {
			code, detail = needsOf(i)
		}
		return code, detail, system == "windows"
	case "glibc", "glibcxx", "kernel", "windows", "macos":
		return r.floor(i)
	case "size":
		if most, _ := bytesOf(r.Version); i.Size > most {
			code, detail = "too-large", strconv.FormatInt(i.Size, 10)
		}
		return code, detail, true
	case "os":
		if system != cmp.Or(map[string]string{"macos": "darwin", "win": "windows"}[r.Version], r.Version) {
			code, detail = "other-os", cmp.Or(system, "?")
		}
		return code, detail, true
	case "arch":
		if i.Arch != cmp.Or(map[string]string{"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "i686": "386"}[r.Version], r.Version) {
			code, detail = "other-arch", i.Arch
		}
		return code, detail, true
	case "runs-on":
		return r.runsOn(i)
	}
	return "", "", false
}

// needsOf says what i needs beside the system itself: nothing, where it is static. Windows and macOS have no static
// programs; there it means that a plain system is enough.
func needsOf(i *Info) (code, detail string) {
	var names []string
	switch i.system() {
	case "windows":
		if names = missingDLLs(i, "10.0"); i.DotNet != "" {
			names = append(names, ".NET "+i.DotNet)
		}
	case "darwin":
		names = foreignDylibs(i)
	default:
		if i.Static || i.Interpreter == "" && len(i.Libraries) == 0 {
			return "", ""
		}
		for _, l := range i.Libraries {
			names = append(names, l.Name)
		}
		if len(names) == 0 {
			names = []string{i.Interpreter}
		}
	}
	if len(names) == 0 {
		return "", ""
	}
	return "needs-libraries", strings.Join(names, ", ")
}

// hardening holds i to a protection.
func (r Requirement) hardening(i *Info) (code, detail string, about bool) {
	h := i.Hardening
	has := map[string]*bool{"pie": h.PIE, "nx": h.NX, "stripped": h.Stripped}[r.Name]
	if r.Name == "relro" {
		if h.RELRO == "" {
			return "", "", false
		}
		full := h.RELRO == "full"
		has = &full
	}
	if r.Name == "pie" && has == nil {
		has = h.ASLR
	}
	if has == nil {
		return "", "", false
	}
	if !*has {
		code = "no-" + r.Name
	}
	return code, "", true
}

// madeByGo holds i to what its build information says.
func (r Requirement) madeByGo(i *Info) (code, detail string, about bool) {
	switch {
	case i.Go == nil, r.Name == "go" && !strings.Contains(i.Go.Version, "go") && !strings.HasPrefix(i.Go.Version, "devel"):
		return "not-go", "", true
	case r.Name == "go":
		if !goAtLeast(i, r.Version) {
			code, detail = "older-go", i.Go.Version
		}
	case i.Go.Cgo == nil:
		code = "cgo-unknown"
	case *i.Go.Cgo && r.Name == "no-cgo":
		code = "has-cgo"
	case !*i.Go.Cgo && r.Name == "cgo":
		code = "lacks-cgo"
	}
	return code, detail, true
}

// floor holds i to the oldest version of something that it may ask for.
func (r Requirement) floor(i *Info) (code, detail string, about bool) {
	system := i.system()
	switch r.Name {
	case "glibc", "glibcxx":
		if system != "linux" || i.Static {
			return "", "", system == "linux"
		}
		if i.Libc != "" && i.Libc != "gnu" {
			return "other-libc", i.Libc, true
		}
		if r.Name == "glibc" && i.Floor(glibcPrivate).Name != "" {
			return "asks-glibc", glibcPrivate, true
		}
		name := map[string]string{"glibc": "glibc", "glibcxx": "libstdc++"}[r.Name]
		if f := i.Floor(name); CompareVersions(f.Version, r.Version) > 0 {
			return "asks-" + r.Name, strings.ToUpper(r.Name) + "_" + f.Version, true
		}
		if abi := cxxabiWith(r.Version); r.Name == "glibcxx" && abi != "" && CompareVersions(i.Floor("CXXABI").Version, abi) > 0 {
			return "asks-glibcxx", "CXXABI_" + i.Floor("CXXABI").Version, true
		}
	case "kernel":
		if f := linuxFloor(i); system == "linux" && CompareVersions(f, r.Version) > 0 {
			return "asks-system", "Linux " + f, true
		}
		return "", "", system == "linux"
	case "windows":
		f, asks := windowsFloor(i)
		if system == "windows" && CompareVersions(f, ntVersion(r.Version)) > 0 {
			if asks != "" {
				asks = " (" + asks + ")"
			}
			return "asks-system", "Windows " + f + asks, true
		}
		return "", "", system == "windows"
	case "macos":
		f := i.Floor("macos").Version
		if g := goMacOS(i); CompareVersions(g, f) > 0 {
			f = g
		}
		if i.Arch == "arm64" && CompareVersions("11", f) > 0 { // there is no older one
			f = "11"
		}
		if system == "darwin" && CompareVersions(f, r.Version) > 0 {
			return "asks-system", "macOS " + f, true
		}
		return "", "", system == "darwin"
	}
	return "", "", true
}

// runsOn wants a yes for all systems that the value names.
func (r Requirement) runsOn(i *Info) (code, detail string, about bool) {
	names := r.platforms()
	about = slices.ContainsFunc(Judge(i), func(v Verdict) bool { return slices.Contains(names, v.Platform.Name) })
	if v := r.firstNot(i); v != nil {
		code, detail = "runs-not", v.Platform.Name+": "+strings.TrimSpace(v.Reason+" "+v.Detail)
	}
	return code, detail, about
}

// firstNot is the first verdict on the systems that the value names that is no plain yes.
func (r Requirement) firstNot(i *Info) *Verdict {
	names := r.platforms()
	for _, v := range Judge(i) {
		if v.Runs != Runs && slices.Contains(names, v.Platform.Name) {
			return &v
		}
	}
	return nil
}

// platforms are the names of the platforms that the value of runs-on means: a release, or all of a family.
func (r Requirement) platforms() []string {
	want := plainName(r.Version)
	if want == "al2" || want == "al2023" {
		want = "amazonlinux" + want[2:]
	}
	for _, alias := range [][2]string{
		{"centosstream", "rhel"}, {"centos", "rhel"}, {"rockylinux", "rhel"}, {"rocky", "rhel"}, {"almalinux", "rhel"}, {"alma", "rhel"},
		{"oraclelinux", "rhel"}, {"redhat", "rhel"}, {"opensuseleap", "opensuseleap"}, {"opensuse", "opensuseleap"}, {"leap", "opensuseleap"},
		{"suse", "sles"}, {"amzn", "amazonlinux"}, {"kylinserver", "kylinserver"}, {"kylindesktop", "kylindesktop"}, {"kylin", "kylinserver"},
		{"win", "windows"},
	} {
		if rest, ok := strings.CutPrefix(want, alias[0]); ok && !strings.HasPrefix(want, "windows") {
			want = alias[1] + rest
			break
		}
	}
	for {
		if names := platformsNamed(want); len(names) > 0 {
			return names
		}
		// A minor release is the release: rhel-8.10, debian-12.5, alpine-3.20.3.
		at := strings.LastIndexByte(want, '.')
		if at < 0 || strings.Trim(want[at+1:], "0123456789") != "" {
			return nil
		}
		want = want[:at]
	}
}

func platformsNamed(want string) []string {
	var names []string
	for _, p := range Platforms() {
		if want == plainName(p.Family) || want == plainName(p.Name) || p.Family == "Arch Linux" && want == "arch" {
			names = append(names, p.Name)
		}
	}
	return names
}

// plainName is a name in letters, digits and dots alone.
func plainName(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' {
			return c
		}
		return -1
	}, strings.ToLower(s))
}

// ntVersion is what a Windows calls itself: 8.1 is 6.3; "" if there is none of that name.
func ntVersion(release string) string {
	for _, p := range Platforms() {
		if p.OS == "windows" && plainName(p.Release) == plainName(release) {
			return p.Version
		}
	}
	return ""
}

var sizeForm = regexp.MustCompile(`^(\d{1,12})\s*(b|kb|mb|gb|kib|mib|gib|k|m|g)?$`)

// bytesOf reads a size: 20MB, 512KiB, 1000. k, m and g are as kB, MB and GB.
func bytesOf(text string) (int64, bool) {
	m := sizeForm.FindStringSubmatch(strings.ToLower(strings.TrimSpace(text)))
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return 0, false
	}
	unit := map[string]int64{"": 1, "b": 1, "k": 1e3, "kb": 1e3, "m": 1e6, "mb": 1e6, "g": 1e9, "gb": 1e9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}[m[2]]
	if n > (1<<62)/unit {
		return 0, false
	}
	return n * unit, true
}

// ErrRequirement is what every *RequirementError is.
var ErrRequirement = errors.New("no such requirement")

// Is reports that e is an ErrRequirement.
func (e *RequirementError) Is(target error) bool { return target == ErrRequirement }
