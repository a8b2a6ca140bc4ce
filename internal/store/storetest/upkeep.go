package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/store"
)

const kilo = 1000

// fill puts blobs of 1000 bytes, the first one least recently used, an hour apart.
func fill(t *testing.T, st Store, clock *Clock, names ...string) {
	t.Helper()
	for _, name := range names {
		mustPut(t, st, name, strings.Repeat("x", kilo))
		clock.Add(time.Hour)
	}
}

func mustGC(t *testing.T, st Store) store.GCResult {
	t.Helper()
	r, err := st.GC(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (s suite) testUse(t *testing.T) {
	clock := NewClock()
	st := s.open(t, store.Options{Now: clock.Now})
	when := time.Date(2020, 5, 6, 7, 8, 9, 0, time.UTC)
	if err := st.Put(t.Context(), "a", strings.NewReader("x"), when); err != nil {
		t.Fatal(err)
	}
	put := clock.Now()
	use := func(open bool, after time.Duration, want time.Time) {
		t.Helper()
		clock.Add(after)
		if open {
			wantBlob(t, st, "a", "x")
		}
		b, err := st.Stat("a")
		if err != nil || !b.Used.Equal(want) || !b.ModTime.Equal(when) {
			t.Errorf("after %v: used %v, modified %v, %v; want used %v, modified %v", after, b.Used, b.ModTime, err, want, when)
		}
	}
	use(true, 59*time.Minute, put)                                     // not worth a write
	use(false, time.Hour, put)                                         // Stat is no use
	use(true, time.Minute, put.Add(2*time.Hour))                       // recorded
	use(true, 59*time.Minute, put.Add(2*time.Hour))                    // not yet again
	use(true, time.Minute, put.Add(3*time.Hour))                       // now
	use(true, 1000*time.Hour, put.Add(1003*time.Hour))                 // after long
	use(true, -100*time.Hour, put.Add(903*time.Hour))                  // a clock set right again
	use(false, -(903*time.Hour + time.Minute), put.Add(903*time.Hour)) // before it was made
}

func (s suite) testTouch(t *testing.T) {
	clock := NewClock()
	st := s.open(t, store.Options{Now: clock.Now})
	mustPut(t, st, "a", "x")
	was := clock.Now()
	clock.Add(5 * time.Minute)
	if err := st.Touch("a", time.Time{}); err != nil {
		t.Fatal(err)
	}
	if b, err := st.Stat("a"); err != nil || !b.ModTime.Equal(was) || !b.Used.Equal(clock.Now()) {
		t.Errorf("zero time: %+v, %v", b, err)
	}
	when := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := st.Touch("a", when); err != nil {
		t.Fatal(err)
	}
	if b, err := st.Stat("a"); err != nil || !b.ModTime.Equal(when) || !b.Used.Equal(clock.Now()) {
		t.Errorf("%+v, %v; want modified %v", b, err, when)
	}
	wantBlob(t, st, "a", "x")
}

func (s suite) testUsage(t *testing.T) {
	clock := NewClock()
	st := s.open(t, store.Options{Now: clock.Now})
	want := func(bytes, files int64, exact bool) {
		t.Helper()
		u := st.Usage()
		if u.Bytes != bytes || u.Files != files || u.Exact != exact {
			t.Errorf("Usage = %+v, want %d bytes, %d files, exact %v", u, bytes, files, exact)
		}
	}
	want(0, 0, false)
	mustPut(t, st, "a/1", "12345")
	mustPut(t, st, "a/2", "123")
	want(8, 2, false)
	mustPut(t, st, "a/2", "1234567")
	want(12, 2, false)
	sp := mustCreate(t, st, "not yet")
	want(12, 2, false)
	if err := sp.Close(); err != nil {
		t.Fatal(err)
	}
	mustGC(t, st)
	want(12, 2, true)
	if at := st.Usage().At; !at.Equal(clock.Now()) {
		t.Errorf("counted at %v", at)
	}
	if err := st.Remove("a/1"); err != nil {
		t.Fatal(err)
	}
	want(7, 1, true)
	mustPut(t, st, "b", "1")
	want(8, 2, true)
}

func (s suite) testGCNothing(t *testing.T) {
	clock := NewClock()
	st := s.open(t, store.Options{Now: clock.Now, MaxBytes: 3 * kilo})
	if r := mustGC(t, st); r != (store.GCResult{}) {
		t.Errorf("of an empty store: %+v", r)
	}
	fill(t, st, clock, "a/1", "b/2", "c/3")
	clock.Add(10_000 * time.Hour)
	if r, want := mustGC(t, st), (store.GCResult{KeptBytes: 3 * kilo, KeptFiles: 3}); r != want {
		t.Errorf("at the limit: %+v, want %+v", r, want)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	_, err := st.GC(ctx)
	wantIs(t, "GC", err, gone)
	wantNames(t, st, "", "a/1", "b/2", "c/3")
}

func (s suite) testGCLeastRecentlyUsed(t *testing.T) {
	clock := NewClock()
	st := s.open(t, store.Options{Now: clock.Now, MaxBytes: 10 * kilo})
	var names []string
	for i := range 12 {
		names = append(names, fmt.Sprintf("m%d/@v/v1.0.0.zip", i))
	}
	fill(t, st, clock, names...)
	wantBlob(t, st, names[0], strings.Repeat("x", kilo)) // the oldest is used again
	clock.Add(24 * time.Hour)
	r := mustGC(t, st)
	want := store.GCResult{FreedBytes: 3 * kilo, FreedFiles: 3, KeptBytes: 9 * kilo, KeptFiles: 9}
	if r != want {
		t.Errorf("GC = %+v, want %+v", r, want)
	}
	wantNames(t, st, "", append(names[4:], names[0])...)
	if u := st.Usage(); u.Bytes != 9*kilo || u.Files != 9 {
		t.Errorf("Usage = %+v", u)
	}
	mustPut(t, st, "m1", "a file where an empty folder was") // so GC removed it
}

func rankByPrefix(name string) int {
	switch name[0] {
	case 'k':
		return -1 // keep
	case 'd':
		return 5 // dear
	}
	return 0
}

func (s suite) testGCRanks(t *testing.T) {
	clock := NewClock()
	st := s.open(t, store.Options{Now: clock.Now, MaxBytes: 4 * kilo, Rank: rankByPrefix, Idle: 1000 * time.Hour})
	fill(t, st, clock, "keep/1", "dear/1", "dear/2", "cheap/1", "cheap/2")
	clock.Add(24 * time.Hour)
	r := mustGC(t, st) // 5000 bytes; 3600 is the aim, so two go, younger but cheaper
	if r.FreedFiles != 2 {
		t.Errorf("GC = %+v", r)
	}
	wantNames(t, st, "", "keep/1", "dear/1", "dear/2")

	for _, name := range []string{"cheap/3", "cheap/4"} { // in use: dearer ones go before them
		mustPut(t, st, name, strings.Repeat("x", kilo))
	}
	mustGC(t, st)
	wantNames(t, st, "", "keep/1", "cheap/3", "cheap/4")

	clock.Add(2000 * time.Hour)
	mustGC(t, st)
	wantNames(t, st, "", "keep/1")
}

func (s suite) testGCIdle(t *testing.T) {
	clock := NewClock()
	st := s.open(t, store.Options{Now: clock.Now, Idle: 100 * time.Hour})
	fill(t, st, clock, "a", "b", "c")
	unpin := st.Pin("a")
	clock.Add(99 * time.Hour) // a is 102 hours old, b 101, c 100; an hour is allowed for
	if r := mustGC(t, st); r.FreedFiles != 0 {
		t.Errorf("GC = %+v; a is pinned, b may have been used 100 hours ago", r)
	}
	unpin()
	unpin() // twice is once
	if r := mustGC(t, st); r.FreedFiles != 1 || r.KeptBytes != 2*kilo {
		t.Errorf("GC = %+v, want a gone", r)
	}
	wantNames(t, st, "", "b", "c")
	clock.Add(1000 * time.Hour)
	if r := mustGC(t, st); r.FreedFiles != 2 || r.KeptBytes != 0 {
		t.Errorf("GC = %+v, want all gone", r)
	}
	wantNames(t, st, "")
}

func (s suite) testGCInUse(t *testing.T) {
	clock := NewClock()
	st := s.open(t, store.Options{Now: clock.Now, MaxBytes: 1, Idle: time.Hour})
	fill(t, st, clock, "a", "b", "c")
	f1, err := st.Open("a")
	if err != nil {
		t.Fatal(err)
	}
	f2, err := st.Open("a")
	if err != nil {
		t.Fatal(err)
	}
	unpin := st.Pin("b")
	if _, err := st.Open("none"); err == nil {
		t.Fatal("what is not there can be opened")
	}
	clock.Add(1000 * time.Hour)
	if r := mustGC(t, st); r.FreedFiles != 1 || r.KeptFiles != 2 {
		t.Errorf("GC = %+v, want c gone", r)
	}
	wantNames(t, st, "", "a", "b")
	if err := f1.Close(); err != nil {
		t.Error(err)
	}
	f1.Close() // a second Close must not count
	mustGC(t, st)
	wantNames(t, st, "", "a", "b")
	got, err := io.ReadAll(f2)
	if err != nil || len(got) != kilo {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	if err := f2.Close(); err != nil {
		t.Error(err)
	}
	mustGC(t, st)
	wantNames(t, st, "", "b")
	unpin()
	mustGC(t, st)
	wantNames(t, st, "")
}

// testGCRecent: what was just used goes only if the rest is not enough, cheap or
// not; and then the least recently used of it.
func (s suite) testGCRecent(t *testing.T) {
	clock := NewClock()
	st := s.open(t, store.Options{Now: clock.Now, MaxBytes: 3 * kilo, Rank: rankByPrefix})
	fill(t, st, clock, "dear/old")
	clock.Add(2 * time.Hour)
	for _, name := range []string{"cheap/1", "cheap/2", "cheap/3"} {
		mustPut(t, st, name, strings.Repeat("x", kilo))
		clock.Add(3 * time.Minute)
	}
	mustGC(t, st) // 4000 bytes, 2700 is the aim
	wantNames(t, st, "", "cheap/2", "cheap/3")
}

func (s suite) testLock(t *testing.T) {
	st := s.open(t, store.Options{})
	var inside, rounds int
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				unlock, err := st.Lock(t.Context(), "sumdb/x/latest")
				if err != nil {
					t.Error(err)
					return
				}
				inside++ // the race detector watches, too
				if inside != 1 {
					t.Errorf("%d inside", inside)
				}
				rounds++
				inside--
				unlock()
				unlock() // twice is once
			}
		})
	}
	wg.Wait()
	if rounds != 160 {
		t.Errorf("%d rounds", rounds)
	}
	a, err := st.Lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	defer a()
	b, err := st.Lock(t.Context(), "a/b") // another lock
	if err != nil {
		t.Fatal(err)
	}
	b()
	wantNames(t, st, "") // locks are no blobs
}

func (s suite) testLockCancel(t *testing.T) {
	st := s.open(t, store.Options{})
	unlock, err := st.Lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	failed := make(chan error)
	go func() {
		_, err := st.Lock(ctx, "a")
		failed <- err
	}()
	cancel(gone)
	wantIs(t, "Lock", <-failed, gone)
	unlock()
	again, err := st.Lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	again()
}

// testConcurrent lets everything happen at once to few names. Whatever can be
// opened is whole.
func (s suite) testConcurrent(t *testing.T) {
	clock := NewClock()
	st := s.open(t, store.Options{Now: clock.Now, MaxBytes: 100 * kilo})
	name := func(i int) string { return fmt.Sprintf("d%d/e%d/f%d", i%3, i%5, i%7) }
	body := func(i int) string { return strings.Repeat(name(i), 1+i%7*500) }
	var work, gc sync.WaitGroup
	for g := range 6 {
		work.Go(func() {
			for j := range 60 {
				i := g*31 + j
				switch err := st.Put(t.Context(), name(i), strings.NewReader(body(i)), time.Time{}); {
				case err != nil:
					t.Errorf("put: %v", err)
				case j%3 == 0:
					if err := st.Remove(name(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
						t.Errorf("remove: %v", err)
					}
				}
				f, err := st.Open(name(j))
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					t.Errorf("open: %v", err)
					continue
				}
				got, err := io.ReadAll(f)
				if err != nil || string(got) != body(j) {
					t.Errorf("%s holds %d bytes, want %d: %v", name(j), len(got), len(body(j)), err)
				}
				f.Close()
				clock.Add(time.Minute)
			}
		})
	}
	stop := make(chan struct{})
	gc.Go(func() {
		for {
			if _, err := st.GC(t.Context()); err != nil {
				t.Errorf("gc: %v", err)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	work.Wait()
	close(stop)
	gc.Wait()
	r := mustGC(t, st)
	if u := st.Usage(); u.Bytes != r.KeptBytes || u.Files != r.KeptFiles || u.Bytes > 100*kilo {
		t.Errorf("Usage = %+v after %+v", u, r)
	}
}
