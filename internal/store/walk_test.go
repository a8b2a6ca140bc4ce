package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/goferry/goferry/internal/store"
)

// TestWalkMemory: a folder with many files is read piece by piece, by Walk and GC.
func TestWalkMemory(t *testing.T) {
	const files, allowed = 30_000, 1 << 20 // all entries at once need some 5 MB
	dir := t.TempDir()
	var high uint64
	seen := 0
	look := func() {
		if seen++; seen%5000 == 0 {
			high = max(high, heap())
		}
	}
	st := open(t, dir, store.Options{MaxBytes: 1, Rank: func(string) int { look(); return 0 }})
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o777); err != nil {
		t.Fatal(err)
	}
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, "d", fmt.Sprintf("file-%06d", i)), []byte("x"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	before := heap()
	if err := st.Walk(t.Context(), "", func(store.Blob) error { look(); return nil }); err != nil {
		t.Fatal(err)
	}
	if seen != files {
		t.Errorf("Walk saw %d files of %d", seen, files)
	}
	if high > before+allowed {
		t.Errorf("Walk grew the heap by %d bytes", high-before)
	}

	high, seen = 0, 0
	r, err := st.GC(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if seen < 2*files {
		t.Errorf("GC ranked %d files, want each twice", seen)
	}
	if high > before+allowed {
		t.Errorf("GC grew the heap by %d bytes", high-before)
	}
	if r.FreedFiles != files || len(names(t, st)) != 0 {
		t.Errorf("GC = %+v", r)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
