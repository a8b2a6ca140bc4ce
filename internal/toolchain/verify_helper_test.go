package toolchain

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/goproxytest"
	"github.com/goferry/goferry/internal/sumdb"
	"github.com/goferry/goferry/internal/transport"
)

// verTarget is what the release of these tests is, on every machine that runs them.
var verTarget = Target{Version: "go1.99.1", OS: "linux", Arch: "amd64"}

const verGoEnv = `# This file contains the initial defaults for go command configuration.

# Use the Go module mirror and checksum database by default.
# See https://proxy.example.test for details.
GOPROXY=https://proxy.example.test,direct
GOSUMDB=sum.golang.org

# Automatically download newer toolchains as directed by go.mod files.
# See https://go.dev/doc/toolchain for details.
GOTOOLCHAIN=auto
`

// verFiles are the files of a small release by their names in its module.
func verFiles() map[string]string {
	r := rand.NewChaCha8([32]byte{1})
	random := func(n int) string {
		b := make([]byte, n)
		_, _ = r.Read(b) // never fails
		return string(b)
	}
	files := map[string]string{
		"VERSION":                        "go1.99.1\ntime 2026-01-01T00:00:00Z\n",
		"LICENSE":                        "free\n",
		"go.env":                         verGoEnv,
		"bin/go":                         "#!/bin/sh\necho go\n" + random(100<<10),
		"bin/gofmt":                      "#!/bin/sh\necho gofmt\n",
		"pkg/include/textflag.h":         "#define NOSPLIT 4\n",
		"pkg/tool/linux_amd64/asm":       random(5 << 10),
		"pkg/tool/linux_amd64/compile":   random(400 << 10),
		"lib/wasm/go_js_wasm_exec":       "#!/bin/sh\n",
		"src/_go.mod":                    "module std\n",
		"src/cmd/_go.mod":                "module cmd\n",
		"src/fmt/print.go":               "package fmt\n\nfunc Print() {}\n",
		"src/fmt/print_test.go":          "package fmt\n",
		"src/mod/testdata/empty/_go.mod": "",
		"src/empty":                      "",
	}
	for n := range 60 {
		files[fmt.Sprintf("src/pkg%d/file%d.go", n%10, n)] = strings.Repeat(fmt.Sprintf("// file %d\n", n), n) + random(300)
	}
	return files
}

// A verFixture is a server that has the release and its hash, and a client.
type verFixture struct {
	*goproxytest.Server
	t      *testing.T
	files  map[string]string
	sumdb  *sumdb.Client
	client *http.Client

	mu       sync.Mutex
	troubles []Trouble
}

func newVerFixture(t *testing.T) *verFixture {
	t.Helper()
	f := &verFixture{Server: goproxytest.New(t), t: t, files: verFiles()}
	m := verTarget.Module()
	f.AddModule(m.Path, m.Version, f.files)
	var err error
	if f.client, err = transport.New(transport.Config{RetryWait: time.Millisecond, Retries: 1, Proxy: http.ProxyURL(nil)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.client.CloseIdleConnections)
	db, err := sumdb.ParseDB(f.GOSUMDBWithURL())
	if err != nil {
		t.Fatal(err)
	}
	f.sumdb, err = sumdb.New(sumdb.Config{DB: db, Store: &verStore{m: map[string][]byte{}}, Remotes: sumdb.Remotes(db, f.client, nil)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.sumdb.Close() })
	return f
}

// verifier reads from the server through faults, each a place of its own.
func (f *verFixture) verifier(faults ...string) *Verifier {
	v := &Verifier{Sums: f.sumdb, HTTP: f.client}
	for _, fault := range faults {
		var path []string
		if fault != "" {
			path = strings.Split(fault, "/")
		}
		v.Places = append(v.Places, Place{Name: "place" + strings.ReplaceAll("/"+fault, "/", "-"), URL: f.Proxy(path...), Kind: Modules})
	}
	v.Trouble = func(tr Trouble) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.troubles = append(f.troubles, tr)
	}
	return v
}

// fetcher makes v able to download whole zips.
func (f *verFixture) fetcher(v *Verifier) *Verifier {
	v.Fetcher = &Fetcher{HTTP: f.client, Dir: f.t.TempDir(), Retries: -1, RetryWait: time.Millisecond}
	return v
}

// A verStore keeps the database's files in memory.
type verStore struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (s *verStore) Get(name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if data, ok := s.m[name]; ok {
		return data, nil
	}
	return nil, fs.ErrNotExist
}

func (s *verStore) Put(_ context.Context, name string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[name] = slices.Clone(data)
	return nil
}

func (s *verStore) Lock(context.Context, string) (func(), error) { return func() {}, nil }

// verTree writes files, by names in the module, as a GOROOT to dir.
func verTree(t testing.TB, dir string, files map[string]string) string {
	t.Helper()
	for name, data := range files {
		mode := fs.FileMode(0o644)
		if executable(name) {
			mode = 0o755
		}
		verWrite(t, filepath.Join(dir, filepath.FromSlash(rootName(name))), data, mode)
	}
	return dir
}

func verWrite(t testing.TB, file, data string, mode fs.FileMode) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(data), mode), os.Chmod(file, mode)); err != nil {
		t.Fatal(err)
	}
}

func verRead(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func verMust(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// verSums are the hashes of files, which the tests work out by themselves.
func verSums(files map[string]string) Sums {
	s := Sums{}
	for name, data := range files {
		s[name] = sha256.Sum256([]byte(data))
	}
	return s
}

func (f *verFixture) tree() string { return verTree(f.t, filepath.Join(f.t.TempDir(), "go"), f.files) }

// verify verifies and demands the state.
func (f *verFixture) verify(v *Verifier, root string, want State) Report {
	f.t.Helper()
	r, err := v.Verify(f.t.Context(), root)
	if err != nil {
		f.t.Fatal(err)
	}
	if r.State != want {
		f.t.Fatalf("state is %s (changes %v, err %v), want %s", r.State, r.Changes, r.Err, want)
	}
	return r
}

// verAlterations are the ways in which trees are damaged, and what is to be said about each.
func verAlterations() map[string]struct {
	do   func(t testing.TB, root string)
	want []Change
} {
	file := func(root, name string) string { return filepath.Join(root, filepath.FromSlash(name)) }
	type alteration = struct {
		do   func(t testing.TB, root string)
		want []Change
	}
	return map[string]alteration{
		"one byte": {func(t testing.TB, root string) {
			verWrite(t, file(root, "src/fmt/print.go"), "package fmt\n\nfunc Prinz() {}\n", 0o644)
		}, []Change{{Name: "src/fmt/print.go", Kind: Altered}}},
		"one gone, one added, one altered": {func(t testing.TB, root string) {
			verMust(t, os.Remove(file(root, "bin/gofmt")))
			verWrite(t, file(root, "src/fmt/extra.go"), "package fmt\n", 0o644)
			verWrite(t, file(root, "pkg/tool/linux_amd64/compile"), "no", 0o755)
		}, []Change{{Name: "bin/gofmt", Kind: Missing}, {Name: "pkg/tool/linux_amd64/compile", Kind: Altered}, {Name: "src/fmt/extra.go", Kind: Added, What: WhatBreaks}}},
		"go.mod": {func(t testing.TB, root string) {
			verWrite(t, file(root, "src/go.mod"), "module evil\n", 0o644)
			verMust(t, os.Remove(file(root, "src/cmd/go.mod")))
		}, []Change{{Name: "src/cmd/go.mod", Kind: Missing}, {Name: "src/go.mod", Kind: Altered}}},
		"a _go.mod beside a good go.mod": {func(t testing.TB, root string) {
			verWrite(t, file(root, "src/_go.mod"), "module evil\n", 0o644)
		}, []Change{{Name: "src/_go.mod", Kind: Added}}},
		"a folder gone": {func(t testing.TB, root string) {
			verMust(t, os.RemoveAll(file(root, "src/fmt")))
		}, []Change{{Name: "src/fmt/print.go", Kind: Missing}, {Name: "src/fmt/print_test.go", Kind: Missing}}},
		"added tests and data": {func(t testing.TB, root string) {
			verWrite(t, file(root, "src/fmt/x_test.go"), "package fmt\n", 0o644)
			verWrite(t, file(root, "src/new/x.go"), "package new\n", 0o644)
		}, []Change{{Name: "src/fmt/x_test.go", Kind: Added}, {Name: "src/new/x.go", Kind: Added}}},
		"an edit of go.env that no distributor makes": {func(t testing.TB, root string) {
			verWrite(t, file(root, "go.env"), strings.Replace(verGoEnv, "GOSUMDB=sum.golang.org", "GOSUMDB=off\nGOFLAGS=-x", 1), 0o644)
		}, []Change{{Name: "go.env", Kind: Altered, What: WhatGoEnv, Lines: []string{"-GOSUMDB=sum.golang.org", "+GOSUMDB=off", "+GOFLAGS=-x"}}}},
		"VERSION": {func(t testing.TB, root string) {
			verWrite(t, file(root, "VERSION"), "go1.99.1\n", 0o644)
		}, []Change{{Name: "VERSION", Kind: Altered}}},
	}
}
