//go:build unix

package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/store"
)

func systemRole(name string) func(string) error {
	return map[string]func(string) error{
		"full":       beFull,
		"too-full":   beTooFull,
		"unwritable": beUnwritable,
		"hold":       beHolder,
	}[name]
}

func TestSystem(t *testing.T) {
	for _, role := range []string{"full", "too-full", "unwritable"} {
		t.Run(role, func(t *testing.T) {
			if got := start(t, role, t.TempDir(), "").stop(t); len(got) != 1 || got[0] != "ok" {
				t.Errorf("helper said %q, want ok", got)
			}
		})
	}
}

// limitFiles limits the size that files of this process can have.
func limitFiles(bytes int) error {
	signal.Ignore(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	set(&limit.Cur, bytes)
	set(&limit.Max, bytes)
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
}

// set exists because the systems do not agree on the type of a limit.
func set[T int64 | uint64](to *T, n int) { *to = T(n) }

// beFull meets the end of the disk in the middle of a write.
func beFull(dir string) error {
	const limit = 1_000_000
	if err := limitFiles(limit); err != nil {
		return err
	}
	st, err := store.Open(dir, store.Options{})
	if err != nil {
		return err
	}
	defer st.Close()
	sp, err := st.Create()
	if err != nil {
		return err
	}
	piece := bytes.Repeat([]byte("0123456789"), 30_000) // does not divide the limit
	written := 0
	for err == nil {
		var n int
		n, err = sp.Write(piece)
		written += n
	}
	if !errors.Is(err, store.ErrFull) || !errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("Write: %w", err)
	}
	if written != limit || sp.Size() != limit {
		return fmt.Errorf("Write told of %d bytes, Size is %d, want %d", written, sp.Size(), limit)
	}
	got := make([]byte, limit)
	if n, err := sp.ReadAt(got, 0); n != limit || err != nil || !bytes.Equal(got[limit-10:], piece[:10]) {
		return fmt.Errorf("ReadAt = %d, %w", n, err)
	}
	if n, err := sp.Write(piece[:1]); n != 0 || !errors.Is(err, store.ErrFull) {
		return fmt.Errorf("Write after the failure = %d, %w", n, err)
	}
	if err := sp.Commit("a", time.Time{}); !errors.Is(err, store.ErrFull) {
		return fmt.Errorf("Commit of half a file: %w", err)
	}
	if err := sp.Close(); err != nil {
		return err
	}
	return afterFull(st)
}

// afterFull: the store goes on working for what fits.
func afterFull(st *store.Store) error {
	if err := st.Put(neverEnds{}, "big", strings.NewReader(strings.Repeat("x", 1_000_001)), time.Time{}); !errors.Is(err, store.ErrFull) {
		return fmt.Errorf("Put: %w", err)
	}
	if _, err := st.Stat("big"); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("Stat: %w", err)
	}
	if err := st.Put(neverEnds{}, "small", strings.NewReader("x"), time.Time{}); err != nil {
		return err
	}
	if left, err := filepath.Glob(filepath.Join(st.Dir(), ".goferry", "spool", "*", "*")); err != nil || len(left) > 0 {
		return fmt.Errorf("left in the spool: %v, %w", left, err)
	}
	if err := st.Check(); err != nil {
		return err
	}
	fmt.Println("ok")
	return nil
}

// neverEnds is the context of helper processes.
type neverEnds struct{}

func (neverEnds) Deadline() (time.Time, bool) { return time.Time{}, false }
func (neverEnds) Done() <-chan struct{}       { return nil }
func (neverEnds) Err() error                  { return nil }
func (neverEnds) Value(any) any               { return nil }

// beTooFull finds out at the start, and later by Check.
func beTooFull(dir string) error {
	st, err := store.Open(filepath.Join(dir, "before"), store.Options{})
	if err != nil {
		return err
	}
	if err := limitFiles(1000); err != nil {
		return err
	}
	if err := st.Check(); !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), dir) {
		return fmt.Errorf("Check: %w", err)
	}
	if err := st.Close(); err != nil {
		return err
	}
	late, err := store.Open(filepath.Join(dir, "after"), store.Options{})
	if !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), dir) {
		return fmt.Errorf("Open = %v, %w", late, err)
	}
	if left := entries(filepath.Join(dir, "after", ".goferry", "spool")); left != 0 {
		return fmt.Errorf("Open failed and left %d entries in the spool", left)
	}
	fmt.Println("ok")
	return nil
}

func entries(dir string) int {
	list, err := os.ReadDir(dir)
	if err != nil {
		return -1
	}
	return len(list)
}

// beUnwritable is a user who may read the folder and no more.
func beUnwritable(dir string) error {
	// A folder in which only what is the store's own can be written.
	half := filepath.Join(dir, "half")
	if err := os.MkdirAll(filepath.Join(half, ".goferry"), 0o777); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Join(half, ".goferry"), 0o777); err != nil {
		return err
	}
	for _, d := range []string{half, dir} {
		if err := os.Chmod(d, 0o555); err != nil {
			return err
		}
	}
	root := os.Getuid() == 0
	if root {
		if err := syscall.Setuid(65534); err != nil {
			return err
		}
	}
	for _, d := range []string{dir, filepath.Join(dir, "new"), half} {
		st, err := store.Open(d, store.Options{})
		if err == nil {
			st.Close()
		}
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), d) {
			return fmt.Errorf("Open %s: %w", d, err)
		}
	}
	if !root {
		os.Chmod(dir, 0o755) // so that the test can clean up
		os.Chmod(half, 0o755)
	}
	fmt.Println("ok")
	return nil
}

// beHolder takes a lock and keeps it until it is killed.
func beHolder(dir string) error {
	st, err := store.Open(dir, store.Options{})
	if err != nil {
		return err
	}
	if _, err := st.Lock(neverEnds{}, "x"); err != nil {
		return err
	}
	fmt.Println("holding")
	_, err = os.Stdin.Read(make([]byte, 1))
	return err
}

// TestLockHolderKilled: the death of its holder frees a lock.
func TestLockHolderKilled(t *testing.T) {
	dir := t.TempDir()
	st := open(t, dir, store.Options{})
	h := start(t, "hold", dir, "")
	if got := h.line(t); got != "holding" {
		t.Fatalf("helper said %q", got)
	}
	got := make(chan error, 1)
	go func() {
		unlock, err := st.Lock(t.Context(), "x")
		if err == nil {
			unlock()
		}
		got <- err
	}()
	for range 50 {
		select {
		case err := <-got:
			t.Fatalf("Lock = %v while another process holds it", err)
		default:
			if err := st.Check(); err != nil { // takes its time
				t.Error(err)
			}
		}
	}
	h.kill(t)
	if err := <-got; err != nil {
		t.Error(err)
	}
}
