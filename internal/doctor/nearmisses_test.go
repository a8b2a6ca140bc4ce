package doctor

// A nearMiss names a scenario.
type nearMiss struct{ area, name string }

// nearMisses are scenarios that look like a verdict and must not come to it.
func nearMisses() map[Verdict][]nearMiss {
	in := func(area string, names ...string) []nearMiss {
		var list []nearMiss
		for _, name := range names {
			list = append(list, nearMiss{area, name})
		}
		return list
	}
	way := func(names ...string) []nearMiss { return in(areaWay, names...) }
	return map[Verdict][]nearMiss{
		VerdictHealthy: way("IPv6 connects and nothing comes of it", "HTTP/2 is cut off when it is offered"),
		VerdictUnknown: way("every handshake is hung up on", "no connection, and no resolver to confirm the address"),
		VerdictDNSPoisoned: append(way("every resolver names another server of a content network",
			"forged answers from public resolvers, true ones from the system's", "a private address for a name that is public elsewhere",
			"addresses that others do not know, and no answer"), in(areaRoutes, "a true answer, and the same once more")...),
		VerdictDNSNXDomain: way("a SOCKS proxy that resolves", "the resolver cannot find out"),
		VerdictDNSHijacked: way("a local proxy program that carries what it gives addresses to", "a resolver that answers for names that do not exist",
			"this machine in place of a host that is elsewhere"),
		VerdictDNSTimeout: way("slow, but it works", "a company proxy that works, and no other way"),
		VerdictIPBlocked: append(way("no connection, and no resolver to confirm the address", "addresses that others do not know, and no answer",
			"no answer at an address that all plain resolvers name, while one over HTTPS names another that works"),
			in(areaRoutes, "IPv6 that a router prohibits")...),
		VerdictTCPRefused: way("the first address refuses, the second serves"),
		VerdictTCPReset:   way("the name is cut off", "large hellos are cut off"),
		VerdictTCPTimeout: way("right addresses that nobody lets through to", "IPv6 that swallows connections"),
		VerdictSNIReset:   way("every handshake is cut off", "large hellos are cut off", "no handshake is answered"),
		VerdictTLSTimeout: way("a handshake that takes longer than is usual, but not too long for go", "the name is swallowed"),
		VerdictTLSLargeHello: append(way("large hellos are swallowed, and go sends small ones", "large hellos are swallowed, and go is old", "no handshake is answered"),
			in(areaRoutes, "IPv6 by a tunnel that loses large packets")...),
		VerdictTLSMITM:       way("a gateway with an authority that is trusted", "an authority of the company that is not installed"),
		VerdictTLSUntrusted:  way("the clock is years behind", "a gateway opens connections to all"),
		VerdictTLSBadName:    way("a certificate for all names of a domain"),
		VerdictH2Broken:      append(way("HTTP/2 is cut off, and go does without", "a server without HTTP/2"), in(areaHTTP, "aborted once")...),
		VerdictNoH2:          way("HTTP/2 is cut off, and go does without"),
		VerdictHTTPStalled:   in(areaHTTP, "silent at first", "zip stopped once", "slow and fine"),
		VerdictHTTPThrottled: in(areaHTTP, "slow from the start"),
		VerdictCaptivePortal: append(in(areaPortals, "sends to its own www", "answers as it should"), in(areaHTTP, "log-in of the company")...),
		VerdictProxyAuth:     in(areaProxies, "log-in that is right", "wants NTLM"),
		VerdictProxyBroken:   in(areaProxies, "excepted, not needed", "all_proxy that does not help", "refuses the host"),
		VerdictMirrorStale:   in(areaMirrors, "behind by an hour", "pseudo-versions and garbage in the list"),
		VerdictMirrorLies:    in(areaMirrors, "the database is forged, the module is not", "nobody to ask for the hash"),
		VerdictSumDBUnreachable: append(in(areaSumDB, "through the upstream, its own host is dead", "refused by the first, the second has it"),
			in(areaWhole, "the database's own host is blocked, and the mirror carries it")...),
		VerdictIPv6Broken: append(way("no IPv6, though the host has it", "IPv6 that swallows connections"), in(areaRoutes, "IPv6 that is dropped")...),
		VerdictClockWrong: way("a certificate that has expired"),
	}
}
