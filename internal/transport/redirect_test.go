package transport

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// mirror answers with what it was sent.
func mirror(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "auth=%q cookie=%q referer=%q", r.Header.Get("Authorization"), r.Header.Get("Cookie"), r.Referer())
}

func TestRedirects(t *testing.T) {
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(strings.Trim(r.URL.Path, "/"))
		switch {
		case err != nil:
			http.Redirect(w, r, r.URL.Path, http.StatusFound) // a circle
		case n > 0:
			http.Redirect(w, r, "/"+strconv.Itoa(n-1)+"?query=1", http.StatusFound)
		default:
			io.WriteString(w, "there")
		}
	})
	client := newClient(t, Config{})
	if _, body := mustGet(t, client, server.URL+"/10"); body != "there" {
		t.Errorf("10 redirects: got %q", body)
	}
	for _, path := range []string{"/11", "/circle"} {
		_, _, err := get(t, client, server.URL+path)
		if e := wantError(t, err, OpRedirect, TooManyRedirects); e.Error() != "redirect 127.0.0.1: more than 10 redirects" {
			t.Errorf("got %q", e.Error())
		}
	}
}

func TestInsecureRedirect(t *testing.T) {
	plain := newServer(t, mirror)
	server, roots := newTLSServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, plain.URL+"/?query=1", http.StatusFound)
	}))
	_, _, err := get(t, newClient(t, Config{RootFiles: []string{roots}}), server.URL)
	if e := wantError(t, err, OpRedirect, InsecureRedirect); e.Error() != "redirect 127.0.0.1: redirect from https to http" {
		t.Errorf("got %q", e.Error())
	}
	lax := Config{Insecure: func(host, path string) bool { return host == "lax.test" }}
	if _, body := mustGet(t, newClient(t, lax), rename(t, server, "lax.test")); !strings.Contains(body, "auth=") {
		t.Errorf("got %q", body)
	}
	// What counts is where the request began, not where it is sent.
	lax.RootFiles = []string{roots}
	lax.Insecure = func(host, path string) bool { return host == "127.0.0.1" }
	_, _, err = get(t, newClient(t, lax), rename(t, server, "example.com"))
	wantError(t, err, OpRedirect, InsecureRedirect)
}

func TestRedirectKeepsSecrets(t *testing.T) {
	var server, target string
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/go" {
			http.Redirect(w, r, target, http.StatusFound)
			return
		}
		mirror(w, r)
	}
	first := newServer(t, handler)
	server = rename(t, first, "example.test")
	other := newServer(t, mirror)
	const none = `auth="" cookie="" referer=""`
	const all = `auth="Basic secret" cookie="a=b" referer=""`
	for _, tt := range []struct{ name, target, want string }{
		{"same host", "/there", all},
		{"other host", rename(t, other, "evil.test"), none},
		{"subdomain", rename(t, other, "sub.example.test"), none},
		{"other port", rename(t, other, "example.test"), none},
	} {
		t.Run(tt.name, func(t *testing.T) {
			target = tt.target
			req, err := http.NewRequestWithContext(t.Context(), "GET", server+"/go", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Basic secret")
			req.Header.Set("Cookie", "a=b")
			resp, err := newClient(t, Config{}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if body, err := io.ReadAll(resp.Body); err != nil || string(body) != tt.want {
				t.Errorf("got %s, error %v, want %s", body, err, tt.want)
			}
		})
	}
}
