package binary

import "slices"

// A Platform is a system that programs run on, by name and release.
type Platform struct {
	Name    string `json:"name"`              // "Debian 12", "RHEL 7", "distroless/static", "Windows 10", "macOS 12"
	Family  string `json:"family"`            // "Debian"; the releases of a family stand together, the oldest first
	Release string `json:"release,omitempty"` // "12"; "" where there are none (scratch) or it rolls (Arch)
	OS      string `json:"os"`                // as GOOS
	Libc    string `json:"libc,omitempty"`    // linux: gnu, musl, none
	Version string `json:"version,omitempty"` // of its libc, or of the system itself where there is none (Windows as NT says it, macOS)
	GCC     string `json:"gcc,omitempty"`     // whose libstdc++ and libgcc it has; "" where it has none
	Kernel  string `json:"kernel,omitempty"`  // that it comes with; "" for images, which run on any
	Image   bool   `json:"image,omitempty"`   // a container image to which nothing is installed

	arches  []string // as GOARCH; armel for ARM without hard floats, of glibc
	foreign []string // those of arches that it has libraries for, and nothing else
	extra   []extraLibrary
}

// An extraLibrary is one that an image has beside the C library, with the versions of a set that are older than before.
type extraLibrary struct{ name, set, before string }

// What a verdict says.
const (
	Runs    = "yes"
	RunsNot = "no"
	RunsIf  = "unknown" // that depends on what the file does not tell: whether a library is installed
)

// The reasons of verdicts. Each is a code for the texts.
const (
	GlibcTooOld        = "glibc-too-old"       // detail: GLIBC_2.34
	LibstdcxxTooOld    = "libstdcxx-too-old"   // detail: GLIBCXX_3.4.30 or CXXABI_1.3.13
	LibgccTooOld       = "libgcc-too-old"      // detail: GCC_12.0.0
	MuslTooOld         = "musl-too-old"        // detail: musl 1.2.5
	GlibcPrivate       = "glibc-private"       // it asks for what is private to a release of glibc; detail: GLIBC_PRIVATE
	ForeignLibc        = "foreign-libc"        // the system has libraries for the architecture, which are to be installed; detail: the architecture
	WrongLibc          = "wrong-libc"          // detail: the interpreter of the libc that it asks for
	NoLibc             = "no-libc"             // there is none at all; detail: the interpreter
	InterpreterMissing = "interpreter-missing" // detail: its path
	LibraryMissing     = "library-missing"     // detail: names with commas
	DLLMissing         = "dll-missing"         // detail: names with commas
	UCRTMissing        = "ucrt-missing"        // comes with an update (KB2999226) before Windows 10; detail: names
	DotNetMissing      = "dotnet-missing"      // the runtime of .NET is installed by itself; detail: the version of it
	FunctionMissing    = "function-missing"    // detail: KERNEL32.dll!SetThreadDescription
	OSTooOld           = "os-too-old"          // detail: what it asks for at least: Linux 5.19, Windows 10.0, macOS 12.0
	GoTooNew           = "go-too-new"          // what this Go makes does not run there; detail: go1.26.8
	NoSuchArch         = "no-such-arch"        // the system does not exist for it; detail: the architecture
	NeedsRosetta       = "needs-rosetta"       // the system has other processors, and translates where Rosetta is installed
	NotSigned          = "not-signed"          // Apple's processors start nothing without a signature
)

// A Verdict says whether a program runs on a platform, and why not.
type Verdict struct {
	Platform Platform `json:"platform"`
	Runs     string   `json:"runs"`             // yes, no, or unknown: not all can be told from the file
	Reason   string   `json:"reason,omitempty"` // a code for the texts, one of the constants
	Detail   string   `json:"detail,omitempty"` // what the code is about: GLIBC_2.34, libwinpthread-1.dll
}

// Judge says of each known platform of the program's system whether it runs there. There is none for what is no
// program (objects, core dumps) and for systems that the table does not have.
func Judge(i *Info) []Verdict {
	if i == nil || i.Kind != Executable && i.Kind != Shared {
		return nil
	}
	if i.Format == Universal {
		return judgeMembers(i)
	}
	var judge func(Platform, *Info) Verdict
	switch system := i.system(); system {
	case "linux":
		judge = judgeLinux
	case "windows":
		judge = judgeWindows
	case "darwin":
		judge = judgeDarwin
	case "freebsd":
		judge = judgeFreeBSD
	default:
		return nil
	}
	var list []Verdict
	for _, p := range Platforms() {
		if p.OS != i.system() {
			continue
		}
		v := Verdict{Platform: p, Runs: RunsNot, Reason: NoSuchArch, Detail: i.Arch}
		if slices.Contains(p.arches, i.Arch) {
			v = judge(p, i)
			v.Platform = p
		}
		list = append(list, v)
	}
	return list
}

// system is the operating system of i; "" where Read cannot tell.
func (i *Info) system() string {
	switch {
	case i.OS != "":
		return i.OS
	case i.Format == PE:
		return "windows"
	case i.Format == MachO || i.Format == Universal:
		return "darwin"
	}
	return ""
}

// judgeMembers judges several programs in one file: the system takes the one that suits it.
func judgeMembers(i *Info) []Verdict {
	var best []Verdict
	rank := func(v Verdict) int { // a reason of the right architecture tells more
		n := slices.Index([]string{RunsNot, RunsIf, Runs}, v.Runs) * 2
		if v.Reason != NoSuchArch {
			n++
		}
		return n
	}
	for _, m := range i.Members {
		if m.Format == Universal {
			continue // none is inside another
		}
		list := Judge(m)
		if best == nil {
			best = list
			continue
		}
		for n, v := range list {
			if n < len(best) && rank(v) > rank(best[n]) {
				best[n] = v
			}
		}
	}
	return best
}

// Floor returns the version that i asks of name at least, and "" if it asks for none.
func (i *Info) Floor(name string) Floor {
	for _, f := range i.Floors {
		if f.Name == name {
			return f
		}
	}
	return Floor{}
}

func yes() Verdict                     { return Verdict{Runs: Runs} }
func no(reason, detail string) Verdict { return Verdict{Runs: RunsNot, Reason: reason, Detail: detail} }

// CompareVersions compares versions number by number, as 2.9 < 2.17: negative where x is the older one, 0 where they are the same.
func CompareVersions(x, y string) int { return compareNumbers(x, y) }

// PlatformNames names the platforms of list, the releases of a family in one: "Debian 12+", "RHEL 7–8", "Alpine". With
// open, the newest release stands for those to come, too ("Debian 8+", "UOS 20+"); without, a family of which all releases
// are in the list is named by itself ("Debian", "UOS 20").
func PlatformNames(list []Verdict, open bool) []string {
	in := map[string]bool{}
	for _, v := range list {
		in[v.Platform.Name] = true
	}
	families := map[string][]Platform{}
	for _, p := range Platforms() {
		families[p.OS+" "+p.Family] = append(families[p.OS+" "+p.Family], p)
	}
	var names []string
	done := map[string]bool{}
	for _, v := range list {
		key := v.Platform.OS + " " + v.Platform.Family
		if !done[key] {
			done[key] = true
			names = append(names, ranges(families[key], in, open)...)
		}
	}
	return names
}

// ranges names those releases of a family that are in a list.
func ranges(family []Platform, in map[string]bool, open bool) []string {
	var names []string
	for from := 0; from < len(family); from++ {
		if !in[family[from].Name] {
			continue
		}
		to := from
		for to+1 < len(family) && in[family[to+1].Name] {
			to++
		}
		name := family[from].Name
		switch last := to == len(family)-1; {
		case family[from].Release == "": // it has no releases
		case last && from == 0 && len(family) > 1 && (!open || family[from].Image):
			name = family[from].Family
		case last && open:
			name += "+"
		case to > from:
			name += "–" + family[to].Release
		}
		names = append(names, name)
		from = to
	}
	return names
}
