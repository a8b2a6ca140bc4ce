package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A footprint is what a running server holds on to, by its own metrics.
type footprint struct {
	goroutines, files, fills int // files are open ones, with sockets; 0 where the system does not tell
	resident                 int64
}

// footprint asks the server, over a connection that does not stay.
func (s *served) footprint(t *testing.T) footprint {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: tr}).Get(s.url + "/-/metrics")
	if err != nil {
		t.Fatalf("the server does not answer: %v\n%s", err, s.log.tail())
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil {
			values[name] = v
		}
	}
	if values["go_goroutines"] == 0 {
		t.Fatalf("no goroutines in the metrics:\n%s", text)
	}
	return footprint{
		goroutines: int(values["go_goroutines"]), files: int(values["process_open_fds"]),
		fills: int(values["goferry_fills_in_flight"]), resident: int64(values["process_resident_memory_bytes"]),
	}
}

// leaked is what a server may hold beyond its base line: the connection that asks may not be the only
// one that is just ending.
const leaked = 2

// comesBack waits until the server holds no more than base and does nothing. Whoever calls it has
// closed the connections to the server, and those of its upstreams.
func (s *served) comesBack(t *testing.T, base footprint) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		now := s.footprint(t)
		if now.fills == 0 && now.goroutines <= base.goroutines+leaked && now.files <= base.files+leaked {
			t.Logf("the server came back from its work with %d goroutines and %d files open; it began with %d and %d",
				now.goroutines, now.files, base.goroutines, base.files)
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("leaked: the server holds %+v, at first it was %+v\n%s", now, base, s.goroutines(t))
		}
	}
}

// goroutines ends the server and returns what all its goroutines were doing.
func (s *served) goroutines(t *testing.T) string {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		return fmt.Sprintf("(no goroutines to show: %v)", err)
	}
	<-s.ended
	_, dump, _ := strings.Cut(s.log.all(), "SIGQUIT: quit")
	return dump
}

// tail is the end of what was written.
func (l *logBook) tail() string {
	text := l.all()
	return text[max(0, len(text)-8000):]
}
