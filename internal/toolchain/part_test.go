package toolchain

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestFetchTorn: of what a crash left only what its hash vouches for is gone on with.
func TestFetchTorn(t *testing.T) {
	data := fetchData(1, 1<<20)
	for name, tt := range map[string]struct {
		tear   func(t *testing.T, part string)
		resume bool
	}{
		"more bytes than are known": {func(t *testing.T, part string) { appendTo(t, part, bytes.Repeat([]byte{0}, 50<<10)) }, true},
		"fewer bytes":               {func(t *testing.T, part string) { truncateTo(t, part, 200<<10) }, false},
		"zeros":                     {func(t *testing.T, part string) { truncateTo(t, part, 200<<10); truncateTo(t, part, 400<<10) }, false},
		"no record":                 {func(t *testing.T, part string) { removeFile(t, part+".json") }, false},
		"half a record":             {func(t *testing.T, part string) { truncateTo(t, part+".json", 30) }, false},
		"no bytes":                  {func(t *testing.T, part string) { removeFile(t, part) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newFetchLab(t)
			h := &fetchHost{data: data}
			o := l.place("it", h)
			l.leave(o, 300<<10)
			tt.tear(t, filepath.Join(l.Dir, fetchFile+".part"))
			before := len(h.requests())
			d := l.want(data, o)
			if ask := h.requests()[before]; strings.HasPrefix(ask, "bytes=") != tt.resume || (d.Resumed > 0) != tt.resume {
				t.Errorf("asked for %q, resumed at %d", ask, d.Resumed)
			}
		})
	}
}

// TestPartMarks: what was noted without waiting for the disk is enough after a kill; where a
// power cut took of those bytes, what was made to last before is.
func TestPartMarks(t *testing.T) {
	place, path := Place{Name: "it", URL: "https://it.test", Kind: Modules}, filepath.Join(t.TempDir(), "f.part")
	clock := time.Unix(1e9, 0)
	open := func() *part {
		p, err := openPart(path, "f", func() time.Time { return clock })
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	add := func(p *part, after time.Duration) {
		clock = clock.Add(after)
		if err := p.append(fetchData(1, 1000), place, ""); err != nil {
			t.Fatal(err)
		}
	}
	p := open()
	add(p, partEvery) // lasts
	add(p, noteEvery) // is noted
	add(p, 0)         // is neither
	p.file.Close()    // killed
	if p = open(); p.have != 2000 || p.lasts.Have != 1000 {
		t.Fatalf("after a kill %d bytes are trusted, want 2000; %d lasted", p.have, p.lasts.Have)
	}
	p.file.Close()
	truncateTo(t, path, 1500)
	truncateTo(t, path, 2000)
	if p = open(); p.have != 1000 {
		t.Errorf("after a power cut %d bytes are trusted, want 1000", p.have)
	}
	p.file.Close()
}

func appendTo(t *testing.T, name string, data []byte) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
}

func truncateTo(t *testing.T, name string, n int64) {
	t.Helper()
	if err := os.Truncate(name, n); err != nil {
		t.Fatal(err)
	}
}

func removeFile(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

func FuzzParseSpan(f *testing.F) {
	for _, s := range []string{"bytes 0-0/1", "bytes 5-9/*", "BYTES 1-2/3", "bytes */10", "bytes 9-5/10", "bytes 0-1/2", "Bytes 1-9/*", "bytes 0-10/10", "bytes 0-999999999999999999/*", "items 0-1/2", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseSpan(s)
		if !ok {
			return
		}
		if got.from < 0 || got.to <= got.from || got.total >= 0 && got.to > got.total {
			t.Fatalf("%q is taken for %+v", s, got)
		}
		total := "*"
		if got.total >= 0 {
			total = strconv.FormatInt(got.total, 10)
		}
		again, ok := parseSpan(fmt.Sprintf("bytes %d-%d/%s", got.from, got.to-1, total))
		if !ok || again != got {
			t.Fatalf("%q: %+v is read as %+v once written", s, got, again)
		}
	})
}
