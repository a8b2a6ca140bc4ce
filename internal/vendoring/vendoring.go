// Package vendoring completes what go mod vendor leaves out, and proves that the vendor
// folder builds; it resolves no version.
//
// go mod vendor copies the folders of packages, and no folder without Go files
// (https://go.dev/issue/26366): C headers and sources that stand in folders of their own
// are lost, and the build fails far from the network where they could be fetched.
//
// The go command does the rest, and asks whom its environment says.
package vendoring

import (
	"bytes"
	"context"
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

// A GoError is a go command that failed, with what it said.
type GoError struct {
	Args   []string // of go
	Stderr string
}

// Error is the command and the line that tells most of what it said: an error of the C compiler, else
// the first that is no heading.
func (e *GoError) Error() string {
	said := ""
	for line := range strings.Lines(e.Stderr) {
		line = strings.TrimSpace(line)
		if strings.Contains(line, "error: ") {
			said = line
			break
		}
		if said == "" && !strings.HasPrefix(line, "#") && strings.Contains(line, ":") {
			said = line
		}
	}
	return fmt.Sprintf("go %s: %s", strings.Join(e.Args[:min(len(e.Args), 2)], " "), said)
}

// A Vendor makes the vendor folder of a project.
type Vendor struct {
	Runner *gocmd.Runner
	Dir    string   // in the project
	Env    []string // KEY=VALUE over the Runner's, for the go commands that may ask for modules: GOPROXY
	Check  bool     // build from the folder with no module proxy and no module cache
}

// A Result says what was made.
type Result struct {
	Dir      string  `json:"dir"`      // the vendor folder
	Modules  int     `json:"modules"`  // that have packages in it
	Packages int     `json:"packages"` //
	Added    []Added `json:"added"`    // what go mod vendor had left out, by module and folder
	Checked  bool    `json:"checked"`  // it was built from
	CGO      bool    `json:"cgo"`      // with cgo: only then C files were compiled at all
}

// Added are files of one folder of a module that are in the vendor folder beside what go mod vendor puts there.
type Added struct {
	Module  string   `json:"module"`
	Version string   `json:"version,omitempty"` // empty for one that is replaced by a folder
	Dir     string   `json:"dir"`               // in the module, with slashes
	Files   []string `json:"files"`             // names, sorted
	Bytes   int64    `json:"bytes"`
	For     string   `json:"for"` // a package that needs them
}

// Run makes the folder anew and, with Check, proves it. The folder that was there before is
// gone only when the new one is whole and proved: an error leaves it as it was, and what a killed run has left is
// undone by the next. Errors are gocmd.ErrNoModule, ErrBusy, *GoError where go mod vendor or the build failed, those of the disk, and the
// cause of ctx.
func (v Vendor) Run(ctx context.Context) (_ Result, err error) {
	p, err := v.project(ctx)
	if err != nil {
		return Result{}, err
	}
	s, err := newScratch(p.root)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, s.remove()) }()
	made := filepath.Join(s.dir, "vendor")
	if _, err := v.golang(ctx, p, v.Env, p.verb, "vendor", "-o", made); err != nil {
		return Result{}, err
	}
	res := Result{Dir: filepath.Join(p.root, "vendor"), Added: []Added{}}
	list, err := os.ReadFile(filepath.Join(made, "modules.txt"))
	if errors.Is(err, fs.ErrNotExist) {
		return res, os.RemoveAll(res.Dir) // no dependencies, no folder
	} else if err != nil {
		return res, err
	}
	for _, m := range parseModules(list) {
		if len(m.packages) == 0 {
			continue
		}
		res.Modules++
		res.Packages += len(m.packages)
		src, err := m.source(p)
		if err != nil {
			return res, err
		}
		added, err := complete(ctx, m, src, filepath.Join(made, filepath.FromSlash(m.path)))
		if err != nil {
			return res, err
		}
		res.Added = append(res.Added, added...)
	}
	return res, v.put(ctx, p, made, s, &res)
}

// put puts the new folder in the place of the old one, and the old one back where the proof fails. The proof needs the
// folder in its place: -overlay does not show C files of other folders to the C compiler.
func (v Vendor) put(ctx context.Context, p project, made string, s *scratch, res *Result) error {
	had := true
	if err := os.Rename(res.Dir, s.aside()); errors.Is(err, fs.ErrNotExist) {
		had = false
	} else if err != nil {
		return err
	}
	err := os.Rename(made, res.Dir)
	if err == nil && v.Check {
		err = v.prove(ctx, p, s.dir, res)
	}
	switch {
	case err == nil:
		return nil
	case had:
		return errors.Join(err, s.putBack(res.Dir))
	default:
		return errors.Join(err, os.RemoveAll(res.Dir))
	}
}

// prove builds everything, and looks up what the tests import, from the vendor folder alone: no
// proxy, no version control, an empty module cache.
func (v Vendor) prove(ctx context.Context, p project, scratch string, res *Result) error {
	cache := filepath.Join(scratch, "modcache")
	alone := v
	alone.Runner = &gocmd.Runner{Go: p.goBin, Env: v.Runner.Environ(), MaxOutput: v.Runner.MaxOutput, Logger: v.Runner.Logger}
	env := []string{"GOPROXY=off", "GOVCS=*:off", "GOMODCACHE=" + cache, "GOTOOLCHAIN=local", "GOFLAGS=" + p.flags}
	// Without -o a lone program would be written into the project.
	if _, err := alone.golang(ctx, p, env, append([]string{"build", "-mod=vendor", "-o", os.DevNull}, p.patterns...)...); err != nil {
		return err
	}
	list := append([]string{"list", "-mod=vendor", "-deps", "-test"}, p.patterns...)
	if _, err := alone.golang(ctx, p, env, list...); err != nil {
		return err
	}
	res.Checked, res.CGO = true, p.cgo
	return nil
}

// A project is what is vendored.
type project struct {
	root     string   // of the module or the workspace
	verb     string   // "mod" or "work"
	modCache string   // GOMODCACHE
	goBin    string   // the go command that builds this project, after any switch of toolchains
	flags    string   // GOFLAGS without -mod
	patterns []string // its packages
	cgo      bool
}

// exe is what the name of a program ends with on this machine; GOEXE is about the target's.
func exe() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}

func (v Vendor) project(ctx context.Context) (project, error) {
	dir, err := filepath.Abs(v.Dir)
	if err != nil {
		return project{}, err
	}
	p := project{root: dir}
	out, err := v.golang(ctx, p, v.Env, "env", "GOMOD", "GOWORK", "GOMODCACHE", "GOROOT", "CGO_ENABLED", "GOFLAGS")
	if err != nil {
		return p, err
	}
	said := strings.Split(strings.ReplaceAll(string(out), "\r\n", "\n"), "\n")
	if len(said) < 6 {
		return p, fmt.Errorf("go env: %d lines, want 6", len(said))
	}
	mod, work := said[0], said[1]
	p.modCache, p.goBin, p.cgo = said[2], filepath.Join(said[3], "bin", "go"+exe()), said[4] == "1"
	p.flags = strings.Join(slices.DeleteFunc(strings.Fields(said[5]), func(f string) bool { return strings.HasPrefix(strings.TrimLeft(f, "-"), "mod=") }), " ")
	switch {
	case work != "" && work != "off":
		p.root, p.verb = filepath.Dir(work), "work"
	case mod != "" && mod != os.DevNull:
		p.root, p.verb = filepath.Dir(mod), "mod"
	default:
		return p, gocmd.ErrNoModule
	}
	// The main modules, one a line; those of a workspace may stand anywhere.
	dirs, err := v.golang(ctx, p, v.Env, "list", "-m", "-mod=readonly", "-f", "{{.Dir}}")
	if err != nil {
		return p, err
	}
	for d := range strings.Lines(string(dirs)) {
		if d = strings.TrimSpace(d); d != "" {
			p.patterns = append(p.patterns, filepath.Join(d, "..."))
		}
	}
	return p, nil
}

// golang runs the go command in the root of p and returns its output.
func (v Vendor) golang(ctx context.Context, p project, env []string, args ...string) ([]byte, error) {
	res, err := v.Runner.Run(ctx, gocmd.Cmd{Name: "go", Args: args, Dir: p.root, Env: env})
	if err != nil {
		return nil, err
	}
	if res.ExitCode != 0 {
		return nil, &GoError{Args: args, Stderr: string(bytes.TrimSpace(append(res.Stderr, bytes.TrimSpace(res.Stdout)...)))}
	}
	return res.Stdout, nil
}
