package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/prefetch"
	"github.com/goferry/goferry/internal/text"
)

const (
	shownZips  = 4                // running zips with a line of their own
	worthShow  = 1 << 20          // bytes of the smallest of them
	rateWindow = 10 * time.Second // over which the rate is measured
	sayEvery   = 30 * time.Second // between lines where there is no terminal

	// The size of an average zip is guessed, as if so many of that size had been seen, until there are more.
	guessed     = 10
	guessedSize = 700 << 10
)

// A fetchShow shows on standard error how a fetch goes on: bars on a terminal, a line now and then elsewhere. It is
// the writer of the log meanwhile.
type fetchShow struct {
	a    *app
	bars *mpb.Progress // nil without a terminal
	bar  *mpb.Bar
	stop chan struct{} // ends the lines
	done sync.WaitGroup
	once sync.Once

	mu    sync.Mutex
	state fetchState
}

// showFetch begins to show. end must be called.
func (a *app) showFetch() *fetchShow {
	s := &fetchShow{a: a, stop: make(chan struct{}), state: newFetchState(time.Now())}
	if !a.onTerminal() {
		s.done.Go(s.lines)
		return s
	}
	s.bars = mpb.New(mpb.WithOutput(a.stderr), mpb.WithRefreshRate(200*time.Millisecond))
	s.bar = s.bars.MustAdd(0, mpb.BarFillerFunc(s.fillTotal), mpb.BarFillerTrim(), mpb.BarExtender(mpb.BarFillerFunc(s.fillZips), true))
	return s
}

// onTerminal reports whether standard error is a terminal that can move its cursor.
func (a *app) onTerminal() bool {
	f, ok := a.stderr.(*os.File)
	return ok && a.env("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

// end takes the bars away.
func (s *fetchShow) end() {
	s.once.Do(func() {
		close(s.stop)
		s.done.Wait()
		if s.bars != nil {
			s.bar.Abort(true)
			s.bars.Wait()
			if runtime.GOOS != "windows" {
				fmt.Fprint(s.a.stderr, "\r\x1b[J") // what is left where ^C stood
			}
		}
	})
}

// Write puts lines of the log above the bars.
func (s *fetchShow) Write(p []byte) (int, error) {
	if s.bars != nil {
		if n, err := s.bars.Write(p); err == nil {
			return n, nil
		}
	}
	return s.a.stderr.Write(p)
}

// lines says how far it is, for those who would take silence for a fault.
func (s *fetchShow) lines() {
	tick := time.NewTicker(sayEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case now := <-tick.C:
			s.mu.Lock()
			line := s.state.status(s.a.p, now)
			s.mu.Unlock()
			s.a.say(line)
		}
	}
}

// event takes note of what has happened; it is prefetch's Options.Progress.
func (s *fetchShow) event(ev prefetch.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.event(ev, time.Now())
}

func (s *fetchShow) fillTotal(w io.Writer, stat decor.Statistics) error {
	s.mu.Lock()
	line := s.state.total(s.a.p, stat.AvailableWidth, time.Now())
	s.mu.Unlock()
	_, err := io.WriteString(w, "\r"+line) // a terminal that shows ^C has moved the cursor
	return err
}

func (s *fetchShow) fillZips(w io.Writer, stat decor.Statistics) error {
	if stat.Aborted {
		return nil
	}
	s.mu.Lock()
	lines := s.state.zips(stat.AvailableWidth)
	s.mu.Unlock()
	for _, line := range lines {
		if _, err := io.WriteString(w, "\r"+line+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// fetchState is what is known about a fetch.
type fetchState struct {
	files, done int
	bytes       int64 // of files that have come
	queuedZips  int   // that have not begun
	sized       int   // zips that told their size
	sizes       int64 // of these
	shown       float64
	running     map[goproxy.Request]*arriving
	samples     []sample
}

// arriving is a zip on its way.
type arriving struct {
	req       goproxy.Request
	size, got int64 // size is negative while unknown
	number    int   // in the order of their beginnings
}

type sample struct {
	at    time.Time
	bytes int64
}

func newFetchState(now time.Time) fetchState {
	return fetchState{running: map[goproxy.Request]*arriving{}, samples: []sample{{at: now}}}
}

func (s *fetchState) event(ev prefetch.Event, now time.Time) {
	zip := ev.Request.Kind == goproxy.Zip
	r := s.running[ev.Request]
	switch ev.Step {
	case prefetch.Queued:
		s.files++
		if zip {
			s.queuedZips++
		}
	case prefetch.Started:
		if !zip {
			return
		}
		if r == nil { // else it is tried again
			s.queuedZips--
			if ev.Size >= 0 {
				s.sized++
				s.sizes += ev.Size
			}
		}
		s.running[ev.Request] = &arriving{req: ev.Request, size: ev.Size, number: s.files + s.sized}
	case prefetch.Arrived:
		if r != nil {
			r.got += ev.Bytes
		}
	case prefetch.Done:
		s.done++
		switch {
		case r != nil:
			delete(s.running, ev.Request)
		case zip:
			s.queuedZips--
		}
		if !ev.Cached {
			s.bytes += ev.Bytes
		}
	}
	s.sample(now)
}

// arrived is the number of bytes that have come, those of unfinished files too.
func (s *fetchState) arrived() int64 {
	n := s.bytes
	for _, r := range s.running {
		n += r.got
	}
	return n
}

// sample remembers the bytes of now, a few times in the window.
func (s *fetchState) sample(now time.Time) {
	if last := s.samples[len(s.samples)-1]; now.Sub(last.at) < rateWindow/20 {
		return
	}
	s.samples = append(s.samples, sample{now, s.arrived()})
	for len(s.samples) > 2 && now.Sub(s.samples[1].at) >= rateWindow {
		s.samples = s.samples[1:]
	}
}

// rate is the number of bytes a second in the window that ends now.
func (s *fetchState) rate(now time.Time) float64 {
	s.sample(now)
	first := s.samples[0]
	took := now.Sub(first.at).Seconds()
	if took <= 0 {
		return 0
	}
	return max(float64(s.arrived()-first.bytes)/took, 0)
}

// expected is the number of bytes that are still to come; a zip whose size nobody told counts as an average
// one. It is negative while nothing is known.
func (s *fetchState) expected() int64 {
	if s.sized == 0 && s.queuedZips > 0 {
		return -1
	}
	mean := (s.sizes + guessed*guessedSize) / (int64(s.sized) + guessed)
	n := mean * int64(s.queuedZips)
	for _, r := range s.running {
		n += max(cmp.Or(max(r.size, 0), mean)-r.got, 0)
	}
	return n
}

// status says how far it is: files, bytes, rate, time left.
func (s *fetchState) status(p *text.Printer, now time.Time) string {
	rate := s.rate(now)
	line := p.T("fetch.status", "Done", s.done, "Count", s.files, "Bytes", human(s.arrived()), "Rate", human(int64(rate)))
	if left := s.expected(); left >= 0 && rate > 0 {
		line += "  " + p.T("fetch.left", "Time", clock(time.Duration(float64(left)/rate*float64(time.Second))))
	}
	return line
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

// total is the line of the whole, with a bar as far as there is room.
func (s *fetchState) total(p *text.Printer, width int, now time.Time) string {
	status := s.status(p, now)
	room := min(width-text.Columns(status)-5, 40) // brackets, two spaces, the last column
	if room < 8 {
		return clip(status, width-1)
	}
	filled := int(s.share() * float64(room))
	return "[" + strings.Repeat("#", filled) + strings.Repeat("-", room-filled) + "]  " + status
}

// share is how much of the whole is done, from 0 to 1. It never falls, although the whole may grow.
func (s *fetchState) share() float64 {
	share := 0.0
	if s.files > 0 {
		share = float64(s.done) / float64(s.files)
	}
	switch left := s.expected(); {
	case left < 0:
		share = 0
	case left > 0:
		share = min(share, float64(s.arrived())/float64(s.arrived()+left))
	}
	s.shown = max(s.shown, min(share, 1))
	return s.shown
}

// zips are lines for the largest zips on their way, in the order in which they began.
func (s *fetchState) zips(width int) []string {
	var list []*arriving
	for _, r := range s.running {
		if max(r.size, r.got) >= worthShow {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(x, y *arriving) int {
		return cmp.Or(cmp.Compare(max(y.size, y.got), max(x.size, x.got)), cmp.Compare(x.number, y.number))
	})
	list = list[:min(len(list), shownZips)]
	slices.SortFunc(list, func(x, y *arriving) int { return cmp.Compare(x.number, y.number) })
	var lines []string
	for _, r := range list {
		lines = append(lines, r.line(width))
	}
	return lines
}

// line shows how far one zip is.
func (r *arriving) line(width int) string {
	right := fmt.Sprintf("%8s", human(r.got))
	if r.size >= 0 {
		right = fmt.Sprintf("%8s / %8s %3d%%", human(r.got), human(r.size), 100*r.got/max(r.size, 1))
	}
	room := width - len(right) - 4 // indent, space between, the last column
	if room < 10 {
		return clip("  "+right, width-1)
	}
	name := clip(r.req.String(), room)
	return "  " + name + strings.Repeat(" ", room-text.Columns(name)+1) + right
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
