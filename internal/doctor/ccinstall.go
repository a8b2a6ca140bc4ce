package doctor

import (
	"cmp"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/goferry/goferry/internal/cgo"
)

// The fixes that install something for cgo.
const (
	fixInstallCC        = "install-cc"
	fixInstallCXX       = "install-cxx"
	fixInstallPkgConfig = "install-pkg-config"
	fixInstallCC32      = "install-cc-32"
	fixInstallCross     = "install-cross-cc"
	fixInstallLibrary   = "install-library"
	fixVault            = "centos-vault" // releases of CentOS without support have moved
	fixXcode            = "xcode-select"
	fixXcodeLicense     = "xcode-license"
	fixWinget           = "winget-gcc"
	fixMSYS2            = "msys2-gcc"
	fixNix              = "nix-shell-gcc"
	fixAskVendor        = "install-cc-by-hand" // for a system that is not known
)

// ccInstallFixes lists the fixes of this file.
func ccInstallFixes() []string {
	return []string{
		fixInstallCC, fixInstallCXX, fixInstallPkgConfig, fixInstallCC32, fixInstallCross, fixInstallLibrary, fixVault, fixXcode, fixXcodeLicense,
		fixWinget, fixMSYS2, fixNix, fixAskVendor,
	}
}

// A ccSystem says how a family of systems installs a C compiler. Names of packages stand with spaces between.
type ccSystem struct {
	ids     string // of os-release, with spaces around each
	tool    string // the program that installs
	argv    string // its line, before the names
	c       string // compiler, linker and the headers of libc
	cxx     string
	pkg     string // pkg-config
	c32     string // for GOARCH=386 beside a compiler of 64 bit; empty where there is none
	library int    // the column of ccLibraries
}

// The columns of ccLibraries.
const (
	ccLibApt = iota
	ccLibRPM
	ccLibApk
	ccLibPacman
	ccLibZypper
	ccLibNone
)

// ccSystems are the systems, as they were when their packages were last looked up (2026).
var ccSystems = []ccSystem{
	{
		ids: " debian ubuntu linuxmint raspbian kali deepin uos pop elementary ", tool: "apt-get", argv: "apt-get install -y", c: "gcc libc6-dev", cxx: "g++", pkg: "pkg-config", c32: "gcc-multilib",
	},
	{ids: " alpine postmarketos ", tool: "apk", argv: "apk add", c: "gcc musl-dev", cxx: "g++", pkg: "pkgconf", library: ccLibApk},
	{ids: " wolfi chainguard ", tool: "apk", argv: "apk add", c: "gcc glibc-dev", cxx: "gcc", pkg: "pkgconf", library: ccLibNone},
	{
		ids: " fedora rhel centos rocky almalinux ol amzn openeuler anolis alinux tencentos opencloudos kylin mageia ", tool: "dnf", argv: "dnf install -y", c: "gcc glibc-devel", cxx: "gcc-c++", pkg: "pkgconf-pkg-config", c32: "glibc-devel.i686 libgcc.i686",
		library: ccLibRPM,
	},
	{
		ids: " arch manjaro endeavouros artix cachyos ", tool: "pacman", argv: "pacman -S --needed --noconfirm", c: "gcc", cxx: "gcc", pkg: "pkgconf", c32: "lib32-gcc-libs lib32-glibc",
		library: ccLibPacman,
	},
	{
		ids: " suse opensuse opensuse-leap opensuse-tumbleweed sles sled ", tool: "zypper", argv: "zypper --non-interactive install", c: "gcc glibc-devel", cxx: "gcc-c++", pkg: "pkgconf-pkg-config", c32: "gcc-32bit glibc-devel-32bit",
		library: ccLibZypper,
	},
	{ids: " void ", tool: "xbps-install", argv: "xbps-install -Sy", c: "gcc", cxx: "gcc", pkg: "pkg-config", library: ccLibNone},
	{ids: " gentoo ", tool: "emerge", argv: "emerge --noreplace", c: "sys-devel/gcc", cxx: "sys-devel/gcc", pkg: "dev-util/pkgconf", library: ccLibNone},
}

// A ccLibrary is a .pc file, and the packages that it is in, by the columns above.
type ccLibrary struct {
	pc       string
	packages [5]string
}

// ccLibraries are the packages with the .pc files that Go modules most often ask for, in the order of the columns;
// what is called otherwise than the .pc file, as most are.
var ccLibraries = []ccLibrary{
	{"sqlite3", [5]string{"libsqlite3-dev", "sqlite-devel", "sqlite-dev", "sqlite", "sqlite3-devel"}},
	{"zlib", [5]string{"zlib1g-dev", "zlib-devel", "zlib-dev", "zlib", "zlib-devel"}},
	{"libzstd", [5]string{"libzstd-dev", "libzstd-devel", "zstd-dev", "zstd", "libzstd-devel"}},
	{"openssl", [5]string{"libssl-dev", "openssl-devel", "openssl-dev", "openssl", "libopenssl-devel"}},
	{"libcrypto", [5]string{"libssl-dev", "openssl-devel", "openssl-dev", "openssl", "libopenssl-devel"}},
	{"libpcap", [5]string{"libpcap-dev", "libpcap-devel", "libpcap-dev", "libpcap", "libpcap-devel"}},
	{"libgit2", [5]string{"libgit2-dev", "libgit2-devel", "libgit2-dev", "libgit2", "libgit2-devel"}},
	{"vips", [5]string{"libvips-dev", "vips-devel", "vips-dev", "libvips", "libvips-devel"}},
	{"opencv4", [5]string{"libopencv-dev", "opencv-devel", "opencv-dev", "opencv", "opencv-devel"}},
	{"gtk+-3.0", [5]string{"libgtk-3-dev", "gtk3-devel", "gtk+3.0-dev", "gtk3", "gtk3-devel"}},
	{"gtk4", [5]string{"libgtk-4-dev", "gtk4-devel", "gtk4.0-dev", "gtk4", "gtk4-devel"}},
	{"gl", [5]string{"libgl1-mesa-dev", "mesa-libGL-devel", "mesa-dev", "libglvnd", "Mesa-libGL-devel"}},
	{"x11", [5]string{"libx11-dev", "libX11-devel", "libx11-dev", "libx11", "libX11-devel"}},
	{"alsa", [5]string{"libasound2-dev", "alsa-lib-devel", "alsa-lib-dev", "alsa-lib", "alsa-devel"}},
	{"libsystemd", [5]string{"libsystemd-dev", "systemd-devel", "elogind-dev", "systemd-libs", "systemd-devel"}},
	{"devmapper", [5]string{"libdevmapper-dev", "device-mapper-devel", "lvm2-dev", "device-mapper", "device-mapper-devel"}},
	{"libseccomp", [5]string{"libseccomp-dev", "libseccomp-devel", "libseccomp-dev", "libseccomp", "libseccomp-devel"}},
	{"gpgme", [5]string{"libgpgme-dev", "gpgme-devel", "gpgme-dev", "gpgme", "libgpgme-devel"}},
	{"libusb-1.0", [5]string{"libusb-1.0-0-dev", "libusb1-devel", "libusb-dev", "libusb", "libusb-1_0-devel"}},
	{"libvirt", [5]string{"libvirt-dev", "libvirt-devel", "libvirt-dev", "libvirt", "libvirt-devel"}},
	{"libbpf", [5]string{"libbpf-dev", "libbpf-devel", "libbpf-dev", "libbpf", "libbpf-devel"}},
	{"rdkafka", [5]string{"librdkafka-dev", "librdkafka-devel", "librdkafka-dev", "librdkafka", "librdkafka-devel"}},
	{"libavcodec", [5]string{"libavcodec-dev", "libavcodec-free-devel", "ffmpeg-dev", "ffmpeg", "ffmpeg-devel"}},
	{"MagickWand", [5]string{"libmagickwand-dev", "ImageMagick-devel", "imagemagick-dev", "imagemagick", "ImageMagick-devel"}},
	{"webkit2gtk-4.1", [5]string{"libwebkit2gtk-4.1-dev", "webkit2gtk4.1-devel", "webkit2gtk-4.1-dev", "webkit2gtk-4.1", "webkit2gtk3-devel"}},
}

// ccRelease reads the lines of an os-release. Source: os-release(5).
func ccRelease(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		m[key] = strings.Trim(value, `"'`)
	}
	return m
}

// ccSystemOf finds how this system installs: by what it calls itself, then by what it is like, then by the program
// that is there.
func ccSystemOf(x *Exam) (ccSystem, map[string]string, bool) {
	release := ccRelease(x.OSRelease)
	for _, id := range strings.Fields(strings.ToLower(release["ID"] + " " + release["ID_LIKE"])) {
		for _, s := range ccSystems {
			if strings.Contains(s.ids, " "+id+" ") {
				return ccOld(x, s, release), release, true
			}
		}
	}
	for _, s := range ccSystems {
		if x.SDKs.Program(s.tool) != "" || s.tool == "dnf" && x.SDKs.Program("yum") != "" {
			return ccOld(x, s, release), release, true
		}
	}
	return ccSystem{}, release, false
}

// ccOld puts yum where there is no dnf yet: before RHEL 8, in Amazon Linux 2, and where only yum is there.
func ccOld(x *Exam, s ccSystem, release map[string]string) ccSystem {
	if s.tool != "dnf" {
		return s
	}
	major, _ := strconv.Atoi(strings.SplitN(release["VERSION_ID"], ".", 2)[0])
	family := " " + release["ID"] + " "
	if strings.Contains(" centos rhel ol scientific ", family) && major > 0 && major < 8 || family == " amzn " && major == 2 ||
		x.SDKs.Program("dnf") == "" && x.SDKs.Program("yum") != "" {
		s.tool, s.argv = "yum", "yum install -y"
		s.pkg = "pkgconfig"
	}
	return s
}

// ccPackages is the fix that installs packages.
func (s ccSystem) ccPackages(code, names string) Fix {
	f := Fix{Code: code, Kind: RunCommand, Root: true, Args: map[string]string{"Packages": names}}
	if s.tool == "apt-get" { // images have no lists of packages until they are fetched
		f.Command = []string{"sh", "-c", "apt-get update && " + s.argv + " " + names}
		return f
	}
	f.Command = append(strings.Fields(s.argv), strings.Fields(names)...)
	return f
}

// ccInstall says how a C compiler comes to this machine.
func ccInstall(x *Exam) []Fix {
	switch x.OS {
	case "darwin":
		return []Fix{{Code: fixXcode, Kind: RunCommand, Command: []string{"xcode-select", "--install"}}}
	case "windows":
		return ccInstallWindows(x)
	}
	s, release, ok := ccSystemOf(x)
	switch {
	case release["ID"] == "nixos":
		return []Fix{{Code: fixNix, Kind: ByHand}}
	case !ok:
		return []Fix{{Code: fixAskVendor, Kind: ByHand}}
	}
	fixes := []Fix{s.ccPackages(fixInstallCC, s.c)}
	if v := release["VERSION_ID"]; release["ID"] == "centos" && (v == "6" || v == "7" || v == "8") {
		const moved = `s/^mirrorlist=/#mirrorlist=/; s|^#* *baseurl=http://mirror.centos.org|baseurl=http://vault.centos.org|`
		fixes = append(fixes, Fix{Code: fixVault, Kind: RunCommand, Root: true, Command: []string{"sh", "-c", "sed -i '" + moved + "' /etc/yum.repos.d/CentOS-*.repo"}, Args: map[string]string{"Version": v}})
	}
	return fixes
}

// ccInstallWindows prefers what is there already: MSYS2, then winget, which Windows has since 10.
func ccInstallWindows(x *Exam) []Fix {
	env, pack, id := "ucrt64", "mingw-w64-ucrt-x86_64-gcc", "BrechtSanders.WinLibs.POSIX.UCRT"
	switch x.GoEnv.Values["GOARCH"] {
	case "arm64":
		env, pack, id = "clangarm64", "mingw-w64-clang-aarch64-clang", "MartinStorsjo.LLVM-MinGW.UCRT"
	case "386":
		env, pack, id = "mingw32", "mingw-w64-i686-gcc", "MartinStorsjo.LLVM-MinGW.UCRT"
	}
	msys := Fix{Code: fixMSYS2, Kind: RunCommand, Command: []string{`C:\msys64\usr\bin\pacman.exe`, "-S", "--needed", "--noconfirm", pack}, Args: map[string]string{"Dir": `C:\msys64\` + env + `\bin`}}
	winget := Fix{Code: fixWinget, Kind: RunCommand, Command: []string{"winget", "install", "--exact", "--id", id}}
	if x.Env["MSYSTEM"] != "" || slices.ContainsFunc(x.SDKs.Path, func(dir string) bool { return strings.Contains(strings.ToLower(dir), "msys64") }) {
		return []Fix{msys, winget}
	}
	return []Fix{winget, msys}
}

// ccInstallMore says how something beside the C compiler comes to this machine; nil where that is not known.
func ccInstallMore(x *Exam, code string, pick func(ccSystem) string) []Fix {
	if x.OS == "darwin" && code == fixInstallPkgConfig {
		return []Fix{{Code: code, Kind: RunCommand, Command: []string{"brew", "install", "pkgconf"}, Args: map[string]string{"Packages": "pkgconf"}}}
	}
	if x.OS == "darwin" || x.OS == "windows" {
		return ccInstall(x) // they bring it
	}
	s, _, ok := ccSystemOf(x)
	if !ok {
		return []Fix{{Code: fixAskVendor, Kind: ByHand}}
	}
	if names := pick(s); names != "" {
		return []Fix{s.ccPackages(code, names)}
	}
	return nil
}

// ccInstallNamed says how git or ssh comes to this machine.
func ccInstallNamed(x *Exam, code, name string) []Fix {
	switch {
	case x.OS == "darwin": // which has ssh; git is one of the Command Line Tools
		return []Fix{{Code: code, Kind: RunCommand, Command: []string{"xcode-select", "--install"}}}
	case x.OS == "windows": // Git for Windows brings ssh
		return []Fix{{Code: code, Kind: RunCommand, Command: []string{"winget", "install", "--exact", "--id", "Git.Git"}}}
	}
	s, _, ok := ccSystemOf(x)
	if !ok {
		return []Fix{{Code: code, Kind: ByHand}}
	}
	names := name
	switch {
	case name == "git" && s.tool == "emerge":
		names = "dev-vcs/git"
	case name == "ssh":
		names = map[string]string{"apt-get": "openssh-client", "apk": "openssh-client", "dnf": "openssh-clients", "yum": "openssh-clients",
			"zypper": "openssh-clients", "emerge": "net-misc/openssh"}[s.tool]
		names = cmp.Or(names, "openssh")
	}
	return []Fix{s.ccPackages(code, names)}
}

// ccInstallLibrary says how the library with the file NAME.pc comes to this machine; nil where that is not known.
func ccInstallLibrary(x *Exam, name string) []Fix {
	return ccInstallMore(x, fixInstallLibrary, func(s ccSystem) string {
		i := slices.IndexFunc(ccLibraries, func(l ccLibrary) bool { return l.pc == name })
		if i >= 0 && s.library < ccLibNone {
			return ccLibraries[i].packages[s.library]
		}
		if s.tool == "dnf" || s.tool == "yum" || s.tool == "zypper" { // they know the files of packages
			return "pkgconfig(" + name + ")"
		}
		return ""
	})
}

// ccCrossName is what a compiler for a system is mostly called; empty where there is no such name.
func ccCrossName(goos, goarch string) string {
	switch goos + "/" + goarch {
	case "windows/amd64":
		return "x86_64-w64-mingw32-gcc"
	case "windows/386":
		return "i686-w64-mingw32-gcc"
	case "windows/arm64":
		return "aarch64-w64-mingw32-gcc"
	}
	triple := map[string]string{
		"amd64": "x86_64-linux-gnu", "386": "i686-linux-gnu", "arm64": "aarch64-linux-gnu", "arm": "arm-linux-gnueabihf", "riscv64": "riscv64-linux-gnu",
		"ppc64le": "powerpc64le-linux-gnu", "s390x": "s390x-linux-gnu", "loong64": "loongarch64-linux-gnu", "mips": "mips-linux-gnu", "mipsle": "mipsel-linux-gnu", "mips64le": "mips64el-linux-gnuabi64",
	}[goarch]
	if goos != "linux" || triple == "" {
		return ""
	}
	return triple + "-gcc"
}

// ccUseCross says how a program for another system gets a compiler: use the one that is there, install one, or do
// without cgo.
func ccUseCross(x *Exam, goos, goarch string) []Fix {
	name := ccCrossName(goos, goarch)
	var fixes []Fix
	v := x.GoEnv.Values
	if goos == v["GOHOSTOS"] && goarch == v["GOHOSTARCH"] { // what is called gcc here is not for here
		if fixes = ccInstall(x); x.SDKs.Program(name) == "" {
			return append(fixes, Fix{Code: fixWithoutCGO, Kind: SetEnv, Key: "CGO_ENABLED", Value: "0"})
		}
	} else if name != "" && x.SDKs.Program(name) == "" && x.OS == "linux" {
		fixes = ccInstallMore(x, fixInstallCross, func(ccSystem) string {
			has := func(program string) bool { return x.SDKs.Program(program) != "" }
			return strings.Join(cgo.SystemPackages(cgo.Target{OS: goos, Arch: goarch}, x.OSRelease, has), " ")
		})
	}
	if name != "" {
		fixes = append(fixes, Fix{Code: fixUseCC, Kind: SetEnv, Key: "CC", Value: name, Args: map[string]string{"CC": name, "Target": goos + "/" + goarch}})
	}
	return append(fixes, Fix{Code: fixWithoutCGO, Kind: SetEnv, Key: "CGO_ENABLED", Value: "0"})
}

// ccBuildCross says how to build for another system with C, where cgo is off by itself.
func ccBuildCross(x *Exam, goos, goarch string) []Fix {
	var fixes []Fix
	for _, f := range ccUseCross(x, goos, goarch) {
		switch f.Code {
		case fixWithoutCGO:
		case fixUseCC:
			f = Fix{Code: fixBuildCross, Kind: ByHand, Args: map[string]string{"Line": "CGO_ENABLED=1 CC=" + f.Value + " GOOS=" + goos + " GOARCH=" + goarch + " go build"}}
			fallthrough
		default:
			fixes = append(fixes, f)
		}
	}
	return fixes
}

// ccBase is the name of a program without its folder and suffix.
func ccBase(program string) string {
	base := filepath.Base(strings.ReplaceAll(program, `\`, "/"))
	return cmp.Or(strings.TrimSuffix(strings.ToLower(base), ".exe"), base)
}
