package doctor

import (
	"crypto/tls"
	"fmt"
	"time"

	"github.com/goferry/goferry/internal/transport"
)

const (
	simHost6 = "2a00:1450::10"
	// Those of TestRealDead.
	realCable     = "the cable is out"
	realSwallowed = "every packet is dropped behind the first router"
)

// realNetworks are the scenarios over real routes, which netns_test.go examines where there are network namespaces; see
// scripts/doctor-netns.sh for what stands behind each address.
func realNetworks() []network {
	truth := simDNS{addrs: addrs("45.77.1.20")}
	return []network{
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
		{name: "IPv6 that a router calls unreachable", want: VerdictHealthy, facts: map[string]Answer{factConnects6: No},
			build: func(n *internet) { n.truth[simHost] = addrs("45.77.1.10", "2a00:1450:2::1") }},
		{name: "IPv6 that a router prohibits", want: VerdictHealthy, facts: map[string]Answer{factConnects6: No},
			build: func(n *internet) { n.truth[simHost] = addrs("45.77.1.10", "2a00:1450:3::1") }},
		{name: "a true answer, and the same once more", want: VerdictHealthy, facts: map[string]Answer{},
			build: func(n *internet) {
				again := simDNS{addrs: addrs("45.77.1.10")}
				n.udp[simUDP1] = n.lie(simDNS{addrs: again.addrs, late: 250 * time.Millisecond, then: &again})
			}},
		{name: "IPv6 connects, and nothing comes of it", want: VerdictIPv6Broken, op: transport.OpTLS, facts: map[string]Answer{factConnects6: Yes, factHandshake4: Yes},
			build: func(n *internet) {
				n.truth[simHost] = addrs("45.77.1.10", simHost6)
				n.serve("["+simHost6+"]:443", &simServer{rule: func(simHello, int) simDeed { return hold }})
			}},
		{name: "IPv6 by a tunnel that loses large packets", want: VerdictIPv6Broken, op: transport.OpTLS, facts: map[string]Answer{factConnects6: Yes, factHandshake4: Yes},
			build: func(n *internet) {
				n.truth[simHost] = addrs("45.77.1.10", "2a00:1450::81")
				n.serve("[2a00:1450::81]:443", &simServer{})
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
		{name: "large packets of answers are lost", want: VerdictTLSTimeout, op: transport.OpTLS, facts: map[string]Answer{factSmall: No, factPieces: No, factNarrow: Yes},
			build: func(n *internet) {
				n.truth[simHost] = addrs("45.77.9.1")
				names := []string{simHost}
				for i := range 60 { // a certificate as long as usual
					names = append(names, fmt.Sprintf("host-number-%d.%s", i, simHost))
				}
				cert := n.ca.issue(time.Now(), names...)
				n.serve("45.77.9.1:443", &simServer{cert: func(string) tls.Certificate { return cert }})
			}},
		{name: "handshakes with the name are reset", want: VerdictSNIReset, op: transport.OpTLS, facts: map[string]Answer{factOtherName: Yes},
			build: func(n *internet) { n.censor(reset) }},
		{name: "the resolver's answers are forged on the way, and the true one comes 250 ms later", want: VerdictDNSPoisoned, op: transport.OpResolve,
			facts: map[string]Answer{factSeveral: Yes},
			build: func(n *internet) {
				n.truth[simHost] = addrs("45.77.1.20")
				n.serve("45.77.1.20:443", &simServer{})
				n.system = n.lie(simDNS{addrs: addrs("45.77.1.66")})
				n.udp[simUDP1] = n.lie(simDNS{addrs: addrs("45.77.1.67"), late: 250 * time.Millisecond, then: &truth})
				n.udp[simUDP2] = n.lie(simDNS{addrs: addrs("45.77.1.66")})
				n.doh = silence
			}},
		{name: "the resolver is dropped", want: VerdictDNSTimeout, op: transport.OpResolve, facts: map[string]Answer{factElsewhere: Yes},
			build: func(n *internet) { n.system = silence }},
	}
}
