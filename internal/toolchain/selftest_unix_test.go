//go:build unix

package toolchain

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/gocmd"
)

// selfLab is a toolchain that runs the real one, with tests added to packages of it. Its own files
// are its own; the rest is links.
type selfLab struct {
	t          *testing.T
	root, dir  string
	real       string
	cache      string
	overlay    map[string]string
	overlayDir string
}

func newSelfLab(t *testing.T) *selfLab {
	t.Helper()
	env, err := new(gocmd.Runner).GoEnv(t.Context(), "GOROOT", "GOCACHE", "GOVERSION")
	if err != nil {
		t.Fatal(err)
	}
	l := &selfLab{t: t, root: filepath.Join(t.TempDir(), "go"), dir: filepath.Join(t.TempDir(), "run"), real: env["GOROOT"], cache: env["GOCACHE"], overlay: map[string]string{}, overlayDir: t.TempDir()}
	for _, name := range []string{"src", "pkg", "lib"} {
		l.must(os.MkdirAll(l.root, 0o700), os.Symlink(filepath.Join(l.real, name), filepath.Join(l.root, name)))
	}
	l.put("VERSION", env["GOVERSION"]+"\ntime 2026-01-01T00:00:00Z\n", 0o600)
	l.put("bin/go", `#!/bin/sh
echo "$@" >> '`+l.file("log")+`'
GOROOT='`+l.root+`' GOFLAGS=-overlay='`+l.file("overlay.json")+`' exec '`+filepath.Join(l.real, "bin", "go")+`' "$@"
`, 0o700)
	l.must(os.WriteFile(l.file("log"), nil, 0o600))
	l.write()
	return l
}

func (l *selfLab) file(name string) string { return filepath.Join(l.overlayDir, name) }

func (l *selfLab) must(errs ...error) {
	l.t.Helper()
	if err := errors.Join(errs...); err != nil {
		l.t.Fatal(err)
	}
}

func (l *selfLab) put(name, text string, mode os.FileMode) {
	l.t.Helper()
	file := filepath.Join(l.root, filepath.FromSlash(name))
	l.must(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), mode))
}

// add adds a file of tests to a package.
func (l *selfLab) add(pkg, body string) {
	l.t.Helper()
	file := l.file(strings.ReplaceAll(pkg, "/", "_") + "_test.go")
	text := "package " + filepath.Base(pkg) + "_test\n\nimport (\n\t\"os\"\n\t\"path/filepath\"\n\t\"testing\"\n)\n\nvar _, _ = os.Getenv, filepath.Join\n\n" + body
	l.must(os.WriteFile(file, []byte(text), 0o600))
	l.overlay[filepath.Join(l.root, "src", filepath.FromSlash(pkg), "zz_added_test.go")] = file
	l.write()
}

func (l *selfLab) write() {
	l.t.Helper()
	data, err := json.Marshal(map[string]any{"Replace": l.overlay})
	l.must(err, os.WriteFile(l.file("overlay.json"), data, 0o600))
}

// ran is what the go command was told since the last call.
func (l *selfLab) ran() string {
	l.t.Helper()
	data, err := os.ReadFile(l.file("log"))
	l.must(err, os.WriteFile(l.file("log"), nil, 0o600))
	return string(data)
}

func (l *selfLab) test(packages ...string) *SelfTest {
	return &SelfTest{Root: l.root, Dir: l.dir, Temp: l.t.TempDir(), Cache: l.cache, Packages: packages, Runner: &gocmd.Runner{Env: l.env()}}
}

// env is the environment of a user without faults.
func (l *selfLab) env(more ...string) []string {
	home := l.t.TempDir()
	env := []string{"HOME=" + home, "PATH=" + filepath.Join(l.root, "bin") + ":" + os.Getenv("PATH"), "GOENV=" + filepath.Join(home, "goenv"), "GOCACHE=" + filepath.Join(home, "cache"),
		"GOTELEMETRY=off", "GOPROXY=https://proxy.test", "XDG_CONFIG_HOME=" + filepath.Join(home, ".config"), "GORACE=atexit_sleep_ms=0"}
	l.must(selfQuiet(home))
	return append(env, more...)
}

func selfStepOf(r SelfReport, name string) SelfStep {
	for _, s := range r.Steps {
		if s.Name == name {
			return s
		}
	}
	return SelfStep{}
}

// TestSelfTest tells a fault of the toolchain, a flaky test and a fault of the machine apart.
func TestSelfTest(t *testing.T) {
	l := newSelfLab(t)
	l.add("errors", `func TestOnce(t *testing.T) {
	mark := filepath.Join(os.Getenv("HOME"), "mark")
	if _, err := os.Stat(mark); err != nil {
		os.WriteFile(mark, nil, 0o600)
		os.WriteFile(filepath.Join(os.Getenv("GOROOT"), "junk"), nil, 0o600)
		t.Error("the first time")
	}
}`)
	l.add("unicode/utf8", `func TestOutside(t *testing.T) { t.Error("lookup nowhere.test: no such host") }`)
	l.add("container/list", `func TestBroken(t *testing.T) { t.Run("sub", func(t *testing.T) { t.Error("2+2=5") }) }`)
	l.add("container/ring", `func TestNothing(t *testing.T) { return 1 }`)
	l.add("unicode/utf16", `
func TestOutside(t *testing.T) { t.Error("dial tcp: i/o timeout") }
func TestBroken(t *testing.T)  { t.Error("2+2=5") }`)
	l.add("container/heap", `
func TestA(t *testing.T) { t.Error("clone: operation not permitted") }
func TestB(t *testing.T) { panic("clone: operation not permitted") }
func TestC(t *testing.T) { t.Error("mount: operation not permitted") } // is not reached at first`)
	s := l.test("cmp", "errors", "unicode/utf8", "container/...", "unicode/utf16", "internal/goarch")
	asked := 0
	s.Online = func(context.Context) error { asked++; return errors.New("no way there") }
	v := strings.TrimPrefix(runtime.Version(), "go")
	s.Releases = func(context.Context) ([]Version, error) { return []Version{Version("go" + v)}, nil }
	var told []string
	last := SelfProgress{}
	s.Progress = func(p SelfProgress) {
		if p.Failure != "" {
			told = append(told, p.Failure)
		}
		last = p
	}
	r, err := s.Run(t.Context())
	if err != nil {
		t.Fatalf("%v\n%+v", err, r)
	}
	verdicts := map[string]SelfVerdict{}
	failed := map[string]string{}
	for _, p := range r.Packages {
		verdicts[p.Name] = p.Verdict
		for _, f := range p.Failures {
			failed[p.Name] += f.Test + ":" + f.Cause + " "
			if f.Output == "" {
				t.Errorf("%s %s failed without an output", p.Name, f.Test)
			}
		}
	}
	if diff := cmp.Diff(map[string]SelfVerdict{"cmp": SelfPassed, "container/heap": SelfMachine, "errors": SelfFlaky, "unicode/utf8": SelfMachine,
		"container/list": SelfFailed, "container/ring": SelfFailed, "unicode/utf16": SelfFailed}, verdicts); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"errors": "TestOnce: ", "container/heap": "TestA:not-permitted TestB:not-permitted TestC:not-permitted ", "unicode/utf8": "TestOutside:no-network ", "container/list": "TestBroken: ", "container/ring": ": ",
		"unicode/utf16": "TestOutside:no-network TestBroken: "}, failed); diff != "" {
		t.Error(diff)
	}
	if want := (SelfCounts{Total: 8, Passed: 1, NoTests: 1, Flaky: 1, Machine: 2, Fault: 3}); r.Counts != want {
		t.Errorf("counts %+v, want %+v", r.Counts, want)
	}
	if got := selfCodes(selfStepOf(r, StepTests).Findings); got != "tests-fault tests-machine tests-flaky" || r.State != SelfFault {
		t.Errorf("state %s, findings %s", r.State, got)
	}
	for _, name := range []string{StepVersion, StepEnv, StepProgram} {
		for _, f := range selfStepOf(r, name).Findings {
			if f.Severity != SelfNote {
				t.Errorf("%s: %+v", name, f)
			}
		}
	}
	// What tests write into the toolchain does not stay unnoticed.
	if f := selfStepOf(r, StepUntouched).Findings; len(f) != 1 || f[0].Code != "touched" || f[0].Value != "1" || filepath.Base(f[0].Detail) != "junk" {
		t.Errorf("untouched: %+v", f)
	}
	slices.Sort(told)
	if diff := cmp.Diff([]string{"container/heap TestA", "container/heap TestB", "container/list TestBroken", "container/ring", "errors TestOnce", "unicode/utf16 TestBroken", "unicode/utf16 TestOutside", "unicode/utf8 TestOutside"}, told); diff != "" {
		t.Errorf("told at once: %s", diff)
	}
	if asked != 1 {
		t.Errorf("asked %d times whether there is a network", asked)
	}
	if last.Step != StepUntouched {
		t.Errorf("the last step was %+v", last)
	}
	left, err := os.ReadDir(l.dir)
	if err != nil || len(left) != 1 || left[0].Name() != selfLockName {
		t.Errorf("left behind: %v %v", left, err)
	}
	if tmp, err := os.ReadDir(s.Temp); err != nil || len(tmp) != 0 {
		t.Errorf("left behind: %v %v", tmp, err)
	}
}

// TestSelfResume goes on where a run was interrupted, and tests nothing twice.
func TestSelfResume(t *testing.T) {
	l := newSelfLab(t)
	l.add("unicode/utf8", `func TestWaits(t *testing.T) {
	if _, err := os.Stat(`+"`"+l.file("go-on")+"`"+`); err != nil {
		select {}
	}
}
func TestHolds(t *testing.T) { // a select alone would be a deadlock
	t.Parallel()
	r, w, _ := os.Pipe()
	defer w.Close()
	if _, err := os.Stat(`+"`"+l.file("go-on")+"`"+`); err != nil {
		r.Read(make([]byte, 1))
	}
}`)
	s := l.test("cmp", "errors", "unicode/utf8")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s.Progress = func(p SelfProgress) {
		if p.Done == 2 && slices.Equal(p.Running, []string{"unicode/utf8"}) {
			stop()
		}
	}
	r, err := s.Run(ctx)
	if !errors.Is(err, context.Canceled) || r.Counts.Passed != 2 || r.Counts.Left != 1 {
		t.Fatalf("interrupted: %v, %+v", err, r.Counts)
	}
	l.ran()
	l.must(os.WriteFile(l.file("go-on"), nil, 0o600))
	s.Resume, s.Progress = true, nil
	r, err = s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := (SelfCounts{Total: 3, Passed: 3, Resumed: 2}); r.Counts != want || r.State == SelfFault {
		t.Errorf("counts %+v, want %+v; %+v", r.Counts, want, r.Steps)
	}
	for line := range strings.Lines(l.ran()) {
		if strings.HasPrefix(line, "test -json") && !strings.HasSuffix(line, "-short unicode/utf8\n") {
			t.Errorf("ran again: %s", line)
		}
	}
	// There is nothing left to go on with.
	if r, err = s.Run(t.Context()); err != nil || r.Counts.Resumed != 0 || r.Counts.Passed != 3 {
		t.Errorf("a new run: %v %+v", err, r.Counts)
	}
}

func TestSelfFaults(t *testing.T) {
	tests := []struct {
		name   string
		change func(l *selfLab)
		env    []string
		step   string
		code   string
		ends   bool // nothing after it is tried
	}{
		{"mixed", func(l *selfLab) { l.put("VERSION", "go1.99.1\n", 0o600) }, nil, StepVersion, "version-mixed", true},
		{"no VERSION", func(l *selfLab) { l.must(os.Remove(filepath.Join(l.root, "VERSION"))) }, nil, StepVersion, "no-version", true},
		{"no go", func(l *selfLab) { l.must(os.Remove(filepath.Join(l.root, "bin/go"))) }, nil, StepVersion, "cannot-run", true},
		{"no program", func(l *selfLab) { l.put("bin/go", "text", 0o700) }, nil, StepVersion, "cannot-run", true},
		{"no compiler", func(l *selfLab) {
			l.must(os.Remove(filepath.Join(l.root, "pkg")), os.MkdirAll(filepath.Join(l.root, "pkg", "tool"), 0o700))
		}, nil, StepVersion, "no-tool no-tool no-tool", true},
		{"GOROOT", func(*selfLab) {}, []string{"GOROOT=/nowhere"}, StepEnv, "goroot-foreign", false},
		{"GOFLAGS", func(*selfLab) {}, []string{"GOEXPERIMENT=nosuchthing"}, StepEnv, "env-broken", false},
		{"source", func(l *selfLab) {
			l.must(os.Remove(filepath.Join(l.root, "src")), os.MkdirAll(filepath.Join(l.root, "src", "fmt"), 0o700))
		}, nil, StepProgram, "program-build", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newSelfLab(t)
			tt.change(l)
			s := l.test("cmp")
			s.Runner = &gocmd.Runner{Env: l.env(tt.env...)}
			r, err := s.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := selfCodes(selfStepOf(r, tt.step).Findings); !strings.Contains(" "+got+" ", " "+tt.code+" ") {
				t.Errorf("found %q, want %s\n%+v", got, tt.code, r.Steps)
			}
			if ended := selfStepOf(r, StepTests).State == SelfSkipped; ended != tt.ends {
				t.Errorf("tests: %s", selfStepOf(r, StepTests).State)
			}
			if tt.ends && r.State != SelfFault {
				t.Errorf("state %s", r.State)
			}
		})
	}
}

func TestSelfPackagesUnknown(t *testing.T) {
	l := newSelfLab(t)
	for _, pattern := range []string{"no/such/package", "nosuch/...", "./...", "goferry.example/selftest"} {
		if _, err := l.test(pattern).Run(t.Context()); !errors.Is(err, ErrSelfPackages) {
			t.Errorf("%s: %v, want ErrSelfPackages", pattern, err)
		}
	}
}
