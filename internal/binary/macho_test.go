package binary_test

import (
	"bytes"
	"debug/macho"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/binary"
)

// decoded returns a test file of the go command's own, programs by Apple's compilers.
func decoded(t testing.TB, name string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(string(load(t, goroot(t, name+".base64"))))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestMachO reads what clang, gcc and Go made. The judge of libraries is debug/macho; the rest stands in the table.
func TestMachO(t *testing.T) {
	cases := []struct {
		name                          string
		file                          []byte
		arch, floor                   string
		runPath                       string
		pie, stripped, canary, signed bool
	}{
		{"clang arm64", load(t, appleProgram(t, "arm64")), "arm64", "10.14", "@executable_path/../lib", true, false, false, true},
		{"clang x86_64", load(t, appleProgram(t, "x86_64")), "amd64", "10.14", "@executable_path/../lib", true, false, false, false},
		{"Apple's clang, 386", decoded(t, "debug/macho/testdata/clang-386-darwin-exec-with-rpath"), "386", "10.12", "/my/rpath", true, false, false, false},
		{"Apple's clang, amd64", decoded(t, "debug/macho/testdata/clang-amd64-darwin-exec-with-rpath"), "amd64", "10.12", "/my/rpath", true, false, false, false},
		{"Apple's gcc, amd64", decoded(t, "debug/macho/testdata/gcc-amd64-darwin-exec"), "amd64", "", "", false, false, false, false},
		{"Go", load(t, goBuild(t, "go-darwin", "go", "darwin/arm64", nil)), "arm64", "12.0", "", true, false, false, true},
		{"Go, stripped", load(t, goBuild(t, "go-darwin-s", "go", "darwin/arm64", nil, "-ldflags=-s")), "arm64", "12.0", "", true, true, false, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			i := readBytes(t, c.file)
			if i.Format != binary.MachO || i.OS != "darwin" || i.Kind != binary.Executable || i.Arch != c.arch || i.Static || i.Interpreter != "/usr/lib/dyld" {
				t.Errorf("%+v", i)
			}
			got := ""
			if len(i.Floors) > 0 {
				got = i.Floors[0].Version
			}
			if got != c.floor || strings.Join(i.RunPath, " ") != c.runPath {
				t.Errorf("floor %q, want %q; run path %q, want %q", got, c.floor, i.RunPath, c.runPath)
			}
			h := i.Hardening
			if diff := cmp.Diff([]bool{c.pie, c.stripped, c.canary, c.signed}, []bool{yes(h.PIE), yes(h.Stripped), yes(h.Canary), yes(h.Signed)}); diff != "" {
				t.Errorf("PIE, stripped, canary, signed (-want +got):\n%s", diff)
			}
			judge, err := macho.NewFile(bytes.NewReader(c.file))
			if err != nil {
				t.Fatal(err)
			}
			want, err := judge.ImportedLibraries()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, factsOf(i).Libraries); diff != "" {
				t.Errorf("debug/macho (-) and Read (+) disagree:\n%s", diff)
			}
		})
	}
}

// TestUniversal reads files with programs for several machines, in both layouts.
func TestUniversal(t *testing.T) {
	arm, amd := appleProgram(t, "arm64"), appleProgram(t, "x86_64")
	for name, file := range map[string][]byte{
		"amd64 arm64": universal(t, false, amd, arm), "arm64 amd64": universal(t, true, arm, amd), "386 amd64": decoded(t, "debug/macho/testdata/fat-gcc-386-amd64-darwin-exec"),
	} {
		i := readBytes(t, file)
		var arches []string
		for _, m := range i.Members {
			if m.Format != binary.MachO || m.Kind != binary.Executable || len(m.Libraries) == 0 {
				t.Errorf("%s: %+v", name, m)
			}
			arches = append(arches, m.Arch)
		}
		if i.Format != binary.Universal || i.OS != "darwin" || i.Static || strings.Join(arches, " ") != name {
			t.Errorf("%s: %q %+v", name, arches, i)
		}
	}
}

// TestMachOObjects: objects are told from programs.
func TestMachOObjects(t *testing.T) {
	for _, name := range []string{"clang-386-darwin.obj", "clang-amd64-darwin.obj", "clang-amd64-darwin-ld-r.obj"} {
		if i := readBytes(t, decoded(t, "debug/macho/testdata/"+name)); i.Kind != binary.Object || i.Format != binary.MachO {
			t.Errorf("%s: %+v", name, i)
		}
	}
}
