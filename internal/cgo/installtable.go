package cgo

import "strings"

// An installSystem says how a family of systems installs compilers. Names of packages stand with spaces between.
type installSystem struct {
	system string
	ids    string   // of os-release, with spaces around each
	argv   []string // its line, before the names
	native string   // C and C++, linker, headers
	libc   string   // of what native builds: gnu or musl
	zig    string   // empty: it has none
	musl   string   // for the architecture of this machine
	cross  map[string]string
}

// installSystems are the systems, as they were when their packages were last looked up (2026). A cross compiler counts
// only where the libc of its target can be installed too.
func installSystems() []*installSystem {
	debian := map[string]string{
		"windows/amd64":      "gcc-mingw-w64-x86-64 g++-mingw-w64-x86-64",
		"windows/386":        "gcc-mingw-w64-i686 g++-mingw-w64-i686",
		"windows/amd64/ucrt": "gcc-mingw-w64-ucrt64 g++-mingw-w64-ucrt64", // since Debian 13, Ubuntu 23.10
	}
	for arch, names := range debianArches() {
		debian["linux/"+arch] = "gcc-" + names[0] + " g++-" + names[0] + " libc6-dev-" + names[1] + "-cross"
	}
	return []*installSystem{
		{
			system: "apt", ids: " debian ubuntu linuxmint raspbian kali deepin uos pop elementary zorin ", argv: []string{"apt-get", "install", "-y"},
			native: "gcc g++ libc6-dev", libc: "gnu", musl: "musl-tools", cross: debian,
		},
		{
			system: "apk", ids: " alpine postmarketos ", argv: []string{"apk", "add"}, native: "gcc g++ musl-dev", libc: "musl", zig: "zig",
			cross: map[string]string{"windows/amd64": "mingw-w64-gcc", "windows/386": "i686-mingw-w64-gcc"},
		},
		{system: "apk", ids: " wolfi chainguard ", argv: []string{"apk", "add"}, native: "gcc glibc-dev", libc: "gnu", zig: "zig"},
		{
			system: "dnf", ids: " fedora rhel centos rocky almalinux ol amzn openeuler anolis alinux tencentos opencloudos kylin mageia ", argv: []string{"dnf", "install", "-y"},
			native: "gcc gcc-c++ glibc-devel", libc: "gnu", zig: "zig", musl: "musl-gcc musl-libc-static",
			cross: map[string]string{"windows/amd64": "mingw64-gcc mingw64-gcc-c++", "windows/386": "mingw32-gcc mingw32-gcc-c++", "windows/amd64/ucrt": "ucrt64-gcc ucrt64-gcc-c++"},
		},
		{
			system: "pacman", ids: " arch manjaro endeavouros artix cachyos ", argv: []string{"pacman", "-S", "--needed", "--noconfirm"},
			native: "gcc", libc: "gnu", zig: "zig", musl: "musl",
			cross: map[string]string{"windows/amd64": "mingw-w64-gcc", "windows/386": "mingw-w64-gcc", "linux/arm64": "aarch64-linux-gnu-gcc", "linux/riscv64": "riscv64-linux-gnu-gcc"},
		},
		{
			system: "zypper", ids: " suse opensuse opensuse-leap opensuse-tumbleweed sles sled ", argv: []string{"zypper", "--non-interactive", "install"},
			native: "gcc gcc-c++ glibc-devel", libc: "gnu", zig: "zig",
			cross: map[string]string{"windows/amd64": "mingw64-cross-gcc mingw64-cross-gcc-c++", "windows/386": "mingw32-cross-gcc mingw32-cross-gcc-c++"},
		},
		{
			system: "xbps", ids: " void ", argv: []string{"xbps-install", "-Sy"}, native: "gcc", libc: "gnu", zig: "zig",
			cross: map[string]string{
				"windows/amd64": "cross-x86_64-w64-mingw32", "windows/386": "cross-i686-w64-mingw32", "linux/arm64": "cross-aarch64-linux-gnu", "linux/arm": "cross-arm-linux-gnueabihf",
				"linux/arm64/musl": "cross-aarch64-linux-musl", "linux/amd64/musl": "cross-x86_64-linux-musl", "linux/riscv64": "cross-riscv64-linux-gnu",
			},
		},
		{system: "emerge", ids: " gentoo ", argv: []string{"emerge", "--noreplace"}, native: "sys-devel/gcc", libc: "gnu", zig: "dev-lang/zig"},
	}
}

// debianArches are the ends of the names of Debian's cross compilers (gcc-…, g++-…) and of their libc (libc6-dev-…-cross).
func debianArches() map[string][2]string {
	return map[string][2]string{
		"amd64": {"x86-64-linux-gnu", "amd64"}, "386": {"i686-linux-gnu", "i386"}, "arm64": {"aarch64-linux-gnu", "arm64"}, "arm": {"arm-linux-gnueabihf", "armhf"}, "arm/v5": {"arm-linux-gnueabi", "armel"},
		"riscv64": {"riscv64-linux-gnu", "riscv64"}, "ppc64le": {"powerpc64le-linux-gnu", "ppc64el"}, "s390x": {"s390x-linux-gnu", "s390x"}, "loong64": {"loongarch64-linux-gnu", "loong64"},
		"mips": {"mips-linux-gnu", "mips"}, "mipsle": {"mipsel-linux-gnu", "mipsel"}, "mips64le": {"mips64el-linux-gnuabi64", "mips64el"},
	}
}

// packages are those with a compiler for t; here says that t is what this machine runs itself, whose architecture is arch.
func (s *installSystem) packages(t Target, here bool, arch string) string {
	libc := t.Libc
	if t.OS == "linux" && libc == "" {
		libc = "gnu"
		if here {
			libc = s.libc
		}
	}
	key := t.OS + "/" + t.Arch
	switch {
	case here && t.OS == "linux" && libc == s.libc:
		return s.native
	case t.OS == "linux" && libc == "musl":
		if names := s.cross[key+"/musl"]; names != "" || t.Arch != arch {
			return names
		}
		return s.musl
	case t.OS == "linux" && s.libc == "musl":
		return ""
	case t.OS == "linux" && t.Arch == "arm" && t.Variant == "v5" && s.system == "apt":
		return s.cross[key+"/v5"]
	case strings.HasSuffix(libc, "ucrt"):
		return s.cross[key+"/ucrt"]
	}
	return s.cross[key]
}
