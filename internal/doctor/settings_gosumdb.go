package doctor

import (
	"context"
	"go/version"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/goferry/goferry/internal/sumdb"
)

// What is found about GOSUMDB.
const (
	codeGoSumDBInvalid   = "gosumdb-invalid"
	codeGoSumDBOff       = "gosumdb-off"
	codeGoSumDBToolchain = "gosumdb-off-toolchain"
	codeGoSumDBOther     = "gosumdb-other"
)

const factGoSumDB = "gosumdb"

func gosumdbCodes() []string {
	return []string{codeGoSumDBInvalid, codeGoSumDBOff, codeGoSumDBToolchain, codeGoSumDBOther}
}

func gosumdbFactNames() []string { return []string{factGoSumDB} }

const (
	setPublicDB = "sum.golang.org"
	setChinaDB  = "sum.golang.google.cn" // the same database, by another host
)

// checkGoSumDB looks at the value. Whether the database answers is for other checks.
func checkGoSumDB(_ context.Context, x *Exam) Outcome {
	const key = "GOSUMDB"
	value, known := setValue(x, key)
	if !known {
		return setKept(x)
	}
	var out Outcome
	if value == "" {
		return out
	}
	db, err := sumdb.ParseDB(value)
	switch {
	case err != nil:
		f := setFinding(codeGoSumDBInvalid, Fault, key, "Value", setShown(value), "Error", setOneLine(setShown(strings.TrimPrefix(err.Error(), "GOSUMDB: "))))
		for _, want := range setMeantSumDB(value) {
			f.Fixes = append(f.Fixes, setFix(x, key, want))
		}
		out.Findings = append(out.Findings, f)
	case db.Off:
		out.Findings = append(out.Findings, setSumDBOff(x))
	case strings.HasPrefix(db.Name, "gosum.io") && !strings.Contains(setOf(x, "GOPROXY"), "goproxy.io"):
		f := setFinding(codeGoSumDBOther, Warning, key, "Name", db.Name)
		f.Fixes = []Fix{setFix(x, key, "")}
		out.Findings = append(out.Findings, f)
	}
	for i := range out.Findings {
		out.Findings[i].Facts = append(setEvidence(x, key), out.Findings[i].Facts...)
	}
	if setFrom(x, key) != setDefault {
		out.Facts = []Fact{{Name: factGoSumDB, Answer: Yes, Value: setShown(value)}}
	}
	return out
}

// setSumDBOff is about GOSUMDB=off: modules are not proved any more, and toolchains, which always
// are, cannot come.
func setSumDBOff(x *Exam) Finding {
	f := setFinding(codeGoSumDBOff, Warning, "GOSUMDB")
	if want := setWantedToolchain(x); want != "" {
		f = setFinding(codeGoSumDBToolchain, Fault, "GOSUMDB", "Want", want, "Have", x.GoEnv.Version)
	}
	f.Fixes = []Fix{setFix(x, "GOSUMDB", ""), setFix(x, "GOSUMDB", setChinaDB)}
	return f
}

// setWantedToolchain is the toolchain that the project needs, and that the go command would have to
// prove by the checksum database; empty if there is none. A list that is a single file URL is exempt from
// that. Source: cmd/go/internal/modfetch, useSumDB.
func setWantedToolchain(x *Exam) string {
	proxies := setOf(x, "GOPROXY")
	if !setSwitches(x) || strings.HasPrefix(proxies, "file://") && !strings.ContainsAny(proxies, ",|") {
		return ""
	}
	have, file := x.GoEnv.Version, setProjectFile(x)
	if file == "" || !version.IsValid(have) {
		return ""
	}
	want := setNeeds(file)
	if want == "" || version.Compare(want, have) <= 0 {
		return ""
	}
	if x.Runner != nil {
		if _, err := x.Runner.FindTool(want); err == nil {
			return "" // it is in PATH
		}
	}
	return want
}

// setNeeds is the newest toolchain that the lines of a go.mod or go.work file name, such as "go1.24.1".
func setNeeds(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	var line, name string
	if strings.HasSuffix(file, ".work") {
		f, err := modfile.ParseWork(file, data, nil)
		if err != nil {
			return ""
		}
		line, name = setLines(f.Go, f.Toolchain)
	} else {
		f, err := modfile.Parse(file, data, func(_, v string) (string, error) { return v, nil })
		if err != nil {
			return ""
		}
		line, name = setLines(f.Go, f.Toolchain)
	}
	if line != "" {
		line = "go" + line
	}
	if version.IsValid(name) && version.Compare(name, line) > 0 {
		return name
	}
	return line
}

func setLines(g *modfile.Go, t *modfile.Toolchain) (line, name string) {
	if g != nil {
		line = g.Version
	}
	if t != nil {
		name = t.Name
	}
	return line, name
}

var setAnyURL = regexp.MustCompile(`https?:/*[^\s,|;"']+`)

// setMeantSumDB guesses which values were meant, the best first; "" is the default. Each is one that
// the go command takes.
func setMeantSumDB(value string) []string {
	bare := strings.ToLower(strings.Trim(strings.TrimSpace(value), setQuotes))
	var list []string
	add := func(want string) {
		if _, err := sumdb.ParseDB(want); (want == "" || err == nil) && !slices.Contains(list, want) {
			list = append(list, want)
		}
	}
	switch bare {
	case "off", "none", "false", "no", "0", "disable", "disabled", "ignore", "skip", "close", "-":
		add("")
		add("off")
		return list
	case setPublicDB, setChinaDB:
		add(bare)
	}
	if u := setMeantURL(value); u != "" {
		add(u)
	}
	if len(list) == 0 && (strings.Contains(bare, "google.cn") || strings.HasSuffix(bare, ".cn") && strings.HasPrefix(bare, "sum.")) {
		add(setChinaDB)
	}
	add("")
	return list
}

// setMeantURL finds the address of a database in a value that the go command refuses.
func setMeantURL(value string) string {
	at := setAnyURL.FindString(value)
	if at == "" {
		// goproxy.cn/sumdb/sum.golang.org, perhaps with the name before it
		for _, w := range strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(" ,|;\"'+", r) }) {
			if strings.Contains(w, "/sumdb/") && strings.Contains(w, ".") {
				at = "https://" + w
			}
		}
	}
	u, err := url.Parse(at)
	if at == "" || err != nil || u.Host == "" {
		return ""
	}
	switch host := strings.ToLower(u.Hostname()); {
	case host == setPublicDB:
		return ""
	case host == setChinaDB:
		return setChinaDB
	case strings.Contains(u.Path, "/sumdb/"):
		return setPublicDB + " " + strings.TrimRight(at, "/")
	}
	// A proxy: it is asked for the database by itself.
	return ""
}
