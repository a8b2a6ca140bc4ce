package cache

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/store"
)

// budget is the memory that fills may use when the disk takes no more.
type budget struct {
	mu   sync.Mutex
	left int64
}

func (b *budget) take(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left < n {
		return false
	}
	b.left -= n
	return true
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	b.left += n
	b.mu.Unlock()
}

// chunkSize is the piece in which a spool takes memory. Pieces do not move when more comes:
// a slice that grows would need twice what the budget allows.
const chunkSize = 64 << 10

// spool takes the bytes of a fill: on disk as long as the disk takes them, the
// rest in memory, so that a full disk does not keep an asker from the file. What is
// not wholly on disk cannot be kept.
type spool struct {
	disk   *store.Spool // nil if none could be made
	memory *budget

	mu      sync.RWMutex
	onDisk  int64
	chunks  [][]byte // what is behind onDisk; each of chunkSize
	inChunk int64    // bytes in chunks
	full    error    // why the disk takes no more
	refs    int
}

func newSpool(st *store.Store, memory *budget) *spool {
	s := &spool{memory: memory, refs: 1}
	s.disk, s.full = st.Create()
	return s
}

// errNoRoom is the error of a spool that neither disk nor memory has room for.
var errNoRoom = fmt.Errorf("%w: the disk of the cache takes no more, and memory for what does not fit is used up", goproxy.ErrUnavailable)

// Write appends p. It fails only when neither disk nor memory takes it, with errNoRoom and what
// the disk said.
func (s *spool) Write(p []byte) (int, error) {
	n := 0
	if s.whyFull() == nil {
		var err error
		n, err = s.disk.Write(p)
		s.mu.Lock()
		s.onDisk += int64(n)
		s.full = err
		s.mu.Unlock()
		if err == nil {
			return n, nil
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for n < len(p) {
		at := int(s.inChunk % chunkSize)
		if at == 0 {
			if !s.memory.take(chunkSize) {
				return n, fmt.Errorf("%w: %w", errNoRoom, s.full)
			}
			s.chunks = append(s.chunks, make([]byte, chunkSize))
		}
		m := copy(s.chunks[len(s.chunks)-1][at:], p[n:])
		s.inChunk += int64(m)
		n += m
	}
	return n, nil
}

// whyFull is why the disk takes no more; nil as long as it does.
func (s *spool) whyFull() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.full
}

// Size is the number of bytes that can be read.
func (s *spool) Size() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.onDisk + s.inChunk
}

// ReadAt reads what has been written so far.
func (s *spool) ReadAt(p []byte, off int64) (int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := 0
	if off < s.onDisk {
		want := min(int64(len(p)), s.onDisk-off)
		var err error
		n, err = s.disk.ReadAt(p[:want], off)
		if err != nil && !(errors.Is(err, io.EOF) && int64(n) == want) {
			return n, err
		}
	}
	for at := off + int64(n) - s.onDisk; n < len(p) && at < s.inChunk; {
		chunk := s.chunks[at/chunkSize][at%chunkSize : min(chunkSize, s.inChunk-at/chunkSize*chunkSize)]
		m := copy(p[n:], chunk)
		n += m
		at += int64(m)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// commit gives the spool its name in the store. The error says why it was not kept.
func (s *spool) commit(name string, mod time.Time) error {
	if err := s.whyFull(); err != nil {
		return err
	}
	return s.disk.Commit(name, mod)
}

func (s *spool) ref() {
	s.mu.Lock()
	s.refs++
	s.mu.Unlock()
}

// unref frees disk and memory with the last of the fill and its readers.
func (s *spool) unref() {
	s.mu.Lock()
	s.refs--
	last := s.refs == 0
	s.mu.Unlock()
	if !last {
		return
	}
	s.memory.give(int64(len(s.chunks)) * chunkSize)
	if s.disk != nil {
		_ = s.disk.Close() // a nameless file; there is nothing left to lose
	}
}
