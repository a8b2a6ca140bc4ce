package sumdb

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/goferry/goferry/internal/goproxy"
)

func TestVerify(t *testing.T) {
	d := newTestDB(t, "", DB{})
	d.fill(t, "x", 300)
	mod, zip := d.add(t, "example.com/Good", "v1.2.3")
	c := d.client(t, newStore(t), d.remote())
	ctx := t.Context()

	for _, f := range []file{mod, zip} {
		if err := f.verify(ctx, c); err != nil {
			t.Errorf("%v: %v", f.req, err)
		}
	}
	for _, kind := range []goproxy.Kind{goproxy.List, goproxy.Latest, goproxy.Info} {
		f := file{goproxy.Request{Path: "example.com/Good", Version: "v1.2.3", Kind: kind}, []byte("anything")}
		if err := f.verify(ctx, c); err != nil {
			t.Errorf("%v: %v; nothing is recorded of it", f.req, err)
		}
	}
	sums, err := c.Lookup(ctx, "example.com/Good", "v1.2.3")
	if err != nil || sums.Mod != hashMod(mod.data) || !strings.HasPrefix(sums.Zip, "h1:") {
		t.Errorf("Lookup = %+v, %v", sums, err)
	}

	bad := file{mod.req, []byte("module example.com/Evil\n")}
	err = bad.verify(ctx, c)
	wantErr(t, err, goproxy.ErrMismatch, codeMismatch)
	var me *MismatchError
	if !errors.As(err, &me) || me.Want != sums.Mod || me.Got != hashMod(bad.data) || me.DB != dbName || me.Request != mod.req {
		t.Errorf("mismatch is %+v", me)
	}
	if !strings.Contains(err.Error(), me.Want) || !strings.Contains(err.Error(), me.Got) {
		t.Errorf("%q does not show both hashes", err)
	}

	_, other := d.add(t, "example.com/Good", "v1.2.4")
	other.req = zip.req
	wantErr(t, other.verify(ctx, c), goproxy.ErrMismatch, "") // prefix of another version: no module zip of this one

	unknown := file{goproxy.Request{Path: "example.com/private", Version: "v1.0.0", Kind: goproxy.Mod}, mod.data}
	err = unknown.verify(ctx, c)
	wantErr(t, err, goproxy.ErrBlocked, codePrivate)
	if goproxy.Absent(err) {
		t.Errorf("%v is an absence; the go command would go on to the next proxy", err)
	}
	if _, err := c.Lookup(ctx, "example.com/private", "v1.0.0"); !errors.Is(err, goproxy.ErrNotExist) {
		t.Errorf("Lookup of an unknown module: %v", err)
	}
	if n := d.requests()["/lookup/example.com/private@v1.0.0"]; n != 1 {
		t.Errorf("the unknown module was asked for %d times; a no holds for a minute", n)
	}
	invalid := file{goproxy.Request{Path: "example.com/Good", Version: "v1", Kind: goproxy.Mod}, mod.data}
	wantErr(t, invalid.verify(ctx, c), goproxy.ErrInvalid, "")
	huge := file{mod.req, make([]byte, 16<<20+1)}
	wantErr(t, huge.verify(ctx, c), goproxy.ErrMismatch, "")

	s := c.Status()
	if s.Name != dbName || s.Off || s.Offline || s.TreeSize < 301 || s.LastSuccess.IsZero() || s.LastError != nil {
		t.Errorf("Status = %+v", s)
	}
}

func TestVerifyExemptAndOff(t *testing.T) {
	d := newTestDB(t, "", DB{})
	mod, zip := d.add(t, "corp.example/secret", "v1.0.0")
	tmod, tzip := d.add(t, toolchainPath, "v0.0.1-go1.99.0.linux-amd64")
	_, forged := d.add(t, toolchainPath, "v0.0.1-go1.99.0.linux-amd64")
	forged.data = makeZip(t, moduleOf(forged.req), map[string]string{"bin/go": "evil"})
	c := newClient(t, Config{DB: d.db, Store: newStore(t), Remotes: []Remote{d.remote()}, Exempt: "corp.example/*,golang.org/toolchain"})
	off := newClient(t, Config{DB: DB{Off: true}})
	ctx := t.Context()

	for _, c := range []*Client{c, off} {
		for _, f := range []file{mod, zip, {mod.req, []byte("changed")}} {
			if err := f.verify(ctx, c); err != nil {
				t.Errorf("off %v: %v: %v", c.db.Off, f.req, err)
			}
		}
		broken := file{zip.req, bytes.Clone(zip.data)}
		broken.data[bytes.Index(broken.data, []byte("/a/a.go"))+7] ^= 0xff // content of an entry
		wantErr(t, broken.verify(ctx, c), goproxy.ErrMismatch, "")
		wantErr(t, file{zip.req, zip.data[:len(zip.data)/2]}.verify(ctx, c), goproxy.ErrMismatch, "")
		if _, err := c.Lookup(ctx, "corp.example/secret", "v1.0.0"); !errors.Is(err, goproxy.ErrBlocked) {
			t.Errorf("off %v: Lookup: %v", c.db.Off, err)
		}
	}
	for path := range d.requests() {
		t.Errorf("a private name left: %s", path)
	}

	for _, f := range []file{tmod, tzip} {
		if err := f.verify(ctx, c); err != nil {
			t.Errorf("%v: %v", f.req, err)
		}
	}
	wantErr(t, forged.verify(ctx, c), goproxy.ErrMismatch, codeMismatch) // a pattern cannot exempt toolchains
	if err := forged.verify(ctx, off); err != nil {
		t.Errorf("off: %v", err)
	}
}

// A record of a toolchain without its go.mod line is enough: that file has one possible content.
func TestVerifyToolchainMod(t *testing.T) {
	d := newTestDB(t, "", DB{})
	mod, zip := d.add(t, toolchainPath, "v0.0.1-go1.99.0.linux-amd64")
	m := moduleOf(mod.req)
	d.sums[m], _, _ = strings.Cut(d.sums[m], toolchainPath+" "+m.Version+"/go.mod")
	c := d.client(t, newStore(t), d.remote())
	for _, f := range []file{mod, zip} {
		if err := f.verify(t.Context(), c); err != nil {
			t.Errorf("%v: %v", f.req, err)
		}
	}
	wantErr(t, file{mod.req, []byte("module evil\n")}.verify(t.Context(), c), goproxy.ErrUnavailable, codeForged)
}

type forgery struct {
	name   string
	tamper func(d *testDB) func(path string, body []byte) []byte
	code   string
}

func forgeries(t *testing.T) []forgery {
	on := func(prefix string, f func([]byte) []byte) func(*testDB) func(string, []byte) []byte {
		return func(*testDB) func(string, []byte) []byte {
			return func(path string, body []byte) []byte {
				if strings.HasPrefix(path, prefix) {
					return f(body)
				}
				return body
			}
		}
	}
	return []forgery{
		{"lookup with other hashes", on("/lookup/", func(b []byte) []byte {
			return bytes.Replace(b, []byte("h1:"), []byte("h1:A"), 1)
		}), codeForged},
		{"leaf tile", on("/tile/8/0/", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), codeForged},
		{"upper tile", on("/tile/8/1/", func(b []byte) []byte { b[0] ^= 1; return b }), codeForged},
		{"true record of another module", func(d *testDB) func(string, []byte) []byte {
			return func(path string, body []byte) []byte {
				if !strings.HasPrefix(path, "/lookup/example.com/good@") {
					return body
				}
				return get200(t, d, "/lookup/example.com/fill/x7@v1.0.0")
			}
		}, codeForged},
		{"wrong signature", on("/lookup/", func(b []byte) []byte {
			i := bytes.LastIndex(b, []byte(dbName+" ")) + len(dbName) + 10
			b[i] ^= 1
			return b
		}), codeUnreachable},
		{"captive portal", on("/lookup/", func([]byte) []byte { return []byte("<html>log in</html>") }), codeUnreachable},
		{"short tile", on("/tile/", func(b []byte) []byte { return b[:len(b)-1] }), codeUnreachable},
		{"endless lookup", on("/lookup/", func(b []byte) []byte { return bytes.Repeat(b, 10000) }), codeUnreachable},
	}
}

// get200 asks the database past its handler's tampering.
func get200(t *testing.T, d *testDB, path string) []byte {
	rec := newRecorder()
	d.mu.Lock()
	tamper := d.tamper
	d.tamper = nil
	d.mu.Unlock()
	defer d.set(tamper, nil)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.URL+path, nil)
	if err != nil {
		t.Error(err)
	}
	d.handle(rec, req)
	return rec.Body.Bytes()
}

func TestForgeries(t *testing.T) {
	for _, tt := range forgeries(t) {
		t.Run(tt.name, func(t *testing.T) {
			d := newTestDB(t, "", DB{})
			d.fill(t, "x", 600)
			mod, zip := d.add(t, "example.com/good", "v1.0.0")
			store := newStore(t)
			c := d.client(t, store, d.remote())

			d.set(tt.tamper(d), nil)
			err := mod.verify(t.Context(), c)
			wantErr(t, err, goproxy.ErrUnavailable, tt.code)
			for name := range store.files(t) {
				if strings.HasPrefix(name, "lookup/") {
					t.Errorf("%s was kept", name)
				}
			}

			// An honest relay makes up for it, also behind a forger.
			honest := newTestDB(t, d.signer, d.db)
			honest.log = d.log
			both := d.client(t, newStore(t), d.remote(), honest.remote())
			if err := mod.verify(t.Context(), both); err != nil {
				t.Errorf("with an honest remote behind the forger: %v", err)
			}

			// Nothing bad stays behind, in memory or in the store.
			d.set(nil, nil)
			if err := zip.verify(t.Context(), c); err != nil {
				t.Errorf("after the forger left: %v", err)
			}
			if err := mod.verify(t.Context(), d.client(t, store)); err != nil {
				t.Errorf("offline from what was kept: %v", err)
			}
		})
	}
}

func TestFork(t *testing.T) {
	for _, tt := range []struct{ size, more int }{
		{3, 20}, {3, 0}, // within one tile
		{700, 20}, {700, 0}, {700, 600}, // over full tiles that are kept
	} {
		size := tt.size
		d := newTestDB(t, "", DB{})
		d.fill(t, "x", size)
		mod, _ := d.add(t, "example.com/good", "v1.0.0")
		store := newStore(t)
		if err := mod.verify(t.Context(), d.client(t, store, d.remote())); err != nil {
			t.Fatal(err)
		}
		before := store.files(t)

		evil := newTestDB(t, d.signer, d.db)
		evil.fill(t, "y", size+tt.more)
		other, _ := evil.add(t, "example.com/other", "v1.0.0")
		var log bytes.Buffer
		c := newClient(t, Config{DB: d.db, Store: store, Remotes: []Remote{evil.remote()}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		check := func(err error) {
			t.Helper()
			wantErr(t, err, goproxy.ErrMismatch, codeFork)
			var fork *ForkError
			if !errors.As(err, &fork) || fork.DB != dbName || strings.Count(fork.Report, "go.sum database tree") != 2 {
				t.Errorf("size %d: fork is %+v", size, fork)
			}
		}
		err := other.verify(t.Context(), c)
		check(err)
		if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "SECURITY") {
			t.Errorf("size %d: the log is not loud:\n%s", size, &log)
		}
		_, _, err = c.Open(t.Context(), dbName+"/latest")
		check(err)
		after := store.files(t)
		for name, data := range before {
			if after[name] != data {
				t.Errorf("size %d: %s changed", size, name)
			}
		}
		for name := range after {
			if _, ok := before[name]; !ok {
				t.Errorf("size %d: %s of the fork was kept", size, name)
			}
		}
		if err := mod.verify(t.Context(), d.client(t, store, d.remote())); err != nil {
			t.Errorf("size %d: the honest side after the fork: %v", size, err)
		}
	}
}

func TestUnreachable(t *testing.T) {
	d := newTestDB(t, "", DB{})
	mod, _ := d.add(t, "example.com/good", "v1.0.0")
	for _, status := range []int{403, 429, 500, 503} {
		d.set(nil, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "7")
			http.Error(w, "not today", status)
		})
		c := d.client(t, newStore(t), d.remote())
		err := mod.verify(t.Context(), c)
		wantErr(t, err, goproxy.ErrUnavailable, codeUnreachable)
		var ge *goproxy.Error
		if !errors.As(err, &ge) || status != 403 && ge.RetryAfter.Seconds() != 7 || !strings.Contains(err.Error(), "not today") {
			t.Errorf("%d: %v", status, err)
		}
		if s := c.Status(); s.LastError == nil || s.LastErrorAt.IsZero() {
			t.Errorf("%d: Status = %+v", status, s)
		}
	}
	d.Close()
	wantErr(t, mod.verify(t.Context(), d.client(t, newStore(t), d.remote())), goproxy.ErrUnavailable, codeUnreachable)
	wantErr(t, mod.verify(t.Context(), d.client(t, newStore(t))), goproxy.ErrUnavailable, codeUnreachable)
}

func TestHang(t *testing.T) {
	d := newTestDB(t, "", DB{})
	mod, _ := d.add(t, "example.com/good", "v1.0.0")
	arrived := make(chan struct{}, 10)
	left := make(chan struct{}, 10)
	d.set(nil, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
		left <- struct{}{}
	})
	c := d.client(t, newStore(t), d.remote())
	cause := errors.New("asker left")
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { done <- mod.verify(ctx, c) }()
	<-arrived
	cancel(cause)
	if err := <-done; !errors.Is(err, cause) {
		t.Errorf("error is %v; want the cause", err)
	}
	<-left // nobody waits any more: the request upstream is given up
}

func TestParallel(t *testing.T) {
	d := newTestDB(t, "", DB{})
	d.fill(t, "x", 700)
	mod, zip := d.add(t, "example.com/good", "v1.0.0")
	c := d.client(t, newStore(t), d.remote())
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			f := mod
			if i%2 == 0 {
				f = zip
			}
			if err := f.verify(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for path, n := range d.requests() {
		if n != 1 {
			t.Errorf("%s was fetched %d times", path, n)
		}
	}
	if n := len(d.requests()); n == 0 || n > 12 {
		t.Errorf("%d files were fetched", n)
	}
}

// Many clients over one store, as many processes, with a tree that grows all the time.
func TestSharedStore(t *testing.T) {
	d := newTestDB(t, "", DB{})
	store := newStore(t)
	var files []file
	for i := range 40 {
		d.fill(t, string(rune('a'+i%26))+string(rune('a'+i/26)), 10)
		mod, _ := d.add(t, "example.com/good", "v1.0.0"+suffix(i))
		files = append(files, mod)
	}
	var wg sync.WaitGroup
	for part := range 4 {
		c := d.client(t, store, d.remote())
		wg.Go(func() {
			for i := part; i < len(files); i += 4 {
				if err := files[i].verify(t.Context(), c); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	d.Close()
	c := d.client(t, store)
	for _, f := range files {
		if err := f.verify(t.Context(), c); err != nil {
			t.Errorf("offline: %v", err)
		}
	}
	if got := c.Status().TreeSize; got != 440 {
		t.Errorf("tree size is %d; want all 440 records", got)
	}
}

func suffix(i int) string { return "-p" + strings.Repeat("x", i) }

func TestOffline(t *testing.T) {
	d := newTestDB(t, "", DB{})
	store := newStore(t)
	var files []file
	for i := range 30 { // the tree grows over tile borders between the lookups
		d.fill(t, suffix(i)[1:], 23)
		mod, zip := d.add(t, "example.com/m", "v1.0.0"+suffix(i))
		c := d.client(t, store, d.remote())
		if err := zip.verify(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		files = append(files, mod, zip)
	}
	d.Close()
	c := d.client(t, store)
	for _, f := range files {
		if err := f.verify(t.Context(), c); err != nil {
			t.Errorf("%v: %v", f.req, err)
		}
	}
	unknown := file{goproxy.Request{Path: "example.com/m", Version: "v9.0.0-x", Kind: goproxy.Mod}, nil}
	unknown.req.Path = "example.com/unknown"
	unknown.req.Version = "v1.0.0"
	wantErr(t, unknown.verify(t.Context(), c), goproxy.ErrUnavailable, codeUnreachable)
	if store.files(t)["supported"] != "" || len(store.files(t)) < 30 {
		t.Errorf("store has %d files", len(store.files(t)))
	}
	if _, ok := store.files(t)["supported"]; !ok {
		t.Error("no file supported: the store is no GOPROXY=file:// tree with a database")
	}
}

func TestDamagedStoreHeals(t *testing.T) {
	d := newTestDB(t, "", DB{})
	d.fill(t, "x", 600)
	mod, _ := d.add(t, "example.com/good", "v1.0.0")
	store := newStore(t)
	verify := func(c *Client) error { return mod.verify(t.Context(), c) }
	if err := verify(d.client(t, store, d.remote())); err != nil {
		t.Fatal(err)
	}
	whole := store.files(t)
	if len(whole) < 5 {
		t.Fatalf("only %d files kept", len(whole))
	}
	damage := map[string]func(string) string{
		"bit":   func(s string) string { return s[:len(s)/2] + string(s[len(s)/2]^1) + s[len(s)/2+1:] },
		"cut":   func(s string) string { return s[:len(s)/2] },
		"empty": func(string) string { return "" },
		"text":  func(string) string { return "not at all\n\n" },
	}
	for name, data := range whole {
		for how, f := range damage {
			if name == "supported" {
				continue
			}
			if err := store.Put(t.Context(), "sumdb/"+dbName+"/"+name, []byte(f(data))); err != nil {
				t.Fatal(err)
			}
			err := verify(d.client(t, store)) // offline: no wrong answer, and no crash
			if err != nil && !errors.Is(err, goproxy.ErrUnavailable) {
				t.Errorf("%s %s: offline: %v", name, how, err)
			}
			if err := verify(d.client(t, store, d.remote())); err != nil {
				t.Errorf("%s %s: online: %v", name, how, err)
			}
			if err := verify(d.client(t, store)); err != nil {
				t.Errorf("%s %s: did not heal: %v", name, how, err)
			}
		}
	}
}

// A lookup of another module under this one's name is damage, too.
func TestSwappedLookupHeals(t *testing.T) {
	d := newTestDB(t, "", DB{})
	mod, _ := d.add(t, "example.com/good", "v1.0.0")
	d.add(t, "example.com/other", "v1.0.0")
	store := newStore(t)
	c := d.client(t, store, d.remote())
	if err := mod.verify(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	data, _, err := c.Open(t.Context(), dbName+"/lookup/example.com/other@v1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Put(t.Context(), "sumdb/"+dbName+"/lookup/example.com/good@v1.0.0", data); err != nil {
		t.Fatal(err)
	}
	wantErr(t, mod.verify(t.Context(), d.client(t, store)), goproxy.ErrUnavailable, "")
	if err := mod.verify(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := mod.verify(t.Context(), d.client(t, store)); err != nil {
		t.Errorf("did not heal: %v", err)
	}
}

func TestFullDisk(t *testing.T) {
	d := newTestDB(t, "", DB{})
	d.fill(t, "x", 300)
	mod, zip := d.add(t, "example.com/good", "v1.0.0")
	store := newStore(t)
	store.full = true
	var log bytes.Buffer
	c := newClient(t, Config{DB: d.db, Store: store, Remotes: []Remote{d.remote()}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for _, f := range []file{mod, zip} {
		if err := f.verify(t.Context(), c); err != nil {
			t.Errorf("%v: %v", f.req, err)
		}
	}
	if n := strings.Count(log.String(), "no space left"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, &log)
	}
	if c.Status().TreeSize != 301 {
		t.Errorf("the head is not remembered: %+v", c.Status())
	}
	// The remembered head still finds a fork out.
	evil := newTestDB(t, d.signer, d.db)
	evil.fill(t, "y", 400)
	d.set(nil, evil.handle)
	_, _, err := c.Open(t.Context(), dbName+"/latest")
	wantErr(t, err, goproxy.ErrMismatch, codeFork)
}

type badReader struct{ err error }

func (r badReader) ReadAt([]byte, int64) (int, error) { return 0, r.err }

// A disk that cannot be read is not a bad file.
func TestVerifyReadFault(t *testing.T) {
	off := newClient(t, Config{DB: DB{Off: true}})
	fault := errors.New("input/output error")
	for _, kind := range []goproxy.Kind{goproxy.Mod, goproxy.Zip} {
		req := goproxy.Request{Path: "example.com/m", Version: "v1.0.0", Kind: kind}
		err := off.Verify(t.Context(), req, badReader{fault}, 1000)
		if !errors.Is(err, fault) || errors.Is(err, goproxy.ErrMismatch) {
			t.Errorf("%v: %v", kind, err)
		}
		err = off.Verify(t.Context(), req, badReader{io.EOF}, 1000)
		if err == nil {
			t.Errorf("%v: a reader that ends early passed", kind)
		}
	}
}

func TestClosed(t *testing.T) {
	d := newTestDB(t, "", DB{})
	mod, _ := d.add(t, "example.com/good", "v1.0.0")
	c := d.client(t, newStore(t), d.remote())
	c.Close()
	if err := mod.verify(t.Context(), c); !errors.Is(err, errClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestNewRejects(t *testing.T) {
	d := newTestDB(t, "", DB{})
	for name, cfg := range map[string]Config{
		"no store":   {DB: d.db},
		"no key":     {DB: DB{Name: dbName}, Store: newStore(t)},
		"other name": {DB: DB{Name: "other.test", Key: d.db.Key}, Store: newStore(t)},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
