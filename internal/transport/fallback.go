package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A target is what a race is run for.
type target struct {
	to   route
	host string
	port uint16
	tls  *tls.Config // nil where a TCP connection is all that is wanted
	doh  bool        // whether DNS over HTTPS may be asked for the host
	// through connects by a proxy, which alone knows addresses; nil for none. raw is
	// what is below conn.
	through func(ctx context.Context) (conn, raw net.Conn, err error)
}

func portOf(port uint16) string { return strconv.Itoa(int(port)) }

// String says what is unusual about w.
func (w way) String() string {
	var s []string
	if w.small {
		s = append(s, "small TLS ClientHello")
	}
	if w.four {
		s = append(s, "IPv4 only")
	}
	if w.addr.IsValid() {
		s = append(s, "address "+w.addr.String()+" from "+string(w.source))
	}
	return strings.Join(s, ", ")
}

// An entrant is one try in a race: an address and a ClientHello. Its conn stands where
// the connection has been made.
type entrant struct {
	addr    netip.Addr // not valid through a proxy
	source  AddrSource
	small   bool
	pinned  bool // remembered; gets more time alone
	conn    *trackedConn
	since   time.Time // when its handshake began
	stalled bool      // in the handshake
}

// A step forward, or its failure, of an entrant or a lookup.
type outcome struct {
	entrant *entrant
	conn    net.Conn // a *trackedConn below TLS, or the *tls.Conn that was wanted
	done    bool     // with the handshake, not just the connection

	look  lookup // where entrant is nil
	found []netip.Addr
	err   error
}

// A race connects to one target by all ways there are, beginning with the likeliest.
// Each further one begins when those before have failed or been silent for a while, and
// runs beside them. The first whose TLS handshake succeeds wins: only the real host has a
// certificate for its name, so that nobody needs to know which resolver tells the truth.
//
// Addresses are connected to as RFC 8305 has it, but an address gets its whole timeout, and
// one that swallows packets does not delay the next of its family. While one handshake goes
// on, what else has connected is kept as a spare.
type race struct {
	d      *dialer
	target target
	way    way // remembered

	queue    []*entrant // not begun
	spare    []*entrant // connected, and waiting for their turn
	lookups  []lookup   // not begun
	doubtful []*entrant // to be queued when all lookups have been made
	events   chan outcome
	timer    *time.Timer

	running int // goroutines
	looking int
	shaking []*entrant // in their handshake, not stalled
	stalls  int        // in their handshake, stalled

	begun     map[leg]bool
	bad       map[netip.Addr]bool // addresses that did not do
	sixBad    bool                // IPv6 connected, and then nothing came of it
	worst     error
	lookupErr error
	timeouts  int
	quick     bool          // somebody was there who may do better next time
	pace      time.Duration // how long what was begun last may be silent
	paced     time.Time     // since when
}

// A leg is what is not done twice in a race.
type leg struct {
	addr  netip.Addr
	small bool
}

func newRace(d *dialer, t target, w way) *race {
	r := &race{d: d, target: t, way: w, events: make(chan outcome), begun: map[leg]bool{}, bad: map[netip.Addr]bool{}}
	if t.tls == nil {
		r.way.small = false
	}
	if t.through != nil {
		r.queue = []*entrant{{small: r.way.small}}
		r.begun[leg{small: r.way.small}] = true
		return r
	}
	known, source := d.names.known(t.host)
	if len(known) > 0 {
		r.enqueue(source, interleave(known))
		return r
	}
	if w.addr.IsValid() && w.source != FromHosts {
		r.queue = []*entrant{{addr: w.addr, source: w.source, small: r.way.small, pinned: true}}
		r.begun[leg{w.addr, r.way.small}] = true
	}
	r.lookups = d.names.lookups(t.host, t.doh)
	return r
}

// enqueue adds an entrant for each address that has none yet.
func (r *race) enqueue(source AddrSource, ips []netip.Addr) {
	for _, ip := range ips {
		if t := (leg{ip.Unmap(), r.way.small}); !r.begun[t] {
			r.begun[t] = true
			r.queue = append(r.queue, &entrant{addr: t.addr, source: source, small: t.small})
		}
	}
	if r.way.four || r.sixBad {
		fourFirst(r.queue)
	}
}

// run returns the connection that was wanted and the entrant that brought it. All that it
// started has ended when it returns.
func (r *race) run(ctx context.Context) (net.Conn, *entrant, *Error) {
	// The steps have limits of their own; this one is for many ways one after the other.
	ctx, stop := context.WithTimeout(ctx, 2*(r.d.connect+r.d.handshake))
	defer stop()
	r.timer = time.NewTimer(r.d.patience)
	defer r.timer.Stop()
	var won *outcome
	r.next(ctx)
	for r.running > 0 {
		r.arm()
		select {
		case <-r.timer.C:
			if won == nil {
				r.overdue(ctx)
			}
		case o := <-r.events:
			r.running--
			switch {
			case won != nil:
				if o.conn != nil {
					cut(o.conn)
				}
			case r.step(ctx, &o):
				won = &o
				stop() // the losers answer at once
			}
		}
	}
	for _, l := range r.spare {
		if won == nil || l != won.entrant {
			l.conn.cut()
		}
	}
	if won != nil {
		return won.conn, won.entrant, nil
	}
	return nil, nil, r.err(ctx)
}

func cut(conn net.Conn) {
	if c, _ := tracked(conn); c != nil {
		c.cut()
	}
}

// err says why the race was lost.
func (r *race) err(ctx context.Context) *Error {
	err := r.worst
	if err == nil {
		err = r.lookupErr
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	return &Error{Op: OpConnect, Failure: failureOf(err), Host: r.target.host, Err: err}
}

// unanswered reports whether the race was lost because nobody answered in time, so that it
// took long and would again.
func (r *race) unanswered() bool { return r.timeouts > 0 && !r.quick }

// next begins one more way, if there is one: what is connected already, else another
// address, else another lookup.
func (r *race) next(ctx context.Context) {
	switch {
	case ctx.Err() != nil:
	case len(r.spare) > 0:
		l := r.spare[0]
		r.spare = r.spare[1:]
		r.shake(ctx, l)
	case len(r.queue) > 0:
		l := r.queue[0]
		r.queue = r.queue[1:]
		r.dial(ctx, l)
	case len(r.lookups) > 0:
		l := r.lookups[0]
		r.lookups = r.lookups[1:]
		r.look(ctx, l)
	}
}

// want begins one more way unless a handshake is going well.
func (r *race) want(ctx context.Context) {
	if len(r.shaking) == 0 {
		r.next(ctx)
	}
}

// begins notes that something was begun that may be silent for pace.
func (r *race) begins(pace time.Duration) { r.pace, r.paced = pace, time.Now() }

// arm sets the timer to when overdue is to be called. While a handshake goes on, only that counts.
func (r *race) arm() {
	switch {
	case len(r.shaking) > 0:
		r.timer.Reset(time.Until(r.shaking[0].since.Add(r.d.patience)))
	case r.pace > 0:
		r.timer.Reset(time.Until(r.paced.Add(r.pace)))
	default:
		r.timer.Stop()
	}
}

// overdue begins more because what was begun before has been silent for its time.
func (r *race) overdue(ctx context.Context) {
	r.pace = 0
	if len(r.shaking) == 0 {
		r.next(ctx)
		return
	}
	l := r.shaking[0] // they stand in the order in which they began
	r.shaking = r.shaking[1:]
	l.stalled = true
	r.stalls++
	r.suspect(l)
	r.other(l)
	// Beside the stalled handshake: the same address with another hello, and another address.
	spare := len(r.spare) > 0
	r.next(ctx)
	if spare || len(r.queue) > 0 {
		r.next(ctx)
	}
}

// suspect notes that a handshake does not come to an end.
func (r *race) suspect(l *entrant) {
	r.bad[l.addr] = true
	if l.addr.Is6() && !r.sixBad {
		r.sixBad = true
		fourFirst(r.queue)
		fourFirst(r.spare)
	}
}

// other puts l's address with the other ClientHello next.
func (r *race) other(l *entrant) {
	t := leg{l.addr, !l.small}
	if r.target.tls == nil || r.begun[t] {
		return
	}
	r.begun[t] = true
	r.queue = append([]*entrant{{addr: l.addr, source: l.source, small: t.small}}, r.queue...)
}

func (r *race) look(ctx context.Context, l lookup) {
	r.running++
	r.looking++
	r.begins(r.d.patience)
	go func() {
		found, err := l.find(ctx)
		r.events <- outcome{look: l, found: found, err: err}
	}()
}

func (r *race) dial(ctx context.Context, l *entrant) {
	r.running++
	if l.pinned || len(r.queue) == 0 {
		r.begins(r.d.patience)
	} else {
		r.begins(r.d.delay)
	}
	go func() {
		if r.target.through != nil {
			conn, raw, err := r.target.through(ctx)
			if err != nil {
				r.events <- outcome{entrant: l, err: err}
				return
			}
			r.events <- outcome{entrant: l, conn: newTracked(conn, raw)}
			return
		}
		conn, err := r.d.dial(ctx, "tcp", netip.AddrPortFrom(l.addr, r.target.port).String())
		if err != nil {
			r.events <- outcome{entrant: l, err: err}
			return
		}
		r.events <- outcome{entrant: l, conn: newTracked(conn, conn)}
	}()
}

func (r *race) shake(ctx context.Context, l *entrant) {
	r.running++
	r.pace = 0
	l.since = time.Now()
	r.shaking = append(r.shaking, l)
	if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	go func() {
		conn := tls.Client(l.conn, r.hello(l.small))
		ctx, cancel := context.WithTimeout(ctx, r.d.handshake)
		defer cancel()
		if err := conn.HandshakeContext(ctx); err != nil {
			l.conn.cut()
			r.events <- outcome{entrant: l, done: true, err: err}
			return
		}
		r.events <- outcome{entrant: l, done: true, conn: conn}
	}()
}

// hello returns the configuration for one handshake. A small ClientHello fits into one packet: the
// key share of a post-quantum exchange makes the usual one about 1,500 bytes long, and
// some boxes on the way lose what does not come in one piece. A session ticket would
// make it longer again.
func (r *race) hello(small bool) *tls.Config {
	conf := r.target.tls.Clone()
	conf.ServerName = r.target.host
	if small {
		conf.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384}
		conf.ClientSessionCache = nil
	}
	return conf
}

// step takes note of o, begins what follows from it, and reports whether o is what was wanted.
func (r *race) step(ctx context.Context, o *outcome) bool {
	switch {
	case o.entrant == nil:
		r.looking--
		r.found(ctx, o)
	case o.done:
		return r.shaken(ctx, o)
	default:
		return r.connected(ctx, o)
	}
	return false
}

func (r *race) found(ctx context.Context, o *outcome) {
	good, doubtful := sift(r.target.host, o.found)
	if o.err == nil && len(good)+len(doubtful) == 0 {
		o.err = &net.DNSError{Err: "no usable address", Name: r.target.host, IsNotFound: true}
	}
	if o.err != nil && r.lookupErr == nil {
		r.lookupErr = &Error{Op: OpResolve, Failure: failureOf(o.err), Host: r.target.host, Err: o.err}
	}
	if len(good) > 0 {
		r.enqueue(o.look.source, interleave(good))
	}
	for _, ip := range doubtful {
		r.doubtful = append(r.doubtful, &entrant{addr: ip, source: o.look.source})
	}
	if len(r.lookups) == 0 && r.looking == 0 {
		for _, l := range r.doubtful {
			r.enqueue(l.source, []netip.Addr{l.addr})
		}
		r.doubtful = nil
	}
	r.want(ctx)
}

func (r *race) connected(ctx context.Context, o *outcome) bool {
	l := o.entrant
	if o.err != nil {
		r.failed(l, OpConnect, failureOf(o.err), o.err)
		r.want(ctx)
		return false
	}
	if r.target.tls == nil {
		o.conn = o.conn.(*trackedConn).Conn
		return true
	}
	l.conn = o.conn.(*trackedConn)
	// Beside a stalled handshake two may go on, the other hello and the other address.
	if atOnce := 1 + min(r.stalls, 1); len(r.shaking) < atOnce {
		r.shake(ctx, l)
		return false
	}
	r.spare = append(r.spare, l)
	if r.sixBad {
		fourFirst(r.spare)
	}
	return false
}

func (r *race) shaken(ctx context.Context, o *outcome) bool {
	if o.err == nil {
		return true
	}
	l := o.entrant
	if l.stalled {
		r.stalls--
	}
	r.shaking = slices.DeleteFunc(r.shaking, func(s *entrant) bool { return s == l })
	f := tlsFailure(o.err)
	r.failed(l, OpTLS, f, o.err)
	switch f {
	case TimedOut, Reset, EOF:
		r.suspect(l)
		r.other(l)
	}
	r.want(ctx)
	return false
}

// failed notes the end of an entrant.
func (r *race) failed(l *entrant, op Op, f Failure, err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = &Error{Op: op, Failure: f, Host: r.target.host, Err: err}
	}
	r.worst = telling(r.worst, e)
	switch e.Failure {
	case TimedOut:
		if !e.resting { // else it is the proxy that is known not to answer
			r.timeouts++
		}
		r.bad[l.addr] = true
	case Unreachable: // says nothing of the host where its other addresses keep silent
	case BadHostname, UnknownAuthority, CertExpired, TLSProtocol: // somebody else was there
		r.bad[l.addr] = true
	case Refused:
		r.quick = true
	default:
		r.quick = true
		r.bad[l.addr] = true
	}
}

// telling picks the error that says more: the one of the entrant that came farther. A
// machine without IPv6 finds every IPv6 address unreachable, and what counts is what
// the other addresses said.
func telling(a, b error) error {
	if a == nil || progress(b) > progress(a) {
		return b
	}
	return a
}

func progress(err error) int {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = &Error{Op: OpConnect, Failure: failureOf(err)}
	}
	switch {
	case e.Failure == Unreachable:
		return 0
	case e.Op != OpTLS:
		return 1
	}
	switch e.Failure {
	case BadHostname, UnknownAuthority, CertExpired:
		return 3
	}
	return 2
}

// learned returns the way that is to be remembered now that l has won.
func (r *race) learned(l *entrant) way {
	w := way{small: l.small}
	if l.addr.Is4() && (r.sixBad || r.way.four) {
		w.four = true
	}
	// Without a check of its certificate an address has shown nothing.
	checked := r.target.tls == nil || !r.target.tls.InsecureSkipVerify
	if l.source == "" || l.source == FromHosts || !checked {
		return w
	}
	pin := l.pinned || l.source == FromDoH
	for ip := range r.bad {
		pin = pin || ip != l.addr && !(w.four && ip.Is6())
	}
	if pin {
		w.addr, w.source = l.addr, l.source
	}
	return w
}
