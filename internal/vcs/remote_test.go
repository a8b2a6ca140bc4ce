package vcs

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/goproxy"
)

const lib = "github.com/acme/lib"

func TestSmartHTTP(t *testing.T) {
	l := newLab(t)
	srv := l.gitServer()
	l.insteadOf("https://github.com/", srv.URL+"/")
	h := l.lib()
	s := l.source()
	if got := versionOf(t, s, latest(lib)); got != "v1.1.0" {
		t.Errorf("latest is %s", got)
	}
	if got, want := zipHash(t, s, zipOf(lib, "v1.0.0")), l.plain("mod", "download", "-json", lib+"@v1.0.0").Sum; got != want {
		t.Errorf("zip has %s, want %s", got, want)
	}
	// The server gives any commit to those who know its name. It does not count all the same.
	r := &repo{l, filepath.Join(l.repos, "acme", "lib")}
	r.git("config", "uploadpack.allowAnySHA1InWant", "true")
	r.git("config", "uploadpack.allowFilter", "true")
	r.git("checkout", "-q", "--detach")
	pull := r.commit(map[string]string{"lib.go": "package lib // evil\n"})
	r.git("update-ref", "refs/pull/1/head", pull)
	r.git("checkout", "-q", "main")
	for _, req := range []goproxy.Request{
		info(lib, pull), info(lib, "v9.9.9"), list("github.com/acme/missing"), info("github.com/acme/missing", "v1.0.0"), latest(lib + "/none"),
	} {
		fails(t, s, req, goproxy.ErrNotExist)
	}
	refs := parseRefs(r.git("ls-remote", "."))
	for rev, want := range map[string]bool{pull: false, pull[:12]: false, h.first: true, h.last[:12]: true} {
		got, err := s.fetchHistory(t.Context(), srv.URL+"/acme/lib", refs, rev)
		if err != nil || got != want {
			t.Errorf("history has %s: %v, %v, want %v", rev, got, err, want)
		}
	}
}

func TestServerAnswers(t *testing.T) {
	for _, tt := range []struct {
		status int
		want   error
		hint   string
	}{
		{404, goproxy.ErrNotExist, ""}, {410, goproxy.ErrNotExist, ""}, {401, goproxy.ErrBlocked, "vcs.hint.credentials"}, {403, goproxy.ErrBlocked, "vcs.hint.credentials"},
		{451, goproxy.ErrBlocked, "vcs.hint.unreachable"}, {429, goproxy.ErrUnavailable, "vcs.hint.unreachable"}, {500, goproxy.ErrUnavailable, "vcs.hint.unreachable"},
		{503, goproxy.ErrUnavailable, "vcs.hint.unreachable"},
	} {
		t.Run(http.StatusText(tt.status), func(t *testing.T) {
			l := newLab(t)
			srv := l.gitServer()
			srv.status.Store(int32(tt.status))
			l.insteadOf("https://github.com/", srv.URL+"/")
			s := l.source()
			for _, req := range []goproxy.Request{list(lib), info(lib, "v1.0.0"), latest(lib)} {
				e := fails(t, s, req, tt.want)
				if e.HintCode != tt.hint || tt.hint != "" && !strings.Contains(e.Hint, "git ls-remote https://github.com/acme/lib") {
					t.Errorf("hint %q: %s", e.HintCode, e.Hint)
				}
			}
		})
	}
}

// A server that cannot be reached has said nothing.
func TestUnreachable(t *testing.T) {
	l := newLab(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	l.insteadOf("https://github.com/", "http://name:secret@"+closed.Addr().String()+"/")
	s := l.source()
	for _, req := range []goproxy.Request{list(lib), latest(lib), info(lib, "v1.0.0"), info(lib, "main"), mod(lib, "v1.0.0"), zipOf(lib, "v1.0.0")} {
		if e := fails(t, s, req, goproxy.ErrUnavailable); e.HintCode != "vcs.hint.unreachable" {
			t.Errorf("%v: hint %q", req, e.HintCode)
		}
	}
}

// A repository that has been reached before, and is not now, has said nothing either.
func TestUnreachableLater(t *testing.T) {
	l := newLab(t)
	srv := l.gitServer()
	l.insteadOf("https://github.com/", srv.URL+"/")
	l.lib()
	s := l.source()
	read(t, s, info(lib, "main")) // leaves a whole clone in the go command's cache
	srv.status.Store(http.StatusBadGateway)
	for _, req := range []goproxy.Request{list(lib), latest(lib + "/v2"), info(lib, "v9.0.0"), info(lib, "main"), info(lib, "other"), info(lib, "v1"), info(lib, "0123456789ab")} {
		fails(t, s, req, goproxy.ErrUnavailable)
	}
	for _, known := range []string{"v1.1.0", "v1.0.0"} { // tags and commits do not change
		if got := versionOf(t, s, info(lib, known)); got != known {
			t.Errorf("%s, which has been fetched, is %s", known, got)
		}
	}
}

// The transfer breaks although the refs can be listed: nothing is known about the version.
func TestTransferBreaks(t *testing.T) {
	l := newLab(t)
	srv := l.gitServer(func(g *gitServer) {
		g.around = func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body := bufio.NewReader(r.Body)
				if start, _ := body.Peek(200); strings.Contains(string(start), "command=fetch") {
					hangUp(w)
					return
				}
				r.Body = io.NopCloser(body)
				h.ServeHTTP(w, r)
			})
		}
	})
	l.insteadOf("https://github.com/", srv.URL+"/")
	h := l.lib()
	s := l.source()
	if got := read(t, s, list(lib+"/v2")); got != "v2.0.0\n" { // needs no transfer
		t.Errorf("list: %q", got)
	}
	for _, req := range []goproxy.Request{
		info(lib, "v1.0.0"), zipOf(lib, "v1.0.0"), info(lib, "main"), latest(lib), latest(lib + "/none"), info(lib, h.first), mod(lib, "v0.0.0-20240102040405-"+h.first[:12]), info(lib, "v1"),
	} {
		fails(t, s, req, goproxy.ErrUnavailable)
	}
	fails(t, s, info(lib, "v9.0.0"), goproxy.ErrNotExist)
	fails(t, s, info(lib, "nobranch"), goproxy.ErrNotExist)
}

func TestCredentials(t *testing.T) {
	start := func(t *testing.T) (*lab, *gitServer) {
		l := newLab(t)
		srv := l.gitServer(func(g *gitServer) { g.user, g.password = "me", "secret" })
		l.insteadOf("https://github.com/", srv.URL+"/")
		l.lib()
		return l, srv
	}
	works := func(t *testing.T, l *lab) {
		s := l.source()
		if got := versionOf(t, s, latest(lib)); got != "v1.1.0" {
			t.Errorf("latest is %s", got)
		}
		fails(t, s, info(lib, "v9.0.0"), goproxy.ErrNotExist)
	}
	t.Run("none", func(t *testing.T) {
		l, _ := start(t)
		if e := fails(t, l.source(), latest(lib), goproxy.ErrBlocked); e.HintCode != "vcs.hint.credentials" {
			t.Errorf("hint %q", e.HintCode)
		}
	})
	t.Run("netrc", func(t *testing.T) {
		l, _ := start(t)
		l.home(".netrc", "machine 127.0.0.1 login me password secret\n")
		works(t, l)
	})
	t.Run("helper", func(t *testing.T) {
		l, _ := start(t)
		l.home(".gitconfig", "[credential]\n\thelper = \"!f() { test $1 = get && echo username=me && echo password=secret; }; f\"\n")
		works(t, l)
	})
	t.Run("wrong", func(t *testing.T) {
		l, _ := start(t)
		l.home(".netrc", "machine 127.0.0.1 login me password wrong\n")
		fails(t, l.source(), latest(lib), goproxy.ErrBlocked)
	})
}

// ssh stands in for a server: the fake runs on this machine what it is asked to run on the other.
func TestSSH(t *testing.T) {
	start := func(t *testing.T, script string) *lab {
		l := newLab(t)
		fake := filepath.Join(l.dir, "fakessh")
		if err := os.WriteFile(fake, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
		l.insteadOf("https://github.com/", "ssh://git@127.0.0.1"+filepath.ToSlash(l.repos)+"/")
		l.home(".gitconfig", "[user]\n\tname = Lab\n\temail = lab@lab.test\n[init]\n\tdefaultBranch = main\n[core]\n\tsshCommand = "+fake+"\n[ssh]\n\tvariant = simple\n")
		l.lib()
		return l
	}
	t.Run("works", func(t *testing.T) {
		// core.sshCommand is used although no variable names it.
		l := start(t, "for last; do :; done; exec sh -c \"$last\"\n")
		if got := versionOf(t, l.source(), latest(lib)); got != "v1.1.0" {
			t.Errorf("latest is %s", got)
		}
	})
	t.Run("refuses", func(t *testing.T) {
		l := start(t, "echo 'Permission denied (publickey).' >&2; exit 255\n")
		e := fails(t, l.source(), latest(lib), goproxy.ErrUnavailable)
		if e.HintCode != "vcs.hint.ssh" || !strings.Contains(e.Error(), "Permission denied") {
			t.Errorf("hint %q, error %v", e.HintCode, e)
		}
	})
}

func TestSSHEnv(t *testing.T) {
	for _, tt := range []struct {
		name, config string
		env          []string
		want         []string
	}{
		{"nothing said", "", nil, []string{"GIT_SSH_COMMAND=ssh -o BatchMode=yes"}},
		{"setting", "[core]\n\tsshCommand = myssh\n", nil, nil},
		{"variable", "", []string{"GIT_SSH_COMMAND=myssh"}, nil},
		{"old variable", "", []string{"GIT_SSH=myssh"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			l.home(".gitconfig", tt.config)
			s := l.source(func(c *Config) { c.Env = tt.env })
			for range 2 {
				if diff := cmp.Diff(tt.want, s.sshEnv(t.Context())); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestHangEndsAtTheDeadline(t *testing.T) {
	l := newLab(t)
	srv := l.gitServer(hangs)
	l.insteadOf("https://github.com/", srv.URL+"/")
	s := l.source(func(c *Config) { c.Timeout = 300 * time.Millisecond })
	for _, req := range []goproxy.Request{list(lib), info(lib, "v1.0.0"), zipOf(lib, "v1.0.0")} {
		if e := fails(t, s, req, goproxy.ErrUnavailable); !goproxy.Timeout(e) {
			t.Errorf("%v is no timeout", e)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if e := failsCtx(t, ctx, l.source(), latest(lib), goproxy.ErrUnavailable); !goproxy.Timeout(e) {
		t.Errorf("the asker's deadline: %v is no timeout", e)
	}
}

// When the only asker leaves, go and git end: the server sees git hang up.
func TestCancelKillsGit(t *testing.T) {
	l := newLab(t)
	srv := l.gitServer(hangs)
	l.insteadOf("https://github.com/", srv.URL+"/")
	s := l.source()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the browser was closed")
	done := make(chan struct{})
	go func() {
		defer close(done)
		if e := failsCtx(t, ctx, s, list(lib), context.Canceled); !errors.Is(e, why) {
			t.Errorf("%v does not say why", e)
		}
	}()
	<-srv.came
	cancel(why)
	<-done
	<-srv.gone
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	fails(t, s, list(lib), goproxy.ErrUnavailable) // closed
	left, err := filepath.Glob(filepath.Join(s.mod, "cache", "vcs", "*", "*.lock"))
	if err != nil || len(left) != 0 {
		t.Errorf("git left locks: %v, %v", left, err)
	}
}

// goCounter wraps the go command in a script that counts its uses.
func (l *lab) goCounter() (runner *gocmd.Runner, count func() int) {
	l.t.Helper()
	real, err := (&gocmd.Runner{Env: l.env}).FindTool("go")
	if err != nil {
		l.t.Fatal(err)
	}
	script, log := filepath.Join(l.dir, "countgo"), filepath.Join(l.dir, "count")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho \"$@\" >> '"+log+"'\nexec '"+real+"' \"$@\"\n"), 0o755); err != nil {
		l.t.Fatal(err)
	}
	return &gocmd.Runner{Go: script, Env: l.env}, func() int {
		data, err := os.ReadFile(log)
		if err != nil {
			l.t.Fatal(err)
		}
		return strings.Count(string(data), "\n")
	}
}

// Those who ask for the same share one go command, and one who leaves does not take it from the others.
func TestAskersShare(t *testing.T) {
	l := newLab(t)
	srv := l.gitServer(hangs)
	l.insteadOf("https://github.com/", srv.URL+"/")
	l.lib()
	runner, count := l.goCounter()
	s := l.source(func(c *Config) { c.Runner = runner })
	req := info(lib, "v1.0.0")

	first, leave := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() { defer close(left); failsCtx(t, first, s, req, context.Canceled) }()
	<-srv.came
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got := versionOf(t, s, req); got != "v1.0.0" {
				t.Errorf("got %s", got)
			}
		})
	}
	for s.waiters(req) < 9 {
	}
	leave()
	<-left
	close(srv.wait)
	wg.Wait()
	if n := count(); n != 1 {
		t.Errorf("the go command ran %d times, want once", n)
	}
}

func (s *Source) waiters(req goproxy.Request) int { return s.flights.Waiters(req.String()) }

// A repository that hangs takes one of the places, and waiting for a place ends with the asker. Others are answered.
func TestParallel(t *testing.T) {
	l := newLab(t)
	srv := l.gitServer(hangs)
	l.insteadOf("https://github.com/hang/", srv.URL+"/")
	l.env = append(l.env, "GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_1=url."+l.fileURL()+"acme/.insteadOf", "GIT_CONFIG_VALUE_1=https://github.com/acme/")
	l.lib()
	open := func(s *Source, ctx context.Context, req goproxy.Request) chan error {
		done := make(chan error, 1)
		go func() {
			_, err := s.Open(ctx, req)
			done <- err
		}()
		return done
	}
	s := l.source(func(c *Config) { c.Parallel = 2 })
	ctx, cancel := context.WithCancel(t.Context())
	hanging := open(s, ctx, list("github.com/hang/one"))
	<-srv.came
	if got := versionOf(t, s, latest(lib)); got != "v1.1.0" {
		t.Errorf("latest is %s", got)
	}
	second := open(s, ctx, list("github.com/hang/two"))
	<-srv.came
	third, giveUp := context.WithCancel(t.Context())
	waiting := open(s, third, list(lib))
	for s.waiters(list(lib)) == 0 {
	}
	giveUp()
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Errorf("who waited for a place: %v", err)
	}
	cancel()
	for _, done := range []chan error{hanging, second} {
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("who was hanging: %v", err)
		}
	}
	if got := versionOf(t, s, latest(lib+"/v2")); got != "v2.0.0" {
		t.Errorf("afterwards: %s", got)
	}
}

func TestVanity(t *testing.T) {
	l := newLab(t)
	srv := l.gitServer()
	pages := map[string]page{
		"vanity.test/lib":        metaPage("vanity.test/lib git " + srv.URL + "/vanity/lib"),
		"vanity.test/lib/sub":    metaPage("vanity.test/lib git " + srv.URL + "/vanity/lib"),
		"vanity.test/mono":       metaPage("vanity.test/mono git " + srv.URL + "/vanity/mono go/mono"),
		"vanity.test/denied":     {status: http.StatusForbidden, body: "no"},
		"vanity.test/login":      {status: http.StatusUnauthorized, body: "who are you?"},
		"vanity.test/gone":       {status: http.StatusGone, body: "gone"},
		"vanity.test/ill":        {status: http.StatusInternalServerError, body: "oops"},
		"vanity.test/busy":       {status: http.StatusTooManyRequests, body: "later"},
		"vanity.test/hello":      {status: http.StatusOK, body: "<html><head><title>hello</title></head></html>"},
		"vanity.test/other":      metaPage("vanity.test/elsewhere git " + srv.URL + "/vanity/lib"),
		"vanity.test/twice":      metaPage("vanity.test/twice git "+srv.URL+"/vanity/lib", "vanity.test/twice hg "+srv.URL+"/vanity/lib"),
		"vanity.test/file":       metaPage("vanity.test/file git file:///etc"),
		"vanity.test/thief/deep": metaPage("vanity.test/thief git " + srv.URL + "/vanity/lib"),
		"vanity.test/thief":      metaPage("vanity.test/thief git " + srv.URL + "/vanity/mono"),
		"vanity.test/norepo":     metaPage("vanity.test/norepo git " + srv.URL + "/vanity/norepo"),
		"vanity.test/svn":        metaPage("vanity.test/svn svn " + srv.URL + "/vanity/svn"),
		"vanity.test/cut":        {},
		"vanity.test/page404":    {status: http.StatusNotFound, body: metaPage("vanity.test/page404 git " + srv.URL + "/vanity/p404").body},
	}
	proxy := l.web(pages)
	r := l.repo("vanity/lib")
	r.commit(map[string]string{"go.mod": gomod("vanity.test/lib"), "sub/go.mod": gomod("vanity.test/lib/sub")}, "v1.2.3", "sub/v0.4.0")
	l.repo("vanity/mono").commit(map[string]string{"go/mono/go.mod": gomod("vanity.test/mono"), "README": "x"}, "go/mono/v0.5.0")
	l.repo("vanity/p404").commit(map[string]string{"go.mod": gomod("vanity.test/page404")}, "v0.6.0")
	s := l.source(vanity(proxy))
	l.env = append(l.env, "GOINSECURE=vanity.test")
	for path, want := range map[string]string{"vanity.test/lib": "v1.2.3", "vanity.test/lib/sub": "v0.4.0", "vanity.test/mono": "v0.5.0", "vanity.test/page404": "v0.6.0"} {
		if got := read(t, s, list(path)); got != want+"\n" {
			t.Errorf("list of %s: %q", path, got)
		}
		if got, want := zipHash(t, s, zipOf(path, want)), l.plain("mod", "download", "-json", path+"@"+want).Sum; got != want {
			t.Errorf("zip of %s: %s, want %s", path, got, want)
		}
		fails(t, s, info(path, "v1.9.9"), goproxy.ErrNotExist)
	}
	for path, want := range map[string]error{
		"vanity.test/denied": goproxy.ErrBlocked, "vanity.test/login": goproxy.ErrBlocked, "vanity.test/gone": goproxy.ErrNotExist, "vanity.test/ill": goproxy.ErrUnavailable,
		"vanity.test/busy": goproxy.ErrUnavailable, "vanity.test/hello": goproxy.ErrNotExist, "vanity.test/other": goproxy.ErrNotExist, "vanity.test/twice": goproxy.ErrNotExist,
		"vanity.test/file": goproxy.ErrNotExist, "vanity.test/thief/deep": goproxy.ErrNotExist, "vanity.test/norepo": goproxy.ErrNotExist, "vanity.test/svn": goproxy.ErrBlocked,
		"vanity.test/cut": goproxy.ErrUnavailable, "vanity.test/nopage": goproxy.ErrNotExist, "unknown.test/lib": goproxy.ErrUnavailable, // no https there
	} {
		for _, req := range []goproxy.Request{list(path), latest(path), info(path, "v1.0.0")} {
			fails(t, s, req, want)
		}
	}
}

// A page may name a module proxy instead of a repository.
func TestVanityProxy(t *testing.T) {
	l := newLab(t)
	files := map[string]string{
		"/px.test/m/@v/list": "v1.0.0\n", "/px.test/m/@v/v1.0.0.info": `{"Version":"v1.0.0","Time":"2024-01-02T03:04:05Z"}`, "/px.test/m/@v/v1.0.0.mod": "module px.test/m\n",
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := files[r.URL.Path]
		switch {
		case strings.HasPrefix(r.URL.Path, "/px.test/closed/"):
			http.Error(w, "no", http.StatusForbidden)
		case !ok:
			http.NotFound(w, r)
		default:
			_, _ = io.WriteString(w, text)
		}
	}))
	t.Cleanup(srv.Close)
	proxy := l.web(map[string]page{
		"px.test/m": metaPage("px.test/m mod " + srv.URL), "px.test/none": metaPage("px.test/none mod " + srv.URL), "px.test/closed": metaPage("px.test/closed mod " + srv.URL),
	})
	s := l.source(vanity(proxy), func(c *Config) { c.Insecure = "px.test" })
	if got := read(t, s, list("px.test/m")); got != "v1.0.0\n" {
		t.Errorf("list: %q", got)
	}
	if got := read(t, s, mod("px.test/m", "v1.0.0")); got != "module px.test/m\n" {
		t.Errorf(".mod: %q", got)
	}
	for req, want := range map[goproxy.Request]error{
		list("px.test/none"): goproxy.ErrNotExist, info("px.test/m", "v1.1.0"): goproxy.ErrNotExist, zipOf("px.test/m", "v1.0.0"): goproxy.ErrNotExist,
		list("px.test/closed"): goproxy.ErrBlocked, latest("px.test/closed"): goproxy.ErrBlocked,
	} {
		fails(t, s, req, want)
	}
}

// Pages come over https, from there they do not lead to http, and a certificate nobody knows is fine only where
// GOINSECURE says so.
func TestDiscoverHTTPS(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, metaPage("moved.test/m git https://r.test/m").body)
	}))
	t.Cleanup(plain.Close)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Host {
		case "page.test":
			_, _ = io.WriteString(w, metaPage("page.test/m git https://r.test/m").body)
		case "loop.test":
			http.Redirect(w, r, "https://loop.test/m", http.StatusFound)
		default:
			http.Redirect(w, r, plain.URL, http.StatusFound)
		}
	}))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	t.Cleanup(srv.Close)
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr != strings.TrimPrefix(plain.URL, "http://") {
			addr = srv.Listener.Addr().String()
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	client := func(cfg *tls.Config) *http.Client {
		return &http.Client{Transport: &http.Transport{DialContext: dial, TLSClientConfig: cfg, DisableKeepAlives: true}}
	}
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	l := newLab(t)
	s := l.source(func(c *Config) {
		c.HTTP = client(&tls.Config{RootCAs: roots, ServerName: "example.com"})
		c.InsecureHTTP = client(&tls.Config{InsecureSkipVerify: true})
	})
	strict := l.source(func(c *Config) { c.HTTP = client(nil) })
	for _, tt := range []struct {
		source   *Source
		path     string
		insecure string
		want     error
	}{
		{s, "page.test/m", "", nil}, {s, "page.test/m", "page.test", nil}, {strict, "page.test/m", "", goproxy.ErrUnavailable},
		{s, "moved.test/m", "", goproxy.ErrUnavailable}, {s, "loop.test/m", "", goproxy.ErrUnavailable},
	} {
		r, err := tt.source.findRoot(t.Context(), tt.path, settings{insecure: tt.insecure})
		if !errors.Is(err, tt.want) || tt.want == nil && r.repos[0] != "https://r.test/m" {
			t.Errorf("%s, GOINSECURE=%s: %v, %v, want %v", tt.path, tt.insecure, r, err, tt.want)
		}
	}
}
