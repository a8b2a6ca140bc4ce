package main

import (
	"slices"
	"testing"
)

// TestSettingLines: what is shown of an edited go.env are its settings, not the comments around them.
func TestSettingLines(t *testing.T) {
	lines := []string{"-# Use the mirror.", "-GOSUMDB=sum.golang.org", "-", "+", "+  # ours", "+GOPROXY=https://proxy.example.com,direct"}
	want := []string{"-GOSUMDB=sum.golang.org", "+GOPROXY=https://proxy.example.com,direct"}
	if got := settingLines(lines); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(lines) != 6 || lines[0] != "-# Use the mirror." {
		t.Errorf("the lines of the report are changed: %q", lines)
	}
}
