//go:build unix

package doctor

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// mcMayWrite asks the system, which knows of groups, lists of rights and disks that are read alone.
func mcMayWrite(dir string) Answer {
	err := unix.Access(dir, unix.W_OK|unix.X_OK)
	switch {
	case err == nil:
		return Yes
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EROFS), errors.Is(err, unix.EPERM):
		return No
	}
	return Unmeasured
}

func mcOwner(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

// mcLockHeld tries the lock of a file for the moment of a look, shared, as a reader would.
// Source of the kind of lock: cmd/go/internal/lockedfile/internal/filelock.
func mcLockHeld(file string) Answer {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return No
	} else if err != nil {
		return Unmeasured
	}
	defer f.Close()
	return mcTryLock(int(f.Fd()))
}
