package toolchain

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// An Owner says who put a toolchain where it was found.
type Owner string

// The owners.
const (
	ByGoferry  Owner = "goferry"
	ByGVM      Owner = "gvm"
	ByG        Owner = "g"
	ByGoenv    Owner = "goenv"
	ByMise     Owner = "mise"
	ByAsdf     Owner = "asdf"
	ByGobrew   Owner = "gobrew"
	ByGoup     Owner = "goup"
	ByDL       Owner = "golang.org/dl" // ~/sdk
	ByModCache Owner = "modcache"      // the go command itself, by GOTOOLCHAIN
	ByHomebrew Owner = "homebrew"
	BySystem   Owner = "system" // an installer, a package of the system, an administrator
	ByPath     Owner = "path"   // nobody that is known, but it is in PATH
)

// A Found is a toolchain on this machine.
type Found struct {
	Target
	Root  string `json:"root"` // GOROOT, without links
	Owner Owner  `json:"owner"`
	// Name is the first line of VERSION. Target.Version is empty where that is the name of no release, as of a
	// toolchain that somebody built from source.
	Name string `json:"name"`
	// InPath says that it is the one that the first go command in PATH belongs to.
	InPath bool `json:"inPath"`
}

// A Finder looks for toolchains. The zero Finder looks where a system keeps them.
type Finder struct {
	Home     Home              // goferry's own; not reported where Dir is empty
	User     string            // the home folder of the user; may be empty
	ModCache string            // GOMODCACHE; may be empty
	Path     []string          // the folders of PATH
	Dirs     map[string]string // what variables such as GVM_ROOT say, by their names; see FinderVariables

	system []string // instead of systemRoots, for tests
}

// FinderVariables lists the variables by which other managers are moved, for Finder.Dirs.
func FinderVariables() []string {
	return []string{"GVM_ROOT", "G_HOME", "GOENV_ROOT", "MISE_DATA_DIR", "ASDF_DATA_DIR", "XDG_DATA_HOME", "GOBREW_ROOT", "HOMEBREW_PREFIX", "LOCALAPPDATA"}
}

// Find returns what is there, newest version first, each once. What cannot be read is passed over: this is a look
// around, and whoever wants one of them finds out.
func (f Finder) Find() []Found {
	inPath := ""
	if program := f.Program("go"); program != "" {
		inPath, _ = RootOf(program)
	}
	seen := map[string]bool{}
	var all []Found
	for _, p := range f.places(inPath) {
		found, err := Identify(p.root)
		if err != nil || seen[found.Root] {
			continue
		}
		seen[found.Root] = true
		found.Owner = p.owner
		found.InPath = found.Root == inPath
		all = append(all, found)
	}
	slices.SortFunc(all, func(a, b Found) int {
		return cmp.Or(b.Version.Compare(a.Version), strings.Compare(b.Name, a.Name), a.Target.Compare(b.Target), strings.Compare(a.Root, b.Root))
	})
	return all
}

// A findPlace is a folder that may be a GOROOT.
type findPlace struct {
	root  string
	owner Owner
}

// places are the folders to look at; the first that leads to a toolchain says who owns it.
func (f Finder) places(inPath string) []findPlace {
	var list []findPlace
	add := func(owner Owner, pattern ...string) {
		if pattern[0] == "" {
			return
		}
		roots, err := filepath.Glob(filepath.Join(append([]string{globQuote(pattern[0])}, pattern[1:]...)...))
		if err != nil {
			return // only a bad pattern, and they stand here
		}
		for _, root := range roots {
			list = append(list, findPlace{root, owner})
		}
	}
	if f.Home.Dir != "" {
		add(ByGoferry, f.Home.SDKs(), "go*")
	}
	add(ByGVM, f.dir("GVM_ROOT", ".gvm"), "gos", "go*")
	add(ByG, f.dir("G_HOME", ".g"), "versions", "*")
	add(ByG, f.dir("", ".go"), ".versions", "*")
	add(ByGoenv, f.dir("GOENV_ROOT", ".goenv"), "versions", "*")
	add(ByMise, f.dataDir("MISE_DATA_DIR", "mise"), "installs", "go", "*")
	add(ByAsdf, f.dir("ASDF_DATA_DIR", ".asdf"), "installs", "golang", "*", "go")
	add(ByGobrew, f.dir("GOBREW_ROOT", ""), ".gobrew", "versions", "*", "go")
	add(ByGoup, f.dir("", ".go"), "go*")
	add(ByDL, f.dir("", "sdk"), "go*")
	if f.ModCache != "" {
		add(ByModCache, filepath.Join(f.ModCache, "golang.org"), "toolchain@v0.0.1-go*")
	}
	add(ByHomebrew, cmp.Or(f.Dirs["HOMEBREW_PREFIX"], "/opt/homebrew"), "Cellar", "go*", "*", "libexec")
	add(ByHomebrew, "/usr/local/Cellar", "go*", "*", "libexec")
	for _, root := range f.systemRoots() {
		add(BySystem, filepath.Dir(root), filepath.Base(root))
	}
	if inPath != "" {
		list = append(list, findPlace{inPath, ByPath})
	}
	return list
}

// globQuote keeps the characters of a path from meaning anything in a pattern. On Windows nothing can be quoted;
// a folder with a bracket in its name is not looked at there.
func globQuote(dir string) string {
	if runtime.GOOS == "windows" {
		return dir
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// dir is the folder that variable names, else name in the user's home; empty where neither is known.
func (f Finder) dir(variable, name string) string {
	if dir := f.Dirs[variable]; dir != "" {
		return dir
	}
	if f.User == "" {
		return ""
	}
	return filepath.Join(f.User, name)
}

// dataDir is the folder that variable names, else name where programs of the user keep data.
func (f Finder) dataDir(variable, name string) string {
	if dir := f.Dirs[variable]; dir != "" {
		return dir
	}
	if data := cmp.Or(f.Dirs["XDG_DATA_HOME"], f.Dirs["LOCALAPPDATA"]); data != "" {
		return filepath.Join(data, name)
	}
	return f.dir("", filepath.Join(".local", "share", name))
}

// systemRoots are where installers and packages put Go, as patterns.
func (f Finder) systemRoots() []string {
	switch {
	case f.system != nil:
		return f.system
	case runtime.GOOS == "windows":
		return []string{`C:\Program Files\Go`, `C:\Program Files (x86)\Go`, `C:\Go`}
	}
	return []string{"/usr/local/go", "/usr/lib/go", "/usr/lib/go-1*", "/usr/lib64/go", "/usr/lib/golang", "/usr/local/go1*", "/opt/go", "/snap/go/current"}
}

// Program returns the path of the program name in f.Path, as a shell would find it; empty where it is not there.
// Relative folders do not count, as they do not for the go command.
func (f Finder) Program(name string) string {
	suffixes := []string{""}
	if runtime.GOOS == "windows" {
		suffixes = []string{".exe", ".bat", ".cmd"}
	}
	for _, dir := range f.Path {
		if !filepath.IsAbs(dir) {
			continue
		}
		for _, suffix := range suffixes {
			program := filepath.Join(dir, name+suffix)
			info, err := os.Stat(program)
			if err == nil && !info.IsDir() && (runtime.GOOS == "windows" || info.Mode()&0o111 != 0) {
				return program
			}
		}
	}
	return ""
}

// RootOf returns the GOROOT, without links, that the go command program would find for itself. The error matches
// ErrTree where it stands in none, as a wrapper script does. Source: cmd/go/internal/cfg, findGOROOT.
func RootOf(program string) (string, error) {
	real, err := filepath.EvalSymlinks(program)
	if err != nil {
		return "", err
	}
	if strings.HasSuffix(real, ".cmd") {
		if to, err := readProgramLink(real); err == nil {
			real = filepath.Join(filepath.Dir(real), to)
		}
	}
	for _, exe := range []string{real, program} {
		root := filepath.Dir(filepath.Dir(exe))
		if isRoot(root) {
			return filepath.EvalSymlinks(root)
		}
	}
	return "", fmt.Errorf("%s: %w", program, ErrTree)
}

// isRoot is the go command's own test of a GOROOT.
func isRoot(root string) bool {
	info, err := os.Stat(filepath.Join(root, "pkg", "tool"))
	return err == nil && info.IsDir()
}

// Identify says which toolchain the folder root is: the version from VERSION, the system from pkg/tool, the own one
// first where there are tools of several. Target.Version is empty for a version that was never released. The error
// matches ErrTree, or is that of the file system.
func Identify(root string) (Found, error) {
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return Found{}, err
	}
	if real, err = filepath.Abs(real); err != nil {
		return Found{}, err
	}
	found := Found{Root: real, Target: Target{OS: runtime.GOOS, Arch: runtime.GOARCH}}
	data, err := os.ReadFile(filepath.Join(real, "VERSION"))
	switch {
	case errors.Is(err, fs.ErrNotExist) && isRoot(real): // built from a checkout
		found.Name = "devel"
	case errors.Is(err, fs.ErrNotExist):
		return Found{}, fmt.Errorf("%s: %w: it has no VERSION", root, ErrTree)
	case err != nil:
		return Found{}, err
	default:
		line, _, _ := strings.Cut(string(data), "\n")
		found.Name = strings.TrimSpace(line)
	}
	if v, err := ParseVersion(found.Name); err == nil && string(v) == found.Name {
		found.Version = v
	}
	if !isRoot(real) {
		return Found{}, fmt.Errorf("%s: %w: it has no tools", root, ErrTree)
	}
	platform := treePlatforms(real)[0]
	found.OS, found.Arch = platform.OS, platform.Arch
	return found, nil
}
