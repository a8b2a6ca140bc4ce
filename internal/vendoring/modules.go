package vendoring

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// A vendored module is one of vendor/modules.txt.
type vendored struct {
	path, version string
	actual        module.Version // its replacement; the path of a folder and no version, or zero
	packages      []string       // import paths
}

// parseModules reads vendor/modules.txt: "# path version [=> path [version]]" heads a module, "##" says
// more about it, and every other line is a package of it. The format is that of
// cmd/go/internal/modcmd, which has no other description.
func parseModules(data []byte) []vendored {
	var mods []vendored
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		switch head, ok := strings.CutPrefix(line, "# "); {
		case ok:
			f := strings.Fields(head)
			var m vendored
			switch {
			case len(f) > 0 && strings.Contains(head, "=>"):
				left, right, _ := strings.Cut(head, "=>")
				l, r := strings.Fields(left), strings.Fields(right)
				if len(l) == 0 || len(r) == 0 {
					continue
				}
				m.path, m.actual.Path = l[0], strings.TrimSpace(right)
				if len(l) > 1 {
					m.version = l[1]
				}
				if len(r) == 2 && !modfile.IsDirectoryPath(r[0]) { // a folder's name may have spaces
					m.actual = module.Version{Path: r[0], Version: r[1]}
				}
			case len(f) == 2:
				m.path, m.version = f[0], f[1]
			default:
				continue
			}
			mods = append(mods, m)
		case line == "" || strings.HasPrefix(line, "##"):
		case len(mods) > 0:
			mods[len(mods)-1].packages = append(mods[len(mods)-1].packages, line)
		}
	}
	return mods
}

// source is the folder with the module's own files.
func (m vendored) source(p project) (string, error) {
	v := module.Version{Path: m.path, Version: m.version}
	if m.actual.Path != "" {
		v = m.actual
	}
	if v.Version == "" {
		dir := filepath.FromSlash(v.Path)
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(p.root, dir)
		}
		return dir, nil
	}
	path, err := module.EscapePath(v.Path)
	if err != nil {
		return "", err
	}
	version, err := module.EscapeVersion(v.Version)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(p.modCache, filepath.FromSlash(path)+"@"+version)
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("%s: %w", v, err)
	}
	return dir, nil
}
