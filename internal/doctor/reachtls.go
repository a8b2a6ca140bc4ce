package doctor

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/goferry/goferry/internal/transport"
)

// A hello is the beginning of a TLS handshake, with all that may be told apart by what is on the way.
type hello struct {
	name   string // shown in clear
	small  bool   // without the key share that makes it longer than a packet
	http1  bool   // without offering HTTP/2
	pieces bool   // in packets that are small even if it is not
}

// piece is the size of a packet that gets through everywhere: less than the 1,280 bytes that IPv6 demands, and than what
// tunnels leave of them.
const piece = 400

// usualHello is that of the go command in use.
func (x *Exam) usualHello(name string) hello {
	h := hello{name: name, http1: godebug(x.Env["GODEBUG"], "http2client") == "0"}
	minor := goMinor(x.GoEnv.Version)
	switch {
	case minor > 0 && minor < 23:
		h.small = true
	case minor == 23:
		h.small = godebug(x.Env["GODEBUG"], "tlskyber") == "0"
	default:
		h.small = godebug(x.Env["GODEBUG"], "tlsmlkem") == "0"
	}
	return h
}

// godebug is the value of a setting in GODEBUG; the last one counts.
func godebug(list, key string) (value string) {
	for _, s := range strings.Split(list, ",") {
		if k, v, ok := strings.Cut(s, "="); ok && k == key {
			value = v
		}
	}
	return value
}

// withGodebug is list with a setting added, or changed.
func withGodebug(list, key, value string) string {
	var all []string
	for _, s := range strings.Split(list, ",") {
		if k, _, _ := strings.Cut(s, "="); s != "" && k != key {
			all = append(all, s)
		}
	}
	return strings.Join(append(all, key+"="+value), ",")
}

// goMinor is 26 for go1.26.8, and 0 for what is no version, such as a development tree.
func goMinor(version string) int {
	rest, ok := strings.CutPrefix(version, "go1.")
	if !ok {
		return 0
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	n, err := strconv.Atoi(rest[:end])
	if err != nil {
		return 0
	}
	return n
}

func (x *Exam) tlsConfig(h hello) *tls.Config {
	conf := &tls.Config{ServerName: h.name, RootCAs: x.Net.Roots, Time: x.Net.Now, NextProtos: []string{"h2", "http/1.1"}}
	if h.http1 {
		conf.NextProtos = []string{"http/1.1"}
	}
	if h.small {
		conf.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
	}
	return conf
}

// shake makes a TLS handshake with full verification, and returns what was shown even if it is not trusted.
func (x *Exam) shake(ctx context.Context, conn net.Conn, h hello) (Step, *tls.ConnectionState, []*x509.Certificate) {
	return x.shakeFor(ctx, conn, h, x.Net.tlsWait())
}

func (x *Exam) shakeFor(ctx context.Context, conn net.Conn, h hello, patience time.Duration) (Step, *tls.ConnectionState, []*x509.Certificate) {
	if h.pieces {
		conn = &piecemeal{Conn: conn}
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	start := time.Now()
	client := tls.Client(conn, x.tlsConfig(h))
	err := client.HandshakeContext(wait)
	step := stepOf(ctx, transport.OpTLS, err, start)
	if err == nil {
		state := client.ConnectionState()
		return step, &state, state.PeerCertificates
	}
	if wait.Err() != nil && step.failed() {
		step.Failure = transport.TimedOut
	}
	return step, nil, certificatesOf(err)
}

// shakeAnew is shake on a new connection. Without one it is Unmeasured.
func (x *Exam) shakeAnew(ctx context.Context, w Way, h hello) (Step, *tls.ConnectionState, []*x509.Certificate) {
	conn, err := w.dial(ctx)
	if err != nil {
		return Step{Answer: Unmeasured}, nil, nil
	}
	defer conn.Close()
	return x.shake(ctx, conn, h)
}

// piecemeal writes what it is given in small packets.
type piecemeal struct{ net.Conn }

// Write relies on TCP connections not to wait for more, as Go makes them.
func (c *piecemeal) Write(p []byte) (n int, err error) {
	for part := range slices.Chunk(p, piece) {
		m, err := c.Conn.Write(part)
		if n += m; err != nil {
			return n, err
		}
	}
	return n, nil
}

// answered reports whether somebody answered a hello, be it with a refusal or a certificate that is not trusted.
// Silence and a connection that is cut off are No.
func answered(s Step) Answer {
	if s.Answer != No {
		return s.Answer
	}
	if cutOff(s.Failure) {
		return No
	}
	return Yes
}

// cutOff reports whether a handshake failed because nothing came back, or an end.
func cutOff(f transport.Failure) bool {
	switch f {
	case transport.TimedOut, transport.Reset, transport.EOF, transport.Unreachable, transport.Refused:
		return true
	}
	return false
}

// badCertificate reports whether a handshake failed because of what was shown.
func badCertificate(f transport.Failure) bool {
	switch f {
	case transport.UnknownAuthority, transport.BadHostname, transport.CertExpired:
		return true
	}
	return false
}

// experiments are handshakes at the address that was taken, or with its name at another one, each with one thing changed.
// What was not tried is the zero Step.
type experiments struct {
	again    Step // nothing changed
	small    Step // a small hello
	pieces   Step // the large one in small packets
	narrow   Step // small packets in both directions
	http1    Step // without HTTP/2
	noName   Step // the name of the control
	invented Step // a name that does not exist
	minted   bool // and a certificate was shown for it
	mintedBy *x509.Certificate
	away     Step // the name of the target, at the address of the control

	served time.Time // the time that the server says it is

	lacks    Answer            // whether all that is wrong is that a certificate between is not shown; empty for not tried
	lacksOne *x509.Certificate // which
}

// proofs are what is known beside the way itself.
type proofs struct {
	experiments
	control control
	goferry Answer // goferry's own client gets through; empty for not tried
}

// experiment changes one thing at a time.
func (x *Exam) experiment(ctx context.Context, r *Reached) (e experiments) {
	w, failure := r.Ways[r.Taken], r.Ways[r.Taken].TLS.Failure
	usual := x.usualHello(r.Target.URL.Hostname())
	var wg sync.WaitGroup
	run := func(s *Step, change func(*hello)) {
		h := usual
		change(&h)
		wg.Go(func() { *s, _, _ = x.shakeAnew(ctx, w, h) })
	}
	if badCertificate(failure) {
		wg.Go(func() { e.invented, e.minted, e.mintedBy = x.askForInvented(ctx, w, usual) })
		if failure == transport.UnknownAuthority && len(w.Certs) > 0 {
			wg.Go(func() { e.lacks, e.lacksOne = x.lacking(ctx, usual.name, w.Certs) })
		}
		if failure == transport.CertExpired {
			wg.Go(func() { e.served = x.servedTime(ctx, w, usual) })
		}
		wg.Wait()
		return e
	}
	run(&e.again, func(*hello) {})
	run(&e.pieces, func(h *hello) { h.pieces = true })
	if !usual.small {
		run(&e.small, func(h *hello) { h.small = true })
	}
	if w.narrow != nil {
		thin := w
		thin.dial = w.narrow
		wg.Go(func() { e.narrow, _, _ = x.shakeAnew(ctx, thin, usual) })
	}
	if !usual.http1 {
		run(&e.http1, func(h *hello) { h.http1 = true })
	}
	if x.Net.Control != "" && !strings.EqualFold(x.Net.Control, usual.name) {
		run(&e.noName, func(h *hello) { h.name = x.Net.Control })
		wg.Go(func() {
			if c := x.lookAtControl(ctx, r.Target.Proxy); c.way.TLS.done() {
				e.away, _, _ = x.shakeAnew(ctx, c.way, usual)
			}
		})
	}
	wg.Wait()
	return e
}

// askForInvented asks for a host that does not exist. Only what opens all connections, and makes the certificates for that as it goes,
// has one for it.
func (x *Exam) askForInvented(ctx context.Context, w Way, usual hello) (Step, bool, *x509.Certificate) {
	usual.name = dnsInvented()
	s, _, certs := x.shakeAnew(ctx, w, usual)
	if len(certs) == 0 || certs[0].VerifyHostname(usual.name) != nil {
		return s, false, nil
	}
	return s, true, certs[0]
}

// servedTime is the time that the server says it is, in an answer that nobody vouches for; zero for none. Nothing is
// sent but a request for the headers of the root.
func (x *Exam) servedTime(ctx context.Context, w Way, usual hello) time.Time {
	conn, err := w.dial(ctx)
	if err != nil {
		return time.Time{}
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetDeadline(time.Now().Add(x.Net.tlsWait()))
	usual.http1 = true
	conf := x.tlsConfig(usual)
	conf.InsecureSkipVerify = true // its certificate is what is in doubt; only the date is read
	client := tls.Client(conn, conf)
	if client.HandshakeContext(ctx) != nil {
		return time.Time{}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, "https://"+net.JoinHostPort(usual.name, "443")+"/", nil)
	if err != nil || req.Write(client) != nil {
		return time.Time{}
	}
	resp, err := http.ReadResponse(bufio.NewReader(io.LimitReader(client, 64<<10)), req)
	if err != nil {
		return time.Time{}
	}
	resp.Body.Close()
	served, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return served
}
