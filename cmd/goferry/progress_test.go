package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goferry/goferry/internal/text"
)

// counting is how often it was asked; nothing is known at first.
type counting struct{ asked int }

func (c *counting) status(*text.Printer, time.Time) string {
	if c.asked++; c.asked == 1 {
		return ""
	}
	return fmt.Sprintf("asked %d times", c.asked)
}

func (c *counting) total(p *text.Printer, _ int, now time.Time) string { return c.status(p, now) }

// lockedText is a text to which several may write, as to a file.
type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// TestDisplayLines wants a line now and then where there is no terminal, none where there is nothing to say, and none
// after the end. Lines of a log go between them.
func TestDisplayLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lockedText
		a := &app{world: world{stderr: &out, env: func(string) string { return "" }}, p: text.New(text.English)}
		d := a.show(&counting{}, nil)
		defer d.end()
		for i := range 3 {
			<-time.After(sayEvery)
			synctest.Wait()
			fmt.Fprintln(d, "log", i)
		}
		d.end()
		<-time.After(2 * sayEvery)
		want := "log 0\ngoferry: asked 2 times\nlog 1\ngoferry: asked 3 times\nlog 2\n"
		if got := out.text.String(); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	})
}
