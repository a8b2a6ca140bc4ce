package server

import (
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics counts what goferry does, for Prometheus, in a registry of its own.
//
// Every label has few values: what is not in the lists below, and upstreams or
// codes past a limit, count under "other". A nil *Metrics counts nothing.
//
//	goferry_requests_total{kind,status,result}     answers to clients
//	goferry_request_duration_seconds{kind}         until the last byte was handed to the system
//	goferry_response_bytes_total{kind}             bytes of bodies sent
//	goferry_upstream_requests_total{upstream,code} requests sent; code is a status, or a failure where there was none
//	goferry_upstream_bytes_total{upstream}         bytes of bodies received
//	goferry_upstream_seconds_total{upstream}       time spent on them
//	goferry_upstream_retries_total                 upstream requests that repeated one
//	goferry_upstream_resumed_total                 upstream requests that went on with a body that broke off
//	goferry_upstream_parts_total                   upstream requests for one of several parts of a body, each over a connection of its own
//	goferry_upstream_wasted_bytes_total            bytes of bodies received that had come before
//	goferry_mirror_events_total{mirror,event}      what happened in sets of mirrors: hedged, hedge-won, out, back, refused
//	goferry_fills_in_flight                        files on their way into the store
//	goferry_store_bytes, _files, _limit_bytes      what the store holds and may hold
//	goferry_checksum_mismatches_total              files that were not what the checksum database recorded
//	goferry_evicted_bytes_total                    bytes removed to make room
//	goferry_prefetch_bytes_total                   bytes fetched ahead of clients; what is neither of the next two is still outstanding
//	goferry_prefetch_used_bytes_total              of these, bytes that were then asked for
//	goferry_prefetch_wasted_bytes_total            of these, bytes that were not asked for in time
//	goferry_prefetch_outstanding_bytes             of these, bytes of which nothing is known yet
//	goferry_watch_due, _done, _failing             modules of the present or last round of watching, how many of them it looked at, and how many fail
//	goferry_watch_versions_total, _bytes_total     new versions that were fetched before anyone asked, and the bytes of all that watching fetched
type Metrics struct {
	reg *prometheus.Registry

	requests *prometheus.CounterVec
	// counters of requests, made when first needed: most of the combinations never occur.
	children  [kindCount][resultCount][statusCount]atomic.Pointer[prometheus.Counter]
	durations [kindCount]prometheus.Observer
	sent      [kindCount]prometheus.Counter

	upRequests        *prometheus.CounterVec
	upBytes, upSecs   *prometheus.CounterVec
	mirrors           *prometheus.CounterVec
	retries, resumed  prometheus.Counter
	parts, repeated   prometheus.Counter
	mismatches        prometheus.Counter
	evicted           prometheus.Counter
	upMu              sync.RWMutex
	upstreams         map[string]*upstreamMetrics
	failures          map[string]bool // words seen, of all upstreams
	otherUpstream     *upstreamMetrics
	maxHosts, maxFail int
}

// upstreamMetrics are the resolved counters of one upstream.
type upstreamMetrics struct {
	label       string
	codes       map[string]prometheus.Counter // guarded by Metrics.upMu
	statuses    [600]atomic.Pointer[prometheus.Counter]
	bytes, secs prometheus.Counter
}

const (
	kindCount   = 7
	resultCount = 6
	statusCount = 20

	maxUpstreams = 64
	maxFailures  = 64
)

// The last of each list is for all that is not in it. Switches instead of
// maps: they are read on every request.
func kindIndex(kind string) (int, string) {
	switch kind {
	case "list":
		return 0, kind
	case "latest":
		return 1, kind
	case "info":
		return 2, kind
	case "mod":
		return 3, kind
	case "zip":
		return 4, kind
	case "sumdb":
		return 5, kind
	}
	return 6, other
}

func resultIndex(result string) (int, string) {
	switch result {
	case "hit":
		return 0, result
	case "miss":
		return 1, result
	case "stale":
		return 2, result
	case "absent":
		return 3, result
	case "error":
		return 4, result
	}
	return 5, other
}

func statusIndex(status int) int {
	for i, s := range [statusCount - 1]int{200, 206, 301, 302, 304, 400, 401, 403, 404, 405, 410, 412, 416, 429, 499, 500, 502, 503, 504} {
		if s == status {
			return i
		}
	}
	return statusCount - 1
}

const other = "other"

// NewMetrics returns counters at zero, with those of the Go runtime and the
// process beside them.
func NewMetrics() *Metrics {
	m := &Metrics{
		reg:       prometheus.NewRegistry(),
		upstreams: map[string]*upstreamMetrics{}, failures: map[string]bool{},
		maxHosts: maxUpstreams, maxFail: maxFailures,
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.reg.MustRegister(v)
		return v
	}
	one := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		m.reg.MustRegister(c)
		return c
	}
	m.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.requests = vec("goferry_requests_total", "Answers to clients.", "kind", "status", "result")
	sent := vec("goferry_response_bytes_total", "Bytes of bodies sent to clients.", "kind")
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "goferry_request_duration_seconds",
		Help: "Time from a request to the last byte of its answer.",
		// From a hit in memory to a large zip on a slow link.
		Buckets: []float64{.0005, .002, .01, .05, .2, 1, 5, 20, 60, 300},
	}, []string{"kind"})
	m.reg.MustRegister(durations)
	for _, kind := range []string{"list", "latest", "info", "mod", "zip", "sumdb", other} {
		i, _ := kindIndex(kind)
		m.durations[i] = durations.WithLabelValues(kind)
		m.sent[i] = sent.WithLabelValues(kind)
	}
	m.upRequests = vec("goferry_upstream_requests_total", "Requests sent to upstreams, by status or failure.", "upstream", "code")
	m.upBytes = vec("goferry_upstream_bytes_total", "Bytes of bodies received from upstreams.", "upstream")
	m.upSecs = vec("goferry_upstream_seconds_total", "Time spent on requests to upstreams.", "upstream")
	m.retries = one("goferry_upstream_retries_total", "Upstream requests that repeated an earlier one.")
	m.resumed = one("goferry_upstream_resumed_total", "Upstream requests that went on with a body that broke off.")
	m.parts = one("goferry_upstream_parts_total", "Upstream requests for one of several parts of a body.")
	m.repeated = one("goferry_upstream_wasted_bytes_total", "Bytes of bodies received from upstreams that had come before.")
	m.mirrors = vec("goferry_mirror_events_total", "What happened in sets of mirrors.", "mirror", "event")
	m.mismatches = one("goferry_checksum_mismatches_total", "Files that were not what the checksum database recorded.")
	m.evicted = one("goferry_evicted_bytes_total", "Bytes removed from the store to make room.")
	return m
}

// Registry is where the counters are; more collectors may be registered.
func (m *Metrics) Registry() *prometheus.Registry { return m.reg }

// Handler is the handler of /-/metrics. A collector that fails costs its own
// numbers, not the others; log (nil discards) has the reason.
func (m *Metrics) Handler(log *slog.Logger) http.Handler {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	h := promhttp.HandlerFor(m.reg, promhttp.HandlerOpts{
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandling: promhttp.ContinueOnError,
	})
	return readOnly(h.ServeHTTP)
}

// Request counts one answer to a client: kind is list, latest, info, mod, zip or
// sumdb; result is hit, miss, stale, absent or error; bytes are those of the body.
func (m *Metrics) Request(kind, result string, status int, dur time.Duration, bytes int64) {
	if m == nil {
		return
	}
	k, kind := kindIndex(kind)
	r, result := resultIndex(result)
	s := statusIndex(status)
	child := &m.children[k][r][s]
	c := child.Load()
	if c == nil {
		code := other
		if s < statusCount-1 {
			code = strconv.Itoa(status)
		}
		made := m.requests.WithLabelValues(kind, code, result)
		c = &made
		child.Store(c) // a race stores the same counter twice
	}
	(*c).Inc()
	m.durations[k].Observe(dur.Seconds())
	m.sent[k].Add(float64(max(bytes, 0)))
}

// An UpstreamRequest is what one request to an upstream came to.
type UpstreamRequest struct {
	Host     string        // what tells upstreams apart, without credentials
	Status   int           // 0 where there was no answer
	Failure  string        // a word such as "timeout"; one in the midst of an answer wins over the status
	Retry    bool          // it repeated an earlier one
	Resumed  bool          // it went on with a body that broke off
	Part     bool          // it asked for one of several parts of a body
	Bytes    int64         // of its body that arrived
	Wasted   int64         // of Bytes, those that had come before
	Duration time.Duration // until the last byte of the body, or the failure
}

// Upstream counts one request to an upstream. One that resumes or is a part
// does not count as a retry.
func (m *Metrics) Upstream(r UpstreamRequest) {
	if m == nil {
		return
	}
	u := m.upstream(r.Host)
	m.code(u, r.Status, r.Failure).Inc()
	u.bytes.Add(float64(max(r.Bytes, 0)))
	u.secs.Add(max(r.Duration, 0).Seconds())
	m.repeated.Add(float64(max(r.Wasted, 0)))
	if r.Part {
		m.parts.Inc()
	}
	switch {
	case r.Resumed:
		m.resumed.Inc()
	case r.Retry && !r.Part:
		m.retries.Inc()
	}
}

// Mirror counts an event of a mirror in a set. Both are from short lists: the
// mirrors that the user configured, and what can happen to them.
func (m *Metrics) Mirror(mirror, event string) {
	if m != nil {
		m.mirrors.WithLabelValues(mirror, event).Inc()
	}
}

func (m *Metrics) upstream(host string) *upstreamMetrics {
	m.upMu.RLock()
	u := m.upstreams[host]
	m.upMu.RUnlock()
	if u != nil {
		return u
	}
	m.upMu.Lock()
	defer m.upMu.Unlock()
	if u := m.upstreams[host]; u != nil {
		return u
	}
	if len(m.upstreams) >= m.maxHosts { // direct asks any host that a module path names
		if m.otherUpstream == nil {
			m.otherUpstream = m.newUpstream(other)
		}
		return m.otherUpstream
	}
	u = m.newUpstream(strings.ToValidUTF8(clip(host, 128), "?")) // Prometheus panics on anything else
	m.upstreams[host] = u
	return u
}

func (m *Metrics) newUpstream(label string) *upstreamMetrics {
	return &upstreamMetrics{
		label: label,
		codes: map[string]prometheus.Counter{},
		bytes: m.upBytes.WithLabelValues(label),
		secs:  m.upSecs.WithLabelValues(label),
	}
}

func (m *Metrics) code(u *upstreamMetrics, status int, failure string) prometheus.Counter {
	if failure == "" && status >= 100 && status < len(u.statuses) {
		child := &u.statuses[status]
		c := child.Load()
		if c == nil {
			made := m.upRequests.WithLabelValues(u.label, strconv.Itoa(status))
			c = &made
			child.Store(c)
		}
		return *c
	}
	m.upMu.RLock()
	c := u.codes[failure]
	m.upMu.RUnlock()
	if c != nil {
		return c
	}
	m.upMu.Lock()
	defer m.upMu.Unlock()
	word := failure
	switch {
	case !plainWord(word):
		return m.upRequests.WithLabelValues(u.label, other)
	case m.failures[word]:
	case len(m.failures) >= m.maxFail:
		return m.upRequests.WithLabelValues(u.label, other)
	default:
		m.failures[word] = true
	}
	c = m.upRequests.WithLabelValues(u.label, word)
	u.codes[word] = c
	return c
}

// plainWord bars the texts of errors, which are endless, from being labels.
func plainWord(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return 0 < len(s) && len(s) <= 32
}

// Gauges are asked for their values whenever the metrics are read; they must
// answer at once. Nil ones are left out. Those of which the name ends in _total
// must never fall.
type Gauges struct {
	FillsInFlight   func() int64
	StoreBytes      func() int64
	StoreFiles      func() int64
	StoreLimitBytes func() int64 // 0 means no limit

	// Bytes fetched ahead of clients.
	PrefetchFetched     func() int64 // all
	PrefetchUsed        func() int64 // of these, asked for
	PrefetchWasted      func() int64 // of these, not asked for in time
	PrefetchOutstanding func() int64 // of these, neither yet

	// The round of watching that is under way, or was the last.
	WatchDue     func() int64 // its modules
	WatchDone    func() int64 // of these, looked at
	WatchFailing func() int64 // modules that could not be looked at

	// Watching since the start.
	WatchVersions func() int64 // new versions fetched
	WatchBytes    func() int64
}

// Watch adds gauges. It is an error to add one of them twice.
func (m *Metrics) Watch(g Gauges) error {
	if m == nil {
		return nil
	}
	for _, x := range []struct {
		name, help string
		f          func() int64
	}{
		{"goferry_fills_in_flight", "Files on their way into the store.", g.FillsInFlight},
		{"goferry_store_bytes", "Bytes in the store.", g.StoreBytes},
		{"goferry_store_files", "Files in the store.", g.StoreFiles},
		{"goferry_store_limit_bytes", "Bytes that the store may hold, 0 for no limit.", g.StoreLimitBytes},
		{"goferry_prefetch_bytes_total", "Bytes fetched ahead of clients.", g.PrefetchFetched},
		{"goferry_prefetch_used_bytes_total", "Bytes fetched ahead of clients and then asked for.", g.PrefetchUsed},
		{"goferry_prefetch_wasted_bytes_total", "Bytes fetched ahead of clients and not asked for in time.", g.PrefetchWasted},
		{"goferry_prefetch_outstanding_bytes", "Bytes fetched ahead of clients that may still be asked for.", g.PrefetchOutstanding},
		{"goferry_watch_due", "Modules of the present or last round of watching.", g.WatchDue},
		{"goferry_watch_done", "Modules of that round that were looked at.", g.WatchDone},
		{"goferry_watch_failing", "Watched modules that could not be looked at.", g.WatchFailing},
		{"goferry_watch_versions_total", "New versions fetched before anyone asked for them.", g.WatchVersions},
		{"goferry_watch_bytes_total", "Bytes fetched by watching.", g.WatchBytes},
	} {
		if x.f == nil {
			continue
		}
		if err := m.reg.Register(valueFunc(x.name, x.help, x.f)); err != nil {
			return fmt.Errorf("metric %s: %w", x.name, err)
		}
	}
	return nil
}

// valueFunc is a counter if its name says so, else a gauge.
func valueFunc(name, help string, f func() int64) prometheus.Collector {
	value := func() float64 { return float64(f()) }
	if strings.HasSuffix(name, "_total") {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value)
	}
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
}

// ChecksumMismatch counts a file that was not what the checksum database recorded.
func (m *Metrics) ChecksumMismatch() {
	if m != nil {
		m.mismatches.Inc()
	}
}

// Evicted counts bytes removed from the store to make room.
func (m *Metrics) Evicted(bytes int64) {
	if m != nil {
		m.evicted.Add(float64(max(bytes, 0)))
	}
}
