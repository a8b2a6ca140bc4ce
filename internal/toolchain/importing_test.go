package toolchain

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/sumdb"
)

// importSums knows the hashes of some module versions.
type importSums map[string]string

func (s importSums) Lookup(_ context.Context, _, version string) (sumdb.Sums, error) {
	if h1 := s[version]; h1 != "" {
		return sumdb.Sums{Zip: h1}, nil
	}
	return sumdb.Sums{}, goproxy.ErrUnavailable
}

// importTree makes a tree, and a checksum database that knows it.
func importTree(t *testing.T, root string, v Version) importSums {
	t.Helper()
	useTree(t, root, string(v), runtime.GOOS, runtime.GOARCH)
	for _, name := range []string{"src/go.mod", "src/fmt/print.go", "doc/left-out"} {
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		useWrite(t, file, name+"\n")
	}
	sums, _, err := HashTree(t.Context(), root, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := sums["src/_go.mod"]; !ok || len(sums) != 7 {
		t.Fatalf("the sums of the tree are of %d files", len(sums))
	}
	return importSums{Here(v).Module().Version: sums.H1(Here(v))}
}

func importer(h Home, sums Sumdb) *Importer {
	return &Importer{Home: h, Verifier: &Verifier{Sums: sums, Home: h}}
}

// importLeft fails if something of an import is left in h.
func importLeft(t *testing.T, h Home) {
	t.Helper()
	entries, err := os.ReadDir(h.SDKs())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != ".lock" {
			t.Errorf("%s is left", e.Name())
		}
	}
}

func TestImport(t *testing.T) {
	root, h := filepath.Join(t.TempDir(), "other"), Home{Dir: t.TempDir()}
	sums := importTree(t, root, "go1.25.7")
	for n := range 2 {
		got, err := importer(h, sums).Import(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		if got.There != (n == 1) || len(got.Changes) > 0 || got.Version != "go1.25.7" || !ProvedBy(got.Proofs) {
			t.Errorf("got %+v", got)
		}
	}
	kept, err := h.Sums(Here("go1.25.7"), sums[Here("go1.25.7").Module().Version])
	if err != nil || len(kept) != 7 {
		t.Errorf("%d sums are kept: %v", len(kept), err)
	}
	if _, err := os.Stat(filepath.Join(h.Root(Here("go1.25.7")), "doc")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what nothing proves was taken over: %v", err)
	}
	if got := runsAs(t, Program(h.Root(Here("go1.25.7")))); runtime.GOOS != "windows" && got != "go1.25.7 version" {
		t.Errorf("it runs as %q", got)
	}
}

// TestImportModCache takes over what the go command has fetched: read-only, with go.mod files beside _go.mod.
func TestImportModCache(t *testing.T) {
	root, h := filepath.Join(t.TempDir(), "toolchain@"+Here("go1.25.7").Module().Version), Home{Dir: t.TempDir()}
	sums := importTree(t, root, "go1.25.7")
	useWrite(t, filepath.Join(root, "src", "_go.mod"), "src/go.mod\n")
	for _, name := range []string{"src/fmt", "src"} {
		if err := os.Chmod(filepath.Join(root, name), 0o555); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(filepath.Join(root, name), 0o777) })
	}
	if _, err := importer(h, sums).Import(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(h.Root(Here("go1.25.7")), "src", "_go.mod")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("_go.mod: %v", err)
	}
}

// TestImportGoEnv holds that the settings of a distributor do not come along, and need no download.
func TestImportGoEnv(t *testing.T) {
	root, h := filepath.Join(t.TempDir(), "go"), Home{Dir: t.TempDir()}
	sums := importTree(t, root, "go1.25.7")
	useWrite(t, filepath.Join(root, "go.env"), "GOTOOLCHAIN=local\n")
	got, err := importer(h, sums).Import(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Changes) != 1 || got.Changes[0].What != WhatDistributor {
		t.Errorf("changes %+v", got.Changes)
	}
	data, err := os.ReadFile(filepath.Join(h.Root(Here("go1.25.7")), "go.env"))
	if err != nil || string(data) != "GOTOOLCHAIN=auto\n" {
		t.Errorf("go.env is %q, %v", data, err)
	}
	if data, err = os.ReadFile(filepath.Join(root, "go.env")); err != nil || string(data) != "GOTOOLCHAIN=local\n" {
		t.Errorf("go.env of the other is %q, %v", data, err)
	}
}

func TestImportRefuses(t *testing.T) {
	root, h := filepath.Join(t.TempDir(), "go"), Home{Dir: t.TempDir()}
	sums := importTree(t, root, "go1.25.7")
	var pe *ProofError
	if _, err := importer(h, importSums{}).Import(t.Context(), root); !errors.As(err, &pe) || pe.Refuted() || !errors.Is(err, goproxy.ErrUnavailable) {
		t.Errorf("nobody could be asked: %v", err)
	}
	importLeft(t, h)
	useWrite(t, filepath.Join(root, "src", "fmt", "print.go"), "altered\n")
	if _, err := importer(h, sums).Import(t.Context(), root); !errors.As(err, &pe) || !pe.Refuted() {
		t.Errorf("altered, and nothing to compare with: %v", err)
	}
	importLeft(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := importer(h, sums).Import(ctx, root); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
	if _, err := importer(h, sums).Import(t.Context(), t.TempDir()); !errors.Is(err, ErrTree) {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := importer(h, sums).Import(t.Context(), filepath.Join(root, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}
