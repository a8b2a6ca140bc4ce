package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/text"
	"github.com/goferry/goferry/internal/toolchain"
)

// An sdkShow shows on standard error how an installation or a repair goes on: a bar on a terminal, a line now and
// then elsewhere. It is the writer of the log meanwhile.
type sdkShow struct {
	a    *app
	bars *mpb.Progress // nil without a terminal
	bar  *mpb.Bar
	stop chan struct{} // ends the lines
	done sync.WaitGroup
	once sync.Once

	mu       sync.Mutex
	state    sdkState
	troubles []sdkTrouble
}

// An sdkTrouble is a place that was left, in JSON.
type sdkTrouble struct {
	Place string `json:"place"`
	Fault string `json:"fault,omitempty"`
	Error string `json:"error"`
}

// showSDK begins to show. end must be called.
func (a *app) showSDK() *sdkShow {
	s := &sdkShow{a: a, stop: make(chan struct{})}
	if !a.onTerminal() {
		s.done.Go(s.lines)
		return s
	}
	s.bars = mpb.New(mpb.WithOutput(a.stderr), mpb.WithRefreshRate(200*time.Millisecond))
	s.bar = s.bars.MustAdd(0, mpb.BarFillerFunc(s.fill), mpb.BarFillerTrim())
	return s
}

// end takes the bar away.
func (s *sdkShow) end() {
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

// Write puts lines above the bar.
func (s *sdkShow) Write(p []byte) (int, error) {
	if s.bars != nil {
		if n, err := s.bars.Write(p); err == nil {
			return n, nil
		}
	}
	return s.a.stderr.Write(p)
}

// lines says how far it is, for those who would take silence for a fault.
func (s *sdkShow) lines() {
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
			if line != "" {
				s.a.say(line)
			}
		}
	}
}

// progress takes note of how far it is.
func (s *sdkShow) progress(p toolchain.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.take(p, time.Now())
}

// trouble says why a place was left.
func (s *sdkShow) trouble(t toolchain.Trouble) {
	s.mu.Lock()
	s.troubles = append(s.troubles, troubleOf(t))
	s.mu.Unlock()
	// An error means that nobody can be told.
	_, _ = fmt.Fprintln(s, "goferry: "+s.a.p.T("sdk.trouble", "Place", t.Place, "Why", s.a.troubleText(t.Err)))
}

func troubleOf(t toolchain.Trouble) sdkTrouble {
	j := sdkTrouble{Place: t.Place, Error: errLine(t.Err)}
	var pe *toolchain.PlaceError
	if errors.As(t.Err, &pe) {
		j.Fault = string(pe.Fault)
	}
	return j
}

// troubleText says in the language of the user what was wrong with a place, and the details where the words for it
// do not say all.
func (a *app) troubleText(err error) string {
	var pe *toolchain.PlaceError
	detail := strings.TrimPrefix(errLine(err), goproxy.ErrUnavailable.Error()+": ")
	switch {
	case !errors.As(err, &pe):
		if errors.Is(err, goproxy.ErrMismatch) {
			return a.p.T("sdk.fault.forged", "Err", detail)
		}
		return detail
	case !a.p.Has("sdk.fault." + string(pe.Fault)):
		return detail
	}
	words := a.p.T("sdk.fault." + string(pe.Fault))
	switch pe.Fault {
	case toolchain.FaultStatus, toolchain.FaultLink, toolchain.FaultCut, toolchain.FaultFile, toolchain.FaultRefused:
		return words + ": " + detail
	}
	return words
}

func (s *sdkShow) fill(w io.Writer, stat decor.Statistics) error {
	s.mu.Lock()
	line := s.state.total(s.a.p, stat.AvailableWidth, time.Now())
	s.mu.Unlock()
	_, err := io.WriteString(w, "\r"+line) // a terminal that shows ^C has moved the cursor
	return err
}

// sdkState is what is known about an installation.
type sdkState struct {
	last    toolchain.Progress
	begun   bool
	resumed int64
	samples []sample
}

// take notes p. The rate is measured anew in each stage.
func (s *sdkState) take(p toolchain.Progress, now time.Time) {
	if !s.begun || p.Stage != s.last.Stage || p.Target != s.last.Target || p.Done < s.last.Done {
		s.samples = []sample{{now, p.Done}}
	}
	s.begun, s.last, s.resumed = true, p, max(s.resumed, p.Resumed)
	if newest := s.samples[len(s.samples)-1]; now.Sub(newest.at) >= rateWindow/20 {
		s.samples = append(s.samples, sample{now, p.Done})
	}
	for len(s.samples) > 2 && now.Sub(s.samples[1].at) >= rateWindow {
		s.samples = s.samples[1:]
	}
}

// rate is the number of bytes a second in the window that ends now.
func (s *sdkState) rate(now time.Time) float64 {
	first := s.samples[0]
	took := now.Sub(first.at).Seconds()
	if took <= 0 {
		return 0
	}
	return float64(s.last.Done-first.bytes) / took
}

// status says what is being done, and how far it is; nothing before anything is known.
func (s *sdkState) status(p *text.Printer, now time.Time) string {
	if !s.begun {
		return ""
	}
	line := p.T("sdk.stage."+string(s.last.Stage), "Name", sdkName(s.last.Target), "Place", s.last.Place)
	if s.last.Total <= 0 && s.last.Done == 0 {
		return line
	}
	if line += "  " + human(s.last.Done); s.last.Total > 0 {
		line += " / " + human(s.last.Total)
	}
	if s.last.Stage != toolchain.Downloading {
		return line
	}
	rate := s.rate(now)
	line += "  " + human(int64(rate)) + "/s"
	if left := s.last.Total - s.last.Done; s.last.Total > 0 && rate > 0 {
		line += "  " + p.T("fetch.left", "Time", clock(time.Duration(float64(left)/rate*float64(time.Second))))
	}
	return line
}

// total is status with a bar before it, as far as there is room.
func (s *sdkState) total(p *text.Printer, width int, now time.Time) string {
	status := s.status(p, now)
	room := min(width-text.Columns(status)-5, 40) // brackets, two spaces, the last column
	if room < 8 || s.last.Total <= 0 {
		return clip(status, width-1)
	}
	filled := int(float64(room) * min(max(float64(s.last.Done)/float64(s.last.Total), 0), 1))
	return "[" + strings.Repeat("#", filled) + strings.Repeat("-", room-filled) + "]  " + status
}

// begin forgets what an earlier toolchain of the same run left.
func (s *sdkShow) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.troubles = sdkState{}, nil
}

// arrived is the number of bytes of the download that have come.
func (s *sdkShow) arrived() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.last.Stage != toolchain.Downloading {
		return 0
	}
	return s.state.last.Done
}

// resumed is the number of bytes that an earlier run had brought.
func (s *sdkShow) resumed() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.resumed
}

func (s *sdkShow) takeTroubles() []sdkTrouble {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.troubles
}
