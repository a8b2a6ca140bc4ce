package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/text"
	"github.com/goferry/goferry/internal/toolchain"
)

// load reads the settings of a command.
func (a *app) load(cmd *cobra.Command) (*config.Config, error) {
	return a.loadWith(cmd, a.goEnv(cmd.Context()))
}

// loadWith reads the settings of a command, those of the go command from goEnv.
func (a *app) loadWith(cmd *cobra.Command, goEnv func(string) (string, error)) (*config.Config, error) {
	in := config.Input{Env: a.env, Flags: flagsSet(cmd.Flags()), GoEnv: goEnv, Defaults: map[string]string{}}
	in.File, in.FileExplicit = a.configFile(cmd)
	if cache, err := os.UserCacheDir(); err == nil {
		in.Defaults["cache"] = filepath.Join(cache, "goferry")
	}
	if home := a.sdkHome(); home != "" {
		in.Defaults["sdk.dir"] = home
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
		return a.askGoEnv(ctx, keys...)
	})
	return func(name string) (string, error) {
		all, err := ask()
		if errors.Is(err, gocmd.ErrNoTool) {
			return a.env(name), nil
		}
		return all[name], err
	}
}

// askGoEnv asks the go command. A GOROOT that somebody set, in the environment or by go env -w, and that is gone, breaks
// every go command; then it is asked with the one that it belongs to.
func (a *app) askGoEnv(ctx context.Context, keys ...string) (map[string]string, error) {
	env, err := a.runner.GoEnv(ctx, keys...)
	if err == nil || errors.Is(err, gocmd.ErrNoTool) || ctx.Err() != nil {
		return env, err
	}
	program, toolErr := a.runner.FindTool("go")
	if toolErr != nil {
		return env, err
	}
	root, rootErr := toolchain.RootOf(program)
	if rootErr != nil {
		return env, err
	}
	again := &gocmd.Runner{Env: append(a.runner.Environ(), "GOROOT="+root)}
	if env, againErr := again.GoEnv(ctx, keys...); againErr == nil {
		return env, nil
	}
	return env, err
}

// plainRunner runs programs without the GOROOT of the environment: a go command finds its own, and believes any other.
func (a *app) plainRunner() *gocmd.Runner {
	return &gocmd.Runner{Env: slices.DeleteFunc(a.runner.Environ(), func(kv string) bool {
		key, _, _ := strings.Cut(kv, "=")
		return strings.EqualFold(key, "GOROOT")
	})}
}
