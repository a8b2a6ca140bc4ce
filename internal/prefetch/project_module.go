package prefetch

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/modgraph"
)

// ParseModule reads path@version, where version may be a version query.
func ParseModule(s string) (m module.Version, ok bool) {
	path, version, ok := strings.Cut(s, "@")
	m = module.Version{Path: path, Version: version}
	return m, ok && version != "" && goproxy.CheckPath(path) == nil
}

// ParseModules reads a list of module versions, one a line: path@version, or path and version as
// "go list -m all" prints them. What stands behind # is a comment. The error names the file, as
// name, and the line.
func ParseModules(name string, r io.Reader) ([]module.Version, error) {
	var list []module.Version
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		m, ok := ParseModule(strings.Join(fields, "@"))
		if !ok || len(fields) > 2 {
			return nil, &LineError{File: name, Line: n, Text: strings.TrimSpace(text)}
		}
		list = append(list, m)
	}
	return list, lines.Err()
}

// A LineError is a line of a list that is no module version.
type LineError struct {
	File string
	Line int // from 1
	Text string
}

// Error says where the line stands.
func (e *LineError) Error() string {
	return fmt.Sprintf("%s:%d: %q is not module@version", e.File, e.Line, e.Text)
}

// FilesOfModule names the files of one module version: .mod, .info and zip.
func FilesOfModule(m module.Version) []goproxy.Request {
	l := newFileList()
	for _, kind := range []goproxy.Kind{goproxy.Mod, goproxy.Info, goproxy.Zip} {
		l.add(m, kind)
	}
	return l.list
}

// GraphOfModule loads the module graph of a project that requires m and nothing else, through src.
func GraphOfModule(ctx context.Context, src goproxy.Source, m module.Version) (*modgraph.Graph, error) {
	f := new(modfile.File)
	if err := f.AddModuleStmt("goferry.invalid/fetch"); err != nil {
		return nil, err
	}
	if err := f.AddGoStmt("1.21"); err != nil {
		return nil, err
	}
	f.AddNewRequire(m.Path, m.Version, false)
	return modgraph.Load(ctx, src, []modgraph.Main{{File: f}}, modgraph.Options{})
}

// FilesOfGraph names the .mod files that loading g takes; with all, also all files of its build list.
func FilesOfGraph(g *modgraph.Graph, all bool) []goproxy.Request {
	l := newFileList()
	l.addAll(g.Loaded(), goproxy.Mod)
	for _, f := range g.Failures() {
		l.add(f.Actual, goproxy.Mod)
	}
	if !all {
		return l.list
	}
	var build []module.Version
	for _, m := range g.BuildList() {
		build = append(build, g.Actual(m))
	}
	for _, kind := range []goproxy.Kind{goproxy.Mod, goproxy.Info, goproxy.Zip} {
		l.addAll(build, kind)
	}
	return l.list
}
