package toolchain

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

const (
	// healthAge is how long a measurement says something: people move between networks.
	healthAge = 7 * 24 * time.Hour
	// goodRate, in bytes per second, is what a place must be known to bring to come before
	// one that nobody has tried.
	goodRate = 256 << 10
	// A place must have brought healthBytes, or have taken healthTime, for its rate to say something.
	healthBytes = 256 << 10
	healthTime  = 10 * time.Second
	// A place that fails is left for last for firstDown, and twice as long each further time.
	firstDown = time.Minute
	mostDown  = time.Hour
)

// A PlaceHealth is what was measured of a place.
type PlaceHealth struct {
	Rate     float64   `json:"rate,omitempty"`     // bytes per second; the last few downloads count
	Measured time.Time `json:"measured,omitzero"`  // Rate was, last
	Failures int       `json:"failures,omitempty"` // in a row
	Failed   time.Time `json:"failed,omitzero"`    // last
	Fault    Fault     `json:"fault,omitempty"`    // of that failure
}

func (p PlaceHealth) seen() time.Time {
	if p.Failed.After(p.Measured) {
		return p.Failed
	}
	return p.Measured
}

// A Health remembers how fast places were and which of them failed, from one run to the
// next. It is for use by several goroutines. A nil *Health remembers nothing.
type Health struct {
	file string
	now  func() time.Time

	mu     sync.Mutex
	places map[string]PlaceHealth // by Place.key
}

// PlacesFile is where the Health of h's places is kept.
func (h Home) PlacesFile() string { return filepath.Join(h.SDKs(), ".places.json") }

// LoadHealth reads what file remembers. One that is not there or is damaged remembers
// nothing: all that is lost are measurements.
func LoadHealth(file string) *Health {
	return &Health{file: file, now: time.Now, places: readHealth(file)}
}

func readHealth(file string) map[string]PlaceHealth {
	places := map[string]PlaceHealth{}
	data, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(data, &places) != nil || places == nil {
		return map[string]PlaceHealth{}
	}
	return places
}

// Save writes what h remembers to its file, with what other processes have learnt
// meanwhile and without what is too old.
func (h *Health) Save() error {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	for key, other := range readHealth(h.file) {
		if other.seen().After(h.places[key].seen()) && !other.seen().After(now) {
			h.places[key] = other
		}
	}
	for key, p := range h.places {
		if now.Sub(p.seen()) > healthAge {
			delete(h.places, key)
		}
	}
	data, err := json.MarshalIndent(h.places, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(h.file), 0o777); err != nil {
		return asDiskFull(err)
	}
	return replaceFile(h.file, append(data, '\n'))
}

// Of returns what is known of p; the zero value is nothing.
func (h *Health) Of(p Place) PlaceHealth {
	if h == nil {
		return PlaceHealth{}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	known := h.places[p.key()]
	if h.now().Sub(known.Measured) > healthAge {
		known.Rate, known.Measured = 0, time.Time{}
	}
	if h.now().Sub(known.Failed) > healthAge {
		known.Failures, known.Failed, known.Fault = 0, time.Time{}, ""
	}
	return known
}

// Brought says that p brought n bytes in a time.
func (h *Health) Brought(p Place, n int64, took time.Duration) {
	if h == nil || p.local() || n == 0 || n < healthBytes && took < healthTime {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	rate := float64(n) / max(took, time.Millisecond).Seconds()
	known := h.places[p.key()]
	if known.Rate > 0 && h.now().Sub(known.Measured) <= healthAge {
		rate = (rate + known.Rate) / 2
	}
	h.places[p.key()] = PlaceHealth{Rate: rate, Measured: h.now()} // it works: failures are over
}

// Failed says that p failed. That it lacks a release is no failure.
func (h *Health) Failed(p Place, fault Fault) {
	if h == nil || fault == FaultAbsent || p.local() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	known := h.places[p.key()]
	known.Failures++
	known.Failed, known.Fault = h.now(), fault
	h.places[p.key()] = known
}

// Sort returns places in the order in which they are best tried: this machine's own folders,
// the user's places that were never tried, those that are known to be fast, the fastest
// first, then the unknown ones in the order given, the slow ones, and those that failed just now.
func (h *Health) Sort(places []Place) []Place {
	return sortByHealth(h, places, func(p Place) Place { return p })
}

func sortByHealth[T any](h *Health, list []T, place func(T) Place) []T {
	type ranked struct {
		rank int
		rate float64
		item T
	}
	var all []ranked
	for _, item := range list {
		p := place(item)
		known := h.Of(p)
		all = append(all, ranked{h.rank(p, known), known.Rate, item})
	}
	slices.SortStableFunc(all, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(b.rate, a.rate))
	})
	sorted := make([]T, len(all))
	for i, r := range all {
		sorted[i] = r.item
	}
	return sorted
}

func (h *Health) rank(p Place, known PlaceHealth) int {
	switch {
	case p.local():
		return 0
	case known.Failures > 0 && h.now().Before(known.Failed.Add(downFor(known.Failures))):
		return 5
	case known.Rate == 0 && p.Own:
		return 1
	case known.Rate >= goodRate:
		return 2
	case known.Rate == 0:
		return 3
	}
	return 4
}

func downFor(failures int) time.Duration {
	return min(firstDown<<min(failures-1, 10), mostDown)
}
