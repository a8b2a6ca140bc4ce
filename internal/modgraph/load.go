package modgraph

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
)

// How the requirements of a module are followed.
type pruning uint8

const (
	unpruned  pruning = iota // all the way
	pruned                   // not beyond a module that prunes
	workspace                // as a main module of a workspace
	named                    // not at all: it is required by what is pruned
)

// loader fills a graph.
type loader struct {
	src     goproxy.Source
	rules   *rules
	known   map[module.Version]*modFile // not to be read again
	work    bool
	places  chan struct{} // one for each go.mod on its way
	readDir func(string) ([]byte, error)

	wg sync.WaitGroup

	mu    sync.Mutex // guards what follows
	g     *Graph
	seen  map[visit]bool
	nodes map[module.Version]*node
	files map[module.Version]*file
}

// A visit is a module that is loaded in one way; a module can be reached in several.
type visit struct {
	m   module.Version
	how pruning
}

// node is a module version of the graph, and file the go.mod that stands for it: several
// may have the same replacement.
type node struct {
	once sync.Once
	sum  *modFile // nil if it failed
}

type file struct {
	once sync.Once
	mod  *modFile
	err  error
}

func newLoader(src goproxy.Source, r *rules, o Options, known map[module.Version]*modFile) *loader {
	l := &loader{
		src: src, rules: r, work: o.Work != nil, readDir: o.ReadDir,
		places: make(chan struct{}, cmp.Or(max(o.Parallel, 0), defaultParallel)),
		g:      newGraph(r, o), known: known, seen: map[visit]bool{}, nodes: map[module.Version]*node{}, files: map[module.Version]*file{},
	}
	if l.readDir == nil {
		l.readDir = func(dir string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, "go.mod")) }
	}
	return l
}

func (l *loader) load(ctx context.Context) error {
	if l.work {
		l.loadWorkspace(ctx)
	} else if len(l.rules.mains) == 1 {
		l.loadModule(ctx, l.rules.mains[0])
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// loadModule loads the graph of a single main module. Its requirements are the roots.
func (l *loader) loadModule(ctx context.Context, main Main) {
	m := module.Version{Path: main.Path()}
	sum := l.rules.summary(digest(main.File))
	l.g.versions[m] = sum.goVersion
	l.g.require(m, sum.require)
	how := unpruned
	if sum.prunes() {
		how = pruned
	}
	for _, r := range sum.require {
		l.visit(ctx, r, how)
	}
	l.wg.Wait()
}

// loadWorkspace loads the graph of the main modules of a workspace. The go.mod of each lists what its
// packages need at the versions that it would select alone; where the
// workspace selects a higher one, the requirements of that one count as well.
func (l *loader) loadWorkspace(ctx context.Context) {
	deep := map[string]bool{} // paths of modules whose packages the main modules may import
	for _, m := range l.g.mains {
		l.visit(ctx, m, workspace)
		deep[m.Path] = true
	}
	l.wg.Wait()
	done := map[module.Version]bool{}
	for ctx.Err() == nil {
		var next []module.Version
		for path := range deep {
			m := module.Version{Path: path, Version: l.g.Selected(path)}
			if !done[m] {
				next = append(next, m)
				continue
			}
			for _, r := range l.g.required[m] {
				s := module.Version{Path: r.Path, Version: l.g.Selected(r.Path)}
				if compare(s.Version, r.Version) > 0 && !done[s] {
					next = append(next, s)
				}
			}
		}
		if len(next) == 0 {
			return
		}
		for _, m := range next {
			done[m], deep[m.Path], l.g.deep[m] = true, true, true
			l.visit(ctx, m, workspace)
		}
		l.wg.Wait()
	}
}

// visit loads m and follows its requirements, once for each way.
func (l *loader) visit(ctx context.Context, m module.Version, how pruning) {
	l.mu.Lock()
	seen := l.seen[visit{m, how}]
	l.seen[visit{m, how}] = true
	n := l.nodes[m]
	if n == nil {
		n = &node{}
		l.nodes[m] = n
	}
	l.mu.Unlock()
	if seen || m.Version == "none" {
		return
	}
	l.wg.Go(func() {
		n.once.Do(func() { n.sum = l.add(ctx, m) })
		sum := n.sum
		if sum == nil || how == pruned && sum.prunes() {
			return
		}
		next := unpruned
		if how != unpruned && sum.prunes() {
			next = pruned
		}
		for _, r := range sum.require {
			l.visit(ctx, r, next)
		}
	})
}

// add puts m with its requirements into the graph; nil if they cannot be loaded.
func (l *loader) add(ctx context.Context, m module.Version) *modFile {
	sum, actual, err := l.summary(ctx, m)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.g.failures[m] = Failure{Module: m, Actual: actual, Err: err}
		return nil
	}
	l.g.versions[m] = sum.goVersion
	l.g.require(m, sum.require)
	return sum
}

func (l *loader) summary(ctx context.Context, m module.Version) (*modFile, module.Version, error) {
	if m.Version == "" {
		for _, main := range l.rules.mains {
			if main.Path() == m.Path {
				return l.rules.summary(digest(main.File)), m, nil
			}
		}
	}
	actual, err := l.rules.actual(m)
	if err != nil {
		return nil, actual, err
	}
	f, err := l.file(ctx, actual)
	if err != nil {
		return nil, actual, err
	}
	sum := l.rules.summary(f)
	// A folder may call itself what it likes, a module version only by its own name or that of what it replaces.
	if actual.Version != "" && sum.path != m.Path && sum.path != actual.Path {
		return nil, actual, fmt.Errorf("%w: it says module %q", ErrBadMod, sum.path)
	}
	return sum, actual, nil
}

// file reads the go.mod of a module version or of a folder, once.
func (l *loader) file(ctx context.Context, actual module.Version) (*modFile, error) {
	l.mu.Lock()
	f := l.files[actual]
	if f == nil {
		f = &file{}
		l.files[actual] = f
	}
	l.mu.Unlock()
	f.once.Do(func() {
		if f.mod = l.known[actual]; f.mod == nil {
			f.mod, f.err = l.read(ctx, actual)
		}
		l.keep(actual, f.mod, f.err)
	})
	return f.mod, f.err
}

func (l *loader) keep(actual module.Version, mod *modFile, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.g.files[actual] = mod
	}
	// A file that does not parse has come through the source, too.
	if actual.Version != "" && (err == nil || errors.Is(err, ErrBadMod)) {
		l.g.loaded[actual] = true
	}
}

func (l *loader) read(ctx context.Context, actual module.Version) (*modFile, error) {
	select {
	case l.places <- struct{}{}:
		defer func() { <-l.places }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if actual.Version == "" {
		data, err := l.readDir(actual.Path)
		if err != nil {
			return nil, err
		}
		f, err := modfile.ParseLax(filepath.Join(actual.Path, "go.mod"), data, nil)
		if err != nil {
			return nil, err
		}
		return digest(f), nil
	}
	req := goproxy.Request{Path: actual.Path, Version: actual.Version, Kind: goproxy.Mod}
	data, err := goproxy.ReadFile(ctx, l.src, req)
	if err != nil {
		return nil, err
	}
	f, err := modfile.ParseLax(req.String(), data, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadMod, err)
	}
	return digest(f), nil
}
