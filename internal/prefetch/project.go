package prefetch

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"go/version"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/modgraph"
)

// ErrNoProject is the error of a folder that lies in no module and no workspace.
var ErrNoProject = errors.New("no go.mod or go.work here or in a folder above")

// A Project is what a module or a workspace on disk says about the files that its builds need.
type Project struct {
	Dir      string          // folder of the go.mod, or of the go.work
	Mains    []modgraph.Main // the main modules, in the order of go.work
	Work     *modfile.WorkFile
	Vendored bool // a build takes everything from a vendor folder, and asks nobody

	sums []sum // of all go.sum files and go.work.sum
}

// A sum is one line of a go.sum file.
type sum struct {
	module.Version
	mod bool // of the go.mod alone
}

// ReadProject reads the project that a go command in dir would work on: its go.mod or go.work, go.sum and
// go.work.sum. gowork is the value of GOWORK: empty, "off", or the path of a go.work. The error is ErrNoProject,
// one of the file system, or one that names the file and line that is wrong.
func ReadProject(dir, gowork string) (*Project, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	work := gowork
	switch {
	case gowork == "":
		work = upward(dir, "go.work")
	case gowork == "off":
		work = ""
	case !filepath.IsAbs(gowork):
		return nil, fmt.Errorf("GOWORK=%s is not the absolute path of a go.work", gowork)
	}
	p := &Project{}
	if work != "" {
		err = p.readWork(work)
	} else {
		err = p.readModule(dir)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// upward finds the file name in dir or the nearest folder above; empty if there is none.
func upward(dir, name string) string {
	for {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

func (p *Project) readModule(dir string) error {
	file := upward(dir, "go.mod")
	if file == "" {
		return fmt.Errorf("%s: %w", dir, ErrNoProject)
	}
	p.Dir = filepath.Dir(file)
	if err := p.addMain(p.Dir); err != nil {
		return err
	}
	p.Vendored = atLeast(p.Mains[0].File.Go, "go1.14") && p.hasVendor()
	return nil
}

func (p *Project) readWork(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if p.Work, err = modfile.ParseWork(file, data, fixVersion); err != nil {
		return err
	}
	p.Dir = filepath.Dir(file)
	for _, use := range p.Work.Use {
		dir := filepath.FromSlash(use.Path)
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(p.Dir, dir)
		}
		if err := p.addMain(dir); err != nil {
			return err
		}
	}
	p.Vendored = atLeast(p.Work.Go, "go1.22") && p.hasVendor()
	return p.addSums(filepath.Join(p.Dir, "go.work.sum"))
}

// addMain reads the main module in dir.
func (p *Project) addMain(dir string) error {
	file := filepath.Join(dir, "go.mod")
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	f, err := modfile.Parse(file, data, fixVersion)
	if err != nil {
		return err
	}
	f.Require = slices.DeleteFunc(f.Require, func(r *modfile.Require) bool { return !valid(r.Mod) })
	p.Mains = append(p.Mains, modgraph.Main{File: f, Dir: dir})
	return p.addSums(filepath.Join(dir, "go.sum"))
}

// unresolved marks a requirement of a branch or a prefix: the go command will put the version there that
// it stands for, and nothing is known about it until then.
const unresolved = ".0.0-unresolved"

// fixVersion lets what is no version pass, for once.
func fixVersion(path, version string) (string, error) {
	if v := module.CanonicalVersion(version); v != "" {
		return v, nil
	}
	_, major, _ := module.SplitPathVersion(path)
	return cmp.Or(module.PathMajorPrefix(major), "v0") + unresolved, nil
}

func atLeast(line *modfile.Go, v string) bool {
	return line != nil && version.Compare("go"+line.Version, v) >= 0
}

func (p *Project) hasVendor() bool {
	_, err := os.Stat(filepath.Join(p.Dir, "vendor", "modules.txt"))
	return err == nil
}

// addSums reads a go.sum file, which may be missing.
func (p *Project) addSums(file string) error {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	p.sums = append(p.sums, parseSums(data)...)
	return nil
}

// parseSums reads the lines of a go.sum, and passes over those that make no sense: the go
// command will complain about them (https://go.dev/ref/mod#go-sum-files).
func parseSums(data []byte) []sum {
	var list []sum
	for line := range bytes.Lines(data) {
		f := strings.Fields(string(line))
		if len(f) != 3 {
			continue
		}
		v, mod := strings.CutSuffix(f[1], "/go.mod")
		if s := (sum{module.Version{Path: f[0], Version: v}, mod}); valid(s.Version) {
			list = append(list, s)
		}
	}
	return list
}

// valid reports whether m is a module version that can be asked for.
func valid(m module.Version) bool {
	_, err := goproxy.Request{Path: m.Path, Version: m.Version, Kind: goproxy.Mod}.Name()
	return err == nil && !strings.HasSuffix(m.Version, unresolved)
}

// Graph loads the module graph of the project through src; see modgraph.Load.
func (p *Project) Graph(ctx context.Context, src goproxy.Source) (*modgraph.Graph, error) {
	return modgraph.Load(ctx, src, p.Mains, modgraph.Options{Work: p.Work, WorkDir: p.Dir})
}
