package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/text"
	"github.com/goferry/goferry/internal/toolchain"
)

func TestSDKTestLine(t *testing.T) {
	at := toolchain.SelfProgress{Step: toolchain.StepTests, Done: 120, Total: 330, Running: []string{"net/http", "crypto/tls", "os"}, Failed: 2}
	start := time.Now()
	for _, lang := range []string{text.English, text.Chinese} {
		for width := 1; width < 160; width++ {
			s := sdkTestState{start, at}
			if line := s.total(text.New(lang), width, start.Add(time.Minute)); text.Columns(line) >= width {
				t.Errorf("%s: %d columns of %d: %q", lang, text.Columns(line), width, line)
			}
		}
	}
	tests := []struct {
		at   toolchain.SelfProgress
		want string
	}{
		{at, "[##########--------------------]  120/330 packages  2:05  2 failing  net/http crypto/tls os"},
		{toolchain.SelfProgress{}, "machine  2:05"},
		{toolchain.SelfProgress{Step: toolchain.StepProgram}, "program  2:05"},
		{toolchain.SelfProgress{Step: toolchain.StepTests, Done: 9, Total: 10, Failed: 1, Again: "net"}, "[###########################---]  9/10 packages  2:05  1 failing  again, alone: net"},
	}
	for _, tt := range tests {
		s := sdkTestState{start, tt.at}
		if got := s.total(text.New(text.English), 120, start.Add(125*time.Second)); got != tt.want {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
	}
}

// TestSDKTestName wants a folder of its own for each SDK.
func TestSDKTestName(t *testing.T) {
	seen := map[string]string{}
	for _, root := range []string{"/usr/local/go", "/opt/go", "/home/us er/go", `C:\Program Files\Go`, "/", "/usr/lib/go-1.26"} {
		name := sdkTestName(root)
		if other, twice := seen[name]; twice || filepath.Base(name) != name || strings.ContainsAny(name, ` \:/`) {
			t.Errorf("%q for %s (and %q)", name, root, other)
		}
		seen[name] = root
	}
}

// TestSelfReportText prints what a package that fails in many ways says: all causes, few outputs.
func TestSelfReportText(t *testing.T) {
	var out strings.Builder
	a := &app{world: world{stdout: &out}, p: text.New(text.English)}
	long := strings.Repeat("line\n", 50) + "last"
	r := toolchain.SelfReport{Root: "/go", Version: "go1.26.1", OS: "linux", Arch: "amd64", State: toolchain.SelfFault, Counts: toolchain.SelfCounts{Total: 1, Fault: 1},
		Steps: []toolchain.SelfStep{{Name: toolchain.StepTests, State: toolchain.SelfFault}},
		Packages: []toolchain.SelfPackage{{Name: "net", Verdict: toolchain.SelfFailed, Failures: []toolchain.SelfFailure{
			{Test: "TestA", Output: long}, {Test: "TestB", Cause: "no-ipv6", Machine: true, Output: "hidden"}, {Test: "TestC", Output: "third"}}}}}
	if err := a.showSelfReport(r); err != nil {
		t.Fatal(err)
	}
	for want, count := range map[string]int{"      | line\n": 11, "      | last\n": 1, "      | …\n": 1, "third": 1, "hidden": 0, "likely cause: not known  [TestA, TestC]": 1, "likely cause: this machine has no IPv6  [TestB]": 1} {
		if got := strings.Count(out.String(), want); got != count {
			t.Errorf("%q stands there %d times, want %d\n%s", want, got, count, out.String())
		}
	}
}
