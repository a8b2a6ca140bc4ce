package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/goferry/goferry/internal/goproxytest"
)

// A stageRun does what a Dockerfile says, step by step, without a Docker engine: each RUN in a root folder of its own with the machine's
// /usr, and, where the step says --network=none, in a network namespace without so much as a loopback route.
type stageRun struct {
	t       *testing.T
	context string // of the build
	root    string // of the stage
	stages  map[string]string
	env     []string
	args    map[string]string // --build-arg
	goCache string            // of --mount=type=cache
	dir     string
	user    string
	entry   []string
	health  []string
	alone   int // steps that ran without a network
	online  int // steps that could have used one
}

// inRoot mounts the machine's programs into the root $1, and runs the rest there.
const inRoot = `
set -e
root=$1; dir=$2; user=$3; shift 3
for d in usr bin sbin lib lib64 etc; do
	if [ -e /$d ] && [ -n "$HOST" ]; then
		/bin/mkdir -p $root/$d; /bin/mount --rbind /$d $root/$d; /bin/mount -o remount,bind,ro $root/$d
	fi
done
/bin/mkdir -p $root/dev $root/proc $root/tmp $root/$dir $root/root/.cache/go-build
/bin/mount --rbind /dev $root/dev
/bin/mount --rbind /proc $root/proc
if [ -n "$HOST" ]; then /bin/mount --bind $HOST $root/root/.cache/go-build; fi
exec /usr/sbin/chroot $user $root "$@"
`

// exec runs argv within the stage.
func (s *stageRun) exec(host, network bool, argv ...string) (string, error) {
	s.t.Helper()
	args := []string{"-m"}
	if os.Getuid() != 0 {
		args = append(args, "-r")
	}
	if !network {
		args = append(args, "-n")
	}
	user := "--userspec=0:0"
	if s.user != "" {
		user = "--userspec=" + s.user
	}
	args = append(args, "/bin/sh", "-c", inRoot, "sh", s.root, s.dir, user)
	if host {
		args = append(args, "sh", "-c", `cd "$0" && exec "$@"`, s.dir)
	}
	cmd := exec.Command("unshare", append(args, argv...)...)
	cmd.Env = append([]string{"PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}, s.env...)
	if host {
		cmd.Env = append(cmd.Env, "HOST="+s.goCache)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

var (
	heredoc = regexp.MustCompile(`<<'?(\w+)'?`)
	mounted = regexp.MustCompile(`--(mount|network)=\S+\s+`)
)

// run does a whole Dockerfile.
func (s *stageRun) run(text string) {
	s.t.Helper()
	s.stages, s.dir = map[string]string{}, "/"
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		if line == "" || line[0] == '#' {
			continue
		}
		var doc string
		if m := heredoc.FindStringSubmatch(line); m != nil {
			for i++; lines[i] != m[1]; i++ {
				doc += lines[i] + "\n"
			}
		}
		for strings.HasSuffix(line, `\`) {
			i++
			line = strings.TrimSuffix(line, `\`) + "\n" + lines[i]
		}
		verb, rest, _ := strings.Cut(line, " ")
		s.step(verb, strings.TrimSpace(rest), doc)
	}
}

func (s *stageRun) step(verb, rest, doc string) {
	s.t.Helper()
	words := strings.Fields(rest)
	switch verb {
	case "FROM":
		s.root, s.env, s.dir, s.user = s.t.TempDir(), nil, "/", ""
		if len(words) == 3 {
			s.stages[words[2]] = s.root
		}
	case "WORKDIR":
		s.dir = rest
	case "ENV":
		s.env = append(s.env, words...)
	case "ARG":
		if v, ok := s.args[rest]; ok {
			s.env = append(s.env, rest+"="+v)
		}
	case "COPY":
		s.copy(rest, words, doc)
	case "RUN":
		network := !strings.Contains(rest, "--network=none")
		if network {
			s.online++
		} else {
			s.alone++
		}
		if out, err := s.exec(true, network, "sh", "-c", mounted.ReplaceAllString(rest, "")); err != nil {
			s.t.Fatalf("RUN %s: %v\n%s", rest, err, out)
		}
	case "USER":
		s.user = rest
	case "ENTRYPOINT":
		s.list(rest, &s.entry)
	case "HEALTHCHECK":
		s.list(rest[strings.Index(rest, "["):], &s.health)
	case "EXPOSE":
	default:
		s.t.Fatalf("unknown step %s", verb)
	}
}

func (s *stageRun) list(text string, to *[]string) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(text), to); err != nil {
		s.t.Fatal(err)
	}
}

// copy does a COPY: from the context or from a stage, of a folder's contents, or of a heredoc.
func (s *stageRun) copy(rest string, words []string, doc string) {
	s.t.Helper()
	from := s.context
	if stage, ok := strings.CutPrefix(words[0], "--from="); ok {
		from, words = s.stages[stage], words[1:]
	}
	if strings.HasPrefix(rest, "[") {
		words = nil
		s.list(rest, &words)
	}
	to := words[len(words)-1]
	target := filepath.Join(s.root, s.dir, to)
	if path.IsAbs(to) {
		target = filepath.Join(s.root, to)
	}
	if doc != "" {
		s.must(os.MkdirAll(filepath.Dir(target), 0o777))
		s.must(os.WriteFile(target, []byte(doc), 0o666))
		return
	}
	for _, src := range words[:len(words)-1] {
		file := filepath.Join(from, src)
		if info, err := os.Stat(file); err == nil && info.IsDir() {
			s.must(os.MkdirAll(target, 0o777))
			s.cp(file+"/.", target)
			continue
		}
		if strings.HasSuffix(to, "/") {
			s.must(os.MkdirAll(target, 0o777))
		}
		s.cp(file, target)
	}
}

func (s *stageRun) cp(from, to string) {
	s.t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
}

func (s *stageRun) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

const dockerModules = `
-- hello/go.mod --
module example.com/hello
go 1.21
-- hello/hello.go --
package hello

// Word is said.
const Word = "carried"
-- clib/go.mod --
module example.com/clib
go 1.21
-- clib/clib.go --
package clib

// #include "inc/value.h"
import "C"

// Value asks C.
func Value() int { return int(C.value()) }
-- clib/inc/value.h --
static int value(void) { return 42; }
`

// dockerProjects are what Dockerfiles are written for.
var dockerProjects = map[string]struct {
	files  string
	args   []string
	before []string // a command of goferry first
	want   string   // what the program says
	online int      // steps that have a network
}{
	"proxy": {
		files: `
-- go.mod --
module example.com/app
go 1.21
-- cmd/app/main.go --
package main

import (
	"fmt"
	"os"
	"time"

	"example.com/hello"
)

func main() {
	shanghai, err := time.LoadLocation("Asia/Shanghai")
	fmt.Println(hello.Word, shanghai, err, os.Getuid())
}
`, want: "carried Asia/Shanghai <nil> 65532\n", online: 1},
	"vendor": {
		files: `
-- go.mod --
module example.com/app
go 1.21
-- main.go --
package main

import (
	"fmt"

	"example.com/clib"
	"example.com/hello"
)

func main() { fmt.Println(hello.Word, clib.Value()) }
`, before: []string{"vendor"}, want: "carried 42\n"},
	"bundle": {
		files: `
-- go.mod --
module example.com/app
go 1.21
-- main.go --
package main

import (
	"fmt"

	"example.com/hello"
)

func main() { fmt.Println(hello.Word, "in a bundle") }
`, before: []string{"bundle", "create", "-o", "app.bundle"}, args: []string{"--bundle", "app.bundle"}, want: "carried in a bundle\n"},
	"static": {
		files: `
-- go.mod --
module example.com/app
go 1.21
-- main.go --
package main

import (
	"fmt"
	"net"
	"os/user"

	"example.com/clib"
)

func main() {
	_, err := net.LookupHost("localhost")
	u, bad := user.Current()
	fmt.Println(clib.Value(), err != nil, u.Username, bad)
}
`, args: []string{"--libc", "static"}, want: "42 true app <nil>\n", online: 1},
	"serves": {
		files: `
-- go.work --
go 1.22

use (
	./lib
	./server
)
-- lib/go.mod --
module example.com/lib
go 1.22
-- lib/lib.go --
package lib

// Addr is where to listen.
const Addr = ":18080"
-- server/go.mod --
module example.com/server
go 1.22
-- server/main.go --
package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"

	"example.com/lib"
)

func main() {
	go http.ListenAndServe(":18080", http.NewServeMux())
	_ = lib.Addr
	for range 100 {
		if resp, err := http.Get("http://127.0.0.1:18080/healthz"); err == nil {
			resp.Body.Close()
			break
		}
	}
	out, err := exec.Command("/app/.health").CombinedOutput()
	fmt.Fprintln(os.Stdout, string(out), err)
}
`, args: []string{"--health", "/healthz"}, want: " exit status 1\n", online: 1}, // 404: the mux is empty
}

// TestDockerfileBuilds does every step of the Dockerfiles, and runs what comes out in a root that has nothing else.
func TestDockerfileBuilds(t *testing.T) {
	t.Parallel()
	up := goproxytest.New(t)
	for _, m := range []string{"hello", "clib"} {
		files := map[string]string{}
		for _, f := range txtar.Parse([]byte(dockerModules)).Files {
			if name, ok := strings.CutPrefix(f.Name, m+"/"); ok {
				files[name] = string(f.Data)
			}
		}
		up.AddModule("example.com/"+m, "v1.0.0", files)
	}
	for name, p := range dockerProjects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for _, f := range txtar.Parse([]byte(p.files)).Files {
				file := filepath.Join(dir, f.Name)
				if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, f.Data, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			r := rigFor(t, up)
			do := func(name string, args ...string) string {
				t.Helper()
				cmd := r.command(name, args...)
				cmd.Dir, cmd.Env = dir, r.environ("GOPROXY="+up.URL)
				out, stderr, code := finish(t, cmd)
				if code != 0 {
					t.Fatalf("%s %q: exit code %d\n%s", name, args, code, stderr)
				}
				return out
			}
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
				do("go", "mod", "tidy")
			}
			if p.before != nil {
				do("goferry", p.before...)
			}
			pinned := "golang:test@sha256:" + strings.Repeat("0", 64)
			do("goferry", append([]string{"dockerfile", "--go-image", pinned}, p.args...)...)
			text, err := os.ReadFile(filepath.Join(dir, "Dockerfile"))
			if err != nil {
				t.Fatal(err)
			}
			s := &stageRun{t: t, context: dir, goCache: goEnvOf(t, "GOCACHE"), args: map[string]string{"GOPROXY": up.URL, "GOSUMDB": up.GOSUMDB()}}
			s.run(string(text))
			if s.online != p.online || s.alone < 4 {
				t.Errorf("%d steps with a network, %d without, want %d with", s.online, s.alone, p.online)
			}
			out, err := s.exec(false, p.want[0] == ' ', s.entry...)
			if err != nil || out != p.want {
				t.Errorf("%q says %q, %v, want %q", s.entry, out, err, p.want)
			}
			if (s.health != nil) != (name == "serves") {
				t.Errorf("HEALTHCHECK %q", s.health)
			}
			if again := do("goferry", append([]string{"dockerfile", "--stdout", "--go-image", pinned}, p.args...)...); again != string(text) {
				t.Errorf("the second Dockerfile differs:\n%s", again)
			}
		})
	}
}
