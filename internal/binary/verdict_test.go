package binary_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/binary"
)

// TestPlatforms holds the table to what verdicts and their names rest on.
func TestPlatforms(t *testing.T) {
	var before binary.Platform
	seen, families := map[string]bool{}, map[string]bool{}
	for _, p := range binary.Platforms() {
		if p.Name == "" || p.Family == "" || p.OS == "" || seen[p.Name] {
			t.Errorf("%+v: no name, or one that is taken", p)
		}
		seen[p.Name] = true
		same := p.Family == before.Family && p.OS == before.OS
		if !same && families[p.Family] {
			t.Errorf("%s stands apart from the others of %s", p.Name, p.Family)
		}
		families[p.Family] = true
		if p.OS == "linux" && (p.Libc == "") || p.Libc != "none" && p.Version == "" {
			t.Errorf("%s: its libc is not said", p.Name)
		}
		if !same {
			before = p
			continue
		}
		for _, pair := range [][2]string{{before.Version, p.Version}, {before.GCC, p.GCC}, {before.Kernel, p.Kernel}} {
			if binary.CompareVersions(pair[0], pair[1]) > 0 {
				t.Errorf("%s has %s, and the older %s has %s", p.Name, pair[1], before.Name, pair[0])
			}
		}
		before = p
	}
}

func truth(b bool) *bool { return &b }

// linux is a dynamic program for Linux with floors, as "glibc 2.34".
func linux(libc string, libraries []string, floors ...string) *binary.Info {
	i := &binary.Info{Format: binary.ELF, Kind: binary.Executable, OS: "linux", Arch: "amd64", Libc: libc}
	i.Interpreter = map[string]string{"gnu": "/lib64/ld-linux-x86-64.so.2", "musl": "/lib/ld-musl-x86_64.so.1"}[libc]
	for _, l := range libraries {
		i.Libraries = append(i.Libraries, binary.Library{Name: l})
	}
	i.Static = libc == "" && len(libraries) == 0
	for _, f := range floors {
		name, version, _ := strings.Cut(f, " ")
		i.Floors = append(i.Floors, binary.Floor{Name: name, Version: version})
	}
	return i
}

// windows is a program for Windows that imports DLLs; "kernel32.dll!F" imports a function.
func windows(imports ...string) *binary.Info {
	i := &binary.Info{Format: binary.PE, Kind: binary.Executable, OS: "windows", Arch: "amd64", Floors: []binary.Floor{{Name: "windows", Version: "6.1"}}}
	for _, im := range imports {
		dll, function, _ := strings.Cut(im, "!")
		i.Libraries = append(i.Libraries, binary.Library{Name: dll, Symbols: strings.Fields(function)})
	}
	return i
}

// mac is a program for macOS.
func mac(arch, least, goVersion string, libraries ...string) *binary.Info {
	i := &binary.Info{Format: binary.MachO, Kind: binary.Executable, OS: "darwin", Arch: arch, Floors: []binary.Floor{{Name: "macos", Version: least}}}
	if goVersion != "" {
		i.Go = &binary.GoInfo{Version: goVersion}
	}
	for _, l := range append(libraries, "/usr/lib/libSystem.B.dylib") {
		i.Libraries = append(i.Libraries, binary.Library{Name: l})
	}
	return i
}

func with(i *binary.Info, change func(*binary.Info)) *binary.Info {
	change(i)
	return i
}

// TestJudge: where programs run, in short, and why not on one system.
func TestJudge(t *testing.T) {
	goLinux := with(linux("gnu", []string{"libc.so.6", "libresolv.so.2", "libpthread.so.0"}, "glibc 2.34"), func(i *binary.Info) { i.Go = &binary.GoInfo{Version: "go1.26.8"} })
	tests := []struct {
		name   string
		i      *binary.Info
		runs   string // all of them, in short
		on     string // a platform
		reason string // code and detail there
	}{
		{"static", linux("", nil), "Debian 8+, Ubuntu 14.04+, RHEL 7+, Fedora 40+, Amazon Linux 2+, SLES 12 SP5+, openSUSE Leap 15.5+, openEuler 20.03+, " +
			"Kylin Server V10+, Kylin Desktop V10 SP1+, UOS 20+, Arch Linux, Alpine 3.12+, distroless/base, distroless/cc, distroless/static, busybox:glibc, busybox:musl, scratch",
			"scratch", "yes"},
		{"glibc 2.34", goLinux, "Debian 12+, Ubuntu 22.04+, RHEL 9+, Fedora 40+, Amazon Linux 2023+, SLES 15 SP6+, openSUSE Leap 15.6+, openEuler 22.03+, " +
			"Arch Linux, distroless/base, distroless/cc, busybox:glibc", "RHEL 8", "no glibc-too-old GLIBC_2.34"},
		{"glibc on Alpine", goLinux, "", "Alpine 3.20", "no wrong-libc /lib64/ld-linux-x86-64.so.2"},
		{"glibc on nothing", goLinux, "", "distroless/static", "no no-libc /lib64/ld-linux-x86-64.so.2"},
		{"glibc 2.17", linux("gnu", []string{"libc.so.6"}, "glibc 2.17"), "", "RHEL 7", "yes"},
		{"numbers, not letters", linux("gnu", []string{"libc.so.6"}, "glibc 2.4"), "", "RHEL 7", "yes"},
		{"glibc of the future", linux("gnu", []string{"libc.so.6"}, "glibc 9.1"), "", "Fedora 45", "no glibc-too-old GLIBC_9.1"},
		{"C++", linux("gnu", []string{"libstdc++.so.6", "libm.so.6", "libgcc_s.so.1", "libc.so.6"}, "glibc 2.17", "libstdc++ 3.4.29", "CXXABI 1.3.9", "libgcc 3.0"),
			"Debian 12+, Ubuntu 22.04+, RHEL 9+, Fedora 40+, Amazon Linux 2023+, SLES 15 SP5+, openSUSE Leap 15.5+, openEuler 24.03+, Arch Linux, distroless/cc",
			"Debian 11", "no libstdcxx-too-old GLIBCXX_3.4.29"},
		{"C++ where there is none", linux("gnu", []string{"libstdc++.so.6", "libc.so.6"}, "libstdc++ 3.4.21"), "", "distroless/base-debian12", "no library-missing libstdc++.so.6"},
		{"CXXABI", linux("gnu", []string{"libstdc++.so.6"}, "CXXABI 1.3.13"), "", "Ubuntu 20.04", "no libstdcxx-too-old CXXABI_1.3.13"},
		{"libgcc", linux("gnu", []string{"libgcc_s.so.1", "libc.so.6"}, "libgcc 12.0.0"), "", "RHEL 9", "no libgcc-too-old GCC_12.0.0"},
		{"a library that one installs", linux("gnu", []string{"libsqlite3.so.0", "libc.so.6"}), "", "Debian 12", "unknown library-missing libsqlite3.so.0"},
		{"libcrypt left glibc", linux("gnu", []string{"libcrypt.so.1", "libc.so.6"}), "", "RHEL 9", "unknown library-missing libcrypt.so.1"},
		{"musl", linux("musl", []string{"libc.musl-x86_64.so.1"}), "Alpine 3.12+", "busybox:musl", "no no-libc /lib/ld-musl-x86_64.so.1"},
		{"musl by its other name", linux("musl", []string{"libc.so"}), "Alpine 3.12+", "Debian 12", "no wrong-libc /lib/ld-musl-x86_64.so.1"},
		{"musl and C++", linux("musl", []string{"libc.musl-x86_64.so.1", "libstdc++.so.6"}), "", "Alpine 3.20", "unknown library-missing libstdc++.so.6"},
		{"Nix", with(linux("gnu", []string{"libc.so.6"}), func(i *binary.Info) { i.Interpreter = "/nix/store/x-glibc-2.39/lib/ld-linux-x86-64.so.2" }), "",
			"Debian 12", "no interpreter-missing /nix/store/x-glibc-2.39/lib/ld-linux-x86-64.so.2"},
		{"uClibc", with(linux("uclibc", []string{"libc.so.0"}), func(i *binary.Info) { i.Interpreter = "/lib/ld-uClibc.so.0" }), "", "Alpine 3.20", "no interpreter-missing /lib/ld-uClibc.so.0"},
		{"a kernel of the future", linux("", nil, "kernel 5.19"), "", "Debian 11", "no os-too-old Linux 5.19"},
		{"a kernel of a container is the host's", linux("", nil, "kernel 5.19"), "", "scratch", "yes"},
		{"loong64 by Go", with(linux("", nil), func(i *binary.Info) { i.Arch, i.Go = "loong64", &binary.GoInfo{Version: "go1.26.8"} }), "openEuler 24.03+, Alpine 3.21+, scratch", "Debian 12", "no no-such-arch loong64"},
		{"riscv64", with(linux("", nil), func(i *binary.Info) { i.Arch = "riscv64" }), "", "Debian 12", "no no-such-arch riscv64"},
		{"a library needs the libc, too", with(linux("gnu", []string{"libc.so.6"}), func(i *binary.Info) { i.Kind, i.Interpreter = binary.Shared, "" }), "", "Alpine 3.20", "no wrong-libc libc.so.6"},

		{"Windows, C", windows("KERNEL32.dll", "msvcrt.dll", "WS2_32.DLL", "WINSPOOL.DRV"), "Windows 7+, Windows Server 2008 R2+", "Windows 7", "yes"},
		{"winpthread", windows("KERNEL32.dll", "libwinpthread-1.dll", "libgcc_s_seh-1.dll"), "", "Windows 11", "no dll-missing libgcc_s_seh-1.dll, libwinpthread-1.dll"},
		{"Visual C++", windows("KERNEL32.dll", "VCRUNTIME140.dll", "api-ms-win-crt-runtime-l1-1-0.dll"), "", "Windows 11", "no dll-missing VCRUNTIME140.dll"},
		{"UCRT", windows("KERNEL32.dll", "api-ms-win-crt-runtime-l1-1-0.dll"), "Windows 10+, Windows Server 2016+", "Windows 7", "unknown ucrt-missing api-ms-win-crt-runtime-l1-1-0.dll"},
		{"a newer function", windows("KERNEL32.dll!CreateFileW WaitOnAddress"), "Windows 8+, Windows Server 2012+", "Windows 7", "no function-missing KERNEL32.dll!WaitOnAddress"},
		{"a newer DLL", windows("combase.dll"), "Windows 8+, Windows Server 2012+", "Windows 7", "no dll-missing combase.dll"},
		{"Go on Windows", with(windows("kernel32.dll"), func(i *binary.Info) { i.Go = &binary.GoInfo{Version: "go1.21.0"} }), "Windows 10+, Windows Server 2016+", "Windows 7", "no go-too-new go1.21.0"},
		{"Go 1.20 on Windows", with(windows("kernel32.dll"), func(i *binary.Info) { i.Go = &binary.GoInfo{Version: "go1.20.14"} }), "", "Windows 7", "yes"},
		{"Go of tomorrow", with(windows("kernel32.dll"), func(i *binary.Info) { i.Go = &binary.GoInfo{Version: "devel go1.27-abc"} }), "", "Windows 8", "no go-too-new devel go1.27-abc"},
		{"Windows on arm64", with(windows("kernel32.dll"), func(i *binary.Info) { i.Arch = "arm64" }), "Windows 10+", "Windows Server 2025", "no no-such-arch arm64"},

		{"macOS", mac("amd64", "11.0", ""), "macOS 11–26", "macOS 10.15", "no os-too-old macOS 11.0"},
		{"Go on macOS", mac("arm64", "11.0", "go1.26.8"), "macOS 12+", "macOS 11", "no go-too-new go1.26.8"},
		{"Homebrew", mac("arm64", "13.0", "", "/opt/homebrew/opt/openssl@3/lib/libssl.3.dylib"), "", "macOS 15", "unknown library-missing /opt/homebrew/opt/openssl@3/lib/libssl.3.dylib"},
		{"not signed", with(mac("arm64", "11.0", ""), func(i *binary.Info) { i.Hardening.Signed = truth(false) }), "", "macOS 14", "no not-signed "},
		{"not signed, and need not", with(mac("amd64", "10.13", ""), func(i *binary.Info) { i.Hardening.Signed = truth(false) }), "macOS 10.13–26", "macOS 14", "yes"},
		{"universal", &binary.Info{Format: binary.Universal, Kind: binary.Executable, OS: "darwin", Members: []*binary.Info{mac("arm64", "11.0", ""), mac("amd64", "10.13", "")}}, "macOS 10.13+", "macOS 11", "yes"},

		{"FreeBSD", &binary.Info{Format: binary.ELF, Kind: binary.Executable, OS: "freebsd", Arch: "amd64", Interpreter: "/libexec/ld-elf.so.1",
			Libraries: []binary.Library{{Name: "libc.so.7"}}, Floors: []binary.Floor{{Name: "FBSD", Version: "1.7"}}}, "FreeBSD 14+", "FreeBSD 13", "no os-too-old FreeBSD 14"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			list := binary.Judge(tt.i)
			var good []binary.Verdict
			got := "not judged"
			for _, v := range list {
				if v.Runs == binary.Runs {
					good = append(good, v)
				}
				if v.Platform.Name == tt.on {
					if got = v.Runs; v.Reason != "" {
						got += " " + v.Reason + " " + v.Detail
					}
				}
			}
			if got != tt.reason {
				t.Errorf("on %s: %q, want %q", tt.on, got, tt.reason)
			}
			if names := strings.Join(binary.PlatformNames(good, true), ", "); tt.runs != "" && names != tt.runs {
				t.Errorf("runs on\n%s\nwant\n%s", names, tt.runs)
			}
		})
	}
}

// TestJudgeNothing: what is no program, or for a system without a table, has no verdicts.
func TestJudgeNothing(t *testing.T) {
	for _, i := range []*binary.Info{
		nil, {}, {Format: binary.ELF, Kind: binary.Object, OS: "linux", Arch: "amd64"}, {Format: binary.ELF, Kind: binary.Core, OS: "linux", Arch: "amd64"},
		{Format: binary.ELF, Kind: binary.Executable, OS: "plan9", Arch: "amd64"}, {Format: binary.ELF, Kind: binary.Executable, Arch: "amd64"},
		{Format: binary.Universal, Kind: binary.Executable, OS: "darwin"},
	} {
		if list := binary.Judge(i); len(list) > 0 {
			t.Errorf("%+v has verdicts", i)
		}
	}
}

func TestPlatformNames(t *testing.T) {
	pick := func(names ...string) (list []binary.Verdict) {
		for _, p := range binary.Platforms() {
			if slices.Contains(names, p.Name) {
				list = append(list, binary.Verdict{Platform: p})
			}
		}
		if len(list) != len(names) {
			t.Fatalf("of %v only %d are in the table", names, len(list))
		}
		return list
	}
	rhel := []string{"RHEL 7", "RHEL 8", "RHEL 9", "RHEL 10"}
	for _, tt := range []struct {
		list         []binary.Verdict
		open, closed string
	}{
		{nil, "", ""},
		{pick("Debian 13"), "Debian 13+", "Debian 13"},
		{pick("Debian 8", "Debian 9"), "Debian 8–9", "Debian 8–9"},
		{pick("Debian 8", "Debian 10", "Debian 12", "Debian 13"), "Debian 8, Debian 10, Debian 12+", "Debian 8, Debian 10, Debian 12–13"},
		{pick(rhel...), "RHEL 7+", "RHEL"},
		{pick("scratch", "Arch Linux", "UOS 20"), "UOS 20+, Arch Linux, scratch", "UOS 20, Arch Linux, scratch"},
		{pick("distroless/cc-debian12", "distroless/cc-debian13"), "distroless/cc", "distroless/cc"},
		{pick("distroless/cc-debian13"), "distroless/cc-debian13+", "distroless/cc-debian13"},
	} {
		if got := strings.Join(binary.PlatformNames(tt.list, true), ", "); got != tt.open {
			t.Errorf("open: %q, want %q", got, tt.open)
		}
		if got := strings.Join(binary.PlatformNames(tt.list, false), ", "); got != tt.closed {
			t.Errorf("closed: %q, want %q", got, tt.closed)
		}
	}
}

// TestRequirement: each promise kept, broken, and about something else.
func TestRequirement(t *testing.T) {
	static, dynamic := linux("", nil), linux("gnu", []string{"libstdc++.so.6", "libc.so.6"}, "glibc 2.34", "libstdc++ 3.4.30")
	musl := linux("musl", []string{"libc.so"})
	exe, foreign := windows("KERNEL32.dll"), windows("KERNEL32.dll", "libwinpthread-1.dll")
	app := mac("arm64", "12.0", "go1.26.8")
	static.Size = 30e6
	static.Go = &binary.GoInfo{Version: "go1.26.8", Cgo: truth(false)}
	dynamic.Go = &binary.GoInfo{Version: "go1.22", Cgo: truth(true)}
	musl.Go = &binary.GoInfo{Version: "go1.26.8"}
	static.Hardening = binary.Hardening{PIE: truth(true), NX: truth(true), RELRO: "full", Stripped: truth(true)}
	dynamic.Hardening = binary.Hardening{PIE: truth(false), NX: truth(false), RELRO: "partial", Stripped: truth(false)}
	object := &binary.Info{Format: binary.ELF, Kind: binary.Object, OS: "linux", Arch: "amd64"}
	for _, tt := range []struct {
		require string
		i       *binary.Info
		want    string
	}{
		{"static", static, "yes"}, {"static", dynamic, "no needs-libraries libstdc++.so.6, libc.so.6"}, {"static", exe, "yes"},
		{"static", foreign, "no needs-libraries libwinpthread-1.dll"}, {"static", app, "yes"}, {"static", object, "none"},
		{"dynamic", dynamic, "yes"}, {"dynamic", static, "no is-static "},
		{"pie", static, "yes"}, {"pie", dynamic, "no no-pie "}, {"pie", exe, "none"},
		{"nx", dynamic, "no no-nx "}, {"relro", static, "yes"}, {"relro", dynamic, "no no-relro "}, {"relro", exe, "none"}, {"stripped", dynamic, "no no-stripped "},
		{"musl", musl, "yes"}, {"musl", static, "yes"}, {"musl", dynamic, "no needs-glibc /lib64/ld-linux-x86-64.so.2"}, {"musl", exe, "none"},
		{"no-cgo", static, "yes"}, {"no-cgo", dynamic, "no has-cgo "}, {"no-cgo", musl, "no cgo-unknown "}, {"no-cgo", exe, "no not-go "}, {"cgo", dynamic, "yes"}, {"cgo", static, "no lacks-cgo "},
		{"go>=1.26", static, "yes"}, {"go>=1.26", dynamic, "no older-go go1.22"}, {"go>=1.22", dynamic, "yes"},
		{"windows-plain", exe, "yes"}, {"windows-plain", foreign, "no dll-missing libwinpthread-1.dll"}, {"windows-plain", static, "none"},
		{"glibc<=2.34", dynamic, "yes"}, {"glibc<=2.28", dynamic, "no asks-glibc GLIBC_2.34"}, {"glibc<=2.28", static, "yes"}, {"glibc<=2.28", musl, "no other-libc musl"}, {"glibc<=2.28", exe, "none"},
		{"glibcxx<=3.4.25", dynamic, "no asks-glibcxx GLIBCXX_3.4.30"}, {"glibcxx <= 3.4.30", dynamic, "yes"},
		{"kernel<=3.10", static, "yes"}, {"kernel<=2.6.32", static, "no asks-system Linux 3.2"},
		{"windows<=7", exe, "yes"}, {"windows<=7", with(windows("kernel32.dll"), func(i *binary.Info) { i.Go = &binary.GoInfo{Version: "go1.26"} }), "no asks-system Windows 10.0"}, {"windows<=7", app, "none"},
		{"macos<=12", app, "yes"}, {"macos<=11", app, "no asks-system macOS 12.0"},
		{"size<=20MB", static, "no too-large 30000000"}, {"size<=30MB", static, "yes"}, {"size<=29MiB", static, "yes"},
		{"os=linux", static, "yes"}, {"os=linux", exe, "no other-os windows"}, {"arch=amd64", exe, "yes"}, {"arch=amd64", app, "no other-arch arm64"},
		{"runs-on=debian-11", static, "yes"}, {"runs-on=debian-11", dynamic, "no runs-not Debian 11: glibc-too-old GLIBC_2.34"}, {"runs-on=Alpine", musl, "yes"},
		{"runs-on=rocky 8", dynamic, "no runs-not RHEL 8: glibc-too-old GLIBC_2.34"}, {"runs-on=centos7", static, "yes"}, {"runs-on=arch", dynamic, "yes"}, {"runs-on=windows-7", static, "none"},
		{"runs-on=windows-8.1", exe, "yes"}, {"runs-on=win11", exe, "yes"}, {"runs-on=debian", dynamic, "no runs-not Debian 8: glibc-too-old GLIBC_2.34"},
		{"static|glibc<=2.34", dynamic, "yes"}, {"static|glibc<=2.28|windows-plain", dynamic, "no asks-glibc GLIBC_2.34"}, {"static|windows-plain", foreign, "no dll-missing libwinpthread-1.dll"},
		{"musl|kernel<=3", exe, "none"},
		{"static", &binary.Info{Format: binary.Universal, Members: []*binary.Info{app, mac("amd64", "12.0", "", "/opt/x.dylib")}}, "no needs-libraries /opt/x.dylib"},
		{"arch=arm64", &binary.Info{Format: binary.Universal, Members: []*binary.Info{app, mac("amd64", "12.0", "")}}, "yes"},
		{"runs-on=macos-26", &binary.Info{Format: binary.Universal, Members: []*binary.Info{mac("386", "10.13", ""), app}}, "yes"},
	} {
		r, err := binary.ParseRequirement(tt.require)
		if err != nil {
			t.Errorf("%s: %v", tt.require, err)
			continue
		}
		out := r.Check(tt.i)
		got := out.Met
		if out.Code != "" {
			got += " " + out.Code + " " + out.Detail
		}
		if got != tt.want {
			t.Errorf("%s of %s %s: %q, want %q", tt.require, tt.i.OS, tt.i.Libc, got, tt.want)
		}
		if (r.Unmet(tt.i) != "") != (out.Met == binary.MetNo) {
			t.Errorf("%s: Unmet says %q, Check %s", tt.require, r.Unmet(tt.i), out.Met)
		}
	}
}

func TestParseRequirementErrors(t *testing.T) {
	for _, tt := range []struct{ text, kind, near string }{
		{"", "unknown", ""}, {"bogus", "unknown", ""}, {"glib", "unknown", "glibc<=2.28"}, {"nocgo", "unknown", "no-cgo"}, {"glibc", "value", "glibc<=2.28"}, {"glibc>=2.28", "value", "glibc<=2.28"},
		{"glibc<=new", "value", "glibc<=2.28"}, {"static=1", "value", "static"}, {"windows<=12", "value", "windows<=10"}, {"size<=big", "value", "size<=20MB"},
		{"size<=999999999999GB", "value", "size<=20MB"}, {"runs-on=beos", "platform", "runs-on=debian-11"}, {"static|", "unknown", ""}, {"static|bogus", "unknown", ""},
	} {
		_, err := binary.ParseRequirement(tt.text)
		var re *binary.RequirementError
		if !errors.As(err, &re) || !errors.Is(err, binary.ErrRequirement) || re.Kind != tt.kind || re.Near != tt.near {
			t.Errorf("%q: %#v, want %s, near %q", tt.text, err, tt.kind, tt.near)
		}
	}
	for _, k := range binary.Requirements() {
		if r, err := binary.ParseRequirement(k.Example); err != nil || r.Name != k.Name || r.String() != k.Example && k.Name != "size" {
			t.Errorf("%s: %v, %v", k.Example, r, err)
		}
	}
}

// FuzzParseRequirement: what is read says itself as something that reads as the same.
func FuzzParseRequirement(f *testing.F) {
	for _, k := range binary.Requirements() {
		f.Add(k.Example)
	}
	f.Add("static|glibc <= 2.28|runs-on=Rocky Linux 9")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := binary.ParseRequirement(text)
		if err != nil {
			return
		}
		again, err := binary.ParseRequirement(r.String())
		if diff := cmp.Diff(r, again); err != nil || diff != "" {
			t.Errorf("%q is %q, which is %v\n%s", text, r, err, diff)
		}
		if out := r.Check(&binary.Info{}); out.Requirement != r.String() {
			t.Errorf("%q says that it is %q", r, out.Requirement)
		}
	})
}
