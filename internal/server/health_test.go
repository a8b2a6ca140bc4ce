package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func request(t *testing.T, h http.Handler, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return w
}

func readiness(t *testing.T, w *httptest.ResponseRecorder) Readiness {
	t.Helper()
	var r Readiness
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil {
		t.Fatalf("%v in %q", err, w.Body)
	}
	return r
}

func TestReady(t *testing.T) {
	yes, no := true, false
	good := func(context.Context) (string, error) { return "fine", nil }
	bad := func(context.Context) (string, error) { return "store", errors.New("not writable") }
	unknown := func(context.Context) (string, error) { return "", fmt.Errorf("offline: %w", ErrNotMeasured) }
	hang := func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() }
	boom := func(context.Context) (string, error) { panic("boom") }
	for _, tt := range []struct {
		name   string
		checks []Check
		status int
		want   Readiness
	}{
		{"none", nil, 200, Readiness{OK: true}},
		{"good", []Check{{Name: "a", Critical: true, Run: good}}, 200,
			Readiness{OK: true, Checks: []CheckResult{{Name: "a", Critical: true, OK: &yes, Detail: "fine"}}}},
		{"critical fails", []Check{{Name: "a", Critical: true, Run: bad}, {Name: "b", Run: good}}, 503,
			Readiness{Degraded: true, Checks: []CheckResult{
				{Name: "a", Critical: true, OK: &no, Detail: "store: not writable"}, {Name: "b", OK: &yes, Detail: "fine"}}}},
		{"other fails", []Check{{Name: "a", Critical: true, Run: good}, {Name: "b", Run: bad}}, 200,
			Readiness{OK: true, Degraded: true, Checks: []CheckResult{
				{Name: "a", Critical: true, OK: &yes, Detail: "fine"}, {Name: "b", OK: &no, Detail: "store: not writable"}}}},
		{"not measured", []Check{{Name: "a", Critical: true, Run: unknown}}, 200,
			Readiness{OK: true, Checks: []CheckResult{{Name: "a", Critical: true, Detail: "offline: not measured"}}}},
		{"hangs", []Check{{Name: "a", Critical: true, Run: hang}, {Name: "b", Timeout: time.Second, Run: hang}}, 503,
			Readiness{Degraded: true, Checks: []CheckResult{
				{Name: "a", Critical: true, OK: &no, Detail: "no answer within 2s", Millis: 2000},
				{Name: "b", OK: &no, Detail: "no answer within 1s", Millis: 1000}}}},
		{"panics", []Check{{Name: "a", Run: boom}}, 200,
			Readiness{OK: true, Degraded: true, Checks: []CheckResult{{Name: "a", OK: &no, Detail: "the check panicked: boom"}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var h Health
				for _, c := range tt.checks {
					h.Add(c)
				}
				w := request(t, h.Ready(), "GET", "/-/readyz")
				if w.Code != tt.status {
					t.Errorf("status %d, want %d", w.Code, tt.status)
				}
				// A check that ends at its deadline and the deadline race; both say no.
				detail := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Detail" },
					cmp.Comparer(func(a, b string) bool {
						return a == b || a == "context deadline exceeded" || b == "context deadline exceeded"
					}))
				if diff := cmp.Diff(tt.want, readiness(t, w), cmpopts.IgnoreFields(Readiness{}, "Time"), cmpopts.EquateEmpty(), detail); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestReadyIsCachedAndShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		var h Health
		h.Add(Check{Name: "a", Run: func(ctx context.Context) (string, error) {
			<-time.After(time.Second)
			return "", ctx.Err()
		}})
		h.Add(Check{Name: "b", Run: func(context.Context) (string, error) { runs.Add(1); return "", nil }})
		first, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { h.Check(first) })
		synctest.Wait()
		leave() // the first asker goes; the run must not
		for range 20 {
			wg.Go(func() {
				if r, err := h.Check(t.Context()); err != nil || r.Degraded {
					t.Errorf("%+v, %v", r, err)
				}
			})
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := h.Check(gone); !errors.Is(err, context.Canceled) {
			t.Errorf("waited for the run: %v", err)
		}
		wg.Wait()
		if n := runs.Load(); n != 1 {
			t.Errorf("%d runs", n)
		}
		for _, step := range []struct {
			wait time.Duration
			want int32
		}{{4 * time.Second, 1}, {2 * time.Second, 2}, {0, 2}} {
			<-time.After(step.wait)
			if _, err := h.Check(t.Context()); err != nil {
				t.Error(err)
			}
			if n := runs.Load(); n != step.want {
				t.Errorf("%d runs, want %d", n, step.want)
			}
		}
	})
}

// A check that ignores its deadline is not started over and over.
func TestCheckThatNeverReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan bool)
		var runs atomic.Int32
		var h Health
		h.Add(Check{Name: "a", Critical: true, Run: func(context.Context) (string, error) { runs.Add(1); <-release; return "", nil }})
		ask := func() bool {
			<-time.After(10 * time.Second)
			r, err := h.Check(t.Context())
			if err != nil {
				t.Error(err)
			}
			return r.OK
		}
		for range 3 {
			if ask() {
				t.Error("ready")
			}
		}
		if n := runs.Load(); n != 1 {
			t.Errorf("%d runs", n)
		}
		close(release)
		synctest.Wait()
		if !ask() {
			t.Error("not ready after the check came back")
		}
	})
}

func TestOwnPages(t *testing.T) {
	var h Health
	m := NewMetrics()
	m.Request("zip", "hit", 200, time.Second, 10)
	mux := NewMux(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("rest " + r.URL.Path)) }))
	mux.Handle("/-/healthz", h.Live())
	mux.Handle("/-/readyz", h.Ready())
	mux.Handle("/-/metrics", m.Handler(nil))
	mux.Handle("/-/version", VersionHandler(Build{Version: "v1", Go: "go1.26", Revision: "abc", OS: "linux", Arch: "amd64"}))
	mux.Handle("/-/ui/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("ui")) }))
	mux.Handle("/-/ui/a/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("ui a")) }))
	for _, tt := range []struct {
		method, path string
		status       int
		ctype, body  string // body "" means any
	}{
		{"GET", "/-/healthz", 200, "text/plain; charset=utf-8", "ok\n"},
		{"HEAD", "/-/healthz", 200, "text/plain; charset=utf-8", ""},
		{"POST", "/-/healthz", 405, "text/plain; charset=utf-8", ""},
		{"HEAD", "/-/readyz", 200, "application/json", ""},
		{"DELETE", "/-/readyz", 405, "text/plain; charset=utf-8", ""},
		{"GET", "/-/version", 200, "application/json", `{"version":"v1","go":"go1.26","revision":"abc","os":"linux","arch":"amd64"}` + "\n"},
		{"GET", "/-/metrics", 200, "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", ""},
		{"POST", "/-/metrics", 405, "text/plain; charset=utf-8", ""},
		{"GET", "/-/ui/x/y.js", 200, "text/plain; charset=utf-8", "ui"},
		{"GET", "/-/ui/a/y.js", 200, "text/plain; charset=utf-8", "ui a"},
		{"GET", "/-/ui/", 200, "text/plain; charset=utf-8", "ui"},
		{"GET", "/-/ui", 404, "text/plain; charset=utf-8", ""},
		{"GET", "/-/", 404, "text/plain; charset=utf-8", ""},
		{"GET", "/-", 404, "text/plain; charset=utf-8", ""},
		{"GET", "/-/healthz/", 404, "text/plain; charset=utf-8", ""},
		{"GET", "/-/example.com/m/@v/list", 404, "text/plain; charset=utf-8", ""},
		{"GET", "/example.com/-/@v/list", 200, "text/plain; charset=utf-8", "rest /example.com/-/@v/list"},
		{"GET", "/a//../-/healthz", 200, "text/plain; charset=utf-8", "rest /a//../-/healthz"},
		{"GET", "/", 200, "text/plain; charset=utf-8", "rest /"},
	} {
		w := request(t, mux, tt.method, tt.path)
		if w.Code != tt.status || w.Header().Get("Content-Type") != tt.ctype || tt.body != "" && w.Body.String() != tt.body {
			t.Errorf("%s %s: %d %s %q", tt.method, tt.path, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
	}
	for _, path := range []string{"/x", "/-/", "-/x", "/-/healthz"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q can be handled", path)
				}
			}()
			mux.Handle(path, h.Live())
		}()
	}
}
