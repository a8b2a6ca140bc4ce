package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/text"
)

// SGR codes of a terminal.
const (
	bold   = "1"
	faint  = "2"
	red    = "31"
	yellow = "33"
)

// A cell is a piece of a table. Where it is too long, text gives, and tail stays.
type cell struct{ text, paint, tail string }

func (c cell) columns() int { return text.Columns(c.text) + text.Columns(c.tail) }

// A graphColumn is a column of the table of modules.
type graphColumn struct {
	title string
	least int // columns of the terminal that it keeps
	right bool
	ends  bool // what is too long keeps its end, not both ends
	cells []cell
	width int
}

// columnGap is the space between columns; rows stand behind an indent of the same width.
const columnGap = "  "

// wideTerminal is from how many columns on the table has all its columns.
const wideTerminal = 100

// table writes the build list for people: what go.mod requires, what others brought, and what is worth knowing.
func (r *graphRun) table(rep *graphReport) {
	r.heading(rep)
	var direct, brought []*graphModule
	for _, m := range rep.Modules {
		switch {
		case m.Main:
		case m.Direct:
			direct = append(direct, m)
		default:
			brought = append(brought, m)
		}
	}
	list := append(slices.Clone(direct), brought...)
	cols := r.columns(rep, list)
	if len(list) > 0 {
		r.line("")
		r.line(columnGap + r.row(cols, -1))
	}
	for i, m := range list {
		if i == 0 && len(direct) > 0 {
			r.line(r.paint(bold, r.p.T("graph.direct", "Count", len(direct))))
		} else if i == len(direct) {
			r.line(r.paint(bold, r.p.T("graph.brought", "Count", len(brought))))
		}
		r.module(cols, i, m)
	}
	r.line("")
	r.incomplete(rep.Missing)
	r.summary(rep, len(direct), len(brought))
}

// heading names the main modules.
func (r *graphRun) heading(rep *graphReport) {
	if rep.Workspace != "" {
		r.line(r.p.T("graph.workspace", "File", rep.Workspace, "Count", len(rep.Mains)))
	}
	for _, m := range rep.Mains {
		s := r.paint(bold, m.Path)
		if m.Go != "" {
			s += "  go " + m.Go
		}
		r.line(s)
	}
}

// module writes the row of a module, and its notes: behind it, or below it on a terminal.
func (r *graphRun) module(cols []*graphColumn, i int, m *graphModule) {
	line, notes := columnGap+r.row(cols, i), r.notes(m)
	if len(notes) == 0 {
		r.line(line)
		return
	}
	if r.width() == 0 {
		var all []string
		for _, n := range notes {
			all = append(all, n.text)
		}
		r.line(line + columnGap + strings.Join(all, r.p.T("graph.join")))
		return
	}
	r.line(line)
	for _, n := range notes {
		for j, l := range text.Wrap(n.text, r.width()-7) {
			lead := "    └ "
			if j > 0 {
				lead = "      "
			}
			r.line(lead + r.paint(n.paint, l))
		}
	}
}

// notes is what there is to say of a module beside its row.
func (r *graphRun) notes(m *graphModule) []cell {
	var list []cell
	add := func(paint, s string) { list = append(list, cell{text: s, paint: paint}) }
	if m.Error != "" {
		add(red, r.p.T("graph.note-error"))
	}
	if m.Replacement != nil {
		add(faint, "=> "+r.replacement(m))
	}
	for _, why := range m.Retracted {
		add(red, r.withReason("graph.note-retracted", "graph.note-retracted-why", why))
	}
	if m.Deprecated != "" {
		add(yellow, r.p.T("graph.note-deprecated-why", "Why", squeeze(m.Deprecated)))
	}
	if len(m.AlsoMajor) > 0 {
		add(faint, r.p.T("graph.note-also", "Modules", strings.Join(m.AlsoMajor, ", ")))
	}
	if m.Private != "" {
		add(faint, r.p.T("graph.note-private", "Pattern", m.Private))
	}
	return list
}

// replacement names what stands for m; a folder of the project as it is seen from there.
func (r *graphRun) replacement(m *graphModule) string {
	if m.Replacement.Version == "" {
		if rel, err := filepath.Rel(r.project.Dir, m.Replacement.Path); err == nil && filepath.IsLocal(rel) {
			return "." + string(filepath.Separator) + rel
		}
	}
	return m.Replacement.String()
}

func (r *graphRun) withReason(code, codeWhy, why string) string {
	if why == "" {
		return r.p.T(code)
	}
	return r.p.T(codeWhy, "Why", squeeze(why))
}

func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }

// columns makes the table. Columns in which nothing would stand are left out.
func (r *graphRun) columns(rep *graphReport, list []*graphModule) []*graphColumn {
	name := &graphColumn{title: r.p.T("graph.col-module"), least: 26}
	version := &graphColumn{title: r.p.T("graph.col-version"), least: 10}
	newer := &graphColumn{title: r.p.T("graph.col-newer"), least: 9}
	age := &graphColumn{title: r.p.T("graph.col-age"), right: true, least: 6}
	size := &graphColumn{title: r.p.T("graph.col-size"), right: true, least: 8}
	packages := &graphColumn{title: r.p.T("graph.col-packages"), right: true, least: 7}
	by := &graphColumn{title: r.p.T("graph.col-by"), least: 14, ends: true}
	one := len(rep.Mains) == 1
	for _, m := range list {
		v := cell{text: m.Version}
		if m.Pruned {
			v.tail = " ~"
		}
		name.add(cell{text: m.Path})
		version.add(v)
		newer.add(updateCell(m))
		old := cell{text: r.ageCell(m.Time)}
		if m.Time == nil && m.Updates != "" {
			old = cell{text: "?", paint: faint}
		}
		age.add(old)
		size.add(sizeCell(m))
		packages.add(r.packagesCell(m))
		by.add(r.askedBy(m, one))
	}
	cols := []*graphColumn{name, version, newer, age}
	known := 0
	for _, x := range size.cells {
		known += min(len(x.text), 1)
	}
	if w := r.width(); r.fl.sizes || (w == 0 || w >= wideTerminal) && known >= len(list)/2 {
		cols = append(cols, size)
	}
	cols = slices.DeleteFunc(append(cols, packages, by), (*graphColumn).empty)
	fit(cols, r.width())
	return cols
}

func (c *graphColumn) add(x cell) { c.cells = append(c.cells, x) }

func (c *graphColumn) empty() bool {
	return !slices.ContainsFunc(c.cells, func(x cell) bool { return x.columns() > 0 })
}

// fit gives the columns their widths, on a terminal so many that a row takes one line: the widest give first.
func fit(cols []*graphColumn, width int) {
	total := 1 // the last column stays free
	for _, c := range cols {
		c.width = text.Columns(c.title)
		c.least = max(c.least, c.width)
		for _, x := range c.cells {
			c.width = max(c.width, x.columns())
		}
		total += c.width + len(columnGap)
	}
	for ; width > 0 && total > width; total-- {
		var widest *graphColumn
		for _, c := range cols {
			if c.width > c.least && (widest == nil || c.width-c.least > widest.width-widest.least) {
				widest = c
			}
		}
		if widest == nil {
			return
		}
		widest.width--
	}
}

// row is row i, or the titles where i is negative.
func (r *graphRun) row(cols []*graphColumn, i int) string {
	var b strings.Builder
	for n, c := range cols {
		x := cell{text: c.title, paint: faint}
		if i >= 0 {
			x = c.cells[i]
		}
		s := elide(x.text, c.width-text.Columns(x.tail), c.ends) + x.tail
		fill := strings.Repeat(" ", max(c.width-text.Columns(s), 0))
		switch {
		case c.right:
			s = fill + r.paint(x.paint, s)
		case n == len(cols)-1:
			s = r.paint(x.paint, s)
		default:
			s = r.paint(x.paint, s) + fill
		}
		b.WriteString(s)
		if n < len(cols)-1 {
			b.WriteString(columnGap)
		}
	}
	return b.String()
}

// elide shortens s in its middle, or at its beginning: the end of a module path tells as much as its beginning.
func elide(s string, columns int, ends bool) string {
	runes := []rune(s)
	if text.Columns(s) <= columns || columns < 2 {
		return s
	}
	head := (columns - 1) / 2
	if ends {
		head = 0
	}
	return string(runes[:head]) + "…" + string(runes[len(runes)-(columns-1-head):])
}

// updateCell is the newer version; a question mark where it is not known whether there is one.
func updateCell(m *graphModule) cell {
	switch m.Updates {
	case "newer":
		return cell{text: m.Newer, paint: yellow}
	case "unknown":
		return cell{text: "?", paint: faint}
	}
	return cell{}
}

func sizeCell(m *graphModule) cell {
	if m.ZipBytes == nil {
		return cell{}
	}
	return cell{text: human(*m.ZipBytes)}
}

func (r *graphRun) packagesCell(m *graphModule) cell {
	switch {
	case m.Packages != nil:
		return cell{text: fmt.Sprintf("%d/%d", m.Packages.Used, m.Packages.All)}
	case r.fl.packages:
		return cell{text: "0", paint: faint}
	}
	return cell{}
}

// ageCell is how old a version is, in the unit that suits.
func (r *graphRun) ageCell(at *time.Time) string {
	if at == nil {
		return ""
	}
	const day = 24 * time.Hour
	switch d := max(time.Since(*at), 0); {
	case d < 60*day:
		return r.p.T("graph.age-days", "Days", int(d/day))
	case d < 2*365*day:
		return r.p.T("graph.age-months", "Months", int(d/(30*day)))
	default:
		return r.p.T("graph.age-years", "Years", fmt.Sprintf("%.1f", float64(d)/float64(365*day)))
	}
}

// askedBy is who decided about the version, and how many others of the build list ask for the module. A terminal
// has no room for the version of the one; --why has.
func (r *graphRun) askedBy(m *graphModule, one bool) cell {
	q, ok := m.decider()
	if !ok {
		return cell{}
	}
	others := 0
	for _, o := range m.AskedBy {
		if o.graphVersion != q.graphVersion && !o.Superseded && o.Version != "" {
			others++
		}
	}
	c := cell{text: q.Path, paint: faint}
	switch {
	case q.Version == "" && one:
		c.text = "go.mod"
	case r.width() == 0:
		c.text = q.String()
	}
	if q.Indirect {
		c.text += " // indirect"
	}
	if others > 0 {
		c.tail = fmt.Sprintf(" +%d", others)
	}
	return c
}

// maxShown is how many of a kind people are told of; JSON has them all.
const maxShown = 20

// incomplete lists what could not be loaded.
func (r *graphRun) incomplete(missing []graphMissing) {
	if len(missing) == 0 {
		return
	}
	for _, m := range missing[:min(len(missing), maxShown)] {
		r.text(red, r.p.T("graph.missing", "Err", m.Error))
	}
	if more := len(missing) - maxShown; more > 0 {
		r.line(r.p.T("graph.missing-more", "Count", more))
	}
	r.line("")
	r.say(r.p.T("graph.incomplete", "Count", len(missing)))
}

// summary is the end, and for most readers the beginning.
func (r *graphRun) summary(rep *graphReport, direct, brought int) {
	count := func(is func(*graphModule) bool) int {
		n := 0
		for _, m := range rep.Modules {
			if !m.Main && is(m) {
				n++
			}
		}
		return n
	}
	r.text(bold, r.p.T("graph.sum", "Count", direct+brought, "Direct", direct, "Brought", brought))
	var facts []string
	fact := func(code string, n int) {
		if n > 0 {
			facts = append(facts, r.p.T(code, "Count", n))
		}
	}
	fact("graph.sum-newer", count(func(m *graphModule) bool { return m.Updates == "newer" }))
	fact("graph.sum-retracted", count(func(m *graphModule) bool { return len(m.Retracted) > 0 }))
	fact("graph.sum-deprecated", count(func(m *graphModule) bool { return m.Deprecated != "" }))
	fact("graph.sum-replaced", count(func(m *graphModule) bool { return m.Replacement != nil }))
	fact("graph.sum-major", len(rep.Duplicates))
	fact("graph.sum-pruned", count(func(m *graphModule) bool { return m.Pruned }))
	if len(facts) > 0 {
		r.text("", strings.Join(facts, r.p.T("graph.join")))
	}
	if n := count(func(m *graphModule) bool { return m.Updates == "unknown" || m.Notices == "unknown" }); n > 0 {
		r.text("", r.p.T("graph.sum-unknown", "Count", n))
	}
	if at := oldest(rep); at != nil {
		r.line(r.p.T("graph.sum-as-of", "Date", at.Local().Format(time.DateOnly)))
	}
	r.sumSizes(rep)
	if !slices.ContainsFunc(rep.Mains, func(m graphMain) bool { return m.Path == rep.GoBy }) && rep.GoBy != "" {
		r.line(r.p.T("graph.sum-go", "Version", rep.Go, "Module", rep.GoBy))
	}
}

// text writes a paragraph, on a terminal in lines that fit.
func (r *graphRun) text(paint, s string) {
	lines := []string{s}
	if w := r.width(); w > 0 {
		lines = text.Wrap(s, w-1)
	}
	for _, l := range lines {
		r.line(r.paint(paint, l))
	}
}

// sumSizes says how large the zips are of which that is known.
func (r *graphRun) sumSizes(rep *graphReport) {
	known, bytes := 0, int64(0)
	for _, m := range rep.Modules {
		if m.ZipBytes != nil {
			known, bytes = known+1, bytes+*m.ZipBytes
		}
	}
	if known > 0 {
		r.line(r.p.T("graph.sum-size", "Count", known, "Bytes", human(bytes)))
	}
}

// oldest is when an upstream gave the oldest answer that is shown; nil if all are of today.
func oldest(rep *graphReport) (at *time.Time) {
	for _, m := range rep.Modules {
		if m.AsOf != nil && (at == nil || m.AsOf.Before(*at)) {
			at = m.AsOf
		}
	}
	return at
}
