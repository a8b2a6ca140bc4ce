package store

import (
	"context"
	"time"
)

const (
	flushEvery = 30 * time.Second // how far the counts of two processes drift apart
	recount    = 24 * time.Hour   // how far a count drifts from the truth
	idleEvery  = time.Hour        // uses are recorded by the hour

	restMin  = 10 * time.Second // between two collections, and ten times as long as the last one took
	restBusy = time.Minute      // while another process collects
	restFull = 5 * time.Minute  // when what is left may not be removed
)

// Run looks after the store until ctx ends, then returns nil: it collects in the
// background when the limit is passed, hourly where there is an idle limit, and
// once a day to keep the count true; the first time soon after the start. It also
// tells the other processes what this one added. Failures are logged.
func (s *Store) Run(ctx context.Context) error {
	k := keeper{s: s, next: s.now().Add(s.opts.StartDelay)}
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	first := time.NewTimer(s.opts.StartDelay)
	defer first.Stop()
	for {
		select {
		case <-ctx.Done():
			k.flush()
			return nil
		case <-tick.C:
			k.flush()
		case <-first.C:
		case <-s.wake:
		}
		k.collect(ctx)
	}
}

// A keeper is the state of one Run.
type keeper struct {
	s    *Store
	next time.Time // no collection before
}

func (k *keeper) flush() {
	if err := k.s.flushUsage(); err != nil {
		k.s.log.Warn("usage of the store not written", "dir", k.s.dir, "err", err)
	}
}

// due reports whether there is a reason to collect.
func (k *keeper) due(now time.Time) bool {
	if now.Before(k.next) {
		return false
	}
	u := k.s.Usage()
	age := now.Sub(u.At)
	switch {
	case !u.Exact, age < 0, age >= recount:
		return true
	case k.s.overLimit():
		return true
	}
	return k.s.opts.Idle > 0 && age >= idleEvery
}

func (k *keeper) collect(ctx context.Context) {
	s, now := k.s, k.s.now()
	if !k.due(now) {
		return
	}
	r, ran, err := s.gc(ctx, noWait())
	k.next = s.now().Add(max(restMin, 10*r.Duration))
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		s.log.Warn("store not fully collected", "dir", s.dir, "err", err)
		k.next = s.now().Add(restFull)
	case !ran:
		k.next = s.now().Add(restBusy)
		return
	case s.overLimit():
		s.log.Warn("store is above its limit, and nothing may be evicted",
			"dir", s.dir, "bytes", r.KeptBytes, "limit", s.opts.MaxBytes)
		k.next = s.now().Add(restFull)
	}
	if r.FreedFiles > 0 {
		s.log.Info("store collected", "dir", s.dir, "freed", r.FreedBytes, "files", r.FreedFiles,
			"bytes", r.KeptBytes, "dur", r.Duration)
	}
}
