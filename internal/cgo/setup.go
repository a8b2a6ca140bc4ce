package cgo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/goferry/goferry/internal/gocmd"
)

// A Setup puts compilers into a folder of the user, without rights on the system: Debian packages, unpacked and made to
// work from where they lie. Nothing else of the system is changed.
//
// The folder has one folder for each target, with the programs in its bin (HomeBins), a record of what it was made from
// (packFile), and the unpacked packages. A compiler is there as a whole, or not at all.
type Setup struct {
	Runner   *gocmd.Runner    // nil is the zero Runner
	Home     string           // goferry's folder of compilers, as Finder.Home
	Release  string           // text of /etc/os-release
	Progress func(SetupState) // may be nil; called by one goroutine at a time
}

// A SetupState says how far a Setup is.
type SetupState struct {
	Step        string // one of the Setup… steps
	Done, Total int64  // bytes, or 0
}

// The steps of a Setup.
const (
	SetupUpdate  = "update"  // lists of packages are fetched
	SetupResolve = "resolve" // which packages are needed
	SetupFetch   = "fetch"
	SetupUnpack  = "unpack"
)

// The codes of a SetupError.
const (
	SetupNoApt     = "no-apt"     // no apt here, so that nothing knows Debian packages
	SetupNoPackage = "no-package" // no Debian package has a compiler for the target; what it is asks for zig
	SetupUnknown   = "unknown"    // apt does not know the packages
	SetupOffline   = "fetch"      // apt could not fetch
	SetupDamaged   = "damaged"    // a package is not what the index or the pack says
	SetupNoUnpack  = "no-unpack"  // the program that decompresses is missing
	SetupOtherHost = "other-host" // a pack of another kind of machine
	SetupNotPack   = "not-pack"   // a file is no pack
	SetupNotIn     = "not-in"     // a pack has nothing for the target
	SetupLacking   = "lacking"    // the index of a folder names a package that is in none of the folders
	SetupSpace     = "space"      // musl-gcc does not work from a folder with a space in its name
)

// A SetupError says why a compiler could not be set up.
type SetupError struct {
	Code   string
	Target Target
	What   string // packages, a file, a program
	Said   string // what apt or dpkg said, its last lines
	Err    error  // may be nil
}

// Error names the target first.
func (e *SetupError) Error() string {
	text := fmt.Sprintf("compiler for %s: %s", e.Target, e.Code)
	for _, more := range []string{e.What, e.Said} {
		if more != "" {
			text += ": " + more
		}
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the reason.
func (e *SetupError) Unwrap() error { return e.Err }

// A Deb is a Debian package.
type Deb struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch"`
	File    string `json:"file"` // name of the file
	Size    int64  `json:"size"` // of the file in bytes
	SHA256  string `json:"sha256"`
}

// A Pack is what a compiler in the folder of the user is made from.
type Pack struct {
	Format  int    `json:"goferry_cc"` // version of this record
	Target  string `json:"target"`
	Name    string `json:"name"` // of its folder
	Kind    string `json:"kind"` // native, cross, mingw-w64, musl
	Triple  string `json:"triple"`
	Host    string `json:"host"`    // GOARCH of the machines that it runs on
	Release string `json:"release"` // of the system that its packages are for: debian 12
	Whole   bool   `json:"whole"`   // needs no compiler of the system
	Debs    []Deb  `json:"debs"`    // sorted by name
}

// packFile is the record of an unpacked pack, in its folder.
const packFile = "goferry-cc.json"

// Bytes is how much there is to fetch.
func (p *Pack) Bytes() (n int64) {
	for _, d := range p.Debs {
		n += d.Size
	}
	return n
}

// HomeBins are the folders with the programs of the compilers in home, sorted; they belong before PATH.
func HomeBins(home string) []string {
	entries, err := os.ReadDir(home)
	if err != nil || home == "" {
		return nil
	}
	var dirs []string
	for _, e := range entries {
		bin := filepath.Join(home, e.Name(), "bin")
		if info, err := os.Stat(bin); err == nil && info.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			dirs = append(dirs, bin)
		}
	}
	return dirs
}

// Dir is where the compiler of a pack lies.
func (s *Setup) Dir(p *Pack) string { return filepath.Join(s.Home, p.Name) }

// Installed reports whether the packages of p lie there already, in these versions.
func (s *Setup) Installed(p *Pack) bool {
	data, err := os.ReadFile(filepath.Join(s.Dir(p), packFile))
	var had Pack
	return err == nil && json.Unmarshal(data, &had) == nil && had.Format == p.Format && had.Kind == p.Kind && had.Whole == p.Whole && slices.Equal(had.Debs, p.Debs)
}

// Known reports whether the machine's own lists of packages, of apt, know all these names.
func (s *Setup) Known(ctx context.Context, names []string) bool {
	debs, err := s.closure(ctx, attempt{names: names})
	return err == nil && debs != nil
}

// Has reports whether a program is in PATH.
func (s *Setup) Has(program string) bool {
	_, err := s.runner().FindTool(program)
	return err == nil
}

// Remove takes the compiler of a target away.
func (s *Setup) Remove(t Target) error { return os.RemoveAll(filepath.Join(s.Home, packName(t))) }

// packName is the folder of a target's compiler.
func packName(t Target) string {
	t.Floor = ""
	return strings.ReplaceAll(t.String(), "/", "-")
}

// recipe is what of Debian makes a compiler for t on this machine.
func recipe(t Target) (p *Pack, names []string, err error) {
	p = &Pack{Format: 1, Target: t.String(), Name: packName(t), Host: runtime.GOARCH}
	arches, debian := debianArches(), installSystems()[0]
	cross := strings.Fields(debian.packages(t, false, ""))
	key := t.Arch
	if t.Arch == "arm" && t.Variant == "v5" {
		key = "arm/v5"
	}
	native := t.OS == "linux" && t.Arch == runtime.GOARCH
	switch {
	case t.Floor != "":
	case native && t.Libc == "musl":
		p.Kind, p.Triple, names = "musl", debianTriple(t.Arch), []string{"musl-tools"}
	case native:
		p.Kind, p.Triple, names = "native", debianTriple(t.Arch), []string{"gcc", "g++", "libc6-dev"}
	case t.OS == "linux" && t.Libc != "musl" && arches[key][0] != "":
		p.Kind, p.Triple, names = "cross", strings.Replace(arches[key][0], "x86-64", "x86_64", 1), cross
	case t.OS == "windows" && len(cross) > 0:
		p.Kind, p.Triple = "mingw-w64", map[string]string{"amd64": "x86_64-w64-mingw32", "386": "i686-w64-mingw32"}[t.Arch]
		if t.Libc == "ucrt" {
			p.Triple += "ucrt"
		}
		for _, n := range cross { // the kind with threads of C++11 and later; the package itself brings both
			if !strings.Contains(n, "ucrt") {
				n += "-posix"
			}
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		return nil, nil, &SetupError{Code: SetupNoPackage, Target: t}
	}
	return p, names, nil
}

// debianTriple is the name of the libraries of an architecture, and of its own compiler.
func debianTriple(arch string) string {
	return strings.Replace(strings.Replace(debianArches()[arch][0], "x86-64", "x86_64", 1), "i686-", map[bool]string{true: "i386-", false: "i686-"}[arch == "386" && runtime.GOARCH == "386"], 1)
}

// newFolder makes a folder beside those of the compilers, for what is not whole yet; others may read it, as what is installed.
func (s *Setup) newFolder() (string, error) {
	if err := os.MkdirAll(s.Home, 0o777); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(s.Home, ".new-")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, nil
}

// Install puts the compiler of p into the folder, from the packages in debs, each of which is checked. What was there
// before is replaced at the end, or stays.
func (s *Setup) Install(ctx context.Context, p *Pack, debs string) (err error) {
	t, err := ParseTarget(p.Target)
	if err != nil {
		return err
	}
	if p.Kind == "musl" && strings.ContainsAny(s.Home, " \t") { // gcc takes the paths of its start files apart there
		return &SetupError{Code: SetupSpace, Target: t, What: s.Home}
	}
	work, err := s.newFolder()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	host, err := s.unpackAll(ctx, p, t, debs, work)
	if err != nil {
		return err
	}
	if err := s.settle(p, work, host); err != nil {
		return err
	}
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(work, packFile), append(data, '\n'), 0o666); err != nil {
		return err
	}
	return replaceFolder(work, s.Dir(p))
}

// replaceFolder puts work where dir is. Between the two renames there is none, which whoever was stopped there mends by
// doing it again.
func replaceFolder(work, dir string) error {
	old := work + ".old"
	err := os.Rename(dir, old)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(work, dir); err != nil {
		return errors.Join(err, ignoreAbsent(os.Rename(old, dir)))
	}
	return os.RemoveAll(old)
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// unpackAll unpacks the packages of p into work. host are the libraries that the programs of p need, by their names in work.
func (s *Setup) unpackAll(ctx context.Context, p *Pack, t Target, debs, work string) (host []string, err error) {
	root, err := os.OpenRoot(work)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	lib := "usr/lib/" + debianTriple(p.Host) + "/"
	total, done := p.Bytes(), int64(0)
	tree := &debTree{root: root}
	for _, d := range p.Debs {
		s.tell(SetupState{Step: SetupUnpack, Done: done, Total: total})
		done += d.Size
		if p.leaves(d) {
			continue
		}
		tree.names = nil
		if err := s.unpackDeb(ctx, t, d, debs, tree); err != nil {
			return nil, err
		}
		for _, name := range tree.names {
			if rest, ok := strings.CutPrefix(name, lib); ok && !strings.Contains(rest, "/") && strings.Contains(rest, ".so") && !p.ofSystem(d) {
				host = append(host, name)
			}
		}
	}
	s.tell(SetupState{Step: SetupUnpack, Done: total, Total: total})
	return host, nil
}

// ofSystem reports whether d is the libc of the machine itself, which a program must never mix with another.
func (p *Pack) ofSystem(d Deb) bool {
	return d.Name == "libc6" || d.Name == "libc-bin" || strings.HasSuffix(d.Name, "-dev") || strings.HasPrefix(d.Name, "musl")
}

// leaves reports whether a package of the closure is of no use in a folder: the libc of the machine, which only a
// compiler for the machine itself links with, and what is no part of a compiler.
func (p *Pack) leaves(d Deb) bool {
	switch d.Name {
	case "libc6":
		return p.Kind != "native"
	case "libc-bin", "perl-base", "dpkg", "debconf", "tar", "install-info":
		return true
	}
	return false
}

func (s *Setup) tell(state SetupState) {
	if s.Progress != nil {
		s.Progress(state)
	}
}

func (s *Setup) runner() *gocmd.Runner {
	if s.Runner == nil {
		return &gocmd.Runner{}
	}
	return s.Runner
}
