package toolchain

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/transport"
)

// verZip packs files, by names in the module, every third of them unpacked.
func verZip(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for i, name := range slices.Sorted(maps.Keys(files)) {
		h := &zip.FileHeader{Name: verTarget.Module().String() + "/" + name, Method: zip.Deflate}
		if i%3 == 0 {
			h.Method = zip.Store
		}
		f, err := w.CreateHeader(h)
		verMust(t, err)
		_, err = io.WriteString(f, files[name])
		verMust(t, err)
	}
	verMust(t, w.SetComment("a comment"), w.Close())
	return buf.Bytes()
}

// verEntries unpacks the named entries.
func verEntries(ctx context.Context, d *zipDir, names []string) (map[string]string, error) {
	var mu sync.Mutex
	got := map[string]string{}
	err := d.each(ctx, names, 3, func(name string, r io.Reader) error {
		data, err := io.ReadAll(r)
		mu.Lock()
		defer mu.Unlock()
		got[name] = string(data)
		return err
	})
	return got, err
}

func TestZipDir(t *testing.T) {
	files := verFiles()
	d, err := readZipDir(t.Context(), memZip(verZip(t, files)), verTarget.Module())
	if err != nil {
		t.Fatal(err)
	}
	for _, names := range [][]string{d.names(), {"bin/go"}, {"src/fmt/print.go", "src/empty", "LICENSE"}, nil} {
		want := map[string]string{}
		for _, name := range names {
			want[name] = files[name]
		}
		got, err := verEntries(t.Context(), d, names)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	if _, err := verEntries(t.Context(), d, []string{"none"}); !errors.Is(err, goproxy.ErrMismatch) {
		t.Errorf("an entry that is not there: %v", err)
	}
	left := errors.New("left")
	if err := d.each(t.Context(), d.names(), 3, func(string, io.Reader) error { return left }); !errors.Is(err, left) {
		t.Errorf("error %v, want that of the asker", err)
	}
	if err := d.each(t.Context(), []string{"bin/go"}, 1, func(string, io.Reader) error { return nil }); err == nil {
		t.Error("an entry that nobody read is no error")
	}
}

// A directory that is longer than what is read of the end at first.
func TestZipDirLong(t *testing.T) {
	files := map[string]string{}
	for n := range 800 {
		files[fmt.Sprintf("%s/%d", strings.Repeat("long", 750), n)] = ""
	}
	files["z"] = "last"
	d, err := readZipDir(t.Context(), memZip(verZip(t, files)), verTarget.Module())
	if err != nil || len(d.entries) != len(files) {
		t.Fatalf("%d entries, %v", len(d.entries), err)
	}
	if got, err := verEntries(t.Context(), d, []string{"z"}); err != nil || got["z"] != "last" {
		t.Errorf("%q, %v", got, err)
	}
}

// Every single byte of a zip may be wrong: what is unpacked is right all the same, or an error.
func TestZipDirDamaged(t *testing.T) {
	files := map[string]string{"a": strings.Repeat("abc", 100), "b/c": "x", "d": "", "e": strings.Repeat("random", 9)}
	good := verZip(t, files)
	same, refused := 0, 0
	for at := range good {
		for _, bit := range []byte{1, 0x80} {
			data := bytes.Clone(good)
			data[at] ^= bit
			d, err := readZipDir(t.Context(), memZip(data), verTarget.Module())
			var got map[string]string
			if err == nil {
				got, err = verEntries(t.Context(), d, d.names())
			}
			if err != nil {
				if refused++; !errors.Is(err, goproxy.ErrMismatch) {
					t.Fatalf("byte %d: %v, want one that matches %v", at, err, goproxy.ErrMismatch)
				}
				continue
			}
			same++
			for name, text := range got {
				if want, ok := files[name]; ok && want != text {
					t.Fatalf("byte %d: %s became %q", at, name, text)
				}
			}
		}
	}
	if same == 0 || refused == 0 {
		t.Errorf("%d harmless, %d refused", same, refused)
	}
	for n := range good {
		if _, err := readZipDir(t.Context(), memZip(good[:n]), verTarget.Module()); !errors.Is(err, goproxy.ErrMismatch) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

// What readZipDir takes, archive/zip takes as well, and both see the same files.
func FuzzZipDir(f *testing.F) {
	f.Add(verZip(f, map[string]string{"a": "b", "c/d": strings.Repeat("e", 99)}))
	f.Add(verZip(f, nil))
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := readZipDir(t.Context(), memZip(data), verTarget.Module())
		if err != nil {
			if !errors.Is(err, goproxy.ErrMismatch) {
				t.Fatal(err)
			}
			return
		}
		z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatalf("archive/zip: %v", err)
		}
		n := 0
		for _, e := range z.File {
			name := strings.TrimPrefix(e.Name, verTarget.Module().String()+"/")
			if name == "" || strings.HasSuffix(name, "/") {
				continue
			}
			n++
			got, ok := d.entries[name]
			if !ok || got.crc != e.CRC32 || uint64(got.bytes) != e.UncompressedSize64 || uint64(got.packed) != e.CompressedSize64 {
				t.Fatalf("%q: %+v, archive/zip has %+v", name, got, e.FileHeader)
			}
			if got.at < 0 || got.end > int64(len(data)) || got.at+zipHeader+got.packed > got.end {
				t.Fatalf("%q lies outside: %+v", name, got)
			}
		}
		if n != len(d.entries) {
			t.Fatalf("%d entries, archive/zip has %d", len(d.entries), n)
		}
	})
}

// verRanges serves data, and lets wrong see to each answer.
func verRanges(t *testing.T, data []byte, wrong func(n int64, w http.ResponseWriter, r *http.Request) bool) (*zipRemote, error) {
	t.Helper()
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"one"`)
		if wrong == nil || !wrong(n.Add(1), w, r) {
			http.ServeContent(w, r, "x.zip", time.Time{}, bytes.NewReader(data))
		}
	}))
	t.Cleanup(s.Close)
	client, err := transport.New(transport.Config{Retries: -1, Proxy: http.ProxyURL(nil)})
	verMust(t, err)
	t.Cleanup(client.CloseIdleConnections)
	z, err := openZipRemote(t.Context(), client, Offer{URL: s.URL + "/x.zip", Place: Place{UserAgent: "agent/1"}})
	if err == nil {
		z.wait = time.Millisecond
	}
	return z, err
}

// A part that breaks off goes on where it was; one that is not of the same file never comes.
func TestZipRemote(t *testing.T) {
	files := verFiles()
	data := verZip(t, files)
	part := func(w http.ResponseWriter, from, to, total int) {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, total))
		w.WriteHeader(http.StatusPartialContent)
		w.Write(data[from : to+1])
	}
	after := func(do func(http.ResponseWriter, *http.Request)) func(int64, http.ResponseWriter, *http.Request) bool {
		return func(n int64, w http.ResponseWriter, r *http.Request) bool {
			if n > 1 {
				do(w, r)
			}
			return n > 1
		}
	}
	for name, test := range map[string]struct {
		wrong func(int64, http.ResponseWriter, *http.Request) bool
		want  Fault // empty for success
	}{
		"good": {nil, ""},
		"agent": {func(_ int64, w http.ResponseWriter, r *http.Request) bool {
			if r.UserAgent() != "agent/1" {
				http.Error(w, "who?", http.StatusForbidden)
			}
			return r.UserAgent() != "agent/1"
		}, ""},
		"cut now and then": {func(n int64, w http.ResponseWriter, r *http.Request) bool {
			if n%2 == 0 {
				w = &verCut{ResponseWriter: w, left: 100 << 10}
				http.ServeContent(w, r, "x.zip", time.Time{}, bytes.NewReader(data))
			}
			return n%2 == 0
		}, ""},
		"another file": {after(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Etag", `"two"`)
			http.ServeContent(w, r, "x.zip", time.Time{}, bytes.NewReader(data))
		}), FaultDiffers},
		"another length": {after(func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "x.zip", time.Time{}, bytes.NewReader(data[:len(data)-1]))
		}), FaultDiffers},
		"another part": {after(func(w http.ResponseWriter, _ *http.Request) { part(w, 0, len(data)-1, len(data)) }), FaultRange},
		"a shorter one": {after(func(w http.ResponseWriter, _ *http.Request) {
			part(w, max(0, len(data)-zipTail), len(data)-2, len(data))
		}), FaultRange},
		"always cut": {after(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), FaultLink},
		"no parts":   {func(_ int64, w http.ResponseWriter, _ *http.Request) bool { w.Write(data); return true }, FaultNoRange},
		"page": {func(_ int64, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, "<html>")
			return true
		}, FaultWebPage},
		"no zip": {func(_ int64, w http.ResponseWriter, r *http.Request) bool {
			http.ServeContent(w, r, "x.zip", time.Time{}, strings.NewReader(strings.Repeat("rubbish", 999)))
			return true
		}, FaultNotArchive},
		"gone": {after(func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }), FaultAbsent},
	} {
		t.Run(name, func(t *testing.T) {
			src, err := verRanges(t, data, test.wrong)
			var got map[string]string
			if err == nil {
				var d *zipDir
				if d, err = readZipDir(t.Context(), src, verTarget.Module()); err == nil {
					got, err = verEntries(t.Context(), d, d.names())
				}
			}
			var fault *PlaceError
			switch {
			case test.want == "" && err != nil, test.want != "" && (!errors.As(err, &fault) || fault.Fault != test.want):
				t.Fatalf("%v, want the fault %q", err, test.want)
			case test.want == "":
				if diff := cmp.Diff(files, got); diff != "" {
					t.Errorf("content (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// A verCut breaks the connection after some bytes.
type verCut struct {
	http.ResponseWriter
	left int
}

func (c *verCut) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(len(p), c.left)])
	if c.left -= n; c.left == 0 {
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// memZip is a zip in memory.
func memZip(data []byte) zipOnDisk { return zipOnDisk{bytes.NewReader(data), int64(len(data))} }
