package store

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"
)

// Usage says how much a store holds.
type Usage struct {
	Bytes int64 // sum of the sizes of all blobs
	Files int64
	// Exact says that all blobs were once counted, at At, and what this process
	// did since is known too. What other processes did is in it up to half a
	// minute later, unless they were killed. If it is false, nobody has counted
	// yet and the figures are only what is known to have been added.
	Exact bool
	At    time.Time
}

// A tally is a number of blobs and their bytes.
type tally struct {
	Bytes int64 `json:"bytes"`
	Files int64 `json:"files"`
}

func (t tally) plus(o tally) tally  { return tally{t.Bytes + o.Bytes, t.Files + o.Files} }
func (t tally) minus(o tally) tally { return tally{t.Bytes - o.Bytes, t.Files - o.Files} }
func (t tally) floor() tally        { return tally{max(t.Bytes, 0), max(t.Files, 0)} }

// A record is the content of usage.json.
type record struct {
	tally
	Walked time.Time `json:"walked"` // end of the last full walk; zero if there was none
}

// counter is what this process knows: what was last written down, by whomever,
// and what it did itself since.
type counter struct {
	mu    sync.Mutex
	base  record
	delta tally
}

func (c *counter) add(bytes, files int64) {
	c.mu.Lock()
	c.delta = c.delta.plus(tally{bytes, files})
	c.mu.Unlock()
}

func (c *counter) get() (base record, delta tally) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.base, c.delta
}

// set replaces the base, and takes from delta what the base now contains.
func (c *counter) set(base record, contained tally) {
	c.mu.Lock()
	c.base, c.delta = base, c.delta.minus(contained)
	c.mu.Unlock()
}

// Usage says how much the store holds, from memory.
func (s *Store) Usage() Usage {
	base, delta := s.count.get()
	t := base.plus(delta).floor()
	return Usage{Bytes: t.Bytes, Files: t.Files, Exact: !base.Walked.IsZero(), At: base.Walked}
}

func (s *Store) overLimit() bool {
	return s.opts.MaxBytes > 0 && s.Usage().Bytes > s.opts.MaxBytes
}

// loadUsage reads what was last written down, when the store is opened.
func (s *Store) loadUsage() error {
	base, err := s.readUsage()
	s.count.set(base, tally{})
	return err
}

// readUsage reads usage.json. One that is missing or damaged, as a power failure
// can leave it, means that nobody has counted.
func (s *Store) readUsage() (record, error) {
	data, err := s.root.ReadFile(usageFile)
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, nil
	}
	if err != nil {
		return record{}, err
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil || r.tally != r.floor() {
		s.log.Warn("count of the store is damaged and will be made anew", "dir", s.dir, "err", err)
		return record{}, nil
	}
	return r, nil
}

func (s *Store) writeUsage(r record) error {
	r.tally = r.floor()
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	sp, err := s.Create()
	if err != nil {
		return err
	}
	defer sp.Close()
	if _, err := sp.Write(append(data, '\n')); err != nil {
		return err
	}
	// Not through Commit: it is no blob, and not worth a sync.
	if err := s.root.Rename(sp.tmp, usageFile); err != nil {
		return err
	}
	sp.committed = true
	return nil
}

// lockUsage takes the lock of usage.json. Its holders need a millisecond, so one
// that does not get it in five seconds meets a stopped process and gives up.
func (s *Store) lockUsage() (*os.File, error) {
	done := make(chan struct{})
	timer := time.AfterFunc(5*time.Second, func() { close(done) })
	defer timer.Stop()
	f, err := s.acquire(usageLock, done)
	if err == nil && f == nil {
		err = errors.New("usage.lock is held by a process that does not go on")
	}
	return f, err
}

// flushUsage adds what this process did to usage.json, and learns what others did.
func (s *Store) flushUsage() error {
	lock, err := s.lockUsage()
	if err != nil {
		return err
	}
	defer lock.Close()
	r, err := s.readUsage()
	if err != nil {
		return err
	}
	_, delta := s.count.get()
	if delta != (tally{}) {
		r.tally = r.plus(delta).floor()
		if err := s.writeUsage(r); err != nil {
			return err
		}
	}
	s.count.set(r, delta)
	return nil
}

// A countMark remembers where the count stood when a walk began.
type countMark struct {
	disk  record
	delta tally
}

func (s *Store) markUsage() countMark {
	if err := s.flushUsage(); err != nil {
		s.log.Debug("usage of the store not written", "err", err) // a full disk: GC is the cure
	}
	base, delta := s.count.get()
	return countMark{base, delta}
}

// recordWalk replaces the count by what a walk found. What was added while it
// ran may be in its result or not, and is added: better to collect once too
// early than never.
func (s *Store) recordWalk(from countMark, found tally) error {
	lock, err := s.lockUsage()
	if err == nil {
		defer lock.Close()
	}
	disk := from.disk
	if err == nil {
		disk, err = s.readUsage()
	}
	r := record{tally: found, Walked: s.now()}
	if disk.Walked.Equal(from.disk.Walked) {
		r.tally = found.plus(disk.minus(from.disk.tally).floor())
	}
	// Known here even if it cannot be written down.
	s.count.set(r, from.delta)
	if err != nil {
		return err
	}
	return s.writeUsage(r)
}
