//go:build linux || darwin || freebsd || netbsd || openbsd

package doctor

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// segmentOf is how large the packets of a connection may be.
func segmentOf(t *testing.T, conn net.Conn) (size int) {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var got error
	if err := raw.Control(func(fd uintptr) { size, got = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG) }); err != nil || got != nil {
		t.Fatal(err, got)
	}
	return size
}
