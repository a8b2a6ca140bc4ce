package transport

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A body is the body of an answer. A Read of it that gets no byte for
// StallTimeout, or finds the end too early, fails with an *Error; the time
// between Reads is the reader's own.
type body struct {
	io.ReadCloser
	a    *attempt
	want int64 // bytes that the header promised; -1 for unknown
	got  atomic.Int64
	err  error // what ended it; belongs to the reading goroutine

	continues bool // what breaks off can go on from there

	mu      sync.Mutex
	timer   *time.Timer
	waiting time.Time // since when a Read waits; zero if none does
	others  int64     // what had arrived then, in all bodies of the client
}

const (
	// A body that can be continued, and brings nothing while others bring so much, is given up after
	// this part of StallTimeout: the link works, so it is this answer that does not.
	earlyPart  = 3
	earlyBytes = 256 << 10
)

// guard puts resp's body under a's watch, or ends a if there is no body.
func (a *attempt) guard(resp *http.Response) {
	if resp.Body == nil || resp.Body == http.NoBody {
		a.end(nil, 0)
		return
	}
	resp.Body = &body{ReadCloser: resp.Body, a: a, want: resp.ContentLength}
}

// Read reads as io.Reader says.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	b.watch()
	n, err := b.ReadCloser.Read(p)
	b.rest()
	got := b.got.Add(int64(n))
	if b.a.arrived != nil {
		b.a.arrived.Add(int64(n))
	}
	if err == nil {
		return n, nil
	}
	switch {
	case err != io.EOF:
		b.err = b.a.explain(err)
	case b.want >= 0 && got < b.want:
		b.err = &Error{Op: OpRead, Failure: EOF, Host: b.a.host,
			Err: fmt.Errorf("%w: %d of %d bytes", io.ErrUnexpectedEOF, got, b.want)}
	default:
		b.a.end(nil, got)
		b.err = io.EOF
		return n, io.EOF
	}
	b.a.end(b.err, got)
	return n, b.err
}

// watch begins to wait for bytes.
func (b *body) watch() {
	b.mu.Lock()
	defer b.mu.Unlock()
	patience := b.a.cfg.StallTimeout
	if b.continues && b.a.arrived != nil {
		patience /= earlyPart
		b.others = b.a.arrived.Load()
	}
	b.waiting = time.Now()
	if b.timer == nil {
		b.timer = time.AfterFunc(patience, b.silent)
		return
	}
	b.timer.Reset(patience)
}

// rest ends the wait.
func (b *body) rest() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.timer.Stop()
	b.waiting = time.Time{}
}

// silent decides what it means that no byte has come for a while.
func (b *body) silent() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting.IsZero() {
		return // one has come just now
	}
	patience := b.a.cfg.StallTimeout
	if left := patience - time.Since(b.waiting); left > 0 {
		if b.a.arrived.Load()-b.others < earlyBytes {
			b.timer.Reset(left)
			return
		}
		patience -= left
	}
	b.a.expire(errStalled, patience)
}

// Close gives the connection back, or cuts it off if the body is not at its end.
func (b *body) Close() error {
	var err error
	if asker := b.a.asked.Context(); asker.Err() != nil {
		err = askerLeft(asker, OpRead, b.a.host)
	}
	b.a.end(err, b.got.Load())
	return b.ReadCloser.Close()
}

// reject closes b because of err, which is what the attempt came to.
func (b *body) reject(err error) {
	b.a.end(err, b.got.Load())
	b.ReadCloser.Close()
}
