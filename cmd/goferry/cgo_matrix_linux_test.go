package main

import (
	"debug/elf"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A cgoCase is a program that is built with cgo for a target, and how the test itself starts it: goferry's own word is not taken for it.
type cgoCase struct {
	target  string
	program string // of testdata/cgo
	how     string // static, pie (static-pie), dynamic
	zig     bool   // needs zig, which is in npm alone
	run     string // native; loader: native, with the C library of the compiler; root: in one that has nothing else; musl: in one with musl and nothing else; qemu-NAME; wine; "": nothing here can
	all     bool   // only with GOFERRY_CGO_MATRIX=all
}

// cgoCases are the targets that goferry claims. What make test builds is few of each kind, since each is half a standard library.
var cgoCases = []cgoCase{
	{target: "linux/amd64", program: "cxx", how: "dynamic", run: "native"},
	{target: "linux/amd64", program: "users", how: "static", run: "root"},
	{target: "linux/amd64", program: "c", how: "pie", run: "root", all: true},
	{target: "linux/amd64/musl", program: "c", how: "static", run: "root"},
	{target: "linux/amd64/musl", program: "c", how: "dynamic", run: "musl"},
	{target: "linux/386", program: "cxx", how: "static", run: "root", all: true},
	{target: "linux/386", program: "c", how: "dynamic", run: "loader", all: true},
	{target: "linux/arm64", program: "cxx", how: "static", run: "qemu-aarch64"},
	{target: "linux/arm64", program: "cxx", how: "dynamic", run: "qemu-aarch64", all: true},
	{target: "linux/arm64", program: "c", how: "pie", run: "qemu-aarch64", all: true},
	{target: "linux/arm/v7", program: "c", how: "dynamic", run: "qemu-arm", all: true},
	{target: "linux/arm/v7", program: "cxx", how: "static", run: "qemu-arm", all: true},
	{target: "linux/riscv64", program: "cxx", how: "dynamic", run: "qemu-riscv64", all: true},
	{target: "linux/riscv64", program: "cxx", how: "static", run: "qemu-riscv64", all: true},
	{target: "windows/amd64", program: "cxx", how: "static", run: "wine"},
	{target: "windows/amd64", program: "c", how: "dynamic", all: true}, // asks for libwinpthread-1.dll, which is not there
	{target: "windows/386", program: "cxx", how: "static", all: true},  // wine has 64 bits alone on Debian
	{target: "linux/amd64/gnu.2.17", program: "c", how: "dynamic", zig: true, run: "native"},
	{target: "linux/arm64/gnu.2.28", program: "c", how: "dynamic", zig: true, run: "qemu-aarch64", all: true},
	{target: "linux/arm64/musl", program: "cxx", how: "static", zig: true, run: "qemu-aarch64", all: true},
	{target: "linux/arm/v6/musl", program: "c", how: "static", zig: true, run: "qemu-arm", all: true},
	{target: "linux/arm/v7/musl", program: "c", how: "static", zig: true, run: "qemu-arm", all: true},
	{target: "linux/386/musl", program: "c", how: "static", zig: true, run: "root", all: true},
	{target: "linux/riscv64/musl", program: "c", how: "static", zig: true, run: "qemu-riscv64", all: true},
	{target: "linux/ppc64le/musl", program: "c", how: "static", zig: true, run: "qemu-ppc64le", all: true},
	{target: "linux/ppc64le/gnu", program: "c", how: "dynamic", zig: true, run: "qemu-ppc64le", all: true},
	{target: "linux/s390x/musl", program: "c", how: "static", zig: true, run: "qemu-s390x", all: true},
	{target: "linux/s390x/gnu", program: "c", how: "dynamic", zig: true, run: "qemu-s390x", all: true},
	{target: "windows/arm64", program: "c", how: "static", zig: true, all: true},
	{target: "linux/arm/v6/gnu", program: "c", how: "dynamic", zig: true, run: "qemu-arm", all: true}, // Debian's own compiler has a C library for v7
	{target: "freebsd/amd64", program: "c", how: "dynamic", zig: true, all: true},
	{target: "darwin/arm64", program: "c", how: "dynamic", zig: true, all: true},
	{target: "darwin/amd64", program: "c", how: "dynamic", zig: true, all: true},
}

const cgoDoc = "../../docs/cgo.md"

// said is what a program writes for a target.
func (c cgoCase) said() string {
	parts := strings.Split(c.target, "/")
	where := parts[0] + "/" + parts[1] + ": "
	switch c.program {
	case "c":
		return where + "C, 4 threads, sum 20200\n"
	case "cxx":
		return where + "C++, sum 20200, thrown 20200\n"
	case "sqlite":
		return where + "SQLite 3."
	}
	return where + "user 0 is " // what follows depends on where it runs
}

// A cgoMatrix is where the programs are built.
type cgoMatrix struct {
	*rig
	src, out string
	wine     string // its prefix
}

func newCgoMatrix(t *testing.T, r *rig) *cgoMatrix {
	t.Helper()
	m := &cgoMatrix{rig: r}
	m.src, m.out = filepath.Join(m.work, "matrix"), filepath.Join(m.work, "out")
	if err := os.CopyFS(m.src, os.DirFS("testdata/cgo")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(m.src, "go.mod.txt"), filepath.Join(m.src, "go.mod")); err != nil {
		t.Fatal(err)
	}
	// These caches are the machine's, as GOCACHE is: each takes half a minute to fill.
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	m.wine = filepath.Join(cache, "goferry-test", "wine")
	m.vars["ZIG_GLOBAL_CACHE_DIR"] = filepath.Join(cache, "zig")
	m.vars["GOFLAGS"] = "-modcacherw -buildvcs=false"
	// Without -O2 the C is compiled in less time, and zig would put checks into it that do not link.
	m.vars["CGO_CFLAGS"] = "-g"
	return m
}

// A cgoBuilt is what goferry build --json says of one target.
type cgoBuilt struct {
	Target   string `json:"target"`
	Status   string `json:"status"`
	Compiler struct {
		Family string   `json:"family"`
		CC     []string `json:"cc"`
	} `json:"compiler"`
	Outputs []struct {
		File   string `json:"file"`
		Static bool   `json:"static"`
	} `json:"outputs"`
}

// build builds a program for targets in one run, side by side.
func (m *cgoMatrix) build(t *testing.T, program, how string, targets []string) map[string]cgoBuilt {
	t.Helper()
	args := []string{"build", "--json", "--cgo", "on", "-o", filepath.Join(m.out, program+"-"+how), "--target", strings.Join(targets, ",")}
	switch how {
	case "static":
		args = append(args, "--static")
	case "pie":
		args = append(args, "--static=pie")
	}
	cmd := m.command("goferry", append(args, "--", "./"+program)...)
	cmd.Dir = m.src
	out, stderr, code := finish(t, cmd)
	if code != 0 {
		t.Errorf("%q: exit code %d\n%s", cmd.Args, code, stderr)
	}
	var report struct {
		Targets []cgoBuilt `json:"targets"`
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%q: %v\n%s%s", cmd.Args, err, out, stderr)
	}
	built := map[string]cgoBuilt{}
	for _, b := range report.Targets {
		built[b.Target] = b
	}
	return built
}

// start starts a program as c says, and returns what it wrote.
func (m *cgoMatrix) start(t *testing.T, c cgoCase, file string) string {
	t.Helper()
	var cmd *exec.Cmd
	name, emulated := strings.CutPrefix(c.run, "qemu-")
	switch {
	case emulated:
		sysroot := map[string]string{"aarch64": "aarch64-linux-gnu", "arm": "arm-linux-gnueabihf", "riscv64": "riscv64-linux-gnu", "i386": "i686-linux-gnu",
			"ppc64le": "powerpc64le-linux-gnu", "s390x": "s390x-linux-gnu"}[name]
		cmd = exec.Command(c.run, "-L", "/usr/"+sysroot, file)
	case c.run == "wine":
		m.windows(t)
		cmd = m.wined("wine", file)
	case c.run == "loader":
		const lib = "/usr/i686-linux-gnu/lib"
		cmd = exec.Command(lib+"/ld-linux.so.2", "--library-path", lib, file)
	case c.run == "native":
		cmd = exec.Command(file)
	default:
		cmd = inEmptyRoot(t, file, c.run == "musl")
	}
	return endOf(t, cmd)
}

// wined makes a command of wine.
func (m *cgoMatrix) wined(args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "WINEPREFIX="+m.wine, "WINEDEBUG=-all", "WINEDLLOVERRIDES=mscoree,mshtml=")
	return cmd
}

// processPrng is what Go programs load on Windows, and what wine 8 (Debian 12) does not have.
const processPrng = `#include <windows.h>
#include <ntsecapi.h>
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE to, SIZE_T n) { return RtlGenRandom(to, n); }
`

// windows makes the folder of wine, if it is not there, with a bcryptprimitives.dll.
func (m *cgoMatrix) windows(t *testing.T) {
	t.Helper()
	dll := filepath.Join(m.wine, "drive_c", "windows", "system32", "bcryptprimitives.dll")
	if _, err := os.Stat(dll); err == nil {
		return
	}
	if err := os.MkdirAll(m.wine, 0o777); err != nil {
		t.Fatal(err)
	}
	said := endOf(t, m.wined("wine", "wineboot", "--init"))
	if _, err := os.Stat(filepath.Dir(dll)); err != nil {
		t.Fatalf("wine made no %s: %s", filepath.Dir(dll), said)
	}
	if _, err := os.Stat(dll); err == nil { // this wine has one
		return
	}
	src := filepath.Join(t.TempDir(), "prng.c")
	if err := os.WriteFile(src, []byte(processPrng), 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("x86_64-w64-mingw32-gcc", "-shared", "-o", dll, src, "-ladvapi32").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// inEmptyRoot makes the command that starts a program in a root folder with nothing else, or with nothing but musl.
func inEmptyRoot(t *testing.T, file string, musl bool) *exec.Cmd {
	t.Helper()
	root := t.TempDir()
	placed(t, file, filepath.Join(root, "app"))
	if musl {
		const loader = "lib/ld-musl-x86_64.so.1"
		if err := os.Mkdir(filepath.Join(root, "lib"), 0o777); err != nil {
			t.Fatal(err)
		}
		placed(t, "/"+loader, filepath.Join(root, loader))
	}
	cmd := exec.Command("/app")
	cmd.Env = []string{}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	}
	return cmd
}

func placed(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// endOf runs a command to its end. It writes to a file: what wine leaves running would hold a pipe open.
func endOf(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	runErr := cmd.Run()
	data, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	said := strings.ReplaceAll(string(data), "\r\n", "\n")
	if runErr != nil {
		return fmt.Sprintf("%s(%v)", said, runErr)
	}
	return said
}

var (
	glibcVersion = regexp.MustCompile(`GLIBC_([0-9.]+)`)
	dllName      = regexp.MustCompile(`(?m)^\s*DLL Name: (\S+)`)
)

// needs is what a program asks for, as binutils and the standard library see it: how it is made, and what it needs.
func needs(t *testing.T, c cgoCase, file string) (how, asks string) {
	t.Helper()
	switch {
	case strings.HasPrefix(c.target, "windows/"):
		objdump := "x86_64-w64-mingw32-objdump"
		if c.target == "windows/arm64" {
			objdump = "llvm-objdump"
		}
		text, err := exec.Command(objdump, "-p", file).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		var dlls []string
		for _, match := range dllName.FindAllStringSubmatch(string(text), -1) {
			dll := strings.ToLower(match[1])
			if strings.HasPrefix(dll, "api-ms-win-crt-") { // the parts of the UCRT
				dll = "ucrt"
			}
			dlls = append(dlls, dll)
		}
		slices.Sort(dlls)
		return "", strings.Join(slices.Compact(dlls), " ")
	case strings.HasPrefix(c.target, "darwin/"):
		return "", ""
	}
	f, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	libraries, err := f.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	interpreter := slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
	if !interpreter && len(libraries) == 0 {
		if f.Type == elf.ET_DYN {
			return "pie", "nothing"
		}
		return "static", "nothing"
	}
	text, err := exec.Command("readelf", "--version-info", "--wide", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	highest := ""
	for _, match := range glibcVersion.FindAllStringSubmatch(string(text), -1) {
		if highest == "" || compareVersions(match[1], highest) > 0 {
			highest = match[1]
		}
	}
	if highest != "" {
		return "dynamic", "glibc " + highest
	}
	return "dynamic", strings.Join(libraries, " ")
}

// compareVersions compares number by number.
func compareVersions(a, b string) int {
	number := func(s string) (n []int) {
		for part := range strings.SplitSeq(s, ".") {
			var v int
			fmt.Sscan(part, &v)
			n = append(n, v)
		}
		return n
	}
	return slices.Compare(number(a), number(b))
}

// TestCgoMatrix builds real cgo programs for every target that goferry claims, starts each where something here can, and holds docs/cgo.md
// to what came of it. GOFERRY_CGO_MATRIX=all builds all of them, and with -update writes the table.
func TestCgoMatrix(t *testing.T) {
	t.Parallel()
	m := newCgoMatrix(t, newRig(t))
	m.try(t, cgoCases, func(row string) bool { return row != "" && !ofSQLite(row) })
}

// try builds the cases that are to be built here, and holds the rows of the table that are mine to them.
func (m *cgoMatrix) try(t *testing.T, cases []cgoCase, mine func(row string) bool) {
	t.Helper()
	all := os.Getenv("GOFERRY_CGO_MATRIX") == "all"
	_, noZig := exec.LookPath("zig")
	cases = slices.DeleteFunc(slices.Clone(cases), func(c cgoCase) bool {
		return c.all && !all || c.zig && noZig != nil || runtime.GOARCH != "amd64" && c.target != "linux/"+runtime.GOARCH
	})
	type group struct{ program, how string }
	var groups []group
	targets := map[group][]string{}
	for _, c := range cases {
		g := group{c.program, c.how}
		if targets[g] == nil {
			groups = append(groups, g)
		}
		targets[g] = append(targets[g], c.target)
	}
	built := map[group]map[string]cgoBuilt{}
	for _, g := range groups {
		built[g] = m.build(t, g.program, g.how, targets[g])
	}
	var rows []string
	for _, c := range cases {
		t.Run(strings.ReplaceAll(c.target, "/", "-")+"-"+c.program+"-"+c.how, func(t *testing.T) {
			b := built[group{c.program, c.how}][c.target]
			if len(b.Outputs) != 1 {
				t.Fatalf("not built: %+v", b)
			}
			rows = append(rows, m.row(t, c, b))
		})
	}
	holdTable(t, rows, all, mine)
}

// file is where the one output of b is.
func (m *cgoMatrix) file(c cgoCase, b cgoBuilt) string {
	if file := b.Outputs[0].File; !filepath.IsAbs(file) {
		return filepath.Join(m.out, c.program+"-"+c.how, file)
	}
	return b.Outputs[0].File
}

// row looks at one program, starts it, and returns its line of the table.
func (m *cgoMatrix) row(t *testing.T, c cgoCase, b cgoBuilt) string {
	t.Helper()
	file := m.file(c, b)
	how, asks := needs(t, c, file)
	if how != "" && how != c.how {
		t.Errorf("it is %s", how)
	}
	if elfStatic := how == "static" || how == "pie"; how != "" && b.Outputs[0].Static != elfStatic {
		t.Errorf("goferry says that static is %v", b.Outputs[0].Static)
	}
	if strings.HasPrefix(c.target, "windows/") && c.how == "static" && regexp.MustCompile(`lib|c\+\+`).MatchString(asks) {
		t.Errorf("it asks for %s", asks)
	}
	if _, floor, ok := strings.Cut(c.target, "/gnu."); ok && compareVersions(strings.TrimPrefix(asks, "glibc "), floor) > 0 {
		t.Errorf("it asks for %s, and was to ask for %s at most", asks, floor)
	}
	if asks == "" {
		asks = "the system's own"
	}
	ran := "not here"
	if c.run != "" {
		said := m.start(t, c, file)
		if !strings.HasPrefix(said, c.said()) {
			t.Errorf("it says %q, not %q", said, c.said())
		}
		ran = map[string]string{"root": "in an empty root", "musl": "in a root with musl alone", "native": "here", "loader": "here, with the compiler's own glibc"}[c.run]
		if ran == "" {
			ran = c.run
		}
	}
	cc := filepath.Base(b.Compiler.CC[0])
	if b.Compiler.Family == "zig" {
		cc = "zig cc"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s |", c.target, cc, c.program, strings.Replace(c.how, "pie", "static-pie", 1), asks, ran)
}

const tableHead = "| target | compiler | program | made | asks for | started |\n|---|---|---|---|---|---|\n"

// holdTable compares rows with those of the document: with all rows of a program, or whether they are among them. Other tests hold the rows of other programs.
func holdTable(t *testing.T, rows []string, all bool, mine func(row string) bool) {
	t.Helper()
	doc, err := os.ReadFile(cgoDoc)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(doc), tableHead)
	if !ok {
		t.Fatalf("%s has no table that begins with\n%s", cgoDoc, tableHead)
	}
	table, after, _ := strings.Cut(rest, "\n\n")
	var written, others []string
	for row := range strings.Lines(table) {
		if row = strings.TrimSpace(row); mine(row) {
			written = append(written, row)
		} else if row != "" {
			others = append(others, row)
		}
	}
	switch {
	case all && *update && !t.Failed():
		rows = append(others, rows...)
		slices.Sort(rows)
		text := before + tableHead + strings.Join(rows, "\n") + "\n\n" + after
		if err := os.WriteFile(cgoDoc, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	case all:
		slices.Sort(rows)
		if diff := cmp.Diff(written, rows); diff != "" {
			t.Errorf("%s (-written +true):\n%s", cgoDoc, diff)
		}
	default:
		for _, row := range rows {
			if !slices.Contains(written, row) {
				t.Errorf("%s does not have the row\n%s", cgoDoc, row)
			}
		}
	}
}

// ofSQLite tells the rows of the live tests.
func ofSQLite(row string) bool { return strings.Contains(row, "| sqlite |") }
