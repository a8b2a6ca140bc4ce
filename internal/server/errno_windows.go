package server

import (
	"errors"

	"golang.org/x/sys/windows"
)

// Windows has numbers of its own for socket errors; syscall.EADDRINUSE never
// comes out of a system call there.
func addressInUse(err error) bool      { return errors.Is(err, windows.WSAEADDRINUSE) }
func connectionRefused(err error) bool { return errors.Is(err, windows.WSAECONNREFUSED) }
