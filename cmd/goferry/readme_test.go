//go:build unix

package main

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/goproxytest"
	"github.com/goferry/goferry/internal/mirrors"
)

// readmeLines are the command lines in the sh blocks of a README, in order.
func readmeLines(t *testing.T, file string) []string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	in := false
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "```sh":
			in = true
		case strings.HasPrefix(line, "```"):
			if !in && line != "```" {
				t.Errorf("%s: a block that is not run: %s", file, line)
			}
			in = false
		case in && line != "" && !strings.HasPrefix(line, "#"):
			lines = append(lines, line)
		}
	}
	return lines
}

// A reader does what the README says, line by line: in a checkout of this repository and in a
// project of his own, on a fresh machine but for the modules that goferry is built from.
type reader struct {
	*rig
	root, app string // the checkout, the project
	bin       string // where go install puts goferry
	listen    string // where the service of goferry on listens
	t         *testing.T
}

func newReader(t *testing.T) *reader {
	t.Helper()
	up := goproxytest.New(t)
	up.LoadFS(os.DirFS("testdata/mod"))
	up.AddModule("example.com/old", "v1.2.0", map[string]string{"old.go": "package old\n"})
	probed := mirrors.DefaultModule()
	up.AddModule(probed.Path, probed.Version, map[string]string{"mod.go": "package mod\n"})
	up.Remove("golang.org/toolchain", "v0.0.1-go1.99.0.linux-amd64")
	for _, name := range []string{"go1.21.13", "go1.25.7", "go1.26.5"} {
		target := sdkTarget(must{t}, name)
		up.AddModule(target.Module().Path, target.Module().Version, sdkFiles(must{t}, target, 0))
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{rig: rigFor(t, up), root: root, t: t}
	r.app, r.bin = filepath.Join(r.work, "app"), filepath.Join(r.work, "bin")
	r.vars["GOBIN"], r.vars["PATH"] = r.bin, r.bin+":"+os.Getenv("PATH")
	r.vars["GOFLAGS"] = "-modcacherw -buildvcs=false"
	r.vars["GOPROXY"] = up.URL // what a go command comes with
	for _, k := range []string{"GOFERRY_UPSTREAM", "GOFERRY_CACHE", "GOFERRY_LINK_RETRIES", "GOFERRY_PREFETCH"} {
		r.vars[k] = ""
	}
	r.vars["GOFERRY_SDK_SOURCES"] = "off" // the known places are beyond this machine
	files := map[string]string{
		"go.mod":  "module example.com/app\n\ngo 1.21\n\nrequire example.com/old v1.2.0\n",
		"main.go": "package main\n\nimport _ \"example.com/old\"\n\nfunc main() {}\n",
	}
	for name, text := range files {
		if err := os.MkdirAll(r.app, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(r.app, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	r.do(t, r.app, "go mod tidy", "GOMODCACHE="+filepath.Join(r.work, "author")) // a project has a go.sum
	return r
}

// sh makes a command of a line of the README, to be run in dir.
func (r *reader) sh(dir, line string, env ...string) *exec.Cmd {
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir, cmd.Env = dir, r.environ(env...)
	return cmd
}

// do runs a line, which must succeed.
func (r *reader) do(t *testing.T, dir, line string, env ...string) string {
	t.Helper()
	out, errs, code := finish(t, r.sh(dir, line, env...))
	if code != 0 {
		t.Fatalf("%s: exit code %d\n%s%s", line, code, out, errs)
	}
	return out
}

// checkout is the environment of lines that build goferry: its modules are here already.
func (r *reader) checkout(t *testing.T) string { return "GOMODCACHE=" + goEnvOf(t, "GOMODCACHE") }

// follow does what a line says.
func (r *reader) follow(t *testing.T, line string) {
	t.Helper()
	words := strings.Fields(line)
	switch {
	case line == "go run ./cmd/goferry serve":
		r.serveLine(t, r.root, line, r.checkout(t))
	case line == "go install ./cmd/goferry":
		r.do(t, r.root, line, r.checkout(t))
		if got := strings.TrimSpace(r.do(t, r.app, "command -v goferry")); got != filepath.Join(r.bin, "goferry") {
			t.Fatalf("goferry is %s, not the one that was installed", got)
		}
	case line == "make test": // not for real: this is one of the tests
		if out := r.do(t, r.root, "make -n test"); !strings.Contains(out, "sh scripts/test-deps.sh") || !strings.Contains(out, "go test -parallel 4 ./...\n") {
			t.Errorf("make test does %s", out)
		}
		r.do(t, r.root, "sh scripts/test-deps.sh")
	case strings.HasPrefix(line, "go env -w GOPROXY="), line == "go env -u GOPROXY":
		r.do(t, r.app, line, "GOPROXY=")
		want, set := strings.CutPrefix(line, "go env -w GOPROXY=")
		if got := strings.TrimSpace(r.do(t, r.app, "go env GOPROXY", "GOPROXY=")); (got == want) != set {
			t.Errorf("after %s GOPROXY is %s", line, got)
		}
	case len(words) > 1 && words[0] == "goferry" && words[1] == "serve":
		r.serveLine(t, r.app, line)
	case strings.HasPrefix(line, `eval "$(goferry bundle env `):
		if out := r.do(t, r.app, line+`; echo "$GOPROXY $GOSUMDB"`); out != "http://127.0.0.1:8046 "+r.vars["GOSUMDB"]+"\n" {
			t.Errorf("%s: GOPROXY and GOSUMDB are %s", line, out)
		}
	case strings.HasPrefix(line, "goferry sdk "), strings.HasPrefix(line, "goferry env"), strings.HasPrefix(line, "eval "):
		r.sdkLine(t, line)
	case strings.HasPrefix(line, "goferry doctor"), strings.Contains(line, "| goferry doctor"):
		r.doctorLine(t, line)
	case strings.HasPrefix(line, "goferry graph"):
		r.graphLine(t, line)
	case strings.HasPrefix(line, "goferry cgo"), strings.HasPrefix(line, "goferry build"), strings.HasPrefix(line, "goferry inspect"):
		r.cgoLine(t, line)
	case strings.HasPrefix(line, "goferry mirrors"):
		r.mirrorsLine(t, line)
	case strings.HasPrefix(line, "goferry dockerfile"): // the image that it names cannot be asked for here
		if out, errs, code := finish(t, r.sh(r.app, line)); code != 3 || !strings.Contains(out, "\nFROM scratch\n") {
			t.Errorf("%s: exit code %d\n%s%s", line, code, out, errs)
		}
	case line == "goferry on", line == "goferry status", line == "goferry off":
		r.switchLine(t, line)
	case len(words) > 1 && words[0] == "goferry" && strings.Contains(" exec fetch cache config vendor image bundle ", " "+words[1]+" "):
		r.do(t, r.app, line)
	default:
		t.Errorf("the test does not know what to do with the line: %s", line)
	}
}

// sdkLine runs a line about SDKs, and looks at what it leaves.
func (r *reader) sdkLine(t *testing.T, line string) {
	t.Helper()
	home := filepath.Join(r.vars["HOME"], ".goferry")
	inUse := "PATH=" + filepath.Join(home, "go", "bin") + ":" + r.vars["PATH"]
	var out, want string
	switch line {
	case `eval "$(goferry env)"`:
		out, want = r.do(t, r.app, line+"; command -v go"), filepath.Join(home, "go", "bin", "go")
	case "goferry env --write", "goferry env --remove": // they ask
		r.do(t, r.app, "echo y | script -qec '"+line+"' /dev/null", "SHELL=/bin/sh")
		want = map[bool]string{true: "0\n", false: "1\n"}[strings.HasSuffix(line, "--remove")]
		out = r.do(t, r.app, `grep -c '^# >>> goferry' "$HOME/.profile" || :`)
		if strings.HasSuffix(line, "--remove") && out == "" { // it had made the file
			out = "0\n"
		}
	case "goferry sdk verify", "goferry sdk which":
		out, want = r.do(t, r.app, line, inUse), home
	default:
		out = r.do(t, r.app, line)
		want = map[string]string{
			"goferry sdk list":                    "default",
			"goferry sdk list --remote":           "go1.26.5",
			"goferry sdk install 1.26":            "proved by the checksum database",
			"goferry sdk exec 1.26 -- go version": "go1.26.5",
			"goferry sdk verify --all":            "go1.25.7, as it was released",
			"goferry sdk test --packages errors":  "1 passed",
			"goferry sdk remove 1.25.7":           "removed go1.25.7",
		}[line]
	}
	if !strings.Contains(out, want) {
		t.Errorf("%s: no %q in\n%s", line, want, out)
	}
}

// doctorLine runs a line about the doctor, who may find something on the machine of the test. What he writes first is looked for.
func (r *reader) doctorLine(t *testing.T, line string) {
	t.Helper()
	want := map[string]string{
		"goferry doctor --list": "network", "goferry doctor example.com/old": "example.com/old",
		"goferry doctor --undo": "nothing", "goferry doctor --bundle report.zip": "report.zip",
	}[line]
	out, errs, code := finish(t, r.sh(r.app, line, "GOFERRY_OFFLINE=true")) // or he asks public resolvers
	if code != 0 && code != 3 && !strings.Contains(line, "--undo") || !strings.Contains(out+errs, want) {
		t.Errorf("%s: exit code %d, want %q\n%s%s", line, code, want, out, errs)
	}
}

// graphLine runs a line about the module graph, and looks for what it must say.
func (r *reader) graphLine(t *testing.T, line string) {
	t.Helper()
	out := r.do(t, r.app, line)
	if _, file, ok := strings.Cut(line, " -o "); ok {
		page, err := os.ReadFile(filepath.Join(r.app, file))
		if err != nil {
			t.Fatal(err)
		}
		out += string(page)
	}
	want := map[string]string{
		"goferry graph":                                       "1 module: 1 required by go.mod",
		"goferry graph --why example.com/old":                 "decides",
		"goferry graph --what-if example.com/old@latest":      "nothing would change",
		"goferry graph --cut example.com/old":                 "removed  example.com/old",
		"goferry graph --format html -o graph.html":           "<!doctype html>",
		"goferry graph --routes --with GOPRIVATE=example.com": "(GOPRIVATE: example.com)",
	}[line]
	if want == "" || !strings.Contains(out, want) {
		t.Errorf("%s: no %q in\n%s", line, want, out)
	}
}

// cgoLine runs a line about C compilers, builds or programs, and looks for what it must say. The compilers are here (scripts/test-deps.sh).
func (r *reader) cgoLine(t *testing.T, line string) {
	t.Helper()
	out, errs, code := finish(t, r.sh(r.app, line))
	want := map[string]string{
		"goferry cgo check":                                                             "cgo",
		"goferry cgo setup linux/arm64 windows/amd64":                                   "linux/arm64",
		"goferry build --target linux/amd64,linux/arm64,windows/amd64 -o dist":          "windows/amd64",
		"goferry build --target linux/amd64/musl --static -o dist":                      "static",
		"goferry inspect dist/linux-amd64/app":                                          "static",
		"goferry inspect --require static --require 'glibc<=2.28' dist/linux-amd64/app": "static",
	}[line]
	if code != 0 || want == "" || !strings.Contains(out+errs, want) {
		t.Errorf("%s: exit code %d, want %q\n%s%s", line, code, want, out, errs)
	}
}

// mirrorsLine runs a line about mirrors: of those that goferry knows none is reached from here, but the
// upstream in use is. What is chosen is in force behind a line that chooses.
func (r *reader) mirrorsLine(t *testing.T, line string) {
	t.Helper()
	out := r.do(t, r.app, line)
	if line == "goferry mirrors" {
		if !strings.Contains(out, "\ngoproxy.cn ") || !strings.Contains(out, "is in use already") {
			t.Errorf("%s: goproxy.cn is not in the table, or the best is not the upstream in use\n%s", line, out)
		}
		return
	}
	chosen := strings.Contains(line, " --none")
	if got := r.do(t, r.app, "goferry config -v"); strings.Contains(got, "https://goproxy.cn=https://mirrors.aliyun.com/goproxy/") == chosen {
		t.Errorf("after %s:\n%s", line, got)
	}
}

// switchLine runs on, status or off. Services are systemd's, whose systemctl in tests touches
// nothing but the home of the reader; elsewhere the line is only known to goferry.
func (r *reader) switchLine(t *testing.T, line string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		r.do(t, r.app, line+" --help")
		return
	}
	tmp := filepath.Join(r.work, "tmp") // goferry itself must not stand in what it takes for temporary
	if err := os.MkdirAll(tmp, 0o777); err != nil {
		t.Fatal(err)
	}
	env := []string{"SYSTEMD=yes", "TMPDIR=" + tmp, "GOPROXY=", "GOFERRY_LISTEN=" + r.listen}
	if line == "goferry on" {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		r.listen = ln.Addr().String()
		ln.Close()
		env[3] = "GOFERRY_LISTEN=" + r.listen
		home := r.vars["HOME"]
		r.t.Cleanup(func() { killUnit(home) })
		r.do(t, r.app, "go env -w GOPROXY="+r.up.URL, env...)
	}
	r.do(t, r.app, line, env...)
	want := "http://" + r.listen + "|" + r.up.URL
	if line == "goferry off" {
		want = r.up.URL
	}
	if got := strings.TrimSpace(r.do(t, r.app, "go env GOPROXY", env...)); got != want {
		t.Errorf("after %s GOPROXY is %s, not %s", line, got, want)
	}
	if line == "goferry off" {
		r.do(t, r.app, "go env -u GOPROXY", env...)
	}
}

// serveLine runs a line that serves until it answers, and interrupts it as Ctrl-C does.
func (r *reader) serveLine(t *testing.T, dir, line string, env ...string) {
	t.Helper()
	cmd := r.sh(dir, "exec "+freePort(t, line), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s := serveWith(t, cmd)
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }) // what go run has started
	if !strings.Contains(s.url, ":804") && freePort(t, line) == line {
		t.Errorf("%s listens on %s", line, s.url)
	}
	if resp, body, err := fetchAll(t, client(t), s.url+"/-/readyz"); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%s: %v %s", line, err, body)
	}
	if !strings.Contains(line, "--upstream") { // that one is beyond this machine
		if _, body, err := fetchAll(t, client(t), s.url+"/example.com/old/@v/list"); err != nil || string(body) != "v1.2.0\n" {
			t.Errorf("%s: a list is answered with %q, %v", line, body, err)
		}
	}
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-s.ended
	goRun := strings.HasPrefix(line, "go run ") // which ends with 1 after an interrupt, whatever it runs says
	if code := cmd.ProcessState.ExitCode(); code != 0 && !goRun || strings.Contains(s.log.all(), "goferry: hint: ") {
		t.Errorf("%s ends with %d\n%s", line, code, s.log.all())
	}
}

// freePort changes the port of a line that serves if somebody has it.
func freePort(t *testing.T, line string) string {
	t.Helper()
	rest, addr, ok := strings.Cut(line, " --listen ")
	if !ok {
		addr = "127.0.0.1:8046"
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return rest + " --listen 127.0.0.1:0"
	}
	ln.Close()
	return line
}

// TestReadme runs every command line of both READMEs.
func TestReadme(t *testing.T) {
	t.Parallel() // takes long
	en, zh := readmeLines(t, "../../README.md"), readmeLines(t, "../../README.zh-CN.md")
	if len(en) < 10 {
		t.Fatalf("README.md has only %d command lines", len(en))
	}
	if diff := cmp.Diff(en, zh); diff != "" {
		t.Errorf("the READMEs have different commands (-en +zh):\n%s", diff)
	}
	r := newReader(t)
	for _, line := range en {
		t.Run(line, func(t *testing.T) { r.follow(t, line) })
	}
}
