package arch

import (
	"go/ast"
	"path"
	"slices"
	"strconv"
	"strings"
)

// imports judges what f imports.
func (c *checker) imports(p *pkg, f *file) {
	for _, spec := range f.ast.Imports {
		target, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has complained
		}
		if dir, ok := strings.CutPrefix(target, Module+"/"); ok {
			c.moduleImport(p, f, spec, dir)
		} else if !f.test && !p.helper {
			c.foreignImport(p, spec, target)
		}
		if !f.test && spec.Name != nil && spec.Name.Name == "." {
			c.reportAt("dot-import", spec, "names of %s must stay recognizable", target)
		}
	}
}

func (c *checker) moduleImport(p *pkg, f *file, spec *ast.ImportSpec, dir string) {
	target := c.roomOf(dir)
	helper := c.helperOf(dir)
	from := p.room
	switch {
	case target == nil:
		c.reportAt("import", spec, "%s is in no room", dir)
	case helper != nil:
		if !f.test && !p.helper {
			c.reportAt("helper", spec, "%s is for tests only", path.Base(dir))
		}
	case dir == p.dir || target.Name == from.Name && !p.helper:
	case target.Name == mainRoom || target.Name == "arch":
		c.reportAt("import", spec, "nobody imports %s", target.Name)
	case from.Name == mainRoom:
	case f.test:
		// A test may put its room together with its neighbours, but a room
		// that can only be tested from above is not finished.
		if target.Layer > from.Layer {
			c.reportAt("import", spec, "a test of %s (layer %d) reaches up to %s (layer %d)", from.Name, from.Layer, target.Name, target.Layer)
		}
	case p.helper:
		if h := c.helperOf(p.dir); !slices.Contains(h.Imports, target.Name) {
			c.reportAt("import", spec, "%s may import %s, not %s", h.Name, list(h.Imports), target.Name)
		}
	case !slices.Contains(from.Imports, target.Name):
		c.reportAt("import", spec, "%s may import %s, not %s", from.Name, list(from.Imports), target.Name)
	}
}

func list(rooms []string) string {
	if len(rooms) == 0 {
		return "no room"
	}
	return strings.Join(rooms, ", ")
}

func (c *checker) foreignImport(p *pkg, spec *ast.ImportSpec, target string) {
	for _, o := range owners() {
		if o.path == target && !slices.Contains(o.rooms, p.room.Name) {
			c.reportAt(o.rule, spec, "%s belongs to %s", target, list(o.rooms))
		}
	}
}
