package vcs

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/goproxy"
)

// hgServe serves a Mercurial repository and returns its URL.
func (l *lab) hgServe(dir string) string {
	l.t.Helper()
	ctx, cancel := context.WithCancel(l.t.Context())
	out, in := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := (&gocmd.Runner{Env: l.env}).Exec(ctx, gocmd.ExecCmd{
			Argv: []string{"hg", "serve", "--address=127.0.0.1", "--port=0", "--print-url"}, Dir: dir, Stdout: in, Stderr: io.Discard,
		})
		in.CloseWithError(err)
	}()
	l.t.Cleanup(func() { cancel(); out.Close(); <-done })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		l.t.Fatal(err)
	}
	u, err := url.Parse(strings.TrimSpace(line))
	if err != nil {
		l.t.Fatal(err)
	}
	return "http://127.0.0.1:" + u.Port()
}

func TestMercurial(t *testing.T) {
	l := newLab(t)
	dir := filepath.Join(l.repos, "hg")
	hg := func(args ...string) string {
		l.clock = l.clock.Add(time.Hour)
		if args[0] == "commit" || args[0] == "tag" {
			args = append(args, "--date="+l.clock.Format(time.RFC3339))
		}
		return l.run(dir, "hg", args...)
	}
	l.run(l.repos, "hg", "init", "hg")
	l.run(l.repos, "hg", "init", "hgempty")
	writeFiles(t, dir, map[string]string{"go.mod": gomod("vanity.test/hg"), "hg.go": "package hg\n"})
	hg("commit", "-A", "-m", "one")
	hg("tag", "v1.0.0")
	first := hg("log", "-r", "v1.0.0", "--template", "{node}")
	writeFiles(t, dir, map[string]string{"hg.go": "package hg // 2\n", "sub/go.mod": gomod("vanity.test/hg/sub")})
	hg("commit", "-A", "-m", "two")
	hg("tag", "v1.1.0")
	hg("tag", "sub/v0.1.0")
	writeFiles(t, dir, map[string]string{"hg.go": "package hg // 3\n"})
	hg("commit", "-m", "three")

	target, err := url.Parse(l.hgServe(dir))
	if err != nil {
		t.Fatal(err)
	}
	var status atomic.Int32
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case status.Load() != 0:
			code := int(status.Load())
			http.Error(w, http.StatusText(code), code)
		case strings.HasPrefix(r.URL.Path, "/none"):
			http.NotFound(w, r)
		default:
			httputil.NewSingleHostReverseProxy(target).ServeHTTP(w, r)
		}
	}))
	t.Cleanup(front.Close)
	proxy := l.web(map[string]page{
		"vanity.test/hg": metaPage("vanity.test/hg hg " + front.URL), "vanity.test/hg/sub": metaPage("vanity.test/hg hg " + front.URL),
		"vanity.test/hg/none": metaPage("vanity.test/hg hg " + front.URL), "vanity.test/none": metaPage("vanity.test/none hg " + front.URL + "/none"),
		"vanity.test/empty": metaPage("vanity.test/empty hg " + l.hgServe(filepath.Join(l.repos, "hgempty"))),
	})
	s := l.source(vanity(proxy))
	l.env = append(l.env, "GOINSECURE=vanity.test")

	const path = "vanity.test/hg"
	for path, want := range map[string]string{path: "v1.0.0\nv1.1.0\n", path + "/sub": "v0.1.0\n", path + "/none": ""} {
		if got := read(t, s, list(path)); got != want {
			t.Errorf("list of %s: %q, want %q", path, got, want)
		}
	}
	for req, want := range map[goproxy.Request]string{
		latest(path): "v1.1.0", info(path, first[:12]): "v1.0.0", info(path, "v1.0"): "v1.0.0",
		info(path, "default"): l.plain("list", "-m", "-json", path+"@default").Version,
	} {
		if got := versionOf(t, s, req); got != want {
			t.Errorf("%v: %s, want %s", req, got, want)
		}
	}
	for _, m := range []struct{ path, version string }{{path + "/sub", "v0.1.0"}, {path, "v1.0.0"}} {
		if got, want := zipHash(t, s, zipOf(m.path, m.version)), l.plain("mod", "download", "-json", m.path+"@"+m.version).Sum; got != want {
			t.Errorf("zip of %v: %s, want %s", m, got, want)
		}
	}
	for _, req := range []goproxy.Request{
		info(path, "v1.7.0"), info(path, "nobranch"), info(path, "0123456789ab"), info(path, "v7"), mod(path, "v0.0.0-20240102040405-0123456789ab"), latest(path + "/none"),
		info(path+"/sub", "v0.9.0"), list("vanity.test/none"), info("vanity.test/empty", "v1.0.0"),
	} {
		fails(t, s, req, goproxy.ErrNotExist)
	}
	if got := read(t, s, list("vanity.test/empty")); got != "" {
		t.Errorf("list of nothing: %q", got)
	}

	missing, there, unsure := goproxy.ErrNotExist, errTryAgain, goproxy.ErrUnavailable
	testExplain(t, s, []explained{
		{list(path), there, unsure}, {info(path+"/sub", "v0.1.0"), there, unsure}, {info(path, "v1.0.9"), missing, missing},
		{mod(path, "v0.0.0-20240102040405-"+first[:12]), there, unsure}, {latest("vanity.test/empty"), missing, missing},
	})

	// The go command answers from what it has fetched before. A list that nobody confirms is no list.
	status.Store(502)
	for _, req := range []goproxy.Request{list(path), latest(path), info(path, "default"), info(path, "v1.8.0")} {
		fails(t, s, req, goproxy.ErrUnavailable)
	}
	status.Store(401)
	fresh := l.source(vanity(proxy))
	for _, req := range []goproxy.Request{list(path), info(path, "v1.0.0")} {
		fails(t, fresh, req, goproxy.ErrBlocked)
	}
}
