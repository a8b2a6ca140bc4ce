package sumdb

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"unicode"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
	"golang.org/x/sync/errgroup"

	"github.com/goferry/goferry/internal/goproxy"
)

// Limits on the central directory, which archive/zip holds in memory as a whole.
// x/mod/zip has none. The largest known module has some 100,000 files, a Go toolchain 15,000.
const (
	MaxZipEntries   = 1 << 18  // entries
	MaxZipDirectory = 64 << 20 // bytes
)

// CheckZip checks that r, of size bytes, has the structure of m's module zip: it
// accepts what golang.org/x/mod/zip.CheckZip accepts, up to MaxZipEntries and
// MaxZipDirectory, but needs no file on disk. It decompresses nothing. The error matches
// goproxy.ErrMismatch, or is r's own or the cause of ctx.
func CheckZip(ctx context.Context, m module.Version, r io.ReaderAt, size int64) error {
	g := newGuard(ctx, r)
	_, err := checkZip(m, g, size)
	return g.reason(err)
}

// hashZip is CheckZip, and then the "h1:" hash of the content. It finds out
// whether every entry decompresses to the size and checksum that it declares.
func hashZip(ctx context.Context, m module.Version, r io.ReaderAt, size int64) (string, error) {
	g := newGuard(ctx, r)
	z, err := checkZip(m, g, size)
	if err != nil {
		return "", g.reason(err)
	}
	// archive/zip stops an entry at the size it declares, and checkZip has added those up.
	sums := make([][sha256.Size]byte, len(z.File))
	if n := workers(size, len(z.File)); n > 1 {
		err = hashParts(ctx, r, size, sums, n)
	} else {
		err = g.reason(hashEntries(z, sums, 0, len(sums)))
	}
	if err != nil {
		return "", err
	}
	return h1(z, sums), nil
}

const (
	parallelSize    = 4 << 20 // bytes of a zip from which it is worth more than one goroutine
	parallelEntries = 1 << 15 // entries up to which each may hold a directory of its own
	parallelMost    = 4
)

// workers is how many goroutines hash a zip. The client waits for nothing else: all bytes have come.
func workers(size int64, entries int) int {
	if size < parallelSize || entries > parallelEntries {
		return 1
	}
	return min(runtime.GOMAXPROCS(0), parallelMost, entries)
}

// hashParts is hashEntries for n runs of entries at a time. Each has a reader of the zip of its own, since
// entries are read through a window that moves.
func hashParts(ctx context.Context, r io.ReaderAt, size int64, sums [][sha256.Size]byte, n int) error {
	eg, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	const run = 64 // entries: enough to read on where the last one ended, few enough to share out evenly
	for range n {
		eg.Go(func() error {
			g := newGuard(ctx, r)
			z, err := zip.NewReader(g, size)
			if err == nil && len(z.File) != len(sums) {
				err = errors.New("the directory changed while it was read")
			}
			for err == nil {
				from := int(next.Add(run)) - run
				if from >= len(sums) {
					return nil
				}
				err = hashEntries(z, sums, from, min(from+run, len(sums)))
			}
			return g.reason(err)
		})
	}
	return eg.Wait()
}

// hashEntries puts the hashes of the entries from…to-1 into sums.
func hashEntries(z *zip.Reader, sums [][sha256.Size]byte, from, to int) error {
	h := sha256.New()
	buf := make([]byte, 64<<10)
	for i, f := range z.File[from:to] {
		h.Reset()
		rc, err := f.Open()
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		_, err = io.CopyBuffer(h, rc, buf)
		if err := cmp.Or(err, rc.Close()); err != nil {
			return err
		}
		h.Sum(sums[from+i][:0])
	}
	return nil
}

// h1 is dirhash.Hash1 of entries whose hashes are known: the hash of a list of them, sorted by name. checkZip
// bars names with line breaks.
func h1(z *zip.Reader, sums [][sha256.Size]byte) string {
	order := make([]int, len(sums))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(z.File[a].Name, z.File[b].Name) })
	list := sha256.New()
	for _, i := range order {
		fmt.Fprintf(list, "%x  %s\n", sums[i], z.File[i].Name)
	}
	return "h1:" + base64.StdEncoding.EncodeToString(list.Sum(nil))
}

// checkZip applies the rules of x/mod/zip's CheckZip.
func checkZip(m module.Version, g *guard, size int64) (*zip.Reader, error) {
	if v := module.CanonicalVersion(m.Version); v != m.Version {
		return nil, fmt.Errorf("version %q is not canonical (should be %q)", m.Version, v)
	}
	if err := module.Check(m.Path, m.Version); err != nil {
		return nil, err
	}
	if size > modzip.MaxZipFile {
		return nil, fmt.Errorf("zip has %d bytes, limit is %d", size, modzip.MaxZipFile)
	}
	g.counting = true
	z, err := zip.NewReader(g, size)
	g.counting = false
	if err != nil {
		return nil, err
	}
	prefix := m.Path + "@" + m.Version + "/"
	seen := make(names)
	var total int64
	for _, f := range z.File {
		if err := checkEntry(f, prefix, seen, &total); err != nil {
			return nil, fmt.Errorf("%q: %w", clip(f.Name, 200), err)
		}
	}
	return z, nil
}

// checkEntry checks one entry and adds its size to total.
func checkEntry(f *zip.File, prefix string, seen names, total *int64) error {
	name, ok := strings.CutPrefix(f.Name, prefix)
	if !ok {
		return fmt.Errorf("name does not begin with %q", prefix)
	}
	if name == "" {
		return nil
	}
	name, isDir := strings.CutSuffix(name, "/")
	if path.Clean(name) != name {
		return errors.New("name is not clean")
	}
	if err := module.CheckFilePath(name); err != nil {
		return err
	}
	if err := seen.add(name, isDir); err != nil {
		return err
	}
	if isDir {
		return nil
	}
	if base := path.Base(name); strings.EqualFold(base, "go.mod") && name != "go.mod" {
		return errors.New("go.mod is not in the root, or not in lower case")
	}
	if f.UncompressedSize64 > uint64(modzip.MaxZipFile-*total) {
		return fmt.Errorf("content is larger than %d bytes", modzip.MaxZipFile)
	}
	size := int64(f.UncompressedSize64)
	*total += size
	if name == "go.mod" && size > modzip.MaxGoMod || name == "LICENSE" && size > modzip.MaxLICENSE {
		return fmt.Errorf("has %d bytes, limit is %d", size, modzip.MaxGoMod)
	}
	return nil
}

// names finds names that collide where case does not count, and names that are
// both a file and a folder. The keys are folded.
type names map[string]entry

type entry struct {
	name  string
	isDir bool
}

func (n names) add(name string, isDir bool) error {
	for {
		key := fold(name)
		old, ok := n[key]
		switch {
		case !ok:
			n[key] = entry{name, isDir}
		case old.name != name:
			return fmt.Errorf("collides with %q where case does not count", clip(old.name, 200))
		case old.isDir != isDir:
			return fmt.Errorf("%q is both a file and a folder", clip(name, 200))
		case !isDir:
			return errors.New("is there twice")
		default:
			return nil // a known folder; so are its parents
		}
		if name, isDir = path.Dir(name), true; name == "." {
			return nil
		}
	}
}

// fold maps names to the same string exactly if strings.EqualFold says they are equal.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r - 'a' + 'A'
		}
		if r < unicode.MaxASCII {
			return r
		}
		least := r
		for x := unicode.SimpleFold(r); x != r; x = unicode.SimpleFold(x) {
			least = min(least, x)
		}
		return least
	}, s)
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}

// A guard stands between archive/zip and the bytes. It stops when the context ends, tells faults of
// the reader from faults of the zip, and counts directory entries while the
// directory is read: the count in the zip's own trailer is not to be trusted.
type guard struct {
	r     io.ReaderAt
	cause func() error
	fault error // of the reader or the context; not the zip's

	counting bool
	read     int64
	entries  int
	tail     []byte // end of the last read, for a mark that lies across two
	next     int64  // offset behind the last read
}

func newGuard(ctx context.Context, r io.ReaderAt) *guard {
	return &guard{r: &window{r: r}, cause: func() error { return context.Cause(ctx) }}
}

var errDirectory = fmt.Errorf("zip directory has more than %d entries or %d bytes", MaxZipEntries, MaxZipDirectory)

const entryMark = "PK\x01\x02" // opens each directory entry

// ReadAt is used by one goroutine.
func (g *guard) ReadAt(p []byte, off int64) (int, error) {
	if err := g.cause(); err != nil {
		g.fault = err
		return 0, err
	}
	n, err := g.r.ReadAt(p, off)
	if err != nil && err != io.EOF && g.fault == nil {
		g.fault = err
	}
	if g.counting {
		g.count(p[:n], off)
		if g.read > MaxZipDirectory || g.entries > MaxZipEntries {
			return 0, errDirectory
		}
	}
	return n, err
}

func (g *guard) count(p []byte, off int64) {
	g.read += int64(len(p))
	g.entries += bytes.Count(p, []byte(entryMark))
	const part = len(entryMark) - 1
	if off != g.next {
		g.tail = g.tail[:0]
	}
	seam := append(g.tail, p[:min(len(p), part)]...)
	g.entries += bytes.Count(seam, []byte(entryMark))
	if len(p) >= part {
		seam = append(seam[:0], p[len(p)-part:]...)
	}
	g.tail = append(seam[:0], seam[max(0, len(seam)-part):]...)
	g.next = off + int64(len(p))
}

// reason says whose fault err is.
func (g *guard) reason(err error) error {
	switch {
	case err == nil:
		return nil
	case g.fault != nil:
		return g.fault
	}
	return fmt.Errorf("%w: not a valid module zip: %w", goproxy.ErrMismatch, err)
}
