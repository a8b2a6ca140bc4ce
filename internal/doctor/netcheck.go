package doctor

import (
	"context"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/transport"
)

// The codes of this file that are no verdicts.
const (
	codeOffline       = "offline"        // nothing answers at all
	codeClosedNetwork = "closed-network" // it answers, and knows no host outside
	codeAddressesDead = "addresses-dead" // some addresses of a host do not work, others do
	codeFlaky         = "handshake-flaky"
	codeUnreachable   = "unreachable" // and why could not be found out: VerdictUnknown
)

// The fixes of this file.
const (
	fixGoferryOn     = "goferry-on"
	fixOtherMirror   = "other-mirror"
	fixOtherResolver = "other-resolver"
	fixFakeIP        = "fake-ip"
	fixHostsLine     = "hosts-line"
	fixSpelling      = "host-spelling"
	fixServer        = "start-server"
	fixSmallHello    = "small-hello"
	fixMTU           = "lower-mtu"
	fixNoHTTP2       = "no-http2"
	fixTrust         = "trust-authority"
	fixCertificate   = "renew-certificate"
	fixCertName      = "certificate-name"
	fixNoIPv6        = "no-ipv6"
	fixClock         = "set-clock"
	fixPlugIn        = "get-online"
	fixInside        = "upstream-inside"
	fixChain         = "complete-chain"
)

func networkCodes() []string {
	codes := []string{codeOffline, codeClosedNetwork, codeAddressesDead, codeFlaky, codeUnreachable, codeHostsPinned}
	for _, v := range []Verdict{VerdictDNSPoisoned, VerdictDNSNXDomain, VerdictDNSHijacked, VerdictDNSTimeout, VerdictIPBlocked,
		VerdictTCPRefused, VerdictTCPReset, VerdictTCPTimeout, VerdictSNIReset, VerdictTLSTimeout, VerdictTLSLargeHello, VerdictTLSMITM,
		VerdictTLSUntrusted, VerdictTLSBadName, VerdictH2Broken, VerdictNoH2, VerdictIPv6Broken, VerdictClockWrong} {
		codes = append(codes, string(v))
	}
	return codes
}

func networkFixes() []string {
	return []string{fixGoferryOn, fixOtherMirror, fixOtherResolver, fixFakeIP, fixHostsLine, fixSpelling, fixServer, fixSmallHello, fixMTU,
		fixNoHTTP2, fixTrust, fixCertificate, fixCertName, fixNoIPv6, fixClock, fixPlugIn, fixInside, fixChain, fixHostsDrop}
}

// networkChecks are the checks of this file.
func networkChecks() []Check {
	return []Check{{ID: "network", Group: Network, Run: networkCheck}}
}

func networkCheck(ctx context.Context, x *Exam) Outcome {
	targets := x.hosts()
	if len(targets) == 0 {
		return Outcome{NotRun: NotNeeded}
	}
	reached := make([]Reached, len(targets))
	var wg sync.WaitGroup
	for i, t := range targets {
		wg.Go(func() { reached[i] = x.Reach(ctx, t) })
	}
	wg.Wait()
	return x.networkOutcome(reached)
}

// hosts are the targets with each host once: what is true of its first role is true of all.
func (x *Exam) hosts() []Target {
	var list []Target
	for _, t := range x.Targets {
		if t.URL == nil || t.URL.Scheme != "https" && t.URL.Scheme != "http" || t.URL.Hostname() == "" {
			continue
		}
		if !slices.ContainsFunc(list, func(o Target) bool { return o.URL.Scheme == t.URL.Scheme && o.Host() == t.Host() }) {
			list = append(list, t)
		}
	}
	return list
}

func (x *Exam) networkOutcome(reached []Reached) Outcome {
	var o Outcome
	var late, beyond []string
	if x.offline(reached) {
		o.Findings = append(o.Findings, Finding{Code: codeOffline, Severity: Fault, Args: map[string]string{"Control": x.Net.Control},
			Facts: reached[0].Facts, Fixes: []Fix{{Code: fixPlugIn, Kind: ByHand}}})
	}
	if x.closed(reached) {
		o.Findings = append(o.Findings, Finding{Code: codeClosedNetwork, Severity: Fault, Op: transport.OpResolve,
			Args: map[string]string{"Control": x.Net.Control}, Facts: reached[0].Facts, Fixes: []Fix{{Code: fixInside, Kind: ByHand}, {Code: fixPlugIn, Kind: ByHand}}})
	}
	for i, r := range reached {
		subject := subjectOf(r.Target)
		if r.Works() || r.Flaky() {
			o.Facts = append(o.Facts, Fact{Name: factReached, Answer: Yes, Value: subject + " " + r.summary()})
			o.Facts = append(o.Facts, x.tracedWell(subject, &r)...)
			if c := firstOf(r.Ways[r.Taken].Certs); c != nil && issuerKind(c) == issuerGateway {
				o.Facts = append(o.Facts, Fact{Name: factOpened, Answer: Yes, Value: subject + ": " + issuerName(c)})
			}
		}
		switch {
		case r.Verdict == VerdictUnknown && r.Op == "":
			o.Facts = append(o.Facts, Fact{Name: factReached, Answer: Unmeasured, Value: subject, Reason: OutOfTime})
			late = append(late, subject)
			continue
		case r.Op == transport.OpProxy: // the check of the proxies speaks of it
			o.Facts = append(o.Facts, Fact{Name: factReached, Answer: No, Value: subject})
			beyond = append(beyond, subject)
			continue
		}
		o.Findings = append(o.Findings, x.networkFindings(r, x.severityOf(reached, i))...)
	}
	switch {
	case len(late) > 0:
		o.NotRun, o.Detail = OutOfTime, strings.Join(late, " ")
	case len(beyond) > 0:
		o.NotRun, o.Detail = NoNetwork, strings.Join(beyond, " ")
	}
	return o
}

// subjectOf is the host, with the port only where it is not that of the scheme.
func subjectOf(t Target) string {
	if p := t.URL.Port(); p != "" && p != map[string]string{"https": "443", "http": "80"}[t.URL.Scheme] {
		return net.JoinHostPort(t.URL.Hostname(), p)
	}
	return t.URL.Hostname()
}

// summary says by what way and how fast a host was reached.
func (r Reached) summary() string {
	w := r.Ways[r.Taken]
	took := w.Connect.Took + w.TLS.Took + r.Names.System.Took
	if w.Addr.IsValid() {
		return w.Addr.Addr().String() + " " + rounded(took)
	}
	return rounded(took)
}

// offline reports whether nobody was reached, and nobody else can be either.
func (x *Exam) offline(reached []Reached) bool {
	for _, r := range reached {
		c := r.proofs.control
		// Whether anything is to be had without the proxy was not tried.
		if r.Target.Proxy != nil || r.Works() || r.Taken >= 0 || r.Verdict == VerdictUnknown && r.Op == "" || c.host == "" || c.way.Connect.done() ||
			slices.ContainsFunc(r.Others, func(w Way) bool { return w.Connect.done() }) || r.proofs.goferry == Yes {
			return false
		}
		// Somebody who answers over HTTPS is outside, and a refusal comes from a host.
		if r.Failure == transport.Refused || slices.ContainsFunc(r.Names.Others, func(o NameAnswer) bool { return o.Asked == Yes }) {
			return false
		}
	}
	return len(reached) > 0
}

// closed reports whether the resolver denies every name that was asked for, that of the control among them. Networks without
// a way out do so.
func (x *Exam) closed(reached []Reached) bool {
	for _, r := range reached {
		if r.Verdict != VerdictDNSNXDomain || !r.controlDenied() || r.Names.othersAnswer() == Yes {
			return false
		}
	}
	return len(reached) > 0
}

// controlDenied reports whether the resolver says that the control does not exist either.
func (r Reached) controlDenied() bool {
	return r.proofs.control.way.Connect.Failure == transport.NXDomain
}

// severityOf judges by what the go command would notice. An upstream that comes after one that works is asked only for
// what that one does not have; one that fails is passed over behind |, after its wait.
func (x *Exam) severityOf(reached []Reached, i int) Severity {
	t := reached[i].Target
	if t.Role == Origin && badCertificate(reached[i].Failure) && module.MatchPrefixPatterns(x.GoEnv.Values["GOINSECURE"], t.URL.Hostname()) {
		return Note // the user gave up on certificates there
	}
	if t.Role != Upstream && t.Role != Origin {
		return Fault
	}
	for _, r := range reached[:i] {
		if r.Target.Role == Upstream && r.Works() {
			return Warning
		}
	}
	if t.Role == Upstream && t.Sep == '|' && slices.ContainsFunc(reached[i+1:], func(r Reached) bool {
		return (r.Target.Role == Upstream || r.Target.Role == Origin) && r.Works()
	}) {
		return Warning
	}
	return Fault
}

func (x *Exam) networkFindings(r Reached, s Severity) []Finding {
	subject := subjectOf(r.Target)
	f := Finding{Code: string(r.Verdict), Severity: s, Subject: subject, Op: r.Op, Args: r.args(x), Facts: r.Facts}
	switch {
	case r.pinnedWrong():
		f.Code, f.Op, f.Fixes = codeHostsPinned, transport.OpResolve, x.hostsFixes(r)
		f.Args["File"], f.Args["Line"] = x.Hosts.Path, strconv.Itoa(r.pinned[0].number)
		return []Finding{f}
	case r.Flaky():
		f.Code, f.Severity, f.Op, f.Fixes = codeFlaky, Warning, transport.OpTLS, x.aroundFixes(r)
	case r.Verdict == VerdictHealthy:
		return x.deadAddresses(r, nil)
	case r.Verdict == VerdictNoH2:
		f.Severity = Note
		return x.deadAddresses(r, []Finding{f})
	case r.Verdict == VerdictUnknown:
		f.Code, f.Fixes = codeUnreachable, x.aroundFixes(r)
	default:
		f.Fixes = x.networkFixesFor(r)
	}
	if r.Taken < 0 || r.Failure == transport.BadHostname { // it may be the line that is wrong
		for _, fix := range x.hostsFixes(r) {
			f.Fixes = append(f.Fixes, Fix{Code: fix.Code, Kind: ByHand, Args: fix.Args})
		}
	}
	return []Finding{f}
}

// deadAddresses adds that some addresses swallow connections or handshakes. The go command waits long for such a one
// when its turn comes; resolvers change the order. Addresses of IPv6 that do not connect cost nothing where IPv4 works.
func (x *Exam) deadAddresses(r Reached, list []Finding) []Finding {
	var dead []string
	taken := r.Ways[r.Taken]
	for _, w := range r.Ways {
		silent := w.Connect.failed() && w.Connect.Failure == transport.TimedOut && w.Addr.Addr().Is4() == taken.Addr.Addr().Is4()
		if silent || w.TLS.failed() {
			dead = append(dead, w.Addr.Addr().String())
		}
	}
	if len(dead) == 0 {
		return list
	}
	return append(list, Finding{Code: codeAddressesDead, Severity: Warning, Subject: subjectOf(r.Target), Op: transport.OpConnect,
		Args:  map[string]string{"Dead": strings.Join(dead, " "), "Addr": taken.Addr.Addr().String()},
		Facts: r.Facts, Fixes: x.goferryFix(r)})
}

// args are what the texts name.
func (r Reached) args(x *Exam) map[string]string {
	args := map[string]string{"Addr": "", "Control": x.Net.Control, "Issuer": "", "Names": "", "Until": ""}
	if len(r.Names.System.Addrs) > 0 {
		args["Addr"] = dnsList(r.Names.System.Addrs)
	}
	if r.Taken >= 0 {
		w := r.Ways[r.Taken]
		if w.Addr.IsValid() {
			args["Addr"] = w.Addr.Addr().String()
		}
		if c := r.proofs.lacksOne; c != nil {
			args["Missing"] = subjectName(c)
		}
		if len(w.Certs) > 0 {
			c := w.Certs[0]
			args["Issuer"], args["Names"], args["Until"] = issuerName(c), namesOf(c), c.NotAfter.UTC().Format(time.DateOnly)
		}
	}
	maps.DeleteFunc(args, func(_, v string) bool { return v == "" })
	if r.Verdict == VerdictClockWrong {
		args["Skew"] = "?"
		if !r.proofs.served.IsZero() {
			args["Skew"] = x.Net.now().Sub(r.proofs.served).Abs().Round(time.Minute).String()
		}
	}
	return args
}

// networkFixesFor are the lines that mend what was found; the best comes first, and one that was seen to work before others.
func (x *Exam) networkFixesFor(r Reached) []Fix {
	debug := func(code, key string) Fix {
		return Fix{Code: code, Kind: SetEnv, Key: "GODEBUG", Value: withGodebug(x.Env["GODEBUG"], key, "0")}
	}
	switch r.Verdict {
	case VerdictDNSPoisoned, VerdictDNSHijacked, VerdictDNSTimeout, VerdictDNSNXDomain:
		return x.nameFixes(r)
	case VerdictTCPTimeout:
		if r.provedElsewhere() {
			return x.nameFixes(r)
		}
	case VerdictTCPRefused:
		return append([]Fix{{Code: fixServer, Kind: ByHand, Args: map[string]string{"Host": r.Target.Host()}}}, x.aroundFixes(r)...)
	case VerdictTLSLargeHello:
		key := "tlsmlkem"
		if goMinor(x.GoEnv.Version) == 23 {
			key = "tlskyber"
		}
		fixes := []Fix{debug(fixSmallHello, key)}
		if answered(r.proofs.pieces) == Yes {
			fixes = append(fixes, Fix{Code: fixMTU, Kind: ByHand})
		}
		return append(fixes, x.goferryFix(r)...)
	case VerdictH2Broken:
		return append([]Fix{debug(fixNoHTTP2, "http2client")}, x.goferryFix(r)...)
	case VerdictTLSMITM:
		return []Fix{{Code: fixTrust, Kind: ByHand, Args: map[string]string{"Issuer": r.args(x)["Issuer"]}}}
	case VerdictTLSUntrusted:
		if r.Failure == transport.CertExpired {
			return append([]Fix{{Code: fixCertificate, Kind: ByHand, Args: map[string]string{"Host": r.Target.URL.Hostname()}}}, x.mirrorFix(r)...)
		}
		if args := r.args(x); args["Missing"] != "" {
			return append([]Fix{{Code: fixChain, Kind: ByHand, Args: map[string]string{"Host": r.Target.URL.Hostname(), "Missing": args["Missing"]}}}, x.mirrorFix(r)...)
		}
		return append([]Fix{{Code: fixTrust, Kind: ByHand, Args: map[string]string{"Issuer": r.args(x)["Issuer"]}}}, x.mirrorFix(r)...)
	case VerdictTLSTimeout:
		if r.answersLost(r.Failure) {
			return append([]Fix{{Code: fixMTU, Kind: ByHand}}, x.aroundFixes(r)...)
		}
		return x.aroundFixes(r)
	case VerdictTLSBadName:
		return append([]Fix{{Code: fixCertName, Kind: ByHand, Args: map[string]string{"Names": r.args(x)["Names"], "Host": r.Target.URL.Hostname()}}},
			x.aroundFixes(r)...)
	case VerdictIPv6Broken:
		return append(x.goferryFix(r), x.ipv6Fix())
	case VerdictClockWrong:
		return []Fix{x.clockFix()}
	}
	return x.aroundFixes(r)
}

// nameFixes are for answers that are wrong or missing. That another resolver helps is said only where an address that it
// named was seen to be the host's.
func (x *Exam) nameFixes(r Reached) []Fix {
	fixes := x.goferryFix(r)
	if r.allOdd(addrFakeIP) {
		fixes = append([]Fix{{Code: fixFakeIP, Kind: ByHand, Args: map[string]string{"Addr": dnsList(r.Names.System.Addrs)}}}, fixes...)
	}
	i := slices.IndexFunc(r.Others, func(w Way) bool { return w.TLS.done() })
	if i >= 0 {
		addr := r.Others[i].Addr.Addr()
		for _, o := range r.Names.Others {
			// One whose answers are forged on the way is of no use as it is.
			if slices.Contains(o.Addrs, addr) && !o.Injected {
				fixes = append(fixes, Fix{Code: fixOtherResolver, Kind: ByHand, Args: map[string]string{"Resolver": o.Who}})
				break
			}
		}
		fixes = append(fixes, Fix{Code: fixHostsLine, Kind: ByHand, Args: map[string]string{"Line": addr.String() + " " + r.Names.Host}})
	}
	if r.Verdict == VerdictDNSNXDomain && r.Names.othersAnswer() == No && !r.controlDenied() {
		fixes = append([]Fix{{Code: fixSpelling, Kind: ByHand, Args: map[string]string{"Host": r.Names.Host}}}, fixes...)
	}
	return append(fixes, x.mirrorFix(r)...)
}

// aroundFixes go another way, where this one is not the user's to mend.
func (x *Exam) aroundFixes(r Reached) []Fix { return append(x.goferryFix(r), x.mirrorFix(r)...) }

// goferryFix is offered only where goferry's own client was seen to get through.
func (x *Exam) goferryFix(r Reached) []Fix {
	if r.proofs.goferry != Yes || r.Target.Role == SDKHost {
		return nil
	}
	return []Fix{{Code: fixGoferryOn, Kind: RunCommand, Command: []string{"goferry", "on"}}}
}

// mirrorFix is for what others serve as well.
func (x *Exam) mirrorFix(r Reached) []Fix {
	if r.Target.Role != Upstream || dnsOddness(firstOf(r.Names.System.Addrs)) == addrPrivate {
		return nil // nobody else has the modules of a company
	}
	return []Fix{{Code: fixOtherMirror, Kind: ByHand}}
}

func firstOf[T any](list []T) (v T) {
	if len(list) > 0 {
		v = list[0]
	}
	return v
}

func (x *Exam) ipv6Fix() Fix {
	if x.OS == "linux" {
		return Fix{Code: fixNoIPv6, Kind: RunCommand, Root: true, Command: []string{"sysctl", "-w", "net.ipv6.conf.all.disable_ipv6=1"}}
	}
	return Fix{Code: fixNoIPv6, Kind: ByHand}
}

func (x *Exam) clockFix() Fix {
	command := map[string][]string{
		"linux":   {"timedatectl", "set-ntp", "true"},
		"darwin":  {"sntp", "-sS", "time.apple.com"},
		"windows": {"w32tm", "/resync", "/force"},
	}[x.OS]
	if command == nil {
		return Fix{Code: fixClock, Kind: ByHand}
	}
	return Fix{Code: fixClock, Kind: RunCommand, Root: true, Command: command}
}
