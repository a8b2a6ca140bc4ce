package gocmd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// helper is the name of the variable that makes this test binary play a part. The parts that stay report to
// the address in helperAddr: they dial it when they are ready, and the kernel hangs up when they are dead.
const (
	helper     = "GOCMD_TEST_HELPER"
	helperAddr = "GOCMD_TEST_ADDR"
)

func TestMain(m *testing.M) {
	part := os.Getenv(helper)
	if part == "" {
		os.Exit(m.Run())
	}
	os.Exit(play(part))
}

func play(part string) int {
	switch part {
	case "echo":
		in, _ := io.ReadAll(os.Stdin)
		wd, _ := os.Getwd()
		fmt.Printf("%s|%s|%s|%s", in, os.Getenv("WHO"), filepath.Base(wd), strings.Join(os.Args[1:], " "))
		fmt.Fprint(os.Stderr, "to stderr")
		return 7
	case "chatter":
		for {
			if _, err := os.Stdout.Write(bytes.Repeat([]byte("x"), 4096)); err != nil {
				return 1
			}
		}
	case "complain":
		os.Stderr.Write(bytes.Repeat([]byte("x"), 3*maxStderr))
		fmt.Fprint(os.Stderr, "the end")
		return 0
	}
	return playUnix(part)
}

// self returns the Cmd that plays a part.
func self(t *testing.T, part string, env ...string) Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Cmd{Name: exe, Env: append(env, helper+"="+part)}
}

// A desk accepts the reports of helpers.
type desk struct{ l net.Listener }

func newDesk(t *testing.T) desk {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return desk{l}
}

func (d desk) env() string { return helperAddr + "=" + d.l.Addr().String() }

// accept waits for a helper to be ready.
func (d desk) accept(t *testing.T) *visitor {
	t.Helper()
	conn, err := d.l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &visitor{conn, bufio.NewReader(conn)}
}

type visitor struct {
	net.Conn
	r *bufio.Reader
}

// line returns the next line that the helper says; "" means that it is dead.
func (v *visitor) line(t *testing.T) string {
	t.Helper()
	s, err := v.r.ReadString('\n')
	var netErr net.Error
	if err != nil && errors.As(err, &netErr) && netErr.Timeout() {
		t.Fatal(err)
	}
	return strings.TrimSpace(s)
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	c := self(t, "echo", "WHO=you")
	c.Args, c.Dir, c.Stdin = []string{"a", "b c"}, dir, strings.NewReader("in")
	r := &Runner{Env: append(os.Environ(), "WHO=nobody")}
	res, err := r.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if res.Duration <= 0 {
		t.Errorf("took %v", res.Duration)
	}
	got := []string{string(res.Stdout), string(res.Stderr), fmt.Sprint(res.ExitCode)}
	want := []string{"in|you|" + filepath.Base(dir) + "|a b c", "to stderr", "7"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRunBounds(t *testing.T) {
	res, err := new(Runner).Run(t.Context(), self(t, "complain"))
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Stderr) != maxStderr || !bytes.HasSuffix(res.Stderr, []byte("the end")) {
		t.Errorf("stderr: %d bytes, ending in %q", len(res.Stderr), res.Stderr[len(res.Stderr)-10:])
	}
	r := &Runner{MaxOutput: 100_000}
	res, err = r.Run(t.Context(), self(t, "chatter"))
	if !errors.Is(err, ErrTooMuchOutput) {
		t.Errorf("a program that never stops writing: %v, want ErrTooMuchOutput", err)
	}
	if int64(len(res.Stdout)) > r.MaxOutput {
		t.Errorf("kept %d bytes of at most %d", len(res.Stdout), r.MaxOutput)
	}
}

// failing takes some bytes, then fails.
type failing struct {
	left int
	err  error
}

func (w *failing) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, w.err
	}
	return len(p), nil
}

func TestRunStdout(t *testing.T) {
	var out bytes.Buffer
	c := self(t, "echo")
	c.Stdin, c.Stdout = strings.NewReader("in"), &out
	r := &Runner{MaxOutput: 1} // which is for what Run keeps
	res, err := r.Run(t.Context(), c)
	if err != nil || res.ExitCode != 7 || len(res.Stdout) != 0 || !strings.HasPrefix(out.String(), "in|") {
		t.Errorf("%v, %+v, wrote %q", err, res, out.String())
	}
	full := errors.New("full")
	c = self(t, "chatter")
	c.Stdout = &failing{left: 100_000, err: full}
	if _, err := new(Runner).Run(t.Context(), c); !errors.Is(err, full) {
		t.Errorf("got %v, want the error of Stdout", err)
	}
}

func TestRunEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the asker left")
	cancel(why)
	if _, err := new(Runner).Run(ctx, self(t, "echo")); !errors.Is(err, why) {
		t.Errorf("got %v, want the cause", err)
	}
}

func TestNoTool(t *testing.T) {
	empty, other := t.TempDir(), t.TempDir()
	t.Chdir(empty)
	if err := os.WriteFile("here", []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "text"), []byte("no program"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, path, goPath string
	}{
		{"git", "PATH=" + other, ""},
		{"git", "PATH=", ""},
		{"text", "PATH=" + other, ""},
		{"here", "PATH=." + string(os.PathListSeparator) + other, ""},
		{filepath.Join(other, "nothing"), "PATH=" + other, ""},
		{"go", "PATH=" + other, filepath.Join(other, "go")},
	} {
		r := &Runner{Go: tt.goPath, Env: []string{"PATH=" + os.Getenv("PATH"), tt.path}}
		_, err1 := r.FindTool(tt.name)
		_, err2 := r.Run(t.Context(), Cmd{Name: tt.name})
		_, err3 := r.Exec(t.Context(), ExecCmd{Argv: []string{tt.name}})
		for i, err := range []error{err1, err2, err3} {
			var te *ToolError
			if !errors.Is(err, ErrNoTool) || !errors.As(err, &te) || te.Name != tt.name {
				t.Errorf("%s with %s: call %d: %v, want a ToolError that names it", tt.name, tt.path, i, err)
			}
		}
	}
}

func TestFindTool(t *testing.T) {
	want, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	for _, env := range [][]string{nil, {"PATH=/nowhere", "PATH=" + filepath.Dir(want)}} {
		r := &Runner{Env: env}
		if got, err := r.FindTool("git"); err != nil || got != want {
			t.Errorf("FindTool(git) with %v = %q, %v, want %q", env, got, err, want)
		}
	}
}

func TestGoEnv(t *testing.T) {
	dir := t.TempDir()
	goenv := filepath.Join(dir, "goenv")
	if err := os.WriteFile(goenv, []byte("GOTOOLCHAIN=go1.99.0\nGOPRIVATE=corp.example\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module x.test\ngo 1.98\ntoolchain go1.99.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	base := append(os.Environ(), "GOTOOLCHAIN=", "GOPRIVATE=", "GOPROXY=https://one.test,direct")
	for _, tt := range []struct {
		env  []string
		want map[string]string
	}{
		{[]string{"GOENV=" + goenv}, map[string]string{
			"GOPROXY": "https://one.test,direct", "GOPRIVATE": "corp.example", "GOTOOLCHAIN": "go1.99.0", "GOMOD": os.DevNull, "GOWORK": "off",
		}},
		{[]string{"GOENV=" + goenv, "GOTOOLCHAIN=path"}, map[string]string{
			"GOPROXY": "https://one.test,direct", "GOPRIVATE": "corp.example", "GOTOOLCHAIN": "path", "GOMOD": os.DevNull, "GOWORK": "off",
		}},
		{[]string{"GOENV=off"}, map[string]string{
			"GOPROXY": "https://one.test,direct", "GOPRIVATE": "", "GOTOOLCHAIN": shippedToolchain(t), "GOMOD": os.DevNull, "GOWORK": "off",
		}},
	} {
		r := &Runner{Env: append(base, tt.env...)}
		got, err := r.GoEnv(t.Context(), "GOPROXY", "GOPRIVATE", "GOTOOLCHAIN", "GOMOD", "GOWORK")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%v: %s", tt.env, diff)
		}
	}
	all, err := (&Runner{Env: append(base, "GOENV="+goenv)}).GoEnv(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if all["GOTOOLCHAIN"] != "go1.99.0" || all["GOVERSION"] == "" || all["GOENV"] != goenv {
		t.Errorf("without keys: GOTOOLCHAIN %q, GOVERSION %q, GOENV %q", all["GOTOOLCHAIN"], all["GOVERSION"], all["GOENV"])
	}
}

// shippedToolchain is what the real go command says where nobody has set GOTOOLCHAIN.
func shippedToolchain(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("go", "env", "GOTOOLCHAIN")
	cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), "GOENV=off", "GOTOOLCHAIN=")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(out))
}

func TestNeutralDir(t *testing.T) {
	dir := t.TempDir()
	inside, outside := filepath.Join(dir, "m", "sub"), filepath.Join(dir, "free")
	for _, d := range []string{inside, outside} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "m", "go.mod"), []byte("module m.test\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := NeutralDir(filepath.Join(dir, "missing"), inside, outside)
	if err != nil || got != outside {
		t.Errorf("got %q, %v, want %q", got, err, outside)
	}
	if got, err = NeutralDir(inside); err != nil || got == inside {
		t.Errorf("got %q, %v, want some folder outside the module", got, err)
	}
}

func TestExec(t *testing.T) {
	c := self(t, "echo", "WHO=you")
	var out, errOut bytes.Buffer
	code, err := new(Runner).Exec(t.Context(), ExecCmd{
		Argv: []string{c.Name, "x"}, Env: c.Env, Dir: t.TempDir(),
		Stdin: strings.NewReader("in"), Stdout: &out, Stderr: &errOut,
	})
	if err != nil || code != 7 {
		t.Errorf("got %d, %v, want exit code 7", code, err)
	}
	if !strings.HasPrefix(out.String(), "in|you|") || errOut.String() != "to stderr" {
		t.Errorf("stdout %q, stderr %q", out.String(), errOut.String())
	}
	if code, err := new(Runner).Exec(t.Context(), ExecCmd{}); !errors.Is(err, ErrNoTool) {
		t.Errorf("no command: %d, %v, want ErrNoTool", code, err)
	}
}

const short = 20 * time.Millisecond // a Grace that tests can afford to see pass
