// Package binary reads programs, ELF, PE and Mach-O, and judges where they run.
//
// It takes nothing for granted: a file may be cut, huge or hostile, and gets an error that says what
// is wrong with it, in bounded memory. It starts nothing and changes nothing.
package binary

import (
	"errors"
	"fmt"
	"io"
)

// A Format is how a program is written down.
type Format string

// The formats.
const (
	ELF       Format = "elf"
	PE        Format = "pe"
	MachO     Format = "macho"
	Universal Format = "macho-universal" // several Mach-O programs in one file
)

// ErrNotBinary says that a file is nothing that this package reads: a script, a text, an archive.
var ErrNotBinary = errors.New("no program (ELF, PE or Mach-O)")

// Info is what a program says of itself.
type Info struct {
	Format Format `json:"format"`
	Kind   Kind   `json:"kind"`
	OS     string `json:"os,omitempty"`      // as GOOS; "" if the format does not tell
	Arch   string `json:"arch,omitempty"`    // as GOARCH, or the format's own word where Go has none
	Bits   int    `json:"bits"`              // 32 or 64
	Size   int64  `json:"size"`              // of the file in bytes
	Detail string `json:"variant,omitempty"` // of the architecture, as the targets write it: v7, v3, softfloat; of a Go program always, if it has a variant

	// CPU is the processor that the machine code asks for by the marks of compilers and C libraries, as Detail has it:
	// ARM: Tag_CPU_arch (v5, v6, v7, v8); amd64: the ISA that the GNU properties say is needed (v2, v3, v4); "" where there
	// is none. It can be more than Detail: GOARM=6 binds what Go compiles, and a C library for v7 stays one.
	CPU string `json:"cpu,omitempty"`

	// Static: it asks for no interpreter and no library, so it runs on any system of its kind (ELF: neither
	// PT_INTERP nor DT_NEEDED; a static PIE is static, too).
	Static      bool      `json:"static"`
	Interpreter string    `json:"interpreter,omitempty"` // ELF: PT_INTERP; Mach-O: the dynamic linker
	Libraries   []Library `json:"libraries"`             // that it asks for when it starts, in its order
	Libc        string    `json:"libc,omitempty"`        // ELF: gnu, musl, bionic, uclibc; PE: msvcrt, ucrt; "" for none or not known
	Floors      []Floor   `json:"floors"`                // the versions that it asks for at least, one for each set
	DotNet      string    `json:"dotnet,omitempty"`      // PE: code of .NET, for this version of its runtime (v4.0.30319); "" for others
	RunPath     []string  `json:"runpath,omitempty"`     // DT_RUNPATH, DT_RPATH, LC_RPATH

	Go        *GoInfo   `json:"go,omitempty"` // nil if Go did not make it
	Hardening Hardening `json:"hardening"`
	Packages  []Package `json:"packages,omitempty"` // by size, the largest first; of Go programs with a symbol or line table
	Members   []*Info   `json:"members,omitempty"`  // of a universal file
}

// A Kind is what a file is for.
type Kind string

// The kinds.
const (
	Executable Kind = "executable"
	Shared     Kind = "library"
	Object     Kind = "object"
	Core       Kind = "core"
)

// A Library is one that the system loads with the program.
type Library struct {
	Name    string   `json:"name"`              // libc.so.6, KERNEL32.dll, /usr/lib/libSystem.B.dylib
	Symbols []string `json:"symbols,omitempty"` // PE: what is imported from it, sorted, #N for number N; at most a thousand
	Delayed bool     `json:"delayed,omitempty"` // PE, Mach-O: loaded on first use

	Optional bool `json:"optional,omitempty"` // Mach-O: the program starts without it
}

// A Floor is the lowest version of something outside that the program runs with. Versions that are asked for weakly,
// without which the program starts, do not count.
type Floor struct {
	Name    string   `json:"name"`    // glibc, musl, libstdc++ (GLIBCXX), libgcc, macos, ios, windows, kernel; other sets of versions as they are: CXXABI, OPENSSL
	Version string   `json:"version"` // 2.34, compared number by number; "" for GLIBC_PRIVATE, which has no numbers
	Symbols []string `json:"symbols"` // that ask for it, sorted, at most ten
}

// GoInfo is the build information of a Go program (debug/buildinfo), read out. It is empty where Go made a program
// and the information was taken out.
type GoInfo struct {
	Version  string            `json:"version"`          // go1.26.8
	Path     string            `json:"path"`             // of the main package
	Module   string            `json:"module,omitempty"` // with @version, if it has one
	Cgo      *bool             `json:"cgo,omitempty"`    // CGO_ENABLED; nil if it does not say
	Tags     []string          `json:"tags,omitempty"`
	LDFlags  string            `json:"ldflags,omitempty"`
	VCS      map[string]string `json:"vcs,omitempty"`      // vcs, revision, time, modified
	Settings map[string]string `json:"settings,omitempty"` // all of them
	Modules  int               `json:"modules"`            // that it depends on
}

// Hardening says which protections a program has: yes, no, or nil where the format knows no such thing.
type Hardening struct {
	PIE       *bool  `json:"pie,omitempty"`
	NX        *bool  `json:"nx,omitempty"`        // DEP, no executable stack
	RELRO     string `json:"relro,omitempty"`     // ELF: none, partial, full
	ASLR      *bool  `json:"aslr,omitempty"`      // PE: DYNAMIC_BASE, and relocations to move it by
	HighASLR  *bool  `json:"high_aslr,omitempty"` // PE: HIGH_ENTROPY_VA
	CFG       *bool  `json:"cfg,omitempty"`       // PE: GUARD_CF
	Canary    *bool  `json:"canary,omitempty"`    // a stack protector; nil where only the C library in the file may have it
	Signed    *bool  `json:"signed,omitempty"`    // carries a signature, which is not checked
	Stripped  *bool  `json:"stripped,omitempty"`
	TextWrite *bool  `json:"writable_code,omitempty"` // a segment that is writable and executable
}

// A Package is what one Go package adds to a program.
type Package struct {
	Path  string `json:"path"`  // "C" for what Go did not compile, "(go made)" for what no source has: hashes and equality of types
	Bytes int64  `json:"bytes"` // of code
}

// Read reads a program of size bytes. Errors: a *NotBinaryError (which is ErrNotBinary), a *DamagedError, or that of r.
//
// It takes at most some tens of MiB of memory, and reads no more than a few times the file, whatever is in it. All texts
// in the result are safe to print: what a terminal could take for an order is escaped.
func Read(r io.ReaderAt, size int64) (i *Info, err error) {
	m := newImage(r, size)
	defer func() { // the last net: a hole in the reading below must not take the whole command with it
		if p := recover(); p != nil {
			i, err = nil, &DamagedError{Format: m.format, What: fmt.Sprintf("cannot be read: %v", p)}
		}
	}()
	i, err = m.read(true)
	if _, told := errors.AsType[*DamagedError](err); !told && errors.Is(err, errBudget) {
		err = &DamagedError{Format: m.format, What: err.Error(), Err: err}
	}
	if err != nil {
		return nil, err
	}
	return i, nil
}

// read finds out what the file is, and reads it. A member of a universal file is no universal file itself.
func (m *image) read(mayBeUniversal bool) (*Info, error) {
	head, err := m.bytes(0, min(m.size, headSize))
	if err != nil {
		return nil, err
	}
	var i *Info
	switch kind := sniff(head, m.size); {
	case kind == ELF:
		m.format = ELF
		i, err = readELF(m)
	case kind == PE:
		m.format = PE
		i, err = readPE(m)
	case kind == MachO:
		m.format = MachO
		i, err = readMachO(m)
	case kind == Universal && mayBeUniversal:
		m.format = Universal
		i, err = readUniversal(m)
	default:
		return nil, notBinary(head)
	}
	if err != nil {
		return nil, err
	}
	i.Format, i.Size = m.format, int64(m.size)
	if i.Libraries == nil {
		i.Libraries = []Library{}
	}
	if i.Floors == nil {
		i.Floors = []Floor{}
	}
	return i, nil
}

// A DamagedError says what is wrong with a file that begins as a program.
type DamagedError struct {
	Format Format
	What   string // in short: "section 3 ends at 4096, behind the end of the file"
	Err    error  // may be nil
}

// Error names the format first.
func (e *DamagedError) Error() string { return string(e.Format) + ": " + e.What }

// Unwrap returns the reason.
func (e *DamagedError) Unwrap() error { return e.Err }
