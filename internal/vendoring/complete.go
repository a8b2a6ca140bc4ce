package vendoring

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// complete copies into dst, the vendored module, the C files of src that its packages need and that are
// not there: below each package that C is compiled for, folders without Go files; what #cgo
// lines name; and what is included, wherever in the module it stands.
func complete(ctx context.Context, m vendored, src, dst string) ([]Added, error) {
	c := &completion{src: src, dst: dst, need: map[string]string{}, seen: map[string]bool{}, found: map[string]bool{}}
	for _, pkg := range m.packages {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		dir := strings.TrimPrefix(strings.TrimPrefix(pkg, m.path), "/")
		if err := c.pkg(pkg, path.Clean("./"+dir)); err != nil {
			return nil, err
		}
	}
	version := m.version
	if m.actual.Path != "" {
		version = m.actual.Version
	}
	return c.copy(m.path, version)
}

// completion collects the files that one module lacks. Paths are within the module, with slashes.
type completion struct {
	src, dst string
	need     map[string]string // file -> package that needs it
	seen     map[string]bool   // files whose includes were followed, with the package
	found    map[string]bool   // folders that were walked
}

// A cPackage is a package that C is compiled for.
type cPackage struct {
	path    string
	dir     string
	include []string // folders of -I
}

func (c *completion) pkg(importPath, dir string) error {
	entries, err := os.ReadDir(filepath.Join(c.src, filepath.FromSlash(dir)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a package of a nested module that go mod vendor took from elsewhere
	} else if err != nil {
		return err
	}
	p := cPackage{path: importPath, dir: dir}
	var files, preambles []string
	cgo := false
	for _, e := range entries {
		name := e.Name()
		switch {
		case e.IsDir():
		case strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go"):
			preamble, uses := c.preamble(path.Join(dir, name))
			cgo = cgo || uses
			preambles = append(preambles, preamble)
		case isC(name):
			files = append(files, path.Join(dir, name))
		}
	}
	if !cgo && len(files) == 0 {
		return nil
	}
	for _, text := range preambles {
		for _, f := range cgoFlags(text) {
			if err := c.flag(&p, f); err != nil {
				return err
			}
		}
	}
	for _, text := range preambles {
		c.includes(p, path.Join(dir, "preamble.h"), text)
	}
	for _, f := range files {
		c.follow(p, f)
	}
	if cgo {
		return c.below(p, dir, true)
	}
	return nil
}

// preamble is the comment of import "C" in a Go file, and whether there is that import. A file that
// does not parse is the compiler's to complain of.
func (c *completion) preamble(name string) (text string, cgo bool) {
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(c.src, filepath.FromSlash(name)), nil, parser.ImportsOnly|parser.ParseComments)
	if err != nil || f == nil {
		return "", false
	}
	var b strings.Builder
	for _, d := range f.Decls {
		gen, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, s := range gen.Specs {
			spec, ok := s.(*ast.ImportSpec)
			if !ok || spec.Path.Value != `"C"` {
				continue
			}
			cgo = true
			for _, doc := range []*ast.CommentGroup{spec.Doc, gen.Doc} {
				if doc != nil {
					for _, line := range doc.List { // Text would take #cgo lines for directives
						b.WriteString(strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(line.Text, "//"), "/*"), "*/") + "\n")
					}
				}
			}
		}
	}
	return b.String(), cgo
}

var cgoLine = regexp.MustCompile(`(?m)^\s*#cgo\s[^:\n]*:(.*)$`)

// cgoFlags are the words of the #cgo lines of a preamble.
func cgoFlags(preamble string) []string {
	var flags []string
	for _, m := range cgoLine.FindAllStringSubmatch(preamble, -1) {
		flags = append(flags, strings.Fields(m[1])...)
	}
	return flags
}

// flag takes what a word of a #cgo line names: -I folders, -L folders, libraries and objects.
func (c *completion) flag(p *cPackage, word string) error {
	word = strings.Trim(word, `"'`)
	folder, isDir := strings.CutPrefix(word, "-I")
	if !isDir {
		folder, isDir = strings.CutPrefix(word, "-L")
	}
	if folder == "" || strings.HasPrefix(word, "-") && !isDir {
		return nil // "-I" and its folder may be two words: the folder comes alone, next
	}
	name := c.within(*p, folder)
	if name == "" {
		return nil
	}
	info, err := os.Stat(filepath.Join(c.src, filepath.FromSlash(name)))
	switch {
	case err != nil:
		return nil // for another system, or made by hand: the compiler knows
	case info.IsDir():
		p.include = append(p.include, name)
		return c.below(*p, name, false)
	case info.Mode().IsRegular() && isC(name):
		c.add(*p, name)
	}
	return nil
}

// within is the path in the module of what a #cgo line of p names; empty for what stands outside.
func (c *completion) within(p cPackage, name string) string {
	name = filepath.ToSlash(name)
	if rest, ok := strings.CutPrefix(name, "${SRCDIR}"); ok {
		name = "." + rest
	}
	if path.IsAbs(name) || strings.Contains(name, "$") || strings.Contains(name, ":") {
		return ""
	}
	name = path.Join(p.dir, name)
	if name == ".." || strings.HasPrefix(name, "../") {
		return ""
	}
	return name
}

// below takes the C files of all folders below dir that have no Go files; of dir itself where not inner.
func (c *completion) below(p cPackage, dir string, inner bool) error {
	root := filepath.Join(c.src, filepath.FromSlash(dir))
	if c.found[dir] {
		return nil
	}
	c.found[dir] = true
	return filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			return nil
		}
		if name := d.Name(); file != root && (name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
			return fs.SkipDir
		}
		if file != root && exists(filepath.Join(file, "go.mod")) {
			return fs.SkipDir // another module
		}
		if file == root && inner {
			return nil
		}
		return c.folder(p, file)
	})
}

// folder takes the C files of one folder, unless Go files stand beside them: it is a package then, which
// go mod vendor copies as a whole if anybody imports it.
func (c *completion) folder(p cPackage, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(c.src, dir)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return strings.HasSuffix(e.Name(), ".go") }) {
		return nil
	}
	for _, e := range entries {
		if e.Type().IsRegular() && isC(e.Name()) {
			c.add(p, path.Join(filepath.ToSlash(rel), e.Name()))
		}
	}
	return nil
}

// add takes a file, with what it includes.
func (c *completion) add(p cPackage, name string) {
	if !exists(filepath.Join(c.dst, filepath.FromSlash(name))) && c.need[name] == "" {
		c.need[name] = p.path
	}
	c.follow(p, name)
}

// largestC is the size of a file whose includes are looked at: sqlite3.c has 9 MB.
const largestC = 32 << 20

// follow looks at what a file includes.
func (c *completion) follow(p cPackage, name string) {
	key := p.path + "\x00" + name // -I folders are those of the package
	if c.seen[key] || !isText(name) {
		return
	}
	c.seen[key] = true
	f, err := os.Open(filepath.Join(c.src, filepath.FromSlash(name)))
	if err != nil {
		return
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, largestC))
	if err == nil {
		c.includes(p, name, string(data))
	}
}

var includeLine = regexp.MustCompile(`(?m)^[ \t]*(?:#[ \t]*(?:include|include_next|import|embed)[ \t]*[<"]([^>"\n]+)[>"]|\.incbin[ \t]+"([^"\n]+)")`)

// includes takes what text, which stands in the file name, includes: beside the file, in the package, in a folder of -I.
func (c *completion) includes(p cPackage, name, text string) {
	for _, m := range includeLine.FindAllStringSubmatch(text, -1) {
		want := m[1] + m[2]
		for _, dir := range append([]string{path.Dir(name), p.dir}, p.include...) {
			at := path.Join(dir, want)
			if path.IsAbs(want) || at == ".." || strings.HasPrefix(at, "../") {
				continue
			}
			if info, err := os.Lstat(filepath.Join(c.src, filepath.FromSlash(at))); err == nil && info.Mode().IsRegular() {
				c.add(p, at)
				break
			}
		}
	}
}

// copy copies what is needed, and lists it by folder.
func (c *completion) copy(module, version string) ([]Added, error) {
	byDir := map[string]*Added{}
	for _, name := range slices.Sorted(maps.Keys(c.need)) {
		n, err := copyFile(filepath.Join(c.src, filepath.FromSlash(name)), filepath.Join(c.dst, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		dir := path.Dir(name)
		a := byDir[dir]
		if a == nil {
			a = &Added{Module: module, Version: version, Dir: dir, For: c.need[name]}
			byDir[dir] = a
		}
		a.Files = append(a.Files, path.Base(name))
		a.Bytes += n
	}
	var added []Added
	for _, dir := range slices.Sorted(maps.Keys(byDir)) {
		added = append(added, *byDir[dir])
	}
	return added, nil
}

func copyFile(from, to string) (n int64, err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return 0, err
	}
	in, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666) // those of the module cache are read-only
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	return io.Copy(out, in)
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// textC are the endings of files that can include others, and otherC those of what the linker takes. They are
// those that the go command knows (go/build), and what people name headers beside.
func textC() []string {
	return []string{
		".c", ".cc", ".cpp", ".cxx", ".c++", ".h", ".hh", ".hpp", ".hxx", ".h++", ".m", ".mm", ".s", ".S", ".sx", ".f", ".F", ".for", ".f90",
		".inc", ".inl", ".ipp", ".tcc", ".tpp", ".def", ".x", ".swig", ".swigcxx",
	}
}

func otherC() []string {
	return []string{".a", ".o", ".so", ".syso", ".lib", ".dll", ".dylib", ".tbd", ".bin", ".ld"}
}

func isText(name string) bool { return slices.Contains(textC(), path.Ext(name)) }

// isC reports whether a C compiler or linker could want the file; libfoo.so.1 counts.
func isC(name string) bool {
	ext := path.Ext(name)
	for {
		if _, err := strconv.Atoi(strings.TrimPrefix(ext, ".")); err != nil {
			break
		}
		name = strings.TrimSuffix(name, ext)
		ext = path.Ext(name)
	}
	return slices.Contains(textC(), ext) || slices.Contains(otherC(), ext)
}
