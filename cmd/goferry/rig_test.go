package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goferry/goferry/internal/goproxytest"
)

// A rig is what a script has, for tests in Go: an upstream, a fresh home, and goferry as a command
// whose processes are real.
type rig struct {
	up   *goproxytest.Server
	work string
	vars map[string]string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	return rigFor(t, goproxytest.New(t))
}

func rigFor(t *testing.T, up *goproxytest.Server) *rig {
	t.Helper()
	r := &rig{up: up, work: t.TempDir()}
	vars, err := hermetic(r.work, up, goEnvOf(t, "GOCACHE"))
	if err != nil {
		t.Fatal(err)
	}
	vars["GOMODCACHE"] = filepath.Join(r.work, "modcache")
	r.vars = vars
	return r
}

func (r *rig) cache() string { return r.vars["GOFERRY_CACHE"] }

// environ is the environment of the rig, with some of it replaced (KEY=VALUE).
func (r *rig) environ(more ...string) []string {
	env := os.Environ()
	for k, v := range r.vars {
		env = append(env, k+"="+v)
	}
	return append(env, more...)
}

// command is a command of the rig, to be started in its folder.
func (r *rig) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = r.work, r.environ()
	return cmd
}

// run runs a command to its end.
func (r *rig) run(t *testing.T, name string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return finish(t, r.command(name, args...))
}

func finish(t *testing.T, cmd *exec.Cmd) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var ee *exec.ExitError
	if err != nil && !errors.As(err, &ee) {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must runs a command that has to succeed.
func (r *rig) must(t *testing.T, name string, args ...string) (stdout, stderr string) {
	t.Helper()
	stdout, stderr, code := r.run(t, name, args...)
	if code != 0 {
		t.Fatalf("%s %v: exit code %d\n%s%s", name, args, code, stdout, stderr)
	}
	return stdout, stderr
}

// A served is a goferry serve that runs as a process.
type served struct {
	url   string
	log   *logBook
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process is gone
}

var httpURL = regexp.MustCompile(`https?://[0-9.:]+`)

// serve starts goferry serve on a free port and returns when it listens. It ends with the test
// at the latest.
func (r *rig) serve(t *testing.T, args ...string) *served {
	t.Helper()
	return serveWith(t, r.command("goferry", append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...))
}

// serveWith runs cmd, which must become a goferry serve.
func serveWith(t *testing.T, cmd *exec.Cmd) *served {
	t.Helper()
	s := &served{cmd: cmd, log: newLogBook(), ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = io.Discard, s.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // who wants to know asks ProcessState
		fmt.Fprintln(s.log, "(ended)")
		close(s.ended)
	}()
	t.Cleanup(s.kill)
	said := s.log.wait(t, `listening on [^\n]+|\(ended\)`)[0]
	if s.url = httpURL.FindString(said); s.url == "" {
		t.Fatalf("%v did not come up:\n%s", cmd.Args, s.log.all())
	}
	return s
}

func (s *served) kill() {
	_ = s.cmd.Process.Kill() // an error means that it is gone
	<-s.ended
}

// interrupt asks the server to stop, as Ctrl-C does.
func (s *served) interrupt(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
}

// quit stops the server, which must end well.
func (s *served) quit(t *testing.T) {
	t.Helper()
	s.interrupt(t)
	<-s.ended
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("serve ended with %d:\n%s", code, s.log.all())
	}
}

// says waits until the server has written what re matches, or has ended.
func (s *served) says(t *testing.T, re string) {
	t.Helper()
	s.log.wait(t, `(?:`+re+`)|\(ended\)`)
	if log := s.log.all(); !regexp.MustCompile(re).MatchString(log) {
		t.Fatalf("the server never said %s:\n%s", re, log)
	}
}

// all is what was written so far.
func (l *logBook) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// fetchAll asks for a URL and reads the answer to its end; err is that of reading.
func fetchAll(t *testing.T, hc *http.Client, url string, header ...string) (resp *http.Response, body []byte, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range header {
		k, v, _ := strings.Cut(h, ": ")
		req.Header.Set(k, v)
	}
	resp, err = hc.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp, body, err
}

// fileOf is a file as the upstream has it, without the network.
func fileOf(t *testing.T, up *goproxytest.Handler, path string) []byte {
	w := answer{header: http.Header{}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	if err != nil {
		t.Error(err)
		return nil
	}
	up.ServeHTTP(&w, req)
	return w.body.Bytes()
}

// An answer keeps what a handler says.
type answer struct {
	header http.Header
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(int)             {}
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }
