package prefetch

import (
	"container/list"
	"time"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
)

const (
	maxFiles  = 8192    // of one client that are remembered; then it begins anew
	allFiles  = 1 << 18 // of all clients; some tens of MiB
	maxMods   = 2000    // .mod files fetched ahead for one client
	allowance = 2 << 20 // bytes that may be wasted on a client that has not been served anything yet

	// Small files fetched ahead and not asked for yet may be so many, and more with each that the client
	// asks for: one that stops after a few requests leaves few behind.
	smallAhead    = 256
	smallPerAsked = 2
)

// A session is one client, from its first request until it has been quiet for a while.
type session struct {
	o      *observer
	client string
	place  *list.Element
	last   time.Time // of the last request
	over   bool      // forgotten; outcomes may still come
	ready  bool      // in o.ready

	files map[goproxy.Request]*file
	log   []goproxy.Request // asked for, in order, each once
	cold  bool              // something had to be fetched; before that there is nothing to gain

	served int64 // bytes
	passed int64 // bytes of files that others were asked for instead of
	wasted int64 // bytes of files that were not asked for within wasteAge
	asks   int   // small files that it asked for
	ahead  int   // small files fetched or queued for it that it did not ask for yet
	mods   int   // .mod files fetched or queued ahead

	queue [classes][]job // small files
	later []job          // zips

	graph graph
	zip   zips
	guesses
}

// classes of small files: what a client waits for or has read already comes first, then what it will
// certainly ask for, then what it may, by how far that is from what it asked for.
const (
	atHand = iota
	certain
	likely
	maybe
	farOff
	classes
)

// A file of a session.
type file struct {
	asked bool  // by the client
	unmet bool  // a zip that it waits for and that was not foreseen
	state state // of fetching it ahead
	guess *guess
	cost  int64 // bytes that it took or, while it is not there, may take from the source

	// Of a .mod file, how it was reached, see graph.
	depth  int
	closed bool

	// Of a guess that is not asked for.
	when   time.Time // it was there
	born   int       // zips that had been asked for when it was made
	passed bool      // others were asked for instead; counted as a miss
	aged   bool      // counted as waste
}

type state uint8

const (
	idle state = iota
	waiting
	fetching
	have
	missing // could not be fetched
)

func newSession(o *observer, client string) *session {
	return &session{
		o: o, client: client, files: map[goproxy.Request]*file{},
		graph: newGraph(), zip: zips{position: map[module.Version]int{}}, guesses: newGuesses(),
	}
}

func (s *session) file(req goproxy.Request) *file {
	f := s.files[req]
	if f == nil {
		f = &file{}
		s.files[req] = f
		s.o.files++
	}
	return f
}

// asked notes that the client asks for req, and asks ahead.
func (s *session) asked(req goproxy.Request) {
	f := s.file(req)
	if f.asked {
		return
	}
	f.asked = true
	if req.Kind == goproxy.Zip && f.guess == nil {
		f.unmet = true
		s.o.unmet++
	}
	s.log = append(s.log, req)
	s.hit(req, f)
	if req.Kind != goproxy.Zip {
		s.asks++
	}
	s.note(req)
	if s.cold {
		s.follow(req, f)
	}
}

// met notes that the client waits for f no more. f may be nil.
func (s *session) met(f *file) {
	if f != nil && f.unmet {
		f.unmet = false
		s.o.unmet--
	}
}

// note keeps what later guesses are made of.
func (s *session) note(req goproxy.Request) {
	m := module.Version{Path: req.Path, Version: req.Version}
	switch {
	case req.Kind == goproxy.Mod:
		s.graph.note(m)
	case req.Kind == goproxy.Info && !req.Query():
		s.zip.noteInfo(m)
	case req.Kind == goproxy.Zip:
		s.zip.noteZip(m)
	}
}

// follow asks for what comes after req.
func (s *session) follow(req goproxy.Request, f *file) {
	m := module.Version{Path: req.Path, Version: req.Version}
	switch {
	case req.Kind == goproxy.Mod:
		s.followMod(m, f)
	case req.Kind == goproxy.Info && !req.Query():
		s.followInfo(m)
	case req.Kind == goproxy.Zip:
		s.followZip(m)
	}
}

// answered goes on when a client has its answer.
func (s *session) answered(req goproxy.Request, miss bool, bytes int64) {
	if miss && !s.cold {
		s.cold = true
		for _, req := range s.log {
			s.follow(req, s.files[req])
		}
	}
	if !s.cold {
		return
	}
	switch {
	case req.Kind == goproxy.Zip:
		s.zip.sized(bytes)
		s.refill()
	case !req.Immutable() && s.files[req].state == idle:
		s.files[req].state = have
		s.enqueue(atHand, job{s, req, s.files[req]}) // it tells of versions
	}
}

// predict queues a small file that the client may ask for.
func (s *session) predict(g *guess, class int, req goproxy.Request) *file {
	f := s.file(req)
	switch {
	case f.asked || f.state != idle,
		g.stopped(s.o.now()),
		s.ahead >= smallAhead+smallPerAsked*s.asks,
		req.Kind == goproxy.Mod && s.mods >= maxMods,
		len(s.files) >= maxFiles,
		s.expected() > s.budget(),
		!s.o.allowed(req):
		return f
	}
	if req.Kind == goproxy.Mod {
		s.mods++
	}
	s.ahead++
	f.guess, f.state, f.born = g, waiting, s.zip.asks
	s.enqueue(class, job{s, req, f})
	return f
}

// allowed holds a name that was read in somebody's go.mod to the rules.
func (o *observer) allowed(req goproxy.Request) bool {
	if _, err := req.Name(); err != nil {
		return false
	}
	return o.cfg.Allow == nil || o.cfg.Allow(req)
}

func (s *session) enqueue(class int, j job) {
	if j.req.Kind == goproxy.Zip {
		s.later = append(s.later, j)
	} else {
		s.queue[class] = append(s.queue[class], j)
	}
	if !s.ready && !s.over {
		s.ready = true
		s.o.ready = append(s.o.ready, s)
	}
}

func (s *session) queued() bool {
	for _, q := range s.queue {
		if len(q) > 0 {
			return true
		}
	}
	return len(s.later) > 0
}

// next takes what is to be fetched first out of the queues; small files make the way for zips.
func (s *session) next(small, zips bool) (job, bool) {
	for class := range s.queue {
		for small && len(s.queue[class]) > 0 {
			j := s.queue[class][0]
			s.queue[class] = s.queue[class][1:]
			if class == atHand {
				return j, true
			}
			if s.wanted(j) {
				j.f.state = fetching
				return j, true
			}
		}
	}
	for zips && len(s.later) > 0 {
		j := s.later[0]
		s.later = s.later[1:]
		if s.wanted(j) {
			j.f.state = fetching
			return j, true
		}
	}
	return job{}, false
}

// wanted reports whether a file that was queued is still to be fetched. The client's own
// request has overtaken it otherwise, or a higher version was seen.
func (s *session) wanted(j job) bool {
	switch {
	case j.f.asked || j.f.state != waiting:
		return false
	case j.req.Kind == goproxy.Mod && s.graph.useless(j.req, j.f):
		s.settle(j.f)
		s.mods--
		*j.f = file{} // it may turn out to be certain later
		return false
	case j.f.passed:
		s.dropped(j.f)
		return false
	}
	return true
}

// dropped takes back a guess that was not fetched.
func (s *session) dropped(f *file) {
	if f.guess == nil || f.state == have {
		return
	}
	s.settle(f)
	f.state = missing
}

// fetched takes a file that is in the cache now.
func (s *session) fetched(res outcome) {
	f := res.f
	if f.state == fetching {
		f.state, f.when = have, s.o.now()
		s.cost(f, res.bytes)
		s.count(f)
	}
	m := module.Version{Path: res.req.Path, Version: res.req.Version}
	switch {
	case s.over:
	case res.req.Kind == goproxy.Mod:
		s.expand(m, f, s.o.read(m, res.data))
	case !res.req.Immutable():
		s.tells(res.req, res.data)
	}
}

// count adds a file that was fetched ahead to the statistics.
func (s *session) count(f *file) {
	if f.cost == 0 {
		return
	}
	st := &s.o.stats
	st.fetched.Add(f.cost)
	st.files.Add(1)
	switch {
	case f.asked:
		st.used.Add(f.cost)
		st.usedFiles.Add(1)
	case s.over:
		s.o.wasted(f)
	}
}

// sweep finds what was fetched so long ago that it counts as waste.
func (s *session) sweep(now time.Time) {
	for _, f := range s.files {
		if f.guess == nil || f.asked || f.state != have || f.aged || now.Sub(f.when) < wasteAge {
			continue
		}
		s.passOver(f)
		s.passed -= f.cost
		s.wasted += f.cost
		s.o.wasted(f)
	}
}
