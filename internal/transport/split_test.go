package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// An audit is what the attempts of a client came to.
type audit struct {
	mu   sync.Mutex
	seen []Attempt
}

func (a *audit) observe(at Attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen = append(a.seen, at)
}

func (a *audit) take() (seen []Attempt, parts int, read int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen, a.seen = a.seen, nil
	for _, at := range seen {
		read += at.Bytes
		if at.Part {
			parts++
		}
	}
	return seen, parts, read
}

func wantBody(t *testing.T, client *http.Client, url string, want []byte) {
	t.Helper()
	if _, body := mustGet(t, client, url); body != string(want) {
		t.Errorf("got %d bytes, not those of the file", len(body))
	}
}

// slack is what of a body may be on the way when its first connection is cut: on a link of
// pipes, what the two sides of a connection hold in their buffers.
const slack = 256 << 10

// Where each connection is slow, there are soon as many as may be, in both HTTPs, and no byte
// comes twice.
func TestSplit(t *testing.T) {
	data := noise(1, 24<<20)
	for name, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			o, all := &origin{data: data, etag: `"a"`}, new(audit)
			link := &slowLink{each: 1 << 20, all: 8 << 20, delay: 50 * time.Millisecond}
			onLink(t, Config{Observe: all.observe}, link, o, h2, func(t *testing.T, client *http.Client, url string) {
				start := time.Now()
				wantBody(t, client, url, data)
				first := time.Since(start)
				dialed, _, most, sent := link.counts()
				_, parts, read := all.take()
				t.Logf("%v, %d parts, %d connections, at most %d, sent %d of %d", first, parts, dialed, most, sent, len(data))
				if most != 8 || parts < 8 || first > 8*time.Second {
					t.Errorf("took %v with %d parts over %d connections", first, parts, most)
				}
				if sent > int64(len(data)+slack+dialed<<14+parts<<10) || read != int64(len(data)) {
					t.Errorf("sent %d and read %d for %d bytes", sent, read, len(data))
				}
				// The next one need not find out.
				start = time.Now()
				wantBody(t, client, url, data)
				if took := time.Since(start); took >= first {
					t.Errorf("took %v, the first time %v", took, first)
				}
			})
		})
	}
}

// Where the link is what is slow, one more connection is tried, once.
func TestSplitDoesNotPay(t *testing.T) {
	data := noise(1, 12<<20)
	for name, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			o, all := &origin{data: data, etag: `"a"`}, new(audit)
			link := &slowLink{all: 2 << 20}
			onLink(t, Config{Observe: all.observe}, link, o, h2, func(t *testing.T, client *http.Client, url string) {
				for i := range 3 {
					wantBody(t, client, url, data)
					seen, parts, read := all.take()
					if i == 0 && parts != 1 || i > 0 && (parts != 0 || len(seen) != 1) || read != int64(len(data)) {
						t.Errorf("body %d: %d parts, read %d, %+v", i, parts, read, seen)
					}
				}
				if _, _, most, sent := link.counts(); most > 2 || sent > int64(3*len(data)+slack+1<<15) {
					t.Errorf("sent %d over %d connections", sent, most)
				}
			})
		})
	}
}

// These come over one connection.
func TestNotSplit(t *testing.T) {
	data := noise(1, 6<<20)
	for _, tt := range []struct {
		name string
		cfg  Config
		etag string
		size int
		each float64
		h    func(o *origin) http.Handler
	}{
		{name: "a small one", etag: `"a"`, size: 4<<20 - 1},
		{name: "switched off", etag: `"a"`, cfg: Config{SplitSize: -1}},
		{name: "one part", etag: `"a"`, cfg: Config{SplitParts: 1}},
		{name: "no memory", etag: `"a"`, cfg: Config{SplitMemory: 1000}},
		{name: "few connections", etag: `"a"`, cfg: Config{MaxConnsPerHost: 2}},
		{name: "no retries", etag: `"a"`, cfg: Config{Retries: -1}},
		{name: "weak ETag", etag: `W/"a"`},
		{name: "no ETag"},
		{name: "fast enough", etag: `"a"`, each: 4 << 20},
		{name: "no ranges", etag: `"a"`, h: func(o *origin) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Etag", o.etag)
				w.Header().Set("Content-Length", "6291456")
				w.Write(data)
			})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, all := &origin{data: data, etag: tt.etag}, new(audit)
			if tt.size > 0 {
				o.data = data[:tt.size]
			}
			var h http.Handler = o
			if tt.h != nil {
				h = tt.h(o)
			}
			link := &slowLink{each: 1 << 20}
			if tt.each > 0 {
				link.each = tt.each
			}
			tt.cfg.Observe = all.observe
			onLink(t, tt.cfg, link, h, false, func(t *testing.T, client *http.Client, url string) {
				wantBody(t, client, url, o.data)
				if seen, parts, _ := all.take(); parts != 0 || len(seen) != 1 {
					t.Errorf("%+v", seen)
				}
			})
		})
	}
}

// A reader slower than the network is no reason for more connections; one that stops has
// all lanes stop, and goes on where it was.
func TestSplitSlowReader(t *testing.T) {
	data := noise(1, 24<<20)
	t.Run("from the start", func(t *testing.T) {
		o, all := &origin{data: data, etag: `"a"`}, new(audit)
		onLink(t, Config{Observe: all.observe}, &slowLink{each: 4 << 20}, o, false, func(t *testing.T, client *http.Client, url string) {
			resp, err := client.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			got := slowly(t, resp.Body, 64<<10, 60*time.Millisecond)
			if _, parts, _ := all.take(); parts != 0 || !bytes.Equal(got, data) {
				t.Errorf("%d parts, %d bytes", parts, len(got))
			}
		})
	})
	t.Run("later", func(t *testing.T) {
		o := &origin{data: data, etag: `"a"`}
		link := &slowLink{each: 1 << 20}
		onLink(t, Config{SplitMemory: 4 << 20}, link, o, true, func(t *testing.T, client *http.Client, url string) {
			resp, err := client.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			got := make([]byte, 8<<20)
			if _, err := io.ReadFull(resp.Body, got); err != nil {
				t.Fatal(err)
			}
			rt, s := client.Transport.(*roundTripper), resp.Body.(*stream)
			time.Sleep(time.Hour)
			s.mu.Lock()
			running, taken := s.split.running, len(s.split.chunks)
			s.mu.Unlock()
			if running != 0 || taken == 0 || rt.split.memory.most > 4<<20 {
				t.Errorf("%d lanes run, %d chunks, at most %d bytes", running, taken, rt.split.memory.most)
			}
			_, _, _, before := link.counts()
			time.Sleep(time.Hour)
			if _, _, _, after := link.counts(); after > before+64<<10 { // pings
				t.Errorf("%d bytes came for nobody", after-before)
			}
			rest, err := io.ReadAll(resp.Body)
			if got = append(got, rest...); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes, error %v", len(got), err)
			}
		})
	})
}

func slowly(t *testing.T, r io.Reader, n int, wait time.Duration) (got []byte) {
	t.Helper()
	buf := make([]byte, n)
	for {
		k, err := io.ReadFull(r, buf)
		got = append(got, buf[:k]...)
		if err != nil {
			if err != io.EOF && err != io.ErrUnexpectedEOF {
				t.Error(err)
			}
			return got
		}
		time.Sleep(wait)
	}
}

// Many bodies share the memory, and none starves.
func TestSplitMemory(t *testing.T) {
	const most = 3 << 20
	data := noise(1, 12<<20)
	o := &origin{data: data, etag: `"a"`}
	onLink(t, Config{SplitMemory: most}, &slowLink{each: 512 << 10, all: 8 << 20}, o, false, func(t *testing.T, client *http.Client, url string) {
		wantBody(t, client, url, data) // finds out that lanes pay
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() { wantBody(t, client, url, data) })
		}
		wg.Wait()
		if m := &client.Transport.(*roundTripper).split.memory; m.most > most || m.most < most/2 {
			t.Errorf("used at most %d bytes of %d", m.most, most)
		}
	})
}

// A staller sends some bytes of a body and then nothing.
type staller struct {
	http.ResponseWriter
	left  int
	until <-chan struct{}
}

func (s *staller) Write(p []byte) (int, error) {
	if len(p) > s.left {
		s.ResponseWriter.Write(p[:s.left])
		s.ResponseWriter.(http.Flusher).Flush()
		<-s.until
		panic(http.ErrAbortHandler)
	}
	s.left -= len(p)
	return s.ResponseWriter.Write(p)
}

// What goes wrong with a lane is mended by the others, or by going back to one connection.
func TestSplitFaults(t *testing.T) {
	data := noise(1, 12<<20)
	isPart := func(r *http.Request) bool {
		return strings.Contains(r.Header.Get("Range"), "-") && !strings.HasSuffix(r.Header.Get("Range"), "-")
	}
	for _, tt := range []struct {
		name    string
		fault   func(n int) fault // of the nth part; nil for none
		failure Failure
		within  time.Duration // 0 for however long; one connection takes 24 s, and a stall 10 s
		fewer   bool          // connections than without faults
		anyhow  bool          // how many connections there are is a matter of chance
	}{
		{name: "none", fault: func(int) fault { return nil }},
		{name: "some cut", within: 8 * time.Second, fault: func(n int) fault {
			if n%4 == 1 {
				return cutAt(100_000)
			}
			return nil
		}},
		{name: "one dead at once", within: 8 * time.Second, fault: func(n int) fault {
			if n == 3 {
				return cutAt(0)
			}
			return nil
		}},
		{name: "all dead at once", fewer: true, fault: func(n int) fault { return cutAt(0) }},
		{name: "one stalled", within: 10 * time.Second, fault: func(n int) fault {
			if n != 3 {
				return nil
			}
			return func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
				serve(&staller{ResponseWriter: w, left: 100_000, until: r.Context().Done()}, r)
			}
		}},
		{name: "busy", anyhow: true, fault: func(n int) fault {
			if n > 2 && n < 6 {
				return status(503, "Retry-After: 1")
			}
			return nil
		}},
		{name: "forbidden", fewer: true, fault: func(int) fault { return status(403) }},
		{name: "forbidden from the third on", anyhow: true, fault: func(n int) fault {
			if n > 2 && n < 7 {
				return status(403)
			}
			return nil
		}},
		{name: "whole", fewer: true, fault: func(int) fault { return serveWhole }},
		{name: "changed", failure: Changed, fault: func(n int) fault {
			if n == 4 {
				return with(`"b"`, data, func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) { serve(w, r) })
			}
			return nil
		}},
		{name: "changed for all", failure: Changed, fault: func(n int) fault { return with(`"b"`, data, serveWhole) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, all := &origin{data: data, etag: `"a"`}, new(audit)
			var mu sync.Mutex
			parts := 0
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !isPart(r) {
					o.serve(w, r)
					return
				}
				mu.Lock()
				parts++
				f := tt.fault(parts)
				mu.Unlock()
				if f == nil {
					o.serve(w, r)
					return
				}
				f(w, r, o.serve)
			})
			link := &slowLink{each: 512 << 10, all: 4 << 20}
			onLink(t, Config{Observe: all.observe}, link, h, false, func(t *testing.T, client *http.Client, url string) {
				start := time.Now()
				_, body, err := get(t, client, url)
				seen, _, _ := all.take()
				if tt.failure != "" {
					if e := wantError(t, err, OpRead, tt.failure); !e.Final() || !strings.HasPrefix(string(data), body) {
						t.Errorf("final %v, %d bytes", e.Final(), len(body))
					}
					return
				}
				if err != nil || body != string(data) {
					t.Fatalf("got %d bytes, right %v, error %v", len(body), body == string(data), err)
				}
				_, _, most, _ := link.counts()
				t.Logf("took %v", time.Since(start))
				if took := time.Since(start); tt.within > 0 && took > tt.within {
					t.Errorf("took %v", took)
				}
				if !tt.anyhow && tt.fewer != (most <= 4) {
					t.Errorf("%d connections, %d attempts", most, len(seen))
				}
				var read int64
				for _, a := range seen {
					read += a.Bytes
				}
				if tt.name != "whole" && read != int64(len(data)) {
					t.Errorf("read %d bytes for %d", read, len(data))
				}
			})
		})
	}
}

// Whoever leaves takes all lanes along, at once.
func TestSplitLeave(t *testing.T) {
	data := noise(1, 24<<20)
	cause := errors.New("the user pressed a key")
	for name, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		for _, closes := range []bool{false, true} {
			for _, at := range []int{3 << 20, 12 << 20} {
				t.Run(name, func(t *testing.T) {
					o, all := &origin{data: data, etag: `"a"`}, new(audit)
					onLink(t, Config{Observe: all.observe}, &slowLink{each: 1 << 20}, o, h2, func(t *testing.T, client *http.Client, url string) {
						ctx, cancel := context.WithCancelCause(t.Context())
						defer cancel(nil)
						req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
						if err != nil {
							t.Fatal(err)
						}
						resp, err := client.Do(req)
						if err != nil {
							t.Fatal(err)
						}
						if _, err := io.CopyN(io.Discard, resp.Body, int64(at)); err != nil {
							t.Fatal(err)
						}
						start := time.Now()
						if !closes {
							cancel(cause)
							if _, err = io.ReadAll(resp.Body); !errors.Is(err, cause) || !errors.Is(err, context.Canceled) {
								t.Errorf("got error %v", err)
							}
						}
						resp.Body.Close()
						if took := time.Since(start); took != 0 {
							t.Errorf("it took %v", took)
						}
						synctest.Wait()
						s := resp.Body.(*stream)
						if s.split.running != 0 || len(s.split.chunks) != 0 {
							t.Errorf("%d lanes run, %d chunks", s.split.running, len(s.split.chunks))
						}
						seen, _, _ := all.take()
						for _, a := range seen {
							if closes && a.Failure != "" || a.Failure != "" && a.Failure != Canceled {
								t.Errorf("observed %+v", a)
							}
						}
						if client.Transport.(*roundTripper).split.trying.Load() {
							t.Error("nobody else may try lanes")
						}
					})
				})
			}
		}
	}
}

// A server that is busy is left alone for as long as it says.
func TestSplitRetryAfter(t *testing.T) {
	data := noise(1, 24<<20)
	o, all := &origin{data: data, etag: `"a"`}, new(audit)
	var mu sync.Mutex
	var asked, later int
	var since time.Time
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked++
		n := asked
		if n == 14 {
			since = time.Now()
		} else if n > 14 {
			// What was on its way when the answer came is not to blame.
			after := time.Since(since)
			if after < 500*time.Millisecond {
				mu.Unlock()
				o.serve(w, r)
				return
			}
			later++
			if after < 9*time.Second {
				t.Errorf("asked for %s after %v", r.Header.Get("Range"), after)
			}
		}
		mu.Unlock()
		if n == 14 {
			status(503, "Retry-After: 9")(w, r, nil)
			return
		}
		o.serve(w, r)
	})
	onLink(t, Config{Observe: all.observe}, &slowLink{each: 1 << 20, all: 8 << 20}, h, false, func(t *testing.T, client *http.Client, url string) {
		wantBody(t, client, url, data)
		if _, _, read := all.take(); read != int64(len(data)) || later == 0 {
			t.Errorf("read %d bytes, asked %d times later", read, later)
		}
	})
}

// Whatever goes wrong, and whenever: what is read is the file, or the beginning of it and an error.
func TestSplitChaos(t *testing.T) {
	data := noise(1, 3<<20)
	ends := map[string]int{}
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 1))
		var mu sync.Mutex
		o := &origin{data: data, etag: `"a"`}
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			kind, n := random.IntN(40), random.IntN(300_000)
			mu.Unlock()
			switch {
			case kind < 8:
				cutAt(n)(w, r, o.serve)
			case kind < 10:
				o.serve(&staller{ResponseWriter: w, left: n, until: r.Context().Done()}, r)
			case kind < 12 && r.Header.Get("Range") != "":
				status(503, "Retry-After: 1")(w, r, nil)
			case kind == 12 && r.Header.Get("Range") != "":
				status(403)(w, r, nil)
			case kind == 13:
				serveWhole(w, r, o.serve)
			case kind == 14 && seed%4 == 0:
				with(`"b"`, data, serveWhole)(w, r, nil)
			default:
				o.serve(w, r)
			}
		})
		cfg := Config{SplitSize: 1 << 20, SplitMemory: 1 << 20, SplitParts: 5}
		onLink(t, cfg, &slowLink{each: 100_000, all: 400_000, delay: 10 * time.Millisecond}, h, seed%2 == 1, func(t *testing.T, client *http.Client, url string) {
			sp := &client.Transport.(*roundTripper).split
			sp.chunk, sp.chunkMost, sp.chunkLeast = 64<<10, 128<<10, 16<<10
			resp, err := client.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			e, _ := Explain(err)
			ends[string(e.Failure)]++
			if !bytes.HasPrefix(data, got) || err == nil && len(got) != len(data) || sp.memory.most > 1<<20 {
				t.Errorf("seed %d: %d bytes, error %v, %d bytes of memory", seed, len(got), err, sp.memory.most)
			}
		})
	}
	if ends[""] < 20 || ends[string(Changed)] == 0 {
		t.Errorf("ends: %v", ends)
	}
}

// What a body costs beside the bytes themselves, where nothing is wrong with the link.
func BenchmarkBody(b *testing.B) {
	data := noise(1, 32<<20)
	for name, etag := range map[string]string{"plain": "", "resumable": `"a"`} {
		b.Run(name, func(b *testing.B) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if etag == "" {
					w.(http.Flusher).Flush() // no length either
					w.Write(data)
					return
				}
				(&origin{data: data, etag: etag}).serve(w, r)
			}))
			defer server.Close()
			client, err := New(Config{Proxy: noProxy, Lookup: loopback})
			if err != nil {
				b.Fatal(err)
			}
			defer client.CloseIdleConnections()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				resp, err := client.Get(server.URL)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != int64(len(data)) {
					b.Fatalf("%d bytes, %v", n, err)
				}
				resp.Body.Close()
			}
		})
	}
}

func TestFindings(t *testing.T) {
	var sp splitter
	sp.rememberFor = time.Minute
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if _, ok := sp.found("a", now); ok {
		t.Error("found what nobody remembered")
	}
	sp.remember("a", finding{lanes: 4}, now)
	if f, ok := sp.found("a", now.Add(59*time.Second)); !ok || f.lanes != 4 {
		t.Errorf("found %+v, %v", f, ok)
	}
	if _, ok := sp.found("a", now.Add(time.Minute)); ok {
		t.Error("remembers for too long")
	}
	for i := range 2 * splitHosts {
		sp.remember(string(rune('a'+i)), finding{}, now)
	}
	if len(sp.hosts) > splitHosts {
		t.Errorf("remembers %d hosts", len(sp.hosts))
	}
}
