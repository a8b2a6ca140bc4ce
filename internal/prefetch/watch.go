package prefetch

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
)

// WatchConfig is what a Watcher is made of. Source, and Patterns that match something, are required.
type WatchConfig struct {
	Source goproxy.Source // the cache

	// Patterns are globs as in GOPRIVATE, or "all". They choose among what Served names; only a
	// pattern without wildcards also names the module of that path by itself, served before or not.
	Patterns []string

	// Served names the modules to choose from: those of which the store has a zip. A module of
	// which only a .mod was ever wanted is part of a graph, and nobody waits for its next version. nil is none.
	Served func(ctx context.Context) ([]string, error)

	// Allow says whether a file may be asked for unasked, as Config.Allow. nil allows all.
	Allow func(req goproxy.Request) bool

	Every  time.Duration // from the end of one round to the next; 0 is 6 hours
	Window Window        // when new files may be begun; a round that it cuts goes on at its next opening

	// BytesPerSecond bounds what is fetched, on average: one file still comes as fast as the
	// source brings it, and is followed by a pause that is as long as it should have taken. 0 is no bound.
	BytesPerSecond int64

	Parallel int              // modules at a time; 0 is 2
	Logger   *slog.Logger     // nil discards
	Now      func() time.Time // nil means time.Now
}

const (
	defaultEvery         = 6 * time.Hour
	defaultWatchParallel = 2

	outage       = 10               // modules in a row for which no upstream could be asked end a round
	afterOutage  = 15 * time.Minute // or Every, if that is shorter
	maxBackoff   = 7 * 24 * time.Hour
	maxBetween   = time.Second // of the pause between modules, which is random
	clockCheck   = time.Minute // a machine that slept does not know of it
	allServed    = "all"
	maxNewOfOne  = 100 // new versions of one module in one round
	watchReadBuf = 64 << 10
)

// A Watcher keeps the modules that are used up to date before anyone asks: it refreshes their
// lists and fetches the versions that are new. It has no database: what was known before a version
// came is what the store has of the list.
type Watcher struct {
	cfg  WatchConfig
	log  *slog.Logger
	now  func() time.Time
	pace pace

	mu       sync.Mutex
	progress Progress
	known    map[string]string   // module path to the highest version at the end of its last look
	failing  map[string]*failing // by module path
}

// failing is a module that could not be looked at.
type failing struct {
	times int
	until time.Time // left alone
}

// NewWatcher returns a Watcher. It starts nothing.
func NewWatcher(cfg WatchConfig) *Watcher {
	if cfg.Every <= 0 {
		cfg.Every = defaultEvery
	}
	if cfg.Parallel <= 0 {
		cfg.Parallel = defaultWatchParallel
	}
	w := &Watcher{cfg: cfg, log: cfg.Logger, now: cfg.Now, known: map[string]string{}, failing: map[string]*failing{}}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	if w.now == nil {
		w.now = time.Now
	}
	w.pace.rate = cfg.BytesPerSecond
	return w
}

// Progress says how far a Watcher is.
type Progress struct {
	Running  bool      // a round is under way
	Due      int       // modules of the round that is under way, or was the last
	Done     int       // of these, looked at
	Failing  int       // modules that could not be looked at when they were last tried
	Versions int64     // new versions fetched since NewWatcher
	Bytes    int64     // fetched since NewWatcher
	LastRun  time.Time // when the last round ended; zero before
	NextRun  time.Time // when the next one begins, or goes on
}

// Progress returns how far it is now.
func (w *Watcher) Progress() Progress {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.progress
	p.Failing = len(w.failing)
	return p
}

func (w *Watcher) update(fn func(p *Progress)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fn(&w.progress)
}

// Run watches until ctx ends, and returns nil. It must run once at a time.
func (w *Watcher) Run(ctx context.Context) error {
	next := w.now()
	var rest []string // of a round that was cut
	for {
		next = w.cfg.Window.Next(next)
		w.update(func(p *Progress) { p.NextRun = next })
		if !w.sleepUntil(ctx, next) {
			return nil
		}
		if rest == nil {
			rest = w.due(ctx)
			w.update(func(p *Progress) { p.Due, p.Done = len(rest), 0 })
		}
		w.update(func(p *Progress) { p.Running = true })
		var down bool
		rest, down = w.round(ctx, rest)
		w.update(func(p *Progress) { p.Running = false })
		switch {
		case ctx.Err() != nil:
			return nil
		case down:
			next = w.now().Add(min(afterOutage, w.cfg.Every))
		case len(rest) > 0:
			next = w.now() // the window is closed
		default:
			rest = nil
			next = w.now().Add(w.cfg.Every + rand.N(w.cfg.Every/10+1)) // many goferries must not ask at the same moment
			w.update(func(p *Progress) { p.LastRun = w.now() })
			p := w.Progress()
			w.log.Info("watched modules are up to date", "modules", p.Done, "failing", p.Failing, "versions", p.Versions, "bytes", p.Bytes)
		}
	}
}

// sleepUntil waits for a moment by the clock on the wall, and reports whether it came before ctx ended.
func (w *Watcher) sleepUntil(ctx context.Context, t time.Time) bool {
	for {
		d := t.Round(0).Sub(w.now().Round(0))
		if d <= 0 {
			return ctx.Err() == nil
		}
		if sleep(ctx, min(d, clockCheck)) != nil {
			return false
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// due lists the modules of a round. It is never nil.
func (w *Watcher) due(ctx context.Context) []string {
	due := []string{}
	for _, p := range w.cfg.Patterns {
		if p != allServed && !strings.ContainsAny(p, `*?[\`) && module.CheckPath(p) == nil {
			due = append(due, p)
		}
	}
	if w.cfg.Served != nil {
		served, err := w.cfg.Served(ctx)
		if err != nil && ctx.Err() == nil {
			w.log.Warn("not all modules that were served could be found", "err", err)
		}
		globs := strings.Join(w.cfg.Patterns, ",")
		all := slices.Contains(w.cfg.Patterns, allServed)
		for _, path := range served {
			if all || module.MatchPrefixPatterns(globs, path) {
				due = append(due, path)
			}
		}
	}
	slices.Sort(due)
	due = slices.Compact(due)
	return slices.DeleteFunc(due, func(path string) bool {
		return w.cfg.Allow != nil && !w.cfg.Allow(goproxy.Request{Path: path, Kind: goproxy.List})
	})
}

// round looks at the modules, a few at a time, and returns those that it did not get to, and
// whether that is because no upstream can be asked.
func (w *Watcher) round(ctx context.Context, due []string) (rest []string, down bool) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	refused := 0 // in a row
	next := func() (string, bool) {
		mu.Lock()
		defer mu.Unlock()
		if len(due) == 0 || ctx.Err() != nil || refused >= outage || !w.cfg.Window.Contains(w.now()) {
			return "", false
		}
		path := due[0]
		due = due[1:]
		return path, true
	}
	for range w.cfg.Parallel {
		wg.Go(func() {
			for path, ok := next(); ok; path, ok = next() {
				err := w.look(ctx, path)
				mu.Lock()
				if errors.Is(err, goproxy.ErrUnavailable) {
					refused++
				} else {
					refused = 0
				}
				mu.Unlock()
				if sleep(ctx, rand.N(maxBetween)) != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return due, refused >= outage
}

// look is one look at a module that is not left alone. What went wrong is logged once, until
// all is well again.
func (w *Watcher) look(ctx context.Context, path string) error {
	defer w.update(func(p *Progress) { p.Done++ })
	w.mu.Lock()
	f := w.failing[path]
	w.mu.Unlock()
	if f != nil && w.now().Before(f.until) {
		return nil
	}
	err := w.module(ctx, path)
	if ctx.Err() != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil && f != nil:
		delete(w.failing, path)
		w.log.Info("watched module can be looked at again", "module", path)
	case err != nil && f == nil:
		f = &failing{}
		w.failing[path] = f
		w.log.Warn("watched module could not be looked at; it is tried again", "module", path, "err", err)
	}
	if err != nil {
		f.until = w.now().Add(min(w.cfg.Every<<min(f.times, 5), maxBackoff))
		f.times++
	}
	return err
}
