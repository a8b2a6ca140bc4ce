package doctor

import (
	"context"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/toolchain"
)

// TestCompilerThatWritesNothing ends well and makes no program: that is no proof.
func TestCompilerThatWritesNothing(t *testing.T) {
	if runtime.GOOS == "windows" {
		return
	}
	x, bin := ccExam(t, nil)
	ccTool(t, bin, "gcc", `case "$*" in *-dumpmachine*) echo x86_64-linux-gnu;; esac`)
	if o := ccCheck(t.Context(), x); sdkFound(o) != "cc-broken:fault" {
		t.Errorf("%+v", o)
	}
}

// TestFlagsOfCC wants a CC with flags that are no good to go, and no compiler to be installed over one that works.
func TestFlagsOfCC(t *testing.T) {
	if runtime.GOOS != "linux" {
		return
	}
	x := ccReal(t)
	if x.GoEnv.Values["CC"] != "gcc" {
		t.Fatalf("CC of this machine is %q", x.GoEnv.Values["CC"])
	}
	x.Env["CC"], x.GoEnv.Values["CC"] = "gcc -fnosuch", "gcc -fnosuch"
	o := ccCheck(t.Context(), x)
	if sdkFound(o) != "cc-broken:fault" || o.Findings[0].Fixes[0].Code != fixDefaultCC || o.Findings[0].Fixes[0].Key != "CC" {
		t.Errorf("%+v", o)
	}
}

// TestForeignGCC has a gcc in PATH that makes programs for another system, while those for this one are built.
func TestForeignGCC(t *testing.T) {
	if runtime.GOOS == "windows" {
		return
	}
	x, bin := ccExam(t, nil)
	ccTool(t, bin, "gcc", ccGCC("mingw32"))
	o := ccCheck(t.Context(), x)
	if sdkFound(o) != "cc-wrong-target:fault" || !strings.Contains(strings.Join(o.Findings[0].Fixes[0].Command, " "), "gcc libc6-dev") {
		t.Errorf("no native compiler: %+v", o)
	}
	ccTool(t, bin, "x86_64-linux-gnu-gcc", ccGCC("x86_64-linux-gnu"))
	o = ccCheck(t.Context(), x)
	if fixes := o.Findings[0].Fixes; len(fixes) < 2 || fixes[1].Value != "x86_64-linux-gnu-gcc" {
		t.Errorf("the right one is there by its long name: %+v", o)
	}
}

// TestKeptFromLooking wants no check that could not look to pass as if it had, unless a finding says why that does not matter.
func TestKeptFromLooking(t *testing.T) {
	x, _ := ccExam(t, nil)
	x.GoEnv = GoEnv{Err: context.DeadlineExceeded}
	if o := ccCheck(t.Context(), x); o.NotRun != NotReadable {
		t.Errorf("go env hung: %+v", o)
	}
	x.GoEnv.Err = &gocmd.ToolError{Name: "go", Err: os.ErrNotExist}
	alone := Examine(t.Context(), x, ccChecks(), Options{})
	if alone.Complete || alone.Unlooked() != 1 {
		t.Errorf("no go command, and nothing was found: complete %v, %d checks could not look", alone.Complete, alone.Unlooked())
	}
	both := Examine(t.Context(), x, append(ccChecks(), sdkChecks()[0]), Options{})
	if both.Healthy || !both.Complete {
		t.Errorf("no go command, and a finding says so: %+v", both)
	}
}

// TestDistributed wants a Go that a distribution has built, which nobody else can prove, to be no check that could not look.
func TestDistributed(t *testing.T) {
	differs := toolchain.Report{State: toolchain.StateAltered}
	for root, want := range map[string]Reason{
		"/usr/lib/go-1.24": NotHere, "/usr/lib64/golang": NotHere, "/nix/store/abc-go-1.26.8/share/go": NotHere, "/opt/homebrew/Cellar/go/1.26.8/libexec": NotHere,
		"/usr/local/go": NotReadable, "/home/ann/sdk/go1.26.8": NotReadable, "/usr/libexec/go": NotReadable,
	} {
		if o := sdkJudge(root, differs); o.NotRun != want || len(o.Findings) > 0 {
			t.Errorf("%s: %+v", root, o)
		}
		if o := sdkJudge(root, toolchain.Report{State: toolchain.StateUnknown}); o.NotRun != want {
			t.Errorf("%s, and nobody knows: %+v", root, o)
		}
	}
}

// TestMend wants messages about what is missing to come with what installs it here, and with nothing where it is here.
func TestMend(t *testing.T) {
	if runtime.GOOS == "windows" {
		return
	}
	for _, tt := range []struct{ release, line, want string }{
		{"ID=debian\n", `cgo: C compiler "gcc" not found: exec: "gcc": executable file not found in $PATH`, "apt-get install -y gcc libc6-dev"},
		{"ID=alpine\n", `cgo: C compiler "gcc" not found: exec: "gcc": executable file not found in $PATH`, "apk add gcc musl-dev"},
		{"ID=debian\n", `exec: "g++": executable file not found in $PATH`, "apt-get install -y g++"},
		{"ID=debian\n", `exec: "x86_64-w64-mingw32-gcc": executable file not found in $PATH`, "gcc-mingw-w64-x86-64"},
		{"ID=debian\n", "gcc: error: unrecognized command-line option '-mthreads'; did you mean '-pthread'?", "gcc-mingw-w64-x86-64"},
		{"ID=fedora\n", "gcc: error: unrecognized command-line option '-mthreads'; did you mean '-pthread'?", "dnf install -y mingw64-gcc"},
		{"ID=debian\n", "gcc_arm64.S:30: Error: no such instruction: `stp x29,x30,[sp,'", "gcc-aarch64-linux-gnu"},
		{"ID=centos\nVERSION_ID=7\n", "package m: build constraints exclude all Go files in /go/pkg/mod/github.com/mattn/go-sqlite3", "yum install -y gcc glibc-devel"},
		{"ID=arch\n", "fatal error: sqlite3.h: No such file or directory", "pacman -S --needed --noconfirm sqlite"},
		{"ID=opensuse-leap\n", "/usr/bin/ld: cannot find -lpcap", "zypper --non-interactive install libpcap-devel"},
		{"ID=debian\n", "fatal error: nobody-knows.h: No such file or directory", ""},
		{"ID=debian\n", `exec: "pkg-config": executable file not found in $PATH`, "apt-get install -y pkg-config"},
		{"ID=debian\n", `exec: "git": executable file not found in $PATH`, "apt-get install -y git"},
		{"ID=debian\n", "go: github.com/a/b@v1.0.0: reading https://goproxy.cn/x: 404 Not Found", ""},
	} {
		x, bin := ccExam(t, map[string]string{"CGO_ENABLED": "0"})
		x.OSRelease = tt.release
		list, err := Explain(strings.NewReader(tt.line + "\n"))
		if err != nil || len(list) == 0 {
			t.Fatalf("%s: %v, %v", tt.line, list, err)
		}
		Mend(x, list, Report{})
		var lines []string
		for _, f := range list[0].Fixes {
			lines = append(lines, setFixLine(f))
		}
		if got := strings.Join(lines, " | "); !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("%s: %q, want %q", tt.line, got, tt.want)
		}
		// What a finding says already is not said again.
		said := Report{Causes: []Cause{{Finding: Finding{Fixes: list[0].Fixes}}}}
		again := []Recognized{{Code: list[0].Code, Args: list[0].Args}}
		if Mend(x, again, said); len(again[0].Fixes) > 0 {
			t.Errorf("%s: said twice: %v", tt.line, again[0].Fixes)
		}
		if list[0].Code == "git-missing" || list[0].Code == "pkg-config-missing" || list[0].Code == "cc-not-found" {
			ccTool(t, bin, list[0].Args["Name"], "")
			again := []Recognized{{Code: list[0].Code, Args: list[0].Args}}
			if Mend(x, again, Report{}); len(again[0].Fixes) > 0 {
				t.Errorf("%s: it is here: %v", tt.line, again[0].Fixes)
			}
		}
	}
}

// TestSecretsGiven wants the secrets of an Exam to be shown nowhere.
func TestSecretsGiven(t *testing.T) {
	x := &Exam{Secrets: []string{"n3trc-password"}}
	if got := SecretsOf(x).Mask("git says n3trc-password"); strings.Contains(got, "n3trc") {
		t.Errorf("shown: %s", got)
	}
}
