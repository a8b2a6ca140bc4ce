package transport

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
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// An authority signs the certificates of the hosts of a test.
type authority struct {
	t     *testing.T
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	roots string // a PEM file
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t), roots: filepath.Join(t.TempDir(), "ca.pem")}
	a.cert = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// conf is the configuration of a TLS server for host.
func (a *authority) conf(host string) *tls.Config {
	a.t.Helper()
	key := newKey(a.t)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// A site is a host with several addresses, all with the same port.
type site struct {
	t    *testing.T
	port string
	mu   sync.Mutex
	met  map[string]int // connections, by address

	counted chan struct{} // told of the connection of visits
}

// counter is the address that visits comes from.
var counter = net.IPv4(127, 0, 0, 9)

// newSite takes a port that is free on all of its addresses. It is none of those that the system gives to whoever asks for any: between the first
// at and the next a server of another test could get it.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, met: map[string]int{}, counted: make(chan struct{}, 1)}
	for range 100 {
		s.port = strconv.Itoa(10000 + mathrand.IntN(20000))
		if !slices.ContainsFunc([]string{"127.0.0.1", "127.0.0.2", "127.0.0.3"}, s.taken) {
			return s
		}
	}
	t.Fatal("no free port")
	return nil
}

func (s *site) taken(ip string) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(ip, s.port))
	if err != nil {
		return true
	}
	return l.Close() != nil
}

// at serves each connection to ip with handle.
func (s *site) at(ip string, handle func(net.Conn)) {
	s.t.Helper()
	meet := func(conn net.Conn) bool {
		if from := conn.RemoteAddr().(*net.TCPAddr); from.IP.Equal(counter) {
			s.counted <- struct{}{}
			return false
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.met[ip]++
		return true
	}
	meetAt(s.t, net.JoinHostPort(ip, s.port), meet, handle)
}

// visits is how many connections ip got: connections are taken in their order, so all of those that were made before this one are counted.
func (s *site) visits(ip string) int {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: counter}}
	if conn, err := d.DialContext(s.t.Context(), "tcp", net.JoinHostPort(ip, s.port)); err == nil {
		defer conn.Close()
		<-s.counted
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.met[ip]
}

// says answers each request over TLS with text.
func says(conf *tls.Config, text string) func(net.Conn) {
	return func(conn net.Conn) {
		server := tls.Server(conn, conf)
		br := bufio.NewReader(server)
		for {
			if _, err := http.ReadRequest(br); err != nil {
				return
			}
			fmt.Fprintf(server, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
		}
	}
}

// smallOnly loses every ClientHello that is not small.
func smallOnly(lost *atomic.Int32, next func(net.Conn)) func(net.Conn) {
	return func(conn net.Conn) {
		head := make([]byte, 5)
		if _, err := io.ReadFull(conn, head); err != nil {
			return
		}
		if binary.BigEndian.Uint16(head[3:]) > 600 {
			lost.Add(1)
			hold(conn)
			return
		}
		next(&replay{Conn: conn, r: io.MultiReader(bytes.NewReader(head), conn)})
	}
}

type replay struct {
	net.Conn
	r io.Reader
}

func (c *replay) Read(p []byte) (int, error) { return c.r.Read(p) }

func resetTLS(conn net.Conn) {
	conn.Read(make([]byte, 1))
	reset(conn)
}

// finds is a resolver with one answer.
func finds(ips ...string) func(context.Context, string) ([]netip.Addr, error) {
	return func(context.Context, string) ([]netip.Addr, error) {
		var all []netip.Addr
		for _, ip := range ips {
			all = append(all, netip.MustParseAddr(ip))
		}
		return all, nil
	}
}

// A journal is what a client has logged.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// fallbacks returns the lines about fallbacks.
func (j *journal) fallbacks() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var lines []string
	for line := range strings.Lines(j.b.String()) {
		if strings.Contains(line, "a fallback works") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func wantOneFallback(t *testing.T, j *journal, parts ...string) {
	t.Helper()
	lines := j.fallbacks()
	if len(lines) != 1 {
		t.Fatalf("logged %q, want one line", lines)
	}
	for _, part := range parts {
		if !strings.Contains(lines[0], part) {
			t.Errorf("the line %q lacks %q", lines[0], part)
		}
	}
}

// state returns all that m knows, which must be about one host.
func state(t *testing.T, m *Memory) HostState {
	t.Helper()
	hosts := m.Hosts()
	if len(hosts) != 1 {
		t.Fatalf("the memory knows %+v, want one host", hosts)
	}
	return hosts[0]
}
