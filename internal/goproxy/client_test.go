package goproxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

// upstream serves h and returns a Client of it.
func upstream(t testing.TB, h http.HandlerFunc) *goproxy.Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return client(t, srv.URL)
}

func client(t testing.TB, base string) *goproxy.Client {
	t.Helper()
	c, err := goproxy.NewClient(base, loopback(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNewClient(t *testing.T) {
	for _, base := range []string{"", "a.example", "ftp://u:secret@a.example", "file:///srv", "https://", "u:secret@a.example", "https://u:sec%zzret@a.example/x"} {
		c, err := goproxy.NewClient(base, nil)
		if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "ret@") {
			t.Errorf("%q: got %v, %v", base, c, err)
		}
	}
	c, err := goproxy.NewClient("https://user:secret@a.example/x?token=secret", nil)
	if err != nil || c.String() != "https://a.example/x" {
		t.Errorf("got %v, %v", c, err)
	}
}

func TestClientURL(t *testing.T) {
	var got atomic.Value
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, pass, _ := r.BasicAuth()
		got.Store(r.Method + " " + r.RequestURI + " " + user + ":" + pass)
		http.NotFound(w, r)
	}))
	t.Cleanup(srv.Close)
	host := strings.TrimPrefix(srv.URL, "http://")
	for base, want := range map[string]string{
		"http://" + host:                   "GET /github.com/%21azure/x/@v/v1.0.0+incompatible.info :",
		"http://" + host + "/":             "GET /github.com/%21azure/x/@v/v1.0.0+incompatible.info :",
		"http://" + host + "/sub/":         "GET /sub/github.com/%21azure/x/@v/v1.0.0+incompatible.info :",
		"http://" + host + "/a%2Fb?key=1":  "GET /a%2Fb/github.com/%21azure/x/@v/v1.0.0+incompatible.info?key=1 :",
		"http://me:secret@" + host + "/x":  "GET /x/github.com/%21azure/x/@v/v1.0.0+incompatible.info me:secret",
		"http://me:se%3Acret@" + host + "": "GET /github.com/%21azure/x/@v/v1.0.0+incompatible.info me:se:cret",
	} {
		_, err := client(t, base).Open(t.Context(), mustParse(t, "github.com/!azure/x/@v/v1.0.0+incompatible.info"))
		if !errors.Is(err, goproxy.ErrNotExist) || got.Load() != want {
			t.Errorf("%s: the upstream saw %v, error %v", base, got.Load(), err)
		}
		if strings.Contains(err.Error(), "cret") || strings.Contains(err.Error(), "me") {
			t.Errorf("%s: the error gives credentials away: %v", base, err)
		}
	}
}

func TestClientStatus(t *testing.T) {
	for status := 200; status < 600; status++ {
		if status >= 300 && status < 309 && status != 304 && status != 305 && status != 306 {
			continue // redirects are followed by http.Client
		}
		c := upstream(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(status)
		})
		for _, name := range []string{"example.com/m/@v/list", "example.com/m/@v/v1.0.0.zip"} {
			f, err := c.Open(t.Context(), mustParse(t, name))
			want := goproxy.FromStatus(status)
			if status == 206 {
				want = goproxy.ErrUnavailable // nobody asked for a part
			}
			if want == nil {
				if err != nil {
					t.Errorf("%d: %v", status, err)
				} else {
					f.Close()
				}
				continue
			}
			meaning := want
			for _, s := range sentinels() {
				if errors.Is(want, s) {
					meaning = s
				}
			}
			if !errors.Is(err, meaning) {
				t.Errorf("%d: got %v, want %v", status, err, meaning)
			}
			var e *goproxy.Error
			if !errors.As(err, &e) || e.Source != c.String() || e.Request != mustParse(t, name) {
				t.Errorf("%d: error %#v", status, err)
			}
		}
	}
}

func TestClientErrorText(t *testing.T) {
	tests := []struct{ contentType, body, want string }{
		{"text/plain; charset=utf-8", "not found: unknown revision v1\n", "it says: not found: unknown revision v1"},
		{"", "bad\x1b[31m red\u202e bell\a\r\n\r\n  second\xff line \n", "it says: bad[31m red bell; second line"},
		{"text/plain", "1\n2\n3\n4\n5\n6\n", "it says: 1; 2; 3; 4"},
		{"text/plain", strings.Repeat("x", 1<<20), strings.Repeat("x", 1024)},
		{"text/plain", "", "404 Not Found"},
		{"text/html", "<html>secret</html>", "404 Not Found"},
		{"application/json", `{"secret":1}`, "404 Not Found"},
	}
	for _, tt := range tests {
		c := upstream(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Type"] = []string{tt.contentType}
			w.WriteHeader(404)
			io.WriteString(w, tt.body)
		})
		_, err := c.Open(t.Context(), mustParse(t, "example.com/m/@v/list"))
		if !errors.Is(err, goproxy.ErrNotExist) || !strings.HasSuffix(err.Error(), tt.want) || len(err.Error()) > 1300 || strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("%q: got %q", tt.body[:min(len(tt.body), 50)], err)
		}
	}
}

func TestClientRetryAfter(t *testing.T) {
	date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	tests := []struct {
		value    string
		from, to time.Duration
	}{
		{"120", 2 * time.Minute, 2 * time.Minute},
		{date(time.Hour), 50 * time.Minute, time.Hour},
		{date(-time.Hour), 0, 0},
		{date(10_000 * time.Hour), 24 * time.Hour, 24 * time.Hour},
		{"99999999999", 24 * time.Hour, 24 * time.Hour},
		{"-5", 0, 0}, {"soon", 0, 0}, {"", 0, 0}, {"0", 0, 0}, {"99999999999999999999999", 0, 0},
	}
	for _, tt := range tests {
		for _, status := range []int{429, 503} {
			c := upstream(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", tt.value)
				w.WriteHeader(status)
			})
			_, err := c.Open(t.Context(), mustParse(t, "example.com/m/@v/list"))
			var e *goproxy.Error
			if !errors.As(err, &e) || !errors.Is(err, goproxy.ErrUnavailable) || e.RetryAfter < tt.from || e.RetryAfter > tt.to {
				t.Errorf("%d, Retry-After %q: %v, %+v", status, tt.value, err, e)
			}
		}
	}
}

func TestClientWebPage(t *testing.T) {
	const page = "\r\n <!DOCTYPE html><html><body>Please log in</body></html>"
	tests := []struct {
		name, contentType string
	}{
		{"example.com/m/@v/list", "text/html"},
		{"example.com/m/@v/list", "Text/HTML; charset=utf-8"},
		{"example.com/m/@v/list", "text/plain"},
		{"example.com/m/@latest", "application/json"},
		{"example.com/m/@v/v1.0.0.mod", ""},
		{"example.com/m/@v/v1.0.0.info", "text/html"},
		{"example.com/m/@v/v1.0.0.zip", "text/html"},
	}
	for _, tt := range tests {
		c := upstream(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Type"] = []string{tt.contentType}
			io.WriteString(w, page)
		})
		f, err := c.Open(t.Context(), mustParse(t, tt.name))
		if !errors.Is(err, goproxy.ErrUnavailable) || !strings.Contains(err.Error(), "web page") || strings.Contains(err.Error(), "log in") {
			t.Errorf("%s as %q: got %v, %v", tt.name, tt.contentType, f, err)
		}
	}
}

// TestClientTooLarge: what is longer than any legal file is refused, by its header or
// by its bytes, and never gathered in memory.
func TestClientTooLarge(t *testing.T) {
	for _, name := range []string{"example.com/m/@v/list", "example.com/m/@latest", "example.com/m/@v/v1.0.0.info", "example.com/m/@v/v1.0.0.mod", "example.com/m/@v/v1.0.0.zip"} {
		req := mustParse(t, name)
		t.Run(req.Kind.String(), func(t *testing.T) {
			honest := upstream(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", strconv.FormatInt(req.Kind.MaxSize()+1, 10))
			})
			f, err := honest.Open(t.Context(), req)
			if !errors.Is(err, goproxy.ErrUnavailable) || !strings.Contains(err.Error(), "larger than") || strings.Count(err.Error(), "unavailable") != 1 {
				t.Errorf("by its header: %v, %v", f, err)
			}
			endless := upstream(t, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(w, forever(strings.Repeat("v1.0.0\n", 5000)))
			})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var n int64
			if f, err = endless.Open(t.Context(), req); err == nil {
				n, err = io.Copy(io.Discard, f)
				f.Close()
			}
			runtime.ReadMemStats(&after)
			if !errors.Is(err, goproxy.ErrUnavailable) || !strings.Contains(err.Error(), "larger than") || n > req.Kind.MaxSize() {
				t.Errorf("by its bytes: %d bytes and %v", n, err)
			}
			if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(8*min(req.Kind.MaxSize(), goproxy.MaxMod)+4<<20); got > limit {
				t.Errorf("it took %d MiB of memory, the limit is %d", got>>20, limit>>20)
			}
		})
	}
}

// TestClientLongList: ten million lines are refused long before the last.
func TestClientLongList(t *testing.T) {
	const lines = 10_000_000
	var sent atomic.Int64
	c := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		buf := &bytes.Buffer{}
		for i := range lines {
			fmt.Fprintf(buf, "v1.%d.0\n", i)
			if buf.Len() > 60_000 {
				n, err := w.Write(buf.Bytes())
				if sent.Add(int64(n)); err != nil {
					return
				}
				buf.Reset()
			}
		}
	})
	_, err := goproxy.Versions(t.Context(), goproxy.Strict(c), "example.com/m")
	if !errors.Is(err, goproxy.ErrUnavailable) || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("got %v", err)
	}
	if n := sent.Load(); n > lines*8 {
		t.Errorf("%d bytes were sent", n)
	}
}

// TestClientShort: a body that ends early is an error, and never a short file.
func TestClientShort(t *testing.T) {
	for _, name := range []string{"example.com/m/@v/v1.0.0.mod", "example.com/m/@v/v1.0.0.zip"} {
		for _, chunked := range []bool{false, true} {
			c := upstream(t, func(w http.ResponseWriter, r *http.Request) {
				if !chunked {
					w.Header().Set("Content-Length", "1000")
				}
				w.Write(make([]byte, 500))
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			})
			got, err := goproxy.ReadFile(t.Context(), c, mustParse(t, name))
			if !errors.Is(err, goproxy.ErrUnavailable) || got != nil {
				t.Errorf("%s, chunked %v: %d bytes, %v", name, chunked, len(got), err)
			}
		}
	}
}

// ranged serves content as a zip, with ranges if the upstream knows them.
func ranged(content []byte, etag string, ranges bool, seen *[]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		*seen = append(*seen, r.Header.Get("Range"))
		if etag != "" {
			w.Header().Set("Etag", etag)
		}
		if !ranges {
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			w.Write(content)
			return
		}
		http.ServeContent(w, r, "x.zip", time.Time{}, bytes.NewReader(content))
	}
}

func TestClientSeek(t *testing.T) {
	content := make([]byte, 200<<10)
	for i := range content {
		content[i] = byte(i / 7)
	}
	for _, ranges := range []bool{true, false} {
		for _, etag := range []string{"", `"strong"`, `W/"weak"`} {
			var seen []string
			c := upstream(t, ranged(content, etag, ranges, &seen))
			f, err := c.Open(t.Context(), mustParse(t, "example.com/m/@v/v1.0.0.zip"))
			if err != nil {
				t.Fatal(err)
			}
			if err := iotest.TestReader(f, content); err != nil {
				t.Errorf("ranges %v, ETag %s: %v", ranges, etag, err)
			}
			if at, err := f.Seek(-10, io.SeekEnd); at != int64(len(content))-10 || err != nil {
				t.Errorf("Seek: %d, %v", at, err)
			}
			seen = nil
			tail, err := io.ReadAll(f)
			if err != nil || !bytes.Equal(tail, content[len(content)-10:]) {
				t.Errorf("ranges %v: tail %q, %v", ranges, tail, err)
			}
			if want := fmt.Sprintf("bytes=%d-", len(content)-10); len(seen) != 1 || seen[0] != want {
				t.Errorf("ranges %v: asked for %q, want %q", ranges, seen, want)
			}
			f.Close()
			if _, err := f.Read(make([]byte, 1)); err == nil {
				t.Error("reading a closed file is no error")
			}
		}
	}
}

// TestClientGoesOn: after a cut, reading on asks for the rest, and only for it.
func TestClientGoesOn(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 20<<10)
	var seen []string
	serve := ranged(content, `"same"`, true, &seen)
	c := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") == "" {
			w.Header().Set("Etag", `"same"`)
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			w.Write(content[:100<<10])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		if r.Header.Get("If-Range") != `"same"` {
			t.Errorf("If-Range is %q", r.Header.Get("If-Range"))
		}
		serve(w, r)
	})
	f, err := c.Open(t.Context(), mustParse(t, "example.com/m/@v/v1.0.0.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	first, err := io.ReadAll(f)
	if !errors.Is(err, goproxy.ErrUnavailable) {
		t.Fatalf("cut: %d bytes, %v", len(first), err)
	}
	rest, err := io.ReadAll(f)
	if err != nil || !bytes.Equal(append(first, rest...), content) {
		t.Errorf("%d and %d bytes, %v", len(first), len(rest), err)
	}
	if want := fmt.Sprintf("bytes=%d-", len(first)); len(seen) != 1 || seen[0] != want {
		t.Errorf("asked for %q, want %q", seen, want)
	}
}

// TestClientOtherBytes: the rest of another file is never taken for the rest of this one.
func TestClientOtherBytes(t *testing.T) {
	content := bytes.Repeat([]byte("x"), 100<<10)
	rest := content[50<<10:]
	for name, second := range map[string]http.HandlerFunc{
		"another length": func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content[:90<<10]))
		},
		"another start": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(content)-1, len(content)))
			w.WriteHeader(206)
			w.Write(content)
		},
		"not up to the end": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", 50<<10, 60<<10, len(content)))
			w.WriteHeader(206)
			w.Write(rest[:10<<10+1])
		},
		"no Content-Range": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(206); w.Write(rest) },
		"nonsense": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes x-y/z")
			w.WriteHeader(206)
			w.Write(rest)
		},
		"whole, but another": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Etag", `"other"`)
			w.Write(content)
		},
		"whole, but shorter": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Etag", `"one"`)
			w.Write(content[:60<<10])
		},
		"gone meanwhile":      func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) },
		"beyond the end":      func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(416) },
		"a page meanwhile":    func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<html>") },
		"the rest, cut again": func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			first := true
			c := upstream(t, func(w http.ResponseWriter, r *http.Request) {
				if first {
					first = false
					w.Header().Set("Etag", `"one"`)
					w.Header().Set("Content-Length", strconv.Itoa(len(content)))
					w.Write(content)
					return
				}
				second(w, r)
			})
			f, err := c.Open(t.Context(), mustParse(t, "example.com/m/@v/v1.0.0.zip"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			f.Seek(50<<10, io.SeekStart)
			if got, err := io.ReadAll(f); err == nil {
				t.Errorf("read %d bytes without an error", len(got))
			} else if !errors.Is(err, goproxy.ErrUnavailable) && !errors.Is(err, goproxy.ErrNotExist) {
				t.Errorf("got %v", err)
			}
		})
	}
}

type hinted struct{ error }

func (hinted) Hint() (code, text string) { return "the.code", "a way out" }

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestClientUnreachable: whatever fails below HTTP is "could not find out", keeps its hint,
// and shows no credentials.
func TestClientUnreachable(t *testing.T) {
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	host := strings.TrimPrefix(dead.URL, "http://")
	_, err := client(t, "http://user:secret@"+host+"/x?token=secret").Open(t.Context(), mustParse(t, "example.com/m/@v/list"))
	if !errors.Is(err, goproxy.ErrUnavailable) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "user") {
		t.Errorf("refused: %v", err)
	}
	loop := httptest.NewServer(nil)
	t.Cleanup(loop.Close)
	loop.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://user:secret@"+r.Host+r.URL.Path+"?token=secret", http.StatusFound)
	})
	_, err = client(t, "http://user:secret@"+strings.TrimPrefix(loop.URL, "http://")).Open(t.Context(), mustParse(t, "example.com/m/@v/list"))
	if !errors.Is(err, goproxy.ErrUnavailable) || strings.Contains(err.Error(), "secret") {
		t.Errorf("endless redirects: %v", err)
	}
	c, err := goproxy.NewClient("http://user:secret@a.example", &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("dial: %w", hinted{context.DeadlineExceeded})
	})})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Open(t.Context(), mustParse(t, "example.com/m/@v/list"))
	var e *goproxy.Error
	if !errors.As(err, &e) || e.HintCode != "the.code" || e.Hint != "a way out" || !errors.Is(err, goproxy.ErrUnavailable) || strings.Contains(err.Error(), "secret") {
		t.Errorf("with a hint: %#v", err)
	}
}

func (hinted) Unwrap() error { return errors.New("below") }

// TestClientCanceled: that the asker left is no fault of the upstream, before the header and after.
func TestClientCanceled(t *testing.T) {
	for _, name := range []string{"/header/example.com/m/@v/v1.0.0.zip", "/body/example.com/m/@v/v1.0.0.zip", "/body/example.com/m/@v/v1.0.0.mod"} {
		waiting := make(chan bool)
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/body") {
				w.Write([]byte("x"))
				w.(http.Flusher).Flush()
			}
			waiting <- true
			<-r.Context().Done()
		}))
		cause := fmt.Errorf("%w: the test is over", context.Canceled)
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() { <-waiting; cancel(cause) }()
		place, file, _ := strings.Cut(name[1:], "/")
		_, err := goproxy.ReadFile(ctx, client(t, srv.URL+"/"+place), mustParse(t, file))
		if !errors.Is(err, context.Canceled) || !errors.Is(err, cause) || errors.Is(err, goproxy.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
		srv.Close()
	}
}

// TestClientCachedOnly: a request that must not fetch does not.
func TestClientCachedOnly(t *testing.T) {
	c := upstream(t, func(w http.ResponseWriter, r *http.Request) { t.Error("the upstream was asked") })
	if _, err := c.Open(goproxy.WithCachedOnly(t.Context()), mustParse(t, "example.com/m/@v/v1.0.0.zip")); !errors.Is(err, goproxy.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestClientLastModified(t *testing.T) {
	at := time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
	c := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Last-Modified", at.Format(http.TimeFormat))
		io.WriteString(w, "module example.com/m\n")
	})
	for _, name := range []string{"example.com/m/@v/v1.0.0.mod", "example.com/m/@v/v1.0.0.zip"} {
		f, err := c.Open(t.Context(), mustParse(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if info, err := f.Stat(); err != nil || !info.ModTime().Equal(at) || info.Size() != 21 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
		f.Close()
	}
}
