package doctor

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goferry/goferry/internal/gocmd"
)

// What the checks of the settings find; settings_goproxy.go and the files beside it have their own.
const (
	codeGo111Module     = "go111module-off"
	codeGo111ModuleBad  = "go111module-invalid"
	codeGo111ModuleAuto = "go111module-auto"
	codeGoRootExported  = "goroot-exported"
	codeGoPathBad       = "gopath-invalid"
	codeGoEnvOff        = "goenv-off"
	codeIgnoredName     = "ignored-variable"
	codeIgnoredCase     = "ignored-lower-case"
	codeShadowed        = "go-env-shadowed"
)

// How the settings are mended.
const (
	fixGoEnvSet   = "go-env-set"
	fixGoEnvUnset = "go-env-unset"
	fixEnvSet     = "env-set"
	fixEnvUnset   = "env-unset"
)

// What is measured.
const (
	factSetIn   = "set-in"
	factFromEnv = "set-in-environment"
)

func settingsCodes() []string {
	return []string{codeGo111Module, codeGo111ModuleBad, codeGo111ModuleAuto, codeGoRootExported,
		codeGoPathBad, codeGoEnvOff, codeIgnoredName, codeIgnoredCase, codeShadowed}
}

func settingsFixCodes() []string {
	return []string{fixGoEnvSet, fixGoEnvUnset, fixEnvSet, fixEnvUnset}
}

func settingsFactNames() []string { return []string{factSetIn, factFromEnv} }

// settingsChecks lists the checks of this topic: of the settings of the go command and of git.
func settingsChecks() []Check {
	return []Check{
		{ID: "goenv", Group: Settings, Run: checkGoEnv},
		{ID: "goproxy", Group: Settings, Run: checkGoProxy},
		{ID: "gosumdb", Group: Settings, Run: checkGoSumDB},
		{ID: "goprivate", Group: Settings, Run: checkGoPrivate},
		{ID: "goflags", Group: Settings, Run: checkGoFlags},
		{ID: "gomod", Group: Settings, Run: checkGoMod},
		{ID: "git", Group: Settings, Run: checkGit},
	}
}

// setOrigin is where the value of a setting comes from.
type setOrigin int

const (
	setDefault setOrigin = iota // go.env of the GOROOT, or the go command's own
	setInFile                   // go env -w
	setInEnv                    // the environment
)

// setFrom is where the value of key in force comes from. An empty variable is none.
func setFrom(x *Exam, key string) setOrigin {
	switch {
	case x.Env[key] != "":
		return setInEnv
	case x.GoEnv.Written[key] != "" && x.Env["GOENV"] != "off":
		return setInFile
	}
	return setDefault
}

// setValue is the value of key in force, also where `go env` failed, perhaps because of it. known
// is false where nothing can be said about it.
func setValue(x *Exam, key string) (value string, known bool) {
	switch setFrom(x, key) {
	case setInEnv:
		return x.Env[key], true
	case setInFile:
		return x.GoEnv.Written[key], true
	}
	value, ok := x.GoEnv.Values[key]
	return value, ok || x.GoEnv.Err == nil && x.GoEnv.Values != nil
}

// setOf is setValue where the caller needs no difference between empty and unknown.
func setOf(x *Exam, key string) string {
	value, _ := setValue(x, key)
	return value
}

// setKept is the outcome of a check that cannot look, since `go env` does not answer.
func setKept(x *Exam) Outcome {
	out := Outcome{NotRun: NotReadable}
	if err := x.GoEnv.Err; err != nil {
		if errors.Is(err, gocmd.ErrNoTool) {
			out.NotRun = NoTool
		}
		out.Detail = setOneLine(err.Error())
	}
	return out
}

func setOneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// setFinding makes a finding about a setting; args are names and values by turns.
func setFinding(code string, severity Severity, subject string, args ...string) Finding {
	return Finding{Code: code, Severity: severity, Subject: subject, Args: setArgs(args...)}
}

func setArgs(args ...string) map[string]string {
	if len(args) == 0 {
		return nil
	}
	m := make(map[string]string, len(args)/2)
	for i := 0; i+1 < len(args); i += 2 {
		m[args[i]] = args[i+1]
	}
	return m
}

// setDefaultOf is the value that key has where nobody has set it: that of go.env in GOROOT.
func setDefaultOf(x *Exam, key string) string {
	if setFrom(x, key) == setDefault {
		return setOf(x, key)
	}
	root := x.GoEnv.Values["GOROOT"]
	if root == "" {
		return ""
	}
	data, err := os.ReadFile(filepath.Join(root, "go.env"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), key+"="); ok {
			return v
		}
	}
	return ""
}

// setFix gives key the value want where it is set; "" takes it away, back to the default. A
// value in the environment hides what go env -w writes, so it has to go first.
func setFix(x *Exam, key, want string) Fix {
	f := Fix{Code: fixGoEnvSet, Kind: SetGoEnv, Key: key, Value: want}
	if setFrom(x, key) == setInEnv {
		f.Code, f.Kind = fixEnvSet, SetEnv
		if want == setUnderEnv(x, key) {
			f.Value = ""
		}
	} else if setFrom(x, key) == setInFile && want == setDefaultOf(x, key) {
		f.Value = ""
	}
	if f.Value == "" {
		f.Code = map[FixKind]string{SetEnv: fixEnvUnset, SetGoEnv: fixGoEnvUnset}[f.Kind]
	}
	f.Args = setArgs("Key", key)
	if f.Kind == SetGoEnv && f.Value == "" {
		return setOutOfFile(x, f)
	}
	return f
}

// setOutOfFile is f, which takes a setting back, as a change of the file where the go command would refuse to do
// anything before that: with a GOROOT that is not there, and a GOPATH that is not absolute.
// Source: cmd/go/main.go, cmd/go/internal/envcmd.
func setOutOfFile(x *Exam, f Fix) Fix {
	value := x.GoEnv.Written[f.Key]
	switch f.Key {
	case "GOROOT":
		if setIsDir(value) {
			return f
		}
	case "GOPATH":
		if !slices.ContainsFunc(filepath.SplitList(value), func(dir string) bool { return dir != "" && !filepath.IsAbs(dir) }) {
			return f
		}
	default:
		return f
	}
	data, err := os.ReadFile(x.GoEnv.File)
	if err != nil {
		return f
	}
	for line := range strings.Lines(string(data)) {
		if strings.TrimRight(line, "\r\n") == f.Key+"="+value {
			f.Kind, f.File, f.Old = EditFile, x.GoEnv.File, line
		}
	}
	return f
}

// setUnset takes a variable out of the environment.
func setUnset(key string) Fix {
	return Fix{Code: fixEnvUnset, Kind: SetEnv, Key: key, Args: setArgs("Key", key)}
}

// setForget takes back what go env -w wrote.
func setForget(key string) Fix {
	return Fix{Code: fixGoEnvUnset, Kind: SetGoEnv, Key: key, Args: setArgs("Key", key)}
}

// setUnderEnv is what would be in force without the variable.
func setUnderEnv(x *Exam, key string) string {
	if v := x.GoEnv.Written[key]; v != "" {
		return v
	}
	return setDefaultOf(x, key)
}

// setUser finds a user, and with it perhaps a password, in a URL within a longer text.
var setUser = regexp.MustCompile(`://[^/,|\s]*@`)

// setShown is a value as it may be shown.
func setShown(value string) string {
	return setUser.ReplaceAllStringFunc(value, func(m string) string {
		if m == "://git@" { // of ssh, and no secret
			return m
		}
		return "://***@"
	})
}

// setEvidence says where a setting is set: the evidence for a finding about it.
func setEvidence(x *Exam, key string) []Fact {
	switch setFrom(x, key) {
	case setInFile:
		return []Fact{{Name: factSetIn, Answer: Yes, Value: x.GoEnv.File}}
	case setInEnv:
		if file, line := setStartFile(x, key); file != "" {
			return []Fact{{Name: factSetIn, Answer: Yes, Value: file + ":" + strconv.Itoa(line)}}
		}
		return []Fact{{Name: factFromEnv, Answer: Yes, Value: key}} // who put it there is not known
	}
	return nil
}

// setStartFile finds the line of a start-up file that gives key the value that it has.
func setStartFile(x *Exam, key string) (file string, line int) {
	if x.OS == "windows" || x.Home == "" {
		return "", 0
	}
	pattern, err := regexp.Compile(`^\s*(export\s+(\S+\s+)*|set\s+(-\w+\s+)*|setenv\s+)?` + regexp.QuoteMeta(key) + `(=|\s)`)
	if err != nil {
		return "", 0
	}
	for _, name := range []string{".bashrc", ".bash_profile", ".bash_login", ".profile", ".zshrc", ".zshenv", ".zprofile", ".config/fish/config.fish", ".config/environment.d/go.conf"} {
		name = filepath.Join(x.Home, name)
		data, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		n := 0
		for l := range strings.Lines(string(data)) {
			n++
			if pattern.MatchString(l) && strings.Contains(l, x.Env[key]) {
				return name, n
			}
		}
	}
	return "", 0
}

// setSwitches reports whether the go command may change to another toolchain by itself.
// https://go.dev/doc/toolchain#select
func setSwitches(x *Exam) bool {
	v := setOf(x, "GOTOOLCHAIN")
	return v == "auto" || strings.HasSuffix(v, "+auto")
}

// setSplit cuts a list at its commas, and leaves out what is empty.
func setSplit(list string) []string {
	return slices.DeleteFunc(strings.Split(list, ","), func(s string) bool { return s == "" })
}
