package toolchain

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/sumdb"
)

// instSums is a checksum database: what it has no hash of, it has no record of.
type instSums struct {
	h1  map[Target]string
	err error
}

func (s instSums) Lookup(_ context.Context, modPath, version string) (sumdb.Sums, error) {
	if s.err != nil {
		return sumdb.Sums{}, s.err
	}
	t, err := ParseModuleVersion(version)
	if h1 := s.h1[t]; err == nil && modPath == ModulePath && h1 != "" {
		return sumdb.Sums{Zip: h1}, nil
	}
	return sumdb.Sums{}, fmt.Errorf("%s: %w", version, goproxy.ErrNotExist)
}

func (s instSums) Status() sumdb.Status { return sumdb.Status{Name: "sum.example.test"} }

// instPlace serves files by the last element of their path and counts requests.
type instPlace struct {
	*httptest.Server
	kind  Kind
	files map[string][]byte
	cut   int // bytes after which each answer ends; 0 for none
	asked atomic.Int64
}

func newInstPlace(tb testing.TB, kind Kind, files map[string][]byte) *instPlace {
	tb.Helper()
	p := &instPlace{kind: kind, files: files}
	p.Server = httptest.NewServer(p)
	tb.Cleanup(p.Close)
	return p
}

func (p *instPlace) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.asked.Add(1)
	data, ok := p.files[path.Base(r.URL.Path)]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if p.cut > 0 {
		w = &instCutter{ResponseWriter: w, left: p.cut}
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

type instCutter struct {
	http.ResponseWriter
	left int
}

func (c *instCutter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(len(p), c.left)])
	if c.left -= n; c.left == 0 {
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

func (p *instPlace) place(name string) Place { return Place{Name: name, URL: p.URL, Kind: p.kind} }

// instRelease is a release as all kinds of places have it.
type instRelease struct {
	files               map[string]string
	module, zip, tar    []byte
	h1                  string
	tree                map[string]string
	moduleFile, archive string
}

func newInstRelease(tb testing.TB, t Target, more ...string) instRelease {
	tb.Helper()
	files := instFiles(t)
	for _, name := range more {
		files[name] = name
	}
	r := instRelease{
		files: files, module: instModuleZip(tb, t, files), zip: instArchiveZip(tb, files), tar: instTarGz(tb, files),
		moduleFile: t.Module().Version + ".zip", archive: t.Archive(), tree: maps.Clone(files),
	}
	maps.DeleteFunc(r.tree, func(name, _ string) bool { return !inModule(name) })
	u := newUnpacking(t, tb.TempDir(), 1, nil)
	if err := u.moduleZip(tb.Context(), bytes.NewReader(r.module), int64(len(r.module))); err != nil {
		tb.Fatal(err)
	}
	r.h1 = u.sums.H1(t)
	return r
}

func newInstaller(tb testing.TB, h1 map[Target]string, places ...Place) *Installer {
	tb.Helper()
	return instInstaller(tb.TempDir(), h1, places...)
}

func instInstaller(dir string, h1 map[Target]string, places ...Place) *Installer {
	home := Home{Dir: dir}
	return &Installer{
		Home: home, Places: places, Sums: instSums{h1: h1},
		Fetcher: &Fetcher{HTTP: http.DefaultClient, Dir: home.Parts(), Health: LoadHealth(home.PlacesFile()), RetryWait: time.Millisecond, Retries: 1},
	}
}

// wantInstalled checks that the tree of r stands in the home of i with all that belongs to it, and nothing besides.
func wantInstalled(t *testing.T, i *Installer, target Target, r instRelease) Record {
	t.Helper()
	if diff := gocmp.Diff(r.tree, instTree(t, i.Home.Root(target))); diff != "" {
		t.Error(diff)
	}
	rec, err := i.Home.Record(target)
	if err != nil {
		t.Fatal(err)
	}
	if rec.H1 != r.h1 || rec.Bytes == 0 || rec.FileBytes == 0 || rec.Installed.IsZero() || !ProvedBy(rec.Proofs) {
		t.Errorf("record %+v", rec)
	}
	if sums, err := i.Home.Sums(target, r.h1); err != nil || len(sums) != len(r.tree) {
		t.Errorf("%d sums, %v", len(sums), err)
	}
	wantClean(t, i)
	return rec
}

// wantClean checks that no run left anything.
func wantClean(t *testing.T, i *Installer) {
	t.Helper()
	for name := range instTree(t, i.Home.Dir) {
		if strings.Contains(name, ".tmp-") || strings.HasSuffix(name, ".new") || strings.Contains(name, ".part/") {
			t.Errorf("%s was left", name)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(i.Home.SDKs(), ".tmp-*")); len(left) > 0 {
		t.Errorf("%v were left", left)
	}
}

// wantNothing checks that there is no tree.
func wantNothing(t *testing.T, i *Installer) {
	t.Helper()
	wantClean(t, i)
	if recs, err := i.Home.Installed(); len(recs) > 0 || err != nil {
		t.Errorf("installed: %v, %v", recs, err)
	}
}
