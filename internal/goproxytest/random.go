package goproxytest

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"sort"

	"golang.org/x/mod/module"
)

// A noise is a blob of bytes that no compressor makes smaller. They follow from
// the seed and the place alone, so that nothing is kept.
type noise struct {
	seed uint64
	size int64
}

const noiseBlock = 8 << 10

func (n noise) Size() int64 { return n.size }

func (n noise) ReadAt(p []byte, off int64) (int, error) {
	var block [noiseBlock]byte
	done := 0
	for done < len(p) && off < n.size {
		n.block(uint64(off/noiseBlock), &block)
		from := off % noiseBlock
		m := copy(p[done:], block[from:min(noiseBlock, from+n.size-off)])
		done += m
		off += int64(m)
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

func (n noise) block(i uint64, b *[noiseBlock]byte) {
	src := rand.NewPCG(n.seed, i)
	for j := 0; j < noiseBlock; j += 8 {
		binary.LittleEndian.PutUint64(b[j:], src.Uint64())
	}
}

// joined is blobs one after the other.
type joined struct {
	parts []blob
	ends  []int64
}

func join(parts ...blob) joined {
	j := joined{parts: parts}
	end := int64(0)
	for _, p := range parts {
		end += p.Size()
		j.ends = append(j.ends, end)
	}
	return j
}

func (j joined) Size() int64 { return j.ends[len(j.ends)-1] }

func (j joined) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for i := sort.Search(len(j.ends), func(i int) bool { return j.ends[i] > off }); i < len(j.parts) && done < len(p); i++ {
		start := j.ends[i] - j.parts[i].Size()
		want := p[done:min(int64(len(p)), int64(done)+j.ends[i]-off)]
		n, err := j.parts[i].ReadAt(want, off-start)
		done += n
		off += int64(n)
		if n < len(want) {
			return done, err
		}
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

// AddRandom adds a version whose zip holds a go.mod and a file data.bin of size
// bytes that do not compress, stored as they are. The contents follow from path
// and version. Whatever its size, it takes no memory to speak of.
func (h *Handler) AddRandom(path, version string, size int64) error {
	m, err := newRandom(path, version, size, "")
	if err != nil {
		return fmt.Errorf("module %s@%s: %w", path, version, err)
	}
	m.wrong = func() (*mod, error) { return newRandom(path, version, size, "tampered") }
	h.add(m)
	return nil
}

func newRandom(path, version string, size int64, salt string) (*mod, error) {
	m := &mod{Version: module.Version{Path: path, Version: version}, time: baseTime()}
	if err := check(m.Version); err != nil {
		return nil, err
	}
	files := map[string]string{}
	if salt != "" {
		files[".mod"] = tamper("module " + path)
	}
	if err := m.fill(files); err != nil {
		return nil, err
	}
	hash := fnv.New64a()
	fmt.Fprint(hash, path, version, size, salt)
	data := noise{hash.Sum64(), size}
	crc := crc32.NewIEEE()
	if _, err := io.Copy(crc, io.NewSectionReader(data, 0, size)); err != nil {
		return nil, err
	}
	if err := m.frame(data, crc.Sum32()); err != nil {
		return nil, err
	}
	m.zipTag = fmt.Sprintf("%016x", data.seed)
	m.flip = m.zip.Size() / 2 // data.bin is nearly all of it
	if size < 1000 {
		at, err := middleOfFile(m.zip)
		if err != nil {
			return nil, err
		}
		m.flip = at
	}
	return m, nil
}

// frame puts a zip around data. The zip is written with a writer that drops
// what stands for data, and keeps what comes before and after.
func (m *mod) frame(data noise, crc uint32) error {
	var head, tail bytes.Buffer
	out := &switchWriter{w: &head}
	zw := zip.NewWriter(out)
	pre := m.Path + "@" + m.Version.Version + "/"
	w, err := zw.Create(pre + "go.mod")
	if err != nil {
		return err
	}
	if _, err := w.Write(m.mod); err != nil {
		return err
	}
	w, err = zw.CreateRaw(&zip.FileHeader{Name: pre + "data.bin", Method: zip.Store, CRC32: crc,
		CompressedSize64: uint64(data.size), UncompressedSize64: uint64(data.size)})
	if err != nil {
		return err
	}
	if err := zw.Flush(); err != nil {
		return err
	}
	out.w = io.Discard
	zero := make([]byte, 32<<10)
	for left := data.size; left > 0; {
		n, err := w.Write(zero[:min(left, int64(len(zero)))])
		if err != nil {
			return err
		}
		left -= int64(n)
	}
	if err := zw.Flush(); err != nil {
		return err
	}
	out.w = &tail
	if err := zw.Close(); err != nil {
		return err
	}
	m.zip = join(bytes.NewReader(head.Bytes()), data, bytes.NewReader(tail.Bytes()))
	return nil
}

type switchWriter struct{ w io.Writer }

func (s *switchWriter) Write(p []byte) (int, error) { return s.w.Write(p) }
