package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/prefetch"
)

func (a *app) execCmd() *cobra.Command {
	cmd := a.command("exec -- CMD [ARGS…]", "exec", wantsCommand("error.exec-no-command"), func(cmd *cobra.Command, args []string) error {
		a.fromBundles = true
		cfg, err := a.load(cmd)
		if err != nil {
			return err
		}
		a.exit, err = a.execute(cmd.Context(), cfg, args)
		return err
	})
	a.settingFlags(cmd.Flags(), false)
	a.settingFlag(cmd.Flags(), "bundle")
	a.settingFlag(cmd.Flags(), "bundle.trust")
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

// execute runs argv with a module proxy of its own. Of the environment GOPROXY alone is changed.
func (a *app) execute(ctx context.Context, cfg *config.Config, argv []string) (code int, err error) {
	log := newLogger(a.stderr, cfg, terminalLevel(cfg))
	tally := newTally()
	var ahead *projectAhead
	var guess *prefetch.Server
	setUp := func(f *ferry) {
		if ahead = a.aheadOf(f, argv); ahead == nil {
			guess = f.guess()
		}
	}
	err = a.proxied(ctx, cfg, log, tally, setUp, func(serving context.Context, f *ferry, url string) error {
		serving, stop := context.WithCancel(serving)
		guessed := make(chan error, 1)
		switch {
		case ahead != nil:
			go func() { a.runAhead(serving, ahead); guessed <- nil }()
		case guess != nil:
			go func() { guessed <- guess.Run(serving) }()
		default:
			guessed <- nil
		}
		var err error
		code, err = a.runner.Exec(context.WithoutCancel(ctx), gocmd.ExecCmd{
			Argv: argv, Env: []string{"GOPROXY=" + url},
			Stdin: a.stdin, Stdout: a.stdout, Stderr: a.stderr,
		})
		stop()
		return errors.Join(err, <-guessed)
	})
	if missing := noCommand(err); missing != nil {
		return 0, missing
	}
	if code != 0 || err == nil {
		a.say(tally.line(a))
	}
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
