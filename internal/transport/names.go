package transport

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// names finds the addresses of hosts. What it finds is where a host may be; a TLS
// handshake shows whether it is there.
type names struct {
	hosts    map[string][]netip.Addr
	lookup   func(ctx context.Context, host string) ([]netip.Addr, error)
	doh      *doh // nil for none
	patience time.Duration
}

// A lookup is one way to find addresses that has not been gone yet.
type lookup struct {
	source AddrSource
	find   func(ctx context.Context) ([]netip.Addr, error)
}

// known returns the addresses of a host that needs no look-up.
func (n *names) known(host string) ([]netip.Addr, AddrSource) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, ""
	}
	return n.hosts[canonical(host)], FromHosts
}

// lookups returns the ways to find host, in the order in which they are to be gone.
func (n *names) lookups(host string, withDoH bool) []lookup {
	all := []lookup{{FromSystem, func(ctx context.Context) ([]netip.Addr, error) {
		ctx, cancel := context.WithTimeout(ctx, n.patience)
		defer cancel()
		return n.lookup(ctx, host)
	}}}
	if withDoH && n.doh != nil {
		all = append(all, lookup{FromDoH, func(ctx context.Context) ([]netip.Addr, error) {
			ctx, cancel := context.WithTimeout(ctx, n.patience)
			defer cancel()
			return n.doh.lookup(ctx, canonical(host))
		}})
	}
	return all
}

// canonical is the one spelling of a host name.
func canonical(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// sift takes out what cannot be the address of a host that others reach, and tells the
// rest from what is doubtful: an address of this machine where the name is not one of
// its own. Private addresses are as good as others, because many companies
// answer with them for names that are public elsewhere.
func sift(host string, ips []netip.Addr) (good, doubtful []netip.Addr) {
	for _, ip := range ips {
		ip = ip.Unmap()
		switch {
		case !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() || teredo(ip):
		case ip.IsLoopback() && !ownName(host):
			doubtful = append(doubtful, ip)
		default:
			good = append(good, ip)
		}
	}
	return good, doubtful
}

// teredo reports whether ip is in 2001::/32 (RFC 4380). No server is there, but forged
// AAAA answers are (Hoang et al., "How Great is the Great Firewall?", 2021).
func teredo(ip netip.Addr) bool {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01}), 32).Contains(ip)
}

// ownName reports whether host may well be this machine: localhost and what is below
// it (RFC 6761, section 6.3), and names without a dot.
func ownName(host string) bool {
	host = canonical(host)
	return !strings.Contains(host, ".") || strings.HasSuffix(host, ".localhost")
}

// interleave lets the families take turns, beginning with that of the first
// address, which the resolver prefers (RFC 8305, section 4).
func interleave(ips []netip.Addr) []netip.Addr {
	var first, second []netip.Addr
	for _, ip := range ips {
		ip = ip.Unmap()
		if ip.Is4() == ips[0].Unmap().Is4() {
			first = append(first, ip)
		} else {
			second = append(second, ip)
		}
	}
	all := make([]netip.Addr, 0, len(ips))
	for i := range ips {
		if i < len(first) {
			all = append(all, first[i])
		}
		if i < len(second) {
			all = append(all, second[i])
		}
	}
	return all
}

// fourFirst puts what is IPv4 before what is not, and leaves the order otherwise.
func fourFirst(entrants []*entrant) {
	slices.SortStableFunc(entrants, func(a, b *entrant) int {
		switch {
		case a.addr.Is4() == b.addr.Is4():
			return 0
		case a.addr.Is4():
			return -1
		}
		return 1
	})
}

func splitAddr(addr string) (host string, port uint16, err error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, &Error{Op: OpConnect, Failure: Other, Err: err}
	}
	n, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return "", 0, &Error{Op: OpConnect, Failure: Other, Host: host, Err: err}
	}
	return host, uint16(n), nil
}
