package toolchain

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/transport"
)

var fetchTarget = Target{Version: "go1.25.7", OS: "linux", Arch: "amd64"}

// fetchData is n bytes that no compression makes smaller, with a zip's beginning.
func fetchData(seed uint64, n int) []byte {
	src := rand.NewChaCha8([32]byte{byte(seed)})
	data := make([]byte, n)
	src.Read(data)
	copy(data, "PK\x03\x04")
	return data
}

// A fetchHost is a place with faults.
type fetchHost struct {
	data []byte
	etag string // of answers; a func of the request where etags is set

	etags   func(n int) string // of the n-th request
	cut     int                // bytes after which each answer is cut off; 0 for none
	gone    bool               // no answer at all after the first
	ignore  bool               // ranges are ignored
	chunked bool               // no length
	handle  http.HandlerFunc   // instead of everything

	mu   sync.Mutex
	asks []string // "Range|If-Range" of each request
	sent int
}

func (h *fetchHost) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.asks = append(h.asks, r.Header.Get("Range")+"|"+r.Header.Get("If-Range"))
	n := len(h.asks)
	h.mu.Unlock()
	if h.handle != nil {
		h.handle(w, r)
		return
	}
	if h.gone && n > 1 {
		panic(http.ErrAbortHandler)
	}
	etag := h.etag
	if h.etags != nil {
		etag = h.etags(n)
	}
	if etag != "" {
		w.Header().Set("Etag", etag)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	out := http.ResponseWriter(&fetchCutter{ResponseWriter: w, h: h, left: h.cut})
	if h.chunked {
		out.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		out.Write(h.data)
		return
	}
	if h.ignore {
		r.Header.Del("Range")
	}
	http.ServeContent(struct{ http.ResponseWriter }{out}, r, "x.bin", time.Time{}, bytes.NewReader(h.data))
}

func (h *fetchHost) requests() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asks
}

// A fetchCutter cuts the connection after so many bytes.
type fetchCutter struct {
	http.ResponseWriter
	h    *fetchHost
	left int
}

func (c *fetchCutter) Write(p []byte) (int, error) {
	c.h.mu.Lock()
	c.h.sent += len(p)
	c.h.mu.Unlock()
	if c.h.cut > 0 {
		if c.left -= len(p); c.left < 0 {
			c.ResponseWriter.Write(p[:len(p)+c.left])
			c.ResponseWriter.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	}
	return c.ResponseWriter.Write(p)
}

// A fetchLab is a Fetcher that stays on loopback, and what it said.
type fetchLab struct {
	Fetcher
	t        *testing.T
	troubles []Trouble
	progress []Progress
}

func newFetchLab(t *testing.T) *fetchLab {
	t.Helper()
	client, err := transport.New(transport.Config{
		Proxy:   func(*http.Request) (*url.URL, error) { return nil, nil },
		Retries: -1, RetryWait: time.Millisecond, StallTimeout: 200 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	lab := &fetchLab{t: t}
	lab.Fetcher = Fetcher{
		HTTP: client, Dir: t.TempDir(), RetryWait: time.Millisecond,
		Trouble:  func(tr Trouble) { lab.troubles = append(lab.troubles, tr) },
		Progress: func(p Progress) { lab.progress = append(lab.progress, p) },
	}
	return lab
}

// place serves h and returns its offer of the file.
func (l *fetchLab) place(name string, h *fetchHost) Offer {
	l.t.Helper()
	server := httptest.NewServer(h)
	server.Config.ErrorLog = nil
	l.t.Cleanup(server.Close)
	return Place{Name: name, URL: server.URL + "/base", Kind: Modules}.Offer(fetchTarget)
}

const fetchFile = "v0.0.1-go1.25.7.linux-amd64.zip"

func (l *fetchLab) fetch(offers ...Offer) (*Download, error) {
	return l.Fetch(l.t.Context(), fetchTarget, fetchFile, offers)
}

// want fetches data from offers.
func (l *fetchLab) want(data []byte, offers ...Offer) *Download {
	l.t.Helper()
	d, err := l.fetch(offers...)
	if err != nil {
		l.t.Fatal(err)
	}
	l.same(d, data)
	return d
}

func (l *fetchLab) same(d *Download, data []byte) {
	l.t.Helper()
	got, err := os.ReadFile(d.Path)
	if err != nil {
		l.t.Fatal(err)
	}
	if !bytes.Equal(got, data) {
		l.t.Fatalf("got another file of %d bytes, want one of %d", len(got), len(data))
	}
	if d.SHA256 != sha256.Sum256(data) || d.Size != int64(len(data)) {
		l.t.Errorf("size %d and SHA-256 %x are not the file's", d.Size, d.SHA256)
	}
}

func (l *fetchLab) faults() []string {
	var all []string
	for _, tr := range l.troubles {
		e, ok := errors.AsType[*PlaceError](tr.Err)
		if !ok {
			l.t.Fatalf("%T is no *PlaceError: %v", tr.Err, tr.Err)
		}
		all = append(all, tr.Place+" "+string(e.Fault))
	}
	return all
}

func wantEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func placeNames(places []Place) []string {
	var names []string
	for _, p := range places {
		names = append(names, p.Name)
	}
	return names
}

// leave begins to fetch and leaves after n bytes or more; it returns how many there are.
func (l *fetchLab) leave(o Offer, n int64) int64 {
	l.t.Helper()
	ctx, cancel := context.WithCancelCause(l.t.Context())
	f := l.Fetcher
	var clock time.Time
	f.now = func() time.Time { clock = clock.Add(time.Second); return clock } // each chunk is reported and saved
	f.SlowAfter = -1
	var have int64
	f.Progress = func(p Progress) {
		if have = p.Done; have >= n {
			cancel(errors.New("enough"))
		}
	}
	_, err := f.Fetch(ctx, fetchTarget, fetchFile, []Offer{o})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "enough") || goproxy.ExitCode(err) != 130 {
		l.t.Fatalf("got error %v, want that the asker left", err)
	}
	return have
}
