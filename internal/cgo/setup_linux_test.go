package cgo

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/goferry/goferry/internal/gocmd"
)

// An entry is a file of a package; a name that ends with / is a folder, to is where a link leads.
type entry struct {
	name, text, to string
	kind           byte
	mode           int64
}

func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.text)), Linkname: e.to, Typeflag: e.kind}
		switch {
		case e.kind != 0:
		case strings.HasSuffix(e.name, "/"):
			h.Typeflag = tar.TypeDir
		case e.to != "":
			h.Typeflag = tar.TypeSymlink
		default:
			h.Typeflag = tar.TypeReg
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte(e.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// compressed is data as dpkg would compress it.
func compressed(t testing.TB, suffix string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	switch suffix {
	case "":
		return data
	case ".gz":
		w := gzip.NewWriter(&b)
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	case ".zst":
		w, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	case ".xz":
		res, err := (&gocmd.Runner{}).Run(t.Context(), gocmd.Cmd{Name: "xz", Args: []string{"--stdout"}, Stdin: bytes.NewReader(data)})
		if err != nil || res.ExitCode != 0 {
			t.Fatal(err, string(res.Stderr))
		}
		return res.Stdout
	}
	return b.Bytes()
}

// debOf is a Debian package.
func debOf(t testing.TB, control, suffix string, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	member := func(name string, data []byte) {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n%s", name, 0, 0, 0, "100644", len(data), data)
		if len(data)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	member("debian-binary", []byte("2.0\n"))
	member("control.tar.gz", compressed(t, ".gz", tarOf(t, entry{name: "./control", text: control})))
	member("data.tar"+suffix, compressed(t, suffix, tarOf(t, entries...)))
	return b.Bytes()
}

// A debRepo is a folder that apt takes packages from.
type debRepo struct {
	t     testing.TB
	dir   string
	index strings.Builder
}

func newDebRepo(t testing.TB) *debRepo { return &debRepo{t: t, dir: t.TempDir()} }

// add puts a package there.
func (r *debRepo) add(name, arch, depends, suffix string, entries ...entry) {
	r.t.Helper()
	control := fmt.Sprintf("Package: %s\nVersion: 1:2.0-1\nArchitecture: %s\nMaintainer: A <a@example.org>\nDescription: test\n", name, arch)
	if depends != "" {
		control += "Depends: " + depends + "\n"
	}
	data := debOf(r.t, control, suffix, entries...)
	file := fmt.Sprintf("%s_2.0-1_%s.deb", name, arch)
	if err := os.WriteFile(filepath.Join(r.dir, file), data, 0o666); err != nil {
		r.t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	fmt.Fprintf(&r.index, "%sFilename: ./%s\nSize: %d\nSHA256: %s\n\n", control, file, len(data), hex.EncodeToString(sum[:]))
}

// setup is a Setup whose apt knows this folder and no other; with lists it has asked for them already.
func (r *debRepo) setup(lists bool) *Setup {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, "Packages"), []byte(r.index.String()), 0o666); err != nil {
		r.t.Fatal(err)
	}
	apt := r.t.TempDir()
	for _, dir := range []string{"etc/apt.conf.d", "etc/preferences.d", "etc/sources.list.d", "etc/trusted.gpg.d", "state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(apt, dir), 0o777); err != nil {
			r.t.Fatal(err)
		}
	}
	conf := fmt.Sprintf("Dir \"%s\"; Dir::Etc \"etc\"; Dir::State \"state\"; Dir::Cache \"cache\"; Dir::State::status \"/dev/null\"; APT::Sandbox::User \"root\"; Acquire::Languages \"none\"; APT::Architecture \"%s\";", apt, debianArch(runtime.GOARCH))
	for name, text := range map[string]string{"apt.conf": conf, "etc/sources.list": "deb [trusted=yes] file:" + r.dir + " ./\n"} {
		if err := os.WriteFile(filepath.Join(apt, name), []byte(text), 0o666); err != nil {
			r.t.Fatal(err)
		}
	}
	runner := &gocmd.Runner{Env: append(os.Environ(), "APT_CONFIG="+filepath.Join(apt, "apt.conf"))}
	if lists {
		if res, err := runner.Run(r.t.Context(), gocmd.Cmd{Name: "apt-get", Args: []string{"update", "-qq"}}); err != nil || res.ExitCode != 0 {
			r.t.Fatal(err, string(res.Stderr))
		}
	}
	return &Setup{Runner: runner, Home: filepath.Join(r.t.TempDir(), "a b", "cc"), Release: "ID=debian\nVERSION_ID=\"12\"\n"}
}

// debianArch is what Debian calls an architecture of this test's machines.
func debianArch(goarch string) string {
	return map[string]string{"amd64": "amd64", "arm64": "arm64", "386": "i386", "arm": "armhf", "riscv64": "riscv64", "ppc64le": "ppc64el", "s390x": "s390x"}[goarch]
}

const echoScript = "#!/bin/sh\necho \"$0 $* [$LD_LIBRARY_PATH]\"\n"

// mingwRepo has what Debian has for Windows, in small: in each compression, with the libraries of the machine beside it.
func mingwRepo(t testing.TB) *debRepo {
	r := newDebRepo(t)
	arch, lib := debianArch(runtime.GOARCH), "usr/lib/"+debianTriple(runtime.GOARCH)+"/"
	r.add("gcc-mingw-w64-x86-64-posix", arch, "binutils-mingw-w64-x86-64, libtest1, libc6", ".xz",
		entry{name: "./usr/bin/x86_64-w64-mingw32-gcc-posix", text: echoScript, mode: 0o755}, entry{name: "./usr/share/doc/gcc/copyright", text: "c", mode: 0o644}, entry{name: "./usr/share/man/man1/gcc.1", text: "m", mode: 0o644})
	r.add("g++-mingw-w64-x86-64-posix", arch, "gcc-mingw-w64-x86-64-posix (= 1:2.0-1)", ".gz",
		entry{name: "./usr/bin/x86_64-w64-mingw32-g++-posix", text: echoScript, mode: 0o755}, entry{name: "./usr/bin/x86_64-w64-mingw32-c++-posix", to: "usr/bin/x86_64-w64-mingw32-g++-posix", kind: tar.TypeLink})
	r.add("binutils-mingw-w64-x86-64", arch, "", ".zst", entry{name: "./usr/bin/x86_64-w64-mingw32-ar", text: echoScript, mode: 0o755})
	r.add("libtest1", arch, "libc6", "",
		entry{name: "./lib/"}, entry{name: "./lib/" + debianTriple(runtime.GOARCH) + "/libtest.so.1.0", text: "1", mode: 0o644}, entry{name: "./" + lib + "libtest.so.1", to: "/lib/" + debianTriple(runtime.GOARCH) + "/libtest.so.1.0"})
	r.add("libc6", arch, "", "", entry{name: "./" + lib + "libc.so.6", text: "c", mode: 0o755})
	return r
}

var mingwTarget = Target{OS: "windows", Arch: "amd64"}

func TestSetup(t *testing.T) {
	s := mingwRepo(t).setup(true)
	var steps []string
	s.Progress = func(at SetupState) {
		if !slices.Contains(steps, at.Step) {
			steps = append(steps, at.Step)
		}
	}
	p := install(t, s, mingwTarget)
	if diff := cmp.Diff([]string{SetupResolve, SetupFetch, SetupUnpack}, steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	var names []string
	for _, d := range p.Debs {
		names = append(names, d.Name)
	}
	if diff := cmp.Diff([]string{"binutils-mingw-w64-x86-64", "g++-mingw-w64-x86-64-posix", "gcc-mingw-w64-x86-64-posix", "libc6", "libtest1"}, names); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	dir := s.Dir(p)
	if diff := cmp.Diff([]string{filepath.Join(dir, "bin")}, HomeBins(s.Home)); diff != "" {
		t.Errorf("folders of programs (-want +got):\n%s", diff)
	}
	for _, tool := range []string{"gcc", "g++", "c++", "ar"} {
		program := map[string]string{"ar": "ar"}[tool]
		if program == "" {
			program = tool + "-posix"
		}
		want := fmt.Sprintf("%s -c x y [%s]\n", filepath.Join(dir, "usr/bin/x86_64-w64-mingw32-"+program), filepath.Join(dir, "hostlib"))
		if got := said(t, filepath.Join(dir, "bin", "x86_64-w64-mingw32-"+tool), "-c", "x y"); got != want {
			t.Errorf("%s says %q, want %q", tool, got, want)
		}
	}
	if data, err := os.ReadFile(filepath.Join(dir, "hostlib", "libtest.so.1")); err != nil || string(data) != "1" {
		t.Errorf("the library of the compiler is %q, %v", data, err)
	}
	for name, there := range map[string]bool{"hostlib/libc.so.6": false, "usr/share/man": false, "usr/share/doc/gcc/copyright": true, "lib": false} {
		if _, err := os.Lstat(filepath.Join(dir, name)); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !s.Installed(p) {
		t.Error("installed, but Installed says no")
	}
	if err := s.DropFetched(p); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(s.Home)
	if err != nil || len(left) != 1 {
		t.Errorf("in the folder: %v, %v", left, err)
	}
}

// install does all that goferry cgo setup does.
func install(t *testing.T, s *Setup, target Target) *Pack {
	t.Helper()
	p, err := s.Plan(t.Context(), target, false)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := s.Fetch(t.Context(), target, p)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Install(t.Context(), p, dir); err != nil {
		t.Fatal(err)
	}
	return p
}

// said is what a program prints, with nothing in its environment.
func said(t *testing.T, program string, args ...string) string {
	t.Helper()
	r := &gocmd.Runner{Env: []string{"PATH=" + os.Getenv("PATH")}}
	res, err := r.Run(t.Context(), gocmd.Cmd{Name: program, Args: args})
	if err != nil || res.ExitCode != 0 {
		t.Fatalf("%s: %v %s", program, err, res.Stderr)
	}
	return string(res.Stdout)
}

// TestSetupOwnLists is a machine as images are: apt has no lists of packages, and nobody may write where they belong.
func TestSetupOwnLists(t *testing.T) {
	s := mingwRepo(t).setup(false)
	if s.Known(t.Context(), []string{"libtest1"}) {
		t.Fatal("apt has lists already")
	}
	install(t, s, mingwTarget)
}

// TestSetupOlder is a release whose packages do not tell the kinds of threads apart.
func TestSetupOlder(t *testing.T) {
	r := newDebRepo(t)
	r.add("gcc-mingw-w64-x86-64", "all", "", ".gz", entry{name: "./usr/bin/x86_64-w64-mingw32-gcc-win32", text: echoScript, mode: 0o755}, entry{name: "./usr/bin/x86_64-w64-mingw32-gcc-posix", text: echoScript, mode: 0o755})
	r.add("g++-mingw-w64-x86-64", "all", "", ".gz", entry{name: "./usr/bin/x86_64-w64-mingw32-g++-posix", text: echoScript, mode: 0o755})
	s := r.setup(true)
	p := install(t, s, mingwTarget)
	if got := said(t, filepath.Join(s.Dir(p), "bin", "x86_64-w64-mingw32-gcc")); !strings.Contains(got, "-gcc-posix ") {
		t.Errorf("it is %s", got)
	}
}

// TestSetupResumes takes what was fetched before, unless it is damaged.
func TestSetupResumes(t *testing.T) {
	r := mingwRepo(t)
	s := r.setup(true)
	p, err := s.Plan(t.Context(), mingwTarget, false)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := s.Fetch(t.Context(), mingwTarget, p)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(dir, p.Debs[0].File)
	good, err := os.ReadFile(bad)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bad, bytes.Repeat([]byte("x"), len(good)), 0o666); err != nil {
		t.Fatal(err)
	}
	var se *SetupError
	if err := s.Install(t.Context(), p, dir); !errors.As(err, &se) || se.Code != SetupDamaged || s.Installed(p) {
		t.Errorf("with a damaged package: %v", err)
	}
	for _, d := range p.Debs[1:] { // nothing of it can be fetched any more
		if err := os.Remove(filepath.Join(r.dir, strings.Replace(d.File, "1%3a", "", 1))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Fetch(t.Context(), mingwTarget, p); err != nil {
		t.Fatal(err)
	}
	if err := s.Install(t.Context(), p, dir); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Fetch(t.Context(), mingwTarget, p); !errors.As(err, &se) || se.Code != SetupOffline || se.Said == "" {
		t.Errorf("with packages that are gone: %v", err)
	}
	if !s.Installed(p) {
		t.Error("what was installed is gone")
	}
}

func TestSetupRefuses(t *testing.T) {
	s := newDebRepo(t).setup(true)
	other := "arm64"
	if runtime.GOARCH == other {
		other = "amd64"
	}
	for _, c := range []struct {
		target Target
		code   string
	}{
		{mingwTarget, SetupUnknown},
		{Target{OS: "linux", Arch: other, Libc: "musl"}, SetupNoPackage},
		{Target{OS: "linux", Arch: "amd64", Libc: "gnu", Floor: "2.17"}, SetupNoPackage},
		{Target{OS: "windows", Arch: "arm64"}, SetupNoPackage},
		{Target{OS: "darwin", Arch: "arm64"}, SetupNoPackage},
		{Target{OS: "freebsd", Arch: "amd64"}, SetupNoPackage},
	} {
		var se *SetupError
		if _, err := s.Plan(t.Context(), c.target, false); !errors.As(err, &se) || se.Code != c.code {
			t.Errorf("%s: %v, want %s", c.target, err, c.code)
		}
	}
	var se *SetupError
	s.Runner = &gocmd.Runner{Env: []string{"PATH=" + t.TempDir()}}
	if _, err := s.Plan(t.Context(), mingwTarget, false); !errors.As(err, &se) || se.Code != SetupNoApt || se.What == "" {
		t.Errorf("without apt: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Runner = nil
	if _, err := s.Plan(ctx, mingwTarget, false); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}

// crossRepo has a compiler whose libc names its parts by absolute paths.
func TestSetupCross(t *testing.T) {
	target, triple := Target{OS: "linux", Arch: "arm64"}, "aarch64-linux-gnu"
	if runtime.GOARCH == "arm64" {
		target, triple = Target{OS: "linux", Arch: "riscv64"}, "riscv64-linux-gnu"
	}
	arch := debianArches()[target.Arch]
	r := newDebRepo(t)
	const script = "/* GNU ld script\n   Use the shared library. */\nOUTPUT_FORMAT(elf64)\nGROUP ( /usr/%[1]s/lib/libc.so.6 /usr/%[1]s/lib/libc_nonshared.a  AS_NEEDED ( /usr/%[1]s/lib/ld.so.1 ) )\n"
	r.add("gcc-"+arch[0], debianArch(runtime.GOARCH), "", ".gz", entry{name: "./usr/bin/" + triple + "-gcc", to: triple + "-gcc-12"}, entry{name: "./usr/bin/" + triple + "-gcc-12", text: echoScript, mode: 0o755})
	r.add("g++-"+arch[0], debianArch(runtime.GOARCH), "", ".gz", entry{name: "./usr/bin/" + triple + "-g++", text: echoScript, mode: 0o755})
	r.add("libc6-dev-"+arch[1]+"-cross", "all", "", ".gz",
		entry{name: "./usr/" + triple + "/lib/libc.so", text: fmt.Sprintf(script, triple), mode: 0o644}, entry{name: "./usr/" + triple + "/lib/libm.so.6", text: "no script /usr/lib", mode: 0o644})
	s := r.setup(true)
	p := install(t, s, target)
	lib := filepath.Join(s.Dir(p), "usr", triple, "lib")
	data, err := os.ReadFile(filepath.Join(lib, "libc.so"))
	want := fmt.Sprintf("\nGROUP ( \"%[1]s/libc.so.6\" \"%[1]s/libc_nonshared.a\"  AS_NEEDED ( \"%[1]s/ld.so.1\" ) )\n", lib)
	if err != nil || !strings.HasSuffix(string(data), want) {
		t.Errorf("libc.so is %s, %v", data, err)
	}
	if got := said(t, filepath.Join(s.Dir(p), "bin", triple+"-gcc"), "-v"); !strings.HasPrefix(got, filepath.Join(s.Dir(p), "usr/bin", triple+"-gcc")) {
		t.Errorf("the compiler is %s", got)
	}
}

// TestSetupMusl has a wrapper for the compiler of the system, and none where the system has none.
func TestSetupMusl(t *testing.T) {
	triple := debianTriple(runtime.GOARCH)
	musl := strings.Replace(triple, "-gnu", "-musl", 1)
	r := newDebRepo(t)
	r.add("musl-tools", debianArch(runtime.GOARCH), "gcc, musl-dev", ".gz", entry{name: "./usr/bin/musl-gcc", text: echoScript, mode: 0o755})
	r.add("musl-dev", debianArch(runtime.GOARCH), "", ".gz", entry{name: "./usr/lib/" + musl + "/musl-gcc.specs",
		text: "-isystem /usr/include/" + musl + " -isystem include%s\n%{!shared: /usr/lib/" + musl + "/Scrt1.o}\n-dynamic-linker /lib/ld-musl-x86_64.so.1\n", mode: 0o644})
	r.add("gcc", debianArch(runtime.GOARCH), "", ".gz", entry{name: "./usr/bin/" + triple + "-gcc", text: echoScript, mode: 0o755})
	s := r.setup(true)
	target := Target{OS: "linux", Arch: runtime.GOARCH, Libc: "musl"}
	p, err := s.Plan(t.Context(), target, true)
	if err != nil || !p.Whole || len(p.Debs) != 3 {
		t.Fatalf("%+v, %v", p, err)
	}
	var se *SetupError
	if err := s.Install(t.Context(), p, ""); !errors.As(err, &se) || se.Code != SetupSpace {
		t.Errorf("in a folder with a space: %v", err)
	}
	s.Home = filepath.Join(t.TempDir(), "100%", "cc")
	p = install(t, s, target)
	if p.Whole || len(p.Debs) != 2 { // there is a gcc on the machines that test this
		t.Errorf("%+v", p)
	}
	data, err := os.ReadFile(filepath.Join(s.Dir(p), "usr/lib", musl, "musl-gcc.specs"))
	dir := strings.Replace(s.Dir(p), "%", "%%", 1)
	want := "-isystem " + dir + "/usr/include/" + musl + " -isystem include%s\n%{!shared: " + dir + "/usr/lib/" + musl + "/Scrt1.o}\n-dynamic-linker /lib/ld-musl-x86_64.so.1\n"
	if diff := cmp.Diff(want, string(data)); err != nil || diff != "" {
		t.Errorf("specs (-want +got):\n%s%v", diff, err)
	}
	r2 := &gocmd.Runner{Env: []string{"PATH=" + os.Getenv("PATH"), "REALGCC=echo"}}
	res, err := r2.Run(t.Context(), gocmd.Cmd{Name: filepath.Join(s.Dir(p), "bin", "musl-gcc"), Args: []string{"a.c"}})
	if want := "a.c -specs=" + filepath.Join(s.Dir(p), "usr/lib", musl, "musl-gcc.specs") + "\n"; err != nil || string(res.Stdout) != want {
		t.Errorf("musl-gcc says %q, %v", res.Stdout, err)
	}
}

// TestSetupFromDebs takes packages that somebody has fetched by hand.
func TestSetupFromDebs(t *testing.T) {
	r := mingwRepo(t)
	files, err := filepath.Glob(filepath.Join(r.dir, "*.deb"))
	if err != nil || len(files) != 5 || !IsDeb(files[0]) {
		t.Fatal(files, err)
	}
	s := &Setup{Home: t.TempDir()}
	p, dir, err := s.FromDebs(mingwTarget, files)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Install(t.Context(), p, dir); err != nil {
		t.Fatal(err)
	}
	if got := said(t, filepath.Join(s.Dir(p), "bin", "x86_64-w64-mingw32-gcc")); !strings.Contains(got, "gcc-posix") {
		t.Errorf("it is %s", got)
	}
}

// TestDebTree unpacks what would leave the folder.
func TestDebTree(t *testing.T) {
	for name, entries := range map[string][]entry{
		"parent":       {{name: "./usr/../../x", text: "x"}},
		"link out":     {{name: "./usr/lib/a", to: "../../../../../etc/passwd"}, {name: "./usr/lib/b", text: "b"}},
		"through link": {{name: "./usr/lib/a", to: "/usr/../../.."}, {name: "./usr/lib/a/evil", text: "x"}},
		"hard link":    {{name: "./usr/lib/a", to: "../../outside", kind: tar.TypeLink}},
		"device":       {{name: "./usr/lib/a", kind: tar.TypeChar}},
	} {
		t.Run(name, func(t *testing.T) {
			outer := t.TempDir()
			dir := filepath.Join(outer, "in")
			if err := os.Mkdir(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := root.Close(); err != nil {
					t.Error(err)
				}
			}()
			err = (&debTree{root: root}).unpack(bytes.NewReader(tarOf(t, entries...)))
			if name != "link out" && name != "through link" && err == nil {
				t.Error("it was taken")
			}
			noneOutside(t, outer, dir)
		})
	}
}

// noneOutside fails if there is something in outer beside dir, or a link in dir that leads out of it.
func noneOutside(t *testing.T, outer, dir string) {
	t.Helper()
	entries, err := os.ReadDir(outer)
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the folder: %v, %v", entries, err)
	}
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink == 0 {
			return err
		}
		to, err := os.Readlink(name)
		if at := filepath.Join(filepath.Dir(name), to); filepath.IsAbs(to) || at != dir && !strings.HasPrefix(at, dir+string(filepath.Separator)) {
			t.Errorf("%s leads to %s", name, to)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// FuzzDeb unpacks packages: nothing may be touched outside of the folder, and nothing may panic.
func FuzzDeb(f *testing.F) {
	f.Add(debOf(f, "Package: a\n", ".gz", entry{name: "./usr/lib/a", to: "/etc/passwd"}, entry{name: "./usr/lib/b", text: "b", mode: 0o755}))
	f.Add(debOf(f, "Package: a\n", ".zst", entry{name: "./bin/../x", text: "x"}))
	f.Add(debOf(f, "Package: a\n", "", entry{name: "./usr/lib/a", to: "../../..", kind: tar.TypeLink}, entry{name: "./usr/lib/a/b", to: "../../../.."}, entry{name: "./usr/lib/a/b/c", text: "x"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, suffix, err := debData(bytes.NewReader(data))
		if err != nil || suffix == ".xz" {
			return
		}
		outer := t.TempDir()
		dir := filepath.Join(outer, "in")
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		tree := &debTree{root: root, bytes: maxDebBytes - 1<<20}
		_ = (&Setup{}).decompressed(t.Context(), "", r, suffix, tree.unpack) // what it says of such bytes does not matter
		if err := root.Close(); err != nil {
			t.Fatal(err)
		}
		noneOutside(t, outer, dir)
	})
}
