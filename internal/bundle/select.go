package bundle

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/sync/errgroup"

	"github.com/goferry/goferry/internal/goproxy"
)

// A Selector makes a bundle's tree of the files that somebody asked for: it adds what belongs to them, and
// cuts lists down to what the bundle has.
type Selector struct {
	// Source is a cache: opening a file may fetch it, and zips are read several times.
	Source goproxy.Source

	// Lists adds to each module path its list of versions, what "latest" is, and the .info and .mod
	// of the newest versions, so that the far side can ask for versions, updates, retractions and
	// deprecations. Without it only what was asked is listed.
	Lists bool

	// News is where lists and latest are asked for, and the newest versions; nil is Source.
	News goproxy.Source

	// Offline says that lists are made of what there is where they cannot be asked for.
	Offline bool

	// Progress is called now and then, by many goroutines; may be nil.
	Progress func(done, total int)
}

// A Selected is the tree that a Selector made.
type Selected struct {
	Files    []File
	Modules  []Module  // without Recorded: that is for the checksum database to say
	Youngest time.Time // of all versions in it
	Missing  []Missing // what could not be had, sorted; the rest is there all the same
}

// Missing is a file that could not be had.
type Missing struct {
	Request goproxy.Request
	Err     error // with goproxy's meaning
}

// SortMissing sorts by request, and drops all but the first of each.
func SortMissing(list []Missing) []Missing {
	slices.SortStableFunc(list, func(a, b Missing) int { return strings.Compare(a.Request.String(), b.Request.String()) })
	return slices.CompactFunc(list, func(a, b Missing) bool { return a.Request == b.Request })
}

// selection is the work of one Select.
type selection struct {
	Selector
	mu       sync.Mutex
	files    map[goproxy.Request]bool // of module versions, and of version queries
	modules  map[module.Version]*Module
	youngest time.Time
	out      []File
	missing  map[goproxy.Request]error
	done     int
	total    int
}

// Select makes the tree. A file that cannot be had is no error: it is in Missing. The error is that of ctx, or
// of the machine.
func (s Selector) Select(ctx context.Context, asked []goproxy.Request) (Selected, error) {
	w := &selection{Selector: s, files: map[goproxy.Request]bool{}, modules: map[module.Version]*Module{}, missing: map[goproxy.Request]error{}}
	if w.News == nil {
		w.News = w.Source
	}
	listed := map[string]bool{} // module paths whose lists go in
	for _, req := range asked {
		switch {
		case req.Kind == goproxy.List || req.Kind == goproxy.Latest:
			listed[req.Path] = true
		default:
			w.add(req)
		}
	}
	if err := w.resolve(ctx); err != nil {
		return Selected{}, err
	}
	if s.Lists {
		for req := range w.files {
			listed[req.Path] = true
		}
	}
	delete(listed, goproxy.ToolchainPath) // its list names every release of Go for every system
	latest, err := w.news(ctx, slices.Sorted(maps.Keys(listed)))
	if err != nil {
		return Selected{}, err
	}
	if err := w.read(ctx); err != nil {
		return Selected{}, err
	}
	w.lists(slices.Sorted(maps.Keys(listed)), latest)
	return w.selected(), ctx.Err()
}

// add adds a file, and to a zip or go.mod the files without which the go command does not use it.
func (w *selection) add(req goproxy.Request) {
	w.files[req] = true
	if req.Kind == goproxy.Zip {
		w.files[goproxy.Request{Path: req.Path, Version: req.Version, Kind: goproxy.Mod}] = true
		w.files[goproxy.Request{Path: req.Path, Version: req.Version, Kind: goproxy.Info}] = true
	}
}

// resolve adds the .info of the version that each query among the files means.
func (w *selection) resolve(ctx context.Context) error {
	for req := range maps.Clone(w.files) {
		if !req.Query() {
			continue
		}
		rev, err := goproxy.Stat(ctx, w.Source, req.Path, req.Version)
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			w.fail(req, err)
			continue
		}
		w.add(goproxy.Request{Path: req.Path, Version: rev.Version, Kind: goproxy.Info})
		w.add(goproxy.Request{Path: req.Path, Version: rev.Version, Kind: goproxy.Mod})
	}
	return nil
}

func (w *selection) fail(req goproxy.Request, err error) {
	if req.Path == goproxy.ToolchainPath && req.Kind != goproxy.Zip && goproxy.Absent(err) {
		return // the zip is all that the go command asks for
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.missing[req] = err
}

// beside calls work for each item, several at a time, and counts. Work returns what ends all of it.
func beside[T any](ctx context.Context, w *selection, items []T, work func(ctx context.Context, item T) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(16, 2*runtime.GOMAXPROCS(0)))
	w.mu.Lock()
	w.total += len(items)
	w.mu.Unlock()
	for _, item := range items {
		g.Go(func() error {
			err := work(ctx, item)
			w.mu.Lock()
			w.done++
			done, total := w.done, w.total
			w.mu.Unlock()
			if w.Progress != nil {
				w.Progress(done, total)
			}
			return err
		})
	}
	return g.Wait()
}

// news asks for the lists of paths, and adds .info and .mod of the newest versions. It returns what "latest" is.
func (w *selection) news(ctx context.Context, paths []string) (map[string][]byte, error) {
	latest := map[string][]byte{}
	var add []goproxy.Request
	err := beside(ctx, w, paths, func(ctx context.Context, path string) error {
		newest, data, err := w.newest(ctx, path)
		if err != nil {
			return err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if data != nil {
			latest[path] = data
		}
		for _, v := range newest {
			add = append(add, goproxy.Request{Path: path, Version: v, Kind: goproxy.Info}, goproxy.Request{Path: path, Version: v, Kind: goproxy.Mod})
		}
		return nil
	})
	for _, req := range add {
		w.add(req)
	}
	return latest, err
}

// newest returns the versions of path that a query could choose or has to look into, and the @latest file. The error is that of ctx.
func (w *selection) newest(ctx context.Context, path string) (newest []string, latest []byte, err error) {
	versions, err := goproxy.Versions(ctx, w.News, path)
	if err != nil && w.unasked(ctx, goproxy.Request{Path: path, Kind: goproxy.List}, err) != nil {
		return nil, nil, context.Cause(ctx)
	}
	newest = tops(versions)
	req := goproxy.Request{Path: path, Kind: goproxy.Latest}
	data, err := goproxy.ReadFile(ctx, w.News, req)
	if err != nil {
		return newest, nil, w.unasked(ctx, req, err)
	}
	rev, err := goproxy.ParseInfo(req, data)
	if err != nil {
		w.fail(req, err)
		return newest, nil, nil
	}
	return append(newest, rev.Version), data, nil
}

// unasked notes that a list or latest could not be had, where asking again may help. Without it the list is made of
// what there is; some public proxies refuse the lists of modules whose versions they serve.
func (w *selection) unasked(ctx context.Context, req goproxy.Request, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !w.Offline && !goproxy.Absent(err) && !errors.Is(err, goproxy.ErrBlocked):
		w.fail(req, err)
	}
	return nil
}

// tops returns the newest version of each kind that the go command tells apart: with go.mod or without
// (+incompatible), and of these the newest release, or pre-release where there is none. Retractions of all versions
// stand in the newest. Source: https://go.dev/ref/mod#version-queries.
func tops(versions []string) []string {
	best := map[bool]string{}
	for _, v := range versions {
		old := semver.Build(v) == "+incompatible"
		b, ok := best[old]
		if !ok || better(v, b) {
			best[old] = v
		}
	}
	return slices.Sorted(maps.Values(best))
}

// better reports whether the go command chooses v rather than w.
func better(v, w string) bool {
	if pre := semver.Prerelease(v) != ""; pre != (semver.Prerelease(w) != "") {
		return !pre
	}
	return semver.Compare(v, w) > 0
}

// read opens every file, and hashes those that have a hash.
func (w *selection) read(ctx context.Context) error {
	for req := range w.files {
		if m := (module.Version{Path: req.Path, Version: req.Version}); !req.Query() && w.modules[m] == nil {
			w.modules[m] = &Module{Path: m.Path, Version: m.Version}
		}
	}
	// The largest first would be best, but no size is known; in the order of names a slow one is as likely at the end.
	files := slices.SortedFunc(maps.Keys(w.files), func(a, b goproxy.Request) int { return strings.Compare(a.String(), b.String()) })
	return beside(ctx, w, files, func(ctx context.Context, req goproxy.Request) error {
		err := w.readOne(ctx, req)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		w.fail(req, err)
		return nil
	})
}

// readOne takes one file in.
func (w *selection) readOne(ctx context.Context, req goproxy.Request) error {
	name, err := req.Name()
	if err != nil {
		return err
	}
	if req.Kind == goproxy.Zip {
		size, sum, err := zipSum(ctx, w.Source, req)
		if err != nil {
			return err
		}
		w.take(req, File{Name: name, Size: size, Open: func(ctx context.Context) (io.ReadCloser, error) { return w.Source.Open(ctx, req) }}, time.Time{}, sum)
		return nil
	}
	data, err := goproxy.ReadFile(ctx, w.Source, req)
	if err != nil {
		return err
	}
	if req.Kind == goproxy.Mod {
		sum, err := modSum(data)
		if err != nil {
			return err
		}
		w.take(req, inMemory(name, data), time.Time{}, sum)
		return nil
	}
	rev, err := goproxy.ParseInfo(req, data)
	if err != nil {
		return err
	}
	w.take(req, inMemory(name, data), rev.Time, originOf(data))
	return nil
}

// take keeps a file; said is the hash of a zip or go.mod, and what the .info says of the origin.
func (w *selection) take(req goproxy.Request, f File, t time.Time, said string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out = append(w.out, f)
	if t.After(w.youngest) {
		w.youngest = t
	}
	m := w.modules[module.Version{Path: req.Path, Version: req.Version}]
	switch {
	case m == nil:
	case req.Kind == goproxy.Zip:
		m.Sum = said
	case req.Kind == goproxy.Mod:
		m.ModSum = said
	case req.Kind == goproxy.Info:
		m.Source = said
	}
}

// inMemory is a small file.
func inMemory(name string, data []byte) File {
	return File{Name: name, Size: int64(len(data)), Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
}

// FileOf returns a File of bytes.
func FileOf(name string, data []byte) File { return inMemory(name, data) }

// lists adds the list of each path, and its latest: the versions whose .info and .mod are here. Others would be
// promises that the far side finds broken.
func (w *selection) lists(paths []string, latest map[string][]byte) {
	usable := map[string][]string{}
	for m := range w.modules {
		info := goproxy.Request{Path: m.Path, Version: m.Version, Kind: goproxy.Info}
		mod := goproxy.Request{Path: m.Path, Version: m.Version, Kind: goproxy.Mod}
		if w.files[info] && w.files[mod] && w.missing[info] == nil && w.missing[mod] == nil {
			usable[m.Path] = append(usable[m.Path], m.Version)
		}
	}
	put := func(req goproxy.Request, data []byte) {
		if name, err := req.Name(); err == nil {
			w.out = append(w.out, inMemory(name, data))
		}
	}
	for _, path := range paths {
		if len(usable[path]) == 0 {
			continue // a path that was looked at on the way to a package, and has nothing to give
		}
		put(goproxy.Request{Path: path, Kind: goproxy.List}, FormatVersions(path, usable[path]))
		if data, ok := latest[path]; ok {
			if rev, err := goproxy.ParseInfo(goproxy.Request{Path: path, Kind: goproxy.Latest}, data); err == nil && slices.Contains(usable[path], rev.Version) {
				put(goproxy.Request{Path: path, Kind: goproxy.Latest}, data)
			}
		}
	}
}

// FormatVersions returns the list file that names versions of path, without pseudo-versions.
func FormatVersions(path string, versions []string) []byte {
	tagged, _ := goproxy.ParseList(path, []byte(strings.Join(versions, "\n")))
	return goproxy.FormatList(tagged)
}

func (w *selection) selected() Selected {
	s := Selected{Files: w.out, Youngest: w.youngest}
	slices.SortFunc(s.Files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	for _, m := range w.modules {
		if m.Sum != "" || m.ModSum != "" {
			s.Modules = append(s.Modules, *m)
		}
	}
	slices.SortFunc(s.Modules, compareModules)
	for req, err := range w.missing {
		s.Missing = append(s.Missing, Missing{req, err})
	}
	s.Missing = SortMissing(s.Missing)
	return s
}

// MergeLists returns files with lists that also name what the lists in base, an older bundle, name: a delta's list takes
// the place of the older one, and all its versions are still there.
func MergeLists(ctx context.Context, files []File, base fs.FS) ([]File, error) {
	out := slices.Clone(files)
	for i, f := range out {
		req, err := goproxy.ParseRequest(f.Name)
		if err != nil || req.Kind != goproxy.List {
			continue
		}
		old, err := fs.ReadFile(base, f.Name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		now, err := readAll(ctx, f)
		if err != nil {
			return nil, err
		}
		out[i] = inMemory(f.Name, FormatVersions(req.Path, strings.Fields(string(old)+"\n"+string(now))))
	}
	return out, nil
}

// readAll reads a small file.
func readAll(ctx context.Context, f File) ([]byte, error) {
	r, err := f.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
