// Package texttest finds the message codes that Go source uses, so that a test
// can want every one of them to exist. It is for tests only.
package texttest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"text/template/parse"

	"github.com/goferry/goferry/internal/text"
)

// A Use is one place in Go source that names a message code.
type Use struct {
	Code string
	Pos  string // file:line

	// Args are the names of the data given, where the source shows them all;
	// Known is false where it does not (a spread argument, a name that is no
	// literal). A code that travels without data, as hints do, has none.
	Args  []string
	Known bool
}

// hintCode is how the code of a hint looks, wherever it stands in the source.
var hintCode = regexp.MustCompile(`^([a-z]+\.)?hint\.[a-z0-9-]+$`)

// Used scans all Go files below fsys, tests and testdata aside. It finds the
// first argument of calls of methods and functions named T, where it is a
// literal, and every literal that looks like the code of a hint.
func Used(fsys fs.FS) ([]Use, error) {
	var uses []Use
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := d.Name(); d.IsDir() && name != "." && (base == "testdata" || strings.HasPrefix(base, ".")) {
			return fs.SkipDir
		}
		if d.IsDir() || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		found, err := scan(name, src)
		uses = append(uses, found...)
		return err
	})
	return uses, err
}

func scan(name string, src []byte) (uses []Use, err error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	taken := make(map[ast.Node]bool) // literals that were counted with their call
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if code, ok := calledT(n); ok {
				args, known := argNames(n)
				uses = append(uses, Use{code, position(fset, n), args, known})
				taken[n.Args[0]] = true
			} else if len(n.Args) > 1 {
				// Another function that takes a code and data, such as withHint.
				for _, arg := range n.Args {
					if s, ok := literal(arg); ok && hintCode.MatchString(s) {
						uses = append(uses, Use{Code: s, Pos: position(fset, arg)})
						taken[arg] = true
					}
				}
			}
		case *ast.CompositeLit:
			// The literal of an error that brings its own data.
			if slices.ContainsFunc(n.Elts, bringsData) {
				for _, e := range n.Elts {
					if s, ok := fieldLiteral(e); ok {
						uses = append(uses, Use{Code: s, Pos: position(fset, e)})
						taken[e.(*ast.KeyValueExpr).Value] = true
					}
				}
			}
		case *ast.CaseClause:
			for _, e := range n.List {
				taken[e] = true // a comparison uses nothing
			}
		case *ast.BasicLit:
			if s, ok := literal(n); ok && !taken[n] && hintCode.MatchString(s) {
				uses = append(uses, Use{Code: s, Pos: position(fset, n), Known: true})
			}
		}
		return true
	})
	return uses, nil
}

func position(fset *token.FileSet, n ast.Node) string {
	p := fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// calledT returns the code in a call T("code", …).
func calledT(call *ast.CallExpr) (string, bool) {
	name := ""
	switch f := call.Fun.(type) {
	case *ast.Ident:
		name = f.Name
	case *ast.SelectorExpr:
		name = f.Sel.Name
	}
	if name != "T" || len(call.Args) == 0 {
		return "", false
	}
	return literal(call.Args[0])
}

// argNames returns the names of the data of a call T("code", "Name", value, …).
func argNames(call *ast.CallExpr) (names []string, known bool) {
	if call.Ellipsis.IsValid() {
		return nil, false
	}
	for i := 1; i < len(call.Args); i += 2 {
		name, ok := literal(call.Args[i])
		if !ok {
			return nil, false
		}
		names = append(names, name)
	}
	return names, true
}

// bringsData reports whether e is a field such as HintArgs: …
func bringsData(e ast.Expr) bool {
	kv, ok := e.(*ast.KeyValueExpr)
	if !ok {
		return false
	}
	id, ok := kv.Key.(*ast.Ident)
	return ok && strings.HasSuffix(strings.ToLower(id.Name), "args")
}

// fieldLiteral returns the code of a hint in a field such as HintCode: "…".
func fieldLiteral(e ast.Expr) (string, bool) {
	kv, ok := e.(*ast.KeyValueExpr)
	if !ok {
		return "", false
	}
	s, ok := literal(kv.Value)
	return s, ok && hintCode.MatchString(s)
}

func literal(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}

// Check fails t for every code in the source below fsys that has no message,
// and for every call whose data is not what the message takes.
func Check(t testing.TB, fsys fs.FS) {
	t.Helper()
	uses, err := Used(fsys)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range Problems(uses) {
		t.Error(problem)
	}
}

// Problems says what is wrong with uses, one line each.
func Problems(uses []Use) []string {
	p := text.New(text.English)
	var problems []string
	for _, u := range uses {
		if !p.Has(u.Code) {
			problems = append(problems, fmt.Sprintf("%s: no message has the code %s", u.Pos, u.Code))
			continue
		}
		want := Placeholders(p.Forms(u.Code))
		got := slices.Sorted(slices.Values(u.Args))
		for _, name := range want {
			if u.Known && !slices.Contains(got, name) {
				problems = append(problems, fmt.Sprintf("%s: %s takes %s, which is not given", u.Pos, u.Code, name))
			}
		}
		for _, name := range got {
			// Count may serve to select the plural form alone.
			if u.Known && !slices.Contains(want, name) && name != "Count" {
				problems = append(problems, fmt.Sprintf("%s: %s takes no %s", u.Pos, u.Code, name))
			}
		}
	}
	return problems
}

// Placeholders lists the names of the data that the forms of a message take,
// sorted, each once. It panics for a message that is no template.
func Placeholders(forms map[string]string) []string {
	var names []string
	for _, form := range forms {
		tmpl := template.Must(template.New("").Parse(form))
		if tmpl.Tree != nil {
			collect(tmpl.Root, &names)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func collect(n parse.Node, names *[]string) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n != nil {
			for _, c := range n.Nodes {
				collect(c, names)
			}
		}
	case *parse.ActionNode:
		collect(n.Pipe, names)
	case *parse.PipeNode:
		if n != nil {
			for _, c := range n.Cmds {
				collect(c, names)
			}
		}
	case *parse.CommandNode:
		for _, a := range n.Args {
			collect(a, names)
		}
	case *parse.FieldNode:
		*names = append(*names, n.Ident[0])
	case *parse.IfNode:
		collect(n.Pipe, names)
		collect(n.List, names)
		collect(n.ElseList, names)
	case *parse.RangeNode:
		collect(n.Pipe, names)
		collect(n.ElseList, names)
	case *parse.WithNode:
		collect(n.Pipe, names)
		collect(n.ElseList, names)
	}
}
