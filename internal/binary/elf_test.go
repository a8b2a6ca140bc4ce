package binary_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/binary"
)

// elfFacts are what both Read and the judges, readelf and file, say of an ELF file.
type elfFacts struct {
	Bits                              int
	Kind                              binary.Kind
	Interpreter                       string
	Libraries, RunPath                []string
	Floors                            map[string]string
	Symbols                           map[string]string // of each floor, with blanks between
	Static, PIE, NX, Canary, Stripped bool
	RELRO                             string
}

func factsOf(i *binary.Info) elfFacts {
	f := elfFacts{
		Bits: i.Bits, Kind: i.Kind, Interpreter: i.Interpreter, RunPath: i.RunPath, Static: i.Static, RELRO: i.Hardening.RELRO,
		Floors: map[string]string{}, Symbols: map[string]string{}, PIE: yes(i.Hardening.PIE), NX: yes(i.Hardening.NX),
		Canary: yes(i.Hardening.Canary), Stripped: yes(i.Hardening.Stripped),
	}
	for _, l := range i.Libraries {
		f.Libraries = append(f.Libraries, l.Name)
	}
	for _, fl := range i.Floors {
		if fl.Name == "kernel" {
			continue
		}
		f.Floors[fl.Name], f.Symbols[fl.Name] = fl.Version, strings.Join(fl.Symbols, " ")
	}
	return f
}

func yes(b *bool) bool { return b != nil && *b }

var (
	interpreterLine = regexp.MustCompile(`Requesting program interpreter: (.*)]`)
	neededLine      = regexp.MustCompile(`\(NEEDED\)\s+Shared library: \[(.*)]`)
	runPathLine     = regexp.MustCompile(`\((?:RUNPATH|RPATH)\)\s+Library r(?:un)?path: \[(.*)]`)
	needLine        = regexp.MustCompile(`Name: (\S+)  Flags: (\S+)  Version: `)
	importLine      = regexp.MustCompile(`(?m) UND ([^@\s]+)(?:@(\S+))?`)
	setName         = regexp.MustCompile(`^(.+)_([0-9]+(?:\.[0-9]+)*)$`)
)

// judgeELF asks readelf and file.
func judgeELF(t *testing.T, file string) elfFacts {
	t.Helper()
	head := run(t, nil, "", "readelf", "-hldW", file)
	what := run(t, nil, "", "file", "-bL", file)
	f := elfFacts{Bits: 32, Kind: binary.Executable, Floors: map[string]string{}, Symbols: map[string]string{}, RELRO: "none"}
	if strings.Contains(head, "ELF64") {
		f.Bits = 64
	}
	if strings.Contains(head, "(SONAME)") || strings.Contains(what, "shared object") && !strings.Contains(what, "pie executable") && !strings.Contains(what, "interpreter") {
		f.Kind = binary.Shared
	}
	if m := interpreterLine.FindStringSubmatch(head); m != nil {
		f.Interpreter = m[1]
	}
	for _, m := range neededLine.FindAllStringSubmatch(head, -1) {
		f.Libraries = append(f.Libraries, m[1])
	}
	for _, m := range runPathLine.FindAllStringSubmatch(head, -1) {
		f.RunPath = append(f.RunPath, strings.Split(m[1], ":")...)
	}
	f.Static = f.Kind == binary.Executable && (strings.Contains(what, "statically linked") || strings.Contains(what, "static-pie linked"))
	f.PIE = f.Kind == binary.Executable && strings.Contains(head, "DYN (")
	f.Stripped = strings.Contains(what, ", stripped")
	f.NX = strings.Contains(head, "GNU_STACK") && !regexp.MustCompile(`GNU_STACK .* RWE `).MatchString(head)
	if strings.Contains(head, "GNU_RELRO") {
		f.RELRO = "partial"
		if regexp.MustCompile(`\(BIND_NOW\)|\(FLAGS\).*BIND_NOW|FLAGS_1.*NOW`).MatchString(head) {
			f.RELRO = "full"
		}
	}
	f.judgeVersions(t, file)
	return f
}

// judgeVersions finds the highest version of each set among those that readelf lists, and the symbols that have it.
func (f *elfFacts) judgeVersions(t *testing.T, file string) {
	t.Helper()
	by := map[string][]string{}
	_, needs, _ := strings.Cut(run(t, nil, "", "readelf", "-VW", file), "Version needs section")
	for _, m := range needLine.FindAllStringSubmatch(needs, -1) {
		s := setName.FindStringSubmatch(m[1])
		if m[1] == "GLIBC_ABI_DT_RELR" { // glibc's NEWS for 2.36
			s = []string{m[1], "GLIBC", "2.36"}
			by["glibc"] = append(by["glibc"], m[1])
		}
		if m[1] == "GLIBC_PRIVATE" { // a set without numbers
			s = []string{m[1], m[1], ""}
		}
		if s == nil || strings.Contains(m[2], "WEAK") {
			continue
		}
		if name := floorName(s[1]); f.Floors[name] == "" || slices.Compare(numbers(s[2]), numbers(f.Floors[name])) > 0 {
			f.Floors[name] = s[2]
		}
	}
	for _, m := range importLine.FindAllStringSubmatch(run(t, nil, "", "readelf", "--dyn-syms", "-W", file), -1) {
		f.Canary = f.Canary || strings.HasPrefix(m[1], "__stack_chk_fail")
		if m[2] == "GLIBC_PRIVATE" {
			by[m[2]] = append(by[m[2]], m[1])
		}
		if s := setName.FindStringSubmatch(m[2]); s != nil && f.Floors[floorName(s[1])] == s[2] {
			by[floorName(s[1])] = append(by[floorName(s[1])], m[1])
		}
	}
	for name := range f.Floors {
		if f.Floors[name] != "2.36" {
			by[name] = slices.DeleteFunc(by[name], func(s string) bool { return s == "GLIBC_ABI_DT_RELR" })
		}
		slices.Sort(by[name])
		list := slices.Compact(by[name])
		f.Symbols[name] = strings.Join(list[:min(len(list), 10)], " ")
	}
}

func floorName(set string) string {
	switch set {
	case "GLIBC":
		return "glibc"
	case "GLIBCXX":
		return "libstdc++"
	case "GCC":
		return "libgcc"
	}
	return set
}

func numbers(v string) (list []int) {
	for s := range strings.SplitSeq(v, ".") {
		n, _ := strconv.Atoi(s)
		list = append(list, n)
	}
	return list
}

// TestELFAgainstReadelf reads what compilers made and compares all of it with what readelf and file say; OS, Arch,
// libc and variant, which no judge says in Go's words, stand in the table.
func TestELFAgainstReadelf(t *testing.T) {
	cases := []struct{ name, arch, variant, libc, command string }{
		{"default", "amd64", "", "gnu", "gcc p.c"},
		{"hard", "amd64", "", "gnu", "gcc -pie -fPIE -fstack-protector-all -Wl,-z,relro,-z,now p.c"},
		{"soft", "amd64", "", "gnu", "gcc -no-pie -fno-stack-protector -Wl,-z,norelro -z execstack -Wl,-rpath,/opt/a:/opt/b p.c"},
		{"stripped", "amd64", "", "gnu", "gcc -s p.c"},
		{"sysv-hash", "amd64", "", "gnu", "gcc -s -Wl,--hash-style=sysv p.c"},
		{"static", "amd64", "", "gnu", "gcc -static p.c"},
		{"static-stripped", "amd64", "", "gnu", "gcc -static -s p.c"},
		{"static-pie", "amd64", "", "gnu", "gcc -static-pie p.c"},
		{"library.so", "amd64", "", "", "gcc -shared -fPIC -nostdlib l.c"},
		{"soname.so", "amd64", "", "gnu", "gcc -shared -fPIC -Wl,-soname,libl.so.1 p.c"},
		{"c++", "amd64", "", "gnu", "g++ p.cc -pthread"},
		{"clang", "amd64", "", "gnu", "clang -fuse-ld=lld p.c"},
		{"v3", "amd64", "v3", "gnu", "gcc -O2 -march=x86-64-v3 -mneeded p.c"},
		{"musl", "amd64", "", "musl", "musl-gcc p.c"},
		{"musl-static", "amd64", "", "musl", "musl-gcc -static p.c"},
		{"386", "386", "", "gnu", "i686-linux-gnu-gcc p.c"},
		{"arm64", "arm64", "", "gnu", "aarch64-linux-gnu-gcc p.c"},
		{"arm64-static", "arm64", "", "gnu", "aarch64-linux-gnu-gcc -static -s p.c"},
		{"armhf", "arm", "v7", "gnu", "arm-linux-gnueabihf-gcc p.c"},
		{"riscv64", "riscv64", "", "gnu", "riscv64-linux-gnu-gcc p.c"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			file := compile(t, "elf-"+c.name, strings.Fields(c.command)...)
			i := read(t, file)
			want := judgeELF(t, file)
			got := factsOf(i)
			if i.Static { // whose canary it is cannot be told
				want.Canary = got.Canary
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("readelf and file (-) and Read (+) disagree:\n%s", diff)
			}
			wantOS := "linux"
			if diff := cmp.Diff([]string{"elf", wantOS, c.arch, c.variant, c.libc}, []string{string(i.Format), i.OS, i.Arch, i.Detail, i.Libc}); diff != "" {
				t.Errorf("format, OS, Arch, Detail, Libc (-want +got):\n%s", diff)
			}
			if i.Go != nil {
				t.Errorf("Go made it, it says: %+v", i.Go)
			}
		})
	}
}

// TestELFOfThisSystem compares what Read says of programs and libraries that came with the system with what readelf
// and file say.
func TestELFOfThisSystem(t *testing.T) {
	var files []string
	for _, pattern := range []string{"/usr/bin/[a-d]*", "/usr/lib/x86_64-linux-gnu/lib*.so.[0-9]", "/usr/lib/*-linux-gnu*/lib/lib*.so.[0-9]", "/usr/*-linux-gnu*/lib/lib*.so.[0-9]"} {
		list, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		list = slices.DeleteFunc(list, func(f string) bool { return !isELF(t, f) })
		files = append(files, list[:min(len(list), *systemFiles)]...)
	}
	if len(files) < 10 {
		t.Fatalf("only %d files found: %q", len(files), files)
	}
	for _, file := range files {
		want, got := judgeELF(t, file), factsOf(read(t, file))
		if got.Static {
			want.Canary = got.Canary
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: readelf and file (-) and Read (+) disagree:\n%s", file, diff)
		}
	}
}

// TestELFWithoutSections reads a program whose table of sections is gone, as sstrip and packers leave them: the same
// comes out, but for what only sections say.
func TestELFWithoutSections(t *testing.T) {
	for _, name := range []string{"hard", "sysv-hash", "c++"} {
		file := compile(t, "elf-"+name, strings.Fields(map[string]string{
			"hard": "gcc -pie -fPIE -fstack-protector-all -Wl,-z,relro,-z,now p.c", "sysv-hash": "gcc -s -Wl,--hash-style=sysv p.c", "c++": "g++ p.cc -pthread",
		}[name])...)
		whole, bare := factsOf(read(t, file)), factsOf(readBytes(t, withoutSections(t, file)))
		whole.Stripped = true
		if diff := cmp.Diff(whole, bare); diff != "" {
			t.Errorf("%s: with (-) and without (+) sections:\n%s", name, diff)
		}
	}
}

// TestELFNotPrograms reads what compilers and systems leave that is no program.
func TestELFNotPrograms(t *testing.T) {
	object := compile(t, "l.o", "gcc", "-c", "l.c")
	if i := read(t, object); i.Kind != binary.Object || i.Arch != "amd64" {
		t.Errorf("an object: %+v", i)
	}
	i := read(t, goroot(t, "debug/elf/testdata/gcc-386-freebsd-exec"))
	if i.OS != "freebsd" || i.Arch != "386" || i.Libc != "" || i.Interpreter != "/libexec/ld-elf.so.1" {
		t.Errorf("a program for FreeBSD: %+v", i)
	}
}
