//go:build unix

package transport

import (
	"net"
	"os"
	"syscall"
	"testing"
)

func TestErrno(t *testing.T) {
	for errno, want := range map[syscall.Errno]Failure{
		syscall.ECONNREFUSED: Refused,
		syscall.ECONNRESET:   Reset,
		syscall.EPIPE:        Reset,
		syscall.ENETUNREACH:  Unreachable,
		syscall.EHOSTUNREACH: Unreachable,
		syscall.EPERM:        Unreachable,
		syscall.ETIMEDOUT:    TimedOut,
		syscall.EMFILE:       Other,
	} {
		err := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", errno)}
		if got := failureOf(err); got != want {
			t.Errorf("%v: got %s, want %s", errno, got, want)
		}
	}
}
