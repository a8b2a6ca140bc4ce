package doctor

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestProxyMute tells a proxy that says nothing from a host behind it that says nothing, for plain http, where the proxy takes the request
// as if it were the host.
func TestProxyMute(t *testing.T) {
	const control = "control.example.org"
	speaks := func(conn net.Conn) { // for hosts other than the upstream
		req, err := http.ReadRequest(bufio.NewReader(conn))
		if err == nil && strings.HasPrefix(req.URL.Host, control) {
			io.WriteString(conn, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
			return
		}
		silent(conn)
	}
	hangsUp := func(conn net.Conn) { http.ReadRequest(bufio.NewReader(conn)) }
	for _, tt := range []struct {
		name   string
		proxy  func(net.Conn)
		direct bool // the upstream answers without the proxy
		want   string
		fix    string // the first
	}{
		{"silent, direct works", silent, true, codeProxyBroken, fixUnsetProxy},
		{"silent for all", silent, false, codeProxyBroken, fixStartProxy},
		{"hangs up on all", hangsUp, false, codeProxyBroken, fixStartProxy},
		{"the host is silent, others answer", speaks, false, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newHTTPLab(t)
			l.addr("a.example.com")
			if tt.direct {
				l.http("a.example.com", l.at(""))
			}
			l.point("proxy.example.com", 3128, (&labProxy{l: l}).serve(t, tt.proxy))
			x := l.with(l.exam("http://a.example.com"), "HTTP_PROXY=http://proxy.example.com:3128")
			x.Net.Control = control
			o := proxyCheck(t.Context(), x)
			textsFit(t, o.Findings)
			if tt.want == "" {
				if len(o.Findings) != 0 {
					t.Errorf("found %+v", o.Findings)
				}
				return
			}
			if len(o.Findings) != 1 || o.Findings[0].Code != tt.want || o.Findings[0].Fixes[0].Code != tt.fix || answerOf(o.Findings[0].Facts, factProxyAnswers) != Yes {
				t.Errorf("found %+v, want %s and %s", o, tt.want, tt.fix)
			}
			// What looks as if the host were silent follows from it.
			rep := Examine(t.Context(), x, append(proxyChecks(), httpChecks()...), Options{})
			if len(rep.Causes) != 1 || rep.Causes[0].Code != tt.want {
				t.Errorf("causes %+v", rep.Causes)
			}
		})
	}
}

// TestProxyLeadsOut: in a network that a proxy alone leads out of, the line that keeps go from the proxy is the cause.
func TestProxyLeadsOut(t *testing.T) {
	skipped := Finding{Code: codeProxySkipped, Severity: Fault, Subject: "a.example.com", Args: map[string]string{"Host": "a.example.com"}}
	closed := Finding{Code: codeClosedNetwork, Severity: Fault}
	denied := Finding{Code: "dns-nxdomain", Severity: Fault, Subject: "a.example.com"}
	causes := causesOf(&Exam{}, []Result{{Check: "network", Group: Network, Findings: []Finding{closed, denied}}, {Check: "proxies", Group: Proxies, Findings: []Finding{skipped}}})
	if len(causes) != 1 || causes[0].Code != codeProxySkipped || len(causes[0].Follows) != 2 {
		t.Errorf("causes %+v", causes)
	}
}

// TestProxyQuotes: a value in quotes is one mistake, and not also a proxy that is not there.
func TestProxyQuotes(t *testing.T) {
	l := newHTTPLab(t)
	l.https("a.example.com", l.at(""), true)
	x := l.with(l.exam("https://a.example.com"), `HTTPS_PROXY="http://proxy.example.com:3128"`)
	rep := Examine(t.Context(), x, proxyChecks(), Options{})
	if len(rep.Causes) != 1 || rep.Causes[0].Code != codeProxyValue || len(rep.Causes[0].Follows) != 1 {
		t.Errorf("causes %+v", rep.Causes)
	}
}
