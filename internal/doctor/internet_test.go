package doctor

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// An internet is a whole one on loopback: resolvers and servers are real and listen there, and only who dials
// finds them under the addresses that they have in the internet. What has no server swallows packets.
type internet struct {
	t        testing.TB
	ca       *simCA
	truth    map[string][]netip.Addr // the addresses of each name, as they are
	system   func(host string, kind uint16) simDNS
	udp      map[string]simResolver // by address and port
	doh      simResolver            // behind https://9.9.9.9/dns-query
	servers  map[netip.AddrPort]*simServer
	refusing []netip.Addr // nothing listens
	noRoute  []netip.Addr
	widest   int // longest packet that gets through; 0 for any

	// content is what servers answer that have nothing of their own; nil for an empty page.
	content http.Handler
	// listen is where servers and resolvers listen: by default on loopback, at a port that is found for them.
	listen func(network, addr string) (net.Listener, net.PacketConn, error)

	mu      sync.Mutex
	closers []func()
	real    map[string]string // loopback addresses by those of the internet
	leave   map[string]func() // ends what is at an address
}

// A simDNS is what a resolver does with a question.
type simDNS struct {
	silent bool
	code   int
	addrs  []netip.Addr  // of both kinds; those that are asked for are sent
	then   *simDNS       // a second answer
	late   time.Duration // before then
}

type simResolver func(host string, kind uint16) simDNS

const (
	simHost    = "mirror.example.net"
	simControl = "www.control.example"
	simWhoami  = "whoami.example.org"
	simUDP1    = "8.8.4.4:53"
	simUDP2    = "223.5.5.5:53"
)

func addrs(list ...string) []netip.Addr {
	var all []netip.Addr
	for _, s := range list {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

// newInternet is healthy: a mirror and a control, both known to all resolvers.
func newInternet(t testing.TB) *internet { return newInternetAt(t, onLoopback, nil) }

func onLoopback(network, _ string) (l net.Listener, pc net.PacketConn, err error) {
	if network == "udp" {
		pc, err = net.ListenPacket("udp4", "127.0.0.1:0")
	} else {
		l, err = net.Listen("tcp4", "127.0.0.1:0")
	}
	return l, pc, err
}

func newInternetAt(t testing.TB, listen func(string, string) (net.Listener, net.PacketConn, error), content http.Handler) *internet {
	n := &internet{listen: listen, content: content, t: t, ca: newSimCA(t, "Test Root", "Trusted Authority"), servers: map[netip.AddrPort]*simServer{},
		truth: map[string][]netip.Addr{simHost: addrs("45.77.1.10"), simControl: addrs("93.184.1.1")}, udp: map[string]simResolver{},
		real: map[string]string{}, leave: map[string]func(){}}
	n.system, n.doh = n.honest, n.honest
	for i, r := range []string{simUDP1, simUDP2} {
		self := addrs(fmt.Sprintf("74.125.%d.1", i))
		n.udp[r] = func(host string, kind uint16) simDNS {
			if strings.EqualFold(host, simWhoami) {
				return simDNS{addrs: self}
			}
			return n.honest(host, kind)
		}
	}
	n.serve("45.77.1.10:443", &simServer{})
	n.serve("93.184.1.1:443", &simServer{})
	return n
}

// honest answers with the truth.
func (n *internet) honest(host string, _ uint16) simDNS {
	if a, ok := n.truth[strings.ToLower(strings.TrimSuffix(host, "."))]; ok {
		return simDNS{addrs: a}
	}
	return simDNS{code: dns.RcodeNameError}
}

// lie makes a resolver that answers so for the mirror, and else with the truth.
func (n *internet) lie(d simDNS) simResolver {
	return func(host string, kind uint16) simDNS {
		if strings.HasPrefix(host, simHost) {
			return d
		}
		return n.honest(host, kind)
	}
}

func silence(string, uint16) simDNS { return simDNS{silent: true} }

// exam is an examination of a machine in this internet, for one target.
func (n *internet) exam(rawURL, proxy string) (*Exam, Target) {
	n.t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		n.t.Fatal(err)
	}
	target := Target{Role: Upstream, URL: u}
	if proxy != "" {
		if target.Proxy, err = url.Parse(proxy); err != nil {
			n.t.Fatal(err)
		}
	}
	n.start()
	x := &Exam{OS: "linux", Arch: "amd64", Env: map[string]string{}, GoEnv: GoEnv{Version: "go1.26.8"}, Targets: []Target{target},
		Net: Net{Lookup: n.lookup, Resolvers: []string{simUDP1, simUDP2}, DoH: []string{"https://9.9.9.9/dns-query"}, Dial: n.dial,
			Roots: n.ca.pool, Control: simControl, Whoami: simWhoami, Now: time.Now,
			ResolveWait: 1500 * time.Millisecond, LateWait: 400 * time.Millisecond, ConnectWait: time.Second, TLSWait: 1500 * time.Millisecond,
			AnswerWait: time.Second, StallWait: time.Second}}
	return x.Sharing(), target
}

// start begins to listen wherever that has not begun.
func (n *internet) start() {
	for addr, r := range n.udp {
		n.udpServer(addr, r)
	}
	n.udpServer("system", func(host string, kind uint16) simDNS { return n.system(host, kind) })
	if n.doh != nil {
		n.serve("9.9.9.9:443", &simServer{answer: n.dohAnswer})
	}
	n.t.Cleanup(func() {
		for _, f := range n.closers {
			f()
		}
	})
}

// udpServer puts a resolver at an address; "system" is that of the machine.
func (n *internet) udpServer(addr string, r simResolver) {
	_, pc, err := n.listen("udp", addr)
	if err != nil {
		n.t.Fatal(err)
	}
	n.closers = append(n.closers, func() { pc.Close() })
	n.put("udp "+addr, pc.LocalAddr().String())
	go func() {
		buf := make([]byte, 4096)
		for {
			size, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			q := new(dns.Msg)
			if q.Unpack(buf[:size]) != nil {
				continue
			}
			go func() { answerUDP(pc, from, q, r(q.Question[0].Name, q.Question[0].Qtype)) }()
		}
	}()
}

// answerUDP sends an answer, and what comes behind it.
func answerUDP(pc net.PacketConn, to net.Addr, q *dns.Msg, d simDNS) {
	for ; !d.silent; d = *d.then {
		if packed, err := d.reply(q).Pack(); err == nil {
			pc.WriteTo(packed, to)
		}
		if d.then == nil {
			return
		}
		<-time.After(d.late)
	}
}

func (d simDNS) reply(q *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	m.SetRcode(q, d.code)
	for _, a := range d.addrs {
		h := dns.RR_Header{Name: q.Question[0].Name, Rrtype: q.Question[0].Qtype, Class: dns.ClassINET, Ttl: 60}
		switch {
		case a.Is4() && h.Rrtype == dns.TypeA:
			m.Answer = append(m.Answer, &dns.A{Hdr: h, A: a.AsSlice()})
		case a.Is6() && h.Rrtype == dns.TypeAAAA:
			m.Answer = append(m.Answer, &dns.AAAA{Hdr: h, AAAA: a.AsSlice()})
		}
	}
	return m
}

// dohAnswer is the HTTP side of the resolver over HTTPS.
func (n *internet) dohAnswer(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	q := new(dns.Msg)
	if q.Unpack(body) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	d := n.doh(q.Question[0].Name, q.Question[0].Qtype)
	if d.silent {
		<-r.Context().Done()
		return
	}
	packed, _ := d.reply(q).Pack()
	w.Header().Set("Content-Type", "application/dns-message")
	w.Write(packed)
}

func (n *internet) put(addr, realAddr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.real[addr] = realAddr
}

func (n *internet) realAddr(addr string) (string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	a, ok := n.real[addr]
	return a, ok
}

// lookup asks the system's resolver as net.Resolver does, IPv6 first.
func (n *internet) lookup(ctx context.Context, _, host string) ([]netip.Addr, error) {
	var six, four []netip.Addr
	for _, kind := range []uint16{dns.TypeAAAA, dns.TypeA} {
		conn, err := n.dial(ctx, "udp", "system")
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
		conn.Write(packed)
		buf := make([]byte, 4096)
		size, err := conn.Read(buf)
		if err != nil {
			return nil, &net.DNSError{Err: "i/o timeout", Name: host, IsTimeout: true, IsTemporary: true}
		}
		r, _ := dnsReplyTo(q, buf[:size])
		switch {
		case r.code == dns.RcodeNameError:
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		case r.code != dns.RcodeSuccess:
			return nil, &net.DNSError{Err: "server misbehaving", Name: host, IsTemporary: true}
		case kind == dns.TypeA:
			four = r.addrs
		default:
			six = r.addrs
		}
	}
	if len(six)+len(four) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return append(six, four...), nil
}

// dial finds who is behind an address of the internet.
func (n *internet) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) { return nil, &net.OpError{Op: "dial", Net: network, Err: err} }
	if ap, err := netip.ParseAddrPort(addr); err == nil && network == "tcp" {
		switch {
		case slices.Contains(n.refusing, ap.Addr()):
			return fail(syscall.ECONNREFUSED)
		case slices.Contains(n.noRoute, ap.Addr()):
			return fail(syscall.ENETUNREACH)
		}
	}
	key := addr
	if network == "udp" {
		key = "udp " + addr
	}
	realAddr, ok := n.realAddr(key)
	if !ok {
		<-ctx.Done()
		return fail(ctx.Err())
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, realAddr)
	if err != nil || n.widest == 0 || network == "udp" {
		return conn, err
	}
	return &narrow{Conn: conn, widest: n.widest}, nil
}

// narrow loses what is longer than a packet may be.
type narrow struct {
	net.Conn
	widest int
}

func (c *narrow) Write(p []byte) (int, error) {
	if len(p) > c.widest {
		return len(p), nil
	}
	return c.Conn.Write(p)
}
