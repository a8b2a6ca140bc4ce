package cgo

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/goferry/goferry/internal/gocmd"
)

// A Finder looks for compilers. It may be used by many goroutines; what it has seen of a program it keeps.
type Finder struct {
	Runner *gocmd.Runner           // nil is the zero Runner
	Env    func(key string) string // the user's environment; nil is an empty one
	Home   string                  // goferry's folder of compilers, ~/.goferry/cc; may not be there

	// Self starts goferry: a program and its first arguments. With it zig is started through WrapZig, which takes out
	// the flags that it does not know. Empty: zig gets them all, and fails for windows and darwin.
	Self []string

	mu    sync.Mutex
	seen  map[string]*sight      // by command line
	zigs  map[string]*zigInfo    // by path
	names map[string][]string    // of the files of a folder
	gocc  map[string]string      // what go env says of CC and CXX
	once  map[string]*sync.Mutex // held while a program is looked at
}

// A candidate is a compiler that may be there.
type candidate struct {
	family Family
	cc     []string // a name or path, and arguments
	cxx    []string
	ar     string
	dirs   []string // where to look; nil is PATH
	from   string
	mine   bool   // the user named it: what it is good for is not judged
	triple string // of the folders with its libraries
	root   string // sysroot, where one is told
}

// Find returns the compilers for t, the best first: the user's own, then the native one, then goferry's, then those of the system,
// then zig. None is a *MissingError. What it returns is there, and compiles for the system, the architecture and the C
// library of t as its predefined macros say; Try says whether it links.
//
// Of the user are, in this order, CC_FOR_linux_arm64_musl, CC_FOR_linux_arm64, CC_FOR_TARGET (not for this machine itself), and CC where
// it compiles for t; with CXX_FOR_…, AR_FOR_…, PKG_CONFIG_FOR_… and SYSROOT_FOR_… beside them. Source of the names: cmd/cgo.
func (f *Finder) Find(ctx context.Context, t Target) ([]Compiler, error) {
	if !t.Cgo() {
		return nil, &MissingError{Target: t, Reason: MissingNoCgo}
	}
	mine, err := f.ofUser(ctx, t)
	if err != nil {
		return nil, err
	}
	missing := &MissingError{Target: t}
	var found []Compiler
	for _, c := range slices.Concat(mine, f.ofSystem(ctx, t)) {
		got, why, err := f.resolve(ctx, t, c)
		if err != nil {
			return nil, err
		}
		switch {
		case why == "":
			if !slices.ContainsFunc(found, func(o Compiler) bool { return slices.Equal(o.CC, got.CC) || o.same(got) }) {
				found = append(found, got)
			}
		case c.mine && why == whyAbsent:
			return nil, &MissingError{Target: t, Tried: []string{quoteWords(c.cc)}, Reason: MissingUser}
		case why == whyHeaders:
			missing.Reason, missing.Tried = MissingHeaders, append(missing.Tried, quoteWords(c.cc))
		case why == whyTooNew:
			missing.Reason, missing.Tried = MissingZig, append(missing.Tried, quoteWords(c.cc))
		case c.dirs == nil && !slices.Contains(missing.Tried, c.cc[0]) && len(missing.Tried) < 12:
			missing.Tried = append(missing.Tried, c.cc[0])
		}
	}
	zigs, err := f.ofZig(ctx, t)
	if err != nil {
		return nil, err
	}
	if found = append(found, zigs...); len(found) > 0 {
		return f.byCPU(ctx, t, found)
	}
	switch {
	case t.Floor != "":
		missing.Reason = MissingZig
	case t.OS == "darwin" || t.OS == "ios":
		missing.Reason = MissingSDK
	}
	missing.Tried = append(missing.Tried, "zig")
	return nil, missing
}

// same says whether two compilers are one program by two names.
func (c Compiler) same(o Compiler) bool {
	if len(c.CC) != len(o.CC) || !slices.Equal(c.CC[1:], o.CC[1:]) {
		return false
	}
	a, err1 := os.Stat(c.Where)
	b, err2 := os.Stat(o.Where)
	return err1 == nil && err2 == nil && os.SameFile(a, b) && !strings.HasSuffix(c.Where, "-clang")
}

// Why a candidate is none.
const (
	whyAbsent  = "absent"
	whyWrong   = "wrong"   // for something else
	whyHeaders = "headers" // without a C library
	whyTooNew  = "too-new" // its glibc is above the floor
)

// resolve looks at one candidate.
func (f *Finder) resolve(ctx context.Context, t Target, c candidate) (got Compiler, why string, err error) {
	path := f.program(c.dirs, c.cc[0])
	if path == "" {
		return got, whyAbsent, nil
	}
	got = Compiler{Target: t, Family: c.family, Where: path, From: cmp.Or(c.from, "PATH")}
	name := func(words []string, path string) []string {
		if c.dirs != nil {
			return append([]string{path}, words[1:]...)
		}
		return slices.Clone(words)
	}
	got.CC = name(c.cc, path)
	if len(c.cxx) > 0 {
		if p := f.program(c.dirs, c.cxx[0]); p != "" {
			got.CXX = name(c.cxx, p)
		}
	}
	if c.ar != "" {
		if p := f.program(c.dirs, c.ar); p != "" {
			got.AR = name([]string{c.ar}, p)
		}
	}
	s, err := f.look(ctx, got.CC, t)
	if err != nil {
		return got, "", err
	}
	got.Version, got.Libc, got.Glibc = s.version, s.libc, s.glibc
	if c.family == "" || c.family == GCC || c.family == Clang {
		got.Family = s.family(t, c.cc[0], path)
	}
	got.Env = f.pkgConfig(t, c, got)
	if c.mine {
		got.Family = User
		return got, "", nil
	}
	return got, s.judge(t), nil
}

// judge says why a compiler that was looked at is none for t; "" if it is one.
func (s *sight) judge(t Target) string {
	switch {
	case s.os == "" && s.headers:
		return whyHeaders
	case s.os != t.OS || s.arch != t.Arch:
		return whyWrong
	case t.Libc != "" && t.Libc != s.libc:
		return whyWrong
	case t.Floor != "" && (s.glibc == "" || compareVersions(s.glibc, t.Floor) > 0):
		return whyTooNew
	}
	return ""
}

// family names the kind of a compiler by what it says.
func (s *sight) family(t Target, name, path string) Family {
	switch {
	case t.OS == "windows" && s.clang:
		return LLVMMinGW
	case t.OS == "windows":
		return MinGW
	case s.clang:
		return Clang
	case s.libc == Musl && strings.Contains(filepath.Base(name), "-musl"):
		if data, err := os.ReadFile(path); err == nil && len(data) < 4096 && strings.Contains(string(data), "-specs") { // Debian's other name for musl-gcc
			return MuslGCC
		}
		return MuslCross
	}
	return GCC
}

// ofUser are the candidates that the user's settings name.
func (f *Finder) ofUser(ctx context.Context, t Target) ([]candidate, error) {
	host := t.OS == runtime.GOOS && t.Arch == runtime.GOARCH && (t.Libc != Musl)
	suffixes := []string{"_FOR_" + t.OS + "_" + t.Arch}
	if t.Libc != "" {
		suffixes = append([]string{suffixes[0] + "_" + t.Libc}, suffixes...)
	}
	if !host {
		suffixes = append(suffixes, "_FOR_TARGET")
	}
	for i, suffix := range append(suffixes, "") {
		value := f.env("CC" + suffix)
		if value == "" {
			continue
		}
		cc, err := splitWords(value)
		if err != nil || len(cc) == 0 {
			return nil, &MissingError{Target: t, Tried: []string{value}, Reason: MissingUser}
		}
		c := candidate{family: User, cc: cc, from: "CC" + suffix, mine: i < len(suffixes) && suffix != "_FOR_TARGET", root: f.sysroot(t)}
		if c.cxx, err = splitWords(f.env("CXX" + suffix)); err != nil || len(c.cxx) == 0 {
			c.cxx = cxxOf(cc)
		}
		if ar, err := splitWords(f.env("AR" + suffix)); err == nil && len(ar) == 1 {
			c.ar = ar[0]
		}
		// A compiler for all targets but this machine, or for all of them, is one where it says so. One that is named for
		// linux/arm64 is no answer where linux/arm64/musl is asked for, if it has another C library.
		if c.mine && t.Libc != "" && !strings.HasSuffix(suffix, "_"+t.Libc) {
			c.mine = f.program(nil, cc[0]) == ""
			if s, err := f.look(ctx, cc, t); err != nil {
				return nil, err
			} else if s.libc == "" || s.libc == t.Libc {
				c.mine = true
			}
		}
		if suffix == "" && host {
			c.mine = f.program(nil, cc[0]) == ""
		}
		return []candidate{f.rooted(c)}, nil
	}
	return nil, nil
}

// rooted adds --sysroot where the user names one.
func (f *Finder) rooted(c candidate) candidate {
	if c.root == "" || slices.ContainsFunc(c.cc, func(w string) bool { return strings.HasPrefix(w, "--sysroot") }) {
		return c
	}
	c.cc = append(slices.Clip(c.cc), "--sysroot="+c.root)
	if len(c.cxx) > 0 {
		c.cxx = append(slices.Clip(c.cxx), "--sysroot="+c.root)
	}
	return c
}

// cxxOf guesses the C++ compiler beside a C compiler: g++ for gcc, clang++ for clang, with the arguments.
func cxxOf(cc []string) []string {
	dir, base := filepath.Split(cc[0])
	base, exe := strings.CutSuffix(base, ".exe")
	var name string
	switch i := strings.LastIndex(base, "gcc"); {
	case len(cc) > 1 && base == "zig" && cc[1] == "cc":
		return append([]string{cc[0], "c++"}, cc[2:]...)
	case i >= 0:
		name = base[:i] + "g++" + base[i+3:]
	case strings.Contains(base, "clang"):
		i := strings.LastIndex(base, "clang")
		name = base[:i] + "clang++" + base[i+5:]
	case base == "cc" || strings.HasSuffix(base, "-cc"):
		name = strings.TrimSuffix(base, "cc") + "c++"
	default:
		return nil
	}
	if exe {
		name += ".exe"
	}
	return append([]string{dir + name}, cc[1:]...)
}

// sysroot is the folder with the headers and libraries of t that the user names: SYSROOT_FOR_linux_arm64.
func (f *Finder) sysroot(t Target) string {
	key := "SYSROOT_FOR_" + t.OS + "_" + t.Arch
	if t.Libc != "" {
		if dir := f.env(key + "_" + t.Libc); dir != "" {
			return dir
		}
	}
	return f.env(key)
}

func (f *Finder) env(key string) string {
	if f.Env == nil {
		return ""
	}
	return f.Env(key)
}

func (f *Finder) runner() *gocmd.Runner {
	if f.Runner == nil {
		return &gocmd.Runner{}
	}
	return f.Runner
}

// program is the path of a program in dirs, or in PATH where they are nil; "" if it is not there.
func (f *Finder) program(dirs []string, name string) string {
	if dirs == nil || filepath.Base(name) != name {
		path, err := f.runner().FindTool(name)
		if err != nil {
			return ""
		}
		return path
	}
	for _, dir := range dirs {
		if path, err := f.runner().FindTool(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	return ""
}

// path are the folders of PATH.
func (f *Finder) path() []string {
	for _, kv := range slices.Backward(f.runner().Environ()) {
		if key, value, _ := strings.Cut(kv, "="); key == "PATH" || runtime.GOOS == "windows" && strings.EqualFold(key, "PATH") {
			return slices.DeleteFunc(filepath.SplitList(value), func(dir string) bool { return !filepath.IsAbs(dir) })
		}
	}
	return nil
}

// files are the names in a folder, sorted, kept for the life of the Finder.
func (f *Finder) files(dir string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if list, ok := f.names[dir]; ok {
		return list
	}
	if f.names == nil {
		f.names = map[string][]string{}
	}
	entries, _ := os.ReadDir(dir) // what cannot be read has no compilers
	list := make([]string, 0, len(entries))
	for _, e := range entries {
		list = append(list, e.Name())
	}
	f.names[dir] = list
	return list
}
