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
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/goferry/goferry/internal/gocmd"
)

// ErrNoModule says that a folder lies in no module and no workspace; ErrNoMain that no package of it is a program.
var (
	ErrNoModule = errors.New("no go.mod or go.work here or in a folder above")
	ErrNoMain   = errors.New("no package main")
)

// A GoError is a go command that failed, with what it said.
type GoError struct {
	Args   []string // of go
	Stderr string
}

// Error is the command and the first line that it said which is no heading.
func (e *GoError) Error() string {
	for line := range strings.Lines(e.Stderr) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return fmt.Sprintf("go %s: %s", e.Args[0], line)
		}
	}
	return fmt.Sprintf("go %s failed", e.Args[0])
}

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
	Ports    []int    // TCP ports that the programs' own code listens on, as far as they are written in it
}

// A Main is a program.
type Main struct {
	Package string // "./cmd/app", from Project.Root, or an import path
	Name    string // of the program
}

// A Loader finds out about projects by asking the go command.
type Loader struct {
	Runner *gocmd.Runner
	Env    []string // KEY=VALUE over the Runner's: GOPROXY
}

// Load looks at the project in dir. packages are patterns for the programs, as for go build; none means all below dir.
// Errors are ErrNoModule, ErrNoMain, *GoError, *gocmd.ToolError and the cause of ctx.
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
	pkgs, err := l.list(ctx, dir, nil, packages)
	if err != nil {
		return p, err
	}
	var names []string
	for _, pkg := range pkgs {
		if pkg.Name != "main" || pkg.Module == nil || !pkg.Module.Main {
			continue
		}
		names = append(names, pkg.ImportPath)
		m := Main{Package: pkg.ImportPath, Name: programName(pkg.ImportPath)}
		if rel, err := filepath.Rel(p.Root, pkg.Dir); err == nil && !strings.HasPrefix(rel, "..") {
			if m.Package = "./" + filepath.ToSlash(rel); rel == "." {
				m.Package = "."
			}
		}
		p.Mains = append(p.Mains, m)
	}
	if len(p.Mains) == 0 {
		return p, ErrNoMain
	}
	if p.CGO, err = l.cgo(ctx, dir, names); err != nil {
		return p, err
	}
	deps, err := l.list(ctx, dir, []string{"-deps"}, names)
	if err != nil {
		return p, err
	}
	for _, pkg := range deps {
		if pkg.Module != nil && pkg.Module.Main {
			p.Ports = append(p.Ports, ports(pkg.Dir, pkg.GoFiles)...)
		}
	}
	slices.Sort(p.Ports)
	p.Ports = slices.Compact(p.Ports)
	return p, nil
}

// root finds the folder of the project and the Go that builds it.
func (l Loader) root(ctx context.Context, dir string) (Project, error) {
	var p Project
	out, err := l.golang(ctx, dir, nil, "env", "GOMOD", "GOWORK", "GOVERSION")
	if err != nil {
		return p, err
	}
	said := strings.Split(strings.ReplaceAll(string(out), "\r\n", "\n"), "\n")
	if len(said) < 3 {
		return p, fmt.Errorf("go env: %d lines, want 3", len(said))
	}
	mod, work := said[0], said[1]
	p.Go = strings.TrimPrefix(strings.Fields(said[2] + " ?")[0], "go")
	switch {
	case work != "" && work != "off":
		p.Root, p.Work = filepath.Dir(work), true
	case mod != "" && mod != os.DevNull:
		p.Root = filepath.Dir(mod)
	default:
		return p, ErrNoModule
	}
	_, err = os.Stat(filepath.Join(p.Root, "vendor", "modules.txt"))
	p.Vendor = err == nil
	return p, nil
}

// programName is what go build calls a program: the last element of its path, without a major version.
func programName(importPath string) string {
	name := path.Base(importPath)
	if len(name) > 1 && name[0] == 'v' && strings.Trim(name[1:], "0123456789") == "" && path.Dir(importPath) != "." {
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
		for _, r := range f.Replace {
			if r.New.Version == "" {
				dirs[filepath.Join(dir, filepath.FromSlash(r.New.Path))] = true
			}
		}
	}
	add := func(file string) {
		rel, err := filepath.Rel(p.Root, file)
		if _, miss := os.Stat(file); err == nil && miss == nil && !strings.HasPrefix(rel, "..") {
			p.ModFiles = append(p.ModFiles, filepath.ToSlash(rel))
		}
	}
	if p.Work {
		add(filepath.Join(p.Root, "go.work"))
		add(filepath.Join(p.Root, "go.work.sum"))
	}
	for dir := range dirs {
		add(filepath.Join(dir, "go.mod"))
		add(filepath.Join(dir, "go.sum"))
	}
	slices.Sort(p.ModFiles)
	return mains, nil
}

// cgo lists the packages that need cgo on Linux: none where the programs build without it, which is
// tried and not guessed.
func (l Loader) cgo(ctx context.Context, dir string, mains []string) ([]string, error) {
	linux := Loader{Runner: l.Runner, Env: append(slices.Clone(l.Env), "GOOS=linux", "CGO_ENABLED=1")}
	pkgs, err := linux.list(ctx, dir, []string{"-deps"}, mains)
	if err != nil {
		return nil, err
	}
	var uses []string
	for _, pkg := range pkgs {
		if !pkg.Standard && len(pkg.CgoFiles) > 0 {
			uses = append(uses, pkg.ImportPath)
		}
	}
	if len(uses) == 0 {
		return nil, nil
	}
	_, err = l.golang(ctx, dir, []string{"GOOS=linux", "CGO_ENABLED=0"}, append([]string{"build", "-o", os.DevNull}, mains...)...)
	var ge *GoError
	if errors.As(err, &ge) {
		return uses, nil
	}
	return nil, err
}

// A listed package is what is read of go list -json.
type listed struct {
	ImportPath, Name, Dir string
	Standard              bool
	GoFiles, CgoFiles     []string
	Module                *struct{ Main bool }
}

func (l Loader) list(ctx context.Context, dir string, flags, packages []string) ([]listed, error) {
	args := append([]string{"list", "-json=ImportPath,Name,Dir,Standard,GoFiles,CgoFiles,Module"}, flags...)
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
		return nil, &GoError{Args: args, Stderr: string(res.Stderr)}
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
