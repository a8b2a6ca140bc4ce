//go:build unix

package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBundleCreateKilled kills bundle create at random moments. What there is under the final name is always whole, and
// the run that is let through makes the same bytes as one that was never disturbed.
func TestBundleCreateKilled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.up.AddRandom("example.com/big", "v1.0.0", 20<<20)
	r.up.AddModule("example.com/hello", "v1.0.0", map[string]string{"go.mod": "module example.com/hello\n", "hello.go": "package hello\n"})
	app := filepath.Join(r.work, "app")
	if err := os.MkdirAll(app, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(app, "go.mod"), []byte("module example.com/app\n\ngo 1.21\n\nrequire (\n\texample.com/big v1.0.0\n\texample.com/hello v1.0.0\n)\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	r.must(t, "goferry", "bundle", "create", "--all", "-o", "want.bundle", "app")
	took := time.Since(start)
	want, err := os.ReadFile(filepath.Join(r.work, "want.bundle"))
	if err != nil {
		t.Fatal(err)
	}
	r.vars["GOFERRY_CACHE"] = filepath.Join(r.work, "cache2")
	file := filepath.Join(r.work, "got.bundle")
	rng := rand.New(rand.NewPCG(6, 37))
	killed := 0
	for range 12 {
		cmd := r.command("goferry", "bundle", "create", "--all", "-o", "got.bundle", "app")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(rng.Int64N(int64(took))), func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // by the kill or by itself
		timer.Stop()
		if cmd.ProcessState.ExitCode() < 0 {
			killed++
		}
		if got, err := os.ReadFile(file); err == nil && !bytes.Equal(got, want) {
			t.Fatal("what a killed run left under the final name is not whole")
		}
	}
	if killed == 0 {
		t.Error("no run was killed")
	}
	r.must(t, "goferry", "bundle", "create", "--all", "-o", "got.bundle", "app")
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("after the kills the bundle has other bytes")
	}
	left, err := filepath.Glob(filepath.Join(r.work, "got.bundle.*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %s", strings.Join(left, " "))
	}
}
