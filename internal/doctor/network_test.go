package doctor

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/goferry/goferry/internal/transport"
)

// A network is a scenario: what is unusual about an internet, and what is to be found.
type network struct {
	name  string
	build func(n *internet)
	url   string // default the mirror
	proxy string
	tune  func(x *Exam)
	want  Verdict
	op    transport.Op
	facts map[string]Answer // that have to be among the evidence
	fix   string            // code of the first fix
}

// anyOp is for what may be noticed one step sooner or later.
const anyOp transport.Op = "any"

const simProxy = "http://45.77.9.9:3128"

func (n *internet) replace(s *simServer) { n.serve("45.77.1.10:443", s) }

// elsewhere makes the truth another address than the one that the system's resolver names.
func (n *internet) elsewhere(d simDNS) {
	n.truth[simHost] = addrs("45.77.1.20")
	n.serve("45.77.1.20:443", &simServer{})
	n.system = n.lie(d)
}

func (n *internet) rule(rule func(h simHello, n int) simDeed) { n.replace(&simServer{rule: rule}) }

func large(h simHello) bool { return h.size > 1000 }

func brokenNetworks() []network {
	forged := simDNS{addrs: addrs("31.13.94.1")}
	truth := simDNS{addrs: addrs("45.77.1.20")}
	injected := simDNS{addrs: addrs("31.13.94.2"), then: &truth}
	return []network{
		{name: "answers are forged on the way to every resolver", want: VerdictDNSPoisoned, op: transport.OpResolve,
			facts: map[string]Answer{factSeveral: Yes, factElsewhere: Yes, factConfirmed: No}, fix: fixHostsLine,
			build: func(n *internet) {
				n.elsewhere(forged)
				n.udp[simUDP1] = n.lie(injected)
				n.udp[simUDP2] = n.lie(forged) // asks across the border itself
				n.doh = silence
			}},
		{name: "a forged answer is all that other resolvers give, and the true one comes late", want: VerdictDNSPoisoned, op: transport.OpResolve,
			facts: map[string]Answer{factSeveral: Yes, factElsewhere: No},
			build: func(n *internet) {
				n.elsewhere(forged)
				n.replaceAt("45.77.1.20:443", &simServer{early: reset})
				n.udp[simUDP1] = n.lie(injected)
				n.doh = n.lie(forged)
			}},
		{name: "an address that leads nowhere", want: VerdictDNSPoisoned, op: transport.OpResolve, facts: map[string]Answer{factImpossible: Yes},
			fix: fixOtherResolver, build: func(n *internet) { n.elsewhere(simDNS{addrs: addrs("0.0.0.0")}) }},
		{name: "forged IPv6 addresses", want: VerdictDNSPoisoned, op: transport.OpResolve, facts: map[string]Answer{factImpossible: Yes},
			build: func(n *internet) {
				n.elsewhere(simDNS{addrs: addrs("2001::1f0d:5e01", "31.13.94.1")})
				n.doh, n.udp = silence, nil
			}},
		{name: "the address of somebody else", want: VerdictDNSPoisoned, op: transport.OpResolve, facts: map[string]Answer{factElsewhere: Yes},
			build: func(n *internet) {
				n.elsewhere(forged)
				n.truth["www.social.example"] = forged.addrs
				n.serve("31.13.94.1:443", &simServer{})
			}},
		{name: "this machine in place of a host that is elsewhere", want: VerdictDNSPoisoned, op: transport.OpResolve,
			build: func(n *internet) {
				n.elsewhere(simDNS{addrs: addrs("127.0.0.1")})
				n.refusing = addrs("127.0.0.1")
			}},
		{name: "the resolver denies the name", want: VerdictDNSNXDomain, op: transport.OpResolve, facts: map[string]Answer{factOthersSay: Yes, factElsewhere: Yes},
			fix: fixOtherResolver, build: func(n *internet) { n.system = n.lie(simDNS{code: dns.RcodeNameError}) }},
		{name: "nobody knows the name", want: VerdictDNSNXDomain, op: transport.OpResolve, facts: map[string]Answer{factOthersSay: No},
			fix: fixSpelling, url: "https://made-up.example.net", build: func(*internet) {}},
		{name: "the name has no address", want: VerdictDNSNXDomain, op: transport.OpResolve,
			build: func(n *internet) { n.system = n.lie(simDNS{}) }},
		{name: "every name leads to one address", want: VerdictDNSHijacked, op: transport.OpResolve, facts: map[string]Answer{factAnyName: Yes},
			build: func(n *internet) {
				n.system = func(string, uint16) simDNS { return simDNS{addrs: addrs("45.77.7.7")} }
				n.truth["portal.example.org"] = addrs("45.77.7.7")
				n.serve("45.77.7.7:443", &simServer{})
			}},
		{name: "one machine answers for all resolvers, and lies", want: VerdictDNSHijacked, op: transport.OpResolve, facts: map[string]Answer{factOneResolver: Yes},
			build: func(n *internet) {
				n.elsewhere(simDNS{addrs: addrs("127.0.0.1")})
				n.refusing = addrs("127.0.0.1")
				lies := n.lie(simDNS{addrs: addrs("127.0.0.1")})
				for r := range n.udp {
					n.udp[r] = func(host string, kind uint16) simDNS {
						if strings.HasPrefix(host, simWhoami) {
							return simDNS{addrs: addrs("61.139.2.69")}
						}
						return lies(host, kind)
					}
				}
			}},
		{name: "a local proxy program gives out its addresses and carries nothing", want: VerdictDNSHijacked, op: transport.OpResolve, fix: fixFakeIP,
			build: func(n *internet) { n.elsewhere(simDNS{addrs: addrs("198.18.0.23")}) }},
		{name: "the resolver is silent", want: VerdictDNSTimeout, op: transport.OpResolve, facts: map[string]Answer{factOthersSay: Yes, factElsewhere: Yes},
			fix: fixOtherResolver, build: func(n *internet) { n.system = silence }},
		{name: "the resolver cannot find out", want: VerdictDNSTimeout, op: transport.OpResolve,
			build: func(n *internet) { n.system = n.lie(simDNS{code: dns.RcodeServerFailure}) }},
		{name: "right addresses that nobody lets through to", want: VerdictIPBlocked, op: transport.OpConnect,
			facts: map[string]Answer{factConfirmed: Yes, factControl: Yes}, fix: fixOtherMirror, build: func(n *internet) { n.drop("45.77.1.10:443") }},
		{name: "right addresses that a router calls unreachable", want: VerdictIPBlocked, op: transport.OpConnect,
			build: func(n *internet) { n.noRoute = addrs("45.77.1.10") }},
		{name: "no connection, and no resolver to confirm the address", want: VerdictTCPTimeout, op: transport.OpConnect,
			build: func(n *internet) { n.drop("45.77.1.10:443"); n.udp, n.doh = nil, silence }},
		{name: "no connection to a host of the company", want: VerdictTCPTimeout, op: transport.OpConnect, url: "https://go.corp.example",
			build: func(n *internet) { n.system = n.with("go.corp.example", "10.1.2.3") }},
		{name: "addresses that others do not know, and no answer", want: VerdictTCPTimeout, op: transport.OpConnect,
			facts: map[string]Answer{factElsewhere: Yes, factConfirmed: No}, fix: fixOtherResolver, build: func(n *internet) { n.elsewhere(forged) }},
		{name: "no answer at an address that all plain resolvers name, while one over HTTPS names another that works", want: VerdictTCPTimeout,
			op: transport.OpConnect, facts: map[string]Answer{factElsewhere: Yes, factConfirmed: Yes}, fix: fixOtherResolver, build: func(n *internet) {
				n.elsewhere(forged)
				n.udp[simUDP1], n.udp[simUDP2] = n.lie(forged), n.lie(forged)
			}},
		{name: "nothing listens", want: VerdictTCPRefused, op: transport.OpConnect, fix: fixServer,
			build: func(n *internet) { n.refusing = addrs("45.77.1.10") }},
		{name: "nothing listens on this machine", want: VerdictTCPRefused, op: transport.OpConnect, url: "https://go.corp.example:8443",
			build: func(n *internet) { n.system = n.with("go.corp.example", "127.0.0.1"); n.refusing = addrs("127.0.0.1") }},
		{name: "connections are cut off at once", want: VerdictTCPReset, op: anyOp,
			build: func(n *internet) { n.replace(&simServer{early: reset}) }},
		{name: "every handshake is cut off", want: VerdictTCPReset, op: transport.OpTLS, facts: map[string]Answer{factOtherName: No, factSmall: No},
			build: func(n *internet) { n.rule(func(simHello, int) simDeed { return reset }) }},
		{name: "every handshake is hung up on", want: VerdictTCPReset, op: transport.OpTLS,
			build: func(n *internet) { n.rule(func(simHello, int) simDeed { return hangUp }) }},
		{name: "the name is cut off", want: VerdictSNIReset, op: transport.OpTLS, facts: map[string]Answer{factOtherName: Yes, factSmall: No, factControl: Yes},
			build: func(n *internet) { n.censor(reset) }},
		{name: "the name is swallowed", want: VerdictSNIReset, op: transport.OpTLS, facts: map[string]Answer{factOtherName: Yes, factSmall: No},
			build: func(n *internet) { n.censor(hold) }},
		{name: "the name is cut off, and then the address for a while", want: VerdictSNIReset, op: transport.OpTLS,
			facts: map[string]Answer{factOtherName: No, factNameAway: No},
			build: func(n *internet) {
				n.censor(reset)
				n.rule(func(simHello, int) simDeed { return reset })
			}},
		{name: "no handshake is answered", want: VerdictTLSTimeout, op: transport.OpTLS, facts: map[string]Answer{factSmall: No, factOtherName: No, factControl: Yes},
			build: func(n *internet) { n.rule(func(simHello, int) simDeed { return hold }) }},
		{name: "large hellos are swallowed", want: VerdictTLSLargeHello, op: transport.OpTLS, facts: map[string]Answer{factSmall: Yes, factAgain: No, factPieces: No},
			fix: fixSmallHello, build: func(n *internet) { n.bySize(hold) }},
		{name: "large hellos are cut off", want: VerdictTLSLargeHello, op: transport.OpTLS, facts: map[string]Answer{factSmall: Yes},
			build: func(n *internet) { n.bySize(reset) }},
		{name: "large packets are lost", want: VerdictTLSLargeHello, op: transport.OpTLS, facts: map[string]Answer{factSmall: Yes, factPieces: Yes},
			build: func(n *internet) { n.widest = 1200 }},
		{name: "a gateway opens connections to all", want: VerdictTLSMITM, op: transport.OpTLS, facts: map[string]Answer{factMinted: Yes}, fix: fixTrust,
			build: func(n *internet) { n.gateway(newSimCA(n.t, "Secure Web", "ACME IT"), false) }},
		{name: "the same unknown authority everywhere", want: VerdictTLSMITM, op: transport.OpTLS, facts: map[string]Answer{factMinted: No},
			build: func(n *internet) {
				ca := newSimCA(n.t, "Secure Web", "ACME IT")
				for addr, host := range map[string]string{"45.77.1.10:443": simHost, "93.184.1.1:443": simControl} {
					cert := ca.issue(time.Now(), host)
					n.serve(addr, &simServer{cert: func(string) tls.Certificate { return cert }})
				}
			}},
		{name: "an authority of the company that is not installed", want: VerdictTLSUntrusted, op: transport.OpTLS, fix: fixTrust,
			build: func(n *internet) { n.certified(newSimCA(n.t, "ACME Root", "ACME"), time.Now(), simHost) }},
		{name: "a certificate that signs for itself", want: VerdictTLSUntrusted, op: transport.OpTLS,
			build: func(n *internet) { n.certified(&simCA{}, time.Now(), simHost) }},
		{name: "a certificate that has expired", want: VerdictTLSUntrusted, op: transport.OpTLS, facts: map[string]Answer{factServerTime: Yes}, fix: fixCertificate,
			build: func(n *internet) { n.certified(n.ca, time.Now().AddDate(0, -3, 0), simHost) }},
		{name: "a certificate of another host", want: VerdictTLSBadName, op: transport.OpTLS, fix: fixCertName,
			build: func(n *internet) { n.certified(n.ca, time.Now(), "cdn.example.org") }},
		{name: "HTTP/2 is cut off when it is offered", want: VerdictH2Broken, op: transport.OpTLS, facts: map[string]Answer{factHTTP1: Yes}, fix: fixNoHTTP2,
			build: func(n *internet) {
				n.rule(func(h simHello, _ int) simDeed { return map[bool]simDeed{true: reset}[h.h2 && h.name != simControl] })
			}},
		{name: "IPv6 connects and nothing comes of it", want: VerdictIPv6Broken, op: transport.OpTLS, facts: map[string]Answer{factConnects6: Yes, factHandshake4: Yes},
			fix: fixNoIPv6, build: func(n *internet) {
				n.truth[simHost] = addrs("45.77.1.10", "2a00:1450::10")
				n.serve("[2a00:1450::10]:443", &simServer{rule: func(simHello, int) simDeed { return hold }})
			}, tune: func(x *Exam) { x.Net.TLSWait = reachGrace + time.Second/2 }}, // as for users, a handshake has longer than other addresses
		{name: "IPv6 connects and nothing comes of it, and IPv4 is slow", want: VerdictIPv6Broken, op: transport.OpTLS, facts: map[string]Answer{factHandshake4: Yes},
			build: func(n *internet) {
				n.truth[simHost] = addrs("45.77.1.10", "2a00:1450::10")
				n.serve("[2a00:1450::10]:443", &simServer{rule: func(simHello, int) simDeed { return hold }})
				n.rule(func(h simHello, _ int) simDeed { <-time.After(2200 * time.Millisecond); return serve })
			}},
		{name: "the clock is years behind", want: VerdictClockWrong, op: transport.OpTLS, facts: map[string]Answer{factServerTime: Yes}, fix: fixClock,
			build: func(*internet) {}, tune: func(x *Exam) { x.Net.Now = func() time.Time { return time.Now().AddDate(-4, 0, 0) } }},
		{name: "the clock is ahead, and the server does not say the time", want: VerdictClockWrong, op: transport.OpTLS,
			build: func(n *internet) {
				n.replace(&simServer{answer: func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil }})
			},
			tune: func(x *Exam) { x.Net.Now = func() time.Time { return time.Now().AddDate(2, 0, 0) } }},
		{name: "plain HTTP where TLS should be", want: VerdictUnknown, op: transport.OpTLS,
			build: func(n *internet) { n.rule(func(simHello, int) simDeed { return speakHTTP }) }},
		{name: "the proxy wants a password", want: VerdictProxyAuth, op: transport.OpProxy, proxy: simProxy,
			build: func(n *internet) { n.serve("45.77.9.9:3128", n.connectProxy("right", 200, n.know)) }},
		{name: "the proxy is not there", want: VerdictProxyBroken, op: transport.OpProxy, proxy: simProxy,
			build: func(n *internet) { n.refusing = addrs("45.77.9.9") }},
		{name: "the proxy is silent", want: VerdictProxyBroken, op: transport.OpProxy, proxy: simProxy, build: func(*internet) {}},
		{name: "the proxy refuses the host", want: VerdictProxyBroken, op: transport.OpProxy, proxy: simProxy,
			build: func(n *internet) { n.serve("45.77.9.9:3128", n.connectProxy("", 403, n.know)) }},
		{name: "the proxy belongs to a portal", want: VerdictCaptivePortal, op: transport.OpProxy, proxy: simProxy,
			build: func(n *internet) { n.serve("45.77.9.9:3128", n.connectProxy("", 511, n.know)) }},
		{name: "a gateway behind the proxy", want: VerdictTLSMITM, op: transport.OpTLS, proxy: simProxy, facts: map[string]Answer{factThroughProxy: Yes},
			build: func(n *internet) {
				n.gateway(newSimCA(n.t, "Secure Web", "ACME IT"), false)
				n.serve("45.77.9.9:3128", n.connectProxy("", 200, n.know))
			}},
	}
}

// know resolves by the truth, as a proxy outside does.
func (n *internet) know(host string) []netip.Addr { return n.truth[host] }

// with is the truth and one more name that only this resolver knows.
func (n *internet) with(host, addr string) simResolver {
	return func(name string, kind uint16) simDNS {
		if strings.HasPrefix(name, host) {
			return simDNS{addrs: addrs(addr)}
		}
		return n.honest(name, kind)
	}
}

func (n *internet) replaceAt(addr string, s *simServer) { n.serve(addr, s) }

func (n *internet) drop(addr string) { delete(n.real, addr) }

// censor does something to every hello with the name of the mirror, wherever it goes.
func (n *internet) censor(deed simDeed) {
	rule := func(h simHello, _ int) simDeed {
		if h.name == simHost {
			return deed
		}
		return serve
	}
	n.rule(rule)
	n.serve("93.184.1.1:443", &simServer{rule: rule})
}

func (n *internet) bySize(deed simDeed) {
	n.rule(func(h simHello, _ int) simDeed {
		if large(h) {
			return deed
		}
		return serve
	})
}

// gateway opens the connections to all servers.
func (n *internet) gateway(ca *simCA, trusted bool) {
	mint := func(name string) tls.Certificate { return ca.issue(time.Now(), name) }
	n.replace(&simServer{cert: mint})
	n.serve("93.184.1.1:443", &simServer{cert: mint})
	if trusted {
		n.ca.pool.AddCert(ca.cert)
	}
}

func (n *internet) certified(ca *simCA, when time.Time, name string) {
	cert := ca.issue(when, name)
	n.replace(&simServer{cert: func(string) tls.Certificate { return cert }})
}

func healthyNetworks() []network {
	return []network{
		{name: "as it should be", build: func(*internet) {}},
		{name: "every resolver names another server of a content network", build: func(n *internet) {
			n.truth[simHost] = addrs("45.77.1.10", "45.77.1.11", "45.77.1.12")
			for i, addr := range []string{"45.77.1.11", "45.77.1.12"} {
				n.serve(addr+":443", &simServer{})
				n.udp[[]string{simUDP1, simUDP2}[i]] = n.lie(simDNS{addrs: addrs(addr)})
			}
			n.system = n.lie(simDNS{addrs: addrs("45.77.1.10")})
		}},
		{name: "slow, but it works", build: func(n *internet) {
			late := func() { <-time.After(400 * time.Millisecond) }
			n.system = func(host string, kind uint16) simDNS { late(); return n.honest(host, kind) }
			n.rule(func(simHello, int) simDeed { late(); return serve })
			n.udp, n.doh = nil, silence
		}},
		{name: "a handshake that takes longer than is usual, but not too long for go", build: func(n *internet) {
			n.rule(func(simHello, int) simDeed { <-time.After(2200 * time.Millisecond); return serve })
		}},
		{name: "no IPv6, though the host has it", build: func(n *internet) {
			n.truth[simHost] = addrs("45.77.1.10", "2a00:1450::10")
			n.noRoute = addrs("2a00:1450::10")
		}},
		{name: "IPv6 that swallows connections", build: func(n *internet) { n.truth[simHost] = addrs("45.77.1.10", "2a00:1450::10") }},
		{name: "IPv6 alone", build: func(n *internet) {
			n.truth[simHost] = addrs("2a00:1450::10")
			n.serve("[2a00:1450::10]:443", &simServer{})
		}},
		{name: "both versions", build: func(n *internet) {
			n.truth[simHost] = addrs("45.77.1.10", "2a00:1450::10")
			n.serve("[2a00:1450::10]:443", &simServer{})
			n.replace(&simServer{})
		}},
		{name: "a company proxy that works, and no other way", proxy: simProxy, build: func(n *internet) {
			n.serve("45.77.9.9:3128", n.connectProxy("", 200, n.know))
			n.system, n.udp, n.doh = silence, nil, silence
		}},
		{name: "a company proxy with a password", proxy: "http://user:right@45.77.9.9:3128", build: func(n *internet) {
			n.serve("45.77.9.9:3128", n.connectProxy("right", 200, n.know))
		}},
		{name: "a SOCKS proxy that resolves", proxy: "socks5://45.77.9.9:1080", build: func(n *internet) {
			n.serve("45.77.9.9:1080", n.socksProxy())
			n.system = n.lie(simDNS{code: dns.RcodeNameError})
		}},
		{name: "http through a proxy", url: "http://" + simHost, proxy: simProxy, build: func(n *internet) {
			n.serve("45.77.1.10:80", &simServer{plain: true})
			n.serve("45.77.9.9:3128", n.connectProxy("", 200, n.know))
		}},
		{name: "a private address for a name of the company", url: "https://go.corp.example", build: func(n *internet) {
			n.system = n.with("go.corp.example", "10.1.2.3")
			cert := n.ca.issue(time.Now(), "go.corp.example")
			n.serve("10.1.2.3:443", &simServer{cert: func(string) tls.Certificate { return cert }})
		}},
		{name: "a private address for a name that is public elsewhere", build: func(n *internet) {
			n.system = n.with(simHost, "10.1.2.3")
			cert := n.ca.issue(time.Now(), simHost)
			n.serve("10.1.2.3:443", &simServer{cert: func(string) tls.Certificate { return cert }})
		}},
		{name: "public resolvers are blocked", build: func(n *internet) { n.udp, n.doh = nil, silence }},
		{name: "forged answers from public resolvers, true ones from the system's", build: func(n *internet) {
			for r := range n.udp {
				n.udp[r] = n.lie(simDNS{addrs: addrs("31.13.94.1"), then: &simDNS{addrs: addrs("45.77.1.10")}})
			}
			n.doh = n.lie(simDNS{addrs: addrs("31.13.94.1")})
		}},
		{name: "a local proxy program that carries what it gives addresses to", build: func(n *internet) {
			n.system = n.with(simHost, "198.18.0.23")
			cert := n.ca.issue(time.Now(), simHost)
			n.serve("198.18.0.23:443", &simServer{cert: func(string) tls.Certificate { return cert }})
		}},
		{name: "a gateway with an authority that is trusted", facts: map[string]Answer{factOpened: Yes}, build: func(n *internet) { n.gateway(newSimCA(n.t, "Secure Web", "Zscaler"), true) }},
		{name: "the host for comparison is down", build: func(n *internet) { n.drop("93.184.1.1:443") }},
		{name: "no host for comparison", build: func(*internet) {}, tune: func(x *Exam) { x.Net.Control = "" }},
		{name: "an address in place of a name", url: "https://45.77.1.10", build: func(*internet) {}},
		{name: "plain http", url: "http://" + simHost + ":8081", build: func(n *internet) { n.serve("45.77.1.10:8081", &simServer{plain: true}) }},
		{name: "another port", url: "https://" + simHost + ":8443", build: func(n *internet) { n.serve("45.77.1.10:8443", &simServer{}) }},
		{name: "large hellos are swallowed, and go sends small ones", build: func(n *internet) { n.bySize(hold) },
			tune: func(x *Exam) { x.Env["GODEBUG"] = "gctrace=1,tlsmlkem=0" }},
		{name: "large hellos are swallowed, and go is old", build: func(n *internet) { n.bySize(hold) },
			tune: func(x *Exam) { x.GoEnv.Version = "go1.21.13" }},
		{name: "HTTP/2 is cut off, and go does without", build: func(n *internet) {
			n.rule(func(h simHello, _ int) simDeed { return map[bool]simDeed{true: reset}[h.h2] })
		}, tune: func(x *Exam) { x.Env["GODEBUG"] = "http2client=0" }},
		{name: "a server without HTTP/2", want: VerdictNoH2, op: transport.OpTLS, build: func(n *internet) { n.replace(&simServer{h1: true}) }},
		{name: "the first address refuses, the second serves", build: func(n *internet) {
			n.truth[simHost] = addrs("45.77.1.9", "45.77.1.10")
			n.refusing = addrs("45.77.1.9")
		}},
		{name: "a mirror on this machine under a name of its own", url: "https://go.corp.example:8443", build: func(n *internet) {
			n.system = n.with("go.corp.example", "127.0.0.1")
			cert := n.ca.issue(time.Now(), "go.corp.example")
			n.serve("127.0.0.1:8443", &simServer{cert: func(string) tls.Certificate { return cert }})
		}},
		{name: "a resolver that answers for names that do not exist", build: func(n *internet) {
			n.system = func(host string, kind uint16) simDNS {
				if d := n.honest(host, kind); d.code == 0 {
					return d
				}
				return simDNS{addrs: addrs("45.77.7.7")}
			}
		}},
		{name: "answers that come twice", build: func(n *internet) {
			twice := simDNS{addrs: addrs("45.77.1.10"), then: &simDNS{addrs: addrs("45.77.1.10")}}
			for r := range n.udp {
				n.udp[r] = n.lie(twice)
			}
		}},
		{name: "a certificate for all names of a domain", build: func(n *internet) {
			n.certified(n.ca, time.Now(), "*.example.net")
		}},
	}
}

func brokenScenarios(t *testing.T, rec *record) {
	list := brokenNetworks()
	all := examined(t, list)
	for i, w := range list {
		t.Run(w.name, func(t *testing.T) {
			r, o := all[i].r, all[i].o
			rec.add(w.name, w.want.told(), r.Verdict.told())
			if r.Verdict != w.want || r.Op != w.op && w.op != anyOp {
				t.Fatalf("verdict %s at %q (%s), want %s at %q\n%s", r.Verdict, r.Op, r.Failure, w.want, w.op, showFacts(r.Facts))
			}
			for name, a := range w.facts {
				if got := answerOf(r.Facts, name); got != a {
					t.Errorf("%s is %q, want %q\n%s", name, got, a, showFacts(r.Facts))
				}
			}
			if w.op == transport.OpProxy {
				if len(o.Findings) != 0 || answerOf(o.Facts, factReached) != No || o.NotRun != NoNetwork {
					t.Errorf("the check of the proxies speaks of it, not this one: %+v", o)
				}
				return
			}
			if len(o.Findings) != 1 || o.Findings[0].Severity != Fault || o.NotRun != "" {
				t.Fatalf("findings: %+v", o)
			}
			f := o.Findings[0]
			if want := string(w.want); f.Code != want && !(w.want == VerdictUnknown && f.Code == codeUnreachable) {
				t.Errorf("finding %s, want %s", f.Code, want)
			}
			if w.fix != "" && (len(f.Fixes) == 0 || f.Fixes[0].Code != w.fix) {
				t.Errorf("fixes %+v, want %s first", f.Fixes, w.fix)
			}
			checkCodes(t, o)
		})
	}
}

func healthyScenarios(t *testing.T, rec *record) {
	list := healthyNetworks()
	all := examined(t, list)
	for i, w := range list {
		t.Run(w.name, func(t *testing.T) {
			r, o := all[i].r, all[i].o
			if w.want == "" {
				w.want = VerdictHealthy
			}
			rec.add(w.name, w.want.told(), r.Verdict.told())
			if r.Verdict != w.want || r.Op != w.op || !r.Works() {
				t.Fatalf("verdict %s at %q (%s), want %s\n%s", r.Verdict, r.Op, r.Failure, w.want, showFacts(r.Facts))
			}
			for _, f := range o.Findings {
				if f.Severity != Note {
					t.Errorf("false alarm: %+v", f)
				}
			}
			for name, a := range w.facts {
				if got := answerOf(o.Facts, name); got != a {
					t.Errorf("%s is %q, want %q", name, got, a)
				}
			}
			if o.NotRun != "" || answerOf(o.Facts, factReached) != Yes {
				t.Errorf("not seen to be healthy: %+v", o)
			}
			checkCodes(t, o)
		})
	}
}

// TestFixesMend: what is to be set in the environment mends what it is for, with what stood there before left in force.
func TestFixesMend(t *testing.T) {
	for _, w := range brokenNetworks() {
		if w.fix != fixSmallHello && w.fix != fixNoHTTP2 {
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			n := newInternet(t)
			w.build(n)
			x, _ := n.exam("https://"+simHost, "")
			x.Env["GODEBUG"] = "netdns=go"
			f := networkCheck(t.Context(), x).Findings[0].Fixes[0]
			if f.Code != w.fix || f.Kind != SetEnv || f.Key != "GODEBUG" || godebug(f.Value, "netdns") != "go" {
				t.Fatalf("fix: %+v", f)
			}
			x = x.Sharing()
			x.Env = map[string]string{f.Key: f.Value}
			if o := networkCheck(t.Context(), x); len(o.Findings) != 0 || answerOf(o.Facts, factReached) != Yes {
				t.Errorf("not mended: %+v", o)
			}
		})
	}
}

// told is a verdict for the table: nothing is wrong where HTTP/2 is not offered.
func (v Verdict) told() string {
	if v == VerdictNoH2 {
		return string(Note) + " " + string(v)
	}
	return string(v)
}

// An examinedNetwork is what was found of the way, and what the check made of it.
type examinedNetwork struct {
	r Reached
	o Outcome
}

func examined(t *testing.T, list []network) []examinedNetwork {
	all := make([]examinedNetwork, len(list))
	sideBySide(len(list), func(i int) { all[i].r, all[i].o = list[i].examine(t) })
	return all
}

// sideBySide does what mostly waits, several at a time, for 0 to n-1.
func sideBySide(n int, do func(i int)) {
	most := 6
	if testing.Short() { // the race detector makes all of it slow
		most = 3
	}
	turn := make(chan struct{}, most)
	var wg sync.WaitGroup
	for i := range n {
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			do(i)
		})
	}
	wg.Wait()
}

func (w network) examine(t *testing.T) (Reached, Outcome) {
	t.Helper()
	n := newInternet(t)
	w.build(n)
	if w.url == "" {
		w.url = "https://" + simHost
	}
	x, target := n.exam(w.url, w.proxy)
	if w.tune != nil {
		w.tune(x)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
	defer cancel()
	return x.Reach(ctx, target), networkCheck(ctx, x)
}

func answerOf(facts []Fact, name string) Answer {
	i := slices.IndexFunc(facts, func(f Fact) bool { return f.Name == name })
	if i < 0 {
		return ""
	}
	return facts[i].Answer
}

func showFacts(facts []Fact) string {
	var b strings.Builder
	for _, f := range facts {
		b.WriteString("  " + f.Name + " " + string(f.Answer) + " " + f.Value + "\n")
	}
	return b.String()
}

// checkCodes holds an outcome to the closed lists.
func checkCodes(t *testing.T, o Outcome) {
	t.Helper()
	facts := o.Facts
	for _, f := range o.Findings {
		if !slices.Contains(networkCodes(), f.Code) {
			t.Errorf("%s is not in the list of codes", f.Code)
		}
		for _, fix := range f.Fixes {
			if !slices.Contains(networkFixes(), fix.Code) {
				t.Errorf("%s is not in the list of fixes", fix.Code)
			}
		}
		facts = append(facts, f.Facts...)
	}
	for _, f := range facts {
		if !slices.Contains(networkFacts(), f.Name) {
			t.Errorf("%s is not in the list of facts", f.Name)
		}
		if f.Answer == Unmeasured && f.Reason == "" {
			t.Errorf("%s was not measured, and nothing says why", f.Name)
		}
	}
}
