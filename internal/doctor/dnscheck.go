package doctor

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/goferry/goferry/internal/transport"
)

// A ResolverKind says how a resolver was asked.
type ResolverKind string

// The kinds of resolvers.
const (
	SystemResolver ResolverKind = "system" // as the go command asks
	UDPResolver    ResolverKind = "udp"    // a public one, without encryption: what stands on the way can answer first
	DoHResolver    ResolverKind = "doh"    // a public one, over HTTPS: nobody on the way can answer, but it may be lied to itself
)

// A NameAnswer is what one resolver said of one name.
type NameAnswer struct {
	Kind    ResolverKind
	Who     string       // address of the resolver, or its host for DoH; empty for the system's
	Addrs   []netip.Addr // of the first answer, IPv4-mapped ones unmapped
	Failure transport.Failure
	Asked   Answer // No if it was not reached at all, Unmeasured if there was no time
	Took    time.Duration
	// Late are the addresses of the last answer to a question that got several different ones: what
	// forges answers is nearer than the resolver, so that the true one comes last.
	Late     []netip.Addr
	Injected bool // a question got several different answers
}

// Names is what the resolvers said of one name.
type Names struct {
	Host   string
	System NameAnswer
	Others []NameAnswer // for comparison; empty where nothing was to be compared
}

const dnsMaxMessage = 64 << 10

func netWait(d, byDefault time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return byDefault
}

func (n Net) resolveWait() time.Duration { return netWait(n.ResolveWait, 4*time.Second) }
func (n Net) lateWait() time.Duration    { return netWait(n.LateWait, 500*time.Millisecond) }
func (n Net) connectWait() time.Duration { return netWait(n.ConnectWait, 4*time.Second) }
func (n Net) tlsWait() time.Duration     { return netWait(n.TLSWait, 4*time.Second) }
func (n Net) answerWait() time.Duration  { return netWait(n.AnswerWait, 5*time.Second) }

func (n Net) now() time.Time {
	if n.Now != nil {
		return n.Now()
	}
	return time.Now()
}

// connectTo makes a connection, or a UDP socket, within wait.
func (n Net) connectTo(ctx context.Context, network, addr string, wait time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if n.Dial != nil {
		return n.Dial(ctx, network, addr)
	}
	return (&net.Dialer{KeepAlive: -1}).DialContext(ctx, network, addr)
}

// dnsAskSystem asks as the go command does.
func (x *Exam) dnsAskSystem(ctx context.Context, host string) NameAnswer {
	a := NameAnswer{Kind: SystemResolver, Asked: Yes}
	start := time.Now()
	lookup := net.DefaultResolver.LookupNetIP
	if x.Net.Lookup != nil {
		lookup = x.Net.Lookup
	}
	wait, cancel := context.WithTimeout(ctx, x.Net.resolveWait())
	defer cancel()
	addrs, err := lookup(wait, "ip", host)
	a.Took = time.Since(start)
	a.Addrs = dnsUnmapped(addrs)
	switch {
	case err != nil && ctx.Err() != nil:
		a.Asked = Unmeasured
	case err != nil:
		if a.Failure = transport.FailureOf(transport.OpResolve, err); wait.Err() != nil {
			a.Failure = transport.TimedOut
		}
	case len(a.Addrs) == 0:
		a.Failure = transport.NXDomain
	}
	return a
}

// dnsAskOthers asks all public resolvers at once.
func (x *Exam) dnsAskOthers(ctx context.Context, host string) []NameAnswer {
	all := make([]NameAnswer, len(x.Net.DoH)+len(x.Net.Resolvers))
	var wg sync.WaitGroup
	for i, u := range x.Net.DoH {
		wg.Go(func() { all[i] = x.dnsAskDoH(ctx, u, host) })
	}
	for i, r := range x.Net.Resolvers {
		wg.Go(func() { all[len(x.Net.DoH)+i] = x.dnsAskUDP(ctx, r, host) })
	}
	wg.Wait()
	return all
}

// A dnsReply is one answer to one question.
type dnsReply struct {
	code  int
	addrs []netip.Addr // sorted
}

func (r dnsReply) equal(s dnsReply) bool { return r.code == s.code && slices.Equal(r.addrs, s.addrs) }

// dnsAskUDP asks a resolver for both kinds of address, each from a socket of its own: what forges
// answers may go on for a while to cut off whatever a socket that was noticed asks.
func (x *Exam) dnsAskUDP(ctx context.Context, resolver, host string) NameAnswer {
	start := time.Now()
	kinds := []uint16{dns.TypeA, dns.TypeAAAA}
	replies := make([][]dnsReply, len(kinds))
	errs := make([]error, len(kinds))
	var wg sync.WaitGroup
	for i, kind := range kinds {
		wg.Go(func() { replies[i], errs[i] = x.dnsQuestion(ctx, resolver, host, kind) })
	}
	wg.Wait()
	a := dnsMerge(ctx, replies, errs)
	a.Kind, a.Who, a.Took = UDPResolver, resolver, time.Since(start)
	return a
}

// dnsMerge makes one answer of those to the questions for A and AAAA.
func dnsMerge(ctx context.Context, replies [][]dnsReply, errs []error) NameAnswer {
	a := NameAnswer{Asked: No, Failure: transport.DNSTemporary}
	absent := 0
	for i, list := range replies {
		if len(list) == 0 {
			a.Failure = transport.FailureOf(transport.OpResolve, errs[i])
			continue
		}
		a.Asked = Yes
		a.Addrs = append(a.Addrs, list[0].addrs...)
		if len(list) > 1 {
			a.Injected = true
		}
		a.Late = append(a.Late, list[len(list)-1].addrs...)
		if c := list[0].code; c == dns.RcodeNameError || c == dns.RcodeSuccess {
			absent++
		}
	}
	if !a.Injected {
		a.Late = nil
	}
	switch {
	case len(a.Addrs) > 0:
		a.Failure = ""
	case absent == len(replies):
		a.Failure = transport.NXDomain
	case a.Asked == Yes:
		a.Failure = transport.DNSTemporary
	case ctx.Err() != nil:
		a.Asked = Unmeasured
	}
	return a
}

// dnsQuestion sends one question, once more if nothing comes, and returns the first answer and those
// that differ from it. Each try has a socket and an ID of its own, so that one try has one true answer.
func (x *Exam) dnsQuestion(ctx context.Context, resolver, host string, kind uint16) (replies []dnsReply, err error) {
	for range 2 {
		replies, err = x.dnsTry(ctx, resolver, host, kind, x.Net.resolveWait()/2)
		if len(replies) > 0 || ctx.Err() != nil {
			break
		}
	}
	return replies, err
}

func (x *Exam) dnsTry(ctx context.Context, resolver, host string, kind uint16, wait time.Duration) ([]dnsReply, error) {
	conn, err := x.Net.connectTo(ctx, "udp", resolver, wait)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(host), kind)
	packed, err := q.Pack()
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(wait))
	if _, err := conn.Write(packed); err != nil {
		return nil, err
	}
	var replies []dnsReply
	buf := make([]byte, dnsMaxMessage)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return replies, err
		}
		r, ok := dnsReplyTo(q, buf[:n])
		if !ok || slices.ContainsFunc(replies, r.equal) {
			continue
		}
		if replies = append(replies, r); len(replies) == 1 {
			conn.SetDeadline(time.Now().Add(x.Net.lateWait()))
		}
	}
}

// dnsReplyTo reads an answer to q; ok is false for what is none.
func dnsReplyTo(q *dns.Msg, packed []byte) (r dnsReply, ok bool) {
	var m dns.Msg
	// What is cut off in the middle still tells who answers.
	if err := m.Unpack(packed); err != nil && len(m.Answer) == 0 {
		return r, false
	}
	if !m.Response || m.Id != q.Id || len(m.Question) != 1 || m.Question[0].Qtype != q.Question[0].Qtype ||
		!strings.EqualFold(m.Question[0].Name, q.Question[0].Name) {
		return r, false
	}
	r.code = m.Rcode
	for _, rr := range m.Answer {
		var ip netip.Addr
		switch rr := rr.(type) {
		case *dns.A:
			ip, _ = netip.AddrFromSlice(rr.A)
		case *dns.AAAA:
			ip, _ = netip.AddrFromSlice(rr.AAAA)
		}
		if ip.IsValid() {
			r.addrs = append(r.addrs, ip.Unmap())
		}
	}
	slices.SortFunc(r.addrs, netip.Addr.Compare)
	r.addrs = slices.Compact(r.addrs)
	return r, true
}

// dnsAskDoH asks a resolver over HTTPS (RFC 8484).
func (x *Exam) dnsAskDoH(ctx context.Context, resolver, host string) NameAnswer {
	start := time.Now()
	bounded, cancel := context.WithTimeout(ctx, x.Net.resolveWait())
	defer cancel()
	tr := x.dnsTransport()
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	kinds := []uint16{dns.TypeA, dns.TypeAAAA}
	replies := make([][]dnsReply, len(kinds))
	errs := make([]error, len(kinds))
	var wg sync.WaitGroup
	for i, kind := range kinds {
		wg.Go(func() {
			r, err := dnsPost(bounded, client, resolver, host, kind)
			if errs[i] = err; err == nil {
				replies[i] = []dnsReply{r}
			}
		})
	}
	wg.Wait()
	a := dnsMerge(ctx, replies, errs)
	a.Kind, a.Who, a.Took = DoHResolver, hostOf(resolver), time.Since(start)
	return a
}

// dnsTransport finds the resolvers' own names by the system's resolver, and connects as all checks do.
func (x *Exam) dnsTransport() *http.Transport {
	conf := &tls.Config{RootCAs: x.Net.Roots, Time: x.Net.Now}
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		addrs := []netip.Addr{}
		if ip, err := netip.ParseAddr(host); err == nil {
			addrs = append(addrs, ip)
		} else {
			addrs = x.dnsAskSystem(ctx, host).Addrs
		}
		err = error(&net.DNSError{Err: "no address", Name: host})
		for _, ip := range addrs {
			var conn net.Conn
			if conn, err = x.Net.connectTo(ctx, network, net.JoinHostPort(ip.String(), port), x.Net.connectWait()/2); err == nil {
				return conn, nil
			}
		}
		return nil, err
	}
	return &http.Transport{DialContext: dial, TLSClientConfig: conf, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10}
}

func dnsPost(ctx context.Context, client *http.Client, resolver, host string, kind uint16) (dnsReply, error) {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(host), kind)
	q.Id = 0 // RFC 8484, section 4.1
	packed, err := q.Pack()
	if err != nil {
		return dnsReply{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, resolver, bytes.NewReader(packed))
	if err != nil {
		return dnsReply{}, err
	}
	req.Header.Set("Content-Type", "application/dns-message")
	req.Header.Set("Accept", "application/dns-message")
	resp, err := client.Do(req)
	if err != nil {
		return dnsReply{}, transport.Clean(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, dnsMaxMessage))
	if err != nil {
		return dnsReply{}, err
	}
	if r, ok := dnsReplyTo(q, data); ok && resp.StatusCode == http.StatusOK {
		return r, nil
	}
	return dnsReply{}, errors.New("no DNS answer")
}

// A dnsScene is what is true of the resolvers whatever name they are asked for.
type dnsScene struct {
	anyName     []netip.Addr // what the system's resolver says of a name that does not exist; empty as it should be
	intercepted Answer       // whether one and the same machine answers in the place of different resolvers
	answersFrom []netip.Addr // where the resolvers ask from
}

// dnsLook finds out who answers. Nobody needs it where all is well.
func (x *Exam) dnsLook(ctx context.Context) dnsScene {
	return shared(ctx, x, "dns", func() dnsScene {
		s := dnsScene{intercepted: Unmeasured}
		var wg sync.WaitGroup
		// With a dot behind: a company's search list may well lead somewhere.
		wg.Go(func() { s.anyName = x.dnsAskSystem(ctx, dnsInvented()+".").Addrs })
		seen := make([][]netip.Addr, len(x.Net.Resolvers))
		if x.Net.Whoami != "" {
			for i, r := range x.Net.Resolvers {
				wg.Go(func() { seen[i] = x.dnsAskUDP(ctx, r, x.Net.Whoami).Addrs })
			}
		}
		wg.Wait()
		s.intercepted, s.answersFrom = dnsSameMachine(seen)
		return s
	})
}

// dnsSameMachine reports whether different resolvers were seen to ask from one and the same address,
// which is that of whoever answers in their place.
func dnsSameMachine(seen [][]netip.Addr) (Answer, []netip.Addr) {
	var all []netip.Addr
	answered := 0
	for _, addrs := range seen {
		if len(addrs) > 0 {
			answered++
		}
		for _, a := range addrs {
			if !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
	}
	switch {
	case answered < 2:
		return Unmeasured, all
	case len(all) == 1:
		return Yes, all
	}
	return No, all
}

// dnsInvented is a name that does not exist. It is below com, which has no wildcard; what is below
// invalid is answered on the machine itself by some resolvers.
func dnsInvented() string {
	var b [9]byte
	rand.Read(b[:])
	return "goferry-" + hex.EncodeToString(b[:]) + ".com"
}

// An oddness says why an address cannot be right, or may not be.
type oddness string

const (
	addrFine     oddness = ""
	addrForged   oddness = "forged"   // in 2001::/32, where no server is, but forged answers are
	addrNowhere  oddness = "nowhere"  // leads nowhere, for anybody
	addrFakeIP   oddness = "fake-ip"  // 198.18.0.0/15 and its like, which local proxy programs give out
	addrThisHost oddness = "loopback" // this machine
	addrPrivate  oddness = "private"  // of a private network: as good as others, if the name is private
)

// dnsOddness judges an address without asking anybody.
func dnsOddness(ip netip.Addr) oddness {
	ip = ip.Unmap()
	for _, b := range dnsBogons() {
		if b.prefix.Contains(ip) {
			return b.odd
		}
	}
	return addrFine
}

type dnsBogon struct {
	prefix netip.Prefix
	odd    oddness
}

// dnsBogons are the special addresses of RFC 6890 and its successors. The first that fits counts. For Teredo see
// Hoang et al., "How Great is the Great Firewall?", 2021.
func dnsBogons() []dnsBogon {
	var list []dnsBogon
	for _, b := range []struct{ prefixes, odd string }{
		{"2001::/32", string(addrForged)},
		{"127.0.0.0/8 ::1/128", string(addrThisHost)},
		{"198.18.0.0/15 2001:2::/48", string(addrFakeIP)},
		{"10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 fc00::/7 169.254.0.0/16 fe80::/10", string(addrPrivate)},
		{"0.0.0.0/8 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 " +
			"::/128 100::/64 2001:10::/28 2001:db8::/32 3fff::/20 5f00::/16 fec0::/10 ff00::/8", string(addrNowhere)},
	} {
		for _, p := range strings.Fields(b.prefixes) {
			list = append(list, dnsBogon{netip.MustParsePrefix(p), oddness(b.odd)})
		}
	}
	return list
}

func dnsUnmapped(addrs []netip.Addr) []netip.Addr {
	var list []netip.Addr
	for _, a := range addrs {
		if a = a.Unmap(); a.IsValid() && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

// dnsList is how addresses are shown.
func dnsList(addrs []netip.Addr) string {
	const most = 4
	var s []string
	for i, a := range addrs {
		if i == most {
			s = append(s, "…")
			break
		}
		s = append(s, a.String())
	}
	return strings.Join(s, " ")
}

// OtherAddrs are the addresses that only the resolvers asked for comparison named, those over HTTPS first.
func (n Names) OtherAddrs() []netip.Addr {
	var list []netip.Addr
	for _, o := range n.Others {
		for _, a := range slices.Concat(o.Late, o.Addrs) {
			odd := dnsOddness(a)
			if !slices.Contains(list, a) && !slices.Contains(n.System.Addrs, a) && odd != addrForged && odd != addrNowhere {
				list = append(list, a)
			}
		}
	}
	// IPv4 is more likely to work, and one kind is enough for a proof.
	slices.SortStableFunc(list, func(a, b netip.Addr) int { return cmp.Compare(a.BitLen(), b.BitLen()) })
	return list
}

// Injected reports whether a question got several different answers, which means that somebody on the way answers too.
func (n Names) Injected() bool {
	return slices.ContainsFunc(n.Others, func(o NameAnswer) bool { return o.Injected })
}

// Genuine reports whether another resolver confirms an address: where answers are being forged on the way
// only what came last counts. It is Unmeasured where no other resolver had an answer.
func (n Names) Genuine(addr netip.Addr) Answer {
	answer := Unmeasured
	injected := n.Injected()
	for _, o := range n.Others {
		if o.Asked != Yes || injected && !o.Injected {
			continue
		}
		addrs := o.Addrs
		if o.Injected {
			addrs = o.Late
		}
		if slices.Contains(addrs, addr) {
			return Yes
		}
		if len(addrs) > 0 {
			answer = No
		}
	}
	return answer
}
