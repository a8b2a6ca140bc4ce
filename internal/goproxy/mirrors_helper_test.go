package goproxy_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

// A stub is a mirror that does what act says with its n-th request, counted from 1, and sees to it that
// nothing that it hands out is left open.
type stub struct {
	name string
	act  func(ctx context.Context, n int, req goproxy.Request) (goproxy.File, error)

	mu        sync.Mutex
	asked     int
	counted   int // of asked, by counts
	cancelled int // requests whose context ended while they waited
	open      int // files and requests
}

func (s *stub) Open(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
	s.mu.Lock()
	s.asked++
	s.open++
	n := s.asked
	s.mu.Unlock()
	f, err := s.act(ctx, n, req)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.open--
		if ctx.Err() != nil {
			s.cancelled++
			return nil, &goproxy.Error{Source: s.name, Request: req, Err: context.Cause(ctx)}
		}
		return nil, &goproxy.Error{Source: s.name, Request: req, Err: err, RetryAfter: retryAfterOf(err)}
	}
	return &stubFile{File: f, s: s}, nil
}

type stubFile struct {
	goproxy.File
	s    *stub
	once sync.Once
}

func (f *stubFile) Close() error {
	f.once.Do(func() {
		f.s.mu.Lock()
		defer f.s.mu.Unlock()
		f.s.open--
	})
	return f.File.Close()
}

func (s *stub) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

type askedAgain struct{ after time.Duration }

func (askedAgain) Error() string { return "429" }
func (askedAgain) Unwrap() error { return goproxy.ErrUnavailable }

func retryAfterOf(err error) time.Duration {
	var a askedAgain
	errors.As(err, &a)
	return a.after
}

type act = func(ctx context.Context, n int, req goproxy.Request) (goproxy.File, error)

// wait is false where ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// serves answers after d with text.
func serves(d time.Duration, text string) act {
	return func(ctx context.Context, _ int, req goproxy.Request) (goproxy.File, error) {
		if !wait(ctx, d) {
			return nil, ctx.Err()
		}
		return goproxy.NewFile(req, []byte(text), time.Time{}, nil), nil
	}
}

func fails(d time.Duration, err error) act {
	return func(ctx context.Context, _ int, req goproxy.Request) (goproxy.File, error) {
		if !wait(ctx, d) {
			return nil, ctx.Err()
		}
		return nil, err
	}
}

// stalls never answers; a transport gives up after a minute.
func stalls(ctx context.Context, _ int, _ goproxy.Request) (goproxy.File, error) {
	if !wait(ctx, time.Minute) {
		return nil, ctx.Err()
	}
	return nil, errors.Join(goproxy.ErrUnavailable, context.DeadlineExceeded)
}

// isDead cannot be connected to, which takes a transport ten seconds to find out.
func isDead(ctx context.Context, _ int, _ goproxy.Request) (goproxy.File, error) {
	if !wait(ctx, 10*time.Second) {
		return nil, ctx.Err()
	}
	return nil, errors.Join(goproxy.ErrUnavailable, &net.OpError{Op: "dial", Err: errors.New("no route")})
}

// then does each of the acts once, the last for ever.
func then(acts ...act) act {
	return func(ctx context.Context, n int, req goproxy.Request) (goproxy.File, error) {
		return acts[min(n, len(acts))-1](ctx, n, req)
	}
}

// large is a body of size bytes that comes at rate bytes per second, in pieces of 32 KiB, and breaks at cut
// if that is not negative.
func large(first time.Duration, size, rate, cut int) act {
	return func(ctx context.Context, _ int, req goproxy.Request) (goproxy.File, error) {
		if !wait(ctx, first) {
			return nil, ctx.Err()
		}
		open := func(at int64) (io.ReadCloser, error) {
			return io.NopCloser(&slowBody{ctx: ctx, at: int(at), size: size, rate: rate, cut: cut}), nil
		}
		body, _ := open(0)
		return goproxy.NewStreamFile(goproxy.FileInfo{Bytes: int64(size)}, body, open), nil
	}
}

type slowBody struct {
	ctx            context.Context
	at, size, rate int
	cut            int
}

func (b *slowBody) Read(p []byte) (int, error) {
	n := min(len(p), 32<<10, b.size-b.at)
	if n == 0 {
		return 0, io.EOF
	}
	if b.cut >= 0 && b.at+n > b.cut {
		return 0, goproxy.ErrUnavailable
	}
	if !wait(b.ctx, time.Duration(n)*time.Second/time.Duration(b.rate)) {
		return 0, b.ctx.Err()
	}
	clear(p[:n])
	b.at += n
	return n, nil
}

// A fleet is a set of stubs.
type fleet struct {
	*goproxy.Mirrors
	stubs []*stub
	log   bytes.Buffer

	mu     sync.Mutex
	events []goproxy.MirrorEvent
}

// newFleet makes a set of mirrors named a, b, c and so on. When the test ends, nothing of it may be left.
func newFleet(t *testing.T, cfg goproxy.MirrorsConfig, acts ...act) *fleet {
	t.Helper()
	f := &fleet{}
	for i, a := range acts {
		s := &stub{name: string(rune('a' + i)), act: a}
		f.stubs = append(f.stubs, s)
		cfg.Mirrors = append(cfg.Mirrors, goproxy.Mirror{Name: s.name, Source: s})
	}
	cfg.Logger = slog.New(slog.NewTextHandler(&f.log, nil))
	cfg.Observe = func(e goproxy.MirrorEvent) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.events = append(f.events, e)
		f.State() // no lock is held
	}
	f.Mirrors = goproxy.NewMirrors(cfg)
	t.Cleanup(func() {
		f.Close()
		for _, s := range f.stubs {
			if s.open != 0 {
				t.Errorf("%d files or requests of mirror %s are still open", s.open, s.name)
			}
		}
	})
	return f
}

// get reads a file and returns what it says, or the error.
func (f *fleet) get(ctx context.Context, t testing.TB, name string) (string, error) {
	t.Helper()
	data, err := goproxy.ReadFile(ctx, f, mustParse(t, name))
	return string(data), err
}

// want reads a .mod, and fails the test unless it is that of the mirror and comes within most.
func (f *fleet) want(t testing.TB, mirror string, most time.Duration) {
	t.Helper()
	start := time.Now()
	if got, err := f.get(t.Context(), t, modName); err != nil || got != mirror {
		t.Fatalf("got %q, %v, want the file of %s", got, err, mirror)
	}
	if took := time.Since(start); took > most {
		t.Errorf("took %v, want %v at most", took, most)
	}
}

// counts returns how often each mirror was asked since the last call.
func (f *fleet) counts() []int {
	var ns []int
	for _, s := range f.stubs {
		s.mu.Lock()
		ns = append(ns, s.asked-s.counted)
		s.counted = s.asked
		s.mu.Unlock()
	}
	return ns
}

// tell returns the events of one kind since the beginning, as names of mirrors.
func (f *fleet) told(what goproxy.MirrorEventKind) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for _, e := range f.events {
		if e.What == what {
			names = append(names, e.Mirror)
		}
	}
	return names
}

func (f *fleet) state(name string) goproxy.MirrorState {
	all := f.State()
	return all[slices.IndexFunc(all, func(s goproxy.MirrorState) bool { return s.Name == name })]
}

const (
	modName = "example.com/m/@v/v1.0.0.mod"
	zipName = "example.com/m/@v/v1.0.0.zip"
)
