package doctor

import (
	"context"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/goferry/goferry/internal/transport"
)

// proxySettings judges the variables by themselves.
func proxySettings(x *Exam) []Finding {
	var list []Finding
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY"} {
		lower := strings.ToLower(name)
		up, low := x.Env[name], x.Env[lower]
		if x.OS != "windows" && up != "" && low != "" && !proxyEqual(up, low) {
			list = append(list, Finding{Code: codeProxyTwo, Severity: Note, Subject: name,
				Args:  map[string]string{"Var": name, "Other": lower, "Value": proxyValue(up), "OtherValue": proxyValue(low)},
				Fixes: []Fix{{Code: fixSetProxy, Kind: SetEnv, Key: lower, Value: up}}})
		}
		for _, n := range []string{name, lower} {
			if f, ok := proxyBadValue(x, n); ok && (n == name || up == "") {
				list = append(list, f)
			}
		}
	}
	return append(list, proxyExceptions(x)...)
}

// proxyEqual compares as the go command understands the values.
func proxyEqual(a, b string) bool {
	norm := func(s string) string {
		s = strings.TrimSpace(s)
		if !strings.Contains(s, "://") {
			s = "http://" + s
		}
		return strings.TrimSuffix(s, "/")
	}
	return norm(a) == norm(b)
}

// proxyValue is a value as it may be shown.
func proxyValue(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		scheme, _, ok := strings.Cut(s, "://")
		if ok {
			return scheme + "://***@" + s[i+1:]
		}
		return "***@" + s[i+1:]
	}
	return s
}

// proxyBadValue finds values of which net/http makes no proxy.
func proxyBadValue(x *Exam, name string) (Finding, bool) {
	value := x.Env[name]
	if value == "" {
		return Finding{}, false
	}
	bad := Finding{Code: codeProxyValue, Severity: Fault, Subject: name, Args: map[string]string{"Var": name, "Value": proxyValue(value)}}
	if !proxyNeeded(x, name) {
		bad.Severity = Warning
	}
	clean := strings.Trim(value, " \t\"'")
	scheme, rest, has := strings.Cut(clean, "://")
	if !has {
		scheme, rest = "http", clean
	}
	known := map[string]string{"http": "http", "https": "https", "socks5": "socks5", "socks5h": "socks5h", "socks": "socks5", "socks4": "", "socks4a": ""}
	right, ok := known[strings.ToLower(scheme)]
	u, err := url.Parse(clean)
	if !has {
		u, err = url.Parse("http://" + clean)
	}
	switch {
	case clean != value, ok && right != "" && right != scheme:
		bad.Fixes = []Fix{{Code: fixSetProxy, Kind: SetEnv, Key: name, Value: right + "://" + rest}}
	case !ok || right == "", err != nil || u.Hostname() == "", u.Port() != "" && !proxyPort(u.Port()):
		bad.Fixes = []Fix{{Code: fixUnsetProxy, Kind: SetEnv, Key: name}}
	default:
		return Finding{}, false
	}
	return bad, true
}

// proxyNeeded reports whether the variable counts for a target.
func proxyNeeded(x *Exam, name string) bool {
	scheme := strings.ToLower(strings.TrimSuffix(strings.ToUpper(name), "_PROXY"))
	return slices.ContainsFunc(x.Targets, func(t Target) bool { return t.URL != nil && t.URL.Scheme == scheme })
}

// proxyExceptions finds entries of NO_PROXY that mean a target and do not match it.
func proxyExceptions(x *Exam) []Finding {
	name := "NO_PROXY"
	if x.Env[name] == "" {
		name = "no_proxy"
	}
	var list []Finding
	entries := strings.Split(x.Env[name], ",")
	for i, entry := range entries {
		entry = strings.TrimSpace(entry)
		right := proxyEntry(entry)
		if right == "" || right == entry {
			continue
		}
		f := Finding{Code: codeNoProxyEntry, Severity: Note, Subject: name, Args: map[string]string{"Var": name, "Value": entry}}
		for _, t := range x.Targets {
			if t.URL != nil && t.Proxy != nil && httpKin(right, t.URL.Hostname()) {
				f.Severity = Warning // it goes through the proxy, and was not meant to
			}
		}
		fixed := slices.Clone(entries)
		fixed[i] = right
		f.Fixes = []Fix{{Code: fixSetProxy, Kind: SetEnv, Key: name, Value: strings.Join(fixed, ",")}}
		list = append(list, f)
	}
	return list
}

// proxyEntry is what an entry of NO_PROXY was meant to be; empty if nobody can tell. Entries are IP addresses, CIDR
// blocks and domains, with a port or without; other tools take more.
func proxyEntry(entry string) string {
	if strings.Contains(entry, "://") {
		if u, err := url.Parse(entry); err == nil && u.Host != "" {
			return u.Host
		}
		return ""
	}
	if host, path, ok := strings.Cut(entry, "/"); ok {
		if _, err := netip.ParsePrefix(entry); err == nil {
			return entry
		}
		if _, err := netip.ParseAddr(host); err == nil || host == "" || path == "" && host == "" {
			return ""
		}
		return host
	}
	if stem, ok := strings.CutSuffix(entry, ".*"); ok { // 10.*, 192.168.*
		var block []string
		for part := range strings.SplitSeq(stem, ".") {
			if part != "*" {
				block = append(block, part)
			}
		}
		bits := []string{"", "/8", "/16", "/24"}
		if len(block) >= 1 && len(block) <= 3 {
			addr := strings.Join(append(block, "0", "0", "0")[:4], ".")
			if p, err := netip.ParsePrefix(addr + bits[len(block)]); err == nil {
				return p.String()
			}
		}
		return ""
	}
	if words := strings.Fields(entry); len(words) > 1 {
		return strings.Join(words, ",") // spaces do not separate
	}
	return entry
}

// A proxyUnread is a proxy that is set somewhere and that the go command does not use.
type proxyUnread struct {
	name  string // of the variable
	proxy *url.URL
	code  string
}

// proxyUnreads are the proxies that t could have had.
func proxyUnreads(x *Exam, t Target) []proxyUnread {
	var list []proxyUnread
	add := func(code string, names ...string) {
		for _, name := range names {
			value := strings.TrimSpace(x.Env[name])
			if value == "" {
				continue
			}
			// The variable as the go command would read it, were it the one it reads.
			u, err := EnvProxy(map[string]string{"HTTPS_PROXY": value})(&url.URL{Scheme: "https", Host: "proxied.example.com"})
			if err == nil && u != nil {
				list = append(list, proxyUnread{name, u, code})
				return
			}
		}
	}
	own := strings.ToUpper(t.URL.Scheme) + "_PROXY"
	if x.Env[own] != "" || x.Env[strings.ToLower(own)] != "" {
		add(codeProxySkipped, own, strings.ToLower(own)) // NO_PROXY, most likely
		return list
	}
	other := "HTTP_PROXY"
	if own == other {
		other = "HTTPS_PROXY"
	}
	add(codeProxyNotRead, other, strings.ToLower(other))
	add(codeProxyNotRead, "ALL_PROXY", "all_proxy")
	return list
}

// proxyUnused finds targets that cannot be reached directly, and that a proxy reaches which the go command does not use.
func proxyUnused(ctx context.Context, x *Exam, direct []Target) []Finding {
	var mu sync.Mutex
	var list []Finding
	var wg sync.WaitGroup
	for _, t := range direct {
		unread := proxyUnreads(x, t)
		if len(unread) == 0 || proxyLocal(t) {
			continue
		}
		wg.Go(func() {
			a := proxyAsk(ctx, x, t, nil)
			if a.status != 0 || a.failure == transport.Canceled {
				return
			}
			for _, u := range unread {
				b := proxyAsk(ctx, x, t, u.proxy)
				if b.status == 0 || b.status == 407 {
					continue
				}
				f := proxyMissed(x, t, u, a)
				mu.Lock()
				defer mu.Unlock()
				list = append(list, f)
				return
			}
		})
	}
	wg.Wait()
	slices.SortFunc(list, func(a, b Finding) int { return strings.Compare(a.Subject, b.Subject) })
	return list
}

// proxyLocal reports whether t is on this machine, for which no proxy is ever used.
func proxyLocal(t Target) bool {
	host := t.URL.Hostname()
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

func proxyMissed(x *Exam, t Target, u proxyUnread, a httpAnswer) Finding {
	own := strings.ToUpper(t.URL.Scheme) + "_PROXY"
	f := Finding{Code: u.code, Severity: Fault, Subject: subjectOf(t), Op: a.op,
		Args: map[string]string{"Host": t.URL.Hostname(), "Var": u.name, "Own": own, "Proxy": proxyShown(u.proxy), "Err": httpText(a)},
		Facts: []Fact{{Name: factDirectWorks, Answer: No, Value: httpText(a)},
			{Name: factProxyHelps, Answer: Yes, Value: proxyShown(u.proxy)}}}
	if u.code == codeProxyNotRead {
		f.Fixes = []Fix{{Code: fixSetProxy, Kind: SetEnv, Key: own, Value: u.proxy.String()}}
		return f
	}
	name := "NO_PROXY"
	if x.Env[name] == "" {
		name = "no_proxy"
	}
	kept := slices.DeleteFunc(strings.Split(x.Env[name], ","), func(entry string) bool {
		probe := EnvProxy(map[string]string{"HTTPS_PROXY": "http://proxied.example.com", "NO_PROXY": entry})
		via, err := probe(&url.URL{Scheme: "https", Host: t.URL.Host})
		return err == nil && via == nil
	})
	f.Args["Var"] = name
	f.Fixes = []Fix{{Code: fixNoProxyDrop, Kind: SetEnv, Key: name, Value: strings.Join(kept, ","), Args: map[string]string{"Host": t.URL.Hostname()}}}
	return f
}
