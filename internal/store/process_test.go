package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/store"
)

// TestKill kills a process that fills the store, again and again, at random
// moments. After each kill every blob is whole or absent, those that it said it
// kept are there, and its leftovers are gone.
func TestKill(t *testing.T) {
	const kills = 64
	dir := t.TempDir()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var kept, leftovers int
	for round := range kills {
		tag := fmt.Sprintf("r%d", round)
		h := start(t, "fill", dir, tag)
		var said []string
		for range r.IntN(120) {
			l := h.line(t)
			if l == "" {
				t.Fatal("helper ended")
			}
			if name, ok := strings.CutPrefix(l, "kept "); ok {
				said = append(said, name)
			}
		}
		h.kill(t)
		leftovers += len(spools(t, dir))

		st, err := store.Open(dir, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := spools(t, dir); len(got) != 2 {
			t.Errorf("round %d: spool holds %v, want what belongs to this process", round, got)
		}
		found := wantWhole(t, st, tag+"/")
		for _, name := range said {
			if !found[name] && strings.HasPrefix(name, tag) {
				t.Errorf("round %d: %s was kept and is not there", round, name)
			}
		}
		kept += len(found)
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}
	st := open(t, dir, store.Options{})
	if got := len(wantWhole(t, st, "")); got < kept {
		t.Errorf("%d blobs at the end, there were %d", got, kept)
	}
	if kept < kills || leftovers < kills {
		t.Errorf("%d kills met %d blobs and %d leftovers: the test has lost its teeth", kills, kept, leftovers)
	}
	t.Logf("%d kills, %d blobs, %d leftovers", kills, kept, leftovers)
}

// TestStartTogether: processes that start at the same moment sweep around each
// other's new folders.
func TestStartTogether(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 25 {
				st, err := store.Open(dir, store.Options{})
				if err != nil {
					t.Error(err)
					return
				}
				name := fmt.Sprintf("%d/%d", g, i)
				if err := st.Put(t.Context(), name, strings.NewReader(name), time.Time{}); err != nil {
					t.Error(err)
				}
				if err := st.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := spools(t, dir); len(got) != 0 {
		t.Errorf("left in the spool: %v", got)
	}
	st := open(t, dir, store.Options{})
	if got := names(t, st); len(got) != 200 {
		t.Errorf("%d blobs, want 200", len(got))
	}
	if u := st.Usage(); u.Files != 200 {
		t.Errorf("Usage = %+v, want 200 files", u)
	}
}

// TestShared: a second process starts, sweeps, fills, collects and ends, several
// times, while the first fills. Neither notices.
func TestShared(t *testing.T) {
	dir := t.TempDir()
	h := start(t, "fill", dir, "first")
	var kept int
	follow := func(lines int) {
		t.Helper()
		for range lines {
			l := h.line(t)
			if l == "" {
				t.Fatal("helper ended")
			}
			if strings.HasPrefix(l, "kept") {
				kept++
			}
		}
	}
	follow(10)
	for i := range 6 {
		st, err := store.Open(dir, store.Options{MaxBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("second/%d", i)
		put(t, st, name, string(content(name)))
		follow(20)
		if _, err := st.GC(t.Context()); err != nil {
			t.Error(err)
		}
		follow(20)
		wantWholeOrGone(t, st)
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, l := range h.stop(t) {
		if strings.HasPrefix(l, "kept") {
			kept++
		}
	}
	if kept < 8 {
		t.Errorf("the first process kept %d blobs", kept)
	}
	st := open(t, dir, store.Options{})
	if found := wantWhole(t, st, ""); len(found) == 0 {
		t.Error("nothing is there")
	}
	if got := spools(t, dir); len(got) != 2 {
		t.Errorf("spool holds %v", got)
	}
}

// wantWholeOrGone is wantWhole while others collect.
func wantWholeOrGone(t *testing.T, st *store.Store) {
	t.Helper()
	for _, name := range names(t, st) {
		f, err := st.Open(name)
		if err != nil {
			continue
		}
		if want := int64(len(content(name))); f.Blob().Size != want {
			t.Errorf("%s has %d bytes, want %d", name, f.Blob().Size, want)
		}
		f.Close()
	}
}

// TestLockStrangers: two stores in one process are as strange to each other as
// two processes are.
func TestLockStrangers(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir, store.Options{}), open(t, dir, store.Options{})
	unlock, err := a.Lock(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := b.Lock(ctx, "x")
		failed <- err
	}()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("Lock = %v while another store holds it", err)
	}
	unlock()
	unlock, err = b.Lock(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}
