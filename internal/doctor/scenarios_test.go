package doctor

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var updateScenarios = flag.Bool("update", false, "write docs/doctor-scenarios.md anew")

const scenariosFile = "../../docs/doctor-scenarios.md"

// A scenario is a machine or a network that is simulated, what is to be found there, and what was.
type scenario struct {
	area, name  string
	want, found string // see told
}

// A record collects the scenarios of an area. Its tests run side by side.
type record struct {
	area string
	mu   sync.Mutex
	list []scenario
}

// add notes what came of a scenario: findings as "fault code" or "code:fault", each behind the other; empty where nothing was found.
func (r *record) add(name, want, found string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, scenario{r.area, name, told(want), told(found)})
}

// told is how the table shows findings: the codes of faults as they are, others with how bad they are.
func told(words string) string {
	var all []string
	severity := string(Fault)
	fields := strings.Fields(words)
	for i := 0; i < len(fields); i++ {
		f := fields[i]
		if slices.Contains(Severities(), Severity(f)) {
			severity = f
			continue
		}
		if f == "not" && i+2 < len(fields) { // "not run: reason"
			all = append(all, "not measured: "+fields[i+2])
			i += 2
			continue
		}
		code, bad, ok := strings.Cut(f, ":")
		if !ok {
			bad = severity
		}
		severity = string(Fault)
		if bad != string(Fault) {
			code += " (" + bad + ")"
		}
		all = append(all, code)
	}
	if len(all) == 0 {
		return string(VerdictHealthy)
	}
	return strings.Join(all, ", ")
}

// is reports whether a scenario came to v and nothing else.
func (s scenario) is(v Verdict) bool {
	code, _, _ := strings.Cut(s.found, " (")
	return code == string(v) && !strings.Contains(s.found, ", ")
}

// has reports whether v is among what was found.
func (s scenario) has(v Verdict) bool {
	return slices.ContainsFunc(strings.Split(s.found, ", "), func(code string) bool {
		code, _, _ = strings.Cut(code, " (")
		return code == string(v)
	})
}

// harmless reports whether nothing was found that counts.
func (s scenario) harmless() bool {
	return !slices.ContainsFunc(strings.Split(s.found, ", "), func(code string) bool {
		return code != string(VerdictHealthy) && !strings.HasSuffix(code, " ("+string(Note)+")")
	})
}

// scenarioAreas are the tests that take part, in the order of the table.
func scenarioAreas() []struct {
	name string
	run  func(*testing.T, *record)
} {
	return []struct {
		name string
		run  func(*testing.T, *record)
	}{
		{areaWhole, wholeScenarios},
		{areaWay, func(t *testing.T, r *record) {
			t.Run("broken", func(t *testing.T) { brokenScenarios(t, r) })
			t.Run("healthy", func(t *testing.T) { healthyScenarios(t, r) })
		}},
		{areaRoutes, routeScenarios},
		{areaHTTP, httpScenarios},
		{areaPortals, portalScenarios},
		{areaProxies, proxyScenarios},
		{areaMirrors, mirrorScenarios},
		{areaSumDB, sumScenarios},
		{"GOPROXY", goproxyScenarios},
		{"GOSUMDB", gosumdbScenarios},
		{"GOPRIVATE and its kin", goprivateScenarios},
		{"Settings of the go command", goenvScenarios},
		{"GOFLAGS", goflagsScenarios},
		{"Module cache", modcacheScenarios},
		{"Place of the module cache", cachePlaceScenarios},
		{"Disk", diskScenarios},
		{"The Go in use", goScenarios},
		{"Files of an SDK", sdkFileScenarios},
		{"Processor", processorScenarios},
		{"C compiler", ccScenarios},
	}
}

// The areas that have near misses.
const (
	areaWhole   = "Whole reports: the first root cause"
	areaWay     = "The way to a host"
	areaRoutes  = "Real routes"
	areaHTTP    = "Answers"
	areaPortals = "Portals"
	areaProxies = "Proxies"
	areaMirrors = "Mirrors"
	areaSumDB   = "Checksum database"
)

// TestScenarios examines everything that is simulated, and keeps docs/doctor-scenarios.md true. `-run TestScenarios -update` writes it.
func TestScenarios(t *testing.T) {
	var all []scenario
	complete := true
	for _, area := range scenarioAreas() {
		r := &record{area: area.name}
		ran := false
		t.Run(area.name, func(t *testing.T) {
			ran = true
			area.run(t, r)
		})
		complete = complete && ran
		slices.SortFunc(r.list, inTable)
		all = append(all, r.list...)
	}
	for i, s := range all {
		t.Logf("%-36s %-80s expected %-40s found %s", s.area, s.name, s.want, s.found)
		if s.want != s.found {
			t.Errorf("%s: %s: found %s, want %s", s.area, s.name, s.found, s.want)
		}
		if i > 0 && s.area == all[i-1].area && s.name == all[i-1].name {
			t.Errorf("%s: two scenarios are called %s", s.area, s.name)
		}
	}
	only := flag.Lookup("test.run").Value.String()
	if t.Failed() || !complete || strings.Contains(only, "/") || runtime.GOOS != "linux" { // elsewhere some are not there
		return
	}
	everyVerdict(t, all)
	sameScenarios(t, scenariosTable(all))
}

// inTable puts what is broken before what is healthy, and the same findings together.
func inTable(a, b scenario) int {
	if x, y := a.harmless(), b.harmless(); x != y {
		if x {
			return 1
		}
		return -1
	}
	if c := strings.Compare(a.want, b.want); c != 0 {
		return c
	}
	return strings.Compare(a.name, b.name)
}

// everyVerdict wants each verdict to be what some scenario comes to and nothing else, and what is near to it not to come to it.
func everyVerdict(t *testing.T, all []scenario) {
	near := nearMisses()
	for _, v := range Verdicts() {
		if !slices.ContainsFunc(all, func(s scenario) bool { return s.is(v) }) {
			t.Errorf("no scenario comes to %s and nothing else", v)
		}
		if len(near[v]) == 0 {
			t.Errorf("nothing is held to be near to %s", v)
		}
		for _, miss := range near[v] {
			i := slices.IndexFunc(all, func(s scenario) bool { return s.area == miss.area && s.name == miss.name })
			if i < 0 {
				t.Errorf("near to %s: there is no scenario %q of %q", v, miss.name, miss.area)
			} else if all[i].has(v) {
				t.Errorf("near to %s: %q comes to %s", v, miss.name, all[i].found)
			}
		}
	}
	healthy := 0
	for _, s := range all {
		if s.area == areaWhole && s.harmless() {
			healthy++
		}
	}
	if healthy < 20 {
		t.Errorf("%d healthy networks are too few", healthy)
	}
}

// sameScenarios compares the file with what it should be, or writes it.
func sameScenarios(t *testing.T, want []byte) {
	if *updateScenarios {
		if err := os.WriteFile(scenariosFile, want, 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(scenariosFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
		t.Errorf("%s is not what was found; go test ./internal/doctor -run TestScenarios -update writes it (-want +got)\n%s", scenariosFile, diff)
	}
}

// scenariosTable is the file.
func scenariosTable(all []scenario) []byte {
	var b bytes.Buffer
	healthy := 0
	for _, s := range all {
		if s.harmless() {
			healthy++
		}
	}
	fmt.Fprintf(&b, `# What the doctor is tried on

Machines and networks that the tests simulate, what is to be found there, and what was: %d scenarios, in %d of
which nothing is wrong that counts.
This file is written by `+"`go test ./internal/doctor -run TestScenarios -update`"+`, and the same test without `+"`-update`"+` fails where
it is not true any more. Findings without a word behind them are faults; "not measured" says that a check could not, or need not,
look, and is neither good nor bad. Those of "%s" are what the kernel does to packets between two network namespaces;
`+"`make test`"+` holds them to this table where it can make some (scripts/netns.sh).

## Verdicts

Each one is what at least one scenario comes to and nothing else, and what is near to it comes to something else.

| verdict | scenarios | near misses, and what they come to |
|---|--:|---|
`, len(all), healthy, areaRoutes)
	near := nearMisses()
	for _, v := range Verdicts() {
		count := 0
		for _, s := range all {
			if s.is(v) {
				count++
			}
		}
		var misses []string
		for _, miss := range near[v] {
			i := slices.IndexFunc(all, func(s scenario) bool { return s.area == miss.area && s.name == miss.name })
			misses = append(misses, cell(miss.name)+" → "+all[i].found)
		}
		fmt.Fprintf(&b, "| %s | %d | %s |\n", v, count, strings.Join(misses, "; "))
	}
	area := ""
	for _, s := range all {
		if s.area != area {
			area = s.area
			fmt.Fprintf(&b, "\n## %s\n\n| scenario | expected | found |\n|---|---|---|\n", area)
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", cell(s.name), s.want, s.found)
	}
	return b.Bytes()
}

// cell is a text in a table of Markdown.
func cell(s string) string {
	if strings.ContainsAny(s, "=*<>") {
		return "`" + strings.ReplaceAll(s, "|", `\|`) + "`"
	}
	return strings.ReplaceAll(s, "|", `\|`)
}

// routeScenarios are static here: they need network namespaces.
func routeScenarios(_ *testing.T, r *record) {
	for _, w := range realNetworks() {
		r.add(w.name, string(w.want), string(w.want))
	}
	for _, name := range []string{realCable, realSwallowed} {
		r.add(name, codeOffline, codeOffline)
	}
}
