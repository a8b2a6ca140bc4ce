package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// usedEvery is how old the recorded last use must be before Open writes a new
// one. An hour makes the write rare enough not to count, and is fine enough to
// tell what was used today from what was used last month.
const usedEvery = time.Hour

// A File is a blob opened for reading. While it is open, GC leaves the blob in
// place. It embeds the *os.File so that net/http sends it by sendfile.
type File struct {
	*os.File
	name   string
	info   fs.FileInfo
	pins   *pins
	closed atomic.Bool
}

// The net package sends what is a syscall.Conn without copying it.
var _ syscall.Conn = (*File)(nil)

// Stat returns what was found when the blob was opened, without asking again:
// the bytes behind an open File never change.
func (f *File) Stat() (fs.FileInfo, error) {
	if f.closed.Load() {
		return nil, &fs.PathError{Op: "stat", Path: f.name, Err: fs.ErrClosed}
	}
	return f.info, nil
}

// Blob describes the blob as it was when it was opened, before this use.
func (f *File) Blob() Blob { return blobOf(f.name, f.info) }

// Close closes the file and lets GC have the blob.
func (f *File) Close() error {
	if !f.closed.Swap(true) {
		f.pins.drop(f.name)
	}
	return f.File.Close()
}

// Open opens a blob and records the use. The error is fs.ErrNotExist if there is
// no such blob, a *NameError if there can be none, anything else if the disk
// could not say. A symlink that leads out of the store's folder is an error.
func (s *Store) Open(name string) (*File, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	s.pins.add(name) // before the open, or GC could remove the blob in between
	f, info, err := s.openBlob(name)
	if err != nil {
		s.pins.drop(name)
		return nil, absentOr("open", name, err)
	}
	s.markUsed(name, info)
	return &File{File: f, name: name, info: info, pins: &s.pins}, nil
}

// Stat describes a blob without recording a use. Its errors are those of Open.
func (s *Store) Stat(name string) (Blob, error) {
	if err := checkName(name); err != nil {
		return Blob{}, err
	}
	f, info, err := s.openBlob(name)
	if err != nil {
		return Blob{}, absentOr("stat", name, err)
	}
	f.Close()
	return blobOf(name, info), nil
}

func (s *Store) openBlob(name string) (*os.File, fs.FileInfo, error) {
	f, err := s.openRead(name)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fs.ErrNotExist // part of the names of other blobs, no blob itself
	} else if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("not a regular file but %s", info.Mode().Type())
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// markUsed moves the access time to now if what stands there is old, or so far
// in the future that a wrong clock wrote it. A failure costs the blob its place
// in the queue, not the reader the blob.
func (s *Store) markUsed(name string, info fs.FileInfo) {
	now := s.now()
	if age := now.Sub(atime(info)); age < usedEvery && age > -usedEvery {
		return
	}
	if err := s.root.Chtimes(name, now, time.Time{}); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Debug("use of a blob not recorded", "file", name, "err", err)
	}
}

// absentOr makes the error of an operation on a blob. A name that goes on below
// a file is as absent as one that nothing has.
func absentOr(op, name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		err = fs.ErrNotExist
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err // its path is ours again, in full
	}
	return &fs.PathError{Op: op, Path: name, Err: fullOr(err)}
}

// pins counts, by name, who in this process holds a blob.
type pins struct {
	mu sync.Mutex
	m  map[string]int
}

func (p *pins) add(name string) {
	p.mu.Lock()
	p.m[name]++
	p.mu.Unlock()
}

func (p *pins) drop(name string) {
	p.mu.Lock()
	if p.m[name]--; p.m[name] <= 0 {
		delete(p.m, name)
	}
	p.mu.Unlock()
}

func (p *pins) has(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.m[name] > 0
}

// Pin keeps GC from removing the blob called name, present or not, until unpin
// is called. It counts: a blob is free when every pin is gone. Remove and other
// processes do not care.
func (s *Store) Pin(name string) (unpin func()) {
	s.pins.add(name)
	return sync.OnceFunc(func() { s.pins.drop(name) })
}
