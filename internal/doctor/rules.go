package doctor

import "slices"

// A rule says that findings of some codes merely follow from findings of others.
type rule struct {
	cause, follow []string
	by            relation
	only          bool // a fault alone explains a fault; without it a warning does, too
}

// rules are tried in order: the deepest cause first.
func rules() []rule {
	network, answers, trust := wayCodes(), answerCodes(), trustCodes()
	proxies := []string{codeProxyBroken, codeProxyAuth, codeProxyLogin, codeProxyKind, codeProxyRefuses}
	online := slices.Concat(network, answers, trust, proxies, []string{codeToolchainNowhere, codeGitProxyDead})
	return []rule{
		// Where a proxy leads out that go was kept from, there is no other way, and need not be.
		{cause: []string{codeProxySkipped, codeProxyNotRead}, follow: []string{codeOffline, codeClosedNetwork}},
		// Nothing is to be reached, or somebody wants a log-in before anything is.
		{cause: []string{codeOffline, codeClosedNetwork, codeCaptivePortal}, follow: online},
		// Without the right time no certificate is valid.
		{cause: []string{string(VerdictClockWrong)}, follow: slices.Concat(trust, answers, []string{
			string(VerdictTLSUntrusted), string(VerdictTLSMITM), codeToolchainNowhere})},
		// What a variable says of a proxy, the proxy, and what was to go through it.
		{cause: []string{codeProxyValue}, follow: []string{codeProxyBroken, codeProxyAuth, codeProxyRefuses}, by: ofVariable},
		{cause: []string{codeProxyValue, codeProxyKind}, follow: []string{codeProxyBroken, codeProxyAuth, codeProxyRefuses}, by: throughIt},
		{cause: proxies, follow: slices.Concat(network, answers, trust, proxies), by: throughIt, only: true},
		{cause: proxies, follow: slices.Concat(network, answers, trust, proxies), by: sameHost, only: true},
		{cause: []string{codeProxySkipped, codeProxyNotRead}, follow: slices.Concat(network, answers, trust), by: sameHost},
		// A list that names what is no module proxy, or is gone for good.
		{cause: []string{codeGoProxyGone, codeGoProxyNoProxy, codeGoProxyAssumed}, follow: slices.Concat(network, answers, trust), by: sameHost},
		{cause: []string{codeGoProxyInvalid, codeGoProxyOff}, follow: []string{codeToolchainNowhere, codeToolchainOffline}},
		{cause: []string{codeGoSumDBInvalid}, follow: slices.Concat(trust, []string{codeToolchainNowhere})},
		{cause: []string{codeGoSumDBOff}, follow: []string{codeGoSumDBToolchain}},
		// Who cannot be reached does not answer, and who does not answer serves nothing.
		{cause: network, follow: slices.Concat(answers, trust), by: sameHost, only: true},
		// An address at which nothing goes on is taken at one time and not at another, by who is asked first and connects in time.
		{cause: []string{codeAddressesDead}, follow: slices.Concat(answers, trust), by: sameHost},
		{cause: answers, follow: trust, by: sameHost, only: true},
		{cause: slices.Concat(network, answers), follow: slices.Concat(trust, []string{codeToolchainNowhere}), by: upstreamOf, only: true},
		{cause: trust, follow: []string{codeToolchainNowhere}, only: true},
		// A GOROOT that belongs to another Go.
		{cause: []string{codeGoRootExported}, follow: []string{codeGoBroken, codeGorootMixed, codeGorootNothing, codeToolsMixed, codeSDKUnreadable}},
		{cause: []string{codeGorootMixed, codeGorootNothing}, follow: []string{codeGoBroken, codeToolsMixed, codeSDKMixed, codeSDKAltered, codeSDKUnreadable}},
		{cause: []string{codeSDKMixed}, follow: []string{codeGoBroken, codeToolsMixed, codeSDKAltered}},
		{cause: []string{codeSDKAltered}, follow: []string{codeGoBroken, codeToolsMixed}},
		{cause: []string{codeToolchainInvalid}, follow: []string{codeModInvalid}, by: sameThing},
		{cause: []string{codeModNoPatch}, follow: []string{codeToolchainNowhere}},
		{cause: []string{codeToolchainInvalid, codeToolchainLang}, follow: []string{codeGoTooOld, codeToolchainAbsent, codeToolchainOffline, codeToolchainNowhere}},
		{cause: []string{codeTargetLeft}, follow: []string{codeCGOCross, codeCCTarget}},
		// A full disk is felt everywhere.
		{cause: []string{codeDiskFull, codeInodesFull}, follow: []string{codeCacheReadOnly, codeDiskReadErr, codeCacheCorrupt, codeCCBroken, codeCCLinker}},
		// Root was here.
		{cause: []string{codeCacheSudo}, follow: []string{codeCacheOwner, codeCacheReadOnly}},
		{cause: []string{codeCacheOwner}, follow: []string{codeCacheReadOnly}},
		{cause: []string{codeCacheNoFolder}, follow: []string{codeCacheNowhere}},
		{cause: []string{codeCacheOwner, codeCacheReadOnly}, follow: []string{codeDiskReadErr}, by: sameThing},
		{cause: []string{codeCacheNetwork}, follow: []string{codeCacheHeld}},
		// No compiler, no cgo; on a Mac neither is there without the tools of Xcode, and git is not, either.
		{cause: []string{codeCCXcode, codeCCLicense}, follow: []string{codeCCMissing, codeCCBroken, codeCCHeaders, codeCCLinker, codeCGONoCC, codeCXXMissing, codeGitBroken, codeGitMissing}},
		{cause: []string{codeCCMissing, codeCCTarget, codeCCMSVC}, follow: []string{codeCGONoCC, codeCXXMissing, codeCCBroken}},
		{cause: []string{codeCGONoCC}, follow: []string{codeCXXMissing}},
		{cause: []string{codePkgConfigGone}, follow: []string{codePCMissing}},
	}
}

// wayCodes are about the way to a host, up to its certificate.
func wayCodes() []string {
	return slices.DeleteFunc(networkCodes(), func(code string) bool {
		return code == codeOffline || code == codeClosedNetwork || code == string(VerdictClockWrong) || code == string(VerdictNoH2)
	})
}

// answerCodes are about what a host answers.
func answerCodes() []string {
	return slices.DeleteFunc(slices.Concat(httpCodes(), mirrorCodes()), func(code string) bool {
		return code == codeCaptivePortal || code == string(VerdictH2Broken)
	})
}

// trustCodes are about the checksum database.
func trustCodes() []string { return sumCodes() }

// nearby are the codes whose cause lies near the user and not at a host: found for several hosts, it is one thing.
func nearby() []string {
	return []string{codeCaptivePortal, string(VerdictDNSTimeout), string(VerdictDNSHijacked), string(VerdictTLSLargeHello), string(VerdictTLSMITM),
		string(VerdictIPv6Broken), string(VerdictNoH2), string(VerdictClockWrong)}
}
