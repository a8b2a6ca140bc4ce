package bundle

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"
)

// The layout of a bundle follows from its manifest, but for the checksums and three lengths: entries
// without gaps in a fixed order, lengths in the headers before them, no extra fields but
// zip64's, one comment. So a reader need not trust a single offset in the file: it computes what must be there,
// and whatever differs is damage or deceit.

// Parts of the zip format, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT.
const (
	sigLocal     = 0x04034b50
	sigCentral   = 0x02014b50
	sigEnd       = 0x06054b50
	sigEnd64     = 0x06064b50
	sigLocator64 = 0x07064b50

	lenLocal     = 30
	lenCentral   = 46
	lenEnd       = 22
	lenEnd64     = 56
	lenLocator64 = 20

	methodStore   = 0
	methodDeflate = 8

	madeBy    = 3 << 8 // Unix, for the mode
	modeFile  = 0o100644
	version20 = 20
	version45 = 45 // zip64
	extra64   = 1

	max16 = 0xffff
	max32 = 0xffffffff
)

// An item is a file in the zip.
type item struct {
	name   string
	method uint16
	crc    uint32
	packed int64 // bytes in the zip
	size   int64 // bytes of the file
	offset int64 // of the local header
}

// A layout is where everything is.
type layout struct {
	items   []item
	head    int64  // bytes before the first stored entry: manifest, signature, SBOM
	limit32 uint64 // numbers from here on are written the zip64 way; max32 but in tests
	date    uint16
	clock   uint16
}

func newLayout(t time.Time) *layout {
	date, clock := dosTime(t)
	return &layout{limit32: max32, date: date, clock: clock}
}

// dosTime is the time of zip headers: local time of no known place, we write UTC; two seconds exact; 1980 to 2107.
func dosTime(t time.Time) (date, clock uint16) {
	t = t.UTC()
	first, last := time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2107, 12, 31, 23, 59, 58, 0, time.UTC)
	if t.Before(first) {
		t = first
	}
	if t.After(last) {
		t = last
	}
	date = uint16(t.Day() + int(t.Month())<<5 + (t.Year()-1980)<<9)
	clock = uint16(t.Second()/2 + t.Minute()<<5 + t.Hour()<<11)
	return date, clock
}

// add puts an item behind the others.
func (l *layout) add(it item) {
	if n := len(l.items); n > 0 {
		it.offset = l.end(n - 1)
	}
	l.items = append(l.items, it)
}

func (l *layout) big(n int64) bool { return uint64(n) >= l.limit32 }

func (l *layout) big64(it *item) bool { return l.big(it.size) || l.big(it.packed) }

// data returns where the bytes of an item begin.
func (l *layout) data(i int) int64 {
	n := l.items[i].offset + lenLocal + int64(len(l.items[i].name))
	if l.big64(&l.items[i]) {
		n += 20
	}
	return n
}

// end returns where an item ends and the next begins.
func (l *layout) end(i int) int64 { return l.data(i) + l.items[i].packed }

// directory returns where the zip directory begins.
func (l *layout) directory() int64 { return l.end(len(l.items) - 1) }

// local returns the header before an item.
func (l *layout) local(it *item) []byte {
	big := l.big64(it)
	b := make([]byte, 0, lenLocal+len(it.name)+20)
	le := binary.LittleEndian
	b = le.AppendUint32(b, sigLocal)
	b = l.common(b, it, big)
	if big {
		b = le.AppendUint16(b, 20) // bytes of extra fields
	} else {
		b = le.AppendUint16(b, 0)
	}
	b = append(b, it.name...)
	if big {
		b = le.AppendUint16(b, extra64)
		b = le.AppendUint16(b, 16)
		b = le.AppendUint64(b, uint64(it.size))
		b = le.AppendUint64(b, uint64(it.packed))
	}
	return b
}

// common appends the fields that both headers of an item have: version to the length of the name.
func (l *layout) common(b []byte, it *item, big bool) []byte {
	le := binary.LittleEndian
	b = le.AppendUint16(b, need(big))
	b = le.AppendUint16(b, 0) // flags
	b = le.AppendUint16(b, it.method)
	b = le.AppendUint16(b, l.clock)
	b = le.AppendUint16(b, l.date)
	b = le.AppendUint32(b, it.crc)
	packed, size := uint32(it.packed), uint32(it.size)
	if l.big64(it) {
		packed, size = max32, max32
	}
	b = le.AppendUint32(b, packed)
	b = le.AppendUint32(b, size)
	return le.AppendUint16(b, uint16(len(it.name)))
}

func need(big bool) uint16 {
	if big {
		return version45
	}
	return version20
}

// central appends the item's header in the directory.
func (l *layout) central(b []byte, it *item) []byte {
	le := binary.LittleEndian
	sizes, offset := l.big64(it), l.big(it.offset)
	extra := uint16(0)
	if sizes {
		extra += 16
	}
	if offset {
		extra += 8
	}
	b = le.AppendUint32(b, sigCentral)
	b = le.AppendUint16(b, madeBy|need(sizes || offset))
	b = l.common(b, it, sizes || offset)
	if extra > 0 {
		b = le.AppendUint16(b, extra+4)
	} else {
		b = le.AppendUint16(b, 0)
	}
	b = le.AppendUint16(b, 0) // comment
	b = le.AppendUint16(b, 0) // disk
	b = le.AppendUint16(b, 0) // internal attributes
	b = le.AppendUint32(b, modeFile<<16)
	if offset {
		b = le.AppendUint32(b, max32)
	} else {
		b = le.AppendUint32(b, uint32(it.offset))
	}
	b = append(b, it.name...)
	if extra > 0 {
		b = le.AppendUint16(b, extra64)
		b = le.AppendUint16(b, extra)
	}
	if sizes {
		b = le.AppendUint64(b, uint64(it.size))
		b = le.AppendUint64(b, uint64(it.packed))
	}
	if offset {
		b = le.AppendUint64(b, uint64(it.offset))
	}
	return b
}

// centralLen is the length of what central appends.
func (l *layout) centralLen(it *item) int64 {
	n := int64(lenCentral + len(it.name))
	if l.big64(it) {
		n += 16
	}
	if l.big(it.offset) {
		n += 8
	}
	if n > int64(lenCentral+len(it.name)) {
		n += 4
	}
	return n
}

func (l *layout) centralAll() int64 {
	n := int64(0)
	for i := range l.items {
		n += l.centralLen(&l.items[i])
	}
	return n
}

// tail returns the end of the directory. HeadSum is the SHA-256 of the first l.head bytes.
func (l *layout) tail(headSum [32]byte) []byte {
	le := binary.LittleEndian
	count, at, size := len(l.items), l.directory(), l.centralAll()
	big := count >= max16 || l.big(at) || l.big(size)
	var b []byte
	if big {
		b = le.AppendUint32(b, sigEnd64)
		b = le.AppendUint64(b, lenEnd64-12)
		b = le.AppendUint16(b, madeBy|version45)
		b = le.AppendUint16(b, version45)
		b = le.AppendUint32(b, 0)
		b = le.AppendUint32(b, 0)
		b = le.AppendUint64(b, uint64(count))
		b = le.AppendUint64(b, uint64(count))
		b = le.AppendUint64(b, uint64(size))
		b = le.AppendUint64(b, uint64(at))
		b = le.AppendUint32(b, sigLocator64)
		b = le.AppendUint32(b, 0)
		b = le.AppendUint64(b, uint64(at+size))
		b = le.AppendUint32(b, 1)
	}
	count16, size32, at32 := uint16(count), uint32(size), uint32(at)
	if big {
		count16, size32, at32 = max16, max32, max32
	}
	comment := tailComment(headSum)
	b = le.AppendUint32(b, sigEnd)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint16(b, count16)
	b = le.AppendUint16(b, count16)
	b = le.AppendUint32(b, size32)
	b = le.AppendUint32(b, at32)
	b = le.AppendUint16(b, uint16(len(comment)))
	return append(b, comment...)
}

// total returns the bytes of the whole bundle.
func (l *layout) total() int64 {
	return l.directory() + l.centralAll() + int64(len(l.tail([32]byte{})))
}

// tailComment is the comment of the zip. Inflate ignores some bits of its input and a signature's comment is
// signed by nobody: the hash of the head, and a checksum of that hash, leave no bit of a bundle unwatched.
func tailComment(headSum [32]byte) string {
	s := "goferry bundle 1, head SHA-256 " + hex.EncodeToString(headSum[:])
	return fmt.Sprintf("%s %08x", s, crc32.ChecksumIEEE([]byte(s)))
}

// parseTailComment is the inverse of tailComment.
func parseTailComment(s string) (sum [32]byte, ok bool) {
	if len(s) != len(tailComment(sum)) {
		return sum, false
	}
	_, err := hex.Decode(sum[:], []byte(s[len(s)-9-64:len(s)-9]))
	return sum, err == nil && tailComment(sum) == s
}

// deflate packs a small file.
func deflate(name string, data []byte) (item, []byte, error) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return item{}, nil, err
	}
	it := item{name: name, method: methodDeflate, crc: crc32.ChecksumIEEE(data), packed: int64(b.Len()), size: int64(len(data))}
	return it, b.Bytes(), nil
}

var errPacked = errors.New("not the packed form of the file")

// inflate unpacks r, which must hold size bytes with that checksum, packed, and nothing else.
func inflate(r io.Reader, it item) ([]byte, error) {
	in := &countReader{r: r}
	f := flate.NewReader(in)
	defer f.Close()
	var b bytes.Buffer // grows with what is there, not with what is said to be
	if _, err := b.ReadFrom(io.LimitReader(f, it.size+1)); err != nil {
		return nil, err
	}
	if int64(b.Len()) != it.size || in.n != it.packed || crc32.ChecksumIEEE(b.Bytes()) != it.crc {
		return nil, errPacked
	}
	return b.Bytes(), nil
}

// countReader is an io.ByteReader, so that flate reads not a byte too many.
type countReader struct {
	r   io.Reader
	n   int64
	buf []byte
	err error
	all [4096]byte
}

func (c *countReader) ReadByte() (byte, error) {
	for len(c.buf) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		var n int
		n, c.err = c.r.Read(c.all[:])
		c.buf = c.all[:n]
	}
	b := c.buf[0]
	c.buf = c.buf[1:]
	c.n++
	return b, nil
}

func (c *countReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b, err := c.ReadByte() // flate uses Read for stored blocks
	if err != nil {
		return 0, err
	}
	p[0] = b
	n := 1 + copy(p[1:], c.buf)
	c.n += int64(n - 1)
	c.buf = c.buf[n-1:]
	return n, nil
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
