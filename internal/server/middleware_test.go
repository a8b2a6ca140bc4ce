package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRequestID(t *testing.T) {
	h := RequestID()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, RequestIDFrom(r.Context()))
	}))
	for _, tt := range []struct {
		in   []string
		kept bool
	}{
		{nil, false},
		{[]string{""}, false},
		{[]string{"abc-DEF_1.9"}, true},
		{[]string{strings.Repeat("x", 64)}, true},
		{[]string{strings.Repeat("x", 65)}, false},
		{[]string{"a b"}, false},
		{[]string{"a\"b"}, false},
		{[]string{"ü"}, false},
		{[]string{"a", "b"}, false},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["X-Request-Id"] = tt.in
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		id := w.Header().Get("X-Request-Id")
		if id != w.Body.String() {
			t.Errorf("%q: header %q, context %q", tt.in, id, w.Body)
		}
		if tt.kept && id != tt.in[0] || !tt.kept && len(id) != 16 {
			t.Errorf("%q became %q", tt.in, id)
		}
	}
	if id := RequestIDFrom(t.Context()); id != "" {
		t.Errorf("id %q out of nowhere", id)
	}
}

func FuzzRequestID(f *testing.F) {
	for _, s := range []string{"", "a", "a\nb", "req=1", strings.Repeat("-", 65), "ä", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		sane := s != "" && len(s) <= 64 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == "" &&
			!strings.ContainsAny(s, " \n\t\"=") && strings.IndexFunc(s, func(r rune) bool { return r > 126 || r < 33 }) < 0
		if saneID(s) && !sane {
			t.Errorf("%q is taken", s)
		}
		if saneID(s) != plainID(s) {
			t.Errorf("%q: %v", s, saneID(s))
		}
	})
}

// plainID is saneID in another way.
func plainID(s string) bool {
	const ok = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	return s != "" && len(s) <= 64 && strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune(ok, r) }) < 0
}

// logged serves r by h behind the whole stack and returns the lines of the log.
func logged(t *testing.T, h http.HandlerFunc, r *http.Request) (*httptest.ResponseRecorder, []map[string]any) {
	t.Helper()
	var buf bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&buf, nil))
	w := httptest.NewRecorder()
	func() {
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				t.Errorf("panic %v came through", p)
			}
		}()
		Wrap(h, RequestID(), AccessLog(log), Recover(log)).ServeHTTP(w, r)
	}()
	var lines []map[string]any
	for line := range strings.Lines(buf.String()) {
		m := map[string]any{}
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		delete(m, "time")
		lines = append(lines, m)
	}
	return w, lines
}

func TestAccessLog(t *testing.T) {
	base := func(more map[string]any) map[string]any {
		m := map[string]any{
			"level": "INFO", "msg": "request", "method": "GET", "path": "/a/b", "status": 200.0, "bytes": 0.0,
			"req": "id1", "proto": "HTTP/1.1", "remote": "192.0.2.1", "agent": "test/1",
		}
		for k, v := range more {
			m[k] = v
		}
		return m
	}
	for _, tt := range []struct {
		name string
		h    http.HandlerFunc
		want map[string]any
	}{
		{"silent", func(http.ResponseWriter, *http.Request) {}, nil},
		{"write", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("12345")) }, map[string]any{"bytes": 5.0}},
		{"string", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "123") }, map[string]any{"bytes": 3.0}},
		{"copy", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, strings.NewReader("1234")) }, map[string]any{"bytes": 4.0}},
		{"status", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404); w.WriteHeader(500) }, map[string]any{"status": 404.0}},
		{"hint", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(103); w.WriteHeader(204) }, map[string]any{"status": 204.0}},
		{"5xx", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) }, map[string]any{"status": 503.0, "level": "WARN"}},
		{"annotated", func(w http.ResponseWriter, r *http.Request) {
			Annotate(r.Context(), "cache", "miss")
			Annotate(context.WithoutCancel(r.Context()), "n", 7)
			Annotate(r.Context(), "cache", "hit")
		}, map[string]any{"cache": "hit", "n": 7.0}},
		{"cut off", func(w http.ResponseWriter, r *http.Request) {
			w.Write([]byte("1"))
			panic(http.ErrAbortHandler)
		}, map[string]any{"bytes": 1.0, "aborted": true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/a/b?secret=1", nil)
			r.Header.Set("User-Agent", "test/1")
			r.Header.Set("X-Request-Id", "id1")
			_, lines := logged(t, tt.h, r)
			if len(lines) != 1 {
				t.Fatalf("%d lines", len(lines))
			}
			if _, ok := lines[0]["dur"].(float64); !ok {
				t.Error("no dur")
			}
			delete(lines[0], "dur")
			if diff := cmp.Diff(base(tt.want), lines[0]); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("client left", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		_, lines := logged(t, func(http.ResponseWriter, *http.Request) { cancel() }, httptest.NewRequestWithContext(ctx, "GET", "/", nil))
		if len(lines) != 1 || lines[0]["aborted"] != true {
			t.Errorf("%v", lines)
		}
	})
}

func TestAnnotateOutsideAndInExcess(t *testing.T) {
	Annotate(t.Context(), "a", 1) // nothing to write to: must not panic
	_, lines := logged(t, func(w http.ResponseWriter, r *http.Request) {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for j := range 100 {
					Annotate(r.Context(), strings.Repeat("k", i*100+j+1), j)
				}
			})
		}
		wg.Wait()
	}, httptest.NewRequest("GET", "/", nil))
	if n := len(lines[0]); n != 9+2+1+maxAttrs-1 { // level, msg and ten of ours, less time
		t.Errorf("%d attributes", n)
	}
}

func TestRecover(t *testing.T) {
	w, lines := logged(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "12345")
		w.Header().Set("ETag", `"x"`)
		panic(errors.New("boom"))
	}, httptest.NewRequest("GET", "/p", nil))
	if w.Code != 500 || !strings.Contains(w.Body.String(), w.Header().Get("X-Request-Id")) {
		t.Errorf("status %d, body %q", w.Code, w.Body)
	}
	if w.Header().Get("ETag") != "" || w.Header().Get("Content-Length") == "12345" {
		t.Errorf("header of the answer that never came: %v", w.Header())
	}
	if len(lines) != 2 || lines[0]["level"] != "ERROR" || lines[0]["panic"] != "boom" ||
		!strings.Contains(lines[0]["stack"].(string), "TestRecover") || lines[0]["req"] != lines[1]["req"] {
		t.Errorf("log %v", lines)
	}
	if lines[1]["status"] != 500.0 || lines[1]["level"] != "WARN" {
		t.Errorf("access log %v", lines[1])
	}
}

// A panic in the midst of an answer must not look like its end.
func TestRecoverCutsOff(t *testing.T) {
	var log syncBuffer
	s, _ := start(t, Config{AccessLog: true, Logger: slog.New(slog.NewTextHandler(&log, nil))},
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/abort" {
				panic(http.ErrAbortHandler)
			}
			io.WriteString(w, "begun")
			w.(http.Flusher).Flush()
			panic("boom")
		}))
	c := client(t)
	resp, err := c.Get(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("answer %q ended cleanly", body)
	}
	if n := strings.Count(log.String(), "handler panicked"); n != 1 {
		t.Errorf("%d panics logged", n)
	}
	if _, err := c.Get(s.URL() + "/abort"); err == nil {
		t.Error("http.ErrAbortHandler was answered")
	}
	if n := strings.Count(log.String(), "handler panicked"); n != 1 {
		t.Errorf("%d panics logged after an intended one", n)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// readFromRecorder has what net/http's own writer has.
type readFromRecorder struct {
	*httptest.ResponseRecorder
	files   int
	flushed int
}

func (w *readFromRecorder) ReadFrom(r io.Reader) (int64, error) {
	if isFile(r) {
		w.files++
	}
	return io.Copy(w.ResponseRecorder, onlyReader{r})
}
func (w *readFromRecorder) Flush() { w.flushed++ }

func TestResponseKeepsAbilities(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, make([]byte, 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	below := &readFromRecorder{ResponseRecorder: httptest.NewRecorder()}
	h := Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, ok := w.(io.ReaderFrom); !ok {
			t.Error("no io.ReaderFrom")
		}
		if n, err := io.Copy(w, f); n != 5000 || err != nil {
			t.Errorf("copy: %d, %v", n, err)
		}
		http.ServeFile(w, r, name)
		w.(http.Flusher).Flush()
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		if u, ok := w.(interface{ Unwrap() http.ResponseWriter }); !ok || u.Unwrap() != http.ResponseWriter(below) {
			t.Error("more than one wrapper")
		}
	}), RequestID(), AccessLog(slog.New(slog.DiscardHandler)), Recover(nil))
	h.ServeHTTP(below, httptest.NewRequest("GET", "/", nil))
	if below.files != 2 || below.flushed != 2 {
		t.Errorf("%d files by ReadFrom, %d flushes; want 2 and 2", below.files, below.flushed)
	}
}

// Middleware works alone and with a stranger's wrapper in between.
func TestMiddlewareApart(t *testing.T) {
	var buf bytes.Buffer
	log := slog.New(slog.NewTextHandler(&buf, nil))
	strange := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
		})
	}
	var id string
	h := Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id = RequestIDFrom(r.Context())
		Annotate(r.Context(), "cache", "hit")
		io.WriteString(w, "x")
	}), RequestID(), strange, AccessLog(log))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	for _, want := range []string{"req=" + id, "cache=hit", "bytes=1"} {
		if id == "" || !strings.Contains(buf.String(), want) {
			t.Errorf("no %q in %q", want, &buf)
		}
	}
	buf.Reset()
	w := httptest.NewRecorder()
	AccessLog(nil)(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 404 || buf.Len() != 0 {
		t.Errorf("%d %q", w.Code, &buf)
	}
}

// nullWriter is an http.ResponseWriter that costs nothing.
type nullWriter struct{ h http.Header }

func (w *nullWriter) Header() http.Header         { return w.h }
func (w *nullWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *nullWriter) WriteHeader(int)             {}

func benchHandler() http.Handler {
	body := make([]byte, 300)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Annotate(r.Context(), "cache", "hit")
		w.Write(body)
	})
}

func stacks() map[string]http.Handler {
	text := slog.New(NewTextHandler(NewLogWriter(io.Discard), slog.LevelInfo))
	return map[string]http.Handler{
		"bare":   benchHandler(),
		"id":     Wrap(benchHandler(), RequestID()),
		"no log": Wrap(benchHandler(), RequestID(), Recover(nil)),
		"full":   Wrap(benchHandler(), RequestID(), AccessLog(text), Recover(nil)),
	}
}

// BenchmarkMiddleware is the cost of the stack alone.
func BenchmarkMiddleware(b *testing.B) {
	for _, name := range []string{"bare", "id", "no log", "full"} {
		h := stacks()[name]
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			r := httptest.NewRequest("GET", "/example.com/m/@v/v1.0.0.mod", nil)
			w := &nullWriter{http.Header{}}
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
	}
}

// BenchmarkServer is the cost of a request over loopback: net/http alone, and
// goferry's server with everything.
func BenchmarkServer(b *testing.B) {
	run := func(b *testing.B, url string) {
		b.ReportAllocs()
		tr := &http.Transport{MaxIdleConnsPerHost: 16}
		defer tr.CloseIdleConnections()
		c := &http.Client{Transport: tr}
		for b.Loop() {
			resp, err := c.Get(url)
			if err != nil {
				b.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
	b.Run("net/http", func(b *testing.B) {
		s := httptest.NewServer(benchHandler())
		defer s.Close()
		run(b, s.URL)
	})
	b.Run("server", func(b *testing.B) {
		log := slog.New(slog.NewTextHandler(io.Discard, nil))
		s, err := Listen(b.Context(), Config{Listen: "127.0.0.1:0", AccessLog: true, Logger: log, ShutdownTimeout: time.Second})
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- s.Serve(ctx, benchHandler()) }()
		run(b, s.URL())
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
}

func TestObserve(t *testing.T) {
	type answer struct {
		path   string
		status int
		bytes  int64
	}
	var got []answer
	h := Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/none" {
			http.Error(w, "none", http.StatusNotFound)
			return
		}
		_, _ = io.WriteString(w, "four")
	}), Observe(func(r *http.Request, status int, bytes int64, _ time.Duration) {
		got = append(got, answer{r.URL.Path, status, bytes})
	}))
	for _, path := range []string{"/some", "/none"} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
	}
	if want := []answer{{"/some", 200, 4}, {"/none", 404, 5}}; !slices.Equal(got, want) {
		t.Errorf("observed %v, want %v", got, want)
	}
}
