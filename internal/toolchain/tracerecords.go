package toolchain

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// traceRecords are the files that the go command writes.
type traceRecords struct {
	actions string // -debug-actiongraph
	spans   string // -debug-trace
}

// maxTraceRecord is how much of a record is read: that of a build of all of Kubernetes has 60 MB.
const maxTraceRecord = 1 << 30

// read puts the spans into tr and returns the actions. What is not there, or not as it should be, is noted in
// tr.Missing: the build itself has been done, and its result is not to be lost for that.
func (r traceRecords) read(tr *Trace) (graph []goAction) {
	err := readTraceFile(r.actions, func(f io.Reader) (err error) {
		graph, err = parseActionGraph(f)
		return err
	})
	tr.gap(TraceActions, len(graph) == 0, err)
	err = readTraceFile(r.spans, func(f io.Reader) (err error) {
		tr.spans, err = parseGoTrace(f, tr.Start, tr.Time)
		return err
	})
	tr.gap(TraceSpans, len(tr.spans) == 0, err)
	return graph
}

func (tr *Trace) gap(record string, empty bool, err error) {
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		tr.Missing = append(tr.Missing, TraceGap{Record: record, Reason: err.Error()})
	case empty:
		tr.Missing = append(tr.Missing, TraceGap{Record: record})
	}
}

func readTraceFile(name string, parse func(io.Reader) error) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return parse(io.LimitReader(f, maxTraceRecord))
}

// goAction is an element of the action graph. Source: actionJSON of cmd/go/internal/work/action.go, Go 1.21 to
// 1.26.
type goAction struct {
	ID        int
	Mode      string
	Package   string
	Deps      []int
	Target    string
	VetxOnly  bool
	NeedBuild bool
	ActionID  string // set once it was looked up in the build cache
	BuildID   string // set once there is a result
	TimeReady time.Time
	TimeStart time.Time
	TimeDone  time.Time
	Cmd       countOf // tools that were run
	CmdReal   time.Duration
	CmdUser   time.Duration
	CmdSys    time.Duration
}

// countOf is the length of a JSON array; the command lines of a build are most of its graph.
type countOf int

func (n *countOf) UnmarshalJSON(data []byte) error {
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	*n = countOf(len(list))
	return nil
}

// parseActionGraph reads what -debug-actiongraph writes. The id of each action is its index.
func parseActionGraph(r io.Reader) ([]goAction, error) {
	var list []goAction
	if err := json.NewDecoder(r).Decode(&list); err != nil {
		return nil, fmt.Errorf("action graph of the go command: %w", err)
	}
	for i, a := range list {
		if a.ID != i {
			return nil, fmt.Errorf("action graph of the go command: action %d has id %d", i, a.ID)
		}
		for _, d := range a.Deps {
			if d < 0 || d >= len(list) {
				return nil, fmt.Errorf("action graph of the go command: action %d needs action %d of %d", i, d, len(list))
			}
		}
	}
	return list, nil
}

// traceSpan is something the go command did before it built.
type traceSpan struct {
	name       string
	begin, end TraceMillis
}

// goEvent is an event of -debug-trace. Source: internal/trace/traceviewer/format.
type goEvent struct {
	Name  string  `json:"name"`
	Phase string  `json:"ph"`
	Time  float64 `json:"ts"` // µs since 1970
	TID   uint64  `json:"tid"`
}

// spanNames are the beginnings of the names of spans that matter. The others are the actions, which the action
// graph knows better.
var spanNames = []string{"Running ", "load.", "modload.", "modfetch.", "unzip ", "exec.Builder.Do", "queryLatest"}

func isTraceSpan(name string) bool {
	for _, p := range spanNames {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// parseGoTrace reads what -debug-trace writes, in the order in which the spans began. The end may be missing, where
// the go command was stopped: then the spans that were open end at whole.
func parseGoTrace(r io.Reader, start time.Time, whole TraceMillis) ([]traceSpan, error) {
	type key struct {
		name string
		tid  uint64
	}
	var spans []traceSpan
	open := map[key][]int{} // the go command gives goroutines that run side by side the same id
	at := func(us float64) TraceMillis {
		return min(max(TraceMillis(time.Unix(0, int64(us*1e3)).Sub(start)), 0), whole)
	}
	dec := json.NewDecoder(r)
	if _, err := dec.Token(); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("trace of the go command: %w", err)
	}
	for dec.More() {
		var ev goEvent
		if err := dec.Decode(&ev); errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			break // stopped while it wrote
		} else if err != nil {
			return nil, fmt.Errorf("trace of the go command: %w", err)
		}
		if !isTraceSpan(ev.Name) {
			continue
		}
		k := key{ev.Name, ev.TID}
		switch ev.Phase {
		case "B":
			open[k] = append(open[k], len(spans))
			spans = append(spans, traceSpan{name: ev.Name, begin: at(ev.Time), end: whole})
		case "E":
			if n := len(open[k]); n > 0 {
				s := &spans[open[k][n-1]]
				s.end = max(at(ev.Time), s.begin)
				open[k] = open[k][:n-1]
			}
		}
	}
	return spans, nil
}
