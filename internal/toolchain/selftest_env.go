package toolchain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/sumdb"
)

// version finds out whether the toolchain runs at all, whether its parts are of one version, and
// whether that is one to use.
func (r *selfRun) version(ctx context.Context) ([]SelfFinding, error) {
	var found []SelfFinding
	add := func(f SelfFinding) { found = append(found, f) }
	data, err := os.ReadFile(filepath.Join(r.Root, "VERSION"))
	says, _, _ := strings.Cut(string(data), "\n")
	says = strings.TrimSpace(says)
	if err != nil || says == "" {
		add(SelfFinding{Code: "no-version", Severity: SelfFault, Value: filepath.Join(r.Root, "VERSION")})
	}
	res, err := r.own.Run(ctx, r.goCmd("version"))
	if err != nil {
		return r.cannotRun(ctx, found, err)
	}
	f := strings.Fields(string(res.Stdout))
	if res.ExitCode != 0 || len(f) < 4 {
		add(SelfFinding{Code: "cannot-run", Severity: SelfFault, Value: Program(r.Root), Detail: selfSay(res)})
		return found, nil
	}
	runs, platform := f[2], f[len(f)-1]
	if os, arch, ok := strings.Cut(platform, "/"); ok {
		r.report.OS, r.report.Arch = os, arch
	}
	if says != "" && says != runs {
		add(SelfFinding{Code: "version-mixed", Severity: SelfFault, Value: "go " + runs, Want: says})
	}
	if platform != runtime.GOOS+"/"+runtime.GOARCH {
		add(SelfFinding{Code: "foreign-arch", Severity: SelfNote, Value: platform, Want: runtime.GOOS + "/" + runtime.GOARCH})
	}
	tools, err := r.tools(ctx, runs)
	if err != nil {
		return found, err
	}
	found = append(found, tools...)
	v, err := ParseVersion(runs)
	if err != nil {
		add(SelfFinding{Code: "unreleased", Severity: SelfNote, Value: strings.Join(f[2:len(f)-1], " ")})
		return found, nil
	}
	r.report.Version = v
	return append(found, r.age(ctx, v)...), nil
}

// cannotRun is the finding of a go command that cannot be started.
func (r *selfRun) cannotRun(ctx context.Context, found []SelfFinding, err error) ([]SelfFinding, error) {
	var te *gocmd.ToolError
	if ctx.Err() != nil || !errors.As(err, &te) {
		return found, err
	}
	return append(found, SelfFinding{Code: "cannot-run", Severity: SelfFault, Value: Program(r.Root), Detail: te.Err.Error()}), nil
}

// tools asks the programs that make every build for their versions: an archive that was unpacked
// over an older one leaves a mixture.
func (r *selfRun) tools(ctx context.Context, want string) ([]SelfFinding, error) {
	var found []SelfFinding
	dir := filepath.Join(r.Root, "pkg", "tool", r.report.OS+"_"+r.report.Arch)
	for _, name := range []string{"compile", "asm", "link"} {
		file := filepath.Join(dir, name+exeSuffix(runtime.GOOS))
		res, err := r.own.Run(ctx, gocmd.Cmd{Name: file, Args: []string{"-V"}, Dir: r.programDir()})
		var te *gocmd.ToolError
		switch f := strings.Fields(string(res.Stdout)); {
		case ctx.Err() != nil:
			return found, err
		case errors.As(err, &te):
			found = append(found, SelfFinding{Code: "no-tool", Severity: SelfFault, Value: file, Detail: te.Err.Error()})
		case err != nil:
			return found, err
		case len(f) < 3 || f[1] != "version":
			found = append(found, SelfFinding{Code: "no-tool", Severity: SelfFault, Value: file, Detail: selfSay(res)})
		case f[2] != want && want != "devel" && f[2] != "devel":
			found = append(found, SelfFinding{Code: "version-mixed", Severity: SelfFault, Value: name + " " + f[2], Want: want})
		}
	}
	return found, nil
}

// age compares v with what has been released.
func (r *selfRun) age(ctx context.Context, v Version) []SelfFinding {
	if r.Releases == nil {
		return nil
	}
	all, err := r.Releases(ctx)
	if err != nil || len(all) == 0 {
		detail := ""
		if err != nil {
			detail = err.Error()
		}
		return []SelfFinding{{Code: "age-unknown", Severity: SelfNote, Detail: detail}}
	}
	return selfAge(v, all)
}

// selfAge judges v among all releases.
func selfAge(v Version, all []Version) []SelfFinding {
	latest, err := Choose("latest", all, nil)
	if err != nil {
		return nil // none of them is stable
	}
	best := Superseded(v, all)
	switch {
	case !Supported(v, all) && v.Compare(latest) < 0: // a newer one is of a minor to come
		return []SelfFinding{{Code: "unsupported", Severity: SelfWarning, Value: string(v), Want: string(latest)}}
	case best.Stable():
		return []SelfFinding{{Code: "old-patch", Severity: SelfWarning, Value: string(v), Want: string(best)}}
	case !v.Stable():
		return []SelfFinding{{Code: "prerelease", Severity: SelfNote, Value: string(v), Want: string(latest)}}
	}
	return nil
}

// goCmd runs the go command of the toolchain in the module of the test program.
func (r *selfRun) goCmd(args ...string) gocmd.Cmd {
	return gocmd.Cmd{Name: "go", Args: args, Dir: r.programDir()}
}

func (r *selfRun) programDir() string { return filepath.Join(r.Dir, "program") }

// env finds out whether what the user has set fits the toolchain.
func (r *selfRun) env(ctx context.Context) ([]SelfFinding, error) {
	e := &selfEnviron{root: r.Root, env: r.environ}
	if err := r.goroot(ctx, e); err != nil {
		return e.found, err
	}
	// Outside of a module, as GoEnv asks.
	dir, err := gocmd.NeutralDir(r.tmp)
	if err != nil {
		return e.found, err
	}
	ask := []string{"GOTOOLCHAIN=local", "GOWORK=off"}
	res, err := r.user.Run(ctx, gocmd.Cmd{Name: "go", Args: []string{"env", "-json"}, Dir: dir, Env: ask})
	if err != nil {
		return e.found, err
	}
	if res.ExitCode != 0 || json.Unmarshal(res.Stdout, &e.vars) != nil {
		e.add("env-broken", SelfWarning, "", "", selfSay(res))
		return e.found, nil
	}
	// What no setting may keep from working: this reads all of them, and needs none.
	own := append(ask, "GOCACHE="+filepath.Join(r.Dir, "gocache"), "GOMODCACHE="+filepath.Join(r.Dir, "modcache"))
	if res, err = r.user.Run(ctx, gocmd.Cmd{Name: "go", Args: []string{"list", "unsafe"}, Dir: dir, Env: own}); err != nil {
		return e.found, err
	} else if res.ExitCode != 0 {
		e.add("env-broken", SelfWarning, "", "", selfSay(res))
	}
	one, err := r.user.GoEnv(ctx, "GOTOOLCHAIN")
	if err != nil && ctx.Err() != nil {
		return e.found, err
	}
	e.toolchain(one["GOTOOLCHAIN"], r.report.Version)
	e.folders()
	e.flags()
	e.proxies()
	e.cgo(r.user)
	e.path(r.user, Program(r.Root))
	return e.found, nil
}

// goroot wants the go command to find the tree it lies in, and nobody to tell it where that is.
func (r *selfRun) goroot(ctx context.Context, e *selfEnviron) error {
	switch exported := selfLookup(e.env, "GOROOT"); {
	case exported == "":
	case selfSame(exported, r.Root):
		e.add("goroot-exported", SelfWarning, exported, "", "")
	default:
		e.add("goroot-foreign", SelfWarning, exported, r.Root, "")
	}
	res, err := r.own.Run(ctx, r.goCmd("env", "GOROOT"))
	if err != nil {
		return err
	}
	said := selfTail(strings.TrimSpace(string(res.Stderr)), selfExcerpt)
	switch got := strings.TrimSpace(string(res.Stdout)); {
	case res.ExitCode != 0 || got == "":
		e.add("goroot-none", SelfFault, "", r.Root, said)
	case !selfSame(got, r.Root):
		e.add("goroot-elsewhere", SelfFault, got, r.Root, said)
	}
	return nil
}

// selfSame reports whether two names are of one folder or file.
func selfSame(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// selfEnviron judges an environment.
type selfEnviron struct {
	root  string
	env   []string          // of the process
	vars  map[string]string // what go env says
	found []SelfFinding
}

func (e *selfEnviron) add(code string, severity SelfState, value, want, detail string) {
	e.found = append(e.found, SelfFinding{Code: code, Severity: severity, Value: value, Want: want, Detail: detail})
}

// selfToolchainWord is what GOTOOLCHAIN may be. Source: https://go.dev/doc/toolchain#select.
var selfToolchainWord = regexp.MustCompile(`^(?:auto|path|(local|go1[^+]*)(\+auto|\+path)?)$`)

// toolchain judges GOTOOLCHAIN, as it is set for the user.
func (e *selfEnviron) toolchain(value string, v Version) {
	m := selfToolchainWord.FindStringSubmatch(value)
	switch {
	case value == "":
	case m == nil:
		e.add("gotoolchain-bad", SelfWarning, value, "", "")
	case m[1] != "" && m[1] != "local" && m[1] != string(v):
		e.add("gotoolchain-other", SelfWarning, value, string(v), "")
	case value == "local":
		e.add("gotoolchain-local", SelfNote, value, "", "")
	}
}

// folders wants the go command to be able to write where it will.
func (e *selfEnviron) folders() {
	gopath, _, _ := strings.Cut(e.vars["GOPATH"], string(filepath.ListSeparator))
	switch {
	case gopath == "":
		e.add("gopath-none", SelfWarning, "", "", "")
	case selfSame(gopath, e.root):
		e.add("gopath-is-goroot", SelfWarning, gopath, "", "")
	}
	if e.vars["GOCACHE"] == "off" {
		e.add("gocache-off", SelfWarning, "off", "", "")
	}
	seen := ""
	for _, key := range []string{"GOPATH", "GOMODCACHE", "GOCACHE", "GOBIN", "GOTMPDIR"} {
		dir, _, _ := strings.Cut(e.vars[key], string(filepath.ListSeparator))
		if dir == "" || dir == "off" {
			continue
		}
		above := selfNearest(dir)
		if info, err := os.Stat(above); above != "" && above != seen && (err != nil || !info.IsDir() || !selfWritable(above)) {
			seen = above
			e.add("not-writable", SelfWarning, key+"="+dir, "", above)
		}
	}
}

// selfNearest is dir, or the nearest folder above it that exists. It is what stands in the way
// where that is no folder.
func selfNearest(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || !os.IsNotExist(err) {
			return dir
		}
		above := filepath.Dir(dir)
		if above == dir {
			return ""
		}
		dir = above
	}
}

// selfFlag is a flag that changes what is built, or how, behind the user's back.
var selfFlag = regexp.MustCompile(`^--?(mod|modfile|overlay|toolexec|race|msan|asan|a|n|i|insecure|exec|compiler|pkgdir|p)(=|$)`)

// flags judges variables that change every build.
func (e *selfEnviron) flags() {
	for f := range strings.FieldsSeq(e.vars["GOFLAGS"]) {
		if selfFlag.MatchString(f) {
			e.add("goflags", SelfNote, f, "", "")
		}
	}
	if v := e.vars["GO111MODULE"]; v == "off" || v == "auto" {
		e.add("go111module", SelfWarning, v, "", "")
	}
	for _, key := range []string{"OS", "ARCH"} {
		if got, host := e.vars["GO"+key], e.vars["GOHOST"+key]; got != host {
			e.add("cross", SelfNote, "GO"+key+"="+got, host, "")
		}
	}
	for _, key := range []string{"GOEXPERIMENT", "GODEBUG"} {
		if v := selfLookup(e.env, key); v != "" {
			e.add("experiment", SelfNote, key+"="+v, "", "")
		}
	}
}

// proxies judges where modules and their checksums come from.
func (e *selfEnviron) proxies() {
	list := e.vars["GOPROXY"]
	ups, err := goproxy.ParseUpstreams(list)
	switch {
	case list == "":
	case strings.TrimSpace(list) == "off":
		e.add("goproxy-off", SelfWarning, "off", "", "")
	case err != nil:
		e.add("goproxy-bad", SelfWarning, goproxy.RedactURL(list), "", err.Error())
	}
	for _, up := range ups {
		if plain, ok := strings.CutPrefix(up.URL, "http://"); ok && !selfLoopback.MatchString(plain) {
			e.add("goproxy-plain", SelfNote, goproxy.RedactURL(up.URL), "", "")
		}
	}
	if db := e.vars["GOSUMDB"]; db == "off" {
		e.add("gosumdb-off", SelfWarning, "off", "", "")
	} else if _, err := sumdb.ParseDB(db); err != nil && db != "" {
		e.add("gosumdb-bad", SelfWarning, db, "", err.Error())
	}
}

// selfLoopback matches hosts of this machine, or of no network that can be listened to.
var selfLoopback = regexp.MustCompile(`^(?:[^/]*@)?(?:localhost|127\.[0-9.]+|\[::1\])(?:[:/]|$)`)

// cgo wants a C compiler where cgo is on.
func (e *selfEnviron) cgo(user *gocmd.Runner) {
	cc, _, _ := strings.Cut(e.vars["CC"], " ")
	if cc == "" {
		return
	}
	_, err := user.FindTool(cc)
	switch on := e.vars["CGO_ENABLED"] == "1"; {
	case on && err != nil:
		e.add("cgo-no-cc", SelfWarning, cc, "", "")
	case !on && selfLookup(e.env, "CGO_ENABLED") == "" && err != nil:
		e.add("cgo-off", SelfNote, cc, "", "")
	}
}

// path says which go command a shell would run.
func (e *selfEnviron) path(user *gocmd.Runner, own string) {
	first, err := (&gocmd.Runner{Env: user.Environ()}).FindTool("go")
	switch {
	case err != nil:
		e.add("path-none", SelfNote, "", filepath.Dir(own), "")
	case !selfSame(first, own):
		e.add("path-other", SelfNote, first, own, "")
	}
}

// selfProgram is what the toolchain has to compile first. It says what it was made with.
const selfProgram = `package main

import (
	"fmt"
	"runtime"
)

func main() { fmt.Println(Greeting(), runtime.Version()) }

// Greeting is tested.
func Greeting() string { return "goferry" }
`

const selfProgramTest = `package main

import "testing"

func TestGreeting(t *testing.T) {
	if Greeting() != "goferry" {
		t.Error(Greeting())
	}
}
`

const selfCgoProgram = `package main

// static int twice(int n) { return 2*n; }
import "C"
import "fmt"

func main() { fmt.Println("goferry", C.twice(21)) }
`

// program compiles, runs, vets and tests a program, and one with C where a compiler is there.
func (r *selfRun) program(ctx context.Context) ([]SelfFinding, error) {
	dir := r.programDir()
	lang := "1.16"
	if v := r.report.Version; v != "" {
		lang = v.Language().Number()
	}
	for name, text := range map[string]string{
		"go.mod": "module goferry.example/selftest\n\ngo " + lang + "\n", "main.go": selfProgram, "main_test.go": selfProgramTest, "c/main.go": selfCgoProgram,
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			return nil, err
		}
	}
	// A name that is wrong is better known now than after minutes.
	names, err := r.list(ctx)
	if errors.Is(err, ErrSelfPackages) {
		if res, lerr := r.own.Run(ctx, r.goCmd("list", "-deps", "fmt")); lerr == nil && res.ExitCode == 0 {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	r.names = names
	exe := filepath.Join(r.tmp, "selftest"+exeSuffix(runtime.GOOS))
	for _, step := range []struct {
		code string
		cmd  gocmd.Cmd
		want string
	}{
		{"program-build", r.goCmd("build", "-o", exe, "."), ""},
		{"program-run", gocmd.Cmd{Name: exe, Dir: dir}, "goferry go"},
		{"program-vet", r.goCmd("vet", "."), ""},
		{"program-test", r.goCmd("test", "."), "ok"},
	} {
		if f, err := r.try(ctx, step.code, step.cmd, step.want); err != nil || f != nil {
			return f, err
		}
	}
	res, err := r.own.Run(ctx, r.goCmd("env", "CGO_ENABLED", "CC"))
	if err != nil {
		return nil, err
	}
	on, cc, _ := strings.Cut(string(res.Stdout), "\n")
	if cc, _, _ = strings.Cut(strings.TrimSpace(cc), " "); strings.TrimSpace(on) != "1" || cc == "" {
		return nil, nil
	}
	if _, err := r.own.FindTool(cc); err != nil {
		return nil, nil // env has said so
	}
	f, err := r.try(ctx, "program-cgo", r.goCmd("run", "./c"), "goferry 42")
	for i := range f {
		f[i].Severity = SelfWarning // the C compiler is not part of the toolchain
	}
	return f, err
}

// try runs a command that must succeed and say something.
func (r *selfRun) try(ctx context.Context, code string, cmd gocmd.Cmd, want string) ([]SelfFinding, error) {
	res, err := r.own.Run(ctx, cmd)
	var te *gocmd.ToolError
	if err != nil && (ctx.Err() != nil || !errors.As(err, &te)) {
		return nil, err
	}
	detail := selfSay(res)
	switch {
	case err != nil:
		detail = te.Error()
	case res.ExitCode == 0 && strings.HasPrefix(strings.TrimSpace(string(res.Stdout)), want):
		return nil, nil
	case res.ExitCode == 0:
		detail = fmt.Sprintf("want %q\n%s", want, detail)
	}
	f := SelfFinding{Code: code, Severity: SelfFault, Detail: detail}
	if c := selfCauseOf(detail, r.report.Machine, r.Root); c.code != "" {
		f.Value = c.code // what is likely behind it
	}
	return []SelfFinding{f}, nil
}
