package server

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// slogLine is e as slog writes it.
func slogLine(t *testing.T, e *entry) string {
	t.Helper()
	var buf bytes.Buffer
	if err := slog.NewTextHandler(&buf, nil).Handle(t.Context(), e.record()); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func newTextHandler(w io.Writer) *textHandler {
	return NewTextHandler(NewLogWriter(w), slog.LevelInfo).(*textHandler)
}

// Every line is what slog would write, to the byte.
func FuzzTextHandler(f *testing.F) {
	for _, s := range []string{
		"", "GET", "a b", "a=b", `a"b`, `a\b`, "a\nb", "a\tb", "\x00", "\x1f", "\x7f", "\x80", "\xff",
		"ü", "模块", "\u00a0", "\u2028", "\ufeff", "\ufffd", "🐹", "ü b", "ü=", "ü\"", "a\xc3", "`", "curl/8.5 (x; y)",
	} {
		f.Add(s, s, int64(1700000000_000_000_000), 200, int64(12_345))
	}
	f.Add("k", "v", int64(999_999), 503, int64(0))
	f.Add("k", "v", int64(-1), -7, int64(-3_600_000_000_001))
	h := newTextHandler(io.Discard) // one for all, since it remembers a second
	zones := []*time.Location{time.UTC, time.FixedZone("", 8*3600), time.FixedZone("west", -(3*3600 + 30*60)), time.FixedZone("odd", 53*60+28)}
	f.Fuzz(func(t *testing.T, key, s string, at int64, status int, n int64) {
		e := &entry{
			now: time.Unix(0, at).In(zones[uint64(n)%uint64(len(zones))]), level: slog.LevelInfo, method: s, path: s, status: status, bytes: n, dur: time.Duration(n),
			id: s, proto: s, remote: s, agent: s, aborted: status%2 == 1,
			attrs: []slog.Attr{slog.Any(key, s), slog.Any("n", n), slog.Any("u", uint64(status)), slog.Any("f", float64(n)/3), slog.Any("b", n > 0), slog.Any("d", time.Duration(n))},
		}
		if status >= 500 {
			e.level = slog.LevelWarn
		}
		h.second.Store(nil) // the zone of a process does not change in the midst of a second
		if !e.simple() {
			t.Fatal("not simple")
		}
		for range 2 {
			if got, want := string(h.append(nil, e)), slogLine(t, e); got != want {
				t.Errorf("got  %swant %s", got, want)
			}
		}
	})
}

// From one second to the next the time goes on, and back.
func TestTextHandlerTime(t *testing.T) {
	h := newTextHandler(io.Discard)
	at := time.Date(2026, 10, 25, 1, 59, 59, 998_999_999, time.UTC)
	for _, step := range []time.Duration{0, time.Millisecond, time.Millisecond, time.Second, time.Hour, -2 * time.Hour} {
		at = at.Add(step)
		e := &entry{now: at}
		if got, want := string(h.append(nil, e)), slogLine(t, e); got != want {
			t.Errorf("got  %swant %s", got, want)
		}
	}
}

// What AccessLog cannot write itself, and what has attributes of its own, slog writes.
func TestTextHandlerLeavesToSlog(t *testing.T) {
	for _, tt := range []struct {
		name string
		log  func(*slog.Logger) *slog.Logger
		key  string
		val  any
		want []string
	}{
		{"quick", nil, "cache", "hit", []string{"msg=request method=GET path=/p ", " cache=hit\n"}},
		{"error", nil, "err", errors.New("no way"), []string{"msg=request method=GET path=/p ", ` err="no way"` + "\n"}},
		{"group", nil, "g", slog.GroupValue(slog.Int("a", 1)), []string{" g.a=1\n"}},
		{"time", nil, "t", time.Unix(0, 0).UTC(), []string{" t=1970-01-01T00:00:00.000Z\n"}},
		{"with", func(l *slog.Logger) *slog.Logger { return l.With("site", "x") }, "cache", "hit", []string{"msg=request site=x method=GET", " cache=hit\n"}},
		{"with group", func(l *slog.Logger) *slog.Logger { return l.WithGroup("web") }, "cache", "hit", []string{" web.method=GET ", " web.cache=hit\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var buf bytes.Buffer
			log := slog.New(newTextHandler(&buf))
			if tt.log != nil {
				log = tt.log(log)
			}
			h := AccessLog(log)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { Annotate(r.Context(), tt.key, tt.val) }))
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/p", nil))
			for _, want := range tt.want {
				if strings.Count(buf.String(), want) != 1 {
					t.Errorf("no %q in %s", want, &buf)
				}
			}
		})
	}
}

func TestTextHandlerLevel(t *testing.T) {
	var buf bytes.Buffer
	log := slog.New(NewTextHandler(NewLogWriter(&buf), slog.LevelWarn))
	h := AccessLog(log)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	for _, path := range []string{"/good", "/bad"} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
	}
	if got := buf.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=WARN msg=request method=GET path=/bad status=502 ") {
		t.Errorf("got %s", got)
	}
}

func TestTextHandlerConcurrent(t *testing.T) {
	var buf bytes.Buffer // written to by one at a time: that is the LogWriter's part
	lines := NewLogWriter(&buf)
	log := slog.New(NewTextHandler(lines, slog.LevelInfo))
	h := Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		Annotate(r.Context(), "cache", "hit")
		if r.URL.Path == "/odd" {
			log.Info("between", "a", "b c") // by slog itself
		}
	}), RequestID(), AccessLog(log))
	const workers, each = 8, 50
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			for range each {
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", []string{"/even", "/odd"}[i%2], nil))
			}
		})
	}
	wg.Wait()
	if err := lines.Close(); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for line := range strings.Lines(buf.String()) {
		switch {
		case !strings.HasPrefix(line, "time=") || strings.Count(line, "time=") != 1:
			t.Errorf("broken line %q", line)
		case strings.Contains(line, ` level=INFO msg=between a="b c"`+"\n"):
			got["between"]++
		case strings.Contains(line, " msg=request method=GET path=/") && strings.HasSuffix(line, " cache=hit\n"):
			got["request"]++
		}
	}
	if got["request"] != workers*each || got["between"] != workers/2*each {
		t.Errorf("got %v", got)
	}
}
