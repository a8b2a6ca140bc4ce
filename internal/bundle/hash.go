package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

const copyBuffer = 256 << 10

// A hashed says what a File holds.
type hashed struct {
	sha256 string
	crc    uint32
}

// A meter hands progress on, to one goroutine at a time and not for every few bytes.
type meter struct {
	mu    sync.Mutex
	tell  func(Progress)
	phase string
	total int64
	done  int64
	told  int64
}

const meterStep = 1 << 20

// add counts n bytes, and gives a sign of life for each MiB and at the end.
func (m *meter) add(n int) {
	if m == nil || m.tell == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += int64(n)
	if m.done-m.told >= meterStep || m.done == m.total {
		m.told = m.done
		m.tell(Progress{Phase: m.phase, Done: m.done, Total: m.total})
	}
}

// hashFiles reads files, side by side, to the end.
func hashFiles(ctx context.Context, files []File, m *meter) ([]hashed, error) {
	out := make([]hashed, len(files))
	err := parallel(ctx, len(files), func(ctx context.Context, i int, buf []byte) error {
		h, crc := sha256.New(), crc32.NewIEEE()
		if err := readFile(ctx, files[i], buf, func(p []byte) error {
			h.Write(p)
			crc.Write(p)
			m.add(len(p))
			return nil
		}); err != nil {
			return err
		}
		out[i] = hashed{hexSum(h), crc.Sum32()}
		return nil
	})
	return out, err
}

func hexSum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// readFile gives the bytes of f to use, in pieces no larger than buf. A file that is not as long as it
// says has CodeChanged.
func readFile(ctx context.Context, f File, buf []byte, use func([]byte) error) error {
	r, err := f.Open(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	defer r.Close()
	var n int64
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		k, err := r.Read(buf)
		n += int64(k)
		if n > f.Size || err == io.EOF && n < f.Size {
			return &Error{Code: CodeChanged, Detail: f.Name, Err: fmt.Errorf("it was to have %d bytes", f.Size)}
		}
		if uerr := use(buf[:k]); uerr != nil {
			return uerr
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
}

// parallel calls fn for 0 to n-1 on all cores, in that order as far as it can, each with a buffer of
// its own, and returns the first error, after which no more calls are begun.
func parallel(ctx context.Context, n int, fn func(ctx context.Context, i int, buf []byte) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		wg.Go(func() {
			buf := make([]byte, copyBuffer)
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := fn(ctx, i, buf); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

var errHash = errors.New("not the bytes of its SHA-256")

// OSFile returns the file of the operating system as an entry.
func OSFile(name, path string, size int64) File {
	return File{Name: name, Size: size, Open: func(context.Context) (io.ReadCloser, error) { return os.Open(path) }}
}
