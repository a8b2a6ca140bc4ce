package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/cgo"
	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/text"
)

func (a *app) cgoCheckCmd() *cobra.Command {
	var o cgo.CheckOptions
	var targets []string
	cmd := a.command("check [DIR]", "cgocheck", a.perhapsOneArg, a.loaded(func(cmd *cobra.Command, cfg *config.Config, args []string) (err error) {
		if o.Dir, err = folderArg(args); err != nil {
			return err
		}
		if o.Targets, err = ccTargets(targets); err != nil {
			return targetFault(err)
		}
		return a.cgoCheck(cmd, cfg, o)
	}))
	a.settingFlags(cmd.Flags(), false)
	a.jsonFlag(cmd)
	fs := cmd.Flags()
	fs.StringSliceVar(&targets, "target", nil, a.p.T("cgocheck.flag-target"))
	fs.StringSliceVar(&o.Packages, "package", nil, a.p.T("cgocheck.flag-package"))
	fs.StringSliceVar(&o.Tags, "tags", nil, a.p.T("cgocheck.flag-tags"))
	fs.BoolVar(&o.Build, "build", false, a.p.T("cgocheck.flag-build"))
	return cmd
}

// cgoCheck checks the project and tells what it found. It ends with 3 where a target that was asked for, or else this
// machine, cannot be built for as a whole.
func (a *app) cgoCheck(cmd *cobra.Command, cfg *config.Config, o cgo.CheckOptions) error {
	ctx := cmd.Context()
	show := &checkShow{start: time.Now()}
	c := &cgo.Checker{Runner: a.runner, Finder: a.ccFinder(cfg), Release: osRelease()}
	var rep cgo.CheckReport
	err := a.proxied(ctx, cfg, newLogger(a.stderr, cfg, quietLevel(cfg)), nil, nil, func(_ context.Context, _ *ferry, url string) (err error) {
		d := a.show(show, nil)
		defer d.end()
		c.Progress = func(done, total int, target string) {
			d.mu.Lock()
			defer d.mu.Unlock()
			show.done, show.of, show.target = done, total, target
		}
		c.Env = []string{"GOPROXY=" + url}
		rep, err = c.Check(ctx, o)
		return err
	})
	if err != nil {
		return cgoCheckFault(o.Dir, err)
	}
	for i, t := range rep.Targets {
		if (len(o.Targets) > 0 || i == 0) && (t.Now == cgo.NowNot || t.Now == cgo.NowPartly) {
			a.exit = 3
		}
	}
	if asJSON(cmd) {
		return a.json(rep)
	}
	return a.cgoChecked(rep)
}

// cgoCheckFault says what went wrong in words.
func cgoCheckFault(dir string, err error) error {
	var ge *gocmd.GoError
	var te *gocmd.ToolError
	switch {
	case errors.Is(err, gocmd.ErrNoModule):
		return &fault{code: "fetch.error.no-project", args: []any{"Dir", dir}, hint: "cgocheck.hint.no-project", exit: 2, err: err}
	case errors.Is(err, cgo.ErrNoPackages):
		return &fault{code: "cgocheck.error.no-packages", args: []any{"Dir", dir}, hint: "cgocheck.hint.no-project", exit: 2, err: err}
	case errors.As(err, &ge):
		return &fault{code: "cgocheck.error.go", args: []any{"Err", errLine(ge)}, hint: "cgocheck.hint.go", exit: 1, err: err}
	case errors.As(err, &te):
		return noCommand(err)
	}
	return err
}

// checkShow is how far a check is.
type checkShow struct {
	start    time.Time
	done, of int
	target   string
}

func (s *checkShow) status(p *text.Printer, now time.Time) string {
	if s.of == 0 {
		return ""
	}
	return p.T("cgocheck.status", "Done", s.done, "Count", s.of, "Target", s.target, "Time", clock(now.Sub(s.start)))
}

func (s *checkShow) total(p *text.Printer, width int, now time.Time) string {
	line := s.status(p, now)
	if s.of > 0 {
		line = withBar(line, float64(s.done)/float64(s.of), width, 30)
	}
	return clip(line, width-1)
}
