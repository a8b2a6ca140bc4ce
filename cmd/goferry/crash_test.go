package main

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

var crashSeed = flag.Uint64("crash.seed", 0, "seed of TestCrash; 0 takes a new one")

// A crash is a cache whose server is killed again and again.
type crash struct {
	r       *rig
	rnd     *rand.Rand
	names   []string                     // all files that may be asked for
	sums    map[string][sha256.Size]byte // of the files as upstream has them, once they were asked for
	good    map[string]os.FileInfo       // files of the cache that were found whole
	halves  int                          // kills that left unfinished files behind
	answers atomic.Int64                 // that came whole
}

// killsOr is how often a test kills: n times, or as GOFERRY_KILLS says.
func killsOr(n int) int {
	if env, err := strconv.Atoi(os.Getenv("GOFERRY_KILLS")); err == nil {
		return env
	}
	return n
}

// TestCrash kills a server at random moments of many fills, and starts another over the same
// cache, again and again (GOFERRY_KILLS: how often). Whatever is in the cache is whole, and unfinished files do not stay.
func TestCrash(t *testing.T) {
	t.Parallel()
	kills := killsOr(100)
	seed := *crashSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("go test ./cmd/goferry -run TestCrash -crash.seed=%d", seed)
	c := &crash{r: newRig(t), rnd: rand.New(rand.NewPCG(seed, 0)), sums: map[string][sha256.Size]byte{}, good: map[string]os.FileInfo{}}
	c.addModules()
	for i := range kills {
		s := c.r.serve(t, "--log-access=false", "--fresh-list=0s", "--fresh-latest=0s")
		c.check(t, 1)
		c.killAmidFills(t, s)
		if len(c.spooled(t)) > 2 {
			c.halves++
		}
		if t.Failed() {
			t.Fatalf("after kill %d", i+1)
		}
	}
	s := c.r.serve(t)
	clear(c.good) // now all of them, once more
	c.check(t, 1)
	s.quit(t)
	c.check(t, 0)
	t.Logf("%d kills, %d of them left unfinished files; %d whole answers, %d files in the cache", kills, c.halves, c.answers.Load(), len(c.good))
	if c.halves < kills/10 || len(c.good) < kills {
		t.Error("too little was under way: the kills prove nothing")
	}
	// What the checksum database said is whole as well: all can be verified without a network.
	c.r.up.Down()
	if out, _ := c.r.must(t, "goferry", "cache", "verify"); !strings.Contains(out, " 0 bad, 0 repaired, 0 not checked") {
		t.Errorf("verify says %s", out)
	}
}

// addModules fills the upstream: many small modules, and some of 1 MB.
func (c *crash) addModules() {
	for i := range 1200 {
		path, size := fmt.Sprintf("example.com/m%04d", i), int64(c.rnd.IntN(20000))
		if i%12 == 0 {
			size = 1 << 20
		}
		c.r.up.AddRandom(path, "v1.0.0", size)
		for _, file := range []string{"@v/v1.0.0.info", "@v/v1.0.0.mod", "@v/v1.0.0.zip", "@v/list", "@latest"} {
			c.names = append(c.names, path+"/"+file)
		}
	}
}

// killAmidFills asks for random files side by side and kills the server at a random moment after
// the first whole answer: a busy machine takes its time until then.
func (c *crash) killAmidFills(t *testing.T, s *served) {
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	hc := &http.Client{Transport: tr}
	var wg sync.WaitGroup
	stop, first := make(chan struct{}), make(chan struct{})
	begun := sync.OnceFunc(func() { close(first) })
	for range 6 {
		rnd := rand.New(rand.NewPCG(c.rnd.Uint64(), 1))
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if c.ask(t, hc, s.url, c.names[rnd.IntN(len(c.names))]) {
						begun()
					}
				}
			}
		})
	}
	select {
	case <-first:
	case <-time.After(20 * time.Second):
		t.Error("no answer came")
	}
	moment := time.NewTimer(time.Duration(c.rnd.IntN(60_000)) * time.Microsecond)
	<-moment.C
	s.kill()
	close(stop)
	wg.Wait()
}

// ask wants an answer that ends cleanly to be the whole file, and reports whether one came.
func (c *crash) ask(t *testing.T, hc *http.Client, url, name string) bool {
	resp, err := hc.Get(url + "/" + name)
	if err != nil {
		return false // killed
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return false
	}
	if resp.StatusCode != http.StatusOK {
		t.Errorf("%s: %s\n%s", name, resp.Status, body)
		return false
	}
	c.answers.Add(1)
	if want := c.upstream(t, name); !bytes.Equal(body, want) {
		t.Errorf("%s: got %d bytes that are not the %d of upstream", name, len(body), len(want))
	}
	return true
}

// upstream is the file as upstream has it, without the network.
func (c *crash) upstream(t *testing.T, name string) []byte {
	return fileOf(t, c.r.up.Handler, "/"+name)
}

// check looks at every file of the cache that is new since the last time, and at the spool, which
// has nothing but what so many living servers keep there.
func (c *crash) check(t *testing.T, living int) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(c.r.cache()), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if _, err := goproxy.ParseRequest(name); err != nil {
			return nil // the checksum database's, and the store's own
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if old := c.good[name]; old != nil && os.SameFile(old, info) {
			return nil
		}
		got, err := os.ReadFile(filepath.Join(c.r.cache(), filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		want, ok := c.sums[name]
		if !ok {
			want = sha256.Sum256(c.upstream(t, name))
			c.sums[name] = want
		}
		if sha256.Sum256(got) != want {
			t.Errorf("%s is in the cache with %d bytes, and not what upstream has", name, len(got))
		}
		c.good[name] = info
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if left := c.spooled(t); len(left) > 2*living {
		t.Errorf("left in the spool of %d living servers: %v", living, left)
	}
}

// spooled lists what is in the spool; an idle server has a folder there, and a lock beside it.
func (c *crash) spooled(t *testing.T) []string {
	t.Helper()
	return spoolFiles(t, filepath.Join(c.r.cache(), ".goferry", "spool"))
}
