package goproxy

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"strings"
)

// An Upstream is one entry of a GOPROXY list.
type Upstream struct {
	URL string // an http, https or file URL, or "direct" or "off"
	Sep Sep    // what stands behind it; 0 for the last entry
}

// ParseUpstreams parses a GOPROXY list by the rules of the go command: entries are separated
// by "," or "|", empty ones are passed over, "direct" and "off" end the list, and
// an entry that looks like a host gets https. Beyond Go, "A=B" says that A and B are
// mirrors of each other.
func ParseUpstreams(list string) ([]Upstream, error) {
	var ups []Upstream
	for rest := list; rest != ""; {
		entry, sep := rest, Sep(0)
		if i := strings.IndexAny(rest, ",|"); i >= 0 {
			entry, sep, rest = rest[:i], Sep(rest[i]), rest[i+1:]
		} else {
			rest = ""
		}
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		if entry == "direct" || entry == "off" {
			ups = append(ups, Upstream{URL: entry})
			break
		}
		set := splitMirrors(entry)
		for i, m := range set {
			u, err := checkUpstream(strings.TrimSpace(m))
			if err != nil {
				return nil, err
			}
			behind := sep
			if i < len(set)-1 {
				behind = OnMirror
			}
			ups = append(ups, Upstream{URL: u, Sep: behind})
		}
	}
	if len(ups) == 0 {
		return nil, errors.New("the list of upstreams has no entries")
	}
	ups[len(ups)-1].Sep = 0
	return ups, nil
}

// splitMirrors cuts at those "=" behind which another URL begins; a "=" within a
// URL is left alone.
func splitMirrors(entry string) []string {
	var set []string
	start := 0
	for i := range len(entry) {
		if entry[i] != '=' {
			continue
		}
		next := strings.TrimSpace(entry[i+1:])
		if hasScheme(next) {
			set, start = append(set, entry[start:i]), i+1
		}
	}
	return append(set, entry[start:])
}

func hasScheme(s string) bool {
	return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "file:///")
}

// checkUpstream is the rule of cmd/go's proxyList and newProxyRepo for one entry.
func checkUpstream(s string) (string, error) {
	if strings.ContainsAny(s, ".:/") && !strings.Contains(s, ":/") && !filepath.IsAbs(s) && !path.IsAbs(s) {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil {
		// url.Error quotes the URL, which may hold a password.
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return "", fmt.Errorf("upstream %s: %w", RedactURL(s), err)
	}
	switch {
	case u.Scheme == "http", u.Scheme == "https":
		if u.Host == "" {
			return "", fmt.Errorf("upstream %s: no host", RedactURL(s))
		}
	case u.Scheme == "file":
		if *u != (url.URL{Scheme: u.Scheme, Path: u.Path, RawPath: u.RawPath}) || u.Path == "" {
			return "", fmt.Errorf("upstream %s: a file URL looks like file:///folder", RedactURL(s))
		}
	case u.Scheme == "":
		return "", fmt.Errorf("upstream %s: no URL, and not \"direct\" or \"off\" either", RedactURL(s))
	default:
		return "", fmt.Errorf("upstream %s: scheme %q is none of https, http and file", RedactURL(s), u.Scheme)
	}
	if u.Fragment != "" {
		return "", fmt.Errorf("upstream %s: a fragment has no meaning here", RedactURL(s))
	}
	return s, nil
}

// GroupMirrors cuts a list into its sets of mirrors: runs of entries with OnMirror between them, most of
// them of one entry. What stands behind a set is the Sep of its last entry.
func GroupMirrors(ups []Upstream) [][]Upstream {
	var sets [][]Upstream
	start := 0
	for i, u := range ups {
		if u.Sep != OnMirror || i == len(ups)-1 {
			sets = append(sets, ups[start:i+1:i+1])
			start = i + 1
		}
	}
	return sets
}

// FormatUpstreams is the inverse of ParseUpstreams.
func FormatUpstreams(ups []Upstream) string {
	var b strings.Builder
	for i, u := range ups {
		b.WriteString(u.URL)
		if i < len(ups)-1 {
			b.WriteByte(byte(u.Sep))
		}
	}
	return b.String()
}

// RedactURL returns s without user, password, query and fragment, for people and logs.
// What is no URL keeps only what stands behind its last "@" and before any "?" or "#".
func RedactURL(s string) string {
	u, err := url.Parse(s)
	if err == nil && u.Opaque == "" && (u.Host != "" || u.Scheme == "file") {
		u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
		return u.String()
	}
	at, mark := strings.LastIndexByte(s, '@'), strings.IndexAny(s, "?#")
	if mark >= 0 && mark < at {
		// Is the mark part of a password, or the "@" part of a query? Nobody can tell.
		return "(not shown)"
	}
	if mark >= 0 {
		s = s[:mark]
	}
	return s[at+1:]
}
