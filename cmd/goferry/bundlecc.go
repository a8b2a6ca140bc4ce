package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/goferry/goferry/internal/bundle"
	"github.com/goferry/goferry/internal/cgo"
	"github.com/goferry/goferry/internal/goproxy"
)

// A bundledCC is a C compiler in a bundle, as reports have it.
type bundledCC struct {
	Target   string `json:"target"`
	Host     string `json:"host"`     // that it runs on: linux/amd64
	Release  string `json:"release"`  // of the system that its packages are from: debian 12
	Packages int    `json:"packages"` // that it is made from
	Bytes    int64  `json:"bytes"`    // of them
	InBase   int    `json:"in_base"`  // how many of them only the bundle has that this one adds to
}

// ccOf counts what of packs a bundle has.
func ccOf(packs []*cgo.Pack, m bundle.Manifest) []bundledCC {
	in := map[string]bool{}
	for _, e := range m.Entries {
		in[e.Name] = true
	}
	list := []bundledCC{}
	for _, p := range packs {
		cc := bundledCC{Target: p.Target, Host: "linux/" + p.Host, Release: p.Release, Packages: len(p.Debs), Bytes: p.Bytes()}
		for _, d := range p.Debs {
			if !in[bundle.CCFolder+d.PackName()] {
				cc.InBase++
			}
		}
		list = append(list, cc)
	}
	slices.SortFunc(list, func(x, y bundledCC) int { return strings.Compare(x.Target, y.Target) })
	return list
}

// ccFolder is the folder of a bundle with the packages of compilers; it may be empty.
func (b *openBundle) ccFolder() fs.FS {
	sub, _ := fs.Sub(b.FS(), strings.TrimSuffix(bundle.CCFolder, "/")) // fails for a name that is no path, and this is one
	return sub
}

// compilers are the C compilers in a bundle. Where their index is damaged there are none to tell of: who verifies the bundle says so.
func (b *openBundle) compilers() []bundledCC {
	packs, err := cgo.ReadPackFolder(b.ccFolder())
	if err != nil {
		return []bundledCC{}
	}
	return ccOf(packs, b.Manifest())
}

// A ccLine says how the compilers of a bundle are installed.
type ccLine struct {
	host, release string
	line          string
	lacks         *bundle.Base // the bundle that has the other packages, where it is not named; nil if nothing is lacking
}

// ccLines are the lines that install the compilers of bundles, each target by the newest that has it.
func ccLines(list []*openBundle) []ccLine {
	var lines []ccLine
	seen := map[string]bool{}
	for _, b := range slices.Backward(inOrder(list)) {
		var l ccLine
		var targets []string
		lacks := false
		for _, cc := range b.compilers() {
			if !seen[cc.Target] {
				seen[cc.Target] = true
				targets, l.host, l.release, lacks = append(targets, cc.Target), cc.Host, cc.Release, lacks || cc.InBase > 0
			}
		}
		if len(targets) == 0 {
			continue
		}
		from := b.Name()
		if base := b.Manifest().Base; lacks && base != nil {
			i := slices.IndexFunc(list, func(o *openBundle) bool { return o.Manifest().ID == base.ID })
			if i >= 0 {
				from += "," + list[i].Name()
			} else {
				l.lacks = base
			}
		}
		l.line = cgo.Line{Argv: append([]string{"goferry", "cgo", "setup", "--from", from}, targets...)}.Shell()
		lines = append(lines, l)
	}
	return lines
}

// args are those of a message about a line.
func (l ccLine) args() []any {
	id, date := "", ""
	if l.lacks != nil {
		id, date = shortID(l.lacks.ID), l.lacks.Time.UTC().Format("2006-01-02")
	}
	return []any{"Line", l.line, "Host", l.host, "Release", l.release, "ID", id, "Date", date}
}

// sayCC says on stderr how compilers in bundles are installed here, if they run here.
func (a *app) sayCC(list []*openBundle) {
	for _, l := range ccLines(list) {
		if l.host == runtime.GOOS+"/"+runtime.GOARCH {
			a.hint(a.p.T("bundle.hint.cc", l.args()...))
		}
	}
}

// A ccBundling is what of compilers goes into a bundle.
type ccBundling struct {
	setup   *cgo.Setup
	targets []cgo.Target // one for each pack
	packs   []*cgo.Pack
}

// planCC asks apt which packages the compilers are made from, before anything large is fetched.
func (c *creation) planCC(ctx context.Context) error {
	if len(c.job.ccTargets) == 0 {
		return nil
	}
	if c.f.cfg.Offline {
		return &fault{code: "bundlecreate.error.cc-offline", hint: "bundlecreate.hint.cc-offline", exit: goproxy.ExitCode(goproxy.ErrUnavailable)}
	}
	if _, err := homeOf(c.f.cfg); err != nil {
		return err
	}
	c.cc.setup = &cgo.Setup{Runner: c.a.runner, Home: ccHome(c.f.cfg), Release: osRelease()}
	for _, t := range c.job.ccTargets {
		c.show.set("bundlecreate.compilers", t.String(), 0, 0)
		p, err := c.cc.setup.Plan(ctx, t, true)
		if err != nil {
			return c.ccFault(ctx, t, err)
		}
		if !slices.ContainsFunc(c.cc.packs, func(q *cgo.Pack) bool { return q.Name == p.Name }) {
			c.cc.targets, c.cc.packs = append(c.cc.targets, t), append(c.cc.packs, p)
		}
	}
	return nil
}

// fetchCC fetches the packages and makes entries of them and of their index. When they were built counts for the time
// of the bundle.
func (c *creation) fetchCC(ctx context.Context) error {
	if len(c.cc.packs) == 0 {
		return nil
	}
	var dirs []string
	for i, p := range c.cc.packs {
		t := c.cc.targets[i]
		c.cc.setup.Progress = func(at cgo.SetupState) {
			c.show.set("bundlecreate.compilers", fmt.Sprintf("%s %s/%s", t, human(at.Done), human(at.Total)), at.Done, at.Total)
		}
		dir, err := c.cc.setup.Fetch(ctx, t, p)
		if err != nil {
			return c.ccFault(ctx, t, err)
		}
		dirs = append(dirs, dir)
		for _, d := range p.Debs {
			c.plan.Debs = append(c.plan.Debs, bundle.Deb{Name: d.Name, Version: d.Version, Arch: d.Arch, Distro: p.Release, Entry: bundle.CCFolder + d.PackName()})
		}
	}
	index, err := cgo.PackIndex(c.cc.packs)
	if err != nil {
		return err
	}
	c.files = append(c.files, bundle.FileOf(bundle.CCFolder+cgo.PackIndexName, index))
	for _, f := range cgo.PackFiles(c.cc.packs, dirs) {
		at, err := cgo.DebTime(f.Path)
		if err != nil {
			return err
		}
		if at.After(c.plan.Time) {
			c.plan.Time = at
		}
		c.files = append(c.files, bundle.File{Name: bundle.CCFolder + f.PackName(), Size: f.Size, Open: func(context.Context) (io.ReadCloser, error) { return os.Open(f.Path) }})
	}
	return nil
}

// dropCC takes away what was fetched for a bundle that is written now. Where there is none yet, it is kept for the next run.
func (c *creation) dropCC() error {
	var errs []error
	for _, p := range c.cc.packs {
		errs = append(errs, c.cc.setup.DropFetched(p))
	}
	return errors.Join(errs...)
}

// ccFault puts into words why a compiler cannot be had for a bundle.
func (c *creation) ccFault(ctx context.Context, t cgo.Target, err error) error {
	var se *cgo.SetupError
	if ctx.Err() != nil || !errors.As(err, &se) {
		return err
	}
	switch exit := goproxy.ExitCode(goproxy.ErrNotExist); se.Code {
	case cgo.SetupNoApt:
		return &fault{code: "bundlecreate.error.cc-no-apt", hint: "bundlecreate.hint.cc-no-apt", exit: exit, err: err}
	case cgo.SetupNoPackage, cgo.SetupUnknown:
		return &fault{code: "bundlecreate.error.cc-none", args: []any{"Target", t.String()}, hint: "bundlecreate.hint.cc-none", exit: exit, err: err}
	case cgo.SetupOffline:
		return &fault{code: "cgosetup.error.fetch", args: []any{"Target", t.String(), "What", se.What, "Said", strings.ReplaceAll(se.Said, "\n", "; ")},
			hint: "bundlecreate.hint.cc-fetch", exit: goproxy.ExitCode(goproxy.ErrUnavailable), err: err}
	}
	return err
}
