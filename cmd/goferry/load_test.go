package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/goferry/goferry/internal/goproxytest"
)

// A logBook is the stderr of a server in this process; who waits for a line is woken by it.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // closed, and replaced, at each write
}

func newLogBook() *logBook { return &logBook{more: make(chan struct{})} }

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.more)
	l.more = make(chan struct{})
	return l.text.Write(p)
}

// wait returns the submatches of re once it matches.
func (l *logBook) wait(t *testing.T, re string) []string {
	t.Helper()
	want := regexp.MustCompile(re)
	for {
		l.mu.Lock()
		m, more := want.FindStringSubmatch(l.text.String()), l.more
		l.mu.Unlock()
		if m != nil {
			return m
		}
		select {
		case <-more:
		case <-t.Context().Done():
			t.Fatalf("the log lacks %s:\n%s", re, l.text.String())
		}
	}
}

// serveInProcess runs goferry serve in front of up until the end of the test, which fails
// unless it ends well.
func serveInProcess(t *testing.T, up *goproxytest.Server, more ...string) (url string, log *logBook) {
	t.Helper()
	home := t.TempDir()
	noTelemetry(t, home)
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv("GOENV", "off")
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1") // what wants to leave the machine is refused
	log = newLogBook()
	args := append([]string{"serve", "--listen=127.0.0.1:0", "--upstream=" + up.URL, "--cache=" + t.TempDir(),
		"--sumdb=" + up.GOSUMDBWithURL(), "--private=", "--lang=en", "--link-retries=0"}, more...)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	w := world{stdin: strings.NewReader(""), stdout: io.Discard, stderr: log, env: func(string) string { return "" }}
	go func() { ended <- run(ctx, args, w) }()
	t.Cleanup(func() {
		cancel()
		if code := <-ended; code != 0 && code != 130 {
			t.Errorf("serve ended with %d:\n%s", code, log.text.String())
		}
	})
	return log.wait(t, `listening on (http://\S+?),`)[1], log
}

// noTelemetry keeps the go command from counting in the background, in a folder that the end of
// the test removes.
func noTelemetry(t *testing.T, config string) {
	t.Helper()
	dir := filepath.Join(config, "go", "telemetry")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "mode"), []byte("off"), 0o666); err != nil {
		t.Fatal(err)
	}
}

// client is an http.Client whose connections do not outlive the test.
func client(t *testing.T) *http.Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// open asks for a file and returns when the first byte of its body is there.
func open(ctx context.Context, hc *http.Client, url string) (body io.ReadCloser, first []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	resp, err := hc.Do(req)
	if err != nil {
		return nil, nil, err
	}
	first = make([]byte, 1)
	if _, err := io.ReadFull(resp.Body, first); err != nil || resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, nil, fmt.Errorf("%s: %s, first byte: %w", url, resp.Status, err)
	}
	return resp.Body, first, nil
}

func mustGet(t *testing.T, hc *http.Client, url string) []byte {
	t.Helper()
	body, first, err := open(t.Context(), hc, url)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	rest, err := io.ReadAll(body)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	return append(first, rest...)
}

const bigZip = "/example.com/big/@v/v1.0.0.zip"

// bigUpstream has a zip of about 2 MB, and holds it behind its first MB.
func bigUpstream(t *testing.T) (up *goproxytest.Server, want []byte, release func()) {
	t.Helper()
	up = goproxytest.New(t)
	up.AddRandom("example.com/big", "v1.0.0", 2<<20)
	want = mustGet(t, up.Client(), up.URL+bigZip)
	up.Reset()
	release = up.HoldAt(bigZip, 1<<20)
	t.Cleanup(release)
	return up, want, release
}

// TestParallelMisses has 50 askers read the beginning of one zip before its end has left the upstream.
func TestParallelMisses(t *testing.T) {
	up, want, release := bigUpstream(t)
	url, _ := serveInProcess(t, up)
	hc := client(t)
	const askers = 50
	var reading, done sync.WaitGroup
	reading.Add(askers)
	for range askers {
		done.Go(func() {
			body, first, err := open(t.Context(), hc, url+bigZip)
			reading.Done()
			if err != nil {
				t.Error(err)
				return
			}
			defer body.Close()
			rest, err := io.ReadAll(body)
			if got := append(first, rest...); err != nil || !bytes.Equal(got, want) {
				t.Errorf("got %d bytes, want %d, error %v", len(got), len(want), err)
			}
		})
	}
	reading.Wait()
	if n := up.Count(bigZip); n != 1 {
		t.Errorf("the upstream got %d requests for one zip", n)
	}
	release()
	done.Wait()
	if got := mustGet(t, hc, url+bigZip); !bytes.Equal(got, want) {
		t.Error("the hit differs")
	}
	if n := up.Count(bigZip); n != 1 {
		t.Errorf("the upstream got %d requests for one zip, and a hit", n)
	}
}

// TestFirstAskerLeaves cuts the connection of whoever made the fill begin; the others get the
// whole from the same upstream request.
func TestFirstAskerLeaves(t *testing.T) {
	up, want, release := bigUpstream(t)
	url, log := serveInProcess(t, up)
	first, leave := context.WithCancel(t.Context())
	defer leave()
	body, _, err := open(first, client(t), url+bigZip+"?asker=first")
	if err != nil {
		t.Fatal(err)
	}
	other, begin, err := open(t.Context(), client(t), url+bigZip)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	leave()
	body.Close()
	log.wait(t, `path=\S+v1\.0\.0\.zip .*aborted=true`)
	release()
	rest, err := io.ReadAll(other)
	if got := append(begin, rest...); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, want %d, error %v", len(got), len(want), err)
	}
	if n := up.Count(bigZip); n != 1 {
		t.Errorf("the upstream got %d requests", n)
	}
}

// TestOnlyAskerLeaves shows that a fill goes on for nobody: who asks again later finds it.
func TestOnlyAskerLeaves(t *testing.T) {
	up, want, release := bigUpstream(t)
	url, log := serveInProcess(t, up)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	body, _, err := open(ctx, client(t), url+bigZip)
	if err != nil {
		t.Fatal(err)
	}
	leave()
	body.Close()
	log.wait(t, `path=\S+v1\.0\.0\.zip .*aborted=true`)
	release()
	if got := mustGet(t, client(t), url+bigZip); !bytes.Equal(got, want) {
		t.Error("the file differs")
	}
	if n := up.Count(bigZip); n != 1 {
		t.Errorf("the upstream got %d requests", n)
	}
}

// TestHangingUpstream has 30 requests and their look-ups hang in the upstream: what is in the
// cache is answered as before, and so is what the upstream does answer.
func TestHangingUpstream(t *testing.T) {
	up := goproxytest.New(t)
	up.AddModule("example.com/warm", "v1.0.0", map[string]string{"warm.go": "package warm\n"})
	up.AddModule("example.com/other", "v1.0.0", map[string]string{"other.go": "package other\n"})
	const hanging = 30
	for i := range hanging {
		up.AddModule("example.com/hang", fmt.Sprintf("v1.0.%d", i), map[string]string{"hang.go": "package hang\n"})
	}
	url, _ := serveInProcess(t, up)
	hc := client(t)
	files := []string{"/example.com/warm/@v/list", "/example.com/warm/@latest", "/example.com/warm/@v/v1.0.0.info",
		"/example.com/warm/@v/v1.0.0.mod", "/example.com/warm/@v/v1.0.0.zip"}
	before := map[string][]byte{}
	for _, f := range files {
		before[f] = mustGet(t, hc, url+f)
	}
	up.Reset()
	release := up.Hold("example.com/hang")
	defer release()
	var done sync.WaitGroup
	defer done.Wait()
	defer release()
	for i := range hanging {
		done.Go(func() {
			body, _, err := open(t.Context(), hc, fmt.Sprintf("%s/example.com/hang/@v/v1.0.%d.zip", url, i))
			if err != nil {
				t.Error(err)
				return
			}
			body.Close()
		})
	}
	up.Wait(t.Context(), "/@v/v1.0.", hanging)
	for _, f := range files {
		if got := mustGet(t, hc, url+f); !bytes.Equal(got, before[f]) {
			t.Errorf("%s: got %q, before it was %q", f, got, before[f])
		}
	}
	if n := up.Count("example.com/warm"); n != 0 {
		t.Errorf("hits made %d requests", n)
	}
	for _, f := range []string{"list", "v1.0.0.info", "v1.0.0.mod", "v1.0.0.zip"} {
		mustGet(t, hc, url+"/example.com/other/@v/"+f)
	}
	if n := up.InFlight(); n < hanging {
		t.Errorf("%d requests hang, want at least %d", n, hanging)
	}
}
