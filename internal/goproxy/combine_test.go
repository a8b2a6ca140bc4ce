package goproxy_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

// scripted makes a chain of a list such as "404,mismatch=unavailable|ok": each word answers so.
// The second result is which links were asked, by number.
func scripted(t *testing.T, list string) (goproxy.Source, *[]int) {
	t.Helper()
	errs := sentinels()
	for word, status := range map[string]int{"404": 404, "410": 410, "403": 403, "500": 500, "503": 503, "429": 429} {
		errs[word] = goproxy.FromStatus(status)
	}
	var links []goproxy.Link
	asked := new([]int)
	for list != "" {
		i := strings.IndexAny(list+",", ",|=")
		word, sep := list[:i], goproxy.Sep(0)
		if i < len(list) {
			sep, i = goproxy.Sep(list[i]), i+1
		}
		list = list[i:]
		err, known := errs[word]
		if !known && word != "ok" {
			t.Fatalf("no such word: %s", word)
		}
		n := len(links)
		links = append(links, goproxy.Link{Name: fmt.Sprint(n), Sep: sep, Source: goproxy.SourceFunc(func(_ context.Context, req goproxy.Request) (goproxy.File, error) {
			*asked = append(*asked, n)
			if err != nil {
				return nil, &goproxy.Error{Source: fmt.Sprint(n), Request: req, Err: err}
			}
			return goproxy.NewFile(req, []byte(fmt.Sprint(n)), time.Time{}, nil), nil
		})})
	}
	return goproxy.Chain(links...), asked
}

// outcome is "file N" or "error N word".
func outcome(f goproxy.File, err error) string {
	if err == nil {
		return "file " + string(f.(*goproxy.MemFile).Bytes())
	}
	var e *goproxy.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	return "error " + e.Source
}

func TestChain(t *testing.T) {
	tests := []struct {
		list, want string
		asked      int // how many links, from the first
	}{
		// The cases of cmd/go's mod_proxy_list.
		{"404", "error 0", 1},
		{"404,410,ok", "file 2", 3},
		{"403,ok", "error 0", 1},
		{"500,ok", "error 0", 1},
		{"403|unavailable|ok", "file 2", 3},
		{"500|unavailable|ok", "file 2", 3},
		{"404,410", "error 1", 2}, // the final error, if that is all there is
		// Every meaning, behind both separators.
		{"not-exist,ok", "file 1", 2},
		{"gone,ok", "file 1", 2},
		{"invalid,ok", "file 1", 2},
		{"blocked,ok", "error 0", 1},
		{"unavailable,ok", "error 0", 1},
		{"deadline,ok", "error 0", 1},
		{"mismatch,ok", "error 0", 1},
		{"other,ok", "error 0", 1},
		{"429,ok", "error 0", 1},
		{"not-exist|ok", "file 1", 2},
		{"gone|ok", "file 1", 2},
		{"blocked|ok", "file 1", 2},
		{"unavailable|ok", "file 1", 2},
		{"deadline|ok", "file 1", 2},
		{"mismatch|ok", "file 1", 2},
		{"other|ok", "file 1", 2},
		// Mirrors: anything but a block.
		{"not-exist=ok", "file 1", 2},
		{"unavailable=ok", "file 1", 2},
		{"mismatch=ok", "file 1", 2},
		{"deadline=ok", "file 1", 2},
		{"blocked=ok", "error 0", 1},
		{"503=404,ok", "file 2", 3}, // the separator behind the set is that of its last mirror, by its own error
		{"404=503,ok", "error 1", 2},
		{"404=503|ok", "file 2", 3},
		// The error that says most: a mismatch, else the last that is not "not there", else the last.
		{"503|404", "error 0", 2},
		{"404|503", "error 1", 2},
		{"503|403|404", "error 1", 3},
		{"mismatch|503|404", "error 0", 3},
		{"503|mismatch|404", "error 1", 3},
		{"mismatch|mismatch", "error 1", 2},
		{"410|404", "error 1", 2},
		{"ok,404", "file 0", 1},
	}
	for _, tt := range tests {
		t.Run(tt.list, func(t *testing.T) {
			src, asked := scripted(t, tt.list)
			f, err := src.Open(t.Context(), mustParse(t, "example.com/m/@v/v1.0.0.mod"))
			if got := outcome(f, err); got != tt.want {
				t.Errorf("got %s (%v), want %s", got, err, tt.want)
			}
			for i := range max(tt.asked, len(*asked)) {
				if i >= len(*asked) || (*asked)[i] != i || i >= tt.asked {
					t.Fatalf("asked %v, want %d links", *asked, tt.asked)
				}
			}
		})
	}
}

func TestChainEmpty(t *testing.T) {
	_, err := goproxy.Chain().Open(t.Context(), mustParse(t, "example.com/m/@v/list"))
	if !errors.Is(err, goproxy.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

// TestChainCanceled: nobody is asked for an asker who left, and the answer is never that of
// a part of the list.
func TestChainCanceled(t *testing.T) {
	for _, sep := range []goproxy.Sep{goproxy.OnAbsent, goproxy.OnError, goproxy.OnMirror} {
		ctx, cancel := context.WithCancel(t.Context())
		first := goproxy.SourceFunc(func(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
			cancel()
			return nil, &goproxy.Error{Request: req, Err: context.Cause(ctx)}
		})
		second := goproxy.SourceFunc(func(context.Context, goproxy.Request) (goproxy.File, error) {
			t.Errorf("%c: the second link was asked", sep)
			return nil, goproxy.ErrNotExist
		})
		_, err := goproxy.Chain(goproxy.Link{Source: first, Sep: sep}, goproxy.Link{Source: second}).Open(ctx, mustParse(t, "example.com/m/@v/list"))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%c: got %v", sep, err)
		}
	}
	// It left after a link had said "not found": that is not what the whole list says.
	ctx, cancel := context.WithCancel(t.Context())
	absent := goproxy.SourceFunc(func(_ context.Context, req goproxy.Request) (goproxy.File, error) {
		cancel()
		return nil, goproxy.ErrNotExist
	})
	_, err := goproxy.Chain(goproxy.Link{Source: absent, Sep: goproxy.OnAbsent}, goproxy.Link{Source: &tree{}}).Open(ctx, mustParse(t, "example.com/m/@v/list"))
	if !errors.Is(err, context.Canceled) || goproxy.Absent(err) {
		t.Errorf("got %v", err)
	}
}

func TestAvoid(t *testing.T) {
	req := mustParse(t, "example.com/m/@v/v1.0.0.zip")
	wrong := fmt.Errorf("%w: for the test", goproxy.ErrMismatch)
	tests := []struct {
		list string
		want []string // one answer after the other, each file refused
	}{
		{"ok=ok=ok", []string{"file 0", "file 1", "file 2", wrong.Error()}},
		{"ok=503=ok", []string{"file 0", "file 2", wrong.Error()}},
		{"ok|ok", []string{"file 0", "file 1", wrong.Error()}},
		{"ok,ok", []string{"file 0", wrong.Error()}}, // not a mirror: it may be another module altogether
		{"404,ok=ok,ok", []string{"file 1", "file 2", wrong.Error()}},
		{"ok=404", []string{"file 0", wrong.Error()}}, // and not "not found"
	}
	for _, tt := range tests {
		t.Run(tt.list, func(t *testing.T) {
			src, _ := scripted(t, tt.list)
			ctx, avoid := goproxy.NewAvoid(t.Context())
			if avoid.Refuse(wrong) {
				t.Error("nobody has served, and there was somebody to refuse")
			}
			for i, want := range tt.want {
				f, err := src.Open(ctx, req)
				if got := outcome(f, err); got != want {
					t.Fatalf("try %d: got %s, want %s", i, got, want)
				}
				if err == nil && avoid.Last() != strings.TrimPrefix(want, "file ") {
					t.Errorf("try %d: Last is %q", i, avoid.Last())
				}
				if refused := avoid.Refuse(wrong); refused != (err == nil) {
					t.Errorf("try %d: Refuse is %v after error %v", i, refused, err)
				}
			}
			// It is for this context alone.
			if f, err := src.Open(t.Context(), req); err != nil {
				t.Errorf("%v, %v", f, err)
			}
		})
	}
}

func TestMatch(t *testing.T) {
	src := goproxy.Match("*.corp.example,github.com/acme", goproxy.Fail("yes", goproxy.ErrGone, "", ""), goproxy.Fail("no", goproxy.ErrNotExist, "", ""))
	for path, want := range map[string]error{
		"git.corp.example/a/b": goproxy.ErrGone, "github.com/acme/x": goproxy.ErrGone, "github.com/acme": goproxy.ErrGone,
		"github.com/acmeother/x": goproxy.ErrNotExist, "corp.example/x": goproxy.ErrNotExist, "github.com/x/acme": goproxy.ErrNotExist,
	} {
		if _, err := src.Open(t.Context(), goproxy.Request{Path: path, Kind: goproxy.List}); !errors.Is(err, want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	none := goproxy.Match("", goproxy.Fail("yes", goproxy.ErrGone, "", ""), goproxy.Fail("no", goproxy.ErrNotExist, "", ""))
	if _, err := none.Open(t.Context(), goproxy.Request{Path: "a.example", Kind: goproxy.List}); !errors.Is(err, goproxy.ErrNotExist) {
		t.Errorf("no patterns: %v", err)
	}
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &tree{files: map[string]string{"example.com/m/@v/list": ""}, errs: map[string]error{"example.com/bad/@v/list": goproxy.ErrBlocked}}
		req := mustParse(t, "example.com/m/@v/list")
		limited := goproxy.Limit(src, 2)
		open := func() goproxy.File {
			t.Helper()
			f, err := limited.Open(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		first, second := open(), open()

		// The third waits; one who leaves meanwhile takes no place along.
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var left error
		third := make(chan goproxy.File, 1)
		wg.Go(func() { _, left = limited.Open(ctx, req) })
		wg.Go(func() {
			f, err := limited.Open(t.Context(), req)
			if err != nil {
				t.Error(err)
			}
			third <- f
		})
		synctest.Wait()
		if n := len(src.took()); n != 2 {
			t.Fatalf("%d files are open, the limit is 2", n)
		}
		cancel()
		synctest.Wait()
		first.Close()
		first.Close() // a second Close frees no second place
		synctest.Wait()
		if n := len(src.took()); n != 1 {
			t.Fatalf("after one was closed, %d were opened", n)
		}
		wg.Wait()
		if !errors.Is(left, context.Canceled) {
			t.Errorf("who left got %v", left)
		}
		second.Close()
		(<-third).Close()

		// An error keeps no place.
		for range 5 {
			if _, err := limited.Open(t.Context(), mustParse(t, "example.com/bad/@v/list")); !errors.Is(err, goproxy.ErrBlocked) {
				t.Fatal(err)
			}
		}
		open().Close()
		if f, err := goproxy.Limit(src, 0).Open(t.Context(), req); err != nil {
			t.Errorf("a limit of 0: %v, %v", f, err)
		}
	})
}

func TestPolicy(t *testing.T) {
	tests := []struct {
		allow, block []string
		ok, blocked  []string // paths
	}{
		{nil, nil, []string{"example.com/a"}, nil},
		{nil, []string{"example.com/bad", "*.evil.example"}, []string{"example.com/a", "evil.example/x"}, []string{"example.com/bad", "example.com/bad/v2", "x.evil.example/y"}},
		{[]string{"example.com", "golang.org/x"}, nil, []string{"example.com/a", "golang.org/x/mod"}, []string{"golang.org/toolchain", "other.example/a"}},
		{[]string{"example.com"}, []string{"example.com/bad"}, []string{"example.com/a"}, []string{"example.com/bad", "other.example/a"}},
	}
	for _, tt := range tests {
		src := &tree{files: map[string]string{}}
		enforced := goproxy.Enforce(src, goproxy.Policy(tt.allow, tt.block))
		for _, path := range slices.Concat(tt.ok, tt.blocked) {
			_, err := enforced.Open(t.Context(), goproxy.Request{Path: path, Kind: goproxy.List})
			if slices.Contains(tt.ok, path) {
				if !errors.Is(err, goproxy.ErrNotExist) || len(src.took()) != 1 {
					t.Errorf("%v: %s: %v", tt, path, err)
				}
				continue
			}
			var e *goproxy.Error
			if !errors.Is(err, goproxy.ErrBlocked) || !errors.As(err, &e) || e.Request.Path != path || !strings.Contains(e.Hint, path) || e.HintCode == "" {
				t.Errorf("%v: %s: %v", tt, path, err)
			}
			if n := len(src.took()); n != 0 {
				t.Errorf("%v: %s: the source was asked", tt, path)
			}
		}
	}
}

func TestObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		req := mustParse(t, "example.com/m/@v/list")
		slow := goproxy.SourceFunc(func(ctx context.Context, r goproxy.Request) (goproxy.File, error) {
			<-time.After(3 * time.Second)
			return nil, goproxy.ErrGone
		})
		seen := 0
		src := goproxy.Observe(slow, func(_ context.Context, r goproxy.Request, took time.Duration, err error) {
			seen++
			if r != req || took != 3*time.Second || !errors.Is(err, goproxy.ErrGone) {
				t.Errorf("saw %v, %v, %v", r, took, err)
			}
		})
		if _, err := src.Open(t.Context(), req); !errors.Is(err, goproxy.ErrGone) || seen != 1 {
			t.Errorf("got %v, seen %d", err, seen)
		}
	})
}

func TestFail(t *testing.T) {
	src := goproxy.Fail("off", goproxy.ErrBlocked, "a way out", "code")
	for _, name := range []string{"example.com/a/@v/list", "example.com/b/@latest"} {
		req := mustParse(t, name)
		_, err := src.Open(t.Context(), req)
		var e *goproxy.Error
		if !errors.As(err, &e) || e.Request != req || e.Source != "off" || e.Hint != "a way out" || e.HintCode != "code" || !errors.Is(err, goproxy.ErrBlocked) {
			t.Errorf("%s: %#v", name, err)
		}
	}
}
