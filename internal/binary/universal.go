package binary

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// readUniversal reads a file that has a program for each of several machines.
// What it says of itself is what all of them have in common; the rest is in Members.
func readUniversal(m *image) (*Info, error) {
	m.order = binary.BigEndian
	head, err := m.piece("the header of the universal file", 0, 8)
	if err != nil {
		return nil, err
	}
	size := uint64(20)
	if m.wide = head.u32(0) == 0xcafebabf; m.wide {
		size = 32
	}
	count := uint64(head.u32(4))
	if count == 0 {
		return nil, m.damaged("a universal file without a program")
	}
	table, err := m.piece("the table of programs", 8, size*count)
	if err != nil {
		return nil, err
	}
	all := &Info{Bits: 64}
	for i := range count {
		r := record{table.b[i*size : (i+1)*size], m.order}
		off, n := uint64(r.u32(8)), uint64(r.u32(12))
		if m.wide {
			off, n = r.u64(8), r.u64(16)
		}
		if off < 8+size*count || !m.within(off, n) {
			return nil, m.damaged("program %d has %d bytes at byte %d, which are not in the file of %d: it may have been cut", i, n, off, m.size)
		}
		one, err := m.readMember(off, n)
		if err != nil {
			arch, _ := machoArch(r.u32(0), r.u32(4))
			return nil, memberError(arch, err)
		}
		all.Members = append(all.Members, one)
	}
	all.summarize()
	return all, nil
}

func (m *image) readMember(off, n uint64) (*Info, error) {
	s := m.member(off, n)
	most, search := s.left, s.scan
	i, err := s.read(false)
	m.left -= most - s.left // all members together may not take more reading than one file
	m.scan -= search - max(s.scan, 0)
	m.forget()
	return i, err
}

// memberError says which program of a universal file an error is about.
func memberError(arch string, err error) error {
	if d, ok := errors.AsType[*DamagedError](err); ok {
		return &DamagedError{Format: Universal, What: fmt.Sprintf("the program for %s: %s", arch, d.What), Err: err}
	}
	return err // an archive of objects, for several machines, is an archive
}

// summarize says of a universal file what is the same in all its programs.
func (i *Info) summarize() {
	first := i.Members[0]
	i.Kind, i.OS, i.Bits, i.Static = first.Kind, first.OS, first.Bits, true
	for _, m := range i.Members {
		if m.Kind != i.Kind {
			i.Kind = Executable
		}
		if m.OS != i.OS {
			i.OS = ""
		}
		i.Bits = max(i.Bits, m.Bits)
		i.Static = i.Static && m.Static
		if m.Go != nil && i.Go == nil {
			i.Go = m.Go
		}
	}
}

// member is a part of a file as a reader of its own, for the members of universal files. It has the pages of m: m must
// forget them when it is done.
func (m *image) member(off, n uint64) *image {
	m.forget()
	s := newImage(io.NewSectionReader(m.r, int64(off), int64(n)), int64(n))
	s.pages, s.left, s.scan = m.pages, min(s.left, m.left), min(s.scan, m.scan)
	return s
}

// forget drops what the pages have; their memory is used again.
func (m *image) forget() {
	for i := range m.pages {
		m.pages[i].bytes = nil
	}
}
