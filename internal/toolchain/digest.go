package toolchain

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/goferry/goferry/internal/goproxy"
)

const (
	maxReleases = 32 << 20 // bytes of a list of all releases; that of go.dev has some 5 million
	maxDigest   = 64 << 10 // bytes of a .sha256 file; one has 64
)

// sha256Hex is what a SHA-256 looks like. An answer of any other form is none: go.dev sends
// a web page, with status 200, for a .sha256 file.
var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

// systemName is what a GOOS and a GOARCH look like.
var systemName = regexp.MustCompile(`^[a-z0-9]+-[a-z0-9]+$`)

// errDigest is in the errors of answers that are no hash, or no list of releases.
var errDigest = errors.New("the answer is not what was asked for")

// A published archive is one that a list of releases names.
type published struct {
	Target
	Stable bool
	Size   int64  // bytes; 0 if the list does not say
	SHA256 string // lower case hexadecimal; empty if the list does not say
}

// parseReleases reads the JSON of https://go.dev/dl/?mode=json: the archives in it, in its
// order. Installers, sources and what it does not understand are left out; a list without
// any archive is an error.
func parseReleases(data []byte) ([]published, error) {
	var raw []struct {
		Version string `json:"version"`
		Stable  bool   `json:"stable"`
		Files   []struct {
			Filename string `json:"filename"`
			OS       string `json:"os"`
			Arch     string `json:"arch"`
			SHA256   string `json:"sha256"`
			Size     int64  `json:"size"`
			Kind     string `json:"kind"`
		} `json:"files"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, faulty(FaultNotArchive, "%w: no list of releases: %v", errDigest, err)
	}
	var list []published
	for _, rel := range raw {
		v, err := ParseVersion(rel.Version)
		if err != nil || string(v) != rel.Version {
			continue
		}
		for _, f := range rel.Files {
			t := Target{Version: v, OS: f.OS, Arch: f.Arch}
			if f.Arch == "armv6l" {
				t.Arch = "arm"
			}
			if f.Kind != "archive" || f.Filename != t.Archive() || !systemName.MatchString(t.Platform()) {
				continue
			}
			p := published{Target: t, Stable: rel.Stable && v.Stable(), Size: max(f.Size, 0)}
			if sha256Hex.MatchString(f.SHA256) {
				p.SHA256 = f.SHA256
			}
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		return nil, faulty(FaultNotArchive, "%w: a list without releases", errDigest)
	}
	return list, nil
}

// parseDigest reads a .sha256 file: the bare hash, or a line as sha256sum(1) writes it for
// the file name. The hash of another file is none.
func parseDigest(data []byte, name string) (sum [sha256.Size]byte, err error) {
	for line := range bytes.Lines(data) {
		fields := strings.Fields(string(line))
		if len(fields) == 0 || len(fields) > 2 || !sha256Hex.MatchString(fields[0]) {
			continue
		}
		if len(fields) == 2 && path.Base(strings.TrimPrefix(fields[1], "*")) != name {
			continue
		}
		_, err := hex.Decode(sum[:], []byte(fields[0]))
		return sum, err
	}
	return sum, faulty(FaultNotArchive, "%w: no SHA-256", errDigest)
}

// releasesAt asks p for its list of releases: the newest patch of the two newest minors, or
// all.
func releasesAt(ctx context.Context, hc *http.Client, p Place, all bool) ([]published, reply, error) {
	u, err := url.Parse(p.List)
	if err != nil {
		return nil, reply{}, faulty(FaultURL, "the list: not a URL")
	}
	if u.Scheme != "file" {
		q := u.Query()
		q.Set("mode", "json")
		if all {
			q.Set("include", "all")
		} else {
			q.Del("include")
		}
		u.RawQuery = q.Encode()
	}
	r, err := askPlace(ctx, hc, p, u.String(), maxReleases)
	if err != nil {
		return nil, reply{}, err
	}
	list, err := parseReleases(r.data)
	return list, r, err
}

// A vouch is the SHA-256 that a place gives for an archive.
type vouch struct {
	sum   [sha256.Size]byte
	hosts []string // that the answer came by
	plain bool
}

// digestAt asks p for the SHA-256 of the archive of t: its list of releases where it has
// one, else the .sha256 file beside the archive. The error is ErrNotExist where the place
// positively has none.
func digestAt(ctx context.Context, hc *http.Client, p Place, t Target) (vouch, error) {
	if p.List != "" {
		v, err := listedDigest(ctx, hc, p, t)
		if err == nil || !errors.Is(err, errDigest) && !errors.Is(err, goproxy.ErrNotExist) {
			return v, err
		}
	}
	r, err := askPlace(ctx, hc, p, beside(p, t, ".sha256"), maxDigest)
	if err != nil {
		return vouch{}, err
	}
	sum, err := parseDigest(r.data, t.Archive())
	return vouch{sum: sum, hosts: r.hosts, plain: r.plain}, err
}

// listedDigest looks in the short list first: the long one is large for a weak link.
func listedDigest(ctx context.Context, hc *http.Client, p Place, t Target) (vouch, error) {
	for _, all := range []bool{false, true} {
		list, r, err := releasesAt(ctx, hc, p, all)
		if err != nil {
			return vouch{}, err
		}
		for _, f := range list {
			if f.Target == t && f.SHA256 != "" {
				v := vouch{hosts: r.hosts, plain: r.plain}
				_, err := hex.Decode(v.sum[:], []byte(f.SHA256))
				return v, err
			}
		}
	}
	return vouch{}, &PlaceError{Fault: FaultAbsent, Err: fmt.Errorf("%w: the list has no SHA-256 of %s", goproxy.ErrNotExist, t.Archive())}
}

// beside is the URL of a file that lies beside the archive of t at p.
func beside(p Place, t Target, suffix string) string {
	address := p.Offer(t).URL
	u, err := url.Parse(address)
	if err != nil {
		return address + suffix
	}
	u.Path += suffix
	u.RawPath = ""
	return u.String()
}
