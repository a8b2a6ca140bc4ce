package modgraph

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/goferry/goferry/internal/goproxy"
)

// News is what the other versions of a module say about one of them. Each half can be unknown,
// which is never "there is nothing".
type News struct {
	// Newer is the version that "go get M@upgrade" would take; empty where there is no such version.
	Newer  string
	Latest string // the highest version, retracted or not
	// VersionsErr is why Newer and Latest are unknown, else nil.
	VersionsErr error

	// Retracted is why the version is retracted, an empty text where nobody said why;
	// it has no elements if the version is not retracted. Several retractions can cover it.
	Retracted  []string
	Deprecated string // what the author says about the module as a whole; empty if it is not deprecated
	// NoticesErr is why Retracted and Deprecated are unknown, else nil. Newer can then be a
	// version that is retracted.
	NoticesErr error

	Age time.Duration // how long ago an upstream gave the oldest of these answers
}

// LoadNews finds out through src what is new about m, by the rules of "go list -m -u -retracted": a
// version is newer if "go get M@upgrade" would take it, retractions and the deprecation
// are those of the go.mod of the latest version (https://go.dev/ref/mod#go-mod-file-retract).
// allowed says which versions may be taken, as exclude directives do; nil allows all.
func LoadNews(ctx context.Context, src goproxy.Source, m module.Version, allowed func(version string) bool) News {
	l := &newsLoader{src: src, path: m.Path, mods: map[string]*modfile.File{}}
	n := News{}
	n.VersionsErr = l.list(ctx)
	if n.VersionsErr == nil {
		n.Latest, n.VersionsErr = l.query(ctx, "", nil)
	}
	if n.VersionsErr != nil {
		n.NoticesErr = n.VersionsErr
		return n
	}
	if latest, err := l.mod(ctx, n.Latest); err != nil {
		n.NoticesErr = err
	} else {
		n.Retracted = retractions(latest, m.Version)
		if latest.Module != nil {
			n.Deprecated = latest.Module.Deprecated
		}
	}
	ok := func(v string) bool {
		return (allowed == nil || allowed(v)) && (n.NoticesErr != nil || len(retractions(l.mods[n.Latest], v)) == 0)
	}
	newer, err := l.query(ctx, m.Version, ok)
	switch {
	case errors.Is(err, errNoVersion): // it stays where it is
	case err != nil:
		n.VersionsErr = err
	case compare(newer, m.Version) > 0:
		n.Newer = newer
	}
	n.Age = l.age
	return n
}

// errNoVersion says that no version is as it was wanted.
var errNoVersion = errors.New("no version")

// newsLoader asks about one module.
type newsLoader struct {
	src      goproxy.Source
	path     string
	versions []string // of its list
	latest   *goproxy.Rev
	mods     map[string]*modfile.File
	age      time.Duration
}

func (l *newsLoader) list(ctx context.Context) error {
	data, err := l.read(ctx, goproxy.Request{Path: l.path, Kind: goproxy.List})
	if err != nil {
		return err
	}
	l.versions, _ = goproxy.ParseList(l.path, data)
	return nil
}

// read is goproxy.ReadFile that keeps the greatest age of an answer.
func (l *newsLoader) read(ctx context.Context, req goproxy.Request) ([]byte, error) {
	f, err := l.src.Open(ctx, req)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		l.age = max(l.age, goproxy.MetaOf(info).Age)
	}
	data, err := io.ReadAll(io.LimitReader(f, req.Kind.MaxSize()+1))
	if err == nil && int64(len(data)) > req.Kind.MaxSize() {
		err = fmt.Errorf("%s: %w: too large", req, goproxy.ErrUnavailable)
	}
	return data, err
}

// mod is the go.mod of a version; what does not parse is unknown.
func (l *newsLoader) mod(ctx context.Context, version string) (*modfile.File, error) {
	if f := l.mods[version]; f != nil {
		return f, nil
	}
	req := goproxy.Request{Path: l.path, Version: version, Kind: goproxy.Mod}
	data, err := l.read(ctx, req)
	if err != nil {
		return nil, err
	}
	f, err := modfile.ParseLax(req.String(), data, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadMod, err)
	}
	l.mods[version] = f
	return f, nil
}

// query is "latest" if current is empty, else "upgrade" (cmd/go/internal/modload/query.go).
func (l *newsLoader) query(ctx context.Context, current string, ok func(string) bool) (string, error) {
	releases, others, err := l.candidates(ctx, current, ok)
	if err != nil {
		return "", err
	}
	best := ""
	switch {
	case len(releases) > 0:
		best = releases[len(releases)-1]
	case len(others) > 0:
		best = others[len(others)-1]
	case current == "" || module.IsPseudoVersion(current):
		rev, err := l.tip(ctx)
		if err != nil {
			return "", err
		}
		if !takes(rev.Version, current, ok) {
			return "", errNoVersion
		}
		best = rev.Version
	default:
		return "", errNoVersion
	}
	if current == "" || !module.IsPseudoVersion(current) || best == current {
		return best, nil
	}
	return l.later(ctx, best, current)
}

func takes(v, current string, ok func(string) bool) bool {
	return (current == "" || compare(v, current) >= 0) && (ok == nil || ok(v))
}

// candidates are the releases and the pre-releases of the list that may be taken, both rising.
//
// Versions with +incompatible count only where no compatible version has a go.mod, or where
// the current version is one of them (https://go.dev/issue/34165).
func (l *newsLoader) candidates(ctx context.Context, current string, ok func(string) bool) (releases, others []string, err error) {
	incompatible, compatible := strings.HasSuffix(current, "+incompatible"), ""
	for _, v := range l.versions {
		if !takes(v, current, ok) {
			continue
		}
		switch {
		case incompatible:
		case !strings.HasSuffix(v, "+incompatible"):
			compatible = v
		case compatible != "":
			has, err := l.hasMod(ctx, compatible)
			if err != nil || has {
				return releases, others, err
			}
			incompatible = true
		}
		if semver.Prerelease(v) == "" {
			releases = append(releases, v)
		} else {
			others = append(others, v)
		}
	}
	return releases, others, nil
}

// hasMod reports whether a version has a go.mod of its own: a proxy makes one of a single line where there is none.
func (l *newsLoader) hasMod(ctx context.Context, version string) (bool, error) {
	data, err := l.read(ctx, goproxy.Request{Path: l.path, Version: version, Kind: goproxy.Mod})
	made := "module " + modfile.AutoQuote(l.path) + "\n"
	return !bytes.Equal(data, []byte(made)), err
}

// tip is what the upstream calls the latest, for modules without tagged versions.
func (l *newsLoader) tip(ctx context.Context) (goproxy.Rev, error) {
	if l.latest != nil {
		return *l.latest, nil
	}
	req := goproxy.Request{Path: l.path, Kind: goproxy.Latest}
	data, err := l.read(ctx, req)
	if err != nil {
		return goproxy.Rev{}, err
	}
	rev, err := goproxy.ParseInfo(req, data)
	if err == nil {
		l.latest = &rev
	}
	return rev, err
}

// later keeps a pseudo-version from a change to what was made before it.
func (l *newsLoader) later(ctx context.Context, v, current string) (string, error) {
	at, err := module.PseudoVersionTime(current)
	if err != nil {
		return v, nil
	}
	var made time.Time
	if l.latest != nil && l.latest.Version == v {
		made = l.latest.Time
	} else {
		req := goproxy.Request{Path: l.path, Version: v, Kind: goproxy.Info}
		data, err := l.read(ctx, req)
		if err != nil {
			return "", err
		}
		rev, err := goproxy.ParseInfo(req, data)
		if err != nil {
			return "", err
		}
		made = rev.Time
	}
	if !made.IsZero() && made.Before(at) {
		return current, nil
	}
	return v, nil
}

// retractions are the reasons for which f, the latest go.mod of the module, retracts a version.
func retractions(f *modfile.File, version string) []string {
	var why []string
	if f == nil {
		return nil
	}
	for _, r := range f.Retract {
		if semver.Compare(r.Low, version) <= 0 && semver.Compare(version, r.High) <= 0 {
			why = append(why, r.Rationale)
		}
	}
	return slices.Compact(why)
}
