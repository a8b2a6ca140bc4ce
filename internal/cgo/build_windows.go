package cgo

import (
	"errors"

	sys "golang.org/x/sys/windows"
)

// noSpace reports whether err says that the disk takes no more bytes.
func noSpace(err error) bool {
	return errors.Is(err, sys.ERROR_DISK_FULL) || errors.Is(err, sys.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, sys.ERROR_DISK_QUOTA_EXCEEDED) || errors.Is(err, sys.ERROR_FILE_TOO_LARGE)
}
