package toolchain

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/mod/sumdb/dirhash"

	"github.com/goferry/goferry/internal/goproxy"
)

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
