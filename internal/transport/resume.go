package transport

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"sync"
	"time"
)

// A body that has brought refillBytes since gets all its tries again.
const refillBytes = 256 << 10

// A stream is the body of an answer with a whole file. Where the connection breaks, it
// goes on over another one from the byte where it broke; a large one may come over
// several connections at once (split.go). It has one reader; Close may come at any time.
//
// The trunk is the connection that the reader reads itself.
type stream struct {
	t    *roundTripper
	req  *http.Request // what is asked again; its context ends with the stream
	stop context.CancelCauseFunc
	id   identity

	// These belong to the reader.
	sum   maphash.Hash // of what was read
	tries effort
	broke error // why the last trunk ended too early; nil if it did not

	mu    sync.Mutex
	moved sync.Cond // something below has changed that the reader may wait for
	trunk *body     // nil if there is none
	until int64     // where the trunk ends by itself; -1 for the end of the file
	off   int64     // the next byte to be read
	err   error     // what ended the stream
	split *split    // nil where it comes over one connection whatever happens
	lanes sync.WaitGroup
}

// An effort is what may still be spent on a body before it brings more bytes.
type effort struct {
	left   int           // further tries
	budget time.Duration // waits between them
	row    int           // tries since the last bytes
	silent int           // of them, those without an answer
	wholes int           // answers with the whole file instead of its rest; never refilled
	mark   int64         // where it was full
}

// keepGoing makes the body of resp one that continues where it breaks off, if enough is
// known about the file.
func (t *roundTripper) keepGoing(req *http.Request, resp *http.Response) {
	first, ok := resp.Body.(*body)
	if !ok || t.cfg.Retries < 0 || resp.StatusCode != http.StatusOK ||
		req.Method == http.MethodHead || !repeatable(req) || req.Header.Get("Range") != "" {
		return
	}
	id := identify(resp)
	if !id.resumable() {
		return
	}
	ctx, stop := context.WithCancelCause(req.Context())
	s := &stream{t: t, req: req.WithContext(ctx), stop: stop, id: id, trunk: first, until: -1}
	s.moved.L = &s.mu
	s.refill(0)
	if s.splittable(resp) {
		s.split = newSplit(resp.ProtoMajor)
		context.AfterFunc(ctx, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.moved.Broadcast() // a reader that waits for a lane
		})
	}
	first.continues = true
	resp.Body = s
}

// Read reads as io.Reader says.
func (s *stream) Read(p []byte) (int, error) {
	for len(p) > 0 {
		n, err := s.some(p)
		if n > 0 || err != nil {
			s.sum.Write(p[:n])
			return n, err
		}
	}
	return 0, nil
}

// some reads from where the next byte is to be had. Neither bytes nor an error mean that
// there is something else to read from now.
func (s *stream) some(p []byte) (int, error) {
	s.leave()
	s.mu.Lock()
	n := s.fromChunks(p)
	err, trunk, limit := s.err, s.trunk, s.limit()
	if n == 0 && err == nil && trunk == nil && s.off == limit && limit == s.id.total {
		err = s.end(io.EOF)
	}
	if n == 0 && err == nil && s.split != nil {
		s.split.direct = true
		p = p[:min(len(p), trunkRead)]
		if limit < s.id.total {
			p = p[:min(int64(len(p)), limit-s.off)]
		}
	}
	s.mu.Unlock()
	switch {
	case n > 0 || err != nil:
		return n, err
	case trunk == nil:
		return 0, s.reopen()
	}
	return s.fromTrunk(trunk, p)
}

// leave closes the trunk where it has come to a chunk that a lane fetches.
func (s *stream) leave() {
	s.mu.Lock()
	trunk := s.trunk
	if trunk != nil && s.off == s.limit() && s.off < s.id.total {
		s.trunk = nil
	} else {
		trunk = nil
	}
	s.mu.Unlock()
	if trunk != nil {
		trunk.Close()
	}
}

// limit is where the reader's own connection must stop: s.mu is held. It is -1 for an unknown end.
func (s *stream) limit() int64 {
	if s.split != nil && len(s.split.chunks) > 0 {
		return s.split.chunks[0].from
	}
	return s.id.total
}

func (s *stream) fromTrunk(trunk *body, p []byte) (int, error) {
	start := time.Now()
	n, err := trunk.Read(p)
	s.mu.Lock()
	total := s.id.total
	if total >= 0 && int64(n) > total-s.off {
		n, err = int(total-s.off), io.EOF // more than the header promised
	}
	s.off += int64(n)
	if s.split != nil {
		s.measure(time.Since(start))
	}
	if err == nil || s.trunk != trunk { // closed meanwhile
		s.mu.Unlock()
		return n, nil
	}
	s.trunk = nil
	switch {
	case s.off == total, total < 0 && err == io.EOF:
		// Whatever came behind the last byte does not matter any more.
		s.end(io.EOF)
	case err != io.EOF:
		s.broke = err
	case s.until < 0 || s.off < s.until:
		s.broke = &Error{Op: OpRead, Failure: EOF, Host: s.req.URL.Hostname(),
			Err: fmt.Errorf("%w: %d of %d bytes", io.ErrUnexpectedEOF, s.off, total)}
	}
	s.mu.Unlock()
	trunk.Close()
	return n, nil
}

// end ends the stream with err, once, and all that works for it; s.mu is held.
func (s *stream) end(err error) error {
	if s.over(err) {
		s.stop(errDone)
	}
	return s.err
}

func (s *stream) over(err error) bool {
	if s.err != nil {
		return false
	}
	s.err = err
	s.moved.Broadcast()
	if s.split != nil {
		s.settle(s.split.best > 1)
	}
	return true
}

func (s *stream) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end(err)
}

// Close ends the stream and waits for its lanes.
func (s *stream) Close() error {
	s.mu.Lock()
	s.over(http.ErrBodyReadAfterClose)
	trunk := s.trunk
	s.trunk = nil
	s.mu.Unlock()
	var err error
	if trunk != nil {
		err = trunk.Close() // before its context ends, since it did not fail
	}
	s.stop(errDone)
	s.lanes.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release()
	return err
}

func (s *stream) refill(off int64) {
	if off == 0 || off-s.tries.mark >= refillBytes {
		s.tries = effort{left: s.t.cfg.Retries, budget: s.t.cfg.RetryBudget, wholes: s.tries.wholes, mark: off}
	}
}

// reopen makes a new trunk from the next byte on: the last one broke, or ended where a
// chunk began that is read by now.
func (s *stream) reopen() error {
	s.mu.Lock()
	from, to := s.off, s.limit()
	if to == s.id.total {
		to = -1
	}
	failed := s.broke
	if s.split != nil && failed == nil && time.Now().Before(s.split.busy) {
		failed = &refusal{reason: "busy", temporary: true, after: time.Until(s.split.busy)}
	}
	s.mu.Unlock()
	s.refill(from)
	as := try{resumed: s.broke != nil, part: to >= 0 || s.broke == nil}
	for {
		if failed != nil {
			if err := s.pause(failed, from); err != nil {
				return s.fail(err)
			}
		}
		as.n++
		trunk, err := s.next(from, to, as)
		switch {
		case err == nil:
			s.adopt(trunk, to)
			return nil
		case err == errEnd:
			return s.fail(io.EOF)
		}
		failed = err
	}
}

// next asks for the bytes from…to-1 and returns a body that stands there.
func (s *stream) next(from, to int64, as try) (*body, error) {
	resp, err := s.request(s.req.Context(), from, to, as)
	if err != nil && err != errWhole && err != errOther {
		return nil, err
	}
	trunk, ok := resp.Body.(*body)
	if !ok {
		return nil, &refusal{reason: "an empty body"}
	}
	trunk.continues = true
	if err != nil {
		other := err == errOther
		err = s.skip(trunk, from)
		if err == nil && other && !s.follow(resp) {
			err = s.changed(errOther)
		}
		if err != nil {
			if _, ok := errors.AsType[*Error](err); ok {
				trunk.reject(err)
			} else {
				trunk.Close()
			}
			return nil, err
		}
		s.mu.Lock()
		s.id = identify(resp)
		s.mu.Unlock()
		return trunk, nil
	}
	if r, err := parseContentRange(resp.Header.Get("Content-Range")); err == nil && s.id.total < 0 {
		s.mu.Lock()
		s.id.total = r.total
		s.mu.Unlock()
	}
	return trunk, nil
}

// adopt makes trunk what the reader reads next, unless the stream was closed meanwhile.
func (s *stream) adopt(trunk *body, until int64) {
	s.broke = nil
	s.mu.Lock()
	over := s.err != nil
	if !over {
		s.trunk, s.until = trunk, until
	}
	s.mu.Unlock()
	if over {
		trunk.Close()
	}
}

// request asks for the bytes from…to-1, or to the end where to is -1. Beside them it returns
// the whole file with errWhole or errOther, and no answer with any other error.
func (s *stream) request(ctx context.Context, from, to int64, as try) (*http.Response, error) {
	req := s.req.Clone(ctx)
	s.id.ask(req.Header, from, to)
	resp, err := s.t.authenticated(req, s.t.prepare(req), func(out *http.Request) (*http.Response, error) {
		return s.t.attempt(out, as)
	})
	if err != nil {
		return nil, err
	}
	err = s.id.check(resp, from, to)
	if err == nil || err == errWhole || err == errOther {
		return resp, err
	}
	if another, ok := err.(*errAnother); ok {
		if another.maybe && !as.part && s.alone() {
			return resp, errWhole // servers behind one name often have an ETag each for the same bytes
		}
		err = s.changed(another)
		if b, ok := resp.Body.(*body); ok {
			b.reject(err)
		}
		return nil, err
	}
	discard(resp)
	return nil, err
}

// alone reports whether no lane fetches anything for the stream.
func (s *stream) alone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.split == nil || len(s.split.chunks) == 0
}

func (s *stream) changed(err error) error {
	return &Error{Op: OpRead, Failure: Changed, Host: s.req.URL.Hostname(), Err: err, final: true}
}

// follow makes the file of resp the one that is read; it begins with all that was read. It fails where
// bytes of the old one wait to be read.
func (s *stream) follow(resp *http.Response) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sp := s.split; sp != nil {
		if sp.running > 0 || len(sp.chunks) > 0 {
			return false
		}
		sp.refused, sp.want, sp.best = true, 1, 1 // each connection may find another server
		s.settle(true)
	}
	s.id = identify(resp)
	return true
}

// skip reads away the first n bytes of a body that begins at 0; they must be those that
// were read before.
func (s *stream) skip(b *body, n int64) error {
	if s.tries.wholes++; s.tries.wholes > s.t.cfg.Retries {
		return &refusal{reason: "too often the whole file instead of its rest", spent: true}
	}
	var sum maphash.Hash
	sum.SetSeed(s.sum.Seed())
	b.a.repeats(n)
	_, err := io.CopyN(&sum, b, n)
	switch {
	case err == io.EOF:
		return &Error{Op: OpRead, Failure: EOF, Host: s.req.URL.Hostname(), Err: io.ErrUnexpectedEOF}
	case err != nil:
		return err
	case sum.Sum64() != s.sum.Sum64():
		return s.changed(&errAnother{reason: "other bytes"})
	}
	return nil
}

// pause waits before another try after failed, or returns the error with which the
// stream ends, if there is to be none.
func (s *stream) pause(failed error, from int64) error {
	refused, _ := failed.(*refusal)
	// Where nothing broke the server has just served this file: it may have been asked
	// for too much at a time.
	asTemporary := refused != nil && (refused.temporary || s.broke == nil && !refused.spent)
	if refused == nil && !again(nil, failed) || refused != nil && !asTemporary {
		return s.final(failed, refused != nil && refused.spent)
	}
	if firstByteTimeout(failed) {
		s.tries.silent++
	}
	wait := s.t.backoff(nil, s.tries.row+1)
	if s.tries.row == 0 {
		wait /= 4 // bytes have just come: the server is there
	}
	if refused != nil {
		wait = max(wait, refused.after)
	}
	ctx := s.req.Context()
	if s.tries.left <= 0 || s.tries.silent > 1 || wait > s.tries.budget || tooLate(ctx, wait) {
		return s.final(failed, refused == nil || refused.temporary)
	}
	s.tries.left--
	s.tries.row++
	s.tries.budget -= wait
	s.t.cfg.Logger.InfoContext(ctx, "broken off: going on from there",
		"host", s.req.URL.Host, "bytes", from, "wait", wait, "err", failed)
	if !sleep(ctx, wait) {
		return askerLeft(ctx, OpRead, s.req.URL.Hostname())
	}
	return nil
}

// final makes an error for the reader of why there is no further try; spent says that there
// were as many as there may be.
func (s *stream) final(failed error, spent bool) error {
	e, ok := errors.AsType[*Error](failed)
	if !ok {
		if _, refused := failed.(*refusal); !refused {
			return failed // the asker left
		}
		e = &Error{Op: OpRead, Failure: Other, Host: s.req.URL.Hostname(), Err: failed}
		if broken, ok := errors.AsType[*Error](s.broke); ok {
			e = &Error{Op: broken.Op, Failure: broken.Failure, Host: broken.Host, Err: errors.Join(broken.Err, failed)}
		}
	}
	last := *e
	last.final = last.final || spent
	return &last
}
