package transport

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// A testResolver speaks DNS over HTTPS.
type testResolver struct {
	*httptest.Server
	asked atomic.Int32
}

// newResolver starts a resolver that has one answer to every question; it adds its
// certificate to the PEM file roots.
func newResolver(t *testing.T, roots string, answer func(q dns.Question, m *dns.Msg)) *testResolver {
	t.Helper()
	r := &testResolver{}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.asked.Add(1)
		data, err := io.ReadAll(req.Body)
		var q, m dns.Msg
		if err != nil || q.Unpack(data) != nil || len(q.Question) != 1 || q.Id != 0 ||
			req.Method != "POST" || req.Header.Get("Content-Type") != dohType || req.URL.Path != "/dns-query" {
			t.Errorf("got no question: %s %s %x", req.Method, req.URL, data)
			return
		}
		m.SetReply(&q)
		answer(q.Question[0], &m)
		packed, err := m.Pack()
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", dohType)
		w.Write(packed)
	}))
	r.start(t, roots)
	return r
}

func (r *testResolver) start(t *testing.T, roots string) {
	t.Helper()
	r.EnableHTTP2 = true
	r.Config.ErrorLog = log.New(io.Discard, "", 0)
	r.StartTLS()
	t.Cleanup(r.Close)
	appendPEM(t, roots, r.Server)
}

func appendPEM(t *testing.T, roots string, server *httptest.Server) {
	t.Helper()
	more, err := os.ReadFile(writePEM(t, server))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(roots, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(more); err != nil {
		t.Fatal(err)
	}
}

func (r *testResolver) query() string { return r.URL + "/dns-query" }

// tells answers with addresses of the kind that is asked for.
func tells(ips ...string) func(dns.Question, *dns.Msg) {
	return func(q dns.Question, m *dns.Msg) {
		for _, s := range ips {
			ip := netip.MustParseAddr(s)
			h := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: 60}
			switch {
			case ip.Is4() && q.Qtype == dns.TypeA:
				m.Answer = append(m.Answer, &dns.A{Hdr: h, A: ip.AsSlice()})
			case ip.Is6() && q.Qtype == dns.TypeAAAA:
				m.Answer = append(m.Answer, &dns.AAAA{Hdr: h, AAAA: ip.AsSlice()})
			}
		}
	}
}

func refuses(code int) func(dns.Question, *dns.Msg) {
	return func(_ dns.Question, m *dns.Msg) { m.Rcode = code }
}

// The names below localhost are those whose addresses on loopback are above suspicion.
func TestDoHAfterSystem(t *testing.T) {
	ca := newAuthority(t)
	fails := func(e net.DNSError) func(context.Context, string) ([]netip.Addr, error) {
		return func(context.Context, string) ([]netip.Addr, error) { return nil, &e }
	}
	forged := says(ca.conf("other.test"), "forged")
	for _, tt := range []struct {
		name   string
		lookup func(context.Context, string) ([]netip.Addr, error)
		liar   func(net.Conn) // at 127.0.0.2
	}{
		{"NXDOMAIN", fails(net.DNSError{IsNotFound: true}), nil},
		{"SERVFAIL", fails(net.DNSError{IsTemporary: true}), nil},
		{"no address", finds(), nil},
		{"unspecified addresses", finds("0.0.0.0", "::"), nil},
		{"forged AAAA", finds("2001::1"), nil},
		{"silent resolver", func(ctx context.Context, _ string) ([]netip.Addr, error) { <-ctx.Done(); return nil, ctx.Err() }, nil},
		{"nobody listens", finds("127.0.0.2"), nil},
		{"silent", finds("127.0.0.2"), hold},
		{"reset", finds("127.0.0.2"), resetTLS},
		{"certificate of another host", finds("127.0.0.2"), forged},
		{"two liars", finds("127.0.0.2", "127.0.0.3"), forged},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			s.at("127.0.0.1", says(ca.conf("up.localhost"), "ok"))
			if tt.liar != nil {
				s.at("127.0.0.2", tt.liar)
				s.at("127.0.0.3", tt.liar)
			}
			resolver := newResolver(t, ca.roots, tells("127.0.0.1"))
			var log journal
			cfg := quickly(ca, tt.lookup)
			cfg.DoH, cfg.Memory, cfg.Logger = []string{resolver.query()}, NewMemory(), log.logger()
			client := newClient(t, cfg)
			url := "https://up.localhost:" + s.port
			if _, body := mustGet(t, client, url); body != "ok" {
				t.Errorf("got %q", body)
			}
			wantOneFallback(t, &log, "address 127.0.0.1 from doh")
			if got := state(t, cfg.Memory); got.Source != FromDoH || got.Addr.String() != "127.0.0.1" {
				t.Errorf("remembered %+v", got)
			}
			before, asked := s.visits("127.0.0.2"), resolver.asked.Load()
			client.CloseIdleConnections()
			mustGet(t, client, url)
			if s.visits("127.0.0.2") != before || resolver.asked.Load() != asked || asked != 2 {
				t.Errorf("the resolver was asked %d times, then %d; the liar %d times, then %d",
					asked, resolver.asked.Load(), before, s.visits("127.0.0.2"))
			}
		})
	}
}

func TestDoHIsNotAsked(t *testing.T) {
	ca, s := newAuthority(t), newSite(t)
	resolver := newResolver(t, ca.roots, tells("127.0.0.2"))
	s.at("127.0.0.1", says(ca.conf("up.localhost"), "ok"))
	cfg := quickly(ca, loopback)
	cfg.FallbackDelay, cfg.DoH = hour, []string{resolver.query()}
	client := newClient(t, cfg)
	mustGet(t, client, "https://up.localhost:"+s.port)
	_, _, err := get(t, client, "https://127.0.0.1:"+s.port) // an address needs nobody to find it
	wantError(t, err, OpTLS, BadHostname)
	if resolver.asked.Load() != 0 {
		t.Errorf("the resolver was asked %d times", resolver.asked.Load())
	}
}

// A name of the world that leads to this machine is suspicious, and used where nothing better is known.
func TestDoubtfulAddress(t *testing.T) {
	ca := newAuthority(t)
	for _, known := range []bool{true, false} {
		here := newServer(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "here") })
		_, port, _ := net.SplitHostPort(here.Listener.Addr().String())
		answer := refuses(dns.RcodeNameError)
		if known {
			answer = tells("10.1.2.3")
		}
		resolver := newResolver(t, ca.roots, answer)
		cfg := quickly(ca, loopback)
		cfg.DoH = []string{resolver.query()}
		cfg = cfg.must(t)
		roots, err := loadRoots(cfg.RootFiles)
		if err != nil {
			t.Fatal(err)
		}
		d := newDialer(&cfg, roots)
		if d.names.doh, err = newDoH(cfg.DoH, d, roots); err != nil {
			t.Fatal(err)
		}
		var met []string
		d.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if strings.HasSuffix(addr, ":"+port) {
				met = append(met, addr)
				addr = here.Listener.Addr().String()
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		}
		conn, err := d.DialContext(t.Context(), "tcp", "up.test:"+port)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		want := "127.0.0.1:" + port
		if known {
			want = "10.1.2.3:" + port
		}
		if !slices.Equal(met, []string{want}) {
			t.Errorf("connected to %v, want %s", met, want)
		}
	}
}

func TestManyResolvers(t *testing.T) {
	ca, s := newAuthority(t), newSite(t)
	s.at("127.0.0.1", says(ca.conf("up.localhost"), "ok"))
	silent := &testResolver{Server: httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done() // the client must leave when it has another answer
	}))}
	silent.start(t, ca.roots)
	wrong := &testResolver{Server: httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "<html>log in first</html>")
	}))}
	wrong.start(t, ca.roots)
	good := newResolver(t, ca.roots, tells("127.0.0.1"))
	cfg := quickly(ca, finds())
	cfg.DoH = []string{silent.query(), wrong.query(), newResolver(t, ca.roots, refuses(dns.RcodeServerFailure)).query(),
		newResolver(t, ca.roots, refuses(dns.RcodeNameError)).query(), newResolver(t, ca.roots, tells("0.0.0.0")).query(),
		"https://gone.localhost:" + strings.Split(refusedPort(t), ":")[1], good.query()}
	if _, body := mustGet(t, newClient(t, cfg), "https://up.localhost:"+s.port); body != "ok" {
		t.Errorf("got %q", body)
	}
}

// What all resolvers together say where none has an address.
func TestNoResolverKnows(t *testing.T) {
	ca := newAuthority(t)
	for _, tt := range []struct {
		codes []int
		want  Failure
	}{
		{[]int{dns.RcodeNameError, dns.RcodeNameError}, NXDomain},
		{[]int{dns.RcodeNameError, dns.RcodeServerFailure}, DNSTemporary},
		{[]int{dns.RcodeSuccess}, NXDomain}, // no data
	} {
		cfg := Config{RootFiles: []string{ca.roots}, Lookup: finds()}
		for _, code := range tt.codes {
			cfg.DoH = append(cfg.DoH, newResolver(t, ca.roots, refuses(code)).query())
		}
		cfg = cfg.must(t)
		roots, err := loadRoots(cfg.RootFiles)
		if err != nil {
			t.Fatal(err)
		}
		d, err := newDoH(cfg.DoH, newDialer(&cfg, roots), roots)
		if err != nil {
			t.Fatal(err)
		}
		if ips, err := d.lookup(t.Context(), "gone.test"); len(ips) != 0 || failureOf(err) != tt.want {
			t.Errorf("%v: got %v, %v, want %s", tt.codes, ips, err, tt.want)
		}
		if len(d.kept) != 0 {
			t.Errorf("kept %v", d.kept)
		}
	}
}

// answering makes a doh whose resolvers are never reached over a network.
func answering(n int, answer func(ctx context.Context) (ip string, err error)) *doh {
	d := &doh{kept: map[string]*dohAnswer{}, client: &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
		data, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		var q dns.Msg
		if err := q.Unpack(data); err != nil {
			return nil, err
		}
		ip, err := answer(req.Context())
		if err != nil {
			return nil, err
		}
		m := new(dns.Msg)
		m.SetReply(&q)
		tells(ip)(q.Question[0], m)
		if data, err = m.Pack(); err != nil {
			return nil, err
		}
		return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {dohType}}, Body: io.NopCloser(strings.NewReader(string(data)))}, nil
	})}}
	for range n {
		d.urls = append(d.urls, "https://dns.test/")
	}
	return d
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestDoHKeepsAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		d := answering(1, func(context.Context) (string, error) {
			asked.Add(1)
			<-time.After(time.Second)
			return "192.0.2.1", nil
		})
		ask := func() {
			if ips, err := d.lookup(t.Context(), "up.test"); err != nil || len(ips) != 1 {
				t.Errorf("got %v, %v", ips, err)
			}
		}
		for range 10 {
			go ask()
		}
		ask()
		synctest.Wait()
		if asked.Load() != 2 { // A and AAAA
			t.Errorf("asked %d times for one name", asked.Load())
		}
		time.Sleep(59 * time.Second)
		ask()
		if asked.Load() != 2 {
			t.Error("asked again before the answer was out of date")
		}
		time.Sleep(2 * time.Second)
		ask()
		if asked.Load() != 4 {
			t.Error("not asked again when the answer was out of date")
		}
	})
}

// Who waits for the answer to somebody else's question gets one although that one leaves.
func TestDoHAskerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left atomic.Bool
		d := answering(1, func(ctx context.Context) (string, error) {
			if left.Load() {
				return "192.0.2.1", nil
			}
			<-ctx.Done()
			return "", ctx.Err()
		})
		ctx, cancel := context.WithCancel(t.Context())
		results := make(chan error)
		ask := func(ctx context.Context) {
			_, err := d.lookup(ctx, "up.test")
			results <- err
		}
		go ask(ctx)
		synctest.Wait()
		go ask(t.Context())
		synctest.Wait()
		left.Store(true)
		cancel()
		first, second := <-results, <-results
		if first == nil {
			first, second = second, first
		}
		if !errors.Is(first, context.Canceled) || second != nil {
			t.Errorf("the first got %v, the second %v", first, second)
		}
	})
}

func TestDoHIsBounded(t *testing.T) {
	d := answering(2, func(context.Context) (string, error) { return "192.0.2.1", nil })
	for i := range dohMaxKept + 10 {
		if _, err := d.lookup(t.Context(), "h"+strings.Repeat("x", i%60)+string(rune('a'+i/60))+".test"); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.kept) > dohMaxKept {
		t.Errorf("kept %d answers", len(d.kept))
	}
}

func TestSift(t *testing.T) {
	for _, tt := range []struct{ host, ips, good, doubtful string }{
		{"up.test", "192.0.2.1 2001:db8::1 ::ffff:192.0.2.2", "192.0.2.1 2001:db8::1 192.0.2.2", ""},
		{"up.test", "0.0.0.0 :: 2001::1 2001:0:ffff::1 224.0.0.1 ff02::1", "", ""},
		{"up.test", "2001:1::1 2001:4860::1", "2001:1::1 2001:4860::1", ""},
		{"up.test", "127.0.0.1 ::1 10.0.0.1 192.168.1.1 fd00::1 169.254.1.1", "10.0.0.1 192.168.1.1 fd00::1 169.254.1.1", "127.0.0.1 ::1"},
		{"localhost", "127.0.0.1 ::1", "127.0.0.1 ::1", ""},
		{"a.LOCALHOST.", "127.0.0.1", "127.0.0.1", ""},
		{"mymachine", "127.0.1.1", "127.0.1.1", ""},
	} {
		in, _ := finds(strings.Fields(tt.ips)...)(t.Context(), "")
		good, doubtful := sift(tt.host, in)
		if diff := cmp.Diff([]string{tt.good, tt.doubtful}, []string{join(good), join(doubtful)}); diff != "" {
			t.Errorf("%s %s: %s", tt.host, tt.ips, diff)
		}
	}
}

func join(ips []netip.Addr) string {
	var s []string
	for _, ip := range ips {
		s = append(s, ip.String())
	}
	return strings.Join(s, " ")
}

// rrs makes a message of records in the text form of zone files.
func rrs(question string, kind uint16, records ...string) []byte {
	m := new(dns.Msg)
	m.SetQuestion(question, kind)
	m.Response = true
	for _, s := range records {
		rr, err := dns.NewRR(s)
		if err != nil {
			panic(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	data, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return data
}

func TestDNSAnswer(t *testing.T) {
	query := new(dns.Msg)
	query.SetQuestion("up.test.", dns.TypeA)
	packed, err := query.Pack()
	if err != nil {
		t.Fatal(err)
	}
	truncated := rrs("up.test.", dns.TypeA)
	truncated[2] |= 2
	for _, tt := range []struct {
		name string
		data []byte
		want string
		life time.Duration
		fail Failure
	}{
		{"one", rrs("up.test.", dns.TypeA, "up.test. 300 IN A 192.0.2.1"), "192.0.2.1", 300 * time.Second, ""},
		{"the shortest life", rrs("UP.test.", dns.TypeA, "up.TEST. 300 IN A 192.0.2.1", "up.test. 20 IN A 192.0.2.2"), "192.0.2.1 192.0.2.2", 20 * time.Second, ""},
		{"aliases", rrs("up.test.", dns.TypeA, "a.test. 300 IN A 192.0.2.1", "up.test. 40 IN CNAME b.test.", "b.test. 300 IN CNAME A.test."), "192.0.2.1", 40 * time.Second, ""},
		{"nothing", rrs("up.test.", dns.TypeA), "", time.Hour, ""},
		{"alias to nothing", rrs("up.test.", dns.TypeA, "up.test. 40 IN CNAME b.test."), "", 40 * time.Second, ""},
		{"another name", rrs("up.test.", dns.TypeA, "evil.test. 300 IN A 192.0.2.1"), "", time.Hour, ""},
		{"another class", rrs("up.test.", dns.TypeA, "up.test. 300 CH A 192.0.2.1"), "", time.Hour, ""},
		{"another kind", rrs("up.test.", dns.TypeA, "up.test. 300 IN AAAA 2001:db8::1", `up.test. 300 IN TXT "192.0.2.1"`), "", time.Hour, ""},
		{"a circle", rrs("up.test.", dns.TypeA, "up.test. 40 IN CNAME b.test.", "b.test. 40 IN CNAME up.test."), "", 0, DNSTemporary},
		{"another question", rrs("evil.test.", dns.TypeA, "up.test. 300 IN A 192.0.2.1"), "", 0, DNSTemporary},
		{"another kind of question", rrs("up.test.", dns.TypeAAAA, "up.test. 300 IN A 192.0.2.1"), "", 0, DNSTemporary},
		{"a question", packed, "", 0, DNSTemporary},
		{"truncated", truncated, "", 0, DNSTemporary},
		{"no message", []byte("<html>"), "", 0, DNSTemporary},
		{"empty", nil, "", 0, DNSTemporary},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ips, life, err := dnsAnswer(tt.data, "up.test", dns.TypeA)
			if join(ips) != tt.want || life != tt.life || (err != nil) != (tt.fail != "") || err != nil && failureOf(err) != tt.fail {
				t.Errorf("got %v for %v, error %v", ips, life, err)
			}
		})
	}
}

// Whatever a resolver sends, what comes of it are addresses of the kind that was asked for, each
// in a record of the Internet class.
func FuzzDNSAnswer(f *testing.F) {
	f.Add(rrs("up.test.", dns.TypeA, "up.test. 300 IN A 192.0.2.1"), false)
	f.Add(rrs("up.test.", dns.TypeAAAA, "up.test. 40 IN CNAME b.test.", "b.test. 300 IN AAAA 2001:db8::1"), true)
	f.Add(rrs("up.test.", dns.TypeA, "up.test. 300 CH A 192.0.2.1"), false)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, data []byte, six bool) {
		kind := dns.TypeA
		if six {
			kind = dns.TypeAAAA
		}
		ips, life, err := dnsAnswer(data, "up.test", kind)
		if err != nil && len(ips) > 0 || life < 0 || life > dohMaxLife {
			t.Fatalf("got %v for %v, error %v", ips, life, err)
		}
		if len(ips) == 0 {
			return
		}
		var m dns.Msg
		if err := m.Unpack(data); err != nil {
			t.Fatal(err)
		}
		named := map[netip.Addr]bool{}
		for _, rr := range m.Answer {
			if h := rr.Header(); h.Class != dns.ClassINET || h.Rrtype != kind {
				continue
			}
			for _, s := range strings.Fields(rr.String()) {
				if ip, err := netip.ParseAddr(s); err == nil {
					named[ip.Unmap()] = true
				}
			}
		}
		for _, ip := range ips {
			if !ip.IsValid() || ip.Is4() == six || !named[ip.Unmap()] {
				t.Errorf("%v is not in the answer:\n%v", ip, &m)
			}
		}
	})
}
