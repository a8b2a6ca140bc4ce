package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/text"
)

// load reads the settings of a command.
func (a *app) load(cmd *cobra.Command) (*config.Config, error) {
	in := config.Input{Env: a.env, Flags: flagsSet(cmd.Flags()), GoEnv: a.goEnv(cmd.Context()), Defaults: map[string]string{}}
	in.File, in.FileExplicit = a.configFile(cmd)
	if cache, err := os.UserCacheDir(); err == nil {
		in.Defaults["cache"] = filepath.Join(cache, "goferry")
	}
	cfg, err := config.Load(in)
	if err == nil && cfg.Lang != "" {
		a.p = text.New(cfg.Lang) // the file may name one as well
	}
	return cfg, err
}

// configFile is the configuration file of a command, and whether the user named it.
func (a *app) configFile(cmd *cobra.Command) (name string, explicit bool) {
	userConfig, _ := os.UserConfigDir() // where there is none, there is no default file either
	return config.FindFile(flagsSet(cmd.Flags())["config"], a.env, userConfig)
}

// goEnv asks the go command once for all variables that settings can come from. Without a go
// command there are no settings of its own either, and only the environment counts.
func (a *app) goEnv(ctx context.Context) func(string) (string, error) {
	ask := sync.OnceValues(func() (map[string]string, error) {
		var keys []string
		for _, s := range config.Table() {
			if s.GoEnv != "" {
				keys = append(keys, s.GoEnv)
			}
		}
		return a.runner.GoEnv(ctx, keys...)
	})
	return func(name string) (string, error) {
		all, err := ask()
		if errors.Is(err, gocmd.ErrNoTool) {
			return a.env(name), nil
		}
		return all[name], err
	}
}
