package sumdb

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// The public checksum database, the key that the go command has built in for it,
// and the name under which it can be reached from mainland China.
// Source: cmd/go/internal/modfetch, key.go and sumdb.go.
const (
	publicName  = "sum.golang.org"
	publicKey   = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
	publicAlias = "sum.golang.google.cn"
)

// A DB names a checksum database as GOSUMDB does.
type DB struct {
	Name string // host[/path], from the verifier key; empty if Off
	Key  string // verifier key, see golang.org/x/mod/sumdb/note; empty if Off
	URL  string // where GOSUMDB says the database is; empty means https://Name, by way of proxies where they carry it
	Off  bool   // GOSUMDB=off: nothing is looked up
}

// ParseDB parses a value of GOSUMDB by the go command's rules: "off", a known
// name, a verifier key, or one of the latter two and a URL.
// Unlike the go command it demands that the URL is an http or https one with a host.
func ParseDB(gosumdb string) (DB, error) {
	if gosumdb == publicAlias {
		gosumdb = publicName + " https://" + publicAlias
	}
	if gosumdb == "off" {
		return DB{Off: true}, nil
	}
	f := strings.Fields(gosumdb)
	switch {
	case len(f) == 0:
		return DB{}, errors.New("GOSUMDB: empty")
	case len(f) > 2:
		return DB{}, fmt.Errorf("GOSUMDB: %q: too many fields", gosumdb)
	}
	if f[0] == publicName {
		f[0] = publicKey
	}
	v, err := note.NewVerifier(f[0])
	if err != nil {
		return DB{}, fmt.Errorf("GOSUMDB: %q is neither a known database nor a verifier key: %w", f[0], err)
	}
	db := DB{Name: v.Name(), Key: f[0]}
	if err := checkName(db.Name); err != nil {
		return DB{}, err
	}
	if len(f) == 2 {
		u, err := url.Parse(f[1])
		if err != nil {
			return DB{}, fmt.Errorf("GOSUMDB: URL: %w", err)
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return DB{}, fmt.Errorf("GOSUMDB: URL %q: not an http or https URL with a host", u.Redacted())
		}
		db.URL = f[1]
	}
	return db, nil
}

// checkName holds cmd/go's rule for names (host[/path], nothing else), and one
// more: the name becomes a folder of the store, so it must be a clean path.
func checkName(name string) error {
	u, err := url.Parse("https://" + name)
	plain := err == nil && *u == (url.URL{Scheme: "https", Host: u.Host, Path: u.Path}) && u.Host != ""
	if !plain || !cleanName(name) {
		return fmt.Errorf("GOSUMDB: invalid database name %q: must be host[/path]", name)
	}
	return nil
}

func cleanName(name string) bool {
	for elem := range strings.SplitSeq(name, "/") {
		if elem == "" || strings.HasPrefix(elem, ".") || strings.HasSuffix(elem, ".") {
			return false
		}
	}
	return !strings.ContainsAny(name, `\*<>|"?`)
}

// String is the value of GOSUMDB that means d, with the password of its URL masked.
func (d DB) String() string {
	if d.Off {
		return "off"
	}
	s := d.Key
	if d.Key == publicKey {
		s = publicName
	}
	if d.URL != "" {
		u, err := url.Parse(d.URL)
		if err != nil {
			return s
		}
		s += " " + u.Redacted()
	}
	return s
}

// names reports whether a client means d when it writes name in a path:
// d's own name, or the public database's alias.
func (d DB) names(name string) bool {
	return !d.Off && (name == d.Name || name == publicAlias && d.Name == publicName)
}

// base is the URL of the database itself.
func (d DB) base() string {
	if d.URL != "" {
		return d.URL
	}
	return "https://" + d.Name
}
