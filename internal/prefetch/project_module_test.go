package prefetch

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
)

func TestParseModules(t *testing.T) {
	got, err := ParseModules("list", strings.NewReader("# tools\nexample.com/a@v1.0.0\r\n\n  example.com/b latest # the newest\nexample.com/c@release-1.0\n"))
	want := []module.Version{mod("example.com/a", "v1.0.0"), mod("example.com/b", "latest"), mod("example.com/c", "release-1.0")}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, line := range []string{"example.com/a", "example.com/a@", "@v1.0.0", "example.com/a v1.0.0 => ./b", "/a/b@v1.0.0", "a b@c"} {
		_, err := ParseModules("list", strings.NewReader("\n"+line+" # no\n"))
		var le *LineError
		if !errors.As(err, &le) || le.Line != 2 || le.Text != line || !strings.HasPrefix(err.Error(), "list:2: ") {
			t.Errorf("%q: %v", line, err)
		}
	}
}

// FuzzParseModules wants what was read to be read again the same, written in either way.
func FuzzParseModules(f *testing.F) {
	f.Add("example.com/a@v1.0.0\nexample.com/b latest\n")
	f.Add("# nothing\n\n")
	f.Add("a@b@c\n")
	f.Fuzz(func(t *testing.T, list string) {
		got, err := ParseModules("list", strings.NewReader(list))
		if err != nil {
			return
		}
		for _, sep := range []string{"@", " "} {
			var again strings.Builder
			for _, m := range got {
				if goproxy.CheckPath(m.Path) != nil || m.Version == "" {
					t.Errorf("%v is no module version", m)
				}
				again.WriteString(m.Path + sep + m.Version + "\n")
			}
			if same, err := ParseModules("again", strings.NewReader(again.String())); err != nil || !cmp.Equal(got, same) {
				t.Errorf("%v, %v", err, cmp.Diff(got, same))
			}
		}
	})
}

// TestGraphOfModule names what one module needs to be looked at, and what a project that uses it does.
func TestGraphOfModule(t *testing.T) {
	s := realUpstream(t)
	c, err := goproxy.NewClient(s.URL, s.Client())
	if err != nil {
		t.Fatal(err)
	}
	m := mod("example.com/a", "v1.0.0")
	if got := shorten(FilesOfModule(m)); got != "a.mod a.info a.zip" {
		t.Errorf("files of the module: %s", got)
	}
	g, err := GraphOfModule(t.Context(), c, m)
	if err != nil {
		t.Fatal(err)
	}
	if got := shorten(FilesOfGraph(g, false)); got != "a.mod" { // a prunes
		t.Errorf("files of the graph: %s", got)
	}
	all := "a.mod b@v1.1.0.mod unused.mod a.info b@v1.1.0.info unused.info a.zip b@v1.1.0.zip unused.zip"
	if got := shorten(FilesOfGraph(g, true)); got != all {
		t.Errorf("all files: %s", got)
	}
	if g, err = GraphOfModule(t.Context(), c, mod("example.com/none", "v1.0.0")); err != nil || len(g.Failures()) != 1 {
		t.Fatalf("%v, %v", g, err)
	}
	if got := shorten(FilesOfGraph(g, false)); got != "none.mod" {
		t.Errorf("files of a graph that cannot be loaded: %s", got)
	}
}
