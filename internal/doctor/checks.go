package doctor

import "slices"

// Checks lists all checks, in the order of the groups.
func Checks() []Check {
	var all []Check
	for _, list := range checkLists() {
		all = append(all, list()...)
	}
	rank := Groups()
	slices.SortStableFunc(all, func(a, b Check) int { return slices.Index(rank, a.Group) - slices.Index(rank, b.Group) })
	return all
}

// checkLists are those of the topics.
func checkLists() []func() []Check {
	return []func() []Check{settingsChecks, networkChecks, httpChecks, proxyChecks, mirrorChecks, sumChecks, modcacheChecks, sdkChecks, ccChecks}
}

// Select returns the checks that names mean: each is a check, or a group for all of its checks. The first name that is
// neither is returned as unknown. Without names it returns all. The network comes with the checksum database, since
// whether the database's own host counts depends on whether an upstream carries it.
func Select(all []Check, names []string) (list []Check, unknown string) {
	if len(names) == 0 {
		return all, ""
	}
	want := map[string]bool{}
	for _, name := range names {
		known := false
		for _, c := range all {
			if c.ID == name || string(c.Group) == name {
				want[c.ID], known = true, true
				want["sumdb"] = want["sumdb"] || c.Group == Network
			}
		}
		if !known {
			return nil, name
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(c Check) bool { return !want[c.ID] }), ""
}
