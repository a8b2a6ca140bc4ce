package mirrors

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/goproxy"
)

func TestKnown(t *testing.T) {
	list := Known()
	if len(list) < 7 {
		t.Fatalf("only %d mirrors", len(list))
	}
	for _, m := range list {
		// Every name and URL must do in a list of upstreams.
		ups, err := goproxy.ParseUpstreams(m.URL + "=" + m.URL + ",direct")
		if err != nil || len(ups) != 3 || ups[0].URL != m.URL {
			t.Errorf("%s: %v, %v", m.Name, ups, err)
		}
		if got, ok := Pick(Targets(nil), m.Name); !ok || got.URL != m.URL {
			t.Errorf("%s is found as %+v", m.Name, got)
		}
	}
}

func TestParseKnown(t *testing.T) {
	row := func(name, url, operator string) string {
		return "[[mirror]]\nname = \"" + name + "\"\nurl = \"" + url + "\"\noperator = " + operator + "\n"
	}
	good := row("a", "https://a.example/p/", `{ en = "A", zh = "甲" }`)
	if list, err := parseKnown(good); err != nil || len(list) != 1 || list[0].Operator["zh"] != "甲" {
		t.Fatalf("%v, %v", list, err)
	}
	for what, data := range map[string]string{
		"strict mode":    good + "sumdb = true\n",
		"not an https":   row("a", "http://a.example", `{ en = "A", zh = "甲" }`),
		"not a name":     row("a=b", "https://a.example", `{ en = "A", zh = "甲" }`),
		"operator is":    row("a", "https://a.example", `{ en = "A" }`),
		"in two rows":    good + row("b", "https://A.example/p", `{ en = "A", zh = "甲" }`),
		"stands in two":  good + row("a", "https://b.example", `{ en = "A", zh = "甲" }`),
		"toml: expected": "mirror",
	} {
		if _, err := parseKnown(data); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

func TestTargets(t *testing.T) {
	known := Known()
	list := Targets([]string{"https://ferry:secret@corp.example:8443/go/", "direct", "file:///srv", known[1].URL, "https://CORP.example:8443/go", "off"})
	if len(list) != len(known)+1 {
		t.Fatalf("%d targets", len(list))
	}
	if got := list[0]; got.Name != "corp.example:8443/go" || !strings.Contains(got.URL, "secret") || !got.InUse || got.Operator != nil {
		t.Errorf("first is %+v", got)
	}
	if got := list[1]; got.Name != known[1].Name || !got.InUse || got.Operator["en"] == "" {
		t.Errorf("second is %+v", got)
	}
	if got := list[2]; got.Name != known[0].Name || got.InUse {
		t.Errorf("third is %+v", got)
	}
	for arg, want := range map[string]string{
		"corp.example:8443/go":                list[0].URL,
		"https://corp.example:8443/go":        list[0].URL,
		known[0].Name:                         known[0].URL,
		strings.TrimSuffix(known[1].URL, "/"): known[1].URL,
		"http://other.example/x":              "http://other.example/x",
	} {
		if got, ok := Pick(list, arg); !ok || got.URL != want {
			t.Errorf("%s is %+v", arg, got)
		}
	}
	for _, arg := range []string{"", "corp", "other.example", "file:///srv", "https://"} {
		if got, ok := Pick(list, arg); ok {
			t.Errorf("%q is %+v", arg, got)
		}
	}
}

func TestRank(t *testing.T) {
	ms := func(n int) Millis { return Millis(time.Duration(n) * time.Millisecond) }
	list := []Result{
		{Name: "forged", Verdict: Forged},
		{Name: "gone", Verdict: Unreachable},
		{Name: "slow", Verdict: Good, Module: ms(900)},
		{Name: "unverified", Verdict: Unverified, Module: ms(10)},
		{Name: "failing", Verdict: Failing, Rank: 7},
		{Name: "quick", Verdict: Partial, Module: ms(100)},
		{Name: "lacking", Verdict: Lacking},
		{Name: "also slow", Verdict: Good, Module: ms(900)},
		{Name: "forbidden", Verdict: Forbidden},
	}
	Rank(list)
	var names []string
	var ranks []int
	for _, r := range list {
		names, ranks = append(names, r.Name), append(ranks, r.Rank)
	}
	want := []string{"quick", "slow", "also slow", "unverified", "lacking", "forbidden", "failing", "gone", "forged"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]int{1, 2, 3, 4, 0, 0, 0, 0, 0}, ranks); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestEstimate(t *testing.T) {
	near, far := estimate(20*time.Millisecond, 1e6), estimate(200*time.Millisecond, 1e6)
	if got := time.Duration(near); got != 985*time.Millisecond {
		t.Errorf("%v", got)
	}
	if thin := estimate(20*time.Millisecond, 1e5); far <= near || thin <= far {
		t.Errorf("near %v, far %v, thin %v", near, far, thin)
	}
	if got := estimate(time.Second, 0); got != 0 {
		t.Errorf("no speed, and yet %v", got)
	}
}

func TestHigher(t *testing.T) {
	for _, tt := range [][3]string{
		{"", "v1.0.0", "v1.0.0"}, {"v1.0.0", "", "v1.0.0"}, {"", "v1.0.0-rc.1", "v1.0.0-rc.1"},
		{"v1.0.0", "v2.0.0-rc.1", "v1.0.0"}, {"v2.0.0-rc.1", "v1.0.0", "v1.0.0"},
		{"v1.10.0", "v1.9.0", "v1.10.0"}, {"v1.0.0", "v2.0.0+incompatible", "v2.0.0+incompatible"},
	} {
		if got := higher(tt[0], tt[1]); got != tt[2] {
			t.Errorf("higher(%q, %q) = %q", tt[0], tt[1], got)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		list []time.Duration
		want time.Duration
	}{{nil, 0}, {[]time.Duration{5}, 5}, {[]time.Duration{9, 1}, 5}, {[]time.Duration{900, 1, 2}, 2}} {
		if got := median(tt.list); got != tt.want {
			t.Errorf("median(%v) = %v", tt.list, got)
		}
	}
}

func TestMillis(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0", 1234567 * time.Nanosecond: "1.2", 2 * time.Second: "2000"} {
		if got, err := Millis(d).MarshalJSON(); err != nil || string(got) != want {
			t.Errorf("%v is %s, %v", d, got, err)
		}
	}
}
