package doctor

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// The facts of a trace.
const (
	factTrace          = "kernel-trace"
	factRetransmits    = "retransmits"
	factResetsReceived = "resets-received"
	factResetsSent     = "resets-sent"
)

func traceFacts() []string {
	return []string{factTrace, factRetransmits, factResetsReceived, factResetsSent}
}

// A Trace is the kernel's view of TCP connections while the checks look. It is evidence: no verdict depends on it.
type Trace struct {
	// Events are those on connections to an address since it was first dialed; false where they are not known. It
	// is called by several goroutines.
	Events func(addr netip.AddrPort) (TCPEvents, bool)
	NotRun Reason // why the kernel could not be asked; empty if it is
	Detail string // to NotRun: the error, one line
}

// TCPEvents count what a connection that is well has none of.
type TCPEvents struct {
	Retransmits    uint64 // segments that were sent again, handshakes among them
	ResetsReceived uint64
	ResetsSent     uint64
}

// ran says whether the trace ran, and why not; nil if nobody wanted one.
func (t *Trace) ran(secrets Secrets) *Fact {
	switch {
	case t == nil:
		return nil
	case t.NotRun != "":
		return &Fact{Name: factTrace, Answer: Unmeasured, Value: secrets.Mask(t.Detail), Reason: t.NotRun}
	}
	return &Fact{Name: factTrace, Answer: Yes}
}

// traced is what the kernel saw at addresses that were dialed. It is empty where nobody wanted that, or nothing was dialed.
func (x *Exam) traced(addrs []netip.AddrPort) []Fact {
	if x.Trace == nil || len(addrs) == 0 {
		return nil
	}
	if x.Trace.NotRun != "" {
		unknown := func(name string) Fact { return Fact{Name: name, Answer: Unmeasured, Reason: x.Trace.NotRun} }
		return []Fact{unknown(factRetransmits), unknown(factResetsReceived), unknown(factResetsSent)}
	}
	again, received, sent := tally{name: factRetransmits}, tally{name: factResetsReceived}, tally{name: factResetsSent}
	for _, a := range addrs {
		e, ok := x.Trace.Events(a)
		again.add(a, e.Retransmits, ok)
		received.add(a, e.ResetsReceived, ok)
		sent.add(a, e.ResetsSent, ok)
	}
	return []Fact{again.fact(), received.fact(), sent.fact()}
}

// tracedWell is what the kernel saw happen on the way to a host that was reached: a link that loses something works, too. Resets
// that it sent are none of that: it sends one where a connection is closed and something is still unread, such as session tickets.
func (x *Exam) tracedWell(subject string, r *Reached) []Fact {
	var facts []Fact
	for _, f := range x.traced(r.dialed()) {
		if f.Answer == Yes && f.Name != factResetsSent {
			f.Value = subject + " " + f.Value
			facts = append(facts, f)
		}
	}
	return facts
}

// A tally is how often one thing happened, by address.
type tally struct {
	name  string
	parts []string
	gaps  bool // something is not known
}

func (t *tally) add(addr netip.AddrPort, n uint64, known bool) {
	switch {
	case !known:
		t.gaps = true
	case n > 0:
		t.parts = append(t.parts, addr.String()+" "+strconv.FormatUint(n, 10))
	}
}

func (t *tally) fact() Fact {
	switch {
	case len(t.parts) > 0:
		return Fact{Name: t.name, Answer: Yes, Value: strings.Join(t.parts, ", ")}
	case t.gaps:
		return Fact{Name: t.name, Answer: Unmeasured, Reason: NotReadable}
	}
	return Fact{Name: t.name, Answer: No}
}

// dialed collects the addresses of a proxy that were tried; nil collects none.
type dialed struct {
	mu    sync.Mutex
	addrs []netip.AddrPort
}

func (d *dialed) add(addr string) {
	a, err := netip.ParseAddrPort(addr)
	if d == nil || err != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addrs = append(d.addrs, a)
}

func (d *dialed) list() []netip.AddrPort {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return unique(d.addrs)
}

// dialed are the addresses that were tried on the way: of the target, or of its proxy.
func (r *Reached) dialed() []netip.AddrPort {
	var addrs []netip.AddrPort
	for _, ways := range [][]Way{r.Ways, r.Others} {
		for _, w := range ways {
			if addrs = append(addrs, w.dialed.list()...); w.Addr.IsValid() {
				addrs = append(addrs, w.Addr)
			}
		}
	}
	return unique(addrs)
}

// trace adds to what was found what the kernel saw at the addresses that answered, or were to.
func (l *httpLook) trace(x *Exam) {
	var addrs []netip.AddrPort
	for _, a := range []httpAnswer{l.first, l.body} {
		if addr, err := netip.ParseAddrPort(a.addr); err == nil {
			addrs = append(addrs, addr)
		}
	}
	for i := range l.findings {
		l.findings[i].Facts = append(l.findings[i].Facts, x.traced(unique(addrs))...)
	}
}

// unique is a list with each element once, in its order.
func unique[T comparable](list []T) []T {
	var once []T
	for _, v := range list {
		if !slices.Contains(once, v) {
			once = append(once, v)
		}
	}
	return once
}
