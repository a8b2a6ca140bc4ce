package main

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/text"
	"github.com/goferry/goferry/internal/toolchain"
)

// TestSDKState holds what a bar says: the place, the bytes, the rate of the stage, the time left.
func TestSDKState(t *testing.T) {
	p := text.New(text.English)
	begin := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var s sdkState
	if got := s.status(p, begin); got != "" {
		t.Errorf("before anything happened: %q", got)
	}
	down := toolchain.Progress{Target: toolchain.Here("go1.25.7"), Stage: toolchain.Downloading, Place: "mirror", Done: 10 << 20, Total: 80 << 20, Resumed: 10 << 20}
	s.take(down, begin)
	for i := range 10 {
		down.Done += 1 << 20
		s.take(down, begin.Add(time.Duration(i+1)*time.Second))
	}
	now := begin.Add(10 * time.Second)
	want := "go1.25.7: downloading from mirror  21.0 MB / 83.9 MB  1.0 MB/s  1:00 left"
	if got := s.status(p, now); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := s.total(p, 120, now); got != "["+strings.Repeat("#", 10)+strings.Repeat("-", 30)+"]  "+want {
		t.Errorf("with a bar: %s", got)
	}
	if got := s.total(p, 40, now); text.Columns(got) > 39 || strings.Contains(got, "#") {
		t.Errorf("in 40 columns: %s", got)
	}
	if s.resumed != 10<<20 {
		t.Errorf("resumed %d", s.resumed)
	}
	s.take(toolchain.Progress{Target: down.Target, Stage: toolchain.Unpacking, Done: 0, Total: 200 << 20}, now)
	s.take(toolchain.Progress{Target: down.Target, Stage: toolchain.Unpacking, Done: 100 << 20, Total: 200 << 20}, now.Add(time.Second))
	if got := s.status(p, now.Add(time.Second)); got != "go1.25.7: unpacking  104.9 MB / 209.7 MB" {
		t.Errorf("unpacking: %s", got)
	}
	s.take(toolchain.Progress{Target: down.Target, Stage: toolchain.Proving, Total: -1}, now)
	if got := s.status(p, now); got != "go1.25.7: proving" {
		t.Errorf("proving: %s", got)
	}
}

// TestSDKWords wants words in both languages for everything that room toolchain can say.
func TestSDKWords(t *testing.T) {
	codes := []string{"sdk.proof.proved", "sdk.proof.refuted", "sdk.proof.unknown", "sdk.proof.none", "sdk.fault.forged"}
	for _, f := range toolchain.Faults() {
		codes = append(codes, "sdk.fault."+string(f))
	}
	for _, w := range []toolchain.Way{toolchain.BySumDB, toolchain.ByOpenPGP, toolchain.BySHA256} {
		codes = append(codes, "sdk.way."+string(w))
	}
	for _, r := range append(toolchain.Reasons(), "none") {
		codes = append(codes, "sdk.proof.reason."+string(r))
	}
	for _, s := range []toolchain.Stage{sdkListing, toolchain.Waiting, toolchain.Asking, toolchain.Downloading, toolchain.Unpacking, toolchain.Proving} {
		codes = append(codes, "sdk.stage."+string(s))
	}
	for _, w := range []toolchain.Why{toolchain.WhyPath, toolchain.WhySetting, toolchain.WhyToolchain, toolchain.WhyGo} {
		codes = append(codes, "sdk.current.why-"+string(w))
	}
	for _, k := range []toolchain.ChangeKind{toolchain.Added, toolchain.Missing, toolchain.Altered, toolchain.Mode} {
		codes = append(codes, "sdk.change."+string(k))
	}
	for _, w := range []toolchain.ChangeWhat{toolchain.WhatDistributor, toolchain.WhatGoEnv, toolchain.WhatBreaks, toolchain.WhatJunk, toolchain.WhatBuilt, toolchain.WhatUnreadable, toolchain.WhatCopy} {
		codes = append(codes, "sdk.what."+string(w))
	}
	for _, lang := range []string{text.English, text.Chinese} {
		p := text.New(lang)
		for _, code := range codes {
			if !p.Has(code) {
				t.Errorf("%s: no message %s", lang, code)
			}
		}
	}
}

func TestTroubleText(t *testing.T) {
	a := &app{p: text.New(text.English)}
	tests := []struct {
		err  error
		want string
	}{
		{&toolchain.PlaceError{Fault: toolchain.FaultAbsent, Err: goproxy.ErrNotExist}, "it does not have it"},
		{&toolchain.PlaceError{Fault: toolchain.FaultCut, Err: errors.Join(goproxy.ErrUnavailable)}, "it broke off: unavailable"},
		{goproxy.ErrMismatch, "what it sent is not what was released: checksum mismatch"},
		{errors.New("another\nerror"), "another error"},
	}
	for _, tt := range tests {
		if got := a.troubleText(tt.err); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.err, got, tt.want)
		}
	}
}

func TestSDKExit(t *testing.T) {
	if got := []int{sdkWorse(0, 3), sdkWorse(3, 0), sdkWorse(13, 12), sdkWorse(12, 3), sdkWorse(0, 0)}; got[0] != 3 || got[1] != 3 || got[2] != 13 || got[3] != 12 || got[4] != 0 {
		t.Errorf("got %v", got)
	}
}

// Where nobody sees a bar, a line says what is waited for, once it has lasted; what goes on is not told of so soon.
func TestSDKShowWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lockedText
		a := &app{p: text.New(text.English), world: world{stderr: &out, env: func(string) string { return "" }}}
		s := a.showSDK()
		defer s.end()
		said := func(after time.Duration) string {
			time.Sleep(after)
			synctest.Wait()
			out.mu.Lock()
			defer out.mu.Unlock()
			defer out.text.Reset()
			return out.text.String()
		}
		step := toolchain.Progress{Target: toolchain.Here("go1.98.0"), Total: -1}
		for _, tt := range []struct {
			stage toolchain.Stage
			want  string
		}{
			{sdkListing, "goferry: asking which releases there are\n"},
			{toolchain.Waiting, "goferry: go1.98.0: another goferry is at work on it, and is waited for\n"},
			{toolchain.Asking, "goferry: go1.98.0: asking the checksum database\n"},
			{toolchain.Downloading, ""},
		} {
			step.Stage = tt.stage
			s.progress(step)
			if got := said(saySoon - time.Millisecond); got != "" {
				t.Errorf("%s: too soon: %q", tt.stage, got)
			}
			if got := said(time.Second); got != tt.want {
				t.Errorf("%s: %q, want %q", tt.stage, got, tt.want)
			}
			if got := said(saySoon); got != "" {
				t.Errorf("%s: said again: %q", tt.stage, got)
			}
		}
	})
}
