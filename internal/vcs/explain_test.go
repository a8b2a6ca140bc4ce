package vcs

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/goferry/goferry/internal/goproxy"
)

// explained is one failure of a go command that says nothing about where it looked, as old ones do, and what
// has to come out the first and the second time.
type explained struct {
	req           goproxy.Request
	first, second error
}

func testExplain(t *testing.T, s *Source, cases []explained) {
	t.Helper()
	for _, tt := range cases {
		for i, want := range []error{tt.first, tt.second} {
			err := s.explain(t.Context(), tt.req, &failure{text: "the words of go"}, i == 1)
			if !errors.Is(err, want) {
				t.Errorf("%v, time %d: %v, want %v", tt.req, i+1, err, want)
			}
		}
	}
}

func TestExplainGitWithoutOrigin(t *testing.T) {
	l := newLab(t)
	l.insteadOf("https://github.com/", l.fileURL())
	h := l.lib()
	l.repo("acme/empty")
	s := l.source()
	read(t, s, info(lib+"/v3", "three")) // the go command has a clone now, with the history of all
	const zeros, pseudo = "000000000000", "v0.0.0-20240102040405-"
	missing, there, unsure := goproxy.ErrNotExist, errTryAgain, goproxy.ErrUnavailable
	testExplain(t, s, []explained{
		{list(lib), there, unsure},
		{info(lib, "v1.0.0"), there, unsure}, {info(lib, "v1.0.9"), missing, missing}, {mod(lib+"/sub", "v0.1.0"), there, unsure},
		{mod(lib+"/sub", "v1.0.0"), missing, missing}, {info(lib, "v2.0.0+incompatible"), there, unsure}, {info(lib, "v5.0.0+incompatible"), missing, missing},
		{zipOf(lib+"/v2", "v2.0.0"), there, unsure}, {zipOf(lib+"/v2", "v2.0.1"), missing, missing},
		// What is found twice, and yet the go command cannot make a version of it, is not of the module.
		{info(lib, "main"), there, missing}, {info(lib, "HEAD"), there, missing}, {info(lib, h.first), there, missing}, {info(lib, h.sub[:9]), there, missing},
		{mod(lib, pseudo+h.first[:12]), there, missing}, {latest(lib), there, missing}, {latest(lib + "/none"), there, missing}, {info(lib, "v1"), there, unsure},
		{info(lib, "nobranch"), missing, missing}, {info(lib, zeros), missing, unsure}, {mod(lib, pseudo+zeros), missing, unsure},
		{info(lib, "v4"), missing, missing}, {info(lib, "v1.8"), missing, missing},
		{latest("github.com/acme/empty"), missing, missing}, {info("github.com/acme/empty", "main"), missing, missing}, {list("github.com/acme/empty"), there, unsure},
		{list("github.com/acme/missing"), missing, missing},
	})
	// Without a clone nothing is sure, but that the history can be fetched.
	fresh := l.source()
	testExplain(t, fresh, []explained{
		{info(lib, "main"), there, unsure}, {info(lib, h.first), there, unsure}, {latest(lib), there, unsure}, {mod(lib, pseudo+h.first[:12]), there, unsure},
	})
}

// The first request fails, as they do on a bad link; the answer comes all the same.
func TestSecondTry(t *testing.T) {
	for _, req := range []goproxy.Request{list(lib), info(lib, "v1.0.0"), info(lib, "main"), latest(lib), mod(lib+"/sub", "v0.1.0"), zipOf(lib, "v1.0.1")} {
		l := newLab(t)
		var n atomic.Int32
		srv := l.gitServer(func(g *gitServer) {
			g.around = func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if strings.HasPrefix(r.UserAgent(), "git/") && n.Add(1) == 1 {
						http.Error(w, "oops", http.StatusInternalServerError)
						return
					}
					h.ServeHTTP(w, r)
				})
			}
		})
		l.insteadOf("https://github.com/", srv.URL+"/")
		l.lib()
		if f, err := l.source().Open(t.Context(), req); err != nil {
			t.Errorf("%v: %v", req, err)
		} else if err := f.Close(); err != nil {
			t.Error(err)
		}
		if n.Load() < 2 {
			t.Errorf("%v: %d request, and no second try", req, n.Load())
		}
	}
}

func TestToolErrors(t *testing.T) {
	plain := errors.New("some fault of ours")
	if err := toolError(plain); err != plain {
		t.Errorf("got %v, want it as it is", err)
	}
	for _, bad := range []goImport{
		{"x.test", "git", "no-scheme/x", ""}, {"x.test", "git", "file:///x", ""}, {"x.test", "git", "https://h.test/%zz", ""},
		{"x.test", "git", "https://h.test", "/abs"}, {"x.test", "git", "https://h.test", "-option"},
	} {
		if err := bad.check(); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}
