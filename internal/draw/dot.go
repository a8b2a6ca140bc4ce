package draw

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// DOT writes g in the language of Graphviz, with clusters.
func DOT(w io.Writer, g Graph) error {
	if err := g.check(false); err != nil {
		return err
	}
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "digraph %s {\n\trankdir=LR;\n\tnode [shape=box, style=rounded, fontname=\"monospace\", fontsize=10];\n", quote(g.Title))
	g.clusters(b)
	for _, e := range g.Edges {
		fmt.Fprintf(b, "\t%s -> %s", quote(e.From), quote(e.To))
		var attrs []string
		if e.Label != "" {
			attrs = append(attrs, "label="+quote(e.Label))
		}
		if e.Weak {
			attrs = append(attrs, "style=dashed")
		}
		if len(attrs) > 0 {
			fmt.Fprintf(b, " [%s]", strings.Join(attrs, ", "))
		}
		b.WriteString(";\n")
	}
	b.WriteString("}\n")
	return b.Flush()
}

// clusters writes the nodes; those of a group of several stand in its cluster.
func (g Graph) clusters(b *bufio.Writer) {
	groups := map[string][]Node{}
	for _, n := range g.Nodes {
		groups[strings.Join(n.Group, "/")] = append(groups[strings.Join(n.Group, "/")], n)
	}
	names := make([]string, 0, len(groups))
	for name := range groups {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		indent := "\t"
		cluster := name != "" && len(groups[name]) > 1
		if cluster {
			fmt.Fprintf(b, "\tsubgraph cluster_%d {\n\t\tlabel=%s;\n", i, quote(name))
			indent = "\t\t"
		}
		for _, n := range groups[name] {
			label := n.name()
			if n.Sub != "" {
				label += "\n" + n.Sub
			}
			if marks := marksText(n); marks != "" {
				label += "\n" + marks
			}
			fmt.Fprintf(b, "%s%s [label=%s];\n", indent, quote(n.ID), quote(label))
		}
		if cluster {
			b.WriteString("\t}\n")
		}
	}
}

// quote makes a string of DOT: https://graphviz.org/doc/info/lang.html.
func quote(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
