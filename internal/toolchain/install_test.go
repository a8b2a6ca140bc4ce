package toolchain

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/sumdb"
)

func TestInstall(t *testing.T) {
	windows := Target{Version: instTarget.Version, OS: "windows", Arch: "arm64"}
	for _, target := range []Target{instTarget, windows} {
		r := newInstRelease(t, target)
		archive := r.tar
		if target.OS == "windows" {
			archive = r.zip
		}
		for _, p := range []*instPlace{
			newInstPlace(t, Modules, map[string][]byte{r.moduleFile: r.module}),
			newInstPlace(t, Archives, map[string][]byte{r.archive: archive}),
		} {
			t.Run(fmt.Sprint(p.kind, target.OS), func(t *testing.T) {
				i := newInstaller(t, map[Target]string{target: r.h1}, p.place("there"))
				var stages []Stage
				i.Progress = func(p Progress) {
					if len(stages) == 0 || stages[len(stages)-1] != p.Stage {
						stages = append(stages, p.Stage)
					}
				}
				i.Fetcher.Progress = i.Progress
				rec, there, err := i.Install(t.Context(), target)
				if err != nil || there {
					t.Fatalf("Install = %v, %v", there, err)
				}
				if diff := gocmp.Diff(wantInstalled(t, i, target, r), rec); diff != "" {
					t.Error(diff)
				}
				if want := p.URL; rec.Source != want || rec.Proofs[0] != (Proof{Way: BySumDB, Verdict: Proved, By: "sum.example.test"}) {
					t.Errorf("record %+v", rec)
				}
				stages = slices.DeleteFunc(stages, func(s Stage) bool { return s == Unpacking }) // of a small archive that is no news
				if diff := gocmp.Diff([]Stage{Waiting, Asking, Downloading, Proving}, stages); diff != "" {
					t.Errorf("stages (-want +got)\n%s", diff)
				}
				asked := p.asked.Load()
				again, there, err := i.Install(t.Context(), target)
				if diff := gocmp.Diff(rec, again); err != nil || !there || diff != "" || p.asked.Load() != asked {
					t.Errorf("Install again = %v, %v, %d requests\n%s", there, err, p.asked.Load()-asked, diff)
				}
			})
		}
	}
}

// TestInstallAgain: what is damaged at the first look, and what is forced, is replaced as a whole.
func TestInstallAgain(t *testing.T) {
	r := newInstRelease(t, instTarget)
	p := newInstPlace(t, Modules, map[string][]byte{r.moduleFile: r.module})
	i := newInstaller(t, map[Target]string{instTarget: r.h1}, p.place("there"))
	install := func(want bool) {
		t.Helper()
		if _, there, err := i.Install(t.Context(), instTarget); err != nil || there != want {
			t.Fatalf("Install = %v, %v", there, err)
		}
	}
	install(false)
	root := i.Home.Root(instTarget)
	damage := map[string]func() error{
		"version":    func() error { return os.WriteFile(filepath.Join(root, "VERSION"), []byte("go1.99.2\n"), 0o666) },
		"no go":      func() error { return os.Remove(filepath.Join(root, "bin", "go")) },
		"empty go":   func() error { return os.WriteFile(filepath.Join(root, "bin", "go"), nil, 0o666) },
		"no tools":   func() error { return os.RemoveAll(filepath.Join(root, "pkg")) },
		"empty root": func() error { return errors.Join(os.RemoveAll(root), os.Mkdir(root, 0o777)) },
		"a file":     func() error { return errors.Join(os.RemoveAll(root), os.WriteFile(root, nil, 0o666)) },
	}
	for name, damage := range damage {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		install(false)
		t.Log(name)
		wantInstalled(t, i, instTarget, r)
	}
	extra := filepath.Join(root, "src", "fmt", "extra.go")
	if err := os.WriteFile(extra, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	install(true) // that is for a Verifier to find
	i.Force = true
	install(false)
	wantInstalled(t, i, instTarget, r)
}

// TestInstallTidies: what a run left that was killed when the tree stood already goes with the next one, but not what a
// download can go on from.
func TestInstallTidies(t *testing.T) {
	r := newInstRelease(t, instTarget)
	p := newInstPlace(t, Modules, map[string][]byte{r.moduleFile: r.module})
	i := newInstaller(t, map[Target]string{instTarget: r.h1}, p.place("there"))
	if _, _, err := i.Install(t.Context(), instTarget); err != nil {
		t.Fatal(err)
	}
	part := func(name string, have int) string {
		path := filepath.Join(i.Home.Parts(), name+".part")
		record := fmt.Sprintf(`{"file": %q, "length": 9, "have": %d, "places": [{"name": "there"}]}`, name, have)
		if err := errors.Join(os.WriteFile(path, []byte("123456789")[:have], 0o666), os.WriteFile(path+".json", []byte(record), 0o666)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	half := part(r.archive, 4)
	part(r.moduleFile, 9)
	old := filepath.Join(i.Home.SDKs(), tempPrefix(instTarget)+"1", asideName)
	if err := os.MkdirAll(old, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, there, err := i.Install(t.Context(), instTarget); err != nil || !there {
		t.Fatalf("Install = %v, %v", there, err)
	}
	if _, err := os.Stat(half); err != nil {
		t.Errorf("half a download: %v", err)
	}
	if err := removePart(half); err != nil {
		t.Fatal(err)
	}
	wantInstalled(t, i, instTarget, r)
}

// TestInstallForged: a place that sends something else is named and left, and nothing of it stays.
func TestInstallForged(t *testing.T) {
	r := newInstRelease(t, instTarget)
	other := maps.Clone(r.files)
	other["src/fmt/print.go"] = "package fmt // and a back door\n"
	more := maps.Clone(r.files)
	more["src/fmt/evil.go"] = "package fmt\n"
	slip := instRawZip(t, instTarget.Module().String()+"/", instHostile()["up"])
	damaged := bytes.Clone(r.module)
	damaged[len(damaged)/2] ^= 1
	good := newInstPlace(t, Modules, map[string][]byte{r.moduleFile: r.module})
	goodArchive := newInstPlace(t, Archives, map[string][]byte{r.archive: r.tar})
	for name, bad := range map[string]*instPlace{
		"altered": newInstPlace(t, Modules, map[string][]byte{r.moduleFile: instModuleZip(t, instTarget, other)}),
		"added":   newInstPlace(t, Modules, map[string][]byte{r.moduleFile: instModuleZip(t, instTarget, more)}),
		"slip":    newInstPlace(t, Modules, map[string][]byte{r.moduleFile: slip}),
		"damaged": newInstPlace(t, Modules, map[string][]byte{r.moduleFile: damaged}),
		"archive": newInstPlace(t, Archives, map[string][]byte{r.archive: instTarGz(t, other)}),
	} {
		t.Run(name, func(t *testing.T) {
			second := good
			if bad.kind == Archives {
				second = goodArchive
			}
			var troubles []Trouble
			i := newInstaller(t, map[Target]string{instTarget: r.h1}, bad.place("bad"))
			i.Trouble = func(t Trouble) { troubles = append(troubles, t) }
			_, _, err := i.Install(t.Context(), instTarget)
			if !errors.Is(err, goproxy.ErrMismatch) {
				t.Errorf("from the bad place alone: %v", err)
			}
			var proof *ProofError
			if name == "altered" && (!errors.As(err, &proof) || !proof.Refuted() || proof.Places[0].Name != "bad" || !strings.Contains(err.Error(), "bad")) {
				t.Errorf("error %v", err)
			}
			wantNothing(t, i)

			i.Places = append(i.Places, second.place("good"))
			i.Fetcher.Health = nil // so that the bad one is asked first again
			if _, _, err := i.Install(t.Context(), instTarget); err != nil {
				t.Fatal(err)
			}
			rec := wantInstalled(t, i, instTarget, r)
			if rec.Source != second.URL {
				t.Errorf("source %s", rec.Source)
			}
			if len(troubles) != 2 || troubles[1].Place != "bad" || !errors.Is(troubles[1].Err, goproxy.ErrMismatch) {
				t.Errorf("troubles %v", troubles)
			}
		})
	}
}

// TestInstallMixed: where bytes of several places make no release, each is asked for the whole, and the guilty one is found.
func TestInstallMixed(t *testing.T) {
	r := newInstRelease(t, instTarget)
	damaged := bytes.Clone(r.module)
	damaged[len(damaged)/4] ^= 1
	bad := newInstPlace(t, Modules, map[string][]byte{r.moduleFile: damaged})
	bad.cut = len(damaged) / 2 // of each answer
	good := newInstPlace(t, Modules, map[string][]byte{r.moduleFile: r.module})
	var troubles []string
	i := newInstaller(t, map[Target]string{instTarget: r.h1}, bad.place("bad"), good.place("good"))
	i.Trouble = func(t Trouble) { troubles = append(troubles, t.Place) }
	i.Fetcher.MinProgress = int64(len(r.module)) // half is not enough to be asked again at once
	if _, _, err := i.Install(t.Context(), instTarget); err != nil {
		t.Fatal(err)
	}
	if rec := wantInstalled(t, i, instTarget, r); rec.Source != good.URL {
		t.Errorf("source %s", rec.Source)
	}
	for _, name := range troubles {
		if name != "bad" {
			t.Errorf("%s was blamed", name)
		}
	}
	if good.asked.Load() < 2 {
		t.Error("the place with the good file was not asked for the whole: the test has lost its teeth")
	}
}

// TestInstallUnproved: where nothing could prove what comes, nothing is asked for.
func TestInstallUnproved(t *testing.T) {
	r := newInstRelease(t, instTarget)
	p := newInstPlace(t, Modules, map[string][]byte{r.moduleFile: r.module})
	a := newInstPlace(t, Archives, map[string][]byte{r.archive: r.tar})
	unreachable := fmt.Errorf("sum.example.test: %w: no route", goproxy.ErrUnavailable)
	for _, c := range []struct {
		name string
		sums Sumdb
		want error
	}{
		{"unreachable", instSums{err: unreachable}, goproxy.ErrUnavailable},
		{"off", instSums{err: fmt.Errorf("%w: off", goproxy.ErrBlocked)}, goproxy.ErrBlocked},
		{"none", nil, goproxy.ErrUnavailable},
		{"no record", instSums{}, goproxy.ErrNotExist},
		{"fork", instSums{err: &sumdb.ForkError{DB: "sum.example.test"}}, goproxy.ErrMismatch},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := newInstaller(t, nil, p.place("modules"), a.place("archives"))
			i.Sums = c.sums
			_, _, err := i.Install(t.Context(), instTarget)
			if !errors.Is(err, c.want) || p.asked.Load()+a.asked.Load() > 0 {
				t.Errorf("Install = %v, %d requests", err, p.asked.Load()+a.asked.Load())
			}
			if strings.Count(err.Error(), "no route") > 1 || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q", err)
			}
			wantNothing(t, i)
		})
	}
}

// TestInstallArchives: without the database another proof is needed, and a good archive under another release's name is none.
func TestInstallArchives(t *testing.T) {
	r := newInstRelease(t, instTarget)
	older := instFiles(Target{Version: "go1.99.0", OS: "linux", Arch: "amd64"})
	for name, c := range map[string]struct {
		archive []byte
		sum     string // that this machine's own folder says; empty for none
		want    error
		verdict Verdict // of the SHA-256
	}{
		"proved":  {archive: r.tar, sum: fmt.Sprintf("%x", sha256.Sum256(r.tar)), verdict: Proved},
		"refuted": {archive: r.tar, sum: fmt.Sprintf("%x", sha256.Sum256(nil)), verdict: Refuted, want: goproxy.ErrMismatch},
		"unknown": {archive: r.tar, verdict: Unknown, want: goproxy.ErrUnavailable},
		"replay":  {archive: instTarGz(t, older), sum: fmt.Sprintf("%x", sha256.Sum256(instTarGz(t, older))), verdict: Proved, want: goproxy.ErrMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			first, second := newInstPlace(t, Archives, map[string][]byte{r.archive: c.archive}), newInstPlace(t, Archives, map[string][]byte{r.archive: c.archive})
			own := t.TempDir()
			if c.sum != "" {
				if err := os.WriteFile(filepath.Join(own, r.archive+".sha256"), []byte(c.sum), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			i := newInstaller(t, nil, first.place("first"), second.place("second"))
			i.Fetcher.Health = nil
			i.Sums = instSums{err: fmt.Errorf("sum.example.test: %w", goproxy.ErrUnavailable)}
			i.Archives = &ArchiveProver{HTTP: http.DefaultClient, Places: []Place{{Name: "own", URL: "file://" + filepath.ToSlash(own), Kind: Archives}}}
			rec, _, err := i.Install(t.Context(), instTarget)
			if !errors.Is(err, c.want) {
				t.Fatalf("Install = %v", err)
			}
			if c.want == nil {
				wantInstalled(t, i, instTarget, r)
				if rec.Proofs[0].Reason != ReasonUnreachable || rec.Proofs[2].Verdict != Proved {
					t.Errorf("proofs %+v", rec.Proofs)
				}
				return
			}
			wantNothing(t, i)
			var proof *ProofError
			if errors.As(err, &proof) && (len(proof.Proofs) != 3 || proof.Proofs[2].Verdict != c.verdict) || proof == nil && name != "replay" {
				t.Errorf("error %v", err)
			}
			if tried := second.asked.Load() > 0; tried != (c.want == goproxy.ErrMismatch) {
				t.Errorf("the second place was asked: %v", tried)
			}
		})
	}
}

// TestInstallAbsent: only where every place says so is there no such release.
func TestInstallAbsent(t *testing.T) {
	empty, gone := newInstPlace(t, Modules, nil), newInstPlace(t, Archives, nil)
	down := newInstPlace(t, Modules, nil)
	down.Close()
	h1 := map[Target]string{instTarget: "h1:AAAA"}
	i := newInstaller(t, h1, empty.place("empty"), gone.place("gone"))
	if _, _, err := i.Install(t.Context(), instTarget); !goproxy.Absent(err) || !strings.Contains(err.Error(), "empty") || !strings.Contains(err.Error(), "gone") {
		t.Errorf("two places without it: %v", err)
	}
	i = newInstaller(t, h1, empty.place("empty"), down.place("down"))
	if _, _, err := i.Install(t.Context(), instTarget); goproxy.Absent(err) || !errors.Is(err, goproxy.ErrUnavailable) {
		t.Errorf("one without it and one that is down: %v", err)
	}
	i = newInstaller(t, h1)
	if _, _, err := i.Install(t.Context(), instTarget); !errors.Is(err, goproxy.ErrUnavailable) {
		t.Errorf("no place: %v", err)
	}
}

// instCache is a cache of modules whose files have no ReadAt if slow.
type instCache struct {
	data []byte
	slow bool
	t    *testing.T
}

func (c instCache) Open(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
	if !goproxy.IsCachedOnly(ctx) {
		c.t.Error("the cache is asked for more than it has")
	}
	if c.data == nil {
		return nil, goproxy.ErrNotExist
	}
	f := goproxy.NewFile(req, c.data, time.Time{}, nil)
	if c.slow {
		return struct{ goproxy.File }{f}, nil
	}
	return f, nil
}

// TestInstallCached: a toolchain that the cache has costs no request, and one that it has wrong is no obstacle.
func TestInstallCached(t *testing.T) {
	r := newInstRelease(t, instTarget)
	for name, c := range map[string]struct {
		cache    instCache
		requests int64
	}{
		"hit":     {instCache{data: r.module}, 0},
		"no seek": {instCache{data: r.module, slow: true}, 0},
		"miss":    {instCache{}, 1},
		"damaged": {instCache{data: r.module[:len(r.module)/2]}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := newInstPlace(t, Modules, map[string][]byte{r.moduleFile: r.module})
			i := newInstaller(t, map[Target]string{instTarget: r.h1}, p.place("there"))
			c.cache.t = t
			i.Cached = c.cache
			if _, _, err := i.Install(t.Context(), instTarget); err != nil {
				t.Fatal(err)
			}
			rec := wantInstalled(t, i, instTarget, r)
			if p.asked.Load() != c.requests || (rec.Source == "cache") != (c.requests == 0) {
				t.Errorf("%d requests, source %s", p.asked.Load(), rec.Source)
			}
		})
	}
}

// TestInstallTogether: two at once download once, in one process; TestInstallKilled has several.
func TestInstallTogether(t *testing.T) {
	r := newInstRelease(t, instTarget)
	p := newInstPlace(t, Modules, map[string][]byte{r.moduleFile: r.module})
	dir := t.TempDir()
	var wg sync.WaitGroup
	var fresh atomic.Int64
	for range 6 {
		wg.Go(func() {
			i := instInstaller(dir, map[Target]string{instTarget: r.h1}, p.place("there"))
			if _, there, err := i.Install(t.Context(), instTarget); err != nil {
				t.Error(err)
			} else if !there {
				fresh.Add(1)
			}
		})
	}
	wg.Wait()
	if fresh.Load() != 1 || p.asked.Load() != 1 {
		t.Errorf("%d installed, %d requests", fresh.Load(), p.asked.Load())
	}
	wantInstalled(t, instInstaller(dir, nil), instTarget, r)
}

// TestInstallLeft: who leaves keeps what has come, and nothing else; the next run goes on with it.
func TestInstallLeft(t *testing.T) {
	r := newInstRelease(t, instTarget)
	p := newInstPlace(t, Modules, map[string][]byte{r.moduleFile: r.module})
	for _, stage := range []Stage{Downloading, Unpacking} {
		i := newInstaller(t, map[Target]string{instTarget: r.h1}, p.place("there"))
		ctx, cancel := context.WithCancel(t.Context())
		leave := func(p Progress) {
			if p.Stage == stage {
				cancel()
			}
		}
		i.Progress, i.Fetcher.Progress = leave, leave
		_, _, err := i.Install(ctx, instTarget)
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", stage, err)
		}
		if left, _ := filepath.Glob(filepath.Join(i.Home.SDKs(), ".tmp-*")); len(left) > 0 {
			t.Errorf("%s: %v were left", stage, left)
		}
		cancel()
		i.Progress, i.Fetcher.Progress = nil, nil
		if _, _, err := i.Install(t.Context(), instTarget); err != nil {
			t.Fatal(err)
		}
		wantInstalled(t, i, instTarget, r)
	}
}

// TestInstallWaits: who waits for another installation can leave.
func TestInstallWaits(t *testing.T) {
	h := Home{Dir: t.TempDir()}
	unlock, err := h.lock(t.Context(), instTarget)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.lock(ctx, instTarget); !errors.Is(err, context.Canceled) {
		t.Errorf("lock = %v", err)
	}
	unlock()
	again, err := h.lock(t.Context(), instTarget) // also while the one who left still waits
	if err != nil {
		t.Fatal(err)
	}
	again()
}

// TestCheckTree: a tree under the name of another release or another system is none, whatever vouches for its bytes.
func TestCheckTree(t *testing.T) {
	dir := t.TempDir()
	u := newUnpacking(instTarget, dir, 1, nil)
	if err := u.tarGz(t.Context(), bytes.NewReader(instTarGz(t, instFiles(instTarget)))); err != nil {
		t.Fatal(err)
	}
	if err := checkTree(dir, instTarget); err != nil {
		t.Error(err)
	}
	for _, other := range []Target{
		{Version: "go1.99.2", OS: "linux", Arch: "amd64"},
		{Version: "go1.99", OS: "linux", Arch: "amd64"},
		{Version: "go1.99.1", OS: "linux", Arch: "arm64"},
		{Version: "go1.99.1", OS: "windows", Arch: "amd64"},
	} {
		if err := checkTree(dir, other); !errors.Is(err, goproxy.ErrMismatch) {
			t.Errorf("as %s: %v", other, err)
		}
	}
}

func TestRemove(t *testing.T) {
	r := newInstRelease(t, instTarget)
	p := newInstPlace(t, Modules, map[string][]byte{r.moduleFile: r.module})
	i := newInstaller(t, map[Target]string{instTarget: r.h1}, p.place("there"))
	if err := Remove(t.Context(), i.Home, instTarget); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("Remove of nothing = %v", err)
	}
	if _, _, err := i.Install(t.Context(), instTarget); err != nil {
		t.Fatal(err)
	}
	// A tree that others made read-only, and what a killed run left.
	root := i.Home.Root(instTarget)
	for _, dir := range []string{"src/fmt", "src"} {
		if err := os.Chmod(filepath.Join(root, dir), 0o555); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(i.Home.SDKs(), tempPrefix(instTarget)+"1"), 0o777); err != nil {
		t.Fatal(err)
	}
	near := filepath.Join(i.Home.SDKs(), tempPrefix(Target{Version: "go1.99.1", OS: "windows", Arch: "amd64"})+"1")
	if err := os.Mkdir(near, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := Remove(t.Context(), i.Home, instTarget); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(near); err != nil {
		t.Errorf("what belongs to another target: %v", err)
	}
	if err := os.Remove(near); err != nil {
		t.Fatal(err)
	}
	wantNothing(t, i)
	for _, name := range []string{i.Home.RecordFile(instTarget), i.Home.SumsFile(instTarget)} {
		if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A link is removed, not what it leads to.
	elsewhere := t.TempDir()
	keep := filepath.Join(elsewhere, "keep")
	if err := errors.Join(os.WriteFile(keep, nil, 0o666), os.Symlink(elsewhere, root)); err != nil {
		t.Fatal(err)
	}
	if err := Remove(t.Context(), i.Home, instTarget); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(keep); err != nil {
		t.Error(err)
	}
}

// TestRetryRename: a rename is tried again while somebody holds the files, but not for ever, and not after other faults.
func TestRetryRename(t *testing.T) {
	held, other := errors.New("held"), errors.New("other")
	isHeld := func(err error) bool { return errors.Is(err, held) }
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		err := retryRename(t.Context(), func() error {
			if tries++; tries < 5 {
				return held
			}
			return nil
		}, isHeld)
		if err != nil || tries != 5 {
			t.Errorf("%v after %d tries", err, tries)
		}
		start := time.Now()
		if err := retryRename(t.Context(), func() error { return held }, isHeld); !errors.Is(err, held) || time.Since(start) > renameFor || time.Since(start) < renameFor/2 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		tries = 0
		if err := retryRename(t.Context(), func() error { tries++; return other }, isHeld); !errors.Is(err, other) || tries != 1 {
			t.Errorf("%v after %d tries", err, tries)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := retryRename(ctx, func() error { return held }, isHeld); !errors.Is(err, held) || !errors.Is(err, context.Canceled) {
			t.Errorf("after the asker left: %v", err)
		}
	})
}
