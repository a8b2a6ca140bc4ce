package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/draw"
	"github.com/goferry/goferry/internal/goproxytest"
	"github.com/goferry/goferry/internal/text"
)

// TestGraphFit wants tables that fit a terminal wherever they can, and keep what tells most.
func TestGraphFit(t *testing.T) {
	table := func() []*graphColumn {
		name := &graphColumn{title: "module", least: 26}
		name.add(cell{text: "github.com/grpc-ecosystem/grpc-gateway/v2"})
		name.add(cell{text: "short.example.com/m"})
		version := &graphColumn{title: "version", least: 10}
		version.add(cell{text: "v0.0.0-20240102030405-0123456789ab", tail: " ~"})
		version.add(cell{text: "v1.2.3"})
		age := &graphColumn{title: "年龄", right: true, least: 6}
		age.add(cell{text: "23 个月"})
		age.add(cell{text: "1 天"})
		by := &graphColumn{title: "asked by", least: 14, ends: true}
		by.add(cell{text: "go.opentelemetry.io/contrib/instrumentation", tail: " +12"})
		by.add(cell{text: "go.mod"})
		return []*graphColumn{name, version, age, by}
	}
	r := &graphRun{app: &app{world: world{stdout: io.Discard, env: func(string) string { return "" }}}}
	for _, width := range []int{0, 200, 120, 80, 70, 20} {
		cols := table()
		fit(cols, width)
		for i := -1; i < 2; i++ {
			row := r.row(cols, i)
			if n := text.Columns(columnGap + row); width >= 70 && n >= width {
				t.Errorf("width %d: row of %d columns: %q", width, n, row)
			}
			if width == 0 && strings.Contains(row, "…") {
				t.Errorf("without a terminal something is left out: %q", row)
			}
		}
		if row := r.row(cols, 0); !strings.Contains(row, " ~  ") || !strings.HasSuffix(row, " +12") {
			t.Errorf("width %d: the tails are gone: %q", width, row)
		}
	}
	for _, c := range []struct {
		s    string
		n    int
		ends bool
		want string
	}{
		{"abcdefgh", 8, false, "abcdefgh"}, {"abcdefgh", 5, false, "ab…gh"}, {"abcdefgh", 5, true, "…efgh"}, {"abcdefgh", 1, false, "abcdefgh"},
	} {
		if got := elide(c.s, c.n, c.ends); got != c.want {
			t.Errorf("elide(%q, %d) is %q, want %q", c.s, c.n, got, c.want)
		}
	}
}

// TestGraphEdges wants that what go.mod only repeats is not drawn, and that nothing hangs in the air for it.
func TestGraphEdges(t *testing.T) {
	app := graphVersion{Path: "example.com/app"}
	asks := func(by graphVersion, wants string, decides, indirect bool) graphAsker {
		return graphAsker{graphVersion: by, Wants: wants, Decides: decides, Indirect: indirect}
	}
	v := func(path string) graphVersion { return graphVersion{path, "v1.0.0"} }
	mods := []*graphModule{
		{graphVersion: app, Main: true},
		{graphVersion: v("a"), Direct: true, AskedBy: []graphAsker{asks(app, "v1.0.0", true, false)}},
		{graphVersion: v("b"), AskedBy: []graphAsker{asks(app, "v1.0.0", true, true), asks(v("a"), "v1.0.0", true, false)}},
		{graphVersion: v("c"), AskedBy: []graphAsker{asks(app, "v1.0.0", true, true), asks(v("a"), "v0.9.0", false, false)}}, // go.mod decides
		{graphVersion: v("x"), AskedBy: []graphAsker{asks(app, "v1.0.0", true, true), asks(v("y"), "v1.0.0", true, false)}},  // x and y ask for each other
		{graphVersion: v("y"), AskedBy: []graphAsker{asks(app, "v1.0.0", true, true), asks(v("x"), "v1.0.0", true, false)}},
		{graphVersion: v("z"), AskedBy: []graphAsker{{graphVersion: graphVersion{"a", "v0.1.0"}, Wants: "v1.0.0", Decides: true, Superseded: true}}},
	}
	listed := map[string]*graphModule{}
	for _, m := range mods {
		listed[m.Path] = m
	}
	var got []string
	for _, e := range edges(mods, listed) {
		s := strings.TrimPrefix(e.From, "example.com/") + "→" + e.To
		if e.Label != "" {
			s += " " + e.Label
		}
		if e.Weak {
			s += " weak"
		}
		got = append(got, s)
	}
	want := []string{"app→a", "a→b", "app→c", "a→c v0.9.0 weak", "y→x", "x→y", "a→z", "app→x"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("edges (-want +got):\n%s", diff)
	}
}

// TestGraphWords wants every word that room draw asks for, in both languages, and a text for each mark.
func TestGraphWords(t *testing.T) {
	for _, lang := range []string{text.English, text.Chinese} {
		p := text.New(lang)
		for _, w := range draw.Words() {
			code := "graph.word-" + w
			if !p.Has(code) {
				t.Errorf("%s: no message %s", lang, code)
			}
			for _, verb := range []string{"%d", "%s"} {
				if has := strings.Contains(p.T(code), verb); has != strings.Contains(text.New(text.English).T(code), verb) {
					t.Errorf("%s: %s: %q", lang, code, p.T(code))
				}
			}
		}
		for _, c := range draw.Classes() {
			if !p.Has("graph.mark-" + c) {
				t.Errorf("%s: no message for mark %s", lang, c)
			}
		}
		for _, code := range []string{"kind-removed", "kind-lowered", "kind-raised", "kind-added", "count-removed", "count-lowered", "count-raised", "count-added",
			"then-absent", "then-error", "then-mirror", "row-error", "row-replaced", "row-retracted", "row-deprecated", "row-newer", "row-age", "row-size",
			"row-packages", "row-also", "row-private", "row-pruned", "row-by", "row-go", "row-repeated"} {
			if !p.Has("graph." + code) {
				t.Errorf("%s: no message graph.%s", lang, code)
			}
		}
	}
}

// BenchmarkGraph is the whole command over 1,500 modules, offline, from a warm cache.
func BenchmarkGraph(b *testing.B) {
	const modules = 1500
	up := goproxytest.New(b)
	var gomod strings.Builder
	gomod.WriteString("module example.com/app\n\ngo 1.21\n")
	for i := range modules {
		mod := fmt.Sprintf("module example.com/o%d/m%d\n\ngo 1.21\n", i%90, i)
		for _, d := range []int{1, 7, 40} {
			if i+d < modules {
				mod += fmt.Sprintf("require example.com/o%d/m%d v1.0.0\n", (i+d)%90, i+d)
			}
		}
		up.AddModule(fmt.Sprintf("example.com/o%d/m%d", i%90, i), "v1.0.0", map[string]string{"go.mod": mod, "m.go": "package m\n"})
		fmt.Fprintf(&gomod, "require example.com/o%d/m%d v1.0.0\n", i%90, i)
	}
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(gomod.String()), 0o666); err != nil {
		b.Fatal(err)
	}
	for k, v := range map[string]string{
		"GOPROXY": up.URL, "GOSUMDB": "off", "GOMODCACHE": b.TempDir(), "GOFERRY_CACHE": b.TempDir(), "GOFERRY_UPSTREAM": up.URL, "GOFERRY_SUMDB": "off", "GOWORK": "off",
	} {
		b.Setenv(k, v)
	}
	graph := func(args ...string) int {
		var out, errs bytes.Buffer
		code := run(b.Context(), append([]string{"graph", dir}, args...), world{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, env: os.Getenv})
		if code != 0 {
			b.Fatalf("exit code %d\n%s", code, errs.String())
		}
		return out.Len()
	}
	graph()
	for _, format := range []string{"text", "html", "json"} {
		b.Run(format, func(b *testing.B) {
			for b.Loop() {
				graph("--offline", "--format", format)
			}
			b.ReportMetric(float64(graph("--offline", "--format", format))/1000, "kB")
		})
	}
}
