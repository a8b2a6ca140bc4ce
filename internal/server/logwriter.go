package server

import (
	"io"
	"sync"
	"time"
)

const (
	logQuiet = 20 * time.Millisecond // lines closer to each other than this share a write
	logFull  = 64 << 10              // bytes that are written without waiting
)

// A LogWriter puts lines that come thick together, so that a busy server does not pay for
// a system call with each answer. A line that comes alone is written at once, any other
// within a fiftieth of a second. Close writes what is left.
type LogWriter struct {
	w io.Writer

	mu     sync.Mutex
	buf    []byte
	last   time.Time // of the last write
	armed  bool      // a flush is on its way
	closed bool
}

// NewLogWriter returns a LogWriter in front of w.
func NewLogWriter(w io.Writer) *LogWriter { return &LogWriter{w: w} }

// Write takes whole lines. The error is that of w, if w was asked; lines that were put off are
// lost silently if it fails.
func (l *LogWriter) Write(p []byte) (int, error) {
	return l.write(p, time.Now())
}

// write is Write at a time that is known already.
func (l *LogWriter) write(p []byte, now time.Time) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.buf) == 0 && now.Sub(l.last) >= logQuiet {
		l.last = now
		return l.w.Write(p)
	}
	l.buf = append(l.buf, p...)
	switch {
	case len(l.buf) >= logFull:
		return len(p), l.flush()
	case !l.armed:
		l.armed = true
		time.AfterFunc(logQuiet, l.tick)
	}
	return len(p), nil
}

func (l *LogWriter) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = false
	_ = l.flush() // there is nobody left to tell
}

// flush is called with mu held.
func (l *LogWriter) flush() error {
	if len(l.buf) == 0 {
		return nil
	}
	_, err := l.w.Write(l.buf)
	l.buf, l.last = l.buf[:0], time.Now()
	return err
}

// Close writes what is left. Later lines are written at once.
func (l *LogWriter) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return l.flush()
}
