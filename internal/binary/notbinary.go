package binary

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path"
	"strings"
	"unicode/utf8"
)

// headSize is how much of a file tells what it is, in bytes.
const headSize = 4096

// A NotBinaryError says what a file is that is no program. It matches ErrNotBinary.
type NotBinaryError struct {
	// Looks is what the file looks like: empty, script, text, archive (of objects, a .a or .lib), compressed,
	// zip, tar, deb, java-class, wasm, bitcode, xcoff, plan9, go-object, dos, windows-16bit, linker-script, pdb, debug
	// (split off from a program) or unknown.
	Looks  string
	Detail string // of a script: its interpreter; of something compressed: by what
}

// Error names what it looks like.
func (e *NotBinaryError) Error() string {
	if e.Detail != "" {
		return fmt.Sprintf("%v: looks like: %s (%s)", ErrNotBinary, e.Looks, e.Detail)
	}
	return fmt.Sprintf("%v: looks like: %s", ErrNotBinary, e.Looks)
}

// Unwrap returns ErrNotBinary.
func (e *NotBinaryError) Unwrap() error { return ErrNotBinary }

// sniff tells the format by the first bytes of a file; "" for what is no program.
func sniff(head []byte, size uint64) Format {
	if len(head) < 4 {
		return ""
	}
	magic := binary.BigEndian.Uint32(head)
	switch {
	case string(head[:4]) == "\x7fELF":
		return ELF
	case len(head) < 20:
		return ""
	case string(head[:2]) == "MZ":
		if isPE(head, size) {
			return PE
		}
	case magic == 0xfeedface || magic == 0xfeedfacf || magic == 0xcefaedfe || magic == 0xcffaedfe:
		return MachO
	case (magic == 0xcafebabe || magic == 0xcafebabf) && binary.BigEndian.Uint32(head[4:]) <= maxMembers:
		// Java's class files begin with the same number; their version, in the same place, is 45 and more.
		return Universal
	case isCOFF(head, size):
		return PE
	}
	return ""
}

// isPE reports whether a file that begins with MZ is more than a DOS program. The rest is in the file's far part,
// so a header that points outside of head counts: what is there is found out by readPE.
func isPE(head []byte, size uint64) bool {
	if len(head) < 64 {
		return false
	}
	at := uint64(binary.LittleEndian.Uint32(head[60:]))
	if at+4 <= uint64(len(head)) {
		return string(head[at:at+4]) == "PE\x00\x00"
	}
	return at >= 64 && at < 1<<28 && (at+4 <= size || binary.LittleEndian.Uint16(head[24:]) >= 64)
}

// isCOFF reports whether a file is an object as Windows compilers write it. It has no magic number: a known machine,
// no optional header, and tables that are inside the file.
func isCOFF(head []byte, size uint64) bool {
	o := binary.LittleEndian
	machine, sections, symbols := o.Uint16(head), uint64(o.Uint16(head[2:])), uint64(o.Uint32(head[8:]))
	if machine == 0 && sections == 0xffff { // import library members and "big" objects
		return o.Uint16(head[4:]) <= 2 && peArch(o.Uint16(head[6:])) != ""
	}
	return peArch(machine) != "" && o.Uint16(head[16:]) == 0 && sections > 0 && 20+40*sections <= size && symbols >= 20 && symbols < size
}

// signatures are the first bytes of what people take for a program.
var signatures = []struct{ magic, looks, detail string }{
	{"!<arch>\ndebian-binary", "deb", ""},
	{"!<arch>\n", "archive", ""},
	{"!<thin>\n", "archive", "thin"},
	{"<bigaf>\n", "archive", "AIX"},
	{"\x1f\x8b", "compressed", "gzip"},
	{"BZh", "compressed", "bzip2"},
	{"\xfd7zXZ\x00", "compressed", "xz"},
	{"\x28\xb5\x2f\xfd", "compressed", "zstd"},
	{"7z\xbc\xaf\x27\x1c", "compressed", "7z"},
	{"PK\x03\x04", "zip", ""},
	{"PK\x05\x06", "zip", ""},
	{"\x00asm", "wasm", ""},
	{"BC\xc0\xde", "bitcode", ""},
	{"\xde\xc0\x17\x0b", "bitcode", ""},
	{"\x01\xdf", "xcoff", ""},
	{"\x01\xf7", "xcoff", ""},
	{"\x00\x00\x01\xeb", "plan9", "386"},
	{"\x00\x00\x8a\x97", "plan9", "amd64"},
	{"\x00\x00\x06\x47", "plan9", "arm"},
	{"\xca\xfe\xba\xbe", "java-class", ""},
	{"go object ", "go-object", ""},
	{"\x00go1", "go-object", ""},
	{"Microsoft C/C++ MSF", "pdb", ""},
	{"/* GNU ld script", "linker-script", ""},
}

// notBinary says what a file that begins with head is.
func notBinary(head []byte) error {
	if len(head) == 0 {
		return &NotBinaryError{Looks: "empty"}
	}
	for _, s := range signatures {
		if bytes.HasPrefix(head, []byte(s.magic)) {
			return &NotBinaryError{Looks: s.looks, Detail: s.detail}
		}
	}
	switch {
	case bytes.HasPrefix(head, []byte("#!")):
		return &NotBinaryError{Looks: "script", Detail: interpreter(head)}
	case bytes.HasPrefix(head, []byte("MZ")):
		return dosProgram(head)
	case len(head) > 262 && string(head[257:262]) == "ustar":
		return &NotBinaryError{Looks: "tar"}
	case isText(head):
		return &NotBinaryError{Looks: "text"}
	}
	return &NotBinaryError{Looks: "unknown"}
}

// interpreter returns the name of the program that a script asks for.
func interpreter(head []byte) string {
	line, _, _ := strings.Cut(string(head[2:min(len(head), 256)]), "\n")
	words := strings.Fields(line)
	if len(words) == 0 {
		return ""
	}
	if path.Base(words[0]) == "env" {
		for _, w := range words[1:] {
			if !strings.HasPrefix(w, "-") && !strings.Contains(w, "=") {
				return printable(w)
			}
		}
	}
	return printable(words[0])
}

func dosProgram(head []byte) error {
	if len(head) >= 64 {
		at := uint64(binary.LittleEndian.Uint32(head[60:]))
		if at+2 <= uint64(len(head)) && at >= 64 {
			switch string(head[at : at+2]) {
			case "NE", "LE", "LX":
				return &NotBinaryError{Looks: "windows-16bit"}
			}
		}
	}
	return &NotBinaryError{Looks: "dos"}
}

// isText reports whether head is text: UTF-8, or UTF-16 with its mark, without control characters.
func isText(head []byte) bool {
	if bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) {
		return true
	}
	for utf8.FullRune(head) { // the last character may be cut
		r, n := utf8.DecodeRune(head)
		if r == utf8.RuneError && n == 1 || r < ' ' && !strings.ContainsRune("\t\n\r\f\x1b", r) {
			return false
		}
		head = head[n:]
	}
	return true
}
