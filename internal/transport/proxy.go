package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// throughProxy makes of a connection to the proxy of a one to addr. For plain
// http over an HTTP proxy that is the connection to the proxy itself.
func (d *dialer) throughProxy(ctx context.Context, raw net.Conn, a *attempt, addr string) (net.Conn, error) {
	// net/http ends ctx when the client closes its connections.
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	conn := raw
	if a.proxy.Scheme == "https" {
		conf := d.proxyTLS.Clone()
		conf.ServerName = a.proxy.Hostname()
		client := tls.Client(conn, conf)
		conn.SetDeadline(time.Now().Add(d.handshake))
		if err := client.HandshakeContext(ctx); err != nil {
			return nil, &Error{Op: OpProxy, Failure: tlsFailure(err), Err: err}
		}
		conn = client
	}
	conn.SetDeadline(time.Now().Add(d.connect))
	var err error
	switch {
	case isSOCKS(a.proxy):
		err = socks(conn, a.proxy.User, addr)
	case a.scheme == "https":
		err = d.tunnel(conn, a.proxy.User, addr)
	}
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Time{})
}

// tunnel asks an HTTP proxy for a connection to addr.
func (d *dialer) tunnel(conn net.Conn, user *url.Userinfo, addr string) error {
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: http.Header{}}
	if user != nil {
		req.Header.Set("Proxy-Authorization", basic(user))
	}
	if err := req.Write(conn); err != nil {
		return err
	}
	// The server behind a tunnel does not speak before it is spoken to, so that
	// nothing of it is lost in this buffer.
	br := bufio.NewReader(io.LimitReader(conn, d.maxHeaders))
	resp, err := http.ReadResponse(br, req)
	if err != nil {
		return err
	}
	return tunnelStatus(resp.StatusCode)
}

func tunnelStatus(code int) error {
	if code/100 == 2 { // RFC 9110, section 9.3.6
		return nil
	}
	f := ProxyRefused
	switch code {
	case http.StatusProxyAuthRequired:
		f = ProxyAuth
	case http.StatusNetworkAuthenticationRequired:
		f = CaptivePortal
	}
	return &Error{Op: OpProxy, Failure: f, Err: &proxyStatus{code: code, temporary: retryStatus(code)}}
}

func basic(user *url.Userinfo) string {
	password, _ := user.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password))
}

// The constants of RFC 1928 and RFC 1929.
const (
	socksVersion     = 5
	socksNoAuth      = 0
	socksPassword    = 2
	socksNoMethod    = 0xff
	socksAuthVersion = 1
	socksConnect     = 1
	socksIPv4        = 1
	socksDomain      = 3
	socksIPv6        = 4
)

// socks asks a SOCKS5 proxy for a connection to addr. Names go to the proxy as they are:
// the names that this network cannot resolve are what the proxy is for.
func socks(conn net.Conn, user *url.Userinfo, addr string) error {
	if err := socksLogin(conn, user); err != nil {
		return err
	}
	req, err := socksRequest(addr)
	if err != nil {
		return err
	}
	if _, err := conn.Write(req); err != nil {
		return err
	}
	var head [4]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	if head[0] != socksVersion {
		return errors.New("the proxy does not speak SOCKS5")
	}
	if head[1] != 0 {
		return socksRefusal(head[1])
	}
	return socksSkipAddr(conn, head[3])
}

// socksLogin agrees on a method, and offers user's password if there is one.
func socksLogin(conn net.Conn, user *url.Userinfo) error {
	hello := []byte{socksVersion, 1, socksNoAuth}
	if user != nil {
		hello = []byte{socksVersion, 2, socksNoAuth, socksPassword}
	}
	if _, err := conn.Write(hello); err != nil {
		return err
	}
	var answer [2]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return err
	}
	denied := func(reason string) error {
		return &Error{Op: OpProxy, Failure: ProxyAuth, Err: &proxyStatus{reason: reason}}
	}
	switch {
	case answer[0] != socksVersion:
		return errors.New("the proxy does not speak SOCKS5")
	case answer[1] == socksNoAuth:
		return nil
	case answer[1] != socksPassword || user == nil:
		return denied("no log-in that both sides know")
	}
	name := user.Username()
	password, _ := user.Password()
	if len(name) == 0 || len(name) > 255 || len(password) > 255 {
		return denied("user or password of an impossible length")
	}
	login := append([]byte{socksAuthVersion, byte(len(name))}, name...)
	login = append(append(login, byte(len(password))), password...)
	if _, err := conn.Write(login); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return err
	}
	if answer[1] != 0 {
		return denied("user or password refused")
	}
	return nil
}

func socksRequest(addr string) ([]byte, error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, err
	}
	req := []byte{socksVersion, socksConnect, 0}
	ip, err := netip.ParseAddr(host)
	switch {
	case err == nil && ip.Unmap().Is4():
		req = append(append(req, socksIPv4), ip.Unmap().AsSlice()...)
	case err == nil:
		req = append(append(req, socksIPv6), ip.AsSlice()...)
	case len(host) > 255:
		return nil, errors.New("host name longer than 255 bytes")
	default:
		req = append(append(req, socksDomain, byte(len(host))), host...)
	}
	return binary.BigEndian.AppendUint16(req, uint16(port)), nil
}

// socksRefusal gives the reply codes of RFC 1928, section 6, their meaning.
func socksRefusal(code byte) error {
	reasons := []string{1: "general failure", 2: "not allowed", 3: "network unreachable", 4: "host unreachable",
		5: "connection refused", 6: "TTL expired", 7: "command not supported", 8: "address type not supported"}
	reason := fmt.Sprintf("reply %d", code)
	if int(code) < len(reasons) {
		reason = reasons[code]
	}
	temporary := code == 1 || code >= 3 && code <= 6
	return &Error{Op: OpProxy, Failure: ProxyRefused, Err: &proxyStatus{reason: reason, temporary: temporary}}
}

// socksSkipAddr reads the address that the proxy bound, which nobody needs.
func socksSkipAddr(conn net.Conn, kind byte) error {
	n := 0
	switch kind {
	case socksIPv4:
		n = 4
	case socksIPv6:
		n = 16
	case socksDomain:
		var length [1]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return err
		}
		n = int(length[0])
	default:
		return errors.New("the proxy does not speak SOCKS5")
	}
	_, err := io.ReadFull(conn, make([]byte, n+2)) // and the port
	return err
}
