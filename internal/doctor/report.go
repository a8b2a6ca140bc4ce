package doctor

import "time"

// SchemaVersion is that of the JSON of a Report. It changes when a field changes its
// meaning or goes; new fields and new codes do not change it.
const SchemaVersion = 1

// A State is what a check or a group comes to.
type State string

// The states, from good to bad.
const (
	Healthy State = "healthy"
	NotSure State = "not-measured" // could not look
	Warned  State = "warning"
	Faulty  State = "fault"
)

// A Result is an Outcome with its check.
type Result struct {
	Check    string        `json:"check"`
	Group    Group         `json:"group"`
	State    State         `json:"state"`
	Took     time.Duration `json:"took_ns"`
	Facts    []Fact        `json:"facts,omitempty"`
	Reason   Reason        `json:"reason,omitempty"` // for NotSure
	Detail   string        `json:"detail,omitempty"`
	Causes   []int         `json:"causes,omitempty"` // of Report.Causes, from 0: those that its findings are, or follow from
	Findings []Finding     `json:"-"`                // they are in Report.Causes, each once
}

// A Cause is a finding with what merely follows from it.
type Cause struct {
	Finding
	Check   string    `json:"check"`
	Follows []Finding `json:"follows,omitempty"`
}

// A Report is what an examination found. Text and JSON are both made of it, and of nothing else.
type Report struct {
	SchemaVersion int           `json:"schema_version"`
	Healthy       bool          `json:"healthy"`  // no fault and no warning
	Complete      bool          `json:"complete"` // no check was kept from looking at what counts
	Took          time.Duration `json:"took_ns"`
	Causes        []Cause       `json:"causes"`  // the most likely root cause first
	Results       []Result      `json:"results"` // in the order of the groups

	// Trace says whether the kernel was asked for its view of connections, and why not, where that was wanted; see Exam.Trace.
	Trace *Fact `json:"trace,omitempty"`

	// Messages are those that were recognised in the output of a build, where one was given; see Explain.
	Messages []Recognized `json:"messages,omitempty"`
}
