package image

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"net"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/goferry/goferry/internal/gocmd"
)

// ErrNoMain says that no package of a project is a program.
var ErrNoMain = errors.New("no package main")

// A Project is what is known about the programs of a module or a workspace.
type Project struct {
	Root     string   // folder of go.work or go.mod
	Module   string   // path of the main module; of a workspace, the first one
	Go       string   // version of the Go that builds it: "1.26.8"
	ModFiles []string // go.mod, go.sum, go.work and go.work.sum of all main modules and folders that replace modules, from Root, with slashes
	Work     bool     // a workspace
	Vendor   bool     // has a vendor folder that the go command would use
	Mains    []Main
	CGO      []string // packages outside of the standard library that use cgo on Linux; empty if the programs build without it
	MayCGO   []string // the same where the programs build without it: whether they work then, nobody but their authors knows (go-sqlite3 does not)
	CGOOff   bool     // go build leaves cgo out on this machine: CGO_ENABLED=0, or no C compiler
	Tags     string   // build tags of GOFLAGS, with commas
	Outside  []Outside
	Files    []string // what the programs are compiled from, as far as it stands below Root, with slashes
	Ports    []int    // TCP ports that the programs' own code listens on, as far as they are written in it
}

// A Main is a program.
type Main struct {
	Package string // "./cmd/app", from Project.Root, or an import path
	Name    string // of the program
}

// An Outside is a folder that the build reads and that does not stand below Project.Root.
type Outside struct {
	Dir string
	Use bool // a main module of a workspace; else it replaces a module, and a vendor folder has its packages
}

// A Loader finds out about projects by asking the go command.
type Loader struct {
	Runner *gocmd.Runner
	Env    []string // KEY=VALUE over the Runner's: GOPROXY
}

// Load looks at the project in dir. packages are patterns for the programs, as for go build; none means all below dir.
// Errors are gocmd.ErrNoModule, ErrNoMain, *gocmd.GoError, *gocmd.ToolError and the cause of ctx.
func (l Loader) Load(ctx context.Context, dir string, packages []string) (Project, error) {
	p, err := l.root(ctx, dir)
	if err != nil {
		return p, err
	}
	dirs, err := l.modFiles(ctx, &p)
	if err != nil {
		return p, err
	}
	if len(packages) == 0 {
		packages = below(dir, dirs)
	}
	linux := Loader{Runner: l.Runner, Env: append(slices.Clone(l.Env), "GOOS=linux", "CGO_ENABLED=1")} // whatever this machine is
	pkgs, err := linux.list(ctx, dir, nil, packages)
	if err != nil {
		return p, err
	}
	names, err := p.programs(pkgs)
	if err != nil {
		return p, err
	}
	deps, err := linux.list(ctx, dir, []string{"-deps"}, names)
	if err != nil {
		return p, err
	}
	if err := l.cgo(ctx, dir, names, deps, &p); err != nil {
		return p, err
	}
	for _, pkg := range deps {
		p.Files = append(p.Files, pkg.below(p.Root)...)
		if pkg.Module != nil && pkg.Module.Main {
			p.Ports = append(p.Ports, ports(pkg.Dir, append(pkg.GoFiles, pkg.CgoFiles...))...)
		}
	}
	slices.Sort(p.Ports)
	p.Ports = slices.Compact(p.Ports)
	return p, nil
}

// programs takes the programs of the project among pkgs, and returns their import paths.
func (p *Project) programs(pkgs []listed) (names []string, err error) {
	for _, pkg := range pkgs {
		if pkg.Name != "main" || pkg.Module == nil || !pkg.Module.Main {
			continue
		}
		names = append(names, pkg.ImportPath)
		m := Main{Package: pkg.ImportPath, Name: programName(pkg.ImportPath)}
		if rel, err := filepath.Rel(p.Root, pkg.Dir); err == nil && filepath.IsLocal(rel) {
			if m.Package = "./" + filepath.ToSlash(rel); rel == "." {
				m.Package = "."
			}
		}
		for _, o := range p.Mains {
			if o.Name == m.Name {
				return nil, fmt.Errorf("%w: two programs are called %q: %s and %s", ErrOption, m.Name, o.Package, m.Package)
			}
		}
		p.Mains = append(p.Mains, m)
	}
	if len(p.Mains) == 0 {
		return nil, ErrNoMain
	}
	return names, nil
}

// root finds the folder of the project and the Go that builds it.
func (l Loader) root(ctx context.Context, dir string) (Project, error) {
	var p Project
	out, err := l.golang(ctx, dir, nil, "env", "GOMOD", "GOWORK", "GOVERSION", "CGO_ENABLED", "GOFLAGS")
	if err != nil {
		return p, err
	}
	said := strings.Split(strings.ReplaceAll(string(out), "\r\n", "\n"), "\n")
	if len(said) < 5 {
		return p, fmt.Errorf("go env: %d lines, want 5", len(said))
	}
	mod, work := said[0], said[1]
	p.Go = strings.TrimPrefix(strings.Fields(said[2] + " ?")[0], "go")
	p.CGOOff = said[3] == "0"
	for flag := range strings.FieldsSeq(said[4]) {
		if tags, ok := strings.CutPrefix(strings.TrimLeft(strings.Trim(flag, `"'`), "-"), "tags="); ok {
			p.Tags = tags
		}
	}
	switch {
	case work != "" && work != "off":
		p.Root, p.Work = filepath.Dir(work), true
	case mod != "" && mod != os.DevNull:
		p.Root = filepath.Dir(mod)
	default:
		return p, gocmd.ErrNoModule
	}
	_, err = os.Stat(filepath.Join(p.Root, "vendor", "modules.txt"))
	p.Vendor = err == nil
	return p, nil
}

// programName is what go build calls a program: the last element of its path, but for a major version from 2 on
// (cmd/go/internal/load, DefaultExecName).
func programName(importPath string) string {
	name := path.Base(importPath)
	if version, ok := strings.CutPrefix(name, "v"); ok && version != "" && version != "1" && version[0] != '0' && strings.Trim(version, "0123456789") == "" && path.Dir(importPath) != "." {
		name = path.Base(path.Dir(importPath))
	}
	return name
}

// below are the patterns of all packages in dir: of the main modules that stand there, or of dir itself within one.
func below(dir string, mains []string) []string {
	var patterns []string
	abs, err := filepath.Abs(dir)
	if err != nil {
		abs = dir
	}
	for _, m := range mains {
		if m == abs || strings.HasPrefix(m, abs+string(filepath.Separator)) {
			patterns = append(patterns, filepath.Join(m, "..."))
		}
	}
	if len(patterns) == 0 {
		patterns = []string{filepath.Join(abs, "...")}
	}
	return patterns
}

// modFiles lists the files that say which modules are needed, in the folders that the build reads them from. It
// returns the folders of the main modules.
func (l Loader) modFiles(ctx context.Context, p *Project) (mains []string, err error) {
	out, err := l.golang(ctx, p.Root, nil, "list", "-m", "-mod=readonly", "-f", "{{.Path}}\t{{.Dir}}")
	if err != nil {
		return nil, err
	}
	dirs := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		name, dir, _ := strings.Cut(strings.TrimSpace(line), "\t")
		p.Module = cmp.Or(p.Module, name)
		dirs[dir] = true
		mains = append(mains, dir)
		data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err != nil {
			return nil, err
		}
		f, err := modfile.Parse("go.mod", data, nil)
		if err != nil {
			return nil, err
		}
		replacing(dirs, dir, f.Replace)
	}
	if p.Work {
		data, err := os.ReadFile(filepath.Join(p.Root, "go.work"))
		if err != nil {
			return nil, err
		}
		f, err := modfile.ParseWork("go.work", data, nil)
		if err != nil {
			return nil, err
		}
		replacing(dirs, p.Root, f.Replace)
	}
	add := func(file string) {
		rel, err := filepath.Rel(p.Root, file)
		if _, miss := os.Stat(file); err == nil && miss == nil && filepath.IsLocal(rel) {
			p.ModFiles = append(p.ModFiles, filepath.ToSlash(rel))
		}
	}
	if p.Work {
		add(filepath.Join(p.Root, "go.work"))
		add(filepath.Join(p.Root, "go.work.sum"))
	}
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		if rel, err := filepath.Rel(p.Root, dir); err != nil || !filepath.IsLocal(rel) {
			p.Outside = append(p.Outside, Outside{dir, slices.Contains(mains, dir)})
		}
		add(filepath.Join(dir, "go.mod"))
		add(filepath.Join(dir, "go.sum"))
	}
	slices.Sort(p.ModFiles)
	return mains, nil
}

// replacing gathers the folders that modules are replaced by, which the file in dir says.
func replacing(dirs map[string]bool, dir string, rules []*modfile.Replace) {
	for _, r := range rules {
		to := filepath.FromSlash(r.New.Path)
		if !filepath.IsAbs(to) {
			to = filepath.Join(dir, to)
		}
		if r.New.Version == "" {
			dirs[filepath.Clean(to)] = true
		}
	}
}

// cgo finds the packages among deps that use cgo, and whether the programs build without it, which is
// tried and not guessed.
func (l Loader) cgo(ctx context.Context, dir string, mains []string, deps []listed, p *Project) error {
	var uses []string
	for _, pkg := range deps {
		if !pkg.Standard && len(pkg.CgoFiles) > 0 {
			uses = append(uses, pkg.ImportPath)
		}
	}
	if len(uses) == 0 {
		return nil
	}
	build := func(cgo string) error {
		_, err := l.golang(ctx, dir, []string{"GOOS=linux", "CGO_ENABLED=" + cgo}, append([]string{"build", "-o", os.DevNull}, mains...)...)
		return err
	}
	err := build("0")
	var ge *gocmd.GoError
	if !errors.As(err, &ge) {
		p.MayCGO = uses
		return err
	}
	p.CGO = uses
	if !l.canCGO(ctx, dir) {
		return nil
	}
	return build("1") // what fails both ways has another reason: a full disk, a mistake in the C
}

// canCGO reports whether this machine compiles C for the programs: it is a Linux with the compiler that go would run.
func (l Loader) canCGO(ctx context.Context, dir string) bool {
	if runtime.GOOS != "linux" {
		return false
	}
	cc, err := l.golang(ctx, dir, nil, "env", "CC")
	name, _, _ := strings.Cut(strings.TrimSpace(string(cc)), " ")
	if err != nil || name == "" {
		return false
	}
	_, err = l.Runner.FindTool(name)
	return err == nil
}

// A listed package is what is read of go list -json.
type listed struct {
	ImportPath, Name, Dir                                                  string
	Standard                                                               bool
	GoFiles, CgoFiles, CFiles, CXXFiles, HFiles, SFiles, SysoFiles, FFiles []string
	EmbedFiles                                                             []string
	Module                                                                 *struct{ Main bool }
}

// below lists the files of the package from root, if it stands below that.
func (pkg listed) below(root string) []string {
	rel, err := filepath.Rel(root, pkg.Dir)
	if err != nil || !filepath.IsLocal(rel) {
		return nil
	}
	var files []string
	for _, names := range [][]string{pkg.GoFiles, pkg.CgoFiles, pkg.CFiles, pkg.CXXFiles, pkg.HFiles, pkg.SFiles, pkg.SysoFiles, pkg.FFiles, pkg.EmbedFiles} {
		for _, name := range names {
			files = append(files, path.Join(filepath.ToSlash(rel), name))
		}
	}
	return files
}

func (l Loader) list(ctx context.Context, dir string, flags, packages []string) ([]listed, error) {
	args := append([]string{"list", "-json=ImportPath,Name,Dir,Standard,GoFiles,CgoFiles,CFiles,CXXFiles,HFiles,SFiles,SysoFiles,FFiles,EmbedFiles,Module"}, flags...)
	out, err := l.golang(ctx, dir, nil, append(args, packages...)...)
	if err != nil {
		return nil, err
	}
	var pkgs []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var pkg listed
		if err := d.Decode(&pkg); err == io.EOF {
			return pkgs, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		pkgs = append(pkgs, pkg)
	}
}

// golang runs the go command in dir and returns its output.
func (l Loader) golang(ctx context.Context, dir string, env []string, args ...string) ([]byte, error) {
	res, err := l.Runner.Run(ctx, gocmd.Cmd{Name: "go", Args: args, Dir: dir, Env: append(slices.Clone(l.Env), env...)})
	if err != nil {
		return nil, err
	}
	if res.ExitCode != 0 {
		return nil, &gocmd.GoError{Args: args, Stderr: string(res.Stderr)}
	}
	return res.Stdout, nil
}

// ports finds the ports that Go files listen on: addresses given to functions of that name, and fields Addr.
func ports(dir string, files []string) []int {
	var found []int
	take := func(e ast.Expr) {
		lit, ok := e.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return
		}
		addr, err := strconv.Unquote(lit.Value)
		if err != nil {
			return
		}
		_, port, err := net.SplitHostPort(addr)
		if n, bad := strconv.Atoi(port); err == nil && bad == nil && n > 0 && n < 65536 {
			found = append(found, n)
		}
	}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			continue // the build will say so
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if sel, ok := n.Fun.(*ast.SelectorExpr); ok && slices.Contains([]string{"ListenAndServe", "ListenAndServeTLS", "Listen", "Run", "Start"}, sel.Sel.Name) {
					for _, arg := range n.Args {
						take(arg)
					}
				}
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Addr" {
					take(n.Value)
				}
			}
			return true
		})
	}
	return found
}
