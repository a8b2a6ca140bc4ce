package prefetch

import (
	"iter"
	"slices"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
)

// zips is what a session knows of the zips that a client wants.
type zips struct {
	infos    []module.Version       // in the order in which .info was asked for since the last zip
	position map[module.Version]int // of these
	after    bool                   // a zip has been asked for since the last .info

	asked []module.Version
	asks  int     // len(asked)
	open  []*file // fetched or queued ahead; those asked for meanwhile are taken out at the next zip

	sizes, sum int64 // of the zips that were served
}

func (z *zips) noteInfo(m module.Version) {
	if z.after {
		z.infos, z.after = nil, false
		clear(z.position)
	}
	z.position[m] = len(z.infos)
	z.infos = append(z.infos, m)
}

func (z *zips) noteZip(m module.Version) {
	z.after = true
	z.asked = append(z.asked, m)
	z.asks++
}

func (z *zips) sized(bytes int64) {
	z.sizes++
	z.sum += bytes
}

// typical is how many bytes a zip that has not begun to arrive is taken for.
func (z *zips) typical() int64 { return (z.sum + firstZip) / (z.sizes + 1) }

// followZip goes on from a zip that the client asks for.
func (s *session) followZip(m module.Version) {
	z := &s.zip
	_, listed := z.position[m]
	if f := s.files[request(m, goproxy.Zip)]; f.guess == nil {
		for _, g := range []*guess{&s.listed, &s.selects} {
			if g.ahead > 0 {
				g.window = max(minWindow, g.window-2) // it wanted another
			}
		}
	}
	z.open = slices.DeleteFunc(z.open, func(f *file) bool {
		settled := f.asked || f.passed || f.state == missing
		if !settled && z.asks-f.born > passedAfter+f.guess.maxWindow {
			s.passOver(f)
			return true
		}
		return settled
	})
	if !listed {
		s.predict(&s.small, certain, request(m, goproxy.Mod))
		if n := s.o.memo[m]; n != nil {
			s.followBuilt(n)
		}
	}
	s.refill()
}

// refill asks for zips ahead of the last one that the client asked for, as far as there is
// room.
func (s *session) refill() {
	z := &s.zip
	if len(z.asked) == 0 {
		return
	}
	last := z.asked[len(z.asked)-1]
	if at, ok := z.position[last]; ok {
		s.fill(&s.listed, slices.Values(z.infos[at+1:]))
		return
	}
	if s.graphLoaded() {
		s.fill(&s.selects, slices.Values(s.graph.selection(false, last.Path)))
	}
}

// followBuilt predicts the zips of what a module requires whose zip was asked for: its packages
// import them.
func (s *session) followBuilt(n *needs) {
	s.fill(&s.imports, func(yield func(module.Version) bool) {
		for _, r := range n.list {
			if r.indirect {
				continue
			}
			m := r.Version
			if v := s.graph.highest(m.Path); v != "" {
				m.Version = v
			}
			if !yield(m) {
				return
			}
		}
	})
}

// fill predicts zips as long as there is room.
func (s *session) fill(g *guess, list iter.Seq[module.Version]) {
	for m := range list {
		if !s.room(g) {
			return
		}
		req := request(m, goproxy.Zip)
		f := s.file(req)
		if f.asked || f.state != idle || len(s.files) >= maxFiles || !s.o.allowed(req) {
			continue
		}
		f.guess, f.state, f.born = g, waiting, s.zip.asks
		g.ahead++
		s.zip.open = append(s.zip.open, f)
		s.cost(f, s.zip.typical())
		s.enqueue(0, job{s, req, f})
	}
}
