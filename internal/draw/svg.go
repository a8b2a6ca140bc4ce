package draw

import (
	"bufio"
	_ "embed" // the sheet
	"fmt"
	"html"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

//go:embed picture.css
var pictureCSS string

// manyEdges is how many edges a picture shows at most beside those that lead to each node
// on its nearest way; more are a grey cloud in which no line can be followed. The page can show them.
const manyEdges = 600

// SVG writes the picture of g.
func SVG(w io.Writer, g Graph) error {
	if err := g.check(false); err != nil {
		return err
	}
	b := bufio.NewWriter(w)
	g.svg(b, g.layout(), true)
	return b.Flush()
}

// svg writes the picture; alone means as a file of its own.
func (g Graph) svg(b *bufio.Writer, l layout, alone bool) {
	top := 0.0
	if alone {
		top = 30 + 18*float64(len(g.Notes)+min(1, len(g.legend())))
	}
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s"`, num(l.width), num(l.height+top))
	if alone {
		fmt.Fprintf(b, ` width="%s" height="%s"`, num(l.width), num(l.height+top))
	}
	fmt.Fprintf(b, ` role="img" aria-label="%s">`+"\n", esc(g.Title))
	if alone {
		fmt.Fprintf(b, "<title>%s</title>\n<style>%s</style>\n<rect class=\"ground\" width=\"100%%\" height=\"100%%\"/>\n", esc(g.Title), pictureCSS)
		g.header(b)
	}
	fmt.Fprintf(b, "<g id=\"all\" transform=\"translate(0 %s)\">\n", num(top))
	g.paths(b, l)
	for i := range l.cards {
		g.card(b, l, i)
	}
	b.WriteString("</g>\n</svg>\n")
}

// header writes title, notes and legend above the picture.
func (g Graph) header(b *bufio.Writer) {
	y := 28.0
	fmt.Fprintf(b, `<text class="title" x="%d" y="%s">%s</text>`+"\n", margin, num(y), esc(g.Title))
	for _, n := range g.Notes {
		y += 18
		fmt.Fprintf(b, `<text class="note" x="%d" y="%s">%s</text>`+"\n", margin, num(y), esc(n))
	}
	y += 18
	x := float64(margin)
	for _, m := range g.legend() {
		fmt.Fprintf(b, `<circle class="m-%s" cx="%s" cy="%s" r="4"/><text class="note" x="%s" y="%s">%s</text>`+"\n",
			m.Class, num(x+4), num(y-4), num(x+14), num(y), esc(m.Text))
		x += 14 + (columns(m.Text)+3)*charWidth
	}
}

// legend lists a mark of each class that occurs, in the order of Classes.
func (g Graph) legend() []Mark {
	texts := map[string]string{}
	for _, n := range g.Nodes {
		for _, m := range n.Marks {
			if texts[m.Class] == "" {
				texts[m.Class] = m.Text
			}
		}
	}
	var legend []Mark
	for _, c := range Classes() {
		if texts[c] != "" {
			legend = append(legend, Mark{Class: c, Text: texts[c]})
		}
	}
	return legend
}

// paths writes the edges, those that matter last, so that they lie on top.
func (g Graph) paths(b *bufio.Writer, l layout) {
	order := slices.Clone(l.edges)
	slices.SortStableFunc(order, func(a, b link) int { return btoi(a.tree) - btoi(b.tree) })
	b.WriteString("<g id=\"edges\">\n")
	for _, e := range order {
		class := "e"
		switch {
		case e.tree:
			class = "e t"
		case len(l.edges) > manyEdges:
			class = "e r"
		}
		if g.Edges[e.edge].Weak {
			class += " w"
		}
		fmt.Fprintf(b, `<path class="%s" data-e="%d" d="%s"/>`+"\n", class, e.edge, l.path(e))
	}
	b.WriteString("</g>\n")
}

// path is the line of an edge: from the right side of a row to the left side of the other; back around where
// the other does not stand to the right.
func (l *layout) path(e link) string {
	a, b := l.rows[e.from], l.rows[e.to]
	ca, cb := l.cards[a.card], l.cards[b.card]
	x1, y1 := ca.x+a.x+a.w, ca.y+a.y+rowHeight/2
	x2, y2 := cb.x+b.x, cb.y+b.y+rowHeight/2
	if ca.column < cb.column {
		bend := max(30, min((x2-x1)/2, 160))
		return "M" + num(x1) + " " + num(y1) + "C" + num(x1+bend) + " " + num(y1) + " " + num(x2-bend) + " " + num(y2) + " " + num(x2) + " " + num(y2)
	}
	x2 += b.w
	out := max(x1, x2) + gapX/2
	return "M" + num(x1) + " " + num(y1) + "C" + num(out) + " " + num(y1) + " " + num(out) + " " + num(y2) + " " + num(x2) + " " + num(y2)
}

// card writes a card with its rows.
func (g Graph) card(b *bufio.Writer, l layout, ci int) {
	c := l.cards[ci]
	fmt.Fprintf(b, `<g class="card" data-c="%d" transform="translate(%s %s)"><rect class="box" width="%s" height="%s" rx="6"/>`+"\n", ci, num(c.x), num(c.y), num(c.w), num(c.h))
	if c.title != "" {
		fmt.Fprintf(b, `<g class="head"><rect class="cap" width="%s" height="%d" rx="6"/><text x="%d" y="16">%s <tspan class="sub">%d</tspan></text></g>`+"\n",
			num(c.w), headHeight, cardPad, esc(c.title), len(c.nodes))
	}
	for _, i := range c.nodes {
		g.row(b, l, i)
	}
	b.WriteString("</g>\n")
}

func (g Graph) row(b *bufio.Writer, l layout, i int) {
	n, r := g.Nodes[i], l.rows[i]
	class := "n"
	if n.Root {
		class = "n root"
	}
	fmt.Fprintf(b, `<g class="%s" data-n="%d" transform="translate(%s %s)"><title>%s</title><rect class="hit" x="2" width="%s" height="%d" rx="4"/>`,
		class, i, num(r.x), num(r.y), esc(strings.TrimSpace(n.ID+"\n"+marksText(n))), num(r.w-4), rowHeight)
	x := float64(cardPad)
	for _, m := range n.Marks {
		fmt.Fprintf(b, `<circle class="m-%s" cx="%s" cy="11" r="4"/>`, m.Class, num(x+3))
		x += badge
	}
	fmt.Fprintf(b, `<text x="%s" y="15">%s`, num(x), esc(r.text))
	if n.Sub != "" {
		fmt.Fprintf(b, ` <tspan class="sub">%s</tspan>`, esc(n.Sub))
	}
	b.WriteString("</text></g>\n")
}

func marksText(n Node) string {
	var texts []string
	for _, m := range n.Marks {
		texts = append(texts, m.Text)
	}
	return strings.Join(texts, "\n")
}

// num is a length with one decimal at most.
func num(f float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0")
}

// esc makes s safe in XML, as text and in quotes.
func esc(s string) string { return html.EscapeString(clean(s)) }

// clean puts a replacement character for what XML cannot hold at all, and for what turns the direction of all that is written
// behind it: a name could make its neighbours read as something else.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0xFFFE || r == 0xFFFF || unicode.Is(unicode.Bidi_Control, r) {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
