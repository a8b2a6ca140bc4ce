package toolchain

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// analyse makes the report of what was recorded.
func (tr *Trace) analyse(graph []goAction) {
	steps := make([]TraceStep, len(graph))
	for i, a := range graph {
		steps[i] = tr.step(a)
	}
	for i := range graph {
		steps[i].State = traceState(graph, steps, i)
	}
	tr.all = steps
	tr.Phases = tr.phases(steps)
	tr.packages(steps)
	tr.outputs(graph, steps)
	tr.Critical = criticalPath(graph, steps)
	tr.Steps = []TraceStep{}
	for _, s := range steps {
		if s.State == TraceRan || s.State == TraceFailed {
			tr.Steps = append(tr.Steps, s)
		}
		tr.CPU += s.CPU
	}
	for _, s := range tr.Critical {
		tr.Chain += s.Time
	}
	slices.SortStableFunc(tr.Steps, func(a, b TraceStep) int { return cmp.Compare(a.Begin, b.Begin) })
}

// at is a moment as the time since the start; 0 for none.
func (tr *Trace) at(t time.Time) TraceMillis {
	if t.IsZero() {
		return 0
	}
	return min(max(TraceMillis(t.Sub(tr.Start)), 0), tr.Time)
}

func (tr *Trace) step(a goAction) TraceStep {
	s := TraceStep{ID: a.ID, Phase: tracePhase(a.Mode), Mode: a.Mode, Package: a.Package, Tools: int(a.Cmd), CPU: TraceMillis(a.CmdUser + a.CmdSys)}
	if a.TimeStart.IsZero() || a.TimeDone.IsZero() { // the build was stopped before
		return s
	}
	s.Begin = tr.at(a.TimeStart)
	s.Time = max(tr.at(a.TimeDone)-s.Begin, 0)
	if !a.TimeReady.IsZero() {
		s.Waited = max(s.Begin-tr.at(a.TimeReady), 0)
	}
	return s
}

// tracePhase is the phase of an action, "" for those that only tie others together.
func tracePhase(mode string) string {
	switch mode {
	case "build", "build check cache", "collect cgo", "cover", "preprocess PGO profile", "write coverage meta-data file":
		return TraceCompile
	case "link", "go build -buildmode=shared":
		return TraceLink
	case "vet":
		return TraceVet
	case "install header", "test build", "go install -buildmode=shared":
		return TraceInstall
	case "test run":
		return TraceTest
	case "go run", "go tool":
		return TraceRun
	}
	switch {
	case strings.HasPrefix(mode, "cgo "), strings.HasPrefix(mode, "swig"):
		return TraceCompile
	case strings.HasSuffix(mode, "-install"):
		return TraceInstall
	}
	return ""
}

// traceState says what became of action i; those that it needs have an index of their own in steps. What the go command
// records of an action, it records at certain moments: ActionID when it looks into the build cache, Cmd
// when a tool has run, BuildID when there is a result.
func traceState(graph []goAction, steps []TraceStep, i int) TraceState {
	a := graph[i]
	switch {
	case a.TimeStart.IsZero() || a.TimeDone.IsZero():
		return TraceSkipped
	case a.Mode == "test run":
		return testState(graph, i)
	case a.Mode == "link" && a.Cmd == 0 && a.ActionID != "":
		return TraceCached // of a test whose result is cached, the BuildID is not set
	case steps[i].Phase == TraceRun, steps[i].Phase == TraceInstall:
		if needsFailed(graph, a) {
			return TraceSkipped
		}
		return TraceRan
	case a.Cmd > 0 && a.BuildID == "" && (a.Mode == "build" && a.NeedBuild || a.Mode == "link"):
		return TraceFailed
	case a.Cmd > 0:
		return TraceRan
	case a.Mode == "build" && a.BuildID != "":
		return TraceCached
	case a.Mode == "build" && a.ActionID == "":
		return TraceSkipped
	}
	return TraceIdle
}

// needsFailed reports whether a was left out, since it needs a link or a compilation that left no result.
func needsFailed(graph []goAction, a goAction) bool {
	for _, d := range a.Deps {
		if n := graph[d]; (n.Mode == "link" || n.Mode == "build" && n.NeedBuild) && n.BuildID == "" {
			return true
		}
	}
	return false
}

// testState: a test ran if its binary was linked, for else there is none. The go command looks for a cached
// result once more when it knows the binary; then the test appears as run, in no time.
func testState(graph []goAction, i int) TraceState {
	needs := graph[i].Deps
	if len(needs) == 1 && graph[needs[0]].Mode == "test barrier" { // since Go 1.26 it stands between
		needs = graph[needs[0]].Deps
	}
	for _, d := range needs {
		n := graph[d]
		switch {
		case n.Mode != "link":
		case n.Cmd > 0 && n.BuildID != "":
			return TraceRan
		case n.Cmd == 0 && n.ActionID != "":
			return TraceCached
		default:
			return TraceSkipped
		}
	}
	return TraceIdle // a package without tests
}

// phases are the parts of the whole, in their order, and what they are made of.
func (tr *Trace) phases(steps []TraceStep) []TracePhase {
	m := tr.moments(steps)
	list := []TracePhase{{Name: TraceStart, Begin: 0, End: m.command}}
	if m.command < tr.Time { // else it ended before it did anything
		list = append(list, TracePhase{Name: TraceModules, Begin: m.command, End: m.load})
		if p, ok := tr.downloadPhase(m); ok {
			list = append(list, p)
		}
		list = append(list, TracePhase{Name: TraceLoad, Begin: m.load, End: m.build},
			TracePhase{Name: TraceBuild, Begin: m.build, End: m.end})
		for _, name := range []string{TraceCompile, TraceVet, TraceLink, TraceInstall, TraceTest, TraceRun} {
			if p, ok := buildPhase(name, steps); ok {
				list = append(list, p)
			}
		}
		list = append(list, TracePhase{Name: TraceEnd, Begin: m.end, End: tr.Time})
	}
	for i := range list {
		if p := &list[i]; p.Within == "" {
			p.Time = p.End - p.Begin
			p.Sum = p.Time
		}
	}
	return slices.DeleteFunc(list, func(p TracePhase) bool { return p.Begin == p.End })
}

// traceMoments are when phases begin that follow each other.
type traceMoments struct{ command, load, build, end TraceMillis }

func (tr *Trace) moments(steps []TraceStep) traceMoments {
	m := traceMoments{tr.Time, tr.Time, tr.Time, 0}
	fetched := TraceMillis(0)
	loaded := false
	for _, s := range tr.spans {
		switch {
		case strings.HasPrefix(s.name, "Running "):
			m.command = min(m.command, s.begin)
		case strings.HasPrefix(s.name, "modload.loadImport "), strings.HasPrefix(s.name, "load.loadPackageData "):
			if !loaded { // they begin in order
				m.load, loaded = s.begin, true
			}
		case strings.HasPrefix(s.name, "exec.Builder.Do"):
			m.build, m.end = min(m.build, s.begin), max(m.end, s.end)
		case isDownload(s):
			fetched = max(fetched, s.end)
		}
	}
	for _, s := range steps { // all there is where the other record is missing
		if s.Time > 0 && s.Phase != "" {
			m.build, m.end = min(m.build, s.Begin), max(m.end, s.Begin+s.Time)
		}
	}
	m.end = max(m.end, m.build)
	m.load = min(max(m.load, fetched), m.build) // a module that comes late belongs to the modules
	m.command = min(m.command, m.load)
	return m
}

// isDownload reports whether s is the coming of a module zip, or of what is in it.
func isDownload(s traceSpan) bool {
	return strings.HasPrefix(s.name, zipSpan) || strings.HasPrefix(s.name, unzipSpan)
}

// downloadPhase is when module zips came.
func (tr *Trace) downloadPhase(m traceMoments) (TracePhase, bool) {
	p := TracePhase{Name: TraceDownloads, Within: TraceModules}
	var when [][2]TraceMillis
	for _, s := range tr.spans {
		if !isDownload(s) {
			continue
		}
		if strings.HasPrefix(s.name, zipSpan) {
			p.Steps++
			p.Of++
		}
		if begin, end := max(s.begin, m.command), min(s.end, m.load); begin < end {
			when = append(when, [2]TraceMillis{begin, end})
		}
	}
	p.cover(when)
	return p, len(when) > 0
}

// buildPhase is when actions of the phase went on. Looking into the build cache counts: in a build
// where nothing has changed it is all there is.
func buildPhase(name string, steps []TraceStep) (TracePhase, bool) {
	p := TracePhase{Name: name, Within: TraceBuild}
	var when [][2]TraceMillis
	for _, s := range steps {
		if s.Phase != name || s.State == TraceSkipped || s.Time == 0 {
			continue
		}
		if s.State != TraceIdle || name == TraceVet { // vet does not record that it found its result
			p.Of++
		}
		if s.State == TraceRan || s.State == TraceFailed {
			p.Steps++
		}
		when = append(when, [2]TraceMillis{s.Begin, s.Begin + s.Time})
	}
	p.cover(when)
	return p, len(when) > 0
}

// cover sets the times of p from those of its parts.
func (p *TracePhase) cover(when [][2]TraceMillis) {
	if len(when) == 0 {
		return
	}
	slices.SortFunc(when, func(a, b [2]TraceMillis) int { return cmp.Compare(a[0], b[0]) })
	p.Begin, p.End = when[0][0], when[0][0]
	for _, w := range when {
		p.Sum += w[1] - w[0]
		p.Time += max(w[1]-max(w[0], p.End), 0)
		p.End = max(p.End, w[1])
	}
}

// packages sums up what was compiled.
func (tr *Trace) packages(steps []TraceStep) {
	at := map[string]int{}
	tr.Packages = []TracePackage{}
	for _, s := range steps {
		if s.Phase != TraceCompile || s.Package == "" || s.State == TraceSkipped || s.State == TraceIdle {
			continue
		}
		i, ok := at[s.Package]
		if !ok {
			i = len(tr.Packages)
			at[s.Package] = i
			tr.Packages = append(tr.Packages, TracePackage{Path: s.Package, State: TraceCached})
		}
		p := &tr.Packages[i]
		p.Time += s.Time
		p.CPU += s.CPU
		if s.Mode == "build" && s.State != TraceCached {
			p.Times++
		}
		if p.State == TraceCached || s.State == TraceFailed {
			p.State = s.State
		}
	}
	for _, p := range tr.Packages {
		if p.State == TraceCached {
			tr.Cached++
		} else {
			tr.Compiled++
		}
	}
	slices.SortStableFunc(tr.Packages, func(a, b TracePackage) int {
		return cmp.Or(cmp.Compare(traceRank(a.State), traceRank(b.State)), cmp.Compare(b.Time, a.Time), strings.Compare(a.Path, b.Path))
	})
}

// traceRank puts what was compiled before what was not.
func traceRank(s TraceState) int {
	if s == TraceCached {
		return 1
	}
	return 0
}

// outputs finds the files that were asked for.
func (tr *Trace) outputs(graph []goAction, steps []TraceStep) {
	tr.Outputs = []TraceOutput{}
	for i, a := range graph {
		if steps[i].Phase != TraceInstall || steps[i].State != TraceRan || a.Target == "" {
			continue
		}
		o := TraceOutput{Path: a.Target, Package: strings.TrimSuffix(a.Package, ".test")}
		if !filepath.IsAbs(o.Path) {
			o.Path = filepath.Join(tr.Dir, o.Path)
		}
		info, err := os.Stat(o.Path)
		if err != nil || !info.Mode().IsRegular() {
			continue // it could not be written, which the go command has said
		}
		o.Bytes = info.Size()
		for _, d := range a.Deps {
			o.UpToDate = o.UpToDate || graph[d].Mode == "link" && steps[d].State == TraceCached
		}
		tr.Outputs = append(tr.Outputs, o)
	}
	slices.SortFunc(tr.Outputs, func(a, b TraceOutput) int { return strings.Compare(a.Path, b.Path) })
}

// worthCritical is the shortest step of the critical path that is reported.
const worthCritical = TraceMillis(time.Millisecond)

// criticalPath is the chain of actions each of which was the last that the next one waited for. With more
// processors the build would take no less than their time.
func criticalPath(graph []goAction, steps []TraceStep) []TraceStep {
	path := []TraceStep{}
	last := func(ids []int) int {
		best := -1
		for _, d := range ids {
			if !graph[d].TimeDone.IsZero() && (best < 0 || graph[d].TimeDone.After(graph[best].TimeDone)) {
				best = d
			}
		}
		return best
	}
	all := make([]int, len(graph))
	for i := range all {
		all[i] = i
	}
	// Each is done before the one that needs it begins, so the chain ends; the limit is for a clock that was set back.
	for i, n := last(all), 0; i >= 0 && n < len(graph); i, n = last(graph[i].Deps), n+1 {
		if steps[i].Time >= worthCritical {
			path = append(path, steps[i])
		}
	}
	slices.Reverse(path)
	return path
}
