package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/prefetch"
	"github.com/goferry/goferry/internal/text"
)

const (
	shownZips = 4       // running zips with a line of their own
	worthShow = 1 << 20 // bytes of the smallest of them

	// The size of an average zip is guessed, as if so many of that size had been seen, until there are more.
	guessed     = 10
	guessedSize = 700 << 10
)

// A fetchShow shows how a fetch goes on.
type fetchShow struct {
	*display
	state fetchState
}

// showFetch begins to show. end must be called.
func (a *app) showFetch() *fetchShow {
	s := &fetchShow{state: newFetchState(time.Now())}
	s.display = a.show(&s.state, s.state.zips)
	return s
}

// event takes note of what has happened; it is prefetch's Options.Progress.
func (s *fetchShow) event(ev prefetch.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.event(ev, time.Now())
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
	samples     samples
}

// arriving is a zip on its way.
type arriving struct {
	req       goproxy.Request
	size, got int64 // size is negative while unknown
	number    int   // in the order of their beginnings
}

func newFetchState(now time.Time) fetchState {
	return fetchState{running: map[goproxy.Request]*arriving{}, samples: samples{{at: now}}}
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
	s.samples.add(now, s.arrived())
}

// arrived is the number of bytes that have come, those of unfinished files too.
func (s *fetchState) arrived() int64 {
	n := s.bytes
	for _, r := range s.running {
		n += r.got
	}
	return n
}

// rate is the number of bytes a second in the window that ends now.
func (s *fetchState) rate(now time.Time) float64 {
	n := s.arrived()
	s.samples.add(now, n)
	return s.samples.rate(now, n)
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
	return line + timeLeft(p, s.expected(), rate)
}

// total is the line of the whole, with a bar as far as there is room.
func (s *fetchState) total(p *text.Printer, width int, now time.Time) string {
	return clip(withBar(s.status(p, now), s.share(), width, 40), width-1)
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
