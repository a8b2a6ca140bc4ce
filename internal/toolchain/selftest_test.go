package toolchain

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// selfEvents makes the lines that go test -json writes.
func selfEvents(lines ...string) string {
	var b strings.Builder
	for _, line := range lines {
		f := strings.SplitN(line, "|", 4) // action|package|test|output
		ev := map[string]any{"Action": f[0]}
		for i, key := range []string{"Action", "Package", "Test", "Output"} {
			if i < len(f) && f[i] != "" {
				ev[key] = f[i]
			}
		}
		if strings.HasPrefix(f[0], "build-") {
			ev["ImportPath"] = f[1]
			delete(ev, "Package")
		}
		if f[0] == "fail" && len(f) == 4 {
			ev["FailedBuild"] = f[3]
			delete(ev, "Output")
		}
		data, _ := json.Marshal(ev)
		b.Write(append(data, '\n'))
	}
	return b.String()
}

func selfRead(text string, chunk int) (list []SelfPackage, told []string) {
	s := &selfStream{
		ended: func(p SelfPackage) { list = append(list, p) },
		began: func(pkg string) { told = append(told, "began "+pkg) },
		fails: func(pkg, test string) { told = append(told, "fails "+pkg+" "+test) },
	}
	for text != "" {
		n := min(chunk, len(text))
		_, _ = s.Write([]byte(text[:n]))
		text = text[n:]
	}
	return list, told
}

func TestSelfStream(t *testing.T) {
	text := selfEvents(
		"start|a", "run|a|TestGood", "output|a|TestGood|noise\n", "pass|a|TestGood", "pass|a",
		"start|none", "output|none||?   \tnone\t[no test files]\n", "skip|none",
		"start|b", "start|c",
		"run|b|TestBad", "output|b|TestBad|=== RUN   TestBad\n", "output|b|TestBad/sub|    b_test.go:7: wrong\n", "fail|b|TestBad/sub",
		"output|b|TestBad|--- FAIL: TestBad (0.00s)\n", "fail|b|TestBad",
		"run|c|TestHang", "output|c|TestHang|panic: test timed out after 1s\n", "output|c||FAIL\tc\t1.0s\n", "fail|c",
		"run|b|TestSkipped", "skip|b|TestSkipped", "output|b||FAIL\n", "fail|b",
		"build-output|d [d.test]||# d\n", "build-output|d [d.test]||d.go:1:1: syntax error\n", "build-fail|d [d.test]",
		"start|d", "output|d||FAIL\td [build failed]\n", "fail|d||d [d.test]",
	) + "# old [old.test]\nold.go:2: undefined: x\n# other\nnot this\n" + selfEvents("output|old||FAIL\told [build failed]\n", "fail|old") + "{broken\n"
	want := []SelfPackage{
		{Name: "a", Verdict: SelfPassed},
		{Name: "none", Verdict: SelfNoTests},
		{Name: "c", Verdict: SelfFailed, Failures: []SelfFailure{{Output: "FAIL\tc\t1.0s\nTestHang: panic: test timed out after 1s"}}},
		{Name: "b", Verdict: SelfFailed, Failures: []SelfFailure{{Test: "TestBad", Output: "b_test.go:7: wrong\n--- FAIL: TestBad (0.00s)"}}},
		{Name: "d", Verdict: SelfFailed, Build: true, Failures: []SelfFailure{{Output: "# d\nd.go:1:1: syntax error\nFAIL\td [build failed]"}}},
		{Name: "old", Verdict: SelfFailed, Build: true, Failures: []SelfFailure{{Output: "# old [old.test]\nold.go:2: undefined: x\nFAIL\told [build failed]"}}},
	}
	got, told := selfRead(text, 7)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"began a", "began none", "began b", "began c", "fails b TestBad", "began d", "began old"}, told); diff != "" {
		t.Error(diff)
	}
}

// TestSelfOutput keeps both ends of what a test writes: a panic says at the beginning what it is.
func TestSelfOutput(t *testing.T) {
	text := selfEvents("start|p", "output|p|TestX|panic: test timed out after 1s\n")
	for i := range 5000 {
		text += selfEvents(fmt.Sprintf("output|p|TestX|goroutine %d [select]:\n", i))
	}
	got, _ := selfRead(text+selfEvents("output|p|TestX|the end\n", "fail|p|TestX", "fail|p"), 1000)
	if len(got) != 1 || len(got[0].Failures) != 1 {
		t.Fatalf("got %+v", got)
	}
	out := got[0].Failures[0].Output
	if !strings.HasPrefix(out, "panic: test timed out") || !strings.HasSuffix(out, "\nthe end") || !strings.Contains(out, "\n…\n") || len(out) > selfExcerpt+8 {
		t.Errorf("%d bytes: %s", len(out), out)
	}
}

// TestSelfHung names what was running when the time was over.
func TestSelfHung(t *testing.T) {
	got, _ := selfRead(selfEvents("start|p", "output|p|TestPaused|=== PAUSE TestPaused\n", "output|p|TestX/tcp|x_test.go:1: words\n", "output|p|TestX/tcp|panic: test timed out after 2m0s\n",
		"output|p|TestX/tcp|\trunning tests:\n", "output|p|TestX/tcp|\t\tTestX (1m59s)\n", "output|p|TestX/tcp|\t\tTestX/tcp (1m59s)\n", "output|p|TestX/tcp|\n",
		"output|p|TestX/tcp|goroutine 1 [running]:\n", "output|p||FAIL\tp\t120.1s\n", "fail|p"), 64)
	if len(got) != 1 || len(got[0].Failures) != 1 || got[0].Failures[0].Test != "TestX" || !strings.HasPrefix(got[0].Failures[0].Output, "x_test.go:1: words\npanic: ") {
		t.Errorf("got %+v", got)
	}
}

// FuzzSelfStream wants the same result whatever the pieces, and outputs within their bound.
func FuzzSelfStream(f *testing.F) {
	f.Add(selfEvents("start|a", "output|a|TestX|hello\n", "fail|a|TestX", "fail|a"), 3)
	f.Add("{\"Action\":\"fail\",\"Package\":\"p\"}\nnoise\n", 1)
	f.Add(strings.Repeat("x", 100)+"\n{}\n", 9)
	f.Fuzz(func(t *testing.T, text string, chunk int) {
		whole, toldWhole := selfRead(text, len(text)+1)
		parts, toldParts := selfRead(text, 1+(chunk&63))
		if diff := cmp.Diff(whole, parts); diff != "" || !slices.Equal(toldWhole, toldParts) {
			t.Errorf("pieces change the result:\n%s", diff)
		}
		for _, p := range whole {
			if p.Verdict == SelfFailed && len(p.Failures) == 0 {
				t.Errorf("%s failed without a failure", p.Name)
			}
			for _, fail := range p.Failures {
				if len(fail.Output) > selfExcerpt+8 {
					t.Errorf("%s: an output of %d bytes", p.Name, len(fail.Output))
				}
			}
		}
	})
}

func TestSelfStreamLongLine(t *testing.T) {
	long := `{"Action":"output","Package":"p","Output":"` + strings.Repeat("x", selfMaxLine) + "\"}\n"
	got, _ := selfRead(long+selfEvents("pass|p"), 4096)
	if diff := cmp.Diff([]SelfPackage{{Name: "p", Verdict: SelfPassed}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestSelfCauseOf(t *testing.T) {
	all := SelfHost{Services: true, IPv4: true, IPv6: true}
	tests := []struct {
		output string
		host   SelfHost
		want   selfCause
	}{
		{"got 3, want 4", all, selfCause{}},
		{"write /tmp/x: no space left on device", all, selfCause{"disk-full", true}},
		{"compile: version \"go1.25.7\" does not match go tool version \"go1.26.1\"", all, selfCause{"mixed", false}},
		{"FAIL: signal: killed", all, selfCause{"memory", true}},
		{"lookup tcp/http: unknown port", SelfHost{IPv4: true, IPv6: true}, selfCause{"no-services", true}},
		{"lookup tcp/http: unknown port", all, selfCause{}},
		{"listen tcp6 [::1]:0: bind: cannot assign requested address", SelfHost{IPv4: true, Services: true}, selfCause{"no-ipv6", true}},
		{"listen tcp6 [::1]:0: refused", all, selfCause{}},
		{"want permission error, got nil", SelfHost{Services: true, IPv4: true, IPv6: true, Root: true}, selfCause{"root", true}},
		{"want permission error, got nil", all, selfCause{}},
		{"lookup golang.org: no such host", all, selfCause{"no-network", true}},
		{"dial tcp 127.0.0.1:80: connect: connection refused", all, selfCause{}},
		{"open /sdk/go/src/fmt/print.go: no such file or directory", all, selfCause{"files-missing", false}},
		{"open /sdk/go/test/fixedbugs: no such file or directory", all, selfCause{"left-out", true}},
		{"open /sdk/golang/src: no such file or directory", all, selfCause{}},
		{"fork/exec /tmp/x.test: permission denied", all, selfCause{"noexec", true}},
		{"tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-11-23", all, selfCause{"expired", true}},
		{"failed to handle connection: remote error: tls: bad certificate", all, selfCause{"expired", true}},
		{"panic: test timed out after 20m0s", all, selfCause{"timeout", false}},
	}
	for _, tt := range tests {
		if got := selfCauseOf(tt.output, tt.host, "/sdk/go"); got != tt.want {
			t.Errorf("%q: %+v, want %+v", tt.output, got, tt.want)
		}
	}
}

func TestSelfAge(t *testing.T) {
	all := []Version{"go1.24.9", "go1.25.6", "go1.25.7", "go1.26rc1", "go1.26.0", "go1.26.1", "go1.27rc1"}
	for v, want := range map[Version]string{
		"go1.26.1": "", "go1.25.7": "", "go1.26.0": "old-patch go1.26.1", "go1.25.6": "old-patch go1.25.7", "go1.26rc1": "old-patch go1.26.1",
		"go1.24.9": "unsupported go1.26.1", "go1.21.0": "unsupported go1.26.1", "go1.27rc1": "prerelease go1.26.1", "go1.26.2": "",
	} {
		got := ""
		for _, f := range selfAge(v, all) {
			got += f.Code + " " + f.Want
		}
		if got != want {
			t.Errorf("%s: %q, want %q", v, got, want)
		}
	}
	if got := selfAge("go1.26.1", nil); got != nil {
		t.Errorf("without releases: %v", got)
	}
}

func selfCodes(found []SelfFinding) string {
	codes := []string{}
	for _, f := range found {
		codes = append(codes, f.Code)
	}
	return strings.Join(codes, " ")
}

func TestSelfEnviron(t *testing.T) {
	root, tmp := t.TempDir(), t.TempDir()
	file := filepath.Join(tmp, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	good := map[string]string{
		"GOPATH": filepath.Join(tmp, "gopath"), "GOCACHE": filepath.Join(tmp, "cache"), "GOPROXY": "https://proxy.test,direct",
		"GOSUMDB": "sum.golang.org", "GOOS": "linux", "GOHOSTOS": "linux", "GOARCH": "amd64", "GOHOSTARCH": "amd64",
	}
	tests := []struct {
		set       string // variables of go env, with spaces between
		env       []string
		toolchain string
		want      string
	}{
		{"", nil, "auto", ""},
		{"", nil, "local", "gotoolchain-local"},
		{"", nil, "go1.26.1+auto", ""},
		{"", nil, "go1.25.7", "gotoolchain-other"},
		{"", nil, "1.25.7", "gotoolchain-bad"},
		{"", nil, "auto+path", "gotoolchain-bad"},
		{"", nil, "local+path", ""},
		{"GOPROXY=off", nil, "auto", "goproxy-off"},
		{"GOPROXY=nonsense", nil, "auto", "goproxy-bad"},
		{"GOPROXY=http://proxy.test", nil, "auto", "goproxy-plain"},
		{"GOPROXY=http://127.0.0.1:8046|direct", nil, "auto", ""},
		{"GOPROXY=http://127.0.0.1.proxy.test", nil, "auto", "goproxy-plain"},
		{"GOSUMDB=off", nil, "auto", "gosumdb-off"},
		{"GOSUMDB=on", nil, "auto", "gosumdb-bad"},
		{"GOFLAGS=-mod=vendor", nil, "auto", "goflags"},
		{"GOFLAGS=-trimpath", nil, "auto", ""},
		{"GO111MODULE=off", nil, "auto", "go111module"},
		{"GOARCH=arm64", nil, "auto", "cross"},
		{"GOCACHE=off", nil, "auto", "gocache-off"},
		{"GOPATH=" + root, nil, "auto", "gopath-is-goroot"},
		{"GOPATH=", nil, "auto", "gopath-none"},
		{"GOPATH=" + filepath.Join(file, "below"), nil, "auto", "not-writable"},
		{"", []string{"GODEBUG=x=1"}, "auto", "experiment"},
	}
	for _, tt := range tests {
		e := &selfEnviron{root: root, env: tt.env, vars: map[string]string{}}
		for k, v := range good {
			e.vars[k] = v
		}
		for kv := range strings.FieldsSeq(tt.set) {
			k, v, _ := strings.Cut(kv, "=")
			e.vars[k] = v
		}
		e.toolchain(tt.toolchain, "go1.26.1")
		e.folders()
		e.flags()
		e.proxies()
		if got := selfCodes(e.found); got != tt.want {
			t.Errorf("%s %v GOTOOLCHAIN=%s: %q, want %q", tt.set, tt.env, tt.toolchain, got, tt.want)
		}
	}
}

func TestSelfState(t *testing.T) {
	dir := t.TempDir()
	key := selfKey{Root: "/go", Tree: "1", Packages: []string{"os"}}
	open := func(key selfKey, resume bool) *selfState {
		t.Helper()
		s, err := selfOpenState(dir, key, resume)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open(key, false)
	if _, err := selfOpenState(dir, key, true); !errors.Is(err, ErrSelfBusy) {
		t.Errorf("a second run: %v, want ErrSelfBusy", err)
	}
	tmp, err := s.temp(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	a := SelfPackage{Name: "a", Verdict: SelfPassed}
	b := SelfPackage{Name: "b", Verdict: SelfMachine, Failures: []SelfFailure{{Test: "TestX", Cause: "root", Output: "x"}}}
	s.write(a)
	s.write(b)
	// It is killed, in the middle of a line.
	if _, err := s.file.WriteString(`{"name":"c","verd`); err != nil {
		t.Fatal(err)
	}
	s.file.Close()
	s.lock.Close()

	s = open(key, true)
	want := map[string]SelfPackage{"a": a, "b": b}
	if diff := cmp.Diff(want, s.before); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(tmp); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("temporary files of a run that was killed: %v", err)
	}
	if err := s.close(false); err != nil {
		t.Fatal(err)
	}
	// What was gone on with can be gone on with again.
	s = open(key, true)
	if diff := cmp.Diff(want, s.before); diff != "" {
		t.Error(diff)
	}
	if err := s.close(false); err != nil {
		t.Fatal(err)
	}
	// Another toolchain in the same place is another test.
	other := key
	other.Tree = "2"
	s = open(other, true)
	if len(s.before) != 0 {
		t.Errorf("another tree goes on with %v", s.before)
	}
	if err := s.close(true); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != selfLockName {
		t.Errorf("left behind: %v %v", entries, err)
	}
}

func TestSelfTouched(t *testing.T) {
	root := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	put("src/a.go", "a")
	put("src/b.go", "b")
	before, err := selfSnapshot(root)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := selfTouched(root, before); err != nil || got != nil {
		t.Fatalf("nothing was touched: %v %v", got, err)
	}
	put("src/a.go", "longer")
	put("src/c.go", "c")
	if err := os.Remove(filepath.Join(root, "src", "b.go")); err != nil {
		t.Fatal(err)
	}
	got, err := selfTouched(root, before)
	if err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, name := range []string{"a.go", "b.go", "c.go"} {
		names = append(names, filepath.Join(real, "src", name))
	}
	if want := (SelfFinding{Code: "touched", Severity: SelfWarning, Value: "3", Detail: strings.Join(names, "\n")}); got[0] != want {
		t.Errorf("got %+v, want %+v", got[0], want)
	}
}

// TestSelfMessages wants a text for every code that this room can give; the texts are data of
// another room, and read here as such.
func TestSelfMessages(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "text", "messages", "en", "sdktest.toml"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	files, err := filepath.Glob("selftest*.go")
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile(`(?:Code: |\badd\(|note\([^"\n]+, |add\(c\.\w+, |^\t\t\{)"([a-z0-9]+(?:-[a-z0-9]+)*)"|"(program-[a-z]+)"`)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(src)) {
			for _, m := range code.FindAllStringSubmatch(line, -1) {
				want["sdktest.finding."+m[1]+m[2]] = true
			}
		}
	}
	for _, clue := range selfClues {
		want["sdktest.cause."+clue.cause.code] = true
	}
	want["sdktest.cause.left-out"], want["sdktest.cause.files-missing"] = true, true
	if len(want) < 50 {
		t.Errorf("only %d codes were found in the source", len(want))
	}
	for code := range want {
		if !strings.Contains(string(data), fmt.Sprintf("%q = ", code)) {
			t.Errorf("no message %s", code)
		}
	}
	for _, m := range regexp.MustCompile(`"(sdktest\.(?:finding|cause)\.[a-z0-9-]+)" = `).FindAllStringSubmatch(string(data), -1) {
		if !want[m[1]] && m[1] != "sdktest.cause.unknown" {
			t.Errorf("nothing says %s", m[1])
		}
	}
}
