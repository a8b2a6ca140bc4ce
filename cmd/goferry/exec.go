package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/server"
)

func (a *app) execCmd() *cobra.Command {
	cmd := a.command("exec -- CMD [ARGS…]", "exec", wantsCommand("error.exec-no-command"), a.loaded(func(cmd *cobra.Command, cfg *config.Config, args []string) (err error) {
		a.exit, err = a.execute(cmd.Context(), cfg, args)
		return err
	}))
	a.settingFlags(cmd.Flags(), false)
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// wantsCommand wants a command line behind the flags; code says that there is none.
func wantsCommand(code string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return misuse(cmd, "", code)
		}
		return nil
	}
}

// execute runs argv with a module proxy of its own on a loopback port, over the user's cache.
// Of the environment GOPROXY alone is changed.
func (a *app) execute(ctx context.Context, cfg *config.Config, argv []string) (code int, err error) {
	level := max(cfg.LogLevel, slog.LevelWarn) // the terminal belongs to the command
	if cfg.Origin("log.level").Kind != config.FromDefault {
		level = cfg.LogLevel
	}
	log := newLogger(a.stderr, cfg, level)
	f, err := a.wire(cfg, log, nil, newTally())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	srv, err := server.Listen(ctx, server.Config{Listen: "127.0.0.1:0", ShutdownTimeout: cfg.ShutdownTimeout, Logger: log})
	if err != nil {
		return 0, listenFault(cfg, err)
	}
	// The proxy lives as long as the command, which is told of signals itself.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	guessed := make(chan error, 1)
	if ahead := a.aheadOf(f, argv); ahead != nil {
		go func() { a.runAhead(serving, ahead); guessed <- nil }()
	} else if guess := f.guess(); guess != nil {
		go func() { guessed <- guess.Run(serving) }()
	} else {
		guessed <- nil
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(serving, a.mux(f, srv.URL())) }()
	kept := make(chan error, 1)
	go func() { kept <- f.store.Run(serving) }()
	code, err = a.runner.Exec(context.WithoutCancel(ctx), gocmd.ExecCmd{
		Argv: argv, Env: []string{"GOPROXY=" + srv.URL()},
		Stdin: a.stdin, Stdout: a.stdout, Stderr: a.stderr,
	})
	stop()
	err = errors.Join(err, <-served, <-kept, <-guessed)
	if missing := noCommand(err); missing != nil {
		return 0, missing
	}
	a.say(f.tally.line(a))
	return code, err
}

// noCommand is the fault of a command that cannot be started; nil if err is something else.
func noCommand(err error) error {
	var te *gocmd.ToolError
	if !errors.As(err, &te) {
		return nil
	}
	hint := "hint.no-command"
	if strings.TrimSuffix(te.Name, ".exe") == "go" {
		hint = "hint.no-go"
	}
	return &fault{code: "error.no-command", args: []any{"Name", te.Name, "Err", te.Err}, hint: hint, exit: 1, err: err}
}
