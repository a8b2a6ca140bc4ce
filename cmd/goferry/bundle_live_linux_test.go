//go:build live

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"text/tabwriter"
)

// The projects that TestLiveBundle takes behind the gap, small ones of real modules.
var gapProjects = map[string]map[string]string{
	"cgo": {
		"go.mod":       "module example.com/cgo\n\ngo 1.21\n\nrequire github.com/mattn/go-sqlite3 v1.14.24\n",
		"main.go":      "package main\n\nimport (\n\t\"database/sql\"\n\n\t_ \"github.com/mattn/go-sqlite3\"\n)\n\nfunc main() {\n\tdb, err := sql.Open(\"sqlite3\", \":memory:\")\n\tif err == nil {\n\t\terr = db.Ping()\n\t}\n\tif err != nil {\n\t\tpanic(err)\n\t}\n}\n",
		"main_test.go": "package main\n\nimport \"testing\"\n\nfunc TestMain(t *testing.T) {}\n",
	},
	"tools": {
		"go.mod": "module example.com/tools\n\ngo 1.25.0\n\ntoolchain " + gapToolchain + "\n\ntool golang.org/x/tools/cmd/stringer\n\n" +
			"require (\n\tgolang.org/x/text v0.30.0\n\tgolang.org/x/tools v0.38.0\n)\n",
		"main.go":      "package main\n\nimport \"golang.org/x/text/language\"\n\nfunc main() { println(language.Chinese.String()) }\n",
		"main_test.go": "package main\n\nimport \"testing\"\n\nfunc TestTag(t *testing.T) {}\n",
	},
}

const (
	gapToolchain = "go1.27.0" // another one than the go command's own
	gapTool      = "golang.org/x/tools/cmd/bundle@v0.38.0"
)

// gapWork are the modules of the workspace.
var gapWork = []string{"golang.org/x/mod@v0.20.0", "golang.org/x/term@v0.23.0"}

// gapCommands are what has to work; those of a workspace are in a form of their own.
var gapCommands = [][3]string{ // name, in a module, in a workspace
	{"build", "go build -o /dev/null ./...", "go build ./mod/... ./term/..."},
	{"vet", "go vet ./...", "go vet ./mod/... ./term/..."},
	{"test", "go test -run '^$' ./...", "go test -run '^$' ./mod/... ./term/..."},
	{"list -m all", "go list -m all", ""},
	{"list -m -u all", "go list -m -u -retracted all", ""},
	{"mod graph", "go mod graph", ""},
	{"mod tidy", "go mod tidy -diff", "for m in mod term; do (cd $m && GOWORK=off go mod tidy -diff) || exit 1; done"},
	{"mod verify", "go mod verify", ""},
	{"mod vendor", "go mod vendor -o $OUT/vendor", "go work vendor -o $OUT/vendor"},
	{"install tool@v", "GOBIN=$OUT go install " + gapTool, ""},
	{"toolchain", "GOTOOLCHAIN=" + gapToolchain + " go version | grep " + gapToolchain, ""},
}

// gapScript runs in a network namespace that has a loopback interface and nothing else. Each way begins with a fresh home.
const gapScript = `set -u
ip link set lo up
if ip route | grep -q . ; then echo "there are routes"; exit 1; fi
if GOMODCACHE=$PWD/none GOPROXY=$ONLINE timeout 20 go mod download golang.org/x/mod@v0.20.0 2>/dev/null; then echo "there is a network"; exit 1; fi
fresh() { # a way
	chmod -R u+w far 2>/dev/null; rm -rf far; mkdir -p far/home far/out
	export HOME=$PWD/far/home GOPATH=$PWD/far/gopath GOMODCACHE=$PWD/far/modcache OUT=$PWD/far/out RUN=
	unset GOPROXY GOSUMDB GONOSUMDB GONOPROXY GOPRIVATE GOTOOLCHAIN
	way=$1
}
projects() {
	for p in cgo tools work; do
		while IFS="	" read -r name cmd; do
			log=$(cd $p && $RUN sh -c "$cmd" 2>&1 </dev/null)
			code=$?
			rm -rf "$OUT"; mkdir "$OUT"
			echo "=== $way	$p	$name	$code" | tee -a results
			[ $code = 0 ] || echo "$log" | tail -15
		done <commands-$p
	done
	[ -s far/gopath/pkg/sumdb/$SUMDB/latest ] || echo "=== $way	sumdb	unused	1"
}

case " $WAYS " in *" serve "*)
fresh serve
GOFERRY_CACHE=$PWD/far/cache goferry serve --bundle live.bundle --listen 127.0.0.1:8046 --trust team.pub 2>serve.log &
pid=$!
trap 'kill $pid' EXIT
for i in 1 2 3 4 5 6 7 8 9 10; do grep -q listening serve.log && break; sleep 0.3; done
eval "$(goferry bundle env live.bundle --shell sh)"
projects
esac

case " $WAYS " in *" import "*)
fresh import
export GOFERRY_CACHE=$PWD/far/cache
goferry bundle import --trust team.pub live.bundle || exit 1
eval "$(goferry bundle env live.bundle --shell sh)"
RUN="goferry exec --offline --"
projects
esac

case " $WAYS " in *" unzip "*)
fresh unzip
mkdir far/tree
(cd far/tree && unzip -q ../../live.bundle) || exit 1
eval "$(goferry bundle env live.bundle --shell sh --dir far/tree)"
projects
esac
echo done
`

// gapWays are the ways in which the far side uses a bundle: served from the file, imported into a cache, unzipped. A minute each:
// GOFERRY_GAP_WAYS=all takes all of them, and without it one stands for them.
func gapWays() []string {
	if os.Getenv("GOFERRY_GAP_WAYS") == "all" {
		return []string{"serve", "import", "unzip"}
	}
	return []string{"serve"}
}

// TestLiveBundle makes one bundle of three projects, and works from it in a network namespace without routes, in each of
// gapWays. All of it with the checksum database on, and with nothing from before.
func TestLiveBundle(t *testing.T) {
	r := liveRig(t)
	// What this machine's go command has downloaded need not be asked for again.
	r.vars["GOFERRY_UPSTREAM"] = fileURL(filepath.Join(goEnvOf(t, "GOMODCACHE"), "cache", "download")) + "," + r.vars["GOPROXY"]
	r.vars["CGO_CFLAGS"] = "-O0"
	r.vars["GOFLAGS"] = "-modcacherw"
	for name, files := range gapProjects {
		for file, text := range files {
			writeFile(t, filepath.Join(r.work, name, file), text)
		}
		cmd := r.command("goferry", "exec", "--", "go", "mod", "tidy")
		cmd.Dir = filepath.Join(r.work, name)
		cmd.Env = append(cmd.Env, "GOTOOLCHAIN=local")
		if out, errs, code := finish(t, cmd); code != 0 {
			t.Fatalf("tidy of %s: %s%s", name, out, errs)
		}
	}
	gapWorkspace(t, r)
	for _, p := range []string{"cgo", "tools", "work"} {
		var b strings.Builder
		for _, c := range gapCommands {
			cmd := c[1]
			if p == "work" && c[2] != "" {
				cmd = c[2]
			}
			fmt.Fprintf(&b, "%s\t%s\n", c[0], cmd)
		}
		writeFile(t, filepath.Join(r.work, "commands-"+p), b.String())
	}
	r.must(t, "goferry", "bundle", "keygen", "--no-password", "team")
	out, errs := r.must(t, "goferry", "bundle", "create", "-o", "live.bundle", "--sign", "team.key", "cgo", "tools", "work", gapTool)
	t.Logf("%s%s", out, errs)
	if !strings.Contains(r.inspect(t, "live.bundle"), gapToolchain+"."+runtime.GOOS+"-"+runtime.GOARCH) {
		t.Error("the toolchain line brought no SDK")
	}
	args := []string{"-n", "sh", "-c", gapScript}
	if os.Getuid() != 0 {
		args = append([]string{"-r"}, args...)
	}
	cmd := r.command("unshare", args...)
	cmd.Env = append(r.environ("GOFERRY_UPSTREAM=", "GOFERRY_CACHE=", "GOFLAGS=-modcacherw"), "SUMDB="+sumdbName(t), "ONLINE="+r.vars["GOPROXY"], "WAYS="+strings.Join(gapWays(), " "))
	out, errs, code := finish(t, cmd)
	gapTable(t, out)
	if code != 0 || !strings.HasSuffix(out, "done\n") || t.Failed() {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}

// inspect is what goferry says about a bundle.
func (r *rig) inspect(t *testing.T, file string) string {
	t.Helper()
	out, _ := r.must(t, "goferry", "bundle", "inspect", file)
	return out
}

// gapWorkspace makes a workspace of copies of modules.
func gapWorkspace(t *testing.T, r *rig) {
	t.Helper()
	work := "go 1.21\n"
	for _, m := range gapWork {
		out, _ := r.must(t, "goferry", "exec", "--", "go", "mod", "download", "-json", m)
		var got struct{ Dir, Path string }
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatal(err)
		}
		name := got.Path[strings.LastIndex(got.Path, "/")+1:]
		if err := os.CopyFS(filepath.Join(r.work, "work", name), os.DirFS(got.Dir)); err != nil {
			t.Fatal(err)
		}
		work += "\nuse ./" + name + "\n"
	}
	if out, err := exec.Command("chmod", "-R", "u+w", filepath.Join(r.work, "work")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	writeFile(t, filepath.Join(r.work, "work", "go.work"), work)
	cmd := r.command("goferry", "exec", "--", "go", "list", "-m", "all") // a workspace has a go.work.sum
	cmd.Dir = filepath.Join(r.work, "work")
	if out, errs, code := finish(t, cmd); code != 0 {
		t.Fatalf("workspace: %s%s", out, errs)
	}
}

// gapTable shows what worked, and wants all of it to.
func gapTable(t *testing.T, out string) {
	t.Helper()
	got := map[string]string{}
	for line := range strings.Lines(out) {
		if f := strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "=== "), "\n"), "\t"); len(f) == 4 {
			got[f[0]+"/"+f[1]+"/"+f[2]] = f[3]
		}
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "command")
	ways, projects := gapWays(), []string{"cgo", "tools", "work"}
	for _, way := range ways {
		for _, p := range projects {
			fmt.Fprintf(w, "\t%s %s", way, p)
		}
	}
	fmt.Fprintln(w)
	for _, c := range gapCommands {
		fmt.Fprint(w, c[0])
		for _, way := range ways {
			for _, p := range projects {
				word := map[string]string{"0": "ok", "": "not run"}[got[way+"/"+p+"/"+c[0]]]
				if word == "" {
					word = "FAILED"
				}
				if word != "ok" {
					t.Errorf("%s, %s: %s: %s", way, p, c[0], word)
				}
				fmt.Fprintf(w, "\t%s", word)
			}
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	t.Logf("\n%s", b.String())
}

// writeFile writes a file, and makes its folder.
func writeFile(t *testing.T, name, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(name), 0o777)
	if err == nil {
		err = os.WriteFile(name, []byte(text), 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}
