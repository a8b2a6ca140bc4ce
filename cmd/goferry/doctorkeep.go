package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/doctor"
	"github.com/goferry/goferry/internal/gocmd"
)

// A doctorFileWas is a file as it was.
type doctorFileWas struct {
	File    string      `json:"file"`
	Link    string      `json:"link,omitempty"` // where it leads, if it is a link; the rest is about what it leads to
	Mode    fs.FileMode `json:"mode"`
	Time    time.Time   `json:"time,omitzero"`  // of the last change
	Dirs    []string    `json:"dirs,omitempty"` // folders above it that were not there, the innermost first
	Content []byte      `json:"content"`        // null: there was no file
	After   string      `json:"after"`          // SHA-256 of what the fix makes of it; empty if that is no file
	Wrote   bool        `json:"wrote"`          // After is known
}

// fileWas is the file as it is now.
func fileWas(name string) (doctorFileWas, error) {
	w := doctorFileWas{File: name}
	if link, err := os.Readlink(name); err == nil {
		w.Link = link
	}
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		for dir := filepath.Dir(landing(name)); ; dir = filepath.Dir(dir) {
			if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
				return w, nil
			}
			w.Dirs = append(w.Dirs, dir)
		}
	} else if err != nil {
		return w, err
	}
	w.Mode, w.Time = info.Mode().Perm(), info.ModTime()
	data, err := os.ReadFile(name)
	w.Content = append([]byte{}, data...) // not nil: an empty file is one
	return w, err
}

// landing is the file that a link leads to in the end, there or not; name itself if it is none.
func landing(name string) string {
	const most = 40 // as systems have it
	for range most {
		link, err := os.Readlink(name)
		if err != nil {
			return name
		}
		if !filepath.IsAbs(link) {
			link = filepath.Join(filepath.Dir(name), link)
		}
		name = link
	}
	return name
}

// sum is empty for a file that is not there.
func (w doctorFileWas) sum() string {
	if w.Content == nil {
		return ""
	}
	return sumOf(w.Content)
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// putBack makes the file what it was: content, rights, and the link that led to it.
func (w doctorFileWas) putBack() error {
	if link, err := os.Readlink(w.File); w.Link != "" && (err != nil || link != w.Link) { // a file came in its place
		if err := os.Remove(w.File); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Symlink(w.Link, w.File); err != nil {
			return err
		}
	}
	at := landing(w.File)
	if w.Content == nil {
		if err := os.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, dir := range w.Dirs {
			_ = os.Remove(dir) // unless there is something else in it by now
		}
		return nil
	}
	now, err := os.ReadFile(at)
	gone := errors.Is(err, fs.ErrNotExist)
	if gone {
		if err := os.MkdirAll(filepath.Dir(at), 0o777); err != nil {
			return err
		}
	}
	if gone || err != nil || sumOf(now) != w.sum() {
		if err := writeInPlace(at, w.Content, w.Mode); err != nil {
			return err
		}
	}
	if gone && !w.Time.IsZero() { // it was removed, not written
		if err := os.Chtimes(at, w.Time, w.Time); err != nil {
			return err
		}
	}
	if info, err := os.Stat(at); err == nil && info.Mode().Perm() == w.Mode {
		return nil // of another user, perhaps
	}
	return os.Chmod(at, w.Mode)
}

// putBackAll puts back what a fix changed that failed, and reports whether all is as it was.
func putBackAll(files []doctorFileWas) bool {
	ok := true
	for _, w := range slices.Backward(files) {
		if !w.Wrote { // it cannot even be read
			ok = false
		} else if w.After != w.sum() {
			ok = w.putBack() == nil && ok
		}
	}
	return ok
}

// writeInPlace writes into the file that is there, if one is: it keeps its owner, its rights, and its other names. One
// that cannot be written as a whole, since the disk is full, is what it was before.
func writeInPlace(name string, data []byte, mode fs.FileMode) (err error) {
	before, readErr := os.ReadFile(name)
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, mode)
	if err != nil {
		return err
	}
	write := func(data []byte) error {
		_, err := f.WriteAt(data, 0)
		if err == nil {
			err = f.Truncate(int64(len(data)))
		}
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	err = write(data)
	switch {
	case err == nil:
		return f.Sync()
	case errors.Is(readErr, fs.ErrNotExist):
		return errors.Join(err, os.Remove(name))
	case readErr == nil:
		return errors.Join(err, write(before)) // its blocks are still its own
	}
	return err
}

// predict finds out what the fix will make of the files, by applying it to copies: then even of a goferry that is killed
// right behind it the change can be told from one of the user's. What cannot be told stays open.
func (r *doctorRun) predict(f doctor.Fix, files []doctorFileWas) {
	there := slices.ContainsFunc(files, func(w doctorFileWas) bool { return w.Content != nil })
	for i := range files {
		w := &files[i]
		switch {
		case f.Kind == doctor.EditFile:
			data, err := edited(f, w.Content)
			w.After, w.Wrote = sumOf(data), err == nil
		case w.Content == nil && (there || i < len(files)-1): // of several, git writes what is there, else ~/.gitconfig
			w.After, w.Wrote = "", len(f.Command) > 0 && f.Command[0] == "git"
		default:
			w.After, w.Wrote = r.tried(f, *w)
		}
	}
}

// tried is what the fix makes of a copy of the file.
func (r *doctorRun) tried(f doctor.Fix, w doctorFileWas) (sum string, ok bool) {
	dir, err := r.undoDir()
	if err != nil || os.MkdirAll(dir, 0o700) != nil {
		return "", false
	}
	if dir, err = os.MkdirTemp(dir, ".try-*"); err != nil { // of mode 0700
		return "", false
	}
	defer func() { ok = os.RemoveAll(dir) == nil && ok }()
	copied := filepath.Join(dir, filepath.Base(w.File))
	if w.Content != nil && os.WriteFile(copied, w.Content, 0o600) != nil {
		return "", false
	}
	if f.Kind == doctor.SetGoEnv {
		err = r.setGoEnv(f, copied)
	} else if argv := onCopy(f.Command, w.File, copied); argv == nil {
		return "", false
	} else if res, runErr := r.runner.Run(r.ctx(), gocmd.Cmd{Name: argv[0], Args: argv[1:], Dir: dir}); runErr != nil || res.ExitCode != 0 {
		return "", false
	}
	if err != nil {
		return "", false
	}
	now, err := fileWas(copied)
	return now.sum(), err == nil
}

// onCopy is a command that changes the settings of git, or the file that it names, with another file; nil for other commands.
func onCopy(argv []string, file, copied string) []string {
	switch {
	case len(argv) > 3 && argv[0] == "git" && argv[1] == "config" && argv[2] == "--file" && argv[3] == file:
		return slices.Concat(argv[:3], []string{copied}, argv[4:])
	case len(argv) > 3 && argv[0] == "git" && argv[1] == "config" && strings.HasPrefix(argv[2], "--"):
		return slices.Concat(argv[:2], []string{"--file", copied}, argv[3:])
	case len(argv) == 5 && argv[0] == "go" && argv[2] == "edit" && argv[4] == file:
		return append(slices.Clone(argv[:4]), copied)
	}
	return nil
}
