// Package weaklink serves an http.Handler over a bad link, for tests and benchmarks.
//
// It listens on loopback alone. What it emulates is in each connection's stream of bytes:
// every byte takes half a round trip in its direction, opening a connection costs a whole
// one, bytes share the rate of the link and have one per connection. There is no slow start and no
// loss of packets; what loss does to a stream, it does by faults: answers that are cut, stall, are reset,
// or are 503.
package weaklink

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"time"
)

// A Config describes a link. The zero value is a perfect one.
type Config struct {
	RTT     time.Duration // round trip; half of it in each direction
	Rate    int64         // bytes a second of all connections together, in each direction; 0 for no limit
	PerConn int64         // bytes a second of one connection, in each direction; 0 for no limit
	TLS     bool          // https, with HTTP/2
	// Host is the name in the URL and in the certificate, for who has another way than the system's
	// resolver to find out that it is 127.0.0.1; "" for 127.0.0.1.
	Host string
	// MaxHello is the length in bytes from which a TLS ClientHello is lost on the way, and all that follows
	// it: what does not fit into one packet does not pass some boxes. 0 for no limit.
	MaxHello int
	Faults   Faults
}

// Faults are probabilities between 0 and 1; what is left of 1 is answered well. Which fault a request
// gets follows from Seed, its path, and how many requests the path has had, so
// that the order in which requests come changes nothing.
type Faults struct {
	Seed        uint64
	Cut         float64       // the body ends in the middle, and the connection with it
	Stall       float64       // the body stops in the middle, and the connection stays
	Reset       float64       // the connection is reset instead of an answer
	Unavailable float64       // 503
	HTTP2       float64       // the stream is reset if it is one of HTTP/2
	RetryAfter  time.Duration // with a 503, in whole seconds; 0 for none
	FirstOnly   bool          // only the first request of each path can fail
}

// Stats are what has happened since the start.
type Stats struct {
	Conns    int64 // connections that were opened
	Requests int64
	Down, Up int64 // bytes of the streams, with headers and TLS
	Faults   int64 // answers that were spoiled
}

// A Link serves one handler.
type Link struct {
	cfg    Config
	srv    *httptest.Server
	down   *pace
	up     *pace
	faults *dealer

	mu    sync.Mutex
	stats Stats
	paths map[string]int
	open  map[*conn]bool
}

// Start serves h over a link until Close.
func Start(cfg Config, h http.Handler) *Link {
	l := &Link{cfg: cfg, down: newPace(cfg.Rate), up: newPace(cfg.Rate), paths: map[string]int{}, open: map[*conn]bool{}}
	l.faults = &dealer{now: cfg.Faults, link: l, next: h, tries: map[string]int{}}
	l.srv = httptest.NewUnstartedServer(l.faults)
	l.srv.Listener = &listener{Listener: l.srv.Listener, link: l}
	l.srv.Config.ErrorLog = log.New(quiet{}, "", log.LstdFlags)
	if cfg.TLS {
		if cfg.Host != "" {
			l.srv.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(cfg.Host)}}
		}
		l.srv.EnableHTTP2 = true
		l.srv.StartTLS()
	} else {
		l.srv.Start()
	}
	return l
}

// URL is where the handler is, over the link.
func (l *Link) URL() string {
	if l.cfg.Host == "" {
		return l.srv.URL
	}
	return strings.Replace(l.srv.URL, "127.0.0.1", l.cfg.Host, 1)
}

// CertPEM is the root certificate of a link with TLS.
func (l *Link) CertPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: l.srv.Certificate().Raw})
}

// Stats returns what has happened since the start or the last Reset.
func (l *Link) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

// Count is the number of requests for a path.
func (l *Link) Count(path string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.paths[path]
}

// Reset forgets what has happened; faults go on from where they were.
func (l *Link) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats, l.paths = Stats{}, map[string]int{}
}

// SetFaults makes other faults befall the requests that come from now on.
func (l *Link) SetFaults(f Faults) {
	l.faults.mu.Lock()
	defer l.faults.mu.Unlock()
	l.faults.now = f
}

// Cut breaks every connection that is open, as a cable that is pulled.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		c.reset()
	}
}

// Close ends the link and its connections.
func (l *Link) Close() {
	l.Cut()
	l.srv.Close()
}

// quiet drops what the server says of handshakes: that they fail is what the link is there for.
type quiet struct{}

func (quiet) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("TLS handshake error")) {
		return len(p), nil
	}
	return os.Stderr.Write(p)
}

func (l *Link) count(f func(*Stats)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.stats)
}

type listener struct {
	net.Listener
	link *Link
}

func (ln *listener) Accept() (net.Conn, error) {
	raw, err := ln.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := newConn(raw, ln.link)
	ln.link.mu.Lock()
	ln.link.stats.Conns++
	ln.link.open[c] = true
	ln.link.mu.Unlock()
	return c, nil
}

// pace says when bytes that want to leave now have left, at a rate. Whoever wakes up late may
// catch up a little, since timers are never early.
type pace struct {
	rate int64
	mu   sync.Mutex
	next time.Time
}

const lateness = 10 * time.Millisecond

func newPace(rate int64) *pace { return &pace{rate: rate} }

func (p *pace) reserve(n int) time.Time {
	now := time.Now()
	if p.rate <= 0 {
		return now
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if earliest := now.Add(-lateness); p.next.Before(earliest) {
		p.next = earliest
	}
	p.next = p.next.Add(time.Duration(int64(n) * int64(time.Second) / p.rate))
	return p.next
}
