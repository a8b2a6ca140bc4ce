//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package toolchain

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// selfLock takes an exclusive lock on f without waiting, and reports whether it got it. It ends
// with f, or with the process.
func selfLock(f *os.File) (bool, error) {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, unix.EINTR):
			return false, &os.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
	}
}

// selfWritable reports whether new files can be made in a folder, without making one.
func selfWritable(dir string) bool { return unix.Access(dir, unix.W_OK|unix.X_OK) == nil }
