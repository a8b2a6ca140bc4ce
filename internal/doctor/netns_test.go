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
)

// These tests run in a network namespace that scripts/doctor-netns.sh makes: here is the machine that is looked at, behind
// real routes is another namespace with all the rest. Nothing stands between but the kernel: what is dropped is dropped there.

const realResolver = "45.77.0.53:53"

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
	x.Net.Dial, x.Net.DialNarrow = nil, DialNarrow()
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", realResolver)
	}}
	x.Net.Lookup = resolver.LookupNetIP
	return x, target
}

func TestRealRoutes(t *testing.T) {
	for _, w := range realNetworks() {
		t.Run(w.name, func(t *testing.T) {
			n := newInternetAt(t, inWorld, nil)
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
			got, want := strings.Join(codesIn(networkCheck(ctx, x)), " "), string(w.want)
			if w.want == VerdictHealthy {
				want = ""
			}
			if got != want {
				t.Errorf("found %q, want %q", got, want)
			}
		})
	}
}

func codesIn(o Outcome) []string {
	var codes []string
	for _, f := range o.Findings {
		codes = append(codes, f.Code)
	}
	return codes
}

// TestRealDead: where nothing is to be reached, the network is what is missing.
func TestRealDead(t *testing.T) {
	for name, hosts := range map[string][2]string{realCable: {"45.99.0.1", "45.99.0.2"}, realSwallowed: {"45.77.1.66", "45.77.1.67"}} {
		t.Run(name, func(t *testing.T) {
			n := newInternetAt(t, inWorld, nil)
			x, _ := n.realExam("https://" + simHost)
			x.Net.Resolvers, x.Net.DoH = []string{hosts[0] + ":53"}, []string{"https://" + hosts[1] + "/dns-query"}
			x.Net.Lookup = (&net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "udp", hosts[0]+":53")
			}}).LookupNetIP
			if got := strings.Join(codesIn(networkCheck(t.Context(), x)), " "); got != fmt.Sprintf("%s %s", codeOffline, VerdictDNSTimeout) {
				t.Errorf("found %s", got)
			}
		})
	}
}
