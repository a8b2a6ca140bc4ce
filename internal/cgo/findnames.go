package cgo

import (
	"context"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// ofSystem are the candidates in the order of Find, without the user's own and zig.
func (f *Finder) ofSystem(ctx context.Context, t Target) []candidate {
	home := HomeBins(f.Home)
	if home == nil {
		home = []string{} // nil is PATH
	}
	more := f.folders(t)
	list := f.native(ctx, t)
	for _, c := range f.cross(t, home, f.homeFiles(home)) {
		c.dirs, c.from = home, "goferry"
		list = append(list, c)
	}
	list = append(list, f.cross(t, nil, f.pathFiles())...)
	for _, dir := range more {
		for _, c := range f.cross(t, []string{dir}, f.files(dir)) {
			c.dirs, c.from = []string{dir}, dir
			list = append(list, c)
		}
	}
	list = append(list, f.clangs(t)...)
	root := f.sysroot(t)
	for i := range list {
		if list[i].root == "" {
			list[i].root = root
		}
		list[i] = f.rooted(list[i])
	}
	return list
}

func (f *Finder) homeFiles(dirs []string) (names []string) {
	for _, dir := range dirs {
		names = append(names, f.files(dir)...)
	}
	return names
}

func (f *Finder) pathFiles() []string { return f.homeFiles(f.path()) }

// native are the compilers of this machine that may compile for t: for itself, for its 32 bit sister, and on macOS for
// its other architecture. Which they do is seen by looking.
func (f *Finder) native(ctx context.Context, t Target) []candidate {
	if t.OS != runtime.GOOS {
		return nil
	}
	var flags []string
	switch {
	case t.Arch == runtime.GOARCH:
	case t.OS == "darwin":
		flags = []string{"-arch", map[string]string{"amd64": "x86_64", "arm64": "arm64"}[t.Arch]}
	case t.Arch == "386" && runtime.GOARCH == "amd64":
		flags = []string{"-m32"}
	default:
		return nil
	}
	var list []candidate
	add := func(from, cc, cxx string) {
		list = append(list, candidate{cc: append([]string{cc}, flags...), cxx: append([]string{cxx}, flags...), from: from})
	}
	// go env -w CC=… is the user's word, too, for this machine.
	if cc, cxx := f.goCC(ctx); cc != "" {
		add("go env CC", cc, cxx)
	}
	order := []string{"gcc", "g++", "clang", "clang++", "cc", "c++"}
	if t.OS == "linux" && len(flags) > 0 {
		order = order[:2] // clang's turn is behind the compilers that are named for t
	} else if t.OS != "linux" && t.OS != "windows" {
		order = []string{"clang", "clang++", "gcc", "g++", "cc", "c++"}
	}
	for i := 0; i < len(order); i += 2 {
		add("", order[i], order[i+1])
	}
	return list
}

// goCC is what the go command would take as C and C++ compilers, where that is a single word.
func (f *Finder) goCC(ctx context.Context) (cc, cxx string) {
	f.mu.Lock()
	env := f.gocc
	f.mu.Unlock()
	if env == nil {
		got, err := f.runner().GoEnv(ctx, "CC", "CXX")
		if err != nil { // no go command: nothing to be asked
			return "", ""
		}
		env = got
		f.mu.Lock()
		f.gocc = env
		f.mu.Unlock()
	}
	words, err := splitWords(env["CC"])
	if err != nil || len(words) != 1 {
		return "", ""
	}
	more, err := splitWords(env["CXX"])
	if err != nil || len(more) != 1 {
		more = []string{"c++"}
	}
	return words[0], more[0]
}

// A tripleName is a triple of compilers' names, and the suffixes of the C and the C++ compiler.
type tripleName struct {
	triple  string
	cc, cxx string
}

// cross are the compilers named for t: by Debian, Ubuntu, Fedora, Alpine, Arch, openSUSE, Void, Homebrew's taps, musl.cc,
// crosstool-NG, Buildroot, MinGW-w64, llvm-mingw, osxcross and the Android NDK. files are the names where they are looked
// for: some have versions in them.
func (f *Finder) cross(t Target, dirs, files []string) []candidate {
	var list []candidate
	for _, n := range f.tripleNames(t) {
		for _, suffix := range versionsOf(files, n.triple+n.cc) {
			c := candidate{
				family: familyOf(t, n), triple: n.triple, dirs: dirs, ar: n.triple + "-ar",
				cc: []string{n.triple + n.cc + suffix}, cxx: []string{n.triple + n.cxx + suffix},
			}
			c.cc, c.cxx = append(c.cc, armFlags(t)...), append(c.cxx, armFlags(t)...)
			list = append(list, c)
		}
	}
	if t.OS == "linux" && t.Libc != GNU && t.Arch == runtime.GOARCH && runtime.GOOS == "linux" {
		list = append(list, candidate{family: MuslGCC, cc: []string{"musl-gcc"}, dirs: dirs, triple: muslTriples(t)[0]}, candidate{family: MuslGCC, cc: []string{"musl-clang"}, dirs: dirs, triple: muslTriples(t)[0]})
	}
	if t.OS == "darwin" {
		prefix := map[string]string{"amd64": "o64", "arm64": "oa64"}[t.Arch]
		list = append(list, candidate{family: OSXCross, cc: []string{prefix + "-clang"}, cxx: []string{prefix + "-clang++"}, dirs: dirs})
	}
	return list
}

func familyOf(t Target, n tripleName) Family {
	switch {
	case t.OS == "darwin":
		return OSXCross
	case t.OS == "windows" && n.cc == "-clang":
		return LLVMMinGW
	case t.OS == "windows":
		return MinGW
	}
	return GCC
}

// armFlags are what compilers for arm get for a variant, as Raspbian's own compiler has it: go gives them none.
func armFlags(t Target) []string {
	if t.Arch == "arm" && strings.HasPrefix(t.Variant, "v6") && !armSoft(t) {
		return []string{"-march=armv6", "-mfpu=vfp", "-mfloat-abi=hard"}
	}
	return nil
}

// armSoft says whether floats go in the registers of integers: with v5, or where that is asked for.
func armSoft(t Target) bool {
	return t.Arch == "arm" && (t.Variant == "v5" || strings.HasSuffix(t.Variant, "+softfloat"))
}

var versionEnd = regexp.MustCompile(`^-[0-9]+(\.[0-9]+)*$`)

// versionsOf are the suffixes with which name is among files: none first, then versions, the newest first. If it is not there at all
// it is none, so that the name is told.
func versionsOf(files []string, name string) []string {
	list := []string{""}
	for _, file := range files {
		if end, ok := strings.CutPrefix(strings.TrimSuffix(file, ".exe"), name); ok && versionEnd.MatchString(end) && !slices.Contains(list, end) {
			list = append(list, end)
		}
	}
	slices.SortFunc(list[1:], func(a, b string) int { return compareVersions(b[1:], a[1:]) })
	if len(list) > 1 && !slices.Contains(files, name) {
		return list[1:]
	}
	return list[:1]
}

// tripleNames are the names of compilers for t, the usual ones first.
func (f *Finder) tripleNames(t Target) []tripleName {
	var list []tripleName
	gcc := func(triples ...string) {
		for _, triple := range triples {
			list = append(list, tripleName{triple, "-gcc", "-g++"})
		}
	}
	clang := func(triples ...string) {
		for _, triple := range triples {
			list = append(list, tripleName{triple, "-clang", "-clang++"})
		}
	}
	cpu := cpuName(t)
	switch t.OS {
	case "linux":
		if t.Libc != Musl {
			gcc(gnuTriples(t)...)
		}
		if t.Libc != GNU {
			gcc(muslTriples(t)...)
		}
	case "windows":
		triple := cpu + "-w64-mingw32"
		// With POSIX threads first: without them there is no std::thread.
		list = append(list, tripleName{triple, "-gcc-posix", "-g++-posix"}, tripleName{triple, "-gcc", "-g++"}, tripleName{triple, "-gcc-win32", "-g++-win32"})
		clang(triple, triple+"uwp")
		gcc(triple + "ucrt")
	case "darwin":
		for _, file := range slices.Concat(f.pathFiles(), f.homeFiles(osxcrossFolders(f))) {
			triple, ok := strings.CutSuffix(file, "-clang")
			if ok && (strings.HasPrefix(triple, cpu+"-apple-darwin") || t.Arch == "arm64" && strings.HasPrefix(triple, "arm64-apple-darwin")) {
				clang(triple)
			}
		}
	case "android":
		for _, api := range []int{21, 24, 26, 28, 29, 30, 31, 33, 34, 35} {
			triple := cpu + "-linux-android"
			if t.Arch == "arm" {
				triple = "armv7a-linux-androideabi"
			}
			clang(triple + strconv.Itoa(api))
		}
	case "freebsd", "netbsd", "openbsd", "dragonfly":
		for _, file := range f.pathFiles() {
			for _, cc := range []string{"-gcc", "-clang"} {
				if triple, ok := strings.CutSuffix(file, cc); ok && strings.HasPrefix(triple, cpu+"-") && strings.Contains(triple, "-"+t.OS) {
					list = append(list, tripleName{triple, cc, map[string]string{"-gcc": "-g++", "-clang": "-clang++"}[cc]})
				}
			}
		}
	}
	return list
}

// cpuName is what compilers call the processor of t.
func cpuName(t Target) string {
	if name := map[string]string{
		"amd64": "x86_64", "386": "i686", "arm64": "aarch64", "ppc64le": "powerpc64le", "ppc64": "powerpc64", "loong64": "loongarch64", "mipsle": "mipsel", "mips64le": "mips64el",
	}[t.Arch]; name != "" {
		return name
	}
	return t.Arch
}

// gnuTriples are the names of compilers with glibc.
func gnuTriples(t Target) []string {
	cpu, abi := cpuName(t), "gnu"
	switch {
	case armSoft(t):
		abi = "gnueabi"
	case t.Arch == "arm":
		abi = "gnueabihf"
	case strings.HasPrefix(t.Arch, "mips64"):
		abi = "gnuabi64"
	}
	var cpus []string
	switch t.Arch {
	case "arm":
		cpus = []string{cpu, "armv7l", "armv7", "armv8l"}
		if strings.HasPrefix(t.Variant, "v6") {
			cpus = []string{"armv6l", "armv6", cpu}
		} else if t.Variant == "v5" {
			cpus = []string{cpu, "armv5te", "armv5l"}
		}
	case "386":
		cpus = []string{"i686", "i386", "i586"}
	default:
		cpus = []string{cpu}
	}
	var list []string
	for _, cpu := range cpus {
		list = append(list, cpu+"-linux-"+abi)
		for _, vendor := range []string{"unknown", "none", "redhat", "suse", "pc", "buildroot", "generic"} {
			list = append(list, cpu+"-"+vendor+"-linux-"+abi)
		}
		if t.Arch != "arm" { // the names of Red Hat and SUSE for their own
			list = append(list, cpu+"-redhat-linux", cpu+"-suse-linux")
		}
	}
	return list
}

// muslTriples are the names of compilers with musl.
func muslTriples(t Target) []string {
	abi, cpus := Musl, []string{cpuName(t)}
	switch {
	case armSoft(t):
		abi, cpus = "musleabi", []string{"arm", "armv5l", "armv5te", "armel"}
	case t.Arch == "arm" && strings.HasPrefix(t.Variant, "v6"):
		abi, cpus = "musleabihf", []string{"armv6", "armv6l", "arm"}
	case t.Arch == "arm":
		abi, cpus = "musleabihf", []string{"armv7l", "arm", "armv7", "armv7m", "armv6"}
	case t.Arch == "386":
		cpus = []string{"i686", "i386", "i486", "i586"}
	}
	var list []string
	for _, cpu := range cpus {
		for _, vendor := range []string{"-", "-unknown-", "-alpine-", "-buildroot-", "-pc-"} {
			list = append(list, cpu+vendor+"linux-"+abi)
		}
	}
	return list
}

// clangs are clang told the target, with the headers and libraries of another compiler or of the SDK that the user has.
func (f *Finder) clangs(t Target) []candidate {
	root := f.sysroot(t)
	add := func(triple string, more ...string) []candidate {
		flags := append([]string{"--target=" + triple}, more...)
		return []candidate{{family: Clang, cc: append([]string{"clang"}, flags...), cxx: append([]string{"clang++"}, flags...), triple: triple, root: root}}
	}
	lld := useLLD()
	switch {
	case t.OS == "linux" && t.Libc != Musl && !(runtime.GOOS == "linux" && t.Arch == runtime.GOARCH):
		if f.program(nil, gnuTriples(t)[0]+"-ld") != "" {
			lld = nil // clang finds it
		}
		return add(gnuTriples(t)[0], append(lld, armFlags(t)...)...)
	case t.OS == "linux" && t.Libc == Musl && root != "":
		return add(muslTriples(t)[0], lld...)
	case t.OS == "windows" && root != "":
		return add(cpuName(t)+"-w64-mingw32", lld...)
	case t.OS == "darwin" && runtime.GOOS != "darwin":
		sdk := root
		if sdk == "" {
			sdk = f.env("SDKROOT")
		}
		if sdk != "" {
			list := add(map[string]string{"amd64": "x86_64", "arm64": "arm64"}[t.Arch]+"-apple-macos11", append([]string{"-isysroot", sdk}, useLLD()...)...)
			list[0].root = ""
			return list
		}
	case root != "" && t.OS != runtime.GOOS && strings.HasSuffix(t.OS, "bsd"):
		return add(cpuName(t)+"-unknown-"+t.OS, lld...)
	}
	return nil
}

func osxcrossFolders(f *Finder) []string {
	return []string{"/opt/osxcross/target/bin", "/opt/osxcross/bin", "/usr/osxcross/bin", "/usr/local/osxcross/target/bin", filepath.Join(f.env("HOME"), "osxcross", "target", "bin")}
}

// folders are where compilers lie that are unpacked and not in PATH, with the names they usually have.
func (f *Finder) folders(t Target) []string {
	home := f.env("HOME")
	if home == "" {
		home = f.env("USERPROFILE")
	}
	var globs []string
	switch t.OS {
	case "linux":
		for _, at := range []string{"/opt", "/usr/local", home} {
			globs = append(globs, filepath.Join(at, "*-linux-*-cross", "bin"), filepath.Join(at, "x-tools", "*-linux-*", "bin"))
		}
	case "windows":
		for _, at := range []string{"/opt", "/usr/local", home, `C:\`} {
			globs = append(globs, filepath.Join(at, "llvm-mingw*", "bin"), filepath.Join(at, "*-w64-mingw32-cross", "bin"))
		}
		if runtime.GOOS == "windows" {
			kinds := map[string]string{"amd64": "{ucrt64,mingw64,clang64}", "386": "{mingw32,clang32}", "arm64": "{clangarm64}"}[t.Arch]
			for _, kind := range strings.Split(strings.Trim(kinds, "{}"), ",") {
				globs = append(globs, `C:\msys64\`+kind+`\bin`)
			}
		}
	case "darwin":
		globs = osxcrossFolders(f)
	case "android":
		for _, key := range []string{"ANDROID_NDK_HOME", "ANDROID_NDK_ROOT"} {
			if dir := f.env(key); dir != "" {
				globs = append(globs, filepath.Join(dir, "toolchains", "llvm", "prebuilt", "*", "bin"))
			}
		}
	}
	globs = append(globs, "/opt/homebrew/bin", "/home/linuxbrew/.linuxbrew/bin")
	path := f.path()
	var dirs []string
	for _, glob := range globs {
		if !filepath.IsAbs(glob) {
			continue
		}
		found, _ := filepath.Glob(glob) // none, if the name of the home folder is no pattern
		for _, dir := range found {
			if !slices.Contains(path, dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}

// useLLD makes clang link by lld. Where it only compiles, it says that the flag is of no use, which runtime/cgo, with -Werror, takes for an error.
func useLLD() []string { return []string{"-fuse-ld=lld", "-Wno-unused-command-line-argument"} }
