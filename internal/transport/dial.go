package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
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
	lookup     func(ctx context.Context, host string) ([]netip.Addr, error)
	net        net.Dialer
	connect    time.Duration
	handshake  time.Duration
	proxyTLS   *tls.Config
	delay      time.Duration
	maxHeaders int64
}

func newDialer(cfg *Config, roots *x509.CertPool) *dialer {
	return &dialer{
		lookup: cfg.Lookup,
		net: net.Dialer{
			Timeout:         cfg.ConnectTimeout,
			KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 4},
		},
		connect:    cfg.ConnectTimeout,
		handshake:  cfg.TLSTimeout,
		proxyTLS:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}},
		delay:      attemptDelay,
		maxHeaders: maxHeaderBytes,
	}
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
	raw, err := d.tcp(ctx, proxyAddr(a.proxy))
	if err != nil {
		return nil, proxyError(a.proxy, err)
	}
	conn, err := d.throughProxy(ctx, raw, a, addr)
	if err != nil {
		raw.Close()
		return nil, proxyError(a.proxy, err)
	}
	return newTracked(conn, raw), nil
}

// tcp connects to the first address of addr's host that answers.
func (d *dialer) tcp(ctx context.Context, addr string) (net.Conn, error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, &Error{Op: OpConnect, Failure: Other, Err: err}
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, &Error{Op: OpConnect, Failure: Other, Host: host, Err: err}
	}
	ips, err := d.resolve(ctx, host)
	if err != nil {
		return nil, &Error{Op: OpResolve, Failure: failureOf(err), Host: host, Err: err}
	}
	var addrs []netip.AddrPort
	for _, ip := range interleave(ips) {
		addrs = append(addrs, netip.AddrPortFrom(ip, uint16(port)))
	}
	conn, err := d.race(ctx, addrs)
	if err != nil {
		return nil, &Error{Op: OpConnect, Failure: failureOf(err), Host: host, Err: err}
	}
	return conn, nil
}

func (d *dialer) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, d.connect)
	defer cancel()
	ips, err := d.lookup(ctx, host)
	if err == nil && len(ips) == 0 {
		err = &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	return ips, err
}

// interleave lets the families take turns, beginning with that of the first
// address, which the resolver prefers (RFC 8305, section 4).
func interleave(ips []netip.Addr) []netip.Addr {
	var first, second []netip.Addr
	for _, ip := range ips {
		ip = ip.Unmap()
		if ip.Is4() == ips[0].Unmap().Is4() {
			first = append(first, ip)
		} else {
			second = append(second, ip)
		}
	}
	all := make([]netip.Addr, 0, len(ips))
	for i := range ips {
		if i < len(first) {
			all = append(all, first[i])
		}
		if i < len(second) {
			all = append(all, second[i])
		}
	}
	return all
}

type dialed struct {
	conn net.Conn
	err  error
}

// race connects to addrs, one after the other, each beginning when the one before
// has failed or been silent for d.delay. The first connection wins. Unlike
// net.Dialer it gives each address the whole timeout and does not let an
// address that swallows packets delay the next one of its family.
func (d *dialer) race(ctx context.Context, addrs []netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan dialed)
	var won net.Conn
	var failed error
	next, running := 0, 0
	start := func() {
		addr := addrs[next].String()
		next++
		running++
		go func() {
			conn, err := d.net.DialContext(ctx, "tcp", addr)
			results <- dialed{conn, err}
		}()
	}
	timer := time.NewTimer(d.delay)
	defer timer.Stop()
	start()
	for running > 0 {
		select {
		case <-timer.C:
			if next < len(addrs) && won == nil {
				start()
				timer.Reset(d.delay)
			}
		case r := <-results:
			running--
			switch {
			case r.err == nil && won == nil:
				won = r.conn
				cancel() // the losers answer at once
			case r.err == nil:
				r.conn.Close()
			case won == nil:
				failed = telling(failed, r.err)
				if next < len(addrs) && ctx.Err() == nil {
					start()
					timer.Reset(d.delay)
				}
			}
		}
	}
	if won != nil {
		return won, nil
	}
	return nil, failed
}

// telling picks the error that says more: a machine without IPv6 finds every
// IPv6 address unreachable, and what counts is what the other addresses said.
func telling(a, b error) error {
	if a == nil || failureOf(a) == Unreachable && failureOf(b) != Unreachable {
		return b
	}
	return a
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
		e.Failure, e.Err = inner.Failure, inner.Err
	}
	return e
}
