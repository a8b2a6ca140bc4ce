package prefetch

import (
	"cmp"
	"maps"
	"slices"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/goferry/goferry/internal/goproxy"
)

const (
	// How far from a .mod that the client asked for another is worth asking for, where pruning
	// makes it uncertain that it will be: 1 is what that .mod requires.
	maxDepth = 5

	// The roots of a graph are asked for in the order of their paths. What stands before the last
	// few, whose order may be mixed since they are asked for in parallel, has been passed.
	rootsMixed = 16
)

// graph is what a session knows of a module graph.
type graph struct {
	asked    map[string]string // path to the highest version whose .mod was asked for
	required map[string]string // path to the highest version that these require
	latest   []string          // the last paths asked for, up to rootsMixed
	changes  int               // of asked and required
	info     int               // which .info files the client wants
	offered  [2]int            // changes and info that .info files were predicted for
}

// What .info files a client wants.
const (
	noInfo       = iota
	infoAsked    // of versions whose .mod it has asked for
	infoRequired // of all versions that are selected
)

func newGraph() graph { return graph{asked: map[string]string{}, required: map[string]string{}} }

// raise keeps the higher version and reports whether that was a change.
func raise(versions map[string]string, m module.Version) bool {
	if old, ok := versions[m.Path]; ok && semver.Compare(m.Version, old) <= 0 {
		return false
	}
	versions[m.Path] = m.Version
	return true
}

func (g *graph) note(m module.Version) {
	if raise(g.asked, m) {
		g.changes++
	}
	if g.latest = append(g.latest, m.Path); len(g.latest) > rootsMixed {
		g.latest = g.latest[1:]
	}
}

// highest is the highest version of path that was seen in the graph.
func (g *graph) highest(path string) string {
	a, r := g.asked[path], g.required[path]
	if a == "" || semver.Compare(r, a) > 0 {
		return r
	}
	return a
}

// useless reports whether the .mod is of a version that a higher one has made unnecessary since
// it was predicted.
func (g *graph) useless(req goproxy.Request, f *file) bool {
	return f.guess != nil && !f.closed && semver.Compare(req.Version, g.highest(req.Path)) < 0
}

// passed reports whether a client that asks for the roots in the order of their paths has gone
// beyond path. When it is beyond the roots, it follows no order and nothing has been passed.
func (g *graph) passed(path string) bool {
	return len(g.latest) == rootsMixed && slices.Min(g.latest) > path
}

// selection is the versions selected among those asked for, or also among those required, in
// the order of their paths, from the one behind path on and round.
func (g *graph) selection(all bool, path string) []module.Version {
	paths := maps.Clone(g.asked)
	if all {
		for p := range g.required {
			paths[p] = ""
		}
	}
	list := make([]module.Version, 0, len(paths))
	for p, v := range paths {
		if all {
			v = g.highest(p)
		}
		list = append(list, module.Version{Path: p, Version: v})
	}
	slices.SortFunc(list, func(a, b module.Version) int { return cmp.Compare(a.Path, b.Path) })
	at, _ := slices.BinarySearchFunc(list, path, func(m module.Version, p string) int { return cmp.Compare(m.Path, p) })
	return slices.Concat(list[at:], list[:at])
}

// followMod asks for what a .mod requires that the client asks for.
func (s *session) followMod(m module.Version, f *file) {
	if n := s.o.memo[m]; n != nil {
		s.expand(m, f, n)
	} else if f.state != fetching { // else the fetch goes on with it
		s.enqueue(atHand, job{s, request(m, goproxy.Mod), f})
	}
}

func request(m module.Version, kind goproxy.Kind) goproxy.Request {
	return goproxy.Request{Path: m.Path, Version: m.Version, Kind: kind}
}

// expand predicts the .mod files that m requires. By the go command's rule
// (https://go.dev/ref/mod#graph-pruning) they are all needed where m is below go 1.17,
// with all that they require, and else only those that are roots of the build by themselves.
func (s *session) expand(m module.Version, f *file, n *needs) {
	zip := s.files[request(m, goproxy.Zip)]
	built := zip != nil && zip.asked
	known := built || f.asked || f.closed
	if known {
		for _, r := range n.list {
			if raise(s.graph.required, r.Version) {
				s.graph.changes++
			}
		}
	}
	if built {
		s.followBuilt(n)
	}
	if built && !s.graphLoaded() {
		return
	}
	closed := known && (f.closed || !n.pruned)
	depth := f.depth + 1
	if known {
		depth = 1
	}
	for _, r := range n.list {
		s.requires(r.Version, depth, closed)
	}
}

// graphLoaded reports whether the client asks for .mod files to load a graph: a build that needs
// none asks for those alone whose zip it asked for.
func (s *session) graphLoaded() bool { return len(s.graph.asked) > len(s.zip.asked) }

// requires predicts one .mod that another requires, and what it requires in turn where
// that is known already.
func (s *session) requires(m module.Version, depth int, closed bool) {
	req := request(m, goproxy.Mod)
	f := s.files[req]
	if f == nil || !f.asked && f.state == idle {
		class := certain
		if !closed {
			if depth > maxDepth || semver.Compare(m.Version, s.graph.highest(m.Path)) < 0 || s.graph.passed(m.Path) {
				return
			}
			class = min(certain+depth, farOff)
		}
		f = s.predict(&s.small, class, req)
		f.depth, f.closed = depth, closed
		return
	}
	nearer := depth < f.depth && !f.asked
	if nearer {
		f.depth = depth
	}
	if closed && !f.closed {
		f.closed, nearer = true, true
	}
	if n := s.o.memo[m]; n != nil && nearer {
		s.expand(m, f, n)
	}
}

// followInfo predicts the .info files that go with the one that the client asks for.
func (s *session) followInfo(m module.Version) {
	s.predict(&s.small, certain, request(m, goproxy.Mod))
	g := &s.graph
	switch {
	case g.asked[m.Path] == m.Version:
		g.info = max(g.info, infoAsked)
	case g.required[m.Path] == m.Version:
		g.info = infoRequired
	}
	s.offerInfos(m.Path)
}

// offerInfos predicts the .info files that are still missing, beginning behind path.
func (s *session) offerInfos(path string) {
	g := &s.graph
	if g.info == noInfo || g.offered == [2]int{g.changes, g.info} {
		return
	}
	for _, m := range g.selection(g.info == infoRequired, path) {
		if s.ahead >= smallAhead+smallPerAsked*s.asks {
			return // more when it has asked for more
		}
		s.predict(&s.small, certain, request(m, goproxy.Info))
		if g.info == infoRequired {
			s.predict(&s.small, certain, request(m, goproxy.Mod))
		}
	}
	g.offered = [2]int{g.changes, g.info}
}

// tells goes on from an answer that names versions: of a list the go command wants the
// .info and .mod of the highest, of latest and of a query the .mod of the version that they name.
func (s *session) tells(req goproxy.Request, data []byte) {
	if req.Kind == goproxy.List {
		versions, _ := goproxy.ParseList(req.Path, data)
		if v := highestRelease(versions); v != "" {
			m := module.Version{Path: req.Path, Version: v}
			s.predict(&s.small, certain, request(m, goproxy.Info))
			s.predict(&s.small, certain, request(m, goproxy.Mod))
		}
		return
	}
	if rev, err := goproxy.ParseInfo(req, data); err == nil {
		s.predict(&s.small, certain, request(module.Version{Path: req.Path, Version: rev.Version}, goproxy.Mod))
	}
}

// highestRelease is the highest release of a sorted list, else its highest pre-release.
func highestRelease(sorted []string) string {
	for _, v := range slices.Backward(sorted) {
		if semver.Prerelease(v) == "" {
			return v
		}
	}
	if len(sorted) > 0 {
		return sorted[len(sorted)-1]
	}
	return ""
}
