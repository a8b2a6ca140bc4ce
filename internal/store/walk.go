package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// walkBatch is how many entries of a folder are in memory at a time.
const walkBatch = 256

// Walk calls fn for every blob whose name begins with prefix ("" for all, one
// that ends with a slash for a folder), in no order. It reads folders piece by
// piece, so its memory does not grow with the store. Blobs that come or go
// meanwhile may be seen or not. An error of fn ends the walk and is returned as
// it is. A folder that cannot be read does not end it; its error is returned at
// the end. Files that are no blobs, links among them, are passed over.
func (s *Store) Walk(ctx context.Context, prefix string, fn func(Blob) error) error {
	w := walker{s: s, prefix: prefix, visit: func(b Blob) (bool, error) { return false, fn(b) }}
	return w.walk(ctx)
}

type walker struct {
	s      *Store
	prefix string
	visit  func(Blob) (gone bool, err error) // gone: the blob is not there any more
	prune  bool                              // remove folders that are empty
	bad    error                             // the first folder that could not be read
	nbad   int
}

func (w *walker) walk(ctx context.Context) error {
	start := "."
	if i := strings.LastIndexByte(w.prefix, '/'); i >= 0 {
		start = w.prefix[:i]
		if err := checkName(start); err != nil {
			return err
		}
		info, err := w.s.root.Lstat(start)
		if err != nil || !info.IsDir() {
			return absentIsNil("walk", start, err)
		}
	}
	if _, err := w.dir(ctx, start); err != nil {
		return err
	}
	if w.nbad > 1 {
		return fmt.Errorf("%w (and %d more folders)", w.bad, w.nbad-1)
	}
	return w.bad
}

func absentIsNil(op, name string, err error) error {
	if err == nil {
		return nil
	}
	if err = absentOr(op, name, err); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// unread notes that a folder could not be read.
func (w *walker) unread(name string, err error) {
	if w.nbad++; w.bad == nil {
		w.bad = absentOr("walk", name, err)
	}
}

// dir visits what is below the folder name, and reports whether it removed it.
func (w *walker) dir(ctx context.Context, name string) (gone bool, err error) {
	d, err := w.s.root.Open(name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return true, nil
		}
		if errors.Is(err, fs.ErrClosed) {
			return false, err
		}
		w.unread(name, err)
		return false, nil
	}
	left, err := w.entries(ctx, name, d)
	d.Close() // before it is removed, for Windows' sake
	if err != nil {
		return false, err
	}
	if w.prune && left == 0 && name != "." {
		// Not empty after all, or somebody was faster: both are fine.
		return w.s.rmdir(name) == nil, nil
	}
	return false, nil
}

// entries visits the entries of a folder and counts those that are left.
func (w *walker) entries(ctx context.Context, name string, d *os.File) (left int, err error) {
	for {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		batch, err := d.ReadDir(walkBatch)
		for _, e := range batch {
			gone, err := w.entry(ctx, path.Join(name, e.Name()), e)
			if err != nil {
				return 0, err
			}
			if !gone {
				left++
			}
		}
		if err == io.EOF || errors.Is(err, fs.ErrNotExist) {
			return left, nil
		}
		if err != nil {
			w.unread(name, err)
			return 1, nil
		}
	}
}

func (w *walker) entry(ctx context.Context, name string, e fs.DirEntry) (gone bool, err error) {
	if e.IsDir() {
		if checkName(name) != nil || !w.leads(name+"/") {
			return false, nil
		}
		return w.dir(ctx, name)
	}
	if !e.Type().IsRegular() || !strings.HasPrefix(name, w.prefix) || checkName(name) != nil {
		return false, nil
	}
	info, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		w.unread(name, err)
		return false, nil
	}
	return w.visit(blobOf(name, info))
}

// leads reports whether names with the prefix can be below the folder dir.
func (w *walker) leads(dir string) bool {
	return strings.HasPrefix(dir, w.prefix) || strings.HasPrefix(w.prefix, dir)
}
