// Package store keeps named, immutable blobs on disk.
//
// It knows neither module paths nor HTTP, decides nothing about how long an
// answer is good, and never changes the bytes of a blob: a commit replaces the
// whole file or nothing.
//
// # Layout
//
// The blob called "github.com/!azure/x/@v/v1.0.0.zip" is the file of that name
// below the store's folder, so the folder of a store is at any time a tree that
// the go command reads with GOPROXY=file://, also when goferry is down. Names
// that begin with a dot belong to nobody but the store; everything of its own
// is in ".goferry":
//
//	.goferry/spool/ID.lock   locked as long as the process that owns ID lives
//	.goferry/spool/ID/       what that process is writing, nameless so far
//	.goferry/lock/           files behind Lock
//	.goferry/gc.lock         held by the process that collects
//	.goferry/usage.json      the count of the last full walk, and what came since
//	.goferry/usage.lock      guards usage.json
//
// # Sharing
//
// Any number of processes share a folder: a server and several runs of exec.
// They coordinate through renames and file locks alone, which the kernel undoes
// when a process dies, so kill -9 leaves nothing behind but spool files. The
// next Open sweeps those. It finds them without looking at the blobs, however
// many there are.
//
// # Last use
//
// When a blob was last used is kept as its access time, which Open sets itself
// when it is more than an hour old. Go's build cache does the same with the
// modification time; here that one is taken, it says when the bytes were made.
// The reason for a timestamp in place of an index: it is shared by all processes
// without a lock, survives kill -9, cannot disagree with the tree, and costs one
// fstat per hit, which a reader needs anyway for the size. A mount with noatime
// does no harm, since the kernel's own bookkeeping is not relied on. Where that
// is on, a backup that reads the whole tree looks like use.
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrFull says that the disk takes no more bytes: it is full, a quota or a limit
// on the size of files is reached, or it is mounted read-only. The cause is
// wrapped beside it.
var ErrFull = errors.New("disk is full or read-only")

const (
	ownDir    = ".goferry"
	spoolDir  = ownDir + "/spool"
	lockDir   = ownDir + "/lock"
	gcLock    = ownDir + "/gc.lock"
	usageLock = ownDir + "/usage.lock"
	usageFile = ownDir + "/usage.json"

	dirPerm  = 0o777 // the umask decides, as it does for the go command's own cache
	filePerm = 0o666
)

// Options are the settings of a store. The zero value keeps everything for ever.
type Options struct {
	// MaxBytes is the size above which blobs are evicted; 0 means no limit. It
	// is a mark to return to, not a wall: fills go on while GC runs.
	MaxBytes int64

	// Idle is the time without use after which a blob is removed; 0 means never.
	// Uses are recorded by the hour, so a blob may stay an hour longer.
	Idle time.Duration

	// StartDelay is how long Run waits before it first looks whether there is
	// something to collect; 0 means 10 seconds.
	StartDelay time.Duration

	// Rank says how dear a blob is: lower ranks are evicted first, those below 0
	// never, not even when idle. It should know only a handful of ranks. nil
	// ranks all blobs 0.
	Rank func(name string) int

	// Evicted is told how many bytes each collection removed; nil tells nobody.
	Evicted func(bytes int64)

	// Logger gets what no caller can be told; nil discards.
	Logger *slog.Logger

	// Now is the clock of uses and ages; nil means time.Now.
	Now func() time.Time
}

const defaultStartDelay = 10 * time.Second // lets a server answer before the disk is busy with us

// A Store keeps blobs in a folder. Its methods may be called by many goroutines.
type Store struct {
	dir  string
	opts Options
	log  *slog.Logger
	now  func() time.Time

	root  *os.Root        // every path goes through it, so that no symlink leads out of the folder
	self  *os.File        // the folder itself
	raw   syscall.RawConn // of self, for opening relative to it
	quirk atomic.Bool     // the kernel refused the fast way of opening

	spoolMu sync.Mutex // guards spool
	spool   spoolPlace
	serial  atomic.Uint64 // names spool files

	pins  pins
	gates gates
	count counter
	wake  chan struct{} // tells Run that the limit was passed

	closed    atomic.Bool
	closeOnce sync.Once
	closeErr  error
}

// Open opens the store in dir, creates the folder if need be, proves that it can
// be written to, and removes what dead processes left behind. Its errors name
// the folder. It takes as long for a million blobs as for none.
func Open(dir string, o Options) (*Store, error) {
	if dir == "" {
		return nil, &NameError{Name: dir, Reason: "a store needs a folder"}
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("folder %s: %w", dir, err)
	}
	s := newStore(abs, o)
	if err := s.start(); err != nil {
		s.closeFiles()
		return nil, fmt.Errorf("folder %s: %w", abs, fullOr(err))
	}
	return s, nil
}

func newStore(dir string, o Options) *Store {
	s := &Store{dir: dir, opts: o, log: o.Logger, now: o.Now, wake: make(chan struct{}, 1)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.opts.Rank == nil {
		s.opts.Rank = func(string) int { return 0 }
	}
	if s.opts.StartDelay <= 0 {
		s.opts.StartDelay = defaultStartDelay
	}
	s.pins.m = make(map[string]int)
	s.gates.m = make(map[string]*gate)
	return s
}

func (s *Store) start() error {
	if err := os.MkdirAll(s.dir, dirPerm); err != nil {
		return err
	}
	if err := mayWrite(s.dir); err != nil {
		return fmt.Errorf("not writable: %w", err)
	}
	var err error
	if s.root, err = os.OpenRoot(s.dir); err != nil {
		return err
	}
	if s.self, err = s.root.Open("."); err != nil {
		return err
	}
	if s.raw, err = s.self.SyscallConn(); err != nil {
		return err
	}
	s.spoolMu.Lock()
	err = s.newPlace()
	s.spoolMu.Unlock()
	if err != nil {
		return err
	}
	s.sweep()
	// The permission bits may lie (a read-only mount, another user's folder, a
	// full disk): only a write proves anything.
	if err := s.probe(); err != nil {
		return err
	}
	return s.loadUsage()
}

// Dir returns the absolute path of the store's folder.
func (s *Store) Dir() string { return s.dir }

// Check reports whether the store can be written to now: nil, or an error that
// names the folder and matches ErrFull where that is the reason. It writes and
// removes a file of 4 KiB.
func (s *Store) Check() error {
	if err := s.probe(); err != nil {
		return fmt.Errorf("folder %s: %w", s.dir, fullOr(err))
	}
	return nil
}

// probe writes one block, since a full disk often still gives out empty files.
func (s *Store) probe() error {
	sp, err := s.Create()
	if err != nil {
		return err
	}
	_, err = sp.Write(make([]byte, 4096))
	return errors.Join(err, sp.Close())
}

// Close gives up the spool of this process, whose unfinished files are lost.
// Open Files and Spools stay readable until they are closed themselves.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		var err error
		if ferr := s.flushUsage(); ferr != nil {
			// The next full walk finds out what could not be written down.
			s.log.Debug("usage of the store not written", "err", ferr)
		}
		s.closed.Store(true)
		s.spoolMu.Lock()
		err = s.dropPlace()
		s.spoolMu.Unlock()
		s.closeErr = errors.Join(err, s.closeFiles())
	})
	return s.closeErr
}

func (s *Store) closeFiles() error {
	var errs []error
	if s.spool.lock != nil {
		errs = append(errs, s.dropPlace())
	}
	if s.self != nil {
		errs = append(errs, s.self.Close())
	}
	if s.root != nil {
		errs = append(errs, s.root.Close())
	}
	return errors.Join(errs...)
}

// fullOr marks err with ErrFull if it comes from a disk that takes no more.
func fullOr(err error) error {
	if err == nil || errors.Is(err, ErrFull) || !isFull(err) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrFull, err)
}

// A Blob describes a blob.
type Blob struct {
	Name    string
	Size    int64     // bytes
	ModTime time.Time // as given to Commit, Put or Touch
	Used    time.Time // last use, at most an hour before the true one
}

func blobOf(name string, info fs.FileInfo) Blob {
	return Blob{Name: name, Size: info.Size(), ModTime: info.ModTime(), Used: atime(info)}
}

// Touch sets the modification time of a blob, to note that its bytes were found
// to be current, and counts as a use. A zero mtime leaves the time as it is.
func (s *Store) Touch(name string, mtime time.Time) error {
	if err := checkName(name); err != nil {
		return err
	}
	if _, err := s.Stat(name); err != nil {
		return err
	}
	if err := s.root.Chtimes(name, s.now(), mtime); err != nil {
		return absentOr("touch", name, err)
	}
	return nil
}

// Remove removes a blob and the folders that it leaves empty. It is
// fs.ErrNotExist if there is no such blob. Those who have it open read on.
func (s *Store) Remove(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	info, err := s.root.Lstat(name)
	if err == nil && info.IsDir() {
		err = fs.ErrNotExist
	}
	if err == nil {
		err = s.root.Remove(name)
	}
	if err != nil {
		return absentOr("remove", name, err)
	}
	s.count.add(-info.Size(), -1)
	for dir := parent(name); dir != "."; dir = parent(dir) {
		if s.rmdir(dir) != nil {
			break // not empty, or somebody was faster
		}
	}
	return nil
}
