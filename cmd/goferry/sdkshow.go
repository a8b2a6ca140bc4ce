package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/text"
	"github.com/goferry/goferry/internal/toolchain"
)

// An sdkShow shows how an installation or a repair goes on.
type sdkShow struct {
	*display
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
	s := &sdkShow{}
	s.display = a.show(&s.state, nil)
	return s
}

// progress takes note of how far it is.
func (s *sdkShow) progress(p toolchain.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.state.begun || p.Stage != s.state.last.Stage {
		s.wait(p.Stage == toolchain.Waiting || p.Stage == toolchain.Asking || p.Stage == sdkListing)
	}
	s.state.take(p, time.Now())
}

// sdkListing is the stage before those of package toolchain: it is asked what releases there are.
const sdkListing toolchain.Stage = "list"

// listing says that it is asked what releases there are.
func (s *sdkShow) listing() { s.progress(toolchain.Progress{Stage: sdkListing, Total: -1}) }

// trouble says why a place was left.
func (s *sdkShow) trouble(t toolchain.Trouble) {
	s.mu.Lock()
	s.troubles = append(s.troubles, troubleOf(t))
	s.mu.Unlock()
	s.say(s.a.p.T("sdk.trouble", "Place", t.Place, "Why", s.a.troubleText(t.Err)))
}

// say puts a line above the bar. An error means that nobody can be told.
func (s *sdkShow) say(line string) { _, _ = fmt.Fprintln(s, "goferry: "+line) }

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

// sdkState is what is known about an installation.
type sdkState struct {
	last    toolchain.Progress
	begun   bool
	resumed int64
	samples samples
}

// take notes p. The rate is measured anew in each stage.
func (s *sdkState) take(p toolchain.Progress, now time.Time) {
	if !s.begun || p.Stage != s.last.Stage || p.Target != s.last.Target || p.Done < s.last.Done {
		s.samples = samples{{now, p.Done}}
	}
	s.begun, s.last, s.resumed = true, p, max(s.resumed, p.Resumed)
	s.samples.add(now, p.Done)
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
	rate := s.samples.rate(now, s.last.Done)
	line += "  " + human(int64(rate)) + "/s"
	if s.last.Total > 0 {
		line += timeLeft(p, s.last.Total-s.last.Done, rate)
	}
	return line
}

// total is status with a bar before it, as far as there is room.
func (s *sdkState) total(p *text.Printer, width int, now time.Time) string {
	line := s.status(p, now)
	if s.last.Total > 0 {
		line = withBar(line, float64(s.last.Done)/float64(s.last.Total), width, 40)
	}
	return clip(line, width-1)
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
