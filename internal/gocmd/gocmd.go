// Package gocmd runs the go command and the tools it needs; the only room that starts
// processes.
//
// It never makes decisions: an exit code other than 0 is a result, not an error, and what it
// means is for the caller to find out.
package gocmd

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

const (
	defaultMaxOutput = 16 << 20
	maxStderr        = 64 << 10 // the tail is what says why
	defaultGrace     = 2 * time.Second
)

// A Runner runs programs. The zero value is ready: it uses this process's environment and
// the go command of its PATH. A Runner may be used by many goroutines.
type Runner struct {
	Go        string        // path of the go command; "" is "go" in PATH
	Env       []string      // whole environment of the programs, KEY=VALUE; nil is this process's
	MaxOutput int64         // bytes of standard output that Run keeps before it gives up; 0 is 16 MiB
	Grace     time.Duration // between asking a program to end and killing it; 0 is 2 s
	Logger    *slog.Logger  // nil discards
}

// ErrNoTool says that a program could not be found or started. The error is a *ToolError.
var ErrNoTool = errors.New("cannot be started")

// A ToolError says which program could not be found or started. It matches ErrNoTool.
type ToolError struct {
	Name string // as it was asked for, such as "git"
	Err  error  // the reason
}

// Error names the program first.
func (e *ToolError) Error() string { return fmt.Sprintf("%s %v: %v", e.Name, ErrNoTool, e.Err) }

// Unwrap returns ErrNoTool and the reason.
func (e *ToolError) Unwrap() []error { return []error{ErrNoTool, e.Err} }

// ErrTooMuchOutput says that a program wrote more than Runner.MaxOutput and was stopped.
var ErrTooMuchOutput = errors.New("too much output")

// FindTool returns the path of the program name. It looks in the PATH of r.Env, so that a
// program is found here exactly where the go command would find it, and nowhere in the current
// folder. "go" is r.Go where that is set. The error is a *ToolError.
func (r *Runner) FindTool(name string) (string, error) {
	asked := name
	if name == "go" && r.Go != "" {
		name = r.Go
	}
	if filepath.Base(name) != name {
		path, err := exec.LookPath(name)
		if err != nil {
			return "", &ToolError{Name: asked, Err: plain(err)}
		}
		return path, nil
	}
	for _, dir := range filepath.SplitList(lookup(r.Environ(), "PATH")) {
		if !filepath.IsAbs(dir) {
			continue
		}
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", &ToolError{Name: asked, Err: exec.ErrNotFound}
}

// plain takes the name of the program off what os/exec says: a ToolError has it.
func plain(err error) error {
	if e := (*exec.Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// Environ returns a copy of the environment that programs get.
func (r *Runner) Environ() []string {
	if r.Env == nil {
		return os.Environ()
	}
	return append([]string(nil), r.Env...)
}

// environ is the environment of a program; extra and dir as in Cmd.
func (r *Runner) environ(extra []string, dir string) []string {
	env := append(r.Environ(), extra...)
	if dir != "" {
		// The go command believes PWD where it can, and says so in its messages.
		env = append(env, "PWD="+dir)
	}
	return env
}

// lookup returns the value of key in env; the last one counts.
func lookup(env []string, key string) string {
	for i := len(env) - 1; i >= 0; i-- {
		k, v, _ := strings.Cut(env[i], "=")
		if k == key || runtime.GOOS == "windows" && strings.EqualFold(k, key) {
			return v
		}
	}
	return ""
}

func (r *Runner) grace() time.Duration {
	if r.Grace > 0 {
		return r.Grace
	}
	return defaultGrace
}

func (r *Runner) log() *slog.Logger {
	if r.Logger != nil {
		return r.Logger
	}
	return slog.New(slog.DiscardHandler)
}
