package doctor

import (
	"context"
	"errors"
	"fmt"
	"go/version"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/sumdb"
	"github.com/goferry/goferry/internal/toolchain"
)

// sdkSelector is what decides which toolchain go is where the user stands.
func sdkSelector(x *Exam) toolchain.Selector {
	return toolchain.Selector{
		Finder: x.SDKs, Dir: x.Dir, Setting: x.GoEnv.Values["GOTOOLCHAIN"], GOWORK: sdkGOWORK(x),
		Local: sdkName(x.GoEnv.Version), GOMOD: x.GoEnv.Values["GO111MODULE"] != "off",
	}
}

// sdkGOWORK is GOWORK as it was set; what go env says is the file that was found.
func sdkGOWORK(x *Exam) string {
	if v := x.Env["GOWORK"]; v != "" {
		return v
	}
	return x.GoEnv.Written["GOWORK"]
}

// sdkProject reads what the project says about its toolchain.
func sdkProject(x *Exam) (toolchain.ProjectLines, error) {
	return toolchain.ReadProjectLines(x.Dir, sdkGOWORK(x))
}

// sdkToolchain looks which toolchain the project and GOTOOLCHAIN ask for, and whether it can be had.
func sdkToolchain(ctx context.Context, x *Exam, o *Outcome) {
	setting := x.GoEnv.Values["GOTOOLCHAIN"]
	if f, ok := sdkLanguageSetting(x, setting); ok {
		o.Findings = append(o.Findings, f)
		return
	}
	s := sdkSelector(x)
	old := sdkReleased(s.Local) && version.Compare(s.Local, "go1.21") < 0 // knows no GOTOOLCHAIN
	if old {
		s.Setting = "local"
	}
	cur, err := s.Current()
	if err != nil {
		sdkRefused(x, setting, err, o)
		return
	}
	sdkHoles(x, cur, o)
	if cur.Setting == "" || cur.Setting == "local" {
		sdkTooOld(x, cur, old, o)
		return
	}
	if version.Lang(cur.Name) == cur.Name && version.Compare(cur.Name, "go1.21") >= 0 && cur.Why == toolchain.WhyToolchain {
		o.Findings = append(o.Findings, Finding{
			Code: codeToolchainLang, Severity: Fault, Subject: cur.File, Args: map[string]string{"Name": cur.Name},
			Fixes: []Fix{sdkToolchainLine(cur.File, cur.Name, cur.Name+".0")},
		})
		return
	}
	if cur.Program != "" {
		o.Facts = append(o.Facts, Fact{Name: factToolchain, Answer: Yes, Value: cur.Name})
		return
	}
	o.Facts = append(o.Facts, Fact{Name: factToolchain, Answer: No, Value: cur.Name})
	sdkAbsent(ctx, x, cur, o)
}

// sdkLanguageSetting finds a GOTOOLCHAIN that names a language version.
func sdkLanguageSetting(x *Exam, setting string) (Finding, bool) {
	name, mode, plus := strings.Cut(setting, "+")
	if !version.IsValid(name) || version.Lang(name) != name || version.Compare(name, "go1.21") < 0 {
		return Finding{}, false
	}
	meant := name + ".0"
	if plus {
		meant += "+" + mode
	}
	return Finding{
		Code: codeToolchainLang, Severity: Fault, Subject: "GOTOOLCHAIN", Args: map[string]string{"Name": name},
		Fixes: []Fix{sdkSet(x, fixToolchainFull, "GOTOOLCHAIN", meant), sdkSet(x, fixToolchainAuto, "GOTOOLCHAIN", "auto")},
	}, true
}

// sdkRefused is a setting or a line that the go command refuses.
func sdkRefused(x *Exam, setting string, err error, o *Outcome) {
	if !errors.Is(err, toolchain.ErrVersion) {
		o.Facts = append(o.Facts, Fact{Name: factToolchain, Answer: Unmeasured, Value: sdkErrorLine(err), Reason: NotReadable})
		o.NotRun, o.Detail = NotReadable, sdkErrorLine(err)
		return
	}
	f := Finding{Code: codeToolchainInvalid, Severity: Fault, Subject: "GOTOOLCHAIN", Args: map[string]string{"Value": setting}, Fixes: []Fix{sdkSet(x, fixToolchainAuto, "GOTOOLCHAIN", "auto")}}
	if lines, lerr := sdkProject(x); lerr == nil && !version.IsValid(lines.Toolchain) && lines.Toolchain != "" && lines.Toolchain != "default" {
		f.Subject, f.Args["Value"] = lines.File, lines.Toolchain
		meant := ""
		if strings.HasPrefix(lines.Toolchain, "1.") && version.IsValid("go"+lines.Toolchain) {
			meant = "go" + lines.Toolchain
		}
		f.Fixes = []Fix{sdkToolchainLine(lines.File, lines.Toolchain, meant)}
	}
	o.Findings = append(o.Findings, f)
}

// sdkToolchainLine changes the toolchain line of a go.mod or go.work file, as it stands there; without a name for the
// new one it goes.
func sdkToolchainLine(file, name, meant string) Fix {
	f := Fix{Code: fixToolchainLine, Kind: EditFile, File: file, Old: "toolchain " + name, Args: map[string]string{"Name": name, "File": file}}
	line := regexp.MustCompile(`(?m)^toolchain[ \t]+` + regexp.QuoteMeta(name))
	if meant == "" {
		line = regexp.MustCompile(line.String() + `[^\n]*(\n|\z)`)
	}
	if data, err := os.ReadFile(file); err == nil {
		if m := line.Find(data); m != nil {
			f.Old = string(m)
		}
	}
	if meant != "" {
		f.New, f.Args["Name"] = "toolchain "+meant, meant
	}
	return f
}

// sdkTooOld looks whether the project asks for more than a Go that may not switch.
func sdkTooOld(x *Exam, cur toolchain.Current, old bool, o *Outcome) {
	lines, err := sdkProject(x)
	want := "go" + lines.Go
	if err != nil || lines.Go == "" || x.GoEnv.Values["GO111MODULE"] == "off" || !version.IsValid(cur.Name) || version.Compare(want, cur.Name) <= 0 {
		return
	}
	if version.Lang(want) == want && version.Compare(want, "go1.21") >= 0 {
		want += ".0"
		if version.Compare(want, cur.Name) <= 0 {
			return
		}
	}
	f := Finding{
		Code: codeGoTooOld, Severity: Fault, Subject: lines.File,
		Args:  map[string]string{"Want": strings.TrimPrefix(want, "go"), "Have": cur.Name, "Program": cur.First, "Setting": sdkOr(cur.Setting, "local")},
		Fixes: []Fix{sdkInstall(strings.TrimPrefix(want, "go"))},
	}
	if old {
		f.Severity = Warning // it tries, and often that is enough
	} else if cur.Setting == "local" {
		f.Fixes = append([]Fix{sdkSet(x, fixToolchainAuto, "GOTOOLCHAIN", "auto")}, f.Fixes...)
	}
	o.Findings = append(o.Findings, f)
}

// sdkHoles looks whether a Go that downloads believes a forged checksum database: the first in PATH, which downloads
// toolchains, and the one that it becomes. Source: GO-2026-6179 and GO-2026-6180, mended in go1.25.13, go1.26.6 and
// go1.27rc3.
func sdkHoles(x *Exam, cur toolchain.Current, o *Outcome) {
	for i, name := range []string{sdkName(x.GoEnv.Version), cur.Name} {
		if i == 1 && name == sdkName(x.GoEnv.Version) || !sdkHasHoles(name) {
			continue
		}
		fix := sdkInstall("latest")
		f := Finding{Code: codeGoHoles, Severity: Warning, Subject: name, Args: map[string]string{"Version": name}, Fixes: []Fix{fix}}
		o.Findings = append(o.Findings, f)
		return // newer is the answer to both
	}
}

// sdkHasHoles reports whether a release was made before the holes were mended.
func sdkHasHoles(name string) bool {
	if i := strings.IndexByte(name, '-'); i > 0 {
		name = name[:i] // what a distributor adds
	}
	if !version.IsValid(name) || version.Lang(name) == name && version.Compare(name, "go1.21") >= 0 {
		return false // of a checkout of any age, or no release
	}
	switch version.Lang(name) {
	case "go1.26":
		return version.Compare(name, "go1.26.6") < 0
	case "go1.27":
		return version.Compare(name, "go1.27rc3") < 0
	}
	return version.Compare(name, "go1.25.13") < 0
}

// sdkAbsent looks whether a toolchain that is not on this machine can come.
func sdkAbsent(ctx context.Context, x *Exam, cur toolchain.Current, o *Outcome) {
	f := Finding{Severity: Fault, Subject: cur.Name, Args: map[string]string{"Name": cur.Name, "Why": cur.File}}
	if cur.File == "" {
		f.Args["Why"] = "GOTOOLCHAIN=" + cur.Setting
	}
	install := sdkInstall(strings.TrimPrefix(cur.Name, "go"))
	if v, err := toolchain.ParseVersion(cur.Name); err == nil && x.SDKs.Home.Dir != "" && x.SDKs.Home.Has(toolchain.Here(v)) {
		install = sdkPathFix(x, fixAddToPath, x.SDKs.Home.Bin()) // goferry has it; the go command looks for its name in PATH
	}
	proxies := x.GoEnv.Values["GOPROXY"]
	switch {
	case !cur.Download:
		f.Code, f.Fixes = codeToolchainAbsent, []Fix{install, sdkSet(x, fixToolchainAuto, "GOTOOLCHAIN", strings.Replace(cur.Setting, "path", "auto", 1))}
	case proxies == "off":
		f.Code, f.Fixes = codeToolchainOffline, []Fix{install}
		if cur.Why == toolchain.WhySetting {
			f.Fixes = append(f.Fixes, sdkSet(x, fixToolchainLocal, "GOTOOLCHAIN", "local"))
		}
	default:
		fact := sdkServed(ctx, x, cur)
		o.Facts = append(o.Facts, fact)
		if fact.Answer == Unmeasured {
			o.NotRun, o.Detail = fact.Reason, cur.Name+sdkBehind(fact.Value)
		}
		if fact.Answer != No {
			return
		}
		f.Code, f.Facts = codeToolchainNowhere, []Fact{fact}
		f.Args["Hosts"] = fact.Value
		f.Fixes = []Fix{install, {Code: fixUpstreamWithSDK, Kind: ByHand, Args: map[string]string{"Name": cur.Name}}}
	}
	o.Findings = append(o.Findings, f)
}

// sdkBehind puts words behind others, if there are any.
func sdkBehind(words string) string {
	if words == "" {
		return ""
	}
	return ": " + words
}

// sdkServed asks the upstreams for a toolchain as the go command would: the next is asked where one has it not, or
// after | for any reason. No is only said where each that the go command would ask says so itself.
func sdkServed(ctx context.Context, x *Exam, cur toolchain.Current) Fact {
	fact := Fact{Name: factToolchainServed, Answer: Unmeasured, Reason: NotReadable}
	if cur.Version == "" || x.Net.HTTP == nil {
		return fact
	}
	m := toolchain.Here(cur.Version).Module()
	escaped, err := module.EscapeVersion(m.Version)
	if err != nil {
		return fact
	}
	var asked []string
	sure := true
	for _, t := range x.Targets {
		if t.Role != Upstream || t.URL == nil {
			continue
		}
		status, err := sdkAsk(ctx, x.Net.HTTP, t.URL.JoinPath(m.Path, "@v", escaped+".mod"))
		if ctx.Err() != nil {
			fact.Reason = OutOfTime
			return fact
		}
		asked = append(asked, t.URL.Hostname())
		switch {
		case err == nil && status == http.StatusOK:
			return Fact{Name: factToolchainServed, Answer: Yes, Value: t.URL.Hostname()}
		case err == nil && (status == http.StatusNotFound || status == http.StatusGone):
		case t.Sep == '|':
			sure = false
		default:
			fact.Value = t.URL.Hostname() // why it does not answer is for other checks to say
			if fact.Reason = NoNetwork; err == nil {
				fact.Reason, fact.Value = NotReadable, fact.Value+" "+http.StatusText(status)
			}
			return fact
		}
	}
	if len(asked) == 0 || !sure {
		return fact
	}
	return Fact{Name: factToolchainServed, Answer: No, Value: strings.Join(asked, ", ")}
}

// sdkAsk returns the status of an answer, without its body.
func sdkAsk(ctx context.Context, client *http.Client, u *url.URL) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return 0, err
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	_, _ = io.CopyN(io.Discard, res.Body, 4<<10) // a .mod has one line; the connection can be used again
	return res.StatusCode, res.Body.Close()
}

// sdkProcessor looks whether Go is made for this processor.
func sdkProcessor(ctx context.Context, x *Exam, o *Outcome) {
	arch := x.GoEnv.Values["GOHOSTARCH"]
	if arch == "" {
		return
	}
	machine := sdkMachine(ctx, x)
	if machine == "" || machine == arch {
		return
	}
	f := Finding{Code: codeGoEmulated, Severity: Warning, Subject: x.GoEnv.Values["GOROOT"], Args: map[string]string{"Arch": arch, "Machine": machine}}
	switch {
	case x.OS == "darwin" && machine == "arm64":
		f.Code = codeGoRosetta
	case arch == "386" && machine == "amd64", arch == "arm" && machine == "arm64":
		f.Code = codeGo32Bit
	}
	f.Fixes = []Fix{{Code: fixInstallSDK, Kind: RunCommand, Command: []string{"goferry", "sdk", "install", "latest", "--arch", machine}, Args: map[string]string{"Version": "latest (" + machine + ")"}}}
	o.Findings = append(o.Findings, f)
}

// sdkMachine is the processor that the system's programs are made for, as GOARCH; empty where it is not known. A
// system of 32 bit on a kernel of 64, as Raspberry Pis and containers have, is one of 32.
func sdkMachine(ctx context.Context, x *Exam) string {
	if x.OS == "windows" {
		return sdkGOARCH(strings.ToLower(sdkOr(x.Env["PROCESSOR_ARCHITEW6432"], x.Env["PROCESSOR_ARCHITECTURE"])))
	}
	say := func(name string, args ...string) string {
		res, err := x.Runner.Run(ctx, gocmd.Cmd{Name: name, Args: args, Dir: filepath.VolumeName(x.Dir)})
		if err != nil || res.ExitCode != 0 {
			return ""
		}
		return strings.TrimSpace(string(res.Stdout))
	}
	if x.OS == "darwin" {
		if say("sysctl", "-n", "hw.optional.arm64") == "1" { // uname lies below Rosetta
			return "arm64"
		}
		return ""
	}
	bits := say("getconf", "LONG_BIT")
	machine := sdkGOARCH(say("uname", "-m"))
	if bits == "32" {
		machine = map[string]string{"amd64": "386", "arm64": "arm"}[machine]
	}
	if bits == "" && (machine == "amd64" || machine == "arm64") {
		return "" // who knows what its programs are
	}
	return machine
}

// sdkGOARCH translates what systems call processors.
func sdkGOARCH(name string) string {
	switch name {
	case "x86_64", "amd64":
		return "amd64"
	case "aarch64", "arm64":
		return "arm64"
	case "i386", "i486", "i586", "i686", "x86":
		return "386"
	case "armv5l", "armv6l", "armv7l", "armv8l":
		return "arm"
	case "loongarch64":
		return "loong64"
	case "ppc64le", "riscv64", "s390x":
		return name
	}
	return ""
}

// sdkCheckFiles proves the files of the Go in use, without a download.
func sdkCheckFiles(ctx context.Context, x *Exam) Outcome {
	if x.Verify == nil {
		return Outcome{NotRun: NotNeeded}
	}
	first := x.SDKs.Program("go")
	if first == "" {
		return Outcome{NotRun: NotHere} // the check "go" says so
	}
	root, err := toolchain.RootOf(first)
	if err != nil {
		root = x.GoEnv.Values["GOROOT"] // a wrapper, as other managers have: the go command behind it says its own
	}
	if cur, err := sdkSelector(x).Current(); err == nil && cur.Root != "" {
		root = cur.Root
	}
	if root == "" {
		return Outcome{NotRun: NotReadable, Detail: sdkErrorLine(err)}
	}
	rep, err := x.Verify(ctx, root)
	switch {
	case err != nil && ctx.Err() != nil:
		return Outcome{NotRun: OutOfTime}
	case errors.Is(err, toolchain.ErrTree):
		return Outcome{NotRun: NotHere, Detail: sdkErrorLine(err)}
	case err != nil:
		return Outcome{Findings: []Finding{{
			Code: codeSDKUnreadable, Severity: Fault, Subject: root, Args: map[string]string{"Error": sdkErrorLine(err)}, Fixes: []Fix{sdkRepair(root)},
		}}}
	}
	if rep.State == toolchain.StateUnknown && rep.Against != toolchain.AgainstRecord {
		if name := sdkNoRecord(ctx, x, rep.Target); name != "" {
			return Outcome{NotRun: NotHere, Detail: name + " has no record of " + rep.Target.String(), Facts: []Fact{{Name: factSDKProved, Answer: Unmeasured, Reason: NotHere}}}
		}
	}
	return sdkJudge(root, rep)
}

// sdkNoRecord is the name of the checksum database in force, if it is not the public one and says, by the way that the go command
// asks it, that it has no record of a Go: those of companies know their own modules alone. Then there is nothing to compare with.
func sdkNoRecord(ctx context.Context, x *Exam, target toolchain.Target) string {
	db, err := sumdb.ParseDB(x.SumDB)
	if err != nil || db.Off || db.Name == publicSumDB {
		return ""
	}
	line := httpLineOf(x, false, nil)
	defer line.Close()
	way := sumFind(ctx, x, db, line)
	if way.base == nil {
		return ""
	}
	a := line.ask(ctx, httpAsk{url: httpJoin(way.base, "lookup/"+walkEscaped(target.Module().Path, target.Module().Version)), limit: httpSmall})
	if a.err == nil && (a.status == http.StatusNotFound || a.status == http.StatusGone) {
		return db.Name
	}
	return ""
}

// sdkDistributed reports whether a Go lies where the packages of a distribution do, which build it themselves: their files are
// for their own tools to prove.
func sdkDistributed(root string) bool {
	if real, err := filepath.EvalSymlinks(root); err == nil {
		root = real
	}
	root = filepath.ToSlash(root)
	for _, place := range []string{"/usr/lib/", "/usr/lib64/", "/usr/share/", "/nix/store/", "/gnu/store/", "/snap/go/", "/opt/local/lib/"} {
		if strings.HasPrefix(root, place) {
			return true
		}
	}
	return strings.Contains(root, "/Cellar/go") // of Homebrew, which may lie anywhere
}

// sdkJudge says what a Report means.
func sdkJudge(root string, rep toolchain.Report) Outcome {
	fact := Fact{Name: factSDKProved, Answer: Yes, Value: rep.Target.String()}
	if rep.State == toolchain.StateUnknown && rep.Against != toolchain.AgainstRecord {
		why, detail := NotReadable, sdkErrorLine(rep.Err)
		if sdkDistributed(root) {
			why, detail = NotHere, root
		}
		fact.Answer, fact.Reason = Unmeasured, why
		return Outcome{NotRun: why, Detail: detail, Facts: []Fact{fact}}
	}
	var bad, foreign []string
	for _, c := range rep.Changes {
		switch c.What {
		case toolchain.WhatDistributor, toolchain.WhatJunk, toolchain.WhatBuilt, toolchain.WhatCopy:
		case toolchain.WhatBreaks:
			foreign = append(foreign, c.Name)
		default:
			bad = append(bad, c.Name)
		}
	}
	if len(bad)+len(foreign) == 0 && (rep.State != toolchain.StateAltered || rep.Named()) {
		return Outcome{Facts: []Fact{fact}} // also as it was when it was installed, which takes a proof
	}
	fact.Answer = No
	f := Finding{Code: codeSDKAltered, Severity: Fault, Subject: root, Facts: []Fact{fact}, Fixes: []Fix{sdkRepair(root)}}
	switch {
	case len(foreign) > 0 && len(bad) == 0:
		f.Code, bad = codeSDKMixed, foreign
	case len(bad) == 0: // it is only known that something differs
		why := NotReadable
		detail := "goferry sdk verify --goroot " + root // which may download, finds out what
		if sdkDistributed(root) {
			why, detail = NotHere, root
		}
		return Outcome{NotRun: why, Detail: detail, Facts: []Fact{{Name: factSDKProved, Answer: Unmeasured, Reason: why}}}
	}
	f.Args = map[string]string{"Count": fmt.Sprint(len(bad)), "Files": strings.Join(bad[:min(3, len(bad))], ", ")}
	return Outcome{Findings: []Finding{f}}
}
