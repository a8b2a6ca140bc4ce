package goproxytest

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"
)

// A Handler is the proxy without a socket, to be served by a program of its own.
type Handler struct {
	faults map[string]faultSpec
	sums   *sumDB

	modMu   sync.Mutex
	modules map[string]map[string]*mod // by path and version
	queries map[module.Version]string  // the version that a query means

	mu       sync.Mutex
	changed  chan struct{} // closed, and replaced, when one of those below changes
	requests []Request
	inFlight int
	most     int
	holds    []*hold
	seen     map[string]int // how often a times fault was met
	etags    int
}

// A Request is one that came in.
type Request struct {
	Method string
	Path   string // decoded, with the faults
	Proto  string
	Header http.Header
}

// String is the path, after the method unless that is GET.
func (r Request) String() string {
	if r.Method == http.MethodGet {
		return r.Path
	}
	return r.Method + " " + r.Path
}

// NewHandler returns a proxy without modules. Options.TLS is without meaning here.
func NewHandler(o Options) (*Handler, error) {
	h := &Handler{
		faults:  faultTable(),
		modules: map[string]map[string]*mod{},
		queries: map[module.Version]string{},
		changed: make(chan struct{}),
		seen:    map[string]int{},
	}
	name := o.SumDB
	if name == "" {
		name = "sumdb.example.com"
	}
	var err error
	h.sums, err = newSumDB(name, h)
	return h, err
}

// ServeHTTP answers as the faults in the path say.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	holds := h.arrive(r)
	defer h.leave()
	x := &exchange{h: h, r: r, w: &shaper{ResponseWriter: w, r: r}}
	for _, hold := range holds {
		if hold.at < 0 {
			hold.wait(r.Context())
			continue
		}
		x.w.stops = append(x.w.stops, stop{at: amount{bytes: hold.at}, act: func() { hold.wait(r.Context()) }})
	}
	x.run()
}

func (h *Handler) arrive(r *http.Request) (held []*hold) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests = append(h.requests, Request{r.Method, r.URL.Path, r.Proto, r.Header.Clone()})
	h.inFlight++
	h.most = max(h.most, h.inFlight)
	for _, x := range h.holds {
		if strings.Contains(r.URL.Path, x.part) {
			held = append(held, x)
		}
	}
	h.change()
	return held
}

func (h *Handler) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inFlight--
	h.change()
}

// change wakes who waits; h.mu is held.
func (h *Handler) change() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// Requests lists what came in since the start or Reset, in order: the path,
// decoded, with its faults, and the method before it unless that is GET.
func (h *Handler) Requests() []string {
	var list []string
	for _, r := range h.Records() {
		list = append(list, r.String())
	}
	return list
}

// Records lists what came in since the start or Reset, in order.
func (h *Handler) Records() []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.requests)
}

// Count is the number of requests since Reset whose path contains part; "" means all.
func (h *Handler) Count(part string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count(part)
}

func (h *Handler) count(part string) (n int) {
	for _, r := range h.requests {
		if strings.Contains(r.Path, part) {
			n++
		}
	}
	return n
}

// Reset forgets the requests that came in, the most in flight, and how often
// each times fault was met.
func (h *Handler) Reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests, h.most, h.seen = nil, h.inFlight, map[string]int{}
}

// InFlight is the number of requests being answered now.
func (h *Handler) InFlight() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.inFlight
}

// MaxInFlight is the most requests that were being answered at once since Reset.
func (h *Handler) MaxInFlight() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.most
}

// Wait returns when n requests whose path contains part have come in since
// Reset. The error is that of ctx.
func (h *Handler) Wait(ctx context.Context, part string, n int) error {
	return h.until(ctx, func() bool { return h.count(part) >= n })
}

// WaitInFlight returns when exactly n requests are being answered. The error is
// that of ctx.
func (h *Handler) WaitInFlight(ctx context.Context, n int) error {
	return h.until(ctx, func() bool { return h.inFlight == n })
}

func (h *Handler) until(ctx context.Context, cond func() bool) error {
	for {
		h.mu.Lock()
		ok, changed := cond(), h.changed
		h.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (h *Handler) waitIdle() {
	for {
		h.mu.Lock()
		idle, changed := h.inFlight == 0, h.changed
		h.mu.Unlock()
		if idle {
			return
		}
		<-changed
	}
}

type hold struct {
	part string
	at   int64 // of the body; -1 is before the answer
	gate chan struct{}
}

func (x *hold) wait(ctx context.Context) {
	select {
	case <-x.gate:
	case <-ctx.Done():
	}
}

// Hold keeps requests whose path contains part from being answered, until
// release is called or their client leaves. Those that came before are not held.
func (h *Handler) Hold(part string) (release func()) { return h.hold(part, -1) }

// HoldAt sends the header and n bytes of each such answer, and holds the rest.
func (h *Handler) HoldAt(part string, n int64) (release func()) { return h.hold(part, n) }

func (h *Handler) hold(part string, at int64) func() {
	x := &hold{part, at, make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holds = append(h.holds, x)
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.holds = slices.DeleteFunc(h.holds, func(y *hold) bool { return x == y })
		close(x.gate)
	})
}

// first reports whether this is one of the first n times that key is met.
func (h *Handler) first(n int, key string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen[key]++
	return h.seen[key] <= n
}

func (h *Handler) nextETag() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.etags++
	return h.etags
}

// sleep waits for d and reports whether the client is still there.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
