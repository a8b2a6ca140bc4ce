package cache

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

const diskFullWarning = `199 goferry "answered, but not kept: the disk of the cache takes no more"`

// openLocked opens a file of the fill; f.mu is held and f.spool is not nil.
// The spool is read in place also when the fill is done: it has just been renamed.
func (f *fill) openLocked(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
	if req.Kind != goproxy.Zip {
		data := make([]byte, f.total)
		if n, err := f.spool.ReadAt(data, 0); int64(n) < f.total {
			return nil, &goproxy.Error{Request: req, Err: err}
		}
		return goproxy.NewFile(req, data, f.mod, f.metaLocked()), nil
	}
	f.refs++
	f.spool.ref()
	r := &reader{f: f, sp: f.spool, gen: f.gen, total: f.total, mod: f.mod, left: make(chan struct{})}
	r.mu.Lock() // a context that has ended already closes r at once
	defer r.mu.Unlock()
	r.unwatch = context.AfterFunc(ctx, func() {
		r.cause.Store(&goproxy.Error{Request: req, Err: context.Cause(ctx)})
		_ = r.Close()
	})
	return r, nil
}

// metaLocked says how the file was come by; f.mu is held.
func (f *fill) metaLocked() *goproxy.Meta {
	meta := &goproxy.Meta{Result: "miss"}
	if f.notKept != nil || f.spool.whyFull() != nil {
		meta.Warning = diskFullWarning
	}
	return meta
}

// reader follows a fill. The last holdBack bytes come when the whole is verified.
type reader struct {
	f *fill // referenced

	mu  sync.Mutex // one Read or Seek at a time
	off int64
	sp  *spool // the spool of generation gen, referenced

	// Guarded by f.mu: Stat does not wait for a Read that waits.
	gen   int
	total int64 // length and time that the fill told of generation gen
	mod   time.Time
	high  int64 // no byte behind it was handed out

	once    sync.Once
	left    chan struct{}                 // closed by Close
	cause   atomic.Pointer[goproxy.Error] // why the asker left
	unwatch func() bool
}

var errOtherBytes = fmt.Errorf("%w: the bytes that were sent were refused, and those that are on their way now are others: ask again", goproxy.ErrUnavailable)

// Read waits for bytes that may be handed out.
func (r *reader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if r.isClosed() {
			return 0, r.closedErr()
		}
		n, wait, err := r.ready(len(p))
		if err != nil {
			return 0, err
		}
		if wait == nil {
			n, err := r.sp.ReadAt(p[:n], r.off)
			if n > 0 {
				err = nil
			}
			r.off += int64(n)
			return n, err
		}
		select {
		case <-wait:
		case <-r.left:
		}
	}
}

func (r *reader) isClosed() bool {
	select {
	case <-r.left:
		return true
	default:
		return false
	}
}

func (r *reader) closedErr() error {
	if err := r.cause.Load(); err != nil {
		return err
	}
	return fs.ErrClosed
}

// ready says how many bytes may be read now, or what to wait for. The error is io.EOF
// only behind the last byte of a verified file.
func (r *reader) ready(want int) (n int, wait <-chan struct{}, err error) {
	f := r.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gen != r.gen {
		if wait, err := r.follow(); wait != nil || err != nil {
			return 0, wait, err
		}
	}
	limit := r.sp.Size()
	switch {
	case f.refused:
		limit = 0 // what is known to be bad is not handed out
	case !f.verified && f.total >= 0:
		limit = min(limit, f.total-holdBack)
	case !f.verified:
		limit -= holdBack
	}
	switch {
	case r.off < limit:
		n := min(int64(want), limit-r.off)
		r.high = max(r.high, r.off+n)
		return int(n), nil, nil
	case f.verified:
		return 0, nil, io.EOF
	case f.done:
		return 0, nil, f.err
	}
	return 0, f.wait(), nil
}

// follow goes over to the spool that the fill writes now, in place of one whose bytes were
// refused. Mirrors mostly serve the very same zip; whoever was given bytes already can go on
// if the new ones begin with them. f.mu and r.mu are held.
func (r *reader) follow() (wait <-chan struct{}, err error) {
	f := r.f
	switch {
	case r.high == 0:
	case f.done && f.err != nil:
		return nil, f.err
	case f.refused:
		return f.wait(), nil
	case r.total >= 0 && f.total != r.total:
		return nil, errOtherBytes // the length was told already
	case f.spool.Size() < r.high && !f.verified:
		return f.wait(), nil
	default:
		if same, err := samePrefix(r.sp, f.spool, r.high); err != nil || !same {
			return nil, cmp.Or(err, errOtherBytes)
		}
	}
	f.spool.ref()
	r.sp.unref()
	r.sp, r.gen, r.total, r.mod = f.spool, f.gen, f.total, f.mod
	return nil, nil
}

// samePrefix reports whether the first n bytes of a and b are the same.
func samePrefix(a, b *spool, n int64) (bool, error) {
	if b.Size() < n {
		return false, nil
	}
	bufA, bufB := make([]byte, copyBuf), make([]byte, copyBuf)
	for off := int64(0); off < n; off += copyBuf {
		size := min(copyBuf, n-off)
		for sp, buf := range map[*spool][]byte{a: bufA, b: bufB} {
			if m, err := sp.ReadAt(buf[:size], off); int64(m) < size {
				return false, err
			}
		}
		if !bytes.Equal(bufA[:size], bufB[:size]) {
			return false, nil
		}
	}
	return true, nil
}

// Seek moves the offset; from the end, it waits until the length is known.
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.off
	case io.SeekEnd:
		total, err := r.length()
		if err != nil {
			return 0, err
		}
		offset += total
	default:
		return 0, errors.New("seek: no such whence")
	}
	if offset < 0 {
		return 0, errors.New("seek: negative position")
	}
	r.off = offset
	return offset, nil
}

// length waits for the length of the file that r reads.
func (r *reader) length() (int64, error) {
	for {
		if r.isClosed() {
			return 0, r.closedErr()
		}
		r.f.mu.Lock()
		total, err, wait := r.totalLocked(), r.f.err, r.f.wait()
		done := r.f.done
		r.f.mu.Unlock()
		if total >= 0 || done {
			return total, err
		}
		select {
		case <-wait:
		case <-r.left:
		}
	}
}

// totalLocked is the length that goes with the bytes r has handed out; r.f.mu is held.
func (r *reader) totalLocked() int64 {
	if r.f.gen != r.gen && r.high > 0 {
		return r.total
	}
	return r.f.total
}

// Stat describes the file; its length is negative until it is known.
func (r *reader) Stat() (fs.FileInfo, error) {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	mod := r.f.mod
	if r.f.gen != r.gen && r.high > 0 {
		mod = r.mod
	}
	return goproxy.FileInfo{Base: path.Base(r.f.name), Bytes: r.totalLocked(), Mod: mod, Meta: r.f.metaLocked()}, nil
}

// Close leaves the fill, which goes on.
func (r *reader) Close() error {
	r.once.Do(func() {
		close(r.left)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.unwatch()
		r.sp.unref()
		r.f.release()
	})
	return nil
}
