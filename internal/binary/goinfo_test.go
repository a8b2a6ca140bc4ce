package binary_test

import (
	"bytes"
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/binary"
)

// TestGoInfo compares what Read says of Go programs with debug/buildinfo, and what it says of packages with the sizes
// of functions that go tool nm has from the table of symbols.
func TestGoInfo(t *testing.T) {
	external := []string{"CGO_ENABLED=1"}
	cases := []struct{ name, file, stripped, variant string }{
		{"linux/amd64", goBuild(t, "go-linux", "go", "linux/amd64", []string{"GOAMD64=v1"}, "-tags=a,b", "-ldflags=-X=main.x=1"),
			goBuild(t, "go-linux-s", "go", "linux/amd64", nil, "-ldflags=-s"), "v1"},
		{"linux/arm", goBuild(t, "go-arm", "go", "linux/arm", []string{"GOARM=7"}), goBuild(t, "go-arm-s", "go", "linux/arm", []string{"GOARM=7"}, "-ldflags=-s"), "v7"},
		{"linux/amd64, pie", goBuild(t, "go-pie", "go", "linux/amd64", nil, "-buildmode=pie"), goBuild(t, "go-pie-s", "go", "linux/amd64", nil, "-buildmode=pie", "-ldflags=-s"), "v1"},
		{"windows/amd64", goBuild(t, "go.exe", "go", "windows/amd64", nil), goBuild(t, "gos.exe", "go", "windows/amd64", nil, "-ldflags=-s"), "v1"},
		{"darwin/arm64", goBuild(t, "go-darwin", "go", "darwin/arm64", nil), goBuild(t, "go-darwin-s", "go", "darwin/arm64", nil, "-ldflags=-s"), "v8.0"},
		{"linux/amd64 with C", goBuild(t, "cgo-linux", "cgo", "linux/amd64", external), goBuild(t, "cgo-linux-s", "cgo", "linux/amd64", external, "-ldflags=-s"), "v1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			i := read(t, c.file)
			want, err := buildinfo.ReadFile(c.file)
			if err != nil {
				t.Fatal(err)
			}
			if i.Go == nil || i.Go.Version != want.GoVersion || i.Go.Path != want.Path || i.Go.Modules != len(want.Deps) {
				t.Fatalf("got %+v, want %+v", i.Go, want)
			}
			settings := map[string]string{}
			for _, s := range want.Settings {
				settings[s.Key] = s.Value
			}
			if diff := cmp.Diff(settings, i.Go.Settings); diff != "" {
				t.Errorf("debug/buildinfo (-) and Read (+) disagree:\n%s", diff)
			}
			if i.Detail != c.variant || i.OS != settings["GOOS"] || i.Arch != settings["GOARCH"] || yes(i.Go.Cgo) != (settings["CGO_ENABLED"] == "1") {
				t.Errorf("%s/%s/%s, cgo %v, want %v", i.OS, i.Arch, i.Detail, i.Go.Cgo, settings)
			}
			if diff := cmp.Diff(i.Packages, read(t, c.stripped).Packages); diff != "" && !strings.Contains(c.name, "with C") {
				t.Errorf("packages before (-) and after (+) stripping:\n%s", diff)
			}
			comparePackages(t, c.file, i)
		})
	}
	if tags := read(t, cases[0].file).Go.Tags; len(tags) != 2 || tags[0] != "a" {
		t.Errorf("tags %q", tags)
	}
	if with := read(t, cases[5].file); with.Packages[len(with.Packages)-1].Path == "" || with.Static || with.Libc != "gnu" {
		t.Errorf("with C: %+v", with)
	}
}

var symbolLine = regexp.MustCompile(`(?m)^\s*[0-9a-f]+\s+(\d+) [Tt] (\S+)$`)

// comparePackages: a function has in the table of functions what it has in the table of symbols, and up to 63 bytes
// between it and the next.
func comparePackages(t *testing.T, file string, i *binary.Info) {
	t.Helper()
	least, functions := map[string]int64{}, map[string]int64{}
	for _, m := range symbolLine.FindAllStringSubmatch(run(t, nil, "", "go", "tool", "nm", "-size", file), -1) {
		name, _, _ := strings.Cut(m[2], "[")
		for _, pkg := range []string{"runtime", "internal/strconv", "internal/cpu", "internal/bytealg", "main", "strconv"} {
			if rest, ok := strings.CutPrefix(name, pkg+"."); ok && !strings.Contains(rest, "/") {
				n, err := strconv.ParseInt(m[1], 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				least[pkg] += n
				functions[pkg]++
			}
		}
	}
	got := map[string]int64{}
	for _, p := range i.Packages {
		got[p.Path] = p.Bytes
	}
	for pkg, n := range least {
		if strings.HasPrefix(i.OS, "windows") || i.OS == "darwin" { // nm makes sizes up there, up to the next symbol
			n = n * 9 / 10
		}
		if got[pkg] < n*98/100 || got[pkg] > n*12/10+64*functions[pkg]+8192 {
			t.Errorf("%s has %d bytes in the table of functions, %d in that of symbols", pkg, got[pkg], least[pkg])
		}
	}
	if len(least) < 3 {
		t.Errorf("go tool nm says nothing of %s: %v", file, least)
	}
}

// TestGoPaths: the paths of packages are those that people write.
func TestGoPaths(t *testing.T) {
	i := read(t, goBuild(t, "escaped-linux", "escaped", "linux/amd64", nil, "-ldflags=-s"))
	for _, p := range i.Packages {
		if p.Path == "example.com/yaml.v3/a.b" {
			return
		}
	}
	t.Errorf("example.com/yaml.v3/a.b is not among %+v", i.Packages)
}

// TestGoBefore118 reads a program whose build information stands behind pointers, and whose table of functions has
// addresses instead of offsets.
func TestGoBefore118(t *testing.T) {
	b := decoded(t, "debug/buildinfo/testdata/go117/go117")
	want, err := buildinfo.Read(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	i := readBytes(t, b)
	if i.Go == nil || i.Go.Version != want.GoVersion || i.Go.Path != want.Path || i.Go.Version == "" {
		t.Errorf("got %+v, want %+v", i.Go, want)
	}
	file := filepath.Join(t.TempDir(), "go117")
	if err := os.WriteFile(file, b, 0o777); err != nil {
		t.Fatal(err)
	}
	comparePackages(t, file, i)
}

// BenchmarkRead reads the go command itself, with all its packages.
func BenchmarkRead(b *testing.B) {
	file, err := exec.LookPath("go")
	if err != nil {
		b.Fatal(err)
	}
	data := load(b, file)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		readBytes(b, data)
	}
}
