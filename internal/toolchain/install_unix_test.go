//go:build unix

package toolchain

import (
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// instLimit limits the size that files of this process can have.
func instLimit(bytes int) error {
	signal.Ignore(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	instSet(&limit.Cur, bytes)
	instSet(&limit.Max, bytes)
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
}

// instSet exists because the systems do not agree on the type of a limit.
func instSet[T int64 | uint64](to *T, n int) { *to = T(n) }

// TestInstallFull: a disk that is full while a tree is unpacked is said to be, and nothing is left but the download.
func TestInstallFull(t *testing.T) {
	r := newInstRelease(t, instTarget)
	p := newInstPlace(t, Modules, map[string][]byte{r.moduleFile: r.module})
	i := newInstaller(t, map[Target]string{instTarget: r.h1}, p.place("there"))
	const limit = 100_000
	if len(r.module) >= limit {
		t.Fatalf("the zip has %d bytes: the test has lost its teeth", len(r.module))
	}
	for _, limit := range []int{limit, len(r.module) / 2} {
		cmd, out := instStart(t, instRole{Dir: i.Home.Dir, URL: p.URL, H1: r.h1, Limit: limit})
		out.Scan()
		if !strings.HasPrefix(out.Text(), "installed false full true") {
			t.Errorf("limit %d: %s", limit, out.Text())
		}
		for out.Scan() {
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		if n := instTempFiles(i.Home); n > 0 {
			t.Errorf("%d files of a tree were left", n)
		}
	}
	if _, _, err := i.Install(t.Context(), instTarget); err != nil {
		t.Fatal(err)
	}
	wantInstalled(t, i, instTarget, r)
}
