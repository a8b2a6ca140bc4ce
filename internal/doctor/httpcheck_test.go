package doctor

import (
	"context"
	"io"
	"log"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func quietLog() *log.Logger { return log.New(io.Discard, "", 0) }

// at serves the lab's module proxy with faults before each path.
func (l *httpLab) at(faults string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path, r.URL.RawPath = faults+r.URL.Path, ""
		l.up.ServeHTTP(w, r)
	})
}

// onlyH2 applies bad to requests over HTTP/2.
func onlyH2(bad, good http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 {
			bad.ServeHTTP(w, r)
			return
		}
		good.ServeHTTP(w, r)
	})
}

// zipsAlone applies bad to zips.
func zipsAlone(bad, good http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".zip") {
			bad.ServeHTTP(w, r)
			return
		}
		good.ServeHTTP(w, r)
	})
}

func aborts() http.Handler {
	return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
}

// page is one for people.
func page() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "<!DOCTYPE html><title>Log in</title>")
	})
}

// movedOnce sends to the same path below /moved.
func movedOnce(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rest, ok := strings.CutPrefix(r.URL.Path, "/moved"); ok {
			r.URL.Path = rest
			h.ServeHTTP(w, r)
			return
		}
		http.Redirect(w, r, "/moved"+r.URL.Path, http.StatusFound)
	})
}

// slowed sends a zip-like body at a rate, after a first burst.
func slowed(burst, step int, every time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(make([]byte, burst))
		w.(http.Flusher).Flush()
		for range 40 {
			select {
			case <-r.Context().Done():
				return
			case <-time.After(every):
			}
			w.Write(make([]byte, step))
			w.(http.Flusher).Flush()
		}
	})
}

func httpScenarios(t *testing.T, rec *record) {
	const one = "https://a.example.com,direct"
	type lab = *httpLab
	tests := []struct {
		name    string
		goproxy string
		set     func(l lab)
		want    []string
	}{
		{"healthy with HTTP/2", one, func(l lab) { l.https("a.example.com", l.at(""), true) }, nil},
		{"healthy with HTTP/1.1", one, func(l lab) { l.https("a.example.com", l.at(""), false) }, nil},
		{"healthy without TLS", "http://a.example.com", func(l lab) { l.http("a.example.com", l.at("")) }, nil},
		{"slow and fine", one, func(l lab) { l.https("a.example.com", l.at("/slow/100ms/drip/1MB"), true) }, nil},
		{"does not have public modules", one, func(l lab) { l.https("a.example.com", l.at("/404"), true) }, nil},
		{"gone", one, func(l lab) { l.https("a.example.com", l.at("/410"), true) }, nil},
		{"forbids one module", one, func(l lab) { l.https("a.example.com", l.at("/only/info/403"), true) }, nil},
		{"redirects in itself", one, func(l lab) { l.https("a.example.com", movedOnce(l.at("")), true) }, nil},
		{"failed once with 503", one, func(l lab) { l.https("a.example.com", l.at("/times/1/only/info/503"), true) }, nil},
		{"zip from another host", one, func(l lab) {
			l.https("a.example.com", zipsAlone(http.RedirectHandler("https://store.example.com/golang.org/x/mod/@v/v0.17.0.zip", http.StatusFound), l.at("")), true)
			l.https("store.example.com", l.at(""), true)
		}, nil},

		{"silent", one, func(l lab) { l.https("a.example.com", l.at("/hang"), true) }, []string{"fault http-stalled"}},
		{"silent behind a pipe", "https://a.example.com|direct", func(l lab) { l.https("a.example.com", l.at("/hang"), false) }, []string{"fault http-stalled"}},
		{"silent second", "https://a.example.com,https://b.example.com", func(l lab) {
			l.https("a.example.com", l.at(""), true)
			l.https("b.example.com", l.at("/hang"), true)
		}, []string{"warning http-stalled"}},
		{"silent at first", one, func(l lab) { l.https("a.example.com", l.at("/times/1/only/info/hang"), false) }, []string{"note http-late"}},
		{"zip stops", one, func(l lab) { l.https("a.example.com", l.at("/only/zip/stall/50%"), true) }, []string{"fault http-stalled"}},
		{"zip stopped once", one, func(l lab) { l.https("a.example.com", l.at("/times/1/only/zip/stall/50%"), true) }, []string{"warning http-flaky"}},
		{"zip cut", one, func(l lab) { l.https("a.example.com", l.at("/only/zip/cut/50%"), false) }, []string{"fault http-cut"}},
		{"zip cut behind a pipe", "https://a.example.com|direct", func(l lab) { l.https("a.example.com", l.at("/only/zip/cut/50%"), false) }, []string{"warning http-cut"}},
		{"closed without an answer", one, func(l lab) { l.https("a.example.com", l.at("/eof"), false) }, []string{"fault http-cut"}},

		{"HTTP/2 streams aborted", one, func(l lab) { l.https("a.example.com", onlyH2(aborts(), l.at("")), true) }, []string{"fault h2-broken"}},
		{"HTTP/2 zips aborted", one, func(l lab) { l.https("a.example.com", zipsAlone(onlyH2(aborts(), l.at("")), l.at("")), true) }, []string{"fault h2-broken"}},
		{"HTTP/2 silent", one, func(l lab) { l.https("a.example.com", onlyH2(l.at("/hang"), l.at("")), true) }, []string{"fault h2-broken"}},
		{"aborted once", one, func(l lab) { l.https("a.example.com", onlyH2(l.at("/times/1/only/zip/cut/50%"), l.at("")), true) }, []string{"warning http-flaky"}},

		{"forbidden", one, func(l lab) { l.https("a.example.com", l.at("/403"), true) }, []string{"fault http-forbidden"}},
		{"for legal reasons", one, func(l lab) { l.https("a.example.com", l.at("/451"), true) }, []string{"fault http-forbidden"}},
		{"wants a log-in", one, func(l lab) { l.https("a.example.com", l.at("/auth"), true) }, []string{"fault http-login"}},
		{"log-in in GOPROXY", "https://ferry:secret@a.example.com", func(l lab) { l.https("a.example.com", l.at("/auth"), true) }, nil},
		{"unavailable", one, func(l lab) { l.https("a.example.com", l.at("/503"), true) }, []string{"fault http-status"}},
		{"unavailable behind a pipe", "https://a.example.com|https://b.example.com", func(l lab) {
			l.https("a.example.com", l.at("/502"), true)
			l.https("b.example.com", l.at(""), true)
		}, []string{"warning http-status"}},
		{"no module proxy", one, func(l lab) { l.https("a.example.com", l.at("/html"), true) }, []string{"fault http-not-a-proxy"}},
		{"portal by status", "http://a.example.com", func(l lab) { l.http("a.example.com", l.at("/511")) }, []string{"fault captive-portal"}},
		{"portal by redirect", "http://a.example.com", func(l lab) {
			l.http("a.example.com", http.RedirectHandler("http://login.example.net/", http.StatusFound))
			l.http("login.example.net", page())
		}, []string{"fault captive-portal"}},
		{"log-in of the company", "http://a.example.com", func(l lab) {
			l.http("a.example.com", http.RedirectHandler("http://sso.example.com/", http.StatusFound))
			l.http("sso.example.com", page())
		}, []string{"fault http-not-a-proxy"}},
		{"host of zips blocked", one, func(l lab) {
			l.https("a.example.com", zipsAlone(http.RedirectHandler("https://store.example.com/z", http.StatusFound), l.at("")), true)
			l.addr("store.example.com")
		}, []string{"fault redirect-blocked", "fault tcp-refused"}},
		{"redirect to http", one, func(l lab) {
			l.https("a.example.com", zipsAlone(http.RedirectHandler("http://store.example.com/z", http.StatusFound), l.at("")), true)
		}, []string{"fault redirect-blocked"}},

		{"slow from the start", one, func(l lab) {
			l.https("a.example.com", zipsAlone(slowed(1000, 1000, 50*time.Millisecond), l.at("")), true)
		},
			[]string{"note http-slow"}},
		{"slow after a burst", one, func(l lab) {
			l.https("a.example.com", zipsAlone(slowed(100_000, 1000, 50*time.Millisecond), l.at("")), true)
		},
			[]string{"warning http-throttled"}},
		{"slow while another is fast", "https://a.example.com,https://b.example.com", func(l lab) {
			l.https("a.example.com", zipsAlone(slowed(1000, 1000, 50*time.Millisecond), l.at("")), true)
			l.https("b.example.com", l.at("/drip/4MB"), true)
		}, []string{"warning http-throttled"}},

		{"nothing there", one, func(l lab) { l.addr("a.example.com") }, []string{"not run: no-network"}},
		{"no such name", one, func(lab) {}, []string{"not run: no-network"}},
		{"no upstream", "direct", func(lab) {}, []string{"not run: not-needed"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newHTTPLab(t)
			tt.set(l)
			o := httpCheck(t.Context(), l.exam(tt.goproxy))
			rec.add(tt.name, strings.Join(tt.want, " "), strings.Join(said(o), " "))
			textsFit(t, o.Findings)
			if diff := cmp.Diff(tt.want, said(o)); diff != "" {
				t.Errorf("-want +got\n%s\n%+v", diff, o)
			}
		})
	}
}

// portalScenarios have a network that answers plain http itself, and lets nothing else through.
func portalScenarios(t *testing.T, rec *record) {
	tests := []struct {
		name string
		set  func(l *httpLab)
		want []string
	}{
		{"sends to its page", func(l *httpLab) {
			l.http("control.example.net", http.RedirectHandler("http://login.example.net/", http.StatusFound))
			l.http("login.example.net", page())
		}, []string{"fault captive-portal", "not run: no-network"}},
		{"sends to a name that nobody else knows", func(l *httpLab) {
			l.http("control.example.net", http.RedirectHandler("http://login.lan/", http.StatusFound))
		}, []string{"fault captive-portal", "not run: no-network"}},
		{"says so", func(l *httpLab) { l.http("control.example.net", status(http.StatusNetworkAuthenticationRequired)) }, []string{"fault captive-portal", "not run: no-network"}},
		{"answers as it should", func(l *httpLab) { l.http("control.example.net", http.NotFoundHandler()) }, []string{"not run: no-network"}},
		{"sends to its own www", func(l *httpLab) {
			l.http("control.example.net", http.RedirectHandler("http://www.control.example.net/", http.StatusFound))
			l.http("www.control.example.net", page())
		}, []string{"not run: no-network"}},
		{"shows its page there, and HTTPS does not get through", func(l *httpLab) { l.http("control.example.net", page()) }, []string{"fault captive-portal", "not run: no-network"}},
		{"has that page over HTTPS, too", func(l *httpLab) {
			l.http("control.example.com", page())
			l.https("control.example.com", page(), true)
		}, []string{"not run: no-network"}},
		{"shows its page there, and somebody else answers", func(l *httpLab) {
			l.http("control.example.net", page())
			l.https("b.example.com", l.at(""), true)
		}, []string{"not run: no-network"}},
		{"is dead as well", func(l *httpLab) { l.addr("control.example.net") }, []string{"not run: no-network"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newHTTPLab(t)
			l.addr("a.example.com") // nothing answers there
			tt.set(l)
			x := l.exam("https://a.example.com,https://b.example.com")
			x.Net.Control = "control.example.net"
			if _, ok := l.addrs["control.example.com"]; ok { // for which there is a certificate
				x.Net.Control = "control.example.com"
			}
			got := said(httpCheck(t.Context(), x))
			rec.add(tt.name, strings.Join(tt.want, " "), strings.Join(got, " "))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// TestHTTPPortalNotSought is a healthy network, in which nobody looks for a portal.
func TestHTTPPortalNotSought(t *testing.T) {
	l := newHTTPLab(t)
	l.https("a.example.com", l.at(""), true)
	l.http("control.example.net", http.RedirectHandler("http://login.example.net/", http.StatusFound))
	x := l.exam("https://a.example.com")
	x.Net.Control = "control.example.net"
	if got := said(httpCheck(t.Context(), x)); got != nil {
		t.Errorf("found %q", got)
	}
}

// TestHTTPFerry proposes goferry only where it was seen to work.
func TestHTTPFerry(t *testing.T) {
	l := newHTTPLab(t)
	l.https("a.example.com", onlyH2(aborts(), l.at("")), true)
	x := l.exam("https://a.example.com")
	h1 := httpLineOf(x, true, nil)
	defer h1.Close()
	x.Net.HTTP = &http.Client{Transport: h1.tr}
	o := httpCheck(t.Context(), x)
	if !hasFix(o, fixGoferryOn, "") || !hasFix(o, fixNoHTTP2, "http2client=0") {
		t.Errorf("fixes of %+v", o.Findings)
	}
	h2 := httpLineOf(x, false, nil)
	defer h2.Close()
	x.Net.HTTP = &http.Client{Transport: h2.tr}
	if o := httpCheck(t.Context(), x); hasFix(o, fixGoferryOn, "") {
		t.Errorf("goferry is proposed, which cannot do it: %+v", o.Findings)
	}
}

// TestHTTPFixes wants fixes that are the exact change to GOPROXY, and none that leads to what is dead, too.
func TestHTTPFixes(t *testing.T) {
	l := newHTTPLab(t)
	l.https("a.example.com", l.at("/503"), true)
	l.https("b.example.com", l.at(""), true)
	l.https("c.example.com", l.at("/503"), true)
	x := l.exam("https://a.example.com,https://b.example.com,direct")
	if o := httpCheck(t.Context(), x); !hasFix(o, fixPipe, "https://a.example.com|https://b.example.com,direct") ||
		!hasFix(o, fixDropProxy, "https://b.example.com,direct") {
		t.Errorf("fixes of %+v", o.Findings)
	}
	x = l.exam("https://a.example.com,https://c.example.com,direct")
	if o := httpCheck(t.Context(), x); hasFix(o, fixDropProxy, "") {
		t.Errorf("dropped for one that is no better: %+v", o.Findings)
	}
}

// TestHTTPUnmeasured is a check without time: it says that it did not look.
func TestHTTPUnmeasured(t *testing.T) {
	l := newHTTPLab(t)
	l.https("a.example.com", l.at("/hang"), true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := httpCheck(ctx, l.exam("https://a.example.com"))
	if len(o.Findings) > 0 || o.NotRun == "" {
		t.Errorf("got %+v", o)
	}
}

func status(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
}
