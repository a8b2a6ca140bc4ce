package doctor

import (
	"bytes"
	"context"
	"errors"
	"go/version"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/modfile"
)

// What is found about go.mod, go.work and go.sum.
const (
	codeModInvalid  = "gomod-invalid"
	codeModConflict = "gomod-merge-marks"
	codeModNoPatch  = "gomod-no-patch"
	codeModReplace  = "gomod-replace-missing"
	codeModStray    = "gomod-stray"
	codeModMissing  = "gomod-missing"
	codeSumInvalid  = "gosum-invalid"
	codeWorkUse     = "gowork-use-missing"
	codeWorkOutside = "gowork-outside"
)

const (
	fixModPatch   = "gomod-add-patch"
	fixModEdit    = "gomod-edit"
	fixModLine    = "gomod-mend-line"
	fixModMerge   = "gomod-merge"
	fixModMove    = "gomod-move"
	fixWorkUse    = "gowork-use"
	fixModInitial = "gomod-go-there"
	factModFile   = "project"
)

func gomodCodes() []string {
	return []string{codeModInvalid, codeModConflict, codeModNoPatch, codeModReplace, codeModStray, codeModMissing, codeSumInvalid, codeWorkUse, codeWorkOutside}
}

func gomodFixCodes() []string {
	return []string{fixModPatch, fixModEdit, fixModLine, fixModMerge, fixModMove, fixWorkUse, fixModInitial}
}

func gomodFactNames() []string { return []string{factModFile} }

// goModOf is the folder with the go.mod file that the go command would use; "" if there is none.
func goModOf(x *Exam) string { return setUpward(x.Dir, "go.mod") }

// setWorkOf is the go.work file that the go command would use; "" if there is none.
func setWorkOf(x *Exam) string {
	asked := x.Env["GOWORK"]
	if asked == "" {
		asked = x.GoEnv.Written["GOWORK"]
	}
	switch {
	case asked == "off":
		return ""
	case asked != "" && asked != "auto":
		return asked
	}
	if dir := setUpward(x.Dir, "go.work"); dir != "" {
		return filepath.Join(dir, "go.work")
	}
	return ""
}

// setProjectFile is the file whose lines choose the toolchain.
func setProjectFile(x *Exam) string {
	if file := setWorkOf(x); file != "" {
		return file
	}
	if dir := goModOf(x); dir != "" {
		return filepath.Join(dir, "go.mod")
	}
	return ""
}

func setUpward(dir, name string) string {
	if dir == "" {
		return ""
	}
	for {
		if setIsFile(filepath.Join(dir, name)) {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

func setIsFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && !info.IsDir()
}

func setIsDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// checkGoMod looks at the project in this folder.
func checkGoMod(_ context.Context, x *Exam) Outcome {
	if setOf(x, "GO111MODULE") == "off" {
		return Outcome{NotRun: NotNeeded}
	}
	var out Outcome
	work, dir := setWorkOf(x), goModOf(x)
	if work != "" {
		out.Findings = setWork(x, work, dir)
	}
	if dir == "" {
		if work == "" {
			out.Findings = setNoProject(x)
			if len(out.Findings) == 0 {
				out.NotRun = NotNeeded
			}
		}
		return out
	}
	file := filepath.Join(dir, "go.mod")
	out.Facts = []Fact{{Name: factModFile, Answer: Yes, Value: file}}
	data, err := os.ReadFile(file)
	if err != nil {
		return Outcome{NotRun: NotReadable, Detail: setOneLine(err.Error()), Findings: out.Findings}
	}
	out.Findings = slices.Concat(out.Findings, setModFile(x, file, data), setSumFile(filepath.Join(dir, "go.sum")))
	if f, stray := setStray(x, dir); stray {
		out.Findings = append(out.Findings, f)
	}
	return out
}

var setMergeMark = regexp.MustCompile(`(?m)^(<{7}|>{7}|={7})( |$|\r)`)

// setModFile is about what stands in a go.mod file.
func setModFile(x *Exam, file string, data []byte) []Finding {
	if setMergeMark.Match(data) {
		f := setFinding(codeModConflict, Fault, file, "Line", strconv.Itoa(setLineOf(data)))
		f.Fixes = []Fix{{Code: fixModMerge, Kind: ByHand, File: file, Args: setArgs("File", file)}}
		return []Finding{f}
	}
	mod, err := modfile.Parse(file, data, func(_, v string) (string, error) { return v, nil })
	if err != nil {
		return []Finding{setModError(file, data, err)}
	}
	var found []Finding
	if mod.Go != nil {
		found = append(found, setNoPatch(x, file, data, mod.Go.Version, setToolchainName(mod.Toolchain))...)
	}
	for _, r := range mod.Replace {
		used := slices.ContainsFunc(mod.Require, func(q *modfile.Require) bool {
			return q.Mod.Path == r.Old.Path && (r.Old.Version == "" || r.Old.Version == q.Mod.Version)
		})
		if !used || r.New.Version != "" || setHasVendor(filepath.Dir(file)) || setIsFile(filepath.Join(setAbs(filepath.Dir(file), r.New.Path), "go.mod")) {
			continue
		}
		f := setFinding(codeModReplace, Fault, file, "Module", r.Old.Path, "Dir", r.New.Path)
		f.Fixes = []Fix{{Code: fixModEdit, Kind: RunCommand, Command: setDropReplace(file, r), File: file, Args: setArgs("Module", r.Old.Path)}}
		found = append(found, f)
	}
	return found
}

func setToolchainName(t *modfile.Toolchain) string {
	if t == nil {
		return ""
	}
	return t.Name
}

func setDropReplace(file string, r *modfile.Replace) []string {
	old := r.Old.Path
	if r.Old.Version != "" {
		old += "@" + r.Old.Version
	}
	return []string{"go", "mod", "edit", "-dropreplace=" + old, file}
}

func setAbs(dir, name string) string {
	if name = filepath.FromSlash(name); filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// setLineOf is the line of the first mark of an unfinished merge, from 1.
func setLineOf(data []byte) int {
	at := setMergeMark.FindIndex(data)
	if at == nil {
		return 0
	}
	return bytes.Count(data[:at[0]], []byte("\n")) + 1
}

var setGoLine = regexp.MustCompile(`(?m)^go[ \t]+(\S+)`)

// setModError is about a go.mod or go.work file that the go command cannot read.
func setModError(file string, data []byte, err error) Finding {
	f := setFinding(codeModInvalid, Fault, file, "Error", setOneLine(strings.ReplaceAll(err.Error(), file+":", "line ")))
	var list modfile.ErrorList
	if errors.As(err, &list) && len(list) > 0 {
		f.Args["Error"] = setOneLine("line " + strconv.Itoa(list[0].Pos.Line) + ": " + list[0].Err.Error())
	}
	f.Fixes = []Fix{{Code: fixModLine, Kind: ByHand, File: file}}
	// go go1.22: the mistake of those who come from the toolchain line.
	if m := setGoLine.FindSubmatch(data); m != nil {
		if name := string(m[1]); !modfile.GoVersionRE.MatchString(name) {
			if better := strings.TrimLeft(name, "gov>=^~"); modfile.GoVersionRE.MatchString(better) {
				f.Fixes[0] = Fix{Code: fixModPatch, Kind: EditFile, File: file, Old: string(m[0]), New: "go " + better, Args: setArgs("Version", better)}
			}
		}
	}
	return f
}

// setNoPatch is about a line such as "go 1.22": an older go command that may switch looks for a
// toolchain go1.22, and since Go 1.21 there is none of that name. https://go.dev/doc/toolchain#version
// From go1.21.11 and go1.22.4 on it looks for go1.22.0. https://go.dev/issue/62278
func setNoPatch(x *Exam, file string, data []byte, line, toolchain string) []Finding {
	want := "go" + line
	have := x.GoEnv.Version
	if !version.IsValid(want) || version.Lang(want) != want || version.Compare(want, "go1.21") < 0 || !version.IsValid(have) {
		return nil
	}
	if version.Compare(have, want) >= 0 || version.Compare(have, "go1.21") < 0 || version.Compare(toolchain, want) > 0 || setOf(x, "GOTOOLCHAIN") == "local" {
		return nil
	}
	if mended := map[string]string{"go1.21": "go1.21.11", "go1.22": "go1.22.4"}[version.Lang(have)]; mended == "" || version.Compare(have, mended) >= 0 {
		return nil
	}
	f := setFinding(codeModNoPatch, Fault, file, "Version", line, "Have", have)
	if m := setGoLine.Find(data); m != nil {
		f.Fixes = []Fix{{Code: fixModPatch, Kind: EditFile, File: file, Old: string(m), New: "go " + line + ".0", Args: setArgs("Version", line+".0")}}
	}
	return []Finding{f}
}

// setStray is about a go.mod file that makes one module of all that lies below it. The one in the
// folder for temporary files is passed over by the go command, and in GOPATH none is suffered.
func setStray(x *Exam, dir string) (Finding, bool) {
	file := filepath.Join(dir, "go.mod")
	f := setFinding(codeModStray, Warning, file, "Dir", dir)
	f.Fixes = []Fix{{Code: fixModMove, Kind: ByHand, File: file, Args: setArgs("File", file)}}
	if slices.Contains(filepath.SplitList(setOf(x, "GOPATH")), dir) {
		f.Severity = Fault
		return f, true
	}
	if dir == filepath.Clean(x.Dir) {
		return Finding{}, false // who stands there may want it
	}
	for _, p := range []string{x.Home, filepath.Dir(x.Home), filepath.VolumeName(dir) + string(filepath.Separator)} {
		if x.Home != "" && filepath.Clean(p) == dir {
			return f, true
		}
	}
	return Finding{}, false
}

// setNoProject is about a folder with Go files and no go.mod, where one lies further down: most
// commands end with "go.mod file not found".
func setNoProject(x *Exam) []Finding {
	if x.Dir == "" || filepath.Clean(x.Dir) == filepath.Clean(x.Home) {
		return nil
	}
	entries, err := os.ReadDir(x.Dir)
	if err != nil {
		return nil
	}
	here, below := false, ""
	for _, e := range entries {
		here = here || !e.IsDir() && strings.HasSuffix(e.Name(), ".go")
		if e.IsDir() && below == "" && !strings.HasPrefix(e.Name(), ".") && setIsFile(filepath.Join(x.Dir, e.Name(), "go.mod")) {
			below = e.Name()
		}
	}
	if !here {
		return nil
	}
	f := setFinding(codeModMissing, Note, x.Dir) // go run FILE.go needs none
	if below != "" {
		f.Fixes = append(f.Fixes, Fix{Code: fixModInitial, Kind: ByHand, Args: setArgs("Dir", below)})
	}
	return []Finding{f}
}

// setSumFile is about lines of go.sum that nothing can have written.
func setSumFile(file string) []Finding {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil // not there, as with a module that needs no other, or not readable, as the go command will say
	}
	if setMergeMark.Match(data) {
		f := setFinding(codeModConflict, Fault, file, "Line", strconv.Itoa(setLineOf(data)))
		f.Fixes = []Fix{{Code: fixModMerge, Kind: ByHand, File: file, Args: setArgs("File", file)}}
		return []Finding{f}
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		if fields := strings.Fields(line); len(fields) != 0 && len(fields) != 3 {
			f := setFinding(codeSumInvalid, Fault, file, "Line", strconv.Itoa(n))
			f.Fixes = []Fix{{Code: fixModLine, Kind: EditFile, File: file, Old: line, New: ""}}
			return []Finding{f}
		}
	}
	return nil
}

// setWork is about a workspace.
func setWork(x *Exam, file, module string) []Finding {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		f := setFinding(codeModInvalid, Fault, file, "Error", "no such file, and GOWORK names it")
		f.Facts, f.Fixes = setEvidence(x, "GOWORK"), []Fix{setFix(x, "GOWORK", "")}
		return []Finding{f}
	} else if err != nil {
		return nil
	}
	if setMergeMark.Match(data) {
		f := setFinding(codeModConflict, Fault, file, "Line", strconv.Itoa(setLineOf(data)))
		f.Fixes = []Fix{{Code: fixModMerge, Kind: ByHand, File: file, Args: setArgs("File", file)}}
		return []Finding{f}
	}
	work, err := modfile.ParseWork(file, data, func(_, v string) (string, error) { return v, nil })
	if err != nil {
		return []Finding{setModError(file, data, err)}
	}
	var found []Finding
	used := false
	for _, u := range work.Use {
		dir := setAbs(filepath.Dir(file), u.Path)
		used = used || module == "" || setSameDir(dir, module)
		if !setIsFile(filepath.Join(dir, "go.mod")) {
			f := setFinding(codeWorkUse, Fault, file, "Dir", u.Path)
			f.Fixes = []Fix{{Code: fixModEdit, Kind: RunCommand, Command: []string{"go", "work", "edit", "-dropuse=" + u.Path, file}, File: file, Args: setArgs("Module", u.Path)}}
			found = append(found, f)
		}
	}
	if !used && module != "" {
		f := setFinding(codeWorkOutside, Warning, file, "Module", module)
		f.Fixes = []Fix{{Code: fixWorkUse, Kind: RunCommand, Command: []string{"go", "work", "use", module}, File: file, Args: setArgs("Dir", module)}}
		found = append(found, f)
	}
	if work.Go != nil {
		found = append(found, setNoPatch(x, file, data, work.Go.Version, setToolchainName(work.Toolchain))...)
	}
	return found
}
