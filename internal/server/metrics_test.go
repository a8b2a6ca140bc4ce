package server

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// ours are the metrics that this package documents, with the runtime's left out.
var ours = []string{
	"goferry_requests_total", "goferry_response_bytes_total", "goferry_upstream_requests_total", "goferry_upstream_bytes_total",
	"goferry_upstream_seconds_total", "goferry_upstream_retries_total", "goferry_fills_in_flight", "goferry_store_bytes",
	"goferry_store_files", "goferry_store_limit_bytes", "goferry_checksum_mismatches_total", "goferry_evicted_bytes_total",
	"goferry_upstream_resumed_total", "goferry_upstream_parts_total", "goferry_upstream_wasted_bytes_total", "goferry_mirror_events_total",
	"goferry_prefetch_bytes_total", "goferry_prefetch_used_bytes_total", "goferry_prefetch_wasted_bytes_total", "goferry_prefetch_outstanding_bytes",
	"goferry_watch_due", "goferry_watch_done", "goferry_watch_failing", "goferry_watch_versions_total", "goferry_watch_bytes_total",
}

func TestMetrics(t *testing.T) {
	m := NewMetrics()
	m.Request("zip", "hit", 200, time.Millisecond, 1000)
	m.Request("zip", "hit", 200, time.Millisecond, 500)
	m.Request("zip", "miss", 206, time.Hour, -1)
	m.Request("mod", "absent", 404, 0, 9)
	m.Request("nonsense", "nonsense", 299, 0, 0)
	m.Upstream(UpstreamRequest{Host: "a.example", Status: 200, Bytes: 100, Duration: 2 * time.Second})
	m.Upstream(UpstreamRequest{Host: "a.example", Status: 200, Retry: true, Bytes: 100, Duration: time.Second})
	m.Upstream(UpstreamRequest{Host: "a.example", Status: 200, Failure: "stalled", Retry: true, Bytes: 50, Duration: -time.Second})
	m.Upstream(UpstreamRequest{Host: "a.example", Status: 206, Retry: true, Resumed: true, Bytes: 10, Wasted: 7})
	m.Upstream(UpstreamRequest{Host: "a.example", Status: 206, Retry: true, Part: true, Bytes: 10})
	m.Upstream(UpstreamRequest{Host: "a.example", Status: 206, Part: true, Resumed: true, Bytes: 10, Wasted: -1})
	m.Upstream(UpstreamRequest{Host: "b.example", Failure: "read tcp 127.0.0.1: \"text\" of an error"})
	m.Upstream(UpstreamRequest{Host: "b.example"})
	m.Mirror("https://a.example", "hedged")
	m.ChecksumMismatch()
	m.Evicted(4096)
	if err := m.Watch(Gauges{
		FillsInFlight: func() int64 { return 3 },
		StoreBytes:    func() int64 { return 1 << 40 },
		StoreFiles:    func() int64 { return 7 },
	}); err != nil {
		t.Fatal(err)
	}
	if err := m.Watch(Gauges{StoreLimitBytes: func() int64 { return 0 }}); err != nil {
		t.Fatal(err)
	}
	if err := m.Watch(Gauges{
		PrefetchFetched: func() int64 { return 100 }, PrefetchUsed: func() int64 { return 60 },
		PrefetchWasted: func() int64 { return 10 }, PrefetchOutstanding: func() int64 { return 30 },
		WatchDue: func() int64 { return 5 }, WatchDone: func() int64 { return 4 }, WatchFailing: func() int64 { return 1 },
		WatchVersions: func() int64 { return 2 }, WatchBytes: func() int64 { return 1000 },
	}); err != nil {
		t.Fatal(err)
	}
	if err := m.Watch(Gauges{StoreFiles: func() int64 { return 0 }}); err == nil {
		t.Error("a gauge can be added twice")
	}
	want := `
# HELP goferry_checksum_mismatches_total Files that were not what the checksum database recorded.
# TYPE goferry_checksum_mismatches_total counter
goferry_checksum_mismatches_total 1
# HELP goferry_evicted_bytes_total Bytes removed from the store to make room.
# TYPE goferry_evicted_bytes_total counter
goferry_evicted_bytes_total 4096
# HELP goferry_fills_in_flight Files on their way into the store.
# TYPE goferry_fills_in_flight gauge
goferry_fills_in_flight 3
# HELP goferry_mirror_events_total What happened in sets of mirrors.
# TYPE goferry_mirror_events_total counter
goferry_mirror_events_total{event="hedged",mirror="https://a.example"} 1
# HELP goferry_prefetch_bytes_total Bytes fetched ahead of clients.
# TYPE goferry_prefetch_bytes_total counter
goferry_prefetch_bytes_total 100
# HELP goferry_prefetch_outstanding_bytes Bytes fetched ahead of clients that may still be asked for.
# TYPE goferry_prefetch_outstanding_bytes gauge
goferry_prefetch_outstanding_bytes 30
# HELP goferry_prefetch_used_bytes_total Bytes fetched ahead of clients and then asked for.
# TYPE goferry_prefetch_used_bytes_total counter
goferry_prefetch_used_bytes_total 60
# HELP goferry_prefetch_wasted_bytes_total Bytes fetched ahead of clients and not asked for in time.
# TYPE goferry_prefetch_wasted_bytes_total counter
goferry_prefetch_wasted_bytes_total 10
# HELP goferry_requests_total Answers to clients.
# TYPE goferry_requests_total counter
goferry_requests_total{kind="mod",result="absent",status="404"} 1
goferry_requests_total{kind="other",result="other",status="other"} 1
goferry_requests_total{kind="zip",result="hit",status="200"} 2
goferry_requests_total{kind="zip",result="miss",status="206"} 1
# HELP goferry_response_bytes_total Bytes of bodies sent to clients.
# TYPE goferry_response_bytes_total counter
goferry_response_bytes_total{kind="info"} 0
goferry_response_bytes_total{kind="latest"} 0
goferry_response_bytes_total{kind="list"} 0
goferry_response_bytes_total{kind="mod"} 9
goferry_response_bytes_total{kind="other"} 0
goferry_response_bytes_total{kind="sumdb"} 0
goferry_response_bytes_total{kind="zip"} 1500
# HELP goferry_store_bytes Bytes in the store.
# TYPE goferry_store_bytes gauge
goferry_store_bytes 1.099511627776e+12
# HELP goferry_store_files Files in the store.
# TYPE goferry_store_files gauge
goferry_store_files 7
# HELP goferry_store_limit_bytes Bytes that the store may hold, 0 for no limit.
# TYPE goferry_store_limit_bytes gauge
goferry_store_limit_bytes 0
# HELP goferry_upstream_bytes_total Bytes of bodies received from upstreams.
# TYPE goferry_upstream_bytes_total counter
goferry_upstream_bytes_total{upstream="a.example"} 280
goferry_upstream_bytes_total{upstream="b.example"} 0
# HELP goferry_upstream_parts_total Upstream requests for one of several parts of a body.
# TYPE goferry_upstream_parts_total counter
goferry_upstream_parts_total 2
# HELP goferry_upstream_requests_total Requests sent to upstreams, by status or failure.
# TYPE goferry_upstream_requests_total counter
goferry_upstream_requests_total{code="200",upstream="a.example"} 2
goferry_upstream_requests_total{code="206",upstream="a.example"} 3
goferry_upstream_requests_total{code="other",upstream="b.example"} 2
goferry_upstream_requests_total{code="stalled",upstream="a.example"} 1
# HELP goferry_upstream_resumed_total Upstream requests that went on with a body that broke off.
# TYPE goferry_upstream_resumed_total counter
goferry_upstream_resumed_total 2
# HELP goferry_upstream_retries_total Upstream requests that repeated an earlier one.
# TYPE goferry_upstream_retries_total counter
goferry_upstream_retries_total 2
# HELP goferry_upstream_seconds_total Time spent on requests to upstreams.
# TYPE goferry_upstream_seconds_total counter
goferry_upstream_seconds_total{upstream="a.example"} 3
goferry_upstream_seconds_total{upstream="b.example"} 0
# HELP goferry_upstream_wasted_bytes_total Bytes of bodies received from upstreams that had come before.
# TYPE goferry_upstream_wasted_bytes_total counter
goferry_upstream_wasted_bytes_total 7
# HELP goferry_watch_bytes_total Bytes fetched by watching.
# TYPE goferry_watch_bytes_total counter
goferry_watch_bytes_total 1000
# HELP goferry_watch_done Modules of that round that were looked at.
# TYPE goferry_watch_done gauge
goferry_watch_done 4
# HELP goferry_watch_due Modules of the present or last round of watching.
# TYPE goferry_watch_due gauge
goferry_watch_due 5
# HELP goferry_watch_failing Watched modules that could not be looked at.
# TYPE goferry_watch_failing gauge
goferry_watch_failing 1
# HELP goferry_watch_versions_total New versions fetched before anyone asked for them.
# TYPE goferry_watch_versions_total counter
goferry_watch_versions_total 2
`
	if err := testutil.GatherAndCompare(m.Registry(), strings.NewReader(want), ours...); err != nil {
		t.Error(err)
	}
	text := request(t, m.Handler(nil), "GET", "/-/metrics").Body.String()
	for _, want := range []string{`goferry_request_duration_seconds_count{kind="zip"} 3`, "go_goroutines", "process_cpu_seconds_total"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	if problems, err := testutil.GatherAndLint(m.Registry(), ours...); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

func TestMetricsCardinality(t *testing.T) {
	m := NewMetrics()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 500 {
				host := fmt.Sprintf("h%d.example", i)
				m.Upstream(UpstreamRequest{Host: host, Failure: fmt.Sprintf("failure-%d", i), Bytes: 1})
				m.Upstream(UpstreamRequest{Host: host + "\xff" + strings.Repeat("x", 1000), Status: 200, Bytes: 1})
				m.Request(host, host, i, 0, 1)
			}
		})
	}
	wg.Wait()
	for name, limit := range map[string]int{
		"goferry_upstream_bytes_total":    maxUpstreams + 1,
		"goferry_upstream_requests_total": (maxUpstreams + 1) * 3,
		"goferry_requests_total":          statusCount,
	} {
		if n, err := testutil.GatherAndCount(m.Registry(), name); err != nil || n > limit || n == 0 {
			t.Errorf("%s: %d series, want at most %d: %v", name, n, limit, err)
		}
	}
	text := request(t, m.Handler(nil), "GET", "/-/metrics").Body.String()
	if !strings.Contains(text, `goferry_upstream_bytes_total{upstream="other"} 3744`) { // 4000 less one of each of 64, four times
		t.Error("what is past the limit is not counted under other")
	}
}

func TestNilMetrics(t *testing.T) {
	var m *Metrics
	m.Request("zip", "hit", 200, 0, 0)
	m.Upstream(UpstreamRequest{Host: "h", Status: 200})
	m.Mirror("m", "out")
	m.ChecksumMismatch()
	m.Evicted(1)
	if err := m.Watch(Gauges{}); err != nil {
		t.Error(err)
	}
}

func TestMetricsDoNotAllocate(t *testing.T) {
	m := NewMetrics()
	f := func() {
		m.Request("zip", "hit", 200, time.Millisecond, 1000)
		m.Upstream(UpstreamRequest{Host: "a.example", Status: 200, Bytes: 100, Duration: time.Second})
		m.Upstream(UpstreamRequest{Host: "a.example", Failure: "timeout", Bytes: 100, Duration: time.Second})
	}
	f()
	if n := testing.AllocsPerRun(100, f); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMetricsRequest(b *testing.B) {
	m := NewMetrics()
	b.ReportAllocs()
	for b.Loop() {
		m.Request("zip", "hit", 200, time.Millisecond, 1000)
	}
}
