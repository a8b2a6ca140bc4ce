package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A guarded server answers denied to requests without the right Authorization.
type guarded struct {
	want   string // value of Authorization; "" lets everyone in
	denied int
	mu     sync.Mutex
	seen   []string // values of Authorization, as they came
}

func (g *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	auth := r.Header.Get("Authorization")
	g.seen = append(g.seen, auth)
	if g.want != "" && auth != g.want {
		w.Header().Set("X-Why", "denied")
		w.WriteHeader(g.denied)
		return
	}
	io.WriteString(w, "ok")
}

func (g *guarded) check(t *testing.T, want ...string) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if diff := cmp.Diff(want, g.seen); diff != "" {
		t.Errorf("Authorization of the requests: %s", diff)
	}
	g.seen = nil
}

func basicOf(user, password string) string { return basic(url.UserPassword(user, password)) }

func writeNetrc(t *testing.T, name, data string) string {
	t.Helper()
	if name == "" {
		name = filepath.Join(t.TempDir(), "netrc")
	}
	if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// A runner plays the commands of GOAUTH.
type runner struct {
	mu    sync.Mutex
	calls []string
	play  func(dir string, argv []string, stdin string) (string, error)
}

func (r *runner) run(_ context.Context, dir string, argv []string, stdin []byte) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, strings.Join(argv, " "))
	out, err := r.play(dir, argv, string(stdin))
	return []byte(out), err
}

func (r *runner) check(t *testing.T, want ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if diff := cmp.Diff(want, r.calls); diff != "" {
		t.Errorf("commands: %s", diff)
	}
	r.calls = nil
}

func TestUserinfo(t *testing.T) {
	g := &guarded{}
	server, roots := newTLSServer(t, g)
	plain := newServer(t, g.ServeHTTP)
	netrc := writeNetrc(t, "", "machine example.com login no password no")
	cfg := Config{RootFiles: []string{roots}, Credentials: Credentials{NetrcFiles: []string{netrc}},
		Insecure: func(host, _ string) bool { return host == "lax.test" }}
	client := newClient(t, cfg)
	with := func(u string) string { return strings.Replace(u, "://", "://user:hunter2@", 1) }
	mustGet(t, client, with(rename(t, server, "example.com")))
	mustGet(t, client, with(rename(t, plain, "lax.test")))
	g.check(t, basicOf("user", "hunter2"), basicOf("user", "hunter2"))

	_, _, err := get(t, client, with(rename(t, plain, "strict.test"))+"?query=1")
	e := wantError(t, err, OpWrite, InsecureCredentials)
	if got, want := e.Error(), "write strict.test: credentials in an http URL"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	g.check(t)

	// Used without http.Client, which makes the header itself.
	req, err := http.NewRequestWithContext(t.Context(), "GET", with(rename(t, server, "example.com")), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	g.check(t, basicOf("user", "hunter2"))
	if resp.Request != req || len(req.Header) != 0 || req.URL.User == nil {
		t.Error("the asker's request was changed")
	}
}

func TestNetrc(t *testing.T) {
	g := &guarded{}
	server, roots := newTLSServer(t, g)
	first := writeNetrc(t, "", "machine example.com login u password first\nmachine Example.com login u password second\ndefault login d password d")
	second := writeNetrc(t, "", "machine example.com login u password third\nmachine 127.0.0.1 login v password w")
	missing := filepath.Join(t.TempDir(), "missing")
	for _, tt := range []struct {
		name, goauth string
		files        []string
		url, want    string
	}{
		{"first entry", "", []string{missing, first, second}, rename(t, server, "example.com"), basicOf("u", "first")},
		{"second file", "netrc", []string{first, second}, server.URL, basicOf("v", "w")},
		{"default is not used", "netrc", []string{first}, server.URL, ""},
		{"off", "off", []string{first}, rename(t, server, "example.com"), ""},
		{"none", "", nil, server.URL, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := newClient(t, Config{RootFiles: []string{roots}, Credentials: Credentials{GOAUTH: tt.goauth, NetrcFiles: tt.files}})
			mustGet(t, client, tt.url+"/some/path")
			g.check(t, tt.want)
		})
	}
	t.Run("never over http", func(t *testing.T) {
		plain := newServer(t, g.ServeHTTP)
		cfg := Config{Credentials: Credentials{NetrcFiles: []string{second}}, Insecure: func(string, string) bool { return true }}
		mustGet(t, newClient(t, cfg), plain.URL)
		g.check(t, "")
	})
}

func TestNetrcChanges(t *testing.T) {
	g := &guarded{want: basicOf("u", "newer"), denied: 401}
	server, roots := newTLSServer(t, g)
	netrc := writeNetrc(t, "", "machine 127.0.0.1 login u password old")
	client := newClient(t, Config{RootFiles: []string{roots}, Credentials: Credentials{NetrcFiles: []string{netrc}}})
	if status, _ := mustGet(t, client, server.URL+"/a"); status != 401 {
		t.Errorf("got %d", status)
	}
	g.check(t, basicOf("u", "old")) // once: there is nothing else to try
	writeNetrc(t, netrc, "machine 127.0.0.1 login u password newer")
	if status, _ := mustGet(t, client, server.URL+"/a"); status != 200 {
		t.Errorf("got %d", status)
	}
	g.check(t, basicOf("u", "old"), basicOf("u", "newer"))
}

func TestGOAUTHCommand(t *testing.T) {
	g := &guarded{want: "Bearer path", denied: 404} // private things hide behind 404
	server, roots := newTLSServer(t, g)
	var stdin string
	r := &runner{play: func(dir string, argv []string, in string) (string, error) {
		if len(argv) == 2 {
			return server.URL + "/a\n\nAuthorization: Bearer first\n\n", nil
		}
		stdin = in
		if strings.Contains(argv[2], "/none/") {
			return "", nil
		}
		return server.URL + "/a/b/\n\nAuthorization: Bearer path\n\n", nil
	}}
	client := newClient(t, Config{RootFiles: []string{roots}, Credentials: Credentials{GOAUTH: "helper 'my arg'", Run: r.run}})

	if status, body := mustGet(t, client, server.URL+"/a/b/c?go-get=1"); status != 200 || body != "ok" {
		t.Errorf("got %d %q", status, body)
	}
	r.check(t, "helper my arg", "helper my arg "+server.URL+"/a/b/c?go-get=1")
	g.check(t, "Bearer first", "Bearer path")
	if !strings.HasPrefix(stdin, "HTTP/2.0 404 Not Found\n") || !strings.Contains(stdin, "\nX-Why: denied\n") || !strings.HasSuffix(stdin, "\n\n") {
		t.Errorf("the helper read %q", stdin)
	}

	mustGet(t, client, server.URL+"/a/b/d") // the longest prefix wins, at once
	g.check(t, "Bearer path")
	r.check(t)

	for range 3 { // what stays denied is not asked about for ever
		if status, _ := mustGet(t, client, server.URL+"/none/x"); status != 404 {
			t.Errorf("got %d", status)
		}
	}
	g.check(t, "", "", "")
	r.check(t, "helper my arg "+server.URL+"/none/x")

	mustGet(t, client, server.URL+"/a/bc") // not a folder below /a/b
	if g.seen[0] != "Bearer first" {
		t.Errorf("sent %q", g.seen[0])
	}
}

func TestGOAUTHOrder(t *testing.T) {
	g := &guarded{}
	server, roots := newTLSServer(t, g)
	play := func(dir string, argv []string, in string) (string, error) {
		return server.URL + "\n\nAuthorization: Bearer " + argv[0] + "\n\n", nil
	}
	netrc := writeNetrc(t, "", "machine "+strings.TrimPrefix(server.URL, "https://")+" login u password p")
	for _, tt := range []struct{ goauth, want string }{
		{"one;two", "Bearer one"},
		{"netrc;two", basicOf("u", "p")},
		{"two;netrc", "Bearer two"},
	} {
		client := newClient(t, Config{RootFiles: []string{roots},
			Credentials: Credentials{GOAUTH: tt.goauth, NetrcFiles: []string{netrc}, Run: (&runner{play: play}).run}})
		mustGet(t, client, server.URL)
		g.check(t, tt.want)
	}
}

func TestGOAUTHFails(t *testing.T) {
	g := &guarded{want: "x", denied: 401}
	server, roots := newTLSServer(t, g)
	for _, tt := range []struct {
		out string
		err error
	}{{"", errors.New("exit status 1")}, {"Authorization: Bearer hunter2", nil}} {
		var log bytes.Buffer
		r := &runner{play: func(string, []string, string) (string, error) { return tt.out, tt.err }}
		client := newClient(t, Config{RootFiles: []string{roots}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Credentials: Credentials{GOAUTH: "helper --token hunter2", Run: r.run}})
		if status, _ := mustGet(t, client, server.URL); status != 401 {
			t.Errorf("got %d", status)
		}
		g.check(t, "")
		if text := log.String(); !strings.Contains(text, "helper") || strings.Contains(text, "hunter2") {
			t.Errorf("logged %s", text)
		}
	}
}

func TestGOAUTHGit(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name, want, verdict string
	}{{"good", basicOf("u", "p"), "approve"}, {"bad", "something else", "reject"}} {
		t.Run(tt.name, func(t *testing.T) {
			g := &guarded{want: tt.want, denied: 401}
			server, roots := newTLSServer(t, g)
			host := strings.TrimPrefix(server.URL, "https://")
			answer := fmt.Sprintf("protocol=https\nhost=%s\nusername=u\npassword=p\n", host)
			r := &runner{play: func(d string, argv []string, in string) (string, error) {
				if d != dir {
					t.Errorf("git ran in %q", d)
				}
				if argv[2] == "fill" {
					if in != "url="+server.URL+"/m\n" {
						t.Errorf("git read %q", in)
					}
					return answer, nil
				}
				if in != answer {
					t.Errorf("git was told %q", in)
				}
				return "", nil
			}}
			client := newClient(t, Config{RootFiles: []string{roots}, Credentials: Credentials{GOAUTH: "git " + dir, Run: r.run}})
			mustGet(t, client, server.URL+"/m")
			r.check(t, "git credential fill", "git credential "+tt.verdict)
			g.check(t, "", basicOf("u", "p"))
			mustGet(t, client, server.URL+"/m")
			if tt.verdict == "approve" {
				r.check(t)
				g.check(t, basicOf("u", "p"))
			} else if g.seen[0] != "" {
				t.Errorf("rejected credentials were sent again")
			}
		})
	}
}

// Credentials of GOAUTH belong to the URL that was asked for, not to wherever a server points.
func TestGOAUTHAndRedirects(t *testing.T) {
	g := &guarded{}
	other, _ := newTLSServer(t, g)
	server, roots := newTLSServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, rename(t, other, "example.com"), http.StatusFound)
		case "/near":
			http.Redirect(w, r, "/", http.StatusFound)
		default:
			g.ServeHTTP(w, r)
		}
	}))
	netrc := writeNetrc(t, "", "machine 127.0.0.1 login u password p\nmachine example.com login v password q")
	client := newClient(t, Config{RootFiles: []string{roots}, Credentials: Credentials{NetrcFiles: []string{netrc}}})
	mustGet(t, client, server.URL+"/near")
	mustGet(t, client, server.URL+"/away")
	g.check(t, basicOf("u", "p"), "")
}

// The first asker's leaving must not leave the others without credentials.
func TestPrimingIsRepeated(t *testing.T) {
	r := &runner{play: func(string, []string, string) (string, error) {
		return "https://a.test\n\nAuthorization: Bearer x\n\n", nil
	}}
	a, err := newAuthenticator(Credentials{GOAUTH: "helper", Run: r.run}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	u := &url.URL{Scheme: "https", Host: "a.test", Path: "/x"}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	a.header(gone, u)
	if got := a.header(t.Context(), u).Get("Authorization"); got != "Bearer x" {
		t.Errorf("got %q", got)
	}
	before := len(r.calls)
	a.header(t.Context(), u)
	if len(r.calls) != before {
		t.Error("the methods were asked again")
	}
}

func TestConcurrentDenials(t *testing.T) {
	g := &guarded{want: "Bearer x", denied: 401}
	server, roots := newTLSServer(t, g)
	r := &runner{play: func(_ string, argv []string, _ string) (string, error) {
		if len(argv) == 1 {
			return "", nil
		}
		return server.URL + "\n\nAuthorization: Bearer x\n\n", nil
	}}
	client := newClient(t, Config{RootFiles: []string{roots}, Credentials: Credentials{GOAUTH: "helper", Run: r.run}})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if status, _, err := get(t, client, fmt.Sprintf("%s/m%d/x", server.URL, i)); err != nil || status != 200 {
				t.Errorf("got %d, error %v", status, err)
			}
		})
	}
	wg.Wait()
	if len(r.calls) != 2 {
		t.Errorf("ran %d commands for 20 requests, want 2", len(r.calls))
	}
}
