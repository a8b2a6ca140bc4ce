//go:build live

package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Live tests ask the upstream that `go env GOPROXY` names, for a few small modules.

const liveMod = `module example.com/live

go 1.21

require (
	golang.org/x/mod v0.20.0
	golang.org/x/sync v0.8.0
	golang.org/x/term v0.23.0
	github.com/google/go-cmp v0.6.0
)
`

// liveRig is a rig with the upstream and the checksum database of this machine's go command.
func liveRig(t *testing.T) *rig {
	t.Helper()
	goEnv := map[string]string{}
	for _, k := range []string{"GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GONOPROXY"} {
		goEnv[k] = goEnvOf(t, k)
	}
	r := newRig(t)
	for k, v := range goEnv {
		r.vars[k] = v
	}
	for _, k := range []string{"GOFERRY_UPSTREAM", "GOFERRY_LINK_RETRIES"} {
		r.vars[k] = ""
	}
	for _, k := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} {
		r.vars[k] = os.Getenv(k)
	}
	return r
}

// project writes the module that wants the others, with nothing in its go.sum.
func (r *rig) project(t *testing.T) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp(r.work, "app")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(liveMod), 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestLiveExec downloads a small project, and again without a network into an empty module cache.
func TestLiveExec(t *testing.T) {
	r := liveRig(t)
	var sums []string
	for _, flags := range [][]string{nil, {"--offline"}} {
		dir := r.project(t)
		args := append(append([]string{"exec"}, flags...), "--", "go", "mod", "download", "all")
		cmd := r.command("goferry", args...)
		cmd.Dir, cmd.Env = dir, r.environ("GOMODCACHE="+filepath.Join(dir, "modcache"))
		out, errs, code := finish(t, cmd)
		if code != 0 || !strings.Contains(errs, " module versions, ") {
			t.Fatalf("%v: exit code %d\n%s%s", args, code, out, errs)
		}
		t.Log(strings.TrimSpace(errs))
		data, err := os.ReadFile(filepath.Join(dir, "go.sum"))
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, string(data))
		if len(flags) > 0 && !strings.HasSuffix(strings.TrimSpace(errs), " from the cache") {
			t.Error("something else than the cache was asked")
		}
	}
	if sums[0] != sums[1] || !strings.Contains(sums[0], "golang.org/x/mod v0.20.0 h1:") {
		t.Errorf("go.sum with a network:\n%s\nand without:\n%s", sums[0], sums[1])
	}
	r.must(t, "goferry", "cache", "verify", "--offline")
}

// TestLiveServer asks a server for what GOTOOLCHAIN=auto begins with, and for the checksum
// database, twice: the second time offline.
func TestLiveServer(t *testing.T) {
	r := liveRig(t)
	name := sumdbName(t)
	urls := []string{
		"/golang.org/toolchain/@v/v0.0.1-go1.23.0.linux-amd64.info",
		"/golang.org/toolchain/@v/v0.0.1-go1.23.0.linux-amd64.mod",
		"/golang.org/x/mod/@v/list",
		"/golang.org/x/mod/@v/v0.20.0.zip",
		"/sumdb/" + name + "/supported",
		"/sumdb/" + name + "/latest",
		"/sumdb/" + name + "/lookup/golang.org/x/mod@v0.20.0",
	}
	var answers []string
	for _, flags := range [][]string{nil, {"--offline"}} {
		s := r.serve(t, flags...)
		for i, url := range urls {
			resp, body, err := fetchAll(t, client(t), s.url+url)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Errorf("%v %s: %v\n%s%v", flags, url, resp, body, err)
			}
			switch {
			case flags == nil:
				answers = append(answers, string(body))
			case !strings.HasSuffix(url, "/latest") && !strings.HasSuffix(url, "/list") && answers[i] != string(body):
				t.Errorf("%s: online %q, offline %q", url, answers[i], body)
			}
		}
		s.quit(t)
	}
	if !strings.Contains(answers[6], "golang.org/x/mod v0.20.0 h1:") {
		t.Errorf("the checksum database says %q", answers[6])
	}
}

// sumdbName is the name of the go command's checksum database.
func sumdbName(t *testing.T) string {
	t.Helper()
	name, _, _ := strings.Cut(goEnvOf(t, "GOSUMDB"), "+")
	name, _, _ = strings.Cut(name, " ")
	if name == "" || name == "off" {
		t.Fatal("go env GOSUMDB names no checksum database")
	}
	return name
}

// TestLiveGo builds a program through a server, as a user of it does.
func TestLiveGo(t *testing.T) {
	r := liveRig(t)
	s := r.serve(t)
	dir := r.project(t)
	main := "package main\n\nimport \"golang.org/x/mod/semver\"\n\nfunc main() { println(semver.Major(\"v1.2.3\")) }\n"
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(main), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"mod", "tidy"}, {"build", "-o", "app"}, {"list", "-m", "-u", "golang.org/x/mod"}} {
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = dir, r.environ("GOPROXY="+s.url)
		if out, errs, code := finish(t, cmd); code != 0 {
			t.Fatalf("go %v: exit code %d\n%s%s", args, code, out, errs)
		}
	}
	s.quit(t)
}
