package goproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync/atomic"
	"time"
)

// rateBytes is the size from which a body says something about throughput: smaller ones arrive with
// the answer's header.
const rateBytes = 64 << 10

// hand gives the file of a to the asker, and sees to it that the set learns how it went on.
func (s *Mirrors) hand(ctx context.Context, req Request, a *attempt, avoid *Avoid) File {
	f := &mirrorFile{File: a.file, set: s, m: a.m, req: req, cancel: a.cancel, left: func() bool { return ctx.Err() != nil }}
	f.spare, f.patience = avoid != nil && s.spare(a.m, avoid), s.bodyPatience(a.m)
	avoid.serve(server{key: a.m, name: a.m.Name, refused: f.refused, spare: f.spare})
	if whole, ok := a.file.(*MemFile); ok {
		a.cancel()
		return whole
	}
	return f
}

// spare reports whether another mirror than m could serve the request of avoid.
func (s *Mirrors) spare(m *mirror, avoid *Avoid) bool {
	for _, other := range s.list {
		if other != m && avoid.reason(other) == nil {
			return true
		}
	}
	return false
}

// A mirrorFile is a file that still arrives. Its mirror is the same to the end, also where reading on after
// an error opens it again.
type mirrorFile struct {
	File
	set    *Mirrors
	m      *mirror
	req    Request
	cancel context.CancelFunc
	left   func() bool // the asker has left

	spare    bool          // another mirror could serve the file
	patience time.Duration // for the next bytes, if so

	bytes  int64
	busy   time.Duration // what the reader waited for bytes; what it does with them is its own time
	broken bool
	told   bool
}

// Read reads, and counts bytes and the time they took. Where another mirror could serve the file, a body that
// brings no byte for a while is given up sooner than transport would.
func (f *mirrorFile) Read(p []byte) (int, error) {
	start := f.set.now()
	var stalled atomic.Bool
	if f.spare {
		watch := time.AfterFunc(f.patience, func() {
			if f.set.others(f.m) {
				stalled.Store(true)
				f.cancel()
			}
		})
		defer watch.Stop()
	}
	n, err := f.File.Read(p)
	f.busy += f.set.now().Sub(start)
	f.bytes += int64(n)
	if err != nil && err != io.EOF && stalled.Load() && !f.left() {
		err = &Error{Source: f.m.Name, Request: f.req, Err: fmt.Errorf("%w: %w after %d bytes", ErrUnavailable, errStalled, f.bytes)}
	}
	switch {
	case err == io.EOF:
		f.tell()
	case err != nil && !f.left() && !errors.Is(err, fs.ErrClosed) && !errors.Is(err, context.Canceled):
		f.broken = true
		f.set.change(func(now time.Time) {
			f.set.failed(f.m, now, err)
			f.m.rate.add(f.rate() / 4) // what arrived may be of no use
		})
	}
	return n, err
}

// errStalled is a body that brings no more bytes; it counts as a timeout.
var errStalled error = stalledError{}

type stalledError struct{}

func (stalledError) Error() string { return "no more bytes came" }
func (stalledError) Timeout() bool { return true }
func (stalledError) Final() bool   { return true } // reading on is of no use: see the fill of a cache

// How long a body may bring no byte while there is another mirror to ask: one that has never brought a
// large body to its end gets less, since it may be one that never does.
const (
	bodyPatience    = 5 * time.Second
	newBodyPatience = 1500 * time.Millisecond
)

func (s *Mirrors) bodyPatience(m *mirror) (d time.Duration) {
	s.change(func(time.Time) {
		d = bodyPatience
		if m.rate.n == 0 {
			d = newBodyPatience
		}
	})
	return d
}

// others reports whether a mirror beside m is in service.
func (s *Mirrors) others(m *mirror) (yes bool) {
	s.change(func(time.Time) {
		yes = slices.ContainsFunc(s.list, func(other *mirror) bool { return other != m && !other.out() && !other.convicted })
	})
	return yes
}

// Close ends the request of the file.
func (f *mirrorFile) Close() error {
	err := f.File.Close()
	f.cancel()
	f.tell()
	return err
}

func (f *mirrorFile) rate() float64 {
	return float64(f.bytes+1) / max(f.busy, time.Millisecond).Seconds()
}

// tell says how fast the body came, once.
func (f *mirrorFile) tell() {
	if f.told || f.broken || f.bytes < rateBytes {
		return
	}
	f.told = true
	f.set.change(func(time.Time) {
		f.m.rate.add(f.rate())
		if f.req.Kind == Zip {
			f.set.zip.add(float64(f.bytes))
		}
	})
}

// refused learns that the asker will not have the bytes.
func (f *mirrorFile) refused(err error) {
	switch {
	case errors.Is(err, ErrMismatch):
		f.set.forged(f.m, f.req, err)
	case !f.broken && !f.left():
		f.set.change(func(now time.Time) { f.set.failed(f.m, now, err) })
	}
}
