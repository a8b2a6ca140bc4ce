//go:build linux || darwin || freebsd || netbsd || openbsd

package doctor

import (
	"context"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// narrowSegment is how many bytes of TCP a packet may have in connections of DialNarrow: less than any link has trouble with.
const narrowSegment = 500

// DialNarrow makes a TCP connection in which packets are small, in both directions: it tells the other side not to send
// larger ones. Where that gets through and others do not, large packets are lost on the way. It is nil on systems that have no
// such thing.
func DialNarrow() func(ctx context.Context, network, addr string) (net.Conn, error) {
	d := &net.Dialer{KeepAlive: -1, Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, narrowSegment) }); cerr != nil {
			return cerr
		}
		return err
	}}
	return d.DialContext
}
