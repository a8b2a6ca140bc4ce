package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/goferry/goferry/internal/bundle"
	"github.com/goferry/goferry/internal/goproxy"
)

func (a *app) bundleInspectCmd() *cobra.Command {
	cmd := a.bundleSub("inspect FILE", "inspect", a.oneArg, func(cmd *cobra.Command, args []string) (err error) {
		b, err := a.openBundle(args[0], nil, bundle.OpenDamaged)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.Close()) }()
		r := reportOf(b)
		if asJSON(cmd) {
			return a.json(r)
		}
		return a.showInspected(b, r)
	})
	a.jsonFlag(cmd)
	return cmd
}

// bundleReport is what `bundle inspect --json` prints.
type bundleReport struct {
	File     string           `json:"file"`
	Files    []string         `json:"files"` // the bundle itself, or its parts
	Bytes    int64            `json:"bytes"`
	ID       string           `json:"id"`
	Time     time.Time        `json:"time"`
	Level    bundle.Level     `json:"level"`
	Targets  []string         `json:"targets"`
	Base     *bundle.Base     `json:"base,omitempty"`
	Signer   string           `json:"signer,omitempty"` // what it says; bundle verify checks
	Projects []bundle.Project `json:"projects"`
	Tools    bundle.Tools     `json:"tools"`
	SDKs     []string         `json:"sdks"` // go1.26.8.linux-amd64
	Vuln     bool             `json:"vuln"` // govulncheck's database
	CC       []bundledCC      `json:"cc"`   // C compilers
	Sumdb    []bundledSumdb   `json:"sumdb"`
	Modules  []bundledModule  `json:"modules"`
}

type bundledSumdb struct {
	Name    string `json:"name"`
	Records int64  `json:"records"` // of the tree that its head signs
	Lookups int    `json:"lookups"`
}

type bundledModule struct {
	bundle.Module
	Bytes int64 `json:"bytes"` // of all its files
}

// reportOf says what is in a bundle.
func reportOf(b *openBundle) bundleReport {
	m := b.Manifest()
	r := bundleReport{
		File: b.Name(), Files: b.Files(), Bytes: b.Size(), ID: m.ID, Time: m.Time, Level: m.Level, Targets: m.Targets, Base: m.Base,
		Projects: append([]bundle.Project{}, m.Projects...), Tools: append(bundle.Tools{}, m.Tools...), SDKs: []string{}, Sumdb: []bundledSumdb{}, Modules: []bundledModule{},
	}
	r.Signer, _ = b.Signer()
	bytes := map[module.Version]int64{}
	for _, e := range m.Entries {
		if req, err := goproxy.ParseRequest(e.Name); err == nil && req.Version != "" {
			bytes[module.Version{Path: req.Path, Version: req.Version}] += e.Size
		}
	}
	r.Vuln, r.CC = b.hasVuln(), b.compilers()
	for _, name := range sumdbsOf(b) {
		db := bundledSumdb{Name: name, Records: recordsOf(baseHead(b.FS(), name))}
		for _, e := range m.Entries {
			if strings.HasPrefix(e.Name, "sumdb/"+name+"/lookup/") {
				db.Lookups++
			}
		}
		r.Sumdb = append(r.Sumdb, db)
	}
	for _, mod := range m.Modules {
		if sdk, ok := strings.CutPrefix(mod.Version, "v0.0.1-"); ok && mod.Path == goproxy.ToolchainPath && mod.Sum != "" {
			r.SDKs = append(r.SDKs, sdk)
		}
		r.Modules = append(r.Modules, bundledModule{mod, bytes[module.Version{Path: mod.Path, Version: mod.Version}]})
	}
	slices.SortFunc(r.Modules, func(x, y bundledModule) int {
		return cmp.Or(strings.Compare(x.Path, y.Path), semver.Compare(x.Version, y.Version), strings.Compare(x.Version, y.Version))
	})
	return r
}

// recordsOf is the size of the tree whose signed head this is: its second line, see
// https://go.dev/design/25530-sumdb#checksum-database. It is shown, and nothing rests on it.
func recordsOf(head []byte) int64 {
	lines := strings.SplitN(string(head), "\n", 3)
	if len(lines) < 3 {
		return 0
	}
	n, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// showInspected tells people what is in a bundle.
func (a *app) showInspected(b *openBundle, r bundleReport) error {
	line := func(code string, args ...any) { fmt.Fprintln(a.stdout, a.p.T("bundle.inspect."+code, args...)) }
	line("file", "File", r.File, "Bytes", human(r.Bytes), "Count", len(r.Files))
	line("made", "Date", r.Time.UTC().Format(time.RFC3339), "ID", shortID(r.ID), "Level", r.Level, "Targets", strings.Join(r.Targets, ", "))
	if r.Signer != "" {
		line("signed", "Key", r.Signer)
	} else {
		line("unsigned")
	}
	if r.Base != nil {
		line("base", "ID", shortID(r.Base.ID), "Date", r.Base.Time.UTC().Format("2006-01-02"))
	}
	for _, p := range r.Projects {
		line("project", "Module", p.Module, "Go", p.Go)
	}
	for _, t := range r.Tools {
		line("tool", "Tool", t.String())
	}
	if len(r.SDKs) > 0 {
		line("sdks", "SDKs", strings.Join(r.SDKs, ", "))
	}
	for _, db := range r.Sumdb {
		line("sumdb", "Name", db.Name, "Count", db.Lookups, "Records", db.Records)
	}
	if r.Vuln {
		line("vuln")
	}
	for _, cc := range r.CC {
		line("cc", "Target", cc.Target, "Host", cc.Host, "Release", cc.Release, "Bytes", human(cc.Bytes), "InBase", cc.InBase, "Count", cc.Packages)
	}
	if len(b.private) > 0 {
		line("private", "Modules", strings.Join(b.private, ", "))
	}
	zips := 0
	for _, m := range r.Modules {
		if m.Sum != "" {
			zips++
		}
	}
	line("modules", "Count", len(r.Modules), "Zips", zips)
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, m := range r.Modules {
		what := human(m.Bytes)
		if m.Sum == "" {
			what += "\t" + a.p.T("bundle.inspect.no-zip")
		}
		fmt.Fprintf(w, "  %s@%s\t%s\n", m.Path, m.Version, what)
	}
	return w.Flush()
}

func (a *app) bundleDiffCmd() *cobra.Command {
	cmd := a.bundleSub("diff OLD NEW", "diff", func(cmd *cobra.Command, args []string) error { return a.argCount(cmd, args, 2, 2) },
		func(cmd *cobra.Command, args []string) (err error) {
			var list []*openBundle
			defer func() { err = errors.Join(err, closeBundles(list)) }()
			for _, file := range args {
				b, err := a.openBundle(file, nil, bundle.OpenDamaged)
				if err != nil {
					return err
				}
				list = append(list, b)
			}
			older, newer := list[0].Manifest(), list[1].Manifest()
			d := bundle.Diff(older, newer)
			if len(d.ChangedModules) > 0 { // one of them is not what its author published
				a.exit = 13
			}
			if asJSON(cmd) {
				return a.json(d)
			}
			a.showDiff(older, newer, d)
			return nil
		})
	a.jsonFlag(cmd)
	return cmd
}

// showDiff tells people what a newer bundle has and has not.
func (a *app) showDiff(older, newer bundle.Manifest, d bundle.Difference) {
	if newer.Base != nil && newer.Base.ID == older.ID {
		fmt.Fprintln(a.stdout, a.p.T("bundle.diff.delta"))
		d.Removed, d.RemovedModules = nil, nil // it is still there
	}
	for _, m := range d.RemovedModules {
		fmt.Fprintf(a.stdout, "- %s@%s\n", m.Path, m.Version)
	}
	for _, m := range d.AddedModules {
		fmt.Fprintf(a.stdout, "+ %s@%s\n", m.Path, m.Version)
	}
	for _, c := range d.ChangedModules {
		fmt.Fprintln(a.stdout, a.p.T("bundle.diff.moved", "Module", c.From.Path+"@"+c.From.Version))
	}
	size := func(list []bundle.Entry) (n int64) {
		for _, e := range list {
			n += e.Size
		}
		return n
	}
	if d.Same() {
		fmt.Fprintln(a.stdout, a.p.T("bundle.diff.same"))
		return
	}
	fmt.Fprintln(a.stdout, a.p.T("bundle.diff.report", "Added", len(d.Added), "AddedBytes", human(size(d.Added)),
		"Removed", len(d.Removed), "RemovedBytes", human(size(d.Removed)), "Changed", len(d.Changed)))
	if len(d.ChangedModules) > 0 {
		a.hint(a.p.T("bundle.hint.moved"))
	}
}
