package toolchain

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// chromeEvent is an event of the trace event format, which chrome://tracing, Perfetto (https://ui.perfetto.dev)
// and speedscope read. Source: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.
type chromeEvent struct {
	Name     string         `json:"name"`
	Category string         `json:"cat,omitempty"`
	Phase    string         `json:"ph"`
	Time     float64        `json:"ts"` // µs from the start of the command
	Duration *float64       `json:"dur,omitempty"`
	PID      int            `json:"pid"`
	TID      int            `json:"tid"`
	ID       int            `json:"id,omitempty"`
	Bind     string         `json:"bp,omitempty"`
	Args     map[string]any `json:"args,omitempty"`
}

const (
	chromePID = 1
	// worthChrome is the shortest span of the loader that is shown: there is one or two for each package.
	worthChrome = TraceMillis(500 * time.Microsecond)
	// shownInChrome is the shortest action that is shown. Hundreds take no time: they tie others together.
	shownInChrome = TraceMillis(50 * time.Microsecond)
)

// WriteChrome writes tr as a file for chrome://tracing or https://ui.perfetto.dev: phases, downloads, what the loader
// did, and the actions of the build in as many tracks as went on at once. Arrows connect the critical path.
func (tr *Trace) WriteChrome(w io.Writer) error {
	c := &chromeWriter{w: bufio.NewWriter(w)}
	c.begin(tr)
	c.track("phases", false, tr.phaseSlices(true))
	c.track("in phases", true, tr.phaseSlices(false))
	c.track("downloads", true, tr.downloadSlices())
	c.track("loader", true, tr.loaderSlices())
	c.track("build", true, tr.stepSlices())
	c.arrows(tr.Critical)
	c.end()
	if c.err != nil {
		return c.err
	}
	return c.w.Flush()
}

// A chromeSlice is a bar in a track.
type chromeSlice struct {
	name, category string
	begin, end     TraceMillis
	args           map[string]any
	step           int // ID of a TraceStep, -1 for others
}

type chromeWriter struct {
	w     *bufio.Writer
	err   error
	n     int         // events written
	lanes int         // tracks used
	lane  map[int]int // of steps
}

func (c *chromeWriter) begin(tr *Trace) {
	c.lane = map[int]int{}
	head, err := json.Marshal(map[string]any{
		"command": tr.Command, "dir": tr.Dir, "go": tr.Go, "start": tr.Start, "exit code": tr.ExitCode,
	})
	if err == nil {
		_, err = fmt.Fprintf(c.w, "{\"displayTimeUnit\":\"ms\",\"otherData\":%s,\"traceEvents\":[\n", head)
	}
	c.err = err
	c.write(chromeEvent{Name: "process_name", Phase: "M", Args: map[string]any{"name": strings.Join(tr.Command, " ")}})
}

func (c *chromeWriter) end() {
	if c.err == nil {
		_, c.err = c.w.WriteString("\n]}\n")
	}
}

func (c *chromeWriter) write(ev chromeEvent) {
	if c.err != nil {
		return
	}
	ev.PID = chromePID
	data, err := json.Marshal(ev)
	if err != nil {
		c.err = err
		return
	}
	if c.n > 0 {
		data = append([]byte(",\n"), data...)
	}
	c.n++
	_, c.err = c.w.Write(data)
}

func chromeMicros(m TraceMillis) float64 {
	return float64(time.Duration(m).Nanoseconds()) / 1e3
}

// track writes slices into as many lanes as they need: in a lane one lies in another or behind it, never
// across its end, which is all that viewers can show.
func (c *chromeWriter) track(name string, numbered bool, slicesOf []chromeSlice) {
	slices.SortStableFunc(slicesOf, func(a, b chromeSlice) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(b.end, a.end))
	})
	var lanes [][]TraceMillis // for each the ends of the slices that are open
	for _, s := range slicesOf {
		lane := 0
		for ; lane < len(lanes); lane++ {
			for n := len(lanes[lane]); n > 0 && lanes[lane][n-1] <= s.begin; n-- {
				lanes[lane] = lanes[lane][:n-1]
			}
			if n := len(lanes[lane]); n == 0 || s.step < 0 && lanes[lane][n-1] >= s.end {
				break
			}
		}
		if lane == len(lanes) {
			lanes = append(lanes, nil)
		}
		lanes[lane] = append(lanes[lane], s.end)
		tid := c.lanes + lane + 1
		if s.step >= 0 {
			c.lane[s.step] = tid
		}
		dur := chromeMicros(s.end - s.begin)
		c.write(chromeEvent{Name: s.name, Category: s.category, Phase: "X", Time: chromeMicros(s.begin), Duration: &dur, TID: tid, Args: s.args})
	}
	for i := range lanes {
		label := name
		if numbered && len(lanes) > 1 {
			label = fmt.Sprintf("%s %d", name, i+1)
		}
		tid := c.lanes + i + 1
		c.write(chromeEvent{Name: "thread_name", Phase: "M", TID: tid, Args: map[string]any{"name": label}})
		c.write(chromeEvent{Name: "thread_sort_index", Phase: "M", TID: tid, Args: map[string]any{"sort_index": tid}})
	}
	c.lanes += len(lanes)
}

// arrows connects the steps of the critical path.
func (c *chromeWriter) arrows(path []TraceStep) {
	for i := 1; i < len(path); i++ {
		from, to := path[i-1], path[i]
		if c.lane[from.ID] == 0 || c.lane[to.ID] == 0 {
			continue
		}
		// An arrow belongs to the slice in which its end lies.
		ev := chromeEvent{Name: "critical path", Category: "critical", ID: i}
		ev.Phase, ev.TID, ev.Time = "s", c.lane[from.ID], chromeMicros(from.Begin)+0.99*chromeMicros(from.Time)
		c.write(ev)
		ev.Phase, ev.TID, ev.Time, ev.Bind = "f", c.lane[to.ID], chromeMicros(to.Begin), "e"
		c.write(ev)
	}
}

func (tr *Trace) phaseSlices(top bool) []chromeSlice {
	var list []chromeSlice
	for _, p := range tr.Phases {
		if (p.Within == "") == top {
			list = append(list, chromeSlice{p.Name, "phase", p.Begin, p.End, map[string]any{"sum ms": p.Sum, "steps": p.Steps}, -1})
		}
	}
	return list
}

func (tr *Trace) downloadSlices() []chromeSlice {
	var list []chromeSlice
	for _, d := range tr.Fetched {
		if d.Time > 0 {
			name := d.Module + "@" + d.Version + d.File
			list = append(list, chromeSlice{name, "download", d.Begin, d.Begin + d.Time, map[string]any{"bytes": d.Bytes, "unpack ms": d.Unpack, "failed": d.Failed}, -1})
		}
	}
	return list
}

func (tr *Trace) loaderSlices() []chromeSlice {
	var list []chromeSlice
	for _, s := range tr.spans {
		if s.end-s.begin >= worthChrome {
			list = append(list, chromeSlice{s.name, "loader", s.begin, s.end, nil, -1})
		}
	}
	return list
}

func (tr *Trace) stepSlices() []chromeSlice {
	critical := map[int]bool{}
	for _, s := range tr.Critical {
		critical[s.ID] = true
	}
	var list []chromeSlice
	for _, s := range tr.all {
		if s.Time < shownInChrome {
			continue
		}
		name := strings.TrimSpace(s.Mode + " " + s.Package)
		args := map[string]any{"state": s.State, "cpu ms": s.CPU, "waited ms": s.Waited, "tools": s.Tools, "critical": critical[s.ID]}
		list = append(list, chromeSlice{name, cmp.Or(s.Phase, "other"), s.Begin, s.Begin + s.Time, args, s.ID})
	}
	return list
}
