//go:build linux && netns

package doctor

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/goferry/goferry/internal/transport"
)

// These tests run in a network namespace that scripts/doctor-netns.sh makes: here is the machine that is looked at, behind
// real routes is another namespace with all the rest. Nothing stands between but the kernel: what is dropped is dropped there.

const (
	realResolver = "45.77.0.53:53"
	simHost6     = "2a00:1450::10"
)

// inWorld listens in the other namespace.
func inWorld(network, addr string) (l net.Listener, pc net.PacketConn, err error) {
	if addr == "system" {
		addr = realResolver
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and the thread ends with this goroutine: it is never unlocked
		fd, e := unix.Open("/proc/"+os.Getenv("WORLD_PID")+"/ns/net", unix.O_RDONLY, 0)
		if err = e; err != nil {
			return
		}
		defer unix.Close(fd)
		if err = unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			return
		}
		if network == "udp" {
			pc, err = net.ListenPacket("udp", addr)
		} else {
			l, err = net.Listen("tcp", addr)
		}
	}()
	<-done
	return l, pc, err
}

// realExam is an examination that resolves and connects as any program does.
func (n *internet) realExam(rawURL string) (*Exam, Target) {
	x, target := n.exam(rawURL, "")
	x.Net.Dial = nil
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", realResolver)
	}}
	x.Net.Lookup = resolver.LookupNetIP
	return x, target
}

func TestRealRoutes(t *testing.T) {
	truth := simDNS{addrs: addrs("45.77.1.20")}
	for _, w := range []network{
		{name: "as it should be, by IPv4", build: func(*internet) {}, want: VerdictHealthy},
		{name: "as it should be, by IPv6 first", want: VerdictHealthy, facts: map[string]Answer{factConnects6: Yes, factConnects: Yes},
			build: func(n *internet) {
				n.truth[simHost] = addrs("45.77.1.10", simHost6)
				n.serve("["+simHost6+"]:443", &simServer{})
			}},
		{name: "IPv6 that is dropped", want: VerdictHealthy, facts: map[string]Answer{factConnects6: No},
			build: func(n *internet) { n.truth[simHost] = addrs("45.77.1.10", "2a00:1450::66") }},
		{name: "IPv6 without a route", want: VerdictHealthy, facts: map[string]Answer{factConnects6: No},
			build: func(n *internet) { n.truth[simHost] = addrs("45.77.1.10", "2b00::1") }},
		{name: "IPv6 connects, and nothing comes of it", want: VerdictIPv6Broken, op: transport.OpTLS, facts: map[string]Answer{factConnects6: Yes, factHandshake4: Yes},
			build: func(n *internet) {
				n.truth[simHost] = addrs("45.77.1.10", simHost6)
				n.serve("["+simHost6+"]:443", &simServer{rule: func(simHello, int) simDeed { return hold }})
			}},
		{name: "packets to the address are dropped", want: VerdictIPBlocked, op: transport.OpConnect, facts: map[string]Answer{factConfirmed: Yes, factControl: Yes},
			build: func(n *internet) { n.truth[simHost] = addrs("45.77.1.66") }},
		{name: "a router says that the address is unreachable", want: VerdictIPBlocked, op: transport.OpConnect, facts: map[string]Answer{factControl: Yes},
			build: func(n *internet) { n.truth[simHost] = addrs("45.77.2.1") }},
		{name: "a router says that the address is prohibited", want: VerdictIPBlocked, op: transport.OpConnect,
			build: func(n *internet) { n.truth[simHost] = addrs("45.77.3.1") }},
		{name: "nothing listens", want: VerdictTCPRefused, op: transport.OpConnect, build: func(n *internet) { n.truth[simHost] = addrs("45.77.1.11") }},
		{name: "large packets are lost", want: VerdictTLSLargeHello, op: transport.OpTLS, facts: map[string]Answer{factSmall: Yes, factPieces: Yes, factAgain: No},
			build: func(n *internet) {
				n.truth[simHost] = addrs("45.77.8.1")
				n.serve("45.77.8.1:443", &simServer{})
			}},
		{name: "handshakes with the name are reset", want: VerdictSNIReset, op: transport.OpTLS, facts: map[string]Answer{factOtherName: Yes},
			build: func(n *internet) { n.censor(reset) }},
		{name: "the resolver's answers are forged on the way", want: VerdictDNSPoisoned, op: transport.OpResolve, facts: map[string]Answer{factSeveral: Yes},
			build: func(n *internet) {
				n.truth[simHost] = addrs("45.77.1.20")
				n.serve("45.77.1.20:443", &simServer{})
				n.system = n.lie(simDNS{addrs: addrs("45.77.1.66")})
				n.udp[simUDP1] = n.lie(simDNS{addrs: addrs("45.77.1.67"), then: &truth})
			}},
		{name: "the resolver is dropped", want: VerdictDNSTimeout, op: transport.OpResolve, facts: map[string]Answer{factElsewhere: Yes},
			build: func(n *internet) { n.system = silence }},
	} {
		t.Run(w.name, func(t *testing.T) {
			n := newInternetAt(t, inWorld)
			w.build(n)
			x, target := n.realExam("https://" + simHost)
			ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
			defer cancel()
			r := x.Reach(ctx, target)
			if r.Verdict != w.want || r.Op != w.op {
				t.Fatalf("verdict %s at %q (%s), want %s at %q\n%s", r.Verdict, r.Op, r.Failure, w.want, w.op, showFacts(r.Facts))
			}
			for name, a := range w.facts {
				if got := answerOf(r.Facts, name); got != a {
					t.Errorf("%s is %q, want %q\n%s", name, got, a, showFacts(r.Facts))
				}
			}
			o := networkCheck(ctx, x)
			if w.want == VerdictHealthy && len(o.Findings) != 0 {
				t.Errorf("false alarm: %+v", o.Findings)
			}
		})
	}
}

// TestRealCable: with the cable out, the network is what is missing.
func TestRealCable(t *testing.T) {
	n := newInternetAt(t, inWorld)
	x, _ := n.realExam("https://" + simHost)
	x.Net.Resolvers, x.Net.DoH = []string{"45.99.0.1:53"}, []string{"https://45.99.0.2/dns-query"} // no route leads there
	x.Net.Lookup = (&net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", "45.99.0.1:53")
	}}).LookupNetIP
	o := networkCheck(t.Context(), x)
	var codes []string
	for _, f := range o.Findings {
		codes = append(codes, f.Code)
	}
	if got := strings.Join(codes, " "); got != fmt.Sprintf("%s %s", codeOffline, VerdictDNSTimeout) {
		t.Errorf("found %s", got)
	}
}
