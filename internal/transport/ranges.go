package transport

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// An identity is what the header of an answer says about the file, so that a later answer
// is known to be of the same one.
type identity struct {
	etag     string // as it came, strong or weak
	modified string // Last-Modified, as it came
	ifRange  string // a strong validator; empty for none
	total    int64  // bytes; -1 while unknown
}

// identify reads the header of an answer with the whole file.
func identify(resp *http.Response) identity {
	id := identity{etag: resp.Header.Get("Etag"), modified: resp.Header.Get("Last-Modified"), total: resp.ContentLength}
	switch {
	case id.strong():
		id.ifRange = id.etag
	case id.etag == "" && longBefore(id.modified, resp.Header.Get("Date")):
		id.ifRange = id.modified // RFC 9110, section 13.1.5: only where there is no entity tag at all
	}
	return id
}

// strong reports whether the entity tag changes with every byte (RFC 9110, section 8.8.1).
func (id identity) strong() bool { return len(id.etag) >= 2 && strings.HasPrefix(id.etag, `"`) }

// longBefore reports whether a file last modified then cannot have changed since without
// another Last-Modified, whose unit is a second (RFC 9110, section 8.8.2.2).
func longBefore(modified, date string) bool {
	m, err := http.ParseTime(modified)
	if err != nil {
		return false
	}
	d, err := http.ParseTime(date)
	return err == nil && d.Sub(m) >= time.Second
}

// resumable reports whether enough is known to tell whether a later answer is of the same file.
func (id identity) resumable() bool { return id.ifRange != "" || id.total >= 0 }

// same reports whether an answer whose file is total bytes long can be of the same file.
// conditional says that the server was asked to compare the validator itself.
func (id identity) same(h http.Header, total int64, conditional bool) bool {
	etag, modified := h.Get("Etag"), h.Get("Last-Modified")
	switch {
	case id.total >= 0 && total != id.total:
		return false
	case etag != "" || id.etag != "" && !conditional:
		return etag == id.etag
	case modified != "" && id.modified != "":
		return modified == id.modified
	}
	return true
}

// ask makes a request for the bytes from…to-1 of header h; to is -1 for the end.
func (id identity) ask(h http.Header, from, to int64) {
	// These were about the whole file, and could make an answer without it.
	for _, name := range []string{"If-None-Match", "If-Modified-Since"} {
		h.Del(name)
	}
	span := "bytes=" + strconv.FormatInt(from, 10) + "-"
	if to >= 0 {
		span += strconv.FormatInt(to-1, 10)
	}
	h.Set("Range", span)
	if id.ifRange != "" {
		h.Set("If-Range", id.ifRange)
	}
}

// What an answer to a request for a part can be, other than that part.
var (
	errWhole = errors.New("the answer is the whole file")
	// errOther says so too, but by the validators it is another file. Many a mirror is several servers, each
	// with an ETag of its own for the same file; only the bytes can tell.
	errOther = errors.New("the answer is the whole file, with other validators")
	errEnd   = errors.New("the file ends there")
)

// A refusal is an answer that is neither the part nor tells that the file has changed.
type refusal struct {
	reason    string
	temporary bool          // the next answer may be another
	after     time.Duration // what Retry-After says
	spent     bool          // it was one too many
}

func (e *refusal) Error() string { return e.reason }

// errAnother says that the file is another one now.
type errAnother struct {
	reason string
	maybe  bool // it came whole, and as long as before: its bytes tell whether it is another one
}

func (e *errAnother) Error() string { return e.reason }

// check says what resp is to a request for the bytes from…to-1 (to is -1 for the end): nil
// for that part of the same file, errWhole for all of the same file, errOther for all of one that
// is as long, errEnd if there is nothing from there on, *errAnother, or *refusal.
func (id identity) check(resp *http.Response, from, to int64) error {
	switch resp.StatusCode {
	case http.StatusPartialContent:
		return id.checkPart(resp, from, to)
	case http.StatusOK:
		if !id.same(resp.Header, resp.ContentLength, false) {
			return &errAnother{"another validator or length", id.total < 0 || id.total == resp.ContentLength}
		}
		return errWhole
	case http.StatusRequestedRangeNotSatisfiable:
		r, err := parseContentRange(resp.Header.Get("Content-Range"))
		switch {
		case err != nil || !r.unsatisfied:
		case id.total >= 0 && r.total != id.total, id.total < 0 && r.total < from:
			return &errAnother{reason: "another length"}
		case id.total < 0 && r.total == from && id.ifRange != "":
			return errEnd // it broke off behind the last byte
		}
	}
	return &refusal{
		reason:    fmt.Sprintf("status %d", resp.StatusCode),
		temporary: retryStatus(resp.StatusCode),
		after:     retryAfter(resp.Header, time.Now()),
	}
}

func (id identity) checkPart(resp *http.Response, from, to int64) error {
	r, err := parseContentRange(resp.Header.Get("Content-Range"))
	if err != nil || r.unsatisfied {
		return &refusal{reason: errContentRange.Error()}
	}
	total := r.total
	if total < 0 {
		total = id.total // the server keeps it to itself
	}
	switch {
	case !id.same(resp.Header, total, id.ifRange != ""):
		return &errAnother{reason: "another validator or length"}
	case !r.is(from, to, total), resp.ContentLength >= 0 && resp.ContentLength != r.to-r.from:
		return &refusal{reason: "another part than was asked for"}
	}
	return nil
}

// A contentRange is the value of a Content-Range field: the bytes from…to-1 of total.
type contentRange struct {
	from, to    int64
	total       int64 // -1 for unknown
	unsatisfied bool  // only total is there
}

var errContentRange = errors.New("no valid Content-Range")

// parseContentRange reads a field value as RFC 9110, section 14.4, writes it.
func parseContentRange(value string) (contentRange, error) {
	unit, rest, ok := strings.Cut(value, " ")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return contentRange{}, errContentRange
	}
	span, size, ok := strings.Cut(rest, "/")
	if !ok {
		return contentRange{}, errContentRange
	}
	r := contentRange{total: -1}
	if size != "*" {
		if r.total, ok = decimal(size); !ok {
			return contentRange{}, errContentRange
		}
	}
	if span == "*" {
		r.unsatisfied = true
		if r.total < 0 {
			return contentRange{}, errContentRange
		}
		return r, nil
	}
	first, last, ok := strings.Cut(span, "-")
	if !ok {
		return contentRange{}, errContentRange
	}
	from, ok1 := decimal(first)
	end, ok2 := decimal(last)
	if !ok1 || !ok2 || end < from || r.total >= 0 && end >= r.total {
		return contentRange{}, errContentRange
	}
	r.from, r.to = from, end+1
	return r, nil
}

// decimal reads digits and nothing else; what has more than 18 is no length of a file.
func decimal(s string) (int64, bool) {
	if s == "" || len(s) > 18 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// is reports whether r is the bytes from…to-1, to being -1 for the end of a file of total bytes.
func (r contentRange) is(from, to, total int64) bool {
	if to < 0 {
		to = total
	}
	return to >= 0 && r.from == from && r.to == to
}

// ranges reports whether a server says that it serves parts.
func ranges(h http.Header) bool {
	for _, value := range h.Values("Accept-Ranges") {
		for unit := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(unit), "bytes") {
				return true
			}
		}
	}
	return false
}
