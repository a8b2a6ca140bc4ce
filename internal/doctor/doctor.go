// Package doctor checks the network and the Go set-up and returns findings with
// fixes; it prints nothing and changes nothing.
//
// What it says is codes, for texts in two languages. It judges the way that the go command
// would take and no other, and what could not be measured is never taken for good.
package doctor

import (
	"context"

	"github.com/goferry/goferry/internal/transport"
)

// A Group is a line of the report: what people think of as one thing.
type Group string

// The groups, in the order of the report: what comes first can be the cause of what follows.
const (
	Settings Group = "settings" // of the go command
	Network  Group = "network"  // the way to each host
	Proxies  Group = "proxies"  // HTTP_PROXY and its kin
	Mirrors  Group = "mirrors"  // what the upstreams serve
	SumDB    Group = "sumdb"    // the checksum database
	ModCache Group = "modcache" // the module cache and the disk
	SDK      Group = "sdk"      // the Go in use
	CC       Group = "cc"       // the C compiler
)

// Groups lists the groups in their order.
func Groups() []Group {
	return []Group{Settings, Network, Proxies, Mirrors, SumDB, ModCache, SDK, CC}
}

// A Check looks at one thing.
type Check struct {
	ID    string // what the user calls it: "goproxy", "network"
	Group Group
	// Run looks, within the deadline of ctx. It returns what it knows when ctx ends.
	Run func(ctx context.Context, x *Exam) Outcome
}

// An Outcome is what came of a check. One without findings is healthy only if it was not
// kept from looking.
type Outcome struct {
	Findings []Finding
	Facts    []Fact // what was measured and is worth telling where nothing is wrong
	NotRun   Reason // why it could not look; empty if it did
	Detail   string // to NotRun: the error, one line
}

// A Reason says why something was not measured.
type Reason string

// The reasons.
const (
	NotNeeded   Reason = "not-needed"   // the go command would not take that way
	NoTool      Reason = "no-tool"      // a program is not there
	NoRights    Reason = "no-rights"    // this user may not
	OutOfTime   Reason = "out-of-time"  // the deadline of the check was over
	NoNetwork   Reason = "no-network"   // another check found that nothing can be reached
	NotHere     Reason = "not-here"     // this system has no such thing
	NotReadable Reason = "not-readable" // a file, an answer
	Broken      Reason = "broken"       // the check itself failed: a fault of goferry
)

// Reasons lists the reasons.
func Reasons() []Reason {
	return []Reason{NotNeeded, NoTool, NoRights, OutOfTime, NoNetwork, NotHere, NotReadable, Broken}
}

// An Answer has three values: what was not measured is neither yes nor no.
type Answer string

// The answers.
const (
	Yes        Answer = "yes"
	No         Answer = "no"
	Unmeasured Answer = "not-measured"
)

// A Fact is something that was measured, or could not be.
type Fact struct {
	Name   string `json:"name"` // "connects", "small-hello-answered": of a closed list, see FactNames
	Answer Answer `json:"answer"`
	Value  string `json:"value,omitempty"`  // an address, a number with its unit, an issuer
	Reason Reason `json:"reason,omitempty"` // for Unmeasured
}

// A Severity says how bad a finding is.
type Severity string

// The severities.
const (
	Fault   Severity = "fault"   // something fails now, or would the next time
	Warning Severity = "warning" // it works, and will not always, or is slow or unsafe
	Note    Severity = "note"    // worth knowing; not counted
)

// A Finding is something that is wrong, or strange.
type Finding struct {
	Code     string            `json:"code"` // of a closed list, see Codes
	Severity Severity          `json:"severity"`
	Subject  string            `json:"subject,omitempty"` // the host, variable, file or program it is about
	Op       transport.Op      `json:"op,omitempty"`      // the step that fails, for those about the network
	Args     map[string]string `json:"args,omitempty"`    // for the text, by placeholder: {"Value": "goproxy.cn"}
	Facts    []Fact            `json:"facts,omitempty"`   // the evidence
	Fixes    []Fix             `json:"fixes,omitempty"`   // the best first
}

// A FixKind says what a fix changes, and with it who can apply it.
type FixKind string

// The kinds.
const (
	SetGoEnv   FixKind = "go-env"  // go env -w KEY=VALUE, or go env -u KEY where Value is empty
	SetEnv     FixKind = "env"     // a variable of the user's shell; nobody but the user can change that
	RunCommand FixKind = "command" // Command, as it stands
	EditFile   FixKind = "file"    // Old becomes New in File
	ByHand     FixKind = "manual"  // words alone
)

// A Fix is one line that mends a finding. Its Code has a text with Args; what is to be done
// is in the fields, so that it can be shown exactly, and applied.
type Fix struct {
	Code    string            `json:"code"` // of a closed list, see FixCodes
	Kind    FixKind           `json:"kind"`
	Args    map[string]string `json:"args,omitempty"`
	Key     string            `json:"key,omitempty"`   // SetGoEnv, SetEnv
	Value   string            `json:"value,omitempty"` // empty takes the variable away
	Command []string          `json:"command,omitempty"`
	Root    bool              `json:"root,omitempty"` // Command takes the rights of the administrator
	File    string            `json:"file,omitempty"`
	Old     string            `json:"old,omitempty"`
	New     string            `json:"new,omitempty"`

	// Exact is the fix with the secrets that were taken out of this one to show it, for who applies it;
	// nil where none were.
	Exact *Fix `json:"-"`
}
