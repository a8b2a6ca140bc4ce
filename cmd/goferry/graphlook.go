package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/modgraph"
	"github.com/goferry/goferry/internal/prefetch"
	"github.com/goferry/goferry/internal/text"
)

// A graphLook shows how far the work is, for those who would take silence for a fault.
type graphLook struct {
	*display
	*lookState
}

type lookState struct{ files, due, looked atomic.Int64 }

func (a *app) showLook() *graphLook {
	l := &graphLook{lookState: &lookState{}}
	l.display = a.show(l.lookState, nil)
	return l
}

// watch counts the files that are read through src.
func (l *graphLook) watch(src goproxy.Source) goproxy.Source {
	return goproxy.SourceFunc(func(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
		f, err := src.Open(ctx, req)
		l.files.Add(1)
		return f, err
	})
}

func (s *lookState) status(p *text.Printer, _ time.Time) string {
	if due := s.due.Load(); due > 0 {
		return p.T("graph.looking", "Done", s.looked.Load(), "Count", due)
	}
	return p.T("graph.loading", "Count", s.files.Load())
}

func (s *lookState) total(p *text.Printer, width int, now time.Time) string {
	line := s.status(p, now)
	if due := s.due.Load(); due > 0 {
		line = withBar(line, float64(s.looked.Load())/float64(due), width, 40)
	}
	return clip(line, width-1)
}

// A moduleFact is what is known of a module beside the graph.
type moduleFact struct {
	news     *modgraph.News // nil if nobody asked
	made     time.Time      // zero if unknown
	zip      int64          // bytes, negative if unknown
	used     int            // packages that the build takes
	packages int            // that the module has; 0 if nobody counted
}

// lookAt is how many modules are asked about side by side.
const lookAt = 32

// facts finds out what is to be known of mods, by the path under which each stands in the build list. Where
// upstreams have stopped to answer, the rest is what they once told: a graph is not worth minutes of silence.
func (r *graphRun) facts(ctx context.Context, mods []modgraph.Module, news bool) (map[string]*moduleFact, error) {
	all := make(map[string]*moduleFact, len(mods))
	places := make(chan struct{}, lookAt)
	asking, giveUp := context.WithCancel(ctx)
	defer giveUp()
	src, done := r.untilSilent(giveUp)
	defer done()
	var wg sync.WaitGroup
	r.look.due.Store(int64(len(mods)))
	for _, m := range mods {
		fact := &moduleFact{zip: -1}
		all[m.Mod.Path] = fact
		if m.Main || m.Actual.Version == "" {
			r.look.looked.Add(1)
			continue // a folder: no upstream knows of it
		}
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			r.fact(asking, src, m, fact, news)
			if asking.Err() != nil && ctx.Err() == nil {
				r.fact(goproxy.WithCachedOnly(ctx), r.src, m, fact, news)
			}
			r.look.looked.Add(1)
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if asking.Err() != nil {
		r.silent = true
	}
	return all, nil
}

// untilSilent returns the source, and calls giveUp when nothing has been answered for twice the time that one
// answer may be silent.
func (r *graphRun) untilSilent(giveUp func()) (_ goproxy.Source, done func()) {
	patience := 2 * max(r.cfg.LinkStallTimeout, time.Millisecond)
	timer := time.AfterFunc(patience, giveUp)
	return goproxy.SourceFunc(func(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
		f, err := r.src.Open(ctx, req)
		answered := goproxy.Absent(err) || errors.Is(err, goproxy.ErrBlocked)
		if err == nil { // what is here already says nothing of upstreams
			info, statErr := f.Stat()
			answered = statErr == nil && goproxy.MetaOf(info).Result == "miss"
		}
		if answered {
			timer.Reset(patience)
		}
		return f, err
	}), func() { timer.Stop() }
}

// fact looks at one module version. A size is only taken from what is here.
func (r *graphRun) fact(ctx context.Context, src goproxy.Source, m modgraph.Module, fact *moduleFact, news bool) {
	if r.f.offline() {
		// The list of an offline cache has the versions that can be had. Here it matters what there
		// is, as far as an upstream has ever said.
		ctx = goproxy.WithCachedOnly(ctx)
	}
	fact.zip = r.zipSize(ctx, m.Actual)
	if r.fl.quick {
		return
	}
	fact.made = madeAt(ctx, src, m.Actual)
	if news {
		n := modgraph.LoadNews(ctx, src, m.Actual, r.allowed(m.Actual.Path))
		fact.news = &n
	}
}

// madeAt is the time of a version. A pseudo-version says it itself.
func madeAt(ctx context.Context, src goproxy.Source, m module.Version) time.Time {
	if at, err := module.PseudoVersionTime(m.Version); err == nil {
		return at
	}
	rev, err := goproxy.Stat(ctx, src, m.Path, m.Version)
	if err != nil {
		return time.Time{}
	}
	return rev.Time
}

// allowed are the versions of a module that no main module excludes; nil if that is all of them.
func (r *graphRun) allowed(path string) func(string) bool {
	var excluded []string
	for _, main := range r.project.Mains {
		for _, x := range main.File.Exclude {
			if x.Mod.Path == path {
				excluded = append(excluded, x.Mod.Version)
			}
		}
	}
	if excluded == nil {
		return nil
	}
	return func(v string) bool { return !slices.Contains(excluded, v) }
}

// zipSize is the size of a zip that goferry's cache or the go command's own has, else -1.
func (r *graphRun) zipSize(ctx context.Context, m module.Version) int64 {
	req := goproxy.Request{Path: m.Path, Version: m.Version, Kind: goproxy.Zip}
	if f, err := r.f.cache.Open(goproxy.WithCachedOnly(ctx), req); err == nil {
		defer f.Close()
		if info, err := f.Stat(); err == nil && info.Size() > 0 {
			return info.Size()
		}
	}
	name, err := req.Name()
	if err != nil || r.vars["GOMODCACHE"] == "" {
		return -1
	}
	info, err := os.Stat(filepath.Join(r.vars["GOMODCACHE"], "cache", "download", filepath.FromSlash(name)))
	if err != nil {
		return -1
	}
	return info.Size()
}

// bringZips fetches the zips that a build needs and that are nowhere here, as `goferry fetch` does.
func (r *graphRun) bringZips(ctx context.Context) error {
	var zips []goproxy.Request
	for _, req := range r.project.FilesOf(r.g, false) {
		if req.Kind == goproxy.Zip && r.zipSize(ctx, module.Version{Path: req.Path, Version: req.Version}) < 0 {
			zips = append(zips, req)
		}
	}
	r.look.end()
	show := r.showFetch()
	defer show.end()
	res, err := prefetch.Run(ctx, goproxy.Enforce(r.f.cache, r.f.policy), zips, prefetch.Options{Retry: true, Progress: show.event})
	show.end()
	if len(res.Missing) > 0 {
		r.exit = 3
		r.say(r.p.T("graph.no-zips", "Count", len(res.Missing), "Err", errLine(res.Missing[0].Err)))
	}
	return err
}

// countPackages counts the folders below dir that hold a package, tests aside; 0 if dir cannot be read.
func countPackages(dir string) int {
	found := map[string]bool{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		switch base := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && name != dir && (base[0] == '.' || base[0] == '_' || base == "testdata" || base == "vendor"):
			return fs.SkipDir
		case !d.IsDir() && isSource(base):
			found[filepath.Dir(name)] = true
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	return len(found)
}

// isSource reports whether the go command takes a file for a part of a package, on one system or another.
func isSource(name string) bool {
	return filepath.Ext(name) == ".go" && name[0] != '.' && name[0] != '_' && !isTest(name)
}

func isTest(name string) bool { return len(name) > 8 && name[len(name)-8:] == "_test.go" }
