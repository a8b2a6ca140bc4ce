package vcs

import (
	"context"
	"sync"
)

// A keyedLock is a mutex per key that can be waited for with a context. The zero value is ready.
type keyedLock struct {
	mu sync.Mutex
	m  map[string]*keyed
}

type keyed struct {
	users int
	held  chan struct{} // holds one value while locked
}

// lock locks key and returns what unlocks it, or the cause of ctx.
func (l *keyedLock) lock(ctx context.Context, key string) (unlock func(), err error) {
	l.mu.Lock()
	k := l.m[key]
	if k == nil {
		if l.m == nil {
			l.m = make(map[string]*keyed)
		}
		k = &keyed{held: make(chan struct{}, 1)}
		l.m[key] = k
	}
	k.users++
	l.mu.Unlock()

	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if k.users--; k.users == 0 {
			delete(l.m, key)
		}
	}
	select {
	case k.held <- struct{}{}:
		return func() { <-k.held; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}

// kinds remembers which version control system modules live in. The zero value is ready.
type kinds struct {
	mu sync.Mutex
	m  map[string]string
}

const maxKinds = 10_000

func (k *kinds) get(path string) (kind string, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	kind, ok = k.m[path]
	return kind, ok
}

func (k *kinds) set(path, kind string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.m == nil || len(k.m) >= maxKinds {
		k.m = make(map[string]string)
	}
	k.m[path] = kind
}
