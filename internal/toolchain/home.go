package toolchain

import (
	"cmp"
	"path/filepath"
	"runtime"
	"slices"
)

// A Home is the folder that holds the toolchains of a user, ~/.goferry:
//
//	sdk/go1.25.7                  an installed toolchain: a normal GOROOT
//	sdk/go1.25.7.windows-amd64    one for another system
//	sdk/go1.25.7.json             its Record
//	sdk/go1.25.7.sums             its Sums
//	sdk/.part/                    downloads that are not finished
//	sdk/.lock/                    locks of installations
//	sdk/.tmp-*                    trees that are not proved yet
//	go                            link to the default
//	bin/go1.25.7                  the go command of each, for GOTOOLCHAIN=path
type Home struct {
	Dir string // absolute path
}

// SDKs is the folder of the installed toolchains.
func (h Home) SDKs() string { return filepath.Join(h.Dir, "sdk") }

// Root is where t is or would be installed: a GOROOT.
func (h Home) Root(t Target) string { return filepath.Join(h.SDKs(), dirName(t)) }

// RecordFile is where the Record of t is kept.
func (h Home) RecordFile(t Target) string { return h.Root(t) + ".json" }

// SumsFile is where the Sums of t are kept.
func (h Home) SumsFile(t Target) string { return h.Root(t) + ".sums" }

// Default is the link to the toolchain that the user uses where nothing else is said.
func (h Home) Default() string { return filepath.Join(h.Dir, "go") }

// Bin is the folder of the links named after versions.
func (h Home) Bin() string { return filepath.Join(h.Dir, "bin") }

// Parts is the folder of the unfinished downloads of h.
func (h Home) Parts() string { return filepath.Join(h.SDKs(), ".part") }

// locks is the folder of locks.
func (h Home) locks() string { return filepath.Join(h.SDKs(), ".lock") }

// Here is the target of version v for the system that goferry runs on.
func Here(v Version) Target { return Target{Version: v, OS: runtime.GOOS, Arch: runtime.GOARCH} }

// dirName is the name of the folder of t: the plain version for this system.
func dirName(t Target) string {
	if t == Here(t.Version) {
		return string(t.Version)
	}
	return t.String()
}

// targetOf is the reverse of dirName.
func targetOf(dir string) (Target, bool) {
	if v, err := ParseVersion(dir); err == nil && string(v) == dir {
		return Here(v), true
	}
	t, err := ParseModuleVersion("v0.0.1-" + dir)
	return t, err == nil && dirName(t) == dir
}

// sortNewestFirst sorts by version, the newest first, then by platform.
func sortNewestFirst(recs []Record) {
	slices.SortFunc(recs, func(a, b Record) int {
		return cmp.Or(b.Version.Compare(a.Version), a.Target.Compare(b.Target))
	})
}
