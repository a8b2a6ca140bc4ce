package binary

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// peArch is Go's name of a machine that Windows is or was made for, or Microsoft's; "" for others.
func peArch(n uint16) string {
	switch n {
	case 0x14c:
		return "386"
	case 0x8664:
		return "amd64"
	case 0xaa64:
		return "arm64"
	case 0xa641:
		return "arm64ec"
	case 0xa64e:
		return "arm64x"
	case 0x1c0, 0x1c2, 0x1c4:
		return "arm"
	case 0x200:
		return "ia64"
	case 0xebc:
		return "ebc"
	case 0x5032:
		return "riscv"
	case 0x5064:
		return "riscv64"
	case 0x5128:
		return "riscv128"
	case 0x6232:
		return "loong32"
	case 0x6264:
		return "loong64"
	case 0x166:
		return "mips"
	case 0x1f0, 0x1f1:
		return "ppc"
	}
	return ""
}

// What matters of the header ("PE Format", learn.microsoft.com/windows/win32/debug/pe-format).
const (
	peRelocsStripped = 0x1
	peDLL            = 0x2000

	dllHighEntropy = 0x20
	dllDynamicBase = 0x40
	dllNX          = 0x100
	dllGuardCF     = 0x4000

	dirImport      = 1
	dirSecurity    = 4
	dirRelocations = 5
	dirLoadConfig  = 10
	dirDelayImport = 13
	dirDotNet      = 14

	maxPESections = 2048 // Windows takes 96

	scnCode  = 0x20
	scnData  = 0x40
	scnExec  = 0x20000000
	scnWrite = 0x80000000
)

// A peFile is a PE file whose headers are read.
type peFile struct {
	*image
	machine, flags, dll  uint16
	subsystem            uint16
	base                 uint64
	headers              uint64 // bytes of the file's beginning that are loaded
	directories          []span // by number; off is an address relative to base
	sections             []peSection
	symbolsAt, symbolLen uint64
	imported             int // symbols kept
	canary               bool
	info                 *Info
}

type peSection struct {
	name         string
	addr, memory uint64 // relative to base
	off, size    uint64
	flags        uint32
	present      uint64 // size without what is cut off by its length in memory
}

func readPE(m *image) (*Info, error) {
	m.order = binary.LittleEndian
	f := &peFile{image: m, info: &Info{}}
	at := uint64(0)
	dos, err := m.piece("the PE header", 0, min(64, m.size))
	if err != nil {
		return nil, err
	}
	if string(dos.b[:2]) != "MZ" {
		return f.object(dos), nil
	}
	at = uint64(dos.u32(60))
	sign, err := m.piece("the PE header", at, 24)
	if err != nil {
		return nil, err
	}
	if string(sign.b[:4]) != "PE\x00\x00" {
		return nil, notBinary(dos.b)
	}
	if err := f.readHeaders(at+24, sign); err != nil {
		return nil, err
	}
	if f.splitOff() {
		return nil, &NotBinaryError{Looks: "debug"}
	}
	if err := f.readImports(); err != nil {
		return nil, err
	}
	return f.judge()
}

// object is for what a compiler writes before linking.
func (f *peFile) object(head record) *Info {
	machine := head.u16(0)
	if machine == 0 {
		machine = head.u16(6)
	}
	return &Info{Kind: Object, OS: "windows", Arch: peArch(machine), Bits: bitsOf(peArch(machine))}
}

func bitsOf(arch string) int {
	switch arch {
	case "386", "arm", "riscv", "loong32", "mips", "ppc", "ebc":
		return 32
	}
	return 64
}

func (f *peFile) readHeaders(at uint64, coff record) error {
	f.machine, f.flags = coff.u16(4), coff.u16(22)
	f.symbolsAt, f.symbolLen = uint64(coff.u32(12)), 18*uint64(coff.u32(16))
	if f.info.Arch = peArch(f.machine); f.info.Arch == "" {
		f.info.Arch = fmt.Sprintf("machine-%d", f.machine)
	}
	f.info.Kind = Executable
	if f.flags&peDLL != 0 {
		f.info.Kind = Shared
	}
	length := uint64(coff.u16(20))
	if length < 96 {
		return f.damaged("the optional header has %d bytes, too few for a program", length)
	}
	r, err := f.piece("the optional header", at, length)
	if err != nil {
		return err
	}
	if err := f.readOptional(r); err != nil {
		return err
	}
	return f.readSections(at+length, uint64(coff.u16(6)))
}

func (f *peFile) readOptional(r record) error {
	counts := 92
	switch magic := r.u16(0); magic {
	case 0x10b:
		f.info.Bits, f.base = 32, uint64(r.u32(28))
	case 0x20b:
		f.info.Bits, f.wide, counts, f.base = 64, true, 108, r.u64(24)
	default:
		return f.damaged("the optional header begins with %#x, which is neither 32 nor 64 bit", magic)
	}
	if len(r.b) < counts+4 {
		return f.damaged("the optional header has %d bytes, too few for a program of %d bit", len(r.b), f.info.Bits)
	}
	f.headers = uint64(r.u32(60))
	f.subsystem, f.dll = r.u16(68), r.u16(70)
	f.info.OS = "windows"
	if f.subsystem >= 10 && f.subsystem <= 13 {
		f.info.OS = "uefi"
	} else {
		f.info.Floors = []Floor{{Name: "windows", Version: fmt.Sprintf("%d.%d", r.u16(48), r.u16(50)), Symbols: []string{}}}
	}
	for n, i := min(r.u32(counts), 16), 0; i < int(n) && counts+12+8*i <= len(r.b); i++ {
		f.directories = append(f.directories, span{uint64(r.u32(counts + 4 + 8*i)), uint64(r.u32(counts + 8 + 8*i))})
	}
	return nil
}

func (f *peFile) directory(i int) span {
	if i < len(f.directories) {
		return f.directories[i]
	}
	return span{}
}

func (f *peFile) readSections(at, count uint64) error {
	switch {
	case count == 0:
		return f.damaged("a program without sections: nothing would be loaded")
	case count > maxPESections:
		return f.damaged("%d sections are more than any program has", count)
	}
	var bad error
	err := f.each("the table of sections", at, 40, count, func(i uint64, r record) bool {
		s := peSection{
			name: r.name(0, 8), memory: uint64(r.u32(8)), addr: uint64(r.u32(12)), size: uint64(r.u32(16)), off: uint64(r.u32(20)), flags: r.u32(36),
		}
		if s.off == 0 {
			s.size = 0
		}
		if !f.within(s.off, s.size) {
			bad = f.damaged("section %d (%s) has %d bytes at byte %d, behind the end of the file at %d: it may have been cut", i, s.name, s.size, s.off, f.size)
		}
		if s.memory == 0 {
			s.memory = s.size
		}
		s.present = min(s.size, s.memory)
		f.sections = append(f.sections, s)
		return bad == nil
	})
	return firstError(err, bad)
}

// splitOff reports whether the file is what objcopy --only-keep-debug leaves: the code is still in the table, and not in the file.
// Packers leave that, too, with other code, and without names that are too long for the table, as those for debuggers are.
func (f *peFile) splitOff() bool {
	code, debug := false, false
	for _, s := range f.sections {
		if s.flags&scnExec != 0 && s.size > 0 {
			return false
		}
		code = code || s.flags&scnExec != 0
		debug = debug || s.size > 0 && (strings.HasPrefix(s.name, "/") || strings.HasPrefix(s.name, ".debug"))
	}
	return code && debug
}

// offset returns where the byte at an address relative to base is in the file, and how many follow.
func (f *peFile) offset(addr uint64) (off, n uint64, ok bool) {
	for _, s := range f.sections {
		if addr >= s.addr && addr-s.addr < s.size {
			return s.off + (addr - s.addr), s.size - (addr - s.addr), true
		}
	}
	if addr < f.headers && addr < f.size {
		return addr, min(f.headers, f.size) - addr, true
	}
	return 0, 0, false
}

// readImports reads the libraries that are loaded when the program starts, and those that are loaded on first use.
// The loader goes by the entry of zeros at the end, not by the length of the directory.
func (f *peFile) readImports() error {
	if err := f.imports(dirImport, 20, f.importEntry); err != nil {
		return err
	}
	return f.imports(dirDelayImport, 32, f.delayedEntry)
}

// imports goes through a table of libraries. one reads an entry; the table ends where it returns false.
func (f *peFile) imports(dir int, size uint64, one func(r record) (bool, error)) error {
	at := f.directory(dir).off
	if at == 0 {
		return nil
	}
	off, left, ok := f.offset(at)
	if !ok {
		return f.damaged("the table of imports at address %#x is in no section", at)
	}
	for i := 0; ; i++ {
		if i > maxLibraries {
			return f.damaged("it asks for more than %d libraries", maxLibraries)
		}
		if left < size {
			return f.damaged("the table of imports has no end")
		}
		r, err := f.piece("the table of imports", off, size)
		if err != nil {
			return err
		}
		if more, err := one(r); err != nil || !more {
			return err
		}
		off, left = off+size, left-size
	}
}

func (f *peFile) importEntry(r record) (bool, error) {
	names, name, slots := uint64(r.u32(0)), uint64(r.u32(12)), uint64(r.u32(16))
	if name == 0 || slots == 0 { // where the loader stops
		return false, nil
	}
	if names == 0 { // Borland's and Watcom's linkers
		names = slots
	}
	return true, f.library(name, names, 0, false)
}

func (f *peFile) delayedEntry(r record) (bool, error) {
	attributes, name, names := r.u32(0), uint64(r.u32(4)), uint64(r.u32(16))
	if name == 0 {
		return false, nil
	}
	shift := uint64(0)
	if attributes&1 == 0 { // Visual C++ 6: addresses, not relative ones
		shift = f.base
	}
	return true, f.library(name-shift, names-shift, shift, true)
}

// library reads one library and the symbols that are asked of it.
func (f *peFile) library(name, names, shift uint64, delayed bool) error {
	off, left, ok := f.offset(name)
	if !ok {
		return f.damaged("the name of library %d at address %#x is in no section", len(f.info.Libraries)+1, name)
	}
	s, whole, err := f.text(off, off+left, 260) // MAX_PATH
	if err != nil {
		return err
	}
	if !whole || s == "" {
		return f.damaged("the name of library %d has no end, or is empty", len(f.info.Libraries)+1)
	}
	symbols, err := f.symbols(s, names, shift)
	if err != nil {
		return err
	}
	f.info.Libraries = append(f.info.Libraries, Library{Name: s, Symbols: symbols, Delayed: delayed})
	return nil
}

// symbols reads the names or numbers of what is imported from one library, sorted.
func (f *peFile) symbols(library string, at, shift uint64) ([]string, error) {
	word, number := uint64(4), uint64(1)<<31
	if f.wide {
		word, number = 8, 1<<63
	}
	off, left, ok := f.offset(at)
	if !ok {
		return nil, f.damaged("what is imported from %s, at address %#x, is in no section", library, at)
	}
	var list []string
	for ; left >= word && f.imported < maxImports; off, left = off+word, left-word {
		r, err := f.piece("the table of imports", off, word)
		if err != nil {
			return nil, err
		}
		v := r.word(0, f.wide)
		if v == 0 {
			break
		}
		f.imported++
		name := fmt.Sprintf("#%d", v&0xffff)
		if v&number == 0 {
			if name, err = f.symbol(v - shift); err != nil {
				return nil, err
			}
		}
		f.canary = f.canary || name == "__stack_chk_fail"
		list = append(list, name)
	}
	slices.Sort(list)
	list = slices.Compact(list)
	return slices.Clip(list[:min(len(list), maxPerDLL)]), nil
}

// symbol reads the name of an import, which has a number for speed before it.
func (f *peFile) symbol(at uint64) (string, error) {
	off, left, ok := f.offset(at + 2)
	if !ok {
		return "", f.damaged("the name of an import, at address %#x, is in no section", at)
	}
	name, _, err := f.text(off, off+left, maxSymbol)
	return name, err
}

func (f *peFile) judge() (*Info, error) {
	i := f.info
	if s := f.directory(dirSecurity); s.n > 0 && !f.within(s.off, s.n) { // an offset in the file, this one
		return nil, f.damaged("the signature has %d bytes at byte %d, behind the end of the file at %d: it may have been cut", s.n, s.off, f.size)
	}
	if err := f.checkSymbols(); err != nil {
		return nil, err
	}
	i.Static = i.Kind == Executable && len(i.Libraries) == 0
	for _, l := range i.Libraries {
		if c := runtimeOf(l.Name); c != "" && i.Libc != "ucrt" {
			i.Libc = c
		}
	}
	i.DotNet = f.dotNet()
	i.Go, i.Packages = f.parts().read()
	i.Detail = i.Go.variant(i.Arch)
	f.harden()
	return i, nil
}

// dotNet is the version of .NET's runtime that a program was made for (ECMA-335, II.25.3.3 and II.24.2.1).
func (f *peFile) dotNet() string {
	const unknown = "CLR"
	at := f.directory(dirDotNet)
	if at.off == 0 || at.n == 0 {
		return ""
	}
	off, left, ok := f.offset(at.off)
	if !ok || left < 16 {
		return unknown
	}
	r, err := f.piece("the header of .NET", off, 16)
	if err != nil {
		return unknown
	}
	off, left, ok = f.offset(uint64(r.u32(8)))
	if !ok || left < 16+maxVersion {
		return unknown
	}
	if r, err = f.piece("the metadata of .NET", off, 16); err != nil || string(r.b[:4]) != "BSJB" {
		return unknown
	}
	if s, _, err := f.text(off+16, off+16+min(uint64(r.u32(12)), maxVersion), maxVersion); err == nil && s != "" {
		return s
	}
	return unknown
}

// checkSymbols looks whether the table of symbols, the last thing in the file, is whole, with the names behind it, whose
// length stands before them.
func (f *peFile) checkSymbols() error {
	if f.symbolsAt == 0 || f.symbolLen == 0 {
		return nil
	}
	names := f.symbolsAt + f.symbolLen
	r, err := f.piece("the table of symbols", names, 4)
	if err != nil {
		return err
	}
	if n := uint64(r.u32(0)); !f.within(names, n) {
		return f.damaged("the names of symbols end at byte %d, behind the end of the file at %d: it may have been cut", names+n, f.size)
	}
	return nil
}

// runtimeOf tells the C runtime of Windows by one of its libraries.
func runtimeOf(dll string) string {
	name := strings.ToLower(dll)
	switch {
	case name == "msvcrt.dll":
		return "msvcrt"
	case name == "ucrtbase.dll", strings.HasPrefix(name, "api-ms-win-crt-"):
		return "ucrt"
	}
	return ""
}

func (f *peFile) harden() {
	h := &f.info.Hardening
	h.NX = new(f.dll&dllNX != 0)
	// Without relocations the loader cannot move a program, whatever it allows.
	movable := f.flags&peRelocsStripped == 0 && f.directory(dirRelocations).n > 0
	h.ASLR = new(f.dll&dllDynamicBase != 0 && movable)
	if f.wide {
		h.HighASLR = new(*h.ASLR && f.dll&dllHighEntropy != 0)
	}
	h.CFG = new(f.dll&dllGuardCF != 0)
	h.Signed = new(f.directory(dirSecurity).n > 0)
	h.Stripped = new(f.symbolsAt == 0 || f.symbolLen == 0)
	if f.canary || f.cookie() {
		h.Canary = new(true) // its absence cannot be seen: MinGW links it in
	}
	h.TextWrite = new(slices.ContainsFunc(f.sections, func(s peSection) bool { return s.flags&scnExec != 0 && s.flags&scnWrite != 0 }))
}

// cookie reports whether the load configuration has the place of a stack cookie (Visual C++'s /GS).
func (f *peFile) cookie() bool {
	at, field := f.directory(dirLoadConfig), uint64(60)
	if f.wide {
		field = 88
	}
	off, left, ok := f.offset(at.off)
	if !ok || at.off == 0 || left < field+8 {
		return false
	}
	r, err := f.piece("the load configuration", off, field+8)
	return err == nil && uint64(r.u32(0)) >= field+4 && r.word(int(field), f.wide) != 0
}

func (f *peFile) parts() parts {
	p := parts{image: f.image, fileOffset: func(addr uint64) (uint64, uint64, bool) {
		if addr < f.base {
			return 0, 0, false
		}
		return f.offset(addr - f.base)
	}}
	for _, s := range f.sections {
		if s.size == 0 {
			continue
		}
		where := span{s.off, s.present}
		switch {
		case s.flags&scnCode != 0 && s.flags&scnExec != 0:
			p.code += s.present
			if s.name == ".text" {
				p.scanLines = append(p.scanLines, where) // where Go before 1.16 has it
			}
		case s.flags&scnData == 0:
		case s.flags&scnWrite != 0:
			p.scanInfo = append(p.scanInfo, where)
		case !strings.HasPrefix(s.name, ".rsrc") && !strings.HasPrefix(s.name, "/"): // resources, debug information
			p.scanLines = append(p.scanLines, where)
		}
	}
	return p
}
