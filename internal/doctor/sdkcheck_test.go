package doctor

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/toolchain"
)

// sdkTree makes a Go of that version whose go command is a script.
func sdkTree(t *testing.T, root, version, script string) string {
	t.Helper()
	tool := "pkg/tool/" + runtime.GOOS + "_" + runtime.GOARCH + "/compile"
	for name, text := range map[string]string{"VERSION": version + "\n", "bin/go": "#!/bin/sh\n" + script + "\n", tool: "#!/bin/sh\n"} {
		sdkFile(t, filepath.Join(root, filepath.FromSlash(name)), text)
	}
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		t.Fatal(err)
	}
	return real
}

func sdkFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o777); err != nil {
		t.Fatal(err)
	}
}

// sdkExam is a machine with the Gos of roots in PATH, in a folder of its own.
func sdkExam(t *testing.T, version string, roots ...string) *Exam {
	t.Helper()
	x := &Exam{OS: runtime.GOOS, Arch: runtime.GOARCH, Home: t.TempDir(), Dir: t.TempDir(), Env: map[string]string{}}
	for _, root := range roots {
		x.SDKs.Path = append(x.SDKs.Path, filepath.Join(root, "bin"))
	}
	path := strings.Join(append(slices.Clone(x.SDKs.Path), "/usr/bin", "/bin"), string(filepath.ListSeparator))
	x.Runner = &gocmd.Runner{Env: []string{"PATH=" + path, "HOME=" + x.Home}}
	x.GoEnv = GoEnv{Version: version, Written: map[string]string{}, Values: map[string]string{
		"GOTOOLCHAIN": "auto", "GOHOSTOS": runtime.GOOS, "GOHOSTARCH": runtime.GOARCH, "GOOS": runtime.GOOS, "GOARCH": runtime.GOARCH,
	}}
	if len(roots) > 0 {
		x.GoEnv.Values["GOROOT"] = roots[0]
	}
	return x
}

// sdkFound are the codes of findings, with their severities.
func sdkFound(o Outcome) string {
	var list []string
	for _, f := range o.Findings {
		list = append(list, f.Code+":"+string(f.Severity))
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// sdkFact is what an outcome says of a fact.
func sdkFact(o Outcome, name string) Answer {
	for _, f := range o.Facts {
		if f.Name == name {
			return f.Answer
		}
	}
	return ""
}

func goScenarios(t *testing.T, rec *record) {
	if runtime.GOOS == "windows" {
		return // the Gos are scripts
	}
	dir := t.TempDir()
	says := func(v string) string { return "echo compile version " + v }
	new126 := sdkTree(t, filepath.Join(dir, "new"), "go1.26.8", says("go1.26.8"))
	old119 := sdkTree(t, filepath.Join(dir, "old"), "go1.19.8", says("go1.19.8"))
	go125 := sdkTree(t, filepath.Join(dir, "go125"), "go1.25.20", says("go1.25.20"))
	mixed := sdkTree(t, filepath.Join(dir, "mixed"), "go1.26.8", says("go1.25.1"))
	holes := sdkTree(t, filepath.Join(dir, "holes"), "go1.26.5", says("go1.26.5"))
	dead := sdkTree(t, filepath.Join(dir, "dead"), "go1.26.8", "echo cannot run >&2; exit 1")
	link := filepath.Join(dir, "link")
	if err := os.MkdirAll(link, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(new126, "bin"), filepath.Join(link, "bin")); err != nil {
		t.Fatal(err)
	}
	set := func(key, value string) func(*Exam) {
		return func(x *Exam) { x.Env[key], x.GoEnv.Values[key] = value, value }
	}
	write := func(key, value string) func(*Exam) {
		return func(x *Exam) { x.GoEnv.Written[key], x.GoEnv.Values[key] = value, value }
	}
	mod := func(text string) func(*Exam) {
		return func(x *Exam) { sdkFile(t, filepath.Join(x.Dir, "go.mod"), "module m\n\n"+text) }
	}
	other := map[string]string{"linux": "windows", "darwin": "linux"}[runtime.GOOS]
	tests := []struct {
		name    string
		version string
		roots   []string
		change  []func(*Exam)
		want    string
	}{
		{"healthy", "go1.26.8", []string{new126}, nil, ""},
		{"an older one behind", "go1.26.8", []string{new126, old119}, nil, ""},
		{"the same by a link", "go1.26.8", []string{new126, link}, nil, ""},
		{"none", "", nil, []func(*Exam){func(x *Exam) { x.Arch = "mips" }}, "go-missing:fault"}, // a Go of this machine is for another processor
		{"beside PATH", "", nil, []func(*Exam){func(x *Exam) {
			sdkTree(t, filepath.Join(x.Home, "sdk", "go1.26.8"), "go1.26.8", "")
			x.SDKs.User = x.Home
		}}, "go-out-of-path:fault"},
		{"cannot run", "", []string{dead}, nil, "go-broken:fault"},
		{"hidden, and the first is too old to switch", "go1.19.8", []string{old119, new126}, nil, "go-holes:warning go-shadowed:warning"},
		{"hidden, and the first switches", "go1.25.20", []string{go125, new126}, nil, "go-shadowed:note"},
		{"GOROOT of another", "go1.26.8", []string{new126}, []func(*Exam){set("GOROOT", go125)}, "goroot-mixed:fault"},
		{"GOROOT of nothing", "go1.26.8", []string{new126}, []func(*Exam){set("GOROOT", "/nosuch")}, "goroot-nothing:fault"},
		{"GOROOT exported, its own", "go1.26.8", []string{new126}, []func(*Exam){set("GOROOT", new126)}, ""},
		{"two releases in one folder", "go1.26.8", []string{mixed}, nil, "tools-mixed:fault"},
		{"experiments in the version", "go1.26.8 X:rangefunc", []string{new126}, nil, ""},
		{"holes", "go1.26.5", []string{holes}, nil, "go-holes:warning"},
		{"a cross build in the shell", "go1.26.8", []string{new126}, []func(*Exam){set("GOOS", other)}, "target-left:note"},
		{"a cross build for good", "go1.26.8", []string{new126}, []func(*Exam){write("GOOS", other)}, "target-left:warning"},
		{"GOPATH is GOROOT", "go1.26.8", []string{new126}, []func(*Exam){write("GOPATH", new126)}, "gopath-is-goroot:warning"},
		{"GOBIN not in PATH", "go1.26.8", []string{new126}, []func(*Exam){func(x *Exam) {
			sdkFile(t, filepath.Join(x.Home, "go", "bin", "tool"), "")
			x.GoEnv.Values["GOPATH"] = filepath.Join(x.Home, "go")
		}}, "gobin-not-in-path:note"},
		{"GOTOOLCHAIN=latest", "go1.26.8", []string{new126}, []func(*Exam){write("GOTOOLCHAIN", "latest")}, "toolchain-invalid:fault"},
		{"GOTOOLCHAIN=go1.27", "go1.26.8", []string{new126}, []func(*Exam){write("GOTOOLCHAIN", "go1.27")}, "toolchain-language:fault"},
		{"GOTOOLCHAIN=go1.20", "go1.26.8", []string{new126}, []func(*Exam){write("GOTOOLCHAIN", "go1.20"), set("GOPROXY", "off")}, "go-holes:warning toolchain-offline:fault"},
		{"toolchain go1.27", "go1.26.8", []string{new126}, []func(*Exam){mod("go 1.26\n\ntoolchain go1.27\n")}, "toolchain-language:fault"},
		{"toolchain 1.27.0", "go1.26.8", []string{new126}, []func(*Exam){mod("go 1.26\n\ntoolchain 1.27.0\n")}, "toolchain-invalid:fault"},
		{"too old, and local", "go1.26.8", []string{new126}, []func(*Exam){mod("go 1.27\n"), set("GOTOOLCHAIN", "local")}, "go-too-old:fault"},
		{"new enough, and local", "go1.26.8", []string{new126}, []func(*Exam){mod("go 1.26\n\ntoolchain go1.26.9\n"), set("GOTOOLCHAIN", "local")}, ""},
		{"just the language", "go1.26.8", []string{new126}, []func(*Exam){mod("go 1.26.8\n"), set("GOTOOLCHAIN", "local")}, ""},
		{"older than toolchains", "go1.19.8", []string{old119}, []func(*Exam){mod("go 1.22\n")}, "go-holes:warning go-too-old:warning"},
		{"path, and not there", "go1.26.8", []string{new126}, []func(*Exam){mod("go 1.27\n"), set("GOTOOLCHAIN", "path")}, "toolchain-absent:fault"},
		{"to be downloaded, and off", "go1.26.8", []string{new126}, []func(*Exam){mod("go 1.27\n"), set("GOPROXY", "off")}, "toolchain-offline:fault"},
		{"to be downloaded, nobody can be asked", "go1.26.8", []string{new126}, []func(*Exam){mod("go 1.27\n"), set("GOPROXY", "https://goproxy.example")}, ""},
		{"GO111MODULE=off", "go1.26.8", []string{new126}, []func(*Exam){mod("go 1.27\n"), set("GO111MODULE", "off"), set("GOTOOLCHAIN", "local")}, ""},
	}
	texts := sdkTexts(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := sdkExam(t, tt.version, tt.roots...)
			for _, change := range tt.change {
				change(x)
			}
			o := sdkCheckGo(t.Context(), x)
			rec.add(tt.name, tt.want, sdkFound(o))
			if got := sdkFound(o); got != tt.want || (o.NotRun != "") != strings.HasSuffix(tt.name, "nobody can be asked") {
				t.Errorf("found %q, want %q (%s %s)", got, tt.want, o.NotRun, o.Detail)
			}
			sdkSaid(t, texts, o.Findings)
			for _, f := range o.Findings {
				if f.Severity == Fault && len(f.Fixes) == 0 {
					t.Errorf("%s has no fix", f.Code)
				}
			}
		})
	}
}

func TestToolchainServed(t *testing.T) {
	if runtime.GOOS == "windows" {
		return
	}
	root := sdkTree(t, t.TempDir(), "go1.26.8", "echo compile version go1.26.8")
	serve := func(status int) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasPrefix(r.URL.Path, "/golang.org/toolchain/@v/v0.0.1-go1.27.0.") {
				t.Errorf("asked for %s", r.URL.Path)
			}
			w.WriteHeader(status)
		}))
		t.Cleanup(s.Close)
		return s
	}
	dead := httptest.NewServer(nil)
	dead.Close()
	tests := []struct {
		name   string
		answer []int // 0 is a server that is down
		seps   string
		want   Answer
		found  string
	}{
		{"served", []int{200}, " ", Yes, ""},
		{"by the second", []int{404, 200}, ", ", Yes, ""},
		{"by the second, the first is down", []int{0, 200}, "| ", Yes, ""},
		{"by nobody", []int{404, 410}, ", ", No, "toolchain-nowhere:fault"},
		{"the first is down, and a comma", []int{0, 200}, ", ", Unmeasured, ""},
		{"the first is down, the second has it not", []int{0, 404}, "| ", Unmeasured, ""},
		{"trouble", []int{503}, " ", Unmeasured, ""},
		{"nobody to ask", nil, "", Unmeasured, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := sdkExam(t, "go1.26.8", root)
			sdkFile(t, filepath.Join(x.Dir, "go.mod"), "module m\n\ngo 1.27\n")
			x.Net.HTTP = http.DefaultClient
			for i, status := range tt.answer {
				s := dead
				if status != 0 {
					s = serve(status)
				}
				u, err := url.Parse(s.URL)
				if err != nil {
					t.Fatal(err)
				}
				x.Targets = append(x.Targets, Target{Role: Upstream, URL: u, Sep: tt.seps[i]})
			}
			o := sdkCheckGo(t.Context(), x)
			if got := sdkFact(o, factToolchainServed); got != tt.want || sdkFound(o) != tt.found || (o.NotRun != "") != (tt.want == Unmeasured) {
				t.Errorf("served is %s and found %q, want %s and %q", got, sdkFound(o), tt.want, tt.found)
			}
			sdkSaid(t, sdkTexts(t), o.Findings)
		})
	}
}

func TestHoles(t *testing.T) {
	for name, want := range map[string]bool{
		"go1.25.12": true, "go1.25.13": false, "go1.26.5": true, "go1.26.6": false, "go1.26.0": true, "go1.26rc1": true, "go1.27rc2": true, "go1.27rc3": false,
		"go1.27.0": false, "go1.28": false, "go1.19.8": true, "go1.25.12-acme": true, "devel": false, "devel go1.27-abc": false,
	} {
		if sdkHasHoles(name) != want {
			t.Errorf("%s: %t", name, !want)
		}
	}
}

func sdkFileScenarios(t *testing.T, rec *record) {
	if runtime.GOOS == "windows" {
		return
	}
	root := sdkTree(t, t.TempDir(), "go1.26.8", "")
	change := func(what toolchain.ChangeWhat) toolchain.Report {
		return toolchain.Report{State: toolchain.StateAltered, Against: toolchain.AgainstZip, Changes: []toolchain.Change{{Name: "src/fmt/x.go", Kind: toolchain.Altered, What: what}}}
	}
	tests := []struct {
		name   string
		rep    toolchain.Report
		err    error
		want   string
		notRun Reason
		proved Answer
	}{
		{"proved", toolchain.Report{State: toolchain.StateProved}, nil, "", "", Yes},
		{"of an image", change(toolchain.WhatDistributor), nil, "", "", Yes},
		{"junk", change(toolchain.WhatJunk), nil, "", "", Yes},
		{"altered", change(toolchain.WhatNothing), nil, "sdk-altered:fault", "", ""},
		{"unpacked over another", change(toolchain.WhatBreaks), nil, "sdk-mixed:fault", "", ""},
		{"built by a distribution", toolchain.Report{State: toolchain.StateAltered}, nil, "", NotReadable, Unmeasured},
		{"nobody could be asked", toolchain.Report{State: toolchain.StateUnknown, Err: errors.New("no network")}, nil, "", NotReadable, Unmeasured},
		{"as it was installed", toolchain.Report{State: toolchain.StateUnknown, Against: toolchain.AgainstRecord}, nil, "", "", Yes},
		{"not as it was installed", toolchain.Report{State: toolchain.StateUnknown, Against: toolchain.AgainstRecord, Changes: change("").Changes}, nil, "sdk-altered:fault", "", ""},
		{"no tree", toolchain.Report{}, toolchain.ErrTree, "", NotHere, ""},
		{"bad disk", toolchain.Report{}, os.ErrPermission, "sdk-unreadable:fault", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := sdkExam(t, "go1.26.8", root)
			x.Verify = func(_ context.Context, got string) (toolchain.Report, error) {
				if got != root {
					t.Errorf("looked at %s", got)
				}
				return tt.rep, tt.err
			}
			o := sdkCheckFiles(t.Context(), x)
			rec.add(tt.name, tt.want, sdkFound(o))
			if got := sdkFound(o); got != tt.want || o.NotRun != tt.notRun || sdkFact(o, factSDKProved) != tt.proved {
				t.Errorf("found %q, %s, proved %s; want %q, %s, %s", got, o.NotRun, sdkFact(o, factSDKProved), tt.want, tt.notRun, tt.proved)
			}
			sdkSaid(t, sdkTexts(t), o.Findings)
		})
	}
	x := sdkExam(t, "go1.26.8", root)
	x.Verify = func(ctx context.Context, _ string) (toolchain.Report, error) { return toolchain.Report{}, ctx.Err() }
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if o := sdkCheckFiles(ctx, x); o.NotRun != OutOfTime || len(o.Findings) > 0 {
		t.Errorf("out of time: %+v", o)
	}
}

func processorScenarios(t *testing.T, rec *record) {
	if runtime.GOOS == "windows" {
		return
	}
	tests := []struct {
		name, os, arch, uname, bits, sysctl, want string
	}{
		{"the same", "linux", "amd64", "x86_64", "64", "", ""},
		{"32 on 64", "linux", "386", "x86_64", "64", "", "go-32-bit:warning"},
		{"a system of 32 bit on a kernel of 64", "linux", "386", "x86_64", "32", "", ""},
		{"a Raspberry Pi of 32 bit", "linux", "arm", "aarch64", "32", "", ""},
		{"arm on arm64", "linux", "arm", "aarch64", "64", "", "go-32-bit:warning"},
		{"qemu", "linux", "amd64", "aarch64", "64", "", "go-emulated:warning"},
		{"nobody says", "linux", "386", "x86_64", "", "", ""},
		{"Rosetta", "darwin", "amd64", "x86_64", "64", "1", "go-rosetta:warning"},
		{"a Mac with Intel", "darwin", "amd64", "x86_64", "64", "0", ""},
		{"Apple silicon", "darwin", "arm64", "arm64", "64", "1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bin := t.TempDir()
			for name, says := range map[string]string{"uname": tt.uname, "getconf": tt.bits, "sysctl": tt.sysctl} {
				if says == "" {
					says = "nothing; exit 1"
				}
				sdkFile(t, filepath.Join(bin, name), "#!/bin/sh\necho "+says+"\n")
			}
			x := sdkExam(t, "go1.26.8", "/usr/local/go")
			x.OS, x.Runner = tt.os, &gocmd.Runner{Env: []string{"PATH=" + bin}}
			x.GoEnv.Values["GOHOSTARCH"] = tt.arch
			var o Outcome
			sdkProcessor(t.Context(), x, &o)
			rec.add(tt.name, tt.want, sdkFound(o))
			if got := sdkFound(o); got != tt.want {
				t.Errorf("found %q, want %q", got, tt.want)
			}
			sdkSaid(t, sdkTexts(t), o.Findings)
		})
	}
	x := &Exam{OS: "windows", Env: map[string]string{"PROCESSOR_ARCHITECTURE": "x86", "PROCESSOR_ARCHITEW6432": "AMD64"}, GoEnv: GoEnv{Values: map[string]string{"GOHOSTARCH": "386"}}}
	var o Outcome
	sdkProcessor(t.Context(), x, &o)
	if got := sdkFound(o); got != "go-32-bit:warning" {
		t.Errorf("windows: found %q", got)
	}
}

// TestCheckGoOfThisMachine has the real go command looked at, which is a sound one.
func TestCheckGoOfThisMachine(t *testing.T) {
	x := ccReal(t)
	o := sdkCheckGo(t.Context(), x)
	if strings.Contains(sdkFound(o), string(Fault)) || o.NotRun != "" || sdkFact(o, factGo) != Yes || sdkFact(o, factCompiler) != Yes {
		t.Errorf("%+v", o)
	}
	shim := t.TempDir() // as other managers have
	real, err := x.Runner.FindTool("go")
	if err != nil {
		t.Fatal(err)
	}
	sdkFile(t, filepath.Join(shim, "go"), "#!/bin/sh\nexec "+real+` "$@"`+"\n")
	x.SDKs.Path = append([]string{shim}, x.SDKs.Path...)
	looked := ""
	x.Verify = func(_ context.Context, root string) (toolchain.Report, error) {
		looked = root
		return toolchain.Report{State: toolchain.StateProved}, nil
	}
	if o := sdkCheckGo(t.Context(), x); strings.Contains(sdkFound(o), string(Fault)) || runtime.GOOS != "windows" && sdkFact(o, factCompiler) != Yes {
		t.Errorf("by a shim: %+v", o)
	}
	if o := sdkCheckFiles(t.Context(), x); sdkFact(o, factSDKProved) != Yes || looked == "" {
		t.Errorf("by a shim, the files: %+v", o)
	}
}
