package doctor

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/goferry/goferry/internal/gocmd"
)

// TestGoModNoPatch wants "go 1.22" to be a fault for those go commands alone that look for a toolchain of that name.
// https://go.dev/issue/62278
func TestGoModNoPatch(t *testing.T) {
	for _, tt := range []struct {
		have, line string
		fault      bool
	}{
		{"go1.21.0", "1.22", true}, {"go1.21.10", "1.22", true}, {"go1.22.3", "1.26", true},
		{"go1.21.11", "1.22", false}, {"go1.22.4", "1.26", false}, {"go1.23.0", "1.26", false}, {"go1.26.8", "1.27", false},
		{"go1.20.14", "1.22", false}, {"go1.22.3", "1.26.0", false},
	} {
		x := setExam(t, nil, nil)
		x.GoEnv.Version = tt.have
		setWrite(t, filepath.Join(x.Dir, "go.mod"), "module example.com/m\n\ngo "+tt.line+"\n")
		found := setCodes(checkGoMod(t.Context(), x).Findings)
		if got := slices.Contains(found, "fault gomod-no-patch"); got != tt.fault {
			t.Errorf("%s with go %s: %v", tt.have, tt.line, found)
		}
	}
}

// TestAutoAsGo has the real go command install a module version with GO111MODULE=auto in no module, which the finding must
// not deny: it only makes a difference that few want.
func TestAutoAsGo(t *testing.T) {
	mirror, _ := setMirror(t)
	out, _ := setGo(t, t.TempDir(), []string{"GO111MODULE=auto", "GOPROXY=" + mirror, "GOSUMDB=off", "GOFLAGS=-modcacherw"}, "install", "example.com/m@v1.0.0")
	if !strings.Contains(out, "is not a main package") {
		t.Errorf("the go command says %q", out)
	}
	x := setExam(t, map[string]string{"GO111MODULE": "auto"}, nil)
	if got := setCodes(checkGoEnv(t.Context(), x).Findings); !slices.Equal(got, []string{"note go111module-auto"}) {
		t.Errorf("found %v", got)
	}
}

// TestNamesOfScripts wants names that build scripts use for themselves to be no reason to warn.
func TestNamesOfScripts(t *testing.T) {
	x := setExam(t, map[string]string{"GO_FLAGS": "-v", "GO_MODULE": "example.com/m", "GO_TOOLCHAIN": "go1.26.0"}, nil)
	for _, f := range checkGoEnv(t.Context(), x).Findings {
		if f.Severity != Note {
			t.Errorf("%s: %s %s", f.Subject, f.Severity, f.Code)
		}
	}
}

// TestGoFlagsInWorkspace compares with the real go command, in a workspace and in a module that needs no other.
func TestGoFlagsInWorkspace(t *testing.T) {
	for _, tt := range []struct {
		flags string
		work  bool
		codes string
	}{
		{"-mod=mod", true, "fault goflags-workspace"},
		{"-modfile=other.mod", true, "fault goflags-workspace"},
		{"-mod=readonly", true, ""},
		{"-mod=mod", false, ""},
		{"-mod=vendor", false, "note goflags-vendor"},
	} {
		x := setExam(t, map[string]string{"GOFLAGS": tt.flags}, nil)
		setWrite(t, filepath.Join(x.Dir, "go.mod"), "module example.com/m\n\ngo 1.24\n")
		setWrite(t, filepath.Join(x.Dir, "m.go"), "package m\n")
		if tt.work {
			setWrite(t, filepath.Join(x.Dir, "go.work"), "go 1.24\n\nuse .\n")
		}
		out := checkGoFlags(t.Context(), x)
		if got := strings.Join(setCodes(out.Findings), " "); got != tt.codes {
			t.Errorf("GOFLAGS=%s: %q, want %q", tt.flags, got, tt.codes)
		}
		said, code := setGo(t, x.Dir, []string{"GOFLAGS=" + tt.flags, "GOPROXY=off"}, "build", "./...")
		if (code != 0) != strings.HasPrefix(tt.codes, "fault") {
			t.Errorf("GOFLAGS=%s: the go command ended with %d: %s", tt.flags, code, said)
		}
		if len(out.Findings) > 0 {
			if said, code := setGo(t, x.Dir, []string{"GOFLAGS=" + out.Findings[0].Fixes[0].Value, "GOPROXY=off"}, "build", "./..."); code != 0 {
				t.Errorf("GOFLAGS=%s: it is still so after the fix: %s", tt.flags, said)
			}
		}
	}
}

// TestGitProxyWithoutScheme is about what most people write: git config --global http.proxy 127.0.0.1:7890.
func TestGitProxyWithoutScheme(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	x := gitExam(t, "[http]\nproxy = "+addr+"\n", nil)
	out := checkGit(t.Context(), x)
	if got := setCodes(out.Findings); !slices.Equal(got, []string{"warning git-proxy-dead"}) || out.Findings[0].Args["Proxy"] != addr {
		t.Fatalf("a dead proxy: %+v", out.Findings)
	}
	mended(t, x, out.Findings[0])
}

// TestGitToInstall wants the line that installs git, or ssh, on this system, with what an image takes before it.
func TestGitToInstall(t *testing.T) {
	for _, tt := range []struct{ release, tool, git, ssh string }{
		{"ID=debian\n", "", "sh -c apt-get update && apt-get install -y git", "sh -c apt-get update && apt-get install -y openssh-client"},
		{"ID=alpine\n", "", "apk add git", "apk add openssh-client"},
		{"ID=centos\nVERSION_ID=7\n", "", "yum install -y git", "yum install -y openssh-clients"},
		{"ID=arch\n", "", "pacman -S --needed --noconfirm git", "pacman -S --needed --noconfirm openssh"},
		{"ID=gentoo\n", "", "emerge --noreplace dev-vcs/git", "emerge --noreplace net-misc/openssh"},
		{"", "", "git-install", "ssh-install"},
	} {
		x := setExam(t, map[string]string{"GOPROXY": "direct"}, nil)
		x.OS, x.OSRelease = "linux", tt.release
		x.Runner = &gocmd.Runner{Env: []string{"PATH=" + t.TempDir()}}
		out := checkGit(t.Context(), x)
		if got := setFirst(out.Findings); got != tt.git {
			t.Errorf("%q: git comes by %q, want %q", tt.release, got, tt.git)
		}
		if got := setFixLine(ccInstallNamed(x, fixSSHInstall, "ssh")[0]); got != tt.ssh {
			t.Errorf("%q: ssh comes by %q, want %q", tt.release, got, tt.ssh)
		}
	}
}

// TestSSHMissing has a rule that leads to ssh, and a PATH with git alone.
func TestSSHMissing(t *testing.T) {
	git, err := new(gocmd.Runner).FindTool("git")
	if err != nil || runtime.GOOS == "windows" {
		return
	}
	for _, tt := range []struct{ private, want string }{{"", "warning ssh-missing"}, {"git.corp.example", "fault ssh-missing"}} {
		x := gitExam(t, "[url \"git@git.corp.example:\"]\ninsteadOf = https://git.corp.example/\n", map[string]string{"GOPRIVATE": tt.private})
		bin := t.TempDir()
		if err := os.Symlink(git, filepath.Join(bin, "git")); err != nil {
			t.Fatal(err)
		}
		x.OS, x.OSRelease = "linux", "ID=debian\n"
		x.Runner.Env = append(x.Runner.Env, "PATH="+bin)
		out := checkGit(t.Context(), x)
		if got := strings.Join(setCodes(out.Findings), " "); got != tt.want || !strings.Contains(setFirst(out.Findings), "openssh-client") {
			t.Errorf("GOPRIVATE=%s: %s, mended by %q", tt.private, got, setFirst(out.Findings))
		}
	}
}

// TestShownUser wants passwords and tokens of addresses to be hidden, and the user git of ssh to be shown: it is the same
// for everybody, and without it a line cannot be typed.
func TestShownUser(t *testing.T) {
	for in, want := range map[string]string{
		"ssh://git@git.corp.example:22/":  "ssh://git@git.corp.example:22/",
		"https://token@git.corp.example":  "https://***@git.corp.example",
		"ssh://git:pass@git.corp.example": "ssh://***@git.corp.example",
		"ssh://ann@git.corp.example":      "ssh://***@git.corp.example",
		"https://git@git.corp.example":    "https://***@git.corp.example",
	} {
		if got := (Secrets{}).Mask(in); got != want {
			t.Errorf("%s is shown as %s", in, got)
		}
		if found := (Secrets{}).Found(want); len(found) > 0 {
			t.Errorf("%s: %v", want, found)
		}
	}
	if got := setShown("url.ssh://git@git.corp.example:.insteadof"); got != "url.ssh://git@git.corp.example:.insteadof" {
		t.Errorf("shown as %s", got)
	}
}
