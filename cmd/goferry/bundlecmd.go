package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/goferry/goferry/internal/bundle"
	"github.com/goferry/goferry/internal/goproxy"
)

func (a *app) bundleCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "bundle COMMAND",
		Short:   a.p.T("bundle.short"),
		Long:    a.p.T("bundle.long"),
		Example: a.example("bundle.example"),
		Args:    a.noCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		a.bundleCreateCmd(), a.bundleInspectCmd(), a.bundleVerifyCmd(), a.bundleDiffCmd(), a.bundleImportCmd(), a.bundleEnvCmd(), a.bundleKeygenCmd(),
	)
	return cmd
}

// bundleFault says in words what is the matter with a bundle or a key.
func (a *app) bundleFault(err error) error {
	var be *bundle.Error
	if !errors.As(err, &be) {
		return err
	}
	code := "bundle.error." + string(be.Code)
	if !a.p.Has(code) {
		return err
	}
	reason := ""
	if be.Err != nil {
		reason = errLine(plain(be.Err))
	}
	if be.Damage != nil {
		reason = a.damageText("bundle.damage-place", *be.Damage)
	}
	f := &fault{code: code, args: []any{"File", be.File, "Detail", be.Detail, "Err", reason}, exit: goproxy.ExitCode(err), err: err}
	if hint := "bundle.hint." + string(be.Code); a.p.Has(hint) {
		f.hint = hint
	}
	return f
}

// keyPassword gets the password of a key: from the environment, or from the person at the terminal.
func (a *app) keyPassword(file string) func() (string, error) {
	return func() (string, error) {
		if p := a.env("GOFERRY_KEY_PASSWORD"); p != "" {
			return p, nil
		}
		f, ok := a.stdin.(*os.File)
		if !ok || !term.IsTerminal(int(f.Fd())) {
			return "", &fault{code: "bundle.error.no-password", args: []any{"File", file}, hint: "bundle.hint.no-password", exit: 11}
		}
		fmt.Fprint(a.stderr, "goferry: "+a.p.T("bundle.ask-password", "File", file)+" ")
		p, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(a.stderr)
		return string(p), err
	}
}
