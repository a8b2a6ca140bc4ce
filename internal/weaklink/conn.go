package weaklink

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	segment  = 8 << 10  // bytes that are sent at a time; connections take turns by them
	sendRoom = 64 << 10 // bytes that a writer may be ahead of the link, as with a socket's buffer
)

// conn is the server's end of a connection over a link. Two goroutines move its bytes in each
// direction: one sends them at the rate of the link, one delivers them half a round trip later.
type conn struct {
	net.Conn // the real one
	link     *Link
	own      [2]*pace // down and up, per connection

	greeted bool    // the client has sent something; belongs to the reader of Conn, as lost
	lost    bool    // nothing that it sends arrives
	in      *stream // from the client
	out     *stream // to the client

	gone chan struct{} // closed when the connection is
	once sync.Once
}

// A stream is one direction. Bytes wait in buf until the link has taken them.
type stream struct {
	mu     sync.Mutex
	cond   *sync.Cond
	buf    []byte
	closed error // what a reader gets after the last byte, a writer at once
	limit  time.Time
	timer  *time.Timer
}

func newStream() *stream {
	s := &stream{}
	s.cond = sync.NewCond(&s.mu)
	return s
}

func (s *stream) close(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed == nil {
		s.closed = err
	}
	s.cond.Broadcast()
}

func (s *stream) setDeadline(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = t
	if s.timer != nil {
		s.timer.Stop()
	}
	if !t.IsZero() {
		s.timer = time.AfterFunc(time.Until(t), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.cond.Broadcast()
		})
	}
	s.cond.Broadcast()
}

func (s *stream) late() bool { return !s.limit.IsZero() && !time.Now().Before(s.limit) }

// put adds bytes; it waits while there are more than room of them.
func (s *stream) put(p []byte, room int) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(p) > 0 {
		for len(s.buf) >= room && s.closed == nil && !s.late() {
			s.cond.Wait()
		}
		switch {
		case s.closed != nil:
			return n, net.ErrClosed
		case s.late():
			return n, os.ErrDeadlineExceeded
		}
		k := min(len(p), room-len(s.buf))
		s.buf = append(s.buf, p[:k]...)
		p, n = p[k:], n+k
		s.cond.Broadcast()
	}
	return n, nil
}

// take removes at most len(p) bytes, and waits for the first.
func (s *stream) take(p []byte, heedDeadline bool) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.buf) == 0 && s.closed == nil && !(heedDeadline && s.late()) {
		s.cond.Wait()
	}
	switch {
	case heedDeadline && s.late():
		return 0, os.ErrDeadlineExceeded
	case len(s.buf) == 0:
		return 0, s.closed
	}
	n := copy(p, s.buf)
	s.buf = append(s.buf[:0], s.buf[n:]...)
	s.cond.Broadcast()
	return n, nil
}

func newConn(raw net.Conn, l *Link) *conn {
	c := &conn{Conn: raw, link: l, own: [2]*pace{newPace(l.cfg.PerConn), newPace(l.cfg.PerConn)},
		in: newStream(), out: newStream(), gone: make(chan struct{})}
	opened := time.Now().Add(l.cfg.RTT) // when a real client would know that it is connected
	c.carry(c.readClient, c.in.put2, l.up, c.own[1], opened, func(err error) { c.in.close(err) })
	c.carry(func(p []byte) (int, error) { return c.out.take(p, false) }, c.writeClient, l.down, c.own[0], time.Time{}, func(error) { c.end() })
	return c
}

func (s *stream) put2(p []byte) (int, error) { return s.put(p, 4<<20) }

func (c *conn) readClient(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		c.link.count(func(s *Stats) { s.Up += int64(n) })
		if !c.greeted && n > 0 {
			c.greeted = true
			c.lost = tooLong(p[:n], c.link.cfg.MaxHello)
		}
		if !c.lost || err != nil {
			return n, err
		}
	}
}

// tooLong reports whether what a client sends first is a TLS handshake record of more bytes than limit.
func tooLong(first []byte, limit int) bool {
	const header, handshake = 5, 22
	return limit > 0 && len(first) >= header && first[0] == handshake && header+int(binary.BigEndian.Uint16(first[3:])) > limit
}

func (c *conn) writeClient(p []byte) (int, error) {
	c.link.count(func(s *Stats) { s.Down += int64(len(p)) })
	return c.Conn.Write(p)
}

type packet struct {
	data []byte
	due  time.Time
	err  error
}

// carry moves bytes from read to write: each leaves when the paces allow, and arrives half a round
// trip later. done is called with the error that ended it, when all before it has arrived.
func (c *conn) carry(read, write func([]byte) (int, error), link, own *pace, notBefore time.Time, done func(error)) {
	// As many as are on the way at once: the delay bounds them, since senders are paced.
	way := make(chan packet, 4096)
	go func() {
		defer close(way)
		for {
			buf := make([]byte, segment)
			n, err := read(buf)
			if n > 0 {
				sent := own.reserve(n)
				if s := link.reserve(n); s.After(sent) {
					sent = s
				}
				if sent.Before(notBefore) {
					sent = notBefore
				}
				if !c.sleepUntil(sent) || !c.send(way, packet{data: buf[:n], due: sent.Add(c.link.cfg.RTT / 2)}) {
					return
				}
			}
			if err != nil {
				c.send(way, packet{err: err, due: time.Now().Add(c.link.cfg.RTT / 2)})
				return
			}
		}
	}()
	go func() {
		for p := range way {
			if !c.sleepUntil(p.due) {
				break
			}
			if p.err == nil {
				_, p.err = write(p.data)
			}
			if p.err != nil {
				done(p.err)
				return
			}
		}
		done(io.EOF)
	}()
}

func (c *conn) send(way chan<- packet, p packet) bool {
	select {
	case way <- p:
		return true
	case <-c.gone:
		return false
	}
}

func (c *conn) sleepUntil(t time.Time) bool {
	d := time.Until(t)
	if d <= 0 {
		select {
		case <-c.gone:
			return false
		default:
			return true
		}
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.gone:
		return false
	}
}

// Read reads what has arrived from the client.
func (c *conn) Read(p []byte) (int, error) { return c.in.take(p, true) }

// Write gives bytes to the link, and waits while it is busy.
func (c *conn) Write(p []byte) (int, error) { return c.out.put(p, sendRoom) }

// Close ends the connection when what was written has arrived.
func (c *conn) Close() error {
	c.in.close(net.ErrClosed)
	c.out.close(io.EOF)
	return nil
}

// reset ends it at once, with a reset.
func (c *conn) reset() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.end()
}

func (c *conn) end() {
	c.once.Do(func() {
		close(c.gone)
		c.in.close(net.ErrClosed)
		c.out.close(net.ErrClosed)
		c.Conn.Close()
		go func() { // the caller may hold the lock
			c.link.mu.Lock()
			defer c.link.mu.Unlock()
			delete(c.link.open, c)
		}()
	})
}

// SetDeadline sets both deadlines.
func (c *conn) SetDeadline(t time.Time) error {
	c.in.setDeadline(t)
	c.out.setDeadline(t)
	return nil
}

// SetReadDeadline bounds Read.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(t)
	return nil
}

// SetWriteDeadline bounds Write.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(t)
	return nil
}
