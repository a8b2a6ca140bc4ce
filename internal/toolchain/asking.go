package toolchain

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

// Waits says how long several hosts that are asked the same at once may take.
type Waits struct {
	Answer time.Duration // for one to answer; 20 s if zero
	Grace  time.Duration // for the others, once one has answered; 3 s if zero
}

func (w Waits) answer() time.Duration {
	if w.Answer == 0 {
		return 20 * time.Second
	}
	return w.Answer
}

func (w Waits) grace() time.Duration {
	if w.Grace == 0 {
		return 3 * time.Second
	}
	return w.Grace
}

var (
	errAskLate = error(faulty(FaultSlow, "no answer yet when others had answered"))
	errAskSlow = error(faulty(FaultSlow, "%w: no answer in time", context.DeadlineExceeded))
	errAskDone = errors.New("nobody needs the answer any more")
)

// An askResult is what taking an answer led to.
type askResult int

const (
	askOn   askResult = iota // it helps nothing: all the others are waited for
	askSoon                  // it would do: the others get Waits.Grace
	askDone                  // it settles the matter
)

// askAll asks n askees side by side and hands each answer to take, on the caller's
// goroutine. It returns when all have answered, or no more answers are needed; never before
// all that it started has ended. Its error is that of ctx.
func askAll[T any](ctx context.Context, w Waits, n int, ask func(ctx context.Context, i int) (T, error), take func(i int, v T, err error) askResult) error {
	type answer struct {
		i   int
		v   T
		err error
	}
	all, stop := context.WithCancelCause(ctx)
	defer stop(errAskDone)
	answers := make(chan answer, n)
	for i := range n {
		go func() {
			one, cancel := context.WithTimeoutCause(all, w.answer(), errAskSlow)
			defer cancel()
			v, err := ask(one, i)
			if cause := context.Cause(one); err != nil && (cause == errAskLate || cause == errAskSlow) {
				err = cause
			}
			answers <- answer{i, v, err}
		}()
	}
	var late <-chan time.Time
	done := false
	for left := n; left > 0; {
		select {
		case <-late:
			stop(errAskLate)
			late = nil
		case a := <-answers:
			left--
			if done {
				continue
			}
			switch r := take(a.i, a.v, a.err); {
			case r == askDone:
				done = true
				stop(errAskDone)
			case r == askSoon && late == nil && all.Err() == nil:
				timer := time.NewTimer(w.grace())
				defer timer.Stop()
				late = timer.C
			}
		}
	}
	if done {
		return nil
	}
	return ctx.Err()
}

// A reply is a small file from a place.
type reply struct {
	data  []byte
	hosts []string // host names, without port, that the answer came by; thisMachine for a file
	plain bool     // a step of the way was http to another machine
}

// askPlace reads the file at address, of at most limit bytes, from p. An error is a
// *PlaceError, or the reason why ctx ended.
func askPlace(ctx context.Context, hc *http.Client, p Place, address string, limit int64) (reply, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "" {
		return reply{}, faulty(FaultURL, "not a URL")
	}
	if u.Scheme == "file" {
		return askFile(address, limit)
	}
	resp, err := askHTTP(ctx, hc, p, http.MethodGet, u)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	if isWebPage(resp.Header) {
		return reply{}, errWebPage()
	}
	var body io.Reader = resp.Body
	if resp.Header.Get("Content-Encoding") == "gzip" {
		if body, err = gzip.NewReader(io.LimitReader(resp.Body, limit)); err != nil {
			return reply{}, askError(ctx, FaultCut, err)
		}
	}
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return reply{}, askError(ctx, FaultCut, err)
	}
	r := reply{data: data}
	r.hosts, r.plain = wayOf(resp)
	return r, r.check(limit)
}

// check refuses what is no small file.
func (r reply) check(limit int64) error {
	if int64(len(r.data)) > limit {
		return faulty(FaultTooLarge, "the answer is longer than it can be")
	}
	if bytes.HasPrefix(bytes.TrimSpace(r.data[:min(len(r.data), 512)]), []byte("<")) {
		return errWebPage()
	}
	return nil
}

// isWebPage reports whether an answer with header h is a page for browsers, which no file of a place is.
func isWebPage(h http.Header) bool {
	t, _, _ := strings.Cut(strings.ToLower(h.Get("Content-Type")), ";")
	t = strings.TrimSpace(t)
	return t == "text/html" || t == "application/xhtml+xml"
}

func errWebPage() *PlaceError {
	return faulty(FaultWebPage, "the answer is a web page: a login page or a gateway stands in between, or there is no such file")
}

// request is a request for what is at u.
func (p Place) request(ctx context.Context, method string, u *url.URL) *http.Request {
	req := (&http.Request{Method: method, URL: u, Host: u.Host, Header: http.Header{}}).WithContext(ctx)
	if p.UserAgent != "" {
		req.Header.Set("User-Agent", p.UserAgent)
	}
	return req
}

// askHTTP sends one request and returns an answer with status 200.
func askHTTP(ctx context.Context, hc *http.Client, p Place, method string, u *url.URL) (*http.Response, error) {
	req := p.request(ctx, method, u)
	if method == http.MethodGet {
		req.Header.Set("Accept-Encoding", "gzip")
	}
	if hc == nil {
		return nil, faulty(FaultLink, "no network is to be used")
	}
	resp, err := hc.Do(req)
	if err != nil {
		return nil, askError(ctx, FaultLink, err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, statusFault(resp.StatusCode)
	}
	return resp, nil
}

// askError gives the failure of a request its meaning.
func askError(ctx context.Context, while Fault, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return linkFault(while, err)
}

// wayOf returns the hosts that resp came by, redirects included.
func wayOf(resp *http.Response) (hosts []string, plain bool) {
	for r := resp.Request; r != nil; {
		hosts = append(hosts, askHostName(r.URL))
		plain = plain || r.URL.Scheme != "https" && !askLoopback(r.URL)
		if r.Response == nil {
			break
		}
		r = r.Response.Request
	}
	return hosts, plain
}

func askHostName(u *url.URL) string { return strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")) }

// askLoopback reports whether u is of this machine, where nobody stands in between.
func askLoopback(u *url.URL) bool {
	host := askHostName(u)
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// askFile reads a file of this machine.
func askFile(address string, limit int64) (reply, error) {
	name, err := pathOfURL(address)
	if err != nil {
		return reply{}, err
	}
	f, _, err := openPlain(name)
	if err != nil {
		return reply{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return reply{}, faulty(FaultFile, "%w", err)
	}
	r := reply{data: data, hosts: []string{thisMachine}}
	return r, r.check(limit)
}

// openPlain opens the file name of a place that is a folder of this machine. The error is a *PlaceError.
func openPlain(name string) (f *os.File, info fs.FileInfo, err error) {
	if info, err = os.Stat(name); err == nil && !info.Mode().IsRegular() { // opening a pipe would wait for somebody to write
		err = &fs.PathError{Op: "open", Path: name, Err: errors.New("not a regular file")}
	}
	if err == nil {
		f, err = os.Open(name)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, &PlaceError{Fault: FaultAbsent, Err: fmt.Errorf("%w: %w", goproxy.ErrNotExist, err)}
	case err != nil:
		return nil, nil, faulty(FaultFile, "%w", err)
	}
	return f, info, nil
}

// thisMachine stands for the host of files; no host can have such a name.
const thisMachine = "(this machine)"

// placeHost is the name of the host of p, without port.
func placeHost(p Place) string {
	u, err := url.Parse(p.URL)
	if err != nil || u.Scheme == "file" {
		return thisMachine
	}
	return askHostName(u)
}

// hostsAt finds out by way of which hosts p sends the file at address: places send whoever
// asks on to others. It is the host of p alone where that cannot be found out.
func hostsAt(ctx context.Context, hc *http.Client, p Place, address string) []string {
	hosts := []string{placeHost(p)}
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "file" {
		return hosts
	}
	resp, err := askHTTP(ctx, hc, p, http.MethodHead, u)
	if err != nil {
		return hosts
	}
	resp.Body.Close()
	more, _ := wayOf(resp)
	return append(hosts, more...)
}

// sizeAt asks how long the file at address is, in bytes; 0 where that is not said.
func sizeAt(ctx context.Context, hc *http.Client, p Place, address string) int64 {
	u, err := url.Parse(address)
	if err != nil {
		return 0
	}
	if u.Scheme == "file" {
		name, err := pathOfURL(address)
		if err != nil {
			return 0
		}
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() {
			return 0
		}
		return info.Size()
	}
	resp, err := askHTTP(ctx, hc, p, http.MethodHead, u)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	if isWebPage(resp.Header) {
		return 0
	}
	return max(resp.ContentLength, 0)
}
