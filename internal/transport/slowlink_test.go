package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A slowLink carries connections of a bubble, whose time is not real: the bytes towards the
// client are as slow as it says.
type slowLink struct {
	each, all float64 // bytes per second of a connection and of all together; 0 for no bound
	delay     time.Duration

	mu     sync.Mutex
	free   time.Time // when the link is free again
	dialed int
	open   int
	most   int   // connections at the same time
	sent   int64 // bytes to the client, with headers
}

// A slowConn is the server's side of a connection.
type slowConn struct {
	net.Conn
	link *slowLink
	free time.Time
	once sync.Once
}

func (c *slowConn) Write(p []byte) (int, error) {
	const packet = 8 << 10
	for n := 0; n < len(p); {
		piece := p[n:min(n+packet, len(p))]
		if wait := time.Until(c.slot(len(piece))); wait > 0 {
			time.Sleep(wait)
		}
		k, err := c.Conn.Write(piece)
		c.link.mu.Lock()
		c.link.sent += int64(k)
		c.link.mu.Unlock()
		if n += k; err != nil {
			return n, err
		}
	}
	return len(p), nil
}

// slot is when n more bytes have passed.
func (c *slowConn) slot(n int) time.Time {
	l, now := c.link, time.Now()
	at := now
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.each > 0 {
		c.free = later(c.free, now).Add(time.Duration(float64(n) / l.each * float64(time.Second)))
		at = c.free
	}
	if l.all > 0 {
		l.free = later(l.free, now).Add(time.Duration(float64(n) / l.all * float64(time.Second)))
		at = later(at, l.free)
	}
	return at
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (c *slowConn) Close() error {
	c.once.Do(func() {
		c.link.mu.Lock()
		defer c.link.mu.Unlock()
		c.link.open--
	})
	return c.Conn.Close()
}

func (l *slowLink) accept(conn net.Conn) net.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dialed++
	l.open++
	l.most = max(l.most, l.open)
	return &slowConn{Conn: conn, link: l}
}

func (l *slowLink) counts() (dialed, open, most int, sent int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dialed, l.open, l.most, l.sent
}

// onLink runs test with a client of cfg whose server h is behind link: over HTTP/1.1 at
// http://up.test, or over HTTP/2 at https://example.com.
func onLink(t *testing.T, cfg Config, link *slowLink, h http.Handler, h2 bool, test func(t *testing.T, client *http.Client, url string)) {
	t.Helper()
	conf, roots := &tls.Config{NextProtos: []string{"h2", "http/1.1"}}, x509.NewCertPool()
	if h2 {
		server, _ := newTLSServer(t, h)
		conf.Certificates = server.TLS.Certificates
		roots.AddCert(server.Certificate())
	}
	synctest.Test(t, func(t *testing.T) {
		l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
		server := &http.Server{Handler: h, TLSConfig: conf}
		served := make(chan error, 1)
		go func() {
			if h2 {
				served <- server.ServeTLS(l, "", "")
			} else {
				served <- server.Serve(l)
			}
		}()
		client := newClient(t, cfg)
		rt := client.Transport.(*roundTripper)
		dial := func(context.Context, string, string) (net.Conn, error) {
			time.Sleep(link.delay)
			near, far := net.Pipe()
			select {
			case l.conns <- link.accept(far):
				return newTracked(near, near), nil
			case <-l.done:
				return nil, net.ErrClosed
			}
		}
		for base, proto := range map[*http.Transport]string{rt.checked: "h2", rt.checkedHTTP1: "http/1.1"} {
			base.DialContext = dial
			base.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				raw, err := dial(ctx, network, addr)
				if err != nil {
					return nil, err
				}
				conn := tls.Client(raw, &tls.Config{RootCAs: roots, ServerName: "example.com", NextProtos: []string{proto}})
				return conn, conn.HandshakeContext(ctx)
			}
		}
		url := "http://up.test/"
		if h2 {
			url = "https://example.com/"
		}
		test(t, client, url)
		// A server holds its mutex while it says good-bye: in a bubble, that must take no time.
		link.mu.Lock()
		link.each, link.all = 0, 0
		link.mu.Unlock()
		time.Sleep(time.Minute)
		client.CloseIdleConnections()
		server.Close()
		<-served
		synctest.Wait()
		if _, open, _, _ := link.counts(); open != 0 {
			t.Errorf("%d connections are left", open)
		}
		if used := rt.split.memory.used; used != 0 {
			t.Errorf("%d bytes of memory are left", used)
		}
	})
}
