package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	dohType    = "application/dns-message" // RFC 8484, section 6
	dohMaxBody = 64 << 10                  // a DNS message is no longer
	dohMinLife = 30 * time.Second          // of an answer, whatever its TTL
	dohMaxLife = time.Hour
	dohMaxKept = 512
	dohChain   = 16 // CNAMEs that are followed
)

// A ResolverError says which URL of Config.DoH could not be used.
type ResolverError struct {
	URL string // without user and password
	Err error
}

// Error names the URL and the reason.
func (e *ResolverError) Error() string { return fmt.Sprintf("DNS over HTTPS %s: %v", e.URL, e.Err) }

// Unwrap returns e.Err.
func (e *ResolverError) Unwrap() error { return e.Err }

// A doh asks resolvers by DNS over HTTPS (RFC 8484), all at once.
type doh struct {
	urls   []string
	client *http.Client

	mu   sync.Mutex
	kept map[string]*dohAnswer
}

// A dohAnswer is kept, or being waited for.
type dohAnswer struct {
	done  chan struct{} // closed when the rest is set
	addrs []netip.Addr
	err   error
	until time.Time // zero while it is waited for
}

// newDoH returns nil for no URLs. Connections to the resolvers are made by d without DNS
// over HTTPS, which would ask itself.
func newDoH(urls []string, d *dialer, roots *x509.CertPool) (*doh, error) {
	if len(urls) == 0 {
		return nil, nil
	}
	for _, s := range urls {
		u, err := url.Parse(s)
		switch {
		case err != nil:
			return nil, &ResolverError{URL: "setting", Err: errors.New("not a URL")} // the text may hold a password
		case u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "":
			return nil, &ResolverError{URL: u.Redacted(), Err: errors.New("not of the form https://HOST/PATH")}
		}
	}
	conf := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	base := &http.Transport{
		DialTLSContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return d.tls(ctx, addr, conf, false)
		},
		DisableCompression:     true,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: maxHeaderBytes,
		ForceAttemptHTTP2:      true,
	}
	conf.NextProtos = nextProtos(base)
	refuse := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &doh{urls: urls, client: &http.Client{Transport: base, CheckRedirect: refuse}, kept: map[string]*dohAnswer{}}, nil
}

// apart is a context without the values of the one it ends with: the hooks of the request
// that needs an address must not hear of the requests that find it.
type apart struct{ context.Context }

// Value returns nil.
func (apart) Value(any) any { return nil }

// lookup returns the addresses of host, from the first resolver that has a good answer.
func (d *doh) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	for {
		a, mine := d.answer(host)
		if mine {
			addrs, life, err := d.ask(apart{ctx}, host)
			d.publish(host, a, addrs, life, err)
			return addrs, err
		}
		select {
		case <-a.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		// Whoever asked may have left before there was an answer; ask again then.
		if a.err == nil || !errors.Is(a.err, context.Canceled) {
			return a.addrs, a.err
		}
	}
}

// answer returns what is known or being asked, or else what the caller has to fill in.
func (d *doh) answer(host string) (a *dohAnswer, mine bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a = d.kept[host]
	if a != nil && (a.until.IsZero() || time.Now().Before(a.until)) {
		return a, false
	}
	a = &dohAnswer{done: make(chan struct{})}
	d.kept[host] = a
	return a, true
}

// publish gives an answer to all who wait for it, and keeps it for its life if there is one.
func (d *doh) publish(host string, a *dohAnswer, addrs []netip.Addr, life time.Duration, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a.addrs, a.err, a.until = addrs, err, time.Now().Add(min(max(life, dohMinLife), dohMaxLife))
	close(a.done)
	if a.err != nil {
		delete(d.kept, host)
		return
	}
	for len(d.kept) > dohMaxKept && d.dropOne(host) {
	}
}

// dropOne forgets the answer that is out of date first, other than that for keep.
func (d *doh) dropOne(keep string) bool {
	var first string
	for host, a := range d.kept {
		if host != keep && !a.until.IsZero() && (first == "" || a.until.Before(d.kept[first].until)) {
			first = host
		}
	}
	delete(d.kept, first)
	return first != ""
}

// ask asks all resolvers for the addresses of host. An answer with a doubtful address is
// used only where no other comes.
func (d *doh) ask(ctx context.Context, host string) ([]netip.Addr, time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		addrs []netip.Addr
		life  time.Duration
		err   error
	}
	results := make(chan result, len(d.urls))
	for _, u := range d.urls {
		go func() {
			addrs, life, err := d.askOne(ctx, u, host)
			results <- result{addrs, life, err}
		}()
	}
	var best, spare result
	for range d.urls { // all are waited for; those that are canceled answer at once
		r := <-results
		good, doubtful := sift(host, r.addrs)
		switch {
		case best.addrs != nil:
		case len(good) > 0:
			best = r
			cancel()
		case len(doubtful) > 0:
			spare = r
		case best.err == nil || dnsSays(r.err) == DNSTemporary:
			best.err = r.err // that one of them could not find out outweighs "no such name"
		}
	}
	if best.addrs == nil && spare.addrs != nil {
		best = spare
	}
	if best.addrs == nil {
		if best.err == nil {
			best.err = &net.DNSError{Err: "no usable address", Name: host, IsNotFound: true}
		}
		return nil, 0, best.err
	}
	return best.addrs, best.life, nil
}

func dnsSays(err error) Failure {
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return dnsFailure(e)
	}
	return DNSTemporary
}

// askOne asks one resolver for both kinds of address; one kind is enough.
func (d *doh) askOne(ctx context.Context, resolver, host string) ([]netip.Addr, time.Duration, error) {
	var six []netip.Addr
	var sixLife time.Duration
	var sixErr error
	var wg sync.WaitGroup
	wg.Go(func() { six, sixLife, sixErr = d.query(ctx, resolver, host, dns.TypeAAAA) })
	four, life, err := d.query(ctx, resolver, host, dns.TypeA)
	wg.Wait()
	switch {
	case len(four) == 0 && len(six) == 0:
		if err == nil || sixErr != nil && dnsSays(err) == NXDomain {
			err = sixErr
		}
		return nil, 0, err
	case len(six) == 0:
		return four, life, nil
	case len(four) == 0:
		return six, sixLife, nil
	}
	return append(four, six...), min(life, sixLife), nil
}

// query sends one question. No address of that kind is no error of its own.
func (d *doh) query(ctx context.Context, resolver, host string, kind uint16) ([]netip.Addr, time.Duration, error) {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(host), kind)
	q.Id = 0 // RFC 8484, section 4.1: for HTTP caches
	packed, err := q.Pack()
	if err != nil {
		return nil, 0, &net.DNSError{Err: err.Error(), Name: host, IsNotFound: true}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, resolver, bytes.NewReader(packed))
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Content-Type", dohType)
	req.Header.Set("Accept", dohType)
	resp, err := d.client.Do(req)
	if err != nil {
		return nil, 0, Clean(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, dohMaxBody))
	if err != nil {
		return nil, 0, err
	}
	kindOf, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode != http.StatusOK || kindOf != dohType {
		return nil, 0, &net.DNSError{Err: fmt.Sprintf("status %d, type %q", resp.StatusCode, clip(kindOf, 50)), Name: host, IsTemporary: true}
	}
	return dnsAnswer(data, host, kind)
}

// dnsAnswer reads the addresses of host, of one kind, from a DNS message, with the
// time for which they are good. Records that do not answer the question are passed over.
func dnsAnswer(data []byte, host string, kind uint16) ([]netip.Addr, time.Duration, error) {
	fail := func(text string, gone bool) ([]netip.Addr, time.Duration, error) {
		return nil, 0, &net.DNSError{Err: text, Name: host, IsNotFound: gone, IsTemporary: !gone}
	}
	var m dns.Msg
	if err := m.Unpack(data); err != nil {
		return fail("not a DNS message", false)
	}
	name := strings.ToLower(dns.Fqdn(host))
	if !m.Response || m.Opcode != dns.OpcodeQuery || m.Truncated || len(m.Question) != 1 ||
		!strings.EqualFold(m.Question[0].Name, name) || m.Question[0].Qtype != kind || m.Question[0].Qclass != dns.ClassINET {
		return fail("not an answer to the question", false)
	}
	switch m.Rcode {
	case dns.RcodeSuccess:
	case dns.RcodeNameError:
		return fail("no such name", true)
	default:
		return fail("response code "+dns.RcodeToString[m.Rcode], false)
	}
	life := uint32(dohMaxLife / time.Second)
	for range dohChain {
		var addrs []netip.Addr
		next := ""
		for _, rr := range m.Answer {
			h := rr.Header()
			if h.Class != dns.ClassINET || !strings.EqualFold(h.Name, name) {
				continue
			}
			if c, ok := rr.(*dns.CNAME); ok {
				next, life = strings.ToLower(c.Target), min(life, h.Ttl)
			} else if ip := recordAddr(rr, kind); ip.IsValid() {
				addrs, life = append(addrs, ip), min(life, h.Ttl)
			}
		}
		if addrs != nil || next == "" {
			return addrs, time.Duration(life) * time.Second, nil
		}
		name = next
	}
	return fail("a chain of aliases without an end", false)
}

// recordAddr returns the address in rr if rr is of the kind that was asked for.
func recordAddr(rr dns.RR, kind uint16) netip.Addr {
	var ip netip.Addr
	switch rr := rr.(type) {
	case *dns.A:
		if kind == dns.TypeA {
			ip, _ = netip.AddrFromSlice(rr.A)
			ip = ip.Unmap()
		}
	case *dns.AAAA:
		if kind == dns.TypeAAAA && len(rr.AAAA) == net.IPv6len {
			ip, _ = netip.AddrFromSlice(slices.Clone(rr.AAAA))
		}
	}
	return ip
}
