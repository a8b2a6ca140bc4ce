package doctor

import (
	"archive/zip"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/toolchain"
)

// setGo runs the real go command, which sees nothing of this machine.
func setGo(t *testing.T, dir string, env []string, args ...string) (string, int) {
	t.Helper()
	home := t.TempDir()
	r := &gocmd.Runner{Env: append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "USERPROFILE=" + home, "LocalAppData=" + home, "SystemRoot=" + os.Getenv("SystemRoot"),
		"GOENV=off", "GOTOOLCHAIN=local", "GOFLAGS=-modcacherw", "GOPATH=" + filepath.Join(home, "go"), "GOCACHE=" + filepath.Join(home, "cache")}, env...)}
	res, err := r.Run(t.Context(), gocmd.Cmd{Name: "go", Args: args, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return string(res.Stdout) + string(res.Stderr), res.ExitCode
}

// setMirror is a folder that is a module proxy of one module, example.com/m@v1.0.0.
func setMirror(t *testing.T) (url, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "mirror")
	at := filepath.Join(dir, "example.com", "m", "@v")
	setWrite(t, filepath.Join(at, "list"), "v1.0.0\n")
	setWrite(t, filepath.Join(at, "v1.0.0.info"), `{"Version":"v1.0.0"}`)
	setWrite(t, filepath.Join(at, "v1.0.0.mod"), "module example.com/m\n")
	f, err := os.Create(filepath.Join(at, "v1.0.0.zip"))
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for name, text := range map[string]string{"go.mod": "module example.com/m\n", "m.go": "package m\n\n// A is a constant.\nconst A = 1\n"} {
		w, err := z.Create("example.com/m@v1.0.0/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	slash := filepath.ToSlash(dir)
	return "file:///" + strings.TrimPrefix(slash, "/"), dir
}

// TestGoProxyAsGo compares with the real go command: whatever it refuses as a list is found, and what
// it takes is not called refused. Those with a host are not asked.
func TestGoProxyAsGo(t *testing.T) {
	mirror, _ := setMirror(t)
	for _, value := range []string{mirror, mirror + ",direct", " " + mirror + " ,off", ",," + mirror, "on", "default", ",", " ", "Direct," + mirror, "dirct", "ftp://goproxy.invalid", "file://host/folder", "//goproxy.invalid", "http:/x y", "off"} {
		out, code := setGo(t, t.TempDir(), []string{"GOPROXY=" + value, "GOSUMDB=off"}, "list", "-m", "example.com/m@v1.0.0")
		x := setExam(t, map[string]string{"GOPROXY": value}, nil)
		found := setCodes(checkGoProxy(t.Context(), x).Findings)
		refused := slices.Contains(found, "fault goproxy-invalid")
		if (code != 0) != (refused || value == "off") {
			t.Errorf("GOPROXY=%s: the go command ended with %d, found was %v:\n%s", value, code, found, out)
		}
	}
}

// TestGoSumDBAsGo compares with the real go command, which judges GOSUMDB before it asks anybody.
func TestGoSumDBAsGo(t *testing.T) {
	mirror, _ := setMirror(t)
	for _, value := range []string{"goproxy.cn/sumdb/sum.golang.org", "gosum.io+https://goproxy.cn/x", "https://sum.golang.org", "on", "sum.golang.org a b", "sum.golang.google.cn https://goproxy.cn/sumdb/sum.golang.org",
		"sum.golang.org", "sum.golang.google.cn", "sum.golang.org " + mirror + "/sumdb/sum.golang.org"} {
		// An empty database within the mirror: nobody else is asked.
		out, _ := setGo(t, t.TempDir(), []string{"GOPROXY=" + mirror, "GOSUMDB=" + value, "HTTPS_PROXY=http://127.0.0.1:1", "HTTP_PROXY=http://127.0.0.1:1"}, "mod", "download", "example.com/m@v1.0.0")
		refused := strings.Contains(out, "invalid GOSUMDB")
		if strings.HasPrefix(value, "sum.golang.org file:") {
			// The go command takes a file URL, and so may nobody else.
			if refused {
				t.Errorf("GOSUMDB=%s: %s", value, out)
			}
			continue
		}
		found := setCodes(checkGoSumDB(t.Context(), setExam(t, map[string]string{"GOSUMDB": value}, nil)).Findings)
		if slices.Contains(found, "fault gosumdb-invalid") != refused {
			t.Errorf("GOSUMDB=%s: found was %v, and the go command says\n%s", value, found, out)
		}
	}
}

func goflagsScenarios(t *testing.T, rec *record) {
	for _, tt := range []struct {
		value       string
		vendor, mod bool
		codes, fix  string
	}{
		{"", false, true, "", ""},
		{"-buildvcs=false", false, true, "", ""},
		{"-mod=mod", false, true, "", ""},
		{"-mod=mod -mod=mod", false, true, "", ""},
		{"-mod=vendor", true, true, "", ""},
		{"--mod=vendor -trimpath", true, true, "", ""},
		{"-mod=readonly -modcacherw", true, true, "", ""},
		{"'-ldflags=-s -w'", false, true, "", ""},
		{"-tags=a,b -count=1", false, true, "", ""},
		{"-modfile=missing.mod", false, false, "", ""}, // not here
		{"-mod vendor", true, true, "fault goflags-refused", "export GOFLAGS=-mod=vendor"},
		{"-ldflags=-s -w", false, true, "warning goflags-split", "export GOFLAGS='-ldflags=-s -w'"},
		{"-tags netgo -trimpath", false, true, "fault goflags-refused", "export GOFLAGS=-tags=netgo -trimpath"},
		{"mod=vendor", false, true, "fault goflags-refused", "unset GOFLAGS"},
		{"-insecure", false, true, "fault goflags-insecure", "unset GOFLAGS"},
		{"'-tags=a", false, true, "fault goflags-refused", "unset GOFLAGS"},
		{"-mod=vendor -trimpath", false, true, "fault goflags-vendor", "export GOFLAGS=-trimpath"},
		{"-mod=vendor", false, false, "note goflags-vendor", "unset GOFLAGS"},
		{"-mod=vendor -mod=mod", true, true, "warning goflags-mod-twice", "export GOFLAGS=-mod=mod"},
		{"-mod=mod", true, true, "warning goflags-mod", "unset GOFLAGS"},
		{"-modfile=missing.mod", false, true, "fault goflags-modfile", "unset GOFLAGS"},
	} {
		env := map[string]string{"GOFLAGS": tt.value}
		x := setExam(t, env, nil)
		if tt.mod {
			setWrite(t, filepath.Join(x.Dir, "go.mod"), "module example.com/x\n\nrequire example.com/m v1.0.0\n")
		}
		if tt.vendor {
			setWrite(t, filepath.Join(x.Dir, "vendor", "modules.txt"), "")
		}
		out := checkGoFlags(t.Context(), x)
		rec.add(strings.TrimSpace("GOFLAGS="+tt.value+" "+map[bool]string{true: "(vendor folder)"}[tt.vendor]+map[bool]string{false: " (no module)"}[tt.mod]), tt.codes, strings.Join(setCodes(out.Findings), " "))
		if got := strings.Join(setCodes(out.Findings), " "); got != tt.codes || setFirst(out.Findings) != tt.fix {
			t.Errorf("GOFLAGS=%s: %s, mended by %q; want %s, %q (%s %s)", tt.value, got, setFirst(out.Findings), tt.codes, tt.fix, out.NotRun, out.Detail)
		}
		if _, code := setGo(t, t.TempDir(), []string{"GOFLAGS=" + tt.value}, "version"); (code != 0) != strings.Contains(tt.codes, "refused") {
			t.Errorf("GOFLAGS=%s: the real go command ended with %d", tt.value, code)
		}
		if len(out.Findings) > 0 && out.Findings[0].Fixes[0].Value != "" {
			if said, code := setGo(t, t.TempDir(), []string{"GOFLAGS=" + out.Findings[0].Fixes[0].Value}, "version"); code != 0 {
				t.Errorf("GOFLAGS=%s: the fix is refused, too: %s", tt.value, said)
			}
		}
	}
}

func TestGoModSettings(t *testing.T) {
	const mod = "module example.com/m\n\ngo 1.26.0\n"
	for _, tt := range []struct {
		name       string
		files      map[string]string
		version    string
		env        map[string]string
		codes, fix string // {} in it is the folder
	}{
		{name: "nothing here"},
		{name: "a module", files: map[string]string{"go.mod": mod}},
		{name: "language version of this Go", files: map[string]string{"go.mod": "module example.com/m\n\ngo 1.26\n"}},
		{name: "language version of an older Go", files: map[string]string{"go.mod": "module example.com/m\n\ngo 1.22\n"}},
		{name: "two-part version of old", files: map[string]string{"go.mod": "module example.com/m\n\ngo 1.20\n"}, version: "go1.21.0"},
		{name: "with a toolchain line", files: map[string]string{"go.mod": "module example.com/m\n\ngo 1.22\n\ntoolchain go1.22.5\n"}, version: "go1.21.5"},
		{name: "may not switch", files: map[string]string{"go.mod": "module example.com/m\n\ngo 1.22\n"}, version: "go1.21.5", env: setArgs("GOTOOLCHAIN", "local")},
		{name: "no patch", files: map[string]string{"go.mod": "module example.com/m\n\ngo 1.22\n"}, version: "go1.21.5", codes: "fault gomod-no-patch", fix: "go 1.22 -> go 1.22.0"},
		{name: "no patch in go.work", files: map[string]string{"go.work": "go 1.22\n\nuse .\n", "go.mod": "module example.com/m\n"}, version: "go1.21.5", codes: "fault gomod-no-patch", fix: "go 1.22 -> go 1.22.0"},
		{name: "go with a prefix", files: map[string]string{"go.mod": "module example.com/m\n\ngo go1.22.1\n"}, codes: "fault gomod-invalid", fix: "go go1.22.1 -> go 1.22.1"},
		{name: "not a go.mod", files: map[string]string{"go.mod": "package main\n"}, codes: "fault gomod-invalid", fix: "gomod-mend-line"},
		{name: "merge", files: map[string]string{"go.mod": mod + "<<<<<<< HEAD\nrequire a.example v1.0.0\n=======\n>>>>>>> b\n"}, codes: "fault gomod-merge-marks", fix: "gomod-merge"},
		{name: "merge in go.sum", files: map[string]string{"go.mod": mod, "go.sum": "a.example v1.0.0 h1:x=\n<<<<<<< HEAD\n"}, codes: "fault gomod-merge-marks", fix: "gomod-merge"},
		{name: "go.sum", files: map[string]string{"go.mod": mod, "go.sum": "a.example v1.0.0 h1:x=\n\na.example v1.0.0/go.mod h1:y=\n"}},
		{name: "half a go.sum", files: map[string]string{"go.mod": mod, "go.sum": "a.example v1.0.0 h1:x=\na.example v1.0\n"}, codes: "fault gosum-invalid", fix: "a.example v1.0\n -> "},
		{name: "replaced and there", files: map[string]string{"go.mod": mod + "require a.example v1.0.0\nreplace a.example => ./a\n", "a/go.mod": "module a.example\n"}},
		{name: "replaced and gone", files: map[string]string{"go.mod": mod + "require a.example v1.0.0\nreplace a.example => ./a\n"}, codes: "fault gomod-replace-missing", fix: "go mod edit -dropreplace=a.example {}/go.mod"},
		{name: "replaced and not used", files: map[string]string{"go.mod": mod + "replace a.example => ./a\n"}},
		{name: "replaced and vendored", files: map[string]string{"go.mod": mod + "require a.example v1.0.0\nreplace a.example => ./a\n", "vendor/modules.txt": ""}},
		{name: "replaced by a version", files: map[string]string{"go.mod": mod + "require a.example v1.0.0\nreplace a.example => b.example v1.0.0\n"}},
		{name: "workspace", files: map[string]string{"go.work": "go 1.26.0\n\nuse ./m\n", "m/go.mod": mod}},
		{name: "workspace without", files: map[string]string{"go.work": "go 1.26.0\n\nuse (\n\t.\n\t./gone\n)\n", "go.mod": mod}, codes: "fault gowork-use-missing", fix: "go work edit -dropuse=./gone {}/go.work"},
		{name: "outside of the workspace", files: map[string]string{"go.work": "go 1.26.0\n\nuse ./m\n", "m/go.mod": mod, "go.mod": mod}, codes: "warning gowork-outside", fix: "go work use {}"},
		{name: "workspace switched off", files: map[string]string{"go.work": "go 1.26.0\n\nuse ./m\n", "m/go.mod": mod, "go.mod": mod}, env: setArgs("GOWORK", "off")},
		{name: "workspace that is not there", files: map[string]string{"go.mod": mod}, env: setArgs("GOWORK", "/nowhere/go.work"), codes: "fault gomod-invalid", fix: "unset GOWORK"},
		{name: "Go files alone", files: map[string]string{"main.go": "package main\n", "sub/go.mod": mod}, codes: "note gomod-missing", fix: "gomod-go-there"},
		{name: "modules are off", files: map[string]string{"go.mod": "nonsense"}, env: setArgs("GO111MODULE", "off")},
	} {
		x := setExam(t, tt.env, nil)
		if tt.version != "" {
			x.GoEnv.Version = tt.version
		}
		for name, text := range tt.files {
			setWrite(t, filepath.Join(x.Dir, filepath.FromSlash(name)), text)
		}
		out := checkGoMod(t.Context(), x)
		fix := strings.ReplaceAll(filepath.ToSlash(setFirst(out.Findings)), filepath.ToSlash(x.Dir), "{}")
		if got := strings.Join(setCodes(out.Findings), " "); got != tt.codes || fix != tt.fix {
			t.Errorf("%s: %s, mended by %q; want %s, %q", tt.name, got, fix, tt.codes, tt.fix)
		}
	}
}

func TestGoModStray(t *testing.T) {
	x := setExam(t, nil, nil)
	setWrite(t, filepath.Join(x.Home, "go.mod"), "module example.com/m\n")
	x.Dir = filepath.Join(x.Home, "work", "project")
	if err := os.MkdirAll(x.Dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if got := setCodes(checkGoMod(t.Context(), x).Findings); !slices.Equal(got, []string{"warning gomod-stray"}) {
		t.Errorf("below: %v", got)
	}
	x.Dir = x.Home
	if got := setCodes(checkGoMod(t.Context(), x).Findings); len(got) > 0 {
		t.Errorf("who works there: %v", got)
	}
	x.Env["GOPATH"] = x.Home
	x.GoEnv.Values["GOPATH"] = x.Home
	if got := setCodes(checkGoMod(t.Context(), x).Findings); !slices.Equal(got, []string{"fault gomod-stray"}) {
		t.Errorf("in GOPATH: %v", got)
	}
}

// gitExam is a machine with the real git and this ~/.gitconfig.
func gitExam(t *testing.T, config string, env map[string]string) *Exam {
	t.Helper()
	x := setExam(t, env, nil)
	setWrite(t, filepath.Join(x.Home, ".gitconfig"), config)
	setWrite(t, filepath.Join(x.Home, ".ssh", "known_hosts"), "known.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIIII\n")
	x.Runner.Env = append(x.Runner.Env, "GIT_CONFIG_NOSYSTEM=1", "XDG_CONFIG_HOME="+x.Home, "USERPROFILE="+x.Home)
	x.Net.Dial = new(net.Dialer).DialContext
	gitSSH(t, x)
	return x
}

// gitSSH puts an ssh before the real one that has no other files than those of x: ssh looks for its
// home where HOME says nothing.
func gitSSH(t *testing.T, x *Exam) {
	t.Helper()
	real, err := x.Runner.FindTool("ssh")
	if err != nil || runtime.GOOS == "windows" {
		return
	}
	dir := t.TempDir()
	setWrite(t, filepath.Join(dir, "ssh"), "#!/bin/sh\nexec "+real+" -F none -o UserKnownHostsFile="+filepath.Join(x.Home, ".ssh", "known_hosts")+" -o GlobalKnownHostsFile=none \"$@\"\n")
	if err := os.Chmod(filepath.Join(dir, "ssh"), 0o755); err != nil {
		t.Fatal(err)
	}
	x.Runner.Env = append(x.Runner.Env, "PATH="+dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
}

func TestGit(t *testing.T) {
	m := func(pairs ...string) map[string]string { return setArgs(pairs...) }
	private := m("GOPRIVATE", "git.corp.example", "GIT_ASKPASS", "/bin/true")
	for _, tt := range []struct {
		name, config string
		env          map[string]string
		codes, fix   string
	}{
		{"plain", "", nil, "", ""},
		{"helpers that are there", "[credential]\nhelper = cache --timeout=60\nhelper = store\nhelper = !f() { :; }; f\n", nil, "", ""},
		{"a list begun again", "[credential]\nhelper = no-such-thing\nhelper =\nhelper = store\n", nil, "", ""},
		{"good rules", "[url \"https://user:geheim@git.corp.example/\"]\ninsteadOf = https://git.corp.example/\n[url \"git@known.example:\"]\ninsteadOf = https://known.example/\n[url \"https://github.com/\"]\ninsteadOf = git://github.com/\n", private, "", ""},
		{"a rule without slash", "[url \"git@known.example:\"]\ninsteadOf = https://known.example\n", nil, "", ""},
		{"never used", "[http]\nsslVerify = false\n", m("GOPROXY", "https://goproxy.cn"), "", ""},
		{"switched on", "[http]\nsslVerify = true\n", nil, "", ""},
		{"prompts forbidden", "", m("GIT_TERMINAL_PROMPT", "0", "GCM_INTERACTIVE", "never"), "", ""},
		{"a proxy elsewhere", "[http]\nproxy = http://proxy.corp.example:3128\n", nil, "", ""},

		{"prompts", "", m("GIT_TERMINAL_PROMPT", "1"), "warning git-prompts", "unset GIT_TERMINAL_PROMPT"},
		{"helper", "[credential]\nhelper = no-such-thing\n", nil, "warning git-helper-missing", "git config --global --unset-all credential.helper ^no-such-thing$"},
		{"helper of a host", "[credential \"https://git.corp.example\"]\nhelper = no-such-thing\n", nil, "note git-helper-missing", "git config --global --unset-all credential.https://git.corp.example.helper ^no-such-thing$"},
		{"helper of a private host", "[credential \"https://git.corp.example\"]\nhelper = no-such-thing\n", m("GOPRIVATE", "*.corp.example"), "warning git-helper-missing", "git config --global --unset-all credential.https://git.corp.example.helper ^no-such-thing$"},
		{"slash for colon", "[url \"git@git.corp.example/\"]\ninsteadOf = https://git.corp.example/\n", nil, "fault git-insteadof-broken", "git config --global --rename-section url.git@git.corp.example/ url.git@git.corp.example:"},
		{"colon for slash", "[url \"ssh://git@git.corp.example:\"]\ninsteadOf = https://git.corp.example/\n", nil, "fault git-insteadof-broken", "git config --global --rename-section url.ssh://git@git.corp.example: url.ssh://git@git.corp.example/"},
		{"gone", "[url \"https://hub.fastgit.org/\"]\ninsteadOf = https://github.com/\n", nil, "warning git-insteadof-gone", `git config --global --unset-all url.https://hub.fastgit.org/.insteadof ^https://github\.com/$`},
		{"unencrypted", "[url \"http://git.corp.example/\"]\ninsteadOf = https://git.corp.example/\n", nil, "warning git-insteadof-http", `git config --global --unset-all url.http://git.corp.example/.insteadof ^https://git\.corp\.example/$`},
		{"no verification", "[http]\nsslVerify = false\n", nil, "warning git-no-verify", "git config --global --unset-all http.sslverify ^false$"},
		{"no verification of one", "[http \"https://git.corp.example\"]\nsslVerify\n", nil, "", ""}, // means true
		{"by the environment", "", m("GIT_SSL_NO_VERIFY", "1"), "warning git-no-verify", "unset GIT_SSL_NO_VERIFY"},
		{"broken", "[http\n", nil, "warning git-broken", "git-config-line"},
		{"no login at a .com", "", m("GOPRIVATE", "git.corp.com"), "note git-no-login", "git config --global url.git@git.corp.com:.insteadOf https://git.corp.com/"},
		{"a public site needs none", "", m("GOPRIVATE", "github.com"), "", ""},
		{"unknown key of another host than the private one", "[url \"git@git.corp.example:\"]\ninsteadOf = https://git.corp.example/\n", m("GOPRIVATE", "b.example", "GIT_ASKPASS", "/bin/true"), "warning ssh-host-unknown", "ssh-accept-key"},
		{"no login", "", m("GOPRIVATE", "git.corp.example"), "note git-no-login", "git config --global url.git@git.corp.example:.insteadOf https://git.corp.example/"},
		{"unknown key", "[url \"git@git.corp.example:\"]\ninsteadOf = https://git.corp.example/\n", m("GOPRIVATE", "git.corp.example"), "fault ssh-host-unknown", "ssh-accept-key"},
		{"unknown key, seldom needed", "[url \"ssh://git@git.corp.example:2222/\"]\ninsteadOf = https://git.corp.example/\n", nil, "warning ssh-host-unknown", "ssh-accept-key"},
		{"ssh of the user's own", "[url \"git@git.corp.example:\"]\ninsteadOf = https://git.corp.example/\n", m("GIT_SSH_COMMAND", "ssh -o StrictHostKeyChecking=no"), "", ""},
	} {
		if _, err := new(gocmd.Runner).FindTool("ssh"); err != nil && strings.Contains(tt.config, "known.example") || err != nil && strings.Contains(tt.codes, "ssh-host") {
			tt.codes, tt.fix = "fault ssh-missing", "" // a machine without ssh
		}
		x := gitExam(t, tt.config, tt.env)
		out := checkGit(t.Context(), x)
		if got := strings.Join(setCodes(out.Findings), " "); got != tt.codes || setFirst(out.Findings) != tt.fix {
			t.Errorf("%s: %s, mended by %q; want %s, %q (%s %s)", tt.name, got, setFirst(out.Findings), tt.codes, tt.fix, out.NotRun, out.Detail)
		}
		for _, f := range out.Findings {
			for _, fact := range f.Facts {
				if strings.Contains(fact.Value, "geheim") {
					t.Errorf("%s: a fact shows the password: %s", tt.name, fact.Value)
				}
			}
			// The fix really mends it.
			if len(f.Fixes) > 0 && f.Fixes[0].Kind == RunCommand && f.Code != codeGitNoLogin {
				mended(t, x, f)
			}
		}
	}
}

// mended runs the first fix of f, with HOME and git of x, and looks again.
func mended(t *testing.T, x *Exam, f Finding) {
	t.Helper()
	c := f.Fixes[0].Command
	res, err := x.Runner.Run(t.Context(), gocmd.Cmd{Name: c[0], Args: c[1:], Dir: x.Home})
	if err != nil || res.ExitCode != 0 {
		t.Errorf("%s: %v: %v, exit code %d: %s", f.Code, c, err, res.ExitCode, res.Stderr)
		return
	}
	for _, again := range checkGit(t.Context(), x).Findings {
		if again.Code == f.Code {
			t.Errorf("%s is still there after %v", f.Code, c)
		}
	}
}

func TestGitProxy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	config := "[http]\nproxy = http://user:geheim@" + addr + "\n"
	x := gitExam(t, config, nil)
	if got := setCodes(checkGit(t.Context(), x).Findings); len(got) > 0 {
		t.Errorf("a proxy that listens: %v", got)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	out := checkGit(t.Context(), x)
	if got := setCodes(out.Findings); !slices.Equal(got, []string{"warning git-proxy-dead"}) {
		t.Fatalf("a dead proxy: %v", got)
	}
	if v := out.Findings[0].Args["Proxy"]; v != addr {
		t.Errorf("the proxy is shown as %q", v)
	}
	mended(t, x, out.Findings[0])
}

func TestGitMissing(t *testing.T) {
	for _, tt := range []struct {
		proxies, private, want string
	}{{setDefaults, "", "note git-missing"}, {"direct", "", "fault git-missing"}, {setDefaults, "git.corp.example", "fault git-missing"}, {"https://goproxy.cn", "", ""}, {"https://goproxy.cn,off,direct", "", ""}} {
		x := setExam(t, map[string]string{"GOPROXY": tt.proxies, "GOPRIVATE": tt.private}, nil)
		x.Runner = &gocmd.Runner{Env: []string{"PATH=" + t.TempDir()}}
		out := checkGit(t.Context(), x)
		if got := strings.Join(setCodes(out.Findings), " "); got != tt.want {
			t.Errorf("GOPROXY=%s GOPRIVATE=%s: %s, want %s", tt.proxies, tt.private, got, tt.want)
		}
		if tt.want == "" && out.NotRun != NotNeeded {
			t.Errorf("GOPROXY=%s: %q", tt.proxies, out.NotRun)
		}
	}
}

// TestSettingsOfGo runs all checks with what the real go env says, where nothing is set: all is well.
func TestSettingsOfGo(t *testing.T) {
	home := t.TempDir()
	r := &gocmd.Runner{Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "USERPROFILE=" + home, "LocalAppData=" + home, "AppData=" + home, "SystemRoot=" + os.Getenv("SystemRoot"), "GIT_CONFIG_NOSYSTEM=1"}}
	env, err := r.GoEnv(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	x := &Exam{OS: runtime.GOOS, Arch: runtime.GOARCH, Home: home, Dir: t.TempDir(), Env: map[string]string{}, Runner: r, SDKs: toolchain.Finder{}}
	x.GoEnv = GoEnv{Values: env, File: env["GOENV"], Written: map[string]string{}, Version: env["GOVERSION"]}
	for _, c := range settingsChecks() {
		out := c.Run(t.Context(), x)
		if len(out.Findings) > 0 || out.NotRun != "" && out.NotRun != NotNeeded {
			t.Errorf("%s: %v %s %s", c.ID, setCodes(out.Findings), out.NotRun, out.Detail)
		}
	}
}
