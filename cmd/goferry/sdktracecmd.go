package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/toolchain"
)

// traceFlags are the flags of sdk trace.
type traceFlags struct {
	json   bool
	chrome string
	top    int
}

func (a *app) sdkTraceCmd() *cobra.Command {
	var fl traceFlags
	cmd := a.command("trace -- go build [ARGS…]", "sdktrace", wantsCommand("sdktrace.error.no-command"), func(cmd *cobra.Command, args []string) (err error) {
		a.exit, err = a.sdkTrace(cmd.Context(), fl, args)
		return err
	})
	cmd.Flags().BoolVar(&fl.json, "json", false, a.p.T("sdktrace.flag-json"))
	cmd.Flags().StringVar(&fl.chrome, "chrome", "", a.p.T("sdktrace.flag-chrome"))
	cmd.Flags().IntVar(&fl.top, "top", 10, a.p.T("sdktrace.flag-top"))
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// sdkTrace runs argv and then says what it did. The exit code is that of the command. Standard output is the
// command's, so the report goes to standard error; with --json it is the other way round.
func (a *app) sdkTrace(ctx context.Context, fl traceFlags, argv []string) (int, error) {
	if err := traceFolder(fl.chrome); err != nil {
		return 0, err
	}
	c := gocmd.ExecCmd{Argv: argv, Stdin: a.stdin, Stdout: a.stdout, Stderr: a.stderr}
	if fl.json {
		c.Stdout = a.stderr
	}
	// The command is told of signals itself, and what it did until then is worth a report.
	tr, err := (&toolchain.Tracer{Runner: a.runner}).Trace(context.WithoutCancel(ctx), c)
	if err != nil {
		return 0, traceFault(err)
	}
	if fl.json {
		err = a.json(tr)
	} else {
		a.traceReport(tr, fl.top)
	}
	if fl.chrome != "" {
		err = errors.Join(err, a.traceChrome(tr, fl))
	}
	return tr.ExitCode, err
}

// traceFolder finds out before a long build that the trace could not be written.
func traceFolder(file string) error {
	if file == "" {
		return nil
	}
	if info, err := os.Stat(filepath.Dir(file)); err != nil || !info.IsDir() {
		return &fault{code: "sdktrace.error.folder", args: []any{"File", file, "Dir", filepath.Dir(file)}, hint: "sdktrace.hint.folder", exit: 2, err: err}
	}
	return nil
}

func traceFault(err error) error {
	var ue *toolchain.UntraceableError
	if errors.As(err, &ue) {
		args := []any{"Name", ue.Program, "Commands", strings.Join(toolchain.Traceable(), ", ")}
		code := "sdktrace.error.not-go"
		if ue.Program == "" {
			code, args[1] = "sdktrace.error.command", strings.TrimSpace("go "+ue.Command)
		}
		return &fault{code: code, args: args, hint: "sdktrace.hint.command", exit: 2, err: err}
	}
	return cmp.Or(noCommand(err), err)
}

func (a *app) traceChrome(tr *toolchain.Trace, fl traceFlags) (err error) {
	f, err := os.Create(fl.chrome)
	if err == nil {
		err = errors.Join(tr.WriteChrome(f), f.Close())
	}
	if err != nil {
		return &fault{code: "sdktrace.error.write", args: []any{"File", fl.chrome, "Err", err}, hint: "sdktrace.hint.folder", exit: 1, err: err}
	}
	if !fl.json {
		a.say(a.p.T("sdktrace.chrome", "File", fl.chrome))
	}
	return nil
}

// traceReport prints what tr says, for people.
func (a *app) traceReport(tr *toolchain.Trace, top int) {
	w := a.stderr
	fmt.Fprintln(w)
	a.say(a.p.T("sdktrace.head", "Command", strings.Join(tr.Command, " "), "Time", traceTime(tr.Time), "Code", tr.ExitCode, "Go", cmp.Or(tr.Go, "go?")))
	fmt.Fprintln(w)
	printColumns(w, a.tracePhases(tr), 1, 2, 3)
	if rows := a.traceSlowest(tr, top); len(rows) > 1 {
		fmt.Fprintln(w)
		printColumns(w, rows, 2, 3)
	}
	if rows := a.traceZips(tr, top); len(rows) > 1 {
		fmt.Fprintln(w)
		printColumns(w, rows, 1, 2, 3)
	}
	if rows := a.traceCritical(tr, top); len(rows) > 1 {
		fmt.Fprintln(w)
		printColumns(w, rows, 2)
	}
	for i, line := range a.traceNotes(tr) {
		if i == 0 {
			fmt.Fprintln(w)
		}
		a.say(line)
	}
}

// worthTrace is the shortest step that is listed.
const worthTrace = toolchain.TraceMillis(time.Millisecond)

// traceBar is how many columns the time line of the report has.
const traceBar = 30

func (a *app) tracePhases(tr *toolchain.Trace) [][]string {
	rows := [][]string{{a.p.T("sdktrace.col-phase"), a.p.T("sdktrace.col-begin"), a.p.T("sdktrace.col-time"), "%", "", ""}}
	for _, p := range tr.Phases {
		name := a.p.T("sdktrace.phase-" + p.Name)
		if p.Within != "" {
			name = "  " + name
		}
		rows = append(rows, []string{name, traceTime(p.Begin), traceTime(p.Time), tracePercent(p.Time, tr.Time), traceLine(p, tr.Time), a.tracePhaseNote(tr, p)})
	}
	return rows
}

// traceLine shows when in the whole p was.
func traceLine(p toolchain.TracePhase, whole toolchain.TraceMillis) string {
	if whole <= 0 {
		return ""
	}
	at := func(m toolchain.TraceMillis) int { return int(m * traceBar / whole) }
	from := min(at(p.Begin), traceBar-1)
	to := max(at(p.End), from+1)
	return strings.Repeat(".", from) + strings.Repeat("#", to-from) + strings.Repeat(".", traceBar-to)
}

func (a *app) tracePhaseNote(tr *toolchain.Trace, p toolchain.TracePhase) string {
	switch p.Name {
	case toolchain.TraceDownloads:
		return a.p.T("sdktrace.note-zips", "Count", p.Steps)
	case toolchain.TraceCompile:
		return a.p.T("sdktrace.note-compile", "Compiled", tr.Compiled, "Cached", tr.Cached)
	case toolchain.TraceLink:
		if p.Steps == 0 {
			return a.p.T("sdktrace.note-linked")
		}
		return a.p.T("sdktrace.note-links", "Count", p.Steps)
	case toolchain.TraceVet, toolchain.TraceTest:
		return a.p.T("sdktrace.note-ran", "Ran", p.Steps, "All", p.Of)
	}
	return ""
}

// traceRow is a line of the list of slow steps.
type traceRow struct {
	phase, name string
	state       toolchain.TraceState
	time, cpu   toolchain.TraceMillis
}

// traceSlowest lists what took longest: packages that were compiled, and the steps of the other phases.
func (a *app) traceSlowest(tr *toolchain.Trace, top int) [][]string {
	var list []traceRow
	for _, p := range tr.Packages {
		if p.State != toolchain.TraceCached {
			list = append(list, traceRow{toolchain.TraceCompile, p.Path, p.State, p.Time, p.CPU})
		}
	}
	for _, s := range tr.Steps {
		if s.Phase != "" && s.Phase != toolchain.TraceCompile {
			list = append(list, traceRow{s.Phase, s.Package, s.State, s.Time, s.CPU})
		}
	}
	slices.SortStableFunc(list, func(x, y traceRow) int { return cmp.Compare(y.time, x.time) })
	rows := [][]string{{a.p.T("sdktrace.col-slowest"), "", a.p.T("sdktrace.col-time"), a.p.T("sdktrace.col-cpu"), ""}}
	for _, r := range list[:min(len(list), max(top, 0))] {
		if r.time < worthTrace {
			break
		}
		cpu, note := nothing, ""
		if r.cpu > 0 {
			cpu = traceTime(r.cpu)
		}
		if r.state == toolchain.TraceFailed {
			note = a.p.T("sdktrace.failed")
		}
		rows = append(rows, []string{"  " + a.p.T("sdktrace.phase-"+r.phase), clip(r.name, 60), traceTime(r.time), cpu, note})
	}
	return rows
}

// traceZips lists the zips that came, the slowest first.
func (a *app) traceZips(tr *toolchain.Trace, top int) [][]string {
	rows := [][]string{{a.p.T("sdktrace.col-zip"), a.p.T("sdktrace.col-size"), a.p.T("sdktrace.col-time"), a.p.T("sdktrace.col-unpack"), ""}}
	for _, d := range tr.Fetched {
		if d.Time > 0 && len(rows) <= top {
			row := []string{"  " + clip(d.Module+"@"+d.Version, 60), human(d.Bytes), traceTime(d.Time), traceTime(d.Unpack), ""}
			if d.Failed {
				row[1], row[3], row[4] = nothing, nothing, a.p.T("sdktrace.failed")
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// traceCritical lists the chain of steps of which each had to wait for the one before: the slowest of it, in their order.
func (a *app) traceCritical(tr *toolchain.Trace, top int) [][]string {
	slow := slices.Clone(tr.Critical)
	slices.SortStableFunc(slow, func(x, y toolchain.TraceStep) int { return cmp.Compare(y.Time, x.Time) })
	shown := map[int]bool{}
	for _, s := range slow[:min(len(slow), max(top, 0))] {
		shown[s.ID] = true
	}
	rows := [][]string{{a.p.T("sdktrace.col-critical"), "", traceTime(tr.Chain), ""}}
	for _, s := range tr.Critical {
		if !shown[s.ID] || s.Time*100 < tr.Chain {
			continue
		}
		name, mode := "  ", ""
		if s.Phase != "" {
			name += a.p.T("sdktrace.phase-" + s.Phase)
		}
		if s.Mode != "build" && s.Mode != s.Phase {
			mode = traceMode(s.Mode)
		}
		rows = append(rows, []string{name, clip(s.Package, 60), traceTime(s.Time), mode})
	}
	return rows
}

// traceMode is what the go command calls a step, without the folder of the file that cgo compiles.
func traceMode(mode string) string {
	if i := strings.LastIndexAny(mode, `/\\`); i >= 0 && strings.HasPrefix(mode, "cgo compile ") {
		return "cgo compile " + mode[i+1:]
	}
	return mode
}

// traceNotes are the sentences of the report.
func (a *app) traceNotes(tr *toolchain.Trace) []string {
	var notes []string
	say := func(code string, args ...any) { notes = append(notes, a.p.T(code, args...)) }
	var small int
	var bytes int64
	var last toolchain.TraceMillis
	for _, d := range tr.Fetched {
		switch {
		case d.Module == toolchain.ModulePath && d.File == ".zip":
			say("sdktrace.note-toolchain", "Version", strings.TrimPrefix(d.Version, "v0.0.1-"), "Bytes", human(d.Bytes))
		case d.File != ".zip":
			small++
			bytes += d.Bytes
			last = max(last, d.Arrived)
		}
	}
	if small > 0 {
		say("sdktrace.note-files", "Count", small, "Bytes", human(bytes), "Time", traceTime(last))
	}
	if tr.Sumdb > 0 {
		say("sdktrace.note-sumdb", "Count", tr.Sumdb)
	}
	if code, build := traceChain(tr); code != "" {
		say(code, "Chain", traceTime(tr.Chain), "Time", traceTime(build), "Count", runtime.NumCPU())
	}
	for _, o := range tr.Outputs {
		code := "sdktrace.output"
		if o.UpToDate {
			code = "sdktrace.output-old"
		}
		say(code, "File", o.Path, "Bytes", human(o.Bytes))
	}
	if dir := a.notInPath(tr); dir != "" {
		say("sdktrace.note-path", "Dir", dir)
	}
	for _, g := range tr.Missing {
		if g.Reason != "" {
			say("sdktrace.gap", "Record", g.Record, "Err", g.Reason)
		} else if g.Record == toolchain.TraceSpans || len(tr.Missing) == 1 && tr.ExitCode != 0 {
			say("sdktrace.gap-" + g.Record)
		}
	}
	return notes
}

// traceChain says whether a build that took so long would be shorter with more processors; "" where that does not matter.
func traceChain(tr *toolchain.Trace) (code string, build toolchain.TraceMillis) {
	for _, p := range tr.Phases {
		if p.Name == toolchain.TraceBuild {
			build = p.Time
		}
	}
	switch {
	case build < toolchain.TraceMillis(time.Second) || tr.Chain == 0:
		return "", 0
	case tr.Chain*100 < build*80:
		return "sdktrace.note-wide", build
	}
	return "sdktrace.note-narrow", build
}

// notInPath is the folder in which go install has put a program that a shell would not find.
func (a *app) notInPath(tr *toolchain.Trace) string {
	if len(tr.Command) < 2 || !slices.Contains(tr.Command[1:min(len(tr.Command), 4)], "install") {
		return ""
	}
	for _, o := range tr.Outputs {
		dir := filepath.Dir(o.Path)
		if !slices.ContainsFunc(filepath.SplitList(a.env("PATH")), func(p string) bool { return filepath.Clean(p) == dir }) {
			return dir
		}
	}
	return ""
}

// traceTime writes a duration with three digits or so.
func traceTime(m toolchain.TraceMillis) string {
	d := time.Duration(m)
	switch {
	case d >= 100*time.Second:
		return clock(d)
	case d >= time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 2, 64) + " s"
	case d >= 10*time.Millisecond || d == 0:
		return strconv.FormatInt(d.Round(time.Millisecond).Milliseconds(), 10) + " ms"
	}
	return strconv.FormatFloat(float64(d.Microseconds())/1e3, 'f', 1, 64) + " ms"
}

func tracePercent(part, whole toolchain.TraceMillis) string {
	if whole <= 0 {
		return ""
	}
	return strconv.Itoa(int((part*100+whole/2)/whole)) + "%"
}
