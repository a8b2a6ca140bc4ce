package toolchain

import (
	"bytes"
	_ "embed" // the list of places
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/goferry/goferry/internal/goproxy"
)

//go:embed places.json
var knownPlaces []byte

// Known lists the places that goferry knows: beside the module proxies of the user, those
// that carry toolchains alone, and the hosts of archives. A row of its list says where a
// place is; whether it answers, and with what, is found out by asking it.
func Known() []Place {
	list, err := parsePlaces(knownPlaces)
	if err != nil {
		panic(fmt.Sprintf("toolchain: the list built into goferry is damaged: %v", err))
	}
	return list
}

func parsePlaces(data []byte) ([]Place, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var list []Place
	if err := dec.Decode(&list); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, p := range list {
		u, err := url.Parse(p.URL)
		switch {
		case err != nil || u.Scheme != "https" || u.Host == "":
			return nil, fmt.Errorf("%q: not an https URL", p.URL)
		case p.Kind != Modules && p.Kind != Archives:
			return nil, fmt.Errorf("%s: %q is no kind of place", p.Name, p.Kind)
		case p.Name == "" || seen[p.Name]:
			return nil, fmt.Errorf("%s: its name is empty or stands in two rows", p.URL)
		}
		seen[p.Name] = true
	}
	return list, nil
}

// ErrPlace says that a text names no place.
var ErrPlace = errors.New("not a place: want [modules=|archives=]URL with http, https or file")

// ParsePlace reads a place that the user names: the URL of a folder of archives, with
// "archives=" in front or without, or of a module proxy with "modules=" in front. The
// error matches ErrPlace and holds no credentials.
func ParsePlace(s string) (Place, error) {
	p := Place{Kind: Archives, Own: true}
	raw := strings.TrimSpace(s)
	if kind, rest, ok := strings.Cut(raw, "="); ok && !strings.ContainsAny(kind, ":/") {
		p.Kind, raw = Kind(kind), rest
	}
	u, err := url.Parse(raw)
	if err != nil || p.Kind != Modules && p.Kind != Archives || u.Opaque != "" || u.Fragment != "" {
		return Place{}, fmt.Errorf("%s: %w", goproxy.RedactURL(raw), ErrPlace)
	}
	remote := (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
	if !remote && (u.Scheme != "file" || u.Path == "") {
		return Place{}, fmt.Errorf("%s: %w", goproxy.RedactURL(raw), ErrPlace)
	}
	p.URL = raw
	p.Name = goproxy.RedactURL(strings.TrimSuffix(raw, "/"))
	return p, nil
}

// An Offer is the file of a toolchain that a place may have.
type Offer struct {
	Place Place
	URL   string // of the file; may hold the user's credentials
	Size  int64  // bytes, as a list says; 0 while unknown
}

// Offer says where p would have t.
func (p Place) Offer(t Target) Offer {
	name := p.FileName(t)
	if p.Kind == Modules && !p.Flat {
		name = ModulePath + "/@v/" + name
	}
	u, err := url.Parse(p.URL)
	if err != nil {
		return Offer{Place: p, URL: strings.TrimSuffix(p.URL, "/") + "/" + name} // refused when it is asked
	}
	return Offer{Place: p, URL: u.JoinPath(name).String()}
}

// FileName is what the file of t is called at p: the version of its module, or the name of
// its archive. No two files of a toolchain share it.
func (p Place) FileName(t Target) string {
	if p.Kind == Modules {
		return t.Module().Version + ".zip"
	}
	return t.Archive()
}

// local reports whether p is a folder of this machine.
func (p Place) local() bool { return strings.HasPrefix(strings.ToLower(p.URL), "file:") }

// key tells places apart, whoever asks them.
func (p Place) key() string {
	return string(p.Kind) + " " + strings.TrimSuffix(goproxy.RedactURL(p.URL), "/")
}

// public is p without credentials, as it may be kept on disk.
func (p Place) public() Place {
	p.URL = goproxy.RedactURL(p.URL)
	return p
}

// pathOfURL is the file that a file URL names. On Windows file:///C:/x is C:\x, and a host is
// the server of a share. Source: RFC 8089, appendix E.2 and E.3.
func pathOfURL(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.Path == "" {
		return "", &PlaceError{Fault: FaultURL, Err: fmt.Errorf("%w: not a file URL", goproxy.ErrInvalid)}
	}
	name := u.Path
	drive := len(name) > 2 && name[0] == '/' && name[2] == ':'
	switch {
	case filepath.Separator == '\\' && drive:
		name = name[1:]
	case filepath.Separator == '\\' && u.Host != "" && u.Host != "localhost":
		name = "//" + u.Host + name
	case u.Host != "" && u.Host != "localhost":
		return "", &PlaceError{Fault: FaultURL, Err: fmt.Errorf("%w: a file URL with a host", goproxy.ErrInvalid)}
	}
	return filepath.FromSlash(name), nil
}
