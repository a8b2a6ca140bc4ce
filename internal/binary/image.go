package binary

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds that keep a hostile file from taking the machine. Real programs stay far below them.
const (
	pageSize  = 16 << 10
	pageCount = 256 // so at most 4 MiB of a file are in memory as pages

	maxRecord    = 16 << 20 // of one piece that is read at once, in bytes
	maxName      = 4096     // of a file, as PATH_MAX
	maxSymbol    = 1024     // of a symbol; longer ones are shortened
	maxVersion   = 128      // of the name of a version
	maxLibraries = 1024
	maxImports   = 20000 // symbols kept of all libraries together
	maxPerDLL    = 1000  // symbols kept of one library
	maxSections  = 1 << 17
	maxSymbols   = 4 << 20 // looked at in one table
	maxBudget    = 4 << 30 // read from one file, however large it says it is
)

// errBudget says that a file makes its reader go back and forth: no program needs that much reading.
var errBudget = errors.New("reading it takes more than any program needs")

// errOutside says that something is not inside the file.
var errOutside = errors.New("outside the file")

// An image is a file that is read in small pieces, each within the file, and with an end to all reading.
type image struct {
	r      io.ReaderAt
	size   uint64
	left   int64 // bytes that may still be read
	scan   int64 // bytes that may still be searched: what is in memory costs no reading, but time
	pages  *[pageCount]page
	format Format
	order  binary.ByteOrder
	wide   bool // 64 bit
}

// A page is pageSize bytes of the file, fewer at its end.
type page struct {
	number uint64
	bytes  []byte // nil if there is none here
	buffer []byte // that bytes is part of
}

func newImage(r io.ReaderAt, size int64) *image {
	return &image{
		r: r, size: uint64(size), pages: new([pageCount]page), order: binary.LittleEndian,
		left: min(2*min(size, maxBudget)+16<<20, maxBudget), scan: min(8*min(size, maxBudget)+64<<20, maxBudget),
	}
}

// damaged makes the error for something that is wrong with the file.
func (m *image) damaged(format string, args ...any) error {
	return &DamagedError{Format: m.format, What: fmt.Sprintf(format, args...)}
}

// within reports whether n bytes at off are in the file.
func (m *image) within(off, n uint64) bool { return off <= m.size && n <= m.size-off }

// piece reads n bytes at off; what names them in the error.
func (m *image) piece(what string, off, n uint64) (record, error) {
	b, err := m.bytes(off, n)
	switch {
	case errors.Is(err, errOutside) && off+n >= off:
		return record{}, m.damaged("%s ends at byte %d, behind the end of the file at %d: it may have been cut", what, off+n, m.size)
	case errors.Is(err, errOutside):
		return record{}, m.damaged("%s begins at byte %d, which no file has", what, off)
	case errors.Is(err, errBudget):
		return record{}, &DamagedError{Format: m.format, What: what + ": " + err.Error(), Err: err}
	case err != nil:
		return record{}, err
	}
	return record{b, m.order}, nil
}

// bytes reads n bytes at off. Errors: errOutside, errBudget, or what the reader says.
func (m *image) bytes(off, n uint64) ([]byte, error) {
	if !m.within(off, n) {
		return nil, errOutside
	}
	if n > maxRecord {
		return nil, errBudget
	}
	b := make([]byte, n)
	for done := uint64(0); done < n; {
		p, err := m.page((off + done) / pageSize)
		if err != nil {
			return nil, err
		}
		in := (off + done) % pageSize
		if in >= uint64(len(p)) {
			return nil, errOutside
		}
		done += uint64(copy(b[done:], p[in:]))
	}
	return b, nil
}

// page returns one page of the file; it holds until the next call.
func (m *image) page(number uint64) ([]byte, error) {
	p := &m.pages[number%pageCount]
	if p.bytes != nil && p.number == number {
		return p.bytes, nil
	}
	off := number * pageSize
	n := min(pageSize, m.size-off)
	if m.left -= int64(n); m.left < 0 {
		return nil, errBudget
	}
	if p.buffer == nil {
		p.buffer = make([]byte, pageSize)
	}
	b := p.buffer[:n]
	p.bytes = nil
	if got, err := m.r.ReadAt(b, int64(off)); got < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("reading at byte %d: %w", off, err)
	}
	p.number, p.bytes = number, b
	return b, nil
}

// text reads the string that ends with a zero byte, at off and before end, of at most limit bytes.
func (m *image) text(off, end uint64, limit int) (s string, whole bool, err error) {
	end = min(end, m.size)
	var b []byte
	for off < end {
		p, err := m.page(off / pageSize)
		if err != nil {
			return "", false, err
		}
		part := p[off%pageSize:]
		part = part[:min(uint64(len(part)), end-off)]
		if i := bytes.IndexByte(part[:min(len(part), limit-len(b)+1)], 0); i >= 0 {
			return printable(string(append(b, part[:i]...))), true, nil
		}
		if len(b)+len(part) > limit {
			return printable(string(append(b, part[:limit-len(b)]...))), false, nil
		}
		b = append(b, part...)
		off += uint64(len(part))
	}
	return printable(string(b)), false, nil
}

// printable makes a text from a file safe to show: what a terminal could take for an order is written as an escape.
func printable(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case !unicode.IsPrint(r):
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		default:
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// A record is a piece of known length, whose fields are read in the file's byte order.
type record struct {
	b     []byte
	order binary.ByteOrder
}

func (r record) u16(at int) uint16 { return r.order.Uint16(r.b[at:]) }
func (r record) u32(at int) uint32 { return r.order.Uint32(r.b[at:]) }
func (r record) u64(at int) uint64 { return r.order.Uint64(r.b[at:]) }

// word reads a field of the machine's width.
func (r record) word(at int, wide bool) uint64 {
	if wide {
		return r.u64(at)
	}
	return uint64(r.u32(at))
}

// name reads a name in a field of fixed length, filled up with zeros.
func (r record) name(at, n int) string {
	s, _, _ := strings.Cut(string(r.b[at:at+n]), "\x00")
	return printable(s)
}

// each calls f with the records of a table, n bytes each, until f returns false. It reads page by page.
func (m *image) each(what string, off, n, count uint64, f func(i uint64, r record) bool) error {
	if count == 0 {
		return nil
	}
	if n == 0 || count > m.size/n || !m.within(off, n*count) {
		return m.damaged("%s has %d entries of %d bytes at byte %d, which are not in the file: it may have been cut", what, count, n, off)
	}
	batch := max(pageSize/n, 1)
	for i := uint64(0); i < count; {
		k := min(batch, count-i)
		b, err := m.piece(what, off+i*n, k*n)
		if err != nil {
			return err
		}
		for j := range k {
			if !f(i, record{b.b[j*n : (j+1)*n], m.order}) {
				return nil
			}
			i++
		}
	}
	return nil
}
