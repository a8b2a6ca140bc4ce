package main

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/bundle"
	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/sumdb"
)

// bundleSub makes a sub-command of bundle that needs no settings.
func (a *app) bundleSub(use, name string, args cobra.PositionalArgs, run func(cmd *cobra.Command, args []string) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: a.p.T("bundle." + name + ".short"), Long: a.p.T("bundle." + name + ".long"), Example: a.example("bundle." + name + ".example"),
		Args: args, RunE: run,
	}
	return cmd
}

// bundleSettings makes the settings flags of a command that checks bundles: whom it trusts is among those that help shows.
func (a *app) bundleSettings(cmd *cobra.Command) {
	a.settingFlags(cmd.Flags(), false)
	a.settingFlag(cmd.Flags(), "bundle.trust")
}

// An openBundle is a bundle that is looked at, and what vouches for it.
type openBundle struct {
	*bundle.Reader
	signer  *bundle.PublicKey // one of the trusted keys; nil if nobody trusted has signed it
	sigErr  error             // why there is no signer, where there are trusted keys
	private []string          // paths of modules that the checksum database is not asked about
}

// label names a bundle for people.
func (b *openBundle) label() string { return b.Name() }

// day is the date of a bundle.
func (b *openBundle) day() string { return b.Manifest().Time.UTC().Format("2006-01-02") }

// hasVuln reports whether govulncheck's database is in the bundle.
func (b *openBundle) hasVuln() bool {
	return slices.ContainsFunc(b.Manifest().Entries, func(e bundle.Entry) bool { return strings.HasPrefix(e.Name, bundle.VulnFolder) })
}

// hasModules reports whether the manifest names a file of the module.
func (b *openBundle) hasModule(path string) bool {
	return slices.ContainsFunc(b.Manifest().Modules, func(m bundle.Module) bool { return m.Path == path })
}

// trustedKeys reads the keys of the setting.
func (a *app) trustedKeys(cfg *config.Config) ([]bundle.PublicKey, error) {
	var keys []bundle.PublicKey
	for _, arg := range cfg.BundleTrust {
		k, err := bundle.PublicKeyFrom(arg)
		if err != nil {
			return nil, &fault{code: "bundle.error.no-key", args: []any{"Arg", arg}, hint: "bundle.hint.no-key", exit: 2, err: err}
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// openBundle opens a bundle, damaged or not, and looks who has signed it.
func (a *app) openBundle(file string, keys []bundle.PublicKey, open func(string) (*bundle.Reader, error)) (*openBundle, error) {
	r, err := open(file)
	if err != nil {
		return nil, a.bundleFault(err)
	}
	b := &openBundle{Reader: r}
	for _, m := range r.Manifest().Modules {
		if !m.Recorded && !slices.Contains(b.private, m.Path) {
			b.private = append(b.private, m.Path)
		}
	}
	if len(keys) > 0 {
		if k, err := r.CheckSignature(keys); err == nil {
			b.signer = &k
		} else {
			b.sigErr = err
		}
	}
	return b, nil
}

// openBundles opens bundles, older ones before those that add to them. Where keys are trusted, one of them must have
// signed each.
func (a *app) openBundles(files []string, keys []bundle.PublicKey) (list []*openBundle, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, closeBundles(list))
		}
	}()
	for _, file := range files {
		b, err := a.openBundle(file, keys, bundle.Open)
		if err != nil {
			return list, err
		}
		list = append(list, b)
		if b.sigErr != nil {
			return list, a.bundleFault(b.sigErr)
		}
	}
	return inOrder(list), nil
}

func closeBundles(list []*openBundle) error {
	var errs []error
	for _, b := range list {
		errs = append(errs, b.Close())
	}
	return errors.Join(errs...)
}

// inOrder puts each bundle behind the one that it adds to.
func inOrder(list []*openBundle) []*openBundle {
	var out []*openBundle
	done := map[string]bool{}
	var add func(b *openBundle)
	add = func(b *openBundle) {
		m := b.Manifest()
		if done[m.ID] {
			return
		}
		done[m.ID] = true
		if m.Base != nil {
			for _, other := range list {
				if other.Manifest().ID == m.Base.ID {
					add(other)
				}
			}
		}
		out = append(out, b)
	}
	for _, b := range list {
		add(b)
	}
	for _, b := range list { // twice the same one is of no use, but is to be closed
		if !slices.Contains(out, b) {
			out = append(out, b)
		}
	}
	return out
}

// bundleDB is the checksum database that settings name, and whether a bundle has something of it. Nothing is checked
// against a database that is switched off.
func (a *app) bundleDB(cfg *config.Config, list []*openBundle) (sumdb.DB, error) {
	db, err := (&ferry{cfg: cfg}).sumDB()
	if err != nil || db.Off {
		return db, err
	}
	for _, b := range list {
		if _, err := fs.Stat(b.FS(), "sumdb/"+db.Name+"/latest"); err == nil {
			return db, nil
		}
	}
	for _, b := range list {
		others := sumdbsOf(b)
		if len(others) == 0 || len(b.Manifest().Modules) == len(b.private) {
			continue
		}
		return db, &fault{code: "bundle.error.other-sumdb", args: []any{"File", b.label(), "Has", strings.Join(others, ", "), "Want", db.Name},
			hint: "bundle.hint.other-sumdb", exit: 12}
	}
	return db, nil
}

// sumdbsOf are the names of the checksum databases in a bundle.
func sumdbsOf(b *openBundle) []string {
	var names []string
	for _, e := range b.Manifest().Entries {
		if rest, ok := strings.CutPrefix(e.Name, "sumdb/"); ok {
			if name, ok := strings.CutSuffix(rest, "/latest"); ok {
				names = append(names, name)
			}
		}
	}
	return names
}

// bundleSumsClient is a client of the checksum database that knows what is in bundles and nothing else. Newest heads are
// learned first: all else is proved under them. Private modules of bundles that somebody trusted has signed are exempt.
func bundleSumsClient(ctx context.Context, f *ferry, db sumdb.DB, list []*openBundle) (*sumdb.Client, error) {
	cfg := sumdb.Config{DB: db, Store: newSumsInMemory(), Exempt: exemptOf(f.cfg, list), Logger: f.log}
	for _, b := range slices.Backward(list) {
		if !db.Off {
			cfg.Remotes = append(cfg.Remotes, sumdb.FSRemote{FS: b.FS(), Name: db.Name})
		}
	}
	c, err := sumdb.New(cfg)
	if err != nil {
		return nil, err
	}
	for _, b := range slices.Backward(list) {
		head := baseHead(b.FS(), db.Name)
		if db.Off || head == nil {
			continue
		}
		if err := c.Learn(ctx, head); err != nil {
			// What stands under this head may still be provable; what is not is said of each file.
			f.log.Info("tree head not taken over", "bundle", b.Name(), "err", err)
			if sumdb.Forged(err) {
				return nil, errors.Join(err, c.Close())
			}
		}
	}
	return c, nil
}

// exemptOf are the patterns of modules that the checksum database is not asked about: those that the settings name, and
// those of which a bundle says so that somebody trusted has signed. What anybody can write into a manifest exempts nothing.
func exemptOf(cfg *config.Config, list []*openBundle) string {
	patterns := slices.Clone(cfg.NoSumdb)
	for _, b := range list {
		if b.signer == nil {
			continue
		}
		for _, path := range b.private {
			if !slices.Contains(patterns, path) {
				patterns = append(patterns, path)
			}
		}
	}
	return strings.Join(patterns, ",")
}
