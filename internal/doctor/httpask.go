package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/transport"
)

// An httpAsk is one request.
type httpAsk struct {
	url   *url.URL
	head  http.Header
	limit int64         // bytes of body to read; no more are taken
	keep  bool          // the body is wanted
	wait  time.Duration // until an answer begins; 0 is Net.AnswerWait
	span  time.Duration // of reading the body, after which it is left; 0 for no bound
}

// An httpAnswer is what came of one request.
type httpAnswer struct {
	url     *url.URL // of the last request, after redirects
	hops    []string // hosts that redirects led to
	via     *url.URL // the proxy of the last request; nil for none
	addr    string   // that was connected to
	h2      bool
	status  int // 0: no answer came
	header  http.Header
	body    []byte // if kept
	read    int64  // bytes of body
	length  int64  // -1 for unknown
	whole   bool   // the body came to its end
	took    Timing
	samples []httpSample
	op      transport.Op // that failed; empty if none did
	failure transport.Failure
	methods []string // of log-in that the proxy wants, with ProxyAuth
	err     error
}

// An httpSample is how much of a body there was after a time.
type httpSample struct {
	at    time.Duration // after the first byte
	bytes int64
}

func (a httpAnswer) ok() bool { return a.err == nil && a.status == http.StatusOK }

// unreached reports that there is no connection to the server: why not is for the checks "network" and "proxies".
func (a httpAnswer) unreached() bool {
	switch a.op {
	case transport.OpResolve, transport.OpConnect, transport.OpProxy, transport.OpTLS:
		return true
	}
	return false
}

// html reports whether the answer is a page for people.
func (a httpAnswer) html() bool {
	kind, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	start := strings.ToLower(strings.TrimSpace(string(a.body[:min(len(a.body), 200)])))
	return kind == "text/html" || strings.HasPrefix(start, "<!doctype html") || strings.HasPrefix(start, "<html")
}

// rate is what came in bytes a second after the first bytes; 0 if there was too little to tell.
func (a httpAnswer) rate() int64 {
	if len(a.samples) < 2 {
		return 0
	}
	first, last := a.samples[0], a.samples[len(a.samples)-1]
	span := max(last.at-first.at, time.Millisecond)
	if last.bytes-first.bytes < httpRateBytes {
		return 0
	}
	return int64(float64(last.bytes-first.bytes) / span.Seconds())
}

// httpRateBytes is how much must have come for a rate to mean something.
const httpRateBytes = 4 << 10

var (
	errHTTPSilent  = errors.New("no answer")
	errHTTPStalled = errors.New("no further byte")
)

func redirectError(f transport.Failure) error {
	return &transport.Error{Op: transport.OpRedirect, Failure: f}
}

// httpWatch is what the parts of one exchange share.
type httpWatch struct {
	trace   *httpTrace
	answer  *httpAnswer
	silence *time.Timer
	wait    time.Duration
	shake   *time.Timer                // looks after a handshake that takes long
	late    time.Duration              // before it does
	next    atomic.Pointer[httpTarget] // of the request under way
}

// A httpTarget is where a request goes.
type httpTarget struct{ url, via *url.URL }

// ask sends one request and reads what ask wants of the answer. It never takes longer than the waits of
// Net say, nor than ctx.
func (l *httpLine) ask(ctx context.Context, ask httpAsk) httpAnswer {
	a := httpAnswer{url: ask.url, length: -1}
	whole := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := &httpWatch{trace: &httpTrace{op: transport.OpProxy, since: time.Now()}, answer: &a}
	w.late = httpWait(l.x.Net.TLSWait, 4*time.Second)
	w.shake = time.AfterFunc(time.Hour, func() {
		if !l.comesAbout(whole, *w.next.Load()) && w.trace.during(transport.OpTLS) {
			cancel(errHTTPSilent)
		}
	})
	defer w.shake.Stop()
	w.wait = httpWait(ask.wait, httpWait(l.x.Net.AnswerWait, 5*time.Second))
	w.silence = time.AfterFunc(time.Hour, func() { cancel(errHTTPSilent) })
	defer w.silence.Stop()
	w.trace.atProxy = func() { w.silence.Reset(w.wait) }
	resp, err := l.send(ctx, ask, w)
	if err == nil {
		a.status, a.header, a.length = resp.StatusCode, resp.Header, resp.ContentLength
		a.url = resp.Request.URL
		err = l.read(ctx, ask, &a, resp.Body, cancel)
		resp.Body.Close()
	}
	var op transport.Op
	op, a.took, a.addr, a.h2 = w.trace.end()
	if err != nil {
		l.explain(ctx, &a, op, err)
	}
	return a
}

// send sends the request and follows redirects by the rules of the go command.
func (l *httpLine) send(ctx context.Context, ask httpAsk, w *httpWatch) (*http.Response, error) {
	w.route(l, ask.url)
	ctx = context.WithValue(ctx, httpTraceKey{}, w.trace)
	ctx = httptrace.WithClientTrace(ctx, w.hooks())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, ask.url.String(), nil)
	if err != nil {
		return nil, err
	}
	for name, values := range ask.head {
		req.Header[name] = values
	}
	// The User-Agent is net/http's own, as the go command's: some servers go by it.
	client := &http.Client{Transport: l.tr, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		w.answer.url = req.URL
		w.answer.hops = append(w.answer.hops, req.URL.Host)
		switch {
		case len(via) >= 10:
			return redirectError(transport.TooManyRedirects)
		case via[0].URL.Scheme == "https" && req.URL.Scheme != "https":
			return redirectError(transport.InsecureRedirect)
		}
		w.route(l, req.URL)
		return nil
	}}
	resp, err := client.Do(req)
	if err != nil {
		if resp != nil { // of a redirect that is not followed
			resp.Body.Close()
		}
		return nil, transport.Clean(err)
	}
	w.silence.Stop()
	w.trace.at(transport.OpRead)
	return resp, nil
}

// route notes the way of the next request.
func (w *httpWatch) route(l *httpLine, u *url.URL) {
	via, _ := l.proxy(u)
	w.answer.via = via
	w.next.Store(&httpTarget{u, via})
	w.trace.routed(via)
	w.silence.Stop()
}

// comesAbout reports whether a handshake that takes long is worth waiting for, as the go command would: the check of the way
// saw one come about. Where that saw none nobody waits any longer.
func (l *httpLine) comesAbout(ctx context.Context, t httpTarget) bool {
	if ctx.Err() != nil {
		return false
	}
	return l.x.Reach(ctx, Target{URL: &url.URL{Scheme: t.url.Scheme, Host: t.url.Host}, Proxy: t.via}).Works()
}

func (w *httpWatch) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		TLSHandshakeStart: func() {
			if w.trace.shaking() {
				w.silence.Stop() // the handshake has a bound of its own
				w.shake.Reset(w.late)
			}
		},
		TLSHandshakeDone: func(tls.ConnectionState, error) { w.shake.Stop() },
		GotConn: func(info httptrace.GotConnInfo) {
			w.trace.at(transport.OpWrite)
			conn, ok := info.Conn.(*tls.Conn)
			w.trace.mu.Lock()
			w.trace.h2 = ok && conn.ConnectionState().NegotiatedProtocol == "h2"
			w.trace.addr = info.Conn.RemoteAddr().String()
			w.trace.mu.Unlock()
			w.silence.Reset(w.wait)
		},
		GotFirstResponseByte: func() { w.trace.at(transport.OpRead) },
	}
}

// read reads the body as far as it is wanted.
func (l *httpLine) read(ctx context.Context, ask httpAsk, a *httpAnswer, body io.Reader, cancel context.CancelCauseFunc) error {
	if ask.limit <= 0 {
		return nil
	}
	wait := httpWait(l.x.Net.StallWait, 3*time.Second)
	stall := time.AfterFunc(wait, func() { cancel(errHTTPStalled) })
	defer stall.Stop()
	begun := time.Now()
	buf := make([]byte, 16<<10)
	for a.read < ask.limit && (ask.span == 0 || time.Since(begun) < ask.span) {
		n, err := body.Read(buf[:min(int64(len(buf)), ask.limit-a.read)])
		if n > 0 {
			stall.Reset(wait)
			a.read += int64(n)
			a.samples = append(a.samples, httpSample{time.Since(begun), a.read})
			if ask.keep {
				a.body = append(a.body, buf[:n]...)
			}
		}
		if err == io.EOF {
			a.whole = true
			return nil
		}
		if err != nil {
			return err
		}
	}
	a.whole = a.length >= 0 && a.read == a.length
	return nil
}

// explain says what err was, which came during op.
func (l *httpLine) explain(ctx context.Context, a *httpAnswer, op transport.Op, err error) {
	a.err = err
	if op == transport.OpWrite {
		op = transport.OpRead // the answer is what did not come
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errHTTPStalled):
		a.op, a.failure = transport.OpRead, transport.Stalled
		return
	case errors.Is(cause, errHTTPSilent), errors.Is(cause, context.DeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		a.op, a.failure = op, transport.TimedOut
		return
	case errors.Is(cause, context.Canceled):
		a.op, a.failure = op, transport.Canceled
		return
	}
	if answer, ok := errors.AsType[*errProxyAnswer](err); ok {
		a.methods = answer.methods
	}
	a.op, a.failure = httpFailure(op, err)
}

// httpText is an error for people, on one line and without a URL.
func httpText(a httpAnswer) string {
	if a.err == nil {
		return ""
	}
	e := transport.Error{Op: a.op, Failure: a.failure, Err: a.err}
	if a.url != nil {
		e.Host = a.url.Hostname()
	}
	if a.via != nil && a.op != transport.OpTLS && a.unreached() {
		e.Host = a.via.Hostname()
	}
	return e.Error()
}

// httpJoin is base with name behind it, both already escaped.
func httpJoin(base *url.URL, name string) *url.URL {
	u := *base
	u.Path = strings.TrimSuffix(base.Path, "/") + "/" + name
	u.RawPath = ""
	u.RawQuery, u.Fragment = "", ""
	if base.RawPath != "" {
		u.RawPath = strings.TrimSuffix(base.RawPath, "/") + "/" + name
	}
	return &u
}

// httpFile is the URL of a file of the protocol at an upstream.
func httpFile(base *url.URL, req goproxy.Request) (*url.URL, error) {
	name, err := req.Name()
	if err != nil {
		return nil, err
	}
	return httpJoin(base, name), nil
}

// httpShown is u as it may be shown.
func httpShown(u *url.URL) string { return goproxy.RedactURL(u.String()) }

// httpBase is the URL of t with the user and password that GOPROXY has for it, as the go command sends them.
func (x *Exam) httpBase(t Target) *url.URL {
	ups, err := goproxy.ParseUpstreams(x.GoEnv.Values["GOPROXY"])
	if err != nil || t.Role != Upstream {
		return t.URL
	}
	for _, up := range ups {
		u, err := url.Parse(up.URL)
		if err == nil && u.User != nil && u.Scheme == t.URL.Scheme && u.Host == t.URL.Host && strings.TrimSuffix(u.Path, "/") == strings.TrimSuffix(t.URL.Path, "/") {
			return u
		}
	}
	return t.URL
}
