package main

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/toolchain"
)

// sdkInstallFlags are the flags of goferry sdk install.
type sdkInstallFlags struct {
	os, arch string
	force    bool
}

func (a *app) sdkInstallCmd() *cobra.Command {
	var flags sdkInstallFlags
	cmd := a.sdkSub("install VERSION…", "install", true, a.someArgs, func(r *sdkRun, args []string) error {
		return r.install(args, flags)
	})
	a.jsonFlag(cmd)
	cmd.Flags().StringVar(&flags.os, "os", runtime.GOOS, a.p.T("sdk.flag-os"))
	cmd.Flags().StringVar(&flags.arch, "arch", runtime.GOARCH, a.p.T("sdk.flag-arch"))
	cmd.Flags().BoolVar(&flags.force, "force", false, a.p.T("sdk.flag-force-install"))
	return cmd
}

// someArgs wants at least one argument.
func (a *app) someArgs(cmd *cobra.Command, args []string) error {
	return a.argCount(cmd, args, 1, len(args))
}

// An sdkInstalled is what `sdk install --json` and `sdk import --json` print of each toolchain.
type sdkInstalled struct {
	toolchain.Record
	Root     string             `json:"root"`
	There    bool               `json:"there"`   // it was installed already
	Default  bool               `json:"default"` // the link to the default leads to it
	Resumed  int64              `json:"resumed"` // bytes that an earlier run had brought
	Changes  []toolchain.Change `json:"changes,omitempty"`
	Troubles []sdkTrouble       `json:"troubles,omitempty"`
}

// install installs what args ask for, one after the other.
func (r *sdkRun) install(args []string, flags sdkInstallFlags) error {
	return r.ferried(func(f *sdkFerry, show *sdkShow) error {
		inst := r.installer(f, show)
		inst.Force = flags.force
		list, failed := []sdkInstalled{}, error(nil)
		for _, query := range args {
			in, err := r.installOne(f, inst, show, query, flags)
			if failed = err; err != nil {
				break // what came before it is installed, and shall be usable
			}
			list = append(list, in)
		}
		show.end()
		if len(list) == 0 {
			return failed
		}
		if err := r.settle(list); err != nil {
			return errors.Join(failed, err)
		}
		if asJSON(r.cmd) {
			return errors.Join(failed, r.json(list))
		}
		return errors.Join(failed, r.showInstalled(list))
	})
}

// installOne installs what one argument asks for.
func (r *sdkRun) installOne(f *sdkFerry, inst *toolchain.Installer, show *sdkShow, query string, flags sdkInstallFlags) (sdkInstalled, error) {
	t, err := r.choose(f, show, query, flags)
	if err != nil {
		return sdkInstalled{}, err
	}
	show.begin()
	rec, there, err := inst.Install(r.ctx(), t)
	if err != nil {
		if r.ctx().Err() != nil && show.arrived() > 0 {
			show.end()
			r.say(r.p.T("sdk.interrupted", "Name", sdkName(t), "Bytes", human(show.arrived())))
		}
		return sdkInstalled{}, cmp.Or(r.notListed(f, show, query, t, err), r.sdkFault(t, err))
	}
	return sdkInstalled{Record: rec, Root: r.home.Root(t), There: there, Resumed: show.resumed(), Troubles: show.takeTroubles()}, nil
}

// notListed is the fault of a release that does not exist, where err only says that its proof could not be found
// out: the checksum database is not always asked about what there is not. It is nil where the lists have t, or do not come.
func (r *sdkRun) notListed(f *sdkFerry, show *sdkShow, query string, t toolchain.Target, err error) error {
	if r.cfg.Offline || r.ctx().Err() != nil || goproxy.Absent(err) || !errors.Is(err, goproxy.ErrUnavailable) {
		return nil
	}
	show.listing()
	releases, _, lerr := f.lister(t.OS, t.Arch).List(r.ctx(), true)
	switch {
	case lerr != nil:
		return nil
	case len(releases) == 0:
		return &fault{code: "sdk.error.platform", args: []any{"Platform", t.Platform()}, hint: "sdk.hint.platform", exit: 10, err: err}
	}
	_, cerr := toolchain.Choose(string(t.Version), toolchain.Versions(releases), nil)
	var ce *toolchain.ChoiceError
	if !errors.As(cerr, &ce) || !errors.Is(cerr, toolchain.ErrNotListed) {
		return nil
	}
	ce.Query = query
	return sdkChoiceFault(ce)
}

// settle makes the links of what was installed. The first toolchain of this system becomes the default.
func (r *sdkRun) settle(list []sdkInstalled) error {
	if err := r.link(); err != nil {
		return err
	}
	for i := range list {
		t := list[i].Target
		if _, ok := r.home.InUse(); !ok && t == toolchain.Here(t.Version) {
			err := r.home.Use(t)
			if errors.Is(err, toolchain.ErrInTheWay) {
				r.say(r.p.T("sdk.warn.link", "Err", errLine(err)))
			} else if err != nil {
				return sdkHomeFault(r.home, err)
			}
		}
	}
	in, ok := r.home.InUse()
	for i := range list {
		list[i].Default = ok && list[i].Target == in
	}
	return nil
}

// showInstalled prints what was installed, how it was proved, and what to do next.
func (r *sdkRun) showInstalled(list []sdkInstalled) error {
	isDefault := false
	for _, in := range list {
		if in.There {
			fmt.Fprintln(r.stdout, r.p.T("sdk.install.there", "Name", sdkName(in.Target), "Root", in.Root))
		} else {
			fmt.Fprintln(r.stdout, r.p.T("sdk.install.done", "Name", sdkName(in.Target), "Root", in.Root))
			fmt.Fprintln(r.stdout, "  "+r.p.T("sdk.install.from", "File", in.File, "Source", in.Source, "Bytes", human(in.FileBytes)))
			if in.Resumed > 0 {
				fmt.Fprintln(r.stdout, "  "+r.p.T("sdk.install.resumed", "Bytes", human(in.Resumed)))
			}
		}
		r.printProofs(in.Proofs)
		if in.Default {
			isDefault = true
			fmt.Fprintln(r.stdout, "  "+r.p.T("sdk.install.default", "Link", r.home.Default()))
		}
	}
	r.warnGoroot(r.askGo())
	if isDefault {
		r.onPath()
	}
	return nil
}

// choose says which toolchain a query means. The lists of releases are only asked for where the query needs them.
func (r *sdkRun) choose(f *sdkFerry, show *sdkShow, query string, flags sdkInstallFlags) (toolchain.Target, error) {
	target := func(v toolchain.Version) toolchain.Target {
		return toolchain.Target{Version: v, OS: strings.ToLower(flags.os), Arch: strings.ToLower(flags.arch)}
	}
	goMod, err := r.goMod(query)
	if err != nil {
		return toolchain.Target{}, err
	}
	v, err := toolchain.Choose(query, nil, goMod)
	if err == nil {
		return target(v), nil
	}
	var ce *toolchain.ChoiceError
	if errors.As(err, &ce) && !errors.Is(err, toolchain.ErrNotListed) && !errors.Is(err, toolchain.ErrNoCandidate) {
		return toolchain.Target{}, sdkChoiceFault(ce)
	}
	none := target("")
	show.listing()
	releases, _, err := f.lister(none.OS, none.Arch).List(r.ctx(), true)
	if err != nil {
		return toolchain.Target{}, r.listFault(err)
	}
	v, err = toolchain.Choose(query, toolchain.Versions(releases), goMod)
	if errors.As(err, &ce) {
		if len(releases) == 0 {
			return toolchain.Target{}, &fault{code: "sdk.error.platform", args: []any{"Platform", none.Platform()}, hint: "sdk.hint.platform", exit: 10, err: err}
		}
		return toolchain.Target{}, sdkChoiceFault(ce)
	}
	return target(v), err
}

// listFault says that no list of releases came.
func (r *sdkRun) listFault(err error) error {
	var le *toolchain.ListError
	if r.ctx().Err() != nil || !errors.As(err, &le) {
		return err
	}
	var why []string
	for _, t := range le.Troubles {
		why = append(why, t.Place+": "+r.troubleText(t.Err))
	}
	args := []any{"Why", strings.Join(why, "; ")}
	if len(why) == 0 {
		return &fault{code: "sdk.error.no-places", hint: "sdk.hint.places", exit: 12, err: err}
	}
	return &fault{code: "sdk.error.no-list", args: args, hint: "sdk.hint.places", exit: 12, err: err}
}
