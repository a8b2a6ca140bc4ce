package toolchain

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
)

// Sums are the SHA-256 of the files of a toolchain, by their names in its module zip: with
// slashes, without the module's prefix, and "_go.mod" for "go.mod". Since the hash of the
// checksum database is one over exactly these, Sums whose H1 is the database's are as good
// as the zip itself for saying which file of a tree was altered.
type Sums map[string][sha256.Size]byte

// ErrSums says that a text is no list of Sums.
var ErrSums = errors.New("no list of file hashes")

// maxSums bounds a list of hashes, in files; a release has some 12,000.
const maxSums = 1 << 17

// H1 is the hash of the tree as the checksum database records it for t. Source:
// golang.org/x/mod/sumdb/dirhash.Hash1.
func (s Sums) H1(t Target) string {
	prefix := "  " + t.Module().String() + "/"
	h := sha256.New()
	var line []byte
	for _, name := range slices.Sorted(maps.Keys(s)) {
		sum := s[name]
		line = append(append(append(hex.AppendEncode(line[:0], sum[:]), prefix...), name...), '\n')
		h.Write(line)
	}
	return "h1:" + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// WriteTo writes s as sha256sum(1) would, sorted, in the form that ReadSums reads.
func (s Sums) WriteTo(w io.Writer) (int64, error) {
	b := bufio.NewWriter(w)
	var n int64
	for _, name := range slices.Sorted(maps.Keys(s)) {
		k, err := fmt.Fprintf(b, "%x  %s\n", s[name], name)
		n += int64(k)
		if err != nil {
			return n, err
		}
	}
	return n, b.Flush()
}

// ReadSums reads what WriteTo wrote. The error matches ErrSums, or is r's own.
func ReadSums(r io.Reader) (Sums, error) {
	s := Sums{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		hash, name, ok := strings.Cut(lines.Text(), "  ")
		var sum [sha256.Size]byte
		if n, err := hex.Decode(sum[:], []byte(hash[:min(len(hash), 2*sha256.Size)])); !ok || err != nil || n != len(sum) || len(hash) != 2*len(sum) || !cleanName(name) {
			return nil, fmt.Errorf("line %d: %w", len(s)+1, ErrSums)
		}
		if _, twice := s[name]; twice || len(s) == maxSums {
			return nil, fmt.Errorf("line %d: %w", len(s)+1, ErrSums)
		}
		s[name] = sum
	}
	return s, lines.Err()
}

// cleanName reports whether name can be the name of a file below a folder: slashes, no
// step upwards, no drive, nothing that Windows takes for something else.
func cleanName(name string) bool {
	return name != "" && name != "." && path.Clean(name) == name && !path.IsAbs(name) &&
		name != ".." && !strings.HasPrefix(name, "../") && !strings.ContainsAny(name, "\\:\x00\n\r")
}

// inModule reports whether the file name (with slashes, relative to GOROOT) of a
// distribution is part of its toolchain module. Source: cmd/distpack, which leaves these
// folders out.
func inModule(name string) bool {
	top, _, _ := strings.Cut(name, "/")
	return top != "api" && top != "doc" && top != "misc" && top != "test"
}

// moduleName is the name that the file name of a GOROOT has in a module zip: a go.mod
// file would end the module there. Source: cmd/distpack.
func moduleName(name string) string {
	if path.Base(name) == "go.mod" {
		return path.Join(path.Dir(name), "_go.mod")
	}
	return name
}

// rootName is the reverse of moduleName.
func rootName(name string) string {
	if path.Base(name) == "_go.mod" {
		return path.Join(path.Dir(name), "go.mod")
	}
	return name
}

// executable reports whether the file name of a GOROOT is a program: module zips keep no
// modes. Source: cmd/go/internal/toolchain.
func executable(name string) bool {
	return strings.HasPrefix(name, "bin/") || strings.HasPrefix(name, "pkg/tool/") ||
		strings.HasPrefix(name, "lib/go_") && strings.HasSuffix(name, "_exec") ||
		strings.HasPrefix(name, "lib/wasm/go_") && strings.HasSuffix(name, "_exec")
}
