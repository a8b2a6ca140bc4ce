package toolchain

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"cmp"
	"compress/flate"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goferry/goferry/internal/goproxy"
)

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
