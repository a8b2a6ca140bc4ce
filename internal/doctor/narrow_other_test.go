//go:build !(linux || darwin || freebsd || netbsd || openbsd)

package doctor

import (
	"net"
	"testing"
)

const narrowSegment = 0

func segmentOf(*testing.T, net.Conn) int { return 0 }
