package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Times of readiness checks.
const (
	DefaultCheckTimeout = 2 * time.Second // for a check that sets none
	readyFor            = 5 * time.Second // how long the answers of the checks are good
)

// ErrNotMeasured is what the Run of a Check returns (or wraps) when it could not
// find out, or when there is nothing to find out. It is neither good nor bad.
var ErrNotMeasured = errors.New("not measured")

// A Check finds out whether one thing that the server needs works.
type Check struct {
	Name     string
	Critical bool          // while it fails the server is not ready; else only degraded
	Timeout  time.Duration // 0 means DefaultCheckTimeout

	// Run returns a word or two for people, and why the thing does not work. It
	// obeys ctx; one that does not is counted as failed at its deadline and is
	// not started again before it has come back.
	Run func(ctx context.Context) (detail string, err error)
}

// A CheckResult is what one check found.
type CheckResult struct {
	Name     string `json:"name"`
	OK       *bool  `json:"ok"` // null: not measured
	Critical bool   `json:"critical"`
	Detail   string `json:"detail,omitempty"`
	Millis   int64  `json:"ms"`
}

// Readiness is the answer of /-/readyz.
type Readiness struct {
	OK       bool          `json:"ok"`       // no critical check fails
	Degraded bool          `json:"degraded"` // some check fails, critical or not
	Time     time.Time     `json:"time"`     // when it was found out
	Checks   []CheckResult `json:"checks"`
}

// Health answers whether the process lives and whether it can serve.
// The zero value is ready for use; checks are added before it serves.
type Health struct {
	checks []*check

	mu      sync.Mutex
	last    *Readiness
	running chan struct{} // closed when the checks under way are done; nil if none are
}

type check struct {
	Check
	busy chan struct{} // holds one token while Run runs
}

// Add registers a check. It must not be called once the handlers serve.
func (h *Health) Add(c Check) {
	if c.Timeout <= 0 {
		c.Timeout = DefaultCheckTimeout
	}
	h.checks = append(h.checks, &check{c, make(chan struct{}, 1)})
}

// Live is the handler of /-/healthz: "ok" as long as the process answers at all.
func (h *Health) Live() http.Handler {
	return readOnly(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write([]byte("ok\n")) // a client that has left needs no answer
	})
}

// Ready is the handler of /-/readyz: a Readiness as JSON, with status 503 while
// a critical check fails.
func (h *Health) Ready() http.Handler {
	return readOnly(func(w http.ResponseWriter, r *http.Request) {
		ready, err := h.Check(r.Context())
		if err != nil {
			return // the asker has left
		}
		status := http.StatusOK
		if !ready.OK {
			status = http.StatusServiceUnavailable
			w.Header().Set("Retry-After", fmt.Sprint(int(readyFor/time.Second)))
		}
		writeJSON(w, status, ready)
	})
}

// Check runs the checks side by side, or returns what they said in the last five
// seconds. However many ask, they run once. The error is that of ctx.
func (h *Health) Check(ctx context.Context) (Readiness, error) {
	for {
		h.mu.Lock()
		if h.last != nil && time.Since(h.last.Time) < readyFor {
			defer h.mu.Unlock()
			return *h.last, nil
		}
		if running := h.running; running != nil {
			h.mu.Unlock()
			select {
			case <-running:
				continue
			case <-ctx.Done():
				return Readiness{}, context.Cause(ctx)
			}
		}
		h.running = make(chan struct{})
		h.mu.Unlock()
		// The answer is for all who ask, so it does not end with the first of them.
		ready := h.run(context.WithoutCancel(ctx))
		h.mu.Lock()
		h.last = &ready
		close(h.running)
		h.running = nil
		h.mu.Unlock()
		return ready, nil
	}
}

func (h *Health) run(ctx context.Context) Readiness {
	r := Readiness{OK: true, Checks: make([]CheckResult, len(h.checks))}
	var wg sync.WaitGroup
	for i, c := range h.checks {
		wg.Go(func() { r.Checks[i] = c.run(ctx) })
	}
	wg.Wait()
	for _, c := range r.Checks {
		if c.OK != nil && !*c.OK {
			r.Degraded = true
			r.OK = r.OK && !c.Critical
		}
	}
	r.Time = time.Now()
	return r
}

type outcome struct {
	detail string
	err    error
}

func (c *check) run(ctx context.Context) CheckResult {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	var o outcome
	select {
	case c.busy <- struct{}{}:
		done := make(chan outcome, 1)
		go func() {
			o := c.call(ctx)
			<-c.busy
			done <- o
		}()
		select {
		case o = <-done:
		case <-ctx.Done():
			o.err = fmt.Errorf("no answer within %s", c.Timeout)
		}
	default:
		o.err = errors.New("an earlier run of this check hangs")
	}
	res := CheckResult{Name: c.Name, Critical: c.Critical, Detail: o.detail, Millis: time.Since(start).Milliseconds()}
	if !errors.Is(o.err, ErrNotMeasured) {
		ok := o.err == nil
		res.OK = &ok
	}
	if o.err != nil {
		if res.Detail != "" {
			res.Detail += ": "
		}
		res.Detail += o.err.Error()
	}
	return res
}

// call turns a panic into a failed check: it runs in a goroutine of its own,
// where a panic would end the process.
func (c *check) call(ctx context.Context) (o outcome) {
	defer func() {
		if p := recover(); p != nil {
			o.err = fmt.Errorf("the check panicked: %v", p)
		}
	}()
	o.detail, o.err = c.Run(ctx)
	return o
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that has left needs no answer
}
