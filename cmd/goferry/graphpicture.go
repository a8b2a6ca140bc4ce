package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/draw"
	"github.com/goferry/goferry/internal/modgraph"
)

// picture is the build list as it is drawn.
func (r *graphRun) picture(rep *graphReport) draw.Graph {
	g := draw.Graph{Title: graphTitle(rep.Mains), Lang: r.p.Lang(), Words: map[string]string{}, Notes: r.pictureNotes(rep)}
	for _, w := range draw.Words() {
		g.Words[w] = r.p.T("graph.word-" + w)
	}
	listed := map[string]*graphModule{}
	for _, m := range rep.Modules {
		listed[m.Path] = m
		g.Nodes = append(g.Nodes, r.node(rep, m))
	}
	g.Edges = edges(rep.Modules, listed)
	return g
}

// edges are the requirements as they are drawn. From Go 1.17 on, go.mod repeats as "// indirect" what other modules
// ask for; only where nothing else leads to a module is that drawn, or the picture would be one column wide.
func edges(mods []*graphModule, listed map[string]*graphModule) []draw.Edge {
	var kept []draw.Edge
	repeated, next := map[string][]draw.Edge{}, map[string][]string{}
	for _, m := range mods {
		for _, x := range edgesTo(m, listed) {
			if x.repeats {
				repeated[m.Path] = append(repeated[m.Path], x.Edge)
				continue
			}
			kept = append(kept, x.Edge)
			next[x.From] = append(next[x.From], x.To)
		}
	}
	reached := map[string]bool{}
	var reach func(path string)
	reach = func(path string) {
		if !reached[path] {
			reached[path] = true
			for _, to := range next[path] {
				reach(to)
			}
		}
	}
	for _, m := range mods {
		if m.Main {
			reach(m.Path)
		}
	}
	for _, m := range mods { // modules that ask for each other, and nobody else for them
		if !reached[m.Path] && len(repeated[m.Path]) > 0 {
			kept = append(kept, repeated[m.Path]...)
			reach(m.Path)
		}
	}
	return kept
}

// An edge is drawn unless it only repeats what another asks for.
type edge struct {
	draw.Edge
	repeats bool
}

// edgesTo are the requirements of m. Those of versions that the build does not have are drawn only where
// nothing else would lead to it.
func edgesTo(m *graphModule, listed map[string]*graphModule) []edge {
	var edges, old []edge
	others := slices.ContainsFunc(m.AskedBy, func(q graphAsker) bool { return q.Decides && !q.Superseded && !q.Indirect && q.Path != m.Path })
	for _, q := range m.AskedBy {
		if listed[q.Path] == nil || q.Path == m.Path {
			continue
		}
		e := edge{draw.Edge{From: q.Path, To: m.Path, Weak: !q.Decides}, q.Indirect && others}
		if q.Wants != m.Version {
			e.Label = q.Wants
		}
		if !q.Superseded {
			edges = append(edges, e)
		} else if !slices.ContainsFunc(old, func(o edge) bool { return o.From == e.From }) {
			old = append(old, e)
		}
	}
	if len(edges) == 0 && !m.Main {
		return old
	}
	return edges
}

func graphTitle(mains []graphMain) string {
	var names []string
	for _, m := range mains[:min(len(mains), 3)] {
		names = append(names, m.Path)
	}
	if len(mains) > 3 {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}

// pictureNotes say what could not be found out.
func (r *graphRun) pictureNotes(rep *graphReport) []string {
	var notes []string
	for _, m := range rep.Missing[:min(len(rep.Missing), 3)] {
		notes = append(notes, r.p.T("graph.missing", "Err", m.Error))
	}
	if more := len(rep.Missing) - 3; more > 0 {
		notes = append(notes, r.p.T("graph.missing-more", "Count", more))
	}
	unknown := 0
	for _, m := range rep.Modules {
		if m.Updates == "unknown" || m.Notices == "unknown" {
			unknown++
		}
	}
	if unknown > 0 {
		notes = append(notes, r.p.T("graph.sum-unknown", "Count", unknown))
	}
	if at := oldest(rep); at != nil {
		notes = append(notes, r.p.T("graph.sum-as-of", "Date", at.Local().Format(time.DateOnly)))
	}
	return notes
}

// node is a module as it is drawn.
func (r *graphRun) node(rep *graphReport, m *graphModule) draw.Node {
	n := draw.Node{ID: m.Path, Sub: m.Version, Group: cluster(m), Root: m.Main, Marks: r.marks(m), Info: r.info(rep, m)}
	if m.ZipBytes != nil {
		n.Size = *m.ZipBytes
	}
	return n
}

// cluster is the host of a module and its owner there. Main modules stand alone.
func cluster(m *graphModule) []string {
	if m.Main {
		return nil
	}
	elems := strings.Split(m.Path, "/")
	switch {
	case len(elems) > 2:
		return elems[:2]
	case len(elems) == 2:
		return elems[:1]
	}
	return nil
}

func (r *graphRun) marks(m *graphModule) []draw.Mark {
	var marks []draw.Mark
	for _, x := range []struct {
		on    bool
		class string
	}{
		{m.Error != "", "missing"}, {len(m.Retracted) > 0, "retracted"}, {m.Deprecated != "", "deprecated"}, {m.Replacement != nil, "replaced"},
		{m.Updates == "newer", "old"}, {len(m.AlsoMajor) > 0, "duplicate"}, {m.Private != "", "private"}, {m.Pruned, "pruned"},
	} {
		if x.on {
			marks = append(marks, draw.Mark{Class: x.class, Text: r.p.T("graph.mark-" + x.class)})
		}
	}
	return marks
}

// info are the lines that the page shows of a module. What is not known is said to be unknown.
func (r *graphRun) info(rep *graphReport, m *graphModule) []draw.Row {
	var rows []draw.Row
	row := func(key, value string) {
		if value != "" {
			rows = append(rows, draw.Row{Key: r.p.T("graph.row-" + key), Value: value})
		}
	}
	row("error", m.Error)
	if m.Replacement != nil {
		row("replaced", r.replacement(m))
	}
	for _, why := range m.Retracted {
		row("retracted", r.withReason("graph.note-retracted", "graph.note-retracted-why", why))
	}
	row("deprecated", squeeze(m.Deprecated))
	if !m.Main && (m.Replacement == nil || m.Replacement.Version != "") {
		r.newsRows(m, row)
	}
	if m.Packages != nil {
		row("packages", fmt.Sprintf("%d / %d", m.Packages.Used, m.Packages.All))
	}
	if i := slices.IndexFunc(m.AskedBy, func(q graphAsker) bool { return q.Indirect }); i >= 0 {
		row("repeated", m.AskedBy[i].Wants+" // indirect")
	}
	row("also", strings.Join(m.AlsoMajor, ", "))
	row("private", m.Private)
	if m.Pruned {
		row("pruned", r.p.T("graph.note-pruned"))
	}
	if q, ok := m.decider(); ok && !m.Main {
		by := q.String()
		if q.Indirect {
			by += " // indirect"
		}
		row("by", by)
	}
	if m.Go != "" {
		row("go", "go "+m.Go)
	}
	return rows
}

// newsRows are those that upstreams are asked for.
func (r *graphRun) newsRows(m *graphModule, row func(key, value string)) {
	switch m.Updates {
	case "newer":
		row("newer", m.Newer)
	case "none":
		row("newer", r.p.T("graph.newer-none"))
	case "unknown":
		row("newer", r.p.T("graph.unknown"))
	}
	switch {
	case m.Time != nil:
		row("age", m.Time.UTC().Format(time.DateOnly)+" ("+r.ageCell(m.Time)+")")
	case !r.fl.quick:
		row("age", r.p.T("graph.unknown"))
	}
	if m.ZipBytes != nil {
		row("size", human(*m.ZipBytes))
	} else {
		row("size", r.p.T("graph.unknown"))
	}
}

// chainPicture draws the chains of --why alone.
func (r *graphRun) chainPicture(mods []modgraph.Module, rep *graphWhy) draw.Graph {
	on := map[string]bool{rep.Module.Path: true}
	for _, chain := range rep.Chains {
		for _, v := range chain {
			on[v.Path] = true
		}
	}
	all := r.report(mods, nil)
	all.Modules = slices.DeleteFunc(all.Modules, func(m *graphModule) bool { return !on[m.Path] })
	for i, m := range all.Modules {
		if m.Path == rep.Module.Path {
			all.Modules[i] = rep.Module
		}
	}
	g := r.picture(all)
	g.Title = r.p.T("graph.why-title", "Module", rep.Module.String())
	return g
}
