// Package mirrors knows public mirrors, probes and ranks them.
//
// It never chooses for the user, changes no setting, and believes no list: what it knows of a
// mirror before asking is its address. Which files are authentic is for the check that it is
// given to say, and it never takes a mirror for an absent one because it could not be asked.
package mirrors

import (
	"bytes"
	_ "embed" // the list of mirrors
	"fmt"
	"net/url"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/goferry/goferry/internal/goproxy"
)

//go:embed mirrors.toml
var knownList string

// A Mirror is a public module proxy that goferry knows by name.
type Mirror struct {
	Name     string            `toml:"name"`     // what the user calls it; has no scheme and no comma
	URL      string            `toml:"url"`      // base URL
	Operator map[string]string `toml:"operator"` // who runs it, by language: "en", "zh"
}

// Known lists the mirrors of mirrors.toml, in its order.
func Known() []Mirror {
	list, err := parseKnown(knownList)
	if err != nil {
		panic(fmt.Sprintf("mirrors: the list built into goferry is damaged: %v", err))
	}
	return list
}

func parseKnown(data string) ([]Mirror, error) {
	var file struct {
		Mirror []Mirror `toml:"mirror"`
	}
	if err := toml.NewDecoder(bytes.NewReader([]byte(data))).DisallowUnknownFields().Decode(&file); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, m := range file.Mirror {
		switch u, err := url.Parse(m.URL); {
		case err != nil || u.Scheme != "https" || u.Host == "":
			return nil, fmt.Errorf("%q: not an https URL", m.URL)
		case m.Name == "" || strings.ContainsAny(m.Name, ",|= :/"):
			return nil, fmt.Errorf("%q: not a name", m.Name)
		case m.Operator["en"] == "" || m.Operator["zh"] == "":
			return nil, fmt.Errorf("%s: the operator is missing in a language", m.Name)
		case seen[m.Name] || seen[sameURL(m.URL)]:
			return nil, fmt.Errorf("%s: stands in two rows", m.Name)
		}
		seen[m.Name], seen[sameURL(m.URL)] = true, true
	}
	return file.Mirror, nil
}

// A Target is a module proxy to probe.
type Target struct {
	Name     string            // for people, and accepted by Pick
	URL      string            // base URL; may hold user and password
	Operator map[string]string // by language; nil where it is not known
	InUse    bool              // it stands in the user's list of upstreams
}

// Targets lists the upstreams in use, by their URLs and in their order, and then the known mirrors that
// are not among them. What is no http or https URL is left out.
func Targets(inUse []string) []Target {
	known := Known()
	var list []Target
	seen := map[string]bool{}
	for _, raw := range inUse {
		if !isHTTP(raw) || seen[sameURL(raw)] {
			continue
		}
		seen[sameURL(raw)] = true
		t := unlisted(raw)
		for _, m := range known {
			if sameURL(m.URL) == sameURL(raw) {
				t.Name, t.Operator = m.Name, m.Operator
			}
		}
		t.InUse = true
		list = append(list, t)
	}
	for _, m := range known {
		if !seen[sameURL(m.URL)] {
			list = append(list, Target{Name: m.Name, URL: m.URL, Operator: m.Operator})
		}
	}
	return list
}

// Pick finds the target that the user means: by its name, or by its URL. An http or https URL that
// none of them has is a target of its own.
func Pick(targets []Target, arg string) (Target, bool) {
	for _, t := range targets {
		if t.Name == arg || isHTTP(arg) && sameURL(t.URL) == sameURL(arg) {
			return t, true
		}
	}
	if isHTTP(arg) {
		return unlisted(arg), true
	}
	return Target{}, false
}

// unlisted names a proxy that has no name by its host and path.
func unlisted(raw string) Target {
	t := Target{Name: strings.TrimSuffix(goproxy.RedactURL(raw), "/"), URL: raw}
	if _, rest, ok := strings.Cut(t.Name, "://"); ok {
		t.Name = rest
	}
	return t
}

func isHTTP(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// sameURL is equal for two URLs of one proxy, whoever asks it.
func sameURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	return strings.ToLower(u.Scheme+"://"+u.Host) + strings.TrimSuffix(u.EscapedPath(), "/")
}
