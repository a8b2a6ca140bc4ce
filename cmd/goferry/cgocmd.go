package main

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/cgo"
	"github.com/goferry/goferry/internal/config"
)

// cgoCmd is the parent of what is about cgo and C compilers.
func (a *app) cgoCmd() *cobra.Command {
	return a.group("cgo", "cgo", a.cgoCheckCmd(), a.cgoSetupCmd())
}

// ccHome is the folder of the compilers that goferry has installed; empty where there is no home folder.
func ccHome(cfg *config.Config) string {
	home, err := homeOf(cfg)
	if err != nil {
		return ""
	}
	return filepath.Join(home.Dir, "cc")
}

// ccFinder finds the compilers of this machine.
func (a *app) ccFinder(cfg *config.Config) *cgo.Finder {
	return &cgo.Finder{Runner: a.runner, Env: a.env, Home: ccHome(cfg), Self: ccSelf()}
}

// ccTargets reads targets. all stands for all that there are.
func ccTargets(texts []string) ([]cgo.Target, error) {
	var list []cgo.Target
	for _, s := range texts {
		if s == "all" {
			return cgo.Targets(), nil
		}
		t, err := cgo.ParseTarget(strings.TrimSpace(s))
		if err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, nil
}
