package cgo

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/types"
	"go/version"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/goferry/goferry/internal/gocmd"
)

// failuresShown is how many mistakes of one package are reported.
const failuresShown = 3

// newerGo reports whether a version of Go has a newer language than the one that is built into goferry.
func newerGo(v string) bool {
	return version.Compare(version.Lang("go"+v), version.Lang(runtime.Version())) > 0
}

// compileWithout finds the packages that do not compile without cgo, among those that differ and those that import
// such. A package that imports one that does not build is not judged: what is wrong there may follow from it.
func (l *checkLoader) compileWithout(ctx context.Context, g *checkLoad) ([]CgoFailure, error) {
	failed := map[string]bool{}
	for _, f := range g.failures {
		failed[f.Package] = true
	}
	if l.compile {
		return l.buildWithout(ctx, g, failed)
	}
	without := &typeChecker{l: l, arch: g.goarch, judged: affected(g.off, g.states), failed: failed}
	if err := without.run(ctx, g.off); err != nil || len(without.failures) == 0 {
		return nil, err
	}
	// What is wrong with cgo as well has nothing to do with it.
	judged := map[string]bool{}
	for _, f := range without.failures {
		judged[f.Package] = true
	}
	with := &typeChecker{l: l, arch: g.goarch, judged: judged, failed: map[string]bool{}, fakeC: true}
	if err := with.run(ctx, g.on); err != nil {
		return nil, err
	}
	for i, f := range without.failures {
		without.failures[i].Anyway = slices.Contains(with.failures, f)
	}
	return without.failures, nil
}

// affected are the packages that differ, and all that import them.
func affected(list []*listed, differ map[string]State) map[string]bool {
	judged := map[string]bool{}
	for _, p := range list {
		_, differs := differ[p.ImportPath]
		if !p.Standard && (differs || slices.ContainsFunc(p.Imports, func(path string) bool { _, gone := differ[path]; return gone || judged[path] })) {
			judged[p.ImportPath] = true
		}
	}
	return judged
}

// A typeChecker checks the types of packages and all that they import, from source.
type typeChecker struct {
	l      *checkLoader
	arch   string
	judged map[string]bool // whose mistakes count; of others the declarations are enough
	failed map[string]bool // are not judged, nor is what imports them
	fakeC  bool            // whatever is named C.x exists

	done     map[string]*types.Package
	failures []CgoFailure
}

// run checks a list in which importers come last.
func (c *typeChecker) run(ctx context.Context, list []*listed) error {
	c.done = map[string]*types.Package{"unsafe": types.Unsafe}
	for _, p := range list {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if p.ImportPath == "unsafe" || len(p.GoFiles)+len(p.CgoFiles) == 0 {
			continue
		}
		follows := slices.ContainsFunc(p.Imports, func(path string) bool { return c.failed[path] })
		mistakes := c.check(p, c.judged[p.ImportPath] && !follows && !c.failed[p.ImportPath])
		for _, m := range mistakes[:min(len(mistakes), failuresShown)] {
			c.failures = append(c.failures, CgoFailure{Package: p.ImportPath, Reason: "compile", Said: m})
		}
		if follows || len(mistakes) > 0 {
			c.failed[p.ImportPath] = true
		}
	}
	return nil
}

// errNotLoaded is for the importer; what it leads to is never shown.
var errNotLoaded = errors.New("not loaded")

// check checks one package, and returns what is wrong with it if that counts.
func (c *typeChecker) check(p *listed, counts bool) (mistakes []string) {
	var files []*ast.File
	for _, name := range p.sources() {
		f := c.l.parse(filepath.Join(p.Dir, name), counts)
		if f.err != nil && counts {
			mistakes = append(mistakes, c.l.relative(p, f.err.Error()))
		}
		if f.ast != nil {
			files = append(files, f.ast)
		}
	}
	conf := types.Config{
		FakeImportC: c.fakeC, IgnoreFuncBodies: !counts, Sizes: types.SizesFor("gc", c.arch),
		Importer: importerFunc(func(path string) (*types.Package, error) {
			if to, ok := p.ImportMap[path]; ok {
				path = to
			}
			if pkg := c.done[path]; pkg != nil {
				return pkg, nil
			}
			return nil, errNotLoaded
		}),
		Error: func(err error) {
			var te types.Error
			if counts && errors.As(err, &te) {
				mistakes = append(mistakes, c.l.relative(p, fmt.Sprintf("%v: %s", c.l.fset.Position(te.Pos), te.Msg)))
			}
		},
	}
	if p.Module != nil && p.Module.GoVersion != "" {
		conf.GoVersion = "go" + p.Module.GoVersion
	}
	c.done[p.ImportPath], _ = conf.Check(p.ImportPath, c.l.fset, files, nil) // Error has seen what is wrong
	if counts && len(p.SFiles)+len(p.SysoFiles) == 0 && !p.usesCgo() {
		mistakes = append(mistakes, c.bodiless(p, files)...)
	}
	return mistakes
}

// bodiless finds functions whose body would be in assembly, which go build does not compile for a package without cgo if
// it was meant for the C compiler. cmd/compile reports them where there is nothing else that they could be in.
func (c *typeChecker) bodiless(p *listed, files []*ast.File) (mistakes []string) {
	for _, f := range files {
		linked := map[string]bool{}
		for _, group := range f.Comments {
			for _, line := range group.List {
				if rest, ok := strings.CutPrefix(line.Text, "//go:linkname "); ok {
					name, _, _ := strings.Cut(rest, " ")
					linked[name] = true
				}
			}
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body == nil && !linked[fn.Name.Name] {
				mistakes = append(mistakes, c.l.relative(p, fmt.Sprintf("%v: missing function body", c.l.fset.Position(fn.Pos()))))
			}
		}
	}
	return mistakes
}

type importerFunc func(path string) (*types.Package, error)

func (f importerFunc) Import(path string) (*types.Package, error) { return f(path) }

// relative names the files of a package from the folder of its module: they may stand far away, in the module cache.
func (l *checkLoader) relative(p *listed, said string) string {
	if p.Module == nil || p.Module.Dir == "" {
		return said
	}
	return strings.ReplaceAll(said, p.Module.Dir+string(filepath.Separator), "")
}

// buildWithout builds the packages that differ and those that import them with the go command, which says what is wrong.
func (l *checkLoader) buildWithout(ctx context.Context, g *checkLoad, failed map[string]bool) ([]CgoFailure, error) {
	var failures []CgoFailure
	judged := affected(g.off, g.states)
	for _, p := range g.off {
		if follows := slices.ContainsFunc(p.Imports, func(path string) bool { return failed[path] }); follows || failed[p.ImportPath] {
			failed[p.ImportPath] = true
			continue
		}
		if !judged[p.ImportPath] || len(p.GoFiles) == 0 {
			continue
		}
		said, err := l.build(ctx, append(slices.Clone(g.env), "CGO_ENABLED=0"), p)
		if err != nil {
			return nil, err
		}
		if len(said) > 0 {
			failed[p.ImportPath] = true
		}
		for _, s := range said[:min(len(said), failuresShown)] {
			failures = append(failures, CgoFailure{Package: p.ImportPath, Reason: "compile", Said: s})
		}
	}
	return failures, nil
}

// build builds one package, and returns what the go command says is wrong.
func (l *checkLoader) build(ctx context.Context, env []string, p *listed) (said []string, err error) {
	args := append([]string{"build", "-o", os.DevNull}, l.tagFlags()...)
	_, err = l.golang(ctx, env, append(args, p.ImportPath)...)
	var ge *gocmd.GoError
	if !errors.As(err, &ge) {
		return nil, err
	}
	for line := range strings.Lines(ge.Stderr) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			said = append(said, l.relative(p, line))
		}
	}
	if len(said) == 0 {
		said = []string{ge.Error()}
	}
	return said, nil
}
