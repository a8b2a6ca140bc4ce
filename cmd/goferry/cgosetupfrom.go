package main

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/goferry/goferry/internal/bundle"
	"github.com/goferry/goferry/internal/cgo"
	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/goproxy"
)

// ccSources are the files that cgo setup --from names.
type ccSources struct {
	bundles []*openBundle // those that add to others first: they have what is newer
	packs   []string      // that --save wrote
	debs    []string
}

// ccSources looks what files are. Where keys are trusted, one of them must have signed each: other files than bundles
// have no signature, and one must not be able to stand in for a bundle.
func (a *app) ccSources(cfg *config.Config, files []string) (s ccSources, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, closeBundles(s.bundles))
		}
	}()
	if len(files) == 0 {
		return s, nil
	}
	keys, err := a.trustedKeys(cfg)
	if err != nil {
		return s, err
	}
	for _, name := range files {
		b, err := a.openBundle(name, keys, bundle.Open)
		var be *bundle.Error
		switch {
		case err == nil:
			s.bundles = append(s.bundles, b)
			if b.sigErr != nil {
				return s, a.bundleFault(b.sigErr)
			}
		case !errors.As(err, &be) || be.Code != bundle.CodeNotBundle:
			return s, err
		case len(keys) > 0:
			return s, &fault{code: "cgosetup.error.unsigned", args: []any{"File", name}, hint: "cgosetup.hint.unsigned", exit: goproxy.ExitCode(goproxy.ErrBlocked)}
		case cgo.IsDeb(name):
			s.debs = append(s.debs, name)
		default:
			s.packs = append(s.packs, name)
		}
	}
	slices.SortStableFunc(s.bundles, func(x, y *openBundle) int { return s.depth(y) - s.depth(x) })
	return s, nil
}

// depth is how many of the bundles a bundle rests on.
func (s ccSources) depth(b *openBundle) int {
	base := s.base(b)
	if base == nil {
		return 0
	}
	return 1 + s.depth(base) // the ID of a base is in the hash that is the ID of b: there is no circle
}

// base is the bundle that b adds to; nil if it is not among them, or b stands alone.
func (s ccSources) base(b *openBundle) *openBundle {
	m := b.Manifest()
	i := slices.IndexFunc(s.bundles, func(o *openBundle) bool { return m.Base != nil && o.Manifest().ID == m.Base.ID })
	if i < 0 {
		return nil
	}
	return s.bundles[i]
}

// fromFiles installs from a bundle, a file that was saved, or Debian packages.
func (r *ccSetup) fromFiles(t cgo.Target) (ccReady, error) {
	show := r.showCCSetup(r.setup)
	defer show.end()
	p, dir, err := r.packFrom(t)
	if err != nil {
		return ccReady{}, err
	}
	got := ccReady{State: "unpacked", Dir: r.setup.Dir(p), Packages: len(p.Debs), Bytes: p.Bytes()}
	if err := r.setup.Install(r.ctx, p, dir); err != nil {
		return got, err
	}
	show.end()
	return r.kept(t, p, got)
}

// packFrom finds the packages for t: in bundles, then in the first file that has them.
func (r *ccSetup) packFrom(t cgo.Target) (p *cgo.Pack, dir string, err error) {
	if len(r.from.bundles)+len(r.from.packs) == 0 {
		return r.setup.FromDebs(t, r.from.debs)
	}
	if len(r.from.bundles) > 0 {
		p, dir, err = r.packFromBundles(t)
		if err == nil || !notIn(err) {
			return p, dir, err
		}
	}
	for _, name := range slices.Concat(r.from.packs, r.from.debs) {
		f, openErr := os.Open(name)
		if openErr != nil {
			return nil, "", openErr
		}
		p, dir, err = r.setup.OpenPack(r.ctx, t, f)
		if err = errors.Join(err, f.Close()); err == nil || !notIn(err) {
			return p, dir, err
		}
	}
	return nil, "", err
}

// notIn reports whether a file has nothing for a target.
func notIn(err error) bool {
	var se *cgo.SetupError
	return errors.As(err, &se) && se.Code == cgo.SetupNotIn
}

// packFromBundles takes packages out of bundles. One that adds to another leaves out what that one has: then both are needed.
func (r *ccSetup) packFromBundles(t cgo.Target) (*cgo.Pack, string, error) {
	var folders []fs.FS
	for _, b := range r.from.bundles {
		folders = append(folders, b.ccFolder())
	}
	p, dir, err := r.setup.OpenPackFolders(r.ctx, t, folders)
	var se *cgo.SetupError
	if !errors.As(err, &se) || se.Code != cgo.SetupNotIn && se.Code != cgo.SetupLacking {
		return p, dir, err
	}
	for _, b := range r.from.bundles {
		if m := b.Manifest(); m.Base != nil && r.from.base(b) == nil && (se.Code == cgo.SetupLacking || len(r.from.packs) == 0) {
			return nil, "", &fault{code: "cgosetup.error.base", args: []any{"File", b.label(), "Target", t.String(), "ID", shortID(m.Base.ID),
				"Date", m.Base.Time.UTC().Format("2006-01-02"), "Files", strings.Join(r.flags.from, ",")},
				hint: "cgosetup.hint.base", exit: goproxy.ExitCode(goproxy.ErrNotExist), err: err}
		}
	}
	return nil, "", err
}
