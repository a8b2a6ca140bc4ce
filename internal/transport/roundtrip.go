package transport

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A roundTripper makes of each request as many attempts as it takes and the
// Config allows, with the credentials that belong to its URL.
type roundTripper struct {
	cfg       Config
	auth      *authenticator
	checked   *http.Transport
	unchecked *http.Transport // does not check certificates
	// For hosts with which HTTP/2 does not work.
	checkedHTTP1, uncheckedHTTP1 *http.Transport

	lanes lanes // further connections for parts of bodies
	split splitter
}

// A try says what an attempt is made for.
type try struct {
	n       int  // of the request, from 1
	resumed bool // to go on with a body that broke off
	part    bool // to fetch a part of a body
	lane    int  // the connection to use; 0 is the one of all other requests
}

// RoundTrip implements http.RoundTripper. Its errors are *Error, or the
// context's where the asker left.
func (t *roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	if u := req.URL; u.Scheme == "http" && u.User != nil && !t.insecure(u) {
		closeBody(req)
		return nil, &Error{Op: OpWrite, Failure: InsecureCredentials, Host: u.Hostname()}
	}
	out := t.prepare(req)
	resp, err := t.authenticated(req, out, t.tries)
	if err != nil {
		return nil, err
	}
	resp.Request = req
	t.keepGoing(req, resp)
	return resp, nil
}

// CloseIdleConnections closes the connections that no request uses;
// http.Client.CloseIdleConnections calls it.
func (t *roundTripper) CloseIdleConnections() {
	for _, base := range []*http.Transport{t.checked, t.unchecked, t.checkedHTTP1, t.uncheckedHTTP1} {
		base.CloseIdleConnections()
	}
	t.lanes.closeIdle()
}

// prepare returns req as it is to be sent, which the caller's must not change into.
func (t *roundTripper) prepare(req *http.Request) *http.Request {
	out := req.Clone(req.Context())
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header.Set("User-Agent", t.cfg.UserAgent)
	}
	if u := out.URL.User; u != nil {
		if out.Header.Get("Authorization") == "" {
			out.Header.Set("Authorization", basic(u))
		}
		out.URL.User = nil
	}
	return out
}

// authenticated sends out by way of send, and where the answer is 4xx and there turn out to be other
// credentials for its URL, once more with them, as cmd/go does.
func (t *roundTripper) authenticated(req, out *http.Request, send func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	if !t.auth.covers(req) {
		return send(out)
	}
	plain := out.Header
	sent := t.auth.header(out.Context(), out.URL)
	out.Header = withHeader(plain, sent)
	resp, err := send(out)
	if err != nil || !repeatable(out) || !deniable(resp.StatusCode) {
		return resp, err
	}
	grant := t.auth.renew(out.Context(), out.URL, sent, resp)
	if grant == nil {
		return resp, nil
	}
	discard(resp)
	out.Header = withHeader(plain, grant.header)
	if resp, err = send(out); err == nil {
		t.auth.judge(out.Context(), grant, resp.StatusCode)
	}
	return resp, err
}

// deniable reports whether an answer may be another one with other
// credentials. Many servers say 404 for what they hide.
func deniable(status int) bool {
	switch status {
	case http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusRequestedRangeNotSatisfiable, http.StatusTooManyRequests:
		return false
	}
	return status/100 == 4
}

func withHeader(plain, more http.Header) http.Header {
	h := plain.Clone()
	for name, values := range more {
		h[name] = values
	}
	return h
}

// tries makes attempts until one is good, or bad for good.
func (t *roundTripper) tries(req *http.Request) (*http.Response, error) {
	budget := t.cfg.RetryBudget
	silent := 0
	for n := 1; ; n++ {
		resp, err := t.attempt(req, try{n: n})
		if firstByteTimeout(err) {
			silent++
		}
		if !repeatable(req) || n > t.cfg.Retries || silent > 1 || !again(resp, err) || req.Context().Err() != nil {
			return resp, err
		}
		wait := t.backoff(resp, n)
		if wait > budget || tooLate(req.Context(), wait) {
			return resp, err
		}
		budget -= wait
		t.logRetry(req, resp, err, n, wait)
		if resp != nil {
			discard(resp)
		}
		if !sleep(req.Context(), wait) {
			return nil, askerLeft(req.Context(), OpConnect, req.URL.Hostname())
		}
	}
}

func (t *roundTripper) logRetry(req *http.Request, resp *http.Response, err error, n int, wait time.Duration) {
	log := t.cfg.Logger.With("host", req.URL.Host, "try", n, "wait", wait)
	if resp != nil {
		log.InfoContext(req.Context(), "trying again", "status", resp.StatusCode)
		return
	}
	log.InfoContext(req.Context(), "trying again", "err", err)
}

// attempt sends req once.
func (t *roundTripper) attempt(req *http.Request, as try) (*http.Response, error) {
	proxy, err := t.cfg.Proxy(req)
	if err == nil && proxy != nil {
		err = checkProxy(proxy)
	}
	if err != nil {
		closeBody(req)
		return nil, &Error{Op: OpProxy, Failure: Other, Host: req.URL.Hostname(), Err: err}
	}
	a := newAttempt(&t.cfg, req, proxy, as)
	a.arrived = &t.split.arrived
	resp, err := t.lanes.of(t.base(req.URL), as.lane).RoundTrip(a.sent)
	if err != nil {
		err = a.explain(err)
		a.end(err, 0)
		return nil, err
	}
	a.answered(resp)
	if err := a.inTheWay(resp); err != nil {
		a.end(err, 0)
		resp.Body.Close()
		return nil, err
	}
	a.guard(resp)
	return resp, nil
}

// base returns the transport for u.
func (t *roundTripper) base(u *url.URL) *http.Transport {
	http1 := u.Scheme == "https" && t.cfg.Memory.http1(routeOf(u.Host))
	switch {
	case t.insecure(u) && http1:
		return t.uncheckedHTTP1
	case t.insecure(u):
		return t.unchecked
	case http1:
		return t.checkedHTTP1
	}
	return t.checked
}

// routeOf is the route to the host of an https URL.
func routeOf(host string) route {
	u := url.URL{Host: host}
	return routeTo(u.Hostname(), cmp.Or(u.Port(), "443"))
}

// watchHTTP2 returns what is to be called after each attempt, to learn with which hosts
// HTTP/2 works, and to tell cfg.Observe.
func watchHTTP2(cfg *Config) func(Attempt) {
	memory, log, observe := cfg.Memory, cfg.Logger, cfg.Observe
	return func(a Attempt) {
		if to := routeOf(a.Host); memory.observe(to, a) {
			log.Info("a fallback works", "host", to.host, "fallback", "HTTP/1.1")
		}
		if observe != nil {
			observe(a)
		}
	}
}

// inTheWay returns an error if resp comes from something between here and the host.
func (a *attempt) inTheWay(resp *http.Response) error {
	switch {
	case resp.StatusCode == http.StatusNetworkAuthenticationRequired: // RFC 6585: never from the host itself
		return &Error{Op: OpRead, Failure: CaptivePortal, Host: a.host, Err: &proxyStatus{code: resp.StatusCode}}
	case resp.StatusCode == http.StatusProxyAuthRequired && a.proxy != nil && a.scheme == "http":
		return proxyError(a.proxy, tunnelStatus(resp.StatusCode))
	}
	return nil
}

// repeatable reports whether req may be sent more than once.
func repeatable(req *http.Request) bool {
	return (req.Method == http.MethodGet || req.Method == http.MethodHead || req.Method == "") &&
		(req.Body == nil || req.Body == http.NoBody)
}

// again reports whether another try may end otherwise.
func again(resp *http.Response, err error) bool {
	if err == nil {
		return retryStatus(resp.StatusCode)
	}
	e, ok := errors.AsType[*Error](err)
	if !ok || e.resting {
		return false
	}
	switch e.Failure {
	case DNSTemporary, Refused, Reset, Unreachable, TimedOut, Stalled, EOF, H2Protocol:
		return true
	case ProxyRefused:
		status, ok := errors.AsType[*proxyStatus](err)
		return ok && status.temporary
	}
	return false
}

func retryStatus(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

func firstByteTimeout(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Op == OpRead && e.Failure == TimedOut
}

// backoff is how long to wait after try n: what the server asks for, else a
// random part of a span that doubles from try to try. The random part keeps
// clients that were cut off together from coming back together.
func (t *roundTripper) backoff(resp *http.Response, n int) time.Duration {
	span := t.cfg.RetryWait << min(n-1, 10)
	jitter := span/2 + rand.N(span/2+1)
	if resp == nil {
		return jitter
	}
	return max(retryAfter(resp.Header, time.Now()), jitter)
}

// retryAfter reads the field of RFC 9110, section 10.2.3, in either form; 0 if
// it is absent, past or no good.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(value, 10, 63); err == nil {
		const most = 1 << 32 // seconds; what does not fit into a Duration is far enough
		return time.Duration(min(seconds, most)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// tooLate reports whether the asker will have left after wait.
func tooLate(ctx context.Context, wait time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) <= wait
}

// sleep reports whether it slept to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

const (
	discardBytes = 64 << 10
	discardTime  = time.Second
)

// discard reads a short rest of a body that nobody wants, so that the connection can be
// used again; a connection is not worth more time or bytes than that.
func discard(resp *http.Response) {
	defer resp.Body.Close()
	if resp.ContentLength > discardBytes {
		return
	}
	timer := time.AfterFunc(discardTime, func() { resp.Body.Close() })
	defer timer.Stop()
	io.CopyN(io.Discard, resp.Body, discardBytes)
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

func sameHost(a, b *url.URL) bool {
	return strings.EqualFold(a.Host, b.Host)
}
