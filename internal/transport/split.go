package transport

import (
	"context"
	"io"
	"math/bits"
	"net/http"
	"slices"
	"time"
)

// trunkRead bounds a Read of the trunk, and with it how far the reader can come unseen by
// the lanes.
const trunkRead = 128 << 10

// A split is what a stream has beside its trunk, once that alone turns out to be slow:
// lanes, which are goroutines with a connection each. They fetch chunks of the file, in its
// order, into memory. The trunk reads on meanwhile, up to the first chunk, so that no
// byte is asked for twice but those that were on the way when the trunk was cut there.
// A lane that fails gives its chunk back with what it got of it: another lane goes on with
// it, or the reader itself. The fields are guarded by the stream's mu.
type split struct {
	chunks  []*chunk      // in the file's order; the first one is the reader's next bytes, or ahead of them
	direct  bool          // the reader reads the trunk, or is opening it
	want    int           // connections, with the trunk
	running int           // lanes
	taken   uint64        // numbers of the lanes that run
	flowing uint64        // of them, those that have brought bytes
	single  bool          // a transport makes one connection (HTTP/2)
	refused bool          // the server does not serve parts after all
	moved   time.Time     // when a lane brought bytes last
	cutAt   int64         // where the reader was when a lane failed last
	best    int           // connections that have paid
	busy    time.Time     // until when the server wants to be left alone
	trip    time.Duration // the shortest time that an answer took
	gauge   gauge
}

// A chunk is a span of the file in memory.
type chunk struct {
	from, to int64
	buf      []byte // to-from bytes
	got      int    // of them, those that are there
	taken    bool   // a lane fetches it
	last     bool   // it is the end of the file

	moved time.Time               // when its lane began, or brought something
	stop  context.CancelCauseFunc // ends its lane's request
}

// missing reports whether something of c is not there yet.
func (c *chunk) missing() bool { return int64(c.got) < c.to-c.from }

func newSplit(proto int) *split {
	return &split{direct: true, want: 1, best: 1, single: proto >= 2}
}

// splittable reports whether resp, a whole file, may come over several connections.
func (s *stream) splittable(resp *http.Response) bool {
	cfg := &s.t.cfg
	return cfg.SplitSize > 0 && cfg.SplitParts > 1 && cfg.MaxConnsPerHost == 0 && s.id.total >= cfg.SplitSize &&
		s.id.strong() && ranges(resp.Header) && resp.ProtoAtLeast(1, 1)
}

// fromChunks copies the next bytes from the first chunk, waiting for its lane. It returns 0
// where they are not to be had there. s.mu is held.
func (s *stream) fromChunks(p []byte) int {
	sp := s.split
	for s.err == nil && sp != nil && len(sp.chunks) > 0 && sp.chunks[0].from <= s.off {
		c := sp.chunks[0]
		if n := copy(p, c.buf[s.off-c.from:c.got]); n > 0 {
			s.off += int64(n)
			if s.off == c.to {
				s.drop(0)
				sp.direct = false
				s.spawn()
			}
			return n
		}
		if !c.taken {
			s.drop(0) // the reader goes on with it
			return 0
		}
		sp.direct = false
		s.spawn()
		if s.req.Context().Err() != nil {
			s.end(askerLeft(s.req.Context(), OpRead, s.req.URL.Hostname()))
			return 0
		}
		s.wait()
	}
	return 0
}

// wait waits for something to change, and sees to it that a silent lane is not waited for too long.
func (s *stream) wait() {
	timer := time.AfterFunc(s.patience(), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hurry(time.Now())
	})
	defer timer.Stop()
	s.moved.Wait()
}

// drop takes chunk i away.
func (s *stream) drop(i int) {
	c := s.split.chunks[i]
	s.split.chunks = slices.Delete(s.split.chunks, i, i+1)
	s.t.split.memory.give(c.to - c.from)
	c.buf = nil
}

// release gives up what is there for lanes; none of them runs any more.
func (s *stream) release() {
	for s.split != nil && len(s.split.chunks) > 0 {
		s.drop(0)
	}
}

// wanted is how many lanes there should be. One connection alone is best the trunk.
func (sp *split) wanted() int {
	switch {
	case sp.want <= 1:
		return 0
	case sp.direct:
		return sp.want - 1
	}
	return sp.want
}

// spawn starts the lanes that are missing, if there is something to do for them; s.mu is held.
func (s *stream) spawn() {
	sp := s.split
	for s.err == nil && sp.running < sp.wanted() {
		c := s.claim()
		if c == nil {
			return
		}
		n := bits.TrailingZeros64(^(sp.taken | 1)) // lane 0 is the trunk's
		if !sp.direct && sp.taken&1 == 0 {
			n = 0
		}
		s.start(n, c)
	}
}

// start lets lane n fetch c.
func (s *stream) start(n int, c *chunk) {
	s.split.taken |= 1 << n
	s.split.running++
	s.lanes.Go(func() { s.run(&lane{n: n}, c) })
}

// claim takes for a lane what is to be fetched next: a chunk that was given back, else a new
// one. It returns nil if there is nothing, or no room for it. s.mu is held.
func (s *stream) claim() *chunk {
	sp := s.split
	for _, c := range sp.chunks {
		if !c.taken && c.missing() {
			c.taken = true
			return c
		}
	}
	if g := &sp.gauge; g.phase == trying && g.before == 1 {
		return nil // the first lane has the end of the file, and shall not cut the trunk before it has paid
	}
	from, end := s.unclaimed()
	// For each connection there is one chunk that arrives and one that waits.
	if end <= from || len(sp.chunks) >= 2*sp.want {
		return nil
	}
	c := s.newChunk(from, from+s.chunkSize(end-from))
	if c == nil {
		return nil
	}
	c.taken = true
	at := len(sp.chunks)
	if at > 0 && sp.chunks[at-1].last {
		at--
	}
	sp.chunks = slices.Insert(sp.chunks, at, c)
	return c
}

func (s *stream) newChunk(from, to int64) *chunk {
	if !s.t.split.memory.take(to - from) {
		return nil
	}
	return &chunk{from: from, to: to, buf: make([]byte, to-from)}
}

// unclaimed is the span behind all that somebody reads or fetches; s.mu is held.
func (s *stream) unclaimed() (from, to int64) {
	from, to = s.off, s.id.total
	if s.split.direct {
		from += max(s.t.split.chunk, trunkRead) // so that the trunk can go on for a while
	}
	for _, c := range s.split.chunks {
		if c.last {
			to = c.from
		} else {
			from = max(from, c.to)
		}
	}
	return from, to
}

// chunkSize is how much of the rest a lane takes: what it brings in some seconds, and
// towards the end less, so that all lanes are done at the same time.
func (s *stream) chunkSize(rest int64) int64 {
	sp, want := &s.t.split, int64(s.split.want)
	size := int64(s.split.rate() * chunkTime.Seconds())
	size = min(max(size, sp.chunk), sp.chunkMost)
	size = min(size, max(rest/want, sp.chunkLeast))
	if rest-size < sp.chunkLeast/2 {
		return rest
	}
	return size
}

const chunkTime = 2 * time.Second

// A lane is one of a stream's goroutines that fetch chunks.
type lane struct {
	n       int
	relayed bool // another goroutine has begun the next chunk; guarded by the stream's mu
}

// run fetches chunk after chunk.
func (s *stream) run(l *lane, c *chunk) {
	for c != nil {
		had := c.got
		err := s.fetch(l, c)
		c = s.fetched(l, c, had, err)
	}
}

// fetch fetches what is missing of c, which is this lane's alone.
func (s *stream) fetch(l *lane, c *chunk) error {
	as := try{n: 1, part: true, resumed: c.got > 0}
	if s.split.single {
		as.lane = l.n
	}
	start := time.Now()
	ctx, stop := context.WithCancelCause(s.req.Context())
	defer stop(errDone)
	s.mu.Lock()
	c.moved, c.stop = start, stop
	s.mu.Unlock()
	resp, err := s.request(ctx, c.from+int64(c.got), c.to, as)
	if resp == nil {
		return err
	}
	defer resp.Body.Close()
	s.answered(time.Since(start))
	if err != nil {
		return err // all of the file, which helps no lane
	}
	for got, buf := c.got, c.buf; got < len(buf); {
		k, err := resp.Body.Read(buf[got:min(got+trunkRead, len(buf))])
		got += k
		s.brought(l, c, k)
		switch {
		case got == len(buf): // the reader may be done with it by now
		case err == io.EOF:
			return &Error{Op: OpRead, Failure: EOF, Host: s.req.URL.Hostname(), Err: io.ErrUnexpectedEOF}
		case err != nil:
			return err
		}
	}
	var beyond [1]byte
	_, _ = resp.Body.Read(beyond[:]) // the end, so that the connection can be used again
	return nil
}

// answered notes how long the header of a part took.
func (s *stream) answered(after time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sp := s.split; sp.trip == 0 || after < sp.trip {
		sp.trip = after
	}
}

// brought notes that l has brought k bytes of c.
func (s *stream) brought(l *lane, c *chunk, k int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp := s.split
	c.got += k
	c.moved = time.Now()
	if k > 0 && sp.flowing&(1<<l.n) == 0 {
		sp.flowing |= 1 << l.n
		s.flows(c.moved)
	}
	sp.moved = c.moved
	s.relay(l, c)
	s.hurry(c.moved)
	s.measure(0)
	if sp.chunks[0] == c {
		s.moved.Broadcast()
	}
}

// lanePatience is how long a lane may be silent that the reader waits for, while others are
// not. It is shorter than a stall may be for a body that comes over one connection: there
// is another way here, and the more requests there are the likelier it is that one stalls.
const lanePatience = 3 * time.Second

func (s *stream) patience() time.Duration { return min(lanePatience, s.t.cfg.StallTimeout) }

// hurry takes the chunk that the reader waits for away from a lane that is silent, if it is not
// the link that is.
func (s *stream) hurry(now time.Time) {
	if s.err != nil || len(s.split.chunks) == 0 {
		return
	}
	c := s.split.chunks[0]
	if c.taken && c.stop != nil && c.from+int64(c.got) == s.off &&
		now.Sub(c.moved) >= s.patience() && s.split.moved.Sub(c.moved) >= s.patience()/4 {
		c.stop(errStalled)
	}
}

// relay lets another goroutine ask for the next chunk on l's connection while the last bytes
// of c come, so that it does not idle for a round trip. Only HTTP/2 can do that.
func (s *stream) relay(l *lane, c *chunk) {
	sp := s.split
	left := float64(c.to - c.from - int64(c.got))
	if !sp.single || l.relayed || left > sp.rate()*sp.trip.Seconds() || s.err != nil || sp.running > sp.wanted() {
		return
	}
	if next := s.claim(); next != nil {
		l.relayed = true
		s.vacate(l)
		s.start(l.n, next)
	}
}

// rate is what one connection brings, in bytes per second; 0 while that is not known.
func (sp *split) rate() float64 { return sp.gauge.best / float64(sp.best) }

// vacate makes room for another lane in place of l.
func (s *stream) vacate(l *lane) {
	s.split.running--
	s.split.taken &^= 1 << l.n
}

// fetched says what l does next after its fetch of c, of which it had some bytes, ended
// with err. Nil means that it ends.
func (s *stream) fetched(l *lane, c *chunk, had int, err error) *chunk {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp := s.split
	c.taken = false
	s.moved.Broadcast()
	ok := s.goesOn(c, had, err)
	if l.relayed {
		return nil
	}
	if ok && sp.running <= sp.wanted() {
		if next := s.claim(); next != nil {
			return next
		}
	}
	s.vacate(l)
	sp.flowing &^= 1 << l.n
	s.abandon()
	return nil
}

// goesOn reports whether a lane goes on after err, and if it does not, whether lanes make
// sense at all.
func (s *stream) goesOn(c *chunk, had int, err error) bool {
	sp := s.split
	if s.err != nil || s.req.Context().Err() != nil {
		return false
	}
	if err == nil {
		return true
	}
	s.t.cfg.Logger.InfoContext(s.req.Context(), "a part broke off", "host", s.req.URL.Host, "bytes", c.from+int64(c.got), "err", err)
	refused, _ := err.(*refusal)
	e, _ := err.(*Error)
	switch {
	case e != nil && e.Failure == Changed:
		s.end(err)
		return false
	case err == errWhole, err == errOther, refused != nil && !refused.temporary:
		sp.refused, sp.want, sp.best = true, 1, 1
		s.settle(true)
		return false
	case e != nil && again(nil, e) && c.got-had >= laneProgress:
		return true
	}
	// Where even one connection is in doubt, more of them are worse.
	sp.want = max(min(sp.want, sp.running)-1, 1)
	if refused != nil {
		sp.want, sp.busy = 1, time.Now().Add(refused.after)
	}
	sp.cutAt = s.off
	s.settle(false)
	return false
}

const (
	laneProgress = 64 << 10 // what a lane must bring before it may fail again
	laneRest     = 4 << 20  // what must be read before a lane that failed gets another try
)

// abandon takes chunks away with which no lane will go on, so that the trunk need not stop
// for them, unless they are worth it; s.mu is held.
func (s *stream) abandon() {
	sp := s.split
	if sp.running > 0 || !sp.direct {
		return
	}
	for i := len(sp.chunks) - 1; i >= 0; i-- {
		if c := sp.chunks[i]; c.missing() && int64(c.got) < s.t.split.chunkLeast {
			s.drop(i)
		}
	}
}
