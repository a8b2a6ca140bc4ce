//go:build unix

package gocmd

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A group is a program and everything it starts.
type group struct{ id int }

// newGroup makes cmd the leader of a new session, which is a new process group too. Without a
// controlling terminal, nothing in it can ask for a password there and wait for ever.
func newGroup(cmd *exec.Cmd) (*group, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return new(group), nil
}

func (g *group) started(p *os.Process) { g.id = p.Pid }

// terminate may be called before started has returned.
func (g *group) terminate(p *os.Process) error { return signalGroup(p.Pid, syscall.SIGTERM) }

func signalGroup(id int, sig syscall.Signal) error {
	err := syscall.Kill(-id, sig)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

const (
	pollEvery = 5 * time.Millisecond
	killWait  = 2 * time.Second // a busy machine takes its time to end what was killed
)

// finish waits, after terminate, until no member of the group is left, and kills those that are
// left after grace. The leader has been waited for.
func (g *group) finish(grace time.Duration) {
	if g.gone(grace) {
		return
	}
	if signalGroup(g.id, syscall.SIGKILL) == nil {
		g.gone(max(grace, killWait))
	}
}

// gone waits at most that long for the group to be empty and says whether it is. Where this process
// is the one that inherits orphans, as process 1 of a container is, it reaps them.
func (g *group) gone(within time.Duration) bool {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for end := time.Now().Add(within); ; <-tick.C {
		empty := errors.Is(syscall.Kill(-g.id, 0), syscall.ESRCH) || onlyZombies(g.id)
		if g.reap() {
			empty = false
		}
		if empty || !time.Now().Before(end) {
			return empty
		}
	}
}

// reap reaps what has ended of the group, and reports whether children of ours are left in it. One that
// has threads may look like a zombie while the last of them is still ending.
func (g *group) reap() (left bool) {
	for {
		pid, err := unix.Wait4(-g.id, nil, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return false
		case pid == 0:
			return true
		}
	}
}

func (g *group) close() {}
