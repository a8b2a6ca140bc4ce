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
	fresh map[string]origin // of this run, by path@version
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
	o.add(o.fresh, req.Path+"@"+req.Version, origin{from, time.Now().UTC().Truncate(time.Second), req.Kind == goproxy.Zip})
}

// add lets who served the zip stand: it is what is built.
func (o *origins) add(to map[string]origin, name string, n origin) {
	if old, ok := to[name]; !ok || n.Zip || !old.Zip {
		to[name] = n
	}
}

// merged is what was known before with what this run adds.
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
func (f *ferry) allOrigins() map[string]origin {
	var before map[string]origin
	f.recall(originsFile, func(file *os.File) error { return json.NewDecoder(io.LimitReader(file, 64<<20)).Decode(&before) })
	return f.origins.merged(before)
}

// rememberOrigins leaves them for the next run. Two runs that end at the same moment may lose notes of one.
func (f *ferry) rememberOrigins() {
	f.origins.mu.Lock()
	none := len(f.origins.fresh) == 0
	f.origins.mu.Unlock()
	if none {
		return
	}
	all := f.allOrigins()
	f.leave(originsFile, func(file *os.File) error { return json.NewEncoder(file).Encode(all) })
}
