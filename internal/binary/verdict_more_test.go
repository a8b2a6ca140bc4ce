package binary_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	program "github.com/goferry/goferry/internal/binary"
)

// verdictText is what Judge says of i on one platform.
func verdictText(t *testing.T, i *program.Info, platform string) string {
	t.Helper()
	for _, v := range program.Judge(i) {
		if v.Platform.Name == platform {
			return strings.TrimSpace(v.Runs + " " + v.Reason + " " + v.Detail)
		}
	}
	t.Errorf("%s is not judged", platform)
	return ""
}

func onArch(arch, interpreter string, i *program.Info) *program.Info {
	i.Arch, i.Interpreter = arch, interpreter
	return i
}

// TestJudgeABI: a system runs what is made for its ABI, not all that is made for its architecture.
func TestJudgeABI(t *testing.T) {
	gnu := func(arch, interpreter string) *program.Info {
		return onArch(arch, interpreter, linux("gnu", []string{"libc.so.6"}, "glibc 2.4"))
	}
	musl := func(arch, interpreter string, floors ...string) *program.Info {
		return onArch(arch, interpreter, linux("musl", []string{"libc.so"}, floors...))
	}
	static := onArch("386", "", linux("", nil))
	for _, tt := range []struct {
		i    *program.Info
		on   string
		want string
	}{
		{gnu("arm", "/lib/ld-linux.so.3"), "Debian 12", "yes"}, {gnu("arm", "/lib/ld-linux.so.3"), "Ubuntu 22.04", "no interpreter-missing /lib/ld-linux.so.3"},
		{gnu("arm", "/lib/ld-linux.so.3"), "distroless/base-debian12", "no interpreter-missing /lib/ld-linux.so.3"}, {gnu("arm", "/lib/ld-linux-armhf.so.3"), "Ubuntu 22.04", "yes"},
		{gnu("riscv64", "/lib/ld-linux-riscv64-lp64.so.1"), "Debian 13", "no interpreter-missing /lib/ld-linux-riscv64-lp64.so.1"}, {gnu("mipsle", "/lib/ld.so.1"), "Debian 12", "yes"},
		{gnu("ppc64le", "/lib64/ld64.so.2"), "RHEL 8", "yes"}, {gnu("s390x", "/lib/ld64.so.1"), "RHEL 8", "yes"}, {gnu("arm64", "/lib/ld-linux-aarch64.so.1"), "RHEL 7", "yes"},
		{musl("arm", "/lib/ld-musl-arm.so.1"), "Alpine 3.20", "no interpreter-missing /lib/ld-musl-arm.so.1"}, {musl("arm", "/lib/ld-musl-armhf.so.1"), "Alpine 3.20", "yes"},
		{gnu("386", "/lib/ld-linux.so.2"), "Debian 12", "yes"}, {gnu("386", "/lib/ld-linux.so.2"), "Debian 13", "unknown foreign-libc 386"},
		{gnu("386", "/lib/ld-linux.so.2"), "RHEL 9", "unknown foreign-libc 386"}, {static, "RHEL 9", "yes"}, {static, "Ubuntu 24.04", "yes"},
		{linux("gnu", []string{"libdl.so.2", "libc.so.6"}), "busybox:glibc", "no library-missing libdl.so.2"}, {linux("gnu", []string{"libpthread.so.0", "libm.so.6", "libc.so.6"}), "busybox:glibc", "yes"},
		{linux("gnu", []string{"libssl.so.3", "libcrypto.so.3", "libc.so.6"}, "OPENSSL 3.0.9"), "distroless/base-debian12", "yes"},
		{linux("gnu", []string{"libcrypto.so.3", "libc.so.6"}, "OPENSSL 3.2.0"), "distroless/base-debian12", "no library-missing libcrypto.so.3"},
		{linux("gnu", []string{"libcrypto.so.3", "libz.so.1", "libc.so.6"}, "OPENSSL 3.2.0", "ZLIB 1.2.9"), "distroless/base-debian13", "yes"},
		{linux("gnu", []string{"libgomp.so.1", "libc.so.6"}, "GOMP 4.0"), "distroless/cc-debian12", "yes"}, {linux("gnu", []string{"libgomp.so.1", "libc.so.6"}), "distroless/base-debian12", "no library-missing libgomp.so.1"},
		{with(mac("arm64", "11.0", "", "@rpath/x.dylib"), func(i *program.Info) { i.Libraries[0].Optional = true }), "macOS 14", "yes"},
		{mac("amd64", "10.13", ""), "macOS 26", "yes"}, {mac("amd64", "10.13", ""), "macOS 27", "unknown needs-rosetta"}, {mac("arm64", "11.0", ""), "macOS 27", "yes"},
		{linux("musl", []string{"libc.so"}, "musl 1.2.3"), "Alpine 3.15", "no musl-too-old musl 1.2.3"}, {linux("musl", []string{"libc.so"}, "musl 1.2.3"), "Alpine 3.16", "yes"},
		{linux("gnu", []string{"/opt/lib/libc.so.6"}), "Debian 12", "unknown library-missing /opt/lib/libc.so.6"}, {linux("gnu", []string{"/lib64/libc.so.6"}), "RHEL 9", "yes"},
		{linux("gnu", []string{"libc.so.6"}, "GLIBC_PRIVATE "), "Debian 12", "unknown glibc-private GLIBC_PRIVATE"},
		{linux("gnu", []string{"libstdc++.so.6", "libc.so.6"}, "libstdc++ 3.4.33"), "Fedora 40", "yes"}, {linux("gnu", []string{"libstdc++.so.6", "libc.so.6"}, "libstdc++ 3.4.34"), "Fedora 42", "yes"},
		{windows("api-ms-win-core-synch-l1-2-0.dll!WakeByAddressAll"), "Windows 8.1", "yes"}, {windows("api-ms-win-core-synch-l1-2-0.dll"), "Windows 7", "no dll-missing api-ms-win-core-synch-l1-2-0.dll"},
		{with(windows("KERNEL32.dll", "later.dll"), func(i *program.Info) { i.Libraries[1].Delayed = true }), "Windows 10", "unknown library-missing later.dll"},
		{windows("d3dcompiler_47.dll"), "Windows 8.1", "yes"}, {windows("d3dcompiler_47.dll"), "Windows 8", "no dll-missing d3dcompiler_47.dll"},
		{windows("mfplat.dll"), "Windows Server 2022", "unknown library-missing mfplat.dll"}, {windows("mfplat.dll"), "Windows 10", "yes"}, {windows("ntoskrnl.exe", "HAL.dll"), "Windows 10", "yes"},
		{with(windows("mscoree.dll"), func(i *program.Info) { i.DotNet = "v4.0.30319" }), "Windows 10", "unknown dotnet-missing v4.0.30319"},
		{&program.Info{Format: program.ELF, Kind: program.Executable, OS: "freebsd", Arch: "amd64", Libraries: []program.Library{{Name: "libc.so.7"}, {Name: "libsys.so.7"}}}, "FreeBSD 14", "no os-too-old FreeBSD 15"},
		{with(mac("amd64", "10.13", ""), func(i *program.Info) { i.Go = &program.GoInfo{} }), "macOS 10.13", "yes"},
		{with(mac("amd64", "10.13", ""), func(i *program.Info) { i.Go = &program.GoInfo{Version: "unknown"} }), "macOS 10.13", "yes"},
		{with(windows("kernel32.dll"), func(i *program.Info) { i.Go = &program.GoInfo{Version: "devel go1.20-abc"} }), "Windows 7", "yes"},
		{with(windows("kernel32.dll"), func(i *program.Info) { i.Go = &program.GoInfo{Version: "devel +abc"} }), "Windows 7", "no go-too-new devel +abc"},
	} {
		if got := verdictText(t, tt.i, tt.on); got != tt.want {
			t.Errorf("%s %s %v on %s: %q, want %q", tt.i.Arch, tt.i.Interpreter, tt.i.Libraries, tt.on, got, tt.want)
		}
	}
}

// TestRequirementsOfMore: promises about what is not known are not kept.
func TestRequirementsOfMore(t *testing.T) {
	net := with(windows("mscoree.dll"), func(i *program.Info) { i.DotNet = "v4.0.30319" })
	for _, tt := range []struct {
		require string
		i       *program.Info
		want    string
	}{
		{"glibc<=2.99", linux("gnu", []string{"libc.so.6"}, "GLIBC_PRIVATE ", "glibc 2.4"), "no asks-glibc GLIBC_PRIVATE"},
		{"windows-plain", net, "no needs-libraries .NET v4.0.30319"}, {"static", net, "no needs-libraries .NET v4.0.30319"},
		{"windows<=7", windows("KERNEL32.dll!WaitOnAddress"), "no asks-system Windows 6.2 (KERNEL32.dll!WaitOnAddress)"}, {"windows<=8", windows("KERNEL32.dll!WaitOnAddress"), "yes"},
		{"windows<=7", windows("ucrtbase.dll"), "no asks-system Windows 10.0 (ucrtbase.dll)"}, {"windows<=7", windows("KERNEL32.dll", "other.dll"), "yes"}, {"windows<=10", windows("d3d12.dll"), "yes"},
		{"windows<=8.1", with(windows("KERNEL32.dll"), func(i *program.Info) { i.Arch = "arm64" }), "no asks-system Windows 10.0"},
		{"macos<=10.15", mac("arm64", "10.14", ""), "no asks-system macOS 11"}, {"macos<=10.15", mac("amd64", "10.14", ""), "yes"},
		{"glibcxx<=3.4.25", linux("gnu", []string{"libstdc++.so.6", "libc.so.6"}, "libstdc++ 3.4.21", "CXXABI 1.3.13"), "no asks-glibcxx CXXABI_1.3.13"},
		{"glibcxx<=3.4.29", linux("gnu", []string{"libstdc++.so.6", "libc.so.6"}, "libstdc++ 3.4.21", "CXXABI 1.3.13"), "yes"},
		{"musl", with(linux("gnu", []string{"libm.so.6", "libc.so.6"}), func(i *program.Info) { i.Kind, i.Interpreter = program.Shared, "" }), "no needs-glibc libc.so.6"},
		{"musl", with(linux("uclibc", []string{"libc.so.0"}), func(i *program.Info) { i.Interpreter = "/lib/ld-uClibc.so.0" }), "no other-libc uclibc"},
		{"musl", with(linux("", []string{"libx.so"}), func(i *program.Info) { i.Interpreter = "/opt/ld.so" }), "no other-libc /opt/ld.so"},
		{"os=macos", mac("arm64", "11", ""), "yes"}, {"arch=x86_64", linux("", nil), "yes"}, {"arch=aarch64", mac("arm64", "11", ""), "yes"}, {"os=linux", &program.Info{Format: program.ELF, Kind: program.Core}, "no other-os ?"},
		{"go>=1.2", with(linux("", nil), func(i *program.Info) { i.Go = &program.GoInfo{} }), "no not-go "},
		{"go>=1.2", with(linux("", nil), func(i *program.Info) { i.Go = &program.GoInfo{Version: "devel +abc"} }), "yes"},
	} {
		r, err := program.ParseRequirement(tt.require)
		if err != nil {
			t.Fatal(err)
		}
		out := r.Check(tt.i)
		got := out.Met
		if out.Code != "" {
			got += " " + out.Code + " " + out.Detail
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.require, got, tt.want)
		}
	}
	for _, text := range []string{"glibc<2.34", "glibc<=", "glibc==2.34", "runs-on=", "size<20MB"} {
		var re *program.RequirementError
		if _, err := program.ParseRequirement(text); !errors.As(err, &re) || re.Kind != "value" || re.Near == "" {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestRunsOnNames: what people call a release.
func TestRunsOnNames(t *testing.T) {
	old := linux("gnu", []string{"libc.so.6"}, "glibc 9")
	for name, want := range map[string]string{
		"rhel-7.9": "RHEL 7", "centos 7.9.2009": "RHEL 7", "debian-12.5": "Debian 12", "alpine-3.20.3": "Alpine 3.20", "al2023": "Amazon Linux 2023", "al2": "Amazon Linux 2", "ubuntu-22.04.4": "Ubuntu 22.04",
		"leap 15.6": "openSUSE Leap 15.6", "fedora-43": "Fedora 43", "ubuntu-24.10": "", "debian-99": "", "leap-15.7": "", "rhel-": "RHEL 7",
	} {
		r, err := program.ParseRequirement("runs-on=" + name)
		if want == "" {
			if !errors.Is(err, program.ErrRequirement) {
				t.Errorf("%s: %v, %v", name, r, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := r.Check(old).Verdict; got == nil || got.Platform.Name != want {
			t.Errorf("%s: %+v, want %s", name, got, want)
		}
	}
}

// TestNotGo: a program of C for macOS has a section __got, and Go has no part in it.
func TestNotGo(t *testing.T) {
	for _, arch := range []string{"arm64", "x86_64"} {
		b := load(t, appleProgram(t, arch))
		if i := readBytes(t, b); !bytes.Contains(b, []byte("__got\x00")) || i.Go != nil {
			t.Errorf("%s: Go %+v", arch, i.Go)
		}
	}
}

// TestCPU: the mark of the C library stays what it is, whatever Go was told; readelf says the same.
func TestCPU(t *testing.T) {
	c := compile(t, "elf-armhf", "arm-linux-gnueabihf-gcc", "p.c")
	if i := read(t, c); i.CPU != "v7" || !strings.Contains(run(t, nil, "", "readelf", "-A", c), "Tag_CPU_arch: v7") {
		t.Errorf("C for v7: %q", i.CPU)
	}
	// What cgo makes with GOARM=6 has this, beside the same C library.
	mod := strings.Repeat("x", 16) + "path\tx\nmod\tx\t(devel)\t\nbuild\tGOARM=6\n" + strings.Repeat("x", 16)
	info := "\xff Go buildinf:\x04\x02" + strings.Repeat("\x00", 16) + "\x08go1.26.8" + string(rune(len(mod))) + mod
	var list []string
	for _, b := range []byte(info) {
		list = append(list, strconv.Itoa(int(b)))
	}
	source(t, "goarm.c", `__attribute__((section(".go.buildinfo"), aligned(16), used)) unsigned char info[] = {`+strings.Join(list, ",")+"};\nint main(void) { return 0; }\n")
	both := compile(t, "elf-armhf-go", "arm-linux-gnueabihf-gcc", "goarm.c")
	if i := read(t, both); i.Detail != "v6" || i.CPU != "v7" || i.Go == nil {
		t.Errorf("GOARM=6 with a C library for v7: variant %q, processor %q", i.Detail, i.CPU)
	}
	if i := read(t, compile(t, "elf-v3", "gcc", "-O2", "-march=x86-64-v3", "-mneeded", "p.c")); i.CPU != "v3" {
		t.Errorf("x86-64-v3: %q", i.CPU)
	}
	if i := read(t, compile(t, "elf-default", "gcc", "p.c")); i.CPU != "" {
		t.Errorf("without a mark: %q", i.CPU)
	}
}

// source writes a source file to compile.
func source(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(made.dir, name), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestMoreFloors: what a program asks of its C library without a number.
func TestMoreFloors(t *testing.T) {
	source(t, "private.c", "extern int __nss_database_get(void); int main(void) { return __nss_database_get(); }\n")
	i := read(t, compile(t, "elf-private", "gcc", "private.c"))
	if f := i.Floor("GLIBC_PRIVATE"); f.Name == "" || !slices.Contains(f.Symbols, "__nss_database_get") {
		t.Errorf("%+v", i.Floors)
	}
	source(t, "newer.c", "#define _GNU_SOURCE\n#include <stdlib.h>\n#include <unistd.h>\n#pragma weak preadv2\nextern int preadv2();\n"+
		"int main(void) { return preadv2 && reallocarray(0, 1, 1) == 0; }\n")
	i = read(t, compile(t, "elf-musl-newer", "musl-gcc", "newer.c"))
	if f := i.Floor("musl"); f.Version != "1.2.2" || !slices.Equal(f.Symbols, []string{"reallocarray"}) {
		t.Errorf("musl: %+v", i.Floors)
	}
	source(t, "libown.c", "void *reallocarray(void *p, unsigned long n, unsigned long m) { return 0; }\n")
	own := compile(t, "libown.so", "musl-gcc", "-shared", "-fPIC", "-nostdlib", "-Wl,-soname,libown.so", "libown.c")
	i = read(t, compile(t, "elf-musl-own", "musl-gcc", "newer.c", own))
	if f := i.Floor("musl"); f.Name != "" {
		t.Errorf("a library of its own: %+v", i.Floors)
	}
	i = read(t, compile(t, "elf-gnu-newer", "gcc", "newer.c"))
	if f := i.Floor("musl"); f.Name != "" {
		t.Errorf("glibc: %+v", i.Floors)
	}
	// Packed relocations, as a linker makes them that does not ask glibc for what reads them.
	b := load(t, compile(t, "elf-packed", "gcc", "-Wl,-z,pack-relative-relocs", "p.c"))
	b = bytes.ReplaceAll(b, []byte("GLIBC_ABI_DT_RELR\x00"), []byte("GLIBC_2.2.5\x00\x00\x00\x00\x00\x00\x00"))
	if f := readBytes(t, b).Floor("glibc"); f.Version != "2.36" || !slices.Equal(f.Symbols, []string{"DT_RELR"}) {
		t.Errorf("packed relocations: %+v", f)
	}
}

// TestSplitOff: debugging information that was split off has no code, and is no damaged program.
func TestSplitOff(t *testing.T) {
	for name, file := range map[string]string{
		"elf": compile(t, "elf-default", "gcc", "p.c"), "elf, stripped": compile(t, "elf-stripped", "gcc", "-s", "p.c"), "pe": compile(t, "p.exe", "x86_64-w64-mingw32-gcc", "p.c"),
	} {
		out := filepath.Join(t.TempDir(), "x.debug")
		run(t, nil, "", map[bool]string{true: "x86_64-w64-mingw32-objcopy", false: "objcopy"}[name == "pe"], "--only-keep-debug", file, out)
		b := load(t, out)
		_, err := program.Read(bytes.NewReader(b), int64(len(b)))
		var no *program.NotBinaryError
		if !errors.As(err, &no) || no.Looks != "debug" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSameMember: a universal file whose programs are all the same part of it takes no more reading than others, and is told as
// damaged.
func TestSameMember(t *testing.T) {
	const at, size = 4096, 2 << 20
	b := make([]byte, at+size)
	o := binary.BigEndian
	o.PutUint32(b, 0xcafebabe)
	o.PutUint32(b[4:], 30)
	for n := range 30 {
		o.PutUint32(b[8+20*n+8:], at)
		o.PutUint32(b[8+20*n+12:], size)
	}
	// A program of one writable segment, which is searched for the marks of Go.
	l, f := binary.LittleEndian, b[at:]
	copy(f, "\x7fELF\x02\x01\x01")
	copy(f[16:], "\x02\x00\x3e\x00\x01")
	f[32], f[40], f[52], f[54], f[56], f[58], f[60] = 64, 128, 64, 56, 1, 64, 1
	l.PutUint32(f[64:], 1)
	l.PutUint32(f[68:], 6)
	l.PutUint64(f[64+32:], size)
	l.PutUint64(f[64+40:], size)
	readBytes(t, f)
	_, err := program.Read(bytes.NewReader(b), int64(len(b)))
	if d, ok := errors.AsType[*program.DamagedError](err); !ok || d.Format != program.Universal {
		t.Errorf("%v", err)
	}
}

// TestDotNet: an assembly says which runtime it was made for.
func TestDotNet(t *testing.T) {
	b := load(t, compile(t, "p.exe", "x86_64-w64-mingw32-gcc", "p.c"))
	o := binary.LittleEndian
	optional := int(o.Uint32(b[60:])) + 24
	sections := optional + int(o.Uint16(b[optional-4:]))
	addr, size, off := o.Uint32(b[sections+12:]), o.Uint32(b[sections+16:]), o.Uint32(b[sections+20:]) // .text
	o.PutUint32(b[optional+112+8*14:], addr)
	o.PutUint32(b[optional+112+8*14+4:], 72)
	if i := readBytes(t, b); i.DotNet != "CLR" {
		t.Errorf("a header that is none: %q", i.DotNet)
	}
	clear(b[off : off+400])
	o.PutUint32(b[off+8:], addr+100)
	copy(b[off+100:], "BSJB\x01\x00\x01\x00\x00\x00\x00\x00\x0c\x00\x00\x00v4.0.30319\x00\x00")
	if i := readBytes(t, b); i.DotNet != "v4.0.30319" || size < 400 {
		t.Errorf("%q", i.DotNet)
	}
}
