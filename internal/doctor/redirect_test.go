package doctor

import (
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestRedirectHost has an upstream that answers, and that sends to another host for its zips. If that one is kept from us, it is
// what is named, with what keeps it, by the checks and by a walk.
func TestRedirectHost(t *testing.T) {
	const cdn = "cdn.example.com"
	type lab = *httpLab
	for _, tt := range []struct {
		name string
		set  func(l lab)
		want string // code of the root; empty for none
	}{
		{"as it should be", func(l lab) { l.https(cdn, l.at(""), true) }, ""},
		{"nobody knows its name", func(lab) {}, "dns-nxdomain"},
		{"connections are dropped", func(l lab) { l.point(cdn, 443, "") }, "tcp-timeout"},
		{"nothing listens", func(l lab) { l.addr(cdn) }, "tcp-refused"},
		{"connections are closed", func(l lab) {
			l.point(cdn, 443, (&labProxy{l: l}).serve(l.t, func(net.Conn) {}))
		}, "tcp-reset"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newHTTPLab(t)
			tt.set(l)
			l.https("a.example.com", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, ".zip") {
					http.Redirect(w, r, "https://"+cdn+r.URL.Path+"?token=s3cr3tvalue", http.StatusFound)
					return
				}
				l.at("").ServeHTTP(w, r)
			}), true)
			x := l.exam("https://a.example.com")
			rep := Examine(t.Context(), x, append(networkChecks(), httpChecks()...), Options{})
			w := x.Walk(t.Context(), "golang.org/x/mod", "v0.17.0")
			for by, causes := range map[string][]Cause{"checks": rep.Causes, "walk": w.Causes} {
				if tt.want == "" {
					if len(causes) != 0 {
						t.Errorf("%s: false alarm: %+v", by, causes)
					}
					continue
				}
				if len(causes) != 1 || len(causes[0].Follows) != 1 {
					t.Fatalf("%s: causes %+v", by, causes)
				}
				c, follows := causes[0], causes[0].Follows[0]
				if c.Code != tt.want || c.Subject != cdn || follows.Code != codeRedirectBroken || follows.Subject != "a.example.com" || follows.Args["Other"] != cdn {
					t.Errorf("%s: %s of %s, then %s of %s to %s", by, c.Code, c.Subject, follows.Code, follows.Subject, follows.Args["Other"])
				}
				o := Outcome{Findings: []Finding{c.Finding}}
				if !hasFix(o, fixAllowHost, "") {
					t.Errorf("%s: fixes %+v", by, c.Fixes)
				}
				textsFit(t, []Finding{c.Finding, follows})
			}
		})
	}
}
