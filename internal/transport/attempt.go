package transport

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// An Attempt is what one try of a request came to.
type Attempt struct {
	Host      string        // the request's host, with its port if the URL has one
	Method    string        // GET, HEAD, …
	N         int           // 1 for the first try of a request, 2 and up for further ones
	Resumed   bool          // its request asked for the rest of a body that broke off
	Part      bool          // its request asked for a part of a body that comes over several connections
	Proto     string        // "HTTP/1.1", "HTTP/2.0"; empty if no answer came
	Status    int           // 0 if no answer came
	Op        Op            // where it failed; empty if it did not
	Failure   Failure       // why it failed; empty if it did not, Canceled if the asker left
	Bytes     int64         // bytes of body that were read
	Wasted    int64         // of Bytes, those that had come before; a server without ranges sends all again
	FirstByte time.Duration // until the first byte of the answer; 0 if none came
	Duration  time.Duration // until the body ended or was closed, or the failure
}

// Retry reports whether the attempt is not the first of its request.
func (a Attempt) Retry() bool { return a.N > 1 }

// The causes with which an attempt's own context ends.
var (
	errFirstByte = errors.New("no answer in time")
	errStalled   = errors.New("no byte of the body in time")
	errDone      = errors.New("done")
)

// An attempt is one try of a request, from its dial to the end of its body.
// Its fields are set by the hooks of net/http, which may run late and anywhere.
type attempt struct {
	cfg     *Config
	asked   *http.Request // as it came, with the asker's context
	sent    *http.Request // with the context of the attempt
	cancel  context.CancelCauseFunc
	host    string        // without port
	scheme  string        // of the request
	proxy   *url.URL      // nil for none; has credentials
	arrived *atomic.Int64 // bytes of all bodies of the client; nil for nobody counts

	mu       sync.Mutex
	step     step
	conn     *trackedConn
	h2       bool
	start    time.Time
	deadline *time.Timer // of the answer's header
	seen     Attempt     // what Observe will be told
	over     bool
}

// A step is how far an attempt has come.
type step uint8

const (
	dialing step = iota
	handshaking
	writing
	reading
)

type attemptKey struct{}

func attemptFrom(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

func newAttempt(cfg *Config, req *http.Request, proxy *url.URL, as try) *attempt {
	a := &attempt{
		cfg:    cfg,
		asked:  req,
		host:   req.URL.Hostname(),
		scheme: req.URL.Scheme,
		proxy:  proxy,
		start:  time.Now(),
		seen:   Attempt{Host: req.URL.Host, Method: req.Method, N: as.n, Resumed: as.resumed, Part: as.part},
	}
	ctx := context.WithValue(req.Context(), attemptKey{}, a)
	ctx, a.cancel = context.WithCancelCause(httptrace.WithClientTrace(ctx, a.trace()))
	a.sent = req.WithContext(ctx)
	return a
}

// trace follows net/http. It tries again by itself when a kept connection turns
// out to be dead, so that the steps can begin anew.
func (a *attempt) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) { a.getConn() },
		TLSHandshakeStart: func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			if a.step == dialing { // else it belongs to a dial that is no longer waited for
				a.step = handshaking
			}
		},
		GotConn:              a.gotConn,
		WroteRequest:         func(info httptrace.WroteRequestInfo) { a.wrote(info.Err) },
		GotFirstResponseByte: a.firstByte,
	}
}

func (a *attempt) getConn() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.step, a.conn, a.h2 = dialing, nil, false
	if a.deadline != nil {
		a.deadline.Stop()
	}
}

func (a *attempt) gotConn(info httptrace.GotConnInfo) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.step = writing
	a.conn, a.h2 = tracked(info.Conn)
	if a.over {
		return
	}
	if a.deadline == nil {
		a.deadline = time.AfterFunc(a.cfg.FirstByteTimeout, func() { a.expire(errFirstByte, a.cfg.FirstByteTimeout) })
	} else {
		a.deadline.Reset(a.cfg.FirstByteTimeout)
	}
}

func (a *attempt) wrote(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil && a.step == writing {
		a.step = reading
	}
}

func (a *attempt) firstByte() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.step = reading
	a.seen.FirstByte = time.Since(a.start)
}

// expire ends the attempt after waiting for patience. Its connection goes too,
// unless it is an HTTP/2 connection that brought bytes for others meanwhile.
func (a *attempt) expire(cause error, patience time.Duration) {
	a.mu.Lock()
	conn, shared, over := a.conn, a.h2, a.over
	a.mu.Unlock()
	if over {
		return // the connection may be serving another request by now
	}
	a.cancel(cause)
	if conn != nil && (!shared || conn.silence() >= patience) {
		conn.cut()
	}
}

// answered notes the header of the answer, whose wait is over.
func (a *attempt) answered(resp *http.Response) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.step = reading
	a.seen.Status, a.seen.Proto = resp.StatusCode, resp.Proto
	if a.deadline != nil {
		a.deadline.Stop()
	}
}

// end finishes the attempt, once: whatever comes later changes nothing.
func (a *attempt) end(err error, bytes int64) {
	a.mu.Lock()
	if a.over {
		a.mu.Unlock()
		return
	}
	a.over = true
	if a.deadline != nil {
		a.deadline.Stop()
	}
	a.seen.Bytes, a.seen.Wasted = bytes, min(a.seen.Wasted, bytes)
	a.seen.Duration = time.Since(a.start)
	if e, ok := Explain(err); ok {
		a.seen.Op, a.seen.Failure = e.Op, e.Failure
	} else if err != nil && !errors.Is(err, errDone) {
		a.seen.Op, a.seen.Failure = a.op(), Canceled
	}
	seen := a.seen
	a.mu.Unlock()
	a.cancel(errDone)
	if a.cfg.Observe != nil {
		a.cfg.Observe(seen)
	}
}

// latency is how long the first byte of the answer took.
func (a *attempt) latency() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seen.FirstByte
}

// repeats notes that the first n bytes of the body had come before.
func (a *attempt) repeats(n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen.Wasted = n
}

// cause is what ended the context of the attempt; nil if nothing has.
func (a *attempt) cause() error { return context.Cause(a.sent.Context()) }

// explain makes an *Error of what net/http returned; of the asker's leaving it
// makes what askerLeft says.
func (a *attempt) explain(err error) error {
	a.mu.Lock()
	op, conn, h2 := a.op(), a.conn, a.h2
	a.mu.Unlock()
	fail := func(f Failure) error { return &Error{Op: op, Failure: f, Host: a.host, Err: err} }
	switch cause := a.cause(); {
	case cause == errFirstByte:
		return &Error{Op: OpRead, Failure: TimedOut, Host: a.host, Err: cause}
	case cause == errStalled:
		return &Error{Op: OpRead, Failure: Stalled, Host: a.host, Err: cause}
	case a.asked.Context().Err() != nil:
		return askerLeft(a.asked.Context(), op, a.host)
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	switch f := failureOf(err); {
	case op == OpTLS:
		return fail(tlsFailure(err))
	case certificateFailure(err) != "":
		op = OpTLS
		return fail(f)
	case f == Other && h2 && conn != nil && conn.silence() >= a.cfg.StallTimeout:
		return fail(Stalled) // net/http gave the connection up because no ping came back
	case f == Other && h2:
		return fail(H2Protocol) // GOAWAY and connection errors have no exported type
	default:
		return fail(f)
	}
}

// op is the Op of the step; a.mu is held.
func (a *attempt) op() Op {
	switch a.step {
	case dialing:
		return OpConnect
	case handshaking:
		return OpTLS
	case writing:
		return OpWrite
	}
	return OpRead
}
