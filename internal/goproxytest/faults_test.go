package goproxytest

import (
	"archive/zip"
	"bufio"
	"compress/flate"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

func compressed(t *testing.T, w interface {
	io.Writer
	Len() int
}, s string) int {
	t.Helper()
	fw, err := flate.NewWriter(w, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(fw, s)
	fw.Close()
	return w.Len()
}

func TestParseFaults(t *testing.T) {
	h, err := NewHandler(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path   string
		faults []string
		rest   string // "!" means an error
	}{
		{"/example.com/m/@v/list", nil, "/example.com/m/@v/list"},
		{"/404/example.com/m", []string{"/404"}, "/example.com/m"},
		{"/429-2/slow/2s/x.y/z", []string{"/429-2", "/slow/2s"}, "/x.y/z"},
		{"/only/zip/times/3/cut/50%/sumdb/x/latest", []string{"/only/zip/times/3/cut/50%"}, "/sumdb/x/latest"},
		{"/times/1/only/list/503/hang/a.b", []string{"/only/list/times/1/503", "/hang"}, "/a.b"},
		{"/sumdb-503/sumdb-wrong/nosumdb/a.b", []string{"/sumdb-503", "/sumdb-wrong", "/nosumdb"}, "/a.b"},
		{"/badzip/dotdot/stall/10/drip/15MB/a.b", []string{"/badzip/dotdot", "/stall/10", "/drip/15MB"}, "/a.b"},
		{"/hang", []string{"/hang"}, ""},
		{"", nil, ""},
		{"/", nil, "!"},
		{"/nonsense/a.b", nil, "!"},
		{"/200/a.b", nil, "!"},
		{"/404-x/a.b", nil, "!"},
		{"/429-/a.b", nil, "!"},
		{"/slow/a.b", nil, "!"},
		{"/cut/101%/a.b", nil, "!"},
		{"/cut/NaN%/a.b", nil, "!"},
		{"/cut/-1/a.b", nil, "!"},
		{"/drip/0B/a.b", nil, "!"},
		{"/only/nothing/404/a.b", nil, "!"},
		{"/only/zip/a.b", nil, "!"},
		{"/times/x/404/a.b", nil, "!"},
		{"/badzip/nothing/a.b", nil, "!"},
		{"/redirect/-1/a.b", nil, "!"},
	} {
		faults, rest, err := h.parseFaults(tt.path)
		if (err != nil) != (tt.rest == "!") || err == nil && rest != tt.rest {
			t.Errorf("%s: rest %q, %v", tt.path, rest, err)
		}
		var got []string
		for _, f := range faults {
			got = append(got, f.String())
		}
		if diff := cmp.Diff(tt.faults, got); diff != "" {
			t.Errorf("%s: %s", tt.path, diff)
		}
	}
}

// What is parsed lies in the path one after the other and leaves nothing out,
// and writing it down gives the same again.
func FuzzParseFaults(f *testing.F) {
	for _, s := range []string{"", "/", "/a.b", "/404/a.b/@v/list", "/only/zip/times/02/cut/50%/redirect/3/sumdb/x", "/times/1", "//404", "404/a.b",
		"/429-2/drip/1KiB/slow/1h/a.b", "/only/only/only", "/hang/"} {
		f.Add(s)
	}
	h, err := NewHandler(Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path string) {
		faults, rest, err := h.parseFaults(path)
		if err != nil {
			return
		}
		pos, again := 0, ""
		for _, f := range faults {
			if f.from != pos || f.at < f.from || f.to <= f.at || !strings.HasPrefix(path[f.at:], "/"+f.name) {
				t.Fatalf("%q: %+v at %d", path, f, pos)
			}
			pos = f.to
			again += f.String()
		}
		if !strings.HasSuffix(path[pos:], rest) {
			t.Fatalf("%q: rest %q", path, rest)
		}
		second, rest2, err := h.parseFaults(again + rest)
		if err != nil || rest2 != rest || len(second) != len(faults) {
			t.Fatalf("%q became %q: %q, %v", path, again+rest, rest2, err)
		}
		for i := range second {
			if second[i].String() != faults[i].String() {
				t.Fatalf("%q: %s became %s", path, faults[i], second[i])
			}
		}
	})
}

const zipPath = "/example.com/hello/@v/v1.0.0.zip"

func TestAnsweringFaults(t *testing.T) {
	s := newServer(t, false)
	c := client(t, s)
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	port := s.URL[strings.LastIndexByte(s.URL, ':'):]
	for _, tt := range []struct {
		fault, path string
		status      int
		key, value  string // a header
	}{
		{"404", zipPath, 404, "Content-Type", "text/plain; charset=utf-8"},
		{"410", zipPath, 410, "Retry-After", ""},
		{"429-2", zipPath, 429, "Retry-After", "2"},
		{"503/404", zipPath, 503, "", ""},
		{"html", zipPath, 200, "Content-Type", "text/html; charset=utf-8"},
		{"auth", zipPath, 401, "WWW-Authenticate", `Basic realm="goproxytest"`},
		{"only/list/404", zipPath, 200, "", ""},
		{"only/zip/404", zipPath, 404, "", ""},
		{"only/zip/only/mod/404", zipPath, 200, "", ""},
		{"only/info/404", "/example.com/hello/@v/main.info", 404, "", ""},
		{"only/sumdb/500", "/sumdb/sumdb.example.com/latest", 500, "", ""},
		{"nolatest", "/example.com/hello/@latest", 404, "", ""},
		{"nolatest", "/example.com/hello/@v/list", 200, "", ""},
		{"nosumdb", "/sumdb/sumdb.example.com/supported", 404, "", ""},
		{"nosumdb", zipPath, 200, "", ""},
		{"sumdb-503-7", "/sumdb/sumdb.example.com/latest", 503, "Retry-After", "7"},
		{"sumdb-503", zipPath, 200, "", ""},
		{"nolength/redirect/3", zipPath, 302, "Location", "/nolength/redirect/2" + zipPath},
		{"only/zip/redirect/1/503", zipPath, 302, "Location", "/503" + zipPath},
		{"redirect/0", zipPath, 200, "", ""},
		{"cut/50%/redirecthost/auth", zipPath, 302, "Location", "http://localhost" + port + "/cut/50%25/auth" + zipPath},
		{"redirecthttp", zipPath, 302, "Location", "http://127.0.0.1" + port + zipPath},
	} {
		resp, _ := mustGet(t, c, s.Proxy(tt.fault)+tt.path)
		if resp.StatusCode != tt.status || tt.key != "" && resp.Header.Get(tt.key) != tt.value {
			t.Errorf("%s%s: %s %v", tt.fault, tt.path, resp.Status, resp.Header)
		}
	}
	if resp, _ := mustGet(t, c, strings.Replace(s.Proxy("auth"), "://", "://"+User+":"+Password+"@", 1)+zipPath); resp.StatusCode != 200 {
		t.Errorf("with credentials: %s", resp.Status)
	}
}

func TestTimes(t *testing.T) {
	s := newServer(t, false)
	c := client(t, s)
	statuses := func(fault, path string, n int) (got []int) {
		for range n {
			resp, _ := mustGet(t, c, s.Proxy(fault)+path)
			got = append(got, resp.StatusCode)
		}
		return got
	}
	for _, path := range []string{zipPath, "/example.com/hello/@v/list"} {
		if got := statuses("times/2/503", path, 4); !slices.Equal(got, []int{503, 503, 200, 200}) {
			t.Errorf("%s: %v", path, got)
		}
	}
	if got := statuses("times/1/503/times/2/429", zipPath, 4); !slices.Equal(got, []int{503, 429, 429, 200}) {
		t.Errorf("two: %v", got)
	}
	s.Reset()
	if got := statuses("times/2/503", zipPath, 1); !slices.Equal(got, []int{503}) {
		t.Errorf("after Reset: %v", got)
	}
}

func TestRedirectsAreFollowed(t *testing.T) {
	for _, tls := range []bool{false, true} {
		s := newServer(t, tls)
		c := client(t, s)
		_, want := mustGet(t, c, s.URL+zipPath)
		for _, fault := range []string{"redirect/3", "redirecthost", "redirect/1/redirecthost/redirect/1"} {
			if resp, body := mustGet(t, c, s.Proxy(fault)+zipPath); resp.StatusCode != 200 || body != want {
				t.Errorf("%s: %s", fault, resp.Status)
			}
		}
		if n := s.Count("redirect/"); n != 6 {
			t.Errorf("%d redirects: %q", n, s.Requests())
		}
	}
}

func TestBodyFaults(t *testing.T) {
	m := module.Version{Path: "example.com/hello", Version: "v1.0.0"}
	for _, tls := range []bool{false, true} {
		s := newServer(t, tls)
		c := client(t, s)
		_, whole := mustGet(t, c, s.URL+zipPath)
		half := len(whole) / 2
		for _, tt := range []struct {
			fault string
			want  int // bytes that arrive
			clean bool
		}{
			{"slow/1ms", len(whole), true},
			{"drip/1MB", len(whole), true},
			{"slow/1ms/drip/100KiB/norange", len(whole), true},
			{"cut/50%", half, false},
			{"cut/50pct", half, false},
			{"cut/7", 7, false},
			{"cut/0", 0, false},
			{"cut/100%", len(whole), true},
			{"cut/1000000", len(whole), true},
			{"drip/1MB/cut/50%", half, false},
			{"nolength/cut/10", 10, false},
			{"short/50%", half, true},
			{"short/10", 10, true},
			{"short/50%/cut/50%", half / 2, false},
		} {
			resp, body, err := do(t, c, "GET", s.Proxy(tt.fault)+zipPath)
			if (err == nil) != tt.clean || body != whole[:tt.want] {
				t.Errorf("%s: %d bytes of %d, %v", tt.fault, len(body), len(whole), err)
			}
			if tt.clean && resp.ContentLength != int64(len(body)) {
				t.Errorf("%s: Content-Length %d", tt.fault, resp.ContentLength)
			}
		}
		if _, body, err := do(t, c, "GET", s.Proxy("cut/50%")+zipPath, "Range", "bytes=20-"); err == nil || body != whole[20:20+(len(whole)-20)/2] {
			t.Errorf("cut range: %d bytes, %v", len(body), err)
		}
		_, bad := mustGet(t, c, s.Proxy("corrupt")+zipPath)
		if n := differing(whole, bad); n != 1 || checkZip(t, m, bad) == nil {
			t.Errorf("corrupt: %d bytes differ", n)
		}
		if _, part := mustGet(t, c, s.Proxy("corrupt")+zipPath, "Range", "bytes=20-"); part != bad[20:] {
			t.Error("a range of a corrupt zip is another corrupt zip")
		}
		_, other := mustGet(t, c, s.Proxy("wrongsum")+zipPath)
		if other == whole || checkZip(t, m, other) != nil {
			t.Error("wrongsum is no other valid zip")
		}
		if _, gomod := mustGet(t, c, s.Proxy("wrongsum")+"/example.com/hello/@v/v1.0.0.mod"); gomod == "module example.com/hello\n" || !strings.HasPrefix(gomod, "module example.com/hello\n") {
			t.Errorf("wrongsum .mod is %q", gomod)
		}
		if _, info := mustGet(t, c, s.Proxy("wrongsum")+"/example.com/hello/@v/v1.0.0.info"); info != helloInfo+"\n" {
			t.Errorf("wrongsum .info is %q", info)
		}
	}
}

// What never ends is ended by the client, and is told of it.
func TestFaultsThatWait(t *testing.T) {
	for _, tls := range []bool{false, true} {
		s := newServer(t, tls)
		c := client(t, s)
		for _, tt := range []struct {
			fault string
			want  int // bytes that arrive first; -1 for no answer at all
		}{
			{"hang", -1}, {"slow/1h", -1}, {"stall/50%", -2}, {"stall/0", 0}, {"stall/9", 9}, {"drip/1B", 1}, {"endless", 100_000},
		} {
			ctx, leave := context.WithCancel(t.Context())
			req, err := http.NewRequestWithContext(ctx, "GET", s.Proxy(tt.fault)+zipPath, nil)
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == -1 {
				s.Reset()
				failed := make(chan error, 1)
				go func() {
					_, err := c.Do(req)
					failed <- err
				}()
				s.Wait(t.Context(), "", 1)
				leave()
				if err := <-failed; !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %v", tt.fault, err)
				}
			} else {
				resp, err := c.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				want := int64(tt.want)
				if want < 0 {
					want = resp.ContentLength / 2
				}
				if _, err := io.CopyN(io.Discard, resp.Body, want); err != nil {
					t.Errorf("%s: %v", tt.fault, err)
				}
				if s.InFlight() != 1 {
					t.Errorf("%s: the answer is over", tt.fault)
				}
				leave()
				resp.Body.Close()
			}
			if err := s.WaitInFlight(t.Context(), 0); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestBrokenConnections(t *testing.T) {
	for _, tls := range []bool{false, true} {
		s := newServer(t, tls)
		c := client(t, s)
		_, _, err := do(t, c, "GET", s.Proxy("reset")+zipPath)
		if err == nil || !tls && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("reset: %v", err)
		}
		if _, _, err := do(t, c, "GET", s.Proxy("eof")+zipPath); err == nil || !tls && !errors.Is(err, io.EOF) {
			t.Errorf("eof: %v", err)
		}
	}
}

func TestBadZips(t *testing.T) {
	s := newServer(t, false)
	c := client(t, s)
	m := module.Version{Path: "example.com/hello", Version: "v1.0.0"}
	for _, name := range BadZips() {
		resp, data := mustGet(t, c, s.Proxy("badzip", name)+zipPath)
		if resp.StatusCode != 200 || resp.ContentLength != int64(len(data)) || len(data) > 1<<20 {
			t.Errorf("%s: %s, %d bytes", name, resp.Status, len(data))
		}
		err := checkZip(t, m, data)
		if harmless := name == "symlink"; harmless != (err == nil) { // x/mod/zip extracts it as a file with the link's target
			t.Errorf("%s: x/mod/zip says %v", name, err)
		}
		_, zerr := zip.NewReader(strings.NewReader(data), int64(len(data)))
		if readable := !slices.Contains([]string{"truncated", "notzip", "empty"}, name); readable != (zerr == nil || errors.Is(zerr, zip.ErrInsecurePath)) {
			t.Errorf("%s: archive/zip says %v", name, zerr)
		}
	}
	// The bomb is a real one.
	_, data := mustGet(t, c, s.Proxy("badzip/bomb")+zipPath)
	zr, err := zip.NewReader(strings.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := zr.File[1].Open()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, r); n != bombSize || err != nil {
		t.Errorf("the bomb has %d bytes: %v", n, err)
	}
}

func TestLists(t *testing.T) {
	s := newServer(t, false)
	c := client(t, s)
	const list = "/example.com/hello/@v/list"
	_, garbage := mustGet(t, c, s.Proxy("garbagelist")+list)
	lines := strings.Split(strings.TrimSuffix(garbage, "\n"), "\n")
	seen, valid, pseudo := map[string]int{}, 0, 0
	for _, v := range lines {
		seen[v]++
		if semver.IsValid(v) {
			valid++
		}
		if module.IsPseudoVersion(v) {
			pseudo++
		}
	}
	if seen["v1.0.0"] == 0 || seen["v1.1.0-rc.1"] < 2 || pseudo == 0 || valid == len(lines) || slices.IsSortedFunc(lines, semver.Compare) {
		t.Errorf("garbage list: %q", lines)
	}
	if _, body := mustGet(t, c, s.Proxy("hugelist/0")+list); body != "v1.0.0\nv1.1.0-rc.1\n" {
		t.Errorf("%q", body)
	}
	resp, err := c.Get(s.Proxy("hugelist/1") + list)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	n, last := 0, ""
	for sc := bufio.NewScanner(resp.Body); sc.Scan(); n++ {
		last = sc.Text()
	}
	if n != 1e6 || last != "v1.999.999" {
		t.Errorf("%d lines, the last %q", n, last)
	}
}

func TestLatest(t *testing.T) {
	old, young := "v0.0.0-20230102030405-bbbbbbbbbbbb", "v1.0.1-0.20240102030405-aaaaaaaaaaaa"
	for _, tt := range []struct {
		versions []string
		want     string
	}{
		{nil, ""},
		{[]string{"v1.0.0", "v1.10.0", "v1.9.0", "v2.0.0-rc.1"}, "v1.10.0"},
		{[]string{"v1.0.0-rc.2", "v1.0.0-rc.10", young}, "v1.0.0-rc.10"},
		{[]string{old, young}, young},
		{[]string{young, old}, young},
		{[]string{"v0.0.1", young}, "v0.0.1"},
	} {
		if got := latest(tt.versions); got != tt.want {
			t.Errorf("latest of %v is %s, want %s", tt.versions, got, tt.want)
		}
	}
}
