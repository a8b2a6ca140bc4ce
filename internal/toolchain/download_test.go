package toolchain

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/transport"
)

// TestFetch: a good place brings the file with one request that has no Range, and what is
// there already is not asked for again.
func TestFetch(t *testing.T) {
	l := newFetchLab(t)
	h := &fetchHost{data: fetchData(1, 3<<20), etag: `"one"`}
	o := l.place("one", h)
	d := l.want(h.data, o)
	wantEqual(t, "requests", h.requests(), []string{"|"})
	wantEqual(t, "places", d.Places, []Place{o.Place})
	last := l.progress[len(l.progress)-1]
	wantEqual(t, "progress", last, Progress{Target: fetchTarget, Stage: Downloading, Place: "one", Done: 3 << 20, Total: 3 << 20})

	again := l.want(h.data, o)
	wantEqual(t, "requests", len(h.requests()), 1)
	wantEqual(t, "resumed", again.Resumed, int64(3<<20))
	wantEqual(t, "places", again.Places, []Place{o.Place})
	if err := again.Remove(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(l.Dir)
	if err != nil || len(left) != 0 {
		t.Errorf("after Remove %v is left, error %v", left, err)
	}
}

// TestFetchFaults: each bad place is left for the next one, with its reason.
func TestFetchFaults(t *testing.T) {
	data := fetchData(1, 300<<10)
	status := func(code int) *fetchHost {
		return &fetchHost{handle: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) }}
	}
	body := func(kind, text string) *fetchHost {
		return &fetchHost{handle: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			io.WriteString(w, text)
		}}
	}
	for name, tt := range map[string]struct {
		host  *fetchHost
		size  int64
		fault Fault
		is    error
	}{
		"web page":    {body("text/html; charset=utf-8", "PK\x03\x04 not really"), 0, FaultWebPage, goproxy.ErrUnavailable},
		"page as zip": {body("application/zip", "<!doctype html><title>Log in</title>"), 0, FaultWebPage, goproxy.ErrUnavailable},
		"text":        {body("application/zip", "service unavailable, try later"), 0, FaultNotArchive, goproxy.ErrUnavailable},
		"nothing":     {body("application/zip", ""), 0, FaultNotArchive, goproxy.ErrUnavailable},
		"two bytes":   {body("application/zip", "PK"), 0, FaultNotArchive, goproxy.ErrUnavailable},
		"404":         {status(404), 0, FaultAbsent, goproxy.ErrNotExist},
		"410":         {status(410), 0, FaultAbsent, goproxy.ErrGone},
		"403":         {status(403), 0, FaultRefused, goproxy.ErrBlocked},
		"500":         {status(500), 0, FaultStatus, goproxy.ErrUnavailable},
		"204":         {status(204), 0, FaultStatus, goproxy.ErrUnavailable},
		"206 unasked": {&fetchHost{handle: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-9/10")
			w.WriteHeader(206)
			w.Write(data[:10])
		}}, 0, FaultRange, goproxy.ErrUnavailable},
		"no length":      {&fetchHost{data: data, chunked: true}, 0, FaultNoLength, goproxy.ErrUnavailable},
		"another length": {&fetchHost{data: data}, 1000, FaultLength, goproxy.ErrUnavailable},
		"too large": {&fetchHost{handle: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5000000000")
			w.Write(data)
		}}, 0, FaultTooLarge, goproxy.ErrUnavailable},
		"cut":             {&fetchHost{data: data, cut: 1000}, 0, FaultCut, goproxy.ErrUnavailable},
		"cut in the head": {&fetchHost{data: data, cut: 3}, 0, FaultCut, goproxy.ErrUnavailable},
		"no answer":       {&fetchHost{handle: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }}, 0, FaultLink, goproxy.ErrUnavailable},
		"stall": {&fetchHost{handle: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(data)))
			w.Write(data[:1000])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}}, 0, FaultStalled, goproxy.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			l := newFetchLab(t)
			bad := l.place("bad", tt.host)
			bad.Size = tt.size
			d := l.want(data, bad, l.place("good", &fetchHost{data: data}))
			wantEqual(t, "faults", l.faults(), []string{"bad " + string(tt.fault)})
			if err := l.troubles[0].Err; !errors.Is(err, tt.is) || strings.Contains(err.Error(), "://") {
				t.Errorf("got error %v, want %v and no URL", err, tt.is)
			}
			if got := placeNames(d.Places); got[len(got)-1] != "good" {
				t.Errorf("places are %v", got)
			}
		})
	}
}

// TestFetchAlone: what speaks against a place is no reason to have nothing at all.
func TestFetchAlone(t *testing.T) {
	data := fetchData(1, 700<<10)
	lie := &fetchHost{}
	lie.handle = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") == "" {
			if len(lie.requests()) == 1 {
				w.Header().Set("Content-Length", strconv.Itoa(len(data)))
				w.Write(data[:500<<10])
				return
			}
			http.ServeContent(w, r, "x.bin", time.Time{}, bytes.NewReader(data))
			return
		}
		var from int
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(data)-1, len(data)))
		w.WriteHeader(http.StatusPartialContent)
		w.Write(data[:len(data)-from]) // from the beginning, whatever it says
	}
	for name, tt := range map[string]struct {
		host   *fetchHost
		size   int64
		faults []string
	}{
		"no length":           {&fetchHost{data: data, chunked: true}, 0, []string{"it no-length"}},
		"another length":      {&fetchHost{data: data}, 1000, []string{"it length"}},
		"a 206 that lies":     {lie, 0, []string{"it differs"}},
		"cut again and again": {&fetchHost{data: data, cut: 300 << 10}, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := newFetchLab(t)
			o := l.place("it", tt.host)
			o.Size = tt.size
			l.want(data, o)
			wantEqual(t, "faults", l.faults(), tt.faults)
		})
	}
}

// TestFetchNoRange: a place without ranges brings the whole again, of which only the rest is new.
func TestFetchNoRange(t *testing.T) {
	data := fetchData(1, 700<<10)
	l := newFetchLab(t)
	first := l.place("first", &fetchHost{data: data, cut: 400 << 10, gone: true})
	whole := &fetchHost{data: data, ignore: true}
	d := l.want(data, first, l.place("whole", whole))
	wantEqual(t, "places", placeNames(d.Places), []string{"first", "whole"})
	if got := l.faults(); got[len(got)-1] == "whole no-range" || !strings.Contains(strings.Join(got, ","), "whole no-range") {
		t.Errorf("faults are %v", got)
	}
	if last := whole.requests()[len(whole.requests())-1]; last != "|" {
		t.Errorf("the last request was for %q, want the whole", last)
	}
}

// TestFetchMoves: where one place breaks off, another one goes on, a little before that byte
// and without the first one's ETag.
func TestFetchMoves(t *testing.T) {
	data := fetchData(1, 900<<10)
	l := newFetchLab(t)
	a := &fetchHost{data: data, etag: `"a"`, cut: 500 << 10, gone: true}
	b := &fetchHost{data: data, etag: `"b"`}
	offers := []Offer{l.place("a", a), l.place("b", b)}
	d := l.want(data, offers...)
	wantEqual(t, "places", d.Places, []Place{offers[0].Place, offers[1].Place})
	wantEqual(t, "requests", b.requests(), []string{fmt.Sprintf("bytes=%d-|", 500<<10-fetchOverlap)})
	if b.sent > 400<<10+fetchOverlap {
		t.Errorf("the second place sent %d bytes", b.sent)
	}

	// Bytes of two places that turn out to be forged are told apart by fetching whole.
	if err := d.Remove(); err != nil {
		t.Fatal(err)
	}
	b.data = fetchData(2, 900<<10)
	if d, err := l.FetchWhole(t.Context(), fetchTarget, fetchFile, offers[1]); err != nil {
		t.Error(err)
	} else {
		l.same(d, b.data)
		wantEqual(t, "places", d.Places, []Place{offers[1].Place})
	}
}

// TestFetchWhole: bytes of another place are not gone on with.
func TestFetchWhole(t *testing.T) {
	l := newFetchLab(t)
	l.Retries = -1
	data := fetchData(1, 900<<10)
	if _, err := l.fetch(l.place("a", &fetchHost{data: data, cut: 500 << 10, gone: true})); !errors.Is(err, goproxy.ErrUnavailable) {
		t.Fatalf("got error %v", err)
	}
	b := &fetchHost{data: fetchData(2, 900<<10)}
	d, err := l.FetchWhole(t.Context(), fetchTarget, fetchFile, l.place("b", b))
	if err != nil {
		t.Fatal(err)
	}
	l.same(d, b.data)
	wantEqual(t, "requests", b.requests(), []string{"|"})
	wantEqual(t, "places", placeNames(d.Places), []string{"b"})
}

// TestFetchResumes: what an asker who left had is gone on with, by the ETag of the place.
func TestFetchResumes(t *testing.T) {
	data := fetchData(1, 1<<20)
	for name, tt := range map[string]struct {
		etags func(int) string
		asks  func(from int64) []string
	}{
		"the same": {func(int) string { return `"v"` }, func(from int64) []string { return []string{fmt.Sprintf(`bytes=%d-|"v"`, from)} }},
		"none":     {func(int) string { return "" }, func(from int64) []string { return []string{fmt.Sprintf(`bytes=%d-|`, from)} }},
		"weak":     {func(int) string { return `W/"v"` }, func(from int64) []string { return []string{fmt.Sprintf(`bytes=%d-|`, from)} }},
		"many servers": {func(n int) string { return fmt.Sprintf(`"v%d"`, n) }, func(from int64) []string {
			return []string{fmt.Sprintf(`bytes=%d-|"v1"`, from), fmt.Sprintf(`bytes=%d-|`, from)}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newFetchLab(t)
			h := &fetchHost{data: data, etags: tt.etags}
			o := l.place("it", h)
			have := l.leave(o, 300<<10)
			before := len(h.requests())
			d := l.want(data, o)
			wantEqual(t, "requests", h.requests()[before:], tt.asks(have-fetchOverlap))
			wantEqual(t, "resumed", d.Resumed, have)
			wantEqual(t, "first progress", l.progress[0].Resumed, have)
			wantEqual(t, "faults", l.faults(), []string(nil))
		})
	}
}

// TestFetchChanged: a place whose file has become another one is believed in the end.
func TestFetchChanged(t *testing.T) {
	for name, now := range map[string][]byte{
		"as long": fetchData(2, 1<<20), "longer": fetchData(2, 2<<20), "shorter": fetchData(2, 600<<10), "much shorter": fetchData(2, 200<<10),
		"the beginning of what was there": fetchData(1, 250<<10), "more of the same": fetchData(1, 3<<20),
	} {
		t.Run(name, func(t *testing.T) {
			l := newFetchLab(t)
			h := &fetchHost{data: fetchData(1, 1<<20), etag: `"old"`}
			o := l.place("it", h)
			l.leave(o, 300<<10)
			h.data, h.etag = now, `"new"`
			d := l.want(now, o)
			wantEqual(t, "places", placeNames(d.Places), []string{"it"})
		})
	}
}

// TestFetchDiffers: a place with another file does not spoil what a good one can go on with.
func TestFetchDiffers(t *testing.T) {
	data := fetchData(1, 1<<20)
	for name, other := range map[string][]byte{"as long": fetchData(2, 1<<20), "shorter": data[:900<<10], "much shorter": data[:100<<10]} {
		t.Run(name, func(t *testing.T) {
			l := newFetchLab(t)
			good := &fetchHost{data: data}
			o := l.place("good", good)
			have := l.leave(o, 600<<10)
			d := l.want(data, l.place("other", &fetchHost{data: other}), o)
			want := "other length"
			if len(other) == len(data) {
				want = "other differs"
			}
			wantEqual(t, "faults", l.faults(), []string{want})
			wantEqual(t, "the second request", good.requests()[1], fmt.Sprintf("bytes=%d-|", have-fetchOverlap))
			wantEqual(t, "places", placeNames(d.Places), []string{"good"})
		})
	}
}

// TestFetchRounds: a place that failed is tried again after the others.
func TestFetchRounds(t *testing.T) {
	data := fetchData(1, 100<<10)
	l := newFetchLab(t)
	late := &fetchHost{}
	late.handle = func(w http.ResponseWriter, r *http.Request) {
		if len(late.requests()) < 3 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		http.ServeContent(w, r, "x.bin", time.Time{}, bytes.NewReader(data))
	}
	absent := &fetchHost{handle: http.NotFound}
	l.want(data, l.place("late", late), l.place("absent", absent))
	wantEqual(t, "faults", l.faults(), []string{"late status", "absent absent", "late status"})
	wantEqual(t, "requests of the absent one", len(absent.requests()), 1)
}

// TestFetchFails: the error says what it means and why each place failed.
func TestFetchFails(t *testing.T) {
	l := newFetchLab(t)
	absent := l.place("absent", &fetchHost{handle: http.NotFound})
	blocked := l.place("blocked", &fetchHost{handle: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(403) }})
	broken := l.place("broken", &fetchHost{handle: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }})
	silent := l.place("silent", &fetchHost{handle: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }})
	badURL := Offer{Place: Place{Name: "bad", URL: "http://user:hunter2@[::1"}, URL: "http://user:hunter2@[::1/x"}
	for _, tt := range []struct {
		offers []Offer
		is     error
		hint   bool
	}{
		{[]Offer{absent}, goproxy.ErrNotExist, false},
		{[]Offer{blocked}, goproxy.ErrBlocked, false},
		{[]Offer{absent, blocked}, goproxy.ErrUnavailable, false},
		{[]Offer{absent, broken, silent}, goproxy.ErrUnavailable, true},
		{[]Offer{badURL}, goproxy.ErrNotExist, false},
		{nil, goproxy.ErrUnavailable, false},
	} {
		_, err := l.fetch(tt.offers...)
		e, ok := errors.AsType[*FetchError](err)
		if !ok || len(e.Troubles) != len(tt.offers) || strings.Contains(err.Error(), "hunter2") {
			t.Fatalf("got error %v, want a trouble for each of %d places", err, len(tt.offers))
		}
		want := goproxy.ExitCode(tt.is)
		if errors.Is(tt.is, goproxy.ErrNotExist) && len(tt.offers) == 1 && tt.offers[0].Place.Name == "bad" {
			want = 10
		}
		if got := goproxy.ExitCode(err); got != want {
			t.Errorf("%v: exit code %d, want %d", err, got, want)
		}
		for i, tr := range e.Troubles {
			if !strings.Contains(err.Error(), tr.Place+": ") || tr.Place != tt.offers[i].Place.Name {
				t.Errorf("%v: does not say what was wrong with %s", err, tt.offers[i].Place.Name)
			}
		}
		if code, text := e.Hint(); (code != "") != tt.hint || (text != "") != tt.hint {
			t.Errorf("%v: hint %q %q", err, code, text)
		}
	}
	if _, err := l.Fetch(t.Context(), fetchTarget, "../x.zip", []Offer{absent}); !errors.Is(err, goproxy.ErrInvalid) {
		t.Errorf("got error %v for a path", err)
	}
	if left, err := os.ReadDir(l.Dir); len(left) > 0 || err != nil {
		t.Errorf("nothing came, and %v is kept: %v", left, err)
	}
}

// TestFetchSlow: a slow place is left for one that nobody has tried, and taken in the end.
func TestFetchSlow(t *testing.T) {
	data := fetchData(1, 2<<20)
	run := func(t *testing.T, health func(h *Health, fast, slow Place), faults []string) {
		l := newFetchLab(t)
		var mu sync.Mutex
		clock := time.Unix(1e9, 0)
		l.now = func() time.Time { // every look at the clock takes three seconds
			mu.Lock()
			defer mu.Unlock()
			clock = clock.Add(3 * time.Second)
			return clock
		}
		l.Health = &Health{now: func() time.Time { return time.Unix(1e9, 0) }, places: map[string]PlaceHealth{}}
		slow, other := l.place("slow", &fetchHost{data: data}), l.place("other", &fetchHost{data: data})
		health(l.Health, other.Place, slow.Place)
		l.want(data, slow, other)
		wantEqual(t, "faults", l.faults(), faults)
	}
	t.Run("none is faster", func(t *testing.T) {
		run(t, func(h *Health, other, slow Place) {}, []string{"slow slow"})
	})
	t.Run("other is down", func(t *testing.T) {
		run(t, func(h *Health, other, slow Place) {
			h.places[other.key()] = PlaceHealth{Rate: 1000, Measured: h.now(), Failures: 1, Failed: h.now()}
		}, nil)
	})
}

// TestFetchSilent: a place that takes the connection and says nothing is not given all the time that the link
// allows while another one is untried, and who is asked is told before it answers.
func TestFetchSilent(t *testing.T) {
	l := newFetchLab(t)
	l.SlowAfter = 50 * time.Millisecond
	h := &fetchHost{data: fetchData(1, 1<<20)}
	silent := l.place("silent", &fetchHost{handle: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }})
	d := l.want(h.data, silent, l.place("other", h))
	wantEqual(t, "places", placeNames(d.Places), []string{"other"})
	wantEqual(t, "faults", l.faults(), []string{"silent link"})
	wantEqual(t, "first progress", l.progress[0], Progress{Target: fetchTarget, Stage: Downloading, Place: "silent", Total: -1})
}

// TestFetchSlowLimit: until somebody else was as slow it is the place that is to blame, then the link.
func TestFetchSlowLimit(t *testing.T) {
	one, two, three := &candidate{name: "one"}, &candidate{name: "two"}, &candidate{name: "three"}
	d := &fetching{places: []*candidate{one, two, three}}
	wantEqual(t, "the first", d.slowLimit(one), float64(goodRate))
	one.last = faulty(FaultSlow, "a reason")
	wantEqual(t, "the second", d.slowLimit(two), float64(slowRate))
	two.last = faulty(FaultLink, "a reason")
	wantEqual(t, "the last", d.slowLimit(three), 0.0)

	one.last, two.last = nil, nil
	d.part = &part{length: 120 << 20, have: 60 << 20}
	wantEqual(t, "a minute for the rest", d.slowLimit(one), float64(1<<20))
	one.last, two.out, three.out = faulty(FaultSlow, "a reason"), true, true
	d.Health = &Health{now: time.Now, places: map[string]PlaceHealth{one.Place.key(): {Rate: 400 << 10, Measured: time.Now()}}}
	two.Place.URL = "https://two.example"
	wantEqual(t, "much slower than the slow one", d.slowLimit(two), float64(100<<10))
}

// TestFetchTurn: who broke off is asked again before who was slow, and last who has another file.
func TestFetchTurn(t *testing.T) {
	h := &Health{now: func() time.Time { return time.Unix(1e9, 0) }, places: map[string]PlaceHealth{}}
	d := &fetching{Fetcher: Fetcher{Health: h}}
	add := func(name string, f Fault, rate float64, whole, out bool) {
		c := &candidate{Offer: Offer{Place: Place{Name: name, URL: "https://" + name}}, whole: whole, out: out}
		if f != "" {
			c.last = faulty(f, "a reason")
		}
		h.places[c.Place.key()] = PlaceHealth{Rate: rate, Measured: h.now()}
		d.places = append(d.places, c)
	}
	add("other", FaultDiffers, 9000, true, false)
	add("slower", FaultSlow, 100, false, false)
	add("slow", FaultSlow, 200, false, false)
	add("cut", FaultCut, 10, false, false)
	add("absent", FaultAbsent, 10, false, true)
	add("new", "", 0, false, false)
	var names []string
	for _, c := range d.turn() {
		names = append(names, c.Place.Name)
	}
	wantEqual(t, "turn", names, []string{"cut", "new", "slow", "slower", "other"})
}

// TestFetchSplit: with a client that goes on by itself and splits, a bad link costs no
// more than a request here and there, and a file that is cut, stalls and is served by many is the file.
func TestFetchSplit(t *testing.T) {
	client, err := transport.New(transport.Config{
		Proxy:     func(*http.Request) (*url.URL, error) { return nil, nil },
		RetryWait: time.Millisecond, SplitSize: 1 << 20, StallTimeout: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	l := newFetchLab(t)
	l.HTTP = client
	h := &fetchHost{data: fetchData(1, 6<<20), etag: `"one"`, cut: 700 << 10}
	o := l.place("it", h)
	l.leave(o, 2<<20)
	d := l.want(h.data, o)
	if d.Resumed < 2<<20 {
		t.Errorf("resumed at %d", d.Resumed)
	}
	wantEqual(t, "faults", l.faults(), []string(nil))
}

// TestFetchLocal: a file of this machine is taken where it lies, and stays there.
func TestFetchLocal(t *testing.T) {
	data := fetchData(1, 300<<10)
	dir := t.TempDir()
	at := filepath.Join(dir, "golang.org", "toolchain", "@v", fetchFile)
	if err := os.MkdirAll(filepath.Dir(at), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, data, 0o444); err != nil {
		t.Fatal(err)
	}
	fileURL := func(dir string) string {
		dir = filepath.ToSlash(dir)
		return (&url.URL{Scheme: "file", Path: "/" + strings.TrimPrefix(dir, "/")}).String()
	}
	l := newFetchLab(t)
	far := &fetchHost{data: data}
	empty := Place{Name: "empty", URL: fileURL(t.TempDir()), Kind: Modules}.Offer(fetchTarget)
	near := Place{Name: "near", URL: fileURL(dir), Kind: Modules}.Offer(fetchTarget)
	d := l.want(data, l.place("far", far), empty, near)
	wantEqual(t, "faults", l.faults(), []string{"empty absent"})
	wantEqual(t, "path", d.Path, at)
	wantEqual(t, "requests of the far one", len(far.requests()), 0)
	if err := d.Remove(); err != nil {
		t.Fatal(err)
	}
	l.want(data, near)

	l.troubles = nil
	folder := Place{Name: "folder", URL: fileURL(filepath.Dir(dir)), Kind: Modules}
	notFile := Offer{Place: folder, URL: fileURL(dir)}
	if err := os.WriteFile(filepath.Join(dir, "text.zip"), []byte("hello"), 0o666); err != nil {
		t.Fatal(err)
	}
	text := Offer{Place: Place{Name: "text", URL: fileURL(dir), Kind: Modules}, URL: fileURL(dir) + "/text.zip"}
	if _, err := l.fetch(notFile, text); !errors.Is(err, goproxy.ErrUnavailable) {
		t.Errorf("got error %v", err)
	}
	wantEqual(t, "faults", l.faults(), []string{"folder file", "text not-archive"})
}
