package sumdb

import "io"

// windowSize is how many bytes a window reads at once.
const windowSize = 128 << 10

// A window reads ahead. archive/zip reads a zip in pieces of 4 KiB and less, each of which would
// be a system call. It is for one goroutine.
type window struct {
	r   io.ReaderAt
	buf []byte // what stands at off
	off int64
	end error // what the read of buf ended with
}

// ReadAt reads from the window where it can.
func (w *window) ReadAt(p []byte, off int64) (int, error) {
	if len(p) >= windowSize/2 {
		return w.r.ReadAt(p, off)
	}
	n := w.copy(p, off)
	if n == len(p) {
		return n, nil
	}
	if w.buf == nil {
		w.buf = make([]byte, 0, windowSize)
	}
	w.off = off + int64(n)
	var got int
	got, w.end = w.r.ReadAt(w.buf[:windowSize], w.off)
	w.buf = w.buf[:got]
	n += w.copy(p[n:], w.off)
	if n == len(p) {
		return n, nil
	}
	return n, w.end
}

func (w *window) copy(p []byte, off int64) int {
	if at := off - w.off; at >= 0 && at < int64(len(w.buf)) {
		return copy(p, w.buf[at:])
	}
	return 0
}
