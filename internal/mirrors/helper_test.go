package mirrors_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/goproxytest"
	"github.com/goferry/goferry/internal/mirrors"
	"github.com/goferry/goferry/internal/store"
	"github.com/goferry/goferry/internal/sumdb"
	"github.com/goferry/goferry/internal/transport"
)

const toolchain = "v0.0.1-go1.23.0.linux-amd64"

var hello = module.Version{Path: "example.com/hello", Version: "v1.1.0"}

// upstream has hello in three versions and one toolchain.
func upstream(t *testing.T, o goproxytest.Options) *goproxytest.Server {
	t.Helper()
	up := goproxytest.NewWith(t, o)
	for _, v := range []string{"v1.0.0", "v1.1.0", "v1.2.0-rc.1"} {
		up.AddModule(hello.Path, v, map[string]string{"go.mod": "module example.com/hello\n", "hello.go": "package hello // " + v + "\n"})
	}
	up.AddModule("golang.org/toolchain", toolchain, map[string]string{"go.mod": "module golang.org/toolchain\n", "bin/go": "#!"})
	return up
}

// client is what the command uses, in a hurry.
func client(t *testing.T) *http.Client {
	t.Helper()
	hc, err := transport.New(transport.Config{Retries: -1, Proxy: http.ProxyURL(nil)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hc.CloseIdleConnections)
	return hc
}

// checker is the check of the checksum database of up.
func checker(t *testing.T, up *goproxytest.Server) func(context.Context, goproxy.Request, io.ReaderAt, int64) error {
	t.Helper()
	db, err := sumdb.ParseDB(up.GOSUMDBWithURL())
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	c, err := sumdb.New(sumdb.Config{DB: db, Store: sums{st}, Remotes: sumdb.Remotes(db, up.Client(), nil)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.Verify
}

// sums keeps what the checksum database says in a store.
type sums struct{ *store.Store }

func (s sums) Get(name string) ([]byte, error) {
	f, err := s.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

func (s sums) Put(ctx context.Context, name string, data []byte) error {
	return s.Store.Put(ctx, name, bytes.NewReader(data), time.Time{})
}

func options(t *testing.T, up *goproxytest.Server) mirrors.Options {
	t.Helper()
	return mirrors.Options{HTTP: client(t), Check: checker(t, up), Module: hello, Toolchain: toolchain, SumDB: up.SumDBName(),
		StepTimeout: 10 * time.Second, Timeout: 20 * time.Second}
}

func target(up *goproxytest.Server, faults ...string) mirrors.Target {
	if len(faults) == 0 {
		return mirrors.Target{Name: "m", URL: up.URL}
	}
	return mirrors.Target{Name: "m", URL: up.Proxy(faults...)}
}

// states are the states of all steps.
func states(r mirrors.Result) map[mirrors.Ask]mirrors.State {
	m := map[mirrors.Ask]mirrors.State{}
	for ask, s := range r.Steps {
		m[ask] = s.State
	}
	return m
}

// allYes is states of a good mirror, with changes.
func allYes(but map[mirrors.Ask]mirrors.State) map[mirrors.Ask]mirrors.State {
	m := map[mirrors.Ask]mirrors.State{}
	for _, ask := range mirrors.Asks() {
		m[ask] = mirrors.Yes
	}
	for ask, s := range but {
		m[ask] = s
	}
	return m
}
