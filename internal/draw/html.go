package draw

import (
	"bufio"
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

var (
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string
)

// pageData is what the script of the page knows beside the picture: indexes are those of the
// picture's data-n, data-c and data-e.
type pageData struct {
	Words map[string]string `json:"words"`
	Nodes []pageNode        `json:"nodes"`
	Cards []pageCard        `json:"cards"`
	Edges []pageEdge        `json:"edges"`
	Row   int               `json:"row"`
	Head  int               `json:"head"`
	GapX  int               `json:"gapx"`
	Many  bool              `json:"many"` // edges, so that some are hidden
}

type pageNode struct {
	ID     string  `json:"id"`
	Name   string  `json:"name"`
	Sub    string  `json:"sub,omitempty"`
	Marks  []Mark  `json:"marks,omitempty"`
	Size   int64   `json:"size,omitempty"`
	Info   []Row   `json:"info,omitempty"`
	Root   bool    `json:"root,omitempty"`
	Parent int     `json:"parent"` // index of an edge, -1 for none
	Card   int     `json:"card"`
	X      float64 `json:"x"`
	Y      float64 `json:"y"`
	W      float64 `json:"w"`
}

type pageCard struct {
	X      float64 `json:"x"`
	Y      float64 `json:"y"`
	W      float64 `json:"w"`
	H      float64 `json:"h"`
	Gap    float64 `json:"gap"`
	Column int     `json:"column"`
	Title  string  `json:"title,omitempty"`
	Nodes  []int   `json:"nodes"`
}

type pageEdge struct {
	From  int    `json:"from"`
	To    int    `json:"to"`
	Label string `json:"label,omitempty"`
	Weak  bool   `json:"weak,omitempty"`
}

// HTML writes g as one page that needs nothing else: it can be searched, its clusters fold,
// and a node that is chosen shows what is known about it, who asks for it, and the way to it from a root.
// The page asks nobody for anything, and tells the browser to see to that.
func HTML(w io.Writer, g Graph) error {
	if err := g.check(true); err != nil {
		return err
	}
	l := g.layout()
	data, err := json.Marshal(g.data(l)) // escapes <, > and &, so that nothing ends the script
	if err != nil {
		return err
	}
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "<!doctype html>\n<html lang=\"%s\">\n<head>\n<meta charset=\"utf-8\">\n", esc(g.Lang))
	fmt.Fprintf(b, "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '%s'; script-src '%s'\">\n", hash(sheet()), hash(pageJS))
	fmt.Fprintf(b, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>%s</title>\n<style>%s</style>\n</head>\n<body>\n", esc(g.Title), sheet())
	g.bar(b, l)
	b.WriteString("<main>\n<div id=\"view\" tabindex=\"-1\">\n")
	g.svg(b, l, false)
	b.WriteString("</div>\n<aside id=\"side\" aria-live=\"polite\"></aside>\n</main>\n")
	fmt.Fprintf(b, "<script type=\"application/json\" id=\"data\">%s</script>\n<script>%s</script>\n</body>\n</html>\n", data, pageJS)
	return b.Flush()
}

func sheet() string { return pictureCSS + pageCSS }

// hash names an inline sheet or script for the page's policy.
func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// bar writes what stands above the picture.
func (g Graph) bar(b *bufio.Writer, l layout) {
	word := func(key string) string { return esc(g.Words[key]) }
	fmt.Fprintf(b, "<header>\n<h1>%s</h1>\n<p class=\"counts\">%s · %s</p>\n", esc(g.Title), esc(number(g.Words["nodes"], len(g.Nodes))), esc(number(g.Words["edges"], len(l.edges))))
	for _, n := range g.Notes {
		fmt.Fprintf(b, "<p class=\"notes\">%s</p>\n", esc(n))
	}
	fmt.Fprintf(b, "<div class=\"tools\"><input id=\"search\" type=\"search\" placeholder=\"%s\" aria-label=\"%s\" autocomplete=\"off\" spellcheck=\"false\"> <output id=\"found\"></output>\n", word("search"), word("search"))
	fmt.Fprintf(b, "<button id=\"fold\" type=\"button\">%s</button> <button id=\"unfold\" type=\"button\">%s</button>\n", word("fold-all"), word("unfold-all"))
	if len(l.edges) > manyEdges {
		fmt.Fprintf(b, "<label><input id=\"every\" type=\"checkbox\"> %s</label>\n", word("all-edges"))
	}
	b.WriteString("<button id=\"minus\" type=\"button\" aria-label=\"-\">−</button> <button id=\"plus\" type=\"button\" aria-label=\"+\">+</button></div>\n")
	if legend := g.legend(); len(legend) > 0 {
		fmt.Fprintf(b, "<p class=\"legend\">%s:", word("legend"))
		for _, m := range legend {
			fmt.Fprintf(b, ` <span class="mark"><svg width="10" height="10" aria-hidden="true"><circle class="m-%s" cx="5" cy="5" r="4"/></svg> %s</span>`, m.Class, esc(m.Text))
		}
		b.WriteString("</p>\n")
	}
	fmt.Fprintf(b, "<p class=\"help\">%s</p>\n</header>\n", word("help"))
}

// number puts n into a word with a %d.
func number(word string, n int) string {
	return strings.ReplaceAll(word, "%d", fmt.Sprint(n))
}

func (g Graph) data(l layout) pageData {
	d := pageData{Words: g.Words, Row: rowHeight, Head: headHeight, GapX: gapX, Many: len(l.edges) > manyEdges}
	d.Edges = make([]pageEdge, len(g.Edges)) // with the indexes of Graph.Edges; -1 for those that are not drawn
	for i, e := range g.Edges {
		d.Edges[i] = pageEdge{From: -1, To: -1, Label: clean(e.Label), Weak: e.Weak}
	}
	for _, e := range l.edges {
		d.Edges[e.edge].From, d.Edges[e.edge].To = e.from, e.to
	}
	for i, n := range g.Nodes {
		r := l.rows[i]
		parent := -1
		if l.parent[i] >= 0 {
			parent = l.edges[l.parent[i]].edge
		}
		d.Nodes = append(d.Nodes, pageNode{
			ID: n.ID, Name: clean(n.name()), Sub: clean(n.Sub), Marks: n.Marks, Size: n.Size, Info: cleanRows(n.Info), Root: n.Root, Parent: parent,
			Card: r.card, X: r.x, Y: r.y, W: r.w,
		})
	}
	for _, c := range l.cards {
		d.Cards = append(d.Cards, pageCard{X: c.x, Y: c.y, W: c.w, H: c.h, Gap: c.gap, Column: c.column, Title: c.title, Nodes: c.nodes})
	}
	return d
}

func cleanRows(rows []Row) []Row {
	var out []Row
	for _, r := range rows {
		out = append(out, Row{clean(r.Key), clean(r.Value)})
	}
	return out
}
