package prefetch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
)

// Whatever clients ask for, and whatever the source makes of it, what a session counts is what its
// files say, and what was fetched is used, wasted or outstanding.
func TestAccounts(t *testing.T) {
	for seed := range uint64(6) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(3*time.Second, 0)
			p := newProject(w, 120, seed)
			rnd := rand.New(rand.NewPCG(seed, 7))
			failing := func(req goproxy.Request) error {
				if int(req.Path[len(req.Path)-1]-'0')%6 == int(seed) {
					return &goproxy.Error{Request: req, Err: goproxy.ErrUnavailable}
				}
				return nil
			}
			w.fail = failing
			o := newObserver(New(Config{Source: w}))
			ctx, cancel := context.WithCancel(t.Context())
			over := make(chan struct{})
			go func() { defer close(over); o.run(ctx) }()
			for range 3000 {
				client := fmt.Sprint("client ", rnd.IntN(4))
				req := request(p.roots[rnd.IntN(len(p.roots))], []goproxy.Kind{goproxy.Info, goproxy.Mod, goproxy.Zip}[rnd.IntN(3)])
				result := []string{"hit", "miss", "miss", "error", "absent"}[rnd.IntN(5)]
				if rnd.IntN(2) == 0 {
					o.Asked(client, req)
				}
				if rnd.IntN(10) > 0 {
					o.Seen(client, req, result, rnd.Int64N(1<<20))
				}
				switch rnd.IntN(300) {
				case 0:
					time.Sleep(wasteAge - time.Minute) // not all clients come back in time
				case 1:
					time.Sleep(wasteAge + time.Minute)
				default:
					time.Sleep(time.Duration(rnd.Int64N(int64(2 * time.Second))))
				}
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			cancel()
			<-over
			if len(o.sessions) == 0 {
				t.Fatal("no session to look at")
			}
			outstanding, unmet := int64(0), 0
			for _, s := range o.sessions {
				out, waits := checkSession(t, s)
				outstanding += out
				unmet += waits
			}
			st := o.Stats()
			if st.Outstanding != outstanding || o.unmet != unmet {
				t.Errorf("outstanding %d, files say %d; unmet %d, files say %d", st.Outstanding, outstanding, o.unmet, unmet)
			}
			if st.Used == 0 || st.Wasted == 0 || st.Failed == 0 {
				t.Errorf("it was too quiet to show anything: %+v", st)
			}
			if n := len(o.sessions); st.Clients != int64(n) {
				t.Errorf("%d clients, want %d", st.Clients, n)
			}
		})
	}
}

// checkSession compares the sums of a session with its files.
func checkSession(t *testing.T, s *session) (outstanding int64, unmet int) {
	t.Helper()
	type sum struct {
		ahead int
		bytes int64
	}
	want := map[*guess]*sum{&s.small: {}, &s.listed: {}, &s.imports: {}, &s.selects: {}}
	var passed, wasted int64
	for _, f := range s.files {
		if f.unmet {
			unmet++
		}
		if f.guess == nil {
			continue
		}
		if f.aged {
			wasted += f.cost
		}
		if f.asked || f.state == missing {
			continue
		}
		if f.state == have && !f.aged {
			outstanding += f.cost
		}
		switch {
		case f.aged:
		case f.passed:
			passed += f.cost
		default:
			want[f.guess].ahead++
			want[f.guess].bytes += f.cost
		}
	}
	for g, sum := range want {
		ahead := g.ahead
		if g == &s.small {
			ahead = s.ahead
		}
		if ahead != sum.ahead || g.bytes != sum.bytes {
			t.Errorf("%s, %s: %d files and %d bytes ahead, the files say %d and %d", s.client, g.name, ahead, g.bytes, sum.ahead, sum.bytes)
		}
	}
	if s.passed != passed || s.wasted != wasted {
		t.Errorf("%s: passed %d wasted %d, the files say %d and %d", s.client, s.passed, s.wasted, passed, wasted)
	}
	return outstanding, unmet
}

// A gateway behind which many users stand is begun with anew before it takes too much memory.
func TestSessionIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newObserver(New(Config{Source: newWorld(0, 0)}))
		for i := range 3 * maxFiles {
			o.event(event{client: "gateway", req: request(module.Version{Path: fmt.Sprintf("example.com/m%d", i), Version: "v1.0.0"}, goproxy.Mod)})
		}
		if n := len(o.sessions["gateway"].files); n > maxFiles || o.files != n || len(o.sessions) != 1 || o.recent.Len() != 1 {
			t.Errorf("%d files of one, %d of all, %d sessions, %d recent", n, o.files, len(o.sessions), o.recent.Len())
		}
	})
}

func TestHighestRelease(t *testing.T) {
	for _, test := range []struct {
		list []string
		want string
	}{
		{nil, ""},
		{[]string{"v1.0.0"}, "v1.0.0"},
		{[]string{"v1.0.0", "v1.1.0-rc.1"}, "v1.0.0"},
		{[]string{"v1.0.0-alpha", "v1.0.0-beta"}, "v1.0.0-beta"},
	} {
		if got := highestRelease(slices.Clone(test.list)); got != test.want {
			t.Errorf("%v: %q, want %q", test.list, got, test.want)
		}
	}
}

// An event of a client whose answers are hits is what a warm server pays for being watched.
func BenchmarkWarmEvent(b *testing.B) {
	o := newObserver(New(Config{Source: newWorld(0, 0)}))
	var reqs []goproxy.Request
	for i := range 1000 {
		reqs = append(reqs, request(module.Version{Path: fmt.Sprintf("example.com/m%d", i), Version: "v1.0.0"}, goproxy.Mod))
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		o.event(event{client: "client", req: reqs[i%len(reqs)], over: true, result: "hit", bytes: 100})
		i++
	}
}
