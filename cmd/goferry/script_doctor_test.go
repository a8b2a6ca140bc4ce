package main

import (
	"archive/zip"
	"fmt"
	"io"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdContents prints the names and contents of the files in a zip: contents FILE.
func cmdContents(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: contents FILE")
	}
	z, err := zip.OpenReader(ts.MkAbs(args[0]))
	ts.Check(err)
	defer z.Close()
	for _, f := range z.File {
		r, err := f.Open()
		ts.Check(err)
		data, err := io.ReadAll(r)
		ts.Check(err)
		fmt.Fprintf(ts.Stdout(), "== %s\n%s\n", f.Name, data)
	}
}
