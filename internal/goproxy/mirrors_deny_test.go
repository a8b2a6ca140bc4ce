package goproxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

// word is an act by its name.
func word(t *testing.T, w string) act {
	t.Helper()
	switch w {
	case "ok":
		return serves(100*ms, "ok")
	case "late":
		return serves(1900*ms, "ok")
	case "stall":
		return stalls
	case "dead":
		return isDead
	}
	errs := sentinels()
	for _, status := range []int{404, 410, 403, 500, 503} {
		errs[fmt.Sprint(status)] = goproxy.FromStatus(status)
	}
	if errs[w] == nil {
		t.Fatalf("no such word: %s", w)
	}
	return fails(100*ms, errs[w])
}

// Who is believed.
func TestMirrorsDeny(t *testing.T) {
	tests := []struct {
		set   string
		want  string // a word
		asked int    // mirrors
		most  time.Duration
	}{
		{"404", "not-exist", 1, 100 * ms},
		{"403", "blocked", 1, 100 * ms},
		{"404 ok", "ok", 2, 200 * ms}, // it lags
		{"403 ok", "ok", 2, 200 * ms}, // it filters
		{"410 ok", "ok", 2, 200 * ms},
		{"404 404 ok", "not-exist", 2, 200 * ms},
		{"410 404 ok", "gone", 2, 200 * ms},
		{"403 403 ok", "blocked", 2, 200 * ms},
		{"404 403 ok", "ok", 3, 300 * ms}, // that is no second one to say so
		{"404 403 404", "not-exist", 3, 300 * ms},
		{"404 403 403", "blocked", 3, 300 * ms},
		{"404 403", "blocked", 2, 200 * ms},
		{"503 404 ok", "ok", 3, 300 * ms},
		{"404 503 ok", "ok", 3, 300 * ms},
		{"404 late", "ok", 2, 2 * time.Second},
		// Nobody else can say.
		{"404 500", "not-exist", 2, 200 * ms},
		{"500 403", "blocked", 2, 200 * ms},
		{"404 stall", "not-exist", 2, 2500 * ms},
		{"404 dead", "not-exist", 2, 2500 * ms},
		{"404 dead stall", "not-exist", 3, 5 * time.Second},
		{"dead 404", "not-exist", 2, 2500 * ms},
		// Unknown is never "not found", and a failed check is never hidden.
		{"503 500", "unavailable", 2, 200 * ms},
		{"dead stall", "unavailable", 2, 62 * time.Second},
		{"mismatch ok", "ok", 2, 200 * ms},
		{"mismatch 404", "mismatch", 2, 200 * ms},
		{"404 mismatch", "mismatch", 2, 200 * ms},
		{"mismatch 404 404", "mismatch", 3, 300 * ms},
		{"mismatch 503", "mismatch", 2, 200 * ms},
		{"503 mismatch", "mismatch", 2, 200 * ms},
		{"mismatch 403", "mismatch", 2, 200 * ms},
	}
	for _, tt := range tests {
		t.Run(tt.set, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var acts []act
				for _, w := range strings.Fields(tt.set) {
					acts = append(acts, word(t, w))
				}
				f := newFleet(t, goproxy.MirrorsConfig{}, acts...)
				start := time.Now()
				got, err := f.get(t.Context(), t, modName)
				if tt.want == "ok" {
					if err != nil || got != "ok" {
						t.Errorf("got %q, %v", got, err)
					}
				} else if !errors.Is(err, sentinels()[tt.want]) || goproxy.Absent(err) != (tt.want == "not-exist" || tt.want == "gone") {
					t.Errorf("got %q, %v, want %s", got, err, tt.want)
				}
				if took := time.Since(start); took > tt.most {
					t.Errorf("took %v, want %v at most", took, tt.most)
				}
				asked := 0
				for _, n := range f.counts() {
					asked += min(n, 1)
				}
				if asked != tt.asked {
					t.Errorf("asked %d mirrors, want %d", asked, tt.asked)
				}
				for i, w := range strings.Fields(tt.set) {
					if s := f.State()[i]; (w == "404" || w == "403" || w == "410") && (s.Failures != 0 || !s.OutUntil.IsZero()) {
						t.Errorf("to deny is no failure: %+v", s)
					}
				}
			})
		})
	}
}

// A mirror that is out is not asked to confirm.
func TestMirrorsDenyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		saved := []goproxy.MirrorState{{Name: "b", OutUntil: time.Now().Add(time.Minute)}}
		f := newFleet(t, goproxy.MirrorsConfig{Saved: saved}, word(t, "404"), word(t, "ok"))
		if _, err := f.get(t.Context(), t, modName); !errors.Is(err, goproxy.ErrNotExist) || f.stubs[1].count() != 0 {
			t.Errorf("got %v", err)
		}
	})
}

// A silent mirror does not make every "not found" slow: it is found out.
func TestMirrorsDenySilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, goproxy.MirrorsConfig{}, word(t, "404"), stalls)
		start := time.Now()
		for range 50 {
			if _, err := f.get(t.Context(), t, modName); !errors.Is(err, goproxy.ErrNotExist) {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took > 50*100*ms+4*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// In a chain a set is one link, which decides as one (ADR 7).
func TestMirrorsDecide(t *testing.T) {
	has := map[string]string{"a.test/m/@v/list": "v1.0.0\n"}
	lags, knows := &proxyOf{other: goproxy.ErrNotExist}, &proxyOf{files: has, other: goproxy.ErrNotExist}
	set := goproxy.NewMirrors(goproxy.MirrorsConfig{Mirrors: []goproxy.Mirror{{Name: "a", Source: lags}, {Name: "b", Source: knows}}})
	origin := &proxyOf{other: goproxy.ErrUnavailable}
	chain := goproxy.Chain(
		goproxy.Link{Name: "set", Source: set, Sep: goproxy.OnAbsent, Decides: true},
		goproxy.Link{Name: "direct", Source: origin, Origin: true})
	ctx, avoid := goproxy.NewAvoid(t.Context())
	if _, err := chain.Open(ctx, goproxy.Request{Path: "a.test/m/sub", Kind: goproxy.List}); !errors.Is(err, goproxy.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if len(origin.asked) != 0 || avoid.Last() != "" {
		t.Errorf("the origin was asked for %v; served by %q", origin.asked, avoid.Last())
	}
	set.Close()
}

// What is refused is asked of another mirror, then behind the set as the separator says.
func TestMirrorsAvoid(t *testing.T) {
	wrong := fmt.Errorf("%w: for the test", goproxy.ErrMismatch)
	broken := fmt.Errorf("%w: for the test", goproxy.ErrUnavailable)
	tests := []struct {
		set    string // of words; behind it stands a link that serves "next"
		sep    goproxy.Sep
		refuse error
		want   []string // who serves, one after the other, each refused; then the error
	}{
		{"ok ok ok", goproxy.OnAbsent, wrong, []string{"a", "b", "c", wrong.Error()}},
		{"ok ok", goproxy.OnError, wrong, []string{"a", "b", "next", wrong.Error()}},
		{"ok 503 ok", goproxy.OnAbsent, wrong, []string{"a", "c", wrong.Error()}},
		{"ok 404 404", goproxy.OnAbsent, wrong, []string{"a", wrong.Error()}},
		{"ok ok", goproxy.OnAbsent, broken, []string{"a", "b", broken.Error()}},
		{"ok 404 404", goproxy.OnAbsent, broken, []string{"a", broken.Error()}}, // a has it
		{"404 404", goproxy.OnAbsent, wrong, []string{"next", wrong.Error()}},
		{"ok", goproxy.OnMirror, wrong, []string{"a", "next", wrong.Error()}},
	}
	for _, tt := range tests {
		for _, name := range []string{modName, zipName} {
			t.Run(tt.set+string(rune(tt.sep))+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var acts []act
					for _, w := range strings.Fields(tt.set) {
						acts = append(acts, word(t, w))
					}
					f := newFleet(t, goproxy.MirrorsConfig{}, acts...)
					next := &stub{name: "next", act: serves(0, "next")}
					chain := goproxy.Chain(goproxy.Link{Name: "set", Source: f, Sep: tt.sep}, goproxy.Link{Name: "next", Source: next})
					ctx, avoid := goproxy.NewAvoid(t.Context())
					for i, want := range tt.want {
						file, err := chain.Open(ctx, mustParse(t, name))
						if err != nil {
							if i != len(tt.want)-1 || !errors.Is(err, tt.refuse) || goproxy.Absent(err) {
								t.Fatalf("try %d: %v, want %s", i, err, want)
							}
							continue
						}
						file.Close()
						if got := avoid.Last(); got != want {
							t.Fatalf("try %d: served by %s, want %s", i, got, want)
						}
						if !avoid.Refuse(tt.refuse) {
							t.Fatalf("try %d: nobody to refuse", i)
						}
					}
				})
			})
		}
	}
}

// A mirror that serves bytes which the checksum database refuses is out for good, and named once.
func TestMirrorsForged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrong := fmt.Errorf("%w: got h1:x", goproxy.ErrMismatch)
		f := newFleet(t, goproxy.MirrorsConfig{}, serves(10*ms, "forged"), serves(100*ms, "good"))
		fetch := func(name string) string {
			ctx, avoid := goproxy.NewAvoid(t.Context())
			for {
				got, err := f.get(ctx, t, name)
				if err != nil || got == "good" || !avoid.Refuse(wrong) {
					if err != nil {
						t.Fatal(err)
					}
					return got
				}
			}
		}
		var wg sync.WaitGroup
		for i := range 5 {
			wg.Go(func() {
				if got := fetch(fmt.Sprintf("example.com/m%d/@v/v1.0.0.zip", i)); got != "good" {
					t.Errorf("got %s", got)
				}
			})
		}
		wg.Wait()
		s := f.state("a")
		if s.Refused != 5 || !strings.Contains(s.Why, "checksum mismatch") || time.Until(s.OutUntil) < 59*time.Minute {
			t.Errorf("state %+v", s)
		}
		if log := f.log.String(); strings.Count(log, "level=ERROR") != 1 || !strings.Contains(log, "source=a") || !strings.Contains(log, "got h1:x") {
			t.Errorf("log:\n%s", log)
		}
		if got := f.told(goproxy.MirrorRefused); !slices.Equal(got, []string{"a", "a", "a", "a", "a"}) {
			t.Errorf("events %v", got)
		}
		f.counts()
		time.Sleep(100 * time.Hour)
		for range 200 {
			f.want(t, "good", 100*ms)
		}
		f.stubs[1].act = word(t, "503")
		if _, err := f.get(t.Context(), t, modName); !errors.Is(err, goproxy.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		if n := f.counts()[0]; n != 0 {
			t.Errorf("it was asked %d times afterwards", n)
		}
	})
}

// Where all mirrors serve the same refused bytes, they are not to blame.
func TestMirrorsAcquitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrong := fmt.Errorf("%w: for the test", goproxy.ErrMismatch)
		f := newFleet(t, goproxy.MirrorsConfig{}, serves(10*ms, "a"), serves(10*ms, "b"), word(t, "404"))
		ctx, avoid := goproxy.NewAvoid(t.Context())
		for i := range 2 {
			if _, err := f.get(ctx, t, zipName); err != nil {
				t.Fatal(err)
			}
			avoid.Refuse(wrong)
			if s := f.State()[i]; s.OutUntil.IsZero() {
				t.Errorf("state %+v", s)
			}
		}
		if _, err := f.get(ctx, t, zipName); !errors.Is(err, wrong) {
			t.Errorf("got %v", err)
		}
		for _, s := range f.State()[:2] {
			if s.Refused != 1 || !s.OutUntil.IsZero() || s.Why != "" {
				t.Errorf("state %+v", s)
			}
		}
		f.want(t, "a", 10*ms)

		// A set of one goes on asking it: there is nobody else.
		one := newFleet(t, goproxy.MirrorsConfig{}, serves(10*ms, "a"))
		ctx, avoid = goproxy.NewAvoid(t.Context())
		if _, err := one.get(ctx, t, zipName); err != nil {
			t.Fatal(err)
		}
		avoid.Refuse(wrong)
		if _, err := one.get(ctx, t, zipName); !errors.Is(err, wrong) {
			t.Errorf("got %v", err)
		}
		one.want(t, "a", 10*ms)
		if s := one.state("a"); s.OutUntil.IsZero() {
			t.Errorf("state %+v", s)
		}
	})
}

// A body that breaks for good is a failure of its mirror; the next Open with the Avoid reads another one whole.
func TestMirrorsBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 1 << 20
		f := newFleet(t, goproxy.MirrorsConfig{}, large(10*ms, size, 1<<20, 300_000), large(20*ms, size, 1<<20, -1))
		ctx, avoid := goproxy.NewAvoid(t.Context())
		file, err := f.Open(ctx, mustParse(t, zipName))
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(file)
		if len(data) < 200_000 || !errors.Is(err, goproxy.ErrUnavailable) || avoid.Last() != "a" {
			t.Fatalf("read %d bytes of %s, %v", len(data), avoid.Last(), err)
		}
		file.Close()
		avoid.Refuse(err)
		got, err := f.get(ctx, t, zipName)
		if err != nil || got != string(make([]byte, size)) || avoid.Last() != "b" {
			t.Fatalf("%d bytes of %s, %v", len(got), avoid.Last(), err)
		}
		if a, b := f.state("a"), f.state("b"); a.Failures != 1 || b.Failures != 0 || a.Throughput >= b.Throughput {
			t.Errorf("states %+v, %+v", a, b)
		}
		f.counts()
		if _, err := f.get(t.Context(), t, zipName); err != nil {
			t.Error(err)
		}
		if got := f.counts(); !slices.Equal(got, []int{0, 1}) {
			t.Errorf("asked %v", got)
		}
	})
}

// One who does not like what it got, and does not blame the checksum: the mirror failed.
func TestMirrorsRefusedOtherwise(t *testing.T) {
	f := newFleet(t, goproxy.MirrorsConfig{}, serves(0, "short"), serves(0, "whole"))
	ctx, avoid := goproxy.NewAvoid(t.Context())
	for _, want := range []string{"short", "whole"} {
		if got, err := f.get(ctx, t, zipName); got != want || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
		avoid.Refuse(goproxy.ErrUnavailable)
	}
	for _, s := range f.State() {
		if s.Failures != 1 || s.Refused != 0 {
			t.Errorf("state %+v", s)
		}
	}
}

// Whatever mirrors do: a file that a healthy mirror has is found, "not found" needs somebody who said so, a failed
// check is not hidden, and nothing is left behind.
func TestMirrorsAnything(t *testing.T) {
	words := []string{"ok", "ok", "late", "404", "403", "410", "500", "503", "stall", "dead", "mismatch", "other"}
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 3))
			var acts []act
			var script [][]string
			for i := range 1 + rnd.IntN(4) {
				var some []string
				var steps []act
				for range 1 + rnd.IntN(3) {
					w := words[rnd.IntN(len(words))]
					some, steps = append(some, w), append(steps, word(t, w))
				}
				script = append(script, some)
				acts = append(acts, func(ctx context.Context, n int, req goproxy.Request) (goproxy.File, error) {
					return steps[n*(i+1)%len(steps)](ctx, n, req)
				})
			}
			can := func(ws ...string) bool {
				return slices.ContainsFunc(script, func(some []string) bool {
					return slices.ContainsFunc(some, func(w string) bool { return slices.Contains(ws, w) })
				})
			}
			sound := slices.ContainsFunc(script, func(some []string) bool {
				return !slices.ContainsFunc(some, func(w string) bool { return w != "ok" })
			})
			f := newFleet(t, goproxy.MirrorsConfig{HedgePercent: rnd.IntN(3)*5 - 5}, acts...)
			var wg sync.WaitGroup
			for range 30 {
				wg.Go(func() {
					got, err := f.get(t.Context(), t, modName)
					status, _ := goproxy.Status(err)
					switch {
					case err == nil && (got != "ok" || !can("ok", "late")),
						goproxy.Absent(err) && !can("404", "410"),
						status == 403 && !can("403"),
						errors.Is(err, goproxy.ErrMismatch) && !can("mismatch"),
						err != nil && sound && !can("404", "403", "410"):
						t.Errorf("seed %d, %v: got %q, %v", seed, script, got, err)
					}
				})
				if rnd.IntN(3) == 0 {
					wg.Wait()
					time.Sleep(time.Duration(rnd.IntN(20)) * time.Second)
				}
			}
			wg.Wait()
		})
	}
}
