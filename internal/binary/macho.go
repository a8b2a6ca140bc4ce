package binary

import (
	"debug/macho"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// maxMembers is how many programs a universal file may have. More would not be told from one of Java's class files,
// whose version, 45 and more, stands in the same place.
const maxMembers = 32

// A machoFile is a Mach-O file whose load commands are read.
type machoFile struct {
	*image
	kind     macho.Type
	flags    uint32
	segments []machoSegment
	sections []machoSection
	symbols  struct{ off, count, names, namesLen uint64 }
	locals   uint32 // symbols that nothing outside of the file sees
	platform uint32
	info     *Info
}

type machoSegment struct {
	name            string
	addr, off, size uint64
	max, prot       uint32
}

type machoSection struct {
	name            string
	addr, off, size uint64
	flags           uint32
}

// The load commands that matter here (mach-o/loader.h); the highest bit says that the loader must know it.
const (
	cmdSegment       = 0x1
	cmdSymtab        = 0x2
	cmdDysymtab      = 0xb
	cmdLoadDylib     = 0xc
	cmdLoadDylinker  = 0xe
	cmdLoadWeakDylib = 0x80000018
	cmdSegment64     = 0x19
	cmdRpath         = 0x8000001c
	cmdCodeSignature = 0x1d
	cmdReexportDylib = 0x8000001f
	cmdLazyLoadDylib = 0x20
	cmdMinMacOS      = 0x24
	cmdMinIOS        = 0x25
	cmdMinTvOS       = 0x2f
	cmdMinWatchOS    = 0x30
	cmdBuildVersion  = 0x32
	cmdUpwardDylib   = 0x80000023

	machoPIE       = 0x200000 // MH_PIE
	machoStackExec = 0x20000  // MH_ALLOW_STACK_EXECUTION
	maxCommands    = 1 << 16
)

// platformSystem is the system of an LC_BUILD_VERSION, as GOOS where Go has one.
func platformSystem(n uint32) string {
	switch n {
	case 1:
		return "darwin"
	case 2, 7:
		return "ios"
	case 3, 8:
		return "tvos"
	case 4, 9:
		return "watchos"
	case 5:
		return "bridgeos"
	case 6:
		return "maccatalyst"
	case 10:
		return "driverkit"
	case 11, 12:
		return "visionos"
	}
	return ""
}

func readMachO(m *image) (*Info, error) {
	f := &machoFile{image: m, info: &Info{}}
	if err := f.readCommands(); err != nil {
		return nil, err
	}
	i := f.info
	i.OS = "darwin"
	if s := platformSystem(f.platform); s != "" {
		i.OS = s
	}
	if i.Kind == Core {
		return i, nil
	}
	for n, s := range f.segments {
		if !f.within(s.off, s.size) && (i.Kind != Object || f.kind == macho.TypeObj) { // the symbols of a program have its segments, empty
			return nil, f.damaged("segment %d (%s) has %d bytes at byte %d, behind the end of the file at %d: it may have been cut", n, s.name, s.size, s.off, f.size)
		}
	}
	canary, defined, err := f.readSymbols()
	if err != nil {
		return nil, err
	}
	if i.Kind == Object {
		return i, nil
	}
	i.Go, i.Packages = f.parts().read()
	if v := i.Go.variant(i.Arch); v != "" && i.Detail == "" {
		i.Detail = v
	}
	i.Static = i.Kind == Executable && i.Interpreter == "" && len(i.Libraries) == 0
	f.harden(canary, defined)
	return i, nil
}

// readCommands reads the header and the load commands.
func (f *machoFile) readCommands() error {
	magic, err := f.piece("the Mach-O header", 0, 4)
	if err != nil {
		return err
	}
	f.order = binary.BigEndian
	if magic.b[0] != 0xfe {
		f.order = binary.LittleEndian
	}
	magic.order = f.order
	f.wide = magic.u32(0) == macho.Magic64
	size := uint64(28)
	f.info.Bits = 32
	if f.wide {
		size, f.info.Bits = 32, 64
	}
	h, err := f.piece("the Mach-O header", 0, size)
	if err != nil {
		return err
	}
	f.info.Arch, f.info.Detail = machoArch(h.u32(4), h.u32(8))
	f.kind, f.flags = macho.Type(h.u32(12)), h.u32(24)
	if f.info.Kind = f.programKind(); f.info.Kind == "" {
		return f.damaged("type %d is neither object, program, library nor core", f.kind)
	}
	count, length := h.u32(16), uint64(h.u32(20))
	if count > maxCommands {
		return f.damaged("%d load commands are more than any program has", count)
	}
	if !f.within(size, length) {
		return f.damaged("the load commands end at byte %d, behind the end of the file at %d: it may have been cut", size+length, f.size)
	}
	return f.eachCommand(size, size+length, count)
}

func (f *machoFile) eachCommand(off, end uint64, count uint32) error {
	for n := range count {
		if end-off < 8 {
			return f.damaged("load command %d of %d is outside of their %d bytes", n, count, end)
		}
		head, err := f.piece("a load command", off, 8)
		if err != nil {
			return err
		}
		size := uint64(head.u32(4))
		if size < 8 || size > end-off {
			return f.damaged("load command %d has %d bytes, of which %d are there", n, size, end-off)
		}
		if err := f.command(head.u32(0), off, size); err != nil {
			return err
		}
		off += size
	}
	return nil
}

func (f *machoFile) programKind() Kind {
	switch f.kind {
	case macho.TypeExec, 5, 12: // MH_PRELOAD, MH_FILESET: firmware and kernels
		return Executable
	case macho.TypeDylib, macho.TypeBundle, 3, 7, 9, 11: // fixed libraries, the dynamic linker, stubs, kernel extensions
		return Shared
	case macho.TypeObj, 10: // 10: a .dSYM, symbols without a program
		return Object
	case 4:
		return Core
	}
	return ""
}

// machoArch is GOARCH and the variant.
func machoArch(cpu, sub uint32) (arch, variant string) {
	sub &= 0xffffff // the highest byte has flags
	switch macho.Cpu(cpu) {
	case macho.Cpu386:
		return "386", ""
	case macho.CpuAmd64:
		if sub == 8 { // CPU_SUBTYPE_X86_64_H: Haswell
			return "amd64", "v3"
		}
		return "amd64", ""
	case macho.CpuArm:
		switch sub {
		case 6:
			return "arm", "v6"
		case 9, 10, 11, 12:
			return "arm", "v7"
		}
		return "arm", ""
	case macho.CpuArm64:
		if sub == 2 {
			return "arm64", "arm64e"
		}
		return "arm64", ""
	case macho.CpuPpc:
		return "ppc", ""
	case macho.CpuPpc64:
		return "ppc64", ""
	case 0x0200000c:
		return "arm64_32", ""
	}
	return fmt.Sprintf("machine-%d", cpu), ""
}

// command reads one load command, of size bytes at off.
func (f *machoFile) command(cmd uint32, off, size uint64) error {
	switch cmd {
	case cmdSegment, cmdSegment64:
		return f.readSegment(off, size, cmd == cmdSegment64)
	case cmdLoadDylib, cmdLoadWeakDylib, cmdReexportDylib, cmdLazyLoadDylib, cmdUpwardDylib:
		if len(f.info.Libraries) == maxLibraries {
			return f.damaged("it asks for more than %d libraries", maxLibraries)
		}
		name, err := f.commandText("the name of a library", off, size)
		f.info.Libraries = append(f.info.Libraries, Library{Name: name, Delayed: cmd == cmdLazyLoadDylib, Optional: cmd == cmdLoadWeakDylib})
		return err
	case cmdLoadDylinker:
		name, err := f.commandText("the name of the dynamic linker", off, size)
		f.info.Interpreter = name
		return err
	case cmdRpath:
		path, err := f.commandText("a path for libraries", off, size)
		if len(f.info.RunPath) < maxLibraries && !slices.Contains(f.info.RunPath, path) {
			f.info.RunPath = append(f.info.RunPath, path)
		}
		return err
	case cmdCodeSignature:
		f.info.Hardening.Signed = new(true)
	case cmdSymtab, cmdDysymtab, cmdBuildVersion, cmdMinMacOS, cmdMinIOS, cmdMinTvOS, cmdMinWatchOS:
		return f.numbers(cmd, off, size)
	}
	return nil
}

// commandText reads the text of a command: its offset in the command stands behind the command's head.
func (f *machoFile) commandText(what string, off, size uint64) (string, error) {
	r, err := f.piece(what, off, min(size, 12))
	if err != nil {
		return "", err
	}
	if size < 12 || uint64(r.u32(8)) >= size {
		return "", f.damaged("%s is outside of its load command", what)
	}
	s, _, err := f.text(off+uint64(r.u32(8)), off+size, maxName)
	return s, err
}

// numbers reads the commands that have nothing but numbers.
func (f *machoFile) numbers(cmd uint32, off, size uint64) error {
	r, err := f.piece("a load command", off, min(size, 80))
	if err != nil {
		return err
	}
	need := map[uint32]int{cmdSymtab: 24, cmdDysymtab: 80, cmdBuildVersion: 20}[cmd]
	if len(r.b) < max(need, 16) {
		return f.damaged("load command %#x has %d bytes instead of %d", cmd, size, max(need, 16))
	}
	switch cmd {
	case cmdSymtab:
		f.symbols.off, f.symbols.count = uint64(r.u32(8)), uint64(r.u32(12))
		f.symbols.names, f.symbols.namesLen = uint64(r.u32(16)), uint64(r.u32(20))
	case cmdDysymtab:
		f.locals = r.u32(12)
	case cmdBuildVersion:
		if f.platform == 0 || f.platform == 6 { // a library may be for macOS and for Mac Catalyst; macOS counts
			f.platform = r.u32(8)
			f.floor(r.u32(12))
		}
	default:
		if f.platform == 0 {
			f.platform = map[uint32]uint32{cmdMinMacOS: 1, cmdMinIOS: 2, cmdMinTvOS: 3, cmdMinWatchOS: 4}[cmd]
			f.floor(r.u32(8))
		}
	}
	return nil
}

// floor notes the lowest system.
func (f *machoFile) floor(version uint32) {
	name := platformSystem(f.platform)
	if name == "darwin" {
		name = "macos"
	}
	if name == "" || version == 0 {
		return
	}
	v := fmt.Sprintf("%d.%d", version>>16, version>>8&0xff)
	if version&0xff != 0 {
		v += fmt.Sprintf(".%d", version&0xff)
	}
	f.info.Floors = []Floor{{Name: name, Version: v, Symbols: []string{}}}
}

func (f *machoFile) readSegment(off, size uint64, wide bool) error {
	head, entry, word := uint64(56), uint64(68), 4
	if wide {
		head, entry, word = 72, 80, 8
	}
	if size < head {
		return f.damaged("the load command of segment %d has %d bytes instead of %d", len(f.segments), size, head)
	}
	r, err := f.piece("a load command", off, head)
	if err != nil {
		return err
	}
	s := machoSegment{
		name: r.name(8, 16), addr: r.word(24, wide), off: r.word(24+2*word, wide), size: r.word(24+3*word, wide),
		max: r.u32(24 + 4*word), prot: r.u32(28 + 4*word),
	}
	f.segments = append(f.segments, s)
	count := uint64(r.u32(32 + 4*word))
	if count > (size-head)/entry {
		return f.damaged("segment %s has %d sections, which are not in its load command", s.name, count)
	}
	if len(f.sections)+int(count) > maxSections {
		return f.damaged("it has more than %d sections", maxSections)
	}
	return f.each("the table of sections", off+head, entry, count, func(_ uint64, r record) bool {
		f.sections = append(f.sections, machoSection{
			name: r.name(0, 16), addr: r.word(32, wide), size: r.word(32+word, wide),
			off: uint64(r.u32(32 + 2*word)), flags: r.u32(48 + 2*word),
		})
		return true
	})
}

// readSymbols goes through the table of symbols: whether the stack protector is imported, and how many symbols are
// defined in the file.
func (f *machoFile) readSymbols() (canary *bool, defined int64, err error) {
	t := f.symbols
	if t.count == 0 {
		return nil, 0, nil
	}
	if !f.within(t.names, t.namesLen) {
		return nil, 0, f.damaged("the names of symbols end at byte %d, behind the end of the file at %d: it may have been cut", t.names+t.namesLen, f.size)
	}
	size := uint64(12)
	if f.wide {
		size = 16
	}
	found, names := false, 0
	var bad error
	err = f.each("the table of symbols", t.off, size, min(t.count, maxSymbols), func(_ uint64, r record) bool {
		const stab, kind, undefined = 0xe0, 0x0e, 0
		if r.b[4]&stab != 0 { // for debuggers
			return true
		}
		if r.b[4]&kind != undefined {
			defined++
			return true
		}
		if at := uint64(r.u32(0)); at < t.namesLen && names < maxImports {
			var name string
			name, _, bad = f.text(t.names+at, t.names+t.namesLen, 32)
			found = found || strings.HasPrefix(name, "___stack_chk_fail")
			names++
		}
		return bad == nil
	})
	return &found, defined, firstError(err, bad)
}

func (f *machoFile) harden(canary *bool, defined int64) {
	h := &f.info.Hardening
	h.Canary = canary
	if h.Signed == nil {
		h.Signed = new(false)
	}
	if f.info.Kind == Executable {
		h.PIE = new(f.flags&machoPIE != 0)
		h.NX = new(f.flags&machoStackExec == 0)
	}
	// strip leaves one local symbol behind (radr://5614542) and of a program's others that of its header.
	h.Stripped = new(f.locals <= 1 && (f.info.Kind != Executable || defined-int64(f.locals) <= 1))
	h.TextWrite = new(slices.ContainsFunc(f.segments, func(s machoSegment) bool { return s.prot&(2|4) == 2|4 }))
}

// fileOffset returns where the byte at an address in memory is in the file, and how many of its segment follow.
func (f *machoFile) fileOffset(addr uint64) (off, n uint64, ok bool) {
	for _, s := range f.segments {
		if addr >= s.addr && addr-s.addr < s.size {
			return s.off + (addr - s.addr), s.size - (addr - s.addr), true
		}
	}
	return 0, 0, false
}

func (f *machoFile) parts() parts {
	p := parts{image: f.image, fileOffset: f.fileOffset}
	for _, s := range f.sections {
		if s.flags&0xff == 1 || !f.within(s.off, s.size) { // zero filled: not in the file
			continue
		}
		switch s.name {
		case "__go_buildinfo":
			p.buildInfo = append(p.buildInfo, span{s.off, s.size})
		case "__gopclntab":
			p.lineTable = span{s.off, s.size}
		}
		p.maybeGo = p.maybeGo || strings.HasPrefix(s.name, "__go_") || s.name == "__gopclntab" || s.name == "__gosymtab" // __got is C's, too
		if s.flags&0x80000000 != 0 {                                                                                     // only instructions
			p.code += s.size
		}
	}
	if p.buildInfo != nil {
		return p
	}
	for _, s := range f.segments {
		if s.prot == 3 && s.size > 0 && p.scanInfo == nil { // readable and writable
			p.scanInfo = []span{{s.off, s.size}}
		}
	}
	return p
}
