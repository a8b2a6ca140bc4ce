package goproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"
	"time"

	"golang.org/x/mod/module"
)

// Sizes in bytes beyond which an answer is refused. Zip and go.mod limits are those
// of the Go modules reference; the others are a hundred times what real modules need.
const (
	MaxInfo = 1 << 20
	MaxList = 8 << 20
	MaxMod  = 16 << 20
	MaxZip  = 500 << 20
)

// MaxSize is the largest legal size of a file of kind k in bytes.
func (k Kind) MaxSize() int64 {
	switch k {
	case List:
		return MaxList
	case Mod:
		return MaxMod
	case Zip:
		return MaxZip
	}
	return MaxInfo
}

// Meta says how a Source came by a File. A File that has one returns a *Meta from
// Stat().Sys().
type Meta struct {
	Result  string        // "hit", "miss" or "stale"
	Age     time.Duration // for mutable files: how long ago the upstream confirmed it
	Warning string        // one line for the Warning header; empty if all is well
}

// MetaOf returns the Meta of a File's info, or one that says nothing.
func MetaOf(info fs.FileInfo) Meta {
	if m, ok := info.Sys().(*Meta); ok && m != nil {
		return *m
	}
	return Meta{}
}

// FileInfo is the fs.FileInfo of files that are not on disk, or not yet.
type FileInfo struct {
	Base  string    // last element of the name
	Bytes int64     // length in bytes; negative while it is unknown
	Mod   time.Time // when the content was fixed
	Meta  *Meta     // may be nil
}

// Name returns the last element of the file's name.
func (i FileInfo) Name() string { return i.Base }

// Size returns the length in bytes, negative while it is unknown.
func (i FileInfo) Size() int64 { return i.Bytes }

// Mode is that of a read-only regular file.
func (i FileInfo) Mode() fs.FileMode { return 0o444 }

// ModTime returns when the content was fixed.
func (i FileInfo) ModTime() time.Time { return i.Mod }

// IsDir returns false.
func (i FileInfo) IsDir() bool { return false }

// Sys returns the *Meta, or nil.
func (i FileInfo) Sys() any {
	if i.Meta == nil {
		return nil
	}
	return i.Meta
}

// A MemFile is a File in memory.
type MemFile struct {
	bytes.Reader
	*content
}

// content is what the files of the same bytes share.
type content struct {
	data []byte
	info FileInfo
	head atomic.Pointer[head] // nil until a Handler has answered with it
}

// NewFile returns a File that reads data. The caller must not change data afterwards.
func NewFile(req Request, data []byte, mod time.Time, meta *Meta) *MemFile {
	return openContent(&content{data: data, info: FileInfo{Base: base(req), Bytes: int64(len(data)), Mod: mod, Meta: meta}})
}

func openContent(c *content) *MemFile {
	f := &MemFile{content: c}
	f.Reset(c.data)
	return f
}

// Again opens the file once more, at its beginning. The files share all but their offsets, also their
// Meta: whoever keeps a file in memory opens it by this for each asker, and what a Handler finds out
// about it once is known to every later answer.
func (f *MemFile) Again() *MemFile { return openContent(f.content) }

// base is the last element of the name of req.
func base(req Request) string {
	v, err := module.EscapeVersion(req.Version)
	switch {
	case req.Kind == Latest:
		return "@latest"
	case req.Kind == List || err != nil:
		return req.Kind.String()
	}
	return v + "." + req.Kind.String()
}

// Stat describes the file.
func (f *MemFile) Stat() (fs.FileInfo, error) { return &f.info, nil }

// Close does nothing.
func (f *MemFile) Close() error { return nil }

// Bytes returns the whole content, whatever has been read; it must not be changed.
func (f *MemFile) Bytes() []byte { return f.data }

// ReadFile reads the whole file req from src, up to req.Kind.MaxSize bytes.
func ReadFile(ctx context.Context, src Source, req Request) ([]byte, error) {
	f, err := src.Open(ctx, req)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, req)
}

func readAll(f File, req Request) ([]byte, error) {
	if m, ok := f.(*MemFile); ok {
		return m.data, nil
	}
	data, err := io.ReadAll(io.LimitReader(f, req.Kind.MaxSize()+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > req.Kind.MaxSize() {
		return nil, &Error{Request: req, Err: tooLarge(req.Kind)}
	}
	return data, nil
}

// Copy copies the file req from src to dst.
func Copy(ctx context.Context, dst Sink, src Source, req Request) error {
	f, err := src.Open(ctx, req)
	if err != nil {
		return err
	}
	defer f.Close()
	return dst.Put(ctx, req, f)
}

func tooLarge(k Kind) error {
	return fmt.Errorf("%w: the %s is larger than the %d MiB that are legal", ErrUnavailable, k, k.MaxSize()>>20)
}

// A StreamFile adapts a stream that may be opened again at any offset to a File. When
// a Read failed, the next one opens the stream again where it broke off.
type StreamFile struct {
	reopen func(offset int64) (io.ReadCloser, error)
	body   io.ReadCloser // nil where the next Read has to open it again
	at     int64         // offset of body
	off    int64         // offset of the next Read
	info   FileInfo
	closed bool
}

// NewStreamFile returns a File of the given info which reads first from body
// (positioned at 0) and opens the stream again for every seek elsewhere. reopen must give
// the same bytes as before, from offset on.
func NewStreamFile(info FileInfo, body io.ReadCloser, reopen func(offset int64) (io.ReadCloser, error)) *StreamFile {
	return &StreamFile{info: info, body: body, reopen: reopen}
}

// Read reads from the stream, opening it again if Seek moved or the last Read failed. A stream
// that ends before or behind the length of its info is an error.
func (f *StreamFile) Read(p []byte) (int, error) {
	if f.closed {
		return 0, fs.ErrClosed
	}
	if f.body != nil && f.at != f.off {
		f.drop()
	}
	if f.body == nil {
		if f.info.Bytes >= 0 && f.off >= f.info.Bytes {
			return 0, io.EOF
		}
		body, err := f.reopen(f.off)
		if err != nil {
			return 0, err
		}
		f.body, f.at = body, f.off
	}
	n, err := f.body.Read(p)
	f.at += int64(n)
	f.off = f.at
	if size := f.info.Bytes; size >= 0 && (f.at > size || err == io.EOF && f.at < size) {
		err = fmt.Errorf("%w: %d of %d bytes arrived: %w", ErrUnavailable, f.at, size, io.ErrUnexpectedEOF)
	}
	if err != nil && err != io.EOF {
		f.drop()
	}
	return n, err
}

func (f *StreamFile) drop() {
	_ = f.body.Close() // it was only read
	f.body = nil
}

// Seek moves the offset. Seeking from the end needs a known length.
func (f *StreamFile) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += f.off
	case io.SeekEnd:
		if f.info.Bytes < 0 {
			return 0, errors.New("seek: the length is not known yet")
		}
		offset += f.info.Bytes
	default:
		return 0, errors.New("seek: no such whence")
	}
	if offset < 0 {
		return 0, errors.New("seek: negative position")
	}
	f.off = offset
	return offset, nil
}

// Stat describes the file.
func (f *StreamFile) Stat() (fs.FileInfo, error) { return &f.info, nil }

// Close closes the stream.
func (f *StreamFile) Close() error {
	f.closed = true
	if f.body == nil {
		return nil
	}
	return f.body.Close()
}
