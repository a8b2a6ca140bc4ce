package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/config"
)

func (a *app) configCmd() *cobra.Command {
	var verbose, template bool
	cmd := a.command("config", "config", a.noArgs, func(cmd *cobra.Command, _ []string) error {
		if template {
			data, err := config.Template(func(code string) string { return a.p.T(code) })
			if err == nil {
				_, err = a.stdout.Write(data)
			}
			return err
		}
		cfg, err := a.load(cmd)
		if err != nil {
			return err
		}
		return a.showConfig(cmd, cfg, verbose)
	})
	a.settingFlags(cmd.Flags(), true)
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, a.p.T("flag.config-verbose"))
	cmd.Flags().BoolVar(&template, "template", false, a.p.T("flag.config-template"))
	a.jsonFlag(cmd)
	return cmd
}

// showConfig prints what differs from the defaults, or with verbose everything, and where it came from.
func (a *app) showConfig(cmd *cobra.Command, cfg *config.Config, verbose bool) error {
	rows := []config.Explained{}
	for _, e := range cfg.Explain() {
		if verbose || asJSON(cmd) || e.Origin.Kind != config.FromDefault {
			rows = append(rows, e)
		}
	}
	if asJSON(cmd) {
		return a.json(rows)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, e := range rows {
		note := ""
		if e.Key == "sumdb" && e.Value == "off" {
			note = "  " + a.p.T("config.sumdb-off")
		}
		fmt.Fprintf(w, "%s\t%s\t(%s)%s\n", e.Key, e.Value, a.originText(e.Origin), note)
	}
	return w.Flush()
}

func (a *app) originText(o config.Origin) string {
	if o.Kind == config.FromDefault {
		return a.p.T("config.default")
	}
	return o.String()
}
