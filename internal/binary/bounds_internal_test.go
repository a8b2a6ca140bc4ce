package binary

import (
	"bytes"
	"debug/elf"
	"testing"
)

// TestSearchEnds: a table of thousands of segments that are all the same part of a file does not make its reader search that
// part thousands of times: it is in memory, so no bound of reading ends that.
func TestSearchEnds(t *testing.T) {
	const size = 64 << 10
	b := bytes.Repeat([]byte("\xf1\xff\xff\xff\x00\x00\x01\x08"), size/8)
	m := newImage(bytes.NewReader(b), size)
	whole := make([]span, 4000)
	for i := range whole {
		whole[i] = span{0, size}
	}
	checks := 0
	for _, s := range whole {
		m.parts().find(s, []byte("\xf1\xff\xff\xff"), 4, func(uint64) bool { checks++; return false })
	}
	if most := int(8*size+64<<20) / 8; checks == 0 || checks > most {
		t.Errorf("%d places were looked at, want at most %d", checks, most)
	}
}

func (m *image) parts() parts { return parts{image: m} }

// TestNotesEnd: the same for notes.
func TestNotesEnd(t *testing.T) {
	note := []byte("\x04\x00\x00\x00\x10\x00\x00\x00\x01\x00\x00\x00GNU\x00\x00\x00\x00\x00\x03\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00")
	b := bytes.Repeat(note, maxNotes/len(note))
	b = append(b, bytes.ReplaceAll(note, []byte("\x03\x00\x00\x00\x02"), []byte("\x09\x00\x00\x00\x02"))...)
	f := &elfFile{image: newImage(bytes.NewReader(b), int64(len(b)))}
	for range 3 {
		f.segments = append(f.segments, elfSegment{kind: elf.PT_NOTE, length: uint64(len(b))})
	}
	if err := f.readNotes(); err != nil || f.notes.kernel != "3.2.0" {
		t.Errorf("kernel %q, %v: the last note, behind the bound, was read", f.notes.kernel, err)
	}
}
