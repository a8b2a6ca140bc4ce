package transport

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// errnoFailure classifies what the system says about a connection. The E…
// names of package syscall are inventions on Windows; Winsock answers with its own.
func errnoFailure(errno syscall.Errno) Failure {
	switch errno {
	case windows.WSAECONNREFUSED:
		return Refused
	case windows.WSAECONNRESET, windows.WSAECONNABORTED:
		return Reset
	case windows.WSAENETUNREACH, windows.WSAEHOSTUNREACH, windows.WSAENETDOWN, windows.WSAEHOSTDOWN, windows.WSAEADDRNOTAVAIL:
		return Unreachable
	case windows.WSAEACCES: // this machine's firewall
		return Unreachable
	case windows.WSAETIMEDOUT:
		return TimedOut
	}
	return Other
}
