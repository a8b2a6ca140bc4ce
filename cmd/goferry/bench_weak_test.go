//go:build weak

package main

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/weaklink"
)

// The benchmarks of weak links (make bench-weak): the real binary and the real go command over a
// link of internal/weaklink, in front of a tree of real modules that scripts/weak-tree.sh has fetched
// once. Each goes through the link with the go command alone first, in the same run, with cold caches, where a
// ratio to that is wanted. Metrics: x-direct is the time as a part of that of the go command alone; x-link is
// the time as a part of what the link needs for the bytes; x-bytes is the bytes that crossed the link
// as a part of the files that the go command got.

const mb = 1 << 20

// A weakRig is what all runs share.
type weakRig struct {
	tree, bin string
	handler   http.Handler
	gosumdb   string
}

func newWeakRig(b *testing.B) *weakRig {
	b.Helper()
	root, err := filepath.Abs("../../.bench/weak")
	if err != nil {
		b.Fatal(err)
	}
	tree := filepath.Join(root, "mod", "cache", "download")
	if _, err := os.Stat(filepath.Join(root, "done")); err != nil {
		b.Fatal("the tree of modules is not there: run `make bench-weak`, or scripts/weak-tree.sh")
	}
	h, gosumdb, err := weaklink.Tree(tree)
	if err != nil {
		b.Fatal(err)
	}
	r := &weakRig{tree: root, bin: filepath.Join(b.TempDir(), "goferry"), handler: h, gosumdb: gosumdb}
	if out, err := exec.Command("go", "build", "-o", r.bin, ".").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return r
}

// A weakRun is one run over one link, with caches of its own.
type weakRun struct {
	*weakRig
	link  *weaklink.Link
	rate  int64
	dir   string // working folder: a copy of a project
	env   []string
	cache string
}

func (r *weakRig) run(b *testing.B, cfg weaklink.Config, project string) *weakRun {
	b.Helper()
	cfg.TLS = os.Getenv("WEAK_PLAIN") == ""
	link := weaklink.Start(cfg, r.handler)
	b.Cleanup(link.Close)
	w := r.runOver(b, project, link)
	w.rate = cfg.Rate
	return w
}

// runOver is a run whose upstreams are links; the first is the one that counts.
func (r *weakRig) runOver(b *testing.B, project string, links ...*weaklink.Link) *weakRun {
	b.Helper()
	dir := b.TempDir()
	w := &weakRun{weakRig: r, link: links[0], dir: filepath.Join(dir, "project"), cache: filepath.Join(dir, "modcache")}
	if err := os.CopyFS(w.dir, os.DirFS(filepath.Join(r.tree, "projects", project))); err != nil {
		b.Fatal(err)
	}
	var pem []byte
	var urls []string
	for _, l := range links {
		if strings.HasPrefix(l.URL(), "https") {
			pem = append(pem, l.CertPEM()...)
		}
		urls = append(urls, l.URL())
	}
	roots := filepath.Join(dir, "roots.pem")
	if err := os.WriteFile(roots, pem, 0o666); err != nil {
		b.Fatal(err)
	}
	home := filepath.Join(dir, "home")
	if err := quietHome(home); err != nil {
		b.Fatal(err)
	}
	w.env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home+"/.config", "XDG_CACHE_HOME="+home+"/.cache",
		"GOENV=off", "GOPATH="+dir+"/gopath", "GOMODCACHE="+w.cache, "GOFLAGS=-modcacherw -mod=mod", "GOTOOLCHAIN=local",
		"GOSUMDB="+r.gosumdb, "GONOSUMDB=", "GOPRIVATE=", "GONOPROXY=", "GOPROXY="+urls[0],
		"GOFERRY_UPSTREAM="+strings.Join(urls, "="), "GOFERRY_CACHE="+dir+"/cache", "GOFERRY_LANG=en")
	if len(pem) > 0 {
		w.env = append(w.env, "SSL_CERT_FILE="+roots)
	}
	return w
}

// do runs argv and returns how long it took. A command that hangs is killed after limit.
func (w *weakRun) do(b *testing.B, limit time.Duration, argv ...string) (time.Duration, error) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = w.dir, w.env, 5*time.Second
	start := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(start)
	if text := strings.TrimSpace(string(out)); len(text) > 0 {
		lines := strings.Split(text, "\n")
		b.Log(strings.Join(argv, " "), "-> …", strings.Join(lines[max(0, len(lines)-12):], "\n"))
	}
	return took, err
}

func (w *weakRun) must(b *testing.B, argv ...string) time.Duration {
	b.Helper()
	took, err := w.do(b, 15*time.Minute, argv...)
	if err != nil {
		b.Fatalf("%v: %v", argv, err)
	}
	return took
}

// needed is how many bytes of files the go command has got.
func (w *weakRun) needed(b *testing.B) int64 {
	b.Helper()
	var sum int64
	err := filepath.WalkDir(filepath.Join(w.cache, "cache", "download"), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch filepath.Ext(p) {
		case ".zip", ".mod", ".info":
			info, err := d.Info()
			if err != nil {
				return err
			}
			sum += info.Size()
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return sum
}

func (w *weakRun) report(b *testing.B, took time.Duration, prefix string) {
	b.Helper()
	st, needed := w.link.Stats(), w.needed(b)
	b.Logf("%s: %.1f s, %.1f MB needed, %.1f MB over the link, %d requests, %d connections, %d faults", prefix, took.Seconds(),
		float64(needed)/1e6, float64(st.Down)/1e6, st.Requests, st.Conns, st.Faults)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(took.Seconds(), "s")
	b.ReportMetric(float64(st.Down)/float64(needed), "x-bytes")
	if w.rate > 0 {
		b.ReportMetric(took.Seconds()/(float64(needed)/float64(w.rate)), "x-link")
	}
}

func (w *weakRun) exec(argv ...string) []string {
	return append([]string{w.bin, "exec", "--"}, argv...)
}

// serve starts a goferry serve, which ends with the benchmark, and points the go command to it.
func (w *weakRun) serve(b *testing.B) {
	b.Helper()
	cmd := exec.Command(w.bin, "serve", "--listen", "127.0.0.1:0")
	cmd.Env = w.env
	w.env = append(w.env, "GOPROXY="+startAndWait(b, cmd, listening))
}

var (
	longLink = weaklink.Config{RTT: 200 * time.Millisecond, Rate: 4 * mb}
	graph    = weaklink.Config{RTT: 400 * time.Millisecond, Rate: 8 * mb}
	download = []string{"go", "mod", "download"}
)

// direct is the time of the go command alone.
func (r *weakRig) direct(b *testing.B, cfg weaklink.Config, project string, argv ...string) time.Duration {
	b.Helper()
	w := r.run(b, cfg, project)
	took := w.must(b, argv...)
	w.report(b, took, "go alone")
	return took
}

func BenchmarkWeakProject(b *testing.B) {
	r := newWeakRig(b)
	var alone time.Duration
	ask := func(b *testing.B) time.Duration {
		if alone == 0 {
			alone = r.direct(b, longLink, "cli", download...)
		}
		return alone
	}
	b.Run("exec", func(b *testing.B) {
		for b.Loop() {
			d := ask(b)
			w := r.run(b, longLink, "cli")
			took := w.must(b, w.exec(download...)...)
			w.report(b, took, "exec")
			b.ReportMetric(took.Seconds()/d.Seconds(), "x-direct")
		}
	})
	b.Run("serve", func(b *testing.B) {
		for b.Loop() {
			d := ask(b)
			w := r.run(b, longLink, "cli")
			w.serve(b)
			took := w.must(b, download...)
			w.report(b, took, "serve")
			b.ReportMetric(took.Seconds()/d.Seconds(), "x-direct")
		}
	})
}

func BenchmarkWeakFaults(b *testing.B) {
	r := newWeakRig(b)
	seeds, _ := strconv.Atoi(os.Getenv("WEAK_SEEDS"))
	if seeds == 0 {
		seeds = 20
	}
	for b.Loop() {
		w := r.run(b, longLink, "cli")
		clean := w.must(b, w.exec(download...)...)
		w.report(b, clean, "clean")
		var worst, bytes float64
		failed := 0
		for seed := range seeds {
			cfg := longLink
			cfg.Faults = weaklink.Faults{Seed: uint64(seed), Cut: 0.05, Stall: 0.02, Unavailable: 0.05}
			w := r.run(b, cfg, "cli")
			took, err := w.do(b, 15*time.Minute, w.exec(download...)...)
			if err != nil {
				failed++
				b.Logf("seed %d: %v", seed, err)
				continue
			}
			w.report(b, took, fmt.Sprint("seed ", seed))
			worst = max(worst, took.Seconds()/clean.Seconds())
			bytes = max(bytes, float64(w.link.Stats().Down)/float64(w.needed(b)))
			w.link.Close()
			os.RemoveAll(filepath.Dir(w.dir))
		}
		b.ReportMetric(float64(failed), "failed")
		b.ReportMetric(worst, "worst-x-clean")
		b.ReportMetric(bytes, "worst-x-bytes")
	}
}

func BenchmarkWeakGraph(b *testing.B) {
	r := newWeakRig(b)
	argv := []string{"go", "list", "-m", "all"}
	for b.Loop() {
		d := r.direct(b, graph, "graph", argv...)
		w := r.run(b, graph, "graph")
		w.serve(b)
		took := w.must(b, argv...)
		w.report(b, took, "serve")
		b.ReportMetric(took.Seconds()/d.Seconds(), "x-direct")
	}
}

func BenchmarkWeakToolchain(b *testing.B) {
	r := newWeakRig(b)
	for b.Loop() {
		w := r.run(b, weaklink.Config{RTT: 50 * time.Millisecond, Rate: 8 * mb, PerConn: mb}, "empty")
		// Not by way of the go command, whose time is mostly that of unpacking.
		took := w.must(b, w.bin, "fetch", "golang.org/toolchain@"+weakToolchain)
		zip, err := os.Stat(filepath.Join(w.tree, "mod/cache/download/golang.org/toolchain/@v", weakToolchain+".zip"))
		if err != nil {
			b.Fatal(err)
		}
		st := w.link.Stats()
		b.Logf("fetch: %.1f s, %d connections, %.1f MB over the link", took.Seconds(), st.Conns, float64(st.Down)/1e6)
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(took.Seconds(), "s")
		b.ReportMetric(took.Seconds()/(float64(zip.Size())/float64(w.rate)), "x-link")
		b.ReportMetric(float64(st.Down)/float64(zip.Size()), "x-bytes")
	}
}

// BenchmarkWeakSDK installs an SDK over a link, against curl's way of bringing the same bytes. What comes after
// the download is told apart.
func BenchmarkWeakSDK(b *testing.B) {
	r := newWeakRig(b)
	name := "golang.org/toolchain/@v/" + weakToolchain + ".zip"
	link := weaklink.Config{RTT: 50 * time.Millisecond, Rate: 8 * mb}
	for b.Loop() {
		plain := r.run(b, link, "empty")
		plainTook := plain.must(b, "curl", "-sS", "--cacert", plain.roots(), "-o", os.DevNull, plain.link.URL()+"/"+name)
		w := r.run(b, link, "empty")
		w.env = append(w.env, "GOFERRY_SDK_SOURCES=off", "GOFERRY_SDK_DIR="+filepath.Join(w.dir, "sdks"))
		cmd := exec.Command(w.bin, "sdk", "install", "1.25.7")
		cmd.Env = w.env
		start, arrived := time.Now(), make(chan time.Duration, 1)
		go func() { // the folder of the tree appears when the download is there
			for len(glob(filepath.Join(w.dir, "sdks", "sdk", ".tmp-*"))) == 0 && time.Since(start) < time.Minute {
				time.Sleep(2 * time.Millisecond)
			}
			arrived <- time.Since(start)
		}()
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		took, download := time.Since(start), <-arrived
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(plainTook.Seconds(), "s-curl")
		b.ReportMetric(download.Seconds(), "s-download")
		b.ReportMetric(took.Seconds(), "s-all")
		b.ReportMetric(download.Seconds()/plainTook.Seconds(), "x-curl")
		b.ReportMetric(float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)/1024, "MiB-peak") // Linux: KiB
	}
}

// roots is the file with the certificate of the link.
func (w *weakRun) roots() string { return filepath.Join(filepath.Dir(w.dir), "roots.pem") }

func glob(pattern string) []string {
	names, _ := filepath.Glob(pattern)
	return names
}

const weakToolchain = "v0.0.1-go1.25.7.linux-amd64" // as in scripts/weak-tree.sh

// BenchmarkWeakMirrors has a set of a dead mirror, one that stalls, and a good one.
func BenchmarkWeakMirrors(b *testing.B) {
	r := newWeakRig(b)
	silent := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	for b.Loop() {
		good := weaklink.Start(longLink, r.handler)
		stalls := longLink
		stalls.Faults = weaklink.Faults{Stall: 1}
		alone := r.runOver(b, "small", good)
		d := alone.must(b, alone.exec(download...)...)
		alone.rate = longLink.Rate
		alone.report(b, d, "the good one alone")
		good.Reset()
		w := r.runOver(b, "small", weaklink.Start(longLink, silent), good)
		took := w.must(b, w.exec(download...)...)
		w.link = good
		w.report(b, took, "dead=good")
		b.ReportMetric((took - d).Seconds(), "s-more-dead")
		good.Reset()
		w = r.runOver(b, "small", weaklink.Start(longLink, silent), weaklink.Start(stalls, r.handler), good)
		took = w.must(b, w.exec(download...)...)
		w.link = good
		w.report(b, took, "dead=stalling=good")
		b.ReportMetric((took - d).Seconds(), "s-more")
	}
}

// BenchmarkWeakForged has a mirror whose zips are forged, before a good one.
func BenchmarkWeakForged(b *testing.B) {
	r := newWeakRig(b)
	forged := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasSuffix(req.URL.Path, ".zip") {
			req = req.Clone(req.Context())
			req.URL.Path = "/golang.org/x/mod/@v/v0.19.0.zip" // of another module version
		}
		r.handler.ServeHTTP(w, req)
	})
	for b.Loop() {
		good := weaklink.Start(longLink, r.handler)
		w := r.runOver(b, "small", weaklink.Start(longLink, forged), good)
		took := w.must(b, w.exec(download...)...)
		w.link = good
		w.report(b, took, "forged=good")
	}
}
