package goproxy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/module"
)

// TestRoute holds routes against the rules of cmd/go/internal/modfetch.
func TestRoute(t *testing.T) {
	const two = "https://a.example.com,https://user:pw@b.example.com:8443/go|direct"
	db := Check{
		On: true, Reason: CheckDefault, Name: "sum.golang.org", Direct: "https://sum.golang.org",
		Relays: []string{"https://a.example.com", "https://user:pw@b.example.com:8443/go"},
	}
	asked := []Leak{
		{"a.example.com", RoleUpstream, true}, {"b.example.com:8443", RoleUpstream, false}, {"github.com", RoleOrigin, false},
		{"a.example.com", RoleRelay, false}, {"b.example.com:8443", RoleRelay, false}, {"sum.golang.org", RoleSumDB, false},
	}
	steps := []Step{
		{Kind: StepProxy, URL: "https://a.example.com", Next: OnAbsent},
		{Kind: StepProxy, URL: "https://user:pw@b.example.com:8443/go", Next: OnError}, {Kind: StepDirect},
	}
	corp := "git.corp.example.com/team/m"
	origin := []Leak{{"git.corp.example.com", RoleOrigin, true}}
	viaDB := append(origin[:1:1], Leak{"a.example.com", RoleRelay, false}, Leak{"b.example.com:8443", RoleRelay, false}, Leak{"sum.golang.org", RoleSumDB, false})
	rule := func(v Variable, pattern, part string) Rule { return Rule{Pattern: pattern, Variable: v, Part: part} }
	toolchain := db
	toolchain.Reason = CheckToolchain

	for _, tt := range []struct {
		name, list string
		rules      RouteRules
		path       string
		want       Route
	}{
		{
			"public", two, RouteRules{GOSUMDB: "sum.golang.org", GOPRIVATE: "*.corp.example.com"}, "github.com/a/b",
			Route{Steps: steps, Check: db, Leaks: asked},
		},
		{
			"private", two, RouteRules{GOSUMDB: "sum.golang.org", GOPRIVATE: "x.com,*.corp.example.com/"}, corp,
			Route{
				Steps: []Step{{Kind: StepDirect}}, NoProxy: rule(GOPRIVATE, "*.corp.example.com/", "git.corp.example.com"),
				Check: Check{Reason: CheckExempt, Rule: rule(GOPRIVATE, "*.corp.example.com/", "git.corp.example.com")}, Leaks: origin,
			},
		},
		{
			// The well-known leak: fetched direct, and yet the checksum database is told its name.
			"GONOPROXY alone", two, RouteRules{GOSUMDB: "sum.golang.org", GONOPROXY: "git.corp.example.com/team"}, corp,
			Route{
				Steps: []Step{{Kind: StepDirect}}, NoProxy: rule(GONOPROXY, "git.corp.example.com/team", "git.corp.example.com/team"),
				Check: db, Leaks: viaDB,
			},
		},
		{
			"GONOSUMDB alone", "off", RouteRules{GOSUMDB: "sum.golang.org", GONOSUMDB: "*/team"}, corp,
			Route{Steps: []Step{{Kind: StepOff}}, Check: Check{Reason: CheckExempt, Rule: rule(GONOSUMDB, "*/team", "git.corp.example.com/team")}},
		},
		{
			"GONOPROXY overrides GOPRIVATE", "https://a.example.com", RouteRules{GOSUMDB: "off", GOPRIVATE: "*.corp.example.com", GONOPROXY: "none"}, corp,
			Route{
				Steps: []Step{{Kind: StepProxy, URL: "https://a.example.com"}}, Check: Check{Reason: CheckOff},
				Leaks: []Leak{{"a.example.com", RoleUpstream, true}},
			},
		},
		{
			"private though off", "off", RouteRules{GOSUMDB: "off", GOPRIVATE: "git.*.example.com/*/m", GOINSECURE: "git.corp.example.com"}, corp + "/v2",
			Route{
				Steps: []Step{{Kind: StepDirect}}, NoProxy: rule(GOPRIVATE, "git.*.example.com/*/m", corp),
				Insecure: rule(GOINSECURE, "git.corp.example.com", "git.corp.example.com"), Check: Check{Reason: CheckOff}, Leaks: origin,
			},
		},
		{
			"insecure is of no meaning for upstreams", "http://a.example.com", RouteRules{GOSUMDB: "off", GOINSECURE: "*"}, "github.com/a/b",
			Route{
				Steps: []Step{{Kind: StepProxy, URL: "http://a.example.com"}}, Check: Check{Reason: CheckOff},
				Leaks: []Leak{{"a.example.com", RoleUpstream, true}},
			},
		},
		{
			"what stands behind direct is nothing", "direct,https://a.example.com", RouteRules{GOSUMDB: "sum.golang.org"}, "github.com/a/b",
			Route{
				Steps: []Step{{Kind: StepDirect}},
				Check: Check{On: true, Reason: CheckDefault, Name: "sum.golang.org", Direct: "https://sum.golang.org"},
				Leaks: []Leak{{"github.com", RoleOrigin, true}, {"sum.golang.org", RoleSumDB, true}},
			},
		},
		{
			"a folder, then nothing", "file:///srv/go,off", RouteRules{GOSUMDB: "sum.golang.google.cn"}, "github.com/a/b",
			Route{
				Steps: []Step{{Kind: StepFile, URL: "file:///srv/go", Next: OnAbsent}, {Kind: StepOff}},
				Check: Check{On: true, Reason: CheckDefault, Name: "sum.golang.org", Direct: "https://sum.golang.google.cn"},
				Leaks: []Leak{{"sum.golang.google.cn", RoleSumDB, true}},
			},
		},
		{
			"a database with a key and a URL", "https://a.example.com", RouteRules{GOSUMDB: "sumdb.corp.example.com+1234abcd+AXyz https://s.example.com/db"}, "github.com/a/b",
			Route{
				Steps: []Step{{Kind: StepProxy, URL: "https://a.example.com"}},
				Check: Check{On: true, Reason: CheckDefault, Name: "sumdb.corp.example.com", Direct: "https://s.example.com/db"},
				Leaks: []Leak{{"a.example.com", RoleUpstream, true}, {"s.example.com", RoleSumDB, true}},
			},
		},
		{
			"toolchains cannot be exempted", two, RouteRules{GOSUMDB: "sum.golang.org", GONOSUMDB: "*"}, ToolchainPath,
			Route{Steps: steps, Check: toolchain, Leaks: withOrigin(asked, "golang.org")},
		},
		{
			"toolchains without a database", "https://a.example.com,off", RouteRules{GOSUMDB: "off"}, ToolchainPath,
			Route{
				Steps: []Step{{Kind: StepProxy, URL: "https://a.example.com", Next: OnAbsent}, {Kind: StepOff}},
				Check: Check{On: true, Reason: CheckToolchain, Fails: true}, Leaks: []Leak{{"a.example.com", RoleUpstream, true}},
			},
		},
		{
			"toolchains from a folder alone", "file:///srv/go", RouteRules{GOSUMDB: "off"}, ToolchainPath,
			Route{Steps: []Step{{Kind: StepFile, URL: "file:///srv/go"}}, Check: Check{Reason: CheckOff}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var err error
			if tt.rules.GOPROXY, err = ParseUpstreams(tt.list); err != nil {
				t.Fatal(err)
			}
			tt.want.Path = tt.path
			if diff := cmp.Diff(tt.want, tt.rules.Route(tt.path)); diff != "" {
				t.Errorf("route (-want +got):\n%s", diff)
			}
		})
	}
}

// withOrigin is list with another origin.
func withOrigin(list []Leak, host string) []Leak {
	list = append([]Leak(nil), list...)
	for i := range list {
		if list[i].Role == RoleOrigin {
			list[i].Host = host
		}
	}
	return list
}

// FuzzRoute holds the pattern that is said to have matched against module.MatchPrefixPatterns.
func FuzzRoute(f *testing.F) {
	f.Add("*.corp.example.com,x.com/a", "git.corp.example.com/m", "sum.golang.org")
	f.Add(",,[a-", "a/b", "off")
	f.Add("*/b/", "a/b/c", "k+1+2 https://u")
	f.Add("", "golang.org/toolchain", "")
	f.Fuzz(func(t *testing.T, patterns, path, sumdb string) {
		rules := RouteRules{GOPRIVATE: patterns, GOSUMDB: sumdb, GOPROXY: []Upstream{{"https://a.example.com", OnAbsent}, {"off", 0}}}
		rt := rules.Route(path)
		if rt.NoProxy.Matched() != module.MatchPrefixPatterns(patterns, path) {
			t.Fatalf("%q of %q: rule %+v", path, patterns, rt.NoProxy)
		}
		if r := rt.NoProxy; r.Matched() && (!module.MatchPrefixPatterns(r.Pattern, path) || !module.MatchPrefixPatterns(r.Pattern, r.Part)) {
			t.Fatalf("%+v does not match %q and its part", r, path)
		}
		if rt.NoProxy.Matched() != (rt.Steps[0].Kind == StepDirect) {
			t.Fatalf("%q of %q: steps %+v", path, patterns, rt.Steps)
		}
		if c := rt.Check; c.On == (c.Reason == CheckOff || c.Reason == CheckExempt) || c.Rule.Matched() != (c.Reason == CheckExempt) {
			t.Fatalf("%q of %q and %q: check %+v", path, patterns, sumdb, c)
		}
	})
}
