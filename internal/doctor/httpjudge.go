package doctor

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/transport"
)

func httpDrain(r io.Reader, limit int64) (int64, error) {
	return io.Copy(io.Discard, io.LimitReader(r, limit))
}

// httpUpstreams is GOPROXY as it is in force, in its parts.
func httpUpstreams(x *Exam) []goproxy.Upstream {
	ups, err := goproxy.ParseUpstreams(x.GoEnv.Values["GOPROXY"])
	if err != nil {
		return nil
	}
	return ups
}

// httpIs reports whether up is the entry of GOPROXY that t was made of.
func httpIs(up goproxy.Upstream, t Target) bool {
	u, err := url.Parse(up.URL)
	return err == nil && t.URL != nil && u.Scheme == t.URL.Scheme && u.Host == t.URL.Host &&
		strings.TrimSuffix(u.Path, "/") == strings.TrimSuffix(t.URL.Path, "/")
}

// httpSetGOPROXY is the change to GOPROXY, at the place where its value comes from.
func httpSetGOPROXY(x *Exam, code string, ups []goproxy.Upstream, args map[string]string) Fix {
	f := Fix{Code: code, Kind: SetGoEnv, Key: "GOPROXY", Value: goproxy.FormatUpstreams(ups), Args: args}
	if x.Env["GOPROXY"] != "" {
		f.Kind = SetEnv // go env -w would be overridden
	}
	return f
}

// otherWays are GOPROXY without the target, where something that answers public modules is left, else the advice
// to look for another mirror.
func (l *httpLook) otherWays(x *Exam) []Fix {
	if l.t.Role != Upstream {
		return nil
	}
	var left []goproxy.Upstream
	usable := false
	for _, up := range httpUpstreams(x) {
		if httpIs(up, l.t) {
			continue
		}
		left = append(left, up)
		usable = usable || strings.HasPrefix(up.URL, "http")
	}
	if usable {
		return []Fix{httpSetGOPROXY(x, fixDropProxy, left, map[string]string{"Host": l.t.URL.Hostname()})}
	}
	return []Fix{{Code: fixOtherMirror, Kind: ByHand}}
}

// pipe is GOPROXY with "|" behind the target, if something stands there that would be asked then.
func (l *httpLook) pipe(x *Exam) []Fix {
	ups := httpUpstreams(x)
	for i := range ups[:max(len(ups)-1, 0)] {
		if httpIs(ups[i], l.t) && ups[i].Sep == goproxy.OnAbsent {
			ups[i].Sep = goproxy.OnError
			return []Fix{httpSetGOPROXY(x, fixPipe, ups, map[string]string{"Host": l.t.URL.Hostname()})}
		}
	}
	return nil
}

// settle takes back the advice to use what stands beside the target in GOPROXY, where that does not answer either.
func (l *httpLook) settle(all []*httpLook) {
	for _, o := range all {
		if o != l && o.t.Role == Upstream && o.answered && o.first.status < 400 && len(o.findings) == 0 {
			return
		}
	}
	for i, f := range l.findings {
		kept := f.Fixes[:0:0]
		for _, fix := range f.Fixes {
			if fix.Code == fixDropProxy {
				fix = Fix{Code: fixOtherMirror, Kind: ByHand}
			}
			kept = append(kept, fix)
		}
		l.findings[i].Fixes = kept
	}
}

// judgeStatus judges an answer that came, and reports whether files can be asked for.
func (l *httpLook) judgeStatus(ctx context.Context, x *Exam, line *httpLine) bool {
	a := l.first
	if a.status != http.StatusOK && a.status != http.StatusNotFound && a.status != http.StatusGone || a.html() {
		l.trouble()
	}
	args := map[string]string{"Host": a.url.Hostname(), "Status": strconv.Itoa(a.status), "Text": http.StatusText(a.status)}
	add := func(code string, fixes ...Fix) bool {
		f := l.finding(x, code, a, args)
		f.Fixes = fixes
		l.findings = append(l.findings, f)
		return false
	}
	switch a.status {
	case http.StatusNetworkAuthenticationRequired: // RFC 6585: never from the server itself
		return add(codeCaptivePortal, Fix{Code: fixLogInPage, Kind: ByHand})
	case http.StatusProxyAuthRequired:
		return false // the check "proxies" says it
	}
	if l.t.Role != Upstream {
		if a.status == http.StatusUnavailableForLegalReasons { // many forbid to list their files, and serve them
			return add(codeHTTPForbidden)
		}
		return false
	}
	switch {
	case a.status == http.StatusOK && httpIsInfo(a.body):
		return true
	case a.status == http.StatusOK:
		return l.judgePage(x, a, args)
	case a.status == http.StatusNotFound, a.status == http.StatusGone:
		return false // it need not have this module
	}
	b := l.elsewhere(ctx, x, line)
	if b.failure == transport.Canceled {
		return false
	}
	if b.status != a.status {
		return false // it is about this module, or was passing
	}
	switch a.status {
	case http.StatusUnauthorized:
		return add(codeHTTPLogin, Fix{Code: fixNetrc, Kind: ByHand, Args: map[string]string{"Host": l.t.URL.Hostname()}})
	case http.StatusForbidden, http.StatusUnavailableForLegalReasons:
		return add(codeHTTPForbidden, append(l.pipe(x), l.otherWays(x)...)...)
	}
	return add(codeHTTPStatus, append(l.pipe(x), l.otherWays(x)...)...)
}

// elsewhere asks the upstream for another module, with the user's credentials where the first answer was about them:
// a refusal of everything is a refusal of us. What works that way is status 200.
func (l *httpLook) elsewhere(ctx context.Context, x *Exam, line *httpLine) httpAnswer {
	u, _ := httpFile(x.httpBase(l.t), mirrorProbe(goproxy.List))
	if l.first.status == http.StatusUnauthorized || l.first.status == http.StatusForbidden {
		// The go command has GOAUTH and netrc, and so has goferry's client.
		if x.Net.HTTP != nil {
			ctx, cancel := context.WithTimeout(ctx, httpWait(x.Net.AnswerWait, 5*time.Second))
			defer cancel()
			known, _ := httpFile(x.httpBase(l.t), httpProbe(goproxy.Info))
			if status, err := ferryAsk(ctx, x, httpAsk{url: known, limit: httpSmall}); err == nil && status != l.first.status {
				return httpAnswer{status: status}
			}
		}
	}
	return line.ask(ctx, httpAsk{url: u, limit: httpSmall})
}

func httpIsInfo(body []byte) bool {
	var info struct{ Version string }
	return json.Unmarshal(body, &info) == nil && info.Version != ""
}

// judgePage judges an answer 200 that is none of a Go module proxy. A server that has shown its certificate can only be
// the wrong one; otherwise somebody on the way may have answered.
func (l *httpLook) judgePage(x *Exam, a httpAnswer, args map[string]string) bool {
	code, fix := codeHTTPNoProxy, Fix{Code: fixCorrectURL, Kind: ByHand}
	elsewhere := len(a.hops) > 0 && !strings.EqualFold(a.url.Hostname(), l.t.URL.Hostname())
	if l.t.URL.Scheme == "http" && a.html() && elsewhere && !httpKin(httpOwner(a.url.Hostname()), httpOwner(l.t.URL.Hostname())) {
		code, fix = codeCaptivePortal, Fix{Code: fixLogInPage, Kind: ByHand}
	}
	f := l.finding(x, code, a, args)
	if elsewhere {
		f.Facts = append(f.Facts, Fact{Name: factRedirect, Answer: Yes, Value: a.url.Hostname()})
	}
	f.Fixes = []Fix{fix}
	l.findings = append(l.findings, f)
	return false
}

// httpOwner is about the part of a name that somebody owns: a page of the same owner is a log-in of a company, not of a
// network on the way.
func httpOwner(host string) string {
	parts := strings.Split(host, ".")
	return strings.Join(parts[max(len(parts)-2, 0):], ".")
}

// redirectBroken says that the server answers, but sends to a host that does not, and what keeps us from that one.
func (l *httpLook) redirectBroken(ctx context.Context, x *Exam, a httpAnswer) {
	f := l.finding(x, codeRedirectBroken, a, map[string]string{"Host": l.t.URL.Hostname(), "Other": a.url.Hostname(), "Err": httpText(a)})
	f.Facts = append(f.Facts, Fact{Name: factRedirect, Answer: Yes, Value: a.url.Hostname()})
	f.Fixes = append([]Fix{{Code: fixAllowHost, Kind: ByHand, Args: map[string]string{"Host": a.url.Hostname()}}}, l.otherWays(x)...)
	l.findings = append(l.findings, append(x.redirectWhy(ctx, l.t, a, f), f)...)
}

// redirectWhy are the findings about the way to the host that t sends to, which is where a failed. f follows from them.
func (x *Exam) redirectWhy(ctx context.Context, t Target, a httpAnswer, f Finding) []Finding {
	if !a.unreached() || a.op == transport.OpProxy {
		return nil // the host is there, or the proxy speaks for it
	}
	t.URL = &url.URL{Scheme: a.url.Scheme, Host: a.url.Host, Path: "/"}
	t.Proxy = a.via
	r := x.Reach(ctx, t)
	if r.Works() || r.Verdict == VerdictUnknown || r.Op == transport.OpProxy {
		return nil
	}
	list := x.networkFindings(r, f.Severity)
	for i := range list {
		list[i].Fixes = append(list[i].Fixes, f.Fixes...)
	}
	return list
}

// measure fetches a zip to see whether it comes, and how fast.
func (l *httpLook) measure(ctx context.Context, x *Exam, line *httpLine, base *url.URL) {
	u, _ := httpFile(base, httpProbe(goproxy.Zip))
	ask := httpAsk{url: u, limit: httpBodySize, span: httpBodyTime}
	a := l.patient(ctx, x, line, ask)
	if a.err != nil || a.status != http.StatusOK {
		return
	}
	l.body = a
	if r := a.rate(); r > 0 && a.took.Transfer > 20*time.Millisecond { // less is the speed of memory
		l.facts = append(l.facts, l.fact(factRate, Yes, httpSize(r)+"/s", ""))
	}
}

// judgeRate tells a throttle from a slow link: somebody else is many times faster at the same time, or the first
// bytes were.
func (l *httpLook) judgeRate(x *Exam, all []*httpLook) {
	rate := l.body.rate()
	if rate == 0 || rate >= httpSlowRate || l.body.took.Transfer < time.Second {
		return
	}
	other, host := int64(0), ""
	for _, o := range all {
		if r := o.body.rate(); o != l && r > other {
			other, host = r, o.t.URL.Hostname()
		}
	}
	head, tail := httpRates(l.body)
	f := l.finding(x, codeHTTPSlow, l.body, map[string]string{"Host": l.t.URL.Hostname(), "Rate": httpSize(rate) + "/s"})
	f.Severity = Note
	f.Facts = append(f.Facts, Fact{Name: factRate, Answer: Yes, Value: httpSize(rate) + "/s"})
	if other >= rate*httpTimes {
		f.Code, f.Severity = codeHTTPThrottled, Warning
		f.Facts = append(f.Facts, Fact{Name: factOtherRate, Answer: Yes, Value: host + ": " + httpSize(other) + "/s"})
	}
	if tail > 0 && head >= tail*httpTimes {
		f.Code, f.Severity = codeHTTPThrottled, Warning
		f.Args["Rate"] = httpSize(tail) + "/s"
		f.Facts = append(f.Facts, Fact{Name: factFirstRate, Answer: Yes, Value: httpSize(head) + "/s"})
	}
	f.Fixes = l.otherWays(x)
	l.findings = append(l.findings, f)
}

// httpRates are the rates of the first part of a body, and of the rest. A bucket of tokens lets the first bytes pass
// and then no more than it is filled with; a slow link is slow from the start.
func httpRates(a httpAnswer) (head, tail int64) {
	s := a.samples
	if len(s) < 4 {
		return 0, 0
	}
	end := s[len(s)-1]
	for i, p := range s {
		// The longest beginning in a tenth of the time.
		if p.at > end.at/10 {
			if i == 0 {
				return 0, 0
			}
			p = s[i-1]
			if p.bytes < 16<<10 || end.bytes-p.bytes < 8<<10 {
				return 0, 0
			}
			head = int64(float64(p.bytes) / max(p.at, time.Millisecond).Seconds())
			tail = int64(float64(end.bytes-p.bytes) / (end.at - p.at).Seconds())
			return head, tail
		}
	}
	return 0, 0
}

// httpPortal asks over plain http for a page that does not exist of a host that nobody has a reason to block. A portal
// sends to its own page, or shows it there; then the same host does not prove itself over https. That is a portal only if
// nobody else answers: alone reports that.
func httpPortal(ctx context.Context, x *Exam) (f Finding, inside, alone bool) {
	if x.Net.Control == "" {
		return Finding{}, false, false
	}
	line := httpLineOf(x, true, nil)
	defer line.Close()
	u := &url.URL{Scheme: "http", Host: x.Net.Control, Path: "/" + strings.ToLower(rand.Text())}
	if via, err := line.proxy(u); err != nil || via != nil {
		return Finding{}, false, false // the proxy's pages are no portal's
	}
	a := line.ask(ctx, httpAsk{url: u, limit: httpSmall, keep: true, wait: httpWait(x.Net.AnswerWait, 5*time.Second) / 2})
	moved := len(a.hops) > 0 && !httpKin(a.hops[len(a.hops)-1], x.Net.Control)
	// A redirect that cannot be followed, to a name that is known inside alone, says as much.
	if a.status != http.StatusNetworkAuthenticationRequired && !moved {
		c := x.lookAtControl(ctx, nil)
		if alone = a.ok() && a.html() && len(a.hops) == 0 && (c.way.Connect.failed() || c.way.TLS.failed()); !alone {
			return Finding{}, false, false
		}
	}
	f = Finding{Code: codeCaptivePortal, Severity: Fault, Subject: x.Net.Control, Op: transport.OpRead,
		Args:  map[string]string{"Host": x.Net.Control, "Status": strconv.Itoa(a.status), "Text": http.StatusText(a.status)},
		Facts: []Fact{{Name: factControlMoved, Answer: No}},
		Fixes: []Fix{{Code: fixLogInPage, Kind: ByHand}}}
	switch {
	case moved:
		f.Facts[0] = Fact{Name: factControlMoved, Answer: Yes, Value: a.url.Hostname()}
	case alone:
		f.Facts[0] = Fact{Name: factControlPage, Answer: Yes, Value: x.Net.Control}
	}
	return f, true, alone
}

// httpKin reports whether one host is the other, with www. before it, or below it.
func httpKin(a, b string) bool {
	name := func(s string) string {
		u := url.URL{Host: strings.ToLower(s)}
		return strings.TrimPrefix(u.Hostname(), "www.")
	}
	a, b = name(a), name(b)
	return a == b || strings.HasSuffix(a, "."+b) || strings.HasSuffix(b, "."+a)
}
