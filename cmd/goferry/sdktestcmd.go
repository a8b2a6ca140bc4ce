package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/toolchain"
)

// sdkTestFlags are the flags of goferry sdk test.
type sdkTestFlags struct {
	goroot     string
	buildCache string
	packages   []string
	full       bool
	resume     bool
}

func (a *app) sdkTestCmd() *cobra.Command {
	var flags sdkTestFlags
	perhapsOne := func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 && flags.goroot != "" {
			return misuse(cmd, "", "error.arg-extra", "Arg", args[0])
		}
		return a.perhapsOneArg(cmd, args)
	}
	cmd := a.command("test [VERSION]", "sdktest", perhapsOne, a.loaded(func(cmd *cobra.Command, cfg *config.Config, args []string) error {
		return a.sdkTest(cmd, cfg, strings.Join(args, ""), flags)
	}))
	a.settingFlags(cmd.Flags(), false)
	a.jsonFlag(cmd)
	cmd.Flags().StringVar(&flags.goroot, "goroot", "", a.p.T("sdktest.flag-goroot"))
	cmd.Flags().StringSliceVar(&flags.packages, "packages", nil, a.p.T("sdktest.flag-packages"))
	cmd.Flags().BoolVar(&flags.full, "full", false, a.p.T("sdktest.flag-full"))
	cmd.Flags().BoolVar(&flags.resume, "resume", false, a.p.T("sdktest.flag-resume"))
	cmd.Flags().StringVar(&flags.buildCache, "build-cache", "", a.p.T("sdktest.flag-build-cache"))
	return cmd
}

// sdkTest tests one SDK and says what it found. It ends with 3 where there is something to mend.
func (a *app) sdkTest(cmd *cobra.Command, cfg *config.Config, version string, flags sdkTestFlags) error {
	root, err := a.sdkTestRoot(cfg, version, flags.goroot)
	if err != nil {
		return err
	}
	s, err := a.selfTest(cfg, root, flags)
	if err != nil {
		return err
	}
	show := a.showSDKTest()
	defer show.end()
	s.Progress = show.progress
	report, err := s.Run(cmd.Context())
	show.end()
	switch c := report.Counts; {
	case errors.Is(err, context.Canceled):
		a.say(a.p.T("sdktest.interrupted", "Done", c.Total-c.Left, "Total", c.Total))
		return err
	case errors.Is(err, toolchain.ErrSelfBusy):
		return &fault{code: "sdktest.error.busy", args: []any{"Root", root}, hint: "sdktest.hint.busy", exit: 1, err: err}
	case errors.Is(err, toolchain.ErrSelfPackages):
		return &fault{code: "sdktest.error.packages", args: []any{"Err", strings.Replace(errLine(err), toolchain.ErrSelfPackages.Error()+": ", "", 1)}, hint: "sdktest.hint.packages", exit: 2, err: err}
	case err != nil:
		return &fault{code: "sdktest.error.run", args: []any{"Err", errLine(err)}, hint: "sdktest.hint.run", exit: 1, err: err}
	}
	if report.State == toolchain.SelfWarning || report.State == toolchain.SelfFault {
		a.exit = 3
	}
	if asJSON(cmd) {
		return a.json(report)
	}
	return a.showSelfReport(report)
}

// sdkTestRoot is the GOROOT to test: the one that is named, that of a version that is on this
// machine, or that of the go command in PATH.
func (a *app) sdkTestRoot(cfg *config.Config, version, goroot string) (string, error) {
	noSDK := func(dir string, err error) error {
		return &fault{code: "sdktest.error.no-sdk", args: []any{"Dir", dir}, hint: "sdktest.hint.no-sdk", exit: 10, err: err}
	}
	if goroot != "" {
		dir, err := filepath.Abs(goroot)
		if err != nil || !isDir(filepath.Join(dir, "bin")) {
			return "", noSDK(goroot, err)
		}
		return dir, nil
	}
	home, err := homeOf(cfg)
	if err != nil {
		return "", err
	}
	finder := a.sdkFinder(home)
	if version != "" {
		return a.sdkTestVersion(finder, version)
	}
	if program := finder.Program("go"); program != "" {
		root, err := toolchain.RootOf(program)
		if err != nil {
			return "", noSDK(program, err)
		}
		return root, nil
	}
	if root, err := filepath.EvalSymlinks(home.Default()); err == nil {
		return root, nil
	}
	return "", &fault{code: "sdktest.error.none", hint: "sdktest.hint.none", exit: 10}
}

// sdkTestVersion finds a version, or the newest patch of a minor one, among all that are here:
// goferry's own first.
func (a *app) sdkTestVersion(finder toolchain.Finder, version string) (string, error) {
	v, err := toolchain.ParseVersion(version)
	if err != nil {
		return "", &fault{code: "sdktest.error.version", args: []any{"Value", version}, hint: "sdktest.hint.version", exit: 2, err: err}
	}
	if root := finder.Home.Root(toolchain.Here(v)); isDir(root) {
		return root, nil
	}
	minor, have := "", []string{}
	for _, f := range finder.Find() {
		if f.OS != runtime.GOOS || f.Arch != runtime.GOARCH {
			continue
		}
		switch {
		case f.Version == v:
			return f.Root, nil
		case f.Version.Language() == v && minor == "":
			minor = f.Root
		}
		have = append(have, strings.TrimPrefix(f.Name, "go"))
	}
	if minor != "" {
		return minor, nil
	}
	args := []any{"Version", v.Number(), "Near", config.Near(v.Number(), have), "Have", strings.Join(have, ", ")}
	if args[3] != "" {
		return "", &fault{code: "sdktest.error.absent", args: args, hint: "hint.did-you-mean", exit: 10}
	}
	return "", &fault{code: "sdktest.error.absent", args: args, hint: "sdktest.hint.absent", exit: 10}
}

// selfTest is the test of the SDK in root, with a folder for each such SDK below the user's folder
// for caches.
func (a *app) selfTest(cfg *config.Config, root string, flags sdkTestFlags) (*toolchain.SelfTest, error) {
	caches, err := os.UserCacheDir()
	if err != nil {
		return nil, &fault{code: "sdktest.error.no-dir", hint: "sdktest.hint.no-dir", exit: 2, err: err}
	}
	s := &toolchain.SelfTest{
		Root: root, Dir: filepath.Join(caches, "goferry-sdk-test", sdkTestName(root)), Runner: a.runner,
		Packages: flags.packages, Full: flags.full, Resume: flags.resume, Releases: a.sdkReleases(cfg), Logger: a.quietLog(cfg),
	}
	if flags.buildCache != "" {
		if s.Cache, err = filepath.Abs(flags.buildCache); err != nil {
			return nil, err
		}
	}
	if !cfg.Offline {
		s.Online = sdkTestOnline
	}
	return s, nil
}

// sdkTestName makes one element of a path of a folder, so that no two share one and people can tell
// which is which.
func sdkTestName(root string) string {
	keep := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '_'
	}
	sum := fnv.New32a()
	_, _ = io.WriteString(sum, root) // a hash takes everything
	return fmt.Sprintf("%s-%08x", strings.Map(keep, filepath.Base(root)), sum.Sum32())
}

// sdkReleases asks the upstreams what has been released for this system, not for long: the test
// does not need to know.
func (a *app) sdkReleases(cfg *config.Config) func(context.Context) ([]toolchain.Version, error) {
	return func(ctx context.Context) (list []toolchain.Version, err error) {
		ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
		defer cancel()
		f, err := a.wire(cfg, a.quietLog(cfg), nil, nil)
		var ft *fault
		if errors.As(err, &ft) {
			return nil, errors.New(a.p.T(ft.code, ft.args...)) // it becomes part of a report
		}
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		versions, err := goproxy.Versions(ctx, goproxy.Enforce(f.cache, f.policy), toolchain.ModulePath)
		if err != nil {
			return nil, err
		}
		for _, v := range versions {
			if t, err := toolchain.ParseModuleVersion(v); err == nil && t == toolchain.Here(t.Version) {
				list = append(list, t.Version)
			}
		}
		return list, nil
	}
}

// sdkTestOnline reaches for the internet as tests do: by name, and not through a proxy.
func sdkTestOnline(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", "go.dev:443")
	if err != nil {
		return err
	}
	return conn.Close()
}
