package doctor

import (
	"errors"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/sumdb"
)

// setDefaults stands for the first proxy of go.env.
const setDefaults = "https://proxy.example.org,direct"

// setExam is a machine on which nothing is set but env and written, with the go command of PATH.
func setExam(t *testing.T, env, written map[string]string) *Exam {
	t.Helper()
	root := t.TempDir()
	setWrite(t, filepath.Join(root, "go.env"), "# defaults\nGOPROXY="+setDefaults+"\nGOSUMDB=sum.golang.org\nGOTOOLCHAIN=auto\n")
	x := &Exam{OS: runtime.GOOS, Arch: runtime.GOARCH, Home: t.TempDir(), Dir: t.TempDir(), Env: maps.Clone(env), Mirrors: []string{"https://goproxy.cn", "https://mirrors.aliyun.com/goproxy/"}}
	if x.Env == nil {
		x.Env = map[string]string{}
	}
	gopath := filepath.Join(x.Home, "go")
	values := map[string]string{
		"GOPROXY": setDefaults, "GOSUMDB": "sum.golang.org", "GOTOOLCHAIN": "auto", "GOROOT": root, "GOPATH": gopath, "GOAUTH": "netrc",
		"GOMODCACHE": filepath.Join(gopath, "pkg", "mod"), "GOCACHE": filepath.Join(x.Home, ".cache", "go-build"), "GO111MODULE": "", "GOFLAGS": "",
		"GOPRIVATE": "", "GONOPROXY": "", "GONOSUMDB": "", "GOINSECURE": "", "GOVCS": "", "GOTMPDIR": "",
	}
	for _, m := range []map[string]string{written, env} {
		for k, v := range m {
			values[k] = v
		}
	}
	for _, k := range []string{"GONOPROXY", "GONOSUMDB"} { // as go env says it
		if values[k] == "" {
			values[k] = values["GOPRIVATE"]
		}
	}
	x.GoEnv = GoEnv{Values: values, File: filepath.Join(x.Home, "goenv"), Written: written, Version: "go1.26.8"}
	var list []string
	for k, v := range env {
		list = append(list, k+"="+v)
	}
	x.Runner = &gocmd.Runner{Env: append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + x.Home, "GOENV=off"}, list...)}
	return x
}

// setNamed is an environment as a name.
func setNamed(env map[string]string) string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(env)) {
		list = append(list, k+"="+env[k])
	}
	if len(list) == 0 {
		return "nothing is set"
	}
	return strings.Join(list, " ")
}

func setWrite(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func setCodes(found []Finding) []string {
	var codes []string
	for _, f := range found {
		codes = append(codes, string(f.Severity)+" "+f.Code)
	}
	slices.Sort(codes)
	return codes
}

// setFixLine is a fix as the user would type it.
func setFixLine(f Fix) string {
	switch {
	case f.Kind == SetGoEnv && f.Value == "":
		return "go env -u " + f.Key
	case f.Kind == SetGoEnv:
		return "go env -w " + f.Key + "=" + f.Value
	case f.Kind == SetEnv && f.Value == "":
		return "unset " + f.Key
	case f.Kind == SetEnv:
		return "export " + f.Key + "=" + f.Value
	case f.Kind == RunCommand:
		return strings.Join(f.Command, " ")
	case f.Kind == EditFile:
		return f.Old + " -> " + f.New
	}
	return f.Code
}

// setFirst is the first fix of the first finding that is more than a note.
func setFirst(found []Finding) string {
	for _, f := range found {
		if len(f.Fixes) > 0 {
			return setFixLine(f.Fixes[0])
		}
	}
	return ""
}

func goproxyScenarios(t *testing.T, rec *record) {
	const cn = "https://goproxy.cn"
	for _, tt := range []struct{ value, codes, fix string }{
		// healthy
		{cn + ",direct", "", ""},
		{cn + "|direct", "", ""},
		{"goproxy.cn,direct", "", ""},
		{" " + cn + " , direct ", "", ""},
		{cn + ",,direct,", "", ""},
		{"https://mirrors.aliyun.com/goproxy/,direct", "", ""},
		{"https://repo.huaweicloud.com/repository/goproxy/|https://mirrors.cloud.tencent.com/go/|direct", "", ""},
		{"http://127.0.0.1:3000", "", ""},
		{"http://[::1]:3000,direct", "", ""},
		{"https://user:secret@proxy.corp.example/go,direct", "", ""},
		{"https://go.dev/dl/mod," + cn, "", ""},
		{cn + ",off", "", ""},
		{"https://代理.example", "", ""},
		{"https://a.example,https://b.example,direct", "", ""}, // no target says by which way: not guessed
		// refused as a whole
		{"on", "fault goproxy-invalid", "unset GOPROXY"},
		{"default", "fault goproxy-invalid", "unset GOPROXY"},
		{"Direct", "fault goproxy-invalid", "export GOPROXY=direct"},
		{cn + ",dirct", "fault goproxy-invalid", "export GOPROXY=" + cn + ",direct"},
		{cn + " direct", "fault goproxy-invalid", "export GOPROXY=" + cn + ",direct"},
		{cn + ";direct", "fault goproxy-invalid", "export GOPROXY=" + cn + ",direct"},
		{cn + "，direct", "fault goproxy-invalid", "export GOPROXY=" + cn + ",direct"},
		{"“" + cn + "”,direct", "fault goproxy-invalid", "export GOPROXY=" + cn + ",direct"},
		{`"` + cn + `,direct"`, "fault goproxy-invalid", "export GOPROXY=" + cn + ",direct"},
		{"GOPROXY=" + cn + ",direct", "fault goproxy-invalid", "export GOPROXY=" + cn + ",direct"},
		{"https//goproxy.cn,direct", "fault goproxy-invalid", "export GOPROXY=" + cn + ",direct"},
		{"HTTP/goproxy.cn", "fault goproxy-invalid", "export GOPROXY=http://goproxy.cn"},
		{"https:/goproxy.cn,direct", "fault goproxy-invalid", "export GOPROXY=" + cn + ",direct"},
		{"https：//goproxy.cn,direct", "fault goproxy-invalid", "export GOPROXY=" + cn + ",direct"},
		{"htps://goproxy.cn,direct", "fault goproxy-invalid", "export GOPROXY=" + cn + ",direct"},
		{"//goproxy.cn,direct", "fault goproxy-invalid", "export GOPROXY=" + cn + ",direct"},
		{"ftp://goproxy.cn", "fault goproxy-invalid", "unset GOPROXY"},
		{"file://host/folder", "fault goproxy-invalid", "export GOPROXY=file:///host/folder"},
		{",", "fault goproxy-invalid", "unset GOPROXY"},
		// accepted, and wrong
		{"direct," + cn, "warning goproxy-after-direct", "export GOPROXY=" + cn + ",direct"},
		{cn + ",direct,https://goproxy.io", "warning goproxy-after-direct", "export GOPROXY=" + cn + ",https://goproxy.io,direct"},
		{"off|" + cn, "warning goproxy-after-direct", "export GOPROXY=" + cn},
		{"https://mirrors.aliyun.com/golang/,direct", "fault goproxy-not-a-proxy", "export GOPROXY=https://mirrors.aliyun.com/goproxy/,direct"},
		{"https://golang.google.cn/dl/|direct", "fault goproxy-not-a-proxy", "unset GOPROXY"},
		{"https://github.com/goproxy/goproxy.cn," + cn + ",direct", "fault goproxy-not-a-proxy", "export GOPROXY=" + cn + ",direct"},
		{"https://sum.golang.google.cn," + cn, "fault goproxy-not-a-proxy", "export GOPROXY=" + cn},
		{"https://gocenter.io," + cn + ",direct", "warning goproxy-gone", "export GOPROXY=" + cn + ",direct"},
		{"https://goproxy.huaweicloud.com", "warning goproxy-gone", "unset GOPROXY"},
		{"localhost:3000", "warning goproxy-assumed-https", "export GOPROXY=http://localhost:3000"},
		{"192.168.1.5:8081,direct", "warning goproxy-assumed-https", "export GOPROXY=http://192.168.1.5:8081,direct"},
		{"off", "warning goproxy-off", "unset GOPROXY"},
		{"direct", "note goproxy-direct-only", "unset GOPROXY"},
		{cn + "," + cn + "/,direct", "note goproxy-twice", "export GOPROXY=" + cn + ",direct"},
		{"file:///nowhere/at/all", "fault goproxy-no-folder", "unset GOPROXY"},
		{"file:///nowhere/at/all," + cn, "warning goproxy-no-folder", "export GOPROXY=" + cn},
	} {
		out := checkGoProxy(t.Context(), setExam(t, map[string]string{"GOPROXY": tt.value}, nil))
		rec.add("GOPROXY="+tt.value, tt.codes, strings.Join(setCodes(out.Findings), " "))
		if got := strings.Join(setCodes(out.Findings), " "); got != tt.codes || setFirst(out.Findings) != tt.fix {
			t.Errorf("GOPROXY=%s: %s, mended by %q; want %s, %q", tt.value, got, setFirst(out.Findings), tt.codes, tt.fix)
		}
		if out.NotRun != "" {
			t.Errorf("GOPROXY=%s: was not looked at: %s", tt.value, out.NotRun)
		}
		if tt.fix == "" {
			continue
		}
		// What is proposed must be healthy itself.
		fix := out.Findings[0].Fixes[0]
		again := checkGoProxy(t.Context(), setExam(t, map[string]string{"GOPROXY": fix.Value}, nil))
		if slices.ContainsFunc(again.Findings, func(f Finding) bool { return f.Code == out.Findings[0].Code }) {
			t.Errorf("GOPROXY=%s: the fix %q has the same fault", tt.value, setFixLine(fix))
		}
	}
}

// TestGoProxyShown wants no password in what is shown. In what is applied it has to stay.
func TestGoProxyShown(t *testing.T) {
	for _, value := range []string{"direct,https://u:geheim@proxy.example", "https://u:geheim@proxy.example;direct", "https://u:geheim@gocenter.io"} {
		out := checkGoProxy(t.Context(), setExam(t, map[string]string{"GOPROXY": value}, nil))
		if len(out.Findings) == 0 {
			t.Fatalf("nothing was found in %s", value)
		}
		for _, f := range out.Findings {
			for k, v := range f.Args {
				if strings.Contains(v, "geheim") {
					t.Errorf("%s: %s shows the password: %s", f.Code, k, v)
				}
			}
		}
		for _, f := range out.Facts {
			if strings.Contains(f.Value, "geheim") {
				t.Errorf("the fact %s shows the password: %s", f.Name, f.Value)
			}
		}
	}
}

func gosumdbScenarios(t *testing.T, rec *record) {
	const public, china = "unset GOSUMDB", "export GOSUMDB=sum.golang.google.cn"
	for _, tt := range []struct{ value, codes, fix string }{
		{"sum.golang.org", "", ""},
		{"sum.golang.google.cn", "", ""},
		{"sum.golang.org https://goproxy.cn/sumdb/sum.golang.org", "", ""},
		{"sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8", "", ""},
		{"goproxy.cn/sumdb/sum.golang.org", "fault gosumdb-invalid", "export GOSUMDB=sum.golang.org https://goproxy.cn/sumdb/sum.golang.org"},
		{"https://goproxy.cn/sumdb/sum.golang.org", "fault gosumdb-invalid", "export GOSUMDB=sum.golang.org https://goproxy.cn/sumdb/sum.golang.org"},
		{"gosum.io+https://goproxy.cn/sumdb/sum.golang.org", "fault gosumdb-invalid", "export GOSUMDB=sum.golang.org https://goproxy.cn/sumdb/sum.golang.org"},
		{"sum.golang.google.cn https://goproxy.cn/sumdb/sum.golang.org", "fault gosumdb-invalid", "export GOSUMDB=sum.golang.org https://goproxy.cn/sumdb/sum.golang.org"},
		{"gosum.io+https://goproxy.cn", "fault gosumdb-invalid", public},
		{"https://sum.golang.org", "fault gosumdb-invalid", public},
		{"https://sum.golang.google.cn", "fault gosumdb-invalid", china},
		{`"sum.golang.google.cn"`, "fault gosumdb-invalid", china},
		{"sum.golang.cn", "fault gosumdb-invalid", china},
		{"on", "fault gosumdb-invalid", public},
		{"OFF", "fault gosumdb-invalid", public},
		{"goproxy.cn", "fault gosumdb-invalid", public},
		{"sum.golang.org,direct", "fault gosumdb-invalid", public},
		{"sum.golang.org a b", "fault gosumdb-invalid", public},
		{"sum.golang.org+033de0ae+Ac4zctda0e5eza", "fault gosumdb-invalid", public},
		{"off", "warning gosumdb-off", public},
		{"gosum.io+ce6e7565+AY5qEHUk/qmHc5btzW45JVoENfazw8LielDsaI+lEbq6", "warning gosumdb-other", public},
	} {
		out := checkGoSumDB(t.Context(), setExam(t, map[string]string{"GOSUMDB": tt.value}, nil))
		rec.add("GOSUMDB="+tt.value, tt.codes, strings.Join(setCodes(out.Findings), " "))
		if got := strings.Join(setCodes(out.Findings), " "); got != tt.codes || setFirst(out.Findings) != tt.fix {
			t.Errorf("GOSUMDB=%s: %s, mended by %q; want %s, %q", tt.value, got, setFirst(out.Findings), tt.codes, tt.fix)
		}
		for _, f := range out.Findings {
			for _, fix := range f.Fixes {
				if _, err := sumdb.ParseDB(fix.Value); fix.Value != "" && err != nil {
					t.Errorf("GOSUMDB=%s: the fix %q can never work, either: %v", tt.value, setFixLine(fix), err)
				}
			}
		}
	}
	x := setExam(t, map[string]string{"GOSUMDB": "gosum.io+ce6e7565+AY5qEHUk/qmHc5btzW45JVoENfazw8LielDsaI+lEbq6", "GOPROXY": "https://goproxy.io,direct"}, nil)
	if out := checkGoSumDB(t.Context(), x); len(out.Findings) > 0 {
		t.Errorf("goproxy.io with its own database: %v", out.Findings)
	}
}

func TestGoSumDBOffToolchain(t *testing.T) {
	for _, tt := range []struct {
		name, mod string
		env       map[string]string
		want      string
	}{
		{"newer", "go 1.99.1", nil, "fault gosumdb-off-toolchain"},
		{"toolchain line", "go 1.21\ntoolchain go1.99.1", nil, "fault gosumdb-off-toolchain"},
		{"this one", "go 1.26.0", nil, "warning gosumdb-off"},
		{"no project", "", nil, "warning gosumdb-off"},
		{"must not switch", "go 1.99.1", map[string]string{"GOTOOLCHAIN": "local"}, "warning gosumdb-off"},
		{"only from PATH", "go 1.99.1", map[string]string{"GOTOOLCHAIN": "go1.26.8+path"}, "warning gosumdb-off"},
		{"single folder", "go 1.99.1", map[string]string{"GOPROXY": "file:///mirror"}, "warning gosumdb-off"},
		{"two folders", "go 1.99.1", map[string]string{"GOPROXY": "file:///mirror,off"}, "fault gosumdb-off-toolchain"},
	} {
		env := map[string]string{"GOSUMDB": "off"}
		maps.Copy(env, tt.env)
		x := setExam(t, env, nil)
		if tt.mod != "" {
			setWrite(t, filepath.Join(x.Dir, "go.mod"), "module example.com/m\n\n"+tt.mod+"\n")
		}
		if got := strings.Join(setCodes(checkGoSumDB(t.Context(), x).Findings), " "); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func goprivateScenarios(t *testing.T, rec *record) {
	const corp = "git.corp.example"
	m := func(pairs ...string) map[string]string { return setArgs(pairs...) }
	for _, tt := range []struct {
		env        map[string]string
		codes, fix string
	}{
		// healthy
		{nil, "", ""},
		{m("GOPRIVATE", corp), "", ""},
		{m("GOPRIVATE", "*.corp.example,github.com/acme/*"), "", ""},
		{m("GOPRIVATE", corp+"/"), "", ""},
		{m("GOPRIVATE", corp, "GONOPROXY", corp+",other.example"), "", ""},
		{m("GOPRIVATE", corp+"/team", "GONOPROXY", corp, "GONOSUMDB", "*.corp.example"), "", ""},
		{m("GOPRIVATE", corp, "GONOPROXY", "none", "GOPROXY", "https://athens.corp.example"), "", ""}, // a proxy of the company
		{m("GONOSUMDB", corp), "", ""},
		{m("GOPRIVATE", "*", "GOPROXY", "direct", "GOSUMDB", "off"), "", ""},
		{m("GOPRIVATE", "none"), "", ""},
		{m("GOVCS", "public:git|hg,private:all"), "", ""},
		{m("GOVCS", "*:git"), "", ""},
		{m("GOAUTH", "netrc; some-helper --flag"), "", ""},
		{m("GOAUTH", "off"), "", ""},
		// patterns
		{m("GOPRIVATE", "https://"+corp+"/team"), "warning pattern-never-matches", "export GOPRIVATE=" + corp + "/team"},
		{m("GOPRIVATE", corp+", other.example"), "warning pattern-never-matches", "export GOPRIVATE=" + corp + ",other.example"},
		{m("GOPRIVATE", corp+";other.example"), "warning pattern-never-matches", "export GOPRIVATE=" + corp + ",other.example"},
		{m("GOPRIVATE", "git@"+corp+":team"), "warning pattern-never-matches", "export GOPRIVATE=" + corp + "/team"},
		{m("GOPRIVATE", corp+":8443/team"), "warning pattern-never-matches", "export GOPRIVATE=" + corp + "/team"},
		{m("GOPRIVATE", corp+"/team/..."), "warning pattern-never-matches", "export GOPRIVATE=" + corp + "/team"},
		{m("GOPRIVATE", "Git.Corp.Example"), "warning pattern-never-matches", "export GOPRIVATE=" + corp},
		{m("GOPRIVATE", "true"), "warning pattern-never-matches", "unset GOPRIVATE"},
		{m("GONOSUMDB", "off,"+corp), "warning pattern-never-matches", "export GONOSUMDB=" + corp},
		{m("GOINSECURE", "http://"+corp), "warning pattern-never-matches", "export GOINSECURE=" + corp},
		// each other
		{m("GOPRIVATE", corp, "GONOPROXY", "none", "GOPROXY", "https://goproxy.cn,direct"), "warning private-asked-publicly", "unset GONOPROXY"},
		{m("GOPRIVATE", corp, "GONOPROXY", "none"), "warning private-asked-publicly", "unset GONOPROXY"},
		{m("GOPRIVATE", corp, "GONOPROXY", "other.example"), "warning private-asked-publicly", "export GONOPROXY=other.example," + corp},
		{m("GOPRIVATE", corp, "GONOSUMDB", "other.example"), "fault private-in-sumdb", "export GONOSUMDB=other.example," + corp},
		{m("GOPRIVATE", corp, "GONOSUMDB", "none"), "fault private-in-sumdb", "unset GONOSUMDB"},
		{m("GOPRIVATE", corp, "GONOSUMDB", "other.example", "GOSUMDB", "off"), "", ""},
		{m("GOPRIVATE", "*"), "warning goproxy-bypassed", "unset GOPRIVATE"},
		{m("GONOPROXY", "*", "GOPROXY", "file:///mirror"), "fault goproxy-bypassed", "unset GONOPROXY"},
		{m("GONOSUMDB", "*"), "warning gosumdb-bypassed", "unset GONOSUMDB"},
		{m("GONOSUMDB", "*", "GOSUMDB", "off"), "", ""},
		{m("GOPRIVATE", "github.com"), "warning private-public-host", "mend-pattern"},
		{m("GOPRIVATE", corp+",github.com/*"), "warning private-public-host", "mend-pattern"},
		{m("GOINSECURE", "*"), "warning goinsecure-all", "unset GOINSECURE"},
		// GOVCS and GOAUTH
		{m("GOVCS", "off"), "fault govcs-invalid", "unset GOVCS"},
		{m("GOVCS", "public:git,,private:all"), "fault govcs-invalid", "unset GOVCS"},
		{m("GOVCS", "public:git,public:hg"), "fault govcs-invalid", "unset GOVCS"},
		{m("GOVCS", "public:git|"), "fault govcs-invalid", "unset GOVCS"},
		{m("GOAUTH", "git"), "fault goauth-invalid", "unset GOAUTH"},
		{m("GOAUTH", "git relative/folder"), "fault goauth-invalid", "unset GOAUTH"},
		{m("GOAUTH", "off; netrc"), "fault goauth-invalid", "unset GOAUTH"},
		{m("GOAUTH", "netrc;"), "fault goauth-invalid", "unset GOAUTH"},
	} {
		out := checkGoPrivate(t.Context(), setExam(t, tt.env, nil))
		rec.add(setNamed(tt.env), tt.codes, strings.Join(setCodes(out.Findings), " "))
		if got := strings.Join(setCodes(out.Findings), " "); got != tt.codes || setFirst(out.Findings) != tt.fix {
			t.Errorf("%v: %s, mended by %q; want %s, %q", tt.env, got, setFirst(out.Findings), tt.codes, tt.fix)
		}
	}
}

func goenvScenarios(t *testing.T, rec *record) {
	m := func(pairs ...string) map[string]string { return setArgs(pairs...) }
	goroot, _ := setGo(t, t.TempDir(), nil, "env", "GOROOT")
	goroot = strings.TrimSpace(goroot)
	for _, tt := range []struct {
		name         string
		env, written map[string]string
		mod          bool
		codes, fix   string
	}{
		{"nothing", nil, nil, true, "", ""},
		{"on", m("GO111MODULE", "on"), nil, true, "", ""},
		{"off here", m("GO111MODULE", "off"), nil, true, "fault go111module-off", "unset GO111MODULE"},
		{"off elsewhere", nil, m("GO111MODULE", "off"), false, "warning go111module-off", "go env -u GO111MODULE"},
		{"auto here", m("GO111MODULE", "auto"), nil, true, "note go111module-auto", "unset GO111MODULE"},
		{"auto elsewhere", m("GO111MODULE", "auto"), nil, false, "note go111module-auto", "unset GO111MODULE"},
		{"yes", m("GO111MODULE", "yes"), nil, true, "fault go111module-invalid", "unset GO111MODULE"},
		{"its own GOROOT", m("GOROOT", goroot), nil, true, "warning goroot-exported", "unset GOROOT"},
		{"another GOROOT", m("GOROOT", "/elsewhere/go"), nil, true, "", ""}, // the check "go" says so
		{"GOPATH", m("GOPATH", "/home/u/go"), nil, true, "", ""},
		{"GOPATH of a shell", m("GOPATH", "~/go"), nil, true, "fault gopath-invalid", "unset GOPATH"},
		{"relative GOPATH", m("GOPATH", "go"), nil, true, "fault gopath-invalid", "unset GOPATH"},
		{"GOENV", m("GOENV", "off"), m("GOPROXY", "https://goproxy.cn"), true, "warning goenv-off", "unset GOENV"},
		{"GOENV and nothing lost", m("GOENV", "off"), nil, true, "", ""},
		{"GONOSUMCHECK", m("GONOSUMCHECK", "1"), nil, true, "warning ignored-variable", "unset GONOSUMCHECK"},
		{"GO_PROXY", m("GO_PROXY", "https://goproxy.cn"), nil, true, "warning ignored-variable", "go env -w GOPROXY=https://goproxy.cn"},
		{"both", m("GO_PROXY", "https://a.example", "GOPROXY", "https://goproxy.cn"), nil, true, "note ignored-variable", "unset GO_PROXY"},
		{"in the file", nil, m("GONOSUMCHECK", "1"), true, "warning ignored-variable", "go env -u GONOSUMCHECK"},
		{"other names", m("GOOGLE_CLOUD_PROJECT", "p", "GOBUSTER", "1", "GOPROXY_TOKEN_FILE", "f"), nil, true, "", ""},
		{"shadowed", m("GOPROXY", "https://a.example"), m("GOPROXY", "https://b.example"), true, "warning go-env-shadowed", "unset GOPROXY"},
		{"the same twice", m("GOPROXY", "https://a.example"), m("GOPROXY", "https://a.example"), true, "", ""},
		{"an empty variable", m("GOPROXY", ""), m("GOPROXY", "https://b.example"), true, "", ""},
	} {
		x := setExam(t, tt.env, tt.written)
		if tt.mod {
			setWrite(t, filepath.Join(x.Dir, "go.mod"), "module example.com/m\n")
		}
		out := checkGoEnv(t.Context(), x)
		rec.add(tt.name, tt.codes, strings.Join(setCodes(out.Findings), " "))
		if got := strings.Join(setCodes(out.Findings), " "); got != tt.codes || setFirst(out.Findings) != tt.fix {
			t.Errorf("%s: %s, mended by %q; want %s, %q", tt.name, got, setFirst(out.Findings), tt.codes, tt.fix)
		}
	}
	if runtime.GOOS != "windows" {
		out := checkGoEnv(t.Context(), setExam(t, m("goproxy", "https://goproxy.cn"), nil))
		if got := strings.Join(setCodes(out.Findings), " "); got != "warning ignored-lower-case" || setFirst(out.Findings) != "go env -w GOPROXY=https://goproxy.cn" {
			t.Errorf("goproxy: %s, mended by %q", got, setFirst(out.Findings))
		}
	}
}

// TestSettingsKept wants no check to be healthy where go env does not answer, and the faults that may
// be why to be found all the same.
func TestSettingsKept(t *testing.T) {
	for _, c := range append(settingsChecks(), modcacheChecks()...) {
		x := &Exam{OS: runtime.GOOS, Home: t.TempDir(), Dir: t.TempDir(), Env: map[string]string{}, Runner: &gocmd.Runner{Env: []string{"PATH="}}}
		x.GoEnv.Err = errors.New("go env: exit code 1:\nit does not like it")
		if c.ID == "gomod" {
			continue // needs nothing of go env
		}
		if c.Group == ModCache { // where these folders are is known without
			x.Home = ""
		}
		out := c.Run(t.Context(), x)
		if out.NotRun != NotReadable || out.Detail == "" || strings.Contains(out.Detail, "\n") {
			t.Errorf("%s: %q, %q", c.ID, out.NotRun, out.Detail)
		}
		x.GoEnv.Err = &gocmd.ToolError{Name: "go", Err: os.ErrNotExist}
		if out := c.Run(t.Context(), x); out.NotRun != NoTool {
			t.Errorf("%s without go: %q", c.ID, out.NotRun)
		}
	}
	x := setExam(t, map[string]string{"GOPATH": "~/go", "GOPROXY": "on"}, nil)
	x.GoEnv.Err, x.GoEnv.Values = errors.New("go env: exit code 1"), nil
	if got := setCodes(checkGoEnv(t.Context(), x).Findings); !slices.Equal(got, []string{"fault gopath-invalid"}) {
		t.Errorf("GOPATH: %v", got)
	}
	if got := setCodes(checkGoProxy(t.Context(), x).Findings); !slices.Equal(got, []string{"fault goproxy-invalid"}) {
		t.Errorf("GOPROXY: %v", got)
	}
}

// TestSetFix wants each fix to reach the place where the value comes from.
func TestSetFix(t *testing.T) {
	for _, tt := range []struct {
		name         string
		env, written map[string]string
		want, line   string
	}{
		{"default", nil, nil, "https://goproxy.cn,direct", "go env -w GOPROXY=https://goproxy.cn,direct"},
		{"from the file", nil, setArgs("GOPROXY", "off"), "", "go env -u GOPROXY"},
		{"from the file to the default", nil, setArgs("GOPROXY", "off"), setDefaults, "go env -u GOPROXY"},
		{"from the environment", setArgs("GOPROXY", "off"), nil, "https://goproxy.cn", "export GOPROXY=https://goproxy.cn"},
		{"from the environment, over the right one", setArgs("GOPROXY", "off"), setArgs("GOPROXY", "https://goproxy.cn"), "https://goproxy.cn", "unset GOPROXY"},
		{"from the environment to the default", setArgs("GOPROXY", "off"), nil, setDefaults, "unset GOPROXY"},
	} {
		x := setExam(t, tt.env, tt.written)
		if got := setFixLine(setFix(x, "GOPROXY", tt.want)); got != tt.line {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.line)
		}
	}
}

func TestSetEvidence(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // start-up files of shells are elsewhere
	}
	x := setExam(t, setArgs("GOPROXY", "off", "GOSUMDB", "off"), nil)
	setWrite(t, filepath.Join(x.Home, ".bashrc"), "# export GOPROXY=off\nexport GOPROXY=old\n export GOPROXY=\"off\"\n")
	want := Fact{Name: factSetIn, Answer: Yes, Value: filepath.Join(x.Home, ".bashrc") + ":3"}
	if got := setEvidence(x, "GOPROXY"); !slices.Equal(got, []Fact{want}) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := setEvidence(x, "GOSUMDB"); len(got) != 1 || got[0].Name != factFromEnv {
		t.Errorf("set by nobody knows whom: %+v", got)
	}
}

// TestGoProxyComma wants the comma to be blamed only where the server before it is proved to be dead.
func TestGoProxyComma(t *testing.T) {
	live := httptest.NewServer(http.NotFoundHandler())
	defer live.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	const next = "https://goproxy.cn,direct"
	for _, tt := range []struct{ value, codes, fix string }{
		{live.URL + "," + next, "", ""},
		{live.URL + "," + dead + "," + next, "", ""}, // who asks the second knows that the first answers
		{dead + "|" + next, "", ""},
		{dead + ",direct", "", ""}, // no proxy behind it
		{dead, "", ""},
		{dead + "," + next, "fault goproxy-comma", "export GOPROXY=" + dead + "|" + next},
		{dead + "," + live.URL + "," + next, "fault goproxy-comma", "export GOPROXY=" + dead + "|" + live.URL + "|" + next},
	} {
		x := setExam(t, map[string]string{"GOPROXY": tt.value}, nil)
		x.Net.Dial = new(net.Dialer).DialContext
		x.Net.Lookup = net.DefaultResolver.LookupNetIP
		for _, p := range setProxies(tt.value) {
			if p.URL != nil {
				x.Targets = append(x.Targets, Target{Role: Upstream, URL: p.URL, Sep: p.Sep})
			}
		}
		out := checkGoProxy(t.Context(), x)
		if got := strings.Join(setCodes(out.Findings), " "); got != tt.codes || setFirst(out.Findings) != tt.fix {
			t.Errorf("GOPROXY=%s: %s, mended by %q; want %s, %q", tt.value, got, setFirst(out.Findings), tt.codes, tt.fix)
		}
		if len(out.Findings) > 0 && (out.Findings[0].Op == "" || out.Findings[0].Args["Verdict"] == "") {
			t.Errorf("GOPROXY=%s: without evidence: %+v", tt.value, out.Findings[0])
		}
	}
}

// FuzzSetMeantProxies: whatever is proposed in place of a list must be one that the go command takes.
func FuzzSetMeantProxies(f *testing.F) {
	for _, s := range []string{"on", "https://goproxy.cn direct", "https：//goproxy.cn，direct", "“goproxy.cn”;direct", "GOPROXY='https:/a.b|off'", "//x.y", "file://h/d", "|,", "https://u:p@h.example/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		meant := setMeantProxies(value)
		if meant == "" {
			return
		}
		list := setProxies(meant)
		if len(list) == 0 || slices.ContainsFunc(list, func(p setProxy) bool { return p.Bad }) {
			t.Errorf("%q became %q, which is refused, too", value, meant)
		}
		if again := setMeantProxies(meant); again != meant {
			t.Errorf("%q became %q, and that %q", value, meant, again)
		}
	})
}

// FuzzSetProxies: what goferry itself takes for a list of upstreams is not called refused, and a list
// that is written anew is the same list.
func FuzzSetProxies(f *testing.F) {
	for _, s := range []string{"https://goproxy.cn,direct", "a.b|c.d,off", " , ,x", "http://127.0.0.1:1|file:///m", "direct,https://a.b", "//a", "https://a;b", "tp/0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		list := setProxies(value)
		again := setProxies(setJoin(list))
		if !slices.EqualFunc(list, again, func(a, b setProxy) bool {
			return a.Raw == b.Raw && a.Bad == b.Bad && a.Assumed == b.Assumed && a.Sep == b.Sep
		}) {
			t.Errorf("%q: %+v became %+v", value, list, again)
		}
		ups, err := goproxy.ParseUpstreams(value)
		if err != nil || strings.Contains(value, "=") {
			return
		}
		for i, u := range ups {
			// A host that no name server can know is another matter than a list that is refused.
			noHost := i < len(list) && list[i].URL != nil && (list[i].URL.Hostname() == "" || strings.ContainsFunc(list[i].URL.Hostname(), setNoHost))
			mistyped := i < len(list) && setSchemeAlone.MatchString(list[i].Raw) // "ttp//a.b": nobody's host is called so
			if i < len(list) && list[i].Bad && !noHost && !mistyped {
				t.Errorf("%q: the entry %q is taken, and was called bad", value, u.URL)
			}
		}
	})
}

// FuzzSetFlags: words that are joined with quotes are cut into the same words.
func FuzzSetFlags(f *testing.F) {
	for _, s := range []string{"-mod=mod -x", "'-ldflags=-s -w' -v", `"-a b"'-c'`, "-x '", "\t-a\n-b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		flags, whole := setFlags(value)
		if !whole {
			return
		}
		var words []string
		for _, w := range flags {
			switch {
			case !strings.Contains(w, "'"):
				w = "'" + w + "'"
			case !strings.Contains(w, `"`):
				w = `"` + w + `"`
			default:
				return // no word with both can be quoted
			}
			words = append(words, w)
		}
		if again, whole := setFlags(strings.Join(words, " ")); !whole || !slices.Equal(again, flags) {
			t.Errorf("%q: %q became %q", value, flags, again)
		}
	})
}
