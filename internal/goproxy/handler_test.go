package goproxy_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/goproxy"
)

// answers keeps what a Handler told of its answers.
type answers struct {
	mu   sync.Mutex
	list []goproxy.Answer
	more chan bool
}

func record(h *goproxy.Handler) *answers {
	a := &answers{more: make(chan bool, 1000)}
	h.Done = func(_ context.Context, got goproxy.Answer) {
		a.mu.Lock()
		a.list = append(a.list, got)
		a.mu.Unlock()
		a.more <- true
	}
	return a
}

// next waits for the next answer.
func (a *answers) next() goproxy.Answer {
	<-a.more
	a.mu.Lock()
	defer a.mu.Unlock()
	got := a.list[0]
	a.list = a.list[1:]
	return got
}

func serve(t testing.TB, h http.Handler) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

// do sends one request; header is "Name: value" lines.
func do(t testing.TB, method, url string, header ...string) (*http.Response, string) {
	t.Helper()
	resp, body, err := try(t, method, url, header...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return resp, body
}

func try(t testing.TB, method, url string, header ...string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := loopback(t).Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

func sampleTree() *tree {
	src := infos("example.com/!m", "v1.0.0", "v1.1.0")
	src.files["example.com/!m/@latest"] = `{"Version":"v1.1.0"}`
	src.files["example.com/!m/@v/main.info"] = `{"Version":"v1.1.0"}`
	src.files["example.com/!m/@v/v1.0.0.mod"] = "module example.com/M\n"
	src.files["example.com/!m/@v/v1.0.0.zip"] = strings.Repeat("zip!", 1000)
	src.mod = time.Date(2024, 1, 2, 3, 4, 5, 678000, time.UTC)
	return src
}

func TestHandlerFiles(t *testing.T) {
	src := sampleTree()
	h := &goproxy.Handler{Source: src}
	told := record(h)
	srv := serve(t, h)
	const forEver, aMinute = "public, max-age=31536000, immutable", "public, max-age=60"
	for name, want := range map[string]struct{ contentType, cache string }{
		"@v/list":        {"text/plain; charset=utf-8", aMinute},
		"@latest":        {"application/json", aMinute},
		"@v/main.info":   {"application/json", aMinute},
		"@v/v1.0.0.info": {"application/json", forEver},
		"@v/v1.0.0.mod":  {"text/plain; charset=utf-8", forEver},
		"@v/v1.0.0.zip":  {"application/zip", forEver},
	} {
		content := src.files["example.com/!m/"+name]
		for _, esc := range []string{"!m", "%21m"} {
			for _, method := range []string{"GET", "HEAD"} {
				resp, body := do(t, method, srv.URL+"/example.com/"+esc+"/"+name)
				a := told.next()
				if resp.StatusCode != 200 || method == "GET" && body != content {
					t.Errorf("%s %s %s: %d, %q", method, esc, name, resp.StatusCode, body)
				}
				if a.Status != 200 || a.Err != nil || a.Request != mustParse(t, "example.com/!m/"+name) || a.Bytes != int64(len(body)) || a.Result != "hit" {
					t.Errorf("%s %s: told %+v", method, name, a)
				}
				got := map[string]string{}
				for _, k := range []string{"Content-Type", "Cache-Control", "Accept-Ranges", "X-Content-Type-Options", "Last-Modified", "Content-Length"} {
					got[k] = resp.Header.Get(k)
				}
				wantHeader := map[string]string{
					"Content-Type": want.contentType, "Cache-Control": want.cache, "Accept-Ranges": "bytes", "X-Content-Type-Options": "nosniff",
					"Last-Modified": "Tue, 02 Jan 2024 03:04:05 GMT", "Content-Length": strconv.Itoa(len(content)),
				}
				if d := cmp.Diff(wantHeader, got); d != "" {
					t.Errorf("%s %s (-want +got):\n%s", method, name, d)
				}
				if tag := resp.Header.Get("Etag"); len(tag) < 10 || tag[0] != '"' {
					t.Errorf("%s %s: ETag %s is not strong", method, name, tag)
				}
			}
		}
	}
}

func TestHandlerMutableAge(t *testing.T) {
	src := sampleTree()
	src.meta = &goproxy.Meta{Result: "stale", Age: 90 * time.Second, Warning: `110 goferry "old"`}
	h := &goproxy.Handler{Source: src, MutableAge: 5 * time.Minute}
	told := record(h)
	srv := serve(t, h)
	resp, _ := do(t, "GET", srv.URL+"/example.com/!m/@v/list")
	if resp.Header.Get("Cache-Control") != "public, max-age=300" || resp.Header.Get("Age") != "90" || resp.Header.Get("Warning") != `110 goferry "old"` || told.next().Result != "stale" {
		t.Errorf("got %v", resp.Header)
	}
	resp, _ = do(t, "GET", srv.URL+"/example.com/!m/@v/v1.0.0.mod")
	if resp.Header.Get("Age") != "" || !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("of an immutable file: %v", resp.Header)
	}
	resp, _ = do(t, "GET", srv.URL+"/example.com/!m/@v/v1.9.0.mod")
	if resp.StatusCode != 404 || resp.Header.Get("Cache-Control") != "public, max-age=300" {
		t.Errorf("of an absent file: %d, %v", resp.StatusCode, resp.Header)
	}
}

// TestHandlerETag: the same bytes have the same tag, other bytes another.
func TestHandlerETag(t *testing.T) {
	src := sampleTree()
	srv := serve(t, &goproxy.Handler{Source: src})
	tag := func(name string) string {
		resp, _ := do(t, "GET", srv.URL+"/example.com/!m/"+name)
		return resp.Header.Get("Etag")
	}
	list, mod, zip := tag("@v/list"), tag("@v/v1.0.0.mod"), tag("@v/v1.0.0.zip")
	if list == "" || mod == "" || mod == zip {
		t.Fatalf("tags %s %s %s", list, mod, zip)
	}
	src.mod = src.mod.Add(time.Microsecond)
	if tag("@v/list") != list {
		t.Error("a list that was fetched again, and is the same, has another tag")
	}
	if tag("@v/v1.0.0.mod") == mod {
		t.Error("a file that was kept anew has the same tag")
	}
	src.files["example.com/!m/@v/list"] = "v1.0.0\n"
	if tag("@v/list") == list {
		t.Error("another list has the same tag")
	}
	src.mod = time.Time{}
	mod = tag("@v/v1.0.0.mod")
	src.files["example.com/!m/@v/v1.0.0.mod"] = "module example.com/N\n"
	if mod == "" || tag("@v/v1.0.0.mod") == mod {
		t.Errorf("without a time: tag %q", mod)
	}
}

func TestHandlerConditions(t *testing.T) {
	src := sampleTree()
	dir := t.TempDir()
	file := filepath.Join(dir, "example.com", "!m", "@v", "v1.0.0.zip")
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o777), os.WriteFile(file, []byte(src.files["example.com/!m/@v/v1.0.0.zip"]), 0o666), os.Chtimes(file, src.mod, src.mod)); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]goproxy.Source{"memory": src, "disk": goproxy.Tree(os.DirFS(dir), ""), "stream": streaming(src)} {
		t.Run(name, func(t *testing.T) {
			h := &goproxy.Handler{Source: s}
			told := record(h)
			url := serve(t, h).URL + "/example.com/!m/@v/v1.0.0.zip"
			content := src.files["example.com/!m/@v/v1.0.0.zip"]
			whole, _ := do(t, "GET", url)
			told.next()
			etag, modified := whole.Header.Get("Etag"), whole.Header.Get("Last-Modified")
			for _, tt := range []struct {
				method, header string
				status         int
				body           string
			}{
				{"GET", "Range: bytes=2-5", 206, content[2:6]},
				{"GET", "Range: bytes=3990-", 206, content[3990:]},
				{"GET", "Range: bytes=-3", 206, content[len(content)-3:]},
				{"GET", "Range: bytes=0-", 206, content},
				{"GET", "Range: bytes=9999-", 416, "invalid range: failed to overlap\n"},
				{"HEAD", "Range: bytes=2-5", 206, ""},
				{"GET", "If-None-Match: " + etag, 304, ""},
				{"HEAD", "If-None-Match: " + etag, 304, ""},
				{"GET", `If-None-Match: "other"`, 200, content},
				{"GET", "If-Match: " + etag, 200, content},
				{"GET", `If-Match: "other"`, 412, ""},
				{"GET", "If-Modified-Since: " + modified, 304, ""},
				{"GET", "If-Modified-Since: Mon, 01 Jan 2024 03:04:05 GMT", 200, content},
				{"GET", "If-Unmodified-Since: Mon, 01 Jan 2024 03:04:05 GMT", 412, ""},
			} {
				resp, body := do(t, tt.method, url, tt.header)
				if resp.StatusCode != tt.status || body != tt.body {
					t.Errorf("%s with %s: %d, %d bytes; want %d, %d bytes", tt.method, tt.header, resp.StatusCode, len(body), tt.status, len(tt.body))
				}
				if a := told.next(); a.Status != tt.status || a.Bytes != int64(len(body)) || a.Err != nil {
					t.Errorf("%s with %s: told %+v", tt.method, tt.header, a)
				}
			}
			resp, body := do(t, "GET", url, "Range: bytes=2-5", "If-Range: "+etag)
			if resp.StatusCode != 206 || body != content[2:6] || resp.Header.Get("Content-Range") != fmt.Sprintf("bytes 2-5/%d", len(content)) {
				t.Errorf("If-Range with the tag: %d, %q", resp.StatusCode, body)
			}
			resp, body = do(t, "GET", url, "Range: bytes=2-5", `If-Range: "other"`)
			if resp.StatusCode != 200 || body != content {
				t.Errorf("If-Range with another tag: %d, %d bytes", resp.StatusCode, len(body))
			}
		})
	}
}

// streaming hands the files of src out as streams of known length.
func streaming(src *tree) goproxy.Source {
	return goproxy.SourceFunc(func(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
		data, err := goproxy.ReadFile(ctx, src, req)
		if err != nil {
			return nil, err
		}
		return goproxy.NewStreamFile(goproxy.FileInfo{Bytes: int64(len(data)), Mod: src.mod}, io.NopCloser(bytes.NewReader(data)), func(at int64) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(data[at:])), nil
		}), nil
	})
}

func TestHandlerMethods(t *testing.T) {
	src := sampleTree()
	h := &goproxy.Handler{Source: src}
	told := record(h)
	srv := serve(t, h)
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"} {
		resp, body := do(t, method, srv.URL+"/example.com/!m/@v/list")
		if resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET, HEAD" || !strings.Contains(body, method) || told.next().Status != 405 {
			t.Errorf("%s: %d, %v, %q", method, resp.StatusCode, resp.Header, body)
		}
	}
	if asked := src.took(); len(asked) != 0 {
		t.Errorf("the source was asked for %v", asked)
	}
}

func TestHandlerInvalid(t *testing.T) {
	src := sampleTree()
	srv := serve(t, &goproxy.Handler{Source: src})
	for _, path := range []string{
		"/", "/favicon.ico", "/example.com/M/@v/list", "/example.com/M/@v/v1.0.0.mod", "/example.com/!m/@v/V1.0.0.info", "/example.com/!m/@v/v1.0.0.ziphash",
		"/example.com/!m/@v/v1.mod", "//example.com/!m/@v/list", "/example.com/!m/../!m/@v/list", "/example.com/%00/@v/list", "/sumdb/sum.golang.org/supported",
	} {
		resp, body := do(t, "GET", srv.URL+path)
		if resp.StatusCode != 404 || resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" || !strings.Contains(body, "invalid name") {
			t.Errorf("%s: %d, %v, %q", path, resp.StatusCode, resp.Header, body)
		}
	}
	if asked := src.took(); len(asked) != 0 {
		t.Errorf("the source was asked for %v", asked)
	}
}

func TestHandlerErrors(t *testing.T) {
	long := strings.Repeat("line\n", 20)
	for _, tt := range []struct {
		err    error
		status int
		header map[string]string
		body   string
		result string
	}{
		{goproxy.ErrNotExist, 404, map[string]string{"Cache-Control": "public, max-age=60"}, "example.com/m@v1.0.0.zip: src: not found\nhint: a way out\n", "absent"},
		{goproxy.ErrGone, 410, map[string]string{"Cache-Control": "public, max-age=60"}, "example.com/m@v1.0.0.zip: src: gone\nhint: a way out\n", "absent"},
		{goproxy.ErrInvalid, 404, nil, "example.com/m@v1.0.0.zip: src: invalid name\nhint: a way out\n", "absent"},
		{goproxy.ErrBlocked, 403, map[string]string{"Cache-Control": "no-store"}, "example.com/m@v1.0.0.zip: src: blocked\nhint: a way out\n", "error"},
		{goproxy.ErrUnavailable, 503, map[string]string{"Cache-Control": "no-store", "Retry-After": "10"}, "example.com/m@v1.0.0.zip: src: unavailable\nhint: a way out\n", "error"},
		{fmt.Errorf("%w: %w", goproxy.ErrUnavailable, context.DeadlineExceeded), 504, map[string]string{"Retry-After": "10"}, "", "error"},
		{goproxy.ErrMismatch, 502, map[string]string{"Cache-Control": "no-store"}, "example.com/m@v1.0.0.zip: src: checksum mismatch\nhint: a way out\n", "error"},
		{errors.New("disk on fire"), 500, map[string]string{"Cache-Control": "no-store"}, "example.com/m@v1.0.0.zip: src: disk on fire\nhint: a way out\n", "error"},
		{errors.New(long), 500, nil, "example.com/m@v1.0.0.zip: src: line\n" + strings.Repeat("line\n", 6) + "hint: a way out\n", "error"},
	} {
		src := goproxy.Fail("src", tt.err, "a way out", "code")
		h := &goproxy.Handler{Source: src}
		told := record(h)
		srv := serve(t, h)
		for _, method := range []string{"GET", "HEAD"} {
			resp, body := do(t, method, srv.URL+"/example.com/m/@v/v1.0.0.zip")
			if resp.StatusCode != tt.status || resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" || resp.Header.Get("Etag")+resp.Header.Get("Accept-Ranges") != "" {
				t.Errorf("%s, %v: %d, %v", method, tt.err, resp.StatusCode, resp.Header)
			}
			for k, v := range tt.header {
				if resp.Header.Get(k) != v {
					t.Errorf("%s, %v: %s is %q, want %q", method, tt.err, k, resp.Header.Get(k), v)
				}
			}
			if method == "GET" && tt.body != "" && body != tt.body || method == "HEAD" && body != "" || strings.Count(body, "\n") > 8 {
				t.Errorf("%s, %v: body %q", method, tt.err, body)
			}
			if a := told.next(); a.Status != tt.status || a.Result != tt.result || !errors.Is(a.Err, tt.err) || a.Bytes != int64(len(body)) {
				t.Errorf("%s, %v: told %+v", method, tt.err, a)
			}
		}
	}
}

func TestHandlerExplain(t *testing.T) {
	h := &goproxy.Handler{Source: &tree{}, Explain: func(err error) []string {
		return append([]string{"nicht da"}, strings.Split(strings.Repeat("x", 20), "")...)
	}}
	_, body := do(t, "GET", serve(t, h).URL+"/example.com/m/@v/list")
	if body != "nicht da\n"+strings.Repeat("x\n", 7) {
		t.Errorf("got %q", body)
	}
}

// cachedOnly has some files at hand, and would fetch all others.
type cachedOnly struct {
	tree
	cached map[string]bool
}

func (s *cachedOnly) Open(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
	name, err := req.Name()
	if err == nil && goproxy.IsCachedOnly(ctx) && !s.cached[name] {
		return nil, &goproxy.Error{Request: req, Err: goproxy.ErrNotExist}
	}
	return s.tree.Open(ctx, req)
}

func TestHandlerDisableModuleFetch(t *testing.T) {
	src := &cachedOnly{tree: tree{files: sampleTree().files}, cached: map[string]bool{"example.com/!m/@v/v1.0.0.mod": true, "example.com/!m/@v/v1.0.0.info": true}}
	srv := serve(t, &goproxy.Handler{Source: src})
	for name, want := range map[string]int{"@v/v1.0.0.mod": 200, "@v/v1.0.0.info": 200, "@v/v1.0.0.zip": 404, "@v/list": 404} {
		for _, method := range []string{"GET", "HEAD"} {
			resp, _ := do(t, method, srv.URL+"/example.com/!m/"+name, "Disable-Module-Fetch: true")
			if resp.StatusCode != want {
				t.Errorf("%s %s: %d, want %d", method, name, resp.StatusCode, want)
			}
		}
	}
	if resp, _ := do(t, "GET", srv.URL+"/example.com/!m/@v/v1.0.0.zip", "Disable-Module-Fetch: false"); resp.StatusCode != 200 {
		t.Errorf("Disable-Module-Fetch: false: %d", resp.StatusCode)
	}
}

// TestHandlerHeadZip: HEAD on a zip that is not at hand says whether there is one, and opens none.
func TestHandlerHeadZip(t *testing.T) {
	src := &cachedOnly{tree: tree{files: sampleTree().files}}
	h := &goproxy.Handler{Source: src}
	told := record(h)
	srv := serve(t, h)
	resp, _ := do(t, "HEAD", srv.URL+"/example.com/!m/@v/v1.0.0.zip")
	if a := told.next(); resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/zip" || resp.ContentLength > 0 || a.Result != "miss" {
		t.Errorf("there is one: %d, %v, %+v", resp.StatusCode, resp.Header, a)
	}
	if d := cmp.Diff([]string{"example.com/!m/@v/v1.0.0.info"}, src.took()); d != "" {
		t.Errorf("asked for (-want +got):\n%s", d)
	}
	resp, _ = do(t, "HEAD", srv.URL+"/example.com/!m/@v/v1.9.0.zip")
	if a := told.next(); resp.StatusCode != 404 || a.Result != "absent" {
		t.Errorf("there is none: %d, %+v", resp.StatusCode, a)
	}
	src.cached = map[string]bool{"example.com/!m/@v/v1.0.0.zip": true}
	resp, _ = do(t, "HEAD", srv.URL+"/example.com/!m/@v/v1.0.0.zip")
	if a := told.next(); resp.StatusCode != 200 || resp.ContentLength != 4000 || a.Result != "hit" {
		t.Errorf("it is at hand: %d, %d bytes, %+v", resp.StatusCode, resp.ContentLength, a)
	}
	blocked := serve(t, &goproxy.Handler{Source: goproxy.Enforce(src, goproxy.Policy(nil, []string{"example.com"}))})
	if resp, _ = do(t, "HEAD", blocked.URL+"/example.com/!m/@v/v1.0.0.zip"); resp.StatusCode != 403 {
		t.Errorf("blocked: %d", resp.StatusCode)
	}
}

// pipeFile is a file that arrives from a pipe.
type pipeFile struct {
	*io.PipeReader
	size int64
	info *goproxy.Meta
}

func (f pipeFile) Seek(int64, int) (int64, error) { return 0, errors.New("no seeking in a pipe") }
func (f pipeFile) Stat() (fs.FileInfo, error) {
	return goproxy.FileInfo{Bytes: f.size, Mod: time.Unix(1700000000, 0), Meta: f.info}, nil
}

// piped returns a Source of files of the given size that come from the returned pipe.
func piped(size int64) (goproxy.Source, *io.PipeWriter) {
	r, w := io.Pipe()
	return goproxy.SourceFunc(func(context.Context, goproxy.Request) (goproxy.File, error) {
		return pipeFile{r, size, &goproxy.Meta{Result: "miss"}}, nil
	}), w
}

// TestHandlerErrorBeforeFirstByte keeps its status, also where conditions were sent.
func TestHandlerErrorBeforeFirstByte(t *testing.T) {
	for _, size := range []int64{-1, 1000} {
		for _, header := range []string{"X: y", "Range: bytes=5-", `If-None-Match: "x"`} {
			src, w := piped(size)
			w.CloseWithError(&goproxy.Error{Err: goproxy.ErrMismatch})
			h := &goproxy.Handler{Source: src}
			told := record(h)
			resp, body := do(t, "GET", serve(t, h).URL+"/example.com/m/@v/v1.0.0.zip", header)
			if a := told.next(); resp.StatusCode != 502 || !strings.Contains(body, "checksum mismatch") || a.Status != 502 || a.Result != "error" {
				t.Errorf("size %d, %s: %d, %q, %+v", size, header, resp.StatusCode, body, a)
			}
		}
	}
}

// TestHandlerErrorMidway cuts the connection: a client never sees a clean end.
func TestHandlerErrorMidway(t *testing.T) {
	for _, size := range []int64{-1, 10_000} {
		for _, end := range []error{goproxy.ErrMismatch, io.EOF} { // io.EOF: the file is shorter than it said
			if size < 0 && end == io.EOF {
				continue
			}
			src, w := piped(size)
			h := &goproxy.Handler{Source: src}
			told := record(h)
			go func() {
				w.Write(make([]byte, 6000))
				w.CloseWithError(end)
			}()
			resp, body, err := try(t, "GET", serve(t, h).URL+"/example.com/m/@v/v1.0.0.zip")
			if err == nil || resp.StatusCode != 200 || len(body) >= 10_000 {
				t.Errorf("size %d, %v: %d bytes and %v", size, end, len(body), err)
			}
			if a := told.next(); a.Err == nil || a.Result != "error" {
				t.Errorf("size %d, %v: told %+v", size, end, a)
			}
		}
	}
	// The same for parts of a file.
	broken := goproxy.SourceFunc(func(context.Context, goproxy.Request) (goproxy.File, error) {
		body := io.NopCloser(io.MultiReader(strings.NewReader(strings.Repeat("x", 6000)), errReader{}))
		return goproxy.NewStreamFile(goproxy.FileInfo{Bytes: 10_000}, body, func(at int64) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader(strings.Repeat("x", 6000-int(at))), errReader{})), nil
		}), nil
	})
	h := &goproxy.Handler{Source: broken}
	told := record(h)
	_, body, err := try(t, "GET", serve(t, h).URL+"/example.com/m/@v/v1.0.0.zip", "Range: bytes=10-")
	if a := told.next(); err == nil || len(body) > 6000 || !errors.Is(a.Err, goproxy.ErrUnavailable) {
		t.Errorf("a range: %d bytes, %v, %+v", len(body), err, a)
	}
}

// TestHandlerGoneAtTheEnd has a client that goes once it has all bytes: nothing has failed.
func TestHandlerGoneAtTheEnd(t *testing.T) {
	for _, sent := range []int{10_000, 9_999} {
		src, w := piped(10_000)
		h := &goproxy.Handler{Source: src}
		told := record(h)
		go func() {
			w.Write(make([]byte, sent))
			w.CloseWithError(context.Canceled)
		}()
		_, body, err := try(t, "GET", serve(t, h).URL+"/example.com/m/@v/v1.0.0.zip")
		whole := sent == 10_000
		if (err == nil) != whole || whole && len(body) != sent {
			t.Errorf("%d bytes sent: %d, %v", sent, len(body), err)
		}
		if a := told.next(); (a.Result == "error") == whole || (a.Err == nil) != whole {
			t.Errorf("%d bytes sent: told %+v", sent, a)
		}
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, goproxy.ErrUnavailable }

// TestHandlerStreams: what has arrived is sent at once, chunked where the length is unknown.
func TestHandlerStreams(t *testing.T) {
	for _, size := range []int64{-1, 8} {
		src, w := piped(size)
		srv := serve(t, &goproxy.Handler{Source: src})
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET /example.com/m/@v/v1.0.0.zip HTTP/1.1\r\nHost: x\r\n\r\n")
		w.Write([]byte("half"))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4)
		if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != "half" { // the rest is not there yet
			t.Fatalf("size %d: %q, %v", size, buf, err)
		}
		w.Write([]byte("rest"))
		w.Close()
		rest, err := io.ReadAll(resp.Body)
		if err != nil || string(rest) != "rest" || resp.ContentLength != size || (len(resp.TransferEncoding) == 1) != (size < 0) {
			t.Errorf("size %d: %q, %v, Content-Length %d, %v", size, rest, err, resp.ContentLength, resp.TransferEncoding)
		}
		if size < 0 && resp.Header.Get("Accept-Ranges")+resp.Header.Get("Etag") != "" {
			t.Errorf("a length that is not known: %v", resp.Header)
		}
		conn.Close()
	}
}

func TestHandlerUnknownLength(t *testing.T) {
	unknown := goproxy.SourceFunc(func(context.Context, goproxy.Request) (goproxy.File, error) {
		return goproxy.NewStreamFile(goproxy.FileInfo{Bytes: -1}, io.NopCloser(strings.NewReader("content")), nil), nil
	})
	srv := serve(t, &goproxy.Handler{Source: unknown})
	for _, header := range []string{"X: y", "Range: bytes=1-2", `If-None-Match: "x"`} {
		resp, body := do(t, "GET", srv.URL+"/example.com/m/@v/v1.0.0.zip", header)
		if resp.StatusCode != 200 || body != "content" {
			t.Errorf("%s: %d, %q", header, resp.StatusCode, body)
		}
	}
	if resp, body := do(t, "HEAD", srv.URL+"/example.com/m/@v/v1.0.0.zip"); resp.StatusCode != 200 || body != "" || resp.ContentLength > 0 {
		t.Errorf("HEAD: %d, %q", resp.StatusCode, body)
	}
}

// readerFrom notes what is copied to it.
type readerFrom struct {
	*httptest.ResponseRecorder
	from io.Reader
}

func (w *readerFrom) ReadFrom(r io.Reader) (int64, error) {
	w.from = r
	return io.Copy(w.ResponseRecorder, r)
}

// TestHandlerSendfile: a file on disk reaches the connection as *os.File behind an *io.LimitedReader, which
// is what net needs to let the kernel copy.
func TestHandlerSendfile(t *testing.T) {
	content := strings.Repeat("zip!", 50_000)
	dir := osTree(t, map[string][]byte{"example.com/m/@v/v1.0.0.zip": []byte(content)})
	disk := goproxy.Tree(os.DirFS(dir), "")
	for name, src := range map[string]goproxy.Source{
		"file": disk,
		"wrapped": goproxy.SourceFunc(func(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
			f, err := disk.Open(ctx, req)
			return osFiler{f}, err
		}),
	} {
		w := &readerFrom{ResponseRecorder: httptest.NewRecorder()}
		(&goproxy.Handler{Source: src}).ServeHTTP(w, httptest.NewRequest("GET", "/example.com/m/@v/v1.0.0.zip", nil))
		limited, ok := w.from.(*io.LimitedReader)
		if !ok {
			t.Fatalf("%s: copied from a %T", name, w.from)
		}
		if _, ok := limited.R.(*os.File); !ok {
			t.Errorf("%s: copied from a %T", name, limited.R)
		}
		if w.Body.String() != content {
			t.Errorf("%s: %d bytes", name, w.Body.Len())
		}
	}
}

type osFiler struct{ goproxy.File }

func (f osFiler) OSFile() *os.File { return f.File.(*os.File) }

// TestHandlerStatError: a file that cannot be described is an error before the first byte.
func TestHandlerStatError(t *testing.T) {
	src := goproxy.SourceFunc(func(context.Context, goproxy.Request) (goproxy.File, error) { return noStat{}, nil })
	if resp, _ := do(t, "GET", serve(t, &goproxy.Handler{Source: src}).URL+"/example.com/m/@v/v1.0.0.zip"); resp.StatusCode != 500 {
		t.Errorf("got %d", resp.StatusCode)
	}
}

type noStat struct{ fstest.MapFS }

func (noStat) Stat() (fs.FileInfo, error)     { return nil, errors.New("no stat") }
func (noStat) Read([]byte) (int, error)       { return 0, io.EOF }
func (noStat) Close() error                   { return nil }
func (noStat) Seek(int64, int) (int64, error) { return 0, nil }
