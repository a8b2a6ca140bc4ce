package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The systemctl and journalctl of scripts: they shadow the machine's own, keep everything in HOME,
// and run the unit that goferry on wrote, with the environment that stands in it and no other. Without
// SYSTEMD=yes in the environment they say what the real ones say in a container.

func fakeSystemctl() { os.Exit(systemctl(os.Args[1:])) }

func systemctl(args []string) int {
	if os.Getenv("SYSTEMD") != "yes" {
		fmt.Fprintln(os.Stderr, "Failed to connect to bus: No medium found")
		return 1
	}
	args = slices.DeleteFunc(args, func(s string) bool { return strings.HasPrefix(s, "-") })
	home := os.Getenv("HOME")
	wants := filepath.Join(home, ".config", "systemd", "user", "default.target.wants")
	var err error
	switch args[0] {
	case "show":
		fmt.Println("Version=252")
	case "enable":
		err = os.MkdirAll(wants, 0o777)
	case "disable":
		err = os.RemoveAll(wants)
	case "start":
		err = startUnit(home)
	case "stop":
		err = stopUnit(home)
	case "is-active":
		if unitPID(home) == 0 {
			fmt.Println("inactive")
			return 3
		}
		fmt.Println("active")
	case "list-unit-files":
		fmt.Println("goferry.service enabled enabled")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func fakeJournalctl() {
	data, err := os.ReadFile(filepath.Join(os.Getenv("HOME"), "journal"))
	if err != nil {
		os.Exit(1)
	}
	os.Stdout.Write(data)
}

// startUnit runs ExecStart; what it writes is the journal.
func startUnit(home string) error {
	data, err := os.ReadFile(filepath.Join(home, ".config", "systemd", "user", "goferry.service"))
	if err != nil {
		return err
	}
	env, argv := []string{"HOME=" + home, "GORACE=" + os.Getenv("GORACE")}, []string{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if s, ok := strings.CutPrefix(line, "Environment="); ok {
			env = append(env, unquoteUnit(s)...)
		} else if s, ok := strings.CutPrefix(line, "ExecStart="); ok {
			argv = unquoteUnit(s)
		}
	}
	journal, err := os.OpenFile(filepath.Join(home, "journal"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	defer journal.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = home, env, journal, journal
	if err := cmd.Start(); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(home, "unit.pid"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o666)
}

// unquoteUnit cuts a line of quoted words, of which scripts use the plainest.
func unquoteUnit(line string) []string {
	var words []string
	for _, w := range strings.Split(strings.Trim(line, `"`), `" "`) {
		words = append(words, strings.NewReplacer("%%", "%", "$$", "$", `\"`, `"`, `\\`, `\`).Replace(w))
	}
	return words
}

// unitPID is the process of the unit, 0 if none runs.
func unitPID(home string) int {
	data, err := os.ReadFile(filepath.Join(home, "unit.pid"))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(string(data))
	if err != nil || signalUnit(pid, syscall.Signal(0)) != nil {
		return 0
	}
	// One that has ended stays until somebody asks how; its parent is gone.
	if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && bytes.Contains(stat, []byte(") Z ")) {
		return 0
	}
	return pid
}

func signalUnit(pid int, sig os.Signal) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Signal(sig)
}

func stopUnit(home string) error {
	pid := unitPID(home)
	if pid == 0 {
		return nil
	}
	if err := signalUnit(pid, syscall.SIGTERM); err != nil {
		return err
	}
	for tick := time.Tick(20 * time.Millisecond); unitPID(home) != 0; {
		<-tick
	}
	return os.Remove(filepath.Join(home, "unit.pid"))
}

// killUnit ends what a script has left running.
func killUnit(home string) {
	if pid := unitPID(home); pid != 0 {
		_ = signalUnit(pid, os.Kill)
		for tick := time.Tick(20 * time.Millisecond); unitPID(home) != 0; {
			<-tick
		}
	}
}

// cmdUnit does with the unit what a user or a fault could: unit start|stop|kill.
func cmdUnit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: unit start|stop|kill")
	}
	home := ts.Getenv("HOME")
	switch args[0] {
	case "start":
		ts.Check(startUnit(home))
	case "stop":
		ts.Check(stopUnit(home))
	case "kill":
		killUnit(home)
	}
}

// cmdPort finds a free port of the loopback interface, sets PORT to it, and FERRY to the URL of a
// goferry there.
func cmdPort(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: port")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	_, port, err := net.SplitHostPort(ln.Addr().String())
	ts.Check(err)
	ts.Check(ln.Close())
	ts.Setenv("PORT", port)
	ts.Setenv("FERRY", "http://127.0.0.1:"+port)
	ts.Setenv("GOFERRY_LISTEN", "127.0.0.1:"+port)
}
