package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A pipeListener lets a real server and a real client meet inside a synctest bubble, where
// the network may not take part.
type pipeListener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// bubble runs test with a client of cfg whose server is h, in fake time.
func bubble(t *testing.T, cfg Config, h http.HandlerFunc, test func(t *testing.T, client *http.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
		server := &http.Server{Handler: h}
		served := make(chan error, 1)
		go func() { served <- server.Serve(l) }()
		if cfg.RetryWait == 0 {
			cfg.RetryWait = 500 * time.Millisecond
		}
		client := newClient(t, cfg)
		client.Transport.(*roundTripper).checked.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			near, far := net.Pipe()
			select {
			case l.conns <- far:
				return newTracked(near, near), nil
			case <-l.done:
				return nil, net.ErrClosed
			}
		}
		test(t, client)
		client.CloseIdleConnections()
		server.Close()
		<-served
	})
}

// answers serves one status after the other, then 200; each with its Retry-After.
func answers(times *[]time.Duration, list ...string) http.HandlerFunc {
	var start time.Time
	return func(w http.ResponseWriter, r *http.Request) {
		if start.IsZero() {
			start = time.Now()
		}
		*times = append(*times, time.Since(start))
		n := len(*times) - 1
		if n >= len(list) {
			io.WriteString(w, "ok")
			return
		}
		status, after, ok := strings.Cut(list[n], " ")
		if ok {
			w.Header().Set("Retry-After", after)
		}
		code, err := strconv.Atoi(status)
		if err != nil {
			panic(err)
		}
		w.WriteHeader(code)
		io.WriteString(w, "no")
	}
}

func TestRetryStatus(t *testing.T) {
	const date = "503 Sat, 01 Jan 2000 00:00:07 GMT" // a bubble begins at midnight of that day
	for _, tt := range []struct {
		name    string
		method  string
		cfg     Config
		answers []string
		status  int
		waits   []time.Duration // at least; 0 for the backoff
		atMost  time.Duration   // all waits together
	}{
		{"503 twice", "GET", Config{}, []string{"503", "503"}, 200, []time.Duration{0, 0}, 1500 * time.Millisecond},
		{"502 504", "GET", Config{}, []string{"502", "504"}, 200, []time.Duration{0, 0}, 1500 * time.Millisecond},
		{"five times is too often", "GET", Config{}, []string{"503", "503", "503", "503", "503"}, 503, []time.Duration{0, 0, 0, 0}, 7500 * time.Millisecond},
		{"HEAD", "HEAD", Config{}, []string{"429"}, 200, []time.Duration{0}, 500 * time.Millisecond},
		{"POST", "POST", Config{}, []string{"503"}, 503, nil, 0},
		{"no retries", "GET", Config{Retries: -1}, []string{"503"}, 503, nil, 0},
		{"404 is an answer", "GET", Config{}, []string{"404"}, 404, nil, 0},
		{"500 is an answer", "GET", Config{}, []string{"500"}, 500, nil, 0},
		{"Retry-After in seconds", "GET", Config{}, []string{"429 7"}, 200, []time.Duration{7 * time.Second}, 7 * time.Second},
		{"Retry-After as a date", "GET", Config{}, []string{date}, 200, []time.Duration{7 * time.Second}, 7 * time.Second},
		{"Retry-After beyond the budget", "GET", Config{}, []string{"503 31"}, 503, nil, 0},
		{"Retry-After that fits only twice", "GET", Config{}, []string{"503 15", "503 15", "503 15"}, 503, []time.Duration{15 * time.Second, 15 * time.Second}, 30 * time.Second},
		{"a huge Retry-After", "GET", Config{}, []string{"503 99999999999999"}, 503, nil, 0},
		{"a senseless Retry-After", "GET", Config{}, []string{"503 soon"}, 200, []time.Duration{0}, 500 * time.Millisecond},
		{"small budget", "GET", Config{RetryBudget: time.Millisecond}, []string{"503"}, 503, nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var times []time.Duration
			bubble(t, tt.cfg, answers(&times, tt.answers...), func(t *testing.T, client *http.Client) {
				req, err := http.NewRequestWithContext(t.Context(), tt.method, "http://up.test/", nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != tt.status || tt.method != "HEAD" && len(body) != 2 {
					t.Errorf("got %d %q, error %v", resp.StatusCode, body, err)
				}
				if len(times) != len(tt.waits)+1 {
					t.Fatalf("requests at %v, want %d", times, len(tt.waits)+1)
				}
				for i, want := range tt.waits {
					if got := times[i+1] - times[i]; got < max(want, 250*time.Millisecond) {
						t.Errorf("wait %d was %v, want at least %v", i, got, want)
					}
				}
				if total := times[len(times)-1]; total > tt.atMost {
					t.Errorf("waited %v, want at most %v", total, tt.atMost)
				}
			})
		})
	}
}

func TestRetryFailure(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fail  int // connections that fail
		serve func(net.Conn)
		cfg   Config
		tries []Failure
	}{
		{"reset", 2, func(conn net.Conn) { readRequest(conn); reset(conn) }, Config{}, []Failure{Reset, Reset, ""}},
		{"eof", 1, func(conn net.Conn) { readRequest(conn) }, Config{}, []Failure{EOF, ""}},
		{"always", 9, func(conn net.Conn) { readRequest(conn) }, Config{}, []Failure{EOF, EOF, EOF, EOF, EOF}},
		{"silence counts double", 9, hold, Config{FirstByteTimeout: short, Retries: 5}, []Failure{TimedOut, TimedOut}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var tries []Failure
			tt.cfg.Observe = func(a Attempt) {
				tries = append(tries, a.Failure)
				if a.N != len(tries) || a.Retry() != (a.N > 1) {
					t.Errorf("attempt %d has number %d", len(tries), a.N)
				}
			}
			left := make(chan bool, tt.fail)
			for range tt.fail {
				left <- true
			}
			addr := listen(t, func(conn net.Conn) {
				select {
				case <-left:
					tt.serve(conn)
				default:
					readRequest(conn)
					io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
				}
			})
			_, body, err := get(t, newClient(t, tt.cfg), "http://"+addr)
			last := tt.tries[len(tt.tries)-1]
			if e, _ := Explain(err); e.Failure != last || last == "" && body != "ok" {
				t.Errorf("got %q, error %v", body, err)
			}
			if diff := cmp.Diff(tt.tries, tries); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNotRepeated(t *testing.T) {
	for _, f := range Failures() {
		want := map[Failure]bool{
			DNSTemporary: true, Refused: true, Reset: true, Unreachable: true, TimedOut: true, Stalled: true, EOF: true, H2Protocol: true,
		}[f]
		if got := again(nil, &Error{Failure: f}); got != want {
			t.Errorf("%s: tried again is %v", f, got)
		}
	}
	if again(nil, context.Canceled) {
		t.Error("a request whose asker left is tried again")
	}
}

func TestCanceledWhileWaiting(t *testing.T) {
	var times []time.Duration
	bubble(t, Config{}, answers(&times, "503 10"), func(t *testing.T, client *http.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		req, err := http.NewRequestWithContext(ctx, "GET", "http://up.test/", nil)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = client.Do(req)
		if !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
			t.Errorf("got error %v after %v", err, time.Since(start))
		}
	})
}

// Where the wait would outlast the asker, the answer that is there is worth more than none.
func TestDeadlineBeforeRetry(t *testing.T) {
	var times []time.Duration
	bubble(t, Config{}, answers(&times, "503 10"), func(t *testing.T, client *http.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", "http://up.test/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "10" {
			t.Errorf("got %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
		}
	})
}

func TestSlowReader(t *testing.T) {
	serve := func(w http.ResponseWriter, r *http.Request) {
		for range 3 {
			io.WriteString(w, strings.Repeat("x", readBuffer+1))
			w.(http.Flusher).Flush()
		}
	}
	bubble(t, Config{}, serve, func(t *testing.T, client *http.Client) {
		resp, err := client.Get("http://up.test/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		n := 0
		buf := make([]byte, 1000)
		for {
			m, err := resp.Body.Read(buf)
			n += m
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Minute)
		}
		if n != 3*(readBuffer+1) {
			t.Errorf("got %d bytes", n)
		}
	})
}

// A body may take for ever as long as it moves.
func TestDrippingBody(t *testing.T) {
	serve := func(w http.ResponseWriter, r *http.Request) {
		for range 100 {
			w.Write([]byte("x"))
			w.(http.Flusher).Flush()
			<-time.After(9 * time.Second)
		}
	}
	bubble(t, Config{}, serve, func(t *testing.T, client *http.Client) {
		if _, body := mustGet(t, client, "http://up.test/"); len(body) != 100 {
			t.Errorf("got %d bytes", len(body))
		}
	})
}

func TestStallTime(t *testing.T) {
	serve := func(w http.ResponseWriter, r *http.Request) {
		<-time.After(59 * time.Second) // an upstream that fetches on demand
		w.Write([]byte("half"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	var seen Attempt
	bubble(t, Config{Observe: func(a Attempt) { seen = a }}, serve, func(t *testing.T, client *http.Client) {
		_, body, err := get(t, client, "http://up.test/")
		wantError(t, err, OpRead, Stalled)
		want := Attempt{Host: "up.test", Method: "GET", N: 1, Proto: "HTTP/1.1", Status: 200, Op: OpRead, Failure: Stalled,
			Bytes: 4, FirstByte: 59 * time.Second, Duration: 69 * time.Second}
		if diff := cmp.Diff(want, seen); diff != "" || body != "half" {
			t.Errorf("got %q, %s", body, diff)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		value string
		want  time.Duration
	}{
		{"", 0}, {"0", 0}, {"120", 2 * time.Minute}, {" 3 ", 3 * time.Second}, {"-1", 0}, {"1.5", 0},
		{"Fri, 02 Jan 2026 03:05:05 GMT", time.Minute},
		{"Fri, 02 Jan 2026 03:03:05 GMT", 0},
		{"99999999999999999999", 0},
		{"9223372036854775807", (1 << 32) * time.Second},
	} {
		if got := retryAfter(http.Header{"Retry-After": {tt.value}}, now); got != tt.want {
			t.Errorf("%q: got %v, want %v", tt.value, got, tt.want)
		}
	}
}
