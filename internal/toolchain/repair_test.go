package toolchain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/goferry/goferry/internal/goproxy"
)

// verSnapshot is what is in a folder, with modes.
func verSnapshot(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	verMust(t, filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		text := info.Mode().String()
		if d.Type().IsRegular() {
			text += " " + verRead(t, name)
		}
		out[filepath.ToSlash(rel)] = text
		return nil
	}))
	return out
}

// Whatever was done to a tree, repair makes it byte for byte, mode for mode what it was, and
// asks for nothing that is not needed.
func TestRepair(t *testing.T) {
	f := newVerFixture(t)
	for name, test := range verAlterations() {
		t.Run(name, func(t *testing.T) {
			f.t = t
			for _, v := range []*Verifier{f.verifier(""), f.fetcher(f.verifier("norange")), f.verifier("404", "wrongsum", "")} {
				root := f.tree()
				before := verSnapshot(t, root)
				test.do(t, root)
				v.Prune = true
				r, err := v.Repair(t.Context(), root, f.verify(v, root, StateAltered))
				if err != nil || r.State != StateProved || len(r.Changes) != 0 || r.Got != r.Want || r.Proof.Verdict != Proved {
					t.Fatalf("%+v: %v", r, err)
				}
				if diff := cmp.Diff(before, verSnapshot(t, root)); diff != "" {
					t.Errorf("after the repair (-before +after):\n%s", diff)
				}
				f.verify(f.verifier(), root, StateProved)
			}
		})
	}
}

// Without Prune, what was added stays and is named.
func TestRepairKeeps(t *testing.T) {
	f := newVerFixture(t)
	root := f.tree()
	local := strings.Replace(verGoEnv, "=auto", "=local", 1)
	verWrite(t, filepath.Join(root, "go.env"), local, 0o644)
	verWrite(t, filepath.Join(root, "src", "fmt", "x.go"), "package fmt\n", 0o644)
	verMust(t, os.Remove(filepath.Join(root, "LICENSE")))
	v := f.verifier("")
	v.Keep = func(c Change) bool { return c.What == WhatDistributor }
	r, err := v.Repair(t.Context(), root, f.verify(v, root, StateAltered))
	want := []Change{
		{Name: "go.env", Kind: Altered, What: WhatDistributor, Lines: []string{"-GOTOOLCHAIN=auto", "+GOTOOLCHAIN=local"}},
		{Name: "src/fmt/x.go", Kind: Added, What: WhatBreaks},
	}
	if diff := cmp.Diff(want, r.Changes); diff != "" || err != nil || r.State != StateAltered {
		t.Errorf("%s, %v, changes (-want +got):\n%s", r.State, err, diff)
	}
	if got := verRead(t, filepath.Join(root, "go.env")); got != local {
		t.Errorf("go.env became %q", got)
	}
}

// A go.env, the copies of the module cache and files that another tree has are repaired
// without asking anybody.
func TestRepairWithoutNetwork(t *testing.T) {
	f := newVerFixture(t)
	home := Home{Dir: t.TempDir()}
	verTree(t, home.Root(verTarget), f.files)
	var list strings.Builder
	_, err := verSums(f.files).WriteTo(&list)
	verMust(t, err)
	verWrite(t, home.SumsFile(verTarget), list.String(), 0o644)

	root := f.tree()
	verWrite(t, filepath.Join(root, "go.env"), "GOTOOLCHAIN=local\n", 0o644)
	verMust(t, os.Remove(filepath.Join(root, "src", "fmt", "print.go")))
	v := f.verifier()
	v.Home = home
	r, err := v.Repair(t.Context(), root, f.verify(v, root, StateAltered))
	if err != nil || r.State != StateProved {
		t.Fatalf("%+v: %v", r, err)
	}
	if f.Count(".zip") != 0 {
		t.Errorf("the zip was asked for: %v", f.Requests())
	}
}

// Toolchains of the module cache have read-only files and folders, and copies of _go.mod.
func TestRepairModuleCache(t *testing.T) {
	f := newVerFixture(t)
	root := filepath.Join(t.TempDir(), "toolchain@"+verTarget.Module().Version)
	for name, data := range f.files {
		verWrite(t, filepath.Join(root, filepath.FromSlash(name)), data, 0o444)
		if rootName(name) != name {
			verWrite(t, filepath.Join(root, filepath.FromSlash(rootName(name))), data, 0o444)
		}
	}
	verMust(t, os.Remove(filepath.Join(root, "src", "pkg3", "file3.go")), os.Chmod(filepath.Join(root, "src", "go.mod"), 0o644))
	verWrite(t, filepath.Join(root, "src", "go.mod"), "module evil\n", 0o444)
	chmodDirs := func(mode fs.FileMode) {
		var dirs []string
		verMust(t, filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, name)
			}
			return err
		}))
		for i := range dirs {
			verMust(t, os.Chmod(dirs[len(dirs)-1-i], mode))
		}
	}
	chmodDirs(0o555)
	defer chmodDirs(0o755)
	v := f.verifier("")
	before := f.verify(v, root, StateAltered)
	want := []Change{{Name: "src/go.mod", Kind: Altered, What: WhatCopy}, {Name: "src/pkg3/file3.go", Kind: Missing}}
	if diff := cmp.Diff(want, before.Changes); diff != "" {
		t.Fatalf("changes (-want +got):\n%s", diff)
	}
	r, err := v.Repair(t.Context(), root, before)
	if err != nil || r.State != StateProved {
		t.Fatalf("%+v: %v", r, err)
	}
	if got := verRead(t, filepath.Join(root, "src", "go.mod")); got != "module std\n" {
		t.Errorf("go.mod is %q", got)
	}
	for name, text := range verSnapshot(t, root) {
		if strings.Contains(text[:10], "w") {
			t.Errorf("%s may be written: %s", name, text[:10])
		}
	}
}

// Nothing is changed where not everything can be had.
func TestRepairAllOrNothing(t *testing.T) {
	f := newVerFixture(t)
	root := f.tree()
	verWrite(t, filepath.Join(root, "LICENSE"), "no\n", 0o644)
	verMust(t, os.Remove(filepath.Join(root, "pkg", "tool", "linux_amd64", "compile")))
	rep := f.verify(f.verifier(""), root, StateAltered)
	rep.ref.content, rep.ref.zip = nil, nil
	before := verSnapshot(t, root)
	for _, v := range []*Verifier{f.verifier(), f.verifier("404"), f.verifier("wrongsum/404")} {
		if _, err := v.Repair(t.Context(), root, rep); err == nil {
			t.Errorf("%v: repaired from nothing", v.Places)
		}
		if diff := cmp.Diff(before, verSnapshot(t, root)); diff != "" {
			t.Errorf("%v: the tree was changed (-before +after):\n%s", v.Places, diff)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	v := f.verifier("")
	v.Progress = func(Progress) { cancel() }
	if _, err := v.Repair(ctx, root, rep); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if diff := cmp.Diff(before, verSnapshot(t, root)); diff != "" {
		t.Errorf("canceled: the tree was changed (-before +after):\n%s", diff)
	}
}

// A place that sends another file than it listed is left, and told about.
func TestRepairForgedEntry(t *testing.T) {
	f := newVerFixture(t)
	root := f.tree()
	verMust(t, os.Remove(filepath.Join(root, "pkg", "tool", "linux_amd64", "compile")))
	rep := f.verify(f.verifier(""), root, StateAltered)
	rep.ref.content, rep.ref.zip = nil, nil
	f.troubles = nil
	v := f.verifier("corrupt", "")
	r, err := v.Repair(t.Context(), root, rep)
	if err != nil || r.State != StateProved {
		t.Fatalf("%+v: %v", r, err)
	}
	if len(f.troubles) != 1 || f.troubles[0].Place != v.Places[0].Name || !errors.Is(f.troubles[0].Err, goproxy.ErrMismatch) {
		t.Errorf("troubles %v, want one of %s", f.troubles, v.Places[0].Name)
	}
}

// Neither verify nor repair writes through links; what lies behind them is named.
func TestRepairLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // making links needs a privilege there
	}
	f := newVerFixture(t)
	root := f.tree()
	share := t.TempDir()
	verMust(t, os.Rename(filepath.Join(root, "src"), filepath.Join(share, "src")), os.Symlink(filepath.Join(share, "src"), filepath.Join(root, "src")))
	v := f.verifier("")
	v.Prune = true
	f.verify(v, root, StateProved)
	verWrite(t, filepath.Join(share, "src", "fmt", "print.go"), "patched\n", 0o644)
	r := f.verify(v, root, StateAltered)
	_, err := v.Repair(t.Context(), root, r)
	var outside *OutsideError
	if !errors.As(err, &outside) || len(outside.Names) != 1 || outside.Names[0] != "src/fmt/print.go" {
		t.Fatalf("error %v, want an OutsideError", err)
	}
	if got := verRead(t, filepath.Join(share, "src", "fmt", "print.go")); got != "patched\n" {
		t.Errorf("what lies outside became %q", got)
	}

	// A link that stays inside is followed; a file that is a link is replaced, not written through.
	root = f.tree()
	secret := filepath.Join(t.TempDir(), "secret")
	verWrite(t, secret, "secret\n", 0o644)
	verMust(t, os.Rename(filepath.Join(root, "src"), filepath.Join(root, "bin", "moved")), os.Symlink(filepath.Join(root, "bin", "moved"), filepath.Join(root, "src")),
		os.Remove(filepath.Join(root, "LICENSE")), os.Symlink(secret, filepath.Join(root, "LICENSE")))
	verWrite(t, filepath.Join(root, "bin", "moved", "fmt", "print.go"), "patched\n", 0o644)
	v.Prune = false
	r = f.verify(v, root, StateAltered)
	r, err = v.Repair(t.Context(), root, r)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Changes {
		if c.Kind != Added {
			t.Errorf("left: %+v", c)
		}
	}
	if got := verRead(t, secret); got != "secret\n" {
		t.Errorf("what the link led to became %q", got)
	}
}

// A repair that was killed leaves a folder, which the next one removes; modes come back.
func TestRepairLeftover(t *testing.T) {
	f := newVerFixture(t)
	root := f.tree()
	before := verSnapshot(t, root)
	verWrite(t, filepath.Join(root, repairPrefix+"123", "7"), "half", 0o600)
	v := f.verifier("")
	if runtime.GOOS != "windows" {
		verMust(t, os.Chmod(filepath.Join(root, "bin", "go"), 0o644))
		r := f.verify(v, root, StateAltered)
		if diff := cmp.Diff([]Change{{Name: "bin/go", Kind: Mode}}, r.Changes); diff != "" || r.Got != r.Want {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
	}
	r, err := v.Repair(t.Context(), root, Report{})
	if err != nil || r.State != StateProved {
		t.Fatalf("%+v: %v", r, err)
	}
	if diff := cmp.Diff(before, verSnapshot(t, root)); diff != "" {
		t.Errorf("after the repair (-before +after):\n%s", diff)
	}
}

// A folder in the place of a file, and a file in that of a folder, are mended by Prune alone.
func TestRepairFolderForFile(t *testing.T) {
	f := newVerFixture(t)
	root := f.tree()
	before := verSnapshot(t, root)
	verMust(t, os.Remove(filepath.Join(root, "LICENSE")), os.RemoveAll(filepath.Join(root, "src", "fmt")))
	verWrite(t, filepath.Join(root, "LICENSE", "deep", "x"), "x", 0o644)
	verWrite(t, filepath.Join(root, "src", "fmt"), "x", 0o644)
	v := f.verifier("")
	rep := f.verify(v, root, StateAltered)
	if _, err := v.Repair(t.Context(), root, rep); err == nil {
		t.Error("a folder was removed unasked")
	}
	v.Prune = true
	r, err := v.Repair(t.Context(), root, Report{})
	if err != nil || r.State != StateProved {
		t.Fatalf("%+v: %v", r, err)
	}
	if diff := cmp.Diff(before, verSnapshot(t, root)); diff != "" {
		t.Errorf("after the repair (-before +after):\n%s", diff)
	}
}

// Two repairs of one tree at once, as two terminals start them, do not disturb each other.
func TestRepairAtOnce(t *testing.T) {
	f := newVerFixture(t)
	home := Home{Dir: t.TempDir()}
	root := verTree(t, home.Root(verTarget), f.files)
	before := verSnapshot(t, root)
	verMust(t, os.RemoveAll(filepath.Join(root, "src", "pkg1")), os.Remove(filepath.Join(root, "bin", "go")))
	verWrite(t, filepath.Join(root, "LICENSE"), "no\n", 0o644)
	var g errgroup.Group
	for range 3 {
		v := f.verifier("")
		v.Home = home
		g.Go(func() error {
			r, err := v.Repair(t.Context(), root, Report{})
			if err == nil && r.State != StateProved {
				err = fmt.Errorf("state is %s: %v", r.State, r.Changes)
			}
			return err
		})
	}
	verMust(t, g.Wait())
	if diff := cmp.Diff(before, verSnapshot(t, root)); diff != "" {
		t.Errorf("after the repairs (-before +after):\n%s", diff)
	}
}
