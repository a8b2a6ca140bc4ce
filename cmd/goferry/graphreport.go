package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/modgraph"
)

// graphReport is what `graph --format json` prints. What is not known is left out or "unknown", never empty.
type graphReport struct {
	Mains      []graphMain    `json:"main"`
	Workspace  string         `json:"workspace,omitempty"` // the go.work
	Go         string         `json:"go"`                  // the highest go line of all modules
	GoBy       string         `json:"go_by"`               // whose it is
	Offline    bool           `json:"offline,omitempty"`
	Modules    []*graphModule `json:"modules"`
	Duplicates []graphFamily  `json:"duplicates"`
	Missing    []graphMissing `json:"missing"` // go.mod files that could not be loaded
}

type graphMain struct {
	Path string `json:"path"`
	Dir  string `json:"dir"`
	Go   string `json:"go,omitempty"`
}

type graphVersion struct {
	Path    string `json:"path"`
	Version string `json:"version,omitempty"`
}

func (v graphVersion) String() string {
	if v.Version == "" {
		return v.Path
	}
	return v.Path + " " + v.Version
}

func versionOf(m module.Version) graphVersion { return graphVersion{Path: m.Path, Version: m.Version} }

type graphAsker struct {
	graphVersion
	Wants      string `json:"wants"`
	Decides    bool   `json:"decides"`              // the build has this version because of it and its equals
	Superseded bool   `json:"superseded,omitempty"` // the build has another version of the asker
	Indirect   bool   `json:"indirect,omitempty"`   // it says // indirect
}

type graphModule struct {
	graphVersion
	Main        bool          `json:"main,omitempty"`
	Direct      bool          `json:"direct,omitempty"`
	Indirect    bool          `json:"indirect,omitempty"`
	Replacement *graphVersion `json:"replacement,omitempty"`
	Go          string        `json:"go,omitempty"`
	Depth       int           `json:"depth"`
	Pruned      bool          `json:"pruned,omitempty"`
	AskedBy     []graphAsker  `json:"asked_by"`
	Error       string        `json:"error,omitempty"` // why its requirements are unknown

	Time     *time.Time     `json:"time,omitempty"`
	ZipBytes *int64         `json:"zip_bytes,omitempty"`
	Packages *graphPackages `json:"packages,omitempty"`

	Updates    string     `json:"updates,omitempty"` // "none", "newer", "unknown"; empty where nobody asked
	Newer      string     `json:"newer,omitempty"`
	Latest     string     `json:"latest,omitempty"`
	Notices    string     `json:"notices,omitempty"` // "known", "unknown": retracted and deprecated
	Retracted  []string   `json:"retracted,omitempty"`
	Deprecated string     `json:"deprecated,omitempty"`
	AsOf       *time.Time `json:"as_of,omitempty"` // when an upstream said so, where that is no news of today
	Private    string     `json:"private,omitempty"`
	AlsoMajor  []string   `json:"also_major,omitempty"` // other major versions in the build list
}

type graphPackages struct {
	Used int `json:"used"`
	All  int `json:"all"`
}

type graphFamily struct {
	Name    string         `json:"name"`
	Members []graphVersion `json:"members"`
}

type graphMissing struct {
	graphVersion
	Reason string `json:"reason"` // as in fetch --json
	Error  string `json:"error"`
}

// oldNews is the age from which on people are told when an upstream said what is shown.
const oldNews = 24 * time.Hour

// overview shows the whole build list.
func (r *graphRun) overview(ctx context.Context) error {
	mods := r.g.Modules()
	if r.fl.sizes {
		if err := r.bringZips(ctx); err != nil {
			return err
		}
	}
	used, err := r.usedPackages(ctx)
	if err != nil {
		return err
	}
	facts, err := r.facts(ctx, mods, !r.fl.quick)
	if err != nil {
		return err
	}
	for path, u := range used {
		if f := facts[path]; f != nil {
			f.used, f.packages = u.used, u.all
		}
	}
	rep := r.report(mods, facts)
	r.look.end()
	switch r.fl.format {
	case "json":
		return r.printJSON(rep)
	case "text":
		r.table(rep)
		return nil
	}
	return r.drawing(r.picture(rep))
}

// report puts together what is known.
func (r *graphRun) report(mods []modgraph.Module, facts map[string]*moduleFact) *graphReport {
	rep := &graphReport{Offline: r.f.offline(), Modules: []*graphModule{}, Duplicates: []graphFamily{}, Missing: []graphMissing{}}
	for _, m := range r.project.Mains {
		main := graphMain{Path: m.Path(), Dir: m.Dir}
		if m.File.Go != nil {
			main.Go = m.File.Go.Version
		}
		rep.Mains = append(rep.Mains, main)
	}
	if r.project.Work != nil {
		rep.Workspace = r.project.Work.Syntax.Name
	}
	if lines := r.g.GoLines(); len(lines) > 0 {
		rep.Go, rep.GoBy = lines[0].Version, versionOf(lines[0].By).String()
	}
	also := map[string][]string{}
	for _, f := range r.g.Duplicates() {
		fam := graphFamily{Name: f.Name}
		for _, m := range f.Members {
			fam.Members = append(fam.Members, versionOf(m))
			for _, o := range f.Members {
				if o != m {
					also[m.Path] = append(also[m.Path], versionOf(o).String())
				}
			}
		}
		rep.Duplicates = append(rep.Duplicates, fam)
	}
	for _, m := range mods {
		gm := r.reportModule(m, facts[m.Mod.Path])
		gm.AlsoMajor = also[m.Mod.Path]
		rep.Modules = append(rep.Modules, gm)
	}
	rep.Missing = r.missing(r.g)
	return rep
}

// missing are the go.mod files that could not be loaded.
func (r *graphRun) missing(g *modgraph.Graph) []graphMissing {
	list := []graphMissing{}
	for _, f := range g.Failures() {
		list = append(list, graphMissing{versionOf(f.Module), strings.TrimPrefix(reasonCode(f.Err), "reason."), errLine(f)})
	}
	return list
}

func (r *graphRun) reportModule(m modgraph.Module, fact *moduleFact) *graphModule {
	gm := &graphModule{
		graphVersion: versionOf(m.Mod), Main: m.Main, Direct: m.Direct, Indirect: m.Indirect, Go: m.GoVersion, Depth: m.Depth, Pruned: m.Pruned,
		AskedBy: askers(m.Requirers),
	}
	if m.Replaced() {
		to := versionOf(m.Actual)
		gm.Replacement = &to
	}
	if m.Failure != nil {
		gm.Error = errLine(m.Failure.Err)
	}
	if !m.Main && m.Actual.Version != "" {
		gm.Private = goproxy.RouteRules{GOPRIVATE: r.vars["GOPRIVATE"], GONOPROXY: r.vars["GONOPROXY"]}.Route(m.Actual.Path).NoProxy.Pattern
	}
	if fact == nil {
		return gm
	}
	if !fact.made.IsZero() {
		gm.Time = &fact.made
	}
	if fact.zip >= 0 {
		gm.ZipBytes = &fact.zip
	}
	if fact.packages > 0 {
		gm.Packages = &graphPackages{fact.used, fact.packages}
	}
	if fact.news != nil {
		gm.tell(fact.news)
	}
	return gm
}

// tell takes over what the other versions say.
func (gm *graphModule) tell(n *modgraph.News) {
	gm.Newer, gm.Latest, gm.Retracted, gm.Deprecated = n.Newer, n.Latest, n.Retracted, n.Deprecated
	gm.Updates, gm.Notices = "none", "known"
	switch {
	case n.VersionsErr != nil:
		gm.Updates = "unknown"
	case n.Newer != "":
		gm.Updates = "newer"
	}
	if n.NoticesErr != nil {
		gm.Notices = "unknown"
	}
	if n.Age >= oldNews {
		at := time.Now().Add(-n.Age).UTC().Truncate(time.Second)
		gm.AsOf = &at
	}
}

func askers(list []modgraph.Requirer) []graphAsker {
	out := []graphAsker{}
	for _, q := range list {
		out = append(out, graphAsker{versionOf(q.By), q.Version, q.Decides, q.Superseded, q.Indirect})
	}
	return out
}

// A usage is how many packages of a module the build takes, and how many it has.
type usage struct{ used, all int }

// usedPackages asks the go command which packages a build of the main modules takes, with --packages.
func (r *graphRun) usedPackages(ctx context.Context) (map[string]usage, error) {
	if !r.fl.packages {
		return nil, nil
	}
	args := []string{"list", "-e", "-deps", "-json=ImportPath,Standard,Module"}
	if r.project.Vendored {
		args = append(args, "-mod=readonly") // the vendor folder has not all of a module
	}
	for _, m := range r.project.Mains {
		args = append(args, m.Path()+"/...")
	}
	runner := &gocmd.Runner{Env: r.runner.Environ(), MaxOutput: 256 << 20}
	res, err := runner.Run(ctx, gocmd.Cmd{Name: "go", Args: args, Dir: r.dir, Env: []string{"GOPROXY=" + r.url}})
	if missing := noCommand(err); missing != nil {
		return nil, missing
	}
	if err != nil {
		return nil, err
	}
	used, err := countUsed(strings.NewReader(string(res.Stdout)))
	if err != nil || res.ExitCode != 0 {
		return nil, &fault{code: "graph.error.packages", args: []any{"Err", errLine(cmp.Or(err, errors.New(string(res.Stderr))))}, hint: "graph.hint.packages", exit: 1, err: err}
	}
	return used, nil
}

// countUsed reads what go list prints.
func countUsed(out io.Reader) (map[string]usage, error) {
	type listed struct {
		Standard bool
		Module   *struct{ Path, Dir string }
	}
	used, dirs := map[string]usage{}, map[string]string{}
	dec := json.NewDecoder(out)
	for {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		if p.Standard || p.Module == nil {
			continue
		}
		u := used[p.Module.Path]
		u.used++
		used[p.Module.Path], dirs[p.Module.Path] = u, p.Module.Dir
	}
	for path, u := range used {
		u.all = max(countPackages(dirs[path]), u.used)
		used[path] = u
	}
	return used, nil
}

// decider is who is shown to have asked for a module: of those whose wish was granted the one that says most.
// That is a main module only where it means the module itself.
func (gm *graphModule) decider() (graphAsker, bool) {
	if gm.Direct || len(gm.AskedBy) == 0 {
		for _, q := range gm.AskedBy {
			if q.Decides && q.Version == "" {
				return q, true
			}
		}
	}
	i := slices.IndexFunc(gm.AskedBy, func(q graphAsker) bool { return q.Decides && q.Version != "" && !q.Superseded })
	if i < 0 {
		i = slices.IndexFunc(gm.AskedBy, func(q graphAsker) bool { return q.Decides })
	}
	if i < 0 {
		return graphAsker{}, false
	}
	return gm.AskedBy[i], true
}
