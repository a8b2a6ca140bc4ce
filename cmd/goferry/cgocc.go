package main

import (
	"context"
	"fmt"
	"os"

	"github.com/goferry/goferry/internal/cgo"
	"github.com/goferry/goferry/internal/gocmd"
)

// wrapCC is what the go command starts goferry with where zig is the C compiler; see cgo.Finder.Self. It is no command
// for people: it stands in no help, and its words are never read as flags.
func wrapCC() []string { return []string{"cgo", "cc"} }

// ccSelf is how goferry is started as a compiler; nil where it does not know where it lies.
func ccSelf() []string {
	exe, err := os.Executable()
	if err != nil {
		return nil
	}
	return append([]string{exe}, wrapCC()...)
}

// compileByZig runs zig where args are such a call, before anything else: it is started for each file of C.
func compileByZig(ctx context.Context, args []string, w world) (code int, ok bool) {
	words := wrapCC()
	if len(args) < len(words) || args[0] != words[0] || args[1] != words[1] {
		return 0, false
	}
	call, err := cgo.ParseZigCall(args[len(words):])
	if err != nil {
		return 0, false // as an unknown command
	}
	code, err = (&gocmd.Runner{}).Exec(ctx, gocmd.ExecCmd{Argv: call.Argv(), Stdin: w.stdin, Stdout: w.stdout, Stderr: w.stderr})
	if err != nil {
		_, _ = fmt.Fprintln(w.stderr, "goferry:", err) // whoever does not read it gets the exit code
		return max(code, 1), true
	}
	return code, true
}
