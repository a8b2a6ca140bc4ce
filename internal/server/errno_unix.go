//go:build !windows

package server

import (
	"errors"
	"syscall"
)

func addressInUse(err error) bool      { return errors.Is(err, syscall.EADDRINUSE) }
func connectionRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
