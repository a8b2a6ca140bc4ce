package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Every cut is mended, wherever it is, over HTTP/1.1 and HTTP/2.
func TestResume(t *testing.T) {
	data := noise(1, 200_000)
	serveWith := func(cuts ...int) *origin {
		o := &origin{data: data, etag: `"v1"`}
		for _, n := range cuts {
			o.faults = append(o.faults, cutAt(n))
		}
		return o
	}
	for _, tt := range []struct {
		name string
		cuts []int // of each answer, behind so many bytes of it
		want []string
	}{
		{"before the first byte", []int{0}, []string{"bytes=0-"}},
		{"behind the first byte", []int{1}, []string{"bytes=1-"}},
		{"before the buffer is full", []int{4095}, []string{"bytes=4095-"}},
		{"at the end of the buffer", []int{4096}, []string{"bytes=4096-"}},
		{"behind a read", []int{readBuffer}, []string{"bytes=65536-"}},
		{"behind a read and more", []int{readBuffer + 1}, []string{"bytes=65537-"}},
		{"before the last byte", []int{199_999}, []string{"bytes=199999-"}},
		{"again and again", []int{50_000, 10, 60_000}, []string{"bytes=50000-", "bytes=50010-", "bytes=110010-"}},
	} {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/h2=%v", tt.name, h2), func(t *testing.T) {
				o := serveWith(tt.cuts...)
				var seen []Attempt
				cfg := Config{Observe: func(a Attempt) { seen = append(seen, a) }}
				url := ""
				if h2 {
					server, roots := newTLSServer(t, o)
					cfg.RootFiles, url = []string{roots}, server.URL
				} else {
					url = newServer(t, o.ServeHTTP).URL
				}
				_, body := mustGet(t, newClient(t, cfg), url+"/big?query=1")
				if body != string(data) {
					t.Errorf("got %d bytes, not those of the file", len(body))
				}
				want := []string{""}
				for _, r := range tt.want {
					want = append(want, r+` "v1"`)
				}
				if diff := cmp.Diff(want, o.asked); diff != "" {
					t.Errorf("asked: %s", diff)
				}
				var sum int64
				for i, a := range seen {
					sum += a.Bytes - a.Wasted
					if a.Resumed != (i > 0) || a.N != 1 || a.Part || (a.Failure == "") != (i == len(seen)-1) {
						t.Errorf("observed %+v", a)
					}
				}
				if sum != int64(len(data)) || len(seen) != len(want) {
					t.Errorf("observed %d attempts with %d bytes", len(seen), sum)
				}
			})
		}
	}
}

// What is known about the file decides how the rest is asked for, and which answer is taken.
func TestResumeAnswers(t *testing.T) {
	data, other := noise(1, 1000), noise(2, 1000)
	old := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	date := old.Format(http.TimeFormat)
	for _, tt := range []struct {
		name    string
		origin  *origin // data is filled in; nil for one that says nothing of the file
		faults  []fault
		failure Failure // empty for success
		final   bool
		asked   []string
		wasted  int64
	}{
		{name: "strong ETag", origin: &origin{etag: `"a"`}, faults: []fault{cutAt(400)}, asked: []string{"", `bytes=400- "a"`}},
		{name: "strong ETag beats Last-Modified", origin: &origin{etag: `"a"`, modified: old}, faults: []fault{cutAt(400)},
			asked: []string{"", `bytes=400- "a"`}},
		{name: "Last-Modified", origin: &origin{modified: old}, faults: []fault{cutAt(400)}, asked: []string{"", "bytes=400- " + date}},
		{name: "weak ETag", origin: &origin{etag: `W/"a"`, modified: old}, faults: []fault{cutAt(400)}, asked: []string{"", "bytes=400-"}},
		{name: "length alone", faults: []fault{cutAt(400)}, asked: []string{"", "bytes=400-"}},
		{name: "unknown length", origin: &origin{etag: `"a"`}, faults: []fault{chunked(data, 400, `"a"`)},
			asked: []string{"", `bytes=400- "a"`}},
		{name: "unknown length, cut again", origin: &origin{etag: `"a"`}, faults: []fault{chunked(data, 400, `"a"`), cutAt(100)},
			asked: []string{"", `bytes=400- "a"`, `bytes=500- "a"`}},
		{name: "unknown length, cut behind the last byte", origin: &origin{etag: `"a"`}, faults: []fault{chunked(data, 1000, `"a"`)},
			asked: []string{"", `bytes=1000- "a"`}},
		{name: "unknown length, now shorter", origin: &origin{etag: `"a"`}, failure: Changed, final: true,
			faults: []fault{chunked(data, 400, `"a"`), status(416, "Content-Range: bytes */300")}},
		{name: "nothing known", faults: []fault{chunked(data, 400, "")}, failure: EOF, asked: []string{""}},
		{name: "weak ETag, unknown length", faults: []fault{chunked(data, 400, `W/"a"`)}, failure: EOF, asked: []string{""}},

		{name: "no ranges", origin: &origin{etag: `"a"`}, faults: []fault{cutAt(400), serveWhole}, wasted: 400},
		{name: "no ranges, nothing but the length", faults: []fault{cutAt(400), serveWhole}, wasted: 400},
		{name: "no ranges, cut again", origin: &origin{etag: `"a"`}, faults: []fault{cutAt(400), with(`"a"`, data, cutAt(500)), serveWhole}, wasted: 900,
			asked: []string{"", `bytes=400- "a"`, `bytes=900- "a"`}},
		{name: "no ranges, cut early again", origin: &origin{etag: `"a"`}, wasted: 500,
			faults: []fault{cutAt(400), func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
				serveWhole(&cutter{w, 100}, r, serve)
			}, serveWhole}},
		{name: "no ranges, other bytes of the same length", failure: Changed, final: true, faults: []fault{cutAt(400), with("", other, serveWhole)}},

		{name: "changed", origin: &origin{etag: `"a"`}, failure: Changed, final: true, faults: []fault{cutAt(400), with(`"b"`, other, serveWhole)}},
		{name: "another validator, the same bytes", origin: &origin{etag: `"a"`}, wasted: 400,
			faults: []fault{cutAt(400), with(`"b"`, data, serveWhole)}, asked: []string{"", `bytes=400- "a"`}},
		{name: "another validator again and again", origin: &origin{etag: `"a"`}, wasted: 900,
			faults: []fault{cutAt(400), with(`"b"`, data, func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
				serveWhole(&cutter{w, 500}, r, serve)
			}), with(`"c"`, data, serveWhole)}, asked: []string{"", `bytes=400- "a"`, `bytes=500- "b"`}},
		{name: "another validator, nearly the same beginning", origin: &origin{etag: `"a"`}, failure: Changed, final: true,
			faults: []fault{cutAt(400), with(`"b"`, slices.Concat(data[:399], other[399:]), serveWhole)}},
		{name: "changed, but a part", origin: &origin{etag: `"a"`}, failure: Changed, final: true,
			faults: []fault{cutAt(400), with(`"b"`, other, func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) { serve(w, r) })}},
		{name: "changed weakly", origin: &origin{etag: `W/"a"`}, failure: Changed, final: true,
			faults: []fault{cutAt(400), with(`W/"b"`, other, serveWhole)}},
		{name: "changed length", failure: Changed, final: true,
			faults: []fault{cutAt(400), with("", data[:999], func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) { serve(w, r) })}},
		{name: "changed length, whole", failure: Changed, final: true, faults: []fault{cutAt(400), with("", data[:999], serveWhole)}},
		{name: "changed to shorter", failure: Changed, final: true, faults: []fault{cutAt(400), status(416, "Content-Range: bytes */300")}},
		{name: "the validator gone with the length alone", origin: &origin{etag: `W/"a"`}, failure: Changed, final: true,
			faults: []fault{cutAt(400), raw(206, "bytes 400-999/1000", other[400:])}},

		{name: "a part without ETag", origin: &origin{etag: `"a"`}, faults: []fault{cutAt(400), raw(206, "bytes 400-999/1000", data[400:])}},
		{name: "a part of unknown length", origin: &origin{etag: `"a"`}, faults: []fault{cutAt(400), raw(206, "bytes 400-999/*", data[400:])}},
		{name: "another part", origin: &origin{etag: `"a"`}, failure: EOF, faults: []fault{cutAt(400), raw(206, "bytes 399-999/1000", data[399:])}},
		{name: "too short a part", origin: &origin{etag: `"a"`}, failure: EOF, faults: []fault{cutAt(400), raw(206, "bytes 400-998/1000", data[400:999])}},
		{name: "a part of another length", origin: &origin{etag: `"a"`}, failure: EOF, faults: []fault{cutAt(400), raw(206, "bytes 400-999/1000", data[400:999])}},
		{name: "no Content-Range", origin: &origin{etag: `"a"`}, failure: EOF, faults: []fault{cutAt(400), raw(206, "", data[400:])}},
		{name: "416 that says nothing", origin: &origin{etag: `"a"`}, failure: EOF, faults: []fault{cutAt(400), status(416)}},
		{name: "403", origin: &origin{etag: `"a"`}, failure: EOF, faults: []fault{cutAt(400), status(403)}, asked: []string{"", `bytes=400- "a"`}},
		{name: "redirect", origin: &origin{etag: `"a"`}, failure: EOF, faults: []fault{cutAt(400), status(302, "Location: /elsewhere")}},
		{name: "204", origin: &origin{etag: `"a"`}, failure: EOF, faults: []fault{cutAt(400), status(204)}},
		{name: "busy", origin: &origin{etag: `"a"`}, faults: []fault{cutAt(400), status(503), status(429), status(502)}},
		{name: "busy for good", origin: &origin{etag: `"a"`}, failure: EOF, final: true,
			faults: []fault{cutAt(400), status(503), status(503), status(503), status(503), status(503)}},
		{name: "no header", origin: &origin{etag: `"a"`},
			faults: []fault{cutAt(400), func(http.ResponseWriter, *http.Request, http.HandlerFunc) { panic(http.ErrAbortHandler) }}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := tt.origin
			if o == nil {
				o = new(origin)
			}
			o.data, o.faults = data, tt.faults
			var seen []Attempt
			client := newClient(t, Config{Retries: 4, Observe: func(a Attempt) { seen = append(seen, a) }})
			_, body, err := get(t, client, newServer(t, o.ServeHTTP).URL)
			if tt.failure == "" {
				if err != nil || body != string(data) {
					t.Fatalf("got %d bytes, right %v, error %v", len(body), body == string(data), err)
				}
			} else {
				e := wantError(t, err, OpRead, tt.failure)
				if e.Final() != tt.final || !strings.HasPrefix(string(data), body) || len(body) < 400 {
					t.Errorf("got %d bytes, error %v, final %v", len(body), err, e.Final())
				}
			}
			if tt.asked != nil {
				if diff := cmp.Diff(tt.asked, o.asked); diff != "" {
					t.Error(diff)
				}
			}
			var wasted int64
			for _, a := range seen {
				wasted += a.Wasted
			}
			if tt.failure == "" && wasted != tt.wasted {
				t.Errorf("wasted %d bytes, want %d", wasted, tt.wasted)
			}
			if last := seen[len(seen)-1]; tt.failure == Changed && last.Status != 416 && last.Failure != Changed {
				t.Errorf("the last attempt is %+v", last)
			}
		})
	}
}

// These are not continued: their headers or the answers say something else than "the whole file".
func TestNotResumed(t *testing.T) {
	for _, tt := range []struct {
		name   string
		cfg    Config
		method string
		header string
		status int
	}{
		{"no retries", Config{Retries: -1}, "GET", "", 200},
		{"POST", Config{}, "POST", "", 200},
		{"a range", Config{}, "GET", "bytes=10-", 206},
		{"an error", Config{}, "GET", "", 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := &origin{data: noise(1, 1000), etag: `"a"`, faults: []fault{cutAt(400)}}
			if tt.status == 404 {
				o.faults = []fault{func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
					w.Header().Set("Etag", `"a"`)
					w.Header().Set("Content-Length", "1000")
					w.WriteHeader(404)
					(&cutter{w, 4}).Write(o.data)
				}}
			}
			req, err := http.NewRequestWithContext(t.Context(), tt.method, newServer(t, o.ServeHTTP).URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			if tt.header != "" {
				req.Header.Set("Range", tt.header)
			}
			resp, err := newClient(t, tt.cfg).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			_, err = io.ReadAll(resp.Body)
			wantError(t, err, OpRead, EOF)
			if resp.StatusCode != tt.status || len(o.asked) != 1 {
				t.Errorf("status %d, asked %q", resp.StatusCode, o.asked)
			}
		})
	}
}

// The rest is asked of the URL that answered, with what belongs to it; where that has
// expired, whoever knows the first URL may ask there.
func TestResumeBehindRedirect(t *testing.T) {
	for _, expired := range []bool{false, true} {
		t.Run(fmt.Sprintf("expired=%v", expired), func(t *testing.T) {
			o := &origin{data: noise(1, 1000), etag: `"a"`, faults: []fault{cutAt(400)}}
			if expired {
				o.faults = append(o.faults, status(403))
			}
			var paths []string
			server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
				paths = append(paths, r.URL.RequestURI()+" "+r.Header.Get("Authorization")+r.Header.Get("If-None-Match"))
				if r.URL.Path == "/file" {
					http.Redirect(w, r, "/signed?query=1", http.StatusFound)
					return
				}
				o.ServeHTTP(w, r)
			})
			req, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/file", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer x")
			resp, err := newClient(t, Config{}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if expired {
				if e := wantError(t, err, OpRead, EOF); e.Final() {
					t.Error("the error is final, but the first URL may help")
				}
			} else if err != nil || !bytes.Equal(body, o.data) {
				t.Errorf("got %d bytes, error %v", len(body), err)
			}
			want := []string{"/file Bearer x", "/signed?query=1 Bearer x", "/signed?query=1 Bearer x"}
			if diff := cmp.Diff(want, paths); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A body that a cache asked for under a condition is continued without it.
func TestResumeUnconditionally(t *testing.T) {
	o := &origin{data: noise(1, 1000), etag: `"a"`, faults: []fault{cutAt(400)}}
	var conditions []string
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		conditions = append(conditions, r.Header.Get("If-None-Match"))
		o.ServeHTTP(w, r)
	})
	req, err := http.NewRequestWithContext(t.Context(), "GET", server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("If-None-Match", `"old"`)
	resp, err := newClient(t, Config{}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(body, o.data) || !slices.Equal(conditions, []string{`"old"`, ""}) {
		t.Errorf("got %d bytes, error %v, conditions %q", len(body), err, conditions)
	}
	if req.Header.Get("Range") != "" || resp.Request.Header.Get("If-None-Match") == "" {
		t.Error("the asker's request was changed")
	}
}

// Progress earns further tries; without it there is an end.
func TestResumeEffort(t *testing.T) {
	always := func(n int) []fault { return slices.Repeat([]fault{cutAt(n)}, 100) }
	for _, tt := range []struct {
		name  string
		cut   int
		tries int // 0 for a whole body
	}{
		{"a byte each", 1, 5},
		{"a little each", 50 << 10, 5},
		{"enough each", 100 << 10, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := &origin{data: noise(1, 2<<20), etag: `"a"`, faults: always(tt.cut)}
			_, body, err := get(t, newClient(t, Config{Retries: 4}), newServer(t, o.ServeHTTP).URL)
			if tt.tries == 0 {
				if err != nil || body != string(o.data) {
					t.Fatalf("got %d bytes, error %v", len(body), err)
				}
				return
			}
			if e := wantError(t, err, OpRead, EOF); !e.Final() || len(o.asked) != tt.tries || len(body) != tt.tries*tt.cut {
				t.Errorf("got %d bytes with %d requests, final %v", len(body), len(o.asked), e.Final())
			}
		})
	}
}

// A server without ranges that always breaks off does not get to send the file for ever.
func TestResumeWholesAreBounded(t *testing.T) {
	o := &origin{data: noise(1, 8<<20), etag: `"a"`}
	n := 0
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		n++
		serveWhole(&cutter{w, n * 300 << 10}, r, o.serve)
	})
	_, _, err := get(t, newClient(t, Config{Retries: 3}), server.URL)
	if e := wantError(t, err, OpRead, EOF); !e.Final() || n != 5 {
		t.Errorf("made %d requests, final %v", n, e.Final())
	}
}

func TestResumeWaits(t *testing.T) {
	stall := func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
		w.Header().Set("Etag", `"a"`)
		w.Header().Set("Content-Length", "1000")
		w.Write(noise(1, 1000)[:400])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	for _, tt := range []struct {
		name        string
		faults      []fault
		failure     Failure
		least, most time.Duration
	}{
		{"the first try comes soon", []fault{cutAt(400)}, "", time.Millisecond, 125 * time.Millisecond},
		{"Retry-After", []fault{cutAt(400), status(503, "Retry-After: 7")}, "", 7 * time.Second, 7*time.Second + 125*time.Millisecond},
		{"Retry-After beyond the budget", []fault{cutAt(400), status(503, "Retry-After: 21")}, EOF, 0, 125 * time.Millisecond},
		{"a stall", []fault{stall}, "", 10 * time.Second, 10*time.Second + 125*time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := &origin{data: noise(1, 1000), etag: `"a"`, faults: tt.faults}
			bubble(t, Config{RetryBudget: 20 * time.Second}, o.ServeHTTP, func(t *testing.T, client *http.Client) {
				start := time.Now()
				_, body, err := get(t, client, "http://up.test/")
				if tt.failure != "" {
					if e := wantError(t, err, OpRead, tt.failure); !e.Final() {
						t.Error("not final")
					}
				} else if err != nil || body != string(o.data) {
					t.Errorf("got %d bytes, error %v", len(body), err)
				}
				if took := time.Since(start); took < tt.least || took > tt.most {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// Whoever leaves while the rest is waited for gets no failure, and leaves nothing behind.
func TestLeaveWhileResuming(t *testing.T) {
	cause := errors.New("the user pressed a key")
	for _, where := range []string{"waiting", "asking"} {
		t.Run(where, func(t *testing.T) {
			o := &origin{data: noise(1, 1000), etag: `"a"`, faults: []fault{cutAt(400), status(503, "Retry-After: 5")}}
			if where == "asking" {
				o.faults[1] = func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) { <-r.Context().Done() }
			}
			for _, closes := range []bool{false, true} {
				o.asked = nil
				bubble(t, Config{}, o.ServeHTTP, func(t *testing.T, client *http.Client) {
					ctx, cancel := context.WithCancelCause(t.Context())
					defer cancel(nil)
					req, err := http.NewRequestWithContext(ctx, "GET", "http://up.test/", nil)
					if err != nil {
						t.Fatal(err)
					}
					resp, err := client.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					defer resp.Body.Close()
					time.AfterFunc(time.Second, func() {
						if closes {
							resp.Body.Close()
						} else {
							cancel(cause)
						}
					})
					start := time.Now()
					_, err = io.ReadAll(resp.Body)
					want := cause
					if closes {
						want = http.ErrBodyReadAfterClose
					}
					if !errors.Is(err, want) || time.Since(start) != time.Second {
						t.Errorf("closes=%v: got error %v after %v", closes, err, time.Since(start))
					}
					if _, ok := Explain(err); ok {
						t.Errorf("leaving is no failure: %v", err)
					}
				})
			}
		})
	}
}

// A thousand bodies that break, of readers that stay, leave early, or are canceled, leave no
// goroutine and no connection behind: a bubble ends only if none is left.
func TestResumeLeaksNothing(t *testing.T) {
	o, other := &origin{data: noise(1, 300_000), etag: `"a"`}, noise(2, 300_000)
	random := rand.New(rand.NewPCG(1, 2))
	var mu sync.Mutex
	serve := func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		kind, n := random.IntN(6), random.IntN(len(o.data))
		mu.Unlock()
		faults := []fault{cutAt(n), cutAt(0), serveWhole, status(503), status(403), with(`"b"`, other, serveWhole)}
		faults[kind](w, r, o.serve)
	}
	bubble(t, Config{Retries: 2, RetryWait: time.Millisecond}, serve, func(t *testing.T, client *http.Client) {
		ends := map[string]int{}
		for i := range 1000 {
			ctx, cancel := context.WithCancel(t.Context())
			req, err := http.NewRequestWithContext(ctx, "GET", "http://up.test/"+strconv.Itoa(i), nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil || resp.StatusCode != 200 {
				ends["no body"]++
				if err == nil {
					resp.Body.Close()
				}
				cancel()
				continue
			}
			switch i % 3 {
			case 0:
				io.CopyN(io.Discard, resp.Body, 1000)
			case 1:
				time.AfterFunc(time.Millisecond, cancel)
				fallthrough
			default:
				body, err := io.ReadAll(resp.Body)
				e, _ := Explain(err)
				ends["error "+string(e.Failure)]++
				if err == nil && !bytes.Equal(body, o.data) && !bytes.Equal(body, other) {
					t.Errorf("body %d is wrong", i)
				}
			}
			resp.Body.Close()
			cancel()
		}
		if ends["error "] == 0 || ends["error changed"] == 0 || ends["error eof"] == 0 {
			t.Errorf("not enough of each: %v", ends)
		}
	})
}

func TestReadNothing(t *testing.T) {
	o := &origin{data: noise(1, 100), etag: `"a"`}
	resp, err := newClient(t, Config{}).Get(newServer(t, o.ServeHTTP).URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := resp.Body.Read(nil); n != 0 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}

// A body that stops while others flow is not given all the time that a link which is down gets.
func TestStallBesideOthers(t *testing.T) {
	o := &origin{data: noise(1, 300_000), etag: `"a"`}
	for _, flows := range []bool{true, false} {
		t.Run(fmt.Sprint("others flow: ", flows), func(t *testing.T) {
			var stalled atomic.Bool
			serve := func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/flow":
					for range 60 {
						if _, err := w.Write(o.data[:100_000]); err != nil {
							return
						}
						w.(http.Flusher).Flush()
						select {
						case <-time.After(500 * time.Millisecond):
						case <-r.Context().Done():
							return
						}
					}
				case stalled.CompareAndSwap(false, true):
					w.Header().Set("Etag", o.etag)
					w.Header().Set("Content-Length", strconv.Itoa(len(o.data)))
					_, _ = w.Write(o.data[:1000])
					w.(http.Flusher).Flush()
					<-r.Context().Done()
				default:
					o.serve(w, r)
				}
			}
			bubble(t, Config{StallTimeout: 12 * time.Second}, serve, func(t *testing.T, client *http.Client) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var wg sync.WaitGroup
				if flows {
					wg.Go(func() {
						req, err := http.NewRequestWithContext(ctx, "GET", "http://up.test/flow", nil)
						if err != nil {
							t.Error(err)
							return
						}
						if resp, err := client.Do(req); err == nil {
							_, _ = io.Copy(io.Discard, resp.Body)
							resp.Body.Close()
						}
					})
				}
				start := time.Now()
				resp, err := client.Get("http://up.test/file")
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				took := time.Since(start)
				cancel()
				wg.Wait()
				if err != nil || !bytes.Equal(body, o.data) {
					t.Fatalf("%d bytes, %v", len(body), err)
				}
				if early := took < 6*time.Second; early != flows || took < 4*time.Second {
					t.Errorf("it went on after %v", took)
				}
			})
		})
	}
}
