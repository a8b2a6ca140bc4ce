package arch

import (
	"go/ast"
	"go/token"
	"path"
	"strings"
)

// docs judges the comments of a package.
func (c *checker) docs(p *pkg) {
	c.packageComment(p)
	for _, f := range p.files {
		if f.test {
			continue
		}
		for _, d := range f.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && exportedReceiver(d) && d.Doc.Text() == "" {
					c.reportAt("doc", d, "%s has no comment", d.Name.Name)
				}
			case *ast.GenDecl:
				c.declDocs(d)
			}
		}
	}
}

// declDocs wants a comment for each exported type, and for exported constants
// and variables one of their own or one for their group.
func (c *checker) declDocs(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			single := !d.Lparen.IsValid() && d.Doc.Text() != ""
			if spec.Name.IsExported() && !single && spec.Doc.Text() == "" && spec.Comment.Text() == "" {
				c.reportAt("doc", spec, "%s has no comment", spec.Name.Name)
			}
		case *ast.ValueSpec:
			if d.Tok == token.VAR && len(spec.Names) == 1 && spec.Names[0].Name == "_" {
				continue
			}
			for _, name := range spec.Names {
				if name.IsExported() && d.Doc.Text() == "" && spec.Doc.Text() == "" && spec.Comment.Text() == "" {
					c.reportAt("doc", name, "%s has no comment", name.Name)
				}
			}
		}
	}
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}

// packageComment wants one comment, in the file named like the package, that
// opens with the sentence of the room and goes on.
func (c *checker) packageComment(p *pkg) {
	home := path.Join(p.dir, path.Base(p.dir)+".go")
	if p.dir == mainRoom {
		home = path.Join(p.dir, "main.go")
	}
	code, found := false, false
	for _, f := range p.files {
		if f.test {
			continue
		}
		code = true
		comment := strings.Join(strings.Fields(f.ast.Doc.Text()), " ")
		switch {
		case comment == "":
		case f.name != home:
			c.report("package-comment", f.name, "the package comment stands in %s", path.Base(home))
		default:
			found = true
			if why := commentFault(p, comment); why != "" {
				c.report("package-comment", f.name, "%s", why)
			}
		}
	}
	if code && !found {
		c.report("package-comment", p.dir, "no package comment in %s", path.Base(home))
	}
}

// commentFault says what is wrong with a package comment, or "".
func commentFault(p *pkg, comment string) string {
	prefix := "Package " + path.Base(p.dir) + " "
	switch p.dir {
	case mainRoom:
		// A command tells its user first what it is for.
		if !strings.HasPrefix(comment, "Command goferry ") || !strings.Contains(comment, p.room.Sentence) {
			return "does not begin with Command goferry, or lacks: " + p.room.Sentence
		}
		return ""
	case path.Join("internal", p.room.Name):
		prefix += p.room.Sentence
	}
	rest, ok := strings.CutPrefix(comment, strings.TrimSpace(prefix))
	switch {
	case !ok:
		return "does not begin: " + strings.TrimSpace(prefix)
	case strings.Trim(rest, ". ") == "":
		return "says nothing about what the package does not do"
	}
	return ""
}
