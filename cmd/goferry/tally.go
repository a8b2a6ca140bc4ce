package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/transport"
)

// tally counts what one run of exec did, for the line at its end. A server, which has no end, has
// none: nil counts nothing.
type tally struct {
	mu       sync.Mutex
	modules  map[string]bool  // path@version of module versions that were served
	hitBytes int64            // answered from the cache
	from     map[string]int64 // bytes that came from each upstream
	retries  int              // requests that were sent again
	resumed  int              // files that went on where they broke off
	hedged   int              // files that a second mirror had first
	refused  map[string]bool  // mirrors that served wrong bytes
	failed   int              // answers that were errors, other than "not found"

	also func(goproxy.Answer) // is told of every answer; may be nil
}

func newTally() *tally {
	return &tally{modules: map[string]bool{}, from: map[string]int64{}, refused: map[string]bool{}}
}

func (t *tally) answer(a goproxy.Answer) {
	if t == nil {
		return
	}
	if t.also != nil {
		t.also(a)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch a.Result {
	case "hit", "stale":
		t.hitBytes += a.Bytes
	case "error":
		if !errors.Is(a.Err, context.Canceled) { // the client went away
			t.failed++
		}
	}
	if a.Err == nil && a.Request.Version != "" && a.Request.Immutable() {
		t.modules[a.Request.Path+"@"+a.Request.Version] = true
	}
}

func (t *tally) attempt(at transport.Attempt) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if at.Bytes > 0 || at.Status > 0 {
		t.from[at.Host] += at.Bytes
	}
	switch {
	case at.Resumed:
		t.resumed++
	case at.Retry() && !at.Part:
		t.retries++
	}
}

func (t *tally) mirror(e goproxy.MirrorEvent) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e.What {
	case goproxy.MirrorWon:
		t.hedged++
	case goproxy.MirrorRefused:
		t.refused[e.Mirror] = true
	}
}

// count adds the size of the files that src opens to the upstream called name.
func (t *tally) count(src goproxy.Source, name string) goproxy.Source {
	if t == nil {
		return src
	}
	return goproxy.SourceFunc(func(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
		f, err := src.Open(ctx, req)
		if err != nil {
			return nil, err
		}
		if info, err := f.Stat(); err == nil {
			t.mu.Lock()
			t.from[name] += info.Size()
			t.mu.Unlock()
		}
		return f, nil
	})
}

// line is the summary of a run.
func (t *tally) line(a *app) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.modules) == 0 && len(t.from) == 0 && t.failed == 0 && t.hitBytes == 0 {
		return a.p.T("exec.nothing")
	}
	parts := []string{a.p.T("exec.modules", "Count", len(t.modules)), a.p.T("exec.cached", "Bytes", human(t.hitBytes))}
	hosts := slices.SortedFunc(maps.Keys(t.from), func(x, y string) int { return int(t.from[y] - t.from[x]) })
	for _, h := range hosts {
		parts = append(parts, a.p.T("exec.from", "Bytes", human(t.from[h]), "Host", h))
	}
	if t.retries > 0 {
		parts = append(parts, a.p.T("exec.retried", "Count", t.retries))
	}
	if t.resumed > 0 {
		parts = append(parts, a.p.T("exec.resumed", "Count", t.resumed))
	}
	if t.hedged > 0 {
		parts = append(parts, a.p.T("exec.hedged", "Count", t.hedged))
	}
	for _, m := range slices.Sorted(maps.Keys(t.refused)) {
		parts = append(parts, a.p.T("exec.refused", "Host", m))
	}
	if t.failed > 0 {
		parts = append(parts, a.p.T("exec.failed", "Count", t.failed))
	}
	return a.join(parts)
}
