package prefetch

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/goferry/goferry/internal/goproxy"
)

// module refreshes what is known of a module, and fetches the versions that are new.
func (w *Watcher) module(ctx context.Context, path string) error {
	before := w.before(ctx, path)
	versions, err := w.list(ctx, path)
	if err != nil {
		return err
	}
	latest, err := goproxy.Stat(ctx, w.cfg.Source, path, "latest")
	if err != nil && !goproxy.Absent(err) {
		return err
	}
	for _, v := range w.fresh(ctx, path, before, versions, latest.Version) {
		fetched, err := w.version(ctx, module.Version{Path: path, Version: v})
		if err != nil {
			return err
		}
		if fetched {
			w.log.Info("fetched a new version", "module", path, "version", v)
			w.update(func(p *Progress) { p.Versions++ })
		}
	}
	if len(versions) > 0 {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.known[path] = versions[len(versions)-1]
	}
	return nil
}

// list is what an upstream says now. An old list that the cache serves because nobody could be asked is
// no news of the module, but of the upstream.
func (w *Watcher) list(ctx context.Context, path string) ([]string, error) {
	stale := false
	src := goproxy.SourceFunc(func(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
		f, err := w.cfg.Source.Open(ctx, req)
		if err == nil {
			info, serr := f.Stat()
			stale = serr == nil && goproxy.MetaOf(info).Result == "stale"
		}
		return f, err
	})
	versions, err := goproxy.Versions(ctx, src, path)
	if err == nil && stale {
		req := goproxy.Request{Path: path, Kind: goproxy.List}
		return nil, &goproxy.Error{Request: req, Err: fmt.Errorf("%w: there is only an old list", goproxy.ErrUnavailable)}
	}
	return versions, err
}

// before is the highest version that was known before now; empty where no list was.
func (w *Watcher) before(ctx context.Context, path string) string {
	w.mu.Lock()
	known := w.known[path]
	w.mu.Unlock()
	if known != "" {
		return known
	}
	versions, err := goproxy.Versions(goproxy.WithCachedOnly(ctx), w.cfg.Source, path)
	if err != nil || len(versions) == 0 {
		return ""
	}
	return versions[len(versions)-1]
}

// fresh is the versions to fetch: those above what was known, the highest last, and the one
// that is the latest, in case a client's look at the list came before this one.
func (w *Watcher) fresh(ctx context.Context, path, before string, versions []string, latest string) []string {
	var list []string
	if before != "" {
		for _, v := range versions {
			if semver.Compare(v, before) > 0 {
				list = append(list, v)
			}
		}
		list = list[max(0, len(list)-maxNewOfOne):]
	}
	if newest := highestRelease(versions); newest != "" {
		latest = newest
	}
	if latest != "" && !slices.Contains(list, latest) && !w.has(ctx, module.Version{Path: path, Version: latest}) {
		list = append(list, latest)
	}
	return list
}

// has reports whether the zip of m is in the cache.
func (w *Watcher) has(ctx context.Context, m module.Version) bool {
	f, err := w.cfg.Source.Open(goproxy.WithCachedOnly(ctx), request(m, goproxy.Zip))
	if err != nil {
		return false
	}
	_ = f.Close() // it was only opened to see that it is there
	return true
}

// version fetches the files of m, and reports whether one was not there before. The zip comes last: with
// it, the version is complete.
func (w *Watcher) version(ctx context.Context, m module.Version) (fetched bool, err error) {
	for _, kind := range []goproxy.Kind{goproxy.Info, goproxy.Mod, goproxy.Zip} {
		req := request(m, kind)
		if w.cfg.Allow != nil && !w.cfg.Allow(req) {
			return fetched, nil
		}
		n, err := w.fetch(ctx, req)
		if err != nil {
			return fetched, err
		}
		fetched = fetched || n > 0
	}
	return fetched, nil
}

// fetch brings one file into the cache, and returns how many bytes that took.
func (w *Watcher) fetch(ctx context.Context, req goproxy.Request) (int64, error) {
	if f, err := w.cfg.Source.Open(goproxy.WithCachedOnly(ctx), req); err == nil {
		_ = f.Close() // it is there
		return 0, nil
	}
	f, err := w.cfg.Source.Open(ctx, req)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, w.pace.reader(ctx, f), make([]byte, watchReadBuf))
	w.update(func(p *Progress) { p.Bytes += n })
	return n, err
}

// A pace keeps readers, together, to a rate.
type pace struct {
	rate int64 // bytes a second; 0 is no bound

	mu   sync.Mutex
	free time.Time // when what was read so far has taken the time that it should
}

// wait waits as long as n bytes should take.
func (p *pace) wait(ctx context.Context, n int) error {
	if p.rate <= 0 || n <= 0 {
		return nil
	}
	p.mu.Lock()
	now := time.Now()
	if p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
	d := p.free.Sub(now)
	p.mu.Unlock()
	return sleep(ctx, d)
}

// reader reads r at the pace of all.
func (p *pace) reader(ctx context.Context, r io.Reader) io.Reader {
	return readerFunc(func(b []byte) (int, error) {
		n, err := r.Read(b)
		if werr := p.wait(ctx, n); werr != nil && err == nil {
			err = werr
		}
		return n, err
	})
}

type readerFunc func(b []byte) (int, error)

// Read calls f.
func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
