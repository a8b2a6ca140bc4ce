package doctor

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/transport"
)

// A Verdict says what is wrong on the way to a target, from a closed list. Those other than VerdictHealthy and
// VerdictUnknown are codes of findings too.
type Verdict string

// The verdicts. One is given only where a test that changes one thing alone proves it.
const (
	VerdictHealthy          Verdict = "healthy"
	VerdictUnknown          Verdict = "unknown"           // it fails, or was not measured, and nothing says why
	VerdictDNSPoisoned      Verdict = "dns-poisoned"      // the answer for this name is forged
	VerdictDNSNXDomain      Verdict = "dns-nxdomain"      // the resolver says that there is no such name
	VerdictDNSHijacked      Verdict = "dns-hijacked"      // somebody else answers in the place of the resolver, for more names than this
	VerdictDNSTimeout       Verdict = "dns-timeout"       // the resolver does not answer, or only that it cannot
	VerdictIPBlocked        Verdict = "ip-blocked"        // right addresses, of which none answers, while others do
	VerdictTCPRefused       Verdict = "tcp-refused"       // nothing listens there
	VerdictTCPReset         Verdict = "tcp-reset"         // connections are cut off, whatever is sent
	VerdictTCPTimeout       Verdict = "tcp-timeout"       // no connection, and nothing shows whether it is blocked or down
	VerdictSNIReset         Verdict = "sni-reset"         // handshakes with this name are cut off or swallowed, others are not
	VerdictTLSTimeout       Verdict = "tls-timeout"       // no answer to any hello
	VerdictTLSLargeHello    Verdict = "tls-large-hello"   // no answer to hellos that are longer than a packet
	VerdictTLSMITM          Verdict = "tls-mitm"          // somebody on the way opens the connection, with an authority that is not trusted
	VerdictTLSUntrusted     Verdict = "tls-untrusted"     // an authority that is not trusted, or a certificate that has expired
	VerdictTLSBadName       Verdict = "tls-bad-name"      // a certificate of another host
	VerdictH2Broken         Verdict = "h2-broken"         // HTTP/2 fails where HTTP/1.1 works
	VerdictNoH2             Verdict = "alpn-no-h2"        // HTTP/1.1 is all that is offered; nothing is wrong
	VerdictHTTPStalled      Verdict = "http-stalled"      // an answer does not begin, or does not go on
	VerdictHTTPThrottled    Verdict = "http-throttled"    // an answer comes at a rate that somebody set
	VerdictCaptivePortal    Verdict = "captive-portal"    // the network wants a log-in first
	VerdictProxyAuth        Verdict = "proxy-auth"        // the proxy wants other credentials
	VerdictProxyBroken      Verdict = "proxy-broken"      // the proxy cannot be reached, or does not let through
	VerdictMirrorStale      Verdict = "mirror-stale"      // a mirror does not know what the others do
	VerdictMirrorLies       Verdict = "mirror-lies"       // a mirror serves what the checksum database has otherwise
	VerdictSumDBUnreachable Verdict = "sumdb-unreachable" // neither itself nor through an upstream
	VerdictIPv6Broken       Verdict = "ipv6-broken"       // IPv6 connects, and then nothing comes of it, while IPv4 works
	VerdictClockWrong       Verdict = "clock-wrong"       // of this machine
)

// Verdicts lists the verdicts.
func Verdicts() []Verdict {
	return []Verdict{VerdictHealthy, VerdictUnknown, VerdictDNSPoisoned, VerdictDNSNXDomain, VerdictDNSHijacked, VerdictDNSTimeout,
		VerdictIPBlocked, VerdictTCPRefused, VerdictTCPReset, VerdictTCPTimeout, VerdictSNIReset, VerdictTLSTimeout, VerdictTLSLargeHello,
		VerdictTLSMITM, VerdictTLSUntrusted, VerdictTLSBadName, VerdictH2Broken, VerdictNoH2, VerdictHTTPStalled, VerdictHTTPThrottled,
		VerdictCaptivePortal, VerdictProxyAuth, VerdictProxyBroken, VerdictMirrorStale, VerdictMirrorLies, VerdictSumDBUnreachable,
		VerdictIPv6Broken, VerdictClockWrong}
}

// conclude gives the verdict, the step that fails and the evidence.
func (x *Exam) conclude(r *Reached) {
	switch {
	case r.Works():
		r.Verdict = VerdictHealthy
		if s := r.Ways[r.Taken].State; s != nil && s.NegotiatedProtocol != "h2" && !x.usualHello(r.Target.URL.Hostname()).http1 {
			r.Verdict, r.Op = VerdictNoH2, transport.OpTLS
		}
	case r.Target.Proxy != nil && r.Taken < 0:
		r.concludeProxy()
	case r.Names.System.Asked == Unmeasured:
		r.Verdict = VerdictUnknown
	case r.Names.System.Failure == transport.NXDomain:
		r.Verdict, r.Op, r.Failure = VerdictDNSNXDomain, transport.OpResolve, transport.NXDomain
	case r.Names.System.Failure != "":
		r.Verdict, r.Op, r.Failure = VerdictDNSTimeout, transport.OpResolve, r.Names.System.Failure
	default:
		if v := r.wrongAnswer(); v != "" {
			r.Verdict, r.Op, r.Failure = v, transport.OpResolve, transport.Other
		} else if r.Taken < 0 {
			r.concludeConnect()
		} else {
			x.concludeTLS(r)
		}
	}
	r.Facts = append(r.evidence(), x.traced(r.dialed())...)
}

func (r *Reached) concludeProxy() {
	r.Verdict, r.Op, r.Failure = VerdictProxyBroken, transport.OpProxy, r.Ways[0].Connect.Failure
	switch {
	case r.Ways[0].Connect.Answer == Unmeasured:
		r.Verdict, r.Op = VerdictUnknown, ""
	case r.Failure == transport.ProxyAuth:
		r.Verdict = VerdictProxyAuth
	case r.Failure == transport.CaptivePortal:
		r.Verdict = VerdictCaptivePortal
	}
}

// provedElsewhere reports whether the host proved itself at an address that another resolver named.
func (r *Reached) provedElsewhere() bool {
	return slices.ContainsFunc(r.Others, func(w Way) bool { return w.TLS.done() })
}

// allOdd reports whether each of the system's addresses is one of these.
func (r *Reached) allOdd(odd ...oddness) bool {
	addrs := r.Names.System.Addrs
	for _, a := range addrs {
		if !slices.Contains(odd, dnsOddness(a)) {
			return false
		}
	}
	return len(addrs) > 0
}

// wrongAnswer says that the system's resolver named wrong addresses, if that is proved; the host did not prove itself at the address that
// was taken. Addresses that differ from those of other resolvers prove nothing: content networks answer so. Nor do private ones, or
// such of this machine, unless the host is seen to be elsewhere.
func (r *Reached) wrongAnswer() Verdict {
	addrs := r.Names.System.Addrs
	if len(addrs) == 0 || r.Target.Proxy != nil || r.literal() || len(r.pinned) > 0 || slices.ContainsFunc(r.Ways, func(w Way) bool { return w.TLS.done() }) {
		return ""
	}
	if r.anyNameLeadsHere() || r.allOdd(addrFakeIP) {
		return VerdictDNSHijacked
	}
	wrong := r.allOdd(addrNowhere, addrForged) || slices.ContainsFunc(addrs, func(a netip.Addr) bool { return dnsOddness(a) == addrForged })
	wrong = wrong || r.Names.Injected() && !slices.ContainsFunc(addrs, func(a netip.Addr) bool { return r.Names.Genuine(a) != No })
	if r.provedElsewhere() {
		wrong = wrong || r.allOdd(addrPrivate, addrThisHost, addrNowhere, addrForged)
		// Somebody is there who cannot be the host.
		wrong = wrong || r.Taken >= 0 && (badCertificate(r.Ways[r.Taken].TLS.Failure) || r.Ways[r.Taken].TLS.Failure == transport.TLSProtocol)
	}
	switch {
	case !wrong:
		return ""
	case r.scene.intercepted == Yes:
		return VerdictDNSHijacked
	}
	return VerdictDNSPoisoned
}

// literal reports whether the target is an address, which nobody needs to resolve.
func (r *Reached) literal() bool {
	_, err := netip.ParseAddr(r.Names.Host)
	return err == nil
}

// anyNameLeadsHere reports whether the resolver names the same addresses for a host that does not exist.
func (r *Reached) anyNameLeadsHere() bool {
	for _, a := range r.Names.System.Addrs {
		if !slices.Contains(r.scene.anyName, a) {
			return false
		}
	}
	return len(r.Names.System.Addrs) > 0
}

// concludeConnect speaks of IPv4, where there is any: a network without IPv6 says nothing about the host.
func (r *Reached) concludeConnect() {
	ways := slices.DeleteFunc(slices.Clone(r.Ways), func(w Way) bool { return !w.Connect.failed() })
	if len(ways) == 0 {
		r.Verdict = VerdictUnknown
		return
	}
	w := ways[0]
	if i := slices.IndexFunc(ways, func(w Way) bool { return w.Addr.Addr().Is4() }); i >= 0 {
		w = ways[i]
	}
	r.Op, r.Failure = transport.OpConnect, w.Connect.Failure
	switch r.Failure {
	case transport.Refused:
		r.Verdict = VerdictTCPRefused
	case transport.Reset, transport.EOF:
		r.Verdict = VerdictTCPReset
	case transport.TimedOut, transport.Unreachable:
		r.Verdict = VerdictTCPTimeout
		if r.proofs.control.way.Connect.done() && r.allGenuine() {
			r.Verdict = VerdictIPBlocked
		}
	default:
		r.Verdict = VerdictUnknown
	}
}

// allGenuine reports whether the addresses are public, and another resolver confirms each of them. Where the host proved itself at
// an address that is not among them, that is no proof: who forges answers forges those of many resolvers.
func (r *Reached) allGenuine() bool {
	if r.provedElsewhere() {
		return false
	}
	for _, a := range r.Names.System.Addrs {
		if dnsOddness(a) != addrFine || r.Names.Genuine(a) != Yes {
			return false
		}
	}
	return len(r.Names.System.Addrs) > 0
}

func (x *Exam) concludeTLS(r *Reached) {
	w := r.Ways[r.Taken]
	r.Op, r.Failure = transport.OpTLS, w.TLS.Failure
	e := r.proofs.experiments
	six := func(w Way) bool { return w.Addr.IsValid() && w.Addr.Addr().Is6() }
	switch {
	case w.TLS.Answer == Unmeasured:
		r.Verdict, r.Op, r.Failure = VerdictUnknown, "", ""
	case six(w) && slices.ContainsFunc(r.Ways, func(w Way) bool { return !six(w) && w.TLS.done() }) &&
		!slices.ContainsFunc(r.Ways, func(w Way) bool { return six(w) && w.TLS.done() }):
		r.Verdict = VerdictIPv6Broken
	case e.again.done():
		r.Verdict = VerdictHealthy // now and then; see Flaky
	case r.Failure == transport.CertExpired:
		r.Verdict = VerdictTLSUntrusted
		if x.clockIsWrong(r) {
			r.Verdict = VerdictClockWrong
		}
	case r.Failure == transport.BadHostname:
		r.Verdict = VerdictTLSBadName
	case r.Failure == transport.UnknownAuthority:
		r.Verdict = VerdictTLSUntrusted
		if e.lacks != Yes && r.opened() {
			r.Verdict = VerdictTLSMITM
		}
	default:
		r.Verdict = r.cutOffBy(r.Failure)
	}
}

// cutOffBy says what a hello that fails has that one which gets through has not.
func (r *Reached) cutOffBy(failure transport.Failure) Verdict {
	e, control := r.proofs.experiments, r.proofs.control
	better := func(s Step) bool { // than what failed
		return s.done() || cutOff(failure) && answered(s) == Yes
	}
	switch {
	case better(e.small):
		return VerdictTLSLargeHello
	case better(e.http1):
		return VerdictH2Broken
	case !cutOff(failure):
		return VerdictUnknown
	case r.answersLost(failure):
		return VerdictTLSTimeout
	case better(e.noName):
		return VerdictSNIReset
	case answered(e.away) == No && answered(control.invents) == Yes: // for a while after, all else may be cut off at the host itself
		return VerdictSNIReset
	case failure == transport.TimedOut:
		return VerdictTLSTimeout
	}
	return VerdictTCPReset
}

// answersLost reports whether it is the large packets of the answer that are lost: a hello in small ones does not help, and
// an answer in small ones does. A refusal of another name would be small.
func (r *Reached) answersLost(failure transport.Failure) bool {
	e := r.proofs.experiments
	return failure == transport.TimedOut && e.narrow.done() && answered(e.pieces) == No
}

// Flaky reports whether a handshake failed and the same one worked when it was tried again.
func (r Reached) Flaky() bool {
	return r.Taken >= 0 && r.Ways[r.Taken].TLS.failed() && r.proofs.again.done()
}

// opened reports whether it is proved that somebody on the way opens connections: certificates are made up for names that nobody
// has, or a host that has nothing to do with this one shows the same authority, or the authority says that it does so.
func (r *Reached) opened() bool {
	certs := r.Ways[r.Taken].Certs
	if r.proofs.minted || len(certs) == 0 {
		return r.proofs.minted
	}
	c := r.proofs.control.way
	if c.TLS.Failure == transport.UnknownAuthority && len(c.Certs) > 0 && bytes.Equal(c.Certs[0].RawIssuer, certs[0].RawIssuer) {
		return true
	}
	return issuerKind(certs[0]) == issuerGateway
}

// clockIsWrong reports whether it is this machine's clock that is outside the time of a certificate, and not the certificate outside
// the time: the server says another time, at which its certificate is good, or that of a host in good order is bad too.
func (x *Exam) clockIsWrong(r *Reached) bool {
	certs := r.Ways[r.Taken].Certs
	if served := r.proofs.served; !served.IsZero() && len(certs) > 0 {
		off := x.Net.now().Sub(served).Abs()
		good := served.After(certs[0].NotBefore) && served.Before(certs[0].NotAfter)
		return off > 10*time.Minute && good
	}
	return r.proofs.control.way.TLS.Failure == transport.CertExpired
}

const (
	issuerPublic     = "public"
	issuerGateway    = "gateway"
	issuerSelfSigned = "self-signed"
	issuerOther      = "other" // a company's, or one that is not known here
)

// issuerKind tells by its names who signed a certificate. It is a help for the reader, and proves nothing,
// except that nobody else calls himself by the name of a gateway.
func issuerKind(cert *x509.Certificate) string {
	if bytes.Equal(cert.RawSubject, cert.RawIssuer) {
		return issuerSelfSigned
	}
	issuer := strings.ToLower(cert.Issuer.String())
	holds := func(name string) bool { return strings.Contains(issuer, name) }
	switch {
	case slices.ContainsFunc(gatewayNames(), holds):
		return issuerGateway
	case slices.ContainsFunc(publicIssuers(), holds):
		return issuerPublic
	}
	return issuerOther
}

// gatewayNames are makers of what opens the TLS connections of a company, or of one machine.
func gatewayNames() []string {
	return []string{"zscaler", "netskope", "goskope", "fortinet", "fortigate", "palo alto", "cisco umbrella", "blue coat", "bluecoat", "forcepoint",
		"websense", "mcafee web gateway", "skyhigh", "barracuda", "sophos", "check point", "watchguard", "sonicwall", "sangfor", "深信服", "hillstone",
		"topsec", "kaspersky", "avast", "eset ssl filter", "bitdefender", "mitmproxy", "charles proxy", "fiddler", "proxyman", "squid"}
}

// publicIssuers are the organizations of authorities that systems trust, as far as Go users meet them.
func publicIssuers() []string {
	return []string{"let's encrypt", "google trust services", "digicert", "globalsign", "sectigo", "comodo", "amazon", "trustasia", "wotrus", "godaddy",
		"starfield", "entrust", "microsoft corporation", "cloudflare", "zerossl", "ssl corporation", "buypass", "unizeto", "asseco", "certum",
		"cfca", "itruschina", "secom", "actalis", "hellenic academic", "quovadis", "identrust", "geotrust", "rapidssl", "apple inc", "d-trust",
		"telia", "swisssign", "harica", "e-tugra", "certsign", "guang dong certificate", "beijing xinchacha"}
}

// issuerName is how an issuer is shown: its organization and name.
func issuerName(cert *x509.Certificate) string {
	var parts []string
	for _, s := range append(slices.Clone(cert.Issuer.Organization), cert.Issuer.CommonName) {
		if s != "" && !slices.Contains(parts, s) {
			parts = append(parts, s)
		}
	}
	return clipped(strings.ToValidUTF8(strings.Join(parts, ", "), "?"), 120)
}

// subjectName is how a certificate of an authority is shown.
func subjectName(cert *x509.Certificate) string {
	c := *cert
	c.Issuer = c.Subject
	return issuerName(&c)
}

func clipped(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}

// namesOf are the hosts that a certificate is for.
func namesOf(cert *x509.Certificate) string {
	names := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 && cert.Subject.CommonName != "" {
		names = []string{cert.Subject.CommonName}
	}
	return clipped(strings.ToValidUTF8(strings.Join(names, " "), "?"), 120)
}

// certificatesOf are those that a handshake failed over.
func certificatesOf(err error) []*x509.Certificate {
	if verify, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return verify.UnverifiedCertificates
	}
	return nil
}
