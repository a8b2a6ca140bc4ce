package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"

	"github.com/goferry/goferry/internal/doctor"
	"github.com/goferry/goferry/internal/tcptrace"
)

// A doctorTrace is the kernel's view of what the doctor dials, for --trace.
type doctorTrace struct {
	trace *tcptrace.Trace // nil where there is none
	err   error           // why
}

// traced lets the kernel count for x, if that is wanted: from now on, so that nothing counts that was there before.
func (r *doctorRun) traced(x *doctor.Exam) {
	if !r.flags.trace {
		return
	}
	r.trace.end()
	r.trace = &doctorTrace{}
	if r.trace.trace, r.trace.err = tcptrace.Open(); r.trace.err != nil {
		r.log.logger().Info("no trace", "err", r.trace.err)
	}
	x.Trace, x.Net.Dial = r.trace.exam(), r.trace.dialer(x.Net.Dial)
}

// end takes the programs out of the kernel.
func (d *doctorTrace) end() {
	if d != nil && d.trace != nil {
		_ = d.trace.Close() // the kernel does the rest when goferry ends
	}
}

// exam is what the checks see of it.
func (d *doctorTrace) exam() *doctor.Trace {
	if d.err == nil {
		return &doctor.Trace{Events: func(addr netip.AddrPort) (doctor.TCPEvents, bool) {
			c, ok := d.trace.Counts(addr)
			return doctor.TCPEvents(c), ok
		}}
	}
	t := &doctor.Trace{NotRun: doctor.Broken, Detail: oneLine(d.err.Error(), 300)}
	switch {
	case errors.Is(d.err, tcptrace.ErrNoRights):
		t.NotRun, t.Detail = doctor.NoRights, ""
	case errors.Is(d.err, tcptrace.ErrNotHere):
		t.NotRun = doctor.NotHere
	}
	return t
}

// dialer lets addresses be watched before they are dialed.
func (d *doctorTrace) dialer(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	if d.trace == nil {
		return dial
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if a, err := netip.ParseAddrPort(addr); err == nil && strings.HasPrefix(network, "tcp") {
			_ = d.trace.Watch(a) // what is not watched is not known
		}
		return dial(ctx, network, addr)
	}
}

// traced says in a line whether the kernel was asked, and why not.
func (d *doctorPage) traced(f *doctor.Fact) {
	if f != nil {
		d.wrapped("    ", "      ", d.fact(*f))
	}
}
