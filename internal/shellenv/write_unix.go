//go:build unix

package shellenv

import (
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives f, still empty of meaning, the owner of the file that it will replace: the
// administrator may be at work on the files of somebody else.
func keepOwner(f *os.File, old fs.FileInfo) error {
	was, ok := old.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if is, ok := info.Sys().(*syscall.Stat_t); ok && is.Uid == was.Uid && is.Gid == was.Gid {
		return nil
	}
	return f.Chown(int(was.Uid), int(was.Gid))
}
