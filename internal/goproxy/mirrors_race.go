package goproxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// mostAsked is how many mirrors that are not out are asked at the same time for one file.
	mostAsked = 3
	// confirmWait is the least time that the second gets to confirm what the first denies.
	confirmWait = 2 * time.Second
	// spareTime is how long a request goes on from one mirror that is out to the next. The first
	// of them is asked however long the others took to fail.
	spareTime = 15 * time.Second
)

var errNoMirror = fmt.Errorf("%w: there is no mirror to ask", ErrUnavailable)

// A race is one request on its way through a set. One goroutine runs it; what it shares with
// those that ask the mirrors is results and what mu guards, and with other races what the mu of the set guards.
type race struct {
	set *Mirrors
	req Request

	queue   []*mirror     // in service, still to be asked, the best first
	spare   []*mirror     // out
	spared  time.Time     // when the first of spare was asked
	tried   *mirror       // first in queue, to learn from it
	standBy time.Duration // how long the best one waits for tried
	paid    bool          // the extra request that this may take

	running []*attempt    // in the order of asking
	owed    bool          // one who was asked will not do: asking another is no extra
	wake    chan struct{} // has one where a mirror went out that was asked
	results chan *attempt // has room for all

	refusal error     // of bytes that were served before; see Avoid
	forged  []*mirror // whose bytes the checksum database refused
	failure error     // the most telling so far
	absent  []error
	blocked []error

	mu   sync.Mutex
	over bool
}

// An attempt asks one mirror.
type attempt struct {
	m        *mirror
	start    time.Time
	patience time.Duration // then it is late
	own      time.Duration // the patience that the mirror deserves by itself
	probe    bool          // the mirror is out
	hedge    bool          // asked since another was late
	overdue  bool          // takes the place of its mirror for those that are far too late
	lost     bool          // the mirror went out meanwhile
	wake     chan struct{} // of the race
	cancel   context.CancelFunc

	file File
	err  error
	left func() bool // the asker has left
}

// run asks until there is a good answer, which it returns, or there is nothing to wait for.
func (r *race) run(ctx context.Context) *attempt {
	r.advance(ctx)
	timer := time.NewTimer(r.wait())
	defer timer.Stop()
	for len(r.running) > 0 && !r.denied() {
		timer.Reset(r.wait())
		select {
		case a := <-r.results:
			if r.settle(a) {
				return a
			}
		case <-timer.C:
		case <-r.wake:
		case <-ctx.Done():
			return nil
		}
		r.advance(ctx)
		if r.waitedEnough() {
			return nil
		}
	}
	return nil
}

// advance asks the next mirror if all that were asked are late or will not do.
func (r *race) advance(ctx context.Context) {
	r.set.change(func(now time.Time) {
		if ctx.Err() != nil || r.denied() || !r.allLate(now) {
			return
		}
		from := r.next(now)
		if from == nil || len(r.running) > 0 && !r.may(now) {
			return
		}
		m := (*from)[0]
		*from = (*from)[1:]
		hedge := len(r.running) > 0 && !r.owed
		a := r.launch(ctx, m, now)
		if a.hedge = hedge; hedge {
			r.set.say(m, MirrorHedged, nil, nil)
		}
		r.owed = false
	})
}

func (r *race) allLate(now time.Time) bool {
	asked := 0
	for _, a := range r.running {
		r.owed = r.owed || a.lost
		if !a.late(now) {
			return false
		}
		if !a.lost {
			asked++
		}
	}
	return asked < mostAsked
}

func (a *attempt) late(now time.Time) bool { return a.lost || now.Sub(a.start) >= a.patience }

// next is the list whose first mirror is to be asked next, or nil. Those that are out are the last
// resort, and need not confirm what another one denies.
func (r *race) next(now time.Time) *[]*mirror {
	for len(r.queue) > 0 {
		m := r.queue[0]
		if m == r.tried || !m.out() {
			return &r.queue
		}
		r.queue = r.queue[1:] // it went out while we asked others
		if !m.convicted {
			r.spare = append(r.spare, m)
		}
	}
	waits := slices.ContainsFunc(r.running, func(a *attempt) bool { return !a.lost && now.Sub(a.start) < a.overdueAfter() })
	if len(r.spare) == 0 || waits || r.denial() != nil {
		return nil
	}
	if r.spared.IsZero() {
		r.spared = now
	}
	if now.Sub(r.spared) > spareTime {
		return nil
	}
	return &r.spare
}

// may reports whether another mirror may be asked although one that is late still may answer.
func (r *race) may(now time.Time) bool {
	last, b := r.running[len(r.running)-1], &r.set.budget
	switch {
	case r.owed:
		return true
	case b.off():
		return false
	case r.paid:
		r.paid = false
		return true
	case !last.m.answered, b.spend():
		return true
	case now.Sub(last.start) >= last.overdueAfter() && last.m.overdue == 0:
		last.m.overdue++
		last.overdue = true
		return true
	}
	return false
}

func (r *race) launch(ctx context.Context, m *mirror, now time.Time) *attempt {
	ctx, cancel := context.WithCancel(ctx)
	a := &attempt{m: m, start: now, own: m.patience(), cancel: cancel, probe: m.out(), left: func() bool { return ctx.Err() != nil }}
	a.patience = a.own
	switch {
	case m == r.tried:
		a.patience = min(a.own, r.standBy)
	case !m.answered && len(r.running) > 0:
		a.patience = nextPatience
	}
	m.requests++
	if !a.probe {
		m.waiting[a] = struct{}{}
	}
	a.wake = r.wake
	r.running = append(r.running, a)
	r.set.wg.Go(func() {
		a.file, a.err = m.Source.Open(ctx, r.req)
		r.deliver(a)
	})
	return a
}

// deliver hands the answer of a to the race, if that still goes on.
func (r *race) deliver(a *attempt) {
	r.mu.Lock()
	over := r.over
	if !over {
		r.results <- a
	}
	r.mu.Unlock()
	if over {
		a.discard()
	}
}

func (a *attempt) discard() {
	if a.err == nil {
		_ = a.file.Close() // nobody read it
	}
	a.cancel()
}

// wait is how long nothing needs to be done unless something happens.
func (r *race) wait() time.Duration {
	var d time.Duration
	r.set.change(func(now time.Time) {
		at := now.Add(time.Hour)
		sooner := func(t time.Time) {
			if t.Before(at) {
				at = t
			}
		}
		allLate := true
		for _, a := range r.running {
			if !a.late(now) {
				sooner(a.start.Add(a.patience))
				allLate = false
			}
		}
		if n := len(r.running); allLate && n > 0 && len(r.queue)+len(r.spare) > 0 {
			if t := r.running[n-1].start.Add(r.running[n-1].overdueAfter()); t.After(now) {
				sooner(t)
			} else {
				sooner(now.Add(time.Second)) // somebody else's turn; look again
			}
		}
		if r.denial() != nil {
			sooner(r.confirmBy())
		}
		d = at.Sub(now)
	})
	return d
}

// settle takes the answer of a and reports whether it is a good one. An error of ours, or of an
// asker who left, says nothing about the mirror.
func (r *race) settle(a *attempt) bool {
	r.set.change(func(now time.Time) {
		r.running = slices.DeleteFunc(r.running, func(b *attempt) bool { return a == b })
		a.release()
		if a.err != nil && a.left() {
			return
		}
		r.set.account(a, now)
		switch {
		case a.err == nil:
			for _, b := range r.running {
				r.set.silent(b, now)
			}
			if a.hedge {
				r.set.say(a.m, MirrorWon, nil, nil)
			}
			return
		case Absent(a.err):
			r.absent = append(r.absent, a.err)
		case denies(a.err):
			r.blocked = append(r.blocked, a.err)
		default:
			r.failure = moreTelling(r.failure, a.err)
		}
		r.owed = true
	})
	if a.err == nil {
		return true
	}
	a.cancel()
	return false
}

// denial is the "not found" or "forbidden" that the set answers if nobody has the file: that which two mirrors
// agree upon, else "forbidden", since who may not say what is there cannot confirm that it is not.
func (r *race) denial() error {
	switch {
	case len(r.absent) >= 2 && len(r.blocked) < 2:
		return r.absent[0]
	case len(r.blocked) > 0:
		return r.blocked[0]
	case len(r.absent) > 0:
		return r.absent[0]
	}
	return nil
}

// denies reports whether err is an answer, if not the one that was hoped for: absent or forbidden.
func denies(err error) bool {
	status, _ := Status(err)
	return status == http.StatusForbidden || Absent(err)
}

// denied reports whether two mirrors agree.
func (r *race) denied() bool { return len(r.absent) >= 2 || len(r.blocked) >= 2 }

// confirmBy is how long those that are asked have to confirm a denial.
func (r *race) confirmBy() (t time.Time) {
	for _, a := range r.running {
		if by := a.start.Add(max(confirmWait, 2*a.own)); by.After(t) {
			t = by
		}
	}
	return t
}

// waitedEnough reports whether one mirror denies the file and the others had their time.
func (r *race) waitedEnough() bool {
	over := false
	r.set.change(func(now time.Time) {
		if over = r.denial() != nil && !r.denied() && !now.Before(r.confirmBy()); over {
			for _, a := range r.running {
				r.set.silent(a, now)
			}
		}
	})
	return over
}

// refuse notes that what m served for this request was refused.
func (r *race) refuse(m *mirror, err error) {
	r.refusal = moreTelling(r.refusal, err)
	if errors.Is(err, ErrMismatch) {
		r.forged = append(r.forged, m)
	}
}

// verdict is the error of the race. Who served the file before has it, whatever others say.
func (r *race) verdict() error {
	if len(r.forged) > 1 {
		r.set.acquit(r.forged, r.req)
	}
	err := r.refusal
	if r.failure != nil {
		err = moreTelling(err, r.failure)
	}
	if d := r.denial(); d != nil && r.refusal == nil && !errors.Is(err, ErrMismatch) {
		return d
	}
	if err == nil {
		return &Error{Request: r.req, Err: errNoMirror}
	}
	return err
}

// end cancels what is still running. Nobody waits for it but Close.
func (r *race) end() {
	r.set.change(func(time.Time) {
		for _, a := range r.running {
			a.release()
		}
		if r.tried != nil && r.tried.prober == r {
			r.tried.prober = nil
		}
		if r.paid {
			r.set.budget.refund()
		}
	})
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
	for _, a := range r.running {
		a.cancel()
	}
	for {
		select {
		case a := <-r.results:
			a.discard()
		default:
			return
		}
	}
}
