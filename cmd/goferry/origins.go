package main

import (
	"encoding/json"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

// An origin says which upstream served a module version that the cache has kept.
type origin struct {
	From string    `json:"from"` // its URL without credentials, or "direct"
	At   time.Time `json:"at"`
	Zip  bool      `json:"zip,omitempty"` // it served the zip; else only the small files
}

const (
	originsFile = "origins.json"

	// maxOrigins bounds the file: some 10 MB. The oldest are forgotten.
	maxOrigins = 100_000
)

// origins remembers, beside the cache, where its files came from. The zero value is ready; it is a note for people and no more.
type origins struct {
	mu    sync.Mutex
	fresh map[string]origin // not left in the file yet, by path@version; at most maxOrigins
}

// kept notes who served a file that has been verified and kept.
func (o *origins) kept(req goproxy.Request, from string) {
	if !req.Immutable() || req.Version == "" {
		return
	}
	if from == "" {
		from = "direct" // GONOPROXY: nobody stood between
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fresh == nil {
		o.fresh = map[string]origin{}
	}
	if name := req.Path + "@" + req.Version; len(o.fresh) < maxOrigins {
		o.add(o.fresh, name, origin{from, time.Now().UTC().Truncate(time.Second), req.Kind == goproxy.Zip})
	}
}

// add lets who served the zip stand: it is what is built.
func (o *origins) add(to map[string]origin, name string, n origin) {
	if old, ok := to[name]; !ok || n.Zip || !old.Zip {
		to[name] = n
	}
}

// merged is what was known before with what is fresh.
func (o *origins) merged(before map[string]origin) map[string]origin {
	o.mu.Lock()
	defer o.mu.Unlock()
	if before == nil {
		before = map[string]origin{}
	}
	for name, n := range o.fresh {
		o.add(before, name, n)
	}
	if more := len(before) - maxOrigins; more > 0 {
		names := slices.SortedFunc(maps.Keys(before), func(a, b string) int { return before[a].At.Compare(before[b].At) })
		for _, name := range names[:more] {
			delete(before, name)
		}
	}
	return before
}

// allOrigins is what is known of every module version, by path@version.
func (f *ferry) allOrigins() map[string]origin { return f.origins.merged(f.oldOrigins()) }

// oldOrigins is what the file has.
func (f *ferry) oldOrigins() (before map[string]origin) {
	f.recall(originsFile, func(file *os.File) error { return json.NewDecoder(io.LimitReader(file, 64<<20)).Decode(&before) })
	return before
}

// rememberOrigins leaves what is fresh in the file; a server need not keep it any longer. Two runs that do so at the same
// moment may lose notes of one.
func (f *ferry) rememberOrigins() {
	f.origins.mu.Lock()
	left := origins{fresh: f.origins.fresh}
	f.origins.fresh = nil
	f.origins.mu.Unlock()
	if len(left.fresh) > 0 {
		all := left.merged(f.oldOrigins())
		f.leave(originsFile, func(file *os.File) error { return json.NewEncoder(file).Encode(all) })
	}
}
