package mirrors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/sumdb"
)

// want says what of an answer is read.
type want struct {
	limit    int64 // bytes; more is TooLarge
	head     bool  // the first bytes suffice
	from, to int   // bytes from and to, inclusive, to ask for; 0, 0 for all
}

// An answer is what came of one request.
type answer struct {
	status int // 0 if no answer came
	header http.Header
	body   []byte // as far as it came
	large  bool   // there was more than was wanted
	err    error  // why it did not come, or not whole
	late   bool   // not asked, since the time was over
	took   time.Duration
	setup  time.Duration // spent on making connections, part of took
	link   Link
}

// waited is how long the answer took over a connection that stands.
func (a answer) waited() time.Duration { return a.took - a.setup }

// file asks for a file of the protocol.
func (p *prober) file(ctx context.Context, req goproxy.Request, w want) answer {
	name, err := req.Name()
	if err != nil {
		return answer{err: err}
	}
	return p.get(ctx, name, w)
}

// get asks for the file name below the mirror's URL, in the time that is left.
func (p *prober) get(ctx context.Context, name string, w want) answer {
	start := time.Now()
	deadline := start.Add(min(p.StepTimeout, p.left))
	if !p.rest.IsZero() {
		deadline = p.rest
	} else {
		defer func() { p.left -= time.Since(start) }()
	}
	if !start.Before(deadline) {
		return answer{late: true, err: context.DeadlineExceeded}
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	var t trace
	u := *p.base
	u.Path = strings.TrimSuffix(u.Path, "/") + "/" + name
	u.RawPath = strings.TrimSuffix(p.base.EscapedPath(), "/") + "/" + name // names need no escaping beyond their own
	// Not by way of a string: the error of one that cannot be parsed again would quote it.
	req := (&http.Request{Method: http.MethodGet, URL: &u, Host: u.Host, Header: http.Header{}}).WithContext(t.context(ctx))
	if w.to > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", w.from, w.to))
	}
	resp, err := p.HTTP.Do(req)
	a := answer{err: err}
	if err == nil {
		a.status, a.header = resp.StatusCode, resp.Header
		if resp.Request != nil {
			p.redirected(resp.Request.URL.Host)
		}
		a.read(resp, w)
	}
	a.took = time.Since(start)
	a.setup, a.link = t.result(resp, err)
	return a
}

// read reads what is wanted of the body. Of the text behind a bad status nothing is.
func (a *answer) read(resp *http.Response, w want) {
	defer resp.Body.Close()
	if a.status == http.StatusOK && w.to > 0 || goproxy.FromStatus(a.status) != nil {
		return
	}
	a.body, a.err = io.ReadAll(io.LimitReader(resp.Body, w.limit+1))
	if a.large = int64(len(a.body)) > w.limit; a.large {
		a.body = a.body[:w.limit]
		a.large = !w.head
	}
}

// step judges an answer that should have status 200.
func (a answer) step() Step {
	s := Step{State: Unknown, Status: a.status, Took: Millis(a.took)}
	switch {
	case a.late:
		s.Reason = OutOfTime
	case a.err != nil:
		s.Reason, s.Op = explain(a.err)
	case a.status == http.StatusNotFound || a.status == http.StatusGone:
		s.State, s.Reason = No, Status
	case a.status != http.StatusOK:
		s.Reason = Status
	case a.page():
		s.Reason = WebPage
	case a.large:
		s.Reason = TooLarge
	default:
		s.State = Yes
	}
	return s
}

// page reports whether the answer is for people. No file of the protocol begins like one.
func (a answer) page() bool {
	return strings.HasPrefix(strings.ToLower(a.header.Get("Content-Type")), "text/html") ||
		bytes.HasPrefix(bytes.TrimSpace(a.body[:min(len(a.body), 512)]), []byte("<"))
}

// uncheckedStep says why a file did not pass. That the database contradicts itself is not the mirror's fault.
func uncheckedStep(err error) Step {
	s := Step{State: Unknown, Reason: Unchecked, Detail: err.Error()}
	var fork *sumdb.ForkError
	switch {
	case errors.As(err, &fork):
	case errors.Is(err, goproxy.ErrMismatch):
		s.State, s.Reason = No, Mismatch
	case errors.Is(err, goproxy.ErrBlocked), goproxy.Absent(err):
		s.Reason = NoRecord
	}
	return s
}
