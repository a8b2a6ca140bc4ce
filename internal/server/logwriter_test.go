package server_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goferry/goferry/internal/server"
)

// countingWriter counts writes and keeps what was written.
type countingWriter struct {
	mu     sync.Mutex
	text   strings.Builder
	writes int
}

func (c *countingWriter) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes++
	return c.text.Write(p)
}

func (c *countingWriter) state() (string, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String(), c.writes
}

func TestLogWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w countingWriter
		l := server.NewLogWriter(&w)
		fmt.Fprintln(l, "alone")
		if got, n := w.state(); got != "alone\n" || n != 1 {
			t.Errorf("a line alone: %q after %d writes, want it at once", got, n)
		}
		for i := range 100 {
			fmt.Fprintln(l, i)
		}
		if _, n := w.state(); n != 1 {
			t.Errorf("a hundred lines at once took %d writes before their time", n-1)
		}
		time.Sleep(25 * time.Millisecond) // of the bubble's clock
		synctest.Wait()
		got, n := w.state()
		if n != 2 || !strings.HasSuffix(got, "\n98\n99\n") {
			t.Errorf("after a while: %d writes, ending %q", n, got[max(0, len(got)-10):])
		}
		fmt.Fprintln(l, "last")
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if got, _ := w.state(); !strings.HasSuffix(got, "last\n") {
			t.Error("Close lost a line")
		}
		fmt.Fprintln(l, "after")
		if got, _ := w.state(); !strings.HasSuffix(got, "after\n") {
			t.Error("a line after Close is lost")
		}
		big := strings.Repeat("x", 70<<10) + "\n"
		l = server.NewLogWriter(&w)
		fmt.Fprint(l, "first\n")
		_, before := w.state()
		fmt.Fprint(l, big)
		if _, n := w.state(); n != before+1 {
			t.Error("a full buffer waits")
		}
	})
}
