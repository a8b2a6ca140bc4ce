// Package service installs goferry as a service of the user and takes it away again.
//
// It does not know what the service does, points nothing at it, and never changes or removes a
// service that it did not write. What it writes carries Mark; that is how it knows.
package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	kardianos "github.com/kardianos/service"
)

// Mark stands in everything that this room writes.
const Mark = "Written by goferry on; goferry off takes it away."

// Errors of a Manager. What a tool or the system said stands behind them.
var (
	ErrNone    = errors.New("no service manager runs services of this user")
	ErrForeign = errors.New("a service of this name is there that goferry did not write")
	ErrDenied  = errors.New("the service manager refused: it wants more rights")
)

// A Kind is a service manager.
type Kind string

// The service managers that goferry can use.
const (
	Systemd Kind = "systemd" // the instance of the user, systemctl --user
	Launchd Kind = "launchd" // as an agent of the user
	Windows Kind = "windows" // the service control manager, which has no services of a user
)

// An Output is what a tool left.
type Output struct {
	Stdout, Stderr string
	Code           int // exit code
}

// A Config says whose service it is. Name, Home and Run are needed.
type Config struct {
	Name string // of the service: letters, digits and "-"
	Home string // the home folder of the user
	// Run runs a tool of the service manager to its end, beside what the library runs
	// itself; an exit code other than 0 is no error.
	Run func(ctx context.Context, name string, args ...string) (Output, error)
	// LogFile is where the service's stderr goes where the manager keeps no journal.
	LogFile string
}

// A Spec is what is to run.
type Spec struct {
	Program     string            // absolute path
	Args        []string          // without the program
	Env         map[string]string // beside what the service manager gives
	StopTimeout time.Duration     // how long a stop may take; 0 is the manager's default
}

// A State is what is there.
type State struct {
	Installed bool
	Ours      bool   // Installed, and by this room
	Running   bool   // Installed, and the manager says that it runs
	File      string // that describes the service, whether it is there or not; "" on Windows
}

// A Manager looks after one service of the user. It may be used by one goroutine at a time.
type Manager struct {
	cfg    Config
	kind   Kind
	system kardianos.System
}

// New returns a Manager; that there is a service manager at all is for Check to say.
func New(cfg Config) *Manager {
	m := &Manager{cfg: cfg}
	kinds := map[string]Kind{"linux-systemd": Systemd, "darwin-launchd": Launchd, "windows-service": Windows}
	for _, system := range kardianos.AvailableSystems() {
		if kind := kinds[system.String()]; kind != "" {
			m.kind, m.system = kind, system
		}
	}
	return m
}

// Kind says which service manager this system would have; "" for none that goferry knows.
func (m *Manager) Kind() Kind { return m.kind }

// Check reports whether a service of the user can be installed here: nil, or an error that
// matches ErrNone and says why not.
func (m *Manager) Check(ctx context.Context) error {
	if m.kind == "" {
		return ErrNone
	}
	if m.kind != Systemd {
		return nil
	}
	// That systemd is there does not mean that it runs, and that it runs does not mean that
	// this user has an instance (a container, su, a session without pam_systemd).
	out, err := m.cfg.Run(ctx, "systemctl", "--user", "show", "--property=Version")
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrNone, err)
	case out.Code != 0:
		return fmt.Errorf("%w: systemctl --user: %s", ErrNone, firstLine(out.Stderr))
	}
	return nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// State says what is there. It asks the service manager only about a service that is installed.
func (m *Manager) State(ctx context.Context) (State, error) {
	if err := ctx.Err(); err != nil {
		return State{}, context.Cause(ctx)
	}
	s, err := m.installed()
	if err != nil || !s.Installed {
		return s, err
	}
	svc, err := m.service(Spec{})
	if err != nil {
		return s, err
	}
	// Its error says that the service is not there or has failed; neither runs.
	status, _ := svc.Status()
	s.Running = status == kardianos.StatusRunning
	return s, nil
}

// installed looks without asking a service manager that works with files.
func (m *Manager) installed() (State, error) {
	switch m.kind {
	case "":
		return State{}, nil
	case Windows:
		return m.registered()
	}
	s := State{File: m.file()}
	data, err := os.ReadFile(s.File)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	} else if err != nil {
		return s, fmt.Errorf("service file: %w", err)
	}
	s.Installed, s.Ours = true, strings.Contains(string(data), Mark)
	return s, nil
}

// file is where the library puts the description of the service.
func (m *Manager) file() string {
	if m.kind == Launchd {
		return filepath.Join(m.cfg.Home, "Library", "LaunchAgents", m.cfg.Name+".plist")
	}
	return filepath.Join(m.cfg.Home, ".config", "systemd", "user", m.cfg.Name+".service")
}

// Start installs the service, or brings the installed one up to date, and starts it anew. The
// error matches ErrForeign, ErrDenied or ErrNone where that is the reason. A service that could not
// be installed leaves nothing behind; one that does not start stays installed.
func (m *Manager) Start(ctx context.Context, spec Spec) error {
	if err := m.Check(ctx); err != nil {
		return err
	}
	was, err := m.State(ctx)
	if err != nil {
		return err
	}
	if was.Installed && !was.Ours {
		return foreign(was)
	}
	svc, err := m.service(spec)
	if err != nil {
		return err
	}
	if was.Running {
		if err := svc.Stop(); err != nil {
			return m.failed(ctx, "stop", err)
		}
	}
	if err := m.install(ctx, svc, was, spec); err != nil {
		return err
	}
	if m.kind == Systemd { // one that failed too often is not started again, whoever asks
		_, _ = m.cfg.Run(ctx, "systemctl", "--user", "reset-failed", m.cfg.Name+".service")
	}
	if err := svc.Start(); err != nil {
		return m.failed(ctx, "start", err)
	}
	return nil
}

// install writes the description of the service, unless it says the same already.
func (m *Manager) install(ctx context.Context, svc kardianos.Service, was State, spec Spec) error {
	if was.Installed && m.kind != Windows {
		want, err := m.describe(spec)
		if err != nil {
			return err
		}
		if have, err := os.ReadFile(was.File); err == nil && string(have) == want {
			return nil
		}
	}
	if was.Installed {
		if err := svc.Uninstall(); err != nil {
			return m.failed(ctx, "replace", err)
		}
	}
	// The environment of the service may hold passwords, so the file is the user's alone.
	err := privately(svc.Install)
	if err == nil {
		return nil
	}
	if left, lerr := m.installed(); lerr == nil && left.Ours && left.File != "" {
		err = errors.Join(err, os.Remove(left.File)) // the library leaves it when the manager refuses
	}
	return m.failed(ctx, "install", err)
}

// Remove stops the service and takes it away. It reports whether there was one; the error
// matches ErrForeign where it is not ours, which is left as it is.
func (m *Manager) Remove(ctx context.Context) (bool, error) {
	was, err := m.State(ctx)
	if err != nil || !was.Installed {
		return false, err
	}
	if !was.Ours {
		return false, foreign(was)
	}
	svc, err := m.service(Spec{})
	if err != nil {
		return false, err
	}
	if was.Running && m.kind != Launchd { // whose Uninstall stops
		if err := svc.Stop(); err != nil {
			return false, m.failed(ctx, "stop", err)
		}
	}
	if err := svc.Uninstall(); err != nil {
		return false, m.failed(ctx, "remove", err)
	}
	return true, nil
}

func foreign(s State) error {
	if s.File == "" {
		return ErrForeign
	}
	return fmt.Errorf("%w: %s", ErrForeign, s.File)
}

// failed says why the library could not do something. All that it keeps of what systemctl said
// is the exit code, so the usual reason is looked for here.
func (m *Manager) failed(ctx context.Context, what string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: %s: %w", ErrDenied, what, err)
	}
	if cerr := m.Check(ctx); cerr != nil {
		return cerr
	}
	return fmt.Errorf("service manager: %s: %w", what, err)
}

// Log returns the last lines that the service wrote, at most n; none if nobody knows.
func (m *Manager) Log(ctx context.Context, n int) []string {
	text := ""
	if m.kind == Systemd {
		out, err := m.cfg.Run(ctx, "journalctl", "--user", "--unit="+m.cfg.Name+".service", "--output=cat", "--no-pager", fmt.Sprintf("--lines=%d", n))
		if err != nil || out.Code != 0 {
			return nil
		}
		text = out.Stdout
	} else if data, err := os.ReadFile(m.cfg.LogFile); err == nil {
		text = string(data)
	}
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	return lines[max(0, len(lines)-n):]
}

// service is the library's view of the service.
func (m *Manager) service(spec Spec) (kardianos.Service, error) {
	if m.system == nil {
		return nil, ErrNone
	}
	c := &kardianos.Config{
		Name: m.cfg.Name, DisplayName: "goferry", Description: "A module proxy for Go. " + Mark,
		Executable: spec.Program, Arguments: spec.Args, EnvVars: spec.Env,
		Option: kardianos.KeyValue{"UserService": true, "OnFailure": "restart", "OnFailureDelayDuration": "5s"},
	}
	if spec.Program != "" && m.kind != Windows {
		text, err := m.describe(spec)
		if err != nil {
			return nil, err
		}
		// A template of the library's that says all by itself: its own one would be wanted by
		// a target that users do not have, and neither quotes nor escapes variables.
		c.Option["SystemdScript"], c.Option["LaunchdConfig"] = text, text
	}
	return m.system.New(nil, c)
}

// describe is the content of the file that describes the service.
func (m *Manager) describe(spec Spec) (string, error) {
	if !filepath.IsAbs(spec.Program) {
		return "", fmt.Errorf("service: %q is not the whole path of a program", spec.Program)
	}
	if m.kind == Launchd {
		return agent(m.cfg, spec)
	}
	return unit(spec)
}
