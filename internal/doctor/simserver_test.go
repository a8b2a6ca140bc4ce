package doctor

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
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"
)

// A simCA signs certificates.
type simCA struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newSimCA(t testing.TB, name, org string) *simCA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, Organization: []string{org}},
		NotBefore: time.Now().AddDate(-10, 0, 0), NotAfter: time.Now().AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := &simCA{t: t, cert: cert, key: key, pool: x509.NewCertPool()}
	a.pool.AddCert(cert)
	return a
}

// issue makes a certificate for names and addresses, good from one day before until one day after when.
func (a *simCA) issue(when time.Time, names ...string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: names[0]},
		NotBefore: when.AddDate(0, 0, -1), NotAfter: when.AddDate(0, 0, 1), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	parent, signer := a.cert, a.key
	if a.t == nil { // signs for itself
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		panic(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// A simHello is what is seen of a ClientHello on the way.
type simHello struct {
	name string
	size int
	h2   bool
}

// A simDeed is what is done with a connection.
type simDeed int

const (
	serve simDeed = iota
	reset
	hold // forever
	hangUp
	speakHTTP
)

// A simServer is a server, and what stands before it. The zero value has certificates for all hosts of the internet
// that have its address, and speaks HTTP/2.
type simServer struct {
	rule   func(h simHello, n int) simDeed // n counts connections from 1
	early  simDeed                         // before anything is read; serve for nothing
	cert   func(name string) tls.Certificate
	h1     bool
	plain  bool // without TLS
	date   func() time.Time
	answer http.HandlerFunc
	raw    func(conn net.Conn) // instead of all others

	mu    sync.Mutex
	count int
}

// serve puts a server at an address.
func (n *internet) serve(addr string, s *simServer) {
	ap := netip.MustParseAddrPort(addr)
	if leave := n.leave[addr]; leave != nil {
		leave()
	}
	l, _, err := n.listen("tcp", addr)
	if err != nil {
		n.t.Fatal(err)
	}
	n.put(addr, l.Addr().String())
	over := make(chan struct{})
	n.leave[addr] = sync.OnceFunc(func() { close(over); l.Close() })
	n.closers = append(n.closers, n.leave[addr])
	if s.cert == nil {
		s.cert = n.ownCert(ap.Addr())
	}
	conns := &simListener{Listener: l, conns: make(chan net.Conn), over: over}
	handler := s.answer
	if handler == nil {
		handler = func(w http.ResponseWriter, r *http.Request) {
			if s.date != nil {
				w.Header().Set("Date", s.date().UTC().Format(http.TimeFormat))
			}
			if n.content != nil {
				n.content.ServeHTTP(w, r)
			}
		}
	}
	conf := &tls.Config{NextProtos: []string{"h2", "http/1.1"}, GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		c := s.cert(h.ServerName)
		return &c, nil
	}}
	if s.h1 {
		conf.NextProtos = []string{"http/1.1"}
	}
	srv := &http.Server{Handler: handler, TLSConfig: conf, ErrorLog: log.New(io.Discard, "", 0)}
	if s.h1 {
		srv.Protocols = new(http.Protocols)
		srv.Protocols.SetHTTP1(true)
	}
	if s.plain {
		go srv.Serve(conns)
	} else {
		go srv.ServeTLS(conns, "", "")
	}
	n.closers = append(n.closers, func() { srv.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.handle(conn, conns, over)
		}
	}()
}

// ownCert makes the certificates that a server has by right.
func (n *internet) ownCert(addr netip.Addr) func(string) tls.Certificate {
	names := []string{addr.String()}
	for host, list := range n.truth {
		if slices.Contains(list, addr) {
			names = append(names, host)
		}
	}
	slices.Sort(names[1:])
	if len(names) > 1 {
		names = append(names[1:], names[0])
	}
	cert := n.ca.issue(time.Now(), names...)
	return func(string) tls.Certificate { return cert }
}

// simListener hands connections that were let through to an http.Server.
type simListener struct {
	net.Listener
	conns chan net.Conn
	over  chan struct{}
}

func (l *simListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.over:
		return nil, net.ErrClosed
	}
}

func (s *simServer) handle(conn net.Conn, to *simListener, over chan struct{}) {
	if s.raw != nil {
		defer conn.Close()
		s.raw(conn)
		return
	}
	deed := s.early
	var read []byte
	if deed == serve && !s.plain {
		var h simHello
		h, read = readHello(conn)
		s.mu.Lock()
		s.count++
		count := s.count
		s.mu.Unlock()
		if s.rule != nil {
			deed = s.rule(h, count)
		}
	}
	switch deed {
	case serve:
		select {
		case to.conns <- &replayed{Conn: conn, r: io.MultiReader(bytes.NewReader(read), conn)}:
		case <-over:
			conn.Close()
		}
		return
	case reset:
		conn.(*net.TCPConn).SetLinger(0)
	case hold:
		<-over
	case speakHTTP:
		io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
	}
	conn.Close()
}

type replayed struct {
	net.Conn
	r io.Reader
}

func (c *replayed) Read(p []byte) (int, error) { return c.r.Read(p) }

// readHello reads the first record, and what is in it in clear.
func readHello(conn net.Conn) (h simHello, read []byte) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(conn, head); err != nil || head[0] != 22 {
		return h, head
	}
	body := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(conn, body); err != nil {
		return h, head
	}
	read = append(head, body...)
	h.size = len(read)
	seen := errors.New("seen")
	tls.Server(&replayed{Conn: deaf{conn}, r: bytes.NewReader(read)}, &tls.Config{GetConfigForClient: func(i *tls.ClientHelloInfo) (*tls.Config, error) {
		h.name, h.h2 = i.ServerName, slices.Contains(i.SupportedProtos, "h2")
		return nil, seen
	}}).Handshake()
	return h, read
}

// deaf lets nothing out.
type deaf struct{ net.Conn }

func (deaf) Write(p []byte) (int, error)        { return len(p), nil }
func (deaf) Close() error                       { return nil }
func (deaf) SetDeadline(time.Time) error        { return nil }
func (deaf) SetReadDeadline(time.Time) error    { return nil }
func (deaf) SetWriteDeadline(t time.Time) error { return nil }

// connectProxy is an HTTP proxy that dials in the internet; password is empty for none. status is what it answers to CONNECT.
func (n *internet) connectProxy(password string, status int, look func(name string) []netip.Addr) *simServer {
	return &simServer{raw: func(conn net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		if password != "" && req.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("user:"+password)) {
			io.WriteString(conn, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
			return
		}
		if status != http.StatusOK {
			fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Length: 0\r\n\r\n", status, http.StatusText(status))
			return
		}
		if req.Method != http.MethodConnect {
			n.forward(conn, req, look)
			return
		}
		n.splice(conn, req.Host, look, "HTTP/1.1 200 OK\r\n\r\n")
	}}
}

// forward asks a server without TLS for what a proxy was asked for.
func (n *internet) forward(conn net.Conn, req *http.Request, look func(string) []netip.Addr) {
	list := look(req.URL.Hostname())
	if len(list) == 0 {
		return
	}
	out, err := n.dial(n.t.Context(), "tcp", net.JoinHostPort(list[0].String(), "80"))
	if err != nil {
		return
	}
	defer out.Close()
	req.Close = true
	if req.Write(out) == nil {
		io.Copy(conn, out)
	}
}

// splice connects conn to a host of the internet.
func (n *internet) splice(conn net.Conn, addr string, look func(string) []netip.Addr, ok string) {
	host, port, _ := net.SplitHostPort(addr)
	list := look(host)
	if len(list) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(n.t.Context(), 5*time.Second)
	defer cancel()
	out, err := n.dial(ctx, "tcp", net.JoinHostPort(list[0].String(), port))
	if err != nil {
		return
	}
	defer out.Close()
	io.WriteString(conn, ok)
	go func() { io.Copy(out, conn); out.Close() }()
	io.Copy(conn, out)
}

// socksProxy is a SOCKS5 proxy without a log-in.
func (n *internet) socksProxy() *simServer {
	return &simServer{raw: func(conn net.Conn) {
		buf := make([]byte, 3)
		io.ReadFull(conn, buf)
		conn.Write([]byte{5, 0})
		head := make([]byte, 5)
		io.ReadFull(conn, head)
		rest := make([]byte, int(head[4])+2)
		io.ReadFull(conn, rest)
		host, port := string(rest[:head[4]]), binary.BigEndian.Uint16(rest[head[4]:])
		n.splice(conn, fmt.Sprintf("%s:%d", host, port), func(s string) []netip.Addr { return n.truth[s] }, "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
	}}
}
