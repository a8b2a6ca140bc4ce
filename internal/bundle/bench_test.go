package bundle_test

import (
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/goferry/goferry/internal/bundle"
)

// benchFile is 256 MiB in one bundle of 64 modules, and the same bytes in files.
func benchPlan(b *testing.B) (bundle.Plan, int64) {
	dir := b.TempDir()
	p := samplePlan(64, 8<<20)
	var total int64
	for i, f := range p.Files {
		name := filepath.Join(dir, filepath.Base(filepath.Dir(filepath.Dir(f.Name)))+filepath.Base(f.Name))
		r, err := f.Open(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			b.Fatal(err)
		}
		write(b, name, data)
		p.Files[i] = bundle.OSFile(f.Name, name, f.Size)
		total += f.Size
	}
	return p, total
}

// BenchmarkCreate: hash and write.
func BenchmarkCreate(b *testing.B) {
	p, total := benchPlan(b)
	b.SetBytes(total)
	for b.Loop() {
		dir := b.TempDir()
		if _, err := bundle.Create(b.Context(), filepath.Join(dir, "x"), p, bundle.CreateOptions{}); err != nil {
			b.Fatal(err)
		}
		os.RemoveAll(dir)
	}
}

// BenchmarkVerify: all cores.
func BenchmarkVerify(b *testing.B) {
	p, total := benchPlan(b)
	r := open(b, create(b, p, bundle.CreateOptions{}))
	b.SetBytes(total)
	for b.Loop() {
		if _, err := r.Verify(b.Context(), nil, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen: what it takes before the first byte can be read.
func BenchmarkOpen(b *testing.B) {
	file := create(b, samplePlan(2000, 100), bundle.CreateOptions{}) // 8,000 entries
	for b.Loop() {
		r, err := bundle.Open(file)
		if err != nil {
			b.Fatal(err)
		}
		r.Close()
	}
}

// BenchmarkCopy and BenchmarkSHA256 are what to compare with: cp with fsync, and sha256sum, of the same bytes.
func BenchmarkCopy(b *testing.B) {
	p, total := benchPlan(b)
	file := create(b, p, bundle.CreateOptions{})
	b.SetBytes(total)
	for b.Loop() {
		in, err := os.Open(file)
		if err != nil {
			b.Fatal(err)
		}
		out, err := os.Create(file + ".copy")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(struct{ io.Writer }{out}, in); err != nil {
			b.Fatal(err)
		}
		out.Sync()
		out.Close()
		in.Close()
	}
}

func BenchmarkSHA256(b *testing.B) {
	p, total := benchPlan(b)
	file := create(b, p, bundle.CreateOptions{})
	b.SetBytes(total)
	for b.Loop() {
		in, err := os.Open(file)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(sha256.New(), in); err != nil {
			b.Fatal(err)
		}
		in.Close()
	}
}
