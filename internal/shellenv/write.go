package shellenv

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// replace writes a file beside name, and puts it in its place. A symbolic link is followed: the
// start-up files of many people are links into a folder under version control.
func replace(name string, data []byte) (err error) {
	if name, err = target(name); err != nil {
		return err
	}
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	old, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		old = nil
	} else if err != nil {
		return err
	}
	if old != nil { // to be replaced is less than to be written: the folder is asked for that
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		f.Close()
	}
	f, err := os.CreateTemp(dir, ".goferry-*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if old != nil {
		mode = old.Mode().Perm()
		if err := keepOwner(f, old); err != nil {
			return err
		}
	}
	if err := errors.Join(f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// target is the file that name leads to. The end of a link may be missing: then it is to be made.
func target(name string) (string, error) {
	const most = 40 // as Linux
	for range most {
		info, err := os.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode()&fs.ModeSymlink == 0 {
			return name, nil
		} else if err != nil {
			return "", err
		}
		to, err := os.Readlink(name)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(name), to)
		}
		name = to
	}
	return "", &fs.PathError{Op: "open", Path: name, Err: errors.New("too many symbolic links")}
}

// remove removes a file that goferry made. A link to it is the user's, and stays.
func remove(name string) error {
	name, err := target(name)
	if err != nil {
		return err
	}
	return os.Remove(name)
}
