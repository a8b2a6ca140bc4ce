package store

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// tryLock takes an exclusive lock on f without waiting, and reports whether it
// got it. The lock belongs to the handle and ends when f is closed or the
// process dies.
func tryLock(f *os.File) (bool, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return false, err
	}
	var lerr error
	err = conn.Control(func(h uintptr) {
		lerr = windows.LockFileEx(windows.Handle(h),
			windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
	})
	switch {
	case err != nil:
		return false, err
	case errors.Is(lerr, windows.ERROR_LOCK_VIOLATION), errors.Is(lerr, windows.ERROR_IO_PENDING):
		return false, nil
	case lerr != nil:
		return false, &os.PathError{Op: "LockFileEx", Path: f.Name(), Err: lerr}
	}
	return true, nil
}
