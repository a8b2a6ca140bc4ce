package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The two lines of an error: what is wrong, and the way out.
var faultLines = regexp.MustCompile(`\Agoferry: [^\n]+\ngoferry: (hint: |提示：)[^\n]+\n\z`)

// cmdFails runs goferry and wants what every error of a person gets: the exit code, one line that
// names the thing, one line with the way out, nothing else on stderr and nothing on stdout.
// fails CODE ARGS…
func cmdFails(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: fails CODE ARGS…")
	}
	code := exitOf(ts, args[1:])
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("goferry %s: exit code %d, want %s", strings.Join(args[1:], " "), code, args[0])
	}
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("an error has no output, got:\n%s", out)
	}
	if text := ts.ReadFile("stderr"); !faultLines.MatchString(text) {
		ts.Fatalf("want a line that names it and a line with the way out, got:\n%s", text)
	}
}

// cmdExits runs goferry and wants an exit code: exits CODE ARGS…
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: exits CODE ARGS…")
	}
	if code := exitOf(ts, args[1:]); strconv.Itoa(code) != args[0] {
		ts.Fatalf("goferry %s: exit code %d, want %s", strings.Join(args[1:], " "), code, args[0])
	}
}

// exitOf runs goferry, whose output the script can look at afterwards.
func exitOf(ts *testscript.TestScript, args []string) int {
	err := ts.Exec("goferry", args...)
	var ee *exec.ExitError
	switch {
	case errors.As(err, &ee):
		return ee.ExitCode()
	case err != nil:
		ts.Fatalf("goferry: %v", err)
	}
	return 0
}

// cmdTake listens on a free port of the loopback interface until the end of the script, and sets
// TAKEN to its address.
func cmdTake(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: take")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { ln.Close() })
	ts.Setenv("TAKEN", ln.Addr().String())
}

// cmdAwait asks for a URL again and again until its answer matches, and prints that answer: await REGEXP URL.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await REGEXP URL")
	}
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for {
		resp, err := http.Get(args[1])
		ts.Check(err)
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		ts.Check(err)
		if want.Match(body) {
			fmt.Fprintf(ts.Stdout(), "%s", body)
			return
		}
		select {
		case <-tick.C:
		case <-late:
			ts.Fatalf("%s never said %q:\n%s", args[1], args[0], body)
		}
	}
}

// cmdClock sets a variable to a time of day, so long from now: clock NAME -2h.
func cmdClock(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: clock NAME DURATION")
	}
	d, err := time.ParseDuration(args[1])
	ts.Check(err)
	ts.Setenv(args[0], time.Now().Add(d).Format("15:04"))
}
