package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/goferry/goferry/internal/config"
)

// misuse is the fault of a command line that makes no sense. near is what was probably
// meant; without it the hint leads to the help of cmd.
func misuse(cmd *cobra.Command, near, code string, args ...any) error {
	args = append(args, "Cmd", cmd.CommandPath(), "Near", near)
	if near != "" {
		return &fault{code: code, args: args, hint: "hint.did-you-mean", exit: 2}
	}
	return &fault{code: code, args: args, hint: "hint.usage", exit: 2}
}

// noArgs refuses arguments.
func (a *app) noArgs(cmd *cobra.Command, args []string) error {
	return a.argCount(cmd, args, 0, 0)
}

// oneArg wants the one argument that cmd names in its use line.
func (a *app) oneArg(cmd *cobra.Command, args []string) error {
	return a.argCount(cmd, args, 1, 1)
}

// perhapsOneArg wants at most one argument.
func (a *app) perhapsOneArg(cmd *cobra.Command, args []string) error {
	return a.argCount(cmd, args, 0, 1)
}

func (a *app) argCount(cmd *cobra.Command, args []string, least, most int) error {
	switch {
	case len(args) < least:
		return misuse(cmd, "", "error.arg-missing", "What", strings.TrimPrefix(cmd.Use, cmd.Name()+" "))
	case len(args) > most:
		return misuse(cmd, "", "error.arg-extra", "Arg", args[most])
	}
	return nil
}

// noCommand refuses a command that cmd does not have.
func (a *app) noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	near := config.Near(args[0], names)
	if near != "" {
		near = cmd.CommandPath() + " " + near
	}
	return misuse(cmd, near, "error.unknown-command", "Name", args[0])
}

// flagFault says what pflag does not like, in the language of the user.
func (a *app) flagFault(cmd *cobra.Command, err error) error {
	var (
		unknown *pflag.NotExistError
		missing *pflag.ValueRequiredError
		invalid *pflag.InvalidValueError
	)
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		return misuse(cmd, "", "error.unknown-flag", "Name", "-"+unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		near := config.Near(unknown.GetSpecifiedName(), flagNames(cmd))
		if near != "" {
			near = "--" + near
		}
		return misuse(cmd, near, "error.unknown-flag", "Name", "--"+unknown.GetSpecifiedName())
	case errors.As(err, &missing):
		return misuse(cmd, "", "error.flag-value", "Name", "--"+missing.GetFlag().Name)
	case errors.As(err, &invalid):
		return misuse(cmd, "", "error.flag-bad", "Name", "--"+invalid.GetFlag().Name, "Value", invalid.GetValue())
	}
	return misuse(cmd, "", "error.usage", "Err", err.Error())
}

func flagNames(cmd *cobra.Command) []string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}
