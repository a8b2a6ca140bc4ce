package prefetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
)

const (
	weakDelay = 200 * time.Millisecond
	weakRate  = 4 << 20
)

func seeds() []uint64 { return []uint64{1, 2} }

// took is how long fn takes in the time of the bubble.
func took(fn func()) time.Duration {
	start := time.Now()
	fn()
	return time.Since(start)
}

// settled are the statistics when all that could be asked for has had its 10 minutes.
func settled(t *testing.T, srv *Server) Stats {
	t.Helper()
	time.Sleep(wasteAge + 2*sweepEvery)
	synctest.Wait()
	st := srv.Stats()
	if st.Outstanding != 0 {
		t.Errorf("%d bytes are outstanding after %v: %+v", st.Outstanding, wasteAge, st)
	}
	if st.Fetched != st.Used+st.Wasted || st.Files != st.UsedFiles+st.WastedFiles {
		t.Errorf("what was fetched is neither used nor wasted: %+v", st)
	}
	return st
}

// compare runs a go command over a weak link alone and with a Server, and holds the Server to
// a share of the time, to its waste, and to asking for nothing twice. Time is that of the bubble: exact.
func compare(t *testing.T, modules int, delay time.Duration, rate int64, atMost float64, run func(g *goCmd, p *project)) {
	for _, seed := range seeds() {
		synctest.Test(t, func(t *testing.T) {
			plain := newWorld(delay, rate)
			p := newProject(plain, modules, seed)
			alone := took(func() { run(newGoCmd(t, plain, nil), p) })

			w := newWorld(delay, rate)
			newProject(w, modules, seed)
			watched(t, w, Config{}, func(srv *Server) {
				g := newGoCmd(t, w, srv)
				with := took(func() { run(g, p) })
				st := settled(t, srv)
				if ratio := with.Seconds() / alone.Seconds(); ratio > atMost {
					t.Errorf("seed %d: %v instead of %v, %.2f times; want at most %.2f", seed, with, alone, ratio, atMost)
				}
				if st.Wasted*100 > g.served*defaultWastePercent {
					t.Errorf("seed %d: %d bytes wasted of %d served", seed, st.Wasted, g.served)
				}
				noneTwice(t, w)
				t.Logf("seed %d: alone %v, with %v (%.2f); %d files asked for, %d fetched; %+v",
					seed, alone, with, with.Seconds()/alone.Seconds(), len(g.asked), len(w.fetched()), st)
			})
		})
	}
}

func noneTwice(t *testing.T, w *world) {
	t.Helper()
	seen := map[goproxy.Request]bool{}
	for _, req := range w.fetched() {
		if seen[req] {
			t.Errorf("%v was fetched twice", req)
		}
		seen[req] = true
	}
}

func TestModDownloadThroughWeakLink(t *testing.T) {
	compare(t, 170, weakDelay, weakRate, 0.5, func(g *goCmd, p *project) { g.modDownload(p.roots) })
}

func TestListAllThroughWeakLink(t *testing.T) {
	compare(t, 400, 2*weakDelay, 2*weakRate, 0.2, func(g *goCmd, p *project) { g.listAll(p.roots) })
}

func TestBuildThroughWeakLink(t *testing.T) {
	compare(t, 170, weakDelay, weakRate, 0.7, func(g *goCmd, p *project) {
		g.build(p.roots[:p.direct], func(m module.Version) []module.Version { return p.imports[m] })
	})
}

// A client that has loaded a large graph and then wants a few zips, in an order that the graph
// does not tell, leaves little behind.
func TestSmallPartOfLargeGraph(t *testing.T) {
	const size = 1 << 20
	for _, wanted := range []int{1, 6, 40} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(weakDelay, weakRate)
			p := newProject(w, 170, 1)
			for _, m := range p.roots {
				w.files[request(m, goproxy.Zip)] = make([]byte, size)
			}
			watched(t, w, Config{}, func(srv *Server) {
				g := newGoCmd(t, w, srv)
				g.loadGraph(p.roots)
				some := slices.Clone(p.roots)
				rand.New(rand.NewPCG(1, 1)).Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
				g.twoAtATime(some[:wanted], func(m module.Version) []module.Version { g.get(m, goproxy.Zip); return nil })
				st := settled(t, srv)
				if limit := allowance + g.served*defaultWastePercent/100; st.Wasted > limit {
					t.Errorf("%d zips wanted: %d bytes wasted, limit %d", wanted, st.Wasted, limit)
				}
				if st.Wasted < size {
					t.Errorf("%d zips wanted: %d bytes wasted: no zip was asked for ahead, so this shows nothing", wanted, st.Wasted)
				}
			})
		})
	}
}

// What does not pay is not gone on with, and this is said once.
func TestStopsWhereItDoesNotPay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(weakDelay, 0)
		var roots []module.Version
		for i := range 600 {
			m := module.Version{Path: fmt.Sprintf("example.com/m%03d", i), Version: "v1.0.0"}
			w.add(m, "go 1.21\n", 10<<10)
			roots = append(roots, m)
		}
		var logged bytes.Buffer
		log := slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
		watched(t, w, Config{Logger: log}, func(srv *Server) {
			g := newGoCmd(t, w, srv)
			g.loadGraph(roots)
			const never = 200
			for i := len(roots) - 1; i >= never; i-- { // against the order of every guess
				g.get(roots[i], goproxy.Zip)
			}
			synctest.Wait()
			ahead := 0
			for _, m := range roots[:never] {
				if slices.Contains(w.fetched(), request(m, goproxy.Zip)) {
					ahead++
				}
			}
			if ahead < judgeAfter || ahead > judgeAfter+minWindow {
				t.Errorf("%d zips were fetched for nothing, want about %d", ahead, judgeAfter)
			}
			noneTwice(t, w)
			if n := strings.Count(logged.String(), "does not pay"); n != 1 {
				t.Errorf("said %d times that it does not pay:\n%s", n, logged.String())
			}
			if !strings.Contains(logged.String(), "level=DEBUG") {
				t.Errorf("not at Debug:\n%s", logged.String())
			}
		})
	})
}

// served is an answer that a client got, for tests that play the client step by step.
func served(srv *Server, client string, req goproxy.Request, result string) {
	srv.Seen(client, req, result, 100)
	synctest.Wait()
}

func mod(path, version string) module.Version { return module.Version{Path: path, Version: version} }

func names(reqs []goproxy.Request) []string {
	var out []string
	for _, r := range reqs {
		out = append(out, r.String())
	}
	slices.Sort(out)
	return out
}

// What a request makes the Server fetch, step by step.
func TestWhatARequestTells(t *testing.T) {
	type step struct {
		path, version string
		kind          goproxy.Kind
		want          string // what is fetched, in the order of names
	}
	tests := []struct {
		name  string
		files map[string]string // module@version to .mod
		steps []step
	}{
		{
			name: "the mod of a pruned module tells of those above",
			files: map[string]string{
				"example.com/a@v1.0.0": "go 1.21\nrequire example.com/b v1.1.0\n",
				"example.com/b@v1.1.0": "go 1.21\nrequire example.com/c v1.2.0\n",
				"example.com/c@v1.2.0": "go 1.21\n",
			},
			steps: []step{{"example.com/a", "v1.0.0", goproxy.Mod, "example.com/b@v1.1.0.mod example.com/c@v1.2.0.mod"}},
		},
		{
			name: "a lower version than one that is required is not asked for by a pruned graph",
			files: map[string]string{
				"example.com/a@v1.0.0": "go 1.21\nrequire example.com/b v1.1.0\nrequire example.com/c v1.5.0\n",
				"example.com/b@v1.1.0": "go 1.21\nrequire example.com/c v1.2.0\n",
				"example.com/c@v1.2.0": "go 1.21\n",
				"example.com/c@v1.5.0": "go 1.21\n",
			},
			steps: []step{{"example.com/a", "v1.0.0", goproxy.Mod, "example.com/b@v1.1.0.mod example.com/c@v1.5.0.mod"}},
		},
		{
			name: "a module below go 1.17 needs all of them",
			files: map[string]string{
				"example.com/a@v1.0.0": "go 1.16\nrequire example.com/b v1.1.0\nrequire example.com/c v1.5.0\n",
				"example.com/b@v1.1.0": "go 1.21\nrequire example.com/c v1.2.0\n",
				"example.com/c@v1.2.0": "go 1.21\n",
				"example.com/c@v1.5.0": "go 1.21\n",
			},
			steps: []step{{"example.com/a", "v1.0.0", goproxy.Mod, "example.com/b@v1.1.0.mod example.com/c@v1.2.0.mod example.com/c@v1.5.0.mod"}},
		},
		{
			name: "requirements in a circle",
			files: map[string]string{
				"example.com/a@v1.0.0": "require example.com/b v1.1.0\n",
				"example.com/b@v1.1.0": "require example.com/a v1.0.0\nrequire example.com/b v1.1.0\n",
			},
			steps: []step{{"example.com/a", "v1.0.0", goproxy.Mod, "example.com/b@v1.1.0.mod"}},
		},
		{
			name: "the .info of one tells of the others and of nothing before",
			files: map[string]string{
				"example.com/a@v1.0.0": "go 1.21\nrequire example.com/b v1.1.0\n",
				"example.com/b@v1.1.0": "go 1.21\n",
			},
			steps: []step{
				{"example.com/a", "v1.0.0", goproxy.Mod, "example.com/b@v1.1.0.mod"},
				{"example.com/b", "v1.1.0", goproxy.Mod, ""},
				{"example.com/a", "v1.0.0", goproxy.Info, "example.com/b@v1.1.0.info"},
			},
		},
		{
			name:  "a version that is looked up wants its .mod",
			files: map[string]string{"example.com/a@v1.0.0": "go 1.21\n"},
			steps: []step{{"example.com/a", "v1.0.0", goproxy.Info, "example.com/a@v1.0.0.mod"}},
		},
		{
			name: "a list tells of the highest release",
			files: map[string]string{
				"example.com/a@list":       "v1.0.0\nv1.2.0\nv1.3.0-rc.1\nv1.1.0\n",
				"example.com/a@v1.2.0":     "go 1.21\n",
				"example.com/a@v1.3.0-rc1": "go 1.21\n",
			},
			steps: []step{{"example.com/a", "", goproxy.List, "example.com/a@v1.2.0.info example.com/a@v1.2.0.mod"}},
		},
		{
			name: "a query tells of the .mod that it leads to",
			files: map[string]string{
				"example.com/a@master.info": `{"Version":"v1.2.0"}`,
				"example.com/a@v1.2.0":      "go 1.21\n",
			},
			steps: []step{{"example.com/a", "master", goproxy.Info, "example.com/a@v1.2.0.mod"}},
		},
		{
			name: "a build asks for the .mod of a zip, and for the zips of what it imports",
			files: map[string]string{
				"example.com/a@v1.0.0": "go 1.21\nrequire example.com/b v1.1.0\nrequire example.com/c v1.1.0 // indirect\n",
				"example.com/b@v1.1.0": "go 1.21\n",
				"example.com/c@v1.1.0": "go 1.21\n",
			},
			steps: []step{{"example.com/a", "v1.0.0", goproxy.Zip, "example.com/a@v1.0.0.mod example.com/b@v1.1.0.zip"}},
		},
		{
			name: "the zips come in the order of the .info files",
			files: map[string]string{
				"example.com/b@v1.1.0": "go 1.21\n",
				"example.com/a@v1.0.0": "go 1.21\n",
				"example.com/c@v1.1.0": "go 1.21\n",
			},
			steps: []step{
				{"example.com/b", "v1.1.0", goproxy.Info, "example.com/b@v1.1.0.mod"},
				{"example.com/a", "v1.0.0", goproxy.Info, "example.com/a@v1.0.0.mod"},
				{"example.com/c", "v1.1.0", goproxy.Info, "example.com/c@v1.1.0.mod"},
				{"example.com/b", "v1.1.0", goproxy.Zip, "example.com/a@v1.0.0.zip example.com/c@v1.1.0.zip"},
			},
		},
		{
			name: "what cannot be a module is not asked for",
			files: map[string]string{
				"example.com/a@v1.0.0": "go 1.21\nrequire example.com/b/v2 v1.1.0\nrequire nodots v1.0.0\nrequire example.com/c v1.1\n",
			},
			steps: []step{{"example.com/a", "v1.0.0", goproxy.Mod, ""}},
		},
		{
			name:  "a .mod that does not parse tells nothing",
			files: map[string]string{"example.com/a@v1.0.0": "require (((\n"},
			steps: []step{{"example.com/a", "v1.0.0", goproxy.Mod, ""}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(0, 0)
				for name, content := range test.files {
					path, version, _ := strings.Cut(name, "@")
					switch {
					case version == "list":
						w.files[goproxy.Request{Path: path, Kind: goproxy.List}] = []byte(content)
					case strings.HasSuffix(version, ".info"):
						w.files[goproxy.Request{Path: path, Version: strings.TrimSuffix(version, ".info"), Kind: goproxy.Info}] = []byte(content)
					default:
						w.add(mod(path, version), content, 1000)
					}
				}
				watched(t, w, Config{}, func(srv *Server) {
					for i, st := range test.steps {
						req := goproxy.Request{Path: st.path, Version: st.version, Kind: st.kind}
						if data, err := goproxy.ReadFile(t.Context(), w, req); err != nil || len(data) == 0 {
							t.Fatalf("step %d: %d bytes, %v", i, len(data), err)
						}
						before := len(w.fetched())
						served(srv, "client", req, "miss")
						if got := strings.Join(names(w.fetched()[before:]), " "); got != st.want {
							t.Errorf("step %d, %v:\n got %s\nwant %s", i, req, got, st.want)
						}
					}
				})
			})
		})
	}
}

// A client of which every answer was in the cache already costs nothing.
func TestNothingForWarmClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(0, 0)
		w.add(mod("example.com/a", "v1.0.0"), "require example.com/b v1.0.0\n", 100)
		w.add(mod("example.com/b", "v1.0.0"), "", 100)
		w.add(mod("example.com/c", "v1.0.0"), "", 100)
		watched(t, w, Config{}, func(srv *Server) {
			served(srv, "client", request(mod("example.com/a", "v1.0.0"), goproxy.Mod), "hit")
			if got := w.fetched(); len(got) != 0 {
				t.Errorf("fetched %v for a client that misses nothing", got)
			}
			served(srv, "another", request(mod("example.com/c", "v1.0.0"), goproxy.Mod), "miss")
			// The first miss makes use of what was asked for before it.
			served(srv, "client", request(mod("example.com/c", "v1.0.0"), goproxy.Mod), "miss")
			got := strings.Join(names(w.fetched()), " ")
			if want := "example.com/a@v1.0.0.mod example.com/b@v1.0.0.mod example.com/c@v1.0.0.mod"; got != want {
				t.Errorf("fetched %s\n   want %s", got, want)
			}
		})
	})
}

// What must not be fetched is not, and what is absent or was looked at only tells nothing.
func TestNotAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(0, 0)
		w.add(mod("example.com/a", "v1.0.0"), "require example.com/secret v1.0.0\nrequire example.com/b v1.0.0\n", 100)
		w.add(mod("example.com/b", "v1.0.0"), "", 100)
		w.add(mod("example.com/secret", "v1.0.0"), "", 100)
		a := request(mod("example.com/a", "v1.0.0"), goproxy.Mod)
		allow := func(req goproxy.Request) bool { return req.Path != "example.com/secret" }
		watched(t, w, Config{Allow: allow}, func(srv *Server) {
			for _, result := range []string{"absent", "error"} {
				served(srv, "client", a, result)
			}
			served(srv, "", a, "miss")
			served(srv, "client", goproxy.Request{}, "miss")
			src := srv.Watch(w, func(context.Context) string { return "client" })
			if _, err := src.Open(goproxy.WithCachedOnly(t.Context()), a); !errors.Is(err, goproxy.ErrNotExist) {
				t.Errorf("cached only: %v", err)
			}
			synctest.Wait()
			if got := w.fetched(); len(got) != 0 {
				t.Errorf("fetched %v", got)
			}
			served(srv, "client", a, "miss")
			if got, want := strings.Join(names(w.fetched()), " "), "example.com/a@v1.0.0.mod example.com/b@v1.0.0.mod"; got != want {
				t.Errorf("fetched %s, want %s", got, want)
			}
		})
	})
}

// A source that fails gets a pause.
func TestPauseForFailingSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(time.Second, 0)
		a := mod("example.com/a", "v1.0.0")
		var lines strings.Builder
		for i := range 200 {
			m := mod(fmt.Sprintf("example.com/m%03d", i), "v1.0.0")
			w.add(m, "", 10)
			fmt.Fprintf(&lines, "require %s %s\n", m.Path, m.Version)
		}
		w.add(a, lines.String(), 10)
		if _, err := goproxy.ReadFile(t.Context(), w, request(a, goproxy.Mod)); err != nil {
			t.Fatal(err)
		}
		w.fail = func(req goproxy.Request) error {
			return &goproxy.Error{Request: req, Err: goproxy.ErrUnavailable}
		}
		const parallel = 8
		watched(t, w, Config{Parallel: parallel}, func(srv *Server) {
			srv.Seen("client", request(a, goproxy.Mod), "miss", 100)
			time.Sleep(failurePause - time.Second)
			synctest.Wait()
			if n := len(w.fetched()) - 1; n < failuresInRow || n > parallel+failuresInRow {
				t.Errorf("%d files were asked of a source that fails", n)
			}
			if st := srv.Stats(); st.Failed == 0 || st.Fetched != 0 {
				t.Errorf("%+v", st)
			}
			time.Sleep(2 * failurePause)
			synctest.Wait()
			if n := len(w.fetched()) - 1; n <= parallel+failuresInRow {
				t.Errorf("still %d: it never went on", n)
			}
		})
	})
}

// Clients are forgotten when they are quiet, and when there are too many.
func TestClientsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(0, 0)
		w.add(mod("example.com/a", "v1.0.0"), "require example.com/b v1.0.0\n", 100)
		w.add(mod("example.com/b", "v1.0.0"), "", 100)
		a := request(mod("example.com/a", "v1.0.0"), goproxy.Mod)
		watched(t, w, Config{}, func(srv *Server) {
			for i := range maxClients + 50 {
				served(srv, fmt.Sprint("client ", i), a, "miss")
			}
			if st := srv.Stats(); st.Clients != maxClients {
				t.Errorf("%d clients are remembered, want %d", st.Clients, maxClients)
			}
			// b was fetched once, for the first client, which never asked for it.
			st := settled(t, srv)
			if st.Clients != 0 || st.WastedFiles != 1 || st.Wasted != int64(len(w.files[request(mod("example.com/b", "v1.0.0"), goproxy.Mod)])) {
				t.Errorf("when all is quiet: %+v", st)
			}
		})
	})
}

// Run returns although the source does not answer, and leaves nothing of its own behind.
func TestStopsFetchingWhenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(time.Hour, 0)
		w.add(mod("example.com/a", "v1.0.0"), "require example.com/b v1.0.0\n", 100)
		watched(t, w, Config{}, func(srv *Server) {
			srv.Seen("client", request(mod("example.com/a", "v1.0.0"), goproxy.Mod), "miss", 1)
			synctest.Wait()
			if n := len(w.fetched()); n != 1 {
				t.Errorf("%d files are on their way, want 1", n)
			}
		})
		time.Sleep(time.Hour) // the fill is the source's; anything else that is left fails the bubble
	})
}

// The handler never waits for the one who watches.
func TestTellingNeverWaits(t *testing.T) {
	srv := New(Config{Source: newWorld(0, 0)}) // Run does not run
	for range 2 * eventQueue {
		srv.Asked("client", request(mod("example.com/a", "v1.0.0"), goproxy.Mod))
	}
	if st := srv.Stats(); st.Overlooked != eventQueue {
		t.Errorf("%d overlooked, want %d", st.Overlooked, eventQueue)
	}
}

// However large a go.mod is, what is taken from it is bounded and can be written as a go.mod again.
func FuzzParseNeeds(f *testing.F) {
	f.Add([]byte("module a\ngo 1.17\nrequire example.com/b v1.0.0 // indirect\n"))
	f.Add([]byte("go 1.16\nrequire (\n\texample.com/b v1.0.0\n\texample.com/c/v2 v2.0.1\n)\n"))
	f.Add([]byte("go 1.21rc1\nrequire b v1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		n := parseNeeds(data)
		if len(n.list) > maxNeeds {
			t.Fatalf("%d requirements", len(n.list))
		}
		var again strings.Builder
		if n.pruned {
			again.WriteString("go 1.17\n")
		}
		for _, r := range n.list {
			fmt.Fprintf(&again, "require %q %q", r.Path, r.Version.Version)
			if r.indirect {
				again.WriteString(" // indirect")
			}
			again.WriteString("\n")
		}
		got := parseNeeds([]byte(again.String()))
		if got.pruned != n.pruned || !slices.Equal(got.list, n.list) {
			t.Fatalf("%q\n got %v\nwant %v", again.String(), got, n)
		}
	})
}
