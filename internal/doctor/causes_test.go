package doctor

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

// family writes causes as "code subject <- code subject, …".
func family(causes []Cause) []string {
	var lines []string
	for _, c := range causes {
		line := strings.TrimSpace(c.Code + " " + c.Subject)
		for _, f := range c.Follows {
			line += " <- " + strings.TrimSpace(f.Code+" "+f.Subject)
		}
		lines = append(lines, line)
	}
	return lines
}

func finding(severity Severity, code, subject string, args ...string) Finding {
	f := Finding{Code: code, Severity: severity, Subject: subject}
	for i := 0; i+1 < len(args); i += 2 {
		if f.Args == nil {
			f.Args = map[string]string{}
		}
		f.Args[args[i]] = args[i+1]
	}
	return f
}

func TestCauses(t *testing.T) {
	up, second := Target{Role: Upstream, URL: mustURL("https://up.test")}, Target{Role: Upstream, URL: mustURL("https://second.test")}
	db := Target{Role: Database, URL: mustURL("https://sum.test")}
	via := func(t Target) Target { t.Proxy = mustURL("http://u:p@gate.test:3128"); return t }
	tests := []struct {
		name     string
		targets  []Target
		findings map[Group][]Finding
		want     []string
	}{
		{"nothing", nil, nil, nil},
		{"one", nil, map[Group][]Finding{Network: {finding(Fault, "sni-reset", "up.test")}}, []string{"sni-reset up.test"}},
		{
			"a blocked upstream takes the checksum database with it", []Target{up, db},
			map[Group][]Finding{Network: {finding(Fault, "sni-reset", "up.test")}, SumDB: {finding(Fault, "sumdb-unreachable", "sum.test", "Host", "up.test")}},
			[]string{"sni-reset up.test <- sumdb-unreachable sum.test"},
		},
		{
			"the database's own host is the nearer cause", []Target{up, db},
			map[Group][]Finding{Network: {finding(Fault, "tcp-timeout", "up.test"), finding(Fault, "dns-poisoned", "sum.test")}, SumDB: {finding(Fault, "sumdb-unreachable", "sum.test")}},
			[]string{"dns-poisoned sum.test <- sumdb-unreachable sum.test", "tcp-timeout up.test"},
		},
		{
			"an upstream that keeps go from the database, whose own host does not matter then", []Target{up, db},
			map[Group][]Finding{Network: {finding(Fault, "tcp-refused", "up.test"), finding(Fault, "dns-nxdomain", "sum.test")}, SumDB: {finding(Fault, "sumdb-unreachable", "up.test")},
				Settings: {finding(Warning, "gosumdb-other", "GOSUMDB")}},
			[]string{"tcp-refused up.test <- sumdb-unreachable up.test", "gosumdb-other GOSUMDB", "dns-nxdomain sum.test"},
		},
		{
			"two programs of one machine, neither of which listens", []Target{via(up), {Role: Upstream, URL: mustURL("http://127.0.0.1:8081")}},
			map[Group][]Finding{
				Network: {finding(Fault, "tcp-refused", "127.0.0.1:8081")},
				Proxies: {finding(Fault, "proxy-broken", "http://u:p@127.0.0.1:7890/", "Host", "up.test"), finding(Fault, "proxy-auth", "http://127.0.0.1:8081")},
			},
			[]string{"proxy-auth http://127.0.0.1:8081 <- tcp-refused 127.0.0.1:8081", "proxy-broken http://***@127.0.0.1:7890/"},
		},
		{
			"a dead address that is taken now and then", []Target{up, db},
			map[Group][]Finding{Network: {finding(Warning, "addresses-dead", "up.test")}, SumDB: {finding(Fault, "sumdb-unreachable", "up.test")}},
			[]string{"addresses-dead up.test <- sumdb-unreachable up.test"},
		},
		{
			"a warning about the way explains no fault", []Target{up, db},
			map[Group][]Finding{Network: {finding(Warning, "ipv6-broken", "up.test")}, SumDB: {finding(Fault, "sumdb-unreachable", "sum.test")}},
			[]string{"sumdb-unreachable sum.test", "ipv6-broken up.test"},
		},
		{
			"a dead proxy takes all behind it, and only that", []Target{via(up), second},
			map[Group][]Finding{
				Network: {finding(Fault, "proxy-broken", "up.test"), finding(Fault, "tcp-timeout", "second.test")},
				Proxies: {finding(Fault, "proxy-broken", "http://gate.test:3128", "Host", "up.test")},
			},
			[]string{"proxy-broken http://gate.test:3128 <- proxy-broken up.test", "tcp-timeout second.test"},
		},
		{
			"a portal explains everything", []Target{up, db},
			map[Group][]Finding{
				Network: {finding(Fault, "tls-bad-name", "up.test"), finding(Fault, "captive-portal", "example.com"), finding(Fault, "tls-mitm", "sum.test")},
				SumDB:   {finding(Fault, "sumdb-forged", "up.test")},
			},
			[]string{"captive-portal example.com <- tls-bad-name up.test <- tls-mitm sum.test <- sumdb-forged up.test"},
		},
		{
			"a wrong clock explains certificates", []Target{up},
			map[Group][]Finding{Network: {finding(Fault, "tls-untrusted", "up.test"), finding(Fault, "clock-wrong", "")}},
			[]string{"clock-wrong <- tls-untrusted up.test"},
		},
		{
			"a small packet size is one thing for many hosts", []Target{up, second, db},
			map[Group][]Finding{Network: {finding(Fault, "tls-large-hello", "up.test"), finding(Fault, "tls-large-hello", "second.test"), finding(Fault, "sni-reset", "sum.test")}},
			[]string{"tls-large-hello up.test <- tls-large-hello second.test", "sni-reset sum.test"},
		},
		{
			"two checks find the same", []Target{up},
			map[Group][]Finding{Network: {finding(Warning, "h2-broken", "up.test")}, Mirrors: {finding(Fault, "h2-broken", "up.test")}},
			[]string{"h2-broken up.test"},
		},
		{
			"faults before warnings before notes, settings before what lies behind", nil,
			map[Group][]Finding{
				Settings: {finding(Note, "goproxy-off", "GOPROXY"), finding(Warning, "go111module-auto", "GO111MODULE")},
				Network:  {finding(Fault, "sni-reset", "a.test")}, ModCache: {finding(Fault, "modcache-corrupt", "m")},
			},
			[]string{"sni-reset a.test", "modcache-corrupt m", "go111module-auto GO111MODULE", "goproxy-off GOPROXY"},
		},
		{
			"a chain has one root", []Target{up},
			map[Group][]Finding{
				Settings: {finding(Warning, "goproxy-gone", "up.test")}, Network: {finding(Fault, "dns-nxdomain", "up.test")},
				SumDB: {finding(Fault, "sumdb-unreachable", "sum.test", "Host", "up.test")},
			},
			[]string{"goproxy-gone up.test <- dns-nxdomain up.test <- sumdb-unreachable sum.test"},
		},
		{
			"the database's own host is not needed where an upstream carries it", []Target{up, db},
			map[Group][]Finding{Network: {finding(Fault, "dns-poisoned", "sum.test"), finding(Warning, "ipv6-broken", "up.test")}, SumDB: {}},
			[]string{"ipv6-broken up.test", "dns-poisoned sum.test"},
		},
		{
			"one archive host that answers is enough", []Target{{Role: SDKHost, URL: mustURL("https://a.test/dl")}, {Role: SDKHost, URL: mustURL("https://b.test/dl")}},
			map[Group][]Finding{Network: {finding(Fault, "sni-reset", "a.test")}, SDK: {finding(Fault, "go-missing", "go")}},
			[]string{"go-missing go", "sni-reset a.test"},
		},
		{
			"no archive host answers", []Target{{Role: SDKHost, URL: mustURL("https://a.test/dl")}, {Role: SDKHost, URL: mustURL("https://b.test/dl")}},
			map[Group][]Finding{Network: {finding(Fault, "sni-reset", "a.test"), finding(Fault, "sni-reset", "b.test")}},
			[]string{"sni-reset a.test <- sni-reset b.test"},
		},
		{
			"a dead proxy on a way that is not needed", []Target{up, via(db)},
			map[Group][]Finding{Proxies: {finding(Fault, "proxy-broken", "http://gate.test:3128", "Host", "sum.test")}, SumDB: {}, Settings: {finding(Warning, "gosumdb-other", "GOSUMDB")}},
			[]string{"gosumdb-other GOSUMDB", "proxy-broken http://gate.test:3128"},
		},
		{
			"sudo and what it left", nil,
			map[Group][]Finding{ModCache: {finding(Fault, "modcache-not-writable", "d"), finding(Fault, "modcache-owner", "d"), finding(Warning, "modcache-sudo", "d")}},
			[]string{"modcache-sudo d <- modcache-not-writable d <- modcache-owner d"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var checks []Check
			for _, g := range Groups() {
				if list, ok := tt.findings[g]; ok {
					checks = append(checks, outcome("of-"+string(g), g, Outcome{Findings: list}))
				}
			}
			rep := Examine(t.Context(), &Exam{Targets: tt.targets}, checks, Options{})
			if diff := cmp.Diff(tt.want, family(rep.Causes)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			consistent(t, rep)
		})
	}
}

// consistent wants every result to name the causes of its findings.
func consistent(t *testing.T, rep Report) {
	t.Helper()
	for _, res := range rep.Results {
		for _, f := range res.Findings {
			if !slices.ContainsFunc(res.Causes, func(n int) bool {
				c := rep.Causes[n]
				return slices.ContainsFunc(append([]Finding{c.Finding}, c.Follows...), func(o Finding) bool { return o.Code == f.Code && o.Subject == f.Subject })
			}) {
				t.Errorf("%s: no cause of %v has %s %s", res.Check, res.Causes, f.Code, f.Subject)
			}
		}
	}
}

func TestMerged(t *testing.T) {
	a, b := finding(Warning, "h2-broken", "a.test"), finding(Fault, "h2-broken", "a.test")
	a.Facts, b.Facts = []Fact{{Name: "x", Answer: Yes}}, []Fact{{Name: "x", Answer: Yes}, {Name: "y", Answer: No}}
	a.Fixes, b.Fixes = []Fix{{Code: "one", Kind: ByHand}}, []Fix{{Code: "two", Kind: ByHand}, {Code: "one", Kind: ByHand}}
	rep := Examine(t.Context(), &Exam{}, []Check{outcome("a", Network, Outcome{Findings: []Finding{a}}), outcome("b", Mirrors, Outcome{Findings: []Finding{b}})}, Options{})
	c := rep.Causes[0]
	if len(rep.Causes) != 1 || c.Severity != Fault || len(c.Facts) != 2 || len(c.Fixes) != 2 || c.Check != "a" {
		t.Errorf("merged: %+v", rep.Causes)
	}
	for _, res := range rep.Results {
		if !slices.Equal(res.Causes, []int{0}) {
			t.Errorf("%s belongs to %v", res.Check, res.Causes)
		}
	}
}

func TestHostOf(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "a.test": "a.test", "A.Test:443": "a.test", "https://a.test/x": "a.test", "http://[2001:db8::1]:80": "2001:db8::1", "[2001:db8::1]:443": "2001:db8::1",
		"GOPROXY": "", "localhost": "localhost", "localhost:80": "localhost", "/usr/bin": "", "go.mod": "go.mod", "a.test/path": "a.test", "two words.test": "", "://": "",
	} {
		if got := hostOf(in); got != want {
			t.Errorf("hostOf(%q) = %q, want %q", in, got, want)
		}
	}
}

// FuzzCauses wants every finding in the report exactly once, whatever follows from what.
func FuzzCauses(f *testing.F) {
	f.Add([]byte{1, 2, 3})
	f.Add([]byte{10, 10, 200, 3, 77, 10})
	codes := Codes()
	f.Fuzz(func(t *testing.T, data []byte) {
		x := &Exam{Targets: []Target{{Role: Upstream, URL: mustURL("https://h0.test"), Proxy: mustURL("http://h1.test")}, {Role: Database, URL: mustURL("https://h2.test")}}}
		var results []Result
		want := map[string]bool{}
		for i := 0; i+1 < len(data) && i < 40; i += 2 {
			fd := finding(Severities()[int(data[i+1]>>4)%3], codes[int(data[i])%len(codes)], fmt.Sprintf("h%d.test", data[i+1]%4))
			results = append(results, Result{Check: "c", Group: Network, Findings: []Finding{fd}})
			want[fd.Code+fd.Subject] = true
		}
		n := 0
		for _, c := range causesOf(x, results) {
			for _, fd := range append([]Finding{c.Finding}, c.Follows...) {
				n++
				if !want[fd.Code+fd.Subject] {
					t.Fatalf("%s %s comes from nowhere", fd.Code, fd.Subject)
				}
			}
		}
		if n != len(want) {
			t.Fatalf("%d findings of %d are in the report", n, len(want))
		}
	})
}
