package doctor

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/goferry/goferry/internal/gocmd"
)

// explainProject has a module that requires one which is nowhere.
const explainProject = `
-- go.mod --
module m

go 1.21

require example.com/nosuch v1.0.0
-- m.go --
package m

import _ "example.com/nosuch"
`

// explainC has a file of C with a line in its comment.
func explainC(comment, use string) string {
	return "-- go.mod --\nmodule m\n\ngo 1.21\n-- m.go --\npackage main\n\n/*\n" + comment + "\n*/\nimport \"C\"\n\nfunc main() { " + use + " }\n"
}

// TestExplainReal has go, git, gcc and ld themselves say what they say, and wants it recognised.
func TestExplainReal(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // the words of the programs of one system suffice
	}
	answer := func(status int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", status) }))
		t.Cleanup(s.Close)
		return s.URL
	}
	cut := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte("{"))
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(cut.Close)
	serves := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path.Ext(r.URL.Path) {
		case ".info":
			_, _ = w.Write([]byte(`{"Version": "v1.0.0", "Time": "2026-01-01T00:00:00Z"}`))
		case ".mod":
			_, _ = w.Write([]byte("module example.com/nosuch\n"))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(serves.Close)
	https := httptest.NewTLSServer(nil)
	t.Cleanup(https.Close)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := "http://" + ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	goCmd, err := (&gocmd.Runner{}).FindTool("go")
	if err != nil {
		t.Fatal(err)
	}
	noGit := t.TempDir()
	if err := os.Symlink(goCmd, filepath.Join(noGit, "go")); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		files string
		env   []string
		argv  string
		want  string
	}{
		{"refused", explainProject, []string{"GOPROXY=" + dead}, "go mod download", "connect-refused"},
		{"proxy down", explainProject, []string{"GOPROXY=http://goproxy.example", "HTTP_PROXY=" + dead, "NO_PROXY="}, "go mod download", "proxy-unreachable"},
		{"404", explainProject, []string{"GOPROXY=" + answer(404)}, "go mod download", "module-not-found"},
		{"403", explainProject, []string{"GOPROXY=" + answer(403)}, "go mod download", "http-forbidden"},
		{"429", explainProject, []string{"GOPROXY=" + answer(429)}, "go mod download", "http-too-many"},
		{"502", explainProject, []string{"GOPROXY=" + answer(502)}, "go mod download", "http-server-error"},
		{"401", explainProject, []string{"GOPROXY=" + answer(401)}, "go mod download", "http-auth"},
		{"cut", explainProject, []string{"GOPROXY=" + cut.URL}, "go mod download", "http-cut"},
		{"unknown authority", explainProject, []string{"GOPROXY=" + https.URL}, "go mod download", "tls-unknown-authority"},
		{"http behind https", explainProject, []string{"GOPROXY=" + strings.Replace(answer(200), "http:", "https:", 1)}, "go mod download", "not-tls"},
		{"off", explainProject, []string{"GOPROXY=off"}, "go mod download", "goproxy-off"},
		{"no scheme", explainProject, []string{"GOPROXY=mirror"}, "go mod download", "goproxy-invalid"},
		{"no entries", explainProject, []string{"GOPROXY=,"}, "go mod download", "goproxy-invalid"},
		{"bad GOSUMDB", explainProject, []string{"GOSUMDB=on", "GOPROXY=" + serves.URL}, "go mod download", "gosumdb-invalid"},
		{"database down", explainProject, []string{"GOSUMDB=sum.golang.org " + dead, "GOPROXY=" + serves.URL}, "go mod download", "sumdb-unreachable"},
		{"mismatch", explainProject + "-- go.sum --\nexample.com/nosuch v1.0.0/go.mod h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", []string{"GOPROXY=" + serves.URL}, "go mod download", "checksum-mismatch"},
		{"another name", strings.ReplaceAll(explainProject, "example.com/nosuch", "example.com/fork"), []string{"GOFLAGS=-mod=mod", "GONOSUMDB=*", "GOPROXY=" + serves.URL}, "go list -m all", "module-path-differs"},
		{"no such toolchain", "-- go.mod --\nmodule m\n\ngo 1.99\n", []string{"GOTOOLCHAIN=auto", "GOPROXY=" + answer(404), "GONOSUMDB=*"}, "go build", ""},
		{"too old", "-- go.mod --\nmodule m\n\ngo 1.99\n", nil, "go build", "go-too-old"},
		{"not in PATH", "-- go.mod --\nmodule m\n\ngo 1.99\n", []string{"GOTOOLCHAIN=path"}, "go build", "toolchain-not-in-path"},
		{"a language", "-- go.mod --\nmodule m\n\ngo 1.21\n", []string{"GOTOOLCHAIN=go1.22"}, "go build", "toolchain-language"},
		{"no toolchain", "-- go.mod --\nmodule m\n\ngo 1.21\n", []string{"GOTOOLCHAIN=latest"}, "go build", "toolchain-invalid"},
		{"no module", "-- m.txt --\n", nil, "go build", "no-go-mod"},
		{"modules off", explainProject, []string{"GO111MODULE=off"}, "go mod tidy", "modules-off"},
		{"not required", "-- go.mod --\nmodule m\n\ngo 1.21\n-- m.go --\npackage m\n\nimport _ \"example.com/nosuch\"\n", nil, "go build", "not-required"},
		{"not in std", "-- go.mod --\nmodule m\n\ngo 1.21\n-- m.go --\npackage m\n\nimport _ \"nosuch/x\"\n", nil, "go build", "not-in-std"},
		{"go.sum", explainProject, []string{"GOPROXY=off"}, "go vet", "gosum-missing"},
		{"major version", "-- go.mod --\nmodule m\n\ngo 1.21\n\nrequire example.com/x v2.0.0\n", nil, "go build", "major-version"},
		{"vendor", explainProject + "-- vendor/modules.txt --\n## explicit\n", nil, "go build", "vendor-inconsistent"},
		{"workspace", "-- go.work --\ngo 1.21\n\nuse ./a\n-- a/go.mod --\nmodule a\n\ngo 1.21\n-- go.mod --\nmodule m\n\ngo 1.21\n-- m.go --\npackage m\n", nil, "go build", "not-in-workspace"},
		{"-mod in a workspace", "-- go.work --\ngo 1.21\n\nuse .\n-- go.mod --\nmodule m\n\ngo 1.21\n-- m.go --\npackage m\n", []string{"GOFLAGS=-mod=mod"}, "go list ./...", "mod-flag"},
		{"GOFLAGS", explainProject, []string{"GOFLAGS=trimpath"}, "go build", "goflags-refused"},
		{"GOROOT", explainProject, []string{"GOROOT=/nosuch"}, "go build", "goroot-missing"},
		{"no HOME", "-- go.mod --\nmodule m\n\ngo 1.21\n-- m.go --\npackage m\n", []string{"HOME=", "XDG_CACHE_HOME=", "GOCACHE=", "GOPATH=/nosuch", "GOMODCACHE=/nosuch"}, "go build", "no-home"},
		{"excluded", explainC("", ""), []string{"CGO_ENABLED=0"}, "go build", "constraints"},
		{"no gcc", explainC("", ""), []string{"CGO_ENABLED=1", "CC=nosuch-gcc"}, "go build", "cc-not-found"},
		{"for windows", "-- x.c --\nint x;\n", nil, "gcc -mthreads -c x.c", "cc-for-windows"},
		{"for arm64", "-- x.s --\nstp x29,x30,[sp,#-16]!\n", nil, "gcc -c x.s", "cc-for-arm64"},
		{"statically", "-- x.c --\n#include <netdb.h>\nint main(void) { return getaddrinfo(0, 0, 0, 0); }\n", nil, "gcc -static x.c", "static-glibc"},
		{"no libc", "-- x.c --\nint main(void) { return 0; }\n", nil, "gcc -nostdlib -lnosuch x.c", "lib-missing"},
		{"not a shared library", "-- x.c --\nint x; int *f(void) { return &x; }\n", nil, "gcc -fno-pic -mcmodel=small -shared x.c", "not-pic"},
		{"no header", explainC(`#include "nosuch.h"`, ""), []string{"CGO_ENABLED=1"}, "go build", "header-missing"},
		{"no library", explainC("#cgo LDFLAGS: -lnosuch", "var _ C.int"), []string{"CGO_ENABLED=1"}, "go build", "lib-missing"},
		{"undefined", explainC("int nosuch(void);", "C.nosuch()"), []string{"CGO_ENABLED=1"}, "go build", "undefined-reference"},
		{"a flag", explainC("#cgo CFLAGS: -fplugin=x", ""), []string{"CGO_ENABLED=1"}, "go build", "cgo-flag"},
		{"pkg-config", explainC("#cgo pkg-config: nosuch", ""), []string{"CGO_ENABLED=1"}, "go build", "pc-missing"},
		{"no pkg-config", explainC("#cgo pkg-config: nosuch", ""), []string{"CGO_ENABLED=1", "PKG_CONFIG=nosuch-pkg-config"}, "go build", "pkg-config-missing"},
		{"race", explainC("", ""), []string{"CGO_ENABLED=0"}, "go build -race", "race-needs-cgo"},
		{"race of 386", explainC("", ""), []string{"GOARCH=386", "CGO_ENABLED=1"}, "go build -race", "race-unsupported"},
		{"another processor", "-- x --\n\x7fELF\x02\x01\x01\x00\n", nil, "sh -c ./x", "wrong-arch"},
		{"not there", "-- x --\n", nil, "sh -c ./y", "loader-missing"},
		{"C without cgo", "-- go.mod --\nmodule m\n\ngo 1.21\n-- m.go --\npackage m\n-- x.c --\nint x;\n", []string{"CGO_ENABLED=1"}, "go build", "c-without-cgo"},
		{"git refused", "-- m.txt --\n", nil, "git clone " + dead + "/x", "connect-refused"},
		{"git password", "-- m.txt --\n", []string{"GIT_TERMINAL_PROMPT=0"}, "git -c credential.helper= clone " + answer(401) + "/x", ""},
		{"git 404", "-- m.txt --\n", nil, "git clone " + answer(404) + "/x", "git-no-repository"},
		{"git 403", "-- m.txt --\n", nil, "git clone " + answer(403) + "/x", "http-forbidden"},
		{"no git", "-- go.mod --\nmodule m\n", []string{"GOPRIVATE=*", "GOPROXY=direct", "PATH=" + noGit}, "go get example.invalid/x.git", "git-missing"},
		{"GOVCS", "-- go.mod --\nmodule m\n", []string{"GOVCS=*:off", "GOPROXY=direct"}, "go get example.invalid/x.git", "vcs-not-allowed"},
	}
	cache, err := (&gocmd.Runner{}).GoEnv(t.Context(), "GOCACHE") // that of this user: the standard library is there
	if err != nil {
		t.Fatal(err)
	}
	known := explainMessages()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, f := range txtar.Parse([]byte(tt.files)).Files {
				sdkFile(t, filepath.Join(dir, f.Name), string(f.Data))
			}
			// Without a folder for settings the go command leaves no process behind, for its telemetry.
			env := append(slices.Clone(os.Environ()), "HOME="+dir, "XDG_CONFIG_HOME=/dev/null", "GOCACHE="+cache["GOCACHE"], "GOMODCACHE="+filepath.Join(dir, "mod"), "GOFLAGS=-modcacherw", "GOTOOLCHAIN=local", "GOPROXY=off",
				"GOSUMDB=sum.golang.org", "GONOPROXY=", "GOPRIVATE=", "GONOSUMDB=", "LC_ALL=C", "HTTP_PROXY=", "HTTPS_PROXY=", "NO_PROXY=*", "GOENV=off", "CGO_ENABLED=1")
			argv := strings.Fields(tt.argv)
			r := &gocmd.Runner{Env: append(env, tt.env...)}
			res, err := r.Run(t.Context(), gocmd.Cmd{Name: argv[0], Args: argv[1:], Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			out := string(res.Stdout) + string(res.Stderr)
			t.Log(out)
			if got := explainCodes(t, known, out); tt.want != "" && !slices.Contains(got, tt.want) || tt.want == "" && len(got) == 0 {
				t.Errorf("is %v, want %s:\n%s", got, tt.want, out)
			}
		})
	}
}
