package doctor

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/goferry/goferry/internal/gocmd"
)

// What is found about GOFLAGS.
const (
	codeGoFlagsRefused  = "goflags-refused"
	codeGoFlagsModTwice = "goflags-mod-twice"
	codeGoFlagsVendor   = "goflags-vendor"
	codeGoFlagsMod      = "goflags-mod"
	codeGoFlagsModFile  = "goflags-modfile"
	codeGoFlagsSplit    = "goflags-split"
	codeGoFlagsInsecure = "goflags-insecure"
	codeGoFlagsWork     = "goflags-workspace"
)

const factGoFlags = "goflags"

func goflagsCodes() []string {
	return []string{codeGoFlagsRefused, codeGoFlagsModTwice, codeGoFlagsVendor, codeGoFlagsMod, codeGoFlagsModFile, codeGoFlagsSplit, codeGoFlagsInsecure, codeGoFlagsWork}
}

func goflagsFactNames() []string { return []string{factGoFlags} }

// checkGoFlags asks the go command whether it takes GOFLAGS, and looks what they do in this folder.
func checkGoFlags(ctx context.Context, x *Exam) Outcome {
	const key = "GOFLAGS"
	value, known := setValue(x, key)
	if !known {
		return setKept(x)
	}
	if strings.TrimSpace(value) == "" {
		return Outcome{}
	}
	out := Outcome{Facts: []Fact{{Name: factGoFlags, Answer: Yes, Value: setShown(value)}}}
	flags, whole := setFlags(value)
	refused, out2 := setFlagsRefused(ctx, x, value)
	switch {
	case refused != nil:
		out.Findings = append(out.Findings, *refused)
	case !whole: // the go command was not asked, and would refuse it
		out.Findings = append(out.Findings, setFlagsFinding(x, codeGoFlagsRefused, Fault, "", "Error", "unterminated quote"))
	default:
		out.Findings = append(setFlagsWords(x, flags, value), setFlagsMod(x, flags)...)
		out.NotRun, out.Detail = out2.NotRun, out2.Detail
	}
	for i := range out.Findings {
		out.Findings[i].Facts = setEvidence(x, key)
	}
	return out
}

func setFlagsFinding(x *Exam, code string, severity Severity, want string, args ...string) Finding {
	f := setFinding(code, severity, "GOFLAGS", append([]string{"Value", setShown(setOf(x, "GOFLAGS"))}, args...)...)
	f.Fixes = []Fix{setFix(x, "GOFLAGS", want)}
	return f
}

// setFlagsRefused runs `go version`, which reads GOFLAGS and nothing else.
func setFlagsRefused(ctx context.Context, x *Exam, value string) (*Finding, Outcome) {
	dir, err := gocmd.NeutralDir()
	if err != nil || x.Runner == nil {
		return nil, Outcome{NotRun: NotReadable}
	}
	res, err := x.Runner.Run(ctx, gocmd.Cmd{Name: "go", Args: []string{"version"}, Dir: dir, Env: []string{"GOTOOLCHAIN=local"}})
	if err != nil {
		return nil, setRunError(ctx, err)
	}
	_, says, about := strings.Cut(string(res.Stderr), "parsing $GOFLAGS: ")
	if res.ExitCode == 0 || !about {
		return nil, Outcome{}
	}
	says, _, _ = strings.Cut(says, "\n")
	f := setFlagsFinding(x, codeGoFlagsRefused, Fault, setMeantFlags(value), "Error", strings.TrimSpace(says))
	return &f, Outcome{}
}

// setFlags cuts GOFLAGS into words by the rules of the go command: a word may be quoted as a whole.
// whole is false where a quote has no end. Source: cmd/internal/quoted, Split.
func setFlags(value string) (flags []string, whole bool) {
	rest := strings.TrimSpace(value)
	for rest != "" {
		if q := rest[0]; q == '"' || q == '\'' {
			end := strings.IndexByte(rest[1:], q)
			if end < 0 {
				return flags, false
			}
			flags, rest = append(flags, rest[1:1+end]), strings.TrimSpace(rest[end+2:])
			continue
		}
		end := strings.IndexAny(rest, " \t\n\r")
		if end < 0 {
			end = len(rest)
		}
		flags, rest = append(flags, rest[:end]), strings.TrimSpace(rest[end:])
	}
	return flags, true
}

// setValued are the flags that people write with a space before their value.
var setValued = []string{"-mod", "-tags", "-ldflags", "-gcflags", "-asmflags", "-modfile", "-p", "-buildmode", "-timeout", "-count"}

// setMeantFlags joins flags with the values behind a space, as in `-mod vendor` and `-ldflags=-s -w`. It
// returns "" where that does not make flags of all words.
func setMeantFlags(value string) string {
	flags, whole := setFlags(value)
	if !whole {
		return ""
	}
	var list []string
	for i := 0; i < len(flags); i++ {
		flag := flags[i]
		name := strings.Replace(flag, "--", "-", 1)
		base, _, has := strings.Cut(name, "=")
		if slices.Contains(setValued, name) && i+1 < len(flags) {
			i++
			flag = name + "=" + flags[i]
		}
		if (base == "-ldflags" || base == "-gcflags") && (has || slices.Contains(setValued, name)) {
			for i+1 < len(flags) && (flags[i+1] == "-s" || flags[i+1] == "-w" || flags[i+1] == "-N" || flags[i+1] == "-l") {
				i++
				flag += " " + flags[i]
			}
		}
		if !strings.HasPrefix(flag, "-") || flag == "-insecure" || flag == "-i" || flag == "-d" {
			return ""
		}
		if strings.ContainsAny(flag, " \t") {
			flag = "'" + flag + "'"
		}
		list = append(list, flag)
	}
	if want := strings.Join(list, " "); want != value {
		return want
	}
	return ""
}

// setFlagsWords is about words that the go command takes for flags of its other commands: the -w of
// -ldflags=-s -w is that of go env -w; and about -insecure, which go get knows only to refuse it.
func setFlagsWords(x *Exam, flags []string, value string) []Finding {
	var found []Finding
	if slices.Contains(flags, "-insecure") || slices.Contains(flags, "-insecure=true") {
		found = append(found, setFlagsFinding(x, codeGoFlagsInsecure, Fault, setWithout(flags, "-insecure", "")))
	}
	for i, f := range flags {
		if i > 0 && slices.Contains([]string{"-s", "-w"}, f) && strings.Contains(strings.Join(flags[:i], " "), "-ldflags") {
			return append(found, setFlagsFinding(x, codeGoFlagsSplit, Warning, setMeantFlags(value), "Word", f))
		}
	}
	return found
}

// setFlagValues are the values of a flag, in order.
func setFlagValues(flags []string, name string) []string {
	var list []string
	for _, f := range flags {
		if key, value, ok := strings.Cut(strings.Replace(f, "--", "-", 1), "="); ok && key == name {
			list = append(list, value)
		}
	}
	return list
}

// setWithout is GOFLAGS without a flag, but for its value keep.
func setWithout(flags []string, name, keep string) string {
	var list []string
	for _, f := range flags {
		if key, value, _ := strings.Cut(strings.Replace(f, "--", "-", 1), "="); key == name {
			if value != keep || keep == "" {
				continue
			}
			keep = "" // once
		}
		if strings.ContainsAny(f, " \t") {
			f = "'" + f + "'"
		}
		list = append(list, f)
	}
	return strings.Join(list, " ")
}

// setFlagsMod is about -mod and -modfile, and the folder vendor.
func setFlagsMod(x *Exam, flags []string) []Finding {
	var found []Finding
	mods := setFlagValues(flags, "-mod")
	for _, m := range mods {
		if last := mods[len(mods)-1]; m != last {
			found = append(found, setFlagsFinding(x, codeGoFlagsModTwice, Warning, setWithout(flags, "-mod", last), "First", m, "Last", last))
			break
		}
	}
	dir := goModOf(x)
	vendor := dir != "" && setHasVendor(dir)
	work := setWorkOf(x)
	if len(mods) > 0 && len(found) == 0 {
		last, want := mods[len(mods)-1], setWithout(flags, "-mod", "")
		switch {
		case last == "vendor" && dir != "" && !vendor && work == "" && setRequires(dir):
			found = append(found, setFlagsFinding(x, codeGoFlagsVendor, Fault, want, "Dir", dir))
		case last == "vendor" && !vendor && work == "": // what needs nothing of others can be built
			found = append(found, setFlagsFinding(x, codeGoFlagsVendor, Note, want, "Dir", cmp.Or(dir, x.Dir)))
		case last == "mod" && work != "":
			found = append(found, setFlagsFinding(x, codeGoFlagsWork, Fault, want, "Flag", "-mod=mod", "File", work))
		case last == "mod" && vendor:
			found = append(found, setFlagsFinding(x, codeGoFlagsMod, Warning, want, "Dir", filepath.Join(dir, "vendor")))
		}
	}
	for _, file := range setFlagValues(flags, "-modfile") {
		if work != "" {
			return append(found, setFlagsFinding(x, codeGoFlagsWork, Fault, setWithout(flags, "-modfile", ""), "Flag", "-modfile", "File", work))
		}
		name := file
		if !filepath.IsAbs(name) {
			name = filepath.Join(x.Dir, name)
		}
		if dir != "" && !setIsFile(name) {
			found = append(found, setFlagsFinding(x, codeGoFlagsModFile, Fault, setWithout(flags, "-modfile", ""), "File", file))
		}
	}
	return found
}

// setRequires reports whether the go.mod file in dir names other modules; also where that cannot be read.
func setRequires(dir string) bool {
	data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return true
	}
	f, err := modfile.ParseLax("go.mod", data, nil)
	return err != nil || len(f.Require) > 0
}

func setHasVendor(dir string) bool { return setIsFile(filepath.Join(dir, "vendor", "modules.txt")) }
