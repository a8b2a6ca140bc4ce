package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/bundle"
	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/goproxy"
)

// A recorder notes what the go command asks for. What it was given is what it needs: the requests are better than
// what lies in its module cache afterwards, which has neither version queries nor what it asked and found missing, is
// laid out by rules of its own, and cannot tell a file that could not be had from one that nobody wanted. An empty
// GOMODCACHE makes it ask for everything.
type recorder struct {
	mu     sync.Mutex
	asked  map[goproxy.Request]bool
	since  map[goproxy.Request]bool // since mark
	failed map[goproxy.Request]error
}

func newRecorder() *recorder {
	return &recorder{asked: map[goproxy.Request]bool{}, since: map[goproxy.Request]bool{}, failed: map[goproxy.Request]error{}}
}

// answered takes note of an answer.
func (r *recorder) answered(a goproxy.Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case a.Request == goproxy.Request{}:
	case a.Err == nil:
		r.asked[a.Request], r.since[a.Request] = true, true
		delete(r.failed, a.Request)
	case !errors.Is(a.Err, context.Canceled):
		r.failed[a.Request] = a.Err
	}
}

// paths are the modules that something was answered about, sorted.
func (r *recorder) paths() []string {
	seen := map[string]bool{}
	for _, req := range r.requests() {
		seen[req.Path] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// mark begins a new count for versionOf.
func (r *recorder) mark() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since = map[goproxy.Request]bool{}
}

// requests are those that were answered, in any order.
func (r *recorder) requests() []goproxy.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []goproxy.Request
	for req := range r.asked {
		list = append(list, req)
	}
	return list
}

// missing are the files that were wanted and could not be had. That a path is no module, or has no such version, is an
// answer that looking for a package brings along; that a version has no zip is not.
func (r *recorder) missing(offline bool) []bundle.Missing {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []bundle.Missing
	for req, err := range r.failed {
		whole := req.Kind == goproxy.Mod || req.Kind == goproxy.Zip
		switch {
		case goproxy.Absent(err) && !whole:
		case !whole && r.shorter(req.Path): // the module of a package was looked for, and found at a longer path
		case !req.Immutable() && (offline || errors.Is(err, goproxy.ErrBlocked)): // a list is made of what there is
		default:
			list = append(list, bundle.Missing{Request: req, Err: err})
		}
	}
	return bundle.SortMissing(list)
}

// shorter reports whether a module was had whose path goes on where path ends.
func (r *recorder) shorter(path string) bool {
	for req := range r.asked {
		if strings.HasPrefix(req.Path, path+"/") {
			return true
		}
	}
	return false
}

// A recording runs the real go command with a module cache of its own, and goferry as its only module proxy.
type recording struct {
	a       *app
	rec     *recorder
	dir     string   // scratch
	env     []string // for every run
	flags   []string // GOFLAGS of the user, without those that choose the source of modules
	systems []target
	level   bundle.Level
	tell    func(what string) // what is asked now
	log     *slog.Logger
	warm    func(ctx context.Context, paths []string) error // asks for the lists of modules, many at a time
	settle  func(ctx context.Context) error                 // waits until all that the go command was given is noted
	halt    func() error                                    // says whether to go on after a run: not where something is missing
	notes   []string                                        // what the go command has against a project; the far side will say the same
	edges   []bundle.Edge
	lost    []bundle.Missing // tools that nobody has
	tools   []module.Version
}

// A target is what a bundle is computed for.
type target struct {
	os, arch string
	cgo      bool // that the go command can build with cgo for it
}

func (s target) String() string { return s.os + "/" + s.arch }

// scratchAge is how old a folder of a run must be to count as left behind by one that was killed.
const scratchAge = 48 * time.Hour

// newScratch makes a folder beside the cache, where there is room for module zips, and takes away what killed runs left.
func newScratch(cfg *config.Config) (string, error) {
	parent := filepath.Join(cfg.CacheDir, ".goferry", "bundle")
	if err := os.MkdirAll(parent, 0o777); err != nil {
		return "", err
	}
	old, _ := os.ReadDir(parent) // what cannot be read cannot be removed either
	for _, e := range old {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > scratchAge {
			_ = os.RemoveAll(filepath.Join(parent, e.Name())) // the next run tries again
		}
	}
	return os.MkdirTemp(parent, "record-")
}

// newRecording prepares the environment. Everything is asked of goferry, also what the user's GONOPROXY keeps from
// module proxies: goferry asks version control itself, and keeps what comes.
func (a *app) newRecording(ctx context.Context, f *ferry, url, dir string, rec *recorder) (*recording, error) {
	db, err := f.sumDB()
	if err != nil {
		return nil, err
	}
	set, err := a.askGoEnv(ctx, "GOENV", "GOFLAGS")
	if err != nil {
		return nil, err
	}
	r := &recording{a: a, log: f.log, rec: rec, dir: dir, flags: ownFlags(set["GOFLAGS"]), tell: func(string) {}, settle: f.busy.wait, halt: func() error { return nil }, warm: func(context.Context, []string) error { return nil }}
	goenv := filepath.Join(dir, "env")
	if err := os.WriteFile(goenv, withoutGobin(set["GOENV"]), 0o666); err != nil {
		return nil, err
	}
	gosumdb := db.Key // with goferry as its proxy: an URL in GOSUMDB would bypass it
	if db.Off {
		gosumdb = "off"
	}
	nosumdb := strings.Join(f.cfg.NoSumdb, ",")
	if nosumdb == "" {
		nosumdb = "none"
	}
	r.env = []string{
		"GOENV=" + goenv, "GOPROXY=" + url, "GONOPROXY=none", "GOSUMDB=" + gosumdb, "GONOSUMDB=" + nosumdb, "GOVCS=*:off",
		"GOFLAGS=" + strings.Join(append([]string{"-modcacherw"}, r.flags...), " "), "GOBIN=", "GOWORK=off",
	}
	return r, nil
}

// ownFlags are the flags in GOFLAGS that say how to build, not where from.
func ownFlags(goflags string) []string {
	return slices.DeleteFunc(strings.Fields(goflags), func(f string) bool {
		name, _, _ := strings.Cut(strings.TrimLeft(f, "-"), "=")
		return slices.Contains([]string{"mod", "modfile", "modcacherw", "overlay", "n", "x", "v", "json"}, name)
	})
}

// withoutGobin is what go env -w has written, without GOBIN: go install refuses to cross-compile where one is set.
func withoutGobin(goenv string) []byte {
	data, err := os.ReadFile(goenv)
	if err != nil {
		return nil // there is none, or GOENV=off
	}
	var b bytes.Buffer
	for line := range bytes.Lines(data) {
		if !bytes.HasPrefix(line, []byte("GOBIN=")) {
			b.Write(line)
		}
	}
	return b.Bytes()
}

// A modCache is a fresh GOMODCACHE and GOPATH.
type modCache struct {
	dir string
	env []string
}

func (r *recording) modCache() (modCache, error) {
	dir, err := os.MkdirTemp(r.dir, "modcache-")
	return modCache{dir, []string{"GOMODCACHE=" + filepath.Join(dir, "mod"), "GOPATH=" + filepath.Join(dir, "path")}}, err
}

func (c modCache) remove() error { return os.RemoveAll(c.dir) }

// A goError is a go command that failed with no file missing.
type goError struct {
	args   []string
	stderr string
}

// Error is what the go command said, on one line.
func (e *goError) Error() string {
	return "go " + strings.Join(e.args, " ") + ": " + errLine(errors.New(e.stderr))
}

// spoken are the arguments that a person would have given.
func spoken(args []string) []string {
	args = slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return strings.HasPrefix(arg, "-modfile=") })
	return args[:min(len(args), 3)]
}

// golang runs the go command in dir; out gets what it prints. The error is a *goError where it failed.
func (r *recording) golang(ctx context.Context, dir string, env []string, out io.Writer, args ...string) error {
	if out == nil {
		out = io.Discard
	}
	res, err := r.a.runner.Run(ctx, gocmd.Cmd{Name: "go", Args: args, Dir: dir, Env: append(slices.Clone(r.env), env...), Stdout: out})
	if err != nil {
		return err
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	r.log.Debug("go command ran", "args", strings.Join(args, " "), "dur", res.Duration, "code", res.ExitCode)
	// That a file is missing says more than what the go command makes of it, such as to look for another version.
	if err := r.halt(); err != nil {
		return err
	}
	if res.ExitCode != 0 {
		return &goError{args: spoken(args), stderr: string(bytes.TrimSpace(res.Stderr))}
	}
	return nil
}

// forgiving calls run, and lets it pass that files are not there.
func (r *recording) forgiving(run func() error) error {
	halt := r.halt
	r.halt = func() error { return nil }
	before := r.rec.absent()
	err := run()
	r.halt = halt
	r.rec.mu.Lock()
	defer r.rec.mu.Unlock()
	for req, why := range r.rec.failed {
		if goproxy.Absent(why) && !before[req] {
			delete(r.rec.failed, req)
		}
	}
	return err
}

// absent are the files that were not there.
func (r *recorder) absent() map[goproxy.Request]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := map[goproxy.Request]bool{}
	for req, err := range r.failed {
		list[req] = goproxy.Absent(err)
	}
	return list
}

// tolerate makes a note of an error of the go command: it comes from the project, and is the same on the far side.
func (r *recording) tolerate(err error) error {
	var ge *goError
	if errors.As(err, &ge) {
		r.notes = append(r.notes, ge.Error())
		return nil
	}
	return err
}

// systemsOf asks the go command which systems there are, and picks those that the user named: every pair of a GOOS
// and a GOARCH that exists, by default this machine's own.
func (r *recording) systemsOf(ctx context.Context, oses, arches []string) ([]target, error) {
	var out bytes.Buffer
	if err := r.golang(ctx, r.dir, []string{"GOTOOLCHAIN=local"}, &out, "tool", "dist", "list", "-json"); err != nil {
		return nil, err
	}
	known, err := parseSystems(out.Bytes())
	if err != nil {
		return nil, err
	}
	here, err := r.a.runner.GoEnv(ctx, "GOHOSTOS", "GOHOSTARCH")
	if err != nil {
		return nil, err
	}
	if len(oses) == 0 {
		oses = []string{here["GOHOSTOS"]}
	}
	if len(arches) == 0 {
		arches = []string{here["GOHOSTARCH"]}
	}
	var list []target
	for _, s := range known {
		if slices.Contains(oses, s.os) && slices.Contains(arches, s.arch) {
			list = append(list, s)
		}
	}
	for _, name := range slices.Concat(oses, arches) {
		if !slices.ContainsFunc(list, func(s target) bool { return s.os == name || s.arch == name }) {
			return nil, &fault{code: "bundlecreate.error.system", args: []any{"Name", name}, hint: "bundlecreate.hint.system", exit: 2}
		}
	}
	return list, nil
}

// recordedFault says what the go command failed at.
func recordedFault(err error) error {
	var ge *goError
	if errors.As(err, &ge) {
		hint := "bundlecreate.hint.go"
		if strings.Contains(ge.Error(), "GOTOOLCHAIN=local)") { // the go command's words for: I may not switch
			hint = "bundlecreate.hint.toolchain"
		}
		return &fault{code: "bundlecreate.error.go", args: []any{"Err", ge.Error()}, hint: hint, exit: 1, err: err}
	}
	if missing := noCommand(err); missing != nil {
		return missing
	}
	return fmt.Errorf("recording what the go command asks for: %w", err)
}
