package binary_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	program "github.com/goferry/goferry/internal/binary"
)

// TestGoTargets: what Go builds without cgo is what Read says it is. GOFERRY_CGO_MATRIX=all builds for every target of the
// go command instead of those that the other tests use, or name some with commas between: each costs a build of the runtime.
func TestGoTargets(t *testing.T) {
	targets := []string{"linux/amd64", "linux/arm", "windows/amd64", "darwin/arm64"}
	switch v := os.Getenv("GOFERRY_CGO_MATRIX"); {
	case v == "all":
		targets = strings.Fields(run(t, nil, "", "go", "tool", "dist", "list"))
	case strings.Contains(v, "/"):
		targets = strings.Split(v, ",")
	}
	for _, target := range targets {
		system, arch, _ := strings.Cut(target, "/")
		if arch == "wasm" || system == "ios" || system == "android" && arch != "arm64" { // no program, or not without cgo
			continue
		}
		file := goBuild(t, "target-"+system+"-"+arch, "go", target, []string{"GOARM=7"}, "-ldflags=-s")
		if system == "aix" || system == "plan9" {
			b := load(t, file)
			if _, err := program.Read(bytes.NewReader(b), int64(len(b))); !errors.Is(err, program.ErrNotBinary) {
				t.Errorf("%s: %v", target, err)
			}
			continue
		}
		i := read(t, file)
		static := slices.Contains([]string{"linux", "freebsd", "netbsd", "dragonfly"}, system)
		if i.OS+"/"+i.Arch != target || i.Kind != program.Executable || i.Static != static || !yes(i.Hardening.Stripped) {
			t.Errorf("%s: %s/%s, static %v, %+v", target, i.OS, i.Arch, i.Static, i)
		}
		if i.Go == nil || !strings.HasPrefix(i.Go.Version, "go1.") || len(i.Packages) < 5 || i.Packages[0].Path != "runtime" {
			t.Errorf("%s: Go %+v, packages %+v", target, i.Go, i.Packages)
		}
	}
}

// TestELFMachines: the machines have Go's names; readelf says that the numbers are those of these machines.
func TestELFMachines(t *testing.T) {
	const little, big = 1, 2
	for _, c := range []struct {
		machine   uint16
		bits      int
		order     byte
		flags     uint32
		arch, say string
	}{
		{3, 32, little, 0, "386", "Intel 80386"}, {62, 64, little, 0, "amd64", "X86-64"}, {62, 32, little, 0, "amd64p32", "X86-64"},
		{40, 32, little, 0, "arm", "ARM"}, {40, 32, big, 0, "armbe", "ARM"}, {183, 64, little, 0, "arm64", "AArch64"}, {183, 64, big, 0, "arm64be", "AArch64"},
		{8, 32, big, 0, "mips", "MIPS R3000"}, {8, 32, little, 0, "mipsle", "MIPS R3000"}, {8, 64, big, 0, "mips64", "MIPS R3000"}, {8, 64, little, 0, "mips64le", "MIPS R3000"},
		{8, 32, little, 0x20, "mips64p32le", "MIPS R3000"}, {20, 32, big, 0, "ppc", "PowerPC"}, {21, 64, big, 0, "ppc64", "PowerPC64"}, {21, 64, little, 0, "ppc64le", "PowerPC64"},
		{243, 64, little, 0, "riscv64", "RISC-V"}, {243, 32, little, 0, "riscv", "RISC-V"}, {22, 64, big, 0, "s390x", "IBM S/390"}, {22, 32, big, 0, "s390", "IBM S/390"},
		{258, 64, little, 0, "loong64", "LoongArch"}, {2, 32, big, 0, "sparc", "Sparc"}, {43, 64, big, 0, "sparc64", "Sparc v9"}, {50, 64, little, 0, "ia64", "Intel IA-64"},
		{0x9026, 64, little, 0, "alpha", "Alpha"}, {15, 32, big, 0, "hppa", "HPPA"}, {4, 32, big, 0, "m68k", "MC68000"}, {247, 64, little, 0, "bpf", "Linux BPF"}, {9999, 64, little, 0, "machine-9999", "270f"},
	} {
		b := objectHeader(c.machine, c.bits, c.order, c.flags)
		if i := readBytes(t, b); i.Arch != c.arch || i.Bits != c.bits || i.Kind != program.Object {
			t.Errorf("machine %d: %+v, want %s", c.machine, i, c.arch)
		}
		file := filepath.Join(t.TempDir(), "o")
		if err := os.WriteFile(file, b, 0o666); err != nil {
			t.Fatal(err)
		}
		if text := run(t, nil, "", "readelf", "-hW", file); !strings.Contains(text, c.say) {
			t.Errorf("readelf does not say %q:\n%s", c.say, text)
		}
	}
}

// objectHeader is the header of an ELF object with nothing in it.
func objectHeader(machine uint16, bits int, order byte, flags uint32) []byte {
	var o binary.AppendByteOrder = binary.LittleEndian
	if order == 2 {
		o = binary.BigEndian
	}
	size, section, word := 52, 40, func(b []byte) []byte { return o.AppendUint32(b, 0) }
	if bits == 64 {
		size, section, word = 64, 64, func(b []byte) []byte { return o.AppendUint64(b, 0) }
	}
	b := append([]byte("\x7fELF"), byte(bits/32), order, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = o.AppendUint32(o.AppendUint16(o.AppendUint16(b, 1), machine), 1)
	b = o.AppendUint32(word(word(word(b))), flags)
	for _, v := range []int{size, 0, 0, section, 0, 0} {
		b = o.AppendUint16(b, uint16(v))
	}
	return b
}
