package server

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A bufPool lends copy buffers.
type bufPool struct{ p sync.Pool }

const copyBufSize = 64 << 10

func newBufPool() *bufPool {
	return &bufPool{sync.Pool{New: func() any { b := make([]byte, copyBufSize); return &b }}}
}

// copy copies src to dst through dst's Write alone.
func (b *bufPool) copy(dst io.Writer, src io.Reader) (int64, error) {
	buf := b.p.Get().(*[]byte)
	defer b.p.Put(buf)
	return io.CopyBuffer(onlyWriter{dst}, onlyReader{src}, *buf)
}

type onlyWriter struct{ io.Writer }
type onlyReader struct{ io.Reader }

// progressListener makes connections that give up on clients who read nothing.
type progressListener struct {
	net.Listener
	stall time.Duration
	bufs  *bufPool
}

func (l *progressListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &progressConn{Conn: conn, stall: l.stall, bufs: l.bufs}, nil
}

// A progressConn puts a deadline on the progress of writes, not on the whole of
// them: as long as the client takes a byte now and then, an answer may last for
// hours. It sits below TLS and keeps sendfile.
//
// A deadline that is set from above (the alert of a closing TLS connection, a
// handler with ideas of its own) is obeyed until it is taken back.
type progressConn struct {
	net.Conn
	stall time.Duration
	bufs  *bufPool
	armed atomic.Int64 // the deadline set by arm, Unix ns; 0 for none
	fixed atomic.Bool  // a deadline was set from above
}

// sendChunk bounds one ReadFrom. Where a system call that runs into its
// deadline does not say how much it has sent (TransmitFile on Windows), progress
// shows only between chunks.
const sendChunk = 1 << 20

// SetWriteDeadline sets a deadline that replaces the one on progress, until it
// is taken back with the zero time.
func (c *progressConn) SetWriteDeadline(t time.Time) error {
	if t.IsZero() {
		// net/http does this after each request. The deadline on progress
		// stays where it is: the next write pushes it on if it has come near.
		if c.fixed.Swap(false) {
			c.armed.Store(0)
		}
		return nil
	}
	c.fixed.Store(true)
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline sets both deadlines.
func (c *progressConn) SetDeadline(t time.Time) error {
	return errors.Join(c.Conn.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// arm sees to it that a write that starts now has at least three quarters of
// the stall time before it. So a busy connection moves its timer rarely.
func (c *progressConn) arm() error {
	if c.fixed.Load() {
		return nil
	}
	now := time.Now()
	if c.armed.Load()-now.UnixNano() >= int64(c.stall/4*3) {
		return nil
	}
	t := now.Add(c.stall)
	c.armed.Store(t.UnixNano())
	return c.Conn.SetWriteDeadline(t)
}

// goesOn reports whether a write that ended with err after n bytes has only met
// a deadline on progress that its own progress has outdated.
func (c *progressConn) goesOn(n int64, err error) bool {
	if n <= 0 || c.fixed.Load() || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	c.armed.Store(0)
	return true
}

func (c *progressConn) Write(p []byte) (n int, err error) {
	for {
		if err := c.arm(); err != nil {
			return n, err
		}
		m, err := c.Conn.Write(p[n:])
		n += m
		if err == nil || !c.goesOn(int64(m), err) {
			return n, err
		}
	}
}

// ReadFrom sends files by sendfile where the connection below can. Every other
// source is copied write by write, since the time for which a source is silent
// is not the client's fault.
func (c *progressConn) ReadFrom(src io.Reader) (total int64, err error) {
	rf, ok := c.Conn.(io.ReaderFrom)
	if !ok || !isFile(src) {
		return c.bufs.copy(c, src)
	}
	limited, _ := src.(*io.LimitedReader)
	for {
		chunk := &io.LimitedReader{R: src, N: sendChunk}
		if limited != nil {
			// sendfile looks through one LimitedReader, not through two.
			chunk.R, chunk.N = limited.R, min(limited.N, sendChunk)
		}
		if chunk.N <= 0 {
			return total, nil
		}
		want := chunk.N
		if err := c.arm(); err != nil {
			return total, err
		}
		n, err := rf.ReadFrom(chunk)
		total += n
		if limited != nil {
			limited.N -= n
		}
		if err != nil && !c.goesOn(n, err) || err == nil && n < want {
			return total, err
		}
	}
}

// isFile reports whether src is an open file or the first bytes of one. It asks
// for methods, since os hands on its files in a wrapper of its own.
func isFile(src io.Reader) bool {
	if l, ok := src.(*io.LimitedReader); ok {
		src = l.R
	}
	_, ok := src.(interface {
		syscall.Conn
		Stat() (fs.FileInfo, error)
	})
	return ok
}

// CloseWrite lets net/http end an answer before it drops the connection.
func (c *progressConn) CloseWrite() error {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

// guardProgress covers what a connection cannot see: an HTTP/2 client that
// keeps its connection alive but opens no window for a stream, and a client that
// announces a request body and does not send it.
func guardProgress(stall time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			rc := http.NewResponseController(w)
			body := &guardedBody{ReadCloser: r.Body, rc: rc, stall: stall}
			body.push()
			r.Body = body
		}
		if r.ProtoMajor < 2 {
			next.ServeHTTP(w, r)
			return
		}
		g := &guardedStream{ResponseWriter: w, rc: http.NewResponseController(w), stall: stall}
		defer g.finish()
		next.ServeHTTP(g, r)
	})
}

// guardedBody bounds the wait for each piece of a request body. The deadline
// also stands while net/http discards a body that no handler has read.
type guardedBody struct {
	io.ReadCloser
	rc    *http.ResponseController
	stall time.Duration
	ended bool
}

func (b *guardedBody) push() { _ = b.rc.SetReadDeadline(time.Now().Add(b.stall)) } // a closed connection fails in Read

func (b *guardedBody) Read(p []byte) (int, error) {
	if !b.ended {
		b.push()
	}
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) && !b.ended {
		b.ended = true
		_ = b.rc.SetReadDeadline(time.Time{}) // else it would end a long answer
	}
	return n, err
}

// guardedStream resets an HTTP/2 stream whose writes make no progress.
type guardedStream struct {
	http.ResponseWriter
	rc    *http.ResponseController
	stall time.Duration

	mu    sync.Mutex
	timer *time.Timer
	done  bool
}

const streamChunk = 64 << 10 // progress shows between chunks

func (g *guardedStream) Write(p []byte) (n int, err error) {
	g.watch()
	defer g.timer.Stop()
	for {
		m, err := g.ResponseWriter.Write(p[n:min(len(p), n+streamChunk)])
		n += m
		if err != nil || n == len(p) {
			return n, err
		}
		g.timer.Reset(g.stall)
	}
}

// Flush sends what is buffered.
func (g *guardedStream) Flush() { _ = g.FlushError() }

// FlushError sends what is buffered.
func (g *guardedStream) FlushError() error {
	g.watch()
	defer g.timer.Stop()
	return g.rc.Flush()
}

// Unwrap is for http.ResponseController.
func (g *guardedStream) Unwrap() http.ResponseWriter { return g.ResponseWriter }

func (g *guardedStream) watch() {
	if g.timer == nil {
		g.timer = time.AfterFunc(g.stall, g.expire)
		return
	}
	g.timer.Reset(g.stall)
}

// expire resets the stream. The ResponseWriter of a handler that has returned
// must not be touched.
func (g *guardedStream) expire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.done {
		_ = g.rc.SetWriteDeadline(time.Unix(1, 0))
	}
}

// finish leaves a deadline for what net/http still has to flush.
func (g *guardedStream) finish() {
	if g.timer != nil {
		g.timer.Stop()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.done = true
	_ = g.rc.SetWriteDeadline(time.Now().Add(g.stall))
}
