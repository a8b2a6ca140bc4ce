package toolchain

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// ErrDiskFull says that the disk, or what the user may use of it, takes no more bytes.
var ErrDiskFull = errors.New("the disk is full")

// asDiskFull makes err, of a write, match ErrDiskFull where that is the reason.
func asDiskFull(err error) error {
	if err != nil && isDiskFull(err) && !errors.Is(err, ErrDiskFull) {
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return err
}

// replaceFile puts data in the place of the file name: whoever reads it, after a crash as
// well, finds the old or the new one.
func replaceFile(name string, data []byte) error { return writeBeside(name, data, true) }

// writeBeside is replaceFile; sync says whether it shall outlast a power cut as well.
func writeBeside(name string, data []byte, sync bool) error {
	tmp := name + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && sync {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(tmp, name)
	}
	if err != nil {
		os.Remove(tmp)
		return asDiskFull(err)
	}
	return nil
}

// ignoreAbsent is err, or nil where that says that there is no such file.
func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
