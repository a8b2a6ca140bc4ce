package toolchain

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// selfLock takes an exclusive lock on f without waiting, and reports whether it got it. It ends
// with f, or with the process.
func selfLock(f *os.File) (bool, error) {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION), errors.Is(err, windows.ERROR_IO_PENDING):
		return false, nil
	}
	return false, &os.PathError{Op: "LockFileEx", Path: f.Name(), Err: err}
}

// selfWritable reports whether new files can be made in a folder. Windows cannot be asked without
// making one; it is believed to be so.
func selfWritable(string) bool { return true }

// selfFree is the free space at dir, in bytes; negative where it is unknown.
func selfFree(dir string) int64 {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return -1
	}
	var free uint64
	if windows.GetDiskFreeSpaceEx(name, &free, nil, nil) != nil {
		return -1
	}
	return int64(free)
}
