package cgo

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestNamed wants no path in what the go command is told of compilers that goferry brings: it would be in the bytes of the program.
func TestNamed(t *testing.T) {
	m := newMachine(t)
	r := &buildRun{Builder: &Builder{Runner: m.f.Runner, Finder: m.f}, tmp: t.TempDir()}
	zig := func(dir string) Compiler {
		words := strings.Fields(dir + "/gf cgo cc --zig=" + dir + "/z --zig-version=0.16.0")
		target := []string{"-target", "aarch64-macos", "-isysroot", "/sdk"}
		return Compiler{Family: Zig, CC: slices.Concat(words, []string{"cc"}, target), CXX: slices.Concat(words, []string{"c++"}, target), AR: []string{dir + "/z", "ar"}, Env: []string{"A=b"}}
	}
	got := r.named(zig("/opt/one"))
	for _, c := range []struct {
		words []string
		want  string
	}{
		{got.CC, "goferry cgo cc --zig=zig --zig-version=0.16.0 cc -target aarch64-macos -isysroot /sdk"},
		{got.CXX, "goferry cgo cc --zig=zig --zig-version=0.16.0 c++ -target aarch64-macos -isysroot /sdk"},
		{got.AR, "zig ar"},
		{got.Env, "A=b PATH=" + r.links() + ":" + m.bin},
		{got.Shown(), "zig cc -target aarch64-macos -isysroot /sdk"},
	} {
		if line := strings.Join(c.words, " "); line != c.want {
			t.Errorf("got %q, want %q", line, c.want)
		}
	}
	for name, want := range map[string]string{"goferry": "/opt/one/gf", "zig": "/opt/one/z"} {
		if to, err := os.Readlink(filepath.Join(r.links(), name)); err != nil || to != want {
			t.Errorf("%s: %q, %v", name, to, err)
		}
	}
	// Another one of the same name stays a path; and what is found by name, or is the user's, is not touched.
	for _, c := range []Compiler{
		zig("/opt/two"),
		{Family: GCC, CC: []string{"gcc"}, From: "PATH"},
		{Family: User, CC: []string{"/opt/x/gcc", "-O1"}, From: "CC"},
		{Family: GCC, CC: []string{"/opt/x/gcc"}, From: "/opt/x"},
	} {
		if got := r.named(c); !slices.Equal(got.CC, c.CC) || !slices.Equal(got.AR, c.AR) || !slices.Equal(got.Env, c.Env) {
			t.Errorf("%+v of %+v", got, c)
		}
	}
	home := r.named(Compiler{Family: MinGW, CC: []string{"/home/me/.goferry/cc/x/bin/w64-gcc", "-O1"}, From: "goferry"})
	if !slices.Equal(home.CC, []string{"w64-gcc", "-O1"}) || len(home.CXX)+len(home.AR) > 0 {
		t.Errorf("%+v", home)
	}
}
