package goproxytest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/module"
)

// An exchange is one request on its way to an answer.
type exchange struct {
	h    *Handler
	r    *http.Request
	w    *shaper
	kind string // "" if the path is none of the protocol
	rest string // the path behind the faults

	path, version string // of the module; "" for sumdb

	short                            *amount
	corrupt, wrong, endless, garbage bool
	noRange, noETag, newETag         bool
	badZip                           string
	lines                            int64 // of a huge list
	sums                             sumVariant
}

func (x *exchange) run() {
	if x.r.Method != http.MethodGet && x.r.Method != http.MethodHead {
		x.status(http.StatusMethodNotAllowed, "")
		return
	}
	faults, rest, err := x.h.parseFaults(x.r.URL.Path)
	if err != nil {
		http.Error(x.w, "goproxytest: "+err.Error(), http.StatusBadRequest)
		return
	}
	x.rest = rest
	x.parse()
	for i := range faults {
		f := &faults[i]
		if !f.applies(x, i) {
			continue
		}
		spec, _ := x.h.lookup(f.name) // parseFaults found it
		if spec.apply(x, f) {
			return
		}
	}
	x.serve()
}

// parse finds out what is asked, without looking whether it is there.
func (x *exchange) parse() {
	if strings.HasPrefix(x.rest, "/sumdb/") {
		x.kind = sumdbKind
		return
	}
	rest := strings.TrimPrefix(x.rest, "/")
	esc, file, ok := strings.Cut(rest, "/@v/")
	kind := ""
	if p, latest := strings.CutSuffix(rest, "/@latest"); latest {
		esc, kind, ok = p, "latest", true
	} else if file == "list" {
		kind = "list"
	} else if i := strings.LastIndexByte(file, '.'); i > 0 && slices.Contains([]string{"info", "mod", "zip"}, file[i+1:]) {
		kind = file[i+1:]
		v, err := module.UnescapeVersion(file[:i])
		ok = ok && err == nil
		x.version = v
	}
	p, err := module.UnescapePath(esc)
	if !ok || err != nil || kind == "" {
		return
	}
	x.path, x.kind = p, kind
}

func (x *exchange) serve() {
	switch {
	case x.kind == "":
		x.notFound("not a path of the protocol")
	case x.endless:
		x.serveEndless()
	case x.kind == sumdbKind:
		x.h.sums.serve(x)
	case x.kind == "list" && x.lines > 0:
		x.serveHugeList()
	default:
		c, err := x.h.content(x)
		if errors.Is(err, fs.ErrNotExist) {
			x.notFound(err.Error())
			return
		} else if err != nil {
			http.Error(x.w, "goproxytest: "+err.Error(), http.StatusInternalServerError)
			return
		}
		x.serveContent(c)
	}
}

// content is a file to be served.
type content struct {
	blob
	etag string // "" for files that change
	time time.Time
	flip int64 // where /corrupt flips a bit
}

// A blob is bytes of known number.
type blob interface {
	io.ReaderAt
	Size() int64
}

func (x *exchange) serveContent(c content) {
	b := c.blob
	if x.corrupt && b.Size() > 0 {
		b = flipped{b, c.flip}
	}
	if x.short != nil {
		b = io.NewSectionReader(b, 0, min(x.short.of(b.Size()), b.Size()))
	}
	hdr := x.w.Header()
	hdr.Set("Content-Type", contentType(x.kind))
	mod := c.time
	switch {
	case x.noETag:
		mod = time.Time{}
	case x.newETag:
		hdr.Set("ETag", fmt.Sprintf(`"%d"`, x.h.nextETag()))
		mod = time.Time{} // else it would validate for it
	case c.etag != "":
		hdr.Set("ETag", `"`+c.etag+`"`)
	}
	r := x.r
	if x.noRange {
		r = r.Clone(r.Context())
		r.Header.Del("Range")
		x.w.noRanges = true
	}
	http.ServeContent(x.w, r, "", mod, io.NewSectionReader(b, 0, b.Size()))
}

func contentType(kind string) string {
	switch kind {
	case "info", "latest":
		return "application/json"
	case "zip":
		return "application/zip"
	}
	return "text/plain; charset=utf-8"
}

// flipped is a blob with one bit of one byte turned over.
type flipped struct {
	blob
	at int64
}

func (f flipped) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.blob.ReadAt(p, off)
	if f.at >= off && f.at < off+int64(n) {
		p[f.at-off] ^= 1
	}
	return n, err
}

func (x *exchange) serveEndless() {
	x.w.Header().Set("Content-Type", contentType(x.kind))
	chunk := bytes.Repeat([]byte("v1.0.0 never ends\n"), 2000)
	for {
		if _, err := x.w.Write(chunk); err != nil || x.r.Method == http.MethodHead {
			return
		}
	}
}

func (x *exchange) serveHugeList() {
	x.w.Header().Set("Content-Type", contentType("list"))
	var buf []byte
	for i := range x.lines {
		buf = fmt.Appendf(buf, "v1.%d.%d\n", i/1000, i%1000)
		if len(buf) > 32<<10 || i == x.lines-1 {
			if _, err := x.w.Write(buf); err != nil || x.r.Method == http.MethodHead {
				return
			}
			buf = buf[:0]
		}
	}
}

func (x *exchange) notFound(why string) {
	http.Error(x.w, "not found: "+why, http.StatusNotFound)
}

func (x *exchange) status(code int, retryAfter string) bool {
	if retryAfter != "" {
		x.w.Header().Set("Retry-After", retryAfter)
	}
	http.Error(x.w, fmt.Sprintf("goproxytest: fault %d %s", code, http.StatusText(code)), code)
	return true
}

func (x *exchange) html() bool {
	x.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// An error is a client that has left.
	_, _ = io.WriteString(x.w, "<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body><h1>Please log in to this network</h1></body></html>\n")
	return true
}

// The credentials that /auth wants.
const (
	User     = "ferry"
	Password = "secret"
)

func (x *exchange) auth() bool {
	if u, p, ok := x.r.BasicAuth(); ok && u == User && p == Password {
		return false
	}
	x.w.Header().Set("WWW-Authenticate", `Basic realm="goproxytest"`)
	return x.status(http.StatusUnauthorized, "")
}

// reset drops the connection so that the client's system says "connection reset".
func (x *exchange) reset() {
	conn, _, err := http.NewResponseController(x.w.ResponseWriter).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2: the stream is reset
	}
	raw := conn
	if t, ok := conn.(*tls.Conn); ok {
		raw = t.NetConn()
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // the close below does without, then
	}
	_ = raw.Close()
}

// A stop is a place in a body where something happens.
type stop struct {
	at  amount
	act func()
}

// A shaper sends a body as the faults say.
type shaper struct {
	http.ResponseWriter
	r        *http.Request
	rate     int64 // bytes per second; 0 is no limit
	stops    []stop
	noLength bool
	noRanges bool

	begun bool
	start time.Time
	total int64
	sent  int64
}

func (s *shaper) stopAt(a amount, act func()) { s.stops = append(s.stops, stop{a, act}) }

// WriteHeader learns how long the body will be.
func (s *shaper) WriteHeader(status int) {
	if s.begun {
		return
	}
	s.begun, s.start, s.total = true, time.Now(), -1
	h := s.Header()
	if n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64); err == nil {
		s.total = n
	}
	if s.noLength {
		h.Del("Content-Length")
	}
	if s.noRanges {
		h.Del("Accept-Ranges")
	}
	s.ResponseWriter.WriteHeader(status)
	if s.noLength {
		s.flush() // else net/http counts a short body itself
	}
	for i := range s.stops {
		s.stops[i].at = amount{bytes: s.stops[i].at.of(s.total)}
	}
	slices.SortStableFunc(s.stops, func(a, b stop) int { return int(min(max(a.at.bytes-b.at.bytes, -1), 1)) })
}

// Write sends p, and does on the way what is to be done.
func (s *shaper) Write(p []byte) (n int, err error) {
	s.WriteHeader(http.StatusOK)
	for {
		for len(s.stops) > 0 && s.stops[0].at.bytes <= s.sent && n < len(p) {
			s.flush()
			act := s.stops[0].act
			s.stops = s.stops[1:]
			act()
		}
		if n == len(p) {
			return n, nil
		}
		piece := p[n:]
		if len(s.stops) > 0 {
			piece = piece[:min(int64(len(piece)), s.stops[0].at.bytes-s.sent)]
		}
		if s.rate > 0 {
			piece = piece[:min(int64(len(piece)), max(s.rate/50, 1))]
			due := s.start.Add(time.Duration(float64(s.sent) / float64(s.rate) * float64(time.Second)))
			if d := time.Until(due); d > 0 && !sleep(s.r.Context(), d) {
				return n, s.r.Context().Err()
			}
		}
		m, err := s.ResponseWriter.Write(piece)
		n += m
		s.sent += int64(m)
		if err != nil {
			return n, err
		}
		if s.rate > 0 {
			s.flush()
		}
	}
}

func (s *shaper) flush() {
	_ = http.NewResponseController(s.ResponseWriter).Flush() // a client that has left shows at the next write
}
