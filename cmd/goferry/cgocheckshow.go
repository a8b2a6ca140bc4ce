package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/goferry/goferry/internal/cgo"
	"github.com/goferry/goferry/internal/text"
)

// How many names of a kind people are told of; JSON has them all.
const (
	checkNames    = 3
	checkFailures = 12
)

// A checkPage is a report of cgo check for people.
type checkPage struct {
	*app
	strings.Builder
	rep cgo.CheckReport
}

// cgoChecked prints a report for people: the verdict, the packages, the targets, and what to do.
func (a *app) cgoChecked(rep cgo.CheckReport) error {
	p := &checkPage{app: a, rep: rep}
	p.line("%s  go%s  %s", rep.Module, rep.Go, rep.Host)
	p.verdict()
	for _, u := range rep.Uses {
		p.use(u)
	}
	p.tagged()
	p.line("")
	p.table()
	p.standard()
	p.failures()
	p.install()
	_, err := io.WriteString(a.stdout, p.String())
	return err
}

func (p *checkPage) line(format string, args ...any) {
	fmt.Fprintln(p, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

// text writes a paragraph.
func (p *checkPage) text(s string) {
	for _, line := range text.Wrap(s, helpColumns) {
		p.line("%s", line)
	}
}

// verdict is the answer in a sentence.
func (p *checkPage) verdict() {
	worst, where := cgo.StateSame, []string(nil)
	for _, t := range p.rep.Targets {
		switch w := cgo.Worse(t.State, worst); {
		case w != worst:
			worst, where = w, []string{t.Target}
		case t.State == worst:
			where = append(where, t.Target)
		}
	}
	p.text(p.app.p.T("cgocheck.verdict-"+string(worst)) + p.on(where))
	uses := slices.ContainsFunc(p.rep.Targets, func(t cgo.CheckTarget) bool { return t.Target == p.rep.Host && t.Uses > 0 })
	switch {
	case p.rep.Enabled || !uses:
	case p.rep.HasCC:
		p.text(p.app.p.T("cgocheck.off"))
	default:
		p.text(p.app.p.T("cgocheck.off-no-cc", "CC", p.rep.CC))
	}
}

// on names the targets that something is said of, unless it is said of all.
func (p *checkPage) on(targets []string) string {
	if len(targets) == len(p.rep.Targets) {
		return ""
	}
	return p.app.p.T("cgocheck.on", "Targets", strings.Join(targets, ", "))
}

// use tells of a package.
func (p *checkPage) use(u cgo.CgoUse) {
	p.line("")
	name := u.Package
	if !u.Own && u.Version != "" {
		name += "  " + u.Version
	}
	p.line("%s%s", name, p.on(u.Targets))
	var rows [][2]string
	row := func(label, s string) { rows = append(rows, [2]string{"  " + label, s}) }
	if len(u.Via) > 1 {
		row(p.app.p.T("cgocheck.row-via"), strings.Join(u.Via, " → "))
	}
	if len(u.Files) > 0 {
		var names []string
		for _, f := range u.Files {
			names = append(names, f.Name)
		}
		row(p.app.p.T("cgocheck.row-files"), p.some(names))
	}
	var needs []string
	needs = append(needs, u.Languages...)
	for _, pc := range u.PkgConfig {
		needs = append(needs, "pkg-config "+pc)
	}
	for _, lib := range u.Libraries {
		needs = append(needs, "-l"+lib)
	}
	if len(needs) > 0 {
		row(p.app.p.T("cgocheck.row-needs"), strings.Join(needs, ", "))
	}
	for _, w := range merged(u.Without) {
		row(p.app.p.T("cgocheck.row-without"), p.without(u, w))
	}
	if len(u.AvoidTags) > 0 {
		row(p.app.p.T("cgocheck.row-tags"), p.app.p.T("cgocheck.avoid", "Tags", "-tags "+strings.Join(u.AvoidTags, " | ")))
	}
	p.app.table(p, rows)
}

// merged puts together what is the same for people: systems have files of their own.
func merged(list []cgo.CgoWithout) (all []cgo.CgoWithout) {
	for _, w := range list {
		i := slices.IndexFunc(all, func(o cgo.CgoWithout) bool {
			return o.State == w.State && slices.Equal(o.Came, w.Came) && o.Says == w.Says
		})
		if i < 0 {
			w.Targets, w.Went, w.Lost = slices.Clone(w.Targets), slices.Clone(w.Went), slices.Clone(w.Lost)
			all = append(all, w)
			continue
		}
		o := &all[i]
		o.Targets = append(o.Targets, w.Targets...)
		for _, l := range []struct{ to, from *[]string }{{&o.Went, &w.Went}, {&o.Lost, &w.Lost}} {
			*l.to = append(*l.to, *l.from...)
			slices.Sort(*l.to)
			*l.to = slices.Compact(*l.to)
		}
	}
	return all
}

// without says what comes of a package without cgo.
func (p *checkPage) without(u cgo.CgoUse, w cgo.CgoWithout) string {
	s := p.app.p.T("cgocheck.state-" + string(w.State))
	if len(w.Came) > 0 {
		s += p.app.p.T("cgocheck.in-place", "Came", p.some(w.Came), "Went", p.some(w.Went))
	}
	if len(w.Lost) > 0 && w.State == cgo.StateLess {
		s += p.app.p.T("cgocheck.lost", "Names", p.some(w.Lost))
	}
	if w.Says != "" {
		s += p.app.p.T("cgocheck.says", "Text", strings.Join(strings.Fields(w.Says), " "))
	}
	if len(w.Targets) < len(u.Targets) {
		s += p.on(w.Targets)
	}
	return s
}

// some are the first of some names, and how many more there are.
func (p *checkPage) some(names []string) string {
	more := len(names) - checkNames
	if more <= 1 {
		return strings.Join(names, ", ")
	}
	return p.app.p.T("cgocheck.more", "Names", strings.Join(names[:checkNames], ", "), "Count", more)
}

// tagged tells what build tags would bring.
func (p *checkPage) tagged() {
	tags, order := map[string][]string{}, []string{}
	for _, t := range p.rep.ByTags {
		if tags[t.Package] == nil {
			order = append(order, t.Package)
		}
		tags[t.Package] = append(tags[t.Package], strings.Join(t.Tags, ","))
	}
	if len(order) > 0 {
		p.line("")
		p.text(p.app.p.T("cgocheck.by-tags"))
	}
	for _, pkg := range order {
		p.line("  %s  -tags %s", pkg, p.some(slices.Compact(tags[pkg])))
	}
}

// table shows the targets.
func (p *checkPage) table() {
	rows := [][]string{{p.app.p.T("cgocheck.col-target"), p.app.p.T("cgocheck.col-uses"), p.app.p.T("cgocheck.col-without"), p.app.p.T("cgocheck.col-compiler"), p.app.p.T("cgocheck.col-now")}}
	for _, t := range p.rep.Targets {
		uses, compiler := nothing, nothing
		if t.Uses > 0 {
			uses = p.app.p.T("cgocheck.uses", "Count", t.Uses)
		}
		if c := t.Compiler; c != nil {
			compiler = strings.TrimSpace(string(c.Family) + " " + c.Version)
		}
		state := t.State
		if slices.ContainsFunc(t.Failures, func(f cgo.CgoFailure) bool { return f.Anyway }) {
			state = cgo.StateFails
		}
		rows = append(rows, []string{t.Target, uses, p.app.p.T("cgocheck.short-" + string(state)), compiler, p.app.p.T("cgocheck.now-" + string(t.Now))})
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, s := range row {
			widths[i] = max(widths[i], text.Columns(s))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, s := range row {
			b.WriteString(s + strings.Repeat(" ", widths[i]-text.Columns(s)+2))
		}
		p.line("%s", b.String())
	}
}

// standard names packages of the standard library that are others without cgo.
func (p *checkPage) standard() {
	var pkgs, where []string
	for _, t := range p.rep.Targets {
		if len(t.Standard) > 0 {
			where = append(where, t.Target)
		}
		for _, s := range t.Standard {
			if !slices.Contains(pkgs, s) {
				pkgs = append(pkgs, s)
			}
		}
	}
	if len(pkgs) == 0 {
		return
	}
	slices.Sort(pkgs)
	p.line("")
	p.text(p.app.p.T("cgocheck.standard", "Packages", strings.Join(pkgs, ", ")) + p.on(where))
	for _, pkg := range pkgs {
		switch pkg {
		case "net":
			p.item(p.app.p.T("cgocheck.standard-net"))
		case "os/user":
			p.item(p.app.p.T("cgocheck.standard-user"))
		case "plugin":
			p.item(p.app.p.T("cgocheck.standard-plugin"))
		}
	}
}

// item writes a paragraph of a list.
func (p *checkPage) item(s string) { p.app.selfLine(&p.Builder, "  - ", s) }

// failures says why it does not build without cgo, or at all, each reason once.
func (p *checkPage) failures() {
	where, order := map[cgo.CgoFailure][]string{}, []cgo.CgoFailure{}
	for _, t := range p.rep.Targets {
		for _, f := range t.Failures {
			if where[f] == nil {
				order = append(order, f)
			}
			where[f] = append(where[f], t.Target)
		}
	}
	slices.SortStableFunc(order, func(a, b cgo.CgoFailure) int {
		switch {
		case a.Anyway == b.Anyway:
			return 0
		case a.Anyway:
			return 1
		}
		return -1
	})
	head := ""
	for i, f := range order {
		code := "cgocheck.fails"
		if f.Anyway {
			code = "cgocheck.fails-anyway"
		}
		if code != head {
			p.line("")
			p.text(p.app.p.T(code))
			head = code
		}
		if i == checkFailures {
			p.item(p.app.p.T("cgocheck.fails-more", "Count", len(order)-i))
			return
		}
		p.item(p.failure(f) + p.on(where[f]))
	}
}

func (p *checkPage) failure(f cgo.CgoFailure) string {
	switch {
	case f.Reason == "excluded" && f.By != "":
		return p.app.p.T("cgocheck.fail-excluded", "Package", f.Package, "By", f.By)
	case f.Reason == "excluded":
		return p.app.p.T("cgocheck.fail-alone", "Package", f.Package)
	}
	return p.app.p.T("cgocheck.fail-said", "Package", f.Package, "Said", f.Said)
}

// install says how the compilers come here that are missing.
func (p *checkPage) install() {
	var missing []cgo.CheckTarget
	for _, t := range p.rep.Targets {
		if t.Uses > 0 && t.Compiler == nil && t.Now != cgo.NowPlain {
			missing = append(missing, t)
		}
		for _, b := range t.Broken {
			said, _, _ := strings.Cut(strings.TrimSpace(b.Said), "\n")
			p.text(p.app.p.T("cgocheck.broken", "CC", b.Compiler.Line(), "Target", t.Target, "Said", said))
		}
	}
	if len(missing) == 0 {
		return
	}
	var get []string
	for _, t := range missing {
		if len(t.Install) > 0 && len(t.Install[0].Argv) > 0 {
			get = append(get, t.Target)
		}
	}
	p.line("")
	if len(get) > 0 {
		p.text(p.app.p.T("cgocheck.install", "Targets", strings.Join(get, " ")))
	} else {
		p.text(p.app.p.T("cgocheck.install-by-hand"))
	}
	var rows [][2]string
	others, order := map[string][]string{}, []string{}
	for _, t := range missing {
		line := p.app.p.T("cgocheck.install-none")
		for i, l := range t.Install {
			switch s := p.lineText(l); {
			case i == 0:
				line = s
			case i == 1 && len(others[s]) == 0:
				order = append(order, s)
				fallthrough
			case i == 1: // zig and Apple's SDK are for many targets
				others[s] = append(others[s], t.Target)
			}
		}
		rows = append(rows, [2]string{"  " + t.Target, line})
	}
	p.app.table(p, rows)
	for _, line := range order {
		p.item(p.app.p.T("cgocheck.install-or", "Line", line, "Targets", strings.Join(others[line], ", ")))
	}
}

// lineText is a line as people type it, or what they have to do where none does it.
func (p *checkPage) lineText(l cgo.Line) string {
	switch {
	case l.System == cgo.LineAppleSDK:
		return p.app.p.T("cgocheck.install-apple-sdk")
	case l.System == cgo.LineOSXCross:
		return p.app.p.T("cgocheck.install-osxcross")
	case len(l.Argv) == 0:
		return l.System
	}
	if _, err := p.runner.FindTool("sudo"); l.Root && os.Geteuid() > 0 && err == nil {
		return "sudo " + l.Shell()
	}
	return l.Shell()
}
