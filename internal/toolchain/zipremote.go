package toolchain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

// A zipRemote is a zip on a server that answers with parts of files. Every part must be of
// the same file as the first: same length, same tag.
type zipRemote struct {
	client   *http.Client
	url      *url.URL // of the file; may hold the user's credentials
	place    Place
	length   int64
	etag     string // as the first answer had it; empty for none
	modified string
	wait     time.Duration // before a second try; the waits after it double
}

const (
	zipHead    = 512       // bytes of the first request, which only looks
	zipTries   = 4         // tries that bring nothing, one after another
	zipRefill  = 256 << 10 // bytes after which all tries are there again
	zipBackoff = 200 * time.Millisecond
)

// openZipRemote finds out how long the file of o is and whether it is a zip of which parts
// can be had. The error is a *PlaceError.
func openZipRemote(ctx context.Context, client *http.Client, o Offer) (*zipRemote, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, faulty(FaultURL, "not a URL") // err would hold it
	}
	z := &zipRemote{client: client, url: u, place: o.Place, length: -1, wait: zipBackoff}
	resp, err := z.get(ctx, 0, zipHead)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var head [4]byte
	if _, err := io.ReadFull(resp.Body, head[:]); err != nil {
		return nil, linkFault(FaultCut, err)
	}
	switch {
	case string(head[:]) == "PK\x03\x04":
		return z, nil
	case bytes.HasPrefix(bytes.TrimSpace(head[:]), []byte("<")):
		return nil, errWebPage()
	}
	return nil, faulty(FaultNotArchive, "no zip")
}

func (z *zipRemote) size() int64 { return z.length }

// get asks for the bytes from…to-1, or those of them that there are while the length is
// not known. The error is a *PlaceError, or the cause of ctx.
func (z *zipRemote) get(ctx context.Context, from, to int64) (*http.Response, error) {
	req := z.place.request(ctx, http.MethodGet, z.url)
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, to-1))
	if strings.HasPrefix(z.etag, `"`) {
		req.Header.Set("If-Range", z.etag)
	}
	resp, err := z.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, linkFault(FaultLink, err)
	}
	if err := z.check(resp, from, to); err != nil {
		_ = resp.Body.Close() // nothing of it is wanted
		return nil, err
	}
	return resp, nil
}

// check judges the header of an answer, and pins what the first one says.
func (z *zipRemote) check(resp *http.Response, from, to int64) error {
	first := z.length < 0
	switch {
	case isWebPage(resp.Header):
		return errWebPage()
	case resp.StatusCode == http.StatusOK && first:
		return faulty(FaultNoRange, "it only sends whole files")
	case resp.StatusCode == http.StatusOK:
		return faulty(FaultDiffers, "the file has changed while it was read")
	case resp.StatusCode != http.StatusPartialContent:
		return statusFault(resp.StatusCode)
	}
	got, ok := parseSpan(resp.Header.Get("Content-Range"))
	switch {
	case !ok || got.from != from || got.to > to || got.to < min(to, got.total) || got.total < 0 || resp.ContentLength >= 0 && resp.ContentLength != got.to-got.from:
		return faulty(FaultRange, "another part than was asked for")
	case first && got.total > goproxy.MaxZip:
		return faulty(FaultTooLarge, "%d bytes", got.total)
	case first:
		z.length, z.etag, z.modified = got.total, resp.Header.Get("Etag"), resp.Header.Get("Last-Modified")
	case got.total != z.length || resp.Header.Get("Etag") != z.etag || z.etag == "" && resp.Header.Get("Last-Modified") != z.modified:
		return faulty(FaultDiffers, "the file has changed while it was read")
	}
	return nil
}

func (z *zipRemote) section(ctx context.Context, off, n int64) io.ReadCloser {
	return &zipStream{
		get:   func(from, to int64) (*http.Response, error) { return z.get(ctx, from, to) },
		cause: func() error { return context.Cause(ctx) },
		done:  ctx.Done(),
		wait:  z.wait, off: off, end: off + n, left: zipTries,
	}
}

// A zipStream reads a part of a zipRemote. Where the connection breaks, it goes on from
// there: the transport leaves requests for parts alone.
type zipStream struct {
	get   func(from, to int64) (*http.Response, error)
	cause func() error    // why the asker left; nil if he did not
	done  <-chan struct{} // closed when he leaves
	wait  time.Duration
	off   int64
	end   int64
	body  io.ReadCloser
	left  int   // tries
	got   int64 // bytes since left was full
}

// Read reads as io.Reader says. An end before the end of the section is an error.
func (s *zipStream) Read(p []byte) (int, error) {
	for s.off < s.end {
		n, err := s.some(p[:min(int64(len(p)), s.end-s.off)])
		s.off += int64(n)
		if s.got += int64(n); s.got >= zipRefill {
			s.left, s.got = zipTries, 0
		}
		if n > 0 || err == nil {
			return n, nil // the error comes again, or does not
		}
		if err := s.again(err); err != nil {
			return 0, err
		}
	}
	return 0, io.EOF
}

// some reads what comes next.
func (s *zipStream) some(p []byte) (int, error) {
	if s.body == nil {
		resp, err := s.get(s.off, s.end)
		if err != nil {
			return 0, err
		}
		s.body = resp.Body
	}
	n, err := s.body.Read(p)
	if err == nil {
		return n, nil
	}
	_ = s.Close() // it was only read
	switch {
	case s.cause() != nil:
		return n, s.cause()
	case err == io.EOF:
		return n, faulty(FaultCut, "%d bytes before the end: %w", s.end-s.off-int64(n), io.ErrUnexpectedEOF)
	}
	return n, linkFault(FaultCut, err)
}

// again waits before another try, or returns why there is none.
func (s *zipStream) again(err error) error {
	var fault *PlaceError
	if cause := s.cause(); cause != nil {
		return cause
	}
	if !errors.As(err, &fault) || fault.Fault == FaultDiffers || fault.Fault == FaultRange || !fault.again() {
		return err
	}
	if s.left--; s.left < 0 {
		return err
	}
	wait := time.NewTimer(s.wait << (zipTries - 1 - s.left))
	defer wait.Stop()
	select {
	case <-wait.C:
		return nil
	case <-s.done:
		return s.cause()
	}
}

// Close ends the connection, if there is one.
func (s *zipStream) Close() error {
	if s.body == nil {
		return nil
	}
	err := s.body.Close()
	s.body = nil
	return err
}
