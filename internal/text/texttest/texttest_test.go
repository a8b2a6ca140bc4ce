package texttest_test

import (
	"os"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/text/texttest"
)

const source = `package p

const code = "transport.hint.none"

func f(p printer, more []any, name string) {
	p.T("hint.value-bool")
	p.T("hint.port-taken", "Addr", 1)
	p.T("hint.port-taken")
	p.T("hint.port-taken", "Adr", 1)
	p.T("hint.port-taken", more...)
	p.T("hint.port-taken", name, 1)
	p.T("serve.none", "Count", 1)
	p.T(name)
	T("hint.value-bool", "Count", 2)
	_ = Error{Hint: "x", HintCode: "hint.unknown-key"}
	_ = Error{HintCode: "hint.unknown-key", HintArgs: more}
	_ = fault{code: "error.x", args: more, hint: "hint.unknown-key"}
	with(1, "hint.unknown-key", "Near", name)
	switch name {
	case "hint.nothing-uses-this":
	}
	other.Print("serve.short", "a.hint")
}
`

func TestUsed(t *testing.T) {
	fsys := fstest.MapFS{
		"a/p.go":            {Data: []byte(source)},
		"a/p_test.go":       {Data: []byte(`package p; var _ = T("test.none")`)},
		"a/testdata/q.go":   {Data: []byte(`no Go`)},
		".hidden/q.go":      {Data: []byte(`no Go`)},
		"a/T(\"none\").txt": {Data: []byte(`T("txt.none")`)},
	}
	uses, err := texttest.Used(fsys)
	if err != nil {
		t.Fatal(err)
	}
	got := texttest.Problems(uses)
	slices.Sort(got)
	want := []string{
		"a/p.go:12: no message has the code serve.none",
		"a/p.go:15: hint.unknown-key takes Near, which is not given",
		"a/p.go:3: no message has the code transport.hint.none",
		"a/p.go:8: hint.port-taken takes Addr, which is not given",
		"a/p.go:9: hint.port-taken takes Addr, which is not given",
		"a/p.go:9: hint.port-taken takes no Adr",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got)\n%s", diff)
	}
	if len(uses) != 13 {
		t.Errorf("found %d uses, want 13: %v", len(uses), uses)
	}
	if _, err := texttest.Used(fstest.MapFS{"p.go": {Data: []byte("no Go")}}); err == nil {
		t.Error("a file that is no Go is passed over")
	}
}

func TestPlaceholders(t *testing.T) {
	forms := map[string]string{
		"one":   `{{if .A}}{{.B}}{{else}}{{.C | printf "%q"}}{{end}}`,
		"other": `{{with .D}}{{.Inner}}{{end}}{{range .E}}{{.Inner}}{{else}}{{.F.G}}{{end}}{{.B}}`,
	}
	if diff := cmp.Diff([]string{"A", "B", "C", "D", "E", "F"}, texttest.Placeholders(forms)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestThisModule checks the hints of all rooms, which no single room can see.
func TestThisModule(t *testing.T) {
	texttest.Check(t, os.DirFS("../../.."))
}
