package transport

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Memory keeps what was learned about hosts: which way around an obstacle worked, and
// which hosts do not answer at all. Several clients may share one. It is safe for
// concurrent use.
//
// What it knows is a hint and no more: a way that fails is forgotten, and every way is
// tried afresh, as after a change of the network.
type Memory struct {
	mu    sync.Mutex
	hosts map[route]*memo
}

// An AddrSource says who named an address.
type AddrSource string

// The sources of addresses.
const (
	FromSystem AddrSource = "system" // the system's resolver, or Config.Lookup
	FromHosts  AddrSource = "hosts"  // Config.Hosts
	FromDoH    AddrSource = "doh"    // a resolver of Config.DoH
)

// A HostState is what a Memory knows of one host. It is there only for a host that
// needed a way around something, or failed.
type HostState struct {
	Host string `json:"host"`          // name and port, lower case: "proxy.example.com:443"
	Via  string `json:"via,omitempty"` // the proxy between, as name and port; empty for none

	// The way that worked where the usual one did not.
	SmallHello bool       `json:"smallHello,omitempty"` // a TLS ClientHello without the post-quantum key share
	IPv4Only   bool       `json:"ipv4Only,omitempty"`   // IPv6 connected and then stalled
	Addr       netip.Addr `json:"addr,omitzero"`        // the address that worked where others did not
	Source     AddrSource `json:"source,omitempty"`     // who named Addr
	Until      time.Time  `json:"until,omitzero"`       // when the way is forgotten

	HTTP1Until time.Time `json:"http1Until,omitzero"` // HTTP/2 is left alone until then

	// The last connection that could not be made; empty after one that could.
	Op       Op        `json:"op,omitempty"`
	Failure  Failure   `json:"failure,omitempty"`
	FailedAt time.Time `json:"failedAt,omitzero"`
	RetryAt  time.Time `json:"retryAt,omitzero"` // requests fail at once until then; zero for never
}

const (
	wayLife      = 24 * time.Hour
	http1Life    = 10 * time.Minute
	h2Window     = time.Minute // within which h2Errors make a host fall back
	h2Errors     = 3
	h2Row        = 2 // or this many without a good answer between them
	restMin      = 5 * time.Second
	restMax      = time.Minute
	restOver     = 10 * time.Minute // after which a failure no longer makes the next rest longer
	maxHosts     = 1024
	maxSaved     = 4 << 20
	savedVersion = 1
)

// A route is what a memo is about: a host, directly or by a proxy.
type route struct{ host, via string }

func routeTo(host, port string) route {
	return route{host: net.JoinHostPort(canonical(host), port)}
}

// A memo is a HostState with what is of use only while the process lives.
type memo struct {
	HostState
	cause  error // of the failure
	streak int   // timeouts one after the other
	trial  bool  // one connection is being tried although the host failed before
	told   bool  // that HTTP/1.1 works was logged
	h2Bad  []time.Time
	h2Run  int // h2Bad since the last good answer
}

// NewMemory returns an empty Memory.
func NewMemory() *Memory { return &Memory{hosts: map[route]*memo{}} }

// Hosts returns what is known, sorted by Host and Via.
func (m *Memory) Hosts() []HostState {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	var all []HostState
	for r, e := range m.hosts {
		if e.fade(now); e.blank() {
			delete(m.hosts, r)
		} else if e.shown() {
			all = append(all, e.HostState)
		}
	}
	slices.SortFunc(all, func(a, b HostState) int {
		return cmp.Or(strings.Compare(a.Host, b.Host), strings.Compare(a.Via, b.Via))
	})
	return all
}

// saved is the file format of a Memory.
type saved struct {
	Version int               `json:"version"`
	Hosts   []json.RawMessage `json:"hosts"`
}

// Save writes what is known as JSON, for Load.
func (m *Memory) Save(w io.Writer) error {
	out := saved{Version: savedVersion, Hosts: []json.RawMessage{}}
	for _, h := range m.Hosts() {
		data, err := json.Marshal(h)
		if err != nil {
			return fmt.Errorf("host %s: %w", h.Host, err)
		}
		out.Hosts = append(out.Hosts, data)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "\t")
	return enc.Encode(out)
}

// Load adds what Save wrote, except for hosts that are known already. Entries that are
// no good or out of date are passed over; the error says that r could not be read
// or is no such file, and then nothing was added. A host that failed is not left alone
// because of that: the network may be another one by now.
func (m *Memory) Load(r io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(r, maxSaved))
	if err != nil {
		return err
	}
	var in saved
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("memory of hosts: %w", err)
	}
	if in.Version != savedVersion {
		return fmt.Errorf("memory of hosts: version %d is unknown", in.Version)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for _, raw := range in.Hosts {
		var h HostState
		if json.Unmarshal(raw, &h) != nil || !h.valid() {
			continue
		}
		e := &memo{HostState: h}
		e.RetryAt = time.Time{}
		e.fade(now)
		if to := (route{h.Host, h.Via}); !e.blank() && m.hosts[to] == nil && len(m.hosts) < maxHosts {
			m.hosts[to] = e
		}
	}
	return nil
}

// valid reports whether h can be what Hosts returned.
func (h *HostState) valid() bool {
	if !validAuthority(h.Host) || h.Via != "" && !validAuthority(h.Via) {
		return false
	}
	switch h.Source {
	case FromSystem, FromHosts, FromDoH:
		if !h.Addr.IsValid() || h.Addr.IsUnspecified() {
			return false
		}
	case "":
		if h.Addr.IsValid() {
			return false
		}
	default:
		return false
	}
	switch h.Op {
	case OpResolve, OpConnect, OpTLS, OpProxy:
		return slices.Contains(Failures(), h.Failure)
	case "":
		return h.Failure == ""
	}
	return false
}

func validAuthority(s string) bool {
	host, port, err := net.SplitHostPort(s)
	return err == nil && host != "" && port != "" && len(s) <= 300 && strings.ToValidUTF8(s, "") == s && canonical(host) == host
}

// fade takes away what is out of date, or dated so far ahead that a clock was wrong.
func (e *memo) fade(now time.Time) {
	over := func(until time.Time, life time.Duration) bool { return !now.Before(until) || until.Sub(now) > life }
	if over(e.Until, wayLife) {
		e.SmallHello, e.IPv4Only, e.Addr, e.Source, e.Until = false, false, netip.Addr{}, "", time.Time{}
	}
	if over(e.HTTP1Until, http1Life) {
		e.HTTP1Until, e.told = time.Time{}, false
	}
	if over(e.FailedAt.Add(wayLife), wayLife) && !e.trial {
		e.recovered()
	}
	if over(e.RetryAt, restMax) {
		e.RetryAt = time.Time{}
	}
	e.h2Bad = slices.DeleteFunc(e.h2Bad, func(at time.Time) bool { return now.Sub(at) > h2Window })
	if len(e.h2Bad) == 0 {
		e.h2Run = 0
	}
}

// shown reports whether there is something to tell of e.
func (e *memo) shown() bool {
	return e.SmallHello || e.IPv4Only || e.Addr.IsValid() || !e.HTTP1Until.IsZero() || e.Failure != ""
}

func (e *memo) blank() bool { return !e.shown() && len(e.h2Bad) == 0 && !e.trial }

func (e *memo) recovered() {
	e.Op, e.Failure, e.FailedAt, e.RetryAt = "", "", time.Time{}, time.Time{}
	e.cause, e.streak, e.trial = nil, 0, false
}

// entry returns the memo about to, made if it has to be; m.mu is held.
func (m *Memory) entry(to route) *memo {
	e := m.hosts[to]
	if e == nil {
		if len(m.hosts) >= maxHosts {
			m.shrink()
		}
		e = &memo{HostState: HostState{Host: to.host, Via: to.via}}
		m.hosts[to] = e
	}
	e.fade(time.Now())
	return e
}

// shrink forgets what is out of date, and if that is nothing, whatever comes first.
func (m *Memory) shrink() {
	now := time.Now()
	for to, e := range m.hosts {
		if e.fade(now); e.blank() {
			delete(m.hosts, to)
		}
	}
	for to := range m.hosts {
		if len(m.hosts) < maxHosts {
			return
		}
		delete(m.hosts, to)
	}
}

// A way is how a host is reached where the usual way does not do. The zero way is the usual one.
type way struct {
	small  bool
	four   bool
	addr   netip.Addr
	source AddrSource
}

// way returns the one that worked last.
func (m *Memory) way(to route) way {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.hosts[to]
	if e == nil {
		return way{}
	}
	e.fade(time.Now())
	return way{e.SmallHello, e.IPv4Only, e.Addr, e.Source}
}

// reached notes that a connection was made in way w. It reports whether that is news.
func (m *Memory) reached(to route, w way) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.hosts[to]
	if e == nil && w == (way{}) {
		return false
	}
	e = m.entry(to)
	e.recovered()
	if w == (way{e.SmallHello, e.IPv4Only, e.Addr, e.Source}) {
		return false // and grows old: after a day the usual way gets its chance
	}
	e.SmallHello, e.IPv4Only, e.Addr, e.Source, e.Until = w.small, w.four, w.addr, w.source, time.Time{}
	if w != (way{}) {
		e.Until = time.Now().Add(wayLife)
	}
	return w != (way{})
}

// admit returns nil if a connection may be tried, else the failure to return in its
// place. Who was admitted ends with reached, failed or canceled.
func (m *Memory) admit(to route) *Error {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.hosts[to]
	if e == nil || e.streak == 0 {
		return nil
	}
	now := time.Now()
	if !e.trial && !now.Before(e.RetryAt) {
		e.trial = true
		return nil
	}
	host, _, _ := net.SplitHostPort(to.host)
	return &Error{Op: e.Op, Failure: e.Failure, Host: host, Err: e.cause, Ago: max(now.Sub(e.FailedAt), 1), resting: true}
}

// canceled notes that a connection was given up before anything was known of it.
func (m *Memory) canceled(to route) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.hosts[to]; e != nil {
		e.trial = false
	}
}

// failed notes that a connection could not be made in any way. Where that is because
// nothing answers, the host is left alone for a while: whoever asks next would wait as
// long for the same.
func (m *Memory) failed(to route, err *Error, unanswered bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entry(to)
	e.SmallHello, e.IPv4Only, e.Addr, e.Source, e.Until = false, false, netip.Addr{}, "", time.Time{}
	e.trial = false
	now := time.Now()
	if now.Before(e.RetryAt) {
		err.resting = err.resting || unanswered
		return // it was under way when another one failed
	}
	if !unanswered || now.Sub(e.FailedAt) > restOver {
		e.streak = 0
	}
	e.Op, e.Failure, e.FailedAt, e.RetryAt, e.cause = err.Op, err.Failure, now, time.Time{}, err.Err
	if unanswered {
		e.streak++
		e.RetryAt = now.Add(min(restMin<<min(e.streak-1, 10), restMax))
		err.resting = true
	}
}

// http1 reports whether host is to be spoken to without HTTP/2.
func (m *Memory) http1(to route) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.hosts[to]
	return e != nil && time.Now().Before(e.HTTP1Until)
}

// observe learns from an attempt whether HTTP/2 works with its host, and reports
// whether HTTP/1.1 was just found to work where HTTP/2 did not.
func (m *Memory) observe(to route, a Attempt) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.hosts[to]
	switch {
	case a.Failure == H2Protocol:
		e = m.entry(to)
		e.brokenOff(time.Now(), a.Duration)
	case e == nil || a.Failure != "":
	case a.Proto == "HTTP/2.0":
		e.h2Run = 0
	case a.Proto == "HTTP/1.1" && !e.told && time.Now().Before(e.HTTP1Until):
		e.told = true
		return true
	}
	return false
}

// brokenOff counts an HTTP/2 error of an attempt that took d. Attempts that were under way at the
// error before say nothing more than it did: one connection may take many with it.
func (e *memo) brokenOff(now time.Time, d time.Duration) {
	if n := len(e.h2Bad); n > 0 && now.Add(-d).Before(e.h2Bad[n-1]) || now.Before(e.HTTP1Until) {
		return
	}
	e.h2Bad = append(e.h2Bad, now)
	e.h2Run++
	if e.h2Run >= h2Row || len(e.h2Bad) >= h2Errors {
		e.HTTP1Until, e.told = now.Add(http1Life), false
		e.h2Bad, e.h2Run = nil, 0
	}
}
