package goproxy

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// A Mirror is an upstream that serves the same public modules as the others of its set.
type Mirror struct {
	Name   string // for logs, State and Avoid; without credentials, different from the others of the set
	Source Source // must end its Open when its context ends
}

// A MirrorsConfig says what a set is made of.
type MirrorsConfig struct {
	Mirrors []Mirror // the first is the first choice as long as nothing is known
	// HedgePercent bounds the requests that are sent to a second mirror because the first is slow, as
	// a share of all; default 5. Negative turns hedging off.
	HedgePercent int
	// Saved is what an earlier run knew; names that are no mirrors of the set are passed over.
	Saved []MirrorState
	// Logger gets a line for each mirror that is left alone or comes back; nil discards.
	Logger *slog.Logger
	// Now tells the time for averages and for when a mirror may come back. Default time.Now.
	Now func() time.Time
	// Observe is told what happens in the set, without any lock held. Nil for nobody.
	Observe func(MirrorEvent)
}

// A MirrorEvent is something that happened in a set beyond plain requests and answers.
type MirrorEvent struct {
	Mirror string
	What   MirrorEventKind
	Err    error // why, for MirrorOut and MirrorRefused; else nil
}

// A MirrorEventKind is what happened to a mirror. The values are stable: metrics and JSON carry them.
type MirrorEventKind string

// The kinds of event.
const (
	MirrorHedged  MirrorEventKind = "hedged"    // it was asked because one that was asked before is slow
	MirrorWon     MirrorEventKind = "hedge-won" // it was asked so, and answered first
	MirrorOut     MirrorEventKind = "out"       // it is left alone for a while
	MirrorBack    MirrorEventKind = "back"      // it was probed and answers again
	MirrorRefused MirrorEventKind = "refused"   // it served bytes that the checksum database refuses, and is out for good
)

// A MirrorState is what is known of a mirror; a set takes it up in a later run.
type MirrorState struct {
	Name       string        `json:"name"`
	Latency    time.Duration `json:"latency_ns"`       // moving average of the time to the answer; 0 if it never answered
	Deviation  time.Duration `json:"deviation_ns"`     // mean deviation from Latency
	Throughput int64         `json:"bytes_per_second"` // moving average over bodies of 64 KiB or more; 0 while unknown
	Requests   int64         `json:"requests"`         // of this run
	Failures   int64         `json:"failures"`         // of this run
	InRow      int           `json:"failures_in_row"`  // since the last answer
	Refused    int64         `json:"refused"`          // files of this run whose bytes the checksum database refused
	OutUntil   time.Time     `json:"out_until,omitzero"`
	Why        string        `json:"why,omitempty"` // it is out
}

// Mirrors is a set of mirrors as one Source.
//
// The mirror that is best by what was measured gets the request: for small files the time to the answer
// counts, for zips also the time that one of usual size takes. Now and then a small file is asked of
// another one, so that what is known of it stays true. A mirror that is slower than it usually is gets
// company: the next one is asked too, the first good answer counts, and the other request is cancelled. Such extra
// requests are bounded by a budget, except for a mirror that has never answered, and one at a
// time for a mirror that is very late.
//
// A mirror that fails twice in a row, or once in such a way that it is not reached at all, or stays silent
// while others answer, is left alone for 10 s, and for up to 5 min where that happens again, or as long as
// its Retry-After says. Then one request probes it. If all are out, they are asked
// in the order in which their time ends.
//
// A mirror may lag behind or filter. Its "not found" or "forbidden" is believed when a second one
// says so too. It is also believed where no other can say: nobody else is in the set, or the others
// are out, fail or stay silent. Its word is then worth what it is worth without a set; were it taken for
// "could not find out", one dead mirror would turn every look-up by prefix, most of which
// end with "not found", into an error. A failed check is never hidden behind either of them.
//
// Lists are not merged: the best mirror answers. A body comes from one mirror; where it breaks for good, or
// is refused, and the request has an Avoid, the next Open is answered by another one. A mirror whose bytes the checksum
// database refuses is out for the life of the set, and for an hour in the next run. If
// two mirrors serve such bytes for one file and none has better ones, the file is to blame, not they.
type Mirrors struct {
	list    []*mirror
	log     *slog.Logger
	now     func() time.Time
	observe func(MirrorEvent)
	wg      sync.WaitGroup // requests to mirrors

	mu     sync.Mutex // also guards the state of all mirrors
	budget budget
	small  int                          // requests for small files so far
	lead   struct{ small, zip *mirror } // the first choices
	zip    average                      // sizes of zips in bytes
	said   []func()                     // to be called when mu is free
}

// NewMirrors returns the set that cfg describes.
func NewMirrors(cfg MirrorsConfig) *Mirrors {
	s := &Mirrors{log: cfg.Logger, now: cfg.Now, observe: cfg.Observe, budget: newBudget(cfg.HedgePercent)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.zip.add(usualZip)
	now := s.now()
	for i, m := range cfg.Mirrors {
		h := &mirror{Mirror: m, index: i, waiting: map[*attempt]struct{}{}}
		for _, saved := range cfg.Saved {
			if saved.Name == m.Name {
				h.restore(saved, now)
			}
		}
		s.list = append(s.list, h)
	}
	return s
}

// Open implements Source.
func (s *Mirrors) Open(ctx context.Context, req Request) (File, error) {
	if _, err := req.Name(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, &Error{Request: req, Err: context.Cause(ctx)}
	}
	if IsCachedOnly(ctx) {
		return s.openCached(ctx, req)
	}
	avoid := avoidFrom(ctx)
	r := s.enter(req, avoid)
	won := r.run(withoutAvoid(ctx))
	r.end()
	if won != nil {
		return s.hand(ctx, req, won, avoid), nil
	}
	if ctx.Err() != nil {
		return nil, &Error{Request: req, Err: context.Cause(ctx)}
	}
	return nil, r.verdict()
}

// openCached asks all for what they have themselves. That costs the network nothing, and says
// nothing about it.
func (s *Mirrors) openCached(ctx context.Context, req Request) (File, error) {
	best := error(&Error{Request: req, Err: errNoMirror})
	for _, m := range s.list {
		f, err := m.Source.Open(ctx, req)
		if err == nil || ctx.Err() != nil {
			return f, err
		}
		best = err
	}
	return nil, best
}

// Close waits until the requests that were cancelled have ended. Files and Opens must have ended before.
func (s *Mirrors) Close() error {
	s.wg.Wait()
	return nil
}

// State returns what is known of the mirrors, in the order of the configuration.
func (s *Mirrors) State() []MirrorState {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]MirrorState, 0, len(s.list))
	for _, m := range s.list {
		all = append(all, m.state())
	}
	return all
}

// change runs fn with the state of the set, and then tells who listens what came of it.
func (s *Mirrors) change(fn func(now time.Time)) {
	s.mu.Lock()
	fn(s.now())
	said := s.said
	s.said = nil
	s.mu.Unlock()
	for _, say := range said {
		say()
	}
}

// say is called with mu held.
func (s *Mirrors) say(m *mirror, what MirrorEventKind, err error, log func()) {
	s.said = append(s.said, func() {
		if log != nil {
			log()
		}
		if s.observe != nil {
			s.observe(MirrorEvent{Mirror: m.Name, What: what, Err: err})
		}
	})
}

const (
	// Once in newEvery small files a mirror that has never answered is asked first, and once
	// in otherEvery the one that was measured longest ago.
	newEvery   = 10
	otherEvery = 50

	// usualZip is how large zips are taken to be as long as none has come by.
	usualZip = 1 << 20

	// stay is the part of its cost that the first choice is judged by: two that are about as good
	// must not take turns, since connections that stand are worth something.
	stay = 0.8
)

// enter begins a request: it finds out whom to ask, in which order.
func (s *Mirrors) enter(req Request, avoid *Avoid) *race {
	r := &race{set: s, req: req, results: make(chan *attempt, len(s.list)), wake: make(chan struct{}, 1)}
	s.change(func(now time.Time) {
		s.budget.earn()
		var convicted []*mirror
		trusted := slices.ContainsFunc(s.list, func(m *mirror) bool { return !m.convicted })
		for _, m := range s.list {
			switch err := avoid.reason(m); {
			case err != nil:
				r.refuse(m, err)
			case m.convicted:
				convicted = append(convicted, m)
			case m.out():
				r.spare = append(r.spare, m)
			default:
				r.queue = append(r.queue, m)
			}
		}
		if !trusted {
			r.spare = convicted // better than nobody: what they serve is checked
		}
		slices.SortStableFunc(r.spare, func(a, b *mirror) int { return a.until.Compare(b.until) })
		s.rank(r.queue, req.Kind == Zip)
		if r.refusal == nil {
			s.try(r, now)
		}
	})
	return r
}

// rank sorts mirrors, the best first: those that have answered by what they cost, then the
// others as they are listed.
func (s *Mirrors) rank(ms []*mirror, zip bool) {
	lead := &s.lead.small
	if zip {
		lead = &s.lead.zip
	}
	fastest := 0.0
	for _, m := range s.list {
		fastest = max(fastest, m.rate.mean)
	}
	cost := make([]float64, len(s.list))
	for _, m := range ms {
		c := m.latency.mean
		if zip && fastest > 0 {
			rate := m.rate.mean
			if rate == 0 {
				rate = 2 * fastest // let it show what it can do, where that is what matters
			}
			c += s.zip.mean / rate
		}
		if m == *lead {
			c *= stay
		}
		cost[m.index] = c
	}
	slices.SortStableFunc(ms, func(a, b *mirror) int {
		if a.answered != b.answered {
			return cmp.Compare(btoi(b.answered), btoi(a.answered))
		}
		if !a.answered {
			return cmp.Compare(a.index, b.index)
		}
		return cmp.Compare(cost[a.index], cost[b.index])
	})
	if len(ms) > 0 && ms[0].answered {
		*lead = ms[0]
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// try gives the request to another one than the best, where something is to be learned from it: whether
// one that was out answers again, or how fast another is. The best one stands by for it and
// is paid for in advance, so that this is never done at the cost of whoever waits.
func (s *Mirrors) try(r *race, now time.Time) {
	if len(r.queue) == 0 || !r.queue[0].answered {
		return
	}
	best, other := r.queue[0], (*mirror)(nil)
	if len(r.spare) > 0 && r.spare[0].prober == nil && !now.Before(r.spare[0].until) {
		other = r.spare[0]
	} else if r.req.Kind != Zip {
		s.small++
		if s.budget.off() {
			return // nobody would stand by
		}
		other = s.unmeasured(r.queue[1:])
	}
	if other == nil || !s.budget.off() && !s.budget.spend() {
		return
	}
	r.paid = !s.budget.off()
	if r.tried = other; other.out() {
		other.prober = r
	}
	r.standBy = best.patience()
	drop := func(ms []*mirror) []*mirror {
		return slices.DeleteFunc(ms, func(m *mirror) bool { return m == other })
	}
	r.queue, r.spare = append([]*mirror{other}, drop(r.queue)...), drop(r.spare)
}

// unmeasured is the one of others, if any, that it is time to ask.
func (s *Mirrors) unmeasured(others []*mirror) *mirror {
	if s.small%newEvery == 0 {
		if i := slices.IndexFunc(others, func(m *mirror) bool { return !m.answered }); i >= 0 {
			return others[i]
		}
	}
	if s.small%otherEvery != 0 || len(others) == 0 {
		return nil
	}
	return slices.MinFunc(others, func(a, b *mirror) int { return a.measured.Compare(b.measured) })
}

// A budget of extra requests: a share of all, and a few at the beginning.
type budget struct {
	share, have float64
}

// budgetBurst is how many extra requests are saved up at most. A fresh process on a bad link
// needs a few: it asks for many files at once before it knows anything.
const budgetBurst = 10

func newBudget(percent int) budget {
	if percent == 0 {
		percent = 5
	}
	return budget{share: float64(max(percent, 0)) / 100, have: budgetBurst}
}

func (b *budget) off() bool { return b.share == 0 }
func (b *budget) earn()     { b.have = min(b.have+b.share, budgetBurst) }
func (b *budget) refund()   { b.have = min(b.have+1, budgetBurst) }

func (b *budget) spend() bool {
	if b.off() || b.have < 1 {
		return false
	}
	b.have--
	return true
}
