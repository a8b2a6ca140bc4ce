package prefetch_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goferry/goferry/internal/cache"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/goproxytest"
	"github.com/goferry/goferry/internal/prefetch"
	"github.com/goferry/goferry/internal/store"
)

// serve stands a Server in front of a cache of upstream, as a module proxy, and returns its URL.
func serve(t *testing.T, upstream *goproxytest.Server) (*prefetch.Server, string) {
	t.Helper()
	st, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	client, err := goproxy.NewClient(upstream.Proxy(), upstream.Client())
	if err != nil {
		t.Fatal(err)
	}
	c := cache.New(cache.Config{Store: st, Source: goproxy.Strict(client)})
	pre := prefetch.New(prefetch.Config{Source: c})
	key := func(context.Context) string { return "the go command" }
	srv := httptest.NewServer(&goproxy.Handler{
		Source: pre.Watch(c, key),
		Done:   func(ctx context.Context, a goproxy.Answer) { pre.Seen(key(ctx), a.Request, a.Result, a.Bytes) },
	})
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- pre.Run(ctx) }()
	t.Cleanup(func() {
		srv.Close()
		cancel()
		if err := <-over; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return pre, srv.URL
}

// modDownload runs "go mod download" of a module that requires the given ones; the go command downloads one
// file at a time.
func modDownload(t *testing.T, proxy string, requires []string) error {
	t.Helper()
	dir := t.TempDir()
	gomod := "module example.org/main\n\ngo 1.21\n\nrequire " + strings.Join(requires, "\nrequire ") + "\n"
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(gomod), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "SYSTEMROOT=" + os.Getenv("SYSTEMROOT"), "GOPATH=" + t.TempDir(), "GOMAXPROCS=1",
		"GOENV=off", "GOTOOLCHAIN=local", "GOFLAGS=-modcacherw", "GOWORK=off", "GOMODCACHE=" + t.TempDir(), "GOCACHE=" + t.TempDir(),
		"GOPROXY=" + proxy, "GOSUMDB=off", "NO_PROXY=*"}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// The go command asks for one zip and waits; those that it will ask for next are on their way
// all the same.
func TestAheadOfTheGoCommand(t *testing.T) {
	upstream := goproxytest.New(t)
	var requires []string
	for i := range 8 {
		path := fmt.Sprintf("example.com/m%d", i)
		files := map[string]string{"go.mod": "module " + path + "\n\ngo 1.21\n", "m.go": "package m\n"}
		if i > 0 {
			files["go.mod"] += fmt.Sprintf("\nrequire example.com/m%d v1.0.0\n", i-1)
		}
		upstream.AddModule(path, "v1.0.0", files)
		requires = append(requires, path+" v1.0.0")
	}
	pre, url := serve(t, upstream)
	release := upstream.Hold(".zip")
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	over := make(chan error, 1)
	go func() {
		defer cancel() // nothing comes after it
		over <- modDownload(t, url, requires)
	}()
	upstream.Wait(ctx, ".zip", 5)
	release()
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		for _, kind := range []string{"info", "mod", "zip"} {
			if n := upstream.Count(fmt.Sprintf("/m%d/@v/v1.0.0.%s", i, kind)); n != 1 {
				t.Errorf("m%d: the .%s was asked for %d times", i, kind, n)
			}
		}
	}
	if st := pre.Stats(); st.UsedFiles < 7 || st.Failed != 0 || st.Overlooked != 0 {
		t.Errorf("%+v", st)
	}
}

// What the upstream does not have is "not found" for the go command, with or without a guess.
func TestAheadOfNothing(t *testing.T) {
	upstream := goproxytest.New(t)
	upstream.AddModule("example.com/a", "v1.0.0", map[string]string{
		"go.mod": "module example.com/a\n\ngo 1.16\n\nrequire example.com/gone v1.0.0\n", "a.go": "package a\n",
	})
	_, url := serve(t, upstream)
	err := modDownload(t, url, []string{"example.com/a v1.0.0"})
	if err == nil || !strings.Contains(err.Error(), "404 Not Found") {
		t.Errorf("got %v, want 404 Not Found", err)
	}
	if resp, err := http.Get(url + "/example.com/gone/@v/v1.0.0.mod"); err != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("%v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
}
