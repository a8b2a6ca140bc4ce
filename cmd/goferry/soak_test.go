//go:build weak

package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/weaklink"
)

const (
	soakLimit    = 3 * time.Minute // for one go command; a link that works needs seconds
	soakResident = 300 << 20       // bytes that the server may have in memory
)

// TestSoak (make soak) has servers in front of weak links whose faults change at random, and
// real go commands in front of the servers, one after the other, each with an empty GOMODCACHE; now and
// then the cache is emptied, a link is cut, or a go command is killed in the middle. All that are
// left in peace must succeed with the output and the go.sum that they have over a good link, in
// time; and in the end the servers hold no more goroutines and files than at the beginning.
//
// It takes as long as SOAK says (10m where it says nothing). SOAK_SEED repeats the choices of a run.
func TestSoak(t *testing.T) {
	length, seed := 10*time.Minute, uint64(time.Now().UnixNano())
	var err error
	if s := os.Getenv("SOAK"); s != "" {
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	if s := os.Getenv("SOAK_SEED"); s != "" {
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SOAK_SEED=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	soaks := []*soak{madeSoak(t, rnd)}
	if s := treeSoak(t, rnd); s != nil {
		soaks = append(soaks, s)
	} else {
		t.Log("the tree of real modules is not there (scripts/weak-tree.sh fetches it): modules that were made for this alone")
	}
	for start, n := time.Now(), 0; time.Since(start) < length; n++ {
		soaks[n%len(soaks)].round(t, n)
	}
	for _, s := range soaks {
		s.end(t)
	}
}

// A soak is a server, its links, and what is asked of it.
type soak struct {
	*rig
	name   string
	rnd    *rand.Rand
	links  []*weaklink.Link
	roots  string
	jobs   []*soakJob
	server *served
	base   footprint

	runs, killed, emptied int
	most                  int64 // resident bytes
	slowest               time.Duration
}

// A soakJob is a go command, and what it prints and writes to go.sum over a good link.
type soakJob struct {
	argv       []string
	mod        string // go.mod
	want, sums string
}

// newSoak starts a server in front of weak links to upstream.
func newSoak(t *testing.T, name string, rnd *rand.Rand, upstream http.Handler, gosumdb string, jobs []*soakJob) *soak {
	t.Helper()
	s := &soak{rig: newRig(t), name: name, rnd: rnd, jobs: jobs}
	s.vars["GOSUMDB"], s.vars["GOFLAGS"] = gosumdb, "-modcacherw -mod=mod"
	s.vars["GOFERRY_LINK_RETRIES"] = ""
	s.vars["GOFERRY_LINK_STALL_TIMEOUT"], s.vars["GOFERRY_LINK_FIRST_BYTE_TIMEOUT"] = "1s", "5s"
	good := weaklink.Start(weaklink.Config{}, upstream)
	defer good.Close()
	for _, job := range jobs {
		out, sums, err := s.do(t.Context(), t, job, good.URL(), nil)
		if err != nil {
			t.Fatalf("%v over a good link: %v\n%s", job.argv, err, out)
		}
		job.want, job.sums = out, sums
	}
	for _, cfg := range []weaklink.Config{
		{RTT: 20 * time.Millisecond, Rate: 20 << 20, PerConn: 4 << 20, TLS: true},
		{RTT: 5 * time.Millisecond, PerConn: 8 << 20},
	} {
		link := weaklink.Start(cfg, upstream)
		t.Cleanup(link.Close)
		s.links = append(s.links, link)
	}
	s.roots = filepath.Join(s.work, "roots.pem")
	if err := os.WriteFile(s.roots, s.links[0].CertPEM(), 0o666); err != nil {
		t.Fatal(err)
	}
	s.vars["GOFERRY_TLS_ROOTS"] = s.roots
	s.vars["GOFERRY_UPSTREAM"] = s.links[0].URL() + "=" + s.links[1].URL()
	s.server = s.serve(t)
	s.base = s.server.footprint(t)
	return s
}

// madeSoak has modules that were made for it, with a graph, among them large ones.
func madeSoak(t *testing.T, rnd *rand.Rand) *soak {
	t.Helper()
	up := newRig(t).up
	const modules = 30
	var requires []string
	for n := range modules {
		path := fmt.Sprintf("example.com/soak/m%d", n)
		for _, version := range []string{"v1.0.0", "v1.1.0"} {
			mod := fmt.Sprintf("module %s\n\ngo 1.%d\n", path, 16+rnd.IntN(2))
			for _, other := range rnd.Perm(n)[:min(n, rnd.IntN(5))] {
				mod += fmt.Sprintf("\nrequire example.com/soak/m%d v1.%d.0\n", other, rnd.IntN(2))
			}
			data := make([]byte, 100+rnd.IntN(1<<(6+rnd.IntN(12))))
			for i := range data {
				data[i] = byte(rnd.Uint32())
			}
			up.AddModule(path, version, map[string]string{"go.mod": mod, "m.go": "package m\n\n// " + hex.EncodeToString(data) + "\n"})
		}
		if n >= modules-4 {
			requires = append(requires, path+" v1.0.0")
		}
	}
	up.AddRandom("example.com/soak/large", "v1.0.0", 6<<20)
	up.AddRandom("example.com/soak/large", "v1.1.0", 12<<20)
	up.AddModule("example.com/app", "v1.0.0", map[string]string{"app.go": "package app\n"}) // which -versions asks for
	app := "module example.com/app\n\ngo 1.21\n\nrequire (\n\t" + strings.Join(requires, "\n\t") + "\n)\n"
	return newSoak(t, "made", rnd, up.Handler, up.GOSUMDB(), []*soakJob{
		{mod: app, argv: []string{"go", "mod", "download", "-json", "all"}},
		{mod: app, argv: []string{"go", "list", "-m", "-u", "-versions", "all"}},
		{mod: app, argv: []string{"go", "mod", "graph"}},
		{mod: app, argv: []string{"go", "mod", "download", "-json", "example.com/soak/large@v1.0.0", "example.com/soak/large@latest"}},
	})
}

// treeSoak has the real modules of the benchmarks; nil where they are not there.
func treeSoak(t *testing.T, rnd *rand.Rand) *soak {
	t.Helper()
	root := filepath.Join("..", "..", ".bench", "weak")
	if _, err := os.Stat(filepath.Join(root, "done")); err != nil {
		return nil
	}
	h, gosumdb, err := weaklink.Tree(filepath.Join(root, "mod", "cache", "download"))
	if err != nil {
		t.Fatal(err)
	}
	var jobs []*soakJob
	for project, argv := range map[string][]string{
		"small": {"go", "mod", "download", "-json"},
		"graph": {"go", "list", "-m", "all"},
	} {
		mod, err := os.ReadFile(filepath.Join(root, "projects", project, "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, &soakJob{mod: string(mod), argv: argv})
	}
	slices.SortFunc(jobs, func(a, b *soakJob) int { return slices.Compare(a.argv, b.argv) })
	return newSoak(t, "tree", rnd, h, gosumdb, jobs)
}

// do runs a job with an empty GOMODCACHE and returns what it prints, without the names of folders, and
// its go.sum. wrap stands before the command.
func (s *soak) do(ctx context.Context, t *testing.T, job *soakJob, proxy string, wrap []string) (out, sums string, err error) {
	t.Helper()
	dir, err := os.MkdirTemp(s.work, "run")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(job.mod), 0o666); err != nil {
		t.Fatal(err)
	}
	modcache := filepath.Join(dir, "modcache")
	argv := slices.Concat(wrap, job.argv)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, s.environ("GOPROXY="+proxy, "GOMODCACHE="+modcache), 5*time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String() + stderr.String(), "", err
	}
	data, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.ReplaceAll(stdout.String(), modcache, "$GOMODCACHE"), string(data), nil
}

// round chooses faults and lets a go command meet them.
func (s *soak) round(t *testing.T, n int) {
	t.Helper()
	faults := s.spoil()
	job := s.jobs[s.rnd.IntN(len(s.jobs))]
	if s.rnd.IntN(3) == 0 {
		s.empty(t)
	}
	if s.rnd.IntN(5) == 0 {
		s.killed++
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(s.rnd.IntN(1500))*time.Millisecond)
		_, _, _ = s.do(ctx, t, s.jobs[s.rnd.IntN(len(s.jobs))], s.server.url, nil)
		cancel()
	}
	var wrap []string
	proxy := s.server.url
	if s.rnd.IntN(4) == 0 {
		proxy, wrap = "off", []string{"goferry", "exec", "--"} // beside the server, with the same cache
	}
	var cut sync.WaitGroup
	if s.rnd.IntN(4) == 0 {
		link := s.links[s.rnd.IntN(len(s.links))]
		later := time.NewTimer(time.Duration(s.rnd.IntN(800)) * time.Millisecond)
		cut.Go(func() { <-later.C; link.Cut() })
	}
	ctx, cancel := context.WithTimeout(t.Context(), soakLimit)
	defer cancel()
	start := time.Now()
	out, sums, err := s.do(ctx, t, job, proxy, wrap)
	took := time.Since(start)
	cut.Wait()
	s.runs++
	s.slowest = max(s.slowest, took)
	about := fmt.Sprintf("round %d (%s; %s): %s after %v", n, s.name, faults, strings.Join(slices.Concat(wrap, job.argv), " "), took.Round(time.Millisecond))
	switch {
	case ctx.Err() != nil:
		t.Fatalf("%s: hangs\n%s\nthe server's log ends with\n%s\n%s", about, out, s.server.log.tail(), s.server.goroutines(t))
	case err != nil:
		t.Fatalf("%s: %v\n%s\nthe server's log ends with\n%s", about, err, out, s.server.log.tail())
	case out != job.want || sums != job.sums:
		t.Fatalf("%s: other than over a good link (-want +got)\n%s%s\nthe server's errors:\n%s", about,
			cmp.Diff(strings.Split(job.want, "\n"), strings.Split(out, "\n")),
			cmp.Diff(strings.Split(job.sums, "\n"), strings.Split(sums, "\n")), s.errors())
	}
	now := s.server.footprint(t)
	s.most = max(s.most, now.resident)
	if now.resident > soakResident {
		t.Fatalf("%s: the server has %d MB in memory", about, now.resident>>20)
	}
	t.Logf("%s; %d goroutines, %d files, %d MB", about, now.goroutines, now.files, now.resident>>20)
}

// errors are the lines of the server's log that are none of successes.
func (s *soak) errors() string {
	var out []string
	for line := range strings.Lines(s.server.log.all()) {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
			out = append(out, line)
		}
	}
	return strings.Join(out[max(0, len(out)-100):], "")
}

// spoil chooses the faults of both links, and says which. One of them may fail every time; what the
// other does must be bearable.
func (s *soak) spoil() string {
	part := func(most float64) float64 { return s.rnd.Float64() * most }
	faults := make([]weaklink.Faults, len(s.links))
	for i := range faults {
		faults[i] = weaklink.Faults{Seed: s.rnd.Uint64(), Cut: part(0.15), Stall: part(0.03), Reset: part(0.05), Unavailable: part(0.05), HTTP2: part(0.02)}
	}
	if s.rnd.IntN(3) == 0 {
		faults[s.rnd.IntN(len(faults))] = []weaklink.Faults{{Reset: 1}, {Unavailable: 1}, {Stall: 1}, {Cut: 1}}[s.rnd.IntN(4)]
	}
	var said []string
	for i, link := range s.links {
		f := faults[i]
		link.SetFaults(f)
		said = append(said, fmt.Sprintf("cut %.2f stall %.2f reset %.2f 503 %.2f h2 %.2f", f.Cut, f.Stall, f.Reset, f.Unavailable, f.HTTP2))
	}
	return strings.Join(said, ", ")
}

// empty empties the cache, which the server has open.
func (s *soak) empty(t *testing.T) {
	t.Helper()
	s.emptied++
	if out, errs, code := s.run(t, "goferry", "cache", "rm", "*"); code != 0 && code != 10 {
		t.Fatalf("cache rm: exit code %d\n%s%s", code, out, errs)
	}
}

// end looks at what is left when all is over.
func (s *soak) end(t *testing.T) {
	t.Helper()
	var st weaklink.Stats
	for _, link := range s.links {
		one := link.Stats()
		st.Requests, st.Faults, st.Conns, st.Down = st.Requests+one.Requests, st.Faults+one.Faults, st.Conns+one.Conns, st.Down+one.Down
		link.Close()
	}
	t.Logf("%s: %d go commands were right, the slowest took %v; %d were killed; the cache was emptied %d times; %d requests met %d faults on %d connections; at most %d MB in memory",
		s.name, s.runs, s.slowest.Round(time.Millisecond), s.killed, s.emptied, st.Requests, st.Faults, st.Conns, s.most>>20)
	s.server.comesBack(t, s.base)
	s.server.quit(t)
	if out, errs, code := s.run(t, "goferry", "cache", "verify"); code != 0 {
		t.Errorf("cache verify: exit code %d\n%s%s", code, out, errs)
	}
}
