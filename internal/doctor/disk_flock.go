//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package doctor

import (
	"errors"

	"golang.org/x/sys/unix"
)

func mcTryLock(fd int) Answer {
	err := unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB)
	switch {
	case err == nil:
		_ = unix.Flock(fd, unix.LOCK_UN) // closing would do it, too
		return No
	case errors.Is(err, unix.EWOULDBLOCK):
		return Yes
	}
	return Unmeasured
}
