package cgo

import (
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A sourceFile is a Go file that was parsed; ast is nil if that failed.
type sourceFile struct {
	ast *ast.File
	err error
}

// parse reads a Go file, once. Without bodies it needs little memory: that will do where nobody looks for mistakes.
func (l *checkLoader) parse(name string, bodies bool) *sourceFile {
	key := name
	if !bodies {
		key += " "
	}
	l.mu.Lock()
	f := l.files[key]
	l.mu.Unlock()
	if f != nil {
		return f
	}
	f = &sourceFile{}
	f.ast, f.err = parser.ParseFile(l.fset, name, nil, parser.SkipObjectResolution|parser.ParseComments)
	if f.ast != nil && !bodies {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				fn.Body = nil
			}
		}
		f.ast.Comments = nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.files[key] == nil {
		l.files[key] = f
	}
	return l.files[key]
}

// A contents is what some files of a package declare.
type contents struct {
	names              map[string]bool // exported
	functions, trivial int             // trivial ones do nothing but return what is there, make an error, or panic
	says               string          // a text that speaks of cgo
}

func (l *checkLoader) contents(dir string, files []string) contents {
	c := contents{names: map[string]bool{}}
	for _, name := range files {
		f := l.parse(filepath.Join(dir, name), true).ast
		if f == nil {
			continue
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				c.function(d)
			case *ast.GenDecl:
				c.declared(d)
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && c.says == "" {
				if s, err := strconv.Unquote(lit.Value); err == nil && speaksOfCgo(s) {
					c.says = s
				}
			}
			return true
		})
	}
	return c
}

// speaksOfCgo reports whether a text is more than a word and has the word cgo in it.
func speaksOfCgo(s string) bool {
	return strings.Contains(strings.ToLower(s), "cgo") && strings.Contains(s, " ") && len(s) < 300
}

func (c *contents) function(d *ast.FuncDecl) {
	name, exported := d.Name.Name, d.Name.IsExported()
	if d.Recv != nil && len(d.Recv.List) == 1 {
		of := receiver(d.Recv.List[0].Type)
		name, exported = of+"."+name, exported && ast.IsExported(of)
	}
	if exported {
		c.names[name] = true
	}
	if name == "init" || d.Body == nil {
		return
	}
	c.functions++
	if trivialBody(d.Body) {
		c.trivial++
	}
}

// receiver is the name of the type that a method belongs to.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.ParenExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	}
	return ""
}

func (c *contents) declared(d *ast.GenDecl) {
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() {
				c.names[s.Name.Name] = true
			}
		case *ast.ValueSpec:
			for _, n := range s.Names {
				if n.IsExported() {
					c.names[n.Name] = true
				}
			}
		}
	}
}

// trivialBody reports whether a function does nothing: returns what is there, makes an error, or panics.
func trivialBody(b *ast.BlockStmt) bool {
	for _, s := range b.List {
		switch s := s.(type) {
		case *ast.ReturnStmt:
			if slices.ContainsFunc(s.Results, func(e ast.Expr) bool { return !trivialValue(e) }) {
				return false
			}
		case *ast.ExprStmt:
			if call, ok := s.X.(*ast.CallExpr); !ok || !calls(call, "panic", "log.Fatal", "log.Fatalf", "log.Fatalln", "log.Panic", "log.Panicf") {
				return false
			}
		default:
			return false
		}
	}
	return true
}

func trivialValue(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit, *ast.Ident:
		return true
	case *ast.SelectorExpr:
		return trivialValue(e.X)
	case *ast.UnaryExpr:
		return trivialValue(e.X)
	case *ast.CompositeLit:
		return len(e.Elts) == 0
	case *ast.CallExpr:
		return calls(e, "errors.New", "fmt.Errorf")
	}
	return false
}

// calls reports whether a call is of one of these functions.
func calls(call *ast.CallExpr, names ...string) bool {
	name := ""
	switch f := call.Fun.(type) {
	case *ast.Ident:
		name = f.Name
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok {
			name = x.Name + "." + f.Sel.Name
		}
	}
	return slices.Contains(names, name)
}

// A header is what stands above the declarations of a Go file.
type header struct {
	c    bool            // imports "C"
	expr constraint.Expr // nil if there is none
}

func (h header) text() string {
	if h.expr == nil {
		return ""
	}
	return h.expr.String()
}

// header reads the constraint and the imports of a file.
func (l *checkLoader) header(dir, name string) header {
	var h header
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.ImportsOnly|parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return h
	}
	h.c = slices.ContainsFunc(f.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"C"` })
	for _, group := range f.Comments {
		if group.Pos() > f.Package {
			break
		}
		for _, line := range group.List {
			if constraint.IsGoBuild(line.Text) {
				h.expr, _ = constraint.Parse(line.Text) // one that is wrong keeps nothing out here, and go list says so
			}
		}
	}
	return h
}
