package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/goferry/goferry/internal/bundle"
	"github.com/goferry/goferry/internal/cache"
	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/store"
	"github.com/goferry/goferry/internal/sumdb"
)

func (a *app) bundleImportCmd() *cobra.Command {
	var keep bool
	cmd := a.bundleSub("import FILE…", "import", a.someArgs, func(cmd *cobra.Command, args []string) error {
		cfg, err := a.load(cmd)
		if err != nil {
			return err
		}
		return a.importBundles(cmd, cfg, args, keep)
	})
	a.bundleSettings(cmd)
	a.jsonFlag(cmd)
	cmd.Flags().BoolVar(&keep, "keep-going", false, a.p.T("bundle.flag-keep-going"))
	return cmd
}

// importReport is what `bundle import --json` prints of one bundle.
type importReport struct {
	File string `json:"file"`
	ID   string `json:"id"`
	cache.Report
	Damage   []bundle.Damage `json:"damage"`
	Findings []finding       `json:"findings"`
	Vuln     bool            `json:"vuln"`     // govulncheck's database is in the bundle, and stays there
	CC       []bundledCC     `json:"cc"`       // C compilers that are in the bundle, and stay there
	Lookups  int             `json:"lookups"`  // of the checksum database that the cache can prove now
	Unlinked bool            `json:"unlinked"` // the cache knows another tree of the database, and the two cannot be linked without a network
}

// importBundles takes bundles into the cache, those that others add to first.
func (a *app) importBundles(cmd *cobra.Command, cfg *config.Config, files []string, keep bool) (err error) {
	ctx := cmd.Context()
	keys, err := a.trustedKeys(cfg)
	if err != nil {
		return err
	}
	list, err := a.openToImport(files, keys, keep)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeBundles(list)) }()
	im := &bundleImport{a: a, f: &ferry{cfg: cfg}, list: list, keep: keep, json: asJSON(cmd), show: a.showBundle("bundle.importing")}
	defer im.show.end()
	im.f.log = newLogger(im.show, cfg, quietLevel(cfg))
	if im.f.store, err = openStore(cfg, im.f.log, nil); err != nil {
		return cacheFault(cfg, err)
	}
	defer func() { err = errors.Join(err, im.f.store.Close()) }()
	if im.db, err = a.bundleDB(cfg, list); err != nil {
		return err
	}
	if im.db.Off {
		a.say(a.p.T("log.sumdb-off"))
	}
	reports := []*importReport{}
	for _, b := range list {
		r, err := im.bundle(ctx, b)
		if r != nil {
			reports = append(reports, r)
		}
		if err != nil {
			im.show.end()
			im.tell(reports)
			return im.stopped(b, err)
		}
	}
	im.show.end()
	return im.tell(reports)
}

// openToImport opens what is to be imported. A damaged bundle is opened where the rest of it is wanted.
func (a *app) openToImport(files []string, keys []bundle.PublicKey, keep bool) (list []*openBundle, err error) {
	if !keep {
		return a.openBundles(files, keys)
	}
	for _, file := range files {
		b, err := a.openBundle(file, keys, bundle.OpenDamaged)
		if err != nil {
			return nil, errors.Join(err, closeBundles(list))
		}
		list = append(list, b)
		if b.sigErr != nil { // a signature covers all of it: there is no rest that is right
			return nil, errors.Join(a.bundleFault(b.sigErr), closeBundles(list))
		}
	}
	return inOrder(list), nil
}

// A bundleImport is one run of bundle import.
type bundleImport struct {
	a    *app
	f    *ferry
	db   sumdb.DB
	list []*openBundle
	keep bool
	json bool
	show *bundleShow
	done []string // IDs that this run has imported

	mismatch bool // bytes were refused
}

// errDamaged says that a bundle is damaged, which has been told.
var errDamaged = errors.New("the bundle is damaged")

// errRefused says that a file was refused, which has been told.
var errRefused = errors.New("a file was refused")

// bundle imports one bundle. Every file is whole in the cache or not there at all, so that a run that ended too early is
// continued by the next.
func (im *bundleImport) bundle(ctx context.Context, b *openBundle) (*importReport, error) {
	r := &importReport{File: b.Name(), ID: b.Manifest().ID, Vuln: b.hasVuln(), CC: b.compilers(), Damage: []bundle.Damage{}, Findings: []finding{}}
	im.show.next(b.label())
	if err := im.base(b); err != nil {
		return nil, err
	}
	if err := im.bytes(ctx, b, r); err != nil {
		return r, err
	}
	if err := im.modules(ctx, b, r); err != nil {
		return r, err
	}
	if len(r.Damage) == 0 && len(r.Findings) == 0 {
		im.done = append(im.done, r.ID)
		im.remember(b)
	}
	return r, nil
}

// bytes verifies the whole before any of it is taken over.
func (im *bundleImport) bytes(ctx context.Context, b *openBundle, r *importReport) error {
	_, err := b.Verify(ctx, func(d bundle.Damage) { r.Damage = append(r.Damage, d) }, im.show.progress)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	slices.SortFunc(r.Damage, func(x, y bundle.Damage) int { return int(min(1, max(-1, x.Offset-y.Offset))) })
	switch {
	case err != nil && len(r.Damage) == 0:
		return im.a.bundleFault(err)
	case len(r.Damage) > 0 && !im.keep:
		return errDamaged
	}
	return nil
}

// modules takes the modules over, each checked against what the bundles have of the checksum database.
func (im *bundleImport) modules(ctx context.Context, b *openBundle, r *importReport) (err error) {
	upTo := im.list[:slices.Index(im.list, b)+1]
	sums, linked, err := im.sums(ctx, upTo)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sums.Close()) }()
	r.Unlinked = !linked
	c := cache.New(cache.Config{Store: im.f.store, Offline: true, Check: sums.Verify, Logger: im.f.log})
	defer func() { err = errors.Join(err, c.Close()) }()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	meter := &countingFS{FS: b.FS(), total: modulesBytes(b), tell: im.show.progress}
	r.Report, err = c.Import(ctx, meter, func(f cache.Finding) {
		r.Findings = append(r.Findings, bundleFinding(f.Request, f.Err))
		if !im.keep {
			stop(errRefused)
		}
	})
	if err != nil {
		return err
	}
	if context.Cause(ctx) != nil { // it was the last file
		return context.Cause(ctx)
	}
	if linked && !im.db.Off {
		err = im.lookups(ctx, sums, b, r)
	}
	return err
}

// sums is the client of the checksum database that judges: the cache's own, which keeps what it has proved, where the
// bundle's tree can be linked to the one that the cache knows; else one that knows the bundles alone. What is in a bundle
// is never copied into the cache without a proof.
func (im *bundleImport) sums(ctx context.Context, list []*openBundle) (c *sumdb.Client, linked bool, err error) {
	if im.db.Off {
		c, err = bundleSumsClient(ctx, im.f, im.db, list)
		return c, true, err
	}
	cfg := sumdb.Config{DB: im.db, Store: sumStore{im.f.store}, Exempt: exemptOf(im.f.cfg, list), Logger: im.f.log}
	for _, b := range slices.Backward(list) {
		cfg.Remotes = append(cfg.Remotes, sumdb.FSRemote{FS: b.FS(), Name: im.db.Name})
	}
	if c, err = sumdb.New(cfg); err != nil {
		return nil, false, err
	}
	for _, b := range list {
		head := baseHead(b.FS(), im.db.Name)
		if head == nil {
			continue
		}
		if err = c.Learn(ctx, head); err != nil {
			break
		}
	}
	switch {
	case err == nil:
		return c, true, nil
	case ctx.Err() != nil || sumdb.Forged(err) || errors.Is(err, goproxy.ErrMismatch):
		return nil, false, errors.Join(err, c.Close())
	}
	im.f.log.Info("the trees of the checksum database cannot be linked", "err", err)
	if err := c.Close(); err != nil {
		return nil, false, err
	}
	c, err = bundleSumsClient(ctx, im.f, im.db, list)
	return c, false, err
}

// lookups proves and keeps what the database says of all modules of the bundle, those too whose files were here already.
func (im *bundleImport) lookups(ctx context.Context, sums *sumdb.Client, b *openBundle, r *importReport) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelLookups)
	found := make([]bool, len(b.Manifest().Modules))
	for i, m := range b.Manifest().Modules {
		if !m.Recorded || !sums.Covers(m.Path) {
			continue
		}
		g.Go(func() error {
			_, err := sums.Lookup(ctx, m.Path, m.Version)
			found[i] = err == nil // if not, the files have told why, or are here since the cache could prove them
			return context.Cause(ctx)
		})
	}
	err := g.Wait()
	for _, ok := range found {
		if ok {
			r.Lookups++
		}
	}
	return err
}

// base wants the bundle that b adds to: imported in this run, or before and still in the cache.
func (im *bundleImport) base(b *openBundle) error {
	m := b.Manifest()
	gone := 0
	err := bundle.NeedBase(m, func(id string) bool {
		if slices.Contains(im.done, id) {
			return true
		}
		base, err := im.recall(id)
		if err != nil {
			return false
		}
		for _, e := range base.Entries {
			if req, err := goproxy.ParseRequest(e.Name); err == nil && req.Immutable() {
				if _, err := im.f.store.Stat(e.Name); err != nil {
					gone++
				}
			}
		}
		return gone == 0
	})
	if err == nil || im.keep {
		return nil
	}
	f := &fault{code: "bundle.error.base", args: []any{"File", b.label(), "Detail", shortID(m.Base.ID), "Date", m.Base.Time.UTC().Format("2006-01-02"), "Count", gone},
		hint: "bundle.hint.base", exit: goproxy.ExitCode(err), err: err}
	if gone > 0 {
		f.code = "bundle.error.base-gone"
	}
	return f
}

// importedFile is where the manifest of an imported bundle is kept.
func (im *bundleImport) importedFile(id string) string {
	return filepath.Join(im.f.cfg.CacheDir, ".goferry", "bundles", id+".json")
}

// remember keeps the manifest: it says what the cache has of the bundle, and what a later one can add to.
func (im *bundleImport) remember(b *openBundle) {
	file := im.importedFile(b.Manifest().ID)
	err := os.MkdirAll(filepath.Dir(file), 0o777)
	if err == nil {
		err = replaceFile(file, func(f *os.File) error {
			_, err := f.Write(b.RawManifest())
			return err
		})
	}
	if err != nil {
		im.f.log.Warn("that this bundle was imported cannot be remembered", "file", file, "err", err)
	}
}

// recall reads the manifest of a bundle that was imported.
func (im *bundleImport) recall(id string) (m bundle.Manifest, err error) {
	if strings.ContainsAny(id, `/\.:`) { // it comes from a file that anybody may have made
		return m, fs.ErrNotExist
	}
	data, err := os.ReadFile(im.importedFile(id))
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err == nil && m.ID != id {
		err = fs.ErrNotExist
	}
	return m, err
}

// stopped is the error of an import that ended before its end.
func (im *bundleImport) stopped(b *openBundle, err error) error {
	switch {
	case errors.Is(err, errDamaged):
		return &fault{code: "bundle.error.import-damaged", args: []any{"File", b.label()}, hint: "bundle.hint.import-damaged", exit: 13, err: err}
	case errors.Is(err, errRefused):
		args := []any{"File", b.label(), "Modules", strings.Join(b.private[:min(3, len(b.private))], ",")}
		switch {
		case im.mismatch:
			return &fault{code: "bundle.error.import-refused", args: args, hint: "bundle.hint.forged", exit: 13, err: err}
		case len(b.private) > 0 && b.signer == nil:
			return &fault{code: "bundle.error.import-refused", args: args, hint: "bundle.hint.private", exit: 3, err: err}
		}
		return &fault{code: "bundle.error.import-refused", args: args, hint: "bundle.hint.import-refused", exit: 3, err: err}
	case errors.Is(err, store.ErrFull):
		return &fault{code: "bundle.error.import-full", args: []any{"Dir", im.f.cfg.CacheDir, "File", b.label(), "Bytes", human(modulesBytes(b))},
			hint: "bundle.hint.import-full", exit: 1, err: err}
	}
	return err
}

// tell reports, and sets the exit code.
func (im *bundleImport) tell(reports []*importReport) error {
	for _, r := range reports {
		switch {
		case im.wrong(r):
			im.mismatch = true
			fallthrough
		case len(r.Findings) > 0 || len(r.Damage) > 0 || r.Unlinked:
			im.a.exit = 3
		}
	}
	if im.json {
		if len(reports) == 1 {
			return im.a.json(reports[0])
		}
		return im.a.json(reports)
	}
	for _, r := range reports {
		for _, d := range r.Damage[:min(20, len(r.Damage))] {
			im.a.showDamage(d)
		}
		if more := len(r.Damage) - 20; more > 0 {
			fmt.Fprintln(im.a.stdout, im.a.p.T("bundle.damage-more", "Count", more))
		}
		for _, f := range r.Findings {
			fmt.Fprintln(im.a.stdout, im.a.p.T("cache.found."+f.Problem, "File", f.Module+"@"+f.Version+"."+f.File, "Err", f.Error))
		}
		if r.Files > 0 {
			fmt.Fprintln(im.a.stdout, im.a.p.T("bundle.imported", "File", r.File, "Good", r.Good, "Bytes", human(r.Bytes), "Skipped", r.Skipped,
				"Bad", r.Bad+r.Unverified, "Lookups", r.Lookups))
		}
		if r.Vuln {
			fmt.Fprintln(im.a.stdout, im.a.p.T("bundle.vuln-stays", "File", r.File))
		}
		if r.Unlinked {
			im.a.say(im.a.p.T("bundle.unlinked", "Name", im.db.Name, "Dir", im.f.cfg.CacheDir))
			im.a.hint(im.a.p.T("bundle.hint.unlinked", "File", r.File))
		}
	}
	im.tellCC(reports)
	return nil
}

// tellCC says how the compilers are installed that stay in bundles.
func (im *bundleImport) tellCC(reports []*importReport) {
	var whole []*openBundle
	for i, r := range reports {
		if len(r.Damage) == 0 {
			whole = append(whole, im.list[i])
		}
	}
	for _, l := range ccLines(whole) {
		fmt.Fprintln(im.a.stdout, im.a.p.T("bundle.cc-stays", l.args()...))
	}
}

// wrong reports whether bytes were refused.
func (im *bundleImport) wrong(r *importReport) bool {
	return slices.ContainsFunc(r.Findings, func(f finding) bool { return f.Problem == "mismatch" })
}

// modulesBytes is the size of the GOPROXY tree in a bundle.
func modulesBytes(b *openBundle) (n int64) {
	for _, e := range b.Manifest().Entries {
		if _, err := goproxy.ParseRequest(e.Name); err == nil {
			n += e.Size
		}
	}
	return n
}

// A countingFS tells how much of a tree was opened.
type countingFS struct {
	fs.FS
	total, done int64
	tell        func(bundle.Progress)
}

// Open opens a file; what was opened before is done.
func (c *countingFS) Open(name string) (fs.File, error) {
	f, err := c.FS.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && !info.IsDir() {
		c.tell(bundle.Progress{Phase: "import", Done: c.done, Total: c.total})
		c.done += info.Size()
	}
	return f, nil
}
