package goproxytest

import (
	"net/netip"
	"syscall"
)

// keepPort keeps the port of a server that is down: a socket that is bound and does not listen refuses connections, and nobody else is
// given its port, which tests side by side would otherwise take now and then.
func keepPort(addr string) (release func()) {
	none := func() {}
	ap, err := netip.ParseAddrPort(addr)
	if err != nil || !ap.Addr().Is4() {
		return none
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return none
	}
	release = func() { _ = syscall.Close(fd) }
	// With this option, as Go's listeners have it, the server can bind to the port again before it is let go.
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		release()
		return none
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}); err != nil {
		release()
		return none
	}
	return release
}
