package doctor

import (
	"archive/zip"
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/gocmd"
)

// walked is a walk in short: how it ended, each stop, and what was found.
func walked(w Walk) []string {
	list := []string{string(w.State)}
	for _, s := range w.Stops {
		name := strings.TrimPrefix(s.Name, "https://")
		line := name + " " + string(s.State)
		if !s.Asked {
			line += " (not asked)"
		}
		for _, step := range s.Steps {
			line += " " + step.What
		}
		list = append(list, line)
	}
	for _, c := range w.Causes {
		list = append(list, string(c.Severity)+" "+c.Code)
		for _, f := range c.Follows {
			list = append(list, "  "+string(f.Severity)+" "+f.Code)
		}
	}
	return list
}

func TestWalk(t *testing.T) {
	const one, comma, pipe = "https://a.example.com", "https://a.example.com,https://b.example.com", "https://a.example.com|https://b.example.com"
	type lab = *httpLab
	up := func(host, faults string) func(lab) {
		return func(l lab) { l.https(host, l.at(faults), true) }
	}
	dead := func(host string) func(lab) { return func(l lab) { l.addr(host) } }
	tests := []struct {
		name, goproxy, module, query string
		env                          map[string]string // of go env
		set                          []func(lab)
		want                         []string
		fix, value                   string
	}{
		{name: "a version", goproxy: one, module: "rsc.io/quote", query: "v1.5.2", set: []func(lab){up("a.example.com", "")},
			want: []string{"served", "a.example.com served info mod zip", "sumdb.example.com served lookup"}},
		{name: "the latest", goproxy: one, module: "rsc.io/quote", set: []func(lab){up("a.example.com", "")},
			want: []string{"served", "a.example.com served list info mod zip", "sumdb.example.com served lookup"}},
		{name: "a package of it", goproxy: one, module: "rsc.io/quote/sub/pkg", query: "v1.5.2", set: []func(lab){up("a.example.com", "")},
			want: []string{"served", "a.example.com served info info info mod zip", "sumdb.example.com served lookup"}},
		{name: "at the second", goproxy: comma, module: "rsc.io/quote", query: "v1.5.2", set: []func(lab){up("a.example.com", "/404"), up("b.example.com", "")},
			want: []string{"served", "a.example.com not-found info info", "b.example.com served info mod zip", "sumdb.example.com served lookup"}},
		{name: "after an error", goproxy: pipe, module: "rsc.io/quote", query: "v1.5.2", set: []func(lab){up("a.example.com", "/503"), up("b.example.com", "")},
			want: []string{"served", "a.example.com failed info", "b.example.com served info mod zip", "sumdb.example.com served lookup", "warning module-failed"}},
		{name: "a package far below it", goproxy: one, module: "rsc.io/quote/a/b/c/d/e/f", query: "v1.5.2", set: []func(lab){up("a.example.com", "")},
			want: []string{"served", "a.example.com served info info info info info info info mod zip", "sumdb.example.com served lookup"}},
		{name: "the beginning of a version", goproxy: one, module: "rsc.io/quote", query: "v1", set: []func(lab){up("a.example.com", "")},
			want: []string{"served", "a.example.com served list info mod zip", "sumdb.example.com served lookup"}},
		{name: "a version below another", goproxy: one, module: "rsc.io/quote", query: "<v1.9.0", set: []func(lab){up("a.example.com", "")},
			want: []string{"served", "a.example.com served list info mod zip", "sumdb.example.com served lookup"}},
		{name: "a version that is not there", goproxy: one, module: "rsc.io/quote", query: ">v1.9.0", set: []func(lab){up("a.example.com", "")},
			want: []string{"not-found", "a.example.com not-found list list", "fault module-not-found"}},
		{name: "GONOSUMDB", goproxy: one, module: "rsc.io/quote", query: "v1.5.2", env: map[string]string{"GONOSUMDB": "rsc.io"},
			set: []func(lab){up("a.example.com", "/sumdb-503")}, want: []string{"served", "a.example.com served info mod zip"}},

		{name: "an error before a comma", goproxy: comma, module: "rsc.io/quote", query: "v1.5.2", set: []func(lab){up("a.example.com", "/503"), up("b.example.com", "")},
			want: []string{"failed", "a.example.com failed info", "b.example.com served (not asked) info", "fault module-failed"},
			fix:  fixPipe, value: "https://a.example.com|https://b.example.com"},
		{name: "silence before a bar", goproxy: pipe, module: "rsc.io/quote", query: "v1.5.2", set: []func(lab){up("a.example.com", "/hang"), up("b.example.com", "")},
			want: []string{"silent", "a.example.com silent info", "b.example.com served (not asked) info", "fault http-stalled"},
			fix:  fixDropProxy, value: "https://b.example.com"},
		{name: "the zip stops", goproxy: one, module: "golang.org/x/mod", query: "v0.17.0", set: []func(lab){up("a.example.com", "/only/zip/stall/50%")},
			want: []string{"silent", "a.example.com silent info mod zip", "fault http-stalled"}},
		{name: "nothing listens", goproxy: one, module: "rsc.io/quote", query: "v1.5.2", set: []func(lab){dead("a.example.com")},
			want: []string{"failed", "a.example.com failed info", "fault tcp-refused"}},
		{name: "nobody has it", goproxy: one, module: "example.com/typo", query: "v1.0.0", set: []func(lab){up("a.example.com", "")},
			want: []string{"not-found", "a.example.com not-found info info", "fault module-not-found"}, fix: fixAddDirect, value: "https://a.example.com,direct"},
		{name: "other bytes", goproxy: one, module: "rsc.io/quote", query: "v1.5.2", set: []func(lab){up("a.example.com", "/wrongsum")},
			want: []string{"failed", "a.example.com served info mod zip", "sumdb.example.com served lookup", "fault mirror-lies"}},
		{name: "off", goproxy: "off", module: "rsc.io/quote", want: []string{"off", "off off", "fault module-proxy-off"}},
		{name: "the end of the list is off", goproxy: "https://a.example.com,off", module: "example.com/typo", query: "v1.0.0", set: []func(lab){up("a.example.com", "")},
			want: []string{"off", "a.example.com not-found info info", "off off", "fault module-proxy-off"}},
		{name: "the database has no record", goproxy: one, module: "corp.example.com/secret/tool", query: "v1.0.0", set: []func(lab){func(l lab) {
			l.https("a.example.com", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "/lookup/") {
					http.Error(w, "not found", http.StatusNotFound)
					return
				}
				l.at("").ServeHTTP(w, r)
			}), true)
			if err := l.up.AddModule("corp.example.com/secret/tool", "v1.0.0", map[string]string{"a.go": "package a\n"}); err != nil {
				panic(err)
			}
		}}, want: []string{"failed", "a.example.com served info mod zip", "sumdb.example.com not-found lookup", "fault module-private"},
			fix: fixGoPrivate, value: "corp.example.com/secret"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newHTTPLab(t)
			for _, set := range tt.set {
				set(l)
			}
			x := l.exam(tt.goproxy)
			for k, v := range tt.env {
				x.GoEnv.Values[k] = v
			}
			w := x.Walk(t.Context(), tt.module, tt.query)
			if diff := cmp.Diff(tt.want, walked(w)); diff != "" {
				t.Errorf("-want +got\n%s\n%+v", diff, w.Causes)
			}
			o := Outcome{}
			for _, c := range w.Causes {
				o.Findings = append(o.Findings, c.Finding)
			}
			textsFit(t, o.Findings)
			if tt.fix != "" && !hasFix(o, tt.fix, tt.value) {
				t.Errorf("no fix %s %s in %+v", tt.fix, tt.value, o.Findings)
			}
		})
	}
}

// TestWalkTimes wants each step of a first request to have taken time, and a request over the same connection no
// connection.
func TestWalkTimes(t *testing.T) {
	l := newHTTPLab(t)
	l.https("a.example.com", l.at(""), true)
	w := l.exam("https://a.example.com").Walk(t.Context(), "rsc.io/quote", "v1.5.2")
	steps := w.Stops[0].Steps
	first := steps[0].Timing
	if first.Connect <= 0 || first.TLS <= 0 || first.FirstByte <= 0 || first.Proxy != 0 {
		t.Errorf("first request took %+v", first)
	}
	if later := steps[1].Timing; later.Resolve != 0 || later.Connect != 0 || later.TLS != 0 || later.FirstByte <= 0 {
		t.Errorf("later request took %+v", later)
	}
	if z := steps[2]; z.Bytes == 0 || z.Proto != "HTTP/2" || z.Addr == "" {
		t.Errorf("zip %+v", z)
	}
}

// TestWalkThroughProxy wants the proxy in the walk, and its log-in in no part of it.
func TestWalkThroughProxy(t *testing.T) {
	l := newHTTPLab(t)
	l.https("a.example.com", l.at(""), true)
	p := labProxy{l: l, user: "u:secret123"}
	l.point("proxy.example.com", 3128, p.http(t))
	l.hide("a.example.com")
	x := l.with(l.exam("https://a.example.com"), "HTTPS_PROXY=http://u:secret123@proxy.example.com:3128")
	w := x.Walk(t.Context(), "rsc.io/quote", "v1.5.2")
	if w.State != WalkServed || w.Stops[0].Via != "http://proxy.example.com:3128" || w.Stops[0].Steps[0].Timing.Proxy <= 0 {
		t.Errorf("walk %+v", w)
	}
	p2 := labProxy{l: l, user: "u:other"}
	l.point("proxy.example.com", 3128, p2.http(t))
	w = x.Walk(t.Context(), "rsc.io/quote", "v1.5.2")
	if diff := cmp.Diff([]string{"failed", "a.example.com failed info", "fault proxy-auth"}, walked(w)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if text := fmt.Sprintf("%+v", w.Causes); strings.Contains(text, "secret123") {
		t.Errorf("a password is shown: %s", text)
	}
}

// TestWalkPrivate has a repository of git under a private pattern: no proxy is asked.
func TestWalkPrivate(t *testing.T) {
	l := newHTTPLab(t)
	l.https("a.example.com", l.at(""), true)
	repo := gitRepo(t, "v1.2.3")
	meta := fmt.Sprintf(`<html><meta name="go-import" content="corp.example.com/tool git file://%s"></html>`, filepath.ToSlash(repo))
	l.https("corp.example.com", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, meta) }), true)
	x := l.exam("https://a.example.com")
	x.Runner = &gocmd.Runner{}
	x.GoEnv.Values["GOPRIVATE"] = "corp.example.com"
	for _, tt := range []struct {
		query string
		want  []string
	}{
		{"v1.2.3", []string{"served", "direct served go-get git"}},
		{"latest", []string{"served", "direct served go-get git"}},
		{"v9.9.9", []string{"not-found", "direct not-found go-get git", "fault module-not-found"}},
	} {
		w := x.Walk(t.Context(), "corp.example.com/tool", tt.query)
		if diff := cmp.Diff(tt.want, walked(w)); diff != "" {
			t.Errorf("%s: -want +got\n%s", tt.query, diff)
		}
	}
	if n := l.up.Count("corp.example.com"); n != 0 {
		t.Errorf("a private name was asked for %d times", n)
	}
	if err := os.RemoveAll(repo); err != nil {
		t.Fatal(err)
	}
	w := x.Walk(t.Context(), "corp.example.com/tool", "v1.2.3")
	if w.State != WalkFailed || len(w.Causes) != 1 || !slices.Contains([]string{codeWalkGit, codeWalkGitAuth}, w.Causes[0].Code) {
		t.Errorf("without the repository: %q", walked(w))
	}
}

// TestWalkLogIn is a repository that wants a log-in: where the database would be asked for it next, GOPRIVATE is proposed, and
// left to the reader.
func TestWalkLogIn(t *testing.T) {
	const said = "fatal: could not read Username for 'https://corp.example': terminal prompts disabled"
	for private, want := range map[string][]string{
		"":             {fixModuleGit + " manual ", fixGoPrivate + " manual go env -w GOPRIVATE=corp.example/team"},
		"corp.example": {fixModuleGit + " manual "},
	} {
		wk := &walker{w: &Walk{Module: "corp.example/team/tool", Version: "v1.0.0"},
			x: &Exam{SumDB: publicSumDB, GoEnv: GoEnv{Values: map[string]string{"GOPRIVATE": private, "GOPROXY": "direct"}}}}
		wk.judgeGit(t.Context(), WalkStop{}, WalkStep{What: "git", URL: "https://corp.example/team/tool.git", Error: said}, map[string]string{})
		var got []string
		for _, f := range wk.findings[0].Fixes {
			got = append(got, f.Code+" "+string(f.Kind)+" "+strings.Join(f.Command, " "))
		}
		if diff := cmp.Diff(want, got); diff != "" || wk.findings[0].Code != codeWalkGitAuth {
			t.Errorf("GOPRIVATE=%s: %s\n%s", private, wk.findings[0].Code, diff)
		}
	}
}

// gitRepo makes a repository with a tag.
func gitRepo(t *testing.T, tag string) string {
	t.Helper()
	dir := t.TempDir()
	env := []string{"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com", "GIT_CONFIG_GLOBAL=" + os.DevNull}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"commit", "-q", "--allow-empty", "-m", "one"}, {"tag", tag}} {
		res, err := (&gocmd.Runner{}).Run(t.Context(), gocmd.Cmd{Name: "git", Args: args, Dir: dir, Env: env})
		if err != nil || res.ExitCode != 0 {
			t.Fatalf("git %s: %v %s", args[0], err, res.Stderr)
		}
	}
	return dir
}

// TestWalkFiles has a tree of files in the place of a proxy, as GOPROXY=file:// takes it.
func TestWalkFiles(t *testing.T) {
	l := newHTTPLab(t)
	l.https(labSumDB, l.at("/sumdb/"+labSumDB), true)
	l.https("a.example.com", l.at(""), true)
	dir := t.TempDir()
	files := map[string]string{"rsc.io/quote/@v/list": "v1.5.2\n", "rsc.io/quote/@v/v1.5.2.info": `{"Version":"v1.5.2"}`}
	for _, kind := range []string{"mod", "zip"} {
		w := httptest.NewRecorder()
		l.up.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/rsc.io/quote/@v/v1.5.2."+kind, nil))
		files["rsc.io/quote/@v/v1.5.2."+kind] = w.Body.String()
	}
	writeTree(t, dir, files)
	file := "file://" + filepath.ToSlash(dir)
	served := func(steps string) []string {
		return []string{"served", file + " served " + steps, labSumDB + " served lookup"}
	}
	for _, tt := range []struct {
		goproxy, module, query string
		want                   []string
	}{
		{file, "rsc.io/quote", "v1.5.2", served("info mod zip")},
		{file, "rsc.io/quote", "", served("list info mod zip")},
		{file, "rsc.io/quote/sub", "latest", served("list latest list info mod zip")},
		{file + ",https://a.example.com", "golang.org/x/mod", "v0.17.0", []string{"served", file + " not-found info", "a.example.com served info mod zip", labSumDB + " served lookup"}},
		{file, "rsc.io/quote", "v1.0.0", []string{"not-found", file + " not-found info info", "fault module-not-found"}},
		{"https://b.example.com," + file, "rsc.io/quote", "v1.5.2", []string{"failed", "b.example.com failed info", file + " served (not asked) info", "fault dns-nxdomain"}},
	} {
		w := l.exam(tt.goproxy).Walk(t.Context(), tt.module, tt.query)
		if diff := cmp.Diff(tt.want, walked(w)); diff != "" {
			t.Errorf("%s %s@%s: -want +got\n%s", tt.goproxy, tt.module, tt.query, diff)
		}
		if w.State == WalkServed && w.Version == "latest" || w.State != WalkServed && w.Version != "" {
			t.Errorf("version %q", w.Version)
		}
	}
	// A bundle that says that it has the records, and has them not.
	writeTree(t, dir, map[string]string{"sumdb/" + labSumDB + "/supported": ""})
	w := l.exam(file).Walk(t.Context(), "rsc.io/quote", "v1.5.2")
	if diff := cmp.Diff([]string{"failed", file + " served info mod zip", labSumDB + " not-found lookup", "fault sumdb-unreachable"}, walked(w)); diff != "" {
		t.Errorf("a bundle without the record: -want +got\n%s", diff)
	}
}

// TestWalkDead is a list of hosts that say nothing: what stands behind the first is asked at once.
func TestWalkDead(t *testing.T) {
	l := newHTTPLab(t)
	var mu sync.Mutex
	waiting, most := 0, 0
	silent := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		if waiting++; waiting > most {
			most = waiting
		}
		mu.Unlock()
		<-r.Context().Done()
		mu.Lock()
		waiting--
		mu.Unlock()
	})
	for _, host := range []string{"a", "b", "c", "d"} {
		l.https(host+".example.com", silent, true)
	}
	w := l.exam("https://a.example.com|https://b.example.com|https://c.example.com,https://d.example.com").Walk(t.Context(), "rsc.io/quote", "v1.5.2")
	want := []string{"silent", "a.example.com silent info", "b.example.com silent (not asked) info", "c.example.com silent (not asked) info",
		"d.example.com silent (not asked) info", "fault http-stalled"}
	if diff := cmp.Diff(want, walked(w)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if mu.Lock(); most < 3 {
		t.Errorf("%d of them were asked at once", most)
	}
	mu.Unlock()
}

func TestWalkAllows(t *testing.T) {
	const list = "v0.9.0\nv1.0.0\nv1.2.0\nv1.10.0\nv1.11.0-rc.1\n"
	for query, want := range map[string]string{"latest": "v1.10.0", "v1": "v1.10.0", "v1.1": "", "v1.2": "v1.2.0", "<v1.10.0": "v1.2.0", "<=v1.10.0": "v1.10.0",
		">v1.0.0": "v1.2.0", ">=v1.0.0": "v1.0.0", ">v1.10.0": "v1.11.0-rc.1", "<v0.1.0": "", ">nonsense": ""} {
		if got := walkChoose("h.test/r", query, []byte(list)); got != want {
			t.Errorf("%s is %q, want %q", query, got, want)
		}
	}
}

func TestWalkPaths(t *testing.T) {
	for path, want := range map[string][]string{
		"golang.org/x/text":     {"golang.org/x/text"},
		"github.com/a/b":        {"github.com/a/b"},
		"github.com/a/b/c/d":    {"github.com/a/b/c/d", "github.com/a/b/c", "github.com/a/b"},
		"github.com/a":          {"github.com/a"},
		"example.com/a/b/c/d/e": {"example.com/a/b/c/d/e", "example.com/a/b/c/d", "example.com/a/b/c", "example.com/a/b", "example.com/a", "example.com"},
	} {
		if diff := cmp.Diff(want, walkPaths(path)); diff != "" {
			t.Errorf("%s: -want +got\n%s", path, diff)
		}
	}
}

func TestWalkHasRef(t *testing.T) {
	const refs = "1111\tHEAD\n1111\trefs/heads/main\n1111\trefs/tags/v1.2.3\n2222\trefs/tags/v1.2.3^{}\n1111\trefs/tags/sub/v0.1.0\n1111\trefs/tags/v2.0.0\n"
	for _, tt := range []struct {
		path, query string
		want        bool
	}{
		{"h.test/r", "v1.2.3", true}, {"h.test/r", "v1.2.4", false}, {"h.test/r", "main", true}, {"h.test/r", "latest", true},
		{"h.test/r/sub", "v0.1.0", true}, {"h.test/r/sub", "v1.2.3", false}, {"h.test/r/v2", "v2.0.0", true},
		{"h.test/r", "v2.0.0+incompatible", true}, {"h.test/r", "v0.0.0-20200101000000-0123456789ab", true},
	} {
		if got := walkHasRef(refs, "h.test/r", tt.path, tt.query); got != tt.want {
			t.Errorf("%s@%s: %t", tt.path, tt.query, got)
		}
	}
}

// FuzzMirrorHash gives it zips of others: no panic, and no hash of what is none.
func FuzzMirrorHash(f *testing.F) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, _ := z.Create("rsc.io/quote@v1.5.2/go.mod")
	w.Write([]byte("module rsc.io/quote\n"))
	z.Close()
	f.Add(b.Bytes())
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if sum, err := mirrorHash(data); err == nil && !strings.HasPrefix(sum, "h1:") {
			t.Errorf("hash %q", sum)
		}
	})
}

// FuzzProxyEntry wants what was meant by an entry of NO_PROXY to be understood as it stands.
func FuzzProxyEntry(f *testing.F) {
	for _, s := range []string{"https://a.example.com/", "10.*", "192.168.1.*", "a b", "10.0.0.0/8", ".lan", "*", "::1", "host:80", "http://[::1]:80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		if strings.Contains(entry, ",") {
			return // the list is split before
		}
		once := proxyEntry(entry)
		if once == "" || strings.Contains(once, ",") {
			return
		}
		if again := proxyEntry(once); again != "" && again != once && proxyEntry(again) != again {
			t.Errorf("%q is %q is %q", entry, once, again)
		}
	})
}
