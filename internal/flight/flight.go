// Package flight runs a piece of work once for all who ask for it at the same time.
//
// It does not know what the work is, sets no deadline, and keeps no result
// longer than it is told to.
package flight

import (
	"context"
	"sync"
	"time"
)

// A Group runs at most one call per key at a time, however many ask. The call is
// detached: it goes on when the one who started it leaves, and is cancelled when
// nobody waits any more. It is unlike x/sync/singleflight in that waiters can leave, and that the first
// of them leaving kills nothing. The zero value is ready; it must be closed.
type Group[T any] struct {
	// Closed is what callers get after Close, and the cause with which Close
	// ends what is under way. nil is context.Canceled.
	Closed error

	mu     sync.Mutex
	m      map[string]*call[T]
	closed bool
	wg     sync.WaitGroup
}

type call[T any] struct {
	waiters int
	cancel  context.CancelCauseFunc
	done    chan struct{} // closed when value and err are set
	until   time.Time     // the result may be used until then; set with it
	value   T
	err     error
}

// maxLinger bounds the results that linger in a Group.
const maxLinger = 256

// Do returns fn's result, or the cause of ctx at once when ctx ends. A call that is under way for key is
// joined. linger says for how long the result may be shared with later askers; nil is not at all.
func (g *Group[T]) Do(ctx context.Context, key string, linger func(error) time.Duration, fn func(context.Context) (T, error)) (T, error) {
	var zero T
	if ctx.Err() != nil {
		return zero, context.Cause(ctx)
	}
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return zero, g.closedErr()
	}
	c := g.m[key]
	if c == nil || c.over() && time.Now().After(c.until) {
		c = g.start(ctx, key, linger, fn)
	}
	c.waiters++
	g.mu.Unlock()

	select {
	case <-c.done:
		return c.value, c.err
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.waiters--; c.waiters == 0 && !c.over() {
		c.cancel(context.Cause(ctx))
		g.forget(key, c) // whoever comes now needs a living one
	}
	return zero, context.Cause(ctx)
}

func (g *Group[T]) closedErr() error {
	if g.Closed == nil {
		return context.Canceled
	}
	return g.Closed
}

func (c *call[T]) over() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// start is called with g.mu held.
func (g *Group[T]) start(ctx context.Context, key string, linger func(error) time.Duration, fn func(context.Context) (T, error)) *call[T] {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	c := &call[T]{cancel: cancel, done: make(chan struct{})}
	if g.m == nil {
		g.m = make(map[string]*call[T])
	}
	g.m[key] = c
	g.wg.Go(func() {
		defer cancel(nil)
		value, err := fn(ctx)
		g.mu.Lock()
		defer g.mu.Unlock()
		c.value, c.err = value, err
		var keep time.Duration
		if linger != nil {
			keep = linger(err)
		}
		c.until = time.Now().Add(keep)
		close(c.done)
		if keep <= 0 {
			g.forget(key, c)
		}
		g.trim()
	})
	return c
}

// forget is called with g.mu held.
func (g *Group[T]) forget(key string, c *call[T]) {
	if g.m[key] == c {
		delete(g.m, key)
	}
}

// trim drops results that are over their time, or any when there are too many.
func (g *Group[T]) trim() {
	if len(g.m) <= maxLinger {
		return
	}
	now := time.Now()
	for key, c := range g.m {
		if c.over() && (now.After(c.until) || len(g.m) > maxLinger) {
			delete(g.m, key)
		}
	}
}

// Waiters is the number of those who wait for the call of key.
func (g *Group[T]) Waiters(key string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.m[key]; c != nil {
		return c.waiters
	}
	return 0
}

// Close cancels every call and waits for them to end.
func (g *Group[T]) Close() {
	g.mu.Lock()
	g.closed = true
	for _, c := range g.m {
		c.cancel(g.closedErr())
	}
	g.mu.Unlock()
	g.wg.Wait()
}
