package toolchain

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"cmp"
	"compress/flate"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/sync/errgroup"

	"github.com/goferry/goferry/internal/goproxy"
)

// instTarget is what the small releases of these tests are.
var instTarget = Target{Version: "go1.99.1", OS: "linux", Arch: "amd64"}

// instFiles is a small release, by names in its GOROOT. What is not in the module is there as well.
func instFiles(t Target) map[string]string {
	noise := make([]byte, 48<<10) // most of a zip, so that its middle is content
	rand.NewChaCha8([32]byte{2}).Read(noise)
	files := map[string]string{
		"src/cmd/noise":               string(noise),
		"VERSION":                     string(t.Version) + "\ntime 2026-01-01T00:00:00Z\n",
		"go.env":                      "GOTOOLCHAIN=auto\n",
		"bin/go" + exeSuffix(t.OS):    "#!/bin/sh\necho go version " + string(t.Version) + "\n",
		"bin/gofmt" + exeSuffix(t.OS): "#!/bin/sh\n",
		"pkg/tool/" + t.OS + "_" + t.Arch + "/compile": strings.Repeat("\x00", 200_000),
		"lib/wasm/go_js_wasm_exec":                     "#!/bin/sh\n",
		"src/go.mod":                                   "module std\n",
		"src/cmd/go.mod":                               "module cmd\n",
		"src/fmt/print.go":                             "package fmt\n",
		"src/empty":                                    "",
		"api/go1.txt":                                  "pkg fmt\n",
		"doc/x.html":                                   "<p>\n",
		"misc/chrome/a.js":                             "1\n",
		"test/fixedbugs/Þfoo.go":                       "package p\n",
	}
	for n := range 30 {
		files[fmt.Sprintf("src/pkg%d/file%d.go", n%10, n)] = strings.Repeat(fmt.Sprintf("// file %d\n", n), n)
	}
	return files
}

// instModuleZip packs files as the module zip of t.
func instModuleZip(tb testing.TB, t Target, files map[string]string) []byte {
	tb.Helper()
	return instZip(tb, func(name string) string {
		if !inModule(name) {
			return ""
		}
		return t.Module().String() + "/" + moduleName(name)
	}, files)
}

func instArchiveZip(tb testing.TB, files map[string]string) []byte {
	tb.Helper()
	return instZip(tb, func(name string) string { return "go/" + name }, files)
}

func instZip(tb testing.TB, rename func(string) string, files map[string]string) []byte {
	tb.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		as := rename(name)
		if as == "" {
			continue
		}
		f, err := w.Create(as)
		if err != nil {
			tb.Fatal(err)
		}
		io.WriteString(f, files[name])
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

func instTarGz(tb testing.TB, files map[string]string) []byte {
	tb.Helper()
	hdrs := []tar.Header{{Name: "go/", Typeflag: tar.TypeDir, Mode: 0o755}}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		hdrs = append(hdrs, tar.Header{Name: "go/" + name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(files[name]))})
	}
	return instTar(tb, hdrs, func(n int) string { return files[strings.TrimPrefix(hdrs[n].Name, "go/")] })
}

// instTar writes a tar.gz without any rule.
func instTar(tb testing.TB, hdrs []tar.Header, data func(n int) string) []byte {
	tb.Helper()
	var buf bytes.Buffer
	gz := gzip.NewWriter(&buf)
	w := tar.NewWriter(gz)
	for n := range hdrs {
		if err := w.WriteHeader(&hdrs[n]); err != nil {
			tb.Fatal(err)
		}
		if hdrs[n].Typeflag == tar.TypeReg {
			io.WriteString(w, data(n))
		}
	}
	// Not cmp.Or: a header may declare more than there is.
	_ = w.Close()
	if err := gz.Close(); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

// instTree reads the tree at dir.
func instTree(tb testing.TB, dir string) map[string]string {
	tb.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s is of type %v", name, d.Type())
		}
		data, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		got[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return got
}

// TestUnpack: from each kind of download comes the same tree, the same hashes, and the hash of the database.
func TestUnpack(t *testing.T) {
	files := instFiles(instTarget)
	noise := rand.NewChaCha8([32]byte{1})
	large := make([]byte, unpackPiece+unpackPiece/2) // its compressed form is larger than a piece as well
	noise.Read(large)
	files["bin/large"] = string(large)
	module := instModuleZip(t, instTarget, files)
	zipFile := filepath.Join(t.TempDir(), "m.zip")
	if err := os.WriteFile(zipFile, module, 0o666); err != nil {
		t.Fatal(err)
	}
	want, err := dirhash.HashZip(zipFile, dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	inTree := maps.Clone(files)
	maps.DeleteFunc(inTree, func(name, _ string) bool { return !inModule(name) })
	archive, packed := instArchiveZip(t, files), instTarGz(t, files)
	kinds := map[string]func(*unpacking) error{
		"module zip": func(u *unpacking) error {
			return u.moduleZip(t.Context(), bytes.NewReader(module), int64(len(module)))
		},
		"zip": func(u *unpacking) error {
			return u.archiveZip(t.Context(), bytes.NewReader(archive), int64(len(archive)))
		},
		"tar.gz": func(u *unpacking) error { return u.tarGz(t.Context(), bytes.NewReader(packed)) },
	}
	for kind, unpack := range kinds {
		for _, parallel := range []int{0, 1, 7} {
			t.Run(fmt.Sprint(kind, parallel), func(t *testing.T) {
				dir := t.TempDir()
				var told []int64
				u := newUnpacking(instTarget, dir, parallel, func(done, _ int64) { told = append(told, done) })
				if err := unpack(u); err != nil {
					t.Fatal(err)
				}
				if got := u.sums.H1(instTarget); got != want {
					t.Errorf("H1 = %s, want %s", got, want)
				}
				got := instTree(t, dir)
				if diff := gocmp.Diff(inTree, got); diff != "" {
					t.Error(diff)
				}
				var size int64
				for name, data := range got {
					size += int64(len(data))
					info, err := os.Stat(filepath.Join(dir, name))
					if err != nil {
						t.Fatal(err)
					}
					program := strings.HasPrefix(name, "bin/") || strings.HasPrefix(name, "pkg/tool/") || strings.HasSuffix(name, "_exec")
					if runtime.GOOS != "windows" && (info.Mode()&0o100 != 0) != program {
						t.Errorf("%s has mode %v", name, info.Mode())
					}
				}
				if u.bytes() != size {
					t.Errorf("%d bytes, want %d", u.bytes(), size)
				}
				if kind != "tar.gz" && (len(told) == 0 || told[len(told)-1] != size) || !slices.IsSorted(told) {
					t.Errorf("progress told %v, want %d at the end", told, size)
				}
			})
		}
	}
}

// An instEntry is an entry of a hostile archive.
type instEntry struct {
	name string
	data string
	mode fs.FileMode
	size int64 // declared; 0 for what data has
	crc  uint32
	kind byte // of a tar; 0 for a file
	link string
}

// instHostile are archives that unpack as no release. The names are those in the folder of the archive, "go/" or that
// of the module, unless they begin with "!".
func instHostile() map[string][]instEntry {
	one := func(e instEntry) []instEntry { return []instEntry{{name: "VERSION", data: "x"}, e} }
	return map[string][]instEntry{
		"up":              one(instEntry{name: "../evil"}),
		"up inside":       one(instEntry{name: "src/../../../evil"}),
		"up and back":     one(instEntry{name: "src/../evil"}),
		"absolute":        one(instEntry{name: "!/tmp/evil"}),
		"no folder":       one(instEntry{name: "!evil"}),
		"other folder":    one(instEntry{name: "!gopher/evil"}),
		"backslash":       one(instEntry{name: `src\evil`}),
		"drive":           one(instEntry{name: "C:/evil"}),
		"stream":          one(instEntry{name: "src/a.go:evil"}),
		"NUL":             one(instEntry{name: "src/NUL"}),
		"trailing dot":    one(instEntry{name: "src/evil."}),
		"double slash":    one(instEntry{name: "src//evil"}),
		"dot":             one(instEntry{name: "./src/evil"}),
		"twice":           one(instEntry{name: "VERSION", data: "y"}),
		"case":            one(instEntry{name: "version", data: "y"}),
		"case of folders": {{name: "src/a"}, {name: "Src/b"}},
		"long s":          {{name: "src/s"}, {name: "ſrc/t"}},
		"file as folder":  one(instEntry{name: "VERSION/x"}),
		"folder as file":  {{name: "src/x"}, {name: "src"}},
		"link":            one(instEntry{name: "src/evil", mode: fs.ModeSymlink | 0o777, data: "/etc/passwd", kind: tar.TypeSymlink, link: "/etc/passwd"}),
		"setuid":          one(instEntry{name: "bin/evil", mode: fs.ModeSetuid | 0o755}),
		"setgid":          one(instEntry{name: "bin/evil", mode: fs.ModeSetgid | 0o755}),
		"pipe":            one(instEntry{name: "src/evil", mode: fs.ModeNamedPipe | 0o644, kind: tar.TypeFifo}),
		"device":          one(instEntry{name: "src/evil", mode: fs.ModeDevice | 0o644, kind: tar.TypeBlock}),
		"huge":            one(instEntry{name: "src/evil", size: maxTreeBytes + 1}),
		"short":           one(instEntry{name: "src/evil", data: "abc", size: 100}),
		"left out, slip":  one(instEntry{name: "test/../../evil"}),
		"left out, link":  one(instEntry{name: "test/evil", mode: fs.ModeSymlink | 0o777, data: "/etc", kind: tar.TypeSymlink, link: "/etc"}),
	}
}

func (e instEntry) path(folder string) string {
	if plain, ok := strings.CutPrefix(e.name, "!"); ok {
		return plain
	}
	return folder + e.name
}

func (e instEntry) declared() int64 { return cmp.Or(e.size, int64(len(e.data))) }

// instRawZip packs entries as they are.
func instRawZip(tb testing.TB, folder string, entries []instEntry) []byte {
	tb.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, e := range entries {
		var packed bytes.Buffer
		fw, _ := flate.NewWriter(&packed, flate.BestSpeed)
		io.WriteString(fw, e.data)
		fw.Close()
		h := &zip.FileHeader{
			Name: e.path(folder), Method: zip.Deflate, CRC32: cmp.Or(e.crc, crc32.ChecksumIEEE([]byte(e.data))),
			CompressedSize64: uint64(packed.Len()), UncompressedSize64: uint64(e.declared()),
		}
		h.SetMode(cmp.Or(e.mode, 0o644))
		out, err := w.CreateRaw(h)
		if err != nil {
			tb.Fatal(err)
		}
		out.Write(packed.Bytes())
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

func instRawTar(tb testing.TB, entries []instEntry) []byte {
	tb.Helper()
	var hdrs []tar.Header
	for _, e := range entries {
		h := tar.Header{Name: e.path("go/"), Typeflag: cmp.Or(e.kind, tar.TypeReg), Linkname: e.link, Mode: int64(e.mode.Perm()), Size: e.declared()}
		if e.mode&fs.ModeSetuid != 0 {
			h.Mode |= 0o4000
		}
		if e.mode&fs.ModeSetgid != 0 {
			h.Mode |= 0o2000
		}
		if h.Typeflag != tar.TypeReg {
			h.Size = 0
		}
		hdrs = append(hdrs, h)
	}
	return instTar(tb, hdrs, func(n int) string { return entries[n].data })
}

// TestUnpackHostile: whatever an archive holds, nothing comes into being outside the folder, and the place is to blame.
func TestUnpackHostile(t *testing.T) {
	cases := instHostile()
	zips := maps.Clone(cases)
	zips["longer than declared"] = []instEntry{{name: "VERSION", data: strings.Repeat("x", 3000), size: 10}}
	zips["large and longer"] = []instEntry{{name: "VERSION", data: strings.Repeat("x", 3*unpackPiece), size: 2 * unpackPiece}}
	zips["wrong checksum"] = []instEntry{{name: "VERSION", data: "x", crc: 1}}
	for name, entries := range zips {
		t.Run("zip "+name, func(t *testing.T) {
			data := instRawZip(t, "go/", entries)
			instRefused(t, func(ctx context.Context, u *unpacking) error {
				return u.archiveZip(ctx, bytes.NewReader(data), int64(len(data)))
			})
		})
		t.Run("module "+name, func(t *testing.T) {
			data := instRawZip(t, instTarget.Module().String()+"/", entries)
			instRefused(t, func(ctx context.Context, u *unpacking) error {
				return u.moduleZip(ctx, bytes.NewReader(data), int64(len(data)))
			})
		})
	}
	cases["hard link"] = []instEntry{{name: "VERSION", data: "x"}, {name: "src/evil", kind: tar.TypeLink, link: "go/VERSION"}}
	cases["_go.mod"] = []instEntry{{name: "src/_go.mod", data: "module std\n"}}
	for name, entries := range cases {
		t.Run("tar "+name, func(t *testing.T) {
			data := instRawTar(t, entries)
			instRefused(t, func(ctx context.Context, u *unpacking) error { return u.tarGz(ctx, bytes.NewReader(data)) })
		})
	}
}

func instRefused(t *testing.T, unpack func(context.Context, *unpacking) error) {
	t.Helper()
	outer := t.TempDir()
	dir := filepath.Join(outer, "a", "b", "tree")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	err := unpack(t.Context(), newUnpacking(instTarget, dir, 2, nil))
	if !errors.Is(err, goproxy.ErrMismatch) {
		t.Errorf("error = %v, want one of a bad archive", err)
	}
	for name := range instTree(t, outer) {
		if !strings.HasPrefix(name, "a/b/tree/") {
			t.Errorf("%s came into being", name)
		}
	}
}

// TestUnpackDamaged: any byte that is changed, and any end that is missing, is found out: by the archive
// itself or by the hash.
func TestUnpackDamaged(t *testing.T) {
	files := instFiles(instTarget)
	maps.DeleteFunc(files, func(_, data string) bool { return len(data) > 1000 }) // the quicker
	module, packed := instModuleZip(t, instTarget, files), instTarGz(t, files)
	unpack := func(t *testing.T, data []byte, isTar bool) (string, error) {
		t.Helper()
		u := newUnpacking(instTarget, t.TempDir(), 2, nil)
		if isTar {
			err := u.tarGz(t.Context(), bytes.NewReader(data))
			return u.sums.H1(instTarget), err
		}
		err := u.moduleZip(t.Context(), bytes.NewReader(data), int64(len(data)))
		return u.sums.H1(instTarget), err
	}
	want, err := unpack(t, module, false)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(7, 7))
	for isTar, whole := range map[bool][]byte{false: module, true: packed} {
		found := 0
		for n := range 40 {
			damaged := bytes.Clone(whole)
			if n%2 == 0 {
				damaged = damaged[:r.IntN(len(damaged))]
			} else {
				damaged[r.IntN(len(damaged))] ^= 1 << r.IntN(8)
			}
			got, err := unpack(t, damaged, isTar)
			switch {
			case err != nil && !errors.Is(err, goproxy.ErrMismatch):
				t.Errorf("tar %v: error = %v, want a bad archive", isTar, err)
			case err == nil && n%2 == 0:
				t.Errorf("tar %v: a cut archive of %d of %d bytes was unpacked", isTar, len(damaged), len(whole))
			case err != nil || got != want:
				found++
			}
			// The others are bits that say nothing, such as times: the tree is what it should be.
		}
		if found < 20 {
			t.Errorf("tar %v: %d of 40 damages were found", isTar, found)
		}
	}
}

// TestUnpackSource: a fault of the disk is not laid at the place's door.
func TestUnpackSource(t *testing.T) {
	files := instFiles(instTarget)
	data := instModuleZip(t, instTarget, files)
	broken := errors.New("bad sector")
	u := newUnpacking(instTarget, t.TempDir(), 2, nil)
	err := u.moduleZip(t.Context(), instBroken{bytes.NewReader(data), broken, int64(len(data) / 2)}, int64(len(data)))
	if !errors.Is(err, broken) || errors.Is(err, goproxy.ErrMismatch) {
		t.Errorf("module zip: %v", err)
	}
	packed := instTarGz(t, files)
	u = newUnpacking(instTarget, t.TempDir(), 2, nil)
	err = u.tarGz(t.Context(), io.MultiReader(bytes.NewReader(packed[:len(packed)/2]), instFails{broken}))
	if !errors.Is(err, broken) || errors.Is(err, goproxy.ErrMismatch) {
		t.Errorf("tar: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	u = newUnpacking(instTarget, t.TempDir(), 2, nil)
	if err := u.tarGz(ctx, bytes.NewReader(packed)); !errors.Is(err, context.Canceled) {
		t.Errorf("tar: %v, want the end of the context", err)
	}
	if err := u.moduleZip(ctx, bytes.NewReader(data), int64(len(data))); !errors.Is(err, context.Canceled) {
		t.Errorf("zip: %v, want the end of the context", err)
	}
}

// instBroken cannot read what lies around one place.
type instBroken struct {
	r   io.ReaderAt
	err error
	at  int64
}

func (b instBroken) ReadAt(p []byte, off int64) (int, error) {
	if off <= b.at && b.at < off+int64(len(p)) {
		return 0, b.err
	}
	return b.r.ReadAt(p, off)
}

type instFails struct{ err error }

func (f instFails) Read([]byte) (int, error) { return 0, f.err }

// FuzzUnpack: whatever the bytes are, nothing comes into being outside the folder, all is plain files, and the hashes are
// those of what is on the disk.
func FuzzUnpack(f *testing.F) {
	small := map[string]string{"VERSION": "go1.99.1\n", "src/go.mod": "module std\n", "bin/go": "x", "test/a": "y"}
	f.Add(instModuleZip(f, instTarget, small), 0)
	f.Add(instArchiveZip(f, small), 1)
	f.Add(instTarGz(f, small), 2)
	for name, entries := range instHostile() {
		if name == "huge" {
			continue
		}
		f.Add(instRawZip(f, instTarget.Module().String()+"/", entries), 0)
		f.Add(instRawZip(f, "go/", entries), 1)
		f.Add(instRawTar(f, entries), 2)
	}
	f.Fuzz(func(t *testing.T, data []byte, kind int) {
		outer := t.TempDir()
		dir := filepath.Join(outer, "tree")
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		u := newUnpacking(instTarget, dir, 2, nil)
		var err error
		switch kind {
		case 0:
			err = u.moduleZip(t.Context(), bytes.NewReader(data), int64(len(data)))
		case 1:
			err = u.archiveZip(t.Context(), bytes.NewReader(data), int64(len(data)))
		default:
			err = u.tarGz(t.Context(), bytes.NewReader(data))
		}
		if err != nil && !errors.Is(err, goproxy.ErrMismatch) {
			t.Fatalf("error = %v", err)
		}
		got := Sums{}
		for name, content := range instTree(t, outer) {
			inside, ok := strings.CutPrefix(name, "tree/")
			if !ok || !inModule(inside) {
				t.Fatalf("%s came into being", name)
			}
			got[moduleName(inside)] = sha256.Sum256([]byte(content))
		}
		if diff := gocmp.Diff(u.sums, got, cmpopts.EquateEmpty()); err == nil && diff != "" {
			t.Fatal(diff)
		}
	})
}

// instLikeRelease is a module zip as large as a release: many small files and a few large ones.
func instLikeRelease(tb testing.TB) []byte {
	tb.Helper()
	r := rand.New(rand.NewPCG(3, 4))
	words := make([]string, 4000)
	for n := range words {
		words[n] = fmt.Sprintf("%x", r.Uint32N(1<<20))
	}
	text := func(size int) string {
		var b strings.Builder
		for b.Len() < size {
			b.WriteString(words[r.IntN(len(words))])
			b.WriteString(" \t\n"[r.IntN(3):][:1])
		}
		return b.String()
	}
	files := map[string]string{"VERSION": string(instTarget.Version) + "\n", "bin/go": "x"}
	for n := range 12_000 {
		files[fmt.Sprintf("src/d%d/e%d/f%d.go", n%40, n%1500, n)] = text(int(r.ExpFloat64() * 9000))
	}
	for n, mb := range []int{21, 15, 8, 6, 5, 5, 4, 3} {
		files[fmt.Sprintf("pkg/tool/linux_amd64/t%d", n)] = text(mb << 20)
	}
	return instModuleZip(tb, instTarget, files)
}

// BenchmarkUnpack compares unpacking and hashing with what the standard library does on all processors when it only
// unpacks. GOFERRY_BENCH_ZIP names the zip of a real toolchain module to measure instead.
func BenchmarkUnpack(b *testing.B) {
	target := instTarget
	var data []byte
	var err error
	if name := os.Getenv("GOFERRY_BENCH_ZIP"); name == "" {
		data = instLikeRelease(b)
	} else if data, err = os.ReadFile(name); err != nil {
		b.Fatal(err)
	} else if target, err = ParseModuleVersion(strings.TrimSuffix(path.Base(name), ".zip")); err != nil {
		b.Fatal(err)
	}
	file, packed := filepath.Join(b.TempDir(), "m.zip"), int64(len(data))
	if err := os.WriteFile(file, data, 0o666); err != nil {
		b.Fatal(err)
	}
	data = nil // so that what is measured of the memory is the unpacking's
	f, err := os.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	z, err := zip.NewReader(f, packed)
	if err != nil {
		b.Fatal(err)
	}
	var size int64
	for _, f := range z.File {
		size += int64(f.UncompressedSize64)
	}
	u := newUnpacking(target, b.TempDir(), 0, nil)
	if err := u.moduleZip(b.Context(), f, packed); err != nil {
		b.Fatal(err)
	}
	cached := goproxy.SourceFunc(func(context.Context, goproxy.Request) (goproxy.File, error) { return os.Open(file) })
	ways := []struct {
		name   string
		unpack func(dir string) error
		took   time.Duration
	}{
		{"standard", func(dir string) error { return instStandard(z, dir) }, 0},
		{"unpack", func(dir string) error { return newUnpacking(target, dir, 0, nil).moduleZip(b.Context(), f, packed) }, 0},
		// All of an installation: unpacking, the proof, and the wait for the disk.
		{"install", func(dir string) error {
			i := instInstaller(dir, map[Target]string{target: u.sums.H1(target)})
			i.Cached = cached
			_, _, err := i.Install(b.Context(), target)
			return err
		}, 0},
	}
	for b.Loop() { // in turn, so that what else the machine does meets all of them
		for i := range ways {
			// Trees are not removed in between: ext4 is slow to use again what was just freed.
			dir := filepath.Join(b.TempDir(), "tree")
			start := time.Now()
			if err := cmp.Or(os.Mkdir(dir, 0o777), ways[i].unpack(dir)); err != nil {
				b.Fatal(err)
			}
			ways[i].took += time.Since(start)
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, w := range ways {
		b.ReportMetric(w.took.Seconds()/float64(b.N), "s-"+w.name)
		b.ReportMetric(w.took.Seconds()/ways[0].took.Seconds(), "x-"+w.name)
	}
}

// instStandard unpacks with the standard library on all processors, and hashes nothing.
func instStandard(z *zip.Reader, dir string) error {
	var eg errgroup.Group
	eg.SetLimit(runtime.GOMAXPROCS(0))
	for _, f := range z.File {
		eg.Go(func() error {
			name := filepath.Join(dir, filepath.FromSlash(f.Name))
			if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
				return err
			}
			in, err := f.Open()
			if err != nil {
				return err
			}
			out, err := os.Create(name)
			if err != nil {
				return err
			}
			_, err = io.Copy(out, in)
			return cmp.Or(err, out.Close(), in.Close())
		})
	}
	return eg.Wait()
}
