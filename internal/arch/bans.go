package arch

import (
	"go/ast"
	"go/token"
	"go/types"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A source is what the rules about the body of a package look at.
type source struct {
	*pkg
	info  *types.Info
	types *types.Package
}

// bans judges the code of a package: its tests only for what they do to the
// package's variables.
func (c *checker) bans(p *pkg) {
	s := c.resolve(p)
	c.vars(s)
	for _, f := range p.files {
		if f.test {
			continue
		}
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				c.reportAt("init", fn, "what runs at start is called by name")
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				c.selector(s, sel)
			}
			return true
		})
	}
}

func (c *checker) selector(s *source, sel *ast.SelectorExpr) {
	from := s.imported(sel)
	if from == "" {
		return
	}
	for _, b := range bans() {
		if b.path == from && slices.Contains(b.names, sel.Sel.Name) && !slices.Contains(b.rooms, s.room.Name) {
			c.reportAt(b.rule, sel, "%s.%s: %s", path.Base(from), sel.Sel.Name, b.why)
		}
	}
}

// imported returns the import path of X in X.Sel if X is a package, else "".
func (s *source) imported(sel *ast.SelectorExpr) string {
	id, ok := sel.X.(*ast.Ident)
	if !ok {
		return ""
	}
	if name, ok := s.info.Uses[id].(*types.PkgName); ok {
		return name.Imported().Path()
	}
	return ""
}

// resolve finds out what each name of a package means. Imports are hollow, so
// nothing else needs to be built, and what depends on them has no type; names
// are resolved all the same. Files for different systems are read together.
func (c *checker) resolve(p *pkg) *source {
	s := &source{pkg: p, info: &types.Info{
		Defs: make(map[*ast.Ident]types.Object), Uses: make(map[*ast.Ident]types.Object), Types: make(map[ast.Expr]types.TypeAndValue),
	}}
	var files []*ast.File
	for _, f := range p.files {
		if !strings.HasSuffix(f.ast.Name.Name, "_test") {
			files = append(files, f.ast)
		}
	}
	conf := types.Config{Importer: hollow{}, Error: func(error) {}, DisableUnusedImportCheck: true}
	s.types, _ = conf.Check(Module+"/"+p.dir, c.fset, files, s.info) // errors are expected; see above
	return s
}

// hollow imports packages that have a name and nothing in them.
type hollow struct{}

// majorVersion is the last element of import paths that is not the name.
var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

// Import implements types.Importer.
func (hollow) Import(importPath string) (*types.Package, error) {
	name := path.Base(importPath)
	if majorVersion.MatchString(name) {
		name = path.Base(path.Dir(importPath))
	}
	p := types.NewPackage(importPath, name)
	p.MarkComplete()
	return p, nil
}

// vars judges the variables of a package: a table that nobody changes is fine,
// anything that can change is state that two users would share.
func (c *checker) vars(s *source) {
	for _, f := range s.files {
		if f.test {
			continue
		}
		for _, d := range f.ast.Decls {
			if decl, ok := d.(*ast.GenDecl); ok && decl.Tok == token.VAR {
				for _, spec := range decl.Specs {
					c.varSpec(s, decl, spec.(*ast.ValueSpec))
				}
			}
		}
	}
	for _, f := range s.files {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			c.mutation(s, f, n)
			return true
		})
	}
}

func (c *checker) varSpec(s *source, decl *ast.GenDecl, spec *ast.ValueSpec) {
	if embedded(decl.Doc) || embedded(spec.Doc) {
		return
	}
	for i, name := range spec.Names {
		switch {
		case name.Name == "_" && spec.Type != nil:
		case len(spec.Values) != len(spec.Names):
			c.reportAt("var", name, "%s has no value of its own: it is state", name.Name)
		default:
			if why := s.mutable(spec.Values[i]); why != "" {
				c.reportAt("var", name, "%s %s", name.Name, why)
			}
		}
	}
}

func embedded(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// mutable says why the value of a variable could change without an assignment,
// or "" for values that cannot.
func (s *source) mutable(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit, *ast.Ident:
		return ""
	case *ast.ParenExpr:
		return s.mutable(e.X)
	case *ast.BinaryExpr:
		return s.mutable(e.X) + s.mutable(e.Y)
	case *ast.UnaryExpr:
		if e.Op == token.AND {
			return "is a pointer"
		}
		return s.mutable(e.X)
	case *ast.CompositeLit:
		return s.mutableType(e.Type)
	case *ast.SelectorExpr:
		if s.imported(e) != "" && strings.HasPrefix(e.Sel.Name, "Err") {
			return "" // another name for a sentinel
		}
		return "is a value that another package owns"
	case *ast.FuncLit:
		return "is a function that can be exchanged; declare a func"
	case *ast.CallExpr:
		return s.mutableCall(e)
	}
	return "is neither a table nor a constant"
}

// mutableType says why a value of the type can change although its variable does not.
func (s *source) mutableType(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.MapType:
		return "is a map; use a function with a switch, or a slice"
	case *ast.ChanType:
		return "is a channel"
	case *ast.SelectorExpr:
		if from := s.imported(e); from == "sync" || from == "sync/atomic" {
			return "holds a " + from + "." + e.Sel.Name
		}
	case *ast.Ident:
		if spec := s.typeSpec(e.Name); spec != nil {
			return s.mutableType(spec.Type)
		}
	case *ast.StructType:
		for _, f := range e.Fields.List {
			if why := s.mutableType(f.Type); why != "" {
				return "is a struct with a field that " + why
			}
		}
	}
	return ""
}

// typeSpec finds the declaration of a type of the package that is not made of
// itself.
func (s *source) typeSpec(name string) *ast.TypeSpec {
	for _, f := range s.files {
		for _, d := range f.ast.Decls {
			decl, ok := d.(*ast.GenDecl)
			if !ok || decl.Tok != token.TYPE {
				continue
			}
			for _, spec := range decl.Specs {
				if t := spec.(*ast.TypeSpec); t.Name.Name == name {
					return t
				}
			}
		}
	}
	return nil
}

// mutableCall allows calls that make what cannot change: errors, patterns,
// parsed constants (Must…), conversions.
func (s *source) mutableCall(call *ast.CallExpr) string {
	if tv, ok := s.info.Types[call.Fun]; ok && (tv.IsType() || tv.IsBuiltin()) {
		if id, ok := call.Fun.(*ast.Ident); ok && (id.Name == "make" || id.Name == "new") {
			return "is made empty: it is state"
		}
		if len(call.Args) == 1 && tv.IsType() {
			return s.mutableType(call.Fun)
		}
		return ""
	}
	if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
		switch from := s.imported(sel); {
		case from == "errors" && sel.Sel.Name == "New",
			from == "fmt" && sel.Sel.Name == "Errorf",
			from == "strings" && slices.Contains([]string{"NewReplacer", "Repeat", "Join"}, sel.Sel.Name),
			from == "time" && sel.Sel.Name == "Date",
			from != "" && strings.HasPrefix(sel.Sel.Name, "Must"):
			return ""
		}
	}
	return "is the result of a call; make it where it is used, or a field"
}

// mutation reports n if it changes a variable of the package, or one of
// another package.
func (c *checker) mutation(s *source, f *file, n ast.Node) {
	var targets []ast.Expr
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			targets = n.Lhs
		}
	case *ast.IncDecStmt:
		targets = []ast.Expr{n.X}
	case *ast.RangeStmt:
		if n.Tok == token.ASSIGN {
			targets = []ast.Expr{n.Key, n.Value}
		}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			targets = []ast.Expr{n.X}
		}
	case *ast.CallExpr:
		if len(n.Args) > 0 && s.changesFirst(n.Fun) {
			targets = n.Args[:1]
		}
	}
	for _, t := range targets {
		if name := s.packageVar(t); name != "" {
			c.reportAt("var", n, "%s is changed, or may be, here: it is state", name)
		} else if sel, ok := t.(*ast.SelectorExpr); ok && !f.test && s.imported(sel) != "" {
			c.reportAt("var", n, "changes a variable of %s", s.imported(sel))
		}
	}
}

// changesFirst reports whether the function changes its first argument in place.
func (s *source) changesFirst(fun ast.Expr) bool {
	switch fun := fun.(type) {
	case *ast.Ident:
		_, builtin := s.info.Uses[fun].(*types.Builtin)
		return builtin && slices.Contains([]string{"delete", "clear", "copy"}, fun.Name)
	case *ast.SelectorExpr:
		switch s.imported(fun) {
		case "sort":
			return slices.Contains([]string{"Sort", "Stable", "Slice", "SliceStable", "Strings", "Ints", "Float64s"}, fun.Sel.Name)
		case "slices":
			return slices.Contains([]string{"Sort", "SortFunc", "SortStableFunc", "Reverse"}, fun.Sel.Name)
		}
	}
	return false
}

// packageVar returns the name of the package's own variable that e is, or is a
// part of; else "".
func (s *source) packageVar(e ast.Expr) string {
	for {
		switch x := e.(type) {
		case *ast.ParenExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.Ident:
			if v, ok := s.info.Uses[x].(*types.Var); ok && s.types != nil && v.Parent() == s.types.Scope() {
				return v.Name()
			}
			return ""
		default:
			return ""
		}
	}
}
