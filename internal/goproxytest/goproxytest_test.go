package goproxytest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

const helloInfo = `{"Version":"v1.0.0","Time":"2020-02-03T04:05:06Z","Origin":{"VCS":"git","URL":"https://example.com/hello"}}`

func modules() fstest.MapFS {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	return fstest.MapFS{
		"example.com_hello_v1.0.0.txt": file("a comment\n-- .info --\n" + helloInfo + "\n-- .mod --\nmodule example.com/hello\n" +
			"-- go.mod --\nmodule example.com/hello\n-- hello.go --\npackage hello\n\nconst Hello = 1\n"),
		"example.com_hello_v1.1.0-rc.1.txtar":                  file("-- go.mod --\nmodule example.com/hello\n-- hello.go --\npackage hello\n"),
		"example.com_under_score_v0.1.0.txt":                   file("-- .mod --\nmodule example.com/under_score\n-- a.go --\npackage a\n"),
		"example.com_!upper_v0.1.0/go.mod":                     file("module example.com/Upper\n"),
		"example.com_!upper_v0.1.0/sub/a.go":                   file("package sub\n"),
		"example.com_old_v2.0.0+incompatible.txt":              file("-- old.go --\npackage old\n"),
		"example.com_p_v0.0.0-20240102030405-aaaaaaaaaaaa.txt": file("-- p.go --\npackage p\n"),
		"example.com_p_v0.0.0-20230102030405-bbbbbbbbbbbb.txt": file("-- p.go --\npackage p\n"),
	}
}

func newServer(t *testing.T, tls bool) *Server {
	t.Helper()
	s := NewWith(t, Options{TLS: tls})
	s.LoadFS(modules())
	s.AddQuery("example.com/hello", "main", "v1.0.0")
	s.AddQuery("example.com/hello", "feature-x", "v1.1.0-rc.1")
	return s
}

func client(t *testing.T, s *Server) *http.Client {
	c := s.Client()
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// do asks and reads the answer; err is that of the request or of its body.
func do(t *testing.T, c *http.Client, method, url string, header ...string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

func mustGet(t *testing.T, c *http.Client, url string, header ...string) (*http.Response, string) {
	t.Helper()
	resp, body, err := do(t, c, "GET", url, header...)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	return resp, body
}

func TestProtocol(t *testing.T) {
	for _, tls := range []bool{false, true} {
		s := newServer(t, tls)
		c := client(t, s)
		for _, tt := range []struct {
			path   string
			status int
			ctype  string
			body   string // "*" means any
		}{
			{"example.com/hello/@v/list", 200, "text/plain; charset=utf-8", "v1.0.0\nv1.1.0-rc.1\n"},
			{"example.com/hello/@latest", 200, "application/json", helloInfo + "\n"},
			{"example.com/hello/@v/v1.0.0.info", 200, "application/json", helloInfo + "\n"},
			{"example.com/hello/@v/main.info", 200, "application/json", helloInfo + "\n"},
			{"example.com/hello/@v/feature-x.info", 200, "application/json", `{"Version":"v1.1.0-rc.1","Time":"2024-01-02T03:04:05Z"}`},
			{"example.com/hello/@v/main.mod", 404, "text/plain; charset=utf-8", "*"},
			{"example.com/hello/@v/v1.0.0.mod", 200, "text/plain; charset=utf-8", "module example.com/hello\n"},
			{"example.com/hello/@v/v1.0.0.zip", 200, "application/zip", "*"},
			{"example.com/hello/@v/v1.0.1.zip", 404, "text/plain; charset=utf-8", "*"},
			{"example.com/under_score/@v/v0.1.0.mod", 200, "text/plain; charset=utf-8", "module example.com/under_score\n"},
			{"example.com/!upper/@v/list", 200, "text/plain; charset=utf-8", "v0.1.0\n"},
			{"example.com/%21upper/@v/list", 200, "text/plain; charset=utf-8", "v0.1.0\n"},
			{"example.com/Upper/@v/list", 404, "text/plain; charset=utf-8", "*"},
			{"example.com/old/@v/v2.0.0+incompatible.mod", 200, "text/plain; charset=utf-8", "module example.com/old\n"},
			{"example.com/p/@v/list", 200, "text/plain; charset=utf-8", ""},
			{"example.com/p/@latest", 200, "application/json", `{"Version":"v0.0.0-20240102030405-aaaaaaaaaaaa","Time":"2024-01-02T03:04:05Z"}`},
			{"example.com/none/@v/list", 404, "text/plain; charset=utf-8", "*"},
			{"example.com/none/@latest", 404, "text/plain; charset=utf-8", "*"},
			{"example.com/hello/@v/v1.0.0.tar", 404, "text/plain; charset=utf-8", "*"},
			{"example.com/hello", 404, "text/plain; charset=utf-8", "*"},
			{"sumdb/other.example.com/supported", 404, "text/plain; charset=utf-8", "*"},
			{"sumdb/sumdb.example.com/supported", 200, "", ""},
			{"noet4g/example.com/hello/@v/list", 400, "text/plain; charset=utf-8", "*"},
		} {
			resp, body := mustGet(t, c, s.URL+"/"+tt.path)
			if resp.StatusCode != tt.status || resp.Header.Get("Content-Type") != tt.ctype || tt.body != "*" && body != tt.body {
				t.Errorf("%s: %s %s %q", tt.path, resp.Status, resp.Header.Get("Content-Type"), body)
			}
			if want := map[bool]int{false: 1, true: 2}[tls]; resp.ProtoMajor != want {
				t.Errorf("%s over %s", tt.path, resp.Proto)
			}
			head, none, err := do(t, c, "HEAD", s.URL+"/"+tt.path)
			if err != nil || head.StatusCode != tt.status || none != "" {
				t.Errorf("HEAD %s: %v %v", tt.path, head, err)
			}
		}
		if resp, _, _ := do(t, c, "POST", s.URL+"/example.com/hello/@v/list"); resp.StatusCode != 405 {
			t.Errorf("POST: %s", resp.Status)
		}
	}
}

func TestValidatorsAndRanges(t *testing.T) {
	s := newServer(t, false)
	c := client(t, s)
	zip := "example.com/hello/@v/v1.0.0.zip"
	resp, whole := mustGet(t, c, s.URL+"/"+zip)
	tag := resp.Header.Get("ETag")
	if tag == "" || resp.Header.Get("Last-Modified") != "Mon, 03 Feb 2020 04:05:06 GMT" || resp.Header.Get("Accept-Ranges") != "bytes" {
		t.Errorf("header %v", resp.Header)
	}
	if resp, body := mustGet(t, c, s.URL+"/"+zip, "Range", "bytes=10-"); resp.StatusCode != 206 || body != whole[10:] {
		t.Errorf("range: %s, %d bytes", resp.Status, len(body))
	}
	if resp, _ := mustGet(t, c, s.URL+"/"+zip, "If-None-Match", tag); resp.StatusCode != 304 {
		t.Errorf("revalidated: %s", resp.Status)
	}
	if resp, body := mustGet(t, c, s.Proxy("norange")+"/"+zip, "Range", "bytes=10-"); resp.StatusCode != 200 || body != whole || resp.Header.Get("Accept-Ranges") != "" {
		t.Errorf("norange: %s, %d bytes, %v", resp.Status, len(body), resp.Header)
	}
	if resp, _ := mustGet(t, c, s.Proxy("noetag")+"/"+zip); resp.Header.Get("ETag") != "" || resp.Header.Get("Last-Modified") != "" {
		t.Errorf("noetag: %v", resp.Header)
	}
	a, _ := mustGet(t, c, s.Proxy("newetag")+"/"+zip)
	b, body := mustGet(t, c, s.Proxy("newetag")+"/"+zip, "Range", "bytes=10-", "If-Range", a.Header.Get("ETag"))
	if a.Header.Get("ETag") == b.Header.Get("ETag") || b.StatusCode != 200 || body != whole {
		t.Errorf("newetag: %s %s", b.Status, b.Header.Get("ETag"))
	}
	for _, path := range []string{zip, "example.com/hello/@v/list"} {
		resp, _ := mustGet(t, c, s.Proxy("nolength")+"/"+path)
		if resp.ContentLength != -1 {
			t.Errorf("nolength: %d", resp.ContentLength)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	h, err := NewHandler(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"README.md", "example.com_x_v1.txt", "example.com_x_v2.0.0.txt", "example.com_X_v1.0.0.txt", "x_v1.0.0.txt"} {
		if err := h.LoadFS(fstest.MapFS{name: {Data: []byte("-- a.go --\npackage a\n")}}); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if err := h.AddModule("example.com/x", "v1.0.0", map[string]string{"../a": ""}); err == nil {
		t.Error("a bad name is taken")
	}
	if err := h.AddRandom("example.com/x/v2", "v1.0.0", 1); err == nil {
		t.Error("a bad version is taken")
	}
	if _, err := NewHandler(Options{SumDB: "a b"}); err == nil {
		t.Error("a bad name of a database is taken")
	}
}

// saveZip checks data as the zip of m by x/mod/zip, down to the last byte.
func checkZip(t *testing.T, m module.Version, data string) error {
	t.Helper()
	dir := t.TempDir()
	name := filepath.Join(dir, "m.zip")
	if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return modzip.Unzip(filepath.Join(dir, "out"), m, name)
}

func TestRandom(t *testing.T) {
	const size = 300_000
	m := module.Version{Path: "example.com/big", Version: "v1.2.3"}
	s, twin := New(t), New(t)
	for _, s := range []*Server{s, twin} {
		s.AddRandom(m.Path, m.Version, size)
	}
	c := client(t, s)
	path := "/example.com/big/@v/v1.2.3.zip"
	resp, zip := mustGet(t, c, s.URL+path)
	if _, other := mustGet(t, c, twin.URL+path); zip != other {
		t.Error("two servers have different contents")
	}
	if err := checkZip(t, m, zip); err != nil {
		t.Error(err)
	}
	if n := len(zip); n < size || n > size+1000 || resp.ContentLength != int64(n) {
		t.Errorf("%d bytes, Content-Length %d", n, resp.ContentLength)
	}
	for _, r := range []struct {
		h        string
		from, to int
	}{
		{"bytes=0-9", 0, 10}, {"bytes=5-20000", 5, 20001}, {"bytes=100000-", 100000, len(zip)}, {"bytes=-100", len(zip) - 100, len(zip)},
	} {
		if resp, body := mustGet(t, c, s.URL+path, "Range", r.h); resp.StatusCode != 206 || body != zip[r.from:r.to] {
			t.Errorf("%s: %s, %d bytes", r.h, resp.Status, len(body))
		}
	}
	var packed bytes.Buffer
	if n := compressed(t, &packed, zip); n < len(zip)*99/100 {
		t.Errorf("%d bytes compress to %d", len(zip), n)
	}
	_, wrong := mustGet(t, c, s.Proxy("wrongsum")+path)
	if wrong == zip || checkZip(t, m, wrong) != nil {
		t.Error("wrongsum is no other valid zip")
	}
	_, bad := mustGet(t, c, s.Proxy("corrupt")+path)
	if n := differing(zip, bad); n != 1 || checkZip(t, m, bad) == nil {
		t.Errorf("corrupt differs in %d bytes", n)
	}
	s.AddRandom("example.com/tiny", "v1.0.0", 0)
	_, tiny := mustGet(t, c, s.URL+"/example.com/tiny/@v/v1.0.0.zip")
	if err := checkZip(t, module.Version{Path: "example.com/tiny", Version: "v1.0.0"}, tiny); err != nil {
		t.Error(err)
	}
}

// differing counts the bytes in which a and b differ; -1 for different lengths.
func differing(a, b string) int {
	if len(a) != len(b) {
		return -1
	}
	n := 0
	for i := range len(a) {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

func TestCountsAndHolds(t *testing.T) {
	s := newServer(t, false)
	c := client(t, s)
	list, info := s.URL+"/example.com/hello/@v/list", s.URL+"/example.com/hello/@v/v1.0.0.info"
	mustGet(t, c, list, "X-Test", "1")
	do(t, c, "HEAD", info)
	if diff := cmp.Diff([]string{"/example.com/hello/@v/list", "HEAD /example.com/hello/@v/v1.0.0.info"}, s.Requests()); diff != "" {
		t.Error(diff)
	}
	if s.Count("") != 2 || s.Count(".info") != 1 || s.Count("nope") != 0 || s.Records()[0].Header.Get("X-Test") != "1" {
		t.Errorf("%v", s.Records())
	}
	s.Reset()
	release := s.Hold(".info")
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if resp, _ := mustGet(t, c, info); resp.StatusCode != 200 {
				t.Errorf("held: %s", resp.Status)
			}
		})
	}
	s.Wait(t.Context(), ".info", 3)
	mustGet(t, c, list) // goes by
	if err := s.WaitInFlight(t.Context(), 3); err != nil {
		t.Error(err)
	}
	if s.InFlight() != 3 || s.MaxInFlight() != 4 {
		t.Errorf("%d in flight, %d at most", s.InFlight(), s.MaxInFlight())
	}
	release()
	release()
	wg.Wait()
	mustGet(t, c, info)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Handler.Wait(gone, "", 100); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestHoldAt(t *testing.T) {
	s := newServer(t, false)
	s.AddRandom("example.com/big", "v1.0.0", 100_000)
	release := s.HoldAt(".zip", 50_000)
	resp, err := client(t, s).Get(s.URL + "/example.com/big/@v/v1.0.0.zip")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.CopyN(io.Discard, resp.Body, 50_000); err != nil {
		t.Fatal(err)
	}
	if s.InFlight() != 1 {
		t.Error("not held")
	}
	release()
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || n+50_000 != resp.ContentLength {
		t.Errorf("%d bytes more, %v", n, err)
	}
}

func TestDownAndUp(t *testing.T) {
	s := newServer(t, true)
	c := client(t, s)
	url := s.URL + "/example.com/hello/@v/list"
	mustGet(t, c, url)
	hung := make(chan error, 1)
	go func() {
		_, _, err := do(t, c, "GET", s.Proxy("hang")+"/example.com/hello/@v/list")
		hung <- err
	}()
	s.Wait(t.Context(), "hang", 1)
	s.Down()
	if err := <-hung; err == nil {
		t.Error("a hanging request was answered")
	}
	if s.InFlight() != 0 {
		t.Error("Down leaves requests")
	}
	if _, _, err := do(t, c, "GET", url); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("down: %v", err)
	}
	s.Down()
	s.Up()
	if _, body := mustGet(t, c, url); !strings.HasPrefix(body, "v1.0.0\n") || s.Count("hello/@v/list") != 3 {
		t.Errorf("%q after Up, requests %q", body, s.Requests())
	}
	if err := s.up(); err == nil {
		t.Error("Up twice")
	}
}

func TestRemove(t *testing.T) {
	s := newServer(t, false)
	c := client(t, s)
	s.Remove("example.com/hello", "v1.1.0-rc.1")
	if _, body := mustGet(t, c, s.URL+"/example.com/hello/@v/list"); body != "v1.0.0\n" {
		t.Errorf("%q", body)
	}
	s.Remove("example.com/hello", "v1.0.0")
	if resp, _ := mustGet(t, c, s.URL+"/example.com/hello/@v/list"); resp.StatusCode != 404 {
		t.Errorf("%s", resp.Status)
	}
}

// failures stands in for a test that is told of errors.
type failures struct{ n int }

func (f *failures) Helper()               {}
func (f *failures) Cleanup(func())        {}
func (f *failures) Fatalf(string, ...any) { f.n++ }

func TestErrorsEndTheTest(t *testing.T) {
	f := &failures{}
	s := NewWith(f, Options{})
	defer s.Close()
	s.AddModule("example.com/x", "v1", nil)
	s.AddRandom("example.com/x", "v1", 1)
	s.LoadFS(fstest.MapFS{"x": {}})
	s.Up()
	if f.n != 4 {
		t.Errorf("%d errors, want 4", f.n)
	}
	if NewWith(f, Options{SumDB: "a b"}); f.n != 5 {
		t.Errorf("%d errors, want 5", f.n)
	}
	alone, err := Start(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer alone.Close()
	defer func() {
		if recover() == nil {
			t.Error("no panic outside a test")
		}
	}()
	alone.Up()
}
