package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/store"
)

const name1 = "example.com/!azure/m/@v/v1.0.0.zip"

func (s suite) testAbsent(t *testing.T) {
	st := s.open(t, store.Options{})
	mustPut(t, st, "a.example/m/@v/v1.0.0.mod", "module a.example/m\n")
	for _, name := range []string{
		name1,
		"a.example/m/@v/v1.0.1.mod",
		"a.example/m/@v",                // a folder
		"a.example",                     // a folder
		"a.example/m/@v/v1.0.0.mod/x",   // below a file
		"a.example/m/@v/v1.0.0.mod/x/y", // below a file
	} {
		_, err := st.Open(name)
		wantIs(t, "Open "+name, err, fs.ErrNotExist)
		_, err = st.Stat(name)
		wantIs(t, "Stat "+name, err, fs.ErrNotExist)
		wantIs(t, "Touch "+name, st.Touch(name, time.Time{}), fs.ErrNotExist)
		wantIs(t, "Remove "+name, st.Remove(name), fs.ErrNotExist)
	}
	wantBlob(t, st, "a.example/m/@v/v1.0.0.mod", "module a.example/m\n")
	if err := st.Check(); err != nil {
		t.Errorf("Check: %v", err)
	}
}

func (s suite) testRoundTrip(t *testing.T) {
	clock := NewClock()
	st := s.open(t, store.Options{Now: clock.Now})
	when := time.Date(2020, 5, 6, 7, 8, 9, 0, time.UTC)
	for _, body := range []string{"", "x", strings.Repeat("0123456789abcdef", 20_000)} {
		if err := st.Put(t.Context(), name1, strings.NewReader(body), when); err != nil {
			t.Fatal(err)
		}
		wantBlob(t, st, name1, body)
		got, err := st.Stat(name1)
		if err != nil {
			t.Fatal(err)
		}
		if got.Name != name1 || got.Size != int64(len(body)) || !got.ModTime.Equal(when) || !got.Used.Equal(clock.Now()) {
			t.Errorf("Stat = %+v, want size %d, modified %v, used %v", got, len(body), when, clock.Now())
		}
	}
	f, err := st.Open(name1)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() != 320_000 || !info.ModTime().Equal(when) {
		t.Errorf("File.Stat = %v, %v", info, err)
	}
	if _, err := f.Seek(-3, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	tail, err := io.ReadAll(f)
	if err != nil || string(tail) != "def" {
		t.Errorf("after Seek: %q, %v", tail, err)
	}

	if err := st.Put(t.Context(), "now", strings.NewReader(""), time.Time{}); err != nil {
		t.Fatal(err)
	}
	if got, err := st.Stat("now"); err != nil || !got.ModTime.Equal(clock.Now()) {
		t.Errorf("zero time: %+v, %v; want modified now", got, err)
	}
}

func (s suite) testInvalidNames(t *testing.T) {
	st := s.open(t, store.Options{})
	for _, name := range []string{
		"", ".", "..", "/", "/a", "a/", "a//b", "./a", "../a", "a/..", "a/../b", "a/./b",
		".goferry", ".goferry/usage.json", ".a", ".a/b", "a\x00b", `a\b`, "a:b", "c:/x", "\xff",
		"a/b.", "a /b", "a\nb", "a?b", "a*b", strings.Repeat("a", 256), strings.Repeat("abc/", 600) + "d",
	} {
		check := func(op string, err error) {
			t.Helper()
			wantIs(t, op+" "+name, err, fs.ErrInvalid)
			if ne := (*store.NameError)(nil); !errors.As(err, &ne) {
				t.Errorf("%s %q: %T is no *NameError", op, name, err)
			}
		}
		_, err := st.Open(name)
		check("Open", err)
		_, err = st.Stat(name)
		check("Stat", err)
		check("Put", st.Put(t.Context(), name, strings.NewReader("x"), time.Time{}))
		check("Touch", st.Touch(name, time.Time{}))
		check("Remove", st.Remove(name))
		_, err = st.Lock(t.Context(), name)
		check("Lock", err)
		sp := mustCreate(t, st, "x")
		check("Commit", sp.Commit(name, time.Time{}))
		if err := sp.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	wantNames(t, st, "")
	for _, name := range []string{"a/.b", "a..b", "a/..b", "~", "a b", "ü", "x/!m@v", strings.Repeat("a", 255)} {
		mustPut(t, st, name, "of "+name)
		wantBlob(t, st, name, "of "+name)
	}
}

func (s suite) testReplace(t *testing.T) {
	st := s.open(t, store.Options{})
	mustPut(t, st, "m/@v/list", "v1.0.0\n")
	old, err := st.Open("m/@v/list")
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	mustPut(t, st, "m/@v/list", "v1.0.0\nv1.1.0\n")
	wantBlob(t, st, "m/@v/list", "v1.0.0\nv1.1.0\n")
	if got, err := io.ReadAll(old); err != nil || string(got) != "v1.0.0\n" {
		t.Errorf("who had it open reads %q, %v", got, err)
	}
}

// A failing reads n bytes and then fails.
type failing struct {
	n   int
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	if f.n <= 0 {
		return 0, f.err
	}
	n := min(f.n, len(p))
	f.n -= n
	return n, nil
}

func (s suite) testPutAllOrNothing(t *testing.T) {
	st := s.open(t, store.Options{})
	cause := errors.New("cable cut")
	wantIs(t, "Put", st.Put(t.Context(), "a", &failing{300_000, cause}, time.Time{}), cause)
	_, err := st.Stat("a")
	wantIs(t, "Stat", err, fs.ErrNotExist)

	mustPut(t, st, "a", "first")
	wantIs(t, "Put", st.Put(t.Context(), "a", &failing{10, cause}, time.Time{}), cause)
	wantBlob(t, st, "a", "first")

	ctx, cancel := context.WithCancelCause(t.Context())
	r, w := io.Pipe()
	go func() {
		w.Write([]byte("second"))
		cancel(cause)
		w.Write([]byte("second"))
		w.Close()
	}()
	wantIs(t, "Put", st.Put(ctx, "a", r, time.Time{}), cause)
	r.Close()
	wantIs(t, "Put after the end", st.Put(ctx, "a", strings.NewReader(""), time.Time{}), cause)
	wantBlob(t, st, "a", "first")
}

// testSpoolFollow has readers follow a writer by Size and ReadAt.
func (s suite) testSpoolFollow(t *testing.T) {
	st := s.open(t, store.Options{})
	sp := mustCreate(t, st, "")
	want := bytes.Repeat([]byte("abcdefgh"), 50_000)
	var readers sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			var got []byte
			buf := make([]byte, 10_007)
			for len(got) < len(want) {
				select {
				case <-done:
					if sp.Size() != int64(len(want)) {
						t.Errorf("Size = %d after all was written", sp.Size())
						return
					}
				default:
				}
				size := sp.Size()
				n, err := sp.ReadAt(buf, int64(len(got)))
				if err != nil && err != io.EOF || n == 0 && size > int64(len(got)) {
					t.Errorf("ReadAt = %d, %v with %d bytes there", n, err, size)
					return
				}
				got = append(got, buf[:n]...)
			}
			if !bytes.Equal(got, want) {
				t.Error("a reader got other bytes than were written")
			}
		})
	}
	for rest := want; len(rest) > 0; {
		n, err := sp.Write(rest[:min(len(rest), 4099)])
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := sp.Commit(name1, time.Time{}); err != nil {
		t.Fatal(err)
	}
	close(done)
	readers.Wait()

	wantBlob(t, st, name1, string(want))
	buf := make([]byte, 8)
	if n, err := sp.ReadAt(buf, 8); n != 8 || err != nil {
		t.Errorf("ReadAt after Commit = %d, %v", n, err)
	}
	if n, err := sp.ReadAt(buf, int64(len(want))-3); n != 3 || err != io.EOF || string(buf[:n]) != "fgh" {
		t.Errorf("ReadAt over the end = %q, %v", buf[:n], err)
	}
	if n, err := sp.ReadAt(buf, int64(len(want))); n != 0 || err != io.EOF {
		t.Errorf("ReadAt behind the end = %d, %v", n, err)
	}
	if err := sp.Close(); err != nil {
		t.Error(err)
	}
	wantBlob(t, st, name1, string(want))
}

func (s suite) testSpoolEnds(t *testing.T) {
	st := s.open(t, store.Options{})
	sp := mustCreate(t, st, "thrown away")
	if err := sp.Close(); err != nil {
		t.Fatal(err)
	}
	if err := sp.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	wantIs(t, "Commit after Close", sp.Commit("a", time.Time{}), fs.ErrClosed)
	_, err := sp.Write([]byte("x"))
	wantIs(t, "Write after Close", err, fs.ErrClosed)
	wantNames(t, st, "")

	sp = mustCreate(t, st, "kept")
	defer sp.Close()
	wantIs(t, "Commit", sp.Commit("../a", time.Time{}), fs.ErrInvalid)
	if err := sp.Commit("a", time.Time{}); err != nil {
		t.Fatalf("Commit after one with a bad name: %v", err)
	}
	wantIs(t, "second Commit", sp.Commit("b", time.Time{}), fs.ErrClosed)
	_, err = sp.Write([]byte("x"))
	wantIs(t, "Write after Commit", err, fs.ErrClosed)
	wantNames(t, st, "", "a")
	wantBlob(t, st, "a", "kept")
}

func (s suite) testRemove(t *testing.T) {
	st := s.open(t, store.Options{})
	mustPut(t, st, "a/b/c/d", "1")
	mustPut(t, st, "a/b/e", "2")
	f, err := st.Open("a/b/c/d")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := st.Remove("a/b/c/d"); err != nil {
		t.Fatal(err)
	}
	wantIs(t, "second Remove", st.Remove("a/b/c/d"), fs.ErrNotExist)
	wantNames(t, st, "", "a/b/e")
	if got, err := io.ReadAll(f); err != nil || string(got) != "1" {
		t.Errorf("who had it open reads %q, %v", got, err)
	}
	mustPut(t, st, "a/b/c", "a file where a folder was") // so the folder is gone
	wantBlob(t, st, "a/b/c", "a file where a folder was")
}

func (s suite) testWalk(t *testing.T) {
	clock := NewClock()
	st := s.open(t, store.Options{Now: clock.Now})
	all := []string{
		"a.example/m/@v/list", "a.example/m/@v/v1.0.0.mod", "a.example/m2/@v/list",
		"b.example/m/@v/list", "sumdb/x/latest", "top",
	}
	for _, name := range all {
		mustPut(t, st, name, "of "+name)
	}
	wantNames(t, st, "", all...)
	wantNames(t, st, "a.example/", all[:3]...)
	wantNames(t, st, "a.example/m", all[:3]...)
	wantNames(t, st, "a.example/m/", all[:2]...)
	wantNames(t, st, "a.example/m/@v/v", all[1])
	wantNames(t, st, "t", "top")
	wantNames(t, st, "c.example/")
	wantNames(t, st, "top/")
	wantIs(t, "Walk of an impossible prefix", st.Walk(t.Context(), "../", nil), fs.ErrInvalid)
	err := st.Walk(t.Context(), "sumdb", func(b store.Blob) error {
		want, err := st.Stat(b.Name)
		if err != nil || b != want {
			t.Errorf("Walk says %+v, Stat %+v, %v", b, want, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func (s suite) testWalkStops(t *testing.T) {
	st := s.open(t, store.Options{})
	for _, name := range []string{"a/1", "a/2", "b/3", "b/4"} {
		mustPut(t, st, name, "")
	}
	stop := errors.New("enough")
	seen := 0
	wantIs(t, "Walk", st.Walk(t.Context(), "", func(store.Blob) error {
		seen++
		return stop
	}), stop)
	if seen != 1 {
		t.Errorf("fn was called %d times", seen)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	wantIs(t, "Walk", st.Walk(ctx, "", func(store.Blob) error { return nil }), stop)
}
