package doctor

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A labProxy is a proxy of the lab, which reaches what the lab has of names even where the user does not.
type labProxy struct {
	l       *httpLab
	user    string   // user:password that it wants; empty for none
	methods []string // that it offers then
	refuse  int      // status for every CONNECT; 0 for none
}

func (p *labProxy) dial(host string, port uint16) (net.Conn, error) {
	p.l.mu.Lock()
	to := p.l.to[netip.AddrPortFrom(p.l.addrs[host], port)]
	hidden := p.l.inside[host]
	p.l.mu.Unlock()
	if hidden != "" {
		to = hidden
	}
	if to == "" {
		return nil, connRefused()
	}
	return net.Dial("tcp", to)
}

func (p *labProxy) serve(t testing.TB, handle func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				stop := context.AfterFunc(ctx, func() { conn.Close() })
				defer stop()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() { cancel(); ln.Close(); wg.Wait() })
	return ln.Addr().String()
}

// http serves as an HTTP proxy and returns its address.
func (p *labProxy) http(t testing.TB) string {
	return p.serve(t, func(conn net.Conn) {
		br := bufio.NewReader(conn)
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		answer := func(status int) {
			resp := &http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}}
			if status == http.StatusProxyAuthRequired {
				resp.Header["Proxy-Authenticate"] = p.methods
			}
			resp.Write(conn)
		}
		want := "Basic " + base64.StdEncoding.EncodeToString([]byte(p.user))
		switch {
		case p.user != "" && req.Header.Get("Proxy-Authorization") != want:
			answer(http.StatusProxyAuthRequired)
			return
		case req.Method != http.MethodConnect:
			answer(http.StatusMethodNotAllowed)
			return
		case p.refuse != 0:
			answer(p.refuse)
			return
		}
		host, service, _ := net.SplitHostPort(req.Host)
		port, _ := strconv.Atoi(service)
		out, err := p.dial(host, uint16(port))
		if err != nil {
			answer(http.StatusBadGateway)
			return
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		pipe(conn, out)
	})
}

// socks serves as a SOCKS5 proxy and returns its address.
func (p *labProxy) socks(t testing.TB) string {
	return p.serve(t, func(conn net.Conn) {
		var head [2]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil || head[0] != 5 {
			return // as most do with what is no SOCKS
		}
		offered := make([]byte, head[1])
		if _, err := io.ReadFull(conn, offered); err != nil || !p.admits(conn, offered) {
			return
		}
		var req [5]byte
		if _, err := io.ReadFull(conn, req[:]); err != nil || req[3] != 3 {
			return
		}
		name := make([]byte, int(req[4])+2)
		if _, err := io.ReadFull(conn, name); err != nil {
			return
		}
		out, err := p.dial(string(name[:req[4]]), binary.BigEndian.Uint16(name[req[4]:]))
		if err != nil {
			conn.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
			return
		}
		if p.refuse != 0 {
			conn.Write([]byte{5, byte(p.refuse), 0, 1, 0, 0, 0, 0, 0, 0})
			return
		}
		conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		pipe(conn, out)
	})
}

// admits is the log-in of SOCKS5: RFC 1928, section 3, and RFC 1929.
func (p *labProxy) admits(conn net.Conn, offered []byte) bool {
	switch {
	case p.user == "":
		conn.Write([]byte{5, 0})
		return true
	case !slices.Contains(offered, 2):
		conn.Write([]byte{5, 0xff})
		return false
	}
	conn.Write([]byte{5, 2})
	var got []string
	var n [1]byte
	io.ReadFull(conn, n[:]) // the version
	for range 2 {
		if _, err := io.ReadFull(conn, n[:]); err != nil {
			return false
		}
		word := make([]byte, n[0])
		if _, err := io.ReadFull(conn, word); err != nil {
			return false
		}
		got = append(got, string(word))
	}
	if strings.Join(got, ":") != p.user {
		conn.Write([]byte{1, 1})
		return false
	}
	conn.Write([]byte{1, 0})
	return true
}

func pipe(a, b net.Conn) {
	defer b.Close()
	go func() {
		io.Copy(b, a)
		b.Close()
	}()
	io.Copy(a, b)
}

func silent(conn net.Conn) { io.Copy(io.Discard, conn) }
