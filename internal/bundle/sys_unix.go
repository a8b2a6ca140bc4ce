//go:build !windows

package bundle

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// renameOpen says whether an open file can be renamed and removed.
const renameOpen = true

// noSpace reports whether err says that the disk takes no more bytes.
func noSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// tooLarge reports whether err says that the file system has no files as large as this.
func tooLarge(err error) bool { return errors.Is(err, unix.EFBIG) }

// tryLock takes an exclusive lock on f without waiting. It reports false if another open file has it;
// a file system without locks gives everybody one. It ends when f is closed or the process dies.
func tryLock(f *os.File) bool {
	conn, err := f.SyscallConn()
	if err != nil {
		return true
	}
	var lerr error
	err = conn.Control(func(fd uintptr) {
		for {
			if lerr = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(lerr, unix.EINTR) {
				return
			}
		}
	})
	return err != nil || !errors.Is(lerr, unix.EWOULDBLOCK)
}
