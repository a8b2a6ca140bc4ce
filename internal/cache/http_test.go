package cache_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/cache"
	"github.com/goferry/goferry/internal/goproxy"
)

// limitedWriter breaks the connection off behind a number of bytes.
type limitedWriter struct {
	http.ResponseWriter
	left int
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	if len(p) > w.left {
		w.ResponseWriter.Write(p[:w.left])
		w.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	w.left -= len(p)
	return w.ResponseWriter.Write(p)
}

// TestOverHTTP puts handler, cache and client together, in front of an upstream whose connections
// do not live long: the user notices nothing, and no byte is fetched twice.
func TestOverHTTP(t *testing.T) {
	content := zipBytes(zipName, 1_000_000)
	var mu sync.Mutex
	var ranges []string
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		ranges = append(ranges, r.Header.Get("Range"))
		mu.Unlock()
		w.Header().Set("Etag", `"1"`)
		http.ServeContent(&limitedWriter{w, 300_000}, r, "", time.Time{}, bytes.NewReader(content))
	}))
	t.Cleanup(up.Close)
	client, err := goproxy.NewClient(up.URL, up.Client())
	if err != nil {
		t.Fatal(err)
	}
	c := newCache(t, cache.Config{Source: client, Check: refuse(content)})
	srv := httptest.NewServer(&goproxy.Handler{Source: c})
	t.Cleanup(srv.Close)
	get := func(header ...string) (*http.Response, []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL+"/"+zipName, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range header {
			name, value, _ := strings.Cut(h, ": ")
			req.Header.Set(name, value)
		}
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, body
	}
	cold, body := get()
	if cold.StatusCode != 200 || cold.ContentLength != int64(len(content)) || !bytes.Equal(body, content) {
		t.Errorf("cold: %d, %d bytes", cold.StatusCode, len(body))
	}
	if d := cmp.Diff([]string{"", "bytes=300000-", "bytes=600000-", "bytes=900000-"}, ranges); d != "" {
		t.Errorf("the upstream was asked for (-want +got):\n%s", d)
	}
	etag := cold.Header.Get("Etag")
	for range 3 { // from disk, then from memory
		warm, body := get()
		if warm.StatusCode != 200 || !bytes.Equal(body, content) || warm.Header.Get("Etag") != etag || warm.Header.Get("Last-Modified") != cold.Header.Get("Last-Modified") {
			t.Errorf("warm: %d, %d bytes, %v; cold %v", warm.StatusCode, len(body), warm.Header, cold.Header)
		}
	}
	if resp, body := get("Range: bytes=999990-", "If-Range: "+etag); resp.StatusCode != 206 || !bytes.Equal(body, content[999_990:]) {
		t.Errorf("the rest: %d, %d bytes", resp.StatusCode, len(body))
	}
	if len(ranges) != 4 {
		t.Errorf("hits asked the upstream: %v", ranges)
	}
}

// TestRefusedOverHTTP: a wrong large zip is never a complete answer, a wrong small file is a 502.
func TestRefusedOverHTTP(t *testing.T) {
	up := newUpstream()
	up.files[zipName], up.files[modName] = zipBytes(zipName, 1_000_000), []byte("module example.com/other\n")
	c := newCache(t, cache.Config{Source: up, Check: refuse(nil)})
	srv := httptest.NewServer(&goproxy.Handler{Source: c})
	t.Cleanup(srv.Close)
	resp, err := srv.Client().Get(srv.URL + "/" + modName)
	if err != nil || resp.StatusCode != 502 {
		t.Fatalf("small: %v, %v", resp, err)
	}
	resp.Body.Close()
	if resp, err = srv.Client().Get(srv.URL + "/" + zipName); err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode == 502 { // refused before the first byte was sent
		return
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) || len(body) > 1_000_000-held {
		t.Errorf("large: %d, %d bytes, %v", resp.StatusCode, len(body), err)
	}
}

// nullWriter is an http.ResponseWriter that costs nothing.
type nullWriter struct{ h http.Header }

func (w *nullWriter) Header() http.Header         { return w.h }
func (w *nullWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *nullWriter) WriteHeader(int)             {}

// BenchmarkHit is what handler and cache cost for a go.mod in memory, without net/http.
func BenchmarkHit(b *testing.B) {
	up := newUpstream()
	for _, name := range []string{"example.com/m/@v/v1.0.0.mod", "example.com/m/@v/v1.0.0.info"} {
		up.files[name] = []byte(`{"Version":"v1.0.0"}`)
		b.Run(name[len(name)-4:], func(b *testing.B) {
			h := &goproxy.Handler{Source: newCache(b, cache.Config{Source: up})}
			r := httptest.NewRequestWithContext(b.Context(), "GET", "/"+name, nil)
			h.ServeHTTP(&nullWriter{http.Header{}}, r)
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(&nullWriter{make(http.Header)}, r)
			}
		})
	}
}
