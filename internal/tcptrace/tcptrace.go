// Package tcptrace counts what goes wrong on TCP connections to given addresses, as the
// Linux kernel sees it, by eBPF.
//
// It opens no connection, reads nothing of what is sent, and counts nothing for addresses that nobody
// named. Where the kernel does not allow it, Open says why, and that is all that happens.
package tcptrace

import (
	"errors"
	"net/netip"
)

// Errors of Open. What the kernel said stands behind them.
var (
	// ErrNotHere says that this system has no such thing: it is no Linux, or one without eBPF, the tracepoints or BTF.
	ErrNotHere = errors.New("no tracing of TCP by eBPF on this system")
	// ErrNoRights says that this user may not, or that nobody may (seccomp of a container, lockdown).
	ErrNoRights = errors.New("no rights to trace TCP by eBPF")
	// ErrAltered says that a program is not the one that was written. It was not loaded.
	ErrAltered = errors.New("an eBPF program is not what it was when goferry was built")
)

// Counts is what happened since Watch on all connections of this machine to one address and port.
type Counts struct {
	Retransmits    uint64 // segments that were sent again, handshakes among them
	ResetsReceived uint64 // connections that were cut off from the other side, or in its name
	ResetsSent     uint64 // connections that were cut off here
}

// addrMost is how many addresses can be watched. The map that is as large has to fit into the 64 KiB of locked memory
// that kernels before 5.11 grant.
const addrMost = 256

// A key is an address and port as the programs look them up: an IPv4 address in its IPv6 form.
type key struct {
	Addr [16]byte
	Port [2]byte // in the order of the network
	_    [6]byte
}

func keyOf(a netip.AddrPort) key {
	return key{Addr: a.Addr().As16(), Port: [2]byte{byte(a.Port() >> 8), byte(a.Port())}}
}
