//go:build !windows

package toolchain

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// replaceDirLink makes link lead to the folder to (relative to the folder of link) in one step: whoever looks finds
// the old one or the new one.
func replaceDirLink(to, link string) error { return replaceSymlink(to, link) }

// makeProgramLink makes link lead to the program to.
func makeProgramLink(to, link string) error { return replaceSymlink(to, link) }

// replaceSymlink replaces link, which may be there. The new one is made beside it under a name that nobody
// else has.
func replaceSymlink(to, link string) error {
	for n := range 100 {
		tmp := filepath.Join(filepath.Dir(link), fmt.Sprintf(".%s-%d-%d", filepath.Base(link), os.Getpid(), n))
		err := os.Symlink(to, tmp)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.Rename(tmp, link); err != nil {
			return errors.Join(err, os.Remove(tmp))
		}
		return nil
	}
	return fmt.Errorf("%s: %w", link, fs.ErrExist)
}

// readDirLink is where link leads to; info is what Lstat says of it.
func readDirLink(link string, _ fs.FileInfo) (string, error) { return os.Readlink(link) }

func readProgramLink(link string) (string, error) { return os.Readlink(link) }
