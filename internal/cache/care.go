package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/store"
)

// A Pattern selects module versions: a glob of module path prefixes as in GOPRIVATE, and
// behind an "@" a glob of versions. The empty pattern selects everything.
type Pattern struct {
	path, version string
}

// ParsePattern parses "golang.org/x", "*.corp.example", "golang.org/x/mod@v0.4*".
// The error matches goproxy.ErrInvalid.
func ParsePattern(s string) (Pattern, error) {
	p, v, _ := strings.Cut(s, "@")
	for _, glob := range []string{p, v} {
		if _, err := path.Match(glob, ""); err != nil {
			return Pattern{}, &goproxy.Error{Err: fmt.Errorf("pattern %q: %w: %w", s, goproxy.ErrInvalid, err)}
		}
	}
	if strings.ContainsAny(s, ", \t\n\\") {
		return Pattern{}, &goproxy.Error{Err: fmt.Errorf("pattern %q: %w: one pattern is a module path and perhaps @version", s, goproxy.ErrInvalid)}
	}
	return Pattern{path: p, version: v}, nil
}

// Match reports whether the pattern selects the file req. A list or latest belongs to all
// versions, and only to patterns without a version.
func (p Pattern) Match(req goproxy.Request) bool {
	if p.path != "" && !module.MatchPrefixPatterns(p.path, req.Path) {
		return false
	}
	if p.version == "" {
		return true
	}
	ok, err := path.Match(p.version, req.Version)
	return err == nil && ok
}

// An Entry is what the cache has of one module version, or, with an empty version,
// of a module as a whole (list and latest).
type Entry struct {
	Path    string `json:"path"`
	Version string `json:"version,omitempty"` // a version query keeps its own entry

	Files []string  `json:"files"` // "info", "mod", "zip", "list", "latest"
	Bytes int64     `json:"bytes"`
	Used  time.Time `json:"used"` // last use of the most recently used file, by the hour
}

// Entries calls fn for everything that pattern selects, module by module. Memory is
// bounded by the largest module, not by the cache.
func Entries(ctx context.Context, st *store.Store, pattern Pattern, fn func(Entry) error) error {
	var dir string
	byVersion := map[string]*Entry{}
	var order []string
	flush := func() error {
		for _, v := range order {
			if err := fn(*byVersion[v]); err != nil {
				return err
			}
		}
		clear(byVersion)
		order = order[:0]
		return nil
	}
	add := func(b store.Blob, req goproxy.Request) {
		e := byVersion[req.Version]
		if e == nil {
			e = &Entry{Path: req.Path, Version: req.Version}
			byVersion[req.Version] = e
			order = append(order, req.Version)
		}
		e.Files = append(e.Files, req.Kind.String())
		e.Bytes += b.Size
		if b.Used.After(e.Used) {
			e.Used = b.Used
		}
	}
	err := walkRequests(ctx, st, pattern, func(b store.Blob, req goproxy.Request) error {
		if req.Path != dir {
			if err := flush(); err != nil {
				return err
			}
			dir = req.Path
		}
		// Latest lies beside the folder of the other files, and other modules may be
		// met in between: it goes with the list where there is one.
		switch req.Kind {
		case goproxy.Latest:
			if _, ok := statRequest(st, goproxy.Request{Path: req.Path, Kind: goproxy.List}); ok {
				return nil
			}
		case goproxy.List:
			latest := goproxy.Request{Path: req.Path, Kind: goproxy.Latest}
			if b, ok := statRequest(st, latest); ok {
				add(b, latest)
			}
		}
		add(b, req)
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

func statRequest(st *store.Store, req goproxy.Request) (store.Blob, bool) {
	name, err := req.Name()
	if err != nil {
		return store.Blob{}, false
	}
	b, err := st.Stat(name)
	return b, err == nil
}

// walkRequests visits the blobs that are files of the protocol and match.
func walkRequests(ctx context.Context, st *store.Store, pattern Pattern, fn func(store.Blob, goproxy.Request) error) error {
	return st.Walk(ctx, "", func(b store.Blob) error {
		req, err := goproxy.ParseRequest(b.Name)
		if err != nil || !pattern.Match(req) {
			return nil
		}
		return fn(b, req)
	})
}

// Remove removes what pattern selects, remembered absences included, and returns how much it was.
func Remove(ctx context.Context, st *store.Store, pattern Pattern) (files, bytes int64, err error) {
	err = st.Walk(ctx, "", func(b store.Blob) error {
		name, absence := strings.CutPrefix(b.Name, absentPrefix)
		req, perr := goproxy.ParseRequest(name)
		if perr != nil || !pattern.Match(req) {
			return nil
		}
		if err := st.Remove(b.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if !absence {
			files++
			bytes += b.Size
		}
		return nil
	})
	return files, bytes, err
}

// A Finding is what Verify or Import has to say about one file.
type Finding struct {
	Request  goproxy.Request
	Err      error // what is wrong with the file, or why that could not be found out
	Repaired bool  // the bad file was replaced by a good one
}

// Report counts what Verify or Import did.
type Report struct {
	Files      int64 `json:"files"`      // looked at
	Good       int64 `json:"good"`       // verified, or kept
	Bad        int64 `json:"bad"`        // wrong bytes, and not repaired
	Unverified int64 `json:"unverified"` // could not be checked
	Repaired   int64 `json:"repaired"`
	Skipped    int64 `json:"skipped"` // Import: had it already
	Bytes      int64 `json:"bytes"`   // Verify: looked at; Import: of files that were taken over
}

// Verify checks the go.mod files and zips that pattern selects with the Cache's Check. Bad
// ones are reported; with repair they are removed and asked for again.
func (c *Cache) Verify(ctx context.Context, pattern Pattern, repair bool, found func(Finding)) (Report, error) {
	var r Report
	err := walkRequests(ctx, c.cfg.Store, pattern, func(b store.Blob, req goproxy.Request) error {
		if req.Kind != goproxy.Mod && req.Kind != goproxy.Zip {
			return nil
		}
		err := c.checkBlob(ctx, b.Name, req)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // evicted meanwhile
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r.Files++
		r.Bytes += b.Size
		switch {
		case err == nil:
			r.Good++
			return nil
		case !errors.Is(err, goproxy.ErrMismatch):
			r.Unverified++
			found(Finding{Request: req, Err: err})
			return nil
		}
		f := Finding{Request: req, Err: err}
		if repair {
			if rerr := c.repair(ctx, b.Name, req); rerr != nil {
				f.Err = fmt.Errorf("%w; %w", err, rerr)
			} else {
				f.Repaired = true
			}
		}
		if f.Repaired {
			r.Repaired++
		} else {
			r.Bad++
		}
		found(f)
		return nil
	})
	return r, err
}

func (c *Cache) checkBlob(ctx context.Context, name string, req goproxy.Request) error {
	f, err := c.cfg.Store.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || c.cfg.Check == nil {
		return err
	}
	return c.cfg.Check(ctx, req, f, info.Size())
}

// repair takes the bad file away before it asks: no bad byte is served, also if there is no
// better one to be had.
func (c *Cache) repair(ctx context.Context, name string, req goproxy.Request) error {
	if err := c.cfg.Store.Remove(name); err != nil {
		return err
	}
	c.hot.drop(req)
	f, err := c.Open(ctx, req)
	if err != nil {
		return fmt.Errorf("removed, but no good one could be had: %w", err)
	}
	defer f.Close()
	_, err = io.Copy(io.Discard, f)
	return err
}

// Put checks and keeps a file that came from elsewhere; Cache is a goproxy.Sink.
func (c *Cache) Put(ctx context.Context, req goproxy.Request, r io.Reader) error {
	return c.put(ctx, req, r, c.now())
}

func (c *Cache) put(ctx context.Context, req goproxy.Request, r io.Reader, mod time.Time) error {
	name, err := req.Name()
	if err != nil {
		return err
	}
	sp := newSpool(c.cfg.Store, &budget{})
	defer sp.unref()
	n, err := io.Copy(sp, io.LimitReader(r, req.Kind.MaxSize()+1))
	if err != nil {
		return err
	}
	if n > req.Kind.MaxSize() {
		return &goproxy.Error{Request: req, Err: fmt.Errorf("%w: larger than the %d MiB that are legal", goproxy.ErrMismatch, req.Kind.MaxSize()>>20)}
	}
	if req.Kind == goproxy.Info || req.Kind == goproxy.Latest {
		data := make([]byte, n)
		if _, err := sp.ReadAt(data, 0); err != nil && n > 0 {
			return err
		}
		if _, err := goproxy.ParseInfo(req, data); err != nil {
			return err
		}
	}
	if c.cfg.Check != nil {
		if err := c.cfg.Check(ctx, req, sp, n); err != nil {
			return err
		}
	}
	if err := sp.commit(name, mod); err != nil {
		return err
	}
	c.hot.drop(req)
	c.forgetAbsent(name)
	return nil
}

// Import copies a GOPROXY tree, such as the go command's own cache/download folder, into
// the cache. Every file is checked first; what cannot be checked or is bad is
// reported and not kept. What is here already stays. A list keeps its age.
func (c *Cache) Import(ctx context.Context, tree fs.FS, found func(Finding)) (Report, error) {
	var r Report
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if d.IsDir() && (name == "sumdb" || name == "vcs" || name != "." && strings.HasPrefix(name, ".")) {
			return fs.SkipDir
		}
		req, perr := goproxy.ParseRequest(name)
		if perr != nil || !d.Type().IsRegular() {
			return nil // .ziphash, .lock, .partial and the like
		}
		r.Files++
		f := Finding{Request: req}
		var skipped bool
		skipped, f.Err = c.importOne(ctx, tree, name, req, &r)
		switch {
		case skipped:
			r.Skipped++
		case f.Err == nil:
			r.Good++
		case errors.Is(f.Err, store.ErrFull):
			return f.Err
		case errors.Is(f.Err, goproxy.ErrMismatch):
			r.Bad++
			found(f)
		default:
			r.Unverified++
			found(f)
		}
		return nil
	})
	return r, err
}

func (c *Cache) importOne(ctx context.Context, tree fs.FS, name string, req goproxy.Request, r *Report) (skipped bool, err error) {
	if _, err := c.cfg.Store.Stat(name); err == nil {
		return true, nil
	}
	f, err := tree.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	mod := c.now().Truncate(time.Microsecond)
	var src io.Reader = f
	if !req.Immutable() {
		mod = info.ModTime()
	}
	if req.Kind == goproxy.List {
		data, err := io.ReadAll(io.LimitReader(f, goproxy.MaxList))
		if err != nil {
			return false, err
		}
		versions, _ := goproxy.ParseList(req.Path, data)
		src = strings.NewReader(string(goproxy.FormatList(versions)))
	}
	if err := c.put(ctx, req, src, mod); err != nil {
		return false, err
	}
	r.Bytes += info.Size()
	return false, nil
}
