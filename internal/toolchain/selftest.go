package toolchain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/gocmd"
)

// A SelfTest tests one toolchain on this machine: whether it is whole and of one piece, whether the
// settings of the user fit it, whether it compiles and runs a program, and whether its own tests
// pass. What fails is run again, alone and without what this machine cannot do, so that a fault of
// the toolchain, a test that fails now and then, and a fault of the machine are told apart.
//
// It writes into Dir and a folder for temporary files of its own, never into the toolchain or the
// caches of the user.
type SelfTest struct {
	Root     string        // GOROOT of the toolchain
	Dir      string        // for caches and results; taken away when a run comes to its end
	Temp     string        // short-lived files go below it; empty is the system's folder for them
	Cache    string        // GOCACHE of the run; empty is one in Dir, so that everything is compiled
	Runner   *gocmd.Runner // its environment is the one that is judged; nil is that of this process
	Packages []string      // patterns of packages of the toolchain; none is "std"
	Full     bool          // the long tests as well
	Resume   bool          // go on with a run that was interrupted, if it was the same

	// Releases returns what has been released; nil, or an error, leaves open whether the
	// toolchain is old.
	Releases func(ctx context.Context) ([]Version, error)
	// Online returns nil where this machine reaches the internet. It is asked once, and only
	// when a test failed as if it did not; nil means that nobody knows.
	Online func(ctx context.Context) error

	Progress func(SelfProgress) // is told what goes on, one call at a time; may be nil
	Logger   *slog.Logger       // nil discards
}

// A SelfState says how bad something is.
type SelfState string

// The states, from good to bad. Skipped says nothing about good or bad.
const (
	SelfOK      SelfState = "ok"
	SelfNote    SelfState = "note"    // worth knowing
	SelfWarning SelfState = "warning" // of the machine, or of the user's settings
	SelfFault   SelfState = "fault"   // the toolchain does not work
	SelfSkipped SelfState = "skipped" // something before it does not work
)

// worse returns the worse of two states.
func (s SelfState) worse(t SelfState) SelfState {
	order := []SelfState{SelfSkipped, SelfOK, SelfNote, SelfWarning, SelfFault}
	if slices.Index(order, t) > slices.Index(order, s) {
		return t
	}
	return s
}

// A SelfFinding is something to know or to mend.
type SelfFinding struct {
	Code     string    `json:"code"` // "goroot-exported"; a text in two languages, and mostly a way out, belong to it
	Severity SelfState `json:"severity"`
	Value    string    `json:"value,omitempty"`  // what was found
	Want     string    `json:"want,omitempty"`   // what there should be
	Detail   string    `json:"detail,omitempty"` // what a program said, several lines perhaps
}

// The steps of a SelfTest, in their order.
const (
	StepMachine   = "machine"
	StepVersion   = "version"
	StepEnv       = "env"
	StepProgram   = "program"
	StepTests     = "tests"
	StepUntouched = "untouched"
)

// A SelfStep is one step and what it found.
type SelfStep struct {
	Name     string        `json:"name"`
	State    SelfState     `json:"state"`
	Seconds  float64       `json:"seconds"`
	Findings []SelfFinding `json:"findings"`
}

// A SelfVerdict is what became of the tests of a package.
type SelfVerdict string

// The verdicts.
const (
	SelfPassed  SelfVerdict = "passed"
	SelfNoTests SelfVerdict = "no-tests"
	SelfFlaky   SelfVerdict = "flaky"   // failed among the others, passed alone
	SelfMachine SelfVerdict = "machine" // fails for want of something that this machine does not have
	SelfFailed  SelfVerdict = "fault"   // fails again and again, and the machine is not known to be the cause
	SelfUnsure  SelfVerdict = "unsure"  // failed, and was not run again: too many did
)

// A SelfFailure is a test that failed, or a package that failed without one.
type SelfFailure struct {
	Test    string `json:"test,omitempty"`    // top-level test; empty where the package does not build, or ended otherwise
	Cause   string `json:"cause,omitempty"`   // code of what is likely behind it, such as "no-ipv6"; empty is unknown
	Machine bool   `json:"machine,omitempty"` // Cause is something that the machine lacks
	Output  string `json:"output"`            // the end of what it wrote
}

// A SelfPackage is the result of one package.
type SelfPackage struct {
	Name     string        `json:"name"`
	Verdict  SelfVerdict   `json:"verdict"`
	Seconds  float64       `json:"seconds"` // of its tests, the first time
	Build    bool          `json:"build_failed,omitempty"`
	Failures []SelfFailure `json:"failures,omitempty"`
}

// SelfCounts counts packages.
type SelfCounts struct {
	Total   int `json:"total"`
	Passed  int `json:"passed"`
	NoTests int `json:"no_tests"`
	Flaky   int `json:"flaky"`
	Machine int `json:"machine"`
	Fault   int `json:"fault"`
	Unsure  int `json:"unsure"`
	Left    int `json:"left"`    // not run, or not to their end
	Resumed int `json:"resumed"` // known from the run that was interrupted
}

// A SelfReport is the result of a SelfTest.
type SelfReport struct {
	Root     string        `json:"goroot"`
	Version  Version       `json:"version"` // empty where the toolchain does not tell
	OS       string        `json:"os"`
	Arch     string        `json:"arch"`
	State    SelfState     `json:"state"` // the worst of the steps
	Machine  SelfHost      `json:"machine"`
	Steps    []SelfStep    `json:"steps"`
	Counts   SelfCounts    `json:"counts"`
	Packages []SelfPackage `json:"packages"` // those with tests, in the order in which they ended
	Seconds  float64       `json:"seconds"`
}

// A SelfProgress says what goes on.
type SelfProgress struct {
	Step    string   // one of the steps
	Done    int      // packages
	Total   int      // packages; 0 before the tests
	Running []string // packages whose tests run, the oldest first
	Failed  int      // packages that have failed until now
	Failure string   // "net TestDial" where a test has just failed, else empty
	Again   string   // package that runs again, alone
}

// Errors of a SelfTest.
var (
	// ErrSelfBusy says that another run has Dir.
	ErrSelfBusy = errors.New("another test of this toolchain is running")
	// ErrSelfPackages says that the patterns name no package of the toolchain.
	ErrSelfPackages = errors.New("no package of the toolchain")
)

// selfRun is one run of a SelfTest.
type selfRun struct {
	*SelfTest
	report  SelfReport
	environ []string      // of the user
	user    *gocmd.Runner // the go command as the user has it, GOROOT aside
	own     *gocmd.Runner // the go command with nothing of the user
	tmp     string        // TMPDIR of what runs
	state   *selfState
	names   []string // the packages to test
	online  *bool    // answer of Online, once it was asked
}

// Run tests. Findings are no errors: errors are ErrSelfBusy, ErrSelfPackages, a Dir that cannot be
// written, and the cause of ctx; beside the last, the report says how far it came, and a run with
// Resume goes on from there.
func (s *SelfTest) Run(ctx context.Context) (SelfReport, error) {
	start := time.Now()
	r := &selfRun{SelfTest: s, report: SelfReport{Root: s.Root, OS: runtime.GOOS, Arch: runtime.GOARCH, State: SelfOK, Steps: []SelfStep{}, Packages: []SelfPackage{}}}
	if err := r.open(); err != nil {
		return r.report, err
	}
	err := r.steps(ctx)
	r.report.Seconds = selfSeconds(start)
	if cerr := r.close(err == nil); err == nil {
		err = cerr
	}
	return r.report, err
}

// steps runs the steps. What comes after a fault of the toolchain is skipped: it could only fail.
func (r *selfRun) steps(ctx context.Context) error {
	before, err := selfSnapshot(r.Root)
	if err != nil {
		return err
	}
	stopped := false
	for _, step := range []struct {
		name  string
		run   func(context.Context) ([]SelfFinding, error)
		needs bool // nothing works without it
	}{
		{StepMachine, r.machine, false},
		{StepVersion, r.version, true},
		{StepEnv, r.env, false},
		{StepProgram, r.program, true},
		{StepTests, r.tests, false},
		{StepUntouched, func(context.Context) ([]SelfFinding, error) { return selfTouched(r.Root, before) }, false},
	} {
		if stopped && step.name != StepUntouched {
			r.report.Steps = append(r.report.Steps, SelfStep{Name: step.name, State: SelfSkipped, Findings: []SelfFinding{}})
			continue
		}
		r.tell(SelfProgress{Step: step.name})
		start := time.Now()
		found, err := step.run(ctx)
		done := SelfStep{Name: step.name, State: SelfOK, Seconds: selfSeconds(start), Findings: append([]SelfFinding{}, found...)}
		for _, f := range found {
			done.State = done.State.worse(f.Severity)
		}
		r.report.Steps = append(r.report.Steps, done)
		r.report.State = r.report.State.worse(done.State)
		if err != nil {
			return err
		}
		stopped = stopped || step.needs && done.State == SelfFault
	}
	return nil
}

// tell passes p on.
func (r *selfRun) tell(p SelfProgress) {
	if r.Progress != nil {
		r.Progress(p)
	}
}

func selfSeconds(since time.Time) float64 { return selfRound(time.Since(since).Seconds()) }

// selfRound keeps milliseconds.
func selfRound(seconds float64) float64 { return float64(int64(seconds*1000+0.5)) / 1000 }

// ownEnv is the environment of everything that the test runs: that of the user without whatever
// could change what the go command does, and with folders of its own.
func (r *selfRun) ownEnv(user []string) []string {
	dir := func(name string) string { return filepath.Join(r.Dir, name) }
	cache := r.Cache
	if cache == "" {
		cache = dir("gocache")
	}
	home := dir("home")
	set := []string{
		"GOENV=off", "GOTOOLCHAIN=local", "GOPROXY=off", "GOWORK=off", "GO_TEST_TIMEOUT_SCALE=2",
		"GOCACHE=" + cache, "GOPATH=" + dir("gopath"), "GOMODCACHE=" + dir("modcache"), "GOTMPDIR=" + dir("work"),
		"HOME=" + home, "USERPROFILE=" + home, "XDG_CONFIG_HOME=" + filepath.Join(home, ".config"), "XDG_CACHE_HOME=" + filepath.Join(home, ".cache"),
		"APPDATA=" + filepath.Join(home, "roaming"), "LOCALAPPDATA=" + filepath.Join(home, "local"),
		"TMPDIR=" + r.tmp, "TMP=" + r.tmp, "TEMP=" + r.tmp,
	}
	path := filepath.Join(r.Root, "bin")
	if old := selfLookup(user, "PATH"); old != "" {
		path += string(filepath.ListSeparator) + old
	}
	env := slices.DeleteFunc(slices.Clone(user), func(kv string) bool {
		key, _, _ := strings.Cut(strings.ToUpper(kv), "=")
		return strings.HasPrefix(key, "GO") || strings.HasSuffix(key, "_PROXY") || key == "PWD" || key == "PATH" ||
			slices.ContainsFunc(set, func(s string) bool { return strings.HasPrefix(s, key+"=") })
	})
	return append(append(env, set...), "PATH="+path)
}

// selfLookup returns the value of key in env; the last one counts.
func selfLookup(env []string, key string) string {
	for _, kv := range slices.Backward(env) {
		if k, v, _ := strings.Cut(kv, "="); k == key || runtime.GOOS == "windows" && strings.EqualFold(k, key) {
			return v
		}
	}
	return ""
}

// selfSay is what a program said on one stream or the other, trimmed and bounded.
func selfSay(res gocmd.Result) string {
	text := strings.TrimSpace(string(res.Stderr))
	if text == "" {
		text = strings.TrimSpace(string(res.Stdout))
	}
	if text == "" && res.ExitCode != 0 {
		text = fmt.Sprintf("exit code %d", res.ExitCode)
	}
	return selfTail(text, selfExcerpt)
}

// selfExcerpt bounds what a report repeats of an output, in bytes.
const selfExcerpt = 4 << 10

// selfTail is the end of text, from the beginning of a line.
func selfTail(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	text = text[len(text)-limit:]
	if _, rest, ok := strings.Cut(text, "\n"); ok {
		text = rest
	}
	return strings.ToValidUTF8(text, "�")
}

// open makes the folders and takes the lock.
func (r *selfRun) open() error {
	runner := r.Runner
	if runner == nil {
		runner = &gocmd.Runner{}
	}
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return err
	}
	state, err := selfOpenState(r.Dir, r.key(), r.Resume)
	if err != nil {
		return err
	}
	r.state = state
	for _, name := range []string{"gocache", "gopath", "modcache", "work", "home", "program"} {
		if err := os.MkdirAll(filepath.Join(r.Dir, name), 0o700); err != nil {
			return errors.Join(err, state.close(false))
		}
	}
	if r.tmp, err = state.temp(r.Temp); err != nil {
		return errors.Join(err, state.close(false))
	}
	r.environ = runner.Environ()
	// With a GOROOT that is wrong the go command says nothing else than that.
	r.user = &gocmd.Runner{Go: Program(r.Root), Env: append(slices.Clone(r.environ), "GOROOT="), Logger: r.Logger}
	r.own = &gocmd.Runner{Go: Program(r.Root), Env: r.ownEnv(r.environ), Logger: r.Logger, Grace: runner.Grace}
	return selfQuiet(filepath.Join(r.Dir, "home"))
}

// selfQuiet keeps the go command from collecting telemetry in home. Source: golang.org/x/telemetry,
// which looks in os.UserConfigDir.
func selfQuiet(home string) error {
	for _, dir := range []string{".config", "roaming", filepath.Join("Library", "Application Support")} {
		dir = filepath.Join(home, dir, "go", "telemetry")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "mode"), []byte("off"), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// close takes away what is not needed any more: everything, if the run came to its end.
func (r *selfRun) close(done bool) error {
	return errors.Join(os.RemoveAll(r.tmp), r.state.close(done))
}
