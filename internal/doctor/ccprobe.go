package doctor

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goferry/goferry/internal/gocmd"
)

// What is compiled to see how far a compiler gets: alone, with the headers that cgo takes for itself, and to the end.
const (
	ccEmpty = "int goferry_probe(void) { return 0; }\n"
	ccUses  = "#include <stdlib.h>\n#include <stdio.h>\n#include <errno.h>\n"
	ccWhole = ccUses + "int main(void) { void *p = malloc(1); if (p == NULL || errno < 0) { puts(\"no\"); } free(p); return 0; }\n"
)

// ccProbe sees whether the compiler compiles and links as the go command would have it.
func ccProbe(ctx context.Context, x *Exam, cc []string, o *Outcome) []Finding {
	if len(cc) == 0 {
		cc = []string{ccDefault(x)}
	}
	_, err := x.Runner.FindTool(cc[0])
	switch {
	case ccMSVC(cc[0]):
		return []Finding{{Code: codeCCMSVC, Severity: Fault, Subject: cc[0], Fixes: append([]Fix{sdkUnset(x, "CC")}, ccInstall(x)...)}}
	case err != nil:
		return []Finding{ccAbsent(x, cc)}
	}
	dir, clean, err := ccTemp()
	if err != nil {
		o.Facts = append(o.Facts, Fact{Name: factCC, Answer: Unmeasured, Value: sdkErrorLine(err), Reason: NoRights})
		return nil
	}
	defer clean()
	p := ccProber{x: x, cc: cc, dir: dir}
	machine := p.machine(ctx)
	if f, bad := ccTarget(x, cc, machine); bad {
		return []Finding{f}
	}
	f, ok, said := p.run(ctx)
	switch {
	case ctx.Err() != nil:
		o.Facts = append(o.Facts, Fact{Name: factCC, Answer: Unmeasured, Reason: OutOfTime})
	case !ok && f.Code == "":
		o.Facts = append(o.Facts, Fact{Name: factCC, Answer: Unmeasured, Value: said, Reason: NotReadable})
	case !ok:
		f.Facts = []Fact{{Name: factCC, Answer: No, Value: strings.Join(cc, " ")}}
		return []Finding{f}
	default:
		o.Facts = append(o.Facts, Fact{Name: factCC, Answer: Yes, Value: strings.TrimSuffix(strings.Join(cc, " ")+", "+machine, ", ")})
	}
	return nil
}

// ccMSVC reports whether the program is the compiler of Visual Studio.
func ccMSVC(program string) bool {
	base := ccBase(program)
	return base == "cl" || base == "clang-cl"
}

// ccAbsent is the finding that the compiler is not there.
func ccAbsent(x *Exam, cc []string) Finding {
	f := Finding{Code: codeCCMissing, Severity: Fault, Subject: cc[0], Args: map[string]string{"Origin": "CC"}}
	v := x.GoEnv.Values
	system := v["GOOS"] != v["GOHOSTOS"] && v["GOHOSTOS"] != ""
	arch := v["GOARCH"] != v["GOHOSTARCH"] && v["GOHOSTARCH"] != ""
	// The default one makes programs of 32 bit as well, and on macOS for both processors; of no other system or processor.
	byDefault := !system && (!arch || x.OS == "darwin" || v["GOARCH"] == "386" && v["GOHOSTARCH"] == "amd64")
	set := x.Env["CC"] != "" || x.GoEnv.Written["CC"] != ""
	switch {
	case set && byDefault && x.SDKs.Program(ccDefault(x)) != "":
		fix := sdkUnset(x, "CC")
		fix.Code, fix.Args = fixDefaultCC, map[string]string{"Key": "CC", "CC": ccDefault(x)}
		f.Fixes = []Fix{fix}
	case system || arch:
		f.Fixes = ccUseCross(x, v["GOOS"], v["GOARCH"])
	default:
		f.Fixes = ccInstall(x)
	}
	return f
}

// ccTarget judges what a compiler makes programs for, as it says itself: a compiler of this system that is to make
// programs of another one fails with words that say nothing (-mthreads, stp).
func ccTarget(x *Exam, cc []string, machine string) (Finding, bool) {
	goos, goarch := x.GoEnv.Values["GOOS"], x.GoEnv.Values["GOARCH"]
	base := ccBase(cc[0])
	if machine == "" || goos == "" || base == "zig" || slices.ContainsFunc(cc, func(w string) bool { return strings.Contains(w, "-target") }) {
		return Finding{}, false // it makes programs for all systems; what it is told to make is seen by trying
	}
	if ccFits(machine, goos, goarch) || base == "clang" && !strings.Contains(machine, "mingw") && goos == x.OS {
		return Finding{}, false
	}
	return Finding{
		Code: codeCCTarget, Severity: Fault, Subject: strings.Join(cc, " "), Args: map[string]string{"Machine": machine, "Target": goos + "/" + goarch},
		Fixes: ccUseCross(x, goos, goarch),
	}, true
}

// ccFits reports whether a compiler for machine, as "x86_64-linux-gnu", can make programs for goos and goarch. What
// is not known fits: trying decides.
func ccFits(machine, goos, goarch string) bool {
	machine = strings.ToLower(machine)
	arch, rest, dash := strings.Cut(machine, "-")
	if !dash { // "mingw32", of the old MinGW
		arch, rest = "i386", machine
	}
	if strings.Contains(rest, "cygwin") || strings.Contains(rest, "msys") {
		return false // not for programs of Windows proper
	}
	words := map[string][]string{
		"linux": {"linux"}, "android": {"android", "linux"}, "windows": {"mingw", "windows"}, "darwin": {"darwin", "apple", "macos"}, "ios": {"darwin", "apple", "ios"},
		"freebsd": {"freebsd"}, "netbsd": {"netbsd"}, "openbsd": {"openbsd"}, "dragonfly": {"dragonfly"}, "solaris": {"solaris"}, "illumos": {"solaris", "illumos"}, "aix": {"aix"},
	}[goos]
	if words != nil && !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(rest, w) }) {
		return false
	}
	if goos == "darwin" {
		return true // one compiler for all of Apple's
	}
	arches := map[string][]string{
		"amd64": {"x86_64", "amd64", "i686", "i586", "i386"}, "386": {"i386", "i486", "i586", "i686", "x86_64", "amd64"}, "arm64": {"aarch64", "arm64"}, "arm": {"arm", "thumb"},
		"riscv64": {"riscv64"}, "ppc64": {"powerpc", "ppc"}, "ppc64le": {"powerpc", "ppc"}, "s390x": {"s390"}, "loong64": {"loongarch"},
		"mips": {"mips"}, "mipsle": {"mips"}, "mips64": {"mips"}, "mips64le": {"mips"},
	}[goarch]
	if goarch == "arm" && strings.HasPrefix(arch, "arm64") || goarch == "amd64" && goos == "windows" && strings.HasPrefix(arch, "i") {
		return false // MinGW of 32 bit has no way to 64
	}
	return arches == nil || slices.ContainsFunc(arches, func(a string) bool { return strings.HasPrefix(arch, a) })
}

// A ccProber compiles probes.
type ccProber struct {
	x   *Exam
	cc  []string
	dir string
}

// machine is what the compiler says that it makes programs for; empty where it does not say.
func (p ccProber) machine(ctx context.Context) string {
	res, err := p.exec(ctx, "-dumpmachine")
	if err != nil || res.ExitCode != 0 {
		return ""
	}
	if out := strings.TrimSpace(string(res.Stdout)); out != "" && !strings.ContainsAny(out, " \n") {
		return out
	}
	return ""
}

func (p ccProber) exec(ctx context.Context, args ...string) (gocmd.Result, error) {
	return p.x.Runner.Run(ctx, gocmd.Cmd{Name: p.cc[0], Args: append(slices.Clone(p.cc[1:]), args...), Dir: p.dir, Env: []string{"LC_ALL=C", "LANGUAGE=C"}})
}

// compile runs the compiler over a source, with the flags of the go command, and returns what it said. Source:
// cmd/go/internal/work, compilerCmd and gccArchArgs.
func (p ccProber) compile(ctx context.Context, text string, link bool) (ok bool, said string, err error) {
	if err := ccWrite(p.dir, "probe.c", text); err != nil {
		return false, "", err
	}
	v := p.x.GoEnv.Values
	var args []string
	if v["GOOS"] == "windows" {
		args = append(args, "-mthreads")
	} else {
		args = append(args, "-fPIC", "-pthread")
	}
	switch v["GOARCH"] {
	case "386":
		args = append(args, "-m32")
	case "amd64":
		if v["GOOS"] == "darwin" {
			args = append(args, "-arch", "x86_64")
		}
		args = append(args, "-m64")
	case "arm64":
		if v["GOOS"] == "darwin" {
			args = append(args, "-arch", "arm64")
		}
	case "arm":
		args = append(args, "-marm")
	}
	args = append(args, ccCommand(v["CGO_CPPFLAGS"])...)
	args = append(args, ccCommand(v["CGO_CFLAGS"])...)
	if link {
		args = append(args, "-o", filepath.Join(p.dir, "probe.exe"), "probe.c")
		args = append(args, ccCommand(v["CGO_LDFLAGS"])...)
	} else {
		args = append(args, "-c", "-o", filepath.Join(p.dir, "probe.o"), "probe.c")
	}
	made := args[slices.Index(args, "-o")+1]
	_ = os.Remove(made) // that of the probe before
	res, err := p.exec(ctx, args...)
	said = string(res.Stderr)
	if err == nil && res.ExitCode == 0 {
		if _, missing := os.Stat(made); missing != nil {
			return false, cmp.Or(said, "it ended well, and wrote no file"), nil
		}
	}
	return err == nil && res.ExitCode == 0, said, err
}

// run goes the whole way, and on a failure finds out how far it gets. Without a code it could not be tried.
func (p ccProber) run(ctx context.Context) (f Finding, ok bool, said string) {
	ok, whole, err := p.compile(ctx, ccWhole, true)
	if ok || ctx.Err() != nil {
		return Finding{}, ok, ""
	}
	f = Finding{Severity: Fault, Subject: strings.Join(p.cc, " "), Args: map[string]string{"Error": ccTelling(whole)}, Fixes: ccInstall(p.x)}
	if err != nil {
		f.Code, f.Args["Error"] = codeCCBroken, sdkErrorLine(err)
		return f, false, ""
	}
	switch {
	case strings.Contains(whole, "No space left"), strings.Contains(whole, "Read-only file system"):
		return Finding{}, false, ccTelling(whole) // the disk is to blame, and looked at elsewhere
	case strings.Contains(whole, "xcrun: error: invalid active developer path"), strings.Contains(whole, "no developer tools were found"):
		f.Code = codeCCXcode
		return f, false, ""
	case strings.Contains(whole, "agreed to the Xcode license"):
		f.Code = codeCCLicense
		f.Fixes = []Fix{{Code: fixXcodeLicense, Kind: RunCommand, Root: true, Command: []string{"xcodebuild", "-license", "accept"}}}
		return f, false, ""
	}
	okEmpty, saidEmpty, _ := p.compile(ctx, ccEmpty, false)
	okHeaders, saidHeaders, _ := p.compile(ctx, ccUses+ccEmpty, false)
	switch {
	case ctx.Err() != nil:
		return Finding{}, false, ""
	case !okEmpty:
		f.Code, f.Args["Error"] = codeCCBroken, ccTelling(saidEmpty)
		f.Fixes = append(p.flagFixes(ctx), f.Fixes...)
	case !okHeaders:
		f.Code, f.Args["Error"] = codeCCHeaders, ccTelling(saidHeaders)
	default:
		f.Code = codeCCLinker
		f.Fixes = append(p.flagFixes(ctx), f.Fixes...)
	}
	if p.x.GoEnv.Values["GOARCH"] == "386" && p.x.GoEnv.Values["GOHOSTARCH"] == "amd64" && p.x.OS == "linux" && f.Code != codeCCBroken {
		f.Fixes = ccInstallMore(p.x, fixInstallCC32, func(s ccSystem) string { return s.c32 })
	}
	return f, false, ""
}

// flagFixes takes away the flags of the user that are to blame: those without which it works.
func (p ccProber) flagFixes(ctx context.Context) (fixes []Fix) {
	if alone := []string{ccDefault(p.x)}; (p.x.Env["CC"] != "" || p.x.GoEnv.Written["CC"] != "") && !slices.Equal(p.cc, alone) {
		if ok, _, err := (ccProber{p.x, alone, p.dir}).compile(ctx, ccWhole, true); ok && err == nil {
			fix := sdkUnset(p.x, "CC")
			fix.Code, fix.Args = fixDefaultCC, map[string]string{"Key": "CC", "CC": alone[0]}
			return []Fix{fix}
		}
	}
	for _, key := range []string{"CGO_CFLAGS", "CGO_CPPFLAGS", "CGO_LDFLAGS"} {
		if p.x.Env[key] == "" && p.x.GoEnv.Written[key] == "" {
			continue
		}
		y := *p.x
		y.GoEnv.Values = map[string]string{}
		for k, v := range p.x.GoEnv.Values {
			y.GoEnv.Values[k] = v
		}
		delete(y.GoEnv.Values, key)
		if ok, _, _ := (ccProber{&y, p.cc, p.dir}).compile(ctx, ccWhole, true); ok {
			fixes = append(fixes, sdkUnset(p.x, key))
		}
	}
	return fixes
}

// ccTelling is the line of a compiler's output that says most: the first that names what is missing, else the first.
func ccTelling(said string) string {
	for _, word := range []string{"fatal error:", "cannot find", "undefined reference", "error:"} {
		for line := range strings.Lines(said) {
			if strings.Contains(line, word) {
				return sdkFirstLine(line)
			}
		}
	}
	return sdkOr(sdkFirstLine(said), "-")
}
