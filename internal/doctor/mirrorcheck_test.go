package doctor

import (
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const labSumDB = "sumdb.example.com"

func mirrorScenarios(t *testing.T, rec *record) {
	const one, two = "https://a.example.com,direct", "https://a.example.com,https://b.example.com"
	type lab = *httpLab
	both := func(a, b string) func(lab) {
		return func(l lab) {
			l.https("a.example.com", l.at(a), true)
			l.https("b.example.com", l.at(b), true)
		}
	}
	// newer is a server that has a version more than the lab's.
	newer := func(faults string, when time.Time) func(lab) {
		return func(l lab) {
			files := map[string]string{"go.mod": "module golang.org/x/mod\n", ".info": `{"Version":"v0.18.0","Time":"` + when.Format(time.RFC3339) + `"}`}
			if err := l.up.AddModule("golang.org/x/mod", "v0.18.0", files); err != nil {
				l.t.Fatal(err)
			}
			l.https("b.example.com", l.at(""), true)
			l.https("a.example.com", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "x/mod/@v/list") {
					w.Write([]byte("v0.17.0\n"))
					return
				}
				l.at(faults).ServeHTTP(w, r)
			}), true)
		}
	}
	tests := []struct {
		name    string
		goproxy string
		set     func(l lab)
		want    []string
	}{
		{"healthy", one, func(l lab) { l.https("a.example.com", l.at(""), true) }, nil},
		{"without the database, which answers itself", one, func(l lab) {
			l.https("a.example.com", l.at("/nosumdb"), true)
			l.https(labSumDB, l.at("/sumdb/"+labSumDB), true)
		}, nil},
		{"has no public modules", one, func(l lab) { l.https("a.example.com", l.at("/404"), true) }, nil},
		{"two of one mind", two, both("", ""), nil},
		{"pseudo-versions and garbage in the list", one, func(l lab) { l.https("a.example.com", l.at("/only/list/garbagelist"), true) }, nil},
		{"nobody to ask for the hash", one, func(l lab) { l.https("a.example.com", l.at("/nosumdb/wrongsum"), true) }, nil},
		{"the database is forged, the module is not", one, func(l lab) { l.https("a.example.com", l.at("/sumdb-badkey"), true) }, nil},
		{"behind by an hour", two, newer("", time.Now().Add(-time.Hour)), nil},

		{"other bytes", one, func(l lab) { l.https("a.example.com", l.at("/wrongsum"), true) }, []string{"fault mirror-lies"}},
		{"other bytes of one", two, both("", "/wrongsum"), []string{"fault mirror-lies"}},
		{"a damaged zip", one, func(l lab) { l.https("a.example.com", l.at("/only/zip/corrupt"), true) }, []string{"fault mirror-lies"}},
		{"behind by a month", two, newer("", time.Now().AddDate(0, -1, 0)), []string{"warning mirror-stale"}},
		{"behind by a month, in a company", two, func(l lab) {
			l.addrs["a.example.com"] = netip.MustParseAddr("10.1.2.3")
			newer("", time.Now().AddDate(0, -1, 0))(l)
		}, []string{"note mirror-stale"}},
		{"no ranges", one, func(l lab) { l.https("a.example.com", l.at("/norange"), true) }, []string{"note mirror-no-ranges"}},
		{"nothing there", one, func(l lab) { l.addr("a.example.com") }, []string{"not run: no-network"}},
		{"no upstream", "direct", func(lab) {}, []string{"not run: not-needed"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newHTTPLab(t)
			tt.set(l)
			o := mirrorCheck(t.Context(), l.exam(tt.goproxy))
			rec.add(tt.name, strings.Join(tt.want, " "), strings.Join(said(o), " "))
			textsFit(t, o.Findings)
			if diff := cmp.Diff(tt.want, said(o)); diff != "" {
				t.Errorf("-want +got\n%s\n%+v", diff, o)
			}
			for _, f := range o.Facts { // what nobody could compare is not healthy
				if tt.name == "nobody to ask for the hash" && f.Name == factHashRight && f.Answer != Unmeasured {
					t.Errorf("fact %+v", f)
				}
			}
		})
	}
}

// TestMirrorClaims is a mirror that lists a version which the database does not know: that makes no other stale.
func TestMirrorClaims(t *testing.T) {
	l := newHTTPLab(t)
	l.https("a.example.com", l.at(""), true)
	l.https("b.example.com", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "x/mod/@v/list"):
			w.Write([]byte("v0.17.0\nv9.0.0\n"))
		case strings.HasSuffix(r.URL.Path, "v9.0.0.info"):
			w.Write([]byte(`{"Version":"v9.0.0","Time":"2020-01-01T00:00:00Z"}`))
		default:
			l.at("").ServeHTTP(w, r)
		}
	}), true)
	o := mirrorCheck(t.Context(), l.exam("https://a.example.com,https://b.example.com"))
	if got := said(o); got != nil {
		t.Errorf("found %q", got)
	}
}

// TestMirrorBaseline is the list of a mirror of public modules that stands alone and has been standing still.
func TestMirrorBaseline(t *testing.T) {
	l := newHTTPLab(t)
	l.https("a.example.com", l.at(""), true)
	x := l.exam("https://a.example.com")
	x.SumDB = publicSumDB
	o := mirrorCheck(t.Context(), x)
	// The lab's module is not the one that the world knows.
	if diff := cmp.Diff([]string{"fault mirror-lies", "warning mirror-stale"}, said(o)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestSumFiles is a bundle that brings the records of what is in it, and no more.
func TestSumFiles(t *testing.T) {
	l := newHTTPLab(t)
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"sumdb/" + labSumDB + "/supported": ""})
	x := l.exam("file://" + filepath.ToSlash(dir))
	o := sumCheck(t.Context(), x)
	if o.NotRun != "" || len(o.Findings) != 0 || answerOf(o.Facts, factSumVia) != Yes || answerOf(o.Facts, factSumVerified) != Unmeasured {
		t.Errorf("found %+v", o)
	}
	if err := os.RemoveAll(filepath.Join(dir, "sumdb")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"fault sumdb-unreachable"}, said(sumCheck(t.Context(), x))); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// writeTree writes files by their names.
func writeTree(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func sumScenarios(t *testing.T, rec *record) {
	const one, two, pipe = "https://a.example.com,direct", "https://a.example.com,https://b.example.com", "https://a.example.com|https://b.example.com"
	type lab = *httpLab
	db := func(l lab) { l.https(labSumDB, l.at("/sumdb/"+labSumDB), true) }
	up := func(host, faults string, h2 bool) func(lab) {
		return func(l lab) { l.https(host, l.at(faults), h2) }
	}
	tests := []struct {
		name    string
		goproxy string
		gosumdb func(l lab) string
		set     []func(l lab)
		want    []string
		fix     string
	}{
		{name: "through the upstream, its own host is dead", goproxy: one, set: []func(lab){up("a.example.com", "", true)}},
		{name: "through the second upstream", goproxy: two, set: []func(lab){up("a.example.com", "/nosumdb", true), up("b.example.com", "", true)}},
		{name: "through the second after an error", goproxy: pipe, set: []func(lab){up("a.example.com", "/sumdb-503", true), up("b.example.com", "", true)}},
		{name: "itself", goproxy: one, set: []func(lab){up("a.example.com", "/nosumdb", true), db}},
		{name: "itself without upstreams", goproxy: "direct", set: []func(lab){db}},
		{name: "at a URL of its own", goproxy: one, gosumdb: func(l lab) string { return l.up.GOSUMDB() + " https://c.example.com" },
			set: []func(lab){up("a.example.com", "/503", true), up("c.example.com", "/sumdb/"+labSumDB, true)}},
		{name: "off", goproxy: one, gosumdb: func(lab) string { return "off" }, want: []string{"not run: not-needed"}},
		{name: "GOPROXY is off, and nothing is fetched", goproxy: "off", want: []string{"not run: not-needed"}},
		{name: "after an error the second has it not, but direct ends the list", goproxy: pipe + "|direct",
			set: []func(lab){up("a.example.com", "/sumdb-503", true), up("b.example.com", "/nosumdb", true), db}},
		{name: "not to be read", goproxy: one, gosumdb: func(lab) string { return "on" }, want: []string{"not run: not-readable"}},

		{name: "nobody has it", goproxy: one, set: []func(lab){up("a.example.com", "/nosumdb", true)}, want: []string{"fault sumdb-unreachable"}, fix: fixOtherMirror},
		{name: "refused by the first, the second has it", goproxy: two, set: []func(lab){up("a.example.com", "/sumdb-503", true), up("b.example.com", "", true)},
			want: []string{"fault sumdb-refused"}, fix: fixSumVia},
		{name: "the first is dead", goproxy: two, set: []func(lab){func(l lab) { l.addr("a.example.com") }, up("b.example.com", "", true)},
			want: []string{"fault sumdb-unreachable"}, fix: fixSumVia},
		{name: "the first is silent, whatever stands behind it", goproxy: pipe, set: []func(lab){up("a.example.com", "/only/sumdb/hang", true), up("b.example.com", "", true)},
			want: []string{"fault sumdb-unreachable"}, fix: fixSumVia},
		{name: "an error of the first counts where the second has it not", goproxy: pipe, set: []func(lab){up("a.example.com", "/sumdb-503", true), up("b.example.com", "/nosumdb", true), db},
			want: []string{"fault sumdb-refused"}},
		{name: "off does not make good for it", goproxy: "https://a.example.com|off", set: []func(lab){up("a.example.com", "/sumdb-503", true), db},
			want: []string{"fault sumdb-refused"}},
		{name: "another key", goproxy: one, set: []func(lab){up("a.example.com", "/sumdb-badkey", true)}, want: []string{"fault sumdb-forged"}},
		{name: "a page instead", goproxy: one, set: []func(lab){up("a.example.com", "/nosumdb", true),
			func(l lab) { l.https(labSumDB, page(), true) }}, want: []string{"fault sumdb-unreachable"}},
		{name: "its lookups fail", goproxy: one, set: []func(lab){up("a.example.com", "/nosumdb", true), func(l lab) {
			l.https(labSumDB, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "lookup") {
					w.WriteHeader(http.StatusBadGateway)
					return
				}
				l.at("/sumdb/"+labSumDB).ServeHTTP(w, r)
			}), true)
		}}, want: []string{"fault sumdb-unreachable"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newHTTPLab(t)
			for _, set := range tt.set {
				set(l)
			}
			x := l.exam(tt.goproxy)
			if tt.gosumdb != nil {
				x.SumDB = tt.gosumdb(l)
			}
			o := sumCheck(t.Context(), x)
			rec.add(tt.name, strings.Join(tt.want, " "), strings.Join(said(o), " "))
			textsFit(t, o.Findings)
			if diff := cmp.Diff(tt.want, said(o)); diff != "" {
				t.Errorf("-want +got\n%s\n%+v", diff, o)
			}
			if tt.fix != "" && !hasFix(o, tt.fix, "") {
				t.Errorf("no fix %s in %+v", tt.fix, o.Findings)
			}
		})
	}
}
