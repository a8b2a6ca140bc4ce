//go:build live

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestLiveCgoSQLite builds a tool with SQLite in it for every target, and asks it for rows. make test takes one of them: the C file of SQLite
// is larger than most programs. make cgo-matrix takes all.
func TestLiveCgoSQLite(t *testing.T) {
	m := newCgoMatrix(t, liveRig(t))
	m.vars["GOMODCACHE"] = goEnvOf(t, "GOMODCACHE")
	tidy := m.command("go", "mod", "tidy")
	tidy.Dir = m.src
	if _, stderr, code := finish(t, tidy); code != 0 {
		t.Fatal(stderr)
	}
	var cases []cgoCase
	for _, c := range cgoCases {
		// The same target as a static program says the same.
		if strings.HasPrefix(c.target, "darwin/") { // its database/sql is fine, but sqlite3 asks for what zig has no headers of
			continue
		}
		c.program = "sqlite"
		c.all = c.target != "linux/amd64/musl" || c.how != "static"
		if !slices.ContainsFunc(cases, func(o cgoCase) bool { return o.target == c.target && o.how == c.how }) {
			cases = append(cases, c)
		}
	}
	m.try(t, cases, ofSQLite)
}

// TestLiveCgoSetup gets compilers without root into an empty home, from the packages of this system, and builds and starts a program with each.
// Without GOFERRY_CGO_MATRIX=all it is the smallest of them.
func TestLiveCgoSetup(t *testing.T) {
	m := newCgoMatrix(t, liveRig(t))
	for _, c := range []cgoCase{
		{target: "windows/amd64", program: "cxx", how: "static", run: "wine", all: true},
		{target: "linux/arm64", program: "cxx", how: "static", run: "qemu-aarch64", all: true},
		{target: "linux/amd64/musl", program: "c", how: "static", run: "root"},
	} {
		if c.all && os.Getenv("GOFERRY_CGO_MATRIX") != "all" {
			continue
		}
		t.Run(strings.ReplaceAll(c.target, "/", "-"), func(t *testing.T) {
			m.must(t, "goferry", "cgo", "setup", "--user", "--yes", c.target)
			b := m.build(t, c.program, c.how, []string{c.target})[c.target]
			if len(b.Outputs) != 1 {
				t.Fatalf("not built: %+v", b)
			}
			home := filepath.Join(m.vars["HOME"], ".goferry", "cc") + string(os.PathSeparator)
			if !strings.HasPrefix(b.Compiler.CC[0], home) {
				t.Errorf("it was built by %q, not by one of %s", b.Compiler.CC, home)
			}
			if said := m.start(t, c, m.file(c, b)); said != c.said() {
				t.Errorf("it says %q", said)
			}
		})
	}
}
