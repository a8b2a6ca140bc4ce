package doctor

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func proxyScenarios(t *testing.T, rec *record) {
	const url = "https://a.example.com"
	const at = "proxy.example.com:3128"
	basic := []string{`Basic realm="x"`}
	tests := []struct {
		name   string
		proxy  labProxy
		kind   string // http, socks, or none
		hidden bool   // the upstream can be reached through the proxy alone
		vars   []string
		want   []string
		fix    string // a fix that must be there
		value  string // of it
	}{
		{name: "none", want: []string{"not run: not-needed"}},
		{name: "company proxy that works", kind: "http", hidden: true, vars: []string{"HTTPS_PROXY=http://" + at}},
		{name: "lower case", kind: "http", hidden: true, vars: []string{"https_proxy=http://" + at}},
		{name: "without a scheme", kind: "http", hidden: true, vars: []string{"HTTPS_PROXY=" + at}},
		{name: "SOCKS", kind: "socks", hidden: true, vars: []string{"HTTPS_PROXY=socks5://" + at}},
		{name: "log-in that is right", proxy: labProxy{user: "u:secret1", methods: basic}, kind: "http", hidden: true, vars: []string{"HTTPS_PROXY=http://u:secret1@" + at}},
		{name: "proxy for http alone, not needed", kind: "http", vars: []string{"HTTP_PROXY=http://" + at}, want: []string{"not run: not-needed"}},
		{name: "ALL_PROXY, not needed", kind: "socks", vars: []string{"ALL_PROXY=socks5://" + at}, want: []string{"not run: not-needed"}},
		{name: "excepted, not needed", kind: "http", vars: []string{"HTTPS_PROXY=http://" + at, "NO_PROXY=.example.com"}, want: []string{"not run: not-needed"}},
		{name: "both cases the same", kind: "http", hidden: true, vars: []string{"HTTPS_PROXY=http://" + at, "https_proxy=" + at + "/"}},

		{name: "nothing listens, direct works", vars: []string{"HTTPS_PROXY=http://" + at}, want: []string{"fault proxy-broken"}, fix: fixUnsetProxy},
		{name: "nothing listens, nor directly", hidden: true, vars: []string{"HTTPS_PROXY=http://" + at}, want: []string{"fault proxy-broken"}, fix: fixStartProxy},
		{name: "wants a log-in", proxy: labProxy{user: "u:secret1", methods: basic}, kind: "http", vars: []string{"https_proxy=http://" + at},
			want: []string{"fault proxy-auth"}, fix: fixProxyPassword, value: "http://USER:PASSWORD@" + at},
		{name: "wants another log-in", proxy: labProxy{user: "u:secret1", methods: basic}, kind: "http", vars: []string{"HTTPS_PROXY=http://u:wrong@" + at},
			want: []string{"fault proxy-auth"}, fix: fixProxyPassword},
		{name: "SOCKS, log-in that is right", proxy: labProxy{user: "u:secret1"}, kind: "socks", hidden: true, vars: []string{"HTTPS_PROXY=socks5://u:secret1@" + at}},
		{name: "SOCKS wants a log-in", proxy: labProxy{user: "u:secret1"}, kind: "socks", vars: []string{"HTTPS_PROXY=socks5://" + at},
			want: []string{"fault proxy-auth"}, fix: fixProxyPassword, value: "socks5://USER:PASSWORD@" + at},
		{name: "SOCKS wants another log-in", proxy: labProxy{user: "u:secret1"}, kind: "socks", hidden: true, vars: []string{"HTTPS_PROXY=socks5h://u:wrong@" + at},
			want: []string{"fault proxy-auth"}, fix: fixProxyPassword, value: "socks5h://USER:PASSWORD@" + at},
		{name: "SOCKS refuses the host", proxy: labProxy{refuse: 2}, kind: "socks", vars: []string{"HTTPS_PROXY=socks5://" + at},
			want: []string{"fault proxy-refuses"}, fix: fixNoProxyAdd, value: "a.example.com"},
		{name: "SOCKS cannot reach the host", kind: "socks", hidden: true, proxy: labProxy{refuse: 4}, vars: []string{"HTTPS_PROXY=socks5://" + at},
			want: []string{"fault proxy-refuses"}, fix: fixAllowHost},
		{name: "wants NTLM", proxy: labProxy{user: "u:secret1", methods: []string{"Negotiate", "NTLM"}}, kind: "http", vars: []string{"HTTPS_PROXY=http://" + at},
			want: []string{"fault proxy-auth-method"}, fix: fixProxyHelper},
		{name: "refuses the host, direct works", proxy: labProxy{refuse: 403}, kind: "http", vars: []string{"HTTPS_PROXY=http://" + at},
			want: []string{"fault proxy-refuses"}, fix: fixNoProxyAdd, value: "a.example.com"},
		{name: "refuses the host", proxy: labProxy{refuse: 403}, kind: "http", hidden: true, vars: []string{"HTTPS_PROXY=http://" + at},
			want: []string{"fault proxy-refuses"}, fix: fixAllowHost},
		{name: "wants a log-in at a page", proxy: labProxy{refuse: 511}, kind: "http", vars: []string{"HTTPS_PROXY=http://" + at}, want: []string{"fault captive-portal"}},
		{name: "https to a proxy of http", kind: "http", hidden: true, vars: []string{"HTTPS_PROXY=https://" + at},
			want: []string{"fault proxy-kind"}, fix: fixSetProxy, value: "http://" + at},
		{name: "http to a SOCKS proxy", kind: "socks", hidden: true, vars: []string{"HTTPS_PROXY=http://" + at},
			want: []string{"fault proxy-kind"}, fix: fixSetProxy, value: "socks5://" + at},
		{name: "SOCKS to a proxy of http", kind: "http", hidden: true, vars: []string{"HTTPS_PROXY=socks5://" + at},
			want: []string{"fault proxy-kind"}, fix: fixSetProxy, value: "http://" + at},

		{name: "HTTP_PROXY alone, needed", kind: "http", hidden: true, vars: []string{"HTTP_PROXY=http://" + at},
			want: []string{"fault proxy-not-read"}, fix: fixSetProxy, value: "http://" + at},
		{name: "all_proxy, needed", kind: "socks", hidden: true, vars: []string{"all_proxy=socks5://" + at},
			want: []string{"fault proxy-not-read"}, fix: fixSetProxy, value: "socks5://" + at},
		{name: "all_proxy that does not help", hidden: true, vars: []string{"all_proxy=socks5://" + at}, want: []string{"not run: not-needed"}},
		{name: "excepted, needed", kind: "http", hidden: true, vars: []string{"HTTPS_PROXY=http://" + at, "NO_PROXY=10.0.0.0/8,.example.com"},
			want: []string{"fault proxy-skipped"}, fix: fixNoProxyDrop, value: "10.0.0.0/8"},

		{name: "two values", kind: "http", hidden: true, vars: []string{"HTTPS_PROXY=http://" + at, "https_proxy=http://other.example.com:1"},
			want: []string{"note proxy-two-values"}, fix: fixSetProxy},
		{name: "quotes in the value", kind: "http", vars: []string{`HTTPS_PROXY="http://` + at + `"`},
			want: []string{"fault proxy-broken", "fault proxy-value"}, fix: fixSetProxy, value: "http://" + at},
		{name: "exception with a scheme", kind: "http", vars: []string{"HTTPS_PROXY=http://" + at, "NO_PROXY=https://a.example.com"},
			want: []string{"warning no-proxy-entry"}, fix: fixSetProxy, value: "a.example.com"},
		{name: "exceptions of other kinds", kind: "http", vars: []string{"HTTPS_PROXY=http://" + at, "NO_PROXY=localhost,127.0.0.1,::1,10.0.0.0/8,*.corp.test,.lan,host:8080"}},
		{name: "exception with a wild card", kind: "http", vars: []string{"HTTPS_PROXY=http://" + at, "NO_PROXY=192.168.*"},
			want: []string{"note no-proxy-entry"}, fix: fixSetProxy, value: "192.168.0.0/16"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newHTTPLab(t)
			l.https("a.example.com", l.at(""), true)
			l.addr("proxy.example.com")
			tt.proxy.l = l
			switch tt.kind {
			case "http":
				l.point("proxy.example.com", 3128, tt.proxy.http(t))
			case "socks":
				l.point("proxy.example.com", 3128, tt.proxy.socks(t))
			}
			if tt.hidden {
				l.hide("a.example.com")
			}
			o := proxyCheck(t.Context(), l.with(l.exam(url), tt.vars...))
			rec.add(tt.name, strings.Join(tt.want, " "), strings.Join(said(o), " "))
			textsFit(t, o.Findings)
			if diff := cmp.Diff(tt.want, said(o)); diff != "" {
				t.Errorf("-want +got\n%s\n%+v", diff, o)
			}
			if tt.fix != "" && !hasFix(o, tt.fix, tt.value) {
				t.Errorf("no fix %s %s in %+v", tt.fix, tt.value, o.Findings)
			}
		})
	}
}

// TestProxySilent is a proxy that takes connections and says nothing.
func TestProxySilent(t *testing.T) {
	l := newHTTPLab(t)
	l.https("a.example.com", l.at(""), true)
	l.point("proxy.example.com", 3128, (&labProxy{l: l}).serve(t, silent))
	x := l.with(l.exam("https://a.example.com"), "HTTPS_PROXY=http://proxy.example.com:3128")
	o := proxyCheck(t.Context(), x)
	if diff := cmp.Diff([]string{"fault proxy-broken"}, said(o)); diff != "" {
		t.Errorf("-want +got\n%s\n%+v", diff, o)
	}
	if !hasFix(o, fixUnsetProxy, "") {
		t.Errorf("direct works, but that is not said: %+v", o)
	}
}

// TestProxyUnmeasured is a check that has no time: nothing is healthy because of that.
func TestProxyUnmeasured(t *testing.T) {
	l := newHTTPLab(t)
	l.addrs["proxy.example.com"] = netip.MustParseAddr("23.45.67.99")
	l.to[netip.MustParseAddrPort("23.45.67.99:3128")] = "" // dropped
	l.https("a.example.com", l.at(""), true)
	x := l.with(l.exam("https://a.example.com"), "HTTPS_PROXY=http://proxy.example.com:3128")
	x.Net.ConnectWait = 20 * time.Millisecond
	o := proxyCheck(t.Context(), x)
	if diff := cmp.Diff([]string{"fault proxy-broken"}, said(o)); diff != "" {
		t.Errorf("-want +got\n%s\n%+v", diff, o)
	}
}
