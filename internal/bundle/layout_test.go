package bundle

import (
	"archive/zip"
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const large = 5 << 30

// TestLarge: an entry beyond 4 GiB, and entries behind it, are as the zip format wants them, and as a reader of ours reads
// them. The file has a hole where the zeros are.
func TestLarge(t *testing.T) {
	small := []byte("v1.0.0\n")
	sum := hashed{hashOf(small), crc32.ChecksumIEEE(small)}
	files := []File{
		{Name: "example.com/a/@v/list", Size: int64(len(small))},
		{Name: "example.com/b/@v/v1.0.0.zip", Size: large},
		{Name: "example.com/c/@v/list", Size: int64(len(small))},
	}
	d, err := assemble(Plan{Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}, files, []hashed{sum, {sha256: strings.Repeat("0", 64)}, sum}, CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "x.bundle")
	sparse(t, file, d, map[string][]byte{files[0].Name: small, files[2].Name: small})

	z, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for i, f := range z.File[2:] {
		at, err := f.DataOffset()
		if err != nil || f.Name != files[i].Name || int64(f.UncompressedSize64) != files[i].Size || at != d.layout.data(i+2) {
			t.Errorf("%s: %d bytes at %d, %v", f.Name, f.UncompressedSize64, at, err)
		}
	}
	for _, judge := range [][]string{
		{"unzip", "-p", file, files[2].Name},
		{"python3", "-c", "import sys, zipfile; sys.stdout.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]).decode())", file, files[2].Name},
	} {
		if out, err := exec.Command(judge[0], judge[1:]...).CombinedOutput(); err != nil || string(out) != string(small) {
			t.Errorf("%v: %q, %v", judge, out, err)
		}
	}
	r, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f, err := r.FS().Open(files[2].Name)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(f); err != nil || string(b) != string(small) {
		t.Errorf("%q, %v", b, err)
	}
}

// sparse writes a bundle whose other files are holes.
func sparse(t *testing.T, file string, d *draftBundle, data map[string][]byte) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	put := func(b []byte, at int64) {
		if _, err := f.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
	}
	var dir []byte
	for i := range d.layout.items {
		it := &d.layout.items[i]
		put(d.layout.local(it), it.offset)
		if i < len(d.packed) {
			put(d.packed[i], d.layout.data(i))
		} else {
			put(data[it.name], d.layout.data(i))
		}
		dir = d.layout.central(dir, it)
	}
	head := make([]byte, d.layout.head)
	if _, err := f.ReadAt(head, 0); err != nil {
		t.Fatal(err)
	}
	put(append(dir, d.layout.tail(sha256.Sum256(head))...), d.layout.directory())
}

// TestMany: a bundle of more entries than 16 bits can count.
func TestMany(t *testing.T) {
	var files []File
	var hashes []hashed
	for i := range 70_000 {
		files = append(files, File{Name: fmt.Sprintf("sumdb/sum.golang.org/tile/8/0/x%03d/%03d", i/1000, i%1000)})
		hashes = append(hashes, hashed{sha256: hashOf(nil)})
	}
	d, err := assemble(Plan{Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}, files, hashes, CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "x.bundle")
	sparse(t, file, d, nil)
	z, err := zip.OpenReader(file)
	if err != nil || len(z.File) != 70_002 {
		t.Fatal(err)
	}
	defer z.Close()
	if out, err := exec.Command("unzip", "-Z1", file).Output(); err != nil || strings.Count(string(out), "\n") != 70_002 {
		t.Errorf("unzip: %v", err)
	}
	r, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if rep, err := r.Verify(t.Context(), nil, nil); err != nil || rep.Entries != 70_002 {
		t.Errorf("%+v, %v", rep, err)
	}
}

// TestSmall64: with a low limit, the zip64 way to write each number is read the same way.
func TestSmall64(t *testing.T) {
	for _, limit := range []uint64{1, 50, 200, 1000, max32} {
		l := newLayout(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
		l.limit32 = limit
		for i, n := range []int64{10, 49, 50, 51, 199, 500, 3} {
			b := make([]byte, n)
			l.add(item{name: fmt.Sprintf("f%d", i), size: n, packed: n, crc: crc32.ChecksumIEEE(b)})
		}
		file := make([]byte, l.total())
		var dir []byte
		for i := range l.items {
			copy(file[l.items[i].offset:], l.local(&l.items[i]))
			dir = l.central(dir, &l.items[i])
		}
		if int64(len(dir)) != l.centralAll() {
			t.Errorf("limit %d: the directory has %d bytes of %d", limit, len(dir), l.centralAll())
		}
		copy(file[l.directory():], append(dir, l.tail([32]byte{})...))
		z, err := zip.NewReader(readerAt(file), int64(len(file)))
		if err != nil {
			t.Fatal(limit, err)
		}
		for i, f := range z.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(r); err != nil || int64(len(b)) != l.items[i].size {
				t.Errorf("limit %d: %s: %d bytes, %v", limit, f.Name, len(b), err)
			}
		}
	}
}

type readerAt []byte

func (r readerAt) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(r)) {
		return 0, io.EOF
	}
	n := copy(p, r[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// FuzzTailComment: every comment is one that we would write, or none.
func FuzzTailComment(f *testing.F) {
	f.Add(tailComment(sha256.Sum256(nil)))
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		if sum, ok := parseTailComment(s); ok && tailComment(sum) != s {
			t.Errorf("%q", s)
		}
	})
}
