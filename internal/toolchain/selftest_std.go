package toolchain

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/gocmd"
)

// selfAgain is how many failing packages are run again. More fail only where nothing works, and
// then for one reason.
const selfAgain = 25

// tests runs the tests of the packages, and those again that fail.
func (r *selfRun) tests(ctx context.Context) ([]SelfFinding, error) {
	if len(r.names) == 0 { // they could not be listed, and yet the program was compiled
		if _, err := r.list(ctx); err != nil {
			return nil, err
		}
	}
	c := &r.report.Counts
	c.Total, c.Left = len(r.names), len(r.names)
	var todo []string
	for _, name := range r.names {
		if p, ok := r.state.before[name]; ok {
			c.Resumed++
			r.count(p)
			continue
		}
		todo = append(todo, name)
	}
	failed, said, err := r.first(ctx, todo)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(failed, func(a, b SelfPackage) int { return strings.Compare(a.Name, b.Name) })
	for i, p := range failed {
		if i < selfAgain {
			r.tell(SelfProgress{Step: StepTests, Done: c.Total - c.Left + len(failed) - i, Total: c.Total, Failed: len(failed), Again: p.Name})
			if p, err = r.judge(ctx, p); err != nil {
				return nil, err
			}
		} else {
			p.Verdict = SelfUnsure
		}
		r.done(p)
	}
	return r.testFindings(said), nil
}

// list resolves the patterns.
func (r *selfRun) list(ctx context.Context) ([]string, error) {
	patterns := r.Packages
	if len(patterns) == 0 {
		patterns = []string{"std"}
	}
	const format = `{{.ImportPath}} {{.Standard}} {{with .Error}}{{printf "%q" .Err}}{{end}}`
	res, err := r.own.Run(ctx, r.goCmd(append([]string{"list", "-e", "-f", format, "--"}, patterns...)...))
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(string(res.Stdout)) {
		f := strings.SplitN(strings.TrimSpace(line), " ", 3)
		if len(f) < 2 || f[1] != "true" || strings.HasPrefix(f[0], "-") {
			why := ""
			if len(f) == 3 {
				why, _ = strconv.Unquote(f[2])
			}
			return nil, fmt.Errorf("%s: %w: %s", f[0], ErrSelfPackages, selfTail(why, selfExcerpt))
		}
		names = append(names, f[0])
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(patterns, " "), ErrSelfPackages, selfSay(res))
	}
	return names, nil
}

// first runs the tests of all packages side by side. It returns those that failed, and what the go
// command had to say where it did not come to the end of them.
func (r *selfRun) first(ctx context.Context, names []string) (failed []SelfPackage, said string, err error) {
	if len(names) == 0 {
		return nil, "", nil
	}
	c := &r.report.Counts
	ended := 0
	var running []string
	show := func(failure string) {
		r.tell(SelfProgress{Step: StepTests, Done: c.Total - c.Left + len(failed), Total: c.Total, Running: slices.Clone(running), Failed: len(failed), Failure: failure})
	}
	s := &selfStream{cause: r.cause}
	s.began = func(pkg string) {
		running = append(running, pkg)
		show("")
	}
	s.fails = func(pkg, test string) { show(pkg + " " + test) }
	s.ended = func(p SelfPackage) {
		ended++
		running = slices.DeleteFunc(running, func(name string) bool { return name == p.Name })
		if p.Verdict != SelfFailed {
			r.done(p)
			show("")
			return
		}
		failed = append(failed, p)
		failure := ""
		if len(p.Failures) == 1 && p.Failures[0].Test == "" { // else each test was told of
			failure = p.Name
		}
		show(failure)
	}
	show("")
	res, err := r.goTest(ctx, s, r.timeout(0), nil, names...)
	if err != nil {
		return nil, "", err
	}
	if ended < len(names) {
		said = cmp.Or(selfSay(res), selfEnds(s.stray.text()))
	}
	return failed, said, nil
}

// goTest runs go test, of which s reads the events.
func (r *selfRun) goTest(ctx context.Context, s *selfStream, timeout time.Duration, skip []string, names ...string) (gocmd.Result, error) {
	// -vet=off: the toolchain is on trial, not its source.
	args := []string{"test", "-json", "-count=1", "-vet=off", "-timeout=" + timeout.String()}
	if !r.Full {
		args = append(args, "-short")
	}
	if len(skip) > 0 {
		quoted := make([]string, len(skip))
		for i, test := range skip {
			quoted[i] = regexp.QuoteMeta(test)
		}
		args = append(args, "-skip=^("+strings.Join(quoted, "|")+")$")
	}
	cmd := r.goCmd(append(args, names...)...)
	cmd.Stdout = s
	res, err := r.own.Run(ctx, cmd)
	if err != nil {
		return res, err
	}
	s.stray.add(string(res.Stderr))
	return res, nil
}

// timeout is how long the tests of a package may take. One that took so many seconds among others
// is not waited for as long when it is alone: where something is missing, tests hang.
func (r *selfRun) timeout(seconds float64) time.Duration {
	limit := 20 * time.Minute
	if r.Full {
		limit = time.Hour
	}
	if seconds > 0 {
		limit = min(limit, max(2*time.Minute, 3*time.Duration(seconds)*time.Second))
	}
	return limit
}

// alone runs the tests of the package p again, and nothing beside.
func (r *selfRun) alone(ctx context.Context, p SelfPackage, skip []string) (SelfPackage, error) {
	result := SelfPackage{Name: p.Name, Verdict: SelfFailed}
	s := &selfStream{cause: r.cause, ended: func(p SelfPackage) { result = p }}
	res, err := r.goTest(ctx, s, r.timeout(max(p.Seconds, 0.001)), skip, p.Name)
	if len(result.Failures) == 0 && result.Verdict == SelfFailed {
		result.Failures = []SelfFailure{s.failure("", selfSay(res))}
	}
	return result, err
}

func (r *selfRun) cause(output string) selfCause {
	return selfCauseOf(output, r.report.Machine, r.Root)
}

// judge finds out why a package failed, by running it again: alone, then without the tests whose
// failure is explained by what the machine lacks, and without those that need a network.
func (r *selfRun) judge(ctx context.Context, p SelfPackage) (SelfPackage, error) {
	again, err := r.alone(ctx, p, nil)
	if err != nil {
		return p, err
	}
	if again.Verdict != SelfFailed {
		p.Verdict = SelfFlaky
		return p, nil
	}
	again.Seconds = p.Seconds
	p = again
	tests, all := r.explained(ctx, &p)
	if p.Build || len(tests) == 0 || r.report.Version.Compare("go1.20") < 0 { // which has no -skip
		if all {
			p.Verdict = SelfMachine
		}
		return p, nil
	}
	return r.without(ctx, p, tests, all)
}

// selfRounds bounds how often a package is run without the tests that are explained. One that ends
// the whole process hides those behind it.
const selfRounds = 5

// without runs a package without tests, and those that fail then for want of something on the
// machine. all says that those are all that failed before.
func (r *selfRun) without(ctx context.Context, p SelfPackage, tests []string, all bool) (SelfPackage, error) {
	for range selfRounds {
		rest, err := r.alone(ctx, p, tests)
		if err != nil {
			return p, err
		}
		if rest.Verdict != SelfFailed {
			// If others failed before, twice, and pass now, they depend on something that changes.
			p.Verdict = SelfFlaky
			if all {
				p.Verdict = SelfMachine
			}
			return p, nil
		}
		more, explained := r.explained(ctx, &rest)
		p.Failures = selfMerge(p.Failures, rest.Failures)
		if !explained || len(more) == 0 {
			return p, nil
		}
		tests = append(tests, more...)
	}
	if all { // and all that came after
		p.Verdict = SelfMachine
	}
	return p, nil
}

// selfMerge adds the failures of tests that are not in list yet.
func selfMerge(list, more []SelfFailure) []SelfFailure {
	for _, f := range more {
		if !slices.ContainsFunc(list, func(g SelfFailure) bool { return g.Test == f.Test }) {
			list = append(list, f)
		}
	}
	return list
}

// explained returns the tests that fail for want of something that the machine lacks, and whether
// these are all that fail.
func (r *selfRun) explained(ctx context.Context, p *SelfPackage) (tests []string, all bool) {
	all = len(p.Failures) > 0
	for i := range p.Failures {
		f := &p.Failures[i]
		c := r.cause(f.Output)
		if c.code == "no-network" {
			if online, known := r.reachable(ctx); known && online {
				c, f.Cause, f.Machine = selfCause{}, "", false // the network is there, so it is not that
			}
		}
		switch {
		case !c.machine:
			all = false
		case f.Test != "":
			tests = append(tests, f.Test)
		}
	}
	return tests, all
}

// done takes a package down, for this run and for one that goes on from here.
func (r *selfRun) done(p SelfPackage) {
	r.state.write(p)
	r.count(p)
}

func (r *selfRun) count(p SelfPackage) {
	c := &r.report.Counts
	c.Left--
	switch p.Verdict {
	case SelfPassed:
		c.Passed++
	case SelfNoTests:
		c.NoTests++
		return
	case SelfFlaky:
		c.Flaky++
	case SelfMachine:
		c.Machine++
	case SelfFailed:
		c.Fault++
	case SelfUnsure:
		c.Unsure++
	}
	r.report.Packages = append(r.report.Packages, p)
}

// testFindings sums up.
func (r *selfRun) testFindings(said string) []SelfFinding {
	c := r.report.Counts
	var found []SelfFinding
	add := func(n int, code string, severity SelfState, detail string) {
		if n > 0 {
			found = append(found, SelfFinding{Code: code, Severity: severity, Value: strconv.Itoa(n), Detail: detail})
		}
	}
	add(c.Fault, "tests-fault", SelfFault, "")
	add(c.Unsure, "tests-unsure", SelfFault, "")
	add(c.Machine, "tests-machine", SelfWarning, "")
	add(c.Flaky, "tests-flaky", SelfNote, "")
	add(c.Left, "tests-left", SelfFault, said)
	return found
}
