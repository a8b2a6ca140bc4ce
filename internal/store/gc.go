package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

const (
	// inUse is how long after its use a blob counts as being in use by somebody,
	// here or in another process.
	inUse = 10 * time.Minute

	// Ages finer than minutes matter to nobody, nor do minutes after the first
	// hours, nor hours after the first decades: this bounds the histogram.
	fineAge = 2 * time.Hour
	maxAge  = 20 * 365 * 24 * time.Hour
)

// A GCResult says what a collection did.
type GCResult struct {
	FreedBytes int64
	FreedFiles int64
	KeptBytes  int64
	KeptFiles  int64
	Duration   time.Duration
}

// GC removes blobs that were idle for longer than Options.Idle; if there are more
// than Options.MaxBytes, further ones until 90% of that is reached; and empty
// folders. It evicts the least recently used of the lowest rank first. LRU does
// well here, and needs nothing but the access time: what a scan-resistant policy
// saves the cache from, one long scan, is in a module cache a build, and that
// comes again.
//
// Blobs of a rank below 0 stay, and those that are open or pinned in this
// process. Blobs that anybody used in the last 10 minutes go only where the
// limit cannot be met without. (Uses are recorded by the hour, so to be sure it
// spares what has a recorded use up to 70 minutes ago.) Who has a blob open
// that another process removes, reads on.
//
// One process collects at a time; GC waits for its turn until ctx ends. It reads
// the tree twice, in memory that does not depend on the number of blobs. Errors
// with single files or folders do not stop it; the first is returned.
func (s *Store) GC(ctx context.Context) (GCResult, error) {
	r, _, err := s.gc(ctx, ctx.Done())
	return r, err
}

// gc collects, unless another process does so and done is closed.
func (s *Store) gc(ctx context.Context, done <-chan struct{}) (r GCResult, ran bool, err error) {
	lock, err := s.acquire(gcLock, done)
	if err == nil && lock == nil {
		err = context.Cause(ctx)
	}
	if err != nil || lock == nil {
		return r, false, wrapGC(err)
	}
	defer lock.Close()
	start, mark := s.now(), s.markUsage()
	c := collection{s: s, now: start, hist: make(map[ageKey]int64)}
	err = c.run(ctx)
	r = GCResult{
		FreedBytes: c.freed.Bytes, FreedFiles: c.freed.Files,
		KeptBytes: c.kept.Bytes, KeptFiles: c.kept.Files,
		Duration: s.now().Sub(start),
	}
	if s.opts.Evicted != nil && r.FreedBytes > 0 {
		s.opts.Evicted(r.FreedBytes)
	}
	if c.done {
		if uerr := s.recordWalk(mark, c.kept); uerr != nil {
			s.log.Warn("count of the store not written", "dir", s.dir, "err", uerr)
		}
	} else {
		s.count.add(-r.FreedBytes, -r.FreedFiles)
	}
	return r, true, wrapGC(err)
}

func wrapGC(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("gc: %w", err)
}

// An ageKey is a place in the queue of eviction.
type ageKey struct {
	inUse bool // recently used
	rank  int
	age   int // bucket; greater is older
}

// compare orders what is evicted first before what is evicted later.
func (k ageKey) compare(o ageKey) int {
	if k.inUse != o.inUse {
		if o.inUse {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(k.rank, o.rank), cmp.Compare(o.age, k.age))
}

// bucket numbers ages: minutes for the first hours, then hours.
func bucket(age time.Duration) int {
	age = min(max(age, 0), maxAge)
	if age < fineAge {
		return int(age / time.Minute)
	}
	return int(fineAge/time.Minute) + int((age-fineAge)/time.Hour)
}

// A collection is one run of GC.
type collection struct {
	s    *Store
	now  time.Time // one clock for both passes, or blobs would change buckets
	hist map[ageKey]int64
	idle tally // to be removed whatever the size

	cut    ageKey // everything before it goes
	budget int64  // and of it, this many bytes
	evict  bool   // cut and budget are set

	kept, freed tally
	done        bool  // every blob was seen, kept is the truth
	err         error // the first blob that could not be removed
}

func (c *collection) run(ctx context.Context) error {
	if err := c.pass(ctx, c.survey); err != nil {
		return err
	}
	c.plan()
	if c.evict || c.idle.Files > 0 {
		c.kept = tally{}
		if err := c.pass(ctx, c.remove); err != nil {
			return err
		}
	}
	c.done = true
	return c.err
}

func (c *collection) pass(ctx context.Context, visit func(Blob) (bool, error)) error {
	w := walker{s: c.s, visit: visit, prune: true}
	err := w.walk(ctx)
	if err != nil && w.bad != nil && errors.Is(err, w.bad) {
		c.fail(err) // the rest of the tree was walked
		return nil
	}
	return err
}

func (c *collection) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// survey is the first pass: how many bytes are there of each age and rank?
func (c *collection) survey(b Blob) (bool, error) {
	c.kept = c.kept.plus(tally{b.Size, 1})
	key, free := c.place(b)
	switch {
	case !free:
	case c.isIdle(b):
		c.idle = c.idle.plus(tally{b.Size, 1})
	default:
		c.hist[key] += b.Size
	}
	return false, nil
}

// place finds a blob's place in the queue; free is false if it is not in it.
func (c *collection) place(b Blob) (key ageKey, free bool) {
	rank := c.s.opts.Rank(b.Name)
	if rank < 0 || c.s.pins.has(b.Name) {
		return ageKey{}, false
	}
	age := c.now.Sub(b.Used)
	return ageKey{inUse: age < usedEvery+inUse, rank: rank, age: bucket(age)}, true
}

// isIdle allows for the hour in which a use may not have been recorded.
func (c *collection) isIdle(b Blob) bool {
	return c.s.opts.Idle > 0 && c.now.Sub(b.Used) > max(c.s.opts.Idle, inUse)+usedEvery
}

// plan finds the cut.
func (c *collection) plan() {
	limit := c.s.opts.MaxBytes
	left := c.kept.Bytes - c.idle.Bytes
	if limit <= 0 || left <= limit {
		return
	}
	need := left - limit/10*9
	keys := make([]ageKey, 0, len(c.hist))
	for k := range c.hist {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, ageKey.compare)
	for _, k := range keys {
		c.cut, c.budget, c.evict = k, need, true
		if need -= c.hist[k]; need <= 0 {
			return
		}
	}
}

// remove is the second pass. It looks at each blob anew: one that was used since
// the first pass is young now and stays.
func (c *collection) remove(b Blob) (gone bool, err error) {
	if c.doomed(b) {
		err := c.s.root.Remove(b.Name)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			c.freed = c.freed.plus(tally{b.Size, 1})
			return true, nil
		}
		if errors.Is(err, os.ErrClosed) {
			return false, err
		}
		c.fail(absentOr("remove", b.Name, err))
	}
	c.kept = c.kept.plus(tally{b.Size, 1})
	return false, nil
}

func (c *collection) doomed(b Blob) bool {
	key, free := c.place(b)
	if !free {
		return false
	}
	if c.isIdle(b) {
		return true
	}
	if !c.evict {
		return false
	}
	switch order := key.compare(c.cut); {
	case order < 0:
		return true
	case order == 0 && c.budget > 0:
		c.budget -= b.Size
		return true
	}
	return false
}
