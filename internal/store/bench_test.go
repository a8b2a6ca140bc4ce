package store_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/store"
)

// benchFiles is how many files the benchmarks of large stores make. Set
// GOFERRY_BENCH_FILES=1000000 for a million.
func benchFiles(b *testing.B) int {
	b.Helper()
	v := os.Getenv("GOFERRY_BENCH_FILES")
	if v == "" {
		return 100_000
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		b.Fatalf("GOFERRY_BENCH_FILES: %v", err)
	}
	return n
}

// benchTree makes a tree of n small files, three to a module version.
func benchTree(b *testing.B, n int) string {
	b.Helper()
	dir := b.TempDir()
	for i := 0; i < n; {
		d := filepath.Join(dir, "example.com", fmt.Sprintf("org%d", i/3000), fmt.Sprintf("mod%d", i/30), "@v")
		if err := os.MkdirAll(d, 0o777); err != nil {
			b.Fatal(err)
		}
		for j := 0; j < 30 && i < n; i, j = i+1, j+1 {
			name := fmt.Sprintf("v1.%d.0.%s", j/3, []string{"info", "mod", "zip"}[j%3])
			if err := os.WriteFile(filepath.Join(d, name), []byte("0123456789"), 0o666); err != nil {
				b.Fatal(err)
			}
		}
	}
	return dir
}

// BenchmarkLarge: what depends on the number of blobs, and what must not.
func BenchmarkLarge(b *testing.B) {
	n := benchFiles(b)
	dir := benchTree(b, n)
	b.Run(fmt.Sprintf("start/%d", n), func(b *testing.B) {
		for b.Loop() {
			st, err := store.Open(dir, store.Options{})
			if err != nil {
				b.Fatal(err)
			}
			if err := st.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run(fmt.Sprintf("gc/%d", n), func(b *testing.B) {
		st := open(b, dir, store.Options{MaxBytes: 1 << 40})
		for b.Loop() {
			if r, err := st.GC(b.Context()); err != nil || r.KeptFiles != int64(n) {
				b.Fatal(r, err)
			}
		}
	})
}

const benchName = "github.com/!azure/azure-sdk-for-go/sdk/@v/v1.0.0.mod"

// BenchmarkHit is Open and Close of a blob, beside what is underneath.
func BenchmarkHit(b *testing.B) {
	dir := b.TempDir()
	st := open(b, dir, store.Options{})
	put(b, st, benchName, "module x\n")
	root, err := os.OpenRoot(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	for _, way := range []struct {
		name string
		open func() (io.Closer, error)
	}{
		{"store", func() (io.Closer, error) { return st.Open(benchName) }},
		{"os.Open+Stat", func() (io.Closer, error) {
			f, err := os.Open(filepath.Join(dir, benchName))
			if err == nil {
				_, err = f.Stat()
			}
			return f, err
		}},
		{"os.Root+Stat", func() (io.Closer, error) {
			f, err := root.Open(benchName)
			if err == nil {
				_, err = f.Stat()
			}
			return f, err
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					f, err := way.open()
					if err != nil {
						b.Fatal(err)
					}
					f.Close()
				}
			})
		})
	}
}

// BenchmarkMiss is Open of what is not there.
func BenchmarkMiss(b *testing.B) {
	st := open(b, b.TempDir(), store.Options{})
	put(b, st, benchName, "module x\n")
	for b.Loop() {
		if _, err := st.Open(benchName + "x"); err == nil {
			b.Fatal("found")
		}
	}
}

// BenchmarkSend sends a blob of 1 MiB over loopback, as the store gives it and
// as a plain file: both must take the sendfile way.
func BenchmarkSend(b *testing.B) {
	dir := b.TempDir()
	st := open(b, dir, store.Options{})
	put(b, st, "zip", string(make([]byte, 1<<20)))
	for _, way := range []struct {
		name string
		open func() (io.ReadCloser, error)
	}{
		{"store", func() (io.ReadCloser, error) { return st.Open("zip") }},
		{"os.File", func() (io.ReadCloser, error) { return os.Open(filepath.Join(dir, "zip")) }},
	} {
		b.Run(way.name, func(b *testing.B) {
			conn := sink(b)
			b.SetBytes(1 << 20)
			for b.Loop() {
				f, err := way.open()
				if err != nil {
					b.Fatal(err)
				}
				if n, err := conn.ReadFrom(io.LimitReader(f, 1<<20)); n != 1<<20 || err != nil {
					b.Fatal(n, err)
				}
				f.Close()
			}
		})
	}
}

// sink is a connection whose other end throws everything away.
func sink(b *testing.B) *net.TCPConn {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err == nil {
			io.Copy(io.Discard, c)
			c.Close()
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// BenchmarkCommit is a blob of 1 KiB made durable.
func BenchmarkCommit(b *testing.B) {
	st := open(b, b.TempDir(), store.Options{})
	body := make([]byte, 1024)
	i := 0
	for b.Loop() {
		sp, err := st.Create()
		if err != nil {
			b.Fatal(err)
		}
		sp.Write(body)
		if err := sp.Commit(fmt.Sprintf("d%d/%d", i/100, i), time.Time{}); err != nil {
			b.Fatal(err)
		}
		sp.Close()
		i++
	}
}
