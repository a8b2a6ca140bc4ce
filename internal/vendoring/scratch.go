package vendoring

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrBusy says that another process makes the vendor folder of the same project.
var ErrBusy = errors.New("another goferry vendor is at work in this project")

// scratchName is the folder in which the new vendor folder is made, beside its place: the go command ignores names with
// a dot. It has one name, so that a run finds what a killed one has left.
const scratchName = ".goferry-vendor"

// A scratch is that folder.
type scratch struct {
	dir  string
	lock *os.File
}

// newScratch makes the folder, and puts back the vendor folder that a killed run has laid aside in it.
// Errors are ErrBusy and those of the disk.
func newScratch(root string) (*scratch, error) {
	s := &scratch{dir: filepath.Join(root, scratchName)}
	for {
		if err := os.Mkdir(s.dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		f, err := os.OpenFile(s.lockFile(), os.O_CREATE|os.O_RDWR, 0o666)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another run has just ended
		} else if err != nil {
			return nil, err
		}
		if !tryLock(f) {
			return nil, errors.Join(fmt.Errorf("%s: %w", root, ErrBusy), f.Close())
		}
		if there, err := os.Stat(s.lockFile()); err == nil {
			if mine, err := f.Stat(); err == nil && os.SameFile(mine, there) {
				s.lock = f
				break
			}
		}
		_ = f.Close() // the lock of a run that has ended
	}
	if err := s.putBack(filepath.Join(root, "vendor")); err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	return s, s.empty()
}

func (s *scratch) lockFile() string { return filepath.Join(s.dir, "lock") }

// aside is where the old vendor folder stands while the new one is proved.
func (s *scratch) aside() string { return filepath.Join(s.dir, "old") }

// putBack puts the folder that was laid aside in its place again, if there is one.
func (s *scratch) putBack(vendor string) error {
	if !exists(s.aside()) {
		return nil
	}
	failed := filepath.Join(s.dir, "failed")
	if err := os.RemoveAll(failed); err != nil {
		return err
	}
	if err := os.Rename(vendor, failed); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(s.aside(), vendor)
}

// empty removes everything but the lock.
func (s *scratch) empty() error {
	entries, err := os.ReadDir(s.dir)
	for _, e := range entries {
		if name := filepath.Join(s.dir, e.Name()); name != s.lockFile() {
			err = errors.Join(err, os.RemoveAll(name))
		}
	}
	return err
}

// remove ends the run. The lock goes last, and before it is let go where the system can do that.
func (s *scratch) remove() error {
	err := s.empty()
	early := os.Remove(s.lockFile()) == nil
	err = errors.Join(err, s.lock.Close())
	if !early {
		err = errors.Join(err, os.Remove(s.lockFile()))
	}
	_ = os.Remove(s.dir) // another run may have begun
	return err
}
