//go:build unix

package toolchain

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// isHeld reports whether a rename failed because somebody has the files open; here that keeps nothing from being renamed.
func isHeld(error) bool { return false }

// syncDir puts the names in dir on the disk.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) {
		return err
	}
	return nil
}
