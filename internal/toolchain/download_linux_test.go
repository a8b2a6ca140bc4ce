package toolchain

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestFetchDiskFull: a full disk is no fault of the places, and nobody else is asked.
func TestFetchDiskFull(t *testing.T) {
	l := newFetchLab(t)
	if err := os.Symlink("/dev/full", filepath.Join(l.Dir, fetchFile+".part")); err != nil {
		t.Fatal(err)
	}
	second := &fetchHost{data: fetchData(1, 1<<20)}
	_, err := l.fetch(l.place("first", &fetchHost{data: fetchData(1, 1<<20)}), l.place("second", second))
	if !errors.Is(err, ErrDiskFull) {
		t.Errorf("got error %v, want that the disk is full", err)
	}
	wantEqual(t, "faults", l.faults(), []string(nil))
	wantEqual(t, "requests to the second place", len(second.requests()), 0)
}
