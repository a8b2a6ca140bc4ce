package weaklink

import (
	"encoding/binary"
	"hash/fnv"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// dealer spoils answers.
type dealer struct {
	link *Link
	next http.Handler

	mu    sync.Mutex
	now   Faults
	tries map[string]int
}

type fault int

const (
	none fault = iota
	cut
	stall
	reset
	unavailable
)

// deal says what happens to the n-th request of path, and where in its body: a number between 0 and 1.
func (f Faults) deal(path string, n int, http2 bool) (what fault, where float64) {
	if n > 0 && f.FirstOnly {
		return none, 0
	}
	h := fnv.New64a()
	h.Write(binary.LittleEndian.AppendUint64(nil, f.Seed))
	h.Write([]byte(path))
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(n)))
	sum := mix(h.Sum64())
	at := float64(sum>>11) / (1 << 53)
	where = float64(mix(sum)>>11) / (1 << 53)
	if !http2 {
		f.HTTP2 = 0
	}
	for _, c := range []struct {
		p float64
		f fault
	}{{f.Cut, cut}, {f.Stall, stall}, {f.Reset, reset}, {f.Unavailable, unavailable}, {f.HTTP2, reset}} {
		if at < c.p {
			return c.f, where
		}
		at -= c.p
	}
	return none, 0
}

// mix makes every bit depend on every other (the finalizer of splitmix64).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// ServeHTTP implements http.Handler.
func (d *dealer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	d.mu.Lock()
	n := d.tries[path]
	d.tries[path]++
	faults := d.now
	d.mu.Unlock()
	d.link.mu.Lock()
	d.link.stats.Requests++
	d.link.paths[path]++
	d.link.mu.Unlock()
	what, where := faults.deal(path, n, r.ProtoMajor == 2)
	if what != none {
		d.link.count(func(s *Stats) { s.Faults++ })
	}
	switch what {
	case reset:
		if hj, ok := w.(http.Hijacker); ok && r.ProtoMajor == 1 {
			if c, _, err := hj.Hijack(); err == nil {
				if wc, ok := c.(*conn); ok {
					wc.reset()
				} else {
					c.Close()
				}
				return
			}
		}
		panic(http.ErrAbortHandler) // HTTP/2: the stream is reset
	case unavailable:
		if faults.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(faults.RetryAfter/time.Second)))
		}
		http.Error(w, "the link is weak", http.StatusServiceUnavailable)
	case cut, stall:
		d.next.ServeHTTP(&spoiled{ResponseWriter: w, r: r, what: what, where: where, left: -1}, r)
	default:
		d.next.ServeHTTP(w, r)
	}
}

// spoiled breaks an answer somewhere in its body.
type spoiled struct {
	http.ResponseWriter
	r     *http.Request
	what  fault
	where float64
	left  int64 // bytes until it breaks; -1 before the header
}

// WriteHeader decides where the body breaks.
func (s *spoiled) WriteHeader(status int) {
	s.ResponseWriter.WriteHeader(status)
	if s.left < 0 {
		length, err := strconv.ParseInt(s.Header().Get("Content-Length"), 10, 64)
		if err != nil {
			length = 1 << 10
		}
		s.left = int64(s.where * float64(length))
	}
}

// Write writes until it breaks.
func (s *spoiled) Write(p []byte) (int, error) {
	if s.left < 0 {
		s.WriteHeader(http.StatusOK)
	}
	if int64(len(p)) < s.left {
		n, err := s.ResponseWriter.Write(p)
		s.left -= int64(n)
		return n, err
	}
	_, _ = s.ResponseWriter.Write(p[:s.left])
	_ = http.NewResponseController(s.ResponseWriter).Flush()
	if s.what == stall {
		<-s.r.Context().Done()
	}
	panic(http.ErrAbortHandler)
}
