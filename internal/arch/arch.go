// Package arch holds the agreement on rooms: who may import whom, who owns what,
// and what no room may do.
//
// It is a test. No room imports it, it runs no command, and it judges source
// text alone: what it cannot see there (a variable changed through a method, a
// promise broken at run time) it does not find.
package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Module is the path of the module whose rooms these are.
const Module = "github.com/goferry/goferry"

// A Problem is one breach of the agreement.
type Problem struct {
	Rule    string // one of Rules
	Pos     string // file:line, or a folder
	Text    string
	Warning bool // worth a look, no more
}

// String returns "pos: rule: text".
func (p Problem) String() string { return p.Pos + ": " + p.Rule + ": " + p.Text }

// Rules lists the rules that Check and Leaks can find broken, so that a test can
// want each of them seen to fail.
func Rules() []string {
	return []string{
		"place", "import", "helper", "owner", "dot-import", "init", "exit", "fatal", "context", "slog", "flag", "env",
		"var", "package-comment", "doc", "length", "host", "path", "merge",
	}
}

// Check judges all Go source below fsys, the root of the module.
func Check(fsys fs.FS) ([]Problem, error) {
	c := &checker{fset: token.NewFileSet(), rooms: Rooms(), helpers: Helpers()}
	if err := c.load(fsys); err != nil {
		return nil, err
	}
	for _, p := range c.packages {
		for _, f := range p.files {
			c.imports(p, f)
			c.length(f)
		}
		if !p.helper {
			c.bans(p)
		}
		c.docs(p)
	}
	slices.SortStableFunc(c.problems, func(a, b Problem) int { return strings.Compare(a.Pos, b.Pos) })
	return c.problems, nil
}

type checker struct {
	fset     *token.FileSet
	rooms    []Room
	helpers  []Helper
	packages []*pkg
	problems []Problem
}

// A pkg is all Go files of one folder, tests included.
type pkg struct {
	dir    string
	room   *Room
	helper bool // test-only
	files  []*file
}

type file struct {
	name string
	test bool
	ast  *ast.File
}

func (c *checker) report(rule, pos, format string, args ...any) {
	c.problems = append(c.problems, Problem{Rule: rule, Pos: pos, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) reportAt(rule string, n ast.Node, format string, args ...any) {
	p := c.fset.Position(n.Pos())
	c.report(rule, fmt.Sprintf("%s:%d", p.Filename, p.Line), format, args...)
}

// load parses the module and finds the room of every folder.
func (c *checker) load(fsys fs.FS) error {
	return fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			if path.Ext(name) != ".go" {
				return nil
			}
			return c.loadFile(fsys, name)
		}
		base := d.Name()
		if name != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "vendor") {
			return fs.SkipDir
		}
		if path.Dir(name) == "internal" && c.roomOf(name) == nil {
			c.report("place", name, "no row of the table of rooms has this folder")
			return fs.SkipDir
		}
		return nil
	})
}

func (c *checker) loadFile(fsys fs.FS, name string) error {
	dir := path.Dir(name)
	room := c.roomOf(dir)
	if room == nil {
		c.report("place", name, "Go source stands in cmd/goferry or in a room under internal")
		return nil
	}
	src, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	parsed, err := parser.ParseFile(c.fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	f := &file{name: name, test: strings.HasSuffix(name, "_test.go"), ast: parsed}
	if n := len(c.packages); n > 0 && c.packages[n-1].dir == dir {
		c.packages[n-1].files = append(c.packages[n-1].files, f)
		return nil
	}
	if i := slices.IndexFunc(c.packages, func(p *pkg) bool { return p.dir == dir }); i >= 0 {
		c.packages[i].files = append(c.packages[i].files, f)
		return nil
	}
	c.packages = append(c.packages, &pkg{dir: dir, room: room, helper: c.helperOf(dir) != nil, files: []*file{f}})
	return nil
}

// roomOf returns the room of a folder, or nil. A helper that is not inside a
// room's folder belongs to the room it helps.
func (c *checker) roomOf(dir string) *Room {
	name := ""
	if rest, ok := strings.CutPrefix(dir+"/", "internal/"); ok {
		name, _, _ = strings.Cut(rest, "/")
		if h := c.helperOf("internal/" + name); h != nil {
			name = h.Room
		}
	} else if strings.HasPrefix(dir+"/", mainRoom+"/") {
		name = mainRoom
	}
	i := slices.IndexFunc(c.rooms, func(r Room) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return &c.rooms[i]
}

func (c *checker) helperOf(dir string) *Helper {
	i := slices.IndexFunc(c.helpers, func(h Helper) bool { return h.Name == path.Base(dir) })
	if i < 0 {
		return nil
	}
	return &c.helpers[i]
}

// length warns of files that want to be two.
func (c *checker) length(f *file) {
	const most = 700
	if n := c.fset.File(f.ast.FileStart).LineCount(); n > most {
		c.problems = append(c.problems, Problem{Rule: "length", Pos: f.name, Text: fmt.Sprintf("%d lines, more than %d", n, most), Warning: true})
	}
}
