//go:build unix

package store

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// isFull reports whether err says that the disk takes no more bytes.
func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) ||
		errors.Is(err, unix.EFBIG) || errors.Is(err, unix.EROFS)
}

// mayWrite asks the permission bits whether entries can be made in dir.
func mayWrite(dir string) error {
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return &os.PathError{Op: "access", Path: dir, Err: err}
	}
	return nil
}

// checkSystem has nothing to add to checkBytes: there are no more rules here.
func checkSystem(string) string { return "" }

// setTimes sets the times of the spool file f, which is called tmp.
func (s *Store) setTimes(_ *os.File, tmp string, atime, mtime time.Time) error {
	return s.root.Chtimes(tmp, atime, mtime)
}

// rmdir removes a folder if it is empty, and never a file: a commit may just
// have put one in the folder's place.
func (s *Store) rmdir(dir string) error {
	var err error
	if cerr := s.raw.Control(func(fd uintptr) { err = unix.Unlinkat(int(fd), dir, unix.AT_REMOVEDIR) }); cerr != nil {
		return cerr
	}
	return err
}
