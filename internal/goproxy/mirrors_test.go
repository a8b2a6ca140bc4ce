package goproxy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/goproxy/sourcetest"
)

const ms = time.Millisecond

func TestMirrorsSource(t *testing.T) {
	sample := sourcetest.Sample()
	files := fstest.MapFS{}
	for name, data := range sample.Files {
		files[name] = &fstest.MapFile{Data: data}
	}
	set := goproxy.NewMirrors(goproxy.MirrorsConfig{Mirrors: []goproxy.Mirror{
		{Name: "a", Source: goproxy.Tree(fstest.MapFS{}, "a")}, // has nothing
		{Name: "b", Source: goproxy.Tree(files, "b")},
	}})
	sourcetest.Run(t, set, sample)
	set.Close()
}

// The promise: one mirror is dead, one stalls, one is good. Nobody sees a failure, and the dead one
// costs less than two seconds once.
func TestMirrorsDeadStallingGood(t *testing.T) {
	orders := [][]act{
		{isDead, stalls, serves(200*ms, "good")},
		{stalls, isDead, serves(200*ms, "good")},
		{serves(200*ms, "good"), isDead, stalls},
		{isDead, serves(200*ms, "good"), stalls},
	}
	for i, acts := range orders {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, goproxy.MirrorsConfig{}, acts...)
				start := time.Now()
				const n = 400
				for range n / 8 {
					var wg sync.WaitGroup
					for range 8 {
						wg.Go(func() { f.want(t, "good", 1900*ms) })
					}
					wg.Wait()
				}
				took, clean := time.Since(start), n/8*200*ms
				if took > clean+2*time.Second+clean/4 {
					t.Errorf("took %v; without the bad ones it takes %v", took, clean)
				}
			})
		})
	}
}

// A request that goes to a mirror that went out meanwhile is asked of another one at once.
func TestMirrorsFailOverTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// It is known as fast, and dead since: the budget alone would not do for all who ask at once.
		f := newFleet(t, goproxy.MirrorsConfig{Saved: []goproxy.MirrorState{{Name: "a", Latency: 50 * ms}}}, isDead, serves(100*ms, "b"))
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { f.want(t, "b", time.Second) })
		}
		wg.Wait()
		if got := f.told(goproxy.MirrorOut); !slices.Equal(got, []string{"a"}) {
			t.Errorf("out: %v", got)
		}
		f.want(t, "b", 100*ms)
	})
}

// Who is first, by what is known.
func TestMirrorsBest(t *testing.T) {
	fast := func(rate int64, latency time.Duration) goproxy.MirrorState {
		return goproxy.MirrorState{Latency: latency, Throughput: rate}
	}
	out := fast(1<<30, ms)
	out.OutUntil, out.Why = time.Now().Add(time.Hour), "test"
	tests := []struct {
		name     string
		saved    []goproxy.MirrorState
		mod, zip int
	}{
		{"nothing is known", []goproxy.MirrorState{{}, {}, {}}, 0, 0},
		{"the known one goes first", []goproxy.MirrorState{{}, {}, fast(0, 300*ms)}, 2, 2},
		{"latency", []goproxy.MirrorState{fast(1e6, 90*ms), fast(1e6, 30*ms), fast(1e6, 60*ms)}, 1, 1},
		{"throughput", []goproxy.MirrorState{fast(1e6, 30*ms), fast(8e6, 90*ms), fast(2e6, 60*ms)}, 0, 1},
		{"throughput does not outweigh all", []goproxy.MirrorState{fast(8e6, 30*ms), fast(9e6, 900*ms), {}}, 0, 0},
		{"an unknown throughput is tried where that matters", []goproxy.MirrorState{fast(1e5, 30*ms), fast(0, 90*ms), {}}, 0, 1},
		{"not one that is out", []goproxy.MirrorState{out, fast(1e6, 90*ms), fast(1e6, 60*ms)}, 2, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for i := range tt.saved {
				tt.saved[i].Name = string(rune('a' + i))
			}
			for name, want := range map[string]int{modName: tt.mod, zipName: tt.zip} {
				f := newFleet(t, goproxy.MirrorsConfig{Saved: tt.saved}, serves(0, "x"), serves(0, "x"), serves(0, "x"))
				if _, err := f.get(t.Context(), t, name); err != nil {
					t.Fatal(err)
				}
				if got := slices.Index(f.counts(), 1); got != want {
					t.Errorf("%s: mirror %d was asked, want %d", name, got, want)
				}
			}
		})
	}
}

// What is measured decides: the faster one is found out, and found out again when it changes.
func TestMirrorsMeasure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		delay := []time.Duration{200 * ms, 50 * ms, 120 * ms}
		var acts []act
		for i := range delay {
			acts = append(acts, func(ctx context.Context, n int, req goproxy.Request) (goproxy.File, error) {
				return serves(delay[i], "x")(ctx, n, req)
			})
		}
		f := newFleet(t, goproxy.MirrorsConfig{}, acts...)
		rounds := func(n int) []int {
			f.counts()
			for range n {
				f.want(t, "x", time.Second)
			}
			return f.counts()
		}
		rounds(100)
		if got := rounds(300); got[1] < 290 || got[0] < 1 || got[2] < 1 {
			t.Errorf("asked %v; the second is the fastest, and the others are measured now and then", got)
		}
		delay[1] = 250 * ms // not so slow that anybody would be asked in its place
		rounds(300)
		if got := rounds(300); got[2] < 290 || got[0] < 1 || got[1] < 1 {
			t.Errorf("asked %v; the third is the fastest now", got)
		}
		if s := f.state("c"); s.Latency != 120*ms || s.Deviation > 5*ms {
			t.Errorf("state %+v", s)
		}
		if n := len(f.told(goproxy.MirrorOut)); n != 0 {
			t.Errorf("%d mirrors went out", n)
		}
	})
}

// Two that are alike do not take turns.
func TestMirrorsStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		jitter := func(ctx context.Context, n int, req goproxy.Request) (goproxy.File, error) {
			return serves(time.Duration(100+n*37%20)*ms, "x")(ctx, n, req)
		}
		f := newFleet(t, goproxy.MirrorsConfig{}, jitter, jitter)
		for range 1000 {
			f.want(t, "x", time.Second)
		}
		if got := f.counts(); got[0] < 970 || got[1] < 10 {
			t.Errorf("asked %v", got)
		}
	})
}

func TestMirrorsThroughput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, goproxy.MirrorsConfig{}, large(50*ms, 4<<20, 1<<20, -1), large(200*ms, 4<<20, 8<<20, -1))
		read := func() {
			file, err := f.Open(t.Context(), mustParse(t, zipName))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			for {
				if _, err := file.Read(make([]byte, 32<<10)); err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Second) // the time of who reads does not count
			}
		}
		read()
		if s := f.state("a"); s.Throughput < 1<<20-100 || s.Throughput > 1<<20+100 {
			t.Errorf("state %+v", s)
		}
		for range 10 { // b answers for the first time
			if _, err := f.get(t.Context(), t, modName); err != nil {
				t.Fatal(err)
			}
		}
		f.counts()
		for range 5 {
			read()
		}
		if got := f.counts(); got[0] != 0 || got[1] != 5 {
			t.Errorf("asked %v; the second is slower to answer, and carries more", got)
		}
	})
}

// One that is slower than usual gets company; the loser is cancelled and blamed for nothing.
func TestMirrorsHedge(t *testing.T) {
	for _, percent := range []int{0, -1} {
		synctest.Test(t, func(t *testing.T) {
			slow := then(serves(100*ms, "a"), serves(100*ms, "a"), serves(100*ms, "a"), serves(4*time.Second, "a"), serves(100*ms, "a"))
			f := newFleet(t, goproxy.MirrorsConfig{HedgePercent: percent}, slow, serves(100*ms, "b"))
			for range 3 {
				f.want(t, "a", 100*ms)
			}
			if percent < 0 {
				f.want(t, "a", 4*time.Second)
			} else {
				f.want(t, "b", 400*ms)
				synctest.Wait()
				if n := f.stubs[0].cancelled; n != 1 {
					t.Errorf("%d requests were cancelled", n)
				}
				if got := f.told(goproxy.MirrorHedged); !slices.Equal(got, []string{"b"}) || !slices.Equal(got, f.told(goproxy.MirrorWon)) {
					t.Errorf("hedged with %v", got)
				}
			}
			if s := f.state("a"); s.Failures != 0 || !s.OutUntil.IsZero() {
				t.Errorf("state %+v", s)
			}
		})
	}
}

// The first answer counts, also where the second was asked and loses.
func TestMirrorsHedgeLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, goproxy.MirrorsConfig{}, serves(1500*ms, "a"), serves(time.Second, "b"))
		f.want(t, "a", 1500*ms)
		synctest.Wait()
		if n := f.stubs[1].cancelled; n != 1 || len(f.told(goproxy.MirrorWon)) != 0 || len(f.told(goproxy.MirrorOut)) != 0 {
			t.Errorf("%d requests to the second were cancelled, events %v", n, f.events)
		}
	})
}

// However slow and jittery a mirror is, the extra requests stay within the budget.
func TestMirrorsBudget(t *testing.T) {
	for _, percent := range []int{0, 1, 20, -1} {
		t.Run(fmt.Sprint(percent), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				jitter := func(ctx context.Context, n int, req goproxy.Request) (goproxy.File, error) {
					d := 100 * ms
					if n%7 == 0 {
						d = 2500 * ms
					}
					return serves(d, "x")(ctx, n, req)
				}
				f := newFleet(t, goproxy.MirrorsConfig{HedgePercent: percent}, jitter, jitter, jitter)
				const n = 10_000
				for range n {
					if _, err := f.get(t.Context(), t, modName); err != nil {
						t.Fatal(err)
					}
				}
				extra, hedged := -n, len(f.told(goproxy.MirrorHedged))
				for _, c := range f.counts() {
					extra += c
				}
				share := percent
				if share == 0 {
					share = 5
				}
				most := max(share, 0)*n/100 + 12 // those that have never answered do not count
				if extra > most || extra != hedged || percent >= 0 && extra < most/2 {
					t.Errorf("%d extra requests, %d told, want %d at most", extra, hedged, most)
				}
			})
		})
	}
}

// A mirror that is far too late gets company although the budget is used up, one request at a time.
func TestMirrorsOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stalled := false
		a := func(ctx context.Context, n int, req goproxy.Request) (goproxy.File, error) {
			if stalled {
				return stalls(ctx, n, req)
			}
			return serves(100*ms, "a")(ctx, n, req)
		}
		saved := []goproxy.MirrorState{{Name: "a", Latency: 100 * ms}, {Name: "b", Latency: time.Second}}
		f := newFleet(t, goproxy.MirrorsConfig{HedgePercent: 1, Saved: saved}, a, serves(time.Second, "b"))
		f.want(t, "a", 100*ms)
		stalled = true
		// All of the budget goes to those who leave before it helps.
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 500*ms)
				defer cancel()
				if _, err := f.get(ctx, t, modName); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
		f.counts()
		for range 20 {
			wg.Go(func() { f.want(t, "b", 6*time.Second) })
		}
		time.Sleep(3500 * ms)
		if got := f.counts(); got[0] != 20 || got[1] != 1 {
			t.Errorf("asked %v, want one more", got)
		}
		wg.Wait()
		if s := f.state("a"); s.OutUntil.IsZero() || s.Failures != 0 {
			t.Errorf("state %+v", s)
		}
	})
}

// Failures, and how long they keep a mirror out.
func TestMirrorsOut(t *testing.T) {
	dial := fails(10*ms, fmt.Errorf("%w: %w", goproxy.ErrUnavailable, context.DeadlineExceeded))
	tests := []struct {
		name  string
		act   act
		after int           // failures
		most  time.Duration // the first time it is out; at least 0.75 of it
		least time.Duration
	}{
		{"500", fails(10*ms, goproxy.ErrUnavailable), 2, 12500 * ms, 7500 * ms},
		{"a fault", fails(10*ms, errors.New("disk on fire")), 2, 12500 * ms, 7500 * ms},
		{"timeout", dial, 1, 12500 * ms, 7500 * ms},
		{"dead", isDead, 1, 12500 * ms, 7500 * ms},
		{"Retry-After", fails(10*ms, askedAgain{40 * time.Second}), 1, 40 * time.Second, 40 * time.Second},
		{"a long Retry-After", fails(10*ms, askedAgain{time.Hour}), 1, 5 * time.Minute, 5 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, goproxy.MirrorsConfig{}, tt.act)
				for range tt.after {
					if s := f.state("a"); !s.OutUntil.IsZero() {
						t.Fatalf("out too early: %+v", s)
					}
					if _, err := f.get(t.Context(), t, modName); err == nil {
						t.Fatal("no error")
					}
				}
				s := f.state("a")
				if left := time.Until(s.OutUntil); left > tt.most || left < tt.least || s.Why == "" || s.Failures != int64(tt.after) || s.InRow != tt.after {
					t.Errorf("out for %v: %+v", left, s)
				}
				if strings.Contains(s.Why, "example.com") {
					t.Errorf("why: %s", s.Why)
				}
			})
		})
	}
}

// A mirror that is out is asked by nobody, then by one; each time that fails it is out for
// longer. When it answers, it is as good as any.
func TestMirrorsProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		well := false
		a := func(ctx context.Context, n int, req goproxy.Request) (goproxy.File, error) {
			if well {
				return serves(10*ms, "a")(ctx, n, req)
			}
			return isDead(ctx, n, req)
		}
		f := newFleet(t, goproxy.MirrorsConfig{}, a, serves(100*ms, "b"))
		f.want(t, "b", 2*time.Second)
		f.counts()
		var spans []time.Duration
		for range 7 {
			s := f.state("a")
			spans = append(spans, time.Until(s.OutUntil))
			for time.Now().Before(s.OutUntil.Add(-200 * ms)) {
				f.want(t, "b", 100*ms)
				time.Sleep(time.Second)
			}
			if n := f.counts()[0]; n != 0 {
				t.Fatalf("asked %d times while it is out", n)
			}
			time.Sleep(time.Until(s.OutUntil))
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() { f.want(t, "b", 400*ms) })
			}
			wg.Wait()
			if n := f.counts()[0]; n != 1 {
				t.Fatalf("probed by %d requests", n)
			}
		}
		for i, span := range spans {
			usual := min(10*time.Second<<i, 5*time.Minute)
			if span < usual*3/4-time.Second || span > usual*5/4 {
				t.Errorf("out for %v the %d. time, want about %v", span, i+1, usual)
			}
		}
		well = true
		time.Sleep(10 * time.Minute)
		f.want(t, "a", 10*ms)
		f.counts()
		for range 5 { // one of them may measure the other
			if _, err := f.get(t.Context(), t, modName); err != nil {
				t.Fatal(err)
			}
		}
		if got := f.counts(); got[0] < 4 {
			t.Errorf("asked %v", got)
		}
		if s := f.state("a"); !s.OutUntil.IsZero() || s.Why != "" || !slices.Equal(f.told(goproxy.MirrorBack), []string{"a"}) {
			t.Errorf("state %+v", s)
		}
		// Much later it is out for a short time again.
		well = false
		time.Sleep(time.Hour)
		f.want(t, "b", time.Second)
		for f.state("a").OutUntil.IsZero() {
			f.want(t, "b", time.Second)
		}
		if left := time.Until(f.state("a").OutUntil); left > 13*time.Second {
			t.Errorf("out for %v", left)
		}
	})
}

// An answer to a request from before a mirror went out does not bring it back.
func TestMirrorsOldNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timeout := fmt.Errorf("%w: %w", goproxy.ErrUnavailable, context.DeadlineExceeded)
		f := newFleet(t, goproxy.MirrorsConfig{}, then(serves(60*ms, "a"), fails(50*ms, timeout)), serves(time.Second, "b"))
		var wg sync.WaitGroup
		wg.Go(func() { f.want(t, "a", 60*ms) })
		synctest.Wait()
		wg.Go(func() { f.want(t, "b", 1050*ms) })
		wg.Wait()
		if s := f.state("a"); s.OutUntil.IsZero() || len(f.told(goproxy.MirrorBack)) != 0 {
			t.Errorf("state %+v", s)
		}
	})
}

// When all are out, they are asked anyway, in the order in which their time ends.
func TestMirrorsAllOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		saved := []goproxy.MirrorState{
			{Name: "a", OutUntil: now.Add(50 * time.Second)}, {Name: "b", OutUntil: now.Add(20 * time.Second)}, {Name: "c", OutUntil: now.Add(90 * time.Hour)},
		}
		f := newFleet(t, goproxy.MirrorsConfig{Saved: saved}, serves(ms, "a"), then(serves(ms, "b"), fails(ms, goproxy.ErrUnavailable)), isDead)
		if left := time.Until(f.state("c").OutUntil); left != time.Hour {
			t.Errorf("what was saved keeps a mirror out for %v", left)
		}
		f.want(t, "b", ms)
		if got := f.counts(); !slices.Equal(got, []int{0, 1, 0}) {
			t.Errorf("asked %v", got)
		}
		f.want(t, "a", 2*ms) // b fails, and there is nobody else in service

		dead := newFleet(t, goproxy.MirrorsConfig{}, isDead, isDead, isDead, isDead)
		for range 10 {
			start := time.Now()
			if _, err := dead.get(t.Context(), t, modName); !errors.Is(err, goproxy.ErrUnavailable) || goproxy.Absent(err) {
				t.Fatalf("got %v", err)
			}
			if took := time.Since(start); took > 30*time.Second {
				t.Errorf("took %v", took)
			}
		}
	})
}

// A mirror that is out is asked as well where the one in service took its time to fail.
func TestMirrorsOutAfterSlowFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		saved := []goproxy.MirrorState{{Name: "a", OutUntil: time.Now().Add(time.Hour)}}
		f := newFleet(t, goproxy.MirrorsConfig{Saved: saved}, serves(ms, "a"), fails(40*time.Second, goproxy.ErrUnavailable))
		f.want(t, "a", 40*time.Second+ms)
	})
}

// An asker who leaves is no failure of a mirror, and leaves nothing behind.
func TestMirrorsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, goproxy.MirrorsConfig{}, stalls, stalls)
		reason := errors.New("had enough")
		for i := range 20 {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Duration(i*200)*ms, func() { cancel(reason) })
			if _, err := f.get(ctx, t, modName); !errors.Is(err, reason) || goproxy.Absent(err) {
				t.Errorf("got %v", err)
			}
			if _, err := f.get(ctx, t, modName); !errors.Is(err, reason) {
				t.Errorf("got %v", err)
			}
		}
		// In the middle of a body.
		body := newFleet(t, goproxy.MirrorsConfig{}, large(0, 1<<20, 1<<20, -1))
		ctx, cancel := context.WithCancel(t.Context())
		file, err := body.Open(ctx, mustParse(t, zipName))
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, err := io.ReadAll(file); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		file.Close()
		for _, s := range append(f.State(), body.State()...) {
			if s.Failures != 0 || !s.OutUntil.IsZero() {
				t.Errorf("state %+v", s)
			}
		}
	})
}

func TestMirrorsInvalid(t *testing.T) {
	f := newFleet(t, goproxy.MirrorsConfig{}, serves(0, "x"))
	if _, err := f.Open(t.Context(), goproxy.Request{Path: "no dot", Kind: goproxy.List}); !errors.Is(err, goproxy.ErrInvalid) || f.stubs[0].count() != 0 {
		t.Errorf("got %v", err)
	}
	none := newFleet(t, goproxy.MirrorsConfig{})
	for _, ctx := range []context.Context{t.Context(), goproxy.WithCachedOnly(t.Context())} {
		if _, err := none.get(ctx, t, modName); !errors.Is(err, goproxy.ErrUnavailable) {
			t.Errorf("no mirrors: %v", err)
		}
	}
}

// Who asks for what is there already asks nobody's network, and teaches nothing.
func TestMirrorsCachedOnly(t *testing.T) {
	f := newFleet(t, goproxy.MirrorsConfig{}, fails(0, goproxy.ErrNotExist), serves(0, "b"))
	if got, err := f.get(goproxy.WithCachedOnly(t.Context()), t, modName); got != "b" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	for _, s := range f.State() {
		if s.Requests != 0 || s.Latency != 0 {
			t.Errorf("state %+v", s)
		}
	}
}

// What one run has learned serves the next.
func TestMirrorsSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := newFleet(t, goproxy.MirrorsConfig{}, isDead, large(100*ms, 1<<20, 1<<20, -1))
		for range 3 {
			if _, err := first.get(t.Context(), t, zipName); err != nil {
				t.Fatal(err)
			}
		}
		data, err := json.Marshal(first.State())
		if err != nil {
			t.Fatal(err)
		}
		var saved []goproxy.MirrorState
		if err := json.Unmarshal(data, &saved); err != nil {
			t.Fatal(err)
		}
		second := newFleet(t, goproxy.MirrorsConfig{Saved: append(saved, goproxy.MirrorState{Name: "z"})}, isDead, serves(100*ms, "b"))
		want := first.State()
		for i := range want {
			want[i].Requests, want[i].Failures, want[i].InRow = 0, 0, 0
		}
		if d := cmp.Diff(want, second.State()); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		second.want(t, "b", 100*ms)
		if n := second.counts()[0]; n != 0 {
			t.Errorf("the dead one was asked %d times", n)
		}
	})
}

func TestGroupMirrors(t *testing.T) {
	for list, want := range map[string]string{
		"https://a.test":                       "https://a.test",
		"https://a.test=https://b.test":        "https://a.test=https://b.test",
		"https://a.test,https://b.test|direct": "https://a.test, https://b.test| direct",
		"https://a.test=https://b.test,https://c.test=https://d.test=https://e.test|off": "https://a.test=https://b.test, https://c.test=https://d.test=https://e.test| off",
	} {
		ups, err := goproxy.ParseUpstreams(list)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, set := range goproxy.GroupMirrors(ups) {
			s := ""
			for _, u := range set {
				s += u.URL + strings.Trim(string(rune(u.Sep)), "\x00")
			}
			got = append(got, s)
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: got %s, want %s", list, s, want)
		}
	}
	if got := goproxy.GroupMirrors(nil); got != nil {
		t.Errorf("got %v", got)
	}
	// The last entry of a list has no separator of meaning, whatever it says.
	if got := goproxy.GroupMirrors([]goproxy.Upstream{{URL: "a", Sep: goproxy.OnMirror}}); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

// The only mirror in service is silent: those that are out are asked after a while, and nobody waits for ever.
func TestMirrorsSilentAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := goproxy.SourceFunc(func(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
			<-ctx.Done()
			return nil, &goproxy.Error{Request: req, Err: context.Cause(ctx)}
		})
		good := goproxy.SourceFunc(func(_ context.Context, req goproxy.Request) (goproxy.File, error) {
			return goproxy.NewFile(req, []byte("good"), time.Time{}, nil), nil
		})
		set := goproxy.NewMirrors(goproxy.MirrorsConfig{
			Mirrors: []goproxy.Mirror{{Name: "silent", Source: silent}, {Name: "good", Source: good}},
			Saved: []goproxy.MirrorState{{Name: "silent", Latency: time.Millisecond},
				{Name: "good", Latency: time.Millisecond, InRow: 2, OutUntil: time.Now().Add(4 * time.Minute)}},
		})
		defer set.Close()
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				start := time.Now()
				f, err := set.Open(t.Context(), goproxy.Request{Path: fmt.Sprintf("example.com/m%d", i), Version: "v1.0.0", Kind: goproxy.Mod})
				if err != nil {
					t.Error(err)
					return
				}
				f.Close()
				if took := time.Since(start); took > 15*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		}
		wg.Wait()
	})
}
