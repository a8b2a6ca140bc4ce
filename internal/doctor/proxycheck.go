package doctor

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/transport"
)

// Findings about proxies.
const (
	codeProxyBroken  = "proxy-broken"      // nothing there, or nothing that answers
	codeProxyAuth    = "proxy-auth"        // it wants a log-in, or another one
	codeProxyLogin   = "proxy-auth-method" // it wants a log-in of a kind that Go does not know
	codeProxyKind    = "proxy-kind"        // it is a proxy of another kind than the URL says
	codeProxyRefuses = "proxy-refuses"     // it does not connect to this host
	codeProxyNotRead = "proxy-not-read"    // a variable that Go does not read, or not for https
	codeProxySkipped = "proxy-skipped"     // NO_PROXY keeps a host from the proxy that it needs
	codeProxyTwo     = "proxy-two-values"  // HTTPS_PROXY and https_proxy differ
	codeProxyValue   = "proxy-value"       // no proxy can be made of the value
	codeNoProxyEntry = "no-proxy-entry"    // an entry of NO_PROXY that matches nothing
)

// Facts about proxies.
const (
	factProxyAnswers = "proxy-answers"
	factDirectWorks  = "direct-works"
	factProxyHelps   = "proxy-reaches"
	factProxySpeaks  = "proxy-speaks"
	factProxyMethods = "proxy-methods"
	factProxyInUse   = "proxy-in-use"
)

// Fixes about proxies.
const (
	fixUnsetProxy    = "unset-proxy"
	fixStartProxy    = "start-proxy"
	fixSetProxy      = "set-proxy"
	fixProxyPassword = "proxy-password"
	fixProxyHelper   = "proxy-helper"
	fixNoProxyAdd    = "no-proxy-add"
	fixNoProxyDrop   = "no-proxy-drop"
)

func proxyCodes() []string {
	return []string{codeProxyBroken, codeProxyAuth, codeProxyLogin, codeProxyKind, codeProxyRefuses, codeProxyNotRead, codeProxySkipped,
		codeProxyTwo, codeProxyValue, codeNoProxyEntry}
}

func proxyFacts() []string {
	return []string{factProxyAnswers, factDirectWorks, factProxyHelps, factProxySpeaks, factProxyMethods, factProxyInUse}
}

func proxyFixes() []string {
	return []string{fixUnsetProxy, fixStartProxy, fixSetProxy, fixProxyPassword, fixProxyHelper, fixNoProxyAdd, fixNoProxyDrop}
}

func proxyChecks() []Check {
	return []Check{{ID: "proxies", Group: Proxies, Run: proxyCheck}}
}

// EnvProxy says which proxy the go command goes through, by its rules and from env alone: HTTPS_PROXY for
// https, HTTP_PROXY for http, NO_PROXY, the lower-case names where the others are not set, and never for loopback.
// Source: https://pkg.go.dev/net/http#ProxyFromEnvironment.
func EnvProxy(env map[string]string) func(*url.URL) (*url.URL, error) {
	config := httpproxy.Config{
		HTTPProxy:  cmp.Or(env["HTTP_PROXY"], env["http_proxy"]),
		HTTPSProxy: cmp.Or(env["HTTPS_PROXY"], env["https_proxy"]),
		NoProxy:    cmp.Or(env["NO_PROXY"], env["no_proxy"]),
		CGI:        env["REQUEST_METHOD"] != "",
	}
	return config.ProxyFunc()
}

// proxyVar is the variable by which the go command found a proxy for scheme, the one that is set.
func proxyVar(x *Exam, scheme string) string {
	upper := strings.ToUpper(scheme) + "_PROXY"
	if x.Env[upper] == "" && x.Env[strings.ToLower(upper)] != "" {
		return strings.ToLower(upper)
	}
	return upper
}

// proxyShown is a proxy without user and password.
func proxyShown(u *url.URL) string {
	v := *u
	v.User = nil
	return strings.TrimSuffix(v.String(), "/")
}

// A proxyTry is a target with the proxy that it is asked through, and what came of both ways.
type proxyTry struct {
	t       Target
	proxy   *url.URL
	through httpAnswer
	direct  httpAnswer
	other   httpAnswer // by way of the proxy, of another host, where that is to be known
}

// proxyAsk asks t by way of proxy, nil for none. What the answer says is of no matter.
func proxyAsk(ctx context.Context, x *Exam, t Target, proxy *url.URL) httpAnswer {
	line := httpLineOf(x, false, func(*url.URL) (*url.URL, error) { return proxy, nil })
	defer line.Close()
	line.tr.DisableKeepAlives = true
	u := t.URL
	if t.Role == Upstream {
		u, _ = httpFile(x.httpBase(t), httpProbe(goproxy.Info))
	}
	return line.ask(ctx, httpAsk{url: u, limit: 1 << 10, wait: httpWait(x.Net.AnswerWait, 5*time.Second) * 4 / 5})
}

// proxyPasses reports whether the proxy let us through: what the server behind it does is another matter.
func proxyPasses(a httpAnswer) bool {
	return a.status != 0 && a.status != http.StatusProxyAuthRequired || a.op == transport.OpTLS || a.op == transport.OpRead
}

// proxyCheck asks through every proxy in use, and beside that directly.
func proxyCheck(ctx context.Context, x *Exam) Outcome {
	var o Outcome
	var tries []*proxyTry
	var direct []Target
	for _, t := range x.Targets {
		if t.URL == nil || !strings.HasPrefix(t.URL.Scheme, "http") {
			continue
		}
		if t.Proxy == nil {
			direct = append(direct, t)
			continue
		}
		tries = append(tries, &proxyTry{t: t, proxy: t.Proxy})
	}
	o.Findings = append(o.Findings, proxySettings(x)...)
	var wg sync.WaitGroup
	for _, try := range tries {
		wg.Go(func() { try.through = proxyAsk(ctx, x, try.t, try.proxy) })
		wg.Go(func() { try.direct = proxyAsk(ctx, x, try.t, nil) })
	}
	var unused []Finding
	wg.Go(func() { unused = proxyUnused(ctx, x, direct) })
	wg.Wait()
	if ctx.Err() != nil { // what failed may have failed for that
		o.NotRun = OutOfTime
		return o
	}
	seen := map[string]bool{}
	for _, try := range tries {
		for _, f := range try.judge(ctx, x) {
			// A dead proxy is one finding, however many hosts are behind it.
			key := f.Code + " " + f.Subject
			if !seen[key] {
				seen[key] = true
				o.Findings = append(o.Findings, f)
			}
		}
		if try.through.status != 0 {
			o.Facts = append(o.Facts, Fact{Name: factProxyInUse, Answer: Yes, Value: try.t.URL.Hostname() + ": " + proxyShown(try.proxy)})
		}
	}
	o.Findings = append(o.Findings, unused...)
	if len(tries) == 0 && len(o.Findings) == 0 {
		o.NotRun = NotNeeded
	}
	return o
}

// judge says why the proxy did not let us through.
func (try *proxyTry) judge(ctx context.Context, x *Exam) []Finding {
	a := try.through
	if a.failure == transport.Canceled || proxyPasses(a) && !try.mute(ctx, x) {
		return nil
	}
	if a.op == transport.OpProxy && strings.HasPrefix(try.proxy.Scheme, "socks5") {
		try.socks(ctx, x, &a)
	}
	f := Finding{Severity: Fault, Subject: proxyShown(try.proxy), Op: transport.OpProxy, Args: map[string]string{
		"Proxy": proxyShown(try.proxy), "Host": try.t.URL.Hostname(), "Var": proxyVar(x, try.t.URL.Scheme), "Err": httpText(a)}}
	switch {
	case try.direct.status != 0:
		f.Facts = append(f.Facts, Fact{Name: factDirectWorks, Answer: Yes, Value: try.t.URL.Hostname()})
	case try.direct.failure == transport.Canceled:
		f.Facts = append(f.Facts, Fact{Name: factDirectWorks, Answer: Unmeasured, Reason: OutOfTime})
	default:
		f.Facts = append(f.Facts, Fact{Name: factDirectWorks, Answer: No, Value: httpText(try.direct)})
	}
	switch {
	case a.failure == transport.ProxyAuth || a.status == http.StatusProxyAuthRequired:
		try.login(x, &f)
	case a.failure == transport.CaptivePortal:
		f.Code, f.Fixes = codeCaptivePortal, []Fix{{Code: fixLogInPage, Kind: ByHand}}
		f.Args["Status"], f.Args["Text"] = "511", http.StatusText(http.StatusNetworkAuthenticationRequired)
	case a.op == transport.OpProxy && proxyAnswered(a):
		f.Code = codeProxyRefuses
		f.Subject = subjectOf(try.t)
		if try.direct.status != 0 {
			f.Fixes = append(f.Fixes, try.around(x))
		}
		f.Fixes = append(f.Fixes, Fix{Code: fixAllowHost, Kind: ByHand, Args: map[string]string{"Host": try.t.URL.Hostname()}})
	default:
		try.broken(ctx, x, &f)
	}
	return []Finding{f}
}

// mute reports whether it is the proxy that says nothing: for plain http it takes the request itself, so that its silence looks as that
// of the host does. It says nothing of another host, either, or the host answers without it.
func (try *proxyTry) mute(ctx context.Context, x *Exam) bool {
	a := try.through
	if try.t.URL.Scheme != "http" || !strings.HasPrefix(try.proxy.Scheme, "http") || a.status != 0 || a.op != transport.OpRead {
		return false
	}
	if try.direct.status != 0 || x.Net.Control == "" {
		return try.direct.status != 0
	}
	try.other = proxyAsk(ctx, x, Target{Role: SDKHost, URL: &url.URL{Scheme: "http", Host: x.Net.Control, Path: "/"}}, try.proxy)
	return try.other.status == 0 && try.other.op == transport.OpRead
}

// socks asks a SOCKS proxy once more: of what it answers, net/http says words alone.
func (try *proxyTry) socks(ctx context.Context, x *Exam, a *httpAnswer) {
	ctx, cancel := context.WithTimeout(ctx, x.Net.connectWait())
	defer cancel()
	t := try.t
	t.Proxy = try.proxy
	conn, err := x.dialThrough(ctx, t, nil)
	if err == nil {
		conn.Close()
		return
	}
	var reply socksReply
	if e, ok := transport.Explain(err); ok && (e.Failure == transport.ProxyAuth || errors.As(err, &reply)) {
		a.err, a.failure = err, e.Failure
	}
}

// proxyAnswered reports whether the proxy said no by its own protocol.
func proxyAnswered(a httpAnswer) bool {
	var answer *errProxyAnswer
	var reply socksReply
	return errors.As(a.err, &answer) || errors.As(a.err, &reply)
}

// login tells a password that is missing from one that is wrong, and from a log-in that Go has not.
func (try *proxyTry) login(x *Exam, f *Finding) {
	methods := slices.Clone(try.through.methods)
	if len(methods) == 0 {
		methods = proxyMethods(try.through.header)
	}
	f.Code = codeProxyAuth
	f.Args["Methods"] = strings.Join(methods, ", ")
	if len(methods) > 0 {
		f.Facts = append(f.Facts, Fact{Name: factProxyMethods, Answer: Yes, Value: strings.Join(methods, ", ")})
	}
	basic := len(methods) == 0 || slices.ContainsFunc(methods, func(m string) bool { return strings.EqualFold(m, "basic") })
	if !basic {
		f.Code = codeProxyLogin
		f.Fixes = []Fix{{Code: fixProxyHelper, Kind: ByHand, Args: map[string]string{"Proxy": try.proxy.Host}}}
		return
	}
	with := *try.proxy
	with.User = nil
	value := strings.Replace(proxyShown(&with), "://", "://USER:PASSWORD@", 1)
	f.Fixes = []Fix{{Code: fixProxyPassword, Kind: SetEnv, Key: f.Args["Var"], Value: value}}
}

// around is NO_PROXY with the host of the target in it.
func (try *proxyTry) around(x *Exam) Fix {
	name := "NO_PROXY"
	if x.Env[name] == "" && x.Env["no_proxy"] != "" {
		name = "no_proxy"
	}
	list := strings.Trim(strings.TrimSpace(x.Env[name])+","+try.t.URL.Hostname(), ",")
	return Fix{Code: fixNoProxyAdd, Kind: SetEnv, Key: name, Value: list, Args: map[string]string{"Host": try.t.URL.Hostname()}}
}

// broken looks whether what listens there is a proxy of another kind.
func (try *proxyTry) broken(ctx context.Context, x *Exam, f *Finding) {
	f.Code = codeProxyBroken
	name := f.Args["Var"]
	a := try.through
	if a.op == transport.OpProxy || a.op == transport.OpRead { // it did connect
		f.Facts = append(f.Facts, Fact{Name: factProxyAnswers, Answer: Yes, Value: try.proxy.Host})
		if kind := proxyKind(ctx, x, try); kind != "" {
			right := *try.proxy
			right.Scheme = kind
			f.Code = codeProxyKind
			f.Args["Kind"] = kind
			f.Facts = append(f.Facts, Fact{Name: factProxySpeaks, Answer: Yes, Value: kind})
			f.Fixes = []Fix{{Code: fixSetProxy, Kind: SetEnv, Key: name, Value: right.String()}}
			return
		}
	} else {
		f.Facts = append(f.Facts, Fact{Name: factProxyAnswers, Answer: No, Value: httpText(a)})
	}
	start := Fix{Code: fixStartProxy, Kind: ByHand, Args: map[string]string{"Proxy": try.proxy.Host}}
	unset := Fix{Code: fixUnsetProxy, Kind: SetEnv, Key: name}
	if other := proxyOther(x, name); other != "" && try.direct.status != 0 {
		// Without the one variable the other would count.
		f.Fixes = []Fix{unset, {Code: fixUnsetProxy, Kind: SetEnv, Key: other}, start}
	} else if try.direct.status != 0 {
		f.Fixes = []Fix{unset, start}
	} else {
		f.Fixes = []Fix{start, unset}
	}
}

// proxyOther is the same name in the other case, if that is set too.
func proxyOther(x *Exam, name string) string {
	other := strings.ToLower(name)
	if other == name {
		other = strings.ToUpper(name)
	}
	if x.OS == "windows" || x.Env[other] == "" {
		return ""
	}
	return other
}

// proxyKind is the scheme that belongs to what listens at the proxy's address; empty where its own does, or none is found.
func proxyKind(ctx context.Context, x *Exam, try *proxyTry) string {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	own := strings.TrimSuffix(try.proxy.Scheme, "h")
	if own != "socks5" && proxySOCKS(ctx, x, try.proxy) {
		return "socks5"
	}
	for _, kind := range []string{"http", "https"} {
		if kind == own {
			continue
		}
		as := *try.proxy
		as.Scheme = kind
		if as.Port() == "" {
			continue // each kind has a port of its own
		}
		a := proxyAsk(ctx, x, try.t, &as)
		if proxyPasses(a) || a.failure == transport.ProxyAuth || proxyAnswered(a) {
			return kind
		}
	}
	return ""
}

// proxySOCKS reports whether a SOCKS5 server answers at proxy. It speaks by RFC 1928, section 3.
func proxySOCKS(ctx context.Context, x *Exam, proxy *url.URL) bool {
	port := proxy.Port()
	if port == "" {
		return false
	}
	line := httpLineOf(x, true, nil)
	conn, err := line.dial(ctx, "tcp", net.JoinHostPort(proxy.Hostname(), port))
	if err != nil {
		return false
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		deadline = minTime(deadline, time.Now().Add(time.Second))
		conn.SetDeadline(deadline)
	}
	if _, err := conn.Write([]byte{5, 2, 0, 2}); err != nil {
		return false
	}
	var answer [2]byte
	_, err = io.ReadFull(conn, answer[:])
	return err == nil && answer[0] == 5 && (answer[1] == 0 || answer[1] == 2 || answer[1] == 0xff)
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// proxyPort is a port as it may stand behind a host.
func proxyPort(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n > 0 && n < 1<<16
}
