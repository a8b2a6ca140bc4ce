package tcptrace

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf/asm"
)

var update = flag.Bool("update", false, "write the programs, and say what their sums are")

// Addresses on the stack of a program.
const (
	stackZero   = -4      // the key of the only element of mapOffsets
	stackFamily = -8      // 2 bytes
	stackKey    = -8 - 24 // a key
	stackPort   = -8 - 8  // in it
	stackIPv4   = -8 - 12 // in it: the last four bytes of the address
	stackMapped = -8 - 14 // in it: the two bytes before, all ones for IPv4
)

// assemble is the program that adds 1 to the count at offset in the value of the connection's other end, if that is watched.
// The first argument of each of the tracepoints is a struct sock.
func assemble(offset int32) asm.Instructions {
	// field reads size bytes of the sock (R6) at the offset that is the index-th of R7.
	field := func(index int, size int32, to int32) asm.Instructions {
		return asm.Instructions{
			asm.LoadMem(asm.R3, asm.R7, int16(4*index), asm.Word),
			asm.Add.Reg(asm.R3, asm.R6),
			asm.Mov.Imm(asm.R2, size),
			asm.Mov.Reg(asm.R1, asm.RFP),
			asm.Add.Imm(asm.R1, to),
			asm.FnProbeReadKernel.Call(),
			asm.JNE.Imm(asm.R0, 0, "end"),
		}
	}
	var code asm.Instructions
	add := func(ins ...asm.Instruction) { code = append(code, ins...) }
	add(asm.LoadMem(asm.R6, asm.R1, 0, asm.DWord),
		asm.JEq.Imm(asm.R6, 0, "end"), // a reset that belongs to no socket
		asm.Mov.Imm(asm.R1, 0),
		asm.StoreMem(asm.RFP, stackKey, asm.R1, asm.DWord),
		asm.StoreMem(asm.RFP, stackKey+8, asm.R1, asm.DWord),
		asm.StoreMem(asm.RFP, stackKey+16, asm.R1, asm.DWord),
		asm.StoreMem(asm.RFP, stackFamily, asm.R1, asm.DWord), // and stackZero
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, stackZero),
		asm.LoadMapPtr(asm.R1, mapOffsets),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "end"),
		asm.Mov.Reg(asm.R7, asm.R0))
	add(field(0, 2, stackFamily)...)
	add(field(1, 2, stackPort)...)
	add(asm.LoadMem(asm.R8, asm.RFP, stackFamily, asm.Half),
		asm.JEq.Imm(asm.R8, 10, "ipv6"), // AF_INET6
		asm.JNE.Imm(asm.R8, 2, "end"),   // AF_INET
		asm.Mov.Imm(asm.R1, 0xffff),
		asm.StoreMem(asm.RFP, stackMapped, asm.R1, asm.Half))
	add(field(2, 4, stackIPv4)...)
	add(asm.Ja.Label("count"))
	six := field(3, 16, stackKey)
	six[0] = six[0].WithSymbol("ipv6")
	add(six...)
	add(asm.Mov.Reg(asm.R2, asm.RFP).WithSymbol("count"),
		asm.Add.Imm(asm.R2, stackKey),
		asm.LoadMapPtr(asm.R1, mapCounts),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "end"), // nobody asked
		asm.Mov.Imm(asm.R1, 1),
		asm.AddAtomic.Mem(asm.R0, asm.R1, asm.DWord, int16(offset)),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("end"),
		asm.Return())
	return code
}

// TestPrograms holds the programs to what assemble makes, byte for byte, and their sums to them.
func TestPrograms(t *testing.T) {
	for i, p := range programs() {
		var b bytes.Buffer
		if err := assemble(int32(8*i)).Marshal(&b, binary.LittleEndian); err != nil {
			t.Fatal(err)
		}
		sum := fmt.Sprintf("%x", sha256.Sum256(b.Bytes()))
		if *update {
			if err := os.WriteFile(p.tracepoint+".bpf", b.Bytes(), 0o666); err != nil {
				t.Fatal(err)
			}
			t.Logf("%s %s", p.tracepoint, sum)
			continue
		}
		if b.String() != p.code || sum != p.sum {
			t.Errorf("%s.bpf is not what is assembled, with SHA-256 %s; go generate writes it, and names the sums", p.tracepoint, sum)
		}
	}
}

// TestAlteredPrograms shows that no byte can be another one.
func TestAlteredPrograms(t *testing.T) {
	for _, p := range programs() {
		if _, err := p.checked(); err != nil {
			t.Error(err)
		}
		for i := range p.code {
			other := p
			other.code = p.code[:i] + string(p.code[i]^1) + p.code[i+1:]
			if _, err := other.checked(); err == nil || !strings.Contains(err.Error(), p.tracepoint) {
				t.Fatalf("%s with another byte %d: %v", p.tracepoint, i, err)
			}
		}
	}
}
