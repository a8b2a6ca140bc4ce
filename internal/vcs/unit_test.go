package vcs

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/goproxy"
)

func TestParseGoImports(t *testing.T) {
	const git = `<meta name="go-import" content="a.test/x git https://r.test/x">`
	want := []goImport{{"a.test/x", "git", "https://r.test/x", ""}}
	for _, tt := range []struct {
		name, page string
		want       []goImport
	}{
		{"plain", git, want},
		{"not XML", `<!DOCTYPE html><html><head><link href=x><META NAME="go-import" CONTENT="a.test/x git https://r.test/x"><br></head>`, want},
		{"in the body", `<html><head></head><body>` + git + `</body></html>`, nil},
		{"body without head", `<body>` + git, nil},
		{"broken after it", `<head>` + git + `<!`, want},
		{"subdirectory", `<meta name="go-import" content="a.test/x git https://r.test/x go/x">`, []goImport{{"a.test/x", "git", "https://r.test/x", "go/x"}}},
		{"too few fields", `<meta name="go-import" content="a.test/x git">`, nil},
		{"too many fields", `<meta name="go-import" content="a.test/x git https://r.test/x b c">`, nil},
		{"mod first", git + `<meta name="go-import" content="a.test/y git https://r.test/y"><meta name="go-import" content="a.test/x mod https://p.test">`,
			[]goImport{{"a.test/x", "mod", "https://p.test", ""}, {"a.test/y", "git", "https://r.test/y", ""}}},
		{"charset", `<?xml version="1.0" encoding="ASCII"?>` + git, want},
		{"nothing", "", nil},
	} {
		got, err := parseGoImports(strings.NewReader(tt.page))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(goImport{})); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
	for _, page := range []string{`<?xml version="1.0" encoding="latin1"?>` + git, "<!"} {
		if got, err := parseGoImports(strings.NewReader(page)); err == nil {
			t.Errorf("%q: %v, want an error", page, got)
		}
	}
}

func FuzzParseGoImports(f *testing.F) {
	f.Add(`<meta name="go-import" content="a.test/x git https://r.test/x">`, "a.test/x/y")
	f.Add(`<head><meta name=go-import content="a.test mod https://p.test"><meta name="go-import" content="a.test git https://r.test">`, "a.test")
	f.Add(`<head><meta name="go-import" content="a.test/x git https://r.test/x sub/dir"></head>`, "a.test/x")
	f.Add("<!", "a.test")
	f.Fuzz(func(t *testing.T, page, path string) {
		tags, err := parseGoImports(strings.NewReader(page))
		if err != nil && len(tags) > 0 {
			t.Fatalf("%v beside %v", tags, err)
		}
		seenOther := false
		for _, m := range tags {
			if seenOther && m.vcs == "mod" {
				t.Fatalf("a mod tag is not first: %v", tags)
			}
			seenOther = seenOther || m.vcs != "mod"
			for _, field := range []string{m.prefix, m.vcs, m.repo} {
				if field == "" || strings.Join(strings.Fields(field), "") != field {
					t.Fatalf("a field is empty or has blanks: %#v", m)
				}
			}
		}
		// What the tags say, written as a plain page, says the same.
		var b strings.Builder
		for _, m := range tags {
			if strings.ContainsAny(m.prefix+m.vcs+m.repo+m.subdir, `<>&"'`) {
				return
			}
			b.WriteString(`<meta name="go-import" content="` + strings.TrimSpace(strings.Join([]string{m.prefix, m.vcs, m.repo, m.subdir}, " ")) + `"/>`)
		}
		again, err := parseGoImports(strings.NewReader(b.String()))
		if err == nil {
			if diff := cmp.Diff(tags, again, cmp.AllowUnexported(goImport{})); diff != "" && len(tags) > 0 {
				t.Fatal(diff)
			}
		}
		if m, err := matchGoImport(tags, path); err == nil && !hasPathPrefix(path, m.prefix) {
			t.Fatalf("%v is not about %s", m, path)
		}
	})
}

func TestStaticRoot(t *testing.T) {
	for path, want := range map[string]root{
		"github.com/a/b":              {prefix: "github.com/a/b", vcs: "git", repos: []string{"https://github.com/a/b"}},
		"github.com/a/b/c/v2":         {prefix: "github.com/a/b", vcs: "git", repos: []string{"https://github.com/a/b"}},
		"bitbucket.org/a/b/c":         {prefix: "bitbucket.org/a/b", vcs: "git", repos: []string{"https://bitbucket.org/a/b"}},
		"git.apache.org/thrift.git/x": {prefix: "git.apache.org/thrift.git", vcs: "git", repos: []string{"https://git.apache.org/thrift.git"}},
		"chiselapp.com/user/me/repository/r": {
			prefix: "chiselapp.com/user/me/repository/r", vcs: "fossil", repos: []string{"https://chiselapp.com/user/me/repository/r"}},
		"git.corp.test/team/x.git/sub": {
			prefix: "git.corp.test/team/x.git", vcs: "git", repos: []string{"https://git.corp.test/team/x", "git+ssh://git.corp.test/team/x", "ssh://git.corp.test/team/x"}},
		"corp.test/x.hg":   {prefix: "corp.test/x.hg", vcs: "hg", repos: []string{"https://corp.test/x", "ssh://corp.test/x"}},
		"gopkg.in/yaml.v3": {}, "golang.org/x/mod": {}, "vanity.test": {}, "x.test/a.github.com/b": {},
	} {
		got, ok, err := staticRoot(path)
		if err != nil || ok != (want.vcs != "") {
			t.Errorf("%s: %v, %v", path, ok, err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(root{})); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
	for _, path := range []string{"github.com", "github.com/a", "github.com/a/b.git", "bitbucket.org/a", "chiselapp.com/user/x", "hub.jazz.net/git/a"} {
		if _, _, err := staticRoot(path); !errors.Is(err, goproxy.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", path, err)
		}
	}
}

func TestCodeDir(t *testing.T) {
	for _, tt := range []struct {
		root root
		path string
		want string
		ok   bool
	}{
		{root{prefix: "x.test/a"}, "x.test/a", "", true},
		{root{prefix: "x.test/a"}, "x.test/a/v2", "", true},
		{root{prefix: "x.test/a"}, "x.test/a/sub/dir/v2", "sub/dir", true},
		{root{prefix: "x.test/a/v2"}, "x.test/a/v2", "", true},
		{root{prefix: "gopkg.in/yaml.v2"}, "gopkg.in/yaml.v2", "", true},
		{root{prefix: "x.test/a", subdir: "go"}, "x.test/a", "go", true},
		{root{prefix: "x.test/a", subdir: "go"}, "x.test/a/sub", "sub/go", true},
		{root{prefix: "x.test/a/v2"}, "x.test/a", "", false},
	} {
		if got, ok := tt.root.codeDir(tt.path); got != tt.want || ok != tt.ok {
			t.Errorf("%v %s: %q, %v, want %q, %v", tt.root, tt.path, got, ok, tt.want, tt.ok)
		}
	}
}

func TestAllows(t *testing.T) {
	for _, tt := range []struct {
		govcs   string
		private bool
		vcs     string
		want    bool
	}{
		{"", false, "git", true}, {"", false, "hg", true}, {"", false, "svn", false}, {"", true, "svn", true},
		{"*:off", true, "git", false}, {"*:all", false, "svn", true}, {"x.test:hg", false, "git", false}, {"x.test/a: git | hg ", false, "git", true},
		{"other.test:off", false, "git", true}, {"public:off,private:git", true, "git", true}, {"public:off,private:git", false, "git", false}, {"private:hg", true, "git", false},
	} {
		if got := allows(tt.govcs+","+defaultGOVCS, "x.test/a", tt.private, tt.vcs); got != tt.want {
			t.Errorf("GOVCS=%s, private %v, %s: %v", tt.govcs, tt.private, tt.vcs, got)
		}
	}
}

func TestParseRefs(t *testing.T) {
	got := parseRefs("11\tHEAD\n11\trefs/heads/main\n22\trefs/tags/v1.0.0\n33\trefs/tags/v1.0.0^{}\nrubbish\n44\trefs/tags/v0.1.0\n")
	want := map[string]string{"HEAD": "11", "refs/heads/main": "11", "refs/tags/v1.0.0": "33", "refs/tags/v0.1.0": "44"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseTree(t *testing.T) {
	files := parseTree("100644 blob abc      12\ta b.go\x00120000 blob abc 3\tlink\x00160000 commit abc -\tsub\x00rubbish\x00")
	var got []string
	for _, f := range files {
		st, err := f.Lstat()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, f.Path()+" "+st.Mode().String()+" "+fs.FormatFileInfo(st))
	}
	want := []string{"a b.go -rw-r--r-- -rw-r--r-- 12 0001-01-01 00:00:00 a b.go", "link Lrw-r--r-- Lrw-r--r-- 3 0001-01-01 00:00:00 link"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestClean(t *testing.T) {
	s := &Source{private: privateDirs("/var/lib/ferry", "/home/me", "", "/")}
	for in, want := range map[string]string{
		"x.test/m@v1.0.0: invalid version: no": "invalid version: no",
		"module x.test/m: git ls-remote -q https://me:pw@h.test/x in /var/lib/ferry/mod/cache/vcs/0123abc: exit status 128:\n\tfatal: no\n": "git ls-remote -q https://h.test/x: exit status 128:\nfatal: no",
		"fatal: '/var/lib/ferry/tmp/x' does not appear":          "fatal: '…' does not appear",
		"fatal: unable to access 'https://h.test/x?token=1': no": "fatal: unable to access 'https://h.test/x': no",
		"cloning file:///home/me/repo failed":                    "cloning a local repository failed",
		"open /home/me/.netrc: no, nor /etc/netrc":               "open …: no, nor /etc/netrc",
		" \n\n":                      "the go command does not say why",
		strings.Repeat("line\n", 20): strings.TrimSpace(strings.Repeat("line\n", maxReasonLines)),
		strings.Repeat("é", 300):     strings.Repeat("é", 150) + "…",
	} {
		if diff := cmp.Diff(want, s.clean(in, "x.test/m@v1.0.0", "module x.test/m", "x.test/m")); diff != "" {
			t.Errorf("%q: %s", in, diff)
		}
	}
}

// Only what the go command can know from what it fetched is evidence.
func TestEvidence(t *testing.T) {
	git := func(change func(*origin)) *origin {
		o := &origin{VCS: "git", URL: "https://h.test/x"}
		change(o)
		return o
	}
	found := func(o *origin) { o.Hash = "abc" }
	missing := func(o *origin) { o.RepoSum = "r1:abc" }
	const pseudo, based = "v0.0.0-20240102030405-0123456789ab", "v1.0.1-0.20240102030405-0123456789ab"
	for _, tt := range []struct {
		name   string
		origin *origin
		query  string
		want   bool
	}{
		{"no origin", nil, "v1.0.0", false},
		{"no repository", git(func(*origin) {}), "v1.0.0", false},
		{"unknown tag", git(missing), "v1.0.0", true},
		{"unknown branch", git(missing), "main", true},
		{"choice from an incomplete list", git(missing), "v1", false},
		{"latest", git(missing), "latest", false},
		{"bad tag", git(found), "v1.0.0", true},
		{"bad pseudo-version", git(found), pseudo, true},
		{"pseudo-version that needs history", git(found), based, false},
		{"branch that needs history", git(found), "main", false},
		{"branch without tags before it", git(func(o *origin) { o.Hash, o.TagSum = "abc", noTags }), "main", true},
		{"latest is a bad tag", git(func(o *origin) { o.Hash, o.Ref = "abc", "refs/tags/v1.0.0" }), "latest", true},
		{"Mercurial fetches all", &origin{VCS: "hg", Hash: "abc"}, "default", true},
		{"other system", &origin{VCS: "svn", Hash: "abc"}, "v1.0.0", false},
	} {
		if got := (&failure{origin: tt.origin}).evidence(tt.query); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
