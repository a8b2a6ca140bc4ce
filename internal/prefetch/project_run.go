package prefetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

// Options say how Run fetches. The zero value fetches each file once.
type Options struct {
	Parallel int // .mod and .info files on their way at a time, at most; 0 is 64
	Zips     int // zips at a time, at most; 0 is 16

	Gate *Gate                          // lets clients go first; nil if there are none
	Skip func(req goproxy.Request) bool // files that nobody will ask for; nil skips none

	// More finds out, beside the fetching, what else is needed, and adds it. What it reads from src
	// counts as fetched. nil if there is nothing to find out.
	More func(ctx context.Context, src goproxy.Source, add func(files ...goproxy.Request))

	// Retry asks once more, at the end, for files of which could not be found out whether they are there.
	Retry bool

	// Progress is told of what happens, by many goroutines; it must not wait. nil tells nobody.
	Progress func(ev Event)

	Now func() time.Time // nil means time.Now
}

// A Step is what has happened to a file.
type Step uint8

// The steps of a file: it is queued, begins to arrive, grows, and is done. One that is
// in the cache already, or left to a client, goes from queued to done, and one that is retried begins again.
const (
	Queued Step = iota + 1
	Started
	Arrived // Bytes more have arrived
	Done
)

// An Event is one step of one file.
type Event struct {
	Request goproxy.Request
	Step    Step
	Size    int64 // of the file in bytes, when it starts; negative if unknown
	Bytes   int64 // that arrived in this step; when done: in all
	Cached  bool  // when done: it was in the cache already
	Err     error // when done: why it is missing
}

// A Result counts what Run did.
type Result struct {
	Fetched int   // files that were brought into the cache
	Cached  int   // files that were there already
	Bytes   int64 // of the fetched files
	Missing []Missing
}

// Missing is a file that could not be had.
type Missing struct {
	Request goproxy.Request
	Err     error
}

// maxFailures is how many files may fail one after another, because an upstream cannot be asked, before the
// others are not asked for any more.
const maxFailures = 32

// errNotAsked is why what comes behind them is missing.
var errNotAsked = fmt.Errorf("%w: not asked for, after %d files that could not be had", goproxy.ErrUnavailable, maxFailures)

// Run brings files into the cache that src is: in their order, zips beside the small
// files, as many at a time as make it faster. It waits for all of them. The error is that of
// ctx; what has come by then stays, and the result tells of it.
func Run(ctx context.Context, src goproxy.Source, files []goproxy.Request, o Options) (Result, error) {
	r := newRunner(src, o)
	defer o.Gate.join(r, func() { r.pump(ctx) })()
	r.add(files)
	if o.More != nil {
		r.wg.Go(func() {
			o.More(ctx, goproxy.SourceFunc(r.openFor), func(files ...goproxy.Request) {
				r.add(files)
				r.pump(ctx)
			})
		})
	}
	r.pump(ctx)
	r.wg.Wait()
	for r.retry(ctx) {
		r.wg.Wait()
	}
	if ctx.Err() != nil {
		return r.res, context.Cause(ctx)
	}
	return r.res, nil
}

// A runner is one Run.
type runner struct {
	src goproxy.Source
	o   Options
	now func() time.Time
	wg  sync.WaitGroup

	mu     sync.Mutex
	res    Result
	known  map[goproxy.Request]bool // queued once
	done   map[goproxy.Request]bool // counted
	asked  map[goproxy.Request]bool // by More, which has no answer yet
	ahead  map[goproxy.Request]bool // being fetched
	small  lane
	zips   lane
	again  []Missing                 // to be retried
	why    map[goproxy.Request]error // of what is retried
	failed int                       // one after another
	over   bool                      // nothing is postponed any more
}

func newRunner(src goproxy.Source, o Options) *runner {
	r := &runner{src: src, o: o, now: o.Now, known: map[goproxy.Request]bool{}, done: map[goproxy.Request]bool{},
		asked: map[goproxy.Request]bool{}, ahead: map[goproxy.Request]bool{}, why: map[goproxy.Request]error{}, over: !o.Retry}
	if r.now == nil {
		r.now = time.Now
	}
	start := r.now()
	r.small = newLane(16, cmp.Or(max(o.Parallel, 0), 64), start)
	r.zips = newLane(8, cmp.Or(max(o.Zips, 0), 16), start)
	return r
}

// add queues files, each once.
func (r *runner) add(files []goproxy.Request) {
	for _, req := range files {
		if r.o.Skip != nil && r.o.Skip(req) {
			continue
		}
		r.mu.Lock()
		known := r.known[req] || r.done[req]
		r.known[req] = true
		if !known {
			l := r.lane(req)
			l.queue = append(l.queue, req)
		}
		r.mu.Unlock()
		if !known {
			r.tell(Event{Request: req, Step: Queued})
		}
	}
}

func (r *runner) lane(req goproxy.Request) *lane {
	if req.Kind == goproxy.Zip {
		return &r.zips
	}
	return &r.small
}

// pump starts as many files as may be under way. It is called whenever that may have changed.
func (r *runner) pump(ctx context.Context) {
	busy := r.o.Gate.busy()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range []*lane{&r.small, &r.zips} {
		for {
			req, ok := l.next(busy)
			if !ok {
				break
			}
			if ctx.Err() != nil {
				l.queue = nil
				l.running--
				break
			}
			r.wg.Go(func() {
				r.bring(ctx, req)
				r.pump(ctx)
			})
		}
	}
}

// bring fetches one file, unless that is not worth it any more.
func (r *runner) bring(ctx context.Context, req goproxy.Request) {
	r.mu.Lock()
	done, dead := r.done[req] || r.asked[req], r.failed >= maxFailures
	if !done {
		r.ahead[req] = true
		defer r.forget(req)
	}
	why := cmp.Or(r.why[req], error(&goproxy.Error{Request: req, Err: errNotAsked}))
	r.mu.Unlock()
	switch {
	case done:
		r.leave(req, 0, true, nil)
	case dead:
		r.leave(req, 0, true, nil)
		r.count(req, 0, false, why)
	case !r.o.Gate.begin(req):
		r.leave(req, 0, true, nil)
		r.count(req, 0, true, nil) // a client is fetching it: it will be there
	default:
		n, hit, err := r.fetch(ctx, req)
		r.o.Gate.end(req)
		r.leave(req, n, hit, err)
		if ctx.Err() == nil && !r.postpone(req, err) {
			r.count(req, n, hit, err)
		}
	}
}

func (r *runner) forget(req goproxy.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.ahead, req)
}

// leave gives the place of req to the next one. What took no time says nothing about the link.
func (r *runner) leave(req goproxy.Request, n int64, hit bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.lane(req)
	l.running--
	switch {
	case hit:
	case err != nil && !goproxy.Absent(err):
		l.failed(r.now())
	case req.Kind == goproxy.Zip:
		l.brought(n, r.now())
	default:
		l.brought(1, r.now()) // a small file costs a round trip, whatever its size
	}
}

// fetch opens req and reads it to its end.
func (r *runner) fetch(ctx context.Context, req goproxy.Request) (n int64, hit bool, err error) {
	f, err := r.src.Open(ctx, req)
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, false, err
	}
	if goproxy.MetaOf(info).Result == "hit" {
		return 0, true, nil
	}
	r.tell(Event{Request: req, Step: Started, Size: info.Size()})
	n, err = io.Copy(teller{r, req}, onlyReader{f})
	return n, false, err
}

// A teller is told what has arrived, and keeps nothing.
type teller struct {
	r   *runner
	req goproxy.Request
}

func (t teller) Write(p []byte) (int, error) {
	t.r.tell(Event{Request: t.req, Step: Arrived, Bytes: int64(len(p))})
	return len(p), nil
}

// An onlyReader hides other methods, by which io.Copy would take everything at once.
type onlyReader struct{ io.Reader }

// postpone keeps a file that may be had later for another try.
func (r *runner) postpone(req goproxy.Request, err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil, goproxy.Absent(err):
		r.failed = 0
		return false
	case errors.Is(err, goproxy.ErrUnavailable):
		r.failed++
	}
	if r.over || !errors.Is(err, goproxy.ErrUnavailable) {
		return false
	}
	r.again = append(r.again, Missing{req, err})
	return true
}

// retry queues what was postponed; it reports whether there is anything to do.
func (r *runner) retry(ctx context.Context) bool {
	r.mu.Lock()
	r.over = true
	files := r.again
	r.again = nil
	for _, m := range files {
		r.why[m.Request] = m.Err
		l := r.lane(m.Request)
		l.queue = append(l.queue, m.Request)
	}
	r.mu.Unlock()
	r.pump(ctx)
	return len(files) > 0
}

// count puts the outcome of a file into the result, once.
func (r *runner) count(req goproxy.Request, n int64, hit bool, err error) {
	r.mu.Lock()
	known, done := r.known[req], r.done[req]
	r.known[req], r.done[req] = true, true
	if !done {
		switch {
		case err != nil:
			r.res.Missing = append(r.res.Missing, Missing{req, err})
		case hit:
			r.res.Cached++
		default:
			r.res.Fetched++
			r.res.Bytes += n
		}
	}
	r.mu.Unlock()
	if !known {
		r.tell(Event{Request: req, Step: Queued})
	}
	if !done {
		r.tell(Event{Request: req, Step: Done, Bytes: n, Cached: hit, Err: err})
	}
}

func (r *runner) tell(ev Event) {
	if r.o.Progress != nil {
		r.o.Progress(ev)
	}
}

// openFor opens a small file for More, and counts it, unless it is being fetched anyway.
func (r *runner) openFor(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
	r.mu.Lock()
	first := !r.done[req] && !r.asked[req] && !r.ahead[req] && req.Kind != goproxy.Zip && req.Immutable()
	if first {
		r.asked[req] = true
	}
	r.mu.Unlock()
	f, err := r.src.Open(ctx, req)
	if !first {
		return f, err
	}
	var info fs.FileInfo
	if err == nil {
		info, err = f.Stat()
	}
	if err == nil {
		r.count(req, info.Size(), isHit(f), nil) // the length of a small file is known
	}
	r.mu.Lock()
	delete(r.asked, req)
	if err != nil && r.known[req] {
		r.small.queue = append(r.small.queue, req) // it may have been passed over meanwhile
	}
	r.mu.Unlock()
	if err != nil {
		r.pump(ctx)
	}
	return f, err
}
