package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/goferry/goferry/internal/transport"
)

// A Step is what came of one step: Yes if it was done, No if it failed.
type Step struct {
	Answer  Answer
	Failure transport.Failure // for No
	Took    time.Duration
}

func (s Step) done() bool   { return s.Answer == Yes }
func (s Step) failed() bool { return s.Answer == No }

// A Way is one address of a target, and how far one gets there.
type Way struct {
	Addr    netip.AddrPort // not valid through a proxy, which alone knows addresses
	Connect Step           // TCP, or the proxy's consent
	TLS     Step           // Unmeasured where there is no TLS or no connection
	State   *tls.ConnectionState
	Certs   []*x509.Certificate // that were shown, trusted or not

	dial   func(ctx context.Context) (net.Conn, error)
	dialed *dialed                                     // the addresses of the proxy; nil without one
	narrow func(ctx context.Context) (net.Conn, error) // dial with small packets; nil for none
	late   *lateShake                                  // a handshake that goes on while it is asked what else gets through; nil for none
}

// A lateShake is for the handshake that comes about after all: the go command waits for 10 s.
type lateShake struct {
	done  chan struct{} // closed when the rest is set
	step  Step
	state *tls.ConnectionState
	certs []*x509.Certificate
}

// works reports whether the way was seen to lead to the host: by its certificate, or for plain http, where
// there is no proof, by a connection.
func (w Way) works(https bool) bool { return w.Connect.done() && (!https || w.TLS.done()) }

// A Reached is how far one gets on the way to a target, before any request.
type Reached struct {
	Target  Target
	Names   Names // of the target, or of the proxy on the way
	Ways    []Way // to the addresses that the system's resolver names, in its order; one through a proxy
	Others  []Way // to addresses that other resolvers name, tried where none of Ways works
	Taken   int   // index in Ways of the one that the go command ends up with; -1 if there is none
	Verdict Verdict
	Op      transport.Op      // the step that fails; empty for VerdictHealthy
	Failure transport.Failure // of that step
	Facts   []Fact

	proofs proofs
	scene  dnsScene
	pinned []hostsLine // that the system's answer comes from; nil if it comes from a resolver
}

// Works reports whether a request can be sent.
func (r Reached) Works() bool { return r.Taken >= 0 && r.Ways[r.Taken].works(r.https()) }

// Addr is the address that the go command ends up with; not valid if there is none.
func (r Reached) Addr() netip.AddrPort {
	if r.Taken < 0 {
		return netip.AddrPort{}
	}
	return r.Ways[r.Taken].Addr
}

func (r Reached) https() bool { return r.Target.URL.Scheme == "https" }

// reachMost is how many addresses of each IP version are tried.
const reachMost = 4

// reachGrace is how long the other addresses have once the host has proved itself at one: as long as it takes to repeat a lost packet.
const reachGrace = 2 * time.Second

// reachSpare is left of a deadline for saying what was found.
const reachSpare = 250 * time.Millisecond

// Reach finds out how far the go command gets on the way to t: it resolves, connects and shakes hands as the go command
// does. Where that fails it tries the same with one thing changed at a time, until it knows what it is that
// does not get through. It returns what it knows when ctx ends.
func (x *Exam) Reach(ctx context.Context, t Target) Reached {
	key := "reach " + t.URL.Scheme + " " + t.Host()
	if t.Proxy != nil {
		key += " by " + t.Proxy.String()
	}
	r := shared(ctx, x, key, func() Reached { return x.reach(ctx, t) })
	if r.Verdict == "" { // somebody else is at it, and the time is over
		r = Reached{Taken: -1, Verdict: VerdictUnknown}
	}
	r.Target = t
	return r
}

func (x *Exam) reach(ctx context.Context, t Target) Reached {
	end, ok := ctx.Deadline()
	if !ok {
		end = time.Now().Add(checkWait)
	}
	ctx, cancel := context.WithDeadline(ctx, end.Add(-reachSpare))
	defer cancel()
	r := Reached{Target: t, Taken: -1}
	if t.Proxy != nil {
		x.reachByProxy(ctx, &r)
	} else {
		x.reachDirect(ctx, &r)
	}
	r.settle(ctx)
	cancel()
	for i := range r.Ways {
		if late := r.Ways[i].late; late != nil {
			<-late.done
			r.Ways[i].late = nil
		}
	}
	x.conclude(&r)
	return r
}

// settle waits for a handshake that may come about after all, unless something else got through long before.
func (r *Reached) settle(ctx context.Context) {
	if r.Taken < 0 || r.Ways[r.Taken].late == nil {
		return
	}
	w := &r.Ways[r.Taken]
	if r.cutOffBy(transport.TimedOut) == VerdictTLSTimeout {
		select {
		case <-w.late.done:
		case <-ctx.Done():
		}
	}
	for i := range r.Ways { // the other addresses may have come as far by now, too
		w := &r.Ways[i]
		if w.late == nil {
			continue
		}
		select {
		case <-w.late.done:
			if w.late.step.Answer != Unmeasured {
				w.TLS, w.State, w.Certs = w.late.step, w.late.state, w.late.certs
			}
		default:
		}
	}
}

// reachDirect takes the go command's way. What other resolvers say is asked for at the same time, and not waited for where
// it does not matter: an address at which the host proves itself is right, whatever anybody says.
func (x *Exam) reachDirect(ctx context.Context, r *Reached) {
	host := r.Target.URL.Hostname()
	r.Names.Host = host
	others := make(chan []NameAnswer, 1)
	othersCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	if ip, err := netip.ParseAddr(host); err == nil {
		r.Names.System = NameAnswer{Kind: SystemResolver, Asked: Yes, Addrs: []netip.Addr{ip.Unmap()}}
		others <- nil
	} else {
		go func() { others <- x.dnsAskOthers(othersCtx, host) }()
		r.Names.System = x.dnsAskSystem(ctx, host)
	}
	r.pinned = x.pinned(r.Names)
	r.Ways = x.tryAddrs(ctx, r.Names.System.Addrs, r.Target, reachMost, true)
	if r.Taken = unluckyOf(r.Ways, takenOf(r.Ways)); r.Works() {
		return
	}
	x.prove(ctx, r, func() []NameAnswer { return <-others })
}

// tryAddrs goes as far as possible at each address, all at once. With patience, handshakes go on behind Net.TLSWait; ctx has
// to end some time then.
func (x *Exam) tryAddrs(ctx context.Context, addrs []netip.Addr, t Target, most int, patient bool) []Way {
	var ways []Way
	count := map[bool]int{}
	port, _ := strconv.ParseUint(portOf(t.URL), 10, 16)
	for _, a := range addrs {
		if count[a.Is4()]++; count[a.Is4()] <= most {
			ways = append(ways, x.wayTo(netip.AddrPortFrom(a, uint16(port))))
		}
	}
	grace, cancel := context.WithCancel(ctx)
	context.AfterFunc(ctx, cancel) // and not before: a late handshake goes on
	var wg sync.WaitGroup
	var enough sync.Once
	for i := range ways {
		wg.Go(func() {
			x.try(ctx, grace, &ways[i], t, patient)
			if ways[i].works(t.URL.Scheme == "https") {
				enough.Do(func() { time.AfterFunc(reachGrace, cancel) })
			}
		})
	}
	wg.Wait()
	return ways
}

func portOf(u *url.URL) string {
	return cmp.Or(u.Port(), map[string]string{"https": "443", "http": "80"}[u.Scheme])
}

func (x *Exam) wayTo(addr netip.AddrPort) Way {
	w := Way{Addr: addr, Connect: Step{Answer: Unmeasured}, TLS: Step{Answer: Unmeasured},
		dial: func(ctx context.Context) (net.Conn, error) {
			return x.Net.connectTo(ctx, "tcp", addr.String(), x.Net.connectWait())
		}}
	if x.Net.DialNarrow != nil {
		w.narrow = func(ctx context.Context) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, x.Net.connectWait())
			defer cancel()
			return x.Net.DialNarrow(ctx, "tcp", addr.String())
		}
	}
	return w
}

// try connects, and shakes hands where the target is https. When grace ends, other addresses have worked, and nobody waits any longer
// for a connection, or for a handshake that is late already. Any other handshake has its time: the go command does not leave a
// connection for one that is better, so it matters that nothing comes of it.
func (x *Exam) try(ctx, grace context.Context, w *Way, t Target, patient bool) {
	start := time.Now()
	conn, err := w.dial(grace)
	w.Connect = stepOf(ctx, transport.OpConnect, err, start)
	if err != nil {
		if grace.Err() != nil && w.Connect.failed() {
			w.Connect.Failure = transport.TimedOut
		}
		return
	}
	if t.URL.Scheme != "https" {
		conn.Close()
		return
	}
	wait := x.Net.tlsWait()
	if patient {
		wait = wait * 5 / 2 // 10 s, as net/http.DefaultTransport has it
	}
	l := &lateShake{done: make(chan struct{})}
	shaking, enoughOf := context.WithCancel(ctx)
	go func() {
		defer close(l.done)
		defer conn.Close()
		defer enoughOf()
		l.step, l.state, l.certs = x.shakeFor(shaking, conn, x.usualHello(t.URL.Hostname()), wait)
	}()
	if patient {
		enough := time.NewTimer(x.Net.tlsWait())
		defer enough.Stop()
		select {
		case <-l.done:
		case <-enough.C:
			context.AfterFunc(grace, enoughOf)
			w.TLS, w.late = Step{Answer: No, Failure: transport.TimedOut, Took: x.Net.tlsWait()}, l
			return
		}
	}
	<-l.done
	w.TLS, w.State, w.Certs = l.step, l.state, l.certs
}

// stepOf judges what came of a step that began at start. What failed because nobody waits any more was not measured.
func stepOf(ctx context.Context, op transport.Op, err error, start time.Time) Step {
	took := time.Since(start)
	switch {
	case err == nil:
		return Step{Answer: Yes, Took: took}
	case ctx.Err() != nil:
		return Step{Answer: Unmeasured, Took: took}
	}
	return Step{Answer: No, Failure: transport.FailureOf(op, err), Took: took}
}

// The waits of net.Dialer, which the go command uses as it is.
const (
	dialerWait     = 30 * time.Second       // for all addresses of a version together (net/http.DefaultTransport)
	dialerFallback = 300 * time.Millisecond // before the other version is tried beside the first (RFC 8305)
	dialerLeast    = 2 * time.Second        // for each address, as long as the whole is not over
)

// takenOf is the index of the way that net.Dialer ends up with, and with it the go command: it does not look at another
// address once it is connected, even if nothing comes of it. -1 if none connects.
func takenOf(ways []Way) int {
	if len(ways) == 0 {
		return -1
	}
	first, firstTime := winnerOf(ways, ways[0].Addr.Addr().Is4())
	second, secondTime := winnerOf(ways, !ways[0].Addr.Addr().Is4())
	switch {
	case second < 0:
		return first
	case first < 0 || min(dialerFallback, firstTime)+secondTime < firstTime:
		return second
	}
	return first
}

// unluckyOf is the way that is taken at another time, where taken works and won by little: the first version connects within a second,
// and nothing comes of it. Otherwise it is taken.
func unluckyOf(ways []Way, taken int) int {
	if taken < 0 || !ways[taken].TLS.done() {
		return taken
	}
	if first, _ := winnerOf(ways, ways[0].Addr.Addr().Is4()); first >= 0 && ways[first].TLS.failed() && ways[first].Connect.Took < time.Second &&
		ways[first].Addr.Addr().Is4() != ways[taken].Addr.Addr().Is4() {
		return first
	}
	return taken
}

// winnerOf is the first way of an IP version that connects, and when; for none, when that is certain.
func winnerOf(ways []Way, four bool) (int, time.Duration) {
	var list []int
	for i, w := range ways {
		if w.Addr.Addr().Is4() == four {
			list = append(list, i)
		}
	}
	var passed time.Duration
	for n, i := range list {
		switch c := ways[i].Connect; {
		case c.done():
			return i, passed + c.Took
		case c.Failure == transport.TimedOut || c.Answer == Unmeasured:
			passed += max((dialerWait-passed)/time.Duration(len(list)-n), dialerLeast)
		default:
			passed += c.Took
		}
	}
	return -1, passed
}

// prove finds out why the way that was taken does not work. All of it goes on at the same time.
func (x *Exam) prove(ctx context.Context, r *Reached, others func() []NameAnswer) {
	var wg sync.WaitGroup
	wg.Go(func() { r.proofs.control = x.lookAtControl(ctx, r.Target.Proxy) })
	wg.Go(func() { r.proofs.goferry = x.tryGoferry(ctx, r.Target) })
	if r.Target.Proxy == nil {
		wg.Go(func() {
			r.Names.Others = others()
			r.Others = x.tryAddrs(ctx, r.Names.OtherAddrs(), r.Target, reachMost, false)
		})
		if !r.literal() {
			wg.Go(func() { r.scene = x.dnsLook(ctx) })
		}
	}
	var shakes experiments
	if r.Taken >= 0 && r.Ways[r.Taken].TLS.failed() {
		wg.Go(func() { shakes = x.experiment(ctx, r) })
	}
	wg.Wait()
	r.proofs.experiments = shakes
}

// A control is how far one gets to a host that nobody has a reason to block.
type control struct {
	host    string
	way     Way
	invents Step // a handshake there with the name of a host that does not exist
}

// lookAtControl is the zero value where there is no such host, or where it has no address here.
func (x *Exam) lookAtControl(ctx context.Context, proxy *url.URL) control {
	host := x.Net.Control
	if host == "" {
		return control{}
	}
	t := Target{URL: &url.URL{Scheme: "https", Host: host}, Proxy: proxy}
	key := "control"
	if proxy != nil {
		key += " by " + proxy.String()
	}
	return shared(ctx, x, key, func() control {
		c := control{host: host}
		if proxy != nil {
			c.way = x.wayThrough(t)
			x.try(ctx, ctx, &c.way, t, false)
		} else {
			addrs, failure := x.addrsOf(ctx, host)
			if len(addrs) == 0 {
				c.way.Connect = Step{Answer: No, Failure: failure}
				if ctx.Err() != nil {
					c.way.Connect = Step{Answer: Unmeasured}
				}
				return c
			}
			ways := x.tryAddrs(ctx, addrs, t, 1, false)
			c.way = ways[max(takenOf(ways), 0)]
		}
		if c.way.TLS.done() {
			c.invents, _, _ = x.shakeAnew(ctx, c.way, x.usualHello(dnsInvented()))
		}
		return c
	})
}

// addrsOf finds addresses by whoever knows some: the system's resolver first.
func (x *Exam) addrsOf(ctx context.Context, host string) ([]netip.Addr, transport.Failure) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, ""
	}
	others := make(chan []NameAnswer, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { others <- x.dnsAskOthers(ctx, host) }()
	a := x.dnsAskSystem(ctx, host)
	if len(a.Addrs) > 0 {
		return a.Addrs, ""
	}
	return Names{Host: host, Others: <-others}.OtherAddrs(), a.Failure
}

// tryGoferry reports whether goferry's own client gets an answer, which tries several addresses, hellos and resolvers. It is
// empty without one.
func (x *Exam) tryGoferry(ctx context.Context, t Target) Answer {
	if x.Net.HTTP == nil {
		return ""
	}
	wait, cancel := context.WithTimeout(ctx, 2*x.Net.answerWait()*3/5)
	defer cancel()
	req, err := http.NewRequestWithContext(wait, http.MethodHead, (&url.URL{Scheme: t.URL.Scheme, Host: t.URL.Host, Path: "/"}).String(), nil)
	if err != nil {
		return Unmeasured
	}
	resp, err := x.Net.HTTP.Do(req)
	switch {
	case err == nil:
		resp.Body.Close()
		return Yes
	case ctx.Err() != nil:
		return Unmeasured
	}
	// A redirect that leads nowhere is an answer too.
	if e, ok := transport.Explain(err); ok && (e.Op == transport.OpRedirect || e.Op == transport.OpRead && e.Failure == transport.CaptivePortal) {
		return Unmeasured
	}
	return No
}
