package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"sync"
	"time"
)

// Waiting for a file lock is done by asking again: a blocking call could not be
// cancelled. Lock lets only one goroutine of a process ask for a name.
const (
	lockPollMin = time.Millisecond
	lockPollMax = 100 * time.Millisecond
)

// Lock takes the lock called name, for which there is one holder among all
// processes that share the store. It waits until it has it or ctx ends; then the
// error wraps the cause. The holder's death frees the lock. name is any valid
// blob name and need not be one of a blob.
func (s *Store) Lock(ctx context.Context, name string) (unlock func(), err error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	leave, err := s.gates.enter(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	if err := s.root.MkdirAll(lockDir, dirPerm); err != nil {
		leave()
		return nil, fmt.Errorf("lock %s: %w", name, fullOr(err))
	}
	// "a" and "a/b" are two locks, but could not be two files. Lock files stay:
	// to remove one safely takes more care than an empty file is worth.
	sum := sha256.Sum256([]byte(name))
	f, err := s.acquire(lockDir+"/"+hex.EncodeToString(sum[:16]), ctx.Done())
	if err == nil && f == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		leave()
		return nil, fmt.Errorf("lock %s: %w", name, fullOr(err))
	}
	return sync.OnceFunc(func() {
		f.Close()
		leave()
	}), nil
}

// acquire opens and locks one of our own files, waiting until done is closed; a
// closed done means one try. It returns nil and no error if it did not get the
// lock. Closing the file unlocks it.
func (s *Store) acquire(file string, done <-chan struct{}) (*os.File, error) {
	f, err := s.root.OpenFile(file, os.O_RDWR|os.O_CREATE, filePerm)
	if err != nil {
		return nil, err
	}
	for wait := lockPollMin; ; wait = min(wait*2, lockPollMax) {
		ok, err := tryLock(f)
		if ok {
			return f, nil
		}
		if err != nil {
			f.Close()
			return nil, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-done:
			timer.Stop()
			f.Close()
			return nil, nil
		case <-timer.C:
		}
	}
}

// noWait is a done channel for one try.
func noWait() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// gates admit one goroutine of this process per name.
type gates struct {
	mu sync.Mutex
	m  map[string]*gate
}

type gate struct {
	hold chan struct{} // holds one token while somebody is inside
	n    int           // how many are inside or waiting; guarded by gates.mu
}

func (g *gates) enter(ctx context.Context, name string) (leave func(), err error) {
	g.mu.Lock()
	one := g.m[name]
	if one == nil {
		one = &gate{hold: make(chan struct{}, 1)}
		g.m[name] = one
	}
	one.n++
	g.mu.Unlock()
	forget := func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if one.n--; one.n == 0 {
			delete(g.m, name)
		}
	}
	select {
	case one.hold <- struct{}{}:
		return func() { <-one.hold; forget() }, nil
	case <-ctx.Done():
		forget()
		return nil, context.Cause(ctx)
	}
}
