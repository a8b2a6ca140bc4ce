package main

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/service"
)

// kept lists the variables, beside those of goferry's settings, that a service gets as they
// are now: the go command and version control find their way by them, and a service manager
// knows nothing of what a shell's start-up files set.
func kept() []string {
	return strings.Fields(`PATH HOME XDG_CONFIG_HOME XDG_CACHE_HOME GOENV GOROOT GOPATH GOCACHE GOTOOLCHAIN
		GOSUMDB GOPRIVATE GONOPROXY GONOSUMDB GOINSECURE GOAUTH GOVCS NETRC GIT_SSH GIT_SSH_COMMAND
		HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy SSL_CERT_FILE SSL_CERT_DIR
		USERPROFILE APPDATA LOCALAPPDATA HOMEDRIVE HOMEPATH`)
}

// serviceSpec is what the service runs: this program, with the settings of this run.
func (a *app) serviceSpec(s *switchOn, kind service.Kind) (service.Spec, error) {
	program, err := programPath()
	if err != nil {
		return service.Spec{}, err
	}
	if temporary(program, a.env) {
		return service.Spec{}, &fault{code: "error.on-temporary", args: []any{"File", program}, hint: "hint.on-temporary", exit: 1}
	}
	spec := service.Spec{Program: program, Args: []string{"serve"}, Env: map[string]string{}, StopTimeout: s.cfg.ShutdownTimeout + 15*time.Second}
	for _, name := range kept() {
		if v := a.env(name); v != "" {
			spec.Env[name] = v
		}
	}
	spec.Env["GOPROXY"] = s.asks // behind all settings: a list in the file counts before it
	if s.cfg.Origin("lang").Kind != config.FromFile {
		spec.Env["GOFERRY_LANG"] = a.p.Lang()
	}
	if kind != service.Systemd { // nobody shortens the log file
		spec.Env["GOFERRY_LOG_ACCESS"] = "false"
	}
	for _, set := range config.Table() {
		v, ok := s.flags[set.Flag]
		if !ok {
			v = a.env(set.Env)
		}
		if v != "" {
			spec.Env[set.Env] = wholePaths(set, v)
		}
	}
	file := s.flags["config"]
	if file == "" {
		file = a.env("GOFERRY_CONFIG")
	}
	if file != "" {
		if file, err = filepath.Abs(file); err != nil {
			return service.Spec{}, err
		}
		spec.Args = append(spec.Args, "--config", file)
	}
	if kind != service.Windows {
		return spec, nil
	}
	home, _ := os.UserHomeDir()
	spec.Args = append(spec.Args, "--log-file", serviceLog(home))
	return spec, noSecrets(spec.Env)
}

// noSecrets refuses passwords in what every user of the machine can read.
func noSecrets(env map[string]string) error {
	for name, v := range env {
		if secretVar(name) || config.Redact(v) != v {
			return &fault{code: "error.on-secret", args: []any{"Name", name}, hint: "hint.on-secret", exit: 1}
		}
	}
	return nil
}

func secretVar(name string) bool {
	return name == "GOAUTH" || slices.ContainsFunc(config.Table(), func(s config.Setting) bool { return s.Env == name && s.Secret })
}

// wholePaths makes the paths in the value of a setting independent of the current folder, in
// which a service does not start.
func wholePaths(set config.Setting, v string) string {
	if !set.Path() {
		return v
	}
	parts := []string{v}
	if set.Type == config.TypeList {
		parts = strings.Split(v, ",")
	}
	for i, p := range parts {
		if abs, err := filepath.Abs(strings.TrimSpace(p)); err == nil && strings.TrimSpace(p) != "" {
			parts[i] = abs
		}
	}
	return strings.Join(parts, ",")
}

func programPath() (string, error) {
	p, err := os.Executable()
	if err != nil {
		return "", err
	}
	return filepath.Abs(p)
}

// temporary reports whether a program will be gone soon: go run puts it into a folder for
// temporary files, or into the build cache, from which old things are removed.
func temporary(program string, env func(string) string) bool {
	dirs := []string{os.TempDir()}
	if cache := env("GOCACHE"); cache != "" {
		dirs = append(dirs, cache)
	}
	for _, dir := range dirs {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir = real
		}
		if real, err := filepath.EvalSymlinks(program); err == nil {
			program = real
		}
		if rel, err := filepath.Rel(dir, program); err == nil && filepath.IsLocal(rel) {
			return true
		}
	}
	return slices.ContainsFunc(strings.Split(filepath.ToSlash(program), "/"), func(part string) bool {
		return strings.HasPrefix(part, "go-build")
	})
}

// byHandCommand is how goferry is called by hand with the flags of this run.
func byHandCommand(s *switchOn, command ...string) string {
	program, err := programPath()
	if err != nil {
		program = "goferry"
	}
	words := append([]string{shellWord(program)}, command...)
	names := make([]string, 0, len(s.flags))
	for name := range s.flags {
		if name != "no-service" && name != "lang" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		words = append(words, shellWord("--"+name+"="+s.flags[name]))
	}
	return strings.Join(words, " ")
}

// shellWord quotes s for the user's shell, where it has to be.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-+=./:,@%", r) ||
			runtime.GOOS == "windows" && r == '\\'
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	if runtime.GOOS == "windows" {
		return `"` + s + `"`
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// shellSet is the line that sets a variable for the user's shell.
func shellSet(name, value string) string {
	if runtime.GOOS == "windows" {
		return "setx " + name + ` "` + value + `"`
	}
	return "export " + name + "=" + shellWord(value)
}

// logTo sends what this process says to a file from now on, for service managers that keep no
// log. A file that has grown large becomes FILE.old first.
func (a *app) logTo(file string) error {
	if file == "" {
		return nil
	}
	if info, err := os.Stat(file); err == nil && info.Size() > 8<<20 {
		_ = os.Rename(file, file+".old") // else it goes on growing
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	a.stdout, a.stderr = f, f // for as long as the process lives
	return nil
}
