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
}

func TestMetrics(t *testing.T) {
	m := NewMetrics()
	m.Request("zip", "hit", 200, time.Millisecond, 1000)
	m.Request("zip", "hit", 200, time.Millisecond, 500)
	m.Request("zip", "miss", 206, time.Hour, -1)
	m.Request("mod", "absent", 404, 0, 9)
	m.Request("nonsense", "nonsense", 299, 0, 0)
	m.Upstream("a.example", 200, "", false, 100, 2*time.Second)
	m.Upstream("a.example", 200, "", true, 100, time.Second)
	m.Upstream("a.example", 200, "stalled", true, 50, -time.Second)
	m.Upstream("b.example", 0, "read tcp 127.0.0.1: \"text\" of an error", false, 0, 0)
	m.Upstream("b.example", 0, "", false, 0, 0)
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
goferry_upstream_bytes_total{upstream="a.example"} 250
goferry_upstream_bytes_total{upstream="b.example"} 0
# HELP goferry_upstream_requests_total Requests sent to upstreams, by status or failure.
# TYPE goferry_upstream_requests_total counter
goferry_upstream_requests_total{code="200",upstream="a.example"} 2
goferry_upstream_requests_total{code="other",upstream="b.example"} 2
goferry_upstream_requests_total{code="stalled",upstream="a.example"} 1
# HELP goferry_upstream_retries_total Upstream requests that repeated an earlier one.
# TYPE goferry_upstream_retries_total counter
goferry_upstream_retries_total 2
# HELP goferry_upstream_seconds_total Time spent on requests to upstreams.
# TYPE goferry_upstream_seconds_total counter
goferry_upstream_seconds_total{upstream="a.example"} 3
goferry_upstream_seconds_total{upstream="b.example"} 0
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
				m.Upstream(host, 0, fmt.Sprintf("failure-%d", i), false, 1, 0)
				m.Upstream(host+"\xff"+strings.Repeat("x", 1000), 200, "", false, 1, 0)
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
	m.Upstream("h", 200, "", false, 0, 0)
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
		m.Upstream("a.example", 200, "", false, 100, time.Second)
		m.Upstream("a.example", 0, "timeout", false, 100, time.Second)
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
