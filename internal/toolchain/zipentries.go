package toolchain

import (
	"cmp"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/sync/errgroup"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/sumdb"
)

// A zipBytes gives any part of a zip, from wherever it is.
type zipBytes interface {
	size() int64
	// section reads the n bytes from off on: all of them, or an error. Sections may be read side by side.
	section(ctx context.Context, off, n int64) io.ReadCloser
}

// A zipEntry is what the directory of a zip says about a file. None of it is believed.
type zipEntry struct {
	name   string // in the module
	crc    uint32
	bytes  int64 // unpacked
	packed int64
	method uint16
	at     int64 // where its own header is
	end    int64 // where the next thing begins
}

// A zipDir is the directory of a toolchain's module zip.
type zipDir struct {
	src     zipBytes
	entries map[string]zipEntry
	packed  int64 // all bytes before the directory
}

// The limits of what is believed of a zip: a release has 240 MB in 15,000 files.
const (
	maxZipContent = 2 << 30
	zipTail       = 2 << 20 // the directory of a release has 1.6 MB
	zipTrailer    = 22
	zipComment    = 1<<16 - 1
	zipHeader     = 30 // of a file, without its name
	zipRecord     = 46 // of a directory entry, without its name
)

// zipFault says why a zip is none, or none that could be of a toolchain.
func zipFault(format string, args ...any) error {
	return fmt.Errorf("%w: not a valid module zip: %s", goproxy.ErrMismatch, fmt.Sprintf(format, args...))
}

// readZipDir reads the directory of the zip of m: from its end, in one piece where it is
// not unusually large. Nothing else is read. The error matches goproxy.ErrMismatch where
// it is no module zip, or is one of src.
func readZipDir(ctx context.Context, src zipBytes, m module.Version) (*zipDir, error) {
	size := src.size()
	tail, err := readSection(ctx, src, max(0, size-zipTail), min(size, zipTail))
	if err != nil {
		return nil, err
	}
	trailer, at := findTrailer(tail)
	if trailer == nil {
		return nil, zipFault("it has no directory")
	}
	at += size - int64(len(tail))
	n := int64(binary.LittleEndian.Uint16(trailer[10:]))
	length := int64(binary.LittleEndian.Uint32(trailer[12:]))
	start := int64(binary.LittleEndian.Uint32(trailer[16:]))
	switch {
	case n == 1<<16-1 || length == 1<<32-1 || start == 1<<32-1:
		return nil, zipFault("it is of the kind that is larger than 4 GiB")
	case binary.LittleEndian.Uint32(trailer[4:]) != 0 || int64(binary.LittleEndian.Uint16(trailer[8:])) != n:
		return nil, zipFault("it is in parts")
	case start+length != at || length > sumdb.MaxZipDirectory:
		return nil, zipFault("its directory is not where it should be")
	}
	dir := tail
	if from := size - int64(len(tail)); start < from {
		head, err := readSection(ctx, src, start, from-start)
		if err != nil {
			return nil, err
		}
		dir = append(head, tail...)
	} else {
		dir = tail[start-from:]
	}
	d, err := parseZipDir(dir[:length], int(n), start, m.Path+"@"+m.Version+"/")
	if err != nil {
		return nil, err
	}
	d.src = src
	return d, nil
}

// findTrailer finds the record that ends a zip, and where it is in tail.
func findTrailer(tail []byte) ([]byte, int64) {
	for at := len(tail) - zipTrailer; at >= max(0, len(tail)-zipTrailer-zipComment); at-- {
		if string(tail[at:at+4]) == "PK\x05\x06" && int(binary.LittleEndian.Uint16(tail[at+20:])) == len(tail)-at-zipTrailer {
			return tail[at:], int64(at)
		}
	}
	return nil, 0
}

// parseZipDir reads the n entries of the directory dir, which begins at start. All
// names must begin with prefix.
func parseZipDir(dir []byte, n int, start int64, prefix string) (*zipDir, error) {
	d := &zipDir{entries: make(map[string]zipEntry, n), packed: start}
	order := make([]zipEntry, 0, n)
	var total int64
	for range n {
		e, rest, err := parseZipEntry(dir, start)
		if err != nil {
			return nil, err
		}
		dir = rest
		name, ok := strings.CutPrefix(e.name, prefix)
		switch total += e.bytes; {
		case !ok:
			return nil, zipFault("%.200q does not begin with %q", e.name, prefix)
		case total > maxZipContent:
			return nil, zipFault("it has more than %d bytes", maxZipContent)
		case name == "" || strings.HasSuffix(name, "/"):
			if e.bytes != 0 || e.packed != 0 {
				return nil, zipFault("the folder %.200q has content", name)
			}
		case !cleanName(name):
			return nil, zipFault("%.200q is no name for a file", name)
		}
		e.name = name
		order = append(order, e)
	}
	if len(dir) != 0 {
		return nil, zipFault("its directory has more than its %d entries", n)
	}
	return d, d.place(order, start)
}

// parseZipEntry reads one entry of a directory that begins at start.
func parseZipEntry(dir []byte, start int64) (e zipEntry, rest []byte, err error) {
	u16 := func(at int) int { return int(binary.LittleEndian.Uint16(dir[at:])) }
	u32 := func(at int) int64 { return int64(binary.LittleEndian.Uint32(dir[at:])) }
	if len(dir) < zipRecord || string(dir[:4]) != "PK\x01\x02" {
		return e, nil, zipFault("its directory breaks off")
	}
	n := u16(28)
	whole := zipRecord + n + u16(30) + u16(32)
	if len(dir) < whole {
		return e, nil, zipFault("its directory breaks off")
	}
	e = zipEntry{
		name:   string(dir[zipRecord : zipRecord+n]),
		method: binary.LittleEndian.Uint16(dir[10:]),
		crc:    binary.LittleEndian.Uint32(dir[16:]),
		packed: u32(20),
		bytes:  u32(24),
		at:     u32(42),
	}
	switch {
	case u16(8)&1 != 0 || e.method != 0 && e.method != 8:
		return e, nil, zipFault("%.200q is packed in a strange way", e.name)
	case e.method == 0 && e.bytes != e.packed:
		return e, nil, zipFault("%.200q has two sizes", e.name)
	case e.at >= start || e.packed > start || u16(34) != 0:
		return e, nil, zipFault("%.200q lies outside of it", e.name)
	}
	return e, dir[whole:], nil
}

// place finds out where each entry ends. No two may overlap: that is how bombs are made.
func (d *zipDir) place(order []zipEntry, end int64) error {
	slices.SortFunc(order, func(a, b zipEntry) int { return cmp.Compare(b.at, a.at) })
	for _, e := range order {
		e.end, end = end, e.at
		if e.at+zipHeader+int64(len(e.name))+e.packed > e.end {
			return zipFault("%.200q runs into what follows", e.name)
		}
		if e.name == "" || strings.HasSuffix(e.name, "/") {
			continue
		}
		if _, twice := d.entries[e.name]; twice {
			return zipFault("%.200q is there twice", e.name)
		}
		d.entries[e.name] = e
	}
	return nil
}

// sizeOf is how many bytes of the zip have to be read for the entries of the given names.
func (d *zipDir) sizeOf(names []string) (n int64) {
	for _, name := range names {
		n += d.entries[name].end - d.entries[name].at
	}
	return n
}

// names are those of all files, sorted.
func (d *zipDir) names() []string { return slices.Sorted(maps.Keys(d.entries)) }

const (
	zipGap = 64 << 10 // bytes that are read and thrown away rather than asking once more
	zipRun = 8 << 20  // bytes after which a section ends, so that there is another for a second connection
)

// each unpacks the entries of the given names and hands each to f, several at a time. f must
// read to the end, where what does not fit size and checksum is an error. The error
// matches goproxy.ErrMismatch where the zip is no good, and is f's or the source's else.
func (d *zipDir) each(ctx context.Context, names []string, parallel int, f func(name string, r io.Reader) error) error {
	var order []zipEntry
	for _, name := range names {
		e, ok := d.entries[name]
		if !ok {
			return zipFault("it lacks %.200q", name)
		}
		order = append(order, e)
	}
	slices.SortFunc(order, func(a, b zipEntry) int { return cmp.Compare(a.at, b.at) })
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, parallel))
	for len(order) > 0 && gctx.Err() == nil {
		n := 1
		for n < len(order) && order[n].at-order[n-1].end <= zipGap && order[n].end-order[0].at <= zipRun {
			n++
		}
		run := order[:n]
		order = order[n:]
		g.Go(func() error { return d.run(gctx, run, f) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// run unpacks entries that lie near each other, in one go.
func (d *zipDir) run(ctx context.Context, run []zipEntry, f func(string, io.Reader) error) error {
	at := run[0].at
	body := d.src.section(ctx, at, run[len(run)-1].end-at)
	defer body.Close()
	src := &faultReader{r: body}
	var unpack io.ReadCloser
	for _, e := range run {
		if _, err := io.CopyN(io.Discard, src, e.at-at); err != nil {
			return src.reason(err)
		}
		part := io.LimitReader(src, e.end-e.at)
		r, err := e.open(part, &unpack)
		if err == nil {
			err = f(e.name, r)
		}
		if err == nil && r.left >= 0 {
			err = errors.New("not read to its end") // f's fault
		}
		if err == nil {
			_, err = io.Copy(io.Discard, part)
		}
		if err != nil {
			return src.reason(err)
		}
		at = e.end
	}
	return nil
}

// open reads the header of e from r and returns its content. unpack is used again.
func (e *zipEntry) open(r io.Reader, unpack *io.ReadCloser) (*zipContent, error) {
	var h [zipHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, zipFault("%.200q breaks off", e.name)
	}
	if string(h[:4]) != "PK\x03\x04" || binary.LittleEndian.Uint16(h[8:]) != e.method {
		return nil, zipFault("%.200q is not what the directory says", e.name)
	}
	skip := int64(binary.LittleEndian.Uint16(h[26:])) + int64(binary.LittleEndian.Uint16(h[28:]))
	if _, err := io.CopyN(io.Discard, r, skip); err != nil {
		return nil, zipFault("%.200q breaks off", e.name)
	}
	c := &zipContent{e: e, r: io.LimitReader(r, e.packed), left: e.bytes}
	if e.method == 0 {
		return c, nil
	}
	if *unpack == nil {
		*unpack = flate.NewReader(c.r)
	} else if err := (*unpack).(flate.Resetter).Reset(c.r, nil); err != nil {
		return nil, err
	}
	c.r = *unpack
	return c, nil
}

// A zipContent is the content of an entry. It ends with io.EOF only where it is as long
// as the directory says and has the checksum that stands there.
type zipContent struct {
	e    *zipEntry
	r    io.Reader
	left int64 // bytes that are to come; negative when the end was seen
	crc  uint32
}

// Read reads as io.Reader says.
func (c *zipContent) Read(p []byte) (int, error) {
	if c.left < 0 {
		return 0, io.EOF
	}
	if c.left == 0 {
		p = make([]byte, 1) // there must be nothing
	}
	n, err := c.r.Read(p[:min(int64(len(p)), max(c.left, 1))])
	if int64(n) > c.left {
		return 0, zipFault("%.200q is longer than its %d bytes", c.e.name, c.e.bytes)
	}
	c.left -= int64(n)
	c.crc = crc32.Update(c.crc, crc32.IEEETable, p[:n])
	switch {
	case err == nil:
		return n, nil
	case err != io.EOF:
		return n, zipFault("%.200q: %v", c.e.name, err)
	case c.left > 0:
		return n, zipFault("%.200q has %d bytes less than it should", c.e.name, c.left)
	case c.crc != c.e.crc:
		return n, zipFault("%.200q has not the checksum that it should", c.e.name)
	}
	c.left = -1
	return n, io.EOF
}

// readSection reads n bytes from off on into memory.
func readSection(ctx context.Context, src zipBytes, off, n int64) ([]byte, error) {
	body := src.section(ctx, off, n)
	defer body.Close()
	data := make([]byte, n)
	if _, err := io.ReadFull(body, data); err != nil {
		return nil, err
	}
	return data, nil
}

// A zipOnDisk is a zip that is there already.
type zipOnDisk struct {
	r      io.ReaderAt
	length int64
}

func (z zipOnDisk) size() int64 { return z.length }

func (z zipOnDisk) section(ctx context.Context, off, n int64) io.ReadCloser {
	return io.NopCloser(stopping(ctx, &exactly{io.NewSectionReader(z.r, off, n), n}))
}
