package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/server"
	"github.com/goferry/goferry/internal/store"
	"github.com/goferry/goferry/internal/text"
)

func (a *app) statusCmd() *cobra.Command {
	cmd := a.command("status", "status", a.noArgs, a.loaded(func(cmd *cobra.Command, cfg *config.Config, _ []string) error {
		s, err := a.status(cmd.Context(), cfg)
		if err != nil {
			return err
		}
		a.exit = s.exit(cfg)
		if asJSON(cmd) {
			return a.json(s)
		}
		return a.printStatus(s)
	}))
	a.settingFlags(cmd.Flags(), true)
	a.jsonFlag(cmd)
	return cmd
}

// A statusReport is what `goferry status --json` prints.
type statusReport struct {
	Service serviceReport     `json:"service"`
	Server  serverReport      `json:"server"`
	Health  *server.Readiness `json:"health"` // null: the server does not answer
	Go      goReport          `json:"goproxy"`
	// Parts are what the server says of itself at /-/status. Without a server there is
	// the cache alone, as this process sees it.
	Parts map[string]json.RawMessage `json:"parts"`
}

type serviceReport struct {
	Manager   string `json:"manager,omitempty"` // systemd, launchd, windows; empty where there is none
	Installed bool   `json:"installed"`
	Ours      bool   `json:"ours"` // goferry on wrote it
	Running   bool   `json:"running"`
	File      string `json:"file,omitempty"`
	Error     string `json:"error,omitempty"`
}

type serverReport struct {
	URL     string        `json:"url"`
	Answers bool          `json:"answers"`
	Build   *server.Build `json:"build,omitempty"`
	Error   string        `json:"error,omitempty"` // why it does not answer
}

type goReport struct {
	Value  string `json:"value"`            // without passwords; empty where there is no go command
	Env    bool   `json:"env"`              // stands in the environment, which wins over go env -w
	First  bool   `json:"first"`            // goferry is asked first
	Behind string `json:"behind,omitempty"` // what is asked where goferry does not answer
	Error  string `json:"error,omitempty"`
}

// status looks at everything; what cannot be looked at is part of the report.
func (a *app) status(ctx context.Context, cfg *config.Config) (*statusReport, error) {
	url, err := localURL(cfg)
	if err != nil {
		return nil, err
	}
	if rec, err := loadRecord(); err == nil && rec != nil && cfg.Origin("listen").Kind == config.FromDefault {
		url = rec.URL // the service may have an address that was given to goferry on alone
	}
	r := &statusReport{Service: a.serviceReport(ctx), Server: serverReport{URL: url}, Go: a.goReport(ctx, url), Parts: map[string]json.RawMessage{}}
	b, err := askVersion(ctx, url)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		r.Server.Error = oneLine(err.Error(), 300)
		return r, a.cacheHere(cfg, r)
	}
	r.Server.Answers, r.Server.Build = true, &b
	ready := new(server.Readiness)
	if _, err := askHere(ctx, url+"/-/readyz", ready); err == nil && len(ready.Checks) > 0 {
		r.Health = ready
	}
	if status, err := askHere(ctx, url+"/-/status", &r.Parts); err != nil || status != http.StatusOK {
		// A server on an address that is not this machine's own, or an older one.
		r.Server.Error = fmt.Sprintf("/-/status: status %d", status)
	}
	return r, nil
}

func (a *app) serviceReport(ctx context.Context) (r serviceReport) {
	m, err := a.serviceManager()
	if err == nil {
		r.Manager = string(m.Kind())
		st, serr := m.State(ctx)
		r.Installed, r.Ours, r.Running, r.File, err = st.Installed, st.Ours, st.Running, st.File, serr
	}
	if err != nil {
		r.Error = oneLine(err.Error(), 300)
	}
	if !r.Installed {
		r.File = ""
	}
	return r
}

func (a *app) goReport(ctx context.Context, url string) goReport {
	env, err := a.runner.GoEnv(ctx, "GOPROXY")
	if err != nil {
		return goReport{Error: oneLine(err.Error(), 300)}
	}
	r := goReport{Value: config.Redact(env["GOPROXY"]), Env: a.env("GOPROXY") != ""}
	if ups, err := goproxy.ParseUpstreams(env["GOPROXY"]); err == nil && isSelf(ups[0].URL, url) {
		r.First = true
		if ups[0].Sep == '|' { // behind a comma a goferry that is down is the end
			r.Behind = config.Redact(goproxy.FormatUpstreams(ups[1:]))
		}
	}
	return r
}

// cacheHere looks at the store itself, as no server does. It makes none where there is none.
func (a *app) cacheHere(cfg *config.Config, r *statusReport) error {
	part := cachePart{Dir: cfg.CacheDir, Limit: int64(cfg.CacheMaxSize), Exact: true}
	if _, err := os.Stat(cfg.CacheDir); err == nil {
		err := a.withStore(cfg, func(st *store.Store) error {
			u := st.Usage()
			part.Files, part.Bytes, part.Exact = u.Files, u.Bytes, u.Exact
			return nil
		})
		if err != nil {
			return err
		}
	}
	data, err := json.Marshal(part)
	r.Parts["cache"] = data
	return err
}

// exit is 12 if the server cannot serve, 3 if something that it needs does not work, else 0.
func (r *statusReport) exit(cfg *config.Config) int {
	switch {
	case !r.Server.Answers:
		return 12
	case r.Health == nil:
		return 3
	case !r.Health.OK:
		return 12
	}
	up, down, worst := 0, 0, 0
	for _, c := range r.Health.Checks {
		upstream, bad := strings.HasPrefix(c.Name, "upstream"), c.OK != nil && !*c.OK
		switch {
		case upstream && bad:
			down++
		case upstream:
			up++
		case bad && !(c.Name == "sumdb" && strings.TrimSpace(string(cfg.Sumdb)) == "off"): // off is as the user wants it
			worst = 3
		}
	}
	switch {
	case down > 0 && up == 0:
		return 12
	case down > 0:
		return 3
	}
	return worst
}

// A statusSection prints one part of /-/status: its label, and what it says. A part that is not
// there, or says nothing, has no lines.
type statusSection struct {
	part  string // name in statusParts
	label string // message code
	lines func(json.RawMessage) ([]string, error)
}

// statusSections are the parts that status prints, in this order, below what it finds out itself.
func (a *app) statusSections() []statusSection {
	return []statusSection{
		{"mirrors", "status.mirrors", section(a.mirrorLines)},
		{"hosts", "status.hosts", section(a.hostLines)},
		{"cache", "status.cache", section(a.cacheLines)},
		{"prefetch", "status.prefetch", section(a.prefetchLines)},
		{"watch", "status.watch", section(a.watchLines)},
		{"failures", "status.failures", section(a.failureLines)},
	}
}

// section makes the lines of a part from its value.
func section[T any](lines func(T) []string) func(json.RawMessage) ([]string, error) {
	return func(data json.RawMessage) ([]string, error) {
		var v T
		if err := json.Unmarshal(data, &v); err != nil {
			return nil, err
		}
		return lines(v), nil
	}
}

func (a *app) printStatus(r *statusReport) error {
	type row struct {
		label string
		lines []string
	}
	rows := []row{
		{a.p.T("status.service"), []string{a.serviceLine(r.Service)}},
		{a.p.T("status.server"), a.serverLines(r)},
		{a.p.T("status.health"), a.healthLines(r.Health)},
		{"GOPROXY", a.goLines(r)},
	}
	for _, s := range a.statusSections() {
		data, ok := r.Parts[s.part]
		if !ok {
			continue
		}
		lines, err := s.lines(data)
		if err != nil {
			return fmt.Errorf("status: %s: %w", s.part, err)
		}
		rows = append(rows, row{a.p.T(s.label), lines})
	}
	left := 0
	for _, row := range rows {
		left = max(left, text.Columns(row.label)+2)
	}
	var b strings.Builder
	for _, row := range rows {
		label := row.label
		for _, line := range row.lines {
			b.WriteString(strings.TrimRight(label+strings.Repeat(" ", left-text.Columns(label))+line, " ") + "\n")
			label = ""
		}
	}
	_, err := fmt.Fprint(a.stdout, b.String())
	return err
}

func (a *app) serviceLine(s serviceReport) string {
	switch {
	case s.Error != "":
		return a.p.T("status.service-unknown", "Err", s.Error)
	case !s.Installed:
		return a.p.T("status.service-none")
	case !s.Ours:
		return a.p.T("status.service-foreign", "File", s.File)
	case s.Running:
		return a.p.T("status.service-running", "Kind", s.Manager, "File", s.File)
	}
	return a.p.T("status.service-stopped", "Kind", s.Manager, "File", s.File)
}

func (a *app) serverLines(r *statusReport) []string {
	if !r.Server.Answers {
		return []string{a.p.T("status.server-down", "URL", r.Server.URL), r.Server.Error}
	}
	var part serverPart
	if err := json.Unmarshal(r.Parts["server"], &part); err != nil {
		return []string{a.p.T("status.server-silent", "URL", r.Server.URL, "Version", r.Server.Build.Version), r.Server.Error}
	}
	up := part.Upstream
	if part.Offline {
		up = a.p.T("serve.offline")
	}
	return []string{
		a.p.T("status.server-up", "URL", r.Server.URL, "Version", part.Version, "Time", (time.Duration(part.Uptime) * time.Second).String()),
		a.p.T("status.server-asks", "Upstream", up),
	}
}

func (a *app) healthLines(h *server.Readiness) []string {
	if h == nil {
		return nil
	}
	words := []string{a.p.T("status.ok"), a.p.T("status.bad"), a.p.T("status.unmeasured")}
	wide := 0
	for _, w := range words {
		wide = max(wide, text.Columns(w))
	}
	var lines []string
	for _, c := range h.Checks {
		word := words[2]
		switch {
		case c.OK != nil && *c.OK:
			word = words[0]
		case c.OK != nil:
			word = words[1]
		}
		line := word + strings.Repeat(" ", wide-text.Columns(word)) + "  " + c.Name
		d := oneLine(c.Detail, 200)
		if c.OK == nil { // the word before it says that already
			d = strings.TrimSuffix(strings.TrimSuffix(d, server.ErrNotMeasured.Error()), ": ")
		}
		if d != "" {
			line += ": " + d
		}
		if strings.HasPrefix(c.Name, "upstream ") && c.OK != nil {
			line += fmt.Sprintf(" (%d ms)", c.Millis)
		}
		lines = append(lines, line)
	}
	return lines
}

func (a *app) goLines(r *statusReport) []string {
	g := r.Go
	var line string
	switch {
	case g.Error != "":
		return []string{g.Error}
	case g.First && g.Behind != "":
		line = a.p.T("status.go-first", "Behind", g.Behind)
	case g.First:
		line = a.p.T("status.go-only")
	default:
		line = a.p.T("status.go-elsewhere", "Value", g.Value)
	}
	if g.Env {
		return []string{line, a.p.T("status.go-env")}
	}
	return []string{line}
}

func (a *app) cacheLines(c cachePart) []string {
	limit := a.p.T("cache.stat.no-limit")
	if c.Limit > 0 {
		limit = config.Size(c.Limit).String()
	}
	line := a.p.T("status.cache-line", "Bytes", human(c.Bytes), "Count", c.Files, "Limit", limit)
	if !c.Exact {
		line = a.p.T("status.cache-unknown", "Bytes", human(c.Bytes), "Count", c.Files, "Limit", limit)
	}
	return []string{line, c.Dir}
}

func (a *app) failureLines(all []failure) []string {
	if len(all) == 0 {
		return []string{a.p.T("status.no-failures")}
	}
	var lines []string
	for _, f := range all {
		name := f.Module
		if f.Version != "" {
			name += "@" + f.Version
		}
		lines = append(lines, a.p.T("status.failure", "Time", moment(f.Time), "What", name, "File", f.File,
			"Why", a.failureWhy(f), "Count", f.Count))
	}
	return lines
}

// failureWhy puts a failure into a few words: the kind, who, and what transport calls it.
func (a *app) failureWhy(f failure) string {
	why := a.p.T("status.kind." + f.Kind)
	if f.Failure != "" {
		why += " (" + f.Failure + ")"
	}
	if f.Upstream != "" {
		why = f.Upstream + ": " + why
	}
	return why
}
