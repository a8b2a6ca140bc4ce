package transport

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const hour = time.Hour // longer than any test: what has this limit must end in another way

// quickly is a Config for tests of fallbacks: they come soon, and nothing else ends by
// itself. Soon is much longer than a handshake takes here, so that none is taken for a stall.
func quickly(ca *authority, lookup func(context.Context, string) ([]netip.Addr, error)) Config {
	return Config{Retries: -1, RootFiles: []string{ca.roots}, Lookup: lookup,
		ConnectTimeout: hour, TLSTimeout: hour, FallbackDelay: time.Second}
}

func TestHosts(t *testing.T) {
	ca, s := newAuthority(t), newSite(t)
	s.at("127.0.0.1", says(ca.conf("up.test"), "ok"))
	cfg := quickly(ca, func(context.Context, string) ([]netip.Addr, error) {
		t.Error("a look-up was made")
		return nil, nil
	})
	cfg.Hosts = map[string][]netip.Addr{"up.test": {netip.MustParseAddr("127.0.0.1")}}
	if _, body := mustGet(t, newClient(t, cfg), "https://UP.test:"+s.port); body != "ok" {
		t.Errorf("got %q", body)
	}
}

// TestOtherAddress has a first address that takes connections and is of no use.
func TestOtherAddress(t *testing.T) {
	ca := newAuthority(t)
	for name, bad := range map[string]func(net.Conn){
		"silent":                           hold,
		"reset":                            resetTLS,
		"closed":                           func(conn net.Conn) { conn.Read(make([]byte, 1)) },
		"certificate of another host":      says(ca.conf("other.test"), "forged"),
		"certificate of another authority": says(newAuthority(t).conf("up.test"), "forged"),
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.at("127.0.0.2", bad)
			s.at("127.0.0.1", says(ca.conf("up.test"), "ok"))
			var log journal
			cfg := quickly(ca, finds("127.0.0.2", "127.0.0.1"))
			cfg.Memory, cfg.Logger = NewMemory(), log.logger()
			client := newClient(t, cfg)
			url := "https://up.test:" + s.port
			if _, body := mustGet(t, client, url); body != "ok" {
				t.Errorf("got %q", body)
			}
			wantOneFallback(t, &log, "up.test:"+s.port, "address 127.0.0.1 from system")
			if got := state(t, cfg.Memory); got.Addr.String() != "127.0.0.1" || got.Source != FromSystem || got.SmallHello || got.IPv4Only {
				t.Errorf("remembered %+v", got)
			}
			before := s.visits("127.0.0.2")
			client.CloseIdleConnections()
			if _, body := mustGet(t, client, url); body != "ok" {
				t.Errorf("got %q", body)
			}
			if after := s.visits("127.0.0.2"); after != before || before == 0 {
				t.Errorf("the bad address got %d connections, then %d", before, after)
			}
			wantOneFallback(t, &log)
		})
	}
}

// A remembered way that fails is no reason to fail.
func TestForgottenWay(t *testing.T) {
	ca, s := newAuthority(t), newSite(t)
	s.at("127.0.0.2", says(ca.conf("other.test"), "forged"))
	s.at("127.0.0.1", says(ca.conf("up.test"), "ok"))
	cfg := quickly(ca, finds("127.0.0.1"))
	cfg.Memory = NewMemory()
	to := routeTo("up.test", s.port)
	cfg.Memory.reached(to, way{small: true, addr: netip.MustParseAddr("127.0.0.2"), source: FromDoH})
	if _, body := mustGet(t, newClient(t, cfg), "https://up.test:"+s.port); body != "ok" {
		t.Errorf("got %q", body)
	}
	if s.visits("127.0.0.2") != 1 {
		t.Errorf("the remembered address got %d connections", s.visits("127.0.0.2"))
	}
	if got := cfg.Memory.way(to); got.source != FromSystem || got.addr.String() != "127.0.0.1" {
		t.Errorf("remembered %+v", got)
	}
}

func TestSmallHello(t *testing.T) {
	ca := newAuthority(t)
	for _, reset := range []bool{false, true} {
		s := newSite(t)
		var lost atomic.Int32
		serve := smallOnly(&lost, says(ca.conf("up.test"), "ok"))
		if reset {
			serve = func(conn net.Conn) {
				if lost.Add(1) == 1 {
					resetTLS(conn)
					return
				}
				smallOnly(&lost, says(ca.conf("up.test"), "ok"))(conn)
			}
		}
		s.at("127.0.0.1", serve)
		var log journal
		cfg := quickly(ca, loopback)
		cfg.Memory, cfg.Logger = NewMemory(), log.logger()
		client := newClient(t, cfg)
		if _, body := mustGet(t, client, "https://up.test:"+s.port); body != "ok" {
			t.Errorf("got %q", body)
		}
		wantOneFallback(t, &log, "small TLS ClientHello")
		got := state(t, cfg.Memory)
		if !got.SmallHello || got.Addr.IsValid() || time.Until(got.Until) < 23*time.Hour {
			t.Errorf("remembered %+v", got)
		}
		if reset {
			continue // the server counts otherwise
		}
		before := lost.Load()
		client.CloseIdleConnections()
		mustGet(t, client, "https://up.test:"+s.port)
		if after := lost.Load(); after != before || before != 1 {
			t.Errorf("%d hellos were lost, then %d", before, after)
		}
	}
}

// What is tried beside a slow handshake does not take its place.
func TestSlowHandshake(t *testing.T) {
	ca := newAuthority(t)
	second := make(chan struct{})
	var n atomic.Int32
	answer := says(ca.conf("up.test"), "ok")
	addr := listen(t, func(conn net.Conn) {
		switch n.Add(1) {
		case 1:
			<-second
			answer(conn)
		case 2:
			close(second)
			hold(conn)
		}
	})
	cfg := quickly(ca, loopback)
	cfg.FallbackDelay, cfg.Memory = 20*time.Millisecond, NewMemory()
	_, port, _ := net.SplitHostPort(addr)
	if _, body := mustGet(t, newClient(t, cfg), "https://up.test:"+port); body != "ok" || n.Load() != 2 {
		t.Errorf("got %q over %d connections", body, n.Load())
	}
	if hosts := cfg.Memory.Hosts(); len(hosts) != 0 {
		t.Errorf("remembered %+v", hosts)
	}
}

// Many who find the same obstacle at once all find the way around it.
func TestManyAtOnce(t *testing.T) {
	ca, s := newAuthority(t), newSite(t)
	s.at("127.0.0.1", says(ca.conf("up.localhost"), "ok"))
	s.at("127.0.0.2", says(ca.conf("other.test"), "forged"))
	resolver := newResolver(t, ca.roots, tells("127.0.0.1"))
	var log journal
	cfg := quickly(ca, finds("127.0.0.2"))
	cfg.FallbackDelay = hour
	cfg.DoH, cfg.Logger = []string{resolver.query()}, log.logger()
	client := newClient(t, cfg)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, body, err := get(t, client, "https://up.localhost:"+s.port); body != "ok" || err != nil {
				t.Errorf("got %q, error %v", body, err)
			}
		})
	}
	wg.Wait()
	wantOneFallback(t, &log)
	if n := resolver.asked.Load(); n != 2 {
		t.Errorf("the resolver was asked %d times", n)
	}
}

// The box that loses hellos may stand behind the proxy.
func TestSmallHelloThroughProxy(t *testing.T) {
	ca := newAuthority(t)
	var lost atomic.Int32
	addr := listen(t, smallOnly(&lost, says(ca.conf("up.test"), "ok")))
	proxy := newServer(t, (&testProxy{t: t}).ServeHTTP)
	cfg := quickly(ca, loopback)
	cfg.Memory, cfg.Proxy = NewMemory(), through(t, proxy.URL)
	_, port, _ := net.SplitHostPort(addr)
	if _, body := mustGet(t, newClient(t, cfg), "https://up.test:"+port); body != "ok" || lost.Load() != 1 {
		t.Errorf("got %q, %d hellos lost", body, lost.Load())
	}
	if got := state(t, cfg.Memory); !got.SmallHello || got.Via != strings.TrimPrefix(proxy.URL, "http://") {
		t.Errorf("remembered %+v", got)
	}
}

// leads makes a dialer's connections to a host's addresses go to places on loopback.
func leads(d *dialer, places map[string]string) {
	d.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		ip, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, network, places[ip])
	}
}

func TestIPv4Only(t *testing.T) {
	ca := newAuthority(t)
	cfg := quickly(ca, finds("2001:db8::1", "2001:db8::2", "192.0.2.1"))
	cfg.Memory = NewMemory()
	roots, err := loadRoots(cfg.RootFiles)
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.must(t)
	d := newDialer(&cfg, roots)
	var six atomic.Int32
	stalls := func(conn net.Conn) { six.Add(1); hold(conn) }
	leads(d, map[string]string{
		"2001:db8::1": listen(t, stalls),
		"2001:db8::2": listen(t, stalls),
		"192.0.2.1":   listen(t, says(ca.conf("up.test"), "ok")),
	})
	conf := &tls.Config{RootCAs: roots}
	for i := range 2 {
		conn, err := d.tls(t.Context(), "up.test:443", conf, true)
		if err != nil {
			t.Fatal(err)
		}
		if c, h2 := tracked(conn); c == nil || h2 {
			t.Errorf("got a connection %T", conn)
		}
		conn.Close()
		if got := state(t, cfg.Memory); !got.IPv4Only || got.SmallHello || got.Addr.IsValid() {
			t.Errorf("remembered %+v", got)
		}
		if i == 0 {
			six.Store(0)
		}
	}
	if six.Load() != 0 {
		t.Error("IPv6 was tried before IPv4, although that had stalled")
	}
}

func TestNothingAnswers(t *testing.T) {
	ca := newAuthority(t)
	for name, handle := range map[string]func(net.Conn){"handshake": hold, "connect": nil} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			cfg := quickly(ca, finds("127.0.0.1", "127.0.0.2"))
			cfg.Retries, cfg.TLSTimeout, cfg.ConnectTimeout, cfg.Memory = 3, short, short, NewMemory()
			var seen []Attempt
			cfg.Observe = func(a Attempt) { seen = append(seen, a) }
			op := OpTLS
			if handle != nil {
				s.at("127.0.0.1", handle)
				s.at("127.0.0.2", handle)
			} else {
				op, s.port = OpConnect, "443"
			}
			client := newClient(t, cfg)
			if handle == nil {
				client = swallowed(t, cfg)
			}
			url := "https://up.test:" + s.port
			_, _, err := get(t, client, url)
			e := wantError(t, err, op, TimedOut)
			if e.Ago != 0 || strings.Contains(e.Error(), "tried") {
				t.Errorf("the first failure is remembered: %v", &e)
			}
			before := s.visits("127.0.0.1")
			_, _, err = get(t, client, url)
			e = wantError(t, err, op, TimedOut)
			if want := "up.test: timed out; tried 1s ago"; e.Ago <= 0 || !strings.HasSuffix(e.Error(), want) || !e.Timeout() {
				t.Errorf("got %v, want …%s", &e, want)
			}
			if after := s.visits("127.0.0.1"); after != before || handle != nil && before == 0 {
				t.Errorf("%d connections, then %d", before, after)
			}
			if len(seen) != 2 {
				t.Errorf("made %d attempts; a host that is left alone is not tried again", len(seen))
			}
			got := state(t, cfg.Memory)
			if got.Failure != TimedOut || got.Op != op || !got.RetryAt.After(got.FailedAt) || got.FailedAt.IsZero() {
				t.Errorf("remembered %+v", got)
			}
		})
	}
}

// swallowed is a client none of whose connections comes about.
func swallowed(t *testing.T, cfg Config) *http.Client {
	client := newClient(t, cfg)
	rt := client.Transport.(*roundTripper)
	cfg = rt.cfg
	d := newDialer(&cfg, nil)
	d.net.ControlContext = func(ctx context.Context, _, _ string, _ syscall.RawConn) error {
		<-ctx.Done()
		return ctx.Err()
	}
	rt.checked = newBase(&cfg, d, &tls.Config{}, true)
	return client
}

// Whoever refuses is asked again at once: it costs nothing, and the server may be starting.
func TestRefusedIsNotRemembered(t *testing.T) {
	tries := 0
	client := newClient(t, Config{Retries: 2, Observe: func(a Attempt) {
		tries++
		if a.Op != OpConnect || a.Failure != Refused {
			t.Errorf("got %+v", a)
		}
	}})
	_, _, err := get(t, client, "https://"+refusedPort(t))
	wantError(t, err, OpConnect, Refused)
	if tries != 3 {
		t.Errorf("made %d attempts", tries)
	}
}

func TestHTTP1AfterHTTP2Errors(t *testing.T) {
	server, roots := newTLSServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 {
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, "ok")
	}))
	var log journal
	var protos []string
	cfg := Config{RootFiles: []string{roots}, Memory: NewMemory(), Logger: log.logger()}
	cfg.Observe = func(a Attempt) { protos = append(protos, a.Proto+string(a.Failure)) }
	client := newClient(t, cfg)
	for range 2 {
		if _, body := mustGet(t, client, server.URL); body != "ok" {
			t.Errorf("got %q", body)
		}
	}
	if want := []string{"h2-protocol", "h2-protocol", "HTTP/1.1", "HTTP/1.1"}; !slices.Equal(protos, want) {
		t.Errorf("attempts %q, want %q", protos, want)
	}
	wantOneFallback(t, &log, strings.TrimPrefix(server.URL, "https://"), "HTTP/1.1")
	if got := state(t, cfg.Memory); time.Until(got.HTTP1Until) <= 0 || time.Until(got.HTTP1Until) > http1Life {
		t.Errorf("remembered %+v", got)
	}
}

// A handshake takes up where one before left, unless nobody checked that one's certificate.
func TestTLSSessions(t *testing.T) {
	server, roots := newTLSServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
	cfg := once()
	cfg.RootFiles = []string{roots}
	cfg.Insecure = func(_, path string) bool { return path == "/insecure" }
	client := newClient(t, cfg)
	for i, path := range []string{"/insecure", "/", "/"} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Close = true // each on a connection of its own
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if got, want := resp.TLS.DidResume, i == 2; got != want {
			t.Errorf("request %d: resumed is %v", i, got)
		}
		if resp.ProtoMajor != 2 || resp.TLS.NegotiatedProtocol != "h2" {
			t.Errorf("request %d: %s", i, resp.Proto)
		}
	}
}
