package binary

import (
	"debug/elf"
	"fmt"
	"slices"
	"strings"
)

// elfArch is the name of a machine whose name does not depend on width or byte order: Go's, or that of its makers;
// "" for others.
func elfArch(n elf.Machine) string {
	switch n {
	case elf.EM_386:
		return "386"
	case 6:
		return "iamcu"
	case elf.EM_68K:
		return "m68k"
	case elf.EM_SPARC, elf.EM_SPARC32PLUS:
		return "sparc"
	case elf.EM_SPARCV9:
		return "sparc64"
	case elf.EM_PARISC:
		return "hppa"
	case elf.EM_PPC:
		return "ppc"
	case elf.EM_SH:
		return "sh"
	case elf.EM_IA_64:
		return "ia64"
	case elf.EM_ALPHA, elf.EM_ALPHA_STD:
		return "alpha"
	case elf.EM_AVR:
		return "avr"
	case elf.EM_XTENSA:
		return "xtensa"
	case elf.EM_BPF:
		return "bpf"
	case elf.EM_MICROBLAZE:
		return "microblaze"
	case elf.EM_CUDA:
		return "cuda"
	case elf.EM_AMDGPU:
		return "amdgpu"
	case 252:
		return "csky"
	case 195:
		return "arc"
	case elf.EM_OPENRISC:
		return "openrisc"
	}
	return ""
}

// The flags of a header that matter here, from the processors' ABI documents.
const (
	mipsABI2    = 0x20  // n32: 32 bit pointers on a 64 bit machine
	armSoft     = 0x200 // EF_ARM_ABI_FLOAT_SOFT
	tagARMArch  = 6     // Tag_CPU_arch
	mipsSoftABI = 3     // Val_GNU_MIPS_ABI_FP_SOFT
)

// arch is GOARCH.
func (f *elfFile) arch() string {
	big := f.order.String() == "BigEndian"
	pick := func(wide, narrow string) string {
		if f.wide {
			return wide
		}
		return narrow
	}
	suffix := func(name, whenBig, whenLittle string) string {
		if big {
			return name + whenBig
		}
		return name + whenLittle
	}
	switch f.machine {
	case elf.EM_X86_64:
		return pick("amd64", "amd64p32")
	case elf.EM_ARM:
		return suffix("arm", "be", "")
	case elf.EM_AARCH64:
		return suffix("arm64", "be", "")
	case elf.EM_MIPS, elf.EM_MIPS_RS3_LE:
		if !f.wide && f.flags&mipsABI2 != 0 {
			return suffix("mips64p32", "", "le")
		}
		return suffix(pick("mips64", "mips"), "", "le")
	case elf.EM_PPC64:
		return suffix("ppc64", "", "le")
	case elf.EM_RISCV:
		return pick("riscv64", "riscv")
	case elf.EM_S390:
		return pick("s390x", "s390")
	case elf.EM_LOONGARCH:
		return pick("loong64", "loong32")
	}
	if name := elfArch(f.machine); name != "" {
		return name
	}
	return fmt.Sprintf("machine-%d", uint16(f.machine))
}

// elfNotes is what the notes of a file say.
type elfNotes struct {
	system string // as GOOS
	kernel string // lowest kernel, of GNU's note
	gnu    bool   // GNU's note is there: the start files of glibc put it into every program
	level  string // x86-64: v2, v3, v4 if the file says that it needs it
}

const maxNotes = 256 << 10 // bytes of all notes together; programs have less than a thousand

func (f *elfFile) readNotes() error {
	left := uint64(maxNotes)
	for _, s := range f.segments {
		if s.kind != elf.PT_NOTE {
			continue
		}
		off, end := s.off, s.off+min(s.length, left)
		left -= end - off
		for off+12 <= end {
			r, err := f.piece("a note", off, 12)
			if err != nil {
				return err
			}
			nameLen, length, kind := uint64(r.u32(0)), uint64(r.u32(4)), r.u32(8)
			data := off + 12 + (nameLen+3)&^3
			if nameLen > 64 || length > 64<<10 || data+length > end {
				break // notes that are aligned otherwise, or broken: nothing is started by them
			}
			name, _, err := f.text(off+12, off+12+nameLen, 64)
			if err != nil {
				return err
			}
			if err := f.note(name, kind, data, length); err != nil {
				return err
			}
			off = data + (length+3)&^3
		}
	}
	return nil
}

func (f *elfFile) note(name string, kind uint32, off, length uint64) error {
	r, err := f.piece("a note", off, length)
	if err != nil {
		return err
	}
	n := &f.notes
	switch {
	case name == "GNU" && kind == 1 && length >= 16: // ABI tag: system and lowest kernel
		n.gnu = true
		if k := r.u32(0); k < 4 {
			n.system = [...]string{"linux", "hurd", "solaris", "freebsd"}[k]
		}
		if n.system == "linux" {
			n.kernel = fmt.Sprintf("%d.%d.%d", r.u32(4), r.u32(8), r.u32(12))
		}
	case name == "GNU" && kind == 5: // properties
		n.level = f.x86Level(r)
	case name == "NetBSD" && kind == 1:
		n.system = "netbsd"
	case name == "OpenBSD" && kind == 1:
		n.system = "openbsd"
	case name == "FreeBSD" && kind == 1:
		n.system = "freebsd"
	case name == "DragonFly" && kind == 1:
		n.system = "dragonfly"
	case name == "Android" && kind == 1:
		n.system = "android"
	}
	return nil
}

// x86Level reads GNU_PROPERTY_X86_ISA_1_NEEDED (x86-64 psABI, "Program Property").
func (f *elfFile) x86Level(r record) string {
	align := 4
	if f.wide {
		align = 8
	}
	for at := 0; at+8 <= len(r.b); {
		kind, length := r.u32(at), int(r.u32(at+4))
		if length < 0 || length > len(r.b)-at-8 {
			return ""
		}
		if kind == 0xc0008002 && length >= 4 && f.machine == elf.EM_X86_64 {
			switch bits := r.u32(at + 8); {
			case bits&8 != 0:
				return "v4"
			case bits&4 != 0:
				return "v3"
			case bits&2 != 0:
				return "v2"
			}
			return ""
		}
		at += 8 + (length+align-1)&^(align-1)
	}
	return ""
}

// abiSystem is the system that the header says, as GOOS; "" where it says none.
func abiSystem(n elf.OSABI) string {
	switch n {
	case elf.ELFOSABI_HPUX:
		return "hpux"
	case elf.ELFOSABI_NETBSD:
		return "netbsd"
	case elf.ELFOSABI_LINUX:
		return "linux"
	case elf.ELFOSABI_HURD:
		return "hurd"
	case elf.ELFOSABI_SOLARIS:
		return "solaris"
	case elf.ELFOSABI_AIX:
		return "aix"
	case elf.ELFOSABI_IRIX:
		return "irix"
	case elf.ELFOSABI_FREEBSD:
		return "freebsd"
	case elf.ELFOSABI_OPENBSD:
		return "openbsd"
	}
	return ""
}

// system is GOOS as far as the format tells: the header, notes, the interpreter. Linux programs may carry nothing of
// the kind, and Go's build information may: judge goes on where this returns "".
func (f *elfFile) system() string {
	if s := abiSystem(f.abi); s != "" && f.notes.system == "" {
		return s
	}
	if f.notes.system != "" {
		return f.notes.system
	}
	base := f.interp[strings.LastIndexByte(f.interp, '/')+1:]
	switch {
	case f.interp == "":
		return ""
	case strings.HasPrefix(f.interp, "/system/bin/linker") || strings.HasPrefix(f.interp, "/apex/"):
		return "android"
	case libcOf(f.interp) != "":
		return "linux"
	case strings.HasPrefix(base, "ld-elf.so"):
		if f.interp == "/usr/libexec/ld-elf.so.2" {
			return "dragonfly"
		}
		return "freebsd"
	case base == "ld.elf_so":
		return "netbsd"
	case f.interp == "/usr/libexec/ld.so":
		return "openbsd"
	case strings.HasPrefix(f.interp, "/usr/lib/") && base == "ld.so.1" || strings.HasPrefix(f.interp, "/lib/") && strings.Count(f.interp, "/") == 3:
		return "solaris"
	}
	return ""
}

// libcOf tells the C library of Linux by the name of its dynamic linker or its own.
func libcOf(file string) string {
	base := file[strings.LastIndexByte(file, '/')+1:]
	switch {
	case strings.HasPrefix(base, "ld-musl-"), strings.HasPrefix(base, "libc.musl-"):
		return "musl"
	case strings.HasPrefix(base, "ld-uClibc"), strings.HasPrefix(base, "ld64-uClibc"), strings.HasPrefix(base, "libuClibc"), base == "libc.so.0":
		return "uclibc"
	case base == "linker" || base == "linker64" || base == "linker_asan" || base == "linker_asan64":
		return "bionic"
	case strings.HasPrefix(base, "ld-linux"), base == "ld64.so.1", base == "ld64.so.2", base == "libc.so.6", base == "libc.so.6.1":
		return "gnu"
	case file == "/lib/ld.so.1", file == "/lib64/ld.so.1", file == "/lib32/ld.so.1", strings.HasPrefix(file, "/nix/store/") && strings.HasPrefix(base, "ld-"):
		return "gnu"
	}
	return ""
}

// judge draws the conclusions from what was read.
func (f *elfFile) judge() *Info {
	i := f.info
	symbols := f.staticSymbols()
	i.Go, i.Packages = f.parts().read()
	i.Interpreter = f.interp
	i.Kind = f.programOrLibrary()
	i.Static = i.Kind == Executable && f.interp == "" && len(i.Libraries) == 0
	i.OS, i.Libc = f.systemAndLibc(symbols)
	i.Detail, i.CPU = f.variant()
	if f.notes.kernel != "" && i.OS == "linux" {
		i.Floors = append(i.Floors, Floor{Name: "kernel", Version: f.notes.kernel, Symbols: []string{}})
	}
	f.harden(symbols)
	return i
}

// programOrLibrary: a position-independent program and a library have the same type.
func (f *elfFile) programOrLibrary() Kind {
	d := &f.dynamic
	switch {
	case f.kind == elf.ET_EXEC, d.flags1&elf.DF_1_PIE != 0:
		return Executable
	case d.soname:
		return Shared // libc.so.6 has an interpreter and can be started, and yet
	case f.interp != "", d.debug:
		return Executable // only programs have a place for the debugger (DT_DEBUG)
	case f.info.Go != nil && strings.HasPrefix(f.info.Go.Settings["-buildmode"], "pie"):
		return Executable
	case !d.present:
		return Executable
	}
	return Shared
}

func (f *elfFile) systemAndLibc(symbols elfSymbols) (system, libc string) {
	system = f.system()
	said := ""
	if f.info.Go != nil {
		said = f.info.Go.Settings["GOOS"]
	}
	switch {
	case system == "", system == "linux" && said == "android", system == "solaris" && said == "illumos":
		if said != "" {
			system = said
		}
	}
	libc = f.libcOfLinks()
	if libc == "" && f.info.Static {
		libc = symbols.libc
	}
	if libc == "" && f.notes.gnu && (system == "linux" || system == "") {
		libc = "gnu"
	}
	if libc == "" && system == "android" && slices.ContainsFunc(f.info.Libraries, func(l Library) bool { return l.Name == "libc.so" }) {
		libc = "bionic"
	}
	if system == "" && (libc != "" || f.looksLinux()) {
		system = "linux"
	}
	if system != "linux" && system != "android" {
		libc = ""
	}
	return system, libc
}

// looksLinux is the guess for a program that nothing else tells: the BSDs and Solaris mark theirs, and what is made for
// a machine without a system has no word on its stack.
func (f *elfFile) looksLinux() bool {
	return f.abi == elf.ELFOSABI_NONE && slices.ContainsFunc(f.segments, func(s elfSegment) bool {
		return s.kind == elf.PT_GNU_STACK || s.kind == elf.PT_GNU_PROPERTY
	})
}

// variant is the variant of the architecture, as targets write it: Go's word first, then that of the C compiler. cpu is what
// the marks for tools say alone.
func (f *elfFile) variant() (variant, cpu string) {
	switch f.machine {
	case elf.EM_ARM:
		cpu = f.armVersion()
		variant = cpu
		if cpu != "" && cpu != "v5" && f.flags&armSoft != 0 {
			variant += ",softfloat"
		}
	case elf.EM_X86_64:
		cpu = f.notes.level
		variant = cpu
	case elf.EM_MIPS:
		variant = f.mipsFloat()
	}
	if v := f.info.Go.variant(f.info.Arch); v != "" {
		variant = v
	}
	return variant, cpu
}

// mipsFloat is how a program for MIPS computes, of those that are marked.
func (f *elfFile) mipsFloat() string {
	s, ok := f.named(".MIPS.abiflags")
	if !ok || s.size < 24 {
		return ""
	}
	if r, err := f.piece("the MIPS flags", s.off, 24); err == nil && r.b[7] == mipsSoftABI {
		return "softfloat"
	}
	return "hardfloat"
}

// armVersion reads Tag_CPU_arch ("Addenda to, and Errata in, the ABI for the Arm Architecture", 3.3). The values are
// those of Go where there is one. Go's own linker writes attributes without this one.
func (f *elfFile) armVersion() string {
	for _, s := range f.sections {
		if s.kind != 0x70000003 || s.size < 16 || s.size > 4096 { // SHT_ARM_ATTRIBUTES
			continue
		}
		r, err := f.piece("the ARM attributes", s.off, s.size)
		if err != nil {
			return ""
		}
		switch n := armAttribute(r, tagARMArch); { // there is one such section
		case n == 0:
			return ""
		case n <= 2:
			return "v4"
		case n <= 5:
			return "v5"
		case n <= 9 || n == 11 || n == 12:
			return "v6"
		case n == 10 || n == 13:
			return "v7"
		}
		return "v8"
	}
	return ""
}

// armAttribute finds the number of a tag in the list for the whole file; 0 if there is none.
func armAttribute(r record, want uint64) uint64 {
	b := r.b
	if b[0] != 'A' || !strings.HasPrefix(string(b[5:]), "aeabi\x00") || len(b) < 17 || b[11] != 1 {
		return 0
	}
	for b = b[16:]; len(b) > 1; {
		tag, n := uleb(b)
		b = b[n:]
		if tag == 4 || tag == 5 || tag == 67 || tag == 32 { // these have texts; 32 a number before it
			if tag == 32 {
				_, n := uleb(b)
				b = b[n:]
			}
			end := strings.IndexByte(string(b), 0)
			b = b[end+1:]
			if end < 0 {
				return 0
			}
			continue
		}
		value, n := uleb(b)
		if b = b[n:]; tag == want {
			return value
		}
	}
	return 0
}

// uleb reads a number of variable length; of what is too long only the end is found.
func uleb(b []byte) (value uint64, n int) {
	for n < len(b) {
		if n < 9 {
			value |= uint64(b[n]&0x7f) << (7 * n)
		}
		n++
		if b[n-1] < 0x80 {
			break
		}
	}
	return value, n
}
