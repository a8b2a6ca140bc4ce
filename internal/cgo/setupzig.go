package cgo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/goferry/goferry/internal/gocmd"
)

// ZigLine is the line that puts zig into the folder of the user, by npm or else by pip, which carry it whole; false if
// neither is here or zig makes nothing for t.
func (s *Setup) ZigLine(t Target) (Line, bool) {
	if !zigMakes(t) {
		return Line{}, false
	}
	if _, err := s.runner().FindTool("npm"); err == nil {
		return Line{System: "npm", Argv: []string{"npm", "install", "--global", "--prefix", s.ZigDir(), ZigPackage}, Packages: []string{ZigPackage}}, true
	}
	if res, err := s.runner().FindTool("python3"); err == nil && res != "" {
		return Line{System: "pip", Argv: []string{"python3", "-m", "pip", "install", "--target", filepath.Join(s.ZigDir(), "lib"), "ziglang"}, Packages: []string{"ziglang"}}, true
	}
	return Line{}, false
}

// ZigDir is where zig comes to lie.
func (s *Setup) ZigDir() string { return filepath.Join(s.Home, "zig") }

// InstallZig runs the line of ZigLine. zig is there as a whole, or not at all. Errors are a *SetupError, or the cause of ctx.
func (s *Setup) InstallZig(ctx context.Context, t Target, l Line) (err error) {
	work, err := s.newFolder()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	args := append([]string(nil), l.Argv[1:]...)
	for i, arg := range args {
		if rest, ok := strings.CutPrefix(arg, s.ZigDir()); ok {
			args[i] = work + rest
		}
	}
	s.tell(SetupState{Step: SetupFetch})
	res, err := s.runner().Run(ctx, gocmd.Cmd{Name: l.Argv[0], Args: args, Env: []string{"PIP_DISABLE_PIP_VERSION_CHECK=1"}})
	if err != nil {
		return err
	}
	if res.ExitCode != 0 {
		return &SetupError{Code: SetupOffline, Target: t, What: l.Shell(), Said: aptSaid(res.Stderr)}
	}
	if err := linkZig(work); err != nil {
		return &SetupError{Code: SetupDamaged, Target: t, What: l.Packages[0], Err: err}
	}
	return replaceFolder(work, s.ZigDir())
}

// linkZig puts the program itself into bin: what npm has there is a script that needs node for each file to compile.
func linkZig(work string) error {
	name := "zig"
	if runtime.GOOS == "windows" {
		name = "zig.exe"
	}
	for _, pattern := range []string{
		filepath.Join(work, "lib", "node_modules", "@zigc", "cli", "node_modules", "@zigc", "*", "bin", name),
		filepath.Join(work, "lib", "node_modules", "@zigc", "*-*", "bin", name),
		filepath.Join(work, "node_modules", "@zigc", "*", "node_modules", "@zigc", "*", "bin", name), // npm on Windows
		filepath.Join(work, "node_modules", "@zigc", "*-*", "bin", name),
		filepath.Join(work, "lib", "ziglang", name),
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			continue
		}
		bin := filepath.Join(work, "bin")
		if err := os.MkdirAll(bin, 0o755); err != nil {
			return err
		}
		if err := ignoreAbsent(os.Remove(filepath.Join(bin, name))); err != nil {
			return err
		}
		rel, err := filepath.Rel(bin, found[0])
		if err != nil {
			return err
		}
		if runtime.GOOS == "windows" { // where links take rights; zig finds its libraries by ZIG_LIB_DIR or beside itself
			return os.WriteFile(filepath.Join(bin, "zig.cmd"), []byte("@\"%~dp0"+rel+"\" %*\r\n"), 0o666)
		}
		return os.Symlink(rel, filepath.Join(bin, name))
	}
	return fmt.Errorf("no program %s in it", name)
}
