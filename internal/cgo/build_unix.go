//go:build unix

package cgo

import (
	"errors"

	"golang.org/x/sys/unix"
)

// noSpace reports whether err says that the disk takes no more bytes.
func noSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG)
}
