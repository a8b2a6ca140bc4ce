package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/goferry/goferry/internal/text"
)

const (
	rateWindow = 10 * time.Second // over which the rate is measured
	sayEvery   = 30 * time.Second // between lines where there is no terminal
	saySoon    = 2 * time.Second  // before such a line where somebody else is waited for
)

// A displayed is what a display shows.
type displayed interface {
	// status says in one line how far it is; nothing before anything is known.
	status(p *text.Printer, now time.Time) string
	// total is status as the line of a terminal with that many columns, the last of which stays free.
	total(p *text.Printer, width int, now time.Time) string
}

// A display shows on standard error how something goes on: a bar on a terminal, a line now and then elsewhere. It is
// the writer of the log meanwhile.
type display struct {
	a    *app
	of   displayed
	more func(width int) []string // lines below the bar; may be nil
	bars *mpb.Progress            // nil without a terminal
	bar  *mpb.Bar
	stop chan struct{} // ends the lines
	turn chan struct{} // has a token when waits was set
	done sync.WaitGroup
	once sync.Once

	mu    sync.Mutex // held while of and more are asked
	waits bool       // somebody else is waited for
}

// show begins to show. end must be called.
func (a *app) show(of displayed, more func(width int) []string) *display {
	d := &display{a: a, of: of, more: more, stop: make(chan struct{}), turn: make(chan struct{}, 1)}
	if !a.onTerminal() {
		d.done.Go(d.lines)
		return d
	}
	d.bars = mpb.New(mpb.WithOutput(a.stderr), mpb.WithRefreshRate(200*time.Millisecond))
	options := []mpb.BarOption{mpb.BarFillerTrim()}
	if more != nil {
		options = append(options, mpb.BarExtender(mpb.BarFillerFunc(d.fillMore), true))
	}
	d.bar = d.bars.MustAdd(0, mpb.BarFillerFunc(d.fill), options...)
	return d
}

// onTerminal reports whether standard error is a terminal that can move its cursor.
func (a *app) onTerminal() bool { return a.env("TERM") != "dumb" && isTerminal(a.stderr) }

// isTerminal reports whether a person is at the other end of f; a dumb terminal will do.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// end takes the bar away.
func (d *display) end() {
	d.once.Do(func() {
		close(d.stop)
		d.done.Wait()
		if d.bars != nil {
			d.bar.Abort(true)
			d.bars.Wait()
			if runtime.GOOS != "windows" {
				fmt.Fprint(d.a.stderr, "\r\x1b[J") // what is left where ^C stood
			}
		}
	})
}

// Write puts lines above the bar.
func (d *display) Write(p []byte) (int, error) {
	if d.bars != nil {
		if n, err := d.bars.Write(p); err == nil {
			return n, nil
		}
	}
	return d.a.stderr.Write(p)
}

// wait says whether somebody else is waited for from now on: where there is no terminal, that is said sooner. mu must
// be held.
func (d *display) wait(waits bool) {
	d.waits = waits
	select {
	case d.turn <- struct{}{}:
	default: // there is one that was not taken yet
	}
}

// lines says how far it is, for those who would take silence for a fault.
func (d *display) lines() {
	tick := time.NewTicker(sayEvery)
	defer tick.Stop()
	var soon <-chan time.Time
	for {
		select {
		case <-d.stop:
			return
		case <-d.turn:
			soon = time.After(saySoon)
		case now := <-soon:
			d.line(now, true)
		case now := <-tick.C:
			d.line(now, false)
		}
	}
}

// line says how far it is; with waits only if somebody else is waited for.
func (d *display) line(now time.Time, waits bool) {
	d.mu.Lock()
	line := d.of.status(d.a.p, now)
	if waits && !d.waits {
		line = ""
	}
	d.mu.Unlock()
	if line != "" {
		d.a.say(line)
	}
}

func (d *display) fill(w io.Writer, stat decor.Statistics) error {
	d.mu.Lock()
	line := d.of.total(d.a.p, stat.AvailableWidth, time.Now())
	d.mu.Unlock()
	_, err := io.WriteString(w, "\r"+line) // a terminal that shows ^C has moved the cursor
	return err
}

func (d *display) fillMore(w io.Writer, stat decor.Statistics) error {
	if stat.Aborted {
		return nil
	}
	d.mu.Lock()
	lines := d.more(stat.AvailableWidth)
	d.mu.Unlock()
	for _, line := range lines {
		if _, err := io.WriteString(w, "\r"+line+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// withBar puts a bar before line, of at most that many columns and as far as there is room in width; share of it, from
// 0 to 1, is filled.
func withBar(line string, share float64, width, most int) string {
	room := min(width-text.Columns(line)-5, most) // brackets, two spaces, the last column
	if room < 8 {
		return line
	}
	filled := int(float64(room) * min(max(share, 0), 1))
	return "[" + strings.Repeat("#", filled) + strings.Repeat("-", room-filled) + "]  " + line
}

// samples are how many bytes there were at moments of the last while, a few times in the window.
type samples []sample

type sample struct {
	at    time.Time
	bytes int64
}

// add remembers the bytes of now. There must be a sample already.
func (s *samples) add(now time.Time, bytes int64) {
	list := *s
	if now.Sub(list[len(list)-1].at) < rateWindow/20 {
		return
	}
	list = append(list, sample{now, bytes})
	for len(list) > 2 && now.Sub(list[1].at) >= rateWindow {
		list = list[1:]
	}
	*s = list
}

// rate is the number of bytes a second in the window that ends now, when there are that many bytes.
func (s samples) rate(now time.Time, bytes int64) float64 {
	took := now.Sub(s[0].at).Seconds()
	if took <= 0 {
		return 0
	}
	return max(float64(bytes-s[0].bytes)/took, 0)
}

// timeLeft says how long so many bytes take, behind two spaces; nothing where that is not known.
func timeLeft(p *text.Printer, bytes int64, rate float64) string {
	if bytes < 0 || rate <= 0 {
		return ""
	}
	return "  " + p.T("fetch.left", "Time", clock(time.Duration(float64(bytes)/rate*float64(time.Second))))
}

// clock writes a duration as minutes and seconds, or hours, minutes and seconds.
func clock(d time.Duration) string {
	d = d.Round(time.Second)
	h, m, sec := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60
	switch {
	case h >= 100:
		return "∞"
	case h > 0:
		return fmt.Sprintf("%d:%02d:%02d", h, m, sec)
	}
	return fmt.Sprintf("%d:%02d", m, sec)
}

// clip shortens s to a number of columns.
func clip(s string, columns int) string {
	if text.Columns(s) <= columns {
		return s
	}
	for columns > 0 && s != "" && text.Columns(s) > columns-1 {
		r := []rune(s)
		s = string(r[:len(r)-1])
	}
	if columns <= 0 {
		return ""
	}
	return s + "…"
}
