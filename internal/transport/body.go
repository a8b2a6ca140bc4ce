package transport

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// A body is the body of an answer. A Read of it that gets no byte for
// StallTimeout, or finds the end too early, fails with an *Error; the time
// between Reads is the reader's own.
type body struct {
	io.ReadCloser
	a     *attempt
	want  int64 // bytes that the header promised; -1 for unknown
	got   atomic.Int64
	timer *time.Timer
	err   error // what ended it; belongs to the reading goroutine
}

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
	b.timer.Stop()
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

func (b *body) watch() {
	patience := b.a.cfg.StallTimeout
	if b.timer == nil {
		b.timer = time.AfterFunc(patience, func() { b.a.expire(errStalled, patience) })
		return
	}
	b.timer.Reset(patience)
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
