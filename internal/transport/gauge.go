package transport

import (
	"math/bits"
	"time"
)

// A gauge finds out how many connections pay for a body. All it looks at is how
// many bytes arrive in a window of time, for all bodies of the client together: where what
// one body wins is lost for another, nothing is won.
type gauge struct {
	phase  phase
	begun  time.Time
	width  time.Duration // of the window
	since  time.Time     // when the window began
	at     int64         // what had arrived then
	waited time.Duration // of the window, what the reader waited for the network
	best   float64       // bytes per second: the most there was
	before int           // connections before the last step
	misses int           // windows since the last step that brought no more than before
}

type phase uint8

const (
	alone   phase = iota // the trunk alone, until its rate is known
	trying               // with more connections than before
	settled              // with those that pay
)

const (
	growth       = 1.2  // a step that does not bring so much more than before is not worth it
	proportional = 0.8  // of what the added connections could bring
	steady       = 1.25 // a connection that wins less than that has left its slow start
	waiting      = 0.5  // of the time that a reader waits for the network; else it is the slower one
	missesMost   = 3
	slowStart    = 3 * time.Second // is over after that
	widthMost    = time.Second
)

// measure looks at the clock after bytes have come; waited is how long the reader waited
// for them. s.mu is held.
func (s *stream) measure(waited time.Duration) {
	sp, g, now := s.split, &s.split.gauge, time.Now()
	if g.begun.IsZero() {
		s.begin(now)
	}
	g.waited += waited
	if g.phase == settled {
		if sp.want < sp.best && !sp.refused && s.off-sp.cutAt >= laneRest && now.After(sp.busy) {
			sp.want = sp.best
		}
		s.spawn()
		return
	}
	span := now.Sub(g.since)
	if span < g.width {
		return
	}
	arrived := s.t.split.arrived.Load()
	rate := float64(arrived-g.at) / span.Seconds()
	waits := float64(g.waited) >= waiting*float64(span)
	g.since, g.at, g.waited = now, arrived, 0
	switch {
	case g.phase == trying:
		s.judge(rate)
	case waits:
		s.consider(rate, now)
	}
}

// begin uses what is known about the host, or begins to find out.
func (s *stream) begin(now time.Time) {
	sp, g := s.split, &s.split.gauge
	g.begun, g.since, g.at = now, now, s.t.split.arrived.Load()
	g.width = s.t.split.window
	if s.trunk != nil {
		// Bytes come in bursts, one for each round trip; the first answer took some of those.
		g.width = min(max(g.width, s.trunk.a.latency()), max(widthMost, g.width))
	}
	f, ok := s.t.split.found(s.req.URL.Host, now)
	if !ok {
		return
	}
	g.phase, g.best = settled, f.rate
	if s.worth(f.rate / float64(f.lanes)) {
		sp.want, sp.best = f.lanes, f.lanes
		sp.want = min(sp.want, s.t.cfg.SplitParts)
	}
}

// flows begins the window afresh when the last of the connections of a step brings its first
// bytes: what came before is not what they bring together. s.mu is held.
func (s *stream) flows(now time.Time) {
	sp, g := s.split, &s.split.gauge
	if g.phase == trying && bits.OnesCount64(sp.flowing) == sp.wanted() {
		g.since, g.at, g.waited = now, s.t.split.arrived.Load(), 0
	}
}

// worth reports whether the rest takes so long at rate that more connections can help.
func (s *stream) worth(rate float64) bool {
	rest := s.id.total - s.off
	return rest > 4*max(s.t.split.chunk, trunkRead) && float64(rest) >= rate*s.t.split.worth.Seconds()
}

// consider takes the first step when the rate of the trunk is known.
func (s *stream) consider(rate float64, now time.Time) {
	g := &s.split.gauge
	known := g.best > 0 && rate <= steady*g.best || now.Sub(g.begun) > slowStart
	g.best = max(g.best, rate)
	if !known || !s.worth(g.best) || !s.t.split.trying.CompareAndSwap(false, true) {
		return
	}
	g.phase = trying
	// The first lane fetches the end of the file: if it brings nothing, the trunk goes on
	// up to there, and need not be opened again.
	size := min(max(int64(g.best), s.t.split.chunk), s.t.split.chunkMost)
	c := s.newChunk(s.id.total-size, s.id.total)
	if c == nil {
		g.phase = alone
		s.t.split.trying.Store(false)
		return
	}
	c.last = true
	s.split.chunks = append(s.split.chunks, c)
	s.step(2)
}

// step makes it want connections.
func (s *stream) step(want int) {
	sp := s.split
	sp.gauge.before, sp.gauge.misses, sp.want = sp.want, 0, want
	s.spawn()
}

// judge decides about the last step by the rate of a window.
func (s *stream) judge(rate float64) {
	sp, g := s.split, &s.split.gauge
	s.spawn()
	switch {
	case sp.running < sp.wanted():
		// The file ends, or the reader is slow, or the memory is used up; or the first lane
		// is done, and what it brought is known.
		sp.want = g.before
		s.settle(g.before > 1 || g.misses > 0)
	case bits.OnesCount64(sp.flowing) < sp.wanted(): // a lane is still connecting
	case rate >= growth*g.best:
		more := 2
		if rate >= proportional*g.best*float64(sp.want)/float64(g.before) {
			more = 4 // each connection brings what one alone did: it is far to the end of that
		}
		g.best = rate
		sp.best = sp.want
		if sp.want >= s.t.cfg.SplitParts {
			s.settle(true)
			return
		}
		s.step(min(more*sp.want, s.t.cfg.SplitParts))
	default:
		if g.misses++; g.misses >= missesMost {
			sp.want = g.before
			s.settle(true)
		}
	}
}

// settle ends the search; remember says that the next bodies shall use what was found.
func (s *stream) settle(remember bool) {
	g := &s.split.gauge
	if g.phase == trying {
		s.t.split.trying.Store(false)
	} else if g.phase == settled && !s.split.refused {
		return
	}
	if remember {
		s.t.split.remember(s.req.URL.Host, finding{lanes: s.split.best, rate: g.best}, time.Now())
	}
	g.phase = settled
}
