package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/goferry/goferry/internal/toolchain"
)

// A checker ends a test where there is an error.
type checker interface{ Check(err error) }

// must is a checker of a test.
type must struct{ t *testing.T }

func (m must) Check(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// sdkTarget reads "go1.98.0" or "go1.98.0.windows-amd64".
func sdkTarget(ts checker, name string) toolchain.Target {
	if t, err := toolchain.ParseModuleVersion("v0.0.1-" + name); err == nil {
		return t
	}
	v, err := toolchain.ParseVersion(name)
	ts.Check(err)
	return toolchain.Here(v)
}

// sdkFiles are the files of a toolchain, by their names in its module zip. Its go command says its version, and is
// the real one else. size is that of a file that does not compress; 0 for none.
func sdkFiles(ts checker, t toolchain.Target, size int) map[string]string {
	real, err := exec.LookPath("go")
	ts.Check(err)
	suffix := ""
	if t.OS == "windows" {
		suffix = ".exe"
	}
	program := fmt.Sprintf("#!/bin/sh\ncase \"$1\" in\nversion) echo \"go version %s %s/%s\" ;;\nroot) echo \"root $GOROOT, toolchain $GOTOOLCHAIN\" ;;\n*) exec %s \"$@\" ;;\nesac\n", t.Version, t.OS, t.Arch, real)
	files := map[string]string{
		"VERSION": string(t.Version) + "\ntime 2026-01-02T03:04:05Z\n", "go.env": "# Settings.\nGOTOOLCHAIN=auto\n", "lib/README": "lib\n",
		"bin/go" + suffix: program, "bin/gofmt" + suffix: "#!/bin/sh\n", "pkg/tool/" + t.OS + "_" + t.Arch + "/compile" + suffix: "#!/bin/sh\n",
		"src/_go.mod": "module std\n\ngo 1.98\n", "src/fmt/print.go": "package fmt\n", "src/fmt/scan.go": "package fmt\n\nfunc Scan() {}\n",
	}
	if size > 0 {
		data := make([]byte, size)
		rnd := rand.NewChaCha8([32]byte{1})
		_, err := rnd.Read(data)
		ts.Check(err)
		files["lib/random"] = string(data)
	}
	return files
}

// sdkAdd makes the upstream have a toolchain: upstream toolchain NAME [BYTES].
func sdkAdd(ts *testscript.TestScript, args []string) {
	size := 0
	if len(args) == 2 {
		var err error
		size, err = strconv.Atoi(args[1])
		ts.Check(err)
	}
	t := sdkTarget(ts, args[0])
	m := t.Module()
	ts.Check(upstreamOf(ts).Handler.AddModule(m.Path, m.Version, sdkFiles(ts, t, size)))
}

// cmdArchive writes the archive of a toolchain, as hosts of archives have it, into a folder: archive NAME DIR
// [FILE]. FILE is one file that is not what was released.
func cmdArchive(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 && len(args) != 3 {
		ts.Fatalf("usage: archive NAME DIR [FILE]")
	}
	t := sdkTarget(ts, args[0])
	files := sdkFiles(ts, t, 0)
	files["doc/README"] = "no part of the module\n"
	if len(args) == 3 {
		files[args[2]] += "# forged\n"
	}
	dir := ts.MkAbs(args[1])
	ts.Check(os.MkdirAll(dir, 0o777))
	f, err := os.Create(filepath.Join(dir, t.Archive()))
	ts.Check(err)
	if strings.HasSuffix(t.Archive(), ".zip") {
		err = writeZip(f, files)
	} else {
		err = writeTar(f, files)
	}
	ts.Check(errors.Join(err, f.Close()))
}

// archiveName is what a file of a module zip is called in an archive.
func archiveName(name string) string { return "go/" + strings.ReplaceAll(name, "_go.mod", "go.mod") }

func writeTar(w io.Writer, files map[string]string) error {
	gz := gzip.NewWriter(w)
	tw := tar.NewWriter(gz)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		mode := int64(0o644)
		if strings.HasPrefix(name, "bin/") || strings.HasPrefix(name, "pkg/tool/") {
			mode = 0o755
		}
		if err := tw.WriteHeader(&tar.Header{Name: archiveName(name), Size: int64(len(files[name])), Mode: mode}); err != nil {
			return err
		}
		if _, err := io.WriteString(tw, files[name]); err != nil {
			return err
		}
	}
	return errors.Join(tw.Close(), gz.Close())
}

func writeZip(w io.Writer, files map[string]string) error {
	zw := zip.NewWriter(w)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f, err := zw.Create(archiveName(name))
		if err != nil {
			return err
		}
		if _, err := io.WriteString(f, files[name]); err != nil {
			return err
		}
	}
	return zw.Close()
}

// cmdTree puts the tree of a toolchain into a folder, as something else would install it: tree NAME DIR.
func cmdTree(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: tree NAME DIR")
	}
	for name, text := range sdkFiles(ts, sdkTarget(ts, args[0]), 0) {
		file := filepath.Join(ts.MkAbs(args[1]), filepath.FromSlash(strings.ReplaceAll(name, "_go.mod", "go.mod")))
		ts.Check(os.MkdirAll(filepath.Dir(file), 0o777))
		ts.Check(os.WriteFile(file, []byte(text), 0o755))
	}
}

// cmdGrows waits until the files that match a pattern have so many bytes together: grows PATTERN BYTES.
func cmdGrows(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: grows PATTERN BYTES")
	}
	want, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for {
		files, err := filepath.Glob(ts.MkAbs(args[0]))
		ts.Check(err)
		var n int64
		for _, file := range files {
			if info, err := os.Stat(file); err == nil {
				n += info.Size()
			}
		}
		if n >= want {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			ts.Fatalf("%s has %d bytes, and never more", args[0], n)
		}
	}
}

// sdkEnv tells scripts the names of this system: PLATFORM is linux-amd64, GOOS and GOARCH its parts.
func sdkEnv(env *testscript.Env) {
	env.Setenv("PLATFORM", runtime.GOOS+"-"+runtime.GOARCH)
	env.Setenv("GOOS_HERE", runtime.GOOS)
	env.Setenv("GOARCH_HERE", runtime.GOARCH)
}
