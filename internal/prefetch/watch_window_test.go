package prefetch

import (
	"testing"
	"time"
)

func TestWindow(t *testing.T) {
	at := func(s string) time.Time {
		tm, err := time.Parse("15:04:05", s)
		if err != nil {
			t.Fatal(err)
		}
		return time.Date(2026, 7, 3, tm.Hour(), tm.Minute(), tm.Second(), 0, time.UTC)
	}
	tests := []struct {
		window, at string
		open       bool
		wait       time.Duration
	}{
		{"", "12:00:00", true, 0},
		{"00:00-24:00", "12:00:00", true, 0},
		{"01:00-06:00", "00:59:59", false, time.Second},
		{"01:00-06:00", "01:00:00", true, 0},
		{"01:00-06:00", "05:59:59", true, 0},
		{"01:00-06:00", "06:00:00", false, 19 * time.Hour},
		{"22:30-05:00", "22:29:00", false, time.Minute},
		{"22:30-05:00", "23:59:59", true, 0},
		{"22:30-05:00", "04:59:00", true, 0},
		{"22:30-05:00", "05:00:30", false, 17*time.Hour + 29*time.Minute + 30*time.Second},
		{"18:00-24:00", "23:59:00", true, 0},
		{"18:00-24:00", "00:00:00", false, 18 * time.Hour},
		{"0:00-7:05", "07:04:00", true, 0},
	}
	for _, test := range tests {
		w, err := ParseWindow(test.window)
		if err != nil {
			t.Errorf("%s: %v", test.window, err)
			continue
		}
		now := at(test.at)
		if got := w.Contains(now); got != test.open {
			t.Errorf("%s at %s: open %v", test.window, test.at, got)
		}
		if got := w.Next(now).Sub(now); got != test.wait {
			t.Errorf("%s at %s: opens in %v, want %v", test.window, test.at, got, test.wait)
		}
	}
	for _, bad := range []string{"01:00", "1-2", "01:00-01:00", "24:00-01:00", "25:00-26:00", "01:60-02:00", "a:00-b:00", "01:00-02:00-03:00", "-", "01:0-02:00", "+1:00-02:00", "001:00-02:00", "24:01-01:00"} {
		if w, err := ParseWindow(bad); err == nil {
			t.Errorf("%s was taken for %v", bad, w)
		}
	}
}

// What was parsed is written so that it parses to the same, and its next opening is open, not before now and not
// more than a day away.
func FuzzParseWindow(f *testing.F) {
	f.Add("", int64(0))
	f.Add("01:00-06:00", int64(1_800_000_000))
	f.Add("22:30-05:00", int64(1_700_003_000))
	f.Add("0:00-24:00", int64(1))
	f.Add("18:00-24:00", int64(86399))
	f.Fuzz(func(t *testing.T, s string, unix int64) {
		w, err := ParseWindow(s)
		if err != nil {
			return
		}
		if again, err := ParseWindow(w.String()); err != nil || again != w {
			t.Fatalf("%q became %q, which is %v, %v", s, w, again, err)
		}
		now := time.Unix(unix%(1<<34), 0).UTC()
		next := w.Next(now)
		if !w.Contains(next) || next.Before(now) || next.Sub(now) > 24*time.Hour {
			t.Fatalf("%q at %v opens at %v", w, now, next)
		}
	})
}
