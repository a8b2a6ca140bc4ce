package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/modgraph"
	"github.com/goferry/goferry/internal/prefetch"
)

// graphWhy is what `graph --why --format json` prints.
type graphWhy struct {
	Module  *graphModule     `json:"module"`
	Chains  [][]graphVersion `json:"chains"` // from a main module to it, the shortest first, // indirect last
	Missing []graphMissing   `json:"missing"`
}

// maxChains is how many chains people are shown; JSON has them all.
const maxChains = 5

// why explains why a module is in the build, and why by this version.
func (r *graphRun) why(ctx context.Context) error {
	m, err := r.find("--why", r.fl.why)
	if err != nil {
		return err
	}
	var mod modgraph.Module
	mods := r.g.Modules()
	for _, x := range mods {
		if x.Mod == m {
			mod = x
		}
	}
	facts, err := r.facts(ctx, []modgraph.Module{mod}, !r.fl.quick)
	if err != nil {
		return err
	}
	chains := r.g.Why(m.Path, 0)
	slices.SortStableFunc(chains, func(a, b []module.Version) int { return repeats(mod, a) - repeats(mod, b) })
	rep := &graphWhy{Chains: [][]graphVersion{}, Missing: r.missing(r.g)}
	for _, x := range r.report(mods, facts).Modules {
		if x.Path == m.Path {
			rep.Module = x
		}
	}
	for _, c := range chains {
		var chain []graphVersion
		for _, v := range c {
			chain = append(chain, versionOf(v))
		}
		rep.Chains = append(rep.Chains, chain)
	}
	r.look.end()
	switch r.fl.format {
	case "json":
		return r.printJSON(rep)
	case "text":
		r.explainWhy(rep)
		return nil
	}
	return r.drawing(r.chainPicture(mods, rep))
}

// repeats is 1 for a chain that is nothing but a line of a go.mod with "// indirect": it repeats what others ask
// for, and explains nothing if there are others.
func repeats(m modgraph.Module, chain []module.Version) int {
	if len(chain) == 2 && slices.ContainsFunc(m.Requirers, func(q modgraph.Requirer) bool { return q.Indirect && q.By == chain[0] }) {
		return 1
	}
	return 0
}

// explainWhy writes the chains, and who asks for which version.
func (r *graphRun) explainWhy(rep *graphWhy) {
	m := rep.Module
	title := r.paint(bold, m.String())
	for _, s := range []string{r.ageCell(m.Time), sizeCell(m).text} {
		if s != "" {
			title += columnGap + s
		}
	}
	r.line(title)
	for _, n := range r.newsNotes(m) {
		r.line(columnGap + r.paint(n.paint, n.text))
	}
	if m.Main {
		r.line(columnGap + r.p.T("graph.why-main"))
		r.incompleteBelow(rep.Missing)
		return
	}
	r.line("")
	for i, chain := range rep.Chains[:min(len(rep.Chains), maxChains)] {
		if i > 0 {
			r.line("")
		}
		for depth, v := range chain {
			lead := columnGap
			if depth > 0 {
				lead += strings.Repeat("  ", depth-1) + "└ "
			}
			line := lead + v.String()
			if len(chain) == 2 && depth == 1 && slices.ContainsFunc(m.AskedBy, func(q graphAsker) bool { return q.Indirect && q.graphVersion == chain[0] }) {
				line += r.paint(faint, "  // indirect")
			}
			r.line(line)
		}
	}
	if more := len(rep.Chains) - maxChains; more > 0 {
		r.line("")
		r.line(r.p.T("graph.why-more", "Count", more))
	}
	r.line("")
	r.line(r.paint(bold, r.p.T("graph.why-asked")))
	r.askers(m.AskedBy)
	r.incompleteBelow(rep.Missing)
}

func (r *graphRun) incompleteBelow(missing []graphMissing) {
	if len(missing) > 0 {
		r.line("")
		r.incomplete(missing)
	}
}

// newsNotes are the notes with what the table has in columns.
func (r *graphRun) newsNotes(m *graphModule) []cell {
	var list []cell
	switch m.Updates {
	case "newer":
		list = append(list, cell{text: r.p.T("graph.note-newer", "Version", m.Newer), paint: yellow})
	case "unknown":
		list = append(list, cell{text: r.p.T("graph.note-unknown")})
	}
	if m.AsOf != nil {
		list = append(list, cell{text: r.p.T("graph.sum-as-of", "Date", m.AsOf.Local().Format("2006-01-02"))})
	}
	if m.Pruned {
		list = append(list, cell{text: r.p.T("graph.note-pruned"), paint: faint})
	}
	return append(list, r.notes(m)...)
}

// askers writes who asks for which version.
func (r *graphRun) askers(list []graphAsker) {
	var rows [][]string
	for _, q := range list {
		var about []string
		if q.Decides {
			about = append(about, r.p.T("graph.asker-decides"))
		}
		if q.Superseded {
			about = append(about, r.p.T("graph.asker-superseded"))
		}
		if q.Indirect {
			about = append(about, "// indirect")
		}
		rows = append(rows, []string{columnGap + q.Wants, q.String(), strings.Join(about, r.p.T("graph.join"))})
	}
	if r.fl.format == "text" {
		printColumns(&r.out, rows)
	}
}

// graphChanges is what `graph --what-if` and `graph --cut` print with --format json.
type graphChanges struct {
	WhatIf   []graphVersion `json:"what_if,omitempty"`
	Cut      string         `json:"cut,omitempty"`
	Changes  []graphChange  `json:"changes"`
	GoFrom   string         `json:"go_from,omitempty"` // go line of the main module
	GoTo     string         `json:"go_to,omitempty"`
	Held     []graphHeld    `json:"held"`
	ZipBytes int64          `json:"removed_zip_bytes,omitempty"` // as far as known
	Missing  []graphMissing `json:"missing"`
}

type graphChange struct {
	Path string        `json:"path"`
	Kind modgraph.Kind `json:"kind"`
	From string        `json:"from"`
	To   string        `json:"to"`
}

type graphHeld struct {
	Want     graphVersion `json:"want"`
	Selected string       `json:"selected"`
	By       []graphAsker `json:"by"`
}

// whatIf says what would be if versions were required.
func (r *graphRun) whatIf(ctx context.Context) error {
	var wants []module.Version
	rep := &graphChanges{}
	for _, arg := range r.fl.whatIf {
		m, err := r.wanted(ctx, arg)
		if err != nil {
			return err
		}
		wants, rep.WhatIf = append(wants, m), append(rep.WhatIf, versionOf(m))
	}
	out, err := r.g.WhatIf(ctx, r.look.watch(r.src), wants...)
	if errors.Is(err, modgraph.ErrWant) {
		return &fault{code: "graph.error.what-if", args: []any{"Err", errLine(err)}, hint: "graph.hint.what-if", exit: 2, err: err}
	}
	if err != nil {
		return err
	}
	return r.outcome(ctx, rep, out)
}

// wanted reads an argument of --what-if; a version query is asked about.
func (r *graphRun) wanted(ctx context.Context, arg string) (module.Version, error) {
	path, version, _ := strings.Cut(arg, "@")
	if version == "none" && goproxy.CheckPath(path) == nil {
		return module.Version{Path: path, Version: version}, nil
	}
	m, ok := prefetch.ParseModule(arg)
	if !ok {
		near := ""
		if version == "" && goproxy.CheckPath(path) == nil {
			near = "goferry graph --what-if " + path + "@latest"
		}
		return m, misuse(r.cmd, near, "graph.error.want", "Arg", arg)
	}
	if len(prefetch.FilesOfModule(m)) > 0 {
		return m, nil
	}
	rev, err := goproxy.Stat(ctx, r.src, m.Path, m.Version)
	if goproxy.Absent(err) {
		return m, &fault{code: "graph.error.no-version", args: []any{"Arg", arg, "Err", errLine(err)}, hint: "graph.hint.what-if", exit: goproxy.ExitCode(err), err: err}
	}
	m.Version = rev.Version
	return m, err
}

// cut says what would be without a module.
func (r *graphRun) cut(ctx context.Context) error {
	m, err := r.find("--cut", r.fl.cut)
	if err != nil {
		return err
	}
	out, err := r.g.Cut(ctx, r.look.watch(r.src), m.Path)
	if errors.Is(err, modgraph.ErrCut) {
		return &fault{code: "graph.error.cut", args: []any{"Module", m.Path}, hint: "graph.hint.cut", exit: 2, err: err}
	}
	if err != nil {
		return err
	}
	return r.outcome(ctx, &graphChanges{Cut: m.Path}, out)
}

// outcome reports what would be.
func (r *graphRun) outcome(ctx context.Context, rep *graphChanges, out *modgraph.Outcome) error {
	r.look.end()
	rep.Changes, rep.Held, rep.Missing = []graphChange{}, []graphHeld{}, r.missing(out.Graph)
	if len(rep.Missing) > 0 {
		r.exit = 3
	}
	for _, c := range out.Changes {
		rep.Changes = append(rep.Changes, graphChange{c.Path, c.Kind(), c.From, c.To})
		if c.Kind() == modgraph.Removed {
			rep.ZipBytes += max(r.zipSize(ctx, r.g.Actual(module.Version{Path: c.Path, Version: c.From})), 0)
		}
	}
	if out.GoFrom != out.GoTo {
		rep.GoFrom, rep.GoTo = out.GoFrom, out.GoTo
	}
	for _, h := range out.Held {
		rep.Held = append(rep.Held, graphHeld{versionOf(h.Want), h.Selected, askers(h.By)})
	}
	if r.fl.format == "json" {
		return r.printJSON(rep)
	}
	r.changes(rep)
	return nil
}

// changes writes an outcome for people.
func (r *graphRun) changes(rep *graphChanges) {
	count := map[modgraph.Kind]int{}
	var rows [][]string
	for _, kind := range []modgraph.Kind{modgraph.Removed, modgraph.Lowered, modgraph.Raised, modgraph.Added} {
		for _, c := range rep.Changes {
			if c.Kind != kind {
				continue
			}
			count[kind]++
			versions := c.From + " → " + c.To
			switch kind {
			case modgraph.Removed:
				versions = c.From
			case modgraph.Added:
				versions = c.To
			}
			rows = append(rows, []string{columnGap + r.p.T("graph.kind-"+string(kind)), c.Path, versions})
		}
	}
	printColumns(&r.out, rows)
	if len(rows) > 0 {
		r.line("")
	}
	for _, h := range rep.Held {
		r.line(r.paint(yellow, r.p.T("graph.held", "Want", h.Want.String(), "Selected", cmp.Or(h.Selected, "none"))))
		r.askers(h.By)
		r.line("")
	}
	if rep.GoTo != "" {
		r.line(r.p.T("graph.go-line", "From", cmp.Or(rep.GoFrom, "-"), "To", rep.GoTo))
	}
	var sum []string
	for _, kind := range []modgraph.Kind{modgraph.Removed, modgraph.Lowered, modgraph.Raised, modgraph.Added} {
		if n := count[kind]; n > 0 {
			sum = append(sum, r.p.T("graph.count-"+string(kind), "Count", n))
		}
	}
	switch {
	case len(sum) == 0:
		r.line(r.paint(bold, r.p.T("graph.no-change")))
	case rep.ZipBytes > 0:
		sum = append(sum, r.p.T("graph.count-bytes", "Bytes", human(rep.ZipBytes)))
		fallthrough
	default:
		r.line(r.paint(bold, strings.Join(sum, r.p.T("graph.join"))))
	}
	r.incompleteBelow(rep.Missing)
}
