package sumdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

// roundTrip is an HTTP server in memory, for tests about time.
type roundTrip func(*http.Request) (status int, body string, err error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body, err := f(r)
	if err != nil {
		return nil, err
	}
	h := http.Header{"Content-Type": {"text/plain; charset=utf-8"}}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func TestProxyRemote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		supported := 200
		r := &ProxyRemote{Proxy: "https://p.example/go/", Name: "db.example", HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (int, string, error) {
			asked = append(asked, r.URL.Path)
			if strings.HasSuffix(r.URL.Path, "/supported") {
				return supported, "no such thing", nil
			}
			return 200, "data", nil
		})}}
		fetch := func(want error, paths ...string) {
			t.Helper()
			asked = nil
			data, err := r.Fetch(t.Context(), "/latest")
			if !errors.Is(err, want) || want == nil && string(data) != "data" {
				t.Fatalf("Fetch = %q, %v; want error %v", data, err, want)
			}
			for i := range paths {
				paths[i] = "/go/sumdb/db.example" + paths[i]
			}
			if fmt.Sprint(asked) != fmt.Sprint(paths) {
				t.Fatalf("asked %v; want %v", asked, paths)
			}
		}
		supported = 503
		fetch(goproxy.ErrUnavailable, "/supported")
		supported = 200
		fetch(nil, "/supported", "/latest") // an outage was not remembered
		supported = 404
		time.Sleep(59 * time.Second)
		fetch(nil, "/latest")
		time.Sleep(time.Second)
		fetch(errNotCarried, "/supported")
		supported = 200
		time.Sleep(59 * time.Second)
		fetch(errNotCarried)
		time.Sleep(time.Second)
		supported = 410
		fetch(errNotCarried, "/supported")
	})
}

func TestProxyRemoteAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int32
		r := &ProxyRemote{Proxy: "https://p.example", Name: "db.example", HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (int, string, error) {
			if strings.HasSuffix(r.URL.Path, "/supported") {
				n.Add(1)
				time.Sleep(time.Second)
			}
			return 200, "", nil
		})}}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, err := r.Fetch(t.Context(), "/latest"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n.Load() != 1 {
			t.Errorf("asked /supported %d times", n.Load())
		}
	})
}

func TestGetErrors(t *testing.T) {
	client := func(status int, body string, err error) *http.Client {
		return &http.Client{Transport: roundTrip(func(*http.Request) (int, string, error) { return status, body, err })}
	}
	for _, tt := range []struct {
		client *http.Client
		want   error
		text   string
	}{
		{client(404, "not found: example.com/m@v1:\n\tgit ls-remote\x1b[31m failed", nil), goproxy.ErrNotExist, "not found: example.com/m@v1: git ls-remote[31m failed"},
		{client(410, "", nil), goproxy.ErrGone, "gone"},
		{client(403, "", nil), goproxy.ErrBlocked, "403"},
		{client(206, "", nil), goproxy.ErrUnavailable, "206"},
		{client(500, "", nil), goproxy.ErrUnavailable, "500"},
		{client(200, strings.Repeat("x", limitSmall+1), nil), goproxy.ErrUnavailable, "larger than 65536 bytes"},
		{client(0, "", errors.New("connection reset")), goproxy.ErrUnavailable, "connection reset"},
	} {
		_, err := HTTPRemote{HTTP: tt.client, Base: "https://user:secret@db.example/x"}.Fetch(t.Context(), "/lookup/m@v1")
		if !errors.Is(err, tt.want) || !strings.Contains(fmt.Sprint(err), tt.text) {
			t.Errorf("error is %v; want %v with %q", err, tt.want, tt.text)
		}
		if s := fmt.Sprint(err); strings.Contains(s, "secret") || strings.Contains(s, "user") {
			t.Errorf("%q shows credentials", s)
		}
	}
}

// An answer without a length or a validator breaks off: it is asked for again, but not for ever.
func TestGetBrokenOff(t *testing.T) {
	for _, tt := range []struct {
		broken, asked int
		ok            bool
	}{{0, 1, true}, {1, 2, true}, {2, 3, true}, {9, 3, false}} {
		var asked atomic.Int32
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "the beginning")
			_ = http.NewResponseController(w).Flush()
			if int(asked.Add(1)) <= tt.broken {
				panic(http.ErrAbortHandler)
			}
			fmt.Fprint(w, " and the end")
		}))
		t.Cleanup(srv.Close)
		data, err := HTTPRemote{HTTP: srv.Client(), Base: srv.URL}.Fetch(t.Context(), "/lookup/m@v1")
		if got := string(data); (err == nil) != tt.ok || tt.ok && got != "the beginning and the end" || int(asked.Load()) != tt.asked {
			t.Errorf("%d broken: got %q, error %v, after %d requests", tt.broken, got, err, asked.Load())
		}
		if !tt.ok && !errors.Is(err, goproxy.ErrUnavailable) {
			t.Errorf("error %v", err)
		}
	}
}

func TestFSRemote(t *testing.T) {
	d := newTestDB(t, "", DB{})
	d.fill(t, "x", 300)
	mod, zip := d.add(t, "example.com/good", "v1.0.0")
	store := newStore(t)
	if err := mod.verify(t.Context(), d.client(t, store, d.remote())); err != nil {
		t.Fatal(err)
	}
	// Another store fills up from the first one's files alone.
	c := d.client(t, newStore(t), FSRemote{FS: os.DirFS(store.dir), Name: dbName})
	if err := zip.verify(t.Context(), c); err != nil {
		t.Error(err)
	}
	_, err := c.Lookup(t.Context(), "example.com/unknown", "v1.0.0")
	wantErr(t, err, goproxy.ErrUnavailable, codeUnreachable)
}

// remoteFunc is a Remote that is not the database itself.
type remoteFunc func(ctx context.Context, path string) ([]byte, error)

func (f remoteFunc) Fetch(ctx context.Context, path string) ([]byte, error) { return f(ctx, path) }

func relay(wait time.Duration, data string, err error, starts *[]time.Duration) Remote {
	began := time.Now()
	return remoteFunc(func(ctx context.Context, path string) ([]byte, error) {
		if starts != nil {
			*starts = append(*starts, time.Since(began))
		}
		select {
		case <-time.After(wait):
			return []byte(data), err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	})
}

func newChain(remotes ...Remote) *chain {
	return &chain{remotes: remotes, hedge: 3 * time.Second, check: func(_ string, data []byte) error {
		if bytes.HasPrefix(data, []byte("<html")) {
			return errors.New("html")
		}
		return nil
	}}
}

func TestChainHedge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var starts []time.Duration
		c := newChain(relay(time.Hour, "slow", nil, &starts), relay(time.Hour, "slow", nil, nil), relay(2*time.Second, "quick", nil, nil))
		data, err := c.fetch(t.Context(), "/latest")
		if string(data) != "quick" || err != nil || time.Since(began) != 2*strangerHedge+2*time.Second {
			t.Fatalf("fetch = %q, %v after %v", data, err, time.Since(began))
		}
		// Those that were overtaken are asked last for a while.
		began = time.Now()
		if data, _ := c.fetch(t.Context(), "/latest"); string(data) != "quick" || time.Since(began) != 2*time.Second || len(starts) != 1 {
			t.Errorf("second fetch = %q after %v", data, time.Since(began))
		}
		time.Sleep(coolFor)
		if _, err := c.fetch(t.Context(), "/latest"); err != nil || len(starts) != 2 {
			t.Errorf("the first remote is never asked again: %v, %v", starts, err)
		}
		// One that has answered before may take its time.
		c = newChain(relay(2*time.Second, "slow", nil, nil), relay(time.Second, "quick", nil, nil))
		c.heard = map[int]bool{0: true}
		if data, _ := c.fetch(t.Context(), "/latest"); string(data) != "slow" {
			t.Errorf("a remote that is known had %q for company", data)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if _, err := newChain(relay(time.Hour, "", nil, nil)).fetch(ctx, "/x"); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("error is %v after %v", err, time.Since(began))
		}
	})
}

func TestChainVerdict(t *testing.T) {
	absent := &goproxy.Error{Err: fmt.Errorf("%w: 404", goproxy.ErrNotExist)}
	down := &goproxy.Error{Err: fmt.Errorf("%w: reset", goproxy.ErrUnavailable)}
	blocked := &goproxy.Error{Err: fmt.Errorf("%w: 403", goproxy.ErrBlocked)}
	r := func(err error) Remote { return relay(0, "data", err, nil) }
	html := relay(0, "<html>", nil, nil)
	db := func(status int) Remote {
		return HTTPRemote{Base: "https://db.example", HTTP: &http.Client{Transport: roundTrip(func(*http.Request) (int, string, error) { return status, "data", nil })}}
	}
	for _, tt := range []struct {
		name    string
		remotes []Remote
		want    error // nil for data
		code    string
	}{
		{"first", []Remote{r(nil), r(down)}, nil, ""},
		{"after an outage", []Remote{r(down), r(nil)}, nil, ""},
		{"after a relay's 404", []Remote{r(absent), db(200)}, nil, ""},
		{"after a portal", []Remote{html, r(nil)}, nil, ""},
		{"after a gateway's 403", []Remote{r(blocked), r(nil)}, nil, ""},
		{"the database's 404 ends it", []Remote{db(404), r(nil)}, goproxy.ErrNotExist, ""},
		{"the database's 410 ends it", []Remote{r(down), db(410), r(nil)}, goproxy.ErrGone, ""},
		{"relays agree", []Remote{r(absent), r(absent)}, goproxy.ErrNotExist, ""},
		{"relays agree, one does not carry it", []Remote{r(errNotCarried), r(absent)}, goproxy.ErrNotExist, ""},
		{"a relay's 404 is not enough", []Remote{r(absent), db(503)}, goproxy.ErrUnavailable, codePrivate},
		{"a relay's 404 beside a 403", []Remote{r(absent), db(403)}, goproxy.ErrUnavailable, codePrivate},
		{"all down", []Remote{r(down), db(500)}, goproxy.ErrUnavailable, ""},
		{"portal", []Remote{html}, goproxy.ErrUnavailable, ""},
		{"all blocked", []Remote{r(blocked), db(403)}, goproxy.ErrUnavailable, ""},
		{"blocked and down", []Remote{r(blocked), r(down)}, goproxy.ErrUnavailable, ""},
		{"nobody carries it", []Remote{r(errNotCarried)}, goproxy.ErrUnavailable, ""},
		{"nobody", nil, goproxy.ErrUnavailable, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data, err := newChain(tt.remotes...).fetch(t.Context(), "/lookup/x")
			if tt.want == nil {
				if err != nil || string(data) != "data" {
					t.Errorf("fetch = %q, %v", data, err)
				}
				return
			}
			wantErr(t, err, tt.want, tt.code)
			for _, class := range []error{goproxy.ErrNotExist, goproxy.ErrGone, goproxy.ErrBlocked, goproxy.ErrUnavailable} {
				if class != tt.want && errors.Is(err, class) {
					t.Errorf("%v also matches %v", err, class)
				}
			}
		})
	}
}
