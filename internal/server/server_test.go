package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// start serves h on loopback until the test ends or stop is called, and checks
// that no goroutine of this package is left.
func start(t *testing.T, cfg Config, h http.Handler) (s *Server, stop func() error) {
	t.Helper()
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	s, err := Listen(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, h) }()
	var result error
	stopped := false
	stop = func() error {
		cancel()
		if !stopped {
			result, stopped = <-done, true
		}
		return result
	}
	t.Cleanup(func() {
		_ = stop() // the tests that care have looked
		noGoroutines(t)
	})
	return s, stop
}

// noGoroutines waits until no goroutine runs code of this package but tests.
func noGoroutines(t *testing.T) {
	t.Helper()
	buf := make([]byte, 1<<20)
	for deadline := time.Now().Add(20 * time.Second); ; runtime.Gosched() {
		n := runtime.Stack(buf, true)
		left := ""
		for g := range strings.SplitSeq(string(buf[:n]), "\n\n") {
			if strings.Contains(g, "internal/server.(*") && !strings.Contains(g, "testing.tRunner") {
				left = g
			}
		}
		if left == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("goroutine left behind:\n%s", left)
		}
	}
}

func client(t *testing.T) *http.Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func get(t *testing.T, c *http.Client, url string) (*http.Response, string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// writeCert writes a self-signed pair for 127.0.0.1 and returns it with a pool
// that trusts it.
func writeCert(t *testing.T, dir, name string) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for file, data := range map[string][]byte{
		certFile: certPEM,
		keyFile:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return certFile, keyFile, pool
}

func TestListenErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	cert, key, _ := writeCert(t, dir, "one")
	other := filepath.Join(dir, "other")
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	_, foreignKey, _ := writeCert(t, other, "two")
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("no socket"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		cfg   Config
		is    error  // nil: a *CertError
		taken bool   // ErrPortTaken
		text  string // in the message
	}{
		{"port taken", Config{Listen: taken.Addr().String()}, ErrListen, true, taken.Addr().String()},
		{"no port", Config{Listen: "127.0.0.1"}, ErrListen, false, "host:port"},
		{"empty", Config{}, ErrListen, false, "host:port"},
		{"not our address", Config{Listen: "192.0.2.1:0"}, ErrListen, false, "192.0.2.1:0"},
		{"empty socket path", Config{Listen: "unix:"}, ErrListen, false, "path"},
		{"a file in the way", Config{Listen: "unix:" + plain}, ErrListen, true, plain},
		{"no cert file", Config{Listen: "127.0.0.1:0", CertFile: filepath.Join(dir, "absent.pem"), KeyFile: key}, nil, false, "absent.pem"},
		{"key alone", Config{Listen: "127.0.0.1:0", KeyFile: key}, nil, false, "both"},
		{"foreign key", Config{Listen: "127.0.0.1:0", CertFile: cert, KeyFile: foreignKey}, nil, false, "other"},
		{"not PEM", Config{Listen: "127.0.0.1:0", CertFile: plain, KeyFile: key}, nil, false, "plain"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Listen(t.Context(), tt.cfg)
			if err == nil {
				s.Close()
				t.Fatal("no error")
			}
			var ce *CertError
			if tt.is != nil && !errors.Is(err, tt.is) || tt.is == nil && !errors.As(err, &ce) {
				t.Errorf("error %v (%T)", err, err)
			}
			if got := errors.Is(err, ErrPortTaken); got != tt.taken {
				t.Errorf("port taken: %v, want %v: %v", got, tt.taken, err)
			}
			if !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%q does not name %q", err, tt.text)
			}
		})
	}
}

func TestURL(t *testing.T) {
	cert, key, _ := writeCert(t, t.TempDir(), "x")
	for _, tt := range []struct {
		cfg    Config
		prefix string
	}{
		{Config{Listen: "127.0.0.1:0"}, "http://127.0.0.1:"},
		{Config{Listen: "localhost:0"}, "http://localhost:"},
		{Config{Listen: ":0"}, "http://127.0.0.1:"},
		{Config{Listen: "0.0.0.0:0"}, "http://127.0.0.1:"},
		{Config{Listen: "127.0.0.1:0", CertFile: cert, KeyFile: key}, "https://127.0.0.1:"},
	} {
		s, err := Listen(t.Context(), tt.cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		_, port, err := net.SplitHostPort(s.Addr())
		if err != nil || port == "0" {
			t.Errorf("Addr() = %q", s.Addr())
		}
		if s.URL() != tt.prefix+port {
			t.Errorf("URL() of %q is %q, want %s%s", tt.cfg.Listen, s.URL(), tt.prefix, port)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })
	s, stop := start(t, Config{Listen: "unix:" + path}, hello)
	if s.Addr() != "unix:"+path || s.URL() != s.Addr() {
		t.Errorf("Addr() = %q, URL() = %q", s.Addr(), s.URL())
	}
	c := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}
	if _, body := get(t, c, "http://x/"); body != "hello" {
		t.Errorf("body %q", body)
	}
	if _, err := Listen(t.Context(), Config{Listen: "unix:" + path}); !errors.Is(err, ErrPortTaken) {
		t.Errorf("second server on the socket: %v", err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	// A killed server leaves its socket behind.
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	start(t, Config{Listen: "unix:" + path}, hello)
	if _, body := get(t, c, "http://x/"); body != "hello" {
		t.Errorf("body %q", body)
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile, pool := writeCert(t, dir, "first")
	var log bytes.Buffer
	s, _ := start(t, Config{CertFile: certFile, KeyFile: keyFile, Logger: slog.New(slog.NewTextHandler(&log, nil))},
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
	ask := func(pool *x509.CertPool) (name, proto string) {
		t.Helper()
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
		defer tr.CloseIdleConnections()
		resp, body := get(t, &http.Client{Transport: tr}, s.URL())
		return resp.TLS.PeerCertificates[0].Subject.CommonName, body
	}
	if name, proto := ask(pool); name != "first" || proto != "HTTP/2.0" {
		t.Errorf("got %s over %s", name, proto)
	}
	// Half a renewal: the old pair serves on.
	if err := os.WriteFile(certFile, []byte("-----BEGIN"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if name, _ := ask(pool); name != "first" {
			t.Errorf("got %s", name)
		}
	}
	_, _, pool = writeCert(t, dir, "second")
	if name, _ := ask(pool); name != "second" {
		t.Errorf("got %s", name)
	}
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	if name, _ := ask(pool); name != "second" {
		t.Errorf("got %s", name)
	}
}

func TestGracefulStop(t *testing.T) {
	half := bytes.Repeat([]byte("x"), 512<<10)
	begun, release := make(chan bool), make(chan bool)
	s, err := Listen(t.Context(), Config{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- s.Serve(ctx, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Write(half)
			w.(http.Flusher).Flush()
			begun <- true
			<-release
			if r.Context().Err() != nil {
				t.Errorf("request cancelled by the stop: %v", context.Cause(r.Context()))
			}
			w.Write(half)
		}))
	}()
	resp, err := client(t).Get(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	<-begun
	cancel()
	for refused := false; !refused; runtime.Gosched() {
		conn, err := net.Dial("tcp", s.Addr())
		if err == nil {
			conn.Close()
		}
		refused = connectionRefused(err)
	}
	select {
	case err := <-done:
		t.Fatalf("Serve returned %v while an answer was running", err)
	default:
	}
	close(release)
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != 1<<20 {
		t.Errorf("answer ended after %d bytes: %v", n, err)
	}
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if err := s.Serve(t.Context(), nil); err == nil {
		t.Error("Serve can be called twice")
	}
	noGoroutines(t)
}

// A pipeListener hands out in-memory connections, which synctest understands.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{make(chan net.Conn), make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// bubble runs f inside a synctest bubble, where time passes only when everybody
// waits, and where a goroutine left behind fails the test.
func bubble(t *testing.T, cfg Config, f func(b *bubbled)) {
	synctest.Test(t, func(t *testing.T) {
		cfg := cfg.withDefaults()
		b := &bubbled{ln: newPipeListener(), done: make(chan error, 1)}
		b.s = &Server{cfg: cfg, ln: &progressListener{Listener: b.ln, stall: cfg.StallTimeout, bufs: newBufPool()}}
		b.ctx, b.cancel = context.WithCancel(t.Context())
		f(b)
		if err := b.stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

type bubbled struct {
	s       *Server
	ln      *pipeListener
	ctx     context.Context
	cancel  func()
	done    chan error
	stopped bool
}

// serve starts the server and returns a connection to it.
func (b *bubbled) serve(h http.HandlerFunc) net.Conn {
	go func() { b.done <- b.s.Serve(b.ctx, h) }()
	ours, theirs := net.Pipe()
	b.ln.conns <- theirs
	return ours
}

func (b *bubbled) stop() error {
	if b.stopped {
		return nil
	}
	b.stopped = true
	b.cancel()
	return <-b.done
}

func TestStopCutsOff(t *testing.T) {
	bubble(t, Config{ShutdownTimeout: 7 * time.Second}, func(b *bubbled) {
		ended := make(chan error, 1)
		conn := b.serve(func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			ended <- r.Context().Err()
		})
		defer conn.Close()
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		synctest.Wait()
		begin := time.Now()
		if err := b.stop(); !errors.Is(err, ErrCutOff) {
			t.Errorf("Serve: %v", err)
		}
		if took := time.Since(begin); took != 7*time.Second { // fake time: exact
			t.Errorf("stopped after %s", took)
		}
		synctest.Wait()
		if len(ended) != 1 {
			t.Error("the handler did not see the end")
		}
	})
}

func TestClientReadsNothing(t *testing.T) {
	bubble(t, Config{StallTimeout: time.Minute}, func(b *bubbled) {
		failed := make(chan error, 1)
		conn := b.serve(func(w http.ResponseWriter, r *http.Request) {
			var err error
			for err == nil {
				_, err = w.Write(make([]byte, 32<<10))
			}
			failed <- err
		})
		defer conn.Close()
		begin := time.Now()
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		err := <-failed
		if took := time.Since(begin); !errors.Is(err, os.ErrDeadlineExceeded) || took > time.Minute {
			t.Errorf("handler got %v after %s", err, took)
		}
	})
}

// A client on a very slow link gets everything, though the whole takes many
// times the stall time, and so does one whose answer is long in coming.
func TestSlowIsNotStalled(t *testing.T) {
	const size = 256 << 10
	bubble(t, Config{StallTimeout: time.Minute}, func(b *bubbled) {
		conn := b.serve(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "524288")
			w.Write(make([]byte, size)) // one Write, longer than a stall
			io.Copy(w, io.MultiReader(silentReader{time.Hour}, bytes.NewReader(make([]byte, size))))
		})
		defer conn.Close()
		begin := time.Now()
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		slow := readerFunc(func(p []byte) (int, error) {
			<-time.After(50 * time.Second)
			return conn.Read(p[:min(len(p), 4000)])
		})
		resp, err := http.ReadResponse(bufio.NewReader(slow), nil)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != 2*size {
			t.Errorf("got %d bytes: %v", n, err)
		}
		if took := time.Since(begin); took < 100*time.Minute { // fake time
			t.Errorf("the link was not slow: %s", took)
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A silentReader has nothing to say for a while, and then nothing at all.
type silentReader struct{ d time.Duration }

func (s silentReader) Read([]byte) (int, error) {
	<-time.After(s.d)
	return 0, io.EOF
}

func TestRequestBodyThatNeverComes(t *testing.T) {
	for _, reads := range []bool{false, true} {
		bubble(t, Config{StallTimeout: time.Minute}, func(b *bubbled) {
			got := make(chan error, 1)
			conn := b.serve(func(w http.ResponseWriter, r *http.Request) {
				var err error
				if reads {
					_, err = io.ReadAll(r.Body)
				}
				got <- err
			})
			defer conn.Close()
			begin := time.Now()
			io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
			if _, err := io.ReadAll(conn); err != nil {
				t.Error(err)
			}
			if err := <-got; reads && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("handler got %v", err)
			}
			if took := time.Since(begin); took > 2*time.Minute { // fake time
				t.Errorf("connection held for %s", took)
			}
		})
	}
}

// The deadline on a request body must not end an answer that comes after it.
func TestLongAnswerToRequestWithBody(t *testing.T) {
	bubble(t, Config{StallTimeout: time.Minute}, func(b *bubbled) {
		conn := b.serve(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			<-time.After(time.Hour)
			if r.Context().Err() != nil {
				t.Error(context.Cause(r.Context()))
			}
			w.Write(body)
		})
		defer conn.Close()
		io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); string(body) != "12345" || err != nil {
			t.Errorf("%q, %v", body, err)
		}
	})
}

// Over HTTP/2 a client stalls one stream by opening no window for it.
func TestStalledStream(t *testing.T) {
	certFile, keyFile, pool := writeCert(t, t.TempDir(), "x")
	failed := make(chan error, 1)
	s, _ := start(t, Config{CertFile: certFile, KeyFile: keyFile, StallTimeout: 50 * time.Millisecond},
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/small" {
				io.WriteString(w, "small")
				return
			}
			_, err := io.Copy(w, neverEnding{})
			failed <- err
		}))
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	c := &http.Client{Transport: tr}
	resp, err := c.Get(s.URL() + "/big")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := <-failed; err == nil {
		t.Error("no error")
	}
	if _, body := get(t, c, s.URL()+"/small"); body != "small" {
		t.Errorf("the connection does not serve other streams: %q", body)
	}
}

type neverEnding struct{}

func (neverEnding) Read(p []byte) (int, error) { return len(p), nil }
