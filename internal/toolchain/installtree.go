package toolchain

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"
)

// tempPrefix begins the names of trees that are not proved, or not whole any more.
func tempPrefix(t Target) string { return ".tmp-" + dirName(t) + "-" }

// lock waits until nobody else installs, repairs or removes t, in this process or
// another, or until ctx ends. The operating system lets go of the lock when its holder
// dies. The lock file stays: whoever removed it would remove it under a third's hands.
func (h Home) lock(ctx context.Context, t Target) (unlock func(), err error) {
	if err := os.MkdirAll(h.locks(), 0o777); err != nil {
		return nil, err
	}
	unlock, err = lockFile(ctx, filepath.Join(h.locks(), dirName(t)))
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%s: waiting for another installation of it: %w", t, err)
	}
	return unlock, err
}

// lockFile waits for the lock that the file name stands for, or until ctx ends.
func lockFile(ctx context.Context, name string) (unlock func(), err error) {
	type result struct {
		unlock func()
		err    error
	}
	got := make(chan result)
	// This goroutine outlives lockFile where ctx ends first: a wait for a file lock cannot be
	// called off. It lets go of the lock as soon as it has it.
	go func() {
		unlock, err := lockedfile.MutexAt(name).Lock()
		select {
		case got <- result{unlock, err}:
		case <-ctx.Done():
			if err == nil {
				unlock()
			}
		}
	}()
	select {
	case r := <-got:
		return r.unlock, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// sweep removes what killed runs left of t. The lock is held, so no living run has any.
func (h Home) sweep(t Target) error {
	names, err := h.leftovers(t)
	for _, name := range names {
		err = cmp.Or(err, removeTree(name))
	}
	return err
}

// leftovers lists what killed runs left of t, or living ones are at.
func (h Home) leftovers(t Target) ([]string, error) {
	entries, err := os.ReadDir(h.SDKs())
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		// ".new" is the half of a replaceFile.
		half := e.Name() == dirName(t)+".json.new" || e.Name() == dirName(t)+".sums.new"
		if half || strings.HasPrefix(e.Name(), tempPrefix(t)) {
			names = append(names, filepath.Join(h.SDKs(), e.Name()))
		}
	}
	return names, nil
}

// tempTree makes an empty folder for a tree of t, in the file system that it is to stand in.
func (h Home) tempTree(t Target) (string, error) {
	if err := os.MkdirAll(h.SDKs(), 0o777); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(h.SDKs(), tempPrefix(t))
	if err != nil {
		return "", err
	}
	// MkdirTemp lets only the owner in; a toolchain is for everybody whom the umask lets in,
	// and that is what a new folder shows.
	probe := filepath.Join(dir, "x")
	if err := os.Mkdir(probe, 0o777); err != nil {
		return "", cmp.Or(err, os.Remove(dir))
	}
	info, err := os.Stat(probe)
	if err == nil {
		err = cmp.Or(os.Remove(probe), os.Chmod(dir, info.Mode().Perm()))
	}
	return dir, err
}

// looksWhole is a cheap look at the tree of t, nil if all seems well.
func (h Home) looksWhole(t Target) error { return wholeTree(h.Root(t), t) }

// commit puts the proved tree at tmp in its place, with its record and its hashes. These
// are written first: a record without a tree means nothing, while a tree without a record
// would be of unknown origin. Whatever stood there goes away; a run that is killed at the
// wrong moment leaves none, never half of one.
func (h Home) commit(ctx context.Context, tmp string, rec Record, sums Sums) error {
	if err := syncTree(tmp); err != nil {
		return err
	}
	var list bytes.Buffer
	if _, err := sums.WriteTo(&list); err != nil {
		return err
	}
	data, err := json.MarshalIndent(rec, "", "\t")
	if err != nil {
		return err
	}
	if err := replaceFile(h.SumsFile(rec.Target), list.Bytes()); err != nil {
		return err
	}
	if err := replaceFile(h.RecordFile(rec.Target), append(data, '\n')); err != nil {
		return err
	}
	root := h.Root(rec.Target)
	old, err := h.setAside(ctx, rec.Target)
	if err != nil {
		return err
	}
	if err := renameTree(ctx, tmp, root); err != nil {
		if old != "" {
			err = errors.Join(err, renameTree(ctx, filepath.Join(old, asideName), root), os.Remove(old))
		}
		return err
	}
	if old != "" {
		_ = removeTree(old) // programs in use stay on Windows; the next run sweeps
	}
	return syncDir(h.SDKs())
}

// asideName is the name of a tree in the folder to which it was set aside.
const asideName = "old"

// setAside moves the tree of t, if there is one, to a new folder that the next run sweeps.
func (h Home) setAside(ctx context.Context, t Target) (string, error) {
	if _, err := os.Lstat(h.Root(t)); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	dir, err := os.MkdirTemp(h.SDKs(), tempPrefix(t))
	if err != nil {
		return "", err
	}
	if err := renameTree(ctx, h.Root(t), filepath.Join(dir, asideName)); err != nil {
		return "", errors.Join(err, os.Remove(dir))
	}
	return dir, nil
}

// removeTree removes dir and all in it, also what is not writable.
func removeTree(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil {
		return nil
	}
	walkErr := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Chmod(name, 0o700)
		}
		return nil
	})
	if again := os.RemoveAll(dir); again == nil {
		return nil
	}
	return cmp.Or(err, walkErr)
}

// How long a rename is tried again where a virus scanner, an indexer or a shell holds a
// file of the tree that was just written.
const (
	renameFor   = 15 * time.Second
	renamePause = 20 * time.Millisecond // the first; each is twice as long, up to a second
)

// renameTree renames a folder.
func renameTree(ctx context.Context, from, to string) error {
	return retryRename(ctx, func() error { return os.Rename(from, to) }, isHeld)
}

// retryRename tries again while held says that somebody has the files open.
func retryRename(ctx context.Context, rename func() error, held func(error) bool) error {
	pause := renamePause
	for end := time.Now().Add(renameFor); ; pause = min(2*pause, time.Second) {
		err := rename()
		if err == nil || !held(err) || time.Now().Add(pause).After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}
