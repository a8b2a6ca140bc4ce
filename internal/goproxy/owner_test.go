package goproxy_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

// proxyOf is a module proxy that has the files; everything else fails with other. It records what it is asked.
type proxyOf struct {
	files map[string]string
	other error
	delay time.Duration

	mu    sync.Mutex
	asked []string
}

func (p *proxyOf) Open(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
	name, err := req.Name()
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.asked = append(p.asked, name)
	p.mu.Unlock()
	if p.delay > 0 {
		select {
		case <-time.After(p.delay):
		case <-ctx.Done():
			return nil, &goproxy.Error{Source: "proxy", Request: req, Err: context.Cause(ctx)}
		}
	}
	if data, ok := p.files[name]; ok {
		return goproxy.NewFile(req, []byte(data), time.Time{}, nil), nil
	}
	return nil, &goproxy.Error{Source: "proxy", Request: req, Err: p.other}
}

func (p *proxyOf) count(name string) int {
	n := 0
	for _, a := range p.asked {
		if a == name {
			n++
		}
	}
	return n
}

// Where the proxy has a module at a shorter path, its "not found" is the last word of a look-up.
func TestChainDecides(t *testing.T) {
	has := map[string]string{
		"a.test/m/@v/list":      "v1.0.0\n",
		"a.test/none/@v/list":   "", // some proxies answer so to anything
		"a.test/pseudo/@v/list": "v0.0.0-20240102030405-0123456789ab\n",
		"a.test/pseudo/@v/v0.0.0-20240102030405-0123456789ab.info": `{"Version":"v0.0.0-20240102030405-0123456789ab","Time":"2024-01-02T03:04:05Z"}`,
		"a.test/bare/@v/list": "",
		"a.test/bare/@latest": `{"Version":"v0.0.0-20240102030405-0123456789ab"}`,
	}
	tests := []struct {
		name   string // of a file, as the protocol writes it
		want   error
		origin bool // asked
	}{
		{"a.test/m/sub/pkg/@v/list", goproxy.ErrNotExist, false},
		{"a.test/m/sub/@latest", goproxy.ErrNotExist, false},
		{"a.test/m/sub/@v/main.info", goproxy.ErrNotExist, false},
		{"a.test/m/sub/@v/v1.info", goproxy.ErrNotExist, false},
		{"a.test/m/v2/@v/list", goproxy.ErrNotExist, false},
		{"a.test/pseudo/sub/@v/list", goproxy.ErrNotExist, false},
		{"a.test/bare/sub/@v/list", goproxy.ErrNotExist, false},
		// The origin is asked for what a build may need, and decides if it can.
		{"a.test/m/sub/@v/v1.0.0.info", goproxy.ErrNotExist, true},
		{"a.test/m/sub/@v/v1.0.0.mod", goproxy.ErrUnavailable, true},
		{"a.test/m/sub/@v/v1.0.0.zip", goproxy.ErrUnavailable, true},
		// Nothing shorter is known, or nothing that is a module.
		{"a.test/m/@v/v2.0.0.info", goproxy.ErrUnavailable, true},
		{"a.test/none/sub/@v/list", goproxy.ErrUnavailable, true},
		{"b.test/m/sub/@v/list", goproxy.ErrUnavailable, true},
		{"a.test/@v/list", goproxy.ErrUnavailable, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, err := goproxy.ParseRequest(tt.name)
			if err != nil {
				t.Fatal(err)
			}
			proxy := &proxyOf{files: has, other: goproxy.ErrNotExist}
			origin := &proxyOf{other: goproxy.ErrUnavailable}
			chain := goproxy.Chain(
				goproxy.Link{Name: "proxy", Source: goproxy.Strict(proxy), Sep: goproxy.OnAbsent, Decides: true},
				goproxy.Link{Name: "direct", Source: origin, Origin: true})
			if _, err := chain.Open(t.Context(), req); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if got := len(origin.asked) > 0; got != tt.origin {
				t.Errorf("origin asked: %v, want %v", got, tt.origin)
			}
			// A link that may not decide leaves it unknown.
			chain = goproxy.Chain(
				goproxy.Link{Name: "files", Source: goproxy.Strict(proxy), Sep: goproxy.OnAbsent},
				goproxy.Link{Name: "direct", Source: origin, Origin: true})
			if _, err := chain.Open(t.Context(), req); !errors.Is(err, goproxy.ErrUnavailable) {
				t.Errorf("without a say: %v", err)
			}
		})
	}
}

// Who answers, where several are asked.
func TestChainDecidesAmongMany(t *testing.T) {
	list := goproxy.Request{Path: "a.test/m/sub", Kind: goproxy.List}
	owner := &proxyOf{files: map[string]string{"a.test/m/@v/list": "v1.0.0\n"}, other: goproxy.ErrNotExist}
	gone := &proxyOf{files: owner.files, other: goproxy.ErrGone}
	empty := &proxyOf{other: goproxy.ErrNotExist}
	down := &proxyOf{other: goproxy.ErrUnavailable}
	blocked := &proxyOf{other: goproxy.ErrBlocked}
	mismatch := &proxyOf{other: goproxy.ErrMismatch}
	full := &proxyOf{files: map[string]string{"a.test/m/sub/@v/list": "v0.1.0\n"}, other: goproxy.ErrNotExist}
	tests := []struct {
		name  string
		links []*proxyOf // the last is the origin
		sep   goproxy.Sep
		want  error
	}{
		{"a link before it was down", []*proxyOf{down, owner, down}, goproxy.OnError, goproxy.ErrNotExist},
		{"its own word", []*proxyOf{gone, down}, goproxy.OnAbsent, goproxy.ErrGone},
		{"only the second owns it", []*proxyOf{empty, owner, down}, goproxy.OnAbsent, goproxy.ErrNotExist},
		{"another proxy has it", []*proxyOf{owner, full, down}, goproxy.OnAbsent, nil},
		{"the origin has it", []*proxyOf{empty, full}, goproxy.OnAbsent, nil},
		{"nobody owns it", []*proxyOf{empty, down}, goproxy.OnAbsent, goproxy.ErrUnavailable},
		{"the owner is down", []*proxyOf{down, down}, goproxy.OnError, goproxy.ErrUnavailable},
		{"an error ends the list", []*proxyOf{owner, down, full}, goproxy.OnAbsent, goproxy.ErrNotExist},
		{"forbidden stays forbidden", []*proxyOf{blocked, down}, goproxy.OnAbsent, goproxy.ErrBlocked},
		{"a bad file stays bad", []*proxyOf{mismatch, down}, goproxy.OnAbsent, goproxy.ErrMismatch},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var links []goproxy.Link
			for i, p := range tt.links {
				last := i == len(tt.links)-1
				links = append(links, goproxy.Link{Name: fmt.Sprint(i), Source: p, Sep: tt.sep, Decides: !last, Origin: last})
			}
			if _, err := goproxy.Chain(links...).Open(t.Context(), list); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// What a proxy has is asked for once, however many prefixes lead to it, and again when it is old.
func TestChainAsksOwnerOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proxy := &proxyOf{files: map[string]string{"a.test/m/@v/list": "v1.0.0\n"}, other: goproxy.ErrNotExist, delay: time.Second}
		origin := &proxyOf{other: goproxy.ErrUnavailable}
		chain := goproxy.Chain(
			goproxy.Link{Source: proxy, Sep: goproxy.OnAbsent, Decides: true}, goproxy.Link{Source: origin, Origin: true})
		ask := func(ctx context.Context, path string) error {
			_, err := chain.Open(ctx, goproxy.Request{Path: path, Kind: goproxy.List})
			return err
		}
		// The first asker leaves while it finds out; who waits for it finds out instead.
		leaving, leave := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer leave()
		var wg sync.WaitGroup
		for i, path := range []string{"a.test/m/x", "a.test/m/y", "a.test/m/z", "a.test/m/x/y"} {
			wg.Go(func() {
				ctx := t.Context()
				if i == 0 {
					ctx = leaving
				} else {
					time.Sleep(time.Millisecond)
				}
				if err := ask(ctx, path); i > 0 && !errors.Is(err, goproxy.ErrNotExist) {
					t.Errorf("%s: %v", path, err)
				}
			})
		}
		wg.Wait()
		if n := proxy.count("a.test/m/@v/list"); n != 2 {
			t.Errorf("asked %d times, want 2: one that left and one that stayed", n)
		}
		time.Sleep(time.Hour)
		if err := ask(t.Context(), "a.test/m/x"); !errors.Is(err, goproxy.ErrNotExist) {
			t.Error(err)
		}
		if n := proxy.count("a.test/m/@v/list"); n != 3 {
			t.Errorf("asked %d times after an hour, want 3", n)
		}
		if slices.Contains(origin.asked, "a.test/m/x/@v/list") {
			t.Error("the origin was asked")
		}
	})
}
