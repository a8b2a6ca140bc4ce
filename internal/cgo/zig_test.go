package cgo

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goferry/goferry/internal/gocmd"
)

// TestMain lets the test binary be what goferry is to zig.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "as-cc" {
		os.Exit(asCC())
	}
	os.Exit(m.Run())
}

func asCC() int {
	call, err := ParseZigCall(os.Args[2:])
	if err == nil {
		var code int
		if code, err = (&gocmd.Runner{}).Exec(context.Background(), gocmd.ExecCmd{Argv: call.Argv(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}); err == nil {
			return code
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 2
}

func TestZigFilter(t *testing.T) {
	for _, c := range []struct{ version, args, want string }{
		// What go 1.26 gives the linker for windows, and for darwin.
		{"0.16.0", "cc -target x86_64-windows-gnu -m64 -mconsole -Wl,--dynamicbase -Wl,--high-entropy-va -Wl,--no-insert-timestamp -Wl,-T,/tmp/x/fix.ld -Wl,--start-group -lmingwex -lmingw32 -Wl,--end-group -lkernel32",
			"cc -fno-sanitize=undefined -target x86_64-windows-gnu -m64 -mconsole -Wl,--dynamicbase -Wl,--high-entropy-va -lmingwex -lmingw32 -lkernel32"},
		{"0.11.0-dev.2834+13101295b", "cc -target x86_64-windows-gnu -Wl,--dynamicbase -Wl,--nxcompat -Wl,--high-entropy-va -lkernel32", "cc -fno-sanitize=undefined -target x86_64-windows-gnu -lkernel32"},
		{"0.13.0", "cc -target aarch64-macos -arch arm64 -Wl,-headerpad,1144 -Wl,-S -Wl,-x -Wl,-no_uuid -o a.out -lresolv main.o -framework CoreFoundation -framework Security", "cc -fno-sanitize=undefined -target aarch64-macos -Wl,-headerpad,1144 -o a.out main.o -framework Security"},
		{"0.11.0", "cc -target x86_64-macos -arch x86_64 -m64 -Wl,-headerpad,1144 -Wl,-no_pie -o a.out", "cc -fno-sanitize=undefined -target x86_64-macos -m64 -o a.out"},
		{"0.16.0", "cc -target aarch64-macos -isysroot /sdk -lresolv -framework CoreFoundation", "cc -fno-sanitize=undefined -target aarch64-macos -isysroot /sdk -lresolv -framework CoreFoundation"},
		{"0.16.0", "c++ -target x86_64-linux-musl -g -fsanitize=undefined -c a.cc", "c++ -target x86_64-linux-musl -g -fsanitize=undefined -c a.cc"},
		{"0.16.0", "cc", "cc"},
		// Linux knows all of it, and a word alone is not a flag of the linker.
		{"0.16.0", "cc -target x86_64-linux-gnu.2.17 -Wl,-z,relro -Wl,--build-id=none -Wl,--compress-debug-sections=zlib -T x", "cc -fno-sanitize=undefined -target x86_64-linux-gnu.2.17 -Wl,-z,relro -Wl,--build-id=none -Wl,--compress-debug-sections=zlib -T x"},
	} {
		if got := strings.Join(zigFilter(c.version, strings.Fields(c.args)), " "); got != c.want {
			t.Errorf("%s: %s\ngot  %s\nwant %s", c.version, c.args, got, c.want)
		}
	}
}

func TestParseZigCall(t *testing.T) {
	call, err := ParseZigCall([]string{"--zig=/opt/zig 1/zig", "--zig-version=0.16.0", "c++", "-target", "x86_64-linux-musl", "a.cc"})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/opt/zig 1/zig", "c++", "-fno-sanitize=undefined", "-target", "x86_64-linux-musl", "a.cc"}; !slices.Equal(call.Argv(), want) {
		t.Errorf("got %q, want %q", call.Argv(), want)
	}
	for _, line := range []string{"", "check", "--zig=x --zig-version=1", "--zig=x --zig-version=1 build", "--zig-version=1 --zig=x cc"} {
		if _, err := ParseZigCall(strings.Fields(line)); err == nil {
			t.Errorf("%q is read", line)
		}
	}
}

func TestZigTriple(t *testing.T) {
	for target, want := range map[string]string{
		"linux/amd64": "x86_64-linux-gnu", "linux/386/musl": "x86-linux-musl", "linux/arm/v7": "arm-linux-gnueabihf", "linux/arm/v5/musl": "arm-linux-musleabi",
		"linux/mips64le": "mips64el-linux-gnuabi64", "windows/arm64": "aarch64-windows-gnu", "windows/amd64/msvcrt": "", "darwin/arm64": "aarch64-macos",
		"freebsd/arm": "arm-freebsd-eabihf", "openbsd/arm": "arm-openbsd-eabi", "netbsd/amd64": "x86_64-netbsd", "solaris/amd64": "",
	} {
		if got, _ := zigTriple(parsed(t, target)); got != want {
			t.Errorf("%s: got %s, want %s", target, got, want)
		}
	}
}

func parsed(t *testing.T, text string) Target {
	t.Helper()
	target, err := ParseTarget(text)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func TestForStatic(t *testing.T) {
	zig := Compiler{Target: parsed(t, "linux/arm64"), Family: Zig, Libc: GNU, CC: []string{"zig", "cc", "-target", "aarch64-linux-gnu"}, CXX: []string{"zig", "c++", "-target", "aarch64-linux-gnu"}}
	got := zig.forStatic()
	if got.CC[3] != "aarch64-linux-musl" || got.CXX[3] != "aarch64-linux-musl" || got.Libc != Musl || zig.CC[3] != "aarch64-linux-gnu" {
		t.Errorf("%+v of %+v", got, zig)
	}
	zig.Target = parsed(t, "linux/arm64/gnu")
	if got := zig.forStatic(); got.CC[3] != "aarch64-linux-gnu" {
		t.Errorf("glibc was asked for: %+v", got)
	}
}
