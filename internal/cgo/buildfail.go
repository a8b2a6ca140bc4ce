package cgo

import (
	"errors"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/goferry/goferry/internal/gocmd"
)

// The codes of a BuildFailure.
const (
	FailNoCompiler    = "no-compiler"    // Tried, Reason
	FailWrongCompiler = "wrong-compiler" // Compiler makes programs for Machine
	FailNoLibc        = "no-libc"        // Compiler has no C library for the target: Name is the first file that it misses
	FailNoStaticLibc  = "no-static-libc" // Compiler has it, but not the static one: Name is missing
	FailStaticGlibc   = "static-glibc"   // Compiler is zig, which cannot link glibc statically
	FailHeader        = "header"         // File includes Name, which is not there
	FailPkgConfig     = "pkg-config"     // Name is not known to pkg-config, or pkg-config is not there
	FailLibrary       = "library"        // the linker does not find Name
	FailFramework     = "framework"      // the linker does not find Name, a framework or a function that only Apple's SDK tells of
	FailSymbol        = "symbol"         // the linker does not find the function Name
	FailC             = "c-code"         // C code does not compile: File, Lines
	FailGo            = "go-code"        // Go code does not compile: File, Lines
	FailCgoOff        = "cgo-off"        // Packages need cgo, which is off
	FailConstraints   = "constraints"    // package Name has no file for the target
	FailNoMain        = "no-main"        // nothing to build
	FailNoProject     = "no-project"     // no go.mod
	FailPackages      = "packages"       // no such packages: Lines
	FailModules       = "modules"        // modules are missing: Lines
	FailDisk          = "disk-full"      // Name is the folder, or empty where the go command says so
	FailOut           = "out"            // Name, the folder for outputs, cannot be written
	FailSameName      = "same-name"      // two programs would have the name Name
	FailDamaged       = "damaged"        // what came out cannot be read: Lines
	FailOther         = "other"          // Lines
)

// A BuildFailure says why there is no program.
type BuildFailure struct {
	Code     string   `json:"code"`
	File     string   `json:"file,omitempty"` // FILE:LINE or FILE:LINE:COLUMN
	Name     string   `json:"name,omitempty"` // what the code is about
	Compiler string   `json:"compiler,omitempty"`
	From     string   `json:"from,omitempty"` // where Compiler is from: CC_FOR_linux_arm64, path …
	Machine  string   `json:"machine,omitempty"`
	Tried    []string `json:"tried,omitempty"`    // compilers that were looked for
	Reason   string   `json:"reason,omitempty"`   // that of a MissingError
	Packages []string `json:"packages,omitempty"` // that use cgo
	Lines    []string `json:"lines,omitempty"`    // that the go command or a tool of it wrote, the first of them
	Err      error    `json:"-"`
}

// Error is the code and the first line.
func (f *BuildFailure) Error() string {
	text := f.Code
	for _, s := range append([]string{f.File, f.Name}, f.Lines...) {
		if s != "" {
			return text + ": " + s
		}
	}
	return text
}

// Unwrap returns the reason, which may be nil.
func (f *BuildFailure) Unwrap() error { return f.Err }

// ofCompiler reports whether another compiler may do better.
func (f *BuildFailure) ofCompiler() bool {
	return slices.Contains([]string{FailWrongCompiler, FailNoLibc, FailNoStaticLibc, FailStaticGlibc, FailNoCompiler}, f.Code)
}

// toolFailure is the failure of a program that did not run to its end.
func toolFailure(err error) *BuildFailure {
	var te *gocmd.ToolError
	if errors.As(err, &te) && !outOfRoom(err) {
		return &BuildFailure{Code: FailNoCompiler, Name: te.Name, Tried: []string{te.Name}, Err: err}
	}
	return &BuildFailure{Code: FailOther, Lines: []string{err.Error()}, Err: err}
}

// outOfRoom says whether a program did not start because the machine had no room for it just then: processes, memory, open files.
func outOfRoom(err error) bool {
	for _, no := range []error{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.ETXTBSY} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

// diskFailure is the failure to write to a folder.
func diskFailure(dir string, err error) *BuildFailure {
	f := &BuildFailure{Code: FailOut, Name: dir, Lines: []string{err.Error()}, Err: err}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		f.Lines = []string{pe.Err.Error()}
	}
	if noSpace(err) {
		f.Code = FailDisk
	}
	return f
}

// shownLines is how much of the output of tools a failure has.
const shownLines = 6

// explainGo says what is behind the output of a go command that failed. c is the C compiler; cgoOff says that packages
// would use cgo if it were on.
//
// The texts are those of the go command, gcc, clang, GNU ld, lld and Apple's ld in English.
func explainGo(stderr string, c *Compiler, cgoOff bool) *BuildFailure {
	if c != nil {
		stderr = c.readable(stderr)
	}
	lines := telling(stderr)
	f := &BuildFailure{Code: FailOther, Lines: lines[:min(len(lines), shownLines)]}
	if c != nil {
		f.Compiler, f.From = c.Line(), c.From
	}
	all := strings.Join(lines, "\n")
	for _, s := range buildSigns {
		m := s.form.FindStringSubmatch(all)
		if m == nil || s.cgoOff && !cgoOff || s.cc && c == nil {
			continue
		}
		f.Code = s.code
		for i, group := range s.form.SubexpNames() { // file, name, and with a number behind where there are several
			switch {
			case m[i] == "":
			case strings.HasPrefix(group, "file"):
				f.File = strings.TrimPrefix(m[i], "./")
			case strings.HasPrefix(group, "name"):
				f.Name = strings.Trim(m[i], "'`\"‘’“”,;")
			}
		}
		f.from(lines, m[0])
		f.ofStandard(stderr, c)
		return f
	}
	return f
}

var standardHeading = regexp.MustCompile(`(?m)^# (?:runtime/(?:cgo|race)|net|os/user|crypto/\S+|plugin)$`)

// ofStandard corrects the code where the C code is that of the standard library: with a compiler for the target it is
// fine. What was found has said that it compiles for the target; what the user names was not asked.
func (f *BuildFailure) ofStandard(stderr string, c *Compiler) {
	if c == nil || !standardHeading.MatchString(stderr) {
		return
	}
	switch f.Code {
	case FailHeader:
		f.Code = FailNoLibc
	case FailC:
		if c.Family == User {
			f.Code = FailWrongCompiler
		}
	}
}

// ofStatic corrects the code of a static build: systems have the static libraries of a compiler in packages of their own.
func (f *BuildFailure) ofStatic() {
	missing := slices.Contains([]string{"-lc", "-lm", "-lpthread", "-ldl", "-lrt", "-lstdc++", "-lgcc_eh"}, f.Name)
	if (f.Code == FailNoLibc || f.Code == FailLibrary) && missing {
		f.Code = FailNoStaticLibc
	}
}

// from lets the lines begin with the one that tells most.
func (f *BuildFailure) from(lines []string, match string) {
	first, _, _ := strings.Cut(match, "\n")
	for i, l := range lines {
		if strings.Contains(l, first) {
			f.Lines = lines[i:min(len(lines), i+shownLines)]
			return
		}
	}
}

// A buildSign is a text by which a failure is known.
type buildSign struct {
	code   string
	form   *regexp.Regexp
	cgoOff bool // only where packages use cgo, and it is off
	cc     bool // only where a C compiler is at work
}

// buildSigns are looked for in this order: what explains others comes first.
var buildSigns = []buildSign{
	{code: FailDisk, form: regexp.MustCompile(`(?i)no space left on device|not enough space on the disk|disk quota exceeded`)},
	{code: FailNoProject, form: regexp.MustCompile(`go\.mod file not found in current directory or any parent directory|cannot find main module`)},
	{code: FailNoMain, form: regexp.MustCompile(`no main packages to build`)},
	{code: FailModules, form: regexp.MustCompile(`(?m)no required module provides package|missing go\.sum entry|cannot find module providing package|updates to go\.mod needed|inconsistent vendoring|checksum mismatch|^.*: reading https?://|^go: .*@v[^ ]*: `)},
	{code: FailPackages, form: regexp.MustCompile(`(?m)matched no packages|^.*directory not found|no Go files in (?P<name>\S+)|^no required module|^.*cannot find package|is not in std|does not contain package|directory prefix .* does not contain|outside main module`)},
	{code: FailCgoOff, cgoOff: true, form: regexp.MustCompile(`build constraints exclude all Go files in (?P<name>\S+)`)},
	{code: FailConstraints, form: regexp.MustCompile(`(?:package (?P<name>\S+): )?build constraints exclude all Go files in (?P<name2>\S+)`)},
	{code: FailNoCompiler, form: regexp.MustCompile(`C compiler "(?P<name>[^"]+)" not found|cgo: (?:C compiler )?exec: "?(?P<name2>[^":]+)"?: executable file not found`)},
	{code: FailPkgConfig, form: regexp.MustCompile(`exec: "?(?P<name>[^":\s]*pkg-?conf(?:ig)?)"?: executable file not found|Package '?(?P<name2>[^\s',]+)'?,? (?:required by \S+, )?(?:was )?not found|No package '(?P<name3>[^']+)' found`)},
	{code: FailWrongCompiler, cc: true, form: regexp.MustCompile(`unrecognized command[- ]line option .?(?:-mthreads|-marm|-mfpu|-m64|-m32|-arch|-mabi)|unknown argument:? '?(?:-mthreads|-marm|-arch)|unsupported option '(?:-mthreads|-marm)|no such instruction: .(?:stp|ldp|push \{|stmfd|addi|std )|[Bb]ad instruction|unrecognized opcode|unrecognized emulation mode|file in wrong format|incompatible with elf|architecture of input file .* is incompatible|file format not recognized|-m(?:64|32|arm)' (?:is )?not supported|unknown architecture|invalid instruction mnemonic|invalid (?:arch|cpu|value) .* in .-m|bad value .* for .-m(?:arch|cpu|tune)`)},
	{code: FailNoLibc, cc: true, form: regexp.MustCompile(`(?:fatal error: |')(?P<name>(?:stdlib|stdio|stddef|stdint|errno|string|pthread|signal|sys/types|windows|features|bits/libc-header-start|gnu/stubs[-\w]*)\.h)(?:'|: No such)|cannot find (?P<name2>(?:S?crt1|crti|crt2|crtbegin\w*)\.o)|cannot find (?P<name3>-l(?:c|gcc|gcc_s|pthread|mingw32|mingwex|msvcrt))(?:$|[\s:])`)},
	{code: FailHeader, form: regexp.MustCompile(`(?m)^(?P<file>\S+?:\d+(?::\d+)?): (?:fatal )?error: '?(?P<name>[^':\n]+?)'?(?:: No such file or directory| file not found)`)},
	{code: FailFramework, cc: true, form: regexp.MustCompile(`unable to find framework '(?P<name>[^']+)'|framework '(?P<name2>[^']+)' not found|framework not found (?:for -framework )?(?P<name3>[^\s:,]+)|undefined symbol:? '?(?P<name4>_res_9_\w+)`)},
	{code: FailStaticGlibc, cc: true, form: regexp.MustCompile(`libc of the specified target requires dynamic linking`)},
	{code: FailLibrary, form: regexp.MustCompile(`(?:cannot find|library not found for|unable to find library|library ')\s*(?P<name>-l[^\s:,]+)|unable to find (?:dynamic |static )?(?:system )?library '(?P<name2>[^']+)'|library '(?P<name3>[^']+)' not found`)},
	{code: FailC, form: regexp.MustCompile(`(?m)^(?P<file>\S+\.(?:c|cc|cpp|cxx|h|hh|hpp|hxx|m|mm|S|s|go):\d+(?::\d+)?): (?:fatal )?error: |^(?P<file2>\S+\.go:\d+(?::\d+)?): could not determine what C\.(?P<name>\w+) refers to`)},
	{code: FailSymbol, form: regexp.MustCompile("undefined reference to [`'‘](?P<name>[^'’\n]+)|undefined symbol:? '?(?P<name2>[^\\s',]+)|Undefined symbols for architecture[^\n]*\n\\s*\"(?P<name3>[^\"]+)\"")},
	{code: FailCgoOff, cgoOff: true, form: regexp.MustCompile(`undefined: (?P<name>[\w.]+)`)},
	{code: FailGo, form: regexp.MustCompile(`(?m)^(?P<file>\S+\.go:\d+(?::\d+)?): `)},
}

// telling are the lines that say something: no headings, nothing about downloads.
func telling(stderr string) (lines []string) {
	for line := range strings.Lines(stderr) {
		line = strings.TrimRight(line, " \t\r\n")
		if line == "" || strings.HasPrefix(line, "# ") || strings.HasPrefix(line, "go: downloading ") || strings.HasPrefix(line, "go: finding ") {
			continue
		}
		lines = append(lines, line)
	}
	if lines == nil {
		lines = []string{strings.TrimSpace(stderr)}
	}
	return lines
}
