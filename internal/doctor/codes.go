package doctor

import "slices"

// Codes lists the codes of findings. The text of one is doctor.finding.CODE; its data are Args, Subject and Op.
func Codes() []string { return joined(codeLists()) }

// FactNames lists the names of facts. The text of one is doctor.fact.NAME, a label such as "connects",
// behind which its answer and value are shown; if it takes {{.Value}}, it stands alone where the answer is yes.
func FactNames() []string { return joined(factLists()) }

// FixCodes lists the codes of fixes. The text of one is doctor.fix.CODE, words that stand before the exact line;
// its data are Args, Key, Value and File.
func FixCodes() []string { return joined(fixLists()) }

// Every topic keeps its own list, beside the checks that use it.

func codeLists() []func() []string {
	return []func() []string{
		networkCodes, httpCodes, proxyCodes, mirrorCodes, sumCodes, walkCodes,
		settingsCodes, goproxyCodes, gosumdbCodes, goprivateCodes, goflagsCodes, gomodCodes, gitCodes, modcacheCodes, diskCodes,
		sdkCodes, ccCodes,
	}
}

func factLists() []func() []string {
	return []func() []string{
		networkFacts, traceFacts, httpFacts, proxyFacts, mirrorFacts, sumFacts, walkFacts,
		settingsFactNames, goproxyFactNames, gosumdbFactNames, goprivateFactNames, goflagsFactNames, gomodFactNames, gitFactNames, modcacheFactNames, diskFactNames,
		sdkFactNames, ccFactNames,
	}
}

func fixLists() []func() []string {
	return []func() []string{
		networkFixes, httpFixes, proxyFixes, sumFixes, walkFixes,
		settingsFixCodes, goprivateFixCodes, gomodFixCodes, gitFixCodes, modcacheFixCodes, diskFixCodes,
		sdkFixCodes, ccFixCodes,
	}
}

// joined is sorted, each code once: two topics may find the same thing.
func joined(lists []func() []string) []string {
	var all []string
	for _, list := range lists {
		all = append(all, list()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
