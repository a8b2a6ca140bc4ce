package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

const (
	// holdBack is how many bytes at the end are not handed out before the check.
	// A zip without its end cannot be read. Zips up to this size are checked
	// before their first byte leaves, so that their errors keep their status.
	holdBack = 64 << 10
	copyBuf  = 64 << 10

	// wholeWait is how long a zip that another mirror could serve as well is not handed out before it is
	// whole and verified: its bytes may have to be thrown away, and what a client has got
	// cannot be. The go command waits for the end anyway; proxies between have patience for about a minute.
	wholeWait = 30 * time.Second
)

var (
	errClosed = fmt.Errorf("%w: goferry is shutting down", goproxy.ErrUnavailable)

	// errLookAgain says that the answer is in the store by now.
	errLookAgain = errors.New("the answer came meanwhile")
)

// fill brings one file from the source into the store, for all who ask meanwhile.
type fill struct {
	c    *Cache
	req  goproxy.Request
	name string

	cancel   context.CancelCauseFunc
	mu       sync.Mutex
	refs     int           // the fill itself, those who wait for it, and its readers; the last one lets the spool go
	moved    chan struct{} // closed at the next change, if somebody waits
	spool    *spool        // nil until the source has answered
	gen      int           // counts the spools of this fill
	whole    time.Time     // until then nothing is handed out before it is verified
	refused  bool          // the bytes in spool will not do; there will be another spool, or the fill fails
	total    int64         // length, negative while unknown
	mod      time.Time
	verified bool
	done     bool
	err      error // why the fill failed, when done
	notKept  error // why a verified file was not kept
}

// join returns the fill of name, and starts it if there is none. The caller must
// release it.
func (c *Cache) join(ctx context.Context, req goproxy.Request, name string) (*fill, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, &goproxy.Error{Request: req, Err: errClosed}
	}
	if f := c.fills[name]; f != nil {
		f.mu.Lock()
		f.refs++
		f.mu.Unlock()
		return f, nil
	}
	// The one place that detaches: the fill goes on when its first asker leaves.
	// Every wait below it has a deadline on progress.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	f := &fill{c: c, req: req, name: name, total: -1, cancel: cancel, refs: 2}
	c.fills[name] = f
	c.inFlight.Add(1)
	c.wg.Go(func() { f.run(ctx) })
	return f, nil
}

// run fills, tells the askers, and makes way for the next fill of the name.
func (f *fill) run(ctx context.Context) {
	defer f.cancel(nil)
	// An earlier fill may have ended between its first asker's look into the store and
	// the start of this one.
	err := errLookAgain
	if !f.c.answered(f.req, f.name) {
		if prepare := f.c.cfg.Prepare; prepare != nil {
			f.c.wg.Go(func() { prepare(ctx, f.req) })
		}
		err = f.fetch(ctx)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		err = &goproxy.Error{Request: f.req, Err: context.Cause(ctx)} // the source may just say that it was canceled
	case goproxy.Absent(err):
		f.c.keepAbsent(ctx, f.name, err)
	}
	// Out of the map first: who comes after done must look into the store again.
	f.c.mu.Lock()
	delete(f.c.fills, f.name)
	f.c.mu.Unlock()
	f.c.inFlight.Add(-1)
	f.change(func() { f.done, f.err = true, err })
	f.release()
}

// release lets the spool go when neither the fill, nor an asker, nor a reader needs it any more.
func (f *fill) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refs--; f.refs == 0 && f.spool != nil {
		f.spool.unref()
	}
}

// change alters the state and wakes those who wait for it.
func (f *fill) change(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
	if f.moved != nil {
		close(f.moved)
		f.moved = nil
	}
}

// wait is called with f.mu held; the channel is closed at the next change.
func (f *fill) wait() <-chan struct{} {
	if f.moved == nil {
		f.moved = make(chan struct{})
	}
	return f.moved
}

// fetch asks the source, and asks again as long as what it gets will not do and there is
// another upstream that may be asked.
func (f *fill) fetch(ctx context.Context) error {
	ctx, avoid := goproxy.NewAvoid(ctx)
	for anew := false; ; {
		again, err := f.once(ctx, avoid)
		switch {
		case !again || ctx.Err() != nil:
			return err
		case !anew && changed(err):
			anew = true // from its beginning, and from whoever had it
		case !avoid.Refuse(err):
			return err
		}
		f.change(func() { f.refused = true })
	}
}

// once fetches, checks and keeps the file one time. It reports whether it makes sense to ask
// another upstream.
func (f *fill) once(ctx context.Context, avoid *goproxy.Avoid) (again bool, err error) {
	src, err := f.c.cfg.Source.Open(ctx, f.req)
	if err != nil {
		return false, err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return false, err
	}
	sp := f.begin(info.Size(), avoid.Spare())
	if err := f.copy(ctx, sp, src); err != nil {
		if ctx.Err() == nil { // else it was broken off here: nobody waits for it any more, or goferry ends
			f.c.log.Warn("broken off by upstream", logAttrs(f.req, "source", avoid.Last(), "bytes", sp.Size(), "err", err)...)
		}
		return !errors.Is(err, errNoRoom), err
	}
	size := sp.Size()
	if want := info.Size(); want >= 0 && want != size {
		return true, &goproxy.Error{Request: f.req, Err: fmt.Errorf("%w: %d of %d bytes arrived", goproxy.ErrUnavailable, size, want)}
	}
	if f.c.cfg.Check != nil {
		if err := f.c.cfg.Check(ctx, f.req, sp, size); err != nil {
			return f.mismatch(avoid, err), err
		}
	}
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	f.keep(sp, avoid.Last())
	return false, nil
}

// mismatch makes the noise that wrong bytes deserve, and reports whether err is about such.
func (f *fill) mismatch(avoid *goproxy.Avoid, err error) bool {
	if !errors.Is(err, goproxy.ErrMismatch) {
		return false
	}
	f.c.mismatches.Add(1)
	if f.c.cfg.Refused != nil {
		f.c.cfg.Refused()
	}
	f.c.log.Error("refused: wrong bytes from upstream", logAttrs(f.req, "source", avoid.Last(), "err", err)...)
	return true
}

// keep gives a verified file, which came from an upstream, to the store and to those who wait for its last bytes.
func (f *fill) keep(sp *spool, from string) {
	kept := sp.commit(f.name, f.mod)
	if kept != nil {
		f.c.log.Warn("answered, but not kept in the cache", logAttrs(f.req, "err", kept)...)
	}
	if kept == nil && f.c.cfg.Kept != nil {
		f.c.cfg.Kept(f.req, from)
	}
	f.c.forgetAbsent(f.name)
	f.change(func() { f.verified, f.total, f.notKept = true, sp.Size(), kept })
}

// begin puts a new spool in place of the one whose bytes were refused, if any.
// spare says that another mirror could serve the file.
func (f *fill) begin(total int64, spare bool) *spool {
	sp := newSpool(f.c.cfg.Store, f.c.memory)
	var old *spool
	f.change(func() {
		if spare && f.whole.IsZero() {
			f.whole = time.Now().Add(wholeWait)
		}
		old = f.spool
		f.spool, f.total = sp, total
		f.mod = f.c.now().Truncate(time.Microsecond) // no file system keeps less, and the ETag is made of it
		f.refused = false
		f.gen++
	})
	if old != nil {
		old.unref()
	}
	return sp
}

const (
	// A source that breaks off is asked to go on, as long as it brings resumeBytes each time;
	// a few times it may bring less.
	resumeBytes = 256 << 10
	resumeTries = 3
)

// copy spools all of src. On a bad link a connection seldom lives as long as a large zip takes;
// reading on makes the source go on where it broke off, unless it says that it has tried that
// itself. Whether the pieces fit together is for the check to say.
func (f *fill) copy(ctx context.Context, sp *spool, src io.Reader) error {
	buf := make([]byte, copyBuf)
	tries, since := resumeTries, int64(0)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if _, werr := sp.Write(buf[:n]); werr != nil {
				return &goproxy.Error{Request: f.req, Err: werr,
					HintCode: "cache.hint.disk-full", Hint: "make room on the disk of the cache, or set a lower cache.max-size"}
			}
			since += int64(n)
			f.change(func() {})
		}
		if sp.Size() > f.req.Kind.MaxSize() {
			return tooLarge(f.req)
		}
		switch {
		case err == io.EOF:
			return nil
		case err == nil:
			continue
		case ctx.Err() != nil, !errors.Is(err, goproxy.ErrUnavailable), final(err), since == 0, sp.Size()+copyBuf > f.req.Kind.MaxSize():
			return err
		case since < resumeBytes:
			if tries--; tries < 0 {
				return err
			}
		}
		f.c.log.Info("broken off: going on from there", logAttrs(f.req, "bytes", sp.Size(), "err", err)...)
		since = 0
	}
}

// final reports whether whoever made err says that going on from there is of no use.
func final(err error) bool {
	var f interface{ Final() bool }
	return errors.As(err, &f) && f.Final()
}

// changed reports whether the file became another one while it was read.
func changed(err error) bool {
	var c interface{ Changed() bool }
	return errors.As(err, &c) && c.Changed()
}

func tooLarge(req goproxy.Request) error {
	return &goproxy.Error{Request: req, Err: fmt.Errorf("%w: larger than the %d MiB that are legal", goproxy.ErrUnavailable, req.Kind.MaxSize()>>20)}
}

// openFilled joins the fill of name and returns a reader of it: for a zip as soon
// as the source has answered, for anything else when it is whole.
func (c *Cache) openFilled(ctx context.Context, req goproxy.Request, name string, old *stored) (goproxy.File, error) {
	f, err := c.join(ctx, req, name)
	if err != nil {
		return nil, err
	}
	defer f.release()
	var patience <-chan time.Time
	if old != nil {
		t := time.NewTimer(c.cfg.Patience)
		defer t.Stop()
		patience = t.C
	}
	var over <-chan time.Time
	for {
		f.mu.Lock()
		early := req.Kind == goproxy.Zip && f.spool != nil && !f.refused && !f.done
		wait := time.Until(f.whole)
		ready := f.done && f.err == nil || early && (f.verified || wait <= 0)
		if ready {
			file, err := f.openLocked(ctx, req)
			f.mu.Unlock()
			return file, err
		}
		if f.done {
			f.mu.Unlock()
			if f.err == errLookAgain {
				return nil, errLookAgain
			}
			return nil, ownError(req, f.err)
		}
		moved := f.wait()
		f.mu.Unlock()
		if early && over == nil {
			over = time.After(wait)
		}
		select {
		case <-moved:
		case <-over:
		case <-ctx.Done():
			return nil, &goproxy.Error{Request: req, Err: context.Cause(ctx)}
		case <-patience:
			return nil, &goproxy.Error{Request: req, Err: fmt.Errorf("%w: the upstream takes its time", goproxy.ErrUnavailable)}
		}
	}
}

// ownError gives what is no *goproxy.Error yet its request.
func ownError(req goproxy.Request, err error) error {
	var e *goproxy.Error
	if errors.As(err, &e) {
		return err
	}
	return &goproxy.Error{Request: req, Err: err}
}
