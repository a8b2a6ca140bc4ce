package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/mirrors"
)

func (a *app) mirrorsUseCmd() *cobra.Command {
	var none bool
	names := func(cmd *cobra.Command, args []string) error {
		if none {
			return a.noArgs(cmd, args)
		}
		return a.someArgs(cmd, args)
	}
	cmd := a.command("use NAME…", "mirrors.use", names, a.useMirrors)
	cmd.ValidArgsFunction = a.completeMirrors
	a.jsonFlag(cmd)
	cmd.Flags().BoolVar(&none, "none", false, a.p.T("mirrors.use.flag-none"))
	return cmd
}

// useReport is what `mirrors use --json` prints.
type useReport struct {
	File string `json:"file"` // the configuration file
	Old  string `json:"old"`  // the list of upstreams that was in force, without credentials
	New  string `json:"new"`  // the one that the file says, or without one what is in force now
}

// useMirrors writes the upstreams that args name into the configuration file, or removes them from it if
// there are no args.
func (a *app) useMirrors(cmd *cobra.Command, args []string) error {
	cfg, err := a.load(cmd)
	if err != nil {
		return err
	}
	file, _ := a.configFile(cmd)
	if file == "" {
		return &fault{code: "mirrors.error.no-config", hint: "mirrors.hint.no-config", exit: 2}
	}
	r := useReport{File: file, Old: cfg.Upstream.String()}
	if len(args) == 0 {
		return a.useNone(cmd, r)
	}
	list, err := a.mirrorList(cfg, args)
	if err != nil {
		return err
	}
	if err := config.SetInFile(file, "upstream", list); err != nil {
		return writeFault(file, err)
	}
	r.New = config.Redact(list)
	return a.showUse(cmd, cfg, r)
}

// useNone takes back what was chosen.
func (a *app) useNone(cmd *cobra.Command, r useReport) error {
	was, err := config.UnsetInFile(r.File, "upstream")
	if err != nil {
		return writeFault(r.File, err)
	}
	cfg, err := a.load(cmd)
	if err != nil {
		return err
	}
	r.New = cfg.Upstream.String()
	if !was && !asJSON(cmd) {
		_, err := fmt.Fprintln(a.stdout, a.p.T("mirrors.use.none", "File", r.File))
		return err
	}
	return a.showUse(cmd, cfg, r)
}

func (a *app) showUse(cmd *cobra.Command, cfg *config.Config, r useReport) error {
	if asJSON(cmd) {
		return a.json(r)
	}
	shown := func(list string) string {
		if list == "" {
			return a.p.T("mirrors.use.nobody")
		}
		return list
	}
	_, err := fmt.Fprintf(a.stdout, "%s\n%s\n", r.File, a.p.T("mirrors.use.report", "Old", shown(r.Old), "New", shown(r.New)))
	if o := cfg.Origin("upstream"); o.Kind > config.FromFile {
		a.hint(a.p.T("mirrors.hint.overruled", "Origin", o.String()))
	} else {
		a.hint(a.p.T("mirrors.hint.restart"))
	}
	return err
}

// writeFault says why the configuration file was not written.
func writeFault(file string, err error) error {
	var ce *config.Error
	if errors.As(err, &ce) {
		return err
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return &fault{code: "mirrors.error.write", args: []any{"File", file, "Err", err}, hint: "mirrors.hint.write", exit: 1, err: err}
}

// mirrorList makes a list of upstreams of args: one set of mirrors, and behind it direct, if the present list
// ends with that.
func (a *app) mirrorList(cfg *config.Config, args []string) (string, error) {
	var list []goproxy.Upstream
	targets, err := a.mirrorTargets(cfg, args)
	if err != nil {
		return "", err
	}
	seen := map[string]bool{}
	for _, t := range targets {
		if u := strings.TrimSuffix(t.URL, "/"); !seen[u] {
			seen[u] = true
			list = append(list, goproxy.Upstream{URL: t.URL, Sep: goproxy.OnMirror})
		}
	}
	now, err := goproxy.ParseUpstreams(string(cfg.Upstream))
	if n := len(now); err == nil && now[n-1].URL == "direct" {
		sep := goproxy.OnAbsent
		if n > 1 {
			sep = now[n-2].Sep
		}
		list[len(list)-1].Sep = sep
		list = append(list, now[n-1])
	}
	text := goproxy.FormatUpstreams(list)
	if again, err := goproxy.ParseUpstreams(text); err != nil || len(again) != len(list) { // a comma in a URL
		return "", &fault{code: "mirrors.error.unknown", args: []any{"Name", goproxy.RedactURL(args[0]), "Names", strings.Join(knownNames(), ", ")},
			hint: "mirrors.hint.unknown", exit: 2, err: err}
	}
	return text, nil
}

func knownNames() []string {
	var names []string
	for _, m := range mirrors.Known() {
		names = append(names, m.Name)
	}
	return names
}
