package doctor

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/gocmd"
)

// ccTool puts a program into a folder that says something and ends so.
func ccTool(t *testing.T, dir, name, script string) {
	t.Helper()
	sdkFile(t, filepath.Join(dir, name), "#!/bin/sh\n"+script+"\n")
}

// ccExam is a machine whose PATH is one folder, with a go command that lists those lines.
func ccExam(t *testing.T, values map[string]string) (*Exam, string) {
	t.Helper()
	bin := t.TempDir()
	x := sdkExam(t, "go1.26.8")
	x.OS, x.Arch, x.OSRelease = "linux", "amd64", "ID=debian\nVERSION_ID=\"12\"\n"
	x.SDKs.Path = []string{bin}
	x.Runner = &gocmd.Runner{Env: []string{"PATH=" + bin, "HOME=" + x.Home}}
	x.GoEnv.Values = map[string]string{"GOOS": "linux", "GOARCH": "amd64", "GOHOSTOS": "linux", "GOHOSTARCH": "amd64", "CGO_ENABLED": "1", "CC": "gcc", "CXX": "g++", "GOMOD": ""}
	for k, v := range values {
		x.GoEnv.Values[k] = v
	}
	return x, bin
}

// ccProjectSays makes the project of x have those packages with C, and say so by its go command: a line for each, of the
// format of ccListFormat, and without cgo that many files.
func ccProjectSays(t *testing.T, x *Exam, bin, with, without string) {
	t.Helper()
	sdkFile(t, filepath.Join(x.Dir, "go.mod"), "module m\n")
	x.GoEnv.Values["GOMOD"] = filepath.Join(x.Dir, "go.mod")
	ccTool(t, bin, "go", `if [ "$CGO_ENABLED" = 1 ]; then printf '`+with+`'; else printf '`+without+`'; fi`)
}

// ccGCC is a compiler for that machine that cannot do what the words say: each is a text of a probe, and what is said then.
func ccGCC(machine string, cannot ...string) string {
	script := `case "$*" in *-dumpmachine*) echo ` + machine + `; exit 0;; esac` + "\n"
	for _, c := range cannot {
		when, says, _ := strings.Cut(c, "=")
		cond := map[string]string{
			"link": `case "$*" in *-c\ *) false;; *) true;; esac`, "headers": `IFS= read -r first < probe.c; case "$first" in '#include'*) true;; *) false;; esac`,
			"anything": "true", "-m32": `case "$*" in *-m32*) true;; *) false;; esac`,
		}[when]
		script += "if " + cond + "; then echo '" + says + "' >&2; exit 1; fi\n"
	}
	return script + `for a; do if [ "$last" = -o ]; then : > "$a"; fi; last=$a; done` + "\n"
}

func ccScenarios(t *testing.T, rec *record) {
	if runtime.GOOS == "windows" {
		return // the programs are scripts
	}
	const sqlite = `github.com/mattn/go-sqlite3\t0\t\n`
	off := map[string]string{"CGO_ENABLED": "0"}
	tests := []struct {
		name    string
		values  map[string]string
		change  func(x *Exam, bin string)
		want    string
		fix     string // part of the first fix
		works   Answer
		enabled ccWhy
	}{
		{"healthy", nil, func(_ *Exam, bin string) { ccTool(t, bin, "gcc", ccGCC("x86_64-linux-gnu")) }, "", "", Yes, ccByDefault},
		{"of Alpine", nil, func(_ *Exam, bin string) { ccTool(t, bin, "gcc", ccGCC("x86_64-alpine-linux-musl")) }, "", "", Yes, ccByDefault},
		{"says nothing of itself", nil, func(_ *Exam, bin string) { ccTool(t, bin, "gcc", ccGCC("unknown target; exit 1")) }, "", "", Yes, ccByDefault},
		{"ccache", map[string]string{"CC": "ccache gcc"}, func(_ *Exam, bin string) { ccTool(t, bin, "ccache", ccGCC("x86_64-linux-gnu")) }, "", "", Yes, ccByDefault},
		{"zig for another system", map[string]string{"CC": "zig cc -target aarch64-linux-musl", "GOARCH": "arm64"}, func(_ *Exam, bin string) { ccTool(t, bin, "zig", ccGCC("x86_64-linux-gnu")) }, "", "", Yes, ccByDefault},
		{"no compiler, and nothing needs one", off, func(x *Exam, bin string) { ccProjectSays(t, x, bin, "", "") }, "cgo-off-no-cc:note", "", "", ccByNoCC},
		{"no compiler, in no project", off, func(*Exam, string) {}, "cgo-off-no-cc:note", "", "", ccByNoCC},
		{"no compiler, and the project needs one", off, func(x *Exam, bin string) { ccProjectSays(t, x, bin, `a.example/c\t0\t\n`, `a.example/c\t0\n`) }, "cgo-off-no-cc:fault", "gcc libc6-dev", "", ccByNoCC},
		{"no compiler, and there is another way", off, func(x *Exam, bin string) { ccProjectSays(t, x, bin, `a.example/c\t0\t\n`, `a.example/c\t3\n`) }, "cgo-off-no-cc:warning", "gcc libc6-dev", "", ccByNoCC},
		{"no compiler, and a stub", off, func(x *Exam, bin string) { ccProjectSays(t, x, bin, sqlite, `github.com/mattn/go-sqlite3\t1\n`) }, "cgo-off-no-cc:fault", "gcc", "", ccByNoCC},
		{"no compiler, and what the project needs is not known", off, func(x *Exam, bin string) { ccProjectSays(t, x, bin, `!\n`, "") }, "cgo-off-no-cc:note", "", "", ccByNoCC},
		{"switched off", off, func(x *Exam, _ string) { x.Env["CGO_ENABLED"] = "0" }, "", "", "", ccByEnv},
		{"switched off, and needed", off, func(x *Exam, bin string) { x.GoEnv.Written["CGO_ENABLED"] = "0"; ccProjectSays(t, x, bin, sqlite, "") }, "cgo-off:warning", "CGO_ENABLED", "", ccByGoEnv},
		{"a cross build", map[string]string{"CGO_ENABLED": "0", "GOARCH": "arm64"}, func(_ *Exam, bin string) { ccTool(t, bin, "gcc", "") }, "", "", "", ccByCross},
		{"a cross build that needs C", map[string]string{"CGO_ENABLED": "0", "GOOS": "windows"}, func(x *Exam, bin string) { ccProjectSays(t, x, bin, sqlite, `github.com/mattn/go-sqlite3\t1\n`) }, "cgo-off-cross:fault", "gcc-mingw-w64-x86-64", "", ccByCross},
		{"CC written, gcc missing", off, func(x *Exam, bin string) { x.GoEnv.Written["CC"] = "clang"; ccTool(t, bin, "clang", "") }, "cgo-off-env-cc:note", "", "", ccByNoCC},
		{"on by hand, no compiler", nil, func(x *Exam, _ string) { x.Env["CGO_ENABLED"] = "1" }, "cc-missing:fault", "gcc libc6-dev", "", ccByEnv},
		{"CC of nothing, gcc is there", map[string]string{"CC": "gcc-99"}, func(x *Exam, bin string) { x.GoEnv.Written["CC"] = "gcc-99"; ccTool(t, bin, "gcc", "") }, "cc-missing:fault", "CC", "", ccByDefault},
		{"broken", nil, func(_ *Exam, bin string) {
			ccTool(t, bin, "gcc", ccGCC("x86_64-linux-gnu", "anything=gcc: fatal error: cannot execute cc1"))
		}, "cc-broken:fault", "gcc libc6-dev", "", ccByDefault},
		{"no headers", nil, func(_ *Exam, bin string) {
			ccTool(t, bin, "gcc", ccGCC("x86_64-linux-gnu", "headers=probe.c:1:10: fatal error: stdlib.h: No such file or directory"))
		}, "cc-no-headers:fault", "libc6-dev", "", ccByDefault},
		{"no linker", nil, func(_ *Exam, bin string) {
			ccTool(t, bin, "gcc", ccGCC("x86_64-linux-gnu", "link=/usr/bin/ld: cannot find crt1.o"))
		}, "cc-no-linker:fault", "libc6-dev", "", ccByDefault},
		{"the disk is full", nil, func(_ *Exam, bin string) {
			ccTool(t, bin, "gcc", ccGCC("x86_64-linux-gnu", "anything=error: No space left on device"))
		}, "", "", Unmeasured, ccByDefault},
		{"of another system", map[string]string{"GOOS": "windows"}, func(x *Exam, bin string) {
			x.Env["CGO_ENABLED"] = "1"
			ccTool(t, bin, "gcc", ccGCC("x86_64-linux-gnu"))
		}, "cc-wrong-target:fault", "gcc-mingw-w64-x86-64", "", ccByEnv},
		{"of another processor", map[string]string{"GOARCH": "arm64"}, func(x *Exam, bin string) {
			x.Env["CGO_ENABLED"] = "1"
			ccTool(t, bin, "gcc", ccGCC("x86_64-linux-gnu"))
		}, "cc-wrong-target:fault", "gcc-aarch64-linux-gnu", "", ccByEnv},
		{"32 bit, complete", map[string]string{"GOARCH": "386"}, func(x *Exam, bin string) {
			x.Env["CGO_ENABLED"] = "1"
			ccTool(t, bin, "gcc", ccGCC("x86_64-linux-gnu"))
		}, "", "", Yes, ccByEnv},
		{"32 bit, not complete", map[string]string{"GOARCH": "386"}, func(x *Exam, bin string) {
			x.Env["CGO_ENABLED"] = "1"
			ccTool(t, bin, "gcc", ccGCC("x86_64-linux-gnu", "headers=fatal error: bits/libc-header-start.h: No such file"))
		}, "cc-no-headers:fault", "gcc-multilib", "", ccByEnv},
		{"of Visual Studio", map[string]string{"CC": `"C:\VS\cl.exe"`}, func(x *Exam, _ string) { x.GoEnv.Written["CC"] = "cl" }, "cc-msvc:fault", "CC", "", ccByDefault},
		{"no Xcode", map[string]string{"GOOS": "darwin", "GOHOSTOS": "darwin", "CC": "clang"}, func(x *Exam, bin string) {
			x.OS = "darwin"
			ccTool(t, bin, "clang", "echo 'xcrun: error: invalid active developer path (/Library)' >&2; exit 1")
		}, "cc-no-xcode:fault", "xcode-select --install", "", ccByDefault},
		{"Xcode's licence", map[string]string{"GOOS": "darwin", "GOHOSTOS": "darwin", "CC": "clang"}, func(x *Exam, bin string) {
			x.OS = "darwin"
			ccTool(t, bin, "clang", "echo 'You have not agreed to the Xcode license agreements.' >&2; exit 69")
		}, "cc-xcode-license:fault", "xcodebuild", "", ccByDefault},
		{"no C++", nil, func(x *Exam, bin string) {
			ccTool(t, bin, "gcc", ccGCC("x86_64-linux-gnu"))
			ccProjectSays(t, x, bin, `a.example/c\t2\t\n`, "")
		}, "cxx-missing:fault", "g++", Yes, ccByDefault},
		{"no pkg-config", nil, func(x *Exam, bin string) {
			ccTool(t, bin, "gcc", ccGCC("x86_64-linux-gnu"))
			ccProjectSays(t, x, bin, `a.example/c\t0\tvips --static \n`, "")
		}, "pkg-config-missing:fault", "pkg-config", Yes, ccByDefault},
		{"no library", nil, func(x *Exam, bin string) {
			ccTool(t, bin, "gcc", ccGCC("x86_64-linux-gnu"))
			ccTool(t, bin, "pkg-config", "echo no >&2; exit 1")
			ccProjectSays(t, x, bin, `a.example/c\t0\tvips \n`, "")
		}, "pc-missing:fault", "libvips-dev", Yes, ccByDefault},
		{"the library is there", nil, func(x *Exam, bin string) {
			ccTool(t, bin, "gcc", ccGCC("x86_64-linux-gnu"))
			ccTool(t, bin, "pkg-config", "")
			ccProjectSays(t, x, bin, `a.example/c\t0\tvips \n`, "")
		}, "", "", Yes, ccByDefault},
	}
	texts := sdkTexts(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x, bin := ccExam(t, tt.values)
			tt.change(x, bin)
			o := ccCheck(t.Context(), x)
			rec.add(tt.name, tt.want, sdkFound(o))
			if got := sdkFound(o); got != tt.want || sdkFact(o, factCC) != tt.works || o.NotRun != map[bool]Reason{true: NotReadable}[tt.works == Unmeasured || strings.HasSuffix(tt.name, "is not known")] {
				t.Fatalf("found %q, works %q, want %q, %q: %+v", got, sdkFact(o, factCC), tt.want, tt.works, o)
			}
			sdkSaid(t, texts, o.Findings)
			i := slices.IndexFunc(o.Facts, func(f Fact) bool { return f.Name == factCGO })
			if why := ccWhy(o.Facts[i].Value); why != tt.enabled {
				t.Errorf("CGO_ENABLED is as it is by %q, want %q", why, tt.enabled)
			}
			if tt.fix == "" {
				return
			}
			if len(o.Findings[0].Fixes) == 0 {
				t.Fatal("no fix")
			}
			if fix := o.Findings[0].Fixes[0]; !strings.Contains(strings.Join(fix.Command, " ")+fix.Key, tt.fix) {
				t.Errorf("the fix is %+v, want %s", fix, tt.fix)
			}
		})
	}
}

// TestCheckCCOfThisMachine has the compiler of this machine prove itself, and break by flags that are no good.
func TestCheckCCOfThisMachine(t *testing.T) {
	if runtime.GOOS != "linux" {
		return
	}
	x := ccReal(t)
	o := ccCheck(t.Context(), x)
	if sdkFound(o) != "" || sdkFact(o, factCC) != Yes || sdkFact(o, factLibc) != Yes {
		t.Fatalf("%+v", o)
	}
	x.Env["CGO_LDFLAGS"], x.GoEnv.Values["CGO_LDFLAGS"] = "-lnosuch", "-lnosuch"
	o = ccCheck(t.Context(), x)
	if sdkFound(o) != "cc-no-linker:fault" || o.Findings[0].Fixes[0].Key != "CGO_LDFLAGS" || !strings.Contains(o.Findings[0].Args["Error"], "-lnosuch") {
		t.Errorf("a library that is not there: %+v", o)
	}
	delete(x.GoEnv.Values, "CGO_LDFLAGS")
	x.Env["CGO_CFLAGS"], x.GoEnv.Values["CGO_CFLAGS"] = "-fnosuch", "-fnosuch"
	o = ccCheck(t.Context(), x)
	if sdkFound(o) != "cc-broken:fault" || o.Findings[0].Fixes[0].Key != "CGO_CFLAGS" {
		t.Errorf("a flag that is not known: %+v", o)
	}
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "goferry-probe-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left %v (%v)", left, err)
	}
}

// ccReal is this machine, with a project that has C.
func ccReal(t *testing.T) *Exam {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	x := &Exam{OS: runtime.GOOS, Arch: runtime.GOARCH, Dir: t.TempDir(), Env: map[string]string{}, Runner: &gocmd.Runner{}}
	x.SDKs.Path = filepath.SplitList(os.Getenv("PATH"))
	values, err := x.Runner.GoEnv(t.Context(), "GOOS", "GOARCH", "GOHOSTOS", "GOHOSTARCH", "CGO_ENABLED", "CC", "CXX", "GOVERSION", "GOROOT", "GOTOOLCHAIN")
	if err != nil {
		t.Fatal(err)
	}
	x.GoEnv = GoEnv{Values: values, Written: map[string]string{}, Version: values["GOVERSION"]}
	sdkFile(t, filepath.Join(x.Dir, "go.mod"), "module m\n\ngo 1.21\n")
	sdkFile(t, filepath.Join(x.Dir, "m.go"), "package m\n\nimport _ \"m/c\"\n")
	sdkFile(t, filepath.Join(x.Dir, "c", "c.go"), "package c\n\n// #include <stdlib.h>\nimport \"C\"\n")
	return x
}

// TestProjectNeedsC has the real go command say what a project needs.
func TestProjectNeedsC(t *testing.T) {
	if runtime.GOOS == "windows" {
		return
	}
	x := ccReal(t)
	p := ccAskProject(t.Context(), x)
	if !p.known || !p.whole || !slices.Equal(p.packages, []string{"m/c"}) {
		t.Fatalf("%+v", p)
	}
	ccBare(t.Context(), x, &p)
	if !slices.Equal(p.without, []string{"m/c"}) {
		t.Errorf("without cgo: %+v", p)
	}
	sdkFile(t, filepath.Join(x.Dir, "c", "no.go"), "//go:build !cgo\n\npackage c\n")
	p.without = nil
	if ccBare(t.Context(), x, &p); len(p.without) > 0 {
		t.Errorf("with another way: %+v", p)
	}
	sdkFile(t, filepath.Join(x.Dir, "m.go"), "package m\n\nimport _ \"nosuch.example/x\"\n")
	x.GoEnv.Values["GOFLAGS"] = "-mod=mod"
	if p = ccAskProject(t.Context(), x); p.whole {
		t.Errorf("a module is missing: %+v", p)
	}
	if data, err := os.ReadFile(filepath.Join(x.Dir, "go.mod")); err != nil || string(data) != "module m\n\ngo 1.21\n" {
		t.Errorf("go.mod was changed: %s %v", data, err)
	}
}

func TestInstallLine(t *testing.T) {
	tests := []struct{ name, os, release, tool, want string }{
		{"Debian", "linux", "ID=debian\nVERSION_ID=\"12\"", "", "sh -c apt-get update && apt-get install -y gcc libc6-dev"},
		{"Ubuntu", "linux", "ID=ubuntu\nID_LIKE=debian", "", "sh -c apt-get update && apt-get install -y gcc libc6-dev"},
		{"like Debian", "linux", "ID=acme\nID_LIKE=\"ubuntu debian\"", "", "sh -c apt-get update && apt-get install -y gcc libc6-dev"},
		{"Alpine", "linux", "ID=alpine\nVERSION_ID=3.20.1", "", "apk add gcc musl-dev"},
		{"Fedora", "linux", "ID=fedora\nVERSION_ID=42", "", "dnf install -y gcc glibc-devel"},
		{"Rocky", "linux", "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"", "", "dnf install -y gcc glibc-devel"},
		{"CentOS 7", "linux", "ID=\"centos\"\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"7\"", "", "yum install -y gcc glibc-devel"},
		{"Amazon Linux 2", "linux", "ID=\"amzn\"\nID_LIKE=\"centos rhel fedora\"\nVERSION_ID=\"2\"", "", "yum install -y gcc glibc-devel"},
		{"openEuler", "linux", "ID=\"openEuler\"\nVERSION_ID=\"24.03\"", "", "dnf install -y gcc glibc-devel"},
		{"Kylin with yum", "linux", "ID=\"kylin\"\nVERSION_ID=\"V10\"", "yum", "yum install -y gcc glibc-devel"},
		{"CentOS 6, without os-release", "linux", "", "yum", "yum install -y gcc glibc-devel"},
		{"Arch", "linux", "ID=arch", "", "pacman -S --needed --noconfirm gcc"},
		{"openSUSE", "linux", "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"", "", "zypper --non-interactive install gcc glibc-devel"},
		{"NixOS", "linux", "ID=nixos", "", ""},
		{"nobody knows", "linux", "ID=acme", "", ""},
		{"macOS", "darwin", "", "", "xcode-select --install"},
		{"Windows", "windows", "", "", "winget install --exact --id BrechtSanders.WinLibs.POSIX.UCRT"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := &Exam{OS: tt.os, OSRelease: tt.release, Env: map[string]string{}, GoEnv: GoEnv{Values: map[string]string{"GOARCH": "amd64"}}}
			if tt.tool != "" {
				dir := t.TempDir()
				ccTool(t, dir, tt.tool, "")
				if runtime.GOOS == "windows" {
					ccTool(t, dir, tt.tool+".exe", "")
				}
				x.SDKs.Path = []string{dir}
			}
			fixes := ccInstall(x)
			if len(fixes) == 0 || fixes[0].Code == "" {
				t.Fatal("no fix")
			}
			sdkSaid(t, sdkTexts(t), []Finding{{Code: codeCCBroken, Subject: "gcc", Args: map[string]string{"Error": "x"}, Fixes: fixes}})
			if got := strings.Join(fixes[0].Command, " "); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
			if strings.HasPrefix(tt.name, "CentOS 7") && (len(fixes) != 2 || fixes[1].Code != fixVault) {
				t.Errorf("CentOS 7 has no word on its vault: %+v", fixes)
			}
		})
	}
	msys := &Exam{OS: "windows", Env: map[string]string{"MSYSTEM": "UCRT64"}, GoEnv: GoEnv{Values: map[string]string{"GOARCH": "amd64"}}}
	if got := ccInstall(msys)[0]; got.Code != fixMSYS2 || !slices.Contains(got.Command, "mingw-w64-ucrt-x86_64-gcc") {
		t.Errorf("MSYS2: %+v", got)
	}
}

func TestFits(t *testing.T) {
	tests := []struct {
		machine, goos, goarch string
		want                  bool
	}{
		{"x86_64-linux-gnu", "linux", "amd64", true},
		{"x86_64-linux-gnu", "linux", "386", true}, // by -m32
		{"x86_64-pc-linux-gnu", "windows", "amd64", false},
		{"x86_64-linux-gnu", "linux", "arm64", false},
		{"aarch64-linux-gnu", "linux", "arm64", true},
		{"aarch64-linux-gnu", "linux", "arm", false},
		{"arm-linux-gnueabihf", "linux", "arm", true},
		{"arm-linux-gnueabihf", "linux", "arm64", false},
		{"x86_64-w64-mingw32", "windows", "amd64", true},
		{"i686-w64-mingw32", "windows", "amd64", false},
		{"i686-w64-mingw32", "windows", "386", true},
		{"mingw32", "windows", "386", true},
		{"x86_64-pc-cygwin", "windows", "amd64", false},
		{"x86_64-w64-windows-gnu", "windows", "amd64", true},
		{"arm64-apple-darwin23.1.0", "darwin", "amd64", true},
		{"x86_64-apple-darwin23", "darwin", "arm64", true},
		{"x86_64-apple-darwin23", "linux", "amd64", false},
		{"powerpc64le-linux-gnu", "linux", "ppc64le", true},
		{"s390x-linux-gnu", "linux", "s390x", true},
		{"x86_64-unknown-freebsd14.0", "freebsd", "amd64", true},
	}
	for _, tt := range tests {
		if got := ccFits(tt.machine, tt.goos, tt.goarch); got != tt.want {
			t.Errorf("%s for %s/%s: %t", tt.machine, tt.goos, tt.goarch, got)
		}
	}
}

func TestLibcName(t *testing.T) {
	for said, want := range map[string]string{
		"ldd (Debian GLIBC 2.36-9+deb12u9) 2.36\nCopyright (C) 2022\n": "glibc 2.36",
		"ldd (GNU libc) 2.17\n": "glibc 2.17",
		"musl libc (x86_64)\nVersion 1.2.4\nDynamic Program Loader\n": "musl 1.2.4",
		"": "", "what": "",
	} {
		if got := ccLibcName(said); got != want {
			t.Errorf("%q is %q, want %q", said, got, want)
		}
	}
}

func FuzzCommand(f *testing.F) {
	for _, s := range []string{"gcc", "ccache  gcc -m32", `"C:\Program Files\gcc.exe" -O2`, `'a b' c`, `"open`, "", " \t"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		words := ccCommand(s)
		again := ccCommand(strings.Join(words, " "))
		if strings.ContainsAny(s, `"'`) {
			return
		}
		if diff := cmp.Diff(words, again); diff != "" || !slices.Equal(words, strings.Fields(s)) && !strings.ContainsAny(s, "\v\f\u0085\u00a0") && isASCII(s) {
			t.Errorf("%q: %q and %q", s, words, again)
		}
	})
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 127 })
}

func FuzzRelease(f *testing.F) {
	f.Add("ID=debian\nVERSION_ID=\"12\"\n# x=y\n")
	f.Add("ID_LIKE='rhel fedora'\r\n=\n\n==")
	f.Fuzz(func(t *testing.T, text string) {
		for key, value := range ccRelease(text) {
			if strings.ContainsAny(key, "=\n") || strings.ContainsRune(value, '\n') || !strings.Contains(text, key) || !strings.Contains(text, value) {
				t.Errorf("%q=%q of %q", key, value, text)
			}
		}
		x := &Exam{OS: "linux", OSRelease: text}
		if len(ccInstall(x)) == 0 {
			t.Errorf("no way out on %q", text)
		}
	})
}
