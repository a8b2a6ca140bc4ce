//go:build windows

package gocmd

import "os"

// forwarded are caught, so that we outlive the program; see fromTerminal.
var forwarded = []os.Signal{os.Interrupt}

// fromTerminal is always true: the console sends Ctrl-C and Ctrl-Break to every process attached to it.
func fromTerminal(os.Signal) bool { return true }

func askToEnd(p *os.Process) error { return p.Kill() }

func exitStatus(state *os.ProcessState) int { return state.ExitCode() }
