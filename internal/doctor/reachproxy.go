package doctor

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/transport"
)

// reachByProxy takes the way through a proxy, which resolves and connects. What the system's resolver says of the
// target does not matter then.
func (x *Exam) reachByProxy(ctx context.Context, r *Reached) {
	r.Names.Host = r.Target.Proxy.Hostname()
	w := x.wayThrough(r.Target)
	x.try(ctx, ctx, &w, r.Target, true)
	r.Ways = []Way{w}
	if w.Connect.done() {
		r.Taken = 0
	}
	if !r.Works() {
		x.prove(ctx, r, nil)
	}
}

// wayThrough is the way to t through its proxy.
func (x *Exam) wayThrough(t Target) Way {
	seen := &dialed{}
	return Way{Connect: Step{Answer: Unmeasured}, TLS: Step{Answer: Unmeasured}, dialed: seen,
		dial: func(ctx context.Context) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, x.Net.connectWait())
			defer cancel()
			return x.dialThrough(ctx, t, seen)
		}}
}

func proxyFails(f transport.Failure, err error) error {
	return &transport.Error{Op: transport.OpProxy, Failure: f, Err: err}
}

// dialThrough connects to t through its proxy, whose addresses seen collects. For plain http over an HTTP proxy that is the proxy itself.
func (x *Exam) dialThrough(ctx context.Context, t Target, seen *dialed) (net.Conn, error) {
	p := t.Proxy
	socks := strings.HasPrefix(p.Scheme, "socks5")
	port := p.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[p.Scheme]
	}
	raw, err := x.dialName(ctx, p.Hostname(), port, seen)
	if err != nil {
		return nil, proxyFails(transport.FailureOf(transport.OpConnect, err), err)
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	if end, ok := ctx.Deadline(); ok {
		raw.SetDeadline(end)
	}
	conn := raw
	if p.Scheme == "https" {
		client := tls.Client(raw, &tls.Config{ServerName: p.Hostname(), RootCAs: x.Net.Roots, Time: x.Net.Now, NextProtos: []string{"http/1.1"}})
		if err := client.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, proxyFails(transport.FailureOf(transport.OpTLS, err), err)
		}
		conn = client
	}
	switch {
	case socks:
		err = socksConnect(conn, p.User, t.Host())
	case t.URL.Scheme == "https":
		err = httpConnect(conn, p.User, t.Host())
	}
	if err != nil {
		raw.Close()
		if ctx.Err() != nil {
			return nil, proxyFails(transport.TimedOut, ctx.Err())
		}
		if _, ok := transport.Explain(err); ok {
			return nil, err
		}
		return nil, proxyFails(transport.FailureOf(transport.OpProxy, err), err)
	}
	return conn, conn.SetDeadline(time.Time{})
}

// dialName resolves and connects to the first address that answers.
func (x *Exam) dialName(ctx context.Context, host, port string, seen *dialed) (net.Conn, error) {
	addrs := []netip.Addr{}
	if ip, err := netip.ParseAddr(host); err == nil {
		addrs = append(addrs, ip)
	} else {
		a := x.dnsAskSystem(ctx, host)
		if len(a.Addrs) == 0 {
			return nil, &transport.Error{Op: transport.OpResolve, Failure: a.Failure, Host: host}
		}
		addrs = a.Addrs
	}
	var first error
	for i, ip := range addrs {
		wait := x.Net.connectWait() / time.Duration(len(addrs)-i)
		addr := net.JoinHostPort(ip.String(), port)
		seen.add(addr)
		conn, err := x.Net.connectTo(ctx, "tcp", addr, wait)
		if err == nil {
			return conn, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// httpConnect asks an HTTP proxy for a connection (RFC 9110, section 9.3.6).
func httpConnect(conn net.Conn, user *url.Userinfo, addr string) error {
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: http.Header{}}
	if user != nil {
		password, _ := user.Password()
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if err := req.Write(conn); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, 64<<10)), req)
	switch {
	case err != nil:
		return err
	case resp.StatusCode == http.StatusProxyAuthRequired:
		return proxyFails(transport.ProxyAuth, nil)
	case resp.StatusCode == http.StatusNetworkAuthenticationRequired:
		return proxyFails(transport.CaptivePortal, nil)
	case resp.StatusCode/100 != 2:
		return proxyFails(transport.ProxyRefused, nil)
	}
	return nil
}

// socksConnect asks a SOCKS5 proxy for a connection (RFC 1928, RFC 1929). The name goes to the proxy, as net/http has it.
func socksConnect(conn net.Conn, user *url.Userinfo, addr string) error {
	if err := socksGreet(conn, user); err != nil {
		return err
	}
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || len(host) > 255 {
		return errors.New("no such host or port can exist")
	}
	req := append([]byte{5, 1, 0, 3, byte(len(host))}, host...)
	if ip, err := netip.ParseAddr(host); err == nil {
		req = append([]byte{5, 1, 0, map[bool]byte{true: 1, false: 4}[ip.Is4()]}, ip.AsSlice()...)
	}
	if _, err := conn.Write(binary.BigEndian.AppendUint16(req, uint16(port))); err != nil {
		return err
	}
	var head [4]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	switch {
	case head[0] != 5:
		return proxyFails(transport.ProxyRefused, nil)
	case head[1] != 0:
		return proxyFails(transport.ProxyRefused, socksReply(head[1]))
	}
	n := map[byte]int{1: 4, 4: 16}[head[3]]
	if head[3] == 3 {
		var length [1]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return err
		}
		n = int(length[0])
	}
	_, err = io.ReadFull(conn, make([]byte, n+2))
	return err
}

// A socksReply is how a SOCKS5 proxy says no to a connection.
type socksReply byte

// Error is by RFC 1928, section 6.
func (r socksReply) Error() string {
	words := []string{1: "general failure", 2: "not allowed by its rules", 3: "network unreachable", 4: "host unreachable", 5: "connection refused",
		6: "TTL expired", 7: "command not supported", 8: "address type not supported"}
	if int(r) < len(words) && r > 0 {
		return "the proxy answered: " + words[r]
	}
	return "the proxy answered " + strconv.Itoa(int(r))
}

func socksGreet(conn net.Conn, user *url.Userinfo) error {
	greeting := []byte{5, 1, 0}
	if user != nil {
		greeting = []byte{5, 2, 0, 2}
	}
	if _, err := conn.Write(greeting); err != nil {
		return err
	}
	var answer [2]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return err
	}
	switch {
	case answer[0] != 5:
		return proxyFails(transport.ProxyRefused, nil)
	case answer[1] == 0:
		return nil
	case answer[1] != 2 || user == nil:
		return proxyFails(transport.ProxyAuth, nil)
	}
	name := user.Username()
	password, _ := user.Password()
	if len(name) == 0 || len(name) > 255 || len(password) > 255 {
		return proxyFails(transport.ProxyAuth, nil)
	}
	login := append(append([]byte{1, byte(len(name))}, name...), byte(len(password)))
	if _, err := conn.Write(append(login, password...)); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return err
	}
	if answer[1] != 0 {
		return proxyFails(transport.ProxyAuth, nil)
	}
	return nil
}
