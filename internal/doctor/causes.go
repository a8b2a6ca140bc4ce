package doctor

import (
	"cmp"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// A found is a finding with where it stands.
type found struct {
	Finding
	check string
	group Group
	seq   int // the order in which it was reported
	cause int // index of what it follows from; -1 for nothing
}

// causesOf finds out what merely follows from what, and puts the most likely root cause first. It notes in results
// which causes each of them belongs to.
func causesOf(x *Exam, results []Result) []Cause {
	spare(x, results)
	list := distinct(results)
	j := judge{x, list}
	for i := range list {
		list[i].cause = j.causeOf(i)
	}
	roots := map[int]*Cause{}
	order := []int{}
	for i, f := range list {
		if f.cause < 0 {
			roots[i] = &Cause{Finding: f.Finding, Check: f.check}
			order = append(order, i)
		}
	}
	for i, f := range list {
		if f.cause >= 0 {
			root := roots[j.rootOf(i)]
			root.Follows = append(root.Follows, f.Finding)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(
			cmp.Compare(weight(*roots[a]), weight(*roots[b])),
			cmp.Compare(len(roots[b].Follows), len(roots[a].Follows)), // what explains more is more likely
			cmp.Compare(list[a].seq, list[b].seq),
		)
	})
	causes := []Cause{}
	place := map[int]int{}
	for n, i := range order {
		causes, place[i] = append(causes, *roots[i]), n
	}
	for r := range results {
		results[r].Causes = nil
		for _, f := range results[r].Findings {
			if n := place[j.rootOf(indexOf(list, f))]; !slices.Contains(results[r].Causes, n) {
				results[r].Causes = append(results[r].Causes, n)
			}
		}
		slices.Sort(results[r].Causes)
	}
	return causes
}

// indexOf is where list has f, or what it was merged into.
func indexOf(list []found, f Finding) int {
	return slices.IndexFunc(list, func(o found) bool { return o.Code == f.Code && o.Subject == f.Subject })
}

// spare makes notes of what is found about hosts that the go command does not need: the checksum database's own where the
// database is reached without it, or where an upstream keeps go from coming there, and archive hosts where another one answers. It
// takes the one way that works, and no other.
func spare(x *Exam, results []Result) {
	idle := map[Role]bool{
		Database: slices.ContainsFunc(results, func(r Result) bool { return r.Group == SumDB && (r.State == Healthy || keptFromDatabase(x, r)) }),
		SDKHost: slices.ContainsFunc(x.Targets, func(t Target) bool {
			return t.Role == SDKHost && t.URL != nil && answersWell(results, t.URL.Hostname())
		}),
	}
	needed := func(host string) bool {
		mine := targetsAt(x, host)
		return len(mine) == 0 || slices.ContainsFunc(mine, func(t Target) bool { return !idle[t.Role] })
	}
	for i := range results {
		r := &results[i]
		if r.Group != Network && r.Group != Proxies {
			continue
		}
		r.Findings = slices.Clone(r.Findings)
		for k, f := range r.Findings {
			host := hostOf(f.Subject)
			if r.Group == Proxies { // the subject is the proxy
				host = hostOf(f.Args["Host"])
			}
			if f.Severity == Note || host == "" || needed(host) {
				continue
			}
			switch r.Findings[k].Severity = Note; {
			case r.Group == Network:
				r.Findings[k].Fixes = nil
			case strings.Contains(x.GoEnv.Values["GOPROXY"], "direct"): // where the proxy would be used after all
				r.Findings[k].Severity = Warning
			}
		}
		if late := strings.Fields(r.Detail); r.Group == Network && r.Reason != "" && len(late) > 0 &&
			!slices.ContainsFunc(late, func(s string) bool { return hostOf(s) == "" || needed(hostOf(s)) }) {
			r.Reason, r.Detail = "", "" // what it did not come to does not count, either
		}
		r.take(Outcome{Findings: r.Findings, Facts: r.Facts, NotRun: r.Reason, Detail: r.Detail}, r.Took)
	}
}

// keptFromDatabase reports whether what is wrong with the checksum database is wrong at an upstream, beyond which the go command
// does not go. See sumFind.
func keptFromDatabase(x *Exam, r Result) bool {
	return len(r.Findings) > 0 && !slices.ContainsFunc(r.Findings, func(f Finding) bool {
		return !slices.ContainsFunc(targetsAt(x, hostOf(f.Subject)), func(t Target) bool { return t.Role == Upstream })
	})
}

func targetsAt(x *Exam, host string) []Target {
	return slices.DeleteFunc(slices.Clone(x.Targets), func(t Target) bool { return t.URL == nil || !strings.EqualFold(t.URL.Hostname(), host) })
}

// answersWell reports whether the network was looked at, and nothing is wrong with host.
func answersWell(results []Result, host string) bool {
	looked := false
	for _, r := range results {
		if r.Group != Network {
			continue
		}
		looked = looked || r.Reason == ""
		for _, f := range r.Findings {
			if f.Code == codeOffline || f.Code == codeClosedNetwork || f.Severity == Fault && hostOf(f.Subject) == strings.ToLower(host) {
				return false
			}
		}
	}
	return looked
}

// distinct collects all findings in the order of the results, the same of two checks once.
func distinct(results []Result) []found {
	var list []found
	for _, r := range results {
		for _, f := range r.Findings {
			i := indexOf(list, f)
			if i < 0 {
				list = append(list, found{Finding: f, check: r.Check, group: r.Group, seq: len(list), cause: -1})
				continue
			}
			list[i].Finding = merged(list[i].Finding, f)
		}
	}
	return list
}

// merged is what two checks know of the same thing.
func merged(a, b Finding) Finding {
	if severityRank(b.Severity) < severityRank(a.Severity) {
		a.Severity = b.Severity
	}
	a.Op = cmp.Or(a.Op, b.Op)
	a.Facts, a.Fixes = slices.Clone(a.Facts), slices.Clone(a.Fixes)
	for _, f := range b.Facts {
		if !slices.Contains(a.Facts, f) {
			a.Facts = append(a.Facts, f)
		}
	}
	for _, f := range b.Fixes {
		if !slices.ContainsFunc(a.Fixes, func(o Fix) bool { return sameFix(o, f) }) {
			a.Fixes = append(a.Fixes, f)
		}
	}
	return a
}

func sameFix(a, b Fix) bool {
	return a.Code == b.Code && a.Kind == b.Kind && a.Key == b.Key && a.Value == b.Value && a.File == b.File && a.Old == b.Old && a.New == b.New &&
		slices.Equal(a.Command, b.Command)
}

// Severities lists the severities, the worst first.
func Severities() []Severity { return []Severity{Fault, Warning, Note} }

func severityRank(s Severity) int { return slices.Index(Severities(), s) }

// weight is that of the worst in a family: a warning from which a fault follows is what is to be mended first.
func weight(c Cause) int {
	w := severityRank(c.Severity)
	for _, f := range c.Follows {
		w = min(w, severityRank(f.Severity))
	}
	return w
}

// judge says what follows from what.
type judge struct {
	x    *Exam
	list []found
}

// causeOf returns the finding that the i-th follows from, by the first rule that has one; -1 for none.
func (j judge) causeOf(i int) int {
	f := j.list[i]
	for _, r := range rules() {
		if !slices.Contains(r.follow, f.Code) {
			continue
		}
		for k, c := range j.list {
			if k != i && slices.Contains(r.cause, c.Code) && r.enough(c, f) && j.related(r.by, c, f) && !j.follows(k, i) {
				return k
			}
		}
	}
	if slices.Contains(nearby(), f.Code) || j.archive(f) { // the same for several hosts has one cause, near the user
		for k := range i {
			if j.list[k].Code == f.Code && (!j.archive(f) || j.archive(j.list[k])) && !j.follows(k, i) {
				return k
			}
		}
	}
	return -1
}

// archive reports whether f is about an archive host: none of those counts by itself.
func (j judge) archive(f found) bool {
	mine := targetsAt(j.x, hostOf(f.Subject))
	return len(mine) > 0 && !slices.ContainsFunc(mine, func(t Target) bool { return t.Role != SDKHost })
}

// enough reports whether a cause of that severity explains what follows.
func (r rule) enough(c, f found) bool {
	if r.only || c.Severity == Note {
		return severityRank(c.Severity) <= severityRank(f.Severity)
	}
	return true
}

// follows reports whether the k-th finding is known to follow from the i-th: nothing is its own cause.
func (j judge) follows(k, i int) bool {
	for steps := 0; k >= 0 && steps <= len(j.list); steps++ {
		if k == i {
			return true
		}
		k = j.list[k].cause
	}
	return false
}

// rootOf is the finding at the end of the chain.
func (j judge) rootOf(i int) int {
	for steps := 0; j.list[i].cause >= 0 && steps <= len(j.list); steps++ {
		i = j.list[i].cause
	}
	return i
}

// A relation is what a cause and what follows from it have in common.
type relation int

const (
	anything   relation = iota // one machine
	sameHost                   // they are about the same host
	sameThing                  // they are about the same variable, file or program
	throughIt                  // the cause is about the proxy on the way to the other's host
	ofVariable                 // the cause is about the variable that the other comes from
	upstreamOf                 // the cause is about an upstream, which would have brought what the other lacks
)

func (j judge) related(by relation, c, f found) bool {
	switch by {
	case sameHost:
		h := hostsOf(c.Finding)
		return slices.ContainsFunc(hostsOf(f.Finding), func(host string) bool { return slices.Contains(h, host) }) && !neighbours(c.Finding, f.Finding)
	case sameThing:
		return c.Subject != "" && c.Subject == f.Subject
	case ofVariable:
		return c.Subject != "" && c.Subject == f.Args["Var"]
	case throughIt:
		return j.through(hostsOf(c.Finding), hostsOf(f.Finding))
	case upstreamOf:
		return slices.ContainsFunc(j.x.Targets, func(t Target) bool {
			return t.Role == Upstream && t.URL != nil && slices.Contains(hostsOf(c.Finding), strings.ToLower(t.URL.Hostname()))
		})
	}
	return true
}

// through reports whether one of hosts is reached by way of one of proxies.
func (j judge) through(proxies, hosts []string) bool {
	return slices.ContainsFunc(j.x.Targets, func(t Target) bool {
		return t.Proxy != nil && t.URL != nil && slices.Contains(proxies, strings.ToLower(t.Proxy.Hostname())) &&
			slices.Contains(hosts, strings.ToLower(t.URL.Hostname()))
	})
}

// neighbours reports whether two findings are about different ports of this machine or of one address, where each port is another
// program: a proxy, and a mirror beside it.
func neighbours(a, b Finding) bool {
	one, other := placeOf(a.Subject), placeOf(b.Subject)
	return one.IsValid() && other.IsValid() && one.Addr() == other.Addr() && one.Port() != other.Port()
}

// placeOf is the address and the port that a finding has as its subject, with 127.0.0.1 for localhost; not valid for anything else.
func placeOf(subject string) netip.AddrPort {
	if _, rest, ok := strings.Cut(subject, "://"); ok {
		subject, _, _ = strings.Cut(rest[strings.LastIndex(rest, "@")+1:], "/")
	}
	if port, ok := strings.CutPrefix(subject, "localhost:"); ok {
		subject = "127.0.0.1:" + port
	}
	p, err := netip.ParseAddrPort(subject)
	if err != nil {
		return netip.AddrPort{}
	}
	return p
}

// hostsOf are the hosts that a finding is about: its subject, and what Args name as Host, URL, or Other for one that is sent to.
func hostsOf(f Finding) []string {
	var hosts []string
	for _, s := range []string{f.Subject, f.Args["Host"], f.Args["URL"], f.Args["Entry"], f.Args["Other"]} {
		if h := hostOf(s); h != "" && !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// hostOf takes the name of a host out of a URL, a name with a port, or a name; empty for what is none of these.
func hostOf(s string) string {
	if strings.Contains(s, "://") {
		u, err := url.Parse(s)
		if err != nil {
			return ""
		}
		return strings.ToLower(u.Hostname())
	}
	s, _, _ = strings.Cut(s, "/")
	if h, _, err := net.SplitHostPort(s); err == nil {
		return strings.ToLower(h)
	}
	if strings.ContainsAny(s, " \t=") || !strings.Contains(s, ".") && s != "localhost" && !strings.Contains(s, ":") {
		return ""
	}
	return strings.ToLower(strings.Trim(s, "[]"))
}
