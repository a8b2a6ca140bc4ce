package sumdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

// coolFor is how long a remote that failed, or was overtaken, is asked last.
const coolFor = 30 * time.Second

// A chain asks remotes in turn until one gives a plausible answer. Unlike the
// go command it goes on after any failure, and it does not wait for the whole
// of a slow answer before it asks the next: what comes back is proved anyway, so
// it does not matter who sent it.
type chain struct {
	remotes []Remote
	hedge   time.Duration                        // start the next remote when the last one is silent for this long
	check   func(path string, data []byte) error // nil for a plausible answer

	mu    sync.Mutex
	cool  map[int]time.Time // by index in remotes: asked last until then
	heard map[int]bool      // by index in remotes: has answered before
}

// strangerHedge is the hedge for a remote that has never answered: it may well be dead, and
// everything waits for the first answer.
const strangerHedge = 800 * time.Millisecond

type answer struct {
	who  int
	data []byte
	err  error
}

// fetch returns the first plausible answer, or the most telling failure.
func (c *chain) fetch(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	order := c.order()
	answers := make(chan answer, len(order))
	var running []int
	start := func() {
		if len(order) == 0 {
			return
		}
		who := order[0]
		order, running = order[1:], append(running, who)
		wg.Go(func() { answers <- c.ask(ctx, who, path) })
	}
	start()
	timer := time.NewTimer(c.patience(running))
	defer timer.Stop()
	var failures []answer
	for len(running) > 0 {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-timer.C:
			start()
			timer.Reset(c.patience(running))
		case a := <-answers:
			i := slices.Index(running, a.who)
			slower := running[:i] // started earlier and still silent
			running = slices.Delete(slices.Clone(running), i, i+1)
			if a.err == nil || c.final(a) {
				c.rank(a.who, slower)
				return a.data, a.err
			}
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			failures = append(failures, a)
			c.failed(a)
			start()
			timer.Reset(c.patience(running))
		}
	}
	return nil, c.verdict(failures)
}

func (c *chain) ask(ctx context.Context, who int, path string) answer {
	data, err := c.remotes[who].Fetch(ctx, path)
	if err == nil {
		if err = c.check(path, data); err != nil {
			// A captive portal, a proxy that answers 200 to everything.
			err = &goproxy.Error{Source: c.name(who), Err: fmt.Errorf("%w: not an answer of the checksum database: %w", goproxy.ErrUnavailable, err)}
			data = nil
		}
	}
	return answer{who, data, err}
}

// final reports whether a ends the search: the database itself says that there is no such thing.
func (c *chain) final(a answer) bool {
	return goproxy.Absent(a.err) && c.authority(a.who)
}

func (c *chain) authority(who int) bool {
	switch c.remotes[who].(type) {
	case HTTPRemote, *HTTPRemote:
		return true
	}
	return false
}

func (c *chain) name(who int) string {
	if s, ok := c.remotes[who].(fmt.Stringer); ok {
		return s.String()
	}
	return "checksum database"
}

// order lists the remotes, those that lately failed last.
func (c *chain) order() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	var good, bad []int
	for i := range c.remotes {
		if now.Before(c.cool[i]) {
			bad = append(bad, i)
		} else {
			good = append(good, i)
		}
	}
	return append(good, bad...)
}

// patience is how long those that run may be silent before another one is asked too.
func (c *chain) patience(running []int) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(running); n > 0 && !c.heard[running[n-1]] {
		return min(strangerHedge, c.hedge)
	}
	return c.hedge
}

func (c *chain) rank(winner int, slower []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.heard == nil {
		c.heard = make(map[int]bool)
	}
	c.heard[winner] = true
	delete(c.cool, winner)
	for _, i := range slower {
		c.chill(i)
	}
}

func (c *chain) failed(a answer) {
	if goproxy.Absent(a.err) || errors.Is(a.err, errNotCarried) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.chill(a.who)
}

func (c *chain) chill(who int) {
	if c.cool == nil {
		c.cool = make(map[int]time.Time)
	}
	c.cool[who] = time.Now().Add(coolFor)
}

// verdict picks what to report when nobody had an answer. A relay's "not found"
// counts as one only if no other remote is in doubt: a relay is not the database.
func (c *chain) verdict(failures []answer) error {
	if len(failures) == 0 {
		return &goproxy.Error{Source: "checksum database", Err: fmt.Errorf("%w: offline", goproxy.ErrUnavailable)}
	}
	var absent, silent, doubt error
	for _, a := range failures {
		switch {
		case goproxy.Absent(a.err):
			absent = first(absent, a.err)
		case errors.Is(a.err, errNotCarried):
			silent = first(silent, a.err)
		case errors.Is(a.err, goproxy.ErrBlocked):
			// A gateway's policy, not ours: we could not find out.
			doubt = first(doubt, &goproxy.Error{Err: fmt.Errorf("%w: %v", goproxy.ErrUnavailable, a.err)})
		default:
			doubt = first(doubt, a.err)
		}
	}
	switch {
	case absent != nil && doubt != nil:
		return &goproxy.Error{
			Err:      fmt.Errorf("a relay says %v, but the database itself did not: %w", absent, doubt),
			Hint:     hintPrivate,
			HintCode: codePrivate,
		}
	case doubt != nil:
		return doubt
	case absent != nil:
		return absent
	}
	return silent
}

func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
