package binary

import (
	"cmp"
	"encoding/binary"
	"net/url"
	"slices"
	"strings"
)

// The numbers that tables of functions begin with (internal/abi/symtab.go).
const (
	lines12  = 0xfffffffb // Go 1.2 to 1.15
	lines116 = 0xfffffffa
	lines118 = 0xfffffff0
	lines120 = 0xfffffff1
)

const (
	maxFunctions = 4 << 20
	maxPackages  = 20000
	maxPath      = 512         // of a package, in bytes
	lineAlign    = 4           // of the table in memory, on Windows; others have 32
	packageC     = "C"         // as in import "C": code that Go did not compile
	packageOwn   = "(go made)" // code that the compiler makes by itself: equality and hashes of types, wrappers
)

// lines is the table of functions that every Go program has for its stack traces (pclntab), stripped or not. It is
// read in place; all offsets are in the file.
type lines struct {
	*image
	order                  binary.ByteOrder
	magic                  uint32
	start, end             uint64
	functions              uint64 // how many
	table, functab, names  uint64 // of the offsets in table; of the entries; of the names
	entry                  int    // bytes of a field of the table
	pointer                int
	nameAt                 uint64 // of the name's offset in a function's record
	lastPackage, lastOfFun string
}

// findLines finds the table, by its section or by what it begins with.
func (p parts) findLines() (*lines, bool) {
	if p.lineTable.n > 0 {
		return p.linesAt(p.lineTable.off, p.lineTable.off+p.lineTable.n)
	}
	for _, s := range p.scanLines {
		for _, magic := range []string{"\xf1\xff\xff\xff\x00\x00", "\xff\xff\xff\xf1\x00\x00", "\xf0\xff\xff\xff\x00\x00", "\xfa\xff\xff\xff\x00\x00"} {
			var l *lines
			_, ok := p.find(s, []byte(magic), lineAlign, func(off uint64) (ok bool) {
				l, ok = p.linesAt(off, s.off+s.n)
				return ok
			})
			if ok {
				return l, true
			}
		}
	}
	return nil, false
}

// linesAt reads the head of a table of functions.
func (p parts) linesAt(start, end uint64) (*lines, bool) {
	b, err := p.bytes(start, min(8+8*8, end-start))
	if err != nil || len(b) < 8+8*4 {
		return nil, false
	}
	l := &lines{image: p.image, start: start, end: end, order: binary.LittleEndian, magic: binary.LittleEndian.Uint32(b)}
	if b[0] == 0xff {
		l.order, l.magic = binary.BigEndian, binary.BigEndian.Uint32(b)
	}
	quantum := b[6]
	l.pointer = int(b[7])
	if b[4] != 0 || b[5] != 0 || quantum != 1 && quantum != 2 && quantum != 4 || l.pointer != 4 && l.pointer != 8 || len(b) < 8+8*l.pointer {
		return nil, false
	}
	r := record{b, l.order}
	word := func(i int) uint64 { return r.word(8+i*l.pointer, l.pointer == 8) }
	l.functions, l.entry, l.nameAt = word(0), l.pointer, uint64(l.pointer)
	switch l.magic {
	case lines118, lines120:
		l.names, l.table, l.entry, l.nameAt = word(3), word(7), 4, 4
		l.functab = l.table
	case lines116:
		l.names, l.table = word(2), word(6)
		l.functab = l.table
	case lines12:
		l.functab = 8 + uint64(l.pointer)
	default:
		return nil, false
	}
	room := end - start
	if l.functions == 0 || l.functions > maxFunctions || l.names >= room || l.functab >= room || (room-l.functab)/uint64(2*l.entry) < l.functions {
		return nil, false
	}
	return l, true
}

// packages returns what each package has of the code, the largest first. code is all code of the file: what the table
// does not know is C's. pure says that no C is in the program.
func (l *lines) packages(code uint64, pure bool) []Package {
	sizes := map[string]uint64{}
	var sum, from uint64
	var name string
	size := uint64(2 * l.entry)
	first, stop := true, false
	count := func(to uint64) {
		if n := to - from; !first && to > from && n <= l.size { // no function is larger than its file
			pkg := l.packageOf(name, pure)
			if _, known := sizes[pkg]; known || len(sizes) < maxPackages {
				sizes[pkg] += n
				sum += n
			}
		}
		from, first = to, false
	}
	err := l.each("the table of functions", l.start+l.functab, size, l.functions, func(_ uint64, r record) bool {
		r.order = l.order
		count(r.word(0, l.entry == 8))
		var ok bool
		name, ok = l.name(r.word(l.entry, l.entry == 8))
		stop = !ok
		return ok
	})
	if err != nil || stop {
		return nil
	}
	if b, err := l.bytes(l.start+l.functab+size*l.functions, uint64(l.entry)); err == nil { // the end of the last function
		count(record{b, l.order}.word(0, l.entry == 8))
	}
	if !pure && code > sum {
		sizes[packageC] += code - sum
	}
	return sorted(sizes)
}

func sorted(sizes map[string]uint64) []Package {
	list := make([]Package, 0, len(sizes))
	for path, n := range sizes {
		list = append(list, Package{path, int64(n)})
	}
	slices.SortFunc(list, func(a, b Package) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), strings.Compare(a.Path, b.Path))
	})
	return list
}

// name returns the beginning of a function's name, enough for its package.
func (l *lines) name(record uint64) (string, bool) {
	off := l.start + l.table + record
	if record >= l.end-l.start || off >= l.end {
		return "", false
	}
	b, err := l.bytes(off+l.nameAt, 4)
	if err != nil {
		return "", false
	}
	at := l.start + l.names + uint64(l.order.Uint32(b))
	if at >= l.end {
		return "", false
	}
	s, _, err := l.text(at, l.end, maxPath)
	return s, err == nil
}

// packageOf returns the package of a function by its name in the program. The linker writes points after the last
// slash of a path as %2e, so the first one there ends it.
func (l *lines) packageOf(function string, pure bool) string {
	if function == l.lastOfFun {
		return l.lastPackage
	}
	name := function
	for _, own := range []string{"type:", "type..", "go:", "go.", "struct {", "interface {", "[]"} {
		if strings.HasPrefix(name, own) && name != "go.uber" && (own != "go." || !strings.Contains(name, "/")) {
			return packageOwn
		}
	}
	if i := strings.IndexByte(name, '['); i >= 0 { // of type parameters; they have paths of their own
		name = name[:i]
	}
	slash := strings.LastIndexByte(name, '/') + 1
	point := strings.IndexByte(name[slash:], '.')
	path := ""
	switch {
	case point < 0 && pure: // assembly without a package: the runtime's
		path = "runtime"
	case point < 0, slash == 0 && isC(name[point:]):
		path = packageC
	default:
		path = name[:slash+point]
		if strings.Contains(path, "%") {
			if plain, err := url.PathUnescape(path); err == nil {
				path = printable(plain)
			}
		}
	}
	l.lastOfFun, l.lastPackage = function, path
	return path
}

// isC reports whether the part of a name from its first point on is one of those that GCC and clang add to names of C.
func isC(rest string) bool {
	for _, s := range []string{".part.", ".cold", ".isra.", ".constprop.", ".lto_priv.", ".llvm.", ".localalias"} {
		if strings.HasPrefix(rest, s) {
			return true
		}
	}
	return false
}
