package transport

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const short = 100 * time.Millisecond

// readRequest swallows a request's header.
func readRequest(conn net.Conn) bool {
	_, err := http.ReadRequest(bufio.NewReader(conn))
	return err == nil
}

// hold keeps a connection open until the other side closes it.
func hold(conn net.Conn) { io.Copy(io.Discard, conn) }

// reset closes with a RST.
func reset(conn net.Conn) {
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

func refusedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestFailures(t *testing.T) {
	certified, roots := newTLSServer(t, http.NotFoundHandler())
	partial := func(conn net.Conn) {
		if readRequest(conn) {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
		}
	}
	for _, tt := range []struct {
		name    string
		scheme  string
		host    string // 127.0.0.1 unless set
		serve   func(net.Conn)
		roots   bool
		op      Op
		failure Failure
		text    string
	}{
		{name: "silent", scheme: "http", serve: hold, op: OpRead, failure: TimedOut, text: "read 127.0.0.1: timed out"},
		{name: "silent TLS", scheme: "https", serve: hold, op: OpTLS, failure: TimedOut, text: "tls 127.0.0.1: timed out"},
		{name: "plain HTTP on a TLS port", scheme: "https", op: OpTLS, failure: TLSProtocol, text: "tls 127.0.0.1: plain http on an https port",
			serve: func(conn net.Conn) {
				conn.Read(make([]byte, 1))
				io.WriteString(conn, "HTTP/1.0 400 Bad Request\r\n\r\n")
				hold(conn)
			}},
		{name: "TLS alert", scheme: "https", op: OpTLS, failure: TLSProtocol,
			serve: func(conn net.Conn) { tls.Server(conn, &tls.Config{}).Handshake(); hold(conn) }},
		{name: "closed in the TLS handshake", scheme: "https", op: OpTLS, failure: EOF,
			serve: func(conn net.Conn) { conn.Read(make([]byte, 1<<16)) }},
		{name: "reset in the TLS handshake", scheme: "https", op: OpTLS, failure: Reset,
			serve: func(conn net.Conn) { conn.Read(make([]byte, 1)); reset(conn) }},
		{name: "self-signed", scheme: "https", op: OpTLS, failure: UnknownAuthority,
			serve: func(conn net.Conn) { serveTLS(conn, certified).Handshake() }},
		{name: "wrong host", scheme: "https", host: "wrong.test", roots: true, op: OpTLS, failure: BadHostname,
			text:  "tls wrong.test: x509: certificate is valid for example.com, *.example.com, not wrong.test",
			serve: func(conn net.Conn) { serveTLS(conn, certified).Handshake() }},
		{name: "closed before the answer", scheme: "http", op: OpRead, failure: EOF,
			serve: func(conn net.Conn) { readRequest(conn) }},
		{name: "reset before the answer", scheme: "http", op: OpRead, failure: Reset,
			serve: func(conn net.Conn) { readRequest(conn); reset(conn) }},
		{name: "not HTTP", scheme: "http", op: OpRead, failure: Other,
			serve: func(conn net.Conn) { readRequest(conn); io.WriteString(conn, "SSH-2.0-x\r\n\r\n"); hold(conn) }},
		{name: "stalled body", scheme: "http", op: OpRead, failure: Stalled, text: "read 127.0.0.1: stalled",
			serve: func(conn net.Conn) { partial(conn); hold(conn) }},
		{name: "cut body", scheme: "http", op: OpRead, failure: EOF, text: "read 127.0.0.1: closed before the end",
			serve: partial},
		{name: "reset body", scheme: "http", op: OpRead, failure: Reset,
			serve: func(conn net.Conn) {
				partial(conn)
				conn.Read(make([]byte, 1)) // the client says that it has read the half
				reset(conn)
			}},
		{name: "cut chunked body", scheme: "http", op: OpRead, failure: EOF,
			serve: func(conn net.Conn) {
				readRequest(conn)
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
			}},
		{name: "status 511", scheme: "http", op: OpRead, failure: CaptivePortal,
			serve: func(conn net.Conn) {
				readRequest(conn)
				io.WriteString(conn, "HTTP/1.1 511 Network Authentication Required\r\nContent-Length: 0\r\n\r\n")
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var seen []Attempt
			cfg := Config{Retries: -1, Observe: func(a Attempt) { seen = append(seen, a) }}
			switch tt.name { // all others must end by themselves
			case "silent":
				cfg.FirstByteTimeout = short
			case "silent TLS":
				cfg.TLSTimeout = short
			case "stalled body":
				cfg.StallTimeout = short
			}
			if tt.roots {
				cfg.RootFiles = []string{roots}
			}
			addr := listen(t, tt.serve)
			if tt.host != "" {
				addr = strings.Replace(addr, "127.0.0.1", tt.host, 1)
			}
			err := fetchSlowly(newClient(t, cfg), tt.scheme+"://"+addr+"/x?query=1", tt.name == "reset body")
			e := wantError(t, err, tt.op, tt.failure)
			if tt.text != "" && e.Error() != tt.text {
				t.Errorf("got text %q, want %q", e.Error(), tt.text)
			}
			if got, want := e.Timeout(), tt.failure == TimedOut || tt.failure == Stalled; got != want {
				t.Errorf("Timeout is %v", got)
			}
			if len(seen) != 1 || seen[0].Op != tt.op || seen[0].Failure != tt.failure {
				t.Errorf("observed %+v", seen)
			}
		})
	}
}

// fetchSlowly reads a body; with knock it tells a server of these tests that it has
// read the first part, so that a reset cannot overtake that.
func fetchSlowly(client *http.Client, url string, knock bool) error {
	var conn net.Conn
	if knock {
		rt := client.Transport.(*roundTripper)
		dial := rt.checked.DialContext
		rt.checked.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			var err error
			conn, err = dial(ctx, network, addr)
			return conn, err
		}
	}
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if knock {
		if _, err := io.ReadFull(resp.Body, make([]byte, 4)); err != nil {
			return fmt.Errorf("first part: %w", err)
		}
		conn.Write([]byte{'k'})
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func TestRefused(t *testing.T) {
	addr := strings.Replace(refusedPort(t), "127.0.0.1", "proxy.example.test", 1)
	_, _, err := get(t, newClient(t, once()), "http://user:hunter2@"+addr+"/m?query=1")
	wantError(t, err, OpWrite, InsecureCredentials)
	_, _, err = get(t, newClient(t, once()), "https://user:hunter2@"+addr+"/m?query=1")
	e := wantError(t, err, OpConnect, Refused)
	if got, want := e.Error(), "connect proxy.example.test: connection refused"; got != want {
		t.Errorf("got text %q, want %q", got, want)
	}
	if Clean(err).Error() != e.Error() || Clean(io.EOF) != io.EOF || Clean(nil) != nil {
		t.Error("Clean takes too little or too much")
	}
	if _, ok := Explain(io.EOF); ok {
		t.Error("Explain finds an Error where there is none")
	}
}

func TestRootFiles(t *testing.T) {
	server, roots := newTLSServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
	client := newClient(t, Config{RootFiles: []string{roots}, Retries: -1})
	if _, body := mustGet(t, client, rename(t, server, "example.com")); body != "ok" {
		t.Errorf("got %q", body)
	}
}

// expired returns a TLS configuration with a certificate that is out of date,
// and the PEM file that trusts it.
func expired(t *testing.T) (conf *tls.Config, roots string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour),
		DNSNames: []string{"old.test"}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	roots = filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, roots
}

func TestExpired(t *testing.T) {
	conf, roots := expired(t)
	addr := listen(t, func(conn net.Conn) { tls.Server(conn, conf).Handshake() })
	tries := 0
	client := newClient(t, Config{RootFiles: []string{roots}, Observe: func(Attempt) { tries++ }})
	_, _, err := get(t, client, "https://"+strings.Replace(addr, "127.0.0.1", "old.test", 1))
	if e := wantError(t, err, OpTLS, CertExpired); !strings.Contains(e.Error(), "expired") {
		t.Errorf("got %q", e.Error())
	}
	if tries != 1 {
		t.Errorf("made %d attempts", tries)
	}
}

// A DNS server on loopback that answers every question with code, or not at all.
func dnsServer(t *testing.T, code int) func(ctx context.Context, host string) ([]netip.Addr, error) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { pc.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			if code < 0 || n < 12 {
				continue
			}
			answer := append([]byte(nil), buf[:n]...)
			binary.BigEndian.PutUint16(answer[2:], 0x8180|uint16(code))
			end := 12
			for end < n && answer[end] != 0 {
				end += int(answer[end]) + 1
			}
			binary.BigEndian.PutUint16(answer[10:], 0) // no additional records
			pc.WriteTo(answer[:end+5], from)
		}
	}()
	resolver := &net.Resolver{PreferGo: true, StrictErrors: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
	return func(ctx context.Context, host string) ([]netip.Addr, error) {
		return resolver.LookupNetIP(ctx, "ip", host+".")
	}
}

func TestResolve(t *testing.T) {
	for _, tt := range []struct {
		name    string
		code    int
		failure Failure
		text    string
		tries   int
	}{
		{"NXDOMAIN", 3, NXDomain, "resolve gone.test: no such host", 1},
		{"no data", 0, NXDomain, "resolve gone.test: no such host", 1},
		{"SERVFAIL", 2, DNSTemporary, "resolve gone.test: the name server has no answer", 5},
		{"silent", -1, TimedOut, "resolve gone.test: timed out", 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tries := 0
			cfg := Config{Lookup: dnsServer(t, tt.code), Observe: func(Attempt) { tries++ }}
			if tt.code < 0 {
				cfg.ConnectTimeout = short
			}
			_, _, err := get(t, newClient(t, cfg), "http://gone.test/?query=1")
			if e := wantError(t, err, OpResolve, tt.failure); e.Error() != tt.text {
				t.Errorf("got %q, want %q", e.Error(), tt.text)
			}
			if tries != tt.tries {
				t.Errorf("made %d attempts, want %d", tries, tt.tries)
			}
		})
	}
}

func TestNoAddresses(t *testing.T) {
	cfg := Config{Lookup: func(context.Context, string) ([]netip.Addr, error) { return nil, nil }}
	_, _, err := get(t, newClient(t, cfg), "http://empty.test/")
	wantError(t, err, OpResolve, NXDomain)
}

// blackhole makes a dialer's connections to ip swallow everything.
func blackhole(d *dialer, ip string) {
	d.net.ControlContext = func(ctx context.Context, _, addr string, _ syscall.RawConn) error {
		if host, _, _ := net.SplitHostPort(addr); host == ip {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
}

func TestManyAddresses(t *testing.T) {
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	hole, good := netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1")
	cfg := Config{ConnectTimeout: time.Hour}.must(t)
	cfg.Lookup = func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{hole, good}, nil }
	d := newDialer(&cfg, nil)
	d.delay = time.Millisecond
	blackhole(d, "127.0.0.2")
	conn, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(rename(t, server, "two.test"), "http://"))
	if err != nil {
		t.Fatal(err) // and if the silent address held it up, for an hour
	}
	conn.Close()

	d.net.Timeout = short
	_, err = d.DialContext(t.Context(), "tcp", "127.0.0.2:80")
	wantError(t, err, OpConnect, TimedOut)
}

func (cfg Config) must(t *testing.T) Config {
	t.Helper()
	cfg, err := cfg.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestTelling(t *testing.T) {
	unreachable := &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for _, tt := range [][3]error{{nil, refused, refused}, {unreachable, refused, refused}, {refused, unreachable, refused}} {
		if got := telling(tt[0], tt[1]); got != tt[2] {
			t.Errorf("telling(%v, %v) = %v", tt[0], tt[1], got)
		}
	}
}

func TestInterleave(t *testing.T) {
	var ips []netip.Addr
	for _, s := range []string{"2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1", "::ffff:192.0.2.2"} {
		ips = append(ips, netip.MustParseAddr(s))
	}
	want := "[2001:db8::1 192.0.2.1 2001:db8::2 192.0.2.2 2001:db8::3]"
	if got := fmt.Sprint(interleave(ips)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCanceled(t *testing.T) {
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.Write([]byte("half"))
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	})
	cause := errors.New("the user pressed a key")
	for _, path := range []string{"/header", "/body"} {
		t.Run(path, func(t *testing.T) {
			var seen []Attempt
			client := newClient(t, Config{Observe: func(a Attempt) { seen = append(seen, a) }})
			ctx, cancel := context.WithCancelCause(t.Context())
			req, err := http.NewRequestWithContext(ctx, "GET", server.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			timer := time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
			defer timer.Stop()
			resp, err := client.Do(req)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			if !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
				t.Errorf("got error %v", err)
			}
			if e, ok := Explain(err); ok {
				t.Errorf("got %v; the asker's leaving is no failure", &e)
			}
			if len(seen) != 1 || seen[0].Failure != Canceled {
				t.Errorf("observed %+v", seen)
			}
		})
	}
}

func TestDeadlineOfTheAsker(t *testing.T) {
	addr := listen(t, hold)
	tries := 0
	client := newClient(t, Config{Observe: func(Attempt) { tries++ }})
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Do(req)
	wantError(t, err, OpRead, TimedOut)
	if !errors.Is(err, context.DeadlineExceeded) || tries != 1 {
		t.Errorf("got %v after %d attempts", err, tries)
	}
}

func TestHTTP2Reset(t *testing.T) {
	server, roots := newTLSServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.Write([]byte("half"))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	_, _, err := get(t, newClient(t, Config{RootFiles: []string{roots}, Retries: -1}), server.URL)
	wantError(t, err, OpRead, H2Protocol)
}

// A stall of one stream must not take the others' connection away, a dead connection must go.
func TestHTTP2Stall(t *testing.T) {
	release := make(chan struct{})
	server, roots := newTLSServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/stall":
			w.Write([]byte("half"))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case "/wait":
			w.WriteHeader(200)
			for {
				w.Write([]byte("."))
				w.(http.Flusher).Flush()
				select {
				case <-release:
					return
				case <-time.After(time.Millisecond):
				}
			}
		}
	}))
	client := newClient(t, Config{RootFiles: []string{roots}, Retries: -1, StallTimeout: 5 * short})
	live, err := client.Get(server.URL + "/wait")
	if err != nil {
		t.Fatal(err)
	}
	defer live.Body.Close()
	_, _, err = get(t, client, server.URL+"/stall")
	wantError(t, err, OpRead, Stalled)
	close(release)
	if _, err := io.ReadAll(live.Body); err != nil {
		t.Errorf("the other stream: %v", err)
	}
}

// A connection that silently died, as behind a NAT that forgot it, must not cost FirstByteTimeout.
func TestDeadHTTP2Connection(t *testing.T) {
	server, roots := newTLSServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
	frozen := make(chan struct{})
	first := make(chan struct{}, 1)
	first <- struct{}{}
	addr := listen(t, func(conn net.Conn) {
		up, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			return
		}
		defer up.Close()
		select {
		case <-first:
		default: // only the first connection is bad
			go func() { io.Copy(up, conn); up.Close() }()
			io.Copy(conn, up)
			return
		}
		go func() {
			buf := make([]byte, 1<<16)
			for {
				n, err := conn.Read(buf)
				if err != nil {
					up.Close()
					return
				}
				select {
				case <-frozen:
				default:
					up.Write(buf[:n])
				}
			}
		}()
		io.Copy(conn, up)
	})
	var seen []Attempt
	client := newClient(t, Config{RootFiles: []string{roots}, StallTimeout: short, Observe: func(a Attempt) { seen = append(seen, a) }})
	mustGet(t, client, "https://"+addr)
	close(frozen)
	if _, body := mustGet(t, client, "https://"+addr); body != "ok" {
		t.Errorf("got %q", body)
	}
	if len(seen) != 3 || seen[1].Failure != Stalled || seen[2].Status != 200 {
		t.Errorf("observed %+v", seen)
	}
}

func TestErrorHint(t *testing.T) {
	for _, f := range Failures() {
		code, text := (&Error{Op: OpRead, Failure: f}).Hint()
		if code != f.HintCode() || text != f.Hint() || code == "" || text == "" {
			t.Errorf("%s: Hint is %q, %q", f, code, text)
		}
	}
}
