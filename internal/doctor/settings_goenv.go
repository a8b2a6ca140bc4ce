package doctor

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goferry/goferry/internal/toolchain"
)

// setIgnored knows names that guides and habit give to settings, and that nothing reads, with what
// was meant; "" where there is no such thing any more.
func setIgnored(name string) (meant string, ignored bool) {
	switch name {
	case "GONOSUMCHECK", "GONOSUM", "GONOSUMDBS", "GONOCHECKSUM", "GONOVERIFY":
		return "GONOSUMDB", true
	case "GOSUMCHECK", "GOSUM", "GO_SUMDB", "GOSUM_DB", "GOCHECKSUM", "GOSUMDBS":
		return "GOSUMDB", true
	case "GO_PROXY", "GOPROXYS", "GOPROXIES", "GOPROXY_URL", "GOMODPROXY", "GO_MOD_PROXY":
		return "GOPROXY", true
	case "GO_PRIVATE", "GOPRIVATES", "GOPRIVATEREPO":
		return "GOPRIVATE", true
	case "GONO_PROXY", "GO_NOPROXY":
		return "GONOPROXY", true
	case "GO_INSECURE", "GOINSECURES":
		return "GOINSECURE", true
	case "GO_FLAGS", "GOFLAG":
		return "GOFLAGS", true
	case "GO_TOOLCHAIN", "GOTOOLCHAINS":
		return "GOTOOLCHAIN", true
	case "GO111MODULES", "GO11MODULE", "GO1111MODULE", "GOMODULE", "GO_MODULE", "GOMODULES":
		return "GO111MODULE", true
	case "GO_MODCACHE", "GOMODULECACHE":
		return "GOMODCACHE", true
	case "CGO_ENABLE", "CGOENABLED", "ENABLE_CGO", "GO_CGO_ENABLED":
		return "CGO_ENABLED", true
	case "GO15VENDOREXPERIMENT":
		return "", true
	}
	return "", false
}

// checkGoEnv looks at what is about all settings: where they come from, and names.
func checkGoEnv(_ context.Context, x *Exam) Outcome {
	var out Outcome
	out.Findings = slices.Concat(setModuleMode(x), setRoot(x), setPath(x), setEnvOff(x), setNames(x), setShadowed(x))
	if x.GoEnv.Err != nil && len(out.Findings) == 0 {
		return setKept(x)
	}
	return out
}

// setModuleMode is about GO111MODULE.
func setModuleMode(x *Exam) []Finding {
	const key = "GO111MODULE"
	value := setOf(x, key)
	var f Finding
	switch value {
	case "", "on":
		return nil
	case "off":
		f = setFinding(codeGo111Module, Warning, key)
		if goModOf(x) != "" {
			f.Severity = Fault // it is not even read
		}
	case "auto":
		f = setFinding(codeGo111ModuleAuto, Note, key) // where it makes a difference, nobody writes modules
	default:
		f = setFinding(codeGo111ModuleBad, Fault, key, "Value", value)
	}
	f.Facts = setEvidence(x, key)
	f.Fixes = []Fix{setFix(x, key, "")}
	return []Finding{f}
}

// setRoot is about an exported GOROOT. The go command knows its own; one that is told to it is at
// best the same. Where it is not, the check "go" says so.
func setRoot(x *Exam) []Finding {
	const key = "GOROOT"
	if setFrom(x, key) == setDefault || x.Runner == nil {
		return nil
	}
	told := setOf(x, key)
	program, err := x.Runner.FindTool("go")
	if err != nil {
		return nil
	}
	if own, err := toolchain.RootOf(program); err != nil || !setSameDir(own, told) {
		return nil
	}
	f := setFinding(codeGoRootExported, Warning, key, "Value", told)
	f.Facts, f.Fixes = setEvidence(x, key), []Fix{setFix(x, key, "")}
	return []Finding{f}
}

func setSameDir(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	ia, errA := os.Stat(a)
	ib, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(ia, ib)
}

// setPath is about GOPATH.
func setPath(x *Exam) []Finding {
	const key = "GOPATH"
	if setFrom(x, key) == setDefault {
		return nil
	}
	value := setOf(x, key)
	var found []Finding
	for _, entry := range filepath.SplitList(value) {
		if entry == "" || filepath.IsAbs(entry) {
			continue
		}
		f := setFinding(codeGoPathBad, Fault, key, "Value", entry)
		f.Facts, f.Fixes = setEvidence(x, key), []Fix{setFix(x, key, "")}
		found = append(found, f)
	}
	return found
}

// setEnvOff is about GOENV=off, with which nothing that go env -w wrote counts.
func setEnvOff(x *Exam) []Finding {
	if x.Env["GOENV"] != "off" || len(x.GoEnv.Written) == 0 {
		return nil
	}
	f := setFinding(codeGoEnvOff, Warning, "GOENV", "File", x.GoEnv.File)
	f.Facts, f.Fixes = setEvidence(x, "GOENV"), []Fix{setFix(x, "GOENV", "")}
	return []Finding{f}
}

// setNames is about names that the go command does not know.
func setNames(x *Exam) []Finding {
	var found []Finding
	for _, name := range setSortedKeys(x.Env) {
		meant, ignored := setIgnored(name)
		if ignored && x.Env[name] != "" {
			f := setFinding(codeIgnoredName, Warning, name, "Meant", meant)
			if meant != "" && setFrom(x, meant) != setDefault || slices.Contains(setScriptNames, name) {
				f.Severity = Note // what was meant is set as well, or it is not meant for go
			}
			f.Facts, f.Fixes = setEvidence(x, name), setRename(x, name, meant)
			found = append(found, f)
		}
		if upper := strings.ToUpper(name); x.OS != "windows" && name != upper && x.Env[name] != "" && x.Env[upper] == "" && slices.Contains(setCaseNames, upper) {
			f := setFinding(codeIgnoredCase, Warning, name, "Meant", upper)
			f.Facts, f.Fixes = setEvidence(x, name), setRename(x, name, upper)
			found = append(found, f)
		}
	}
	for _, name := range setSortedKeys(x.GoEnv.Written) {
		if meant, ignored := setIgnored(name); ignored && x.Env[name] == "" {
			f := setFinding(codeIgnoredName, Warning, name, "Meant", meant)
			f.Facts = []Fact{{Name: factSetIn, Answer: Yes, Value: x.GoEnv.File}}
			f.Fixes = []Fix{setForget(name)}
			found = append(found, f)
		}
	}
	return found
}

// setScriptNames are names that build scripts use for purposes of their own.
var setScriptNames = []string{"GO_FLAGS", "GO_MODULE", "GOMODULE", "GO_TOOLCHAIN"}

// setCaseNames are the settings that nobody would write in lower case for something else.
var setCaseNames = []string{"GOPROXY", "GOSUMDB", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOFLAGS", "GO111MODULE", "GOTOOLCHAIN", "GOINSECURE", "GOMODCACHE", "CGO_ENABLED"}

func setSortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// setRename takes a variable away and, where it is sure what was meant, sets the right one. For
// names that switch checks off, only the first is proposed.
func setRename(x *Exam, name, meant string) []Fix {
	fixes := []Fix{setUnset(name)}
	value := x.Env[name]
	if slices.Contains([]string{"GOPROXY", "GOPRIVATE"}, meant) && setFrom(x, meant) == setDefault {
		fixes = append([]Fix{setFix(x, meant, value)}, fixes...)
	}
	return fixes
}

// setShadowed is about what go env -w wrote and the environment hides.
func setShadowed(x *Exam) []Finding {
	var found []Finding
	for _, key := range setSortedKeys(x.GoEnv.Written) {
		written, env := x.GoEnv.Written[key], x.Env[key]
		if written == "" || env == "" || env == written || key == "GOENV" || x.Env["GOENV"] == "off" {
			continue
		}
		if _, ignored := setIgnored(key); ignored {
			continue
		}
		f := setFinding(codeShadowed, Warning, key, "Env", setShown(env), "Written", setShown(written))
		f.Facts = setEvidence(x, key)
		f.Fixes = []Fix{setUnset(key), setForget(key)}
		found = append(found, f)
	}
	return found
}
