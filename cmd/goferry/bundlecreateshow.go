package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/bundle"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/prefetch"
	"github.com/goferry/goferry/internal/text"
	"github.com/goferry/goferry/internal/toolchain"
)

// A createShow shows how bundle create goes on.
type createShow struct {
	*display
	state createState
}

// showCreate begins to show. end must be called.
func (a *app) showCreate() *createShow {
	s := &createShow{state: createState{fetch: newFetchState(time.Now())}}
	s.display = a.show(&s.state, s.state.zips)
	return s
}

// event is prefetch's Options.Progress.
func (s *createShow) event(ev prefetch.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.fetch.event(ev, time.Now())
}

// asking says what the go command is asked now.
func (s *createShow) asking(what string) {
	s.set("bundlecreate.asking", what, 0, 0)
}

// counting says how many of something are done.
func (s *createShow) counting(code string, done, total int) {
	s.set(code, fmt.Sprintf("%d/%d", done, total), int64(done), int64(total))
}

// progress is bundle's CreateOptions.Progress.
func (s *createShow) progress(p bundle.Progress) {
	code := "bundlecreate.writing"
	if p.Phase == "hash" {
		code = "bundlecreate.hashing"
	}
	s.set(code, human(p.Done)+"/"+human(p.Total), p.Done, p.Total)
}

func (s *createShow) set(code, what string, done, total int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.code, s.state.what, s.state.done, s.state.whole = code, what, done, total
}

// createState is what is known: first about fetching, then about the step that is under way.
type createState struct {
	fetch fetchState
	code  string // message of the step; empty while fetching
	what  string
	done  int64
	whole int64
}

// status says which step it is, and how far that is.
func (s *createState) status(p *text.Printer, now time.Time) string {
	if s.code == "" {
		return s.fetch.status(p, now)
	}
	return p.T(s.code, "What", s.what)
}

// total is status with a bar where the end is known.
func (s *createState) total(p *text.Printer, width int, now time.Time) string {
	if s.code == "" {
		return s.fetch.total(p, width, now)
	}
	line := s.status(p, now)
	if s.whole > 0 {
		line = withBar(line, float64(s.done)/float64(s.whole), width, 40)
	}
	return clip(line, width-1)
}

// zips are lines for large zips on their way.
func (s *createState) zips(width int) []string {
	if s.code != "" {
		return nil
	}
	return s.fetch.zips(width)
}

// createReport is what `bundle create --json` prints.
type createReport struct {
	File     string        `json:"file"`  // as it was named
	Files    []string      `json:"files"` // the bundle, or its parts and their sums; none where there is no bundle
	Bytes    int64         `json:"bytes"`
	Reused   int64         `json:"reused_bytes"` // that an earlier run had written
	ID       string        `json:"id,omitempty"`
	Time     time.Time     `json:"time,omitzero"`
	Level    bundle.Level  `json:"level"`
	Targets  []string      `json:"targets"`
	Modules  int           `json:"modules"` // module versions
	Zips     int           `json:"zips"`    // of these, with their zip
	ZipBytes int64         `json:"zip_bytes"`
	SDKs     []string      `json:"sdks"`
	Tools    []string      `json:"tools"`
	Private  int           `json:"private"` // module versions that the checksum database does not know
	Vuln     bool          `json:"vuln"`    // govulncheck's database is in it
	CC       []bundledCC   `json:"cc"`      // C compilers that are in it
	Base     *bundle.Base  `json:"base,omitempty"`
	SignedBy string        `json:"signed_by,omitempty"`
	Notes    []string      `json:"notes"` // what the go command has against the projects
	Missing  []missingFile `json:"missing"`
}

// report counts what went in.
func (c *creation) report() createReport {
	m := c.made.Manifest
	r := createReport{
		File: c.job.file, Files: append([]string{}, c.made.Files...), Bytes: c.made.Bytes, Reused: c.made.Reused, ID: m.ID, Time: m.Time,
		Level: c.job.level, Targets: append([]string{}, m.Targets...), Base: m.Base, SDKs: []string{}, Tools: []string{}, CC: []bundledCC{}, Notes: append([]string{}, c.rec.notes...), Missing: []missingFile{},
	}
	if m.ID != "" {
		r.CC = ccOf(c.cc.packs, m)
	}
	if k := c.job.options.Sign; k != nil {
		r.SignedBy = k.ID()
	}
	for _, e := range m.Entries {
		r.Vuln = r.Vuln || strings.HasPrefix(e.Name, bundle.VulnFolder)
		req, err := goproxy.ParseRequest(e.Name)
		if err != nil || req.Kind != goproxy.Zip {
			continue
		}
		r.ZipBytes += e.Size
		if t, err := toolchain.ParseModuleVersion(req.Version); err == nil && req.Path == toolchain.ModulePath {
			r.SDKs = append(r.SDKs, t.String())
			continue
		}
		r.Zips++
	}
	for _, m := range m.Modules {
		if m.Path == toolchain.ModulePath {
			continue
		}
		r.Modules++
		if !m.Recorded {
			r.Private++
		}
	}
	for _, t := range m.Tools {
		r.Tools = append(r.Tools, t.String())
	}
	for _, m := range c.missing {
		r.Missing = append(r.Missing, missingFile{
			Module: m.Request.Path, Version: m.Request.Version, File: m.Request.Kind.String(),
			Reason: strings.TrimPrefix(reasonCode(m.Err), "reason."), Error: errLine(m.Err),
		})
	}
	return r
}

// created says what was made, or what is missing for it.
func (a *app) created(cmd *cobra.Command, c *creation, err error) error {
	if err != nil && !errors.Is(err, errMissing) {
		return err
	}
	r := c.report()
	if asJSON(cmd) {
		if jerr := a.json(r); jerr != nil {
			return jerr
		}
	} else if serr := a.sayCreated(c, r, err); serr != nil {
		return serr
	}
	switch {
	case err != nil:
		return a.missingFault(c)
	case len(c.missing) > 0:
		a.exit = 3
	}
	return nil
}

// missingFault is the error of a bundle that was not made: that of the first file that is missing, the gravest first.
func (a *app) missingFault(c *creation) error {
	first := c.missing[0]
	for _, m := range c.missing {
		if goproxy.ExitCode(m.Err) > goproxy.ExitCode(first.Err) {
			first = m
		}
	}
	hint := "bundlecreate.hint.missing"
	if errors.Is(first.Err, goproxy.ErrUnavailable) {
		hint = "bundlecreate.hint.again"
	}
	return &fault{
		code: "bundlecreate.error.missing", args: []any{"Count", len(c.missing), "File", first.Request.String(), "Reason", a.reason(first.Err)},
		hint: hint, exit: goproxy.ExitCode(first.Err), err: first.Err,
	}
}

// sayCreated tells people.
func (a *app) sayCreated(c *creation, r createReport, failed error) error {
	for _, m := range c.missing[:min(len(c.missing), maxMissing)] {
		p := prefetch.Missing{Request: m.Request, Err: m.Err}
		fmt.Fprintln(a.stdout, a.p.T("fetch.missing", "File", m.Request.String(), "Reason", a.reason(m.Err), "Err", why(p)))
	}
	if more := len(c.missing) - maxMissing; more > 0 {
		fmt.Fprintln(a.stdout, a.p.T("fetch.missing-more", "Count", more))
	}
	if failed != nil {
		return nil // what the go command says is what it makes of the missing file
	}
	for _, n := range r.Notes {
		a.say(a.p.T("bundlecreate.note", "Note", n))
	}
	out := func(code string, args ...any) { fmt.Fprintln(a.stdout, a.p.T(code, args...)) }
	for _, name := range r.Files {
		out("bundlecreate.file", "File", name)
	}
	out("bundlecreate.size", "Bytes", human(r.Bytes), "Level", r.Level, "Targets", strings.Join(r.Targets, ", "))
	out("bundlecreate.modules", "Count", r.Modules, "Zips", r.Zips, "Bytes", human(r.ZipBytes))
	if len(r.SDKs) > 0 {
		out("bundlecreate.sdks", "List", strings.Join(r.SDKs, ", "))
	}
	if len(r.Tools) > 0 {
		out("bundlecreate.tools", "List", strings.Join(r.Tools, ", "))
	}
	if r.Private > 0 {
		out("bundlecreate.private", "Count", r.Private)
	}
	if r.Vuln {
		out("bundlecreate.vuln")
	}
	for _, cc := range r.CC {
		out("bundlecreate.cc", "Target", cc.Target, "Host", cc.Host, "Release", cc.Release, "Bytes", human(cc.Bytes), "InBase", cc.InBase, "Count", cc.Packages)
	}
	if r.Base != nil {
		out("bundlecreate.base", "ID", r.Base.ID[:min(12, len(r.Base.ID))], "File", c.job.since)
	}
	if r.SignedBy != "" {
		out("bundlecreate.signed", "Key", r.SignedBy)
	}
	if r.Reused > 0 {
		out("bundlecreate.reused", "Bytes", human(r.Reused))
	}
	if len(c.missing) > 0 {
		a.say(a.p.T("fetch.incomplete", "Count", len(c.missing)))
	}
	out("bundlecreate.next", "File", c.job.file)
	return nil
}
