package doctor

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/goferry/goferry/internal/transport"
)

// TestGoferryIsOfferedWhereItGetsThrough holds the fix to its proof.
func TestGoferryIsOfferedWhereItGetsThrough(t *testing.T) {
	for _, through := range []bool{true, false} {
		n := newInternet(t)
		n.bySize(reset)
		x, _ := n.exam("https://"+simHost, "")
		x.Net.HTTP = &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: n.ca.pool, CurvePreferences: []tls.CurveID{tls.X25519}},
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				if !through {
					return nil, net.ErrClosed
				}
				return n.dial(ctx, network, "45.77.1.10:443")
			},
		}}
		t.Cleanup(x.Net.HTTP.CloseIdleConnections)
		o := networkCheck(t.Context(), x)
		if len(o.Findings) != 1 {
			t.Fatalf("findings: %+v", o)
		}
		f := o.Findings[0]
		offered := slices.ContainsFunc(f.Fixes, func(f Fix) bool { return f.Code == fixGoferryOn })
		if want := yes(through); answerOf(f.Facts, factGoferry) != want || offered != through {
			t.Errorf("goferry gets through: %v; measured %s, offered %v", through, answerOf(f.Facts, factGoferry), offered)
		}
	}
}

// TestOffline: what follows from having no network is still told, as evidence.
func TestOffline(t *testing.T) {
	n := newInternet(t)
	n.system = silence
	x, _ := n.exam("https://"+simHost, "")
	n.real = map[string]string{"udp system": n.real["udp system"]}
	o := networkCheck(t.Context(), x)
	var codes []string
	for _, f := range o.Findings {
		codes = append(codes, f.Code)
	}
	if want := []string{codeOffline, string(VerdictDNSTimeout)}; !slices.Equal(codes, want) {
		t.Errorf("found %q, want %q", codes, want)
	}
	checkCodes(t, o)
}

// TestClosedNetwork: a network that knows no name outside is told from a name that does not exist.
func TestClosedNetwork(t *testing.T) {
	n := newInternet(t)
	deny := func(string, uint16) simDNS { return simDNS{code: dns.RcodeNameError} }
	n.system = deny
	for r := range n.udp {
		n.udp[r] = deny
	}
	n.doh = silence
	x, _ := n.exam("https://"+simHost, "")
	x.Targets = append(x.Targets, Target{Role: Database, URL: &url.URL{Scheme: "https", Host: "sums.example.net"}})
	r := Examine(t.Context(), x, networkChecks(), Options{})
	if len(r.Causes) != 1 || r.Causes[0].Code != codeClosedNetwork || len(r.Causes[0].Follows) != 2 {
		t.Fatalf("causes: %+v", r.Causes)
	}
	for _, f := range r.Causes[0].Follows {
		if f.Code != string(VerdictDNSNXDomain) || slices.ContainsFunc(f.Fixes, func(f Fix) bool { return f.Code == fixSpelling }) {
			t.Errorf("follows: %+v", f)
		}
	}
}

// TestOutOfTime: what was not measured is neither good nor bad.
func TestOutOfTime(t *testing.T) {
	n := newInternet(t)
	n.system = silence
	x, target := n.exam("https://"+simHost, "")
	ctx, cancel := context.WithTimeout(t.Context(), reachSpare+50*time.Millisecond)
	defer cancel()
	r := x.Reach(ctx, target)
	if r.Verdict != VerdictUnknown || r.Op != "" || r.Works() {
		t.Errorf("verdict %s at %q", r.Verdict, r.Op)
	}
	o := networkCheck(ctx, x)
	if o.NotRun != OutOfTime || len(o.Findings) != 0 || answerOf(o.Facts, factReached) != Unmeasured {
		t.Errorf("outcome: %+v", o)
	}
}

// TestMeasuredOnce: checks that need the same do not look twice.
func TestMeasuredOnce(t *testing.T) {
	n := newInternet(t)
	x, target := n.exam("https://"+simHost, "")
	var asked atomic.Int32
	lookup := x.Net.Lookup
	x.Net.Lookup = func(ctx context.Context, network, host string) ([]netip.Addr, error) {
		asked.Add(1)
		return lookup(ctx, network, host)
	}
	done := make(chan Verdict)
	for range 4 {
		go func() { done <- x.Reach(t.Context(), target).Verdict }()
	}
	for range 4 {
		if v := <-done; v != VerdictHealthy {
			t.Error(v)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("the resolver was asked %d times", asked.Load())
	}
}

// TestFlaky: a handshake that works when it is tried again is no block.
func TestFlaky(t *testing.T) {
	n := newInternet(t)
	n.rule(func(h simHello, count int) simDeed {
		if count == 1 {
			return reset
		}
		return serve
	})
	x, _ := n.exam("https://"+simHost, "")
	o := networkCheck(t.Context(), x)
	if len(o.Findings) != 1 || o.Findings[0].Code != codeFlaky || o.Findings[0].Severity != Warning {
		t.Errorf("findings: %+v", o.Findings)
	}
	checkCodes(t, o)
}

// TestDeadAddresses: an address that swallows connections is waited for when its turn comes.
func TestDeadAddresses(t *testing.T) {
	n := newInternet(t)
	n.truth[simHost] = addrs("45.77.1.10", "45.77.1.99")
	x, _ := n.exam("https://"+simHost, "")
	o := networkCheck(t.Context(), x)
	if len(o.Findings) != 1 || o.Findings[0].Code != codeAddressesDead || o.Findings[0].Severity != Warning ||
		o.Findings[0].Args["Dead"] != "45.77.1.99" {
		t.Errorf("findings: %+v", o.Findings)
	}
	checkCodes(t, o)
}

// TestSeverity: a fault is what stops the go command; what it passes by is a warning.
func TestSeverity(t *testing.T) {
	works := func(role Role, sep byte) Reached {
		return Reached{Target: Target{Role: role, URL: &url.URL{Scheme: "http", Host: "a.example"}, Sep: sep}, Ways: []Way{{Connect: Step{Answer: Yes}}}}
	}
	fails := func(role Role, sep byte) Reached {
		return Reached{Target: Target{Role: role, URL: &url.URL{Scheme: "http", Host: "a.example"}, Sep: sep}, Taken: -1}
	}
	for _, c := range []struct {
		name string
		list []Reached
		i    int
		want Severity
	}{
		{"alone", []Reached{fails(Upstream, 0)}, 0, Fault},
		{"the first, with a comma behind", []Reached{fails(Upstream, ','), works(Upstream, 0)}, 0, Fault},
		{"the first, with a bar behind", []Reached{fails(Upstream, '|'), works(Upstream, 0)}, 0, Warning},
		{"the first, with a bar and nothing that works behind", []Reached{fails(Upstream, '|'), fails(Upstream, 0)}, 0, Fault},
		{"the second", []Reached{works(Upstream, ','), fails(Upstream, 0)}, 1, Warning},
		{"direct behind one that works", []Reached{works(Upstream, ','), fails(Origin, 0)}, 1, Warning},
		{"a certificate that the user gave up on", []Reached{{Target: Target{Role: Origin, URL: &url.URL{Scheme: "https", Host: "b.example"}},
			Taken: -1, Failure: transport.UnknownAuthority}}, 0, Note},
		{"a certificate that the user did not give up on", []Reached{{Target: Target{Role: Upstream, URL: &url.URL{Scheme: "https", Host: "b.example"}},
			Taken: -1, Failure: transport.UnknownAuthority}}, 0, Fault},
		{"the database", []Reached{works(Upstream, ','), fails(Database, 0)}, 1, Fault},
		{"an SDK host", []Reached{works(Upstream, ','), fails(SDKHost, 0)}, 1, Fault},
	} {
		x := &Exam{GoEnv: GoEnv{Values: map[string]string{"GOINSECURE": "a.example/x,b.example"}}}
		if got := x.severityOf(c.list, c.i); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestTaken follows net.Dialer: the version of the first address, the other one beside it after 300 ms.
func TestTaken(t *testing.T) {
	way := func(addr string, took time.Duration, f transport.Failure) Way {
		w := Way{Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 443), Connect: Step{Answer: Yes, Took: took}}
		if f != "" {
			w.Connect = Step{Answer: No, Failure: f, Took: took}
		}
		return w
	}
	ms := time.Millisecond
	for _, c := range []struct {
		name string
		ways []Way
		want int
	}{
		{"none", nil, -1},
		{"none connects", []Way{way("1.1.1.1", ms, transport.Refused)}, -1},
		{"the first", []Way{way("1.1.1.1", 90*ms, ""), way("1.1.1.2", ms, "")}, 0},
		{"the second of a version", []Way{way("1.1.1.1", ms, transport.Refused), way("1.1.1.2", ms, "")}, 1},
		{"IPv6 first and fast", []Way{way("2606::1", 200*ms, ""), way("1.1.1.1", ms, "")}, 0},
		{"IPv6 first and slow", []Way{way("2606::1", 400*ms, ""), way("1.1.1.1", ms, "")}, 1},
		{"IPv6 without a route", []Way{way("2606::1", ms, transport.Unreachable), way("1.1.1.1", 900*ms, "")}, 1},
		{"IPv6 that swallows", []Way{way("2606::1", 4000*ms, transport.TimedOut), way("1.1.1.1", 900*ms, "")}, 1},
		{"IPv4 swallows, IPv6 second", []Way{way("1.1.1.1", 4000*ms, transport.TimedOut), way("2606::1", 900*ms, "")}, 1},
		{"a second address behind one that swallows, and IPv6", []Way{way("1.1.1.1", 4000*ms, transport.TimedOut), way("1.1.1.2", ms, ""), way("2606::1", ms, "")}, 2},
	} {
		if got := takenOf(c.ways); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestOddness(t *testing.T) {
	for addr, want := range map[string]oddness{
		"8.8.8.8": addrFine, "2606:4700::1": addrFine, "2001:4860:4860::8888": addrFine, "2001::1f0d:5e01": addrForged,
		"127.0.0.1": addrThisHost, "::1": addrThisHost, "::ffff:127.0.0.1": addrThisHost, "10.1.2.3": addrPrivate, "100.64.3.2": addrPrivate,
		"172.32.0.1": addrFine, "fd00::1": addrPrivate, "198.18.3.4": addrFakeIP, "198.20.0.1": addrFine, "0.0.0.0": addrNowhere,
		"240.0.0.1": addrNowhere, "255.255.255.255": addrNowhere, "2001:db8::1": addrNowhere, "::": addrNowhere,
	} {
		if got := dnsOddness(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
}

func TestGodebug(t *testing.T) {
	for _, c := range []struct{ list, want string }{
		{"", "tlsmlkem=0"}, {"http2client=0", "http2client=0,tlsmlkem=0"}, {"tlsmlkem=1,netdns=go", "netdns=go,tlsmlkem=0"},
	} {
		if got := withGodebug(c.list, "tlsmlkem", "0"); got != c.want || godebug(got, "tlsmlkem") != "0" {
			t.Errorf("%q becomes %q, want %q", c.list, got, c.want)
		}
	}
	for version, want := range map[string]int{"go1.26.8": 26, "go1.9": 9, "go1.27rc1": 27, "devel go1.28": 0, "": 0, "go1.": 0} {
		if got := goMinor(version); got != want {
			t.Errorf("%q: %d, want %d", version, got, want)
		}
	}
}

// TestUnluckyOf is a close race: what comes in second may come in first next time.
func TestUnluckyOf(t *testing.T) {
	way := func(addr string, connect time.Duration, shakes Answer) Way {
		return Way{Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 443), Connect: Step{Answer: Yes, Took: connect}, TLS: Step{Answer: shakes}}
	}
	four := way("1.1.1.1", time.Millisecond, Yes)
	for _, c := range []struct {
		six  Way
		want int
	}{
		{way("2606::1", 400*time.Millisecond, No), 0}, {way("2606::1", 400*time.Millisecond, Yes), 1}, {way("2606::1", 2*time.Second, No), 1},
	} {
		ways := []Way{c.six, four}
		if got := unluckyOf(ways, takenOf(ways)); got != c.want {
			t.Errorf("%+v: %d, want %d", c.six, got, c.want)
		}
	}
}

// BenchmarkHealthyNetwork is how long a user waits for all checks of the network where nothing is wrong, but that IPv6 is swallowed.
func BenchmarkHealthyNetwork(b *testing.B) {
	benchmarkNetwork(b, "", func(n *internet) { n.truth[simHost] = addrs("45.77.1.10", "2a00:1450::10") })
}

// BenchmarkPlainNetwork is how long it takes where there is no IPv6.
func BenchmarkPlainNetwork(b *testing.B) { benchmarkNetwork(b, "", func(*internet) {}) }

// BenchmarkDeadNetwork is how long a user waits where nothing answers at all.
func BenchmarkDeadNetwork(b *testing.B) {
	benchmarkNetwork(b, codeOffline, (*internet).dead)
}

// BenchmarkSilentHandshakes is the longest way to a verdict: all works until the handshake, and nothing after it.
func BenchmarkSilentHandshakes(b *testing.B) {
	benchmarkNetwork(b, string(VerdictTLSTimeout), func(n *internet) { n.rule(func(simHello, int) simDeed { return hold }) })
}

// benchmarkNetwork takes the waits of a real examination.
func benchmarkNetwork(b *testing.B, want string, build func(*internet)) {
	l := newHTTPLab(b)
	w := whole{network: network{build: build, tune: func(x *Exam) {
		x.Net.ResolveWait, x.Net.LateWait, x.Net.ConnectWait, x.Net.TLSWait, x.Net.AnswerWait, x.Net.StallWait = 0, 0, 0, 0, 0, 0
	}}}
	for b.Loop() {
		if got := firstOf(w.report(b, l).Causes).Code; got != want {
			b.Fatalf("found %q, want %q", got, want)
		}
	}
}
