package gocmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
)

// An ExecCmd is a program to run in the foreground.
type ExecCmd struct {
	Argv   []string  // the program and its arguments
	Env    []string  // KEY=VALUE, over Runner.Env
	Dir    string    // working folder; "" is this process's
	Stdin  io.Reader // pass os.Stdin itself, so that the program gets the terminal; the same
	Stdout io.Writer // goes for these two
	Stderr io.Writer
}

// Exec runs a program in the foreground of the terminal and returns its exit code, which is 128 and the
// number of the signal if one ended it. The error is a *ToolError if the program cannot be started; the cause
// of ctx if the program was stopped because ctx ended, first with SIGTERM, after Runner.Grace for good.
//
// While it runs, signals that would end this process do not. The program stays in our process group, else
// it could not read from the terminal, so whatever the terminal sends (SIGINT for Ctrl-C, SIGQUIT, SIGHUP when
// it closes) reaches it without us. Those three are passed on only where they cannot have come from the
// terminal: when we are not in its foreground group. SIGTERM, which no terminal sends, is always passed on.
// On Windows the console tells everyone, and nothing is passed on.
func (r *Runner) Exec(ctx context.Context, c ExecCmd) (exitCode int, err error) {
	if len(c.Argv) == 0 {
		return -1, &ToolError{Err: errors.New("no command")}
	}
	path, err := r.FindTool(c.Argv[0])
	if err != nil {
		return -1, err
	}
	cmd := exec.CommandContext(ctx, path, c.Argv[1:]...)
	cmd.Args[0] = c.Argv[0]
	cmd.Dir, cmd.Env = c.Dir, r.environ(c.Env, c.Dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	cmd.Cancel = func() error { return askToEnd(cmd.Process) }
	cmd.WaitDelay = r.grace()

	signals := make(chan os.Signal, 8)
	signal.Notify(signals, forwarded...) // before the start: none may fall between
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		if ctx.Err() != nil {
			return -1, fmt.Errorf("%s: %w", c.Argv[0], context.Cause(ctx))
		}
		return -1, &ToolError{Name: c.Argv[0], Err: plain(err)}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case sig := <-signals:
			if !fromTerminal(sig) {
				// An error means that it has just ended.
				_ = cmd.Process.Signal(sig)
			}
		case err := <-ended:
			return ending(ctx, cmd, err)
		}
	}
}

func ending(ctx context.Context, cmd *exec.Cmd, err error) (int, error) {
	code := exitStatus(cmd.ProcessState)
	switch {
	case err == nil, ctx.Err() == nil && exited(err):
		return code, nil
	case ctx.Err() != nil:
		return code, fmt.Errorf("%s: %w", cmd.Args[0], context.Cause(ctx))
	}
	return code, fmt.Errorf("%s: %w", cmd.Args[0], err)
}
