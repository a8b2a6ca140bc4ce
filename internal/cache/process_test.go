package cache_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/cache"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/store"
)

// The tests run this binary as other processes that share a cache; their role says what they do.
const (
	roleVar = "GOFERRY_CACHE_TEST_ROLE"
	dirVar  = "GOFERRY_CACHE_TEST_DIR"
	seedVar = "GOFERRY_CACHE_TEST_SEED"
)

func TestMain(m *testing.M) {
	role := os.Getenv(roleVar)
	if role == "" {
		os.Exit(m.Run())
	}
	run := systemRole(role)
	if role == "fill" {
		run = fillForEver
	}
	if run == nil {
		log.Fatalf("no such role: %s", role)
	}
	if err := run(os.Getenv(dirVar)); err != nil {
		log.Fatalf("%s: %v", role, err)
	}
	fmt.Println("ok")
}

// child starts this binary with a role.
func child(t *testing.T, role, dir string, seed uint64) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), roleVar+"="+role, dirVar+"="+dir, fmt.Sprintf("%s=%d", seedVar, seed))
	cmd.Stderr = os.Stderr
	return cmd
}

// deterministic is a Source whose files follow from their names: .info, .mod and lists are valid and short,
// zips have up to 120 kB. Some are absent.
func deterministic(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
	name, err := req.Name()
	if err != nil {
		return nil, err
	}
	content := contentOf(name)
	if content == nil {
		return nil, &goproxy.Error{Request: req, Err: goproxy.ErrNotExist}
	}
	if req.Kind != goproxy.Zip {
		return goproxy.NewFile(req, content, time.Time{}, nil), nil
	}
	return goproxy.NewStreamFile(goproxy.FileInfo{Bytes: int64(len(content))}, io.NopCloser(bytes.NewReader(content)), nil), nil
}

func contentOf(name string) []byte {
	h := fnv.New64a()
	io.WriteString(h, name)
	sum := h.Sum64()
	switch {
	case sum%7 == 0:
		return nil
	case strings.HasSuffix(name, ".zip"):
		return zipBytes(name, int(sum%120_000))
	}
	return zipBytes(name, int(sum%200))
}

// fillForEver fills a cache from many goroutines until it is killed.
func fillForEver(dir string) error {
	var seed uint64
	if _, err := fmt.Sscan(os.Getenv(seedVar), &seed); err != nil {
		return err
	}
	st, err := store.Open(dir, store.Options{})
	if err != nil {
		return err
	}
	c := cache.New(cache.Config{Store: st, Source: goproxy.SourceFunc(deterministic), FreshList: -1, FreshAbsent: -1, MemoryLimit: 1})
	fmt.Println("filling")
	var wg sync.WaitGroup
	for g := range 8 {
		r := rand.New(rand.NewPCG(seed, uint64(g)))
		wg.Go(func() {
			for {
				name := fmt.Sprintf("example.com/m%d/@v/v1.%d.0%s", r.IntN(8), r.IntN(500), []string{".zip", ".zip", ".mod", ".info"}[r.IntN(4)])
				if r.IntN(10) == 0 {
					name = fmt.Sprintf("example.com/m%d/@v/list", r.IntN(100)) // replaced again and again
				}
				req, err := goproxy.ParseRequest(name)
				if err != nil {
					log.Fatal(err)
				}
				got, _, err := readCtx(context.Background(), c, req)
				if want := contentOf(name); err != nil && !errors.Is(err, goproxy.ErrNotExist) || got != string(want) {
					log.Fatalf("%s: %d of %d bytes, %v", name, len(got), len(want), err)
				}
				if want := contentOf(name); r.IntN(4) == 0 && want != nil {
					// A small pool of names must not be all hits soon. Another goroutine may have been faster.
					if err := st.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
						log.Fatal(err)
					}
				}
			}
		})
	}
	wg.Wait()
	return nil
}

// TestKill kills a process full of fills, again and again, at random moments (GOFERRY_KILLS: how often). After each kill every
// file in the tree is whole or absent, and what the dead left behind is gone.
func TestKill(t *testing.T) {
	kills := 100
	if n, err := strconv.Atoi(os.Getenv("GOFERRY_KILLS")); err == nil {
		kills = n
	}
	dir := t.TempDir()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	leftovers, most := 0, 0
	for round := range kills {
		cmd := child(t, "fill", dir, r.Uint64())
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(out)
		if line, err := in.ReadString('\n'); line != "filling\n" {
			t.Fatalf("the process said %q, %v", line, err)
		}
		<-time.After(time.Duration(r.IntN(50_000)) * time.Microsecond) // the moment of the kill
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(in)
		werr := cmd.Wait()
		if err != nil || len(rest) != 0 || cmd.ProcessState.Exited() {
			t.Fatalf("the process ended by itself: %q, %v, %v", rest, err, werr)
		}
		leftovers += len(spoolFiles(t, dir))

		st, err := store.Open(dir, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := spoolFiles(t, dir); len(got) != 0 {
			t.Fatalf("round %d: leftovers %v", round, got)
		}
		files := wantWhole(t, dir)
		most = max(most, files)
		// It goes on working: by what is there and by what is not.
		c := cache.New(cache.Config{Store: st, Source: goproxy.SourceFunc(deterministic)})
		for i := range 3 {
			name := fmt.Sprintf("example.com/m1/@v/v1.%d.0.zip", i)
			if got, _, err := read(t, c, name); got != string(contentOf(name)) || err != nil && !errors.Is(err, goproxy.ErrNotExist) {
				t.Fatalf("round %d: %s: %d bytes, %v", round, name, len(got), err)
			}
		}
		if err := errors.Join(c.Close(), st.Close()); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills met %d unfinished files; up to %d files were in the store", kills, leftovers, most)
	if leftovers < kills/4 || most < kills {
		t.Error("the test has lost its teeth")
	}
}

// spoolFiles are the unfinished files below dir.
func spoolFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, ".goferry", "spool", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// wantWhole reads the tree without the store's help, and counts its files.
func wantWhole(t *testing.T, dir string) (n int) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name == ".goferry" || name == "absent"):
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		n++
		if content := contentOf(name); content == nil || !bytes.Equal(got, content) {
			t.Errorf("%s has %d bytes, and should have %d", name, len(got), len(content))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestShared: several caches over one folder, some of them in other processes, do not get in each other's way.
func TestShared(t *testing.T) {
	dir := t.TempDir()
	other := child(t, "fill", dir, 1)
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "filling\n" {
		t.Fatalf("the process said %q, %v", line, err)
	}
	var wg sync.WaitGroup
	for g := range 3 {
		c := newCache(t, cache.Config{Store: openStore(t, dir), Source: goproxy.SourceFunc(deterministic)})
		wg.Go(func() {
			for i := range 150 {
				name := fmt.Sprintf("example.com/m%d/@v/v1.%d.0.zip", g, i)
				if got, _, err := read(t, c, name); got != string(contentOf(name)) || err != nil && !errors.Is(err, goproxy.ErrNotExist) {
					t.Errorf("%s: %d bytes, %v", name, len(got), err)
				}
			}
		})
	}
	wg.Wait()
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := other.Wait(); err == nil || other.ProcessState.Exited() {
		t.Errorf("the other process ended by itself: %v", err)
	}
	wantWhole(t, dir)
}
