package prefetch

import (
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

const (
	minWindow   = 2
	judgeAfter  = 20               // outcomes of a kind of guess
	rest        = 10 * time.Minute // of a kind of guess that did not pay
	passedAfter = 16               // zips asked for instead, and as many as the window, mean that it will not be

	maxAheadBytes = 64 << 20 // of zips not asked for yet
	firstZip      = 1 << 20  // what zips of real projects have on average
)

// A guess is one way to tell what comes next, with the experience made with it in one session.
type guess struct {
	name         string
	hits, misses int
	window       int // zips ahead
	maxWindow    int
	doubt        [2]int // misses, and outcomes, that are assumed before there is experience

	ahead  int   // zips not asked for nor passed over
	bytes  int64 // that they cost
	until  time.Time
	silent bool // that it stopped has been said
}

// guesses are the ways to tell.
type guesses struct {
	small   guess // .mod and .info
	listed  guess // zips, in the order in which their .info was asked for
	imports guess // zips of what the modules require whose zip was asked for
	selects guess // zips of the modules that were selected, in the order of their paths
}

func newGuesses() guesses {
	return guesses{
		small:   guess{name: "graph", doubt: [2]int{1, 2}},
		listed:  guess{name: "listed", window: 8, maxWindow: 24, doubt: [2]int{1, 4}},
		imports: guess{name: "imports", window: 4, maxWindow: 16, doubt: [2]int{1, 1}},
		selects: guess{name: "selected", window: 4, maxWindow: 16, doubt: [2]int{1, 1}},
	}
}

// rate is how likely such a guess is wrong, in thousandths.
func (g *guess) rate() int64 {
	return int64(1000 * (g.misses + g.doubt[0]) / (g.hits + g.misses + g.doubt[1]))
}

func (g *guess) stopped(now time.Time) bool { return now.Before(g.until) }

// judge stops a guess that does not pay, and lets it try again much later.
func (s *session) judge(g *guess) {
	if g.hits+g.misses < judgeAfter || g.misses <= g.hits {
		return
	}
	if !g.silent {
		s.o.log.Debug("asking ahead does not pay for this client", "client", s.client, "guess", g.name, "hits", g.hits, "misses", g.misses)
	}
	g.silent, g.until = true, s.o.now().Add(rest)
	g.hits, g.misses, g.window = 0, 0, min(g.window, minWindow)
}

// expected is how many bytes will have been fetched for nothing, as far as can be told.
func (s *session) expected() int64 {
	sum := s.wasted
	for _, g := range []*guess{&s.small, &s.listed, &s.imports, &s.selects} {
		sum += g.bytes * g.rate() / 1000
	}
	return sum + s.passed
}

func (s *session) budget() int64 {
	return allowance + s.served*int64(s.o.cfg.WastePercent)/100
}

// room reports whether one more zip may be fetched on the word of g.
func (s *session) room(g *guess) bool {
	size := s.zip.typical()
	return g.ahead < g.window && !g.stopped(s.o.now()) &&
		s.listed.bytes+s.imports.bytes+s.selects.bytes+size <= maxAheadBytes &&
		s.expected()+size*g.rate()/1000 <= s.budget()
}

// cost changes what a file costs, or is expected to cost.
func (s *session) cost(f *file, bytes int64) {
	switch {
	case f.guess == nil || f.asked:
	case f.passed:
		s.passed += bytes - f.cost
	default:
		f.guess.bytes += bytes - f.cost
	}
	f.cost = bytes
}

// hit tells the guess that it was right, if there was one.
func (s *session) hit(req goproxy.Request, f *file) {
	if f.guess == nil || f.state == missing {
		return
	}
	g := f.guess
	switch {
	case f.aged:
	case f.passed:
		g.misses = max(0, g.misses-1) // the judge may have forgotten it
		s.passed -= f.cost
	default:
		s.leave(f)
	}
	g.hits++
	if req.Kind == goproxy.Zip {
		g.window = min(g.maxWindow, g.window+2)
	}
	if f.state == have && f.cost > 0 && !f.aged {
		s.o.stats.used.Add(f.cost)
		s.o.stats.usedFiles.Add(1)
	}
}

// passOver tells the guess that it was wrong, by all that can be told now.
func (s *session) passOver(f *file) {
	if f.passed {
		return
	}
	s.leave(f)
	f.passed = true
	s.passed += f.cost
	f.guess.misses++
	f.guess.window = max(minWindow, f.guess.window/2)
	s.judge(f.guess)
}

// leave takes a file out of what is ahead.
func (s *session) leave(f *file) {
	g := f.guess
	g.bytes -= f.cost
	if g == &s.small {
		s.ahead--
	} else {
		g.ahead--
	}
}

// settle forgets a guess that did not lead to a fetch.
func (s *session) settle(f *file) {
	switch {
	case f.asked:
	case f.passed:
		s.passed -= f.cost
	default:
		s.leave(f)
	}
	f.cost = 0
}
