package binary

import (
	"debug/elf"
	"maps"
	"slices"
	"strings"
)

// elfDynamic is what the dynamic segment says: the words of the file to the dynamic linker.
type elfDynamic struct {
	present            bool
	needed, runPaths   []uint64 // in the string table
	strings, stringLen uint64   // string table: offset in the file, length
	symbols            uint64   // addresses, 0 if none
	versionNumbers     uint64
	versionNeeds       uint64
	hash               uint64
	flags              elf.DynFlag
	flags1             elf.DynFlag1
	bindNow, textRel   bool
	soname, debug      bool
	packed             bool // relocations are packed (DT_RELR)

	wants   map[uint16]elfWant // by number
	steps   int                // entries read of the list of versions
	canary  bool               // __stack_chk_fail is imported
	imports bool               // the table of symbols could be read
}

// An elfWant is a version that a library must have.
type elfWant struct {
	library, name string
	weak          bool // the dynamic linker only warns if it is missing
}

func (f *elfFile) readDynamic() error {
	d := &f.dynamic
	for i, s := range f.segments {
		if s.kind != elf.PT_DYNAMIC || s.length == 0 {
			continue
		}
		if d.present {
			return f.damaged("segment %d is a second dynamic segment", i)
		}
		d.present = true
		if err := f.readDynamicSegment(s); err != nil {
			return err
		}
	}
	if d.strings == 0 {
		if len(d.needed) > 0 || len(d.runPaths) > 0 {
			return f.damaged("the dynamic segment names libraries, but has no table of names")
		}
		return nil
	}
	off, n, ok := f.fileOffset(d.strings)
	if !ok {
		return f.damaged("the table of names at address %#x is in no segment", d.strings)
	}
	if d.stringLen == 0 || d.stringLen > n {
		d.stringLen = n
	}
	d.strings = off
	return nil
}

func (f *elfFile) readDynamicSegment(s elfSegment) error {
	size := uint64(8)
	if f.wide {
		size = 16
	}
	if s.length/size > 1<<16 {
		return f.damaged("the dynamic segment has %d bytes, more than any program", s.length)
	}
	libraries := 0
	err := f.each("the dynamic segment", s.off, size, s.length/size, func(_ uint64, r record) bool {
		tag, value := elf.DynTag(r.word(0, f.wide)), r.word(int(size/2), f.wide)
		if tag == elf.DT_NEEDED {
			libraries++
		}
		f.dynamic.set(tag, value)
		return tag != elf.DT_NULL && libraries <= maxLibraries
	})
	if err == nil && libraries > maxLibraries {
		err = f.damaged("it asks for more than %d libraries", maxLibraries)
	}
	return err
}

func (d *elfDynamic) set(tag elf.DynTag, value uint64) {
	switch tag {
	case elf.DT_NEEDED:
		d.needed = append(d.needed, value)
	case elf.DT_RPATH, elf.DT_RUNPATH:
		d.runPaths = append(d.runPaths[:min(len(d.runPaths), 1)], value)
	case elf.DT_STRTAB:
		d.strings = value
	case elf.DT_STRSZ:
		d.stringLen = value
	case elf.DT_SYMTAB:
		d.symbols = value
	case elf.DT_VERSYM:
		d.versionNumbers = value
	case elf.DT_VERNEED:
		d.versionNeeds = value
	case elf.DT_HASH:
		d.hash = value
	case elf.DT_FLAGS:
		d.flags = elf.DynFlag(value)
	case elf.DT_FLAGS_1:
		d.flags1 = elf.DynFlag1(value)
	case elf.DT_BIND_NOW:
		d.bindNow = true
	case elf.DT_TEXTREL:
		d.textRel = true
	case elf.DT_SONAME:
		d.soname = true
	case elf.DT_DEBUG:
		d.debug = true
	case 36: // DT_RELR
		d.packed = true
	}
}

// dynamicName reads a name of the dynamic string table.
func (f *elfFile) dynamicName(at uint64, limit int) (string, error) {
	d := &f.dynamic
	if at >= d.stringLen {
		return "", f.damaged("a name at byte %d is outside of the table of names, which has %d bytes", at, d.stringLen)
	}
	s, whole, err := f.text(d.strings+at, d.strings+d.stringLen, limit)
	if err == nil && !whole && len(s) < limit {
		return "", f.damaged("a name in the table of names has no end")
	}
	return s, err
}

func (f *elfFile) readLibraries() error {
	for _, at := range f.dynamic.needed {
		name, err := f.dynamicName(at, maxName)
		if err != nil {
			return err
		}
		f.info.Libraries = append(f.info.Libraries, Library{Name: name})
	}
	for _, at := range f.dynamic.runPaths {
		paths, err := f.dynamicName(at, maxName)
		if err != nil {
			return err
		}
		for p := range strings.SplitSeq(paths, ":") {
			if p != "" && !slices.Contains(f.info.RunPath, p) {
				f.info.RunPath = append(f.info.RunPath, p)
			}
		}
	}
	return nil
}

// readVersions finds the versions that the file asks of its libraries, and who asks for the highest of each set.
func (f *elfFile) readVersions() error {
	d := &f.dynamic
	if d.strings == 0 {
		return nil
	}
	if d.versionNeeds != 0 {
		if err := f.readNeeds(); err != nil {
			return err
		}
	}
	floors, who := f.floors()
	musl := &Floor{Name: "musl"}
	if d.symbols != 0 {
		if err := f.askers(who, musl); err != nil {
			return err
		}
	}
	if musl.Version != "" && f.libcOfLinks() == "musl" && f.onlyC() {
		floors = append(floors, musl)
	}
	ofC := func(l Library) bool { return strings.HasPrefix(l.Name, "libc.so") } // the C library packs its own, and needs none
	if d.packed && f.libcOfLinks() == "gnu" && slices.ContainsFunc(f.info.Libraries, ofC) {
		floors = raise(floors, "glibc", "2.36", "DT_RELR")
	}
	for _, fl := range floors {
		slices.Sort(fl.Symbols)
		fl.Symbols = slices.Compact(fl.Symbols)
		fl.Symbols = slices.Clip(fl.Symbols[:min(len(fl.Symbols), maxAskers)])
		f.info.Floors = append(f.info.Floors, *fl)
	}
	return nil
}

// readNeeds reads the list of versions by library (.gnu.version_r).
// Each entry says how far the next is; a next that is not ahead ends the list, so no file makes a circle of it.
func (f *elfFile) readNeeds() error {
	d := &f.dynamic
	d.wants = map[uint16]elfWant{}
	off, left, ok := f.fileOffset(d.versionNeeds)
	if !ok {
		return f.damaged("the list of versions at address %#x is in no segment", d.versionNeeds)
	}
	end := off + left
	for steps := 0; ; steps++ {
		if steps > maxLibraries || off+16 > end {
			return f.damaged("the list of versions has no end")
		}
		r, err := f.piece("the list of versions", off, 16)
		if err != nil {
			return err
		}
		library, err := f.dynamicName(uint64(r.u32(4)), maxName)
		if err != nil {
			return err
		}
		if err := f.readWants(library, off+uint64(r.u32(8)), end, int(r.u16(2))); err != nil {
			return err
		}
		if r.u32(12) == 0 {
			return nil
		}
		off += uint64(r.u32(12))
	}
}

// readWants reads the versions that are asked of one library.
func (f *elfFile) readWants(library string, off, end uint64, count int) error {
	for range count {
		if f.dynamic.steps++; off+16 > end || f.dynamic.steps > maxWants {
			return f.damaged("the versions asked of %s have no end", library)
		}
		r, err := f.piece("the list of versions", off, 16)
		if err != nil {
			return err
		}
		name, err := f.dynamicName(uint64(r.u32(8)), maxVersion)
		if err != nil {
			return err
		}
		const weak = 2 // VER_FLG_WEAK
		number := r.u16(6) &^ 0x8000
		f.dynamic.wants[number] = elfWant{library, name, r.u16(4)&weak != 0}
		if r.u32(12) == 0 {
			return nil
		}
		off += uint64(r.u32(12))
	}
	return nil
}

const (
	maxAskers = 10      // symbols that are named for a floor
	maxSets   = 64      // sets of versions, as GLIBC and GLIBCXX
	maxWants  = 1 << 16 // versions asked of all libraries; each has a number of 15 bits
)

// floors returns the highest version of each set, and which numbers in the table of symbols mean it.
func (f *elfFile) floors() ([]*Floor, map[uint16]*Floor) {
	by := map[string]*Floor{}
	numbers := slices.Sorted(maps.Keys(f.dynamic.wants)) // hostile files can make their order matter
	for _, n := range numbers {
		w := f.dynamic.wants[n]
		set, version, ok := versionSet(w.name)
		if !ok || w.weak || by[set] == nil && len(by) == maxSets {
			continue
		}
		fl := by[set]
		if fl == nil {
			fl = &Floor{Name: set, Version: version, Symbols: []string{}}
			by[set] = fl
		}
		if compareNumbers(version, fl.Version) > 0 {
			fl.Version = version
		}
	}
	who := map[uint16]*Floor{}
	for _, number := range numbers {
		w := f.dynamic.wants[number]
		set, version, ok := versionSet(w.name)
		if fl := by[set]; ok && !w.weak && fl != nil && compareNumbers(version, fl.Version) == 0 {
			if strings.Contains(w.name, "_ABI_") {
				fl.Symbols = append(fl.Symbols, w.name) // no symbol asks for it: the way of linking does
			}
			who[number] = fl
		}
	}
	list := make([]*Floor, 0, len(by))
	for _, fl := range by {
		list = append(list, fl)
	}
	slices.SortFunc(list, func(a, b *Floor) int { return strings.Compare(a.Name, b.Name) })
	return list, who
}

// versionSet splits the name of a version, as GLIBC_2.34, into the name of the floor and the number.
func versionSet(name string) (set, version string, ok bool) {
	switch name { // what glibc asks of itself without a number, with the release that brought it
	case glibcPrivate:
		return glibcPrivate, "", true
	case "GLIBC_ABI_DT_RELR":
		return "glibc", "2.36", true
	case "GLIBC_ABI_GNU2_TLS", "GLIBC_ABI_GNU_TLS", "GLIBC_ABI_DT_X86_64_PLT":
		return "glibc", "2.42", true
	}
	i := strings.LastIndexByte(name, '_')
	if i <= 0 || !isNumbers(name[i+1:]) {
		return "", "", false
	}
	switch set, version = name[:i], name[i+1:]; set {
	case "GLIBC":
		set = "glibc"
	case "GLIBCXX":
		set = "libstdc++"
	case "GCC":
		set = "libgcc"
	}
	return set, version, true
}

// glibcPrivate is the version of what the parts of glibc use of each other; it is another thing in each release.
const glibcPrivate = "GLIBC_PRIVATE"

// raise makes version, asked for by symbol, the least one of a set, if it is not lower than that.
func raise(floors []*Floor, set, version, symbol string) []*Floor {
	for _, fl := range floors {
		if fl.Name == set {
			if compareNumbers(fl.Version, version) < 0 {
				fl.Version, fl.Symbols = version, []string{symbol}
			}
			return floors
		}
	}
	return append(floors, &Floor{Name: set, Version: version, Symbols: []string{symbol}})
}

// libcOfLinks is the C library by the interpreter, or else by the libraries.
func (f *elfFile) libcOfLinks() string {
	libc := libcOf(f.interp)
	for _, l := range f.info.Libraries {
		if libc == "" {
			libc = libcOf(l.Name)
		}
	}
	return libc
}

// onlyC reports whether no library is asked for that could have functions which the C library lacks.
func (f *elfFile) onlyC() bool {
	return !slices.ContainsFunc(f.info.Libraries, func(l Library) bool {
		base, _, _ := strings.Cut(l.Name, ".")
		return !slices.Contains(muslNames(), base) && base != "libgcc_s" && base != "libstdc++"
	})
}

// muslNames are the libraries that musl's dynamic linker answers to itself, whatever stands behind the point: ldso/dynlink.c,
// load_library.
func muslNames() []string {
	return []string{"libc", "libm", "libpthread", "librt", "libdl", "libutil", "libxnet", "libcrypt", "libresolv"}
}

// muslSince is the release of musl that brought a function, of those that programs ask for and that are not in all releases
// (https://git.musl-libc.org/cgit/musl/tree/WHATSNEW). A program that asks for one that is not there does not start.
func muslSince(name string) string {
	switch name {
	case "gettid", "reallocarray", "_Fork":
		return "1.2.2"
	case "qsort_r", "pthread_getname_np":
		return "1.2.3"
	case "statx", "preadv2", "pwritev2":
		return "1.2.5"
	}
	if strings.HasPrefix(name, "__") && strings.Contains(name, "time") && strings.HasSuffix(strings.TrimSuffix(name, "_r"), "64") {
		return "1.2.0" // times of 64 bits on machines of 32: __clock_gettime64, __stat_time64
	}
	return ""
}

// askers goes through the imported symbols: who asks for a floor, and whether one of them is the stack protector's.
func (f *elfFile) askers(who map[uint16]*Floor, musl *Floor) error {
	d := &f.dynamic
	off, left, ok := f.fileOffset(d.symbols)
	if !ok {
		return f.damaged("the table of symbols at address %#x is in no segment", d.symbols)
	}
	size, count := f.symbolTable(off, left)
	numbers, numbersLeft, versioned := f.fileOffset(d.versionNumbers)
	versioned = versioned && d.versionNumbers != 0 && numbersLeft/2 >= count
	names := 0
	var bad error
	err := f.each("the table of symbols", off, size, count, func(i uint64, r record) bool {
		if i == 0 || r.u16(f.shndx()) != uint16(elf.SHN_UNDEF) || names > maxImports {
			return true
		}
		names++
		var name string
		if name, bad = f.dynamicName(uint64(r.u32(0)), maxSymbol); bad != nil {
			return false
		}
		d.canary = d.canary || strings.HasPrefix(name, "__stack_chk_fail") || name == "__stack_smash_handler"
		if since := muslSince(name); since != "" && r.b[f.symbolInfo()]>>4 != byte(elf.STB_WEAK) {
			raiseOne(musl, since, name)
		}
		if !versioned {
			return true
		}
		var v record
		if v, bad = f.piece("the versions of symbols", numbers+2*i, 2); bad != nil {
			return false
		}
		if fl := who[v.u16(0)&^0x8000]; fl != nil && name != "" {
			fl.Symbols = append(fl.Symbols, name)
		}
		return true
	})
	d.imports = err == nil && bad == nil
	return firstError(err, bad)
}

// raiseOne is raise for one floor, which keeps all who ask for it.
func raiseOne(fl *Floor, version, symbol string) {
	switch c := compareNumbers(version, fl.Version); {
	case c > 0:
		fl.Version, fl.Symbols = version, []string{symbol}
	case c == 0:
		fl.Symbols = append(fl.Symbols, symbol)
	}
}

// symbolInfo is where an entry of a table of symbols has its kind and binding.
func (f *elfFile) symbolInfo() int {
	if f.wide {
		return 4
	}
	return 12
}

// shndx is where an entry of a table of symbols has the number of its section.
func (f *elfFile) shndx() int {
	if f.wide {
		return 6
	}
	return 14
}

// symbolTable returns the size of an entry of the dynamic table of symbols, and how many there are: nothing in the
// dynamic segment says so itself. The section knows, the hash table knows; else it ends where the names begin.
func (f *elfFile) symbolTable(off, left uint64) (size, count uint64) {
	size = 16
	if f.wide {
		size = 24
	}
	most := min(left/size, maxSymbols)
	for _, s := range f.sections {
		if s.kind == elf.SHT_DYNSYM && s.off == off {
			return size, min(s.size/size, most)
		}
	}
	if hash, n, ok := f.fileOffset(f.dynamic.hash); ok && f.dynamic.hash != 0 && n >= 8 {
		at := 4
		if f.machine == elf.EM_S390 && f.wide { // it alone has fields of eight bytes there, the high half first
			at = 12
		}
		if r, err := f.piece("the hash table", hash, 16); err == nil {
			return size, min(uint64(r.u32(at)), most)
		}
	}
	if f.dynamic.strings > off {
		return size, min((f.dynamic.strings-off)/size, most)
	}
	return size, 0
}
