package cache

import (
	"container/list"
	"sync"
	"time"

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
	byKey map[string]*list.Element
	seen  map[string]bool
}

type hotEntry struct {
	name    string
	data    []byte
	mod     time.Time
	checked time.Time
}

func newHot(max int64) *hot {
	return &hot{max: max, order: list.New(), byKey: map[string]*list.Element{}, seen: map[string]bool{}}
}

func (h *hot) get(name string, now time.Time, st *store.Store) (data []byte, mod time.Time, ok bool) {
	h.mu.Lock()
	el := h.byKey[name]
	if el == nil {
		h.mu.Unlock()
		return nil, time.Time{}, false
	}
	h.order.MoveToFront(el)
	e := el.Value.(*hotEntry)
	data, mod = e.data, e.mod
	due := now.Sub(e.checked) >= hotRecheck
	if due {
		e.checked = now // one asker looks, the others go on
	}
	h.mu.Unlock()
	if due {
		// Opening, not stat: it records the use, which keeps the blob from eviction.
		f, err := st.Open(name)
		if err != nil {
			h.drop(name)
			return nil, time.Time{}, false
		}
		info, err := f.Stat()
		f.Close()
		if err != nil || info.Size() != int64(len(data)) || !info.ModTime().Equal(mod) {
			h.drop(name)
			return nil, time.Time{}, false
		}
	}
	return data, mod, true
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

func (h *hot) put(name string, data []byte, mod, now time.Time) {
	if len(data) > hotMax {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byKey[name] != nil {
		return
	}
	h.byKey[name] = h.order.PushFront(&hotEntry{name: name, data: data, mod: mod, checked: now})
	h.size += int64(len(data) + len(name))
	for h.size > h.max {
		h.remove(h.order.Back())
	}
}

func (h *hot) drop(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if el := h.byKey[name]; el != nil {
		h.remove(el)
	}
}

func (h *hot) remove(el *list.Element) {
	e := h.order.Remove(el).(*hotEntry)
	delete(h.byKey, e.name)
	h.size -= int64(len(e.data) + len(e.name))
}
