package cache_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/goferry/goferry/internal/cache"
	"github.com/goferry/goferry/internal/goproxy"
)

// chained are mirrors as links of a chain, setOf as a set.
func chained(first, second goproxy.Source) goproxy.Source {
	return goproxy.Chain(goproxy.Link{Name: "first", Source: first, Sep: goproxy.OnMirror}, goproxy.Link{Name: "second", Source: second})
}

func setOf(first, second goproxy.Source) goproxy.Source {
	set := goproxy.NewMirrors(goproxy.MirrorsConfig{Mirrors: []goproxy.Mirror{{Name: "first", Source: first}, {Name: "second", Source: second}}})
	return goproxy.Chain(goproxy.Link{Name: "set", Source: set})
}

// TestNextMirror: wrong or broken bytes of one mirror are replaced by those of the next, also under
// a reader whose bytes so far are the same.
func TestNextMirror(t *testing.T) {
	good := zipBytes(zipName, 400_000)
	changed := func(at int) []byte {
		bad := bytes.Clone(good)
		bad[at] ^= 1
		return bad
	}
	tests := []struct {
		name  string
		first []byte // of the first mirror
		total int    // what it says
		cut   bool   // it breaks off behind first
		begun bool   // the reader has bytes of the first mirror when that is refused
		ok    bool   // the reader gets the good file
	}{
		{"not begun", changed(0), len(good), false, false, true},
		{"not begun, another length", good[:300_000], 300_000, false, false, true},
		{"begun, the difference is far behind", changed(len(good) - 1), len(good), false, true, true},
		{"begun, the difference is in what was sent", changed(5), len(good), false, true, false},
		{"begun, another length was told", good[:300_000], 300_000, false, true, false},
		{"begun, no length was told", good[:300_000], -1, false, true, true},
		{"begun, and cut", good[:200_000], len(good), true, true, true},
		{"not begun, and cut", good[:1000], len(good), true, false, true},
	}
	for i, tt := range append(tests, tests...) {
		join := chained
		if i >= len(tests) {
			join, tt.name = setOf, tt.name+", in a set"
		}
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body, w := stream(tt.total)
				first, second := newUpstream(), newUpstream()
				first.hook = func(context.Context, string) (goproxy.File, error) { return body, nil }
				second.files[zipName] = good
				st := openStore(t, t.TempDir())
				c := newCache(t, cache.Config{Store: st, Check: refuse(good), Source: join(first, second)})
				f, err := c.Open(t.Context(), mustParse(t, zipName))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				w.Write(tt.first)
				got := make([]byte, 0, len(good))
				told := int64(len(good))
				if tt.begun {
					buf := make([]byte, 100_000)
					if _, err := io.ReadFull(f, buf); err != nil {
						t.Fatal(err)
					}
					got = append(got, buf...)
					info, err := f.Stat()
					if err != nil {
						t.Fatal(err)
					}
					told = info.Size()
				}
				if tt.cut {
					w.CloseWithError(&goproxy.Error{Err: goproxy.ErrUnavailable})
				} else {
					w.Close()
				}
				synctest.Wait()
				rest, err := io.ReadAll(f)
				got = append(got, rest...)
				switch {
				case tt.ok && (err != nil || !bytes.Equal(got, good)):
					t.Errorf("got %d bytes, %v", len(got), err)
				case !tt.ok && (!errors.Is(err, goproxy.ErrUnavailable) || len(rest) != 0):
					t.Errorf("got %d bytes more, %v; want an error", len(rest), err)
				}
				if info, err := f.Stat(); err != nil || info.Size() != told && told >= 0 {
					t.Errorf("Stat says %d, %v; it said %d", info.Size(), err, told)
				}
				synctest.Wait()
				want(t, c, zipName, string(good), "hit")
				if stored(t, st, zipName) != string(good) {
					t.Error("the good file was not kept")
				}
				wantMismatches := int64(1)
				if tt.cut {
					wantMismatches = 0
				}
				if n := c.Mismatches(); n != wantMismatches {
					t.Errorf("Mismatches is %d, want %d", n, wantMismatches)
				}
			})
		})
	}
}

// TestSecondBad: when the next mirror is bad too, or has nothing, the reader gets an error and never the end
// of the bad file, even if that one would be shorter than what the next promises.
func TestSecondBad(t *testing.T) {
	for i, second := range []string{"bad", "absent", "down", "bad", "absent", "down"} {
		join := chained
		if i >= 3 {
			join = setOf
		}
		synctest.Test(t, func(t *testing.T) {
			bad := zipBytes(zipName, 200_000)
			body, w := stream(len(bad))
			one, two := newUpstream(), newUpstream()
			one.hook = func(context.Context, string) (goproxy.File, error) { return body, nil }
			switch second {
			case "bad":
				two.files[zipName] = zipBytes(zipName, 900_000)
			case "down":
				two.down = goproxy.ErrUnavailable
			}
			st := openStore(t, t.TempDir())
			c := newCache(t, cache.Config{Store: st, Check: refuse(nil), Source: join(one, two)})
			f, err := c.Open(t.Context(), mustParse(t, zipName))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			w.Write(bad)
			buf := make([]byte, 1000)
			if _, err := io.ReadFull(f, buf); err != nil {
				t.Fatal(err)
			}
			w.Close()
			synctest.Wait()
			rest, err := io.ReadAll(f)
			if !errors.Is(err, goproxy.ErrMismatch) || goproxy.Absent(err) || len(rest) != 0 {
				t.Errorf("%s: %d bytes more, %v", second, len(rest), err)
			}
			if got := blobs(t, st); len(got) != 0 {
				t.Errorf("%s: kept %v", second, got)
			}
		})
	}
}

// TestGoesOn: a source that breaks off and can go on is asked to, as long as it gets anywhere.
func TestGoesOn(t *testing.T) {
	content := zipBytes(zipName, 2_000_000)
	tests := []struct {
		name    string
		piece   int // what comes before the stream breaks off
		err     error
		ok      bool
		reopens int
	}{
		{"large pieces", 300_000, goproxy.ErrUnavailable, true, 6},
		{"small pieces", 1000, goproxy.ErrUnavailable, false, 3},
		{"no pieces", 0, goproxy.ErrUnavailable, false, 0},
		{"not for other errors", 300_000, errors.New("disk on fire"), false, 0},
		{"not where that was tried", 300_000, tried{goproxy.ErrUnavailable}, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reopens := 0
			open := func(at int64) (io.ReadCloser, error) {
				rest := content[at:]
				if len(rest) <= tt.piece {
					return io.NopCloser(bytes.NewReader(rest)), nil
				}
				return io.NopCloser(io.MultiReader(bytes.NewReader(rest[:tt.piece]), failing{tt.err})), nil
			}
			up := newUpstream()
			up.hook = func(context.Context, string) (goproxy.File, error) {
				body, err := open(0)
				return goproxy.NewStreamFile(goproxy.FileInfo{Bytes: int64(len(content))}, body, func(at int64) (io.ReadCloser, error) {
					reopens++
					return open(at)
				}), err
			}
			st := openStore(t, t.TempDir())
			c := newCache(t, cache.Config{Store: st, Source: up})
			got, _, err := read(t, c, zipName)
			if tt.ok && (err != nil || got != string(content)) || !tt.ok && !errors.Is(err, tt.err) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if err := c.Close(); err != nil || reopens != tt.reopens || up.asked()[zipName] != 1 {
				t.Errorf("the stream was opened again %d times, want %d", reopens, tt.reopens)
			}
			if kept := stored(t, st, zipName); tt.ok != (kept == string(content)) || !tt.ok && kept != "" {
				t.Errorf("kept %d bytes", len(kept))
			}
		})
	}
}

// tried is the error of a source that has gone on by itself as often as it may.
type tried struct{ error }

func (e tried) Unwrap() error { return e.error }
func (e tried) Final() bool   { return true }

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestKept tells who served what was kept: who served wrong bytes before counts for nothing, and hits are nobody's news.
func TestKept(t *testing.T) {
	good := []byte("module example.com/m\n")
	for name, join := range map[string]func(first, second goproxy.Source) goproxy.Source{"chain": chained, "set": setOf} {
		first, second := newUpstream(), newUpstream()
		first.files[modName], second.files[modName] = []byte("module example.com/other\n"), good
		var kept []string
		c := newCache(t, cache.Config{Check: refuse(good), Source: join(first, second), Kept: func(req goproxy.Request, from string) {
			kept = append(kept, req.String()+" "+from)
		}})
		for range 2 {
			if got, _, err := read(t, c, modName); err != nil || got != string(good) {
				t.Fatalf("%s: %d bytes, %v", name, len(got), err)
			}
		}
		if want := []string{mustParse(t, modName).String() + " second"}; !slices.Equal(kept, want) {
			t.Errorf("%s: kept %q, want %q", name, kept, want)
		}
	}
}
