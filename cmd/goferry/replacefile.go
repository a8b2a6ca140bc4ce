package main

import (
	"errors"
	"os"
	"path/filepath"
)

// replaceFile puts what write writes in the place of the file name: whoever reads it finds the old or the new one. The
// new one is for its owner alone, unless write gives it other rights.
func replaceFile(name string, write func(*os.File) error) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*") // of mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	if err := errors.Join(write(tmp), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}
