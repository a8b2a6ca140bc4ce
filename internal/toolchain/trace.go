package toolchain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/gocmd"
)

// A Tracer runs a go command as it is and finds out, from the records that the go command itself writes
// (-debug-actiongraph and -debug-trace), what it did and how long each part took. Both flags are for
// debugging and undocumented; every go command since Go 1.21 has them, and where one does not write them the
// Trace says so in Missing.
type Tracer struct {
	Runner *gocmd.Runner // never nil
	Temp   string        // where the records stand until they are read; "" is the system's folder for such
}

// ErrNotTraceable says that a command line is not one whose work the go command records. The error is a
// *UntraceableError.
var ErrNotTraceable = errors.New("cannot be traced")

// An UntraceableError names what cannot be traced. It matches ErrNotTraceable.
type UntraceableError struct {
	Program string // what is not a go command; "" if it is
	Command string // the go command's subcommand that is not among Traceable; "" is none
}

// Error names the program or the subcommand.
func (e *UntraceableError) Error() string {
	if e.Program != "" {
		return fmt.Sprintf("%s %v: not a go command", e.Program, ErrNotTraceable)
	}
	return strings.TrimSpace(fmt.Sprintf("go %s", e.Command)) + " " + ErrNotTraceable.Error()
}

// Unwrap returns ErrNotTraceable.
func (e *UntraceableError) Unwrap() error { return ErrNotTraceable }

// Traceable are the subcommands of the go command that have the flags.
func Traceable() []string {
	return []string{"build", "install", "run", "test", "vet", "get", "list"}
}

// TraceMillis is a time of a Trace: counted from its Start, or a duration. As JSON it is a number of
// milliseconds.
type TraceMillis time.Duration

// MarshalJSON rounds to microseconds.
func (m TraceMillis) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(time.Duration(m).Microseconds())/1e3, 'f', -1, 64), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (m *TraceMillis) UnmarshalJSON(data []byte) error {
	f, err := strconv.ParseFloat(string(data), 64)
	*m = TraceMillis(f * float64(time.Millisecond))
	return err
}

// A Trace is what a go command did.
type Trace struct {
	Command  []string        `json:"command"`
	Dir      string          `json:"dir"`       // in which it ran
	Go       string          `json:"go"`        // the version that ran; "" if it could not be asked
	ExitCode int             `json:"exit_code"` // as of gocmd.Runner.Exec
	Start    time.Time       `json:"start"`
	Time     TraceMillis     `json:"time_ms"`
	Phases   []TracePhase    `json:"phases"`
	Packages []TracePackage  `json:"packages"` // the one that took the longest comes first
	Compiled int             `json:"compiled"` // packages whose compiler ran, a failure counts
	Cached   int             `json:"cached"`   // packages that came from the build cache
	Steps    []TraceStep     `json:"steps"`    // all actions that did something, by their start
	Critical []TraceStep     `json:"critical"` // each waited for the one before it: more processors cannot make this shorter
	Chain    TraceMillis     `json:"critical_ms"`
	CPU      TraceMillis     `json:"cpu_ms"` // of compilers, linkers and vet, not of tests
	Fetched  []TraceDownload `json:"downloads"`
	Sumdb    int             `json:"sumdb_files"` // lookups and tiles of the checksum database that came
	Outputs  []TraceOutput   `json:"outputs"`
	Missing  []TraceGap      `json:"missing"` // records of the go command that there are not

	spans []traceSpan // what the loader of the go command did
	all   []TraceStep // the actions, also those that found nothing to do
}

// Names of phases. Those with a Phase.Within overlap each other, the others follow each other and together are
// the whole.
const (
	TraceStart     = "start"     // from the start of the process: which toolchain, settings
	TraceModules   = "modules"   // module graph, versions, in which module each import is
	TraceDownloads = "downloads" // of zips, in modules: fetched, checked, unpacked
	TraceLoad      = "packages"  // reads the packages, plans the build
	TraceBuild     = "build"     // all below
	TraceCompile   = "compile"
	TraceVet       = "vet"
	TraceLink      = "link"
	TraceInstall   = "install"
	TraceTest      = "test"
	TraceRun       = "run"
	TraceEnd       = "end" // takes away temporary files, trims the build cache
)

// A TracePhase is a part of the work.
type TracePhase struct {
	Name   string      `json:"name"`
	Within string      `json:"within,omitempty"` // the phase that it is part of
	Begin  TraceMillis `json:"begin_ms"`
	End    TraceMillis `json:"end_ms"`
	Time   TraceMillis `json:"time_ms"` // in which at least one of its steps went on
	Sum    TraceMillis `json:"sum_ms"`  // of its steps, which go on side by side
	Steps  int         `json:"steps"`   // that did something
	Of     int         `json:"of"`      // with those whose result was in the build cache
}

// TraceState says what became of an action.
type TraceState string

// States of actions.
const (
	TraceRan     TraceState = "ran"     // a tool, a test or a program ran
	TraceCached  TraceState = "cached"  // the result was there already
	TraceFailed  TraceState = "failed"  // a tool ran and left no result
	TraceSkipped TraceState = "skipped" // what it needs has failed, or the build was stopped before
	TraceIdle    TraceState = "idle"    // there was nothing to do
)

// A TraceStep is an action of the go command.
type TraceStep struct {
	ID      int         `json:"id"`
	Phase   string      `json:"phase"` // "" if it is of none
	Mode    string      `json:"mode"`  // what the go command calls it
	Package string      `json:"package,omitempty"`
	State   TraceState  `json:"state"`
	Begin   TraceMillis `json:"begin_ms"`
	Time    TraceMillis `json:"time_ms"`
	Waited  TraceMillis `json:"waited_ms"` // ready, but as many others went on as may at once (-p)
	CPU     TraceMillis `json:"cpu_ms"`    // of the tools it ran
	Tools   int         `json:"tools"`     // that it ran
}

// A TracePackage is a package that was to be compiled.
type TracePackage struct {
	Path  string      `json:"path"`
	State TraceState  `json:"state"`
	Time  TraceMillis `json:"time_ms"`
	CPU   TraceMillis `json:"cpu_ms"`
	Times int         `json:"times"` // more than 1: for a test it is compiled again with its test files
}

// A TraceDownload is a file that came into the module cache.
type TraceDownload struct {
	Module  string      `json:"module"` // path
	Version string      `json:"version"`
	File    string      `json:"file"` // ".info", ".mod", ".zip"
	Bytes   int64       `json:"bytes"`
	Begin   TraceMillis `json:"begin_ms"`  // of a zip; else 0: the go command does not record it
	Time    TraceMillis `json:"time_ms"`   // until it was there and checked; of a zip
	Unpack  TraceMillis `json:"unpack_ms"` // of a zip
	Arrived TraceMillis `json:"arrived_ms"`
	Failed  bool        `json:"failed,omitempty"` // a zip that did not come, or was refused
}

// A TraceOutput is a file that the build was asked for.
type TraceOutput struct {
	Path     string `json:"path"` // absolute
	Package  string `json:"package"`
	Bytes    int64  `json:"bytes"`
	UpToDate bool   `json:"up_to_date"` // it was there already
}

// Records of the go command.
const (
	TraceSpans   = "trace"   // without it there are no phases before the build
	TraceActions = "actions" // without it nothing is known about the build
)

// A TraceGap is a record that there is not.
type TraceGap struct {
	Record string `json:"record"`           // TraceSpans or TraceActions
	Reason string `json:"reason,omitempty"` // why it cannot be read; "" if the go command wrote none: it ended before
}

// Trace runs c and returns what it did. The command, its terminal, environment, output and exit code are
// those of a run without it; two flags more are on its command line. The error is an *UntraceableError,
// or that of gocmd.Runner.Exec, or of the folder for temporary files; a command that fails is no error.
func (t *Tracer) Trace(ctx context.Context, c gocmd.ExecCmd) (*Trace, error) {
	line, err := splitGoLine(c.Argv)
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp(t.Temp, "goferry-trace-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	rec := traceRecords{actions: filepath.Join(tmp, "actions.json"), spans: filepath.Join(tmp, "trace.json")}
	tr := &Trace{Command: slices.Clone(c.Argv), Start: time.Now(), Missing: []TraceGap{}}
	if tr.Dir, err = filepath.Abs(c.Dir); err != nil {
		return nil, err
	}
	if filepath.IsAbs(line.chdir) {
		tr.Dir = line.chdir
	} else {
		tr.Dir = filepath.Join(tr.Dir, line.chdir)
	}
	c.Argv = line.with("-debug-actiongraph="+rec.actions, "-debug-trace="+rec.spans)
	tr.ExitCode, err = t.Runner.Exec(ctx, c)
	if err != nil {
		return nil, err
	}
	tr.Time = TraceMillis(time.Since(tr.Start))
	graph := rec.read(tr)
	env := t.goEnv(ctx, c, tr)
	tr.Go = env["GOVERSION"]
	tr.downloads(env["GOMODCACHE"])
	tr.analyse(graph)
	return tr, nil
}

// goLine is a command line of the go command, cut where build flags may be put in.
type goLine struct {
	head, tail []string
	chdir      string // of -C, which must be the first flag
}

// goName is what a go command may be called: go, or go1.25.7 as golang.org/dl and goferry name them.
var goName = regexp.MustCompile(`^go(1(\.[0-9]+)*((beta|rc)[0-9]+)?)?(\.exe)?$`)

func splitGoLine(argv []string) (goLine, error) {
	if len(argv) == 0 {
		return goLine{}, &UntraceableError{}
	}
	if !goName.MatchString(filepath.Base(argv[0])) {
		return goLine{}, &UntraceableError{Program: argv[0]}
	}
	var l goLine
	i := l.skipChdir(argv, 1) // go -C dir build
	if i >= len(argv) {
		return goLine{}, &UntraceableError{}
	}
	if !slices.Contains(Traceable(), argv[i]) {
		return goLine{}, &UntraceableError{Command: argv[i]}
	}
	i = l.skipChdir(argv, i+1) // go build -C dir
	l.head, l.tail = argv[:i], argv[i:]
	return l, nil
}

// skipChdir returns the index behind -C and its folder, if it is at i.
func (l *goLine) skipChdir(argv []string, i int) int {
	if i >= len(argv) {
		return i
	}
	name, dir, joined := strings.Cut(argv[i], "=")
	switch {
	case name != "-C" && name != "--C":
	case joined:
		l.chdir, i = dir, i+1
	case i+1 < len(argv):
		l.chdir, i = argv[i+1], i+2
	}
	return i
}

func (l *goLine) with(flags ...string) []string {
	return slices.Concat(l.head, flags, l.tail)
}

// goEnvWait is how long the go command may take to say where its module cache is; it has just run.
const goEnvWait = 10 * time.Second

// goEnv asks the go command that has run, in the same folder, so that go.mod chooses the same toolchain. One
// that did not come as far as its records is not let choose again: that may be what failed.
func (t *Tracer) goEnv(ctx context.Context, c gocmd.ExecCmd, tr *Trace) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, goEnvWait)
	defer cancel()
	env := slices.Clone(c.Env)
	if len(tr.spans) == 0 {
		env = append(env, "GOTOOLCHAIN=local")
	}
	name := c.Argv[0]
	if abs, err := filepath.Abs(filepath.Join(c.Dir, name)); err == nil && filepath.Base(name) != name && !filepath.IsAbs(name) {
		name = abs
	}
	res, err := t.Runner.Run(ctx, gocmd.Cmd{Name: name, Args: []string{"env", "GOVERSION", "GOMODCACHE"}, Dir: tr.Dir, Env: env})
	if err != nil || res.ExitCode != 0 {
		return nil // then the report has no version and no downloads
	}
	version, rest, _ := strings.Cut(strings.ReplaceAll(string(res.Stdout), "\r\n", "\n"), "\n")
	return map[string]string{"GOVERSION": version, "GOMODCACHE": strings.TrimSuffix(rest, "\n")}
}
