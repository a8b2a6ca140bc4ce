package binary

import (
	"slices"
	"strings"
)

// judgeLinux judges an ELF program. What comes first is what people meet first: the kernel, the interpreter, the
// libraries.
func judgeLinux(p Platform, i *Info) Verdict {
	if f := linuxFloor(i); p.Kernel != "" && CompareVersions(f, p.Kernel) > 0 {
		return no(OSTooOld, "Linux "+f)
	}
	if i.Static || i.Interpreter == "" && len(i.Libraries) == 0 {
		return yes()
	}
	if v, ok := judgeLibc(p, i); !ok {
		return v
	}
	for _, floor := range []struct {
		name, prefix, reason, have string
	}{
		{"glibc", "GLIBC_", GlibcTooOld, p.Version},
		{"libstdc++", "GLIBCXX_", LibstdcxxTooOld, glibcxxOf(p.GCC)},
		{"CXXABI", "CXXABI_", LibstdcxxTooOld, cxxabiOf(p.GCC)},
		{"libgcc", "GCC_", LibgccTooOld, p.GCC},
		{"musl", "musl ", MuslTooOld, p.Version},
	} {
		switch libc := map[string]string{"glibc": "gnu", "musl": "musl"}[floor.name]; {
		case libc == "" && p.GCC == "":
			continue // the library is missing as a whole, which is said below
		case libc != "" && libc != p.Libc:
			continue
		}
		if f := i.Floor(floor.name); f.Version != "" && CompareVersions(f.Version, floor.have) > 0 {
			return no(floor.reason, floor.prefix+f.Version)
		}
	}
	switch {
	case slices.Contains(p.foreign, i.Arch):
		return Verdict{Runs: RunsIf, Reason: ForeignLibc, Detail: i.Arch}
	case p.Libc == "gnu" && i.Floor(glibcPrivate).Name != "":
		return Verdict{Runs: RunsIf, Reason: GlibcPrivate, Detail: glibcPrivate}
	}
	if missing := missingLibraries(p, i); len(missing) > 0 {
		v := Verdict{Runs: RunsIf, Reason: LibraryMissing, Detail: strings.Join(missing, ", ")}
		if p.Image {
			v.Runs = RunsNot
		}
		return v
	}
	return yes()
}

// KernelFloor is the oldest Linux that i runs on, by its ABI note and by its Go release; "" where neither says one.
func KernelFloor(i *Info) string {
	if i.system() != "linux" {
		return ""
	}
	return linuxFloor(i)
}

// linuxFloor is the oldest kernel that i runs on: what its ABI note says, or what Go asks for
// (https://go.dev/wiki/MinimumRequirements).
func linuxFloor(i *Info) string {
	f := i.Floor("kernel").Version
	more := ""
	switch {
	case i.Go == nil:
	case i.Arch == "loong64":
		more = "5.19"
	case goAtLeast(i, "1.24"):
		more = "3.2"
	default:
		more = "2.6.32"
	}
	if CompareVersions(more, f) > 0 {
		return more
	}
	return f
}

// judgeLibc finds the interpreter of i on p.
func judgeLibc(p Platform, i *Info) (Verdict, bool) {
	wants := cLibrary(i)
	if wants == "" {
		wants = i.Libraries[0].Name // one without a program around it: there is one, see judgeLinux
	}
	switch {
	case p.Libc == "none":
		return no(NoLibc, wants), false
	case i.Libc == "gnu" || i.Libc == "musl":
		if i.Libc != p.Libc {
			return no(WrongLibc, wants), false
		}
	case i.Interpreter != "":
		return no(InterpreterMissing, i.Interpreter), false
	}
	if i.Interpreter != "" && !hasInterpreter(p, i) {
		return no(InterpreterMissing, i.Interpreter), false
	}
	return Verdict{}, true
}

// cLibrary is what shows which C library i needs: its interpreter, or the library itself; "" for neither.
func cLibrary(i *Info) string {
	if i.Interpreter != "" {
		return i.Interpreter
	}
	for _, l := range i.Libraries {
		if libcOf(l.Name) != "" {
			return l.Name
		}
	}
	return ""
}

// hasInterpreter reports whether p has the dynamic linker that i names. A glibc of one's own, as Nix has it, is not on other
// systems, and neither is that of another ABI of the architecture: ARM without hard floats, for one.
func hasInterpreter(p Platform, i *Info) bool {
	at := strings.LastIndexByte(i.Interpreter, '/') + 1
	dir, name := i.Interpreter[:at], i.Interpreter[at:]
	if !slices.Contains([]string{"/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/"}, dir) {
		return false
	}
	if p.Libc == "musl" {
		return name == muslInterpreters()[i.Arch]
	}
	if i.Arch == "arm" && name == "ld-linux.so.3" {
		return slices.Contains(p.arches, "armel")
	}
	return name == glibcInterpreters()[i.Arch]
}

// glibcInterpreters are the dynamic linkers of glibc: https://sourceware.org/glibc/wiki/ABIList.
func glibcInterpreters() map[string]string {
	return map[string]string{
		"amd64": "ld-linux-x86-64.so.2", "386": "ld-linux.so.2", "arm64": "ld-linux-aarch64.so.1", "arm": "ld-linux-armhf.so.3",
		"mips": "ld.so.1", "mipsle": "ld.so.1", "mips64": "ld.so.1", "mips64le": "ld.so.1", "ppc64": "ld64.so.1", "ppc64le": "ld64.so.2",
		"riscv64": "ld-linux-riscv64-lp64d.so.1", "s390x": "ld64.so.1", "loong64": "ld-linux-loongarch-lp64d.so.1",
	}
}

// muslInterpreters are the dynamic linkers of musl on Alpine.
func muslInterpreters() map[string]string {
	return map[string]string{
		"amd64": "ld-musl-x86_64.so.1", "386": "ld-musl-i386.so.1", "arm64": "ld-musl-aarch64.so.1", "arm": "ld-musl-armhf.so.1",
		"ppc64le": "ld-musl-powerpc64le.so.1", "riscv64": "ld-musl-riscv64.so.1", "s390x": "ld-musl-s390x.so.1", "loong64": "ld-musl-loongarch64.so.1",
	}
}

// missingLibraries are those that i asks for and a plain p does not have.
func missingLibraries(p Platform, i *Info) []string {
	var missing []string
	for _, l := range i.Libraries {
		extra := slices.ContainsFunc(p.extra, func(e extraLibrary) bool {
			return e.name == l.Name && (e.set == "" || CompareVersions(i.Floor(e.set).Version, e.before) < 0)
		})
		if !extra && !libraryOf(p, l.Name) {
			missing = append(missing, l.Name)
		}
	}
	return missing
}

// libraryOf reports whether a plain p has the library.
func libraryOf(p Platform, name string) bool {
	at := strings.LastIndexByte(name, '/') + 1
	if at > 0 && !slices.Contains([]string{"/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/"}, name[:at]) {
		return false // the dynamic linker looks there and nowhere else
	}
	name = name[at:]
	base, rest, _ := strings.Cut(name, ".so")
	if p.Libc == "musl" {
		base, _, _ := strings.Cut(name, ".")
		return slices.Contains(muslNames(), base) ||
			strings.HasPrefix(name, "ld-musl-")
	}
	switch base {
	case "libgcc_s", "libstdc++":
		return p.GCC != "" && (rest == ".1" || rest == ".6")
	case "ld-linux", "ld64":
		return true
	case "libnsl", "libcrypt": // left glibc; not everywhere part of the plain system
		return false
	case "libdl", "librt", "libutil", "libanl", "libBrokenLocale", "libmvec", "libthread_db":
		if p.Family == "busybox:glibc" { // https://github.com/docker-library/busybox: what ldd says of busybox, libnss* and libpthread*
			return false
		}
	}
	// SONAMEs of glibc (shlib-versions): they are the same on all architectures that have been added since 2.0.
	return strings.HasPrefix(base, "ld-linux-") || strings.HasPrefix(base, "libnss_") || slices.Contains([]string{
		"libc.6", "libc.6.1", "libm.6", "libm.6.1", "libpthread.0", "libdl.2", "librt.1", "libresolv.2", "libutil.1", "libanl.1",
		"libBrokenLocale.1", "libmvec.1", "libthread_db.1",
	}, base+rest)
}

// A gccRelease says which versions of symbols came with a GCC.
type gccRelease struct{ gcc, glibcxx, cxxabi string }

// gccReleases: https://gcc.gnu.org/onlinedocs/libstdc++/manual/abi.html#abi.versioning.history. Those of 16 are not listed
// there yet and are counted as those of 15, so that nothing is promised.
func gccReleases() []gccRelease {
	return []gccRelease{
		{"4.8.0", "3.4.18", "1.3.7"}, {"4.8.3", "3.4.19", "1.3.7"}, {"4.9.0", "3.4.20", "1.3.8"}, {"5.1.0", "3.4.21", "1.3.9"},
		{"6.1.0", "3.4.22", "1.3.10"}, {"7.1.0", "3.4.23", "1.3.11"}, {"7.2.0", "3.4.24", "1.3.11"}, {"8.1.0", "3.4.25", "1.3.11"},
		{"9.1.0", "3.4.26", "1.3.12"}, {"9.2.0", "3.4.27", "1.3.12"}, {"9.3.0", "3.4.28", "1.3.12"}, {"11.1.0", "3.4.29", "1.3.13"},
		{"12.1.0", "3.4.30", "1.3.13"}, {"13.1.0", "3.4.31", "1.3.14"}, {"13.2.0", "3.4.32", "1.3.14"}, {"14.1.0", "3.4.33", "1.3.15"},
		{"15.1.0", "3.4.34", "1.3.16"},
	}
}

func glibcxxOf(gcc string) string { return releaseOf(gcc).glibcxx }
func cxxabiOf(gcc string) string  { return releaseOf(gcc).cxxabi }

// cxxabiWith is the CXXABI of the libstdc++ that has this GLIBCXX and no newer one; "" for those older than the table.
func cxxabiWith(glibcxx string) string {
	abi := ""
	for _, r := range gccReleases() {
		if CompareVersions(r.glibcxx, glibcxx) <= 0 {
			abi = r.cxxabi
		}
	}
	return abi
}

// releaseOf is the newest release with new symbols that is not newer than gcc.
func releaseOf(gcc string) gccRelease {
	var found gccRelease
	for _, r := range gccReleases() {
		if CompareVersions(r.gcc, gcc) <= 0 {
			found = r
		}
	}
	return found
}

// judgeFreeBSD judges by the versions of symbols, of which each release begins a set (lib/libc/Versions.def of FreeBSD), and
// by the libraries of its base system.
func judgeFreeBSD(p Platform, i *Info) Verdict {
	if slices.ContainsFunc(i.Libraries, func(l Library) bool { return l.Name == "libsys.so.7" }) && CompareVersions("15", p.Version) > 0 {
		return no(OSTooOld, "FreeBSD 15") // what was part of libc before
	}
	if f := i.Floor("FBSD").Version; f != "" {
		release := map[string]string{"1.6": "13", "1.7": "14", "1.8": "15"}[f]
		if release == "" && CompareVersions(f, "1.8") > 0 {
			release = "16"
		}
		if CompareVersions(release, p.Version) > 0 {
			return no(OSTooOld, "FreeBSD "+release)
		}
	}
	var missing []string
	for _, l := range i.Libraries {
		if !slices.Contains([]string{
			"libc.so.7", "libsys.so.7", "libthr.so.3", "libm.so.5", "libutil.so.9", "libgcc_s.so.1", "libc++.so.1", "libcxxrt.so.1", "librt.so.1",
			"libexecinfo.so.1", "libdl.so.1", "libz.so.6", "ld-elf.so.1",
		}, l.Name) {
			missing = append(missing, l.Name)
		}
	}
	if len(missing) > 0 {
		return Verdict{Runs: RunsIf, Reason: LibraryMissing, Detail: strings.Join(missing, ", ")}
	}
	return yes()
}

// goAtLeast reports whether i was made by this Go or a newer one.
func goAtLeast(i *Info, version string) bool {
	if i.Go == nil {
		return false
	}
	v, devel := strings.CutPrefix(i.Go.Version, "devel ")
	v, named := strings.CutPrefix(v, "go")
	if !named {
		return devel // without a number, "devel +f2a4e5" was newer than all; others do not say what made them
	}
	return CompareVersions(v, version) >= 0
}
