package prefetch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

// filesOf are the files of a synthetic project, as Project.Files orders them.
func filesOf(p *project) []goproxy.Request {
	l := newFileList()
	for _, kind := range []goproxy.Kind{goproxy.Mod, goproxy.Info, goproxy.Zip} {
		l.addAll(p.roots, kind)
	}
	return l.list
}

// TestRunFillsTheLink wants a link with a long round trip to be busy from the first to the last byte.
func TestRunFillsTheLink(t *testing.T) {
	for _, seed := range seeds() {
		synctest.Test(t, func(t *testing.T) {
			const rate = 4 << 20
			w := newWorld(200*time.Millisecond, rate)
			p := newProject(w, 150, seed)
			var res Result
			elapsed := took(func() {
				var err error
				if res, err = Run(t.Context(), w, filesOf(p), Options{}); err != nil {
					t.Error(err)
				}
			})
			if res.Fetched != 450 || res.Bytes != w.bytes || len(res.Missing) > 0 {
				t.Errorf("%+v, and the link carried %d bytes", res, w.bytes)
			}
			ideal := time.Duration(float64(w.bytes) / rate * float64(time.Second))
			if elapsed > ideal*115/100 {
				t.Errorf("took %v for what the link can carry in %v", elapsed, ideal)
			}
			t.Logf("%v of %v", elapsed, ideal)
		})
	}
}

// TestRunAheadOfClient runs a go mod download beside Run: it is over soon after the link has
// carried everything once.
func TestRunAheadOfClient(t *testing.T) {
	for _, seed := range seeds() {
		synctest.Test(t, func(t *testing.T) {
			const rate = 4 << 20
			w := newWorld(200*time.Millisecond, rate)
			p := newProject(w, 150, seed)
			gate := &Gate{}
			var wg sync.WaitGroup
			elapsed := took(func() {
				wg.Go(func() {
					if _, err := Run(t.Context(), w, filesOf(p), Options{Gate: gate}); err != nil {
						t.Error(err)
					}
				})
				g := newGoCmd(t, w, nil)
				g.src = gate.Watch(w)
				g.modDownload(p.roots)
			})
			wg.Wait()
			noneTwice(t, w)
			ideal := time.Duration(float64(w.bytes) / rate * float64(time.Second))
			if elapsed > ideal*12/10 {
				t.Errorf("took %v for what the link can carry in %v", elapsed, ideal)
			}
			t.Logf("%v of %v", elapsed, ideal)
		})
	}
}

// TestRunWidens wants more small files at a time where the round trip is what costs.
func TestRunWidens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(time.Second, 0)
		files := w.many(640, 0, goproxy.Mod)
		elapsed := took(func() {
			if _, err := Run(t.Context(), w, files, Options{}); err != nil {
				t.Error(err)
			}
		})
		if elapsed > 14*time.Second { // 10 s with 64 at a time from the beginning, 40 s with 16
			t.Errorf("took %v", elapsed)
		}
		w = newWorld(time.Second, 0)
		w.fail = func(goproxy.Request) error { return &goproxy.Error{Err: goproxy.ErrNotExist} }
		elapsed = took(func() {
			if _, err := Run(t.Context(), w, files[:20], Options{Parallel: 2}); err != nil {
				t.Error(err)
			}
		})
		if elapsed != 10*time.Second {
			t.Errorf("20 files, 2 at a time, took %v", elapsed)
		}
	})
}

// TestGateYields wants few zips on their way ahead while a client waits for something else, and as many
// as before when it has it.
func TestGateYields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(time.Second, 0)
		files := w.many(100, 10, goproxy.Zip)
		gate := &Gate{}
		running := func() int { // on their way now
			w.mu.Lock()
			defer w.mu.Unlock()
			n := 0
			for _, f := range w.fills {
				select {
				case <-f.done:
				default:
					n++
				}
			}
			return n
		}
		done := gate.Demand(mod0("example.com/urgent"))
		over := make(chan struct{})
		go func() {
			defer close(over)
			if _, err := Run(t.Context(), w, files, Options{Gate: gate}); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		if n := running(); n != yielding {
			t.Errorf("%d zips on their way while a client waits", n)
		}
		inFlight := gate.Demand(files[0])
		done()
		synctest.Wait()
		if n := running(); n != 8 {
			t.Errorf("%d zips on their way when the client waits for one of them", n)
		}
		inFlight()
		<-over
	})
}

func mod0(path string) goproxy.Request { return request(mod(path, "v1.0.0"), goproxy.Zip) }

// TestGateLeavesToClient wants a file that a client is fetching to be left to it.
func TestGateLeavesToClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(time.Second, 0)
		gate := &Gate{}
		w.add(mod("example.com/a", "v1.0.0"), "", 10)
		req := mod0("example.com/a")
		client := gate.Watch(w)
		asked := gate.Asked()
		select {
		case <-asked:
			t.Error("somebody has asked before anybody did")
		default:
		}
		got := make(chan error, 1)
		go func() {
			f, err := client.Open(t.Context(), req)
			if err == nil {
				err = f.Close()
			}
			got <- err
		}()
		<-asked
		<-gate.Asked()
		synctest.Wait()
		elapsed := took(func() {
			res, err := Run(t.Context(), w, []goproxy.Request{req}, Options{Gate: gate})
			if err != nil || res.Fetched != 0 || len(res.Missing) != 0 {
				t.Errorf("%+v, %v", res, err)
			}
		})
		if elapsed != 0 {
			t.Errorf("waited %v for what a client is fetching", elapsed)
		}
		if err := <-got; err != nil {
			t.Error(err)
		}
		if gate.busy() {
			t.Error("the gate still waits for a client that was served")
		}
		for _, ctx := range []context.Context{t.Context(), goproxy.WithCachedOnly(t.Context())} {
			f, err := client.Open(ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			if gate.busy() {
				t.Error("what is in the cache keeps the gate busy")
			}
			_ = f.Close()
		}
		if _, err := client.Open(t.Context(), mod0("example.com/none")); !errors.Is(err, goproxy.ErrNotExist) || gate.busy() {
			t.Errorf("%v, busy: %v", err, gate.busy())
		}
	})
}

// TestRunResult counts what was there, what came and what is missing, and tells of it.
func TestRunResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(time.Millisecond, 0)
		for _, p := range []string{"here", "there", "more"} {
			w.add(mod("example.com/"+p, "v1.0.0"), "", 1000)
		}
		if _, err := goproxy.ReadFile(t.Context(), w, mod0("example.com/here")); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		steps := map[goproxy.Request][]Step{}
		bytes := map[goproxy.Request]int64{}
		res, err := Run(t.Context(), w, []goproxy.Request{
			mod0("example.com/here"), mod0("example.com/there"), mod0("example.com/gone"), mod0("example.com/there"), mod0("example.com/skipped"),
		}, Options{
			Skip: func(req goproxy.Request) bool { return req.Path == "example.com/skipped" },
			More: func(ctx context.Context, src goproxy.Source, add func(...goproxy.Request)) {
				m := mod("example.com/more", "v1.0.0")
				if _, err := goproxy.ReadFile(ctx, src, request(m, goproxy.Mod)); err != nil {
					t.Error(err)
				}
				add(request(m, goproxy.Mod))
				add(request(m, goproxy.Zip), mod0("example.com/gone"))
			},
			Progress: func(ev Event) {
				mu.Lock()
				defer mu.Unlock()
				if ev.Step == Arrived {
					bytes[ev.Request] += ev.Bytes
					return
				}
				steps[ev.Request] = append(steps[ev.Request], ev.Step)
				if ev.Step == Done && !ev.Cached && ev.Err == nil && ev.Request.Kind == goproxy.Zip && (ev.Bytes != 1000 || bytes[ev.Request] != 1000) {
					t.Errorf("%+v, of which %d bytes were told before", ev, bytes[ev.Request])
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if res.Cached != 1 || res.Fetched != 3 || res.Bytes != 2000+int64(len("module example.com/more\n")) {
			t.Errorf("%+v", res)
		}
		if len(res.Missing) != 1 || res.Missing[0].Request != mod0("example.com/gone") || !errors.Is(res.Missing[0].Err, goproxy.ErrNotExist) {
			t.Errorf("missing: %+v", res.Missing)
		}
		for req, want := range map[goproxy.Request][]Step{
			mod0("example.com/here"):                                {Queued, Done},
			mod0("example.com/there"):                               {Queued, Started, Done},
			mod0("example.com/gone"):                                {Queued, Done},
			request(mod("example.com/more", "v1.0.0"), goproxy.Mod): {Queued, Done},
		} {
			if !slices.Equal(steps[req], want) {
				t.Errorf("%s: steps %v, want %v", req, steps[req], want)
			}
			delete(steps, req)
		}
		if len(steps) != 1 {
			t.Errorf("steps of others: %v", steps)
		}
		noneTwice(t, w)
	})
}

// TestRunRetries asks once more for what could not be had, at the end, and not for what is not there.
func TestRunRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(time.Millisecond, 0)
		tries := map[string]int{}
		w.fail = func(req goproxy.Request) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			tries[req.Path]++
			if req.Path == "example.com/never" || req.Path == "example.com/once" && tries[req.Path] == 1 {
				return &goproxy.Error{Request: req, Err: goproxy.ErrUnavailable}
			}
			return nil
		}
		w.add(mod("example.com/once", "v1.0.0"), "", 10)
		files := []goproxy.Request{mod0("example.com/once"), mod0("example.com/never"), mod0("example.com/absent")}
		res, err := Run(t.Context(), w, files, Options{Retry: true})
		if err != nil || res.Fetched != 1 || len(res.Missing) != 2 {
			t.Errorf("%+v, %v", res, err)
		}
		if tries["example.com/once"] != 2 || tries["example.com/never"] != 2 || tries["example.com/absent"] != 1 {
			t.Errorf("tries: %v", tries)
		}
	})
}

// TestRunGivesUp stops asking an upstream that cannot be asked, and says so of each file.
func TestRunGivesUp(t *testing.T) {
	for _, retry := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(time.Millisecond, 0)
			w.fail = func(req goproxy.Request) error { return &goproxy.Error{Request: req, Err: goproxy.ErrUnavailable} }
			var files []goproxy.Request
			for i := range 200 {
				files = append(files, mod0(fmt.Sprintf("example.com/m%d", i)))
			}
			res, err := Run(t.Context(), w, files, Options{Retry: retry})
			if err != nil || len(res.Missing) != 200 {
				t.Fatalf("%d of 200 are missing, %v", len(res.Missing), err)
			}
			if n := len(w.fetched()); n < maxFailures || n > maxFailures+16 {
				t.Errorf("%d requests", n)
			}
			notAsked := 0
			for _, m := range res.Missing {
				if !errors.Is(m.Err, goproxy.ErrUnavailable) {
					t.Errorf("%s: %v", m.Request, m.Err)
				}
				if errors.Is(m.Err, errNotAsked) {
					notAsked++
				}
			}
			if n := len(w.fetched()); notAsked != 200-n {
				t.Errorf("%d were not asked for, %d were", notAsked, n)
			}
		})
	}
}

// TestRunCanceled ends at once, and says what has come.
func TestRunCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(time.Second, 0)
		files := w.many(100, 10, goproxy.Zip)
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		elapsed := took(func() {
			res, err := Run(ctx, w, files, Options{Retry: true})
			if !errors.Is(err, context.DeadlineExceeded) || res.Fetched != 8 || len(res.Missing) > 0 {
				t.Errorf("%+v, %v", res, err)
			}
		})
		if elapsed != 1500*time.Millisecond {
			t.Errorf("ended after %v", elapsed)
		}
		time.Sleep(time.Second) // fills outlive their asker
	})
}

// TestLane holds the width to what it brings.
func TestLane(t *testing.T) {
	now := time.Now()
	l := newLane(8, 16, now)
	stretch := func(units int64, took time.Duration) int {
		for range l.width - 1 {
			l.brought(units, now)
		}
		now = now.Add(took)
		l.brought(units, now)
		return l.width
	}
	for i, step := range []struct {
		units int64
		took  time.Duration
		want  int
	}{
		{100, time.Second, 12},             // the first stretch has nothing to be compared with
		{100, time.Second, 16},             // twelve in the same time
		{100, time.Second, 16},             // the limit
		{100, 2 * time.Second, 16},         // slower
		{100, 1900 * time.Millisecond, 16}, // hardly better
	} {
		if got := stretch(step.units, step.took); got != step.want {
			t.Errorf("stretch %d: %d wide, want %d", i, got, step.want)
		}
	}
	for _, want := range []int{8, 4, 2, 2} {
		if l.failed(now); l.width != want {
			t.Errorf("%d wide after a failure, want %d", l.width, want)
		}
	}
	one := newLane(8, 1, now)
	if one.failed(now); one.width != 1 {
		t.Errorf("%d wide where one is the limit", one.width)
	}
}
