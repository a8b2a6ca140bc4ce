package goproxy_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

// Over real connections: one mirror never answers, one promises more than it sends, one is good. Everybody gets
// whole files, and every request to the silent one is ended: its server can be closed.
func TestMirrorsHTTP(t *testing.T) {
	content := bytes.Repeat([]byte("module bytes "), 100_000)
	var held, left, cut atomic.Int32
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		held.Add(1)
		<-r.Context().Done()
		left.Add(1)
	}))
	short := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cut.Add(1)
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write(content[:len(content)/2])
	}))
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}))
	cfg := goproxy.MirrorsConfig{Saved: []goproxy.MirrorState{
		{Name: "silent", Latency: time.Millisecond}, {Name: "short", Latency: 2 * time.Millisecond}, {Name: "good", Latency: 50 * time.Millisecond},
	}}
	for i, srv := range []*httptest.Server{silent, short, good} {
		c, err := goproxy.NewClient(srv.URL, loopback(t))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Mirrors = append(cfg.Mirrors, goproxy.Mirror{Name: cfg.Saved[i].Name, Source: c})
	}
	set := goproxy.NewMirrors(cfg)
	fetch := func(name string) error {
		ctx, avoid := goproxy.NewAvoid(t.Context())
		for {
			f, err := set.Open(ctx, mustParse(t, name))
			if err != nil {
				return err
			}
			data, err := io.ReadAll(f)
			f.Close()
			if err == nil && !bytes.Equal(data, content) {
				return fmt.Errorf("%d other bytes from %s", len(data), avoid.Last())
			}
			if err == nil || !avoid.Refuse(err) {
				return err
			}
		}
	}
	var wg sync.WaitGroup
	for i := range 20 {
		for _, kind := range []string{"mod", "zip"} {
			wg.Go(func() {
				if err := fetch(fmt.Sprintf("example.com/m%d/@v/v1.0.0.%s", i, kind)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if err := set.Close(); err != nil {
		t.Error(err)
	}
	states := set.State()
	if i := slices.IndexFunc(states, func(s goproxy.MirrorState) bool { return s.OutUntil.IsZero() }); i != 2 {
		t.Errorf("the good one is not the first in service: %+v", states)
	}
	for _, srv := range []*httptest.Server{silent, short, good} {
		srv.Close() // waits for its requests
	}
	if held.Load() == 0 || held.Load() != left.Load() || cut.Load() == 0 {
		t.Errorf("%d requests were held, %d ended, %d bodies were cut", held.Load(), left.Load(), cut.Load())
	}
}
