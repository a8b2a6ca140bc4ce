package bundle_test

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/bundle"
)

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// forge makes a zip as Go's own writer does, the way somebody would who wants to deceive: the headers are right, and
// what they say is what the caller wants. Extra entries are written as they are given.
func forge(t testing.TB, m bundle.Manifest, sbom []byte, rest ...[2]string) []byte {
	t.Helper()
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	add := func(name string, data []byte, method uint16) {
		packed := data
		if method == zip.Deflate {
			var d bytes.Buffer
			w, _ := flate.NewWriter(&d, 9)
			w.Write(data)
			w.Close()
			packed = d.Bytes()
		}
		h := &zip.FileHeader{Name: name, Method: method, CRC32: crc32.ChecksumIEEE(data), CompressedSize64: uint64(len(packed)), UncompressedSize64: uint64(len(data)),
			ReaderVersion: 20, CreatorVersion: 3<<8 | 20, ExternalAttrs: 0o100644 << 16}
		//lint:ignore SA1019 Modified adds a field of its own, which no bundle has
		h.ModifiedDate, h.ModifiedTime = dosDate(m.Time), dosClock(m.Time)
		w, err := z.CreateRaw(h)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(packed)
	}
	add(bundle.ManifestName, raw, zip.Deflate)
	if len(rest) > 0 && rest[0][0] == bundle.SignatureName {
		add(rest[0][0], []byte(rest[0][1]), zip.Store)
		rest = rest[1:]
	}
	add(bundle.SBOMName, sbom, zip.Deflate)
	z.Flush()
	comment := "goferry bundle 1, head SHA-256 " + sha(b.Bytes())
	z.SetComment(fmt.Sprintf("%s %08x", comment, crc32.ChecksumIEEE([]byte(comment))))
	for _, f := range rest {
		add(f[0], []byte(f[1]), zip.Store)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func dosDate(t time.Time) uint16 { return uint16(t.Day() + int(t.Month())<<5 + (t.Year()-1980)<<9) }
func dosClock(t time.Time) uint16 {
	return uint16(t.Second()/2 + t.Minute()<<5 + t.Hour()<<11)
}

// manifestOf is a manifest whose ID is right.
func manifestOf(entries ...bundle.Entry) bundle.Manifest {
	m := bundle.Manifest{Schema: bundle.Schema, Time: planTime, Entries: entries}
	m.ID = bundle.ContentID(entries, nil)
	return m
}

// TestForged: what a manifest asks for that no bundle has is refused before anything is read for it.
func TestForged(t *testing.T) {
	sbom := []byte("{}")
	sbomEntry := bundle.Entry{Name: bundle.SBOMName, Size: 2, SHA256: sha(sbom)}
	x := func(name string) bundle.Entry { return bundle.Entry{Name: name, Size: 1, SHA256: sha([]byte("x"))} }
	newer := manifestOf(sbomEntry)
	newer.Schema = bundle.Schema + 1
	wrongID := manifestOf(sbomEntry)
	wrongID.ID = strings.Repeat("0", 64)
	badBase := manifestOf(sbomEntry)
	badBase.Base = &bundle.Base{ID: "../../x"}
	badBase.ID = bundle.ContentID(badBase.Entries, badBase.Base)
	huge := x("example.com/m/@v/v1.0.0.zip")
	huge.Size = 1 << 62
	negative := x("example.com/m/@v/v1.0.0.zip")
	negative.Size = -1
	for _, test := range []struct {
		what string
		m    bundle.Manifest
		code bundle.Code
	}{
		{"a newer schema", newer, bundle.CodeTooNew},
		{"no schema", bundle.Manifest{}, bundle.CodeRefused},
		{"another ID", wrongID, bundle.CodeRefused},
		{"a base that is none", badBase, bundle.CodeRefused},
		{"no SBOM", manifestOf(x("example.com/m/@v/list")), bundle.CodeRefused},
		{"out of the tree", manifestOf(x("../../etc/passwd"), sbomEntry), bundle.CodeRefused},
		{"absolute", manifestOf(sbomEntry, x("/etc/passwd")), bundle.CodeRefused},
		{"out of the tree by the middle", manifestOf(sbomEntry, x("example.com/../../@v/list")), bundle.CodeRefused},
		{"a backslash", manifestOf(x(`.goferry/..\..\x`), sbomEntry), bundle.CodeRefused},
		{"a drive of Windows", manifestOf(sbomEntry, x("C:/x/@v/list")), bundle.CodeRefused},
		{"a stream of Windows", manifestOf(x(".goferry/a:b"), sbomEntry), bundle.CodeRefused},
		{"a device of Windows", manifestOf(x(".goferry/con.txt"), sbomEntry), bundle.CodeRefused},
		{"a zero byte", manifestOf(x(".goferry/a\x00b"), sbomEntry), bundle.CodeRefused},
		{"a line break", manifestOf(x(".goferry/a\nb"), sbomEntry), bundle.CodeRefused},
		{"not of the protocol", manifestOf(sbomEntry, x("example.com/m/readme.md")), bundle.CodeRefused},
		{"not of a checksum database", manifestOf(sbomEntry, x("sumdb/sum.golang.org/other")), bundle.CodeRefused},
		{"a folder", manifestOf(x(".goferry/a/"), sbomEntry), bundle.CodeRefused},
		{"twice the same", manifestOf(sbomEntry, x("example.com/m/@v/list"), x("example.com/m/@v/list")), bundle.CodeRefused},
		{"out of order", manifestOf(x("example.com/m/@v/list"), sbomEntry), bundle.CodeRefused},
		{"the same but for case", manifestOf(x(".goferry/A"), x(".goferry/a"), sbomEntry), bundle.CodeRefused},
		{"a file and a folder", manifestOf(x(".goferry/a"), x(".goferry/a/b"), sbomEntry), bundle.CodeRefused},
		{"the manifest lists itself", manifestOf(x(bundle.ManifestName), sbomEntry), bundle.CodeRefused},
		{"a size beyond all", manifestOf(sbomEntry, huge), bundle.CodeRefused},
		{"a negative size", manifestOf(sbomEntry, negative), bundle.CodeRefused},
		{"no hash", manifestOf(sbomEntry, bundle.Entry{Name: "example.com/m/@v/list", Size: 1, SHA256: "abc"}), bundle.CodeRefused},
		{"more than there is", manifestOf(sbomEntry, bundle.Entry{Name: "example.com/m/@v/list", Size: 1 << 35, SHA256: sha(nil)}), bundle.CodeDamaged},
	} {
		file := filepath.Join(t.TempDir(), "x.bundle")
		write(t, file, forge(t, test.m, sbom))
		r, err := bundle.Open(file)
		if err == nil {
			r.Close()
			t.Errorf("%s: opened", test.what)
			continue
		}
		t.Log(wantCode(t, err, test.code))
	}
}

// TestForgedZip: what a zip has beside its manifest, or in another way than the manifest says, is refused.
func TestForgedZip(t *testing.T) {
	sbom := []byte("{}")
	entries := []bundle.Entry{{Name: bundle.SBOMName, Size: 2, SHA256: sha(sbom)}, {Name: "example.com/m/@v/list", Size: 3, SHA256: sha([]byte("abc"))}}
	m := manifestOf(entries...)
	list := [2]string{"example.com/m/@v/list", "abc"}
	good := forge(t, m, sbom, list)
	for _, test := range []struct {
		what string
		data []byte
		code bundle.DamageCode // empty where it is no bundle
	}{
		{"one more", forge(t, m, sbom, list, [2]string{"example.com/n/@v/list", "abc"}), bundle.DamageTail},
		{"one more, out of the tree", forge(t, m, sbom, list, [2]string{"../x", "abc"}), bundle.DamageTail},
		{"one less", forge(t, m, sbom), bundle.DamageCut},
		{"twice the same", forge(t, m, sbom, list, list), bundle.DamageTail},
		{"a longer entry", forge(t, m, sbom, [2]string{list[0], "abcd"}), bundle.DamageTail},
		{"a shorter entry", forge(t, m, sbom, [2]string{list[0], "ab"}), bundle.DamageCut},
		{"another name", forge(t, m, sbom, [2]string{"example.com/n/@v/list", "abc"}), bundle.DamageDirectory},
		{"something in front", append([]byte("#!/bin/sh\n"), good...), ""},
		{"something behind", append(bytes.Clone(good), "tail"...), bundle.DamageTail},
		{"two bundles", append(bytes.Clone(good), good...), bundle.DamageTail},
		{"another SBOM", forge(t, m, []byte("[]"), list), bundle.DamageManifest},
	} {
		file := filepath.Join(t.TempDir(), "x.bundle")
		write(t, file, test.data)
		_, err := bundle.Open(file)
		if test.code == "" {
			wantCode(t, err, bundle.CodeNotBundle)
		} else if d := wantCode(t, err, bundle.CodeDamaged).Damage; d.Code != test.code {
			t.Errorf("%s: %v", test.what, d)
		}
	}
	// The forger can do it: what is refused above is refused for what it is.
	file := filepath.Join(t.TempDir(), "x.bundle")
	write(t, file, good)
	r := open(t, file)
	if rep, err := r.Verify(t.Context(), nil, nil); err != nil {
		t.Errorf("%+v, %v", rep, err)
	}
	// Bytes that are not the entry's are found when it is read.
	write(t, file, forge(t, m, sbom, [2]string{list[0], "abd"}))
	if b, err := fs.ReadFile(open(t, file).FS(), list[0]); err == nil {
		t.Errorf("read %q", b)
	}
}

// TestBomb: a manifest that unpacks to more than a manifest may have, or that makes a large value of a short text, costs no memory.
func TestBomb(t *testing.T) {
	head := func(size uint32, packed []byte, crc uint32) []byte {
		b := binary.LittleEndian.AppendUint32(nil, 0x04034b50)
		b = append(b, 20, 0, 0, 0, 8, 0, 0, 0, 0, 0)
		b = binary.LittleEndian.AppendUint32(b, crc)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(packed)))
		b = binary.LittleEndian.AppendUint32(b, size)
		b = binary.LittleEndian.AppendUint16(b, uint16(len(bundle.ManifestName)))
		return append(append(append(b, 0, 0), bundle.ManifestName...), packed...)
	}
	pack := func(r io.Reader) []byte {
		var d bytes.Buffer
		w, _ := flate.NewWriter(&d, 9)
		io.Copy(w, r)
		w.Close()
		return d.Bytes()
	}
	many := []byte(`{"schema_version":1,"entries":[` + strings.Repeat("{},", 10<<20) + `{}]}`)
	zeros := pack(io.LimitReader(zero{}, 200<<20))
	for what, data := range map[string][]byte{
		"200 MiB that say they are":        head(200<<20, zeros, 0),
		"200 MiB that say they are 10 KiB": head(10<<10, zeros, 0),
		"10 million entries":               head(uint32(len(many)), pack(bytes.NewReader(many)), crc32.ChecksumIEEE(many)),
	} {
		file := filepath.Join(t.TempDir(), "x.bundle")
		write(t, file, data)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if r, err := bundle.Open(file); err == nil {
			r.Close()
			t.Fatalf("%s: opened", what)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 200<<20 {
			t.Errorf("%s: %d MiB", what, used>>20)
		}
	}
}

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }
