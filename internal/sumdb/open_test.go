package sumdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/tlog"
)

// open is Open of a name below the database.
func open(t *testing.T, c *Client, name string) ([]byte, error) {
	t.Helper()
	data, _, err := c.Open(t.Context(), dbName+"/"+name)
	return data, err
}

// A go command that has only our surface: x/mod's client over Open.
func surface(t *testing.T, c *Client, latest []byte) *sumdb.Client {
	return sumdb.NewClient(&ops{
		readRemote: func(path string) ([]byte, error) { return open(t, c, path[1:]) },
		readConfig: func(file string) ([]byte, error) {
			if file == "key" {
				return []byte(c.db.Key), nil
			}
			return latest, nil
		},
		writeConfig: func(string, []byte, []byte) error { return nil },
		readCache:   func(string) ([]byte, error) { return nil, os.ErrNotExist },
		writeCache:  func(string, []byte) {},
		security:    func(msg string) { t.Error(msg) },
	})
}

func TestOpenTiles(t *testing.T) {
	d := newTestDB(t, "", DB{})
	d.fill(t, "x", 700)
	store := newStore(t)
	c := d.client(t, store, d.remote())
	var names []string
	for _, n := range []int64{5, 256, 300, 700} { // tiles of trees of these sizes
		for _, tile := range tlog.NewTiles(8, 0, n) {
			names = append(names, tile.Path())
			tile.L = -1
			if tile.N<<8+int64(tile.W) <= n {
				names = append(names, tile.Path())
			}
		}
	}
	want := map[string]string{}
	for _, name := range names {
		want[name] = string(get200(t, d, "/"+name))
		got, immutable, err := c.Open(t.Context(), dbName+"/"+name)
		if err != nil || string(got) != want[name] || !immutable {
			t.Fatalf("%s: %d bytes, immutable %v, %v; want %d bytes", name, len(got), immutable, err, len(want[name]))
		}
	}
	// Everything again without a network, also partial tiles that were cut from wider ones.
	d.Close()
	offline := d.client(t, store)
	for _, name := range append(names, "tile/8/0/000.p/77", "tile/8/0/002.p/9") {
		got, err := open(t, offline, name)
		if err != nil || want[name] != "" && string(got) != want[name] || len(got) == 0 {
			t.Errorf("offline %s: %d bytes, %v", name, len(got), err)
		}
	}
	for _, name := range []string{"tile/8/0/003", "tile/8/1/000.p/9", "tile/8/data/003"} {
		if _, err := open(t, offline, name); !errors.Is(err, goproxy.ErrUnavailable) {
			t.Errorf("offline %s: %v; unknown is not absent", name, err)
		}
	}
	for _, name := range []string{"tile/9/0/000", "tile/8/0/1", "tile/8/0/000.p/256", "tile/", "tile/8/64/000", "nothing", ""} {
		if _, err := open(t, offline, name); !goproxy.Absent(err) && !errors.Is(err, goproxy.ErrUnavailable) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestOpenTileHeals(t *testing.T) {
	for _, name := range []string{"tile/8/0/001", "tile/8/data/001"} {
		d := newTestDB(t, "", DB{})
		d.fill(t, "x", 700)
		store := newStore(t)
		c := d.client(t, store, d.remote())
		want, err := open(t, c, name)
		if err != nil {
			t.Fatal(err)
		}
		bad := bytes.Clone(want)
		bad[40] ^= 1
		if err := store.Put(t.Context(), "sumdb/"+dbName+"/"+name, bad); err != nil {
			t.Fatal(err)
		}
		if got, err := open(t, c, name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: the damaged tile was served: %v", name, err)
		}
		d.Close()
		if got, err := open(t, d.client(t, store), name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: the damaged tile is still kept: %v", name, err)
		}
	}
}

func TestOpenForgedTile(t *testing.T) {
	d := newTestDB(t, "", DB{})
	d.fill(t, "x", 700)
	store := newStore(t)
	c := d.client(t, store, d.remote())
	d.set(func(path string, b []byte) []byte {
		if strings.HasPrefix(path, "/tile/8/0/001") || strings.HasPrefix(path, "/tile/8/data/") {
			b[3] ^= 1
		}
		return b
	}, nil)
	for _, name := range []string{"tile/8/0/001", "tile/8/data/000"} {
		_, err := open(t, c, name)
		wantErr(t, err, goproxy.ErrUnavailable, codeForged)
		if _, ok := store.files(t)[name]; ok {
			t.Errorf("%s was kept", name)
		}
	}
	d.set(nil, nil)
	if _, err := open(t, c, "tile/8/0/001"); err != nil {
		t.Error(err)
	}
}

// A tile of a tree that is newer than any head we can get is passed on, unkept.
func TestOpenTileBeyondHead(t *testing.T) {
	d := newTestDB(t, "", DB{})
	d.fill(t, "x", 10)
	old := get200(t, d, "/latest")
	d.fill(t, "y", 10)
	d.set(func(path string, b []byte) []byte {
		if path == "/latest" {
			return old
		}
		return b
	}, nil)
	store := newStore(t)
	c := d.client(t, store, d.remote())
	data, immutable, err := c.Open(t.Context(), dbName+"/tile/8/0/000.p/20")
	if err != nil || len(data) != 20*tlog.HashSize || immutable {
		t.Errorf("%d bytes, immutable %v, %v", len(data), immutable, err)
	}
	if _, ok := store.files(t)["tile/8/0/000.p/20"]; ok {
		t.Error("an unproved tile was kept")
	}
}

func TestOpenLatest(t *testing.T) {
	d := newTestDB(t, "", DB{})
	d.fill(t, "x", 10)
	store := newStore(t)
	synctest.Test(t, func(t *testing.T) {
		down := false
		mem := HTTPRemote{Base: "http://db.example", HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (int, string, error) {
			if down {
				return 503, "", nil
			}
			d.mu.Lock()
			d.counts[r.URL.Path]++
			d.mu.Unlock()
			rec := d.answer(r)
			return rec.Code, rec.Body.String(), nil
		})}}
		c := newClient(t, Config{DB: d.db, Store: store, Remotes: []Remote{mem}})
		size := func() int64 {
			t.Helper()
			data, immutable, err := c.Open(t.Context(), dbName+"/latest")
			if err != nil || immutable {
				t.Fatal(immutable, err)
			}
			h, err := c.openHead(data)
			if err != nil {
				t.Fatal(err)
			}
			return h.N
		}
		if n := size(); n != 10 {
			t.Fatalf("size %d", n)
		}
		d.fill(t, "y", 10)
		time.Sleep(59 * time.Second)
		if n := size(); n != 10 || d.requests()["/latest"] != 1 {
			t.Errorf("size %d after %d requests; a minute is not over", n, d.requests()["/latest"])
		}
		time.Sleep(time.Second)
		if n := size(); n != 20 {
			t.Errorf("size %d after a minute", n)
		}
		down = true
		time.Sleep(time.Hour)
		if n := size(); n != 20 {
			t.Errorf("size %d while the database is down; want the old head", n)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := open(t, d.client(t, store), "latest"); err != nil {
		t.Errorf("offline: %v", err)
	}
	_, err := open(t, d.client(t, newStore(t)), "latest")
	wantErr(t, err, goproxy.ErrUnavailable, codeUnreachable)
}

func TestSupported(t *testing.T) {
	d := newTestDB(t, "", DB{})
	d.fill(t, "x", 3)
	store := newStore(t)
	online := d.client(t, store, d.remote())
	if _, err := open(t, online, "supported"); err != nil {
		t.Errorf("online: %v", err)
	}
	if _, err := open(t, d.client(t, store), "supported"); err != nil {
		t.Errorf("offline with a kept head: %v", err)
	}
	for name, c := range map[string]*Client{
		"offline with nothing": d.client(t, newStore(t)),
		"off":                  newClient(t, Config{DB: DB{Off: true}}),
	} {
		if _, err := open(t, c, "supported"); !errors.Is(err, goproxy.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"sum.golang.org/supported", "sum.golang.google.cn/supported", "supported", "", dbName, "x" + dbName + "/supported"} {
		if _, _, err := online.Open(t.Context(), name); !errors.Is(err, goproxy.ErrNotExist) {
			t.Errorf("%q: %v", name, err)
		}
	}
	// A no is remembered: an outage must not cost every go command the time-out.
	d.forget()
	d.set(nil, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "", http.StatusServiceUnavailable) })
	c := d.client(t, newStore(t), d.remote())
	for range 3 {
		if _, err := open(t, c, "supported"); !errors.Is(err, goproxy.ErrNotExist) {
			t.Errorf("down: %v", err)
		}
	}
	if n := d.requests()["/latest"]; n != 1 {
		t.Errorf("asked %d times", n)
	}
	// But one who left has learned nothing for the others.
	d.set(nil, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c = d.client(t, newStore(t), d.remote())
	if _, _, err := c.Open(ctx, dbName+"/supported"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := open(t, c, "supported"); err != nil {
		t.Errorf("after a cancelled one: %v", err)
	}
}

// The alias of the public database is the same tree under the same names.
func TestAlias(t *testing.T) {
	db, err := ParseDB("sum.golang.google.cn")
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, Config{DB: db, Store: newStore(t)})
	for _, name := range []string{"sum.golang.org", "sum.golang.google.cn"} {
		_, _, err := c.Open(t.Context(), name+"/lookup/golang.org/x/mod@v0.40.0")
		if !errors.Is(err, goproxy.ErrUnavailable) { // known, but offline
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenLookup(t *testing.T) {
	d := newTestDB(t, "", DB{})
	d.fill(t, "x", 300)
	d.add(t, "example.com/Good", "v1.0.0-RC1")
	store := newStore(t)
	c := newClient(t, Config{DB: d.db, Store: store, Remotes: []Remote{d.remote()}, Exempt: "corp.example"})
	const name = "lookup/example.com/!good@v1.0.0-!r!c1"
	first, err := open(t, c, name)
	if err != nil {
		t.Fatal(err)
	}
	d.forget()
	again, err := open(t, c, name)
	if err != nil || !bytes.Equal(first, again) || len(d.requests()) != 0 {
		t.Errorf("a kept lookup: %v, requests %v", err, d.requests())
	}
	lines, err := surface(t, c, nil).Lookup("example.com/Good", "v1.0.0-RC1")
	if err != nil || len(lines) != 1 {
		t.Errorf("the go command's client: %q, %v", lines, err)
	}
	if _, err := open(t, c, "lookup/example.com/unknown@v1.0.0"); !errors.Is(err, goproxy.ErrNotExist) {
		t.Errorf("unknown: %v", err)
	}
	d.forget()
	for name, want := range map[string]error{
		"lookup/corp.example/secret@v1.0.0": goproxy.ErrBlocked,
		"lookup/example.com/Good@v1.0.0":    goproxy.ErrInvalid,
		"lookup/example.com/good@master":    goproxy.ErrInvalid,
		"lookup/example.com/good@v1":        goproxy.ErrInvalid,
		"lookup/example.com/good":           goproxy.ErrInvalid,
		"lookup/../x@v1.0.0":                goproxy.ErrInvalid,
		"lookup/@":                          goproxy.ErrInvalid,
	} {
		_, err := open(t, c, name)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v; want %v", name, err, want)
		}
	}
	if len(d.requests()) != 0 {
		t.Errorf("the database was asked %v", d.requests())
	}
	// Offline, with a tile of the proof lost: served as kept, but not trusted by ourselves.
	if err := os.RemoveAll(store.path("sumdb/" + dbName + "/tile")); err != nil {
		t.Fatal(err)
	}
	offline := d.client(t, store)
	if got, err := open(t, offline, name); err != nil || !bytes.Equal(got, first) {
		t.Errorf("without tiles: %v", err)
	}
	if _, err := offline.Lookup(t.Context(), "example.com/Good", "v1.0.0-RC1"); !errors.Is(err, goproxy.ErrUnavailable) {
		t.Errorf("without tiles: Lookup: %v", err)
	}
}

// Any sequence of kept lookups can be proved by a go command that has nothing but what we keep.
func TestSurfaceOffline(t *testing.T) {
	d := newTestDB(t, "", DB{})
	store := newStore(t)
	var versions []string
	for i := range 30 {
		d.fill(t, suffix(i)[1:], 29)
		v := "v1.0.0" + suffix(i)
		d.add(t, "example.com/m", v)
		if _, err := d.client(t, store, d.remote()).Lookup(t.Context(), "example.com/m", v); err != nil {
			t.Fatal(err)
		}
		versions = append(versions, v)
	}
	d.Close()
	offline := d.client(t, store)
	for i := range versions {
		gocmd := surface(t, offline, nil) // one client, from one lookup to another and back
		for _, v := range []string{versions[i], versions[(i*7+3)%30], versions[29-i]} {
			if lines, err := gocmd.Lookup("example.com/m", v); err != nil || len(lines) != 1 {
				t.Fatalf("from %s to %s: %q, %v", versions[i], v, lines, err)
			}
		}
		fsys := sumdb.NewClient(&ops{ // the same over the files as they are, as GOPROXY=file:// does
			readRemote:  func(path string) ([]byte, error) { return store.Get("sumdb/" + dbName + path) },
			readConfig:  func(file string) ([]byte, error) { return map[string][]byte{"key": []byte(d.db.Key)}[file], nil },
			writeConfig: func(string, []byte, []byte) error { return nil },
			readCache:   func(string) ([]byte, error) { return nil, os.ErrNotExist },
			writeCache:  func(string, []byte) {},
			security:    func(msg string) { t.Error(msg) },
		})
		for _, v := range []string{versions[i], versions[(i*7+3)%30], versions[29-i]} {
			if lines, err := fsys.Lookup("example.com/m", v); err != nil || len(lines) != 1 {
				t.Fatalf("files: from %s to %s: %q, %v", versions[i], v, lines, err)
			}
		}
	}
}

func TestHandler(t *testing.T) {
	d := newTestDB(t, "", DB{})
	d.fill(t, "x", 300)
	d.add(t, "example.com/good", "v1.0.0")
	c := newClient(t, Config{DB: d.db, Store: newStore(t), Remotes: []Remote{d.remote()}, Exempt: "corp.example"})
	srv := httptest.NewServer(Handler{Client: c})
	defer srv.Close()
	do := func(method, path, match string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if match != "" {
			req.Header.Set("If-None-Match", match)
		}
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(body)
	}
	const forever, minute, no = "public, max-age=31536000, immutable", "public, max-age=60", "no-store"
	const text, binary = "text/plain; charset=utf-8", "application/octet-stream"
	base := "/sumdb/" + dbName
	for _, tt := range []struct {
		method, path       string
		status             int
		cache, ctype, body string
	}{
		{"GET", base + "/supported", 200, minute, text, ""},
		{"GET", base + "/latest", 200, minute, text, "go.sum database tree\n"},
		{"GET", base + "/lookup/example.com/good@v1.0.0", 200, forever, text, "example.com/good v1.0.0 h1:"},
		{"GET", base + "/tile/8/0/000", 200, forever, binary, ""},
		{"GET", base + "/tile/8/data/000", 200, forever, text, "example.com/fill/x0 v1.0.0 h1:"},
		{"GET", base + "/lookup/example.com/%21unknown@v1.0.0", 404, no, text, "not found"},
		{"GET", base + "/lookup/corp.example/x@v1.0.0", 403, no, text, "GONOSUMDB"},
		{"GET", base + "/lookup/example.com/Good@v1.0.0", 404, no, text, "invalid"},
		{"GET", base + "/tile/8/0/000/..", 404, no, text, "invalid"},
		{"GET", "/sumdb/other/supported", 404, no, text, "no such checksum database"},
		{"GET", "/x", 404, no, text, ""},
		{"POST", base + "/latest", 405, no, text, "method not allowed"},
	} {
		resp, body := do(tt.method, tt.path, "")
		h := resp.Header
		if resp.StatusCode != tt.status || h.Get("Cache-Control") != tt.cache || h.Get("Content-Type") != tt.ctype || !strings.Contains(body, tt.body) {
			t.Errorf("%s %s: %d %q %q\n%s", tt.method, tt.path, resp.StatusCode, h.Get("Cache-Control"), h.Get("Content-Type"), body)
		}
		if strings.Count(body, "\n") > 8 && tt.status != 200 {
			t.Errorf("%s: error of many lines:\n%s", tt.path, body)
		}
		if tt.status != 200 {
			continue
		}
		head, nothing := do("HEAD", tt.path, "")
		if head.StatusCode != 200 || nothing != "" || head.ContentLength != int64(len(body)) || head.Header.Get("Etag") != h.Get("Etag") {
			t.Errorf("HEAD %s: %d, %d bytes announced of %d", tt.path, head.StatusCode, head.ContentLength, len(body))
		}
		if not, _ := do("GET", tt.path, h.Get("Etag")); not.StatusCode != http.StatusNotModified {
			t.Errorf("If-None-Match %s: %d", tt.path, not.StatusCode)
		}
	}
	d.set(nil, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "7")
		http.Error(w, "", http.StatusServiceUnavailable)
	})
	resp, body := do("GET", base+"/lookup/example.com/new@v1.0.0", "")
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "7" || !strings.Contains(body, "hint: ") {
		t.Errorf("down: %d, Retry-After %q\n%s", resp.StatusCode, resp.Header.Get("Retry-After"), body)
	}
}

// The files of one store and its head make another one work, without a network.
func TestLearn(t *testing.T) {
	d := newTestDB(t, "", DB{})
	d.fill(t, "x", 300)
	mod, _ := d.add(t, "example.com/good", "v1.0.0")
	old := newStore(t)
	if err := mod.verify(t.Context(), d.client(t, old, d.remote())); err != nil {
		t.Fatal(err)
	}
	head := get200(t, d, "/latest")
	store := newStore(t)
	c := d.client(t, store)
	if err := c.Learn(t.Context(), head); err != nil || c.Status().TreeSize != 301 {
		t.Fatalf("Learn: %v; %+v", err, c.Status())
	}
	for name, data := range old.files(t) {
		if name != "latest" {
			if err := store.Put(t.Context(), "sumdb/"+dbName+"/"+name, []byte(data)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := mod.verify(t.Context(), d.client(t, store)); err != nil {
		t.Error(err)
	}
	head[len(head)-5] ^= 1
	wantErr(t, c.Learn(t.Context(), head), goproxy.ErrUnavailable, codeForged)
	evil := newTestDB(t, d.signer, d.db)
	evil.fill(t, "y", 301)
	wantErr(t, c.Learn(t.Context(), get200(t, evil, "/latest")), goproxy.ErrMismatch, codeFork)
	if err := newClient(t, Config{DB: DB{Off: true}}).Learn(t.Context(), nil); err != nil {
		t.Errorf("off: %v", err)
	}
}

// The real go command downloads and verifies through the handler, and then
// from the store's files alone.
func TestGoCommand(t *testing.T) {
	gocmd, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	d := newTestDB(t, "", DB{})
	d.fill(t, "x", 300)
	store := newStore(t)
	gomod := "module main.test\n\ngo 1.21\n\nrequire (\n"
	for i := range 5 {
		d.fill(t, suffix(i)[1:], 60)
		path := fmt.Sprintf("example.com/Mod%d", i)
		mod, zip := d.add(t, path, "v1.0.0")
		for _, f := range []file{mod, zip} {
			name, err := f.req.Name()
			if err != nil {
				t.Fatal(err)
			}
			if err := store.Put(t.Context(), name, f.data); err != nil {
				t.Fatal(err)
			}
		}
		info := strings.TrimSuffix(must(zip.req.Name()), "zip") + "info"
		if err := store.Put(t.Context(), info, []byte(`{"Version":"v1.0.0"}`)); err != nil {
			t.Fatal(err)
		}
		gomod += "\t" + path + " v1.0.0\n"
	}
	gomod += ")\n"
	download := func(proxy string) (string, error) {
		dir, cache := t.TempDir(), t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(gomod), 0o666); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), gocmd, "mod", "download", "-json")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOPROXY="+proxy, "GOSUMDB="+d.db.Key, "GONOSUMDB=", "GOPRIVATE=", "GONOPROXY=", "GOFLAGS=-modcacherw",
			"GOTOOLCHAIN=local", "GOMODCACHE="+cache, "GOPATH="+t.TempDir(), "GOENV=off", "GOINSECURE=", "GOWORK=off", "NO_PROXY=*", "GOVCS=*:off")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}

	c := d.client(t, store, d.remote())
	mux := http.NewServeMux()
	var mu sync.Mutex
	served := map[string]int{}
	mux.HandleFunc("/sumdb/", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		kind, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/sumdb/"+dbName+"/"), "/")
		served[kind]++
		mu.Unlock()
		Handler{Client: c}.ServeHTTP(w, r)
	})
	mux.Handle("/", http.FileServer(http.Dir(store.dir)))
	srv := httptest.NewServer(mux)
	defer srv.Close()

	if out, err := download(srv.URL); err != nil {
		t.Fatalf("go mod download: %v\n%s", err, out)
	}
	if served["supported"] == 0 || served["lookup"] < 5 || served["tile"] == 0 {
		t.Errorf("served %v; the go command did not check through us", served)
	}

	d.Close()
	c = d.client(t, store) // offline
	if out, err := download(srv.URL); err != nil {
		t.Errorf("offline: %v\n%s", err, out)
	}
	if out, err := download("file://" + filepath.ToSlash(store.dir) + ",off"); err != nil {
		t.Errorf("from files: %v\n%s", err, out)
	}
	// And it notices when a zip is not the recorded one.
	_, evil := d.add(t, "example.com/Mod0", "v1.0.0")
	evil.data = makeZip(t, moduleOf(evil.req), map[string]string{"go.mod": "module example.com/Mod0\n", "evil.go": "package evil\n"})
	if err := store.Put(t.Context(), must(evil.req.Name()), evil.data); err != nil {
		t.Fatal(err)
	}
	if out, err := download(srv.URL); err == nil || !strings.Contains(out, "checksum mismatch") {
		t.Errorf("forged zip: %v\n%s", err, out)
	}
}

func must(s string, err error) string {
	if err != nil {
		panic(err)
	}
	return s
}

// TestOpenNewer asks for tiles of a tree that is newer than the one that is kept, where nobody can be asked.
func TestOpenNewer(t *testing.T) {
	d := newTestDB(t, "", DB{})
	d.fill(t, "x", 300)
	d.add(t, "example.com/good", "v1.0.0")
	store := newStore(t)
	c := newClient(t, Config{DB: d.db, Store: store, Remotes: []Remote{d.remote()}})
	if _, err := c.Lookup(t.Context(), "example.com/good", "v1.0.0"); err != nil {
		t.Fatal(err)
	}
	offline := newClient(t, Config{DB: d.db, Store: store})
	have := offline.head().N
	for tile, want := range map[string]int64{"tile/8/0/005.p/7": 5*256 + 7, "tile/8/1/000.p/9": 9 * 256, "tile/8/0/001": 2 * 256} {
		_, _, err := offline.Open(t.Context(), d.db.Name+"/"+tile)
		var ne *NewerError
		if !errors.As(err, &ne) || ne.Want != want || ne.Have != have || ne.DB != d.db.Name || !errors.Is(err, goproxy.ErrUnavailable) {
			t.Errorf("%s: %v, want at least %d, have %d", tile, err, want, have)
		}
	}
	if _, _, err := offline.Open(t.Context(), d.db.Name+"/tile/8/1/000.p/1"); err != nil {
		t.Errorf("a tile of both trees: %v", err)
	}
}
