package transport

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// An Op is the step at which a request failed.
type Op string

// The steps, in the order in which a request takes them. Redirect is between two requests.
const (
	OpResolve  Op = "resolve"
	OpConnect  Op = "connect"
	OpProxy    Op = "proxy" // reaching a proxy, or getting through it
	OpTLS      Op = "tls"
	OpWrite    Op = "write"
	OpRead     Op = "read"
	OpRedirect Op = "redirect"
)

// A Failure is the reason of an Error, from a closed list.
type Failure string

// The failures. Their values are stable: logs, metrics and JSON carry them.
const (
	NXDomain            Failure = "nxdomain"             // the resolver says that the name, or an address for it, does not exist; some systems say so when they are offline
	DNSTemporary        Failure = "dns-temporary"        // the resolver could not find out
	Refused             Failure = "refused"              // nothing listens there
	Reset               Failure = "reset"                // the connection was cut by a reset
	Unreachable         Failure = "unreachable"          // no route, or forbidden by a firewall on the way
	TimedOut            Failure = "timeout"              // no answer in time, or the asker's deadline
	Stalled             Failure = "stalled"              // no byte for StallTimeout in the middle of an answer
	UnknownAuthority    Failure = "unknown-authority"    // certificate of an authority that is not trusted
	BadHostname         Failure = "bad-hostname"         // certificate of another host
	CertExpired         Failure = "cert-expired"         // certificate outside its time, or the clock wrong
	TLSProtocol         Failure = "tls-protocol"         // no TLS there, or none that both sides speak
	EOF                 Failure = "eof"                  // closed before the end
	H2Protocol          Failure = "h2-protocol"          // HTTP/2 stream or connection broken off by the other side
	ProxyAuth           Failure = "proxy-auth"           // the proxy wants other credentials
	ProxyRefused        Failure = "proxy-refused"        // the proxy would not or could not connect
	InsecureRedirect    Failure = "insecure-redirect"    // from https to something else
	TooManyRedirects    Failure = "too-many-redirects"   // more than 10
	InsecureCredentials Failure = "insecure-credentials" // user and password in an http URL
	CaptivePortal       Failure = "captive-portal"       // the network wants a log-in first (status 511)
	Changed             Failure = "changed"              // the file became another one while its body was read
	Other               Failure = "other"                // none of these

	// Canceled stands in an Attempt whose asker left. It is never in an Error:
	// such a request returns the context's error.
	Canceled Failure = "canceled"
)

// Failures returns every Failure that an Error can have.
func Failures() []Failure {
	return []Failure{NXDomain, DNSTemporary, Refused, Reset, Unreachable, TimedOut, Stalled,
		UnknownAuthority, BadHostname, CertExpired, TLSProtocol, EOF, H2Protocol, ProxyAuth, ProxyRefused,
		InsecureRedirect, TooManyRedirects, InsecureCredentials, CaptivePortal, Changed, Other}
}

// An Error says at which step a request failed, and why. Its text holds neither
// credentials nor a URL.
type Error struct {
	Op      Op
	Failure Failure
	Host    string // the host that was dealt with, without port: the proxy's for OpProxy
	Err     error  // the cause, as the standard library gave it; its text is not safe to show
	// Ago is how long ago the failure was found where that is remembered and was not tried
	// again, because the host has been silent and is left alone for a while; else 0.
	Ago time.Duration

	final   bool
	resting bool // the host is left alone: another try would fail the same way at once
}

// Error puts it as "connect proxy.example.test: connection refused".
func (e *Error) Error() string {
	s := string(e.Op)
	if e.Host != "" {
		s += " " + e.Host
	}
	s += ": " + e.reason()
	if e.Ago > 0 {
		s += "; tried " + max(e.Ago.Round(time.Second), time.Second).String() + " ago"
	}
	return s
}

// reason is a fixed phrase, or where that says too little the text of the cause.
func (e *Error) reason() string {
	switch e.Failure {
	case UnknownAuthority, BadHostname, CertExpired, TLSProtocol:
		// Names, issuers and dates are what a person needs; they are public.
		if s := certificateText(e.Err); s != "" {
			return s
		}
	case ProxyAuth, ProxyRefused:
		var status *proxyStatus
		if errors.As(e.Err, &status) {
			return e.Failure.phrase() + ": " + status.Error()
		}
	case InsecureRedirect:
		if e.Err != nil {
			return e.Err.Error() // our own words
		}
	case Other:
		if e.Op == OpProxy || e.Err == nil {
			break // a bad proxy setting is quoted with its password
		}
		return clip(e.Err.Error(), 200)
	}
	return e.Failure.phrase()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint returns the way out that belongs to the failure, with its message code. Whatever
// keeps a proxy from being reached, the way out is the proxy's, not the upstream's.
func (e *Error) Hint() (code, text string) {
	f := e.Failure
	if e.Op == OpProxy && f != ProxyAuth {
		f = ProxyRefused
	}
	return f.HintCode(), f.Hint()
}

// Final reports whether reading on from where the body broke off is of no use: what
// Config allows for that has been tried, or the file has changed. Asking anew for
// the whole may help.
func (e *Error) Final() bool { return e.final }

// Changed reports whether the file became another one while its body was read, so that it has
// to be read from its beginning.
func (e *Error) Changed() bool { return e.Failure == Changed }

// Timeout reports whether a deadline ended the request: TimedOut or Stalled.
func (e *Error) Timeout() bool { return e.Failure == TimedOut || e.Failure == Stalled }

// Explain returns the Error in err, if one is there.
func Explain(err error) (Error, bool) {
	var e *Error
	if errors.As(err, &e) {
		return *e, true
	}
	return Error{}, false
}

// Clean takes away the *url.Error that net/http puts around what a client
// returns, because its text holds the URL with its query.
func Clean(err error) error {
	var u *url.Error
	if errors.As(err, &u) && u.Err != nil {
		return u.Err
	}
	return err
}

// askerLeft returns what a request returns whose context has ended: the
// context's error, with its cause, for one that was canceled, an *Error for one
// whose deadline has passed.
func askerLeft(ctx context.Context, op Op, host string) error {
	err := ctx.Err()
	if cause := context.Cause(ctx); cause != err {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &Error{Op: op, Failure: TimedOut, Host: host, Err: err}
	}
	return err
}

func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}
