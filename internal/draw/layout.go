package draw

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"golang.org/x/text/width"
)

// Sizes in units of the picture, which are pixels at its natural size. The font is a
// monospaced one of 12 pixels, the only kind whose widths are known without it.
const (
	charWidth  = 7.25
	rowHeight  = 22
	headHeight = 24
	cardPad    = 8
	gapX       = 76 // between columns, for the edges
	gapY       = 16 // between cards
	gapAlone   = 4  // between nodes that stand alone
	margin     = 24
	minColumn  = 420  // no column is folded below this height
	aspect     = 1.5  // of the whole, about
	nameLimit  = 64   // columns of text; longer names lose their middle
	sweeps     = 6    // over the layers, to put cards near what they belong to
	badge      = 10.0 // width of a mark
)

// A layout is where everything stands.
type layout struct {
	width, height float64
	cards         []card
	rows          []row // one for each node, in the order of Graph.Nodes
	parent        []int // of each node: the edge by which it is nearest to a root; -1 for none
	depth         []int
	edges         []link
}

// A card is a cluster of one layer, or a node that stands alone.
type card struct {
	title   string // empty for a node alone
	nodes   []int
	layer   int
	column  int
	x, y    float64
	w, h    float64
	perCol  int     // rows in each of its own columns
	cell    float64 // width of its own columns
	near    float64 // where it would like to stand, to be sorted by
	widthOf float64 // widest row
	gap     float64 // below it
}

// A row is where a node stands: in its card, from the card's corner.
type row struct {
	card int
	x, y float64
	w    float64
	text string // the name as it is drawn
}

// A link is an edge between the indexes of nodes.
type link struct {
	from, to int
	edge     int  // index in Graph.Edges
	tree     bool // nearest way to a root
}

func (g Graph) layout() layout {
	var l layout
	index := make(map[string]int, len(g.Nodes))
	for i, n := range g.Nodes {
		index[n.ID] = i
	}
	for i, e := range g.Edges {
		if e.From != e.To {
			l.edges = append(l.edges, link{from: index[e.From], to: index[e.To], edge: i})
		}
	}
	l.layers(g)
	l.deal(g)
	l.sort(g)
	l.place()
	return l
}

// layers finds the distance of each node from a root, and the edge that gives it. Edges that
// decide count as nearer than weak ones of the same length.
func (l *layout) layers(g Graph) {
	n := len(g.Nodes)
	l.depth, l.parent = slices.Repeat([]int{-1}, n), slices.Repeat([]int{-1}, n)
	out := make([][]int, n)
	for i, e := range l.edges {
		out[e.from] = append(out[e.from], i)
	}
	for _, o := range out {
		slices.SortStableFunc(o, func(a, b int) int {
			return cmp.Compare(btoi(g.Edges[l.edges[a].edge].Weak), btoi(g.Edges[l.edges[b].edge].Weak))
		})
	}
	var queue []int
	for i, node := range g.Nodes {
		if node.Root {
			l.depth[i] = 0
			queue = append(queue, i)
		}
	}
	last := 0
	for ; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		last = max(last, l.depth[at])
		for _, e := range out[at] {
			if to := l.edges[e].to; l.depth[to] < 0 {
				l.depth[to], l.parent[to] = l.depth[at]+1, e
				l.edges[e].tree = true
				queue = append(queue, to)
			}
		}
	}
	for i := range l.depth { // what no root leads to stands behind all
		if l.depth[i] < 0 {
			l.depth[i] = last + 1
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// deal puts the nodes of each layer into cards.
func (l *layout) deal(g Graph) {
	type key struct {
		layer int
		group string
	}
	cards := map[key][]int{}
	for i, n := range g.Nodes {
		k := key{l.depth[i], strings.Join(n.Group, "/")}
		if n.Root || k.group == "" {
			k.group = "\x00" + n.ID // alone
		}
		cards[k] = append(cards[k], i)
	}
	l.rows = make([]row, len(g.Nodes))
	for k, nodes := range cards {
		c := card{nodes: nodes, layer: k.layer}
		if len(nodes) > 1 {
			c.title = k.group
		}
		slices.SortFunc(c.nodes, func(a, b int) int { return strings.Compare(g.Nodes[a].name(), g.Nodes[b].name()) })
		l.cards = append(l.cards, c)
	}
	slices.SortFunc(l.cards, func(a, b card) int {
		return cmp.Or(cmp.Compare(a.layer, b.layer), strings.Compare(g.Nodes[a.nodes[0]].name(), g.Nodes[b.nodes[0]].name()), cmp.Compare(a.nodes[0], b.nodes[0]))
	})
	for ci := range l.cards {
		c := &l.cards[ci]
		for _, i := range c.nodes {
			n := g.Nodes[i]
			r := &l.rows[i]
			r.card, r.text = ci, shorten(n.name(), c.title)
			w := columns(r.text) * charWidth
			if n.Sub != "" {
				w += (1 + columns(n.Sub)) * charWidth
			}
			w += badge * float64(len(n.Marks))
			c.widthOf = max(c.widthOf, w)
		}
		if c.title != "" {
			c.widthOf = max(c.widthOf, (columns(c.title)+6)*charWidth) // with the mark to fold it and a count
		}
	}
}

// shorten leaves the words of the cluster out of a name, and the middle of one that is too long.
func shorten(name, cluster string) string {
	if cluster != "" && strings.HasPrefix(name, cluster+"/") {
		name = name[len(cluster)+1:]
	}
	r := []rune(name)
	if len(r) <= nameLimit {
		return name
	}
	return string(r[:nameLimit/2]) + "…" + string(r[len(r)-nameLimit/2+1:])
}

// columns is the width of s on a terminal, which a monospaced font keeps to.
func columns(s string) float64 {
	n := 0.0
	for _, r := range s {
		switch width.LookupRune(r).Kind() {
		case width.EastAsianWide, width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}

// sort puts the cards of each layer near those they are linked with: the mean of their places,
// layer by layer there and back.
func (l *layout) sort(g Graph) {
	layers := l.byLayer()
	place := make([]float64, len(l.cards))
	number := func(ids []int) {
		for i, c := range ids {
			place[c] = (float64(i) + 0.5) / float64(len(ids))
		}
	}
	for _, ids := range layers {
		number(ids)
	}
	near := make([]map[int]float64, len(l.cards)) // weights of neighbours
	for i := range near {
		near[i] = map[int]float64{}
	}
	for _, e := range l.edges {
		a, b := l.rows[e.from].card, l.rows[e.to].card
		weight := 0.2
		if e.tree {
			weight = 1
		}
		near[a][b] += weight
		near[b][a] += weight
	}
	neighbours := make([][]int, len(l.cards))
	for i, m := range near {
		for j := range m {
			neighbours[i] = append(neighbours[i], j)
		}
		slices.Sort(neighbours[i]) // sums of floats depend on the order
	}
	for s := range sweeps {
		for k := range layers {
			at := k
			if s%2 == 1 {
				at = len(layers) - 1 - k
			}
			for _, c := range layers[at] {
				sum, weights := 0.0, 0.0
				for _, o := range neighbours[c] {
					if (s%2 == 0) == (l.cards[o].layer < at) && l.cards[o].layer != at {
						sum, weights = sum+place[o]*near[c][o], weights+near[c][o]
					}
				}
				if l.cards[c].near = place[c]; weights > 0 {
					l.cards[c].near = sum / weights
				}
			}
			slices.SortStableFunc(layers[at], func(a, b int) int { return cmp.Compare(l.cards[a].near, l.cards[b].near) })
			number(layers[at])
		}
	}
	// The cards change places; rows must know.
	var sorted []card
	for _, ids := range layers {
		for _, c := range ids {
			for _, n := range l.cards[c].nodes {
				l.rows[n].card = len(sorted)
			}
			sorted = append(sorted, l.cards[c])
		}
	}
	l.cards = sorted
}

// byLayer lists the indexes of cards, layer by layer.
func (l *layout) byLayer() [][]int {
	var layers [][]int
	for i, c := range l.cards {
		for len(layers) <= c.layer {
			layers = append(layers, nil)
		}
		layers[c.layer] = append(layers[c.layer], i)
	}
	return layers
}

// place gives everything its place: layers from left to right, folded into columns so that the
// whole has about the shape of a screen.
func (l *layout) place() {
	area := 0.0
	for _, c := range l.cards {
		area += (c.widthOf + 2*cardPad + gapX) * (float64(len(c.nodes))*rowHeight + gapY)
	}
	limit := max(minColumn, math.Sqrt(area/aspect))
	x, column := float64(margin), 0
	for _, ids := range l.byLayer() {
		for len(ids) > 0 {
			y, w, n := float64(margin), 0.0, 0
			for _, i := range ids {
				c := &l.cards[i]
				c.measure(limit)
				if n > 0 && y+c.h > limit+margin {
					break
				}
				c.x, c.y, c.column, c.gap = x, y, column, gapY
				if next := i + 1; c.title == "" && next < len(l.cards) && l.cards[next].title == "" && l.cards[next].layer == c.layer {
					c.gap = gapAlone
				}
				y, w, n = y+c.h+c.gap, max(w, c.w), n+1
			}
			for _, i := range ids[:n] {
				l.cards[i].stretch(w)
				l.settle(i)
			}
			l.height = max(l.height, y-l.cards[ids[n-1]].gap+margin)
			x, ids, column = x+w+gapX, ids[n:], column+1
		}
	}
	l.width = max(x-gapX+margin, 2*margin)
	l.height = max(l.height, 2*margin)
}

// measure finds the size of a card in a column of height limit. One that is too high gets
// columns of its own.
func (c *card) measure(limit float64) {
	head := 0.0
	if c.title != "" {
		head = headHeight
	}
	c.perCol = len(c.nodes)
	if most := int((limit - head - 2*cardPad) / rowHeight); c.perCol > most {
		cols := (len(c.nodes) + most - 1) / most
		c.perCol = (len(c.nodes) + cols - 1) / cols
	}
	cols := (len(c.nodes) + c.perCol - 1) / c.perCol
	c.cell = c.widthOf + 2*cardPad
	c.w = float64(cols) * c.cell
	c.h = head + float64(c.perCol)*rowHeight + cardPad
}

// stretch makes a card as wide as its column.
func (c *card) stretch(w float64) {
	c.w = w
	c.cell = w / float64((len(c.nodes)+c.perCol-1)/c.perCol)
}

// settle gives the rows of a card their places.
func (l *layout) settle(ci int) {
	c := &l.cards[ci]
	head := cardPad / 2.0
	if c.title != "" {
		head += headHeight
	}
	for k, n := range c.nodes {
		r := &l.rows[n]
		r.x, r.y, r.w = float64(k/c.perCol)*c.cell, head+float64(k%c.perCol)*rowHeight, c.cell
	}
}
