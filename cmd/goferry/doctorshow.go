package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/goferry/goferry/internal/doctor"
	"github.com/goferry/goferry/internal/text"
)

// doctorColumns is how wide a report is, where the terminal is not narrower.
const doctorColumns = 100

// A doctorProgress says on a terminal what is still being looked at.
type doctorProgress struct {
	r    *doctorRun
	on   bool
	left []string
}

func (r *doctorRun) beginDoctor() *doctorProgress {
	return &doctorProgress{r: r, on: r.onTerminal() && !asJSON(r.cmd)}
}

func (p *doctorProgress) begun(c doctor.Check) {
	p.left = append(p.left, c.ID)
	p.draw()
}

func (p *doctorProgress) ended(res doctor.Result) {
	if i := slices.Index(p.left, res.Check); i >= 0 {
		p.left = slices.Delete(p.left, i, i+1)
	}
	p.draw()
}

func (p *doctorProgress) draw() {
	if !p.on {
		return
	}
	line := p.r.p.T("doctor.looking", "Names", strings.Join(p.left, ", "))
	fmt.Fprint(p.r.stderr, "\r"+clip(line, 78)+"\x1b[K")
}

func (p *doctorProgress) end() {
	if p.on {
		fmt.Fprint(p.r.stderr, "\r\x1b[K")
	}
}

// A doctorPage is a report as people read it.
type doctorPage struct {
	p       *text.Printer
	rep     doctor.Report
	os      string // whose shell the lines are for
	root    bool   // this user is the administrator
	colour  bool
	verbose bool
	columns int // 0 for doctorColumns
	b       strings.Builder
}

// page makes the page of a report. Colours are for terminals.
func (r *doctorRun) page(rep doctor.Report) *doctorPage {
	return &doctorPage{p: r.p, rep: rep, os: r.exam.OS, root: os.Geteuid() == 0, verbose: r.flags.verbose, colour: r.colours(), columns: r.columns()}
}

// columns is how wide a report can be; 0 where nothing bounds it.
func (r *doctorRun) columns() int {
	f, ok := r.stdout.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		return 0
	}
	return max(width-1, 40) // below that nothing can be read in any case
}

// width is that of the page.
func (d *doctorPage) width() int {
	if d.columns > 0 {
		return min(d.columns, doctorColumns)
	}
	return doctorColumns
}

func (r *doctorRun) colours() bool {
	f, ok := r.stdout.(*os.File)
	return ok && r.env("NO_COLOR") == "" && r.env("TERM") != "dumb" && runtime.GOOS != "windows" && term.IsTerminal(int(f.Fd()))
}

// print prints a report for people.
func (r *doctorRun) print(rep doctor.Report) error {
	head := r.exam.GoEnv.Version
	if head == "" {
		head = r.p.T("doctor.no-go")
	}
	head = r.p.T("doctor.head", "Version", build().Version, "System", r.exam.OS+"/"+r.exam.Arch, "Go", head)
	_, err := io.WriteString(r.stdout, head+"\n\n"+r.page(rep).String())
	return err
}

// String is the whole page: a line for each group, the causes with their fixes, a line that sums up.
func (d *doctorPage) String() string {
	d.b.Reset()
	d.messages()
	d.groups()
	d.traced(d.rep.Trace)
	for i := range d.rep.Causes {
		if d.shown(i) {
			d.cause(i, d.rep.Causes[i])
		}
	}
	d.line("", "")
	d.line("", d.sum())
	return d.b.String()
}

func (d *doctorPage) line(indent, s string) {
	d.b.WriteString(strings.TrimRight(indent+s, " ") + "\n")
}

// wrapped writes s, of which every line is indented.
func (d *doctorPage) wrapped(first, indent, s string) {
	for _, line := range text.Wrap(s, d.width()-text.Columns(indent)) {
		d.line(first, line)
		first = indent
	}
}

// mark is the sign of a state: the ones that flutter doctor has made known.
func (d *doctorPage) mark(s doctor.State, why doctor.Reason) string {
	sign, colour := "?", "33"
	switch {
	case s == doctor.Healthy:
		sign, colour = "✓", "32"
	case s == doctor.Warned:
		sign = "!"
	case s == doctor.Faulty:
		sign, colour = "✗", "31"
	case why == doctor.NotNeeded || why == doctor.NotHere:
		sign, colour = "-", "2"
	}
	if d.os == "windows" { // whose consoles lack the others
		sign = strings.NewReplacer("✓", "√", "✗", "X").Replace(sign)
	}
	if d.colour {
		return "\x1b[" + colour + "m" + sign + "\x1b[0m"
	}
	return sign
}

func (d *doctorPage) markOf(s doctor.Severity) string {
	switch s {
	case doctor.Fault:
		return d.mark(doctor.Faulty, "")
	case doctor.Warning:
		return d.mark(doctor.Warned, "")
	}
	return "i"
}

// groups writes a line for each group that was looked at.
func (d *doctorPage) groups() {
	left := 0
	for _, g := range doctor.Groups() {
		left = max(left, text.Columns(d.p.T("doctor.group."+string(g))))
	}
	for _, g := range doctor.Groups() {
		state, why, ok := d.rep.Of(g)
		if !ok {
			continue
		}
		name := d.p.T("doctor.group." + string(g))
		line := "[" + d.mark(state, why) + "] " + name + strings.Repeat(" ", left-text.Columns(name)+2)
		room := d.width() - left - 6
		d.line(line, clip(d.about(g, state, why), room))
		if d.verbose {
			d.measured(g)
		}
	}
}

// about is what the line of a group says: where its findings are, why it was not looked at, or what was measured.
func (d *doctorPage) about(g doctor.Group, s doctor.State, why doctor.Reason) string {
	var parts, facts []string
	var causes []int
	for _, res := range d.rep.Results {
		if res.Group != g {
			continue
		}
		for _, n := range res.Causes {
			if !slices.Contains(causes, n) && d.shown(n) {
				causes = append(causes, n)
			}
		}
		if len(res.Facts) > 0 && (res.Facts[0].Answer == doctor.Yes || g == doctor.CC && res.Facts[0].Answer == doctor.No && s == doctor.Healthy) {
			facts = append(facts, d.fact(res.Facts[0]))
		}
	}
	if len(causes) > 0 {
		slices.Sort(causes)
		var words []string
		for _, n := range causes {
			words = append(words, strconv.Itoa(n+1))
		}
		parts = append(parts, d.p.T("doctor.see", "Numbers", strings.Join(words, ", ")))
	}
	if s == doctor.NotSure || s != doctor.Healthy && why != doctor.NoNetwork && why != "" && why != doctor.NotNeeded && why != doctor.NotHere && why != doctor.NoTool {
		parts = append(parts, d.whyNot(g))
	}
	if len(parts) == 0 {
		parts = facts
	}
	if len(parts) == 0 {
		return ""
	}
	line := parts[0]
	for _, part := range parts[1:] {
		line = d.p.T("doctor.and", "Left", line, "Right", part)
	}
	return line
}

// shown reports whether the n-th cause has lines of its own.
func (d *doctorPage) shown(n int) bool {
	c := d.rep.Causes[n]
	return c.Severity != doctor.Note || len(c.Follows) > 0 || d.verbose || len(c.Fixes) > 0
}

// whyNot is the reason why a check of the group did not look; that of one that should have goes first.
func (d *doctorPage) whyNot(g doctor.Group) string {
	_, why, _ := d.rep.Of(g)
	for _, res := range d.rep.Results {
		if res.Group == g && res.Reason == why {
			return d.reason(res)
		}
	}
	return ""
}

func (d *doctorPage) reason(res doctor.Result) string {
	words := d.p.T("doctor.reason." + string(res.Reason))
	if res.Detail == "" {
		return words
	}
	return d.p.T("doctor.detail", "Reason", words, "Detail", oneLine(res.Detail, 300))
}

// measured writes everything about a group.
func (d *doctorPage) measured(g doctor.Group) {
	for _, res := range d.rep.Results {
		if res.Group != g {
			continue
		}
		line := res.Check + "  " + doctorTime(res.Took)
		if res.Reason != "" {
			line += "  " + d.reason(res)
		}
		d.wrapped("    "+d.mark(res.State, res.Reason)+" ", "      ", line)
		for _, f := range res.Facts {
			d.wrapped("      · ", "        ", d.fact(f))
		}
	}
}

// fact says what was measured.
func (d *doctorPage) fact(f doctor.Fact) string {
	code := "doctor.fact." + f.Name
	if strings.Contains(d.p.Forms(code)["other"], "{{.Value}}") {
		if f.Answer == doctor.Yes {
			return d.p.T(code, "Value", f.Value)
		}
	}
	name := strings.TrimRight(strings.NewReplacer("  ", " ", "()", "", "（）", "").Replace(d.p.T(code, "Value", "")), " :：,，")
	answer := d.p.T("doctor.answer." + string(f.Answer))
	value := f.Value
	if f.Answer == doctor.Unmeasured && f.Reason != "" {
		value = strings.TrimSpace(d.p.T("doctor.reason."+string(f.Reason)) + " " + value)
	}
	if value == "" {
		return d.p.T("doctor.fact", "Name", name, "Answer", answer)
	}
	return d.p.T("doctor.fact-value", "Name", name, "Answer", answer, "Value", value)
}

// sentence is the text of a finding, with its subject where the text does not name it.
func (d *doctorPage) sentence(f doctor.Finding) string {
	code := "doctor.finding." + f.Code
	line := d.p.T(code, append(doctorArgs(f.Args), "Subject", f.Subject, "Op", string(f.Op))...)
	if f.Subject == "" || strings.Contains(line, f.Subject) {
		return line
	}
	return d.p.T("doctor.subject", "Subject", f.Subject, "Text", line)
}

// doctorArgs are the data of a message. A number called Count selects the form.
func doctorArgs(m map[string]string) []any {
	var args []any
	for _, k := range slices.Sorted(maps.Keys(m)) {
		var v any = m[k]
		if n, err := strconv.Atoi(m[k]); err == nil && k == "Count" {
			v = n
		}
		args = append(args, k, v)
	}
	return args
}

// cause writes a root cause: what is wrong, the evidence, the fixes, and what follows.
func (d *doctorPage) cause(i int, c doctor.Cause) {
	d.line("", "")
	number := strconv.Itoa(i+1) + " "
	indent := strings.Repeat(" ", len(number)+2)
	d.wrapped(number+d.markOf(c.Severity)+" ", indent, d.sentence(c.Finding))
	indent += "  "
	where := []any{"Group", d.p.T("doctor.group." + string(d.groupOf(c.Check))), "Code", c.Code}
	if c.Op == "" {
		d.line(indent, d.p.T("doctor.where", where...))
	} else {
		d.line(indent, d.p.T("doctor.where-op", append(where, "Op", string(c.Op))...))
	}
	if c.Severity == doctor.Note && !d.verbose { // nobody has to do anything
		c.Facts, c.Fixes = nil, c.Fixes[:min(len(c.Fixes), 1)]
	}
	for _, f := range c.Facts {
		d.wrapped(indent+"· ", indent+"  ", d.fact(f))
	}
	for n, fix := range c.Fixes {
		d.fix(indent, n, fix)
	}
	if len(c.Follows) == 0 {
		return
	}
	d.line(indent, d.p.T("doctor.follows", "Count", len(c.Follows)))
	for _, f := range c.Follows {
		d.wrapped(indent+"  "+d.markOf(f.Severity)+" ", indent+"    ", d.sentence(f))
	}
}

func (d *doctorPage) groupOf(check string) doctor.Group {
	for _, res := range d.rep.Results {
		if res.Check == check {
			return res.Group
		}
	}
	return ""
}

// fix writes the n-th fix of a finding: words, and the exact line below.
func (d *doctorPage) fix(indent string, n int, f doctor.Fix) {
	word := d.p.T("doctor.fix-word")
	if n > 0 {
		word = d.p.T("doctor.fix-or")
	}
	d.wrapped(indent, indent+"  ", d.p.T("doctor.fix-line", "Word", word, "Text", d.fixText(f)))
	for _, line := range doctorFixLines(f, d.os, d.root) {
		d.line(indent+"    ", line)
	}
	if f.Root && d.os == "windows" {
		d.line(indent+"    ", "("+d.p.T("doctor.fix-root")+")")
	}
}

func (d *doctorPage) fixText(f doctor.Fix) string {
	return d.p.T("doctor.fix."+f.Code, append([]any{"Key", f.Key, "Value", f.Value, "File", f.File}, doctorArgs(f.Args)...)...)
}

// sum sums up.
func (d *doctorPage) sum() string {
	faults, warnings := 0, 0
	for _, c := range d.rep.Causes {
		for _, f := range append([]doctor.Finding{c.Finding}, c.Follows...) {
			switch f.Severity {
			case doctor.Fault:
				faults++
			case doctor.Warning:
				warnings++
			}
		}
	}
	unlooked := d.rep.Unlooked()
	took := doctorTime(d.rep.Took)
	if d.rep.Healthy && unlooked == 0 && len(d.rep.Messages) > 0 {
		return d.p.T("doctor.explain.well", "Time", took)
	}
	if d.rep.Healthy && unlooked == 0 {
		return d.p.T("doctor.healthy", "Time", took)
	}
	if d.rep.Healthy {
		return d.p.T("doctor.incomplete", "Count", unlooked, "Time", took)
	}
	var parts []string
	if faults > 0 {
		parts = append(parts, d.p.T("doctor.faults", "Count", faults))
	}
	if warnings > 0 {
		parts = append(parts, d.p.T("doctor.warnings", "Count", warnings))
	}
	if unlooked > 0 {
		parts = append(parts, d.p.T("doctor.unlooked", "Count", unlooked))
	}
	return d.p.T("doctor.summary", "What", (&app{p: d.p}).join(parts), "Time", took)
}

func doctorTime(t time.Duration) string {
	if t < time.Second {
		return strconv.FormatInt(t.Milliseconds(), 10) + " ms"
	}
	return strconv.FormatFloat(t.Seconds(), 'f', 1, 64) + " s"
}

// doctorFixLines is what is to be typed, or changed, for a fix.
func doctorFixLines(f doctor.Fix, system string, root bool) []string {
	switch f.Kind {
	case doctor.SetGoEnv:
		if f.Value == "" {
			return []string{"go env -u " + f.Key}
		}
		return []string{"go env -w " + doctorWord(f.Key+"="+f.Value, system)}
	case doctor.SetEnv:
		return []string{doctorVariable(f.Key, f.Value, system)}
	case doctor.RunCommand, doctor.ByHand: // words may name a command as well
		if len(f.Command) == 0 {
			return nil
		}
		words := f.Command
		if len(words) == 3 && words[0] == "sh" && words[1] == "-c" && (root || !f.Root) {
			return []string{words[2]} // who reads it types it into a shell
		}
		if f.Root && system != "windows" && !root {
			words = append([]string{"sudo"}, words...)
		}
		quoted := make([]string, len(words))
		for i, w := range words {
			quoted[i] = doctorWord(w, system)
		}
		return []string{strings.Join(quoted, " ")}
	case doctor.EditFile:
		lines := []string{f.File + ":"}
		for _, l := range changeLines("- ", f.Old) {
			lines = append(lines, "  "+l)
		}
		for _, l := range changeLines("+ ", f.New) {
			lines = append(lines, "  "+l)
		}
		return lines
	}
	return nil
}

func changeLines(sign, s string) []string {
	if s == "" {
		return nil
	}
	var lines []string
	for _, l := range strings.Split(strings.TrimSuffix(s, "\n"), "\n") {
		lines = append(lines, sign+strings.TrimSuffix(l, "\r"))
	}
	return lines
}

// doctorVariable sets a variable, or takes it away: in a POSIX shell, on Windows in PowerShell.
func doctorVariable(key, value, system string) string {
	switch {
	case system == "windows" && value == "":
		return "Remove-Item Env:" + key
	case system == "windows":
		return "$env:" + key + " = '" + strings.ReplaceAll(value, "'", "''") + "'"
	case value == "":
		return "unset " + key
	}
	return "export " + doctorWord(key+"="+value, system)
}

// doctorWord quotes a word where the shell would take it apart. A variable that the text means, as in $PATH, stays one.
func doctorWord(w, system string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@%+,^~", r) || r > 127 || system == "windows" && r == '\\'
	}
	switch {
	case w != "" && !strings.ContainsFunc(w, func(r rune) bool { return !plain(r) }):
		return w
	case system == "windows":
		return `"` + strings.ReplaceAll(w, `"`, "`\"") + `"`
	case strings.Contains(w, "$") && !strings.ContainsAny(w, "\"`\\"):
		return `"` + w + `"`
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}
