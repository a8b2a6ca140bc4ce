package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/goproxy"
)

func TestPlanFor(t *testing.T) {
	a := &app{runner: &gocmd.Runner{}}
	normal := a.goDefault(t.Context())
	if normal == "" {
		t.Fatal("the go command has no GOPROXY of its own")
	}
	const url = "http://127.0.0.1:8046"
	tests := []struct {
		now          string
		rec          *goRecord
		behind, asks string
		done         bool
	}{
		{"https://a.example,direct", nil, "https://a.example,direct", "https://a.example,direct", false},
		{"direct", nil, "direct", "direct", false},
		{"off", nil, "off", "off", false},
		{"no list at all|,", nil, "no list at all|,", "no list at all|,", false}, // the go command's to judge
		{url + "|off", nil, "off", "off", true},
		{url + "|https://a.example", nil, "https://a.example", "https://a.example", true},
		// Written by hand: a comma, another name for this machine, the end, the middle.
		{url + ",direct", nil, "direct", normal, false},
		{"http://localhost:8046|direct", nil, "direct", normal, false},
		{url, nil, normal, normal, false},
		{"https://a.example," + url + "|https://b.example", nil, "https://a.example,https://b.example", "https://a.example,https://b.example", false},
		// Written by on, for another port.
		{"http://127.0.0.1:1|direct", &goRecord{Written: "http://127.0.0.1:1|direct", Behind: "direct"}, "direct", "direct", false},
		{"http://127.0.0.1:1|off", &goRecord{Written: "http://127.0.0.1:1|direct", Behind: "direct"}, "http://127.0.0.1:1|off", "http://127.0.0.1:1|off", false},
	}
	for _, tt := range tests {
		want := goproxyPlan{now: tt.now, want: url + "|" + tt.behind, behind: tt.behind, asks: tt.asks, done: tt.done}
		got := a.planFor(t.Context(), tt.now, url, tt.rec)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(goproxyPlan{})); diff != "" {
			t.Errorf("%s (-want +got)\n%s", tt.now, diff)
		}
	}
}

func TestLocalURL(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:8046": "http://127.0.0.1:8046", ":8046": "http://127.0.0.1:8046", "0.0.0.0:80": "http://127.0.0.1:80",
		"[::]:80": "http://localhost:80", "[::1]:80": "http://[::1]:80", "box.example:80": "http://box.example:80",
		"127.0.0.1:0": "", "unix:/run/goferry": "",
	} {
		got, err := localURL(&config.Config{Values: config.Values{Listen: listen}})
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v, want %q", listen, got, err, want)
		}
	}
	tls := &config.Config{Values: config.Values{Listen: "box.example:443", TLSCert: "cert.pem"}}
	if got, err := localURL(tls); got != "https://box.example:443" || err != nil {
		t.Errorf("TLS: %q, %v", got, err)
	}
}

func TestTemporary(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	elsewhere := t.TempDir()
	env := func(name string) string {
		if name == "GOCACHE" {
			return filepath.Join(elsewhere, "cache")
		}
		return ""
	}
	for program, want := range map[string]bool{
		filepath.Join(os.TempDir(), "goferry"):               true,
		filepath.Join(elsewhere, "cache", "a-d", "goferry"):  true,
		filepath.Join(elsewhere, "go-build12", "goferry"):    true,
		filepath.Join(elsewhere, "bin", "goferry"):           false,
		filepath.Join(elsewhere, "cache-of-mine", "goferry"): false,
	} {
		if got := temporary(program, env); got != want {
			t.Errorf("%s: %v", program, got)
		}
	}
}

func TestShellWord(t *testing.T) {
	for s, want := range map[string]string{
		"": "''", "/usr/bin/goferry": "/usr/bin/goferry", "--upstream=https://a.example,direct": "--upstream=https://a.example,direct",
		"a b": "'a b'", "it's": `'it'\''s'`, "a|b": "'a|b'", "$HOME": "'$HOME'", "路": "'路'",
	} {
		if got := shellWord(s); got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	}
}

func failed(path string, err error) goproxy.Answer {
	req := goproxy.Request{Path: path, Version: "v1.0.0", Kind: goproxy.Zip}
	return goproxy.Answer{Request: req, Result: "error", Err: &goproxy.Error{Request: req, Err: err}}
}

func TestFailures(t *testing.T) {
	var f failures
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	first := &goproxy.Error{Source: "https://a.example", Err: fmt.Errorf("%w: 503", goproxy.ErrUnavailable)}
	f.add(start, failed("example.com/a", first))
	f.add(start.Add(time.Second), failed("example.com/b", goproxy.ErrMismatch))
	f.add(start.Add(2*time.Second), failed("example.com/a", first))
	f.add(start, goproxy.Answer{Result: "error", Err: errors.New("a path that is none")})
	f.add(start, goproxy.Answer{Request: goproxy.Request{Path: "example.com/c"}, Result: "absent", Err: goproxy.ErrNotExist})
	want := []failure{
		{Time: start.Add(2 * time.Second), Count: 2, Module: "example.com/a", Version: "v1.0.0", File: "zip", Kind: "unavailable",
			Upstream: "https://a.example", Error: "example.com/a@v1.0.0.zip: https://a.example: unavailable: 503"},
		{Time: start.Add(time.Second), Count: 1, Module: "example.com/b", Version: "v1.0.0", File: "zip", Kind: "mismatch",
			Error: "example.com/b@v1.0.0.zip: checksum mismatch"},
	}
	if diff := cmp.Diff(want, f.list()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for i := range 3 * keptFailures {
		f.add(start, failed(fmt.Sprintf("example.com/m%d", i), goproxy.ErrUnavailable))
	}
	list := f.list()
	if len(list) != keptFailures || list[0].Module != fmt.Sprintf("example.com/m%d", 3*keptFailures-1) {
		t.Errorf("%d failures, the newest %s", len(list), list[0].Module)
	}
	var none *failures
	none.add(start, failed("example.com/a", first))
	if got := none.list(); got == nil || len(got) != 0 {
		t.Errorf("nothing remembered is %v, want an empty list", got)
	}
}

func TestStatusPageIsForThisMachine(t *testing.T) {
	tests := []struct {
		remote, host string
		header       string
		want         int
	}{
		{"127.0.0.1:5", "127.0.0.1:8046", "", http.StatusOK},
		{"127.0.0.1:5", "localhost:8046", "", http.StatusOK},
		{"[::1]:5", "[::1]:8046", "", http.StatusOK},
		{"[::1]:5", "[::1]", "", http.StatusOK},
		{"192.0.2.1:5", "192.0.2.9:8046", "", http.StatusForbidden},
		{"192.0.2.1:5", "localhost", "", http.StatusForbidden},
		{"127.0.0.1:5", "evil.example:8046", "", http.StatusForbidden},
		{"127.0.0.1:5", "127.0.0.1", "X-Forwarded-For", http.StatusForbidden},
		{"127.0.0.1:5", "127.0.0.1", "Forwarded", http.StatusForbidden},
		{"@", "localhost", "", http.StatusForbidden},
	}
	page := statusParts{"server": func() any { return "here" }}
	for _, tt := range tests {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/-/status", nil)
		r.RemoteAddr, r.Host = tt.remote, tt.host
		if tt.header != "" {
			r.Header.Set(tt.header, "for=192.0.2.1")
		}
		w := httptest.NewRecorder()
		page.ServeHTTP(w, r)
		if w.Code != tt.want || (tt.want == http.StatusOK) != (w.Body.String() == "{\"server\":\"here\"}\n") {
			t.Errorf("%+v: %d %s", tt, w.Code, w.Body)
		}
	}
}
