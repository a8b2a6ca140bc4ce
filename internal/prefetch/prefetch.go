// Package prefetch asks ahead of the client for what it will ask next, and counts what was
// wasted.
//
// It never fetches what policy forbids, never makes a client wait, and gives up where asking
// ahead does not pay. It keeps nothing itself: to ask ahead is to open a file of a caching
// goproxy.Source, whose fills outlive their asker.
//
// # What a request tells
//
// A Server sees nothing but requests. What they tell was watched at the go command (1.26):
//
//   - "go mod download" and "go list -m" load the module graph first, the .mod files of the main
//     module's requirements in the order of their paths, then what those of modules below go 1.17
//     require, level by level. A .mod file tells which come next.
//   - They then ask for the .info of each selected version, "go mod download" one at a time in the
//     order of the main module's go.mod, and "go list -m" also for the .mod files that pruning had
//     left out.
//   - "go mod download" then asks for the zips, in the very order of the .info files.
//   - "go build" with a complete go.sum loads no graph. It asks for the zip of a module that it
//     imports, then for its .mod, then for the zips that those packages import, in the end for
//     the .info of all of them.
//
// # What a guess may cost
//
// Files of the graph are small, and bounded by number. Zips are not: each kind of guess begins
// with a few zips ahead, more as they are asked for, fewer as they are passed over, and none for
// a while where most were wrong. The bytes that are expected to be wasted (see Config.WastePercent)
// bound all of it. How large a zip is shows only when it begins to arrive: one that is on its way
// then is not broken off.
package prefetch

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

// Config is what a Server is made of. Only Source is required.
type Config struct {
	// Source is the cache: opening a file of it fills it, and a context of
	// goproxy.WithCachedOnly asks nobody.
	Source goproxy.Source

	// Allow says whether a file may be asked for unasked: not what policy forbids, nor what
	// does not come from the upstream proxies. It is called often and must not wait. nil allows all.
	Allow func(req goproxy.Request) bool

	// WastePercent bounds the bytes that were fetched for a client and not asked for by it
	// within 10 minutes, in percent of the bytes served to it, with 2 MiB to begin with. Files that are
	// not asked for yet are counted by how often such guesses were wrong. 0 is the default: 15; negative
	// leaves the 2 MiB alone.
	WastePercent int

	// Parallel is how many files are fetched ahead at a time, for all clients; of zips it is at
	// most a quarter. 0 is the default: 64.
	Parallel int

	Logger *slog.Logger     // nil discards
	Now    func() time.Time // nil means time.Now
}

const (
	defaultWastePercent = 15
	defaultParallel     = 64

	eventQueue = 4096 // requests that wait to be looked at; what does not fit is not looked at
)

// A Server watches requests and asks ahead of them. It works while Run does.
type Server struct {
	cfg    Config
	log    *slog.Logger
	now    func() time.Time
	events chan event
	stats  counters
}

// New returns a Server. It starts nothing.
func New(cfg Config) *Server {
	switch {
	case cfg.WastePercent == 0:
		cfg.WastePercent = defaultWastePercent
	case cfg.WastePercent < 0:
		cfg.WastePercent = 0
	}
	if cfg.Parallel <= 0 {
		cfg.Parallel = defaultParallel
	}
	s := &Server{cfg: cfg, log: cfg.Logger, now: cfg.Now, events: make(chan event, eventQueue)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// An event is one request, at its beginning or its end.
type event struct {
	client string
	req    goproxy.Request
	over   bool   // the answer has been given
	result string // as goproxy.Answer.Result, when over
	bytes  int64
}

// Asked tells that client begins to wait for req. client is any key that tells clients apart,
// such as the remote address without the port and the user agent; "" is nobody. It never waits.
func (s *Server) Asked(client string, req goproxy.Request) {
	s.tell(event{client: client, req: req})
}

// Seen tells that client was given an answer of so many bytes; result is that of
// goproxy.Answer. It never waits. Without a call of Asked before it, it stands for both.
func (s *Server) Seen(client string, req goproxy.Request, result string, bytes int64) {
	s.tell(event{client: client, req: req, over: true, result: result, bytes: bytes})
}

func (s *Server) tell(ev event) {
	if ev.client == "" || ev.req.Path == "" {
		return
	}
	select {
	case s.events <- ev:
	default:
		s.stats.overlooked.Add(1) // a guess less; the client gets its answer all the same
	}
}

// Watch returns src with a call of Asked before each Open. client finds the key in the context of
// a request. What is opened from the cache only tells nothing about what comes next.
func (s *Server) Watch(src goproxy.Source, client func(ctx context.Context) string) goproxy.Source {
	return goproxy.SourceFunc(func(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
		if !goproxy.IsCachedOnly(ctx) {
			s.Asked(client(ctx), req)
		}
		return src.Open(ctx, req)
	})
}

// Stats says what asking ahead has brought. Bytes are those that came from the source; what was
// in the cache already is not counted.
type Stats struct {
	Fetched     int64 // bytes fetched ahead
	Used        int64 // of these, asked for by the client they were fetched for
	Wasted      int64 // of these, not asked for within 10 minutes, or before the client was forgotten
	Outstanding int64 // of these, neither yet
	Files       int64 // files fetched ahead
	UsedFiles   int64
	WastedFiles int64
	Failed      int64 // files that could not be fetched ahead
	Overlooked  int64 // requests that came too fast to be looked at
	Clients     int64 // that are remembered now
}

// counters are written by one goroutine and read by any.
type counters struct {
	fetched, used, wasted, files, usedFiles, wastedFiles, failed, overlooked, clients atomic.Int64
}

// Stats returns what has been counted since New.
func (s *Server) Stats() Stats {
	c := &s.stats
	st := Stats{
		Used: c.used.Load(), Wasted: c.wasted.Load(), UsedFiles: c.usedFiles.Load(), WastedFiles: c.wastedFiles.Load(),
		Failed: c.failed.Load(), Overlooked: c.overlooked.Load(), Clients: c.clients.Load(),
	}
	st.Fetched, st.Files = c.fetched.Load(), c.files.Load() // last: what is used has been fetched
	st.Outstanding = st.Fetched - st.Used - st.Wasted
	return st
}
