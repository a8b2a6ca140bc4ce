package modgraph

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
)

// large makes 1,500 modules of three versions with twelve requirements each, in memory, and a
// main module that has all of them in its build list.
func large(tb testing.TB, goLine string) (*recorded, Main) {
	tb.Helper()
	const modules, versions, reqs = 1500, 3, 12
	rnd := rand.New(rand.NewPCG(1, 6))
	src := &recorded{files: map[string]string{}, asked: map[string]bool{}}
	for m := range modules {
		for v := range versions {
			var b strings.Builder
			fmt.Fprintf(&b, "module example.com/owner%d/module%d\n\ngo %s\n\nrequire (\n", m%100, m, goLine)
			for i := range reqs {
				to := m + 1 + rnd.IntN(40)
				if i == 0 {
					to = m + 1
				}
				if to < modules {
					fmt.Fprintf(&b, "\texample.com/owner%d/module%d v1.%d.0\n", to%100, to, rnd.IntN(versions))
				}
			}
			b.WriteString(")\n")
			src.files[fmt.Sprintf("mod/example.com/owner%d/module%d@v1.%d.0", m%100, m, v)] = b.String()
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "module example.com/main\n\ngo %s\n\nrequire (\n", goLine)
	for m := range modules {
		// With pruning a go.mod lists all that is needed.
		if m == 0 || goLine != "1.16" {
			fmt.Fprintf(&b, "\texample.com/owner%d/module%d v1.2.0 // indirect\n", m%100, m)
		}
	}
	b.WriteString(")\n")
	f, err := modfile.Parse("go.mod", []byte(b.String()), nil)
	if err != nil {
		tb.Fatal(err)
	}
	return src, Main{File: f, Dir: tb.TempDir()}
}

func BenchmarkLoad(b *testing.B) {
	for _, goLine := range []string{"1.16", "1.21"} {
		b.Run("1500modules/go"+goLine, func(b *testing.B) {
			src, main := large(b, goLine)
			b.ReportAllocs()
			for b.Loop() {
				g := mustLoad(b, src, main)
				if n := len(g.BuildList()); n != 1501 {
					b.Fatalf("%d modules", n)
				}
			}
		})
	}
}

func BenchmarkQuestions(b *testing.B) {
	src, main := large(b, "1.16")
	g := mustLoad(b, src, main)
	const last = "example.com/owner99/module1499"
	ctx := b.Context()
	b.Run("Modules", func(b *testing.B) {
		for b.Loop() {
			if n := len(mustLoad(b, offline{}, main, g).Modules()); n != 1501 {
				b.Fatal(n)
			}
		}
	})
	b.Run("Why", func(b *testing.B) {
		for b.Loop() {
			if len(g.Why(last, 5)) == 0 {
				b.Fatal("no chain")
			}
		}
	})
	b.Run("WhatIf", func(b *testing.B) {
		for b.Loop() {
			if _, err := g.WhatIf(ctx, src, module.Version{Path: last, Version: "v1.2.0"}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Cut", func(b *testing.B) {
		for b.Loop() {
			if _, err := g.Cut(ctx, offline{}, "example.com/owner0/module700"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// offline has nothing.
type offline struct{}

func (offline) Open(_ context.Context, req goproxy.Request) (goproxy.File, error) {
	return nil, fmt.Errorf("%s: %w", req, goproxy.ErrNotExist)
}

// mustLoad loads a graph; what is known to others is not asked for.
func mustLoad(tb testing.TB, src goproxy.Source, main Main, known ...*Graph) *Graph {
	tb.Helper()
	rules, err := newRules([]Main{main}, Options{})
	if err != nil {
		tb.Fatal(err)
	}
	var files map[module.Version]*modFile
	if len(known) > 0 {
		files = known[0].files
	}
	g, err := loadWith(tb.Context(), src, rules, Options{}, files)
	if err != nil {
		tb.Fatal(err)
	}
	if f := g.Failures(); len(f) > 0 {
		tb.Fatal(f[0])
	}
	return g
}
