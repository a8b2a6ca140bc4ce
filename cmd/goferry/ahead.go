package main

import (
	"context"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/cache"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/prefetch"
	"github.com/goferry/goferry/internal/server"
)

// mayPrefetch says which files may be asked for unasked: not what policy forbids, nor what comes from
// version control, where a question can cost a clone.
func (f *ferry) mayPrefetch(req goproxy.Request) bool {
	return !module.MatchPrefixPatterns(strings.Join(f.cfg.NoProxy, ","), req.Path) && f.policy(context.Background(), req) == nil
}

// prefetches reports whether anything is to be asked for ahead of a client.
func (f *ferry) prefetches() bool { return f.cfg.Prefetch == "on" && !f.offline() }

// guess makes the part that sees only requests and guesses what comes next; nil where it is off.
func (f *ferry) guess() *prefetch.Server {
	if !f.prefetches() {
		return nil
	}
	waste := f.cfg.PrefetchWaste
	if waste == 0 {
		waste = -1 // prefetch's word for none
	}
	f.ahead = prefetch.New(prefetch.Config{Source: f.cache, Allow: f.mayPrefetch, WastePercent: waste, Logger: f.log})
	// Behind the policy: what it refuses must not even be looked into.
	f.handler.Source = goproxy.Enforce(f.ahead.Watch(f.cache, server.ClientFrom), f.policy)
	return f.ahead
}

// aheadGauges are what the metrics tell of both.
func (f *ferry) aheadGauges() (g server.Gauges) {
	if ahead := f.ahead; ahead != nil {
		g.PrefetchFetched = func() int64 { return ahead.Stats().Fetched }
		g.PrefetchUsed = func() int64 { return ahead.Stats().Used }
		g.PrefetchWasted = func() int64 { return ahead.Stats().Wasted }
		g.PrefetchOutstanding = func() int64 { return ahead.Stats().Outstanding }
	}
	if watch := f.watch; watch != nil {
		g.WatchDue = func() int64 { return int64(watch.Progress().Due) }
		g.WatchDone = func() int64 { return int64(watch.Progress().Done) }
		g.WatchFailing = func() int64 { return int64(watch.Progress().Failing) }
		g.WatchVersions = func() int64 { return watch.Progress().Versions }
		g.WatchBytes = func() int64 { return watch.Progress().Bytes }
	}
	return g
}

// watcher makes the part that keeps modules up to date before anybody asks; nil where it is off.
func (f *ferry) watcher() (*prefetch.Watcher, error) {
	window, err := prefetch.ParseWindow(f.cfg.WatchWindow)
	if err != nil {
		return nil, badSetting(f.cfg, "watch.window", err, "hint.value-window")
	}
	if len(f.cfg.WatchModules) == 0 || f.offline() {
		return nil, nil
	}
	f.watch = prefetch.NewWatcher(prefetch.WatchConfig{
		Source: f.cache, Patterns: f.cfg.WatchModules, Served: f.served, Allow: f.mayPrefetch,
		Every: f.cfg.WatchEvery, Window: window, BytesPerSecond: int64(f.cfg.WatchRate), Logger: f.log,
	})
	return f.watch, nil
}

// served names the modules of which the store has a zip.
func (f *ferry) served(ctx context.Context) (paths []string, err error) {
	err = cache.Entries(ctx, f.store, cache.Pattern{}, func(e cache.Entry) error {
		if slices.Contains(e.Files, "zip") && (len(paths) == 0 || paths[len(paths)-1] != e.Path) {
			paths = append(paths, e.Path)
		}
		return nil
	})
	return paths, err
}
