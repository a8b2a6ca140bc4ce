package cache

import (
	"container/list"
	"sync"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/store"
)

const (
	hotBytes   = 32 << 20        // of small immutable files in memory
	hotMax     = 2 << 20         // larger ones are left to the page cache
	hotSeen    = 4096            // names whose first use is remembered
	hotRecheck = 2 * time.Second // how long another process's rm may go unnoticed
)

// hot keeps small immutable files in memory: opening a file costs more than sending a go.mod, and
// the kernel sends pages of a file more slowly than memory.
// Eviction is LRU. An entry is compared with the store every hotRecheck, since
// another process may have removed or repaired the blob.
type hot struct {
	mu    sync.Mutex
	max   int64
	size  int64
	order *list.List // of *hotEntry, most recently used first
	byReq map[goproxy.Request]*list.Element
	seen  map[string]bool
}

type hotEntry struct {
	req     goproxy.Request
	name    string
	file    *goproxy.MemFile // opened again for each asker; nobody changes its Meta
	checked time.Time
}

func (e *hotEntry) size() int64 { return int64(len(e.file.Bytes()) + len(e.name)) }

func newHot(max int64) *hot {
	return &hot{max: max, order: list.New(), byReq: map[goproxy.Request]*list.Element{}, seen: map[string]bool{}}
}

// get opens the file req, or returns nil if it is not in memory. It goes by the request, so that a hit
// needs no name.
func (h *hot) get(req goproxy.Request, now time.Time, st *store.Store) *goproxy.MemFile {
	h.mu.Lock()
	el := h.byReq[req]
	if el == nil {
		h.mu.Unlock()
		return nil
	}
	h.order.MoveToFront(el)
	e := el.Value.(*hotEntry)
	due := now.Sub(e.checked) >= hotRecheck
	if due {
		e.checked = now // one asker looks, the others go on
	}
	h.mu.Unlock()
	if due && !e.unchanged(st) {
		h.drop(req)
		return nil
	}
	return e.file.Again()
}

// unchanged reports whether the store still has what is in memory.
func (e *hotEntry) unchanged(st *store.Store) bool {
	// Opening, not stat: it records the use, which keeps the blob from eviction.
	f, err := st.Open(e.name)
	if err != nil {
		return false
	}
	defer f.Close()
	is, err := f.Stat()
	was, _ := e.file.Stat() // a MemFile's has no error
	return err == nil && is.Size() == was.Size() && is.ModTime().Equal(was.ModTime())
}

// again reports whether name was asked about before, not long ago. Zips are admitted at
// their second use only: a build that passes by once must not push everything else out.
func (h *hot) again(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seen[name] {
		delete(h.seen, name)
		return true
	}
	if len(h.seen) >= hotSeen {
		clear(h.seen)
	}
	h.seen[name] = true
	return false
}

func (h *hot) put(req goproxy.Request, name string, file *goproxy.MemFile, now time.Time) {
	if len(file.Bytes()) > hotMax {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byReq[req] != nil {
		return
	}
	e := &hotEntry{req: req, name: name, file: file, checked: now}
	h.byReq[req] = h.order.PushFront(e)
	h.size += e.size()
	for h.size > h.max {
		h.remove(h.order.Back())
	}
}

func (h *hot) drop(req goproxy.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if el := h.byReq[req]; el != nil {
		h.remove(el)
	}
}

func (h *hot) remove(el *list.Element) {
	e := h.order.Remove(el).(*hotEntry)
	delete(h.byReq, e.req)
	h.size -= e.size()
}
