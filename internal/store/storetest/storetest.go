// Package storetest is the conformance suite that every store of blobs runs.
//
// It does not test what only a folder on disk can do: crashes, full disks, other
// processes.
package storetest

import (
	"context"
	"io"
	"io/fs"
	"sync"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/store"
)

// A Store is what the suite asks of a store. The methods mean what those of
// *store.Store mean.
type Store interface {
	Open(name string) (File, error)
	Stat(name string) (store.Blob, error)
	Create() (Spool, error)
	Put(ctx context.Context, name string, r io.Reader, modTime time.Time) error
	Touch(name string, mtime time.Time) error
	Remove(name string) error
	Walk(ctx context.Context, prefix string, fn func(store.Blob) error) error
	Pin(name string) (unpin func())
	Lock(ctx context.Context, name string) (unlock func(), err error)
	Usage() store.Usage
	GC(ctx context.Context) (store.GCResult, error)
	Check() error
}

// A File is an open blob.
type File interface {
	fs.File
	io.Seeker
	io.ReaderAt
}

// A Spool is a blob in the making.
type Spool interface {
	io.Writer
	io.ReaderAt
	Size() int64
	Commit(name string, modTime time.Time) error
	Close() error
}

// A Clock is a clock that stands still until it is moved.
type Clock struct {
	mu sync.Mutex
	t  time.Time
}

// NewClock returns a clock that shows a fixed time, one in the future: a kernel
// with relatime, the default, moves an access time that is more than a day old
// when the file is read, but not one that is yet to come.
func NewClock() *Clock {
	return &Clock{t: time.Date(2036, 3, 1, 12, 0, 0, 0, time.UTC)}
}

// Now is the time that the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

// Add moves the clock.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// A suite makes stores for the tests.
type suite struct {
	open func(t *testing.T, o store.Options) Store
}

// Run runs the suite. Each call of open must return a new, empty store with the
// settings o, which is closed when t ends.
func Run(t *testing.T, open func(t *testing.T, o store.Options) Store) {
	s := suite{open}
	for _, test := range []struct {
		name string
		f    func(*testing.T)
	}{
		{"Absent", s.testAbsent},
		{"RoundTrip", s.testRoundTrip},
		{"InvalidNames", s.testInvalidNames},
		{"Replace", s.testReplace},
		{"PutAllOrNothing", s.testPutAllOrNothing},
		{"SpoolFollow", s.testSpoolFollow},
		{"SpoolEnds", s.testSpoolEnds},
		{"Remove", s.testRemove},
		{"Walk", s.testWalk},
		{"WalkStops", s.testWalkStops},
		{"Use", s.testUse},
		{"Touch", s.testTouch},
		{"Usage", s.testUsage},
		{"GCNothing", s.testGCNothing},
		{"GCLeastRecentlyUsed", s.testGCLeastRecentlyUsed},
		{"GCRanks", s.testGCRanks},
		{"GCIdle", s.testGCIdle},
		{"GCInUse", s.testGCInUse},
		{"GCRecent", s.testGCRecent},
		{"Lock", s.testLock},
		{"LockCancel", s.testLockCancel},
		{"Concurrent", s.testConcurrent},
	} {
		t.Run(test.name, test.f)
	}
}
