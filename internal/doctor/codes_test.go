package doctor

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestCodesAreListed wants every constant that is called code…, fact… or fix… in its list, and nothing else there.
func TestCodesAreListed(t *testing.T) {
	lists := map[string][]string{"code": Codes(), "fact": FactNames(), "fix": FixCodes()}
	seen := map[string][]string{"code": nil, "fact": nil, "fix": nil}
	form := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.CONST {
				continue
			}
			for _, spec := range gen.Specs {
				vs := spec.(*ast.ValueSpec)
				for i, name := range vs.Names {
					kind := codeKind(name.Name)
					if kind == "" || i >= len(vs.Values) {
						continue
					}
					lit, ok := vs.Values[i].(*ast.BasicLit)
					if !ok || lit.Kind != token.STRING {
						continue
					}
					value, _ := strconv.Unquote(lit.Value)
					seen[kind] = append(seen[kind], value)
					if !slices.Contains(lists[kind], value) {
						t.Errorf("%s = %q is in no list of codes.go", name.Name, value)
					}
					if !form.MatchString(value) {
						t.Errorf("%s = %q: codes are lower-case words with hyphens", name.Name, value)
					}
				}
			}
		}
	}
	if len(seen["code"]) < 60 || len(seen["fact"]) < 30 || len(seen["fix"]) < 30 {
		t.Errorf("only %d codes, %d facts, %d fixes were found in the source", len(seen["code"]), len(seen["fact"]), len(seen["fix"]))
	}
}

func codeKind(name string) string {
	for _, kind := range []string{"code", "fact", "fix"} {
		if rest, ok := strings.CutPrefix(name, kind); ok && rest != "" && strings.ToUpper(rest[:1]) == rest[:1] {
			return kind
		}
	}
	return ""
}

// TestRules wants the codes of the rules to exist, each rule to be able to apply, and no code to be its own only cause.
func TestRules(t *testing.T) {
	codes := Codes()
	for i, r := range rules() {
		for _, code := range slices.Concat(r.cause, r.follow) {
			if !slices.Contains(codes, code) {
				t.Errorf("rule %d: there is no code %s", i, code)
			}
		}
		if len(r.cause) == 0 || len(r.follow) == 0 {
			t.Errorf("rule %d applies to nothing", i)
		}
		if r.by == anything {
			for _, code := range r.cause {
				if slices.Contains(r.follow, code) {
					t.Errorf("rule %d: %s would follow from itself", i, code)
				}
			}
		}
	}
	for _, code := range nearby() {
		if !slices.Contains(codes, code) {
			t.Errorf("there is no code %s", code)
		}
	}
}

// TestChecks wants every check to have a name of its own and a group, and the order of the groups.
func TestChecks(t *testing.T) {
	seen := map[string]bool{}
	last := 0
	for _, c := range Checks() {
		at := slices.Index(Groups(), c.Group)
		if seen[c.ID] || c.Run == nil || at < last {
			t.Errorf("%s of %s: twice, without Run, or out of order", c.ID, c.Group)
		}
		seen[c.ID], last = true, at
	}
	for _, g := range Groups() {
		if list, unknown := Select(Checks(), []string{string(g)}); len(list) == 0 || unknown != "" {
			t.Errorf("no check looks at %s", g)
		}
	}
}
