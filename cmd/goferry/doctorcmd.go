package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/doctor"
	"github.com/goferry/goferry/internal/text"
)

// doctorFlags are those of goferry doctor.
type doctorFlags struct {
	list, schema, watch, fix, yes, undo, verbose, trace bool

	bundle, explain string
	every           time.Duration
}

// doctorRun is one run of goferry doctor.
type doctorRun struct {
	*app
	cmd   *cobra.Command
	cfg   *config.Config
	flags doctorFlags
	exam  *doctor.Exam
	setup error     // why goferry's own settings do not count; nil if they do
	begun time.Time // when it was begun to find out what there is to look at; zero where that is known
	trace *doctorTrace
	log   *doctorLog
}

func (r *doctorRun) ctx() context.Context { return r.cmd.Context() }

func (a *app) doctorCmd() *cobra.Command {
	r := &doctorRun{app: a}
	cmd := &cobra.Command{
		Use:     "doctor [CHECK… | MODULE[@VERSION] | -]",
		Short:   a.p.T("doctor.short"),
		Long:    a.p.T("doctor.long"),
		Example: a.example("doctor.example"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.cmd = cmd
			return r.run(args)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return doctorNames(), cobra.ShellCompDirectiveNoFileComp
		},
	}
	a.settingFlags(cmd.Flags(), false)
	for _, s := range config.Table() { // they are about goferry; the doctor looks at go
		if f := cmd.Flags().Lookup(s.Flag); f != nil {
			f.Hidden = true
		}
	}
	a.jsonFlag(cmd)
	fs, f := cmd.Flags(), &r.flags
	fs.BoolVar(&f.list, "list", false, a.p.T("doctor.flag-list"))
	fs.BoolVar(&f.schema, "schema", false, a.p.T("doctor.flag-schema"))
	fs.BoolVarP(&f.verbose, "verbose", "v", false, a.p.T("doctor.flag-verbose"))
	fs.BoolVar(&f.fix, "fix", false, a.p.T("doctor.flag-fix"))
	fs.BoolVarP(&f.yes, "yes", "y", false, a.p.T("doctor.flag-yes"))
	fs.BoolVar(&f.undo, "undo", false, a.p.T("doctor.flag-undo"))
	fs.BoolVar(&f.watch, "watch", false, a.p.T("doctor.flag-watch"))
	fs.DurationVar(&f.every, "every", 5*time.Second, a.p.T("doctor.flag-every"))
	fs.BoolVar(&f.trace, "trace", false, a.p.T("doctor.flag-trace"))
	fs.StringVar(&f.bundle, "bundle", "", a.p.T("doctor.flag-bundle"))
	fs.StringVar(&f.explain, "explain", "", a.p.T("doctor.flag-explain"))
	return cmd
}

// doctorNames are the names of checks and groups.
func doctorNames() []string {
	var names []string
	for _, c := range doctor.Checks() {
		names = append(names, c.ID)
	}
	for _, g := range doctor.Groups() {
		names = append(names, string(g))
	}
	return names
}

// run does what args and flags ask for.
func (r *doctorRun) run(args []string) error {
	if len(args) == 1 && args[0] == "-" && r.flags.explain == "" {
		r.flags.explain, args = "-", nil
	}
	if err := r.refuse(args); err != nil {
		return err
	}
	switch {
	case r.flags.schema:
		_, err := r.stdout.Write(doctor.Schema())
		return err
	case r.flags.list:
		return r.printChecks()
	}
	checks, module, err := r.wanted(args)
	if err != nil {
		return err
	}
	defer func() { r.trace.end() }()
	if err := r.prepare(); err != nil {
		return err
	}
	if r.setup != nil {
		r.hint(r.p.T("doctor.hint.setup", "Err", oneLine(config.Redact(r.setup.Error()), 300)))
	}
	switch {
	case r.flags.undo:
		return r.undo()
	case r.flags.explain != "":
		return r.explain(r.flags.explain)
	case r.flags.watch:
		return r.watch(checks)
	case r.flags.bundle != "":
		return r.bundle(checks)
	case r.flags.fix:
		return r.mend(checks)
	case module != "":
		return r.walk(module)
	}
	rep, err := r.examine(checks)
	if err != nil {
		return err
	}
	return r.show(rep)
}

// refuse says which arguments and flags do not go together.
func (r *doctorRun) refuse(args []string) error {
	f := r.flags
	var alone []string
	for name, on := range map[string]bool{"--list": f.list, "--schema": f.schema, "--undo": f.undo, "--watch": f.watch, "--fix": f.fix,
		"--bundle": f.bundle != "", "--explain": f.explain != ""} {
		if on {
			alone = append(alone, name)
		}
	}
	switch {
	case len(alone) > 1:
		return misuse(r.cmd, "", "doctor.error.mixed", "Name", max(alone[0], alone[1]), "Other", min(alone[0], alone[1]))
	case f.yes && !f.fix:
		return misuse(r.cmd, "--fix --yes", "doctor.error.mixed", "Name", "--yes", "Other", "nothing")
	case f.trace && (f.list || f.schema || f.undo):
		return misuse(r.cmd, "", "doctor.error.mixed", "Name", "--trace", "Other", alone[0])
	case len(args) == 1 && doctorModule(args[0]) && len(alone) > 0:
		return misuse(r.cmd, "", "doctor.error.mixed", "Name", args[0], "Other", alone[0])
	case len(args) > 0 && (f.list || f.schema || f.undo || f.explain != ""):
		return misuse(r.cmd, "", "error.arg-extra", "Arg", args[0])
	case f.every < time.Second:
		return &fault{code: "error.flag-bad", args: []any{"Name", "--every", "Value", f.every.String()}, hint: "doctor.hint.watch", exit: 2}
	}
	return nil
}

// wanted are the checks that args name, or the module.
func (r *doctorRun) wanted(args []string) (checks []doctor.Check, module string, err error) {
	if len(args) == 1 && doctorModule(args[0]) {
		return nil, args[0], nil
	}
	checks, unknown := doctor.Select(doctor.Checks(), args)
	if unknown == "" {
		return checks, "", nil
	}
	near := config.Near(unknown, doctorNames())
	if near != "" {
		near = r.cmd.CommandPath() + " " + near
		return nil, "", misuse(r.cmd, near, "doctor.error.check", "Name", unknown)
	}
	return nil, "", &fault{code: "doctor.error.check", args: []any{"Name", unknown}, hint: "doctor.hint.check", exit: 2}
}

// doctorModule reports whether arg can be a module path, with or without a version: no check has a dot.
func doctorModule(arg string) bool {
	path, _, _ := strings.Cut(arg, "@")
	first, _, _ := strings.Cut(path, "/")
	return strings.Contains(first, ".") && !strings.HasPrefix(first, ".")
}

// printChecks lists the checks by group.
func (r *doctorRun) printChecks() error {
	type item struct {
		Check string       `json:"check"`
		Group doctor.Group `json:"group"`
		About string       `json:"about"`
	}
	items := []item{}
	for _, c := range doctor.Checks() {
		items = append(items, item{c.ID, c.Group, r.p.T("doctor.check." + c.ID)})
	}
	if asJSON(r.cmd) {
		return r.json(items)
	}
	left := 0
	for _, it := range items {
		left = max(left, text.Columns(it.Check)+2)
	}
	group := doctor.Group("")
	for _, it := range items {
		if it.Group != group {
			group = it.Group
			fmt.Fprintf(r.stdout, "%s (%s)\n", group, r.p.T("doctor.group."+string(group)))
		}
		fmt.Fprintf(r.stdout, "  %s%s%s\n", it.Check, strings.Repeat(" ", left-text.Columns(it.Check)), it.About)
	}
	return nil
}

// examine looks, and says on a terminal what it is still looking at.
func (r *doctorRun) examine(checks []doctor.Check) (doctor.Report, error) {
	show := r.beginDoctor()
	rep := doctor.Examine(r.ctx(), r.exam, checks, doctor.Options{Wait: r.left(), Begun: show.begun, Done: show.ended})
	show.end()
	return rep, context.Cause(r.ctx())
}

// show prints a report, and makes the exit code of it.
func (r *doctorRun) show(rep doctor.Report) error {
	r.exit = doctorExit(rep)
	if asJSON(r.cmd) {
		return r.json(rep)
	}
	if err := r.print(rep); err != nil {
		return err
	}
	if !r.flags.fix && r.fixable(rep) {
		r.hint(r.p.T("doctor.hint.fix"))
	}
	return nil
}

// doctorExit is 3 where something is wrong, or was not looked at that may be.
func doctorExit(rep doctor.Report) int {
	if rep.Healthy && rep.Complete {
		return 0
	}
	return 3
}

// watch looks again and again until all is well.
func (r *doctorRun) watch(checks []doctor.Check) error {
	last := ""
	for {
		rep, err := r.examine(checks)
		if err != nil {
			return err
		}
		switch now := doctorSigns(rep); {
		case asJSON(r.cmd):
			if err := r.show(rep); err != nil {
				return err
			}
		case now == last:
			fmt.Fprintln(r.stdout, r.p.T("doctor.watch.same", "Time", time.Now().Format(time.TimeOnly)))
		default:
			last = now
			fmt.Fprintln(r.stdout, time.Now().Format(time.TimeOnly))
			if err := r.print(rep); err != nil {
				return err
			}
			fmt.Fprintln(r.stdout)
		}
		if r.exit = doctorExit(rep); r.exit == 0 {
			return nil
		}
		select {
		case <-r.ctx().Done():
			return context.Cause(r.ctx())
		case <-time.After(r.flags.every):
		}
		if err := r.prepare(); err != nil { // settings may be what was mended
			return err
		}
	}
}

// doctorSigns is what distinguishes one report from another for who watches.
func doctorSigns(rep doctor.Report) string {
	var b strings.Builder
	for _, c := range rep.Causes {
		fmt.Fprintln(&b, c.Code, c.Subject, c.Severity, len(c.Follows))
	}
	for _, res := range rep.Results {
		fmt.Fprintln(&b, res.Check, res.State, res.Reason)
	}
	return b.String()
}
