package cgo

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestInstallLines is for machines with amd64, and is held to the architecture of the one that tests it where that counts.
func TestInstallLines(t *testing.T) {
	const debian, alpine, fedora, centos7, rocky, arch, suse, mint, unknown = "ID=debian\nVERSION_ID=\"12\"\n", "ID=alpine\n", "ID=fedora\n", "ID=\"centos\"\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"7\"\n",
		"ID=rocky\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"\n", "ID=arch\n", "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n", "ID=newmint\nID_LIKE=\"ubuntu debian\"\n", "ID=own\n"
	native := "linux/" + runtime.GOARCH
	other := map[bool]string{true: "riscv64", false: "arm64"}[runtime.GOARCH == "arm64"]
	triple := map[string]string{"riscv64": "riscv64-linux-gnu", "arm64": "aarch64-linux-gnu"}[other]
	for _, c := range []struct{ target, goos, release, tools, want string }{
		{"windows/amd64", "linux", debian, "apt-get", "apt-get install -y gcc-mingw-w64-x86-64 g++-mingw-w64-x86-64"},
		{"windows/386", "linux", mint, "apt-get", "apt-get install -y gcc-mingw-w64-i686 g++-mingw-w64-i686"},
		{"windows/amd64/ucrt", "linux", debian, "", "apt-get install -y gcc-mingw-w64-ucrt64 g++-mingw-w64-ucrt64"},
		{"windows/arm64", "linux", debian, "npm", "npm install --global " + ZigPackage},
		{"windows/arm64", "linux", debian, "pip3", "python3 -m pip install --user ziglang"},
		{"linux/" + other, "linux", debian, "", "apt-get install -y gcc-" + triple + " g++-" + triple + " libc6-dev-" + other + "-cross"},
		{"linux/arm/v5", "linux", debian, "", "apt-get install -y gcc-arm-linux-gnueabi g++-arm-linux-gnueabi libc6-dev-armel-cross"},
		{"linux/" + other, "linux", alpine, "", "apk add zig"},
		{"linux/" + other + "/musl", "linux", debian, "npm", "npm install --global " + ZigPackage},
		{native, "linux", debian, "", "apt-get install -y gcc g++ libc6-dev"},
		{native + "/musl", "linux", debian, "", "apt-get install -y musl-tools"},
		{native, "linux", alpine, "", "apk add gcc g++ musl-dev"},
		{native + "/musl", "linux", alpine, "", "apk add gcc g++ musl-dev"},
		{native + "/gnu.2.17", "linux", debian, "npm", "npm install --global " + ZigPackage},
		{native + "/gnu.2.17", "linux", fedora, "", "dnf install -y zig"},
		{native, "linux", centos7, "", "yum install -y gcc gcc-c++ glibc-devel"},
		{native, "linux", fedora, "yum", "yum install -y gcc gcc-c++ glibc-devel"},
		{native + "/gnu.2.17", "linux", rocky, "npm", "npm install --global " + ZigPackage},
		{"windows/amd64", "linux", rocky, "", "dnf install -y mingw64-gcc mingw64-gcc-c++"},
		{"linux/riscv64", "linux", suse, "", map[bool]string{true: "zypper --non-interactive install gcc gcc-c++ glibc-devel", false: "zypper --non-interactive install zig"}[runtime.GOARCH == "riscv64"]},
		{"windows/amd64", "linux", arch, "", "pacman -S --needed --noconfirm mingw-w64-gcc"},
		{"windows/amd64", "linux", unknown, "zypper", "zypper --non-interactive install mingw64-cross-gcc mingw64-cross-gcc-c++"},
		{"windows/amd64", "linux", unknown, "", "npm install --global " + ZigPackage},
		{"darwin/arm64", "linux", debian, "", ""},
		{"darwin/" + runtime.GOARCH, "darwin", "", "", "xcode-select --install"},
		{"windows/amd64", "darwin", "", "brew", "brew install mingw-w64"},
		{"linux/arm64", "darwin", "", "brew", "brew install messense/macos-cross-toolchains/aarch64-unknown-linux-gnu"},
		{"linux/arm64/musl", "darwin", "", "brew", "brew install filosottile/musl-cross/musl-cross"},
		{"linux/riscv64", "darwin", "", "brew", "brew install zig"},
		{"windows/amd64", "windows", "", "winget", "winget install --exact --id BrechtSanders.WinLibs.POSIX.UCRT"},
		{"windows/386", "windows", "", "pacman", `C:\msys64\usr\bin\pacman.exe -S --needed --noconfirm mingw-w64-i686-gcc`},
		{"linux/amd64", "windows", "", "winget", "winget install --exact --id zig.zig"},
	} {
		t.Run(fmt.Sprintf("%s on %s %.12q", c.target, c.goos, c.release), func(t *testing.T) {
			target, err := ParseTarget(c.target)
			if err != nil {
				t.Fatal(err)
			}
			lines := InstallLines(target, c.goos, c.release, func(name string) bool { return slices.Contains(strings.Fields(c.tools), name) })
			if len(lines) == 0 {
				t.Fatal("no line")
			}
			if diff := cmp.Diff(c.want, lines[0].Shell()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if root := c.goos == "linux" && c.want != "" && !strings.HasPrefix(c.want, "python3"); lines[0].Root != root {
				t.Errorf("root: %v, want %v", lines[0].Root, root)
			}
		})
	}
}

// TestInstallLinesAll wants a line, or a word, for every target with cgo, wherever it is asked for.
func TestInstallLinesAll(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "windows"} {
		for _, target := range []string{"linux/amd64", "linux/arm64", "linux/arm/v6", "linux/arm/v7", "linux/386", "linux/riscv64", "linux/ppc64le", "linux/s390x", "linux/amd64/musl", "windows/amd64", "windows/386", "windows/arm64", "darwin/arm64"} {
			tt, err := ParseTarget(target)
			if err != nil {
				t.Fatal(err)
			}
			if lines := InstallLines(tt, goos, "ID=debian\n", nil); len(lines) == 0 {
				t.Errorf("%s on %s: nothing", target, goos)
			}
		}
	}
}

func TestLineShell(t *testing.T) {
	l := Line{Argv: []string{"a", "b c", "it's", `C:\x y`}}
	if got, want := l.Shell(), `a 'b c' 'it'\''s' "C:\x y"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
