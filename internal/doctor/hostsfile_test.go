package doctor

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/transport"
)

// TestHostsFile has lines in the hosts file that name addresses for the mirror. One that leads away from it is the cause, and is
// named; one that leads to it is nobody's business.
func TestHostsFile(t *testing.T) {
	const before = "127.0.0.1 localhost\n# 45.77.1.10 mirror.example.net\n"
	for _, tt := range []struct {
		name, line string
		build      func(n *internet)
		want, op   string
		fix        Fix // the first
	}{
		{name: "a dead address", line: "31.13.94.1 mirror.example.net\n", build: func(n *internet) { n.elsewhere(simDNS{addrs: addrs("31.13.94.1")}) },
			want: codeHostsPinned, fix: Fix{Kind: EditFile, Old: "31.13.94.1 mirror.example.net\n"}},
		{name: "among others, with other letters", line: "31.13.94.1\tA.example.net  Mirror.Example.NET. b.example.net # of 2024\r\n",
			build: func(n *internet) { n.elsewhere(simDNS{addrs: addrs("31.13.94.1")}) }, want: codeHostsPinned,
			fix: Fix{Kind: EditFile, Old: "31.13.94.1\tA.example.net  Mirror.Example.NET. b.example.net # of 2024\r\n", New: "31.13.94.1 A.example.net b.example.net # of 2024\r\n"}},
		{name: "this machine, as lists against advertisements have it", line: "127.0.0.1 mirror.example.net", want: codeHostsPinned,
			build: func(n *internet) {
				n.elsewhere(simDNS{addrs: addrs("127.0.0.1")})
				n.refusing = addrs("127.0.0.1")
			}, fix: Fix{Kind: EditFile, Old: "127.0.0.1 mirror.example.net"}},
		{name: "the address of somebody else", line: "31.13.94.1 mirror.example.net\n", want: codeHostsPinned, build: func(n *internet) {
			n.elsewhere(simDNS{addrs: addrs("31.13.94.1")})
			n.truth["www.social.example"] = addrs("31.13.94.1")
			n.serve("31.13.94.1:443", &simServer{})
		}, fix: Fix{Kind: EditFile, Old: "31.13.94.1 mirror.example.net\n"}},

		{name: "nobody knows better", line: "10.1.2.3 mirror.example.net\n", want: string(VerdictTCPTimeout), op: "connect", build: func(n *internet) {
			n.system = n.with(simHost, "10.1.2.3")
			delete(n.truth, simHost)
		}, fix: Fix{Kind: ByHand, Code: fixHostsDrop}},
		{name: "another address is dead, too", line: "45.77.1.10 mirror.example.net\n", want: string(VerdictTCPTimeout), op: "connect", build: func(n *internet) {
			n.elsewhere(simDNS{addrs: addrs("45.77.1.10")})
			n.drop("45.77.1.10:443")
			n.drop("45.77.1.20:443")
		}, fix: Fix{Kind: ByHand, Code: fixOtherMirror}},
		{name: "the line names other addresses than the answer has", line: "10.9.9.9 mirror.example.net\n", want: string(VerdictDNSPoisoned), op: "resolve",
			build: func(n *internet) { n.elsewhere(simDNS{addrs: addrs("127.0.0.1")}); n.refusing = addrs("127.0.0.1") }, fix: Fix{Kind: ByHand, Code: fixOtherResolver}},
		{name: "a good address", line: "45.77.1.10 mirror.example.net\n", build: func(*internet) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := newInternet(t)
			tt.build(n)
			x, _ := n.exam("https://"+simHost, "")
			x.Hosts = HostsFile{Path: "/etc/hosts", Text: before + tt.line}
			o := networkCheck(t.Context(), x)
			if tt.want == "" {
				if len(o.Findings) != 0 || o.NotRun != "" {
					t.Errorf("found %+v", o)
				}
				return
			}
			if len(o.Findings) != 1 || o.Findings[0].Code != tt.want {
				t.Fatalf("found %+v, want %s", o.Findings, tt.want)
			}
			textsFit(t, o.Findings)
			checkCodes(t, o)
			f := o.Findings[0]
			if tt.want == codeHostsPinned {
				tt.op, tt.fix.Code, tt.fix.Root, tt.fix.File = "resolve", fixHostsDrop, true, "/etc/hosts"
				tt.fix.Args = map[string]string{"Host": simHost, "Line": "3", "File": "/etc/hosts"}
				if f.Args["Line"] != "3" || f.Args["File"] != "/etc/hosts" {
					t.Errorf("args %v", f.Args)
				}
				if diff := cmp.Diff(tt.fix, f.Fixes[0]); diff != "" {
					t.Errorf("-want +got\n%s", diff)
				}
			} else {
				got := map[string]FixKind{}
				for _, fix := range f.Fixes {
					got[fix.Code] = fix.Kind
				}
				if got[tt.fix.Code] != tt.fix.Kind || got[fixHostsDrop] == EditFile {
					t.Errorf("fixes %+v", f.Fixes)
				}
			}
			if f.Op != transport.Op(tt.op) || strings.HasPrefix(tt.line, "10.9") == (answerOf(f.Facts, factHostsFile) == Yes) {
				t.Errorf("at %q\n%s", f.Op, showFacts(f.Facts))
			}
		})
	}
}

// FuzzHostsWithout: what is taken out is out, and everybody else stays.
func FuzzHostsWithout(f *testing.F) {
	for _, s := range []string{"1.2.3.4 a b\n", "1.2.3.4\ta # b\r\n", "::1 a", "#", "1.2.3.4 A. a a\n", "1.2.3.4 b a#a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, l := range (HostsFile{Text: text}).lines("a") {
			rest := hostsWithout(l.text, "a")
			if len((HostsFile{Text: rest}).lines("a")) != 0 {
				t.Errorf("%q still has it: %q", l.text, rest)
			}
			if had, has := (HostsFile{Text: l.text}).lines("b"), (HostsFile{Text: rest}).lines("b"); len(had) != len(has) {
				t.Errorf("%q became %q", l.text, rest)
			}
		}
	})
}
