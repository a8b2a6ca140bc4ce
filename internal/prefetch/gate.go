package prefetch

import (
	"context"
	"io/fs"
	"sync"

	"github.com/goferry/goferry/internal/goproxy"
)

// A Gate lets what a client waits for right now go before what is fetched ahead: while a client
// waits for a file that is not on its way ahead already, Run begins few new zips. What Run is fetching
// when the client asks for it is the same fill of the cache, so it overtakes nothing.
//
// The zero value is ready. A nil Gate knows of no client.
type Gate struct {
	mu    sync.Mutex
	wants map[goproxy.Request]int  // that clients wait for
	ahead map[goproxy.Request]bool // that Run is fetching
	wake  map[*runner]func()       // called when nobody waits any more
	first chan struct{}            // closed by the first one who asks; nil until somebody needs it
	asked bool
}

// Asked returns a channel that is closed when the first client has asked Watch for a file. Whoever starts Run
// only then fetches nothing for a command that needs nothing.
func (g *Gate) Asked() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.first == nil {
		g.first = make(chan struct{})
		if g.asked {
			close(g.first)
		}
	}
	return g.first
}

func (g *Gate) ask() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.asked && g.first != nil {
		close(g.first)
	}
	g.asked = true
}

// Demand says that a client waits for req, which the cache does not have, until done is called.
func (g *Gate) Demand(req goproxy.Request) (done func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.wants == nil {
		g.wants = map[goproxy.Request]int{}
	}
	g.wants[req]++
	return sync.OnceFunc(func() {
		g.mu.Lock()
		if g.wants[req]--; g.wants[req] == 0 {
			delete(g.wants, req)
		}
		var wake []func()
		for _, fn := range g.wake {
			wake = append(wake, fn)
		}
		g.mu.Unlock()
		for _, fn := range wake {
			fn()
		}
	})
}

// Watch returns src, which must be a caching Source, with a Demand around each file that
// had to be fetched: from the call of Open until its File is closed. It is what clients are served
// from, while Run asks src itself.
func (g *Gate) Watch(src goproxy.Source) goproxy.Source {
	return goproxy.SourceFunc(func(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
		if goproxy.IsCachedOnly(ctx) {
			return src.Open(ctx, req)
		}
		g.ask()
		done := g.Demand(req)
		f, err := src.Open(ctx, req)
		if err != nil {
			done()
			return nil, err
		}
		if _, whole := f.(*goproxy.MemFile); whole || isHit(f) {
			done()
			return f, nil
		}
		return &demanded{File: f, done: done}, nil
	})
}

// isHit reports whether f was in the cache.
func isHit(f fs.File) bool {
	info, err := f.Stat()
	return err == nil && goproxy.MetaOf(info).Result == "hit"
}

// A demanded file is one that a client waits for.
type demanded struct {
	goproxy.File
	done func()
}

func (f *demanded) Close() error {
	f.done()
	return f.File.Close()
}

// busy reports whether a client waits for something that is not on its way ahead.
func (g *Gate) busy() bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for req := range g.wants {
		if !g.ahead[req] {
			return true
		}
	}
	return false
}

// begin says that Run is about to fetch req. It returns false where a client fetches it by now.
func (g *Gate) begin(req goproxy.Request) bool {
	if g == nil {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.wants[req] > 0 {
		return false
	}
	if g.ahead == nil {
		g.ahead = map[goproxy.Request]bool{}
	}
	g.ahead[req] = true
	return true
}

// end says that Run has fetched req.
func (g *Gate) end(req goproxy.Request) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.ahead, req)
}

// join makes fn be called when clients have been served, until leave is called.
func (g *Gate) join(r *runner, fn func()) (leave func()) {
	if g == nil {
		return func() {}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.wake == nil {
		g.wake = map[*runner]func(){}
	}
	g.wake[r] = fn
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.wake, r)
	}
}
