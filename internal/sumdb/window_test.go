package sumdb

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

// TestWindow reads at random places and compares with the reader itself.
func TestWindow(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 3*windowSize+17)
	for i := range data {
		data[i] = byte(rnd.Uint32())
	}
	want := bytes.NewReader(data)
	w := &window{r: want}
	for range 5000 {
		off := rnd.Int64N(int64(len(data)) + 10)
		p, q := make([]byte, rnd.IntN(windowSize)), make([]byte, 0)
		q = append(q, p...)
		n, err := w.ReadAt(p, off)
		m, werr := want.ReadAt(q, off)
		if n != m || (err == nil) != (n == len(p)) || err != nil && (err != io.EOF || werr != io.EOF) || !bytes.Equal(p, q) {
			t.Fatalf("ReadAt(%d bytes, %d) = %d, %v; the reader gives %d, %v", len(p), off, n, err, m, werr)
		}
	}
}

// failingReader fails behind its first n bytes.
type failingReader struct{ n int64 }

var errFails = errors.New("the disk fails")

func (r failingReader) ReadAt(p []byte, off int64) (int, error) {
	if n := r.n - off; n < int64(len(p)) {
		return int(max(0, n)), errFails
	}
	return len(p), nil
}

// TestWindowError sees that reading ahead hides no error and tells of none too early.
func TestWindowError(t *testing.T) {
	w := &window{r: failingReader{n: 1000}}
	if n, err := w.ReadAt(make([]byte, 10), 900); n != 10 || err != nil {
		t.Errorf("before the fault: %d, %v", n, err)
	}
	if n, err := w.ReadAt(make([]byte, 200), 900); n != 100 || !errors.Is(err, errFails) {
		t.Errorf("across the fault: %d, %v", n, err)
	}
}
