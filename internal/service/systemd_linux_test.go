package service

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A desk is a home folder and a systemctl in PATH that the library really runs: a shell script
// that keeps the state of the unit in files and writes down what it was asked.
type desk struct {
	home string
	m    *Manager
	ran  [][]string // by Config.Run
	tool Output     // its answer
}

const systemctl = `#!/bin/sh
echo "$*" >>"$DESK/asked"
if [ -e "$DESK/deaf" ]; then echo 'Failed to connect to bus: No medium found' >&2; exit 1; fi
case "$1" in
enable) [ ! -e "$DESK/no-enable" ] || exit 1; : >"$DESK/enabled" ;;
disable) rm -f "$DESK/enabled" ;;
start) [ ! -e "$DESK/no-start" ] || exit 1; : >"$DESK/running" ;;
stop) rm -f "$DESK/running" ;;
is-active) if [ -e "$DESK/running" ]; then echo active; else echo inactive; exit 3; fi ;;
esac
`

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{home: t.TempDir()}
	bin := filepath.Join(d.home, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "systemctl"), []byte(systemctl), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", d.home)
	t.Setenv("DESK", d.home)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	d.m = New(Config{Name: "goferry", Home: d.home, Run: func(_ context.Context, name string, args ...string) (Output, error) {
		d.ran = append(d.ran, append([]string{name}, args...))
		return d.tool, nil
	}})
	return d
}

func (d *desk) file() string {
	return filepath.Join(d.home, ".config", "systemd", "user", "goferry.service")
}

func (d *desk) touch(t *testing.T, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(d.home, name), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// asked are the first two words of what systemctl was asked since the last call.
func (d *desk) asked(t *testing.T) []string {
	t.Helper()
	name := filepath.Join(d.home, "asked")
	data, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	var verbs []string
	for line := range strings.Lines(string(data)) {
		if !strings.Contains(line, "--user") {
			t.Errorf("asked the system's manager: %s", line)
		}
		verbs = append(verbs, strings.Fields(line)[0])
	}
	return verbs
}

func (d *desk) state(t *testing.T) State {
	t.Helper()
	s, err := d.m.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.asked(t)
	return s
}

func TestStartAndRemove(t *testing.T) {
	d := newDesk(t)
	if diff := cmp.Diff(State{File: d.file()}, d.state(t)); diff != "" {
		t.Errorf("before (-want +got)\n%s", diff)
	}
	if err := d.m.Start(t.Context(), spec()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"enable", "daemon-reload", "start"}, d.asked(t)); diff != "" {
		t.Errorf("start (-want +got)\n%s", diff)
	}
	want, err := unit(spec())
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(d.file())
	if err != nil || string(got) != want {
		t.Errorf("unit file: %v (-want +got)\n%s", err, cmp.Diff(want, string(got)))
	}
	if info, err := os.Stat(d.file()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the unit file may hold passwords: %v, %v", info.Mode(), err)
	}
	if diff := cmp.Diff(State{Installed: true, Ours: true, Running: true, File: d.file()}, d.state(t)); diff != "" {
		t.Errorf("running (-want +got)\n%s", diff)
	}
	removed, err := d.m.Remove(t.Context())
	if !removed || err != nil {
		t.Errorf("Remove: %v, %v", removed, err)
	}
	if diff := cmp.Diff([]string{"is-active", "stop", "disable", "daemon-reload"}, d.asked(t)); diff != "" {
		t.Errorf("remove (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(State{File: d.file()}, d.state(t)); diff != "" {
		t.Errorf("after (-want +got)\n%s", diff)
	}
	if removed, err := d.m.Remove(t.Context()); removed || err != nil {
		t.Errorf("Remove of nothing: %v, %v", removed, err)
	}
}

func TestStartAgain(t *testing.T) {
	d := newDesk(t)
	if err := d.m.Start(t.Context(), spec()); err != nil {
		t.Fatal(err)
	}
	d.asked(t)
	if err := d.m.Start(t.Context(), spec()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"is-active", "stop", "start"}, d.asked(t)); diff != "" {
		t.Errorf("the same again (-want +got)\n%s", diff)
	}
	changed := spec()
	changed.Args = []string{"serve"}
	if err := d.m.Start(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"is-active", "stop", "disable", "daemon-reload", "enable", "daemon-reload", "start"}, d.asked(t)); diff != "" {
		t.Errorf("changed (-want +got)\n%s", diff)
	}
	if got, err := os.ReadFile(d.file()); err != nil || strings.Contains(string(got), "--config") {
		t.Errorf("the unit file was not written anew: %v\n%s", err, got)
	}
}

func TestForeignServiceIsLeftAlone(t *testing.T) {
	d := newDesk(t)
	if err := os.MkdirAll(filepath.Dir(d.file()), 0o755); err != nil {
		t.Fatal(err)
	}
	theirs := []byte("[Service]\nExecStart=/usr/bin/goferry serve\n")
	if err := os.WriteFile(d.file(), theirs, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := d.m.Start(t.Context(), spec()); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), d.file()) {
		t.Errorf("Start: %v", err)
	}
	if removed, err := d.m.Remove(t.Context()); removed || !errors.Is(err, ErrForeign) {
		t.Errorf("Remove: %v, %v", removed, err)
	}
	if got, err := os.ReadFile(d.file()); err != nil || !bytes.Equal(got, theirs) {
		t.Errorf("their unit file became %q, %v", got, err)
	}
	for _, verb := range d.asked(t) {
		if verb != "is-active" && verb != "list-unit-files" {
			t.Errorf("asked systemctl to %s their service", verb)
		}
	}
}

func TestRefusedInstallLeavesNothing(t *testing.T) {
	d := newDesk(t)
	d.touch(t, "no-enable")
	if err := d.m.Start(t.Context(), spec()); err == nil {
		t.Error("Start of a service that cannot be enabled")
	}
	if s := d.state(t); s.Installed {
		t.Errorf("left behind: %+v", s)
	}
}

func TestServiceThatDoesNotStartStays(t *testing.T) {
	d := newDesk(t)
	d.touch(t, "no-start")
	if err := d.m.Start(t.Context(), spec()); err == nil || errors.Is(err, ErrNone) {
		t.Errorf("Start: %v", err)
	}
	if diff := cmp.Diff(State{Installed: true, Ours: true, File: d.file()}, d.state(t)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestNoManagerOfTheUser(t *testing.T) {
	d := newDesk(t)
	d.tool = Output{Code: 1, Stderr: "Failed to connect to bus: No medium found\nmore\n"}
	err := d.m.Start(t.Context(), spec())
	if !errors.Is(err, ErrNone) || !strings.HasSuffix(err.Error(), "systemctl --user: Failed to connect to bus: No medium found") {
		t.Errorf("Start: %v", err)
	}
	if s := d.state(t); s.Installed {
		t.Errorf("left behind: %+v", s)
	}
	if diff := cmp.Diff([][]string{{"systemctl", "--user", "show", "--property=Version"}}, d.ran); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestManagerThatIsGone: the library keeps nothing of what systemctl says, so that the reason is
// asked for again.
func TestManagerThatIsGone(t *testing.T) {
	d := newDesk(t)
	if err := d.m.Start(t.Context(), spec()); err != nil {
		t.Fatal(err)
	}
	d.touch(t, "deaf")
	d.tool = Output{Code: 1, Stderr: "Failed to connect to bus: No medium found"}
	if removed, err := d.m.Remove(t.Context()); removed || !errors.Is(err, ErrNone) {
		t.Errorf("Remove: %v, %v", removed, err)
	}
	if _, err := os.Stat(d.file()); err != nil {
		t.Errorf("the unit file is gone although the manager has it: %v", err)
	}
}

func TestLog(t *testing.T) {
	d := newDesk(t)
	d.tool = Output{Stdout: "one\ntwo\nthree\n"}
	if diff := cmp.Diff([]string{"two", "three"}, d.m.Log(t.Context(), 2)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	d.tool = Output{Code: 1, Stdout: "-- No entries --"}
	if got := d.m.Log(t.Context(), 2); got != nil {
		t.Errorf("without a journal: %q", got)
	}
}

func TestToolThatCannotBeStarted(t *testing.T) {
	d := newDesk(t)
	missing := errors.New("systemctl cannot be started")
	d.m.cfg.Run = func(context.Context, string, ...string) (Output, error) { return Output{}, missing }
	if err := d.m.Check(t.Context()); !errors.Is(err, ErrNone) || !errors.Is(err, missing) {
		t.Errorf("Check: %v", err)
	}
}
