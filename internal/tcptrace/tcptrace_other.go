//go:build !linux

package tcptrace

import "net/netip"

// A Trace counts; see Open.
type Trace struct{}

// Open fails with ErrNotHere: only Linux has what it takes.
func Open() (*Trace, error) { return nil, ErrNotHere }

// Watch does nothing.
func (*Trace) Watch(netip.AddrPort) error { return ErrNotHere }

// Counts knows nothing.
func (*Trace) Counts(netip.AddrPort) (Counts, bool) { return Counts{}, false }

// Close does nothing.
func (*Trace) Close() error { return nil }
