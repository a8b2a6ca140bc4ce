// Package draw draws a graph of named nodes as SVG, DOT, and one self-contained HTML
// page; it knows nothing of modules.
//
// It decides nothing about what is shown: which nodes stand in which cluster, what is
// marked, and what the words of the page are is given. The same graph always gives the
// same bytes.
//
// Nodes stand in layers by their distance from the roots, and within a layer in a card
// for each cluster, so that a graph of some hundred nodes can still be read as a list.
package draw

import (
	"errors"
	"fmt"
)

// A Graph is what is drawn. Edges name nodes by ID; cycles are allowed.
type Graph struct {
	Title string
	Lang  string            // of Words and of the rest: "en", "zh"
	Words map[string]string // what the pictures say by themselves; every key of Words must be there
	Nodes []Node
	Edges []Edge
	Notes []string // lines under the title: what could not be found out, say
}

// A Node is a row of a card.
type Node struct {
	ID    string   // unique, not empty
	Label string   // its name; empty means ID. The words of its cluster are not drawn again
	Sub   string   // what stands behind the name, such as a version
	Group []string // cluster, and cluster within it: host and owner; none stands alone
	Root  bool     // the first layer, and never folded away
	Marks []Mark
	Size  int64 // in bytes; 0 is unknown
	Info  []Row // what the page shows of it when it is chosen
}

// A Mark is a badge of a node. Nodes that share a class share a colour and a line of the legend.
type Mark struct {
	Class string `json:"c"` // of Classes
	Text  string `json:"t"`
}

// A Row is a line of what is known about a node.
type Row struct {
	Key   string `json:"k"`
	Value string `json:"v"`
}

// An Edge goes from the node that asks to the one it asks for.
type Edge struct {
	From, To string
	Label    string // what was asked for, where it is not what is drawn
	Weak     bool   // it does not decide: others ask for more
}

// Classes lists the classes of marks, which have colours.
func Classes() []string {
	return []string{"replaced", "pruned", "retracted", "deprecated", "old", "duplicate", "missing", "private"}
}

// Words lists the keys of Graph.Words. The values of those with a %d have one, too.
func Words() []string {
	return []string{
		"search",     // the empty search field
		"fold-all",   // buttons
		"unfold-all", //
		"all-edges",  // a switch: draw every edge, not just one for each node
		"nodes",      // "%d modules"
		"edges",      // "%d requirements"
		"found",      // "%d found"
		"none-found", //
		"path",       // heads the way from a root to the chosen node
		"from",       // heads the nodes that ask for it
		"to",         // heads the nodes it asks for
		"nobody",     // stands where there are none
		"asks",       // "asks for %s", behind a node whose edge has a label
		"legend",     //
		"help",       // how to use the page, a line
	}
}

// ErrGraph is the error of a graph that cannot be drawn. Whoever made it is wrong.
var ErrGraph = errors.New("not a graph")

// check wants unique nodes, known edges and marks, and all words.
func (g Graph) check(words bool) error {
	ids := make(map[string]bool, len(g.Nodes))
	classes := map[string]bool{}
	for _, c := range Classes() {
		classes[c] = true
	}
	for _, n := range g.Nodes {
		if n.ID == "" || ids[n.ID] {
			return fmt.Errorf("%w: node %q has no name of its own", ErrGraph, n.ID)
		}
		ids[n.ID] = true
		for _, m := range n.Marks {
			if !classes[m.Class] {
				return fmt.Errorf("%w: node %q: unknown mark %q", ErrGraph, n.ID, m.Class)
			}
		}
	}
	for _, e := range g.Edges {
		if !ids[e.From] || !ids[e.To] {
			return fmt.Errorf("%w: edge from %q to %q: no such node", ErrGraph, e.From, e.To)
		}
	}
	if !words {
		return nil
	}
	for _, w := range Words() {
		if g.Words[w] == "" {
			return fmt.Errorf("%w: no word for %q", ErrGraph, w)
		}
	}
	return nil
}

// name is what a node is called.
func (n Node) name() string {
	if n.Label != "" {
		return n.Label
	}
	return n.ID
}
