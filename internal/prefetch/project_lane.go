package prefetch

import (
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

const (
	// yielding is how many zips may be on their way ahead while a client waits for something
	// else: enough to fill a link with a long round trip once the client's file has come, and few enough that
	// the client has a good part of it.
	yielding = 3

	minWidth = 2
)

// A lane is a queue of files of similar size, of which some are under way at a time. How many are, its
// width, grows as long as that brings more in the same time, and falls where files fail.
type lane struct {
	queue   []goproxy.Request
	running int
	width   int
	max     int

	// The stretch that is being measured: it ends when as many files as the lane is wide have come.
	begin time.Time
	left  int
	units int64   // that they brought
	rate  float64 // units a second, in the stretch before
}

func newLane(width, limit int, now time.Time) lane {
	return lane{width: min(width, limit), max: limit, begin: now}
}

// next takes a file off the queue if there is a place for it. Small files do not yield: the
// client asks for them, too, before anything else.
func (l *lane) next(busy bool) (goproxy.Request, bool) {
	if len(l.queue) == 0 {
		return goproxy.Request{}, false
	}
	width := l.width
	if busy && l.queue[0].Kind == goproxy.Zip {
		width = min(width, yielding)
	}
	if l.running >= width {
		return goproxy.Request{}, false
	}
	req := l.queue[0]
	l.queue = l.queue[1:]
	l.running++
	return req, true
}

// failed takes note of a file that could not be had.
func (l *lane) failed(now time.Time) {
	l.width = max(l.width/2, min(minWidth, l.max))
	l.measure(now, 0)
}

// brought takes note of a file that brought so many units.
func (l *lane) brought(units int64, now time.Time) {
	l.left++
	l.units += units
	took := now.Sub(l.begin).Seconds()
	if l.left < l.width || took <= 0 {
		return
	}
	rate := float64(l.units) / took
	if rate > 1.1*l.rate {
		l.width = min(l.width+max(l.width/2, 1), l.max)
	}
	l.measure(now, rate)
}

// measure begins a stretch.
func (l *lane) measure(now time.Time, rate float64) {
	l.left, l.units, l.begin, l.rate = 0, 0, now, rate
}
