//go:build unix

package gocmd

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// forwarded are the signals by which people and machines end a program.
var forwarded = []os.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP}

// fromTerminal reports whether the terminal may have sent sig. If so it went to each process of
// the terminal's foreground group.
func fromTerminal(sig os.Signal) bool {
	if sig == syscall.SIGTERM {
		return false
	}
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false // no controlling terminal, or it has hung up: then the leader of the session passes SIGHUP on
	}
	defer tty.Close()
	conn, err := tty.SyscallConn()
	if err != nil {
		return false
	}
	foreground := false
	err = conn.Control(func(fd uintptr) {
		pgid, err := unix.IoctlGetInt(int(fd), unix.TIOCGPGRP)
		foreground = err == nil && pgid == unix.Getpgrp()
	})
	return err == nil && foreground
}

func askToEnd(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

// exitStatus follows the shells: 128 and the number of the signal.
func exitStatus(state *os.ProcessState) int {
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return state.ExitCode()
}
