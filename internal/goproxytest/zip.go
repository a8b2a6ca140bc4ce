package goproxytest

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

// zipFile is a file for x/mod/zip, which makes zips that the go command accepts.
type zipFile struct{ name, data string }

func (f zipFile) Path() string                 { return f.name }
func (f zipFile) Lstat() (fs.FileInfo, error)  { return f, nil }
func (f zipFile) Open() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(f.data)), nil }
func (f zipFile) Name() string                 { return f.name }
func (f zipFile) Size() int64                  { return int64(len(f.data)) }
func (f zipFile) Mode() fs.FileMode            { return 0o644 }
func (f zipFile) ModTime() time.Time           { return time.Time{} }
func (f zipFile) IsDir() bool                  { return false }
func (f zipFile) Sys() any                     { return nil }

func makeZip(m module.Version, files map[string]string) ([]byte, error) {
	var list []modzip.File
	for name, data := range files {
		if name != ".info" && name != ".mod" {
			list = append(list, zipFile{name, data})
		}
	}
	slices.SortFunc(list, func(a, b modzip.File) int { return strings.Compare(a.Path(), b.Path()) })
	var buf bytes.Buffer
	if err := modzip.Create(&buf, m, list); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// middleOfFile is a place inside the contents of the largest file of a zip, where
// one wrong byte leaves the structure as it is.
func middleOfFile(b blob) (int64, error) {
	zr, err := zip.NewReader(b, b.Size())
	if err != nil {
		return 0, err
	}
	at, size := b.Size()/2, uint64(0)
	for _, f := range zr.File {
		if f.CompressedSize64 > size {
			off, err := f.DataOffset()
			if err != nil {
				return 0, err
			}
			at, size = off+int64(f.CompressedSize64/2), f.CompressedSize64
		}
	}
	return at, nil
}

// bombSize is past what a module zip may hold: 500 MiB.
const bombSize = 600 << 20

// BadZips lists the names that /badzip knows:
//
//	dotdot     a name with ".."
//	abs        a name that begins with a slash
//	backslash  a name with a backslash
//	prefix     files of another module
//	casefold   two names that differ in case alone
//	dup        one name twice
//	symlink    a symbolic link; x/mod/zip does not look at the mode and makes a file of it
//	nested     a go.mod in a folder
//	reserved   a name that Windows reserves
//	bomb       600 MiB of zeros in half a megabyte
//	bomblie    the same, declared as 1 KiB
//	truncated  the first half of a good zip, with the length that goes with it
//	notzip     a line of text
//	empty      no byte at all
func BadZips() []string {
	return []string{"dotdot", "abs", "backslash", "prefix", "casefold", "dup", "symlink", "nested", "reserved",
		"bomb", "bomblie", "truncated", "notzip", "empty"}
}

// badZip makes a zip that breaks a rule, in place of m's.
func badZip(name string, m *mod) ([]byte, error) {
	pre := m.Path + "@" + m.Version.Version + "/"
	switch name {
	case "empty":
		return nil, nil
	case "notzip":
		return []byte("this is not a zip\n"), nil
	case "truncated":
		half := make([]byte, m.zip.Size()/2)
		_, err := m.zip.ReadAt(half, 0)
		return half, err
	case "bomb":
		return bomb(pre, string(m.mod), bombSize)
	case "bomblie":
		return bomb(pre, string(m.mod), 1<<10)
	}
	return badNames(name, pre, string(m.mod))
}

// badNames makes a zip whose structure is good and whose names are not.
func badNames(name, pre, gomod string) ([]byte, error) {
	extra := map[string][]string{
		"dotdot":    {pre + "../../evil.go"},
		"abs":       {"/evil.go"},
		"backslash": {pre + `..\evil.go`},
		"prefix":    {"example.org/other@v9.9.9/evil.go"},
		"casefold":  {pre + "README.md", pre + "readme.md"},
		"dup":       {pre + "twice.go", pre + "twice.go"},
		"symlink":   {pre + "link"},
		"nested":    {pre + "sub/go.mod"},
		"reserved":  {pre + "aux.go"},
	}[name]
	if extra == nil {
		return nil, fmt.Errorf("no bad zip %q", name)
	}
	var buf bytes.Buffer
	zw := zip.NewWriter(&buf)
	add := func(h *zip.FileHeader, data string) error {
		w, err := zw.CreateHeader(h)
		if err == nil {
			_, err = io.WriteString(w, data)
		}
		return err
	}
	if err := add(&zip.FileHeader{Name: pre + "go.mod", Method: zip.Deflate}, gomod); err != nil {
		return nil, err
	}
	for _, e := range extra {
		h, data := &zip.FileHeader{Name: e, Method: zip.Deflate}, "package evil\n"
		if name == "symlink" {
			h.SetMode(fs.ModeSymlink | 0o777)
			data = "../../../../etc/passwd"
		}
		if err := add(h, data); err != nil {
			return nil, err
		}
	}
	err := zw.Close()
	return buf.Bytes(), err
}

// bomb makes a zip with 600 MiB of zeros that the header says to be declared bytes.
func bomb(pre, gomod string, declared uint64) ([]byte, error) {
	data, err := zeros(bombSize >> 20)
	if err != nil {
		return nil, err
	}
	crc, mib := uint32(0), make([]byte, 1<<20)
	for range bombSize >> 20 {
		crc = crc32.Update(crc, crc32.IEEETable, mib)
	}
	var buf bytes.Buffer
	zw := zip.NewWriter(&buf)
	w, err := zw.Create(pre + "go.mod")
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(w, gomod); err != nil {
		return nil, err
	}
	w, err = zw.CreateRaw(&zip.FileHeader{Name: pre + "bomb.bin", Method: zip.Deflate, CRC32: crc,
		CompressedSize64: uint64(len(data)), UncompressedSize64: declared})
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	err = zw.Close()
	return buf.Bytes(), err
}

// zeros is a deflate stream of n MiB of zeros. The second MiB and all after it
// are the same bits, since they refer to zeros before them: one is compressed.
func zeros(n int) ([]byte, error) {
	var buf bytes.Buffer
	fw, err := flate.NewWriter(&buf, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	mib := make([]byte, 1<<20)
	mark := [3]int{}
	for i := range 2 {
		if _, err := fw.Write(mib); err != nil {
			return nil, err
		}
		if err := fw.Flush(); err != nil {
			return nil, err
		}
		mark[i] = buf.Len()
	}
	if err := fw.Close(); err != nil {
		return nil, err
	}
	b := buf.Bytes()
	out := slices.Clone(b[:mark[0]])
	for range n - 1 {
		out = append(out, b[mark[0]:mark[1]]...)
	}
	return append(out, b[mark[1]:]...), nil
}
