package bundle_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/bundle"
)

var planTime = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// bytesOf is the content of a file in tests: it follows from name and size, and cannot be compressed.
func bytesOf(name string, size int) []byte {
	seed := [32]byte{}
	copy(seed[:], name)
	r := rand.NewChaCha8(seed)
	b := make([]byte, size+8)
	for i := 0; i < size; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	return b[:size]
}

func fileOf(name string, data []byte) bundle.File {
	return bundle.File{Name: name, Size: int64(len(data)), Open: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
}

// samplePlan is a plan of n module versions with zips up to size bytes, with all else that a bundle has.
func samplePlan(n, size int) bundle.Plan {
	p := bundle.Plan{
		Level: bundle.Editor, Time: planTime, Targets: []string{"linux/amd64", "darwin/arm64"},
		Projects: []bundle.Project{{Module: "example.com/app", GoMod: fmt.Sprintf("%064x", 7), Go: "1.26"}},
		Tools:    []module.Version{{Path: "example.com/!azure/m0", Version: "v1.0.0"}},
	}
	app := module.Version{Path: "example.com/app"}
	for i := range n {
		m := bundle.Module{Path: fmt.Sprintf("example.com/Azure/m%d", i), Version: fmt.Sprintf("v1.%d.0", i), Sum: fmt.Sprintf("h1:zip%d", i), ModSum: fmt.Sprintf("h1:mod%d", i), Source: "https://proxy.example.com", Recorded: i%5 != 0}
		p.Modules = append(p.Modules, m)
		p.Edges = append(p.Edges, bundle.Edge{From: app, To: module.Version{Path: m.Path, Version: m.Version}})
		base := fmt.Sprintf("example.com/!azure/m%d/@v/", i)
		p.Files = append(p.Files,
			fileOf(base+m.Version+".zip", bytesOf(m.Path, size*(i+1)/n)),
			fileOf(base+m.Version+".mod", fmt.Appendf(nil, "module %s\n", m.Path)),
			fileOf(base+m.Version+".info", fmt.Appendf(nil, `{"Version":%q}`, m.Version)),
			fileOf(base+"list", []byte(m.Version+"\n")))
	}
	p.Files = append(p.Files,
		fileOf("sumdb/sum.golang.org/supported", nil),
		fileOf("sumdb/sum.golang.org/latest", []byte("go.sum database tree\n")),
		fileOf("sumdb/sum.golang.org/lookup/example.com/!azure/m0@v1.0.0", []byte("1\n")),
		fileOf("sumdb/sum.golang.org/tile/8/0/x001/234.p/5", bytesOf("tile", 160)),
		fileOf(".goferry/vuln/index/db.json", []byte("{}")))
	return p
}

// create makes a bundle in a new folder.
func create(t testing.TB, p bundle.Plan, o bundle.CreateOptions) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "x.bundle")
	if _, err := bundle.Create(t.Context(), file, p, o); err != nil {
		t.Fatal(err)
	}
	return file
}

func open(t testing.TB, file string) *bundle.Reader {
	t.Helper()
	r, err := bundle.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

// names lists a folder.
func names(t testing.TB, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		out = append(out, e.Name())
	}
	return out
}

// wantCode fails unless err has the code.
func wantCode(t testing.TB, err error, code bundle.Code) *bundle.Error {
	t.Helper()
	var e *bundle.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("error %v (%T), want code %s", err, err, code)
	}
	if e.Error() == "" || e.Error() == string(e.Code) {
		t.Fatalf("code %s has no words", code)
	}
	return e
}

// wantContent fails unless the file system has exactly what the plan says.
func wantContent(t testing.TB, fsys fs.FS, p bundle.Plan) {
	t.Helper()
	for _, f := range p.Files {
		r, err := f.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := fs.ReadFile(fsys, f.Name)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%s: %d bytes of %d, %v", f.Name, len(got), len(want), err)
		}
	}
}

// shuffled is p in another order.
func shuffled(p bundle.Plan, seed uint64) bundle.Plan {
	r := rand.New(rand.NewPCG(seed, 0))
	p.Files, p.Modules, p.Edges, p.Targets = slices.Clone(p.Files), slices.Clone(p.Modules), slices.Clone(p.Edges), slices.Clone(p.Targets)
	r.Shuffle(len(p.Files), func(i, j int) { p.Files[i], p.Files[j] = p.Files[j], p.Files[i] })
	r.Shuffle(len(p.Modules), func(i, j int) { p.Modules[i], p.Modules[j] = p.Modules[j], p.Modules[i] })
	r.Shuffle(len(p.Edges), func(i, j int) { p.Edges[i], p.Edges[j] = p.Edges[j], p.Edges[i] })
	r.Shuffle(len(p.Targets), func(i, j int) { p.Targets[i], p.Targets[j] = p.Targets[j], p.Targets[i] })
	return p
}

func key(t testing.TB) (bundle.PublicKey, bundle.PrivateKey) {
	t.Helper()
	pub, priv, err := bundle.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return pub, priv
}
