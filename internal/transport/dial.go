package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"
	"time"
)

// attemptDelay is how long one address may keep silent before the next is tried
// beside it (RFC 8305, section 5, recommends 250 ms).
const attemptDelay = 250 * time.Millisecond

// A dialer makes the connections of a client, through a proxy where the attempt
// in its context has one. Every wait has a deadline of its own, because net/http
// lets a dial outlive the request that began it.
type dialer struct {
	names      names
	memory     *Memory
	log        *slog.Logger
	net        net.Dialer
	dial       func(ctx context.Context, network, addr string) (net.Conn, error) // to an address
	connect    time.Duration
	handshake  time.Duration
	proxyTLS   *tls.Config
	delay      time.Duration // before the next address is tried beside one that does not connect
	patience   time.Duration // before another way is tried beside one that stalls
	maxHeaders int64
}

func newDialer(cfg *Config, roots *x509.CertPool) *dialer {
	hosts := map[string][]netip.Addr{}
	for host, ips := range cfg.Hosts {
		hosts[canonical(host)] = ips
	}
	d := &dialer{
		names:  names{hosts: hosts, lookup: cfg.Lookup, patience: cfg.ConnectTimeout},
		memory: cfg.Memory,
		log:    cfg.Logger,
		net: net.Dialer{
			Timeout:         cfg.ConnectTimeout,
			KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 4},
		},
		connect:    cfg.ConnectTimeout,
		handshake:  cfg.TLSTimeout,
		proxyTLS:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}},
		delay:      attemptDelay,
		patience:   cfg.FallbackDelay,
		maxHeaders: maxHeaderBytes,
	}
	d.dial = d.net.DialContext
	return d
}

// DialContext connects to addr, or to the proxy of the attempt in ctx and
// through it to addr. Its errors are *Error.
func (d *dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	a := attemptFrom(ctx)
	if a == nil || a.proxy == nil {
		conn, err := d.tcp(ctx, addr)
		if err != nil {
			return nil, err
		}
		return newTracked(conn, conn), nil
	}
	conn, raw, err := d.proxied(ctx, a, addr)
	if err != nil {
		return nil, err
	}
	return newTracked(conn, raw), nil
}

// tcp connects to the first address of addr's host that answers.
func (d *dialer) tcp(ctx context.Context, addr string) (net.Conn, error) {
	host, port, err := splitAddr(addr)
	if err != nil {
		return nil, err
	}
	return d.reach(ctx, target{to: routeTo(host, portOf(port)), host: host, port: port, doh: true})
}

// tls connects to addr, or through the proxy of the attempt in ctx to it, and makes a TLS
// connection of it. It returns a *tls.Conn above a *trackedConn.
func (d *dialer) tls(ctx context.Context, addr string, conf *tls.Config, doh bool) (net.Conn, error) {
	host, port, err := splitAddr(addr)
	if err != nil {
		return nil, err
	}
	t := target{to: routeTo(host, portOf(port)), host: host, port: port, tls: conf, doh: doh}
	if a := attemptFrom(ctx); a != nil && a.proxy != nil {
		t.to.via = proxyAddr(a.proxy)
		t.through = func(ctx context.Context) (conn, raw net.Conn, err error) { return d.proxied(ctx, a, addr) }
	}
	return d.reach(ctx, t)
}

// proxied connects to the proxy of a and through it to addr; raw is the connection to the proxy.
func (d *dialer) proxied(ctx context.Context, a *attempt, addr string) (conn, raw net.Conn, err error) {
	raw, err = d.tcp(ctx, proxyAddr(a.proxy))
	if err != nil {
		return nil, nil, proxyError(a.proxy, err)
	}
	conn, err = d.throughProxy(ctx, raw, a, addr)
	if err != nil {
		raw.Close()
		return nil, nil, proxyError(a.proxy, err)
	}
	return conn, raw, nil
}

// reach connects to t, unless it is remembered that t does not answer.
func (d *dialer) reach(ctx context.Context, t target) (net.Conn, error) {
	if err := d.memory.admit(t.to); err != nil {
		return nil, err
	}
	r := newRace(d, t, d.memory.way(t.to))
	conn, won, err := r.run(ctx)
	switch {
	case err == nil:
		if w := r.learned(won); d.memory.reached(t.to, w) {
			d.log.InfoContext(ctx, "a fallback works", "host", t.to.host, "fallback", w.String())
		}
		return conn, nil
	case ctx.Err() != nil:
		d.memory.canceled(t.to)
	default:
		d.memory.failed(t.to, err, r.unanswered())
	}
	return nil, err
}

// A trackedConn knows when it last brought a byte, and can be cut at once.
type trackedConn struct {
	net.Conn
	raw   net.Conn // the TCP connection below, whose Close never waits
	since time.Time
	last  atomic.Int64 // time.Duration after since
}

func newTracked(conn, raw net.Conn) *trackedConn {
	return &trackedConn{Conn: conn, raw: raw, since: time.Now()}
}

// Read notes the time.
func (c *trackedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.last.Store(int64(time.Since(c.since)))
	}
	return n, err
}

// silence is how long no byte has come.
func (c *trackedConn) silence() time.Duration {
	return time.Since(c.since) - time.Duration(c.last.Load())
}

// cut closes the connection without a TLS goodbye, which could wait for a dead link.
func (c *trackedConn) cut() { c.raw.Close() }

// tracked finds the connection of ours below what net/http made of it.
func tracked(conn net.Conn) (c *trackedConn, h2 bool) {
	if t, ok := conn.(*tls.Conn); ok {
		h2 = t.ConnectionState().NegotiatedProtocol == "h2"
		conn = t.NetConn()
	}
	c, _ = conn.(*trackedConn)
	return c, h2
}

// requestProxy tells net/http of a proxy only for what it must write
// differently: plain http through an HTTP proxy. The dialer does the rest. The
// scheme is http also where the dialer speaks TLS to the proxy, as net/http
// would offer the proxy HTTP/2 and not understand it.
func requestProxy(req *http.Request) (*url.URL, error) {
	a := attemptFrom(req.Context())
	if a == nil || a.proxy == nil || req.URL.Scheme != "http" || isSOCKS(a.proxy) {
		return nil, nil
	}
	return &url.URL{Scheme: "http", Host: proxyAddr(a.proxy), User: a.proxy.User}, nil
}

func isSOCKS(proxy *url.URL) bool { return proxy.Scheme == "socks5" || proxy.Scheme == "socks5h" }

// checkProxy refuses what is not a usable proxy URL.
func checkProxy(proxy *url.URL) error {
	switch proxy.Scheme {
	case "http", "https", "socks5", "socks5h":
	default:
		return fmt.Errorf("proxy scheme %q is none of http, https, socks5 and socks5h", proxy.Scheme)
	}
	if proxy.Hostname() == "" {
		return errors.New("proxy URL has no host")
	}
	return nil
}

func proxyAddr(proxy *url.URL) string {
	port := proxy.Port()
	if port == "" {
		switch proxy.Scheme {
		case "https":
			port = "443"
		case "http":
			port = "80"
		default:
			port = "1080"
		}
	}
	return net.JoinHostPort(proxy.Hostname(), port)
}

// proxyError makes err, whatever it is, an Error about the proxy.
func proxyError(proxy *url.URL, err error) error {
	e := &Error{Op: OpProxy, Failure: failureOf(err), Host: proxy.Hostname(), Err: err}
	if inner, ok := errors.AsType[*Error](err); ok {
		e.Failure, e.Err, e.Ago, e.resting = inner.Failure, inner.Err, inner.Ago, inner.resting
	}
	return e
}
