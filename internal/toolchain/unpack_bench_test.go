package toolchain

import (
	"archive/zip"
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/goferry/goferry/internal/goproxy"
)

// instLikeRelease is a module zip as large as a release: many small files and a few large ones.
func instLikeRelease(tb testing.TB) []byte {
	tb.Helper()
	r := rand.New(rand.NewPCG(3, 4))
	words := make([]string, 4000)
	for n := range words {
		words[n] = fmt.Sprintf("%x", r.Uint32N(1<<20))
	}
	text := func(size int) string {
		var b strings.Builder
		for b.Len() < size {
			b.WriteString(words[r.IntN(len(words))])
			b.WriteString(" \t\n"[r.IntN(3):][:1])
		}
		return b.String()
	}
	files := map[string]string{"VERSION": string(instTarget.Version) + "\n", "bin/go": "x"}
	for n := range 12_000 {
		files[fmt.Sprintf("src/d%d/e%d/f%d.go", n%40, n%1500, n)] = text(int(r.ExpFloat64() * 9000))
	}
	for n, mb := range []int{21, 15, 8, 6, 5, 5, 4, 3} {
		files[fmt.Sprintf("pkg/tool/linux_amd64/t%d", n)] = text(mb << 20)
	}
	return instModuleZip(tb, instTarget, files)
}

// BenchmarkUnpack compares unpacking and hashing with what the standard library does on all processors when it only
// unpacks. GOFERRY_BENCH_ZIP names the zip of a real toolchain module to measure instead.
func BenchmarkUnpack(b *testing.B) {
	target := instTarget
	var data []byte
	var err error
	if name := os.Getenv("GOFERRY_BENCH_ZIP"); name == "" {
		data = instLikeRelease(b)
	} else if data, err = os.ReadFile(name); err != nil {
		b.Fatal(err)
	} else if target, err = ParseModuleVersion(strings.TrimSuffix(path.Base(name), ".zip")); err != nil {
		b.Fatal(err)
	}
	file, packed := filepath.Join(b.TempDir(), "m.zip"), int64(len(data))
	if err := os.WriteFile(file, data, 0o666); err != nil {
		b.Fatal(err)
	}
	data = nil // so that what is measured of the memory is the unpacking's
	f, err := os.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	z, err := zip.NewReader(f, packed)
	if err != nil {
		b.Fatal(err)
	}
	var size int64
	for _, f := range z.File {
		size += int64(f.UncompressedSize64)
	}
	u := newUnpacking(target, b.TempDir(), 0, nil)
	if err := u.moduleZip(b.Context(), f, packed); err != nil {
		b.Fatal(err)
	}
	cached := goproxy.SourceFunc(func(context.Context, goproxy.Request) (goproxy.File, error) { return os.Open(file) })
	ways := []struct {
		name   string
		unpack func(dir string) error
		took   time.Duration
	}{
		{"standard", func(dir string) error { return instStandard(z, dir) }, 0},
		{"unpack", func(dir string) error { return newUnpacking(target, dir, 0, nil).moduleZip(b.Context(), f, packed) }, 0},
		// All of an installation: unpacking, the proof, and the wait for the disk.
		{"install", func(dir string) error {
			i := instInstaller(dir, map[Target]string{target: u.sums.H1(target)})
			i.Cached = cached
			_, _, err := i.Install(b.Context(), target)
			return err
		}, 0},
	}
	for b.Loop() { // in turn, so that what else the machine does meets all of them
		for i := range ways {
			// Trees are not removed in between: ext4 is slow to use again what was just freed.
			dir := filepath.Join(b.TempDir(), "tree")
			start := time.Now()
			if err := cmp.Or(os.Mkdir(dir, 0o777), ways[i].unpack(dir)); err != nil {
				b.Fatal(err)
			}
			ways[i].took += time.Since(start)
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, w := range ways {
		b.ReportMetric(w.took.Seconds()/float64(b.N), "s-"+w.name)
		b.ReportMetric(w.took.Seconds()/ways[0].took.Seconds(), "x-"+w.name)
	}
}

// instStandard unpacks with the standard library on all processors, and hashes nothing.
func instStandard(z *zip.Reader, dir string) error {
	var eg errgroup.Group
	eg.SetLimit(runtime.GOMAXPROCS(0))
	for _, f := range z.File {
		eg.Go(func() error {
			name := filepath.Join(dir, filepath.FromSlash(f.Name))
			if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
				return err
			}
			in, err := f.Open()
			if err != nil {
				return err
			}
			out, err := os.Create(name)
			if err != nil {
				return err
			}
			_, err = io.Copy(out, in)
			return cmp.Or(err, out.Close(), in.Close())
		})
	}
	return eg.Wait()
}
