package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"
)

// A scope is what the middleware knows of one request. It is made by the
// outermost middleware and found by the others, so that the whole stack costs
// one context, which it is itself, and one wrapped ResponseWriter. It is not pooled: a
// context outlives its request where a handler detaches work from it.
type scope struct {
	context.Context
	response response
	id       [1]string // as http.Header wants it

	mu    sync.Mutex
	attrs []slog.Attr
	room  [4]slog.Attr // for attrs, enough for what handlers say of one request
}

type scopeKey struct{}

// Value finds the scope.
func (s *scope) Value(key any) any {
	if key == (scopeKey{}) {
		return s
	}
	return s.Context.Value(key)
}

func scopeOf(ctx context.Context) *scope {
	s, _ := ctx.Value(scopeKey{}).(*scope)
	return s
}

// enter returns the scope of r with the writer and the request that go with it.
func enter(w http.ResponseWriter, r *http.Request, bufs *bufPool) (*scope, *http.Request) {
	if s := scopeOf(r.Context()); s != nil && w == http.ResponseWriter(&s.response) {
		return s, r
	}
	s := &scope{Context: r.Context(), response: response{ResponseWriter: w, bufs: bufs}}
	s.attrs = s.room[:0]
	if outer := scopeOf(r.Context()); outer != nil { // somebody has wrapped the writer in between
		s.id = outer.id
	}
	return s, r.WithContext(s)
}

// Observe tells done of each answer that the handler gives: its status, the bytes of its body,
// and how long it took. It is for handlers that do not count themselves.
func Observe(done func(r *http.Request, status int, bytes int64, took time.Duration)) func(http.Handler) http.Handler {
	bufs := newBufPool()
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			start := time.Now()
			s, r := enter(w, r, bufs)
			defer func() { done(r, cmp.Or(s.response.status, http.StatusOK), s.response.bytes, time.Since(start)) }()
			next.ServeHTTP(&s.response, r)
		})
	}
}

// Annotate adds an attribute to the access log line of the request that ctx
// belongs to, such as cache=hit. Of one key the last value counts. Without an
// access log, or after its line, it does nothing.
func Annotate(ctx context.Context, key string, value any) {
	s := scopeOf(ctx)
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.attrs {
		if s.attrs[i].Key == key {
			s.attrs[i].Value = slog.AnyValue(value)
			return
		}
	}
	if len(s.attrs) < maxAttrs {
		s.attrs = append(s.attrs, slog.Any(key, value))
	}
}

const maxAttrs = 32 // a handler that annotates in a loop must not fill the memory

// RequestIDFrom returns the id of the request that ctx belongs to, "" if there is none.
func RequestIDFrom(ctx context.Context) string {
	if s := scopeOf(ctx); s != nil {
		return s.id[0]
	}
	return ""
}

const requestIDHeader = "X-Request-Id"

// RequestID gives each request an id: the X-Request-Id that it came with if
// that is 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-', else 16 random
// hexadecimal digits. The answer carries it, and so does the context.
func RequestID() func(http.Handler) http.Handler {
	bufs := newBufPool()
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, r := enter(w, r, bufs)
			id := ""
			if v := r.Header[requestIDHeader]; len(v) == 1 {
				id = v[0]
			}
			if !saneID(id) {
				id = newID()
			}
			s.id[0] = id
			w.Header()[requestIDHeader] = s.id[:]
			next.ServeHTTP(&s.response, r)
		})
	}
}

// saneID bars what could forge a line of a log or a header.
func saneID(id string) bool {
	if len(id) == 0 || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

func newID() string {
	const digits = "0123456789abcdef"
	var b [16]byte
	v := rand.Uint64()
	for i := range b {
		b[i] = digits[v>>(4*i)&15]
	}
	return string(b[:])
}

// AccessLog writes one line for each request when it is over: method, path
// (never the query), status, bytes of the body, dur, req (the id), proto,
// remote, agent, what was said by Annotate, and aborted=true if the client left or
// the answer was cut off. The level is Info, or Warn for a status of 5xx.
func AccessLog(log *slog.Logger) func(http.Handler) http.Handler {
	if log == nil {
		return func(next http.Handler) http.Handler { return next }
	}
	l := &accessLog{h: log.Handler()}
	l.text, _ = l.h.(*textHandler)
	bufs := newBufPool()
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			start := time.Now()
			s, r := enter(w, r, bufs)
			finished := false
			defer func() { l.line(r, s, start, finished) }()
			next.ServeHTTP(&s.response, r)
			finished = true
		})
	}
}

type accessLog struct {
	h    slog.Handler
	text *textHandler // h if it is one, else nil
}

func (l *accessLog) line(r *http.Request, s *scope, start time.Time, finished bool) {
	// 200 is what net/http sends for a handler that says nothing.
	e := entry{level: slog.LevelInfo, status: cmp.Or(s.response.status, http.StatusOK)}
	if e.status >= 500 {
		e.level = slog.LevelWarn
	}
	ctx := r.Context()
	if !l.h.Enabled(ctx, e.level) {
		return
	}
	remote, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		remote = r.RemoteAddr // a unix socket has no port
	}
	e.now = time.Now()
	e.method, e.path, e.proto = r.Method, clip(r.URL.Path, 1024), r.Proto
	if agent := r.Header["User-Agent"]; len(agent) > 0 {
		e.agent = clip(agent[0], 256)
	}
	e.bytes, e.dur, e.id, e.remote = s.response.bytes, e.now.Sub(start), s.id[0], remote
	e.aborted = !finished || ctx.Err() != nil
	s.mu.Lock()
	defer s.mu.Unlock()
	e.attrs = s.attrs
	if l.text == nil || !l.text.write(&e) {
		_ = l.h.Handle(ctx, e.record()) // nowhere to tell that the log is broken
	}
}

// An entry is what a line of the access log says.
type entry struct {
	now                  time.Time
	level                slog.Level
	method, path         string
	status               int
	bytes                int64
	dur                  time.Duration
	id                   string
	proto, remote, agent string
	aborted              bool
	attrs                []slog.Attr
}

const entryMessage = "request"

// record is made past the Logger, which would look up a source line that is always this one.
func (e *entry) record() slog.Record {
	rec := slog.NewRecord(e.now, e.level, entryMessage, 0)
	rec.AddAttrs(
		slog.String("method", e.method),
		slog.String("path", e.path),
		slog.Int("status", e.status),
		slog.Int64("bytes", e.bytes),
		slog.Duration("dur", e.dur),
		slog.String("req", e.id),
		slog.String("proto", e.proto),
		slog.String("remote", e.remote),
		slog.String("agent", e.agent))
	if e.aborted {
		rec.AddAttrs(slog.Bool("aborted", true))
	}
	rec.AddAttrs(e.attrs...)
	return rec
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// Recover answers a panicking handler with 500, or cuts the answer off if it
// has begun, and logs the panic with its stack. http.ErrAbortHandler passes: it
// is how a handler cuts its answer off.
func Recover(log *slog.Logger) func(http.Handler) http.Handler {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	bufs := newBufPool()
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, r := enter(w, r, bufs)
			defer func() {
				if p := recover(); p != nil {
					recovered(log, s, r, p)
				}
			}()
			next.ServeHTTP(&s.response, r)
		})
	}
}

func recovered(log *slog.Logger, s *scope, r *http.Request, p any) {
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p)
	}
	log.ErrorContext(r.Context(), "handler panicked", "panic", fmt.Sprint(p), "method", r.Method,
		"path", clip(r.URL.Path, 1024), "req", s.id[0], "stack", string(debug.Stack()))
	if s.response.status != 0 {
		panic(http.ErrAbortHandler) // the client must not take the beginning for the whole
	}
	h := s.response.Header()
	for _, k := range []string{"Content-Encoding", "Content-Length", "Cache-Control", "Etag", "Last-Modified"} {
		h.Del(k) // these spoke of another body
	}
	body := "internal error"
	if s.id[0] != "" {
		body += ", request " + s.id[0]
	}
	http.Error(&s.response, body, http.StatusInternalServerError)
}

// response counts what passes through an http.ResponseWriter. It keeps the
// writer's ReadFrom, without which files are not sent by sendfile, and its Flush.
type response struct {
	http.ResponseWriter
	status int // 0 until the header is written
	bytes  int64
	bufs   *bufPool
}

// WriteHeader notes the status.
func (w *response) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) { // others are hints before the answer
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write counts.
func (w *response) Write(p []byte) (int, error) {
	w.wrote()
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// WriteString spares a copy of the string.
func (w *response) WriteString(s string) (int, error) {
	w.wrote()
	n, err := io.WriteString(w.ResponseWriter, s)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom hands src to the writer below, which may send it by sendfile.
func (w *response) ReadFrom(src io.Reader) (n int64, err error) {
	w.wrote()
	if rf, ok := w.ResponseWriter.(io.ReaderFrom); ok {
		n, err = rf.ReadFrom(src)
	} else {
		n, err = w.bufs.copy(w.ResponseWriter, src)
	}
	w.bytes += n
	return n, err
}

// Flush sends what is buffered.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError sends what is buffered.
func (w *response) FlushError() error {
	w.wrote()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) wrote() {
	if w.status == 0 {
		w.status = http.StatusOK
	}
}
