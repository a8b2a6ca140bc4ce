package doctor

import (
	"slices"
	"strings"
)

// Mend adds to messages about something that is missing how it comes to this machine, unless rep says that already. A message
// may be of another machine, or of a build with other settings: what is here is not missing.
func Mend(x *Exam, list []Recognized, rep Report) {
	for i, m := range list {
		for _, fix := range mendMessage(x, m) {
			said := slices.ContainsFunc(rep.Causes, func(c Cause) bool {
				return slices.ContainsFunc(c.Fixes, func(o Fix) bool { return sameFix(o, fix) })
			})
			if !said {
				list[i].Fixes = append(list[i].Fixes, fix)
			}
		}
	}
}

func mendMessage(x *Exam, m Recognized) []Fix {
	switch m.Code {
	case "cc-not-found":
		return mendCompiler(x, m.Args["Name"])
	case "cc-for-windows":
		goarch := "amd64"
		if x.GoEnv.Values["GOOS"] == "windows" {
			goarch = sdkOr(x.GoEnv.Values["GOARCH"], goarch)
		}
		return mendCross(x, "windows", goarch)
	case "cc-for-arm64":
		return mendCross(x, "linux", "arm64")
	case "constraints", "race-needs-cgo", "sqlite-stub", "c-without-cgo":
		return mendCGO(x)
	case "libc-headers", "crt-missing", "linker-missing", "cc-32-bit":
		return ccInstall(x)
	case "cc-no-m32":
		return ccInstallMore(x, fixInstallCC32, func(s ccSystem) string { return s.c32 })
	case "pkg-config-missing":
		if x.SDKs.Program("pkg-config") == "" {
			return ccInstallMore(x, fixInstallPkgConfig, func(s ccSystem) string { return s.pkg })
		}
	case "pc-missing":
		return mendLibrary(x, m.Args["Name"])
	case "header-missing", "lib-missing":
		if name := mendLibraries()[m.Args["Name"]]; name != "" {
			return mendLibrary(x, name)
		}
	case "git-missing":
		if strings.EqualFold(m.Args["Name"], "git") && x.SDKs.Program("git") == "" {
			return ccInstallNamed(x, fixGitInstall, "git")
		}
	}
	return nil
}

// mendCompiler installs a compiler that a build did not find.
func mendCompiler(x *Exam, name string) []Fix {
	base := ccBase(name)
	if x.SDKs.Program(name) != "" {
		return nil
	}
	for _, target := range []string{"windows/amd64", "windows/386", "linux/arm64", "linux/arm", "linux/386", "linux/riscv64", "linux/ppc64le", "linux/s390x"} {
		if goos, goarch, _ := strings.Cut(target, "/"); ccCrossName(goos, goarch) == base {
			return mendInstalls(ccUseCross(x, goos, goarch))
		}
	}
	switch base {
	case "g++", "c++", "clang++":
		return ccInstallMore(x, fixInstallCXX, func(s ccSystem) string { return s.cxx })
	case "gcc", "cc":
		return ccInstall(x)
	case "clang": // not what it was told to be, perhaps, but the one that is there
		if x.OS == "darwin" || x.SDKs.Program(ccDefault(x)) == "" {
			return ccInstall(x)
		}
		return []Fix{{Code: fixUseCC, Kind: SetEnv, Key: "CC", Value: ccDefault(x), Args: map[string]string{"CC": ccDefault(x), "Target": x.OS + "/" + x.Arch}}}
	}
	return nil
}

// mendCross is about a build for another system: what installs its compiler, and how to build with it.
func mendCross(x *Exam, goos, goarch string) []Fix {
	if goos == x.OS && goarch == x.Arch {
		return ccInstall(x)
	}
	return ccBuildCross(x, goos, goarch)
}

// mendInstalls are those of the fixes that install something.
func mendInstalls(fixes []Fix) []Fix {
	return slices.DeleteFunc(fixes, func(f Fix) bool { return f.Kind != RunCommand })
}

// mendCGO switches cgo on, where it is off here.
func mendCGO(x *Exam) []Fix {
	v := x.GoEnv.Values
	if v["CGO_ENABLED"] != "0" {
		return nil
	}
	switch ccReason(x, false) {
	case ccByEnv, ccByGoEnv:
		return []Fix{sdkUnset(x, "CGO_ENABLED")}
	case ccByNoCC:
		return ccInstall(x)
	case ccByCross:
		return ccBuildCross(x, v["GOOS"], v["GOARCH"])
	}
	return nil
}

// mendLibrary installs the library with the file NAME.pc, where that is known for sure.
func mendLibrary(x *Exam, name string) []Fix {
	if x.OS != "linux" {
		return nil // they have other ways, and this text of a message is mostly of Linux
	}
	return ccInstallLibrary(x, name)
}

// mendLibraries are the .pc files of the libraries that headers and -l flags mostly belong to; see ccLibraries.
func mendLibraries() map[string]string {
	return map[string]string{
		"sqlite3.h": "sqlite3", "sqlite3": "sqlite3", "zlib.h": "zlib", "z": "zlib", "zstd.h": "libzstd", "zstd": "libzstd",
		"openssl/ssl.h": "openssl", "openssl/evp.h": "openssl", "openssl/opensslv.h": "openssl", "ssl": "openssl", "crypto": "openssl",
		"pcap.h": "libpcap", "pcap": "libpcap", "git2.h": "libgit2", "git2": "libgit2", "vips/vips.h": "vips", "vips": "vips",
		"X11/Xlib.h": "x11", "X11": "x11", "GL/gl.h": "gl", "GL": "gl", "alsa/asoundlib.h": "alsa", "asound": "alsa",
		"systemd/sd-journal.h": "libsystemd", "systemd/sd-daemon.h": "libsystemd", "systemd": "libsystemd", "libdevmapper.h": "devmapper", "devmapper": "devmapper",
		"seccomp.h": "libseccomp", "seccomp": "libseccomp", "gpgme.h": "gpgme", "gpgme": "gpgme", "libusb.h": "libusb-1.0", "libusb-1.0/libusb.h": "libusb-1.0",
		"libvirt/libvirt.h": "libvirt", "virt": "libvirt", "bpf/bpf.h": "libbpf", "bpf/libbpf.h": "libbpf", "bpf": "libbpf", "librdkafka/rdkafka.h": "rdkafka", "rdkafka": "rdkafka",
	}
}
