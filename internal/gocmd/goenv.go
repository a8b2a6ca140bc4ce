package gocmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// GoEnv returns what `go env` says about keys: settings from the environment, from `go env -w` and defaults.
// It asks outside any module, and lets the go command not switch to another toolchain, so nothing
// is ever downloaded and no go.mod or go.work speaks up. The error is a *ToolError if there is no go command.
func (r *Runner) GoEnv(ctx context.Context, keys ...string) (map[string]string, error) {
	dir, err := NeutralDir()
	if err != nil {
		return nil, err
	}
	ask := append([]string{"env", "-json"}, keys...)
	toolchain := len(keys) == 0 || slices.Contains(keys, "GOTOOLCHAIN")
	if toolchain && len(keys) > 0 {
		ask = append(ask, "GOENV", "GOROOT")
	}
	res, err := r.Run(ctx, Cmd{Name: "go", Args: ask, Dir: dir, Env: []string{"GOTOOLCHAIN=local", "GOWORK=off"}})
	if err != nil {
		return nil, err
	}
	if res.ExitCode != 0 {
		return nil, fmt.Errorf("go env: exit code %d: %s", res.ExitCode, bytes.TrimSpace(res.Stderr))
	}
	var env map[string]string
	if err := json.Unmarshal(res.Stdout, &env); err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	if toolchain {
		if env["GOTOOLCHAIN"], err = r.goToolchain(env["GOENV"], env["GOROOT"]); err != nil {
			return nil, err
		}
	}
	if len(keys) > 0 {
		for k := range env {
			if !slices.Contains(keys, k) {
				delete(env, k)
			}
		}
	}
	return env, nil
}

// goToolchain finds GOTOOLCHAIN as the go command does, which cannot be asked: GoEnv sets it.
// https://go.dev/doc/toolchain#select
func (r *Runner) goToolchain(goenv, goroot string) (string, error) {
	if v := lookup(r.Environ(), "GOTOOLCHAIN"); v != "" {
		return v, nil
	}
	for _, name := range []string{goenv, filepath.Join(goroot, "go.env")} {
		if name == "" || name == "off" {
			continue
		}
		data, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return "", fmt.Errorf("go env: %w", err)
		}
		for line := range strings.Lines(string(data)) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), "GOTOOLCHAIN="); ok && v != "" {
				return v, nil
			}
		}
	}
	return "local", nil
}

// NeutralDir returns a folder that exists and lies in no module, for go commands that
// must not see one: the first such of the candidates, the folder for temporary files, and the root.
// The go command only looks for go.mod files there.
func NeutralDir(candidates ...string) (string, error) {
	tmp := os.TempDir()
	for _, dir := range append(candidates, tmp, filepath.VolumeName(tmp)+string(filepath.Separator)) {
		dir, err := filepath.Abs(dir)
		if err != nil {
			continue
		}
		if info, err := os.Stat(dir); err == nil && info.IsDir() && !inModule(dir) {
			return dir, nil
		}
	}
	return "", errors.New("no folder outside of a module: even the root folder has a go.mod")
}

func inModule(dir string) bool {
	for {
		if info, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil && !info.IsDir() {
			return true
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return false
		}
		dir = parent
	}
}
