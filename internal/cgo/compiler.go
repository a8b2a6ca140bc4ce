package cgo

import (
	"slices"
	"strings"
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
	Libc    string   `json:"libc,omitempty"`    // that it compiles for, as seen: gnu, musl, uclibc, bionic, msvcrt, ucrt
	Glibc   string   `json:"glibc,omitempty"`   // version of it where Libc is gnu
	Where   string   `json:"where,omitempty"`   // path of the program
	From    string   `json:"from,omitempty"`    // path, setting (CC_FOR_linux_arm64), or goferry's folder
}

// NoCXX is what CXX is set to where there is no C++ compiler for the target, so that the go command does not take the
// one of this machine: it says that there is no such program if the packages need one.
const NoCXX = "no-cxx-for-this-target"

// GoEnv is what the go command is told to build with c: CGO_ENABLED=1, CC, CXX, AR and Env, quoted by the go command's rules.
func (c Compiler) GoEnv() []string {
	env := []string{"CGO_ENABLED=1", "CC=" + quoteWords(c.CC)}
	if len(c.CXX) > 0 {
		env = append(env, "CXX="+quoteWords(c.CXX))
	} else {
		env = append(env, "CXX="+NoCXX)
	}
	if len(c.AR) > 0 {
		env = append(env, "AR="+quoteWords(c.AR))
	}
	return append(env, c.Env...)
}

// zigWords is how many words of c.CC start zig: goferry as its compiler, with what it is told of zig, or zig itself; 0 if c is
// another compiler.
func (c Compiler) zigWords() int {
	if c.Family != Zig || len(c.CC) == 0 {
		return 0
	}
	i := slices.IndexFunc(c.CC, func(w string) bool { return strings.HasPrefix(w, "--zig-version=") })
	return max(i, 0) + 1
}

// Shown is CC as a person would write it: without goferry before zig, which takes out flags that zig does not know.
func (c Compiler) Shown() []string {
	n := c.zigWords()
	if n == 0 {
		return slices.Clone(c.CC)
	}
	return append([]string{"zig"}, c.CC[n:]...)
}

// Line is Shown, quoted where a shell would want it.
func (c Compiler) Line() string { return quoteWords(c.Shown()) }

// readable puts zig where a tool that writes how it started c names goferry.
func (c Compiler) readable(text string) string {
	n := c.zigWords()
	if n == 0 {
		return text
	}
	text = strings.ReplaceAll(text, strings.Join(c.CC[:n], " ")+" ", "zig ")
	return strings.ReplaceAll(text, "running "+c.CC[0]+" failed", "running zig failed")
}

// A MissingError says that there is no compiler for a target.
type MissingError struct {
	Target Target
	Tried  []string // names that were looked for
	Reason string   // one of the Missing… codes where more can be said, or ""
}

// Error names the target.
func (e *MissingError) Error() string { return "no C compiler for " + e.Target.String() }

// The reasons of a MissingError.
const (
	MissingNoCgo   = "no-cgo"    // the go command knows no cgo there
	MissingZig     = "needs-zig" // a floor of glibc below what the compilers here have
	MissingSDK     = "needs-sdk" // darwin: neither osxcross, nor an SDK (SDKROOT), nor zig
	MissingUser    = "user-cc"   // what the user's setting names (Tried) cannot be found
	MissingHeaders = "no-libc"   // a compiler for it is there (Tried), and its C library is not
)
