//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package store

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// tryLock takes an exclusive lock on f without waiting, and reports whether it
// got it. The lock belongs to the open file: a second open of the same file in
// the same process is a stranger. It ends when f is closed or the process dies.
func tryLock(f *os.File) (bool, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return false, err
	}
	var lerr error
	err = conn.Control(func(fd uintptr) {
		for {
			if lerr = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(lerr, unix.EINTR) {
				return
			}
		}
	})
	switch {
	case err != nil:
		return false, err
	case errors.Is(lerr, unix.EWOULDBLOCK):
		return false, nil
	case lerr != nil:
		return false, fmt.Errorf("locking a file (a file system without locks cannot hold a store): %w",
			&os.PathError{Op: "flock", Path: f.Name(), Err: lerr})
	}
	return true, nil
}
