//go:build windows

package gocmd

import (
	"os"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/sys/windows"
)

// A group is a program and everything it starts: a job object. What the program starts before it is put in
// the job, in the moment after its start, stays outside; the go command and git need longer than that.
type group struct {
	job windows.Handle

	mu    sync.Mutex
	inJob bool
	over  bool // terminate was called
}

func newGroup(*exec.Cmd) (*group, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return nil, os.NewSyscallError("CreateJobObject", err)
	}
	return &group{job: job}, nil
}

func (g *group) started(p *os.Process) {
	h, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(p.Pid))
	if err != nil {
		return // it has ended already, or only it itself can be killed
	}
	defer windows.CloseHandle(h)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inJob = windows.AssignProcessToJobObject(g.job, h) == nil
	if g.inJob && g.over {
		_ = windows.TerminateJobObject(g.job, 1)
	}
}

// terminate kills the whole group: there is no way to ask a program without a window. It may be
// called before started has returned.
func (g *group) terminate(p *os.Process) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
	if g.inJob {
		return windows.TerminateJobObject(g.job, 1)
	}
	return p.Kill()
}

// finish kills what the leader left behind.
func (g *group) finish(time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inJob {
		_ = windows.TerminateJobObject(g.job, 1)
	}
}

func (g *group) close() { windows.CloseHandle(g.job) }
