package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/cache"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/goproxy/sourcetest"
)

const (
	zipName  = "example.com/m/@v/v1.0.0.zip"
	modName  = "example.com/m/@v/v1.0.0.mod"
	infoName = "example.com/m/@v/v1.0.0.info"
	held     = 64 << 10 // what is held back at the end of a zip
)

// TestConformance: a cache is a Source when it is cold, when it is warm, and offline.
func TestConformance(t *testing.T) {
	want := sourcetest.Sample()
	up := newUpstream()
	up.files = want.Files
	st := openStore(t, t.TempDir())
	online := newCache(t, cache.Config{Store: st, Source: up})
	t.Run("cold", func(t *testing.T) { sourcetest.Run(t, online, want) })
	for name, n := range up.asked() {
		if n != 1 {
			t.Errorf("%s was asked for %d times", name, n)
		}
	}
	t.Run("warm", func(t *testing.T) { sourcetest.Run(t, online, want) })
	t.Run("another process", func(t *testing.T) { sourcetest.Run(t, newCache(t, cache.Config{Store: st, Source: up}), want) })
	t.Run("offline", func(t *testing.T) { sourcetest.Run(t, newCache(t, cache.Config{Store: st}), want) })
	if asked := up.asked(); len(asked) != 0 {
		t.Errorf("a warm cache asked for %v", asked)
	}
}

func TestMissAndHit(t *testing.T) {
	up := newUpstream()
	up.files[zipName] = zipBytes(zipName, 300_000)
	up.files[modName] = []byte("module example.com/m\n")
	c := newCache(t, cache.Config{Source: up})
	for _, name := range keys(up.files) {
		want(t, c, name, string(up.files[name]), "miss")
		for range 3 {
			want(t, c, name, string(up.files[name]), "hit")
		}
	}
	if d := cmp.Diff(map[string]int{zipName: 1, modName: 1}, up.asked()); d != "" {
		t.Errorf("asked (-want +got):\n%s", d)
	}
}

// TestParallelMisses: fifty at once, one upstream request.
func TestParallelMisses(t *testing.T) {
	for _, name := range []string{zipName, modName} {
		synctest.Test(t, func(t *testing.T) {
			content := zipBytes(name, 500_000)
			up := newUpstream()
			up.files[name] = content
			answer := make(chan bool)
			up.hook = func(context.Context, string) (goproxy.File, error) { <-answer; return nil, nil }
			c := newCache(t, cache.Config{Source: up})
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() { want(t, c, name, string(content), "miss") })
			}
			synctest.Wait()
			if n := c.InFlight(); n != 1 {
				t.Errorf("%d fills in flight", n)
			}
			close(answer)
			wg.Wait()
			if d := cmp.Diff(map[string]int{name: 1}, up.asked()); d != "" {
				t.Errorf("asked (-want +got):\n%s", d)
			}
		})
	}
}

// TestLateMisses: who looked into the store just before a fill ended does not start another.
func TestLateMisses(t *testing.T) {
	up := newUpstream()
	c := newCache(t, cache.Config{Source: up})
	for i := range 150 {
		name := fmt.Sprintf("example.com/m/@v/v1.0.%d.mod", i)
		if i%2 == 0 { // the others are absent
			up.set(func() { up.files[name] = []byte(name) })
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				got, _, err := read(t, c, name)
				if i%2 == 0 && got != name || i%2 == 1 && !errors.Is(err, goproxy.ErrNotExist) {
					t.Errorf("%s: %q, %v", name, got, err)
				}
			})
		}
		wg.Wait()
		if n := up.asked()[name]; n != 1 {
			t.Fatalf("%s was asked for %d times", name, n)
		}
	}
}

// TestAskersLeave: the fill goes on for the others, and for nobody.
func TestAskersLeave(t *testing.T) {
	for _, all := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			content := zipBytes(zipName, 300_000)
			f, w := stream(len(content))
			up := newUpstream()
			up.hook = func(context.Context, string) (goproxy.File, error) { return f, nil }
			st := openStore(t, t.TempDir())
			c := newCache(t, cache.Config{Store: st, Source: up})
			req := mustParse(t, zipName)
			cause := fmt.Errorf("%w: closed the window", context.Canceled)
			first, leave := context.WithCancelCause(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() {
				got, _, err := readCtx(first, c, req)
				if !errors.Is(err, cause) || !errors.Is(err, context.Canceled) || len(got) >= len(content) {
					t.Errorf("the first asker got %d bytes, %v", len(got), err)
				}
			})
			synctest.Wait()
			if !all {
				wg.Go(func() { want(t, c, zipName, string(content), "miss") })
			}
			w.Write(content[:150_000])
			synctest.Wait()
			leave(cause)
			synctest.Wait()
			w.Write(content[150_000:])
			w.Close()
			wg.Wait()
			synctest.Wait()
			if got := stored(t, st, zipName); got != string(content) {
				t.Errorf("kept %d bytes", len(got))
			}
			want(t, c, zipName, string(content), "hit")
		})
	}
}

// TestReadersFollow: the first byte leaves at once, the last ones when all is verified.
func TestReadersFollow(t *testing.T) {
	for _, known := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			content := zipBytes(zipName, 400_000)
			total := len(content)
			if !known {
				total = -1
			}
			body, w := stream(total)
			up := newUpstream()
			up.hook = func(context.Context, string) (goproxy.File, error) { return body, nil }
			pass := make(chan bool)
			check := func(_ context.Context, req goproxy.Request, r io.ReaderAt, size int64) error {
				<-pass
				got, err := io.ReadAll(io.NewSectionReader(r, 0, size+1))
				if err != nil || !bytes.Equal(got, content) || size != int64(len(content)) || req != mustParse(t, zipName) {
					t.Errorf("the check sees %d of %d bytes of %s, %v", len(got), size, req, err)
				}
				return nil
			}
			st := openStore(t, t.TempDir())
			c := newCache(t, cache.Config{Store: st, Source: up, Check: check})
			f, err := c.Open(t.Context(), mustParse(t, zipName))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			var got bytes.Buffer
			var wg sync.WaitGroup
			var mu sync.Mutex
			arrived := func() int { mu.Lock(); defer mu.Unlock(); return got.Len() }
			wg.Go(func() {
				buf := make([]byte, 10_000)
				for {
					n, err := f.Read(buf)
					mu.Lock()
					got.Write(buf[:n])
					mu.Unlock()
					if err == io.EOF {
						return
					} else if err != nil {
						t.Error(err)
						return
					}
				}
			})
			// What came, but for what may be the end.
			sent := 0
			step := func(to, arrive int) {
				t.Helper()
				w.Write(content[sent:to])
				sent = to
				synctest.Wait()
				if n := arrived(); n != arrive {
					t.Errorf("with %d bytes here, %d were handed out; want %d", to, n, arrive)
				}
			}
			if known {
				step(100, 100)
				step(200_000, 200_000)
			} else {
				step(100, 0)
				step(200_000, 200_000-held)
			}
			step(400_000, 400_000-held)
			w.Close()
			synctest.Wait()
			if n := arrived(); n != len(content)-held {
				t.Errorf("before it is verified, %d bytes were handed out", n)
			}
			if info, err := f.Stat(); err != nil || info.Size() != int64(total) {
				t.Errorf("Stat before the end: %d, %v", info.Size(), err)
			}
			if stored(t, st, zipName) != "" {
				t.Error("it was kept before it was verified")
			}
			close(pass)
			wg.Wait()
			if !bytes.Equal(got.Bytes(), content) || stored(t, st, zipName) != string(content) {
				t.Errorf("%d bytes came, %d were kept", got.Len(), len(stored(t, st, zipName)))
			}
			if info, err := f.Stat(); err != nil || info.Size() != int64(len(content)) {
				t.Errorf("Stat at the end: %d, %v", info.Size(), err)
			}
		})
	}
}

// TestSmallZipWaits: a zip that is not longer than what is held back is handed out when it is verified,
// so that an error comes before the first byte.
func TestSmallZipWaits(t *testing.T) {
	up := newUpstream()
	up.files[zipName] = zipBytes(zipName, held)
	c := newCache(t, cache.Config{Source: up, Check: refuse(nil)})
	f, err := c.Open(t.Context(), mustParse(t, zipName))
	if err == nil {
		defer f.Close()
		var n int
		n, err = f.Read(make([]byte, 10))
		if n != 0 {
			t.Errorf("%d bytes came", n)
		}
	}
	if !errors.Is(err, goproxy.ErrMismatch) {
		t.Errorf("got %v", err)
	}
}

// refuse is a Check that lets pass only what is good; nil refuses everything.
func refuse(good []byte) cache.Check {
	return func(_ context.Context, req goproxy.Request, r io.ReaderAt, size int64) error {
		got, err := io.ReadAll(io.NewSectionReader(r, 0, size))
		if err != nil {
			return err
		}
		if good == nil || !bytes.Equal(got, good) {
			return &goproxy.Error{Request: req, Err: fmt.Errorf("%w: for the test", goproxy.ErrMismatch)}
		}
		return nil
	}
}

// TestRefused: bytes that do not pass are loud, and neither kept nor handed out in full.
func TestRefused(t *testing.T) {
	for _, name := range []string{modName, zipName} {
		content := zipBytes(name, 300_000)
		up := newUpstream()
		up.files[name] = content
		st := openStore(t, t.TempDir())
		var l logs
		told := 0
		c := newCache(t, cache.Config{Store: st, Source: up, Check: refuse(nil), Refused: func() { told++ }, Logger: l.logger()})
		for i := range 2 {
			got, _, err := read(t, c, name)
			if !errors.Is(err, goproxy.ErrMismatch) || len(got) > len(content)-held {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
			if n := c.Mismatches(); n != int64(i+1) || told != i+1 || !l.has("ERROR refused") {
				t.Errorf("%s: Mismatches is %d, want %d and a line in the log", name, n, i+1)
			}
		}
		if got := blobs(t, st); len(got) != 0 {
			t.Errorf("kept %v", got)
		}
		if n := up.asked()[name]; n != 2 {
			t.Errorf("%s was asked for %d times: a refusal is nothing to remember", name, n)
		}
	}
}

// TestUnverifiable: what cannot be checked is unavailable, not unverified.
func TestUnverifiable(t *testing.T) {
	up := newUpstream()
	up.files[modName] = []byte("module example.com/m\n")
	st := openStore(t, t.TempDir())
	check := func(_ context.Context, req goproxy.Request, _ io.ReaderAt, _ int64) error {
		return &goproxy.Error{Source: "sumdb", Request: req, Err: goproxy.ErrUnavailable}
	}
	c := newCache(t, cache.Config{Store: st, Check: check, Source: goproxy.Chain(
		goproxy.Link{Name: "one", Source: up, Sep: goproxy.OnMirror}, goproxy.Link{Name: "other", Source: up})})
	wantErr(t, c, modName, goproxy.ErrUnavailable)
	if n := up.asked()[modName]; n != 1 || len(blobs(t, st)) != 0 || c.Mismatches() != 0 {
		t.Errorf("asked %d mirrors, kept %v", n, blobs(t, st))
	}
}

// TestShortFile: a source that lies about its length does no harm.
func TestShortFile(t *testing.T) {
	for _, size := range []int64{99_999, 100_001} {
		for _, name := range []string{modName, zipName} {
			up := newUpstream()
			up.hook = func(context.Context, string) (goproxy.File, error) {
				return lying{goproxy.NewFile(goproxy.Request{}, zipBytes(name, 100_000), time.Time{}, nil), size}, nil
			}
			st := openStore(t, t.TempDir())
			c := newCache(t, cache.Config{Store: st, Source: up})
			wantErr(t, c, name, goproxy.ErrUnavailable)
			if got := blobs(t, st); len(got) != 0 {
				t.Errorf("kept %v", got)
			}
		}
	}
}

type lying struct {
	*goproxy.MemFile
	size int64
}

func (l lying) Stat() (fs.FileInfo, error) { return goproxy.FileInfo{Bytes: l.size}, nil }

// TestTooLarge: no file that is longer than is legal is kept, wherever it comes from.
func TestTooLarge(t *testing.T) {
	up := newUpstream()
	up.files[infoName] = bytes.Repeat([]byte("x"), goproxy.MaxInfo+1)
	st := openStore(t, t.TempDir())
	c := newCache(t, cache.Config{Store: st, Source: up})
	if e := wantErr(t, c, infoName, goproxy.ErrUnavailable); e == nil || !strings.Contains(e.Error(), "larger than") {
		t.Errorf("got %v", e)
	}
	if got := blobs(t, st); len(got) != 0 {
		t.Errorf("kept %v", got)
	}
}

// TestHitsDoNotWait: thirty fills hang, and a hit answers.
func TestHitsDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		up.files[zipName], up.files[modName] = zipBytes(zipName, 200_000), []byte("module example.com/m\n")
		c := newCache(t, cache.Config{Source: up})
		for name, content := range up.files {
			want(t, c, name, string(content), "miss")
		}
		hung := make(chan bool)
		up.set(func() {
			up.hook = func(context.Context, string) (goproxy.File, error) { <-hung; return nil, goproxy.ErrUnavailable }
		})
		var wg sync.WaitGroup
		for i := range 30 {
			name := fmt.Sprintf("example.com/hang%d/@v/v1.0.0.zip", i)
			wg.Go(func() { wantErr(t, c, name, goproxy.ErrUnavailable) })
		}
		synctest.Wait()
		if n := c.InFlight(); n != 30 {
			t.Errorf("%d fills in flight", n)
		}
		start := time.Now()
		for name, content := range up.files {
			want(t, c, name, string(content), "hit")
		}
		if waited := time.Since(start); waited != 0 { // the clock of the bubble moves only when all wait
			t.Errorf("a hit waited for %v", waited)
		}
		close(hung)
		wg.Wait()
	})
}

// TestClose ends fills: askers are told, nothing is kept, and hits go on.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUpstream()
		up.files[modName] = []byte("module example.com/m\n")
		st := openStore(t, t.TempDir())
		c := cache.New(cache.Config{Store: st, Source: up})
		want(t, c, modName, "module example.com/m\n", "miss")
		up.set(func() {
			up.hook = func(ctx context.Context, name string) (goproxy.File, error) {
				if strings.HasSuffix(name, ".zip") { // some bytes have come already
					body, w := stream(1_000_000)
					context.AfterFunc(ctx, func() { w.CloseWithError(ctx.Err()) })
					go w.Write(make([]byte, 200_000))
					return body, nil
				}
				<-ctx.Done()
				return nil, ctx.Err() // not the cause: sources differ
			}
		})
		var wg sync.WaitGroup
		for _, name := range []string{zipName, infoName, "example.com/m/@v/list"} {
			wg.Go(func() {
				_, _, err := read(t, c, name)
				if !errors.Is(err, goproxy.ErrUnavailable) || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "shutting down") {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		synctest.Wait()
		if err := c.Close(); err != nil || c.InFlight() != 0 {
			t.Errorf("Close: %v, %d in flight", err, c.InFlight())
		}
		wg.Wait()
		wantErr(t, c, "example.com/m/@latest", goproxy.ErrUnavailable)
		want(t, c, modName, "module example.com/m\n", "hit")
		if d := cmp.Diff([]string{modName}, blobs(t, st)); d != "" {
			t.Errorf("kept (-want +got):\n%s", d)
		}
	})
}

// TestReaderClose: a reader that waits is woken by Close, and what is closed stays closed.
func TestReaderClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body, w := stream(-1)
		up := newUpstream()
		up.hook = func(context.Context, string) (goproxy.File, error) { return body, nil }
		c := newCache(t, cache.Config{Source: up})
		f, err := c.Open(t.Context(), mustParse(t, zipName))
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if n, err := f.Read(make([]byte, 10)); err == nil || n != 0 {
				t.Errorf("Read: %d, %v", n, err)
			}
		})
		synctest.Wait()
		f.Close()
		f.Close()
		wg.Wait()
		if n, err := f.Read(make([]byte, 10)); err == nil || n != 0 {
			t.Errorf("Read of a closed reader: %d, %v", n, err)
		}
		if _, err := f.Seek(0, io.SeekEnd); err == nil {
			t.Error("Seek to the end of a closed reader is no error")
		}
		if _, err := f.Seek(0, 42); err == nil {
			t.Error("Seek with whence 42 is no error")
		}
		// One that asks for the end waits until it is known.
		f, err = c.Open(t.Context(), mustParse(t, zipName))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		wg.Go(func() {
			at, err := f.Seek(-4, io.SeekEnd)
			tail, rerr := io.ReadAll(f)
			if at != 996 || err != nil || string(tail) != "last" || rerr != nil {
				t.Errorf("Seek to the end: %d, %v; %q, %v", at, err, tail, rerr)
			}
		})
		synctest.Wait()
		w.Write(append(make([]byte, 996), "last"...))
		w.Close()
		wg.Wait()
	})
}

// TestPrepare runs beside the source, once for a fill, and for no hit.
func TestPrepare(t *testing.T) {
	up := newUpstream()
	up.files[modName] = []byte("module example.com/m\n")
	prepared := make(chan goproxy.Request, 10)
	up.hook = func(context.Context, string) (goproxy.File, error) {
		if req := <-prepared; req != mustParse(t, modName) {
			t.Errorf("prepared %v", req)
		}
		return nil, nil
	}
	c := newCache(t, cache.Config{Source: up, Prepare: func(_ context.Context, req goproxy.Request) { prepared <- req }})
	want(t, c, modName, "module example.com/m\n", "miss")
	want(t, c, modName, "module example.com/m\n", "hit")
	if err := c.Close(); err != nil || len(prepared) != 0 {
		t.Errorf("prepared %d times more, %v", len(prepared), err)
	}
}
