package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/modgraph"
)

// triedVars are the variables that --with takes.
func triedVars() []string {
	return []string{"GOPROXY", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOSUMDB", "GOINSECURE"}
}

// goVariables are the settings of the go command as they are. GONOPROXY and GONOSUMDB are empty where they
// are not set: "go env" shows GOPRIVATE then, which would hide what it is that matches.
func (r *graphRun) goVariables(ctx context.Context) (map[string]string, error) {
	vars, err := r.askGoEnv(ctx, goVars()...)
	if errors.Is(err, gocmd.ErrNoTool) {
		vars = map[string]string{}
		for _, k := range goVars() {
			vars[k] = r.env(k)
		}
		return vars, nil
	}
	inherits := func(k string) bool { return vars[k] != "" && vars[k] == vars["GOPRIVATE"] }
	if err != nil || !inherits("GONOPROXY") && !inherits("GONOSUMDB") {
		return vars, err
	}
	// Whoever has set it to the very same is told apart by another GOPRIVATE.
	const other = "other.invalid"
	probe := &gocmd.Runner{Go: r.runner.Go, Env: append(r.runner.Environ(), "GOPRIVATE="+other)}
	seen, err := probe.GoEnv(ctx, "GONOPROXY", "GONOSUMDB")
	for _, k := range []string{"GONOPROXY", "GONOSUMDB"} {
		if seen[k] == other {
			vars[k] = ""
		}
	}
	return vars, err
}

// tried are vars with what --with says.
func (r *graphRun) tried() (map[string]string, error) {
	vars := map[string]string{}
	for k, v := range r.vars {
		vars[k] = v
	}
	for _, w := range r.fl.with {
		name, value, ok := strings.Cut(w, "=")
		if !ok || !slices.Contains(triedVars(), name) {
			near := ""
			if n := config.Near(strings.ToUpper(name), triedVars()); n != "" && n != name {
				near = "goferry graph --routes --with " + n + "=" + value
			}
			return nil, misuse(r.cmd, near, "graph.error.with-name", "Arg", w, "Names", strings.Join(triedVars(), ", "))
		}
		if name == "GOPROXY" {
			if _, err := goproxy.ParseUpstreams(value); err != nil {
				return nil, misuse(r.cmd, "", "graph.error.with-proxy", "Err", errLine(err))
			}
		}
		vars[name] = value
	}
	return vars, nil
}

// A routeView is one list of rules, and what they mean for each module.
type routeView struct {
	Of       string            `json:"of"` // "go": the go command by itself; "goferry": goferry when it is asked
	Settings map[string]string `json:"settings"`
	Routes   []graphRoute      `json:"routes"`
}

// graphRoutes is what `graph --routes --format json` prints.
type graphRoutes struct {
	With    []string               `json:"with"`
	Views   []routeView            `json:"views"`   // of go, and of goferry where that differs
	Origins map[string]graphOrigin `json:"origins"` // by module that the cache has: where it came from
	Folders []graphVersion         `json:"folders"` // modules that a folder replaces: nobody is asked
	Missing []graphMissing         `json:"missing"`
}

type graphRoute struct {
	graphVersion              // the module as it is asked for: its replacement, if it has one
	Steps        []graphStep  `json:"steps"`
	NoProxy      *graphRule   `json:"no_proxy,omitempty"`
	Insecure     *graphRule   `json:"insecure,omitempty"`
	Check        graphCheck   `json:"check"`
	Leaks        []graphLearn `json:"leaks"`
}

type graphStep struct {
	Kind goproxy.StepKind `json:"kind"`
	URL  string           `json:"url,omitempty"`
	Next string           `json:"next,omitempty"` // "absent", "error" or "mirror": what leads to the next step
}

type graphRule struct {
	Variable goproxy.Variable `json:"variable"`
	Pattern  string           `json:"pattern"`
	Matched  string           `json:"matched"`
}

type graphCheck struct {
	On       bool                `json:"on"`
	Reason   goproxy.CheckReason `json:"reason"`
	Rule     *graphRule          `json:"rule,omitempty"`
	Fails    bool                `json:"fails,omitempty"`
	Database string              `json:"database,omitempty"`
	Relays   []string            `json:"relays,omitempty"`
	Direct   string              `json:"direct,omitempty"`
}

type graphLearn struct {
	Host string       `json:"host"`
	Role goproxy.Role `json:"role"`
	Sure bool         `json:"sure"`
}

// graphOrigin is the Origin of an .info file (https://go.dev/ref/mod#goproxy-protocol), and the upstream that goferry had
// the module from.
type graphOrigin struct {
	Upstream string `json:"upstream,omitempty"`
	At       string `json:"at,omitempty"` // when it came from there, RFC 3339

	VCS  string `json:"vcs,omitempty"`
	URL  string `json:"url,omitempty"`
	Ref  string `json:"ref,omitempty"`
	Hash string `json:"hash,omitempty"`
}

// routes says for each module who is asked for it, who checks it, and why.
func (r *graphRun) routes(ctx context.Context) error {
	views, err := r.routeViews(ctx)
	if err != nil {
		return err
	}
	rep := &graphRoutes{With: append([]string{}, r.fl.with...), Origins: map[string]graphOrigin{}, Folders: []graphVersion{}, Missing: r.missing(r.g)}
	for i, w := range rep.With {
		rep.With[i] = config.Redact(w)
	}
	known := r.f.allOrigins()
	var asked []module.Version
	for _, m := range r.g.Modules() {
		switch {
		case m.Main:
		case m.Actual.Version == "":
			rep.Folders = append(rep.Folders, versionOf(m.Mod))
		default:
			asked = append(asked, m.Actual)
			if o, ok := r.origin(ctx, known, m); ok {
				rep.Origins[m.Actual.Path] = o
			}
		}
	}
	for _, v := range views {
		view := routeView{Of: v.of, Settings: v.shown(), Routes: []graphRoute{}}
		for _, m := range asked {
			view.Routes = append(view.Routes, routeOf(m, v.rules.Route(m.Path)))
		}
		rep.Views = append(rep.Views, view)
	}
	if len(rep.Views) > 1 && sameRoutes(rep.Views[0].Routes, rep.Views[1].Routes) {
		rep.Views = rep.Views[:1]
	}
	r.look.end()
	if r.fl.format == "json" {
		return r.printJSON(rep)
	}
	r.showRoutes(rep)
	return nil
}

// ruleSet are the rules of one view.
type ruleSet struct {
	of    string
	rules goproxy.RouteRules
	list  string // GOPROXY, or its like
}

// shown are the settings as people may see them, under the names that they have there.
func (s ruleSet) shown() map[string]string {
	shown := map[string]string{}
	own := map[string]string{"GOPROXY": "upstream", "GOPRIVATE": "private", "GONOPROXY": "noproxy", "GONOSUMDB": "nosumdb", "GOSUMDB": "sumdb", "GOINSECURE": "insecure"}
	for k, v := range map[string]string{
		"GOPROXY": config.Redact(s.list), "GOPRIVATE": s.rules.GOPRIVATE, "GONOPROXY": s.rules.GONOPROXY, "GONOSUMDB": s.rules.GONOSUMDB,
		"GOSUMDB": config.Redact(s.rules.GOSUMDB), "GOINSECURE": s.rules.GOINSECURE,
	} {
		if s.of == "goferry" {
			k = own[k]
		}
		if v != "" {
			shown[k] = v
		}
	}
	return shown
}

// routeViews are the rules of the go command and those of goferry, with what is tried. Nothing is asked by them.
func (r *graphRun) routeViews(ctx context.Context) ([]ruleSet, error) {
	vars, err := r.tried()
	if err != nil {
		return nil, err
	}
	list := cmp.Or(vars["GOPROXY"], "off")
	ups, err := goproxy.ParseUpstreams(list)
	if err != nil {
		return nil, badSetting(r.cfg, "upstream", err, "hint.bad-upstream")
	}
	sumdb := cmp.Or(vars["GOSUMDB"], "sum.golang.org")
	views := []ruleSet{{"go", goproxy.RouteRules{
		GOPROXY: ups, GOPRIVATE: vars["GOPRIVATE"], GONOPROXY: vars["GONOPROXY"], GONOSUMDB: vars["GONOSUMDB"], GOSUMDB: sumdb, GOINSECURE: vars["GOINSECURE"],
	}, list}}
	cfg, err := r.loadWith(r.cmd, func(name string) (string, error) { return vars[name], nil })
	if err != nil {
		return nil, err
	}
	list = cmp.Or(string(cfg.Upstream), "off")
	if ups, err = goproxy.ParseUpstreams(list); err != nil {
		return nil, badSetting(cfg, "upstream", err, "hint.bad-upstream")
	}
	return append(views, ruleSet{"goferry", goproxy.RouteRules{
		GOPROXY: ups, GOPRIVATE: strings.Join(cfg.Private, ","), GONOPROXY: ownPatterns(cfg.NoProxy, cfg.Private), GONOSUMDB: ownPatterns(cfg.NoSumdb, cfg.Private),
		GOSUMDB: cmp.Or(string(cfg.Sumdb), "sum.golang.org"), GOINSECURE: strings.Join(cfg.Insecure, ","),
	}, list}), nil
}

// ownPatterns are those of a setting; nothing where it only stands in for those of GOPRIVATE.
func ownPatterns(list, private []string) string {
	if slices.Equal(list, private) {
		return ""
	}
	return strings.Join(list, ",")
}

func sameRoutes(a, b []graphRoute) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

func routeOf(m module.Version, rt goproxy.Route) graphRoute {
	gr := graphRoute{graphVersion: versionOf(m), Steps: []graphStep{}, NoProxy: ruleOf(rt.NoProxy), Insecure: ruleOf(rt.Insecure), Leaks: []graphLearn{}}
	for _, s := range rt.Steps {
		next := map[goproxy.Sep]string{goproxy.OnAbsent: "absent", goproxy.OnError: "error", goproxy.OnMirror: "mirror"}[s.Next]
		gr.Steps = append(gr.Steps, graphStep{s.Kind, goproxy.RedactURL(s.URL), next})
	}
	c := rt.Check
	gr.Check = graphCheck{On: c.On, Reason: c.Reason, Rule: ruleOf(c.Rule), Fails: c.Fails, Database: c.Name, Direct: goproxy.RedactURL(c.Direct)}
	for _, u := range c.Relays {
		gr.Check.Relays = append(gr.Check.Relays, goproxy.RedactURL(u))
	}
	for _, l := range rt.Leaks {
		gr.Leaks = append(gr.Leaks, graphLearn{l.Host, l.Role, l.Sure})
	}
	return gr
}

func ruleOf(rule goproxy.Rule) *graphRule {
	if !rule.Matched() {
		return nil
	}
	return &graphRule{rule.Variable, rule.Pattern, rule.Part}
}

// origin is where a module really came from, of which the cache has something: as its .info file says, and as goferry
// noted when it was kept.
func (r *graphRun) origin(ctx context.Context, known map[string]origin, m modgraph.Module) (graphOrigin, bool) {
	ctx = goproxy.WithCachedOnly(ctx)
	req := goproxy.Request{Path: m.Actual.Path, Version: m.Actual.Version, Kind: goproxy.Info}
	var info struct{ Origin graphOrigin }
	if data, err := goproxy.ReadFile(ctx, r.f.cache, req); err == nil && json.Unmarshal(data, &info) == nil {
		info.Origin.URL = goproxy.RedactURL(info.Origin.URL)
	}
	o := info.Origin
	o.Upstream, o.At = "", "" // not for the file to say
	if n, ok := known[req.Path+"@"+req.Version]; ok && r.cached(ctx, req) {
		o.Upstream, o.At = n.From, n.At.Format(time.RFC3339)
	}
	return o, o.URL != "" || o.Upstream != ""
}

// cached reports whether the cache has a file of a module version.
func (r *graphRun) cached(ctx context.Context, req goproxy.Request) bool {
	for _, req.Kind = range []goproxy.Kind{goproxy.Mod, goproxy.Zip} {
		if f, err := r.f.cache.Open(ctx, req); err == nil {
			return f.Close() == nil
		}
	}
	return false
}
