package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A Spool is a blob in the making: a file without a name, to which one goroutine
// appends while any number read. It becomes a blob by Commit, and ends with
// Close. Counting the readers is up to its owner.
type Spool struct {
	s    *Store
	f    *os.File
	tmp  string // where the file is until it is committed
	size atomic.Int64

	loose bool // commit without waiting for the disk

	mu        sync.Mutex // writer's side: Write, Commit, Close
	err       error      // of the first failed write; what is not whole is never committed
	committed bool
	closed    bool
}

// Create begins a blob. The error matches ErrFull if the disk takes no more.
func (s *Store) Create() (*Spool, error) {
	for try := 0; ; try++ {
		p, err := s.place()
		if err != nil {
			return nil, fmt.Errorf("spool: %w", err)
		}
		tmp := p.dir() + "/" + strconv.FormatUint(s.serial.Add(1), 10)
		f, err := s.root.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, filePerm)
		if err == nil {
			return &Spool{s: s, f: f, tmp: tmp}, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || try == 1 {
			return nil, fmt.Errorf("spool: %w", fullOr(err))
		}
		if rerr := s.renewPlace(p); rerr != nil {
			return nil, fmt.Errorf("spool: %w", fullOr(errors.Join(err, rerr)))
		}
	}
}

// Write appends p. It returns how many bytes of p are in the file, also when it
// fails; those stay readable. After a failure the spool takes no more bytes and
// cannot be committed. The error matches ErrFull if the disk takes no more.
func (sp *Spool) Write(p []byte) (int, error) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	switch {
	case sp.closed || sp.committed:
		return 0, fmt.Errorf("spool: %w", fs.ErrClosed)
	case sp.err != nil:
		return 0, sp.err
	}
	// Not WriteAt, which forgets the bytes that it wrote before an error.
	n, err := sp.f.Write(p)
	sp.size.Add(int64(n)) // only now may readers see them
	if err != nil {
		sp.err = fmt.Errorf("spool: %w", fullOr(err))
		return n, sp.err
	}
	return n, nil
}

// Size is the number of bytes that can be read.
func (sp *Spool) Size() int64 { return sp.size.Load() }

// ReadAt reads bytes that were written. io.EOF says that there are no more so
// far. It may be called while Write and Commit run, and until Close.
func (sp *Spool) ReadAt(p []byte, off int64) (int, error) {
	size := sp.size.Load()
	if off >= size {
		if off < 0 || len(p) == 0 {
			return sp.f.ReadAt(p, off)
		}
		return 0, io.EOF
	}
	short := off >= 0 && int64(len(p)) > size-off
	if short {
		p = p[:size-off]
	}
	n, err := sp.f.ReadAt(p, off)
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

// Commit makes the bytes durable and then gives the file its name: after a crash
// at any moment the blob is whole or absent. (The name itself is not forced to disk: a
// blob that a power cut takes away is fetched again.) It replaces a blob of the
// same name, those who have that one open read on. A zero modTime means now. The
// error matches ErrFull if the disk takes no more. A second Commit is an error.
func (sp *Spool) Commit(name string, modTime time.Time) error {
	if err := checkName(name); err != nil {
		return err
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	switch {
	case sp.closed || sp.committed || sp.s.closed.Load():
		return &fs.PathError{Op: "commit", Path: name, Err: fs.ErrClosed}
	case sp.err != nil:
		return &fs.PathError{Op: "commit", Path: name, Err: sp.err}
	}
	if err := sp.commit(name, modTime); err != nil {
		return &fs.PathError{Op: "commit", Path: name, Err: fullOr(err)}
	}
	return nil
}

func (sp *Spool) commit(name string, modTime time.Time) error {
	s, now := sp.s, sp.s.now()
	if modTime.IsZero() {
		modTime = now
	}
	if err := s.setTimes(sp.f, sp.tmp, now, modTime); err != nil {
		return err
	}
	if !sp.loose {
		if err := sp.f.Sync(); err != nil {
			return err
		}
	}
	bytes, files := sp.Size(), int64(1)
	if old, err := s.root.Lstat(name); err == nil && old.Mode().IsRegular() {
		bytes, files = bytes-old.Size(), 0
	}
	if err := s.moveIn(sp.tmp, name); err != nil {
		return err
	}
	sp.committed = true
	s.count.add(bytes, files)
	if s.overLimit() {
		select {
		case s.wake <- struct{}{}:
		default: // told already
		}
	}
	return nil
}

// moveIn renames tmp to name and makes the folders it needs, again if GC finds
// them empty and removes them before the file is there.
func (s *Store) moveIn(tmp, name string) error {
	dir := parent(name)
	for try := 0; ; try++ {
		err := s.root.Rename(tmp, name)
		if !errors.Is(err, fs.ErrNotExist) || dir == "." || try == 100 {
			return err
		}
		if _, err := s.root.Lstat(tmp); err != nil {
			return err // the spool is gone, folders will not help
		}
		// A folder that comes and goes while it is made is said to exist, or not to.
		if err := s.root.MkdirAll(dir, dirPerm); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
}

// Close ends the spool: its readers too are cut off. What was not committed is
// thrown away.
func (sp *Spool) Close() error {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.closed {
		return nil
	}
	sp.closed = true
	err := sp.f.Close()
	// After Store.Close the folder is gone, and the file with it.
	if !sp.committed && !sp.s.closed.Load() {
		err = errors.Join(err, ignoreAbsent(sp.s.root.Remove(sp.tmp)))
	}
	return err
}

// Put keeps all of r as the blob called name, or nothing. It stops between reads
// when ctx ends. A zero modTime means now.
func (s *Store) Put(ctx context.Context, name string, r io.Reader, modTime time.Time) error {
	return s.put(ctx, name, r, modTime, false)
}

// PutLoose is Put without waiting for the disk: after a power cut (not after a kill)
// the blob may be empty or cut. It is for small blobs in great numbers whose reader finds that
// out and can do without them: waiting for the disk a thousand times slows down
// everybody who writes to it.
func (s *Store) PutLoose(ctx context.Context, name string, r io.Reader, modTime time.Time) error {
	return s.put(ctx, name, r, modTime, true)
}

func (s *Store) put(ctx context.Context, name string, r io.Reader, modTime time.Time, loose bool) error {
	if err := checkName(name); err != nil {
		return err
	}
	sp, err := s.Create()
	if err != nil {
		return err
	}
	defer sp.Close()
	sp.loose = loose
	buf := make([]byte, 64<<10)
	// The wrappers hide shortcuts that would copy everything in one call.
	if _, err := io.CopyBuffer(struct{ io.Writer }{sp}, ctxReader{ctx, r}, buf); err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("put %s: %w", name, context.Cause(ctx))
	}
	return sp.Commit(name, modTime)
}

// A ctxReader lives no longer than the call that made it.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (r ctxReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}
