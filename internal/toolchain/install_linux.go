package toolchain

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncTree puts the tree at dir on the disk. One syncfs is quicker than thousands of fsync, and writes the names
// as well as the bytes.
func syncTree(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil && !errors.Is(err, unix.ENOSYS) {
		return &os.PathError{Op: "syncfs", Path: dir, Err: err}
	}
	return nil
}
