package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/goproxytest"
)

// The benchmarks of docs/benchmarks.md. Each builds the real binary and runs it as a process of its
// own, with its defaults: access log to a file, checks against a checksum database.

// BenchmarkWarm compares hits with a bare net/http handler that writes the same bytes from
// memory, and with http.FileServer, in the same run: requests of a round go to the three
// in turn. Metrics are medians of the rounds: x-bare is goferry's throughput as a part of the
// bare handler's.
func BenchmarkWarm(b *testing.B) {
	up := goproxytest.New(b)
	up.AddModule("example.com/m", "v1.0.0", map[string]string{
		"go.mod": "module example.com/m\n\ngo 1.21\n" + strings.Repeat("// a line of a go.mod file of usual size\n", 6)})
	up.AddRandom("example.com/m", "v1.1.0", 1<<20)
	ferry := startBinary(b, up)
	for _, file := range []string{"v1.0.0.mod", "v1.1.0.zip"} {
		kind, requests := "mod-300B", 16000
		if strings.HasSuffix(file, "zip") {
			kind, requests = "zip-1MB", 400
		}
		path := "/example.com/m/@v/" + file
		body := fetch(b, ferry.url+path)
		bare := startPeer(b, "bare", writeTemp(b, path, body))
		files := startPeer(b, "files", writeTemp(b, path, body))
		b.Run(kind, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			var vsBare, vsFiles, rps []float64
			for b.Loop() {
				tb := load(b, bare, path, requests, len(body))
				tf := load(b, ferry.url, path, requests, len(body))
				ts := load(b, files, path, requests, len(body))
				vsBare = append(vsBare, tb.Seconds()/tf.Seconds())
				vsFiles = append(vsFiles, ts.Seconds()/tf.Seconds())
				rps = append(rps, float64(requests)/tf.Seconds())
			}
			b.ReportMetric(median(vsBare), "x-bare")
			b.ReportMetric(median(vsFiles), "x-fileserver")
			b.ReportMetric(median(rps), "req/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkColdZips fills eight zips of 200 MB at once and reports the largest resident set of
// the server.
func BenchmarkColdZips(b *testing.B) {
	up := goproxytest.New(b)
	const n = 8
	for i := range n {
		up.AddRandom(fmt.Sprintf("example.com/big%d", i), "v1.0.0", 200<<20)
	}
	for b.Loop() {
		ferry := startBinary(b, up)
		start := time.Now()
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				resp, err := http.Get(fmt.Sprintf("%s/example.com/big%d/@v/v1.0.0.zip", ferry.url, i))
				if err != nil {
					b.Error(err)
					return
				}
				defer resp.Body.Close()
				if got, err := io.Copy(io.Discard, resp.Body); err != nil || got < 200<<20 {
					b.Errorf("got %d bytes, %v", got, err)
				}
			})
		}
		wg.Wait()
		b.ReportMetric(time.Since(start).Seconds(), "s")
		b.ReportMetric(ferry.peakMB(b), "peak-RSS-MB")
		ferry.stop(b)
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkFirstByte measures how much later than the upstream's first byte that of a cold 64 MB
// zip leaves, when the upstream drips at 15 MB/s.
func BenchmarkFirstByte(b *testing.B) {
	var sent time.Time
	drip := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const chunk = 15 << 20 / 100 // each 10 ms
		w.Header().Set("Content-Length", strconv.Itoa(64<<20))
		buf := make([]byte, chunk)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		sent = time.Now()
		for left := 64 << 20; left > 0; left -= chunk {
			if _, err := w.Write(buf[:min(chunk, left)]); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	}))
	defer drip.Close()
	ferry := startFerry(b, "GOFERRY_UPSTREAM="+drip.URL, "GOFERRY_SUMDB=off")
	var delays []float64
	i := 0
	for b.Loop() {
		i++
		resp, err := http.Get(fmt.Sprintf("%s/example.com/m/@v/v1.0.%d.zip", ferry.url, i))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(resp.Body, make([]byte, 1)); err != nil {
			b.Fatal(err)
		}
		delays = append(delays, time.Since(sent).Seconds()*1000)
		resp.Body.Close()
	}
	b.ReportMetric(median(delays), "ms-after-upstream")
	b.ReportMetric(slices.Max(delays), "ms-max")
	b.ReportMetric(0, "ns/op")
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}

// built is a goferry serve built from this tree.
type built struct {
	cmd *exec.Cmd
	url string
}

func startBinary(b *testing.B, up *goproxytest.Server) *built {
	return startFerry(b, "GOFERRY_UPSTREAM="+up.URL, "GOSUMDB="+up.GOSUMDB())
}

func startFerry(b *testing.B, env ...string) *built {
	b.Helper()
	dir := b.TempDir()
	bin := filepath.Join(dir, "goferry")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(bin, "serve", "--listen", "127.0.0.1:0", "--cache", filepath.Join(dir, "cache"), "--lang", "en")
	cmd.Env = append(os.Environ(), append(env, "GOENV=off", "GOPRIVATE=", "GONOSUMDB=")...)
	return &built{cmd: cmd, url: startAndWait(b, cmd, listening)}
}

// startAndWait starts cmd with a file as its stderr and returns what re matches there.
func startAndWait(b *testing.B, cmd *exec.Cmd, re *regexp.Regexp) string {
	b.Helper()
	log, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait(); log.Close() })
	for range 500 {
		data, _ := os.ReadFile(log.Name())
		if m := re.FindSubmatch(data); m != nil {
			return string(m[1])
		}
		time.Sleep(20 * time.Millisecond)
	}
	b.Fatal("the server did not come up")
	return ""
}

func (p *built) stop(b *testing.B) {
	_ = p.cmd.Process.Signal(os.Interrupt)
	if err := p.cmd.Wait(); err != nil {
		b.Error(err)
	}
}

// peakMB is the largest resident set so far, as Linux counts it.
func (p *built) peakMB(b *testing.B) float64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		b.Skip("needs /proc: ", err)
	}
	_, rest, _ := strings.Cut(string(data), "VmHWM:")
	kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	return kb / 1000
}

const peerEnv = "GOFERRY_BENCH_PEER"

// startPeer runs one of the servers to compare with, as a process of its own: this test binary.
func startPeer(b *testing.B, kind, dir string) string {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), peerEnv+"="+kind+" "+dir)
	return startAndWait(b, cmd, regexp.MustCompile(`peer on (\S+)\n`))
}

// servePeer is the life of such a process.
func servePeer(spec string) {
	kind, dir, _ := strings.Cut(spec, " ")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var h http.Handler = http.FileServer(http.Dir(dir))
	if kind == "bare" {
		var body []byte
		_ = filepath.WalkDir(dir, func(p string, d os.DirEntry, _ error) error {
			if d.Type().IsRegular() {
				body, _ = os.ReadFile(p)
			}
			return nil
		})
		length := strconv.Itoa(len(body))
		h = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Header().Set("Content-Length", length)
			_, _ = w.Write(body)
		})
	}
	fmt.Fprintf(os.Stderr, "peer on http://%s\n", ln.Addr())
	_ = http.Serve(ln, h)
}

// writeTemp makes a folder in which body has the name path.
func writeTemp(b *testing.B, path string, body []byte) string {
	dir := b.TempDir()
	file := filepath.Join(dir, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(file, body, 0o666); err != nil {
		b.Fatal(err)
	}
	return dir
}

func fetch(b *testing.B, url string) []byte {
	b.Helper()
	var body []byte
	for range 2 { // cold, then warm
		resp, err := http.Get(url)
		if err != nil {
			b.Fatal(err)
		}
		body, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			b.Fatalf("%s: %s %v\n%s", url, resp.Status, err, body)
		}
	}
	return body
}

// load sends n requests over 16 connections and returns how long they took. The client does as
// little as it can, so that the server is what is measured.
func load(b *testing.B, base, path string, n, size int) time.Duration {
	b.Helper()
	u, err := url.Parse(base)
	if err != nil {
		b.Fatal(err)
	}
	const conns = 16
	start := time.Now()
	var wg sync.WaitGroup
	for range conns {
		wg.Go(func() {
			if err := pump(context.Background(), u.Host, path, n/conns, size); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}

func pump(ctx context.Context, host, path string, n, size int) error {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", host)
	if err != nil {
		return err
	}
	defer c.Close()
	req := []byte("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
	r := bufio.NewReaderSize(c, 64<<10)
	for range n {
		if _, err := c.Write(req); err != nil {
			return err
		}
		length := -1
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return err
			}
			if len(line) == 2 {
				break
			}
			if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
				length, _ = strconv.Atoi(string(bytes.TrimSpace(v)))
			}
		}
		if length != size {
			return fmt.Errorf("%s%s: %d bytes, want %d", host, path, length, size)
		}
		if _, err := r.Discard(length); err != nil {
			return err
		}
	}
	return nil
}
