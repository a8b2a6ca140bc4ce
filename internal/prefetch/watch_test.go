package prefetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
)

// publish sets the versions of a module that the upstream of w lists.
func publish(w *world, path string, zip int, versions ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files[goproxy.Request{Path: path, Kind: goproxy.List}] = goproxy.FormatList(versions)
	for _, v := range versions {
		w.files[goproxy.Request{Path: path, Kind: goproxy.Latest}] = fmt.Appendf(nil, `{"Version":%q}`, v)
		w.add(module.Version{Path: path, Version: v}, "go 1.21\n", zip)
	}
}

// use puts into the cache what a client asked for.
func use(t *testing.T, w *world, reqs ...goproxy.Request) {
	t.Helper()
	for _, req := range reqs {
		if _, err := goproxy.ReadFile(t.Context(), w, req); err != nil {
			t.Fatal(err)
		}
	}
}

func listOf(path string) goproxy.Request { return goproxy.Request{Path: path, Kind: goproxy.List} }

func zip(path, version string) goproxy.Request { return request(mod(path, version), goproxy.Zip) }

// zipsOf names the zips that were fetched from n on, sorted.
func zipsOf(w *world, n int) string {
	var out []string
	for _, req := range w.fetched()[n:] {
		if req.Kind == goproxy.Zip {
			out = append(out, req.Path+"@"+req.Version)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// watching runs fn beside a Watcher of w.
func watching(t *testing.T, w *world, cfg WatchConfig, fn func(wa *Watcher)) {
	t.Helper()
	cfg.Source = w
	wa := NewWatcher(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- wa.Run(ctx) }()
	synctest.Wait()
	fn(wa)
	cancel()
	if err := <-over; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func fixed(paths ...string) func(context.Context) ([]string, error) {
	return func(context.Context) ([]string, error) { return paths, nil }
}

func TestWatcherFetchesWhatIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(time.Second, 0)
		publish(w, "example.com/a", 1000, "v1.0.0", "v1.1.0")
		publish(w, "example.com/b", 1000, "v1.0.0")
		use(t, w, listOf("example.com/a"), zip("example.com/a", "v1.1.0"), listOf("example.com/b"), zip("example.com/b", "v1.0.0"))
		began := len(w.fetched())
		watching(t, w, WatchConfig{Patterns: []string{"all"}, Served: fixed("example.com/a", "example.com/b"), Every: time.Hour}, func(wa *Watcher) {
			time.Sleep(time.Minute)
			if got := zipsOf(w, began); got != "" {
				t.Errorf("fetched %s, but nothing is new", got)
			}
			publish(w, "example.com/a", 1000, "v1.0.0", "v1.0.1", "v1.1.0", "v1.2.0", "v1.3.0-rc.1")
			time.Sleep(90 * time.Minute)
			if got, want := zipsOf(w, began), "example.com/a@v1.2.0 example.com/a@v1.3.0-rc.1"; got != want {
				t.Errorf("fetched %q, want %q", got, want)
			}
			for _, kind := range []goproxy.Kind{goproxy.Info, goproxy.Mod, goproxy.Zip} {
				if f, err := w.Open(goproxy.WithCachedOnly(t.Context()), request(mod("example.com/a", "v1.2.0"), kind)); err != nil {
					t.Errorf("%v is not there: %v", kind, err)
				} else {
					f.Close()
				}
			}
			p := wa.Progress()
			if p.Versions != 2 || p.Done != 2 || p.Due != 2 || p.Running || p.Failing != 0 || p.Bytes < 2000 || p.NextRun.Sub(p.LastRun) < time.Hour {
				t.Errorf("%+v", p)
			}
			// A client looks at the list before the Watcher does; what it saw is new all the same.
			publish(w, "example.com/a", 1000, "v1.2.0", "v1.3.0-rc.1", "v1.3.0", "v1.4.0")
			use(t, w, listOf("example.com/a"))
			time.Sleep(90 * time.Minute)
			if got, want := zipsOf(w, began), "example.com/a@v1.2.0 example.com/a@v1.3.0 example.com/a@v1.3.0-rc.1 example.com/a@v1.4.0"; got != want {
				t.Errorf("fetched %q, want %q", got, want)
			}
		})
	})
}

// Which modules are watched, and what is fetched of one that nobody has asked for yet.
func TestWatcherPatterns(t *testing.T) {
	tests := []struct{ patterns, want string }{
		{"all", "example.com/a@v1.1.0 example.com/x/b@v1.1.0 example.org/c@v1.1.0"},
		{"example.com/*", "example.com/a@v1.1.0 example.com/x/b@v1.1.0"},
		{"example.com/x", "example.com/x/b@v1.1.0"}, // names a module, which is not there, and a prefix
		{"example.net/never", "example.net/never@v1.1.0"},
		{"example.net/*", ""},
		{"", ""},
	}
	for _, test := range tests {
		t.Run(test.patterns, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(0, 0)
				served := []string{"example.com/a", "example.com/x/b", "example.org/c"}
				for _, path := range append(served, "example.net/never") {
					publish(w, path, 100, "v1.0.0", "v1.1.0")
				}
				cfg := WatchConfig{Patterns: strings.Split(test.patterns, ","), Served: fixed(served...), Every: time.Hour}
				watching(t, w, cfg, func(*Watcher) {
					time.Sleep(time.Minute)
					if got := zipsOf(w, 0); got != test.want {
						t.Errorf("got %s, want %s", got, test.want)
					}
				})
			})
		})
	}
}

func TestWatcherKeepsPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(0, 0)
		publish(w, "example.com/a", 100, "v1.0.0")
		publish(w, "example.com/secret", 100, "v1.0.0")
		cfg := WatchConfig{Patterns: []string{"all"}, Served: fixed("example.com/a", "example.com/secret"), Allow: func(req goproxy.Request) bool { return req.Path == "example.com/a" }}
		watching(t, w, cfg, func(*Watcher) {
			time.Sleep(time.Minute)
			for _, req := range w.fetched() {
				if req.Path != "example.com/a" {
					t.Errorf("asked for %v", req)
				}
			}
			if got := zipsOf(w, 0); got != "example.com/a@v1.0.0" {
				t.Errorf("fetched %q", got)
			}
		})
	})
}

// manyModules are n new ones.
func manyModules(w *world, n, zip int) (paths []string) {
	for i := range n {
		path := fmt.Sprintf("example.com/m%03d", i)
		publish(w, path, zip, "v1.0.0")
		paths = append(paths, path)
	}
	return paths
}

func TestWatcherWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // begins at midnight UTC
		w := newWorld(10*time.Second, 0)
		paths := manyModules(w, 300, 100)
		window, err := ParseWindow("01:00-02:00")
		if err != nil {
			t.Fatal(err)
		}
		now := func() time.Time { return time.Now().UTC() }
		watching(t, w, WatchConfig{Patterns: []string{"all"}, Served: fixed(paths...), Window: window, Now: now}, func(wa *Watcher) {
			time.Sleep(59 * time.Minute)
			if n := len(w.fetched()); n != 0 {
				t.Errorf("%d files before the window", n)
			}
			time.Sleep(62 * time.Minute) // two minutes after its end
			first := wa.Progress()
			if first.Done == 0 || first.Done == first.Due || first.Due != 300 || first.Running {
				t.Errorf("after one window: %+v", first)
			}
			if want := time.Date(2000, 1, 2, 1, 0, 0, 0, time.UTC); !first.NextRun.Equal(want) {
				t.Errorf("goes on at %v, want %v", first.NextRun, want)
			}
			n := len(w.fetched())
			time.Sleep(20 * time.Hour)
			if len(w.fetched()) != n {
				t.Error("fetched outside the window")
			}
			time.Sleep(48 * time.Hour)
			if p := wa.Progress(); p.Done != 300 || p.Versions != 300 {
				t.Errorf("after more windows: %+v", p)
			}
			noneTwice(t, w)
		})
	})
}

func TestWatcherBandwidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(0, 0)
		paths := manyModules(w, 60, 1<<20)
		watching(t, w, WatchConfig{Patterns: []string{"all"}, Served: fixed(paths...), BytesPerSecond: 256 << 10, Parallel: 3}, func(wa *Watcher) {
			time.Sleep(4 * 59 * time.Second)
			if p := wa.Progress(); p.Bytes > 60<<20 || p.Done == 60 {
				t.Errorf("too early: %+v", p)
			}
			time.Sleep(time.Minute)
			if p := wa.Progress(); p.Bytes < 60<<20 || p.Done != 60 {
				t.Errorf("too late: %+v", p)
			}
		})
	})
}

// A module that fails is named once, tried again later and later, and welcomed back.
func TestWatcherBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(0, 0)
		publish(w, "example.com/a", 100, "v1.0.0")
		publish(w, "example.com/good", 100, "v1.0.0")
		broken := true
		w.fail = func(req goproxy.Request) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if broken && req.Path == "example.com/a" {
				return &goproxy.Error{Request: req, Err: errors.New("it is broken")}
			}
			return nil
		}
		var logged bytes.Buffer
		log := slog.New(slog.NewTextHandler(&logged, nil))
		tries := func() (n int) {
			for _, req := range w.fetched() {
				if req == listOf("example.com/a") {
					n++
				}
			}
			return n
		}
		watching(t, w, WatchConfig{Patterns: []string{"all"}, Served: fixed("example.com/a", "example.com/good"), Every: time.Hour, Logger: log}, func(wa *Watcher) {
			time.Sleep(24 * time.Hour)
			if n := tries(); n < 3 || n > 6 {
				t.Errorf("tried %d times in a day of hourly rounds", n)
			}
			if p := wa.Progress(); p.Failing != 1 || p.Done != 2 {
				t.Errorf("%+v", p)
			}
			if n := strings.Count(logged.String(), "it is broken"); n != 1 {
				t.Errorf("said %d times:\n%s", n, logged.String())
			}
			w.mu.Lock()
			broken = false
			w.mu.Unlock()
			time.Sleep(40 * time.Hour)
			if p := wa.Progress(); p.Failing != 0 {
				t.Errorf("%+v", p)
			}
			if got := zipsOf(w, 0); got != "example.com/a@v1.0.0 example.com/good@v1.0.0" {
				t.Errorf("fetched %s", got)
			}
		})
	})
}

// Where no upstream can be asked, the rest of the round is put off and not burnt.
func TestWatcherOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(0, 0)
		paths := manyModules(w, 100, 100)
		down := true
		w.fail = func(req goproxy.Request) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if down {
				return &goproxy.Error{Request: req, Err: goproxy.ErrUnavailable}
			}
			return nil
		}
		watching(t, w, WatchConfig{Patterns: []string{"all"}, Served: fixed(paths...), Every: 24 * time.Hour}, func(wa *Watcher) {
			time.Sleep(afterOutage - time.Minute)
			if n := len(w.fetched()); n < outage || n > outage+defaultWatchParallel {
				t.Errorf("%d tries while all is down", n)
			}
			w.mu.Lock()
			down = false
			w.mu.Unlock()
			time.Sleep(time.Hour)
			if p := wa.Progress(); p.Done != 100 || p.Versions < 100-outage-defaultWatchParallel {
				t.Errorf("%+v", p)
			}
			time.Sleep(60 * time.Hour)
			if p := wa.Progress(); p.Versions != 100 || p.Failing != 0 {
				t.Errorf("two rounds later: %+v", p)
			}
		})
	})
}

// Run returns while a module is being looked at.
func TestWatcherStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(time.Hour, 0)
		paths := manyModules(w, 10, 100)
		start := time.Now()
		watching(t, w, WatchConfig{Patterns: []string{"all"}, Served: fixed(paths...)}, func(wa *Watcher) {
			if p := wa.Progress(); !p.Running || p.Due != 10 {
				t.Errorf("%+v", p)
			}
		})
		if d := time.Since(start); d != 0 {
			t.Errorf("it took %v to stop", d)
		}
		time.Sleep(2 * time.Hour) // the fills are the source's
	})
}

// An old list that is served because no upstream can be asked is no look at the module.
func TestWatcherIsNotDeceivedByOldLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		result := "stale"
		list := goproxy.SourceFunc(func(_ context.Context, req goproxy.Request) (goproxy.File, error) {
			if req.Kind != goproxy.List {
				return nil, &goproxy.Error{Request: req, Err: goproxy.ErrNotExist}
			}
			return goproxy.NewFile(req, []byte("v1.0.0\n"), time.Time{}, &goproxy.Meta{Result: result}), nil
		})
		w := NewWatcher(WatchConfig{Source: list})
		if err := w.look(t.Context(), "example.com/a"); !errors.Is(err, goproxy.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		if p := w.Progress(); p.Failing != 1 {
			t.Errorf("%+v", p)
		}
		time.Sleep(24 * time.Hour)
		result = "miss"
		if err := w.look(t.Context(), "example.com/a"); errors.Is(err, goproxy.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	})
}
