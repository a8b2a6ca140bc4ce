package toolchain

import (
	"cmp"
	"errors"
	"fmt"
	"go/version"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
)

// A Why says what made the go command choose a toolchain.
type Why string

// The reasons for a choice.
const (
	WhyPath      Why = "path"      // it is the one in PATH, and nothing asks for another
	WhySetting   Why = "setting"   // GOTOOLCHAIN names it
	WhyToolchain Why = "toolchain" // the toolchain line of File
	WhyGo        Why = "go"        // the go line of File
)

// ErrNoGo says that there is no go command in PATH.
var ErrNoGo = errors.New("no go command in PATH")

// A Current is what the word go means in a folder.
type Current struct {
	Name    string  `json:"name"`              // "go1.25.7"
	Version Version `json:"version,omitempty"` // empty if Name is no release
	Why     Why     `json:"why"`
	File    string  `json:"file,omitempty"` // the go.mod or go.work that decided

	// Program is the go command that does the work; empty where it is not on this machine: then the go command
	// would download it, or with GOTOOLCHAIN=path fail.
	Program string `json:"program,omitempty"`
	Root    string `json:"root,omitempty"` // its GOROOT

	First     string `json:"first"`     // the first go command in PATH, which chooses
	FirstRoot string `json:"firstRoot"` // its GOROOT; empty for a wrapper that is in none
	Setting   string `json:"gotoolchain"`
	Download  bool   `json:"download"` // whether it may download what is not there
}

// A Selector knows what the go command looks at when it chooses a toolchain.
type Selector struct {
	Finder  Finder
	Dir     string // absolute; where the go command is run
	Setting string // GOTOOLCHAIN, as the first go command in PATH understands it; empty means local
	GOWORK  string // of the environment: empty, "off" or a file
	Local   string // GOVERSION of the first go command in PATH, for wrappers that stand in no tree; may be empty
	GOMOD   bool   // false with GO111MODULE=off: then go.mod decides nothing
}

// Current says which toolchain a go command in s.Dir would be, by the rules of https://go.dev/doc/toolchain#select,
// without running any. Versions that are asked for by "go install m@v" are not known to it. The error matches ErrNoGo,
// ErrVersion for a setting or a line that the go command refuses, or is that of a file.
func (s Selector) Current() (Current, error) {
	c := Current{First: s.Finder.Program("go"), Setting: s.Setting, Why: WhyPath}
	if c.First == "" {
		return c, ErrNoGo
	}
	if root, err := RootOf(c.First); err == nil {
		c.FirstRoot = root
		if found, err := Identify(root); err == nil {
			c.Name = found.Name
		}
	}
	c.Name = cmp.Or(c.Name, s.Local)
	local := c.Name
	mode, err := s.minimum(&c)
	if err == nil && (mode == "auto" || mode == "path") && s.GOMOD {
		err = s.raise(&c)
	}
	if err != nil {
		return c, err
	}
	c.Download = mode != "path"
	if v, err := ParseVersion(c.Name); err == nil && string(v) == c.Name {
		c.Version = v
	}
	if c.Name == local {
		c.Program, c.Root = c.First, c.FirstRoot
		return c, nil
	}
	s.locate(&c)
	return c, nil
}

// minimum applies GOTOOLCHAIN and returns its mode: auto, path, or empty where nothing may change the choice.
func (s Selector) minimum(c *Current) (mode string, err error) {
	switch s.Setting {
	case "", "local":
		return "", nil
	case "auto", "path":
		return s.Setting, nil
	}
	least, mode, plus := strings.Cut(s.Setting, "+")
	if plus && mode != "auto" && mode != "path" {
		return "", fmt.Errorf("GOTOOLCHAIN=%s: %w", s.Setting, ErrVersion)
	}
	if least != "local" {
		if !version.IsValid(least) {
			return "", fmt.Errorf("GOTOOLCHAIN=%s: %w", s.Setting, ErrVersion)
		}
		if least != c.Name {
			c.Name, c.Why = least, WhySetting
		}
	}
	return mode, nil
}

// raise applies the lines of go.work or go.mod.
func (s Selector) raise(c *Current) error {
	lines, err := ReadProjectLines(s.Dir, s.GOWORK)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if lines.Toolchain == "default" || !version.IsValid(c.Name) { // what somebody built may be of any age
		return nil
	}
	if t := lines.Toolchain; t != "" {
		if !version.IsValid(t) {
			return fmt.Errorf("%s: toolchain %s: %w", lines.File, t, ErrVersion)
		}
		if version.Compare(t, c.Name) > 0 {
			c.Name, c.Why, c.File = t, WhyToolchain, lines.File
		}
	}
	if g := "go" + lines.Go; lines.Go != "" && version.Compare(g, c.Name) > 0 {
		c.Name, c.Why, c.File = firstRelease(g), WhyGo, lines.File
	}
	return nil
}

// firstRelease makes a release of a language version: since Go 1.21 the first one ends with .0. Source:
// https://go.dev/doc/toolchain#version.
func firstRelease(v string) string {
	if version.Lang(v) == v && version.Compare(v, "go1.21") >= 0 {
		return v + ".0"
	}
	return v
}

// locate finds the chosen toolchain where the go command looks: in PATH, then in the module cache.
func (s Selector) locate(c *Current) {
	if program := s.Finder.Program(c.Name); program != "" {
		c.Program = program
		c.Root, _ = RootOf(program) // a wrapper of somebody else is in none
		return
	}
	if c.Version == "" || s.Finder.ModCache == "" || !c.Download {
		return
	}
	m := Here(c.Version).Module()
	root := filepath.Join(s.Finder.ModCache, filepath.FromSlash(m.Path)+"@"+m.Version)
	if _, err := os.Stat(Program(root)); err == nil {
		c.Root, c.Program = root, Program(root)
	}
}

// ProjectLines are what a project says about its toolchain.
type ProjectLines struct {
	File      string // go.work or go.mod; absolute
	Go        string // "1.25", "1.25.7"; empty where there is no line
	Toolchain string // "go1.25.7", "default"; empty where there is no line
	Data      []byte // of the file
}

// Workspace reports whether the lines stand in a go.work; then those of go.mod files do not count.
func (p ProjectLines) Workspace() bool { return !strings.HasSuffix(p.File, ".mod") }

// maxProjectFile bounds a go.mod or go.work, in bytes, as the go command does.
const maxProjectFile = 16 << 20

// ReadProjectLines finds the go.work or go.mod that counts in the folder dir (absolute) and reads its lines; gowork
// is the variable GOWORK. The error matches fs.ErrNotExist where there is no project.
func ReadProjectLines(dir, gowork string) (ProjectLines, error) {
	file := ""
	switch gowork {
	case "off":
	case "":
		file = findUp(dir, "go.work")
	default:
		file = gowork
	}
	if file == "" {
		file = findUp(dir, "go.mod")
	}
	if file == "" {
		return ProjectLines{}, fmt.Errorf("%s: in no module: %w", dir, fs.ErrNotExist)
	}
	info, err := os.Stat(file)
	if err != nil {
		return ProjectLines{}, err
	}
	if info.Size() > maxProjectFile {
		return ProjectLines{}, fmt.Errorf("%s: larger than %d bytes", file, maxProjectFile)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return ProjectLines{}, err
	}
	return parseProjectLines(file, data)
}

// parseProjectLines reads the lines of a file with that name.
func parseProjectLines(file string, data []byte) (ProjectLines, error) {
	lines := ProjectLines{File: file, Data: data}
	if lines.Workspace() {
		f, err := modfile.ParseWork(file, data, nil)
		if err != nil {
			return ProjectLines{}, err
		}
		lines.set(f.Go, f.Syntax)
		return lines, nil
	}
	f, err := modfile.ParseLax(file, data, nil) // as the go command, which may be too old to know all lines
	if err != nil {
		return ProjectLines{}, err
	}
	lines.set(f.Go, f.Syntax)
	return lines, nil
}

// set takes the lines from a file. That with the toolchain is one that ParseLax leaves out.
func (p *ProjectLines) set(g *modfile.Go, syntax *modfile.FileSyntax) {
	if g != nil {
		p.Go = g.Version
	}
	p.Toolchain = lineWords(syntax)["toolchain"]
}

// findUp is the file name in dir or the nearest folder above that has it; empty where there is none.
func findUp(dir, name string) string {
	for {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err == nil && !info.IsDir() {
			return file
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// ErrTooOld says that a project asks for a newer Go than it would be given.
var ErrTooOld = errors.New("older than the go line demands")

// WithToolchain returns the file of p with a toolchain line for v, and whether that changes it. Nothing else is
// touched but, where the go line is v itself, a toolchain line that says no more: it is taken away, as the go command
// does. An empty v takes the line away. The error matches ErrTooOld if the go line demands more than v.
func (p ProjectLines) WithToolchain(v Version) ([]byte, bool, error) {
	if v != "" && p.Go != "" && version.Compare("go"+p.Go, string(v)) > 0 {
		return nil, false, fmt.Errorf("%s: %s: %w: go %s", p.File, v, ErrTooOld, p.Go)
	}
	if v != "" && v.Number() == p.Go {
		v = ""
	}
	if p.Toolchain == string(v) {
		return p.Data, false, nil
	}
	f, syntax, err := p.parse()
	if err != nil {
		return nil, false, err
	}
	if v == "" {
		f.DropToolchainStmt()
	} else if err := f.AddToolchainStmt(string(v)); err != nil {
		return nil, false, err
	}
	f.Cleanup()
	return modfile.Format(syntax), true, nil
}

// A projectFile is a go.mod or a go.work.
type projectFile interface {
	AddToolchainStmt(name string) error
	DropToolchainStmt()
	Cleanup()
}

// parse reads the file of p for a change.
func (p ProjectLines) parse() (projectFile, *modfile.FileSyntax, error) {
	if p.Workspace() {
		f, err := modfile.ParseWork(p.File, p.Data, nil)
		if err != nil {
			return nil, nil, err
		}
		return f, f.Syntax, nil
	}
	f, err := modfile.Parse(p.File, p.Data, nil)
	if err != nil {
		return nil, nil, err
	}
	return f, f.Syntax, nil
}
