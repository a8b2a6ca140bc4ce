package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdUpstreamHas changes what the upstream has:
//
//	upstream load DIR                     the modules in DIR, a folder for each
//	upstream query PATH QUERY VERSION     a branch, a commit
//	upstream random PATH VERSION BYTES    a zip of that size that does not compress
//	upstream remove PATH VERSION
//	upstream toolchain NAME [BYTES]       the module of an SDK
func cmdUpstreamHas(ts *testscript.TestScript, args []string) {
	up := upstreamOf(ts)
	switch {
	case len(args) == 2 && args[0] == "load":
		ts.Check(up.Handler.LoadFS(os.DirFS(ts.MkAbs(args[1]))))
	case len(args) == 4 && args[0] == "query":
		up.AddQuery(args[1], args[2], args[3])
	case len(args) == 4 && args[0] == "random":
		n, err := strconv.ParseInt(args[3], 10, 64)
		ts.Check(err)
		ts.Check(up.Handler.AddRandom(args[1], args[2], n))
	case len(args) == 3 && args[0] == "remove":
		up.Remove(args[1], args[2])
	case (len(args) == 2 || len(args) == 3) && args[0] == "toolchain":
		sdkAdd(ts, args[1:])
	default:
		ts.Fatalf("upstream %s: see testdata/script/README", strings.Join(args, " "))
	}
}

// cmdPeak fails if the server ever needed more memory than so many MB. A build with the race
// detector may need ten times as much.
func cmdPeak(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: peak MB")
	}
	limit, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	if raceEnabled {
		limit *= 10
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", ferryOf(ts).cmd.Process.Pid))
	ts.Check(err)
	_, rest, ok := strings.Cut(string(data), "VmHWM:")
	line, _, _ := strings.Cut(rest, "kB\n")
	kb, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	if !ok || err != nil {
		ts.Fatalf("peak: no VmHWM in the status of the server: %v", err)
	}
	ts.Logf("peak: %d MB", kb>>10)
	if kb>>10 > limit {
		ts.Fatalf("the server needed %d MB, more than %d", kb>>10, limit)
	}
}
