package vcs

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/goproxy"
)

// libHashes are the commits of the repository that lib makes.
type libHashes struct{ first, sub, last string }

// lib makes github.com/acme/lib, which has all that a repository of modules can have.
func (l *lab) lib() libHashes {
	l.t.Helper()
	const path = "github.com/acme/lib"
	r := l.repo("acme/lib")
	var h libHashes
	h.first = r.commit(map[string]string{"go.mod": gomod(path), "lib.go": "package lib\n", "LICENSE": "as you like\n"}, "v1.0.0")
	r.commit(map[string]string{"lib.go": "package lib // oops\n"}, "v1.0.1")
	r.commit(map[string]string{"go.mod": gomod(path) + "\nretract v1.0.1\n", "lib.go": "package lib // 2\n"}, "v1.1.0-rc.1", "v1.1.0")
	h.sub = r.commit(map[string]string{"sub/go.mod": gomod(path + "/sub"), "sub/sub.go": "package sub\n"}, "sub/v0.1.0")
	r.commit(map[string]string{"v2/go.mod": gomod(path + "/v2"), "v2/lib.go": "package lib // v2\n"}, "v2.0.0")
	r.git("checkout", "-q", "-b", "three")
	r.commit(map[string]string{"go.mod": gomod(path + "/v3"), "lib.go": "package lib // v3\n"}, "v3.0.0")
	r.commit(map[string]string{"lib.go": "package lib // v3, next\n"})
	r.git("checkout", "-q", "main")
	r.git("branch", "feature-x", h.first)
	h.last = r.commit(map[string]string{"lib.go": "package lib // next\n"})
	return h
}

func TestVersions(t *testing.T) {
	l := newLab(t)
	l.insteadOf("https://github.com/", l.fileURL())
	h := l.lib()
	old := l.repo("acme/old")
	old.commit(map[string]string{"old.go": "package old\n"}, "v1.0.0")
	old.commit(map[string]string{"old.go": "package old // 2\n"}, "v2.0.0", "v2.1.0-beta")
	fresh := l.repo("acme/fresh")
	fresh.commit(map[string]string{"go.mod": gomod("github.com/acme/fresh"), "f.go": "package fresh\n"})
	pre := l.repo("acme/pre")
	pre.commit(map[string]string{"go.mod": gomod("github.com/acme/pre")}, "v0.1.0-alpha", "v0.1.0-beta", "unrelated", "v0.1")
	bad := l.repo("acme/retracted")
	bad.commit(map[string]string{"go.mod": gomod("github.com/acme/retracted") + "\nretract [v1.0.0, v1.9.9]\n"}, "v1.0.0", "v1.2.0")

	s := l.source()
	const lib = "github.com/acme/lib"
	t.Run("list", func(t *testing.T) {
		for path, want := range map[string]string{
			lib:                         "v1.0.0\nv1.0.1\nv1.1.0-rc.1\nv1.1.0\n", // the retracted v1.0.1 too
			lib + "/v2":                 "v2.0.0\n",
			lib + "/v3":                 "v3.0.0\n",
			lib + "/sub":                "v0.1.0\n",
			lib + "/nothing":            "",
			"github.com/acme/old":       "v1.0.0\nv2.0.0+incompatible\nv2.1.0-beta+incompatible\n",
			"github.com/acme/fresh":     "",
			"github.com/acme/pre":       "v0.1.0-alpha\nv0.1.0-beta\n",
			"github.com/acme/retracted": "v1.0.0\nv1.2.0\n",
		} {
			if diff := cmp.Diff(want, read(t, s, list(path))); diff != "" {
				t.Errorf("%s: %s", path, diff)
			}
		}
	})
	t.Run("latest", func(t *testing.T) {
		for path, want := range map[string]string{
			lib:                         "v1.1.0",
			lib + "/v2":                 "v2.0.0",
			lib + "/sub":                "v0.1.0",
			"github.com/acme/old":       "v2.0.0+incompatible",
			"github.com/acme/fresh":     l.plain("list", "-m", "-json", "github.com/acme/fresh@main").Version,
			"github.com/acme/pre":       "v0.1.0-beta",
			"github.com/acme/retracted": "v1.2.0", // the asker knows that it is retracted from its go.mod
		} {
			if got := versionOf(t, s, latest(path)); got != want {
				t.Errorf("%s: %s, want %s", path, got, want)
			}
		}
	})
	t.Run("queries", func(t *testing.T) {
		for _, q := range []struct{ path, query string }{
			{lib, "main"}, {lib, "feature-x"}, {lib, h.first}, {lib, h.first[:8]}, {lib, h.last}, {lib, "v1"}, {lib, "v1.0"}, {lib, "latest"}, {lib, "HEAD"},
			{lib + "/v3", "three"}, {lib + "/v2", "main"}, {lib + "/sub", h.sub[:12]}, {lib + "/sub", "main"}, {"github.com/acme/old", "v2"},
		} {
			want := l.plain("list", "-m", "-json", q.path+"@"+q.query)
			req := info(q.path, q.query)
			rev, err := goproxy.ParseInfo(req, []byte(read(t, s, req)))
			if err != nil || rev.Version != want.Version || !rev.Time.Equal(want.Time) {
				t.Errorf("%v: %v, %v, want %s of %v", req, rev, err, want.Version, want.Time)
			}
		}
	})
	t.Run("files", func(t *testing.T) {
		pseudo := versionOf(t, s, info(lib, "main"))
		if !strings.HasPrefix(pseudo, "v1.1.1-0.2024") {
			t.Errorf("main is %s, want a pseudo-version after v1.1.0", pseudo)
		}
		for _, m := range []struct{ path, version string }{
			{lib, "v1.0.0"}, {lib, "v1.0.1"}, {lib, "v1.1.0-rc.1"}, {lib, pseudo}, {lib + "/v2", "v2.0.0"}, {lib + "/v3", "v3.0.0"}, {lib + "/sub", "v0.1.0"},
			{"github.com/acme/old", "v1.0.0"}, {"github.com/acme/old", "v2.0.0+incompatible"},
		} {
			want := l.plain("mod", "download", "-json", m.path+"@"+m.version)
			if got := zipHash(t, s, zipOf(m.path, m.version)); got != want.Sum {
				t.Errorf("%v: zip has %s, want %s", m, got, want.Sum)
			}
			if got := versionOf(t, s, info(m.path, m.version)); got != m.version {
				t.Errorf("%v: .info is about %s", m, got)
			}
			if got, want := read(t, s, mod(m.path, m.version)), readGoMod(t, l, m.path, m.version); got != want {
				t.Errorf("%v: .mod is %q, want %q", m, got, want)
			}
		}
	})
}

// readGoMod reads the .mod that the plain go command has made.
func readGoMod(t *testing.T, l *lab, path, version string) string {
	t.Helper()
	name, err := mod(path, version).Name()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(l.dir, "plain", "cache", "download", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestOriginIsKept(t *testing.T) {
	l := newLab(t)
	l.insteadOf("https://github.com/", l.fileURL())
	h := l.lib()
	s := l.source()
	var got struct{ Origin map[string]string }
	if err := json.Unmarshal([]byte(read(t, s, info("github.com/acme/lib/sub", "v0.1.0"))), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"VCS": "git", "URL": "https://github.com/acme/lib", "Subdir": "sub", "Hash": h.sub, "Ref": "refs/tags/sub/v0.1.0"}
	if diff := cmp.Diff(want, got.Origin); diff != "" {
		t.Error(diff)
	}
}

// What has been fetched is answered without the repository, and survives; what is damaged is fetched again.
func TestCacheOnDisk(t *testing.T) {
	l := newLab(t)
	l.insteadOf("https://github.com/", l.fileURL())
	l.lib()
	dir := filepath.Join(t.TempDir(), "direct")
	const path = "github.com/acme/lib"
	reqs := []goproxy.Request{info(path, "v1.0.0"), mod(path, "v1.0.0"), zipOf(path, "v1.0.0")}
	want := make(map[goproxy.Request]string)
	first := l.source(func(c *Config) { c.Dir = dir })
	for _, req := range reqs {
		want[req] = read(t, first, req)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if trees, err := filepath.Glob(filepath.Join(dir, "mod", "github.com", "*", "*@*")); err != nil || len(trees) > 0 {
		t.Errorf("the unpacked module is still there: %v, %v", trees, err)
	}

	offline := l.source(func(c *Config) { c.Dir, c.Runner = dir, &gocmd.Runner{Env: []string{"PATH="}} })
	for _, req := range reqs {
		if got := read(t, offline, req); got != want[req] {
			t.Errorf("%v has changed", req)
		}
	}
	fails(t, offline, list(path), goproxy.ErrUnavailable)
	cachedOnly := goproxy.WithCachedOnly(t.Context())
	failsCtx(t, cachedOnly, offline, list(path), goproxy.ErrNotExist)
	if f, err := offline.Open(cachedOnly, reqs[2]); err != nil {
		t.Error(err)
	} else if err := f.Close(); err != nil {
		t.Error(err)
	}

	again := l.source(func(c *Config) { c.Dir = dir })
	for _, damage := range []string{"", "\x00\x00\x00\x00"} {
		for _, req := range reqs {
			name, err := again.file(req)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(damage), 0o644); err != nil {
				t.Fatal(err)
			}
			if got := read(t, again, req); got != want[req] {
				t.Errorf("%v, damaged to %q, comes as %q", req, damage, got)
			}
		}
	}
}

// Nobody asks as long as the name alone says that there is nothing.
func TestInvalid(t *testing.T) {
	l := newLab(t)
	s := l.source(func(c *Config) { c.Runner = &gocmd.Runner{Env: []string{"PATH="}} })
	for _, req := range []goproxy.Request{
		list("github.com/acme"), latest("github.com"), list("github.com/acme/lib.git"), list("chiselapp.com/x"), info("bitbucket.org/acme", "main"),
		info("github.com/acme/lib", "upgrade"), info("github.com/acme/lib", "patch"), {Path: "NoDots", Kind: goproxy.List}, {Path: "a.test/b", Version: "v1", Kind: goproxy.Zip},
		{Path: "a.test/b"},
	} {
		fails(t, s, req, goproxy.ErrInvalid)
	}
}

func TestMissing(t *testing.T) {
	l := newLab(t)
	l.insteadOf("https://github.com/", l.fileURL())
	h := l.lib()
	const lib = "github.com/acme/lib"
	l.repo("acme/empty")
	broken := l.repo("acme/broken")
	broken.commit(map[string]string{"go.mod": gomod("github.com/acme/broken")}, "v1.0.0")
	broken.commit(map[string]string{"go.mod": gomod("github.com/else/where/v3")}, "v1.1.0")
	clash := l.repo("acme/clash")
	clash.commit(map[string]string{"go.mod": gomod("github.com/acme/clash"), "a.go": "package a\n", "A.go": "package a\n"}, "v1.0.0")
	// A commit that only a pull request has is not of the module.
	r := &repo{l, filepath.Join(l.repos, "acme", "lib")}
	r.git("checkout", "-q", "--detach")
	pull := r.commit(map[string]string{"lib.go": "package lib // evil\n"})
	r.git("update-ref", "refs/pull/1/head", pull)
	r.git("checkout", "-q", "main")
	pullTime := l.clock.Format("20060102150405")

	s := l.source()
	good := versionOf(t, s, info(lib, "main"))
	for _, req := range []goproxy.Request{
		info(lib, "v1.9.0"), mod(lib, "v1.9.0"), zipOf(lib, "v1.9.0"), info(lib, "v0.0.0-20240102040405-123456789012"),
		info(lib, "nobranch"), info(lib, "0123456789ab"), info(lib, strings.Repeat("0123456789", 4)), info(lib, "v7"), info(lib, "v1.7"),
		info(lib, pull), info(lib, pull[:12]), mod(lib, "v1.1.1-0."+pullTime+"-"+pull[:12]),
		mod(lib, "v1.1.1-0.20200101000000-"+h.last[:12]), mod(lib, strings.Replace(good, "v1.1.1-0", "v1.8.1-0", 1)),
		mod(lib, "v0.0.0-20200101000000-"+h.first[:12]),
		info(lib+"/sub", "v0.9.0"), latest(lib + "/nothing"), info(lib+"/nothing", "v1.0.0"), info(lib+"/nothing", "main"),
		latest(lib + "/v7"), info(lib+"/v7", "v7.0.0"), latest(lib + "/sub/v2"), info(lib, "v2.0.0+incompatible"),
		latest("github.com/acme/empty"), info("github.com/acme/empty", "main"), info("github.com/acme/empty", "v1.0.0"),
		info("github.com/acme/broken", "v1.1.0"), latest("github.com/acme/broken"), info("github.com/acme/broken", "main"),
		list("github.com/acme/missing"), latest("github.com/acme/missing"), zipOf("github.com/acme/missing", "v1.0.0"),
		zipOf("github.com/acme/clash", "v1.0.0"),
	} {
		fails(t, s, req, goproxy.ErrNotExist)
	}
	if got := versionOf(t, s, info("github.com/acme/clash", "v1.0.0")); got != "v1.0.0" {
		t.Errorf("only the zip is missing, but the .info says %s", got)
	}
	e := fails(t, s, info("github.com/acme/broken", "v1.1.0"), goproxy.ErrNotExist)
	if !strings.Contains(e.Error(), "github.com/else/where/v3") {
		t.Errorf("%v does not say what is wrong", e)
	}
}

// A version that has gone from the repository since its .info came has no zip.
func TestMissingZip(t *testing.T) {
	l := newLab(t)
	l.insteadOf("https://github.com/", l.fileURL())
	l.lib()
	const lib = "github.com/acme/lib"
	s := l.source()
	read(t, s, info(lib, "v1.0.0"))
	if err := os.RemoveAll(filepath.Join(s.mod, "cache", "vcs")); err != nil {
		t.Fatal(err)
	}
	r := &repo{l, filepath.Join(l.repos, "acme", "lib")}
	r.git("tag", "-d", "v1.0.0")
	fails(t, s, zipOf(lib, "v1.0.0"), goproxy.ErrNotExist)
}

// A go command that is too old has not found out anything about the module.
func TestTooNewForUs(t *testing.T) {
	l := newLab(t)
	l.insteadOf("https://github.com/", l.fileURL())
	const path = "github.com/acme/future"
	l.repo("acme/future").commit(map[string]string{"go.mod": "module " + path + "\n\ngo 1.999.0\n"}, "v1.0.0")
	s := l.source()
	if got := read(t, s, mod(path, "v1.0.0")); !strings.Contains(got, "1.999") {
		t.Errorf(".mod: %q", got)
	}
	if e := fails(t, s, zipOf(path, "v1.0.0"), goproxy.ErrUnavailable); e.HintCode != "vcs.hint.go-too-old" {
		t.Errorf("hint %q", e.HintCode)
	}
}

func TestNoTools(t *testing.T) {
	l := newLab(t)
	l.lib()
	runner := &gocmd.Runner{Env: l.env}
	goPath, err := runner.FindTool("go")
	if err != nil {
		t.Fatal(err)
	}
	without := func(env ...string) func(*Config) {
		return func(c *Config) { c.Runner = &gocmd.Runner{Go: goPath, Env: append(append(l.env, "PATH="), env...)} }
	}
	e := fails(t, l.source(without()), list("github.com/acme/lib"), goproxy.ErrUnavailable)
	if e.HintCode != "vcs.hint.no-git" {
		t.Errorf("without git: hint %q", e.HintCode)
	}
	s := l.source(func(c *Config) { c.Runner = &gocmd.Runner{Env: []string{"PATH="}} })
	if e := fails(t, s, list("github.com/acme/lib"), goproxy.ErrUnavailable); e.HintCode != "vcs.hint.no-go" {
		t.Errorf("without go: hint %q", e.HintCode)
	}
}

// What GOVCS forbids is not touched, not even to find out why it failed.
func TestGOVCS(t *testing.T) {
	l := newLab(t)
	srv := l.gitServer(hangs)
	l.insteadOf("https://github.com/", srv.URL+"/")
	s := l.source(func(c *Config) { c.Env = []string{"GOVCS=github.com/acme:off"} })
	if e := fails(t, s, list("github.com/acme/lib"), goproxy.ErrBlocked); e.HintCode != "vcs.hint.govcs" {
		t.Errorf("hint %q", e.HintCode)
	}
	if n := len(srv.came); n != 0 {
		t.Errorf("%d requests, want none", n)
	}
}

func TestNeutralInsideModule(t *testing.T) {
	l := newLab(t)
	l.insteadOf("https://github.com/", l.fileURL())
	l.lib()
	inside := t.TempDir()
	writeFiles(t, inside, map[string]string{"go.mod": "module inside.test\n\nreplace github.com/acme/lib => ../nowhere\n"})
	s := l.source(func(c *Config) {
		c.Dir = filepath.Join(inside, "direct")
		c.Env = []string{"GIT_DIR=" + inside, "GOFLAGS=-mod=vendor", "GIT_CONFIG_PARAMETERS="}
	})
	if got := versionOf(t, s, latest("github.com/acme/lib")); got != "v1.1.0" {
		t.Errorf("latest is %s", got)
	}
}

func TestSweep(t *testing.T) {
	l := newLab(t)
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"tmp/clone-old/HEAD": "x", "tmp/clone-new/HEAD": "x"})
	before := time.Now().Add(-2 * staleAfter)
	if err := os.Chtimes(filepath.Join(dir, "tmp", "clone-old"), before, before); err != nil {
		t.Fatal(err)
	}
	l.source(func(c *Config) { c.Dir = dir })
	left, err := os.ReadDir(filepath.Join(dir, "tmp"))
	if err != nil || len(left) != 1 || left[0].Name() != "clone-new" {
		t.Errorf("left: %v, %v", left, err)
	}
	if _, err := New(Config{}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("without a folder: %v", err)
	}
}

// The files are seekable and end with io.EOF.
func TestFile(t *testing.T) {
	l := newLab(t)
	l.insteadOf("https://github.com/", l.fileURL())
	l.lib()
	s := l.source()
	for _, req := range []goproxy.Request{list("github.com/acme/lib"), latest("github.com/acme/lib"), mod("github.com/acme/lib", "v1.0.0")} {
		f, err := s.Open(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		st, err := f.Stat()
		if err != nil || st.Size() != int64(len(all)) {
			t.Errorf("%v: size %v, %v, want %d", req, st.Size(), err, len(all))
		}
		if _, err := f.Seek(3, io.SeekStart); err != nil {
			t.Error(err)
		}
		if rest, err := io.ReadAll(f); err != nil || string(rest) != string(all[3:]) {
			t.Errorf("%v: after seek: %q, %v", req, rest, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	failsCtx(t, ctx, s, list("github.com/acme/lib"), context.Canceled)
}
