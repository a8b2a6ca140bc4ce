package cgo

import (
	"context"

	"github.com/goferry/goferry/internal/gocmd"
)

// A Family is a kind of C compiler.
type Family string

// The families.
const (
	GCC       Family = "gcc"
	Clang     Family = "clang"
	MinGW     Family = "mingw-w64"
	LLVMMinGW Family = "llvm-mingw"
	MuslGCC   Family = "musl-gcc" // a wrapper of the system's gcc
	MuslCross Family = "musl-cross"
	Zig       Family = "zig"
	OSXCross  Family = "osxcross"
	User      Family = "user" // CC_FOR_…, CC: as the user says
)

// A Compiler makes programs for one target.
type Compiler struct {
	Target  Target   `json:"-"`
	Family  Family   `json:"family"`
	CC      []string `json:"cc"`                // a program and its first arguments
	CXX     []string `json:"cxx,omitempty"`     // empty: there is none for C++
	AR      []string `json:"ar,omitempty"`      // empty: as the go command has it
	Env     []string `json:"env,omitempty"`     // more for the go command: CGO_CFLAGS, PKG_CONFIG, PKG_CONFIG_LIBDIR …
	Version string   `json:"version,omitempty"` // 12.2.0
	Where   string   `json:"where,omitempty"`   // path of the program
	From    string   `json:"from,omitempty"`    // path, setting (CC_FOR_linux_arm64), or goferry's folder
}

// GoEnv is what the go command is told to build with c: CGO_ENABLED=1, CC, CXX, AR and Env, quoted by the go command's rules.
func (c Compiler) GoEnv() []string { return nil }

// A Finder looks for compilers.
type Finder struct {
	Runner *gocmd.Runner           // nil is the zero Runner
	Env    func(key string) string // the user's environment
	Home   string                  // goferry's folder of compilers, ~/.goferry/cc; may not be there
}

// Find returns the compilers for t, the best first: the user's own, then the native one, then goferry's, then those of the system,
// then zig. None is a *MissingError. What it returns has been seen to be there; Probe says whether it works.
func (f *Finder) Find(ctx context.Context, t Target) ([]Compiler, error) { return nil, nil }

// A Probe is what trying a compiler gave.
type Probe struct {
	C, CXX bool   // compiles and links a program
	Ran    string // the program was started: native, qemu-aarch64, wine …; "" if nothing here can
	Said   string // what the compiler said where something fails
}

// Try compiles, links and, where possible, starts a program.
func (f *Finder) Try(ctx context.Context, c Compiler) (Probe, error) { return Probe{}, nil }

// A MissingError says that there is no compiler for a target.
type MissingError struct {
	Target Target
	Tried  []string // names that were looked for
	Reason string   // a code for the texts where more can be said: needs-zig (a glibc floor), needs-sdk (darwin), needs-cxx …
}

// Error names the target.
func (e *MissingError) Error() string { return "no C compiler for " + e.Target.String() }

// An Emulator starts programs of another system or architecture.
type Emulator struct {
	Name string   `json:"name"` // native, qemu-aarch64, wine
	Argv []string `json:"argv"` // before the program; empty for native
	Env  []string `json:"env,omitempty"`
}

// Emulator finds what starts programs of t here: nothing needed (native), qemu-user, wine; false if there is none.
func (f *Finder) Emulator(ctx context.Context, t Target) (Emulator, bool) { return Emulator{}, false }
