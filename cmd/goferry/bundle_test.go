package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/bundle"
	"github.com/goferry/goferry/internal/goproxy"
)

// bundleOf makes a bundle of what the upstream of r has of modules, named PATH@VERSION.
func bundleOf(t *testing.T, r *rig, file string, modules ...string) {
	t.Helper()
	args := append([]string{"bundle", "create", "-o", file, "--os", "linux", "--arch", "amd64"}, modules...)
	r.must(t, "goferry", args...)
}

// forge writes a bundle like the one in file, but for what change makes of its plan.
func forge(t *testing.T, file, forged string, change func(p *bundle.Plan)) {
	t.Helper()
	b, err := bundle.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	m := b.Manifest()
	p := bundle.Plan{Modules: m.Modules, Projects: m.Projects, Targets: m.Targets, Level: m.Level, Time: m.Time, Base: m.Base}
	for _, e := range m.Entries {
		if strings.HasPrefix(e.Name, bundle.Ours) {
			continue
		}
		data, err := fs.ReadFile(b.FS(), e.Name)
		if err != nil {
			t.Fatal(err)
		}
		p.Files = append(p.Files, bundle.FileOf(e.Name, data))
	}
	change(&p)
	if _, err := bundle.Create(t.Context(), forged, p, bundle.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// edit changes the bytes of a file of a plan.
func edit(t *testing.T, p *bundle.Plan, name string, with func([]byte) []byte) {
	t.Helper()
	for i, f := range p.Files {
		if f.Name != name {
			continue
		}
		rc, err := f.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer rc.Close()
		data, err := io.ReadAll(rc)
		if err != nil {
			t.Fatal(err)
		}
		p.Files[i] = bundle.FileOf(name, with(data))
		return
	}
	t.Fatalf("no %s", name)
}

// TestBundleForged makes bundles whose manifest fits, and whose modules are not what their authors published, or whose
// checksum database is not the one with the key.
func TestBundleForged(t *testing.T) {
	r := newRig(t)
	r.up.LoadFS(os.DirFS("testdata/mod"))
	good := filepath.Join(r.work, "good.bundle")
	bundleOf(t, r, good, "example.com/hello@v1.1.0", "example.com/world@v1.0.0")
	r.up.Down()
	const mod = "example.com/hello/@v/v1.1.0.mod"
	evil := func([]byte) []byte { return []byte("module example.com/hello\n\nrequire example.com/evil v1.0.0\n") }
	flip := func(b []byte) []byte { b = bytes.Clone(b); b[len(b)/2] ^= 1; return b }
	sums := "sumdb/" + r.up.SumDBName() + "/"
	for _, tt := range []struct {
		name   string
		change func(p *bundle.Plan)
		code   int    // of verify
		says   string // on standard output
		file   string // that must not get into the cache
	}{
		{"another go.mod", func(p *bundle.Plan) { edit(t, p, mod, evil) }, 13, "bad: example.com/hello@v1.1.0.mod: checksum mismatch", mod},
		{"called private", func(p *bundle.Plan) {
			edit(t, p, mod, evil)
			for i := range p.Modules {
				p.Modules[i].Recorded = false
			}
		}, 13, "bad: example.com/hello@v1.1.0.mod: checksum mismatch", mod},
		{"another record", func(p *bundle.Plan) { edit(t, p, sums+"lookup/example.com/hello@v1.1.0", flip) }, 3, "not checked: example.com/hello@v1.1.0.mod", mod},
		{"another tree head", func(p *bundle.Plan) { edit(t, p, sums+"latest", flip) }, 12, "", mod},
		{"no record", func(p *bundle.Plan) {
			for i, f := range p.Files {
				if f.Name == sums+"lookup/example.com/hello@v1.1.0" {
					p.Files = append(p.Files[:i:i], p.Files[i+1:]...)
					return
				}
			}
		}, 3, "not checked: example.com/hello@v1.1.0.mod", mod},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "forged.bundle")
			forge(t, good, file, tt.change)
			out, errs, code := r.run(t, "goferry", "bundle", "verify", file)
			if code != tt.code || !strings.Contains(out, tt.says) {
				t.Errorf("verify: exit code %d\n%s%s", code, out, errs)
			}
			for _, keep := range []bool{false, true} {
				dir := t.TempDir()
				out, errs, code := r.run(t, "goferry", "bundle", "import", fmt.Sprintf("--keep-going=%v", keep), "--cache", dir, file)
				if code == 0 {
					t.Errorf("import (keep %v): exit code %d\n%s%s", keep, code, out, errs)
				}
				if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(tt.file))); err == nil {
					t.Errorf("%s is in the cache", tt.file)
				}
			}
		})
	}
}

// TestBundleImportKilled kills imports at random moments. What is in the cache is whole each time, and the next run
// continues; the last one has everything. GOFERRY_KILLS says how many moments: 100 take a minute.
func TestBundleImportKilled(t *testing.T) {
	t.Parallel()
	kills := killsOr(25)
	r := newRig(t)
	var modules []string
	for i := range 150 {
		path := fmt.Sprintf("example.com/m%03d", i)
		r.up.AddRandom(path, "v1.0.0", 200_000)
		modules = append(modules, path+"@v1.0.0")
	}
	file := filepath.Join(r.work, "big.bundle")
	bundleFrom(t, r, file, modules)
	r.up.Down()
	b, err := bundle.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	cache := filepath.Join(r.work, "imported")
	whole, partly := 0, 0
	for range kills {
		cmd := r.command("goferry", "bundle", "import", "--cache", cache, file)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		moment := time.NewTimer(time.Duration(rand.IntN(600)) * time.Millisecond)
		select {
		case <-moment.C:
			_ = cmd.Process.Kill()
			<-ended
		case <-ended:
		}
		n := sameAsBundle(t, b, cache)
		if n > 0 && n < 450 {
			partly++
		}
		if n == 450 { // begin anew
			whole++
			if err := os.RemoveAll(cache); err != nil {
				t.Fatal(err)
			}
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d kills, %d of them amid an import; %d imports came to their end", kills, partly, whole)
	if partly < kills/10 {
		t.Error("too few kills hit an import: they prove nothing")
	}
	r.must(t, "goferry", "bundle", "import", "--cache", cache, file)
	if n := sameAsBundle(t, b, cache); n != 450 {
		t.Errorf("%d files of 450", n)
	}
	if out, _ := r.must(t, "goferry", "cache", "verify", "--offline", "--cache", cache); !strings.Contains(out, "300 good, 0 bad, 0 repaired, 0 not checked") {
		t.Errorf("verify says %s", out)
	}
	if left := spoolFiles(t, filepath.Join(cache, ".goferry", "spool")); len(left) > 0 {
		t.Errorf("left in the spool: %v", left)
	}
}

// bundleFrom makes a bundle of modules, with what goferry fetch brings, which is quicker than asking the go command.
func bundleFrom(t *testing.T, r *rig, file string, modules []string) {
	t.Helper()
	r.must(t, "goferry", append([]string{"fetch"}, modules...)...)
	p := bundle.Plan{Targets: []string{"linux/amd64"}, Level: bundle.Build, Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	tree := os.DirFS(r.cache())
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(name, ".g") {
			return fs.SkipDir
		}
		if bundle.CheckName(name) != nil || d.IsDir() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		p.Files = append(p.Files, bundle.OSFile(name, filepath.Join(r.cache(), filepath.FromSlash(name)), info.Size()))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range modules {
		path, version, _ := strings.Cut(m, "@")
		p.Modules = append(p.Modules, bundle.Module{Path: path, Version: version, Recorded: true})
	}
	if _, err := bundle.Create(t.Context(), file, p, bundle.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// sameAsBundle compares the files of a cache with those of the bundle they come from, and returns how many there are.
func sameAsBundle(t *testing.T, b *bundle.Reader, cache string) (n int) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(cache), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if req, err := goproxy.ParseRequest(name); err != nil || !req.Immutable() {
			return nil
		}
		got, err := os.ReadFile(filepath.Join(cache, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		if want, err := fs.ReadFile(b.FS(), name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is in the cache with %d bytes, in the bundle it has %d (%v)", name, len(got), len(want), err)
		}
		n++
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		t.Error(err)
	}
	return n
}

// TestBundleServeDamaged serves a bundle of which one byte has flipped since: the file that has it is refused with the reason, and
// everything else is served.
func TestBundleServeDamaged(t *testing.T) {
	r := newRig(t)
	r.up.AddRandom("example.com/large", "v1.0.0", 3<<20)
	r.up.AddRandom("example.com/small", "v1.0.0", 1000)
	file := filepath.Join(r.work, "x.bundle")
	bundleFrom(t, r, file, []string{"example.com/large@v1.0.0", "example.com/small@v1.0.0"})
	r.up.Down()
	zip := fileOf(t, r.up.Handler, "/example.com/large/@v/v1.0.0.zip")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, zip)
	if at < 0 {
		t.Fatal("the zip is not in the bundle as it is")
	}
	data[at+len(zip)/2] ^= 4
	if err := os.WriteFile(file, data, 0o666); err != nil {
		t.Fatal(err)
	}
	s := r.serve(t, "--bundle", file)
	resp, body, err := fetchAll(t, client(t), s.url+"/example.com/large/@v/v1.0.0.zip")
	if err != nil || resp.StatusCode != 502 || !strings.Contains(string(body), "example.com/large") {
		t.Errorf("the damaged zip: %v, %v, %d bytes: %.200s", resp.Status, err, len(body), body)
	}
	for _, path := range []string{"/example.com/large/@v/v1.0.0.mod", "/example.com/small/@v/v1.0.0.zip", "/example.com/small/@v/v1.0.0.info"} {
		resp, body, err := fetchAll(t, client(t), s.url+path)
		if err != nil || resp.StatusCode != 200 || !bytes.Equal(body, fileOf(t, r.up.Handler, path)) {
			t.Errorf("%s: %v, %v, %d bytes", path, resp.Status, err, len(body))
		}
	}
	s.quit(t)
	out, errs, code := r.run(t, "goferry", "bundle", "verify", "--json", file)
	var v bundleVerdict
	if err := json.Unmarshal([]byte(out), &v); err != nil || code != 13 || len(v.Damage) != 1 {
		t.Fatalf("verify: exit code %d, %v\n%s%s", code, err, out, errs)
	}
	if d := v.Damage[0]; d.Entry != "example.com/large/@v/v1.0.0.zip" || d.Offset > int64(at+len(zip)/2) || d.Offset+d.Length <= int64(at+len(zip)/2) {
		t.Errorf("the byte at %d is named as %+v", at+len(zip)/2, d)
	}
}
