package prefetch

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
)

const (
	sweepEvery = 15 * time.Second
	wasteAge   = 10 * time.Minute // unasked for so long, a file was fetched for nothing
	quiet      = 10 * time.Minute // of a client, after which it is forgotten
	maxClients = 1000

	// When the source fails so often in a row, it has enough to do with what clients ask.
	failuresInRow = 5
	failurePause  = 30 * time.Second
)

// Run watches and asks ahead until ctx ends, and returns nil when everything that it had
// started is over. It must run once at a time.
func (s *Server) Run(ctx context.Context) error {
	newObserver(s).run(ctx)
	return nil
}

// An observer is what Run knows. One goroutine owns it and all sessions: requests only
// leave a note, fetches bring their outcome.
type observer struct {
	*Server
	sessions map[string]*session
	recent   *list.List // of *session, the one heard of last in front
	ready    []*session // that have something to fetch, in turn
	memo     map[module.Version]*needs
	results  chan outcome
	wg       sync.WaitGroup

	files       int // of all sessions
	small, zips int // being fetched
	unmet       int // zips that clients wait for and that nobody had foreseen; they have the link first
	failures    int // in a row
	pause       time.Time
}

func newObserver(s *Server) *observer {
	return &observer{
		Server: s, sessions: map[string]*session{}, recent: list.New(),
		memo: map[module.Version]*needs{}, results: make(chan outcome),
	}
}

func (o *observer) run(ctx context.Context) {
	defer o.wg.Wait()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case ev := <-o.events:
			o.event(ev)
		case res := <-o.results:
			o.result(res)
		case <-tick.C:
			o.sweep()
		}
		o.start(ctx)
	}
}

func (o *observer) event(ev event) {
	s := o.session(ev.client)
	s.last = o.now()
	if !ev.over {
		s.asked(ev.req)
		return
	}
	s.served += ev.bytes
	switch ev.result {
	case "miss", "hit", "stale":
		s.asked(ev.req)
		s.answered(ev.req, ev.result == "miss", ev.bytes)
	}
	s.met(s.files[ev.req])
}

// session finds the client, or begins with it; the one that has been quiet for longest makes
// room.
func (o *observer) session(client string) *session {
	if s := o.sessions[client]; s != nil {
		if len(s.files) < maxFiles {
			o.recent.MoveToFront(s.place)
			return s
		}
		o.forget(s) // a gateway with many users behind it, most likely
	}
	for len(o.sessions) >= maxClients || o.files >= allFiles {
		o.forget(o.recent.Back().Value.(*session))
	}
	s := newSession(o, client)
	s.place = o.recent.PushFront(s)
	o.sessions[client] = s
	o.stats.clients.Store(int64(len(o.sessions)))
	return s
}

func (o *observer) forget(s *session) {
	s.over = true
	o.recent.Remove(s.place)
	delete(o.sessions, s.client)
	o.files -= len(s.files)
	o.stats.clients.Store(int64(len(o.sessions)))
	for _, f := range s.files {
		s.met(f)
		if f.guess != nil && !f.asked && f.state == have && !f.aged {
			o.wasted(f)
		}
	}
}

func (o *observer) wasted(f *file) {
	f.aged = true
	if f.cost > 0 {
		o.stats.wasted.Add(f.cost)
		o.stats.wastedFiles.Add(1)
	}
}

// sweep forgets clients that are gone, and finds what was fetched for nothing.
func (o *observer) sweep() {
	now := o.now()
	for el := o.recent.Back(); el != nil; el = o.recent.Back() {
		s := el.Value.(*session)
		if now.Sub(s.last) < quiet {
			break
		}
		o.forget(s)
	}
	for _, s := range o.sessions {
		s.sweep(now)
	}
}

// A job is one file to be fetched ahead, or a .mod that a client asked for to be read.
type job struct {
	s   *session
	req goproxy.Request
	f   *file
}

// An outcome is what came of a job: first, for a zip, its size; then its end.
type outcome struct {
	job
	end    bool
	bytes  int64
	cached bool // it was there already
	data   []byte
	err    error
}

// start fetches what is queued as far as there is room, one file of each client in turn.
func (o *observer) start(ctx context.Context) {
	if o.now().Before(o.pause) {
		return
	}
	maxZips := max(1, o.cfg.Parallel/4)
	if o.unmet > 0 {
		maxZips = max(1, maxZips/4)
	}
	for none := 0; none < len(o.ready) && (o.small < o.cfg.Parallel || o.zips < maxZips); {
		s := o.ready[0]
		o.ready = o.ready[1:]
		j, ok := s.next(o.small < o.cfg.Parallel, o.zips < maxZips)
		if ok {
			o.launch(ctx, j)
			none = 0
		}
		if s.ready = s.queued() && !s.over; s.ready {
			o.ready = append(o.ready, s)
			if !ok {
				none++ // what it has does not fit the room there is
			}
		}
	}
}

func (o *observer) launch(ctx context.Context, j job) {
	n := &o.small
	if j.req.Kind == goproxy.Zip {
		n = &o.zips
	}
	*n++
	o.wg.Go(func() {
		res := o.fetch(ctx, j)
		res.end = true
		o.report(ctx, res)
	})
}

func (o *observer) report(ctx context.Context, res outcome) {
	select {
	case o.results <- res:
	case <-ctx.Done():
	}
}

// result takes what a fetch brought.
func (o *observer) result(res outcome) {
	if !res.end {
		res.s.cost(res.f, res.bytes)
		return
	}
	if res.req.Kind == goproxy.Zip {
		o.zips--
	} else {
		o.small--
	}
	if res.err != nil {
		o.failed(res)
		return
	}
	o.failures = 0
	if res.cached {
		res.bytes = 0
	}
	res.s.fetched(res)
}

func (o *observer) failed(res outcome) {
	res.s.dropped(res.f)
	if res.f.guess != nil {
		o.stats.failed.Add(1)
	}
	o.log.Debug("not fetched ahead", "module", res.req.Path, "version", res.req.Version, "file", res.req.Kind.String(), "err", res.err)
	if goproxy.Absent(res.err) || errors.Is(res.err, goproxy.ErrBlocked) {
		return
	}
	if o.failures++; o.failures >= failuresInRow {
		o.failures, o.pause = 0, o.now().Add(failurePause)
	}
}
