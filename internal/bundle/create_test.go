package bundle_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/bundle"
	"github.com/goferry/goferry/internal/goproxy"
)

// TestSameBytes: the same input gives the same bytes, in whatever order and folder, in one piece or in parts.
func TestSameBytes(t *testing.T) {
	_, priv := key(t)
	p := samplePlan(8, 400_000)
	o := bundle.CreateOptions{Sign: &priv}
	want := read(t, create(t, p, o))
	for seed := range uint64(4) {
		if got := read(t, create(t, shuffled(p, seed), o)); !bytes.Equal(got, want) {
			t.Fatalf("seed %d: other bytes", seed)
		}
	}
	o.Split = 100_000
	file := create(t, p, o)
	var joined []byte
	for _, name := range open(t, file).Files() {
		joined = append(joined, read(t, name)...)
	}
	if !bytes.Equal(joined, want) {
		t.Fatal("parts in a row are other bytes")
	}
	p.Time = p.Time.Add(time.Hour)
	o.Split = 0
	if bytes.Equal(read(t, create(t, p, o)), want) {
		t.Fatal("another time makes no difference")
	}
}

// TestOrdinaryZip: what others say to be a zip. The tree unpacked is what went in.
func TestOrdinaryZip(t *testing.T) {
	_, priv := key(t)
	p := samplePlan(20, 300_000)
	file := create(t, p, bundle.CreateOptions{Sign: &priv})
	for _, judge := range [][]string{{"unzip", "-tq", file}, {"python3", "-m", "zipfile", "-t", file}} {
		if out, err := exec.Command(judge[0], judge[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", judge, err, out)
		}
	}
	z, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	wantContent(t, z, p)
	if z.File[0].Name != bundle.ManifestName || len(z.File) != len(p.Files)+3 {
		t.Errorf("%d entries, the first is %s", len(z.File), z.File[0].Name)
	}
	for _, f := range z.File {
		if !f.Modified.Equal(p.Time.Add(-time.Second)) || f.Mode() != 0o644 || (f.Method == zip.Store) != !strings.HasSuffix(f.Name, ".json") && !strings.Contains(f.Name, "vuln") {
			t.Errorf("%s: %v, %v, method %d", f.Name, f.Modified, f.Mode(), f.Method)
		}
	}
	dir := t.TempDir()
	if out, err := exec.Command("unzip", "-q", file, "-d", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wantContent(t, os.DirFS(dir), p)
}

// TestManifest: what a bundle says of itself, and that it says it in order.
func TestManifest(t *testing.T) {
	p := samplePlan(12, 1000)
	p.Modules = append(p.Modules, p.Modules[3]) // twice the same is once
	p.Base = &bundle.Base{ID: strings.Repeat("ab", 32), Time: planTime}
	file := create(t, shuffled(p, 3), bundle.CreateOptions{})
	r := open(t, file)
	m := r.Manifest()
	if m.Schema != bundle.Schema || m.ID != bundle.ContentID(m.Entries, m.Base) || len(m.Modules) != 12 || !m.Time.Equal(planTime) || m.Level != bundle.Editor {
		t.Errorf("manifest %+v", m)
	}
	if diff := cmp.Diff(p.Base, m.Base) + cmp.Diff(p.Projects, m.Projects) + cmp.Diff(bundle.Tools(p.Tools), m.Tools); diff != "" {
		t.Error(diff)
	}
	if i := slices.IndexFunc(m.Modules, func(m bundle.Module) bool { return m.Version == "v1.10.0" }); m.Modules[i-1].Version != "v1.1.0" {
		t.Errorf("order: %+v", m.Modules)
	}
	if r.Signature() != nil {
		t.Error("a signature that nobody made")
	}
	if !bytes.Contains(r.RawManifest(), []byte(`"tools":[{"path":`)) {
		t.Errorf("keys of tools: %s", r.RawManifest())
	}
}

// TestFS: the tree is a proper file system, and a Source.
func TestFS(t *testing.T) {
	_, priv := key(t)
	p := samplePlan(3, 300)
	all := []string{bundle.ManifestName, bundle.SignatureName, bundle.SBOMName}
	for _, f := range p.Files {
		all = append(all, f.Name)
	}
	if err := fstest.TestFS(open(t, create(t, p, bundle.CreateOptions{Sign: &priv})).FS(), all...); err != nil {
		t.Error(err)
	}
	p = samplePlan(5, 900_000)
	r := open(t, create(t, p, bundle.CreateOptions{Sign: &priv}))
	wantContent(t, r.FS(), p)
	raw, err := fs.ReadFile(r.FS(), bundle.ManifestName)
	if err != nil || !bytes.Equal(raw, r.RawManifest()) {
		t.Errorf("manifest: %v", err)
	}
	src := r.Source()
	f, err := src.Open(t.Context(), goproxy.Request{Path: "example.com/Azure/m4", Version: "v1.4.0", Kind: goproxy.Zip})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n, err := f.Seek(0, io.SeekEnd); n != 900_000 || err != nil {
		t.Errorf("it ends at %d: %v", n, err)
	}
	if _, err := f.Seek(500_000, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(f)
	if err != nil || !bytes.Equal(got, bytesOf("example.com/Azure/m4", 900_000)[500_000:]) {
		t.Errorf("from the middle: %d bytes, %v", len(got), err)
	}
	if _, err := src.Open(t.Context(), goproxy.Request{Path: "example.com/none", Kind: goproxy.List}); !errors.Is(err, goproxy.ErrNotExist) {
		t.Errorf("what is not there: %v", err)
	}
}

// TestFileModel: a file behaves as its bytes in memory do, however it is read.
func TestFileModel(t *testing.T) {
	const size = 700_000
	want := bytesOf("example.com/Azure/m0", size)
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		f, err := open(t, modelBundle(t)).FS().Open("example.com/!azure/m0/@v/v1.0.0.zip")
		if err != nil {
			t.Fatal(err)
		}
		model, file := bytes.NewReader(want), f.(interface {
			io.ReadSeeker
			io.ReaderAt
		})
		for step := range 30 {
			n, off := rnd.IntN(200_000), rnd.Int64N(size+100)
			a, b := make([]byte, n), make([]byte, n)
			var na, nb int
			var ea, eb error
			switch rnd.IntN(6) {
			case 0:
				na, ea = file.ReadAt(a, off)
				nb, eb = model.ReadAt(b, off)
			case 1:
				whence := rnd.IntN(3)
				off -= []int64{0, size / 2, size}[whence]
				pa, e1 := file.Seek(off, whence)
				pb, e2 := model.Seek(off, whence)
				if pa != pb || (e1 == nil) != (e2 == nil) {
					t.Fatalf("seed %d, step %d: seek %d, %v; want %d, %v", seed, step, pa, e1, pb, e2)
				}
			default:
				na, ea = io.ReadFull(file, a)
				nb, eb = io.ReadFull(model, b)
			}
			if na != nb || ea != eb || !bytes.Equal(a, b) {
				t.Fatalf("seed %d, step %d: %d bytes, %v; want %d, %v", seed, step, na, ea, nb, eb)
			}
		}
		f.Close()
	}
}

func modelBundle(t *testing.T) string {
	return create(t, samplePlan(1, 700_000), bundle.CreateOptions{})
}

// TestReplace: a new bundle takes the place of the old one in whichever form that was, and leaves nothing beside it.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "x.bundle")
	small, large := samplePlan(3, 50_000), samplePlan(6, 90_000)
	for i, step := range []struct {
		plan  bundle.Plan
		split int64
		want  []string
	}{
		{large, 0, []string{"x.bundle"}},
		{large, 100_000, []string{"x.bundle.001", "x.bundle.002", "x.bundle.003", "x.bundle.004", "x.bundle.sha256"}},
		{small, 90_000, []string{"x.bundle.001", "x.bundle.002", "x.bundle.sha256"}},
		{small, 90_000, []string{"x.bundle.001", "x.bundle.002", "x.bundle.sha256"}},
		{small, 0, []string{"x.bundle"}},
		{large, 0, []string{"x.bundle"}},
		{large, 0, []string{"x.bundle"}},
	} {
		got, err := bundle.Create(t.Context(), file, step.plan, bundle.CreateOptions{Split: step.split})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, names(t, dir)); diff != "" {
			t.Fatalf("step %d: %s", i, diff)
		}
		if (i == 3 || i == 6) != (got.Reused == got.Bytes) {
			t.Errorf("step %d: %d of %d bytes were there", i, got.Reused, got.Bytes)
		}
		r, err := bundle.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		wantContent(t, r.FS(), step.plan)
		if rep, err := r.Verify(t.Context(), nil, nil); err != nil || rep.Bytes != got.Bytes {
			t.Errorf("step %d: %+v, %v", i, rep, err)
		}
		r.Close()
	}
}

// TestSums: the list of parts is one that sha256sum reads.
func TestSums(t *testing.T) {
	file := create(t, samplePlan(4, 60_000), bundle.CreateOptions{Split: 40_000})
	cmd := exec.Command("sha256sum", "--strict", "-c", "x.bundle.sha256")
	cmd.Dir = filepath.Dir(file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestCreateRefuses: a plan that no reader would take is refused before a byte is written.
func TestCreateRefuses(t *testing.T) {
	with := func(change func(p *bundle.Plan)) bundle.Plan {
		p := samplePlan(2, 100)
		change(&p)
		return p
	}
	add := func(names ...string) bundle.Plan {
		return with(func(p *bundle.Plan) {
			for _, n := range names {
				p.Files = append(p.Files, fileOf(n, nil))
			}
		})
	}
	for _, test := range []struct {
		what string
		plan bundle.Plan
		o    bundle.CreateOptions
		code bundle.Code
	}{
		{"a name out of the tree", add("../x"), bundle.CreateOptions{}, bundle.CodePlan},
		{"an absolute name", add("/etc/passwd"), bundle.CreateOptions{}, bundle.CodePlan},
		{"a backslash", add(`.goferry/a\b`), bundle.CreateOptions{}, bundle.CodePlan},
		{"no file of the protocol", add("readme.txt"), bundle.CreateOptions{}, bundle.CodePlan},
		{"an unescaped path", add("example.com/Azure/m0/@v/list"), bundle.CreateOptions{}, bundle.CodePlan},
		{"a device of Windows", add(".goferry/nul"), bundle.CreateOptions{}, bundle.CodePlan},
		{"the manifest", add(bundle.ManifestName), bundle.CreateOptions{}, bundle.CodePlan},
		{"the SBOM", add(bundle.SBOMName), bundle.CreateOptions{}, bundle.CodePlan},
		{"twice the same", add("sumdb/sum.golang.org/latest"), bundle.CreateOptions{}, bundle.CodePlan},
		{"the same but for case", add(".goferry/A", ".goferry/a"), bundle.CreateOptions{}, bundle.CodePlan},
		{"folders the same but for case", add(".goferry/A/x", ".goferry/a/y"), bundle.CreateOptions{}, bundle.CodePlan},
		{"a file and a folder", add(".goferry/a", ".goferry/a/y"), bundle.CreateOptions{}, bundle.CodePlan},
		{"a folder and a file", add(".goferry/a-b/c", ".goferry/a-b"), bundle.CreateOptions{}, bundle.CodePlan},
		{"a base that is none", with(func(p *bundle.Plan) { p.Base = &bundle.Base{ID: "x"} }), bundle.CreateOptions{}, bundle.CodePlan},
		{"a negative size", with(func(p *bundle.Plan) { p.Files[0].Size = -1 }), bundle.CreateOptions{}, bundle.CodePlan},
		{"a shorter file", with(func(p *bundle.Plan) { p.Files[0].Size++ }), bundle.CreateOptions{}, bundle.CodeChanged},
		{"a longer file", with(func(p *bundle.Plan) { p.Files[0].Size-- }), bundle.CreateOptions{}, bundle.CodeChanged},
		{"too many parts", samplePlan(2, 100), bundle.CreateOptions{Split: 2}, bundle.CodeSplit},
		{"negative parts", samplePlan(2, 100), bundle.CreateOptions{Split: -2}, bundle.CodeSplit},
	} {
		t.Run(test.what, func(t *testing.T) {
			dir := t.TempDir()
			_, err := bundle.Create(t.Context(), filepath.Join(dir, "x"), test.plan, test.o)
			wantCode(t, err, test.code)
			if left := names(t, dir); left != nil {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// TestChanges: a file that is not the same the second time is not written into a bundle.
func TestChanges(t *testing.T) {
	p := samplePlan(3, 5000)
	data, opened := bytesOf("x", 5000), 0
	p.Files = append(p.Files, bundle.File{Name: "example.com/x/@v/v1.0.0.zip", Size: 5000, Open: func(context.Context) (io.ReadCloser, error) {
		b := bytes.Clone(data)
		b[opened]++
		opened++
		return io.NopCloser(bytes.NewReader(b)), nil
	}})
	file := filepath.Join(t.TempDir(), "x.bundle")
	_, err := bundle.Create(t.Context(), file, p, bundle.CreateOptions{})
	if e := wantCode(t, err, bundle.CodeChanged); e.Detail != "example.com/x/@v/v1.0.0.zip" || !errors.Is(err, goproxy.ErrMismatch) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the bundle is there: %v", err)
	}
}

// TestUnreadable: the error of a file keeps its meaning.
func TestUnreadable(t *testing.T) {
	p := samplePlan(3, 5000)
	p.Files[0].Open = func(context.Context) (io.ReadCloser, error) { return nil, goproxy.ErrUnavailable }
	_, err := bundle.Create(t.Context(), filepath.Join(t.TempDir(), "x"), p, bundle.CreateOptions{})
	if !errors.Is(err, goproxy.ErrUnavailable) || !strings.Contains(err.Error(), p.Files[0].Name) {
		t.Error(err)
	}
}

// TestCancelResume: who interrupts a bundle loses nothing, and gets the same bytes in the end; what is left of
// another plan does no harm.
func TestCancelResume(t *testing.T) {
	p := samplePlan(6, 3<<20)
	want := read(t, create(t, p, bundle.CreateOptions{}))
	for _, split := range []int64{0, 2 << 20} {
		dir := t.TempDir()
		file := filepath.Join(dir, "x.bundle")
		ctx, cancel := context.WithCancel(t.Context())
		_, err := bundle.Create(ctx, file, p, bundle.CreateOptions{Split: split, Progress: func(p bundle.Progress) {
			if p.Phase == "write" && p.Done > p.Total/2 {
				cancel()
			}
		}})
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		left := names(t, dir)
		if !slices.ContainsFunc(left, func(n string) bool { return strings.HasSuffix(n, ".partial") }) {
			t.Fatalf("left: %v", left)
		}
		got, err := bundle.Create(t.Context(), file, p, bundle.CreateOptions{Split: split})
		if err != nil {
			t.Fatal(err)
		}
		if got.Reused < got.Bytes/2 || got.Reused == got.Bytes {
			t.Errorf("split %d: %d of %d bytes reused", split, got.Reused, got.Bytes)
		}
		var all []byte
		for _, name := range open(t, file).Files() {
			all = append(all, read(t, name)...)
		}
		if !bytes.Equal(all, want) {
			t.Errorf("split %d: other bytes", split)
		}
		if left := names(t, dir); slices.ContainsFunc(left, func(n string) bool { return strings.HasSuffix(n, ".partial") }) {
			t.Errorf("left: %v", left)
		}
	}
}

// TestStalePartial: whatever stands in FILE.partial, the bundle is right.
func TestStalePartial(t *testing.T) {
	p := samplePlan(4, 200_000)
	want := read(t, create(t, p, bundle.CreateOptions{}))
	flipped := bytes.Clone(want)
	flipped[len(want)/3] ^= 1
	for what, stale := range map[string][]byte{
		"longer": append(bytes.Clone(want), "more"...), "other": bytesOf("other", 700_000), "flipped": flipped,
		"zeros behind a cut": append(bytes.Clone(want[:100_000]), make([]byte, 500_000)...), "whole": want, "short": want[:10],
	} {
		file := filepath.Join(t.TempDir(), "x.bundle")
		write(t, file+".partial", stale)
		if _, err := bundle.Create(t.Context(), file, p, bundle.CreateOptions{}); err != nil {
			t.Fatal(what, err)
		}
		if !bytes.Equal(read(t, file), want) {
			t.Errorf("%s: other bytes", what)
		}
	}
}

// TestBusy: two processes never write the same file.
func TestBusy(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.bundle")
	p := samplePlan(3, 2<<20)
	var second error
	tried := false
	if _, err := bundle.Create(t.Context(), file, p, bundle.CreateOptions{Progress: func(bundle.Progress) {
		if !tried {
			tried = true
			_, second = bundle.Create(t.Context(), file, p, bundle.CreateOptions{})
		}
	}}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, second, bundle.CodeBusy)
	if rep, err := open(t, file).Verify(t.Context(), nil, nil); err != nil {
		t.Fatal(rep, err)
	}
}

// TestLacking: a delta takes what is new, and what has the same name and other bytes.
func TestLacking(t *testing.T) {
	old := samplePlan(10, 30_000)
	m := open(t, create(t, old, bundle.CreateOptions{})).Manifest()
	p := samplePlan(11, 30_000)
	p.Files = slices.Clone(old.Files)
	p.Files[3] = fileOf(p.Files[3].Name, []byte("v9.9.9"+"\n")) // same name, perhaps same size
	p.Files = append(p.Files, fileOf("example.com/new/@v/v1.0.0.mod", []byte("module example.com/new\n")))
	got, err := bundle.Lacking(t.Context(), p.Files, m)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range got {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{p.Files[3].Name, "example.com/new/@v/v1.0.0.mod"}, names); diff != "" {
		t.Error(diff)
	}
}
