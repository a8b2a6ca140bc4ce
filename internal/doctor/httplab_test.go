package doctor

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/goproxytest"
)

// httpLab is a small internet: names with servers behind them, of which all are on loopback. Every name has an
// address of its own that could be real, which Dial leads to the server.
type httpLab struct {
	t      testing.TB
	up     *goproxytest.Handler
	mu     sync.Mutex
	addrs  map[string]netip.Addr     // of names
	to     map[netip.AddrPort]string // where connections end up; empty for nowhere
	inside map[string]string         // hosts that proxies alone reach, and where
	roots  *x509.CertPool
}

func newHTTPLab(t testing.TB) *httpLab {
	t.Helper()
	up, err := goproxytest.NewHandler(goproxytest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := up.AddModule("golang.org/x/mod", "v0.17.0", map[string]string{"mod.go": "package mod\n"}); err != nil {
		t.Fatal(err)
	}
	if err := up.AddRandom("golang.org/x/mod", "v0.17.0", 160<<10); err != nil {
		t.Fatal(err)
	}
	quote := map[string]string{"quote.go": "package quote\n// " + strings.Repeat("no two lines are the same ", 10) + "\n", "LICENSE": randomText()}
	if err := up.AddModule("rsc.io/quote", "v1.5.2", quote); err != nil {
		t.Fatal(err)
	}
	return &httpLab{t: t, up: up, addrs: map[string]netip.Addr{}, to: map[netip.AddrPort]string{}, inside: map[string]string{}, roots: x509.NewCertPool()}
}

// randomText does not compress, and is the same at each run.
func randomText() string {
	var b strings.Builder
	for i, n := 0, uint32(1); i < 1500; i++ {
		n = n*1664525 + 1013904223
		b.WriteByte('!' + byte(n>>24)%90)
	}
	return b.String()
}

func (l *httpLab) addr(host string) netip.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, ok := l.addrs[host]
	if !ok {
		a = netip.AddrFrom4([4]byte{23, 45, 67, byte(len(l.addrs) + 1)})
		l.addrs[host] = a
	}
	return a
}

// point makes connections to host and port end up at addr.
func (l *httpLab) point(host string, port uint16, addr string) {
	a := l.addr(host)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to[netip.AddrPortFrom(a, port)] = addr
}

// https serves h for host, below example.com, with HTTP/2 or without.
func (l *httpLab) https(host string, h http.Handler, h2 bool) {
	l.t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = h2
	s.Config.ErrorLog = quietLog()
	s.StartTLS()
	l.t.Cleanup(s.Close)
	l.roots.AddCert(s.Certificate())
	l.point(host, 443, s.Listener.Addr().String())
}

// http serves h for host without TLS.
func (l *httpLab) http(host string, h http.Handler) {
	l.t.Helper()
	s := httptest.NewServer(h)
	l.t.Cleanup(s.Close)
	l.point(host, 80, s.Listener.Addr().String())
}

func (l *httpLab) lookup(_ context.Context, _, host string) ([]netip.Addr, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a, ok := l.addrs[host]; ok {
		return []netip.Addr{a}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (l *httpLab) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	to, ok := l.to[ap]
	l.mu.Unlock()
	switch {
	case !ok: // nothing listens there
		return nil, &net.OpError{Op: "dial", Net: network, Err: connRefused()}
	case to == "":
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
	}
	return (&net.Dialer{}).DialContext(ctx, network, to)
}

// exam is a machine in the lab, with GOPROXY of the given URLs and separators.
func (l *httpLab) exam(goproxy string) *Exam {
	l.t.Helper()
	x := &Exam{OS: "linux", Arch: "amd64", Env: map[string]string{}, SumDB: l.up.GOSUMDB(),
		GoEnv: GoEnv{Values: map[string]string{"GOPROXY": goproxy}, Version: "go1.26.8"},
		Net: Net{Lookup: l.lookup, Dial: l.dial, Roots: l.roots, ResolveWait: time.Second, ConnectWait: time.Second, TLSWait: 5 * time.Second,
			AnswerWait: 700 * time.Millisecond, StallWait: 400 * time.Millisecond}}
	for rest := goproxy; rest != ""; {
		i := strings.IndexAny(rest, ",|")
		entry, sep := rest, byte(0)
		if i >= 0 {
			entry, sep, rest = rest[:i], rest[i], rest[i+1:]
		} else {
			rest = ""
		}
		u, err := url.Parse(entry)
		if err != nil {
			l.t.Fatal(err)
		}
		if u.Scheme == "http" || u.Scheme == "https" {
			u.User = nil
			x.Targets = append(x.Targets, Target{Role: Upstream, URL: u, Sep: sep})
		}
	}
	return x
}

// said is what a check came to, in short: its findings with their severity, and why it could not look.
func said(o Outcome) []string {
	var list []string
	for _, f := range o.Findings {
		list = append(list, fmt.Sprintf("%s %s", f.Severity, f.Code))
	}
	if o.NotRun != "" {
		list = append(list, "not run: "+string(o.NotRun))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func hasFix(o Outcome, code, value string) bool {
	for _, f := range o.Findings {
		for _, fix := range f.Fixes {
			if fix.Code == code && (value == "" || fix.Value == value) {
				return true
			}
		}
	}
	return false
}

// hide takes host away from everybody but proxies.
func (l *httpLab) hide(host string) {
	a := l.addr(host)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inside[host] = l.to[netip.AddrPortFrom(a, 443)]
	delete(l.to, netip.AddrPortFrom(a, 443))
}

// with sets variables and finds out the proxies of the targets as the go command does.
func (l *httpLab) with(x *Exam, vars ...string) *Exam {
	l.t.Helper()
	for _, v := range vars {
		k, value, _ := strings.Cut(v, "=")
		x.Env[k] = value
	}
	for i, t := range x.Targets {
		via, err := EnvProxy(x.Env)(t.URL)
		if err != nil {
			l.t.Fatal(err)
		}
		x.Targets[i].Proxy = via
	}
	return x
}

// textsFit wants a text for each finding, fact and fix, and the data that it takes.
func textsFit(t *testing.T, findings []Finding) {
	t.Helper()
	texts := labTexts(t)
	fit := func(code string, args map[string]string, more ...string) {
		t.Helper()
		text, ok := texts[code]
		if !ok {
			t.Errorf("no text %s", code)
		}
		for _, m := range regexp.MustCompile(`\{\{\.(\w+)\}\}`).FindAllStringSubmatch(text, -1) {
			if _, ok := args[m[1]]; !ok && !slices.Contains(more, m[1]) {
				t.Errorf("%s takes %s, which is not there: %v", code, m[1], args)
			}
		}
	}
	for _, f := range findings {
		fit("doctor.finding."+f.Code, f.Args, "Subject", "Op")
		for _, fact := range f.Facts {
			fit("doctor.fact."+fact.Name, nil, "Value")
		}
		for _, fix := range f.Fixes {
			fit("doctor.fix."+fix.Code, fix.Args, "Key", "Value", "File")
		}
	}
}

func labTexts(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	files, err := filepath.Glob("../text/messages/en/doctor*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("texts: %q, %v", files, err)
	}
	line := regexp.MustCompile(`(?m)^"([a-z0-9.-]+)" = (.*)$`)
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range line.FindAllStringSubmatch(string(data), -1) {
			texts[m[1]] = m[2]
		}
	}
	return texts
}
