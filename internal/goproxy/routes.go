package goproxy

import (
	"net/url"
	"slices"
	"strings"

	"golang.org/x/mod/module"
)

// RouteRules are the settings that decide where the go command gets a module from, and who checks
// it. All but GOPROXY are as "go env" prints them.
type RouteRules struct {
	GOPROXY   []Upstream // see ParseUpstreams
	GOPRIVATE string     // what GONOPROXY and GONOSUMDB are where they are empty
	GONOPROXY string
	GONOSUMDB string
	GOSUMDB   string // "off", "NAME", "NAME URL" or with a key instead of a name
	// GOINSECURE is for direct fetches alone. Upstreams are asked by the scheme that they are written with.
	GOINSECURE string
}

// A Variable is the name of a setting, such as "GOPRIVATE".
type Variable string

// The variables that a reason can come from.
const (
	GOPROXY    Variable = "GOPROXY"
	GOPRIVATE  Variable = "GOPRIVATE"
	GONOPROXY  Variable = "GONOPROXY"
	GONOSUMDB  Variable = "GONOSUMDB"
	GOSUMDB    Variable = "GOSUMDB"
	GOINSECURE Variable = "GOINSECURE"
)

// A Rule is the pattern that matched a module path. The zero value says that none did.
type Rule struct {
	Pattern  string   // as written, such as "*.corp.example.com"
	Variable Variable // where it is written: GOPRIVATE where GONOPROXY or GONOSUMDB is empty
	// Part is what the pattern matched: the module path, or the part that it begins with.
	Part string
}

// Matched reports whether there is a rule.
func (r Rule) Matched() bool { return r != Rule{} }

// A StepKind says what a step of a route does.
type StepKind string

// The kinds of a Step.
const (
	StepProxy  StepKind = "proxy"  // asks an upstream over http or https
	StepFile   StepKind = "file"   // looks into a folder
	StepDirect StepKind = "direct" // asks the origin: version control
	StepOff    StepKind = "off"    // fails
)

// A Step is an entry of a route.
type Step struct {
	Kind StepKind
	URL  string // as it is written in GOPROXY; it may hold a password, see RedactURL. Empty for direct and off
	// Next is what lets the go command go on to the next step: with OnAbsent an answer 404 or 410, with OnError any
	// error. 0 for the last one.
	Next Sep
}

// A Leak is a host that learns of a module.
type Leak struct {
	Host string // with its port, if it has one
	Role Role   // in which it is asked for the module path and its versions
	// Sure is false where that depends: on whether those before it have the module, or on
	// which of the relays speaks for the checksum database.
	Sure bool
}

// A Role is what a host is to a module.
type Role string

// The roles of a Leak.
const (
	RoleUpstream Role = "upstream" // it is asked for the module's files
	RoleOrigin   Role = "origin"   // its version control is; the module path may point to further hosts
	RoleSumDB    Role = "sumdb"    // it is asked for the checksums: path and version
	RoleRelay    Role = "relay"    // an upstream that may be asked for the checksums instead of the database
)

// A CheckReason says why a module is checked against the checksum database, or not.
type CheckReason string

// The reasons of a Check.
const (
	CheckDefault   CheckReason = "checked"   // nothing exempts it
	CheckToolchain CheckReason = "toolchain" // no pattern can exempt golang.org/toolchain
	CheckOff       CheckReason = "off"       // GOSUMDB=off
	CheckExempt    CheckReason = "exempt"    // by Check.Rule
)

// A Check says whether the checksum database vouches for a module that go.sum does not have yet.
type Check struct {
	On     bool
	Reason CheckReason
	Rule   Rule // for CheckExempt
	// Fails says that the go command wants the check, and cannot make it: a toolchain with GOSUMDB=off.
	Fails bool
	// Name is that of the database, and Relays are the upstreams that are asked whether they
	// speak for it, in this order; Direct is its own URL, for when none does. GOSUMDB with a URL has no relays.
	// All are empty where the check is off.
	Name   string
	Relays []string
	Direct string
}

// A Route says where the go command gets a module from.
type Route struct {
	Path  string
	Steps []Step // in the order in which they are asked; the first one that has the module serves it
	// NoProxy is the pattern that keeps the module from GOPROXY, so that it is fetched direct.
	NoProxy Rule
	// Insecure is the pattern that allows plain HTTP and bad certificates for a direct fetch.
	Insecure Rule
	Check    Check
	Leaks    []Leak // each host once for each role, in the order in which they are asked
}

// ToolchainPath is the module whose versions are Go toolchains. It has rules of its own.
const ToolchainPath = "golang.org/toolchain"

// Route says where the module with this path comes from by these rules, which are those of
// the go command (cmd/go/internal/modfetch: proxy.go, repo.go, sumdb.go). It asks nobody.
func (r RouteRules) Route(modulePath string) Route {
	rt := Route{Path: modulePath, NoProxy: r.match(modulePath, GONOPROXY, r.GONOPROXY)}
	if rt.NoProxy.Matched() {
		// Even GOPROXY=off does not keep the go command from it.
		rt.Steps = []Step{{Kind: StepDirect}}
	} else {
		rt.Steps = r.steps()
	}
	if slices.ContainsFunc(rt.Steps, func(s Step) bool { return s.Kind == StepDirect }) {
		rt.Insecure = matchList(modulePath, GOINSECURE, r.GOINSECURE)
	}
	rt.Check = r.check(modulePath)
	rt.Leaks = leaks(modulePath, rt)
	return rt
}

// match finds the pattern for path, in GOPRIVATE where the variable is empty.
func (r RouteRules) match(path string, name Variable, list string) Rule {
	if list == "" {
		name, list = GOPRIVATE, r.GOPRIVATE
	}
	return matchList(path, name, list)
}

// matchList is module.MatchPrefixPatterns, and says which pattern and which part.
func matchList(path string, name Variable, list string) Rule {
	for pattern := range strings.SplitSeq(list, ",") {
		if !module.MatchPrefixPatterns(pattern, path) {
			continue
		}
		elems := strings.Split(path, "/")
		n := min(strings.Count(strings.TrimSuffix(pattern, "/"), "/")+1, len(elems))
		return Rule{Pattern: pattern, Variable: name, Part: strings.Join(elems[:n], "/")}
	}
	return Rule{}
}

// steps are the entries of GOPROXY.
func (r RouteRules) steps() []Step {
	var steps []Step
	for _, u := range r.GOPROXY {
		s := Step{Kind: StepProxy, URL: u.URL, Next: u.Sep}
		switch {
		case u.URL == "direct":
			s = Step{Kind: StepDirect}
		case u.URL == "off":
			s = Step{Kind: StepOff}
		case strings.HasPrefix(u.URL, "file:"):
			s.Kind = StepFile
		}
		steps = append(steps, s)
		if s.Kind == StepDirect || s.Kind == StepOff {
			break // the end of the list, whatever stands behind it
		}
	}
	if len(steps) > 0 {
		steps[len(steps)-1].Next = 0
	}
	return steps
}

func (r RouteRules) check(modulePath string) Check {
	off := strings.TrimSpace(r.GOSUMDB) == "off"
	exempt := r.match(modulePath, GONOSUMDB, r.GONOSUMDB)
	c := Check{On: true, Reason: CheckDefault}
	switch {
	case modulePath == ToolchainPath && !r.onlyFolder():
		c.Reason, c.Fails = CheckToolchain, off
	case off:
		c = Check{Reason: CheckOff}
	case exempt.Matched():
		c = Check{Reason: CheckExempt, Rule: exempt}
	}
	if !c.On || c.Fails {
		return c
	}
	var alternate bool
	c.Name, c.Direct, alternate = sumDBOf(r.GOSUMDB)
	if alternate {
		return c
	}
	for _, s := range r.steps() {
		if s.URL != "" {
			c.Relays = append(c.Relays, s.URL)
		}
	}
	return c
}

// onlyFolder reports whether a folder is all that GOPROXY has. The toolchain is then a module like any other, so
// that a fresh one can be tried out before it is released.
func (r RouteRules) onlyFolder() bool {
	return len(r.GOPROXY) == 1 && strings.HasPrefix(r.GOPROXY[0].URL, "file://")
}

// sumDBOf reads GOSUMDB. Whether its key is one is not judged here.
func sumDBOf(setting string) (name, direct string, alternate bool) {
	fields := strings.Fields(setting)
	switch {
	case len(fields) == 0:
		return "", "", false
	case fields[0] == "sum.golang.google.cn":
		// An alias for mainland China (cmd/go/internal/modfetch/sumdb.go).
		return "sum.golang.org", "https://sum.golang.google.cn", true
	}
	name, _, _ = strings.Cut(fields[0], "+")
	if len(fields) > 1 {
		return name, fields[1], true
	}
	return name, "https://" + name, false
}

// leaks lists who learns of the module, by the steps and the check of its route.
func leaks(modulePath string, rt Route) []Leak {
	var list []Leak
	add := func(host string, role Role, sure bool) {
		same := func(l Leak) bool { return l.Host == host && l.Role == role }
		if host != "" && !slices.ContainsFunc(list, same) {
			list = append(list, Leak{Host: host, Role: role, Sure: sure})
		}
	}
	for i, s := range rt.Steps {
		switch s.Kind {
		case StepProxy:
			add(hostOf(s.URL), RoleUpstream, i == 0)
		case StepDirect:
			host, _, _ := strings.Cut(modulePath, "/")
			add(host, RoleOrigin, i == 0)
		}
	}
	if !rt.Check.On || rt.Check.Fails {
		return list
	}
	// A relay that speaks for the database is asked instead of it; only asking tells.
	for _, u := range rt.Check.Relays {
		add(hostOf(u), RoleRelay, false)
	}
	add(hostOf(rt.Check.Direct), RoleSumDB, len(rt.Check.Relays) == 0)
	return list
}

// hostOf is the host of a URL, with its port; empty for a folder.
func hostOf(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "file" {
		return ""
	}
	return u.Host
}
