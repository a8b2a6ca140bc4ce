package store_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/store"
)

// runStore runs st until the returned function is called.
func runStore(t *testing.T, st *store.Store) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- st.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

// after lets d pass for everybody.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestRunCountsAtStart(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		st := open(t, dir, store.Options{StartDelay: time.Minute})
		put(t, st, "a", "12345")
		defer runStore(t, st)()
		after(59 * time.Second)
		if st.Usage().Exact {
			t.Error("counted before the start delay was over")
		}
		after(2 * time.Second)
		u := st.Usage()
		if !u.Exact || u.Bytes != 5 {
			t.Errorf("Usage = %+v after the start delay", u)
		}
		after(23 * time.Hour)
		// The count may have been to the disk and back meanwhile, which costs its clock reading.
		if got := st.Usage(); !got.At.Equal(u.At) || got.Bytes != u.Bytes || got.Files != u.Files || !got.Exact {
			t.Errorf("counted again without need: %+v, was %+v", got, u)
		}
		after(2 * time.Hour)
		if got := st.Usage(); !got.At.After(u.At) {
			t.Errorf("not counted again within a day: %+v", got)
		}
	})
}

func TestRunKeepsTheLimit(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		st := open(t, dir, store.Options{MaxBytes: 10_000})
		defer runStore(t, st)()
		after(time.Minute)
		for _, name := range []string{"a", "b", "c"} {
			put(t, st, name, strings.Repeat("x", 4000))
			after(3 * time.Hour)
		}
		if d := cmp.Diff([]string{"b", "c"}, names(t, st)); d != "" {
			t.Error(d)
		}
	})
}

func TestRunIdle(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		st := open(t, dir, store.Options{Idle: 5 * time.Hour})
		put(t, st, "a", "x")
		defer runStore(t, st)()
		after(4 * time.Hour)
		put(t, st, "b", "x")
		after(4 * time.Hour)
		if d := cmp.Diff([]string{"b"}, names(t, st)); d != "" {
			t.Error(d)
		}
	})
}

// TestRunLimitOutOfReach: what may not be evicted must not keep the disk busy.
func TestRunLimitOutOfReach(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		st := open(t, dir, store.Options{MaxBytes: 1, Rank: func(string) int { return -1 }})
		defer runStore(t, st)()
		put(t, st, "a", "xx")
		after(20 * time.Second)
		first := st.Usage().At
		for range 8 {
			put(t, st, "a", "xx")
			after(30 * time.Second)
		}
		if at := st.Usage().At; !at.Equal(first) || first.IsZero() {
			t.Errorf("collected at %v and again at %v", first, at)
		}
		after(2 * time.Minute)
		if at := st.Usage().At; !at.After(first) {
			t.Error("not tried again")
		}
	})
}

// TestRunLearnsFromOthers: one process keeps the limit that another passes.
func TestRunLearnsFromOthers(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		server := open(t, dir, store.Options{MaxBytes: 10_000})
		defer runStore(t, server)()
		put(t, server, "a", strings.Repeat("x", 4000))
		after(3 * time.Hour)

		exec := open(t, dir, store.Options{})
		put(t, exec, "b", strings.Repeat("x", 4000))
		put(t, exec, "c", strings.Repeat("x", 4000))
		if u := server.Usage(); u.Bytes != 4000 {
			t.Errorf("Usage = %+v, before there was a way to know", u)
		}
		if err := exec.Close(); err != nil {
			t.Fatal(err)
		}
		after(time.Minute)
		if d := cmp.Diff([]string{"b", "c"}, names(t, server)); d != "" {
			t.Error(d)
		}
		if u := server.Usage(); u.Bytes != 8000 || u.Files != 2 {
			t.Errorf("Usage = %+v", u)
		}
	})
}
