package goproxy

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"
)

// An owner knows which modules a module proxy has, by asking it. The go command looks for the module
// of a package by asking for every prefix of its path, and takes what a proxy says about the longer
// ones as final when the same proxy has a shorter one: it never asks the next entry of its list (TryProxies
// in cmd/go/internal/modfetch). A chain sees those look-ups one by one, so it has to ask
// for the shorter ones itself. See docs/adr/0007.
type owner struct {
	src Source

	mu   sync.Mutex
	seen map[string]*look
}

// A look is one answer to "does this proxy have that module", or the wait for it.
type look struct {
	done  chan struct{} // closed when the rest is set
	has   bool
	until time.Time // the zero time: nobody found out
}

const (
	lookHas     = 10 * time.Minute
	lookHasNot  = time.Minute // as fresh.absent
	lookEntries = 4096
)

// decides reports whether the absence that the proxy stated for req is the last word on it:
// req is a look-up by prefix, and the proxy has a module at a shorter prefix.
func (o *owner) decides(ctx context.Context, req Request) bool {
	for p := parent(req.Path); p != ""; p = parent(p) {
		if o.has(ctx, p) {
			return true
		}
	}
	return false
}

// probed reports whether the go command asks for req to find the module of a package. It never
// asks for a .mod or a .zip to find out.
func probed(req Request) bool {
	return req.Kind == List || req.Kind == Latest || req.Kind == Info
}

// parent is the longest proper prefix of path that can be a module, or empty.
func parent(path string) string {
	for {
		i := strings.LastIndexByte(path, '/')
		if i < 0 {
			return ""
		}
		if path = path[:i]; module.CheckPath(path) == nil {
			return path
		}
	}
}

func (o *owner) has(ctx context.Context, path string) bool {
	for {
		l, mine := o.look(path)
		if mine {
			has, err := o.ask(ctx, path)
			o.settle(path, l, has, err)
			return has
		}
		select {
		case <-l.done:
		case <-ctx.Done():
			return false
		}
		if time.Now().Before(l.until) {
			return l.has
		}
		o.forget(path, l) // too old, or its asker did not find out: ask ourselves
		if ctx.Err() != nil {
			return false
		}
	}
}

// look is what is known of path, or a new look that the caller has to settle.
func (o *owner) look(path string) (_ *look, mine bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if l := o.seen[path]; l != nil {
		return l, false
	}
	if o.seen == nil || len(o.seen) >= lookEntries {
		o.seen = make(map[string]*look) // who waits has the look in hand
	}
	l := &look{done: make(chan struct{})}
	o.seen[path] = l
	return l, true
}

func (o *owner) settle(path string, l *look, has bool, err error) {
	switch {
	case err != nil:
		o.forget(path, l)
	case has:
		l.has, l.until = true, time.Now().Add(lookHas)
	default:
		l.until = time.Now().Add(lookHasNot)
	}
	close(l.done)
}

func (o *owner) forget(path string, l *look) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seen[path] == l {
		delete(o.seen, path)
	}
}

// ask needs a version as evidence: some proxies answer an empty list to any path.
func (o *owner) ask(ctx context.Context, path string) (bool, error) {
	ctx = withoutAvoid(ctx)
	data, err := ReadFile(ctx, o.src, Request{Path: path, Kind: List})
	if err == nil {
		if versions, pseudo := ParseList(path, data); len(versions)+len(pseudo) > 0 {
			return true, nil
		}
		_, err = ReadFile(ctx, o.src, Request{Path: path, Kind: Latest})
	}
	switch {
	case err == nil:
		return true, nil
	case Absent(err), errors.Is(err, ErrBlocked): // a proxy that may not serve it does not decide by it
		return false, nil
	}
	return false, err
}
