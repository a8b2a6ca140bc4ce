package binary_test

import (
	"bytes"
	"encoding/binary"
	"flag"
	"os"
	"path/filepath"
	"testing"

	program "github.com/goferry/goferry/internal/binary"
)

var systemFiles = flag.Int("system-files", 8, "files of each folder of this system to compare with readelf")

func isELF(t *testing.T, file string) bool {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 4)
	_, err = f.ReadAt(head, 0)
	return err == nil && string(head) == "\x7fELF"
}

func load(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readBytes(t testing.TB, b []byte) *program.Info {
	t.Helper()
	i, err := program.Read(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// withoutSections returns a file of 64 bit with e_shoff, e_shnum and e_shstrndx 0, and the table overwritten.
func withoutSections(t testing.TB, file string) []byte {
	t.Helper()
	b := load(t, file)
	at := binary.LittleEndian.Uint64(b[40:])
	clear(b[at:])
	clear(b[40:48])
	clear(b[60:64])
	return b
}

// delayed makes a program for Windows that loads a library on first use, by name and by number.
func delayed(t testing.TB) string {
	t.Helper()
	compile(t, "later.obj", "clang", "--target=x86_64-windows-msvc", "-c", "later.c")
	compile(t, "laterdll.obj", "clang", "--target=x86_64-windows-msvc", "-c", "laterdll.c")
	dir := made.dir
	run(t, nil, dir, "lld-link", "/dll", "/noentry", "/nodefaultlib", "/def:later.def", "laterdll.obj", "/out:later.dll", "/implib:later.lib")
	run(t, nil, dir, "lld-link", "/entry:start", "/subsystem:console", "/nodefaultlib", "later.obj", "later.lib", "/delayload:later.dll", "/out:later.exe")
	return filepath.Join(dir, "later.exe")
}

// appleProgram makes a program of C for macOS.
func appleProgram(t testing.TB, arch string) string {
	t.Helper()
	object := compile(t, "apple-"+arch+".o", "clang", "--target="+arch+"-apple-macos10.14", "-c", "apple.c")
	return compile(t, "apple-"+arch, "lld", "-flavor", "darwin", "-arch", arch, "-platform_version", "macos", "10.14", "12.0",
		"-rpath", "@executable_path/../lib", object, "libSystem.tbd")
}

// universal puts programs into one file, as lipo does.
func universal(t testing.TB, wide bool, files ...string) []byte {
	t.Helper()
	size, magic := 20, uint32(0xcafebabe)
	if wide {
		size, magic = 32, 0xcafebabf
	}
	o := binary.BigEndian
	head := o.AppendUint32(o.AppendUint32(nil, magic), uint32(len(files)))
	var body []byte
	at := (8 + size*len(files) + 4095) &^ 4095
	for _, f := range files {
		b := load(t, f)
		cpu := binary.LittleEndian
		head = o.AppendUint32(o.AppendUint32(head, cpu.Uint32(b[4:])), cpu.Uint32(b[8:]))
		if off := at + len(body); wide {
			head = o.AppendUint64(o.AppendUint64(head, uint64(off)), uint64(len(b)))
			head = o.AppendUint64(head, 12<<32)
		} else {
			head = o.AppendUint32(o.AppendUint32(o.AppendUint32(head, uint32(off)), uint32(len(b))), 12)
		}
		body = append(body, b...)
		body = append(body, make([]byte, -len(body)&4095)...)
	}
	return append(append(head, make([]byte, at-len(head))...), body...)
}

// compileArchive makes an archive of objects.
func compileArchive(t testing.TB) string {
	t.Helper()
	object := compile(t, "l.o", "gcc", "-c", "l.c")
	file := filepath.Join(made.dir, "l.a")
	run(t, nil, made.dir, "ar", "rcs", file, object)
	return file
}
