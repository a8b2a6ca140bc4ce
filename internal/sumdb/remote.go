package sumdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/goferry/goferry/internal/goproxy"
)

// A Remote fetches one file of the database protocol, such as
// "/lookup/golang.org/x/mod@v0.40.0", "/latest" or "/tile/8/0/001".
//
// Errors have goproxy's meaning. What it returns need not be authentic: every
// answer is proved before it is used. It may be used by many goroutines.
type Remote interface {
	Fetch(ctx context.Context, path string) ([]byte, error)
}

// Remotes returns the ways to db in the order in which they are tried: the
// sumdb paths of the proxies (base URLs), then the database itself, then, for
// sum.golang.org, its other name. Where db has a URL of its own the proxies are
// left out, as the go command does: that database may be private.
func Remotes(db DB, client *http.Client, proxies []string) []Remote {
	if db.Off {
		return nil
	}
	var list []Remote
	if db.URL == "" {
		for _, p := range proxies {
			list = append(list, &ProxyRemote{HTTP: client, Proxy: p, Name: db.Name})
		}
	}
	bases := []string{db.base()}
	if db.Name == publicName {
		bases = append(bases, "https://"+publicName, "https://"+publicAlias)
	}
	seen := map[string]bool{}
	for _, b := range bases {
		if b = strings.TrimSuffix(b, "/"); !seen[b] {
			seen[b] = true
			list = append(list, HTTPRemote{HTTP: client, Base: b})
		}
	}
	return list
}

// An HTTPRemote is the database itself. Its "not found" is the database's own word.
type HTTPRemote struct {
	HTTP *http.Client
	Base string // URL of the database, without the slash at its end
}

// Fetch asks for Base + path. A 404 or 410 is ErrNotExist or ErrGone.
func (r HTTPRemote) Fetch(ctx context.Context, path string) ([]byte, error) {
	return get(ctx, r.HTTP, strings.TrimSuffix(r.Base, "/")+path, limitOf(path))
}

// String names the remote for people, without credentials.
func (r HTTPRemote) String() string { return display(r.Base) }

// supportedFor is how long a proxy's yes or no to /supported is remembered.
const supportedFor = time.Minute

// errNotCarried says that a proxy does not carry the database at all.
var errNotCarried = fmt.Errorf("%w: does not carry the checksum database", goproxy.ErrUnavailable)

// A ProxyRemote reaches the database through a module proxy, as the go command
// does: it asks PROXY/sumdb/NAME/supported first.
// Source: https://go.dev/design/25530-sumdb, "Proxying a Checksum Database".
type ProxyRemote struct {
	HTTP  *http.Client
	Proxy string // base URL of the module proxy
	Name  string // name of the database

	once sync.Once
	busy chan struct{} // holds one token while somebody asks /supported

	mu     sync.Mutex
	asked  time.Time // of the last yes or no
	answer error     // nil, or errNotCarried
}

// Fetch asks for PROXY/sumdb/NAME + path where the proxy supports that. A proxy
// that does not is ErrUnavailable: it says nothing about the file.
func (r *ProxyRemote) Fetch(ctx context.Context, path string) ([]byte, error) {
	if err := r.supported(ctx); err != nil {
		return nil, err
	}
	return get(ctx, r.HTTP, r.base()+path, limitOf(path))
}

// String names the remote for people, without credentials.
func (r *ProxyRemote) String() string { return display(r.base()) }

func (r *ProxyRemote) base() string {
	return strings.TrimSuffix(r.Proxy, "/") + "/sumdb/" + r.Name
}

func (r *ProxyRemote) supported(ctx context.Context) error {
	r.once.Do(func() { r.busy = make(chan struct{}, 1) })
	if known, err := r.remembered(); known {
		return err
	}
	select {
	case r.busy <- struct{}{}:
		defer func() { <-r.busy }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if known, err := r.remembered(); known {
		return err
	}
	_, err := get(ctx, r.HTTP, r.base()+"/supported", limitSmall)
	switch {
	case goproxy.Absent(err):
		err = &goproxy.Error{Source: r.String(), Err: errNotCarried}
	case err != nil:
		return err // an outage is not an answer; it is not remembered
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked, r.answer = time.Now(), err
	return err
}

func (r *ProxyRemote) remembered() (known bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.asked.IsZero() && time.Since(r.asked) < supportedFor, r.answer
}

// An FSRemote is a database tree in files, as the go command's download cache
// and a goferry store have it: sumdb/NAME/lookup/…, sumdb/NAME/tile/….
type FSRemote struct {
	FS   fs.FS
	Name string // name of the database
}

// Fetch reads a file. One that is not there is ErrUnavailable: the tree is a
// part of the database, and says nothing about the rest.
func (r FSRemote) Fetch(ctx context.Context, path string) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	f, err := r.FS.Open("sumdb/" + r.Name + path)
	if err != nil {
		return nil, &goproxy.Error{Source: "files of " + r.Name, Err: fmt.Errorf("%w: %w", goproxy.ErrUnavailable, err)}
	}
	defer f.Close()
	limit := limitOf(path)
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("file larger than %d bytes", limit)
	}
	if err != nil {
		return nil, &goproxy.Error{Source: "files of " + r.Name, Err: fmt.Errorf("%w: %w", goproxy.ErrUnavailable, err)}
	}
	return data, nil
}

// String names the remote for people.
func (r FSRemote) String() string { return "files of " + r.Name }

// What an answer may weigh at most, in bytes.
const (
	limitSmall = 64 << 10
	limitData  = 16 << 20
)

func limitOf(path string) int64 {
	if strings.Contains(path, "/data/") && strings.HasPrefix(path, "/tile/") {
		return limitData
	}
	return limitSmall
}

// getTries is how often an answer that breaks off is asked for. They are small, and few have a
// header by which they could be continued.
const getTries = 3

// get reads the whole body of a 200, at most limit bytes.
func get(ctx context.Context, client *http.Client, target string, limit int64) ([]byte, error) {
	for n := 1; ; n++ {
		data, broken, err := getOnce(ctx, client, target, limit)
		if !broken || ctx.Err() != nil || n == getTries {
			return data, err
		}
	}
}

// getOnce does so in one request, and reports whether the body broke off where another request may
// well bring it whole.
func getOnce(ctx context.Context, client *http.Client, target string, limit int64) (data []byte, broken bool, err error) {
	fail := func(err error) ([]byte, bool, error) {
		if ctx.Err() != nil {
			return nil, false, context.Cause(ctx)
		}
		var ue *url.Error // repeats the URL, with the user name in it
		if errors.As(err, &ue) {
			err = ue.Err
		}
		if !errors.Is(err, goproxy.ErrUnavailable) {
			err = fmt.Errorf("%w: %w", goproxy.ErrUnavailable, err)
		}
		return nil, false, &goproxy.Error{Source: display(target), Err: err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return fail(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return fail(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, false, statusError(target, resp)
	}
	data, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		// What made the body says if it has tried that itself.
		f, ok := errors.AsType[interface {
			error
			Final() bool
		}](err)
		_, _, err = fail(err)
		return nil, !ok || !f.Final(), err
	}
	if int64(len(data)) > limit {
		return fail(fmt.Errorf("answer larger than %d bytes", limit))
	}
	return data, false, nil
}

func statusError(target string, resp *http.Response) error {
	err := goproxy.FromStatus(resp.StatusCode)
	if err == nil { // 206 to a request without Range
		err = fmt.Errorf("%w: unexpected status %d", goproxy.ErrUnavailable, resp.StatusCode)
	}
	if text := bodyText(resp); text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	e := &goproxy.Error{Source: display(target), Err: err}
	if sec, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && sec > 0 && sec < 1<<20 {
		e.RetryAfter = time.Duration(sec) * time.Second
	}
	return e
}

// bodyText is what the database says about a refusal: it explains why a module
// has no record. One line, and only of plain text.
func bodyText(resp *http.Response) string {
	mt, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || mt != "text/plain" {
		return ""
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, 512))
	if err != nil {
		return ""
	}
	text := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, string(data))
	return strings.Join(strings.Fields(text), " ")
}

// display shortens a URL to what may be shown: no credentials, no query.
func display(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return "checksum database"
	}
	return u.Host + u.Path
}
