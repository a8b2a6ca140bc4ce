package toolchain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/goproxytest"
)

func TestTraceSplitGoLine(t *testing.T) {
	tests := []struct {
		argv  string
		want  string // with X put in
		chdir string
	}{
		{"go build", "go build X", ""},
		{"go build -o x ./cmd/x", "go build X -o x ./cmd/x", ""},
		{"go1.25.7 test -run T ./... -args -C d", "go1.25.7 test X -run T ./... -args -C d", ""},
		{"/usr/local/go/bin/go vet", "/usr/local/go/bin/go vet X", ""},
		{"go -C dir build .", "go -C dir build X .", "dir"},
		{"go --C=dir run . -C", "go --C=dir run X . -C", "dir"},
		{"go build -C dir .", "go build -C dir X .", "dir"},
		{"go build -C=dir .", "go build -C=dir X .", "dir"},
		{"go1.26rc2 install example.com/x@latest", "go1.26rc2 install X example.com/x@latest", ""},
		{"gofmt build", "", ""},
		{"make build", "", ""},
		{"go", "", ""},
		{"go mod tidy", "", ""},
		{"go -C", "", ""},
		{"", "", ""},
	}
	for _, tt := range tests {
		line, err := splitGoLine(strings.Fields(tt.argv))
		if tt.want == "" {
			if !errors.Is(err, ErrNotTraceable) {
				t.Errorf("%q: got %v, want ErrNotTraceable", tt.argv, err)
			}
			continue
		}
		if got := strings.Join(line.with("X"), " "); err != nil || got != tt.want || line.chdir != tt.chdir {
			t.Errorf("%q: got %q in %q, %v; want %q in %q", tt.argv, got, line.chdir, err, tt.want, tt.chdir)
		}
	}
}

// traceDesk is a module of its own with a module proxy on loopback, for the real go command.
type traceDesk struct {
	dir    string
	url    string
	tracer *Tracer
	out    bytes.Buffer // what the last command printed
	errs   bytes.Buffer
}

func newTraceDesk(t *testing.T) *traceDesk {
	t.Helper()
	up := goproxytest.New(t)
	up.AddModule("example.com/dep", "v1.0.0", map[string]string{"dep.go": "package dep\n\nconst Name = \"dep\"\n"})
	up.AddModule("example.com/gone", "v1.0.0", map[string]string{"gone.go": "package gone\n"})
	d := &traceDesk{dir: t.TempDir(), url: up.URL}
	// What is never the same twice is in no build cache.
	salt := rand.Uint64()
	for name, text := range map[string]string{
		"go.mod":          "module example.com/app\n\ngo 1.21\n\nrequire example.com/dep v1.0.0\n",
		"main.go":         "package main\n\nimport (\n\t\"example.com/app/lib\"\n\t\"example.com/dep\"\n\t\"os\"\n)\n\nfunc main() {\n\tprintln(lib.Salt, dep.Name)\n\tif len(os.Args) > 1 {\n\t\tos.Exit(3)\n\t}\n}\n",
		"lib/lib.go":      fmt.Sprintf("package lib\n\nconst Salt = uint64(%d)\n", salt),
		"lib/lib_test.go": "package lib\n\nimport \"testing\"\n\nfunc TestSalt(t *testing.T) {\n\tif Salt == 1 {\n\t\tt.Fail()\n\t}\n}\n",
	} {
		d.write(t, name, text)
	}
	run := new(gocmd.Runner)
	run.Env = append(run.Environ(), "GOPROXY="+up.URL, "GOSUMDB=off", "GOFLAGS=-modcacherw -mod=mod", "GOMODCACHE="+t.TempDir(), "GOTOOLCHAIN=local", "GOWORK=off", "GOBIN="+filepath.Join(d.dir, "bin"), "GOROOT=")
	d.tracer = &Tracer{Runner: run, Temp: t.TempDir()}
	return d
}

func (d *traceDesk) write(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join(d.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// trace runs a command line and holds what is true of each Trace against it.
func (d *traceDesk) trace(t *testing.T, line string) *Trace {
	t.Helper()
	d.out.Reset()
	d.errs.Reset()
	tr, err := d.tracer.Trace(t.Context(), gocmd.ExecCmd{Argv: strings.Fields(line), Dir: d.dir, Stdout: &d.out, Stderr: &d.errs})
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if left, err := os.ReadDir(d.tracer.Temp); err != nil || len(left) > 0 {
		t.Errorf("%s: %v is left, %v", line, left, err)
	}
	checkPhases(t, tr)
	checkChrome(t, tr)
	return tr
}

// checkPhases: those of the top follow each other and are the whole; the others lie in theirs.
func checkPhases(t *testing.T, tr *Trace) {
	t.Helper()
	in := map[string]TracePhase{}
	var at TraceMillis
	for _, p := range tr.Phases {
		if p.Begin > p.End || p.Time > p.End-p.Begin || p.Time > p.Sum || p.Steps > p.Of {
			t.Errorf("phase %+v", p)
		}
		if p.Within == "" {
			if p.Begin != at {
				t.Errorf("phase %s begins at %d, want %d", p.Name, p.Begin, at)
			}
			at = p.End
			in[p.Name] = p
		} else if o := in[p.Within]; p.Begin < o.Begin || p.End > o.End {
			t.Errorf("phase %+v is not in %+v", p, o)
		}
	}
	if at != tr.Time {
		t.Errorf("the phases end at %d, want %d: %+v", at, tr.Time, tr.Phases)
	}
}

// checkChrome: the file is what viewers want: in a track bars lie in or behind each other.
func checkChrome(t *testing.T, tr *Trace) map[string]int {
	t.Helper()
	var b bytes.Buffer
	if err := tr.WriteChrome(&b); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		TraceEvents []chromeEvent
	}
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}
	names, count := map[int]string{}, map[string]int{}
	open := map[int][]float64{}
	flows := map[int]string{}
	for _, ev := range doc.TraceEvents {
		switch ev.Phase {
		case "M":
			if ev.Name == "thread_name" {
				names[ev.TID] = ev.Args["name"].(string)
			}
		case "X":
			end := ev.Time + *ev.Duration
			stack := open[ev.TID]
			for len(stack) > 0 && stack[len(stack)-1] <= ev.Time+0.0005 {
				stack = stack[:len(stack)-1]
			}
			if n := len(stack); n > 0 && stack[n-1]+0.0005 < end {
				t.Errorf("%s (%g to %g) crosses the end %g of another in track %d", ev.Name, ev.Time, end, stack[n-1], ev.TID)
			}
			open[ev.TID] = append(stack, end)
			count[ev.Category]++
			if ev.Time < 0 || end > chromeMicros(tr.Time)+0.001 {
				t.Errorf("%s: %g to %g, of %g", ev.Name, ev.Time, end, chromeMicros(tr.Time))
			}
		case "s", "f":
			flows[ev.ID] += ev.Phase
		default:
			t.Errorf("event of kind %q", ev.Phase)
		}
	}
	for tid := range open {
		if names[tid] == "" {
			t.Errorf("track %d has no name", tid)
		}
	}
	for id, ends := range flows {
		if ends != "sf" {
			t.Errorf("arrow %d has the ends %q", id, ends)
		}
	}
	return count
}

// packagesOf lists those that are not of the standard library, with their states.
func packagesOf(tr *Trace) map[string]TraceState {
	m := map[string]TraceState{}
	for _, p := range tr.Packages {
		if strings.Contains(p.Path, ".") {
			m[p.Path] = p.State
		}
	}
	return m
}

func phaseOf(tr *Trace, name string) (TracePhase, bool) {
	i := slices.IndexFunc(tr.Phases, func(p TracePhase) bool { return p.Name == name })
	if i < 0 {
		return TracePhase{}, false
	}
	return tr.Phases[i], true
}

func TestTraceBuild(t *testing.T) {
	d := newTraceDesk(t)
	tr := d.trace(t, "go build -o out/app .")
	if tr.ExitCode != 0 || len(tr.Missing) > 0 || !strings.HasPrefix(tr.Go, "go1.") || tr.Dir != d.dir {
		t.Fatalf("%+v\n%s", tr, d.errs.String())
	}
	want := map[string]TraceState{"example.com/app": TraceRan, "example.com/app/lib": TraceRan}
	got := packagesOf(tr)
	delete(got, "example.com/dep") // is the same each time, and so in the build cache of the second test run
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("packages (-want +got)\n%s", diff)
	}
	var files []string
	for _, f := range tr.Fetched {
		files = append(files, f.Module+"@"+f.Version+f.File)
		if f.File == ".zip" && (f.Time <= 0 || f.Unpack <= 0 || f.Bytes <= 0 || f.Arrived < f.Begin) {
			t.Errorf("zip: %+v", f)
		}
	}
	slices.Sort(files)
	if diff := cmp.Diff([]string{"example.com/dep@v1.0.0.info", "example.com/dep@v1.0.0.mod", "example.com/dep@v1.0.0.zip"}, files); diff != "" {
		t.Errorf("downloads (-want +got)\n%s", diff)
	}
	info, err := os.Stat(filepath.Join(d.dir, "out", "app"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]TraceOutput{{Path: filepath.Join(d.dir, "out", "app"), Package: "example.com/app", Bytes: info.Size()}}, tr.Outputs); diff != "" {
		t.Errorf("outputs (-want +got)\n%s", diff)
	}
	for _, name := range []string{TraceStart, TraceModules, TraceDownloads, TraceLoad, TraceBuild, TraceCompile, TraceLink, TraceInstall} {
		if _, ok := phaseOf(tr, name); !ok {
			t.Errorf("no phase %s in %+v", name, tr.Phases)
		}
	}
	if n := len(tr.Critical); n < 2 || !slices.ContainsFunc(tr.Critical, func(s TraceStep) bool { return s.Mode == "link" }) {
		t.Errorf("critical path %+v", tr.Critical)
	}
	if n := checkChrome(t, tr); n["download"] != 1 || n["link"] != 1 || n["compile"] < 2 {
		t.Errorf("the trace has %v", n)
	}

	again := d.trace(t, "go build -o out/app .")
	if len(again.Fetched) > 0 || again.Compiled > 0 || again.Cached == 0 || !again.Outputs[0].UpToDate {
		t.Errorf("again: %d files, %d compiled, %d cached, %+v", len(again.Fetched), again.Compiled, again.Cached, again.Outputs)
	}
}

func TestTraceInstall(t *testing.T) {
	d := newTraceDesk(t)
	tr := d.trace(t, "go install -C lib/.. .")
	exe := filepath.Join(d.dir, "bin", "app")
	if len(tr.Outputs) != 1 || tr.Outputs[0].Path != exe && tr.Outputs[0].Path != exe+".exe" {
		t.Errorf("%+v\n%s", tr.Outputs, d.errs.String())
	}
}

func TestTraceTest(t *testing.T) {
	d := newTraceDesk(t)
	count := func(tr *Trace) (n [2]int) {
		for i, name := range []string{TraceTest, TraceVet} {
			p, _ := phaseOf(tr, name)
			n[i] = p.Steps
		}
		return n
	}
	tr := d.trace(t, "go test ./...")
	if n := count(tr); tr.ExitCode != 0 || n[0] != 1 || n[1] < 1 || !strings.Contains(d.out.String(), "ok  \texample.com/app/lib") {
		t.Errorf("exit code %d, tests and vets run: %v\n%s%s", tr.ExitCode, n, d.out.String(), d.errs.String())
	}
	tr = d.trace(t, "go test ./...")
	if n := count(tr); n != [2]int{} || !strings.Contains(d.out.String(), "(cached)") {
		t.Errorf("again, tests and vets run: %v\n%s", n, d.out.String())
	}
	d.write(t, "lib/lib.go", "package lib\n\nconst Salt = uint64(1)\n")
	tr = d.trace(t, "go test ./...")
	if n := count(tr); tr.ExitCode != 1 || n[0] != 1 || !strings.Contains(d.out.String(), "--- FAIL: TestSalt") {
		t.Errorf("a test that fails: exit code %d, run: %v\n%s", tr.ExitCode, n, d.out.String())
	}
	if tr = d.trace(t, "go vet ./..."); tr.ExitCode != 0 || len(tr.Missing) > 0 {
		t.Errorf("vet: %+v", tr)
	}
}

func TestTraceRun(t *testing.T) {
	d := newTraceDesk(t)
	tr := d.trace(t, "go run . x")
	if p, ok := phaseOf(tr, TraceRun); tr.ExitCode != 1 || !ok || p.Steps != 1 || !strings.Contains(d.errs.String(), "dep\nexit status 3\n") {
		t.Errorf("exit code %d, %+v\n%s", tr.ExitCode, p, d.errs.String())
	}
}

// go list compiles for -export, links nothing and writes nothing.
func TestTraceList(t *testing.T) {
	d := newTraceDesk(t)
	tr := d.trace(t, "go list -export -f {{.Name}} .")
	if d.out.String() != "main\n" || tr.Compiled < 2 || len(tr.Outputs) > 0 || len(tr.Critical) == 0 || tr.Chain == 0 {
		t.Errorf("%q, %d compiled, outputs %v, critical path %v", d.out.String(), tr.Compiled, tr.Outputs, tr.Critical)
	}
}

// A build that fails is explained as far as it came.
func TestTraceFailure(t *testing.T) {
	d := newTraceDesk(t)
	d.write(t, "lib/lib.go", "package lib\n\nconst Salt uint64 = \"x\"\n")
	tr := d.trace(t, "go build .")
	got := packagesOf(tr)
	if tr.ExitCode != 1 || got["example.com/app/lib"] != TraceFailed || len(tr.Missing) > 0 {
		t.Errorf("exit code %d, %v, %v", tr.ExitCode, got, tr.Missing)
	}
	if _, ok := got["example.com/app"]; ok {
		t.Errorf("app was never begun, and is in %v", got)
	}
	if len(tr.Outputs) > 0 {
		t.Errorf("outputs %+v", tr.Outputs)
	}

	d.write(t, "lib/lib.go", "package lib\n\nimport _ \"example.com/gone\"\n")
	env := d.tracer.Runner.Env
	d.tracer.Runner.Env = append(env, "GOPROXY="+d.url+"/only/zip/404")
	tr = d.trace(t, "go build .")
	d.tracer.Runner.Env = env
	i := slices.IndexFunc(tr.Fetched, func(f TraceDownload) bool { return f.Failed })
	if i < 0 || tr.Fetched[i].Module != "example.com/gone" || tr.Fetched[i].Time <= 0 || tr.Fetched[i].Bytes != 0 {
		t.Errorf("a zip that does not come is not among %+v\n%s", tr.Fetched, d.errs.String())
	}

	d.write(t, "lib/lib.go", "package lib\n\nimport _ \"example.com/none\"\n")
	tr = d.trace(t, "go build .")
	if diff := cmp.Diff([]TraceGap{{Record: TraceActions}}, tr.Missing); diff != "" || tr.ExitCode != 1 {
		t.Errorf("exit code %d, missing (-want +got)\n%s", tr.ExitCode, diff)
	}
	tr = d.trace(t, "go build -nonsense .")
	if len(tr.Missing) != 2 || tr.ExitCode != 2 || len(tr.Phases) != 1 {
		t.Errorf("exit code %d, missing %v, phases %+v", tr.ExitCode, tr.Missing, tr.Phases)
	}
	if _, err := d.tracer.Trace(t.Context(), gocmd.ExecCmd{Argv: []string{"go", "mod", "tidy"}}); !errors.Is(err, ErrNotTraceable) {
		t.Errorf("go mod tidy: %v", err)
	}
	d.tracer.Runner.Env = []string{"PATH="}
	if _, err := d.tracer.Trace(t.Context(), gocmd.ExecCmd{Argv: []string{"go", "build"}}); !errors.Is(err, gocmd.ErrNoTool) {
		t.Errorf("no go: %v", err)
	}
}

// Records that are not as they should be cost the report, not the build.
func TestTraceBadRecords(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]int{"": 2, "{": 2, "[]": 2, `[{"ID":7}]`: 2, `[{"ID":0,"Deps":[1]}]`: 2, `[{"ID":0}]`: 1, `[{"name":"Running build command","ph":"B"`: 2} {
		rec := traceRecords{actions: filepath.Join(dir, "a"), spans: filepath.Join(dir, "s")}
		for _, name := range []string{rec.actions, rec.spans} {
			if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		tr := &Trace{Start: time.Unix(1e9, 0), Time: TraceMillis(time.Second)}
		graph := rec.read(tr)
		tr.analyse(graph)
		checkPhases(t, tr)
		if len(tr.Missing) != want {
			t.Errorf("%q: missing %v, want %d", text, tr.Missing, want)
		}
	}
}

func TestTraceStates(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(1e9+int64(s), 0) }
	done := func(a goAction) goAction {
		a.TimeReady, a.TimeStart, a.TimeDone = at(1), at(2), at(3)
		return a
	}
	graph := []goAction{
		done(goAction{Mode: "test run", Deps: []int{1}}),
		done(goAction{Mode: "test barrier", Deps: []int{2, 3}}),
		done(goAction{Mode: "vet", Cmd: 1}),
		done(goAction{Mode: "link", ActionID: "a"}),
		done(goAction{Mode: "build", ActionID: "a", BuildID: "b"}),
		done(goAction{Mode: "build", ActionID: "a", BuildID: "b", Cmd: 3}),
		done(goAction{Mode: "build", NeedBuild: true, ActionID: "a", Cmd: 1}),
		done(goAction{Mode: "build", NeedBuild: true}),
		done(goAction{Mode: "link-install", Deps: []int{9}}),
		done(goAction{Mode: "link"}),
		{Mode: "build", ActionID: "a"},
		done(goAction{Mode: "test run", Deps: []int{4}}),
		done(goAction{Mode: "test run", Deps: []int{13}}),
		done(goAction{Mode: "link", ActionID: "a", BuildID: "b", Cmd: 1}),
		done(goAction{Mode: "build check cache"}),
		done(goAction{Mode: "cgo compile x.c", Cmd: 1}),
	}
	want := []TraceState{
		TraceCached, TraceIdle, TraceRan, TraceCached, TraceCached, TraceRan, TraceFailed, TraceSkipped, TraceSkipped,
		TraceIdle, TraceSkipped, TraceIdle, TraceRan, TraceRan, TraceIdle, TraceRan,
	}
	tr := &Trace{Start: at(0), Time: TraceMillis(9 * time.Second)}
	tr.analyse(graph)
	for i, s := range tr.all {
		if s.State != want[i] {
			t.Errorf("%d %s: %s, want %s", i, s.Mode, s.State, want[i])
		}
	}
}

// The critical path is the chain of those that were waited for last, and each ends before the next begins.
func TestTraceCriticalPath(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(1e9+int64(s), 0) }
	graph := []goAction{
		{ID: 0, Mode: "link", Cmd: 1, BuildID: "b", Deps: []int{1, 2}, TimeReady: at(9), TimeStart: at(9), TimeDone: at(10)},
		{ID: 1, Mode: "build", Cmd: 1, BuildID: "b", Deps: []int{3}, TimeReady: at(4), TimeStart: at(4), TimeDone: at(6)},
		{ID: 2, Mode: "build", Cmd: 1, BuildID: "b", Deps: []int{3}, TimeReady: at(4), TimeStart: at(5), TimeDone: at(9)},
		{ID: 3, Mode: "build", Cmd: 1, BuildID: "b", TimeReady: at(1), TimeStart: at(1), TimeDone: at(4)},
	}
	tr := &Trace{Start: at(0), Time: TraceMillis(11 * time.Second)}
	tr.analyse(graph)
	var ids []int
	for _, s := range tr.Critical {
		ids = append(ids, s.ID)
	}
	if diff := cmp.Diff([]int{3, 2, 0}, ids); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if tr.Chain != TraceMillis(8*time.Second) || tr.Critical[1].Waited != TraceMillis(time.Second) {
		t.Errorf("the chain takes %v; %+v", time.Duration(tr.Chain), tr.Critical[1])
	}
}

func TestTraceMillis(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0", 1500 * time.Microsecond: "1.5", time.Hour: "3600000", 1999 * time.Nanosecond: "0.001"} {
		got, err := json.Marshal(TraceMillis(d))
		var back TraceMillis
		if err != nil || string(got) != want || json.Unmarshal(got, &back) != nil || back != TraceMillis(d.Truncate(time.Microsecond)) {
			t.Errorf("%v: %s, %v, back %d", d, got, err, back)
		}
	}
}

// Whatever the records say: phases that fit, a trace that viewers can read, no panic.
func FuzzTrace(f *testing.F) {
	f.Add([]byte(`[{"ID":0,"Mode":"go build","Deps":[1],"TimeStart":"2001-09-09T01:46:41Z","TimeDone":"2001-09-09T01:46:41.5Z"},{"ID":1,"Mode":"link","Package":"x","Deps":[0],"Cmd":["a","b"],"TimeStart":"2001-09-09T01:46:39Z","TimeDone":"2001-09-09T01:46:59Z"}]`),
		[]byte(`[{"name":"Running build command","ph":"B","ts":1000000000100000},{"name":"exec.Builder.Do (x)","ph":"B","ts":1000000000200000,"tid":3},{"name":"exec.Builder.Do (x)","ph":"E","ts":1000000000100000,"tid":3}]`))
	f.Add([]byte(`[]`), []byte(`[{"name":"unzip /m/cache/download/a/@v/v1.zip","ph":"B","ts":-1e300},{"name":"load.x","ph":"E"}`))
	f.Fuzz(func(t *testing.T, actions, spans []byte) {
		tr := &Trace{Start: time.Unix(1e9, 0), Time: TraceMillis(10 * time.Second)}
		graph, _ := parseActionGraph(bytes.NewReader(actions))
		tr.spans, _ = parseGoTrace(bytes.NewReader(spans), tr.Start, tr.Time)
		tr.analyse(graph)
		checkPhases(t, tr)
		checkChrome(t, tr)
	})
}

func FuzzTraceDownload(f *testing.F) {
	f.Add("golang.org/x/text/@v/v0.3.0.zip")
	f.Add("github.com/!azure/sdk/@v/v1.0.0+incompatible.mod")
	f.Add("a/@v/@v/.info")
	f.Fuzz(func(t *testing.T, rel string) {
		d, ok := parseDownload(rel)
		if !ok {
			return
		}
		if !slices.Contains([]string{".info", ".mod", ".zip"}, d.File) || d.Module == "" {
			t.Errorf("%q is %+v", rel, d)
		}
	})
}
