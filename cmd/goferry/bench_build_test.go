package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// buildTargets need no compiler but Go's own, so that the benchmark runs anywhere.
var buildTargets = []string{"linux/amd64", "linux/arm64", "linux/riscv64", "windows/amd64", "darwin/arm64", "freebsd/amd64"}

// BenchmarkBuildMany builds a program with net/http for six targets from an empty build cache: with one goferry build, and with one go build behind
// the other as a script has it. x-go is the former's time as a part of the latter's.
func BenchmarkBuildMany(b *testing.B) {
	src, bin := buildProject(b)
	var ratio, together, apart []float64
	for b.Loop() {
		cache := filepath.Join(b.TempDir(), "go")
		one := timed(b, src, bin, []string{"GOCACHE=" + cache}, "build", "--cgo", "off", "-o", b.TempDir(), "--target", strings.Join(buildTargets, ","), ".")
		cache = filepath.Join(b.TempDir(), "go")
		var all time.Duration
		for _, target := range buildTargets {
			goos, goarch, _ := strings.Cut(target, "/")
			all += timed(b, src, "go", []string{"GOCACHE=" + cache, "CGO_ENABLED=0", "GOOS=" + goos, "GOARCH=" + goarch}, "build", "-trimpath", "-o", b.TempDir()+"/", ".")
		}
		together, apart, ratio = append(together, one.Seconds()), append(apart, all.Seconds()), append(ratio, one.Seconds()/all.Seconds())
	}
	b.ReportMetric(median(together), "s-together")
	b.ReportMetric(median(apart), "s-apart")
	b.ReportMetric(median(ratio), "x-go")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkBuildOne builds a program whose packages are all in the build cache, in turn by goferry build and by go build: what goferry adds is the
// difference.
func BenchmarkBuildOne(b *testing.B) {
	src, bin := buildProject(b)
	var ferry, plain, more []float64
	for b.Loop() {
		p := timed(b, src, "go", []string{"CGO_ENABLED=0"}, "build", "-trimpath", "-o", b.TempDir()+"/", ".").Seconds()
		f := timed(b, src, bin, nil, "build", "--cgo", "off", "-o", b.TempDir(), ".").Seconds()
		ferry, plain, more = append(ferry, f), append(plain, p), append(more, f-p)
	}
	b.ReportMetric(median(ferry), "s-goferry")
	b.ReportMetric(median(plain), "s-go")
	b.ReportMetric(median(more), "s-more")
	b.ReportMetric(0, "ns/op")
}

// buildProject makes a program, and goferry itself.
func buildProject(b *testing.B) (src, bin string) {
	b.Helper()
	src, bin = b.TempDir(), filepath.Join(b.TempDir(), "goferry")
	for name, text := range map[string]string{
		"go.mod":  "module example.com/app\n\ngo 1.21\n",
		"main.go": "package main\n\nimport \"net/http\"\n\nfunc main() { http.ListenAndServe(\"127.0.0.1:0\", nil) }\n",
	} {
		if err := os.WriteFile(filepath.Join(src, name), []byte(text), 0o666); err != nil {
			b.Fatal(err)
		}
	}
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return src, bin
}

// timed runs a command, and returns how long it took.
func timed(b *testing.B, dir, name string, env []string, args ...string) time.Duration {
	b.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	start := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return time.Since(start)
}
