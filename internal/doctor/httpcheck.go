package doctor

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/transport"
)

// Findings about what a server answers once it is reached.
const (
	codeHTTPStalled    = "http-stalled"     // no answer, or none to its end
	codeHTTPFlaky      = "http-flaky"       // the first try failed, the second did not
	codeHTTPLate       = "http-late"        // an answer comes, and takes longer than anybody expects
	codeHTTPThrottled  = "http-throttled"   // slowed down on the way
	codeHTTPSlow       = "http-slow"        // slow, and no sign that somebody makes it so
	codeHTTPCut        = "http-cut"         // the connection is cut before the answer is whole
	codeHTTPForbidden  = "http-forbidden"   // 403 or 451
	codeHTTPLogin      = "http-login"       // 401
	codeHTTPStatus     = "http-status"      // another 4xx or 5xx
	codeHTTPNoProxy    = "http-not-a-proxy" // a page for people where a Go module proxy should be
	codeCaptivePortal  = "captive-portal"
	codeRedirectBroken = "redirect-blocked" // the host where the files are cannot be reached
)

// Facts of these checks.
const (
	factAnswers      = "answers"
	factOverHTTP1    = "http1-works"
	factOverHTTP2    = "http2-works"
	factFirstByte    = "first-byte"
	factRate         = "rate"
	factStoppedAt    = "stopped-at"
	factFirstRate    = "first-rate"
	factOtherRate    = "other-rate"
	factRedirect     = "redirects-to"
	factControlMoved = "control-redirected"
	factControlPage  = "control-page"
)

// Fixes of these checks.
const (
	fixDropProxy  = "drop-upstream"
	fixPipe       = "use-pipe"
	fixAllowHost  = "allow-host"
	fixNetrc      = "add-netrc"
	fixLogInPage  = "log-in-portal"
	fixCorrectURL = "correct-goproxy"
)

func httpCodes() []string {
	return []string{codeHTTPStalled, codeHTTPFlaky, codeHTTPLate, codeHTTPThrottled, codeHTTPSlow, codeHTTPCut, codeHTTPForbidden,
		codeHTTPLogin, codeHTTPStatus, codeHTTPNoProxy, codeCaptivePortal, codeRedirectBroken}
}

func httpFacts() []string {
	return []string{factAnswers, factOverHTTP1, factOverHTTP2, factFirstByte, factRate, factStoppedAt, factFirstRate, factOtherRate,
		factRedirect, factControlMoved, factControlPage}
}

func httpFixes() []string {
	return []string{fixDropProxy, fixPipe, fixAllowHost, fixNetrc, fixLogInPage, fixCorrectURL}
}

func httpChecks() []Check {
	return []Check{{ID: "http", Group: Network, Run: httpCheck}}
}

// The module that is asked for to see how a server answers: on every mirror of public modules, and
// with a zip of 165 kB, in which a throttle shows.
func httpProbe(kind goproxy.Kind) goproxy.Request {
	req := goproxy.Request{Path: "golang.org/x/mod", Kind: kind}
	if kind != goproxy.List && kind != goproxy.Latest {
		req.Version = "v0.17.0"
	}
	return req
}

const (
	httpSmall    = 64 << 10        // read of an answer that is not measured
	httpBodyTime = 4 * time.Second // of measuring a rate
	httpBodySize = 1 << 20
	httpSlowRate = 64 << 10 // bytes a second, above which nobody is slow
	httpTimes    = 8        // how much faster something else must be
)

// An httpLook is what was seen of one target.
type httpLook struct {
	t        Target
	answered bool
	unasked  bool // there is no connection, which is for others to explain
	first    httpAnswer
	body     httpAnswer
	findings []Finding
	facts    []Fact
	trouble  func() // told at once that something failed
}

// httpCheck asks every target for something small, and upstreams for a zip.
func httpCheck(ctx context.Context, x *Exam) Outcome {
	var looks []*httpLook
	for _, t := range x.Targets {
		if t.URL != nil && (t.Role == Upstream || t.Role == SDKHost) && strings.HasPrefix(t.URL.Scheme, "http") {
			looks = append(looks, &httpLook{t: t})
		}
	}
	if len(looks) == 0 {
		return Outcome{NotRun: NotNeeded}
	}
	var portal Finding
	inside, alone := false, false
	var trouble sync.Once
	var wg, side sync.WaitGroup
	for _, l := range looks {
		// Whether there is a portal is asked beside what else is found out about a failure: both take long.
		l.trouble = func() {
			trouble.Do(func() {
				side.Go(func() { portal, inside, alone = httpPortal(ctx, x) })
			})
		}
		wg.Go(func() { l.look(ctx, x) })
	}
	wg.Wait()
	var o Outcome
	var beyond []string
	for _, l := range looks {
		l.judgeRate(x, looks)
		l.settle(looks)
		l.trace(x)
		if l.unasked {
			beyond = append(beyond, subjectOf(l.t))
		}
		o.Findings = append(o.Findings, l.findings...)
		o.Facts = append(o.Facts, l.facts...)
	}
	side.Wait()
	if inside && !(alone && slices.ContainsFunc(looks, func(l *httpLook) bool { return l.answered && !(l.t.URL.Scheme == "http" && l.first.html()) })) {
		o.Findings = append([]Finding{portal}, o.Findings...)
	}
	if len(beyond) > 0 {
		o.NotRun, o.Detail = NoNetwork, strings.Join(beyond, " ")
	}
	return o
}

// look asks one target and judges what it sees, except for the rate.
func (l *httpLook) look(ctx context.Context, x *Exam) {
	line := httpLineOf(x, false, nil)
	defer line.Close()
	base := x.httpBase(l.t)
	u := base
	if l.t.Role == Upstream {
		u, _ = httpFile(base, httpProbe(goproxy.Info)) // of a valid name
	}
	ask := httpAsk{url: u, limit: httpSmall, keep: true}
	l.first = l.patient(ctx, x, line, ask)
	a := l.first
	switch {
	case a.failure == transport.Canceled:
		l.unasked = true
		return
	case a.unreached() && len(a.hops) == 0:
		l.unasked = true
		l.facts = append(l.facts, l.fact(factAnswers, Unmeasured, "", NoNetwork))
		return
	case a.err != nil:
		return // patient has said it
	}
	l.answered = true
	l.facts = append(l.facts, l.fact(factAnswers, Yes, fmt.Sprintf("%d, %s", a.status, httpProto(a)), ""),
		l.fact(factFirstByte, Yes, httpMillis(a.took.FirstByte), ""))
	if l.judgeStatus(ctx, x, line) && len(l.findings) == 0 && l.t.Role == Upstream {
		l.measure(ctx, x, line, base)
	}
}

func (l *httpLook) fact(name string, answer Answer, value string, why Reason) Fact {
	if value != "" {
		value = l.t.URL.Hostname() + ": " + value
	} else {
		value = l.t.URL.Hostname()
	}
	return Fact{Name: name, Answer: answer, Value: value, Reason: why}
}

func httpProto(a httpAnswer) string {
	if a.h2 {
		return "HTTP/2"
	}
	return "HTTP/1.1"
}

func httpMillis(d time.Duration) string {
	if d < 10*time.Millisecond {
		return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 1, 64) + " ms"
	}
	if d < 10*time.Second {
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	}
	return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
}

// httpSize is a number of bytes for people.
func httpSize(n int64) string {
	switch {
	case n < 1000:
		return strconv.FormatInt(n, 10) + " B"
	case n < 1000_000:
		return strconv.FormatFloat(float64(n)/1000, 'f', 1, 64) + " kB"
	}
	return strconv.FormatFloat(float64(n)/1000_000, 'f', 1, 64) + " MB"
}

// patient asks, and where the answer does not come tells a broken HTTP/2 from a server that is silent, and
// both from a link that loses packets now and then.
func (l *httpLook) patient(ctx context.Context, x *Exam, line *httpLine, ask httpAsk) httpAnswer {
	a := line.ask(ctx, ask)
	if a.err == nil {
		return a
	}
	if ctx.Err() != nil { // it may have come a moment later
		a.failure = transport.Canceled
		return a
	}
	l.trouble()
	if a.unreached() || a.op == transport.OpRedirect {
		if len(a.hops) > 0 {
			l.redirectBroken(ctx, x, a)
		}
		return a
	}
	return l.again(ctx, x, line, ask, a)
}

// again finds out what kept the answer a from coming: HTTP/1.1 first, then the same way as before once more. Only
// what fails twice is put down to the way, and only what HTTP/1.1 does better to HTTP/2.
func (l *httpLook) again(ctx context.Context, x *Exam, line *httpLine, ask httpAsk, a httpAnswer) httpAnswer {
	h1 := httpLineOf(x, true, line.proxy)
	defer h1.Close()
	line.tr.CloseIdleConnections()
	var plain, second httpAnswer
	var wg sync.WaitGroup
	ask.wait = httpWait(x.Net.AnswerWait, 5*time.Second) * 13 / 10 // who took too long before may be near
	wg.Go(func() { plain = h1.ask(ctx, ask) })
	var ferry Answer
	wg.Go(func() { ferry = ferryGets(ctx, x, ask) })
	if a.h2 {
		wg.Go(func() {
			fresh := httpLineOf(x, false, line.proxy)
			defer fresh.Close()
			second = fresh.ask(ctx, ask)
		})
	} else {
		second = httpAnswer{err: a.err}
	}
	wg.Wait()
	if plain.failure == transport.Canceled || second.failure == transport.Canceled {
		return httpAnswer{op: a.op, failure: transport.Canceled, err: context.Cause(ctx)}
	}
	args := map[string]string{"Host": l.t.URL.Hostname(), "Addr": a.addr, "Err": httpText(a)}
	switch {
	case a.h2 && second.err != nil && plain.err == nil:
		f := l.finding(x, string(VerdictH2Broken), a, args)
		f.Facts = append(f.Facts, Fact{Name: factOverHTTP2, Answer: No, Value: httpText(second)},
			Fact{Name: factOverHTTP1, Answer: Yes, Value: httpMillis(plain.took.Total())})
		f.Fixes = append([]Fix{{Code: fixNoHTTP2, Kind: SetEnv, Key: "GODEBUG", Value: withGodebug(x.Env["GODEBUG"], "http2client", "0")}}, f.ferry(ferry)...)
		l.findings = append(l.findings, f)
		return plain
	case second.err == nil || plain.err == nil:
		f := l.finding(x, codeHTTPFlaky, a, args)
		f.Severity = Warning
		if a.failure == transport.TimedOut { // it takes long, and comes
			f.Code, f.Severity = codeHTTPLate, Note
		}
		f.Fixes = f.ferry(ferry)
		l.findings = append(l.findings, f)
		if second.err == nil {
			return second
		}
		return plain
	}
	code := codeHTTPStalled
	if a.failure != transport.TimedOut && a.failure != transport.Stalled {
		code = codeHTTPCut
	}
	f := l.finding(x, code, a, args)
	f.Facts = append(f.Facts, Fact{Name: factOverHTTP1, Answer: No, Value: httpText(plain)})
	if a.read > 0 {
		f.Facts = append(f.Facts, Fact{Name: factStoppedAt, Answer: Yes, Value: httpSize(a.read) + httpOf(a.length)})
	}
	f.Fixes = append(f.ferry(ferry), l.otherWays(x)...)
	l.findings = append(l.findings, f)
	return a
}

func httpOf(length int64) string {
	if length < 0 {
		return ""
	}
	return " / " + httpSize(length)
}

// finding is one about the target, as bad as it is for the go command.
func (l *httpLook) finding(x *Exam, code string, a httpAnswer, args map[string]string) Finding {
	op := a.op
	if op == "" {
		op = transport.OpRead
	}
	return Finding{Code: code, Severity: x.httpSeverity(l.t, a), Subject: subjectOf(l.t), Op: op, Args: args}
}

// httpSeverity is how bad it is that t fails as a says: the go command goes on to what stands behind "|" after
// any error but not after silence, for which it waits for ever, and it comes to later entries seldom.
func (x *Exam) httpSeverity(t Target, a httpAnswer) Severity {
	first := true
	for _, other := range x.Targets {
		if httpSame(other, t) {
			break
		}
		first = first && other.Role != Upstream
	}
	silent := a.failure == transport.Stalled || a.failure == transport.TimedOut && a.op == transport.OpRead
	switch {
	case t.Role != Upstream, !first:
		return Warning
	case t.Sep == '|' && !silent:
		return Warning
	}
	return Fault
}

func httpSame(a, b Target) bool {
	return a.Role == b.Role && a.URL != nil && b.URL != nil && a.URL.String() == b.URL.String()
}

// ferryGets reports whether goferry's own client, with its ways around obstacles, gets what the go command does not.
// Empty: nobody could look.
func ferryGets(ctx context.Context, x *Exam, ask httpAsk) Answer {
	if x.Net.HTTP == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, ask.wait)
	defer cancel()
	status, err := ferryAsk(ctx, x, ask)
	switch {
	case err == nil && status == http.StatusOK:
		return Yes
	case ctx.Err() != nil:
		return Unmeasured
	}
	return No
}

// ferry adds what ferryGets said, and the fix that it is if it works.
func (f *Finding) ferry(gets Answer) []Fix {
	switch gets {
	case Yes:
		f.Facts = append(f.Facts, Fact{Name: factGoferry, Answer: Yes})
		return []Fix{{Code: fixGoferryOn, Kind: RunCommand, Command: []string{"goferry", "on"}}}
	case No:
		f.Facts = append(f.Facts, Fact{Name: factGoferry, Answer: No})
	case Unmeasured:
		f.Facts = append(f.Facts, Fact{Name: factGoferry, Answer: Unmeasured, Reason: OutOfTime})
	}
	return nil
}

// ferryAsk asks by way of goferry's own client, and reads what ask wants of the body.
func ferryAsk(ctx context.Context, x *Exam, ask httpAsk) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, ask.url.String(), nil)
	if err != nil {
		return 0, err
	}
	resp, err := x.Net.HTTP.Do(req)
	if err != nil {
		return 0, transport.Clean(err)
	}
	defer resp.Body.Close()
	_, err = httpDrain(resp.Body, ask.limit)
	return resp.StatusCode, err
}
