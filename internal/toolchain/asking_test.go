package toolchain

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

// An askWorld is all the hosts there are: what they answer stands in files, by
// "host/path?query" with the scheme in front where it is not https.
type askWorld struct {
	client *http.Client
	mu     sync.Mutex
	files  map[string]http.HandlerFunc
	asked  []string
}

func newAskWorld(t *testing.T) *askWorld {
	t.Helper()
	w := &askWorld{files: map[string]http.HandlerFunc{}}
	secure, plain := httptest.NewUnstartedServer(w), httptest.NewServer(w)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that nobody waits for any more
	secure.StartTLS()
	t.Cleanup(secure.Close)
	t.Cleanup(plain.Close)
	dialer := &net.Dialer{}
	tr := &http.Transport{
		DisableCompression: true, // as that of package transport
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, plain.Listener.Addr().String())
		},
		DialTLSContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			d := tls.Dialer{NetDialer: dialer, Config: &tls.Config{InsecureSkipVerify: true}} // the hosts are all one
			return d.DialContext(ctx, network, secure.Listener.Addr().String())
		},
	}
	t.Cleanup(tr.CloseIdleConnections)
	w.client = &http.Client{Transport: tr}
	return w
}

func (w *askWorld) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	name := r.Host + r.URL.RequestURI()
	if r.TLS == nil {
		name = "http://" + name
	}
	w.mu.Lock()
	w.asked = append(w.asked, r.Method+" "+name)
	h := w.files[name]
	w.mu.Unlock()
	if h == nil {
		http.NotFound(rw, r)
		return
	}
	h(rw, r)
}

// put makes a file of text.
func (w *askWorld) put(name, text string) {
	w.files[name] = func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		rw.Header().Set("Content-Length", fmt.Sprint(len(text)))
		_, _ = io.WriteString(rw, text)
	}
}

// page is what go.dev answers to a question it does not know, and a log-in page too.
func (w *askWorld) page(name string) {
	w.files[name] = func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(rw, "<!DOCTYPE html><html>0000000000000000000000000000000000000000000000000000000000000000")
	}
}

func (w *askWorld) redirect(name, to string) {
	w.files[name] = func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, to, http.StatusFound) }
}

func (w *askWorld) was(asked string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.asked, asked)
}

// askFileURL is the URL of a folder of this machine.
func askFileURL(dir string) string {
	return "file:///" + strings.TrimPrefix(filepath.ToSlash(dir), "/")
}

func TestAskPlace(t *testing.T) {
	w := newAskWorld(t)
	w.put("a.test/file", "content")
	w.page("a.test/page")
	w.put("a.test/hidden-page", "\n <html>")
	w.put("a.test/long", strings.Repeat("x", 101))
	w.redirect("a.test/away", "https://b.test/file")
	w.put("b.test/file", "from b")
	w.redirect("a.test/plain", "http://c.test/file")
	w.put("http://c.test/file", "from c")
	w.put("http://127.0.0.1/file", "from here")
	w.files["a.test/agent"] = func(rw http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(rw, r.UserAgent()) }
	w.files["a.test/packed"] = func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(rw)
		_, _ = io.WriteString(z, r.Header.Get("Accept-Encoding")+" came")
		_ = z.Close()
	}
	w.files["a.test/bomb"] = func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(rw)
		_, _ = z.Write(make([]byte, 1<<20))
		_ = z.Close()
	}
	w.files["a.test/cut"] = func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Length", "50")
		_, _ = io.WriteString(rw, "part")
	}
	w.files["a.test/forbidden"] = func(rw http.ResponseWriter, r *http.Request) { http.Error(rw, "no", http.StatusForbidden) }
	w.files["a.test/busy"] = func(rw http.ResponseWriter, r *http.Request) { http.Error(rw, "no", http.StatusBadGateway) }
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("local"), 0o666); err != nil {
		t.Fatal(err)
	}
	local := askFileURL(dir)
	for address, c := range map[string]struct {
		want  string
		hosts string
		plain bool
		fault Fault
		is    error
	}{
		"https://a.test/file":        {want: "content", hosts: "a.test"},
		"https://a.test/away":        {want: "from b", hosts: "b.test a.test"},
		"https://a.test/plain":       {want: "from c", hosts: "c.test a.test", plain: true},
		"http://127.0.0.1/file":      {want: "from here", hosts: "127.0.0.1"},
		"https://a.test/packed":      {want: "gzip came", hosts: "a.test"},
		"https://a.test/agent":       {want: "agent of the place", hosts: "a.test"},
		"https://a.test/page":        {fault: FaultWebPage, is: goproxy.ErrUnavailable},
		"https://a.test/hidden-page": {fault: FaultWebPage, is: goproxy.ErrUnavailable},
		"https://a.test/long":        {fault: FaultTooLarge, is: goproxy.ErrUnavailable},
		"https://a.test/bomb":        {fault: FaultTooLarge, is: goproxy.ErrUnavailable},
		"https://a.test/cut":         {fault: FaultCut, is: goproxy.ErrUnavailable},
		"https://a.test/nothing":     {fault: FaultAbsent, is: goproxy.ErrNotExist},
		"https://a.test/forbidden":   {fault: FaultRefused, is: goproxy.ErrBlocked},
		"https://a.test/busy":        {fault: FaultStatus, is: goproxy.ErrUnavailable},
		"://":                        {fault: FaultURL, is: goproxy.ErrUnavailable},
		local + "/file":              {want: "local", hosts: thisMachine},
		local + "/nothing":           {fault: FaultAbsent, is: goproxy.ErrNotExist},
	} {
		got, err := askPlace(t.Context(), w.client, Place{UserAgent: "agent of the place"}, address, 100)
		if c.fault != "" {
			var fault *PlaceError
			if !errors.As(err, &fault) || fault.Fault != c.fault || !errors.Is(err, c.is) {
				t.Errorf("%s: %v (%+v), want %s", address, err, fault, c.fault)
			}
			continue
		}
		if err != nil || string(got.data) != c.want || strings.Join(got.hosts, " ") != c.hosts || got.plain != c.plain {
			t.Errorf("%s: %q by %q, plain %v, %v", address, got.data, got.hosts, got.plain, err)
		}
	}
	if _, err := askPlace(t.Context(), nil, Place{}, "https://a.test/file", 100); !errors.Is(err, goproxy.ErrUnavailable) {
		t.Errorf("without a network: %v", err)
	}
}

// askSay is one who answers after a while, or when it is not to be waited for.
func askSay(ctx context.Context, after time.Duration, what string) (string, error) {
	select {
	case <-time.After(after):
		return what, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func TestAskAll(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		after  []time.Duration
		result askResult // of each answer
		want   string
		took   time.Duration
	}{
		"nobody":                       {want: "", took: 0},
		"all are waited for":           {after: []time.Duration{9 * s, 1 * s, 15 * s}, result: askOn, want: "1 0 2", took: 15 * s},
		"who is slow has a limit":      {after: []time.Duration{1 * s, 90 * s}, result: askOn, want: "0 slow", took: 20 * s},
		"the others get grace":         {after: []time.Duration{3500 * time.Millisecond, 90 * s, 1 * s, 2 * s}, result: askSoon, want: "2 3 0 late", took: 4 * s},
		"grace runs from the first":    {after: []time.Duration{1 * s, 3 * s, 5 * s}, result: askSoon, want: "0 1 late", took: 4 * s},
		"one is enough":                {after: []time.Duration{4 * s, 90 * s, 1 * s, 2 * s}, result: askDone, want: "2", took: 1 * s},
		"no grace for nobody":          {after: []time.Duration{2 * s}, result: askSoon, want: "0", took: 2 * s},
		"the limit comes before grace": {after: []time.Duration{19 * s, 90 * s}, result: askSoon, want: "0 slow", took: 20 * s},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got []string
				start := time.Now()
				err := askAll(t.Context(), Waits{}, len(c.after), func(ctx context.Context, i int) (string, error) {
					return askSay(ctx, c.after[i], fmt.Sprint(i))
				}, func(i int, v string, err error) askResult {
					switch {
					case err == errAskLate:
						v = "late"
					case err == errAskSlow:
						v = "slow"
					case err != nil:
						v = err.Error()
					}
					got = append(got, v)
					if err != nil {
						return askOn
					}
					return c.result
				})
				if text := strings.Join(got, " "); err != nil || text != c.want || time.Since(start) != c.took {
					t.Errorf("%q after %v, %v; want %q after %v", text, time.Since(start), err, c.want, c.took)
				}
			})
		})
	}
}

func TestAskAllCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		answers := 0
		err := askAll(ctx, Waits{}, 3, func(ctx context.Context, i int) (string, error) { return askSay(ctx, time.Hour, "") },
			func(int, string, error) askResult { answers++; return askOn })
		if !errors.Is(err, context.DeadlineExceeded) || answers != 3 {
			t.Errorf("%v, %d answers", err, answers)
		}
	})
}

func TestParseDigest(t *testing.T) {
	const hash = "e42d3f8a6ea7ee2ea43e4f68de6eb5a65b9d9f0d3ab86b42d4b0a3f8d8fb6d4c"
	for text, good := range map[string]bool{
		hash:                                     true,
		hash + "\n":                              true,
		" " + hash + "\r\n":                      true,
		hash + "  go1.99.0.linux-amd64.tar.gz\n": true,
		hash + " *go1.99.0.linux-amd64.tar.gz\n": true,
		"0000000000000000000000000000000000000000000000000000000000000000  go1.98.0.linux-amd64.tar.gz\n" + hash + "  dir/go1.99.0.linux-amd64.tar.gz\n": true,
		hash + "  go1.98.0.linux-amd64.tar.gz\n": false,
		strings.ToUpper(hash):                    false,
		hash[1:]:                                 false,
		hash + "0":                               false,
		"":                                       false,
		"<html>" + hash + "</html>":              false,
		"sha256: " + hash:                        false,
	} {
		got, err := parseDigest([]byte(text), "go1.99.0.linux-amd64.tar.gz")
		if good && (err != nil || fmt.Sprintf("%x", got) != hash) || !good && !errors.Is(err, errDigest) {
			t.Errorf("%q: %x, %v", text, got, err)
		}
	}
}

func FuzzDigest(f *testing.F) {
	f.Add([]byte("e42d3f8a6ea7ee2ea43e4f68de6eb5a65b9d9f0d3ab86b42d4b0a3f8d8fb6d4c  go.tar.gz\n"))
	f.Add([]byte("<html>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parseDigest(data, "go.tar.gz")
		if err == nil && !bytes.Contains(data, []byte(fmt.Sprintf("%x", got))) {
			t.Errorf("%q: %x", data, got)
		}
	})
}

const testReleases = `[
 {"version": "go1.99.1", "stable": true, "files": [
  {"filename": "go1.99.1.src.tar.gz", "os": "", "arch": "", "version": "go1.99.1", "sha256": "1111111111111111111111111111111111111111111111111111111111111111", "size": 30, "kind": "source"},
  {"filename": "go1.99.1.linux-amd64.tar.gz", "os": "linux", "arch": "amd64", "version": "go1.99.1", "sha256": "2222222222222222222222222222222222222222222222222222222222222222", "size": 70, "kind": "archive"},
  {"filename": "go1.99.1.linux-armv6l.tar.gz", "os": "linux", "arch": "armv6l", "version": "go1.99.1", "sha256": "3333333333333333333333333333333333333333333333333333333333333333", "size": 60, "kind": "archive"},
  {"filename": "go1.99.1.windows-amd64.zip", "os": "windows", "arch": "amd64", "version": "go1.99.1", "sha256": "", "size": 80, "kind": "archive"},
  {"filename": "go1.99.1.windows-amd64.msi", "os": "windows", "arch": "amd64", "version": "go1.99.1", "sha256": "4444444444444444444444444444444444444444444444444444444444444444", "size": 80, "kind": "installer"},
  {"filename": "../../etc/passwd", "os": "linux", "arch": "386", "version": "go1.99.1", "sha256": "5555555555555555555555555555555555555555555555555555555555555555", "size": 80, "kind": "archive"}]},
 {"version": "go1.100rc1", "stable": true, "files": [
  {"filename": "go1.100rc1.linux-amd64.tar.gz", "os": "linux", "arch": "amd64", "version": "go1.100rc1", "sha256": "66", "size": -1, "kind": "archive"}]},
 {"version": "weekly.2012", "stable": false, "files": []}]`

func TestParseReleases(t *testing.T) {
	got, err := parseReleases([]byte(testReleases))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, p := range got {
		lines = append(lines, fmt.Sprintf("%s %v %d %.1s", p.Target, p.Stable, p.Size, p.SHA256))
	}
	want := "go1.99.1.linux-amd64 true 70 2\ngo1.99.1.linux-arm true 60 3\ngo1.99.1.windows-amd64 true 80 \ngo1.100rc1.linux-amd64 false 0 "
	if text := strings.Join(lines, "\n"); text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	for _, bad := range []string{"", "[]", "null", "{}", "<html>", `[{"version":"go1.99.1","files":[]}]`, testReleases[:200]} {
		if list, err := parseReleases([]byte(bad)); !errors.Is(err, errDigest) || !errors.Is(err, goproxy.ErrUnavailable) {
			t.Errorf("%.20q: %v, %v", bad, list, err)
		}
	}
}

func FuzzReleases(f *testing.F) {
	f.Add([]byte(testReleases))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseReleases(data)
		if err == nil && len(list) == 0 {
			t.Error("an empty list and no error")
		}
		for _, p := range list {
			if _, err := ParseVersion(string(p.Version)); err != nil || p.Size < 0 || p.SHA256 != "" && !sha256Hex.MatchString(p.SHA256) ||
				strings.ContainsAny(p.Archive(), "/\\\x00") {
				t.Errorf("%+v", p)
			}
		}
	})
}
