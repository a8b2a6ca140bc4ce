package transport

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// loopback is a resolver that knows the one address tests may use.
func loopback(context.Context, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

func noProxy(*http.Request) (*url.URL, error) { return nil, nil }

// newClient returns a client that stays on loopback, with timeouts short enough
// to wait for.
func newClient(t *testing.T, cfg Config) *http.Client {
	t.Helper()
	if cfg.Lookup == nil {
		cfg.Lookup = loopback
	}
	if cfg.Proxy == nil {
		cfg.Proxy = noProxy
	}
	if cfg.RetryWait == 0 {
		cfg.RetryWait = time.Millisecond
	}
	client, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// once is a Config for tests that look at a single attempt.
func once() Config { return Config{Retries: -1} }

// get reads the whole of url.
func get(t *testing.T, client *http.Client, url string) (int, string, error) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), err
}

func mustGet(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	status, data, err := get(t, client, url)
	if err != nil {
		t.Fatal(err)
	}
	return status, data
}

// wantError checks op and failure of err, and the rules for its text.
func wantError(t *testing.T, err error, op Op, f Failure) Error {
	t.Helper()
	e, ok := Explain(err)
	if !ok {
		t.Fatalf("got error %v, want %s %s", err, op, f)
	}
	if e.Op != op || e.Failure != f {
		t.Fatalf("got %s %s (%v: %v), want %s %s", e.Op, e.Failure, &e, e.Err, op, f)
	}
	for _, secret := range []string{"hunter2", "query=", "://"} {
		if strings.Contains(Clean(err).Error(), secret) {
			t.Errorf("the text holds %q: %v", secret, err)
		}
	}
	return e
}

// newTLSServer starts a server and returns the PEM file of its certificate,
// which is one for example.com and the loopback addresses.
func newTLSServer(t *testing.T, h http.Handler) (server *httptest.Server, roots string) {
	t.Helper()
	server = httptest.NewUnstartedServer(h)
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshakes that are meant to fail
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, writePEM(t, server)
}

func writePEM(t *testing.T, server *httptest.Server) string {
	t.Helper()
	roots := filepath.Join(t.TempDir(), "roots.pem")
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(roots, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return roots
}

func newServer(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server
}

// listen serves each connection with handle until the test ends.
func listen(t *testing.T, handle func(net.Conn)) (addr string) {
	t.Helper()
	return listenAt(t, "127.0.0.1:0", handle)
}

func listenAt(t *testing.T, at string, handle func(net.Conn)) (addr string) {
	t.Helper()
	return meetAt(t, at, func(net.Conn) bool { return true }, handle)
}

// meetAt is listenAt with a function that sees connections one after the other, and says which ones are handled.
func meetAt(t *testing.T, at string, meet func(net.Conn) bool, handle func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			if !meet(conn) {
				continue
			}
			wg.Go(func() {
				defer conn.Close()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, conn := range open {
			conn.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

// rename replaces the host of a server's URL, for certificates and host rules.
func rename(t *testing.T, server *httptest.Server, host string) string {
	t.Helper()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Scheme + "://" + net.JoinHostPort(host, u.Port())
}

func TestNewRefuses(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing.pem")
	for _, tt := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"root file without certificate", Config{RootFiles: []string{empty}}, empty},
		{"root file missing", Config{RootFiles: []string{missing}}, missing},
		{"negative duration", Config{StallTimeout: -1}, "StallTimeout"},
		{"DoH without TLS", Config{DoH: []string{"http://dns.test/dns-query"}}, "http://dns.test/dns-query"},
		{"DoH with a password", Config{DoH: []string{"https://me:hunter2@dns.test/"}}, "https://HOST/PATH"},
		{"DoH that is no URL", Config{DoH: []string{"https://me:hunter2@%zz/"}}, "not a URL"},
		{"empty GOAUTH command", Config{Credentials: Credentials{GOAUTH: "netrc;;off"}}, "GOAUTH"},
		{"off with others", Config{Credentials: Credentials{GOAUTH: "off;netrc"}}, "off"},
		{"relative git directory", Config{Credentials: Credentials{GOAUTH: "git work"}}, "absolute"},
		{"missing git directory", Config{Credentials: Credentials{GOAUTH: "git " + missing}}, "missing.pem"},
		{"git directory is a file", Config{Credentials: Credentials{GOAUTH: "git " + empty}}, "not a directory"},
		{"no Run", Config{Credentials: Credentials{GOAUTH: "helper --token hunter2"}}, "such as helper"},
		{"open quote", Config{Credentials: Credentials{GOAUTH: `"helper`}}, "unterminated"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(tt.cfg)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestHTTP2(t *testing.T) {
	server, roots := newTLSServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Proto, " ", r.UserAgent(), " ", r.Header.Get("Accept-Encoding"))
	}))
	var seen []Attempt
	client := newClient(t, Config{RootFiles: []string{roots}, Observe: func(a Attempt) { seen = append(seen, a) }})
	for range 2 {
		if status, body := mustGet(t, client, server.URL); status != 200 || body != "HTTP/2.0 goferry " {
			t.Errorf("got %d %q", status, body)
		}
	}
	want := Attempt{Host: strings.TrimPrefix(server.URL, "https://"), Method: "GET", N: 1, Proto: "HTTP/2.0", Status: 200, Bytes: 17}
	for _, a := range seen {
		if a.FirstByte <= 0 || a.Duration < a.FirstByte || a.Retry() {
			t.Errorf("got times %+v", a)
		}
		a.FirstByte, a.Duration = 0, 0
		if diff := cmp.Diff(want, a); diff != "" {
			t.Error(diff)
		}
	}
	if len(seen) != 2 {
		t.Errorf("observed %d attempts", len(seen))
	}
}

// Lengths must be those of the file that was asked for.
func TestBodiesAreNotUnpacked(t *testing.T) {
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		io.WriteString(w, "packed")
	})
	resp, err := newClient(t, once()).Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || string(data) != "packed" || resp.ContentLength != 6 || resp.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("got %q of length %d, error %v", data, resp.ContentLength, err)
	}
}

func TestConnectionsAreKept(t *testing.T) {
	addrs := map[string]bool{}
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		addrs[r.RemoteAddr] = true
		status := 200
		if len(r.URL.Path) > 1 {
			status = 503
		}
		w.WriteHeader(status)
		io.WriteString(w, strings.Repeat("x", 10000))
	})
	client := newClient(t, Config{})
	for _, path := range []string{"/", "/bad", "/"} { // the bad one makes three attempts
		get(t, client, server.URL+path)
	}
	if len(addrs) != 1 {
		t.Errorf("used %d connections, want 1", len(addrs))
	}
}

func TestInsecure(t *testing.T) {
	server, _ := newTLSServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
	cfg := once()
	cfg.Insecure = func(host, path string) bool { return host == "127.0.0.1" && strings.HasPrefix(path, "/open/") }
	client := newClient(t, cfg)
	if _, body := mustGet(t, client, server.URL+"/open/x"); body != "ok" {
		t.Errorf("got %q", body)
	}
	// The connection that was made without a check must not serve this one.
	_, _, err := get(t, client, server.URL+"/shut")
	wantError(t, err, OpTLS, UnknownAuthority)
}

func TestFailuresHaveTexts(t *testing.T) {
	var hints []string
	for _, f := range Failures() {
		phrase, hint := f.texts()
		if phrase == "" || hint == "" || strings.HasSuffix(hint, ".") || strings.Contains(hint, "\n") {
			t.Errorf("%s: phrase %q, hint %q", f, phrase, hint)
		}
		hints = append(hints, f.HintCode())
	}
	slices.Sort(hints)
	if got := len(slices.Compact(hints)); got != len(Failures()) {
		t.Errorf("%d hint codes for %d failures", got, len(Failures()))
	}
	if got := Refused.HintCode(); got != "transport.hint.refused" {
		t.Errorf("got hint code %q", got)
	}
	if Failure("no such").Hint() != "" || Canceled.Hint() != "" {
		t.Error("hints for what is no failure of an error")
	}
}

// serveTLS makes a server side of conn with server's certificate.
func serveTLS(conn net.Conn, server *httptest.Server) *tls.Conn {
	conf := server.TLS.Clone()
	conf.NextProtos = []string{"http/1.1"}
	return tls.Server(conn, conf)
}
