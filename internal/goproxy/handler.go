package goproxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// A Handler serves a Source as a module proxy over HTTP, by
// https://go.dev/ref/mod#goproxy-protocol. GET and HEAD; escaped paths only.
type Handler struct {
	Source     Source
	MutableAge time.Duration // max-age of lists, latest and queries; 0 is one minute, negative is 0

	// Explain makes the lines of an error answer; nil is the error's own text and
	// hint. The go command shows its user at most 8 lines.
	Explain func(err error) []string
	// Done is told of each answer; nil tells nobody.
	Done func(ctx context.Context, a Answer)

	names Names
}

// An Answer says what a Handler answered.
type Answer struct {
	Request  Request // zero where the path could not be parsed
	Status   int
	Bytes    int64         // of the body that were sent
	Duration time.Duration // until the last byte was handed to the connection
	Result   string        // "hit", "miss", "stale"; "error" or "absent" where there was no file
	Err      error         // why the answer is not the file, or why it ended early
}

const (
	maxErrorLines = 8
)

// ServeHTTP answers one request of the protocol.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	a := Answer{Status: http.StatusOK}
	defer func() {
		if h.Done != nil {
			a.Duration = time.Since(start)
			h.Done(r.Context(), a)
		}
	}()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		h.text(w, r, &a, http.StatusMethodNotAllowed, []string{"method " + clip(r.Method, 20) + " is not part of the module proxy protocol"})
		return
	}
	// net/http has undone %-escapes, so that %21 is the "!" of an escaped path.
	req, err := h.names.Parse(strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil {
		h.error(w, r, &a, err)
		return
	}
	a.Request = req
	ctx := r.Context()
	if v := r.Header["Disable-Module-Fetch"]; len(v) > 0 && v[0] == "true" {
		ctx = WithCachedOnly(ctx)
	}
	look := r.Method == http.MethodHead && req.Kind == Zip && !IsCachedOnly(ctx)
	var f File
	if look {
		f, err = h.Source.Open(WithCachedOnly(ctx), req)
	} else {
		f, err = h.Source.Open(ctx, req)
	}
	switch {
	case err == nil:
		h.file(w, r, &a, f)
	case look && Absent(err):
		h.headZip(ctx, w, r, &a)
	default:
		h.error(w, r, &a, err)
	}
}

// headZip answers HEAD for a zip that is not at hand without fetching it: the .info says
// whether the version exists. The length is not known, so none is sent.
func (h *Handler) headZip(ctx context.Context, w http.ResponseWriter, r *http.Request, a *Answer) {
	f, err := h.Source.Open(ctx, Request{Path: a.Request.Path, Version: a.Request.Version, Kind: Info})
	if err != nil {
		h.error(w, r, a, err)
		return
	}
	f.Close()
	a.Result = "miss"
	w.Header()["Content-Type"] = contentType(Zip)
	w.WriteHeader(http.StatusOK)
}

// Header values that never change are shared by all answers: a slice for each would be a
// good part of what a small answer costs.
var (
	typeJSON  = []string{"application/json"}
	typeZip   = []string{"application/zip"}
	typeText  = []string{"text/plain; charset=utf-8"}
	bytesOnly = []string{"bytes"}
	nosniff   = []string{"nosniff"}
	forever   = []string{"public, max-age=31536000, immutable"}
)

func contentType(k Kind) []string {
	switch k {
	case Latest, Info:
		return typeJSON
	case Zip:
		return typeZip
	}
	return typeText
}

// file sends f and closes it.
func (h *Handler) file(w http.ResponseWriter, r *http.Request, a *Answer, f File) {
	defer f.Close()
	begin, err := peek(r, f)
	if err != nil {
		h.error(w, r, a, err)
		return
	}
	info, err := f.Stat()
	if err != nil {
		h.error(w, r, a, err)
		return
	}
	meta := MetaOf(info)
	if a.Result = meta.Result; a.Result == "" {
		a.Result = "hit"
	}
	fixed := headOf(a.Request, f, info)
	h.headers(w.Header(), fixed, meta)
	switch {
	case info.Size() < 0 && r.Method == http.MethodGet:
		h.send(w, a, f, begin, -1)
	case info.Size() < 0:
		w.WriteHeader(http.StatusOK)
	case plainGet(r):
		w.Header()["Content-Length"] = fixed.length
		h.send(w, a, f, begin, info.Size())
	default:
		h.part(w, r, a, f, info)
	}
}

// part answers what has conditions or ranges, and HEAD. http.ServeContent seeks, so it does not
// matter what has been read.
func (h *Handler) part(w http.ResponseWriter, r *http.Request, a *Answer, f File, info fs.FileInfo) {
	cw := &countingWriter{ResponseWriter: w, status: http.StatusOK}
	cf := &errorKeeper{ReadSeeker: osFile(f)}
	http.ServeContent(cw, r, "", info.ModTime(), cf)
	a.Status, a.Bytes = cw.status, cw.n
	if cf.err != nil {
		a.Err, a.Result = cf.err, "error"
		panic(http.ErrAbortHandler)
	}
}

// plainGet reports whether r asks for the whole file without conditions.
func plainGet(r *http.Request) bool {
	return r.Method == http.MethodGet && len(r.Header["Range"])+len(r.Header["If-None-Match"])+
		len(r.Header["If-Modified-Since"])+len(r.Header["If-Match"])+len(r.Header["If-Unmodified-Since"]) == 0
}

// peek reads the first bytes of a file that may still be arriving, so that what goes
// wrong before them is answered with its own status.
func peek(r *http.Request, f File) ([]byte, error) {
	if _, ok := f.(*MemFile); ok || r.Method != http.MethodGet {
		return nil, nil
	}
	if _, ok := osFile(f).(*os.File); ok {
		return nil, nil
	}
	buf := make([]byte, 4096)
	n, err := f.Read(buf)
	if err == io.EOF {
		err = nil
	}
	return buf[:n], err
}

// send writes the whole file, of which begin has been read already. A failure after the first byte cuts the
// connection: it is the only way left to say that the answer is not whole.
func (h *Handler) send(w http.ResponseWriter, a *Answer, f File, begin []byte, size int64) {
	if m, ok := f.(*MemFile); ok {
		n, err := w.Write(m.data)
		a.Bytes, a.Err = int64(n), err
		return
	}
	src := &sourceErr{Reader: osFile(f)}
	var err error
	if of, ok := src.Reader.(*os.File); ok {
		a.Bytes, err = io.Copy(w, io.LimitReader(of, size)) // *os.File stays visible, for sendfile
	} else {
		a.Bytes, err = io.Copy(flushing(w), io.MultiReader(bytes.NewReader(begin), src))
	}
	if err == nil && size >= 0 && a.Bytes < size {
		err = io.ErrUnexpectedEOF
	}
	if errors.Is(src.err, context.Canceled) && a.Bytes == size {
		return // the client has all of it and went before the end of the source was seen
	}
	if src.err != nil || err != nil {
		if a.Err, a.Result = src.err, "error"; a.Err == nil {
			a.Err = err
		}
		panic(http.ErrAbortHandler)
	}
}

// head is what of an answer's header depends on nothing but the file and its name, as http.Header wants
// it: nil is left out. It is never changed.
type head struct {
	req                    Request
	immutable              bool
	length, modified, etag []string
}

// headOf is computed once for a MemFile that many are given: it takes longer than to send a go.mod.
func headOf(req Request, f File, info fs.FileInfo) *head {
	m, inMemory := f.(*MemFile)
	if inMemory {
		if hd := m.head.Load(); hd != nil && hd.req == req {
			return hd
		}
	}
	hd := &head{req: req, immutable: req.Immutable()}
	if info.Size() >= 0 {
		hd.length = []string{strconv.FormatInt(info.Size(), 10)}
	}
	if !info.ModTime().IsZero() {
		hd.modified = []string{info.ModTime().UTC().Format(http.TimeFormat)}
	}
	if tag := etag(hd.immutable, f, info); tag != "" {
		hd.etag = []string{tag}
	}
	if inMemory {
		m.head.Store(hd)
	}
	return hd
}

func (h *Handler) headers(hd http.Header, fixed *head, meta Meta) {
	hd["Content-Type"], hd["X-Content-Type-Options"] = contentType(fixed.req.Kind), nosniff
	if fixed.length != nil {
		hd["Accept-Ranges"] = bytesOnly
	}
	if fixed.modified != nil {
		hd["Last-Modified"] = fixed.modified
	}
	if fixed.etag != nil {
		hd["Etag"] = fixed.etag
	}
	if fixed.immutable {
		hd["Cache-Control"] = forever
	} else {
		hd.Set("Cache-Control", "public, max-age="+strconv.Itoa(h.mutableAge()))
		if meta.Age > 0 {
			hd.Set("Age", strconv.Itoa(int(meta.Age/time.Second)))
		}
	}
	if meta.Warning != "" {
		hd.Set("Warning", meta.Warning)
	}
}

func (h *Handler) mutableAge() int {
	if h.MutableAge == 0 {
		return 60
	}
	return max(0, int(h.MutableAge/time.Second))
}

// etag is strong. What can change is known by its content; what cannot by the
// moment it was kept and its length, which are fixed before the last byte is there.
func etag(immutable bool, f File, info fs.FileInfo) string {
	if m, ok := f.(*MemFile); ok && (!immutable || info.ModTime().IsZero()) {
		sum := sha256.Sum256(m.data)
		return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	}
	if info.Size() < 0 || info.ModTime().IsZero() {
		return ""
	}
	return `"` + strconv.FormatInt(info.ModTime().UnixMicro(), 36) + "-" + strconv.FormatInt(info.Size(), 36) + `"`
}

// error answers with the status, reason and hint of err.
func (h *Handler) error(w http.ResponseWriter, r *http.Request, a *Answer, err error) {
	status, retry := Status(err)
	a.Err, a.Result = err, "error"
	if Absent(err) {
		a.Result = "absent"
	}
	if retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(retry))
	}
	explain := h.Explain
	if explain == nil {
		explain = explainError
	}
	h.text(w, r, a, status, explain(err))
}

func explainError(err error) []string {
	lines := strings.Split(err.Error(), "\n")
	var e *Error
	if errors.As(err, &e) && e.Hint != "" {
		lines = append(lines[:min(len(lines), maxErrorLines-1)], "hint: "+e.Hint)
	}
	return lines
}

func (h *Handler) text(w http.ResponseWriter, r *http.Request, a *Answer, status int, lines []string) {
	a.Status = status
	hd := w.Header()
	hd.Set("Content-Type", "text/plain; charset=utf-8")
	hd.Set("X-Content-Type-Options", "nosniff")
	hd.Set("Cache-Control", "no-store")
	if status == http.StatusNotFound || status == http.StatusGone {
		hd.Set("Cache-Control", fmt.Sprintf("public, max-age=%d", h.mutableAge()))
	}
	body := strings.Join(lines[:min(len(lines), maxErrorLines)], "\n") + "\n"
	hd.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		n, _ := io.WriteString(w, body)
		a.Bytes = int64(n)
	}
}

// osFile returns the *os.File behind f where there is one, so that the kernel can
// copy, else f.
func osFile(f File) io.ReadSeeker {
	if u, ok := f.(interface{ OSFile() *os.File }); ok {
		if of := u.OSFile(); of != nil {
			return of
		}
	}
	return f
}

type sourceErr struct {
	io.Reader
	err error
}

func (s *sourceErr) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// errorKeeper remembers a read error that http.ServeContent does not tell of.
type errorKeeper struct {
	io.ReadSeeker
	err error
}

func (k *errorKeeper) Read(p []byte) (int, error) {
	n, err := k.ReadSeeker.Read(p)
	if err != nil && err != io.EOF {
		k.err = err
	}
	return n, err
}

type countingWriter struct {
	http.ResponseWriter
	status int
	n      int64
}

func (c *countingWriter) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n += int64(n)
	return n, err
}

// flushing sends what has arrived at once: the reader of a fill on a slow link
// must not wait for a full buffer.
func flushing(w http.ResponseWriter) io.Writer {
	rc := http.NewResponseController(w)
	return writerFunc(func(p []byte) (int, error) {
		n, err := w.Write(p)
		if err == nil {
			if ferr := rc.Flush(); ferr != nil && !errors.Is(ferr, http.ErrNotSupported) {
				err = ferr
			}
		}
		return n, err
	})
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
