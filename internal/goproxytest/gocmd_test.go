package goproxytest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A goRun is a module of its own and a go command with nothing but the proxy.
type goRun struct {
	t   *testing.T
	dir string
	env []string
}

func newGoRun(t *testing.T, proxy, sumdb string, more ...string) *goRun {
	t.Helper()
	g := &goRun{t: t, dir: t.TempDir()}
	g.write("go.mod", "module example.org/main\n\ngo 1.21\n")
	// Without a home there is no telemetry, whose process would outlive the go command.
	g.env = append([]string{"PATH=" + os.Getenv("PATH"), "SYSTEMROOT=" + os.Getenv("SYSTEMROOT"), "GOPATH=" + t.TempDir(),
		"GOENV=off", "GOTOOLCHAIN=local", "GOFLAGS=-modcacherw", "GOWORK=off", "GOMODCACHE=" + t.TempDir(), "GOCACHE=" + t.TempDir(),
		"GOPROXY=" + proxy, "GOSUMDB=" + sumdb, "NO_PROXY=*"}, more...)
	return g
}

func (g *goRun) write(name, data string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, name), []byte(data), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

func (g *goRun) run(args ...string) (string, error) {
	g.t.Helper()
	cmd := exec.CommandContext(g.t.Context(), "go", args...)
	cmd.Dir, cmd.Env = g.dir, g.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func TestGoCommand(t *testing.T) {
	s := newServer(t, false)
	s.AddRandom("example.com/big", "v1.0.0", 1<<20)
	for _, tt := range []struct {
		name         string
		faults       []string
		sumdb        string
		args         string
		ok           bool
		out, request string // parts
	}{
		{"download", nil, s.GOSUMDB(), "mod download -json example.com/hello@v1.0.0", true, `"URL": "https://example.com/hello"`, "/lookup/example.com/hello@v1.0.0"},
		{"database by the proxy", nil, s.GOSUMDB(), "mod download example.com/hello@v1.0.0", true, "", "/sumdb/sumdb.example.com/supported"},
		{"random", nil, s.GOSUMDB(), "mod download -json example.com/big@v1.0.0", true, `"Sum": "h1:`, "/lookup/example.com/big@v1.0.0"},
		{"upper case", nil, s.GOSUMDB(), "mod download example.com/Upper@v0.1.0", true, "", "/lookup/example.com/!upper@v0.1.0"},
		{"incompatible", nil, s.GOSUMDB(), "mod download example.com/old@v2.0.0+incompatible", true, "", ""},
		{"query", nil, s.GOSUMDB(), "list -m example.com/hello@main", true, "example.com/hello v1.0.0", ""},
		{"versions", nil, "off", "list -m -versions example.com/hello", true, "example.com/hello v1.0.0 v1.1.0-rc.1", ""},
		{"garbage", []string{"garbagelist"}, "off", "list -m -versions example.com/hello", false, `version "v1.2" invalid`, ""}, // it believes v1.2
		{"latest from list", []string{"nolatest"}, "off", "list -m example.com/hello@latest", true, "example.com/hello v1.0.0", ""},
		{"latest of pseudo", nil, "off", "list -m example.com/p@latest", true, "v0.0.0-20240102030405-aaaaaaaaaaaa", "/example.com/p/@latest"},
		{"not found", []string{"404"}, "off", "mod download example.com/hello@v1.0.0", false, "404 Not Found", ""},
		{"its reason", []string{"503"}, "off", "mod download example.com/hello@v1.0.0", false, "goproxytest: fault 503", ""},
		{"wrong sum", []string{"wrongsum"}, s.GOSUMDB(), "mod download example.com/hello@v1.0.0", false, "SECURITY ERROR", ""},
		{"wrong database", []string{"sumdb-wrong"}, s.GOSUMDB(), "mod download example.com/hello@v1.0.0", false, "SECURITY ERROR", ""},
		{"bad key", []string{"sumdb-badkey"}, s.GOSUMDB(), "mod download example.com/hello@v1.0.0", false, "note has no verifiable signatures", ""},
		{"database down", []string{"sumdb-503"}, s.GOSUMDB(), "mod download example.com/hello@v1.0.0", false, "503 Service Unavailable", ""},
		{"database elsewhere", []string{"nosumdb"}, s.GOSUMDBWithURL(), "mod download example.com/hello@v1.0.0", true, "", "/sumdb/sumdb.example.com/lookup/"},
		{"corrupt", []string{"corrupt"}, "off", "mod download example.com/hello@v1.0.0", false, "", ""},
		{"cut", []string{"only/zip/cut/50%"}, "off", "mod download example.com/hello@v1.0.0", false, "unexpected EOF", ""},
		{"short", []string{"only/zip/short/50%"}, "off", "mod download example.com/hello@v1.0.0", false, "not a valid zip file", ""},
		{"html", []string{"only/info/html"}, "off", "mod download example.com/hello@v1.0.0", false, "invalid character", ""},
		{"bomb", []string{"badzip/bomb"}, "off", "mod download example.com/hello@v1.0.0", false, "too large", ""},
		{"redirects", []string{"redirect/3", "redirecthost"}, "off", "mod download example.com/hello@v1.0.0", true, "", "/redirect/1/redirecthost/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.Reset()
			out, err := newGoRun(t, s.Proxy(tt.faults...), tt.sumdb).run(strings.Fields(tt.args)...)
			if (err == nil) != tt.ok || !strings.Contains(out, tt.out) {
				t.Errorf("%v\n%s", err, out)
			}
			if tt.request != "" && s.Count(tt.request) == 0 {
				t.Errorf("no request for %s in %q", tt.request, s.Requests())
			}
		})
	}
}

func TestGoCommandOverTLS(t *testing.T) {
	s := newServer(t, true)
	cert := filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(cert, s.CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	g := newGoRun(t, s.Proxy("auth"), s.GOSUMDB(), "SSL_CERT_FILE="+cert)
	if out, err := g.run("mod", "download", "example.com/hello@v1.0.0"); err == nil || !strings.Contains(out, "401 Unauthorized") {
		t.Errorf("without credentials: %v\n%s", err, out)
	}
	g = newGoRun(t, strings.Replace(s.Proxy("auth"), "://", "://"+User+":"+Password+"@", 1), s.GOSUMDB(), "SSL_CERT_FILE="+cert)
	if out, err := g.run("mod", "download", "example.com/hello@v1.0.0"); err != nil {
		t.Errorf("with credentials: %v\n%s", err, out)
	}
	if s.Records()[0].Proto != "HTTP/2.0" {
		t.Errorf("%s", s.Records()[0].Proto)
	}
	if out, err := newGoRun(t, s.URL, "off").run("mod", "download", "example.com/hello@v1.0.0"); err == nil || !strings.Contains(out, "certificate") {
		t.Errorf("without the certificate: %v\n%s", err, out)
	}
}

// The go command waits for a hanging proxy as long as it is let.
func TestGoCommandHangs(t *testing.T) {
	s := newServer(t, false)
	g := newGoRun(t, s.Proxy("only/mod/stall/0"), "off")
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "example.com/hello@v1.0.0")
	cmd.Dir, cmd.Env = g.dir, g.env
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.Wait(t.Context(), ".mod", 1)
	if s.InFlight() == 0 {
		t.Error("nothing stalls")
	}
	cancel()
	if err := cmd.Wait(); err == nil {
		t.Error("no error")
	}
	if err := s.WaitInFlight(t.Context(), 0); err != nil {
		t.Error(err)
	}
}
