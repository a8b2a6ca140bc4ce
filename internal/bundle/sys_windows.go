package bundle

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// renameOpen says whether an open file can be renamed and removed.
const renameOpen = false

// noSpace reports whether err says that the disk takes no more bytes.
func noSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}

// tooLarge reports whether err says that the file system has no files as large as this.
func tooLarge(err error) bool { return errors.Is(err, windows.ERROR_FILE_TOO_LARGE) }

// tryLock takes an exclusive lock on f without waiting. It reports false if another handle has it;
// a file system without locks gives everybody one. The byte locked is far behind the end: locks of Windows
// keep others, and other handles of our own, from reading what they cover.
func tryLock(f *os.File) bool {
	conn, err := f.SyscallConn()
	if err != nil {
		return true
	}
	var lerr error
	err = conn.Control(func(h uintptr) {
		lerr = windows.LockFileEx(windows.Handle(h), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
			0, 1, 0, &windows.Overlapped{OffsetHigh: 1 << 30})
	})
	return err != nil || !errors.Is(lerr, windows.ERROR_LOCK_VIOLATION) && !errors.Is(lerr, windows.ERROR_IO_PENDING)
}
