package toolchain

import (
	"errors"

	"golang.org/x/sys/windows"
)

// isHeld reports whether a rename failed because somebody has a file of the tree open, which virus scanners do with
// every new program. Windows says "access is denied" for it.
func isHeld(err error) bool {
	return errors.Is(err, windows.ERROR_ACCESS_DENIED) || errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_LOCK_VIOLATION)
}

// syncDir has nothing to do: NTFS keeps a journal of names.
func syncDir(string) error { return nil }
