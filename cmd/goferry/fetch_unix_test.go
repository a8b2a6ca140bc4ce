//go:build unix

package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestFetchInterrupted interrupts a fetch that waits for one zip. What has come is kept: the same command
// fetches the rest, and nothing twice.
func TestFetchInterrupted(t *testing.T) {
	r := newRig(t)
	r.vars["GOFERRY_SUMDB"] = "off"
	var list strings.Builder
	for i := range 10 {
		path := fmt.Sprintf("example.com/m%d", i)
		r.up.AddModule(path, "v1.0.0", map[string]string{"go.mod": "module " + path + "\n", "a.go": "package a\n"})
		fmt.Fprintln(&list, path+"@v1.0.0")
	}
	const last = "m9/@v/v1.0.0.zip"
	release := r.up.Hold(last)
	cmd := r.command("goferry", "fetch", "-f", "-")
	cmd.Stdin = strings.NewReader(list.String())
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.up.Wait(t.Context(), "/@v/", 30)
	if err := r.up.WaitInFlight(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the exit code is looked at
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d", code)
	}
	said := regexp.MustCompile(`^goferry: interrupted: \d+ files? \([0-9.]+ k?B\) ha(s|ve) come and (is|are) kept; the same command goes on from there\n$`)
	if !said.MatchString(errs.String()) {
		t.Errorf("it says %q", errs.String())
	}
	release()
	r.up.Reset()
	again := r.command("goferry", "fetch", "-f", "-")
	again.Stdin = strings.NewReader(list.String())
	out, stderr, code := finish(t, again)
	m := regexp.MustCompile(`^fetched (\d+) files? \([0-9.]+ k?B\), (\d+) were in the cache\n$`).FindStringSubmatch(out)
	if code != 0 || m == nil {
		t.Fatalf("exit code %d\n%s%s", code, out, stderr)
	}
	fetched, _ := strconv.Atoi(m[1])
	cached, _ := strconv.Atoi(m[2])
	if fetched+cached != 30 || cached < 10 || r.up.Count("/@v/") != fetched || r.up.Count(last) != 1 {
		t.Errorf("fetched %d, %d were there, by %d requests", fetched, cached, r.up.Count("/@v/"))
	}
}
