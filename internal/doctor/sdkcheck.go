package doctor

import (
	"context"
	"errors"
	"go/version"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/toolchain"
)

// The findings about Gos.
const (
	codeGoMissing        = "go-missing"         // no go command in PATH
	codeGoOutOfPath      = "go-out-of-path"     // there is one, but PATH does not lead to it
	codeGoBroken         = "go-broken"          // it cannot be run
	codeGoShadowed       = "go-shadowed"        // a newer one stands behind an older one in PATH
	codeGorootNothing    = "goroot-nothing"     // GOROOT leads to no Go
	codeGorootMixed      = "goroot-mixed"       // GOROOT leads to the files of another Go
	codeToolsMixed       = "tools-mixed"        // go and its compiler are of two releases
	codeGo32Bit          = "go-32-bit"          // a Go of 32 bit on a system of 64
	codeGoRosetta        = "go-rosetta"         // a Go for Intel on Apple silicon
	codeGoEmulated       = "go-emulated"        // a Go for another processor
	codeGoHoles          = "go-holes"           // it believes forged answers of a checksum database
	codeTargetLeft       = "target-left"        // GOOS or GOARCH of another system, for good
	codeGOPATHIsGOROOT   = "gopath-is-goroot"   // GOPATH set to GOROOT
	codeGOBINNotInPath   = "gobin-not-in-path"  // what go install makes is not found
	codeToolchainInvalid = "toolchain-invalid"  // GOTOOLCHAIN or a toolchain line that go refuses
	codeToolchainLang    = "toolchain-language" // a language version where a release is meant
	codeGoTooOld         = "go-too-old"         // the project asks for more, and nothing may give it
	codeToolchainAbsent  = "toolchain-absent"   // GOTOOLCHAIN=path, and PATH has it not
	codeToolchainOffline = "toolchain-offline"  // to be downloaded, with GOPROXY=off
	codeToolchainNowhere = "toolchain-nowhere"  // to be downloaded, and no upstream has it
	codeSDKAltered       = "sdk-altered"        // files are not as they were released
	codeSDKMixed         = "sdk-mixed"          // files of another release lie between its own
	codeSDKUnreadable    = "sdk-unreadable"     // it cannot be read
)

// sdkCodes lists the findings of this file.
func sdkCodes() []string {
	return []string{
		codeGoMissing, codeGoOutOfPath, codeGoBroken, codeGoShadowed, codeGorootNothing, codeGorootMixed, codeToolsMixed, codeGo32Bit, codeGoRosetta, codeGoEmulated,
		codeGoHoles, codeTargetLeft, codeGOPATHIsGOROOT, codeGOBINNotInPath, codeToolchainInvalid, codeToolchainLang, codeGoTooOld, codeToolchainAbsent,
		codeToolchainOffline, codeToolchainNowhere, codeSDKAltered, codeSDKMixed, codeSDKUnreadable,
	}
}

// The facts about Gos.
const (
	factGo              = "go-in-use"        // the value: its version and its program
	factOtherGos        = "other-gos"        // the value: those that are on this machine beside
	factToolchain       = "toolchain-here"   // whether the toolchain that is asked for is on this machine
	factToolchainServed = "toolchain-served" // whether an upstream has it
	factSDKProved       = "sdk-proved"       // whether its files are what was released
	factCompiler        = "compiler-matches" // whether the compiler is of the same release as go
)

// sdkFactNames lists the facts of this file.
func sdkFactNames() []string {
	return []string{factGo, factOtherGos, factToolchain, factToolchainServed, factSDKProved, factCompiler}
}

// The fixes of Gos.
const (
	fixAddToPath       = "add-to-path"
	fixPathFirst       = "path-first"
	fixInstallSDK      = "install-sdk"
	fixRepairSDK       = "repair-sdk"
	fixUnset           = "unset-variable" // a variable of the shell, or what go env -w wrote
	fixToolchainAuto   = "toolchain-auto"
	fixToolchainFull   = "toolchain-full" // name the release
	fixToolchainLine   = "toolchain-line" // in go.mod or go.work
	fixToolchainLocal  = "toolchain-local"
	fixUpstreamWithSDK = "upstream-with-toolchains"
)

// sdkFixCodes lists the fixes of this file.
func sdkFixCodes() []string {
	return []string{
		fixAddToPath, fixPathFirst, fixInstallSDK, fixRepairSDK, fixUnset, fixToolchainAuto, fixToolchainFull, fixToolchainLine, fixToolchainLocal,
		fixUpstreamWithSDK,
	}
}

// sdkChecks are the checks of Gos.
func sdkChecks() []Check {
	return []Check{
		{ID: "go", Group: SDK, Run: sdkCheckGo},
		{ID: "sdk", Group: SDK, Run: sdkCheckFiles},
	}
}

// sdkCheckGo looks at which go command there is, and which one it will be.
func sdkCheckGo(ctx context.Context, x *Exam) Outcome {
	var o Outcome
	first := x.SDKs.Program("go")
	if first == "" {
		o.Findings = append(o.Findings, sdkNoGo(x))
		return o
	}
	if x.GoEnv.Version == "" {
		return sdkNoVersion(ctx, x, first)
	}
	o.Facts = append(o.Facts, Fact{Name: factGo, Answer: Yes, Value: x.GoEnv.Version + ", " + first})
	sdkOthers(x, first, &o)
	sdkRoots(ctx, x, first, &o)
	sdkProcessor(ctx, x, &o)
	sdkVariables(x, &o)
	sdkToolchain(ctx, x, &o)
	return o
}

// sdkNoGo is the finding that there is no go command, with one beside PATH if there is one.
func sdkNoGo(x *Exam) Finding {
	for _, g := range x.SDKs.Find() {
		if g.OS != x.OS || g.Arch != x.Arch {
			continue
		}
		bin := filepath.Dir(toolchain.Program(g.Root))
		return Finding{
			Code: codeGoOutOfPath, Severity: Fault, Subject: "PATH", Args: map[string]string{"Version": g.Name, "Dir": bin},
			Fixes: []Fix{sdkPathFix(x, fixAddToPath, bin)},
		}
	}
	return Finding{Code: codeGoMissing, Severity: Fault, Subject: "go", Fixes: []Fix{sdkInstall("latest")}}
}

// sdkPathFix puts a folder first in PATH.
func sdkPathFix(x *Exam, code, dir string) Fix {
	value := dir + ":$PATH"
	if x.OS == "windows" {
		value = dir + `;%PATH%`
	}
	return Fix{Code: code, Kind: SetEnv, Key: "PATH", Value: value, Args: map[string]string{"Dir": dir}}
}

// sdkInstall is the fix that installs a Go.
func sdkInstall(version string) Fix {
	return Fix{Code: fixInstallSDK, Kind: RunCommand, Command: []string{"goferry", "sdk", "install", version}, Args: map[string]string{"Version": version}}
}

// sdkUnset takes a variable away: from the shell if it stands there, since that hides what go env -w wrote.
func sdkUnset(x *Exam, key string) Fix {
	kind := SetEnv
	if x.Env[key] == "" && x.GoEnv.Written[key] != "" {
		kind = SetGoEnv
	}
	f := Fix{Code: fixUnset, Kind: kind, Key: key, Args: map[string]string{"Key": key}}
	if kind == SetGoEnv {
		f = setOutOfFile(x, f)
	}
	return f
}

// sdkSet gives a setting of the go command another value, where it stands.
func sdkSet(x *Exam, code, key, value string) Fix {
	kind := SetGoEnv
	if x.Env[key] != "" {
		kind = SetEnv
	}
	return Fix{Code: code, Kind: kind, Key: key, Value: value, Args: map[string]string{"Key": key, "Value": value}}
}

// sdkNoVersion says why a go command that is there does not say its version.
func sdkNoVersion(ctx context.Context, x *Exam, first string) Outcome {
	if ctx.Err() != nil || errors.Is(x.GoEnv.Err, context.DeadlineExceeded) || errors.Is(x.GoEnv.Err, context.Canceled) {
		return Outcome{NotRun: OutOfTime}
	}
	res, err := x.Runner.Run(ctx, gocmd.Cmd{Name: first, Args: []string{"version"}, Dir: sdkNeutral(x), Env: []string{"GOTOOLCHAIN=local"}})
	if ctx.Err() != nil {
		return Outcome{NotRun: OutOfTime}
	}
	why := ""
	switch {
	case err != nil:
		why = err.Error()
	case res.ExitCode != 0:
		why = sdkFirstLine(string(res.Stderr))
	default: // it runs, but what it says of its settings was not understood
		return Outcome{NotRun: NotReadable, Detail: sdkErrorLine(x.GoEnv.Err)}
	}
	f := Finding{Code: codeGoBroken, Severity: Fault, Subject: first, Args: map[string]string{"Error": why}, Fixes: []Fix{sdkInstall("latest")}}
	if strings.Contains(why, "GOROOT") && x.Env["GOROOT"] != "" { // "cannot find GOROOT directory"
		f.Fixes = []Fix{sdkUnset(x, "GOROOT")}
	}
	return Outcome{Findings: []Finding{f}}
}

// sdkNeutral is a folder in no module, where the go command does not switch.
func sdkNeutral(x *Exam) string {
	dir, err := gocmd.NeutralDir(x.Home)
	if err != nil {
		return x.Dir
	}
	return dir
}

func sdkErrorLine(err error) string {
	if err == nil {
		return ""
	}
	return sdkFirstLine(err.Error())
}

// sdkFirstLine is the first line of s that says something, of bounded length.
func sdkFirstLine(s string) string {
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			return line[:min(len(line), 300)]
		}
	}
	return ""
}

// sdkOthers looks at the Gos beside the first one in PATH.
func sdkOthers(x *Exam, first string, o *Outcome) {
	root, err := toolchain.RootOf(first)
	if err != nil {
		root = "" // a wrapper
	}
	var others []string
	for _, g := range x.SDKs.Find() {
		if g.Root != root {
			others = append(others, g.Name+" "+g.Root)
		}
	}
	if len(others) > 0 {
		o.Facts = append(o.Facts, Fact{Name: factOtherGos, Answer: Yes, Value: strings.Join(others, ", ")})
	}
	for _, dir := range x.SDKs.Path {
		hidden := toolchain.Finder{Path: []string{dir}}.Program("go")
		if hidden == "" || hidden == first {
			continue
		}
		other, err := toolchain.RootOf(hidden)
		if err != nil || other == root {
			continue
		}
		g, err := toolchain.Identify(other)
		if err != nil || g.Version == "" || version.Compare(version.Lang(g.Name), version.Lang(sdkName(x.GoEnv.Version))) <= 0 {
			continue
		}
		f := Finding{Code: codeGoShadowed, Severity: Note, Subject: first, Args: map[string]string{"Version": x.GoEnv.Version, "Newer": g.Name, "Hidden": hidden}}
		// A Go before 1.21 takes no other one for a project that asks for it.
		if name := sdkName(x.GoEnv.Version); sdkReleased(name) && version.Compare(name, "go1.21") < 0 {
			f.Severity, f.Fixes = Warning, []Fix{sdkPathFix(x, fixPathFirst, filepath.Dir(hidden))}
		}
		o.Findings = append(o.Findings, f)
		return
	}
}

// sdkReleased reports whether v is the name of a release, as those of a checkout are not.
func sdkReleased(v string) bool { return version.IsValid(v) }

// sdkName is the release in what a go command calls itself: distributors and experiments add words to it.
func sdkName(v string) string {
	v, _, _ = strings.Cut(v, " ")
	return v
}

// sdkRoots looks whether go, its GOROOT and its compiler belong together.
func sdkRoots(ctx context.Context, x *Exam, first string, o *Outcome) {
	// What go env said may have been asked without a GOROOT that is no good.
	goroot := sdkOr(x.Env["GOROOT"], sdkOr(x.GoEnv.Written["GOROOT"], x.GoEnv.Values["GOROOT"]))
	if goroot == "" {
		return
	}
	own, _ := toolchain.RootOf(first)
	real, err := filepath.EvalSymlinks(goroot)
	moved := x.Env["GOROOT"] != "" || x.GoEnv.Written["GOROOT"] != ""
	found, idErr := toolchain.Identify(goroot)
	name := sdkName(x.GoEnv.Version)
	if moved && (err != nil || idErr != nil || own != "" && real != own && found.Name != name) {
		f := Finding{
			Code: codeGorootMixed, Severity: Fault, Subject: "GOROOT",
			Args:  map[string]string{"Value": goroot, "There": found.Name, "Version": x.GoEnv.Version, "Program": first},
			Fixes: []Fix{sdkUnset(x, "GOROOT")},
		}
		if found.Name == "" {
			f.Code = codeGorootNothing
		}
		o.Findings = append(o.Findings, f)
		return // its compiler is that of the other Go
	}
	res, err := x.Runner.Run(ctx, gocmd.Cmd{Name: first, Args: []string{"tool", "compile", "-V"}, Dir: sdkNeutral(x), Env: []string{"GOTOOLCHAIN=local"}})
	words := strings.Fields(string(res.Stdout)) // "compile version go1.26.8"
	if err != nil || res.ExitCode != 0 || len(words) < 3 {
		fact := sdkNotMeasured(ctx, factCompiler)
		o.Facts = append(o.Facts, fact)
		o.NotRun, o.Detail = fact.Reason, sdkOr(sdkErrorLine(err), sdkFirstLine(string(res.Stderr)))
		return
	}
	if words[2] == name {
		o.Facts = append(o.Facts, Fact{Name: factCompiler, Answer: Yes, Value: words[2]})
		return
	}
	o.Findings = append(o.Findings, Finding{
		Code: codeToolsMixed, Severity: Fault, Subject: goroot, Args: map[string]string{"Version": x.GoEnv.Version, "Compiler": words[2]},
		Facts: []Fact{{Name: factCompiler, Answer: No, Value: words[2]}},
		Fixes: []Fix{sdkRepair(goroot)},
	})
}

// sdkNotMeasured is a fact that could not be had.
func sdkNotMeasured(ctx context.Context, name string) Fact {
	reason := NotReadable
	if ctx.Err() != nil {
		reason = OutOfTime
	}
	return Fact{Name: name, Answer: Unmeasured, Reason: reason}
}

func sdkOr(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// sdkRepair is the fix for a Go with the wrong files.
func sdkRepair(root string) Fix {
	return Fix{
		Code: fixRepairSDK, Kind: RunCommand, Command: []string{"goferry", "sdk", "repair", "--goroot", root},
		Root: !sdkWritable(root), Args: map[string]string{"Root": root},
	}
}

// sdkWritable guesses whether the user may change the folder, from its rights alone.
func sdkWritable(root string) bool {
	f, err := os.OpenFile(filepath.Join(root, "VERSION"), os.O_WRONLY, 0) // opens, and writes nothing
	if err != nil {
		return false
	}
	_ = f.Close()
	return true
}

// sdkVariables looks at variables that send the go command, or what it makes, elsewhere.
func sdkVariables(x *Exam, o *Outcome) {
	v := x.GoEnv.Values
	for _, key := range []string{"GOOS", "GOARCH"} {
		host := v["GOHOST"+strings.TrimPrefix(key, "GO")]
		if host == "" || v[key] == "" || v[key] == host {
			continue
		}
		f := Finding{Code: codeTargetLeft, Severity: Note, Subject: key, Args: map[string]string{"Value": v[key], "Host": host}}
		if x.GoEnv.Written[key] == v[key] && x.Env[key] == "" { // in the environment it may well be meant
			f.Severity, f.Fixes = Warning, []Fix{sdkUnset(x, key)}
		}
		o.Findings = append(o.Findings, f)
	}
	if root := v["GOROOT"]; root != "" && filepath.Clean(v["GOPATH"]) == filepath.Clean(root) {
		o.Findings = append(o.Findings, Finding{Code: codeGOPATHIsGOROOT, Severity: Warning, Subject: "GOPATH", Args: map[string]string{"Value": root}, Fixes: []Fix{sdkUnset(x, "GOPATH")}})
	}
	sdkGOBIN(x, o)
}

// sdkGOBIN looks whether programs that go install has made are found.
func sdkGOBIN(x *Exam, o *Outcome) {
	bin := x.GoEnv.Values["GOBIN"]
	if gopath := filepath.SplitList(x.GoEnv.Values["GOPATH"]); bin == "" && len(gopath) > 0 {
		bin = filepath.Join(gopath[0], "bin")
	}
	files, err := os.ReadDir(bin)
	if bin == "" || err != nil || len(files) == 0 {
		return // nobody has installed anything
	}
	if slices.ContainsFunc(x.SDKs.Path, func(dir string) bool { return filepath.Clean(dir) == filepath.Clean(bin) }) {
		return
	}
	o.Findings = append(o.Findings, Finding{Code: codeGOBINNotInPath, Severity: Note, Subject: "PATH", Args: map[string]string{"Dir": bin}})
}
