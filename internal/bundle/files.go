package bundle

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

const (
	smallFile = 256 << 10 // bytes of files that are read into memory at once
	heldBack  = 64 << 10  // bytes of larger ones that are held back until their hash is right
)

// A fileSystem is what Reader.FS returns.
type fileSystem struct{ r *Reader }

// folders knows what is in each folder.
type folders struct{ in map[string][]fs.DirEntry }

// folders builds the tree of names; they are as checkNames wants them, so no file is a folder.
func (r *Reader) folders() *folders {
	t := &folders{in: map[string][]fs.DirEntry{".": nil}}
	var mkdir func(dir string)
	mkdir = func(dir string) {
		if _, ok := t.in[dir]; ok {
			return
		}
		t.in[dir] = nil
		up := path.Dir(dir)
		mkdir(up)
		t.in[up] = append(t.in[up], fs.FileInfoToDirEntry(dirInfo{path.Base(dir), r.manifest.Time}))
	}
	for i, it := range r.layout.items {
		dir := path.Dir(it.name)
		mkdir(dir)
		t.in[dir] = append(t.in[dir], fs.FileInfoToDirEntry(r.info(i)))
	}
	for _, list := range t.in {
		slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	}
	return t
}

func (r *Reader) info(i int) fs.FileInfo {
	it := r.layout.items[i]
	return goproxy.FileInfo{Base: path.Base(it.name), Bytes: it.size, Mod: r.manifest.Time}
}

// Open opens an entry, or a folder of entries.
func (f fileSystem) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if i, ok := f.r.entries[name]; ok {
		return &file{r: f.r, i: i}, nil
	}
	if list, ok := f.r.tree().in[name]; ok {
		return &folder{info: dirInfo{path.Base(name), f.r.manifest.Time}, list: list}, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// Stat says what Open would open.
func (f fileSystem) Stat(name string) (fs.FileInfo, error) {
	file, err := f.Open(name)
	if err != nil {
		return nil, err
	}
	return file.Stat() // nothing is open that would have to be closed
}

// A file is an open entry. One goroutine may read it; ReadAt may be called by many.
type file struct {
	r   *Reader
	i   int
	pos int64

	small  *bytes.Reader // all of it, or the end of it from smallAt on: verified
	from   int64         // where small begins
	hash   hash.Hash     // of the bytes up to hashed, of a large file that is read in order
	hashed int64
	closed bool
}

func (f *file) size() int64 { return f.r.layout.items[f.i].size }

func (f *file) Stat() (fs.FileInfo, error) { return f.r.info(f.i), nil }

func (f *file) Close() error {
	if f.closed {
		return fs.ErrClosed
	}
	f.closed = true
	f.small, f.hash = nil, nil
	return nil
}

// Read reads on. What it returns before the end is hashed, not yet verified; the end comes only when
// all of it is.
func (f *file) Read(p []byte) (int, error) {
	if f.closed {
		return 0, fs.ErrClosed
	}
	if len(p) == 0 {
		return 0, nil
	}
	if f.pos >= f.size() {
		return f.end()
	}
	if f.small == nil && f.inMemory() {
		b, err := f.r.content(f.i)
		if err != nil {
			return 0, err
		}
		f.small, f.from = bytes.NewReader(b), 0
	}
	if f.small != nil && f.pos >= f.from {
		n, err := f.small.ReadAt(p, f.pos-f.from)
		f.pos += int64(n)
		if n > 0 {
			err = nil
		}
		return n, err
	}
	if !f.r.verified[f.i].Load() && f.pos == f.hashed {
		return f.readOn(p)
	}
	n, err := f.readAt(p, f.pos)
	f.pos += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

// end is the end of the file. An empty file has one too, and whoever seeks to it has not seen the bytes: no file ends before it is verified.
func (f *file) end() (int, error) {
	if !f.r.verified[f.i].Load() {
		if err := f.verify(); err != nil {
			return 0, err
		}
	}
	return 0, io.EOF
}

func (f *file) inMemory() bool {
	it := &f.r.layout.items[f.i]
	return it.size <= smallFile || it.method == methodDeflate || f.i < f.r.own()
}

// readOn reads a large file in order.
func (f *file) readOn(p []byte) (int, error) {
	if f.hash == nil {
		f.hash = sha256.New()
	}
	if room := f.size() - heldBack - f.pos; room > 0 {
		p = p[:min(int64(len(p)), room)]
		n, err := f.r.body.ReadAt(p, f.r.layout.data(f.i)+f.pos)
		if n < len(p) {
			return 0, f.r.unreadable(f.i, err)
		}
		f.hash.Write(p)
		f.pos += int64(n)
		f.hashed = f.pos
		return n, nil
	}
	rest := make([]byte, f.size()-f.pos)
	if _, err := f.r.body.ReadAt(rest, f.r.layout.data(f.i)+f.pos); err != nil {
		return 0, f.r.unreadable(f.i, err)
	}
	f.hash.Write(rest)
	f.hashed = f.size()
	if hexSum(f.hash) != f.r.hashes[f.i] {
		return 0, f.r.wrong(f.i, "")
	}
	f.r.verified[f.i].Store(true)
	f.small, f.from = bytes.NewReader(rest), f.pos
	n := copy(p, rest)
	f.pos += int64(n)
	return n, nil
}

// ReadAt reads anywhere, of a file that is verified first.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if f.closed {
		return 0, fs.ErrClosed
	}
	if off < 0 {
		return 0, &fs.PathError{Op: "read", Path: f.r.layout.items[f.i].name, Err: errors.New("negative offset")}
	}
	return f.readAt(p, off)
}

func (f *file) readAt(p []byte, off int64) (int, error) {
	stored := f.r.layout.items[f.i].method == methodStore
	if f.inMemory() && !(stored && f.r.verified[f.i].Load()) {
		b, err := f.r.content(f.i)
		if err != nil {
			return 0, err
		}
		return bytes.NewReader(b).ReadAt(p, off)
	}
	if !f.r.verified[f.i].Load() {
		if err := f.verify(); err != nil {
			return 0, err
		}
	}
	section := io.NewSectionReader(f.r.body, f.r.layout.data(f.i), f.size())
	n, err := section.ReadAt(p, off)
	if err != nil && (err != io.EOF || off+int64(n) < f.size()) {
		err = f.r.unreadable(f.i, err)
	}
	return n, err
}

// verify reads all of the file.
func (f *file) verify() error {
	if f.inMemory() {
		_, err := f.r.content(f.i)
		return err
	}
	h := sha256.New()
	n, err := io.CopyBuffer(h, struct{ io.Reader }{io.NewSectionReader(f.r.body, f.r.layout.data(f.i), f.size())}, make([]byte, copyBuffer))
	switch {
	case err != nil:
		return f.r.unreadable(f.i, err)
	case n < f.size():
		return f.r.unreadable(f.i, io.EOF)
	case hexSum(h) != f.r.hashes[f.i]:
		return f.r.wrong(f.i, "")
	}
	f.r.verified[f.i].Store(true)
	return nil
}

// Seek goes elsewhere; nothing is read.
func (f *file) Seek(offset int64, whence int) (int64, error) {
	if f.closed {
		return 0, fs.ErrClosed
	}
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += f.pos
	case io.SeekEnd:
		offset += f.size()
	default:
		offset = -1
	}
	if offset < 0 {
		return 0, &fs.PathError{Op: "seek", Path: f.r.layout.items[f.i].name, Err: fs.ErrInvalid}
	}
	f.pos = offset
	return offset, nil
}

// A dirInfo is the fs.FileInfo of a folder.
type dirInfo struct {
	name string
	time time.Time
}

func (d dirInfo) Name() string       { return d.name }
func (d dirInfo) Size() int64        { return 0 }
func (d dirInfo) Mode() fs.FileMode  { return fs.ModeDir | 0o555 }
func (d dirInfo) ModTime() time.Time { return d.time }
func (d dirInfo) IsDir() bool        { return true }
func (d dirInfo) Sys() any           { return nil }

// A folder is an open folder.
type folder struct {
	info dirInfo
	list []fs.DirEntry
}

func (d *folder) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *folder) Close() error               { return nil }
func (d *folder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.name, Err: errors.New("it is a folder")}
}

// ReadDir lists the next n entries, all that are left for n below 1.
func (d *folder) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(d.list) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(d.list) {
		n = len(d.list)
	}
	out := slices.Clone(d.list[:n])
	d.list = d.list[n:]
	return out, nil
}
