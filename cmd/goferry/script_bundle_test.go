package main

import (
	"archive/zip"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdUnpack unpacks a bundle as any unzip would, over what is in the folder already, and prints the names of its
// entries: unpack [-zips] FILE DIR. With -zips it prints the names of module zips alone, as path@version.
func cmdUnpack(ts *testscript.TestScript, neg bool, args []string) {
	zips := len(args) > 0 && args[0] == "-zips"
	if zips {
		args = args[1:]
	}
	if neg || len(args) != 2 {
		ts.Fatalf("usage: unpack [-zips] FILE DIR")
	}
	var out strings.Builder
	for _, name := range unpack(ts, ts.MkAbs(args[0]), ts.MkAbs(args[1])) {
		if zips {
			path, version, ok := strings.Cut(strings.TrimSuffix(name, ".zip"), "/@v/")
			if !ok || !strings.HasSuffix(name, ".zip") {
				continue
			}
			name = path + "@" + version
		}
		out.WriteString(name + "\n")
	}
	_, err := io.WriteString(ts.Stdout(), out.String())
	ts.Check(err)
}

// unpack unpacks a zip file into a folder, and returns the names of its entries in their order.
func unpack(ts checker, file, dir string) []string {
	zr, err := zip.OpenReader(file)
	ts.Check(err)
	defer zr.Close()
	var names []string
	for _, zf := range zr.File {
		names = append(names, zf.Name)
		r, err := zf.Open()
		ts.Check(err)
		data, err := io.ReadAll(r)
		ts.Check(err)
		r.Close()
		to := filepath.Join(dir, filepath.FromSlash(zf.Name))
		ts.Check(os.MkdirAll(filepath.Dir(to), 0o777))
		ts.Check(os.WriteFile(to, data, 0o666))
	}
	return names
}

// cmdWithin fails if a file is larger than another by more than a share of the latter: within 5% FILE THAN.
func cmdWithin(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: within N%% FILE THAN")
	}
	percent, err := strconv.ParseInt(strings.TrimSuffix(args[0], "%"), 10, 64)
	ts.Check(err)
	size := func(name string) int64 {
		info, err := os.Stat(ts.MkAbs(name))
		ts.Check(err)
		return info.Size()
	}
	file, than := size(args[1]), size(args[2])
	ts.Logf("%s is larger by %.2f %%", args[1], 100*float64(file-than)/float64(than))
	if (file-than)*100 > than*percent {
		ts.Fatalf("%s has %d bytes, %s %d", args[1], file, args[2], than)
	}
}

// cmdPack makes a zip of a folder: pack FILE DIR.
func cmdPack(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: pack FILE DIR")
	}
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	zw := zip.NewWriter(f)
	ts.Check(zw.AddFS(os.DirFS(ts.MkAbs(args[1]))))
	ts.Check(zw.Close())
}
