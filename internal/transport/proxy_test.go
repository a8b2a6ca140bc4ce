package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// A testProxy is an HTTP proxy that knows where every name leads.
type testProxy struct {
	t      *testing.T
	user   string // user:password that it demands; empty for none
	status int    // what it answers to everyone; 0 for its work
	mu     sync.Mutex
	seen   []string
}

func (p *testProxy) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, fmt.Sprintf(format, args...))
}

// toLoopback is where a test's name leads.
func toLoopback(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return net.JoinHostPort("127.0.0.1", port)
}

func (p *testProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.note("%s %s", r.Method, r.Host)
	user, password, _ := (&http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}).BasicAuth()
	switch {
	case p.user != "" && user+":"+password != p.user:
		w.Header().Set("Proxy-Authenticate", "Basic")
		w.WriteHeader(http.StatusProxyAuthRequired)
	case p.status != 0:
		w.WriteHeader(p.status)
	case r.Method == http.MethodConnect:
		up, err := net.Dial("tcp", toLoopback(r.Host))
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			p.t.Error(err)
			return
		}
		io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
		relay(conn, up)
	default:
		fmt.Fprintf(w, "proxied %s%s", r.URL.Host, r.URL.Path)
	}
}

func relay(a, b net.Conn) {
	defer a.Close()
	defer b.Close()
	go func() {
		io.Copy(a, b)
		a.Close()
	}()
	io.Copy(b, a)
}

// through makes a Proxy function for one proxy.
func through(t *testing.T, proxy string) func(*http.Request) (*url.URL, error) {
	t.Helper()
	u, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	return func(*http.Request) (*url.URL, error) { return u, nil }
}

func TestHTTPProxy(t *testing.T) {
	target, roots := newTLSServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Proto, " ", r.Host)
	}))
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			proxy := &testProxy{t: t, user: "user:hunter2"}
			server := httptest.NewUnstartedServer(proxy)
			cfg := Config{Retries: -1, RootFiles: []string{roots}}
			if scheme == "https" {
				server.EnableHTTP2 = true // must not be agreed on
				server.StartTLS()
			} else {
				server.Start()
			}
			t.Cleanup(server.Close)
			cfg.Proxy = through(t, strings.Replace(server.URL, "://", "://user:hunter2@", 1))
			client := newClient(t, cfg)
			_, port, _ := net.SplitHostPort(target.Listener.Addr().String())
			if _, body := mustGet(t, client, "https://example.com:"+port); body != "HTTP/2.0 example.com:"+port {
				t.Errorf("got %q", body)
			}
			if _, body := mustGet(t, client, "http://plain.test/x"); body != "proxied plain.test/x" {
				t.Errorf("got %q", body)
			}
			if got, want := fmt.Sprint(proxy.seen), "[CONNECT example.com:"+port+" GET plain.test]"; got != want {
				t.Errorf("the proxy saw %s, want %s", got, want)
			}
		})
	}
}

func TestProxyFailures(t *testing.T) {
	serve := func(p *testProxy) string {
		p.t = t
		return newServer(t, p.ServeHTTP).URL
	}
	demanding := strings.Replace(serve(&testProxy{user: "user:pass"}), "127.0.0.1", "user:hunter2@gate.test", 1)
	forbidding := serve(&testProxy{status: 403})
	failing := serve(&testProxy{status: 502})
	portal := serve(&testProxy{status: 511})
	selfSigned, _ := newTLSServer(t, http.NotFoundHandler())
	for _, tt := range []struct {
		name, proxy, url string
		failure          Failure
		text             string
		tries            int
	}{
		{"CONNECT 407", demanding, "https://x.test/?query=1", ProxyAuth, "proxy gate.test: the proxy wants other credentials: 407 Proxy Authentication Required", 1},
		{"plain 407", demanding, "http://x.test/?query=1", ProxyAuth, "proxy gate.test: the proxy wants other credentials: 407 Proxy Authentication Required", 1},
		{"CONNECT 403", forbidding, "https://x.test", ProxyRefused, "proxy 127.0.0.1: the proxy did not connect: 403 Forbidden", 1},
		{"CONNECT 502", failing, "https://x.test", ProxyRefused, "proxy 127.0.0.1: the proxy did not connect: 502 Bad Gateway", 5},
		{"CONNECT 511", portal, "https://x.test", CaptivePortal, "", 1},
		{"refused", "http://user:hunter2@" + refusedPort(t), "https://x.test", Refused, "proxy 127.0.0.1: connection refused", 5},
		{"refused, plain", "http://user:hunter2@" + refusedPort(t), "http://x.test", Refused, "proxy 127.0.0.1: connection refused", 5},
		{"silent", "http://" + listen(t, hold), "https://x.test", TimedOut, "proxy 127.0.0.1: timed out", 1}, // and then left alone
		{"silent SOCKS", "socks5://" + listen(t, hold), "http://x.test", TimedOut, "proxy 127.0.0.1: timed out", 5},
		{"silent TLS", "https://" + listen(t, hold), "http://x.test", TimedOut, "proxy 127.0.0.1: timed out", 5},
		{"closing", "http://" + listen(t, func(net.Conn) {}), "https://x.test", "", "", 5},
		{"self-signed", selfSigned.URL, "https://x.test", UnknownAuthority, "proxy 127.0.0.1: x509: certificate signed by unknown authority", 1},
		{"scheme", "gopher://user:hunter2@127.0.0.1:1", "https://x.test", Other, "proxy x.test: unexpected failure", 1},
		{"no host", "http://", "https://x.test", Other, "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tries := 0
			cfg := Config{Proxy: through(t, tt.proxy), Observe: func(Attempt) { tries++ }}
			if strings.HasPrefix(tt.name, "silent") {
				cfg.ConnectTimeout, cfg.TLSTimeout = short, short
			}
			_, _, err := get(t, newClient(t, cfg), tt.url)
			if tt.failure == "" { // closed before or after the question arrived
				if e, _ := Explain(err); e.Op != OpProxy || e.Failure != EOF && e.Failure != Reset {
					t.Errorf("got %v", err)
				}
			} else if e := wantError(t, err, OpProxy, tt.failure); tt.text != "" && e.Error() != tt.text {
				t.Errorf("got %q, want %q", e.Error(), tt.text)
			}
			if tt.failure != Other && tries != tt.tries {
				t.Errorf("made %d attempts, want %d", tries, tt.tries)
			}
		})
	}
}

func TestProxySettingIsBroken(t *testing.T) {
	cfg := Config{Proxy: func(*http.Request) (*url.URL, error) {
		return nil, errors.New("invalid proxy address http://user:hunter2@proxy") // as net/http says it
	}}
	_, _, err := get(t, newClient(t, cfg), "http://x.test/")
	wantError(t, err, OpProxy, Other)
}

// NO_PROXY is a Proxy function that returns no proxy for some.
func TestNoProxy(t *testing.T) {
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "direct") })
	proxy := newServer(t, (&testProxy{t: t}).ServeHTTP)
	proxied := through(t, proxy.URL)
	client := newClient(t, Config{Proxy: func(r *http.Request) (*url.URL, error) {
		if r.URL.Hostname() == "inside.test" {
			return nil, nil
		}
		return proxied(r)
	}})
	if _, body := mustGet(t, client, rename(t, server, "inside.test")); body != "direct" {
		t.Errorf("inside: got %q", body)
	}
	if _, body := mustGet(t, client, rename(t, server, "outside.test")); !strings.HasPrefix(body, "proxied outside.test") {
		t.Errorf("outside: got %q", body)
	}
}

// A socksServer is a SOCKS5 proxy (RFC 1928) for CONNECT.
type socksServer struct {
	login string // user:password it demands; empty for none
	reply byte   // what it answers to requests; 0 for its work
	asked chan string
}

func (s *socksServer) serve(conn net.Conn) {
	read := func(n int) []byte {
		buf := make([]byte, n)
		io.ReadFull(conn, buf)
		return buf
	}
	methods := string(read(int(read(2)[1])))
	if s.login != "" {
		if !strings.ContainsRune(methods, 2) {
			conn.Write([]byte{5, 0xff})
			return
		}
		conn.Write([]byte{5, 2})
		user := read(int(read(2)[1]))
		password := read(int(read(1)[0]))
		if string(user)+":"+string(password) != s.login {
			conn.Write([]byte{1, 1})
			return
		}
		conn.Write([]byte{1, 0})
	} else {
		conn.Write([]byte{5, 0})
	}
	host := ""
	switch read(4)[3] {
	case 1:
		host = net.IP(read(4)).String()
	case 3:
		host = string(read(int(read(1)[0])))
	case 4:
		host = net.IP(read(16)).String()
	}
	addr := net.JoinHostPort(host, fmt.Sprint(binary.BigEndian.Uint16(read(2))))
	s.asked <- addr
	if s.reply != 0 {
		conn.Write([]byte{5, s.reply, 0, 1, 0, 0, 0, 0, 0, 0})
		return
	}
	up, err := net.Dial("tcp", toLoopback(addr))
	if err != nil {
		conn.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
		return
	}
	conn.Write(append([]byte{5, 0, 0, 3, 4}, "name\x00\x00"...))
	relay(conn, up)
}

func TestSOCKS(t *testing.T) {
	plain := newServer(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "plain") })
	secure, roots := newTLSServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
	closed := refusedPort(t)
	for _, tt := range []struct {
		name    string
		server  socksServer
		user    string
		url     string
		body    string
		failure Failure
		text    string
	}{
		{name: "plain", url: rename(t, plain, "name.test"), body: "plain"},
		{name: "address", url: plain.URL, body: "plain"},
		{name: "IPv6 address", url: rename(t, plain, "::1"), body: "plain"},
		{name: "TLS", url: rename(t, secure, "example.com"), body: "HTTP/2.0"},
		{name: "login", server: socksServer{login: "user:hunter2"}, user: "user:hunter2@", url: plain.URL, body: "plain"},
		{name: "wrong password", server: socksServer{login: "user:pass"}, user: "user:hunter2@", url: plain.URL,
			failure: ProxyAuth, text: "proxy 127.0.0.1: the proxy wants other credentials: user or password refused"},
		{name: "no login", server: socksServer{login: "user:pass"}, url: plain.URL, failure: ProxyAuth},
		{name: "unneeded login", user: "user:hunter2@", url: plain.URL, body: "plain"},
		{name: "not allowed", server: socksServer{reply: 2}, url: plain.URL, failure: ProxyRefused,
			text: "proxy 127.0.0.1: the proxy did not connect: not allowed"},
		{name: "unknown reply", server: socksServer{reply: 200}, url: plain.URL, failure: ProxyRefused,
			text: "proxy 127.0.0.1: the proxy did not connect: reply 200"},
		{name: "refused behind it", url: "http://" + closed, failure: ProxyRefused,
			text: "proxy 127.0.0.1: the proxy did not connect: connection refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.server.asked = make(chan string, 10)
			cfg := Config{RootFiles: []string{roots}, Retries: -1}
			cfg.Proxy = through(t, "socks5://"+tt.user+listen(t, tt.server.serve))
			client := newClient(t, cfg)
			defer client.CloseIdleConnections()
			_, body, err := get(t, client, tt.url+"/?query=1")
			if tt.failure != "" {
				if e := wantError(t, err, OpProxy, tt.failure); tt.text != "" && e.Error() != tt.text {
					t.Errorf("got %q, want %q", e.Error(), tt.text)
				}
				return
			}
			if err != nil || body != tt.body {
				t.Fatalf("got %q, error %v", body, err)
			}
			u, _ := url.Parse(tt.url)
			if got := <-tt.server.asked; got != u.Host { // the name itself, not what this network makes of it
				t.Errorf("the proxy was asked for %s, want %s", got, u.Host)
			}
		})
	}
}

func TestNotSOCKS(t *testing.T) {
	for _, answer := range []string{"HTTP/1.1 400 Bad Request\r\n\r\n", "\x05\x00\x04\x00\x00\x01", "\x05\x00\x05\x00\x00\x09zzzz"} {
		proxy := listen(t, func(conn net.Conn) { io.WriteString(conn, answer); hold(conn) })
		cfg := Config{Retries: -1, Proxy: through(t, "socks5://"+proxy)}
		_, _, err := get(t, newClient(t, cfg), "http://x.test/")
		wantError(t, err, OpProxy, Other)
	}
}
