package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/cache"
	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/prefetch"
	"github.com/goferry/goferry/internal/server"
	"github.com/goferry/goferry/internal/store"
	"github.com/goferry/goferry/internal/sumdb"
	"github.com/goferry/goferry/internal/transport"
	"github.com/goferry/goferry/internal/vcs"
)

// ferry is the whole, wired: outermost first Handler, Enforce, Cache (with sumdb as its
// check), Match (GONOPROXY: version control), Chain of upstreams, transport.
type ferry struct {
	cfg       *config.Config
	log       *slog.Logger
	upstreams []goproxy.Upstream
	bundles   []*openBundle // the only source, where there are some
	http      *http.Client
	hosts     *transport.Memory // what was learned about hosts
	sets      []*goproxy.Mirrors
	store     *store.Store
	cache     *cache.Cache
	sums      *sumdb.Client
	policy    func(context.Context, goproxy.Request) error
	ahead     *prefetch.Server  // guesses what clients ask next; may be nil
	watch     *prefetch.Watcher // may be nil
	metrics   *server.Metrics
	tally     *tally
	started   time.Time
	failures  failures
	origins   origins
	handler   *goproxy.Handler
	busy      *busy // answers of handler, where somebody waits for them; else nil
	closers   []io.Closer
}

// Close ends fills and lookups and closes the store, in the order in which they need each other.
func (f *ferry) Close() error {
	var errs []error
	if f.cache != nil { // it was wired to its end
		f.remember()
	}
	for i := len(f.closers) - 1; i >= 0; i-- {
		errs = append(errs, f.closers[i].Close())
	}
	return errors.Join(errs...)
}

// wire puts the rooms together as cfg says. What sums (a GOPROXY tree, or nil) has of the
// checksum database is asked before anything else; t counts, if it is not nil.
func (a *app) wire(cfg *config.Config, log *slog.Logger, sums fs.FS, t *tally) (_ *ferry, err error) {
	f := &ferry{cfg: cfg, log: log, metrics: server.NewMetrics(), tally: t, started: time.Now()}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	if err := a.wireBundles(f); err != nil {
		return nil, err
	}
	if f.bundles == nil {
		if f.upstreams, err = a.upstreams(cfg); err != nil {
			return nil, err
		}
	}
	f.hosts = transport.NewMemory()
	f.recall("hosts.json", func(file *os.File) error { return f.hosts.Load(file) })
	if f.http, err = a.httpClient(cfg, f); err != nil {
		return nil, err
	}
	if f.store, err = openStore(cfg, log, f.metrics.Evicted); err != nil {
		return nil, cacheFault(cfg, err)
	}
	f.closers = append(f.closers, f.store)
	if f.bundles != nil {
		f.sums, err = a.bundledSums(f)
	} else {
		f.sums, err = f.checksumDB(sums)
	}
	if err != nil {
		return nil, err
	}
	f.closers = append(f.closers, f.sums)
	source, err := a.source(f)
	if err != nil {
		return nil, err
	}
	f.cache = cache.New(cache.Config{
		Store: f.store, Source: source, Offline: f.offline(), Check: f.sums.Verify, Prepare: f.prepare, Refused: f.metrics.ChecksumMismatch, Kept: f.origins.kept,
		FreshList: asked(cfg.FreshList), FreshLatest: asked(cfg.FreshLatest), FreshQuery: asked(cfg.FreshQuery), FreshAbsent: asked(cfg.FreshAbsent),
		Logger: log,
	})
	f.closers = append(f.closers, f.cache)
	f.policy = goproxy.Policy(cfg.PolicyAllow, cfg.PolicyBlock)
	f.handler = &goproxy.Handler{
		Source:     goproxy.Enforce(f.cache, f.policy),
		MutableAge: asked(cfg.FreshList),
		Explain:    a.explain,
		Done:       f.answered,
	}
	if f.bundles != nil {
		f.handler.Source = goproxy.Enforce(newBundled(f.bundles, f.sums), f.policy)
	}
	if f.sums.Status().Off {
		log.Warn(a.p.T("log.sumdb-off"))
	}
	return f, f.metrics.Watch(server.Gauges{
		FillsInFlight:   f.cache.InFlight,
		StoreBytes:      func() int64 { return f.store.Usage().Bytes },
		StoreFiles:      func() int64 { return f.store.Usage().Files },
		StoreLimitBytes: func() int64 { return int64(cfg.CacheMaxSize) },
	})
}

// upstreams parses the list; nothing configured anywhere is an error unless offline.
func (a *app) upstreams(cfg *config.Config) ([]goproxy.Upstream, error) {
	list := string(cfg.Upstream)
	if strings.TrimSpace(list) == "" {
		if cfg.Offline {
			return nil, nil
		}
		return nil, &fault{code: "error.no-upstream", hint: "hint.no-upstream", exit: 2}
	}
	ups, err := goproxy.ParseUpstreams(list)
	if err != nil {
		return nil, badSetting(cfg, "upstream", err, "hint.bad-upstream")
	}
	if n := len(ups); ups[n-1].URL == "off" {
		ups = ups[:n-1] // the end of the list either way; alone it means: ask nobody
	}
	return ups, nil
}

// asked keeps a time of 0, which a user means, from becoming the default of a room.
func asked(d time.Duration) time.Duration { return max(d, 1) }

func (f *ferry) offline() bool { return f.cfg.Offline || len(f.upstreams) == 0 } // also with bundles

func openStore(cfg *config.Config, log *slog.Logger, evicted func(int64)) (*store.Store, error) {
	return store.Open(cfg.CacheDir, store.Options{
		MaxBytes: int64(cfg.CacheMaxSize), Idle: cfg.CacheIdle, Rank: rank, Evicted: evicted, Logger: log,
	})
}

// rank says in which order the store evicts: zips first, which are nearly all of its
// size, then the small files that a module graph is loaded from. What the checksum
// database said is kept for ever: without it nothing else can be verified offline.
func rank(name string) int {
	switch {
	case strings.HasPrefix(name, "sumdb/"):
		return -1
	case strings.HasSuffix(name, ".zip"), strings.HasPrefix(name, "absent/"):
		return 0
	}
	return 1
}

// checksumRemotes are where the checksum database is asked: what a file:// upstream has
// of it, the upstreams, the database itself.
func checksumRemotes(f *ferry, db sumdb.DB) []sumdb.Remote {
	if f.offline() || db.Off {
		return nil
	}
	var remotes []sumdb.Remote
	var proxies []string
	for _, up := range f.upstreams {
		switch {
		case strings.HasPrefix(up.URL, "http"):
			proxies = append(proxies, up.URL)
		case strings.HasPrefix(up.URL, "file:"):
			if dir, err := fileDir(up.URL); err == nil {
				remotes = append(remotes, sumdb.FSRemote{FS: os.DirFS(dir), Name: db.Name})
			}
		}
	}
	return append(remotes, sumdb.Remotes(db, f.http, proxies)...)
}

// checksumDB makes the client of the checksum database; tree, if not nil, is asked first.
func (f *ferry) checksumDB(tree fs.FS) (*sumdb.Client, error) {
	db, err := f.sumDB()
	if err != nil {
		return nil, err
	}
	remotes := checksumRemotes(f, db)
	if tree != nil && !db.Off {
		remotes = append([]sumdb.Remote{sumdb.FSRemote{FS: tree, Name: db.Name}}, remotes...)
	}
	return f.sumClient(db, sumStore{f.store}, remotes)
}

// sumDB is the checksum database that the settings name.
func (f *ferry) sumDB() (sumdb.DB, error) {
	gosumdb := string(f.cfg.Sumdb)
	if strings.TrimSpace(gosumdb) == "" {
		gosumdb = "sum.golang.org"
	}
	db, err := sumdb.ParseDB(gosumdb)
	if err != nil {
		return db, badSetting(f.cfg, "sumdb", err, "hint.bad-sumdb")
	}
	return db, nil
}

// sumClient asks remotes about db and keeps what they say.
func (f *ferry) sumClient(db sumdb.DB, kept sumdb.Store, remotes []sumdb.Remote) (*sumdb.Client, error) {
	return sumdb.New(sumdb.Config{
		DB: db, Store: kept, Exempt: strings.Join(f.cfg.NoSumdb, ","), Remotes: remotes, Logger: f.log,
	})
}

// prepare asks the checksum database while the file is still on its way.
func (f *ferry) prepare(ctx context.Context, req goproxy.Request) {
	if (req.Kind == goproxy.Mod || req.Kind == goproxy.Zip) && f.sums.Covers(req.Path) {
		_, _ = f.sums.Lookup(ctx, req.Path, req.Version) // Verify says what is wrong
	}
}

// source is what the cache fills from.
func (a *app) source(f *ferry) (goproxy.Source, error) {
	if f.offline() {
		return nil, nil
	}
	direct, err := a.direct(f)
	if err != nil {
		return nil, err
	}
	saved := f.savedMirrors()
	var links []goproxy.Link
	for _, set := range goproxy.GroupMirrors(f.upstreams) {
		link := goproxy.Link{Name: goproxy.FormatUpstreams(redacted(set)), Sep: set[len(set)-1].Sep, Decides: true}
		var mirrors []goproxy.Mirror
		for _, up := range set {
			src, err := f.upstream(up, direct)
			if err != nil {
				return nil, err
			}
			mirrors = append(mirrors, goproxy.Mirror{Name: goproxy.RedactURL(up.URL), Source: src})
			link.Decides = link.Decides && strings.HasPrefix(up.URL, "http")
			link.Origin = link.Origin || up.URL == "direct"
		}
		if link.Source = mirrors[0].Source; len(mirrors) > 1 {
			link.Source = f.mirrorSet(mirrors, saved)
		}
		links = append(links, link)
	}
	return goproxy.Match(strings.Join(f.cfg.NoProxy, ","), direct, goproxy.Chain(links...)), nil
}

// upstream is one entry of the list.
func (f *ferry) upstream(up goproxy.Upstream, direct goproxy.Source) (goproxy.Source, error) {
	switch {
	case up.URL == "direct":
		return direct, nil
	case strings.HasPrefix(up.URL, "file:"):
		dir, err := fileDir(up.URL)
		if err != nil {
			return nil, f.cfg.Fault("upstream", err)
		}
		return goproxy.Strict(f.tally.count(goproxy.Tree(os.DirFS(dir), up.URL), up.URL)), nil
	}
	c, err := goproxy.NewClient(up.URL, f.http)
	if err != nil {
		return nil, f.cfg.Fault("upstream", err)
	}
	return goproxy.Strict(c), nil
}

// mirrorSet is a set of mirrors as one source.
func (f *ferry) mirrorSet(mirrors []goproxy.Mirror, saved []goproxy.MirrorState) goproxy.Source {
	hedge := f.cfg.MirrorsHedge
	if hedge == 0 {
		hedge = -1 // goproxy's word for none
	}
	set := goproxy.NewMirrors(goproxy.MirrorsConfig{
		Mirrors: mirrors, HedgePercent: hedge, Saved: saved, Logger: f.log,
		Observe: func(e goproxy.MirrorEvent) {
			f.metrics.Mirror(e.Mirror, string(e.What))
			f.tally.mirror(e)
		},
	})
	f.sets = append(f.sets, set)
	f.closers = append(f.closers, set)
	return set
}

// fileDir is the folder of a file URL.
func fileDir(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", err
	}
	p := u.Path
	if runtime.GOOS == "windows" {
		p = strings.TrimPrefix(p, "/") // file:///C:/folder
	}
	return filepath.FromSlash(p), nil
}

// direct answers from version control in a module cache of its own beside the store.
func (a *app) direct(f *ferry) (goproxy.Source, error) {
	src, err := vcs.New(vcs.Config{
		Dir:      filepath.Join(f.cfg.CacheDir, ".goferry", "vcs"),
		Runner:   a.runner,
		HTTP:     f.http,
		Insecure: strings.Join(f.cfg.Insecure, ","), // f.http knows them as well
		Timeout:  f.cfg.DirectTimeout,
		Parallel: f.cfg.DirectParallel,
		Logger:   f.log,
	})
	if err != nil {
		return nil, err
	}
	f.closers = append(f.closers, src)
	return f.tally.count(src, "direct"), nil
}

// answered counts an answer of the module proxy.
func (f *ferry) answered(ctx context.Context, ans goproxy.Answer) {
	if f.ahead != nil {
		f.ahead.Seen(server.ClientFrom(ctx), ans.Request, ans.Result, ans.Bytes)
	}
	f.metrics.Request(ans.Request.Kind.String(), ans.Result, ans.Status, ans.Duration, ans.Bytes)
	f.tally.answer(ans)
	if ans.Result == "error" && ans.Status == http.StatusOK && !errors.Is(ans.Err, context.Canceled) {
		// The client can only see that its answer ends too early: say why.
		f.log.WarnContext(ctx, "answer was cut off", "file", ans.Request.String(), "bytes", ans.Bytes, "err", ans.Err)
	}
	f.failures.add(time.Now(), ans)
	server.Annotate(ctx, "cache", ans.Result)
	if ans.Err != nil {
		server.Annotate(ctx, "err", ans.Err.Error())
	}
}

// sumStore lets the checksum database keep its files in the store, under the names of
// its HTTP surface.
type sumStore struct{ *store.Store }

func (s sumStore) Get(name string) ([]byte, error) {
	f, err := s.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// Put does not wait for the disk: what a power cut damages does not pass its proof, and
// is asked for again.
func (s sumStore) Put(ctx context.Context, name string, data []byte) error {
	return s.Store.PutLoose(ctx, name, strings.NewReader(string(data)), time.Time{})
}
