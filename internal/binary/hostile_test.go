package binary_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"runtime/metrics"
	"strings"
	"testing"
	"unicode"

	program "github.com/goferry/goferry/internal/binary"
)

// TestCut: a program that has been cut is told from a whole one wherever it was cut, and the error says so.
func TestCut(t *testing.T) {
	files := map[string]string{
		"elf": compile(t, "elf-default", "gcc", "p.c"), "elf-static": compile(t, "elf-static", "gcc", "-static", "p.c"),
		"pe": compile(t, "p.exe", "x86_64-w64-mingw32-gcc", "p.c"), "macho": appleProgram(t, "arm64"),
		"elf object": compile(t, "l.o", "gcc", "-c", "l.c"), "macho object": compile(t, "apple-x.o", "clang", "--target=arm64-apple-macos10.14", "-c", "apple.c"),
	}
	for name, file := range files {
		b := load(t, file)
		for i := range 64 {
			n := len(b) * i / 64
			_, err := program.Read(bytes.NewReader(b[:n]), int64(n))
			d, damaged := errors.AsType[*program.DamagedError](err)
			if !damaged && !errors.Is(err, program.ErrNotBinary) || damaged && (d.Format == "" || d.What == "") || !damaged && n >= 64 {
				t.Errorf("%s cut to %d of %d bytes: %v", name, n, len(b), err)
			}
		}
	}
	b := load(t, files["elf"])
	for n := 4; n < 64; n++ {
		if _, err := program.Read(bytes.NewReader(b[:n]), int64(n)); !errors.As(err, new(*program.DamagedError)) {
			t.Errorf("the first %d bytes: %v", n, err)
		}
	}
	_, err := program.Read(bytes.NewReader(b[:len(b)-1]), int64(len(b)-1))
	if err == nil || !strings.Contains(err.Error(), "cut") {
		t.Errorf("without its last byte: %v", err)
	}
}

// TestNotBinary: what people take for a program gets its name.
func TestNotBinary(t *testing.T) {
	archive := compileArchive(t)
	for want, head := range map[string]string{
		"empty": "", "script (bash)": "#!/usr/bin/env -S bash -e\necho hello\n", "script (/bin/sh)": "#! /bin/sh\n", "text": "hello\n",
		"archive": string(load(t, archive)), "deb": "!<arch>\ndebian-binary   1", "compressed (gzip)": "\x1f\x8b\x08\x00", "zip": "PK\x03\x04xx",
		"java-class": "\xca\xfe\xba\xbe\x00\x00\x00\x34" + strings.Repeat("x", 40), "wasm": "\x00asm\x01\x00\x00\x00", "xcoff": "\x01\xf7\x00\x04",
		"plan9 (386)": "\x00\x00\x01\xeb" + strings.Repeat("\x00", 40), "dos": "MZ" + strings.Repeat("\x00", 100), "unknown": "\x00\x01\x02" + strings.Repeat("\x03", 40),
		"windows-16bit": "MZ" + strings.Repeat("\x00", 58) + "\x40\x00\x00\x00NE" + strings.Repeat("\x00", 40), "bitcode": "BC\xc0\xde5\x14",
		"go-object": "go object linux amd64 go1.26\n",
	} {
		_, err := program.Read(strings.NewReader(head), int64(len(head)))
		n, ok := errors.AsType[*program.NotBinaryError](err)
		if !ok || !errors.Is(err, program.ErrNotBinary) {
			t.Errorf("%s: %v", want, err)
			continue
		}
		got := n.Looks
		if n.Detail != "" {
			got += " (" + n.Detail + ")"
		}
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	fat := universal(t, false, appleProgram(t, "arm64"), archive)
	if _, err := program.Read(bytes.NewReader(fat), int64(len(fat))); !errors.Is(err, program.ErrNotBinary) {
		t.Errorf("a universal file with an archive: %v", err)
	}
}

// TestReadError: the disk's error is neither that of a damaged file nor that of one which is no program.
func TestReadError(t *testing.T) {
	b := load(t, compile(t, "elf-static", "gcc", "-static", "p.c"))
	broken := errors.New("input/output error")
	_, err := program.Read(failing{bytes.NewReader(b), 100000, broken}, int64(len(b)))
	if _, damaged := errors.AsType[*program.DamagedError](err); damaged || !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if _, err := program.Read(bytes.NewReader(b), int64(len(b))+100000); err == nil {
		t.Error("a file that is shorter than it says was read")
	}
}

// failing fails behind a place.
type failing struct {
	io.ReaderAt
	after int64
	err   error
}

func (f failing) ReadAt(b []byte, off int64) (int, error) {
	if off >= f.after {
		return 0, f.err
	}
	return f.ReaderAt.ReadAt(b, off)
}

// TestHostileNames: no text of a file reaches a terminal as an order.
func TestHostileNames(t *testing.T) {
	b := load(t, compile(t, "elf-default", "gcc", "p.c"))
	b = bytes.ReplaceAll(b, []byte("libc.so.6\x00"), []byte("l\x1b[31m\xff.6\x00"))
	i := readBytes(t, b)
	if got := i.Libraries[0].Name; got != `l\x1b[31m\xff.6` {
		t.Errorf("%q", got)
	}
}

// counting counts the bytes that are read.
type counting struct {
	io.ReaderAt
	n int64
}

func (c *counting) ReadAt(b []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(b, off)
	c.n += int64(n)
	return n, err
}

const mostMemory = 64 << 20 // bytes that are allocated, all together, for any file of the tests

func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// hold is the property of Read for any file: an error or a result, the same each time, neither from a panic, with
// nothing in it that a terminal obeys, in bounded memory and with bounded reading.
func hold(t *testing.T, r io.ReaderAt, size int64) {
	t.Helper()
	c := &counting{ReaderAt: r}
	before := allocated()
	i, err := program.Read(c, size)
	if used := allocated() - before; used > mostMemory {
		t.Errorf("%d bytes of memory for a file of %d", used, size)
	}
	if c.n > 2*size+17<<20 {
		t.Errorf("%d bytes read of a file of %d", c.n, size)
	}
	again, errAgain := program.Read(r, size)
	if !reflect.DeepEqual(i, again) || (err == nil) != (errAgain == nil) || err != nil && err.Error() != errAgain.Error() {
		t.Errorf("first %+v, %v, then %+v, %v", i, err, again, errAgain)
	}
	if err != nil {
		_, damaged := errors.AsType[*program.DamagedError](err)
		if strings.Contains(err.Error(), "cannot be read: ") || !damaged && !errors.Is(err, program.ErrNotBinary) || i != nil {
			t.Errorf("%+v, %v", i, err)
		}
		return
	}
	text, err := json.Marshal(i)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 32<<20 {
		t.Errorf("a result of %d bytes", len(text))
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	for tok, err := dec.Token(); err == nil; tok, err = dec.Token() {
		if s, ok := tok.(string); ok && strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q can be an order to a terminal", s)
		}
	}
}

// patched is a file with other bytes at some places.
type patched struct {
	b       []byte
	patches map[int64]byte
}

func (p patched) ReadAt(b []byte, off int64) (int, error) {
	n := copy(b, p.b[min(off, int64(len(p.b))):])
	if len(p.patches) > 0 {
		for at, v := range p.patches {
			if at >= off && at < off+int64(n) {
				b[at-off] = v
			}
		}
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// interesting are offsets in a file that its readers look at, so that mutations hit something.
func interesting(t testing.TB, b []byte) []int64 {
	w := &watching{ReaderAt: bytes.NewReader(b)}
	_, _ = program.Read(w, int64(len(b)))
	at := w.at
	for i := range int64(min(len(b), 2048)) {
		at = append(at, i)
	}
	if len(at) == 0 {
		t.Fatal("nothing was read")
	}
	return at
}

type watching struct {
	io.ReaderAt
	at []int64
}

func (w *watching) ReadAt(b []byte, off int64) (int, error) {
	for i := off; i < off+int64(len(b)); i += 4 {
		w.at = append(w.at, i)
	}
	return w.ReaderAt.ReadAt(b, off)
}

// FuzzMutated changes bytes of real programs: each patch is six bytes: where, as a number among the places that are
// read, and what is put there, one byte or four.
func FuzzMutated(f *testing.F) {
	var files [][]byte
	for _, file := range corpus(f) {
		files = append(files, load(f, file))
	}
	files = append(files, universal(f, false, appleProgram(f, "arm64"), appleProgram(f, "x86_64")), withoutSections(f, compile(f, "elf-default", "gcc", "p.c")))
	var places [][]int64
	for i, b := range files {
		places = append(places, interesting(f, b))
		f.Add(byte(i), uint16(0xffff), []byte{})
		f.Add(byte(i), uint16(0xffff), []byte{0, 0, 1, 40, 0xff, 0xff, 0, 0, 200, 60, 0xff, 0xff})
		f.Add(byte(i), uint16(0x8000), []byte{1, 0, 16, 24, 0, 1})
	}
	f.Fuzz(func(t *testing.T, which byte, part uint16, patches []byte) {
		b, at := files[int(which)%len(files)], places[int(which)%len(files)]
		p := patched{b[:int64(len(b))*int64(part)/0xffff], map[int64]byte{}}
		for ; len(patches) >= 6; patches = patches[6:] {
			n := int64(patches[0])<<16 | int64(patches[1])<<8 | int64(patches[2])
			where := at[n%int64(len(at))] + int64(patches[3]&3)
			if p.patches[where] = patches[4]; patches[3]&4 != 0 {
				for i, v := range binary.LittleEndian.AppendUint32(nil, uint32(int8(patches[4]))<<(patches[5]&31)) {
					p.patches[where+int64(i)] = v
				}
			}
		}
		hold(t, p, int64(len(p.b)))
	})
}

// FuzzRead reads anything.
func FuzzRead(f *testing.F) {
	for _, file := range corpus(f) {
		b := load(f, file)
		if len(b) > 40000 {
			b = b[:40000]
		}
		f.Add(b)
	}
	f.Add(decoded(f, "debug/macho/testdata/fat-gcc-386-amd64-darwin-exec"))
	f.Fuzz(func(t *testing.T, b []byte) { hold(t, bytes.NewReader(b), int64(len(b))) })
}

// corpus are the programs that are mutated: small ones of every kind, and three of Go.
func corpus(t testing.TB) []string {
	t.Helper()
	return []string{
		compile(t, "elf-default", "gcc", "p.c"), compile(t, "elf-c++", "g++", "p.cc", "-pthread"),
		compile(t, "elf-armhf", "arm-linux-gnueabihf-gcc", "p.c"), compile(t, "elf-v3", "gcc", "-O2", "-march=x86-64-v3", "-mneeded", "p.c"),
		compile(t, "elf-sysv-hash", "gcc", "-s", "-Wl,--hash-style=sysv", "p.c"), compile(t, "l.o", "gcc", "-c", "l.c"),
		goroot(t, "debug/pe/testdata/gcc-386-mingw-exec"), delayed(t), appleProgram(t, "arm64"),
		goBuild(t, "go-linux-s", "go", "linux/amd64", nil, "-ldflags=-s"), goBuild(t, "gos.exe", "go", "windows/amd64", nil, "-ldflags=-s"),
		goBuild(t, "go-darwin-s", "go", "darwin/arm64", nil, "-ldflags=-s"),
	}
}
