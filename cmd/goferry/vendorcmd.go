package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/vendoring"
)

func (a *app) vendorCmd() *cobra.Command {
	var noCheck bool
	cmd := a.command("vendor [DIR]", "vendor", a.perhapsOneArg, a.loaded(func(cmd *cobra.Command, cfg *config.Config, args []string) error {
		dir, err := folderArg(args)
		if err != nil {
			return err
		}
		return a.vendor(cmd, cfg, vendoring.Vendor{Runner: a.runner, Dir: dir, Check: !noCheck})
	}))
	a.settingFlags(cmd.Flags(), false)
	a.jsonFlag(cmd)
	cmd.Flags().BoolVar(&noCheck, "no-check", false, a.p.T("vendor.flag-no-check"))
	return cmd
}

// folderArg is the folder that a command is about: this one, unless an argument names another.
func folderArg(args []string) (string, error) {
	if len(args) == 0 {
		return ".", nil
	}
	if !isDir(args[0]) {
		return "", &fault{code: "error.no-dir", args: []any{"Dir", args[0]}, hint: "hint.usage", exit: 2}
	}
	return args[0], nil
}

// vendor makes the folder, with a module proxy of its own for what is to be fetched.
func (a *app) vendor(cmd *cobra.Command, cfg *config.Config, v vendoring.Vendor) error {
	ctx := cmd.Context()
	var res vendoring.Result
	err := a.proxied(ctx, cfg, newLogger(a.stderr, cfg, quietLevel(cfg)), nil, nil, func(_ context.Context, _ *ferry, url string) (err error) {
		v.Env = []string{"GOPROXY=" + url}
		res, err = v.Run(ctx)
		return err
	})
	if err != nil {
		return vendorFault(v.Dir, err)
	}
	if asJSON(cmd) {
		return a.json(res)
	}
	return a.vendored(res)
}

// vendorFault says what went wrong in words; the old folder is as it was.
func vendorFault(dir string, err error) error {
	var ge *vendoring.GoError
	var te *gocmd.ToolError
	switch {
	case errors.Is(err, gocmd.ErrNoModule):
		return &fault{code: "fetch.error.no-project", args: []any{"Dir", dir}, hint: "vendor.hint.no-project", exit: 2, err: err}
	case errors.Is(err, vendoring.ErrBusy):
		return &fault{code: "vendor.error.busy", args: []any{"Dir", dir}, hint: "vendor.hint.busy", exit: 1, err: err}
	case errors.As(err, &ge) && len(ge.Args) > 1 && ge.Args[1] == "-mod=vendor":
		return &fault{code: "vendor.error.check", args: []any{"Err", errLine(ge)}, hint: "vendor.hint.check", exit: 1, err: err}
	case errors.As(err, &ge):
		return &fault{code: "vendor.error.go", args: []any{"Err", errLine(ge)}, hint: "vendor.hint.go", exit: 1, err: err}
	case errors.As(err, &te):
		return noCommand(err)
	}
	return err
}

// vendored says what was made and added.
func (a *app) vendored(res vendoring.Result) error {
	if res.Packages == 0 {
		_, err := fmt.Fprintln(a.stdout, a.p.T("vendor.nothing"))
		return err
	}
	files, size := 0, int64(0)
	for _, add := range res.Added {
		files, size = files+len(add.Files), size+add.Bytes
		name := add.Module
		if add.Version != "" {
			name += "@" + add.Version
		}
		fmt.Fprintln(a.stdout, a.p.T("vendor.added", "Dir", strings.TrimSuffix(name+"/"+add.Dir, "/."), "Count", len(add.Files), "Bytes", human(add.Bytes), "Package", add.For))
	}
	fmt.Fprintln(a.stdout, a.p.T("vendor.report", "Dir", res.Dir, "Modules", res.Modules, "Packages", res.Packages))
	if files > 0 {
		fmt.Fprintln(a.stdout, a.p.T("vendor.added-all", "Count", files, "Bytes", human(size)))
	} else {
		fmt.Fprintln(a.stdout, a.p.T("vendor.added-none"))
	}
	switch {
	case res.Checked && !res.CGO:
		a.say(a.p.T("vendor.no-cgo"))
	case res.Checked:
		fmt.Fprintln(a.stdout, a.p.T("vendor.checked"))
	default:
		a.say(a.p.T("vendor.unchecked"))
	}
	return nil
}
