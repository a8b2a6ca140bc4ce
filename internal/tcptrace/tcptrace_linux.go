package tcptrace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// kernelTypes is where the kernel describes its types. https://docs.kernel.org/bpf/btf.html
const kernelTypes = "/sys/kernel/btf/vmlinux"

// license is what the programs say of themselves: bpf_probe_read_kernel is for those that are GPL-compatible, as the
// MIT License of goferry is. "MIT" alone is not among the words that the kernel knows.
// https://docs.kernel.org/process/license-rules.html
const license = "Dual MIT/GPL"

// A Trace counts from Open to Close. Its methods can be called at the same time.
type Trace struct {
	mu     sync.Mutex
	counts *ebpf.Map // Counts by key; nil when it is closed
	rest   []closer  // the links first
}

type closer interface{ Close() error }

// Open checks the programs, loads them and lets them run at their tracepoints. It fails with ErrNotHere,
// ErrNoRights, ErrAltered, or with something else that is a fault of goferry.
func Open() (*Trace, error) { return open(programs(), kernelTypes) }

func open(list []program, types string) (*Trace, error) {
	specs := make([]*ebpf.ProgramSpec, len(list))
	for i, p := range list { // all are right, or none is shown to the kernel
		code, err := p.checked()
		if err != nil {
			return nil, err
		}
		ins, err := asm.AppendInstructions(nil, code, binary.LittleEndian, "linux")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.tracepoint, err)
		}
		specs[i] = &ebpf.ProgramSpec{Name: "goferry_tcp", Type: ebpf.RawTracepoint, Instructions: ins, License: license, ByteOrder: binary.LittleEndian}
	}
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		return nil, fmt.Errorf("%w: the machine is big-endian", ErrNotHere)
	}
	t := &Trace{}
	if err := t.start(list, specs, types); err != nil {
		return nil, errors.Join(why(err), t.Close())
	}
	return t, nil
}

// start makes the maps, loads the programs and attaches them. What it made is in t, also where it fails.
func (t *Trace) start(list []program, specs []*ebpf.ProgramSpec, types string) error {
	// The first thing that takes rights, and cheap.
	counts, err := ebpf.NewMap(&ebpf.MapSpec{Name: "goferry_counts", Type: ebpf.Hash, KeySize: uint32(binary.Size(key{})),
		ValueSize: uint32(binary.Size(Counts{})), MaxEntries: addrMost})
	if err != nil {
		return err
	}
	t.counts = counts
	values, err := offsets(types)
	if err != nil {
		return err
	}
	fields, err := ebpf.NewMap(&ebpf.MapSpec{Name: "goferry_fields", Type: ebpf.Array, KeySize: 4, ValueSize: uint32(4 * len(values)), MaxEntries: 1,
		Contents: []ebpf.MapKV{{Key: uint32(0), Value: values}}})
	if err != nil {
		return err
	}
	t.rest = append(t.rest, fields)
	for i, spec := range specs {
		if err := t.attach(spec, fields, list[i].tracepoint); err != nil {
			return fmt.Errorf("%s: %w", list[i].tracepoint, err)
		}
	}
	return nil
}

// attach loads a program and lets it run.
func (t *Trace) attach(spec *ebpf.ProgramSpec, fields *ebpf.Map, tracepoint string) error {
	maps := map[int64]*ebpf.Map{mapOffsets: fields, mapCounts: t.counts}
	for i := range spec.Instructions {
		if ins := &spec.Instructions[i]; ins.IsLoadFromMap() {
			if err := ins.AssociateMap(maps[ins.Constant]); err != nil {
				return err
			}
		}
	}
	prog, err := ebpf.NewProgram(spec)
	if err != nil {
		return err
	}
	t.rest = append([]closer{prog}, t.rest...)
	l, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: tracepoint, Program: prog})
	if err != nil {
		return err
	}
	t.rest = append([]closer{l}, t.rest...)
	return nil
}

// why makes one of the errors of Open of what the kernel said, where it is one.
func why(err error) error {
	_, rejected := errors.AsType[*ebpf.VerifierError](err)
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: %w", ErrNoRights, unix.EPERM) // without the advice for programmers that the library gives
	case rejected: // a fault of the program
		return err
	case errors.Is(err, ErrNotHere):
		return err
	case errors.Is(err, ebpf.ErrNotSupported), errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%w: %w", ErrNotHere, err)
	}
	return err
}

// offsets finds the offsets of offsetFields in the kernel's own description of its types.
func offsets(types string) ([]uint32, error) {
	spec, err := btf.LoadSpec(types)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotHere, err)
	}
	var common *btf.Struct
	if err := spec.TypeByName("sock_common", &common); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotHere, err)
	}
	found := map[string]uint32{}
	fieldsOf(common.Members, 0, found)
	names := offsetFields()
	values := make([]uint32, len(names))
	for i, name := range names {
		at, ok := found[name]
		if !ok && name != "skc_v6_daddr" { // a kernel without IPv6 has no such sockets, either
			return nil, fmt.Errorf("%w: %s describes no %s", ErrNotHere, types, name)
		}
		values[i] = at
	}
	return values, nil
}

// fieldsOf collects the offsets in bytes of members, and of those of the unnamed structs and unions in them.
func fieldsOf(members []btf.Member, start uint32, found map[string]uint32) {
	for _, m := range members {
		at := start + m.Offset.Bytes()
		if m.Name != "" {
			found[m.Name] = at
			continue
		}
		switch t := btf.UnderlyingType(m.Type).(type) {
		case *btf.Struct:
			fieldsOf(t.Members, at, found)
		case *btf.Union:
			fieldsOf(t.Members, at, found)
		}
	}
}

// Watch begins to count for an address, if nothing is counted for it yet. It fails where too many are watched.
func (t *Trace) Watch(addr netip.AddrPort) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		return fs.ErrClosed
	}
	err := t.counts.Update(keyOf(addr), Counts{}, ebpf.UpdateNoExist)
	if errors.Is(err, ebpf.ErrKeyExist) {
		return nil
	}
	return err
}

// Counts returns what was counted for an address since Watch; false if it is not watched.
func (t *Trace) Counts(addr netip.AddrPort) (Counts, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var c Counts
	if t.counts == nil || t.counts.Lookup(keyOf(addr), &c) != nil {
		return Counts{}, false
	}
	return c, true
}

// Close ends the counting and takes everything out of the kernel. A second one does nothing.
func (t *Trace) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for _, c := range t.rest {
		errs = append(errs, c.Close())
	}
	if t.counts != nil {
		errs = append(errs, t.counts.Close())
	}
	t.rest, t.counts = nil, nil
	return errors.Join(errs...)
}
