package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goferry/goferry/internal/doctor"
	"github.com/goferry/goferry/internal/gocmd"
)

// doctorApplied is what became of a fix, as doctor --fix --json prints it.
type doctorApplied struct {
	Finding string     `json:"finding"` // code
	Subject string     `json:"subject,omitempty"`
	Fix     doctor.Fix `json:"fix"`
	Done    bool       `json:"done"`
	Undo    bool       `json:"undo"`            // doctor --undo takes it back
	Left    string     `json:"left,omitempty"`  // why it was not applied: declined, yours, failed
	Error   string     `json:"error,omitempty"` // one line
}

// doctorMended is what doctor --fix --json prints.
type doctorMended struct {
	SchemaVersion int             `json:"schema_version"`
	Before        doctor.Report   `json:"before"`
	Applied       []doctorApplied `json:"applied"`
	After         doctor.Report   `json:"after"` // what was looked at again
}

// mend looks, applies fixes, and looks again at what they were for.
func (r *doctorRun) mend(checks []doctor.Check) error {
	if asJSON(r.cmd) && !r.flags.yes {
		return &fault{code: "doctor.error.no-answer", hint: "doctor.hint.no-answer", exit: 2}
	}
	before, err := r.examine(checks)
	if err != nil {
		return err
	}
	out := doctorMended{SchemaVersion: doctor.SchemaVersion, Before: before, Applied: []doctorApplied{}, After: before}
	if !asJSON(r.cmd) {
		if err := r.print(before); err != nil {
			return err
		}
	}
	m := &doctorMending{doctorRun: r, asks: bufio.NewReader(r.stdin), said: map[string]doctorApplied{}, seen: map[string]bool{}, chosen: map[string]string{}}
	const most = 8 // what is mended may lay open what was hidden behind it
	for range most {
		done := m.done
		if err := m.round(out.After); err != nil {
			return err
		}
		if m.done == done {
			break
		}
		if out.After, err = r.again(checks, before); err != nil {
			return err
		}
	}
	out.Applied = append(out.Applied, m.applied...)
	return r.showMended(out, m.done)
}

// A doctorMending is one run of doctor --fix.
type doctorMending struct {
	*doctorRun
	undone  doctorUndo
	asks    *bufio.Reader
	applied []doctorApplied
	said    map[string]doctorApplied // what became of a fix: two findings may have the same
	seen    map[string]bool          // findings whose fixes were offered
	chosen  map[string]string        // findings with the code of the fix that was applied
	done    int                      // different fixes that were applied
}

// round offers the fixes of a report. One that would write over what another has just written, and was thought out
// before that, waits for the next look.
func (m *doctorMending) round(rep doctor.Report) error {
	wrote := map[string]bool{}
	for _, c := range rep.Causes {
		fixes := doctorFixesOf(c.Finding)
		if len(fixes) == 0 {
			continue
		}
		key := c.Code + "\x00" + c.Subject + "\x00" + fixKey(fixes[0])
		_, said := m.said[fixKey(fixes[0])]
		if m.seen[key] || wrote[fixSlot(fixes[0])] && !said {
			continue
		}
		m.seen[key] = true
		for _, fix := range fixes {
			if first := m.chosen[c.Code+" "+c.Subject]; first != "" && first != fix.Code {
				continue // the user is to do the rest, not to get the second best as well
			}
			got, err := m.offerOnce(c, fix)
			if err != nil {
				return err
			}
			m.applied = append(m.applied, got)
			if got.Done {
				m.chosen[c.Code+" "+c.Subject] = fix.Code
			}
			if slot := fixSlot(fix); got.Done && slot != "" {
				wrote[slot] = true
			}
			if got.Done || m.flags.yes { // without questions the best one is applied, or none
				break
			}
		}
	}
	return nil
}

// offerOnce is offer, for fixes that were not offered for another finding.
func (m *doctorMending) offerOnce(c doctor.Cause, fix doctor.Fix) (doctorApplied, error) {
	if got, ok := m.said[fixKey(fix)]; ok {
		got.Finding, got.Subject = c.Code, c.Subject
		return got, nil
	}
	got, err := m.offer(c, fix, &m.undone, m.asks)
	m.said[fixKey(fix)] = got
	if got.Done {
		m.done++
	}
	return got, err
}

// fixKey tells fixes apart by what they do.
func fixKey(f doctor.Fix) string {
	if f.Exact != nil {
		f = *f.Exact
	}
	return fmt.Sprintf("%q", []any{f.Kind, f.Key, f.Value, f.Command, f.File, f.Old, f.New})
}

// fixSlot is what a fix writes as a whole, so that another one for it, thought out before, would take it back; "" for
// fixes that change a part.
func fixSlot(f doctor.Fix) string {
	switch {
	case f.Kind == doctor.SetGoEnv:
		return f.Key
	case f.Kind == doctor.RunCommand && slices.Equal(f.Command, []string{"goferry", "on"}):
		return "GOPROXY"
	}
	return ""
}

// doctorFixesOf are the fixes of a finding that are offered: those that goferry can apply, the best first, else the best.
func doctorFixesOf(f doctor.Finding) (list []doctor.Fix) {
	for _, fix := range f.Fixes {
		if fix.Kind != doctor.ByHand && fix.Kind != doctor.SetEnv {
			list = append(list, fix)
		}
	}
	if len(list) == 0 {
		return f.Fixes[:min(len(f.Fixes), 1)]
	}
	return list
}

// fixable reports whether --fix has something to apply.
func (r *doctorRun) fixable(rep doctor.Report) bool {
	return slices.ContainsFunc(rep.Causes, func(c doctor.Cause) bool {
		fixes := doctorFixesOf(c.Finding)
		return len(fixes) > 0 && fixes[0].Kind != doctor.ByHand && fixes[0].Kind != doctor.SetEnv
	})
}

// offer shows a fix, asks, and applies it.
func (r *doctorRun) offer(c doctor.Cause, fix doctor.Fix, u *doctorUndo, asks *bufio.Reader) (doctorApplied, error) {
	got := doctorApplied{Finding: c.Code, Subject: c.Subject, Fix: fix}
	page := r.page(doctor.Report{})
	page.line("", "")
	page.wrapped(page.markOf(c.Severity)+" ", "  ", page.sentence(c.Finding))
	page.fix("  ", 0, fix)
	r.tell(page.b.String())
	switch {
	case fix.Kind == doctor.SetEnv:
		got.Left = "yours"
		r.tell("  " + r.p.T("doctor.mend.yours") + "\n")
		return got, nil
	case fix.Kind == doctor.ByHand:
		got.Left = "yours"
		r.tell("  " + r.p.T("doctor.mend.by-hand") + "\n")
		return got, nil
	case fix.Root && os.Geteuid() != 0:
		got.Left = "yours"
		r.tell("  " + r.p.T("doctor.mend.root-yours") + "\n")
		return got, nil
	}
	files := r.fixFiles(fix)
	undo := len(files) > 0 || inverseOf(fix) != nil || installs(fix)
	if !undo {
		r.tell("  " + r.p.T("doctor.mend.no-undo") + "\n")
	}
	if !r.flags.yes && !r.agreed(asks) {
		got.Left = "declined"
		r.tell("  " + r.p.T("doctor.mend.skipped") + "\n")
		return got, nil
	}
	exact := fix
	if fix.Exact != nil {
		exact = *fix.Exact
	}
	if err := r.applyRecorded(u, fix, exact, files); err != nil {
		if r.ctx().Err() != nil {
			return got, context.Cause(r.ctx())
		}
		var f *fault
		if errors.As(err, &f) && f.code == "doctor.error.record" {
			return got, err
		}
		got.Left, got.Error = "failed", r.shownError(err)
		r.tell("  " + r.p.T("doctor.mend.failed", "Err", got.Error) + "\n")
		return got, nil
	}
	got.Done, got.Undo = true, undo
	r.tell("  " + r.p.T("doctor.mend.done") + "\n")
	return got, nil
}

// shownError is err in a line for people, without secrets.
func (r *doctorRun) shownError(err error) string {
	var f *fault
	if errors.As(err, &f) {
		return r.p.T(f.code, f.args...)
	}
	return doctor.SecretsOf(r.exam).Mask(oneLine(err.Error(), 300))
}

// tell writes what a person is told while fixes are applied: beside the report, which may be JSON.
func (r *doctorRun) tell(s string) {
	if asJSON(r.cmd) {
		fmt.Fprint(r.stderr, s)
		return
	}
	fmt.Fprint(r.stdout, s)
}

// agreed asks whether to apply what was shown. An end without an answer is a no.
func (r *doctorRun) agreed(asks *bufio.Reader) bool {
	r.tell("  " + r.p.T("doctor.mend.ask") + " ")
	line, err := asks.ReadString('\n')
	if err != nil {
		r.tell("\n")
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes", "是", "好":
		return true
	}
	return false
}

// fixFiles are the files that a fix changes, as far as that is known: those can be put back.
func (r *doctorRun) fixFiles(f doctor.Fix) []string {
	if f.Exact != nil {
		f = *f.Exact
	}
	switch f.Kind {
	case doctor.SetGoEnv:
		return nonEmpty(r.exam.GoEnv.File)
	case doctor.EditFile:
		return nonEmpty(f.File)
	case doctor.RunCommand:
		return nonEmpty(append(r.commandFiles(f.Command), f.File)...)
	}
	return nil
}

// nonEmpty leaves out what is no file, and what stands there twice.
func nonEmpty(names ...string) []string {
	slices.Sort(names)
	return slices.Compact(slices.DeleteFunc(names, func(n string) bool { return n == "" || n == os.DevNull }))
}

// commandFiles are the settings files that well-known commands write.
func (r *doctorRun) commandFiles(argv []string) []string {
	x := r.exam
	if len(argv) < 2 {
		return nil
	}
	is := func(words ...string) bool {
		return len(argv) > len(words) && slices.Equal(argv[1:1+len(words)], words)
	}
	switch strings.TrimSuffix(filepath.Base(argv[0]), ".exe") {
	case "go":
		switch {
		case is("env", "-w"), is("env", "-u"):
			return nonEmpty(x.GoEnv.File)
		case argv[1] == "mod" && len(argv) > 2 && argv[2] != "download" && argv[2] != "vendor", argv[1] == "get":
			mod := x.GoEnv.Values["GOMOD"]
			if mod == "" || mod == os.DevNull {
				return nil
			}
			return []string{mod, strings.TrimSuffix(mod, ".mod") + ".sum"}
		case argv[1] == "work" && len(argv) > 2 && argv[2] != "vendor":
			return nonEmpty(x.GoEnv.Values["GOWORK"])
		}
	case "git":
		if is("config", "--global") {
			return r.gitGlobal()
		}
	}
	return nil
}

// gitGlobal are the files that git config --global may write.
func (r *doctorRun) gitGlobal() []string {
	if file := r.exam.Env["GIT_CONFIG_GLOBAL"]; file != "" {
		return []string{file}
	}
	dir := r.exam.Env["XDG_CONFIG_HOME"]
	if dir == "" {
		dir = filepath.Join(r.exam.Home, ".config")
	}
	return []string{filepath.Join(r.exam.Home, ".gitconfig"), filepath.Join(dir, "git", "config")}
}

// apply does what the fix says.
func (r *doctorRun) apply(f doctor.Fix) error {
	switch f.Kind {
	case doctor.SetGoEnv:
		if r.exam.GoEnv.File == "" {
			return &fault{code: "doctor.error.fix-no-file", exit: 1}
		}
		return r.setGoEnv(f, r.exam.GoEnv.File)
	case doctor.EditFile:
		return editFile(f)
	case doctor.RunCommand:
		return r.command(f.Command)
	}
	return fmt.Errorf("%s: %w", f.Kind, errors.ErrUnsupported)
}

// command runs the command of a fix in the user's folder.
func (r *doctorRun) command(argv []string) error {
	if len(argv) == 0 {
		return fmt.Errorf("%w: no command", errors.ErrUnsupported)
	}
	if argv[0] == "goferry" { // this one, wherever it lies
		if self, err := os.Executable(); err == nil {
			argv = append([]string{self}, argv[1:]...)
		}
	}
	code, err := r.runner.Exec(r.ctx(), gocmd.ExecCmd{Argv: argv, Dir: r.exam.Dir, Stdout: r.stderr, Stderr: r.stderr})
	if err == nil && code != 0 {
		err = &fault{code: "doctor.error.fix-command", args: []any{"Name", argv[0], "Code", code}, exit: 1}
	}
	return err
}

// setGoEnv makes the go command write a setting to a file.
func (r *doctorRun) setGoEnv(f doctor.Fix, file string) error {
	if f.Value == "" {
		return r.writeGoEnv(r.ctx(), file, "-u", f.Key)
	}
	return r.writeGoEnv(r.ctx(), file, "-w", f.Key+"="+f.Value)
}

// editFile replaces Old by New in the file, in place: it may be a link to somewhere else. An empty Old adds New at the end.
func editFile(f doctor.Fix) error {
	data, err := os.ReadFile(f.File)
	gone := errors.Is(err, fs.ErrNotExist)
	if err != nil && !(gone && f.Old == "") {
		return err
	}
	if data, err = edited(f, data); err != nil {
		return err
	}
	if gone {
		if err := os.MkdirAll(filepath.Dir(f.File), 0o777); err != nil {
			return err
		}
	}
	return writeInPlace(f.File, data, 0o666)
}

// edited is data with Old replaced, which begins with a line and must be there just once; where other lines begin like
// it, as a whole line.
func edited(f doctor.Fix, data []byte) ([]byte, error) {
	now := string(data)
	if f.Old == "" {
		if now != "" && !strings.HasSuffix(now, "\n") {
			now += "\n"
		}
		return []byte(now + f.New), nil
	}
	var all, whole []int
	for at, line := 0, ""; at < len(now); at += len(line) {
		line = now[at:]
		if i := strings.IndexByte(line, '\n'); i >= 0 {
			line = line[:i+1]
		}
		if rest, ok := strings.CutPrefix(now[at:], f.Old); ok {
			all = append(all, at)
			if strings.HasSuffix(f.Old, "\n") || rest == "" || strings.HasPrefix(rest, "\n") || strings.HasPrefix(rest, "\r\n") {
				whole = append(whole, at)
			}
		}
	}
	if len(all) > 1 {
		all = whole
	}
	if len(all) != 1 { // not what was looked at
		return nil, &fault{code: "doctor.error.fix-file", args: []any{"File", f.File}, exit: 1}
	}
	return []byte(now[:all[0]] + f.New + now[all[0]+len(f.Old):]), nil
}

// again looks once more at what the findings came from that had a fix.
func (r *doctorRun) again(checks []doctor.Check, before doctor.Report) (doctor.Report, error) {
	r.tell("\n" + r.p.T("doctor.mend.again") + "\n")
	if err := r.prepare(); err != nil {
		return doctor.Report{}, err
	}
	return r.examine(checksAgain(checks, before))
}

// checksAgain are those checks whose findings had a fix, and what has a say in them, as for a user who names them.
func checksAgain(checks []doctor.Check, before doctor.Report) []doctor.Check {
	var names []string
	for i, c := range before.Causes {
		if len(c.Fixes) == 0 {
			continue
		}
		for _, res := range before.Results {
			if slices.Contains(res.Causes, i) {
				names = append(names, res.Check)
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	list, _ := doctor.Select(checks, names)
	return list
}

// showMended says what came of it. The exit code is that of what is left: of what was not looked at again, as it was.
func (r *doctorRun) showMended(m doctorMended, done int) error {
	left := 0
	for _, got := range m.Applied {
		if got.Done && m.severity(m.After, got) == m.severity(m.Before, got) { // less bad is what some fixes can do
			left++
		}
	}
	r.exit = doctorExit(m.After)
	for i, c := range m.Before.Causes {
		if c.Severity != doctor.Note && !r.lookedAgain(m, i) {
			r.exit = 3
		}
	}
	if !m.Before.Complete && !m.After.Complete {
		r.exit = 3
	}
	if asJSON(r.cmd) {
		return r.json(m)
	}
	switch {
	case len(m.Applied) == 0:
		fmt.Fprintln(r.stdout, r.p.T("doctor.mend.none"))
	case done == 0:
	default:
		if err := r.print(m.After); err != nil {
			return err
		}
		if left == 0 {
			fmt.Fprintln(r.stdout, r.p.T("doctor.mend.mended", "Count", done))
		} else {
			fmt.Fprintln(r.stdout, r.p.T("doctor.mend.left", "Count", left))
		}
	}
	return nil
}

// severity is how bad the finding of a fix is in a report; "" if it is not there.
func (m doctorMended) severity(rep doctor.Report, got doctorApplied) doctor.Severity {
	for _, c := range rep.Causes {
		if c.Code == got.Finding && c.Subject == got.Subject {
			return c.Severity
		}
	}
	return ""
}

// lookedAgain reports whether the i-th cause of the first look was looked at once more.
func (r *doctorRun) lookedAgain(m doctorMended, i int) bool {
	for _, res := range m.Before.Results {
		if slices.Contains(res.Causes, i) &&
			slices.ContainsFunc(m.After.Results, func(o doctor.Result) bool { return o.Check == res.Check }) {
			return true
		}
	}
	return false
}
