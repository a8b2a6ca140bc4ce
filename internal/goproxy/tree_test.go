package goproxy_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/goproxy/sourcetest"
)

// osTree writes the files to a folder.
func osTree(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mapTree(files map[string][]byte) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, content := range files {
		fsys[name] = &fstest.MapFile{Data: content, Mode: 0o444, ModTime: time.Unix(1700000000, 0)}
	}
	return fsys
}

// zipTree packs the files, the first half of them deflated.
func zipTree(t testing.TB, files map[string][]byte) fs.FS {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for i, name := range sortedKeys(files) {
		method := zip.Store
		if i < len(files)/2 {
			method = zip.Deflate
		}
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err == nil {
			_, err = f.Write(files[name])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestSources runs the conformance suite against every Source of this package.
func TestSources(t *testing.T) {
	want := sourcetest.Sample()
	mem := goproxy.Tree(mapTree(want.Files), "memory")
	sources := map[string]goproxy.Source{
		"map":     mem,
		"folder":  goproxy.Tree(os.DirFS(osTree(t, want.Files)), "folder"),
		"archive": goproxy.Tree(zipTree(t, want.Files), "archive"),
		"strict":  goproxy.Strict(mem),
		"limit":   goproxy.Limit(mem, 3),
		"match":   goproxy.Match("example.com/old", mem, mem),
		"client":  upstream(t, (&goproxy.Handler{Source: mem}).ServeHTTP),
		"client of a file server": upstream(t, func(w http.ResponseWriter, r *http.Request) {
			http.FileServerFS(mapTree(want.Files)).ServeHTTP(w, r)
		}),
		"chain": goproxy.Chain(
			goproxy.Link{Source: goproxy.Fail("empty", goproxy.ErrNotExist, "", ""), Sep: goproxy.OnAbsent},
			goproxy.Link{Source: mem}),
		"mirrors": goproxy.Chain(
			goproxy.Link{Source: goproxy.Tree(fsFunc(func(string) (fs.File, error) { return nil, fs.ErrPermission }), "down"), Sep: goproxy.OnMirror},
			goproxy.Link{Source: goproxy.Tree(fstest.MapFS{}, "empty"), Sep: goproxy.OnMirror},
			goproxy.Link{Source: mem}),
	}
	for name, src := range sources {
		t.Run(name, func(t *testing.T) {
			w := want
			if name == "mirrors" {
				w.Absent = nil // with one mirror down, nobody knows
			}
			sourcetest.Run(t, src, w)
		})
	}
}

func TestTreeErrors(t *testing.T) {
	req := mustParse(t, "example.com/m/@v/v1.0.0.zip")
	broken := errors.New("input/output error")
	for name, tt := range map[string]struct {
		fsys fs.FS
		want error
	}{
		"missing":       {fstest.MapFS{}, goproxy.ErrNotExist},
		"a folder":      {fstest.MapFS{"example.com/m/@v/v1.0.0.zip/x": {}}, goproxy.ErrUnavailable},
		"a broken disk": {fsFunc(func(string) (fs.File, error) { return nil, broken }), broken},
		"forbidden":     {fsFunc(func(string) (fs.File, error) { return nil, fs.ErrPermission }), goproxy.ErrUnavailable},
	} {
		f, err := goproxy.Tree(tt.fsys, "the tree").Open(t.Context(), req)
		if f != nil || !errors.Is(err, tt.want) || goproxy.Absent(err) != (tt.want == goproxy.ErrNotExist) || !strings.Contains(err.Error(), "the tree") {
			t.Errorf("%s: %v, %v", name, f, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := goproxy.Tree(fstest.MapFS{}, "").Open(ctx, req); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

type fsFunc func(string) (fs.File, error)

func (f fsFunc) Open(name string) (fs.File, error) { return f(name) }

// TestTreeShort: an entry that has fewer bytes than it says is an error.
func TestTreeShort(t *testing.T) {
	for name, tt := range map[string]struct {
		data string
		size int64
	}{
		"short": {"0123456789", 11}, "empty": {"", 1}, "long": {"0123456789", 9},
	} {
		f := goproxy.NewStreamFile(goproxy.FileInfo{Bytes: tt.size}, io.NopCloser(strings.NewReader(tt.data)), func(offset int64) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(tt.data[offset:])), nil
		})
		if got, err := io.ReadAll(f); !errors.Is(err, goproxy.ErrUnavailable) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// TestTreeKeepsOSFile: a file on disk is handed out as it is, so that the kernel can send it.
func TestTreeKeepsOSFile(t *testing.T) {
	want := sourcetest.Sample()
	f, err := goproxy.Tree(os.DirFS(osTree(t, want.Files)), "").Open(t.Context(), mustParse(t, "example.com/old/@v/v0.1.0.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, ok := f.(*os.File); !ok {
		t.Errorf("got a %T", f)
	}
}

type sink map[string]string

func (s sink) Put(_ context.Context, req goproxy.Request, r io.Reader) error {
	data, err := io.ReadAll(r)
	if err == nil {
		s[req.String()] = string(data)
	}
	return err
}

func TestCopy(t *testing.T) {
	src := &tree{files: map[string]string{"example.com/m/@v/v1.0.0.mod": "module example.com/m\n"}}
	dst := sink{}
	if err := goproxy.Copy(t.Context(), dst, src, mustParse(t, "example.com/m/@v/v1.0.0.mod")); err != nil || dst["example.com/m@v1.0.0.mod"] != "module example.com/m\n" {
		t.Errorf("got %v, %v", dst, err)
	}
	if err := goproxy.Copy(t.Context(), dst, src, mustParse(t, "example.com/m/@v/v1.0.1.mod")); !errors.Is(err, goproxy.ErrNotExist) || len(dst) != 1 {
		t.Errorf("got %v, %v", dst, err)
	}
}
