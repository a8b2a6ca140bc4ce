package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/cache"
	"github.com/goferry/goferry/internal/goproxy"
)

const (
	listName   = "example.com/m/@v/list"
	latestName = "example.com/m/@latest"
	queryName  = "example.com/m/@v/main.info"
)

// mutable are the files that change, with two contents.
func mutable() map[string][2]string {
	one, two := `{"Version":"v1.0.0"}`, `{"Version":"v1.1.0"}`
	return map[string][2]string{
		listName: {"v1.0.0\n", "v1.0.0\nv1.1.0\n"}, latestName: {one, two}, queryName: {one, two}, "example.com/m/@v/v1.info": {one, two},
	}
}

func TestFreshness(t *testing.T) {
	times := map[string]time.Duration{listName: 2 * time.Minute, latestName: 3 * time.Minute, queryName: 4 * time.Minute, "example.com/m/@v/v1.info": 4 * time.Minute}
	for name, content := range mutable() {
		for _, defaults := range []bool{false, true} {
			clk, up := newClock(), newUpstream()
			cfg := cache.Config{Source: up, Now: clk.now, FreshList: times[listName], FreshLatest: times[latestName], FreshQuery: times[queryName]}
			good := times[name]
			if defaults {
				cfg.FreshList, cfg.FreshLatest, cfg.FreshQuery, good = 0, 0, 0, time.Minute
			}
			c := newCache(t, cfg)
			up.files[name] = []byte(content[0])
			want(t, c, name, content[0], "miss")
			up.files[name] = []byte(content[1])
			clk.add(good - time.Second)
			want(t, c, name, content[0], "hit")
			if _, meta, err := read(t, c, name); err != nil || meta.Age != good-time.Second || meta.Warning != "" {
				t.Errorf("%s: %+v, %v", name, meta, err)
			}
			clk.add(time.Second)
			want(t, c, name, content[1], "miss")
			want(t, c, name, content[1], "hit")
			if n := up.asked()[name]; n != 2 {
				t.Errorf("%s was asked for %d times", name, n)
			}
		}
	}
}

// TestNegativeFreshness: a time below zero means to ask always.
func TestNegativeFreshness(t *testing.T) {
	up := newUpstream()
	c := newCache(t, cache.Config{Source: up, FreshList: -1, FreshAbsent: -1})
	wantErr(t, c, listName, goproxy.ErrNotExist)
	wantErr(t, c, listName, goproxy.ErrNotExist)
	up.files[listName] = []byte("v1.0.0\n")
	want(t, c, listName, "v1.0.0\n", "miss")
	want(t, c, listName, "v1.0.0\n", "miss")
	if n := up.asked()[listName]; n != 4 {
		t.Errorf("asked %d times", n)
	}
}

// TestStaleIfError: what changes is served old, without end, when it could not be found out; and never
// where the answer is known, or forbidden, or wrong.
func TestStaleIfError(t *testing.T) {
	for _, tt := range []struct {
		err   error
		stale bool
	}{
		{goproxy.ErrUnavailable, true},
		{fmt.Errorf("%w: %w", goproxy.ErrUnavailable, context.DeadlineExceeded), true},
		{errors.New("disk on fire"), true},
		{goproxy.ErrNotExist, false},
		{goproxy.ErrGone, false},
		{goproxy.ErrBlocked, false},
		{goproxy.ErrMismatch, false},
	} {
		for name, content := range mutable() {
			clk, up := newClock(), newUpstream()
			var l logs
			c := newCache(t, cache.Config{Source: up, Now: clk.now, Logger: l.logger()})
			up.files[name] = []byte(content[0])
			want(t, c, name, content[0], "miss")
			up.errs[name] = tt.err
			for _, age := range []time.Duration{time.Hour, 10_000 * time.Hour} {
				clk.add(age)
				if !tt.stale {
					wantErr(t, c, name, tt.err)
					continue
				}
				got, meta, err := read(t, c, name)
				if err != nil || got != content[0] || meta.Result != "stale" || meta.Age < age || !strings.HasPrefix(meta.Warning, "110 ") || !l.has("WARN upstream cannot be asked") {
					t.Errorf("%v: %s: %q, %+v, %v", tt.err, name, got, meta, err)
				}
			}
			up.errs[name] = nil
			up.files[name] = []byte(content[1])
			clk.add(time.Hour)
			want(t, c, name, content[1], "miss")
		}
	}
}

// TestStaleWhenUnverifiable: a check that cannot find out is "could not find out" as well.
func TestStaleWhenUnverifiable(t *testing.T) {
	clk, up := newClock(), newUpstream()
	var answer error
	c := newCache(t, cache.Config{Source: up, Now: clk.now, Check: func(context.Context, goproxy.Request, io.ReaderAt, int64) error { return answer }})
	up.files[listName] = []byte("v1.0.0\n")
	want(t, c, listName, "v1.0.0\n", "miss")
	clk.add(time.Hour)
	answer = goproxy.ErrUnavailable
	want(t, c, listName, "v1.0.0\n", "stale")
}

// TestPatience: with an old answer at hand, nobody waits long for a new one; the fill goes on.
func TestPatience(t *testing.T) {
	for _, patience := range []time.Duration{0, 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			up := newUpstream()
			c := newCache(t, cache.Config{Source: up, Patience: patience})
			up.files[listName] = []byte("v1.0.0\n")
			want(t, c, listName, "v1.0.0\n", "miss")
			<-time.After(time.Hour)
			answer := make(chan bool)
			up.set(func() {
				up.files[listName] = []byte("v1.1.0\n")
				up.hook = func(context.Context, string) (goproxy.File, error) { <-answer; return nil, nil }
			})
			wait := patience
			if wait == 0 {
				wait = 5 * time.Second
			}
			start := time.Now()
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() { want(t, c, listName, "v1.0.0\n", "stale") })
			}
			wg.Wait()
			if took := time.Since(start); took != wait {
				t.Errorf("waited for %v, want %v", took, wait)
			}
			close(answer)
			synctest.Wait()
			want(t, c, listName, "v1.1.0\n", "hit")
			if n := up.asked()[listName]; n != 2 {
				t.Errorf("asked %d times", n)
			}
			// Where there is nothing old, there is nothing to do but wait.
			slow := make(chan bool)
			up.set(func() { up.hook = func(context.Context, string) (goproxy.File, error) { <-slow; return nil, nil } })
			start = time.Now()
			time.AfterFunc(time.Hour, func() { close(slow) })
			wantErr(t, c, latestName, goproxy.ErrNotExist)
			if took := time.Since(start); took != time.Hour {
				t.Errorf("waited for %v, want an hour", took)
			}
		})
	}
}

// TestAbsences: that something is not there is believed for a while, and remembered for longer.
func TestAbsences(t *testing.T) {
	for _, name := range []string{listName, latestName, queryName, infoName, modName, zipName} {
		for _, meaning := range []error{goproxy.ErrNotExist, goproxy.ErrGone} {
			clk, up, st := newClock(), newUpstream(), openStore(t, t.TempDir())
			up.errs[name] = fmt.Errorf("%w: 404 for a reason", meaning)
			cfg := cache.Config{Store: st, Source: up, Now: clk.now, FreshAbsent: 2 * time.Minute}
			c := newCache(t, cfg)
			check := func(c *cache.Cache, asked int) {
				t.Helper()
				e := wantErr(t, c, name, meaning)
				if e == nil || e.Source != "upstream" || !strings.HasSuffix(e.Error(), "404 for a reason") || strings.Count(e.Error(), "example.com/m@") != 1 || e.Hint != "a way out" || e.HintCode != "code" {
					t.Errorf("%s: %v", name, e)
				}
				if gone := errors.Is(e, goproxy.ErrGone); gone != (meaning == goproxy.ErrGone) {
					t.Errorf("%s: gone is %v", name, gone)
				}
				if n := up.asked()[name]; n != asked {
					t.Errorf("%s: asked %d times, want %d", name, n, asked)
				}
			}
			check(c, 1)
			check(c, 0)
			clk.add(2*time.Minute - time.Second)
			check(newCache(t, cfg), 0) // another process
			clk.add(time.Second)
			check(c, 1) // long enough: it may be there by now
			clk.add(1000 * time.Hour)
			up.down = goproxy.ErrUnavailable
			check(newCache(t, cfg), 1)                                     // nobody can say: what was said last
			check(newCache(t, cache.Config{Store: st, Now: clk.now}), 0)   // offline
			up.down, up.errs[name], up.files[name] = nil, nil, []byte("x") // it is there
			want(t, c, name, "x", "miss")
			want(t, c, name, "x", "hit")
			// Once it was there, its absence is forgotten: evicted is not "not found".
			if err := st.Remove(name); err != nil {
				t.Fatal(err)
			}
			clk.add(time.Hour)
			up.down = goproxy.ErrUnavailable
			wantErr(t, newCache(t, cfg), name, goproxy.ErrUnavailable)
			wantErr(t, newCache(t, cache.Config{Store: st, Now: clk.now}), name, goproxy.ErrUnavailable)
		}
	}
}

// TestAbsentSinceThen: of an old answer and an old absence, the younger one counts.
func TestAbsentSinceThen(t *testing.T) {
	clk, up := newClock(), newUpstream()
	c := newCache(t, cache.Config{Source: up, Now: clk.now})
	up.files[listName] = []byte("v1.0.0\n")
	want(t, c, listName, "v1.0.0\n", "miss")
	clk.add(time.Hour)
	delete(up.files, listName)
	wantErr(t, c, listName, goproxy.ErrNotExist)
	clk.add(time.Hour)
	up.down = goproxy.ErrUnavailable
	wantErr(t, c, listName, goproxy.ErrNotExist)
}

// TestOnlyAbsencesAreRemembered: no other error outlives its answer.
func TestOnlyAbsencesAreRemembered(t *testing.T) {
	for _, meaning := range []error{goproxy.ErrInvalid, goproxy.ErrBlocked, goproxy.ErrUnavailable, goproxy.ErrMismatch, context.DeadlineExceeded, errors.New("disk on fire"),
		fmt.Errorf("%w: %w", goproxy.ErrUnavailable, goproxy.ErrNotExist)} {
		up, st := newUpstream(), openStore(t, t.TempDir())
		c := newCache(t, cache.Config{Store: st, Source: up})
		up.errs[modName] = meaning
		wantErr(t, c, modName, meaning)
		wantErr(t, c, modName, meaning)
		if n := up.asked()[modName]; n != 2 || len(blobs(t, st)) != 0 {
			t.Errorf("%v: asked %d times, kept %v", meaning, n, blobs(t, st))
		}
	}
}

func TestCachedOnly(t *testing.T) {
	clk, up := newClock(), newUpstream()
	up.files[modName], up.files[listName] = []byte("module example.com/m\n"), []byte("v1.0.0\n")
	c := newCache(t, cache.Config{Source: up, Now: clk.now})
	only := goproxy.WithCachedOnly(t.Context())
	for _, name := range []string{modName, listName} {
		if _, _, err := readCtx(only, c, mustParse(t, name)); !errors.Is(err, goproxy.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if asked := up.asked(); len(asked) != 0 {
		t.Errorf("asked for %v", asked)
	}
	want(t, c, modName, "module example.com/m\n", "miss")
	want(t, c, listName, "v1.0.0\n", "miss")
	up.asked()
	clk.add(time.Hour)
	for name, result := range map[string]string{modName: "hit", listName: "stale"} {
		got, meta, err := readCtx(only, c, mustParse(t, name))
		if err != nil || got != string(up.files[name]) || meta.Result != result {
			t.Errorf("%s: %q, %+v, %v", name, got, meta, err)
		}
	}
	if asked := up.asked(); len(asked) != 0 {
		t.Errorf("asked for %v", asked)
	}
}

// TestOffline answers from the store alone: lists and latest are made of what can really be had.
func TestOffline(t *testing.T) {
	up, st := newUpstream(), openStore(t, t.TempDir())
	for _, v := range []string{"v1.0.0", "v1.2.0", "v1.3.0-rc.1", "v2.0.0+incompatible", "v0.0.0-20240102030405-0123456789ab"} {
		base := "example.com/m/@v/" + v
		up.files[base+".info"] = fmt.Appendf(nil, `{"Version":%q}`, v)
		up.files[base+".mod"] = []byte("module example.com/m\n\ngo 1.20\n")
		up.files[base+".zip"] = zipBytes(base, 1000)
	}
	up.files[listName] = []byte("v1.0.0\nv1.2.0\nv1.3.0-rc.1\nv1.9.0\nv2.0.0+incompatible\n")
	up.files[latestName] = []byte(`{"Version":"v1.9.0"}`)
	up.files[queryName] = []byte(`{"Version":"v1.2.0"}`)
	up.files["example.com/other/@v/list"] = []byte("v1.0.0\n")
	up.files["example.com/m/sub/@v/v1.7.0.zip"] = []byte("another module")
	online := newCache(t, cache.Config{Store: st, Source: up})
	for _, name := range keys(up.files) {
		want(t, online, name, string(up.files[name]), "miss")
	}
	wantErr(t, online, "example.com/m/@v/v1.5.0.info", goproxy.ErrNotExist)
	up.asked()
	c := newCache(t, cache.Config{Store: st, Source: up, Offline: true})
	info := func(v string) string { return fmt.Sprintf(`{"Version":%q}`, v) }
	for name, content := range map[string]string{
		listName:                      "v1.0.0\nv1.2.0\nv1.3.0-rc.1\nv2.0.0+incompatible\n", // v1.9.0 is not here
		latestName:                    info("v1.2.0"),
		"example.com/m/@v/v1.info":    info("v1.2.0"),
		"example.com/m/@v/v1.0.info":  info("v1.0.0"),
		"example.com/m/@v/v1.3.info":  info("v1.3.0-rc.1"),
		queryName:                     info("v1.2.0"),
		"example.com/m/sub/@v/list":   "v1.7.0\n",
		"example.com/m/@v/v1.2.0.mod": "module example.com/m\n\ngo 1.20\n",
		"example.com/m/@v/v1.2.0.zip": string(up.files["example.com/m/@v/v1.2.0.zip"]),
	} {
		want(t, c, name, content, "hit")
	}
	want(t, c, "example.com/other/@v/list", "v1.0.0\n", "stale") // none of its versions is here, and that is all that is known
	wantErr(t, c, "example.com/m/@v/v1.5.0.info", goproxy.ErrNotExist)
	for _, name := range []string{"example.com/m/@v/v1.9.0.zip", "example.com/m/@v/v1.9.0.mod", "example.com/m/@v/branch.info", "example.com/new/@v/list", "example.com/new/@latest", "example.com/m/@v/v3.info"} {
		if e := wantErr(t, c, name, goproxy.ErrUnavailable); e == nil || e.HintCode != "cache.hint.offline" || e.Hint == "" || goproxy.Absent(e) {
			t.Errorf("%s: %#v", name, e)
		}
	}
	if asked := up.asked(); len(asked) != 0 {
		t.Errorf("offline, it asked for %v", asked)
	}
	if n := c.InFlight(); n != 0 {
		t.Errorf("%d fills in flight", n)
	}
}

// TestHotMemory: files in memory follow what other processes do to the store.
func TestHotMemory(t *testing.T) {
	for _, name := range []string{modName, zipName} {
		clk, up, dir := newClock(), newUpstream(), t.TempDir()
		st := openStore(t, dir)
		up.files[name] = []byte("one")
		c := newCache(t, cache.Config{Store: st, Source: up, Now: clk.now})
		want(t, c, name, "one", "miss")
		for range 3 { // into memory
			want(t, c, name, "one", "hit")
		}
		file := filepath.Join(dir, filepath.FromSlash(name))
		// Changed by somebody else: noticed by size or time, within two seconds.
		other := openStore(t, dir)
		if err := other.Put(t.Context(), name, strings.NewReader("two!"), clk.now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		want(t, c, name, "one", "hit")
		clk.add(2 * time.Second)
		for range 3 {
			want(t, c, name, "two!", "hit")
		}
		if err := other.Put(t.Context(), name, strings.NewReader("3333"), clk.now().Add(2*time.Hour)); err != nil {
			t.Fatal(err)
		}
		want(t, c, name, "two!", "hit")
		want(t, c, name, "two!", "hit")
		clk.add(2 * time.Second)
		want(t, c, name, "3333", "hit")
		want(t, c, name, "3333", "hit")
		// Removed by somebody else.
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		clk.add(2 * time.Second)
		want(t, c, name, "one", "miss")
		if d := cmp.Diff("one", stored(t, st, name)); d != "" {
			t.Errorf("kept (-want +got):\n%s", d)
		}
	}
}

// TestHotMemoryIsBounded: what was not used for long makes room, and comes back from disk.
func TestHotMemoryIsBounded(t *testing.T) {
	up := newUpstream()
	for i := range 40 {
		name := fmt.Sprintf("example.com/m/@v/v1.%d.0.mod", i)
		up.files[name] = zipBytes(name, 1<<20)
	}
	c := newCache(t, cache.Config{Source: up})
	for range 3 {
		for _, name := range keys(up.files) {
			if got, _, err := read(t, c, name); err != nil || got != string(up.files[name]) {
				t.Fatalf("%s: %d bytes, %v", name, len(got), err)
			}
		}
	}
	if n := len(up.asked()); n != 40 {
		t.Errorf("asked for %d files", n)
	}
}

// TestInvalid: what no file system can hold can be no file.
func TestInvalid(t *testing.T) {
	up := newUpstream()
	c := newCache(t, cache.Config{Source: up})
	for _, req := range []goproxy.Request{
		{Path: "example.com/" + strings.Repeat("x", 300), Kind: goproxy.List},
		{Path: "example.com/m", Version: strings.Repeat("x", 300), Kind: goproxy.Info},
		{Path: "example.com/m", Version: "v1", Kind: goproxy.Zip},
	} {
		if _, err := c.Open(t.Context(), req); !errors.Is(err, goproxy.ErrInvalid) || !goproxy.Absent(err) {
			t.Errorf("%.30s: %v", req, err)
		}
	}
	if asked := up.asked(); len(asked) != 0 {
		t.Errorf("asked for %d files", len(asked))
	}
}

// TestStoreFault: a disk that cannot be read is a fault of ours, not "not found".
func TestStoreFault(t *testing.T) {
	dir := t.TempDir()
	st := openStore(t, dir)
	c := newCache(t, cache.Config{Store: st, Source: newUpstream()})
	file := filepath.Join(dir, filepath.FromSlash(modName))
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o777), os.Symlink(filepath.Join(t.TempDir(), "outside"), file)); err != nil {
		t.Fatal(err)
	}
	_, err := c.Open(t.Context(), mustParse(t, modName))
	if status, _ := goproxy.Status(err); status != 500 || goproxy.Absent(err) {
		t.Errorf("got %d, %v", status, err)
	}
}
