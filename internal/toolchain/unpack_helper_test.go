package toolchain

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// instTarget is what the small releases of these tests are.
var instTarget = Target{Version: "go1.99.1", OS: "linux", Arch: "amd64"}

// instFiles is a small release, by names in its GOROOT. What is not in the module is there as well.
func instFiles(t Target) map[string]string {
	noise := make([]byte, 48<<10) // most of a zip, so that its middle is content
	rand.NewChaCha8([32]byte{2}).Read(noise)
	files := map[string]string{
		"src/cmd/noise":               string(noise),
		"VERSION":                     string(t.Version) + "\ntime 2026-01-01T00:00:00Z\n",
		"go.env":                      "GOTOOLCHAIN=auto\n",
		"bin/go" + exeSuffix(t.OS):    "#!/bin/sh\necho go version " + string(t.Version) + "\n",
		"bin/gofmt" + exeSuffix(t.OS): "#!/bin/sh\n",
		"pkg/tool/" + t.OS + "_" + t.Arch + "/compile": strings.Repeat("\x00", 200_000),
		"lib/wasm/go_js_wasm_exec":                     "#!/bin/sh\n",
		"src/go.mod":                                   "module std\n",
		"src/cmd/go.mod":                               "module cmd\n",
		"src/fmt/print.go":                             "package fmt\n",
		"src/empty":                                    "",
		"api/go1.txt":                                  "pkg fmt\n",
		"doc/x.html":                                   "<p>\n",
		"misc/chrome/a.js":                             "1\n",
		"test/fixedbugs/Þfoo.go":                       "package p\n",
	}
	for n := range 30 {
		files[fmt.Sprintf("src/pkg%d/file%d.go", n%10, n)] = strings.Repeat(fmt.Sprintf("// file %d\n", n), n)
	}
	return files
}

// instModuleZip packs files as the module zip of t.
func instModuleZip(tb testing.TB, t Target, files map[string]string) []byte {
	tb.Helper()
	return instZip(tb, func(name string) string {
		if !inModule(name) {
			return ""
		}
		return t.Module().String() + "/" + moduleName(name)
	}, files)
}

func instArchiveZip(tb testing.TB, files map[string]string) []byte {
	tb.Helper()
	return instZip(tb, func(name string) string { return "go/" + name }, files)
}

func instZip(tb testing.TB, rename func(string) string, files map[string]string) []byte {
	tb.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		as := rename(name)
		if as == "" {
			continue
		}
		f, err := w.Create(as)
		if err != nil {
			tb.Fatal(err)
		}
		io.WriteString(f, files[name])
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

func instTarGz(tb testing.TB, files map[string]string) []byte {
	tb.Helper()
	hdrs := []tar.Header{{Name: "go/", Typeflag: tar.TypeDir, Mode: 0o755}}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		hdrs = append(hdrs, tar.Header{Name: "go/" + name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(files[name]))})
	}
	return instTar(tb, hdrs, func(n int) string { return files[strings.TrimPrefix(hdrs[n].Name, "go/")] })
}

// instTar writes a tar.gz without any rule.
func instTar(tb testing.TB, hdrs []tar.Header, data func(n int) string) []byte {
	tb.Helper()
	var buf bytes.Buffer
	gz := gzip.NewWriter(&buf)
	w := tar.NewWriter(gz)
	for n := range hdrs {
		if err := w.WriteHeader(&hdrs[n]); err != nil {
			tb.Fatal(err)
		}
		if hdrs[n].Typeflag == tar.TypeReg {
			io.WriteString(w, data(n))
		}
	}
	// Not cmp.Or: a header may declare more than there is.
	_ = w.Close()
	if err := gz.Close(); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

// instTree reads the tree at dir.
func instTree(tb testing.TB, dir string) map[string]string {
	tb.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s is of type %v", name, d.Type())
		}
		data, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		got[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return got
}
