package draw

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden pictures")

// words are those of a test: each is its own key.
func words() map[string]string {
	w := map[string]string{}
	for _, k := range Words() {
		w[k] = k
	}
	w["nodes"], w["edges"], w["found"], w["asks"] = "%d modules", "%d requirements", "%d found", "asks for %s"
	return w
}

// small is a graph in which everything occurs once.
func small() Graph {
	return Graph{
		Title: "example.com/app", Lang: "en", Words: words(), Notes: []string{"1 go.mod could not be read: example.com/c@v1.0.0"},
		Nodes: []Node{
			{ID: "example.com/app", Root: true},
			{ID: "github.com/a/x", Sub: "v1.2.0", Group: []string{"github.com", "a"}, Size: 4096, Info: []Row{{"size", "4 kB"}}},
			{ID: "github.com/a/y", Sub: "v0.3.0", Group: []string{"github.com", "a"}, Marks: []Mark{{"retracted", "retracted: broken"}, {"old", "v0.4.0 is newer"}}},
			{ID: "github.com/b/z", Sub: "v1.0.0", Group: []string{"github.com", "b"}},
			{ID: "example.com/<script>alert(1)</script>", Label: `quotes " and \ and & 中文`, Marks: []Mark{{"missing", "could not be read"}}},
			{ID: "example.com/lost"},
		},
		Edges: []Edge{
			{From: "example.com/app", To: "github.com/a/x"},
			{From: "example.com/app", To: "github.com/a/y", Label: "v0.2.0", Weak: true},
			{From: "github.com/a/x", To: "github.com/a/y"},
			{From: "github.com/a/y", To: "github.com/b/z"},
			{From: "github.com/b/z", To: "github.com/a/x", Weak: true}, // a cycle
			{From: "github.com/b/z", To: "example.com/<script>alert(1)</script>"},
			{From: "github.com/b/z", To: "github.com/b/z"},
		},
	}
}

// random is a graph of n modules of some owners.
func random(n int, seed uint64) Graph {
	rnd := rand.New(rand.NewPCG(seed, 1))
	g := Graph{Title: "random", Lang: "en", Words: words(), Nodes: []Node{{ID: "example.com/main", Root: true}}}
	hosts := []string{"github.com", "github.com", "github.com", "golang.org", "k8s.io", "cloud.google.com"}
	for i := 1; i < n; i++ {
		host, owner := hosts[rnd.IntN(len(hosts))], fmt.Sprintf("owner%d", int(rnd.ExpFloat64()*float64(n)/20))
		node := Node{ID: fmt.Sprintf("%s/%s/module%d", host, owner, i), Sub: fmt.Sprintf("v1.%d.%d", rnd.IntN(40), rnd.IntN(9)), Group: []string{host, owner}, Size: rnd.Int64N(1 << 22)}
		if rnd.IntN(9) == 0 {
			c := Classes()[rnd.IntN(len(Classes()))]
			node.Marks = []Mark{{c, c}}
		}
		g.Nodes = append(g.Nodes, node)
		for range 1 + rnd.IntN(5) {
			from := rnd.IntN(1 + int(float64(i)*rnd.Float64()*rnd.Float64()))
			g.Edges = append(g.Edges, Edge{From: g.Nodes[from].ID, To: node.ID, Weak: rnd.IntN(3) > 0})
		}
	}
	return g
}

// TestGolden compares the pictures of a small graph byte for byte.
func TestGolden(t *testing.T) {
	for name, write := range map[string]func(io.Writer, Graph) error{"small.svg": SVG, "small.dot": DOT, "small.html": HTML} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := write(&b, small()); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(file, b.Bytes(), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.Bytes(), want) {
				t.Errorf("%s is another picture; look at it, then run go test -update", name)
			}
		})
	}
}

// TestSame wants the same bytes each time.
func TestSame(t *testing.T) {
	for _, write := range []func(io.Writer, Graph) error{SVG, DOT, HTML} {
		var first bytes.Buffer
		if err := write(&first, random(300, 5)); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			var again bytes.Buffer
			if err := write(&again, random(300, 5)); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(first.Bytes(), again.Bytes()) {
				t.Error("the same graph has two pictures")
			}
		}
	}
}

// TestXML reads the pictures with a parser: names are whatever somebody wrote into a go.mod.
func TestXML(t *testing.T) {
	for _, g := range []Graph{small(), random(200, 1), {Title: "nothing & nobody"}} {
		var b bytes.Buffer
		if err := SVG(&b, g); err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(&b)
		rows := 0
		for {
			tok, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if e, ok := tok.(xml.StartElement); ok {
				for _, a := range e.Attr {
					if a.Name.Local == "data-n" {
						rows++
					}
				}
				if e.Name.Local == "script" {
					t.Error("a name became a script")
				}
			}
		}
		if rows != len(g.Nodes) {
			t.Errorf("%d of %d nodes are drawn", rows, len(g.Nodes))
		}
	}
}

// TestDirection wants no name to turn what stands behind it: the version would read as another one.
func TestDirection(t *testing.T) {
	for _, turn := range []string{"\u202e", "\u2067", "\u200f", "\u061c"} {
		g := small()
		g.Nodes[1].Label, g.Nodes[1].Sub = "ex"+turn+"ample", "v1"+turn
		g.Nodes[1].Info = []Row{{"key" + turn, "value" + turn}}
		for name, draw := range map[string]func(io.Writer, Graph) error{"svg": SVG, "html": HTML} {
			var b bytes.Buffer
			if err := draw(&b, g); err != nil || strings.Contains(b.String(), turn) || !strings.Contains(b.String(), "ex\uFFFDample") {
				t.Errorf("%s, %+q: %v", name, turn, err)
			}
		}
	}
}

// TestHTML wants nothing from outside, and nothing of a name outside of the data.
func TestHTML(t *testing.T) {
	g := small()
	g.Title = "</script><img src=x onerror=alert(1)>"
	g.Nodes[1].Info = []Row{{"k", "</script><script>alert(2)</script>"}}
	var b bytes.Buffer
	if err := HTML(&b, g); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, bad := range []string{"<img", "<script>alert", "http://", "https://", "src=\"", "@import", "url("} {
		if n := strings.Count(strings.ReplaceAll(page, "http://www.w3.org/2000/svg", ""), bad); n > 0 {
			t.Errorf("the page has %q %d times", bad, n)
		}
	}
	if n := strings.Count(page, "</script>"); n != 2 {
		t.Errorf("%d scripts end, want 2", n)
	}
}

// TestBad refuses what is no graph.
func TestBad(t *testing.T) {
	for name, spoil := range map[string]func(*Graph){
		"twice":   func(g *Graph) { g.Nodes[1].ID = g.Nodes[0].ID },
		"no name": func(g *Graph) { g.Nodes[1].ID = "" },
		"edge":    func(g *Graph) { g.Edges[0].To = "nobody" },
		"mark":    func(g *Graph) { g.Nodes[0].Marks = []Mark{{"red", "red"}} },
		"word":    func(g *Graph) { delete(g.Words, "help") },
	} {
		g := small()
		spoil(&g)
		if err := HTML(io.Discard, g); !errors.Is(err, ErrGraph) {
			t.Errorf("%s: %v, want ErrGraph", name, err)
		}
	}
}

// TestLayout wants every row inside of its card and no card on another, in graphs that nobody thought of.
func TestLayout(t *testing.T) {
	for seed := range uint64(40) {
		g := random(2+int(seed*seed), seed)
		l := g.layout()
		for i, r := range l.rows {
			c := l.cards[r.card]
			if r.x < 0 || r.y < 0 || r.x+r.w > c.w+0.01 || r.y+rowHeight > c.h+0.01 {
				t.Fatalf("seed %d: %s leaves its card: %+v in %+v", seed, g.Nodes[i].ID, r, c)
			}
		}
		for i, a := range l.cards {
			if a.x < 0 || a.y < 0 || a.x+a.w > l.width || a.y+a.h > l.height {
				t.Fatalf("seed %d: card %d leaves the picture", seed, i)
			}
			for j, b := range l.cards[:i] {
				if a.x < b.x+b.w && b.x < a.x+a.w && a.y < b.y+b.h && b.y < a.y+a.h {
					t.Fatalf("seed %d: card %d lies on %d", seed, i, j)
				}
			}
		}
		if ratio := l.width / l.height; len(g.Nodes) > 300 && (ratio < 0.4 || ratio > 6) {
			t.Errorf("seed %d: %d nodes have a picture of %.0f by %.0f", seed, len(g.Nodes), l.width, l.height)
		}
		for i := range g.Nodes {
			if p := l.parent[i]; p >= 0 && l.depth[l.edges[p].from] != l.depth[i]-1 {
				t.Errorf("seed %d: the way to %s is not the nearest", seed, g.Nodes[i].ID)
			}
		}
	}
}

// FuzzNames draws whatever a name can be.
func FuzzNames(f *testing.F) {
	f.Add("a", "b", "c")
	f.Add("\x00\xff]]>", "</svg>", `\"`)
	f.Fuzz(func(t *testing.T, a, b, c string) {
		g := Graph{Title: c, Lang: "en", Words: words(), Nodes: []Node{{ID: "1" + a, Sub: b, Group: []string{c}, Root: true}, {ID: "2" + b, Group: []string{c}, Info: []Row{{a, b}}}, {ID: "3", Group: []string{c}}}, Edges: []Edge{{From: "1" + a, To: "2" + b, Label: c}}}
		var out bytes.Buffer
		if err := SVG(&out, g); err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(&out)
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		var page bytes.Buffer
		if err := HTML(&page, g); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(strings.ToLower(page.String()), "</script"); n != 2 {
			t.Errorf("%d scripts end", n)
		}
	})
}

// BenchmarkDraw draws 1,500 modules: layout and page.
func BenchmarkDraw(b *testing.B) {
	g := random(1500, 7)
	for b.Loop() {
		if err := HTML(io.Discard, g); err != nil {
			b.Fatal(err)
		}
	}
}
