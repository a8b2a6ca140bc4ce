package main

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/toolchain"
)

// sdkListFlags are the flags of goferry sdk list.
type sdkListFlags struct {
	remote, all bool
	os, arch    string
}

func (a *app) sdkListCmd() *cobra.Command {
	var flags sdkListFlags
	cmd := a.sdkSub("list", "list", true, a.noArgs, func(r *sdkRun, _ []string) error {
		if flags.remote || flags.all {
			return r.listRemote(flags)
		}
		return r.list()
	})
	a.jsonFlag(cmd)
	cmd.Flags().BoolVar(&flags.remote, "remote", false, a.p.T("sdk.flag-remote"))
	cmd.Flags().BoolVar(&flags.all, "all", false, a.p.T("sdk.flag-all"))
	cmd.Flags().StringVar(&flags.os, "os", runtime.GOOS, a.p.T("sdk.flag-os"))
	cmd.Flags().StringVar(&flags.arch, "arch", runtime.GOARCH, a.p.T("sdk.flag-arch"))
	return cmd
}

// sdkListReport is what `sdk list --json` prints.
type sdkListReport struct {
	Home      string             `json:"home"`
	Default   string             `json:"default"`           // the version that the link of home leads to; empty for none
	Current   *toolchain.Current `json:"current,omitempty"` // what go means in this folder; absent where it means nothing
	Installed []sdkListed        `json:"installed"`         // by goferry
	Elsewhere []toolchain.Found  `json:"elsewhere"`         // on this machine
	GOROOT    string             `json:"goroot,omitempty"`  // that somebody set; a fault
}

type sdkListed struct {
	toolchain.Record
	Root    string `json:"root"`
	Default bool   `json:"default"`
	Current bool   `json:"current"`
}

// list says what is installed, which is in use, and why.
func (r *sdkRun) list() error {
	recs, err := r.home.Installed()
	if err != nil {
		return sdkHomeFault(r.home, err)
	}
	g := r.askGo()
	rep := sdkListReport{Home: r.home.Dir, Installed: []sdkListed{}, Elsewhere: []toolchain.Found{}}
	cur, curErr := r.current(g)
	if curErr == nil {
		rep.Current = &cur
	}
	def, isDef := r.home.InUse()
	if isDef {
		rep.Default = string(def.Version)
	}
	for _, rec := range recs {
		in := sdkListed{Record: rec, Root: r.home.Root(rec.Target), Default: isDef && rec.Target == def}
		at, ok := r.home.TargetAt(cur.Root)
		in.Current = curErr == nil && ok && at == rec.Target
		rep.Installed = append(rep.Installed, in)
	}
	for _, found := range r.finder(g.env["GOMODCACHE"]).Find() {
		if found.Owner != toolchain.ByGoferry {
			rep.Elsewhere = append(rep.Elsewhere, found)
		}
	}
	rep.GOROOT, _ = r.gorootOf(g)
	if asJSON(r.cmd) {
		return r.json(rep)
	}
	r.showList(rep)
	r.warnGoroot(g)
	return nil
}

func (r *sdkRun) showList(rep sdkListReport) {
	var rows [][]string
	for _, in := range rep.Installed {
		rows = append(rows, []string{sdkMark(in.Current), sdkName(in.Target), in.Root, r.notes(in)})
	}
	for _, found := range rep.Elsewhere {
		name := found.Name
		if found.Version != "" {
			name = sdkName(found.Target)
		}
		rows = append(rows, []string{sdkMark(rep.Current != nil && rep.Current.Root == found.Root), name, found.Root, r.owner(found.Owner)})
	}
	if len(rows) > 0 {
		printColumns(r.stdout, rows)
		fmt.Fprintln(r.stdout)
	}
	fmt.Fprintln(r.stdout, r.whyLine(rep.Current))
	if len(rep.Installed) == 0 {
		r.hint(r.p.T("sdk.hint.first"))
	}
}

func sdkMark(current bool) string {
	if current {
		return "*"
	}
	return " "
}

// notes says what is remarkable about an installed toolchain.
func (r *sdkRun) notes(in sdkListed) string {
	var notes []string
	if in.Default {
		notes = append(notes, r.p.T("sdk.list.default"))
	}
	if len(in.Proofs) == 0 {
		notes = append(notes, r.p.T("sdk.list.no-record"))
	}
	return strings.Join(notes, "; ")
}

// owner says whose a toolchain is.
func (r *sdkRun) owner(o toolchain.Owner) string {
	switch o {
	case toolchain.ByModCache, toolchain.BySystem:
		return r.p.T("sdk.owner." + string(o))
	case toolchain.ByPath:
		return r.p.T("sdk.list.owner", "Owner", "PATH")
	}
	return r.p.T("sdk.list.owner", "Owner", o)
}

// whyLine says what go means in this folder, and why; nil is nothing.
func (r *sdkRun) whyLine(cur *toolchain.Current) string {
	if cur == nil {
		return r.p.T("sdk.current.none")
	}
	args := []any{"Name", cur.Name, "First", cur.First, "File", cur.File, "Setting", cur.Setting, "Program", cur.Program}
	line := r.p.T("sdk.current.why-"+string(cur.Why), args...)
	switch {
	case cur.Program != "":
	case cur.Download:
		line += r.p.T("sdk.current.download")
	default:
		line += r.p.T("sdk.current.absent")
	}
	return line
}

// sdkRemoteReport is what `sdk list --remote --json` prints.
type sdkRemoteReport struct {
	OS       string       `json:"os"`
	Arch     string       `json:"arch"`
	Releases []sdkRelease `json:"releases"` // newest first
	Troubles []sdkTrouble `json:"troubles"` // lists that did not come
}

type sdkRelease struct {
	toolchain.Release
	Installed bool `json:"installed"`
}

// listRemote says what can be had.
func (r *sdkRun) listRemote(flags sdkListFlags) error {
	return r.ferried(func(f *sdkFerry, show *sdkShow) error {
		rep, troubles, err := r.remote(f, show, flags)
		show.end()
		switch {
		case err != nil:
			return err
		case asJSON(r.cmd):
			return r.json(rep)
		}
		for _, t := range troubles {
			if f.own(t.Place) && !sdkLate(t) {
				r.say(r.p.T("sdk.list.trouble", "Place", t.Place, "Why", r.troubleText(t.Err)))
			}
		}
		if len(rep.Releases) == 0 {
			return &fault{code: "sdk.error.platform", args: []any{"Platform", rep.OS + "-" + rep.Arch}, hint: "sdk.hint.platform", exit: 10}
		}
		r.showReleases(rep.Releases)
		return nil
	})
}

// remote asks what can be had.
func (r *sdkRun) remote(f *sdkFerry, show *sdkShow, flags sdkListFlags) (sdkRemoteReport, []toolchain.Trouble, error) {
	rep := sdkRemoteReport{OS: strings.ToLower(flags.os), Arch: strings.ToLower(flags.arch), Releases: []sdkRelease{}, Troubles: []sdkTrouble{}}
	lister := f.lister(rep.OS, rep.Arch)
	show.listing()
	releases, troubles, err := lister.List(r.ctx(), flags.all)
	if err != nil {
		return rep, nil, r.listFault(err)
	}
	if flags.all { // the short list is filled already
		if err := lister.Fill(r.ctx(), releases); err != nil {
			return rep, nil, err
		}
	}
	for _, rel := range releases {
		rep.Releases = append(rep.Releases, sdkRelease{rel, r.home.Has(rel.Target)})
	}
	for _, t := range troubles {
		rep.Troubles = append(rep.Troubles, troubleOf(t))
	}
	return rep, troubles, nil
}

// own reports whether the user named a place: that one of the others does not answer is no news where lists came.
func (f *sdkFerry) own(place string) bool {
	return slices.ContainsFunc(f.places, func(p toolchain.Place) bool { return p.Own && p.Name == place })
}

// sdkLate reports whether a place was just not waited for any longer.
func sdkLate(t toolchain.Trouble) bool {
	var pe *toolchain.PlaceError
	return errors.As(t.Err, &pe) && pe.Fault == toolchain.FaultSlow
}

func (r *sdkRun) showReleases(releases []sdkRelease) {
	var rows [][]string
	for _, rel := range releases {
		size, day := "", ""
		if rel.Size > 0 {
			size = human(rel.Size)
		}
		if !rel.Time.IsZero() {
			day = rel.Time.Format("2006-01-02")
		}
		rows = append(rows, []string{string(rel.Version), orNothing(size), orNothing(day), r.releaseNotes(rel)})
	}
	if !slices.ContainsFunc(rows, func(row []string) bool { return row[1] != nothing || row[2] != nothing }) {
		for i, row := range rows { // nobody gave a size or a date
			rows[i] = []string{row[0], row[3]}
		}
		printColumns(r.stdout, rows)
		return
	}
	printColumns(r.stdout, rows, 1)
}

// releaseNotes says what one should know before taking a release.
func (r *sdkRun) releaseNotes(rel sdkRelease) string {
	var notes []string
	switch {
	case !rel.Stable && rel.Superseded == "":
		notes = append(notes, r.p.T("sdk.release.preview"))
	case !rel.Stable:
		notes = append(notes, r.p.T("sdk.release.old-preview"))
	case !rel.Supported:
		notes = append(notes, r.p.T("sdk.release.unsupported"))
	}
	if rel.Superseded != "" {
		notes = append(notes, r.p.T("sdk.release.superseded", "Version", rel.Superseded.Number()))
	}
	if rel.Installed {
		notes = append(notes, r.p.T("sdk.release.installed"))
	}
	return strings.Join(notes, "; ")
}
