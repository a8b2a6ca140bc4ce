package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/goferry/goferry/internal/weaklink"
)

// hostile are faults of internal/goproxytest, for what no link does but an upstream may.
var hostile = []string{"eof", "html", "short/50%", "corrupt", "wrongsum", "badzip/truncated", "badzip/notzip", "nolength",
	"norange", "newetag", "only/mod/endless", "only/info/endless", "redirect/3", "redirect/30", "410", "429"}

// TestNothingLeaks has a server meet a thousand faults, of links and of upstreams, with clients that leave
// in the middle. It never answers with wrong bytes, does not say "not found" of what is there, and
// when all is over it holds no more goroutines and files than before.
func TestNothingLeaks(t *testing.T) {
	for _, sep := range []string{"|", "="} {
		t.Run(map[string]string{"|": "list", "=": "mirrors"}[sep], func(t *testing.T) {
			t.Parallel()
			faults := int64(500)
			if raceEnabled {
				faults = 250
			}
			newLeakRig(t, sep).run(t, faults)
		})
	}
}

// A leakRig is a server whose upstreams are two weak links to one proxy, which is hostile for
// every third module.
type leakRig struct {
	*rig
	server *served
	links  []*weaklink.Link
	ends   atomic.Int64 // hostile answers
	askers *http.Transport
	hc     *http.Client
}

const leakModules = 600

func newLeakRig(t *testing.T, sep string) *leakRig {
	t.Helper()
	l := &leakRig{rig: newRig(t), askers: &http.Transport{MaxIdleConnsPerHost: 64}}
	l.hc = &http.Client{Transport: l.askers}
	t.Cleanup(l.askers.CloseIdleConnections)
	for n := range leakModules {
		l.up.AddRandom(leakModule(n), "v1.0.0", 30_000)
	}
	for n := range 2 {
		l.up.AddRandom(largeModule(n), "v1.0.0", 3<<20)
	}
	faults := weaklink.Faults{Seed: 1, Cut: 0.2, Stall: 0.05, Reset: 0.2, Unavailable: 0.1, HTTP2: 0.1}
	for _, secure := range []bool{false, true} {
		cfg := weaklink.Config{TLS: secure, Faults: faults}
		if !secure {
			cfg.PerConn = 1 << 20 // so that the large ones come over several connections
		}
		link := weaklink.Start(cfg, http.HandlerFunc(l.upstream))
		t.Cleanup(link.Close)
		l.links = append(l.links, link)
	}
	roots := filepath.Join(l.work, "roots.pem")
	if err := os.WriteFile(roots, l.links[1].CertPEM(), 0o666); err != nil {
		t.Fatal(err)
	}
	l.vars["GOFERRY_UPSTREAM"] = l.links[0].URL() + sep + l.links[1].URL()
	l.vars["GOFERRY_LINK_RETRIES"] = "2"
	l.server = l.serve(t, "--tls-roots="+roots, "--link-stall-timeout=150ms", "--link-first-byte-timeout=500ms", "--link-split=1MiB")
	return l
}

func leakModule(n int) string { return fmt.Sprintf("example.com/leak/m%d", n) }

func largeModule(n int) string { return fmt.Sprintf("example.com/large/m%d", n) }

// upstream spoils what belongs to every third module.
func (l *leakRig) upstream(w http.ResponseWriter, r *http.Request) {
	if fault := hostileTo(r.URL.Path); fault != "" {
		l.ends.Add(1)
		r = r.Clone(r.Context())
		r.URL.Path, r.URL.RawPath = "/"+fault+r.URL.Path, ""
	}
	l.up.ServeHTTP(w, r)
}

// faults is how many there have been.
func (l *leakRig) faults() int64 {
	sum := l.ends.Load()
	for _, link := range l.links {
		sum += link.Stats().Faults
	}
	return sum
}

func (l *leakRig) run(t *testing.T, want int64) {
	base := l.server.footprint(t)
	var next atomic.Int64
	var asking sync.WaitGroup
	for worker := range 32 {
		asking.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(worker)))
			if worker < 2 {
				l.ask(t, rnd, largeModule(worker), "zip", worker == 1)
			}
			for n := int(next.Add(1)) - 1; n < leakModules && l.faults() < want; n = int(next.Add(1)) - 1 {
				for _, kind := range []string{"info", "mod", "zip"} {
					l.ask(t, rnd, leakModule(n), kind, rnd.IntN(3) == 0)
				}
			}
		})
	}
	asking.Wait()
	if got := l.faults(); got < want {
		t.Fatalf("there were %d faults, and are to be %d", got, want)
	}
	l.askers.CloseIdleConnections()
	for _, link := range l.links {
		link.Close()
	}
	l.server.comesBack(t, base)
	l.server.quit(t)
}

// ask asks for a file. Who leaves does so before the answer or in its midst; the others must get the right
// bytes, or an error that does not say that the file does not exist.
func (l *leakRig) ask(t *testing.T, rnd *rand.Rand, module, kind string, leave bool) {
	path := "/" + module + "/@v/v1.0.0." + kind
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.server.url+path, nil)
	if err != nil {
		t.Error(err)
		return
	}
	if leave && rnd.IntN(2) == 0 {
		go cancel() // somewhere between now and the answer
	}
	resp, err := l.hc.Do(req)
	if err != nil {
		if !leave {
			t.Errorf("%s: %v\n%s", path, err, l.server.log.tail())
		}
		return
	}
	defer resp.Body.Close()
	if leave {
		_, _ = io.CopyN(io.Discard, resp.Body, 1+rnd.Int64N(20_000))
		return
	}
	body, err := io.ReadAll(resp.Body)
	fault := hostileTo(path)
	switch {
	case resp.StatusCode == http.StatusOK && err == nil:
		// Nobody can tell that a .info was changed.
		if want := fileOf(t, l.up.Handler, path); !bytes.Equal(body, want) && (kind != "info" || fault == "") {
			t.Errorf("%s (%s): %d bytes, which are not the %d of the upstream", path, fault, len(body), len(want))
		}
	case resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusGone:
		if fault != "410" {
			t.Errorf("%s (%s): %s\n%s", path, fault, resp.Status, body)
		}
	}
}

// hostileTo is what the upstream does to path; "" for nothing.
func hostileTo(path string) string {
	var n int
	if _, err := fmt.Sscanf(path, "/example.com/leak/m%d/", &n); err != nil || n%3 != 0 {
		return ""
	}
	return hostile[n/3%len(hostile)]
}
