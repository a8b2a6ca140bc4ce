package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/toolchain"
)

func (a *app) sdkImportCmd() *cobra.Command {
	var all bool
	cmd := a.sdkSub("import [DIR | VERSION…]", "import", true, cobra.ArbitraryArgs, func(r *sdkRun, args []string) error {
		return r.imports(args, all)
	})
	a.jsonFlag(cmd)
	cmd.Flags().BoolVar(&all, "all", false, a.p.T("sdk.flag-import-all"))
	return cmd
}

// imports takes toolchains over; without arguments it says which there are.
func (r *sdkRun) imports(args []string, all bool) error {
	g := r.askGo()
	found := slices.DeleteFunc(r.finder(g.env["GOMODCACHE"]).Find(), func(f toolchain.Found) bool {
		return f.Owner == toolchain.ByGoferry || f.Version == ""
	})
	var roots []string
	for _, arg := range args {
		if isDir(arg) {
			roots = append(roots, arg)
			continue
		}
		root, err := importable(found, arg)
		if err != nil {
			return err
		}
		roots = append(roots, root)
	}
	if all {
		for _, f := range found {
			if !r.home.Has(f.Target) {
				roots = append(roots, f.Root)
			}
		}
	}
	if len(args) == 0 && !all {
		return r.showImportable(found)
	}
	return r.importAll(roots, len(args) == 0)
}

// importable is the root of the found toolchain that a version names.
func importable(found []toolchain.Found, arg string) (string, error) {
	var known []toolchain.Version
	for _, f := range found {
		known = append(known, f.Version)
	}
	v, err := toolchain.Choose(arg, known, nil)
	if err == nil {
		for _, f := range found {
			if f.Version == v {
				return f.Root, nil
			}
		}
	}
	var ce *toolchain.ChoiceError
	if errors.As(err, &ce) && !errors.Is(err, toolchain.ErrNotListed) && !errors.Is(err, toolchain.ErrNoCandidate) {
		return "", &fault{code: "sdk.error.import-what", args: []any{"Arg", arg}, hint: "sdk.hint.import", exit: 2, err: err}
	}
	return "", &fault{code: "sdk.error.import-none", args: []any{"Arg", arg, "Known", sdkVersions(known)}, hint: "sdk.hint.import", exit: 10, err: err}
}

// showImportable lists what could be taken over.
func (r *sdkRun) showImportable(found []toolchain.Found) error {
	if asJSON(r.cmd) {
		return r.json(append([]toolchain.Found{}, found...))
	}
	var rows [][]string
	for _, f := range found {
		note := ""
		if r.home.Has(f.Target) {
			note = r.p.T("sdk.release.installed")
		}
		rows = append(rows, []string{sdkName(f.Target), f.Root, r.owner(f.Owner), note})
	}
	printColumns(r.stdout, rows)
	if len(found) == 0 {
		fmt.Fprintln(r.stdout, r.p.T("sdk.import.none"))
		return nil
	}
	r.hint(r.p.T("sdk.hint.import"))
	return nil
}

// importAll takes over the toolchains at roots. With goOn one that cannot be proved does not end it.
func (r *sdkRun) importAll(roots []string, goOn bool) error {
	return r.ferried(func(f *sdkFerry, show *sdkShow) error {
		im := &toolchain.Importer{Home: r.home, Verifier: r.verifier(f, show), Progress: show.progress}
		list := []sdkInstalled{}
		for _, root := range roots {
			show.begin()
			got, err := im.Import(r.ctx(), root)
			switch {
			case err == nil:
				list = append(list, sdkInstalled{Record: got.Record, Root: r.home.Root(got.Target), There: got.There, Changes: got.Changes, Troubles: show.takeTroubles()})
				continue
			case errors.Is(err, toolchain.ErrTree):
				err = &fault{code: "sdk.error.no-toolchain", args: []any{"Root", root, "Err", errLine(err)}, hint: "sdk.hint.no-toolchain", exit: 2, err: err}
			default:
				found, _ := toolchain.Identify(root) // it was one a moment ago
				err = r.sdkFault(found.Target, err)
			}
			if !goOn || r.ctx().Err() != nil {
				return err
			}
			show.say(r.p.T("sdk.import.left", "Root", root, "Err", r.faultText(err)))
			r.exit = 3
		}
		show.end()
		if err := r.settle(list); err != nil {
			return err
		}
		if asJSON(r.cmd) {
			return r.json(list)
		}
		r.showImported(list)
		return nil
	})
}

// showImported prints what was taken over, how it was proved, and what had to be put right.
func (r *sdkRun) showImported(list []sdkInstalled) {
	for _, in := range list {
		if in.There {
			fmt.Fprintln(r.stdout, r.p.T("sdk.install.there", "Name", sdkName(in.Target), "Root", in.Root))
			continue
		}
		fmt.Fprintln(r.stdout, r.p.T("sdk.import.done", "Name", sdkName(in.Target), "From", in.Source, "Root", in.Root))
		r.printProofs(in.Proofs)
		if len(in.Changes) > 0 {
			fmt.Fprintln(r.stdout, "  "+r.p.T("sdk.import.changes", "Count", len(in.Changes)))
			r.showChanges(in.Changes)
		}
		if in.Default {
			fmt.Fprintln(r.stdout, "  "+r.p.T("sdk.install.default", "Link", r.home.Default()))
		}
	}
}

// faultText is the line that report would print for err.
func (a *app) faultText(err error) string {
	var f *fault
	if errors.As(err, &f) {
		return a.p.T(f.code, f.args...)
	}
	return errLine(err)
}
