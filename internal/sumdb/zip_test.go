package sumdb

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/goferry/goferry/internal/goproxy"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"
)

var zipModule = module.Version{Path: "example.com/m", Version: "v1.0.0"}

const zipPrefix = "example.com/m@v1.0.0/"

// rawZip writes a zip without any rule. An entry with size ≥ 0 declares that size.
type rawEntry struct {
	name string
	data string
	size int64 // declared; 0 means what data has
}

func rawZip(t testing.TB, entries ...rawEntry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, e := range entries {
		var comp bytes.Buffer
		fw, err := flate.NewWriter(&comp, flate.BestCompression)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(fw, e.data)
		fw.Close()
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate, CRC32: crc32.ChecksumIEEE([]byte(e.data)), CompressedSize64: uint64(comp.Len()), UncompressedSize64: uint64(len(e.data))}
		if e.size != 0 {
			h.UncompressedSize64 = uint64(e.size)
		}
		out, err := w.CreateRaw(h)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(comp.Bytes())
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func one(name, data string) []rawEntry { return []rawEntry{{name: zipPrefix + name, data: data}} }

// zips are the cases of the table and the seeds of the fuzz target.
func zips() map[string]struct {
	entries []rawEntry
	ok      bool
} {
	type c = struct {
		entries []rawEntry
		ok      bool
	}
	return map[string]c{
		"good":                    {[]rawEntry{{name: zipPrefix + "go.mod", data: "module example.com/m\n"}, {name: zipPrefix + "a/b.go", data: "package a\n"}}, true},
		"empty":                   {nil, true},
		"prefix only":             {one("", ""), true},
		"folders":                 {append(one("a/", ""), one("a/b/", "")...), true},
		"folder twice":            {append(one("a/", ""), one("a/", "")...), true},
		"unicode":                 {one("é/世界.go", ""), true},
		"dot dot":                 {one("../x.go", ""), false},
		"dot dot inside":          {one("a/../../x.go", ""), false},
		"rooted":                  {[]rawEntry{{name: "/etc/passwd"}}, false},
		"rooted behind prefix":    {one("/etc/passwd", ""), false},
		"other version":           {[]rawEntry{{name: "example.com/m@v1.0.1/a.go"}}, false},
		"other module":            {[]rawEntry{{name: "example.com/n@v1.0.0/a.go"}}, false},
		"no prefix":               {[]rawEntry{{name: "a.go"}}, false},
		"prefix without slash":    {[]rawEntry{{name: "example.com/m@v1.0.0"}}, false},
		"backslash":               {one(`a\b.go`, ""), false},
		"device":                  {one("aux.go", ""), false},
		"trailing dot":            {one("a./b.go", ""), false},
		"control":                 {one("a\x01.go", ""), false},
		"bad utf-8":               {one("a\xff.go", ""), false},
		"double slash":            {one("a//b.go", ""), false},
		"empty folder name":       {one("/", ""), false},
		"case":                    {append(one("A.go", ""), one("a.go", "")...), false},
		"case of folders":         {append(one("A/x.go", ""), one("a/y.go", "")...), false},
		"kelvin":                  {append(one("K.go", ""), one("\u212a.go", "")...), false},
		"long s":                  {append(one("ſ.go", ""), one("S.go", "")...), false},
		"sigma":                   {append(one("σ.go", ""), one("ς.go", "")...), false},
		"twice":                   {append(one("a.go", "1"), one("a.go", "2")...), false},
		"file and folder":         {append(one("a", ""), one("a/b.go", "")...), false},
		"folder and file":         {append(one("a/", ""), one("a", "")...), false},
		"nested go.mod":           {one("sub/go.mod", "module x\n"), false},
		"nested GO.MOD":           {one("sub/GO.MOD", ""), false},
		"GO.mod":                  {one("GO.mod", ""), false},
		"go.mod is a folder":      {one("go.mod/", ""), true},
		"go.mod is a folder deep": {one("a/go.mod/x", ""), true},
		"huge go.mod":             {[]rawEntry{{name: zipPrefix + "go.mod", size: modzip.MaxGoMod + 1}}, false},
		"largest go.mod":          {[]rawEntry{{name: zipPrefix + "go.mod", size: modzip.MaxGoMod}}, true},
		"huge LICENSE":            {[]rawEntry{{name: zipPrefix + "LICENSE", size: modzip.MaxLICENSE + 1}}, false},
		"huge other":              {[]rawEntry{{name: zipPrefix + "x", size: modzip.MaxLICENSE + 1}}, true},
		"largest":                 {[]rawEntry{{name: zipPrefix + "x", size: modzip.MaxZipFile}}, true},
		"too large":               {[]rawEntry{{name: zipPrefix + "x", size: modzip.MaxZipFile + 1}}, false},
		"too large together":      {[]rawEntry{{name: zipPrefix + "x", size: modzip.MaxZipFile}, {name: zipPrefix + "y", data: "1"}}, false},
		"size overflows":          {[]rawEntry{{name: zipPrefix + "x", size: -2}}, false},
		"sizes overflow":          {[]rawEntry{{name: zipPrefix + "x", size: 1<<63 - 1}, {name: zipPrefix + "y", size: 1<<63 - 1}}, false},
	}
}

func check(t testing.TB, data []byte) error {
	return CheckZip(t.Context(), zipModule, bytes.NewReader(data), int64(len(data)))
}

// modCheck is what x/mod/zip says.
func modCheck(t testing.TB, data []byte) error {
	t.Helper()
	name := filepath.Join(t.TempDir(), "m.zip")
	if err := os.WriteFile(name, data, 0o666); err != nil {
		t.Fatal(err)
	}
	_, err := modzip.CheckZip(zipModule, name)
	return err
}

func TestCheckZip(t *testing.T) {
	for name, tt := range zips() {
		t.Run(name, func(t *testing.T) {
			data := rawZip(t, tt.entries...)
			err := check(t, data)
			if (err == nil) != tt.ok || err != nil && !errors.Is(err, goproxy.ErrMismatch) {
				t.Errorf("CheckZip: %v; want ok %v", err, tt.ok)
			}
			if ref := modCheck(t, data); (ref == nil) != tt.ok {
				t.Errorf("x/mod says %v; the table says ok %v", ref, tt.ok)
			}
		})
	}
	for _, m := range []module.Version{{Path: "example.com/m", Version: "v1.0"}, {Path: "example.com/m", Version: "v2.0.0"}, {Path: "..", Version: "v1.0.0"}} {
		data := rawZip(t)
		if err := CheckZip(t.Context(), m, bytes.NewReader(data), int64(len(data))); !errors.Is(err, goproxy.ErrMismatch) {
			t.Errorf("%v: %v", m, err)
		}
	}
	if err := check(t, nil); !errors.Is(err, goproxy.ErrMismatch) {
		t.Errorf("no bytes: %v", err)
	}
	if err := CheckZip(t.Context(), zipModule, bytes.NewReader(nil), modzip.MaxZipFile+1); !errors.Is(err, goproxy.ErrMismatch) {
		t.Errorf("size over the limit: %v", err)
	}
}

// hashZip must also agree with dirhash.HashZip, entry data included.
func FuzzCheckZip(f *testing.F) {
	for _, tt := range zips() {
		f.Add(rawZip(f, tt.entries...))
	}
	good := rawZip(f, one("a.go", "package a\n")...)
	f.Add(append([]byte("junk in front"), good...))
	f.Add(good[:len(good)-1])
	f.Add([]byte("not a zip"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, want := check(t, data), modCheck(t, data)
		if (got == nil) != (want == nil) {
			t.Fatalf("CheckZip: %v; x/mod: %v", got, want)
		}
		if got != nil {
			if !errors.Is(got, goproxy.ErrMismatch) {
				t.Errorf("%v is no mismatch", got)
			}
			return
		}
		name := filepath.Join(t.TempDir(), "m.zip")
		if err := os.WriteFile(name, data, 0o666); err != nil {
			t.Fatal(err)
		}
		wantSum, wantErr := dirhash.HashZip(name, dirhash.Hash1)
		gotSum, gotErr := hashZip(t.Context(), zipModule, bytes.NewReader(data), int64(len(data)))
		if gotSum != wantSum || (gotErr == nil) != (wantErr == nil) {
			t.Errorf("hashZip = %q, %v; dirhash: %q, %v", gotSum, gotErr, wantSum, wantErr)
		}
	})
}

func FuzzFold(f *testing.F) {
	for _, s := range [][2]string{{"a", "A"}, {"K", "\u212a"}, {"ſ", "s"}, {"ß", "ss"}, {"σ", "ς"}, {"İ", "i"}, {"a", "b"}, {"\x7f", "\x7f"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		a, b = strings.ToValidUTF8(a, ""), strings.ToValidUTF8(b, "")
		for _, b := range []string{b, strings.ToUpper(a), strings.ToLower(a), strings.ToTitle(a)} {
			if got, want := fold(a) == fold(b), strings.EqualFold(a, b); got != want {
				t.Errorf("fold says %v for %q and %q; EqualFold says %v", got, a, b, want)
			}
		}
	})
}

// A bomb is stopped at the size that it declares.
func TestZipBomb(t *testing.T) {
	bomb := rawZip(t, rawEntry{name: zipPrefix + "x", data: strings.Repeat("\x00", 8<<20), size: 10})
	if err := check(t, bomb); err != nil {
		t.Fatalf("structure: %v", err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := hashZip(t.Context(), zipModule, bytes.NewReader(bomb), int64(len(bomb)))
	runtime.ReadMemStats(&after)
	if !errors.Is(err, goproxy.ErrMismatch) {
		t.Errorf("hashZip: %v", err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes were allocated", n)
	}
	short := rawZip(t, rawEntry{name: zipPrefix + "x", data: "abc", size: 10})
	if _, err := hashZip(t.Context(), zipModule, bytes.NewReader(short), int64(len(short))); !errors.Is(err, goproxy.ErrMismatch) {
		t.Errorf("entry shorter than declared: %v", err)
	}
}

// directory makes the trailer of a zip with n minimal entries, and declares count of them.
func directory(n int, count uint16) []byte {
	var b bytes.Buffer
	h := append(make([]byte, 0, 128), entryMark...)
	h = h[:46]
	for i := range n {
		name := strconv.AppendInt(append(h[46:], zipPrefix...), int64(i), 16)
		binary.LittleEndian.PutUint16(h[28:], uint16(len(name)))
		b.Write(h[:46])
		b.Write(name)
	}
	end := make([]byte, 22)
	copy(end, "PK\x05\x06")
	binary.LittleEndian.PutUint16(end[8:], count)
	binary.LittleEndian.PutUint16(end[10:], count)
	binary.LittleEndian.PutUint32(end[12:], uint32(b.Len()))
	b.Write(end)
	return b.Bytes()
}

// The trailer's count may lie: archive/zip compares 16 bits of it.
func TestZipDirectoryLimits(t *testing.T) {
	if err := check(t, directory(70000, 70000%(1<<16))); err != nil {
		t.Errorf("70,000 entries: %v", err)
	}
	for _, n := range []int{MaxZipEntries + 1, 1000000} {
		data := directory(n, uint16(n%(1<<16)))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := check(t, data)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, errDirectory) || !errors.Is(err, goproxy.ErrMismatch) {
			t.Errorf("%d entries: %v", n, err)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 200<<20 {
			t.Errorf("%d entries: %d MiB were allocated", n, got>>20)
		}
	}
	// Few entries, but long: names and comments of 64 KiB.
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := range 1200 {
		if _, err := w.CreateRaw(&zip.FileHeader{Name: fmt.Sprintf("%s%d", zipPrefix, i), Comment: strings.Repeat("c", 1<<16-1)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := check(t, b.Bytes()); !errors.Is(err, errDirectory) {
		t.Errorf("long directory: %v", err)
	}
}

// The count must not depend on how the directory is cut into reads.
func TestGuardCount(t *testing.T) {
	data := directory(1000, 1000)
	for _, size := range []int{1, 2, 3, 4, 5, 7, 64, 4096} {
		g := newGuard(t.Context(), bytes.NewReader(data))
		g.counting = true
		buf := make([]byte, size)
		for off := 0; off < len(data); off += size {
			if _, err := g.ReadAt(buf, int64(off)); err != nil && err != io.EOF {
				t.Fatal(err)
			}
		}
		if g.entries != 1000 || g.read != int64(len(data)) {
			t.Errorf("reads of %d bytes: counted %d entries in %d bytes", size, g.entries, g.read)
		}
	}
}

// A large zip is hashed by several goroutines: to the same sum, and with the same eyes.
func TestHashZipParts(t *testing.T) {
	m := module.Version{Path: "example.com/m", Version: "v1.0.0"}
	var buf bytes.Buffer
	zw := zip.NewWriter(&buf)
	random := rand.NewChaCha8([32]byte{7})
	for i := range 700 {
		w, err := zw.Create(fmt.Sprintf("%s@%s/d%d/f%d", m.Path, m.Version, i%7, 700-i))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(w, random, int64(i*40)); err != nil {
			t.Fatal(err)
		}
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	data := buf.Bytes()
	if len(data) < parallelSize || workers(int64(len(data)), 700) < 2 && runtime.GOMAXPROCS(0) > 1 {
		t.Fatalf("%d bytes are hashed by one goroutine", len(data))
	}
	file := filepath.Join(t.TempDir(), "zip")
	if err := os.WriteFile(file, data, 0o666); err != nil {
		t.Fatal(err)
	}
	want, err := dirhash.HashZip(file, dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got, err := hashZip(t.Context(), m, bytes.NewReader(data), int64(len(data))); got != want || err != nil {
			t.Errorf("hash %s, %v; want %s", got, err, want)
		}
	}
	data[len(data)/2] ^= 1 // within the contents: the checksum of an entry is wrong
	if got, err := hashZip(t.Context(), m, bytes.NewReader(data), int64(len(data))); !errors.Is(err, goproxy.ErrMismatch) || got != "" {
		t.Errorf("damaged: %q, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := hashZip(ctx, m, bytes.NewReader(data), int64(len(data))); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
