//go:build unix

package doctor

import "syscall"

func connRefused() error { return syscall.ECONNREFUSED }
