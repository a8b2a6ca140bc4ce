package vcs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/dirhash"

	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/goproxy"
)

// A lab has real repositories, and an environment of its own in which go, git and hg run.
type lab struct {
	t     *testing.T
	dir   string
	repos string
	env   []string
	clock time.Time
}

func newLab(t *testing.T) *lab {
	t.Helper()
	dir := t.TempDir()
	l := &lab{t: t, dir: dir, repos: filepath.Join(dir, "repos"), clock: time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)}
	home := filepath.Join(dir, "home")
	telemetry := filepath.Join(home, ".config", "go", "telemetry")
	for _, d := range []string{l.repos, telemetry} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// Else each go command leaves a process behind that writes there while the folder is removed.
	if err := os.WriteFile(filepath.Join(telemetry, "mode"), []byte("off"), 0o644); err != nil {
		t.Fatal(err)
	}
	l.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "GIT_CONFIG_NOSYSTEM=1", "GOENV=off", "GOTELEMETRY=off",
		"NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1", "HGUSER=Lab <lab@lab.test>",
	}
	l.home(".gitconfig", "[user]\n\tname = Lab\n\temail = lab@lab.test\n[init]\n\tdefaultBranch = main\n[commit]\n\tgpgsign = false\n")
	return l
}

// home writes a file of the home folder.
func (l *lab) home(name, text string) {
	l.t.Helper()
	if err := os.WriteFile(filepath.Join(l.dir, "home", name), []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// insteadOf makes git go elsewhere for all that begins with prefix.
func (l *lab) insteadOf(prefix, elsewhere string) {
	l.env = append(l.env, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url."+elsewhere+".insteadOf", "GIT_CONFIG_VALUE_0="+prefix)
}

func (l *lab) fileURL() string { return "file://" + filepath.ToSlash(l.repos) + "/" }

// run runs a tool, which must succeed, and returns what it printed.
func (l *lab) run(dir, name string, args ...string) string {
	l.t.Helper()
	date := l.clock.Format(time.RFC3339)
	r := &gocmd.Runner{Env: l.env}
	res, err := r.Run(l.t.Context(), gocmd.Cmd{Name: name, Args: args, Dir: dir, Env: []string{"GIT_AUTHOR_DATE=" + date, "GIT_COMMITTER_DATE=" + date}})
	if err != nil || res.ExitCode != 0 {
		l.t.Fatalf("%s %v: %v, exit code %d\n%s", name, args, err, res.ExitCode, res.Stderr)
	}
	return strings.TrimSpace(string(res.Stdout))
}

// A repo is a git repository of a lab.
type repo struct {
	*lab
	dir string
}

// repo makes an empty repository, to be found at name below l.repos.
func (l *lab) repo(name string) *repo {
	l.t.Helper()
	r := &repo{l, filepath.Join(l.repos, filepath.FromSlash(name))}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		l.t.Fatal(err)
	}
	r.git("init", "-q")
	return r
}

func (r *repo) git(args ...string) string { r.t.Helper(); return r.run(r.dir, "git", args...) }

// commit commits files, given as name and content, an hour after the last commit, and tags them.
func (r *repo) commit(files map[string]string, tags ...string) (hash string) {
	r.t.Helper()
	r.clock = r.clock.Add(time.Hour)
	writeFiles(r.t, r.dir, files)
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "-m", "change")
	for _, tag := range tags {
		r.git("tag", "-a", "-m", tag, tag) // annotated, as most are
	}
	return r.git("rev-parse", "HEAD")
}

func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func gomod(path string) string { return "module " + path + "\n\ngo 1.20\n" }

// source returns a Source that works in the lab.
func (l *lab) source(change ...func(*Config)) *Source {
	l.t.Helper()
	cfg := Config{
		Dir: filepath.Join(l.t.TempDir(), "direct"), Runner: &gocmd.Runner{Env: l.env, Grace: time.Second},
		HTTP: &http.Client{Transport: &http.Transport{Proxy: noProxy, DisableKeepAlives: true}},
		// Far more than anything here takes; what has to time out says so.
		Timeout: 5 * time.Minute, Logger: slog.New(slog.NewTextHandler(l.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			l.t.Error(err)
		}
	})
	return s
}

func noProxy(*http.Request) (*url.URL, error) { return nil, nil }

// plain is what the go command says to list -m -json, with GOPROXY=direct and a cache of its own.
func (l *lab) plain(args ...string) (m struct {
	Path, Version, Error, Sum, GoModSum string
	Time                                time.Time
	Versions                            []string
}) {
	l.t.Helper()
	env := append(l.env,
		"GOPROXY=direct", "GOSUMDB=off", "GOTOOLCHAIN=local", "GOFLAGS=-modcacherw", "GOMODCACHE="+filepath.Join(l.dir, "plain"), "GOPATH="+filepath.Join(l.dir, "plaingo"))
	res, err := (&gocmd.Runner{Env: env}).Run(l.t.Context(), gocmd.Cmd{Name: "go", Args: args, Dir: l.dir})
	if err != nil || res.ExitCode != 0 {
		l.t.Fatalf("go %v: %v, exit code %d\n%s%s", args, err, res.ExitCode, res.Stdout, res.Stderr)
	}
	if err := json.Unmarshal(res.Stdout, &m); err != nil {
		l.t.Fatal(err)
	}
	return m
}

func read(t *testing.T, s *Source, req goproxy.Request) string {
	t.Helper()
	data, err := goproxy.ReadFile(t.Context(), s, req)
	if err != nil {
		t.Fatalf("%v: %v", req, err)
	}
	return string(data)
}

func info(path, version string) goproxy.Request {
	return goproxy.Request{Path: path, Version: version, Kind: goproxy.Info}
}

func mod(path, version string) goproxy.Request {
	return goproxy.Request{Path: path, Version: version, Kind: goproxy.Mod}
}

func zipOf(path, version string) goproxy.Request {
	return goproxy.Request{Path: path, Version: version, Kind: goproxy.Zip}
}

func list(path string) goproxy.Request { return goproxy.Request{Path: path, Kind: goproxy.List} }

func latest(path string) goproxy.Request { return goproxy.Request{Path: path, Kind: goproxy.Latest} }

// versionOf resolves a request for an .info.
func versionOf(t *testing.T, s *Source, req goproxy.Request) string {
	t.Helper()
	rev, err := goproxy.ParseInfo(req, []byte(read(t, s, req)))
	if err != nil {
		t.Fatal(err)
	}
	return rev.Version
}

// zipHash returns the hash of a zip as go.sum has it.
func zipHash(t *testing.T, s *Source, req goproxy.Request) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "m.zip")
	if err := os.WriteFile(name, []byte(read(t, s, req)), 0o644); err != nil {
		t.Fatal(err)
	}
	sum, err := dirhash.HashZip(name, dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// fails opens req, which must fail with an error that means want, and returns it.
func fails(t *testing.T, s *Source, req goproxy.Request, want error) *goproxy.Error {
	t.Helper()
	return failsCtx(t, t.Context(), s, req, want)
}

func failsCtx(t *testing.T, ctx context.Context, s *Source, req goproxy.Request, want error) *goproxy.Error {
	t.Helper()
	f, err := s.Open(ctx, req)
	if err == nil {
		f.Close()
		t.Errorf("%v: opened, want %v", req, want)
		return new(goproxy.Error)
	}
	var e *goproxy.Error
	if !errors.As(err, &e) || e.Source != "direct" || e.Request != req {
		t.Fatalf("%v: %#v, want a *goproxy.Error that names source and request", req, err)
	}
	meanings := []error{
		goproxy.ErrNotExist, goproxy.ErrGone, goproxy.ErrInvalid, goproxy.ErrBlocked, goproxy.ErrUnavailable, goproxy.ErrMismatch, context.Canceled,
	}
	for _, m := range meanings {
		if errors.Is(err, m) != (m == want) {
			t.Errorf("%v: %v, want %v and nothing else", req, err, want)
			break
		}
	}
	if lines := strings.Count(err.Error(), "\n") + 1; lines > maxReasonLines {
		t.Errorf("%v: %d lines of error: %v", req, lines, err)
	}
	if strings.Contains(err.Error(), s.dir) || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v: the error tells too much: %v", req, err)
	}
	return e
}

// A gitServer serves the repositories of a lab over git's smart HTTP.
type gitServer struct {
	*httptest.Server
	user, password string                          // asked for if not empty
	status         atomic.Int32                    // answered to all if not 0
	wait           chan struct{}                   // if not nil, all wait for its end
	around         func(http.Handler) http.Handler // if not nil, changes what is served

	came chan struct{} // gets a value for each request that has to wait
	gone chan struct{} // gets a value for each of these whose asker left
}

// gitServer starts a server, after changes to it.
func (l *lab) gitServer(change ...func(*gitServer)) *gitServer {
	l.t.Helper()
	path := l.run(l.dir, "git", "--exec-path")
	g := &gitServer{came: make(chan struct{}, 100), gone: make(chan struct{}, 100)}
	for _, f := range change {
		f(g)
	}
	var h http.Handler = &cgi.Handler{
		Path: filepath.Join(path, "git-http-backend"), Dir: l.repos,
		Env: []string{"GIT_PROJECT_ROOT=" + l.repos, "GIT_HTTP_EXPORT_ALL=1", "HOME=" + filepath.Join(l.dir, "home"),
			"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
		Stderr: io.Discard,
	}
	if g.around != nil {
		h = g.around(h)
	}
	g.Server = httptest.NewServer(g.guard(h))
	l.t.Cleanup(g.Close)
	return g
}

// hangs makes a gitServer that lets all wait.
func hangs(g *gitServer) { g.wait = make(chan struct{}) }

func (g *gitServer) guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.wait != nil {
			g.came <- struct{}{}
			select {
			case <-g.wait:
			case <-r.Context().Done():
				g.gone <- struct{}{}
				return
			}
		}
		if status := int(g.status.Load()); status != 0 {
			http.Error(w, http.StatusText(status), status)
			return
		}
		if user, password, _ := r.BasicAuth(); user != g.user || password != g.password {
			w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// A page is what a web site answers to ?go-get=1.
type page struct {
	status int
	body   string
}

func metaPage(content ...string) page {
	var b strings.Builder
	b.WriteString("<!DOCTYPE html><html><head><meta charset=utf-8>")
	for _, c := range content {
		fmt.Fprintf(&b, `<meta name="go-import" content="%s">`, c)
	}
	b.WriteString("</head><body>hello</body></html>")
	return page{http.StatusOK, b.String()}
}

// web answers for all http web sites, as a proxy of the environment. It refuses https.
func (l *lab) web(pages map[string]page) (proxy func(*http.Request) (*url.URL, error)) {
	l.t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok := pages[r.Host+r.URL.Path]
		switch {
		case r.Method == http.MethodConnect, ok && p.status == 0:
			hangUp(w)
		case !ok || r.URL.Query().Get("go-get") != "1":
			http.NotFound(w, r)
		default:
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.WriteHeader(p.status)
			_, _ = io.Copy(w, bytes.NewReader([]byte(p.body)))
		}
	}))
	l.t.Cleanup(srv.Close)
	for _, v := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		l.env = append(l.env, v+"="+srv.URL)
	}
	to, err := url.Parse(srv.URL)
	if err != nil {
		l.t.Fatal(err)
	}
	return func(r *http.Request) (*url.URL, error) {
		if r.URL.Hostname() == "127.0.0.1" {
			return nil, nil
		}
		return to, nil
	}
}

func hangUp(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		conn.Close()
	}
}

// vanity makes a Config for module paths below vanity.test, whose pages come over http.
func vanity(proxy func(*http.Request) (*url.URL, error)) func(*Config) {
	return func(cfg *Config) {
		cfg.Insecure = "vanity.test"
		cfg.HTTP = &http.Client{Transport: &http.Transport{Proxy: proxy, DisableKeepAlives: true}}
	}
}
