package doctor

import (
	"context"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/sumdb"
)

// What is found about GOPRIVATE and its kin.
const (
	codeGoPattern                = "pattern-never-matches"
	codePrivateAsked             = "private-asked-publicly"
	codePrivateInSumDB           = "private-in-sumdb"
	codeGoProxyBypassed          = "goproxy-bypassed"
	codeGoSumDBBypassed          = "gosumdb-bypassed"
	codePrivatePublic            = "private-public-host"
	codeInsecureAll              = "goinsecure-all"
	codeGoVCS                    = "govcs-invalid"
	codeGoAuth                   = "goauth-invalid"
	fixPattern                   = "mend-pattern"
	factPrivate                  = "private-modules"
	setEverything                = "*"
	setNone                      = "none" // by convention: it matches nothing
	setKeyPrivate, setKeyNoProxy = "GOPRIVATE", "GONOPROXY"
	setKeyNoSumDB                = "GONOSUMDB"
)

func goprivateCodes() []string {
	return []string{codeGoPattern, codePrivateAsked, codePrivateInSumDB, codeGoProxyBypassed, codeGoSumDBBypassed, codePrivatePublic, codeInsecureAll, codeGoVCS, codeGoAuth}
}

func goprivateFixCodes() []string { return []string{fixPattern} }

func goprivateFactNames() []string { return []string{factPrivate} }

// checkGoPrivate looks at the lists of patterns, and at what they do to each other.
func checkGoPrivate(_ context.Context, x *Exam) Outcome {
	if _, known := setValue(x, setKeyPrivate); !known {
		return setKept(x)
	}
	var out Outcome
	for _, key := range []string{setKeyPrivate, setKeyNoProxy, setKeyNoSumDB, "GOINSECURE"} {
		if setFrom(x, key) != setDefault {
			out.Findings = append(out.Findings, setPatterns(x, key)...)
		}
	}
	if len(out.Findings) == 0 {
		out.Findings = slices.Concat(setCancels(x), setBypassed(x), setBroad(x))
	}
	out.Findings = slices.Concat(out.Findings, setVCS(x), setAuth(x))
	if v := setOf(x, setKeyPrivate); v != "" {
		out.Facts = []Fact{{Name: factPrivate, Answer: Yes, Value: setShown(v)}}
	}
	return out
}

// setPatterns finds patterns that match no module path, with what was meant.
func setPatterns(x *Exam, key string) []Finding {
	var found []Finding
	value := setOf(x, key)
	var meant []string
	for _, glob := range setSplit(value) {
		better := setMeantPatterns(glob)
		meant = append(meant, better...)
		if setNeverMatches(glob) {
			found = append(found, setFinding(codeGoPattern, Warning, key, "Pattern", setShown(glob), "Meant", strings.Join(better, ",")))
		}
	}
	if len(found) == 0 {
		return nil
	}
	fix := setFix(x, key, strings.Join(meant, ","))
	found[0].Facts, found[0].Fixes = setEvidence(x, key), []Fix{fix}
	if len(found) > 1 { // one fix mends all: it is one finding
		var shown []string
		for _, f := range found {
			shown = append(shown, strings.TrimSpace(f.Args["Pattern"]))
		}
		found[0].Args = setArgs("Pattern", strings.Join(shown, "  "), "Meant", strings.Join(meant, ","))
	}
	return found[:1]
}

// setNeverMatches reports whether no module path that could be downloaded has a prefix that
// matches glob. Source: golang.org/x/mod/module, MatchPrefixPatterns, CheckPath.
func setNeverMatches(glob string) bool {
	glob = strings.TrimSuffix(glob, "/")
	if glob == setNone || glob == "" {
		return false
	}
	if _, err := path.Match(glob, ""); err != nil {
		return true
	}
	if strings.ContainsFunc(glob, func(r rune) bool {
		return unicode.IsSpace(r) || r > unicode.MaxASCII || strings.ContainsRune(`:;|@"'`, r)
	}) {
		return true
	}
	host, rest, _ := strings.Cut(glob, "/")
	if host == "" || strings.HasSuffix(rest, "...") || strings.Contains(rest, "//") {
		return true
	}
	if strings.ContainsAny(host, `*?[\`) {
		return false
	}
	return !strings.Contains(host, ".") || strings.ToLower(host) != host
}

// setMeantPatterns guesses what a pattern was meant to be; nothing where it was meant for "none".
func setMeantPatterns(glob string) []string {
	var list []string
	for _, w := range strings.FieldsFunc(glob, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(";|，；、", r) }) {
		w = strings.Trim(w, setQuotes)
		if _, rest, ok := strings.Cut(w, "://"); ok {
			w = rest
		}
		if _, rest, ok := strings.Cut(w, "@"); ok {
			w = strings.Replace(rest, ":", "/", 1) // git@host:group
		}
		host, rest, _ := strings.Cut(strings.TrimSuffix(strings.TrimSuffix(strings.TrimRight(w, "/"), "/..."), ".git"), "/")
		host, _, _ = strings.Cut(host, ":") // a port
		host = strings.ToLower(host)
		if rest = strings.Trim(rest, "/"); rest != "" {
			host += "/" + rest
		}
		if host != "" && !setNeverMatches(host) {
			list = append(list, host)
		}
	}
	return list
}

// setUncovered are the patterns of GOPRIVATE whose modules other does not match.
func setUncovered(private, other string) []string {
	var list []string
	for _, glob := range setSplit(private) {
		glob = strings.TrimSuffix(glob, "/")
		if glob == setNone || slices.Contains(setSplit(other), glob) {
			continue
		}
		sample := strings.NewReplacer("*", "x", "?", "x").Replace(glob)
		if !module.MatchPrefixPatterns(other, sample) && !module.MatchPrefixPatterns(other, sample+"/x/x") {
			list = append(list, glob)
		}
	}
	return list
}

// setCancels is about GONOPROXY and GONOSUMDB, which stand in for GOPRIVATE, and do not add to it.
func setCancels(x *Exam) []Finding {
	private := setOf(x, setKeyPrivate)
	if private == "" {
		return nil
	}
	var found []Finding
	if setFrom(x, setKeyNoProxy) != setDefault {
		if open := setUncovered(private, setOf(x, setKeyNoProxy)); len(open) > 0 && setPublicProxy(x) != "" {
			f := setFinding(codePrivateAsked, Warning, setKeyNoProxy, "Patterns", strings.Join(open, ","), "Value", setOf(x, setKeyNoProxy), "Host", setPublicProxy(x))
			f.Facts, f.Fixes = setEvidence(x, setKeyNoProxy), setAdd(x, setKeyNoProxy, open)
			found = append(found, f)
		}
	}
	if setFrom(x, setKeyNoSumDB) != setDefault && setUsesPublicDB(x) {
		if open := setUncovered(private, setOf(x, setKeyNoSumDB)); len(open) > 0 {
			f := setFinding(codePrivateInSumDB, Fault, setKeyNoSumDB, "Patterns", strings.Join(open, ","), "Value", setOf(x, setKeyNoSumDB))
			f.Facts, f.Fixes = setEvidence(x, setKeyNoSumDB), setAdd(x, setKeyNoSumDB, open)
			found = append(found, f)
		}
	}
	return found
}

// setAdd gives a list up, so that it is GOPRIVATE again, or adds to it where it has more than that.
func setAdd(x *Exam, key string, patterns []string) []Fix {
	have := slices.DeleteFunc(setSplit(setOf(x, key)), func(s string) bool { return s == setNone })
	if len(have) == 0 || len(setUncovered(strings.Join(have, ","), setOf(x, setKeyPrivate))) == 0 {
		return []Fix{setFix(x, key, "")}
	}
	return []Fix{setFix(x, key, strings.Join(append(have, patterns...), ","))}
}

// setPublicProxy is the host of the first proxy in GOPROXY that is known to be a public one: one of the
// default list, or of the mirrors that goferry knows.
func setPublicProxy(x *Exam) string {
	for _, p := range setProxies(setOf(x, "GOPROXY")) {
		if p.word() {
			break
		}
		if p.URL != nil && slices.Contains(setPublicHosts(x), p.URL.Hostname()) {
			return p.URL.Hostname()
		}
	}
	return ""
}

func setPublicHosts(x *Exam) []string {
	var hosts []string
	for _, p := range setProxies(setDefaultOf(x, "GOPROXY")) {
		if p.URL != nil && !setLocalHost(p.URL.Hostname()) {
			hosts = append(hosts, p.URL.Hostname())
		}
	}
	for _, m := range x.Mirrors {
		if u, err := url.Parse(m); err == nil {
			hosts = append(hosts, u.Hostname())
		}
	}
	return hosts
}

func setUsesPublicDB(x *Exam) bool {
	db, err := sumdb.ParseDB(setOf(x, "GOSUMDB"))
	return err == nil && !db.Off && db.Name == setPublicDB
}

// setNoProxyList and setNoSumDBList are the lists in force.
func setNoProxyList(x *Exam) string { return setStandsIn(x, setKeyNoProxy) }
func setNoSumDBList(x *Exam) string { return setStandsIn(x, setKeyNoSumDB) }

func setStandsIn(x *Exam, key string) string {
	if setFrom(x, key) != setDefault {
		return setOf(x, key)
	}
	return setOf(x, setKeyPrivate)
}

// setBlame is the variable that has the pattern: key, or GOPRIVATE in its place.
func setBlame(x *Exam, key string) string {
	if setFrom(x, key) != setDefault {
		return key
	}
	return setKeyPrivate
}

// setBypassed is about patterns for everything.
func setBypassed(x *Exam) []Finding {
	var found []Finding
	proxies := setProxies(setOf(x, "GOPROXY"))
	if slices.Contains(setSplit(setNoProxyList(x)), setEverything) && len(proxies) > 0 && !proxies[0].word() {
		key := setBlame(x, setKeyNoProxy)
		f := setFinding(codeGoProxyBypassed, Warning, key, "Proxies", setShown(setJoin(proxies)))
		if proxies[0].URL != nil && proxies[0].URL.Scheme == "file" {
			f.Severity = Fault // a folder is used where nothing else can be reached
		}
		f.Facts, f.Fixes = setEvidence(x, key), []Fix{setFix(x, key, "")}
		found = append(found, f)
	}
	if slices.Contains(setSplit(setNoSumDBList(x)), setEverything) && setUsesPublicDB(x) {
		key := setBlame(x, setKeyNoSumDB)
		if len(found) == 0 || found[0].Subject != key { // else it is said
			f := setFinding(codeGoSumDBBypassed, Warning, key)
			f.Facts, f.Fixes = setEvidence(x, key), []Fix{setFix(x, key, "")}
			found = append(found, f)
		}
	}
	return found
}

// setPublicSites are hosts of which nobody owns all.
var setPublicSites = []string{"github.com", "gitlab.com", "bitbucket.org", "gitee.com", "golang.org", "google.golang.org", "gopkg.in", "go.uber.org", "k8s.io", "*.com", "*.org", "*.io", "github.com/*", "gitlab.com/*", "gitee.com/*", "bitbucket.org/*"}

// setBroad is about patterns that make public modules private.
func setBroad(x *Exam) []Finding {
	var found []Finding
	for _, key := range []string{setKeyPrivate, setKeyNoProxy, setKeyNoSumDB} {
		if setFrom(x, key) == setDefault {
			continue
		}
		for _, glob := range setSplit(setOf(x, key)) {
			if !slices.Contains(setPublicSites, strings.TrimSuffix(glob, "/")) {
				continue
			}
			f := setFinding(codePrivatePublic, Warning, key, "Pattern", glob)
			f.Facts = setEvidence(x, key)
			f.Fixes = []Fix{{Code: fixPattern, Kind: ByHand, Args: setArgs("Setting", key, "Pattern", glob)}}
			found = append(found, f)
			break
		}
	}
	if slices.Contains(setSplit(setOf(x, "GOINSECURE")), setEverything) {
		f := setFinding(codeInsecureAll, Warning, "GOINSECURE")
		f.Facts, f.Fixes = setEvidence(x, "GOINSECURE"), []Fix{setFix(x, "GOINSECURE", "")}
		found = append(found, f)
	}
	return found
}

// setVCS is about a GOVCS that the go command refuses. Source: cmd/go/internal/vcs, parseGOVCS.
func setVCS(x *Exam) []Finding {
	const key = "GOVCS"
	value := strings.TrimSpace(setOf(x, key))
	if value == "" {
		return nil
	}
	seen := map[string]bool{}
	for item := range strings.SplitSeq(value, ",") {
		pattern, list, colon := strings.Cut(strings.TrimSpace(item), ":")
		pattern = strings.TrimSpace(pattern)
		empty := slices.ContainsFunc(strings.Split(list, "|"), func(s string) bool { return strings.TrimSpace(s) == "" })
		if colon && pattern != "" && !empty && !seen[pattern] && !strings.HasPrefix(pattern, "./") && !strings.HasPrefix(pattern, "../") {
			seen[pattern] = true
			continue
		}
		f := setFinding(codeGoVCS, Fault, key, "Value", value, "Item", item)
		f.Facts, f.Fixes = setEvidence(x, key), []Fix{setFix(x, key, "")}
		return []Finding{f}
	}
	return nil
}

// setAuth is about a GOAUTH with which the go command ends at its first request. Source:
// cmd/go/internal/auth, runGoAuth.
func setAuth(x *Exam) []Finding {
	const key = "GOAUTH"
	value := setOf(x, key)
	if setFrom(x, key) == setDefault || value == "off" {
		return nil
	}
	for command := range strings.SplitSeq(value, ";") {
		words := strings.Fields(command)
		switch {
		case len(words) == 0, words[0] == "off":
		case words[0] == "git" && (len(words) != 2 || !setIsDir(words[1])):
		default:
			continue
		}
		f := setFinding(codeGoAuth, Fault, key, "Item", strings.TrimSpace(setShown(command)))
		f.Facts, f.Fixes = setEvidence(x, key), []Fix{setFix(x, key, "")}
		return []Finding{f}
	}
	return nil
}
