package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/prefetch"
	"github.com/goferry/goferry/internal/text"
	"github.com/goferry/goferry/internal/transport"
)

// mirrorPart is what a server knows of one mirror of a set.
type mirrorPart struct {
	Name     string    `json:"name"`                      // URL, without credentials
	Latency  int64     `json:"latency_ms"`                // 0: it never answered
	Speed    int64     `json:"bytes_per_second"`          // 0: unknown
	Requests int64     `json:"requests"`                  // since the start
	Failures int64     `json:"failures"`                  // of these
	Refused  int64     `json:"refused"`                   // files since the start that were not what the checksum database recorded
	OutUntil time.Time `json:"left_alone_until,omitzero"` // zero: it is asked
	Why      string    `json:"left_alone_why,omitempty"`
}

func mirrorParts(states []goproxy.MirrorState) []mirrorPart {
	now := time.Now()
	parts := []mirrorPart{}
	for _, s := range states {
		p := mirrorPart{Name: s.Name, Speed: s.Throughput, Requests: s.Requests, Failures: s.Failures, Refused: s.Refused}
		if s.Latency > 0 {
			p.Latency = max(1, s.Latency.Round(time.Millisecond).Milliseconds())
		}
		if now.Before(s.OutUntil) {
			p.OutUntil, p.Why = s.OutUntil.UTC(), oneLine(s.Why, 200)
		}
		parts = append(parts, p)
	}
	return parts
}

// hostPart is a host that needed a way around something, or does not answer.
type hostPart struct {
	Host       string    `json:"host"`                   // name and port
	Via        string    `json:"via,omitempty"`          // the proxy between
	SmallHello bool      `json:"small_hello,omitempty"`  // TLS works without the post-quantum key share
	IPv4Only   bool      `json:"ipv4_only,omitempty"`    // IPv6 stalls
	Addr       string    `json:"address,omitempty"`      // the one that works
	Source     string    `json:"address_from,omitempty"` // who named it: system, hosts, doh
	HTTP1Until time.Time `json:"http1_until,omitzero"`   // HTTP/2 fails, and is left alone until then
	Op         string    `json:"op,omitempty"`           // where the last connection failed
	Failure    string    `json:"failure,omitempty"`      // why
	FailedAt   time.Time `json:"failed_at,omitzero"`
	RetryAt    time.Time `json:"retry_at,omitzero"` // nobody is made to wait for it until then
}

func hostParts(hosts []transport.HostState) []hostPart {
	parts := []hostPart{}
	for _, h := range hosts {
		p := hostPart{
			Host: h.Host, Via: h.Via, SmallHello: h.SmallHello, IPv4Only: h.IPv4Only, Source: string(h.Source),
			HTTP1Until: h.HTTP1Until.UTC(), Op: string(h.Op), Failure: string(h.Failure), FailedAt: h.FailedAt.UTC(), RetryAt: h.RetryAt.UTC(),
		}
		if h.Addr.IsValid() {
			p.Addr = h.Addr.String()
		}
		parts = append(parts, p)
	}
	return parts
}

// prefetchPart is what asking ahead of clients brought since the start.
type prefetchPart struct {
	Fetched     int64 `json:"fetched_bytes"`
	Used        int64 `json:"used_bytes"`        // of these, asked for by then
	Wasted      int64 `json:"wasted_bytes"`      // of these, not asked for in time
	Outstanding int64 `json:"outstanding_bytes"` // of these, neither yet
	Files       int64 `json:"fetched_files"`
	UsedFiles   int64 `json:"used_files"`
	WastedFiles int64 `json:"wasted_files"`
	Failed      int64 `json:"failed_files"` // could not be fetched ahead
	Clients     int64 `json:"clients"`      // that are remembered now
}

func prefetchPartOf(s prefetch.Stats) prefetchPart {
	return prefetchPart{
		Fetched: s.Fetched, Used: s.Used, Wasted: s.Wasted, Outstanding: s.Outstanding,
		Files: s.Files, UsedFiles: s.UsedFiles, WastedFiles: s.WastedFiles, Failed: s.Failed, Clients: s.Clients,
	}
}

// watchPart is how far watching is.
type watchPart struct {
	Running  bool      `json:"running"`  // a round is under way
	Due      int       `json:"due"`      // modules of this round, or the last
	Done     int       `json:"done"`     // of these, looked at
	Failing  int       `json:"failing"`  // modules that could not be looked at when they were last tried
	Versions int64     `json:"versions"` // new ones fetched since the start
	Bytes    int64     `json:"bytes"`    // fetched since the start
	LastRun  time.Time `json:"last_run,omitzero"`
	NextRun  time.Time `json:"next_run,omitzero"`
}

func watchPartOf(p prefetch.Progress) watchPart {
	return watchPart{
		Running: p.Running, Due: p.Due, Done: p.Done, Failing: p.Failing, Versions: p.Versions, Bytes: p.Bytes,
		LastRun: p.LastRun.UTC(), NextRun: p.NextRun.UTC(),
	}
}

// moment is a moment as people read it.
func moment(t time.Time) string { return t.Local().Format("01-02 15:04:05") }

// join makes one line of parts.
func (a *app) join(parts []string) string {
	if len(parts) == 0 {
		return ""
	}
	line := parts[0]
	for _, part := range parts[1:] {
		line = a.p.T("exec.join", "Left", line, "Right", part)
	}
	return line
}

// named puts names in front of lines, one below the other.
func named(names, lines []string) []string {
	const widest = 44 // a longer name pushes its own line alone
	wide := 0
	for _, n := range names {
		if w := text.Columns(n); w <= widest {
			wide = max(wide, w)
		}
	}
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = n + strings.Repeat(" ", max(0, wide-text.Columns(n))) + "  " + lines[i]
	}
	return out
}

func (a *app) mirrorLines(mirrors []mirrorPart) []string {
	var names, lines []string
	for _, m := range mirrors {
		var parts []string
		if m.Latency > 0 {
			parts = append(parts, fmt.Sprintf("%d ms", m.Latency))
		}
		if m.Speed > 0 {
			parts = append(parts, human(m.Speed)+"/s")
		}
		if m.Requests == 0 {
			parts = append(parts, a.p.T("status.mirror-unasked"))
		} else {
			parts = append(parts, a.p.T("status.mirror-requests", "Count", m.Requests))
		}
		if m.Failures > 0 {
			parts = append(parts, a.p.T("status.mirror-failed", "Count", m.Failures))
		}
		switch {
		case m.Refused > 0 && !m.OutUntil.IsZero(): // for as long as the server runs; the time is for the next one
			parts = append(parts, a.p.T("status.mirror-refused", "Count", m.Refused), a.p.T("status.mirror-out"))
		case m.Refused > 0:
			parts = append(parts, a.p.T("status.mirror-refused", "Count", m.Refused))
		}
		names, lines = append(names, m.Name), append(lines, a.join(parts))
	}
	lines = named(names, lines)
	var all []string
	for i, m := range mirrors {
		if all = append(all, lines[i]); m.Refused == 0 && !m.OutUntil.IsZero() {
			why := strings.TrimPrefix(m.Why, goproxy.ErrUnavailable.Error()+": ")
			all = append(all, "  "+a.p.T("status.mirror-rests", "Time", moment(m.OutUntil), "Why", oneLine(why, 100)))
		}
	}
	return all
}

func (a *app) hostLines(hosts []hostPart) []string {
	var names, lines []string
	for _, h := range hosts {
		var parts []string
		if h.SmallHello {
			parts = append(parts, a.p.T("status.host-small-hello"))
		}
		if h.IPv4Only {
			parts = append(parts, a.p.T("status.host-ipv4"))
		}
		switch {
		case h.Addr != "" && h.Source == string(transport.FromDoH):
			parts = append(parts, a.p.T("status.host-addr-doh", "Addr", h.Addr))
		case h.Addr != "":
			parts = append(parts, a.p.T("status.host-addr", "Addr", h.Addr))
		}
		if !h.HTTP1Until.IsZero() {
			parts = append(parts, a.p.T("status.host-http1"))
		}
		if h.Failure != "" {
			why := cmp.Or(strings.TrimSpace(h.Op+" "+h.Failure), h.Failure)
			parts = append(parts, a.p.T("status.host-failed", "Why", why, "Time", moment(h.FailedAt)))
		}
		name := h.Host
		if h.Via != "" {
			name = a.p.T("status.host-via", "Host", h.Host, "Via", h.Via)
		}
		names, lines = append(names, name), append(lines, a.join(parts))
	}
	return named(names, lines)
}

func (a *app) prefetchLines(p prefetchPart) []string {
	if p.Files == 0 && p.Failed == 0 {
		return []string{a.p.T("status.prefetch-none")}
	}
	parts := []string{
		a.p.T("status.prefetch-fetched", "Count", p.Files, "Bytes", human(p.Fetched)),
		a.p.T("status.prefetch-used", "Bytes", human(p.Used)),
	}
	if p.Wasted > 0 {
		parts = append(parts, a.p.T("status.prefetch-wasted", "Bytes", human(p.Wasted)))
	}
	if p.Outstanding > 0 {
		parts = append(parts, a.p.T("status.prefetch-outstanding", "Bytes", human(p.Outstanding)))
	}
	if p.Failed > 0 {
		parts = append(parts, a.p.T("status.prefetch-failed", "Count", p.Failed))
	}
	return []string{a.join(parts)}
}

func (a *app) watchLines(w watchPart) []string {
	var parts []string
	switch {
	case w.Running:
		parts = append(parts, a.p.T("status.watch-running", "Count", w.Due, "Done", w.Done))
	case w.Done < w.Due:
		parts = append(parts, a.p.T("status.watch-paused", "Count", w.Due, "Done", w.Done, "Next", moment(w.NextRun)))
	case w.LastRun.IsZero():
		parts = append(parts, a.p.T("status.watch-first", "Next", moment(w.NextRun)))
	default:
		parts = append(parts, a.p.T("status.watch-done", "Count", w.Due, "Next", moment(w.NextRun)))
	}
	if w.Failing > 0 {
		parts = append(parts, a.p.T("status.watch-failing", "Count", w.Failing))
	}
	return []string{a.join(parts), a.p.T("status.watch-versions", "Count", w.Versions, "Bytes", human(w.Bytes))}
}
