package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/prefetch"
	"github.com/goferry/goferry/internal/text"
)

func zipOf(name string) goproxy.Request {
	return goproxy.Request{Path: "example.com/" + name, Version: "v1.0.0", Kind: goproxy.Zip}
}

// TestFetchState follows a fetch of three zips and a go.mod.
func TestFetchState(t *testing.T) {
	start := time.Now()
	s := newFetchState(start)
	now := start
	p := text.New(text.English)
	at := func(sec int, evs ...prefetch.Event) {
		now = start.Add(time.Duration(sec) * time.Second)
		for _, ev := range evs {
			s.event(ev, now)
		}
	}
	want := func(line string, zips ...string) {
		t.Helper()
		if got := s.total(p, 80, now); got != line {
			t.Errorf("got  %s\nwant %s", got, line)
		}
		if diff := cmp.Diff(zips, s.zips(60)); diff != "" {
			t.Errorf("zips (-want +got):\n%s", diff)
		}
	}
	mod := goproxy.Request{Path: "example.com/a", Version: "v1.0.0", Kind: goproxy.Mod}
	for _, req := range []goproxy.Request{mod, zipOf("a"), zipOf("b"), zipOf("c")} {
		at(0, prefetch.Event{Request: req, Step: prefetch.Queued})
	}
	want("[----------------------------------------]  0/4 files  0 B  0 B/s")
	at(1, prefetch.Event{Request: mod, Step: prefetch.Started, Size: 100},
		prefetch.Event{Request: mod, Step: prefetch.Arrived, Bytes: 100},
		prefetch.Event{Request: mod, Step: prefetch.Done, Bytes: 100},
		prefetch.Event{Request: zipOf("a"), Step: prefetch.Done, Cached: true, Bytes: 5 << 20},
		prefetch.Event{Request: zipOf("b"), Step: prefetch.Started, Size: 20_000_000},
		prefetch.Event{Request: zipOf("b"), Step: prefetch.Arrived, Bytes: 10_000_000},
		prefetch.Event{Request: zipOf("c"), Step: prefetch.Started, Size: 10_000_000})
	want("["+strings.Repeat("#", 11)+strings.Repeat("-", 24)+"]  2/4 files  10.0 MB  10.0 MB/s  0:02 left",
		"  example.com/b@v1.0.0.zip          10.0 MB /  20.0 MB  50%",
		"  example.com/c@v1.0.0.zip              0 B /  10.0 MB   0%")
	at(2, prefetch.Event{Request: zipOf("b"), Step: prefetch.Arrived, Bytes: 10_000_000},
		prefetch.Event{Request: zipOf("b"), Step: prefetch.Done, Bytes: 20_000_000},
		prefetch.Event{Request: zipOf("c"), Step: prefetch.Done, Err: goproxy.ErrNotExist})
	want("[" + strings.Repeat("#", 35) + "]  4/4 files  20.0 MB  10.0 MB/s  0:00 left")
	at(20)
	if s.rate(now) > 2e6 {
		t.Errorf("a link that has been silent for 18 s has %v bytes/s", s.rate(now))
	}
}

// TestFetchStateRetry wants a zip that is tried again to be counted once.
func TestFetchStateRetry(t *testing.T) {
	now := time.Now()
	s := newFetchState(now)
	for _, step := range []prefetch.Step{prefetch.Queued, prefetch.Started, prefetch.Arrived, prefetch.Started, prefetch.Arrived, prefetch.Done} {
		s.event(prefetch.Event{Request: zipOf("a"), Step: step, Size: 2 << 20, Bytes: 2 << 20}, now)
	}
	if s.files != 1 || s.done != 1 || s.bytes != 2<<20 || s.queuedZips != 0 || s.sized != 1 || s.expected() != 0 || len(s.zips(80)) != 0 {
		t.Errorf("%+v", s)
	}
}

// TestFetchLinesFit wants every line within the columns of the terminal, the last of which stays free, in both
// languages, and the four largest zips in the order of their beginnings.
func TestFetchLinesFit(t *testing.T) {
	now := time.Now()
	for _, lang := range []string{text.English, text.Chinese} {
		s := newFetchState(now)
		for i := range 9 {
			req := zipOf(fmt.Sprintf("%s%d", strings.Repeat("long/", i*2), i))
			s.event(prefetch.Event{Request: req, Step: prefetch.Queued}, now)
			s.event(prefetch.Event{Request: req, Step: prefetch.Started, Size: int64(i*7%9+1) * 50_000_000}, now)
			s.event(prefetch.Event{Request: req, Step: prefetch.Arrived, Bytes: 12_345_678}, now)
		}
		later := now.Add(3 * time.Hour)
		for width := range 130 {
			lines := append(s.zips(width), s.total(text.New(lang), width, later))
			if len(lines) != 5 {
				t.Fatalf("%d lines", len(lines))
			}
			for _, line := range lines {
				if n := text.Columns(line); n > max(width-1, 0) {
					t.Errorf("%s, %d columns: %d in %q", lang, width, n, line)
				}
			}
		}
		for i, want := range []string{"1@", "2@", "5@", "6@"} { // of 400, 300, 450 and 350 MB
			if line := s.zips(130)[i]; !strings.Contains(line, want) {
				t.Errorf("line %d is %q, want %s", i, line, want)
			}
		}
	}
}

func TestClock(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0:00", 59*time.Second + 600*time.Millisecond: "1:00", 61 * time.Minute: "1:01:00", 200 * time.Hour: "∞",
	} {
		if got := clock(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}
