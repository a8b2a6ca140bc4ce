package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/term"

	"github.com/goferry/goferry/internal/binary"
	"github.com/goferry/goferry/internal/text"
)

// An inspectPage is a report on one program as people read it.
type inspectPage struct {
	a       *app
	i       *binary.Info
	columns int
	verbose bool
	rows    [][2]string
}

// showPrograms prints what was found out, a block for each file.
func (a *app) showPrograms(files []inspectFile, verbose bool) error {
	var b strings.Builder
	for _, f := range files {
		if f.Info == nil {
			continue // its error is told on stderr
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		p := &inspectPage{a: a, i: f.Info, columns: a.inspectColumns(), verbose: verbose}
		b.WriteString(p.block(f))
	}
	_, err := io.WriteString(a.stdout, b.String())
	return err
}

// inspectColumns is how wide a block is: a hundred columns, or a terminal of less.
func (a *app) inspectColumns() int {
	if f, ok := a.stdout.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return max(40, min(w-1, helpColumns))
		}
	}
	return helpColumns
}

// block is what people read: what it is, where it runs and where it does not and why, what helps.
func (p *inspectPage) block(f inspectFile) string {
	a := p.a
	var b strings.Builder
	head := printable(a.p.T("inspect.head", "File", f.File, "What", a.programText(p.i), "Bytes", human(p.i.Size)))
	for n, line := range text.Wrap(head, p.columns) {
		if n == 0 && colours(a.stdout, a.env) {
			line = "\x1b[" + bold + "m" + line + "\x1b[0m"
		}
		b.WriteString(line + "\n")
	}
	p.verdicts(f.Verdicts)
	p.needs()
	p.origin()
	p.protection()
	p.sizes()
	for _, o := range f.Requirements {
		p.row("inspect.row-require", a.outcomeText(o))
	}
	for _, code := range adviceFor(p.i, f.Verdicts) {
		p.row("inspect.row-advice", a.p.T("inspect.advice-"+code, "Arch", targetArch(p.i), "File", f.File))
	}
	p.print(&b)
	return b.String()
}

// printable is s without what a terminal would take for a command: a hostile file can have it in any name.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return '?'
	}, s)
}

// row adds a row; one with the label of the one before stands below it.
func (p *inspectPage) row(label, s string) {
	if s != "" {
		p.rows = append(p.rows, [2]string{p.a.p.T(label), printable(s)})
	}
}

// list puts names into one line.
func (p *inspectPage) list(names []string) string {
	return strings.Join(names, p.a.p.T("inspect.comma"))
}

// print writes the rows, their labels in one column.
func (p *inspectPage) print(b *strings.Builder) {
	left := 0
	for _, r := range p.rows {
		left = max(left, text.Columns(r[0]))
	}
	last := ""
	for _, r := range p.rows {
		label := r[0]
		if label == last {
			label = ""
		}
		last = r[0]
		for _, line := range text.Wrap(r[1], max(20, p.columns-left-4)) {
			fmt.Fprintln(b, strings.TrimRight("  "+label+strings.Repeat(" ", left-text.Columns(label)+2)+line, " "))
			label = ""
		}
	}
}

// programText says what a file is in a few words: Linux program for amd64, static.
func (a *app) programText(i *binary.Info) string {
	system := i.OS
	if name := map[string]string{"linux": "Linux", "windows": "Windows", "darwin": "macOS", "freebsd": "FreeBSD"}[i.OS]; name != "" {
		system = name
	}
	arch := i.Arch
	if usual := []string{"amd64/v1", "arm64/v8.0", "386/sse2", "riscv64/rva20u64"}; i.Detail != "" && !slices.Contains(usual, arch+"/"+i.Detail) {
		arch += "/" + i.Detail
	}
	if i.Format == binary.Universal {
		var list []string
		for _, m := range i.Members {
			list = append(list, m.Arch)
		}
		arch = strings.Join(list, ", ")
	}
	kind := string(i.Kind)
	if i.Format == binary.Universal {
		kind = cmp.Or(kind, string(binary.Executable))
	}
	what := a.p.T("inspect.kind-"+kind, "System", system, "Arch", arch)
	if link := linkCode(i); link != "" {
		what = a.p.T("inspect.linked", "What", what, "Link", a.p.T(link))
	}
	return printable(squeeze(what))
}

// linkCode is the code of how a program is linked; "" where that is not said.
func linkCode(i *binary.Info) string {
	switch {
	case i.Format == binary.Universal || i.Kind != binary.Executable && i.Kind != binary.Shared:
		return ""
	case i.Static:
		return "inspect.link-static"
	case i.OS == "windows" || i.OS == "darwin":
		if (binary.Requirement{Name: "static"}).Check(i).Met == binary.MetYes {
			return "inspect.link-plain-" + i.OS
		}
		return ""
	case i.Libc == "gnu" || i.Libc == "musl":
		return "inspect.link-" + i.Libc
	case len(i.Libraries) > 0 || i.Interpreter != "":
		return "inspect.link-dynamic"
	}
	return ""
}

// verdicts adds where it runs, where it runs if something is there, and where it does not, grouped by the reason.
func (p *inspectPage) verdicts(list []binary.Verdict) {
	a := p.a
	if len(list) == 0 {
		if p.i.Kind == binary.Executable || p.i.Kind == binary.Shared {
			p.row("inspect.row-runs", a.p.T("inspect.not-judged"))
		}
		return
	}
	names := binary.PlatformNames(verdictsThat(list, binary.Runs), true)
	switch {
	case p.i.OS == "linux" && !p.verbose && everywhere(list):
		p.row("inspect.row-runs", p.anyLinux(names))
	case len(names) > 0:
		p.row("inspect.row-runs", p.list(names))
	default:
		p.row("inspect.row-runs", a.p.T("inspect.runs-nowhere"))
	}
	for _, kind := range []struct{ runs, label string }{{binary.RunsIf, "inspect.row-if"}, {binary.RunsNot, "inspect.row-not"}} {
		for _, g := range groupVerdicts(verdictsThat(list, kind.runs)) {
			v := g[0]
			if v.Reason == binary.NoSuchArch && !p.verbose && len(g) < len(list) {
				continue // nobody expects it there
			}
			p.row(kind.label, a.p.T("inspect.because", "Names", p.list(binary.PlatformNames(g, kind.runs != binary.RunsNot)), "Reason", a.verdictReason(p.i, v)))
		}
	}
}

// anyLinux is what runs on all systems that there are for its architecture, and needs none of them.
func (p *inspectPage) anyLinux(names []string) string {
	a := p.a
	if slices.Contains(names, "RHEL 7+") && slices.Contains(names, "Debian 8+") && slices.Contains(names, "Alpine 3.12+") {
		return a.p.T("inspect.runs-any-linux", "Arch", p.i.Arch)
	}
	if kernel := binary.KernelFloor(p.i); binary.CompareVersions(kernel, "3.10") > 0 {
		return a.p.T("inspect.runs-linux-since", "Arch", p.i.Arch, "Names", p.list(names), "Kernel", kernel)
	}
	return a.p.T("inspect.runs-linux", "Arch", p.i.Arch, "Names", p.list(names))
}

// everywhere reports whether a program runs on all systems that there are for its architecture.
func everywhere(list []binary.Verdict) bool {
	good := len(verdictsThat(list, binary.Runs))
	return good > 0 && !slices.ContainsFunc(list, func(v binary.Verdict) bool { return v.Runs != binary.Runs && v.Reason != binary.NoSuchArch })
}

// verdictsThat are those with one answer.
func verdictsThat(list []binary.Verdict, runs string) []binary.Verdict {
	return slices.DeleteFunc(slices.Clone(list), func(v binary.Verdict) bool { return v.Runs != runs })
}

// groupVerdicts puts together what has one reason, in the order of the list.
func groupVerdicts(list []binary.Verdict) [][]binary.Verdict {
	var groups [][]binary.Verdict
	for _, v := range list {
		n := slices.IndexFunc(groups, func(g []binary.Verdict) bool { return g[0].Reason == v.Reason && g[0].Detail == v.Detail })
		if n < 0 {
			groups = append(groups, []binary.Verdict{v})
			continue
		}
		groups[n] = append(groups[n], v)
	}
	return groups
}

// verdictReason says why a program does not run, or on what it depends.
func (a *app) verdictReason(i *binary.Info, v binary.Verdict) string {
	floor := map[string]string{binary.GlibcTooOld: "glibc", binary.LibstdcxxTooOld: "libstdc++", binary.LibgccTooOld: "libgcc", binary.MuslTooOld: "musl", binary.GlibcPrivate: "GLIBC_PRIVATE"}[v.Reason]
	if strings.HasPrefix(v.Detail, "CXXABI_") {
		floor = "CXXABI"
	}
	detail := v.Detail
	if s := i.Floor(floor).Symbols; floor != "" && len(s) > 0 {
		detail += " (" + strings.Join(s[:min(3, len(s))], ", ")
		if len(s) > 3 {
			detail += ", …"
		}
		detail += ")"
	}
	libc := map[string]string{"gnu": "glibc"}[v.Platform.Libc]
	if v.Reason == binary.WrongLibc && i.Kind == binary.Shared {
		return printable(a.p.T("inspect.reason-wrong-libc-library", "Detail", detail, "Libc", cmp.Or(libc, v.Platform.Libc)))
	}
	return printable(a.p.T("inspect.reason-"+v.Reason, "Detail", detail, "Libc", cmp.Or(libc, v.Platform.Libc)))
}

// outcomeText says whether a promise is kept, and why not.
func (a *app) outcomeText(o binary.Outcome) string {
	if o.Met != binary.MetNo {
		return a.p.T("inspect.met-"+o.Met, "Requirement", o.Requirement)
	}
	detail := o.Detail
	if o.Verdict != nil {
		detail = a.p.T("inspect.because", "Names", o.Verdict.Platform.Name, "Reason", a.verdictReason(&binary.Info{}, *o.Verdict))
	}
	if o.Code == "too-large" {
		if n, err := strconv.ParseInt(detail, 10, 64); err == nil {
			detail = human(n)
		}
	}
	return printable(a.p.T("inspect.met-no", "Requirement", o.Requirement, "Reason", a.p.T("inspect.unmet-"+o.Code, "Detail", detail)))
}

// runsOnText is the shortest answer to where a program runs, for a table: everywhere, the systems that most people have, or
// why nowhere.
func (a *app) runsOnText(list []binary.Verdict) string {
	list = slices.DeleteFunc(slices.Clone(list), func(v binary.Verdict) bool { return v.Reason == binary.NoSuchArch })
	known := []string{"Debian", "Ubuntu", "RHEL", "Alpine", "Windows", "macOS", "FreeBSD"}
	if len(list) == 0 {
		return ""
	}
	good := verdictsThat(list, binary.Runs)
	switch {
	case len(good) == len(list) && list[0].Platform.OS == "linux":
		return a.p.T("inspect.runs-everywhere-linux")
	case len(good) > 0:
		most := slices.DeleteFunc(slices.Clone(good), func(v binary.Verdict) bool { return !slices.Contains(known, v.Platform.Family) })
		if len(most) == 0 {
			most = good
		}
		return strings.Join(binary.PlatformNames(most, true), a.p.T("inspect.comma"))
	}
	if may := verdictsThat(list, binary.RunsIf); len(may) > 0 {
		return a.p.T("inspect.runs-if", "Reason", a.verdictReason(&binary.Info{}, may[0]))
	}
	return a.p.T("inspect.runs-nowhere")
}

// adviceFor are the codes of what would make a program run where it does not, the most useful first.
func adviceFor(i *binary.Info, list []binary.Verdict) []string {
	has := map[string]bool{}
	for _, v := range list {
		if v.Runs != binary.Runs && !(v.Reason == binary.LibraryMissing && v.Runs == binary.RunsNot) { // nothing is installed to an image
			has[v.Reason] = true
		}
	}
	var codes []string
	add := func(code string, when bool) {
		if when {
			codes = append(codes, code)
		}
	}
	cgo := i.Go != nil && i.Go.Cgo != nil && *i.Go.Cgo
	program := i.Kind != binary.Shared // a library takes the C library of the program that loads it
	add("pure-go", cgo && program && i.OS == "linux" && !i.Static && onlyLibc(i))
	old := has[binary.GlibcTooOld] || has[binary.LibstdcxxTooOld] || has[binary.LibgccTooOld] || has[binary.MuslTooOld] || has[binary.GlibcPrivate]
	otherLibc := i.OS == "linux" && has[binary.WrongLibc]
	add("static", program && i.Go != nil && (old || has[binary.NoLibc] || otherLibc))
	add("old-glibc", i.Go != nil && has[binary.GlibcTooOld])
	add("static-c", program && i.Go == nil && (old || has[binary.NoLibc] || otherLibc))
	add("other-libc", !program && (old || otherLibc))
	add("library", i.OS != "darwin" && has[binary.LibraryMissing])
	add("dylib", i.OS == "darwin" && has[binary.LibraryMissing])
	add("interpreter", has[binary.InterpreterMissing])
	runtime := slices.ContainsFunc(i.Libraries, func(l binary.Library) bool {
		name := strings.ToLower(l.Name)
		return name != "msvcrt.dll" && slices.ContainsFunc([]string{"vcruntime", "msvcp", "msvcr", "mfc1", "vcomp", "concrt"}, func(p string) bool { return strings.HasPrefix(name, p) })
	})
	add("msvc", has[binary.DLLMissing] && runtime)
	add("static-dll", has[binary.DLLMissing] && !runtime && i.Go != nil)
	add("static-dll-c", has[binary.DLLMissing] && !runtime && i.Go == nil)
	add("old-go", i.OS == "windows" && has[binary.GoTooNew] && !has[binary.DLLMissing])
	add("sign", has[binary.NotSigned])
	return codes
}

// onlyLibc reports whether a program needs no library but those that Go's own net and os/user ask for.
func onlyLibc(i *binary.Info) bool {
	for _, l := range i.Libraries {
		base, _, _ := strings.Cut(l.Name, ".so")
		if !slices.Contains([]string{"libc", "libpthread", "libresolv"}, base) && !strings.HasPrefix(base, "ld-linux") && !strings.HasPrefix(base, "libc.musl") {
			return false
		}
	}
	return true
}

// targetArch is the architecture as --target has it.
func targetArch(i *binary.Info) string {
	if i.Arch == "arm" && i.Detail != "" {
		return "arm/" + i.Detail
	}
	return i.Arch
}
