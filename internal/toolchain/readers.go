package toolchain

import (
	"cmp"
	"context"
	"io"
)

// A readFunc is a function that reads.
type readFunc func([]byte) (int, error)

func (f readFunc) Read(b []byte) (int, error) { return f(b) }

// stopping reads from r until ctx ends; its error is the cause then.
func stopping(ctx context.Context, r io.Reader) io.Reader {
	return readFunc(func(b []byte) (int, error) {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		return r.Read(b)
	})
}

// exactly turns an end before left bytes into an error.
type exactly struct {
	r    io.Reader
	left int64
}

func (e *exactly) Read(b []byte) (int, error) {
	n, err := e.r.Read(b)
	e.left -= int64(n)
	if err == io.EOF && e.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// A faultReader remembers the fault of what it reads, which unpacking may hide.
type faultReader struct {
	r   io.Reader
	err error
}

func (f *faultReader) Read(b []byte) (int, error) {
	n, err := f.r.Read(b)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// reason is the fault of what was read, else err.
func (f *faultReader) reason(err error) error { return cmp.Or(f.err, err) }
