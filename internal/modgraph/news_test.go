package modgraph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/goproxytest"
)

// newsWorld adds a module with random versions and returns the one that a project requires, and those it excludes.
func newsWorld(s *goproxytest.Server, rnd *rand.Rand, path string) (current string, excluded []string) {
	pool := []string{"v0.1.0", "v0.2.0-rc.1", "v1.0.0-beta.1", "v1.0.0", "v1.1.0-rc.2", "v1.1.0", "v1.2.0", "v1.3.0-pre", "v2.0.0+incompatible", "v2.1.0-rc.1+incompatible",
		"v3.0.0+incompatible"}
	tip := fmt.Sprintf("v0.0.0-2024%02d01000000-0123456789ab", 1+rnd.IntN(12))
	var versions []string
	for _, v := range pool {
		if rnd.IntN(3) == 0 {
			versions = append(versions, v)
		}
	}
	if len(versions) == 0 || rnd.IntN(5) == 0 {
		versions = append(versions, tip)
	}
	if len(versions) == 1 && versions[0] == tip && rnd.IntN(2) == 0 {
		versions = append(versions, "v0.0.0-20230601000000-ba9876543210")
	}
	plain := rnd.IntN(2) == 0 // from before modules
	for i, v := range versions {
		day := time.Date(2024, 1, 1+rnd.IntN(300), 0, 0, 0, 0, time.UTC)
		if at, err := module.PseudoVersionTime(v); err == nil {
			day = at
		}
		files := map[string]string{"a.go": "package a\n", ".info": fmt.Sprintf(`{"Version":%q,"Time":%q}`, v, day.Format(time.RFC3339))}
		if !strings.HasSuffix(v, "+incompatible") && !plain {
			mod := "module " + path + "\n\ngo 1.21\n"
			if rnd.IntN(4) == 0 {
				mod = "// Deprecated: use another.\n" + mod
			}
			for _, r := range versions[:i+1] {
				if !strings.HasSuffix(r, "+incompatible") && rnd.IntN(2) == 0 {
					mod += "\nretract " + r + " // because of " + r + "\n"
				}
			}
			files["go.mod"] = mod
		}
		s.AddModule(path, v, files)
	}
	current = versions[rnd.IntN(len(versions))]
	for _, v := range versions {
		if v != current && rnd.IntN(6) == 0 {
			excluded = append(excluded, v)
		}
	}
	return current, excluded
}

// TestNews compares what is new about random modules with what the go command says.
func TestNews(t *testing.T) {
	s := goproxytest.New(t)
	rnd := rand.New(rand.NewPCG(2026, 11))
	dir := t.TempDir()
	gomod := "module example.com/app\n\ngo 1.21\n\n"
	want := map[string]module.Version{}
	excluded := map[string][]string{}
	for i := range 400 {
		m := module.Version{Path: fmt.Sprintf("example.com/m%d", i)}
		m.Version, excluded[m.Path] = newsWorld(s, rnd, m.Path)
		want[m.Path] = m
		gomod += "require " + m.Path + " " + m.Version + "\n"
		for _, v := range excluded[m.Path] {
			gomod += "exclude " + m.Path + " " + v + "\n"
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(gomod), 0o666); err != nil {
		t.Fatal(err)
	}
	j := &judge{dir: dir, proxy: s.URL, cache: t.TempDir()}
	out, err := j.run("list", "-e", "-m", "-u", "-retracted", "-json", "all")
	if err != nil {
		t.Fatal(err)
	}
	seen, newer, retracted, deprecated := 0, 0, 0, 0
	for dec := json.NewDecoder(strings.NewReader(out)); ; {
		var said struct {
			Path, Version, Deprecated string
			Retracted                 []string
			Update                    struct{ Version string }
		}
		if err := dec.Decode(&said); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		m, ok := want[said.Path]
		if !ok {
			continue
		}
		n := LoadNews(t.Context(), client(t, s), module.Version{Path: said.Path, Version: said.Version}, func(v string) bool { return !slices.Contains(excluded[m.Path], v) })
		if n.VersionsErr != nil || n.NoticesErr != nil {
			t.Errorf("%s: %v %v", m, n.VersionsErr, n.NoticesErr)
		}
		if diff := cmp.Diff([]any{said.Update.Version, said.Deprecated, said.Retracted}, []any{n.Newer, n.Deprecated, n.Retracted}); diff != "" {
			t.Errorf("%s (-go +ours):\n%s", m, diff)
		}
		seen++
		newer, retracted, deprecated = newer+min(len(n.Newer), 1), retracted+min(len(n.Retracted), 1), deprecated+min(len(n.Deprecated), 1)
	}
	if seen != len(want) || newer < 20 || retracted < 20 || deprecated < 20 {
		t.Errorf("of %d modules %d were seen, %d newer, %d retracted, %d deprecated: too few to prove anything", len(want), seen, newer, retracted, deprecated)
	}
}

// TestNewsUnknown wants that nothing is said of what could not be found out.
func TestNewsUnknown(t *testing.T) {
	s := goproxytest.New(t)
	for _, v := range []string{"v1.0.0", "v1.1.0"} {
		s.AddModule("example.com/m", v, map[string]string{"go.mod": "module example.com/m\n", "a.go": "package a\n"})
	}
	m := module.Version{Path: "example.com/m", Version: "v1.0.0"}
	failing := func(kind goproxy.Kind) goproxy.Source {
		src := client(t, s)
		return goproxy.SourceFunc(func(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
			if req.Kind == kind {
				return nil, goproxy.ErrUnavailable
			}
			return src.Open(ctx, req)
		})
	}
	n := LoadNews(t.Context(), failing(goproxy.List), m, nil)
	if !errors.Is(n.VersionsErr, goproxy.ErrUnavailable) || !errors.Is(n.NoticesErr, goproxy.ErrUnavailable) || n.Newer != "" {
		t.Errorf("without a list: %+v", n)
	}
	n = LoadNews(t.Context(), failing(goproxy.Mod), m, nil)
	if n.VersionsErr != nil || n.Newer != "v1.1.0" || !errors.Is(n.NoticesErr, goproxy.ErrUnavailable) {
		t.Errorf("without a go.mod: %+v", n)
	}
	n = LoadNews(t.Context(), client(t, s), module.Version{Path: "example.com/none", Version: "v1.0.0"}, nil)
	if !errors.Is(n.VersionsErr, goproxy.ErrNotExist) || n.Latest != "" {
		t.Errorf("of a module that is not there: %+v", n)
	}
}
