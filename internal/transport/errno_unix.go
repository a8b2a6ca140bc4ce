//go:build unix

package transport

import "syscall"

// errnoFailure classifies what the system says about a connection.
func errnoFailure(errno syscall.Errno) Failure {
	switch errno {
	case syscall.ECONNREFUSED:
		return Refused
	case syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE:
		return Reset
	case syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EHOSTDOWN, syscall.EADDRNOTAVAIL:
		return Unreachable
	case syscall.EACCES, syscall.EPERM: // this machine's firewall
		return Unreachable
	case syscall.ETIMEDOUT:
		return TimedOut
	}
	return Other
}
