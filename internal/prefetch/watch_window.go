package prefetch

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Window is a part of each day, by the clock of the machine. The zero value is all of it.
type Window struct {
	from, to int // minutes of the day; to is not in it; from > to goes over midnight
}

const dayMinutes = 24 * 60

// ParseWindow reads a window such as "01:00-06:00" or "22:30-05:00"; 24:00 may stand at the end.
// An empty string is all day. A window of no length is an error.
func ParseWindow(s string) (Window, error) {
	if s == "" {
		return Window{}, nil
	}
	bad := func() (Window, error) {
		return Window{}, fmt.Errorf("%q is no window of the day such as 01:00-06:00", s)
	}
	a, b, ok := strings.Cut(s, "-")
	from, err1 := parseMinute(a)
	to, err2 := parseMinute(b)
	if !ok || err1 != nil || err2 != nil || from == to || from == dayMinutes {
		return bad()
	}
	if from == 0 && to == dayMinutes {
		return Window{}, nil
	}
	return Window{from, to}, nil
}

func parseMinute(s string) (int, error) {
	h, m, ok := strings.Cut(strings.TrimSpace(s), ":")
	hour, err := strconv.ParseUint(h, 10, 8)
	if !ok || err != nil || len(h) > 2 || len(m) != 2 {
		return 0, strconv.ErrSyntax
	}
	minute, err := strconv.ParseUint(m, 10, 8)
	if all := int(hour)*60 + int(minute); err == nil && minute < 60 && all <= dayMinutes {
		return all, nil
	}
	return 0, strconv.ErrRange
}

// String is the inverse of ParseWindow.
func (w Window) String() string {
	if w.from == w.to {
		return ""
	}
	return fmt.Sprintf("%02d:%02d-%02d:%02d", w.from/60, w.from%60, w.to/60, w.to%60)
}

// Contains reports whether the window is open at t, in t's own location.
func (w Window) Contains(t time.Time) bool {
	at := t.Hour()*60 + t.Minute()
	switch {
	case w.from == w.to:
		return true
	case w.from < w.to:
		return w.from <= at && at < w.to
	}
	return at >= w.from || at < w.to
}

// Next is the first moment from t on at which the window is open: t itself if it is open then.
func (w Window) Next(t time.Time) time.Time {
	if w.Contains(t) {
		return t
	}
	open := func(days int) time.Time {
		return time.Date(t.Year(), t.Month(), t.Day()+days, w.from/60, w.from%60, 0, 0, t.Location())
	}
	if next := open(0); next.After(t) {
		return next
	}
	return open(1)
}
