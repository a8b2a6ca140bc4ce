package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/goferry/goferry/internal/transport"
)

// httpFallback is when a connection over the other IP version is tried beside the first, as in net.Dialer.
const httpFallback = 300 * time.Millisecond

// A Timing is what the steps of a request took. A step that was not needed, such as the look-up of
// a name behind a proxy, took nothing; the step that failed counts as far as it went.
type Timing struct {
	Resolve   time.Duration `json:"resolve_ns,omitempty"`
	Connect   time.Duration `json:"connect_ns,omitempty"`
	Proxy     time.Duration `json:"proxy_ns,omitempty"` // until the proxy had let it through
	TLS       time.Duration `json:"tls_ns,omitempty"`
	FirstByte time.Duration `json:"first_byte_ns,omitempty"`
	Transfer  time.Duration `json:"transfer_ns,omitempty"`
}

// Total is the sum of the steps.
func (t Timing) Total() time.Duration {
	return t.Resolve + t.Connect + t.Proxy + t.TLS + t.FirstByte + t.Transfer
}

// httpTrace watches one request. Connections are made by goroutines of net/http that may outlive it.
type httpTrace struct {
	mu    sync.Mutex
	op    transport.Op // the step under way
	since time.Time
	took  Timing
	addr  string   // of the server or the proxy, with its port
	via   *url.URL // the proxy between; nil for none
	viaOK bool     // the handshake with an https proxy is over
	h2    bool     // the connection speaks HTTP/2
	ended bool

	atProxy func() // called when there is a connection to a proxy
}

type httpTraceKey struct{}

// at ends the step under way and begins op. After a redirect the steps are taken once more, and add up.
func (t *httpTrace) at(op transport.Op) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.step(op)
}

func (t *httpTrace) step(op transport.Op) {
	now := time.Now()
	if t.ended || t.op == op {
		return
	}
	if span := now.Sub(t.since); !t.since.IsZero() {
		switch t.op {
		case transport.OpResolve:
			t.took.Resolve += span
		case transport.OpConnect:
			t.took.Connect += span
		case transport.OpProxy:
			if t.via != nil {
				t.took.Proxy += span
			}
		case transport.OpTLS:
			t.took.TLS += span
		case transport.OpWrite:
			t.took.FirstByte += span
		case transport.OpRead:
			t.took.Transfer += span
		}
	}
	t.op, t.since = op, now
}

func (t *httpTrace) connected(addr string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.addr = addr
	if t.via != nil {
		t.step(transport.OpProxy)
		t.atProxy()
	}
}

// routed says which proxy the next connection goes through.
func (t *httpTrace) routed(via *url.URL) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.via, t.viaOK = via, via == nil || via.Scheme != "https"
}

// shaking begins a TLS handshake: with the server, or before that with the proxy. It reports which.
func (t *httpTrace) shaking() (withServer bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.viaOK {
		t.viaOK = true
		return false
	}
	t.step(transport.OpTLS)
	return true
}

// during reports whether op is under way.
func (t *httpTrace) during(op transport.Op) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.op == op && !t.ended
}

// end closes the books, and returns the step that was under way.
func (t *httpTrace) end() (op transport.Op, took Timing, addr string, h2 bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	op = t.op
	t.step("")
	t.ended = true
	return op, t.took, t.addr, t.h2
}

// An httpLine makes requests as the go command does: over its ways, with its ClientHello, and without
// a second try. Nothing of transport's help is in it: what it can do is what the go command can do.
type httpLine struct {
	x     *Exam
	proxy func(*url.URL) (*url.URL, error)
	h1    bool // without HTTP/2
	tr    *http.Transport
}

// httpLineOf returns a line for x. Close it.
func httpLineOf(x *Exam, h1 bool, proxy func(*url.URL) (*url.URL, error)) *httpLine {
	if proxy == nil {
		proxy = x.httpProxyFor
	}
	usual := x.usualHello("")
	l := &httpLine{x: x, proxy: proxy, h1: h1 || usual.http1}
	conf := &tls.Config{RootCAs: x.Net.Roots}
	if usual.small {
		conf.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
	}
	if x.Net.Now != nil {
		conf.Time = x.Net.Now
	}
	l.tr = &http.Transport{
		Proxy:               func(r *http.Request) (*url.URL, error) { return l.proxy(r.URL) },
		DialContext:         l.dial,
		TLSClientConfig:     conf,
		TLSHandshakeTimeout: httpWait(x.Net.TLSWait, 4*time.Second) * 5 / 2, // 10 s, as net/http.DefaultTransport has it; see comesAbout
		ForceAttemptHTTP2:   !l.h1,
		// The rest of a large header is no answer that a Go proxy gives.
		MaxResponseHeaderBytes: 1 << 20,
		OnProxyConnectResponse: proxyConnectAnswer,
	}
	l.tr.RegisterProtocol("file", http.NewFileTransport(fileTree{drives: x.OS == "windows"})) // a tree of files is an upstream, too
	if l.h1 {
		l.tr.Protocols = new(http.Protocols)
		l.tr.Protocols.SetHTTP1(true)
	}
	return l
}

func (l *httpLine) Close() { l.tr.CloseIdleConnections() }

func httpWait(d, byDefault time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return byDefault
}

// httpProxyFor is the proxy for u: that of the target whose host it is, else what the environment says, as for the
// hosts that redirects lead to.
func (x *Exam) httpProxyFor(u *url.URL) (*url.URL, error) {
	for _, t := range x.Targets {
		if t.URL != nil && t.URL.Scheme == u.Scheme && t.Host() == (Target{URL: u}).Host() {
			return t.Proxy, nil
		}
	}
	return EnvProxy(x.Env)(u)
}

// dial resolves and connects, as net.Dialer does: one IP version after a moment beside the other.
func (l *httpLine) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	trace, _ := ctx.Value(httpTraceKey{}).(*httpTrace)
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return l.dialAll(ctx, trace, []netip.Addr{ip}, port)
	}
	trace.at(transport.OpResolve)
	lctx, cancel := context.WithTimeout(ctx, httpWait(l.x.Net.ResolveWait, 4*time.Second))
	defer cancel()
	lookup := net.DefaultResolver.LookupNetIP
	if l.x.Net.Lookup != nil {
		lookup = l.x.Net.Lookup
	}
	addrs, err := lookup(lctx, "ip", host)
	if err == nil && len(addrs) == 0 {
		err = &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if err != nil {
		return nil, &transport.Error{Op: transport.OpResolve, Failure: transport.FailureOf(transport.OpResolve, err), Host: host, Err: err}
	}
	return l.dialAll(ctx, trace, addrs, port)
}

// dialAll races the addresses of the two IP versions, each in their order.
func (l *httpLine) dialAll(ctx context.Context, trace *httpTrace, addrs []netip.Addr, port string) (net.Conn, error) {
	trace.at(transport.OpConnect)
	var first, second []netip.Addr
	for _, a := range addrs {
		if a.Unmap().Is4() == addrs[0].Unmap().Is4() {
			first = append(first, a.Unmap())
		} else {
			second = append(second, a.Unmap())
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type ended struct {
		conn net.Conn
		err  error
	}
	done := make(chan ended)
	try := func(addrs []netip.Addr) {
		conn, err := l.dialEach(ctx, addrs, port)
		select {
		case done <- ended{conn, err}:
		case <-ctx.Done():
			if conn != nil {
				conn.Close()
			}
		}
	}
	go try(first)
	running := 1
	timer := time.NewTimer(httpFallback)
	defer timer.Stop()
	var firstErr error
	for {
		select {
		case <-timer.C:
		case e := <-done:
			running--
			if e.err == nil {
				trace.connected(e.conn.RemoteAddr().String())
				return e.conn, nil
			}
			firstErr = cmp.Or(firstErr, e.err)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if second != nil {
			go try(second)
			second = nil
			running++
		}
		if running == 0 {
			return nil, &transport.Error{Op: transport.OpConnect, Failure: transport.FailureOf(transport.OpConnect, firstErr), Err: firstErr}
		}
	}
}

func (l *httpLine) dialEach(ctx context.Context, addrs []netip.Addr, port string) (net.Conn, error) {
	dial := (&net.Dialer{}).DialContext
	if l.x.Net.Dial != nil {
		dial = l.x.Net.Dial
	}
	var first error
	for _, a := range addrs {
		actx, cancel := context.WithTimeout(ctx, httpWait(l.x.Net.ConnectWait, 4*time.Second))
		conn, err := dial(actx, "tcp", net.JoinHostPort(a.String(), port))
		cancel()
		if err == nil {
			return conn, nil
		}
		if first = cmp.Or(first, err); ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

// errProxyAnswer is how a proxy answered a CONNECT that it did not grant.
type errProxyAnswer struct {
	status  int
	methods []string // of log-in, for 407
}

func (e *errProxyAnswer) Error() string { return "the proxy answered " + http.StatusText(e.status) }

func proxyConnectAnswer(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	return &errProxyAnswer{status: resp.StatusCode, methods: proxyMethods(resp.Header)}
}

// proxyMethods are the methods of log-in that a proxy offers, such as Basic and NTLM.
func proxyMethods(h http.Header) []string {
	var list []string
	for _, v := range h.Values("Proxy-Authenticate") {
		name, _, _ := strings.Cut(strings.TrimSpace(v), " ")
		if name != "" {
			list = append(list, name)
		}
	}
	return list
}

// httpFailure says at which step err came, and what it is.
func httpFailure(op transport.Op, err error) (transport.Op, transport.Failure) {
	if answer, ok := errors.AsType[*errProxyAnswer](err); ok {
		switch answer.status {
		case http.StatusProxyAuthRequired:
			return transport.OpProxy, transport.ProxyAuth
		case http.StatusNetworkAuthenticationRequired:
			return transport.OpProxy, transport.CaptivePortal
		}
		return transport.OpProxy, transport.ProxyRefused
	}
	if e, ok := transport.Explain(err); ok {
		if e.Op != "" && op != transport.OpProxy {
			op = e.Op
		}
		return op, e.Failure
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && (e.Op == "proxyconnect" || e.Op == "socks connect") {
		op = transport.OpProxy
	}
	f := transport.FailureOf(op, err)
	if f == transport.Other && op == transport.OpProxy {
		f = transport.ProxyRefused
	}
	return op, f
}

// A fileTree serves the files of this machine by the paths of file URLs.
type fileTree struct{ drives bool }

// Open implements http.FileSystem. On a system with drives the path is /C:/folder.
func (t fileTree) Open(name string) (http.File, error) {
	if t.drives {
		name = strings.TrimPrefix(name, "/")
	}
	f, err := os.Open(filepath.FromSlash(name))
	if errors.Is(err, syscall.ENOTDIR) { // there is a file where a folder would be
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}
