package binary

import (
	"debug/elf"
	"encoding/binary"
)

// An elfFile is an ELF file whose tables are read. Sections are for tools and may be missing; what the system
// goes by is in the segments.
type elfFile struct {
	*image
	kind     elf.Type
	machine  elf.Machine
	abi      elf.OSABI
	flags    uint32
	segments []elfSegment
	sections []elfSection
	dynamic  elfDynamic
	notes    elfNotes
	interp   string
	info     *Info
}

type elfSegment struct {
	kind              elf.ProgType
	flags             elf.ProgFlag
	off, addr, length uint64 // length in the file
	memory            uint64 // length in memory
}

type elfSection struct {
	name             string
	kind             elf.SectionType
	flags            elf.SectionFlag
	addr, off, size  uint64
	link, infoOrZero uint32
	entry            uint64
}

// elfHeader is where the tables are.
type elfHeader struct {
	segments, sections       uint64 // offsets
	segmentSize, sectionSize uint64 // of an entry
	segmentCount, count      uint64
	names                    uint64 // section that holds the names of sections
}

func readELF(m *image) (*Info, error) {
	f := &elfFile{image: m, info: &Info{}}
	h, err := f.header()
	if err != nil {
		return nil, err
	}
	f.info.Bits = 32
	if f.wide {
		f.info.Bits = 64
	}
	f.info.Arch = f.arch()
	if f.kind == elf.ET_CORE || f.kind == elf.ET_REL {
		return f.notLoaded(h)
	}
	for _, step := range []func() error{
		func() error { return f.readSections(h) },
		f.notSplitOff,
		func() error { return f.readSegments(h) },
		f.readInterpreter, f.readNotes, f.readDynamic, f.readLibraries, f.readVersions,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return f.judge(), nil
}

// notLoaded is for files that no system starts: objects and cores. Of a core, cut ones are common and still good.
func (f *elfFile) notLoaded(h elfHeader) (*Info, error) {
	f.info.Kind = Object
	if f.kind == elf.ET_CORE {
		f.info.Kind = Core
	} else if err := f.readSections(h); err != nil {
		return nil, err
	}
	f.info.OS = f.system()
	return f.info, nil
}

func (f *elfFile) header() (elfHeader, error) {
	ident, err := f.piece("the ELF header", 0, 16)
	if err != nil {
		return elfHeader{}, err
	}
	class, data := elf.Class(ident.b[elf.EI_CLASS]), elf.Data(ident.b[elf.EI_DATA])
	switch data {
	case elf.ELFDATA2LSB:
		f.order = binary.LittleEndian
	case elf.ELFDATA2MSB:
		f.order = binary.BigEndian
	default:
		return elfHeader{}, f.damaged("byte order %d is neither little nor big", data)
	}
	if class != elf.ELFCLASS32 && class != elf.ELFCLASS64 {
		return elfHeader{}, f.damaged("class %d is neither 32 nor 64 bit", class)
	}
	if v := ident.b[elf.EI_VERSION]; v != byte(elf.EV_CURRENT) {
		return elfHeader{}, f.damaged("version %d of the format is not known", v)
	}
	f.abi, f.wide = elf.OSABI(ident.b[elf.EI_OSABI]), class == elf.ELFCLASS64
	return f.tables()
}

// tables reads the rest of the header.
func (f *elfFile) tables() (elfHeader, error) {
	word, size := 4, uint64(52)
	if f.wide {
		word, size = 8, 64
	}
	r, err := f.piece("the ELF header", 0, size)
	if err != nil {
		return elfHeader{}, err
	}
	f.kind, f.machine = elf.Type(r.u16(16)), elf.Machine(r.u16(18))
	if f.kind < elf.ET_REL || f.kind > elf.ET_CORE {
		return elfHeader{}, f.damaged("type %d is neither object, program, library nor core", f.kind)
	}
	at := 24 + 3*word
	f.flags = r.u32(at)
	h := elfHeader{
		segments: r.word(24+word, f.wide), sections: r.word(24+2*word, f.wide),
		segmentSize: uint64(r.u16(at + 6)), segmentCount: uint64(r.u16(at + 8)),
		sectionSize: uint64(r.u16(at + 10)), count: uint64(r.u16(at + 12)), names: uint64(r.u16(at + 14)),
	}
	if h.sections == 0 {
		h.count = 0
		return h, nil
	}
	return h, f.longCounts(&h)
}

// longCounts takes counts that do not fit the header from the first section, where they stand then.
func (f *elfFile) longCounts(h *elfHeader) error {
	if h.count != 0 && h.segmentCount != 0xffff && h.names != uint64(elf.SHN_XINDEX) || f.kind == elf.ET_CORE {
		return nil
	}
	s, err := f.section(h.sections, h.sectionSize)
	if err != nil {
		return err
	}
	if h.count == 0 {
		h.count = s.size
	}
	if h.segmentCount == 0xffff {
		h.segmentCount = uint64(s.infoOrZero)
	}
	if h.names == uint64(elf.SHN_XINDEX) {
		h.names = uint64(s.link)
	}
	return nil
}

func (f *elfFile) readSegments(h elfHeader) error {
	want := uint64(32)
	if f.wide {
		want = 56
	}
	switch {
	case h.segmentCount == 0:
		return f.damaged("a program without segments: nothing would be loaded")
	case h.segmentSize != want:
		return f.damaged("an entry of the table of segments has %d bytes instead of %d", h.segmentSize, want)
	case h.segmentCount > 0xffff:
		return f.damaged("%d segments are more than any program has", h.segmentCount)
	}
	var bad error
	err := f.each("the table of segments", h.segments, want, h.segmentCount, func(i uint64, r record) bool {
		s := f.segment(r)
		if s.length > 0 && s.kind != elf.PT_NULL && !f.within(s.off, s.length) {
			bad = f.damaged("segment %d has %d bytes at byte %d, behind the end of the file at %d: it may have been cut", i, s.length, s.off, f.size)
		}
		f.segments = append(f.segments, s)
		return bad == nil
	})
	if err != nil {
		return err
	}
	return bad
}

func (f *elfFile) segment(r record) elfSegment {
	if f.wide {
		return elfSegment{
			kind: elf.ProgType(r.u32(0)), flags: elf.ProgFlag(r.u32(4)),
			off: r.u64(8), addr: r.u64(16), length: r.u64(32), memory: r.u64(40),
		}
	}
	return elfSegment{
		kind: elf.ProgType(r.u32(0)), flags: elf.ProgFlag(r.u32(24)),
		off: uint64(r.u32(4)), addr: uint64(r.u32(8)), length: uint64(r.u32(16)), memory: uint64(r.u32(20)),
	}
}

// section reads one entry of the table of sections, without its name.
func (f *elfFile) section(off, size uint64) (elfSection, error) {
	want := uint64(40)
	if f.wide {
		want = 64
	}
	if size != want {
		return elfSection{}, f.damaged("an entry of the table of sections has %d bytes instead of %d", size, want)
	}
	r, err := f.piece("the table of sections", off, want)
	if err != nil {
		return elfSection{}, err
	}
	return f.sectionOf(r), nil
}

func (f *elfFile) sectionOf(r record) elfSection {
	s := elfSection{kind: elf.SectionType(r.u32(4))}
	if f.wide {
		s.flags, s.addr, s.off, s.size = elf.SectionFlag(r.u64(8)), r.u64(16), r.u64(24), r.u64(32)
		s.link, s.infoOrZero, s.entry = r.u32(40), r.u32(44), r.u64(56)
		return s
	}
	s.flags, s.addr, s.off, s.size = elf.SectionFlag(r.u32(8)), uint64(r.u32(12)), uint64(r.u32(16)), uint64(r.u32(20))
	s.link, s.infoOrZero, s.entry = r.u32(24), r.u32(28), uint64(r.u32(36))
	return s
}

func (f *elfFile) readSections(h elfHeader) error {
	if h.count == 0 {
		return nil
	}
	if h.count > maxSections {
		return f.damaged("%d sections are more than any program has", h.count)
	}
	if _, err := f.section(h.sections, h.sectionSize); err != nil {
		return err
	}
	var names []uint32
	var bad error
	err := f.each("the table of sections", h.sections, h.sectionSize, h.count, func(i uint64, r record) bool {
		s := f.sectionOf(r)
		if i > 0 && s.kind != elf.SHT_NOBITS && s.kind != elf.SHT_NULL && !f.within(s.off, s.size) {
			bad = f.damaged("section %d has %d bytes at byte %d, behind the end of the file at %d: it may have been cut", i, s.size, s.off, f.size)
		}
		f.sections, names = append(f.sections, s), append(names, r.u32(0))
		return bad == nil
	})
	if err != nil || bad != nil {
		return firstError(err, bad)
	}
	return f.nameSections(h.names, names)
}

// notSplitOff finds what objcopy --only-keep-debug leaves: the code is still in the table, and not in the file.
func (f *elfFile) notSplitOff() error {
	code := false
	for _, s := range f.sections {
		if s.flags&elf.SHF_EXECINSTR != 0 && s.size > 0 {
			if s.kind != elf.SHT_NOBITS {
				return nil
			}
			code = true
		}
	}
	if code {
		return &NotBinaryError{Looks: "debug"}
	}
	return nil
}

func (f *elfFile) nameSections(table uint64, offsets []uint32) error {
	if table >= uint64(len(f.sections)) || f.sections[table].kind != elf.SHT_STRTAB {
		return nil // nothing but tools goes by the names
	}
	t := f.sections[table]
	for i, off := range offsets {
		name, _, err := f.text(t.off+uint64(off), t.off+t.size, 64)
		if err != nil {
			return err
		}
		f.sections[i].name = name
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *elfFile) readInterpreter() error {
	for _, s := range f.segments {
		if s.kind != elf.PT_INTERP {
			continue
		}
		name, whole, err := f.text(s.off, s.off+s.length, maxName)
		if err != nil {
			return err
		}
		if !whole || name == "" {
			return f.damaged("the name of the interpreter has no end, or is empty")
		}
		f.interp = name
		return nil
	}
	return nil
}

// named returns the first section of one of the names.
func (f *elfFile) named(names ...string) (elfSection, bool) {
	for _, s := range f.sections {
		for _, n := range names {
			if s.name == n {
				return s, true
			}
		}
	}
	return elfSection{}, false
}

// fileOffset returns where the byte at an address in memory is in the file, and how many bytes of its segment
// follow.
func (f *elfFile) fileOffset(addr uint64) (off, n uint64, ok bool) {
	for _, s := range f.segments {
		if s.kind == elf.PT_LOAD && addr >= s.addr && addr-s.addr < s.length {
			return s.off + (addr - s.addr), s.length - (addr - s.addr), true
		}
	}
	return 0, 0, false
}

// parts are the places of a program that Go's information may be in.
func (f *elfFile) parts() parts {
	p := parts{image: f.image, fileOffset: f.fileOffset}
	if s, ok := f.named(".go.buildinfo"); ok && s.kind != elf.SHT_NOBITS {
		p.buildInfo = []span{{s.off, s.size}}
	}
	if s, ok := f.named(".gopclntab", ".data.rel.ro.gopclntab"); ok && s.kind != elf.SHT_NOBITS {
		p.lineTable = span{s.off, s.size}
	}
	for _, s := range f.sections {
		if s.kind == elf.SHT_PROGBITS && s.flags&elf.SHF_EXECINSTR != 0 {
			p.code += s.size
		}
		p.maybeGo = p.maybeGo || s.name == ".gosymtab" || s.name == ".note.go.buildid"
	}
	for _, s := range f.segments {
		if s.kind != elf.PT_LOAD || s.length == 0 {
			continue
		}
		if s.flags&elf.PF_W != 0 && p.buildInfo == nil {
			p.scanInfo = append(p.scanInfo, span{s.off, s.length})
		}
		if p.lineTable.n == 0 && len(f.sections) == 0 {
			p.scanLines = append(p.scanLines, span{s.off, s.length})
		}
	}
	return p
}
