// Package goproxytest serves an upstream module proxy for tests, whose faults are in the URL.
//
// It is for tests alone and imports nothing of this module, so that a mistake in
// what is tested cannot hide behind the same mistake here. It is no model of a
// good proxy: it keeps modules in memory and answers what it is told to.
//
// A path is a list of faults, then a path of the GOPROXY protocol:
//
//	http://127.0.0.1:1234/slow/2s/only/zip/cut/50%25/example.com/m/@v/v1.0.0.zip
//
// so GOPROXY=http://127.0.0.1:1234/slow/2s is a slow proxy, and Server.Proxy
// writes such URLs. Faults apply in the order in which they stand:
//
//	/404 … any 4xx or 5xx   that status, always; /429-2 with Retry-After: 2
//	/hang                   no answer until the client leaves
//	/reset, /eof            the connection is reset, or closed, without an answer
//	/html                   200 with a page of HTML, as captive portals send it
//	/auth                   401 unless user "ferry" comes with password "secret"
//	/redirect/N             N redirects first
//	/redirecthost           one redirect, to another name of the same machine
//	/redirecthttp           one redirect, to http
//	/slow/2s                waits before the answer
//	/drip/15MB              a body of so many bytes a second (B, KB, MB; KiB, MiB)
//	/stall/50%, /stall/N    stops after that much of the body and keeps the connection
//	/cut/50%, /cut/N        closes the connection after that much of the body
//	/short/50%, /short/N    a whole answer, whose body is the beginning of the file
//	/corrupt                one byte of the file is another
//	/wrongsum               .mod and zip are valid but have other contents
//	/badzip/NAME            a zip that breaks a rule; BadZips has the names
//	/endless                a body that never ends
//	/hugelist/N             a list of N million versions
//	/garbagelist            a list with pseudo-versions, garbage, duplicates, unsorted
//	/nolatest               404 to every @latest
//	/norange, /noetag       no Range requests, no validators
//	/newetag                another ETag on each answer
//	/nolength               no Content-Length
//	/nosumdb, /sumdb-503    that status for the checksum database
//	/sumdb-wrong            its records hold other hashes
//	/sumdb-badkey           it signs with a key of its own
//	/only/KIND/FAULT        FAULT applies to one of list, latest, info, mod, zip, sumdb
//	/times/N/FAULT          FAULT applies to the first N requests of each path
//
// only and times can be combined, and bind to the one fault behind them.
package goproxytest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// TB is the part of testing.TB that New needs.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Options choose what a Server is. The zero value is a plain HTTP proxy.
type Options struct {
	TLS   bool   // https with HTTP/2, by a certificate of its own for 127.0.0.1, ::1, localhost and example.com
	SumDB string // name of the checksum database; "" means "sumdb.example.com"
}

// A Server is a module proxy on a port of the loopback interface. Its Handler
// has the modules and the counts; they outlive Down and Up.
type Server struct {
	*Handler
	URL string // http://127.0.0.1:port, without a slash at the end

	tb      TB // nil outside tests
	addr    string
	tlsCert *tls.Certificate
	certPEM []byte
	roots   *x509.CertPool

	mu      sync.Mutex
	srv     *http.Server // nil while down
	end     chan struct{}
	release func() // of the port, while down; nil for none
}

// New starts a plain server that ends with the test.
func New(tb TB) *Server { tb.Helper(); return NewWith(tb, Options{}) }

// NewTLS starts a server with TLS that ends with the test.
func NewTLS(tb TB) *Server { tb.Helper(); return NewWith(tb, Options{TLS: true}) }

// NewWith starts a server that ends with the test.
func NewWith(tb TB, o Options) *Server {
	tb.Helper()
	s, err := Start(o)
	if err != nil {
		tb.Fatalf("goproxytest: %v", err)
		return nil
	}
	s.tb = tb
	tb.Cleanup(s.Close)
	return s
}

// Start starts a server without a test. It must be closed.
func Start(o Options) (*Server, error) {
	h, err := NewHandler(o)
	if err != nil {
		return nil, err
	}
	s := &Server{Handler: h, addr: "127.0.0.1:0"}
	scheme := "http"
	if o.TLS {
		scheme = "https"
		if err := s.makeCert(); err != nil {
			return nil, err
		}
	}
	if err := s.up(); err != nil {
		return nil, err
	}
	s.URL = scheme + "://" + s.addr
	return s, nil
}

// Proxy is the URL of the proxy with faults in front, for GOPROXY:
// s.Proxy("slow/2s", "only/zip/cut/50%").
func (s *Server) Proxy(faults ...string) string {
	u := s.URL
	for _, f := range faults {
		u += (&url.URL{Path: "/" + strings.Trim(f, "/")}).EscapedPath()
	}
	return u
}

// SumDBURL is where the checksum database answers by itself, outside a proxy's
// path; the protocol is the same.
func (s *Server) SumDBURL() string { return s.URL + "/sumdb/" + s.SumDBName() }

// GOSUMDBWithURL is a value for GOSUMDB that names the database's URL too.
func (s *Server) GOSUMDBWithURL() string { return s.GOSUMDB() + " " + s.SumDBURL() }

// Client is an http.Client that trusts the server's certificate, and follows no
// proxy of the environment. Its idle connections end when the server goes down.
func (s *Server) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: s.roots},
		ForceAttemptHTTP2: true,
	}}
}

// CertPEM is the certificate of a server with TLS, which is its own root: as a
// file it can be named by SSL_CERT_FILE.
func (s *Server) CertPEM() []byte { return s.certPEM }

// Roots is a pool with that certificate; nil without TLS.
func (s *Server) Roots() *x509.CertPool { return s.roots }

// Down closes the socket and every connection: from now on connections are
// refused. It returns when no request is being answered any more.
func (s *Server) Down() {
	s.mu.Lock()
	srv, end := s.srv, s.end
	s.srv = nil
	s.mu.Unlock()
	if srv == nil {
		return
	}
	_ = srv.Close() // an error is about a socket that is gone anyway
	<-end
	s.mu.Lock()
	s.release = keepPort(s.addr)
	s.mu.Unlock()
	s.waitIdle()
}

// Up serves again at the same address after Down.
func (s *Server) Up() { s.must(s.up()) }

// Close ends the server.
func (s *Server) Close() {
	s.Down()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.letGo()
}

// letGo lets go of the port that Down has kept.
func (s *Server) letGo() {
	if s.release != nil {
		s.release()
		s.release = nil
	}
}

func (s *Server) up() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.srv != nil {
		return errors.New("the server is up")
	}
	ln, err := net.Listen("tcp", s.addr)
	if err != nil {
		return err
	}
	s.letGo()
	s.addr = ln.Addr().String()
	srv := &http.Server{
		Handler:           s.Handler,
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0), // faults make net/http complain
	}
	s.srv, s.end = srv, make(chan struct{})
	if s.tlsCert != nil {
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*s.tlsCert}}
	}
	go func(end chan<- struct{}) {
		defer close(end)
		if s.tlsCert != nil {
			_ = srv.ServeTLS(ln, "", "") // always ErrServerClosed
		} else {
			_ = srv.Serve(ln)
		}
	}(s.end)
	return nil
}

func (s *Server) makeCert() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "goproxytest"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost", "example.com", "*.example.com"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return err
	}
	s.tlsCert = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	s.certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	s.roots = x509.NewCertPool()
	s.roots.AppendCertsFromPEM(s.certPEM)
	return nil
}

// AddModule is Handler.AddModule; an error ends the test.
func (s *Server) AddModule(path, version string, files map[string]string) {
	s.must(s.Handler.AddModule(path, version, files))
}

// AddRandom is Handler.AddRandom; an error ends the test.
func (s *Server) AddRandom(path, version string, size int64) {
	s.must(s.Handler.AddRandom(path, version, size))
}

// LoadFS is Handler.LoadFS; an error ends the test.
func (s *Server) LoadFS(fsys fs.FS) { s.must(s.Handler.LoadFS(fsys)) }

// Wait is Handler.Wait; an error ends the test.
func (s *Server) Wait(ctx context.Context, part string, n int) {
	s.must(s.Handler.Wait(ctx, part, n))
}

func (s *Server) must(err error) {
	if err == nil {
		return
	}
	if s.tb == nil {
		panic(fmt.Sprintf("goproxytest: %v", err))
	}
	s.tb.Helper()
	s.tb.Fatalf("goproxytest: %v", err)
}
