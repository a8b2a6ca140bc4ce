package cgo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/goferry/goferry/internal/binary"
	"github.com/goferry/goferry/internal/gocmd"
)

// A Builder builds the programs of a project for many targets, side by side, and looks at what came out.
type Builder struct {
	Runner *gocmd.Runner
	Finder *Finder  // of C compilers and emulators
	Env    []string // KEY=VALUE over the Runner's: GOPROXY

	// Progress, if it is not nil, is told how far it is. Calls come one at a time.
	Progress func(BuildProgress)
}

// A CgoMode says whether cgo is on.
type CgoMode string

// The modes.
const (
	CgoAuto CgoMode = "auto" // where a package outside of the standard library needs it
	CgoOn   CgoMode = "on"
	CgoOff  CgoMode = "off"
)

// A StaticMode says how a program is linked.
type StaticMode string

// The modes. The zero value is as the go command and the compiler have it.
const (
	Static    StaticMode = "static"
	StaticPIE StaticMode = "pie" // and independent of its position; Linux
)

// BuildOptions say what to build.
type BuildOptions struct {
	Dir      string   // of the project; "" is this one
	Packages []string // patterns as for go build; none means the package in Dir
	Targets  []Target
	Cgo      CgoMode // "" is CgoAuto
	Static   StaticMode
	Tags     []string // build tags, instead of those of GOFLAGS; nil for those
	LDFlags  string   // as for go build
	Out      string   // folder that gets a folder for each target, manifest.json and SHA256SUMS
	Archive  bool     // an archive for each target, too: tar.gz, zip for Windows
	Time     time.Time
	Jobs     int // targets side by side, at most; 0: as many as there are cores

	Require []binary.Requirement // that every output has to keep
	Run     bool                 // starts each output where something here can
	RunArgs []string             // arguments for it
}

// BuildProgress is how far a build is.
type BuildProgress struct {
	Done, Total int
	Running     []string     // targets
	Finished    *BuildResult // that has just come to its end; may be nil
}

// The states of a BuildResult.
const (
	BuildOK     = "ok"
	BuildFailed = "failed" // there is no output
	BuildBroken = "broken" // an output does not keep a promise, or does not start
)

// A BuildReport is what came of a build.
type BuildReport struct {
	Go      string         `json:"go"`  // go1.26.8
	Out     string         `json:"out"` // folder
	Targets []*BuildResult `json:"targets"`
	Seconds float64        `json:"seconds"`
}

// Count returns how many targets ended in a state.
func (r *BuildReport) Count(status string) (n int) {
	for _, t := range r.Targets {
		if t.Status == status {
			n++
		}
	}
	return n
}

// A BuildResult is what came of one target.
type BuildResult struct {
	Target   string        `json:"target"`
	Status   string        `json:"status"`
	Cgo      bool          `json:"cgo"`
	CgoUses  []string      `json:"cgo_packages"` // outside of the standard library, that use cgo where it is on
	Compiler *Compiler     `json:"compiler,omitempty"`
	Tags     []string      `json:"tags,omitempty"`
	LDFlags  string        `json:"ldflags,omitempty"`
	Notes    []string      `json:"notes,omitempty"` // codes of what the user should know: cgo-left-out, static-nss …
	Outputs  []BuildOutput `json:"outputs"`
	Archive  *BuildFile    `json:"archive,omitempty"`
	Failure  *BuildFailure `json:"failure,omitempty"`
	Seconds  float64       `json:"seconds"`

	target Target
	load   *buildLoad
	dir    string // below the scratch folder
}

// A BuildFile is a file below the folder for outputs.
type BuildFile struct {
	File   string `json:"file"` // with slashes
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// A BuildOutput is a program that was built.
type BuildOutput struct {
	Package string `json:"package"`
	BuildFile
	Static    bool             `json:"static"`
	Libc      string           `json:"libc,omitempty"`
	Libraries []string         `json:"libraries"`
	Floors    []string         `json:"floors"` // glibc 2.34
	RunsOn    []string         `json:"runs_on"`
	RunsNotOn []string         `json:"runs_not_on"`
	Promises  []binary.Outcome `json:"requirements,omitempty"` // what it was held to
	Run       *BuildRun        `json:"run,omitempty"`
	BuildInfo *binary.GoInfo   `json:"buildinfo,omitempty"`

	Info     *binary.Info     `json:"-"` // nil if room binary cannot read such a file
	Verdicts []binary.Verdict `json:"-"`

	path string // of the file in the scratch folder
}

// A BuildRun is what starting an output gave.
type BuildRun struct {
	By       string `json:"by"`              // native, qemu-aarch64, wine; "" if nothing here can start it
	Why      string `json:"why,omitempty"`   // where nothing can: a RunNo… code
	Needs    string `json:"needs,omitempty"` // what is not here for it: a path, for RunNoInterpreter
	OK       bool   `json:"ok"`              // it ended with 0, or ran until it was stopped
	ExitCode int    `json:"exit_code"`
	Stopped  bool   `json:"stopped,omitempty"` // it ran for so long that it was stopped
	Said     string `json:"said,omitempty"`    // the last line of standard error where it did not end with 0
}

// The codes of why nothing here can start a program.
const (
	RunNoEmulator    = "no-emulator"    // nor is it one for this system
	RunNoInterpreter = "no-interpreter" // what loads its libraries, and so its C library, is not here
	RunOldWine       = "old-wine"       // wine lacks a DLL of Windows that every Go program loads
)

// A buildRun is one run of a Builder.
type buildRun struct {
	*Builder
	o       BuildOptions
	out     string // absolute
	scratch string
	tmp     string   // for what the go command and compilers write on their way: they leave it where they are ended
	tmpIn   string   // where that is made; "" is the usual place
	made    []string // folders that were made for it, the outermost last
	report  BuildReport
	goflags buildFlags
	root    string // of the main module; "" if there is none
	cores   int    // for each go command

	mu      sync.Mutex
	done    int
	running []Target
	queue   []*BuildResult
}

// Build builds for all targets: a failure of one is in its result and stops no other. Outputs are put in place, each
// whole, when the last target has come to its end; an end of ctx leaves nothing behind. Errors: a *gocmd.ToolError,
// a *BuildFailure of what has to do with no target (the folder for outputs, the project), and the cause of ctx.
func (b *Builder) Build(ctx context.Context, o BuildOptions) (rep BuildReport, err error) {
	start := time.Now()
	r := &buildRun{Builder: b, o: o}
	if err := r.prepare(ctx); err != nil {
		return r.report, err
	}
	defer func() { r.cleanUp() }()
	jobs := o.Jobs
	if jobs <= 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	jobs = max(1, min(jobs, len(o.Targets)))
	r.cores = max(1, (runtime.GOMAXPROCS(0)+jobs-1)/jobs)
	for _, t := range o.Targets {
		res := &BuildResult{Target: t.String(), target: t, CgoUses: []string{}, Outputs: []BuildOutput{}, dir: filepath.Join(r.scratch, targetDir(t))}
		r.report.Targets = append(r.report.Targets, res)
	}
	r.queue = slices.Clone(r.report.Targets)
	var wg sync.WaitGroup
	for range jobs {
		wg.Go(func() { r.work(ctx) })
	}
	wg.Wait()
	if ctx.Err() != nil {
		return r.report, context.Cause(ctx)
	}
	if err := r.deliver(); err != nil {
		return r.report, err
	}
	r.report.Seconds = time.Since(start).Seconds()
	return r.report, nil
}

// work builds targets until none is left.
func (r *buildRun) work(ctx context.Context) {
	for {
		res := r.next()
		if res == nil || ctx.Err() != nil {
			return
		}
		start := time.Now()
		res.Failure = r.target(ctx, res)
		res.Seconds = time.Since(start).Seconds()
		switch {
		case res.Failure != nil:
			res.Status, res.Outputs, res.Archive = BuildFailed, []BuildOutput{}, nil
		case slices.ContainsFunc(res.Outputs, BuildOutput.broken):
			res.Status = BuildBroken
		default:
			res.Status = BuildOK
		}
		if ctx.Err() == nil {
			r.tell(res)
		}
	}
}

// Unmet are the promises that o does not keep.
func (o BuildOutput) Unmet() (list []binary.Outcome) {
	for _, p := range o.Promises {
		if p.Met == binary.MetNo {
			list = append(list, p)
		}
	}
	return list
}

// broken reports whether a promise is not kept, or the program does not start.
func (o BuildOutput) broken() bool {
	return len(o.Unmet()) > 0 || o.Run != nil && o.Run.By != "" && !o.Run.OK
}

// next takes a target out of the queue; of those for one system and architecture best one at a time: what they have in
// common is compiled once then, and found in the go command's cache by the others.
func (r *buildRun) next() *BuildResult {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		return nil
	}
	i := slices.IndexFunc(r.queue, func(q *BuildResult) bool {
		return !slices.ContainsFunc(r.running, func(t Target) bool { return t.OS == q.target.OS && t.Arch == q.target.Arch })
	})
	res := r.queue[max(i, 0)]
	r.queue = slices.Delete(r.queue, max(i, 0), max(i, 0)+1)
	r.running = append(r.running, res.target)
	r.progress(nil)
	return res
}

// tell says that a target has come to its end.
func (r *buildRun) tell(res *BuildResult) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done++
	if i := slices.Index(r.running, res.target); i >= 0 {
		r.running = slices.Delete(r.running, i, i+1)
	}
	r.progress(res)
}

// progress is called with mu held.
func (r *buildRun) progress(finished *BuildResult) {
	if r.Progress == nil {
		return
	}
	p := BuildProgress{Done: r.done, Total: len(r.o.Targets), Finished: finished}
	for _, t := range r.running {
		p.Running = append(p.Running, t.String())
	}
	r.Progress(p)
}

// prepare asks the go command what it has, and makes the folders.
func (r *buildRun) prepare(ctx context.Context) (err error) {
	if r.o.Cgo == "" {
		r.o.Cgo = CgoAuto
	}
	if len(r.o.Packages) == 0 {
		r.o.Packages = []string{"."}
	}
	if err := r.project(ctx); err != nil {
		return err
	}
	if r.out, err = filepath.Abs(r.o.Out); err != nil {
		return err
	}
	r.report.Out = r.o.Out
	if r.tmp, err = os.MkdirTemp(r.tmpIn, "goferry-build-"); err != nil {
		return diskFailure(os.TempDir(), err)
	}
	if err := r.makeOut(); err != nil {
		r.cleanUp()
		return diskFailure(r.o.Out, err)
	}
	return nil
}

// project reads what the go command says of the project.
func (r *buildRun) project(ctx context.Context) error {
	res, err := r.golang(ctx, nil, "env", "-json", "GOVERSION", "GOFLAGS", "GOMOD", "GOWORK", "GOTMPDIR")
	if err != nil {
		return err
	}
	if res.ExitCode != 0 {
		return explainGo(string(res.Stderr), nil, false)
	}
	var env map[string]string
	if err := json.Unmarshal(res.Stdout, &env); err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	r.report.Go, _, _ = strings.Cut(env["GOVERSION"], " ")
	r.tmpIn = env["GOTMPDIR"]
	r.goflags = readGoflags(env["GOFLAGS"])
	if mod := env["GOMOD"]; mod != "" && mod != os.DevNull {
		r.root = filepath.Dir(mod)
	}
	return nil
}

// golang runs the go command in the project.
func (r *buildRun) golang(ctx context.Context, env []string, args ...string) (gocmd.Result, error) {
	// Compilers speak the language of the locale, and are understood in English.
	env = append(append([]string{"LC_ALL=C"}, r.Env...), env...)
	if r.scratch != "" { // all is made
		for _, key := range []string{"GOTMPDIR", "TMPDIR", "TMP", "TEMP"} { // cgo and compilers: the system's
			env = append(env, key+"="+r.tmp)
		}
	}
	return r.Runner.Run(ctx, gocmd.Cmd{Name: "go", Args: args, Dir: r.o.Dir, Env: env})
}

// makeOut makes the folder for outputs, and one in it for what is not whole yet: what is put in place from there is
// renamed. Git does not see it: else the go command would write into the programs that something is not committed.
func (r *buildRun) makeOut() error {
	var missing []string
	for dir := r.out; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil || !errors.Is(err, os.ErrNotExist) || dir == filepath.Dir(dir) {
			break
		}
		missing = append(missing, dir)
	}
	if err := os.MkdirAll(r.out, 0o777); err != nil {
		return err
	}
	r.made = missing
	if len(missing) > 0 && inGit(r.out) {
		if err := os.WriteFile(filepath.Join(r.out, ".gitignore"), []byte("*\n"), 0o666); err != nil {
			return err
		}
	}
	scratch, err := os.MkdirTemp(r.out, ".goferry-build-")
	if err != nil {
		return err
	}
	r.scratch = scratch
	return os.WriteFile(filepath.Join(scratch, ".gitignore"), []byte("*\n"), 0o666)
}

// inGit reports whether dir is in a checkout of Git.
func inGit(dir string) bool {
	for {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			return true
		}
		up := filepath.Dir(dir)
		if up == dir {
			return false
		}
		dir = up
	}
}

// cleanUp removes what is not whole, and the folders that were made for nothing.
func (r *buildRun) cleanUp() {
	if r.scratch != "" {
		// An error leaves a folder with a name that says whose it is.
		_ = os.RemoveAll(r.scratch)
	}
	if r.tmp != "" {
		_ = os.RemoveAll(r.tmp) // what stays there is the system's to remove
	}
	for i, dir := range r.made {
		if i == 0 {
			entries, err := os.ReadDir(dir)
			if err == nil && len(entries) == 1 && entries[0].Name() == ".gitignore" {
				_ = os.Remove(filepath.Join(dir, ".gitignore"))
			}
		}
		if os.Remove(dir) != nil { // there is something in it
			return
		}
	}
}

// targetDir is the name of the folder for a target.
func targetDir(t Target) string { return strings.ReplaceAll(t.String(), "/", "-") }

// buildFlags are those of GOFLAGS that a flag of ours would replace.
type buildFlags struct {
	tags    []string
	ldflags string
}

// readGoflags reads GOFLAGS: flags between spaces, perhaps quoted as a whole.
func readGoflags(text string) (f buildFlags) {
	words, err := splitWords(text)
	if err != nil {
		return f // the go command says so
	}
	for _, flag := range words {
		flag = "-" + strings.TrimLeft(flag, "-")
		if tags, ok := strings.CutPrefix(flag, "-tags="); ok {
			f.tags = strings.FieldsFunc(tags, func(r rune) bool { return r == ',' || r == ' ' })
		}
		if flags, ok := strings.CutPrefix(flag, "-ldflags="); ok {
			f.ldflags = flags
		}
	}
	return f
}

// ldflags puts ours before those of the user. What both want of the external linker is one flag: the last one counts.
func ldflags(ours []string, user string) string {
	const ext = "extldflags"
	fields, err := splitWords(user)
	if err != nil {
		fields = nil // the go command says so
	}
	var rest []string
	extra := ""
	for i := 0; i < len(fields); i++ {
		name := strings.TrimLeft(fields[i], "-")
		if value, ok := strings.CutPrefix(name, ext+"="); ok {
			extra = value
		} else if name == ext && i+1 < len(fields) {
			i++
			extra = fields[i]
		} else {
			rest = append(rest, fields[i])
		}
	}
	if extra == "" || len(ours) == 0 {
		return strings.TrimSpace(quoteWords(ours) + " " + user)
	}
	ours = slices.Clone(ours)
	if i := slices.IndexFunc(ours, func(f string) bool { return strings.HasPrefix(f, "-"+ext+"=") }); i >= 0 {
		ours[i] += " " + extra
	} else {
		ours = append(ours, "-"+ext+"="+extra)
	}
	return quoteWords(append(ours, rest...))
}
