package goproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A Client is a Source over HTTP: an upstream module proxy.
//
// It classifies each answer once (FromStatus), bounds its size by the kind of the
// file, and refuses web pages, which captive portals and gateways send with status
// 200. It never retries and sets no deadline: that is the work of its http.Client.
type Client struct {
	base *url.URL
	name string
	http *http.Client
}

// NewClient returns a Client of the module proxy at base, an http or https URL that may
// carry user and password.
func NewClient(base string, hc *http.Client) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("upstream %s: not an http URL", RedactURL(base))
	}
	return &Client{base: u, name: RedactURL(base), http: hc}, nil
}

// String returns the base URL without credentials.
func (c *Client) String() string { return c.name }

// Open opens a file of the upstream. Small files are read whole; a zip is streamed, and
// seeking in it, or reading on after an error, opens it again with a Range request. A context of
// WithCachedOnly is ErrNotExist: a Client has nothing of its own.
func (c *Client) Open(ctx context.Context, req Request) (File, error) {
	name, err := req.Name()
	if err != nil {
		return nil, err
	}
	if IsCachedOnly(ctx) {
		return nil, c.fail(req, fmt.Errorf("%w: not asked, since the request asks not to fetch", ErrNotExist))
	}
	resp, err := c.get(ctx, req, name, part{})
	if err != nil {
		return nil, err
	}
	if resp.ContentLength > req.Kind.MaxSize() {
		resp.Body.Close()
		return nil, c.fail(req, tooLarge(req.Kind))
	}
	info := FileInfo{Base: path.Base(name), Bytes: resp.ContentLength, Mod: lastModified(resp)}
	if req.Kind != Zip {
		return c.readSmall(ctx, req, resp, info.Mod)
	}
	p := part{total: resp.ContentLength, mark: mark(resp)}
	return NewStreamFile(info, c.bounded(ctx, req, resp, 0), func(offset int64) (io.ReadCloser, error) {
		p.offset = offset
		return c.reopen(ctx, req, name, p)
	}), nil
}

func (c *Client) readSmall(ctx context.Context, req Request, resp *http.Response, mod time.Time) (File, error) {
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, req.Kind.MaxSize()+1))
	if err != nil {
		return nil, c.readError(ctx, req, err)
	}
	if int64(len(data)) > req.Kind.MaxSize() {
		return nil, c.fail(req, tooLarge(req.Kind))
	}
	if looksLikeHTML(data) {
		return nil, c.fail(req, errWebPage)
	}
	return NewFile(req, data, mod, nil), nil
}

var errWebPage = fmt.Errorf("%w: the answer is a web page, not a module file: a login page or a gateway stands in between, or the URL is not that of a module proxy", ErrUnavailable)

func looksLikeHTML(data []byte) bool {
	head := bytes.TrimLeftFunc(data[:min(len(data), 512)], unicode.IsSpace)
	return len(head) > 0 && head[0] == '<'
}

// A part is the rest of a file behind offset.
type part struct {
	offset int64  // 0 asks for the whole file
	total  int64  // length of the whole file; negative if it is not known
	mark   string // strong ETag of the whole file; may be empty
}

// mark returns the strong ETag of an answer, by which a later one is known to be of the same file.
func mark(resp *http.Response) string {
	if tag := resp.Header.Get("Etag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	return ""
}

// get sends one request and returns an answer with status 200, or the part that was
// asked for with status 206.
func (c *Client) get(ctx context.Context, req Request, name string, p part) (*http.Response, error) {
	u := *c.base
	u.Path = strings.TrimSuffix(u.Path, "/") + "/" + name
	u.RawPath = strings.TrimSuffix(c.base.EscapedPath(), "/") + "/" + pathEscape(name)
	// Not by way of a string: the error of one that cannot be parsed again would quote it.
	hr := (&http.Request{Method: http.MethodGet, URL: &u, Host: u.Host, Header: http.Header{}}).WithContext(ctx)
	if p.offset > 0 {
		hr.Header.Set("Range", "bytes="+strconv.FormatInt(p.offset, 10)+"-")
		if p.mark != "" {
			hr.Header.Set("If-Range", p.mark)
		}
	}
	resp, err := c.http.Do(hr)
	if err != nil {
		return nil, c.readError(ctx, req, err)
	}
	if err := FromStatus(resp.StatusCode); err != nil {
		e := c.fail(req, withText(err, resp))
		e.RetryAfter = retryAfter(resp)
		resp.Body.Close()
		return nil, e
	}
	if ct := resp.Header.Get("Content-Type"); strings.HasPrefix(strings.ToLower(ct), "text/html") {
		resp.Body.Close()
		return nil, c.fail(req, errWebPage)
	}
	if resp.StatusCode == http.StatusPartialContent && !p.is(resp) {
		resp.Body.Close()
		return nil, c.fail(req, fmt.Errorf("%w: the answer is another part of the file than was asked for", ErrUnavailable))
	}
	return resp, nil
}

// is reports whether resp, of status 206, holds p up to the end of the file.
func (p part) is(resp *http.Response) bool {
	span, total, ok := strings.Cut(strings.TrimPrefix(resp.Header.Get("Content-Range"), "bytes "), "/")
	if !ok || p.offset == 0 {
		return false
	}
	var size int64
	if total == "*" {
		if size = p.total; size < 0 {
			return false
		}
	} else if n, err := strconv.ParseInt(total, 10, 64); err != nil || p.total >= 0 && n != p.total {
		return false
	} else {
		size = n
	}
	return span == fmt.Sprintf("%d-%d", p.offset, size-1)
}

func pathEscape(name string) string {
	elems := strings.Split(name, "/")
	for i, e := range elems {
		elems[i] = url.PathEscape(e)
	}
	return strings.Join(elems, "/")
}

// A changedError says that a file has to be read from its beginning.
type changedError struct{}

func (changedError) Error() string { return "the file changed while it was read" }
func (changedError) Changed() bool { return true }

// reopen opens the rest of a file. An upstream that knows no ranges sends the whole; what
// stands before the rest is thrown away then, if the file is still the same.
func (c *Client) reopen(ctx context.Context, req Request, name string, p part) (io.ReadCloser, error) {
	resp, err := c.get(ctx, req, name, p)
	if err != nil {
		return nil, err
	}
	whole := resp.StatusCode == http.StatusOK
	if whole && (p.total >= 0 && resp.ContentLength != p.total || p.mark != "" && mark(resp) != p.mark) {
		resp.Body.Close()
		return nil, c.fail(req, fmt.Errorf("%w: %w", ErrUnavailable, changedError{}))
	}
	if !whole {
		return c.bounded(ctx, req, resp, p.offset), nil
	}
	body := c.bounded(ctx, req, resp, 0)
	if _, err := io.CopyN(io.Discard, body, p.offset); err != nil {
		body.Close()
		if err == io.EOF {
			err = c.readError(ctx, req, io.ErrUnexpectedEOF)
		}
		return nil, err
	}
	return body, nil
}

// bounded returns the body of resp, which begins at offset.
func (c *Client) bounded(ctx context.Context, req Request, resp *http.Response, offset int64) io.ReadCloser {
	return &bounded{ReadCloser: resp.Body, left: req.Kind.MaxSize() - offset, kind: req.Kind,
		wrap: func(err error) error { return c.readError(ctx, req, err) }}
}

func (c *Client) fail(req Request, err error) *Error {
	return &Error{Source: c.name, Request: req, Err: err}
}

// readError classifies a failure of the transport. That the asker left stays recognizable
// and is no fault of the upstream.
func (c *Client) readError(ctx context.Context, req Request, err error) error {
	if ctx.Err() != nil {
		return c.fail(req, fmt.Errorf("%w", context.Cause(ctx)))
	}
	// url.Error repeats the URL, which may hold a password, in its text.
	for {
		ue, ok := err.(*url.Error)
		if !ok {
			break
		}
		err = ue.Err
	}
	e := c.fail(req, err)
	if !errors.Is(err, ErrUnavailable) {
		e.Err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	var h interface{ Hint() (code, text string) }
	if errors.As(err, &h) {
		e.HintCode, e.Hint = h.Hint()
	}
	return e
}

// bounded cuts an endless body off and gives read errors their meaning.
type bounded struct {
	io.ReadCloser
	left int64
	wrap func(error) error
	kind Kind
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, b.wrap(tooLarge(b.kind))
	}
	if err != nil && err != io.EOF {
		err = b.wrap(err)
	}
	return n, err
}

func lastModified(resp *http.Response) time.Time {
	t, _ := http.ParseTime(resp.Header.Get("Last-Modified"))
	return t
}

// retryAfter reads the header in both its forms; 0 if there is none or it makes no sense.
func retryAfter(resp *http.Response) time.Duration {
	h := resp.Header.Get("Retry-After")
	if s, err := strconv.Atoi(h); err == nil && s > 0 {
		return time.Duration(min(s, maxRetryAfter)) * time.Second
	}
	if t, err := http.ParseTime(h); err == nil {
		return min(max(0, time.Until(t)), maxRetryAfter*time.Second)
	}
	return 0
}

const maxRetryAfter = 24 * 60 * 60 // seconds; who says more does not know

const (
	maxTextLines = 4
	maxTextBytes = 1024
)

// withText adds what the upstream wrote, bounded and made printable, if it says it is plain text.
func withText(err error, resp *http.Response) error {
	ct, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	if ct != "" && strings.TrimSpace(ct) != "text/plain" {
		return err
	}
	data, _ := io.ReadAll(io.LimitReader(resp.Body, maxTextBytes))
	text := cleanText(string(data))
	if text == "" {
		return err
	}
	return fmt.Errorf("%w: it says: %s", err, text)
}

// cleanText makes a foreign text fit for an error message: printable UTF-8, few lines, joined by "; ".
func cleanText(s string) string {
	var lines []string
	for line := range strings.Lines(s) {
		line = strings.Map(func(r rune) rune {
			if r == utf8.RuneError || !unicode.IsPrint(r) {
				return -1
			}
			return r
		}, strings.TrimSpace(line))
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
		if len(lines) == maxTextLines {
			break
		}
	}
	return strings.Join(lines, "; ")
}
