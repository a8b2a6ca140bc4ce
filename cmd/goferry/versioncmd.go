package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/server"
)

// build says what this binary is made of, as the linker recorded it.
func build() server.Build {
	b := server.Build{Version: "(devel)", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Revision = s.Value
		}
	}
	return b
}

func (a *app) versionCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   a.p.T("version.short"),
		Example: "  goferry version",
		Args:    a.noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := build()
			if asJSON(cmd) {
				return a.json(b)
			}
			_, err := fmt.Fprintf(a.stdout, "goferry %s %s %s/%s\n", b.Version, b.Go, b.OS, b.Arch)
			return err
		},
	}
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) jsonFlag(cmd *cobra.Command) { cmd.Flags().Bool("json", false, a.p.T("flag.json")) }

func asJSON(cmd *cobra.Command) bool {
	on, _ := cmd.Flags().GetBool("json")
	return on
}
