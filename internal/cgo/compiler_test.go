package cgo

import (
	"slices"
	"strings"
	"testing"
)

// TestShown wants the line of a compiler as a person would write it, and for the manifest without folders of this machine.
func TestShown(t *testing.T) {
	for _, c := range []struct {
		family      Family
		cc          string
		line, plain string // plain "": as line
	}{
		{family: GCC, cc: "gcc", line: "gcc"},
		{family: GCC, cc: "/opt/x/bin/aarch64-linux-gnu-gcc --sysroot=/srv/pi", line: "/opt/x/bin/aarch64-linux-gnu-gcc --sysroot=/srv/pi", plain: "aarch64-linux-gnu-gcc --sysroot=pi"},
		{family: User, cc: "gcc -L/home/me/lib -Wl,-rpath,/home/me/lib -DDIR=/usr/share -march=armv6", line: "gcc -L/home/me/lib -Wl,-rpath,/home/me/lib -DDIR=/usr/share -march=armv6", plain: "gcc -Llib -Wl,-rpath,lib -DDIR=/usr/share -march=armv6"},
		{family: Zig, cc: "/home/me/bin/goferry cgo cc --zig=/opt/zig/zig --zig-version=0.16.0 cc -target x86_64-linux-gnu.2.17", line: "zig cc -target x86_64-linux-gnu.2.17"},
		{family: Zig, cc: "/opt/zig/zig cc -target aarch64-macos -isysroot /sdk -F/sdk/Frameworks", line: "zig cc -target aarch64-macos -isysroot /sdk -F/sdk/Frameworks", plain: "zig cc -target aarch64-macos -isysroot sdk -FFrameworks"},
	} {
		cc := Compiler{Family: c.family, CC: strings.Fields(c.cc)}
		if got := cc.Line(); got != c.line {
			t.Errorf("got %q, want %q", got, c.line)
		}
		if c.plain == "" {
			c.plain = c.line
		}
		if got := strings.Join(plainCC(cc.Shown()), " "); got != c.plain {
			t.Errorf("in the manifest %q, want %q", got, c.plain)
		}
		if !slices.Equal(cc.CC, strings.Fields(c.cc)) {
			t.Errorf("changed: %q", cc.CC)
		}
	}
}

// TestZigSaid wants no word about goferry in what the linker says of how it started zig.
func TestZigSaid(t *testing.T) {
	c := &Compiler{Family: Zig, CC: strings.Fields("/bin/goferry cgo cc --zig=/opt/zig --zig-version=0.16.0 cc -target x86_64-linux-musl")}
	f := explainGo("# example.com/app\n/go/link: running /bin/goferry failed: exit status 1\n/bin/goferry cgo cc --zig=/opt/zig --zig-version=0.16.0 cc -target x86_64-linux-musl -m64 -o a.out\nerror: odd\n", c, false)
	want := []string{"/go/link: running zig failed: exit status 1", "zig cc -target x86_64-linux-musl -m64 -o a.out", "error: odd"}
	if !slices.Equal(f.Lines, want) || f.Compiler != "zig cc -target x86_64-linux-musl" {
		t.Errorf("%q, %q", f.Lines, f.Compiler)
	}
}
