package doctor

import (
	"context"
	"sync"
)

// A memo keeps what several checks of one examination need, so that it is measured once.
type memo struct {
	mu   sync.Mutex
	kept map[string]*memoEntry
}

type memoEntry struct {
	done  chan struct{} // closed when value is set
	value any
}

// Sharing is x for one examination: whatever several of its checks need is measured once. Without it every check
// measures for itself.
func (x *Exam) Sharing() *Exam {
	y := *x
	y.memo = &memo{kept: map[string]*memoEntry{}}
	return &y
}

// shared returns what measure returned to the first who asked for key. Who waits longer than ctx gets the zero value,
// which has to mean that nothing was measured.
func shared[T any](ctx context.Context, x *Exam, key string, measure func() T) T {
	m := x.memo
	if m == nil {
		return measure()
	}
	m.mu.Lock()
	e := m.kept[key]
	mine := e == nil
	if mine {
		e = &memoEntry{done: make(chan struct{})}
		m.kept[key] = e
	}
	m.mu.Unlock()
	if mine {
		defer close(e.done) // also if measure panics
		v := measure()
		e.value = v
		return v
	}
	var v T
	select {
	case <-e.done:
		v, _ = e.value.(T)
	case <-ctx.Done():
	}
	return v
}
