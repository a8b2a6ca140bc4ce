package binary

import "strings"

// Platforms is the table of what programs run on, the releases of a family together and the oldest first.
//
// glibc, the kernel and the GCC whose libstdc++ and libgcc a system has are those of its first release, or of the
// oldest minor one that still gets updates, so that a verdict holds for all of them.
func Platforms() []Platform {
	var list []Platform
	for _, group := range [][]Platform{debians(), redHats(), suses(), chinese(), others(), musls(), images(), windowses(), macs(), freeBSDs()} {
		list = append(list, group...)
	}
	return list
}

// linux makes the row of a distribution: release, glibc, GCC, kernel, architectures; one with a star is not one of the
// distribution, which has libraries for its programs that are not installed by themselves.
func linux(family, release, glibc, gcc, kernel, arches string) Platform {
	p := Platform{Name: strings.TrimSpace(family + " " + release), Family: family, Release: release, OS: "linux", Libc: "gnu", Version: glibc, GCC: gcc, Kernel: kernel}
	for arch := range strings.FieldsSeq(arches) {
		own, foreign := strings.CutSuffix(arch, "*")
		if p.arches = append(p.arches, own); foreign {
			p.foreign = append(p.foreign, own)
		}
	}
	return p
}

// debians: packages libc6, libstdc++6 and linux-image in https://packages.debian.org and https://packages.ubuntu.com, and
// the ports in each release's notes. i386 is a set of libraries on newer ones.
func debians() []Platform {
	const (
		old  = "amd64 386 arm64 arm armel mips mipsle ppc64le s390x"
		mid  = "amd64 386 arm64 arm armel mips mipsle mips64le ppc64le s390x"
		late = "amd64 386 arm64 arm armel mipsle mips64le ppc64le s390x"
		now  = "amd64 386* arm64 arm armel ppc64le riscv64 s390x"
	)
	return []Platform{
		linux("Debian", "8", "2.19", "4.9.2", "3.16", old),
		linux("Debian", "9", "2.24", "6.3.0", "4.9", mid),
		linux("Debian", "10", "2.28", "8.3.0", "4.19", mid),
		linux("Debian", "11", "2.31", "10.2.1", "5.10", late),
		linux("Debian", "12", "2.36", "12.2.0", "6.1", late),
		linux("Debian", "13", "2.41", "14.2.0", "6.12", now),
		linux("Ubuntu", "14.04", "2.19", "4.8.4", "3.13", "amd64 386 arm64 arm ppc64le"),
		linux("Ubuntu", "16.04", "2.23", "5.4.0", "4.4", "amd64 386 arm64 arm ppc64le s390x"),
		linux("Ubuntu", "18.04", "2.27", "8.4.0", "4.15", "amd64 386 arm64 arm ppc64le s390x"),
		linux("Ubuntu", "20.04", "2.31", "10.2.0", "5.4", "amd64 386* arm64 arm ppc64le riscv64 s390x"),
		linux("Ubuntu", "22.04", "2.35", "12.1.0", "5.15", "amd64 386* arm64 arm ppc64le riscv64 s390x"),
		linux("Ubuntu", "24.04", "2.39", "14.1.0", "6.8", "amd64 386* arm64 arm ppc64le riscv64 s390x"),
		// The version of libstdc++ is that of the default GCC, 15; there may be a newer one.
		linux("Ubuntu", "26.04", "2.43", "15.2.0", "7.0", "amd64 386* arm64 arm ppc64le riscv64 s390x"),
	}
}

// redHats: glibc and GCC in https://docs.redhat.com "Considerations in adopting RHEL N", which CentOS, Rocky, Alma and Oracle
// Linux rebuild; Fedora: the change pages "GNU Toolchain update" and https://packages.fedoraproject.org. Amazon:
// https://docs.aws.amazon.com/linux/al2023/ug/compare-with-al2.html.
func redHats() []Platform {
	const rhel = "amd64 arm64 ppc64le s390x"
	const fedora = "amd64 386* arm64 ppc64le s390x"
	return []Platform{
		linux("RHEL", "7", "2.17", "4.8.5", "3.10", rhel+" 386* ppc64"),
		linux("RHEL", "8", "2.28", "8.2.1", "4.18", rhel+" 386*"),
		linux("RHEL", "9", "2.34", "11.2.1", "5.14", rhel+" 386*"),
		linux("RHEL", "10", "2.39", "14.2.1", "6.12", rhel),
		linux("Fedora", "40", "2.39", "14.1.1", "6.8", fedora),
		linux("Fedora", "41", "2.40", "14.2.1", "6.11", fedora),
		linux("Fedora", "42", "2.41", "15.1.1", "6.14", fedora),
		linux("Fedora", "43", "2.42", "15.2.1", "6.17", fedora),
		linux("Fedora", "44", "2.43", "16.1.1", "6.19", fedora),
		linux("Fedora", "45", "2.44", "16.1.1", "6.19", fedora), // its kernel is newer
		linux("Amazon Linux", "2", "2.26", "7.3.1", "4.14", "amd64 386* arm64"),
		linux("Amazon Linux", "2023", "2.34", "11.3.1", "6.1", "amd64 arm64"),
	}
}

// suses: https://www.suse.com/releasenotes; libstdc++6 follows the newest GCC of the distribution, what stands here is the one
// of the first release.
func suses() []Platform {
	const arches = "amd64 386* arm64 ppc64le s390x"
	return []Platform{
		linux("SLES", "12 SP5", "2.22", "9.2.1", "4.12", arches),
		linux("SLES", "15 SP5", "2.31", "12.2.1", "5.14", arches),
		linux("SLES", "15 SP6", "2.38", "13.2.1", "6.4", arches),
		linux("SLES", "16", "2.40", "15.1.1", "6.12", "amd64 arm64 ppc64le s390x"),
		linux("openSUSE Leap", "15.5", "2.31", "12.2.1", "5.14", arches),
		linux("openSUSE Leap", "15.6", "2.38", "13.2.1", "6.4", arches),
		linux("openSUSE Leap", "16.0", "2.40", "15.1.1", "6.12", "amd64 arm64 ppc64le s390x"),
	}
}

// chinese: the release notes of openEuler (https://docs.openeuler.org) list glibc, GCC and kernel; Kylin V10 (server) is
// made from its 20.03, Kylin V10 SP1 (desktop) from Ubuntu 20.04, and UOS 20 from Debian 10. On loong64 Kylin V10 and UOS 20
// have the ABI of before glibc 2.36, for which Go makes nothing.
func chinese() []Platform {
	return []Platform{
		linux("openEuler", "20.03", "2.28", "7.3.0", "4.19", "amd64 arm64"),
		linux("openEuler", "22.03", "2.34", "10.3.1", "5.10", "amd64 arm64"),
		linux("openEuler", "24.03", "2.38", "12.3.1", "6.6", "amd64 arm64 loong64 riscv64"),
		linux("Kylin Server", "V10", "2.28", "7.3.0", "4.19", "amd64 arm64"),
		linux("Kylin Desktop", "V10 SP1", "2.31", "9.3.0", "5.4", "amd64 arm64"),
		linux("UOS", "20", "2.28", "8.3.0", "4.19", "amd64 arm64"),
	}
}

// others: what rolls is judged by what it had in the autumn of 2026, https://archlinux.org/packages/core/x86_64/glibc.
func others() []Platform {
	return []Platform{linux("Arch Linux", "", "2.43", "15.2.1", "6.12", "amd64")}
}

// musls: package musl in https://pkgs.alpinelinux.org; musl has no versions of symbols, and a program that asks for a
// function of a newer one than is there does not start.
func musls() []Platform {
	var list []Platform
	for _, r := range []struct{ release, musl, kernel string }{
		{"3.12", "1.1.24", "5.4"}, {"3.13", "1.2.2", "5.10"}, {"3.14", "1.2.2", "5.10"}, {"3.15", "1.2.2", "5.15"}, {"3.16", "1.2.3", "5.15"},
		{"3.17", "1.2.3", "5.15"}, {"3.18", "1.2.4", "6.1"}, {"3.19", "1.2.4", "6.6"}, {"3.20", "1.2.5", "6.6"}, {"3.21", "1.2.5", "6.12"},
		{"3.22", "1.2.5", "6.12"}, {"3.23", "1.2.5", "6.18"}, {"3.24", "1.2.5", "6.18"},
	} {
		arches := "amd64 386 arm64 arm ppc64le s390x"
		if CompareVersions(r.release, "3.20") >= 0 { // riscv64: https://alpinelinux.org/posts/Alpine-3.20.0-released.html
			arches += " riscv64"
		}
		if CompareVersions(r.release, "3.21") >= 0 { // loongarch64: https://alpinelinux.org/posts/Alpine-3.21.0-released.html
			arches += " loong64"
		}
		p := linux("Alpine", r.release, r.musl, "", r.kernel, arches)
		p.Libc = "musl"
		list = append(list, p)
	}
	return list
}

// images have nothing but what is in them: https://github.com/GoogleContainerTools/distroless (base: glibc and
// OpenSSL; cc: with libgcc, libstdc++ and libgomp; the packages are in base/config.bzl and cc/config.bzl), https://hub.docker.com/_/busybox (musl: linked statically, no libc is in it; glibc: those of its libraries
// that busybox and NSS need, see libraryOf). Their kernel is the host's.
func images() []Platform {
	const all = "amd64 386 arm64 arm mips mipsle mips64 mips64le ppc64 ppc64le riscv64 s390x loong64"
	image := func(family, release, libc, glibc, gcc, arches string) Platform {
		p := linux(family, release, glibc, gcc, "", arches)
		p.Name, p.Libc, p.Image = family, libc, true
		if release != "" {
			p.Name = family + "-" + release
		}
		return p
	}
	const distroless = "amd64 arm64 arm ppc64le s390x"
	with := func(p Platform, openssl string, extra ...extraLibrary) Platform {
		p.extra = append(extra, extraLibrary{"libssl.so.3", "OPENSSL", openssl}, extraLibrary{"libcrypto.so.3", "OPENSSL", openssl})
		return p
	}
	gomp, zlib, zstd := extraLibrary{"libgomp.so.1", "GOMP", "5.1.2"}, extraLibrary{"libz.so.1", "ZLIB", "1.3.2"}, extraLibrary{name: "libzstd.so.1"}
	return []Platform{
		with(image("distroless/base", "debian12", "gnu", "2.36", "", distroless), "3.1"),
		with(image("distroless/base", "debian13", "gnu", "2.41", "", distroless+" riscv64"), "3.6", zlib, zstd),
		with(image("distroless/cc", "debian12", "gnu", "2.36", "12.2.0", distroless), "3.1", gomp),
		with(image("distroless/cc", "debian13", "gnu", "2.41", "14.2.0", distroless+" riscv64"), "3.6", zlib, zstd, gomp),
		image("distroless/static", "", "none", "", "", distroless+" riscv64"),
		image("busybox:glibc", "", "gnu", "2.36", "", "amd64 386 arm64 arm armel ppc64le s390x"),
		image("busybox:musl", "", "none", "", "", "amd64 386 arm64 arm ppc64le riscv64 s390x"),
		image("scratch", "", "none", "", "", all),
	}
}

// windowses: versions as https://learn.microsoft.com/windows/win32/sysinfo/operating-system-version has them. Windows 11 says
// 10.0 like Windows 10; on arm64 there is 10 (1709) and 11, on 386 there is no 11 of its own, but it runs such programs.
func windowses() []Platform {
	var list []Platform
	for _, r := range []struct{ family, release, version, arches string }{
		{"Windows", "7", "6.1", "amd64 386"}, {"Windows", "8", "6.2", "amd64 386"}, {"Windows", "8.1", "6.3", "amd64 386"},
		{"Windows", "10", "10.0", "amd64 386 arm64 arm"}, {"Windows", "11", "10.0", "amd64 386 arm64"},
		{"Windows Server", "2008 R2", "6.1", "amd64 386"}, {"Windows Server", "2012", "6.2", "amd64 386"}, {"Windows Server", "2012 R2", "6.3", "amd64 386"},
		{"Windows Server", "2016", "10.0", "amd64 386"}, {"Windows Server", "2019", "10.0", "amd64 386"},
		{"Windows Server", "2022", "10.0", "amd64 386"}, {"Windows Server", "2025", "10.0", "amd64 386"},
	} {
		list = append(list, Platform{Name: r.family + " " + r.release, Family: r.family, Release: r.release, OS: "windows", Version: r.version, arches: strings.Fields(r.arches)})
	}
	return list
}

// macs: https://support.apple.com/100100 and its kin; 32-bit programs end with 10.14, Apple's own processors begin with 11. The
// number after 15 is 26. Since 27 there are only Apple's processors, and Rosetta, if it is installed, runs amd64 programs.
func macs() []Platform {
	var list []Platform
	for _, r := range []string{"10.13", "10.14", "10.15", "11", "12", "13", "14", "15", "26", "27"} {
		arches := []string{"amd64"}
		if CompareVersions(r, "11") >= 0 {
			arches = append(arches, "arm64")
		} else if CompareVersions(r, "10.15") < 0 {
			arches = append(arches, "386")
		}
		p := Platform{Name: "macOS " + r, Family: "macOS", Release: r, OS: "darwin", Version: r, arches: arches}
		if CompareVersions(r, "27") >= 0 {
			p.foreign = []string{"amd64"}
		}
		list = append(list, p)
	}
	return list
}

// freeBSDs: https://www.freebsd.org/platforms. 15 has no 32-bit x86 of its own, but runs its programs.
func freeBSDs() []Platform {
	var list []Platform
	for _, r := range []string{"13", "14", "15"} {
		list = append(list, Platform{Name: "FreeBSD " + r, Family: "FreeBSD", Release: r, OS: "freebsd", Version: r, arches: []string{"amd64", "386", "arm64", "arm", "riscv64"}})
	}
	return list
}
