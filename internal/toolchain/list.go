package toolchain

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/goferry/goferry/internal/goproxy"
)

// A Release is one that can be had.
type Release struct {
	Target
	Stable     bool      `json:"stable"`
	Supported  bool      `json:"supported"`            // gets security fixes: of one of the two newest minors
	Superseded Version   `json:"superseded,omitempty"` // the newest of its minor, where that is newer: has fixes that this one lacks
	Size       int64     `json:"size,omitempty"`       // of the download in bytes, zip or archive; 0 while unknown
	Time       time.Time `json:"time,omitzero"`        // of the release; zero while unknown
	From       []string  `json:"from"`                 // the names of the lists that it stands in
}

// A Lister lists the releases that can be had for one system.
type Lister struct {
	Source goproxy.Source // the module proxies of the user; nil for none
	Name   string         // of Source, for people; "GOPROXY" if empty
	HTTP   *http.Client
	Places []Place // are asked too: those with a List, and those of Modules that are module proxies
	OS     string  // GOOS
	Arch   string  // GOARCH
	Waits  Waits
}

// listParallel bounds how many details are asked for at once.
const listParallel = 16

// firstModule is the first release that was made for the go command to fetch. Source:
// https://go.dev/doc/toolchain#download.
const firstModule Version = "go1.21.0"

// A ListError says that no list of releases came. It matches goproxy.ErrNotExist where
// nobody has any, goproxy.ErrBlocked where all refused, else goproxy.ErrUnavailable.
type ListError struct {
	Troubles []Trouble // empty where there was nobody to ask
}

// Error names the lists and their reasons.
func (e *ListError) Error() string {
	var why askWhy
	for _, t := range e.Troubles {
		why.add(Place{Name: t.Place}, t.Err)
	}
	if len(why) == 0 {
		return "no list of releases: there is no place to ask"
	}
	return "no list of releases: " + why.String()
}

// Unwrap returns the meaning.
func (e *ListError) Unwrap() error {
	return (&FetchError{Troubles: e.Troubles}).Unwrap()
}

// List returns the releases for the system of l, newest first: all of them, or the newest
// of each minor from Go 1.21 on and, where it is newer than all stable ones, the newest
// pre-release; these with dates and sizes, which Fill asks for of any. All lists are asked side by side; Troubles tell
// which did not come. The error is a *ListError where none came, or that of ctx.
func (l *Lister) List(ctx context.Context, all bool) ([]Release, []Trouble, error) {
	lists := l.lists(all)
	found := map[Version]*Release{}
	var troubles []Trouble
	came := false
	take := func(i int, got []published, err error) askResult {
		if err != nil {
			troubles = append(troubles, Trouble{Place: lists[i].name, Err: err})
			return askOn
		}
		came = true
		for _, p := range got {
			l.merge(found, lists[i].name, p)
		}
		return askSoon
	}
	ask := func(ctx context.Context, i int) ([]published, error) { return lists[i].ask(ctx) }
	if err := askAll(ctx, l.Waits, len(lists), ask, take); err != nil {
		return nil, troubles, err
	}
	slices.SortFunc(troubles, func(a, b Trouble) int { return strings.Compare(a.Place, b.Place) })
	if !came {
		return nil, troubles, &ListError{Troubles: troubles}
	}
	releases := judged(found)
	if !all {
		releases = shown(releases)
		if err := l.Fill(ctx, releases); err != nil {
			return nil, troubles, err
		}
	}
	return releases, troubles, nil
}

// merge adds what the list called name says of p.
func (l *Lister) merge(found map[Version]*Release, name string, p published) {
	if p.OS != l.OS || p.Arch != l.Arch {
		return
	}
	r := found[p.Version]
	if r == nil {
		r = &Release{Target: p.Target, Stable: p.Version.Stable()}
		found[p.Version] = r
	}
	if r.Size = cmp.Or(r.Size, p.Size); !slices.Contains(r.From, name) {
		r.From = append(r.From, name)
		slices.Sort(r.From)
	}
}

// A releaseList is one that can be asked for.
type releaseList struct {
	name string
	ask  func(ctx context.Context) ([]published, error)
}

// lists are all that can be asked. The short lists of hosts of archives, which have two
// releases, will do where a module proxy knows the others.
func (l *Lister) lists(all bool) []releaseList {
	var lists []releaseList
	proxy := func(p Place) bool { return p.Kind == Modules && !p.Flat }
	all = all || l.Source == nil && !slices.ContainsFunc(l.Places, proxy)
	if l.Source != nil {
		lists = append(lists, releaseList{l.sourceName(), func(ctx context.Context) ([]published, error) {
			versions, err := goproxy.Versions(ctx, l.Source, ModulePath)
			if err != nil {
				return nil, err
			}
			return fromModules(versions)
		}})
	}
	for _, p := range l.Places {
		switch {
		case proxy(p):
			lists = append(lists, releaseList{p.Name, func(ctx context.Context) ([]published, error) {
				r, err := askPlace(ctx, l.HTTP, p, moduleFile(p, "list"), goproxy.MaxList)
				if err != nil {
					return nil, err
				}
				versions, _ := goproxy.ParseList(ModulePath, r.data)
				return fromModules(versions)
			}})
		case p.Kind == Archives && p.List != "":
			lists = append(lists, releaseList{p.Name, func(ctx context.Context) ([]published, error) {
				list, _, err := releasesAt(ctx, l.HTTP, p, all)
				return list, err
			}})
		}
	}
	return lists
}

func (l *Lister) sourceName() string { return cmp.Or(l.Name, "GOPROXY") }

// moduleFile is the URL of a file in the version folder of ModulePath at p.
func moduleFile(p Place, name string) string {
	u, err := url.Parse(p.URL)
	if err != nil {
		return p.URL
	}
	return u.JoinPath(ModulePath, "@v", name).String()
}

// fromModules reads versions of ModulePath.
func fromModules(versions []string) ([]published, error) {
	var list []published
	for _, s := range versions {
		if t, err := ParseModuleVersion(s); err == nil {
			list = append(list, published{Target: t})
		}
	}
	if len(list) == 0 {
		return nil, &PlaceError{Fault: FaultAbsent, Err: fmt.Errorf("%w: it knows no versions of %s", goproxy.ErrNotExist, ModulePath)}
	}
	return list, nil
}

// judged returns the releases in found, newest first, held against each other.
func judged(found map[Version]*Release) []Release {
	var versions []Version
	for v := range found {
		versions = append(versions, v)
	}
	slices.SortFunc(versions, func(a, b Version) int { return b.Compare(a) })
	releases := make([]Release, 0, len(versions))
	for _, v := range versions {
		r := *found[v]
		r.Superseded, r.Supported = Superseded(v, versions), Supported(v, versions)
		releases = append(releases, r)
	}
	return releases
}

// Superseded returns the newest of known of the minor of v, where it is newer than v: it has
// fixes, of security too, that v lacks. The zero Version means that v is the newest. What
// supersedes a stable release is stable.
func Superseded(v Version, known []Version) Version {
	newest := v
	for _, k := range known {
		if k.Language() == v.Language() && k.Compare(newest) > 0 && (k.Stable() || !v.Stable()) {
			newest = k
		}
	}
	if newest == v {
		return ""
	}
	return newest
}

// Supported reports whether v is of one of the two newest minors of which known has a stable
// release; older ones get no fixes. A pre-release of a minor to come is not supported.
// Source: https://go.dev/doc/devel/release#policy.
func Supported(v Version, known []Version) bool {
	minors := stableMinors(known)
	return slices.Contains(minors[:min(2, len(minors))], v.Language())
}

// stableMinors lists the minors that have a stable release, newest first.
func stableMinors(known []Version) []Version {
	var minors []Version
	for _, k := range known {
		if k.Stable() {
			minors = append(minors, k.Language())
		}
	}
	slices.SortFunc(minors, func(a, b Version) int { return b.Compare(a) })
	return slices.Compact(minors)
}

// shown picks what a short list shows of releases, which are sorted.
func shown(releases []Release) []Release {
	var list []Release
	for i, r := range releases {
		stable := r.Stable && r.Superseded == "" && r.Version.Compare(firstModule) >= 0
		if stable || i == 0 && !r.Stable {
			list = append(list, r)
		}
	}
	return list
}

// Fill asks for the dates and sizes that are not known. What does not come within
// Waits.Answer stays unknown; the error is that of ctx.
func (l *Lister) Fill(ctx context.Context, releases []Release) error {
	short, cancel := context.WithTimeout(ctx, l.Waits.answer())
	defer cancel()
	var g errgroup.Group
	g.SetLimit(listParallel)
	for i := range releases {
		r := &releases[i]
		if r.Time.IsZero() {
			g.Go(func() error { r.Time = l.time(short, r.Target); return nil })
		}
		if r.Size == 0 {
			g.Go(func() error { r.Size = l.size(short, r.Target); return nil })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// time is the date in the .info file of t; zero where nobody gives it.
func (l *Lister) time(ctx context.Context, t Target) time.Time {
	m := t.Module()
	if l.Source != nil {
		if rev, err := goproxy.Stat(ctx, l.Source, m.Path, m.Version); err == nil {
			return rev.Time.UTC()
		}
	}
	for _, p := range l.Places {
		if p.Kind != Modules {
			continue
		}
		address := moduleFile(p, m.Version+".info")
		if p.Flat {
			address = strings.TrimSuffix(p.Offer(t).URL, ".zip") + ".info"
		}
		r, err := askPlace(ctx, l.HTTP, p, address, goproxy.MaxInfo)
		if err != nil {
			continue
		}
		rev, err := goproxy.ParseInfo(goproxy.Request{Path: m.Path, Version: m.Version, Kind: goproxy.Info}, r.data)
		if err == nil {
			return rev.Time.UTC()
		}
	}
	return time.Time{}
}

// size is the length of the download of t as the first place that has it gives it.
func (l *Lister) size(ctx context.Context, t Target) int64 {
	for _, p := range l.Places {
		if n := sizeAt(ctx, l.HTTP, p, p.Offer(t).URL); n > 0 {
			return n
		}
	}
	return 0
}

// Versions returns the versions of releases, each once, in their order.
func Versions(releases []Release) []Version {
	var list []Version
	for _, r := range releases {
		if !slices.Contains(list, r.Version) {
			list = append(list, r.Version)
		}
	}
	return list
}
