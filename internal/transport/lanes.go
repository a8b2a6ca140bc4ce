package transport

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// lanes are further transports beside one that carries all other requests. HTTP/2 puts
// every request for a host on one connection; a transport of its own gives a part of a
// body a connection of its own. They are made when they are first used.
type lanes struct {
	mu  sync.Mutex
	all map[laneKey]*http.Transport
}

type laneKey struct {
	base *http.Transport
	n    int
}

// of returns lane n beside base, with the same dialer, certificates and TLS sessions;
// lane 0 is base itself.
func (l *lanes) of(base *http.Transport, n int) *http.Transport {
	if n == 0 {
		return base
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	key := laneKey{base, n}
	lane := l.all[key]
	if lane == nil {
		lane = base.Clone()
		if l.all == nil {
			l.all = map[laneKey]*http.Transport{}
		}
		l.all[key] = lane
	}
	return lane
}

func (l *lanes) closeIdle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, lane := range l.all {
		lane.CloseIdleConnections()
	}
}

// A splitter is what the split bodies of a client share.
type splitter struct {
	arrived atomic.Int64 // bytes of all bodies of the client
	trying  atomic.Bool  // one body at a time finds out how many lanes pay
	memory  allowance

	// What is large, long and often, which tests make smaller.
	window      time.Duration // shortest span over which a rate is measured
	worth       time.Duration // a body that ends sooner is not split
	chunk       int64         // bytes a lane fetches at a time, at least, while there is enough left
	chunkMost   int64
	chunkLeast  int64         // at the end of a body
	rememberFor time.Duration // how long a finding about a host holds

	mu    sync.Mutex
	hosts map[string]finding // by host and port
}

// A finding is how many connections paid for the bodies of a host; 1 if more brought nothing.
type finding struct {
	lanes int
	rate  float64 // bytes per second of all of them together
	until time.Time
}

const (
	splitWindow   = 250 * time.Millisecond
	splitWorth    = 2 * time.Second
	splitRemember = 10 * time.Minute
	partsMost     = 32
	splitHosts    = 256 // remembered; a hostile upstream may redirect to any number of hosts
	chunkUsual    = 1 << 20
	chunkMost     = 4 << 20
	chunkLeast    = 256 << 10
)

func (cfg *Config) splitDefaults() {
	if cfg.SplitSize == 0 {
		cfg.SplitSize = 4 << 20
	}
	if cfg.SplitParts == 0 {
		cfg.SplitParts = 8
	}
	cfg.SplitParts = min(max(cfg.SplitParts, 1), partsMost)
	if cfg.SplitMemory == 0 {
		cfg.SplitMemory = 32 << 20
	}
}

func (sp *splitter) init(cfg *Config) {
	sp.memory.size = cfg.SplitMemory
	sp.window, sp.worth, sp.rememberFor = splitWindow, splitWorth, splitRemember
	// Each lane has one chunk that arrives and one that waits to be read.
	sp.chunkMost = min(chunkMost, max(cfg.SplitMemory/int64(2*cfg.SplitParts), chunkLeast))
	sp.chunk = min(chunkUsual, sp.chunkMost)
	sp.chunkLeast = min(chunkLeast, sp.chunk)
}

// found returns what is known about host.
func (sp *splitter) found(host string, now time.Time) (finding, bool) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	f, ok := sp.hosts[host]
	return f, ok && now.Before(f.until)
}

// remember notes what is known about host from now on.
func (sp *splitter) remember(host string, f finding, now time.Time) {
	f.until = now.Add(sp.rememberFor)
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.hosts == nil {
		sp.hosts = map[string]finding{}
	}
	if _, ok := sp.hosts[host]; !ok && len(sp.hosts) >= splitHosts {
		for other := range sp.hosts { // any
			delete(sp.hosts, other)
			break
		}
	}
	sp.hosts[host] = f
}

// An allowance is memory that may be taken and given back.
type allowance struct {
	mu   sync.Mutex
	size int64
	used int64
	most int64 // that was ever used
}

// take reports whether n bytes were there to be taken.
func (m *allowance) take(n int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used+n > m.size {
		return false
	}
	m.used += n
	m.most = max(m.most, m.used)
	return true
}

func (m *allowance) give(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used -= n
}
