package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/doctor"
	"github.com/goferry/goferry/internal/goproxytest"
	"github.com/goferry/goferry/internal/text"
)

// TestDoctorTexts wants a text for everything that the doctor can say.
func TestDoctorTexts(t *testing.T) {
	for _, lang := range []string{text.English, text.Chinese} {
		p := text.New(lang)
		want := func(prefix string, names []string) {
			for _, n := range names {
				if !p.Has(prefix + n) {
					t.Errorf("%s: no message %s%s", lang, prefix, n)
				}
			}
		}
		want("doctor.finding.", doctor.Codes())
		want("doctor.fact.", doctor.FactNames())
		want("doctor.fix.", doctor.FixCodes())
		for _, c := range doctor.Checks() {
			want("doctor.check.", []string{c.ID})
		}
		for _, g := range doctor.Groups() {
			want("doctor.group.", []string{string(g)})
		}
		for _, r := range doctor.Reasons() {
			want("doctor.reason.", []string{string(r)})
		}
		want("doctor.answer.", []string{string(doctor.Yes), string(doctor.No), string(doctor.Unmeasured)})
	}
}

// sampleReport has every kind of everything: what follows, what could not be measured, each kind of fix, a secret.
func sampleReport(t *testing.T) (*doctor.Exam, doctor.Report) {
	t.Helper()
	fixed := func(id string, g doctor.Group, o doctor.Outcome) doctor.Check {
		return doctor.Check{ID: id, Group: g, Run: func(context.Context, *doctor.Exam) doctor.Outcome { return o }}
	}
	const list = "https://tok3nvalue@up.test"
	x := &doctor.Exam{
		OS: "linux", Arch: "amd64", Home: "/home/jane", Env: map[string]string{"GOPROXY": list},
		GoEnv: doctor.GoEnv{Version: "go1.26.8", Values: map[string]string{"GOPROXY": list, "GOVERSION": "go1.26.8"}},
	}
	checks := []doctor.Check{
		fixed("goproxy", doctor.Settings, doctor.Outcome{
			Facts: []doctor.Fact{{Name: "goproxy", Answer: doctor.Yes, Value: list}},
			Findings: []doctor.Finding{{
				Code: "goproxy-comma", Severity: doctor.Warning, Subject: "GOPROXY", Args: map[string]string{"Entry": list, "Next": "direct", "Verdict": "sni-reset"},
				Fixes: []doctor.Fix{
					{Code: "go-env-set", Kind: doctor.SetGoEnv, Key: "GOPROXY", Value: list + "|direct"},
					{Code: "env-set", Kind: doctor.SetEnv, Key: "GOPROXY", Value: "https://up.test|direct"},
				},
			}},
		}),
		fixed("git", doctor.Settings, doctor.Outcome{NotRun: doctor.NoTool}),
		fixed("network", doctor.Network, doctor.Outcome{Findings: []doctor.Finding{{
			Code: "sni-reset", Severity: doctor.Fault, Subject: "up.test", Op: "tls", Args: map[string]string{"Addr": "192.0.2.1", "Control": "example.com", "Issuer": "", "Names": "", "Until": ""},
			Facts: []doctor.Fact{
				{Name: "connects", Answer: doctor.Yes, Value: "192.0.2.1 12 ms"},
				{Name: "answers", Answer: doctor.No},
				{Name: "takes-ranges", Answer: doctor.Unmeasured, Reason: doctor.OutOfTime},
			},
			Fixes: []doctor.Fix{{Code: "goferry-on", Kind: doctor.RunCommand, Command: []string{"goferry", "on"}}},
		}}}),
		fixed("http", doctor.Network, doctor.Outcome{NotRun: doctor.OutOfTime, Detail: "up.test"}),
		fixed("proxies", doctor.Proxies, doctor.Outcome{NotRun: doctor.NotNeeded}),
		fixed("sumdb", doctor.SumDB, doctor.Outcome{Findings: []doctor.Finding{{
			Code: "sumdb-unreachable", Severity: doctor.Fault, Subject: "sum.golang.org", Op: "tls",
			Args: map[string]string{"DB": "sum.golang.org", "Host": "up.test", "Err": "connection reset"},
		}}}),
		fixed("modcache", doctor.ModCache, doctor.Outcome{NotRun: doctor.Broken, Detail: "index out of range"}),
		fixed("sdk", doctor.SDK, doctor.Outcome{Facts: []doctor.Fact{{Name: "go-in-use", Answer: doctor.Yes, Value: "go1.26.8, /usr/local/go/bin/go"}}}),
		fixed("cc", doctor.CC, doctor.Outcome{Findings: []doctor.Finding{{
			Code: "cgo-off-no-cc", Severity: doctor.Note, Subject: "CGO_ENABLED", Args: map[string]string{"Target": "linux/amd64", "CC": "gcc", "Packages": "-"},
			Fixes: []doctor.Fix{{Code: "go-env-unset", Kind: doctor.RunCommand, Command: []string{"apt-get", "install", "build essential"}, Root: true}},
		}, {
			Code: "gobin-not-in-path", Severity: doctor.Note, Subject: "PATH", Args: map[string]string{"Dir": "/home/jane/go/bin", "Count": "2"},
			Fixes: []doctor.Fix{{Code: "gomod-edit", Kind: doctor.EditFile, Args: map[string]string{"Module": "a.test/m"}, File: "/home/jane/.profile", Old: "PATH=a\n", New: "PATH=a\nPATH=b\n"}},
		}}}),
	}
	rep := doctor.Examine(t.Context(), x, checks, doctor.Options{})
	rep.Took = 2100 * time.Millisecond
	for i := range rep.Results {
		rep.Results[i].Took = time.Duration(i+1) * 10 * time.Millisecond
	}
	return x, rep
}

// golden compares got with a file; -update writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", "doctor", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got); go test ./cmd/goferry -run TestDoctorGolden -update writes it:\n%s", file, diff)
	}
}

func sampleJSON(t *testing.T, rep doctor.Report) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := (&app{world: world{stdout: &b}}).json(rep); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestDoctorGolden holds the look of a report, in both languages and as JSON.
func TestDoctorGolden(t *testing.T) {
	x, rep := sampleReport(t)
	data := sampleJSON(t, rep)
	golden(t, "report.json", data)
	all := string(data)
	for _, lang := range []string{text.English, text.Chinese} {
		for name, verbose := range map[string]bool{"report": false, "verbose": true} {
			page := &doctorPage{p: text.New(lang), rep: rep, os: x.OS, verbose: verbose}
			got := page.String()
			golden(t, name+"."+lang+".txt", []byte(got))
			all += got
			if m := noMessage.FindString(strings.NewReplacer("[✓]", "", "[y/N]", "").Replace(got)); m != "" {
				t.Errorf("%s: a message is missing: %s", lang, m)
			}
			for line := range strings.Lines(got) {
				if n := text.Columns(strings.TrimSuffix(line, "\n")); n > doctorColumns+20 {
					t.Errorf("%d columns: %s", n, line)
				}
			}
		}
	}
	windows := &doctorPage{p: text.New(text.English), rep: rep, os: "windows", colour: true}
	golden(t, "windows.en.txt", []byte(windows.String()))
	if strings.Contains(all, "tok3nvalue") {
		t.Error("a password is shown")
	}
}

// TestDoctorSame wants the same findings in text and in JSON: every code and subject of one in the other.
func TestDoctorSame(t *testing.T) {
	x, rep := sampleReport(t)
	var back doctor.Report
	if err := json.Unmarshal(sampleJSON(t, rep), &back); err != nil {
		t.Fatal(err)
	}
	here := &doctorPage{p: text.New(text.English), rep: rep, os: x.OS, verbose: true}
	there := &doctorPage{p: text.New(text.English), rep: back, os: x.OS, verbose: true}
	if diff := cmp.Diff(here.String(), there.String()); diff != "" {
		t.Errorf("the text is made of something that JSON does not have (-text +text of JSON):\n%s", diff)
	}
}

// TestDoctorSchema holds reports to the schema, and the schema to be able to refuse.
func TestDoctorSchema(t *testing.T) {
	published, err := os.ReadFile("../../docs/doctor.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(published, doctor.Schema()) {
		t.Error("docs/doctor.schema.json and internal/doctor/doctor.schema.json differ")
	}
	var schema map[string]any
	if err := json.Unmarshal(doctor.Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	_, rep := sampleReport(t)
	empty := doctor.Examine(t.Context(), &doctor.Exam{}, nil, doctor.Options{})
	for _, r := range []doctor.Report{rep, empty} {
		for _, problem := range schemaFaults(schema, schema, decoded(t, sampleJSON(t, r)), "report") {
			t.Error(problem)
		}
	}
	bad := map[string]string{
		`"schema_version": 1`: `"schema_version": 2`, `"state": "healthy"`: `"state": "fine"`, `"answer": "yes"`: `"answer": true`,
		`"healthy": false`: `"healty": false`, `"took_ns": 2100000000`: `"took_ns": -1`, `"kind": "env"`: `"kind": "shell"`, `"group": "cc"`: `"group": "C"`,
		`"code": "sni-reset"`: `"code": "SNI reset"`,
	}
	for from, to := range bad {
		data := strings.Replace(string(sampleJSON(t, rep)), from, to, 1)
		if !strings.Contains(data, to) || len(schemaFaults(schema, schema, decoded(t, []byte(data)), "report")) == 0 {
			t.Errorf("the schema takes %s", to)
		}
	}
	enum := func(def string) []string {
		var list []string
		d := schema["$defs"].(map[string]any)[def].(map[string]any)
		for _, v := range d["enum"].([]any) {
			list = append(list, v.(string))
		}
		return list
	}
	var reasons, severities []string
	for _, r := range doctor.Reasons() {
		reasons = append(reasons, string(r))
	}
	for _, s := range doctor.Severities() {
		severities = append(severities, string(s))
	}
	if !slices.Equal(enum("reason"), reasons) || !slices.Equal(enum("severity"), severities) {
		t.Errorf("the schema has %v and %v", enum("reason"), enum("severity"))
	}
}

// TestDoctorWalkSchema holds walks of all ends to the schema, and the schema to be able to tell them from reports.
func TestDoctorWalkSchema(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal(doctor.Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	up := goproxytest.New(t)
	up.AddModule("example.com/hello", "v1.1.0", map[string]string{"a.go": "package a\n"})
	dir := t.TempDir()
	seen := map[doctor.WalkState]bool{}
	for _, tt := range []struct{ goproxy, module, query, noproxy string }{
		{up.Proxy(), "example.com/hello", "v1.1.0", ""},
		{up.Proxy(), "example.com/hello/pkg", "latest", ""},
		{up.Proxy(), "example.com/no/such", "v1.0.0", ""},
		{up.Proxy("503") + "|" + up.Proxy(), "example.com/hello", "", ""},
		{up.Proxy("503") + "," + up.Proxy() + ",off", "example.com/hello", "v1.1.0", ""},
		{up.Proxy("wrongsum"), "example.com/hello", "v1.1.0", ""},
		{up.Proxy("hang") + "|" + up.Proxy(), "example.com/hello", "v1.1.0", ""},
		{"http://user:s3cret99@127.0.0.1:1", "example.com/hello", "v1.1.0", ""},
		{"file://" + filepath.ToSlash(dir) + "," + up.Proxy(), "example.com/hello", "v1.1.0", ""},
		{"off", "example.com/hello", "v1.1.0", ""},
		{"direct", "github.com/goferry/goferry", "v1.1.0", ""},
		{up.Proxy(), "github.com/goferry/goferry", "v1.1.0", "github.com"},
	} {
		x := &doctor.Exam{Env: map[string]string{}, SumDB: up.GOSUMDB(), GoEnv: doctor.GoEnv{Values: map[string]string{"GOPROXY": tt.goproxy, "GONOPROXY": tt.noproxy}},
			Net: doctor.Net{AnswerWait: 200 * time.Millisecond}}
		w := x.Walk(t.Context(), tt.module, tt.query)
		seen[w.State] = true
		data, err := json.Marshal(w)
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range schemaFaults(schema, schema, decoded(t, data), "walk") {
			t.Errorf("%s of %s: %s", tt.module, tt.goproxy, problem)
		}
		if strings.Contains(string(data), "s3cret99") {
			t.Errorf("a password is shown: %s", data)
		}
		for from, to := range map[string]string{`"state":"`: `"state":"is `, `"asked":`: `"aksed":`, `"what":"`: `"what":"no `, `"bytes":`: `"bytes":-`, `"stops":`: `"steps":`} {
			bad := strings.Replace(string(data), from, to, 1)
			if bad != string(data) && len(schemaFaults(schema, schema, decoded(t, []byte(bad)), "walk")) == 0 && !strings.Contains(bad, `"bytes":-0`) {
				t.Errorf("the schema takes %s", to)
			}
		}
	}
	for _, s := range doctor.WalkStates() {
		if !seen[s] {
			t.Errorf("no walk ended %s", s)
		}
		if !slices.Contains(schema["$defs"].(map[string]any)["walkstate"].(map[string]any)["enum"].([]any), any(string(s))) {
			t.Errorf("the schema does not know %s", s)
		}
	}
}

func decoded(t *testing.T, data []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// schemaFaults says where v breaks a schema, as far as the words go that our schema uses; another word is a fault.
func schemaFaults(root, s map[string]any, v any, at string) (list []string) {
	bad := func(format string, args ...any) { list = append(list, at+": "+fmt.Sprintf(format, args...)) }
	for word, want := range s {
		switch word {
		case "$schema", "$id", "$defs", "title", "description":
		case "$ref":
			def := root["$defs"].(map[string]any)[strings.TrimPrefix(want.(string), "#/$defs/")]
			list = append(list, schemaFaults(root, def.(map[string]any), v, at)...)
		case "oneOf":
			var fits int
			var why []string
			for _, one := range want.([]any) {
				faults := schemaFaults(root, one.(map[string]any), v, at)
				if len(faults) == 0 {
					fits++
				}
				why = append(why, faults...)
			}
			if fits != 1 {
				bad("it fits %d of the kinds: %q", fits, why)
			}
		case "const":
			if v != want {
				bad("%v is not %v", v, want)
			}
		case "enum":
			if !slices.Contains(want.([]any), v) {
				bad("%v is none of %v", v, want)
			}
		case "type":
			if got := schemaType(v); got != want && !(want == "integer" && got == "number" && v.(float64) == math.Trunc(v.(float64))) {
				bad("%v is a %s, not a %s", v, got, want)
			}
		case "minimum":
			if n, ok := v.(float64); ok && n < want.(float64) {
				bad("%v is less than %v", n, want)
			}
		case "pattern":
			if text, ok := v.(string); ok && !regexp.MustCompile(want.(string)).MatchString(text) {
				bad("%q does not match %s", text, want)
			}
		case "required":
			m, _ := v.(map[string]any)
			for _, key := range want.([]any) {
				if _, ok := m[key.(string)]; !ok {
					bad("%s is missing", key)
				}
			}
		case "properties", "additionalProperties", "items":
			list = append(list, schemaInside(root, word, want.(map[string]any), v, at)...)
		default:
			bad("the schema says %s, which this test does not know", word)
		}
	}
	return list
}

func schemaInside(root map[string]any, word string, want map[string]any, v any, at string) (list []string) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			switch def, ok := want[key].(map[string]any); {
			case word == "additionalProperties":
				list = append(list, schemaFaults(root, want, value, at+"."+key)...)
			case word == "properties" && ok:
				list = append(list, schemaFaults(root, def, value, at+"."+key)...)
			case word == "properties": // ours are all documented
				list = append(list, at+": "+key+" is not in the schema")
			}
		}
	case []any:
		if word == "items" {
			for i, value := range v {
				list = append(list, schemaFaults(root, want, value, fmt.Sprintf("%s[%d]", at, i))...)
			}
		}
	}
	return list
}

func schemaType(v any) string {
	switch v.(type) {
	case map[string]any:
		return "object"
	case []any:
		return "array"
	case string:
		return "string"
	case float64:
		return "number"
	case bool:
		return "boolean"
	}
	return "null"
}

func TestDoctorFixLines(t *testing.T) {
	tests := []struct {
		fix    doctor.Fix
		system string
		root   bool
		want   string
	}{
		{doctor.Fix{Kind: doctor.SetGoEnv, Key: "GOPROXY", Value: "https://a.test,direct"}, "linux", false, "go env -w GOPROXY=https://a.test,direct"},
		{doctor.Fix{Kind: doctor.SetGoEnv, Key: "GOPROXY", Value: "https://a.test|direct"}, "linux", false, "go env -w 'GOPROXY=https://a.test|direct'"},
		{doctor.Fix{Kind: doctor.SetGoEnv, Key: "GOPROXY", Value: "https://a.test|direct"}, "windows", false, `go env -w "GOPROXY=https://a.test|direct"`},
		{doctor.Fix{Kind: doctor.SetGoEnv, Key: "GOPROXY"}, "linux", false, "go env -u GOPROXY"},
		{doctor.Fix{Kind: doctor.SetEnv, Key: "GOFLAGS", Value: "-mod=mod"}, "darwin", false, "export GOFLAGS=-mod=mod"},
		{doctor.Fix{Kind: doctor.SetEnv, Key: "PATH", Value: "/usr/local/go/bin:$PATH"}, "linux", false, `export "PATH=/usr/local/go/bin:$PATH"`},
		{doctor.Fix{Kind: doctor.SetEnv, Key: "X", Value: "it's $5"}, "linux", false, `export "X=it's $5"`},
		{doctor.Fix{Kind: doctor.SetEnv, Key: "X", Value: "it's"}, "linux", false, `export 'X=it'\''s'`},
		{doctor.Fix{Kind: doctor.SetEnv, Key: "GOROOT"}, "linux", false, "unset GOROOT"},
		{doctor.Fix{Kind: doctor.SetEnv, Key: "GOROOT"}, "windows", false, "Remove-Item Env:GOROOT"},
		{doctor.Fix{Kind: doctor.SetEnv, Key: "GOFLAGS", Value: "it's"}, "windows", false, "$env:GOFLAGS = 'it''s'"},
		{doctor.Fix{Kind: doctor.RunCommand, Command: []string{"apt-get", "install", "gcc"}, Root: true}, "linux", false, "sudo apt-get install gcc"},
		{doctor.Fix{Kind: doctor.RunCommand, Command: []string{"apt-get", "install", "gcc"}, Root: true}, "linux", true, "apt-get install gcc"},
		{doctor.Fix{Kind: doctor.RunCommand, Command: []string{"rm", "-r", "/a b"}}, "linux", false, "rm -r '/a b'"},
		{doctor.Fix{Kind: doctor.RunCommand, Command: []string{`C:\Program Files\go`, "x"}}, "windows", false, `"C:\Program Files\go" x`},
		{doctor.Fix{Kind: doctor.RunCommand, Command: []string{"a", ""}}, "linux", false, "a ''"},
		{doctor.Fix{Kind: doctor.EditFile, File: "go.mod", Old: "go 1.22\n", New: "go 1.22.0\n"}, "linux", false, "go.mod:\n  - go 1.22\n  + go 1.22.0"},
		{doctor.Fix{Kind: doctor.EditFile, File: "f", New: "a\r\nb"}, "linux", false, "f:\n  + a\n  + b"},
		{doctor.Fix{Kind: doctor.ByHand}, "linux", false, ""},
	}
	for _, tt := range tests {
		if got := strings.Join(doctorFixLines(tt.fix, tt.system, tt.root), "\n"); got != tt.want {
			t.Errorf("%+v on %s:\n%s\nwant\n%s", tt.fix, tt.system, got, tt.want)
		}
	}
}

func TestDoctorModule(t *testing.T) {
	for arg, want := range map[string]bool{
		"golang.org/x/text": true, "golang.org/x/text@v0.14.0": true, "rsc.io/quote@latest": true, "network": false, "-": false, "goproxy": false,
		"./x": false, "network@v1": false, "gopkg.in/yaml.v3": true, "": false,
	} {
		if got := doctorModule(arg); got != want {
			t.Errorf("%q: %t", arg, got)
		}
	}
}

func TestEditFile(t *testing.T) {
	tests := []struct {
		name, before, old, new, after string
		err                           bool
	}{
		{"replaced", "a\nb\n", "b\n", "c\n", "a\nc\n", false},
		{"added", "a", "", "b\n", "a\nb\n", false},
		{"taken away", "a\nb\n", "b\n", "", "a\n", false},
		{"not there", "a\n", "b", "c", "a\n", true},
		{"there twice", "b\nb\n", "b", "c", "b\nb\n", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "f")
			if err := os.WriteFile(file, []byte(tt.before), 0o640); err != nil {
				t.Fatal(err)
			}
			err := editFile(doctor.Fix{Kind: doctor.EditFile, File: file, Old: tt.old, New: tt.new})
			data, readErr := os.ReadFile(file)
			if string(data) != tt.after || (err != nil) != tt.err || readErr != nil {
				t.Errorf("%q, %v, %v", data, err, readErr)
			}
		})
	}
	file := filepath.Join(t.TempDir(), "new", "f")
	if err := editFile(doctor.Fix{File: file, New: "a\n"}); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(file); string(data) != "a\n" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
	if err := editFile(doctor.Fix{File: filepath.Join(t.TempDir(), "f"), Old: "a"}); err == nil {
		t.Error("a file that is not there was changed")
	}
}

// TestRestoreFile holds what --undo leaves alone.
func TestRestoreFile(t *testing.T) {
	sum := func(s string) string { return doctorFileWas{Content: []byte(s)}.sum() }
	tests := []struct {
		name   string
		was    []byte // nil: no file
		now    string // "": no file
		after  string
		wrote  bool
		want   string
		undone bool
	}{
		{"put back", []byte("a"), "b", sum("b"), true, "a", true},
		{"taken away", nil, "b", sum("b"), true, "", true},
		{"an empty file is one", []byte{}, "b", sum("b"), true, "", true},
		{"as it was already", []byte("a"), "a", sum("b"), true, "a", true},
		{"changed since", []byte("a"), "c", sum("b"), true, "c", false},
		{"killed in between", []byte("a"), "c", "", false, "c", false},
		{"removed since", []byte("a"), "", sum("b"), true, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "f")
			if tt.now != "" {
				if err := os.WriteFile(file, []byte(tt.now), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r := &doctorRun{app: &app{p: text.New(text.English)}}
			got, line := r.restoreFile(doctorFileWas{File: file, Mode: 0o640, Content: tt.was, After: tt.after, Wrote: tt.wrote}, "record")
			data, err := os.ReadFile(file)
			if got != tt.undone || string(data) != tt.want || (tt.was == nil && got) != os.IsNotExist(err) && tt.now != "" {
				t.Errorf("%t, %q, %v\n%s", got, data, err, line)
			}
			if line == "" {
				t.Error("nothing is said")
			}
		})
	}
}

// TestChecksAgain looks again at what had a fix, and with the network at the checksum database, by which it is known whether the
// database's own host counts.
func TestChecksAgain(t *testing.T) {
	result := func(check string, causes ...int) doctor.Result { return doctor.Result{Check: check, Causes: causes} }
	before := doctor.Report{
		Causes:  []doctor.Cause{{Finding: doctor.Finding{Fixes: []doctor.Fix{{Kind: doctor.ByHand}}}}, {}},
		Results: []doctor.Result{result("goproxy", 1), result("network", 0), result("sumdb"), result("cc", 1)},
	}
	var got []string
	for _, c := range checksAgain(doctor.Checks(), before) {
		got = append(got, c.ID)
	}
	if want := []string{"network", "http", "sumdb"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if list := checksAgain(doctor.Checks(), doctor.Report{}); len(list) > 0 {
		t.Errorf("nothing had a fix, and %d checks are made", len(list))
	}
}
