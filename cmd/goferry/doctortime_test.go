package main

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestDoctorInTime wants the whole to be over within 15 s, however long each question takes that is asked before the checks begin.
func TestDoctorInTime(t *testing.T) {
	before := doctorAskGo + 2*doctorAskLess + doctorAskFerry
	if whole := before + doctorLeast + doctorGrace; whole > 15*time.Second || doctorWhole > 15*time.Second {
		t.Errorf("%s and %s", whole, doctorWhole)
	}
	synctest.Test(t, func(t *testing.T) {
		for took, want := range map[time.Duration]time.Duration{
			0: 0, time.Second: 0, 2 * time.Second: 11 * time.Second, 9 * time.Second: 4 * time.Second, before: doctorLeast, time.Minute: doctorLeast,
		} {
			r := &doctorRun{begun: time.Now()}
			time.Sleep(took)
			if got := r.left(); got != want {
				t.Errorf("after %s: %s, want %s", took, got, want)
			}
			if again := r.left(); again != 0 {
				t.Errorf("looking again: %s", again)
			}
		}
	})
}
