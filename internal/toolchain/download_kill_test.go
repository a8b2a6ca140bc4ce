package toolchain

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestFetchKilled kills a process that downloads, again and again, at random moments. Each
// one goes on with what the one before had made to last, and the whole is the file.
func TestFetchKilled(t *testing.T) {
	l := newFetchLab(t)
	if dir := os.Getenv("FETCH_TEST_DIR"); dir != "" {
		fetchUntilKilled(l, dir, os.Getenv("FETCH_TEST_URL"))
		return
	}
	const kills = 16
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	h := &fetchHost{data: fetchData(1, 32<<20), etag: `"one"`}
	o := l.place("it", h)
	tmp := t.TempDir()
	for i := range kills {
		child := exec.Command(os.Args[0], "-test.run=^TestFetchKilled$", "-test.count=1")
		child.Env = append(os.Environ(), "FETCH_TEST_DIR="+l.Dir, "FETCH_TEST_URL="+o.URL, "TMPDIR="+tmp, "TMP="+tmp) // a killed test leaves its own folder
		in, err := child.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for range 2 + r.IntN(10) {
			if !lines.Scan() || !strings.HasPrefix(lines.Text(), "done ") {
				t.Fatalf("kill %d: the process says %q", i, lines.Text())
			}
			io.WriteString(in, "\n")
		}
		child.Process.Kill() // while it writes, syncs or renames
		io.Copy(io.Discard, out)
		child.Wait()
	}
	d := l.want(h.data, o)
	began := 0
	for i, ask := range append(h.requests()[:kills], fmt.Sprintf("bytes=%d-|", d.Resumed)) {
		from := 0
		fmt.Sscanf(ask, "bytes=%d-", &from)
		if from < began-fetchOverlap || i == kills && from == 0 {
			t.Errorf("process %d began at %d, after one that had begun at %d", i, from, began)
		}
		began = from
	}
	t.Logf("the last one went on at %d", d.Resumed)
}

// fetchUntilKilled says how far it is and waits for a line after each step.
func fetchUntilKilled(l *fetchLab, dir, url string) {
	l.Dir, l.SlowAfter = dir, -1
	clock := time.Unix(1e9, 0)
	l.now = func() time.Time { return clock }
	in := bufio.NewReader(os.Stdin)
	l.Progress = func(p Progress) {
		clock = clock.Add(partEvery) // all is saved all the time
		fmt.Println("done", p.Done)
		in.ReadString('\n')
	}
	l.fetch(Offer{Place: Place{Name: "it"}, URL: url})
}
