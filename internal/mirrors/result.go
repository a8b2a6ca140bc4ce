package mirrors

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/transport"
)

// A Verdict sums a probe up.
type Verdict string

// The verdicts. Their values are stable: JSON carries them.
const (
	Good        Verdict = "good"        // the files are right, and all else that was asked for is there
	Partial     Verdict = "partial"     // the files are right, something else is missing; see the notes
	Unverified  Verdict = "unverified"  // the files come, but could not be checked
	Lacking     Verdict = "lacking"     // it says that it does not have the module of the probe
	Forbidden   Verdict = "forbidden"   // it, or a gateway before it, does not let us ask
	Failing     Verdict = "failing"     // it can be reached, but the files do not come
	Unreachable Verdict = "unreachable" // no connection, or none that can be trusted
	Forged      Verdict = "forged"      // it serves bytes that the checksum database refuses
)

// Verdicts lists all verdicts, best first.
func Verdicts() []Verdict {
	return []Verdict{Good, Partial, Unverified, Lacking, Forbidden, Failing, Unreachable, Forged}
}

// Usable reports whether a build can be done with such a mirror.
func (v Verdict) Usable() bool { return v == Good || v == Partial || v == Unverified }

// A State is the answer to a question about a mirror.
type State string

// The states.
const (
	Yes     State = "yes"
	No      State = "no"      // it says so itself, or its answer shows it
	Unknown State = "unknown" // it was asked, and nothing can be concluded
	Skipped State = "skipped" // it was not asked
)

// An Ask is one question of a probe.
type Ask string

// The questions, in the order in which they are put. Those from AskChecked on are put together.
const (
	AskInfo          Ask = "info"           // the .info of the module version
	AskMod           Ask = "mod"            // its .mod
	AskZip           Ask = "zip"            // its zip, whole
	AskChecked       Ask = "checked"        // whether the checksum database knows both by these hashes
	AskList          Ask = "list"           // the list of its versions, fresh
	AskLatest        Ask = "latest"         // @latest
	AskSumdb         Ask = "sumdb"          // whether it carries the checksum database
	AskRanges        Ask = "ranges"         // whether a part of the zip can be had
	AskToolchainList Ask = "toolchain_list" // the list of Go toolchains
	AskToolchain     Ask = "toolchain"      // the .info and .mod of one of them
)

// Asks lists all questions.
func Asks() []Ask {
	return []Ask{AskInfo, AskMod, AskZip, AskChecked, AskList, AskLatest, AskSumdb, AskRanges, AskToolchainList, AskToolchain}
}

// A Reason says why a question was not answered with yes: a transport.Failure,
// or one of those below.
type Reason string

// The reasons beside transport.Failures. Their values are stable.
const (
	Status    Reason = "status"      // the answer has another status than 200 or, for a part, 206
	WebPage   Reason = "web-page"    // a page for people, as captive portals and gateways send it
	Malformed Reason = "malformed"   // status 200, but not what the protocol wants there
	TooLarge  Reason = "too-large"   // more than is read for a probe
	Mismatch  Reason = "mismatch"    // other bytes than the checksum database recorded, or no module file
	NoRecord  Reason = "no-record"   // the checksum database has no record of the module version
	Unchecked Reason = "unchecked"   // the checksum database could not be asked, or is off for the module
	Behind    Reason = "behind"      // another mirror lists a newer version
	NoRange   Reason = "no-range"    // the whole file came instead of a part
	WrongPart Reason = "wrong-part"  // another part of the file than was asked for
	OutOfTime Reason = "out-of-time" // the time for this mirror was over
)

// Reasons lists every Reason there is.
func Reasons() []Reason {
	list := []Reason{Status, WebPage, Malformed, TooLarge, Mismatch, NoRecord, Unchecked, Behind, NoRange, WrongPart, OutOfTime}
	for _, f := range transport.Failures() {
		list = append(list, Reason(f))
	}
	return list
}

// A Step is the answer to one question. The zero State does not occur in a Result.
type Step struct {
	State  State        `json:"state"`
	Reason Reason       `json:"reason,omitempty"` // why not yes
	Op     transport.Op `json:"op,omitempty"`     // where a request failed, if it did
	Status int          `json:"status,omitempty"` // of the answer; 0 if there was none
	Detail string       `json:"detail,omitempty"` // for people, in English, without credentials
	Took   Millis       `json:"took_ms,omitempty"`
}

// Millis is a duration that JSON shows as a number of milliseconds.
type Millis time.Duration

// MarshalJSON rounds to tenths.
func (m Millis) MarshalJSON() ([]byte, error) {
	return json.Marshal(math.Round(float64(m)/float64(time.Millisecond)*10) / 10)
}

// A Link says how the first connection to a mirror came about.
type Link struct {
	Address   string `json:"address,omitempty"`    // IP address and port; those of the HTTP proxy where there is one
	Resolve   Millis `json:"resolve_ms,omitempty"` // look-up of the name; 0 for none
	Connect   Millis `json:"connect_ms,omitempty"`
	Handshake Millis `json:"tls_ms,omitempty"`
	HTTP      string `json:"http,omitempty"`   // "HTTP/1.1", "HTTP/2.0"
	TLS       string `json:"tls,omitempty"`    // "TLS 1.3"; empty for plain HTTP
	Issuer    string `json:"issuer,omitempty"` // of the certificate, also of one that is not trusted
}

// List is what a mirror lists of the module.
type List struct {
	Versions int    `json:"versions"`          // pseudo-versions not counted
	Highest  string `json:"highest,omitempty"` // the highest release, else the highest version
	Best     string `json:"best,omitempty"`    // the highest that any usable mirror of the probe lists, or the one asked for
	Pseudo   int    `json:"pseudo"`            // pseudo-versions, which do not belong there
	Garbage  int    `json:"garbage"`           // lines that are no version of the module, or repeat one
}

// A NoteCode names something worth saying about a mirror.
type NoteCode string

// The notes.
const (
	NoteFailed          NoteCode = "failed"            // Ask is why the verdict is no better
	NoteUnsure          NoteCode = "unsure"            // Ask could not be answered
	NoteIssuer          NoteCode = "issuer"            // Value issued the certificate that is not trusted
	NoteRedirect        NoteCode = "redirect"          // files are fetched from the host Value
	NoteBehind          NoteCode = "behind"            // Value is the highest version it lists, and there are higher
	NoteEmpty           NoteCode = "empty"             // it lists no version at all
	NotePseudo          NoteCode = "pseudo"            // Value pseudo-versions in the list
	NoteGarbage         NoteCode = "garbage"           // Value bad lines in the list
	NoteNoToolchainList NoteCode = "no-toolchain-list" // toolchains are there, their list is not
)

// NoteCodes lists all notes.
func NoteCodes() []NoteCode {
	return []NoteCode{NoteFailed, NoteUnsure, NoteIssuer, NoteRedirect, NoteBehind, NoteEmpty, NotePseudo, NoteGarbage, NoteNoToolchainList}
}

// A Note is something worth saying about a mirror, beside the states of its steps.
type Note struct {
	Code  NoteCode `json:"code"`
	Ask   Ask      `json:"ask,omitempty"`
	Value string   `json:"value,omitempty"`
}

// A Result is what a probe found out about one mirror.
type Result struct {
	Rank     int               `json:"rank"` // 1 for the best; 0 if it is not usable
	Name     string            `json:"name"`
	URL      string            `json:"url"` // without credentials
	Operator map[string]string `json:"operator,omitempty"`
	InUse    bool              `json:"in_use"`
	Verdict  Verdict           `json:"verdict"`
	Link     Link              `json:"link"`
	Latency  Millis            `json:"latency_ms"`       // median of small answers over a connection that stands; 0 if there were none
	Speed    int64             `json:"bytes_per_second"` // of the zip, waiting for its first byte included; 0 if none came
	Module   Millis            `json:"module_ms"`        // estimate for one average module; 0 if it is not usable
	List     *List             `json:"list,omitempty"`
	Redirect []string          `json:"redirects,omitempty"` // other hosts that answered, sorted
	Steps    map[Ask]Step      `json:"steps"`               // all of Asks
	Notes    []Note            `json:"notes"`
}

// Toolchains is the answer to both questions about toolchains: whether a build can have one.
func (r *Result) Toolchains() State { return r.Steps[AskToolchain].State }

// judge fills verdict, estimate and notes in, once all steps are done.
func (r *Result) judge() {
	failed := r.verdict()
	if r.Verdict.Usable() {
		r.Module = estimate(time.Duration(r.Latency), r.Speed)
	}
	r.Notes = []Note{}
	add := func(code NoteCode, ask Ask, value string) { r.Notes = append(r.Notes, Note{code, ask, value}) }
	if failed != "" {
		add(NoteFailed, failed, "")
	}
	if s := r.Steps[AskInfo]; s.Reason == Reason(transport.UnknownAuthority) && r.Link.Issuer != "" {
		add(NoteIssuer, "", r.Link.Issuer)
	}
	if len(r.Redirect) > 0 {
		add(NoteRedirect, "", strings.Join(r.Redirect, ", "))
	}
	r.listNotes(add)
	if r.Toolchains() == Yes && r.Steps[AskToolchainList].State == No {
		add(NoteNoToolchainList, "", "")
	}
	if !r.Verdict.Usable() {
		return // what else does not work is no news
	}
	for _, ask := range []Ask{AskList, AskLatest, AskSumdb, AskRanges, AskToolchain} {
		if r.Steps[ask].State == Unknown {
			add(NoteUnsure, ask, "")
		}
	}
}

func (r *Result) listNotes(add func(NoteCode, Ask, string)) {
	if r.List == nil {
		return
	}
	switch {
	case r.Steps[AskList].Reason != Behind:
	case r.List.Highest == "":
		add(NoteEmpty, "", "")
	default:
		add(NoteBehind, "", r.List.Highest)
	}
	if n := r.List.Pseudo; n > 0 {
		add(NotePseudo, "", strconv.Itoa(n))
	}
	if n := r.List.Garbage; n > 0 {
		add(NoteGarbage, "", strconv.Itoa(n))
	}
}

// verdict sets the verdict, and returns the step that made it so bad; "" if it is usable and verified.
func (r *Result) verdict() (failed Ask) {
	if r.Steps[AskChecked].Reason == Mismatch {
		r.Verdict = Forged
		return AskChecked
	}
	for _, ask := range []Ask{AskInfo, AskMod, AskZip} {
		if s := r.Steps[ask]; s.State != Yes {
			r.Verdict = s.verdict()
			return ask
		}
	}
	if r.Steps[AskChecked].State != Yes {
		r.Verdict = Unverified
		return AskChecked
	}
	r.Verdict = Good
	for _, s := range r.Steps {
		if s.State != Yes {
			r.Verdict = Partial
		}
	}
	return ""
}

// verdict is that of a mirror whose file is not to be had.
func (s Step) verdict() Verdict {
	switch {
	case s.State == No && s.Reason == Status:
		return Lacking
	case s.Status == 401 || s.Status == 403 || s.Status == 451:
		return Forbidden
	}
	switch s.Op {
	case transport.OpResolve, transport.OpConnect, transport.OpProxy, transport.OpTLS:
		return Unreachable
	}
	return Failing
}

// An average module of a build, as in one of 173 modules with 160 MB: its zip, and a .mod or
// .info for it and for one more that its graph is loaded from.
const (
	mixSmall = 3
	mixZip   = 925_000 // bytes
)

func estimate(latency time.Duration, speed int64) Millis {
	if speed <= 0 {
		return 0
	}
	return Millis(mixSmall*latency) + Millis(float64(mixZip)/float64(speed)*float64(time.Second))
}

// Rank sorts results, best first, and numbers the usable ones: verified before
// unverified, each by the estimated time for an average module. Behind them stand those that
// are not usable, in the order of Verdicts; a mirror that serves forged bytes is the last.
func Rank(results []Result) {
	class := func(r Result) int {
		if r.Verdict.Usable() && r.Verdict != Unverified {
			return 0
		}
		return 1 + slices.Index(Verdicts(), r.Verdict)
	}
	slices.SortStableFunc(results, func(a, b Result) int {
		if d := class(a) - class(b); d != 0 {
			return d
		}
		switch {
		case a.Module < b.Module:
			return -1
		case a.Module > b.Module:
			return 1
		}
		return 0
	})
	for i := range results {
		results[i].Rank = 0
		if results[i].Verdict.Usable() {
			results[i].Rank = i + 1
		}
	}
}
