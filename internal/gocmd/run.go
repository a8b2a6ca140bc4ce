package gocmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// A Cmd is a program to run in the background, without a terminal.
type Cmd struct {
	Name  string    // "go", a name to be found in PATH, or a path
	Args  []string  // without the name
	Dir   string    // working folder; "" is this process's
	Env   []string  // KEY=VALUE, over Runner.Env
	Stdin io.Reader // nil is empty

	// Stdout gets the standard output as it comes, however much it is, and Result.Stdout stays
	// empty; nil keeps it for the Result. An error of Stdout stops the program.
	Stdout io.Writer
}

// A Result is what a program left.
type Result struct {
	Stdout   []byte
	Stderr   []byte // at most the last 64 KiB
	ExitCode int    // -1 if a signal ended it
	Duration time.Duration
}

// Run runs a program to its end and returns what it wrote; the Result is filled as far as
// possible even beside an error. An exit code other than 0 is not an error. Errors are a
// *ToolError if the program cannot be started, ErrTooMuchOutput, and the cause of ctx.
//
// When ctx ends, the program and everything it started is asked to end, so that git can take
// its lock files away, and killed after Runner.Grace. The program has no terminal: whoever would
// ask there for a password fails at once.
func (r *Runner) Run(ctx context.Context, c Cmd) (Result, error) {
	if ctx.Err() != nil {
		return Result{ExitCode: -1}, fmt.Errorf("%s: %w", c.Name, context.Cause(ctx))
	}
	path, err := r.FindTool(c.Name)
	if err != nil {
		return Result{ExitCode: -1}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stdout := &head{max: r.MaxOutput, full: func() { cancel(ErrTooMuchOutput) }}
	if stdout.max <= 0 {
		stdout.max = defaultMaxOutput
	}
	stderr := &tail{max: maxStderr}
	cmd := exec.CommandContext(ctx, path, c.Args...)
	cmd.Dir, cmd.Env, cmd.Stdin = c.Dir, r.environ(c.Env, c.Dir), c.Stdin
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if c.Stdout != nil {
		cmd.Stdout = &stopper{w: c.Stdout, stop: cancel}
	}
	cmd.WaitDelay = r.grace()

	start := time.Now()
	err = r.runGroup(ctx, cmd)
	res := Result{Stdout: stdout.buf.Bytes(), Stderr: stderr.buf, ExitCode: -1, Duration: time.Since(start)}
	if cmd.ProcessState != nil {
		res.ExitCode = cmd.ProcessState.ExitCode()
	}
	// Not the arguments: they may hold passwords.
	r.log().DebugContext(ctx, "ran", "cmd", c.Name, "sub", strings.Join(c.Args[:min(1, len(c.Args))], ""), "status", res.ExitCode, "dur", res.Duration, "bytes", len(res.Stdout))
	switch {
	case cmd.ProcessState == nil:
		return res, &ToolError{Name: c.Name, Err: plain(err)}
	case err == nil, ctx.Err() == nil && exited(err):
		return res, nil
	case ctx.Err() != nil:
		return res, fmt.Errorf("%s: %w", c.Name, context.Cause(ctx))
	}
	return res, fmt.Errorf("%s: %w", c.Name, err)
}

// exited reports whether err tells no more than how the program ended. ErrWaitDelay is
// that too: it did end, and something it left running, such as an ssh that keeps a connection
// for the next, holds on to its output.
func exited(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) || errors.Is(err, exec.ErrWaitDelay)
}

// runGroup runs cmd as the head of a group of its own, and leaves no member of it alive if
// ctx ended. What a program that came to its own end has left running may live on: it is
// meant to (git's credential cache).
func (r *Runner) runGroup(ctx context.Context, cmd *exec.Cmd) error {
	g, err := newGroup(cmd)
	if err != nil {
		return err
	}
	defer g.close()
	cmd.Cancel = func() error { return g.terminate(cmd.Process) }
	if err := cmd.Start(); err != nil {
		return err
	}
	g.started(cmd.Process)
	err = cmd.Wait()
	if ctx.Err() != nil {
		g.finish(r.grace())
	}
	return err
}

// head keeps what is written until there is too much.
type head struct {
	buf  bytes.Buffer
	max  int64
	full func()
}

func (h *head) Write(p []byte) (int, error) {
	if int64(h.buf.Len()+len(p)) > h.max {
		h.full()
		return 0, ErrTooMuchOutput
	}
	return h.buf.Write(p)
}

// stopper writes to w until that fails.
type stopper struct {
	w    io.Writer
	stop context.CancelCauseFunc
}

func (s *stopper) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err != nil {
		s.stop(err)
	}
	return n, err
}

// tail keeps the end of what is written.
type tail struct {
	buf []byte
	max int
}

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - t.max; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}
