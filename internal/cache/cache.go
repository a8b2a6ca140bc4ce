// Package cache puts a store in front of a source: fills, freshness, eviction.
//
// It never talks HTTP, and does not decide whether bytes are authentic: a Check
// it is given does.
//
// # Fills
//
// A miss starts one fill for the name, however many ask. The fill outlives its
// first asker. It spools what arrives; readers of a zip follow the spool from the first
// byte, but the last bytes are held back until the whole has passed the check, so no
// complete bad file ever leaves. Small files are handed out only when they are whole.
// What passed is fsynced and renamed into the store, and only then is it a hit.
//
// # Freshness
//
// Immutable files are good for ever. Lists, latest and version queries are good for a
// time after an upstream confirmed them (the modification time of the stored file), and
// are served stale, without end, when no upstream can be asked. That something is
// positively not there is remembered as well, so that a replay without a network
// gets the answers it got with one.
package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/store"
)

// A Check says whether a finished file is what it should be. The error should match
// goproxy.ErrMismatch if it is not, and goproxy.ErrUnavailable if that cannot be found out.
type Check func(ctx context.Context, req goproxy.Request, r io.ReaderAt, size int64) error

// Config is what a Cache is made of. Only Store is required.
type Config struct {
	Store   *store.Store
	Source  goproxy.Source // where misses are filled from; nil like Offline
	Offline bool           // never ask Source
	Check   Check          // seen by every file before its last bytes leave and before it is kept; nil passes all

	// Prepare is called when a fill begins, beside it: what Check will need can be
	// fetched while the file is on its way. nil prepares nothing.
	Prepare func(ctx context.Context, req goproxy.Request)

	// Refused is called for each file that Check found to be wrong; nil is nobody.
	Refused func()

	// Kept is called for each file that was filled, checked and kept, with the name of the upstream that
	// served it, as goproxy.Avoid knows it; nil is nobody.
	Kept func(req goproxy.Request, from string)

	// How long a mutable answer is good after an upstream gave it, and how long an
	// absent file is believed to be absent. 0 is the default: one minute; negative is
	// never, so that an upstream is asked each time.
	FreshList, FreshLatest, FreshQuery, FreshAbsent time.Duration

	// Patience is how long an asker waits for a fresh answer when there is a
	// stale one; the fill goes on. 0 is the default: 5 seconds.
	Patience time.Duration

	// MemoryLimit bounds, in bytes, what fills may keep in memory when the disk is
	// full. 0 is the default: 256 MiB.
	MemoryLimit int64

	Logger *slog.Logger     // nil discards
	Now    func() time.Time // nil means time.Now
}

// A Cache is a Source in front of another. Close ends its fills.
type Cache struct {
	cfg    Config
	log    *slog.Logger
	now    func() time.Time
	hot    *hot
	names  goproxy.Names
	memory *budget
	local  goproxy.Source // answers from what is in the store, by Go's rules

	mu     sync.Mutex
	fills  map[string]*fill
	closed bool
	wg     sync.WaitGroup

	inFlight   atomic.Int64
	mismatches atomic.Int64
}

const (
	defaultFresh    = time.Minute
	defaultPatience = 5 * time.Second
	defaultMemory   = 256 << 20
)

// New returns a Cache. It starts nothing before the first miss.
func New(cfg Config) *Cache {
	setDefault(&cfg.FreshList, defaultFresh)
	setDefault(&cfg.FreshLatest, defaultFresh)
	setDefault(&cfg.FreshQuery, defaultFresh)
	setDefault(&cfg.FreshAbsent, defaultFresh)
	setDefault(&cfg.Patience, defaultPatience)
	setDefault(&cfg.MemoryLimit, defaultMemory)
	c := &Cache{cfg: cfg, log: cfg.Logger, now: cfg.Now, fills: map[string]*fill{}, hot: newHot(hotBytes)}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	if cfg.Source == nil {
		c.cfg.Offline = true
	}
	c.memory = &budget{left: cfg.MemoryLimit}
	c.local = goproxy.Strict(goproxy.SourceFunc(c.openPresent))
	return c
}

func setDefault[T time.Duration | int64](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// Close ends all fills and waits for them. What they had not finished is not kept.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.closed = true
	for _, f := range c.fills {
		f.cancel(errClosed)
	}
	c.mu.Unlock()
	c.wg.Wait()
	return nil
}

// InFlight is the number of fills that are running.
func (c *Cache) InFlight() int64 { return c.inFlight.Load() }

// Mismatches is the number of files that were refused since New because their bytes were wrong.
func (c *Cache) Mismatches() int64 { return c.mismatches.Load() }

// Open answers from the store where that is good enough, else from a fill. A hit waits
// for nobody.
func (c *Cache) Open(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
	if f := c.openHot(req); f != nil { // the answer whatever ctx says: it never changes
		return f, nil
	}
	name, err := c.names.Name(req)
	if err != nil {
		return nil, err
	}
	for {
		f, err := c.open(ctx, req, name)
		if err != errLookAgain {
			return f, err
		}
	}
}

func (c *Cache) open(ctx context.Context, req goproxy.Request, name string) (goproxy.File, error) {
	stale, err := c.openStored(req, name)
	switch {
	case err != nil && !errors.Is(err, goproxy.ErrNotExist):
		return nil, err
	case goproxy.IsCachedOnly(ctx):
		if stale == nil {
			return nil, &goproxy.Error{Source: "cache", Request: req, Err: fmt.Errorf("%w in the cache, and the request asks not to fetch", goproxy.ErrNotExist)}
		}
		if !req.Immutable() && !stale.fresh {
			stale.meta.Result = "stale"
		}
		return stale.file, nil
	case stale != nil && (req.Immutable() || stale.fresh && !c.cfg.Offline):
		return stale.file, nil
	case c.cfg.Offline:
		return c.openOffline(ctx, req, name, stale)
	}
	absent := c.storedAbsent(req, name)
	if absent != nil && absent.fresh {
		stale.close()
		return nil, absent.err
	}
	f, err := c.openFilled(ctx, req, name, stale)
	if err == nil {
		stale.unless(f)
		return f, nil
	}
	if err == errLookAgain || goproxy.Absent(err) || errors.Is(err, context.Canceled) || errors.Is(err, goproxy.ErrBlocked) || errors.Is(err, goproxy.ErrMismatch) {
		stale.close()
		return nil, err
	}
	if stale != nil && (absent == nil || stale.age < absent.age) {
		return c.serveStale(req, stale, err), nil
	}
	stale.close()
	if absent != nil {
		c.log.Warn("upstream cannot be asked: answering from what it said before", logAttrs(req, "age", absent.age.Round(time.Second), "err", err)...)
		return nil, absent.err
	}
	return nil, err
}

// answered reports whether the store has an answer that is good enough.
func (c *Cache) answered(req goproxy.Request, name string) bool {
	if s, err := c.openStored(req, name); err == nil {
		defer s.close()
		if s.fresh || req.Immutable() {
			return true
		}
	}
	absent := c.storedAbsent(req, name)
	return absent != nil && absent.fresh
}

func logAttrs(req goproxy.Request, more ...any) []any {
	return append([]any{"module", req.Path, "version", req.Version, "file", req.Kind.String()}, more...)
}

func (c *Cache) freshFor(req goproxy.Request) time.Duration {
	switch req.Kind {
	case goproxy.List:
		return c.cfg.FreshList
	case goproxy.Latest:
		return c.cfg.FreshLatest
	}
	return c.cfg.FreshQuery
}

// serveStale marks an old answer as what it is, in its headers and in the log.
func (c *Cache) serveStale(req goproxy.Request, s *stored, cause error) goproxy.File {
	c.log.Warn("upstream cannot be asked: serving a stale answer", logAttrs(req, "age", s.age.Round(time.Second), "err", cause)...)
	s.meta.Result, s.meta.Warning = "stale", `110 goferry "response is stale: no upstream could be asked"`
	return s.file
}
