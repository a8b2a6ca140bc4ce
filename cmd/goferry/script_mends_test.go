package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/goferry/goferry/internal/doctor"
)

type mendedKey struct{}

// A mendedState is what mends leaves for undone.
type mendedState struct {
	before  map[string]string // files, see treeOf
	checks  []string
	finding string // its code, subject and severity
}

// cmdMends is the whole life of a fix: mends [-no N] [-forever] CODE CHECK… wants goferry doctor --fix to apply the fix
// with that code, and the finding that it was for to be gone for who looks again. With -no it answers the questions: N
// times no, then yes. With -forever it is one that nobody can take back, and --undo to say so.
func cmdMends(ts *testscript.TestScript, neg bool, args []string) {
	no, forever := -1, false
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		switch {
		case args[0] == "-forever":
			forever, args = true, args[1:]
		case args[0] == "-no" && len(args) > 1:
			n, err := strconv.Atoi(args[1])
			ts.Check(err)
			no, args = n, args[2:]
		default:
			ts.Fatalf("mends: unknown flag %s", args[0])
		}
	}
	if neg || len(args) < 2 {
		ts.Fatalf("usage: mends [-no N] [-forever] CODE CHECK…")
	}
	code, st := args[0], ts.Value(mendedKey{}).(*mendedState)
	*st = mendedState{before: treeOf(ts), checks: args[1:]}
	got := mend(ts, code, no, st.checks)
	st.finding = got.Finding + " " + got.Subject + " " + got.severity
	if found := findingsOf(ts, st.checks); slices.Contains(found, st.finding) {
		ts.Fatalf("mends: %s is still there", st.finding)
	}
	if got.Undo == forever {
		ts.Fatalf("mends: --undo takes it back: %t", got.Undo)
	}
	if forever {
		out := undone(ts)
		if len(out.Commands) == 0 || len(out.Restored) > 0 || len(out.Left) > 0 {
			ts.Fatalf("mends: --undo says %+v", out)
		}
	}
}

// cmdUndone takes back what mends did: every file is as it was, byte for byte, and the finding is back.
func cmdUndone(ts *testscript.TestScript, neg bool, args []string) {
	st := ts.Value(mendedKey{}).(*mendedState)
	if neg || len(args) != 0 || st.before == nil {
		ts.Fatalf("usage: undone, after mends")
	}
	if out := undone(ts); len(out.Left) > 0 || len(out.Commands) > 0 {
		ts.Fatalf("undone: %+v", out)
	}
	now := treeOf(ts)
	for name, was := range st.before {
		if now[name] != was {
			ts.Fatalf("undone: %s was\n%s\nand is\n%s", name, was, now[name])
		}
	}
	for name, is := range now {
		if _, ok := st.before[name]; !ok && !(strings.HasPrefix(is, "d") && strings.HasPrefix(filepath.ToSlash(name), "home/.config/")) { // goferry off leaves empty folders
			ts.Fatalf("undone: %s was not there: %s", name, is)
		}
	}
	if found := findingsOf(ts, st.checks); !slices.Contains(found, st.finding) {
		ts.Fatalf("undone: %s is not back", st.finding)
	}
}

// A mendedFix is what became of a fix, and how bad it was what it was for. What is less bad now is mended: an upstream
// that does not answer is no fault where the next one is asked.
type mendedFix struct {
	doctorApplied
	severity string
}

// mend runs doctor --fix, and returns what it says of the fix.
func mend(ts *testscript.TestScript, code string, no int, checks []string) (got mendedFix) {
	if no >= 0 {
		exitAs(ts, append([]string{"doctor", "--json"}, checks...))
		rep := doctor.Report{}
		ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &rep))
		answers := strings.Repeat(`n\n`, no) + `y\n`
		// Those that follow are answered with the end of the input.
		_ = ts.Exec("sh", "-c", "printf '"+answers+"' | "+ts.Getenv("AS")+" goferry doctor --fix "+strings.Join(checks, " ")) // 0 or 3
		for _, c := range rep.Causes {
			for _, fix := range doctorFixesOf(c.Finding) {
				step := recorded(ts, code, doctorFixLines(fix, "linux", true))
				if fix.Code == code && step != nil {
					return mendedFix{doctorApplied{Finding: c.Code, Subject: c.Subject, Undo: len(step.Files) > 0 || step.Inverse != nil}, string(c.Severity)}
				}
			}
		}
		ts.Fatalf("mends: %s was not applied", code)
	}
	if exit := exitAs(ts, append([]string{"doctor", "--fix", "--yes", "--json"}, checks...)); exit != 0 && exit != 3 {
		ts.Fatalf("mends: exit code %d", exit)
	}
	var out doctorMended
	decodeAs(ts, "mended", &out)
	for _, a := range out.Applied {
		if a.Fix.Code == code && a.Done {
			got = mendedFix{doctorApplied: a}
			for _, c := range out.Before.Causes {
				if c.Code == a.Finding && c.Subject == a.Subject {
					got.severity = string(c.Severity)
				}
			}
			return got
		}
	}
	ts.Fatalf("mends: %s was not applied, but %+v", code, out.Applied)
	return got
}

// exitAs is exitOf, behind the command in $AS.
func exitAs(ts *testscript.TestScript, args []string) int {
	as := strings.Fields(ts.Getenv("AS"))
	if len(as) == 0 {
		return exitOf(ts, args)
	}
	err := ts.Exec(as[0], slices.Concat(as[1:], []string{"goferry"}, args)...)
	var ee *exec.ExitError
	if errors.As(err, &ee) {
		return ee.ExitCode()
	}
	ts.Check(err)
	return 0
}

// recorded is such a step of the newest record; nil if it has none.
func recorded(ts *testscript.TestScript, code string, lines []string) *doctorStep {
	files, err := filepath.Glob(filepath.Join(ts.Getenv("HOME"), ".goferry", "undo", "*.json"))
	ts.Check(err)
	if len(files) == 0 {
		return nil
	}
	data, err := os.ReadFile(slices.Max(files))
	ts.Check(err)
	var u doctorUndo
	ts.Check(json.Unmarshal(data, &u))
	for _, s := range u.Steps {
		if s.Fix == code && s.Line == strings.Join(lines, "\n") && s.Ran {
			return &s
		}
	}
	return nil
}

func undone(ts *testscript.TestScript) (out doctorUndone) {
	if exit := exitAs(ts, []string{"doctor", "--undo", "--json"}); exit != 0 {
		ts.Fatalf("doctor --undo: exit code %d", exit)
	}
	decodeAs(ts, "undone", &out)
	return out
}

// findingsOf are the codes and subjects that doctor finds.
func findingsOf(ts *testscript.TestScript, checks []string) (list []string) {
	if exit := exitAs(ts, append([]string{"doctor", "--json"}, checks...)); exit != 0 && exit != 3 {
		ts.Fatalf("doctor: exit code %d", exit)
	}
	var rep doctor.Report
	decodeAs(ts, "report", &rep)
	for _, c := range rep.Causes {
		for _, f := range append([]doctor.Finding{c.Finding}, c.Follows...) {
			list = append(list, f.Code+" "+f.Subject+" "+string(f.Severity))
		}
	}
	return list
}

// decodeAs reads what was printed, which must be what the schema calls so.
func decodeAs(ts *testscript.TestScript, def string, v any) {
	data := []byte(ts.ReadFile("stdout"))
	var schema, value any
	ts.Check(json.Unmarshal(doctor.Schema(), &schema))
	ts.Check(json.Unmarshal(data, &value))
	root := schema.(map[string]any)
	s, ok := root["$defs"].(map[string]any)[def].(map[string]any)
	if !ok {
		ts.Fatalf("the schema has no %s", def)
	}
	if faults := schemaFaults(root, s, value, def); len(faults) > 0 {
		ts.Fatalf("not as the schema has it:\n%s", strings.Join(faults, "\n"))
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	ts.Check(dec.Decode(v))
}

// treeOf is all that a script can see of its files: contents, rights, links. Caches, which every command fills, and the
// records of --fix are left out.
func treeOf(ts *testscript.TestScript) map[string]string {
	work := ts.Getenv("WORK")
	tree := map[string]string{}
	skip := []string{"cache", "gopath", "modcache", ".tmp", "tmp", "home/.cache", "home/.goferry/undo", "home/.config/go/telemetry", "home/journal", "serve.log"}
	ts.Check(filepath.WalkDir(work, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(work, name)
		if err != nil {
			return err
		}
		if slices.Contains(skip, filepath.ToSlash(rel)) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil || filepath.ToSlash(rel) == "home/.goferry" { // what is in it counts
			return err
		}
		what := info.Mode().String()
		switch {
		case info.Mode().Type() == fs.ModeSymlink:
			link, err := os.Readlink(name)
			tree[rel] = what + " " + link
			return err
		case info.Mode().IsRegular():
			data, err := os.ReadFile(name)
			if len(data) > 4<<10 {
				data = []byte(sumOf(data))
			}
			tree[rel] = fmt.Sprintf("%s %q", what, data)
			return err
		}
		tree[rel] = what
		return nil
	}))
	return tree
}
