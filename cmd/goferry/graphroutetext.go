package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

// A routeGroup are the modules for which the same is done for the same reason.
type routeGroup struct {
	like    graphRoute // one of them
	modules []graphVersion
	sure    map[string]bool // hosts that learn of them, and whether for sure
}

// showRoutes writes the routes for people: modules for which the same is done stand together, the few first.
func (r *graphRun) showRoutes(rep *graphRoutes) {
	for i, v := range rep.Views {
		if i > 0 {
			r.line("")
		}
		switch {
		case v.Of == "goferry":
			r.line(r.paint(bold, r.p.T("graph.routes-goferry")))
		case len(rep.Views) == 1:
			r.line(r.paint(bold, r.p.T("graph.routes-both")))
		default:
			r.line(r.paint(bold, r.p.T("graph.routes-go")))
		}
		for _, k := range slices.Sorted(maps.Keys(v.Settings)) {
			tried := ""
			if slices.ContainsFunc(rep.With, func(w string) bool { return strings.HasPrefix(w, k+"=") }) {
				tried = columnGap + r.paint(yellow, r.p.T("graph.routes-tried"))
			}
			r.line(columnGap + k + "=" + v.Settings[k] + tried)
		}
		for _, g := range groupRoutes(v.Routes) {
			r.line("")
			r.showGroup(g, v, rep.Origins)
		}
	}
	if len(rep.Folders) > 0 {
		r.line("")
		r.line(r.p.T("graph.routes-folders", "Count", len(rep.Folders)))
		for _, m := range rep.Folders {
			r.line(columnGap + m.String())
		}
	}
	r.incompleteBelow(rep.Missing)
}

// groupRoutes puts together what differs in the names of modules and of their own hosts alone.
func groupRoutes(routes []graphRoute) []*routeGroup {
	byKey := map[string]*routeGroup{}
	var groups []*routeGroup
	for _, rt := range routes {
		like := rt
		like.graphVersion, like.Leaks = graphVersion{}, nil
		for _, rule := range []**graphRule{&like.NoProxy, &like.Insecure, &like.Check.Rule} {
			if *rule != nil {
				*rule = &graphRule{Variable: (*rule).Variable, Pattern: (*rule).Pattern}
			}
		}
		data, err := json.Marshal(like)
		if err != nil {
			continue // it has nothing that could not be written
		}
		g := byKey[string(data)]
		if g == nil {
			g = &routeGroup{like: rt, sure: map[string]bool{}}
			byKey[string(data)], groups = g, append(groups, g)
		}
		g.modules = append(g.modules, rt.graphVersion)
		for _, l := range rt.Leaks {
			g.sure[l.Host] = g.sure[l.Host] || l.Sure
		}
	}
	slices.SortStableFunc(groups, func(a, b *routeGroup) int { return len(a.modules) - len(b.modules) })
	return groups
}

func (r *graphRun) showGroup(g *routeGroup, v routeView, origins map[string]graphOrigin) {
	r.line(r.paint(bold, r.p.T("graph.routes-group", "Count", len(g.modules), "Way", r.way(g.like))))
	r.line(columnGap + r.checkText(g.like))
	var sure, perhaps []string
	for _, host := range slices.Sorted(maps.Keys(g.sure)) {
		if g.sure[host] {
			sure = append(sure, host)
		} else {
			perhaps = append(perhaps, host)
		}
	}
	join := r.p.T("graph.join-names")
	switch {
	case len(sure)+len(perhaps) == 0:
		r.line(columnGap + r.p.T("graph.leaks-none"))
	case len(perhaps) == 0:
		r.line(columnGap + r.p.T("graph.leaks", "Hosts", strings.Join(sure, join)))
	case len(sure) == 0:
		r.line(columnGap + r.p.T("graph.leaks-perhaps", "Hosts", strings.Join(perhaps, join)))
	default:
		r.line(columnGap + r.p.T("graph.leaks-both", "Hosts", strings.Join(sure, join), "Perhaps", strings.Join(perhaps, join)))
	}
	if g.like.NoProxy != nil && g.like.Check.On {
		name := "GOPRIVATE"
		if v.Settings["GONOSUMDB"] != "" || v.Settings["nosumdb"] != "" || g.like.NoProxy.Variable == goproxy.GOPRIVATE {
			name = "GONOSUMDB" // GOPRIVATE does not count beside it
		}
		r.line(columnGap + r.paint(yellow, r.p.T("graph.leaks-names", "Database", g.like.Check.Database, "Variable", name, "Pattern", g.like.NoProxy.Pattern)))
	}
	var rows [][]string
	for _, m := range g.modules {
		from := ""
		if o, ok := origins[m.Path]; ok {
			from = r.cameFrom(o)
		}
		rows = append(rows, []string{"    " + m.Path, m.Version, from})
	}
	printColumns(&r.out, rows)
}

// cameFrom says where a module really came from.
func (r *graphRun) cameFrom(o graphOrigin) string {
	var parts []string
	if o.Upstream != "" {
		parts = append(parts, r.p.T("graph.came-by", "Upstream", o.Upstream, "Day", o.At[:min(len(o.At), len(time.DateOnly))]))
	}
	if o.URL != "" {
		parts = append(parts, r.p.T("graph.came-from", "VCS", o.VCS, "URL", o.URL))
	}
	return r.join(parts)
}

// way says who is asked, one after the other.
func (r *graphRun) way(rt graphRoute) string {
	var b strings.Builder
	for i, s := range rt.Steps {
		if i > 0 {
			b.WriteString(r.p.T("graph.then-" + rt.Steps[i-1].Next))
		}
		switch s.Kind {
		case goproxy.StepDirect:
			b.WriteString(r.p.T("graph.step-direct"))
		case goproxy.StepOff:
			b.WriteString(r.p.T("graph.step-off"))
		default:
			b.WriteString(s.URL)
		}
	}
	if rt.NoProxy != nil {
		b.WriteString(r.because(rt.NoProxy))
	}
	if rt.Insecure != nil {
		b.WriteString(r.p.T("graph.insecure") + r.because(rt.Insecure))
	}
	return b.String()
}

// because names the pattern that is the reason.
func (r *graphRun) because(rule *graphRule) string {
	return r.p.T("graph.because", "Variable", string(rule.Variable), "Pattern", rule.Pattern)
}

// checkText says who checks, or why nobody does.
func (r *graphRun) checkText(rt graphRoute) string {
	c := rt.Check
	switch {
	case c.Fails:
		return r.p.T("graph.check-fails")
	case c.Reason == goproxy.CheckOff:
		return r.p.T("graph.check-off")
	case !c.On && c.Rule != nil:
		return r.p.T("graph.check-exempt") + r.because(c.Rule)
	case len(c.Relays) == 0:
		return r.p.T("graph.check", "Database", c.Database)
	}
	return r.p.T("graph.check-relays", "Database", c.Database, "Relays", strings.Join(c.Relays, r.p.T("graph.join-names")))
}
