package toolchain

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
)

const (
	selfMaxLine   = 1 << 20 // bytes of an event; longer ones are nobody's
	selfMaxOutput = 8 << 10 // bytes that are kept of what a test writes, from its beginning and from its end
)

// A selfStream reads what go test -json writes, as it comes. Source: go doc test2json, and go help
// buildjson.
type selfStream struct {
	ended func(SelfPackage)             // a package is done
	began func(pkg string)              // the tests of a package have begun
	fails func(pkg, test string)        // a top-level test has failed
	cause func(output string) selfCause // of a failure; nil: none is looked for

	line    []byte
	skip    bool // the rest of a line that is too long
	running map[string]*selfPackage
	builds  map[string]*selfOutput // what the compiler says, by import path
	stray   selfOutput             // lines that are no events
}

// selfPackage is a package whose tests run.
type selfPackage struct {
	out    selfOutput
	tests  map[string]*selfOutput // by top-level test, of those that have not passed
	failed []string
}

// selfOutput keeps the beginning of an output, where a panic says what it is, and the end.
type selfOutput struct{ head, tail []byte }

func (o *selfOutput) add(s string) {
	n := min(selfMaxOutput-len(o.head), len(s))
	o.head = append(o.head, s[:n]...)
	o.tail = append(o.tail, s[n:]...)
	if over := len(o.tail) - 2*selfMaxOutput; over > 0 {
		o.tail = append(o.tail[:0], o.tail[len(o.tail)-selfMaxOutput:]...)
	}
}

// text is all that was kept.
func (o *selfOutput) text() string {
	if o == nil {
		return ""
	}
	return strings.TrimSpace(string(o.head) + selfTail(string(o.tail), selfMaxOutput))
}

// selfEnds is text without its middle where it is longer than an excerpt.
func selfEnds(text string) string {
	if len(text) <= selfExcerpt {
		return text
	}
	head := text[:selfExcerpt/2]
	if i := strings.LastIndexByte(head, '\n'); i > 0 {
		head = head[:i]
	}
	return strings.ToValidUTF8(head, "") + "\n…\n" + selfTail(text, selfExcerpt/2)
}

// selfEvent is a line of go test -json.
type selfEvent struct {
	Action      string
	Package     string
	Test        string
	Output      string
	Elapsed     float64
	ImportPath  string // of build events
	FailedBuild string
}

// Write reads lines. It never fails: what it does not understand may be of a later Go.
func (s *selfStream) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			s.keep(p)
			break
		}
		s.keep(p[:i])
		if !s.skip {
			s.event(s.line)
		}
		s.line, s.skip = s.line[:0], false
		p = p[i+1:]
	}
	return n, nil
}

func (s *selfStream) keep(p []byte) {
	if s.skip = s.skip || len(s.line)+len(p) > selfMaxLine; !s.skip {
		s.line = append(s.line, p...)
	}
}

func (s *selfStream) event(line []byte) {
	var ev selfEvent
	if len(line) == 0 {
		return
	}
	if line[0] != '{' || json.Unmarshal(line, &ev) != nil {
		s.stray.add(string(line) + "\n")
		return
	}
	switch {
	case ev.Action == "build-output":
		if s.builds == nil {
			s.builds = map[string]*selfOutput{}
		}
		if s.builds[ev.ImportPath] == nil {
			s.builds[ev.ImportPath] = new(selfOutput)
		}
		s.builds[ev.ImportPath].add(ev.Output)
	case ev.Package == "":
	case ev.Test == "":
		s.packageEvent(ev)
	default:
		s.testEvent(ev)
	}
}

func (s *selfStream) of(pkg string) *selfPackage {
	if s.running == nil {
		s.running = map[string]*selfPackage{}
	}
	if s.running[pkg] == nil {
		s.running[pkg] = &selfPackage{tests: map[string]*selfOutput{}}
		if s.began != nil {
			s.began(pkg)
		}
	}
	return s.running[pkg]
}

func (s *selfStream) packageEvent(ev selfEvent) {
	p := s.of(ev.Package)
	switch ev.Action {
	case "output":
		p.out.add(ev.Output)
	case "pass", "skip", "fail":
		delete(s.running, ev.Package)
		s.ended(s.result(p, ev))
	}
}

func (s *selfStream) testEvent(ev selfEvent) {
	p := s.of(ev.Package)
	top, _, sub := strings.Cut(ev.Test, "/")
	switch ev.Action {
	case "output":
		if p.tests[top] == nil {
			p.tests[top] = new(selfOutput)
		}
		if !strings.HasPrefix(ev.Output, "=== ") {
			p.tests[top].add(ev.Output)
		}
	case "pass", "skip":
		if !sub {
			delete(p.tests, top)
		}
	case "fail":
		if !sub && !slices.Contains(p.failed, top) {
			p.failed = append(p.failed, top)
			if s.fails != nil {
				s.fails(ev.Package, top)
			}
		}
	}
}

// result is what became of a package that has ended.
func (s *selfStream) result(p *selfPackage, ev selfEvent) SelfPackage {
	r := SelfPackage{Name: ev.Package, Verdict: SelfPassed, Seconds: selfRound(ev.Elapsed)}
	out := p.out.text()
	switch ev.Action {
	case "skip":
		r.Verdict = SelfNoTests
		return r
	case "pass":
		if strings.Contains(out, "[no test files]") {
			r.Verdict = SelfNoTests
		}
		return r
	}
	r.Verdict = SelfFailed
	r.Build = ev.FailedBuild != "" || strings.Contains(out, "[build failed]") || strings.Contains(out, "[setup failed]")
	for _, test := range p.failed {
		r.Failures = append(r.Failures, s.failure(test, p.tests[test].text()))
	}
	if len(p.failed) > 0 {
		return r
	}
	if r.Build {
		out = strings.TrimSpace(s.buildOutput(ev) + "\n" + out)
	}
	// What was running when the time was over has no end of its own.
	for _, test := range selfHung(p.tests) {
		r.Failures = append(r.Failures, s.failure(test, p.tests[test].text()))
	}
	if len(r.Failures) > 0 {
		return r
	}
	// A test that was still running when the process ended is what ended it.
	for _, test := range slices.Sorted(maps.Keys(p.tests)) {
		out = strings.TrimSpace(out + "\n" + test + ": " + p.tests[test].text())
	}
	r.Failures = []SelfFailure{s.failure("", out)}
	return r
}

// selfRunning matches the tests that were running when the time was over. Source: testing.
var selfRunning = regexp.MustCompile(`(?m)^\t\t([^\s/]+)[^\n]* \([^\n]*\)$`)

// selfHung returns those of tests that did not end in time.
func selfHung(tests map[string]*selfOutput) []string {
	var hung []string
	for _, o := range tests {
		_, list, ok := strings.Cut(o.text(), "running tests:\n")
		if !ok || !strings.Contains(o.text(), "panic: test timed out") {
			continue
		}
		list, _, _ = strings.Cut(list, "\n\n")
		for _, m := range selfRunning.FindAllStringSubmatch(list, -1) {
			if tests[m[1]] != nil && !slices.Contains(hung, m[1]) {
				hung = append(hung, m[1])
			}
		}
	}
	slices.Sort(hung)
	return hung
}

func (s *selfStream) failure(test, output string) SelfFailure {
	f := SelfFailure{Test: test, Output: selfEnds(output)}
	if s.cause != nil {
		c := s.cause(output)
		f.Cause, f.Machine = c.code, c.machine
	}
	return f
}

// buildOutput is what the compiler said about a package. A Go before 1.24 says so between the events.
func (s *selfStream) buildOutput(ev selfEvent) string {
	if o := s.builds[ev.FailedBuild]; o != nil {
		return o.text()
	}
	var text []string
	of := false
	for line := range strings.Lines(s.stray.text()) {
		if head, ok := strings.CutPrefix(line, "# "); ok {
			name, _, _ := strings.Cut(strings.TrimSpace(head), " ")
			of = name == ev.Package
		}
		if of {
			text = append(text, line)
		}
	}
	return strings.TrimSpace(strings.Join(text, ""))
}
