package cgo

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/goferry/goferry/internal/gocmd"
)

// checkLoader is one run of a Checker.
type checkLoader struct {
	*Checker
	o        CheckOptions
	patterns []string
	tags     []string // that are set, by GOFLAGS as well
	compile  bool     // builds are tried with the go command, since its Go is newer than what is built into goferry, or by request

	fset  *token.FileSet
	mu    sync.Mutex
	files map[string]*sourceFile // parsed, by path; those without bodies end on a space
}

// A checkLoad is the packages of the project and all that they import, for targets that have the same files.
type checkLoad struct {
	targets      []Target
	env          []string
	goos, goarch string
	unasked      bool // nobody wants to read about it

	on, off     []*listed // with cgo and without, in an order in which importers come last
	onBy, offBy map[string]*listed
	states      map[string]State // of packages outside of the standard library that differ
	failures    []CgoFailure
}

// A listed package is what is read of go list -json.
type listed struct {
	ImportPath, Name, Dir                               string
	Standard, DepOnly                                   bool
	Module                                              *listedModule
	GoFiles, CgoFiles, IgnoredGoFiles                   []string
	CFiles, CXXFiles, MFiles, FFiles, SFiles, SysoFiles []string
	SwigFiles, SwigCXXFiles                             []string
	CgoLDFLAGS, CgoPkgConfig, Imports                   []string
	ImportMap                                           map[string]string
	Error                                               *struct{ Pos, Err string }
}

type listedModule struct {
	Path, Version, Dir, GoVersion string
	Main                          bool
	Replace                       *listedModule
}

const listedFields = "ImportPath,Name,Dir,Standard,DepOnly,Module,GoFiles,CgoFiles,IgnoredGoFiles,CFiles,CXXFiles,MFiles,FFiles,SFiles,SysoFiles,SwigFiles,SwigCXXFiles,CgoLDFLAGS,CgoPkgConfig,Imports,ImportMap,Error"

// usesCgo reports whether C is compiled or called for the package.
func (p *listed) usesCgo() bool { return len(p.CgoFiles)+len(p.SwigFiles)+len(p.SwigCXXFiles) > 0 }

// sources are the Go files of the package.
func (p *listed) sources() []string { return append(slices.Clone(p.GoFiles), p.CgoFiles...) }

// excluded reports that there are Go files, none of which is for this target.
func (p *listed) excluded() bool {
	return p.Error != nil && len(p.GoFiles)+len(p.CgoFiles) == 0 && len(p.IgnoredGoFiles) > 0
}

// project asks what the go command knows of the project and this machine.
func (l *checkLoader) project(ctx context.Context) (CheckReport, error) {
	rep := CheckReport{Dir: l.o.Dir}
	out, err := l.golang(ctx, nil, "env", "-json", "GOMOD", "GOWORK", "GOVERSION", "CGO_ENABLED", "CC", "GOHOSTOS", "GOHOSTARCH", "GOFLAGS")
	if err != nil {
		return rep, err
	}
	var env map[string]string
	if err := json.Unmarshal(out, &env); err != nil {
		return rep, fmt.Errorf("go env: %w", err)
	}
	if mod, work := env["GOMOD"], env["GOWORK"]; (mod == "" || mod == os.DevNull) && (work == "" || work == "off") {
		return rep, gocmd.ErrNoModule
	}
	rep.Go = strings.TrimPrefix(strings.Fields(env["GOVERSION"] + " ?")[0], "go")
	rep.Host = env["GOHOSTOS"] + "/" + env["GOHOSTARCH"]
	rep.Enabled, rep.CC = env["CGO_ENABLED"] == "1", env["CC"]
	if words, err := splitWords(rep.CC); err == nil && len(words) > 0 {
		_, err = l.Runner.FindTool(words[0])
		rep.HasCC = err == nil
	}
	l.tags = slices.Clone(l.o.Tags)
	for flag := range strings.FieldsSeq(env["GOFLAGS"]) {
		if tags, ok := strings.CutPrefix(strings.TrimLeft(strings.Trim(flag, `"'`), "-"), "tags="); ok && len(l.o.Tags) == 0 { // -tags replaces it
			l.tags = strings.Split(tags, ",")
		}
	}
	l.compile = l.o.Build || newerGo(rep.Go)
	rep.Module, err = l.mainModules(ctx)
	return rep, err
}

// mainModules finds the patterns of all packages of the project below the folder, and the path of the first module.
func (l *checkLoader) mainModules(ctx context.Context) (module string, err error) {
	out, err := l.golang(ctx, nil, "list", "-m", "-mod=readonly", "-f", "{{.Path}}\t{{.Dir}}")
	if err != nil {
		return "", err
	}
	abs, err := filepath.Abs(l.o.Dir)
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real // as the go command names folders
	}
	l.patterns = slices.Clone(l.o.Packages)
	for line := range strings.Lines(string(out)) {
		name, dir, _ := strings.Cut(strings.TrimSpace(line), "\t")
		module = cmp.Or(module, name)
		if len(l.o.Packages) == 0 && (dir == abs || strings.HasPrefix(dir, abs+string(filepath.Separator))) {
			l.patterns = append(l.patterns, filepath.Join(dir, "..."))
		}
	}
	if len(l.patterns) == 0 {
		l.patterns = []string{filepath.Join(abs, "...")}
	}
	return module, nil
}

// load lists the packages with and without cgo, and finds out what differs.
func (l *checkLoader) load(ctx context.Context, g *checkLoad) (err error) {
	if g.on, err = l.list(ctx, append(slices.Clone(g.env), "CGO_ENABLED=1")); err != nil {
		return err
	}
	if g.off, err = l.list(ctx, append(slices.Clone(g.env), "CGO_ENABLED=0")); err != nil {
		return err
	}
	g.onBy, g.offBy = byPath(g.on), byPath(g.off)
	return l.differences(ctx, g)
}

// fault is what keeps a project from being loaded at all: modules that are not there, syntax errors.
func (g *checkLoad) fault() error {
	roots := 0
	for _, p := range g.on {
		if !p.DepOnly {
			roots++
		}
		if p.Error != nil && !p.excluded() {
			return &gocmd.GoError{Args: []string{"list"}, Stderr: strings.TrimPrefix(p.Error.Pos+": "+p.Error.Err, ": ")}
		}
	}
	if roots == 0 {
		return ErrNoPackages
	}
	return nil
}

func byPath(list []*listed) map[string]*listed {
	m := make(map[string]*listed, len(list))
	for _, p := range list {
		m[p.ImportPath] = p
	}
	return m
}

// list runs go list; packages that cannot be loaded are in the list, with their errors.
func (l *checkLoader) list(ctx context.Context, env []string) ([]*listed, error) {
	args := []string{"list", "-e", "-deps", "-json=" + listedFields}
	args = append(append(args, l.tagFlags()...), "--")
	var pkgs []*listed
	r, w := io.Pipe()
	decoded := make(chan error, 1)
	go func() {
		err := decodeList(r, &pkgs)
		r.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // who still writes then has written what is no JSON
		decoded <- err
	}()
	res, err := l.Runner.Run(ctx, l.command(env, w, append(args, l.patterns...)))
	w.Close()
	switch bad := <-decoded; {
	case err != nil:
		return nil, err
	case res.ExitCode != 0:
		return nil, &gocmd.GoError{Args: args, Stderr: string(res.Stderr)}
	case bad != nil:
		return nil, fmt.Errorf("go list: %w", bad)
	}
	return pkgs, nil
}

func decodeList(r io.Reader, pkgs *[]*listed) error {
	for d := json.NewDecoder(r); ; {
		p := new(listed)
		if err := d.Decode(p); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		*pkgs = append(*pkgs, p)
	}
}

func (l *checkLoader) tagFlags() []string {
	if len(l.o.Tags) == 0 {
		return nil
	}
	return []string{"-tags=" + strings.Join(l.o.Tags, ",")}
}

// command is a go command in the project.
func (l *checkLoader) command(env []string, stdout io.Writer, args []string) gocmd.Cmd {
	return gocmd.Cmd{Name: "go", Args: args, Dir: l.o.Dir, Env: append(slices.Clone(l.Env), env...), Stdout: stdout}
}

// golang runs the go command in the project and returns its output.
func (l *checkLoader) golang(ctx context.Context, env []string, args ...string) ([]byte, error) {
	var out bytes.Buffer
	res, err := l.Runner.Run(ctx, l.command(env, &out, args))
	if err != nil {
		return nil, err
	}
	if res.ExitCode != 0 {
		return nil, &gocmd.GoError{Args: args, Stderr: string(res.Stderr)}
	}
	return out.Bytes(), nil
}
