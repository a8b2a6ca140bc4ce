package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/cache"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/mirrors"
	"github.com/goferry/goferry/internal/server"
	"github.com/goferry/goferry/internal/sumdb"
	"github.com/goferry/goferry/internal/toolchain"
	"github.com/goferry/goferry/internal/transport"
)

// An sdkFerry is what commands about SDKs use of the ferry: its link, its cache, its checksum database.
type sdkFerry struct {
	*ferry
	places  []toolchain.Place // the user's, then the known ones; offline only folders
	sumdb   toolchain.Sumdb   // nil if it is switched off
	fetcher *toolchain.Fetcher
	keys    *toolchain.Keyring
	cached  goproxy.Source // what the cache has, also where nothing can be written into it
	unkept  error          // why nothing is kept in the cache; nil if it is
}

// Close leaves what was learned to the next run.
func (f *sdkFerry) Close() error {
	if err := f.fetcher.Health.Save(); err != nil {
		f.log.Debug("what this run learned of places cannot be kept", "err", err)
	}
	f.http.CloseIdleConnections()
	return f.ferry.Close()
}

// wire puts together what brings SDKs. Unlike for modules, nobody has to name an upstream: what comes is proved,
// and the places that goferry knows will do for somebody who has no go command yet.
func (r *sdkRun) wire(log *slog.Logger) (_ *sdkFerry, err error) {
	f := &sdkFerry{ferry: &ferry{cfg: r.cfg, log: log, metrics: server.NewMetrics(), started: time.Now()}}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.ferry.Close())
		}
	}()
	if f.upstreams, err = r.moduleUpstreams(); err != nil {
		return nil, err
	}
	if f.places, err = r.places(f.upstreams); err != nil {
		return nil, err
	}
	if f.keys, err = r.keyring(); err != nil {
		return nil, err
	}
	f.hosts = transport.NewMemory()
	f.recall("hosts.json", func(file *os.File) error { return f.hosts.Load(file) })
	if f.http, err = r.httpClient(r.cfg, f.ferry); err != nil {
		return nil, err
	}
	if err := r.wireCache(f); err != nil {
		return nil, err
	}
	f.fetcher = &toolchain.Fetcher{HTTP: f.http, Dir: r.home.Parts(), Health: toolchain.LoadHealth(r.home.PlacesFile()), Logger: log}
	switch n := r.cfg.LinkRetries; {
	case n == 0:
		f.fetcher.Retries = -1 // the room's word for never
	case n < 3:
		f.fetcher.Retries = n
	}
	return f, nil
}

// wireCache opens the cache, and makes the client of the checksum database, which keeps there what it is told. Without a
// cache that can be written the commands work as well: what they use is proved anyway, and may be asked for anew.
func (r *sdkRun) wireCache(f *sdkFerry) error {
	if f.store, f.unkept = openStore(r.cfg, f.log, nil); f.unkept != nil {
		dir := os.DirFS(r.cfg.CacheDir)
		f.cached = goproxy.Tree(dir, "cache")
		return r.wireSums(f, &readSums{looseStore{files: map[string][]byte{}}, dir})
	}
	f.closers = append(f.closers, f.store)
	if err := r.wireSums(f, sumStore{f.store}); err != nil {
		return err
	}
	f.cache = cache.New(cache.Config{Store: f.store, Offline: true, Check: f.sums.Verify, Logger: f.log})
	f.closers = append(f.closers, f.cache)
	f.cached = f.cache
	return nil
}

// A readSums has what the checksum database said in earlier runs, and keeps what it says in this one in memory.
type readSums struct {
	looseStore
	dir fs.FS // of the cache
}

func (s *readSums) Get(name string) ([]byte, error) {
	data, err := s.looseStore.Get(name)
	if err == nil {
		return data, nil
	}
	if data, err := fs.ReadFile(s.dir, name); err == nil {
		return data, nil
	}
	return nil, err // that there is none: what cannot be read is as good as absent
}

// ferried calls work with what brings SDKs, and with what shows how that goes on.
func (r *sdkRun) ferried(work func(*sdkFerry, *sdkShow) error) (err error) {
	show := r.showSDK()
	defer show.end()
	f, err := r.wire(newLogger(show, r.cfg, quietLevel(r.cfg)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if f.unkept != nil {
		show.say(r.p.T("sdk.warn.unkept", "Err", r.faultText(cacheFault(r.cfg, f.unkept))))
	}
	return work(f, show)
}

// moduleUpstreams are the entries of the upstream list that can have modules of the Go project: direct asks version
// control, where no toolchains are.
func (r *sdkRun) moduleUpstreams() ([]goproxy.Upstream, error) {
	if strings.TrimSpace(string(r.cfg.Upstream)) == "" {
		return nil, nil
	}
	ups, err := goproxy.ParseUpstreams(string(r.cfg.Upstream))
	if err != nil {
		return nil, badSetting(r.cfg, "upstream", err, "hint.bad-upstream")
	}
	return slices.DeleteFunc(ups, func(up goproxy.Upstream) bool { return up.URL == "direct" || up.URL == "off" }), nil
}

// places are where SDKs can be had: the upstreams, what sdk.sources names, and, unless its last word is off, the
// places that goferry knows. Offline there are those of the user that are folders.
func (r *sdkRun) places(ups []goproxy.Upstream) ([]toolchain.Place, error) {
	var list []toolchain.Place
	known := true
	for _, up := range ups {
		p, err := toolchain.ParsePlace("modules=" + up.URL)
		if err != nil {
			return nil, badSetting(r.cfg, "upstream", err, "hint.bad-upstream")
		}
		list = append(list, p)
	}
	for item := range strings.SplitSeq(string(r.cfg.SDKSources), ",") {
		switch item = strings.TrimSpace(item); item {
		case "":
			continue
		case "off":
			known = false
			continue
		}
		p, err := toolchain.ParsePlace(item)
		if err != nil {
			return nil, badSetting(r.cfg, "sdk.sources", err, "hint.value-sources")
		}
		list = append(list, p)
	}
	if known {
		list = append(list, toolchain.Known()...)
		for _, m := range mirrors.Known() { // of modules, and so of the module that carries SDKs
			list = append(list, toolchain.Place{Name: m.Name, URL: m.URL, Kind: toolchain.Modules})
		}
	}
	if r.cfg.Offline {
		list = slices.DeleteFunc(list, func(p toolchain.Place) bool { return !strings.HasPrefix(strings.ToLower(p.URL), "file:") })
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(list, func(p toolchain.Place) bool {
		key := string(p.Kind) + strings.TrimSuffix(p.URL, "/")
		again := seen[key]
		seen[key] = true
		return again
	}), nil
}

// keyring is the built-in one with the keys that the user names.
func (r *sdkRun) keyring() (*toolchain.Keyring, error) {
	keys := r.keys
	if keys == nil {
		keys = toolchain.GoogleKeyring()
	}
	if r.cfg.SDKKeyring == "" {
		return keys, nil
	}
	data, err := os.ReadFile(r.cfg.SDKKeyring)
	if err == nil {
		keys, err = keys.With(data)
	}
	if err != nil {
		return nil, badSetting(r.cfg, "sdk.keyring", fmt.Errorf("%s: %w", r.cfg.SDKKeyring, plain(err)), "sdk.hint.keyring")
	}
	return keys, nil
}

// wireSums makes the client of the checksum database. It is asked by way of every module proxy there is: what it
// says proves itself, whoever brings it.
func (r *sdkRun) wireSums(f *sdkFerry, kept sumdb.Store) error {
	db, err := f.sumDB()
	if err != nil {
		return err
	}
	var remotes []sumdb.Remote
	var proxies []string
	for _, p := range f.places {
		switch {
		case !p.Own || p.Kind != toolchain.Modules:
		case strings.HasPrefix(p.URL, "http"):
			proxies = append(proxies, p.URL)
		default:
			if dir, err := fileDir(p.URL); err == nil {
				remotes = append(remotes, sumdb.FSRemote{FS: os.DirFS(dir), Name: db.Name})
			}
		}
	}
	if !r.cfg.Offline {
		remotes = append(remotes, sumdb.Remotes(db, f.http, proxies)...)
	}
	for _, p := range f.places { // mirrors of modules carry the public database as well, where it is out of reach
		if !p.Own && p.Kind == toolchain.Modules && !p.Flat && db.Name == "sum.golang.org" {
			remotes = append(remotes, &sumdb.ProxyRemote{HTTP: f.http, Proxy: strings.TrimSuffix(p.URL, "/"), Name: db.Name})
		}
	}
	if db.Off {
		remotes = nil
	}
	if f.sums, err = f.sumClient(db, kept, remotes); err != nil {
		return err
	}
	f.closers = append(f.closers, f.sums)
	if !db.Off {
		f.sumdb = f.sums
	}
	return nil
}

// installer installs into the home of r. show is told how it goes on.
func (r *sdkRun) installer(f *sdkFerry, show *sdkShow) *toolchain.Installer {
	f.fetcher.Progress, f.fetcher.Trouble = show.progress, show.trouble
	return &toolchain.Installer{
		Home: r.home, Fetcher: f.fetcher, Places: f.places, Cached: f.cached, Sums: f.sumdb,
		Archives: &toolchain.ArchiveProver{HTTP: f.client(), Places: f.places, Keys: f.keys},
		Progress: show.progress, Trouble: show.trouble, Logger: f.log,
	}
}

// verifier proves and repairs toolchains.
func (r *sdkRun) verifier(f *sdkFerry, show *sdkShow) *toolchain.Verifier {
	f.fetcher.Progress, f.fetcher.Trouble = show.progress, show.trouble
	return &toolchain.Verifier{
		Sums: f.sumdb, Home: r.home, Cached: f.cached, HTTP: f.client(), Places: f.places, Fetcher: f.fetcher,
		Progress: show.progress, Trouble: show.trouble, Logger: f.log,
	}
}

// client is the link, nil when offline.
func (f *sdkFerry) client() *http.Client {
	if f.cfg.Offline {
		return nil
	}
	return f.http
}

// lister lists what there is for one system.
func (f *sdkFerry) lister(goos, goarch string) *toolchain.Lister {
	l := &toolchain.Lister{HTTP: f.client(), Places: f.places, OS: goos, Arch: goarch}
	if f.cfg.Offline {
		l.Source, l.Name = f.cached, "cache"
	}
	return l
}
