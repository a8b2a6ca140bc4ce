package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/cache"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/store"
)

func mustParse(t testing.TB, name string) goproxy.Request {
	t.Helper()
	req, err := goproxy.ParseRequest(name)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func openStore(t testing.TB, dir string) *store.Store {
	t.Helper()
	st, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

// newCache returns a Cache that is closed before the test ends; a nil Store is one of its own.
func newCache(t testing.TB, cfg cache.Config) *cache.Cache {
	t.Helper()
	if cfg.Store == nil {
		cfg.Store = openStore(t, t.TempDir())
	}
	c := cache.New(cfg)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if n := c.InFlight(); n != 0 {
			t.Errorf("%d fills in flight after Close", n)
		}
	})
	return c
}

// upstream is a Source in memory. Errors go before files; what stands nowhere is ErrNotExist.
type upstream struct {
	mu    sync.Mutex
	files map[string][]byte
	errs  map[string]error
	down  error // the answer to everything
	opens map[string]int
	hook  func(ctx context.Context, name string) (goproxy.File, error) // goes before all; nil, nil passes
}

func newUpstream() *upstream {
	return &upstream{files: map[string][]byte{}, errs: map[string]error{}, opens: map[string]int{}}
}

// set changes the upstream while it is in use.
func (u *upstream) set(fn func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	fn()
}

// asked returns how often each file was asked for since the last call.
func (u *upstream) asked() map[string]int {
	u.mu.Lock()
	defer u.mu.Unlock()
	opens := u.opens
	u.opens = map[string]int{}
	return opens
}

func (u *upstream) Open(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
	name, err := req.Name()
	if err != nil {
		return nil, err
	}
	u.mu.Lock()
	u.opens[name]++
	hook := u.hook
	u.mu.Unlock()
	if hook != nil {
		if f, err := hook(ctx, name); f != nil || err != nil {
			return f, err
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	content, ok := u.files[name]
	switch {
	case u.down != nil:
		err = u.down
	case u.errs[name] != nil:
		err = u.errs[name]
	case !ok:
		err = goproxy.ErrNotExist
	default:
		return goproxy.NewFile(req, content, time.Time{}, nil), nil
	}
	return nil, &goproxy.Error{Source: "upstream", Request: req, Err: err, Hint: "a way out", HintCode: "code"}
}

// zipBytes is content that depends on what it is called.
func zipBytes(name string, size int) []byte {
	return bytes.Repeat([]byte(name+"|"), size/(len(name)+1)+1)[:size]
}

// stream is a file of total bytes, or of an unknown number if negative, whose bytes come from a pipe.
func stream(total int) (goproxy.File, *io.PipeWriter) {
	r, w := io.Pipe()
	return goproxy.NewStreamFile(goproxy.FileInfo{Bytes: int64(total)}, r, func(int64) (io.ReadCloser, error) {
		return nil, &goproxy.Error{Err: fmt.Errorf("%w: there is no other stream", goproxy.ErrUnavailable)}
	}), w
}

// read opens and reads a file, and says how it was come by.
func read(t testing.TB, src goproxy.Source, name string) (content string, meta goproxy.Meta, err error) {
	t.Helper()
	return readCtx(t.Context(), src, mustParse(t, name))
}

func readCtx(ctx context.Context, src goproxy.Source, req goproxy.Request) (string, goproxy.Meta, error) {
	f, err := src.Open(ctx, req)
	if err != nil {
		return "", goproxy.Meta{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return string(data), goproxy.Meta{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return "", goproxy.Meta{}, err
	}
	if info.Size() != int64(len(data)) {
		return "", goproxy.Meta{}, fmt.Errorf("%d bytes, and Stat says %d", len(data), info.Size())
	}
	return string(data), goproxy.MetaOf(info), nil
}

// want reads a file and compares content and Result.
func want(t testing.TB, src goproxy.Source, name, content, result string) {
	t.Helper()
	got, meta, err := read(t, src, name)
	if err != nil || got != content || meta.Result != result {
		t.Errorf("%s: %.60q, %s, %v; want %.60q, %s", name, got, meta.Result, err, content, result)
	}
}

func wantErr(t testing.TB, src goproxy.Source, name string, want error) *goproxy.Error {
	t.Helper()
	got, _, err := read(t, src, name)
	var e *goproxy.Error
	if !errors.Is(err, want) || !errors.As(err, &e) || e.Request != mustParse(t, name) {
		t.Errorf("%s: %.60q, %v; want an *Error that is %q", name, got, err, want)
	}
	return e
}

// stored is what the store holds under name; "" if nothing.
func stored(t testing.TB, st *store.Store, name string) string {
	t.Helper()
	f, err := st.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// blobs are the names in the store.
func blobs(t testing.TB, st *store.Store) []string {
	t.Helper()
	var names []string
	if err := st.Walk(context.Background(), "", func(b store.Blob) error { names = append(names, b.Name); return nil }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// clock is a clock that stands still until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// logs gathers messages and their level.
type logs struct {
	mu   sync.Mutex
	list []string
}

func (l *logs) logger() *slog.Logger { return slog.New(l) }

// has reports whether there is a line that begins so, and forgets all.
func (l *logs) has(prefix string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.list
	l.list = nil
	return slices.ContainsFunc(list, func(s string) bool { return strings.HasPrefix(s, prefix) })
}

func (l *logs) Enabled(context.Context, slog.Level) bool { return true }
func (l *logs) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logs) WithGroup(string) slog.Handler            { return l }
func (l *logs) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, r.Level.String()+" "+r.Message)
	return nil
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
