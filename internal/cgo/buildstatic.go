package cgo

import "slices"

// staticFlags are what makes a program static with a C compiler: build tags, flags of go tool link, and codes of what
// the user should know.
//
// With glibc Go itself looks up users, groups and hosts: what a static glibc has for that loads libraries of the
// very same version when it runs (https://sourceware.org/glibc/wiki/FAQ, "static linking").
func staticFlags(c Compiler, t Target, pie bool) (tags, flags, notes []string) {
	switch t.OS {
	case "darwin":
		return nil, nil, nil // there are no static programs; libraries of others are found on the output
	case "windows": // libgcc, libstdc++ and libwinpthread go in
		return nil, []string{"-linkmode=external", "-extldflags=-static"}, nil
	}
	link := "-static"
	if pie && t.OS == "linux" {
		link = "-static-pie"
	}
	if c.Libc == GNU || c.Libc == "" && t.Libc != Musl && !slices.Contains([]Family{MuslGCC, MuslCross}, c.Family) {
		tags, notes = []string{"netgo", "osusergo"}, []string{NoteStaticNSS}
	}
	return tags, []string{"-linkmode=external", "-extldflags=" + link}, notes
}
