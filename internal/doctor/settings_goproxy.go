package doctor

import (
	"context"
	"net/netip"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/goferry/goferry/internal/transport"
)

// What is found about GOPROXY.
const (
	codeGoProxyInvalid     = "goproxy-invalid"
	codeGoProxyAfterDirect = "goproxy-after-direct"
	codeGoProxyNoProxy     = "goproxy-not-a-proxy"
	codeGoProxyGone        = "goproxy-gone"
	codeGoProxyAssumed     = "goproxy-assumed-https"
	codeGoProxyOff         = "goproxy-off"
	codeGoProxyDirectOnly  = "goproxy-direct-only"
	codeGoProxyTwice       = "goproxy-twice"
	codeGoProxyComma       = "goproxy-comma"
	codeGoProxyFolder      = "goproxy-no-folder"
)

const factGoProxy = "goproxy"

func goproxyCodes() []string {
	return []string{codeGoProxyInvalid, codeGoProxyAfterDirect, codeGoProxyNoProxy, codeGoProxyGone, codeGoProxyAssumed, codeGoProxyOff,
		codeGoProxyDirectOnly, codeGoProxyTwice, codeGoProxyComma, codeGoProxyFolder}
}

func goproxyFactNames() []string { return []string{factGoProxy} }

// A setProxy is an entry of GOPROXY. Unlike the go command, which stops at "direct" and "off", we
// want to know what stands behind these.
type setProxy struct {
	Raw     string   // as it was written, without the spaces around it, which do no harm
	Sep     byte     // behind it; 0 for the last
	URL     *url.URL // nil for direct, off, and what is no URL
	Assumed bool     // https was put before it
	Bad     bool     // the go command refuses it, or it cannot be anything's address
}

func (p setProxy) word() bool { return p.Raw == "direct" || p.Raw == "off" }

// setProxies cuts a list by the rules of the go command. Source: cmd/go/internal/modfetch, proxyList.
func setProxies(list string) []setProxy {
	var all []setProxy
	for rest := list; rest != ""; {
		entry, sep := rest, byte(0)
		if i := strings.IndexAny(rest, ",|"); i >= 0 {
			entry, sep, rest = rest[:i], rest[i], rest[i+1:]
		} else {
			rest = ""
		}
		if entry = strings.TrimSpace(entry); entry != "" {
			p := setParseProxy(entry)
			p.Sep = sep
			all = append(all, p)
		}
	}
	if len(all) > 0 {
		all[len(all)-1].Sep = 0
	}
	return all
}

func setParseProxy(entry string) setProxy {
	p := setProxy{Raw: entry}
	if p.word() {
		return p
	}
	full := entry
	if strings.ContainsAny(full, ".:/") && !strings.Contains(full, ":/") && !filepath.IsAbs(full) && !path.IsAbs(full) {
		full, p.Assumed = "https://"+full, true
	}
	u, err := url.Parse(full)
	if err != nil {
		p.Bad = true
		return p
	}
	switch u.Scheme {
	case "http", "https":
		p.Bad = u.Hostname() == "" || strings.ContainsFunc(u.Hostname(), setNoHost) || p.Assumed && setSchemeAlone.MatchString(entry)
	case "file":
		p.Bad = u.Path == "" || *u != (url.URL{Scheme: u.Scheme, Path: u.Path, RawPath: u.RawPath})
	default:
		p.Bad = true
	}
	p.URL = u
	return p
}

// setNoHost is about characters that url.Parse lets stand in a host, and no name has: a
// semicolon, a comma of a Chinese keyboard, quotes. Letters of all scripts may stand there.
func setNoHost(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) && !strings.ContainsRune("-._:%", r)
}

// setJoin is the inverse of setProxies.
func setJoin(all []setProxy) string {
	var b strings.Builder
	for i, p := range all {
		b.WriteString(p.Raw)
		if i < len(all)-1 {
			b.WriteByte(max(p.Sep, ','))
		}
	}
	return b.String()
}

// checkGoProxy looks at the list itself; whether its hosts answer is for other checks, but for one
// that keeps the go command from going on to the next.
func checkGoProxy(ctx context.Context, x *Exam) Outcome {
	const key = "GOPROXY"
	value, known := setValue(x, key)
	if !known {
		return setKept(x)
	}
	var out Outcome
	list := setProxies(value)
	if f, bad := setProxyInvalid(x, value, list); bad {
		out.Findings = []Finding{f}
	} else {
		out.Findings = slices.Concat(setProxyOrder(x, list), setProxyHosts(x, list), setProxyAlone(x, list), setProxyFolders(x, list))
		if len(out.Findings) == 0 {
			out.Findings = setProxyComma(ctx, x, list)
		}
	}
	for i := range out.Findings {
		out.Findings[i].Facts = append(setEvidence(x, key), out.Findings[i].Facts...)
	}
	if value != "" {
		out.Facts = []Fact{{Name: factGoProxy, Answer: Yes, Value: setShown(value)}}
	}
	return out
}

// setProxyInvalid is about a list that the go command refuses, which it does as a whole.
func setProxyInvalid(x *Exam, value string, list []setProxy) (Finding, bool) {
	bad := slices.IndexFunc(list, func(p setProxy) bool { return p.Bad })
	if value == "" || bad < 0 && len(list) > 0 {
		return Finding{}, false
	}
	entry := ""
	if bad >= 0 && list[bad].Raw != value {
		entry = list[bad].Raw
	}
	f := setFinding(codeGoProxyInvalid, Fault, "GOPROXY", "Entry", setShown(entry), "Value", setShown(value))
	f.Fixes = []Fix{setFix(x, "GOPROXY", setMeantProxies(value))}
	return f, true
}

// setProxyOrder is about entries that nobody asks, and such that are asked twice.
func setProxyOrder(x *Exam, list []setProxy) []Finding {
	var found []Finding
	if end := slices.IndexFunc(list, setProxy.word); end >= 0 && end < len(list)-1 {
		f := setFinding(codeGoProxyAfterDirect, Warning, "GOPROXY", "Word", list[end].Raw, "Rest", setShown(setJoin(list[end+1:])))
		var want []setProxy
		for _, p := range list {
			if !p.word() {
				want = append(want, p)
			}
		}
		if list[end].Raw == "direct" {
			want = append(want, list[end])
		}
		f.Fixes = []Fix{setFix(x, "GOPROXY", setJoin(want))}
		return append(found, f)
	}
	for i, p := range list {
		if slices.ContainsFunc(list[:i], func(o setProxy) bool { return strings.TrimRight(o.Raw, "/") == strings.TrimRight(p.Raw, "/") }) {
			f := setFinding(codeGoProxyTwice, Note, "GOPROXY", "Entry", setShown(p.Raw))
			f.Fixes = []Fix{setFix(x, "GOPROXY", setJoin(slices.Delete(slices.Clone(list), i, i+1)))}
			return append(found, f)
		}
	}
	return nil
}

// setProxyAlone is about lists of one word.
func setProxyAlone(x *Exam, list []setProxy) []Finding {
	if len(list) != 1 || !list[0].word() {
		return nil
	}
	if list[0].Raw == "direct" {
		f := setFinding(codeGoProxyDirectOnly, Note, "GOPROXY")
		f.Fixes = []Fix{setFix(x, "GOPROXY", "")}
		return []Finding{f}
	}
	f := setFinding(codeGoProxyOff, Warning, "GOPROXY")
	if dir := goModOf(x); dir != "" && setHasVendor(dir) {
		f.Severity = Note // the way to build with what is in the folder, and nothing else
	}
	f.Fixes = []Fix{setFix(x, "GOPROXY", "")}
	return []Finding{f}
}

// setProxyHosts is about entries that lead to something else than a module proxy.
func setProxyHosts(x *Exam, list []setProxy) []Finding {
	var found []Finding
	for i, p := range list {
		if p.word() {
			break // nobody asks what stands behind it
		}
		f, instead, wrong := setProxyHost(p)
		if !wrong {
			continue
		}
		want := slices.Clone(list)
		if instead != "" {
			want[i].Raw = instead
		} else if want = slices.Delete(want, i, i+1); len(want) > 0 {
			want[len(want)-1].Sep = 0
		}
		if len(want) == 1 && want[0].word() {
			want = nil // no proxy is left: the default has one
		}
		f.Fixes = []Fix{setFix(x, "GOPROXY", setJoin(want))}
		found = append(found, f)
	}
	return found
}

// setProxyHost judges one entry; instead is what was meant, where that is known.
func setProxyHost(p setProxy) (f Finding, instead string, wrong bool) {
	if p.URL.Scheme == "file" {
		return f, "", false
	}
	host, dir := strings.ToLower(p.URL.Hostname()), strings.Trim(p.URL.Path, "/")
	if p.Assumed && (p.URL.Port() != "" && p.URL.Port() != "443") && setLocalHost(host) {
		return setFinding(codeGoProxyAssumed, Warning, p.URL.Host, "Entry", setShown(p.Raw)), "http://" + p.Raw, true
	}
	if slices.Contains(setGone, host) {
		return setFinding(codeGoProxyGone, Warning, host, "Entry", setShown(p.Raw)), "", true
	}
	for _, o := range setNoProxies {
		if o.host != host || o.dir != "*" && o.dir != dir {
			continue
		}
		return setFinding(codeGoProxyNoProxy, Fault, host, "Entry", setShown(p.Raw), "Instead", o.instead), o.instead, true
	}
	return f, "", false
}

// setGone are proxies that have ended, and names of which guides speak and that never were any.
var setGone = []string{"gocenter.io", "athens.azurefd.net", "goproxy.huaweicloud.com"}

// setNoProxies are places for other things that people have put into GOPROXY: archives of SDKs,
// checksum databases, hosts of repositories, and hosts whose module proxy is in a folder. "*" is every folder.
var setNoProxies = []struct{ host, dir, instead string }{
	{"mirrors.aliyun.com", "", "https://mirrors.aliyun.com/goproxy/"},
	{"mirrors.aliyun.com", "golang", "https://mirrors.aliyun.com/goproxy/"},
	{"mirrors.cloud.tencent.com", "", "https://mirrors.cloud.tencent.com/go/"},
	{"mirrors.tencent.com", "", "https://mirrors.tencent.com/go/"},
	{"repo.huaweicloud.com", "", "https://repo.huaweicloud.com/repository/goproxy/"},
	{"golang.google.cn", "dl", ""}, {"golang.google.cn", "", ""},
	{"go.dev", "dl", ""}, {"go.dev", "", ""}, {"golang.org", "dl", ""}, {"golang.org", "", ""}, {"studygolang.com", "dl", ""},
	{"dl.google.com", "go", ""}, {"dl.google.com", "", ""},
	{"mirrors.ustc.edu.cn", "golang", ""}, {"mirrors.nju.edu.cn", "golang", ""}, {"mirrors.hust.edu.cn", "golang", ""},
	{"sum.golang.org", "*", ""}, {"sum.golang.google.cn", "*", ""}, {"pkg.go.dev", "*", ""},
	{"github.com", "*", ""}, {"gitee.com", "*", ""},
}

// setLocalHost reports whether host is this machine or in a private network, where proxies speak HTTP.
func setLocalHost(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && (a.IsLoopback() || a.IsPrivate())
}

// setProxyFolders is about file URLs of folders that are not there, which the go command takes for
// proxies that have nothing.
func setProxyFolders(x *Exam, list []setProxy) []Finding {
	var found []Finding
	for _, p := range list {
		if p.word() {
			break
		}
		if p.URL.Scheme != "file" {
			continue
		}
		dir := filepath.FromSlash(p.URL.Path)
		if x.OS == "windows" {
			dir = strings.TrimPrefix(dir, `\`) // file:///C:/mirror
		}
		if setIsDir(dir) {
			continue
		}
		f := setFinding(codeGoProxyFolder, Fault, dir, "Entry", p.Raw)
		if p.Sep != 0 {
			f.Severity = Warning // the next is asked
		}
		var want []setProxy
		for _, o := range list {
			if o.Raw != p.Raw {
				want = append(want, o)
			}
		}
		f.Fixes = []Fix{setFix(x, "GOPROXY", setJoin(want))}
		found = append(found, f)
	}
	return found
}

// setProxyComma is about an entry that does not answer, with a comma behind it: the go command goes
// on to the next only after "not found".
func setProxyComma(ctx context.Context, x *Exam, list []setProxy) []Finding {
	for i, p := range list {
		if p.Sep != ',' || p.URL == nil || p.URL.Scheme == "file" || i+1 >= len(list) || list[i+1].word() {
			continue
		}
		op, verdict, dead := setDead(ctx, x, p.URL)
		if !dead {
			return nil // what stands behind an entry that answers is asked
		}
		f := setFinding(codeGoProxyComma, Fault, "GOPROXY", "Entry", setShown(p.Raw), "Next", setShown(list[i+1].Raw), "Verdict", verdict)
		f.Op = op
		piped, without := slices.Clone(list), slices.Delete(slices.Clone(list), i, i+1)
		for k := range piped {
			if piped[k].Sep == ',' && k+1 < len(piped) && !piped[k+1].word() {
				piped[k].Sep = '|'
			}
		}
		f.Fixes = []Fix{setFix(x, "GOPROXY", setJoin(piped)), setFix(x, "GOPROXY", setJoin(without))}
		return []Finding{f}
	}
	return nil
}

// setDead proves that the go command gets no answer from the server of an entry. A stall behind the handshake is not
// looked for: no separator helps against it.
func setDead(ctx context.Context, x *Exam, u *url.URL) (op transport.Op, verdict string, dead bool) {
	t := Target{Role: Upstream, URL: u}
	at := slices.IndexFunc(x.Targets, func(o Target) bool { return o.Role == Upstream && o.URL != nil && o.URL.Host == u.Host })
	if at < 0 {
		return "", "", false // nobody says by which way it would be asked
	}
	t.Proxy = x.Targets[at].Proxy
	r := x.Reach(ctx, t)
	if r.Works() || r.Verdict == VerdictUnknown || r.Verdict == VerdictHealthy || r.Verdict == "" {
		return "", "", false
	}
	return r.Op, string(r.Verdict), true
}
