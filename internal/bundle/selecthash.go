package bundle

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/mod/sumdb/dirhash"

	"github.com/goferry/goferry/internal/goproxy"
)

// zipSum opens a module zip and returns its size and its "h1:" hash.
func zipSum(ctx context.Context, src goproxy.Source, req goproxy.Request) (size int64, sum string, err error) {
	f, err := src.Open(ctx, req)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	if size, err = sizeOf(f); err != nil {
		return 0, "", &goproxy.Error{Request: req, Err: err}
	}
	zr, err := zip.NewReader(&seekReader{f: f}, size)
	if err != nil {
		return 0, "", &goproxy.Error{Request: req, Err: fmt.Errorf("%w: %w", goproxy.ErrMismatch, err)}
	}
	names := make([]string, len(zr.File))
	byName := make(map[string]*zip.File, len(zr.File))
	for i, zf := range zr.File {
		names[i], byName[zf.Name] = zf.Name, zf
	}
	sum, err = dirhash.Hash1(names, func(name string) (io.ReadCloser, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return byName[name].Open()
	})
	return size, sum, err
}

// sizeOf returns the size of a file; one that is still arriving is waited for.
func sizeOf(f goproxy.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if info.Size() >= 0 {
		return info.Size(), nil
	}
	if _, err := io.Copy(io.Discard, f); err != nil {
		return 0, err
	}
	if info, err = f.Stat(); err != nil || info.Size() >= 0 {
		return info.Size(), err
	}
	return 0, errors.New("its size is not known")
}

// modSum returns the "h1:" hash of a go.mod file.
func modSum(data []byte) (string, error) {
	return dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
}

// seekReader is an io.ReaderAt over a file that seeks. It is used by one goroutine at a time mostly; the lock is for
// those who take io.ReaderAt at its word.
type seekReader struct {
	mu sync.Mutex
	f  io.ReadSeeker
}

func (r *seekReader) ReadAt(p []byte, off int64) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ra, ok := r.f.(io.ReaderAt); ok {
		return ra.ReadAt(p, off)
	}
	if _, err := r.f.Seek(off, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(r.f, p)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, err
}

// originOf returns the repository that an .info file names, without credentials; empty where it names none.
func originOf(info []byte) string {
	var said struct{ Origin struct{ URL string } }
	if err := json.Unmarshal(info, &said); err != nil || said.Origin.URL == "" {
		return ""
	}
	return goproxy.RedactURL(said.Origin.URL)
}
