package doctor

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

// A whole is a network that is examined with all checks of the network at once, as the command does it.
type whole struct {
	network
	goproxy string // default: the mirror, then direct
	more    int    // root causes beside the first
	root    string // the first root cause, "fault code" or "warning code"; empty for the verdict as a fault
}

const (
	simSecond = "second.example.net"
	simDBAddr = "45.77.2.10"
	simThird  = "third.example.net"
)

// newWhole is an internet whose mirrors serve modules, and in which the checksum database is a host of its own, too.
func newWhole(t testing.TB, up http.Handler) *internet {
	n := newInternetAt(t, onLoopback, up)
	n.truth[simSecond], n.truth[simThird], n.truth[labSumDB] = addrs("45.77.1.30"), addrs("45.77.1.40"), addrs(simDBAddr)
	n.serve("45.77.1.30:443", &simServer{})
	n.serve("45.77.1.40:443", &simServer{})
	n.serve(simDBAddr+":443", &simServer{answer: func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = "/sumdb/" + labSumDB + r.URL.Path
		up.ServeHTTP(w, r)
	}})
	n.serve("93.184.1.1:80", &simServer{plain: true, answer: http.NotFound})
	return n
}

// report examines the network as the command does.
func (w whole) report(t testing.TB, l *httpLab) Report {
	n := newWhole(t, l.up)
	w.build(n)
	if w.url == "" {
		w.url = "https://" + simHost
	}
	x, _ := n.exam(w.url, w.proxy)
	if w.goproxy == "" {
		w.goproxy = w.url + ",direct"
	}
	x.GoEnv.Values = map[string]string{"GOPROXY": w.goproxy}
	x.SumDB = l.up.GOSUMDB()
	// Much goes on at the same time, and on a machine that is busy that takes a while.
	x.Net.ResolveWait, x.Net.TLSWait, x.Net.AnswerWait, x.Net.StallWait = 2500*time.Millisecond, 2*time.Second, 3*time.Second, 3*time.Second
	if w.proxy != "" {
		x.Env["HTTPS_PROXY"], x.Env["HTTP_PROXY"] = w.proxy, w.proxy
	}
	x.Targets = nil
	ups, err := goproxy.ParseUpstreams(w.goproxy)
	if err != nil {
		t.Error(err)
	}
	for _, up := range ups {
		if strings.HasPrefix(up.URL, "http") {
			x.Targets = append(x.Targets, Target{Role: Upstream, URL: mustURL(up.URL), Sep: byte(up.Sep)})
		}
	}
	x.Targets = append(x.Targets, Target{Role: Database, URL: mustURL("https://" + labSumDB)})
	if w.tune != nil {
		w.tune(x)
	}
	for i, target := range x.Targets {
		if x.Targets[i].Proxy, err = EnvProxy(x.Env)(target.URL); err != nil {
			t.Error(err)
		}
	}
	checks, _ := Select(Checks(), []string{string(Network), string(Proxies), string(Mirrors), string(SumDB)})
	return Examine(t.Context(), x, checks, Options{})
}

// reports examines all of them.
func reports(t *testing.T, list []whole) []Report {
	l := newHTTPLab(t)
	month := `{"Version":"v0.18.0","Time":"` + time.Now().AddDate(0, -1, 0).Format(time.RFC3339) + `"}`
	if err := l.up.AddModule("golang.org/x/mod", "v0.18.0", map[string]string{"go.mod": "module golang.org/x/mod\n", ".info": month}); err != nil {
		t.Fatal(err)
	}
	all := make([]Report, len(list))
	sideBySide(len(list), func(i int) { all[i] = list[i].report(t, l) })
	return all
}

// at answers as the mirrors do, with faults before each path.
func (n *internet) at(faults string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path, r.URL.RawPath = faults+r.URL.Path, ""
		n.content.ServeHTTP(w, r)
	})
}

// answers makes the first mirror answer so.
func (n *internet) answers(h http.Handler) { n.replace(&simServer{answer: h.ServeHTTP}) }

// portal is a network that wants a log-in first: it answers plain http for everybody, and nothing else gets through.
func (n *internet) portal() {
	n.truth["login.portal.example"] = addrs("45.77.6.6")
	n.serve("45.77.6.6:80", &simServer{plain: true, answer: page().ServeHTTP})
	away := http.RedirectHandler("http://login.portal.example/", http.StatusFound).ServeHTTP
	n.serve("93.184.1.1:80", &simServer{plain: true, answer: away})
	n.serve("45.77.1.10:80", &simServer{plain: true, answer: away})
}

// dead is an internet in which nothing answers.
func (n *internet) dead() {
	n.system, n.doh = silence, nil
	for r := range n.udp {
		n.udp[r] = silence
	}
	for a := range n.real {
		n.drop(a)
	}
}

const (
	simMirrors = "https://" + simHost + ",https://" + simSecond + ",direct"
	simPiped   = "https://" + simHost + "|https://" + simSecond + ",direct"
)

// brokenWholes are those in which several hosts and several checks have their say. Those of brokenNetworks come on top.
func brokenWholes() []whole {
	in := func(name string, build func(n *internet)) network { return network{name: name, build: build} }
	mirrorDown := func(n *internet) { n.refusing = addrs("45.77.1.10") }
	allReset := func(n *internet) {
		for _, a := range []string{"45.77.1.10:443", "45.77.1.30:443", simDBAddr + ":443", "93.184.1.1:443"} {
			n.serve(a, &simServer{early: reset})
		}
	}
	return []whole{
		{network: in("all answers are forged, for the mirror and the database", func(n *internet) {
			forge := func(late bool) simResolver {
				return func(host string, kind uint16) simDNS {
					d, truth := simDNS{}, n.honest(host, kind)
					switch {
					case strings.HasPrefix(host, simHost):
						d.addrs = addrs("31.13.94.1")
					case strings.HasPrefix(host, labSumDB):
						d.addrs = addrs("31.13.94.2")
					default:
						return truth
					}
					if late {
						d.then = &truth
					}
					return d
				}
			}
			n.system, n.udp[simUDP1], n.udp[simUDP2] = forge(false), forge(true), forge(false)
		}), root: "fault dns-poisoned"},
		{network: in("no network at all: nothing answers", (*internet).dead), root: "fault offline"},
		{network: in("no network at all: the cable is out", func(n *internet) {
			n.system, n.doh, n.udp = func(string, uint16) simDNS { return simDNS{code: 2} }, nil, nil
			for a := range n.real {
				n.drop(a)
			}
		}), root: "fault offline"},
		{network: in("a network that wants a log-in, and swallows the rest", func(n *internet) {
			n.portal()
			for _, a := range []string{"45.77.1.10:443", "93.184.1.1:443", simDBAddr + ":443"} {
				n.drop(a)
			}
		}), root: "fault captive-portal"},
		{network: in("a network that wants a log-in, and cuts off the rest", func(n *internet) {
			n.portal()
			allReset(n)
		}), root: "fault captive-portal"},
		{network: in("a network that wants a log-in, and names its own address for all", func(n *internet) {
			n.portal()
			n.serve("45.77.6.6:443", &simServer{})
			n.serve("45.77.6.6:80", &simServer{plain: true, answer: func(w http.ResponseWriter, r *http.Request) {
				if r.Host != "login.portal.example" {
					http.Redirect(w, r, "http://login.portal.example/", http.StatusFound)
					return
				}
				page().ServeHTTP(w, r)
			}})
			n.system = func(string, uint16) simDNS { return simDNS{addrs: addrs("45.77.6.6")} }
		}), root: "fault captive-portal"},
		{network: in("the mirror is down, and a comma keeps the good one behind it from being asked", mirrorDown), goproxy: simMirrors, root: "fault tcp-refused"},
		{network: in("the mirror is down, and the database's own host is blocked, where go does not come by", func(n *internet) {
			mirrorDown(n)
			n.drop(simDBAddr + ":443")
		}), root: "fault tcp-refused"},
		{network: in("the mirror is blocked, with a bar before the good one", func(n *internet) { n.drop("45.77.1.10:443") }), goproxy: simPiped, root: "warning ip-blocked"},
		{network: in("the second of two mirrors is down", func(n *internet) { n.refusing = addrs("45.77.1.30") }), goproxy: simMirrors, root: "warning tcp-refused"},
		{network: in("the name of the mirror is cut off, with a good one behind a comma", func(n *internet) { n.censor(reset) }), goproxy: simMirrors, root: "fault sni-reset"},
		{network: in("the mirror does not carry the database, whose own host is blocked", func(n *internet) {
			n.answers(n.at("/nosumdb"))
			n.drop(simDBAddr + ":443")
		}), root: "fault ip-blocked"},
		{network: in("the mirror does not carry the database, whose own host is out of order", func(n *internet) {
			n.answers(n.at("/nosumdb"))
			n.serve(simDBAddr+":443", &simServer{answer: status(http.StatusBadGateway).ServeHTTP})
		}), root: "fault sumdb-unreachable"},
		{network: in("the mirror refuses to carry the database", func(n *internet) { n.answers(n.at("/sumdb-503")) }), root: "fault sumdb-refused"},
		{network: in("the mirror is silent", func(n *internet) { n.answers(n.at("/hang")) }), root: "fault http-stalled"},
		{network: in("zips of the mirror stop in the middle", func(n *internet) { n.answers(n.at("/only/zip/stall/50%")) }), root: "fault http-stalled"},
		{network: in("zips of the mirror are slowed down", func(n *internet) {
			slow := zipsAlone(slowed(100_000, 1000, 50*time.Millisecond), n.at(""))
			n.answers(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, "/golang.org/") {
					slow.ServeHTTP(w, r)
					return
				}
				n.content.ServeHTTP(w, r)
			}))
		}), root: "warning http-throttled"},
		{network: in("HTTP/2 streams of the mirror are cut off", func(n *internet) { n.answers(onlyH2(aborts(), n.at(""))) }), root: "fault h2-broken"},
		{network: in("the mirror serves other bytes", func(n *internet) { n.answers(n.at("/wrongsum")) }), root: "fault mirror-lies"},
		{network: in("the mirror has stood still", func(n *internet) {
			n.answers(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "x/mod/@v/list") {
					io.WriteString(w, "v0.17.0\n")
					return
				}
				n.content.ServeHTTP(w, r)
			}))
		}), goproxy: simMirrors, root: "warning mirror-stale"},
		{network: in("the mirror forbids", func(n *internet) { n.answers(n.at("/403")) }), goproxy: simMirrors, root: "fault http-forbidden"},
	}
}

// healthyWholes are held against false alarms, as those of healthyNetworks are.
func healthyWholes() []whole {
	in := func(name string, build func(n *internet)) network { return network{name: name, build: build} }
	return []whole{
		{network: in("two mirrors", func(*internet) {}), goproxy: simMirrors},
		{network: in("three mirrors with bars", func(*internet) {}), goproxy: "https://" + simHost + "|https://" + simSecond + "|https://" + simThird},
		{network: in("the database's own host is blocked, and the mirror carries it", func(n *internet) { n.drop(simDBAddr + ":443") }), root: "note ip-blocked"},
		{network: in("the database's name is cut off, and the mirror carries it", func(n *internet) { n.serve(simDBAddr+":443", &simServer{early: reset}) }), root: "note tcp-reset"},
		{network: in("the answers for the database are forged, and the mirror carries it", func(n *internet) {
			n.system = func(host string, kind uint16) simDNS {
				if strings.HasPrefix(host, labSumDB) {
					return simDNS{addrs: addrs("31.13.94.1")}
				}
				return n.honest(host, kind)
			}
		}), root: "note tcp-timeout"},
		{network: in("the mirror does not carry the database, which answers itself", func(n *internet) { n.answers(n.at("/nosumdb")) })},
		{network: in("the mirror has none of the public modules", func(n *internet) { n.answers(n.at("/404")) })},
		{network: in("a slow mirror", func(n *internet) { n.answers(n.at("/slow/100ms/drip/1MB")) })},
		{network: in("a portal that is behind us", func(n *internet) {
			n.serve("93.184.1.1:80", &simServer{plain: true, answer: http.RedirectHandler("https://"+simControl+"/", http.StatusMovedPermanently).ServeHTTP})
		})},
		{network: in("zips from another host", func(n *internet) {
			n.answers(zipsAlone(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://"+simThird+r.URL.Path, http.StatusFound)
			}), n.at("")))
		})},
	}
}

// wholeScenarios examine all networks with all checks of the network at once, and look at the first root cause.
func wholeScenarios(t *testing.T, rec *record) {
	var list []whole
	for _, w := range brokenNetworks() {
		list = append(list, wholeOf(w))
	}
	for _, w := range healthyNetworks() {
		if w.want == VerdictNoH2 {
			list = append(list, whole{network: w, root: "note " + string(w.want)})
			continue
		}
		list = append(list, whole{network: w})
	}
	list = append(append(list, brokenWholes()...), healthyWholes()...)
	for i, r := range reports(t, list) {
		got := ""
		if len(r.Causes) > 0 {
			got = string(r.Causes[0].Severity) + " " + r.Causes[0].Code
		}
		rec.add(list[i].name, list[i].root, got)
		if got != list[i].root || (got == "" || strings.HasPrefix(got, string(Note))) != r.Healthy || r.Healthy && !r.Complete {
			t.Errorf("%s: %q comes first, want %q; healthy %t, complete %t\n%s", list[i].name, got, list[i].root, r.Healthy, r.Complete,
				strings.Join(family(r.Causes), "\n"))
		}
		roots := slices.DeleteFunc(r.Causes, func(c Cause) bool { return weight(c) == severityRank(Note) })
		if len(roots) > 1+list[i].more {
			t.Errorf("%s: %d causes are found\n%s", list[i].name, len(roots), strings.Join(family(roots), "\n"))
		}
	}
}

// wholeOf is what a whole report says first of a network, in which others than the check of the way have a say.
func wholeOf(w network) whole {
	switch {
	case w.want == VerdictUnknown:
		return whole{network: w, root: "fault " + codeUnreachable}
	case w.name == "the proxy refuses the host": // each host by itself
		return whole{network: w, root: "fault " + codeProxyRefuses, more: 1}
	}
	return whole{network: w, root: "fault " + string(w.want)}
}
