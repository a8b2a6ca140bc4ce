package goproxy

import "sync"

// Names remembers how the requests seen last are written: checking a module path costs
// several times what it takes to look it up. The zero value is ready; it may be used by
// many goroutines.
type Names struct {
	parsed memo[string, Request]
	named  memo[Request, string]
}

// Parse is ParseRequest.
func (n *Names) Parse(name string) (Request, error) {
	if len(name) > memoName {
		return ParseRequest(name)
	}
	return n.parsed.get(name, ParseRequest)
}

// Name is req.Name.
func (n *Names) Name(req Request) (string, error) {
	if len(req.Path)+len(req.Version) > memoName {
		return req.Name()
	}
	return n.named.get(req, Request.Name)
}

// A memo is bounded to a few hundred KiB, and holds more names than a build asks for. Names
// may be as long as a request can be: those that nobody needs are not kept.
const (
	memoSize = 4096 // names
	memoName = 256  // bytes of a name
)

// memo keeps results of a pure function, not its errors.
type memo[K comparable, V any] struct {
	mu   sync.RWMutex
	kept map[K]V
}

func (m *memo[K, V]) get(key K, fn func(K) (V, error)) (V, error) {
	m.mu.RLock()
	v, ok := m.kept[key]
	m.mu.RUnlock()
	if ok {
		return v, nil
	}
	v, err := fn(key)
	if err != nil {
		return v, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.kept) >= memoSize {
		clear(m.kept) // starting over is cheaper than keeping an order on every hit
	}
	if m.kept == nil {
		m.kept = make(map[K]V)
	}
	m.kept[key] = v
	return v, nil
}
