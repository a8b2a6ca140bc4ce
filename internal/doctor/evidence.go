package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/transport"
)

// The facts about the way to a host.
const (
	factReached      = "reached"        // host, address and time
	factResolves     = "resolves"       // by the system's resolver
	factOthersSay    = "others-say"     // addresses that other resolvers name
	factSeveral      = "answered-twice" // a question got several different answers
	factImpossible   = "impossible-address"
	factAnyName      = "any-name-resolves"
	factOneResolver  = "one-for-all" // one and the same machine answers for different resolvers
	factConfirmed    = "addresses-confirmed"
	factConnects     = "connects"
	factConnects6    = "connects-ipv6"
	factControl      = "control-works"
	factElsewhere    = "works-at-other-address"
	factHandshake    = "handshake"
	factHandshake4   = "handshake-ipv4"
	factAgain        = "handshake-again"
	factSmall        = "small-hello-answered"
	factPieces       = "pieces-answered"
	factHTTP1        = "http1-answered"
	factOtherName    = "other-name-answered"
	factNameAway     = "name-answered-elsewhere"
	factIssuer       = "issuer"
	factIssuerKind   = "issuer-kind"
	factCertNames    = "certificate-names"
	factCertUntil    = "certificate-valid"
	factMinted       = "certificate-made-up"
	factServerTime   = "server-time"
	factALPN         = "http2-offered"
	factGoferry      = "goferry-gets-through"
	factThroughProxy = "through-proxy"
	factOpened       = "opened-by-gateway" // with an authority that is trusted
	factNarrow       = "small-packets-answered"
	factLacks        = "intermediate-missing"
)

func networkFacts() []string {
	return []string{factReached, factResolves, factOthersSay, factSeveral, factImpossible, factAnyName, factOneResolver, factConfirmed,
		factConnects, factConnects6, factControl, factElsewhere, factHandshake, factHandshake4, factAgain, factSmall, factPieces,
		factHTTP1, factOtherName, factNameAway, factIssuer, factIssuerKind, factCertNames, factCertUntil, factMinted, factServerTime,
		factALPN, factGoferry, factThroughProxy, factOpened, factNarrow, factLacks, factHostsFile}
}

// An evidencer collects facts; what was never tried is none.
type evidencer []Fact

func (e *evidencer) add(name string, a Answer, value string) {
	if a == "" {
		return
	}
	f := Fact{Name: name, Answer: a, Value: value}
	if a == Unmeasured {
		f.Reason, f.Value = OutOfTime, ""
	}
	*e = append(*e, f)
}

func (e *evidencer) step(name string, s Step, value string) {
	switch s.Answer {
	case Yes:
		value = strings.TrimSpace(value + " " + rounded(s.Took))
	case No:
		value = strings.TrimSpace(value + " " + string(s.Failure))
	}
	e.add(name, s.Answer, value)
}

// rounded is how a time is shown.
func rounded(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "<1ms"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

func yes(b bool) Answer {
	if b {
		return Yes
	}
	return No
}

// evidence is what was seen on the way, in the order of the steps.
func (r *Reached) evidence() []Fact {
	var e evidencer
	if r.Target.Proxy != nil {
		e.step(factThroughProxy, r.Ways[0].Connect, r.Target.Proxy.Host)
	} else {
		r.nameFacts(&e)
		r.connectFacts(&e)
	}
	r.tlsFacts(&e)
	if c := r.proofs.control; c.host != "" {
		s := c.way.TLS
		if c.way.Connect.Answer != Yes {
			s = c.way.Connect
		}
		e.step(factControl, s, c.host)
	}
	e.add(factGoferry, r.proofs.goferry, "")
	return e
}

func (r *Reached) nameFacts(e *evidencer) {
	n := r.Names
	if r.literal() {
		return
	}
	e.add(factResolves, yes(n.System.Asked == Yes && n.System.Failure == ""), cmp.Or(dnsList(n.System.Addrs), string(n.System.Failure)))
	if n.System.Asked == Unmeasured {
		(*e)[len(*e)-1] = Fact{Name: factResolves, Answer: Unmeasured, Reason: OutOfTime}
	}
	r.hostsFact(e)
	var odd []string
	for _, a := range n.System.Addrs {
		if o := dnsOddness(a); o != addrFine && o != addrPrivate {
			odd = append(odd, a.String())
		}
	}
	if len(odd) > 0 {
		e.add(factImpossible, Yes, strings.Join(odd, " "))
	}
	if len(n.Others) == 0 {
		return
	}
	e.add(factOthersSay, n.othersAnswer(), n.othersSay())
	if f := &(*e)[len(*e)-1]; f.Answer == Unmeasured && !slices.ContainsFunc(n.Others, func(o NameAnswer) bool { return o.Asked == Unmeasured }) {
		f.Reason = NoNetwork // none of them was reached
	}
	if several := n.severalAnswers(); several != "" {
		e.add(factSeveral, several, "")
	}
	if len(n.System.Addrs) > 0 {
		e.add(factAnyName, yes(len(r.scene.anyName) > 0), dnsList(r.scene.anyName))
		if genuine := n.genuineAll(); genuine != Unmeasured {
			e.add(factConfirmed, genuine, "")
		}
	}
	if r.scene.intercepted == Yes || r.scene.intercepted == No {
		e.add(factOneResolver, r.scene.intercepted, dnsList(r.scene.answersFrom))
	}
}

// othersAnswer is Yes if another resolver names an address, and No if those that answer say that there is none.
func (n Names) othersAnswer() Answer {
	a := Unmeasured
	for _, o := range n.Others {
		switch {
		case o.Asked != Yes:
		case len(o.Addrs) > 0:
			return Yes
		case o.Failure == transport.NXDomain:
			a = No
		}
	}
	return a
}

func (n Names) othersSay() string {
	var parts []string
	for _, o := range n.Others {
		if o.Asked == Yes {
			parts = append(parts, fmt.Sprintf("%s: %s", o.Who, cmp.Or(dnsList(slices.Concat(o.Addrs, missing(o.Late, o.Addrs))), string(o.Failure))))
		}
	}
	return strings.Join(parts, "; ")
}

// severalAnswers is empty where nobody was asked in a way that could show it.
func (n Names) severalAnswers() Answer {
	var a Answer
	for _, o := range n.Others {
		switch {
		case o.Injected:
			return Yes
		case o.Kind == UDPResolver && o.Asked == Yes:
			a = No
		}
	}
	return a
}

func (n Names) genuineAll() Answer {
	all := Yes
	for _, a := range n.System.Addrs {
		switch n.Genuine(a) {
		case No:
			return No
		case Unmeasured:
			all = Unmeasured
		}
	}
	return all
}

// missing are those of a that are not in b.
func missing[T comparable](a, b []T) []T {
	return slices.DeleteFunc(slices.Clone(a), func(v T) bool { return slices.Contains(b, v) })
}

func (r *Reached) connectFacts(e *evidencer) {
	for _, v := range []struct {
		name string
		six  bool
	}{{factConnects, false}, {factConnects6, true}} {
		best := Step{}
		value := ""
		for _, w := range r.Ways {
			if w.Addr.Addr().Is6() == v.six && (best.Answer == "" || w.Connect.done() && !best.done()) {
				best, value = w.Connect, w.Addr.String()
			}
		}
		e.step(v.name, best, value)
	}
	if len(r.Others) > 0 {
		i := slices.IndexFunc(r.Others, func(w Way) bool { return w.TLS.done() })
		value := ""
		if i >= 0 {
			value = r.Others[i].Addr.Addr().String()
		}
		e.add(factElsewhere, yes(i >= 0), value)
	}
}

func (r *Reached) tlsFacts(e *evidencer) {
	if r.Taken < 0 || !r.https() {
		return
	}
	w, p := r.Ways[r.Taken], r.proofs
	e.step(factHandshake, w.TLS, r.Target.URL.Hostname())
	if w.Addr.IsValid() && w.Addr.Addr().Is6() && !w.TLS.done() {
		if i := slices.IndexFunc(r.Ways, func(w Way) bool { return w.Addr.Addr().Is4() && w.Connect.done() }); i >= 0 {
			e.step(factHandshake4, r.Ways[i].TLS, "")
		}
	}
	if w.State != nil {
		e.add(factALPN, yes(w.State.NegotiatedProtocol == "h2"), "")
	}
	if len(w.Certs) > 0 {
		c := w.Certs[0]
		e.add(factIssuer, Yes, issuerName(c))
		e.add(factIssuerKind, Yes, issuerKind(c))
		if badCertificate(w.TLS.Failure) {
			e.add(factCertNames, Yes, namesOf(c))
			e.add(factCertUntil, Yes, c.NotBefore.UTC().Format(time.DateOnly)+" … "+c.NotAfter.UTC().Format(time.DateOnly))
		}
	}
	if p.lacks != "" {
		value := ""
		if p.lacksOne != nil {
			value = subjectName(p.lacksOne)
		}
		e.add(factLacks, p.lacks, value)
	}
	if p.invented.Answer != "" {
		e.add(factMinted, yes(p.minted), "")
	}
	if !p.served.IsZero() {
		e.add(factServerTime, Yes, p.served.UTC().Format(time.RFC3339))
	}
	e.step(factAgain, p.again, "")
	for _, v := range []struct {
		name string
		step Step
	}{{factSmall, p.small}, {factPieces, p.pieces}, {factNarrow, p.narrow}, {factHTTP1, p.http1}, {factOtherName, p.noName}, {factNameAway, p.away}} {
		if v.step.Answer != "" {
			e.add(v.name, answered(v.step), "")
		}
	}
}
