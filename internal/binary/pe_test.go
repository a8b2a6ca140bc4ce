package binary_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/binary"
)

// peFacts are what both Read and the judge, objdump, say of a PE file.
type peFacts struct {
	Bits, DLLs                                   int
	Kind                                         binary.Kind
	Windows                                      string
	Imports                                      map[string]string // of each library, with blanks between
	NX, DynamicBase, HighEntropy, CFG, HasSymbol bool
}

func peFactsOf(i *binary.Info) peFacts {
	f := peFacts{
		Bits: i.Bits, Kind: i.Kind, Windows: i.Floors[0].Version, Imports: map[string]string{}, NX: yes(i.Hardening.NX),
		DynamicBase: yes(i.Hardening.ASLR), HighEntropy: yes(i.Hardening.HighASLR), CFG: yes(i.Hardening.CFG), HasSymbol: !yes(i.Hardening.Stripped),
	}
	for _, l := range i.Libraries {
		if !l.Delayed {
			f.DLLs++
			f.Imports[l.Name] = strings.Join(l.Symbols, " ")
		}
	}
	return f
}

var (
	dllLine    = regexp.MustCompile(`(?m)^\s*DLL Name: (\S+)$`)
	memberLine = regexp.MustCompile(`(?m)^\s+[0-9a-f]+\s+(?:<none>\s+)?\d+\s+(?:<none>\s+)?(\S+)$`)
)

// judgePE asks objdump.
func judgePE(t *testing.T, file string) peFacts {
	t.Helper()
	text := run(t, nil, "", "objdump", "-p", file)
	value := func(name string) int {
		m := regexp.MustCompile(`(?m)^` + name + `\s+([0-9a-f]+)`).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("objdump says no %s:\n%s", name, text)
		}
		n, err := strconv.ParseInt(m[1], 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		return int(n)
	}
	flags := value("DllCharacteristics")
	relocations := !strings.Contains(text, "Entry 5 0000000000000000 00000000 ") && !strings.Contains(text, "Entry 5 00000000 00000000 ") &&
		!strings.Contains(text, "relocations stripped")
	f := peFacts{
		Bits: 32, Kind: binary.Executable, Windows: fmt.Sprintf("%d.%d", value("MajorSubsystemVersion"), value("MinorSubsystemVersion")),
		Imports: map[string]string{}, NX: flags&0x100 != 0, DynamicBase: flags&0x40 != 0 && relocations, CFG: flags&0x4000 != 0,
		HasSymbol: !strings.Contains(run(t, nil, "", "objdump", "-t", file), "no symbols"),
	}
	if value("Magic") == 0x20b {
		f.Bits = 64
		f.HighEntropy = f.DynamicBase && flags&0x20 != 0
	}
	if regexp.MustCompile(`(?m)^\tDLL$`).MatchString(text) {
		f.Kind = binary.Shared
	}
	where := dllLine.FindAllStringSubmatchIndex(text, -1)
	for i, w := range where {
		end := len(text)
		if i+1 < len(where) {
			end = where[i+1][0]
		}
		part, _, _ := strings.Cut(text[w[1]:end], "\n\n")
		var names []string
		for _, m := range memberLine.FindAllStringSubmatch(part, -1) {
			names = append(names, m[1])
		}
		slices.Sort(names)
		f.DLLs++
		f.Imports[text[w[2]:w[3]]] = strings.Join(slices.Compact(names), " ")
	}
	return f
}

// TestPEAgainstObjdump reads what compilers made and compares it with what objdump says.
func TestPEAgainstObjdump(t *testing.T) {
	files := []struct{ name, arch, libc, file string }{
		{"gcc 2009, 386", "386", "msvcrt", goroot(t, "debug/pe/testdata/gcc-386-mingw-exec")},
		{"gcc, amd64", "amd64", "msvcrt", goroot(t, "debug/pe/testdata/gcc-amd64-mingw-exec")},
		{"mingw amd64", "amd64", "msvcrt", compile(t, "p.exe", "x86_64-w64-mingw32-gcc", "p.c")},
		{"mingw 386", "386", "msvcrt", compile(t, "p32.exe", "i686-w64-mingw32-gcc", "-s", "p.c")},
		{"mingw C++", "amd64", "msvcrt", compile(t, "pcc.exe", "x86_64-w64-mingw32-g++-posix", "p.cc")},
		{"mingw C++, static", "amd64", "msvcrt", compile(t, "pccs.exe", "x86_64-w64-mingw32-g++-posix", "-static", "p.cc")},
		{"mingw library", "amd64", "msvcrt", compile(t, "l.dll", "x86_64-w64-mingw32-gcc", "-shared", "l.c")},
		{"mingw, fixed address", "amd64", "msvcrt", compile(t, "fixed.exe", "x86_64-w64-mingw32-gcc", "-Wl,--disable-dynamicbase,--disable-nxcompat", "p.c")},
		{"Go", "amd64", "", goBuild(t, "gow.exe", "go", "windows/amd64", nil, "-ldflags=-w")}, // objdump trips over compressed debug sections
		{"Go, stripped", "amd64", "", goBuild(t, "gos.exe", "go", "windows/amd64", nil, "-ldflags=-s")},
	}
	for _, c := range files {
		t.Run(c.name, func(t *testing.T) {
			i := read(t, c.file)
			if diff := cmp.Diff(judgePE(t, c.file), peFactsOf(i)); diff != "" {
				t.Errorf("objdump (-) and Read (+) disagree:\n%s", diff)
			}
			if diff := cmp.Diff([]string{"pe", "windows", c.arch, c.libc}, []string{string(i.Format), i.OS, i.Arch, i.Libc}); diff != "" {
				t.Errorf("format, OS, Arch, Libc (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPELibraries: what a plain Windows lacks is seen, also what is loaded on first use and by number.
func TestPELibraries(t *testing.T) {
	names := func(i *binary.Info) (list []string) {
		for _, l := range i.Libraries {
			list = append(list, l.Name)
		}
		return list
	}
	lacking := names(read(t, compile(t, "pcc.exe", "x86_64-w64-mingw32-g++-posix", "p.cc")))
	for _, want := range []string{"libstdc++-6.dll", "libgcc_s_seh-1.dll"} {
		if !slices.Contains(lacking, want) {
			t.Errorf("%s is not among %q", want, lacking)
		}
	}
	if plain := names(read(t, compile(t, "pccs.exe", "x86_64-w64-mingw32-g++-posix", "-static", "p.cc"))); !slices.Equal(plain, []string{"KERNEL32.dll", "msvcrt.dll"}) {
		t.Errorf("linked statically it asks for %q", plain)
	}
	i := read(t, delayed(t))
	at := slices.IndexFunc(i.Libraries, func(l binary.Library) bool { return l.Name == "later.dll" })
	if at < 0 || !i.Libraries[at].Delayed || !slices.Equal(i.Libraries[at].Symbols, []string{"#7", "byname"}) {
		t.Errorf("later.dll, loaded on first use, by name and by number: %+v", i.Libraries)
	}
}

// TestPEObjects: objects are told from programs, and what is no program is not taken for one.
func TestPEObjects(t *testing.T) {
	for _, file := range []string{
		compile(t, "l.obj", "x86_64-w64-mingw32-gcc", "-c", "l.c"), goroot(t, "debug/pe/testdata/gcc-386-mingw-obj"),
		goroot(t, "debug/pe/testdata/llvm-mingw-20211002-msvcrt-x86_64-crt2"),
	} {
		if i := read(t, file); i.Kind != binary.Object || i.OS != "windows" || i.Format != binary.PE {
			t.Errorf("%s: %+v", file, i)
		}
	}
}
