package main

import (
	"os"
	"path/filepath"
	"runtime"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/toolchain"
)

// sdkHome is where SDKs are installed if no setting says otherwise: ~/.goferry, and on Windows the folder for
// programs of one user; %LocalAppData%\goferry itself is the cache there. It is empty where there is no home folder.
func (a *app) sdkHome() string {
	if runtime.GOOS == "windows" {
		if dir := a.env("LOCALAPPDATA"); dir != "" {
			return filepath.Join(dir, "Programs", "goferry")
		}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".goferry")
}

// homeOf is the Home that the settings name.
func homeOf(cfg *config.Config) (toolchain.Home, error) {
	if cfg.SDKDir == "" {
		return toolchain.Home{}, &fault{code: "sdk.error.no-home", hint: "sdk.hint.no-home", exit: 2}
	}
	dir, err := filepath.Abs(cfg.SDKDir)
	if err != nil {
		return toolchain.Home{}, &fault{code: "sdk.error.no-home", hint: "sdk.hint.no-home", exit: 2, err: err}
	}
	return toolchain.Home{Dir: dir}, nil
}
