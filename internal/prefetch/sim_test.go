package prefetch

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/goferry/goferry/internal/goproxy"
)

// A world is a set of modules, a link to them, and a cache in front of it: a model in which
// time is exact, since nothing waits for anything but the link.
type world struct {
	files map[goproxy.Request][]byte
	fail  func(req goproxy.Request) error // asked at each fetch; nil fails none

	delay time.Duration // of each answer
	rate  int64         // bytes a second, for all connections; 0 is endless

	mu      sync.Mutex
	free    time.Time // when the link has sent all that it was given
	fills   map[goproxy.Request]*simFill
	stale   map[goproxy.Request]*simFill // of lists and the like, what was there before
	fetches []goproxy.Request            // that the link was asked for, in order
	bytes   int64                        // that it carried
}

type simFill struct {
	done chan struct{}
	data []byte
	err  error
}

func (f *simFill) over() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

func newWorld(delay time.Duration, rate int64) *world {
	return &world{files: map[goproxy.Request][]byte{}, fills: map[goproxy.Request]*simFill{}, stale: map[goproxy.Request]*simFill{}, delay: delay, rate: rate}
}

// add makes a module version whose .mod is the given lines and whose zip has so many bytes.
func (w *world) add(m module.Version, mod string, zip int) {
	w.files[request(m, goproxy.Mod)] = []byte("module " + m.Path + "\n" + mod)
	w.files[request(m, goproxy.Info)] = fmt.Appendf(nil, `{"Version":%q,"Time":"2026-01-02T03:04:05Z"}`, m.Version)
	w.files[request(m, goproxy.Zip)] = make([]byte, zip)
}

// many makes n modules with zips of so many bytes and returns the request for one file of each.
func (w *world) many(n, zip int, kind goproxy.Kind) (files []goproxy.Request) {
	for i := range n {
		m := mod(fmt.Sprintf("example.com/m%d", i), "v1.0.0")
		w.add(m, "", zip)
		files = append(files, request(m, kind))
	}
	return files
}

// Open implements goproxy.Source as the cache does: one fill for all who ask, which outlives them.
func (w *world) Open(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
	w.mu.Lock()
	f := w.fills[req]
	if !req.Immutable() && f != nil && f.over() {
		if w.stale[req] = f; !goproxy.IsCachedOnly(ctx) {
			f = nil // refreshed each time
		}
	} else if !req.Immutable() && goproxy.IsCachedOnly(ctx) {
		f = w.stale[req]
	}
	result := "hit"
	switch {
	case f != nil && !f.over():
		result = "miss"
	case f != nil:
	case !goproxy.IsCachedOnly(ctx):
		result = "miss"
		f = &simFill{done: make(chan struct{})}
		w.fills[req] = f
		go w.fill(req, f)
	}
	w.mu.Unlock()
	if f == nil || goproxy.IsCachedOnly(ctx) && result == "miss" {
		return nil, &goproxy.Error{Request: req, Err: goproxy.ErrNotExist}
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if f.err != nil {
		return nil, f.err
	}
	return goproxy.NewFile(req, f.data, time.Time{}, &goproxy.Meta{Result: result}), nil
}

func (w *world) fill(req goproxy.Request, f *simFill) {
	defer close(f.done)
	w.mu.Lock()
	w.fetches = append(w.fetches, req)
	data, ok := w.files[req]
	fail := w.fail
	w.mu.Unlock()
	time.Sleep(w.delay)
	if fail != nil {
		if f.err = fail(req); f.err != nil {
			w.mu.Lock()
			delete(w.fills, req)
			w.mu.Unlock()
			return
		}
	}
	if !ok {
		f.err = &goproxy.Error{Request: req, Err: goproxy.ErrNotExist}
		return
	}
	for sent := 0; sent < len(data); { // a piece of each connection in turn: they share the link
		n := min(16<<10, len(data)-sent)
		time.Sleep(time.Until(w.send(n)))
		sent += n
	}
	f.data = data
}

// send gives n bytes to the link and returns when they will have arrived.
func (w *world) send(n int) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes += int64(n)
	if w.rate == 0 {
		return time.Now()
	}
	if now := time.Now(); w.free.Before(now) {
		w.free = now
	}
	w.free = w.free.Add(time.Duration(n) * time.Second / time.Duration(w.rate))
	return w.free
}

func (w *world) fetched() []goproxy.Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.fetches)
}

// A goCmd asks as the go command does, with two downloads at a time.
type goCmd struct {
	t    *testing.T
	src  goproxy.Source
	srv  *Server // nil where nobody watches
	name string

	mu     sync.Mutex
	asked  map[goproxy.Request]bool // the module cache
	served int64
}

func newGoCmd(t *testing.T, w *world, srv *Server) *goCmd {
	g := &goCmd{t: t, src: w, srv: srv, name: "192.0.2.1 Go-http-client/1.1", asked: map[goproxy.Request]bool{}}
	if srv != nil {
		g.src = srv.Watch(w, func(context.Context) string { return g.name })
	}
	return g
}

func (g *goCmd) get(m module.Version, kind goproxy.Kind) []byte {
	req := request(m, kind)
	f, err := g.src.Open(g.t.Context(), req)
	if err != nil {
		g.t.Errorf("%v: %v", req, err)
		return nil
	}
	defer f.Close()
	data := f.(*goproxy.MemFile).Bytes()
	info, err := f.Stat()
	if err != nil {
		g.t.Error(err)
	}
	g.mu.Lock()
	g.asked[req] = true
	g.served += int64(len(data))
	g.mu.Unlock()
	if g.srv != nil {
		g.srv.Seen(g.name, req, goproxy.MetaOf(info).Result, int64(len(data)))
	}
	return data
}

// twoAtATime works through a queue, to which the work may add, as the go command's par.Queue.
func (g *goCmd) twoAtATime(list []module.Version, work func(m module.Version) (more []module.Version)) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	active := 0
	var add func(list []module.Version)
	add = func(more []module.Version) { // mu is held
		list = append(list, more...)
		for active < 2 && len(list) > 0 {
			m := list[0]
			list = list[1:]
			active++
			wg.Go(func() {
				more := work(m)
				mu.Lock()
				defer mu.Unlock()
				active--
				add(more)
			})
		}
	}
	mu.Lock()
	add(nil)
	mu.Unlock()
	wg.Wait()
}

// loadGraph asks for the .mod files of a main module's graph and returns what it selects.
func (g *goCmd) loadGraph(roots []module.Version) map[string]string {
	sorted := slices.Clone(roots)
	slices.SortFunc(sorted, compareVersions)
	var mu sync.Mutex
	selected := map[string]string{}
	unpruned := map[module.Version]bool{}
	began := map[module.Version]bool{}
	g.twoAtATime(sorted, func(m module.Version) (more []module.Version) {
		mu.Lock()
		raise(selected, m)
		first := !began[m]
		began[m] = true
		closed := unpruned[m]
		mu.Unlock()
		n := parseNeeds(g.mod(m, first))
		mu.Lock()
		defer mu.Unlock()
		for _, r := range n.list {
			raise(selected, r.Version)
			if (closed || !n.pruned) && !unpruned[r.Version] {
				unpruned[r.Version] = true
				more = append(more, r.Version)
			}
		}
		return more
	})
	return selected
}

// mod is the .mod of m, from the module cache where it was asked for before.
func (g *goCmd) mod(m module.Version, first bool) []byte {
	if first {
		return g.get(m, goproxy.Mod)
	}
	f, err := g.src.Open(goproxy.WithCachedOnly(g.t.Context()), request(m, goproxy.Mod))
	if err != nil {
		return nil // on its way to the other worker, which goes on with it
	}
	return f.(*goproxy.MemFile).Bytes()
}

func compareVersions(a, b module.Version) int {
	if c := strings.Compare(a.Path, b.Path); c != 0 {
		return c
	}
	return semver.Compare(a.Version, b.Version)
}

// modDownload is "go mod download" of a main module at go 1.17 or later.
func (g *goCmd) modDownload(roots []module.Version) {
	g.loadGraph(roots)
	for _, m := range roots {
		g.get(m, goproxy.Info)
	}
	g.twoAtATime(roots, func(m module.Version) []module.Version {
		g.get(m, goproxy.Zip)
		return nil
	})
}

// listAll is "go list -m all".
func (g *goCmd) listAll(roots []module.Version) {
	selected := g.loadGraph(roots)
	var list []module.Version
	for _, p := range slices.Sorted(maps.Keys(selected)) {
		list = append(list, module.Version{Path: p, Version: selected[p]})
	}
	g.twoAtATime(list, func(m module.Version) []module.Version {
		g.get(m, goproxy.Info)
		g.mu.Lock()
		missing := !g.asked[request(m, goproxy.Mod)]
		g.mu.Unlock()
		if missing {
			g.get(m, goproxy.Mod)
		}
		return nil
	})
}

// build is "go build" with a complete go.sum: each module's zip and .mod, then those that it imports.
func (g *goCmd) build(imported []module.Version, imports func(m module.Version) []module.Version) {
	var mu sync.Mutex
	seen := map[module.Version]bool{}
	first := func(list []module.Version) (fresh []module.Version) {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range list {
			if !seen[m] {
				seen[m] = true
				fresh = append(fresh, m)
			}
		}
		return fresh
	}
	var order []module.Version
	g.twoAtATime(first(imported), func(m module.Version) []module.Version {
		g.get(m, goproxy.Zip)
		g.get(m, goproxy.Mod)
		more := first(imports(m))
		mu.Lock()
		defer mu.Unlock()
		order = append(order, m)
		return more
	})
	for _, m := range order {
		g.get(m, goproxy.Info)
	}
}

// A project is a synthetic main module.
type project struct {
	roots    []module.Version // in the order of its go.mod: those it imports, then the others
	direct   int              // of roots, that it imports
	imports  map[module.Version][]module.Version
	zipBytes int64
}

// newProject adds n modules to w whose sizes and requirements look like real ones: most zips are
// small and some large, a module requires what stands below it, some of it in older versions, a few
// are older than pruning, and behind the n there are others that only the graph needs.
func newProject(w *world, n int, seed uint64) *project {
	rnd := rand.New(rand.NewPCG(seed, 1))
	p := &project{imports: map[module.Version][]module.Version{}}
	var all []module.Version
	for i := range n {
		m := module.Version{Path: fmt.Sprintf("example.com/%c%c/m%03d", 'a'+rnd.IntN(26), 'a'+rnd.IntN(26), i), Version: "v1.5.0"}
		var mod strings.Builder
		if old := rnd.IntN(12) == 0; !old {
			mod.WriteString("go 1.21\n")
		}
		for range min(i, rnd.IntN(14)) {
			r := all[rnd.IntN(len(all))]
			indirect := ""
			if rnd.IntN(2) == 0 {
				indirect = " // indirect"
			} else {
				p.imports[m] = append(p.imports[m], r)
			}
			if rnd.IntN(3) == 0 {
				r.Version = fmt.Sprintf("v1.%d.0", rnd.IntN(5))
				w.add(r, "go 1.21\n", 40<<10)
			}
			fmt.Fprintf(&mod, "require %s %s%s\n", r.Path, r.Version, indirect)
		}
		if rnd.IntN(4) == 0 {
			extra := module.Version{Path: fmt.Sprintf("example.org/x%03d", i), Version: "v0.1.0"}
			w.add(extra, "go 1.20\n", 40<<10)
			fmt.Fprintf(&mod, "require %s %s // indirect\n", extra.Path, extra.Version)
		}
		size := 20<<10 + rnd.IntN(600<<10)
		if rnd.IntN(12) == 0 {
			size = 1<<20 + rnd.IntN(12<<20)
		}
		w.add(m, mod.String(), size)
		p.zipBytes += int64(size)
		all = append(all, m)
	}
	slices.Reverse(all)
	p.direct = n / 4
	p.roots = slices.Clone(all)
	slices.SortFunc(p.roots[:p.direct], compareVersions)
	slices.SortFunc(p.roots[p.direct:], compareVersions)
	return p
}

// watched runs fn with a Server in front of w and stops it.
func watched(t *testing.T, w *world, cfg Config, fn func(srv *Server)) {
	t.Helper()
	cfg.Source = w
	srv := New(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- srv.Run(ctx) }()
	fn(srv)
	cancel()
	if err := <-over; err != nil {
		t.Errorf("Run: %v", err)
	}
}
