package sumdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/note"
	modzip "golang.org/x/mod/zip"

	"github.com/goferry/goferry/internal/goproxy"
)

const dbName = "sum.example.test"

// A testDB is a real checksum database with its own key, on loopback.
type testDB struct {
	*httptest.Server
	signer string
	db     DB
	log    *sumdb.TestServer

	mu     sync.Mutex
	sums   map[module.Version]string // text of the record
	counts map[string]int            // requests by path
	tamper func(path string, body []byte) []byte
	serve  http.HandlerFunc // if not nil, answers instead
}

// newTestDB makes a database; with a signer it is another one with the same key.
func newTestDB(t *testing.T, signer string, db DB) *testDB {
	t.Helper()
	if signer == "" {
		skey, vkey, err := note.GenerateKey(nil, dbName)
		if err != nil {
			t.Fatal(err)
		}
		signer = skey
		if db, err = ParseDB(vkey); err != nil {
			t.Fatal(err)
		}
	}
	d := &testDB{signer: signer, db: db, sums: map[module.Version]string{}, counts: map[string]int{}}
	d.log = sumdb.NewTestServer(signer, d.gosum)
	d.Server = httptest.NewServer(http.HandlerFunc(d.handle))
	t.Cleanup(d.Close)
	return d
}

func (d *testDB) gosum(path, version string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	text, ok := d.sums[module.Version{Path: path, Version: version}]
	if !ok {
		return nil, &fs.PathError{Op: "lookup", Path: path + "@" + version, Err: fs.ErrNotExist}
	}
	return []byte(text), nil
}

func (d *testDB) handle(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	d.counts[r.URL.Path]++
	tamper, serve := d.tamper, d.serve
	d.mu.Unlock()
	if serve != nil {
		serve(w, r)
		return
	}
	rec := d.answer(r)
	body := rec.Body.Bytes()
	if tamper != nil && rec.Code == http.StatusOK {
		body = tamper(r.URL.Path, bytes.Clone(body))
	}
	maps.Copy(w.Header(), rec.Header())
	w.WriteHeader(rec.Code)
	w.Write(body)
}

// answer is what the database says. x/mod's test server panics over tiles that it does not have.
func (d *testDB) answer(r *http.Request) (rec *httptest.ResponseRecorder) {
	rec = httptest.NewRecorder()
	defer func() {
		if recover() != nil {
			rec = httptest.NewRecorder()
			http.NotFound(rec, r)
		}
	}()
	sumdb.NewServer(d.log).ServeHTTP(rec, r)
	return rec
}

func (d *testDB) set(tamper func(string, []byte) []byte, serve http.HandlerFunc) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tamper, d.serve = tamper, serve
}

func (d *testDB) requests() map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.counts)
}

func (d *testDB) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts = map[string]int{}
}

// fill adds n records, so that the tree has full tiles.
func (d *testDB) fill(t *testing.T, tag string, n int) {
	t.Helper()
	for i := range n {
		m := module.Version{Path: fmt.Sprintf("example.com/fill/%s%d", tag, i), Version: "v1.0.0"}
		d.mu.Lock()
		d.sums[m] = fmt.Sprintf("%s %s h1:fill\n%s %s/go.mod h1:fill\n", m.Path, m.Version, m.Path, m.Version)
		d.mu.Unlock()
		if _, err := d.log.Lookup(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
}

// A file is one file to verify.
type file struct {
	req  goproxy.Request
	data []byte
}

func (f file) verify(ctx context.Context, c *Client) error {
	return c.Verify(ctx, f.req, bytes.NewReader(f.data), int64(len(f.data)))
}

// add records a module of one source file and returns its go.mod and zip.
func (d *testDB) add(t *testing.T, path, version string) (mod, zip file) {
	t.Helper()
	gomod := []byte("module " + path + "\n")
	if path == toolchainPath {
		gomod = []byte(toolchainMod)
	}
	data := makeZip(t, module.Version{Path: path, Version: version}, map[string]string{
		"go.mod": string(gomod), "a/a.go": "package a\n// " + version + "\n", "LICENSE": "free\n",
	})
	name := filepath.Join(t.TempDir(), "m.zip")
	if err := os.WriteFile(name, data, 0o666); err != nil {
		t.Fatal(err)
	}
	h, err := dirhash.HashZip(name, dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sums[module.Version{Path: path, Version: version}] = fmt.Sprintf("%s %s %s\n%s %s/go.mod %s\n", path, version, h, path, version, hashMod(gomod))
	mod = file{goproxy.Request{Path: path, Version: version, Kind: goproxy.Mod}, gomod}
	zip = file{goproxy.Request{Path: path, Version: version, Kind: goproxy.Zip}, data}
	return mod, zip
}

type zipSource struct{ name, data string }

func (f zipSource) Path() string                 { return f.name }
func (f zipSource) Open() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(f.data)), nil }
func (f zipSource) Lstat() (fs.FileInfo, error)  { return zipInfo{f}, nil }

type zipInfo struct{ zipSource }

func (f zipInfo) Name() string       { return filepath.Base(f.name) }
func (f zipInfo) Size() int64        { return int64(len(f.data)) }
func (f zipInfo) Mode() fs.FileMode  { return 0o644 }
func (f zipInfo) IsDir() bool        { return false }
func (f zipInfo) Sys() any           { return nil }
func (f zipInfo) ModTime() time.Time { return time.Time{} }

func makeZip(t *testing.T, m module.Version, files map[string]string) []byte {
	t.Helper()
	var list []modzip.File
	for name, data := range files {
		list = append(list, zipSource{name, data})
	}
	var buf bytes.Buffer
	if err := modzip.Create(&buf, m, list); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// A dirStore keeps files in a folder. Locks hold within this process.
type dirStore struct {
	dir string

	mu    sync.Mutex
	locks map[string]chan struct{}
	full  bool // Put fails
	puts  int
}

func newStore(t *testing.T) *dirStore {
	return &dirStore{dir: t.TempDir(), locks: map[string]chan struct{}{}}
}

func (s *dirStore) path(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }

func (s *dirStore) Get(name string) ([]byte, error) { return os.ReadFile(s.path(name)) }

func (s *dirStore) Put(_ context.Context, name string, data []byte) error {
	s.mu.Lock()
	full := s.full
	s.puts++
	s.mu.Unlock()
	if full {
		return errors.New("no space left")
	}
	p := s.path(name)
	if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(p), ".put")
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), p)
}

func (s *dirStore) Lock(ctx context.Context, name string) (func(), error) {
	s.mu.Lock()
	ch := s.locks[name]
	if ch == nil {
		ch = make(chan struct{}, 1)
		s.locks[name] = ch
	}
	s.mu.Unlock()
	select {
	case ch <- struct{}{}:
		return func() { <-ch }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// files lists the names below sumdb/NAME/, with what is in them.
func (s *dirStore) files(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	root := filepath.Join(s.dir, "sumdb", dbName)
	err := filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		rel, _ := filepath.Rel(root, p)
		out[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return out
}

func (d *testDB) remote() Remote { return HTTPRemote{HTTP: d.Client(), Base: d.URL} }

// client is a new Client over store; without remotes it is offline.
func (d *testDB) client(t *testing.T, store Store, remotes ...Remote) *Client {
	t.Helper()
	return newClient(t, Config{DB: d.db, Store: store, Remotes: remotes})
}

func newClient(t *testing.T, cfg Config) *Client {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// wantErr demands that err matches want, and that a *goproxy.Error in it has the hint code.
func wantErr(t *testing.T, err, want error, code string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v; want one that matches %v", err, want)
	}
	var ge *goproxy.Error
	if code != "" && (!errors.As(err, &ge) || ge.HintCode != code || ge.Hint == "") {
		t.Fatalf("error is %#v; want hint %s", err, code)
	}
}

func moduleOf(req goproxy.Request) module.Version {
	return module.Version{Path: req.Path, Version: req.Version}
}

func newRecorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }
