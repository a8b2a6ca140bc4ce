package cgo

import (
	"slices"
	"strings"
)

// zigFilter takes out of a line for zig what go gives a linker and zig's own does not know; it would fail. What goes changes no
// byte of code: it is about addresses that zig chooses itself, symbols for debuggers, and versions that zig writes.
//
// Sources: golang/go#43886 (Windows: -T, --no-insert-timestamp, compressed DWARF), ziglang/zig#15499 (--dynamicbase, --high-entropy-va: until 0.11),
// #15438 (-no_pie), #20689 (-lresolv without an SDK), #21429 and #21721 (-x on macOS), and what each release says
// "unsupported linker arg" of.
//
// What it puts in: without -O2, as where CGO_CFLAGS is set to something else, zig looks for undefined behaviour while the program runs, by functions
// that it links only where the line of the linker asks for them, which go's does not.
func zigFilter(version string, args []string) []string {
	macos, windows, sdk := zigFor(args)
	out := make([]string, 0, len(args)+1)
	for i := 0; i < len(args); i++ {
		if i == 1 && !slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "-fsanitize") }) {
			out = append(out, "-fno-sanitize=undefined")
		}
		arg := args[i]
		linker, ok := strings.CutPrefix(arg, "-Wl,")
		switch {
		case ok:
			if linker = zigLinker(version, linker, macos, windows); linker != "" {
				out = append(out, "-Wl,"+linker)
			}
		case macos && arg == "-arch" && i+1 < len(args): // -target says it
			i++
		case macos && !sdk && arg == "-framework" && i+1 < len(args) && args[i+1] == "CoreFoundation": // runtime/cgo names it, for iOS
			i++
		case macos && arg == "-lresolv" && !sdk: // package net names it always, and needs it for LookupCNAME alone
		case windows && arg == "-mthreads", arg == "-no-pie" && macos:
		default:
			out = append(out, arg)
		}
	}
	return out
}

// zigFor says what a line builds for.
func zigFor(args []string) (macos, windows, sdk bool) {
	for i, arg := range args {
		switch {
		case arg == "-target" && i+1 < len(args):
			macos, windows = macos || strings.Contains(args[i+1], "-macos"), windows || strings.Contains(args[i+1], "-windows")
		case arg == "-isysroot":
			sdk = true
		}
	}
	return macos, windows, sdk
}

// zigLinker is what is left of the words behind -Wl, .
func zigLinker(version, words string, macos, windows bool) string {
	flag, _, _ := strings.Cut(words, ",")
	name, _, _ := strings.Cut(strings.TrimLeft(flag, "-"), "=")
	before12 := compareVersions(zigNumber(version), "0.12") < 0
	switch {
	case windows && (name == "T" || name == "no-insert-timestamp" || name == "start-group" || name == "end-group"):
		return ""
	case windows && before12 && (name == "dynamicbase" || name == "nxcompat" || name == "high-entropy-va"):
		return ""
	case name == "compress-debug-sections" && (windows || macos):
		return ""
	case macos && (name == "x" || name == "S" || name == "no_pie" || name == "no_uuid" || name == "flat_namespace" || name == "bind_at_load" || name == "headerpad"):
		if name == "headerpad" && !before12 {
			return words
		}
		return ""
	}
	return words
}

// zigNumber is a version without what is behind a dash: 0.12.0-dev.3 is 0.12.0.
func zigNumber(version string) string {
	number, _, _ := strings.Cut(version, "-")
	return number
}
