package mirrors

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// A trace follows one request, redirects included. Its hooks may run late and anywhere.
type trace struct {
	mu        sync.Mutex
	asked     time.Time            // for a connection
	setup     time.Duration        // spent until there was one, for each hop
	resolving time.Time            // since when
	started   map[string]time.Time // connections, by address
	connected time.Time            // when the last one stood
	shaking   time.Time            // since when
	link      Link                 // of the first hop
	done      bool                 // with the first hop
}

func (t *trace) context(ctx context.Context) context.Context {
	t.started = make(map[string]time.Time)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:           func(string) { t.note(func(now time.Time) { t.asked = now }) },
		DNSStart:          func(httptrace.DNSStartInfo) { t.note(func(now time.Time) { t.resolving = now }) },
		DNSDone:           func(httptrace.DNSDoneInfo) { t.note(t.resolved) },
		ConnectStart:      func(_, addr string) { t.note(func(now time.Time) { t.started[addr] = now }) },
		ConnectDone:       t.connectDone,
		TLSHandshakeStart: func() { t.note(t.handshake) },
		GotConn:           t.gotConn,
	})
}

func (t *trace) note(what func(now time.Time)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	what(time.Now())
}

func (t *trace) resolved(now time.Time) {
	if !t.done && !t.resolving.IsZero() {
		t.link.Resolve = Millis(now.Sub(t.resolving))
	}
}

// handshake keeps the first time: net/http says so once more where a dialer has done it already.
func (t *trace) handshake(now time.Time) {
	if t.shaking.IsZero() {
		t.shaking = now
	}
}

func (t *trace) connectDone(_, addr string, err error) {
	t.note(func(now time.Time) {
		if err != nil || t.done {
			return
		}
		t.connected = now
		t.link.Address, t.link.Connect = addr, Millis(now.Sub(t.started[addr]))
	})
}

func (t *trace) gotConn(info httptrace.GotConnInfo) {
	t.note(func(now time.Time) {
		t.setup += now.Sub(t.asked)
		if t.done || info.Reused {
			return
		}
		t.done = true
		// Who connects by himself may not tell net/http of his handshake.
		if t.shaking.IsZero() {
			t.shaking = t.connected
		}
		if !t.shaking.IsZero() {
			t.link.Handshake = Millis(now.Sub(t.shaking))
		}
	})
}

// result returns the time that making connections took, and the first connection
// as far as it came. resp is nil if there was no answer.
func (t *trace) result(resp *http.Response, err error) (setup time.Duration, link Link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	link = t.link
	if resp == nil {
		if bad, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(bad.UnverifiedCertificates) > 0 {
			link.Issuer = issuer(bad.UnverifiedCertificates[0])
		}
		return t.setup, link
	}
	for resp.Request != nil && resp.Request.Response != nil {
		resp = resp.Request.Response // the redirect that led there
	}
	link.HTTP = resp.Proto
	if resp.TLS == nil {
		link.Handshake = 0
		return t.setup, link
	}
	link.TLS = tls.VersionName(resp.TLS.Version)
	if len(resp.TLS.PeerCertificates) > 0 {
		link.Issuer = issuer(resp.TLS.PeerCertificates[0])
	}
	return t.setup, link
}

// issuer is the organization that issued cert, as far as it says so, and its name.
func issuer(cert *x509.Certificate) string {
	return organization(cert.Issuer)
}

func organization(n pkix.Name) string {
	switch {
	case len(n.Organization) == 0:
		return n.CommonName
	case n.CommonName == "" || n.CommonName == n.Organization[0]:
		return n.Organization[0]
	}
	return n.Organization[0] + " " + n.CommonName
}
