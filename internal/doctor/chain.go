package doctor

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"net/url"
	"strings"

	"github.com/goferry/goferry/internal/transport"
)

// chainMost is how many certificates between that of a server and the authority are sought.
const chainMost = 3

// lacking finds out whether all that is wrong with the certificates that a server shows is that one between its own and a
// trusted authority is not among them. Browsers fetch such a one from where the certificate says that it is, so that nobody notices; the go
// command does not. It returns the first that is not there, and Unmeasured if it could not be had. The Answer is empty where a certificate
// does not say where its issuer's is.
func (x *Exam) lacking(ctx context.Context, host string, certs []*x509.Certificate) (Answer, *x509.Certificate) {
	shown := x509.NewCertPool()
	for _, c := range certs[1:] {
		shown.AddCert(c)
	}
	last := chainEnd(certs)
	var first *x509.Certificate
	for range chainMost {
		if bytes.Equal(last.RawSubject, last.RawIssuer) {
			return No, nil // all are there, up to an authority that is not trusted
		}
		from := chainURL(last)
		if from == nil {
			return "", nil
		}
		next, ok := x.chainFetch(ctx, from)
		if !ok {
			return Unmeasured, nil
		}
		if last.CheckSignatureFrom(next) != nil {
			return No, nil
		}
		if first == nil {
			first = next
		}
		shown.AddCert(next)
		if _, err := certs[0].Verify(x509.VerifyOptions{DNSName: host, Roots: x.Net.Roots, Intermediates: shown, CurrentTime: x.Net.now()}); err == nil {
			return Yes, first
		}
		last = next
	}
	return No, nil
}

// chainEnd is the certificate that leads as far up as those that are shown go.
func chainEnd(certs []*x509.Certificate) *x509.Certificate {
	last := certs[0]
	for range certs {
		next := last
		for _, c := range certs {
			if c != last && bytes.Equal(c.RawSubject, last.RawIssuer) && last.CheckSignatureFrom(c) == nil {
				next = c
			}
		}
		if next == last || bytes.Equal(last.RawSubject, last.RawIssuer) {
			break
		}
		last = next
	}
	return last
}

// chainURL is where a certificate says that its issuer's is (RFC 5280, section 4.2.2.1). It may be a forger who says so: nothing on this
// machine is asked, and nothing that takes a query.
func chainURL(c *x509.Certificate) *url.URL {
	for _, raw := range c.IssuingCertificateURL {
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "http" || u.Hostname() == "" || u.Port() != "" && u.Port() != "80" || u.User != nil || u.RawQuery != "" {
			continue
		}
		ip, err := netip.ParseAddr(u.Hostname())
		if strings.EqualFold(u.Hostname(), "localhost") || err == nil && (ip.Unmap().IsLoopback() || ip.Unmap().IsLinkLocalUnicast() || ip.IsUnspecified()) {
			continue
		}
		return u
	}
	return nil
}

// chainFetch fetches a certificate. Who sends it does not matter: it is taken only with a signature that fits.
func (x *Exam) chainFetch(ctx context.Context, from *url.URL) (*x509.Certificate, bool) {
	line := httpLineOf(x, true, nil)
	defer line.Close()
	a := line.ask(ctx, httpAsk{url: from, limit: httpSmall, keep: true})
	if !a.ok() || a.failure == transport.Canceled {
		return nil, false
	}
	der := a.body
	if block, _ := pem.Decode(a.body); block != nil {
		der = block.Bytes
	}
	c, err := x509.ParseCertificate(der)
	return c, err == nil
}
