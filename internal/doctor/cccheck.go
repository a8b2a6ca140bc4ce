package doctor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/gocmd"
)

// The findings about cgo.
const (
	codeCGOOff        = "cgo-off"            // switched off by hand, and the project needs it
	codeCGOCross      = "cgo-off-cross"      // off since GOOS or GOARCH is of another system
	codeCGONoCC       = "cgo-off-no-cc"      // off since there is no C compiler
	codeCGOWrittenCC  = "cgo-off-env-cc"     // off since CC stands in go env -w, which the go command does not see here
	codeCCMissing     = "cc-missing"         // wanted, and not there
	codeCCBroken      = "cc-broken"          // there, and cannot compile
	codeCCHeaders     = "cc-no-headers"      // the headers of libc are not there
	codeCCLinker      = "cc-no-linker"       // it compiles, and cannot link
	codeCCTarget      = "cc-wrong-target"    // makes programs for another system
	codeCCMSVC        = "cc-msvc"            // cgo cannot use it
	codeCCXcode       = "cc-no-xcode"        // the Command Line Tools are not there
	codeCCLicense     = "cc-xcode-license"   // or their licence is not agreed to
	codeCXXMissing    = "cxx-missing"        // no C++ compiler, and the project needs one
	codePkgConfigGone = "pkg-config-missing" // no pkg-config, and the project needs it
	codePCMissing     = "pc-missing"         // a library that the project asks pkg-config for
)

// ccCodes lists the findings of this file.
func ccCodes() []string {
	return []string{
		codeCGOOff, codeCGOCross, codeCGONoCC, codeCGOWrittenCC, codeCCMissing, codeCCBroken, codeCCHeaders, codeCCLinker, codeCCTarget, codeCCMSVC,
		codeCCXcode, codeCCLicense, codeCXXMissing, codePkgConfigGone, codePCMissing,
	}
}

// The facts about cgo.
const (
	factCGO       = "cgo-enabled" // the value: why
	factCC        = "cc-works"    // the value: the program and what it makes programs for
	factLibc      = "libc"        // the value: its kind and version
	factPkgConfig = "pkg-config"
	factNeedsC    = "project-needs-c" // the value: some of the packages
)

// ccFactNames lists the facts of this file.
func ccFactNames() []string { return []string{factCGO, factCC, factLibc, factPkgConfig, factNeedsC} }

// The fixes of cgo that install nothing; see ccInstallFixes.
const (
	fixUseCC      = "use-cc"
	fixDefaultCC  = "default-cc"
	fixWithoutCGO = "without-cgo"
	fixExportCC   = "export-cc"
	fixBuildCross = "build-cross"
)

// ccFixCodes lists the fixes of this file.
func ccFixCodes() []string {
	return append([]string{fixUseCC, fixDefaultCC, fixWithoutCGO, fixExportCC, fixBuildCross}, ccInstallFixes()...)
}

// ccChecks are the checks of C compilers.
func ccChecks() []Check { return []Check{{ID: "cc", Group: CC, Run: ccCheck}} }

// A ccWhy says what made the go command switch cgo on or off. They are not texts but the values of a fact.
type ccWhy string

// The reasons, in the order in which the go command looks. Source: cmd/go/internal/cfg, defaultContext.
const (
	ccByEnv     ccWhy = "CGO_ENABLED" // in the environment
	ccByGoEnv   ccWhy = "go env -w CGO_ENABLED"
	ccByCross   ccWhy = "GOOS/GOARCH" // of another system
	ccByNoCC    ccWhy = "no compiler" // the default one is not in PATH
	ccByDefault ccWhy = "default"
	ccByNobody  ccWhy = "unsupported" // the system has no cgo
)

// ccReason finds out why cgo is on or off.
func ccReason(x *Exam, on bool) ccWhy {
	v := x.GoEnv.Values
	valid := func(s string) bool { return s == "0" || s == "1" }
	switch {
	case valid(x.Env["CGO_ENABLED"]):
		return ccByEnv
	case x.Env["CGO_ENABLED"] == "" && valid(x.GoEnv.Written["CGO_ENABLED"]):
		return ccByGoEnv
	case on:
		return ccByDefault
	case v["GOHOSTOS"] != "" && v["GOOS"] != v["GOHOSTOS"], v["GOHOSTARCH"] != "" && v["GOARCH"] != v["GOHOSTARCH"]:
		return ccByCross
	case x.Env["CC"] == "" && x.SDKs.Program(ccDefault(x)) == "":
		return ccByNoCC
	}
	return ccByNobody
}

// ccDefault is the compiler that the go command takes where nobody says which. Source: internal/platform, DefaultCC.
func ccDefault(x *Exam) string {
	switch v := x.GoEnv.Values["GOOS"]; {
	case v == "darwin", v == "ios", v == "freebsd", v == "openbsd", v == "" && x.OS == "darwin":
		return "clang"
	}
	return "gcc"
}

// ccProjectWait bounds how long the go command may look through a project for C; of a very large one nothing is said.
const ccProjectWait = 4 * time.Second

// ccProbeWait bounds how long the compiler may take for all probes: those that wait for a licence server, or for somebody who
// answers, would take for ever.
const ccProbeWait = 6 * time.Second

// ccCheck looks whether cgo can do what the project wants of it.
func ccCheck(ctx context.Context, x *Exam) Outcome {
	v := x.GoEnv.Values
	if x.GoEnv.Version == "" || v["CGO_ENABLED"] == "" {
		return setKept(x) // no go command: another check says so
	}
	on := v["CGO_ENABLED"] == "1"
	why := ccReason(x, on)
	answer := No
	if on {
		answer = Yes
	}
	var o Outcome
	projects := make(chan ccProject, 1)
	go func() {
		ctx, cancel := context.WithTimeout(ctx, ccProjectWait)
		defer cancel()
		projects <- ccAskProject(ctx, x)
	}()
	cc := ccCommand(v["CC"])
	var probed []Finding
	if on {
		probing, cancel := context.WithTimeout(ctx, ccProbeWait)
		probed = ccProbe(probing, x, cc, &o)
		cancel()
		o.Facts = append(o.Facts, ccLibc(ctx, x))
	}
	o.Facts = append(o.Facts, Fact{Name: factCGO, Answer: answer, Value: string(why)})
	p := <-projects
	o.Facts = append(o.Facts, ccNeedFact(ctx, p))
	if !on {
		ccOff(ctx, x, why, p, &o)
		return o
	}
	if len(p.packages) == 0 && why == ccByDefault && len(probed) > 0 {
		// The standard library asks for C as well (net, os/user), but comes with a way out.
		for i := range probed {
			probed[i].Fixes = append(probed[i].Fixes, Fix{Code: fixWithoutCGO, Kind: SetGoEnv, Key: "CGO_ENABLED", Value: "0"})
		}
	}
	for _, f := range o.Facts {
		if f.Name == factCC && f.Answer == Unmeasured {
			o.NotRun, o.Detail = f.Reason, f.Value
		}
	}
	o.Findings = append(o.Findings, probed...)
	if len(probed) == 0 {
		ccExtras(ctx, x, p, &o)
	}
	return o
}

// ccNeedFact says whether the project has packages with C.
func ccNeedFact(ctx context.Context, p ccProject) Fact {
	f := Fact{Name: factNeedsC, Answer: No}
	switch {
	case len(p.packages) > 0:
		f.Answer, f.Value = Yes, ccSome(p.packages)
	case !p.inModule:
		f.Answer, f.Reason = Unmeasured, NotHere
	case !p.known || !p.whole: // also of a project whose modules are not here yet
		f = sdkNotMeasured(ctx, factNeedsC)
	}
	return f
}

// ccSome names the first ones of a list.
func ccSome(list []string) string {
	if len(list) > 3 {
		return strings.Join(list[:3], ", ") + ", …"
	}
	return strings.Join(list, ", ")
}

// ccOff says what it means for the project that cgo is off. Nothing is wrong with that for programs without C.
func ccOff(ctx context.Context, x *Exam, why ccWhy, p ccProject, o *Outcome) {
	goos, goarch := x.GoEnv.Values["GOOS"], x.GoEnv.Values["GOARCH"]
	f := Finding{Severity: Note, Subject: "CGO_ENABLED", Args: map[string]string{"Target": goos + "/" + goarch, "CC": ccDefault(x), "Packages": "-"}}
	if len(p.packages) > 0 {
		ccBare(ctx, x, &p)
		f.Args["Packages"] = ccSome(p.packages)
		f.Severity = Warning // they have a way without C, which may be slower, or do less
		if len(p.without) > 0 {
			f.Severity, f.Args["Packages"] = Fault, ccSome(p.without)
		}
	}
	switch why {
	case ccByEnv, ccByGoEnv:
		f.Code, f.Args["Origin"] = codeCGOOff, string(why)
		f.Fixes = []Fix{sdkUnset(x, "CGO_ENABLED")}
	case ccByCross:
		f.Code, f.Fixes = codeCGOCross, ccBuildCross(x, goos, goarch)
	case ccByNoCC:
		f.Code, f.Fixes = codeCGONoCC, ccInstall(x)
		if cc := ccCommand(x.GoEnv.Written["CC"]); len(cc) > 0 && x.SDKs.Program(cc[0]) != "" {
			f.Code, f.Args["CC"] = codeCGOWrittenCC, x.GoEnv.Written["CC"]
			f.Fixes = []Fix{{Code: fixExportCC, Kind: SetGoEnv, Key: "CGO_ENABLED", Value: "1"}}
		}
	default:
		return
	}
	if f.Severity == Note {
		if why != ccByNoCC {
			return // switched off by hand or by a cross build, for programs that do not mind
		}
		f.Fixes = nil // worth knowing, and nothing to mend
		if p.inModule && len(p.packages) == 0 && !(p.known && p.whole) {
			o.NotRun = NotReadable // whether that matters
		}
	}
	o.Findings = append(o.Findings, f)
}

// ccCommand splits CC as the go command does: words, of which some may be quoted.
func ccCommand(s string) []string {
	var words []string
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		if q := s[0]; q == '"' || q == '\'' {
			if end := strings.IndexByte(s[1:], q); end >= 0 {
				words, s = append(words, s[1:1+end]), s[end+2:]
				continue
			}
		}
		end := strings.IndexAny(s, " \t\n\r")
		if end < 0 {
			end = len(s)
		}
		words, s = append(words, s[:end]), s[end:]
	}
	return words
}

// ccExtras looks at what the project wants beside the C compiler.
func ccExtras(ctx context.Context, x *Exam, p ccProject, o *Outcome) {
	if cxx := ccCommand(x.GoEnv.Values["CXX"]); len(p.cxx) > 0 && len(cxx) > 0 {
		if _, err := x.Runner.FindTool(cxx[0]); err != nil {
			o.Findings = append(o.Findings, Finding{
				Code: codeCXXMissing, Severity: Fault, Subject: cxx[0], Args: map[string]string{"Packages": ccSome(p.cxx)},
				Fixes: ccInstallMore(x, fixInstallCXX, func(s ccSystem) string { return s.cxx }),
			})
		}
	}
	if len(p.pkgs) == 0 {
		return
	}
	tool := sdkOr(x.GoEnv.Values["PKG_CONFIG"], "pkg-config")
	if _, err := x.Runner.FindTool(tool); err != nil {
		o.Facts = append(o.Facts, Fact{Name: factPkgConfig, Answer: No})
		o.Findings = append(o.Findings, Finding{
			Code: codePkgConfigGone, Severity: Fault, Subject: tool, Args: map[string]string{"Names": ccSome(p.pkgs)},
			Fixes: ccInstallMore(x, fixInstallPkgConfig, func(s ccSystem) string { return s.pkg }),
		})
		return
	}
	o.Facts = append(o.Facts, Fact{Name: factPkgConfig, Answer: Yes, Value: ccSome(p.pkgs)})
	for _, name := range p.pkgs {
		res, err := x.Runner.Run(ctx, gocmd.Cmd{Name: tool, Args: []string{"--exists", "--print-errors", "--", name}, Dir: x.Dir})
		if err != nil || res.ExitCode == 0 {
			continue
		}
		o.Findings = append(o.Findings, Finding{
			Code: codePCMissing, Severity: Fault, Subject: name, Args: map[string]string{"Error": sdkFirstLine(string(res.Stderr) + string(res.Stdout))},
			Fixes: ccInstallLibrary(x, name),
		})
	}
}

// ccLibc finds out which libc the programs of this system use.
func ccLibc(ctx context.Context, x *Exam) Fact {
	if x.OS != "linux" {
		return Fact{Name: factLibc, Answer: Unmeasured, Reason: NotHere}
	}
	res, err := x.Runner.Run(ctx, gocmd.Cmd{Name: "ldd", Args: []string{"--version"}, Dir: x.Dir, Env: []string{"LC_ALL=C"}})
	if err != nil {
		return Fact{Name: factLibc, Answer: Unmeasured, Reason: NoTool}
	}
	if name := ccLibcName(string(res.Stdout) + string(res.Stderr)); name != "" {
		return Fact{Name: factLibc, Answer: Yes, Value: name}
	}
	return Fact{Name: factLibc, Answer: Unmeasured, Reason: NotReadable}
}

// ccLibcName reads what ldd says of itself: "ldd (Debian GLIBC 2.36-9) 2.36", or "musl libc (x86_64)" and "Version 1.2.4".
func ccLibcName(said string) string {
	first := sdkFirstLine(said)
	words := strings.Fields(first)
	if strings.HasPrefix(first, "musl") {
		for line := range strings.Lines(said) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), "Version "); ok {
				return "musl " + v
			}
		}
		return "musl"
	}
	if len(words) > 1 && words[0] == "ldd" {
		return "glibc " + words[len(words)-1]
	}
	return ""
}

// ccTemp makes a folder for probes; clean takes it away.
func ccTemp() (dir string, clean func(), err error) {
	dir, err = os.MkdirTemp("", "goferry-probe-")
	if err != nil {
		return "", func() {}, err
	}
	return dir, func() { _ = os.RemoveAll(dir) }, nil
}

// ccWrite writes the source of a probe.
func ccWrite(dir, name, text string) error {
	return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)
}
