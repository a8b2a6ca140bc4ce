package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/goferry/goferry/internal/cache"
	"github.com/goferry/goferry/internal/goproxy"
)

func pattern(t testing.TB, s string) cache.Pattern {
	t.Helper()
	p, err := cache.ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPattern(t *testing.T) {
	names := []string{"example.com/!m/@v/list", "example.com/!m/@v/v1.0.0.mod", "example.com/!m/@v/v1.1.0.mod", "example.com/!m/sub/@v/v1.0.0.zip", "x.corp.example/y/@v/main.info"}
	for s, want := range map[string][]int{
		"":                      {0, 1, 2, 3, 4},
		"example.com":           {0, 1, 2, 3},
		"example.com/M":         {0, 1, 2, 3},
		"example.com/M@v1.0.0":  {1, 3},
		"example.com/M@v1.*":    {1, 2, 3},
		"example.com/*/sub":     {3},
		"*.corp.example":        {4},
		"@v1.1.0":               {2},
		"*.corp.example@main":   {4},
		"example.com/m":         nil,
		"example.com/M@v2*":     nil,
		"example.com/M/sub@v1?": nil,
	} {
		var got []int
		for i, name := range names {
			if pattern(t, s).Match(mustParse(t, name)) {
				got = append(got, i)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q matches %v, want %v", s, got, want)
		}
	}
	for _, s := range []string{"[", "a@[", "a,b", "a b", `a\b`, "a\tb"} {
		if p, err := cache.ParsePattern(s); !errors.Is(err, goproxy.ErrInvalid) {
			t.Errorf("%q: %v, %v", s, p, err)
		}
	}
}

func FuzzPattern(f *testing.F) {
	f.Add("example.com/M@v1.*", "example.com/!m/@v/v1.0.0.mod")
	f.Add("*.corp.example", "x.corp.example/y/@v/list")
	f.Add("@", "a.b/@latest")
	f.Fuzz(func(t *testing.T, s, name string) {
		p, err := cache.ParsePattern(s)
		if err != nil {
			if !errors.Is(err, goproxy.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		req, err := goproxy.ParseRequest(name)
		if err != nil {
			return
		}
		path, version, _ := strings.Cut(s, "@")
		if p.Match(req) && version != "" && req.Version == "" {
			t.Fatalf("%q has a version and matches %q, which has none", s, name)
		}
		if s == "" && !p.Match(req) {
			t.Fatalf("the empty pattern does not match %q", name)
		}
		if path == req.Path && version == req.Version && !strings.ContainsAny(s, `*?[`) && !p.Match(req) {
			t.Fatalf("%q does not match %q, which it names", s, name)
		}
	})
}

// filled returns a cache with some modules and absences in it.
func filled(t *testing.T, check cache.Check) (*cache.Cache, cache.Config, *upstream) {
	t.Helper()
	up := newUpstream()
	for name, size := range map[string]int{
		"example.com/a/@v/v1.0.0.info": 10, "example.com/a/@v/v1.0.0.mod": 20, "example.com/a/@v/v1.0.0.zip": 100_000,
		"example.com/a/@v/v1.1.0.mod": 30, "example.com/a/@v/list": 14, "example.com/a/@latest": 20,
		"example.com/a/b/@v/v0.1.0.mod": 40, "other.example/c/@v/main.info": 50,
	} {
		up.files[name] = zipBytes(name, size)
	}
	cfg := cache.Config{Store: openStore(t, t.TempDir()), Source: up, Check: check}
	c := newCache(t, cfg)
	for _, name := range keys(up.files) {
		want(t, c, name, string(up.files[name]), "miss")
	}
	wantErr(t, c, "example.com/a/@v/v9.9.9.info", goproxy.ErrNotExist)
	wantErr(t, c, "other.example/d/@v/list", goproxy.ErrNotExist)
	up.asked()
	return c, cfg, up
}

func TestEntries(t *testing.T) {
	_, cfg, _ := filled(t, nil)
	var got []cache.Entry
	err := cache.Entries(t.Context(), cfg.Store, pattern(t, ""), func(e cache.Entry) error {
		slices.Sort(e.Files)
		if e.Used.IsZero() {
			t.Errorf("%s@%s was never used", e.Path, e.Version)
		}
		got = append(got, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []cache.Entry{
		{Path: "example.com/a", Files: []string{"latest", "list"}, Bytes: 34},
		{Path: "example.com/a", Version: "v1.0.0", Files: []string{"info", "mod", "zip"}, Bytes: 100_030},
		{Path: "example.com/a", Version: "v1.1.0", Files: []string{"mod"}, Bytes: 30},
		{Path: "example.com/a/b", Version: "v0.1.0", Files: []string{"mod"}, Bytes: 40},
		{Path: "other.example/c", Version: "main", Files: []string{"info"}, Bytes: 50},
	}
	slices.SortFunc(got, func(a, b cache.Entry) int { return strings.Compare(a.Path+" "+a.Version, b.Path+" "+b.Version) })
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(cache.Entry{}, "Used")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	stop := errors.New("stop")
	n := 0
	err = cache.Entries(t.Context(), cfg.Store, pattern(t, "example.com"), func(cache.Entry) error { n++; return stop })
	if !errors.Is(err, stop) || n != 1 {
		t.Errorf("after an error it went on: %d, %v", n, err)
	}
}

func TestRemove(t *testing.T) {
	c, cfg, up := filled(t, nil)
	files, bytes, err := cache.Remove(t.Context(), cfg.Store, pattern(t, "example.com/a@v1.0.0"))
	if err != nil || files != 3 || bytes != 100_030 {
		t.Errorf("removed %d files, %d bytes, %v", files, bytes, err)
	}
	files, _, err = cache.Remove(t.Context(), cfg.Store, pattern(t, "other.example"))
	if err != nil || files != 1 {
		t.Errorf("removed %d files, %v", files, err)
	}
	wantErr(t, c, "other.example/d/@v/list", goproxy.ErrNotExist)
	if n := up.asked()["other.example/d/@v/list"]; n != 1 {
		t.Error("an absence was not removed")
	}
	if d := cmp.Diff([]string{
		"absent/example.com/a/@v/v9.9.9.info", "absent/other.example/d/@v/list", "example.com/a/@latest", "example.com/a/@v/list", "example.com/a/@v/v1.1.0.mod", "example.com/a/b/@v/v0.1.0.mod",
	}, blobs(t, cfg.Store)); d != "" {
		t.Errorf("left (-want +got):\n%s", d)
	}
}

func TestVerify(t *testing.T) {
	up := newUpstream()
	clk := newClock()
	unverifiable := "example.com/m/@v/v1.2.0.mod"
	check := func(_ context.Context, req goproxy.Request, r io.ReaderAt, size int64) error {
		name, _ := req.Name()
		if name == unverifiable {
			return goproxy.ErrUnavailable
		}
		got, err := io.ReadAll(io.NewSectionReader(r, 0, size))
		if err == nil && !bytes.Equal(got, zipBytes(name, 1000)) {
			err = goproxy.ErrMismatch
		}
		return err
	}
	st := openStore(t, t.TempDir())
	c := newCache(t, cache.Config{Store: st, Source: up, Check: check, Now: clk.now})
	good, mended, lost := "example.com/m/@v/v1.0.0.mod", "example.com/m/@v/v1.1.0.zip", "example.com/m/@v/v1.3.0.zip"
	up.files[good], up.files[mended] = zipBytes(good, 1000), zipBytes(mended, 1000)
	for name, content := range map[string]string{good: string(up.files[good]), mended: "bad", lost: "bad", unverifiable: "who knows", infoName: "not looked at"} {
		if err := st.Put(t.Context(), name, strings.NewReader(content), clk.now()); err != nil {
			t.Fatal(err)
		}
	}
	want(t, c, mended, "bad", "hit") // also what is in memory is replaced
	want(t, c, mended, "bad", "hit")
	verify := func(repair bool) (map[string]bool, cache.Report) {
		t.Helper()
		found := map[string]bool{}
		r, err := c.Verify(t.Context(), pattern(t, ""), repair, func(f cache.Finding) {
			name, err := f.Request.Name()
			if err != nil || f.Err == nil {
				t.Errorf("finding %+v, %v", f, err)
			}
			found[name] = f.Repaired
		})
		if err != nil {
			t.Error(err)
		}
		return found, r
	}
	found, r := verify(false)
	if d := cmp.Diff(map[string]bool{mended: false, lost: false, unverifiable: false}, found); d != "" {
		t.Errorf("found (-want +got):\n%s", d)
	}
	if d := cmp.Diff(cache.Report{Files: 4, Good: 1, Bad: 2, Unverified: 1, Bytes: 1015}, r); d != "" {
		t.Errorf("report (-want +got):\n%s", d)
	}
	found, r = verify(true)
	if d := cmp.Diff(map[string]bool{mended: true, lost: false, unverifiable: false}, found); d != "" {
		t.Errorf("found (-want +got):\n%s", d)
	}
	if d := cmp.Diff(cache.Report{Files: 4, Good: 1, Bad: 1, Repaired: 1, Unverified: 1, Bytes: 1015}, r); d != "" {
		t.Errorf("report (-want +got):\n%s", d)
	}
	want(t, c, mended, string(up.files[mended]), "hit")
	if stored(t, st, lost) != "" {
		t.Error("a bad file that cannot be repaired is still there")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Verify(ctx, pattern(t, ""), true, func(cache.Finding) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestImport(t *testing.T) {
	clk := newClock()
	check := func(_ context.Context, req goproxy.Request, r io.ReaderAt, size int64) error {
		switch {
		case req.Version == "v1.6.6":
			return goproxy.ErrMismatch
		case req.Version == "v1.7.7":
			return goproxy.ErrUnavailable
		}
		return nil
	}
	old := clk.now().Add(-time.Hour)
	tree := fstest.MapFS{}
	add := func(name, content string) {
		tree[name] = &fstest.MapFile{Data: []byte(content), Mode: 0o444, ModTime: old}
	}
	add("example.com/!m/@v/list", "v1.1.0\nv1.0.0\nv0.0.0-20240102030405-0123456789ab\n")
	add("example.com/!m/@v/v1.0.0.info", `{"Version":"v1.0.0"}`)
	add("example.com/!m/@v/v1.0.0.mod", "module example.com/M\n")
	add("example.com/!m/@v/v1.0.0.zip", "zip")
	add("example.com/!m/@v/v1.0.0.ziphash", "h1:")
	add("example.com/!m/@v/v1.0.0.lock", "")
	add("example.com/!m/@v/v1.1.0.info", `{"Version":"v1.1.1"}`)
	add("example.com/!m/@v/v1.6.6.zip", "wrong")
	add("example.com/!m/@v/v1.7.7.mod", "who knows")
	add("example.com/here/@v/v1.0.0.mod", "another")
	add("sumdb/sum.golang.org/latest", "tree")
	add("vcs/0123/info", "x")
	add(".hidden/example.com/x/@v/list", "v1.0.0\n")
	st := openStore(t, t.TempDir())
	c := newCache(t, cache.Config{Store: st, Check: check, Now: clk.now})
	if err := c.Put(t.Context(), mustParse(t, "example.com/here/@v/v1.0.0.mod"), strings.NewReader("mine")); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	r, err := c.Import(t.Context(), tree, func(f cache.Finding) {
		name, _ := f.Request.Name()
		found[name] = fmt.Sprint(goproxy.ExitCode(f.Err))
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"example.com/!m/@v/v1.1.0.info": "12", "example.com/!m/@v/v1.6.6.zip": "13", "example.com/!m/@v/v1.7.7.mod": "12"}, found); d != "" {
		t.Errorf("found (-want +got):\n%s", d)
	}
	if r.Files != 8 || r.Good != 4 || r.Bad != 1 || r.Unverified != 2 || r.Skipped != 1 {
		t.Errorf("report %+v", r)
	}
	if d := cmp.Diff([]string{
		"example.com/!m/@v/list", "example.com/!m/@v/v1.0.0.info", "example.com/!m/@v/v1.0.0.mod", "example.com/!m/@v/v1.0.0.zip", "example.com/here/@v/v1.0.0.mod",
	}, blobs(t, st)); d != "" {
		t.Errorf("kept (-want +got):\n%s", d)
	}
	if got := stored(t, st, "example.com/!m/@v/list"); got != "v1.0.0\nv1.1.0\n" {
		t.Errorf("the list is %q", got)
	}
	if b, err := st.Stat("example.com/!m/@v/list"); err != nil || !b.ModTime.Equal(old) {
		t.Errorf("the list is of %v, %v; want %v", b.ModTime, err, old)
	}
	if got := stored(t, st, "example.com/here/@v/v1.0.0.mod"); got != "mine" {
		t.Errorf("what was here already became %q", got)
	}
}

// TestPut: a Sink keeps all or nothing, and never what does not pass.
func TestPut(t *testing.T) {
	up, st := newUpstream(), openStore(t, t.TempDir())
	c := newCache(t, cache.Config{Store: st, Source: up, Check: refuse([]byte("good"))})
	req := mustParse(t, zipName)
	wantErr(t, c, zipName, goproxy.ErrNotExist)
	for name, tt := range map[string]struct {
		req  goproxy.Request
		r    io.Reader
		want error
	}{
		"bad bytes":    {req, strings.NewReader("bad"), goproxy.ErrMismatch},
		"broken off":   {req, io.MultiReader(strings.NewReader("good"), failing{io.ErrUnexpectedEOF}), io.ErrUnexpectedEOF},
		"too large":    {mustParse(t, infoName), bytes.NewReader(make([]byte, goproxy.MaxInfo+1)), goproxy.ErrMismatch},
		"no .info":     {mustParse(t, infoName), strings.NewReader("good"), goproxy.ErrUnavailable},
		"invalid name": {goproxy.Request{}, strings.NewReader("good"), goproxy.ErrInvalid},
	} {
		if err := c.Put(t.Context(), tt.req, tt.r); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if d := cmp.Diff([]string{"absent/" + zipName}, blobs(t, st)); d != "" {
		t.Errorf("kept (-want +got):\n%s", d)
	}
	if err := c.Put(t.Context(), req, strings.NewReader("good")); err != nil {
		t.Fatal(err)
	}
	want(t, c, zipName, "good", "hit")
	if d := cmp.Diff([]string{zipName}, blobs(t, st)); d != "" { // and its absence is forgotten
		t.Errorf("kept (-want +got):\n%s", d)
	}
}
