package store_test

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/store"
	"github.com/goferry/goferry/internal/store/storetest"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(roleVar); name != "" {
		if err := role(name)(os.Getenv(dirVar)); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// conforming gives *store.Store the shape that the suite asks for.
type conforming struct{ *store.Store }

func (c conforming) Open(name string) (storetest.File, error) {
	f, err := c.Store.Open(name)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (c conforming) Create() (storetest.Spool, error) {
	sp, err := c.Store.Create()
	if err != nil {
		return nil, err
	}
	return sp, nil
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T, o store.Options) storetest.Store {
		return conforming{open(t, t.TempDir(), o)}
	})
}

// TestConformanceWithoutOpenat2 is for old kernels and strict containers.
func TestConformanceWithoutOpenat2(t *testing.T) {
	storetest.Run(t, func(t *testing.T, o store.Options) storetest.Store {
		st := open(t, t.TempDir(), o)
		st.DisableOpenat2()
		return conforming{st}
	})
}

// open opens a store that is closed when t ends.
func open(t testing.TB, dir string, o store.Options) *store.Store {
	t.Helper()
	st, err := store.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return st
}

func put(t testing.TB, st *store.Store, name, body string) {
	t.Helper()
	if err := st.Put(t.Context(), name, strings.NewReader(body), time.Time{}); err != nil {
		t.Fatal(err)
	}
}

func names(t testing.TB, st *store.Store) []string {
	t.Helper()
	var got []string
	if err := st.Walk(t.Context(), "", func(b store.Blob) error {
		got = append(got, b.Name)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	return got
}

// spools lists what is in the spool of the store in dir.
func spools(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, ".goferry", "spool"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	return got
}

// content is what the blob called name must hold: up to 96 KiB that follow from
// the name.
func content(name string) []byte {
	h := fnv.New64a()
	h.Write([]byte(name))
	r := rand.New(rand.NewPCG(h.Sum64(), 1))
	b := make([]byte, 8+r.IntN(96<<10))
	for i := 0; i+8 <= len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	return b
}

func TestOpenErrorsNameTheFolder(t *testing.T) {
	tmp := t.TempDir()
	file := filepath.Join(tmp, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(tmp, "own")
	if err := os.Mkdir(own, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(own, ".goferry"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below"), own} {
		st, err := store.Open(dir, store.Options{})
		if err == nil {
			st.Close()
			t.Errorf("%s: opened", dir)
		} else if !strings.Contains(err.Error(), dir) {
			t.Errorf("error does not name %s: %v", dir, err)
		}
	}
	if _, err := store.Open("", store.Options{}); err == nil {
		t.Error("a store without a folder was opened")
	}
}

func TestReopen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "on", "demand")
	st := open(t, dir, store.Options{})
	put(t, st, "a/b", "12345")
	sp, err := st.Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sp.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	f, err := st.Open("a/b")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 2 {
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := spools(t, dir); len(got) != 0 {
		t.Errorf("Close left %v", got)
	}
	buf := make([]byte, 3)
	if n, err := sp.ReadAt(buf, 0); n != 3 || err != nil {
		t.Errorf("a spool after Close of the store: %d, %v", n, err)
	}
	if err := sp.Commit("x", time.Time{}); err == nil {
		t.Error("commit after Close of the store")
	}
	if err := sp.Close(); err != nil {
		t.Errorf("Close of the spool: %v", err)
	}
	if n, err := f.ReadAt(buf, 2); n != 3 || err != nil || string(buf) != "345" {
		t.Errorf("a file after Close of the store: %q, %v", buf[:n], err)
	}
	if _, err := st.Open("a/b"); err == nil {
		t.Error("Open after Close")
	}
	if _, err := st.Create(); err == nil {
		t.Error("Create after Close")
	}
	if err := st.Check(); err == nil {
		t.Error("Check after Close finds nothing")
	}

	again := open(t, dir, store.Options{})
	if u := again.Usage(); u.Bytes != 5 || u.Files != 1 {
		t.Errorf("Usage = %+v after reopening", u)
	}
	if d := cmp.Diff([]string{"a/b"}, names(t, again)); d != "" {
		t.Error(d)
	}
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	live := open(t, dir, store.Options{})
	sp, err := live.Create()
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	if _, err := sp.Write([]byte("in flight")); err != nil {
		t.Fatal(err)
	}
	// What killed processes leave: with and without a folder, and what a killed sweeper leaves.
	spool := filepath.Join(dir, ".goferry", "spool")
	for _, id := range []string{"dead", "swept"} {
		if err := os.MkdirAll(filepath.Join(spool, id, "deep"), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(spool, id, "1"), []byte("half"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"dead", "young"} {
		if err := os.WriteFile(filepath.Join(spool, id+".lock"), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(spools(t, dir)); got != 6 {
		t.Fatalf("%d entries before", got)
	}
	open(t, dir, store.Options{})
	got := spools(t, dir)
	if len(got) != 4 || slices.ContainsFunc(got, func(s string) bool {
		return strings.Contains(s, "dead") || strings.Contains(s, "swept") || strings.Contains(s, "young")
	}) {
		t.Errorf("after the sweep: %v, want those of the two that live", got)
	}
	if err := sp.Commit("a", time.Time{}); err != nil {
		t.Errorf("the sweep took what is in flight: %v", err)
	}
}

// TestSpoolRemoved: somebody clears the folder while a process uses it.
func TestSpoolRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	st := open(t, dir, store.Options{})
	if err := os.RemoveAll(filepath.Join(dir, ".goferry")); err != nil {
		t.Fatal(err)
	}
	put(t, st, "a/b", "x") // as if nothing had been
	if got := spools(t, dir); len(got) != 2 {
		t.Errorf("spool holds %v", got)
	}
	other := open(t, dir, store.Options{})
	put(t, st, "a/c", "x")
	put(t, other, "a/d", "x")

	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	err := st.Check()
	if err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("Check without a folder: %v", err)
	}
	if _, err := st.Open("a/b"); err == nil {
		t.Error("a blob without a folder")
	}
}

func TestSymlinks(t *testing.T) {
	tmp := t.TempDir()
	dir := filepath.Join(tmp, "store")
	st := open(t, dir, store.Options{MaxBytes: 1})
	put(t, st, "in/blob", "inside")
	secret := filepath.Join(tmp, "secret")
	if err := os.WriteFile(secret, []byte("outside"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{
		"abs": secret, "rel": "../secret", "up": "..", "here": "in", "in/two": "blob", "nowhere": "none",
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	slow := open(t, dir, store.Options{})
	slow.DisableOpenat2()
	for _, name := range []string{"abs", "rel", "up/secret", "up"} {
		for _, st := range []*store.Store{st, slow} {
			if f, err := st.Open(name); err == nil {
				t.Errorf("%s: opened", name)
				f.Close()
			}
		}
		if _, err := st.Stat(name); err == nil {
			t.Errorf("%s: found", name)
		}
	}
	for _, name := range []string{"abs/x", "rel", "up/x", "up/secret"} {
		err := st.Put(t.Context(), name, strings.NewReader("x"), time.Time{})
		if name == "rel" {
			if err != nil {
				t.Errorf("a link can be replaced: %v", err)
			}
		} else if err == nil {
			t.Errorf("%s: written", name)
		}
	}
	if err := st.Remove("up/secret"); err == nil {
		t.Error("up/secret: removed")
	}
	for _, name := range []string{"here/blob", "in/two"} {
		if f, err := st.Open(name); err != nil {
			t.Errorf("a link within the folder: %v", err)
		} else {
			f.Close()
		}
	}
	if d := cmp.Diff([]string{"in/blob", "rel"}, names(t, st)); d != "" {
		t.Errorf("Walk follows links (-want +got):\n%s", d)
	}
	if _, err := st.GC(t.Context()); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(secret); err != nil || string(got) != "outside" {
		t.Errorf("the file outside holds %q, %v", got, err)
	}
	if entries, err := os.ReadDir(tmp); err != nil || len(entries) != 2 {
		t.Errorf("beside the store: %v, %v", entries, err)
	}
}

func TestWalkSkipsWhatIsNoBlob(t *testing.T) {
	dir := t.TempDir()
	st := open(t, dir, store.Options{})
	put(t, st, "a/b", "x")
	for _, name := range []string{".hidden", ".git/config", "a/c.", "a/b:c"} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff([]string{"a/b"}, names(t, st)); d != "" {
		t.Error(d)
	}
	if _, err := st.GC(t.Context()); err != nil {
		t.Error(err)
	}
	for _, name := range []string{".hidden", ".git/config"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("GC took what is not the store's: %v", err)
		}
	}
}

// TestFileTree: the folder is a tree for GOPROXY=file://.
func TestFileTree(t *testing.T) {
	dir := t.TempDir()
	st := open(t, dir, store.Options{})
	put(t, st, "example.com/!m/@v/v1.0.0.mod", "module example.com/M\n")
	got, err := fs.ReadFile(os.DirFS(dir), "example.com/!m/@v/v1.0.0.mod")
	if err != nil || string(got) != "module example.com/M\n" {
		t.Errorf("read %q, %v", got, err)
	}
	if st.Dir() != dir {
		t.Errorf("Dir = %s, want %s", st.Dir(), dir)
	}
}

func TestUsageDamaged(t *testing.T) {
	for _, body := range []string{"", "{", `{"bytes":-1}`, "\x00\x00\x00"} {
		dir := t.TempDir()
		st := open(t, dir, store.Options{})
		put(t, st, "a", "x")
		if _, err := st.GC(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, ".goferry", "usage.json"), []byte(body), 0o666); err != nil {
			t.Fatal(err)
		}
		other := open(t, dir, store.Options{})
		if u := other.Usage(); u != (store.Usage{}) {
			t.Errorf("%q: Usage = %+v", body, u)
		}
		if _, err := other.GC(t.Context()); err != nil {
			t.Fatal(err)
		}
		if u := other.Usage(); u.Bytes != 1 || u.Files != 1 || !u.Exact {
			t.Errorf("%q: Usage = %+v after GC", body, u)
		}
	}
}
