package toolchain

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

// An answer is the body of a place's answer and where in the file it belongs.
type answer struct {
	body  io.Reader
	off   int64  // its first byte
	end   int64  // behind its last one; -1 while unknown
	total int64  // bytes of the file; -1 while unknown
	etag  string // strong; empty for none
}

// ask makes one request of c and adds what it brings to the part. The error is nil where
// the part has become the whole file, a *PlaceError where c is to blame.
func (d *fetching) ask(ctx context.Context, c *candidate) error {
	from := d.part.have - fetchOverlap
	if from < 0 || c.whole {
		from = 0 // without a Range, so that package transport goes on where it breaks off, and splits it
	}
	resp, err := d.send(ctx, c, from)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	a, err := d.begin(c, resp, from)
	if err != nil {
		return err
	}
	return d.take(ctx, c, a)
}

// send asks for the file of c from a byte on.
func (d *fetching) send(ctx context.Context, c *candidate, from int64) (*http.Response, error) {
	ifRange := ""
	if n := len(d.part.places); from > 0 && n > 0 && d.part.places[n-1].key() == c.Place.key() {
		ifRange = d.part.etag
	}
	resp, err := d.get(ctx, c, from, ifRange)
	if err == nil && ifRange != "" && resp.StatusCode == http.StatusOK {
		// Servers behind one name often have an ETag each for the same file: the bytes at
		// the seam will tell whether it is another one.
		resp.Body.Close()
		resp, err = d.get(ctx, c, from, "")
	}
	return resp, err
}

func (d *fetching) get(ctx context.Context, c *candidate, from int64, ifRange string) (*http.Response, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, &PlaceError{Fault: FaultURL, Err: fmt.Errorf("%w: not an http URL", goproxy.ErrInvalid)} // err would quote a password
	}
	req := c.Place.request(ctx, http.MethodGet, u)
	if from > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(from, 10)+"-")
	}
	if ifRange != "" {
		req.Header.Set("If-Range", ifRange)
	}
	return d.do(ctx, c, req)
}

// do sends req. While others are untried it does not wait for an answer longer than for one that is slow: what
// the link allows is long, and a place that takes every connection and says nothing would be given all of it.
func (d *fetching) do(ctx context.Context, c *candidate, req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	inTime := func() bool { return true }
	if d.othersLeft(c) {
		inTime = time.AfterFunc(d.SlowAfter, func() { cancel(errSilent) }).Stop
	}
	resp, err := d.HTTP.Do(req.WithContext(ctx))
	if !inTime() || context.Cause(ctx) == errSilent {
		if err == nil {
			resp.Body.Close()
		}
		cancel(nil)
		return nil, faulty(FaultLink, "%w after %s", errSilent, d.SlowAfter)
	}
	if err != nil {
		cancel(nil)
		return nil, linkFault(FaultLink, err)
	}
	resp.Body = &endingBody{resp.Body, cancel}
	return resp, nil
}

var errSilent = errors.New("no answer")

// An endingBody ends the context of its request when it is closed.
type endingBody struct {
	io.ReadCloser
	end context.CancelCauseFunc
}

func (b *endingBody) Close() error {
	defer b.end(nil)
	return b.ReadCloser.Close()
}

// begin judges the header of an answer to a request for the bytes from a byte on.
func (d *fetching) begin(c *candidate, resp *http.Response, from int64) (answer, error) {
	a := answer{body: resp.Body, end: -1, total: resp.ContentLength, etag: strongETag(resp.Header)}
	switch {
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && from > 0:
		return a, faulty(FaultLength, "the file is shorter there")
	case resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusPartialContent:
		return a, statusFault(resp.StatusCode)
	case isWebPage(resp.Header):
		return a, errWebPage()
	case resp.StatusCode == http.StatusPartialContent:
		if err := a.placePart(resp, from, d.part.length); err != nil {
			return a, err
		}
	case from > 0:
		return a, faulty(FaultNoRange, "it sends the whole file instead of its rest")
	default:
		a.end = a.total
	}
	return a, d.checkLength(c, a.total)
}

// placePart finds out where a 206 belongs. length is that of the file as far as it is known, else -1.
func (a *answer) placePart(resp *http.Response, from, length int64) error {
	span, ok := parseSpan(resp.Header.Get("Content-Range"))
	if !ok || from == 0 || span.from != from || resp.ContentLength >= 0 && resp.ContentLength != span.to-span.from {
		return faulty(FaultRange, "it sends another part of the file than was asked for")
	}
	a.off, a.end, a.total = span.from, span.to, span.total
	if a.total < 0 {
		a.total = length
	}
	if a.total < a.end {
		return faulty(FaultRange, "it does not say how long the file is")
	}
	return nil
}

// checkLength judges the length of the file at c, -1 for unknown.
func (d *fetching) checkLength(c *candidate, total int64) error {
	want := c.Size
	if d.part.have > 0 && d.part.length >= 0 {
		want = d.part.length
	}
	switch {
	case total > fetchMax:
		return faulty(FaultTooLarge, "%d bytes are more than a toolchain has", total)
	case total < 0 && !c.lenient && !c.whole:
		return faulty(FaultNoLength, "it does not say how long the file is")
	case total >= 0 && want > 0 && total != want && !c.whole:
		return faulty(FaultLength, "the file has %d bytes there, and %d elsewhere", total, want)
	}
	return nil
}

// A span is what a Content-Range says: the bytes from…to-1 of total, which is -1 where it
// is not told.
type span struct{ from, to, total int64 }

var spanField = regexp.MustCompile(`^(?i:bytes) ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)$`)

// parseSpan reads the value of a Content-Range field. Source: RFC 9110, section 14.4.
func parseSpan(value string) (span, bool) {
	m := spanField.FindStringSubmatch(value)
	if m == nil {
		return span{}, false
	}
	s := span{total: -1}
	s.from, _ = strconv.ParseInt(m[1], 10, 64)
	s.to, _ = strconv.ParseInt(m[2], 10, 64)
	s.to++
	if m[3] != "*" {
		s.total, _ = strconv.ParseInt(m[3], 10, 64)
	}
	return s, s.from < s.to && (s.total < 0 || s.to <= s.total)
}

// strongETag is the entity tag of h if it changes with every byte, else empty.
func strongETag(h http.Header) string {
	if tag := h.Get("Etag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	return ""
}

// take adds what a brings to the part.
func (d *fetching) take(ctx context.Context, c *candidate, a answer) error {
	pos := a.off
	if pos == 0 {
		head, err := d.head(a)
		if err != nil {
			return err
		}
		if err := d.put(c, a, 0, head); err != nil {
			return err
		}
		pos = int64(len(head))
	}
	mark, markPos := d.now(), pos
	for a.end < 0 || pos < a.end {
		room := d.buf
		if a.end >= 0 {
			room = room[:min(int64(len(room)), a.end-pos)]
		}
		n, err := a.body.Read(room)
		if perr := d.put(c, a, pos, room[:n]); perr != nil {
			return perr
		}
		pos += int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return linkFault(FaultCut, err)
		}
		if passed := d.now().Sub(mark); passed >= d.SlowAfter && d.SlowAfter > 0 {
			if err := d.checkRate(c, pos-markPos, passed); err != nil {
				return err
			}
			mark, markPos = d.now(), pos
		}
		if ctx.Err() != nil {
			return d.left(ctx)
		}
	}
	return d.finish(c, a, pos)
}

// head reads the first bytes of a file and judges by them what it is.
func (d *fetching) head(a answer) ([]byte, error) {
	want := beginning(d.file)
	head := make([]byte, len(want))
	n, err := io.ReadFull(a.body, head)
	switch {
	case n > 0 && head[0] == '<':
		return nil, errWebPage()
	case err == nil && string(head) == want:
		return head, nil
	case err == nil, err == io.EOF && a.total <= 0, err == io.ErrUnexpectedEOF && a.total < int64(len(want)):
		return nil, faulty(FaultNotArchive, "what it sends is no %s file", d.file[strings.LastIndexByte(d.file, '.'):])
	}
	return nil, linkFault(FaultCut, err)
}

// put adds b, the bytes at pos, to the part; those that are there already must be the same.
func (d *fetching) put(c *candidate, a answer, pos int64, b []byte) error {
	p := d.part
	if known := min(int64(len(b)), p.have-pos); known > 0 {
		same, err := p.matches(b[:known], pos)
		if err != nil {
			return err
		}
		if int64(same) < known {
			if err := d.takeOver(c, pos+int64(same)); err != nil {
				return err
			}
		}
		b = b[same:]
	}
	if len(b) == 0 {
		return nil
	}
	if p.have+int64(len(b)) > fetchMax {
		return faulty(FaultTooLarge, "more than %d bytes come, which no toolchain has", int64(fetchMax))
	}
	if a.total >= 0 {
		p.length = a.total
	}
	if err := p.append(b, c.Place, a.etag); err != nil {
		return err
	}
	d.brought += int64(len(b))
	d.report(c, false)
	return nil
}

// takeOver makes the file of c the one that is fetched; it agrees with what is there in the
// first n bytes. It is refused while others may still go on with what is there.
func (d *fetching) takeOver(c *candidate, n int64) error {
	if c.took || !c.whole && d.part.have > fetchOverlap {
		return faulty(FaultDiffers, "it has another file than the one that was begun")
	}
	d.Logger.Info("another file: beginning anew", "file", d.file, "source", c.name, "bytes", n)
	if err := d.part.cut(n); err != nil {
		return asDiskFull(err)
	}
	if n > 0 {
		d.part.places = []Place{c.Place.public()}
	}
	d.part.length, d.resumed = -1, 0
	c.took, c.whole = true, c.whole && !c.last.compared()
	return nil
}

// compared reports whether e says that the place's file is another one, and nothing about how it serves it.
func (e *PlaceError) compared() bool {
	return e != nil && (e.Fault == FaultDiffers || e.Fault == FaultLength)
}

// finish judges what is there now that a has come to its end at pos.
func (d *fetching) finish(c *candidate, a answer, pos int64) error {
	p := d.part
	want := a.total
	if want < 0 && !c.whole {
		want = p.length
	}
	if pos < want {
		return faulty(FaultCut, "%w: %d of %d bytes", io.ErrUnexpectedEOF, pos, want)
	}
	if p.have > pos { // all the same, but the file ends here
		if err := d.takeOver(c, pos); err != nil {
			return err
		}
	}
	p.length, p.dirty = pos, true
	if !p.complete() {
		return faulty(FaultNotArchive, "the file is empty")
	}
	return nil
}

// checkRate leaves a place that brought n bytes in a time where another one promises more.
func (d *fetching) checkRate(c *candidate, n int64, passed time.Duration) error {
	rate := float64(n) / passed.Seconds()
	if limit := d.slowLimit(c); rate >= limit {
		return nil
	}
	return faulty(FaultSlow, "%d bytes a second: another place may be faster", int64(rate))
}

// fromDisk takes a file of this machine as it is.
func (d *fetching) fromDisk(ctx context.Context, c *candidate) (*Download, error) {
	done, err := d.readLocal(ctx, c)
	switch _, ok := errors.AsType[*PlaceError](err); {
	case err == nil:
		return done, nil
	case ctx.Err() != nil:
		return nil, d.left(ctx)
	case ok:
		return nil, err
	}
	return nil, faulty(FaultFile, "%w", err)
}

func (d *fetching) readLocal(ctx context.Context, c *candidate) (*Download, error) {
	name, err := pathOfURL(c.URL)
	if err != nil {
		return nil, err
	}
	f, _, err := openPlain(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	head, err := d.head(answer{body: f})
	if err != nil {
		return nil, err
	}
	h.Write(head)
	n, err := io.CopyBuffer(h, stopping(ctx, f), make([]byte, fetchBuffer))
	if err != nil {
		return nil, err
	}
	done := &Download{Path: name, Size: n + int64(len(head)), Places: []Place{c.Place}, keep: true}
	h.Sum(done.SHA256[:0])
	return done, nil
}
