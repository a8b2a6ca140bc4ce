package toolchain

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/goferry/goferry/internal/sumdb"
)

// BenchmarkVerify compares verifying with the least that it can cost: reading and hashing
// every file on all processors.
func BenchmarkVerify(b *testing.B) {
	dir := b.TempDir()
	r := rand.New(rand.NewPCG(5, 6))
	files := map[string]string{"VERSION": "go1.99.1\n", "pkg/tool/linux_amd64/compile": strings.Repeat("0123456789abcdef", 2<<20)}
	for n := range 12000 {
		files[fmt.Sprintf("src/p%d/f%d.go", n%400, n)] = strings.Repeat("x", r.IntN(20<<10))
	}
	root := verTree(b, dir, files)
	v := &Verifier{Sums: verHas(verSums(files).H1(verTarget))}
	var verify, plain time.Duration
	for b.Loop() { // in turn, so that what else the machine does meets both
		start := time.Now()
		if r, err := v.Verify(b.Context(), root); err != nil || r.State != StateProved {
			b.Fatal(r.State, err)
		}
		verify += time.Since(start)
		start = time.Now()
		verMust(b, verPlain(root))
		plain += time.Since(start)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(verify.Seconds()/float64(b.N), "s-verify")
	b.ReportMetric(verify.Seconds()/plain.Seconds(), "x-hash")
}

type verHas string

func (h verHas) Lookup(context.Context, string, string) (sumdb.Sums, error) {
	return sumdb.Sums{Zip: string(h)}, nil
}

// verPlain reads and hashes all files below root, and does nothing else.
func verPlain(root string) error {
	files := make(chan string, 1024)
	var g errgroup.Group
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			buf := make([]byte, 256<<10)
			h := sha256.New()
			for name := range files {
				f, err := os.Open(name)
				if err != nil {
					return err
				}
				h.Reset()
				_, err = io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, buf)
				h.Sum(nil)
				if err := errors.Join(err, f.Close()); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files <- name
		}
		return err
	})
	close(files)
	return errors.Join(err, g.Wait())
}
